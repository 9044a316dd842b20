//! How a command is run: arguments, environment, files, streams, time, and its end.

use std::{fs, io::Read};

use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, Setup, hooks_file, shell},
    files::{executable, pid_in, temp_dir},
    http::{Reply, read_chunk, read_to, try_read_chunk},
    process::{lives, signal_to},
    wait::{until, wait_until},
};

fn string(text: &str) -> Value {
    json!({"source": "string", "name": text})
}

#[test]
fn a_command_gets_its_arguments_variables_and_directory() {
    let dir = temp_dir();
    let place = dir.path().canonicalize().unwrap();
    executable(
        &place.join("show"),
        "#!/bin/bash\nprintf '<%s>' \"$@\"; echo; pwd; printf '%s\\n' \"$WHO\" \"$HOOK_a\"; env | grep -a HOOK_b.c\n",
    );
    let daemon = Setup::new(&hooks_file(&[json!({
        "id": "show", "execute-command": "show", "command-working-directory": place,
        "include-command-output-in-response": true,
        "pass-arguments-to-command": [
            string("a b"), {"source": "payload", "name": "missing"}, {"source": "payload", "name": "list.1"}, string(""), string("-x")],
        "pass-environment-to-command": [
            {"source": "string", "name": "me", "envname": "WHO"}, {"source": "payload", "name": "a"},
            {"source": "payload", "name": "b.c"}, {"source": "payload", "name": "missing", "envname": "MISSING"}],
    })]))
    .variable("WHO", "nobody")
    .start();
    let reply = daemon.post("/hooks/show", r#"{"list": [1, "two"], "a": true, "b.c": {"x": "<"}}"#);
    let expected =
        format!("<a b><><two><><-x>\n{}\nme\ntrue\nHOOK_b.c={{\"x\":\"\\u003c\"}}\n", place.display());
    assert_eq!(reply.text(), expected);
}

#[test]
fn argv_0_is_what_is_configured_and_stdin_is_empty() {
    let daemon = Daemon::start(&hooks_file(&[
        json!({"id": "bash", "execute-command": "bash", "include-command-output-in-response": true,
               "pass-arguments-to-command": [string("-c"), string("tr '\\0' ' ' < /proc/$$/cmdline | cut -c1-8; readlink /proc/$$/fd/0")]}),
    ]));
    assert_eq!(daemon.get("/hooks/bash").text(), "bash -c \n/dev/null\n");
}

#[test]
fn a_command_leads_a_process_group_of_its_own() {
    let daemon = Daemon::start(&hooks_file(&[shell("group", "cut -d' ' -f1,5 /proc/$$/stat", json!({}))]));
    let text = daemon.get("/hooks/group").text();
    let (pid, group) = text.trim().split_once(' ').unwrap();
    assert_eq!(pid, group);
}

#[test]
fn a_command_that_cannot_be_started_is_a_failure_with_a_reason() {
    let dir = temp_dir();
    executable(&dir.path().join("no-interpreter"), "echo hi\n");
    let plain = dir.path().join("no-interpreter");
    let plain = plain.to_str().unwrap();
    let sync = |id: &str, command: &str, dir: &str, argument: &str| {
        json!({"id": id, "execute-command": command, "command-working-directory": dir, "include-command-output-in-response": true,
               "pass-arguments-to-command": [string(argument)]})
    };
    let daemon = Daemon::start(&hooks_file(&[
        sync("missing", "/no/such", "", ""),
        sync("words", "/bin/echo hi", "", ""),
        sync("name", "no-such-program", "", ""),
        sync("format", plain, "", ""),
        sync("format-in", "no-interpreter", dir.path().to_str().unwrap(), ""),
        sync("place", "/bin/true", "/no/such", ""),
        sync("nul", "/bin/true", "", "a\0b"),
        sync("relative", "cut", "usr/bin", ""),
        sync("long", "/bin/true", "", &"x".repeat(200_000)),
    ]));
    for (hook, reason) in [
        ("missing", "error in exec: \"/no/such\": stat /no/such: no such file or directory"),
        ("words", "use 'pass-arguments-to-command' to specify args for '/bin/echo'"),
        ("name", "error in exec: \"no-such-program\": executable file not found in $PATH"),
        ("format", &format!("error occurred: fork/exec {plain}: exec format error")),
        ("format-in", &format!("error occurred: fork/exec {plain}: exec format error")),
        ("place", "error occurred: chdir /no/such: no such file or directory"),
        ("nul", "error occurred: fork/exec /bin/true: invalid argument"),
        ("relative", "error in exec: \"usr/bin/cut\": stat usr/bin/cut: no such file or directory"),
        ("long", "error occurred: fork/exec /bin/true: argument list too long"),
    ] {
        assert_eq!(daemon.get(&format!("/hooks/{hook}")).status, 500, "{hook}");
        daemon.wait_for_line(reason);
    }
}

#[test]
fn both_streams_come_in_their_order() {
    let script = "for i in 1 2 3 4 5 6 7 8 9; do echo out$i; echo err$i >&2; done";
    let daemon = Daemon::start(&hooks_file(&[shell("both", script, json!({}))]));
    let expected: String = (1..10).flat_map(|i| [format!("out{i}\n"), format!("err{i}\n")]).collect();
    assert_eq!(daemon.get("/hooks/both").text(), expected);
}

#[test]
fn a_command_is_over_when_it_exits_and_not_when_its_background_jobs_do() {
    let daemon = Daemon::start(&hooks_file(&[shell(
        "leaving",
        "sh -c 'sleep 300; echo late' & echo $! > pid; head -c 60000 /dev/zero; echo done",
        json!({}),
    )]));
    let reply = daemon.get("/hooks/leaving");
    assert_eq!(reply.body.len(), 60_005, "what was in the pipe at the exit is kept");
    assert!(reply.body.ends_with(b"done\n"));
    let left = pid_in(&daemon.dir().join("pid"));
    assert!(lives(left), "the job it left lives on");
    signal_to("KILL", left);
}

#[test]
fn a_job_left_in_the_background_may_write_on() {
    let script = "(while ! test -e go; do sleep 0.01; done; echo x; echo y; echo alive > proof) & exit 0";
    let daemon = Daemon::start(&hooks_file(&[shell("leaving", script, json!({}))]));
    assert_eq!(daemon.get("/hooks/leaving").status, 200);
    fs::write(daemon.dir().join("go"), "").unwrap();
    until("the job to outlive its writing", || {
        fs::read_to_string(daemon.dir().join("proof")).ok().filter(|text| !text.is_empty())
    });
}

#[test]
fn values_come_in_files_that_only_the_owner_can_read_and_that_go_afterwards() {
    let script = "cat $HOOK_A; cat $B; stat -c %a $B; echo $B; ls | wc -l";
    let dir = temp_dir();
    let daemon = Daemon::start(&hooks_file(&[shell(
        "files",
        script,
        json!({
            "command-working-directory": dir.path(), "execute-command": "/bin/sh",
            "pass-file-to-command": [
                {"source": "payload", "name": "a"},
                {"source": "payload", "name": "b", "envname": "B", "base64decode": true},
                {"source": "payload", "name": "missing", "envname": "M"},
                {"source": "payload", "name": "a", "envname": "x/y"}],
        }),
    )]));
    let reply = daemon.post("/hooks/files", r#"{"a": "plain\n", "b": "ZGVjb2RlZAo="}"#).text();
    let lines: Vec<&str> = reply.lines().collect();
    assert_eq!(lines[..3], ["plain", "decoded", "600"], "{reply}");
    let name = lines[3].strip_prefix(&format!("{}/B", dir.path().display())).unwrap();
    assert!(name.chars().all(|c| c.is_ascii_digit()) && !name.is_empty(), "{reply}");
    assert_eq!(lines[4], "2", "{reply}");
    daemon.wait_for_line("removing file");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    daemon.wait_for_line("no ENVVAR name specified, falling back to [HOOK_A]");
    daemon.wait_for_line("error creating temp file");
}

#[test]
fn files_of_a_failing_command_and_of_one_that_removes_them_itself_go_too() {
    let dir = temp_dir();
    let daemon = Setup::new(&hooks_file(&[
        shell(
            "failing",
            "exit 1",
            json!({"pass-file-to-command": [{"source": "string", "name": "x", "envname": "F"}]}),
        ),
        shell(
            "removing",
            "rm $F; echo gone",
            json!({"pass-file-to-command": [{"source": "string", "name": "x", "envname": "F"}]}),
        ),
        json!({"id": "absent", "execute-command": "/no/such", "include-command-output-in-response": true,
               "pass-file-to-command": [{"source": "string", "name": "x", "envname": "F"}]}),
    ]))
    .variable("TMPDIR", dir.path().to_str().unwrap())
    .start();
    assert_eq!(daemon.get("/hooks/failing").status, 500);
    assert_eq!(daemon.get("/hooks/removing").text(), "gone\n");
    assert_eq!(daemon.get("/hooks/absent").status, 500);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_raw_body_reaches_file_and_stdin_byte_for_byte() {
    let body: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let daemon = Daemon::start(&hooks_file(&[
        shell(
            "file",
            "cat $F",
            json!({"pass-file-to-command": [{"source": "raw-request-body", "envname": "F"}]}),
        ),
        shell("stdin", "cat", json!({"pass-stdin-to-command": true})),
        shell("unread", "exec <&-; echo unread", json!({"pass-stdin-to-command": true})),
        shell("empty", "wc -c", json!({"pass-stdin-to-command": true})),
    ]));
    let binary = [("Content-Type", "application/octet-stream")];
    assert!(daemon.request("POST", "/hooks/file", &binary, &body).body == body);
    assert!(daemon.request("POST", "/hooks/stdin", &binary, &body).body == body);
    assert_eq!(daemon.request("POST", "/hooks/unread", &binary, &body).text(), "unread\n");
    assert_eq!(daemon.get("/hooks/empty").text().trim(), "0");
}

#[test]
fn a_timeout_ends_the_whole_group_also_where_term_is_ignored() {
    let daemon = Daemon::start(&hooks_file(&[
        shell(
            "heeding",
            "sleep 300 & echo $! > child; echo $$ > pid; wait",
            json!({"command-timeout": "1s"}),
        ),
        shell(
            "deaf",
            "trap '' TERM; echo x; setsid sleep 300 & echo $! > child; echo $$ > pid; while :; do sleep 1; done",
            json!({"command-timeout": "1s", "include-command-output-in-response-on-error": true}),
        ),
        shell("quick", "echo in time", json!({"command-timeout": "20s"})),
    ]));
    assert_eq!(daemon.get("/hooks/quick").text(), "in time\n");
    for (hook, body) in [("heeding", None), ("deaf", Some("x\n"))] {
        let reply = daemon.get(&format!("/hooks/{hook}"));
        assert_eq!(reply.status, 500, "{hook}");
        if let Some(body) = body {
            assert_eq!(reply.text(), body, "{hook}");
        }
        for file in ["pid", "child"] {
            let pid = pid_in(&daemon.dir().join(file));
            wait_until(&format!("the end of {file} of {hook}"), || !lives(pid));
            fs::remove_file(daemon.dir().join(file)).unwrap();
        }
    }
    daemon.wait_for_line("error occurred: command-timeout of 1s: signal: terminated");
    daemon.wait_for_line("error occurred: command-timeout of 1s: signal: killed");
}

#[test]
fn a_synchronous_command_goes_on_when_its_client_goes() {
    let daemon = Daemon::start(&hooks_file(&[shell(
        "patient",
        "echo $$ > pid; while ! test -e go; do sleep 0.01; done; echo $$ > done",
        json!({}),
    )]));
    let stream = daemon.ask("/hooks/patient");
    let pid = pid_in(&daemon.dir().join("pid"));
    drop(stream);
    fs::write(daemon.dir().join("go"), "").unwrap();
    assert_eq!(pid_in(&daemon.dir().join("done")), pid);
}

#[test]
fn output_is_streamed_as_it_comes() {
    let daemon = Daemon::start(&hooks_file(&[shell(
        "stream",
        "echo one; while ! test -e go; do sleep 0.01; done; echo two",
        json!({"stream-command-output": true}),
    )]));
    let mut stream = daemon.ask("/hooks/stream");
    read_to(&mut stream, b"\r\n\r\n").unwrap();
    assert_eq!(read_chunk(&mut stream).unwrap(), b"one\n", "before the command is over");
    fs::write(daemon.dir().join("go"), "").unwrap();
    assert_eq!(read_chunk(&mut stream).unwrap(), b"two\n");
    assert_eq!(read_chunk(&mut stream), None);
}

#[test]
fn a_head_request_runs_a_streaming_command_to_its_end() {
    let daemon = Daemon::start(&hooks_file(&[shell(
        "stream",
        "echo one; echo two; exec >&- 2>&-; echo three > done",
        json!({"stream-command-output": true}),
    )]));
    let reply = daemon.request("HEAD", "/hooks/stream", &[], b"");
    assert_eq!((reply.status, reply.header("Content-Length")), (200, Some("8")));
    assert!(daemon.dir().join("done").exists());
}

#[test]
fn a_streaming_command_that_fails_cuts_its_output_off_or_answers_500() {
    let daemon = Daemon::start(&hooks_file(&[
        shell("late", "echo one; yes | head -c 500000; exit 3", json!({"stream-command-output": true})),
        shell("early", "exit 3", json!({"stream-command-output": true})),
        shell("silent", "true", json!({"stream-command-output": true, "success-http-response-code": 201})),
    ]));
    let mut stream = daemon.ask("/hooks/late");
    read_to(&mut stream, b"\r\n\r\n").unwrap();
    let mut body = Vec::new();
    let end = loop {
        match try_read_chunk(&mut stream) {
            Ok(Some(chunk)) => body.extend(chunk),
            end => break end,
        }
    };
    assert!(end.is_err(), "a failure must not look like an end");
    assert_eq!(body.len(), 500_004, "all that it said, though it is cut off then");
    assert_eq!(daemon.get("/hooks/early").status, 500);
    assert_eq!(daemon.get("/hooks/silent").status, 201);
}

#[test]
fn a_streaming_command_ends_with_its_client_even_when_it_is_silent() {
    let daemon = Daemon::start(&hooks_file(&[
        shell("talking", "echo one; echo $$ > pid; sleep 300", json!({"stream-command-output": true})),
        shell("silent", "echo $$ > pid; sleep 300", json!({"stream-command-output": true})),
    ]));
    for hook in ["talking", "silent"] {
        let stream = daemon.ask(&format!("/hooks/{hook}"));
        let pid = pid_in(&daemon.dir().join("pid"));
        assert!(lives(pid), "{hook}");
        drop(stream);
        wait_until(&format!("the end of {hook}"), || !lives(pid));
        fs::remove_file(daemon.dir().join("pid")).unwrap();
    }
    daemon.wait_for_line("error occurred: the client went away: signal: terminated");
}

#[test]
fn a_client_that_reads_slowly_holds_the_command_and_not_the_memory() {
    let daemon = Daemon::start(&hooks_file(&[shell(
        "flood",
        "head -c 200000000 /dev/zero; echo over > over",
        json!({"stream-command-output": true}),
    )]));
    let mut stream = daemon.ask("/hooks/flood");
    let mut some = vec![0; 100_000];
    stream.read_exact(&mut some).unwrap();
    assert!(!daemon.dir().join("over").exists(), "the pipe is full long before the end");
    let kib = daemon.peak_kib();
    assert!(kib < 100_000, "{kib} KiB at the peak");
}

#[test]
fn output_is_logged_as_it_comes_if_asked_for() {
    let daemon = Daemon::start(&hooks_file(&[shell(
        "live",
        "echo first; while ! test -e go; do sleep 0.01; done; printf last",
        json!({"log-command-output-as-it-comes": true}),
    )]));
    let mut stream = daemon.ask("/hooks/live");
    daemon.wait_for_line("command output: first");
    fs::write(daemon.dir().join("go"), "").unwrap();
    assert_eq!(Reply::read(&mut stream, false).text(), "first\nlast");
    daemon.wait_for_line("command output: last");
    assert_eq!(daemon.log().matches("command output: ").count(), 2);
}

#[test]
fn nothing_is_run_from_a_relative_part_of_path() {
    let hook = json!({"id": "a", "execute-command": "here", "include-command-output-in-response": true});
    let setup = Setup::new(&hooks_file(&[hook])).variable("PATH", ".");
    executable(&setup.dir().join("here"), "#!/bin/sh\n/bin/echo here\n");
    let daemon = setup.start();
    assert_eq!(daemon.get("/hooks/a").status, 500);
    daemon
        .wait_for_line("error in exec: \"here\": cannot run executable found relative to current directory");
}
