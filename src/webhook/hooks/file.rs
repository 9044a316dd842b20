//! A hooks file: JSON or YAML, expanded as a template first if that was asked for.

use std::path::Path;

use super::hook::Hook;

/// What a hooks file defines, and what is odd about it.
#[derive(Debug, Default)]
pub struct Loaded {
    /// In the order of the file.
    pub hooks: Vec<Hook>,
    /// One line each: unknown properties with the nearest known name, disabled hooks.
    pub warnings: Vec<String>,
}

/// Why a hooks file did not load; names file, line, hook and property.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub String);

/// Reads and parses `path`; `template` expands it first. An empty path is an empty list.
pub fn load(path: &Path, template: bool) -> Result<Loaded, LoadError> {
    let _ = (path, template);
    unimplemented!()
}
