//! The queue: is anybody looking at it, and is anything stuck in it?

use jiff::{SignedDuration, Timestamp};

use super::findings::{Findings, note, ok};
use crate::{
    builder::original::refuse_beside_the_original,
    home::Home,
    own_name::own_name,
    records::LeftOver,
    status::{Document, Reader},
    text::printable,
};

/// Cron starts `build` every minute; one that does not come is missed once.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

pub fn look(findings: &mut Findings, home: &Home) {
    if let Err(error) = refuse_beside_the_original(&home.queue()) {
        findings.wrong(&error.to_string());
    }
    let Document { now, drain, bad, problems, .. } = Reader::new(home).document();
    match [drain.looked, drain.ended].into_iter().flatten().max() {
        _ if drain.running == Some(true) => ok("build is at work"),
        Some(seen) if now.duration_since(seen) <= PATIENCE => {
            ok("build has looked at the queue within two minutes");
        }
        seen => findings.wrong(&format!(
            "{}: is the line in the crontab (crontab -l), or the timer, and does cron run?",
            last_seen(seen)
        )),
    }
    if let Some(hold) = drain.hold {
        let said = hold.text.map_or_else(String::new, |text| format!(" ({})", printable(&text)));
        note(&format!("queue/hold exists{said}: nothing is built until `{} unhold`", own_name()));
    }
    for problem in problems.iter().filter(|problem| matches!(problem.check, "trouble" | "queue" | "home")) {
        findings.wrong(&format!("{}; see the end of build.log", problem.text));
    }
    for line in LeftOver::of(home).lines() {
        findings.wrong(&line);
    }
    if let Some(first) = bad.first() {
        findings.wrong(&format!(
            "queue/bad/ holds {} that cannot be built, {} for one: its .why says why; mend it and mv it back, or remove both",
            bad.len(),
            first.name
        ));
    }
}

fn last_seen(seen: Option<Timestamp>) -> String {
    match seen {
        None => "no build has ever looked at the queue".to_string(),
        Some(seen) => format!("no build has looked at the queue since {seen}"),
    }
}
