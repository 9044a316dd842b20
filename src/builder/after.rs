//! `scripts/after`: what the site does when a build is over, outside of its verdict.
//!
//! The intent is a file, `outbox/ID.after`, stored after the build's commit point and removed when the script is over: so it
//! runs at least once, whatever dies. It holds all that the script is told, since a build can change its record.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{
    builder::Builder,
    judgement::ATTEMPTS,
    left_over,
    process::{
        mask::MaskedLog,
        run::{self, ProcessEnd, ProcessSpec},
        workspace::Workspace,
    },
    script::compose,
};
use crate::{
    directory, durable,
    error_chain::in_full,
    queue::{BuildRequest, EntryId},
    records::{BuildResult, Outcome},
    regular_file,
};

/// So long it may run.
const LIMIT: Duration = Duration::from_secs(60);

/// So much of its output is kept.
const LOG_LIMIT: u64 = 64 << 10;

/// So long it is tried to start it.
const TRIED_FOR: Duration = Duration::from_secs(24 * 3600);

const SUFFIX: &str = ".after";

/// What it is told.
#[derive(Debug, Serialize, Deserialize)]
struct Intent {
    request: BuildRequest,
    result: BuildResult,
    /// How often it was begun and not heard of again.
    #[serde(default)]
    begun: u32,
}

impl Intent {
    fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&regular_file::read(path)?.unwrap_or_default())?)
    }

    fn store(&self, path: &Path) -> io::Result<()> {
        durable::replace(path, &durable::json_line(self), 0o600)
    }
}

/// Stores the intent, durably, if there is such a script and the build is one that it is for.
pub fn intend(
    builder: &Builder,
    id: &EntryId,
    request: &BuildRequest,
    result: &BuildResult,
) -> io::Result<()> {
    let is_for = match result.outcome {
        Outcome::Succeeded | Outcome::Failed | Outcome::TimedOut | Outcome::Error => true,
        Outcome::Cancelled => builder.record(id).script().exists(),
        Outcome::Skipped | Outcome::Superseded => false,
    };
    if !is_for || builder.home.scripts().join("after").symlink_metadata().is_err() {
        return Ok(());
    }
    let outbox = builder.home.outbox();
    let intent = Intent { request: request.clone(), result: result.clone(), begun: 0 };
    durable::create_dir(&outbox, 0o750)?;
    intent.store(&path_of(builder, id))?;
    durable::sync_dir(&outbox)
}

/// Where the intent lies.
fn path_of(builder: &Builder, id: &EntryId) -> PathBuf {
    builder.home.outbox().join(format!("{id}{SUFFIX}"))
}

/// The builds after which it has yet to run, in their order.
pub fn intended(builder: &Builder) -> io::Result<Vec<EntryId>> {
    let mut ids: Vec<EntryId> = directory::entries(&builder.home.outbox())?
        .flatten()
        .filter_map(|entry| EntryId::parse(entry.file_name().to_str()?.strip_suffix(SUFFIX)?))
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

/// The thread that runs it, one build after the other.
#[derive(Debug)]
pub struct After {
    errands: Sender<Errand>,
    thread: JoinHandle<()>,
}

enum Errand {
    /// Something may be intended.
    Pass,
    /// The same, while nothing is built; and say when it is over.
    PassThen(Box<dyn FnOnce() + Send>),
}

impl After {
    /// Nothing runs before the first pass is asked for: what an earlier `build` left of it has to be ended first.
    pub fn start(builder: &Arc<Builder>) -> io::Result<Self> {
        let (errands, received) = channel();
        let builder = Arc::clone(builder);
        let thread =
            thread::Builder::new().name("after".to_string()).spawn(move || work(&builder, &received))?;
        Ok(Self { errands, thread })
    }

    /// Runs what is intended, soon.
    pub fn pass(&self) {
        let _ = self.errands.send(Errand::Pass);
    }

    /// Runs what is intended, while nothing is built, and then calls `tell`.
    pub fn pass_then(&self, tell: impl FnOnce() + Send + 'static) {
        let _ = self.errands.send(Errand::PassThen(Box::new(tell)));
    }

    /// Returns when none runs any more: at once, or after its grace where we were told to stop.
    pub fn end(self) {
        drop(self.errands);
        let _ = self.thread.join();
    }
}

fn work(builder: &Builder, errands: &Receiver<Errand>) {
    while let Ok(first) = errands.recv() {
        let (mut told, mut is_idle) = (Vec::new(), false);
        // Many builds that end together are one pass.
        for errand in std::iter::once(first).chain(errands.try_iter()) {
            if let Errand::PassThen(tell) = errand {
                is_idle = true;
                told.push(tell);
            }
        }
        if catch_unwind(AssertUnwindSafe(|| pass(builder, is_idle))).is_err() {
            tracing::error!("scripts/after met a mistake in amp_ci; see stderr");
        }
        for tell in told {
            tell();
        }
    }
}

/// If nothing is built beside it (`is_idle`), also what may have ended `build` before.
fn pass(builder: &Builder, is_idle: bool) {
    let ids = intended(builder).unwrap_or_else(|error| {
        tracing::error!("scripts/after is not run: {}", in_full(&error));
        Vec::new()
    });
    for id in ids {
        if builder.supervisor.is_stopped() {
            return;
        }
        let path = path_of(builder, &id);
        let intent = Intent::read(&path);
        if !is_idle && intent.as_ref().is_ok_and(|intent| intent.begun > 0) {
            continue;
        }
        match intent.and_then(|intent| run_after(builder, &id, intent, &path)) {
            // The next build runs it again.
            Ok(ProcessEnd::Stopped | ProcessEnd::Cancelled(_)) => return,
            Ok(ProcessEnd::Exited(status)) if status.success() => {}
            Ok(ProcessEnd::Exited(status) | ProcessEnd::OutOfMemory(status)) => {
                tracing::error!("scripts/after of {id} failed with {status}: see builds/{id}/after.log");
            }
            Ok(ProcessEnd::TimedOut(_)) => {
                let limit = LIMIT.as_secs();
                tracing::error!("scripts/after of {id} was ended after {limit} s: see builds/{id}/after.log");
            }
            Err(error) => {
                tracing::error!("scripts/after of {id} cannot be run: {}", in_full(&error));
                let stored = path.metadata().and_then(|metadata| metadata.modified());
                let waits = stored.is_ok_and(|at| SystemTime::now() < at + TRIED_FOR);
                if waits && !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) {
                    continue;
                }
                // Nobody misses it where it was taken away.
                if error.kind() != ErrorKind::NotFound
                    && let Err(error) = tell(builder, &id, &error)
                {
                    tracing::error!("of that nobody hears yet: {}", in_full(&error));
                    continue;
                }
            }
        }
        if let Err(error) = fs_err::remove_file(path) {
            tracing::error!("{}: scripts/after runs once more for it", in_full(&error));
        }
    }
}

