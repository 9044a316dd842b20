//! The drain: takes entries in order, as many at a time as there are slots, until nothing waits or runs.

use std::{
    collections::{HashMap, HashSet},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, SystemTime},
};

use super::{
    announce,
    letter::{self, Draft},
    one_build::{self, Done},
    outbox::{Outbox, Postman},
    process::Stop,
    recovery,
    settings::Settings,
    tree::Children,
    trouble::{Fault, Troubles},
    watch,
    workspace::WorkDir,
};
use crate::{
    durable,
    error_chain::in_full,
    home::Home,
    host,
    queue::{Backlog, Claimed, DrainLock, EntryId, EntryState, Lane, Listing, control::is_held, reading},
    records::{Record, retention},
};

/// How often we look ourselves where the kernel does not tell.
const LOOK: Duration = Duration::from_secs(1);

const UNREADABLE: &str = "the queue cannot be read";

/// So many builds finish between two looks at what can be removed.
const SWEEP_EVERY: usize = 1000;

/// What every build needs.
#[derive(Debug)]
pub struct Ci {
    /// Where everything is.
    pub home: Home,
    /// As they were at start.
    pub settings: Settings,
    /// The right to take entries.
    pub drain: DrainLock,
    /// Told when builds are to end.
    pub stop: Stop,
    /// Our own child processes.
    pub children: Children,
    /// Where letters go.
    pub outbox: Outbox,
    work_dir: OnceLock<WorkDir>,
}

/// What happens while the drain runs.
#[derive(Debug)]
pub enum Event {
    /// An entry has appeared.
    Arrived(EntryId),
    /// Events were lost: look again.
    QueueUnclear,
    /// The kernel tells nothing any more.
    WatchLost,
    /// The file `hold` has come or gone.
    HoldChanged,
    /// The script of a build is over, and its processes are gone: its slot is free while it is recorded.
    Ran(EntryId),
    /// A build is over.
    Finished(EntryId, Done),
    /// The round of mail of this number is over.
    MailDone(usize),
    /// Told to stop by a signal.
    Signal(i32),
}

/// Why the drain is over.
#[derive(Debug, PartialEq, Eq)]
pub enum Over {
    /// Nothing waits or runs.
    Drained,
    /// The machine is at fault.
    Faulty,
    /// A signal.
    Signalled(i32),
}

impl Ci {
    /// With the queue's lock held, nothing begun.
    pub fn new(home: Home, settings: Settings, drain: DrainLock, outbox: Outbox, stop: Stop) -> Self {
        Self { home, settings, drain, stop, outbox, children: Children::default(), work_dir: OnceLock::new() }
    }

    /// Where workspaces are made: resolved once, and refused if it is not safe.
    pub fn work_dir(&self) -> Result<&WorkDir, Fault> {
        if let Some(work_dir) = self.work_dir.get() {
            return Ok(work_dir);
        }
        let opened = WorkDir::open(&self.settings.work_dir, &self.home);
        let opened = opened.map_err(Fault::at("there is no work directory"))?;
        Ok(self.work_dir.get_or_init(|| opened))
    }

    /// Moves a claimed entry to `bad/` and tells the fallback.
    pub fn reject_claimed(&self, id: &EntryId, why: &str) -> io::Result<()> {
        let name = self.drain.reject_claimed(id, why, &|name| self.tell_of_bad(name, why))?;
        rejected(id, why, name);
        Ok(())
    }

    fn reject(&self, id: &EntryId, why: &str) -> io::Result<()> {
        let name = self.drain.reject(id, why, &|name| self.tell_of_bad(name, why))?;
        rejected(id, why, name);
        Ok(())
    }

