//! Each letter as it goes out, against the text that it is to be: `letters/*.eml`.

use std::time::Duration;

use super::*;
use crate::records::{Rc, Verdict};
use crate::timeout::Timeout;

fn head() -> Letterhead {
    Letterhead {
        from: "amp_ci@ci.example".parse().unwrap(),
        fallback: "ops@ci.example".parse().unwrap(),
        host: "ci.example".to_string(),
        home: "/srv/amp_ci".into(),
    }
}

/// 2026-11-22T11:14:05Z.
fn date() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_346_045)
}

fn id() -> EntryId {
    EntryId::parse("1795346032.441044312").unwrap()
}

fn request() -> BuildRequest {
    serde_json::from_value(serde_json::json!({
        "repository": "amp_mgms", "ref": "refs/heads/main", "commit_id": "84ce5aeb5cbfe12bf72096f34d93c9f5d148e997",
        "committer_name": "Ana Lee", "committer_email": "ana@lab.example",
    }))
    .unwrap()
}

/// The letters about a build that came out so.
fn about(verdict: &Verdict, output: &str) -> Vec<Letter> {
    let started = date().try_into().unwrap();
    let mut result = BuildResult::new(verdict, started, 3.5, 1, "ci.example".to_string());
    result.finished = started;
    let why = "the push has your address".to_string();
    let to = Recipient { address: "ana@lab.example".parse().unwrap(), why };
    let log = Path::new("/srv/amp_ci/builds/1795346032.441044312/output.log");
    head().build_failed(&id(), &request(), &result, output, log, &to)
}

#[track_caller]
fn is(letter: &Letter, stem: &str, expected: &str) {
    assert_eq!(letter.stem, stem);
    let text = String::from_utf8(letter.bytes.clone()).unwrap();
    assert!(!text.replace("\r\n", "").contains('\n'), "every line ends with CRLF");
    assert_eq!(text.replace("\r\n", "\n"), expected);
}

#[test]
fn the_committer_hears_what_failed() {
    let [letter] = &about(&Verdict::Ran(Rc::new(3)), "make: no rule\n")[..] else { panic!("one letter") };
    is(letter, "1795346032.441044312", include_str!("failed.eml"));
}

#[test]
fn the_committer_hears_what_took_too_long() {
    let limit = Timeout(Some(Duration::from_secs(3600)));
    let letters = about(&Verdict::timed_out(Rc::new(-15), limit), "waiting, ein Bär\n");
    let [letter] = &letters[..] else { panic!("one letter") };
    is(letter, "1795346032.441044312", include_str!("timed_out.eml"));
}

#[test]
fn of_an_error_the_fallback_hears_too_unless_it_was_the_engine_s() {
    let error = |cause| about(&Verdict::Error(cause, "there is no build_packages".to_string()), "");
    let [letter, copy] = &error(Cause::Installation)[..] else { panic!("two letters") };
    is(letter, "1795346032.441044312", include_str!("error.eml"));
    is(copy, "1795346032.441044312.ci", include_str!("error.ci.eml"));
    assert_eq!(error(Cause::Engine).len(), 1);
}

#[test]
fn who_mended_a_branch_hears_and_who_had_broken_it_if_that_is_somebody_else() {
    let (since, log) = (
        EntryId::parse("1795340000.5").unwrap(),
        Path::new("/srv/amp_ci/builds/1795346032.441044312/output.log"),
    );
    let mut broken_by = request();
    broken_by.committer_name = "Bo Hugh".into();
    broken_by.commit_id = "1".repeat(40).parse().unwrap();
    let (mended_by, id) = (request(), id());
    let told = |id, request, address: &str| Told {
        id,
        request,
        to: Recipient { address: address.parse().unwrap(), why: "the push has your address".to_string() },
    };
    let mending = told(&id, &mended_by, "ana@lab.example");
    let mended = |broke: Option<&Told>| head().mended(&mending, &since, broke, log, date());
    let [fixed, broke] = &mended(Some(&told(&since, &broken_by, "bo@lab.example")))[..] else {
        panic!("two letters")
    };
    is(fixed, "1795346032.441044312.fixed", include_str!("fixed.eml"));
    is(broke, "1795346032.441044312.broke", include_str!("broke.eml"));
    assert_eq!(mended(Some(&told(&since, &broken_by, "Ana@lab.example"))).len(), 1);
    let [alone] = &mended(None)[..] else { panic!("one letter") };
    let text = String::from_utf8(alone.bytes.clone()).unwrap();
    assert!(text.contains("The branch had failed since the build 1795340000.5. Thank you."), "{text}");
}

