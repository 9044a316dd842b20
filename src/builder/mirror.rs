//! Mirrors: bare copies of the repositories, in the home, from which builds clone what the network need not bring again.
//!
//! `build` alone writes them, and they are never in the way: if anything is wrong, the build clones plainly.

use std::{
    cell::Cell,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant, SystemTime},
};

use super::{
    builder::Builder,
    process::bell::Bell,
    process::run::{self, ProcessEnd, ProcessSpec},
};
use crate::{
    directory, durable,
    error_chain::in_full,
    git,
    queue::{Claimed, lock_file},
};

/// The variable that names their directory. A script that does not have the word in it gets none.
pub const VARIABLE: &str = "AMP_CI_MIRRORS";

/// What each build clones besides its own repository.
const BOOTSTRAP: &str = "amp_bootstrap";

const SCRIPT: &str = include_str!("mirror.sh");

/// For one mirror to be brought up to date, and for whoever waits for it.
const LIMIT: Duration = Duration::from_secs(600);

/// After a failure.
const PAUSE: Duration = Duration::from_secs(600);

/// Each fetch makes a pack; git gets slower with many.
const PACKS: usize = 50;

/// After this time a mirror goes.
const UNUSED: Duration = Duration::from_secs(90 * 24 * 3600);

/// The mirrors as a build may read them: while this lives, none is repacked or removed.
#[derive(Debug)]
pub struct Mirrors {
    dir: PathBuf,
    _in_use: File,
}

/// We were told to stop.
#[derive(Debug)]
pub struct Stopped;

impl Mirrors {
    /// Those that `build_sh` needs, up to date; none if it needs none, or there are none to be had.
    pub fn prepare(
        builder: &Builder,
        entry: &Claimed,
        build_sh: &[u8],
        cancel: &Bell,
    ) -> Result<Option<Self>, Stopped> {
        let dir = builder.home.mirrors();
        let names_them = build_sh.windows(VARIABLE.len()).any(|word| word == VARIABLE.as_bytes());
        if !names_them || !dir.is_dir() {
            return Ok(None);
        }
        let keeper = Keeper { builder, cancel, mark: builder.mark(&entry.id), dir };
        let repository = entry.request.repository.as_str();
        let prepared = keeper.prepare(repository);
        match prepared {
            Ok(mirrors) => Ok(mirrors),
            Err(_) if builder.supervisor.is_stopped() => Err(Stopped),
            Err(_) if cancel.has_rung() => Ok(None),
            Err(error) => {
                tracing::warn!("{} is cloned without a mirror: {}", entry.id, in_full(&error));
                Ok(None)
            }
        }
    }

    /// For the build.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Who writes them.
struct Keeper<'a> {
    builder: &'a Builder,
    cancel: &'a Bell,
    mark: String,
    dir: PathBuf,
}

