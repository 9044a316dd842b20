//! One attempt at a claimed entry, a straight line: prepare, run, judge, conclude.
//!
//! The order of its end: the processes are gone, output.log is closed, result.json is durable (the commit
//! point), letters and the forge's status are in the outbox, running.json and the claimed entry are removed. Before the commit
//! point a crash means another attempt; after it, only that the rest is done again.

use std::{
    cell::{Cell, OnceCell, RefCell},
    fs::File,
    io::{self, ErrorKind},
    sync::Arc,
    time::{Instant, SystemTime},
};

use jiff::Timestamp;
use rustix::io::Errno;

use super::{
    announce,
    attempt_end::AttemptEnd,
    builder::Builder,
    completion::Ended,
    fault::Fault,
    judgement::{Judgement, Try, tries},
    launcher::{launched::Job, verdict_line::Nonce},
    left_over, machine,
    mail::letters,
    mirror::{self, Mirrors, Stopped},
    process::{
        bell::Bell,
        mask::MaskedLog,
        run::{self, ProcessEnd, ProcessSpec, Running},
        workspace::Workspace,
    },
    script::compose::{self, Composed},
    script_end::{NoVerdict, ScriptEnd},
};
use crate::{
    durable,
    error_chain::{errno, in_full},
    host, proc_table,
    queue::{Cancel, Claimed, Retry},
    records::{BuildResult, Cause, OnRecord, Outcome, Record, RunningAttempt, Verdict, excerpt},
};

/// What the record's disk or our descriptors do not allow.
const RECORD: &str = "a build cannot be recorded";

/// Runs one claimed entry to its end. `script_is_over` is called as soon as its script has come to a verdict and
/// its processes are gone, before that is made durable: the disk need not keep the next build waiting. `cancel` rings when
/// nobody wants it any more.
pub fn run(builder: &Builder, entry: &Claimed, cancel: &Bell, script_is_over: &dyn Fn()) -> AttemptEnd {
    let attempt = Attempt::begin(builder, entry, cancel);
    let end = attempt
        .prepare()
        .and_then(|prepared| attempt.run(prepared, script_is_over))
        .and_then(|end| attempt.judge(end))
        .or_else(|fault| attempt.blame(&fault))
        .and_then(|judgement| attempt.conclude(judgement));
    attempt.leave(end)
}

struct Attempt<'a> {
    builder: &'a Builder,
    entry: &'a Claimed,
    cancel: &'a Bell,
    record: Record,
    /// What is on record of the attempt before this one.
    before: Option<RunningAttempt>,
    /// How often it has been put back.
    put_back: Option<Retry>,
    number: u32,
    /// What it puts out, as soon as there is a file for it.
    output: RefCell<Option<Arc<File>>>,
    /// What its script may clone from.
    mirrors: OnceCell<Mirrors>,
    /// What is left of it, if it had to make room.
    excerpt: RefCell<Option<String>>,
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

