//! What became of every push: in a file a line for each, and whether every promise was kept.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write,
    fs,
    path::Path,
};

use serde_json::Value;

use super::{
    Accepted, OPERATOR, Storm,
    bad_builds::{self, BadBuild},
    lane,
};
use crate::support::{files::names, installation::Push};

/// So often a build may take `build` down with it.
const TRIES: usize = 3;

/// So often it may meet a fault of its own, and one of the machine.
const OWN_FAULTS: usize = 3;
const MACHINE_FAULTS: usize = 10;

/// What is on record of a build.
struct Kept {
    push: Push,
    result: Value,
    bad: Option<&'static BadBuild>,
    begun: usize,
}

impl Kept {
    fn outcome(&self) -> &str {
        self.result["outcome"].as_str().unwrap()
    }

    fn attempts(&self) -> u64 {
        self.result["attempts"].as_u64().unwrap()
    }
}

struct Account<'a> {
    storm: &'a Storm,
    kept: BTreeMap<String, Kept>,
    /// In `queue/bad/`.
    rejected: Vec<String>,
    /// Letters that the mail server has taken, by name, with how often and to whom; and those that it refused.
    taken: BTreeMap<String, (usize, String)>,
    refused: Vec<String>,
    /// Promises that were not kept.
    broken: Vec<String>,
}

/// Writes it down, says what there was in all, and panics if a promise was not kept.
pub fn close(storm: &Storm) {
    let mut account = Account::open(storm);
    account.look_for_what_is_left();
    account.look_at_pushes();
    account.look_at_records();
    account.look_at_letters();
    account.look_at_statuses();
    for (lane, ids) in by_lane(&storm.accepted) {
        account.look_at_lane(&lane, &ids);
    }
    let name = format!("storm-{}.account", storm.seed);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, account.lines()).unwrap();
    eprintln!("{}\nevery push: {}", account.sums(), path.display());
    let broken = account.broken.join("\n");
    // Where it is to be looked for.
    let log = path.with_extension("build.log");
    fs::write(&log, storm.ci.log()).unwrap();
    assert!(broken.is_empty(), "{}:\n{broken}", log.display());
}

fn by_lane(accepted: &[Accepted]) -> BTreeMap<String, Vec<String>> {
    let mut lanes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for Accepted { id, push } in accepted {
        lanes.entry(lane(push)).or_default().push(id.clone());
    }
    lanes
}

/// What is in a file, if it is one.
fn read(path: &Path) -> Option<Value> {
    let is_file = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    serde_json::from_slice(&fs::read(Some(path).filter(|_| is_file)?).ok()?).ok()
}

fn request(request: &Value) -> Push {
    let field = |name: &str| request[name].as_str().unwrap().to_string();
    Push {
        repository: field("repository"),
        git_ref: field("ref"),
        commit: field("commit_id"),
        name: field("committer_name"),
        email: field("committer_email"),
    }
}

