//! Stopping, and what signals do besides.

use std::{fs, io::Write};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    daemon::{Daemon, Setup, WEBHOOKD, hooks_file, shell},
    files::{executable, pid_in, temp_dir},
    http::{Reply, assert_closed},
    need::may_unshare,
    process::lives,
    strace,
    wait::{until, wait_until},
};

#[test]
fn an_idle_daemon_stops_at_once_with_0() {
    for (signal, said) in [
        (Signal::TERM, "caught terminated signal; exiting"),
        (Signal::INT, "caught interrupt signal; exiting"),
    ] {
        let mut daemon = Daemon::start(&hooks_file(&[shell("a", "echo a", json!({}))]));
        let idle = daemon.connect();
        let mut kept_alive = daemon.ask("/hooks/a");
        assert_eq!(Reply::read(&mut kept_alive, false).text(), "a\n");
        daemon.signal(signal);
        assert_eq!(daemon.wait().code(), Some(0));
        daemon.wait_for_line(said);
        drop(idle);
    }
}

#[test]
fn a_daemon_that_is_still_starting_ends_with_0_too() {
    if !strace::is_there() {
        return;
    }
    let setup = Setup::new(&hooks_file(&[shell("a", "echo a", json!({}))]));
    // It comes while the pid file is made.
    let pid_file = setup.dir().join("pid");
    let traced = setup.dir().join("traced");
    let inject = "exec strace -f -o /dev/null -P";
    let script = format!(
        "#!/bin/sh\n{inject} {} --inject=openat:signal=TERM:when=2 {WEBHOOKD} \"$@\"\n",
        pid_file.display()
    );
    executable(&traced, script);
    let flags = ["-ip", "127.0.0.1", "-port", "0", "-pidfile", pid_file.to_str().unwrap()];
    let ended = setup.program(traced).flags(&flags).run();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(!pid_file.exists());
}

