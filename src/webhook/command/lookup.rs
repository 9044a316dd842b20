//! Finding the program that a hook names.

use std::{
    env,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use crate::{
    program,
    webhook::go::{strconv::quote, syscall::reason},
};

/// Why there is nothing to run, in Go's words.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct NotFound {
    text: String,
}

/// The program for `command` in `working_directory`, which may be empty.
///
/// With a working directory even a bare name is looked for there alone; a bare name without one, or in `.`,
/// is looked for in the daemon's own `PATH`.
pub fn find(command: &str, working_directory: &str) -> Result<PathBuf, NotFound> {
    let candidate = if command.starts_with('/') || working_directory.is_empty() {
        PathBuf::from(command)
    } else {
        clean(&Path::new(working_directory).join(command))
    };
    let name = candidate.as_os_str().as_bytes();
    let not_found = |why: String| NotFound { text: format!("{}: {why}", quote(name)) };
    if name.contains(&b'/') {
        check(&candidate).map_err(not_found)?;
        return Ok(candidate);
    }
    in_path(&candidate).map_err(|why| not_found(why.to_owned()))
}

fn in_path(name: &Path) -> Result<PathBuf, &'static str> {
    match program::find_in(&env::var_os("PATH").unwrap_or_default(), name) {
        Some(found) if found.is_absolute() => Ok(found),
        Some(_) => Err("cannot run executable found relative to current directory"),
        None => Err("executable file not found in $PATH"),
    }
}

fn check(program: &Path) -> Result<(), String> {
    program::check(program).map_err(|error| match std::fs::metadata(program) {
        Err(error) => format!("stat {}: {}", program.display(), reason(&error)),
        Ok(_) => reason(&error),
    })
}

/// `path` without `.` and, as far as it goes, `..`, by its text alone.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match (part, clean.components().next_back()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => drop(clean.pop()),
            (part, _) => clean.push(part),
        }
    }
    if clean.as_os_str().is_empty() { PathBuf::from(".") } else { clean }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn paths_are_cleaned_by_their_text() {
        for (path, expected) in [
            ("a/./b", "a/b"),
            ("a/../b", "b"),
            ("../a/..", ".."),
            ("/../a", "/a"),
            ("./x", "x"),
            ("a//b/", "a/b"),
            ("a/..", "."),
            ("../../x", "../../x"),
        ] {
            assert_eq!(clean(Path::new(path)), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn a_program_is_found_where_webhook_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for (name, mode) in [("run", 0o755), ("plain", 0o644)] {
            fs::write(dir.join(name), "#!/bin/sh\n").unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (run, plain, missing) = (dir.join("run"), dir.join("plain"), dir.join("missing"));
        let shown = |path: &Path, why: &str| Err(format!("{:?}: {why}", text(path)));
        for (command, working_directory, expected) in [
            (text(&run), String::new(), Ok(run.clone())),
            (text(&run), "/elsewhere".into(), Ok(run.clone())),
            ("run".into(), text(dir), Ok(run.clone())),
            ("./x/../run".into(), text(dir), Ok(run.clone())),
            (text(&plain), String::new(), shown(&plain, "permission denied")),
            (text(dir), String::new(), shown(dir, "permission denied")),
            (
                text(&missing),
                String::new(),
                shown(&missing, &format!("stat {}: no such file or directory", missing.display())),
            ),
            (
                "no-such-program".into(),
                String::new(),
                Err("\"no-such-program\": executable file not found in $PATH".into()),
            ),
            (
                "no-such-program".into(),
                ".".into(),
                Err("\"no-such-program\": executable file not found in $PATH".into()),
            ),
        ] {
            let found = find(&command, &working_directory).map_err(|error| error.to_string());
            assert_eq!(found, expected, "{command} in {working_directory:?}");
        }
        assert!(find("sh", "").unwrap().ends_with("sh"));
        assert!(find("sh", ".").unwrap().ends_with("sh"));
        assert!(find("sh", dir.to_str().unwrap()).is_err(), "with a working directory PATH does not count");
    }
}
