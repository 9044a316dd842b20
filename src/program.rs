//! Is a program there, and may we run it?

use std::{
    env,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, AtFlags, CWD};

/// The first program of that name in the directories of `path`, a value of `PATH`.
pub fn find_in(path: &OsStr, name: &Path) -> Option<PathBuf> {
    env::split_paths(path).map(|dir| dir.join(name)).find(|program| check(program).is_ok())
}

/// Is it there, no directory, and may our effective user run it? As execve(2) would answer.
pub fn check(program: &Path) -> io::Result<()> {
    if std::fs::metadata(program)?.is_dir() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(rustix::fs::accessat(CWD, program, Access::EXEC_OK, AtFlags::EACCESS)?)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn what_cannot_be_run_is_passed_by() {
        let root = tempfile::tempdir().unwrap();
        for (dir, mode) in [("plain", 0o644), ("good", 0o755)] {
            fs::create_dir(root.path().join(dir)).unwrap();
            fs::write(root.path().join(dir).join("run"), "").unwrap();
            fs::set_permissions(root.path().join(dir).join("run"), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir_all(root.path().join("dir/run")).unwrap();
        let path =
            env::join_paths(["missing", "dir", "plain", "good"].map(|dir| root.path().join(dir))).unwrap();
        assert_eq!(find_in(&path, Path::new("run")), Some(root.path().join("good/run")));
        assert_eq!(find_in(&path, Path::new("walk")), None);
    }
}
