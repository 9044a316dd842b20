//! How each branch did before, by the newest records: read once, and kept while builds are added to them.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, PoisonError},
};

use super::{
    BuildResult, Outcome, Record,
    record::{NEWEST, newest},
};
use crate::{
    home::Home,
    queue::{BuildRequest, EntryId, Origin, fields::GitRef, fields::Repository},
};

/// The counted outcomes among the newest builds.
#[derive(Debug, Default)]
pub struct History(Mutex<Option<BTreeMap<EntryId, Past>>>);

/// One build that says how its branch did.
#[derive(Debug)]
struct Past {
    repository: Repository,
    git_ref: GitRef,
    /// In its branch's order: a rerun stands where the build stands that it runs again.
    place: (EntryId, EntryId),
    outcome: Outcome,
    red_since: Option<EntryId>,
}

impl History {
    /// Writes into `result` what its branch was before it, and keeps it for those that come after. `entry` is the
    /// entry's text. A success has `red_since` only if it has mended its branch: one of an older push than the last has not.
    pub fn enter(
        &self,
        home: &Home,
        id: &EntryId,
        request: &BuildRequest,
        entry: &[u8],
        result: &mut BuildResult,
    ) {
        let mut past = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let past = past.get_or_insert_with(|| {
            read(home).unwrap_or_else(|error| {
                tracing::warn!(
                    "{}: how branches did before is not known",
                    crate::error_chain::in_full(&error)
                );
                BTreeMap::new()
            })
        });
        let mut this = Past::of(id, request.clone(), entry, result);
        let mut branch: Vec<&Past> = past.values().filter(|other| other.is_of_the_branch_of(&this)).collect();
        branch.sort_by(|a, b| a.place.cmp(&b.place));
        let at = branch.partition_point(|other| other.place < this.place);
        let is_last = branch[at..].iter().all(|other| other.place == this.place);
        let before = &branch[..at];
        result.previous_outcome = before.last().map(|last| last.outcome);
        let broken = first_red(before);
        result.red_since = match result.outcome {
            Outcome::Failed | Outcome::TimedOut => Some(broken.unwrap_or(id).clone()),
            Outcome::Succeeded if is_last => broken.cloned(),
            _ => None,
        };
        if result.outcome.is_counted() {
            this.red_since.clone_from(&result.red_since);
            past.insert(id.clone(), this);
        }
        while past.len() > NEWEST {
            past.pop_first();
        }
    }
}

impl Past {
    fn of(id: &EntryId, request: BuildRequest, entry: &[u8], result: &BuildResult) -> Self {
        let original = Origin::of_entry(entry).and_then(|origin| origin.rerun_of);
        Self {
            repository: request.repository,
            git_ref: request.git_ref,
            place: (original.unwrap_or_else(|| id.clone()), id.clone()),
            outcome: result.outcome,
            red_since: result.red_since.clone(),
        }
    }

    fn is_of_the_branch_of(&self, other: &Self) -> bool {
        self.git_ref == other.git_ref && self.repository == other.repository
    }
}

/// Since when a branch is red that has these behind it, in order; none if it is not.
fn first_red<'a>(before: &[&'a Past]) -> Option<&'a EntryId> {
    let is_green = |past: &&Past| past.outcome == Outcome::Succeeded;
    let red = before.rsplit(is_green).next()?;
    let first = red.first()?;
    // Where no success is on view, it may have begun before what is.
    let earlier = first.red_since.as_ref().filter(|_| red.len() == before.len());
    Some(earlier.unwrap_or(&first.place.1))
}

