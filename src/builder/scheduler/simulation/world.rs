//! All that is around the scheduler: the disk, the kernel, the builds, the mail, people. It does what is decided as
//! the drain does it, and looks after every step whether what is promised still holds.

mod builds;
mod disk;
mod drain;
mod faults;
mod heard;
mod kernel;
mod promises;
mod run;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    mem,
    time::Duration,
};

use fastrand::Rng;

use self::{
    builds::{Build, Stage},
    disk::{Entry, Record, id},
    kernel::Change,
    run::Run,
};
use super::scenario::{Content, Happening, Push, REFS, Scenario, Try, What};
use crate::{
    builder::scheduler::{Action, Event},
    queue::{EntryId, Retry},
};

/// So long an entry that is cut off may still be being written.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// Longer than any pause.
const TWO_HOURS: Duration = Duration::from_secs(7200);

type Checked<T = ()> = Result<T, String>;

/// What the disk and people know: it outlives `build`.
pub struct World<'a> {
    scenario: &'a Scenario,
    happenings: std::slice::Iter<'a, Happening>,
    rng: Rng,
    now: Duration,
    steps: usize,
    waiting: BTreeMap<EntryId, Entry>,
    claimed: BTreeMap<EntryId, Entry>,
    records: HashMap<EntryId, Record>,
    retries: HashMap<EntryId, Retry>,
    cancels: BTreeSet<EntryId>,
    /// All that has ever been asked for.
    asked: Vec<What>,
    is_held: bool,
    is_broken: bool,
    /// What has been moved or tried: grows as long as anything goes on.
    progress: usize,
    letters: usize,
    run: Run,
}

