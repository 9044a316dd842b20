//! The private directory that a build runs in, and the directory where these are made.

use std::{
    fs::DirBuilder,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use super::{mounts::mounts, supervisor::Supervisor};
use crate::error_chain::at;

/// The directory of workspaces, resolved and found safe.
#[derive(Debug, Clone)]
pub struct WorkDir {
    path: PathBuf,
    /// What the names of our workspaces start with.
    prefix: String,
}

/// A build's own directory.
#[derive(Debug)]
pub struct Workspace(PathBuf);

impl WorkDir {
    /// Resolves `configured` (often a symlink) and refuses what somebody else could turn against us.
    pub fn open(configured: &Path, prefix: String) -> io::Result<Self> {
        Self::open_safe(configured, prefix)
            .map_err(at(format_args!("work directory {}", configured.display())))
    }

    fn open_safe(configured: &Path, prefix: String) -> io::Result<Self> {
        let refuse = |why: String| io::Error::new(ErrorKind::PermissionDenied, why);
        let path = configured.canonicalize()?;
        let link = configured.symlink_metadata()?;
        let target = path.metadata()?;
        let user = rustix::process::geteuid().as_raw();
        for (what, owner) in [("it", link.uid()), ("what it leads to", target.uid())] {
            if owner != 0 && owner != user {
                return Err(refuse(format!("{what} belongs to user {owner}, neither to root nor to us")));
            }
        }
        if !target.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        if target.mode() & 0o1002 == 0o0002 {
            return Err(refuse(
                "everybody can write in it and it has no sticky bit: chmod +t, or o-w".to_string(),
            ));
        }
        Ok(Self { path, prefix })
    }

    /// The resolved path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A fresh directory, with `name` in its own.
    pub fn create(&self, name: &str) -> io::Result<Workspace> {
        let new = tempfile::Builder::new()
            .prefix(&format!("{}{name}-", self.prefix))
            .rand_bytes(8)
            .disable_cleanup(true)
            .make_in(&self.path, |path| DirBuilder::new().mode(0o700).create(path))
            .map_err(at("cannot make a workspace"))?;
        Ok(Workspace(new.path().to_path_buf()))
    }

    /// All that there are of this home, each with the name that it was made for.
    pub fn workspaces(&self) -> Vec<(String, PathBuf)> {
        let entries = fs_err::read_dir(&self.path).into_iter().flatten().flatten();
        let ours = |path: PathBuf| {
            let name =
                path.file_name()?.to_str()?.strip_prefix(&self.prefix)?.rsplit_once('-')?.0.to_string();
            Some((name, path))
        };
        entries.filter_map(|entry| ours(entry.path())).collect()
    }

    /// Removes what killed runs of this user left; returns what could not be removed, and why.
    pub fn sweep(&self, supervisor: &Supervisor) -> Vec<(PathBuf, io::Error)> {
        let user = rustix::process::geteuid().as_raw();
        let Ok(entries) = fs_err::read_dir(&self.path) else { return Vec::new() };
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&self.prefix))
            .filter(|entry| {
                entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user)
            })
            .filter_map(|entry| Some((entry.path(), Workspace(entry.path()).remove(supervisor).err()?)))
            .collect()
    }
}

impl Workspace {
    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it with whatever is in it, never through a link and never in what is mounted there: that stays, with all
    /// around it, for a person to see to.
    ///
    /// By rm(1), because its walk needs neither a descriptor nor stack for each level: a build can nest
    /// directories until std's `remove_dir_all` would take `build` down with it.
    pub fn remove(&self, supervisor: &Supervisor) -> io::Result<()> {
        // Many a build leaves nothing, and starting a program is the dearest part of its removal.
        if std::fs::remove_dir(&self.0).is_ok() {
            return Ok(());
        }
        if self.holds_a_mount() {
            // Of the same file system, too: rm's own option tells only others.
            return Err(io::Error::other(format!("{} stays: something is mounted in it", self.0.display())));
        }
        let gone = || self.0.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        self.run(supervisor, "rm", &["-rf", "--one-file-system", "--"], &[])?;
        if !gone() {
            // Read-only directories, such as Go's module cache. Directories alone: a file may be a hard link to one of
            // somebody's cache.
            let closed = ["-xdev", "-type", "d", "!", "-perm", "-u=rwx"];
            let open = ["-execdir", "chmod", "u+rwx", "--", "{}", ";"];
            self.run(supervisor, "find", &["-P"], &[closed, open].concat())?;
            self.run(supervisor, "rm", &["-rf", "--one-file-system", "--"], &[])?;
        }
        if gone() {
            return Ok(());
        }
        Err(io::Error::other(format!("cannot remove {}: see what is left in it", self.0.display())))
    }

    /// A build that runs as root may have mounted something.
    fn holds_a_mount(&self) -> bool {
        mounts().iter().any(|mount| mount.point != self.0 && mount.point.starts_with(&self.0))
    }

    /// One of the system's programs on this directory, silently.
    fn run(
        &self,
        supervisor: &Supervisor,
        program: &str,
        before: &[&str],
        after: &[&str],
    ) -> io::Result<ExitStatus> {
        let mut command = Command::new(program);
        command.args(before).arg(&self.0).args(after);
        // find refuses to work by a PATH with relative directories in it.
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        supervisor.run(&mut command).map_err(at(format_args!("cannot run {program}")))
    }
}
