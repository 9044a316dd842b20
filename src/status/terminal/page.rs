//! What `build status` says.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use jiff::{Timestamp, tz::TimeZone};

use super::table::{self, Cell};
use crate::{
    home::Home,
    own_name::own_name,
    queue::EntryId,
    records::Outcome,
    status::{
        Build, Document,
        document::{Asked, Branch, Drain, Finished, Running, RunningStage, Waiting, short_ref},
        spoken, words,
    },
    text::printable,
};

/// So many finished builds are listed.
const RECENT: usize = 15;

/// So many waiting entries are listed.
const WAITING: usize = 15;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const BLUE: Style = AnsiColor::Blue.on_default();

/// Everything: first whether CI is well, then what is red, runs, waits and came last.
pub fn everything(out: &mut Vec<u8>, document: &Document, width: Option<usize>) -> io::Result<()> {
    headline(out, document)?;
    let now = document.now;
    let red = document.branches.iter().filter(|branch| branch.red_since.is_some());
    section(out, "Red", red.map(|branch| red_row(branch, now)), 1, width)?;
    let running = document.running.iter().map(|running| running_row(running, now));
    section(out, "Running", running, 1, width)?;
    let waiting = document.waiting.iter().take(WAITING).map(|waiting| waiting_row(waiting, now));
    section(out, "Waiting", waiting, 5, width)?;
    let unnamed = document.waiting_total.saturating_sub(WAITING.min(document.waiting.len()));
    if unnamed > 0 {
        writeln!(out, "  and {unnamed} more")?;
    }
    let recent = document.recent.iter().take(RECENT).map(|build| recent_row(build, now));
    section(out, "Recent", recent, 1, width)?;
    let bad = document.bad.iter().map(|bad| {
        vec![
            Cell::styled("  !", YELLOW),
            Cell::new(&bad.name),
            Cell::new(bad.why.as_deref().unwrap_or("nobody has said why")),
        ]
    });
    section(out, "Cannot be built (queue/bad/)", bad, 2, width)?;
    let letters = [
        (document.letters.waiting, "for the mail server"),
        (document.letters.failed, "that nobody took (outbox/failed/)"),
    ];
    for (number, what) in letters {
        if let Some(number) = number.filter(|number| *number > 0) {
            writeln!(out, "\n{} {what}", words::count(number, "letter", "letters"))?;
        }
    }
    Ok(())
}

fn headline(out: &mut Vec<u8>, document: &Document) -> io::Result<()> {
    match document.problems.split_first() {
        None => {
            let well = format!("{GREEN}✓{GREEN:#} {BOLD}CI is well{BOLD:#}");
            let free = document
                .disk
                .free_bytes
                .map(|free| format!(" · {} free", spoken::bytes(free)))
                .unwrap_or_default();
            writeln!(out, "{well} · {}{free}", drain(&document.drain, document.now))?;
        }
        Some((worst, others)) => {
            writeln!(
                out,
                "{RED}✗ CI is not well{RED:#}: {}; see `{} check`",
                printable(&worst.text),
                own_name()
            )?;
            for problem in others {
                writeln!(out, "  also: {}", printable(&problem.text))?;
            }
            writeln!(out, "  {}", drain(&document.drain, document.now))?;
        }
    }
    if let Some(hold) = &document.drain.hold {
        let text = hold.text.as_deref().map(|text| format!(": {}", printable(text))).unwrap_or_default();
        let since = hold.since.map(|since| format!(" since {}", when(since))).unwrap_or_default();
        writeln!(out, "{YELLOW}‖ held{YELLOW:#}{since}{text}")?;
    }
    Ok(())
}

/// The drain in a few words.
fn drain(drain: &Drain, now: Timestamp) -> String {
    let slots = drain.threads.map(|threads| words::count(threads as usize, "slot", "slots"));
    match (drain.running, drain.started, [drain.looked, drain.ended].into_iter().flatten().max()) {
        (Some(true), Some(started), _) => {
            let pid = drain.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            let slots = slots.map(|slots| format!(", {slots}")).unwrap_or_default();
            format!("build{pid} runs since {}{slots}", when(started))
        }
        (Some(true), None, _) => "build runs".to_string(),
        (_, _, Some(seen)) => format!("build last looked {}", spoken::ago(now, seen)),
        _ => "no build has looked yet".to_string(),
    }
}

