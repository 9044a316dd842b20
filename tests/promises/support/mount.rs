//! File systems of a test's own, where mounting is allowed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{need::or_skip, wait::wait_until};

/// A file system of its own at a place, until dropped; none where mounting is not allowed.
pub struct Mount(PathBuf);

impl Mount {
    pub fn tmpfs(at: &Path, options: &str) -> Option<Self> {
        Self::with(at, &["-t", "tmpfs", "-o", options, "tmpfs"])
    }

    pub fn with(at: &Path, arguments: &[&str]) -> Option<Self> {
        let mount = Command::new("mount").args(arguments).arg(at).output().unwrap();
        if mount.status.success() {
            return Some(Self(at.to_path_buf()));
        }
        or_skip("AMP_CI_REQUIRE_MOUNT", Some(&String::from_utf8_lossy(&mount.stderr)));
        None
    }

    pub fn again(&self, options: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A disk of some MiB, whose power can be cut.
pub struct Disk {
    image: PathBuf,
    at: PathBuf,
    options: &'static str,
}

impl Disk {
    /// Makes it of a file and mounts it. Says why not where that cannot be.
    pub fn new(image: PathBuf, at: &Path, kind: &str) -> Result<Self, String> {
        // Whoever renames without an fsync is on its own, as on other file systems.
        let (size, options) = match kind {
            "ext4" => (64 << 20, "noauto_da_alloc"),
            _ => (400 << 20, "defaults"),
        };
        fs::File::create(&image).unwrap().set_len(size).unwrap();
        done(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image))?;
        let disk = Self { image, at: at.to_path_buf(), options };
        disk.mount().map(|()| disk)
    }

    fn mount(&self) -> Result<(), String> {
        done(
            Command::new("mount")
                .args(["-o", &format!("loop,{}", self.options)])
                .arg(&self.image)
                .arg(&self.at),
        )
    }

    /// Nothing that is not on the disk by now gets there: FS_IOC_SHUTDOWN without writing out the journal. All calls fail
    /// from now on.
    pub fn cut(&self) {
        const CUT: &str = r#"open(my $at, "<", $ARGV[0]) or die "$!"; my $how = pack("I", 2);
            ioctl($at, 0x8004587D, $how) or die "$!""#;
        done(Command::new("perl").args(["-e", CUT]).arg(&self.at)).unwrap();
    }

    /// The power is back, as soon as nobody has anything open on it.
    pub fn power_up(&self) {
        wait_until("nothing is open on the disk", || done(Command::new("umount").arg(&self.at)).is_ok());
        self.mount().unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
    }
}

fn done(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
