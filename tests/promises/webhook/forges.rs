//! What the other forges send, as their documentation has it (Gogs and GitBucket: as we remember it), posted to the hooks
//! files in docs/forges.

use std::{fs, path::Path};

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha1::Sha1;

use crate::support::{
    github::{Intake, SECRET, signature},
    http::Reply,
    installation::COMMIT,
};

const ZERO: &str = "0000000000000000000000000000000000000000";
/// The tag's own hash, where a tag is an object.
const TAG: &str = "1111111111111111111111111111111111111111";
const OLD_SECRET: &str = "the one before";

/// How a forge sends: the file that is made for it, and what is around a body.
struct Sender {
    forge: &'static str,
    event_header: &'static str,
    push: &'static str,
    proof: fn(&str, &str) -> (&'static str, String),
    form: bool,
}

fn bare(secret: &str, body: &str) -> String {
    signature(secret, body).trim_start_matches("sha256=").to_string()
}

fn sha1(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha1={}", hex::encode(mac.finalize().into_bytes()))
}

const GITEA: Sender = Sender {
    forge: "gitea",
    event_header: "X-Gitea-Event",
    push: "push",
    proof: |secret, body| ("X-Gitea-Signature", bare(secret, body)),
    form: false,
};
const GOGS: Sender = Sender {
    forge: "gogs",
    event_header: "X-Gogs-Event",
    push: "push",
    proof: |secret, body| ("X-Gogs-Signature", bare(secret, body)),
    form: false,
};
const GITBUCKET: Sender = Sender {
    forge: "gitbucket",
    event_header: "X-Github-Event",
    push: "push",
    proof: |secret, body| ("X-Hub-Signature", sha1(secret, body)),
    form: true,
};
const GITLAB: Sender = Sender {
    forge: "gitlab",
    event_header: "X-Gitlab-Event",
    push: "Push Hook",
    proof: |secret, _| ("X-Gitlab-Token", secret.to_string()),
    form: false,
};
const BITBUCKET: Sender = Sender {
    forge: "bitbucket",
    event_header: "X-Event-Key",
    push: "repo:push",
    proof: |secret, body| ("X-Hub-Signature", signature(secret, body)),
    form: false,
};
const BITBUCKET_SERVER: Sender = Sender { forge: "bitbucket-server", push: "repo:refs_changed", ..BITBUCKET };

impl Sender {
    fn intake(&self) -> Intake {
        let file = format!("docs/forges/{}.yaml", self.forge);
        let hooks = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        Intake::of(&hooks, &[("SECRET_OLD", OLD_SECRET)])
    }

    fn post(&self, intake: &Intake, event: &str, payload: &Value, secret: Option<&str>) -> Reply {
        let json = payload.to_string();
        let (content_type, body) = if self.form {
            let field = utf8_percent_encode(&json, NON_ALPHANUMERIC);
            ("application/x-www-form-urlencoded", format!("payload={field}"))
        } else {
            ("application/json", json)
        };
        let mut headers = vec![("Content-Type", content_type), (self.event_header, event)];
        let proof = secret.map(|secret| (self.proof)(secret, &body));
        headers.extend(proof.as_ref().map(|(name, value)| (*name, value.as_str())));
        intake.daemon.request("POST", &format!("/webhook/{}", self.forge), &headers, body.as_bytes())
    }

    /// The push is answered with what was queued, and that is all that was queued.
    #[track_caller]
    fn queues(&self, event: &str, payload: &Value, expected: &[(&str, &str)], name: &str, email: &str) {
        let intake = self.intake();
        for secret in [SECRET, OLD_SECRET] {
            let reply = self.post(&intake, event, payload, Some(secret));
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert_eq!(reply.text().matches("queued build-").count(), expected.len(), "{}", reply.text());
        }
        let entry = |(git_ref, commit): &(&str, &str)| {
            json!({"repository": "amp_mgms", "ref": git_ref, "commit_id": commit,
                   "committer_name": name, "committer_email": email})
        };
        let once: Vec<Value> = expected.iter().map(entry).collect();
        assert_eq!(intake.queued(), [&once[..], &once].concat(), "{}", self.forge);
    }

    /// Nothing is queued, and the forge sees nothing red.
    #[track_caller]
    fn ignores(&self, event: &str, payload: &Value) {
        let intake = self.intake();
        let reply = self.post(&intake, event, payload, Some(SECRET));
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(intake.queued(), [Value::Null; 0], "{}", reply.text());
    }

