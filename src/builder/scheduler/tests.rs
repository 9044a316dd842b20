//! What the scheduler decides, as tables: what happens on the left, what is done on the right.

use super::{ending::REST, *};
use crate::queue::{BuildRequest, Listing};

fn id(text: &str) -> EntryId {
    EntryId::parse(text).expect("an id")
}

fn request(repository: &str) -> BuildRequest {
    let json = format!(
        r#"{{"repository":"{repository}","ref":"refs/heads/main","commit_id":"{}"}}"#,
        "a".repeat(40)
    );
    serde_json::from_str(&json).expect("a request")
}

fn listed(names: &[&str]) -> Event {
    let waiting = names.iter().map(|name| id(name)).collect();
    Event::Listed { listing: Listing { waiting, ..Listing::default() }, held: false }
}

fn looked(name: &str, state: EntryState) -> Event {
    Event::Looked { id: id(name), state: Ok(state), past: Past::default(), held: false }
}

/// Each asks for a commit of its own.
fn request_of(name: &str, repository: &str) -> BuildRequest {
    let commit = format!("{:0>40}", name.replace('.', ""));
    BuildRequest { commit_id: serde_json::from_value(commit.into()).unwrap(), ..request(repository) }
}

/// It asks to build something in this repository.
fn is_for(name: &str, repository: &str) -> Event {
    looked(name, EntryState::Request(request_of(name, repository), Vec::new()))
}

fn claimed(name: &str, repository: &str) -> Event {
    Event::Claimed(Box::new(Claimed {
        id: id(name),
        request: request_of(name, repository),
        bytes: Vec::new(),
    }))
}

fn finished(name: &str) -> Event {
    Event::Finished(id(name), AttemptEnd::Recorded)
}

fn fault() -> Fault {
    Fault { stage: "a test", error: io::ErrorKind::StorageFull.into() }
}

fn shown(action: &Action) -> String {
    match action {
        Action::Look(id) => format!("look {id}"),
        Action::Reject(id, why) => format!("reject {id}: {why}"),
        Action::Claim(id, _) => format!("claim {id}"),
        Action::Start(entry) => format!("start {}", entry.id),
        Action::Tell(fault) => format!("tell {}", fault.stage),
        action => format!("{action:?}"),
    }
}

fn terms(threads: usize) -> Terms {
    Terms { threads, stays: false, newest_only: false, watched: true }
}

/// A scheduler and its clock.
struct Table(Scheduler, Duration);

impl Table {
    fn new(threads: usize) -> Self {
        let mut table = Self(Scheduler::new(terms(threads)), Duration::ZERO);
        table.row([Event::Begun], &["Recover"]);
        table
    }

    fn row(&mut self, events: impl IntoIterator<Item = Event>, expected: &[&str]) {
        let actions: Vec<String> = self.0.on(self.1, events).iter().map(shown).collect();
        assert_eq!(actions, expected);
    }

    /// One build is looked at, claimed and started; then this follows.
    fn starts(&mut self, name: &str, repository: &str, then: &[&str]) {
        self.row([is_for(name, repository)], &[&format!("claim {name}")]);
        let start = format!("start {name}");
        let actions: Vec<&str> = std::iter::once(&*start).chain(then.iter().copied()).collect();
        self.row([claimed(name, repository)], &actions);
    }

    /// Nothing is left to do.
    fn ends(&mut self, rounds: usize, exit: &str) {
        self.row([Event::MailSent(rounds)], &["List"]);
        self.row([listed(&[])], &[exit]);
    }
}

#[test]
fn with_nothing_to_do_the_mail_goes_out_and_the_queue_is_looked_at_once_more() {
    let mut table = Table::new(1);
    table.row([listed(&[])], &["SendMailAndTell(1)"]);
    table.ends(1, "Exit(Drained)");
}

