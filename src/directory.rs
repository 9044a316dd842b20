//! What lies in a directory that need not be there, and its removal.

use std::{
    ffi::CString,
    io::{self, ErrorKind},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, Mode, OFlags, RenameFlags, openat, renameat_with, unlinkat},
    io::Errno,
    path::Arg,
};

use crate::error_chain::at;

/// Its entries; none if there is no such directory.
pub fn entries(dir: &Path) -> io::Result<impl Iterator<Item = io::Result<fs_err::DirEntry>>> {
    let entries = match fs_err::read_dir(dir) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(entries.into_iter().flatten())
}

/// Removes a directory with all that is in it, through no link, however deep that is: what lies deeper than one level is
/// moved up before its directory goes, where std's `remove_dir_all` takes stack and a descriptor for each level.
pub fn remove_all(dir: &Path) -> io::Result<()> {
    remove_levels(dir).map_err(|errno| at(format_args!("cannot remove {}", dir.display()))(errno.into()))
}

fn remove_levels(dir: &Path) -> Result<(), Errno> {
    let top = open(CWD, dir)?;
    let mut moved = 0;
    loop {
        let directories = clear(&top)?;
        if directories.is_empty() {
            return unlinkat(CWD, dir, AtFlags::REMOVEDIR);
        }
        for name in directories {
            let inner = open(&top, &name)?;
            for deeper in clear(&inner)? {
                while let Err(error) =
                    renameat_with(&inner, &deeper, &top, format!(".{moved}"), RenameFlags::NOREPLACE)
                {
                    if error != Errno::EXIST {
                        return Err(error);
                    }
                    moved += 1;
                }
            }
            unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
        }
    }
}

fn open(dir: impl AsFd, name: impl Arg) -> Result<OwnedFd, Errno> {
    openat(dir, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Removes what is no directory; returns the directories.
fn clear(dir: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let names: Vec<CString> = Dir::read_from(dir)?
        .map(|entry| Ok(entry?.file_name().to_owned()))
        .filter(|name| !matches!(name.as_ref().map(CString::as_bytes), Ok(b"." | b"..")))
        .collect::<Result<_, Errno>>()?;
    let mut directories = Vec::new();
    for name in names {
        match unlinkat(dir, &name, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::ISDIR) => directories.push(name),
            Err(error) => return Err(error),
        }
    }
    Ok(directories)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn however_deep_it_is_it_goes_and_what_it_links_to_stays() {
        let root = tempfile::tempdir().unwrap();
        let (tree, outside) = (root.path().join("tree"), root.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "").unwrap();
        fs::create_dir_all(tree.join(".0/.1")).unwrap();
        fs::write(tree.join("file"), "").unwrap();
        // 30,000 levels by paths that the kernel takes.
        for _ in 0..100 {
            let level = root.path().join("level");
            fs::create_dir_all(level.join("d/".repeat(300))).unwrap();
            symlink(&outside, level.join("link")).unwrap();
            if tree.join("deep").exists() {
                fs::rename(tree.join("deep"), level.join("d/".repeat(300)).join("d")).unwrap();
            }
            fs::rename(&level, tree.join("deep")).unwrap();
        }
        remove_all(&tree).unwrap();
        assert!(!tree.exists());
        assert!(outside.join("kept").exists());
        assert_eq!(remove_all(&tree).unwrap_err().kind(), ErrorKind::NotFound);
        symlink(&outside, &tree).unwrap();
        remove_all(&tree).unwrap_err();
        assert!(outside.join("kept").exists());
    }
}