/// It is given up.
fn tell(builder: &Builder, id: &EntryId, why: &io::Error) -> io::Result<()> {
    builder.outbox.put(&builder.letterhead.after_given_up(id, &in_full(why), SystemTime::now()))
}

/// Runs it for one build, in a directory of its own. The intent lies at `path`.
fn run_after(builder: &Builder, id: &EntryId, mut intent: Intent, path: &Path) -> io::Result<ProcessEnd> {
    if intent.begun >= ATTEMPTS {
        let why = format!("build has ended with it {} times", intent.begun);
        return Err(io::Error::new(ErrorKind::InvalidData, why));
    }
    let script = builder.home.scripts().join("after");
    if !fs_err::metadata(&script)?.is_file() {
        // bash would wait for who writes into a FIFO.
        return Err(io::Error::new(ErrorKind::InvalidData, format!("{} is no file", script.display())));
    }
    let mask = builder.mask();
    let mut log = MaskedLog::create(&builder.record(id).dir().join("after.log"), LOG_LIMIT, &mask)?;
    let work_dir = builder.work_dir().map_err(|fault| fault.error)?;
    let workspace = work_dir.create(&format!("{id}-after"))?;
    // If it ends us (`kill -9 $PPID`), it is not the first thing that ends each `build` from now on.
    intent.begun += 1;
    let end = intent.store(path).and_then(|()| follow(builder, id, &intent, &workspace, &mut log));
    left_over::note_processes(builder);
    if let Err(error) = workspace.remove(&builder.supervisor) {
        left_over::note_workspace(builder, workspace.path().to_path_buf(), &error);
    }
    if !matches!(end, Ok(ProcessEnd::Exited(_) | ProcessEnd::OutOfMemory(_) | ProcessEnd::TimedOut(_))) {
        intent.begun -= 1;
        intent.store(path)?;
    }
    let end = end?;
    log.finish()?;
    Ok(end)
}

fn follow(
    builder: &Builder,
    id: &EntryId,
    Intent { request, result, .. }: &Intent,
    workspace: &Workspace,
    log: &mut MaskedLog,
) -> io::Result<ProcessEnd> {
    let output = builder.record(id).output();
    let page = builder.settings.page_url.as_ref();
    let own = [
        ("AMP_CI_OUTCOME", word(result.outcome)),
        ("AMP_CI_PREVIOUS_OUTCOME", result.previous_outcome.map_or_else(String::new, word)),
        ("AMP_CI_RC", result.rc.map_or_else(String::new, |rc| rc.to_string())),
        ("AMP_CI_SECONDS", format!("{:.0}", result.seconds)),
        ("AMP_CI_LOG", output.to_string_lossy().into_owned()),
        ("AMP_CI_BUILD_URL", page.map_or_else(String::new, |page| format!("{page}/builds/{id}"))),
    ];
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    let variables = compose::variables(id, request, builder.settings.git_base.url());
    let variables: Vec<_> = variables.into_iter().chain(own).collect();
    let spec = ProcessSpec {
        words: vec!["/bin/bash".into(), builder.home.scripts().join("after").into()],
        errors_apart: false,
        dir: workspace.path(),
        variables: &variables,
        mark: &builder.mark(id),
    };
    let deadline = Cell::new(Some(Instant::now() + LIMIT));
    run::start(&builder.supervisor, &spec)?.follow(&mut |_, bytes| log.write(bytes), &deadline, None)
}

/// As it is in result.json.
fn word(outcome: Outcome) -> String {
    let word = serde_json::to_value(outcome).unwrap_or_default();
    word.as_str().unwrap_or_default().to_string()
}
