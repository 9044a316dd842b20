//! Is CI itself well? The same answer in every face.

use jiff::{SignedDuration, Timestamp};

use super::{
    document::{Disk, Drain, Problem, Waiting, WaitsFor},
    spoken,
};

/// How long nothing may happen though something could.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);

/// What has to be free where no drain has said how much: the default of `AMP_CI_MIN_FREE`.
pub const MIN_FREE: u64 = 100 << 20;

/// What is wrong, the worst first; nothing if CI is well. Being held is no fault.
pub fn problems(
    now: Timestamp,
    unreadable: Vec<Problem>,
    drain: &Drain,
    waiting: &[Waiting],
    disk: &Disk,
) -> Vec<Problem> {
    let mut problems = unreadable;
    let mut found = |check, text: String| problems.push(Problem { check, text });
    for trouble in &drain.troubles {
        found("trouble", trouble.clone());
    }
    if disk.read_only {
        found("disk", "the file system of the queue is read-only".to_string());
    }
    let needed = disk.min_free_bytes.unwrap_or(MIN_FREE);
    if let Some(free) = disk.free_bytes.filter(|free| *free < needed) {
        found(
            "disk",
            format!(
                "{} are free on the disk, and a build needs {}",
                spoken::bytes(free),
                spoken::bytes(needed)
            ),
        );
    }
    match [drain.looked, drain.ended].into_iter().flatten().max() {
        _ if drain.running == Some(true) => {}
        None => {
            found("drain", "no build has ever looked at the queue: is the line in the crontab?".to_string());
        }
        Some(seen) if now.duration_since(seen) > PATIENCE => {
            found(
                "drain",
                "no build has looked at the queue for 15 minutes: is the line in the crontab?".to_string(),
            );
        }
        Some(_) => {}
    }
    let stuck = |entry: &&Waiting| {
        matches!(entry.waits_for, WaitsFor::Nothing | WaitsFor::Drain)
            && entry.since.is_some_and(|since| now.duration_since(since) > PATIENCE)
    };
    if let Some(entry) = waiting.iter().find(stuck) {
        found(
            "queue",
            format!(
                "build-{} has waited for more than 15 minutes, and nothing is in its way",
                entry.asked.id
            ),
        );
    }
    problems
}
