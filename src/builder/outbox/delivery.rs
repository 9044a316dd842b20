//! From the outbox to the mail server. A crash between sending and removing repeats a letter with the same
//! Message-ID, and nothing else is lost or doubled. Only the holder of the drain lock sends.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    path::Path,
    time::{Duration, SystemTime},
};

use super::{
    outbox::Outbox,
    smtp::{MailServer, Reply, recipient},
};
use crate::{
    builder::mail::{letter::Letter, letters::Letterhead},
    error_chain::in_full,
};

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
        match self.server.send(&letter.stem, &letter.bytes) {
            Reply::Accepted => Ok(()),
            Reply::Refused(why) | Reply::NotNow(why) | Reply::Broken(why) | Reply::NoServer(why) => Err(why),
        }
    }

    /// Goes through the outbox once. Ends when there is no server, or it breaks off twice in a row: then it is
    /// hardly the message.
    pub fn pass(&self) {
        let stems = match self.outbox.stems() {
            Ok(stems) if stems.is_empty() => return,
            Ok(stems) => stems,
            Err(error) => return tracing::error!("{}", in_full(&error)),
        };
        if let Err(why) = self.server.try_out() {
            return tracing::warn!("mail waits in outbox/: {why}");
        }
        let mut broken = 0;
        let mut stems = VecDeque::from(stems);
        while let Some(stem) = stems.pop_front() {
            let path = self.outbox.path(&stem);
            let bytes = match fs_err::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    tracing::error!("{}", in_full(&error));
                    continue;
                }
            };
            let reply = self.server.send(&stem, &bytes);
            broken = if matches!(reply, Reply::Broken(_)) { broken + 1 } else { 0 };
            match reply {
                Reply::Accepted => match fs_err::remove_file(&path) {
                    Ok(()) => tracing::info!("sent {stem}.eml to {}", recipient(&bytes)),
                    Err(error) => {
                        tracing::error!("sent {stem}.eml, but {}: it will be sent again", in_full(&error));
                    }
                },
                Reply::Refused(why) => stems.extend(self.give_up(&stem, &bytes, &why)),
                Reply::NotNow(why) | Reply::Broken(why) if is_old(&path) => {
                    stems.extend(self.give_up(&stem, &bytes, &format!("for five days: {why}")));
                }
                Reply::NotNow(why) | Reply::Broken(why) => {
                    tracing::warn!("{stem}.eml to {} waits: {why}", recipient(&bytes));
                    if broken == 2 {
                        return;
                    }
                }
                Reply::NoServer(why) => return tracing::warn!("mail waits in outbox/: {why}"),
            }
        }
    }

    /// Moves a letter to `failed/` and tells the fallback, quoting it; returns the name of that letter.
    fn give_up(&self, stem: &str, bytes: &[u8], why: &str) -> Option<String> {
        let to = recipient(bytes);
        tracing::error!("{stem}.eml to {to} was refused, it is now in outbox/failed/: {why}");
        let mut told = None;
        // The fallback's own letters are not answered with letters.
        if to != self.letterhead.fallback.to_string() {
            let letter = self.letterhead.undeliverable(stem, &to, bytes, why, SystemTime::now());
            if let Err(error) = self.outbox.put(&letter) {
                // It stays where it is, and is refused and told of again.
                tracing::error!("{}", in_full(&error));
                return None;
            }
            told = Some(letter.stem);
        }
        if let Err(error) = self.outbox.set_aside(stem) {
            tracing::error!("{}", in_full(&error));
        }
        told
    }
}

fn is_old(path: &Path) -> bool {
    let age =
        path.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > TRIED_FOR)
}
