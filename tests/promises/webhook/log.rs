//! What the log says, and that nothing from outside can put words into it.

use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, Setup, WEBHOOKD, hooks_file, shell},
    files::executable,
    wait::until,
};

/// The lines of one request, without prefix, time and id.
fn lines_of(daemon: &Daemon, after: &str) -> Vec<String> {
    let lines = || -> Vec<String> {
        let log = daemon.log();
        let start = log.rfind(after).unwrap_or(log.len());
        let start = log[..start].rfind('\n').map_or(0, |end| end + 1);
        log[start..].lines().map(strip).collect()
    };
    until("the access line", || Some(lines()).filter(|lines| lines.iter().any(|line| line.contains(" | "))))
}

/// `[webhook] 2026/11/22 11:14:05 [3f3e5e] text` as `text`.
fn strip(line: &str) -> String {
    let Some(rest) = line.strip_prefix("[webhook] ") else { return line.to_owned() };
    let (time, rest) = rest.split_at(20);
    assert!(
        time.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'/',
            10 | 19 => byte == b' ',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        }),
        "{line}"
    );
    match rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((id, text)) if id.len() == 6 => text.to_owned(),
        _ => rest.to_owned(),
    }
}

#[test]
fn the_lines_of_a_request_come_in_the_order_of_webhook() {
    let daemon = Daemon::start(&hooks_file(&[
        shell(
            "sync",
            "printf 'a\\nb'",
            json!({
            "pass-environment-to-command": [{"source": "string", "name": "v", "envname": "V"}, {"source": "payload", "name": "x"}],
            "pass-file-to-command": [{"source": "string", "name": "content", "envname": "F"}]}),
        ),
        shell("put", "", json!({"http-methods": ["PUT"]})),
        shell(
            "ruled",
            "",
            json!({"trigger-rule": {"match": {"type": "value", "value": "x",
            "parameter": {"source": "payload", "name": "a.b"}}}}),
        ),
    ]));
    daemon.post("/hooks/sync?q=1", "{}");
    let lines = lines_of(&daemon, "POST /hooks/sync?q=1");
    // The access line comes last.
    assert!(
        lines[0].starts_with("200 | 3 B | ") && lines[0].ends_with(" | test | POST /hooks/sync?q=1"),
        "{lines:?}"
    );
    let log = daemon.log();
    let lines: Vec<String> =
        log.lines().skip_while(|line| !line.contains("incoming HTTP")).map(strip).collect();
    let file = lines.iter().find_map(|line| line.strip_prefix("removing file ")).unwrap();
    let port = lines[0].strip_prefix("incoming HTTP POST request from 127.0.0.1:");
    assert!(port.is_some(), "{lines:?}");
    assert_eq!(
        lines[1..lines.len() - 1],
        [
            "sync got matched",
            "sync hook triggered successfully",
            "error extracting command arguments for environment: couldn't retrieve argument for \
             {Source:payload Name:x EnvName: Base64Decode:false}",
            &format!("writing env F file {file}"),
            &format!(
                "executing /bin/sh (/bin/sh) with arguments [\"/bin/sh\" \"-c\" \"printf 'a\\\\nb'\"] and \
                 environment [V=v F={file}] using  as cwd"
            ),
            "command output: a",
            "b",
            &format!("removing file {file}"),
            "finished handling sync",
        ]
    );

    daemon.get("/hooks/put");
    daemon.wait_for_line("HTTP GET method not allowed for hook \"put\"");
    daemon.wait_for_line("405 | 0 B | ");
    daemon.post("/hooks/ruled", "{}");
    daemon.wait_for_line("parameter node not found: a.b");
    daemon.wait_for_line(
        "ruled got matched, but didn't get triggered because the trigger rules were not satisfied",
    );
}

#[test]
fn the_start_is_logged_in_the_words_of_webhook() {
    let daemon = Daemon::start(&hooks_file(&[shell("a", "", json!({}))]));
    let log = daemon.log();
    let lines: Vec<String> = log.lines().map(strip).collect();
    assert_eq!(
        lines,
        [
            format!("version {} starting", env!("CARGO_PKG_VERSION")),
            "setting up os signal watcher".to_owned(),
            "os signal watcher ready".to_owned(),
            "attempting to load hooks from hooks.json".to_owned(),
            "found 1 hook(s) in file".to_owned(),
            "\tloaded: a".to_owned(),
            format!("serving hooks on http://{}/hooks/{{id}}", daemon.address),
        ]
    );
}

