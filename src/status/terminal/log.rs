//! `build log`: the output of one build.

use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    thread,
    time::Duration,
};

use clap::Args;

use super::{
    failure::Failure,
    plain::Filter,
    wait::{self, State},
};
use crate::{
    home::Home,
    own_name::own_name,
    queue::EntryId,
    status::{
        output::{Followed, Follower, Output},
        select::select,
    },
};

/// What `build log` is given.
#[derive(Debug, Args)]
pub struct LogArguments {
    /// An id, an entry's name, latest, or repository[@branch] for its latest
    #[arg(value_name = "BUILD")]
    pub build: String,
    /// Follow it until the build is over, then exit as `wait` does
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last N lines of what there is
    #[arg(long, value_name = "N")]
    pub lines: Option<usize>,
}

/// How often one looks for more.
const PAUSE: Duration = Duration::from_millis(200);

pub fn run(home: &Home, arguments: &LogArguments) -> Result<u8, Failure> {
    let id = select(home, &arguments.build)?;
    let mut shown = Shown::new();
    let mut follower = match begin(home, &id, arguments)? {
        Some(follower) => follower,
        None if arguments.follow => match first(home, &id)? {
            Ok(follower) => follower,
            Err(state) => return Ok(wait::exit_code(&id, &state)),
        },
        None => {
            eprintln!("{}: {id} has no output", own_name());
            return Ok(0);
        }
    };
    loop {
        // Asked before the last look, so that nothing which came between the two is missed.
        let state = arguments.follow.then(|| wait::state(home, &id));
        while follow(&mut follower, home, &id, &mut shown)? {}
        match state {
            None => return Ok(0),
            Some(State::Unfinished) => thread::sleep(PAUSE),
            Some(state) => return Ok(wait::exit_code(&id, &state)),
        }
    }
}

/// What there is; none if the build has not begun.
fn begin(home: &Home, id: &EntryId, arguments: &LogArguments) -> io::Result<Option<Follower>> {
    let output = match Output::open(home, id) {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let offset = match arguments.lines {
        Some(lines) => output.start_of_last(lines)?,
        None => 0,
    };
    Ok(Some(Follower::new(output, offset)))
}

/// Waits until there is an output, or the build is over without one.
fn first(home: &Home, id: &EntryId) -> io::Result<Result<Follower, State>> {
    loop {
        let state = wait::state(home, id);
        match Output::open(home, id) {
            Ok(output) => return Ok(Ok(Follower::new(output, 0))),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Err(_) if !matches!(state, State::Unfinished) => return Ok(Err(state)),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Shows what is new; was there anything?
fn follow(follower: &mut Follower, home: &Home, id: &EntryId, shown: &mut Shown) -> io::Result<bool> {
    match follower.next(home, id)? {
        Followed::Bytes(bytes) => shown.write(&bytes)?,
        Followed::Nothing => return Ok(false),
        Followed::Shrunk => shown.say("the output has passed its limit, and something is left out here")?,
        Followed::Again => shown.say("the build is tried again, from the start")?,
    }
    Ok(true)
}

/// Standard output: a terminal gets colours and text alone, everything else each byte.
struct Shown {
    stdout: io::StdoutLock<'static>,
    filter: Option<Filter>,
}

impl Shown {
    fn new() -> Self {
        let stdout = io::stdout();
        Self { filter: stdout.is_terminal().then(Filter::new), stdout: stdout.lock() }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.filter {
            Some(filter) => self.stdout.write_all(filter.pass(bytes).as_bytes())?,
            None => self.stdout.write_all(bytes)?,
        }
        self.stdout.flush()
    }

    fn say(&mut self, what: &str) -> io::Result<()> {
        self.stdout.flush()?;
        eprintln!("{}: {what}", own_name());
        Ok(())
    }
}
