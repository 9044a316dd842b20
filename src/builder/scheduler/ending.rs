//! When no build runs and none can start: the last mail, a last look at the queue, the end; or the rest of one that stays.

use std::time::Duration;

use super::action::{Action, DrainExit};

/// So long one that stays waits before it tries again what the machine did not let it do.
pub const REST: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Ending {
    stays: bool,
    /// Nothing starts any more.
    exit: Option<DrainExit>,
    rests_until: Option<Duration>,
    last_mail: LastMail,
    /// Rounds of mail asked for.
    rounds: usize,
}

/// The round of mail before the end. Whatever may write a letter after it makes another one necessary.
#[derive(Debug, PartialEq, Eq)]
enum LastMail {
    NotYet,
    /// The round of this number.
    Asked(usize),
    Sent,
    /// And the queue was looked at once more.
    SentAndLooked,
    /// And one that stays waits for more.
    NothingToDo,
}

impl Ending {
    pub fn new(stays: bool) -> Self {
        Self { stays, exit: None, rests_until: None, last_mail: LastMail::NotYet, rounds: 0 }
    }

    /// Something is done that letters may come of.
    pub fn put_off(&mut self) {
        self.last_mail = LastMail::NotYet;
    }

    /// The machine is at fault.
    pub fn fail(&mut self) {
        self.exit.get_or_insert(DrainExit::Faulty);
    }

    pub fn signal(&mut self, signal: i32) {
        // No rest that is over in this moment undoes it.
        (self.exit, self.rests_until) = (Some(DrainExit::Signalled(signal)), None);
    }

    pub fn stay_no_longer(&mut self) {
        self.stays = false;
    }

    pub fn mail_sent(&mut self, round: usize) {
        if self.last_mail == LastMail::Asked(round) {
            self.last_mail = LastMail::Sent;
        }
    }

    pub fn has_begun(&self) -> bool {
        self.exit.is_some()
    }

    pub fn rests_until(&self) -> Option<Duration> {
        self.rests_until
    }

    /// It begins anew, once.
    pub fn rest_is_over(&mut self, now: Duration) -> bool {
        let is_over = self.rests_until.is_some_and(|until| until <= now);
        if is_over {
            (self.rests_until, self.exit) = (None, None);
        }
        is_over
    }

    /// The next step, if there is one before something happens.
    pub fn next(&mut self, now: Duration, held: bool) -> Option<Action> {
        match (self.exit, &self.last_mail) {
            (Some(DrainExit::Faulty), LastMail::Sent) if self.stays => {
                self.rests_until.get_or_insert(now + REST);
                None
            }
            (Some(exit @ DrainExit::Signalled(_)), _) | (Some(exit), LastMail::Sent) => {
                Some(Action::Exit(exit))
            }
            (_, LastMail::NotYet) => {
                self.rounds += 1;
                self.last_mail = LastMail::Asked(self.rounds);
                Some(Action::SendMailAndTell(self.rounds))
            }
            (_, LastMail::Asked(_)) => None,
            (None, LastMail::Sent) => {
                self.last_mail = LastMail::SentAndLooked;
                Some(Action::List)
            }
            (None, LastMail::SentAndLooked) if self.stays => {
                self.last_mail = LastMail::NothingToDo;
                Some(Action::Idle)
            }
            (None, LastMail::NothingToDo) if self.stays => None,
            (exit, LastMail::SentAndLooked | LastMail::NothingToDo) => {
                let drained = if held { DrainExit::Held } else { DrainExit::Drained };
                Some(Action::Exit(exit.unwrap_or(drained)))
            }
        }
    }
}