    fn tell_of_bad(&self, name: &str, why: &str) -> io::Result<()> {
        let why = crate::text::printable(why);
        let letter = letter::write(
            Draft {
                stem: format!("bad-{name}"),
                to: &self.settings.mail_fallback,
                subject: format!("AMP CI: {name} is no request that can be built"),
                text: format!(
                    "queue/{name} in {} on {} was moved to queue/bad/:\n\n    {why}\n\nNothing of it was built. Mended, it can \
                     be moved back into queue/.\n",
                    self.home.dir().display(),
                    host::name()
                ),
                build: None,
                date: SystemTime::now(),
            },
            &self.settings,
        );
        self.outbox.put(&letter)
    }
}

fn rejected(id: &EntryId, why: &str, name: Option<String>) {
    if let Some(name) = name {
        tracing::error!("queue/build-{id} is now queue/bad/{name}: {}", crate::text::printable(why));
    }
}

/// A channel for events: whoever watches signals needs its end before the drain runs.
pub fn events() -> (Sender<Event>, Receiver<Event>) {
    channel()
}

/// Drains the queue, `threads` builds at a time.
pub fn run(
    ci: &Arc<Ci>,
    troubles: &mut Troubles,
    threads: usize,
    events: (Sender<Event>, Receiver<Event>),
) -> io::Result<Over> {
    let postman = Postman::start(ci.outbox.clone())?;
    let (tell, told) = events;
    let watched = watch::start(&ci.home.queue(), tell.clone()).is_ok();
    let mut run = Run {
        ci: Arc::clone(ci),
        troubles,
        threads,
        tell,
        postman,
        watched,
        backlog: Backlog::default(),
        running: HashMap::new(),
        recording: HashSet::new(),
        being_written: Vec::new(),
        set_aside: HashSet::new(),
        over: None,
        finished: 0,
        last_mail: LastMail::NotYet,
        rounds: 0,
    };
    let over = run.drain(&told);
    ci.children.end_orphans();
    let trouble = run.troubles.settle(&ci.drain, over == Over::Drained && !is_held(&ci.home.queue()));
    Ok(if over == Over::Drained && trouble { Over::Faulty } else { over })
}

/// The round of mail before the end. Whatever may write a letter after it makes another one necessary.
#[derive(Debug, PartialEq, Eq)]
enum LastMail {
    NotYet,
    /// The round of this number.
    Asked(usize),
    Done,
}

struct Run<'a> {
    ci: Arc<Ci>,
    troubles: &'a mut Troubles,
    threads: usize,
    tell: Sender<Event>,
    postman: Postman,
    watched: bool,
    backlog: Backlog,
    running: HashMap<EntryId, Lane>,
    /// Those of `running` whose scripts are over.
    recording: HashSet<EntryId>,
    /// Looked at while they may still be being written.
    being_written: Vec<EntryId>,
    /// Looked at, and nothing that could be built now.
    set_aside: HashSet<EntryId>,
    over: Option<Over>,
    finished: usize,
    last_mail: LastMail,
    /// Rounds of mail asked for.
    rounds: usize,
}

