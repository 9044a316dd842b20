//! What is a valid request, in tables.

use super::*;

fn repeated(text: &str, times: usize) -> String {
    text.repeat(times)
}

#[test]
fn repository_names_are_harmless_everywhere() {
    for good in ["amp_mgms", "a", "A-b.c_1", &repeated("x", 100)] {
        assert!(good.parse::<Repository>().is_ok(), "{good}");
    }
    for bad in
        ["", ".", "..", ".git", "-x", "../x", "a/b", "a b", "a;b", "$(x)", "é", "a\n", &repeated("x", 101)]
    {
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
fn the_entry_reads_as_python_wrote_it() {
    let request: BuildRequest = serde_json::from_str(
        r#"{"ref":"refs/heads/main","repository":"r","commit_id":"84ce5aeb5cbfe12bf72096f34d93c9f5d148e997",
           "committer_name":null,"committer_email":7,"later":"unknown fields are ignored"}"#,
    )
    .unwrap();
    assert_eq!(
        request.to_json(),
        r#"{"repository": "r", "ref": "refs/heads/main", "commit_id": "84ce5aeb5cbfe12bf72096f34d93c9f5d148e997", "committer_name": "committer", "committer_email": ""}"#
    );
    assert_eq!(serde_json::from_str::<BuildRequest>(&request.to_json()).unwrap(), request);
}

#[test]
fn an_invalid_field_is_named() {
    let json = r#"{"repository":"../x","ref":"refs/heads/main","commit_id":"84ce5aeb5cbfe12bf72096f34d93c9f5d148e997"}"#;
    let error = serde_json::from_str::<BuildRequest>(json).unwrap_err().to_string();
    assert!(error.starts_with("repository: '../x' is not a repository name"), "{error}");
}

#[test]
fn master_counts_as_main_and_slashes_stay_in_the_branch() {
    let parse = |text: &str| text.parse::<GitRef>().unwrap();
    assert_eq!(parse("refs/heads/master").n(), "main");
    assert_eq!(parse("refs/heads/master").branch(), "master");
    assert_eq!(parse("refs/heads/feature/x").n(), "x");
    assert_eq!(parse("refs/heads/feature/x").branch(), "feature/x");
    assert_eq!(parse("refs/tags/v1").branch(), "v1");
    assert_eq!(parse("refs/heads/a;b").chunk_suffix(), None);
    assert_eq!(parse("refs/heads/a.b").chunk_suffix(), Some("a.b"));
}

#[test]
fn a_sixth_field_says_why_there_is_an_entry_and_changes_no_other() {
    let request: BuildRequest = serde_json::from_value(serde_json::json!({
        "repository": "amp_mgms", "ref": "refs/heads/main", "commit_id": "84ce5aeb5cbfe12bf72096f34d93c9f5d148e997",
    }))
    .unwrap();
    let origin =
        Origin { why: crate::queue::origin::Why::CatchUp, rerun_of: None, by: "ci@host".to_string() };
    let text = request.to_json_with(&origin);
    assert_eq!(
        text.strip_suffix(r#", "amp_ci": {"why": "catch-up", "rerun_of": null, "by": "ci@host"}}"#),
        request.to_json().strip_suffix('}')
    );
    assert_eq!(serde_json::from_str::<BuildRequest>(&text).unwrap(), request);
    assert_eq!(Origin::of_entry(text.as_bytes()), Some(origin));
    assert_eq!(Origin::of_entry(request.to_json().as_bytes()), None);
}
