//! `start_webhook.sh` and `stop_webhook.sh` as an operator calls them, in a checkout of their own.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    thread,
};

use tempfile::TempDir;

use crate::support::installation::wait_until;

/// A checkout with the shell scripts as they are and the programs under test in `bin/`.
struct Checkout(TempDir);

impl Checkout {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in ["build", "start_webhook.sh", "stop_webhook.sh", "hooks.json"] {
            fs::copy(source.join(file), dir.path().join(file)).unwrap();
        }
        for folder in ["bin", "queue", "scripts"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let checkout = Self(dir);
        symlink(env!("CARGO_BIN_EXE_webhookd"), checkout.file("bin/webhookd")).unwrap();
        symlink(env!("CARGO_BIN_EXE_queue_build"), checkout.file("bin/queue_build")).unwrap();
        checkout
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// One of the scripts, with nothing of the surrounding environment that could mean something to it. Through
    /// bash: the exec of a file that was just written fails while another test's fork still has it open.
    fn script(&self, name: &str) -> Command {
        let mut command = Command::new("bash");
        command.arg(self.file(name));
        for name in ["AMP_CI_HOME", "SECRET", "SECRET_OLD", "SCRIPT_DIR"] {
            command.env_remove(name);
        }
        command
    }

    fn start(&self) -> Command {
        let mut start = self.script("start_webhook.sh");
        start.env("SECRET", "k3y").args(["-ip", "127.0.0.1", "-port", "0"]);
        start
    }

    fn stop(&self) -> Output {
        self.script("stop_webhook.sh").output().unwrap()
    }

    fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.file("webhook.pid")).ok()?.parse().ok()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = self.script("stop_webhook.sh").output();
    }
}

/// A process that has nothing to do with any of this.
struct Bystander(Child);

impl Bystander {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn assert_exit(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", stdout(output), stderr(output));
}

/// Where a start says that it serves, as `127.0.0.1:PORT`.
fn address(started: &Output) -> String {
    let said = stdout(started);
    let (_, url) = said.split_once("http://").unwrap_or_else(|| panic!("no URL in: {said}"));
    assert!(url.split_once('/').unwrap().1.starts_with("webhook/amp_main "), "{said}");
    url.split_once('/').unwrap().0.to_string()
}

/// Which program a process is.
fn program(pid: u32) -> Option<String> {
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(exe.file_name()?.to_string_lossy().into_owned())
}

#[test]
fn a_start_serves_and_says_where_until_the_stop() {
    let checkout = Checkout::new();
    let started = checkout.start().output().unwrap();
    assert_exit(&started, 0);
    let pid = checkout.pid().unwrap();
    let address = address(&started);
    TcpStream::connect(&address).unwrap();

    let stopped = checkout.stop();
    assert_exit(&stopped, 0);
    assert!(stdout(&stopped).contains("stopped"), "{}", stdout(&stopped));
    assert_eq!(program(pid), None);
    TcpStream::connect(&address).unwrap_err();
    assert_exit(&checkout.stop(), 0);
}

#[test]
fn a_second_start_says_that_it_is_running_and_changes_nothing() {
    let checkout = Checkout::new();
    let first = checkout.start().output().unwrap();
    assert_exit(&first, 0);
    let pid = checkout.pid();

    let second = checkout.start().output().unwrap();
    assert_exit(&second, 0);
    assert!(stdout(&second).contains("already running"), "{}", stdout(&second));
    assert_eq!(checkout.pid(), pid);
    TcpStream::connect(address(&first)).unwrap();
}

#[test]
fn of_starts_at_the_same_time_one_starts() {
    let checkout = Checkout::new();
    let said: Vec<String> = thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let started = checkout.start().output().unwrap();
                    assert_exit(&started, 0);
                    stdout(&started)
                })
            })
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert_eq!(said.iter().filter(|said| said.contains("serving hooks on")).count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|said| said.contains("already running")).count(), 3, "{said:?}");
}

