//! Mail that the mail server has not accepted yet: a message is first a file, then sent, then removed.
//!
//! Only the holder of the drain lock sends. A crash between sending and removing repeats the message with
//! the same Message-ID, and nothing else is lost or doubled.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, SystemTime},
};

use lettre::{Address, SmtpTransport, Transport, address::Envelope, transport::smtp};

use super::{
    letter::{self, Draft, Letter},
    settings::{MailUrl, Settings},
};
use crate::{durable, error_chain::in_full, home::Home};

/// How long a mail server may take for one step.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two passes while `build` runs.
const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What was refused for now is tried for so long.
const TRIED_FOR: Duration = Duration::from_secs(5 * 24 * 3600);

/// The directory, and the way out.
#[derive(Debug, Clone)]
pub struct Outbox {
    dir: PathBuf,
    way: Way,
    settings: Settings,
}

#[derive(Debug, Clone)]
enum Way {
    Smtp(SmtpTransport),
    Directory(PathBuf),
}

/// What became of one message.
enum Sent {
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

impl Outbox {
    /// Nothing is touched yet.
    pub fn new(home: &Home, settings: &Settings) -> Result<Self, smtp::Error> {
        let way = match &settings.mail {
            MailUrl::Directory(dir) => Way::Directory(dir.clone()),
            MailUrl::Smtp(url) => Way::Smtp(SmtpTransport::from_url(url)?.timeout(Some(PATIENCE)).build()),
        };
        Ok(Self { dir: home.outbox(), way, settings: settings.clone() })
    }

    /// Stores a message; durable when this returns `Ok`. One of the same name is replaced.
    pub fn put(&self, letter: &Letter) -> io::Result<()> {
        durable::create_dir(&self.dir, 0o700)?;
        durable::replace(&self.path(&letter.stem), &letter.bytes, 0o600)?;
        durable::sync_dir(&self.dir)
    }

    /// Sends a message that could not be stored. Nobody tries again if that fails.
    pub fn send_unstored(&self, letter: &Letter) -> Result<(), String> {
        match self.send(&letter.stem, &letter.bytes) {
            Sent::Accepted => Ok(()),
            Sent::Refused(why) | Sent::NotNow(why) | Sent::Broken(why) | Sent::NoServer(why) => Err(why),
        }
    }

    /// Does the mail server let us in?
    pub fn try_server(&self) -> Result<(), String> {
        match &self.way {
            Way::Directory(dir) if dir.is_dir() => Ok(()),
            Way::Directory(dir) => Err(format!("{}: not a directory", dir.display())),
            Way::Smtp(server) => match server.test_connection() {
                Ok(true) => Ok(()),
                Ok(false) => Err("the mail server does not answer as one".to_string()),
                Err(error) => Err(in_full(&error)),
            },
        }
    }

    /// How many messages wait.
    pub fn waiting(&self) -> usize {
        self.stems().map_or(0, |stems| stems.len())
    }

