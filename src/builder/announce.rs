//! What build.log says of each build: its submission, its start, its end.

use super::log::PROGRESS;
use crate::{
    error_chain::in_full,
    queue::Claimed,
    records::{BuildResult, Outcome, Record, excerpt},
};

/// It has been claimed.
pub fn submission(entry: &Claimed) {
    tracing::info!("Submitting {} for {}", what(entry), entry.request.committer_name.as_str());
}

/// Its script, or its launcher, runs.
pub fn start(entry: &Claimed, pid: u32, is_launched: bool) {
    // A launcher that is killed has come to no verdict.
    let ended = if is_launched { "try" } else { "build" };
    tracing::info!(target: PROGRESS, "{} runs as pid {pid}; kill -- -{pid} ends this {ended}", what(entry));
}

/// It was ended because `build` was told to stop.
pub fn put_back(entry: &Claimed) {
    tracing::info!(target: PROGRESS, "{} is put back: build was told to stop", what(entry));
}

/// The launcher ended without telling how the build ended.
pub fn no_verdict(entry: &Claimed, attempt: u32, why: &str) {
    tracing::error!(target: PROGRESS, "{} is put back: try {attempt} came to no verdict: {why}", what(entry));
}

/// It has its final word; with its output if that says what went wrong.
pub fn end(record: &Record, entry: &Claimed, result: &BuildResult) {
    let what = what(entry);
    let outcome = match (result.outcome, result.rc, result.reason.as_deref()) {
        (Outcome::Succeeded, ..) => "succeeded".to_string(),
        (Outcome::Failed, Some(rc), _) => format!("failed with rc {rc}"),
        (Outcome::TimedOut, Some(rc), Some(reason)) => format!("timed out: {reason}, rc {rc}"),
        (Outcome::Skipped, _, reason) => format!("skipped: {}", reason.unwrap_or_default()),
        (_, _, reason) => format!("could not be run: {}", reason.unwrap_or_default()),
    };
    let seconds = result.seconds;
    let output = || excerpt::read(record).unwrap_or_else(|error| in_full(&error));
    if matches!(result.outcome, Outcome::Succeeded | Outcome::Skipped) {
        tracing::info!(target: PROGRESS, "{what} {outcome} ({seconds:.1} s)");
        if tracing::enabled!(tracing::Level::DEBUG) {
            tracing::debug!("output of {}:\n{}", entry.id, output());
        }
    } else {
        tracing::error!(target: PROGRESS, "{what} {outcome} ({seconds:.1} s)\n{}", output());
    }
}

fn what(entry: &Claimed) -> String {
    let Claimed { id, request, .. } = entry;
    format!("{id} {} {} {}", request.repository, request.git_ref, request.commit_id)
}
