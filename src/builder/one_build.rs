//! One build, from the claimed entry to the final word on record.
//!
//! The order of its end: the processes are gone, output.log is closed, result.json is durable (the commit
//! point), the letters are in the outbox, running.json and the claimed entry are removed. Before the commit
//! point a crash means another try; after it, only that the rest is done again.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    announce,
    drain::Ci,
    launched::{self, NoVerdict},
    letter,
    output::OutputLog,
    process::{self, Ended, Program, Task},
    script::{self, Composed},
    trouble::Fault,
    workspace,
};
use crate::{
    error_chain::in_full,
    host,
    queue::{Claimed, EntryId},
    records::{BuildResult, Record, RunningAttempt, Verdict},
};

/// So often a build may take `build` down with it, or come to no verdict, before it is given up.
pub const TRIES: u32 = 3;

/// What the record's disk or our descriptors do not allow.
const RECORD: &str = "a build cannot be recorded";

/// What became of a claimed entry.
#[derive(Debug)]
pub enum Done {
    /// It has its final record.
    Recorded,
    /// It is in the queue again, because we were told to stop.
    PutBack,
    /// It is in the queue again, because the engine failed; the try counts.
    NoVerdict,
    /// The machine is at fault; the entry is in the queue again, unless even that failed.
    Fault(Fault),
}

/// How the run of a script ended.
#[derive(Debug)]
pub enum Ran {
    /// It came to a verdict.
    Verdict(Verdict),
    /// We were told to stop.
    Stopped,
    /// The launcher ended without one.
    NoVerdict(NoVerdict),
}

/// A try, and when it was made.
struct Tried {
    ran: Ran,
    started: Timestamp,
    took: Duration,
    attempt: u32,
}

/// Runs one claimed entry to its end. `script_is_over` is called as soon as its script has come to a verdict and
/// its processes are gone, before that is made durable: the disk need not keep the next build waiting.
pub fn run(ci: &Ci, entry: &Claimed, script_is_over: &dyn Fn()) -> Done {
    let record = Record::of(&ci.home, &entry.id);
    let mut before = None;
    let done = record.running().map_err(Fault::at(RECORD)).and_then(|running| {
        before = running;
        conclude(ci, &record, entry, try_once(ci, &record, entry, before.as_ref(), script_is_over)?)
    });
    if record.is_final() {
        // The word is said; if it is not known to be durable, or not told yet, the next build finishes from there.
        return done.unwrap_or_else(Done::Fault);
    }
    // Neither being stopped nor a fault of the machine costs a try.
    let counted = match done {
        Ok(Done::NoVerdict) => record.set_waiting(),
        _ => record.take_back(before.as_ref()),
    };
    if let Err(error) = counted {
        tracing::warn!("{}: this try will be counted", in_full(&error));
    }
    if done.is_err() {
        // On a full disk it is in the way of the next push.
        let _ = fs_err::remove_file(record.output());
    }
    if let Err(error) = put_back(ci, entry) {
        tracing::error!("{}: the next build puts it back", in_full(&error));
    }
    done.unwrap_or_else(Done::Fault)
}

/// What a try leads to.
fn conclude(ci: &Ci, record: &Record, entry: &Claimed, tried: Tried) -> Result<Done, Fault> {
    let Tried { ran, started, took, attempt } = tried;
    let verdict = match ran {
        Ran::Verdict(verdict) => verdict,
        Ran::Stopped => {
            announce::put_back(entry);
            return Ok(Done::PutBack);
        }
        Ran::NoVerdict(failure) => {
            launched::tell_fallback(ci, record, entry, &failure)
                .map_err(Fault::at("a letter cannot be stored"))?;
            if attempt < TRIES {
                announce::no_verdict(entry, attempt, &failure.why);
                return Ok(Done::NoVerdict);
            }
            Verdict::Error(format!("{}, and this was try {attempt}: {}", launched::NO_VERDICT, failure.why))
        }
    };
    let result = BuildResult::new(&verdict, started, took.as_secs_f64(), attempt, host::name());
    record.commit(&result).map_err(Fault::at("the result of a build cannot be recorded"))?;
    finish(ci, record, entry, &result)
}

/// Back into the queue, also if somebody has removed the claimed entry meanwhile.
fn put_back(ci: &Ci, entry: &Claimed) -> io::Result<()> {
    if !ci.drain.put_back(&entry.id)? {
        ci.drain.restore(&entry.id, &entry.bytes)?;
    }
    Ok(())
}