impl Keeper<'_> {
    fn prepare(&self, repository: &str) -> io::Result<Option<Mirrors>> {
        self.tidy()?;
        let in_use = lock_file::open(&self.dir.join(".in-use"))?;
        if !lock_file::try_lock_shared(&in_use)? {
            // Another one is tidying up.
            return Ok(None);
        }
        let also = Some(BOOTSTRAP).filter(|name| *name != repository);
        for name in std::iter::once(repository).chain(also) {
            if !self.refresh(name)? {
                return Ok(None);
            }
        }
        Ok(Some(Mirrors { dir: self.dir.clone(), _in_use: in_use }))
    }

    /// False if it has failed a short while ago.
    fn refresh(&self, repository: &str) -> io::Result<bool> {
        let mirror = self.dir.join(format!("{repository}.git"));
        let failed = beside(&mirror, "failed");
        let has_failed = || age(&failed).is_some_and(|age| age < PAUSE);
        if has_failed() {
            return Ok(false);
        }
        let lock = lock_file::open(&beside(&mirror, "lock"))?;
        let goes_on = || !self.builder.supervisor.is_stopped() && !self.cancel.has_rung();
        if !lock_file::lock_while(&lock, LIMIT, goes_on)? {
            let error = io::Error::other(format!("{} is locked by another process", mirror.display()));
            if goes_on() {
                // The next ones need not wait for it too.
                note(&failed, &error);
            }
            return Err(error);
        }
        if has_failed() {
            return Ok(false);
        }
        let url = format!("{}/{repository}", self.builder.settings.git_base.url());
        if let Err(error) = self.run("refresh", &mirror, &url) {
            if goes_on() {
                note(&failed, &error);
            }
            return Err(error);
        }
        let _ = std::fs::remove_file(failed);
        // Used today.
        lock.set_modified(SystemTime::now())?;
        Ok(true)
    }

    /// Repacks what has many packs and removes what nobody uses, if no build reads now.
    fn tidy(&self) -> io::Result<()> {
        let (mut unused, mut many_packs) = (Vec::new(), Vec::new());
        for entry in fs_err::read_dir(&self.dir)?.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "lock") {
                continue;
            }
            let mirror = path.with_extension("");
            if age(&path).is_some_and(|age| age > UNUSED) {
                unused.push(mirror);
            } else if packs(&mirror) > PACKS {
                many_packs.push(mirror);
            }
        }
        if unused.is_empty() && many_packs.is_empty() {
            return Ok(());
        }
        let in_use = lock_file::open(&self.dir.join(".in-use"))?;
        if !lock_file::try_lock(&in_use)? {
            return Ok(());
        }
        for mirror in many_packs {
            self.run("repack", &mirror, "")?;
        }
        for mirror in unused {
            for what in ["failed", "bad", "lock"] {
                let _ = std::fs::remove_file(beside(&mirror, what));
            }
            for dir in [beside(&mirror, "new"), mirror] {
                if dir.is_dir() {
                    directory::remove_all(&dir)?;
                }
            }
        }
        Ok(())
    }

    /// An error says what git said in the end.
    fn run(&self, what: &str, mirror: &Path, url: &str) -> io::Result<()> {
        let Builder { settings, supervisor, .. } = self.builder;
        let words = ["/bin/bash", "-c", SCRIPT, "mirror.sh", what].map(Into::into);
        let credentials = settings.git_base.credentials();
        let variables: Vec<_> = credentials.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let spec = ProcessSpec {
            words: words.into_iter().chain([mirror.into(), url.into()]).collect(),
            errors_apart: false,
            dir: &self.dir,
            variables: &variables,
            mark: &self.mark,
        };
        let mut said = Vec::new();
        let mut keep = |_, bytes: &[u8]| {
            said.extend_from_slice(bytes);
            said.drain(..said.len().saturating_sub(2000));
            Ok(())
        };
        let deadline = Cell::new(Some(Instant::now() + LIMIT));
        let why = match run::start(supervisor, &spec)?.follow(&mut keep, &deadline, Some(self.cancel))? {
            ProcessEnd::Exited(status) if ExitStatus::success(&status) => return Ok(()),
            ProcessEnd::Exited(status) | ProcessEnd::OutOfMemory(status) => status.to_string(),
            ProcessEnd::TimedOut(_) => format!("no end after {} s", LIMIT.as_secs()),
            ProcessEnd::Stopped => "stopped".to_string(),
            ProcessEnd::Cancelled(_) => "cancelled".to_string(),
        };
        let said = String::from_utf8_lossy(&said);
        Err(io::Error::other(format!("{what} of {}: {why}: {}", mirror.display(), git::complaint(&said))))
    }
}

/// Why it has failed, in the place of whatever may lie there.
fn note(failed: &Path, error: &io::Error) {
    let _ = durable::replace_unsynced(failed, format!("{}\n", in_full(error)).as_bytes(), 0o640);
}

/// `REPOSITORY.git.WHAT`
fn beside(mirror: &Path, what: &str) -> PathBuf {
    let mut name = mirror.as_os_str().to_os_string();
    name.push(format!(".{what}"));
    name.into()
}

fn age(path: &Path) -> Option<Duration> {
    path.symlink_metadata().ok()?.modified().ok()?.elapsed().ok()
}

fn packs(mirror: &Path) -> usize {
    let entries = std::fs::read_dir(mirror.join("objects/pack")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "pack")).count()
}
