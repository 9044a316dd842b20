//! Intake: five arguments become one durable entry, in the order of acceptance, or an error that says why not.

use std::{
    ffi::OsString,
    fs,
    os::unix::{
        ffi::OsStringExt,
        fs::{PermissionsExt, chown},
    },
    path::Path,
    process::Command,
};

use crate::support::{
    files::names,
    installation::{COMMIT, Installation, Push},
    need::{root, skip},
};

/// `seconds.nanoseconds` of a name that `queue_build` gives, as a number that orders.
fn order(id: &str) -> u128 {
    let (seconds, nanos) = id.split_once('.').expect("seconds.nanoseconds");
    assert_eq!(nanos.len(), 9, "{id}");
    format!("{seconds}{nanos}").parse().unwrap()
}

#[test]
fn an_entry_holds_exactly_the_five_values_in_the_original_s_layout() {
    let ci = Installation::new();
    let output =
        ci.queue_build(&["amp_mgms", "refs/heads/main", COMMIT, "Brian \"é\" Wheeler", "b@example.org"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));

    let name = said.strip_prefix("queued ").and_then(|name| name.strip_suffix('\n')).expect("queued NAME");
    order(name.strip_prefix("build-").unwrap());
    assert_eq!(ci.entries(), [name]);
    assert_eq!(
        fs::read_to_string(ci.path("queue").join(name)).unwrap(),
        format!(
            r#"{{"repository": "amp_mgms", "ref": "refs/heads/main", "commit_id": "{COMMIT}", "committer_name": "Brian \"é\" Wheeler", "committer_email": "b@example.org"}}"#
        )
    );
    let left: Vec<String> =
        names(&ci.path("queue")).into_iter().filter(|name| name.contains("new")).collect();
    assert!(left.is_empty(), "no temporary file stays: {left:?}");
}

