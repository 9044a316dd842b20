//! What `statusd` answers, to whom, and in which form.

use std::{
    fs,
    io::{Read, Write},
    process::{Command, Stdio},
};

use quick_xml::{Reader, events::Event};
use serde_json::Value;

use crate::support::{
    installation::{Installation, Push},
    need::or_skip,
    page::Page,
    wait::until,
};

/// One that succeeded on main, one that failed there, and what they printed.
fn two_builds() -> (Installation, String) {
    let ci = Installation::building(
        r#"echo "line 1 of $AMP_CI_COMMITTER_NAME"; [[ $AMP_CI_COMMITTER_NAME == ana ]] || exit 3"#,
    );
    ci.push(&Push::to("amp_mgms", "main").by("ana", ""));
    let failed = ci.push(&Push::to("amp_mgms", "main").by("ben", ""));
    ci.build(1);
    (ci, failed)
}

fn paths(id: &str) -> Vec<String> {
    let build = ["", ".json", "/output.log"].map(|suffix| format!("/builds/{id}{suffix}"));
    let others = [
        "/",
        "/builds",
        "/branches",
        "/branch?repository=amp_mgms&ref=refs/heads/main",
        "/status.json",
        "/badge.svg?repository=amp_mgms",
        "/failures.atom",
        "/metrics",
        "/style.css",
        "/script.js",
        "/icon-red.svg",
    ];
    build.into_iter().chain(others.map(String::from)).collect()
}

#[test]
fn every_path_answers_get_and_head_and_nothing_else_and_only_to_its_own_names() {
    let (ci, id) = two_builds();
    let page = Page::of(&ci);
    for path in paths(&id) {
        let reply = page.get(&path);
        assert_eq!(reply.status, 200, "{path}");
        let policy = reply.value("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'")
                && !policy.contains("unsafe"),
            "{path}"
        );
        assert_eq!(reply.value("x-content-type-options"), "nosniff", "{path}");
        assert_ne!(reply.value("cache-control"), "", "{path}");
        let head = page.ask("HEAD", &path, &[]);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        if !path.starts_with("/metrics") && !path.contains("json") {
            assert_eq!(head.value("content-length"), reply.body.len().to_string(), "{path}");
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let refused = page.ask(method, &path, &[]);
            assert_eq!((refused.status, refused.value("allow")), (405, "GET,HEAD"), "{method} {path}");
        }
        assert_eq!(page.ask("GET", &path, &[("Host", "evil.example")]).status, 421, "{path}");
        assert_eq!(page.ask("GET", &path, &[("Host", "localhost:80")]).status, 200, "{path}");
    }
    for path in [
        "/nothing",
        "/builds/1.5",
        "/builds/..%2f..%2fetc",
        "/builds/../../etc/passwd",
        "/builds/x.json",
        "/builds/1.5/output.log",
        "/builds/%ff",
        "/icon-x.svg",
        "/queue/",
        "/builds/.removed-1.5",
    ] {
        let status = page.get(path).status;
        assert!(matches!(status, 400 | 404), "{path}: {status}");
    }
    assert_eq!(page.get("/?unknown=query&%ff").status, 200);
}

#[test]
fn an_unchanged_page_is_304_and_a_changed_one_is_not() {
    let (ci, id) = two_builds();
    let page = Page::of(&ci);
    let pages =
        ["/".to_string(), format!("/builds/{id}"), "/status.json".to_string(), "/failures.atom".to_string()];
    for path in pages {
        let tag = page.get(&path).value("etag").to_string();
        assert!(tag.starts_with("W/\""), "{path}");
        let again = page.ask("GET", &path, &[("If-None-Match", &tag)]);
        assert_eq!((again.status, again.body.len(), again.value("etag")), (304, 0, tag.as_str()), "{path}");
        let entry = ci.push(&Push::to("amp_mgms", "other"));
        assert_eq!(page.ask("GET", &path, &[("If-None-Match", &tag)]).status, 200, "{path}");
        fs::remove_file(ci.path(&format!("queue/build-{entry}"))).unwrap();
    }
}

