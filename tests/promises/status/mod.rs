//! What is to be seen of an installation, in a terminal and in a browser.

mod states;
mod verbs;
