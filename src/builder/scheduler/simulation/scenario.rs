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
    Hold(bool),
    /// Is something wrong with the machine?
    MachineBroken(bool),
    /// The kernel loses what it has not told yet.
    ChangesLost,
    WatchLost,
    Signal,
    /// `build` dies.
    Death,
    Seconds(u32),
}

/// What the file of an entry holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// A request of this lane, and how its tries end; one that has no more of them succeeds.
    Request {
        lane: usize,
        tries: Vec<Try>,
    },
    Invalid,
    /// Cut off, and not old enough to be sure.
    BeingWritten,
    NotAFile,
    CannotBeOpened,
    /// A request of lane 0 that cannot be renamed.
    CannotBeMoved,
}

#[derive(Debug, Clone, Copy)]
pub enum Try {
    Fails,
    /// It is put back, and pauses.
    Later,
    NoVerdict,
    MachineAtFault,
    /// The machine is at fault, and not even putting it back works.
    NotPutBack,
    NoThread,
}

/// So many lanes.
pub const LANES: usize = 4;

impl Scenario {
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut names = Names { pushed: 1000, all: Vec::new() };
        let length = rng.usize(1..40);
        let calm = rng.bool();
        let happenings = (0..length).map(|_| happening(&mut rng, &mut names, calm)).collect();
        Self { seed, threads: rng.usize(1..5), watched: rng.u8(..8) > 0, happenings }
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
    let number = if rng.bool() { 0 } else { rng.usize(1..4) };
    let tries = repeat_with(|| match rng.u8(..16) {
        0..5 => Try::Fails,
        5..11 => Try::Later,
        11 | 12 => Try::NoVerdict,
        13 => Try::MachineAtFault,
        14 => Try::NotPutBack,
        _ => Try::NoThread,
    });
    let tries = tries.take(number).collect();
    Content::Request { lane: rng.usize(..LANES), tries }
}