fn must(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

impl<'a> World<'a> {
    pub fn new(scenario: &'a Scenario) -> Self {
        Self {
            scenario,
            happenings: scenario.happenings.iter(),
            rng: Rng::with_seed(scenario.seed),
            now: Duration::ZERO,
            steps: 0,
            waiting: BTreeMap::new(),
            claimed: BTreeMap::new(),
            records: HashMap::new(),
            retries: HashMap::new(),
            cancels: BTreeSet::new(),
            asked: Vec::new(),
            is_held: false,
            is_broken: false,
            progress: 0,
            letters: 0,
            run: Run::new(scenario),
        }
    }

    /// One `build` after the other, and in the end, when nothing more happens and everything is well again, as many as
    /// it takes: then nothing may wait that could be built.
    pub fn play(mut self) -> Checked<usize> {
        while self.happenings.len() > 0 {
            self.happen();
            self.run()?;
        }
        (self.is_held, self.is_broken) = (false, false);
        loop {
            let before = self.progress;
            self.now += TWO_HOURS;
            self.run()?;
            let left = self.claimed.keys().chain(self.waiting.iter().filter_map(|(id, entry)| {
                matches!(entry.content, Content::Request(_) | Content::Invalid | Content::BeingWritten)
                    .then_some(id)
            }));
            let left: Vec<_> = left.map(ToString::to_string).collect();
            let open = self.cancels.iter().filter(|id| !self.waiting.contains_key(id));
            let open: Vec<_> = open.map(ToString::to_string).collect();
            if left.is_empty() && open.is_empty() {
                return Ok(self.steps);
            }
            must(self.progress > before, || {
                format!("lost, though all is well: {left:?}, cancelled for ever: {open:?}")
            })?;
        }
    }

    /// As `drain::run` does.
    fn run(&mut self) -> Checked {
        self.run = Run::new(self.scenario);
        let recorded = self.records.iter();
        self.run.history = recorded.filter_map(|(id, record)| Some((id.clone(), record.what?))).collect();
        let mut actions = VecDeque::from(self.tell(vec![Event::Begun]));
        loop {
            while let Some(action) = actions.pop_front() {
                self.check_goes_on()?;
                if let Action::Exit(exit) = action {
                    return self.check_exit(exit);
                }
                if self.rng.u8(..8) == 0 {
                    self.something_happens();
                }
                if let Some(event) = self.perform(action)? {
                    actions.extend(self.tell(vec![event]));
                }
                if self.run.has_died {
                    return Ok(());
                }
            }
            self.check_slots_are_used()?;
            self.check_goes_on()?;
            let Some(events) = self.wait()? else { return Ok(()) };
            actions.extend(self.tell(events));
        }
    }

    /// Until the drain wakes up; none when it has died.
    fn wait(&mut self) -> Checked<Option<Vec<Event>>> {
        let wakes_at = self.run.scheduler.wakes_at();
        loop {
            if self.run.has_died {
                return Ok(None);
            }
            if !self.run.channel.is_empty() && self.rng.bool() || wakes_at.is_some_and(|at| at <= self.now) {
                return Ok(Some(mem::take(&mut self.run.channel)));
            }
            if wakes_at.is_some() && self.rng.u8(..4) == 0 || !self.something_happens() {
                match wakes_at {
                    _ if !self.run.channel.is_empty() => {}
                    _ if self.scenario.stays && !self.run.is_outdated && self.happenings.len() == 0 => {
                        self.outdate();
                    }
                    Some(at) => (self.now, self.run.idle_actions) = (at, 0),
                    None if self.scenario.stays && self.happenings.len() > 0 => self.happen(),
                    None => return Err("it sleeps, and nothing will ever wake it".to_string()),
                }
            }
        }
    }

    /// One of all that may happen now, beside the drain; false if nothing may.
    fn something_happens(&mut self) -> bool {
        self.steps += 1;
        self.now += Duration::from_millis(self.rng.u64(..20));
        let stopping = !self.run.heard.signal || self.run.is_ending_builds;
        let can_go_on = |build: &Build| stopping || !matches!(build.stage, Stage::Runs);
        let builds: Vec<usize> =
            (0..self.run.builds.len()).filter(|at| can_go_on(&self.run.builds[*at])).collect();
        let mut ways: Vec<fn(&mut Self, Option<usize>)> = Vec::new();
        if !self.run.kernel.is_empty() {
            ways.push(|world, _| world.kernel_tells());
        }
        let build = self.rng.choice(&builds).copied();
        if build.is_some() {
            ways.push(|world, build| world.go_on(build.expect("there is one")));
        }
        if !self.run.rounds.is_empty() {
            ways.push(|world, _| world.mail_is_sent());
        }
        if self.happenings.len() > 0 {
            ways.push(|world, _| world.happen());
        }
        let Some(way) = self.rng.choice(&ways) else { return false };
        way(self, build);
        true
    }

    fn kernel_tells(&mut self) {
        self.run.idle_actions = 0;
        let event = match self.run.kernel.pop_front().expect("there is one") {
            Change::Arrived(id) => Event::Arrived(id),
            Change::Resumed(id) => Event::Resumed(id),
            Change::Cancelled(id) => Event::Cancelled(id),
            Change::Hold => Event::Held(self.is_held),
            Change::Unclear => Event::Unclear,
            Change::Lost => Event::WatchLost,
        };
        self.run.channel.push(event);
    }

    fn outdate(&mut self) {
        self.run.is_outdated = true;
        self.run.channel.push(Event::Outdated);
    }

    fn mail_is_sent(&mut self) {
        let (round, letters) = self.run.rounds.pop_front().expect("there is one");
        self.run.letters_sent = letters;
        self.run.channel.push(Event::MailSent(round));
    }

    /// The next thing that people, the kernel or the machine do.
    fn happen(&mut self) {
        let Some(happening) = self.happenings.next() else { return };
        self.run.idle_actions = 0;
        match happening {
            Happening::Entry(number, content) => self.write(id(*number), content),
            Happening::Rewritten(number, content) if self.waiting.contains_key(&id(*number)) => {
                self.write(id(*number), content);
            }
            Happening::Removed(number) if self.waiting.contains_key(&id(*number)) => {
                self.touch(&id(*number));
                self.waiting.remove(&id(*number));
            }
            Happening::PauseEnded(number) => {
                self.touch(&id(*number));
                self.end_pause(&id(*number));
            }
            Happening::Cancelled(number) => {
                self.cancels.insert(id(*number));
                self.run.changed(Change::Cancelled(id(*number)));
            }
            Happening::Outdated => self.outdate(),
            Happening::Hold(held) => {
                self.is_held = *held;
                self.run.changed(Change::Hold);
            }
            Happening::MachineBroken(broken) => self.is_broken = *broken,
            Happening::ChangesLost if self.run.is_watched => {
                self.run.kernel = VecDeque::from([Change::Unclear]);
            }
            Happening::WatchLost if self.run.is_watched => {
                self.run.kernel = VecDeque::from([Change::Lost]);
                self.run.is_watched = false;
            }
            Happening::Rewritten(..)
            | Happening::Removed(_)
            | Happening::ChangesLost
            | Happening::WatchLost => {}
            Happening::Signal => {
                self.run.channel.push(Event::Signal(15));
            }
            Happening::Death => self.run.has_died = true,
            Happening::Seconds(seconds) => self.now += Duration::from_secs((*seconds).into()),
        }
    }

    /// Keeps account of what it hears, and lets it decide.
    fn tell(&mut self, events: Vec<Event>) -> Vec<Action> {
        for event in &events {
            self.note(event);
        }
        self.run.decided = self.now;
        self.run.scheduler.on(self.now, events)
    }
}
