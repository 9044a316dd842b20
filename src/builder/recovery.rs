//! After a death of `build`: what is left of its builds is ended, and its claimed entries go back, in order.

use std::{
    collections::HashSet,
    io,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustix::process::Signal;

use super::{
    after, announce,
    builder::Builder,
    completion::Ended,
    fault::Fault,
    judgement::{ATTEMPTS, tries},
    launcher::launcher::Launcher,
    left_over, machine,
    mail::letters,
    process::{run::GRACE, supervisor::Supervisor, tree::Tree},
};
use crate::{
    directory,
    error_chain::in_full,
    host, proc_table,
    queue::{Cancel, Claimed, EntryId, EntryState, Listing, Retry},
    records::{BuildResult, Cause, Record, RunningAttempt, Verdict, excerpt},
};

/// Brings every claimed entry into a state from which it can go on: waiting again, finished, or given up. False
/// if there was none. `tell` hears of each that cannot be brought into any: it stays, and the others go on.
pub fn recover(builder: &Builder, listing: &Listing, tell: &mut dyn FnMut(&Fault)) -> Result<bool, Fault> {
    let mut ids = listing.claimed.clone();
    ids.extend(unclaimed(builder, listing).map_err(Fault::at("the records cannot be read"))?);
    ids.sort_unstable();
    let intended = after::intended(builder).map_err(Fault::at("the outbox cannot be read"))?;
    let tree = |id| Tree::left(&builder.mark(id), script(&builder.record(id)));
    let mut trees: Vec<Tree> = ids.iter().chain(&intended).map(tree).collect();
    if builder.settings.launcher.is_some() {
        // It takes its job away on SIGTERM; on SIGKILL it cannot.
        ask_to_end(&builder.supervisor, &mut trees);
    }
    builder.supervisor.end_cgroups(&builder.mark_prefix());
    for tree in &mut trees {
        tree.kill(&builder.supervisor);
    }
    left_over::note_processes(builder);
    if let Some(launcher) = &builder.settings.launcher {
        cancel(builder, launcher, &ids)
            .map_err(Fault::at("what an earlier build left on the engine cannot be taken away"))?;
    }
    let work_dir = builder.work_dir()?;
    let begun: HashSet<String> = work_dir.workspaces().into_iter().map(|(id, _)| id).collect();
    for (path, error) in work_dir.sweep(&builder.supervisor) {
        left_over::note_workspace(builder, path, &error);
    }
    for id in &ids {
        let Err(error) = recover_one(builder, id, begun.contains(id.as_str())) else { continue };
        if let Some(fault) = machine::fault(builder) {
            return Err(fault);
        }
        let why = in_full(&error);
        if let Err(error) = reject(builder, id, &why) {
            tell(&Fault { stage: "a build that was interrupted cannot be taken up again", error });
        }
    }
    Ok(!ids.is_empty())
}

/// The script that ran when `build` died, if that was in this boot.
fn script(record: &Record) -> Option<(i32, u64)> {
    let RunningAttempt { script_pid, script_start, .. } = record.running()?;
    let (start, boot) = script_start?;
    (boot == proc_table::boot_id()).then_some((i32::try_from(script_pid?).ok()?, start))
}

/// SIGTERM, and time to heed it.
fn ask_to_end(supervisor: &Supervisor, trees: &mut [Tree]) {
    let grace = Instant::now() + GRACE;
    for tree in trees.iter_mut() {
        tree.signal(supervisor, Signal::TERM);
    }
    while Instant::now() < grace && trees.iter_mut().any(|tree| tree.is_alive(supervisor)) {
        thread::sleep(Duration::from_millis(20));
    }
}

/// Takes their jobs away, by name.
fn cancel(builder: &Builder, launcher: &Launcher, ids: &[EntryId]) -> io::Result<()> {
    let mask = builder.mask();
    ids.iter().try_for_each(|id| {
        let dir = builder.record(id).running().map_or_else(PathBuf::new, |running| running.workspace);
        launcher.cancel(&id.waiting(), &dir, &builder.supervisor, &mask)
    })
}

/// Builds whose script ran when `build` died, or that nobody was told of yet, and whose entry somebody has removed: that
/// cancels nothing. One that only waited to be tried again does not count: whoever takes its entry away holds it.
fn unclaimed(builder: &Builder, listing: &Listing) -> io::Result<Vec<EntryId>> {
    Ok(directory::entries(&builder.home.builds())?
        .flatten()
        .filter_map(|entry| EntryId::parse(entry.file_name().to_str()?))
        .filter(|id| {
            let record = builder.record(id);
            // Held by mv, a request that waits to be tried again has no script.
            matches!(record.running(), Some(RunningAttempt { script_pid: Some(_), .. })) && !listing.has(id)
        })
        .collect())
}

/// `has_begun`: there was a workspace for it.
fn recover_one(builder: &Builder, id: &EntryId, has_begun: bool) -> io::Result<()> {
    let record = builder.record(id);
    match record.result() {
        Ok(Some(result)) => {
            // Whoever wrote it may have died before it was durable.
            record.sync()?;
            return complete(builder, &record, id, &result);
        }
        Ok(None) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return reject(builder, id, &in_full(&error));
        }
        Err(error) => return Err(error),
    }
    let (running, put_back) = (record.running(), Retry::of(&builder.home.queue(), id));
    // By a record that says nothing of it: a build can wreck that.
    let is_unrecorded = has_begun && running.is_none();
    let tries = tries(running.as_ref(), put_back.as_ref()) + u32::from(is_unrecorded);
    let entry = match builder.lock.read_claimed(id)? {
        EntryState::Request(request, bytes) => Claimed { id: id.clone(), request, bytes },
        EntryState::Missing => {
            Claimed { id: id.clone(), request: record.request()?, bytes: record.request_bytes()? }
        }
        EntryState::NotAFile => return Ok(()),
        EntryState::BeingWritten => return reject(builder, id, "it is no request"),
        EntryState::Invalid(why) => return reject(builder, id, &why),
    };
    if tries >= ATTEMPTS && Cancel::of(&builder.home.queue(), id).is_none() {
        let reason = format!("build died {tries} times while this ran, and it is not tried again");
        let started = running.map_or_else(Timestamp::now, |running| running.started);
        let mut result =
            BuildResult::new(&Verdict::Error(Cause::Crash, reason), started, 0.0, tries, host::name());
        builder.history.enter(&builder.home, id, &entry.request, &entry.bytes, &mut result);
        let output = excerpt(&record);
        if let Err(error) = record.commit(&result) {
            let fault = Fault { stage: "the result of a build cannot be recorded", error };
            let ended =
                Ended { id, request: &entry.request, result: &result, output: &output, has_begun: true };
            ended.commit_anew(builder, &record, &entry.bytes, &fault).map_err(|fault| fault.error)?;
        }
        announce::end(&entry, &result, &output);
        return complete(builder, &record, id, &result);
    }
    tracing::warn!("{id} goes back to the queue: an earlier build died after claiming it");
    if is_unrecorded {
        let retry = Retry::after_death(put_back, Timestamp::now(), tries);
        retry.store(&builder.home.queue(), id)?;
    }
    record.set_waiting(true)?;
    if builder.lock.put_back(id)? {
        return Ok(());
    }
    match builder.lock.read_claimed(id)? {
        EntryState::Missing => builder.lock.restore(id, &entry.bytes),
        _ => reject(builder, id, "another entry of this name waits"),
    }
}

