//! What builds leave and we cannot end or remove: written down, told of once, and waited for by nobody else.

use std::{io, path::PathBuf};

use super::{builder::Builder, process::supervisor::Left};
use crate::{
    error_chain::in_full,
    queue::EntryId,
    records::{LeftOver, LeftProcess},
};

/// What an earlier `build` could not end keeps this one waiting no more.
pub fn recall(builder: &Builder) {
    for LeftProcess { pid, start, .. } in LeftOver::of(&builder.home).processes {
        builder.supervisor.ignore(pid, start);
    }
}

/// Ends whatever was left to us, and writes down what would not end. Only for when no build runs.
pub fn end_orphans(builder: &Builder) {
    builder.supervisor.end_orphans();
    note_processes(builder);
}

/// Writes down which processes would not end, if any would not.
pub fn note_processes(builder: &Builder) {
    let left = builder.supervisor.take_left();
    if left.is_empty() {
        return;
    }
    change(builder, |all| {
        for Left { mark, process } in left {
            let id =
                mark.and_then(|mark| EntryId::parse(mark.strip_prefix(&builder.tag)?.strip_prefix('-')?));
            let new = LeftProcess::new(id.into_iter().collect(), process);
            let line = format!("process {} does not end on SIGKILL: {}", new.pid, new.command);
            if all.add(new) {
                tracing::error!("{line}");
            }
        }
    });
}

/// Writes down that a workspace cannot be removed.
pub fn note_workspace(builder: &Builder, path: PathBuf, error: &io::Error) {
    change(builder, |all| {
        if !all.workspaces.contains(&path) {
            tracing::warn!("{}", in_full(error));
            all.workspaces.push(path);
        }
    });
}

/// What is left now, for whoever has to hear of it; what is gone by now is forgotten.
pub fn now(builder: &Builder) -> LeftOver {
    change(builder, |_| ())
}

fn change(builder: &Builder, change: impl FnOnce(&mut LeftOver)) -> LeftOver {
    let _one_at_a_time = builder.left_over.lock();
    let mut all = LeftOver::of(&builder.home);
    change(&mut all);
    if let Err(error) = all.store(&builder.home) {
        tracing::warn!("{}", in_full(&error));
    }
    all
}
