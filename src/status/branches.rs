//! What state each branch is in, by the builds of it that are on view.

use std::{collections::HashMap, sync::Arc};

use super::document::{Branch, Finished, Point, RedSince};
use crate::{queue::EntryId, records::Outcome};

/// How many builds a plot shows.
pub const PLOTTED: usize = 30;

/// Of how many the usual duration is the median.
const USUAL_OF: usize = 9;

/// The branches of these builds: what is red first, the latest to break on top; then what was built last.
pub fn of(recent: &[Arc<Finished>]) -> Vec<Branch> {
    let mut by_ref: HashMap<(&str, &str), Vec<&Finished>> = HashMap::new();
    for build in recent {
        if let (Some(repository), Some(git_ref)) = (&build.asked.repository, &build.asked.git_ref) {
            by_ref.entry((repository, git_ref)).or_default().push(build);
        }
    }
    let mut branches: Vec<_> = by_ref
        .into_iter()
        .map(|((repository, git_ref), builds)| branch(repository, git_ref, builds))
        .collect();
    branches.sort_by_cached_key(|branch| {
        let (red, last) = match &branch.red_since {
            Some(since) => (0, since.finished),
            None => (1, branch.history.last().map(|point| point.finished).max(branch.finished)),
        };
        (red, std::cmp::Reverse(last), branch.repository.clone(), branch.git_ref.clone())
    });
    branches
}

/// In a branch's order a rerun stands where the build stands that it runs again: rerunning an old success mends nothing.
fn place(build: &Finished) -> (&EntryId, &EntryId) {
    (build.asked.rerun_of.as_ref().unwrap_or(&build.asked.id), &build.asked.id)
}

fn branch(repository: &str, git_ref: &str, mut builds: Vec<&Finished>) -> Branch {
    builds.sort_by(|a, b| place(a).cmp(&place(b)));
    let counted: Vec<&Finished> =
        builds.iter().copied().filter(|build| build.outcome.is_some_and(Outcome::is_counted)).collect();
    let last = counted.last();
    let red = counted.iter().rev().take_while(|build| build.outcome != Some(Outcome::Succeeded));
    let (red_builds, first_red) = red.fold((0, None), |(count, _), build| (count + 1, Some(*build)));
    // Where no success is on view, red may have begun before what is.
    let earlier =
        (red_builds == counted.len()).then(|| last.and_then(|last| last.red_since.as_ref())).flatten();
    let red_since = first_red.map(|first| match earlier {
        Some(earlier) if *earlier < first.asked.id => {
            RedSince { build: earlier.clone(), finished: None, committer: None, commit_id: None }
        }
        _ => RedSince {
            build: first.asked.id.clone(),
            finished: first.finished,
            committer: first.asked.committer.clone(),
            commit_id: first.asked.commit_id.clone(),
        },
    });
    let history = builds.iter().copied().filter_map(point).collect::<Vec<_>>();
    Branch {
        repository: repository.to_string(),
        git_ref: git_ref.to_string(),
        outcome: last.and_then(|last| last.outcome),
        build: last.map(|last| last.asked.id.clone()),
        finished: last.and_then(|last| last.finished),
        red_since,
        red_builds,
        last_outcome: builds.last().and_then(|last| last.outcome),
        usual_seconds: usual_seconds(&counted),
        running: Vec::new(),
        history: history[history.len().saturating_sub(PLOTTED)..].to_vec(),
    }
}

/// A build as a plot shows it: what never ran has no duration to show.
pub fn point(build: &Finished) -> Option<Point> {
    let outcome = build.outcome.filter(|outcome| *outcome != Outcome::Superseded)?;
    Some(Point { build: build.asked.id.clone(), outcome, seconds: build.seconds?, finished: build.finished? })
}

fn usual_seconds(counted: &[&Finished]) -> Option<f64> {
    let succeeded = counted.iter().rev().filter(|build| build.outcome == Some(Outcome::Succeeded));
    let mut seconds: Vec<f64> = succeeded.filter_map(|build| build.seconds).take(USUAL_OF).collect();
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::document::Asked;

    fn id(text: &str) -> EntryId {
        EntryId::parse(text).expect("an id")
    }

    fn build(name: &str, outcome: Outcome) -> Finished {
        let asked = Asked {
            repository: Some("a".to_string()),
            git_ref: Some("refs/heads/main".to_string()),
            committer: Some(format!("who pushed {name}")),
            ..Asked::unknown(&id(name))
        };
        let finished = jiff::Timestamp::from_second(name.split('.').next().unwrap().parse().unwrap()).ok();
        Finished {
            outcome: Some(outcome),
            finished,
            seconds: Some(1.0),
            problem: None,
            ..Finished::unreadable(asked, String::new())
        }
    }

    fn state(builds: impl IntoIterator<Item = Finished>) -> Branch {
        let builds: Vec<_> = builds.into_iter().map(Arc::new).collect();
        of(&builds).remove(0)
    }

    #[test]
    fn red_begins_with_the_first_failure_after_the_last_success() {
        use Outcome::*;
        let branch = state([
            build("1.0", Failed),
            build("2.0", Succeeded),
            build("3.0", TimedOut),
            build("4.0", Error),
            build("5.0", Cancelled),
            build("6.0", Failed),
            build("7.0", Skipped),
        ]);
        assert_eq!((branch.outcome, branch.build), (Some(Failed), Some(id("6.0"))));
        let since = branch.red_since.expect("it is red");
        assert_eq!((since.build, since.committer.as_deref()), (id("3.0"), Some("who pushed 3.0")));
        assert_eq!((branch.red_builds, branch.last_outcome), (2, Some(Skipped)));
    }

    #[test]
    fn rerunning_an_old_success_mends_nothing_and_rerunning_the_failure_does() {
        let rerun = |name, of, outcome| {
            let mut build = build(name, outcome);
            build.asked.rerun_of = Some(id(of));
            build
        };
        let history = || [build("1.0", Outcome::Succeeded), build("2.0", Outcome::Failed)];
        let red = state(history().into_iter().chain([rerun("3.0", "1.0", Outcome::Succeeded)]));
        assert_eq!(red.outcome, Some(Outcome::Failed));
        let green = state(history().into_iter().chain([rerun("3.0", "2.0", Outcome::Succeeded)]));
        assert_eq!((green.outcome, green.red_since), (Some(Outcome::Succeeded), None));
    }

    #[test]
    fn what_broke_before_the_oldest_build_on_view_is_known_by_the_record() {
        let mut last = build("9.0", Outcome::Failed);
        last.red_since = Some(id("2.0"));
        assert_eq!(state([build("8.0", Outcome::Failed), last]).red_since.unwrap().build, id("2.0"));
    }

    #[test]
    fn a_branch_without_a_counted_outcome_is_neither_red_nor_green() {
        let branch = state([build("1.0", Outcome::Error)]);
        assert_eq!((branch.outcome, branch.red_since, branch.red_builds), (None, None, 0));
    }

    #[test]
    fn the_usual_duration_is_the_median_of_the_last_nine_successes() {
        let builds = (1..=12).map(|number| {
            let seconds = f64::from(number);
            Finished { seconds: Some(seconds), ..build(&format!("{number}.0"), Outcome::Succeeded) }
        });
        assert_eq!(state(builds.chain([build("13.0", Outcome::Failed)])).usual_seconds, Some(8.0));
    }
}