#[test]
fn builds_of_one_lane_run_one_after_the_other_and_others_beside_them() {
    let mut table = Table::new(2);
    table.row([listed(&["1.0", "2.0", "3.0"])], &["look 1.0"]);
    table.starts("1.0", "a", &["look 2.0"]);
    table.row([is_for("2.0", "a")], &["look 3.0"]);
    table.starts("3.0", "b", &[]);
    table.row([finished("3.0")], &["SendMail"]);
    table.row([finished("1.0")], &["SendMail", "EndOrphans", "look 2.0"]);
    table.starts("2.0", "a", &[]);
    table.row([finished("2.0")], &["SendMail", "EndOrphans", "Sweep", "SendMailAndTell(1)"]);
    table.ends(1, "Exit(Drained)");
}

#[test]
fn of_those_that_arrive_together_the_oldest_is_first() {
    let mut table = Table::new(1);
    table.row([listed(&[])], &["SendMailAndTell(1)"]);
    table.row([Event::Arrived(id("2.0")), Event::Arrived(id("1.0"))], &["look 1.0"]);
}

#[test]
fn a_build_that_is_being_recorded_leaves_its_slot_but_not_its_lane() {
    let mut table = Table::new(1);
    table.row([listed(&["1.0", "2.0", "3.0"])], &["look 1.0"]);
    table.starts("1.0", "a", &[]);
    table.row([Event::ScriptOver(id("1.0"))], &["look 2.0"]);
    table.row([is_for("2.0", "a")], &["look 3.0"]);
    table.starts("3.0", "b", &[]);
    table.row([finished("1.0")], &["SendMail"]);
    table.row([Event::ScriptOver(id("3.0"))], &["look 2.0"]);
}

#[test]
fn what_is_no_request_is_rejected_set_aside_or_looked_at_again() {
    for (state, expected) in [
        (EntryState::Invalid("why".to_string()), "reject 1.0: why"),
        (EntryState::Missing, "look 2.0"),
        (EntryState::NotAFile, "look 2.0"),
        (EntryState::BeingWritten, "look 2.0"),
    ] {
        let mut table = Table::new(1);
        table.row([listed(&["1.0", "2.0"])], &["look 1.0"]);
        table.row([looked("1.0", state)], &[expected]);
    }
}

#[test]
fn what_may_still_be_being_written_is_looked_at_again_after_a_second() {
    let mut table = Table::new(1);
    table.row([listed(&["1.0"])], &["look 1.0"]);
    table.row([looked("1.0", EntryState::BeingWritten)], &[]);
    assert_eq!(table.0.wakes_at(), Some(LOOK));
    table.1 = LOOK;
    table.row([], &["List"]);
    table.row([listed(&["1.0"])], &["look 1.0"]);
    table.row([looked("1.0", EntryState::Invalid("cut off".to_string()))], &["reject 1.0: cut off"]);
    table.row([Event::Rejected], &["SendMailAndTell(1)"]);
    table.ends(1, "Exit(Drained)");
}

#[test]
fn without_the_kernel_s_help_we_look_each_second() {
    let mut table = Table::new(1);
    table.row([listed(&["1.0"])], &["look 1.0"]);
    table.starts("1.0", "a", &[]);
    table.row([Event::WatchLost], &[]);
    table.1 = LOOK;
    table.row([], &["List"]);
    table.row([listed(&["2.0"])], &[]);
    assert_eq!(table.0.wakes_at(), Some(LOOK * 2));
}

#[test]
fn an_entry_of_the_id_of_a_running_build_waits_for_its_end_and_is_refused_then() {
    let mut table = Table::new(2);
    table.row([listed(&["1.0"])], &["look 1.0"]);
    table.starts("1.0", "a", &[]);
    table.row([Event::Arrived(id("1.0"))], &["look 1.0"]);
    table.row([is_for("1.0", "b")], &[]);
    table.row([finished("1.0")], &["SendMail", "EndOrphans", "look 1.0"]);
    let again = Event::Looked {
        id: id("1.0"),
        state: Ok(EntryState::Request(request("b"), Vec::new())),
        past: Past { is_final: true, ..Past::default() },
        held: false,
    };
    table.row([again], &["reject 1.0: a build of this name is finished: give it another name"]);
}

