//! The way out for letters: a mail server, or a directory for whoever wants to see them as files.

use std::{path::PathBuf, time::Duration};

use lettre::{Address, SmtpTransport, Transport, address::Envelope, transport::smtp};

use super::mail_url::MailUrl;
use crate::{durable, error_chain::in_full};

/// How long a mail server may take for one step.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub enum MailServer {
    Smtp(SmtpTransport),
    Directory(PathBuf),
}

/// What became of one message.
#[derive(Debug)]
pub enum Reply {
    Accepted,
    /// Nobody will ever take it.
    Refused(String),
    /// Perhaps later.
    NotNow(String),
    /// The server went away or fell silent in the middle: perhaps over this message.
    Broken(String),
    /// The server cannot be reached or does not let us in: no use to go on.
    NoServer(String),
}

impl MailServer {
    /// Nothing is touched yet.
    pub fn new(url: &MailUrl) -> Result<Self, smtp::Error> {
        Ok(match url {
            MailUrl::Directory(dir) => Self::Directory(dir.clone()),
            MailUrl::Smtp(url) => Self::Smtp(SmtpTransport::from_url(url)?.timeout(Some(PATIENCE)).build()),
        })
    }

    /// Does it let us in?
    pub fn try_out(&self) -> Result<(), String> {
        match self {
            Self::Directory(dir) if dir.is_dir() => Ok(()),
            Self::Directory(dir) => Err(format!("{}: not a directory", dir.display())),
            Self::Smtp(server) => match server.test_connection() {
                Ok(true) => Ok(()),
                Ok(false) => Err("the mail server does not answer as one".to_string()),
                Err(error) => Err(in_full(&error)),
            },
        }
    }

    /// Sends one message.
    pub fn send(&self, stem: &str, bytes: &[u8]) -> Reply {
        let server = match self {
            Self::Directory(dir) => {
                return match durable::replace(&dir.join(format!("{stem}.eml")), bytes, 0o666) {
                    Ok(()) => Reply::Accepted,
                    Err(error) => Reply::NoServer(in_full(&error)),
                };
            }
            Self::Smtp(server) => server,
        };
        let envelope = match envelope(bytes) {
            Ok(envelope) => envelope,
            Err(why) => return Reply::Refused(why),
        };
        match server.send_raw(&envelope, bytes) {
            Ok(_) => Reply::Accepted,
            Err(error) => Reply::from(&error),
        }
    }
}

impl From<&smtp::Error> for Reply {
    /// RFC 4954, 6: what concerns the login concerns every message; RFC 5321, 3.8: 421 is a good-bye, and that the
    /// server lets us in has been seen.
    fn from(error: &smtp::Error) -> Self {
        let why = in_full(error);
        match error.status().map(u16::from) {
            Some(454 | 530 | 534 | 535 | 538) => Self::NoServer(why),
            None | Some(421) => Self::Broken(why),
            Some(_) if error.is_permanent() => Self::Refused(why),
            Some(_) => Self::NotNow(why),
        }
    }
}

/// From and To are bare addresses, and are the envelope.
fn envelope(bytes: &[u8]) -> Result<Envelope, String> {
    let address = |name| {
        header(bytes, name)
            .and_then(|value| value.parse::<Address>().ok())
            .ok_or_else(|| format!("its header {name} is no bare address"))
    };
    Envelope::new(Some(address("From")?), vec![address("To")?]).map_err(|error| error.to_string())
}

/// Whom a message is for, as it says itself.
pub fn recipient(bytes: &[u8]) -> String {
    header(bytes, "To").unwrap_or_default()
}

fn header(bytes: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let (headers, _) = text.split_once("\r\n\r\n")?;
    headers.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_string())
    })
}