#[test]
fn the_log_is_sent_by_ranges_and_followed_to_its_end() {
    let ci = Installation::new();
    ci.chunk("checkout_repos", "true");
    ci.chunk("build_packages", &format!("echo first\n{}\necho last", ci.stop_at("middle")));
    let id = ci.push(&Push::to("amp_mgms", "main"));
    let page = Page::of(&ci);
    let mut build = ci.start_build(1);
    ci.wait_at("middle");
    let log = format!("/builds/{id}/output.log");
    let mut follower = page.connect();
    let request = format!("GET {log}?follow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    follower.write_all(request.as_bytes()).unwrap();
    let mut seen = Vec::new();
    until("the first line is followed", || {
        let mut some = [0; 4096];
        let read = follower.read(&mut some).unwrap();
        seen.extend_from_slice(&some[..read]);
        String::from_utf8_lossy(&seen).contains("\nfirst").then_some(())
    });
    ci.let_go("middle");
    follower.read_to_end(&mut seen).unwrap();
    assert!(String::from_utf8_lossy(&seen).contains("\nlast\n"), "it ends with the build");
    build.wait();

    let whole = page.get(&log);
    assert_eq!(whole.body, fs::read(ci.record().dir.join("output.log")).unwrap());
    assert_eq!(
        (whole.value("content-type"), whole.value("accept-ranges")),
        ("text/plain; charset=utf-8", "bytes")
    );
    let length = whole.body.len();
    let range = |range: &str| page.ask("GET", &log, &[("Range", range)]);
    let part = range("bytes=2-5");
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[2..6]));
    assert_eq!(part.value("content-range"), format!("bytes 2-5/{length}"));
    assert_eq!(range("bytes=-3").body, &whole.body[length - 3..]);
    let head = page.ask("HEAD", &log, &[("Range", "bytes=2-5")]);
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some(length.to_string().as_str())),
        "GET alone has parts"
    );
    let beyond = range(&format!("bytes={length}-"));
    assert_eq!(
        (beyond.status, beyond.body.len(), beyond.value("content-range")),
        (416, 0, format!("bytes */{length}").as_str())
    );
}

