//! regexp: Go's dialect, which is RE2's, on top of the regex crate.
//!
//! The crate reads a dialect of its own: `\d` is Unicode there and ASCII here, `[a&&b]` an intersection
//! there and three characters here. So each pattern is written anew in the crate's words.

mod class;
mod escape;
mod input;
mod pattern;
mod translate;

pub use pattern::Pattern;

#[cfg(test)]
mod tests;
