//! `start_webhook.sh`, `stop_webhook.sh` and the launcher `build` as an operator calls them, in a checkout of their own.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    process::{Child, Command, Output},
    thread,
};

use crate::support::{
    checkout::Checkout,
    files::temp_dir,
    wait::{until, wait_until},
};

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
    checkout.settings("SECRET='k3y\n");
    let started = checkout.start().output().unwrap();
    assert_exit(&started, 1);
    assert_eq!(stderr(&started).lines().count(), 1, "{}", stderr(&started));
}

#[test]
fn environment_sh_beats_the_environment_and_reaches_the_daemon() {
    let checkout = Checkout::new();
    checkout.settings("SECRET=k3y\n[ -n \"$UNSET\" ] && false\n");
    let started = checkout.start().env("SECRET", "Your secret").output().unwrap();
    assert_exit(&started, 0);
    let environment = fs::read(format!("/proc/{}/environ", checkout.pid().unwrap())).unwrap();
    let has = |wanted: &str| environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes());
    let home = checkout.home().canonicalize().unwrap();
    assert!(has("SECRET=k3y"));
    assert!(has(&format!("AMP_CI_HOME={}", home.display())));
    assert!(has(&format!("SCRIPT_DIR={}", home.display())));
}

#[test]
fn the_home_may_lie_elsewhere_and_the_scripts_be_called_through_a_link() {
    let checkout = Checkout::new();
    let home = temp_dir();
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
    let tools = temp_dir();
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

/// All that the scripts would do in a checkout of somebody else is done if this file is there.
const TRAP: &str = "touch \"$AMP_CI_HOME/settings-were-read\"\n";

fn read_settings(checkout: &Checkout) -> bool {
    checkout.file("settings-were-read").exists()
}

/// The checkout's `queue/`, and with it the home, becomes somebody else's than that of who runs the tests.
fn give_away(checkout: &Checkout) {
    let queue = checkout.file("queue");
    if rustix::process::geteuid().is_root() {
        chown(&queue, Some(12345), None).unwrap();
    } else {
        fs::remove_dir(&queue).unwrap();
        symlink("/", &queue).unwrap();
    }
}

#[test]
fn in_the_home_of_somebody_else_nothing_runs_not_even_its_settings() {
    let checkout = Checkout::new();
    checkout.settings(TRAP);
    give_away(&checkout);
    for (script, arguments) in
        [("build", &["--threads", "2"][..]), ("start_webhook.sh", &[]), ("stop_webhook.sh", &[])]
    {
        let refused = checkout.script(script).args(arguments).env("SECRET", "k3y").output().unwrap();
        assert_exit(&refused, 1);
        let said = stderr(&refused);
        assert_eq!(said.lines().count(), 1, "{said}");
        let path = checkout.home().canonicalize().unwrap().join(script);
        let again = [&[path.to_str().unwrap()], arguments].concat().join(" ");
        assert!(said.contains("sudo -u ") && said.ends_with(&format!(" {again}\n")), "{said}");
        assert!(!read_settings(&checkout), "{script}");
    }
    assert_eq!(checkout.pid(), None);
}

#[test]
fn a_home_that_is_named_is_named_to_sudo_too() {
    let checkout = Checkout::new();
    let elsewhere = Checkout::new();
    give_away(&elsewhere);
    let refused = checkout.script("build").env("AMP_CI_HOME", elsewhere.home()).output().unwrap();
    assert_exit(&refused, 1);
    let home = elsewhere.home().canonicalize().unwrap();
    assert!(stderr(&refused).contains(&format!(" AMP_CI_HOME={} ", home.display())), "{}", stderr(&refused));
}

#[test]
fn what_only_looks_reads_no_settings_and_is_for_everybody() {
    let checkout = Checkout::new();
    checkout.settings(TRAP);
    give_away(&checkout);
    symlink("/bin/echo", checkout.file("bin/amp_build")).unwrap();
    for verb in ["status", "log", "wait"] {
        let looked = checkout.script("build").args([verb, "latest"]).output().unwrap();
        assert_exit(&looked, 0);
        assert_eq!(stdout(&looked), format!("{verb} latest\n"));
    }
    assert!(!read_settings(&checkout));
}

#[test]
fn settings_that_others_can_write_are_not_read() {
    let checkout = Checkout::new();
    symlink("/bin/true", checkout.file("bin/amp_build")).unwrap();
    checkout.settings(TRAP);
    let settings = checkout.file("environment.sh");
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(&settings, fs::Permissions::from_mode(mode)).unwrap();
        for script in ["build", "start_webhook.sh", "stop_webhook.sh"] {
            let refused = checkout.script(script).env("SECRET", "k3y").output().unwrap();
            assert_exit(&refused, 1);
            assert!(stderr(&refused).contains("chmod go-w"), "{script}: {}", stderr(&refused));
        }
    }
    fs::set_permissions(&settings, fs::Permissions::from_mode(0o600)).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&settings, Some(12345), None).unwrap();
        let refused = checkout.script("build").output().unwrap();
        assert_exit(&refused, 1);
        assert!(stderr(&refused).contains("belongs to #12345"), "{}", stderr(&refused));
        chown(&settings, Some(0), None).unwrap();
    }
    assert!(!read_settings(&checkout));
    fs::set_permissions(&settings, fs::Permissions::from_mode(0o644)).unwrap();
    assert_exit(&checkout.script("build").output().unwrap(), 0);
    assert!(read_settings(&checkout));
}