#[test]
fn metrics_are_as_prometheus_wants_them_and_name_no_ref_and_no_commit() {
    let (ci, _) = two_builds();
    ci.push(&Push::to("amp_mgms", "a-ref-that-a-pusher-chose"));
    let text = Page::of(&ci).text("/metrics");
    assert!(text.contains("amp_ci_queue_entries{state=\"waiting\"} 1\n"), "{text}");
    assert!(text.contains("amp_ci_records{repository=\"amp_mgms\",outcome=\"failed\"} 1\n"), "{text}");
    assert!(text.contains("amp_ci_last_build_success{repository=\"amp_mgms\"} 0\n"), "{text}");
    assert!(!text.contains("chose") && !text.contains("84ce5ae"), "{text}");
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let missing = promtool.is_err().then_some("promtool is not installed (prometheus)");
    if !or_skip("AMP_CI_REQUIRE_BROWSER", missing) {
        return;
    }
    let mut promtool = promtool.unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The texts of all elements, by their names with those around them; of a link, where it leads.
fn elements(xml: &str) -> Vec<(String, String)> {
    let mut reader = Reader::from_str(xml);
    let (mut path, mut found) = (Vec::new(), Vec::<(String, String)>::new());
    let add = |found: &mut Vec<(String, String)>, path: &[String], text: &str| {
        if let Some((_, of_it)) = found.last_mut().filter(|(name, _)| *name == path.join("/")) {
            *of_it += text;
        }
    };
    loop {
        match reader.read_event().expect("well-formed") {
            Event::Start(start) => {
                path.push(start.name().as_ref().to_string());
                found.push((path.join("/"), String::new()));
            }
            Event::Empty(link) => {
                let href = link.try_get_attribute("href").unwrap().expect("it leads somewhere");
                found.push((format!("{}/{}", path.join("/"), link.name().as_ref()), href.value.to_string()));
            }
            Event::Text(text) => add(&mut found, &path, &text),
            Event::GeneralRef(name) => {
                let character = match &*name {
                    "amp" => "&",
                    "lt" => "<",
                    "gt" => ">",
                    "quot" => "\"",
                    "apos" => "'",
                    other => panic!("&{other};"),
                };
                add(&mut found, &path, character);
            }
            Event::End(_) => _ = path.pop(),
            Event::Eof => return found,
            _ => {}
        }
    }
}

#[test]
fn the_feed_has_what_atom_asks_for_and_names_what_failed_the_same_for_ever() {
    let ci = Installation::building("[[ $AMP_CI_COMMITTER_NAME == ana ]]");
    let names = ["ana", "ben", "<b>&amp; ]]>", "a\"'\u{fffe}\u{202e}\u{1}z"];
    for name in names {
        ci.push(&Push::to("amp_mgms", "main").by(name, ""));
    }
    ci.build(1);
    let feed = Page::of(&ci).get("/failures.atom");
    assert_eq!(feed.header("content-type"), Some("application/atom+xml; charset=utf-8"));
    let found = elements(&feed.text());
    let texts = |path: &str| -> Vec<&str> {
        found.iter().filter(|(name, _)| name == path).map(|(_, text)| text.as_str()).collect()
    };
    // RFC 4287, 4.1.1 and 4.1.2.
    for element in ["feed/id", "feed/title", "feed/updated"] {
        assert_eq!(texts(element).len(), 1, "{element}: {found:?}");
    }
    for element in ["id", "title", "updated", "author", "author/name", "link", "summary"] {
        assert_eq!(
            texts(&format!("feed/entry/{element}")).len(),
            3,
            "what failed, and not what succeeded: {element}"
        );
    }
    for time in [texts("feed/updated"), texts("feed/entry/updated")].concat() {
        time.parse::<jiff::Timestamp>().unwrap();
    }
    assert_eq!(texts("feed/updated")[0], texts("feed/entry/updated")[0], "the newest is first");
    for link in [texts("feed/link"), texts("feed/entry/link")].concat() {
        assert!(link.starts_with("http://127.0.0.1:"), "{link}");
    }
    assert_eq!(texts("feed/entry/author/name")[1..], [names[2], "ben"]);
    let mut ids = texts("feed/entry/id");
    for (id, record) in ids.iter().rev().zip(&ci.records()[1..]) {
        assert_eq!(*id, format!("tag:127.0.0.1,2026:amp_ci/{}", record.id));
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[test]
fn whose_push_broke_a_branch_is_said_on_its_page_and_with_each_build_that_is_red_since() {
    let (ci, broke) = two_builds();
    let still = ci.push(&Push::to("amp_mgms", "main").by("eve", ""));
    ci.build(1);
    let page = Page::of(&ci);
    let branch = page.text("/branch?repository=amp_mgms&ref=refs/heads/main");
    assert!(branch.contains("went red <time") && branch.contains("broken by <bdi>ben</bdi>"), "{branch}");
    assert!(branch.contains(&format!("href=\"/builds/{broke}\">what broke</a>")), "{branch}");
    let red_since = format!("<dt>Red since</dt><dd><a href=\"/builds/{broke}\"><time");
    assert!(page.text(&format!("/builds/{still}")).contains(&red_since));
    let own = page.text(&format!("/builds/{broke}"));
    assert!(
        !own.contains("Red since") && own.contains("<dt>Before it</dt><dd><bdi>succeeded</bdi>"),
        "{own}"
    );
}

#[test]
fn badges_tell_the_last_counted_outcome_and_unknown_ones_are_no_error() {
    let (ci, _) = two_builds();
    let page = Page::of(&ci);
    for (query, message) in [
        ("repository=amp_mgms", "failing"),
        ("repository=amp_mgms&ref=main", "failing"),
        ("repository=amp_mgms&ref=refs/heads/main", "failing"),
        ("repository=amp_mgms&ref=other", "no builds"),
        ("repository=%3Cscript%3E", "no builds"),
        ("", "no builds"),
    ] {
        let badge = page.get(&format!("/badge.svg?{query}"));
        assert_eq!(badge.status, 200, "{query}");
        assert!(badge.text().contains(&format!("build: {message}")), "{query}");
        assert!(badge.value("cache-control").contains("no-store"));
    }
}

#[test]
fn health_agrees_with_the_top_line_and_says_why() {
    let (ci, _) = two_builds();
    let drain = |state: &str| fs::write(ci.path("queue/drain.json"), state).unwrap();
    let page = Page::of(&ci);
    drain(r#"{"pid":1,"looked":"2020-01-01T00:00:00Z","ended":"2020-01-01T00:00:00Z"}"#);
    let ill = page.get("/healthz");
    assert_eq!(ill.status, 503);
    assert!(ill.text().starts_with("status: failing\ndrain: no build has looked"), "{}", ill.text());
    assert!(page.text("/").contains("CI itself is not well"));
    let now = Command::new("date").args(["-u", "+%FT%TZ"]).output().unwrap();
    drain(&format!(r#"{{"pid":1,"looked":"{}"}}"#, String::from_utf8(now.stdout).unwrap().trim()));
    let well = page.get("/healthz");
    assert_eq!((well.status, well.text().as_str()), (200, "status: ok\n"));
    assert!(page.text("/").contains("CI is well"));
}

#[test]
fn a_thousand_silent_clients_and_one_that_takes_nothing_keep_nobody_waiting() {
    let (ci, id) = two_builds();
    fs::write(ci.path(&format!("builds/{id}/output.log")), vec![b'x'; 32 << 20]).unwrap();
    let page = Page::of(&ci);
    let mut slow = page.connect();
    slow.write_all(format!("GET /builds/{id}/output.log HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
        .unwrap();
    let silent: Vec<_> = (0..1000).map(|_| page.connect()).collect();
    assert_eq!(page.get("/").status, 200);
    assert!(!page.get("/healthz").body.is_empty());
    let status = fs::read_to_string(format!("/proc/{}/status", page.pid())).unwrap();
    let resident: u64 = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap();
    assert!(resident < 60 << 10, "{resident} kB with a thousand clients");
    drop(silent);
}

#[test]
fn however_many_clients_ask_nothing_or_take_nothing_the_next_one_is_answered() {
    let (ci, id) = two_builds();
    fs::write(ci.path(&format!("builds/{id}/output.log")), vec![b'x'; 8 << 20]).unwrap();
    // Descriptors for some 60 of them.
    let page = Page::on_few_descriptors(&ci, 128);
    let begun = [
        String::new(),
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: ".to_string(),
        format!("GET /builds/{id}/output.log HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_string(),
    ];
    let mut crowd = Vec::new();
    for number in 0..400 {
        let mut client = page.connect();
        // It may have to go before it has said all.
        let _ = client.write_all(begun[number % begun.len()].as_bytes());
        crowd.push(client);
        if number % 50 == 49 {
            assert_eq!(page.get("/").status, 200, "after {number}");
        }
    }
}

#[test]
fn who_names_somebody_else_in_any_place_gets_nothing() {
    let (ci, _) = two_builds();
    let page = Page::of(&ci);
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: localhost\r\n", "200"),
        ("GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n", "421"),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n", "421"),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n", "421"),
        ("GET / HTTP/1.1\r\nHost: evil.example@localhost\r\n", "421"),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n", "421"),
        ("GET / HTTP/1.1\r\n", "421"),
        ("GET / HTTP/1.0\r\n", "421"),
    ] {
        let mut client = page.connect();
        client.write_all(format!("{request}Connection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{request}");
    }
}

#[test]
fn the_document_is_the_same_in_the_terminal_and_in_the_browser() {
    let (ci, _) = two_builds();
    let without_time = |text: &[u8]| {
        let mut document: Value = serde_json::from_slice(text).unwrap();
        document["now"].take();
        document["disk"].take();
        document
    };
    let terminal = ci.command("build").args(["status", "--json"]).output().unwrap();
    assert_eq!(without_time(&terminal.stdout), without_time(&Page::of(&ci).get("/status.json").body));
}
