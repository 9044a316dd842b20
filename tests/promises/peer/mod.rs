//! The same hooks file and the same requests for Debian's `webhook` and for `webhookd`: status, headers, body, what
//! the command got, and the log are compared line by line. What differs on purpose stands in [`differs_on_purpose`].

use std::{
    env, fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use regex::Regex;
use serde_json::{Value, json};

use amp_ci::text::printable;

use crate::support::{
    daemon::{Daemon, Setup, hooks_file, shell},
    files::executable,
    http::{Reply, raw_request},
    need::skip,
    wait::until,
};

mod cases;
mod generated;
mod hooks_files;

/// The peer's program; without it these tests have nothing to compare with, and say so.
fn peer() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join("webhook")).find(|program| {
        let version = Command::new(program).arg("-version").output();
        version.is_ok_and(|output| output.stdout.starts_with(b"webhook version"))
    });
    if found.is_none() {
        skip("AMP_CI_REQUIRE_PEER", "there is no webhook to compare with: apt-get install webhook");
    }
    found
}

/// A request, and where it stands in the tables.
struct Case {
    name: String,
    raw: Vec<u8>,
}

impl Case {
    /// Is its answer given before its command runs? Then the log's order is left to chance.
    fn is_background(&self) -> bool {
        self.name.contains("/hooks/async-")
    }
}

impl Case {
    fn new(name: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self { name: name.to_owned(), raw: raw_request(method, path, headers, body) }
    }
}

/// Both daemons on the same hooks.
struct Pair {
    peer: Daemon,
    ours: Daemon,
    differences: Vec<String>,
    requests: usize,
}

impl Pair {
    fn start(program: &Path, hooks: &[Value], flags: &[&str]) -> Self {
        let text = readable_for_yaml(&hooks_file(hooks));
        let setup = || {
            let setup = Setup::new(&text).flags(flags);
            fs::create_dir(setup.dir().join("tmp")).unwrap();
            let tmp = setup.dir().join("tmp");
            executable(&setup.dir().join("show"), SHOW);
            executable(&setup.dir().join("no-interpreter"), "echo x\n");
            setup.variable("TMPDIR", tmp.to_str().unwrap()).variable("GREETING", "hello")
        };
        // The peer cannot say which port it got.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let peer = setup().program(program).flags(&["-ip", "127.0.0.1", "-port", &port]);
        Self {
            peer: peer.start_as_it_is(&["-verbose"]),
            ours: setup().start(),
            differences: Vec::new(),
            requests: 0,
        }
    }

    fn compare(&mut self, case: &Case) {
        self.requests += 1;
        let peer = exchange(&self.peer, case);
        let ours = exchange(&self.ours, case);
        if peer != ours && !differs_on_purpose(case) {
            self.differences.push(format!("{}\n{}", case.name, difference(&peer, &ours)));
        }
    }

    fn finish(self) {
        let shown: Vec<&str> = self.differences.iter().take(100).map(String::as_str).collect();
        assert!(
            shown.is_empty(),
            "{} of {} requests differ:\n\n{}",
            self.differences.len(),
            self.requests,
            shown.join("\n")
        );
    }
}

/// JSON as serde writes it holds a few characters that the peer's YAML parser wants to see escaped.
fn readable_for_yaml(json: &str) -> String {
    let escape = |c: char| {
        let escaped = matches!(c, '\u{7f}'..='\u{9f}');
        if escaped { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }
    };
    json.chars().map(escape).collect()
}

/// What differs on purpose, by its request.
fn differs_on_purpose(case: &Case) -> bool {
    let line = case.raw.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let path = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    // A multipart body is what it is, also where its boundary's name makes it XML.
    case.name.contains("boundary=xmlb")
        // After a large request the connection is not kept.
        || path == b"/hooks/long"
        // An error of HTTP itself has a length.
        || path.starts_with(b"/hooks/%") && path.len() < 11
        // Since 2.8.1 the headers of the command line go with the page at / too.
        || path == b"/"
        || path.starts_with(b"/?")
        // A request line with characters that no URL has is refused.
        || line.iter().any(|byte| b"<>\"".contains(byte))
}

