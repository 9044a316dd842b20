//! What people ask of `build` while it works, and who hears.

mod mended;
mod verbs;
