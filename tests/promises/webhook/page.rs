//! The page beside the daemon, as `start_webhook.sh` and `stop_webhook.sh` handle it.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Output,
};

use crate::support::checkout::Checkout;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A start that has to succeed; what it says.
fn started(checkout: &Checkout, page: Option<&str>) -> String {
    let mut start = checkout.start();
    start
        .envs(page.map(|page| ("AMP_CI_PAGE", page)))
        .env("AMP_CI_SMTP_URL", "smtp://user:passw0rd@localhost");
    let started = start.env("LANG", "C.UTF-8").env("TZ", "UTC").output().unwrap();
    assert!(started.status.success(), "{}", said(&started));
    said(&started)
}

/// What the page that is announced there answers on this path.
fn page(said: &str, path: &str) -> String {
    let (_, url) = said.split_once("the page is on http://").unwrap_or_else(|| panic!("no page: {said}"));
    let address = url.split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_page_comes_and_goes_with_the_daemon_and_knows_no_secret() {
    let checkout = Checkout::new();
    let said_first = started(&checkout, Some("127.0.0.1:0"));
    assert!(page(&said_first, "/status.json").contains("\"schema\""), "{said_first}");

    let pid = checkout.pid_in("statusd.pid").unwrap();
    let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    let mut names: Vec<&str> =
        environment.split_terminator('\0').filter_map(|one| Some(one.split_once('=')?.0)).collect();
    names.sort_unstable();
    assert_eq!(names, ["AMP_CI_HOME", "LANG", "PATH", "TZ"]);

    let again = started(&checkout, Some("127.0.0.1:0"));
    assert!(again.contains("the page is there already"), "{again}");
    let stopped = said(&checkout.stop());
    assert!(stopped.contains("statusd: stopped") && stopped.contains("webhookd: stopped"), "{stopped}");
    assert_eq!(checkout.pid_in("statusd.pid"), None);
    assert!(!fs::exists(format!("/proc/{pid}/exe")).unwrap(), "it still runs");
}

#[test]
fn the_page_is_started_beside_a_daemon_that_runs_already() {
    let checkout = Checkout::new();
    let without = started(&checkout, None);
    let hint: Vec<&str> = without.lines().filter(|line| line.contains("AMP_CI_PAGE=")).collect();
    assert_eq!(hint.len(), 1, "one line says how to have it: {without}");
    assert_eq!(checkout.pid_in("statusd.pid"), None);

    checkout.settings("SECRET=k3y\nAMP_CI_PAGE=127.0.0.1:0 AMP_CI_PAGE_URL=https://ci.example.edu\n");
    let with = started(&checkout, None);
    assert!(with.contains("already running"), "{with}");
    assert!(page(&with, "/").starts_with("HTTP/1.1 200"), "{with}");
}

#[test]
fn a_page_that_does_not_start_never_keeps_the_daemon_from_starting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (listen, why) in [(&*taken, &*taken), ("nonsense", "--listen"), ("127.0.0.1:0", "statusd")] {
        let checkout = Checkout::new();
        if listen == "127.0.0.1:0" {
            fs::remove_file(checkout.file("bin/statusd")).unwrap();
        }
        let said = started(&checkout, Some(listen));
        assert!(said.contains("no page") && said.contains(why), "{said}");
        assert!(said.contains("serving hooks on"), "{said}");
        assert_eq!(checkout.pid_in("statusd.pid"), None);
    }
}
