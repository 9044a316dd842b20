//! The drain: does what the scheduler decides, and reports what comes of it, until nothing waits or runs.

use std::{
    collections::{HashMap, VecDeque},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use jiff::Timestamp;

use super::{
    after::After,
    announce, attempt,
    attempt_end::AttemptEnd,
    builder::Builder,
    catch_up::CatchUp,
    fault::Fault,
    fault_log::FaultLog,
    heartbeat::Heartbeat,
    left_over, machine,
    outbox::{delivery::Delivery, postman::Postman},
    process::bell::Bell,
    recovery,
    scheduler::{Action, DrainExit, Event, Past, Scheduler, Terms},
    version::Version,
    watch::{self, Change},
    withdrawal,
};
use crate::{
    directory, durable,
    error_chain::in_full,
    forge::reporter::{Notice, Pauses, Tell},
    queue::{Claimed, EntryId, EntryState, Lane, Listing, Retry, control::is_held, reading},
    records::{LeftOver, Requested, retention},
};

const UNREADABLE: &str = "the queue cannot be read";

const UNWORKABLE: &str = "the queue cannot be worked on";

/// How often it is looked whether what a build left has ended.
const LOOKS_AGAIN: Duration = Duration::from_secs(60);

/// How it is drained.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Builds at a time.
    pub threads: usize,
    /// Is more waited for when nothing is left?
    pub stays: bool,
}

/// Drains the queue. An error is that nothing could be begun.
pub fn run(
    builder: &Arc<Builder>,
    faults: &mut FaultLog,
    delivery: Delivery,
    Pace { threads, stays }: Pace,
    (tell, told): (Sender<Event>, Receiver<Event>),
) -> io::Result<DrainExit> {
    let postman = Postman::start(delivery)?;
    builder.statuses.start(Pauses::default(), tell_by_letter(builder, &postman))?;
    let catch_up = CatchUp::start(builder)?;
    let after = After::start(builder)?;
    let watched = watch(builder, tell.clone()).is_ok();
    let newest_only = builder.settings.newest_only;
    let history = newest_only.then(|| Requested::read(&builder.home));
    let heartbeat = Heartbeat::start(builder, threads, stays);
    let version = Version::now(&builder.home);
    let cancels = HashMap::new();
    let mut drain = Drain {
        builder: Arc::clone(builder),
        faults,
        postman,
        catch_up,
        after,
        tell,
        heartbeat,
        cancels,
        history,
        sweeper: None,
    };
    let mut scheduler = Scheduler::new(Terms { threads, stays, newest_only, watched });
    let start = Instant::now();
    let mut actions = VecDeque::from(scheduler.on(start.elapsed(), [Event::Begun]));
    loop {
        while let Some(action) = actions.pop_front() {
            if let Action::Exit(exit) = action {
                return Ok(drain.end(exit));
            }
            if let Some(event) = drain.perform(action) {
                actions.extend(scheduler.on(start.elapsed(), [event]));
            }
        }
        if stays && drain.heartbeat.pause().is_zero() {
            // Letters whose pauses are over.
            drain.postman.pass();
        }
        if stays && !version.is_current() {
            actions.extend(scheduler.on(start.elapsed(), [Event::Outdated]));
            if !actions.is_empty() {
                continue;
            }
        }
        drain.heartbeat.beat(drain.faults.standing());
        let wakes_in = scheduler.wakes_at().map(|at| at.saturating_sub(start.elapsed()));
        let pause = drain.heartbeat.pause();
        let first = told.recv_timeout(wakes_in.map_or(pause, |wakes_in| wakes_in.min(pause)));
        actions.extend(scheduler.on(start.elapsed(), first.into_iter().chain(told.try_iter())));
    }
}

/// What a person has to know of the forge.
fn tell_by_letter(builder: &Builder, postman: &Postman) -> Tell {
    let (letterhead, outbox) = (builder.letterhead.clone(), builder.outbox.clone());
    let postman = postman.clone();
    Box::new(move |notice| {
        let now = SystemTime::now();
        outbox.put(&match notice {
            Notice::TokenRefused { why } => letterhead.token_refused(why, now),
            Notice::GivenUp { id, status, why } => {
                letterhead.report_refused(id, status.repository.as_str(), status.commit_id.as_str(), why, now)
            }
        })?;
        postman.pass();
        Ok(())
    })
}

