//! Whatever stands in the place of a file of webhookd's: it serves, or says in the end what is wrong with which; and while it
//! serves, a push is answered, and it ends when it is told to.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    os::unix::fs::{MetadataExt, symlink},
    process::{Command, Stdio},
};

use super::matters::{self, MATTERS, Put, as_nobody, give_away, let_go};
use crate::support::{
    checkout::Checkout,
    daemon::SILENCE,
    files::names,
    github::{fixture, signature},
    http::{Reply, raw_request},
    need::root,
    process::{Running, processes, signal_to},
    wait::{until, wait_until, within},
};

const PLACES: [&str; 5] = ["hooks.json", "environment.sh", "webhook.log", "webhook.pid", "webhook.lock"];

/// In the place of an exit code.
const HANGS: i32 = 1000;

/// A checkout of an account that is not root's.
struct Case {
    checkout: Checkout,
    what: String,
}

impl Case {
    fn new(place: &str, matter: &str) -> Self {
        let checkout = Checkout::new();
        symlink(env!("CARGO_BIN_EXE_amp_build"), checkout.file("bin/amp_build")).unwrap();
        checkout.settings("export SECRET=k3y\n");
        give_away(checkout.home());
        Self { checkout, what: format!("{place} {matter}") }
    }

    /// A script to its end: its exit code, and what it says.
    fn run(&self, script: &str, arguments: &[&str]) -> (i32, String) {
        let own = self.checkout.script(script);
        let mut command = Command::new("setpriv");
        as_nobody(&mut command).arg(own.get_program()).args(own.get_args()).args(arguments);
        for (name, _) in own.get_envs() {
            command.env_remove(name);
        }
        let said = self.checkout.file("said");
        let file = fs::File::create(&said).unwrap();
        let mut run = Running::start(command.stdout(Stdio::from(file.try_clone().unwrap())).stderr(file));
        let code = within(|| run.is_over());
        (code.unwrap_or(HANGS), String::from_utf8_lossy(&fs::read(said).unwrap()).into_owned())
    }

    fn start(&self, arguments: &[&str]) -> (i32, String) {
        self.run("start_webhook.sh", &[&["-ip", "127.0.0.1", "-port", "0"], arguments].concat())
    }

    fn queued(&self) -> usize {
        names(&self.checkout.file("queue")).iter().filter(|name| name.starts_with("build-")).count()
    }

    fn daemons(&self) -> Vec<String> {
        let program = self.checkout.file("bin/webhookd").display().to_string();
        processes(|line| line.starts_with(&program))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.checkout.file("webhook.log")).unwrap_or_default()
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        for line in self.daemons() {
            signal_to("KILL", line.split(' ').next().unwrap().parse().unwrap());
        }
        let_go(self.checkout.home());
    }
}

/// What becomes of a push, where a start says that it serves.
fn push(started: &str) -> Reply {
    let address = started.split_once("http://").unwrap().1.split_once('/').unwrap().0;
    let body = fixture("push.json");
    let signature = signature("k3y", &body);
    let headers = [
        ("Content-Type", "application/json"),
        ("X-GitHub-Event", "push"),
        ("X-Hub-Signature-256", signature.as_str()),
    ];
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream.write_all(&raw_request("POST", "/webhook/amp_main", &headers, body.as_bytes())).unwrap();
    Reply::read(&mut stream, false)
}

#[test]
#[ignore = "second tier"]
fn a_start_serves_or_says_which_file_is_wrong() {
    if !root() {
        return;
    }
    for (place, matter) in PLACES.iter().flat_map(|place| MATTERS.map(|matter| (place, matter))) {
        let case = Case::new(place, matter.0);
        matters::put(&case.checkout.file(place), false, matter);
        let (code, said) = case.start(&[]);
        if code == 0 {
            let reply = push(&said);
            assert!(reply.text().starts_with("queued build-"), "{}: {}", case.what, reply.text());
            assert_eq!(case.queued(), 1, "{}", case.what);
        } else {
            assert_eq!(code, 1, "{}: {said}", case.what);
            // Without environment.sh there is no secret, and that is what is said.
            assert!(said.contains(place) || said.contains("SECRET"), "{}: {said}", case.what);
            assert_eq!(case.daemons(), [""; 0], "{}", case.what);
        }
        let (code, said) = case.run("stop_webhook.sh", &[]);
        assert!(code == 0 || code == 1 && said.contains(place), "{}: {code} {said}", case.what);
        assert!(code == 1 || case.daemons().is_empty() || said.contains("stale"), "{}: {said}", case.what);
    }
}

#[test]
#[ignore = "second tier"]
fn while_it_serves_a_push_is_answered_and_it_ends_when_it_is_told_to() {
    if !root() {
        return;
    }
    for matter in MATTERS {
        for watches in [false, true] {
            serve(matter, watches);
        }
    }
}

fn serve(matter: (&str, Put), watches: bool) {
    let case = Case::new("hooks.json", matter.0);
    let what = format!("{}, {}", case.what, if watches { "watched" } else { "not watched" });
    let (code, started) = case.start(if watches { &["-hotreload"] } else { &[] });
    assert_eq!(code, 0, "{what}: {started}");
    let hooks = case.checkout.file("hooks.json");
    let which = || hooks.metadata().ok().map(|metadata| metadata.ino());
    let before = which();
    matters::put(&hooks, false, matter);
    if watches && which() != before {
        wait_until("it is seen", || case.log().contains("hooks file hooks.json "));
    }
    let pid = case.daemons()[0].split(' ').next().unwrap().parse().unwrap();
    signal_to("HUP", pid);
    wait_until("it is looked at again", || case.log().contains("attempting to reload hooks from hooks.json"));
    let reply = push(&started);
    let is_gone = reply.status == 404 && case.log().contains("removed 1 hook(s)");
    assert!(
        reply.text().starts_with("queued build-") || watches && is_gone,
        "{what}: {}\n{}",
        reply.text(),
        case.log()
    );
    let is_good = ["immutable"].contains(&matter.0);
    let said = until("the log says how it is", || {
        let log = case.log();
        let reloaded = log.rsplit("attempting to reload").next().unwrap().to_string();
        (reloaded.contains("loaded: amp_main") || reloaded.contains("couldn't load")).then_some(reloaded)
    });
    assert_eq!(said.contains("loaded: amp_main"), is_good, "{what}: {said}");
    let (_, check) = case.run("build", &["check"]);
    assert_eq!(check.contains("WRONG   the hooks file"), !is_good, "{what}: {check}");
    assert_eq!(case.run("stop_webhook.sh", &[]).0, 0, "{what}");
    assert_eq!(case.daemons(), [""; 0], "{what}");
}