#[test]
fn nobody_hears_of_what_succeeded_or_was_not_meant_to_be_built() {
    use Outcome::{Cancelled, Error, Failed, Skipped, Succeeded, Superseded, TimedOut};
    assert!([Failed, TimedOut, Error].into_iter().all(are_due));
    assert!(![Succeeded, Skipped, Cancelled, Superseded].into_iter().any(are_due));
}

#[test]
fn the_operator_hears_that_the_engine_failed() {
    let log = Path::new("/srv/amp_ci/builds/1795346032.441044312/launcher.log");
    let letter = head().no_verdict(
        &id(),
        &request(),
        "srun ended with exit status: 1: down",
        "node\u{1b}[31m\ndown",
        log,
        date(),
    );
    is(&letter, "1795346032.441044312.ci", include_str!("no_verdict.eml"));
    let silent = head().no_verdict(&id(), &request(), "why", "", log, date());
    assert!(String::from_utf8(silent.bytes).unwrap().ends_with("The launcher said nothing of itself.\r\n"));
}

#[test]
fn the_operator_hears_of_an_entry_that_is_no_request() {
    let letter = head().bad_entry("build-1.2", "repository: 'a\nb' is not a repository name", date());
    is(&letter, "bad-build-1.2", include_str!("bad_entry.eml"));
}

#[test]
fn the_operator_hears_of_a_fault_of_the_machine() {
    let letter = head().fault(
        "a build cannot be recorded: No space left on device",
        "No space left on device",
        date(),
    );
    is(&letter, "trouble-1795346045.000000000", include_str!("fault.eml"));
}

#[test]
fn the_operator_hears_of_what_builds_have_left() {
    let lines = ["process 7 of 1.5 does not end\non SIGKILL", "/w/amp_ci-x is left"].map(str::to_string);
    is(&head().left_over(&lines, date()), "trouble-1795346045.000000000", include_str!("left_over.eml"));
}

#[test]
fn the_operator_hears_of_a_letter_that_nobody_takes() {
    let message = b"To: gone@lab.example\r\nSubject: x\r\n\r\ntext\r\n";
    let letter = head().undeliverable("7.1", "gone@lab.example", message, "550 no such user", date());
    is(&letter, "failed-7.1", include_str!("undeliverable.eml"));
    let letter = head().undeliverable_to_fallback("failed-7.1", Path::new("/srv/amp_ci/outbox"), date());
    is(&letter, "refused-failed-7.1", include_str!("undeliverable_to_fallback.eml"));
}

#[test]
fn a_test_letter_says_where_it_is_from() {
    let letter = head().test(&"ana@lab.example".parse().unwrap(), date());
    is(&letter, "test-1795346045.000000000", include_str!("test.eml"));
}

#[test]
fn the_fallback_hears_that_the_forge_does_not_know_its_token() {
    let why = "https://api.github.com says 401: Bad credentials";
    is(
        &head().token_refused(why, date()),
        "forge-token-1795346045.000000000",
        include_str!("token_refused.eml"),
    );
}

#[test]
fn the_fallback_hears_that_the_forge_will_never_take_a_report() {
    let commit = "84ce5aeb5cbfe12bf72096f34d93c9f5d148e997";
    let letter = head().report_refused(&id(), "amp_mgms", commit, "404: Not Found", date());
    is(&letter, "1795346032.441044312.forge", include_str!("report_refused.eml"));
}

#[test]
fn the_fallback_hears_that_scripts_after_is_given_up() {
    let letter = head().after_given_up(&id(), "build has ended with it 3 times", date());
    is(&letter, "1795346032.441044312.after", include_str!("after_given_up.eml"));
}