/// The next try: composes the script and runs it, unless there is nothing to run.
fn try_once(
    ci: &Ci,
    record: &Record,
    entry: &Claimed,
    before: Option<&RunningAttempt>,
    script_is_over: &dyn Fn(),
) -> Result<Tried, Fault> {
    let attempt = before.map_or(0, |before| before.attempt) + 1;
    let Claimed { id, request, bytes } = entry;
    let (clock, started) = (Instant::now(), Timestamp::now());
    record.begin(&ci.drain.path_of_claimed(id), bytes).map_err(Fault::at(RECORD))?;
    let tried = |ran| Ok(Tried { ran, started, took: clock.elapsed(), attempt });

    let variables = script::variables(id, request, &ci.settings.git_base);
    let composed = script::compose(&ci.home.scripts(), request, &variables);
    let text = match composed.map_err(Fault::at("a chunk cannot be read"))? {
        Composed::Script(script) => script.text,
        Composed::Nothing(reason) => return tried(Ran::Verdict(Verdict::Skipped(reason))),
        Composed::Incomplete(reason) => return tried(Ran::Verdict(Verdict::Error(reason))),
    };
    tracing::debug!("build.sh of {id}:\n{}", String::from_utf8_lossy(&text));
    fs_err::write(record.script(), &text).map_err(Fault::at(RECORD))?;
    let mut output = OutputLog::create(&record.output(), ci.settings.log_limit).map_err(Fault::at(RECORD))?;
    let workspace = ci.work_dir()?.create(id).map_err(Fault::at("no workspace can be made"))?;
    let running = RunningAttempt {
        attempt,
        host: host::name(),
        pid: std::process::id(),
        script_pid: None,
        started,
        workspace: workspace.path().to_path_buf(),
        engine_failed: before.is_some_and(|before| before.engine_failed),
    };
    let task =
        Task { ci, record, entry, workspace: workspace.path(), variables: &variables, running: &running };
    let ran = record.set_running(&running).map_err(Fault::at(RECORD)).and_then(|()| {
        let ran = match &ci.settings.launcher {
            None => run_here(&task, &mut output),
            Some(launcher) => launched::run(&task, launcher, &text, &mut output),
        };
        if matches!(ran, Ok(Ran::Verdict(_))) {
            script_is_over();
        }
        let ran = match ran {
            Err(error) if error.kind() == ErrorKind::ArgumentListTooLong => {
                let reason = "its ref is longer than an argument of a program can be".to_string();
                Ok(Ran::Verdict(Verdict::Error(reason)))
            }
            ran => ran,
        };
        ran.and_then(|ran| output.finish().map(|()| ran)).map_err(Fault::at("a build cannot be run"))
    });
    if let Err(error) = workspace.remove(&ci.children) {
        tracing::warn!("{}", in_full(&error));
    }
    tried(ran?)
}

/// On this host: bash runs build.sh, and how it ended is how the build ended.
fn run_here(task: &Task, output: &mut OutputLog) -> io::Result<Ran> {
    let settings = &task.ci.settings;
    let deadline = Cell::new(settings.timeout.0.map(|limit| Instant::now() + limit));
    let program =
        Program { words: vec!["/bin/bash".into(), task.record.script().into()], errors_apart: false };
    Ok(match process::start(task, &program)?.follow(&mut |_, bytes| output.write(bytes), &deadline)? {
        Ended::Exited(status) => Ran::Verdict(Verdict::Ran(status.into())),
        Ended::TimedOut(status) => Ran::Verdict(Verdict::TimedOut(status.into(), settings.timeout.reason())),
        Ended::Stopped => Ran::Stopped,
    })
}

/// What the processes of this build are recognised by: this home, this entry.
pub fn mark(ci: &Ci, id: &EntryId) -> String {
    format!("{}-{id}", workspace::mark(&ci.home))
}

/// What is left to do once the final word is on record. Doing it again changes nothing.
pub fn finish(ci: &Ci, record: &Record, entry: &Claimed, result: &BuildResult) -> Result<Done, Fault> {
    announce::end(record, entry, result);
    complete(ci, record, &entry.id, result).map_err(Fault::at("a finished build cannot be told of"))?;
    Ok(Done::Recorded)
}

/// Letters, then the entry: after this the build is over in every respect but that mail may wait.
pub fn complete(ci: &Ci, record: &Record, id: &EntryId, result: &BuildResult) -> io::Result<()> {
    for letter in letter::about(record, id, result, &ci.home, &ci.settings)? {
        ci.outbox.put(&letter)?;
    }
    record.clear_running()?;
    ci.drain.finish(id)
}