#[test]
fn no_request_and_no_output_can_forge_a_line() {
    let daemon = Setup::new(&hooks_file(&[shell(
        "a",
        "printf '%s' \"$0\"; printf '\\n[webhook] 2026/01/01 00:00:00 forged\\n\\033[2J'",
        json!({
            "pass-arguments-to-command": [
                {"source": "string", "name": "-c"},
                {"source": "string", "name": "printf '\\n[webhook] 2026/01/01 00:00:00 forged\\n\\033[2J'"},
                {"source": "payload", "name": "x"}],
            "pass-environment-to-command": [{"source": "payload", "name": "x", "envname": "X"}],
        }),
    )]))
    .flags(&["-x-request-id", "-debug"])
    .start();
    let evil = r#"{"x": "\n[webhook] 2026/01/01 00:00:00 forged\u001b[2J\u2028"}"#;
    let id = "x] root got matched";
    let headers = [("Content-Type", "application/json"), ("X-Request-Id", id), ("X-Evil", "\u{85}")];
    daemon.request("POST", "/hooks/a", &headers, evil.as_bytes());
    daemon.get("/hooks/%0d%1b[2J");
    daemon.wait_for_line("404 | ");
    let log = daemon.log();
    assert!(log.contains("forged"));
    assert!(!log.lines().any(|line| line.starts_with("[webhook] 2026/01/01")), "{log}");
    assert!(!log.contains(['\u{1b}', '\u{2028}', '\u{85}', '\r']), "{log}");
    assert!(!log.contains("[x] root"), "{log}");
    assert!(log.contains("[x__root_got_matched] "), "{log}");
}

#[test]
fn a_clients_id_is_used_when_allowed_and_cut() {
    let hooks = hooks_file(&[shell("a", "", json!({}))]);
    let id = [("X-Request-Id", "abcdefgh")];
    let daemon = Setup::new(&hooks).flags(&["-x-request-id", "-x-request-id-limit", "3"]).start();
    daemon.request("GET", "/hooks/a", &id, b"");
    daemon.wait_for_line("[abc] a got matched");
    let daemon = Daemon::start(&hooks);
    daemon.request("GET", "/hooks/a", &id, b"");
    assert!(!daemon.wait_for_line("a got matched").contains("abc"));
}

#[test]
fn debug_shows_request_and_answer() {
    let daemon = Setup::new(&hooks_file(&[shell("a", "printf 'x\\ny'", json!({}))]))
        .flags(&["-debug", "-header", "x-z=1"])
        .start();
    daemon.request("POST", "/hooks/a?q=1", &[("x-b", "2"), ("x-a", "1"), ("x-a", "3")], b"one\ntwo");
    daemon.wait_for_line("200 | ");
    let log = daemon.log();
    let dumped = |mark: &str| -> Vec<String> {
        let lines = log.lines().filter(|line| line.starts_with(mark));
        lines.map(|line| line.split_once(']').unwrap().1.to_owned()).collect()
    };
    assert_eq!(
        dumped("> ["),
        [
            " POST /hooks/a?q=1 HTTP/1.1",
            " Host: test",
            " Content-Length: 7",
            " X-A: 1",
            " X-A: 3",
            " X-B: 2",
            " ",
            " one",
            " two"
        ]
    );
    assert_eq!(dumped("< ["), [" 0 ", " X-Z: 1", "", " x", " y"]);
}

#[test]
fn a_quiet_daemon_says_nothing() {
    let mut daemon = Setup::new(&hooks_file(&[shell("a", "echo a", json!({}))]))
        .flags(&["-pidfile", "pid", "-ip", "127.0.0.1", "-port", "0"])
        .start_quietly();
    assert_eq!(daemon.get("/hooks/a").text(), "a\n");
    daemon.signal(rustix::process::Signal::HUP);
    assert_eq!(daemon.get("/hooks/none").status, 404);
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(daemon.log(), "");
}

#[test]
fn json_lines_hold_the_same() {
    let daemon = Setup::new(&hooks_file(&[shell("a", "printf 'x\\ny'", json!({}))]))
        .flags(&["-log-format", "json", "-header", "x=y"])
        .start();
    daemon.get("/hooks/a");
    daemon.wait_for_line("200 | ");
    let log = daemon.log();
    let objects: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |text: &str| {
        objects.iter().find(|object| object["message"].as_str().unwrap().contains(text)).unwrap()
    };
    let output = of("command output");
    assert_eq!(output["output"], "x\ny");
    assert_eq!(output["level"], "info");
    assert_eq!(output["request"], of("got matched")["request"]);
    assert!(output["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
}

#[test]
fn a_log_that_nobody_takes_holds_up_neither_requests_nor_the_end() {
    let hooks = hooks_file(&[shell("a", "echo a", json!({}))]);
    let flags = ["-verbose", "-grace-period", "1ms", "-ip", "127.0.0.1", "-port", "0"];
    let setup = Setup::new(&hooks).flags(&flags);
    let wrapper = setup.dir().join("wrapper");
    // A pipe that has no other reader than its own writer.
    executable(&wrapper, format!("#!/bin/sh\nmkfifo stuck\nexec {WEBHOOKD} \"$@\" 2<>stuck\n"));
    let mut daemon = setup.program(wrapper).start_quietly();
    for _ in 0..500 {
        assert_eq!(daemon.get("/hooks/a").text(), "a\n");
    }
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn strangers_fill_no_log_and_what_a_hook_fires_for_is_in_it_all_the_same() {
    let daemon = Daemon::start(&hooks_file(&[shell("a", "echo output", json!({}))]));
    let path = format!("/hooks/{}", "x".repeat(50_000));
    for _ in 0..200 {
        assert_eq!(daemon.get(&path).status, 404);
    }
    assert_eq!(daemon.get("/hooks/a").text(), "output\n");
    daemon.wait_for_line("finished handling a");
    daemon.wait_for_line("a hook triggered successfully");
    daemon.wait_for_line("lines are left out here");
    assert!(daemon.log_length() < 5 << 20, "{} bytes", daemon.log_length());
}
