//! The examples of docs/telling.md, as a site would have them, against servers that look at what they get.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    thread::{self, JoinHandle},
};

use serde_json::{Value, json};

use crate::support::{
    files::executable,
    http::read_to,
    installation::{COMMIT, Installation, Push},
    need::or_skip,
};

/// What a server was asked.
struct Asked {
    line: String,
    headers: String,
    body: Value,
}

fn has_programs() -> bool {
    let is_there = |program: &&str| Command::new(program).arg("--version").output().is_ok();
    let missing = ["curl", "jq"].into_iter().find(|program| !is_there(program));
    or_skip("AMP_CI_REQUIRE_TELLING", missing)
}

/// The example below this heading, in which `from` is replaced.
fn example(heading: &str, from: &str, to: &str) -> String {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/telling.md");
    let document = fs::read_to_string(document).unwrap();
    let section = document.split_once(&format!("\n## {heading}\n")).expect("there is one").1;
    let lines = section.lines().skip_while(|line| !line.starts_with("    "));
    let lines = lines.take_while(|line| line.starts_with("    "));
    let text = lines.map(|line| &line[4..]).collect::<Vec<_>>().join("\n") + "\n";
    assert!(text.contains(from), "{text}");
    text.replace(from, to)
}

/// A server that takes one request: its address, and what it was asked.
fn server() -> (String, JoinHandle<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (address, thread::spawn(move || take_one(&mut listener.accept().unwrap().0)))
}

fn take_one(stream: &mut TcpStream) -> Asked {
    let head = String::from_utf8(read_to(stream, b"\r\n\r\n").unwrap()).unwrap();
    let (line, headers) = head.split_once("\r\n").unwrap();
    let length =
        headers.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("it says how long");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    let body = serde_json::from_slice(&body).expect("it is JSON");
    Asked { line: line.to_string(), headers: headers.to_string(), body }
}

/// A push whose words would be something else unquoted.
const BRANCH: &str = "fix/\"a&b<c>$(id)";

/// Has it run after a build that fails; the id of that.
fn after_a_failure(after: &str) -> (Installation, String) {
    let mut ci = Installation::building("echo why; exit 3");
    ci.set("AMP_CI_PAGE_URL", "https://ci.example.org/");
    ci.chunk("after", after);
    let id = ci.push(
        &Push::to("amp_mgms", "")
            .git_ref(&format!("refs/heads/{BRANCH}"))
            .by("Zoë \"Z\" \\", "z@example.org"),
    );
    ci.build(1);
    assert!(!ci.log().contains("scripts/after"), "{}\n{}", ci.log(), after_log(&ci, &id));
    (ci, id)
}

fn after_log(ci: &Installation, id: &str) -> String {
    fs::read_to_string(ci.path("builds").join(id).join("after.log")).unwrap()
}

#[test]
fn ntfy_gets_what_it_publishes_as_json() {
    if !has_programs() {
        return;
    }
    let (address, asked) = server();
    let (_ci, id) = after_a_failure(&example("ntfy", "https://ntfy.sh", &address));
    let asked = asked.join().unwrap();
    // https://docs.ntfy.sh/publish/#publish-as-json: a POST to the root, with these names and types.
    assert_eq!(asked.line, "POST / HTTP/1.1");
    assert_eq!(
        asked.body,
        json!({
            "topic": "our-ci-84ce5aeb",
            "title": format!("amp_mgms {BRANCH}: failed"),
            "message": asked.body["message"],
            "tags": ["x"],
            "priority": 4,
            "click": format!("https://ci.example.org/builds/{id}"),
        })
    );
    assert!(asked.body["message"].as_str().unwrap().starts_with("by Zoë \"Z\" \\, after "));
}

#[test]
fn matrix_gets_an_event_for_a_room() {
    if !has_programs() {
        return;
    }
    let (address, asked) = server();
    let (_ci, id) = after_a_failure(&example("Matrix", "https://matrix.example.org", &address));
    let asked = asked.join().unwrap();
    // Client-server API, PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}; m.room.message's m.notice.
    let path = format!("/_matrix/client/v3/rooms/!the-room-id%3Aexample.org/send/m.room.message/{id}");
    // Whether the exclamation mark is encoded depends on the version of jq, and makes no difference (RFC 3986, 3.3).
    assert_eq!(asked.line.replace("%21", "!"), format!("PUT {path} HTTP/1.1"));
    assert!(
        asked.headers.contains("\r\nAuthorization: Bearer syt_the_token_of_an_account_for_this\r\n"),
        "{}",
        asked.headers
    );
    let text = format!("amp_mgms {BRANCH} by Zoë \"Z\" \\: failed https://ci.example.org/builds/{id}");
    assert_eq!(asked.body, json!({ "msgtype": "m.notice", "body": text }));
}

#[test]
fn slack_gets_text_with_its_three_characters_escaped() {
    if !has_programs() {
        return;
    }
    let (address, asked) = server();
    let (_ci, id) = after_a_failure(&example("Slack", "https://hooks.slack.com", &address));
    let asked = asked.join().unwrap();
    assert_eq!(asked.line, "POST /services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX HTTP/1.1");
    assert!(
        asked.headers.to_lowercase().contains("\r\ncontent-type: application/json\r\n"),
        "{}",
        asked.headers
    );
    let text = format!(
        "amp_mgms fix/\"a&amp;b&lt;c&gt;$(id) by Zoë \"Z\" \\: failed https://ci.example.org/builds/{id}"
    );
    assert_eq!(asked.body, json!({ "text": text }));
}

#[test]
fn a_mailing_list_gets_a_letter() {
    let dir = tempfile::tempdir().unwrap();
    let (sendmail, letter) = (dir.path().join("sendmail"), dir.path().join("letter"));
    executable(&sendmail, format!("#!/bin/bash\n[ \"$*\" = '-i -t' ] && cat >{}\n", letter.display()));
    let (_ci, id) =
        after_a_failure(&example("A mailing list", "| sendmail", &format!("| {}", sendmail.display())));
    let raw = fs::read(letter).unwrap();
    let head = raw.windows(2).position(|two| two == b"\n\n").expect("it has headers");
    assert!(raw[..head].is_ascii());
    let raw = String::from_utf8(raw).unwrap();
    let message = mail_parser::MessageParser::default().parse(raw.as_bytes()).unwrap();
    assert_eq!(message.to().unwrap().first().unwrap().address(), Some("ci-list@lists.example.edu"));
    assert_eq!(message.subject(), Some(&*format!("[ci] amp_mgms {}: failed", &COMMIT[..10])));
    let text = message.body_text(0).unwrap();
    assert!(text.starts_with(&format!("refs/heads/{BRANCH} by Zoë \"Z\" \\: failed after ")), "{text}");
    assert!(
        text.contains(&format!("\nhttps://ci.example.org/builds/{id}\n")) && text.contains("\nwhy\n"),
        "{text}"
    );
}
