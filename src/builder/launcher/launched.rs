//! A build behind a launcher: run.sh goes along, and its verdict counts, not the launcher's exit code.

use std::{cell::Cell, ffi::OsString, io, path::Path, time::Instant};

use super::{
    launcher::Launcher,
    run_sh,
    verdict_line::{Nonce, VerdictLine, VerdictReader},
};
use crate::{
    builder::{
        process::{
            bell::Bell,
            mask::{Mask, MaskedLog},
            run::{GRACE, ProcessEnd, Running, Stream},
            supervisor::Supervisor,
        },
        script_end::{NoVerdict, ScriptEnd},
    },
    durable,
    error_chain::in_full,
    queue::EntryId,
    records::{Rc, Verdict},
    regular_file,
    text::printable,
    timeout::Timeout,
};

/// So much of what a launcher says of itself is kept in launcher.log.
const WORDS_LIMIT: u64 = 64 << 10;

/// So much of it goes into build.log and letters: its end.
const WORDS_SHOWN: usize = 4000;

/// A build that is handed to the launcher.
#[derive(Debug)]
pub struct Job<'a> {
    pub launcher: &'a Launcher,
    pub id: &'a EntryId,
    /// All that a node needs to see.
    pub workspace: &'a Path,
    /// Where run.sh and launcher.log are kept.
    pub record: &'a Path,
    pub limit: Timeout,
    pub nonce: Nonce,
    pub secret: Nonce,
    /// For launcher.log; the output is masked already.
    pub mask: Mask,
}

impl Job<'_> {
    /// Puts everything in its place that has to be there before it may start; returns the words to start.
    pub fn hand_over(&self, build_sh: &[u8], supervisor: &Supervisor) -> io::Result<Vec<OsString>> {
        let run_sh_path = self.record.join("run.sh");
        if run_sh_path.exists() {
            // It has been launched before, and whether its job could be taken away then is not known.
            self.launcher.cancel(&self.id.waiting(), self.workspace, supervisor, &self.mask)?;
        }
        self.launcher.start.look_up()?;
        let run_sh = run_sh::text(&self.nonce, self.workspace, self.limit);
        durable::write(&run_sh_path, run_sh.as_bytes(), 0o640)?;
        durable::write(&self.workspace.join(run_sh::SCRIPT), build_sh, 0o640)?;
        let secret = format!("{}\n", self.secret);
        durable::write(&self.workspace.join(run_sh::SECRET), secret.as_bytes(), 0o600)?;
        // If `build` is killed, so is what it launched: setpriv(1) asks the kernel to see to that.
        let guard = ["setpriv", "--pdeathsig", "TERM"].map(String::from);
        let (name, dir) = (self.id.waiting(), self.workspace.to_string_lossy());
        let start = self.launcher.start.words(&name, &dir);
        let bash = ["/bin/bash".to_string(), "-c".to_string(), run_sh];
        Ok(guard.into_iter().chain(start).chain(bash).map(OsString::from).collect())
    }

    /// Follows the launcher until it ends or has passed on a verdict.
    pub fn follow(
        &self,
        running: Running,
        output: &mut MaskedLog,
        supervisor: &Supervisor,
        cancel: &Bell,
    ) -> io::Result<ScriptEnd> {
        let words_path = self.record.join("launcher.log");
        let mut words = MaskedLog::create(&words_path, WORDS_LIMIT, &self.mask)?;
        let mut reader = VerdictReader::new(&self.nonce, &self.secret);
        let comes_after_stop = Cell::new(false);
        // None of ours before the verdict: a job may wait for its turn, and run.sh keeps the limit.
        let deadline = Cell::new(None);
        let mut keep = |stream, bytes: &[u8]| match stream {
            Stream::Errors => words.write(bytes),
            Stream::Output => {
                reader.read(bytes, |bytes| output.write(bytes))?;
                if reader.has_verdict() && deadline.get().is_none() {
                    // It ends soon, or is ended: a daemon that the build left behind may hold its output for ever.
                    deadline.set(Some(Instant::now() + GRACE));
                    comes_after_stop.set(supervisor.is_stopped() || cancel.has_rung());
                }
                Ok(())
            }
        };
        let end = running.follow(&mut keep, &deadline, Some(cancel))?;
        words.finish()?;
        let words = end_of(&words_path);
        if !words.is_empty() {
            tracing::info!("{} said of {}:\n{words}", self.launcher.start.program(), self.id);
        }
        let line = reader.finish(|bytes| output.write(bytes))?;
        // We have ended the script: what it says of that is not how it would have ended.
        let is_ended_by_us = matches!(end, ProcessEnd::Stopped | ProcessEnd::Cancelled(_));
        let line = line.filter(|_| !is_ended_by_us || !comes_after_stop.get());
        let has_ended_by_itself = matches!(end, ProcessEnd::Exited(_));
        let mut end = self.judge(line, &end, words);
        if !(matches!(end, ScriptEnd::Verdict(_)) && has_ended_by_itself)
            && let Err(error) =
                self.launcher.cancel(&self.id.waiting(), self.workspace, supervisor, &self.mask)
        {
            tracing::warn!("{}", in_full(&error));
            // Before its next try it is taken away in any case.
            if let ScriptEnd::Cancelled(_, left) = &mut end {
                *left = Some(NoVerdict { why: in_full(&error), words: String::new() });
            }
        }
        Ok(end)
    }

    /// The verdict line counts, then whether we ended it; how the launcher ended is the least.
    fn judge(&self, line: Option<VerdictLine>, end: &ProcessEnd, words: String) -> ScriptEnd {
        let last = printable(words.lines().last().unwrap_or("without a word")).into_owned();
        let no_verdict = |why| ScriptEnd::NoVerdict(NoVerdict { why, words });
        match (line, end) {
            (Some(VerdictLine::Exited(rc)), _) => ScriptEnd::exited(Rc::new(rc), ""),
            (Some(VerdictLine::Early(chunk)), _) => ScriptEnd::exited(Rc::new(0), &chunk),
            (Some(VerdictLine::TimedOut(rc)), _) => {
                ScriptEnd::Verdict(Verdict::timed_out(Rc::new(rc), self.limit))
            }
            (Some(VerdictLine::Unseen(node)), _) => no_verdict(format!(
                "{} cannot see {}: AMP_CI_WORK_DIR has to be on a file system that every node sees",
                printable(&node),
                self.workspace.display()
            )),
            (Some(VerdictLine::Again(node)), _) => no_verdict(format!(
                "{} was to run it a second time, and no engine may do that by itself",
                printable(&node)
            )),
            (None, ProcessEnd::Stopped) => ScriptEnd::Stopped,
            (None, ProcessEnd::Cancelled(_)) => ScriptEnd::Cancelled(None, None),
            (
                None,
                ProcessEnd::Exited(status) | ProcessEnd::OutOfMemory(status) | ProcessEnd::TimedOut(status),
            ) => no_verdict(format!("{} ended with {status}: {last}", self.launcher.start.program())),
        }
    }
}

/// The end of what the launcher said of itself; no file in the record if that is nothing. The build may have removed it, or
/// put something else there: then nobody knows.
fn end_of(path: &Path) -> String {
    let bytes = regular_file::read(path).ok().flatten().unwrap_or_default();
    if bytes.is_empty() {
        let _ = std::fs::remove_file(path);
    }
    let tail = &bytes[bytes.len().saturating_sub(WORDS_SHOWN)..];
    String::from_utf8_lossy(tail).trim().to_string()
}
