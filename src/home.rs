//! The home: the one directory in which everything is.

use std::{
    env,
    io::{self, Write},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{durable, regular_file};

/// An installation's directory, absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

/// Why there is no home.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nothing was said, and the executable does not lie in an installation.
    #[error(
        "no home found: give --home DIR, or set AMP_CI_HOME, or keep the program below a directory that \
         holds both scripts/ and queue/"
    )]
    NotFound,
    /// What was said is not a directory.
    #[error("{}: not a directory that can be opened, so it cannot be the home ({from}): {error}", .dir.display())]
    Unusable {
        /// As it was given.
        dir: PathBuf,
        /// Who said so.
        from: &'static str,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is somebody else's. Builds run pushed code as its owner, and can write what others would act on.
    #[error("the home {} belongs to user {owner}; act as that account: sudo -u '#{owner}' ...", .dir.display())]
    NotOurs {
        /// The home.
        dir: PathBuf,
        /// Its owner's number.
        owner: u32,
    },
}

impl Home {
    /// The home by its rules: the flag, else `AMP_CI_HOME`, else the nearest ancestor of the executable
    /// that holds both `scripts/` and `queue/`.
    pub fn find(flag: Option<&Path>) -> Result<Home, HomeError> {
        if let Some(dir) = flag {
            return Self::at(dir, "--home");
        }
        if let Some(dir) = env::var_os("AMP_CI_HOME").filter(|dir| !dir.is_empty()) {
            return Self::at(Path::new(&dir), "AMP_CI_HOME");
        }
        env::current_exe()
            .ok()
            .and_then(|exe| {
                exe.ancestors()
                    .skip(1)
                    .find(|dir| dir.join("scripts").is_dir() && dir.join("queue").is_dir())
                    .map(Path::to_path_buf)
            })
            .map(Home)
            .ok_or(HomeError::NotFound)
    }

    fn at(dir: &Path, from: &'static str) -> Result<Home, HomeError> {
        let unusable = |error| HomeError::Unusable { dir: dir.to_path_buf(), from, error };
        // Canonical, because the name of a work directory is derived from it.
        let home = dir.canonicalize().map_err(unusable)?;
        if !home.is_dir() {
            return Err(unusable(std::io::Error::from(std::io::ErrorKind::NotADirectory)));
        }
        Ok(Home(home))
    }

    /// Whose it is: the user that owns `queue/`, or else the directory itself.
    pub fn owner(&self) -> std::io::Result<u32> {
        let metadata = self.queue().metadata().or_else(|_| self.0.metadata())?;
        Ok(metadata.uid())
    }

    /// An error if we are another account than its owner's, root included.
    pub fn refuse_others(&self) -> Result<(), HomeError> {
        match self.owner() {
            Ok(owner) if owner != rustix::process::geteuid().as_raw() => {
                Err(HomeError::NotOurs { dir: self.0.clone(), owner })
            }
            // One that cannot be looked at is told of when it is used.
            _ => Ok(()),
        }
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// Waiting and claimed requests.
    pub fn queue(&self) -> PathBuf {
        self.0.join("queue")
    }

    /// One directory per build.
    pub fn builds(&self) -> PathBuf {
        self.0.join("builds")
    }

    /// Mail not yet accepted by the mail server.
    pub fn outbox(&self) -> PathBuf {
        self.0.join("outbox")
    }

    /// The chunks.
    pub fn scripts(&self) -> PathBuf {
        self.0.join("scripts")
    }

    /// Copies of repositories to clone from; not every home has them.
    pub fn mirrors(&self) -> PathBuf {
        self.0.join("mirrors")
    }

    /// What `build` tells people.
    pub fn build_log(&self) -> PathBuf {
        self.0.join("build.log")
    }

    /// The optional list of addresses for committers that cannot be written to.
    pub fn addresses(&self) -> PathBuf {
        self.0.join("addresses")
    }

    /// What lets us in at the forge.
    pub fn forge_token(&self) -> PathBuf {
        self.0.join("forge-token")
    }

    /// What catch-up has seen.
    pub fn catch_up(&self) -> PathBuf {
        self.queue().join("catch-up.json")
    }

    /// Eight hex digits that stand for this home in names elsewhere: of its workspaces, of its processes' mark. They stay
    /// when it is renamed or mounted elsewhere, and a copy has others.
    pub fn tag(&self) -> String {
        self.known_tag().unwrap_or_else(|other| other)
    }

    /// Writes them down, if they are not. Only for who drains the queue.
    pub fn keep_tag(&self) -> io::Result<()> {
        let Err(tag) = self.known_tag() else { return Ok(()) };
        let mut new = durable::new_file(&self.queue(), 0o600)?;
        let inode = new.as_file().metadata()?.ino();
        new.write_all(format!("{tag} {inode}\n").as_bytes())?;
        new.as_file().sync_all()?;
        new.persist(self.id_file()).map_err(|error| error.error)?;
        durable::sync_dir(&self.queue())
    }

    fn id_file(&self) -> PathBuf {
        self.queue().join(".id")
    }

    /// As they are written down, with the number of the inode that they were written to; or else what they are to be.
    fn known_tag(&self) -> Result<String, String> {
        let path = self.0.as_os_str().as_bytes();
        let digest = |bytes: &[u8]| hex::encode(&Sha256::digest(bytes)[..4]);
        let read = || {
            let text = String::from_utf8(regular_file::read(&self.id_file()).ok()??).ok()?;
            let (tag, noted) = text.trim_end().split_once(' ')?;
            let is_tag = tag.len() == 8 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
            let inode = self.id_file().symlink_metadata().ok()?.ino();
            is_tag.then(|| (tag.to_string(), noted == inode.to_string(), inode))
        };
        match read() {
            Some((tag, true, _)) => Ok(tag),
            // A copy: the original may be at work beside it, at the same path in earlier days.
            Some((_, false, inode)) => Err(digest(&[path, &inode.to_be_bytes()].concat())),
            // As it always was.
            None => Err(digest(path)),
        }
    }
}
