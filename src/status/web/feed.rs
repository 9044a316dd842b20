//! The failures as an Atom feed (RFC 4287).

use std::fmt::Write;

use super::badge::escaped;
use crate::{
    records::Outcome,
    status::{Document, words},
};

/// No reader wants more.
const ENTRIES: usize = 50;

/// `base` is the page's address without its last slash, and `host` its name.
pub fn atom(document: &Document, base: &str, host: &str) -> String {
    let bad = |outcome: Outcome| matches!(outcome, Outcome::Failed | Outcome::TimedOut | Outcome::Error);
    let failures: Vec<_> = document
        .recent
        .iter()
        .filter(|build| build.outcome.is_some_and(bad))
        .filter(|build| build.finished.is_some())
        .take(ENTRIES)
        .collect();
    // Of nothing yet: a feed has to say when it changed, and this one has not.
    let updated =
        failures.iter().filter_map(|build| build.finished).max().unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let (base, host) = (escaped(base), escaped(host));
    let mut feed = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n<title>Failed builds on {host}</title>\n\
         <id>tag:{host},2026:amp_ci</id>\n<updated>{updated}</updated>\n<link rel=\"self\" href=\"{base}/failures.atom\"/>\n<link href=\"{base}/\"/>\n"
    );
    for build in failures {
        let asked = &build.asked;
        let text = |value: Option<&str>| xml_text(value.unwrap_or("unknown"));
        let reason =
            build.reason.as_deref().map(|reason| format!(": {}", xml_text(reason))).unwrap_or_default();
        let _ = write!(
            feed,
            "<entry>\n<id>tag:{host},2026:amp_ci/{id}</id>\n<title>{repository} {branch} {outcome}</title>\n<updated>{finished}</updated>\n\
             <author><name>{committer}</name></author>\n<link href=\"{base}/builds/{id}\"/>\n\
             <summary>{repository} {commit} on {branch}: {outcome}{reason}</summary>\n</entry>\n",
            id = asked.id,
            repository = text(asked.repository.as_deref()),
            branch = text(asked.branch()),
            outcome = words::outcome_of(build),
            finished = build.finished.unwrap_or_default(),
            committer = text(asked.committer.as_deref()),
            commit = text(asked.commit_id.as_deref()),
        );
    }
    feed.push_str("</feed>\n");
    feed
}

/// Escaped, and without the characters that XML cannot hold at all.
fn xml_text(text: &str) -> String {
    escaped(
        &text
            .chars()
            .filter(|c| !crate::text::is_unprintable(*c) && !matches!(c, '\u{fffe}' | '\u{ffff}'))
            .collect::<String>(),
    )
}