    #[track_caller]
    fn refuses_strangers(&self, payload: &Value) {
        let intake = self.intake();
        for secret in [None, Some(""), Some("a guess")] {
            let reply = self.post(&intake, self.push, payload, secret);
            assert_eq!(reply.status, 403, "{} {secret:?}: {}", self.forge, reply.text());
        }
        assert_eq!(intake.queued(), [Value::Null; 0]);
    }
}

/// What Gitea, Forgejo and Gogs have in common; `head` is the commit of a push, but for Gogs.
fn gitea_push(git_ref: &str, after: &str, head: Option<&str>) -> Value {
    let commit = |id: &str| {
        json!({"id": id, "message": "Segment times\n", "url": format!("https://git.example.org/amp/amp_mgms/commit/{id}"),
               "author": {"name": "A Developer", "email": "developer@example.org", "username": "developer"},
               "committer": {"name": "A Developer", "email": "developer@example.org", "username": "developer"},
               "verification": null, "timestamp": "2026-11-22T11:13:41Z", "added": [], "removed": [], "modified": ["README.md"]})
    };
    let user = json!({"id": 3, "login": "developer", "login_name": "", "full_name": "A Developer",
                      "email": "developer@example.org", "avatar_url": "https://git.example.org/avatars/3",
                      "language": "en-US", "is_admin": false, "username": "developer"});
    json!({
        "ref": git_ref, "before": ZERO, "after": after, "compare_url": "https://git.example.org/amp/amp_mgms/compare/x...y",
        "commits": head.iter().map(|id| commit(id)).collect::<Vec<_>>(),
        "total_commits": 1, "head_commit": head.map(commit),
        "repository": {"id": 7, "owner": {"id": 1, "login": "amp", "username": "amp"}, "name": "amp_mgms",
                       "full_name": "amp/amp_mgms", "private": false, "fork": false, "default_branch": "main",
                       "clone_url": "https://git.example.org/amp/amp_mgms.git"},
        "pusher": user, "sender": user,
    })
}

#[test]
fn gitea_and_forgejo_queue_what_was_pushed_and_nothing_that_was_deleted() {
    let push = gitea_push("refs/heads/feature/x", COMMIT, Some(COMMIT));
    GITEA.queues("push", &push, &[("refs/heads/feature/x", COMMIT)], "developer", "developer@example.org");
    // A tag brings no commits, and is an object if it is annotated.
    let mut tag = gitea_push("refs/tags/v2.1", TAG, Some(COMMIT));
    tag["commits"] = json!([]);
    GITEA.queues("push", &tag, &[("refs/tags/v2.1", COMMIT)], "developer", "developer@example.org");
    let headless = gitea_push("refs/heads/new", COMMIT, None);
    GITEA.queues("push", &headless, &[("refs/heads/new", COMMIT)], "developer", "developer@example.org");
    GITEA.ignores("push", &gitea_push("refs/heads/feature/x", ZERO, None));
    GITEA.ignores("push", &gitea_push("refs/tags/v2.1", ZERO, None));
    let deleted = json!({"ref": "feature/x", "ref_type": "branch", "pusher_type": "user",
                         "repository": push["repository"], "sender": push["sender"]});
    GITEA.ignores("delete", &deleted);
    GITEA.ignores(
        "create",
        &json!({"ref": "v2.1", "sha": COMMIT, "ref_type": "tag", "repository": push["repository"]}),
    );
    GITEA.refuses_strangers(&push);
}

#[test]
fn gogs_queues_what_was_pushed_and_nothing_that_was_deleted() {
    let mut push = gitea_push("refs/heads/main", COMMIT, Some(COMMIT));
    push.as_object_mut().unwrap().remove("head_commit");
    GOGS.queues("push", &push, &[("refs/heads/main", COMMIT)], "developer", "developer@example.org");
    let mut deleted = push.clone();
    deleted["after"] = json!(ZERO);
    GOGS.ignores("push", &deleted);
    GOGS.ignores(
        "create",
        &json!({"ref": "v2.1", "ref_type": "tag", "sha": COMMIT, "repository": push["repository"]}),
    );
    GOGS.refuses_strangers(&push);
}

#[test]
fn gitbucket_queues_what_was_pushed_and_nothing_that_was_deleted() {
    let push = |git_ref: &str, after: &str, head: Option<&str>| {
        let mut push = json!({
            "pusher": {"name": "developer", "email": "developer@example.org"},
            "sender": {"login": "developer", "email": "developer@example.org", "type": "User", "site_admin": false},
            "ref": git_ref, "before": ZERO, "after": after, "commits": [],
            "repository": {"name": "amp_mgms", "full_name": "amp/amp_mgms", "description": "", "watchers": 0, "forks": 0,
                           "private": false, "default_branch": "main", "owner": {"login": "amp", "type": "User"}},
            "compare": "https://git.example.org/amp/amp_mgms/compare/x...y",
        });
        if let Some(id) = head {
            push["commits"] =
                json!([{"id": id, "message": "Segment times", "timestamp": "2026-11-22T11:13:41Z"}]);
            push["head_commit"] = push["commits"][0].clone();
        }
        push
    };
    let branch = push("refs/heads/main", COMMIT, Some(COMMIT));
    GITBUCKET.queues("push", &branch, &[("refs/heads/main", COMMIT)], "developer", "developer@example.org");
    // The other content type that it offers.
    let json = Sender { form: false, ..GITBUCKET };
    json.queues("push", &branch, &[("refs/heads/main", COMMIT)], "developer", "developer@example.org");
    let tag = push("refs/tags/v2.1", COMMIT, None);
    GITBUCKET.queues("push", &tag, &[("refs/tags/v2.1", COMMIT)], "developer", "developer@example.org");
    GITBUCKET.ignores("push", &push("refs/heads/main", ZERO, None));
    GITBUCKET.ignores(
        "create",
        &json!({"ref": "topic", "ref_type": "branch", "repository": branch["repository"]}),
    );
    GITBUCKET.refuses_strangers(&branch);
}

#[test]
fn gitlab_queues_what_was_pushed_and_nothing_that_was_deleted() {
    let push = |kind: &str, git_ref: &str, after: &str, checkout: Option<&str>| {
        json!({
            "object_kind": kind, "event_name": kind, "before": ZERO, "after": after, "ref": git_ref, "ref_protected": true,
            "checkout_sha": checkout, "message": null, "user_id": 4, "user_name": "A Developer",
            "user_username": "developer", "user_email": "developer@example.org", "project_id": 15,
            "project": {"id": 15, "name": "The MGMs of AMP", "namespace": "Tools", "path_with_namespace": "amp/tools/amp_mgms",
                        "default_branch": "main", "git_http_url": "https://gitlab.example.org/amp/tools/amp_mgms.git"},
            "commits": [], "total_commits_count": 0, "push_options": {},
            "repository": {"name": "The MGMs of AMP", "url": "git@gitlab.example.org:amp/tools/amp_mgms.git"},
        })
    };
    let branch = push("push", "refs/heads/feature/x", COMMIT, Some(COMMIT));
    let (name, email) = ("developer", "developer@example.org");
    GITLAB.queues("Push Hook", &branch, &[("refs/heads/feature/x", COMMIT)], name, email);
    let tag = push("tag_push", "refs/tags/v2.1", TAG, Some(COMMIT));
    GITLAB.queues("Tag Push Hook", &tag, &[("refs/tags/v2.1", COMMIT)], name, email);
    let mut hidden = branch.clone();
    hidden["user_email"] = json!("[REDACTED]");
    GITLAB.queues("Push Hook", &hidden, &[("refs/heads/feature/x", COMMIT)], name, "");
    GITLAB.ignores("Push Hook", &push("push", "refs/heads/feature/x", ZERO, None));
    GITLAB.ignores("Tag Push Hook", &push("tag_push", "refs/tags/v2.1", ZERO, None));
    GITLAB.ignores("Pipeline Hook", &json!({"object_kind": "pipeline", "project": branch["project"]}));
    GITLAB.refuses_strangers(&branch);
    // Text that would be more than text to a shell.
    let quoted = push("push", "refs/heads/$(id>x)'\"`id`", COMMIT, Some(COMMIT));
    GITLAB.queues("Push Hook", &quoted, &[("refs/heads/$(id>x)'\"`id`", COMMIT)], name, email);
}

#[test]
fn bitbucket_queues_each_of_several_branches_and_nothing_that_was_deleted() {
    let push = |changes: Value| {
        json!({
            "push": {"changes": changes},
            "repository": {"type": "repository", "full_name": "amp/amp_mgms", "name": "The MGMs of AMP", "is_private": true},
            "actor": {"type": "user", "display_name": "A Developer", "nickname": "developer",
                      "account_id": "70121:0", "uuid": "{1}"},
        })
    };
    let change = |kind: &str, name: &str| {
        let new = json!({"type": kind, "name": name,
                         "target": {"type": "commit", "hash": COMMIT, "author": {"raw": "A Developer <developer@example.org>"}}});
        json!({"new": new, "old": null, "created": true, "closed": false, "forced": false, "commits": [], "truncated": false})
    };
    let deleted =
        json!({"new": null, "old": {"type": "branch", "name": "old"}, "created": false, "closed": true});
    let branch = push(json!([change("branch", "feature/x")]));
    BITBUCKET.queues("repo:push", &branch, &[("refs/heads/feature/x", COMMIT)], "developer", "");
    let tag = push(json!([change("tag", "v2.1")]));
    BITBUCKET.queues("repo:push", &tag, &[("refs/tags/v2.1", COMMIT)], "developer", "");
    let several = push(json!([
        deleted,
        change("branch", "a"),
        change("tag", "b"),
        change("branch", "c"),
        change("branch", "d")
    ]));
    let expected = [
        ("refs/heads/a", COMMIT),
        ("refs/tags/b", COMMIT),
        ("refs/heads/c", COMMIT),
        ("refs/heads/d", COMMIT),
    ];
    BITBUCKET.queues("repo:push", &several, &expected, "developer", "");
    BITBUCKET.ignores("repo:push", &push(json!([deleted])));
    BITBUCKET.ignores("repo:fork", &json!({"repository": branch["repository"], "actor": branch["actor"]}));
    BITBUCKET.refuses_strangers(&branch);

    let six = push(json!(["a", "b", "c", "d", "e", "f"].map(|name| change("branch", name))));
    let intake = BITBUCKET.intake();
    let reply = BITBUCKET.post(&intake, "repo:push", &six, Some(SECRET));
    assert_eq!(reply.status, 500, "what is not queued is red: {}", reply.text());
    assert!(reply.text().contains("more than five"), "{}", reply.text());
    assert_eq!(intake.queued().len(), 5);
}

#[test]
fn bitbucket_data_center_queues_each_of_several_refs_and_nothing_that_was_deleted() {
    let push = |changes: Value| {
        json!({
            "eventKey": "repo:refs_changed", "date": "2026-11-22T11:13:41+0000",
            "actor": {"name": "developer", "emailAddress": "developer@example.org", "id": 1,
                      "displayName": "A Developer", "active": true, "slug": "developer", "type": "NORMAL"},
            "repository": {"slug": "amp_mgms", "id": 84, "name": "The MGMs of AMP", "scmId": "git", "state": "AVAILABLE",
                           "project": {"key": "AMP", "id": 2, "name": "AMP", "public": false, "type": "NORMAL"}},
            "changes": changes,
        })
    };
    let change = |kind: &str, git_ref: &str, to: &str| {
        let display = git_ref.rsplit('/').next().unwrap();
        json!({"ref": {"id": git_ref, "displayId": display, "type": "BRANCH"}, "refId": git_ref,
               "fromHash": ZERO, "toHash": to, "type": kind})
    };
    let (name, email) = ("developer", "developer@example.org");
    let update = push(json!([change("UPDATE", "refs/heads/feature/x", COMMIT)]));
    BITBUCKET_SERVER.queues("repo:refs_changed", &update, &[("refs/heads/feature/x", COMMIT)], name, email);
    let several = push(json!([
        change("DELETE", "refs/heads/old", ZERO),
        change("ADD", "refs/heads/a", COMMIT),
        change("ADD", "refs/tags/b", COMMIT),
        change("DELETE", "refs/tags/c", ZERO),
        change("UPDATE", "refs/heads/d", COMMIT),
        change("DELETE", "refs/heads/e", ZERO),
    ]));
    let expected = [("refs/heads/a", COMMIT), ("refs/tags/b", COMMIT), ("refs/heads/d", COMMIT)];
    BITBUCKET_SERVER.queues("repo:refs_changed", &several, &expected, name, email);
    BITBUCKET_SERVER.ignores("repo:refs_changed", &push(json!([change("DELETE", "refs/heads/x", ZERO)])));
    BITBUCKET_SERVER.ignores("diagnostics:ping", &json!({"test": true}));
    BITBUCKET_SERVER.refuses_strangers(&update);
    let six = push(json!(["a", "b", "c", "d", "e", "f"].map(|name| change(
        "ADD",
        &format!("refs/heads/{name}"),
        COMMIT
    ))));
    let intake = BITBUCKET_SERVER.intake();
    let reply = BITBUCKET_SERVER.post(&intake, "repo:refs_changed", &six, Some(SECRET));
    assert_eq!((reply.status, intake.queued().len()), (500, 5), "{}", reply.text());
}
