//! A hooks file: JSON or YAML, expanded as a template first if that was asked for.

use std::{
    ffi::OsString,
    io::{self, Read},
    os::unix::ffi::OsStringExt,
    path::Path,
};

use super::{
    properties,
    reader::{LoadError, Reader},
    yaml::{self, Parsed, YamlError},
};
use crate::{
    error_chain::{at, in_full},
    regular_file,
    webhook::{
        go::template::{self, World},
        hooks::hook::Hook,
    },
};

/// What a hooks file defines, and what is odd about it.
#[derive(Debug, Default)]
pub struct Loaded {
    /// In the order of the file.
    pub hooks: Vec<Hook>,
    /// One line each: unknown properties with the nearest known name, disabled hooks.
    pub warnings: Vec<String>,
}

/// Reads and parses `path`; `template` expands it first. An empty path is an empty list.
pub fn load(path: &Path, template: bool) -> Result<Loaded, LoadError> {
    if path.as_os_str().is_empty() {
        return Ok(Loaded::default());
    }
    let file = path.display().to_string();
    let text = read(path).map_err(|error| LoadError(in_full(&error)))?;
    let text = String::from_utf8(text).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + String::from_utf8_lossy(before).matches('\n').count();
        LoadError(format!("{file}:{line}: not UTF-8"))
    })?;
    if !template {
        let parsed = parse(&file, &text);
        return if text.contains("{{") { unexpanded(&file, parsed) } else { parsed };
    }
    let environment = |name: &str| std::env::var_os(name).map(OsString::into_vec);
    let world = World { environment: &environment, file: &|path| read(Path::new(path)).ok() };
    let expanded = template::expand(&text, &world).map_err(|error| LoadError(format!("{file}:{error}")))?;
    parse(&file, &expanded)
}

/// Who loads hooks while they are served must not wait, and reads nothing that never ends.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    regular_file::open_through_links(path)?.read_to_end(&mut bytes).map_err(at(path.display()))?;
    Ok(bytes)
}

/// A secret that stands there as `{{ getenv "SECRET" }}` is known to everybody.
fn unexpanded(file: &str, parsed: Result<Loaded, LoadError>) -> Result<Loaded, LoadError> {
    let mut loaded =
        parsed.map_err(|LoadError(problem)| LoadError(problem + " ({{ is expanded only with -template)"))?;
    loaded.warnings.push(format!("{file}: {{{{ is taken as it stands: it is expanded only with -template"));
    Ok(loaded)
}

/// Parses the text of a hooks file; `file` is how complaints name it.
pub fn parse(file: &str, text: &str) -> Result<Loaded, LoadError> {
    let place = |error: &YamlError| format!("{file}:{}: {}", error.line, error.problem);
    let Parsed { root, after } = yaml::parse(text).map_err(|error| LoadError(place(&error)))?;
    let mut reader = Reader::new(file);
    reader.warnings.extend(after.map(|error| format!("{}: what stands there is ignored", place(&error))));
    let hooks = properties::hooks(&mut reader, &root)?;
    Ok(Loaded { hooks, warnings: reader.warnings })
}
