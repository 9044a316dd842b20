//! The pages: what of the document is on each.

use std::sync::Arc;

use askama::Template;
use jiff::{Timestamp, tz::TimeZone};

use super::{ansi, plot, view};
use crate::{
    home::Home,
    queue::{Cancel, EntryId},
    records::Outcome,
    status::{
        Build, Document,
        branches::{self, PLOTTED},
        document::{Branch, Finished, Hold, Problem, RunningStage, queued, short_ref},
        output::Output,
        spoken, words,
    },
};

/// So many finished builds are on the first page.
const RECENT: usize = 40;

/// So many branches are on the first page, red ones apart.
const BRANCHES: usize = 24;

/// So many red branches are on the first page.
const RED: usize = 24;

/// So much of the end of an output is shown.
pub const SHOWN_BYTES: u64 = 256 << 10;

/// More lines than that make a browser slow.
const SHOWN_LINES: usize = 5000;

/// What is around each page.
struct Frame<'a> {
    icon: &'static str,
    version: &'a str,
    number: &'static str,
    host: &'a str,
    problems: &'a [Problem],
    hold: &'a Option<Hold>,
    drain: String,
    zone: String,
}

impl<'a> Frame<'a> {
    fn of(document: &'a Document, version: &'a str) -> Self {
        let red = document.branches.iter().any(|branch| branch.red_since.is_some());
        let icon = match () {
            () if !document.problems.is_empty() => "amber",
            () if red => "red",
            () if document.branches.is_empty() => "grey",
            () => "green",
        };
        let drain = &document.drain;
        let said = match (drain.running, drain.started, drain.looked.max(drain.ended)) {
            (Some(true), Some(started), _) => {
                let slots = drain
                    .threads
                    .map(|threads| format!(", {}", words::count(threads as usize, "slot", "slots")));
                format!("build runs since {}{}", view::time(&started), slots.unwrap_or_default())
            }
            (Some(true), None, _) => "build runs".to_string(),
            (_, _, Some(seen)) => format!("build last looked {}", view::time(&seen)),
            _ => "no build has looked yet".to_string(),
        };
        let free = document.disk.free_bytes.map(|free| format!(" · {} free", spoken::bytes(free)));
        let now = document.now.to_zoned(TimeZone::system());
        Self {
            icon,
            version,
            number: document.version,
            host: &document.host,
            problems: &document.problems,
            hold: &document.drain.hold,
            drain: format!("{said}{}", free.unwrap_or_default()),
            zone: now.strftime("%Z (UTC%:z)").to_string(),
        }
    }
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    frame: Frame<'a>,
    title: String,
    answer: String,
    tone: &'static str,
    sign: &'static str,
    document: &'a Document,
    red: &'a [Branch],
    more_red: usize,
    branches: Vec<&'a Branch>,
    recent: &'a [Arc<Finished>],
}

/// `/`
pub fn home(document: &Document, version: &str) -> askama::Result<String> {
    let all_red = document.branches.iter().take_while(|branch| branch.red_since.is_some()).count();
    let known = document.branches.iter().filter(|branch| branch.outcome.is_some()).count();
    let (answer, tone, sign) = match (all_red, known) {
        (0, 0) => ("Nothing has been built yet".to_string(), "none", "waiting"),
        (0, 1) => ("The branch is green".to_string(), "green", "succeeded"),
        (0, _) => (format!("All {known} branches are green"), "green", "succeeded"),
        (1, _) => ("1 branch is red".to_string(), "red", "failed"),
        _ => (format!("{all_red} branches are red"), "red", "failed"),
    };
    let title = match (document.well, all_red) {
        (false, _) => "! CI is not well · amp_ci".to_string(),
        (true, 0) => "✓ amp_ci".to_string(),
        (true, red) => format!("✗ {red} red · amp_ci"),
    };
    HomePage {
        frame: Frame::of(document, version),
        title,
        answer,
        tone,
        sign,
        document,
        red: &document.branches[..all_red.min(RED)],
        more_red: all_red.saturating_sub(RED),
        branches: document.branches.iter().take(BRANCHES).collect(),
        recent: &document.recent[..document.recent.len().min(RECENT)],
    }
    .render()
}

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage<'a> {
    frame: Frame<'a>,
    heading: &'a str,
    subheading: Option<&'a str>,
    /// The one branch that it is about.
    branch: Option<&'a Branch>,
    plot: Option<String>,
    branches: &'a [Branch],
    builds: Vec<&'a Finished>,
    older: Option<EntryId>,
}