/// From the records. What cannot be read says nothing.
fn read(home: &Home) -> io::Result<BTreeMap<EntryId, Past>> {
    let past = |id: EntryId| {
        let record = Record::of(home, &id);
        let result = record.result().ok()??;
        let entry = record.request_bytes().ok()?;
        let request = serde_json::from_slice(&entry).ok()?;
        result.outcome.is_counted().then(|| (id.clone(), Past::of(&id, request, &entry, &result)))
    };
    Ok(newest(home)?.into_iter().filter_map(past).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        queue::origin::Why,
        records::{Cause, Rc, Verdict},
    };

    fn id(number: u32) -> EntryId {
        EntryId::parse(&format!("{number}.0")).unwrap()
    }

    fn request(git_ref: &str) -> BuildRequest {
        let json = serde_json::json!({"repository": "r", "ref": git_ref, "commit_id": "a".repeat(40)});
        serde_json::from_value(json).unwrap()
    }

    /// `7 failed` or, for a rerun, `9 of 7 succeeded`: the number, what it runs again and the verdict.
    fn enter(
        history: &History,
        home: &Home,
        git_ref: &str,
        build: &str,
    ) -> (Option<Outcome>, Option<EntryId>) {
        let words: Vec<&str> = build.split(' ').collect();
        let (this, of) =
            (words[0].parse().unwrap(), (words.len() == 4).then(|| id(words[2].parse().unwrap())));
        let verdict = match words[words.len() - 1] {
            "succeeded" => Verdict::Ran(Rc::new(0)),
            "failed" => Verdict::Ran(Rc::new(1)),
            _ => Verdict::Error(Cause::Installation, String::new()),
        };
        let request = request(git_ref);
        let entry = match of {
            None => request.to_json(),
            of => request.to_json_with(&Origin { why: Why::Rerun, rerun_of: of, by: String::new() }),
        };
        let mut result = BuildResult::new(&verdict, jiff::Timestamp::UNIX_EPOCH, 1.0, 1, String::new());
        history.enter(home, &id(this), &request, entry.as_bytes(), &mut result);
        let record = Record::of(home, &id(this));
        std::fs::create_dir_all(record.dir()).unwrap();
        std::fs::write(record.dir().join("request.json"), entry).unwrap();
        record.commit(&result).unwrap();
        (result.previous_outcome, result.red_since)
    }

    const MAIN: &str = "refs/heads/main";

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::find(Some(dir.path())).unwrap();
        (dir, home)
    }

    /// Each build with what its result says: of this drain, and of one that reads the records before each build.
    #[track_caller]
    fn says(builds: &[(&str, Option<Outcome>, Option<u32>)]) {
        let (one, each) = (home(), home());
        let history = History::default();
        for (build, previous, red_since) in builds {
            let expected = (*previous, red_since.map(id));
            assert_eq!(enter(&history, &one.1, MAIN, build), expected, "{build}");
            assert_eq!(enter(&History::default(), &each.1, MAIN, build), expected, "{build}, read anew");
        }
    }

    const GOOD: Option<Outcome> = Some(Outcome::Succeeded);
    const BAD: Option<Outcome> = Some(Outcome::Failed);

    #[test]
    fn red_is_since_the_first_failure_after_a_success_up_to_the_build_that_mends_it() {
        says(&[
            ("1 failed", None, Some(1)),
            ("2 failed", BAD, Some(1)),
            ("3 error", BAD, None),
            ("4 succeeded", BAD, Some(1)),
            ("5 succeeded", GOOD, None),
            ("6 failed", GOOD, Some(6)),
        ]);
    }

    #[test]
    fn a_rerun_stands_where_its_original_stands() {
        says(&[
            ("1 succeeded", None, None),
            ("2 failed", GOOD, Some(2)),
            ("3 of 1 succeeded", GOOD, None),
            ("4 failed", BAD, Some(2)),
            ("5 of 2 succeeded", BAD, None),
            ("6 of 4 failed", BAD, Some(4)),
            ("7 of 4 succeeded", BAD, Some(4)),
            ("8 of 1 failed", GOOD, Some(8)),
            ("9 succeeded", GOOD, None),
        ]);
    }

    #[test]
    fn branches_are_told_apart_by_their_full_refs() {
        let ((_dir, home), history) = (home(), History::default());
        assert_eq!(enter(&history, &home, "refs/heads/x/main", "1 failed"), (None, Some(id(1))));
        assert_eq!(enter(&history, &home, "refs/tags/main", "2 failed"), (None, Some(id(2))));
        assert_eq!(enter(&history, &home, MAIN, "3 succeeded"), (None, None));
    }

    #[test]
    fn what_was_before_the_newest_is_known_by_their_records_alone() {
        let ((_dir, home), history) = (home(), History::default());
        enter(&history, &home, MAIN, "1 failed");
        for number in 2..=502 {
            enter(
                &history,
                &home,
                if number == 2 { MAIN } else { "refs/heads/other" },
                &format!("{number} failed"),
            );
        }
        assert_eq!(enter(&history, &home, MAIN, "503 failed"), (None, Some(id(503))));
        assert_eq!(enter(&history, &home, "refs/heads/other", "504 succeeded"), (BAD, Some(id(3))));
        assert_eq!(history.0.lock().unwrap().as_ref().unwrap().len(), NEWEST);
    }
}
