//! Which finished builds are kept: the newest, each branch's last success and last failure for a while, and the newest
//! of a branch of which anything is kept.

use std::{
    collections::{HashMap, HashSet},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{BuildResult, Outcome, Record, record::BROKEN_PREFIX};
use crate::{directory, home::Home, queue::EntryId};

/// How long a branch's last success and last failure stay beyond the number kept.
const LAST_ONES_STAY: Duration = Duration::from_secs(90 * 24 * 3600);

/// What is being removed is first renamed to this, so that half a record is never taken for one.
const REMOVED_PREFIX: &str = ".removed-";

/// Removes the oldest finished records beyond `keep`, and what was put aside as no record, after 90 days. One that is
/// not final, or of which somebody is still to be told, is never touched. Returns what could not be removed: it stays, and
/// the others go.
pub fn sweep(home: &Home, keep: usize) -> io::Result<Vec<io::Error>> {
    let mut ids = Vec::new();
    let mut stays = Vec::new();
    for entry in directory::entries(&home.builds())? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(REMOVED_PREFIX) {
            stays.extend(directory::remove_all(&entry.path()).err());
        }
        if name.starts_with(BROKEN_PREFIX) && is_old(&entry) {
            stays.extend(remove(&entry.path()).err());
        }
        ids.extend(EntryId::parse(&name));
    }
    // Not one of them is looked into before there are too many.
    if ids.len() <= keep {
        return Ok(stays);
    }
    let is_over = |id: &EntryId| {
        let claimed = home.queue().join(id.claimed());
        Record::of(home, id).is_final() && claimed.symlink_metadata().is_err()
    };
    let mut finished: Vec<EntryId> = ids.into_iter().filter(is_over).collect();
    finished.sort_unstable_by(|a, b| b.cmp(a));
    let kept = kept(home, &finished, keep);
    for id in finished.iter().filter(|id| !kept.contains(id)) {
        let removed = home.builds().join(format!("{REMOVED_PREFIX}{id}"));
        let renamed = fs_err::rename(Record::of(home, id).dir(), &removed);
        stays.extend(renamed.and_then(|()| directory::remove_all(&removed)).err());
    }
    Ok(stays)
}

/// Nothing has changed in it for as long as the last of a branch stays.
fn is_old(entry: &fs_err::DirEntry) -> bool {
    let changed = entry.metadata().ok().and_then(|metadata| Timestamp::from_second(metadata.mtime()).ok());
    changed.is_some_and(|changed| !is_recent(changed))
}

/// It may be anything.
fn remove(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() { directory::remove_all(path) } else { fs_err::remove_file(path) }
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
