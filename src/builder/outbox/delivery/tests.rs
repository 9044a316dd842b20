//! Passes through an outbox: whatever becomes of one letter, the others go, and none goes too often.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    process::Command,
    time::{Duration, SystemTime},
};

use super::*;
use crate::builder::outbox::{
    mail_url::MailUrl,
    smtp::{
        Limits,
        scripted::{Answer, Scripted},
    },
};

/// Test for unsolicited bulk e-mail: every spam filter knows it.
const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

const MINUTE: Duration = Duration::from_secs(60);

struct Fixture {
    delivery: Delivery,
    server: Scripted,
    _dir: tempfile::TempDir,
}

/// The limit of the step in which a test has the server hang is a second, the others are as ever.
fn outbox(server: Scripted) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let url = MailUrl::parse(&format!("smtp://127.0.0.1:{}", server.port)).unwrap();
    let letterhead = Letterhead {
        from: "ci@example.org".parse().unwrap(),
        fallback: "operator@example.org".parse().unwrap(),
        host: "ci.example.org".to_string(),
        home: dir.path().into(),
    };
    let limits = Limits { dot: Duration::from_secs(1), ..Limits::default() };
    let server_of_url = MailServer::new(&url, &letterhead.from, limits);
    let outbox = Outbox::new(dir.path().join("outbox"));
    fs::create_dir(outbox.dir()).unwrap();
    Fixture { delivery: Delivery { outbox, server: server_of_url, letterhead }, server, _dir: dir }
}

impl Fixture {
    /// A letter of this age, to be tried at once.
    fn letter(&self, stem: &str, to: &str, age: Duration, text: &str) {
        let date = jiff::Timestamp::try_from(SystemTime::now() - age).unwrap();
        let date = jiff::fmt::rfc2822::to_string(&date.to_zoned(jiff::tz::TimeZone::UTC)).unwrap();
        let letter = format!("From: ci@example.org\r\nTo: {to}\r\nDate: {date}\r\n\r\n{text}\r\n");
        fs::write(self.delivery.outbox.path(stem), letter).unwrap();
        self.touch(stem);
    }

    fn touch(&self, stem: &str) {
        File::open(self.delivery.outbox.path(stem)).unwrap().set_modified(SystemTime::now()).unwrap();
    }

    fn waiting(&self) -> Vec<String> {
        stems(&self.delivery.outbox)
    }

    fn failed(&self) -> Vec<String> {
        stems(&Outbox::new(self.delivery.outbox.dir().join("failed")))
    }

    /// In how long it is tried again.
    fn pause(&self, stem: &str) -> Duration {
        let time = self.delivery.outbox.path(stem).metadata().unwrap().modified().unwrap();
        time.duration_since(SystemTime::now()).unwrap_or_default()
    }
}

fn stems(outbox: &Outbox) -> Vec<String> {
    let mut stems: Vec<_> = outbox.waiting().unwrap().into_iter().map(|letter| letter.stem).collect();
    stems.sort();
    stems
}

#[test]
fn one_letter_that_the_server_chokes_on_delays_the_others_once_and_goes_behind_them() {
    for answer in [
        Answer::HangsUp,
        Answer::IsSilent,
        Answer::Trickles,
        Answer::Floods,
        Answer::Says(b"421 bye\r\n"),
        Answer::Says(b"\xff\r\n"),
    ] {
        let server = Scripted::start()
            .answers("dot a@example.org", answer.clone())
            .answers("dot b@example.org", answer.clone());
        let ci = outbox(server);
        for to in ["a", "b", "c", "d"] {
            ci.letter(to, &format!("{to}@example.org"), Duration::ZERO, "text");
        }
        ci.delivery.pass();
        ci.delivery.pass();
        let all = ["a", "b", "c", "d"].map(|to| format!("{to}@example.org"));
        assert_eq!(ci.server.recipients(), all, "{answer:?}: each once, whatever came of it");
        assert_eq!(ci.waiting(), ["a", "b"], "{answer:?}");

        ci.server.relents();
        ci.letter("e", "e@example.org", Duration::ZERO, "text");
        ci.touch("a");
        ci.delivery.pass();
        assert_eq!(ci.server.recipients()[4..], ["e@example.org", "a@example.org"], "touch means now");
        assert_eq!(ci.waiting(), ["b"]);
    }
}

#[test]
fn the_pauses_of_a_letter_grow_with_its_age_and_lie_in_its_file() {
    let ci = outbox(Scripted::start().answers("RCPT", Answer::Says(b"450 later\r\n")));
    for (stem, age) in [("new", 0), ("minutes", 10), ("days", 3 * 24 * 60)] {
        ci.letter(stem, "a@example.org", MINUTE * age, "text");
    }
    ci.delivery.pass();
    for (stem, pause) in [("new", 1), ("minutes", 10), ("days", 60)] {
        let left = ci.pause(stem);
        assert!(left > MINUTE * (pause - 1) && left <= MINUTE * (pause + 1), "{stem}: {left:?}");
    }
    let tries = ci.server.heard().len();
    ci.delivery.pass();
    assert_eq!(ci.server.heard().len(), tries, "none is tried before its time");
}

#[test]
fn a_letter_is_put_off_before_it_is_tried_so_that_who_dies_over_it_does_not_send_it_twice_a_minute() {
    // The server looks at the file while it has the letter: the pause is there already.
    let ci = outbox(Scripted::start().answers("dot", Answer::IsSilent));
    ci.letter("a", "a@example.org", Duration::ZERO, "text");
    let delivery = ci.delivery.clone();
    let pass = std::thread::spawn(move || delivery.pass());
    while ci.server.letters().is_empty() {
        std::thread::yield_now();
    }
    assert!(ci.pause("a") > Duration::ZERO);
    pass.join().unwrap();
}