impl<'a> Attempt<'a> {
    fn begin(builder: &'a Builder, entry: &'a Claimed, cancel: &'a Bell) -> Self {
        let record = builder.record(&entry.id);
        let before = record.running();
        let put_back = Retry::of(&builder.home.queue(), &entry.id);
        let number = tries(before.as_ref(), put_back.as_ref()) + 1;
        Self {
            builder,
            entry,
            cancel,
            record,
            before,
            put_back,
            number,
            output: RefCell::default(),
            mirrors: OnceCell::new(),
            excerpt: RefCell::default(),
            started: Timestamp::now(),
            clock: Instant::now(),
        }
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
        *self.output.borrow_mut() = Some(output.file());
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
        // Asked for in the moment in which it was claimed, or not recorded so while it waited: it need not run first.
        if self.cancel.has_rung() || Cancel::of(&self.builder.home.queue(), &self.entry.id).is_some() {
            self.remove(&workspace);
            return Ok(ScriptEnd::Cancelled(None, None));
        }
        let running = RunningAttempt {
            attempt: self.number,
            host: host::name(),
            pid: std::process::id(),
            script_pid: None,
            script_start: None,
            started: self.started,
            workspace: workspace.path().to_path_buf(),
            engine_failed: self.before.as_ref().is_some_and(|before| before.engine_failed),
            died: false,
        };
        if self.before.is_none()
            && let Err(error) = self.builder.statuses.pending(&self.entry.id, &self.entry.request)
        {
            // What came out of it will be told all the same.
            tracing::warn!("the forge does not hear that {} has begun: {}", self.entry.id, in_full(&error));
        }
        let end = self.record.begin_try(running).map_err(Fault::at(RECORD)).and_then(|on_record| {
            let end = match (self.take_mirrors(&text), &self.builder.settings.launcher) {
                (Err(Stopped), _) => Ok(ScriptEnd::Stopped),
                // Meanwhile.
                (Ok(()), _) if self.cancel.has_rung() => Ok(ScriptEnd::Cancelled(None, None)),
                (Ok(()), None) => self.run_here(&on_record, &mut output),
                (Ok(()), Some(_)) => self.run_launched(&on_record, &text, &mut output),
            };
            if matches!(end, Ok(ScriptEnd::Verdict(_) | ScriptEnd::Cancelled(..))) {
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
        left_over::note_processes(self.builder);
        self.remove(&workspace);
        end
    }

    fn remove(&self, workspace: &Workspace) {
        if let Err(error) = workspace.remove(&self.builder.supervisor) {
            left_over::note_workspace(self.builder, workspace.path().to_path_buf(), &error);
        }
    }

    fn take_mirrors(&self, build_sh: &[u8]) -> Result<(), Stopped> {
        if let Some(mirrors) = Mirrors::prepare(self.builder, self.entry, build_sh, self.cancel)? {
            let _ = self.mirrors.set(mirrors);
        }
        Ok(())
    }

    /// On this host: bash runs build.sh, and how it ended is how the build ended.
    fn run_here(&self, on_record: &OnRecord, output: &mut MaskedLog) -> io::Result<ScriptEnd> {
        let limit = self.builder.settings.timeout;
        let deadline = Cell::new(limit.0.map(|limit| Instant::now() + limit));
        let words = vec!["/bin/bash".into(), self.record.script().into()];
        let running = self.start(on_record, words, false)?;
        let end = running.follow(&mut |_, bytes| output.write(bytes), &deadline, Some(self.cancel))?;
        let early = self.record.take_progress();
        Ok(match end {
            ProcessEnd::Exited(status) => ScriptEnd::exited(status.into(), &early),
            ProcessEnd::OutOfMemory(status) => ScriptEnd::Verdict(Verdict::OutOfMemory(status.into())),
            ProcessEnd::TimedOut(status) => ScriptEnd::Verdict(Verdict::timed_out(status.into(), limit)),
            ProcessEnd::Stopped => ScriptEnd::Stopped,
            ProcessEnd::Cancelled(status) => ScriptEnd::Cancelled(Some(status.into()), None),
        })
    }

    /// Behind the launcher: its exit code says nothing, the verdict line of run.sh does.
    fn run_launched(
        &self,
        on_record: &OnRecord,
        build_sh: &[u8],
        output: &mut MaskedLog,
    ) -> io::Result<ScriptEnd> {
        let Builder { settings, supervisor, home, .. } = self.builder;
        let job = Job {
            launcher: settings.launcher.as_ref().expect("there is a launcher"),
            id: &self.entry.id,
            workspace: &on_record.running.workspace,
            record: self.record.dir(),
            limit: settings.timeout,
            nonce: Nonce::random(),
            secret: Nonce::random(),
            mask: self.builder.mask(),
        };
        let words = job.hand_over(build_sh, supervisor)?;
        // The job may outlive this host: after a crash it has to be known that there may be one.
        durable::sync_dir(&home.queue())?;
        job.follow(self.start(on_record, words, true)?, output, supervisor, self.cancel)
    }

    fn start(
        &self,
        on_record: &OnRecord,
        words: Vec<std::ffi::OsString>,
        is_launched: bool,
    ) -> io::Result<Running<'a>> {
        // As whom to fetch, build.sh does not say: it is kept.
        let credentials = self.builder.settings.git_base.credentials();
        let credentials = credentials.iter().map(|(name, value)| (*name, value.as_str()));
        let progress = self.record.progress();
        // A node need not see the record: run.sh has a place for it.
        let progress = progress.to_str().filter(|_| !is_launched).map(|path| (compose::PROGRESS, path));
        let mirrors = self.mirrors.get().and_then(|mirrors| mirrors.dir().to_str());
        let mirrors = mirrors.map(|dir| (mirror::VARIABLE, dir));
        let variables: Vec<_> =
            self.variables().into_iter().chain(credentials).chain(progress).chain(mirrors).collect();
        let spec = ProcessSpec {
            words,
            errors_apart: is_launched,
            dir: &on_record.running.workspace,
            variables: &variables,
            mark: &self.builder.mark(&self.entry.id),
        };
        let running = run::start(&self.builder.supervisor, &spec)?;
        announce::start(self.entry, running.pid(), is_launched);
        // For people, and for what another account's processes are recognised by; the attempt is counted already.
        let script_start = running.start().map(|start| (start, proc_table::boot_id().to_string()));
        let _ = on_record.set_script(running.pid(), script_start);
        Ok(running)
    }

    /// What follows from it. Where the engine failed, the operator hears: what may run on there is theirs to end.
    fn judge(&self, end: ScriptEnd) -> Result<Judgement, Fault> {
        if let ScriptEnd::NoVerdict(failure) | ScriptEnd::Cancelled(_, Some(failure)) = &end {
            self.tell_fallback(failure).map_err(Fault::at("a letter cannot be stored"))?;
        }
        Ok(self.as_try().judge(end, || self.cancel_request()))
    }

    /// Whose fault is it? The machine's only if the same fails without this entry.
    fn blame(&self, fault: &Fault) -> Result<Judgement, Fault> {
        if errno(&fault.error).is_some_and(|errno| matches!(errno, Errno::NOSPC | Errno::DQUOT | Errno::FBIG))
        {
            self.make_room();
        }
        self.as_try().blame(fault, machine::fault(self.builder))
    }

    fn as_try(&self) -> Try<'_> {
        Try {
            number: self.number,
            put_back: self.put_back.as_ref(),
            is_doubted: self.builder.supervisor.is_doubted(),
            now: Timestamp::now(),
        }
    }

    /// Who does not want it any more, and why.
    fn cancel_request(&self) -> Cancel {
        Cancel::of(&self.builder.home.queue(), &self.entry.id).unwrap_or_default()
    }

    /// What it has put out must not be what keeps the disk full: an excerpt of it stays, in memory.
    fn make_room(&self) {
        let excerpt = self.excerpt();
        if let Some(file) = &*self.output.borrow() {
            let _ = file.set_len(0);
        }
        *self.excerpt.borrow_mut() = Some(excerpt);
    }

    /// Once of each entry; the committer hears only when it is given up.
    fn tell_fallback(&self, failure: &NoVerdict) -> io::Result<()> {
        let running = self.record.running();
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
            Judgement::Later(why) => {
                let mut retry = Retry::after(self.put_back.as_ref(), Timestamp::now(), why);
                if self.builder.supervisor.is_doubted() {
                    retry.tries = self.number;
                }
                announce::put_back_for_later(self.entry, &retry);
                let Err(error) = retry.store(&self.builder.home.queue(), &self.entry.id) else {
                    return Ok(AttemptEnd::Later);
                };
                if let Some(fault) = machine::fault(self.builder) {
                    return Err(fault);
                }
                // Without a pause it would be in front of all others, for ever.
                let reason = format!("it cannot be put back: {}; {}", in_full(&error), retry.why);
                Verdict::Error(Cause::Record, reason)
            }
        };
        let Claimed { id, request, bytes } = self.entry;
        let seconds = self.clock.elapsed().as_secs_f64();
        let mut result = BuildResult::new(&verdict, self.started, seconds, self.number, host::name());
        if result.outcome == Outcome::Cancelled {
            result.by = self.cancel_request().by;
        }
        self.builder.history.enter(&self.builder.home, id, request, bytes, &mut result);
        let result = &result;
        let is_shown = letters::are_due(result.outcome) || announce::shows_output(result.outcome);
        let output = &if is_shown { self.excerpt() } else { String::new() };
        let has_begun = self.before.is_some() || self.output.borrow().is_some();
        let ended = Ended { id, request, result, output, has_begun };
        if let Err(error) = self.record.commit(result) {
            let fault = Fault { stage: "the result of a build cannot be recorded", error };
            ended.commit_anew(self.builder, &self.record, bytes, &fault)?;
        }
        let made_room = self.excerpt.borrow().is_some();
        if made_room || has_begun && self.record.output().symlink_metadata().is_err() {
            // People are told that it is there.
            let _ = durable::write(&self.record.output(), self.excerpt().as_bytes(), 0o640);
        }
        announce::end(self.entry, result, output);
        ended.complete_in_any_case(self.builder, &self.record)?;
        Ok(AttemptEnd::Recorded)
    }

