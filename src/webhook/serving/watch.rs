//! `-hotreload`: hooks files are loaded again when they change, however that is done: written in place,
//! replaced by a rename, deleted and made anew, or by turning a symbolic link on the way.

use std::{
    collections::BTreeSet,
    fs,
    future::pending,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};
use tokio::{io::AsyncReadExt, net::unix::pipe, time::timeout};
use tracing::{info, warn};

use super::hook_table::HookTable;

/// So long nothing may happen before a file is looked at: an editor's several steps are one change.
const QUIET: Duration = Duration::from_millis(100);

/// So often a file is looked at whose directory cannot be watched.
const POLL: Duration = Duration::from_secs(1);

/// Links followed to find out which directories to watch.
const MOST_LINKS: usize = 40;

/// The hooks files as they were last seen.
#[derive(Debug)]
pub struct Watcher {
    files: Vec<(PathBuf, Option<Fingerprint>)>,
    /// Who tells of changes, or why nobody does.
    kernel: Result<OwnedFd, String>,
}

/// What tells two states of a file apart; not its permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Fingerprint {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

impl Watcher {
    /// Looks at `paths` before they are loaded, so that no later change is missed.
    pub fn new(paths: &[PathBuf]) -> Self {
        let files = paths.iter().filter(|path| !path.as_os_str().is_empty());
        let kernel = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        Self {
            files: files.map(|path| (path.clone(), Fingerprint::of(path))).collect(),
            kernel: kernel.map_err(|error| {
                format!("cannot watch files by inotify (is the sysctl fs.inotify.max_user_instances too low?): {error}")
            }),
        }
    }

    /// Keeps `hooks` as the files are, until a file that goes away leaves none of them and `may_be_empty` is
    /// not set.
    pub async fn run(self, hooks: &HookTable, may_be_empty: bool) -> io::Result<()> {
        let Self { mut files, kernel } = self;
        for (path, _) in &files {
            info!("setting up file watcher for {}", path.display());
        }
        // The kernel's news are read as a pipe is.
        let mut kernel = match kernel {
            Ok(kernel) => Ok(pipe::Receiver::from_owned_fd_unchecked(kernel)?),
            Err(why) => Err(why),
        };
        let mut said = false;
        loop {
            // Armed before looking: a change after the look wakes us again.
            let unwatched = match &kernel {
                Ok(kernel) => files.iter().find_map(|(path, _)| arm(kernel, path).err()),
                Err(why) => Some(why.clone()),
            };
            if let (Some(error), false) = (&unwatched, said) {
                warn!("{error}; looking every second instead");
                said = true;
            }
            for (path, seen) in &mut files {
                let now = Fingerprint::of(path);
                if *seen == now {
                    continue;
                }
                if now.is_some() {
                    info!("hooks file {} modified", path.display());
                    hooks.reload(path);
                } else {
                    info!("hooks file {} removed, removing hooks that were loaded from it", path.display());
                    hooks.remove(path);
                    if hooks.is_empty() && !may_be_empty {
                        return Ok(());
                    }
                }
                *seen = now;
            }
            if unwatched.is_none() {
                changed(&mut kernel).await?;
            } else if let Ok(changed) = timeout(POLL, changed(&mut kernel)).await {
                changed?;
            }
            while let Ok(changed) = timeout(QUIET, changed(&mut kernel)).await {
                changed?;
            }
        }
    }
}

/// Asks to be told of whatever can make `path` another file: changes in the directory of each link on the
/// way to it, and in the file itself (which may be mounted alone into a container). The kernel counts a
/// second watch of the same thing as the first.
fn arm(kernel: &impl AsFd, path: &Path) -> Result<(), String> {
    let directory = WatchFlags::CLOSE_WRITE
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR;
    let file = WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE;
    // A file that is not there is no failure: its directory tells when it comes.
    let _ = inotify::add_watch(kernel, path, file);
    for dir in directories(path) {
        inotify::add_watch(kernel, &dir, directory).map_err(|error| match error {
            Errno::NOSPC => {
                format!("cannot watch {}: the sysctl fs.inotify.max_user_watches is too low", dir.display())
            }
            error => format!("cannot watch {}: {error}", dir.display()),
        })?;
    }
    Ok(())
}

/// The directories in which a name on the way to `path` could be given to another file: its own and, where
/// it or a directory above is a symbolic link, the link's and those on the way to its target.
fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let parent = |name: &Path| match name.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) => PathBuf::from("."),
        None => PathBuf::from("/"),
    };
    let mut directories = BTreeSet::new();
    let mut followed = BTreeSet::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        if followed.len() == MOST_LINKS || !followed.insert(path.clone()) {
            continue;
        }
        directories.insert(parent(&path));
        for name in path.ancestors() {
            if let (Ok(target), Ok(rest)) = (fs::read_link(name), path.strip_prefix(name)) {
                directories.insert(parent(name));
                waiting.push(parent(name).join(target).components().chain(rest.components()).collect());
            }
        }
    }
    directories
}

/// Waits until something happened, and takes it. What it was does not matter: the files are looked at.
async fn changed(kernel: &mut Result<pipe::Receiver, String>) -> io::Result<()> {
    let Ok(kernel) = kernel else { return pending().await };
    let mut events = [0; 4096];
    kernel.read(&mut events).await.map(drop)
}