#[test]
fn a_server_that_does_not_let_us_in_is_asked_once_for_all_letters() {
    for (step, answer) in [
        ("greeting", Answer::Says(b"554 no\r\n")),
        ("greeting", Answer::Says(b"421 busy\r\n")),
        ("EHLO", Answer::HangsUp),
        ("EHLO", Answer::Says(b"550 who are you\r\n")),
    ] {
        let ci = outbox(Scripted::start().answers(step, answer));
        for to in ["a", "b", "c"] {
            ci.letter(to, "x@example.org", MINUTE * 20, "text");
        }
        ci.delivery.pass();
        ci.delivery.pass();
        assert!(ci.server.heard().iter().filter(|line| line.starts_with("EHLO")).count() <= 1);
        assert_eq!(ci.waiting(), ["a", "b", "c"]);
        for stem in ["a", "b", "c"] {
            assert!(ci.pause(stem) > MINUTE * 15, "{stem}: {:?}", ci.pause(stem));
        }
        // What is new finds out whether it is back; a longer pause than ours stays.
        ci.server.relents();
        ci.letter("d", "d@example.org", Duration::ZERO, "text");
        ci.delivery.pass();
        assert_eq!(ci.server.recipients(), ["d@example.org"]);
    }
}

#[test]
fn what_a_spam_filter_refuses_with_its_quotation_is_told_of_without_it() {
    let ci = outbox(Scripted::start().refuses(GTUBE));
    ci.letter("1.2", "a@example.org", Duration::ZERO, GTUBE);
    ci.delivery.pass();
    assert_eq!((ci.waiting().len(), ci.failed()), (0, vec!["1.2".to_string(), "failed-1.2".to_string()]));
    let letters = ci.server.letters();
    assert_eq!(letters.len(), 1);
    let (to, text) = &letters[0];
    assert_eq!(to, "operator@example.org");
    assert!(
        text.contains("outbox/failed/failed-1.2.eml") && text.contains("outbox/failed/1.2.eml"),
        "{text}"
    );
    assert_eq!(ci.delivery.outbox.contents().failed, 2);

    // One to the fallback itself, and one that does not quote anything bad.
    ci.letter("1.2.ci", "operator@example.org", Duration::ZERO, GTUBE);
    ci.delivery.pass();
    assert_eq!(ci.server.letters().len(), 2);
    assert!(ci.server.letters()[1].1.contains("outbox/failed/1.2.ci.eml"));
}

#[test]
fn a_letter_that_is_too_large_is_told_of_too() {
    let ci = outbox(Scripted::start().offers(&["SIZE 5000"]));
    ci.letter("1.2", "a@example.org", Duration::ZERO, &"large\r\n".repeat(1000));
    ci.delivery.pass();
    assert_eq!(ci.server.recipients(), ["operator@example.org"]);
    assert!(ci.server.letters()[0].1.contains("outbox/failed/1.2.eml"));
}

#[test]
fn when_nobody_can_be_told_it_ends() {
    let ci = outbox(Scripted::start().answers("RCPT", Answer::Says(b"550\r\n")));
    ci.letter("1.2", "a@example.org", Duration::ZERO, "text");
    ci.delivery.pass();
    assert_eq!(ci.waiting(), [""; 0]);
    assert_eq!(ci.failed(), ["1.2", "failed-1.2", "refused-failed-1.2"]);
    let heard = ci.server.heard().len();
    ci.delivery.pass();
    assert_eq!(ci.server.heard().len(), heard);
}

#[test]
fn after_five_days_by_its_date_a_letter_is_given_up() {
    let ci = outbox(Scripted::start().answers("RCPT a@example.org", Answer::Says(b"450 later\r\n")));
    ci.letter("old", "a@example.org", MINUTE * 60 * 121, "text");
    ci.letter("young", "a@example.org", MINUTE * 60 * 119, "text");
    ci.delivery.pass();
    assert_eq!((ci.waiting(), ci.failed()), (vec!["young".to_string()], vec!["old".to_string()]));
    assert_eq!(ci.server.recipients(), ["operator@example.org"]);
    assert!(ci.server.letters()[0].1.contains("for five days"));
}

#[test]
fn what_is_no_letter_stands_in_nobodys_way() {
    let ci = outbox(Scripted::start());
    let path = |stem| ci.delivery.outbox.path(stem);
    fs::create_dir(path("directory")).unwrap();
    symlink("/nowhere", path("dangling")).unwrap();
    symlink(path("loop"), path("loop")).unwrap();
    assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
    fs::write(path("empty"), "").unwrap();
    fs::write(path("garbage"), [0xff; 1000]).unwrap();
    fs::write(path("no-date"), "From: a@example.org\r\nTo: b@example.org\r\n\r\n").unwrap();
    ci.letter("two", "a@example.org, b@example.org", Duration::ZERO, "text");
    ci.letter("whole", "a@example.org", Duration::ZERO, "text");
    ci.delivery.pass();
    assert_eq!(ci.waiting(), [""; 0]);
    assert_eq!(ci.failed(), ["empty", "garbage", "no-date", "two"]);
    let mut recipients = ci.server.recipients();
    recipients.sort();
    assert_eq!(recipients[0], "a@example.org");
    assert_eq!(recipients[1..], ["operator@example.org"; 4]);
}
