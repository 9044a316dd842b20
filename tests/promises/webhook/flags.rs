//! The command line: what is accepted, what is printed, and how it ends.

use std::fs;

use serde_json::json;

use crate::support::{
    daemon::{Setup, hooks_file, shell},
    need::root,
};

fn one_hook() -> String {
    hooks_file(&[shell("a", "echo a", json!({}))])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_is_output_and_groups_every_flag() {
    for flag in ["-h", "-help", "--help", "--h"] {
        let output = Setup::new("[]").flags(&[flag]).run();
        assert_eq!(output.status.code(), Some(0), "{flag}");
        assert_eq!(text(&output.stderr), "");
        let help = text(&output.stdout);
        for heading in
            ["Hooks:", "Where it listens:", "What it answers:", "Log:", "TLS:", "Limits:", "Process:"]
        {
            assert!(help.contains(heading), "{heading} in {help}");
        }
        for name in [
            "ip",
            "port",
            "hooks",
            "template",
            "hotreload",
            "verbose",
            "debug",
            "logfile",
            "nopanic",
            "urlprefix",
            "header",
            "http-methods",
            "x-request-id",
            "x-request-id-limit",
            "max-multipart-mem",
            "secure",
            "cert",
            "key",
            "tls-min-version",
            "cipher-suites",
            "list-cipher-suites",
            "pidfile",
            "version",
            "setuid",
            "setgid",
            "socket",
        ] {
            assert!(
                help.contains(&format!("--{name} ")) || help.contains(&format!("--{name}\n")),
                "--{name} in {help}"
            );
        }
    }
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_why() {
    for (flags, why) in [
        (&["-nonsense"][..], "flag provided but not defined: -nonsense"),
        (&["---port", "1"], "bad flag syntax: ---port"),
        (&["-port"], "flag needs an argument: -port"),
        (&["-port", "x"], "--port"),
        (&["-verbose=perhaps"], "invalid boolean value \"perhaps\" for -verbose: parse error"),
        (&["-header", "novalue"], "header flag must be in name=value format"),
        (&["-max-body-size", "lots"], "--max-body-size"),
        (&["-log-format", "xml"], "--log-format"),
    ] {
        let output = Setup::new("[]").flags(flags).run();
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(text(&output.stderr).contains(why), "{flags:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("Usage"), "{flags:?}");
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn version_and_cipher_suites_are_printed() {
    let version = Setup::new("[]").flags(&["-version", "-nopanic=false"]).run();
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(text(&version.stdout), format!("webhookd version {}\n", env!("CARGO_PKG_VERSION")));

    let suites = Setup::new("[]").flags(&["-list-cipher-suites"]).run();
    assert_eq!(suites.status.code(), Some(0));
    assert!(text(&suites.stdout).lines().any(|line| line == "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"));
    let newest = Setup::new("[]").flags(&["-list-cipher-suites", "-tls-min-version", "1.3"]).run();
    assert!(
        text(&newest.stdout)
            .lines()
            .all(|line| line.starts_with("TLS_AES_") || line.starts_with("TLS_CHACHA20_"))
    );
    let wrong = Setup::new("[]").flags(&["-list-cipher-suites", "-tls-min-version", "2"]).run();
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn a_start_that_cannot_be_ends_with_1_and_says_why_even_when_not_verbose() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let here = ["-ip", "127.0.0.1", "-port", "0"];
    for (flags, why) in [
        (vec!["-ip", "127.0.0.1", "-port", &port], "address already in use"),
        (vec!["-ip", "::1", "-port", "0"], "brackets"),
        (vec!["-port", "99999"], "invalid port"),
        (vec!["-setuid", "1"], "setuid and setgid options must be used together"),
        ([&here[..], &["-logfile", "no/such/dir/log"]].concat(), "error opening log file"),
        ([&here[..], &["-pidfile", "hooks.json/pid"]].concat(), "hooks.json"),
        ([&here[..], &["-hooks", "none.json"]].concat(), "none.json"),
        ([&here[..], &["-hooks", ""]].concat(), "hooks"),
        (
            [&here[..], &["-hooks", "hooks.json", "-hooks", "hooks.json"]].concat(),
            "a has already been loaded",
        ),
        ([&here[..], &["-secure"]].concat(), "cert.pem"),
        ([&here[..], &["-secure", "-tls-min-version", "1.0"]].concat(), "1.0"),
        (
            [&here[..], &["-secure", "-cipher-suites", "TLS_RSA_WITH_AES_128_CBC_SHA"]].concat(),
            "TLS_RSA_WITH_AES_128_CBC_SHA",
        ),
    ] {
        let output = Setup::new(&one_hook()).flags(&flags).run();
        assert_eq!(output.status.code(), Some(1), "{flags:?}");
        let said = text(&output.stderr) + &text(&output.stdout);
        assert!(said.contains(why), "{flags:?}: {said}");
    }
}

#[test]
fn why_it_cannot_start_is_in_the_log_file_too() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let setup = Setup::new(&one_hook()).flags(&["-ip", "127.0.0.1", "-port", &port, "-logfile", "hooks.log"]);
    let output = setup.run();
    assert_eq!(output.status.code(), Some(1));
    let why = format!("error listening on port: listen tcp 127.0.0.1:{port}: bind: address already in use");
    assert!(text(&output.stderr).contains(&why), "{}", text(&output.stderr));
    let log = fs::read_to_string(setup.dir().join("hooks.log")).unwrap();
    assert!(log.contains(&why), "{log}");
}

#[test]
fn without_hooks_it_starts_only_when_told_that_this_is_all_right() {
    for flags in
        [&["-nopanic", "-logfile", "log", "-hooks", "none.json"][..], &["-verbose", "-hooks", "none.json"]]
    {
        let with_log = flags.contains(&"-logfile");
        let setup = Setup::new("[]").flags(flags);
        if with_log {
            continue;
        }
        let daemon = setup.start();
        assert_eq!(daemon.get("/hooks/a").status, 404);
        daemon.wait_for_line("couldn't load hooks from file!");
    }
}

#[test]
fn flags_end_at_the_first_other_word_and_the_last_one_wins() {
    let daemon = Setup::new(&one_hook())
        .flags(&["-urlprefix", "x", "--urlprefix=y", "-ip=127.0.0.1", "-port", "0", "-verbose=1"])
        .start_as_it_is(&["word", "-urlprefix", "z"]);
    assert_eq!(daemon.get("/y/a").text(), "a\n");
}

#[test]
fn several_hooks_files_of_both_kinds_are_served() {
    let daemon = Setup::new(&one_hook())
        .file("second.conf", "- id: b\n  execute-command: /bin/echo\n  response-message: from yaml\n")
        .flags(&["-hooks", "hooks.json", "--hooks=second.conf"])
        .start();
    assert_eq!(daemon.get("/hooks/a").text(), "a\n");
    assert_eq!(daemon.get("/hooks/b").text(), "from yaml");
}

#[test]
fn templates_are_expanded_only_when_asked_for() {
    let hooks =
        r#"[{"id": "a", "execute-command": "/bin/true", "response-message": "{{ getenv "WORD" | js }}"}]"#;
    let daemon = Setup::new(hooks).flags(&["-template"]).variable("WORD", "it's \"so\"").start();
    assert_eq!(daemon.get("/hooks/a").text(), "it's \"so\"");
}

#[test]
fn methods_of_the_command_line_count_for_hooks_that_list_none() {
    let daemon = Setup::new(&hooks_file(&[
        shell("a", "echo a", json!({})),
        shell("own", "echo own", json!({"http-methods": ["GET"]})),
    ]))
    .flags(&["-http-methods", "post , Put"])
    .start();
    assert_eq!(daemon.get("/hooks/a").status, 405);
    assert_eq!(daemon.request("PUT", "/hooks/a", &[], b"").text(), "a\n");
    assert_eq!(daemon.get("/hooks/own").text(), "own\n");
    assert_eq!(daemon.request("PUT", "/hooks/own", &[], b"").status, 405);
}

#[test]
fn check_says_what_the_files_define_or_what_is_wrong() {
    let good = Setup::new(&one_hook()).flags(&["-check"]).run();
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stdout));
    assert!(text(&good.stdout).contains("hooks.json: 1 hook(s)\n    a runs /bin/sh\n"));
    for (hooks, why) in [
        ("[{", "hooks.json"),
        (r#"[{"id": "a", "execute-command": "x"}, {"id": "a", "execute-command": "x"}]"#, "already"),
        (
            r#"[{"id": "a", "include-command-output-in-response": "yes"}]"#,
            "include-command-output-in-response",
        ),
    ] {
        let wrong = Setup::new(hooks).flags(&["-check"]).run();
        assert_eq!(wrong.status.code(), Some(1), "{hooks}");
        assert!(text(&wrong.stdout).contains(why), "{hooks}: {}", text(&wrong.stdout));
    }
    let odd = Setup::new(r#"[{"id": "a", "execute-comand": "x"}]"#).flags(&["-check"]).run();
    assert!(text(&odd.stdout).contains("execute-command"), "{}", text(&odd.stdout));
}

#[test]
fn the_pid_file_is_there_while_the_daemon_is() {
    let mut daemon = Setup::new(&one_hook()).flags(&["-pidfile", "deep/er/pid"]).start();
    let path = daemon.dir().join("deep/er/pid");
    assert_eq!(fs::read_to_string(&path).unwrap(), daemon.pid().to_string());
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_living_pid_in_the_pid_file_forbids_the_start_and_a_stale_one_does_not() {
    let setup = |text: &str| Setup::new(&one_hook()).file("pid", text).flags(&["-pidfile", "pid"]);
    let refused = setup("1").flags(&["-ip", "127.0.0.1", "-port", "0"]).run();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("pid"), "{}", text(&refused.stderr));
    for stale in ["99999999", "nonsense", ""] {
        let daemon = setup(stale).start();
        assert_eq!(fs::read_to_string(daemon.dir().join("pid")).unwrap(), daemon.pid().to_string());
    }
}

#[test]
fn privileges_are_given_up_for_good_before_the_log_is_opened() {
    if !root() {
        return;
    }
    let setup = Setup::new(&hooks_file(&[shell("who", "id -u; id -g; id -G", json!({}))]));
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(setup.dir(), open).unwrap();
    let daemon = setup.flags(&["-setuid", "65534", "-setgid", "65533", "-pidfile", "pid"]).start();
    assert_eq!(daemon.get("/hooks/who").text(), "65534\n65533\n65533\n");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(daemon.dir().join("pid")).unwrap());
    assert_eq!(owner, 65534);
}
