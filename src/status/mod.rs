//! What is to be seen of an installation: one reader, which only reads, and its faces.
//!
//! It stands on the queue and the records alone, takes no lock, and can run as an account that may only read.

pub mod branches;
pub mod build;
pub mod document;
pub mod entries;
pub mod folder;
pub mod health;
pub mod listing;
pub mod look;
pub mod output;
pub mod reader;
pub mod records;
pub mod select;
pub mod spoken;
pub mod standing;
pub mod terminal;
pub mod waits;
pub mod web;
pub mod words;

pub use build::Build;
pub use document::Document;
pub use reader::Reader;
