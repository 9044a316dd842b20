//! What is wrong with a template.

/// The line, from 1, and what is wrong there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}: template: {problem}")]
pub struct TemplateError {
    pub line: usize,
    pub problem: String,
}

pub type Expand<T> = Result<T, TemplateError>;

pub fn error<T>(line: usize, problem: impl Into<String>) -> Expand<T> {
    Err(TemplateError { line, problem: problem.into() })
}
