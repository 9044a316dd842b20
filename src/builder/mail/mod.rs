//! What people are told by letter: every letter that anybody gets is written in [`letters`].

pub mod letter;
pub mod letters;
pub mod recipient;
