//! The hooks file.

mod load;
mod reader;
mod yaml;

pub use load::{Loaded, load};
#[cfg(test)]
pub use {load::parse, reader::HOOK};
