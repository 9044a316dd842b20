//! The hooks file.

mod load;
mod node;
mod properties;
mod reader;
mod scalar;
mod yaml;

pub use load::{Loaded, load};
#[cfg(test)]
pub use {load::parse, properties::HOOK};
