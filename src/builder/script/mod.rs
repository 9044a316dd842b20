//! The script of one build, as pure text: chunks, placeholders, exports.

pub mod compose;
pub mod placeholder;
