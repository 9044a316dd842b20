//! A build behind a launcher: run.sh goes along, and its verdict counts, not the launcher's exit code.

use std::{
    cell::Cell,
    io,
    path::Path,
    time::{Instant, SystemTime},
};

use super::{
    drain::Ci,
    launcher::Launcher,
    letter::{self, Draft},
    one_build::Ran,
    output::OutputLog,
    process::{self, Ended, GRACE, Program, Stream, Task},
    verdict::{self, Listener, Nonce, Said},
};
use crate::{
    durable,
    error_chain::in_full,
    host,
    queue::Claimed,
    records::{Rc, Record, RunningAttempt, Verdict},
    text::printable,
};

/// How the reason of an `error` begins when the engine is to blame: the fallback has heard of it already.
pub const NO_VERDICT: &str = "the launcher came to no verdict";

/// So much of what a launcher says of itself is kept in launcher.log.
const WORDS_LIMIT: u64 = 64 << 10;

/// So much of it goes into build.log and letters: its end.
const WORDS_SHOWN: usize = 4000;

/// The engine's failure.
#[derive(Debug)]
pub struct NoVerdict {
    /// In one line.
    pub why: String,
    /// What the launcher said of itself, in the end.
    pub words: String,
}

/// Runs `build.sh` (its text) behind the launcher and waits for the verdict.
pub fn run(task: &Task, launcher: &Launcher, build_sh: &[u8], output: &mut OutputLog) -> io::Result<Ran> {
    let Task { ci, record, entry, workspace, .. } = *task;
    let name = entry.id.waiting();
    let nonce = Nonce::random();
    let run_sh = hand_over(task, launcher, build_sh, &nonce)?;
    // If `build` is killed, so is what it launched: setpriv(1) asks the kernel to see to that.
    let mut words: Vec<_> = ["setpriv", "--pdeathsig", "TERM"].map(Into::into).into();
    words.extend(launcher.start.words(&name, &workspace.to_string_lossy()).map(Into::into));
    words.extend(["/bin/bash", "-c", &run_sh].map(Into::into));

    let its_words_path = record.dir().join("launcher.log");
    let mut its_words = OutputLog::create(&its_words_path, WORDS_LIMIT)?;
    let mut listener = Listener::new(&nonce);
    let comes_after_stop = Cell::new(false);
    // None of ours before the verdict: a job may wait for its turn, and run.sh keeps the limit.
    let deadline = Cell::new(None);
    let mut keep = |stream, bytes: &[u8]| match stream {
        Stream::Errors => its_words.write(bytes),
        Stream::Output => {
            listener.hear(bytes, |bytes| output.write(bytes))?;
            if listener.has_heard() && deadline.get().is_none() {
                // It ends soon, or is ended: a daemon that the build left behind may hold its output for ever.
                deadline.set(Some(Instant::now() + GRACE));
                comes_after_stop.set(ci.stop.is_told());
            }
            Ok(())
        }
    };
    let ended = process::start(task, &Program { words, errors_apart: true })?.follow(&mut keep, &deadline)?;
    its_words.finish()?;
    let its_words = end_of(&its_words_path)?;
    if !its_words.is_empty() {
        tracing::info!("{} said of {}:\n{its_words}", launcher.start.program(), entry.id);
    }
    let said = listener.finish(|bytes| output.write(bytes))?;
    // We have ended the script: what it says of that is not how it would have ended.
    let said = said.filter(|_| ended != Ended::Stopped || !comes_after_stop.get());
    let has_ended_by_itself = matches!(ended, Ended::Exited(_));
    let ran = judge(task, launcher.start.program(), said, ended, its_words);
    if !(matches!(ran, Ran::Verdict(_)) && has_ended_by_itself)
        && let Err(error) = launcher.cancel(&name, workspace, &ci.children)
    {
        // Before its next try it is taken away in any case.
        tracing::warn!("{}", in_full(&error));
    }
    Ok(ran)
}