#[test]
fn an_entry_that_slips_away_before_it_is_claimed_does_no_harm() {
    let mut table = Table::new(1);
    table.row([listed(&["1.0", "2.0"])], &["look 1.0"]);
    table.row([is_for("1.0", "a")], &["claim 1.0"]);
    table.row([Event::NotClaimed(id("1.0"))], &["look 2.0"]);
    table.row([is_for("2.0", "a")], &["claim 2.0"]);
    table.row([Event::Rewritten(id("2.0"))], &[]);
    assert_eq!(table.0.wakes_at(), Some(LOOK));
}

#[test]
fn on_hold_nothing_starts_and_when_it_ends_the_oldest_does() {
    let mut table = Table::new(1);
    table.row([Event::Held(true), listed(&["1.0"])], &["look 1.0"]);
    // It was made between the listing and the look.
    let held = Event::Looked {
        id: id("1.0"),
        state: Ok(EntryState::Request(request("a"), Vec::new())),
        past: Past::default(),
        held: true,
    };
    table.row([held], &["SendMailAndTell(1)"]);
    table.row([Event::MailSent(1)], &["List"]);
    let still_held = Event::Listed { listing: Listing::default(), held: true };
    table.row([still_held], &["Exit(Held)"]);
    table.row([Event::Held(false)], &["look 1.0"]);
}

#[test]
fn after_a_fault_what_runs_goes_on_and_nothing_else_starts() {
    let mut table = Table::new(2);
    table.row([listed(&["1.0", "2.0"])], &["look 1.0"]);
    table.starts("1.0", "a", &["look 2.0"]);
    table.row([Event::Failed(fault())], &["tell a test"]);
    table.row([finished("1.0")], &["SendMail", "EndOrphans", "Sweep", "SendMailAndTell(1)"]);
    table.row([Event::MailSent(1)], &["Exit(Faulty)"]);
}

#[test]
fn an_entry_that_cannot_be_opened_is_told_of_and_keeps_no_other_from_being_built() {
    let mut table = Table::new(1);
    table.row([listed(&["1.0", "2.0"])], &["look 1.0"]);
    let unreadable = Event::Looked {
        id: id("1.0"),
        state: Err(io::ErrorKind::PermissionDenied.into()),
        past: Past::default(),
        held: false,
    };
    table.row([unreadable], &["tell an entry in queue/ cannot be opened", "look 2.0"]);
}

#[test]
fn a_build_that_could_not_be_started_frees_its_lane() {
    let mut table = Table::new(1);
    table.row([listed(&["1.0"])], &["look 1.0"]);
    table.starts("1.0", "a", &[]);
    table.row([Event::NotStarted(id("1.0"), fault())], &["tell a test", "SendMailAndTell(1)"]);
    table.row([Event::MailSent(1)], &["Exit(Faulty)"]);
}

#[test]
fn the_engine_s_failure_ends_the_drain_after_what_runs() {
    let mut table = Table::new(1);
    table.row([listed(&["1.0", "2.0"])], &["look 1.0"]);
    table.starts("1.0", "a", &[]);
    let end = Event::Finished(id("1.0"), AttemptEnd::NoVerdict);
    table.row([end], &["SendMail", "EndOrphans", "Sweep", "SendMailAndTell(1)"]);
    table.row([Event::MailSent(1)], &["Exit(Faulty)"]);
}

