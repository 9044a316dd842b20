//! What happens to a queue, in this order, whenever the seed lets it.

use std::iter::repeat_with;

use fastrand::Rng;

#[derive(Debug, Clone)]
pub struct Scenario {
    /// Of all that the happenings do not say.
    pub seed: u64,
    pub threads: usize,
    /// Does the kernel tell of changes?
    pub watched: bool,
    pub newest_only: bool,
    pub stays: bool,
    pub happenings: Vec<Happening>,
}

#[derive(Debug, Clone)]
pub enum Happening {
    /// An entry appears: its name, and what becomes of it.
    Entry(u32, Content),
    /// It is written again in place, if it waits.
    Rewritten(u32, Content),
    /// Somebody removes it, if it waits.
    Removed(u32),
    /// Somebody removes the file by which it pauses.
    PauseEnded(u32),
    /// Somebody does not want it, whether it is there or not.
    Cancelled(u32),
    Hold(bool),
    /// Is something wrong with the machine?
    MachineBroken(bool),
    /// The kernel loses what it has not told yet.
    ChangesLost,
    WatchLost,
    Signal,
    /// The program has become another.
    Outdated,
    /// `build` dies.
    Death,
    Seconds(u32),
}

/// What the file of an entry holds.
#[derive(Debug, Clone)]
pub enum Content {
    Request(Push),
    Invalid,
    /// Cut off, and not old enough to be sure.
    BeingWritten,
    NotAFile,
    CannotBeOpened,
    /// A request for the first of the refs that cannot be renamed.
    CannotBeMoved,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Push {
    pub what: What,
    pub is_rerun: bool,
    /// How its tries end; one that has no more of them succeeds.
    pub tries: Vec<Try>,
}

/// What it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct What {
    /// One of [`REFS`].
    pub git_ref: usize,
    pub commit: u32,
}

#[derive(Debug, Clone, Copy)]
pub enum Try {
    Fails,
    /// It is put back, and pauses.
    Later,
    NoVerdict,
    MachineAtFault,
    /// It cannot be recorded, and others can.
    AtFault,
    /// The machine is at fault, and not even putting it back works.
    NotPutBack,
    NoThread,
}

/// What is pushed to; some share a lane.
pub const REFS: [&str; 6] =
    ["refs/heads/a", "refs/heads/b", "refs/heads/c", "refs/tags/d", "refs/heads/x/a", "refs/tags/b"];

impl What {
    pub fn is_branch(self) -> bool {
        REFS[self.git_ref].starts_with("refs/heads/")
    }

    /// By its name, as the chunks are.
    pub fn lane(self) -> &'static str {
        REFS[self.git_ref].rsplit('/').next().expect("a name")
    }
}

impl Scenario {
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut names = Names { pushed: 1000, all: Vec::new() };
        let length = rng.usize(1..40);
        let calm = rng.bool();
        let happenings = (0..length).map(|_| happening(&mut rng, &mut names, calm)).collect();
        Self {
            seed,
            threads: rng.usize(1..5),
            watched: rng.u8(..8) > 0,
            newest_only: rng.bool(),
            stays: rng.u8(..3) == 0,
            happenings,
        }
    }
}

struct Names {
    /// The last one that a push got.
    pushed: u32,
    all: Vec<u32>,
}

impl Names {
    fn any(&self, rng: &mut Rng) -> u32 {
        rng.choice(&self.all).copied().unwrap_or(1)
    }
}

/// In a calm scenario mostly pushes.
fn happening(rng: &mut Rng, names: &mut Names, calm: bool) -> Happening {
    let kinds = if calm { 70 } else { 40 };
    match rng.u8(..kinds) {
        0 | 1 => Happening::Rewritten(names.any(rng), content(rng)),
        2 | 3 => Happening::Removed(names.any(rng)),
        4..7 => Happening::PauseEnded(names.any(rng)),
        7..11 => Happening::Hold(rng.bool()),
        11..14 => Happening::MachineBroken(rng.u8(..3) == 0),
        14 => Happening::ChangesLost,
        15 => Happening::WatchLost,
        16 => Happening::Signal,
        17 | 18 => Happening::Death,
        19..22 => Happening::Seconds(rng.u32(1..200)),
        26..31 => Happening::Cancelled(names.any(rng)),
        31 => Happening::Outdated,
        // By hand: any name, also one that is in use.
        22 => Happening::Entry(names.any(rng), content(rng)),
        23 | 24 => {
            let name = rng.u32(1..1000);
            names.all.push(name);
            Happening::Entry(name, content(rng))
        }
        _ => {
            names.pushed += 1;
            names.all.push(names.pushed);
            Happening::Entry(names.pushed, request(rng))
        }
    }
}

fn content(rng: &mut Rng) -> Content {
    match rng.u8(..10) {
        0 | 1 => Content::Invalid,
        2 | 3 => Content::BeingWritten,
        4 => Content::NotAFile,
        5 => Content::CannotBeOpened,
        6 => Content::CannotBeMoved,
        _ => request(rng),
    }
}

fn request(rng: &mut Rng) -> Content {
    let number = match rng.u8(..8) {
        0..4 => 0,
        4..7 => rng.usize(1..4),
        _ => rng.usize(4..14),
    };
    let always = rng.u8(..16);
    let tries = repeat_with(|| match if number < 4 { rng.u8(..17) } else { always } {
        0..5 => Try::Fails,
        5..11 => Try::Later,
        11 | 12 => Try::NoVerdict,
        13 => Try::MachineAtFault,
        14 => Try::NotPutBack,
        15 => Try::AtFault,
        _ => Try::NoThread,
    });
    let tries = tries.take(number).collect();
    // Some commits are asked for more than once.
    let commit = if rng.u8(..3) == 0 { rng.u32(1..4) } else { rng.u32(100..) };
    let what = What { git_ref: rng.usize(..REFS.len()), commit };
    Content::Request(Push { what, is_rerun: rng.u8(..8) == 0, tries })
}
