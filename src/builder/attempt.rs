//! One attempt at a claimed entry, a straight line: prepare, run, judge, conclude.
//!
//! The order of its end: the processes are gone, output.log is closed, result.json is durable (the commit
//! point), letters and the forge's status are in the outbox, running.json and the claimed entry are removed. Before the commit
//! point a crash means another attempt; after it, only that the rest is done again.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    time::{Instant, SystemTime},
};

use jiff::Timestamp;

use super::{
    announce,
    attempt_end::AttemptEnd,
    builder::Builder,
    completion,
    fault::Fault,
    launcher::{launched::Job, verdict_line::Nonce},
    process::{
        mask::MaskedLog,
        run::{self, ProcessEnd, ProcessSpec, Running},
        workspace::Workspace,
    },
    script::compose::{self, Composed},
    script_end::{NoVerdict, ScriptEnd},
};
use crate::{
    durable,
    error_chain::in_full,
    host,
    queue::Claimed,
    records::{BuildResult, Cause, Record, RunningAttempt, Verdict},
};

/// So often a build may take `build` down with it, or come to no verdict, before it is given up.
pub const ATTEMPTS: u32 = 3;

/// What the record's disk or our descriptors do not allow.
const RECORD: &str = "a build cannot be recorded";

/// Runs one claimed entry to its end. `script_is_over` is called as soon as its script has come to a verdict and
/// its processes are gone, before that is made durable: the disk need not keep the next build waiting.
pub fn run(builder: &Builder, entry: &Claimed, script_is_over: &dyn Fn()) -> AttemptEnd {
    let attempt = match Attempt::begin(builder, entry) {
        Ok(attempt) => attempt,
        Err(error) => {
            put_back(builder, entry);
            return AttemptEnd::Fault(Fault { stage: RECORD, error });
        }
    };
    let end = attempt
        .prepare()
        .and_then(|prepared| attempt.run(prepared, script_is_over))
        .and_then(|end| attempt.judge(end))
        .and_then(|judgement| attempt.conclude(judgement));
    attempt.leave(end)
}

struct Attempt<'a> {
    builder: &'a Builder,
    entry: &'a Claimed,
    record: Record,
    /// What is on record of the attempt before this one.
    before: Option<RunningAttempt>,
    number: u32,
    started: Timestamp,
    clock: Instant,
}

/// What there is to run.
enum Prepared {
    Script(Script),
    Nothing(Verdict),
}

struct Script {
    text: Vec<u8>,
    output: MaskedLog,
    workspace: Workspace,
}

/// What follows from how the script ended.
enum Judgement {
    Final(Verdict),
    PutBack,
    /// The engine failed, and why.
    TryAgain(String),
}

impl<'a> Attempt<'a> {
    fn begin(builder: &'a Builder, entry: &'a Claimed) -> io::Result<Self> {
        let record = builder.record(&entry.id);
        let before = record.running()?;
        let number = before.as_ref().map_or(0, |before| before.attempt) + 1;
        Ok(Self { builder, entry, record, before, number, started: Timestamp::now(), clock: Instant::now() })
    }

    /// Composes the script, and makes what it needs to run.
    fn prepare(&self) -> Result<Prepared, Fault> {
        let Claimed { id, request, bytes } = self.entry;
        let Builder { home, settings, lock, .. } = self.builder;
        self.record.begin(&lock.path_of_claimed(id), bytes).map_err(Fault::at(RECORD))?;
        let composed = compose::compose(&home.scripts(), request, &self.variables());
        let text = match composed.map_err(Fault::at("a chunk cannot be read"))? {
            Composed::Script(text) => text,
            Composed::Nothing(reason) => return Ok(Prepared::Nothing(Verdict::Skipped(reason))),
            Composed::Incomplete(reason) => {
                return Ok(Prepared::Nothing(Verdict::Error(Cause::Installation, reason)));
            }
        };
        tracing::debug!("build.sh of {id}:\n{}", String::from_utf8_lossy(&text));
        durable::write(&self.record.script(), &text, 0o640).map_err(Fault::at(RECORD))?;
        let output = MaskedLog::create(&self.record.output(), settings.log_limit, &self.builder.mask())
            .map_err(Fault::at(RECORD))?;
        let workspace = self.builder.work_dir()?.create(id.as_str());
        let workspace = workspace.map_err(Fault::at("no workspace can be made"))?;
        Ok(Prepared::Script(Script { text, output, workspace }))
    }

