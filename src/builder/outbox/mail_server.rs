//! The way out for letters: a mail server, or a directory for whoever wants to see them as files.

use std::path::PathBuf;

use lettre::Address;

use super::{
    headers,
    mail_url::MailUrl,
    smtp::{Fate, Limits, Mailer},
};
use crate::{durable, error_chain::in_full, host, queue::fields::is_address};

#[derive(Debug, Clone)]
pub enum MailServer {
    Smtp(Box<Mailer>),
    Directory(PathBuf),
}

/// A letter that was not accepted.
#[derive(Debug)]
pub struct NotSent {
    pub fate: Fate,
    pub why: String,
}

impl MailServer {
    /// Nothing is touched yet.
    pub fn new(url: &MailUrl, sender: &Address, limits: Limits) -> Self {
        match url {
            MailUrl::Directory(dir) => Self::Directory(dir.clone()),
            MailUrl::Smtp(server) => {
                Self::Smtp(Box::new(Mailer::new(server.clone(), hello_name(sender), limits)))
            }
        }
    }

    /// The same one, where somebody waits for the answer.
    pub fn in_a_minute(&self) -> Self {
        match self {
            Self::Directory(dir) => Self::Directory(dir.clone()),
            Self::Smtp(mailer) => Self::Smtp(Box::new(mailer.in_a_minute())),
        }
    }

    /// Does it let us in?
    pub fn try_out(&self) -> Result<(), String> {
        match self {
            Self::Directory(dir) if dir.is_dir() => Ok(()),
            Self::Directory(dir) => Err(format!("{}: not a directory", dir.display())),
            Self::Smtp(mailer) => mailer.probe().map_err(|failure| in_full(&failure)),
        }
    }

    /// Sends one letter.
    pub fn send(&self, stem: &str, letter: &[u8]) -> Result<(), NotSent> {
        match self {
            Self::Directory(dir) => durable::replace(&dir.join(format!("{stem}.eml")), letter, 0o640)
                .map_err(|error| NotSent { fate: Fate::NoServer, why: in_full(&error) }),
            Self::Smtp(mailer) => {
                let envelope =
                    headers::envelope(letter).map_err(|why| NotSent { fate: Fate::Refused, why })?;
                mailer
                    .send(&envelope, letter)
                    .map_err(|failure| NotSent { fate: failure.fate, why: in_full(&failure) })
            }
        }
    }
}

/// What we are called in EHLO: the host's name, if it is a full one (RFC 5321, 4.1.4), else the sender's domain.
fn hello_name(sender: &Address) -> String {
    let name = host::name();
    let is_full = name.contains('.') && is_address(&format!("x@{name}"));
    if is_full { name } else { sender.domain().to_string() }
}
