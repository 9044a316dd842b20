//! All that is around the scheduler: the disk, the kernel, the builds, the mail, people. It does what is decided as
//! the drain does it, and looks after every step whether what is promised still holds.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    io::{self, ErrorKind},
    mem,
    time::Duration,
};

use fastrand::Rng;
use jiff::Timestamp;

use super::scenario::{Content, Happening, LANES, Scenario, Try};
use crate::{
    builder::{
        attempt_end::AttemptEnd,
        fault::Fault,
        judgement::ATTEMPTS,
        scheduler::{Action, DrainExit, Event, Past, Scheduler, Terms},
    },
    queue::{BuildRequest, Claimed, EntryId, EntryState, Listing, Retry},
};

/// So long an entry that is cut off may still be being written.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// Longer than any pause.
const TWO_HOURS: Duration = Duration::from_secs(7200);

/// So often an entry is put back before it is given up.
const PUT_BACKS: u32 = 4;

type Checked<T = ()> = Result<T, String>;

/// What the disk and people know: it outlives `build`.
pub struct World<'a> {
    scenario: &'a Scenario,
    happenings: std::slice::Iter<'a, Happening>,
    rng: Rng,
    requests: Vec<BuildRequest>,
    now: Duration,
    steps: usize,
    waiting: BTreeMap<EntryId, Entry>,
    claimed: BTreeMap<EntryId, Entry>,
    records: HashMap<EntryId, Record>,
    retries: HashMap<EntryId, Retry>,
    is_held: bool,
    is_broken: bool,
    /// What has been moved or tried: grows as long as anything goes on.
    progress: usize,
    letters: usize,
    run: Run,
}

#[derive(Clone)]
struct Entry {
    content: Content,
    written: Duration,
}

#[derive(Default)]
struct Record {
    is_final: bool,
    tries: u32,
    died: bool,
}

/// One `build`, from its start to its end.
struct Run {
    scheduler: Scheduler,
    is_watched: bool,
    /// What the kernel has not told yet.
    kernel: VecDeque<Change>,
    /// What has been told, and not been heard.
    channel: Vec<Event>,
    builds: Vec<Build>,
    /// Rounds of mail that are under way: their numbers, and how many letters they send.
    rounds: VecDeque<(usize, usize)>,
    letters_sent: usize,
    has_died: bool,
    is_ending_builds: bool,
    heard: Heard,
    /// When the scheduler last decided.
    decided: Duration,
    /// So many actions since anything happened.
    idle_actions: usize,
}

/// What the scheduler has to know, since it was told.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is told apart from the others")]
struct Heard {
    is_held: bool,
    is_watched: bool,
    /// Changes were lost.
    is_unsure: bool,
    signal: bool,
    fault: bool,
    /// Entries that it has to take care of.
    waiting: BTreeSet<EntryId>,
    /// What it need not look at again before it hears of it.
    aside: HashSet<EntryId>,
    /// What it has to look at again in a second.
    unsettled: HashSet<EntryId>,
    /// Lanes of builds that are not known to be over.
    busy: HashMap<EntryId, usize>,
    scripts_over: HashSet<EntryId>,
    /// Those of them under which `build` has died before.
    suspects: HashSet<EntryId>,
    /// Lanes that pause for an entry, although that was changed by hand: it has not heard of it.
    in_vain: HashMap<EntryId, usize>,
    /// What people have changed in this run by hand was of these lanes.
    touched: HashSet<usize>,
    /// What somebody has to be told, and how often.
    owed: HashMap<String, i32>,
    told: Vec<String>,
}

enum Change {
    Arrived(EntryId),
    Resumed(EntryId),
    Hold,
    Unclear,
    Lost,
}

struct Build {
    id: EntryId,
    entry: Entry,
    /// As it was before.
    before: Record,
    stage: Stage,
}

enum Stage {
    Runs,
    /// How it ended, and that is not on the disk yet.
    Concludes(Option<Try>),
    /// It is, and the drain has not heard.
    Over(AttemptEnd),
}

