//! What GitHub sends, posted as GitHub posts it to the shipped hook: what is queued, and what GitHub is told.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::github::{ContentType, Intake, SECRET, fixture, signature};

#[test]
fn each_push_is_on_the_disk_when_github_is_told_so_with_either_content_type() {
    let developer = "developer@example.org";
    for (name, repository, git_ref, email) in [
        ("push.json", "amp_mgms", "refs/heads/main", developer),
        ("push_master.json", "amp_player", "refs/heads/master", developer),
        ("push_new_branch.json", "amp_mgms", "refs/heads/feature/segment-times", developer),
        ("push_new_branch_at_existing_commit.json", "amp_mgms", "refs/heads/release-2", developer),
        ("push_forced.json", "amp_mgms", "refs/heads/feature/segment-times", developer),
        ("push_tag_lightweight.json", "amp_mgms", "refs/tags/v2.1-rc1", developer),
        ("push_tag_annotated.json", "amp_mgms", "refs/tags/v2.1", developer),
        ("push_email_null.json", "amp_mgms", "refs/heads/main", ""),
        ("push_email_absent.json", "amp_mgms", "refs/heads/main", ""),
    ] {
        let payload = fixture(name);
        let sent: Value = serde_json::from_str(&payload).unwrap();
        for content_type in [ContentType::Json, ContentType::Form] {
            let intake = Intake::new();
            let reply = intake.deliver_as(content_type, "push", &payload, SECRET);
            assert_eq!(reply.status, 200, "{name}: {}", reply.text());
            let entries = intake.ci.entries();
            assert_eq!(entries.len(), 1, "{name}: {}", reply.text());
            assert_eq!(reply.text(), format!("queued {}\n", entries[0]), "{name}");
            let request = json!({
                "repository": repository,
                "ref": git_ref,
                // Of an annotated tag not `after`, which is the tag's own hash.
                "commit_id": sent["head_commit"]["id"],
                "committer_name": "amp-developer",
                "committer_email": email,
            });
            assert_eq!(intake.queued(), [request], "{name}");
        }
    }
}

#[test]
fn a_push_without_a_head_commit_is_built_at_its_after() {
    let intake = Intake::new();
    let mut payload: Value = serde_json::from_str(&fixture("push.json")).unwrap();
    let after = payload["after"].clone();
    let unusual = [
        ("head_commit", Some(Value::Null)),
        ("head_commit", Some(json!({}))),
        ("head_commit", None),
        ("deleted", None),
    ];
    for (count, (field, value)) in unusual.into_iter().enumerate() {
        match value {
            Some(value) => payload[field] = value,
            None => drop(payload.as_object_mut().unwrap().remove(field)),
        }
        let reply = intake.deliver("push", &payload.to_string());
        assert_eq!(reply.status, 200, "{field}: {}", reply.text());
        assert_eq!(intake.queued().len(), count + 1, "{field}");
        assert_eq!(intake.queued()[count]["commit_id"], after, "{field}");
    }
}

#[test]
fn what_is_no_push_or_deletes_something_is_welcome_and_queues_nothing() {
    let intake = Intake::new();
    for (event, name) in [
        ("ping", "ping_repository.json"),
        ("ping", "ping_organization.json"),
        ("push", "push_branch_deleted.json"),
        ("push", "push_tag_deleted.json"),
        ("create", "push.json"),
    ] {
        for content_type in [ContentType::Json, ContentType::Form] {
            let reply = intake.deliver_as(content_type, event, &fixture(name), SECRET);
            assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        }
    }
    assert!(intake.queued().is_empty());
}

#[test]
fn a_wrong_or_absent_signature_is_403_for_pushes_and_pings_alike() {
    let intake = Intake::new();
    let payload = fixture("push.json");
    let right = signature(SECRET, &payload);
    for (event, body) in [("push", payload.clone()), ("ping", fixture("ping_repository.json"))] {
        for content_type in [ContentType::Json, ContentType::Form] {
            assert_eq!(intake.deliver_as(content_type, event, &body, "a guess").status, 403);
        }
        for wrong in [None, Some(""), Some("sha256="), Some("sha256=00"), Some(&right[..right.len() - 1])] {
            let reply = intake.post(event, "application/json", &body, wrong);
            assert_eq!(reply.status, 403, "{event} {wrong:?}: {}", reply.text());
        }
    }
    let changed = payload.replacen("refs/heads/main", "refs/heads/mail", 1);
    assert_eq!(intake.post("push", "application/json", &changed, Some(&right)).status, 403);
    // The original's signature, by SHA-1 alone, is none.
    assert_eq!(intake.post("push", "application/json", &payload, Some("sha1=00")).status, 403);
    assert!(intake.queued().is_empty());
}

