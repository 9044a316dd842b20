//! text/template: the part of it that hooks files use.
//!
//! Actions between `{{` and `}}`: function calls, pipelines, parentheses, literals, `if`, comments. Anything
//! else is an error that names it and its line.

mod error;
mod expand;
mod functions;
mod lexer;
mod parser;

pub use expand::expand;
pub use functions::World;

#[cfg(test)]
mod tests;
