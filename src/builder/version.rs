//! Are the program and its settings still those that we were started with? After an upgrade, one that stays ends by itself.

use std::{
    env,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::home::Home;

/// What tells two versions of a file apart: device, inode, size and time of its last change.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

#[derive(Debug)]
pub struct Version(Vec<(PathBuf, Stamp)>);

impl Version {
    pub fn now(home: &Home) -> Self {
        let program = env::current_exe().ok();
        let files = program.into_iter().chain([home.dir().join("environment.sh")]);
        Self(files.map(|path| (path.clone(), stamp(&path))).collect())
    }

    pub fn is_current(&self) -> bool {
        self.0.iter().all(|(path, stamp_then)| stamp(path) == *stamp_then)
    }
}

/// Of what a link leads to.
fn stamp(path: &Path) -> Stamp {
    let metadata = path.metadata().ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_came_or_was_replaced_makes_it_another() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::find(Some(dir.path())).unwrap();
        let version = Version::now(&home);
        assert!(version.is_current());
        fs_err::write(dir.path().join("environment.sh"), "A=1").unwrap();
        assert!(!version.is_current());
        assert!(Version::now(&home).is_current());
    }
}