#[test]
fn on_a_signal_builds_are_ended_and_nothing_is_waited_for_but_them() {
    let mut table = Table::new(1);
    table.row([listed(&["1.0", "2.0"])], &["look 1.0"]);
    table.starts("1.0", "a", &[]);
    table.row([Event::Signal(15)], &["EndBuilds(15)"]);
    let end = Event::Finished(id("1.0"), AttemptEnd::PutBack);
    table.row([end], &["SendMail", "EndOrphans", "Exit(Signalled(15))"]);
}

#[test]
fn a_letter_that_is_written_after_the_last_round_of_mail_makes_another_necessary() {
    let mut table = Table::new(1);
    table.row([listed(&[])], &["SendMailAndTell(1)"]);
    table.row([Event::Arrived(id("1.0"))], &["look 1.0"]);
    table.row([looked("1.0", EntryState::Invalid("why".to_string()))], &["reject 1.0: why"]);
    table.row([Event::MailSent(1), Event::Rejected], &["SendMailAndTell(2)"]);
    table.ends(2, "Exit(Drained)");
}

#[test]
fn an_entry_that_pauses_keeps_its_lane_waiting_and_nobody_else() {
    let mut table = Table::new(1);
    table.row([listed(&["1.0", "2.0", "3.0"])], &["look 1.0"]);
    let pauses = |name: &str| Event::Looked {
        id: id(name),
        state: Ok(EntryState::Request(request("a"), Vec::new())),
        past: Past { pause: Duration::from_secs(60), standing: Some(fault()), ..Past::default() },
        held: false,
    };
    table.row([pauses("1.0")], &["tell a test", "look 2.0"]);
    // Of the same lane: behind it.
    table.row([is_for("2.0", "a")], &["look 3.0"]);
    table.starts("3.0", "b", &[]);
    table.row([finished("3.0")], &["SendMail", "EndOrphans", "Sweep", "SendMailAndTell(1)"]);
    assert_eq!(table.0.wakes_at(), Some(Duration::from_secs(60)));
    // While others keep us here it goes on when its time has come.
    table.1 = Duration::from_secs(60);
    table.row([], &["look 1.0"]);
    table.starts("1.0", "a", &[]);
    table.row([finished("1.0")], &["SendMail", "EndOrphans", "look 2.0"]);
    table.row([pauses("2.0")], &["tell a test", "Sweep", "SendMailAndTell(2)"]);
    // Nothing to stay for.
    table.row([Event::MailSent(2)], &["List"]);
    table.row([listed(&["2.0"])], &["look 2.0"]);
    table.row([pauses("2.0")], &["Exit(Drained)"]);
}

#[test]
fn an_entry_that_is_put_back_goes_before_the_next_of_its_lane_though_the_kernel_has_not_told_of_it() {
    let mut table = Table::new(1);
    table.row([listed(&["1.0", "2.0"])], &["look 1.0"]);
    table.starts("1.0", "a", &[]);
    let later = Event::Finished(id("1.0"), AttemptEnd::Later);
    table.row([later], &["SendMail", "EndOrphans", "look 1.0"]);
}

#[test]
fn a_pause_that_somebody_has_ended_keeps_no_lane_waiting_though_the_kernel_has_not_told_of_it() {
    for now in [is_for("1.0", "a"), is_for("1.0", "b")] {
        let mut table = Table::new(1);
        table.row([listed(&["1.0", "2.0"])], &["look 1.0"]);
        let pauses = Event::Looked {
            id: id("1.0"),
            state: Ok(EntryState::Request(request("a"), Vec::new())),
            past: Past { pause: Duration::from_secs(60), ..Past::default() },
            held: false,
        };
        table.row([pauses], &["look 2.0"]);
        table.row([is_for("2.0", "a")], &["SendMailAndTell(1)"]);
        table.row([Event::MailSent(1)], &["List"]);
        table.row([listed(&["1.0", "2.0"])], &["look 1.0"]);
        table.row([now], &["claim 1.0"]);
    }
}