impl<'a> Account<'a> {
    fn open(storm: &'a Storm) -> Self {
        let mut begun: HashMap<String, usize> = HashMap::new();
        let lanes = storm.elsewhere.path().join("lanes");
        for name in names(&lanes) {
            let marks = fs::read_to_string(lanes.join(name)).unwrap();
            for id in marks.lines().filter_map(|mark| mark.strip_prefix("begin ")) {
                *begun.entry(id.to_string()).or_default() += 1;
            }
        }
        let log = storm.ci.log();
        let kept = names(&storm.ci.path("builds")).into_iter().filter_map(|id| {
            let result = read(&storm.ci.path(&format!("builds/{id}/result.json")))?;
            // A build may have done away with what was asked.
            let answered = storm.accepted.iter().find(|accepted| accepted.id == id);
            let push = answered.map(|accepted| accepted.push.clone());
            let path = storm.ci.path(&format!("builds/{id}/request.json"));
            let push = push.or_else(|| Some(request(&read(&path)?)));
            let push = push.or_else(|| {
                let begins = log.lines().find(|line| line.contains(&format!("Submitting {id} ")))?;
                storm.delivered.iter().find(|push| begins.contains(&push.commit)).cloned()
            })?;
            let bad = bad_builds::of(&push.email);
            let begun = begun.get(&id).copied().unwrap_or_default();
            Some((id, Kept { push, result, bad, begun }))
        });
        let mut taken: BTreeMap<String, (usize, String)> = BTreeMap::new();
        for letter in storm.mail.taken() {
            let text = String::from_utf8_lossy(&letter.data).into_owned();
            let id = text.lines().find_map(|line| line.strip_prefix("Message-ID: <amp_ci.")).unwrap();
            let stem = id.rsplit_once('@').unwrap().0.to_string();
            taken.entry(stem).or_insert((0, letter.to[0].clone())).0 += 1;
        }
        let refused = names(&storm.ci.path("outbox/failed"));
        let refused = refused.iter().filter_map(|name| name.strip_suffix(".eml"));
        let bad = names(&storm.ci.path("queue/bad"));
        Self {
            storm,
            kept: kept.collect(),
            rejected: bad.into_iter().filter(|name| !name.ends_with(".why")).collect(),
            taken,
            refused: refused.map(str::to_string).collect(),
            broken: Vec::new(),
        }
    }

