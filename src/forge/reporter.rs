//! Sends the statuses that wait, on a thread of its own: no letter and no build waits for the forge.
//!
//! One at a time and never close together; of one commit and context only the newest. What a reply means is
//! [`Reply::verdict`](super::reply::Reply::verdict); what follows from it is here. Nothing is tried for ever, and each
//! pause is longer than the one before.

use std::{
    collections::HashSet,
    io,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use jiff::Timestamp;

use super::{
    api::{self, Api, Post},
    client::Client,
    reply::Verdict,
    status::{Refusal, Status},
    token::{NoToken, Token},
    unsent::{Opened, Unsent, Wait, Waiting},
};
use crate::{error_chain::in_full, home::Home, queue::EntryId};

/// How long is waited, and for what.
#[derive(Debug, Clone)]
pub struct Pauses {
    /// For the whole of one request.
    pub patience: Duration,
    /// From the end of one request to the next.
    pub apart: Duration,
    /// After the first failure; each further one doubles it.
    pub first: Duration,
    /// However often it has failed.
    pub longest: Duration,
    /// After the token was refused.
    pub refused: Duration,
    /// So long a status is tried.
    pub tried_for: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(30),
            apart: Duration::from_secs(1),
            first: Duration::from_secs(60),
            longest: Duration::from_secs(3600),
            refused: Duration::from_secs(3600),
            tried_for: Duration::from_secs(5 * 24 * 3600),
        }
    }
}

/// What a person has to know.
#[derive(Debug)]
pub enum Notice<'a> {
    /// The forge does not know the token, or we cannot use it; all statuses wait.
    TokenRefused {
        /// What the forge says, or what is wrong with the file.
        why: &'a str,
    },
    /// The forge will never take this status; nor, most likely, the next of the repository.
    GivenUp {
        /// Of this build.
        id: &'a EntryId,
        /// What it was.
        status: &'a Status,
        /// What the forge says.
        why: &'a str,
    },
}

/// Tells somebody, durably; after an error it is told again.
pub type Tell = Box<dyn Fn(&Notice) -> io::Result<()> + Send>;

/// What the thread is asked for.
pub enum Errand {
    /// Something has been put in.
    Pass,
    /// Send what is due, and call this.
    PassThen(Box<dyn FnOnce() + Send>),
}

/// Longer than this nobody sleeps: somebody may have touched a file.
const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Starts the thread, which begins with a pass; then on request, and whenever something is due. It ends when nobody
/// can ask for anything any more.
pub fn start(
    home: &Home,
    api: Api,
    unsent: Arc<Unsent>,
    pauses: Pauses,
    tell: Tell,
) -> io::Result<Sender<Errand>> {
    let mut courier = Courier { home: home.clone(), api, unsent, pauses, tell, client: None, last: None };
    let (errands, received) = channel();
    thread::Builder::new().name("forge".to_string()).spawn(move || work(&mut courier, &received))?;
    Ok(errands)
}

fn work(courier: &mut Courier, errands: &Receiver<Errand>) {
    let mut told = Vec::new();
    loop {
        // Whatever a forge makes of us, the drain waits for an answer.
        if catch_unwind(AssertUnwindSafe(|| courier.pass())).is_err() {
            tracing::error!("a report to the forge met a mistake in amp_ci; see stderr");
        }
        for tell in told.drain(..) {
            let tell: Box<dyn FnOnce() + Send> = tell;
            tell();
        }
        let first = errands.recv_timeout(courier.until_due());
        if matches!(first, Err(RecvTimeoutError::Disconnected)) {
            return;
        }
        // Many builds that begin or end together are one pass.
        for errand in first.into_iter().chain(errands.try_iter()) {
            if let Errand::PassThen(tell) = errand {
                told.push(tell);
            }
        }
    }
}

