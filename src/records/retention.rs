//! Which finished builds are kept: the newest, and each branch's last success and last failure for a while.

use std::{
    collections::HashSet,
    io::{self, ErrorKind},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{Outcome, Record};
use crate::{home::Home, queue::EntryId};

/// How long a branch's last success and last failure stay beyond the number kept.
const LAST_ONES_STAY: Duration = Duration::from_secs(90 * 24 * 3600);

/// What is being removed is first renamed to this, so that half a record is never taken for one.
const REMOVED_PREFIX: &str = ".removed-";

/// Removes the oldest finished records beyond `keep`. One that is not final, or of which somebody is still
/// to be told, is never touched.
pub fn sweep(home: &Home, keep: usize) -> io::Result<()> {
    let mut finished = Vec::new();
    let entries = match fs_err::read_dir(home.builds()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
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
    let mut seen = HashSet::new();
    for (number, id) in finished.iter().enumerate() {
        // The newest of its kind in its branch is the first that is met.
        let last_one = kind(home, id).is_some_and(|(kind, finished)| {
            seen.insert(kind)
                && Timestamp::now().duration_since(finished)
                    < SignedDuration::try_from(LAST_ONES_STAY).unwrap_or_default()
        });
        if number >= keep && !last_one {
            let removed = home.builds().join(format!("{REMOVED_PREFIX}{id}"));
            fs_err::rename(Record::of(home, id).dir(), &removed)?;
            fs_err::remove_dir_all(&removed)?;
        }
    }
    Ok(())
}

/// Repository, ref and whether it succeeded, of builds that did one or the other; and when.
fn kind(home: &Home, id: &EntryId) -> Option<((String, String, bool), Timestamp)> {
    let record = Record::of(home, id);
    let result = record.result().ok()??;
    let succeeded = match result.outcome {
        Outcome::Succeeded => true,
        Outcome::Failed | Outcome::TimedOut | Outcome::Error => false,
        Outcome::Skipped | Outcome::Cancelled | Outcome::Superseded => return None,
    };
    let request = record.request().ok()?;
    Some(((request.repository.to_string(), request.git_ref.to_string(), succeeded), result.finished))
}
