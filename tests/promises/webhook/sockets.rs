//! Where it listens: both address families, Unix sockets of both kinds, sockets from systemd.

use std::{
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    daemon::{Setup, WEBHOOKD, hooks_file, shell},
    files::{pid_in, temp_dir},
    http::{Reply, raw_request},
    wait::{until, wait_until},
};

fn who() -> String {
    let argument = json!([{"source": "request", "name": "remote-addr"}]);
    hooks_file(&[
        json!({"id": "who", "execute-command": "/bin/echo", "include-command-output-in-response": true,
                        "pass-arguments-to-command": argument}),
    ])
}

fn ask(mut stream: impl std::io::Read + Write) -> String {
    stream.write_all(&raw_request("GET", "/hooks/who", &[], b"")).unwrap();
    Reply::read(&mut stream, false).text()
}

#[test]
fn the_default_address_takes_both_families_and_shows_each_client_as_what_it_is() {
    let daemon = Setup::new(&who()).flags(&["-port", "0"]).start_as_it_is(&["-verbose"]);
    let port = daemon.address.strip_prefix("0.0.0.0:").unwrap();
    assert!(ask(TcpStream::connect(format!("127.0.0.1:{port}")).unwrap()).starts_with("127.0.0.1:"));
    if let Ok(stream) = TcpStream::connect(format!("[::1]:{port}")) {
        assert!(ask(stream).starts_with("[::1]:"));
    }
}

#[test]
fn it_is_noticed_when_the_other_machine_is_gone() {
    let daemon = Setup::new(&who()).start();
    let _client = daemon.connect();
    let port: u16 = daemon.address.rsplit(':').next().unwrap().parse().unwrap();
    let timer = until("the connection's row in the kernel's table", || {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_ours = fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == "01";
            is_ours.then(|| fields[5].to_owned())
        })
    });
    assert!(timer.starts_with("02:"), "{timer}: the timer that asks whether it is still there");
}

#[test]
fn an_ipv6_address_is_written_in_brackets_and_a_name_is_resolved() {
    if TcpListener::bind("[::1]:0").is_ok() {
        let daemon = Setup::new(&who()).flags(&["-ip", "[::1]", "-port", "0"]).start_as_it_is(&["-verbose"]);
        assert!(daemon.address.starts_with("[::1]:"));
        assert!(daemon.get("/hooks/who").text().starts_with("[::1]:"));
    }
    let daemon = Setup::new(&who()).flags(&["-ip", "localhost", "-port", "0"]).start_as_it_is(&["-verbose"]);
    assert!(daemon.address.starts_with("localhost:"));
    assert_eq!(daemon.get("/hooks/who").status, 200);
}

#[test]
fn a_unix_socket_is_served_and_removed() {
    let mut daemon = Setup::new(&who()).flags(&["-socket", "sock"]).start_on_socket();
    daemon.wait_for_line("serving hooks on http://{unix:sock}/hooks/{id}");
    let path = daemon.dir().join("sock");
    assert_eq!(ask(UnixStream::connect(&path).unwrap()), "@\n");
    daemon.wait_for_line("incoming HTTP GET request from @");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_is_replaced_and_a_living_one_or_another_file_is_not() {
    let setup = Setup::new(&who()).flags(&["-socket", "sock"]);
    drop(UnixListener::bind(setup.dir().join("sock")).unwrap());
    let daemon = setup.start_on_socket();
    assert_eq!(ask(UnixStream::connect(daemon.dir().join("sock")).unwrap()), "@\n");

    let setup = Setup::new(&who()).flags(&["-socket", "sock"]);
    let _living = UnixListener::bind(setup.dir().join("sock")).unwrap();
    let refused = setup.run();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).to_lowercase().contains("address already in use"));

    let setup = Setup::new(&who()).file("sock", "mine").flags(&["-socket", "sock"]);
    let refused = setup.run();
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(fs::read_to_string(setup.dir().join("sock")).unwrap(), "mine");
}

#[test]
fn a_daemon_that_finishes_its_commands_leaves_its_successor_the_path() {
    let script = "echo $$ > pid; while ! test -e go; do sleep 0.01; done; echo done";
    let mut first = Setup::new(&hooks_file(&[shell("a", script, json!({}))]))
        .flags(&["-socket", "sock"])
        .start_on_socket();
    let path = first.dir().join("sock");
    let mut running = UnixStream::connect(&path).unwrap();
    running.write_all(&raw_request("GET", "/hooks/a", &[], b"")).unwrap();
    pid_in(&first.dir().join("pid"));
    first.signal(Signal::TERM);
    wait_until("the socket to be closed", || UnixStream::connect(&path).is_err());
    let _second = Setup::new(&who()).flags(&["-socket", path.to_str().unwrap()]).start_on_socket();
    fs::write(first.dir().join("go"), "").unwrap();
    assert_eq!(Reply::read(&mut running, false).text(), "done\n");
    assert_eq!(first.wait().code(), Some(0));
    assert_eq!(ask(UnixStream::connect(&path).unwrap()), "@\n");
}