    fn demand(&mut self, holds: bool, broken: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(broken());
        }
    }

    fn look_for_what_is_left(&mut self) {
        let ci = &self.storm.ci;
        // Without a mark it is known by its parent alone, as long as that lives.
        let has_died = self.storm.ends.contains_key(&-9);
        for process in ci.living() {
            let is_hidden = has_died && process.contains("/left-without-mark ");
            self.demand(is_hidden, || format!("a process is left: {process}"));
        }
        for workspace in names(&self.storm.elsewhere.path().join("work")) {
            self.broken.push(format!("a workspace is left: {workspace}"));
        }
        for name in names(&ci.path("queue")) {
            let is_left = name.starts_with("build-") || ["hold", "left-over.json"].contains(&name.as_str());
            self.demand(!is_left, || format!("queue/{name} is left"));
        }
        // What a writer that died left under a temporary name goes after an hour.
        for name in names(&ci.path("outbox")) {
            let is_left = name != "failed" && name != "forge.json" && !name.starts_with(".new-");
            self.demand(!is_left, || format!("outbox/{name} is left"));
        }
        for name in names(&ci.path("builds")) {
            let id = name.strip_prefix(".broken-").unwrap_or(&name).split('-').next().unwrap();
            let wrecks = self.kept.get(id).and_then(|kept| kept.bad).is_some_and(|bad| bad.wrecks_record);
            let is_good = if name.starts_with('.') {
                wrecks
            } else {
                self.kept.contains_key(id) || self.is_rejected(id)
            };
            self.demand(is_good, || format!("builds/{name} is not final"));
        }
    }

    fn is_rejected(&self, id: &str) -> bool {
        self.rejected.iter().any(|name| name.strip_prefix("build-").is_some_and(|name| name.starts_with(id)))
    }

    /// What was answered is on record. What died before it answered may be.
    fn look_at_pushes(&mut self) {
        for Accepted { id, push } in &self.storm.accepted {
            let wrecks = bad_builds::of(&push.email).is_some_and(|bad| bad.wrecks_record);
            let is_kept = self.kept.contains_key(id) || wrecks && self.is_rejected(id);
            self.demand(is_kept, || format!("{id} was answered and has no record"));
        }
        for name in self.rejected.clone() {
            let id = name.strip_prefix("build-").unwrap();
            let of = |Accepted { id: of, push }: &Accepted| {
                id.starts_with(of) && bad_builds::of(&push.email).is_some_and(|bad| bad.wrecks_record)
            };
            let belongs = self.storm.garbage.contains(id) || self.storm.accepted.iter().any(of);
            self.demand(belongs, || format!("queue/bad/{name} does not belong there"));
            let heard = self.is_heard(&format!("bad-{name}"));
            self.demand(heard, || format!("nobody heard of queue/bad/{name}"));
        }
        let garbage =
            self.rejected.iter().filter(|name| self.storm.garbage.contains(&name["build-".len()..])).count();
        self.demand(garbage == self.storm.garbage.len(), || "garbage is not in queue/bad/".to_string());
    }

    /// How each came out, and after how many tries.
    fn look_at_records(&mut self) {
        let mut broken = Vec::new();
        for (id, kept) in &self.kept {
            let Kept { push, result, bad, begun } = kept;
            let (outcome, attempts, cause) = (kept.outcome(), kept.attempts(), result["cause"].as_str());
            let disk_was_full = self.storm.struck.contains_key("full disk");
            let may_be = match outcome {
                "succeeded" | "failed" => true,
                "cancelled" => self.storm.cancelled.contains(id),
                "superseded" => {
                    self.storm.delivered.iter().filter(|other| other.commit == push.commit).count() > 1
                }
                "error" if cause == Some("crash") => attempts == TRIES as u64,
                "error" => bad.is_some() || disk_was_full,
                other => bad.is_some_and(|bad| bad.may_end.contains(&other)),
            };
            if !may_be {
                broken.push(format!("{id} is {outcome}, {cause:?}: {result}"));
            }
            let least = u64::from(!["cancelled", "superseded"].contains(&outcome));
            if !(least..=3).contains(&attempts) {
                broken.push(format!("{id} was tried {attempts} times: {result}"));
            }
            let faults = if disk_was_full { MACHINE_FAULTS } else { 0 };
            let own = bad.map_or(0, |bad| OWN_FAULTS + bad.asks);
            let taken_back = self.storm.taken_back.get(id).copied().unwrap_or_default();
            if *begun > TRIES + faults + own + taken_back {
                broken.push(format!("{id} began {begun} times: {result}"));
            }
            let running = self.storm.ci.path(&format!("builds/{id}/running.json"));
            if running.symlink_metadata().is_ok() && bad.is_none() {
                broken.push(format!("{id} is over and has a running.json"));
            }
        }
        self.broken.append(&mut broken);
    }

    fn is_heard(&self, stem: &str) -> bool {
        let is_taken = |stem: &str| self.taken.contains_key(stem);
        is_taken(stem)
            || self.refused.iter().any(|refused| refused == stem) && is_taken(&format!("failed-{stem}"))
    }

    /// Exactly those that failed are told of, each to the right person.
    fn look_at_letters(&mut self) {
        let mut due: BTreeMap<String, String> = BTreeMap::new();
        for (id, kept) in &self.kept {
            if ["failed", "timed_out", "error"].contains(&kept.outcome()) {
                due.insert(id.clone(), kept.push.email.clone());
            }
            if kept.outcome() == "error" {
                due.insert(format!("{id}.ci"), OPERATOR.to_string());
            }
        }
        for (stem, to) in &due {
            let is_heard = self.is_heard(stem);
            self.demand(is_heard, || format!("nobody heard of {stem}"));
            let is_right = self.taken.get(stem).is_none_or(|(_, taken_to)| taken_to == to);
            self.demand(is_right, || format!("{stem} went to somebody else than {to}"));
        }
        for stem in self.taken.keys().cloned().collect::<Vec<_>>() {
            let is_of_a_build = stem.starts_with(|first: char| first.is_ascii_digit());
            let is_due =
                !is_of_a_build || due.contains_key(&stem) || self.is_rejected(stem.trim_end_matches(".ci"));
            self.demand(is_due, || format!("the letter {stem} is about nothing"));
        }
        let is_told = self.taken.keys().any(|stem| stem.starts_with("trouble-"));
        let had_fault = self.storm.ends.contains_key(&1);
        self.demand(is_told || !had_fault, || "build left with 1, and nobody heard why".to_string());
    }

    /// Of each commit the forge has heard last what became of its newest build.
    fn look_at_statuses(&mut self) {
        let Some(forge) = &self.storm.forge else { return };
        let mut commits: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut broken = Vec::new();
        // Oldest first: what is not told of leaves what stood there.
        for kept in self.kept.values() {
            let known = commits.entry(&kept.push.commit).or_default();
            match kept.outcome() {
                "succeeded" => *known = BTreeSet::from(["success"]),
                "failed" | "timed_out" => *known = BTreeSet::from(["failure"]),
                "error" => *known = BTreeSet::from(["error"]),
                // As an error, if it had begun.
                _ => _ = known.insert("error"),
            }
        }
        for (commit, may_be) in commits {
            let told = forge.statuses(commit, "amp_ci");
            let is_silent = told.is_empty() && may_be == BTreeSet::from(["error"]);
            if !is_silent && !told.last().is_some_and(|last| may_be.contains(last.as_str())) {
                broken.push(format!("the forge heard {told:?} of {commit}, which is {may_be:?}"));
            }
        }
        self.broken.append(&mut broken);
    }

    fn look_at_lane(&mut self, lane: &str, ids: &[String]) {
        let lanes = self.storm.elsewhere.path().join("lanes");
        self.broken.extend(out_of_order(&lanes, lane, ids));
    }

    /// A line for each record: its push, its outcome, its tries, its letters, what the forge heard.
    fn lines(&self) -> String {
        let mut lines = String::new();
        for (id, Kept { push, result, begun, .. }) in &self.kept {
            let answered = self.storm.accepted.iter().any(|accepted| accepted.id == *id);
            let letters: Vec<&str> =
                self.taken.keys().filter(|stem| stem.contains(id.as_str())).map(String::as_str).collect();
            let heard = self.storm.forge.as_ref().map(|forge| forge.statuses(&push.commit, "amp_ci"));
            let [repository, git_ref, commit, _, email] = push.arguments();
            let answered = if answered { "accepted" } else { "unanswered" };
            writeln!(
                lines,
                "{id} {repository} {git_ref} {commit} {email} {answered} {result} begun {begun} letters {letters:?} forge {:?}",
                heard.unwrap_or_default(),
            )
            .unwrap();
        }
        for name in &self.rejected {
            writeln!(lines, "queue/bad/{name}").unwrap();
        }
        lines
    }

    fn sums(&self) -> String {
        let mut outcomes: BTreeMap<(&str, u64), usize> = BTreeMap::new();
        for kept in self.kept.values() {
            *outcomes.entry((kept.outcome(), kept.attempts())).or_default() += 1;
        }
        let statuses =
            self.storm.forge.as_ref().map_or(0, |forge| {
                forge.received().iter().filter(|request| request.code == Some(201)).count()
            });
        format!(
            "{} accepted, {} on record {outcomes:?}, {} in bad\n\
             {} letters of {} kinds, {} refused; {statuses} statuses\n\
             struck {:?}; build ended {:?}",
            self.storm.accepted.len(),
            self.kept.len(),
            self.rejected.len(),
            self.taken.values().map(|(times, _)| times).sum::<usize>(),
            self.taken.len(),
            self.refused.len(),
            self.storm.struck,
            self.storm.ends
        )
    }
}

/// One at a time, and in the order in which the pushes were accepted: a build that was begun may be begun again, but
/// none is begun that is older than one before it.
fn out_of_order(lanes: &Path, lane: &str, accepted: &[String]) -> Vec<String> {
    let mut broken = Vec::new();
    let marks = fs::read_to_string(lanes.join(lane)).unwrap_or_default();
    let marks: Vec<(&str, &str)> = marks.lines().map(|line| line.split_once(' ').unwrap()).collect();
    for pair in marks.windows(2) {
        let [(_, before), (mark, id)] = pair else { unreachable!() };
        if before > id {
            broken.push(format!("{lane}: {before} before {id}"));
        }
        if *mark != "begin" && before != id {
            broken.push(format!("{lane}: {id} ended while {before} ran"));
        }
    }
    if !accepted.is_sorted() {
        broken.push(format!("{lane}: not accepted in the order of the names"));
    }
    broken
}

pub fn judge_lane(lanes: &Path, lane: &str, accepted: &[String]) {
    assert_eq!(out_of_order(lanes, lane, accepted), [""; 0]);
}