#[test]
fn those_under_which_build_has_died_are_tried_one_at_a_time() {
    let mut table = Table::new(4);
    table.row([listed(&["1.0", "2.0", "3.0"])], &["look 1.0"]);
    let died = |name: &str, repository: &str| Event::Looked {
        id: id(name),
        state: Ok(EntryState::Request(request(repository), Vec::new())),
        past: Past { is_suspect: true, ..Past::default() },
        held: false,
    };
    table.row([died("1.0", "a")], &["claim 1.0"]);
    table.row([claimed("1.0", "a")], &["start 1.0", "look 2.0"]);
    table.row([died("2.0", "b")], &["look 3.0"]);
    table.starts("3.0", "c", &[]);
    table.row([finished("3.0")], &["SendMail"]);
    table.row([finished("1.0")], &["SendMail", "EndOrphans", "look 2.0"]);
    table.row([died("2.0", "b")], &["claim 2.0"]);
}

#[test]
fn what_is_cancelled_is_recorded_though_the_queue_is_held_and_ended_if_it_runs() {
    let mut table = Table::new(1);
    table.row([listed(&["1.0", "2.0"])], &["look 1.0"]);
    table.starts("1.0", "a", &[]);
    table.row([Event::Held(true)], &[]);
    table.row([Event::Cancelled(id("2.0"))], &["Withdraw(EntryId(\"2.0\"), Cancelled)"]);
    table.row([Event::Cancelled(id("1.0"))], &[]);
    table.row([Event::Withdrawn], &["Cancel(EntryId(\"1.0\"))"]);
    table.row([Event::Cancelled(id("1.0"))], &[]);
    // It was put back before it saw that: it waits, and is not wanted.
    table.row(
        [Event::Finished(id("1.0"), AttemptEnd::Later)],
        &["SendMail", "EndOrphans", "Withdraw(EntryId(\"1.0\"), Cancelled)"],
    );
}

#[test]
fn one_that_stays_tries_again_what_the_machine_did_not_let_it_do_and_ends_when_it_is_outdated() {
    let mut table = Table(Scheduler::new(Terms { stays: true, ..terms(1) }), Duration::ZERO);
    table.row([Event::Begun], &["Recover"]);
    table.row([Event::Failed(fault())], &["tell a test", "SendMailAndTell(1)"]);
    table.row([Event::MailSent(1)], &[]);
    assert_eq!(table.0.wakes_at(), Some(REST));
    table.row([], &[]);
    table.1 = REST;
    table.row([], &["Recover"]);
    table.row([listed(&["1.0"])], &["look 1.0"]);
    table.starts("1.0", "a", &[]);
    table.row([finished("1.0")], &["SendMail", "EndOrphans", "Sweep", "SendMailAndTell(2)"]);
    table.row([Event::MailSent(2)], &["List"]);
    table.row([listed(&[])], &["Idle"]);
    table.row([Event::Held(false)], &[]);
    table.row([Event::Arrived(id("2.0"))], &["look 2.0"]);
    table.starts("2.0", "a", &[]);
    table.row([Event::Outdated], &[]);
    table.row([finished("2.0")], &["SendMail", "EndOrphans", "Sweep", "SendMailAndTell(3)"]);
    table.row([Event::MailSent(3)], &["List"]);
    table.row([listed(&[])], &["Exit(Drained)"]);
}

/// It asks for this commit.
fn asks_for(name: &str, commit: char) -> Event {
    let mut request = request("a");
    request.commit_id = serde_json::from_value(commit.to_string().repeat(40).into()).unwrap();
    looked(name, EntryState::Request(request, Vec::new()))
}

fn claimed_of(name: &str, commit: char) -> Event {
    let Event::Looked { state: Ok(EntryState::Request(request, bytes)), .. } = asks_for(name, commit) else {
        unreachable!()
    };
    Event::Claimed(Box::new(Claimed { id: id(name), request, bytes }))
}