fn section(
    out: &mut Vec<u8>,
    title: &str,
    rows: impl Iterator<Item = Vec<Cell>>,
    flexible: usize,
    width: Option<usize>,
) -> io::Result<()> {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{BOLD}{title}{BOLD:#}")?;
    table::write(out, &rows, flexible, width)
}

fn name(asked: &Asked) -> Cell {
    match (&asked.repository, asked.branch()) {
        (Some(repository), Some(branch)) => Cell::styled(&format!("{repository} {branch}"), BOLD),
        _ => Cell::styled("cannot be read", DIM),
    }
}

fn commit(asked: &Asked) -> Cell {
    Cell::styled(asked.commit_id.as_deref().map(words::short_commit).unwrap_or_default(), DIM)
}

fn who(asked: &Asked) -> Cell {
    Cell::new(asked.asked_by.as_deref().or(asked.committer.as_deref()).unwrap_or_default())
}

fn red_row(branch: &Branch, now: Timestamp) -> Vec<Cell> {
    let since = branch.red_since.as_ref();
    let commit = since.and_then(|since| since.commit_id.as_deref()).map_or("unknown", words::short_commit);
    let by = since.and_then(|since| since.committer.as_deref()).unwrap_or("somebody");
    let ago = since.and_then(|since| since.finished).map(|then| spoken::ago(now, then)).unwrap_or_default();
    vec![
        Cell::styled(&format!("  {}", words::sign(branch.outcome)), RED),
        Cell::styled(&format!("{} {}", branch.repository, short_ref(&branch.git_ref)), BOLD),
        Cell::styled(&format!("since {ago}"), RED),
        Cell::new(&format!("by {by} with {commit}")),
        Cell::styled(&words::count(branch.red_builds, "build", "builds"), DIM),
        Cell::styled(since.map(|since| since.build.as_str()).unwrap_or_default(), DIM),
    ]
}

fn running_row(running: &Running, now: Timestamp) -> Vec<Cell> {
    let elapsed = running.started.map(|started| spoken::seconds(now.duration_since(started).as_secs_f64()));
    let usual = running.usual_seconds.map(|usual| format!(" of usually {}", spoken::seconds(usual)));
    let time = match running.stage {
        RunningStage::Running if running.cancel.is_none() => {
            format!("{}{}", elapsed.unwrap_or_default(), usual.unwrap_or_default())
        }
        _ => stage(running),
    };
    vec![
        Cell::styled("  ▸", BLUE),
        name(&running.asked),
        commit(&running.asked),
        who(&running.asked),
        Cell::styled(&time, BLUE),
        Cell::styled(running.asked.id.as_str(), DIM),
    ]
}

/// How far it is, and who does not want it.
fn stage(running: &Running) -> String {
    let by = running.cancel.as_ref().map(|cancel| format!(", {}", cancel.words()));
    format!("{}{}", words::stage(running), by.unwrap_or_default())
}

fn waiting_row(waiting: &Waiting, now: Timestamp) -> Vec<Cell> {
    let behind = waiting.behind.as_ref().map(|behind| format!(" ({behind})")).unwrap_or_default();
    let until = waiting.until.map(|until| format!(" (until {})", when(until))).unwrap_or_default();
    vec![
        Cell::styled("  …", DIM),
        name(&waiting.asked),
        commit(&waiting.asked),
        who(&waiting.asked),
        Cell::styled(&waiting.asked.queued.map(|then| spoken::ago(now, then)).unwrap_or_default(), DIM),
        Cell::new(&format!("{}{behind}{until}", waiting.waits_for_text)),
        Cell::styled(waiting.asked.id.as_str(), DIM),
    ]
}

fn style(outcome: Option<Outcome>) -> Style {
    match outcome {
        Some(Outcome::Succeeded) => GREEN,
        Some(Outcome::Failed | Outcome::TimedOut) => RED,
        Some(Outcome::Error) | None => YELLOW,
        Some(Outcome::Skipped | Outcome::Cancelled | Outcome::Superseded) => DIM,
    }
}

fn recent_row(build: &Finished, now: Timestamp) -> Vec<Cell> {
    vec![
        Cell::styled(&format!("  {}", words::sign(build.outcome)), style(build.outcome)),
        name(&build.asked),
        commit(&build.asked),
        who(&build.asked),
        Cell::styled(words::outcome_of(build), style(build.outcome)),
        Cell::new(&build.seconds.map(spoken::seconds).unwrap_or_default()),
        Cell::styled(&build.finished.map(|then| spoken::ago(now, then)).unwrap_or_default(), DIM),
        Cell::styled(build.asked.id.as_str(), DIM),
    ]
}

/// A moment as the clock on the wall shows it; with its day if that is another.
fn when(time: Timestamp) -> String {
    let zone = TimeZone::system();
    let (then, now) = (time.to_zoned(zone.clone()), Timestamp::now().to_zoned(zone));
    then.strftime(if then.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" }).to_string()
}

/// All about one build, a line for each thing that is known.
pub fn build(
    out: &mut Vec<u8>,
    home: &Home,
    document: &Document,
    id: &EntryId,
    build: &Build,
) -> io::Result<()> {
    let mut lines: Vec<(&str, String)> = vec![("build", id.to_string())];
    let mut style_of_state = BLUE;
    let now = document.now;
    match build {
        Build::Bad(bad) => {
            lines.push(("state", "cannot be built".to_string()));
            lines.push(("reason", bad.why.clone().unwrap_or_else(|| "nobody has said why".to_string())));
            lines.push(("entry", home.queue().join("bad").join(&bad.name).display().to_string()));
            style_of_state = YELLOW;
        }
        Build::Waiting(waiting) => {
            let behind = waiting.behind.as_ref().map(|behind| format!(" ({behind})")).unwrap_or_default();
            lines.push(("state", format!("waits: {}{behind}", waiting.waits_for_text)));
            lines.extend(waiting.until.map(|until| ("goes on", when(until))));
            lines.extend((waiting.attempts > 0).then(|| ("tries", waiting.attempts.to_string())));
            style_of_state = Style::new();
        }
        Build::Running(running) => {
            lines.push(("state", stage(running)));
            lines.extend(running.started.map(|started| {
                let elapsed = spoken::seconds(now.duration_since(started).as_secs_f64());
                let usual =
                    running.usual_seconds.map(|usual| format!(", usually {}", spoken::seconds(usual)));
                ("started", format!("{} ({elapsed}{})", when(started), usual.unwrap_or_default()))
            }));
            lines.extend(running.attempt.map(|attempt| ("try", attempt.to_string())));
            lines.extend(running.host.clone().map(|host| ("host", host)));
        }
        Build::Finished(finished) => {
            style_of_state = style(finished.outcome);
            let rc =
                finished.rc.filter(|rc| !rc.is_success()).map(|rc| format!(" (rc {rc})")).unwrap_or_default();
            lines.push(("state", format!("{}{rc}", words::outcome_of(finished))));
            lines.extend(finished.reason.clone().map(|reason| ("reason", reason)));
            lines.extend(finished.problem.clone().map(|problem| ("problem", problem)));
            lines.extend(finished.by.clone().map(|by| ("ended by", by)));
            lines.extend(finished.superseded_by.as_ref().map(|by| ("in favour of", by.to_string())));
            lines.extend(finished.started.map(|started| ("started", when(started))));
            lines.extend(
                finished
                    .finished
                    .map(|time| ("finished", format!("{} ({})", when(time), spoken::ago(now, time)))),
            );
            lines.extend(finished.seconds.map(|seconds| ("took", spoken::seconds(seconds))));
            lines.extend(finished.attempts.map(|attempts| ("tries", attempts.to_string())));
            lines.extend(finished.host.clone().map(|host| ("host", host)));
        }
    }
    if let Some(asked) = build.asked() {
        lines.extend(asked.repository.clone().map(|repository| ("repository", repository)));
        lines.extend(asked.git_ref.clone().map(|git_ref| ("ref", git_ref)));
        lines.extend(asked.commit_id.clone().map(|commit| ("commit", commit)));
        lines.extend(asked.committer.clone().map(|committer| ("pushed by", committer)));
        lines.extend(asked.asked_by.clone().map(|by| ("asked for by", by)));
        lines.extend(asked.rerun_of.as_ref().map(|of| ("rerun of", of.to_string())));
        lines.extend(asked.queued.map(|queued| ("queued", when(queued))));
    }
    let files = home.builds().join(id.as_str());
    if files.is_dir() {
        lines.push(("files", files.display().to_string()));
    }
    let rows: Vec<Vec<Cell>> = lines
        .into_iter()
        .map(|(what, text)| {
            let text = if what == "state" { Cell::styled(&text, style_of_state) } else { Cell::new(&text) };
            vec![Cell::styled(what, DIM), text]
        })
        .collect();
    // Nothing is cut here: whoever asks for one build wants to copy from it.
    table::write(out, &rows, 1, None)
}
