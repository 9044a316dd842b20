//! What Prometheus reads. Labels carry the repository and the outcome, never a ref or a commit: pushers choose those.

use std::{collections::BTreeMap, fmt::Write};

use crate::status::{Document, document::WaitsFor, words};

/// The text format, version 0.0.4.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All of them.
pub fn text(document: &Document) -> String {
    let mut out = String::new();
    let drain = &document.drain;
    gauge(
        &mut out,
        "build_info",
        "The version of the program, as a label.",
        [(label("version", document.version), 1.0)],
    );
    gauge(&mut out, "well", "Is CI itself well?", [one(flag(document.well))]);
    gauge(&mut out, "held", "Is the queue held?", [one(flag(drain.hold.is_some()))]);
    gauge(&mut out, "drain_running", "Does a drain run?", drain.running.map(|running| one(flag(running))));
    gauge(
        &mut out,
        "drain_last_end_timestamp_seconds",
        "When the last drain ended.",
        drain.ended.map(|ended| one(epoch(ended))),
    );
    gauge(
        &mut out,
        "drain_last_look_timestamp_seconds",
        "When a drain last looked at the queue.",
        drain.looked.map(|looked| one(epoch(looked))),
    );
    let states = [
        ("waiting", document.waiting_total),
        ("running", document.running.len()),
        ("bad", document.bad.len()),
    ];
    let states = states.map(|(state, number)| (label("state", state), count(number)));
    gauge(&mut out, "queue_entries", "Entries of the queue.", states);
    let oldest = document
        .waiting
        .iter()
        .filter(|entry| entry.waits_for != WaitsFor::Decision)
        .filter_map(|entry| entry.since)
        .min();
    let oldest = oldest.map_or(0.0, |since| document.now.duration_since(since).as_secs_f64().max(0.0));
    gauge(&mut out, "queue_oldest_waiting_seconds", "How long the oldest entry has waited.", [one(oldest)]);
    gauge(
        &mut out,
        "outbox_letters",
        "Letters that wait for the mail server.",
        document.letters.waiting.map(|number| one(count(number))),
    );
    gauge(
        &mut out,
        "outbox_failed_letters",
        "Letters that nobody took.",
        document.letters.failed.map(|number| one(count(number))),
    );
    #[allow(clippy::cast_precision_loss, reason = "a float is what the format has")]
    let free = document.disk.free_bytes.map(|free| one(free as f64));
    gauge(&mut out, "disk_free_bytes", "Free on the file system of the home.", free);

    let mut records: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut last = BTreeMap::new();
    for build in &document.recent {
        let Some(repository) = build.asked.repository.as_deref() else { continue };
        *records.entry((repository, words::outcome_of(build))).or_default() += 1;
        if build.outcome.is_some_and(crate::records::Outcome::is_counted) {
            last.entry(repository).or_insert(build);
        }
    }
    let records = records.into_iter().map(|((repository, outcome), number)| {
        (
            format!("{{repository=\"{}\",outcome=\"{}\"}}", escaped(repository), outcome.replace(' ', "_")),
            count(number),
        )
    });
    gauge(&mut out, "records", "Finished builds among the newest 500.", records);
    let of_last = |value: fn(&crate::status::document::Finished) -> Option<f64>| {
        last.iter()
            .filter_map(move |(repository, build)| Some((label("repository", repository), value(build)?)))
            .collect::<Vec<_>>()
    };
    gauge(
        &mut out,
        "last_build_success",
        "Did the last build that counts succeed?",
        of_last(|build| Some(flag(build.outcome == Some(crate::records::Outcome::Succeeded)))),
    );
    gauge(&mut out, "last_build_duration_seconds", "How long it took.", of_last(|build| build.seconds));
    gauge(
        &mut out,
        "last_build_timestamp_seconds",
        "When it was over.",
        of_last(|build| build.finished.map(epoch)),
    );
    out
}

fn gauge(out: &mut String, name: &str, help: &str, samples: impl IntoIterator<Item = (String, f64)>) {
    let mut samples = samples.into_iter().peekable();
    if samples.peek().is_none() {
        return;
    }
    let _ = writeln!(out, "# HELP amp_ci_{name} {help}\n# TYPE amp_ci_{name} gauge");
    for (labels, value) in samples {
        let _ = writeln!(out, "amp_ci_{name}{labels} {value}");
    }
}

fn one(value: f64) -> (String, f64) {
    (String::new(), value)
}

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

#[allow(clippy::cast_precision_loss, reason = "a float is what the format has")]
fn count(number: usize) -> f64 {
    number as f64
}

fn epoch(time: jiff::Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

fn label(name: &str, value: &str) -> String {
    format!("{{{name}=\"{}\"}}", escaped(value))
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