/// The answer and the log lines of one request, made comparable.
fn exchange(daemon: &Daemon, case: &Case) -> Vec<String> {
    let start = daemon.log_length();
    let mut stream = daemon.connect();
    stream.write_all(&case.raw).unwrap();
    let mut lines = read_answer(&mut stream, case.raw.starts_with(b"HEAD "));
    drop(stream);
    let answered = lines.len();
    // What the router answers by itself is not logged; all else ends with an access line, and its command with one too.
    let logged = || {
        let log = daemon.log_from(start);
        let count = |text: &str| {
            log.lines().filter(|line| line.starts_with("[webhook]") && line.contains(text)).count()
        };
        let fired = count(" hook triggered successfully");
        let over = count("] finished handling ") + count("] error in exec: ");
        let hints = log.lines().filter(|line| NAME_WITH_BLANK.is_match(line)).count();
        let hinted = count("] use 'pass-arguments-to-command' ") >= hints;
        let answered = log.lines().any(|line| ACCESS_LINE.is_match(line));
        (log.ends_with('\n') && answered && over >= fired && hinted).then_some(log)
    };
    let marks = ["Location: ", "400 Bad Request", "404 page not found"];
    let unlogged = lines.iter().any(|line| marks.iter().any(|mark| line.starts_with(mark)))
        || lines == ["400", "Connection: close", "Content-Length: 0"]
        || case.name.starts_with("OPTIONS *");
    if !unlogged {
        let log = until(&format!("the log of {}, answered {lines:?}", case.name), logged);
        lines.extend(log.lines().filter(|line| counts(line)).map(str::to_owned));
    }
    let mut lines: Vec<String> = lines.iter().map(|line| masked(line, daemon)).collect();
    if case.is_background() {
        lines[answered..].sort();
    }
    lines
}

fn read_answer(stream: &mut impl Read, head_only: bool) -> Vec<String> {
    let reply = Reply::read(stream, head_only);
    let mut headers: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| name != "Date")
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    headers.sort();
    let mut lines = vec![reply.status.to_string()];
    lines.extend(headers);
    lines.extend(String::from_utf8_lossy(&reply.body).lines().map(str::to_owned));
    lines
}

/// Of a program that is not found and whose name looks like a command line, a hint is said next.
static ACCESS_LINE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\[webhook\] \S+ \S+ \[[^\]]*\] \d{3} \| ").unwrap());

static NAME_WITH_BLANK: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"\] error in exec: "[^"]* [^"]*":"#).unwrap());

/// What is said of malformed input in words of our own: that it is said, and what comes of it, is compared.
const WORDINGS: &[(&str, &str)] = &[
    (r"error parsing JSON payload file: .*", "error parsing JSON of a file: WHY"),
    (r"error parsing (JSON|form|XML) (?:array )?payload:? .*", "error parsing $1 payload: WHY"),
    (r"(error parsing JSON parameters: )(?:json: |invalid character|(?:unexpected )?EOF|no ).*", "$1WHY"),
    (r"(error parsing multipart form: ).*", "$1WHY"),
    (r"(error reading the request body: ).*", "$1WHY"),
    (r"(error parsing regexp: ).*", "$1WHY"),
    (r"(invalid CIDR address: [^/]*)/32", "$1"),
    (r"(illegal base64 data) at input byte \d+", "$1"),
];

/// What is another one each time.
static MASKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let masks = [
        (r"^\[webhook\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", "[webhook] "),
        (r"^(\[webhook\]|>|<) \[[0-9a-f]{6}\]", "$1 [ID]"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"\| [0-9.]+(ns|µs|ms|s) \|", "| TIME |"),
        // Two parsers, two lists of reason phrases.
        (r"^(< \[ID\] \d{3}) .*", "$1 WHY"),
        // The random digits of temporary files.
        (r"(DIR/(?:tmp/)?[A-Z][A-Za-z_]*?)\d+", "${1}N"),
    ];
    masks.iter().chain(WORDINGS).map(|(pattern, mask)| (Regex::new(pattern).unwrap(), *mask)).collect()
});

/// Words of Go's own server, and the empty line that the peer leaves after a multipart error, say nothing.
fn counts(line: &str) -> bool {
    !line.is_empty() && !line.contains("http: URL query contains semicolon")
}

