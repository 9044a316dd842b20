//! What follows from how a try at an entry came out: decided from what is known of it, and nothing is done.

use jiff::{SignedDuration, Timestamp};

use super::{
    fault::Fault,
    script_end::{NoVerdict, ScriptEnd},
};
use crate::{
    queue::{Cancel, Retry},
    records::{Cause, Rc, RunningAttempt, Verdict},
};

/// So often a build may take `build` down with it, or come to no verdict, before it is given up.
pub const ATTEMPTS: u32 = 3;

/// So often it may meet something that is its own fault and not its script's.
const OWN_FAULTS: u32 = 3;

/// So often it may meet a fault of the machine.
const MACHINE_FAULTS: u32 = 10;

/// So long a script may ask for another try.
const A_DAY: SignedDuration = SignedDuration::from_hours(24);

/// By this exit code: EX_TEMPFAIL of sysexits.h.
const TEMPFAIL: Rc = Rc::new(75);

/// How many tries of it count: what its record says, or what lies beside its entry, since a build can wreck its record.
pub fn tries(running: Option<&RunningAttempt>, put_back: Option<&Retry>) -> u32 {
    let recorded = running.map_or(0, |running| running.attempt);
    recorded.max(put_back.map_or(0, |put_back| put_back.tries))
}

/// What follows.
#[derive(Debug, PartialEq)]
pub enum Judgement {
    /// Nothing more.
    Final(Verdict),
    /// It goes on when `build` does.
    PutBack,
    /// The engine failed, and why.
    TryAgain(String),
    /// It pauses, and others go first; why.
    Later(String),
}

/// What is known of the try.
#[derive(Debug)]
pub struct Try<'a> {
    /// Which it is.
    pub number: u32,
    /// How often the entry has been put back before.
    pub put_back: Option<&'a Retry>,
    /// It may be a build that stopped us.
    pub is_doubted: bool,
    /// Now.
    pub now: Timestamp,
}