impl Run {
    fn new(scenario: &Scenario) -> Self {
        Self {
            scheduler: Scheduler::new(Terms {
                threads: scenario.threads,
                stays: false,
                newest_only: false,
                watched: scenario.watched,
            }),
            is_watched: scenario.watched,
            kernel: VecDeque::new(),
            channel: Vec::new(),
            builds: Vec::new(),
            rounds: VecDeque::new(),
            letters_sent: 0,
            has_died: false,
            is_ending_builds: false,
            heard: Heard { is_watched: scenario.watched, ..Heard::default() },
            decided: Duration::ZERO,
            idle_actions: 0,
        }
    }

    /// The kernel sees it.
    fn changed(&mut self, change: Change) {
        if self.is_watched {
            self.kernel.push_back(change);
        }
    }
}

fn id(number: u32) -> EntryId {
    EntryId::parse(&format!("{number}.0")).expect("an id")
}

fn fault(stage: &'static str, id: &EntryId) -> Fault {
    Fault { stage, error: io::Error::other(id.to_string()) }
}

fn unopened(id: &EntryId) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, id.to_string())
}

fn must(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

impl<'a> World<'a> {
    pub fn new(scenario: &'a Scenario) -> Self {
        let request = |lane| {
            let commit = "a".repeat(40);
            let json = format!(r#"{{"repository":"r","ref":"refs/heads/{lane}","commit_id":"{commit}"}}"#);
            serde_json::from_str(&json).expect("a request")
        };
        Self {
            scenario,
            happenings: scenario.happenings.iter(),
            rng: Rng::with_seed(scenario.seed),
            requests: (0..LANES).map(request).collect(),
            now: Duration::ZERO,
            steps: 0,
            waiting: BTreeMap::new(),
            claimed: BTreeMap::new(),
            records: HashMap::new(),
            retries: HashMap::new(),
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
                matches!(entry.content, Content::Request { .. } | Content::Invalid | Content::BeingWritten)
                    .then_some(id)
            }));
            let left: Vec<_> = left.map(ToString::to_string).collect();
            if left.is_empty() {
                return Ok(self.steps);
            }
            must(self.progress > before, || format!("lost, though all is well: {left:?}"))?;
        }
    }

    /// As `drain::run` does.
    fn run(&mut self) -> Checked {
        self.run = Run::new(self.scenario);
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
                    Some(at) => self.now = at,
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
        self.run.idle_actions = 0;
        way(self, build);
        true
    }

    fn kernel_tells(&mut self) {
        let event = match self.run.kernel.pop_front().expect("there is one") {
            Change::Arrived(id) => Event::Arrived(id),
            Change::Resumed(id) => Event::Resumed(id),
            Change::Hold => Event::Held(self.is_held),
            Change::Unclear => Event::Unclear,
            Change::Lost => Event::WatchLost,
        };
        self.run.channel.push(event);
    }

    fn mail_is_sent(&mut self) {
        let (round, letters) = self.run.rounds.pop_front().expect("there is one");
        self.run.letters_sent = letters;
        self.run.channel.push(Event::MailSent(round));
    }

    /// The next thing that people, the kernel or the machine do.
    fn happen(&mut self) {
        let Some(happening) = self.happenings.next() else { return };
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

    /// A file of this name appears, or is written again.
    fn write(&mut self, id: EntryId, content: &Content) {
        self.touch(&id);
        self.waiting.insert(id.clone(), Entry { content: content.clone(), written: self.now });
        self.run.heard.touched.extend(lane_of(content));
        self.run.changed(Change::Arrived(id));
    }

    /// Somebody changes something of an entry by hand, and the scheduler does not know yet.
    fn touch(&mut self, id: &EntryId) {
        let heard = &mut self.run.heard;
        heard.waiting.remove(id);
        let Some(lane) = self.waiting.get(id).and_then(|entry| lane_of(&entry.content)) else { return };
        heard.touched.insert(lane);
        if self.retries.contains_key(id) {
            heard.in_vain.entry(id.clone()).or_insert(lane);
        }
    }

    fn end_pause(&mut self, id: &EntryId) {
        if self.retries.remove(id).is_some() {
            self.run.changed(Change::Resumed(id.clone()));
        }
    }

    /// A build takes its next step.
    fn go_on(&mut self, at: usize) {
        let build = &mut self.run.builds[at];
        match &build.stage {
            Stage::Runs if self.run.is_ending_builds => {
                build.stage = Stage::Over(AttemptEnd::PutBack);
                let (id, entry) = (build.id.clone(), build.entry.clone());
                self.uncount(at);
                self.put_back(&id, entry);
            }
            Stage::Runs => {
                let end = match &mut build.entry.content {
                    Content::Request { tries, .. } if !tries.is_empty() => Some(tries.remove(0)),
                    _ => None,
                };
                if !matches!(end, Some(Try::NoVerdict | Try::MachineAtFault | Try::NotPutBack)) {
                    self.run.channel.push(Event::ScriptOver(build.id.clone()));
                }
                build.stage = Stage::Concludes(end);
            }
            Stage::Concludes(end) => {
                let end = *end;
                let end = self.conclude(at, end);
                self.run.builds[at].stage = Stage::Over(end);
            }
            Stage::Over(_) => {
                let build = self.run.builds.remove(at);
                let Stage::Over(end) = build.stage else { unreachable!("it is over") };
                self.run.channel.push(Event::Finished(build.id, end));
            }
        }
    }

    /// What is on the disk after it, as `attempt` leaves it.
    fn conclude(&mut self, at: usize, end: Option<Try>) -> AttemptEnd {
        self.progress += 1;
        let (id, entry) = (self.run.builds[at].id.clone(), self.run.builds[at].entry.clone());
        let put_backs = self.retries.get(&id).map_or(0, |retry| retry.count);
        let tries = self.records[&id].tries;
        match end {
            Some(Try::Later | Try::MachineAtFault) if put_backs < PUT_BACKS => {
                let retry = Retry::after(self.retries.get(&id), self.clock(), "later".to_string());
                self.retries.insert(id.clone(), retry);
                self.uncount(at);
                self.put_back(&id, entry);
                if matches!(end, Some(Try::Later)) {
                    AttemptEnd::Later
                } else {
                    AttemptEnd::Fault(fault("of the machine", &id))
                }
            }
            Some(Try::NoVerdict) if tries < ATTEMPTS => {
                self.letters += 1;
                self.put_back(&id, entry);
                AttemptEnd::NoVerdict
            }
            Some(Try::NotPutBack) => {
                self.claimed.insert(id.clone(), entry);
                AttemptEnd::Fault(fault("it cannot be put back", &id))
            }
            _ => {
                self.letters += usize::from(end.is_some());
                self.finish(&id);
                AttemptEnd::Recorded
            }
        }
    }

    /// The try does not count.
    fn uncount(&mut self, at: usize) {
        let build = &mut self.run.builds[at];
        self.records.insert(build.id.clone(), mem::take(&mut build.before));
    }

    fn finish(&mut self, id: &EntryId) {
        self.records.entry(id.clone()).or_default().is_final = true;
        self.end_pause(id);
        self.claimed.remove(id);
        self.progress += 1;
    }

    /// If no other of its name waits.
    fn put_back(&mut self, id: &EntryId, entry: Entry) {
        if self.waiting.contains_key(id) {
            return;
        }
        self.claimed.remove(id);
        self.waiting.insert(id.clone(), entry);
        self.run.changed(Change::Arrived(id.clone()));
    }

    fn clock(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.now
    }

    /// Keeps account of what it hears, and lets it decide.
    fn tell(&mut self, events: Vec<Event>) -> Vec<Action> {
        for event in &events {
            self.note(event);
        }
        self.run.decided = self.now;
        self.run.scheduler.on(self.now, events)
    }

    fn note(&mut self, event: &Event) {
        let heard = &mut self.run.heard;
        match event {
            Event::Begun
            | Event::MailSent(_)
            | Event::Rejected
            | Event::Claimed(_)
            | Event::Cancelled(_)
            | Event::Withdrawn
            | Event::Wanted(_)
            | Event::Outdated => {}
            Event::Unclear => heard.is_unsure = true,
            Event::WatchLost => heard.is_watched = false,
            Event::Arrived(id) => heard.appeared(id, true),
            Event::Resumed(id) => _ = heard.in_vain.remove(id),
            Event::Held(held) => heard.is_held = *held,
            Event::Listed { listing, held } => {
                (heard.is_held, heard.is_unsure) = (*held, false);
                for id in &listing.waiting {
                    heard.appeared(id, false);
                }
            }
            Event::Looked { id, state, held, .. } => {
                heard.is_held = *held;
                let is_busy = heard.busy.contains_key(id);
                match state {
                    Ok(EntryState::Request(..)) if !is_busy => {}
                    Ok(EntryState::Invalid(_)) => {}
                    Ok(EntryState::Missing) => _ = heard.waiting.remove(id),
                    Ok(EntryState::BeingWritten) => heard.look_again(id),
                    Ok(EntryState::Request(..) | EntryState::NotAFile) => heard.set_aside(id),
                    Err(error) => {
                        heard.owe(&Fault {
                            stage: "an entry in queue/ cannot be opened",
                            error: io::Error::new(error.kind(), error.to_string()),
                        });
                        heard.set_aside(id);
                    }
                }
            }
            Event::NotClaimed(id) => heard.set_aside(id),
            Event::Stuck(id, fault) => {
                heard.owe(fault);
                heard.set_aside(id);
            }
            Event::Rewritten(id) => heard.look_again(id),
            Event::NotStarted(id, fault) => {
                heard.fault(fault);
                heard.free(id);
            }
            Event::Failed(fault) => heard.fault(fault),
            Event::ScriptOver(id) => _ = heard.scripts_over.insert(id.clone()),
            Event::Finished(id, end) => {
                heard.free(id);
                match end {
                    AttemptEnd::Later => _ = heard.waiting.insert(id.clone()),
                    AttemptEnd::NoVerdict => heard.fault = true,
                    AttemptEnd::Fault(fault) => heard.fault(fault),
                    AttemptEnd::Recorded | AttemptEnd::PutBack => {}
                }
            }
            Event::Signal(_) => heard.signal = true,
        }
    }

    /// Does it, as the drain does.
    fn perform(&mut self, action: Action) -> Checked<Option<Event>> {
        Ok(match action {
            Action::Recover if self.is_broken && self.rng.bool() => {
                let error = io::Error::other("broken");
                Some(Event::Failed(Fault { stage: "nothing can be begun", error }))
            }
            Action::Recover => {
                let before = self.listing();
                let listing = if self.recover() { self.listing() } else { before };
                Some(Event::Listed { listing, held: self.is_held })
            }
            Action::List => Some(Event::Listed { listing: self.listing(), held: self.is_held }),
            Action::Look(id) => Some(self.look(id)),
            Action::Reject(id, _) => Some(self.reject(id)?),
            Action::Claim(id, lane) => {
                let lane = (0..LANES).find(|at| self.requests[*at].lane() == lane).expect("a lane");
                Some(self.claim(id, lane)?)
            }
            Action::Start(entry) => self.start(*entry)?,
            Action::Tell(fault) => {
                self.letters += 1;
                *self.run.heard.owed.entry(fault.to_string()).or_default() -= 1;
                self.run.heard.told.push(fault.to_string());
                None
            }
            Action::EndBuilds(_) => {
                self.run.is_ending_builds = true;
                None
            }
            Action::EndOrphans => {
                let builds = &self.run.builds;
                must(builds.is_empty(), || format!("build {} was ended as an orphan", builds[0].id))?;
                None
            }
            Action::SendMailAndTell(round) => {
                self.run.rounds.push_back((round, self.letters));
                None
            }
            Action::Withdraw(..) | Action::PutBack(_) | Action::Cancel(_) | Action::Idle => {
                unreachable!("nobody has asked for that")
            }
            Action::Sweep | Action::SendMail => None,
            Action::Exit(_) => unreachable!("met before"),
        })
    }

    /// After a death: was there anything to bring into order?
    fn recover(&mut self) -> bool {
        let left = mem::take(&mut self.claimed);
        let any = !left.is_empty();
        for (id, entry) in left {
            self.progress += 1;
            let record = self.records.entry(id.clone()).or_default();
            if record.tries >= ATTEMPTS || self.waiting.contains_key(&id) {
                self.letters += 1;
                if !self.waiting.contains_key(&id) {
                    self.finish(&id);
                }
            } else {
                record.died = record.tries > 0;
                self.put_back(&id, entry);
            }
        }
        any
    }

    /// Each asks for a commit of its own.
    fn request(&self, id: &EntryId, lane: usize) -> BuildRequest {
        let digits: String = id.as_str().chars().filter(char::is_ascii_digit).collect();
        let commit_id = serde_json::from_value(format!("{digits:0>40}").into()).expect("a commit");
        BuildRequest { commit_id, ..self.requests[lane].clone() }
    }

    fn listing(&self) -> Listing {
        let (waiting, claimed) = (self.waiting.keys().cloned(), self.claimed.keys().cloned());
        Listing { waiting: waiting.collect(), claimed: claimed.collect(), ..Listing::default() }
    }

    fn look(&self, id: EntryId) -> Event {
        let is_new = |entry: &Entry| self.now.saturating_sub(entry.written) < SETTLES_WITHIN;
        let state = match self.waiting.get(&id) {
            None => Ok(EntryState::Missing),
            Some(entry) => match &entry.content {
                Content::Request { lane, .. } => {
                    Ok(EntryState::Request(self.request(&id, *lane), Vec::new()))
                }
                Content::CannotBeMoved => Ok(EntryState::Request(self.request(&id, 0), Vec::new())),
                Content::BeingWritten if is_new(entry) => Ok(EntryState::BeingWritten),
                Content::BeingWritten | Content::Invalid => Ok(EntryState::Invalid("no request".to_string())),
                Content::NotAFile => Ok(EntryState::NotAFile),
                Content::CannotBeOpened => Err(unopened(&id)),
            },
        };
        let (record, retry) = (self.records.get(&id), self.retries.get(&id));
        let past = Past {
            is_final: record.is_some_and(|record| record.is_final),
            pause: retry.map(|retry| retry.pause(self.clock())).unwrap_or_default(),
            standing: retry.filter(|retry| retry.is_standing()).map(|_| fault("again and again", &id)),
            is_suspect: record.is_some_and(|record| record.died),
            is_recorded: false,
        };
        Event::Looked { id, state, past, held: self.is_held }
    }

    fn reject(&mut self, id: EntryId) -> Checked<Event> {
        let is_final = self.records.get(&id).is_some_and(|record| record.is_final);
        match self.waiting.get(&id).map(|entry| &entry.content) {
            Some(Content::CannotBeMoved) => return Ok(self.stuck(id)),
            Some(Content::Request { .. }) if !is_final && !self.run.heard.waiting.contains(&id) => {
                // Written again since it was looked at.
            }
            Some(Content::Request { .. }) => {
                must(is_final, || format!("{id} is a request, and was rejected"))?;
            }
            _ => {}
        }
        self.run.heard.waiting.remove(&id);
        if self.waiting.remove(&id).is_some() {
            self.letters += 1;
            self.progress += 1;
        }
        Ok(Event::Rejected)
    }

    fn claim(&mut self, id: EntryId, lane: usize) -> Checked<Event> {
        let heard = &self.run.heard;
        must(!heard.is_held, || format!("{id} was claimed on hold"))?;
        must(!heard.fault, || format!("{id} was claimed after a fault"))?;
        must(!heard.signal, || format!("{id} was claimed after a signal"))?;
        if self.is_broken {
            let error = io::Error::other(id.to_string());
            return Ok(Event::Failed(Fault { stage: "too little space", error }));
        }
        let Some(entry) = self.waiting.get(&id) else { return Ok(Event::NotClaimed(id)) };
        if self.claimed.contains_key(&id) {
            return Ok(Event::NotClaimed(id));
        }
        if matches!(entry.content, Content::CannotBeMoved) {
            return Ok(self.stuck(id));
        }
        if lane_of(&entry.content) != Some(lane) {
            self.run.changed(Change::Arrived(id.clone()));
            return Ok(Event::Rewritten(id));
        }
        self.check_turn(&id, lane)?;
        let entry = self.waiting.remove(&id).expect("it is there");
        self.claimed.insert(id.clone(), entry);
        self.run.heard.waiting.remove(&id);
        self.run.heard.busy.insert(id.clone(), lane);
        if self.records.get(&id).is_some_and(|record| record.died) {
            self.run.heard.suspects.insert(id.clone());
        }
        self.progress += 1;
        let request = self.request(&id, lane);
        Ok(Event::Claimed(Box::new(Claimed { id, request, bytes: Vec::new() })))
    }

    /// An entry does not let itself be moved: whose fault is that?
    fn stuck(&self, id: EntryId) -> Event {
        let fault = fault("it cannot be moved", &id);
        if self.is_broken { Event::Failed(fault) } else { Event::Stuck(id, fault) }
    }

    /// May this one start now?
    fn check_turn(&self, id: &EntryId, lane: usize) -> Checked {
        let heard = &self.run.heard;
        let is_final = self.records.get(id).is_some_and(|record| record.is_final);
        must(!is_final, || format!("{id} is built though it has a result"))?;
        let others = heard.busy.iter().find(|(_, busy)| **busy == lane);
        must(others.is_none(), || format!("{id} starts beside another of its lane: {others:?}"))?;
        let older = heard.waiting.range(..id).find(|older| self.waiting_in(older) == Some(lane));
        must(older.is_none(), || format!("{id} starts before an older one of its lane: {older:?}"))?;
        let pauses =
            self.retries.get(id).is_some_and(|retry| retry.pause(self.clock()) > Duration::from_secs(1));
        must(!pauses, || format!("{id} starts though it pauses"))?;
        let is_suspect = self.records.get(id).is_some_and(|record| record.died);
        must(!is_suspect || !self.suspect_runs(), || format!("{id} is a second suspect"))
    }

    /// The lane of a request that waits.
    fn waiting_in(&self, id: &EntryId) -> Option<usize> {
        match &self.waiting.get(id)?.content {
            Content::Request { lane, .. } => Some(*lane),
            _ => None,
        }
    }

    fn suspect_runs(&self) -> bool {
        !self.run.heard.suspects.is_empty()
    }

    fn start(&mut self, Claimed { id, .. }: Claimed) -> Checked<Option<Event>> {
        let Some(entry) = self.claimed.get_mut(&id) else {
            return Err(format!("{id} was started unclaimed"));
        };
        let runs = self.run.builds.iter().any(|build| build.id == id);
        must(!runs, || format!("{id} was started twice"))?;
        if let Content::Request { tries, .. } = &mut entry.content
            && matches!(tries.first(), Some(Try::NoThread))
        {
            tries.remove(0);
            let entry = entry.clone();
            self.put_back(&id, entry);
            let fault = fault("no thread can be started", &id);
            return Ok(Some(Event::NotStarted(id, fault)));
        }
        let record = self.records.entry(id.clone()).or_default();
        let before = Record { is_final: false, ..*record };
        *record = Record { is_final: false, tries: before.tries + 1, died: false };
        must(record.tries <= ATTEMPTS, || format!("{id} is tried again and again"))?;
        self.run.builds.push(Build { id, entry: entry.clone(), before, stage: Stage::Runs });
        let runs = |build: &&Build| matches!(build.stage, Stage::Runs);
        let running = self.run.builds.iter().filter(runs).count();
        let (threads, all) = (self.scenario.threads, self.run.builds.len());
        must(running <= threads && all <= 2 * threads, || {
            format!("{running} of {all} run in {threads} slots")
        })?;
        Ok(None)
    }

    /// One that it knows of and could be built: nothing of its lane runs, pauses or waits for another suspect.
    fn left_lying(&self, at: Duration) -> Option<&EntryId> {
        let heard = &self.run.heard;
        let at = Timestamp::UNIX_EPOCH + at;
        let stands_still = |id: &EntryId| {
            let is_suspect = self.records.get(id).is_some_and(|record| record.died);
            let pauses = self.retries.get(id).is_some_and(|retry| !retry.pause(at).is_zero());
            pauses || is_suspect && self.suspect_runs()
        };
        let still = self.waiting.keys().filter(|id| stands_still(id));
        let still = still.filter_map(|id| lane_of(&self.waiting.get(id)?.content));
        let taken = heard.busy.values().chain(heard.in_vain.values()).copied();
        let blocked: HashSet<usize> = still.chain(taken).collect();
        heard.waiting.iter().find(|id| self.waiting_in(id).is_some_and(|lane| !blocked.contains(&lane)))
    }

    /// It does no end of things while nothing happens.
    fn check_goes_on(&mut self) -> Checked {
        self.steps += 1;
        self.run.idle_actions += 1;
        let entries = self.waiting.len() + self.claimed.len();
        must(self.run.idle_actions < 100 + 10 * entries, || "it goes round in circles".to_string())
    }

    /// It sleeps: then no slot is free for what could be built before it wakes up by itself.
    fn check_slots_are_used(&self) -> Checked {
        let heard = &self.run.heard;
        must(!heard.is_unsure, || "changes were lost, and it does not look".to_string())?;
        let looks_at = self.run.scheduler.wakes_at().map(|at| at.saturating_sub(self.run.decided));
        let looks = looks_at.is_some_and(|after| after <= Duration::from_secs(1));
        must(heard.is_watched || looks, || "nobody tells it, and it does not look".to_string())?;
        let recording = heard.scripts_over.len();
        let is_free =
            heard.busy.len() - recording < self.scenario.threads && recording <= self.scenario.threads;
        if heard.is_held || heard.signal || heard.fault || !is_free {
            return Ok(());
        }
        let wakes_at = self.run.scheduler.wakes_at().unwrap_or(self.run.decided + TWO_HOURS);
        for at in [self.run.decided, wakes_at.saturating_sub(Duration::from_millis(1))] {
            if let Some(id) = self.left_lying(at)
                && !heard.touched.contains(&self.waiting_in(id).expect("a request"))
            {
                return Err(format!("{id} could be built, and is not"));
            }
        }
        Ok(())
    }

    fn check_exit(&mut self, exit: DrainExit) -> Checked {
        let heard = &self.run.heard;
        let left = heard.busy.keys().next();
        must(left.is_none(), || format!("it ends, and {left:?} runs"))?;
        let owed = heard.owed.iter().find(|(_, times)| **times > 0);
        must(owed.is_none(), || format!("nobody hears of it: {owed:?}"))?;
        let is_sent = self.run.letters_sent == self.letters;
        must(is_sent || heard.signal, || "letters were written after the last mail".to_string())?;
        let expected = match exit {
            DrainExit::Signalled(_) => heard.signal,
            DrainExit::Faulty => heard.fault && !heard.signal,
            DrainExit::Held => heard.is_held && !heard.fault && !heard.signal,
            DrainExit::Drained => !heard.is_held && !heard.fault && !heard.signal,
        };
        must(expected, || format!("{exit:?} is not why it ends"))?;
        if exit != DrainExit::Drained {
            return Ok(());
        }
        let left = self.left_lying(self.run.decided);
        must(left.is_none(), || format!("{left:?} could be built, and it ends"))?;
        let left = heard.unsettled.iter().find(|id| self.waiting.contains_key(id));
        must(left.is_none(), || format!("{left:?} was not looked at again"))?;
        let standing = heard.waiting.iter().find(|id| {
            let is_standing = self.retries.get(id).is_some_and(Retry::is_standing);
            let is_first = || {
                let lane = self.waiting_in(id);
                let in_vain = heard.in_vain.values().any(|other| Some(*other) == lane);
                lane.is_some()
                    && !in_vain
                    && !heard.waiting.range(..*id).any(|other| self.waiting_in(other) == lane)
            };
            is_standing && is_first() && !heard.told.contains(&fault("again and again", id).to_string())
        });
        must(standing.is_none(), || format!("{standing:?} is put back again and again, and nobody hears"))
    }
}