struct Courier {
    home: Home,
    api: Api,
    unsent: Arc<Unsent>,
    pauses: Pauses,
    tell: Tell,
    /// Made when the first is sent: the system's certificates take a moment to read.
    client: Option<Client>,
    /// When the last request was over.
    last: Option<Instant>,
}

impl Courier {
    fn pass(&mut self) {
        if let Err(error) = self.send_due() {
            tracing::error!("statuses wait in outbox/: {}", in_full(&error));
        }
    }

    /// How long nothing is due.
    fn until_due(&self) -> Duration {
        let now = SystemTime::now();
        let waiting = self.unsent.list().unwrap_or_default();
        let next = waiting.iter().filter_map(|waiting| waiting.due.duration_since(now).ok()).min();
        next.map_or(INTERVAL, |next| next.clamp(Duration::from_millis(1), INTERVAL))
    }

    fn send_due(&mut self) -> io::Result<()> {
        if self.unsent.list()?.is_empty() {
            return Ok(());
        }
        let token = match Token::read(&self.home) {
            // Reporting has been switched off.
            Err(NoToken::Missing) => return Ok(()),
            token => token,
        };
        // What is wrong with the file is as good a version as any.
        let version = token.as_ref().map_or_else(ToString::to_string, |token| token.version().to_string());
        if self.unsent.wait().is_some_and(|wait| wait.token.is_some_and(|refused| refused != version)) {
            tracing::info!("forge-token has changed: statuses are sent again");
            self.unsent.hurry_all()?;
        }
        let now = SystemTime::now();
        let due: Vec<Waiting> =
            self.worth_sending()?.into_iter().filter(|waiting| waiting.due <= now).collect();
        let token = match token {
            Ok(token) => token,
            Err(_) if due.is_empty() => return Ok(()),
            Err(why) => return self.refuse_token(&version, &in_full(&why)),
        };
        let mut failures = 0;
        for waiting in due {
            if self.step(&waiting.id, &token, &mut failures)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Of each commit and context the newest; what came before is not true any more, and goes.
    fn worth_sending(&self) -> io::Result<Vec<Waiting>> {
        let mut keys = HashSet::new();
        let mut worth = Vec::new();
        for waiting in self.unsent.list()?.into_iter().rev() {
            if keys.insert(waiting.status.key()) {
                worth.push(waiting);
            } else if let Some(outdated) = self.unsent.open(&waiting.id)
                && outdated.waiting.status == waiting.status
            {
                self.unsent.remove(&outdated)?;
            }
        }
        worth.reverse();
        Ok(worth)
    }

    /// Sends what waits for a build and does what the reply asks for; `Break` means that it is of no use to go on.
    fn step(&mut self, id: &EntryId, token: &Token, failures: &mut u32) -> io::Result<ControlFlow<()>> {
        // As it is now: it may have been replaced, or touched, since it was listed.
        let Some(opened) = self.unsent.open(id) else { return Ok(ControlFlow::Continue(())) };
        let status = &opened.waiting.status;
        let what = format!("{}/{}: {}", status.repository, status.commit_id, status.description);
        let age = age(status);
        if age > self.pauses.tried_for {
            self.give_up(&opened, &refusal("it could not be sent for days; build.log says why"))?;
            return Ok(ControlFlow::Continue(()));
        }
        let verdict = self.send(status, token);
        if !matches!(verdict, Verdict::Retry(_)) {
            *failures = 0;
        }
        match verdict {
            Verdict::Done => {
                tracing::info!("told the forge: {what}");
                self.unsent.remove(&opened)?;
                self.unsent.end_wait()?;
            }
            Verdict::Moved(_) => self.give_up(&opened, &refusal("it is redirected again and again"))?,
            Verdict::GiveUp(refusal) => self.give_up(&opened, &refusal)?,
            Verdict::TokenBad(why) => {
                self.refuse_token(token.version(), &format!("{} says {why}", self.api.url()))?;
                return Ok(ControlFlow::Break(()));
            }
            Verdict::Wait(wait, why) => {
                // Without a word of how long: twice as long as the last time, until something is taken.
                let last = self.unsent.wait().filter(|wait| wait.token.is_none());
                let longer = || self.growing(Duration::from_secs(last.map_or(0, |last| last.seconds) * 2));
                self.wait(wait.unwrap_or_else(longer), &why, None)?;
                return Ok(ControlFlow::Break(()));
            }
            Verdict::Retry(why) => {
                let until = SystemTime::now() + self.growing(age);
                tracing::warn!("{what} waits: {why}");
                opened.pause(until)?;
                *failures += 1;
                // One alone may be its own fault. Two in a row are the forge's, and nobody else is sent there.
                if *failures == 2 {
                    self.unsent.pause_all(until)?;
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// A pause as long as it has been tried for: so each is about twice the one before.
    fn growing(&self, so_far: Duration) -> Duration {
        so_far.clamp(self.pauses.first, self.pauses.longest)
    }

    /// Follows one redirect, where the token may go with it.
    fn send(&mut self, status: &Status, token: &Token) -> Verdict {
        let post = self.api.post(status);
        let location = match self.request(&post, token) {
            Verdict::Moved(location) => location,
            verdict => return verdict,
        };
        match api::redirected(&post.url, &location) {
            Some(url) => self.request(&Post { url, ..post }, token),
            None => Verdict::GiveUp(refusal(&format!(
                "it is redirected to {}, where the token does not go",
                crate::text::printable(&location)
            ))),
        }
    }

    /// One request, not before the last has been over for a while.
    fn request(&mut self, post: &Post, token: &Token) -> Verdict {
        if let Some(last) = self.last {
            thread::sleep(self.pauses.apart.saturating_sub(last.elapsed()));
        }
        let client = self.client.get_or_insert_with(|| Client::new(self.pauses.patience));
        let reply = client.post(&self.api, post, token);
        self.last = Some(Instant::now());
        match reply {
            Ok(reply) => reply.verdict(self.api.forge, SystemTime::now()),
            Err(error) => Verdict::Retry(token.hide_in(&in_full(&error))),
        }
    }

    /// Nothing is sent for so long.
    fn wait(&self, wait: Duration, why: &str, token: Option<&str>) -> io::Result<()> {
        tracing::warn!("statuses wait in outbox/ for {} s: {why}", wait.as_secs());
        let until = Timestamp::try_from(SystemTime::now() + wait).unwrap_or(Timestamp::MAX);
        self.unsent.wait_with_all(&Wait {
            until,
            seconds: wait.as_secs(),
            why: why.to_string(),
            token: token.map(str::to_string),
        })
    }

    /// Nothing until there is another token or an hour has passed; said once for each token.
    fn refuse_token(&self, version: &str, why: &str) -> io::Result<()> {
        let told = self.unsent.wait().is_some_and(|wait| wait.token.as_deref() == Some(version));
        if !told {
            tracing::error!("the forge's token is refused: {why}");
            (self.tell)(&Notice::TokenRefused { why })?;
        }
        self.wait(self.pauses.refused, why, Some(version))
    }

    /// To `failed/`; said once for each repository and reason, as far as `failed/` remembers.
    fn give_up(&self, opened: &Opened, refusal: &Refusal) -> io::Result<()> {
        let Waiting { id, status, .. } = &opened.waiting;
        tracing::error!("{id}.status.json was refused, it is now in outbox/failed/: {}", refusal.why);
        if !self.unsent.was_refused(&status.repository, refusal) {
            (self.tell)(&Notice::GivenUp { id, status, why: &refusal.why })?;
        }
        self.unsent.give_up(opened, refusal)
    }
}

/// Of our own.
fn refusal(why: &str) -> Refusal {
    Refusal { code: None, why: why.to_string() }
}

fn age(status: &Status) -> Duration {
    SystemTime::now().duration_since(status.since.into()).unwrap_or_default()
}
