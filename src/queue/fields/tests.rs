//! What is a valid field, in tables.

use super::*;

fn repeated(text: &str, times: usize) -> String {
    text.repeat(times)
}

#[test]
fn repository_names_are_harmless_everywhere() {
    for good in ["amp_mgms", "a", "A-b.c_1", ".github", "...", &repeated("x", 100)] {
        assert!(good.parse::<Repository>().is_ok(), "{good}");
    }
    for bad in ["", ".", "..", "-x", "../x", "a/b", "a b", "a;b", "$(x)", "é", "a\n", &repeated("x", 101)] {
        assert!(bad.parse::<Repository>().is_err(), "{bad}");
    }
}

#[test]
fn refs_follow_git_check_ref_format() {
    for good in [
        "refs/heads/main",
        "refs/tags/v1.0",
        "refs/heads/a/b/c",
        "refs/heads/$(touch${IFS}x)",
        "refs/heads/a;b",
        "refs/heads/-x",
        "refs/heads/{ref}",
        "refs/heads/é😀",
        "refs/heads/@",
        "refs/x",
    ] {
        assert!(good.parse::<GitRef>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "main",
        "heads/main",
        "refs",
        "refs/",
        "refs//x",
        "refs/heads/",
        "refs/heads/a..b",
        "refs/heads/../x",
        "refs/heads/.x",
        "refs/heads/x.lock",
        "refs/heads/x.lock/y",
        "refs/heads/x.",
        "refs/heads/a b",
        "refs/heads/a\nb",
        "refs/heads/a\u{7f}",
        "refs/heads/a~1",
        "refs/heads/a^",
        "refs/heads/a:b",
        "refs/heads/a?",
        "refs/heads/a*",
        "refs/heads/a[b",
        "refs/heads/a\\b",
        "refs/heads/a@{b",
    ] {
        assert!(bad.parse::<GitRef>().is_err(), "{bad}");
    }
}

#[test]
fn a_commit_is_a_full_hash() {
    assert!(repeated("a", 40).parse::<CommitId>().is_ok());
    assert!(repeated("0aF", 22)[..64].parse::<CommitId>().is_ok());
    for bad in ["", "HEAD", &repeated("0", 40), &repeated("0", 64), &repeated("a", 39), &repeated("g", 40)] {
        assert!(bad.parse::<CommitId>().is_err(), "{bad}");
    }
}

#[test]
fn names_and_addresses_are_never_a_reason_to_lose_a_build() {
    assert_eq!(CommitterName::from("Eve\r\nBcc: x@y.z\0\u{2028}").as_str(), "Eve  Bcc: x@y.z  ");
    for nobody in ["", "<nil>", "  ", "\n"] {
        assert_eq!(CommitterName::from(nobody).as_str(), "committer");
    }
    assert_eq!(CommitterName::from(&*repeated("é", 300)).as_str().chars().count(), 200);
    assert_eq!(CommitterEmail::from("who@example.org").as_str(), "who@example.org");
    let long = format!("{}@{}.org", repeated("a", 60), repeated("b.", 100));
    for none in [
        "",
        "<nil>",
        "who",
        "who@",
        "a@b\r\nBcc: c@d.e",
        "\"a b\"@c.d",
        "a@[127.0.0.1]",
        "é@x.org",
        "<a@b.c>",
        &long,
    ] {
        assert_eq!(CommitterEmail::from(none).as_str(), "", "{none}");
    }
}

#[test]
fn master_counts_as_main_and_slashes_stay_in_the_branch() {
    let parse = |text: &str| text.parse::<GitRef>().unwrap();
    assert_eq!(parse("refs/heads/master").chunk_key(), "main");
    assert_eq!(parse("refs/heads/master").branch(), "master");
    assert_eq!(parse("refs/heads/feature/x").chunk_key(), "x");
    assert_eq!(parse("refs/heads/feature/x").branch(), "feature/x");
    assert_eq!(parse("refs/tags/v1").branch(), "v1");
    assert_eq!(parse("refs/heads/fix/issue#12").chunk_suffix(), Some("issue#12"));
    assert_eq!(parse(&format!("refs/heads/{}", repeated("x", 240))).chunk_suffix().map(str::len), Some(240));
    assert_eq!(parse(&format!("refs/heads/{}", repeated("x", 241))).chunk_suffix(), None);
    assert_eq!(parse("refs/heads/a.b").chunk_suffix(), Some("a.b"));
}