fn masked(line: &str, daemon: &Daemon) -> String {
    // The peer writes control characters as they come, into terminals too.
    let line = printable(line).replace(daemon.dir().to_str().unwrap(), "DIR");
    MASKS.iter().fold(line, |line, (pattern, mask)| pattern.replace_all(&line, *mask).into_owned())
}

/// The first lines that differ.
fn difference(peer: &[String], ours: &[String]) -> String {
    let same = peer.iter().zip(ours).take_while(|(peer, ours)| peer == ours).count();
    let shown = |who: &str, lines: &[String]| {
        let lines = lines.iter().skip(same).take(4);
        let lines = lines.map(|line| format!("  {who}: {}", line.chars().take(300).collect::<String>()));
        lines.collect::<Vec<_>>().join("\n")
    };
    format!("{}\n{}\n", shown("peer", peer), shown("ours", ours))
}

/// Prints what it was given.
const SHOW: &str = r#"#!/bin/bash
printf '<%s>' "$0" "$@"; echo
pwd
env | grep -a -E '^(HOOK_|V_|GREETING)' | sed -E 's/[0-9]{4,}$/N/' | sort
for name in ${!F_@} HOOK_FILE; do printf '%s: ' "$name"; stat -c '%a %s' "${!name}" 2>&1 && cat "${!name}"; echo; done
"#;

#[test]
fn requests_of_all_kinds_are_answered_alike() {
    let Some(program) = peer() else { return };
    let (hooks, requests) = cases::table();
    let mut pair = Pair::start(&program, &hooks, &["-header", "x-line=1"]);
    for case in &requests {
        pair.compare(case);
    }
    assert!(pair.requests > 2000, "{} requests", pair.requests);
    pair.finish();
}

#[test]
fn requests_are_dumped_alike() {
    let Some(program) = peer() else { return };
    let (hooks, requests) = cases::table();
    let mut pair = Pair::start(&program, &hooks, &["-debug", "-header", "x-line=1", "-header", "x-b=2"]);
    // Of a failing hook with a content type of its own, and of headers that are not fit for the wire, the peer dumps
    // others than it sends; here they are those that are sent.
    let says_close = |case: &Case| case.raw.windows(17).any(|text| text == b"Connection: close");
    let sample = requests.iter().enumerate().filter(|(number, case)| number % 7 == 0 || says_close(case));
    let unlike =
        |case: &Case| ["/hooks/kind-failing", "/hooks/headers"].iter().any(|hook| case.name.contains(hook));
    for (_, case) in sample.filter(|(_, case)| !unlike(case)) {
        pair.compare(case);
    }
    pair.finish();
}

#[test]
fn flags_change_answers_alike() {
    let Some(program) = peer() else { return };
    let hooks = [
        shell("a", "echo a", json!({})),
        shell("own", "echo own", json!({"http-methods": ["GET"]})),
        shell("x/y", "echo deep", json!({})),
    ];
    let paths = [
        "/", "/a", "/hooks/a", "/p/a", "/p/q/a", "/p/x/y", "/p/q/x/y", "/x/y", "/own", "/p/own", "/p", "/p/",
        "/p/q",
    ];
    for flags in [
        &["-urlprefix", ""][..],
        &["-urlprefix", "p"],
        &["-urlprefix", "p/q"],
        &["-urlprefix", "/p"],
        &["-urlprefix", "p/"],
        &["-http-methods", "post, PUT"],
        &["-http-methods", ","],
        &["-x-request-id"],
        &["-x-request-id", "-x-request-id-limit", "3"],
        &[
            "-header",
            "Content-Type=x/y",
            "-header",
            "x-a=1",
            "-header",
            "X-A=2",
            "-header",
            "bad name=x",
            "-header",
            "=x",
        ],
    ] {
        let mut pair = Pair::start(&program, &hooks, flags);
        for path in paths {
            for method in ["GET", "POST"] {
                let id = [("X-Request-Id", "abcdef")];
                pair.compare(&Case::new(&format!("{flags:?} {method} {path}"), method, path, &id, b""));
            }
        }
        pair.finish();
    }
}