#[test]
fn settings_may_be_roots_and_readable_by_the_owner_alone() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let checkout = Checkout::new();
    symlink("/bin/true", checkout.file("bin/amp_build")).unwrap();
    fs::set_permissions(checkout.home(), fs::Permissions::from_mode(0o777)).unwrap();
    checkout.settings(TRAP);
    chown(checkout.file("environment.sh"), None, Some(12345)).unwrap();
    fs::set_permissions(checkout.file("environment.sh"), fs::Permissions::from_mode(0o640)).unwrap();
    chown(checkout.file("queue"), Some(12345), None).unwrap();
    let mut build = checkout.script("build");
    assert_exit(&build.uid(12345).gid(12345).output().unwrap(), 0);
    assert!(read_settings(&checkout));
}

#[test]
fn help_helps_and_does_nothing_else() {
    let checkout = Checkout::new();
    assert_exit(&checkout.start().output().unwrap(), 0);
    let pid = checkout.pid();
    checkout.settings(TRAP);
    for script in ["start_webhook.sh", "stop_webhook.sh"] {
        for word in ["--help", "-h", "-help"] {
            let helped = checkout.script(script).arg(word).output().unwrap();
            assert_exit(&helped, 0);
            assert!(stdout(&helped).starts_with(&format!("Usage: {script}")), "{}", stdout(&helped));
        }
    }
    let refused = checkout.script("stop_webhook.sh").arg("--hepl").output().unwrap();
    assert_exit(&refused, 2);
    assert!(stderr(&refused).starts_with("Usage: "), "{}", stderr(&refused));
    assert!(!read_settings(&checkout));
    assert_eq!(checkout.pid(), pid);
    assert_eq!(program(pid.unwrap()).as_deref(), Some("webhookd"));
}

#[test]
fn a_hooks_file_that_is_broken_or_gone_is_said_as_check_says_it() {
    let checkout = Checkout::new();
    let whole = fs::read_to_string(checkout.file("hooks.json")).unwrap();
    let check = |checkout: &Checkout| {
        let webhookd = Command::new(checkout.file("bin/webhookd"))
            .args(["-check", "-template", "-hooks", "hooks.json"])
            .env("SECRET", "k3y")
            .current_dir(checkout.home())
            .output()
            .unwrap();
        stdout(&webhookd) + &stderr(&webhookd)
    };
    for broken in [Some(whole.replacen("\"queue_build\",", "\"queue_build\"", 1)), None] {
        match broken {
            Some(text) => fs::write(checkout.file("hooks.json"), text).unwrap(),
            None => fs::remove_file(checkout.file("hooks.json")).unwrap(),
        }
        for foreground in [&[][..], &["--foreground"]] {
            let refused = checkout.start().args(foreground).output().unwrap();
            assert_exit(&refused, 1);
            assert!(stderr(&refused).contains("hooks.json"), "{}", stderr(&refused));
            assert!(stderr(&refused).ends_with(&check(&checkout)), "{}", stderr(&refused));
            assert_eq!(checkout.pid(), None);
        }
    }
    // Who wants it to serve nothing at first says so.
    assert_exit(&checkout.start().arg("-nopanic").output().unwrap(), 0);
}

#[test]
fn a_command_of_a_hook_takes_the_signals_that_it_takes_in_a_terminal() {
    let checkout = Checkout::new();
    let hook = r#"[{"id": "amp_main", "execute-command": "/bin/grep", "include-command-output-in-response": true,
        "pass-arguments-to-command": [{"source": "string", "name": "SigIgn"},
                                      {"source": "string", "name": "/proc/self/status"}]}]"#;
    fs::write(checkout.file("hooks.json"), hook).unwrap();
    let address = address(&checkout.start().output().unwrap());
    let answer = Command::new("bash")
        .arg("-c")
        .arg(r#"exec 3<>"/dev/tcp/${0%:*}/${0#*:}"; printf 'GET /webhook/amp_main HTTP/1.0\r\n\r\n' >&3; tail -n 1 <&3"#)
        .arg(&address)
        .output()
        .unwrap();
    let ignored =
        stdout(&answer).trim().strip_prefix("SigIgn:").map(|mask| u64::from_str_radix(mask.trim(), 16));
    let (interrupt, quit) = (1 << 1, 1 << 2);
    assert_eq!(ignored.unwrap().unwrap() & (interrupt | quit), 0, "{}", stdout(&answer));
}

#[test]
fn whoever_can_read_the_log_cannot_keep_the_daemon_from_starting() {
    let checkout = Checkout::new();
    fs::write(checkout.file("webhook.log"), "").unwrap();
    let log = fs::File::open(checkout.file("webhook.log")).unwrap();
    rustix::fs::flock(&log, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_exit(&checkout.start().output().unwrap(), 0);
    let lock = fs::metadata(checkout.file("webhook.lock")).unwrap();
    assert_eq!(lock.mode() & 0o777, 0o600);
}

#[test]
fn a_start_that_waits_for_another_says_for_which_file() {
    let checkout = Checkout::new();
    let lock = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(checkout.file("webhook.lock"))
        .unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let said = checkout.file("said");
    let mut start = checkout.start().stdout(fs::File::create(&said).unwrap()).spawn().unwrap();
    let waiting = until("it says what it waits for", || {
        fs::read_to_string(&said).ok().filter(|said| said.ends_with('\n'))
    });
    assert!(waiting.contains("webhook.lock"), "{waiting}");
    drop(lock);
    assert_eq!(start.wait().unwrap().code(), Some(0));
}