#[test]
fn while_the_secret_is_being_changed_both_are_right() {
    let intake = Intake::with(&[("SECRET_OLD", "the old one")]);
    let payload = fixture("push.json");
    for content_type in [ContentType::Json, ContentType::Form] {
        assert_eq!(intake.deliver_as(content_type, "push", &payload, SECRET).status, 200);
        assert_eq!(intake.deliver_as(content_type, "push", &payload, "the old one").status, 200);
        assert_eq!(intake.deliver_as(content_type, "push", &payload, "a guess").status, 403);
        assert_eq!(intake.deliver_as(content_type, "push", &payload, "").status, 403);
    }
    assert_eq!(intake.post("push", "application/json", &payload, None).status, 403);
    assert_eq!(intake.queued().len(), 4);
}

/// The shipped hooks file with the rule that docs/hooks.md has for skip markers.
fn hooks_with_skip_markers() -> String {
    let read = |name| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let reference = read("docs/hooks.md");
    let (_, section) = reference.split_once("### Skip markers").unwrap();
    let (_, rule) = section.split_once("```json\n").unwrap();
    let (rule, _) = rule.split_once("```").unwrap();
    let deleted = r#""name": "deleted", "else": { "source": "string", "name": "false" } }
          }
        }"#;
    let hooks = read("hooks.json");
    assert_eq!(hooks.matches(deleted).count(), 1);
    hooks.replace(deleted, &format!("{deleted},\n{rule}"))
}

#[test]
fn a_skip_marker_in_the_subject_of_a_branchs_head_is_obeyed_with_the_rule_of_the_reference() {
    let intake = Intake::of(&hooks_with_skip_markers(), &[]);
    let with_message = |fixture: &str, message: &str| {
        let mut payload: Value = serde_json::from_str(fixture).unwrap();
        payload["head_commit"]["message"] = json!(message);
        payload.to_string()
    };
    for message in
        ["[skip ci] Typo", "Typo [CI skip]\n\nLong story", "x [no ci]", "[Skip Actions]", "[actions skip]"]
    {
        let reply = intake.deliver("push", &with_message(&fixture("push.json"), message));
        assert_eq!(reply.text(), "Hook rules were not satisfied.", "{message}");
        assert_eq!(reply.status, 200);
    }
    assert!(intake.queued().is_empty());
    for (name, message) in [
        ("push.json", "Skip ci of what is old"),
        ("push.json", "Squashed\n\n* Typo [skip ci]"),
        ("push.json", ""),
        ("push_tag_lightweight.json", "[skip ci] Typo"),
    ] {
        let reply = intake.deliver("push", &with_message(&fixture(name), message));
        assert!(reply.text().starts_with("queued "), "{name} {message}: {}", reply.text());
    }
    // A marker is no way past the signature.
    let skipped = with_message(&fixture("push.json"), "[skip ci]");
    assert_eq!(intake.deliver_as(ContentType::Json, "push", &skipped, "a guess").status, 403);
}

#[test]
fn without_an_old_secret_none_is_none() {
    let intake = Intake::new();
    assert_eq!(intake.deliver_as(ContentType::Json, "push", &fixture("push.json"), "").status, 403);
    assert!(intake.queued().is_empty());
}

#[test]
fn a_push_that_cannot_be_queued_is_red_on_github_and_says_why() {
    let intake = Intake::new();
    let climbing = fixture("push.json").replace("\"name\":\"amp_mgms\"", "\"name\":\"../amp_mgms\"");
    let reply = intake.deliver("push", &climbing);
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("repository"), "{}", reply.text());
    assert!(intake.queued().is_empty());

    fs::rename(intake.ci.path("queue"), intake.ci.path("away")).unwrap();
    let reply = intake.deliver("push", &fixture("push.json"));
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("queue"), "{}", reply.text());
}

#[test]
fn values_that_look_like_options_or_code_are_values() {
    let intake = Intake::new();
    let payload = fixture("push.json")
        .replace("\"name\":\"amp-developer\",\"email\"", "\"name\":\"--help $(id)\",\"email\"");
    let reply = intake.deliver("push", &payload);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(intake.queued()[0]["committer_name"], "--help $(id)");
}

#[test]
fn the_log_says_of_each_delivery_what_it_was_and_what_came_of_it() {
    let intake = Intake::new();
    let push = fixture("push.json");
    intake.deliver("push", &push);
    intake.deliver("ping", &fixture("ping_repository.json"));
    intake.deliver_as(ContentType::Json, "push", &push, "a guess");
    let delivery = "amp_main: delivery 72d3162e-cc78-11e3-81ab-4c9367dc0958";
    let repository = "AudiovisualMetadataPlatform/amp_mgms";
    intake.daemon.wait_for_line(&format!("{delivery} (push of {repository}) is taken"));
    intake.daemon.wait_for_line(&format!("{delivery} (ping of {repository}) is nothing that it is for"));
    intake.daemon.wait_for_line(&format!("{delivery} (push) is refused: no signature is right"));
}