#[test]
fn a_running_command_may_finish_and_its_client_gets_the_answer_but_nobody_new_comes_in() {
    let script = "echo $$ > pid; while ! test -e go; do sleep 0.01; done; echo done";
    let mut daemon = Daemon::start(&hooks_file(&[shell("a", script, json!({}))]));
    let mut stream = daemon.ask("/hooks/a");
    pid_in(&daemon.dir().join("pid"));
    daemon.signal(Signal::TERM);
    wait_until("the port to be closed", || std::net::TcpStream::connect(&daemon.address).is_err());
    assert!(daemon.is_running());
    fs::write(daemon.dir().join("go"), "").unwrap();
    assert_eq!(Reply::read(&mut stream, false).text(), "done\n");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn commands_in_the_background_are_waited_for_too() {
    let script = "echo $$ > pid; while ! test -e go; do sleep 0.01; done; echo done > done";
    let hook = shell("a", script, json!({"include-command-output-in-response": false}));
    let mut daemon = Daemon::start(&hooks_file(&[hook]));
    assert_eq!(daemon.get("/hooks/a").status, 200);
    pid_in(&daemon.dir().join("pid"));
    daemon.signal(Signal::TERM);
    daemon.wait_for_line("caught terminated signal");
    fs::write(daemon.dir().join("go"), "").unwrap();
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(daemon.dir().join("done").exists());
}

#[test]
fn after_the_grace_period_the_whole_tree_is_ended_and_its_files_are_gone() {
    let script = "trap '' TERM; sleep 300 & echo $! > child; setsid sleep 300 & echo $! > other; echo $F > file; echo $$ > pid; \
                  while :; do sleep 1; done";
    let dir = temp_dir();
    let hook = shell(
        "a",
        script,
        json!({
            "include-command-output-in-response": false,
            "pass-file-to-command": [{"source": "string", "name": "x", "envname": "F"}],
        }),
    );
    let mut daemon = Setup::new(&hooks_file(&[hook]))
        .flags(&["-grace-period", "200ms"])
        .variable("TMPDIR", dir.path().to_str().unwrap())
        .start();
    assert_eq!(daemon.get("/hooks/a").status, 200);
    let pids = ["pid", "child", "other"].map(|name| pid_in(&daemon.dir().join(name)));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    for pid in pids {
        wait_until("the end of the tree", || !lives(pid));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn who_has_not_said_all_is_not_waited_for_after_the_grace_period() {
    let script = "trap '' TERM; echo $$ > pid; while :; do sleep 1; done";
    let mut daemon =
        Setup::new(&hooks_file(&[shell("a", script, json!({}))])).flags(&["-grace-period", "200ms"]).start();
    let mut stream = daemon.ask("/hooks/a");
    let command = pid_in(&daemon.dir().join("pid"));
    let begun =
        ["GET /hoo", "POST /hooks/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"].map(|part| {
            let mut stream = daemon.connect();
            stream.write_all(part.as_bytes()).unwrap();
            stream
        });
    daemon.wait_for_line("incoming HTTP POST");
    daemon.signal(Signal::TERM);
    for mut stream in begun {
        assert_closed(&mut stream);
    }
    assert!(lives(command), "it has time between the two signals, and the others were let go before");
    assert_eq!(Reply::read(&mut stream, false).status, 500);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn who_does_not_take_its_stream_keeps_no_file_of_its_command_from_being_removed() {
    let dir = temp_dir();
    let hook = shell(
        "a",
        "echo $$ > pid; exec yes",
        json!({
            "stream-command-output": true,
            "pass-file-to-command": [{"source": "string", "name": "x", "envname": "F"}],
        }),
    );
    let mut daemon = Setup::new(&hooks_file(&[hook]))
        .flags(&["-grace-period", "200ms"])
        .variable("TMPDIR", dir.path().to_str().unwrap())
        .start();
    let _stream = daemon.ask("/hooks/a");
    let command = pid_in(&daemon.dir().join("pid"));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!lives(command));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn who_waits_for_a_turn_when_the_daemon_stops_is_not_run_after_the_grace_period() {
    let hook = shell("a", "echo $$ >> ran; sleep 300", json!({"max-concurrency": 1, "max-waiting": 5}));
    let mut daemon = Setup::new(&hooks_file(&[hook])).flags(&["-grace-period", "200ms"]).start();
    let mut streams = Vec::new();
    for _ in 0..3 {
        let stream = daemon.ask("/hooks/a");
        streams.push(stream);
    }
    wait_until("all to be taken", || daemon.log().matches("triggered successfully").count() == 3);
    pid_in(&daemon.dir().join("ran"));
    daemon.signal(Signal::TERM);
    for mut stream in streams {
        assert_eq!(Reply::read(&mut stream, false).status, 500);
    }
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(fs::read_to_string(daemon.dir().join("ran")).unwrap().lines().count(), 1);
}

#[test]
fn a_second_signal_ends_the_grace_period() {
    let mut daemon = Setup::new(&hooks_file(&[shell("a", "echo $$ > pid; sleep 300", json!({}))]))
        .flags(&["-grace-period", "1h"])
        .start();
    let _stream = daemon.ask("/hooks/a");
    let pid = pid_in(&daemon.dir().join("pid"));
    daemon.signal(Signal::TERM);
    daemon.wait_for_line("caught terminated signal");
    wait_until("the port to be closed", || std::net::TcpStream::connect(&daemon.address).is_err());
    daemon.signal(Signal::INT);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!lives(pid));
}

#[test]
fn a_log_file_that_was_moved_away_is_made_anew() {
    let setup = Setup::new(&hooks_file(&[shell("a", "echo a", json!({}))]));
    let log = setup.dir().join("hooks.log");
    let daemon =
        setup.flags(&["-logfile", "hooks.log", "-ip", "127.0.0.1", "-port", "0"]).start_logging_to(&log);
    assert_eq!(daemon.get("/hooks/a").text(), "a\n");
    daemon.wait_for_line(" | GET /hooks/a");
    let old = log.with_extension("old");
    fs::rename(&log, &old).unwrap();
    assert_eq!(daemon.get("/hooks/a").text(), "a\n");
    until("the request in it", || {
        fs::read_to_string(&log).ok().filter(|text| text.contains("finished handling a"))
    });
    let old = fs::read_to_string(old).unwrap();
    assert_eq!(old.matches("finished handling a").count(), 1);
    assert!(old.contains("serving hooks on"));
}

#[test]
fn as_process_1_it_leaves_nobody_in_the_process_table() {
    let unshare = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if !may_unshare(&unshare) {
        return;
    }
    // The first leaves a process behind, which ends when it is told to.
    let setup = Setup::new(&hooks_file(&[
        shell(
            "leave",
            "(while ! test -e go; do sleep 0.01; done; echo > gone) > /dev/null 2>&1 &",
            json!({}),
        ),
        shell("zombies", "cat /proc/[0-9]*/status | grep -c '^State:.Z' || true", json!({})),
        shell("ids", "cat /proc/1/comm; kill -TERM 1", json!({})),
    ]));
    let wrapper = setup.dir().join("wrapper");
    let words = unshare.join(" ");
    executable(&wrapper, format!("#!/bin/sh\nexec unshare {words} {WEBHOOKD} \"$@\"\n"));
    let mut daemon = setup.program(wrapper).start();
    assert_eq!(daemon.get("/hooks/leave").status, 200);
    fs::write(daemon.dir().join("go"), "").unwrap();
    wait_until("its end", || daemon.dir().join("gone").exists());
    wait_until("nobody to be left", || daemon.get("/hooks/zombies").text() == "0\n");
    assert_eq!(daemon.get("/hooks/ids").text(), "webhookd\n");
    assert_eq!(daemon.wait().code(), Some(0));
}

/// A daemon that is started by `script`, in which `webhookd` is the program with its flags.
fn started_by(script: &str, hook: &str) -> Daemon {
    let setup = Setup::new(&hooks_file(&[shell("a", hook, json!({}))]));
    let wrapper = setup.dir().join("wrapper");
    executable(
        &wrapper,
        format!("#!/bin/bash\n{}\n", script.replace("webhookd", &format!("{WEBHOOKD} \"$@\""))),
    );
    setup.program(wrapper).start()
}

#[test]
fn commands_ignore_no_signal_that_the_daemon_was_told_to_ignore() {
    let daemon = started_by("trap '' INT QUIT TSTP USR2 HUP; exec webhookd", "grep SigIgn /proc/self/status");
    let text = daemon.get("/hooks/a").text();
    let mask = u64::from_str_radix(text.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    // Those from 32 on are glibc's own business.
    assert_eq!(mask & 0x7fff_ffff, 0, "{text}");
    daemon.signal(Signal::QUIT);
    assert_eq!(daemon.get("/hooks/a").status, 200, "it goes on ignoring them itself");
}

#[test]
fn commands_have_no_terminal_to_ask_at() {
    let hook = "(true < /dev/tty) 2> /dev/null && echo a terminal || echo none";
    // It ends with script(1), which is what the test ends.
    let line = "exec setpriv --pdeathsig KILL $(printf '%q ' webhookd) 2> stderr";
    let daemon = started_by(&format!("exec script -qefc \"{line}\" /dev/null"), hook);
    assert_eq!(daemon.get("/hooks/a").text(), "none\n");
}