    /// Runs it until its processes are gone.
    fn run(&self, prepared: Prepared, script_is_over: &dyn Fn()) -> Result<ScriptEnd, Fault> {
        let script = match prepared {
            Prepared::Script(script) => script,
            Prepared::Nothing(verdict) => return Ok(ScriptEnd::Verdict(verdict)),
        };
        let Script { text, mut output, workspace } = script;
        let running = RunningAttempt {
            attempt: self.number,
            host: host::name(),
            pid: std::process::id(),
            script_pid: None,
            started: self.started,
            workspace: workspace.path().to_path_buf(),
            engine_failed: self.before.as_ref().is_some_and(|before| before.engine_failed),
        };
        if self.before.is_none()
            && let Err(error) = self.builder.statuses.pending(&self.entry.id, &self.entry.request)
        {
            // What came out of it will be told all the same.
            tracing::warn!("the forge does not hear that {} has begun: {}", self.entry.id, in_full(&error));
        }
        let end = self.record.set_running(&running).map_err(Fault::at(RECORD)).and_then(|()| {
            let end = match &self.builder.settings.launcher {
                None => self.run_here(&running, &mut output),
                Some(_) => self.run_launched(&running, &text, &mut output),
            };
            if matches!(end, Ok(ScriptEnd::Verdict(_))) {
                script_is_over();
            }
            let end = match end {
                Err(error) if error.kind() == ErrorKind::ArgumentListTooLong => {
                    let reason = "its ref is longer than an argument of a program can be".to_string();
                    Ok(ScriptEnd::Verdict(Verdict::Error(Cause::Request, reason)))
                }
                end => end,
            };
            end.and_then(|end| output.finish().map(|()| end)).map_err(Fault::at("a build cannot be run"))
        });
        if let Err(error) = workspace.remove(&self.builder.supervisor) {
            tracing::warn!("{}", in_full(&error));
        }
        end
    }

    /// On this host: bash runs build.sh, and how it ended is how the build ended.
    fn run_here(&self, on_record: &RunningAttempt, output: &mut MaskedLog) -> io::Result<ScriptEnd> {
        let limit = self.builder.settings.timeout;
        let deadline = Cell::new(limit.0.map(|limit| Instant::now() + limit));
        let words = vec!["/bin/bash".into(), self.record.script().into()];
        let running = self.start(on_record, words, false)?;
        Ok(match running.follow(&mut |_, bytes| output.write(bytes), &deadline)? {
            ProcessEnd::Exited(status) => ScriptEnd::Verdict(Verdict::Ran(status.into())),
            ProcessEnd::TimedOut(status) => ScriptEnd::Verdict(Verdict::timed_out(status.into(), limit)),
            ProcessEnd::Stopped => ScriptEnd::Stopped,
        })
    }

    /// Behind the launcher: its exit code says nothing, the verdict line of run.sh does.
    fn run_launched(
        &self,
        on_record: &RunningAttempt,
        build_sh: &[u8],
        output: &mut MaskedLog,
    ) -> io::Result<ScriptEnd> {
        let Builder { settings, supervisor, home, .. } = self.builder;
        let job = Job {
            launcher: settings.launcher.as_ref().expect("there is a launcher"),
            id: &self.entry.id,
            workspace: &on_record.workspace,
            record: self.record.dir(),
            limit: settings.timeout,
            nonce: Nonce::random(),
            secret: Nonce::random(),
            mask: self.builder.mask(),
        };
        let words = job.hand_over(build_sh, supervisor)?;
        // The job may outlive this host: after a crash it has to be known that there may be one.
        durable::sync_dir(&home.queue())?;
        job.follow(self.start(on_record, words, true)?, output, supervisor)
    }