    fn excerpt(&self) -> String {
        if let Some(excerpt) = &*self.excerpt.borrow() {
            return excerpt.clone();
        }
        let path = self.record.output();
        let read = self.output.borrow().as_ref().map(|file| excerpt::of(file, &path));
        read.transpose().unwrap_or_else(|error| Some(in_full(&error))).unwrap_or_default()
    }

    /// Without a final word the entry goes back to the queue.
    fn leave(self, end: Result<AttemptEnd, Fault>) -> AttemptEnd {
        if matches!(end, Ok(AttemptEnd::Recorded)) || self.record.is_final() {
            // If it is not known to be durable, or not told yet, the next build finishes from there.
            return end.unwrap_or_else(AttemptEnd::Fault);
        }
        // Neither being stopped nor what is not the script's doing costs an attempt.
        let counted = match end {
            Ok(AttemptEnd::NoVerdict) => self.record.set_waiting(false),
            Ok(_) if self.builder.supervisor.is_doubted() => self.record.set_waiting(true),
            _ => self.record.take_back(self.before.as_ref()),
        };
        if let Err(error) = counted {
            tracing::warn!("{}: this try will be counted", in_full(&error));
        }
        if let Err(fault) = &end {
            // On a full disk it is in the way of the next push.
            let _ = fs_err::remove_file(self.record.output());
            // Others go first, as far as that can be written down.
            let retry = Retry::after(self.put_back.as_ref(), Timestamp::now(), fault.to_string());
            let _ = retry.store(&self.builder.home.queue(), &self.entry.id);
        }
        if let Err(error) = self.builder.put_back(self.entry) {
            tracing::error!("{}: the next build puts it back", in_full(&error));
        }
        end.unwrap_or_else(AttemptEnd::Fault)
    }

    fn variables(&self) -> [(&'static str, &'a str); 8] {
        compose::variables(&self.entry.id, &self.entry.request, self.builder.settings.git_base.url())
    }
}
