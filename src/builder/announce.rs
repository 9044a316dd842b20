//! What build.log says of each build: its submission, its start, its end.

use jiff::tz::TimeZone;

use super::log::{self, PROGRESS};
use crate::{
    queue::{Claimed, Retry},
    records::{BuildResult, Outcome},
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

/// It is put back, and pauses.
pub fn put_back_for_later(entry: &Claimed, retry: &Retry) {
    let (what, until) = (what(entry), retry.until.to_zoned(TimeZone::system()).strftime("%H:%M:%S"));
    tracing::warn!(target: PROGRESS, "{what} is put back until {until}: {}", retry.why);
}

/// Does the log show what a build that came out so has put out?
pub fn shows_output(outcome: Outcome) -> bool {
    let went_well =
        matches!(outcome, Outcome::Succeeded | Outcome::Skipped | Outcome::Cancelled | Outcome::Superseded);
    !went_well || log::shows_all()
}

/// It has its final word; with its output if that says what went wrong.
pub fn end(entry: &Claimed, result: &BuildResult, output: &str) {
    let what = what(entry);
    let outcome = match (result.outcome, result.rc, result.reason.as_deref()) {
        (Outcome::Succeeded, ..) => "succeeded".to_string(),
        (Outcome::Failed, Some(rc), Some(reason)) => format!("failed: {reason}, rc {rc}"),
        (Outcome::Failed, Some(rc), None) => format!("failed with rc {rc}"),
        (Outcome::TimedOut, Some(rc), Some(reason)) => format!("timed out: {reason}, rc {rc}"),
        (Outcome::Skipped, _, reason) => format!("skipped: {}", reason.unwrap_or_default()),
        (Outcome::Cancelled, _, reason) => format!("cancelled: {}", reason.unwrap_or_default()),
        (Outcome::Superseded, _, reason) => format!("superseded: {}", reason.unwrap_or_default()),
        (_, _, reason) => format!("could not be run: {}", reason.unwrap_or_default()),
    };
    let seconds = result.seconds;
    if matches!(
        result.outcome,
        Outcome::Succeeded | Outcome::Skipped | Outcome::Cancelled | Outcome::Superseded
    ) {
        tracing::info!(target: PROGRESS, "{what} {outcome} ({seconds:.1} s)");
        tracing::debug!("output of {}:\n{output}", entry.id);
    } else {
        tracing::error!(target: PROGRESS, "{what} {outcome} ({seconds:.1} s)\n{output}");
    }
}

fn what(entry: &Claimed) -> String {
    let Claimed { id, request, .. } = entry;
    format!("{id} {} {} {}", request.repository, request.git_ref, request.commit_id)
}
