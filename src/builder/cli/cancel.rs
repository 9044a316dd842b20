//! `build cancel`: the file `queue/build-ID.cancel`, which the drain obeys at once, or else the next one.

use std::io::{self, Write};

use anyhow::anyhow;
use clap::Args;
use jiff::Timestamp;

use super::failure::Failure;
use crate::{
    asker,
    home::Home,
    queue::{Cancel, EntryId, EntryState, reading},
    records::Record,
    status::select::{self, Meant, NoBuild},
};

#[derive(Args)]
pub struct CancelArguments {
    /// An id, an entry's name, or repository[@branch] if only one of it waits or runs
    #[arg(value_name = "BUILD")]
    build: String,
    /// Why, for everybody who looks
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub fn run(home: &Home, CancelArguments { build, reason }: &CancelArguments) -> Result<u8, Failure> {
    let id = which(home, build)?;
    let queue = home.queue();
    let is_in_queue = || [id.waiting(), id.claimed()].iter().any(|name| queue.join(name).exists());
    let record = Record::of(home, &id);
    if record.is_final() || !is_in_queue() {
        let outcome = record.result().ok().flatten().map(|result| result.outcome);
        let how = outcome.map_or("over".to_string(), |outcome| {
            format!("over already: {}", crate::status::words::outcome(outcome))
        });
        return Err(Failure { code: 3, error: anyhow!("{id} is {how}") });
    }
    let cancel = Cancel {
        by: Some(asker::by()),
        terminal: asker::terminal(),
        since: Some(Timestamp::now()),
        reason: reason.clone().filter(|reason| !reason.is_empty()),
    };
    let is_first = cancel.store(&queue, &id)?;
    let said = if is_first { "is cancelled as soon as build sees it" } else { "is being cancelled already" };
    // Whoever closed the pipe has seen enough.
    let _ = writeln!(io::stdout(), "{id} {said}");
    Ok(0)
}

/// Never the latest: which one that is may change while it is typed.
fn which(home: &Home, word: &str) -> Result<EntryId, Failure> {
    if word == "latest" {
        return Err(Failure { code: 2, error: anyhow!("latest may be another one by now: give its id") });
    }
    if word.starts_with("build-") || word.starts_with(|first: char| first.is_ascii_digit()) {
        match select::select(home, word) {
            Err(NoBuild::Unknown(_)) => {}
            found => {
                return found.map_err(|error| Failure { code: error.exit_code(), error: error.into() });
            }
        }
    }
    let mut found = unfinished(home, word)?;
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure { code: 4, error: anyhow!("no build {word:?} waits or runs") }),
        _ => {
            let ids: Vec<&str> = found.iter().map(EntryId::as_str).collect();
            let error =
                anyhow!("{word} has {} that wait or run, give one of them: {}", ids.len(), ids.join(" "));
            Err(Failure { code: 2, error })
        }
    }
}

/// What waits or runs of a repository, or of one of its branches.
fn unfinished(home: &Home, word: &str) -> io::Result<Vec<EntryId>> {
    let meant = Meant::by(word);
    let listing = reading::list(&home.queue())?;
    let waiting = listing.waiting.iter().map(|id| (id, id.waiting()));
    let claimed = listing.claimed.iter().map(|id| (id, id.claimed()));
    let read = |name: &str| match reading::read(&home.queue().join(name)) {
        Ok(EntryState::Request(request, _)) => meant.is_asked_by(&request),
        _ => false,
    };
    let mut found: Vec<EntryId> =
        waiting.chain(claimed).filter(|(_, name)| read(name)).map(|(id, _)| id.clone()).collect();
    found.sort();
    Ok(found)
}