#[test]
fn an_entry_has_the_modes_that_the_umask_leaves() {
    let ci = Installation::new();
    let mut shell = ci.command("/bin/sh");
    let program = env!("CARGO_BIN_EXE_queue_build");
    let line = format!("umask 027; exec {program} r refs/heads/main {COMMIT} who who@example.org");
    assert!(shell.args(["-c", &line]).output().unwrap().status.success());
    let mode = ci.path("queue").join(&ci.entries()[0]).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn order_is_the_order_of_acceptance_also_when_the_clock_steps_back() {
    let ci = Installation::new();
    let ahead = "9999999999.999999998";
    fs::write(ci.path("queue/.last"), format!("build-{ahead}\n")).unwrap();
    let ids: Vec<String> = (0..3).map(|_| ci.push(&Push::to("r", "main"))).collect();
    assert_eq!(ids, ["9999999999.999999999", "10000000000.000000000", "10000000000.000000001"]);
}

#[test]
fn a_damaged_or_missing_memory_of_the_last_name_gives_none_twice() {
    let ci = Installation::new();
    ci.entry("9000000000.5", "{}");
    fs::create_dir_all(ci.path("queue/bad")).unwrap();
    fs::write(ci.path("queue/bad/build-9000000001.5"), "").unwrap();
    fs::write(ci.path("queue/build-9000000002.5.lock"), "").unwrap();
    assert_eq!(ci.push(&Push::to("r", "main")), "9000000002.500000001", "past what waits, runs and was bad");

    fs::create_dir_all(ci.path("builds/9000000003.25")).unwrap();
    for (number, damage) in
        ["", "build-90000000", "build-9000000000.1", "\0\u{1}\n", "nonsense\n"].iter().enumerate()
    {
        fs::write(ci.path("queue/.last"), damage).unwrap();
        let expected = format!("9000000003.{}", 250_000_001 + number);
        assert_eq!(ci.push(&Push::to("r", "main")), expected, "past what is on record, after {damage:?}");
    }
}

#[test]
fn a_memory_of_the_last_name_that_is_somebody_else_s_makes_room_for_another() {
    if !root() {
        return;
    }
    let ci = Installation::new();
    ci.push(&Push::to("r", "main"));
    chown(ci.path("queue"), Some(65534), None).unwrap();
    let mut push = ci.command("setpriv");
    push.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", env!("CARGO_BIN_EXE_queue_build")]);
    let output = push.args(Push::to("r", "other").arguments()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(ci.entries().len(), 2);
    assert_eq!(names(&ci.path("queue")).iter().filter(|name| name.starts_with(".last.strange-")).count(), 1);
}

#[test]
fn pushes_at_the_same_moment_all_get_names_of_their_own() {
    let ci = Installation::new();
    let pushes: Vec<_> = (0..24)
        .map(|_| ci.command("queue_build").args(Push::to("r", "main").arguments()).spawn().unwrap())
        .collect();
    for mut push in pushes {
        assert!(push.wait().unwrap().success());
    }
    assert_eq!(ci.entries().len(), 24);
}

#[test]
fn five_arguments_are_the_five_values_whatever_they_look_like() {
    let ci = Installation::new();
    ci.push(&Push::to("r", "main").by("--help", "-V"));
    let entry = fs::read_to_string(ci.path("queue").join(&ci.entries()[0])).unwrap();
    assert!(entry.contains(r#""committer_name": "--help", "committer_email": """#), "{entry}");
    let output = ci.queue_build(&["--home", "refs/heads/main", COMMIT, "x", "y"]);
    assert_eq!(output.status.code(), Some(2), "as a value, --home is no repository");
}

#[test]
fn a_bad_argument_is_refused_by_name_and_nothing_is_written() {
    let ci = Installation::new();
    let good = ["r", "refs/heads/main", COMMIT, "who", "who@example.org"];
    let (zeros, long) = ("0".repeat(40), "r".repeat(101));
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let text = OsString::from;
    for (at, field, bad) in [
        (0, "repository", text("../etc")),
        (0, "repository", text("-rf")),
        (0, "repository", text("a b")),
        (0, "repository", text("")),
        (0, "repository", text(&long)),
        (0, "repository", bytes(b"r\xff")),
        (1, "ref", text("main")),
        (1, "ref", text("refs/heads/a..b")),
        (1, "ref", text("refs/heads/a\nb")),
        (1, "ref", bytes(b"refs/heads/\xff")),
        (2, "commit_id", text(&zeros)),
        (2, "commit_id", text("HEAD")),
        (2, "commit_id", text("<nil>")),
    ] {
        let mut arguments: Vec<OsString> = good.iter().map(OsString::from).collect();
        arguments[at].clone_from(&bad);
        let output = ci.queue_build(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{bad:?}: {said}");
        assert!(said.contains(&format!("{field}: '")), "{bad:?}: {said}");
        assert!(output.stdout.is_empty());
    }
    for arguments in [&good[..4], &[&good[..], &["more"]].concat(), &[]] {
        assert_eq!(ci.queue_build(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert!(names(&ci.path("queue")).is_empty(), "{:?}", names(&ci.path("queue")));
}

#[test]
fn hostile_names_and_addresses_never_lose_a_build() {
    let ci = Installation::new();
    let long = "n".repeat(300);
    for (name, email, stored_name, stored_email) in [
        ("<nil>", "<nil>", "committer", ""),
        ("", "", "committer", ""),
        (
            "Eve\r\nBcc: all@example.org",
            "eve@example.org\r\nBcc: all@example.org",
            "Eve  Bcc: all@example.org",
            "",
        ),
        (&long, "no address", &long[..200], ""),
        ("\u{1b}[31m\u{202e}x", "a@b@c", " [31m x", ""),
    ] {
        let id = ci.push(&Push::to("r", "main").by(name, email));
        let entry = fs::read(ci.path(&format!("queue/build-{id}"))).unwrap();
        let entry: serde_json::Value = serde_json::from_slice(&entry).unwrap();
        assert_eq!(entry["committer_name"], stored_name);
        assert_eq!(entry["committer_email"], stored_email);
    }
    let mut arguments: Vec<OsString> = Push::to("r", "main").arguments().iter().map(OsString::from).collect();
    arguments[3] = OsString::from_vec(b"J\xf6rg".to_vec());
    assert_eq!(ci.queue_build(&arguments).status.code(), Some(0), "nor does one that is not UTF-8");
}

#[test]
fn what_cannot_be_stored_is_exit_1_and_says_why() {
    let ci = Installation::new();
    fs::remove_dir(ci.path("queue")).unwrap();
    let output = ci.queue_build(&Push::to("r", "main").arguments());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(said.starts_with("queue_build: not queued: queue/: ") && said.contains("No such file"), "{said}");

    let output = ci
        .command("queue_build")
        .env("AMP_CI_HOME", "/nowhere")
        .args(Push::to("r", "main").arguments())
        .output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere"));
}

#[test]
fn a_lock_that_somebody_holds_is_not_waited_for_without_end() {
    let ci = Installation::new();
    ci.push(&Push::to("r", "main"));
    let last = fs::File::open(ci.path("queue/.last")).unwrap();
    last.lock().unwrap();
    let output = ci.queue_build(&Push::to("r", "main").arguments());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("queue/.last has been locked by another process"), "{said}");
    assert_eq!(ci.entries().len(), 1, "nothing is left of the second");
    last.unlock().unwrap();
    ci.push(&Push::to("r", "main"));
}

#[test]
fn nobody_else_can_open_the_files_that_locks_are_taken_on() {
    let ci = Installation::building("true");
    for name in ["queue/.last", "queue/.drain"] {
        fs::write(ci.path(name), "").unwrap();
        fs::set_permissions(ci.path(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    for name in ["queue/.last", "queue/.drain"] {
        assert_eq!(ci.path(name).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}

/// A third of its start would be the dynamic loader, while whoever pushed waits.
#[test]
fn it_starts_without_the_dynamic_loader() {
    let said = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap().trim().to_owned()
    };
    if Path::new(&said("cc", "-print-file-name=libc.a")).is_absolute() {
        assert_eq!(said("ldd", env!("CARGO_BIN_EXE_queue_build")), "statically linked");
    } else {
        skip("AMP_CI_REQUIRE_STATIC", "the C compiler has no static libc");
    }
}
