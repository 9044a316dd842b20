//! What follows from each reply of a forge: on a socket of its own, with pauses that a test can wait for.

use std::{
    cell::RefCell,
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, SystemTime},
};

use amp_ci::{
    forge::{
        api::Api,
        reporter::{Notice, Pauses},
        statuses::Statuses,
    },
    home::Home,
    queue::{BuildRequest, EntryId},
    records::{BuildResult, Cause, Rc, Verdict},
};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    files::{names, temp_dir},
    forge::{Answer, Forge, Kind, TOKEN, no_description},
    need::or_skip,
    wait::wait_until,
};

const ALL: [Kind; 3] = [Kind::GitHub, Kind::Gitea, Kind::GitLab];

/// Nothing is tried a second time unless somebody touches it.
const LONG: Duration = Duration::from_secs(3600);

/// A home from which statuses are sent to a forge.
struct Desk {
    dir: TempDir,
    forge: Forge,
    statuses: RefCell<Statuses>,
    pauses: Pauses,
    notices: Arc<Mutex<Vec<String>>>,
}

impl Desk {
    fn at(kind: Kind) -> Self {
        let dir = temp_dir();
        for sub in ["queue", "scripts", "builds"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        let forge = Forge::start(kind);
        let statuses = RefCell::new(statuses(&dir, &forge.url()));
        let pauses = Pauses {
            patience: Duration::from_secs(60),
            apart: Duration::ZERO,
            first: LONG,
            longest: LONG,
            refused: LONG,
            tried_for: Duration::from_secs(5 * 24 * 3600),
        };
        let desk = Self { dir, forge, statuses, pauses, notices: Arc::default() };
        desk.token(TOKEN, 0o600);
        desk
    }

    fn token(&self, text: &str, mode: u32) {
        let (new, path) = (self.dir.path().join("new"), self.dir.path().join("forge-token"));
        fs::write(&new, format!("{text}\n")).unwrap();
        fs::set_permissions(&new, Permissions::from_mode(mode)).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn start(&self) {
        let notices = Arc::clone(&self.notices);
        let tell = move |notice: &Notice<'_>| {
            notices.lock().unwrap().push(format!("{notice:?}"));
            Ok(())
        };
        self.statuses.borrow().start(self.pauses.clone(), Box::new(tell)).unwrap();
    }

    /// A process of its own sends what is due, and nothing more.
    fn pass(&self) {
        self.start();
        self.send_due();
        self.statuses.replace(statuses(&self.dir, &self.forge.url()));
    }

    fn send_due(&self) {
        let (tell, told) = mpsc::channel();
        self.statuses.borrow().pass_then(move || _ = tell.send(()));
        told.recv().unwrap();
    }

    fn pending(&self, number: u32, commit: &str) {
        self.statuses.borrow().pending(&id(number), &request(commit)).unwrap();
    }

    fn finished(&self, number: u32, commit: &str, verdict: &Verdict) {
        let result = BuildResult::new(verdict, jiff::Timestamp::now(), 192.0, 1, "host".to_string());
        self.statuses.borrow().finished(&id(number), &request(commit), &result, true).unwrap();
    }

    fn succeeded(&self, number: u32, commit: &str) {
        self.finished(number, commit, &Verdict::Ran(Rc::new(0)));
    }

    fn file(&self, number: u32) -> PathBuf {
        self.dir.path().join(format!("outbox/{}.status.json", id(number)))
    }

    fn touch(&self, number: u32) {
        File::open(self.file(number)).unwrap().set_modified(SystemTime::now()).unwrap();
    }

    /// As if its build had come to this state then.
    fn make_old(&self, number: u32, since: SystemTime) {
        let path = self.file(number);
        let mut status: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        status["since"] = json!(jiff::Timestamp::try_from(since).unwrap().to_string());
        fs::write(path, status.to_string()).unwrap();
    }

    /// The builds whose statuses wait, and those whose statuses are given up.
    fn left(&self) -> (Vec<String>, Vec<String>) {
        let ids = |dir: &str| {
            let names = names(&self.dir.path().join(dir)).into_iter();
            names.filter_map(|name| Some(name.strip_suffix(".status.json")?.to_string())).collect()
        };
        (ids("outbox"), ids("outbox/failed"))
    }

    fn notices(&self) -> Vec<String> {
        self.notices.lock().unwrap().clone()
    }
}

fn statuses(dir: &TempDir, url: &str) -> Statuses {
    let api = Api::new(Some(url), "https://git.example.org/some/Org").unwrap();
    let home = Home::find(Some(dir.path())).unwrap();
    Statuses::new(&home, api, Some("https://ci.example.edu".to_string()))
}

fn id(number: u32) -> EntryId {
    EntryId::parse(&format!("1795346032.{number:09}")).unwrap()
}

fn commit(number: u32) -> String {
    format!("{number:040x}")
}

fn request(commit: &str) -> BuildRequest {
    serde_json::from_value(json!({ "repository": "amp_mgms", "ref": "refs/heads/main", "commit_id": commit }))
        .unwrap()
}

#[test]
fn each_forge_takes_what_it_is_sent_and_nothing_is_sent_twice() {
    or_skip("AMP_CI_REQUIRE_OPENAPI", no_description());
    for kind in ALL {
        let (desk, commit) = (Desk::at(kind), commit(7));
        desk.start();
        desk.pending(1, &commit);
        desk.send_due();
        desk.succeeded(1, &commit);
        desk.send_due();
        desk.send_due();
        let words = if kind == Kind::GitLab { ["running", "success"] } else { ["pending", "success"] };
        assert_eq!(desk.forge.statuses(&commit, "amp_ci"), words, "{kind:?}");
        assert_eq!(desk.forge.received().len(), 2);
        let last = &desk.forge.received()[1].body;
        assert_eq!(last["description"], "succeeded after 3m 12s");
        assert_eq!(last["target_url"], format!("https://ci.example.edu/builds/{}", id(1)));
        assert_eq!(desk.left(), (vec![], vec![]));
        assert_eq!(desk.notices(), [""; 0]);
    }
}

#[test]
fn of_what_is_unsent_only_the_newest_state_of_a_commit_is_sent() {
    let (desk, commit) = (Desk::at(Kind::GitHub), commit(7));
    desk.pending(1, &commit);
    desk.finished(1, &commit, &Verdict::Ran(Rc::new(3)));
    // The same commit again, and it has begun: what came out before is not how it is now.
    desk.pending(2, &commit);
    desk.pending(3, &self::commit(8));
    desk.pass();
    let received = desk.forge.received();
    let said: Vec<_> = received.iter().map(|request| (request.commit(), request.state())).collect();
    assert_eq!(said, [(commit.as_str(), "pending"), (self::commit(8).as_str(), "pending")]);
    assert_eq!(desk.left(), (vec![], vec![]));
}

#[test]
fn a_state_that_is_put_in_while_the_one_before_is_on_its_way_is_sent_after_it() {
    let (desk, commit) = (Desk::at(Kind::GitHub), commit(7));
    let (hold, late) = Answer::late();
    desk.forge.next(late);
    desk.pending(1, &commit);
    desk.start();
    wait_until("the forge has heard of it", || desk.forge.received().len() == 1);
    desk.succeeded(1, &commit);
    drop(hold);
    desk.send_due();
    assert_eq!(desk.forge.statuses(&commit, "amp_ci"), ["pending", "success"]);
    assert_eq!(desk.left(), (vec![], vec![]));
}

#[test]
fn what_will_never_be_taken_is_put_away_and_said_once_for_each_repository_and_reason() {
    for (code, because) in
        [(404, "404"), (422, "422"), (403, "403"), (410, "410"), (200, "200"), (303, "303")]
    {
        let desk = Desk::at(Kind::GitHub);
        // As GitHub sends it with every reply: no limit has been met.
        desk.forge.always(Some(Answer::code(code).header("x-ratelimit-remaining", "4999")));
        for number in 1..=3 {
            fs::create_dir(desk.dir.path().join("builds").join(id(number).as_str())).unwrap();
            desk.pending(number, &commit(number));
            desk.pass();
        }
        let all: Vec<String> = (1..=3).map(|number| id(number).to_string()).collect();
        assert_eq!(desk.left(), (vec![], all), "{code}");
        assert_eq!(desk.forge.received().len(), 3, "one request each");
        let notices = desk.notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(notices[0].contains(&format!("{because}: this is {code}")), "{notices:?}");
    }
}

#[test]
fn a_commit_with_a_thousand_statuses_gets_no_more() {
    let (desk, commit) = (Desk::at(Kind::GitHub), commit(7));
    desk.forge.fill(&commit, "amp_ci");
    desk.pending(1, &commit);
    desk.pass();
    assert_eq!(desk.left(), (vec![], vec![id(1).to_string()]));
}

#[test]
fn a_description_is_never_too_long_for_the_forge() {
    for kind in ALL {
        let (desk, commit) = (Desk::at(kind), commit(7));
        desk.finished(1, &commit, &Verdict::Error(Cause::Installation, "schön ".repeat(100)));
        desk.pass();
        assert_eq!(desk.forge.statuses(&commit, "amp_ci").len(), 1);
        assert!(desk.forge.received()[0].body["description"].as_str().unwrap().ends_with('…'));
    }
}

#[test]
fn an_error_of_the_forge_is_met_again_later() {
    for answer in [Answer::code(500), Answer::code(502), Answer::code(408), Answer::HangUp] {
        let (desk, commit) = (Desk::at(Kind::GitHub), commit(7));
        desk.forge.next(answer.clone());
        desk.pending(1, &commit);
        desk.pass();
        assert_eq!(desk.left(), (vec![id(1).to_string()], vec![]), "{answer:?}");
        // Not before its time; `touch` means now.
        desk.pass();
        assert_eq!(desk.forge.received().len(), 1, "{answer:?}");
        desk.touch(1);
        desk.pass();
        assert_eq!(desk.forge.statuses(&commit, "amp_ci"), ["pending"], "{answer:?}");
        assert_eq!(desk.left(), (vec![], vec![]));
    }
}

#[test]
fn a_forge_that_falls_silent_is_left() {
    let mut desk = Desk::at(Kind::GitHub);
    desk.pauses.patience = Duration::from_secs(1);
    desk.forge.always(Some(Answer::Silence));
    for number in 1..=5 {
        desk.pending(number, &commit(number));
    }
    desk.pass();
    assert_eq!(desk.forge.received().len(), 2, "two in a row are the forge's fault, and no more are tried");
    desk.pass();
    assert_eq!(desk.forge.received().len(), 2, "all wait, also for the next process");
    assert_eq!(desk.left().0.len(), 5);
}

#[test]
fn one_that_a_forge_cannot_digest_is_in_nobodys_way() {
    let desk = Desk::at(Kind::GitHub);
    desk.forge.next(Answer::code(500));
    for number in 1..=5 {
        desk.pending(number, &commit(number));
    }
    desk.pass();
    assert_eq!(desk.left().0, [id(1).to_string()]);
    assert_eq!(desk.forge.received().len(), 5);
}

#[test]
fn a_forge_that_is_not_there_loses_nothing() {
    let desk = Desk::at(Kind::GitHub);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    desk.statuses.replace(statuses(&desk.dir, &format!("http://{closed}/api/v3")));
    desk.pending(1, &commit(7));
    desk.start();
    desk.send_due();
    assert_eq!(desk.left(), (vec![id(1).to_string()], vec![]));
}

#[test]
fn a_limit_is_obeyed_by_all_and_by_what_is_put_in_later() {
    let reset = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 3600;
    let limit = Answer::code(403)
        .header("x-ratelimit-remaining", "0")
        .header("x-ratelimit-reset", &reset.to_string());
    for answer in [
        limit,
        Answer::code(429).header("retry-after", "3600"),
        Answer::code(429),
        Answer::code(503).header("Retry-After", "3600"),
    ] {
        let desk = Desk::at(Kind::GitHub);
        desk.forge.next(answer.clone());
        desk.pending(1, &commit(1));
        desk.pending(2, &commit(2));
        desk.pass();
        desk.pending(3, &commit(3));
        desk.succeeded(2, &commit(2));
        desk.pass();
        assert_eq!(desk.forge.received().len(), 1, "{answer:?}");
        assert_eq!(desk.left().0.len(), 3);
        assert_eq!(desk.notices(), [""; 0]);
        // Somebody knows better.
        for number in 1..=3 {
            desk.touch(number);
        }
        desk.pass();
        assert_eq!(desk.left(), (vec![], vec![]), "{answer:?}");
        assert_eq!(desk.forge.received().len(), 4);
    }
}

#[test]
fn after_the_wait_that_the_forge_asks_for_all_is_sent() {
    let desk = Desk::at(Kind::GitHub);
    desk.forge.next(Answer::code(429).header("retry-after", "1"));
    desk.pending(1, &commit(1));
    desk.pending(2, &commit(2));
    desk.start();
    wait_until("both are sent", || desk.left().0.is_empty());
    let received = desk.forge.received();
    assert_eq!(received.len(), 3);
    // At least: a machine that is slow makes it more.
    assert!(received[1].at - received[0].at >= Duration::from_secs(1), "Retry-After is obeyed");
}

#[test]
fn requests_are_apart() {
    let mut desk = Desk::at(Kind::GitHub);
    desk.pauses.apart = Duration::from_millis(100);
    desk.forge.next(
        Answer::code(307)
            .header("location", "/api/v3/repositories/1/statuses/0000000000000000000000000000000000000001"),
    );
    for number in 1..=4 {
        desk.pending(number, &commit(number));
    }
    desk.pass();
    let received = desk.forge.received();
    assert_eq!(received.len(), 5);
    for pair in received.windows(2) {
        assert!(pair[1].at - pair[0].at >= Duration::from_millis(100));
    }
}

#[test]
fn a_renamed_repository_is_followed_once_with_method_body_and_token() {
    for code in [301, 302, 307, 308] {
        let (desk, commit) = (Desk::at(Kind::GitHub), commit(7));
        let gone_to = format!("{}/repositories/4711/statuses/{commit}", desk.forge.url());
        desk.forge.next(Answer::code(code).header("location", &gone_to));
        desk.pending(1, &commit);
        desk.pass();
        let received = desk.forge.received();
        assert_eq!(received.len(), 2, "{code}");
        assert_eq!((received[1].method.as_str(), &received[1].body), ("POST", &received[0].body));
        assert_eq!(desk.forge.statuses(&commit, "amp_ci"), ["pending"], "{code}");
    }
}

#[test]
fn a_redirect_leads_the_token_to_no_other_host_and_not_in_circles() {
    let (desk, commit) = (Desk::at(Kind::GitHub), commit(7));
    let other = Forge::start(Kind::GitHub);
    let path = format!("repos/Org/amp_mgms/statuses/{commit}");
    desk.forge.next(Answer::code(307).header("location", &format!("{}/{path}", other.url())));
    desk.pending(1, &commit);
    desk.pass();
    assert_eq!(other.received().len(), 0);
    assert_eq!(desk.left(), (vec![], vec![id(1).to_string()]));
    desk.forge.always(Some(Answer::code(307).header("location", &format!("/api/v3/{path}"))));
    desk.pending(2, &commit);
    desk.pass();
    assert_eq!(desk.forge.received().len(), 3);
    assert_eq!(
        desk.left(),
        (vec![], vec![id(2).to_string()]),
        "the first has no record, and is not kept for ever"
    );
}

#[test]
fn a_bad_token_stops_all_is_said_once_and_loses_nothing() {
    for kind in ALL {
        let desk = Desk::at(kind);
        desk.token("expired", 0o600);
        desk.pending(1, &commit(1));
        desk.pending(2, &commit(2));
        desk.pass();
        assert_eq!(desk.forge.received().len(), 1);
        // Whatever happens: no request with this token before an hour has passed, and no second letter.
        desk.succeeded(1, &commit(1));
        desk.pending(3, &commit(3));
        desk.pass();
        assert_eq!(desk.forge.received().len(), 1);
        desk.touch(1);
        desk.pass();
        assert_eq!(desk.forge.received().len(), 2, "somebody wants to know");
        assert_eq!(desk.notices().len(), 1, "{:?}", desk.notices());
        assert_eq!(desk.left().0.len(), 3);
        desk.token(TOKEN, 0o600);
        desk.pass();
        assert_eq!(desk.left(), (vec![], vec![]));
        assert_eq!(desk.forge.statuses(&commit(1), "amp_ci"), ["success"]);
        assert_eq!(desk.notices().len(), 1);
    }
}

#[test]
fn a_token_that_others_can_read_is_not_used() {
    let desk = Desk::at(Kind::GitHub);
    desk.pending(1, &commit(1));
    for (text, mode, says) in [
        (TOKEN, 0o644, "chmod 600"),
        (TOKEN, 0o640, "chmod 600"),
        ("two words", 0o600, "one line"),
        ("", 0o600, "one line"),
    ] {
        desk.token(text, mode);
        desk.pass();
        desk.pass();
        let notices = desk.notices();
        assert!(notices.last().unwrap().contains(says), "{notices:?}");
    }
    assert_eq!(desk.notices().len(), 3, "one for each fault: {:?}", desk.notices());
    assert_eq!(desk.forge.received().len(), 0);
    desk.token(TOKEN, 0o600);
    desk.pass();
    assert_eq!(desk.left(), (vec![], vec![]));
}

#[test]
fn without_a_token_nothing_is_stored_and_what_waits_goes_on_waiting() {
    let desk = Desk::at(Kind::GitHub);
    desk.pending(1, &commit(1));
    fs::remove_file(desk.dir.path().join("forge-token")).unwrap();
    desk.pending(2, &commit(2));
    desk.pass();
    assert_eq!(desk.left(), (vec![id(1).to_string()], vec![]));
    assert_eq!(desk.forge.received().len(), 0);
    assert_eq!(desk.notices(), [""; 0]);
}

#[test]
fn nothing_is_tried_for_ever() {
    let desk = Desk::at(Kind::GitHub);
    desk.pending(1, &commit(1));
    let text = fs::read_to_string(desk.file(1)).unwrap();
    let mut status: serde_json::Value = serde_json::from_str(&text).unwrap();
    status["since"] = json!("2026-01-01T00:00:00Z");
    fs::write(desk.file(1), status.to_string()).unwrap();
    desk.pass();
    assert_eq!(desk.left(), (vec![], vec![id(1).to_string()]));
    assert_eq!(desk.notices().len(), 1);
    assert_eq!(desk.forge.received().len(), 0);
}

#[test]
fn what_is_no_status_is_put_away_and_others_are_sent() {
    let desk = Desk::at(Kind::GitHub);
    desk.pending(1, &commit(1));
    desk.pending(2, &commit(2));
    fs::write(desk.file(1), "{").unwrap();
    desk.pass();
    assert_eq!(desk.left(), (vec![], vec![id(1).to_string()]));
    assert_eq!(desk.forge.statuses(&commit(2), "amp_ci"), ["pending"]);
}

#[test]
fn a_forge_that_repeats_the_token_gets_it_into_no_file_and_no_letter() {
    let desk = Desk::at(Kind::GitHub);
    let body = json!({ "message": format!("you sent {TOKEN}") }).to_string();
    let repeat =
        |code| Answer::Reply(code, vec![("x-accepted-github-permissions", TOKEN.to_string())], body.clone());
    for (number, code) in [(1, 422), (2, 403), (3, 429), (4, 500), (5, 401)] {
        desk.forge.next(repeat(code));
        desk.pending(number, &commit(number));
        desk.touch(number);
        desk.pass();
    }
    assert_eq!(desk.forge.received().len(), 5);
    let said = format!("{:?}", desk.notices());
    assert!(said.contains("you sent ***") && !said.contains(TOKEN), "{said}");
    for dir in ["outbox", "outbox/failed"] {
        for name in names(&desk.dir.path().join(dir)).iter().filter(|name| name.ends_with(".json")) {
            let text = fs::read_to_string(desk.dir.path().join(dir).join(name)).unwrap();
            assert!(!text.contains(TOKEN), "{name}: {text}");
        }
    }
}

#[test]
fn pauses_grow_until_the_forge_is_there_again() {
    let mut desk = Desk::at(Kind::GitHub);
    (desk.pauses.first, desk.pauses.longest) = (Duration::from_secs(60), Duration::from_secs(3600));
    desk.forge.always(Some(Answer::code(502)));
    desk.pending(1, &commit(1));
    for (tried_for, pause) in [(0, 60), (300, 300), (1800, 1800), (36_000, 3600)] {
        let since = SystemTime::now() - Duration::from_secs(tried_for);
        desk.make_old(1, since);
        desk.touch(1);
        desk.pass();
        let now = SystemTime::now();
        let due = fs::metadata(desk.file(1)).unwrap().modified().unwrap();
        // As long again as it has been tried for.
        let shortest = since + Duration::from_secs(tried_for + pause);
        let longest = now + now.duration_since(since).unwrap().clamp(desk.pauses.first, desk.pauses.longest);
        assert!((shortest..=longest).contains(&due), "{tried_for}: {due:?}, not {shortest:?} to {longest:?}");
    }
    assert_eq!(desk.forge.received().len(), 4);
    desk.forge.always(None);
    desk.touch(1);
    desk.pass();
    assert_eq!(desk.left(), (vec![], vec![]));
}
