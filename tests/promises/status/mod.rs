//! What is to be seen of an installation, in a terminal and in a browser.

mod browser;
mod pages;
mod readonly;
mod states;
mod verbs;