#[test]
fn an_abstract_socket_is_served() {
    let name = format!("amp_ci-test-{}", std::process::id());
    let daemon = Setup::new(&who()).flags(&["-socket", &format!("@{name}")]).start_on_socket();
    daemon.wait_for_line(&format!("serving hooks on http://{{unix:@{name}}}/hooks/{{id}}"));
    let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    assert_eq!(ask(UnixStream::connect_addr(&address).unwrap()), "@\n");
}

#[test]
fn a_socket_is_not_for_who_gives_up_privileges() {
    let refused = Setup::new(&who()).flags(&["-socket", "sock", "-setuid", "1", "-setgid", "1"]).run();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("-setuid"));
}

/// Starts the daemon as systemd would, with `passed` as descriptor 3 and on, and gives its log's path.
fn activated(dir: &Path, passed: Vec<OwnedFd>) -> (std::process::Child, std::path::PathBuf) {
    let log = dir.join("log");
    // Standard input is duplicated; a shell has no other way to be handed a descriptor.
    let count = passed.len();
    let descriptors: Vec<String> = (3..3 + count).map(|number| format!("exec {number}<&0;")).collect();
    let script = format!(
        "{} export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES=x; exec {WEBHOOKD} -verbose -hooks hooks.json 0</dev/null",
        descriptors.concat()
    );
    let mut passed = passed.into_iter();
    let child = Command::new("/bin/bash")
        .args(["-c", &script])
        .current_dir(dir)
        .stdin(passed.next().map_or_else(Stdio::null, Stdio::from))
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    (child, log)
}

fn serving(log: &Path) -> String {
    until("the daemon to serve", || {
        let text = fs::read_to_string(log).unwrap();
        text.lines().find(|line| line.contains("serving hooks on")).map(str::to_owned)
    })
}

#[test]
fn a_socket_from_systemd_is_served_and_its_variables_go_no_further() {
    let dir = temp_dir();
    let hook = shell("env", "env | grep LISTEN_; echo end", json!({}));
    fs::write(dir.path().join("hooks.json"), hooks_file(&[hook])).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mut child, log) = activated(dir.path(), vec![listener.into()]);
    assert!(serving(&log).ends_with(&format!("serving hooks on http://{address}/hooks/{{id}}")));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&raw_request("GET", "/hooks/env", &[], b"")).unwrap();
    assert_eq!(Reply::read(&mut stream, false).text(), "end\n");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_unix_socket_from_systemd_is_served_and_stays() {
    let dir = temp_dir();
    fs::write(dir.path().join("hooks.json"), who()).unwrap();
    let path = dir.path().join("sock");
    let (mut child, log) = activated(dir.path(), vec![UnixListener::bind(&path).unwrap().into()]);
    assert!(serving(&log).contains(&format!("http://{{unix:{}}}/hooks", path.display())));
    assert_eq!(ask(UnixStream::connect(&path).unwrap()), "@\n");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(path.exists());
}

#[test]
fn what_is_no_listening_socket_or_too_many_of_them_is_a_clear_error() {
    let listener = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let connected = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        OwnedFd::from(TcpStream::connect(listener.local_addr().unwrap()).unwrap())
    };
    for (passed, why) in [
        (vec![OwnedFd::from(fs::File::open("/dev/null").unwrap())], "no stream socket"),
        (vec![OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap())], "no stream socket"),
        (vec![connected], "does not listen"),
        (vec![listener(), listener()], "2 sockets"),
    ] {
        let dir = temp_dir();
        fs::write(dir.path().join("hooks.json"), who()).unwrap();
        let (mut child, log) = activated(dir.path(), passed);
        assert_eq!(child.wait().unwrap().code(), Some(1), "{why}");
        let said = fs::read_to_string(log).unwrap();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn somebody_elses_systemd_variables_are_not_ours() {
    let daemon = Setup::new(&who()).variable("LISTEN_PID", "1").variable("LISTEN_FDS", "1").start();
    assert_eq!(daemon.get("/hooks/who").status, 200);
}

#[test]
fn a_trusted_proxy_says_who_the_client_is_and_nobody_else_does() {
    let trusting = Setup::new(&who()).flags(&["-trusted-proxies", "127.0.0.0/8"]).start();
    let forwarded = [("X-Forwarded-For", "1.1.1.1, 203.0.113.7")];
    assert_eq!(trusting.request("GET", "/hooks/who", &forwarded, b"").text(), "203.0.113.7:0\n");
    trusting.wait_for_line("incoming HTTP GET request from 203.0.113.7:0");
    let wary = Setup::new(&who()).start();
    assert!(wary.request("GET", "/hooks/who", &forwarded, b"").text().starts_with("127.0.0.1:"));
}

#[test]
fn rules_on_addresses_see_the_client_behind_the_proxy() {
    let rule = json!({"match": {"type": "ip-whitelist", "ip-range": "203.0.113.0/24"}});
    let daemon = Setup::new(&hooks_file(&[shell("in", "echo in", json!({"trigger-rule": rule}))]))
        .flags(&["-trusted-proxies", "127.0.0.1"])
        .start();
    let from = |client: &str| daemon.request("GET", "/hooks/in", &[("X-Forwarded-For", client)], b"").text();
    assert_eq!(from("203.0.113.7"), "in\n");
    assert_eq!(from("203.0.114.7"), "Hook rules were not satisfied.");
    assert_eq!(from("203.0.113.7, 198.51.100.1"), "Hook rules were not satisfied.");
}