    /// Goes through the outbox once. Ends when there is no server, or it breaks off twice in a row: then it is
    /// hardly the message.
    pub fn pass(&self) {
        let stems = match self.stems() {
            Ok(stems) if stems.is_empty() => return,
            Ok(stems) => stems,
            Err(error) => return tracing::error!("{}", in_full(&error)),
        };
        if let Err(why) = self.try_server() {
            return tracing::warn!("mail waits in outbox/: {why}");
        }
        let mut broken = 0;
        let mut stems = VecDeque::from(stems);
        while let Some(stem) = stems.pop_front() {
            let path = self.path(&stem);
            let bytes = match fs_err::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    tracing::error!("{}", in_full(&error));
                    continue;
                }
            };
            let sent = self.send(&stem, &bytes);
            broken = if matches!(sent, Sent::Broken(_)) { broken + 1 } else { 0 };
            match sent {
                Sent::Accepted => match fs_err::remove_file(&path) {
                    Ok(()) => tracing::info!("sent {stem}.eml to {}", recipient(&bytes)),
                    Err(error) => {
                        tracing::error!("sent {stem}.eml, but {}: it will be sent again", in_full(&error));
                    }
                },
                Sent::Refused(why) => stems.extend(self.give_up(&stem, &bytes, &why)),
                Sent::NotNow(why) | Sent::Broken(why) if is_old(&path) => {
                    stems.extend(self.give_up(&stem, &bytes, &format!("for five days: {why}")));
                }
                Sent::NotNow(why) | Sent::Broken(why) => {
                    tracing::warn!("{stem}.eml to {} waits: {why}", recipient(&bytes));
                    if broken == 2 {
                        return;
                    }
                }
                Sent::NoServer(why) => return tracing::warn!("mail waits in outbox/: {why}"),
            }
        }
    }

    fn send(&self, stem: &str, bytes: &[u8]) -> Sent {
        let server = match &self.way {
            Way::Directory(dir) => {
                return match durable::replace(&dir.join(format!("{stem}.eml")), bytes, 0o666) {
                    Ok(()) => Sent::Accepted,
                    Err(error) => Sent::NoServer(in_full(&error)),
                };
            }
            Way::Smtp(server) => server,
        };
        let envelope = match envelope(bytes) {
            Ok(envelope) => envelope,
            Err(why) => return Sent::Refused(why),
        };
        match server.send_raw(&envelope, bytes) {
            Ok(_) => Sent::Accepted,
            Err(error) => {
                // RFC 4954, 6: what concerns the login concerns every message; RFC 5321, 3.8: 421 is a good-bye, and that
                // the server lets us in has been seen.
                let code = error.status().map(u16::from);
                let why = in_full(&error);
                if matches!(code, Some(454 | 530 | 534 | 535 | 538)) {
                    Sent::NoServer(why)
                } else if matches!(code, None | Some(421)) {
                    Sent::Broken(why)
                } else if error.is_permanent() {
                    Sent::Refused(why)
                } else {
                    Sent::NotNow(why)
                }
            }
        }
    }

    /// Moves a message to `failed/` and tells the fallback, quoting it; returns the name of that letter.
    fn give_up(&self, stem: &str, bytes: &[u8], why: &str) -> Option<String> {
        let to = recipient(bytes);
        tracing::error!("{stem}.eml to {to} was refused, it is now in outbox/failed/: {why}");
        let fallback = &self.settings.mail_fallback;
        let mut told = None;
        // Its own letters are not answered with letters.
        if to != fallback.to_string() {
            let quoted = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\n', "\n> ");
            let letter = letter::write(
                Draft {
                    stem: format!("failed-{stem}"),
                    to: fallback,
                    subject: format!("AMP CI could not deliver a letter to {to}"),
                    text: format!(
                        "This letter was refused:\n\n{}\n\n> {quoted}\n",
                        crate::text::printable(why)
                    ),
                    build: None,
                    date: SystemTime::now(),
                },
                &self.settings,
            );
            if let Err(error) = self.put(&letter) {
                // It stays where it is, and is refused and told of again.
                tracing::error!("{}", in_full(&error));
                return None;
            }
            told = Some(letter.stem);
        }
        let failed = self.dir.join("failed");
        let moved = fs_err::create_dir_all(&failed)
            .and_then(|()| fs_err::rename(self.path(stem), failed.join(format!("{stem}.eml"))));
        if let Err(error) = moved {
            tracing::error!("{}", in_full(&error));
        }
        told
    }

    fn stems(&self) -> io::Result<Vec<String>> {
        let entries = match fs_err::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut stems: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".eml").map(str::to_string))
            .filter(|stem| !stem.starts_with('.'))
            .collect();
        stems.sort_unstable();
        Ok(stems)
    }

    fn path(&self, stem: &str) -> PathBuf {
        self.dir.join(format!("{stem}.eml"))
    }
}

/// The outbox on a thread of its own, so that a slow mail server holds up no build.
#[derive(Debug)]
pub struct Postman(Sender<Errand>);

enum Errand {
    /// Something may have been put in.
    Pass,
    /// The same, and say when it is over.
    PassThen(Box<dyn FnOnce() + Send>),
}

impl Postman {
    /// Starts with a pass; then on request, and every five minutes.
    pub fn start(outbox: Outbox) -> io::Result<Self> {
        let (errands, received) = channel();
        thread::Builder::new().name("postman".to_string()).spawn(move || Self::work(&outbox, &received))?;
        Ok(Self(errands))
    }

    fn work(outbox: &Outbox, errands: &Receiver<Errand>) {
        Self::pass_through(outbox);
        loop {
            let mut told = Vec::new();
            let first = errands.recv_timeout(INTERVAL);
            if matches!(first, Err(RecvTimeoutError::Disconnected)) {
                return;
            }
            // Many builds that end together are one pass.
            for errand in first.into_iter().chain(errands.try_iter()) {
                if let Errand::PassThen(tell) = errand {
                    told.push(tell);
                }
            }
            Self::pass_through(outbox);
            for tell in told {
                tell();
            }
        }
    }

    /// Whatever a mail server makes of us, the drain waits for an answer.
    fn pass_through(outbox: &Outbox) {
        if catch_unwind(AssertUnwindSafe(|| outbox.pass())).is_err() {
            tracing::error!("a pass through the outbox met a mistake in amp_ci; see stderr");
        }
    }

    /// Goes through the outbox soon.
    pub fn pass(&self) {
        let _ = self.0.send(Errand::Pass);
    }

    /// Goes through it once more and then calls `tell`.
    pub fn pass_then(&self, tell: impl FnOnce() + Send + 'static) {
        let _ = self.0.send(Errand::PassThen(Box::new(tell)));
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

fn recipient(bytes: &[u8]) -> String {
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

fn is_old(path: &Path) -> bool {
    let age =
        path.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > TRIED_FOR)
}