/// `/builds`: these builds, and where older ones are.
pub fn builds(
    document: &Document,
    version: &str,
    builds: &[Arc<Finished>],
    older: Option<EntryId>,
) -> askama::Result<String> {
    let builds = builds.iter().map(|build| &**build).collect();
    let frame = Frame::of(document, version);
    ListPage {
        frame,
        heading: "All builds",
        subheading: None,
        branch: None,
        plot: None,
        branches: &[],
        builds,
        older,
    }
    .render()
}

/// `/branches`
pub fn branches(document: &Document, version: &str) -> askama::Result<String> {
    let frame = Frame::of(document, version);
    ListPage {
        frame,
        heading: "Branches",
        subheading: None,
        branch: None,
        plot: None,
        branches: &document.branches,
        builds: Vec::new(),
        older: None,
    }
    .render()
}

/// `/branch`: its history among the newest records.
pub fn branch(document: &Document, version: &str, repository: &str, git_ref: &str) -> askama::Result<String> {
    let is_of_it = |build: &&Arc<Finished>| {
        build.asked.repository.as_deref() == Some(repository)
            && build.asked.git_ref.as_deref() == Some(git_ref)
    };
    let builds: Vec<&Finished> = document.recent.iter().filter(is_of_it).map(|build| &**build).collect();
    let mut points: Vec<_> =
        builds.iter().filter_map(|build| branches::point(build)).take(4 * PLOTTED).collect();
    points.reverse();
    let plot = (points.len() > 1).then(|| plot::large(&points));
    let frame = Frame::of(document, version);
    ListPage {
        frame,
        heading: repository,
        subheading: Some(short_ref(git_ref)),
        branch: document
            .branches
            .iter()
            .find(|branch| (branch.repository.as_str(), branch.git_ref.as_str()) == (repository, git_ref)),
        plot,
        branches: &[],
        builds,
        older: None,
    }
    .render()
}

#[derive(Template)]
#[template(path = "build.html")]
struct BuildPage<'a> {
    frame: Frame<'a>,
    title: String,
    id: &'a EntryId,
    build: &'a Build,
    class: &'static str,
    verdict: &'static str,
    detail: Option<String>,
    progress: Option<String>,
    note: Option<String>,
    facts: Vec<Fact>,
    live: Option<String>,
    offset: u64,
    lines: Option<Vec<String>>,
    size: String,
    cut: bool,
    numbered: bool,
}

struct Fact {
    name: &'static str,
    text: String,
    time: Option<Timestamp>,
    href: Option<String>,
    mono: bool,
    /// A small screen can do without it.
    minor: bool,
}

/// What of an output is on its page.
struct Shown {
    lines: Vec<String>,
    offset: u64,
    length: u64,
}

/// `/builds/ID`
pub fn build(
    document: &Document,
    version: &str,
    home: &Home,
    id: &EntryId,
    build: &Build,
) -> askama::Result<String> {
    let shown = Output::open(home, id).ok().and_then(|output| end_of(&output).ok());
    let is_running = matches!(build, Build::Running(running) if running.stage != RunningStage::Recording);
    let mut page = BuildPage {
        frame: Frame::of(document, version),
        title: String::new(),
        id,
        build,
        class: "waiting",
        verdict: "waits",
        detail: None,
        progress: None,
        note: None,
        facts: facts(build),
        live: is_running.then(|| format!("/builds/{id}/output.log")),
        offset: shown.as_ref().map_or(0, |shown| shown.offset),
        size: spoken::bytes(shown.as_ref().map_or(0, |shown| shown.length)),
        cut: shown.as_ref().is_some_and(|shown| shown.offset > 0),
        numbered: !is_running && shown.as_ref().is_some_and(|shown| shown.offset == 0),
        lines: shown.map(|shown| shown.lines),
    };
    if is_running && page.lines.is_none() {
        page.lines = Some(Vec::new());
    }
    match build {
        Build::Waiting(waiting) => page.detail = Some(waiting.waits_for_text.clone()),
        Build::Running(running) => {
            (page.class, page.verdict) = ("running", words::stage(running));
            page.detail = running.cancel.as_ref().map(Cancel::words);
            page.progress = running.started.map(|_| view::progress(running));
        }
        Build::Finished(finished) => {
            (page.class, page.verdict) = (view::class(&finished.outcome), words::outcome_of(finished));
            page.detail = match (finished.outcome, finished.rc, finished.seconds) {
                (Some(Outcome::Succeeded), _, Some(seconds)) => {
                    Some(format!("in {}", spoken::seconds(seconds)))
                }
                (Some(_), Some(rc), Some(seconds)) => {
                    Some(format!("with rc {rc}, after {}", spoken::seconds(seconds)))
                }
                _ => None,
            };
            page.note = finished.reason.clone().or_else(|| finished.problem.clone());
        }
        Build::Bad(bad) => {
            (page.class, page.verdict) = ("error", "cannot be built");
            page.note.clone_from(&bad.why);
        }
    }
    let sign = match build {
        Build::Finished(finished) => words::sign(finished.outcome),
        Build::Running(_) => "▸",
        Build::Waiting(_) => "…",
        Build::Bad(_) => "!",
    };
    let name =
        build.asked().and_then(|asked| Some(format!("{} {}", asked.repository.as_deref()?, asked.branch()?)));
    page.title = format!("{sign} {} · amp_ci", name.unwrap_or_else(|| id.to_string()));
    page.render()
}

