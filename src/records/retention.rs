//! Which finished builds are kept: the newest, each branch's last success and last failure for a while, and the newest
//! of a branch of which anything is kept.

use std::{
    collections::{HashMap, HashSet},
    io,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{BuildResult, Outcome, Record};
use crate::{directory, home::Home, queue::EntryId};

/// How long a branch's last success and last failure stay beyond the number kept.
const LAST_ONES_STAY: Duration = Duration::from_secs(90 * 24 * 3600);

/// What is being removed is first renamed to this, so that half a record is never taken for one.
const REMOVED_PREFIX: &str = ".removed-";

/// Removes the oldest finished records beyond `keep`. One that is not final, or of which somebody is still
/// to be told, is never touched.
pub fn sweep(home: &Home, keep: usize) -> io::Result<()> {
    let mut finished = Vec::new();
    for entry in directory::entries(&home.builds())? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(REMOVED_PREFIX) {
            fs_err::remove_dir_all(entry.path())?;
            continue;
        }
        let is_over = |id: &EntryId| {
            let claimed = home.queue().join(id.claimed());
            Record::of(home, id).is_final() && claimed.symlink_metadata().is_err()
        };
        finished.extend(EntryId::parse(&name).filter(is_over));
    }
    if finished.len() <= keep {
        return Ok(());
    }
    finished.sort_unstable_by(|a, b| b.cmp(a));
    let kept = kept(home, &finished, keep);
    for id in finished.iter().filter(|id| !kept.contains(id)) {
        let removed = home.builds().join(format!("{REMOVED_PREFIX}{id}"));
        fs_err::rename(Record::of(home, id).dir(), &removed)?;
        fs_err::remove_dir_all(&removed)?;
    }
    Ok(())
}

/// Repository and full ref.
type Branch = (String, String);

/// Which of the finished, newest first, stay. A branch of which anything stays also keeps its newest, whatever
/// came of it: so what its head was is known.
fn kept<'a>(home: &Home, finished: &'a [EntryId], keep: usize) -> HashSet<&'a EntryId> {
    let mut kept: HashSet<&EntryId> = finished.iter().take(keep).collect();
    let mut last_ones = HashSet::new();
    let mut newest: HashMap<Branch, &EntryId> = HashMap::new();
    let mut kept_branches = HashSet::new();
    for (number, id) in finished.iter().enumerate() {
        let Some((branch, result)) = branch_and_result(home, id) else { continue };
        newest.entry(branch.clone()).or_insert(id);
        // The newest of its kind in its branch is the first that is met.
        let is_last_one = has_succeeded(result.outcome).is_some_and(|succeeded| {
            last_ones.insert((branch.clone(), succeeded)) && is_recent(result.finished)
        });
        if is_last_one {
            kept.insert(id);
        }
        if is_last_one || number < keep {
            kept_branches.insert(branch);
        }
    }
    kept.extend(newest.iter().filter(|(branch, _)| kept_branches.contains(*branch)).map(|(_, id)| *id));
    kept
}

fn branch_and_result(home: &Home, id: &EntryId) -> Option<(Branch, BuildResult)> {
    let record = Record::of(home, id);
    let request = record.request().ok()?;
    Some(((request.repository.to_string(), request.git_ref.to_string()), record.result().ok()??))
}

fn is_recent(finished: Timestamp) -> bool {
    Timestamp::now().duration_since(finished) < SignedDuration::try_from(LAST_ONES_STAY).unwrap_or_default()
}

/// Of builds that did one or the other.
fn has_succeeded(outcome: Outcome) -> Option<bool> {
    match outcome {
        Outcome::Succeeded => Some(true),
        Outcome::Failed | Outcome::TimedOut | Outcome::Error => Some(false),
        Outcome::Skipped | Outcome::Cancelled | Outcome::Superseded => None,
    }
}