#[test]
fn a_stale_pid_file_harms_nothing() {
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    for content in
        [gone.id().to_string(), String::new(), "-1".to_string(), "0".to_string(), "nonsense\n".to_string()]
    {
        let checkout = Checkout::new();
        fs::write(checkout.file("webhook.pid"), &content).unwrap();
        assert_exit(&checkout.stop(), 0);

        let started = checkout.start().output().unwrap();
        assert_exit(&started, 0);
        TcpStream::connect(address(&started)).unwrap();
        assert_eq!(program(checkout.pid().unwrap()).as_deref(), Some("webhookd"));
    }
}

#[test]
fn a_process_that_has_the_number_of_a_former_daemon_is_never_signalled() {
    let mut bystander = Bystander::new();
    let checkout = Checkout::new();
    fs::write(checkout.file("webhook.pid"), bystander.0.id().to_string()).unwrap();
    assert_exit(&checkout.stop(), 0);
    assert!(bystander.is_alive());

    assert_exit(&checkout.start().output().unwrap(), 0);
    assert_ne!(checkout.pid(), Some(bystander.0.id()));
    assert_exit(&checkout.stop(), 0);
    assert!(bystander.is_alive());
}

#[test]
fn without_a_secret_of_its_own_nothing_starts() {
    for secret in ["", "Your secret"] {
        let checkout = Checkout::new();
        let started = checkout.start().env("SECRET", secret).output().unwrap();
        assert_exit(&started, 1);
        assert_eq!(stderr(&started).lines().count(), 1, "{}", stderr(&started));
        assert!(stderr(&started).contains("SECRET"), "{}", stderr(&started));
        assert_eq!(checkout.pid(), None);
    }
}

#[test]
fn a_port_that_is_taken_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let checkout = Checkout::new();
    // What an earlier start wrote is no sign that this one serves.
    fs::write(checkout.file("webhook.log"), "[webhook] serving hooks on http://127.0.0.1:1/webhook/{id}\n")
        .unwrap();
    let started = checkout.start().args(["-port", &port]).output().unwrap();
    assert_exit(&started, 1);
    assert!(stderr(&started).contains(&port), "{}", stderr(&started));
    assert_eq!(stdout(&started), "");
}

#[test]
fn in_the_foreground_the_script_becomes_the_daemon() {
    let checkout = Checkout::new();
    let mut foreground = checkout.start().arg("--foreground").spawn().unwrap();
    wait_until("it serves", || {
        assert!(foreground.try_wait().unwrap().is_none(), "it ended");
        fs::read_to_string(checkout.file("webhook.log")).is_ok_and(|log| log.contains("serving hooks on"))
    });
    assert_eq!(checkout.pid(), Some(foreground.id()));
    assert_eq!(program(foreground.id()).as_deref(), Some("webhookd"));
    assert_exit(&checkout.stop(), 0);
    assert_eq!(foreground.wait().unwrap().code(), Some(0));
}

#[test]
fn an_environment_file_that_cannot_be_read_is_one_line_and_exit_1() {
    let checkout = Checkout::new();
    for script in ["start_webhook.sh", "stop_webhook.sh", "build"] {
        // A directory cannot be read by root either.
        let _ = fs::create_dir(checkout.file("environment.sh"));
        let ended = checkout.script(script).env("SECRET", "k3y").output().unwrap();
        assert_exit(&ended, 1);
        assert_eq!(stderr(&ended).lines().count(), 1, "{script}: {}", stderr(&ended));
        assert!(stderr(&ended).contains("environment.sh"), "{script}: {}", stderr(&ended));
    }
    fs::remove_dir(checkout.file("environment.sh")).unwrap();
    fs::write(checkout.file("environment.sh"), "SECRET='k3y\n").unwrap();
    let started = checkout.start().output().unwrap();
    assert_exit(&started, 1);
    assert_eq!(stderr(&started).lines().count(), 1, "{}", stderr(&started));
}