#[test]
fn a_push_that_came_twice_while_it_waited_is_built_once_and_later_ones_again() {
    let mut table = Table::new(1);
    table.row([listed(&["1.0", "2.0"])], &["look 1.0"]);
    table.row([asks_for("1.0", 'a')], &["claim 1.0"]);
    table.row([claimed_of("1.0", 'a')], &["start 1.0"]);
    // Somebody wants it again: it came when the first one ran.
    table.row([Event::Arrived(id("3.0"))], &[]);
    table.row([finished("1.0")], &["SendMail", "EndOrphans", "look 2.0"]);
    table.row([asks_for("2.0", 'a')], &["Withdraw(EntryId(\"2.0\"), Repeats(EntryId(\"1.0\")))"]);
    table.row([Event::Withdrawn], &["look 3.0"]);
    table.row([asks_for("3.0", 'a')], &["claim 3.0"]);
}

#[test]
fn the_newest_push_takes_the_place_of_the_oldest_and_is_started_when_those_are_on_record() {
    let mut table = Table(Scheduler::new(Terms { newest_only: true, ..terms(1) }), Duration::ZERO);
    table.row([Event::Begun], &["Recover"]);
    table.row([listed(&["1.0", "2.0", "3.0", "4.0"])], &["look 1.0"]);
    table.row([asks_for("1.0", 'a')], &["look 2.0"]);
    table.row([is_for("2.0", "b")], &["look 3.0"]);
    table.row([asks_for("3.0", 'c')], &["look 4.0"]);
    table.row([asks_for("4.0", 'd')], &["look 1.0"]);
    table.row([asks_for("1.0", 'a')], &["claim 4.0"]);
    table.row([claimed_of("4.0", 'd')], &["Withdraw(EntryId(\"1.0\"), Superseded(EntryId(\"4.0\")))"]);
    // Nobody wants it any more, in this very moment.
    table.row([Event::Cancelled(id("4.0"))], &[]);
    table.row([Event::Withdrawn], &["Withdraw(EntryId(\"3.0\"), Superseded(EntryId(\"4.0\")))"]);
    table.row([Event::Withdrawn], &["start 4.0", "Cancel(EntryId(\"4.0\"))"]);
    table.row([finished("4.0")], &["SendMail", "EndOrphans", "look 2.0"]);
}

#[test]
fn a_cancel_that_nothing_can_be_done_about_is_not_tried_at_each_look() {
    let cancelled = || Event::Listed {
        listing: Listing { cancelled: vec![id("1.0")], ..Listing::default() },
        held: false,
    };
    let mut table = Table::new(1);
    table.row([cancelled()], &["Withdraw(EntryId(\"1.0\"), Cancelled)"]);
    table.row([Event::Withdrawn], &["SendMailAndTell(1)"]);
    table.row([Event::MailSent(1)], &["List"]);
    table.row([cancelled()], &["Exit(Drained)"]);
}

#[test]
fn what_was_lost_while_somebody_cancels_is_looked_for_all_the_same() {
    let mut table = Table::new(1);
    table.row([listed(&[])], &["SendMailAndTell(1)"]);
    let both = [Event::Unclear, Event::Cancelled(id("1.0"))];
    table.row(both, &["Withdraw(EntryId(\"1.0\"), Cancelled)"]);
    table.row([Event::Withdrawn], &["List"]);
}

#[test]
fn a_signal_in_the_moment_in_which_a_rest_is_over_ends_it_all_the_same() {
    let mut table = Table(Scheduler::new(Terms { stays: true, ..terms(1) }), Duration::ZERO);
    table.row([Event::Begun], &["Recover"]);
    table.row([Event::Failed(fault())], &["tell a test", "SendMailAndTell(1)"]);
    table.row([Event::MailSent(1)], &[]);
    table.1 = REST;
    table.row([Event::Signal(15)], &["EndBuilds(15)", "Exit(Signalled(15))"]);
}