/// Everything that has to be in its place before a job may start; returns run.sh.
fn hand_over(task: &Task, launcher: &Launcher, build_sh: &[u8], nonce: &Nonce) -> io::Result<String> {
    let Task { ci, record, entry, workspace, .. } = *task;
    let run_sh_path = record.dir().join("run.sh");
    if run_sh_path.exists() {
        // It has been launched before, and whether its job could be taken away then is not known.
        launcher.cancel(&entry.id.waiting(), workspace, &ci.children)?;
    }
    launcher.start.look_up()?;
    let run_sh = verdict::run_sh(nonce, workspace, ci.settings.timeout);
    fs_err::write(run_sh_path, &run_sh)?;
    fs_err::write(workspace.join(verdict::SCRIPT), build_sh)?;
    // The job may outlive this host: after a crash it has to be known that there may be one.
    durable::sync_dir(&ci.home.queue())?;
    Ok(run_sh)
}

/// What was said counts, then whether we ended it; how the launcher ended is the least.
fn judge(task: &Task, program: &str, said: Option<Said>, ended: Ended, words: String) -> Ran {
    let last = words.lines().last().unwrap_or("without a word").to_string();
    let no_verdict = |why| Ran::NoVerdict(NoVerdict { why, words });
    match (said, ended) {
        (Some(Said::Exited(rc)), _) => Ran::Verdict(Verdict::Ran(Rc::new(rc))),
        (Some(Said::TimedOut(rc)), _) => {
            Ran::Verdict(Verdict::TimedOut(Rc::new(rc), task.ci.settings.timeout.reason()))
        }
        (Some(Said::Unseen(node)), _) => no_verdict(format!(
            "{} cannot see {}: AMP_CI_WORK_DIR has to be on a file system that every node sees",
            printable(&node),
            task.workspace.display()
        )),
        (None, Ended::Stopped) => Ran::Stopped,
        (None, Ended::Exited(status) | Ended::TimedOut(status)) => {
            no_verdict(format!("{program} ended with {status}: {}", printable(&last)))
        }
    }
}

/// The end of what the launcher said of itself; no file in the record if that is nothing.
fn end_of(path: &Path) -> io::Result<String> {
    let bytes = fs_err::read(path)?;
    if bytes.is_empty() {
        fs_err::remove_file(path)?;
    }
    let tail = &bytes[bytes.len().saturating_sub(WORDS_SHOWN)..];
    Ok(String::from_utf8_lossy(tail).trim().to_string())
}

/// The operator hears once of each entry that the engine failed; the committer only when it is given up.
pub fn tell_fallback(ci: &Ci, record: &Record, entry: &Claimed, failure: &NoVerdict) -> io::Result<()> {
    let running = record.running()?;
    if running.as_ref().is_some_and(|running| running.engine_failed) {
        return Ok(());
    }
    let Claimed { id, request, .. } = entry;
    let words: Vec<String> = failure.words.lines().map(|line| format!("    {}", printable(line))).collect();
    let said = match &*words.join("\n") {
        "" => "The launcher said nothing of itself.\n".to_string(),
        words => format!(
            "What the launcher said of itself:\n\n{words}\n\nAll of it is in {}/launcher.log.\n",
            record.dir().display()
        ),
    };
    let text = format!(
        "The build {id} of {} commit {} in the branch {} came to no verdict on {}:\n\n    {}\n\n\
         It is tried three times at most before the committer is told that it could not be run.\n\n{said}",
        request.repository,
        request.commit_id,
        printable(request.git_ref.as_str()),
        host::name(),
        failure.why,
    );
    let draft = Draft {
        stem: format!("{id}.ci"),
        to: &ci.settings.mail_fallback,
        subject: format!("AMP CI: {NO_VERDICT} on {}/{}", request.repository, request.commit_id),
        text,
        build: Some(id),
        date: SystemTime::now(),
    };
    ci.outbox.put(&letter::write(draft, &ci.settings))?;
    running.map_or(Ok(()), |running| record.set_running(&RunningAttempt { engine_failed: true, ..running }))
}
