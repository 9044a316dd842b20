//! Small pieces of HTML. What is returned as HTML here consists of numbers and words of our own alone.

use jiff::{Timestamp, tz::TimeZone};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    records::Outcome,
    status::{
        document::{Asked, Branch, Running, RunningStage},
        spoken, words,
    },
};

/// All but RFC 3986's unreserved characters.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A moment, as the server's clock shows it; the script makes a distance of it.
pub fn time(time: &Timestamp) -> String {
    let shown = time.to_zoned(TimeZone::system());
    format!(
        "<time datetime=\"{}\">{}</time>",
        time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        shown.strftime("%Y-%m-%d %H:%M")
    )
}

/// The outcome as a class and as the name of its sign.
pub fn class(outcome: &Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Succeeded) => "succeeded",
        Some(Outcome::Failed) => "failed",
        Some(Outcome::TimedOut) => "timed_out",
        Some(Outcome::Skipped) => "skipped",
        Some(Outcome::Error) => "error",
        Some(Outcome::Cancelled) => "cancelled",
        Some(Outcome::Superseded) => "superseded",
        None => "unreadable",
    }
}

/// How a branch does, in a word.
pub fn state(branch: &Branch) -> &'static str {
    branch.outcome.map_or("no build that counts", words::outcome)
}

/// The hash, short.
pub fn commit(asked: &Asked) -> &str {
    asked.commit_id.as_deref().map(words::short_commit).unwrap_or_default()
}

/// Whose build it is.
pub fn who(asked: &Asked) -> &str {
    asked.committer.as_deref().or(asked.asked_by.as_deref()).unwrap_or_default()
}

/// Where a branch's page is.
pub fn branch_url(repository: &str, git_ref: &str) -> String {
    let encoded = |text| utf8_percent_encode(text, QUERY_VALUE).to_string();
    format!("/branch?repository={}&ref={}", encoded(repository), encoded(git_ref))
}

/// Does it take longer than usual?
pub fn is_late(running: &Running, now: &Timestamp) -> bool {
    let elapsed = running.started.map(|started| now.duration_since(started).as_secs_f64());
    elapsed.zip(running.usual_seconds).is_some_and(|(elapsed, usual)| elapsed > usual)
}

/// How far a running build is, against what is usual.
pub fn progress(running: &Running) -> String {
    let Some(started) =
        running.started.filter(|_| running.stage == RunningStage::Running && running.cancel.is_none())
    else {
        return words::stage(running).to_string();
    };
    let since = started.strftime("%Y-%m-%dT%H:%M:%SZ");
    let shown = started.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string();
    let usual = running.usual_seconds.map(|usual| {
        let said = spoken::seconds(usual);
        let elapsed = Timestamp::now().duration_since(started).as_secs_f64().clamp(0.0, usual);
        (
            format!(", usually {said}"),
            format!("<progress aria-label=\"time against the usual {said}\" max=\"{usual:.0}\" value=\"{elapsed:.0}\" data-since=\"{since}\"></progress>"),
        )
    });
    let (usual, bar) = usual.unwrap_or_default();
    format!("<time datetime=\"{since}\" data-as=\"for\">since {shown}</time>{usual}{bar}")
}

/// A duration, as a template hands it over.
pub fn took(seconds: &f64) -> String {
    spoken::seconds(*seconds)
}