impl Run<'_> {
    fn drain(&mut self, told: &Receiver<Event>) -> Over {
        let begun = self.begin();
        self.or_fault(begun);
        loop {
            if self.running.is_empty() {
                // Whatever is left to us now is nobody's that may go on.
                self.ci.children.end_orphans();
            }
            self.start_builds();
            if self.running.is_empty() && self.is_over() {
                return self.over.take().unwrap_or(Over::Drained);
            }
            let event = if self.watched && self.being_written.is_empty() {
                told.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                told.recv_timeout(LOOK)
            };
            match event {
                Ok(event) => self.handle(event),
                Err(_) => self.look_again(),
            }
            // Many that arrive together are sorted before the first is started.
            while let Ok(event) = told.try_recv() {
                self.handle(event);
            }
        }
    }

    /// What an earlier run left, and what waits.
    fn begin(&mut self) -> Result<(), Fault> {
        let listing = reading::list(&self.ci.home.queue()).map_err(Fault::at(UNREADABLE))?;
        let recovered = recovery::recover(&self.ci, &listing)?;
        durable::sweep(&self.ci.home.queue());
        durable::sweep(&self.ci.home.outbox());
        if recovered {
            // They wait again, and go first.
            return self.list();
        }
        self.add(listing);
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrived(id) => {
                self.set_aside.remove(&id);
                self.backlog.add(id);
            }
            Event::QueueUnclear => self.look_again(),
            Event::WatchLost => self.watched = false,
            Event::Ran(id) => _ = self.recording.insert(id),
            Event::Finished(id, done) => self.finish(&id, done),
            Event::MailDone(round) if self.last_mail == LastMail::Asked(round) => {
                self.last_mail = LastMail::Done;
            }
            // What a change of hold means is seen before the next build is started.
            Event::MailDone(_) | Event::HoldChanged => {}
            Event::Signal(signal) => {
                tracing::info!("signal {signal}: the builds that run are ended and put back");
                self.over = Some(Over::Signalled(signal));
                self.ci.stop.tell();
            }
        }
    }

    fn finish(&mut self, id: &EntryId, done: Done) {
        self.recording.remove(id);
        if let Some(lane) = self.running.remove(id) {
            self.backlog.release(&lane);
        }
        // One of the same name that has come meanwhile.
        if self.set_aside.remove(id) {
            self.backlog.add(id.clone());
        }
        self.finished += 1;
        if self.finished.is_multiple_of(SWEEP_EVERY) {
            self.sweep();
        }
        self.postman.pass();
        self.last_mail = LastMail::NotYet;
        match done {
            Done::Recorded | Done::PutBack => {}
            // The engine is at fault; it has been said, and the next build tries again.
            Done::NoVerdict => _ = self.over.get_or_insert(Over::Faulty),
            Done::Fault(fault) => self.or_fault(Err(fault)),
        }
    }

    /// Is there nothing left to do? Sees to the last mail first, and looks at the queue once more.
    fn is_over(&mut self) -> bool {
        let nothing_starts = self.over.is_some() || is_held(&self.ci.home.queue());
        let something_waits = !self.backlog.is_empty() || !self.being_written.is_empty();
        if something_waits && !nothing_starts {
            return false;
        }
        if matches!(self.over, Some(Over::Signalled(_))) {
            return true;
        }
        match self.last_mail {
            LastMail::NotYet => {
                if self.finished > 0 {
                    self.sweep();
                }
                self.rounds += 1;
                let (tell, round) = (self.tell.clone(), self.rounds);
                self.postman.pass_then(move || _ = tell.send(Event::MailDone(round)));
                self.last_mail = LastMail::Asked(round);
                false
            }
            LastMail::Asked(_) => false,
            LastMail::Done if nothing_starts => true,
            LastMail::Done => {
                self.look_again();
                self.start_builds();
                // What it found may have led to a letter, and to nothing that would wake us.
                self.last_mail == LastMail::Done || (self.running.is_empty() && self.is_over())
            }
        }
    }

    fn sweep(&self) {
        if let Err(error) = retention::sweep(&self.ci.home, self.ci.settings.keep) {
            tracing::warn!("old records stay: {}", in_full(&error));
        }
    }

    fn look_again(&mut self) {
        for id in std::mem::take(&mut self.being_written) {
            self.backlog.add(id);
        }
        let listed = self.list();
        self.or_fault(listed);
    }

    fn list(&mut self) -> Result<(), Fault> {
        let listing = reading::list(&self.ci.home.queue()).map_err(Fault::at(UNREADABLE))?;
        self.add(listing);
        Ok(())
    }

    fn add(&mut self, listing: Listing) {
        let set_aside = &self.set_aside;
        self.backlog.add_all(listing.waiting.into_iter().filter(|id| !set_aside.contains(id)));
    }

    fn or_fault(&mut self, result: Result<(), Fault>) {
        if let Err(fault) = result {
            self.troubles.tell(&fault, &self.ci.drain, &self.ci.outbox);
            self.last_mail = LastMail::NotYet;
            self.over.get_or_insert(Over::Faulty);
        }
    }

    /// Is a slot free? A build that is being recorded takes none, as long as the disk keeps up.
    fn slot_is_free(&self) -> bool {
        let recording = self.recording.len();
        self.running.len() - recording < self.threads && recording <= self.threads
    }

    /// Fills the free slots.
    fn start_builds(&mut self) {
        while self.over.is_none() && self.slot_is_free() && !is_held(&self.ci.home.queue()) {
            let Some(id) = self.backlog.take() else { return };
            self.last_mail = LastMail::NotYet;
            let started = self.start(id);
            self.or_fault(started);
        }
    }

    /// Looks at an entry and starts its build, if it is one and may run.
    fn start(&mut self, id: EntryId) -> Result<(), Fault> {
        const QUEUE: &str = "the queue cannot be worked on";
        let ci = Arc::clone(&self.ci);
        let look = match ci.drain.read(&id) {
            Ok(look) => look,
            Err(error) => {
                // It stays; the others go on.
                let fault = Fault { stage: "an entry in queue/ cannot be opened", error };
                self.troubles.tell(&fault, &ci.drain, &ci.outbox);
                self.set_aside.insert(id);
                return Ok(());
            }
        };
        let request = match look {
            EntryState::Request(request, _) => request,
            EntryState::Missing => return Ok(()),
            EntryState::NotAFile => {
                self.set_aside.insert(id);
                return Ok(());
            }
            EntryState::BeingWritten => {
                self.being_written.push(id);
                return Ok(());
            }
            EntryState::Invalid(why) => return ci.reject(&id, &why).map_err(Fault::at(QUEUE)),
        };
        if self.running.contains_key(&id) {
            // Of the same name as one that runs: looked at again when that is over.
            self.set_aside.insert(id);
            return Ok(());
        }
        if Record::of(&ci.home, &id).is_final() {
            return ci
                .reject(&id, "a build of this name is finished: give it another name")
                .map_err(Fault::at(QUEUE));
        }
        let lane = request.lane();
        if !self.backlog.may_start(&id, &lane) {
            self.backlog.pass(id, &lane);
            return Ok(());
        }
        if !ci.drain.claim(&id).map_err(Fault::at(QUEUE))? {
            self.set_aside.insert(id);
            return Ok(());
        }
        // What counts is what was claimed: it may have been written again since we looked.
        let entry = match ci.drain.read_claimed(&id) {
            Ok(EntryState::Request(request, bytes)) if request.lane() == lane => {
                Claimed { id: id.clone(), request, bytes }
            }
            _ => {
                ci.drain.put_back(&id).map_err(Fault::at(QUEUE))?;
                self.being_written.push(id);
                return Ok(());
            }
        };
        announce::submission(&entry);
        self.spawn(entry, lane)
    }

    fn spawn(&mut self, entry: Claimed, lane: Lane) -> Result<(), Fault> {
        let (ci, tell, id) = (Arc::clone(&self.ci), self.tell.clone(), entry.id.clone());
        let thread =
            thread::Builder::new().name(format!("build {id}")).stack_size(256 << 10).spawn(move || {
                let ran = || _ = tell.send(Event::Ran(entry.id.clone()));
                let done = catch_unwind(AssertUnwindSafe(|| one_build::run(&ci, &entry, &ran)))
                    .unwrap_or_else(|_| {
                        Done::Fault(Fault {
                            stage: "a build met a mistake in amp_ci",
                            error: io::Error::other("see stderr"),
                        })
                    });
                let _ = tell.send(Event::Finished(entry.id, done));
            });
        if let Err(error) = thread {
            self.ci.drain.put_back(&id).map_err(Fault::at("the queue cannot be worked on"))?;
            return Err(Fault { stage: "no thread can be started", error });
        }
        self.backlog.occupy(lane.clone());
        self.running.insert(id, lane);
        Ok(())
    }
}