/// It goes to `bad/`, and the forge hears that nothing more comes of it.
fn reject(builder: &Builder, id: &EntryId, why: &str) -> io::Result<()> {
    if let Ok(EntryState::Request(request, _)) = builder.lock.read_claimed(id) {
        let verdict = Verdict::Error(Cause::Record, why.to_string());
        let result = BuildResult::new(&verdict, Timestamp::now(), 0.0, 0, host::name());
        if let Err(error) = builder.statuses.finished(id, &request, &result, true) {
            tracing::warn!("the forge does not hear that {id} is given up: {}", in_full(&error));
        }
    }
    builder.reject_claimed(id, why)
}

/// From what is on record.
fn complete(builder: &Builder, record: &Record, id: &EntryId, result: &BuildResult) -> io::Result<()> {
    let request = match builder.lock.read_claimed(id)? {
        EntryState::Request(request, bytes) => {
            // After a power cut the name of the result may be there, and not this one.
            if record.request_bytes().is_err() {
                let _ = record.begin(&builder.lock.path_of_claimed(id), &bytes);
            }
            request
        }
        _ => record.request()?,
    };
    let output = if letters::are_due(result.outcome) { excerpt(record) } else { String::new() };
    let has_begun = record.script().exists();
    Ended { id, request: &request, result, output: &output, has_begun }.complete(builder, record)
}

fn excerpt(record: &Record) -> String {
    excerpt::read(&record.output()).unwrap_or_else(|error| in_full(&error))
}