/// The lane that a request asks for.
fn lane_of(content: &Content) -> Option<usize> {
    match content {
        Content::Request { lane, .. } => Some(*lane),
        Content::CannotBeMoved => Some(0),
        _ => None,
    }
}

impl Heard {
    fn appeared(&mut self, id: &EntryId, was_told: bool) {
        if was_told {
            self.aside.remove(id);
        } else if self.aside.contains(id) {
            return;
        }
        self.unsettled.remove(id);
        self.in_vain.remove(id);
        self.waiting.insert(id.clone());
    }

    fn set_aside(&mut self, id: &EntryId) {
        self.waiting.remove(id);
        self.aside.insert(id.clone());
    }

    fn look_again(&mut self, id: &EntryId) {
        self.waiting.remove(id);
        self.unsettled.insert(id.clone());
    }

    /// Its build is over.
    fn free(&mut self, id: &EntryId) {
        self.busy.remove(id);
        self.scripts_over.remove(id);
        self.suspects.remove(id);
        if self.aside.remove(id) {
            self.waiting.insert(id.clone());
        }
    }

    fn owe(&mut self, fault: &Fault) {
        *self.owed.entry(fault.to_string()).or_default() += 1;
    }

    fn fault(&mut self, fault: &Fault) {
        self.owe(fault);
        self.fault = true;
    }
}
