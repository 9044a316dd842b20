//! One build, from the claimed entry to the final word on record.
//!
//! The order of its end: the processes are gone, output.log is closed, result.json is durable (the commit
//! point), the letters are in the outbox, running.json and the claimed entry are removed. Before the commit
//! point a crash means another try; after it, only that the rest is done again.

use std::{
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    drain::Ci,
    letter,
    log::PROGRESS,
    outcome::{Outcome, Verdict},
    output::OutputLog,
    process::{self, Ended, Script},
    record::{BuildResult, Record, Try},
    script::{self, Composed},
    settings::host_name,
    trouble::Fault,
    workspace,
};
use crate::queue::{BuildRequest, Claimed, EntryId};

/// What became of a claimed entry.
#[derive(Debug)]
pub enum Done {
    /// It has its final record.
    Recorded,
    /// It is in the queue again, because we were told to stop.
    PutBack,
    /// The machine is at fault; the entry is in the queue again, unless even that failed.
    Fault(Fault),
}

/// How a try went that could be made.
struct Tried {
    verdict: Verdict,
    started: Timestamp,
    took: Duration,
    attempts: u32,
}

/// Runs one claimed entry to its end.
pub fn run(ci: &Ci, entry: &Claimed) -> Done {
    let record = Record::of(&ci.home, &entry.id);
    let done = match attempt(ci, &record, entry) {
        Ok(None) => Ok(Done::PutBack),
        Ok(Some(tried)) => {
            let result = BuildResult::new(
                &tried.verdict,
                tried.started,
                tried.took.as_secs_f64(),
                tried.attempts,
                host_name(),
            );
            match record.commit(&result) {
                Ok(()) => return finish(ci, &record, entry, &result),
                Err(error) => Err(Fault { stage: "the result of a build cannot be recorded", error }),
            }
        }
        Err(fault) => Err(fault),
    };
    // Neither being stopped nor a fault of the machine costs a try.
    if let Some(running) = record.running()
        && let Err(error) = record.take_back(&running)
    {
        tracing::warn!("{error}: this try will be counted");
    }
    if let Err(error) = put_back(ci, entry) {
        tracing::error!("{error}: the next build puts it back");
    }
    done.unwrap_or_else(Done::Fault)
}

/// Back into the queue, also if somebody has removed the claimed entry meanwhile.
fn put_back(ci: &Ci, entry: &Claimed) -> io::Result<()> {
    if !ci.drain.put_back(&entry.id)? {
        ci.drain.restore(&entry.id, &entry.bytes)?;
    }
    Ok(())
}

/// One try; none if it was stopped.
fn attempt(ci: &Ci, record: &Record, entry: &Claimed) -> Result<Option<Tried>, Fault> {
    const RECORD: &str = "a build cannot be recorded";
    let Claimed { id, request, bytes } = entry;
    let clock = Instant::now();
    let started = Timestamp::now();
    record.begin(bytes).map_err(Fault::at(RECORD))?;
    let attempts = record.running().map_or(0, |running| running.attempt) + 1;
    let tried = |verdict| Ok(Some(Tried { verdict, started, took: clock.elapsed(), attempts }));

    let variables = script::variables(id, request, &ci.settings.git_base);
    let composed = script::compose(&ci.home.scripts(), request, &variables);
    let text = match composed.map_err(Fault::at("a chunk cannot be read"))? {
        Composed::Script(text) => text,
        Composed::Nothing(reason) => return tried(Verdict::Skipped(reason)),
        Composed::Incomplete(reason) => return tried(Verdict::Error(reason)),
    };
    fs_err::write(record.script(), &text).map_err(Fault::at(RECORD))?;
    let mut output = OutputLog::create(&record.output(), ci.settings.log_limit).map_err(Fault::at(RECORD))?;
    let workspace = ci.work_dir()?.create(id).map_err(Fault::at("no workspace can be made"))?;
    let running = Try {
        attempt: attempts,
        host: host_name(),
        pid: std::process::id(),
        script_pid: None,
        started,
        workspace: workspace.path().to_path_buf(),
    };
    let script = Script {
        path: &record.script(),
        workspace: workspace.path(),
        variables: &variables,
        mark: &mark(ci, id),
    };
    let ended = record.set_running(&running).and_then(|()| {
        tracing::debug!("build.sh of {id}:\n{}", String::from_utf8_lossy(&text));
        run_script(ci, record, entry, &script, running, &mut output)
    });
    if let Err(error) = workspace.remove(&ci.children) {
        tracing::warn!("{error}");
    }
    let verdict = match ended {
        Ok(Ended::Exited(status)) => Verdict::Ran(status.into()),
        Ok(Ended::TimedOut(status)) => {
            Verdict::TimedOut(status.into(), format!("ended after its limit of {}", ci.settings.timeout))
        }
        Ok(Ended::Stopped) => {
            announce(id, request, "is put back: build was told to stop");
            return Ok(None);
        }
        Err(error) if error.kind() == ErrorKind::ArgumentListTooLong => {
            Verdict::Error("its ref is longer than an argument of a program can be".to_string())
        }
        Err(error) => return Err(Fault { stage: "a build cannot be run", error }),
    };
    output.finish().map_err(Fault::at(RECORD))?;
    tried(verdict)
}

