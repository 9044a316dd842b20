//! HTTP as nobody should speak it: bounded memory and time, and others are served meanwhile.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::json;

use crate::support::{
    daemon::{Daemon, Setup, hooks_file, shell},
    http::raw_request,
    wait::wait_until,
};

/// What the daemon may take at most, in kibibytes, with what these tests ask of it.
const MEMORY: u64 = 256 << 10;

fn hooks() -> String {
    let rule = json!({"match": {"type": "value", "value": "x", "parameter": {"source": "payload", "name": "a.b.c"}}});
    hooks_file(&[
        shell("echo", "echo served", json!({})),
        shell("rule", "echo fired", json!({"trigger-rule": rule})),
    ])
}

fn assert_serves(daemon: &Daemon, what: &str) {
    assert_eq!(daemon.get("/hooks/echo").text(), "served\n", "{what}");
}

/// All that it answers until it closes the connection or has nothing more to say.
fn answers(daemon: &Daemon, raw: &[u8]) -> String {
    let mut stream = daemon.connect();
    let _ = stream.write_all(raw);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn lengths_that_are_wrong_or_contradict_each_other_smuggle_no_second_request() {
    let daemon = Daemon::start(&hooks());
    let smuggled = "GET /hooks/echo HTTP/1.1\r\nHost: x\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: 99999999999999999999999",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: identity, chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Content-Length : 5",
    ] {
        let raw = format!("POST /hooks/rule HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\nhello{smuggled}");
        let said = answers(&daemon, raw.as_bytes());
        assert!(!said.contains("served"), "{headers}: {said}");
        // An empty answer is a connection that was closed; one that reads it as chunked reads no second request.
        assert!(said.matches("HTTP/1.1 ").count() <= 1 && !said.contains("fired"), "{headers}: {said}");
        assert!(!said.starts_with("HTTP/1.1 2") || said.contains("Connection: close"), "{headers}: {said}");
    }
    assert_serves(&daemon, "afterwards");
}

#[test]
fn a_body_that_never_ends_is_cut_off_and_others_are_served_meanwhile() {
    let daemon = Daemon::start(&hooks());
    let mut stream = daemon.connect();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"POST /hooks/rule HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let chunk = [b"10000\r\n", &vec![b'x'; 0x10000][..], b"\r\n"].concat();
    let mut sent = 0_u64;
    while stream.write_all(&chunk).is_ok() {
        sent += 0x10000;
        assert!(sent < 1 << 30, "it stops taking it");
        if sent == 0x10000 * 100 {
            assert_serves(&daemon, "in mid-body");
        }
    }
    assert!(sent >= 25 << 20, "{sent}");
    assert_serves(&daemon, "afterwards");
    assert!(daemon.peak_kib() < MEMORY, "{} KiB", daemon.peak_kib());
}

#[test]
fn a_document_that_is_nested_without_end_or_very_wide_is_no_danger() {
    let daemon = Daemon::start(&hooks());
    let depth = 5 << 20;
    let deep = |open: &str, close: &str| {
        format!("{}1{}", open.repeat(depth / open.len()), close.repeat(depth / open.len()))
    };
    let xml = format!("{}{}", "<a>".repeat(depth / 3), "</a>".repeat(depth / 3));
    let form = format!("a{}=x", "[b]".repeat(depth / 3));
    let wide = format!("{{\"a\":[{}1]}}", "1,".repeat(depth));
    for (content_type, body) in [
        ("application/json", deep("[", "]")),
        ("application/json", deep("{\"a\":", "}")),
        ("application/json", "[".repeat(depth)),
        ("application/json", wide),
        ("application/xml", xml),
        ("application/x-www-form-urlencoded", form),
        ("application/x-www-form-urlencoded", "a&".repeat(depth / 2)),
    ] {
        let reply = daemon.request("POST", "/hooks/rule", &[("Content-Type", content_type)], body.as_bytes());
        assert!(!reply.text().contains("fired"), "{content_type}");
        assert_serves(&daemon, content_type);
    }
    assert!(daemon.peak_kib() < 4 * MEMORY, "{} KiB", daemon.peak_kib());
}

#[test]
fn a_thousand_idle_connections_and_slow_senders_take_little_and_hold_up_nobody() {
    let daemon = Setup::new(&hooks()).flags(&["-header-timeout", "1m", "-body-timeout", "1m"]).start();
    let head = raw_request("POST", "/hooks/echo", &[], b"0123456789");
    let mut open: Vec<TcpStream> = (0..1000).map(|_| daemon.connect()).collect();
    for (number, stream) in open.iter_mut().enumerate() {
        // A byte, half a head, or a head and half a body.
        let part = [0, 1, head.len() / 2, head.len() - 5][number % 4];
        let _ = stream.write_all(&head[..part]);
    }
    wait_until("it serves", || daemon.get("/hooks/echo").text() == "served\n");
    for stream in open.iter_mut().step_by(50) {
        let _ = stream.write_all(b"x");
        assert_serves(&daemon, "between two bytes of slow ones");
    }
    assert!(daemon.peak_kib() < MEMORY / 2, "{} KiB", daemon.peak_kib());
}
