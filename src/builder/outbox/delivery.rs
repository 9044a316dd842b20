//! From the outbox to the mail server. A crash between sending and removing repeats a letter with the same
//! Message-ID, and nothing else is lost or doubled. Only the holder of the drain lock sends.

use std::{
    collections::HashSet,
    io::{self, ErrorKind},
    ops::ControlFlow,
    time::{Duration, Instant, SystemTime},
};

use super::{
    headers::{age, recipient},
    mail_server::{MailServer, NotSent},
    outbox::{LONGEST_PAUSE, Outbox, Waiting},
    smtp::Fate,
};
use crate::{
    builder::mail::{
        letter::Letter,
        letters::{Letterhead, WORDLESS},
    },
    error_chain::in_full,
};

/// So long a letter may take before it is looked whether others have come.
const SLOW: Duration = Duration::from_secs(1);

/// What was refused for now is tried for so long.
const TRIED_FOR: Duration = Duration::from_secs(5 * 24 * 3600);

#[derive(Debug, Clone)]
pub struct Delivery {
    pub outbox: Outbox,
    pub server: MailServer,
    pub letterhead: Letterhead,
}

impl Delivery {
    /// Sends a letter that could not be stored. Nobody tries again if that fails.
    pub fn send_unstored(&self, letter: &Letter) -> Result<(), String> {
        self.server.in_a_minute().send(&letter.stem, &letter.bytes).map_err(|not_sent| not_sent.why)
    }

    /// Tries each letter whose time has come, once; what comes meanwhile too. Ends when there is no server.
    pub fn pass(&self) {
        let mut tried = HashSet::new();
        loop {
            let waiting = match self.outbox.waiting() {
                Ok(waiting) => waiting,
                Err(error) => return tracing::error!("{}", in_full(&error)),
            };
            let now = SystemTime::now();
            let is_due = |letter: &Waiting| letter.due <= now && !tried.contains(&letter.stem);
            let due: Vec<Waiting> = waiting.into_iter().filter(is_due).collect();
            if due.is_empty() {
                return;
            }
            for Waiting { stem, .. } in due {
                let begun = Instant::now();
                if self.deliver(&stem).is_break() {
                    return;
                }
                tried.insert(stem);
                if begun.elapsed() > SLOW {
                    // What is new since then goes before what was tried before.
                    break;
                }
            }
        }
    }

    /// Tries one letter, and breaks off if there is no server.
    fn deliver(&self, stem: &str) -> ControlFlow<()> {
        let path = self.outbox.path(stem);
        let bytes = match self.outbox.read(stem) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return ControlFlow::Continue(()),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                // Nothing that we have written.
                self.give_up(stem, b"", &in_full(&error));
                return ControlFlow::Continue(());
            }
            Err(error) => {
                tracing::error!("{}", in_full(&error));
                return ControlFlow::Continue(());
            }
        };
        // First, so that it is not sent twice a minute either by those who die over it.
        if let Err(error) = self.outbox.put_off(stem) {
            tracing::error!("{stem}.eml is not sent, because no pause can be set: {}", in_full(&error));
            return ControlFlow::Continue(());
        }
        let to = recipient(&bytes);
        match self.server.send(stem, &bytes) {
            Ok(()) => match fs_err::remove_file(&path) {
                Ok(()) => tracing::info!("sent {stem}.eml to {to}"),
                Err(error) => {
                    tracing::error!("sent {stem}.eml, but {}: again in a day", in_full(&error));
                    or_say(self.outbox.put_off_by(stem, LONGEST_PAUSE));
                }
            },
            Err(NotSent { fate: Fate::Refused, why }) => self.give_up(stem, &bytes, &why),
            Err(NotSent { fate: Fate::NotNow, why }) if age(&bytes).is_some_and(|age| age > TRIED_FOR) => {
                self.give_up(stem, &bytes, &format!("for five days: {why}"));
            }
            Err(NotSent { fate: Fate::NotNow, why }) => {
                tracing::warn!("{stem}.eml to {to} waits: {why}");
                or_say(self.outbox.put_off(stem));
            }
            Err(NotSent { fate: Fate::NoServer, why }) => {
                tracing::warn!("mail waits in outbox/: {why}");
                or_say(self.outbox.put_off_all());
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Moves a letter to `failed/` and tells the fallback.
    fn give_up(&self, stem: &str, bytes: &[u8], why: &str) {
        let to = recipient(bytes);
        tracing::error!("{stem}.eml to {to} was refused, it is now in outbox/failed/: {why}");
        if let Some(letter) = self.about_refused(stem, bytes, &to, why)
            && let Err(error) = self.outbox.put(&letter)
        {
            // It stays where it is, and is refused and told of again.
            return tracing::error!("{}", in_full(&error));
        }
        if let Err(error) = self.outbox.set_aside(stem) {
            tracing::error!("{}", in_full(&error));
            or_say(self.outbox.put_off_by(stem, LONGEST_PAUSE));
        }
    }

    /// The fallback is told with the letter's words, and without if it is those that are refused. Of a refused
    /// letter without words only the log, `failed/` and `--check` tell.
    fn about_refused(&self, stem: &str, bytes: &[u8], to: &str, why: &str) -> Option<Letter> {
        let now = SystemTime::now();
        if stem.starts_with(WORDLESS) {
            None
        } else if to == self.letterhead.fallback.to_string() {
            Some(self.letterhead.undeliverable_to_fallback(stem, self.outbox.dir(), now))
        } else {
            Some(self.letterhead.undeliverable(stem, to, bytes, why, now))
        }
    }
}

fn or_say(put_off: io::Result<()>) {
    if let Err(error) = put_off {
        tracing::error!("no pause can be set: {}", in_full(&error));
    }
}

#[cfg(test)]
mod tests;