impl Try<'_> {
    /// By how the script ended; `cancel` is who did not want it.
    pub fn judge(&self, end: ScriptEnd, cancel: impl FnOnce() -> Cancel) -> Judgement {
        match end {
            ScriptEnd::Verdict(Verdict::Ran(rc)) if rc == TEMPFAIL => self.asked_for_another(),
            ScriptEnd::Verdict(verdict) => Judgement::Final(verdict),
            ScriptEnd::Stopped if self.is_doubted => self.is_suspect(),
            ScriptEnd::Stopped => Judgement::PutBack,
            ScriptEnd::Cancelled(rc, left) => {
                let mut reason = cancel().words();
                if let Some(NoVerdict { why, .. }) = left {
                    reason = format!("{reason}; what runs on the engine could not be taken away: {why}");
                }
                Judgement::Final(Verdict::Cancelled(rc, reason))
            }
            ScriptEnd::NoVerdict(NoVerdict { why, .. }) if self.number < ATTEMPTS => Judgement::TryAgain(why),
            ScriptEnd::NoVerdict(NoVerdict { why, .. }) => {
                let number = self.number;
                let reason = format!("the launcher came to no verdict, and this was try {number}: {why}");
                Judgement::Final(Verdict::Error(Cause::Engine, reason))
            }
        }
    }

    /// It may be this one that stopped us: that counts as a try, and the others are built first.
    fn is_suspect(&self) -> Judgement {
        let why = "build was ended by a signal of unknown origin";
        if self.number < ATTEMPTS {
            return Judgement::Later(why.to_string());
        }
        let reason = format!("{why} while this ran, and this was try {}", self.number);
        Judgement::Final(Verdict::Error(Cause::Crash, reason))
    }

    /// It cannot be built now, says the script.
    fn asked_for_another(&self) -> Judgement {
        let asked = "its script asked for another try (exit code 75)";
        match self.put_back {
            Some(before) if before.age(self.now) >= A_DAY => {
                let reason = format!("{asked} for a whole day");
                Judgement::Final(Verdict::Error(Cause::Tempfail, reason))
            }
            _ => Judgement::Later(asked.to_string()),
        }
    }

    /// By a fault that it met, and the one that the machine has without it, if it has one. The machine's own is returned.
    pub fn blame(&self, met: &Fault, machine: Option<Fault>) -> Result<Judgement, Fault> {
        let times = self.put_back.map_or(0, |before| before.count) + 1;
        let (cause, limit) = match machine {
            Some(_) => (Cause::Machine, MACHINE_FAULTS),
            None => (Cause::Record, OWN_FAULTS),
        };
        if times >= limit {
            return Ok(Judgement::Final(Verdict::Error(cause, format!("{met}, and this was time {times}"))));
        }
        machine.map_or_else(|| Ok(Judgement::Later(met.to_string())), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn put_back(count: u32, hours: i64) -> Retry {
        let since = Timestamp::UNIX_EPOCH - SignedDuration::from_hours(hours);
        Retry { count, since, until: Timestamp::UNIX_EPOCH, why: String::new(), tries: 0 }
    }

    fn at(number: u32, put_back: Option<&Retry>) -> Try<'_> {
        Try { number, put_back, is_doubted: false, now: Timestamp::UNIX_EPOCH }
    }

    fn cause(judgement: &Judgement) -> Option<Cause> {
        match judgement {
            Judgement::Final(Verdict::Error(cause, _)) => Some(*cause),
            _ => None,
        }
    }

    #[test]
    fn exit_code_75_is_obeyed_for_a_day_and_every_other_is_the_verdict() {
        let ran = |rc| ScriptEnd::Verdict(Verdict::Ran(Rc::new(rc)));
        assert!(matches!(at(1, None).judge(ran(75), Cancel::default), Judgement::Later(_)));
        let (almost, whole) = (put_back(9, 23), put_back(9, 24));
        assert!(matches!(at(1, Some(&almost)).judge(ran(75), Cancel::default), Judgement::Later(_)));
        assert_eq!(cause(&at(1, Some(&whole)).judge(ran(75), Cancel::default)), Some(Cause::Tempfail));
        let failed = at(1, Some(&whole)).judge(ran(74), Cancel::default);
        assert_eq!(failed, Judgement::Final(Verdict::Ran(Rc::new(74))));
    }

    #[test]
    fn a_stop_costs_no_try_unless_it_may_be_the_builds_own_doing() {
        assert_eq!(at(9, None).judge(ScriptEnd::Stopped, Cancel::default), Judgement::PutBack);
        let doubted =
            |number| Try { is_doubted: true, ..at(number, None) }.judge(ScriptEnd::Stopped, Cancel::default);
        assert!(matches!(doubted(ATTEMPTS - 1), Judgement::Later(_)));
        assert_eq!(cause(&doubted(ATTEMPTS)), Some(Cause::Crash));
    }

    #[test]
    fn an_engine_has_three_tries_and_its_last_failure_is_in_the_reason() {
        let failure = || NoVerdict { why: "no node".to_string(), words: String::new() };
        let judge = |number| at(number, None).judge(ScriptEnd::NoVerdict(failure()), Cancel::default);
        assert_eq!(judge(ATTEMPTS - 1), Judgement::TryAgain("no node".to_string()));
        assert_eq!(cause(&judge(ATTEMPTS)), Some(Cause::Engine));
        let cancelled = ScriptEnd::Cancelled(None, Some(failure()));
        let Judgement::Final(Verdict::Cancelled(None, reason)) =
            at(1, None).judge(cancelled, Cancel::default)
        else {
            panic!("it is cancelled");
        };
        assert_eq!(reason, "by hand; what runs on the engine could not be taken away: no node");
    }

    #[test]
    fn an_entry_has_three_faults_of_its_own_and_ten_of_the_machine() {
        let fault = || Fault { stage: "a build cannot be recorded", error: io::Error::other("no") };
        let own = |count| at(1, Some(&put_back(count, 0))).blame(&fault(), None).expect("its own");
        assert!(matches!(at(1, None).blame(&fault(), None), Ok(Judgement::Later(_))));
        assert!(matches!(own(OWN_FAULTS - 2), Judgement::Later(_)));
        assert_eq!(cause(&own(OWN_FAULTS - 1)), Some(Cause::Record));
        let before_the_last = put_back(MACHINE_FAULTS - 2, 0);
        assert!(at(1, Some(&before_the_last)).blame(&fault(), Some(fault())).is_err());
        let last = put_back(MACHINE_FAULTS - 1, 0);
        let given_up = at(1, Some(&last)).blame(&fault(), Some(fault())).expect("it is given up");
        assert_eq!(cause(&given_up), Some(Cause::Machine));
    }
}
