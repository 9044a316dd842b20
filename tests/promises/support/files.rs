//! What stands in directories and files.

use std::{
    env, fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use rustix::fs::{StatVfsMountFlags, statvfs};
use tempfile::TempDir;

use super::wait::until;

/// A directory of a test's own, in memory where there is room and programs may be run: most of the tests' time would be
/// waiting for the disk.
pub fn temp_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    let is_good = statvfs(memory).is_ok_and(|found| {
        found.f_bavail * found.f_frsize > 2 << 30 && !found.f_flag.contains(StatVfsMountFlags::NOEXEC)
    });
    let base = if is_good { memory.to_path_buf() } else { env::temp_dir() };
    tempfile::Builder::new().prefix("amp_ci-test-").tempdir_in(base).unwrap()
}

/// Names in a directory, sorted; none if it is not there.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Makes a file that leaves no byte on its disk.
pub fn fill(path: &Path) {
    let mut size = 64 << 10;
    let mut file = fs::File::create(path).unwrap();
    while size > 0 {
        if file.write_all(&vec![0; size]).is_err() {
            size /= 2;
        }
    }
}

/// A program of this text. Another one writes it: what is open for writing here is so for a moment in whatever other
/// tests start, and cannot be run meanwhile.
pub fn executable(path: &Path, text: impl AsRef<[u8]>) {
    let mut install = Command::new("install");
    let mut install =
        install.args(["-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped()).spawn().unwrap();
    install.stdin.take().unwrap().write_all(text.as_ref()).unwrap();
    assert!(install.wait().unwrap().success());
}

/// The number that somebody writes into `path`.
pub fn pid_in(path: &Path) -> i32 {
    until(&format!("a pid in {}", path.display()), || {
        fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))?.trim().parse().ok()
    })
}