/// Makes events of what changes in the queue.
fn watch(builder: &Builder, tell: Sender<Event>) -> io::Result<()> {
    let queue = builder.home.queue();
    watch::start(&queue.clone(), move |change| {
        let event = match change {
            Change::Arrived(id) => Event::Arrived(id),
            Change::Hold => Event::Held(is_held(&queue)),
            Change::Cancelled(id) => Event::Cancelled(id),
            Change::Resumed(id) => Event::Resumed(id),
            Change::Unclear => Event::Unclear,
            Change::Lost => Event::WatchLost,
        };
        tell.send(event).is_ok()
    })
}

struct Drain<'a> {
    builder: Arc<Builder>,
    faults: &'a mut FaultLog,
    postman: Postman,
    catch_up: CatchUp,
    after: After,
    tell: Sender<Event>,
    heartbeat: Heartbeat,
    /// What ends each build that runs.
    cancels: HashMap<EntryId, Arc<Bell>>,
    /// What was built before, where the newest push wins.
    history: Option<Requested>,
    /// Removes old records.
    sweeper: Option<JoinHandle<()>>,
}

impl Drain<'_> {
    /// Does it, and says what came of it.
    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Recover => {
                self.faults.begin_again();
                let event = self.recover().unwrap_or_else(Event::Failed);
                // Not before what an earlier run of it left is ended.
                if !matches!(event, Event::Failed(_)) {
                    self.after.pass();
                }
                Some(event)
            }
            Action::List => Some(self.list().unwrap_or_else(Event::Failed)),
            Action::Look(id) => Some(self.look(id)),
            Action::Reject(id, why) => {
                let rejected = self.builder.reject(&id, &why).map(|()| Event::Rejected);
                Some(rejected.unwrap_or_else(|error| self.stuck(id, error)))
            }
            Action::Claim(id, lane) => {
                let claim = || self.claim(&id, &lane).unwrap_or_else(|error| self.stuck(id.clone(), error));
                Some(machine::ready(&self.builder).map_or_else(Event::Failed, |()| claim()))
            }
            Action::Start(entry) => self.start(*entry),
            Action::Withdraw(id, why) => {
                let withdrawn = withdrawal::withdraw(&self.builder, &id, &why);
                Some(match withdrawn {
                    Ok(true) => Event::Withdrawn,
                    Ok(false) => Event::Wanted(id),
                    Err(error) => self.stuck(id, error),
                })
            }
            Action::PutBack(entry) => {
                let put_back = self.builder.put_back(&entry).map_err(Fault::at(UNWORKABLE));
                put_back.err().map(Event::Failed)
            }
            Action::Cancel(id) => {
                if let Some(cancel) = self.cancels.get(&id) {
                    tracing::info!("{id} is ended: somebody cancels it");
                    cancel.ring();
                }
                None
            }
            Action::Tell(fault) => {
                self.faults.tell(&fault, &self.builder.lock);
                None
            }
            Action::EndBuilds(signal) => {
                tracing::info!("signal {signal}: the builds that run are ended and put back");
                self.builder.supervisor.stop();
                None
            }
            Action::EndOrphans => {
                left_over::end_orphans(&self.builder);
                None
            }
            Action::Sweep => {
                self.sweep();
                None
            }
            Action::Idle => {
                self.meet_what_stands();
                if !self.is_held() {
                    self.faults.forget_what_is_over(&self.builder.lock);
                }
                self.faults.begin_again();
                None
            }
            Action::SendMail => {
                // Most builds put nothing into it, and then nobody is woken.
                let outbox = self.builder.home.outbox();
                if !directory::entries(&outbox).is_ok_and(|mut entries| entries.next().is_none()) {
                    self.after.pass();
                    self.postman.pass();
                }
                None
            }
            Action::SendMailAndTell(round) => {
                self.meet_what_stands();
                self.postman.pass();
                let (builder, postman, tell) =
                    (Arc::clone(&self.builder), self.postman.clone(), self.tell.clone());
                // One after the other, since what the forge says may be a letter.
                let statuses_and_mail = move || {
                    builder.statuses.pass_then(move || {
                        postman.pass_then(move || _ = tell.send(Event::MailSent(round)));
                    });
                };
                let catch_up = self.catch_up.when_idle();
                self.after.pass_then(move || catch_up(Box::new(statuses_and_mail)));
                None
            }
            Action::Exit(_) => None,
        }
    }

    /// What an earlier run left, and what waits.
    fn recover(&mut self) -> Result<Event, Fault> {
        let home = &self.builder.home;
        let listing = reading::list(&home.queue()).map_err(Fault::at(UNREADABLE))?;
        let tell = &mut |fault: &Fault| self.faults.tell(fault, &self.builder.lock);
        left_over::recall(&self.builder);
        let recovered = recovery::recover(&self.builder, &listing, tell)?;
        left_over::end_orphans(&self.builder);
        for id in listing.paused.iter().filter(|id| !listing.has(id)) {
            // Somebody has removed the entry.
            let _ = Retry::clear(&home.queue(), id);
        }
        durable::sweep(&home.queue());
        durable::sweep(&home.outbox());
        if recovered {
            // They wait again, and go first.
            return self.list();
        }
        Ok(Event::Listed { listing, held: self.is_held() })
    }

    /// What stands though nothing meets it: that it is met no more does not mean that it is over.
    fn meet_what_stands(&mut self) {
        let lock = &self.builder.lock;
        let listing = reading::list(&self.builder.home.queue()).unwrap_or_default();
        let paused = listing.paused.iter().filter(|id| listing.is_waiting(id));
        let standing: Vec<Fault> = paused.filter_map(|id| self.past(id).standing).collect();
        for fault in standing {
            self.faults.tell(&fault, lock);
        }
        let left = left_over::now(&self.builder);
        if !left.is_empty() {
            self.faults.tell_of_left_over(&left.lines(), lock);
        }
    }

    fn list(&self) -> Result<Event, Fault> {
        let mut listing = reading::list(&self.builder.home.queue()).map_err(Fault::at(UNREADABLE))?;
        let Listing { claimed, cancelled, .. } = &mut listing;
        // What is claimed and does not run is left to the next build: to ask again and again would lead nowhere.
        cancelled.retain(|id| claimed.binary_search(id).is_err() || self.runs(id));
        Ok(Event::Listed { listing, held: self.is_held() })
    }

    fn runs(&self, id: &EntryId) -> bool {
        self.cancels.get(id).is_some_and(|cancel| Arc::strong_count(cancel) > 1)
    }

    fn is_held(&self) -> bool {
        is_held(&self.builder.home.queue())
    }

    fn look(&self, id: EntryId) -> Event {
        let state = self.builder.lock.read(&id);
        let is_recorded = match (&self.history, &state) {
            (Some(history), Ok(EntryState::Request(request, _))) => history.has_before(&id, request),
            _ => false,
        };
        let past = Past { is_recorded, ..self.past(&id) };
        Event::Looked { state, past, held: self.is_held(), id }
    }

    fn past(&self, id: &EntryId) -> Past {
        let (record, now) = (self.builder.record(id), Timestamp::now());
        let retry = Retry::of(&self.builder.home.queue(), id);
        let standing = retry.as_ref().filter(|retry| retry.is_standing()).map(|retry| Fault {
            stage: "a build is put back again and again",
            error: io::Error::other(format!("build-{id}, {} times: {}", retry.count, retry.why)),
        });
        let died = retry.as_ref().is_some_and(|retry| retry.tries > 0);
        let pause = retry.map(|retry| retry.pause(now)).unwrap_or_default();
        // It must not run beside itself.
        let lives_on = LeftOver::of(&self.builder.home).is_of(id);
        Past {
            is_final: record.is_final(),
            pause: if lives_on { pause.max(LOOKS_AGAIN) } else { pause },
            standing,
            is_recorded: false,
            is_suspect: died || record.running().is_some_and(|running| running.died),
        }
    }

    fn claim(&self, id: &EntryId, lane: &Lane) -> io::Result<Event> {
        let (lock, id) = (&self.builder.lock, id.clone());
        if !lock.claim(&id)? {
            let claimed = lock.path_of_claimed(&id);
            if claimed.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
                // No build of that name runs whose end could be waited for.
                return Err(io::Error::other(format!("{} is in its way", claimed.display())));
            }
            return Ok(Event::NotClaimed(id));
        }
        // What counts is what was claimed: it may have been written again since we looked.
        if let Ok(EntryState::Request(request, bytes)) = lock.read_claimed(&id)
            && request.lane() == *lane
        {
            return Ok(Event::Claimed(Box::new(Claimed { id, request, bytes })));
        }
        lock.put_back(&id)?;
        Ok(Event::Rewritten(id))
    }

    /// An entry does not let itself be moved: whose fault is that?
    fn stuck(&self, id: EntryId, error: io::Error) -> Event {
        let fault = Fault { stage: UNWORKABLE, error };
        if !self.builder.lock.is_held() {
            return Event::Failed(fault);
        }
        machine::fault(&self.builder).map_or(Event::Stuck(id, fault), Event::Failed)
    }

    /// On a thread of its own: to remove a thousand records takes a second, in which builds can start.
    fn sweep(&mut self) {
        self.end_sweep();
        let builder = Arc::clone(&self.builder);
        let sweep = move || {
            let swept = retention::sweep(&builder.home, builder.settings.keep);
            for error in swept.unwrap_or_else(|error| vec![error]) {
                tracing::warn!("an old record stays: {}", in_full(&error));
            }
        };
        // Without one it is done the next time.
        self.sweeper = thread::Builder::new().name("sweep".to_string()).spawn(sweep).ok();
    }

    fn end_sweep(&mut self) {
        if let Some(sweeper) = self.sweeper.take() {
            let _ = sweeper.join();
        }
    }

    /// Each build has a thread of its own.
    fn start(&mut self, entry: Claimed) -> Option<Event> {
        announce::submission(&entry);
        if let Some(history) = &mut self.history {
            history.note(&entry.id, &entry.request);
        }
        let cancel = match Bell::new() {
            Ok(cancel) => Arc::new(cancel),
            Err(error) => return Some(self.not_started(entry.id, error)),
        };
        // Those of builds that are over are ours alone.
        self.cancels.retain(|_, cancel| Arc::strong_count(cancel) > 1);
        self.cancels.insert(entry.id.clone(), Arc::clone(&cancel));
        let (builder, tell, id) = (Arc::clone(&self.builder), self.tell.clone(), entry.id.clone());
        let thread =
            thread::Builder::new().name(format!("build {id}")).stack_size(256 << 10).spawn(move || {
                let script_is_over = || _ = tell.send(Event::ScriptOver(entry.id.clone()));
                let end = catch_unwind(AssertUnwindSafe(|| {
                    attempt::run(&builder, &entry, &cancel, &script_is_over)
                }));
                let end = end.unwrap_or_else(|_| {
                    let error = io::Error::other("see stderr");
                    AttemptEnd::Fault(Fault { stage: "a build met a mistake in amp_ci", error })
                });
                let _ = tell.send(Event::Finished(entry.id, end));
            });
        thread.err().map(|error| self.not_started(id, error))
    }

    fn not_started(&self, id: EntryId, error: io::Error) -> Event {
        let put_back = self.builder.lock.put_back(&id).map_err(Fault::at(UNWORKABLE));
        let fault = put_back.err().unwrap_or(Fault { stage: "no build can be started", error });
        Event::NotStarted(id, fault)
    }

    /// What was wrong with the machine is over, if all was looked at and nothing was met.
    fn end(mut self, exit: DrainExit) -> DrainExit {
        self.end_sweep();
        self.catch_up.end();
        self.after.end();
        left_over::end_orphans(&self.builder);
        let met = self.faults.settle(&self.builder.lock, exit == DrainExit::Drained);
        self.heartbeat.end(self.faults.standing());
        if met && matches!(exit, DrainExit::Drained | DrainExit::Held) { DrainExit::Faulty } else { exit }
    }
}
