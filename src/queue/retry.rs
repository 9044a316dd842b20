//! `queue/build-<id>.retry`: an entry that was put back, and when it may be tried again.
//!
//! Its lane waits for it, all others go on. Whoever removes the file lets it go on at once.

use std::{io, path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::EntryId;
use crate::{durable, regular_file};

/// The pauses double from a minute to an hour.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// From so many times on a person should look.
const STANDING: u32 = 3;

const MODE: u32 = 0o640;

/// What is on record of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How often it was put back.
    pub count: u32,
    /// When that was for the first time.
    pub since: Timestamp,
    /// Not before this.
    pub until: Timestamp,
    /// What it met the last time.
    pub why: String,
    /// How many tries `build` did not outlive, where the record may not say so: a build can wreck that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_zero(tries: &u32) -> bool {
    *tries == 0
}

impl Retry {
    /// What is on record of an entry. What cannot be read keeps nobody waiting.
    pub fn of(queue: &Path, id: &EntryId) -> Option<Self> {
        regular_file::json(&queue.join(id.retry()))
    }

    /// It is put back once more.
    pub fn after(before: Option<&Self>, now: Timestamp, why: String) -> Self {
        let count = before.map_or(0, |before| before.count) + 1;
        let pause = LONGEST_PAUSE.min(Duration::from_secs(60) * 2_u32.saturating_pow(count.min(10) - 1));
        let since = before.map_or(now, |before| before.since);
        let tries = before.map_or(0, |before| before.tries);
        Self { count, since, until: now + pause, why, tries }
    }

    /// `build` has died over a try of it. It need not pause.
    pub fn after_death(before: Option<Self>, now: Timestamp, tries: u32) -> Self {
        let why = "build died over it".to_string();
        let before = before.unwrap_or(Self { count: 0, since: now, until: now, why, tries });
        Self { tries, ..before }
    }

    /// How long it still pauses; a time further off than any pause comes from a clock that was wrong.
    pub fn pause(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.until.duration_since(now)).unwrap_or_default().min(LONGEST_PAUSE)
    }

    /// Since when it has been put back, and did not get on.
    pub fn age(&self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.since)
    }

    /// Does a person have to hear of it?
    pub fn is_standing(&self) -> bool {
        self.count >= STANDING
    }

    /// Puts it beside the entry. Not synced: after a power cut it is tried at once.
    pub fn store(&self, queue: &Path, id: &EntryId) -> io::Result<()> {
        durable::replace_unsynced(&queue.join(id.retry()), &durable::json_line(self), MODE).map(drop)
    }

    /// It is over.
    pub fn clear(queue: &Path, id: &EntryId) -> io::Result<()> {
        durable::remove(&queue.join(id.retry())).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_no_clock_makes_them_longer() {
        let now: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
        let mut retry = None;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let next = Retry::after(retry.as_ref(), now, "no network".to_string());
            pauses.push(next.pause(now).as_secs() / 60);
            retry = Some(next);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60]);
        let retry = retry.unwrap();
        assert_eq!((retry.count, retry.since, retry.is_standing()), (12, now, true));
        assert_eq!(retry.pause(now + SignedDuration::from_hours(2)), Duration::ZERO);
        assert_eq!(retry.pause(now - SignedDuration::from_hours(900)), LONGEST_PAUSE);
    }
    #[test]
    fn what_is_put_beside_an_entry_is_there_until_it_is_over_and_from_the_third_time_on_a_person_hears() {
        let queue = tempfile::tempdir().unwrap();
        let (id, now): (_, Timestamp) =
            (EntryId::parse("1.5").unwrap(), "2026-11-26T12:00:00Z".parse().unwrap());
        assert_eq!(Retry::of(queue.path(), &id), None);
        let mut is_standing = Vec::new();
        for minute in 0..4 {
            let before = Retry::of(queue.path(), &id);
            let now = now + SignedDuration::from_mins(minute);
            let retry = Retry::after(before.as_ref(), now, "no network".to_string());
            retry.store(queue.path(), &id).unwrap();
            assert_eq!(Retry::of(queue.path(), &id).as_ref(), Some(&retry));
            assert_eq!(retry.age(now), SignedDuration::from_mins(minute));
            is_standing.push(retry.is_standing());
        }
        assert_eq!(is_standing, [false, false, true, true]);
        Retry::clear(queue.path(), &id).unwrap();
        assert_eq!(Retry::of(queue.path(), &id), None);
    }
}
