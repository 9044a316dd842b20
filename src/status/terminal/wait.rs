//! `build wait`: until a build is over.

use std::{thread, time::Duration};

use clap::Args;

use super::failure::Failure;
use crate::{
    home::Home,
    own_name::own_name,
    queue::EntryId,
    records::{BuildResult, Outcome, RunningAttempt},
    status::{
        folder::{Content, Folder},
        select::select,
    },
};

/// What `build wait` is given.
#[derive(Debug, Args)]
pub struct WaitArguments {
    /// An id, an entry's name, latest, or repository[@branch] for its latest
    #[arg(value_name = "BUILD")]
    pub build: String,
}

/// How often one looks.
const PAUSE: Duration = Duration::from_millis(200);

/// How often one looks again where files contradict each other before one believes it: something is being renamed.
const DOUBTS: u32 = 10;

/// Whether a build is over, by its files.
#[derive(Debug)]
pub enum State {
    /// It waits or runs.
    Unfinished,
    /// It came out like this.
    Over(Outcome),
    /// It is in `bad/`.
    Bad,
    /// It neither waits nor runs, and has no result that can be read.
    Unknown(String),
}

pub fn run(home: &Home, word: &str) -> Result<u8, Failure> {
    let id = select(home, word)?;
    let mut doubts = 0;
    loop {
        match state(home, &id) {
            State::Unfinished => doubts = 0,
            State::Unknown(_) if doubts < DOUBTS => doubts += 1,
            state => return Ok(exit_code(&id, &state)),
        }
        thread::sleep(PAUSE);
    }
}

/// Says how it ended, and what to exit with.
pub fn exit_code(id: &EntryId, state: &State) -> u8 {
    match state {
        State::Over(outcome) => of_outcome(*outcome),
        State::Bad => {
            eprintln!("{}: {id} cannot be built: queue/bad/build-{id}.why says why", own_name());
            5
        }
        State::Unknown(why) => {
            eprintln!("{}: {id}: {why}", own_name());
            5
        }
        State::Unfinished => 0,
    }
}

fn of_outcome(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Succeeded => 0,
        Outcome::Failed | Outcome::TimedOut | Outcome::Error => 1,
        Outcome::Cancelled | Outcome::Superseded | Outcome::Skipped => 3,
    }
}

/// How it stands with a build now.
pub fn state(home: &Home, id: &EntryId) -> State {
    let queue = Folder::open(&home.queue()).ok();
    let is_in_queue = |name: &str| queue.as_ref().is_some_and(|queue| queue.stamp(name).is_some());
    let record = Folder::open(&home.builds()).and_then(|builds| builds.folder(id.as_str())).ok();
    let result = record.as_ref().map_or(Content::Missing, |record| record.json::<BuildResult>("result.json"));
    match result {
        Content::Value(result) => State::Over(result.outcome),
        Content::Unreadable(why) => State::Unknown(why),
        Content::Missing if is_in_queue(&id.claimed()) || is_in_queue(&id.waiting()) => State::Unfinished,
        Content::Missing if is_in_queue(&format!("bad/{}", id.waiting())) => State::Bad,
        Content::Missing => {
            let attempt = record.and_then(|record| record.json::<RunningAttempt>("running.json").value());
            // Somebody has removed the entry; the script goes on all the same.
            match attempt.and_then(|attempt| attempt.script_pid) {
                Some(_) => State::Unfinished,
                None => State::Unknown("it neither waits nor runs, and has no result".to_string()),
            }
        }
    }
}
