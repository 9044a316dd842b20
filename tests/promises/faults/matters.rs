//! What may be the matter with a file.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::Path,
    process::{Command, Stdio},
};

/// Does it to what is there; is it a directory's place?
pub type Put = fn(&Path, bool);

/// Each by its name.
pub const MATTERS: [(&str, Put); 10] = [
    ("missing", |path, _| clear(path)),
    ("garbage", |path, is_dir| {
        if !is_dir {
            clear(path);
            fs::write(path, b"\xff\0{garbage").unwrap();
        }
    }),
    ("the other kind", |path, is_dir| {
        clear(path);
        if is_dir {
            fs::write(path, "in the way").unwrap();
        } else {
            fs::create_dir(path).unwrap();
            fs::write(path.join("x"), "").unwrap();
        }
    }),
    ("a FIFO", |path, _| {
        clear(path);
        run("mkfifo", &[], path);
    }),
    ("a dangling link", |path, _| {
        clear(path);
        symlink("nowhere", path).unwrap();
    }),
    ("a looping link", |path, _| {
        clear(path);
        symlink(path, path).unwrap();
    }),
    ("a link to what never ends", |path, _| {
        clear(path);
        symlink("/dev/zero", path).unwrap();
    }),
    ("unreadable", |path, _| fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap()),
    (IMMUTABLE, |path, _| run("chattr", &["+i"], path)),
    (SOMEBODY_ELSES, |path, is_dir| {
        chown(path, Some(0), Some(0)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(if is_dir { 0o700 } else { 0o600 })).unwrap();
    }),
];

pub const IMMUTABLE: &str = "immutable";

const SOMEBODY_ELSES: &str = "somebody else's";

/// An account that is not root's.
pub const NOBODY: u32 = 65534;

/// Does it to what is there, or else to something that is put there. All is `NOBODY`'s then, but for what is somebody else's.
pub fn put(path: &Path, is_dir: bool, (matter, put): (&str, Put)) {
    if path.symlink_metadata().is_err() {
        if is_dir { fs::create_dir(path).unwrap() } else { fs::write(path, "true\n").unwrap() }
    }
    give_away(path);
    put(path, is_dir);
    if ![IMMUTABLE, SOMEBODY_ELSES].contains(&matter) {
        give_away(path);
    }
}

/// With all that is in it.
pub fn give_away(path: &Path) {
    if path.symlink_metadata().is_ok() {
        run("chown", &["-hR", "65534:65534"], path);
    }
}

/// As a person would.
pub fn clear(path: &Path) {
    let _ = Command::new("chattr").arg("-i").arg(path).stderr(Stdio::null()).status();
    if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path).unwrap();
    } else {
        let _ = fs::remove_file(path);
    }
}

/// Whatever could not be removed can be now.
pub fn let_go(dir: &Path) {
    let _ = Command::new("chattr").args(["-R", "-f", "-i"]).arg(dir).status();
}

/// The command as this account.
pub fn as_nobody(command: &mut Command) -> &mut Command {
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
}

fn run(program: &str, arguments: &[&str], path: &Path) {
    assert!(Command::new(program).args(arguments).arg(path).status().unwrap().success(), "{program}");
}