    fn start(
        &self,
        on_record: &RunningAttempt,
        words: Vec<std::ffi::OsString>,
        is_launched: bool,
    ) -> io::Result<Running<'a>> {
        // As whom to fetch, build.sh does not say: it is kept.
        let credentials = self.builder.settings.git_base.credentials();
        let credentials = credentials.iter().map(|(name, value)| (*name, value.as_str()));
        let variables: Vec<_> = self.variables().into_iter().chain(credentials).collect();
        let spec = ProcessSpec {
            words,
            errors_apart: is_launched,
            dir: &on_record.workspace,
            variables: &variables,
            mark: &self.builder.mark(&self.entry.id),
        };
        let running = run::start(&self.builder.supervisor, &spec)?;
        announce::start(self.entry, running.pid(), is_launched);
        // For people only; the attempt is counted already.
        let _ =
            self.record.set_running(&RunningAttempt { script_pid: Some(running.pid()), ..on_record.clone() });
        Ok(running)
    }

    /// What follows from it; if the engine failed, the operator hears.
    fn judge(&self, end: ScriptEnd) -> Result<Judgement, Fault> {
        let failure = match end {
            ScriptEnd::Verdict(verdict) => return Ok(Judgement::Final(verdict)),
            ScriptEnd::Stopped => return Ok(Judgement::PutBack),
            ScriptEnd::NoVerdict(failure) => failure,
        };
        self.tell_fallback(&failure).map_err(Fault::at("a letter cannot be stored"))?;
        if self.number < ATTEMPTS {
            return Ok(Judgement::TryAgain(failure.why));
        }
        let reason =
            format!("the launcher came to no verdict, and this was try {}: {}", self.number, failure.why);
        Ok(Judgement::Final(Verdict::Error(Cause::Engine, reason)))
    }

    /// Once of each entry; the committer hears only when it is given up.
    fn tell_fallback(&self, failure: &NoVerdict) -> io::Result<()> {
        let running = self.record.running()?;
        if running.as_ref().is_some_and(|running| running.engine_failed) {
            return Ok(());
        }
        let (Claimed { id, request, .. }, NoVerdict { why, words }) = (self.entry, failure);
        let log = self.record.dir().join("launcher.log");
        let letter = self.builder.letterhead.no_verdict(id, request, why, words, &log, SystemTime::now());
        self.builder.outbox.put(&letter)?;
        running.map_or(Ok(()), |running| {
            self.record.set_running(&RunningAttempt { engine_failed: true, ..running })
        })
    }

    /// Says the final word, or that there is none yet.
    fn conclude(&self, judgement: Judgement) -> Result<AttemptEnd, Fault> {
        let verdict = match judgement {
            Judgement::Final(verdict) => verdict,
            Judgement::PutBack => {
                announce::put_back(self.entry);
                return Ok(AttemptEnd::PutBack);
            }
            Judgement::TryAgain(why) => {
                announce::no_verdict(self.entry, self.number, &why);
                return Ok(AttemptEnd::NoVerdict);
            }
        };
        let seconds = self.clock.elapsed().as_secs_f64();
        let result = BuildResult::new(&verdict, self.started, seconds, self.number, host::name());
        self.record.commit(&result).map_err(Fault::at("the result of a build cannot be recorded"))?;
        completion::announce_and_complete(self.builder, &self.record, self.entry, &result)
            .map_err(Fault::at("a finished build cannot be told of"))?;
        Ok(AttemptEnd::Recorded)
    }

    /// Without a final word the entry goes back to the queue.
    fn leave(self, end: Result<AttemptEnd, Fault>) -> AttemptEnd {
        if self.record.is_final() {
            // If it is not known to be durable, or not told yet, the next build finishes from there.
            return end.unwrap_or_else(AttemptEnd::Fault);
        }
        // Neither being stopped nor a fault of the machine costs an attempt.
        let counted = match end {
            Ok(AttemptEnd::NoVerdict) => self.record.set_waiting(),
            _ => self.record.take_back(self.before.as_ref()),
        };
        if let Err(error) = counted {
            tracing::warn!("{}: this try will be counted", in_full(&error));
        }
        if end.is_err() {
            // On a full disk it is in the way of the next push.
            let _ = fs_err::remove_file(self.record.output());
        }
        put_back(self.builder, self.entry);
        end.unwrap_or_else(AttemptEnd::Fault)
    }

    fn variables(&self) -> [(&'static str, &'a str); 8] {
        compose::variables(&self.entry.id, &self.entry.request, self.builder.settings.git_base.url())
    }
}

fn put_back(builder: &Builder, entry: &Claimed) {
    if let Err(error) = builder.put_back(entry) {
        tracing::error!("{}: the next build puts it back", in_full(&error));
    }
}
