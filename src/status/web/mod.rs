//! The faces in a browser: pages, live logs, plots, badges, a feed, metrics and health.
//!
//! GET and HEAD only, nothing is written and nothing started. What a request costs is bounded: names are listed, the
//! newest records opened once, and an unchanged page is a 304 without opening any.

pub mod ansi;
mod badge;
pub mod command_line;
mod feed;
pub mod log;
mod metrics;
mod pages;
mod plot;
mod serve;
mod site;
pub mod view;

pub use serve::serve;
pub use site::{Site, router};