/// From the start of the script to the end of its last process.
fn run_script(
    ci: &Ci,
    record: &Record,
    entry: &Claimed,
    script: &Script,
    mut running: Try,
    output: &mut OutputLog,
) -> io::Result<Ended> {
    let deadline = ci.settings.timeout.0.map(|limit| Instant::now() + limit);
    let process = process::start(script, &ci.children)?;
    announce_start(&entry.id, &entry.request, process.pid());
    running.script_pid = Some(process.pid());
    // For people only; the try is counted already.
    let _ = record.set_running(&running);
    process.follow(output, deadline, &ci.stop, &ci.children)
}

/// What the processes of this build are recognised by: this home, this entry.
pub fn mark(ci: &Ci, id: &EntryId) -> String {
    format!("{}-{id}", workspace::mark(&ci.home))
}

/// What is left to do once the final word is on record. Doing it again changes nothing.
pub fn finish(ci: &Ci, record: &Record, entry: &Claimed, result: &BuildResult) -> Done {
    announce_end(record, entry, result);
    match complete(ci, record, &entry.id, result) {
        Ok(()) => Done::Recorded,
        Err(error) => Done::Fault(Fault { stage: "a finished build cannot be told of", error }),
    }
}

/// Letters, then the entry: after this the build is over in every respect but that mail may wait.
pub fn complete(ci: &Ci, record: &Record, id: &EntryId, result: &BuildResult) -> io::Result<()> {
    for letter in letter::about(record, id, result, &ci.home, &ci.settings)? {
        ci.outbox.put(&letter)?;
    }
    record.clear_running()?;
    ci.drain.finish(id)
}

fn announce_start(id: &EntryId, request: &BuildRequest, pid: u32) {
    announce(id, request, &format!("runs as pid {pid}; kill -- -{pid} ends this build"));
}

fn announce(id: &EntryId, request: &BuildRequest, what: &str) {
    tracing::info!(target: PROGRESS, "{id} {} {} {} {what}", request.repository, request.git_ref, request.commit_id);
}

/// The end of a build, with its output if that says what went wrong.
fn announce_end(record: &Record, entry: &Claimed, result: &BuildResult) {
    let id = &entry.id;
    let outcome = match (result.outcome, result.rc, result.reason.as_deref()) {
        (Outcome::Succeeded, ..) => "succeeded".to_string(),
        (Outcome::Failed, Some(rc), _) => format!("failed with rc {rc}"),
        (Outcome::TimedOut, Some(rc), Some(reason)) => format!("timed out: {reason}, rc {rc}"),
        (Outcome::Skipped, _, reason) => format!("skipped: {}", reason.unwrap_or_default()),
        (_, _, reason) => format!("could not be run: {}", reason.unwrap_or_default()),
    };
    let what = format!("{outcome} ({:.1} s)", result.seconds);
    let failed = matches!(result.outcome, Outcome::Failed | Outcome::TimedOut | Outcome::Error);
    let output = || letter::shown_output(record).unwrap_or_else(|error| error.to_string());
    if failed {
        let request = &entry.request;
        tracing::error!(
            target: PROGRESS,
            "{id} {} {} {} {what}\n{}", request.repository, request.git_ref, request.commit_id, output()
        );
    } else {
        announce(id, &entry.request, &what);
        if tracing::enabled!(tracing::Level::DEBUG) {
            tracing::debug!("output of {id}:\n{}", output());
        }
    }
}
