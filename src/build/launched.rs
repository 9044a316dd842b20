//! A build behind a launcher: run.sh goes along, and its verdict counts, not the launcher's exit code.

use std::{io, path::Path, time::SystemTime};

use super::{
    drain::Ci,
    launcher::Launcher,
    letter::{self, Draft},
    one_build::Ran,
    outcome::{Rc, Verdict},
    output::OutputLog,
    process::{self, Ended, Program, Task},
    record::{Record, Try},
    settings::host_name,
    verdict::{self, Listener, Nonce, Said},
};
use crate::queue::Claimed;

/// How the reason of an `error` begins when the engine is to blame: the fallback has heard of it already.
pub const NO_VERDICT: &str = "the launcher came to no verdict";

/// So much of what a launcher says of itself is kept.
const WORDS_CAP: usize = 20_000;

/// Runs `build.sh` (its text) behind the launcher and waits for the verdict.
pub fn run(task: &Task, launcher: &Launcher, build_sh: &[u8], output: &mut OutputLog) -> io::Result<Ran> {
    let Task { ci, record, entry, workspace, .. } = *task;
    let nonce = Nonce::random();
    let run_sh = verdict::run_sh(&nonce, workspace, ci.settings.timeout);
    fs_err::write(record.dir().join("run.sh"), &run_sh)?;
    fs_err::write(workspace.join(verdict::SCRIPT), build_sh)?;
    let words_path = record.dir().join("launcher.log");

    launcher.start.look_up()?;
    let name = entry.id.waiting();
    let dir = workspace.to_string_lossy();
    // If `build` is killed, so is what it launched: setpriv(1) asks the kernel to see to that.
    let mut words: Vec<_> = ["setpriv", "--pdeathsig", "TERM"].map(Into::into).into();
    words.extend(launcher.start.words(&name, &dir).map(Into::into));
    words.extend(["/bin/bash", "-c", &run_sh].map(Into::into));
    let errors_to = Some(fs_err::File::create(&words_path)?.into_file());

    let mut listener = Listener::new(&nonce);
    // No deadline of ours: a job may wait for its turn, and run.sh keeps the limit.
    let ended = process::start(task, &Program { words, errors_to })?
        .follow(&mut |bytes| listener.hear(bytes, |bytes| output.write(bytes)), None)?;
    let said = listener.finish(|bytes| output.write(bytes))?;
    let its_words = its_words(&words_path)?;
    if !its_words.is_empty() {
        tracing::info!("{} said:\n{its_words}", launcher.start.program());
    }
    let no_verdict = match (ended, said) {
        (_, Some(Said::Exited(rc))) => return Ok(Ran::Verdict(Verdict::Ran(Rc::new(rc)))),
        (_, Some(Said::TimedOut(rc))) => {
            return Ok(Ran::Verdict(Verdict::TimedOut(Rc::new(rc), ci.settings.timeout.reason())));
        }
        (_, Some(Said::Unseen(node))) => format!(
            "{node} cannot enter {dir}: AMP_CI_WORK_DIR has to be on a file system that every node sees\n{its_words}"
        ),
        (Ended::Exited(status) | Ended::TimedOut(status), None) => {
            format!("{} ended with {status}\n{its_words}", launcher.start.program())
        }
        (Ended::Stopped, None) => String::new(),
    };
    // Whatever is left of it must not run beside its next try.
    launcher.cancel(&name, workspace, &ci.children)?;
    Ok(if no_verdict.is_empty() { Ran::Stopped } else { Ran::NoVerdict(no_verdict.trim_end().to_string()) })
}

/// What the launcher said of itself; a file in the record if it said anything.
fn its_words(path: &Path) -> io::Result<String> {
    let bytes = fs_err::read(path)?;
    if bytes.is_empty() {
        fs_err::remove_file(path)?;
    }
    let tail = &bytes[bytes.len().saturating_sub(WORDS_CAP)..];
    Ok(String::from_utf8_lossy(tail).trim_end().to_string())
}

/// The operator hears once of each entry that the engine failed; the committer only when it is given up.
pub fn tell_fallback(ci: &Ci, record: &Record, entry: &Claimed, why: &str) -> io::Result<()> {
    let running = record.running()?;
    if running.as_ref().is_some_and(|running| running.engine_failed) {
        return Ok(());
    }
    let Claimed { id, request, .. } = entry;
    let text = format!(
        "The build {id} of {} commit {} in the branch {} came to no verdict on {}:\n\n{}\n\nIt stays in the queue and is \
         tried again, three times at most.\n",
        request.repository,
        request.commit_id,
        crate::text::printable(request.git_ref.as_str()),
        host_name(),
        why.lines()
            .map(|line| format!("    {}", crate::text::printable(line)))
            .collect::<Vec<_>>()
            .join("\n"),
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
    running.map_or(Ok(()), |running| record.set_running(&Try { engine_failed: true, ..running }))
}