fn facts(build: &Build) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut fact = |name, text: Option<String>| {
        facts.extend(text.map(|text| Fact {
            name,
            text,
            time: None,
            href: None,
            mono: matches!(name, "Commit" | "Build"),
            minor: matches!(name, "Host" | "Try" | "Usually"),
        }));
    };
    if let Some(asked) = build.asked() {
        fact("Pushed by", asked.committer.clone());
        fact("Asked for by", asked.asked_by.clone());
        fact("Commit", asked.commit_id.clone());
        fact("Ref", asked.git_ref.clone());
        fact("Rerun of", asked.rerun_of.as_ref().map(ToString::to_string));
    }
    let (mut started, mut finished, mut red_since) = (None, None, None);
    match build {
        Build::Waiting(waiting) => {
            fact("Waits for", waiting.behind.as_ref().map(ToString::to_string));
            fact("Tries", (waiting.attempts > 0).then(|| waiting.attempts.to_string()));
        }
        Build::Running(running) => {
            started = running.started;
            fact("Usually", running.usual_seconds.map(spoken::seconds));
            fact("Try", running.attempt.map(|attempt| attempt.to_string()));
            fact("Host", running.host.clone());
        }
        Build::Finished(over) => {
            (started, finished) = (over.started, over.finished);
            fact("Ended by", over.by.clone());
            fact("In favour of", over.superseded_by.as_ref().map(ToString::to_string));
            fact("Before it", over.previous_outcome.map(|outcome| words::outcome(outcome).to_string()));
            red_since = over.red_since.as_ref().filter(|since| **since != over.asked.id);
            fact("Cause", over.cause.map(|cause| words::cause(cause).to_string()));
            fact(
                "Tries",
                over.attempts.filter(|attempts| *attempts > 1).map(|attempts| attempts.to_string()),
            );
            fact("Host", over.host.clone());
        }
        Build::Bad(_) => {}
    }
    fact("Build", build.asked().map(|asked| asked.id.to_string()));
    for fact in &mut facts {
        fact.href = match fact.name {
            "Rerun of" | "Waits for" | "In favour of" => Some(format!("/builds/{}", fact.text)),
            "Ref" => build.asked().and_then(|asked| {
                Some(view::branch_url(asked.repository.as_deref()?, asked.git_ref.as_deref()?))
            }),
            _ => None,
        };
    }
    if let Some(since) = red_since {
        facts.push(Fact {
            name: "Red since",
            text: since.to_string(),
            time: queued(since),
            href: Some(format!("/builds/{since}")),
            mono: false,
            minor: false,
        });
    }
    let times = [
        ("Queued", build.asked().and_then(|asked| asked.queued)),
        ("Started", started),
        ("Finished", finished),
    ];
    facts.extend(times.into_iter().filter_map(|(name, time)| {
        Some(Fact {
            name,
            text: String::new(),
            time: Some(time?),
            href: None,
            mono: false,
            minor: name == "Queued" || (name == "Started" && finished.is_some()),
        })
    }));
    facts
}

/// The end of an output, from the beginning of a line.
fn end_of(output: &Output) -> std::io::Result<Shown> {
    let length = output.len()?;
    let mut offset = length.saturating_sub(SHOWN_BYTES);
    let mut bytes = output.read_at(offset, usize::try_from(SHOWN_BYTES).unwrap_or(usize::MAX))?;
    let mut leave_out = |bytes: &mut Vec<u8>, count: usize| {
        offset += count as u64;
        bytes.drain(..count);
    };
    if length > SHOWN_BYTES
        && let Some(newline) = memchr::memchr(b'\n', &bytes)
    {
        leave_out(&mut bytes, newline + 1);
    }
    if let Some(newline) = memchr::memrchr_iter(b'\n', &bytes).nth(SHOWN_LINES) {
        leave_out(&mut bytes, newline + 1);
    }
    Ok(Shown { lines: ansi::lines(&bytes), offset, length })
}