#[test]
fn environment_sh_beats_the_environment_and_reaches_the_daemon() {
    let checkout = Checkout::new();
    fs::write(checkout.file("environment.sh"), "SECRET=k3y\n[ -n \"$UNSET\" ] && false\n").unwrap();
    let started = checkout.start().env("SECRET", "Your secret").output().unwrap();
    assert_exit(&started, 0);
    let environment = fs::read(format!("/proc/{}/environ", checkout.pid().unwrap())).unwrap();
    let has = |wanted: &str| environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes());
    let home = checkout.0.path().canonicalize().unwrap();
    assert!(has("SECRET=k3y"));
    assert!(has(&format!("AMP_CI_HOME={}", home.display())));
    assert!(has(&format!("SCRIPT_DIR={}", home.display())));
}

#[test]
fn the_home_may_lie_elsewhere_and_the_scripts_be_called_through_a_link() {
    let checkout = Checkout::new();
    let home = tempfile::tempdir().unwrap();
    fs::copy(checkout.file("hooks.json"), home.path().join("hooks.json")).unwrap();
    fs::create_dir(home.path().join("links")).unwrap();
    let link = home.path().join("links/start");
    symlink(checkout.file("start_webhook.sh"), &link).unwrap();

    let started = Command::new(&link)
        .args(["-ip", "127.0.0.1", "-port", "0"])
        .env("SECRET", "k3y")
        .env("AMP_CI_HOME", home.path())
        .current_dir("/")
        .output()
        .unwrap();
    assert_exit(&started, 0);
    assert!(home.path().join("webhook.log").exists());
    assert!(!checkout.file("webhook.log").exists());

    let stopped = checkout.script("stop_webhook.sh").env("AMP_CI_HOME", home.path()).output().unwrap();
    assert!(stdout(&stopped).contains("stopped"), "{}", stdout(&stopped));
}

#[test]
fn other_hooks_take_the_place_of_hooks_json() {
    let checkout = Checkout::new();
    fs::rename(checkout.file("hooks.json"), checkout.file("webhook.yaml")).unwrap();
    for hooks in [&["-hooks", "webhook.yaml"][..], &["--hooks=webhook.yaml"]] {
        let started = checkout.start().args(hooks).output().unwrap();
        assert_exit(&started, 0);
        let log = fs::read_to_string(checkout.file("webhook.log")).unwrap();
        assert!(log.contains("loaded: amp_main"), "{log}");
        assert!(!log.contains("hooks.json"), "{log}");
        assert_exit(&checkout.stop(), 0);
    }
}

#[test]
fn a_program_that_is_missing_is_compiled_first() {
    let checkout = Checkout::new();
    fs::remove_file(checkout.file("bin/webhookd")).unwrap();
    // Compiling takes minutes: what stands in for cargo leaves what cargo would leave.
    let tools = tempfile::tempdir().unwrap();
    let cargo = format!(
        "#!/bin/bash\nset -e\necho \"$*\" >cargo.arguments\nmkdir -p target/release\nln -s {} {} target/release\n",
        env!("CARGO_BIN_EXE_webhookd"),
        env!("CARGO_BIN_EXE_queue_build")
    );
    let written = Command::new("bash")
        .args(["-c", "printf %s \"$1\" >cargo && chmod +x cargo", "bash", &cargo])
        .current_dir(tools.path())
        .status();
    assert!(written.unwrap().success());
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());

    let started = checkout.start().env("PATH", path).current_dir("/").output().unwrap();
    assert_exit(&started, 0);
    let arguments = fs::read_to_string(checkout.file("cargo.arguments")).unwrap();
    assert!(arguments.starts_with("build --release --locked"), "{arguments}");
    TcpStream::connect(address(&started)).unwrap();
}

#[test]
fn the_launcher_says_in_one_line_how_to_compile() {
    let checkout = Checkout::new();
    let ended = checkout.script("build").output().unwrap();
    assert_exit(&ended, 1);
    assert_eq!(stderr(&ended).lines().count(), 1, "{}", stderr(&ended));
    assert!(stderr(&ended).contains("cargo build --release"), "{}", stderr(&ended));
}
