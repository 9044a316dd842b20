//! Hooks files that change while the daemon serves.

use std::{fs, os::unix::fs::symlink, path::Path};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    daemon::{Daemon, Setup, WEBHOOKD, hooks_file},
    files::executable,
    need::may_unshare,
    wait::{until, wait_until},
};

fn saying(text: &str) -> String {
    hooks_file(&[json!({"id": "a", "execute-command": "/bin/true", "response-message": text})])
}

fn watching() -> Setup {
    Setup::new(&saying("first")).flags(&["-hotreload"])
}

fn wait_for_answer(daemon: &Daemon, expected: &str) {
    wait_until(&format!("{expected:?} in the answer"), || daemon.get("/hooks/a").text() == expected);
}

fn hooks(daemon: &Daemon) -> std::path::PathBuf {
    daemon.dir().join("hooks.json")
}

fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, path).unwrap();
}

#[test]
fn a_file_is_loaded_again_however_it_changes() {
    let daemon = watching().start();
    let path = hooks(&daemon);
    wait_for_answer(&daemon, "first");
    fs::write(&path, saying("written")).unwrap();
    wait_for_answer(&daemon, "written");
    replace(&path, &saying("replaced"));
    wait_for_answer(&daemon, "replaced");
    replace(&path, &saying("replaced again"));
    wait_for_answer(&daemon, "replaced again");
    fs::remove_file(&path).unwrap();
    fs::write(&path, saying("made anew")).unwrap();
    wait_for_answer(&daemon, "made anew");
    fs::rename(&path, path.with_extension("old")).unwrap();
    wait_for_answer(&daemon, "Hook not found.");
    daemon.wait_for_line("removed 1 hook(s) that were loaded from file hooks.json");
    fs::write(&path, saying("back")).unwrap();
    wait_for_answer(&daemon, "back");
}

#[test]
fn a_turned_symbolic_link_is_a_change_wherever_it_is_on_the_way() {
    // As Kubernetes does it: hooks.json -> ..data/hooks.json, ..data -> ..1, and ..data is turned to ..2.
    let setup = watching();
    let dir = setup.dir().to_owned();
    for (version, text) in [("..1", "one"), ("..2", "two")] {
        fs::create_dir(dir.join(version)).unwrap();
        fs::write(dir.join(version).join("hooks.json"), saying(text)).unwrap();
    }
    symlink("..1", dir.join("..data")).unwrap();
    fs::remove_file(dir.join("hooks.json")).unwrap();
    symlink("..data/hooks.json", dir.join("hooks.json")).unwrap();
    let daemon = setup.start();
    wait_for_answer(&daemon, "one");
    symlink("..2", dir.join("..tmp")).unwrap();
    fs::rename(dir.join("..tmp"), dir.join("..data")).unwrap();
    wait_for_answer(&daemon, "two");
    fs::write(dir.join("..2/hooks.json"), saying("in the target")).unwrap();
    wait_for_answer(&daemon, "in the target");
}

#[test]
fn a_turned_link_above_the_file_is_a_change_too() {
    let setup = Setup::new("[]").flags(&["-hotreload", "-hooks", "current/hooks.json"]);
    let dir = setup.dir().to_owned();
    for (version, text) in [("one", "one"), ("two", "two")] {
        fs::create_dir(dir.join(version)).unwrap();
        fs::write(dir.join(version).join("hooks.json"), saying(text)).unwrap();
    }
    symlink("one", dir.join("current")).unwrap();
    let daemon = setup.start();
    wait_for_answer(&daemon, "one");
    symlink("two", dir.join("next")).unwrap();
    fs::rename(dir.join("next"), dir.join("current")).unwrap();
    wait_for_answer(&daemon, "two");
}

#[test]
fn a_file_that_was_broken_or_absent_at_the_start_is_loaded_once_it_is_good() {
    for (hotreload, broken) in [(true, Some("[{")), (true, None), (false, Some("[{")), (false, None)] {
        let flags: &[&str] = if hotreload { &["-hotreload"] } else { &[] };
        let setup = Setup::new(broken.unwrap_or_default()).flags(flags);
        if broken.is_none() {
            fs::remove_file(setup.dir().join("hooks.json")).unwrap();
        }
        let daemon = setup.start();
        assert_eq!(daemon.get("/hooks/a").status, 404);
        fs::write(hooks(&daemon), saying("good")).unwrap();
        if !hotreload {
            daemon.signal(Signal::HUP);
        }
        wait_for_answer(&daemon, "good");
    }
}

#[test]
fn a_broken_new_file_keeps_the_old_hooks() {
    let daemon = watching().start();
    for (broken, said) in [
        ("[{", "couldn't load hooks from file!"),
        (
            &*hooks_file(&[json!({"id": "b"}), json!({"id": "b"})]),
            "reverting hooks back to the previous configuration",
        ),
    ] {
        fs::write(hooks(&daemon), broken).unwrap();
        daemon.wait_for_line(said);
        assert_eq!(daemon.get("/hooks/a").text(), "first");
    }
    fs::write(hooks(&daemon), saying("mended")).unwrap();
    wait_for_answer(&daemon, "mended");
}

#[test]
fn an_id_of_another_file_is_not_taken_over() {
    let other =
        hooks_file(&[json!({"id": "b", "execute-command": "/bin/true", "response-message": "other"})]);
    let daemon = Setup::new(&saying("first"))
        .file("other.json", &other)
        .flags(&["-hooks", "hooks.json", "-hooks", "other.json"])
        .start();
    fs::write(hooks(&daemon), &other).unwrap();
    daemon.signal(Signal::USR1);
    daemon.wait_for_line("reverting hooks back to the previous configuration");
    assert_eq!(daemon.get("/hooks/a").text(), "first");
    assert_eq!(daemon.get("/hooks/b").text(), "other");
    fs::write(hooks(&daemon), "[]").unwrap();
    daemon.signal(Signal::USR1);
    wait_for_answer(&daemon, "Hook not found.");
    assert_eq!(daemon.get("/hooks/b").text(), "other");
}

#[test]
fn a_burst_of_changes_is_one_reload() {
    let daemon = watching().start();
    for number in 0..200 {
        fs::write(hooks(&daemon), saying(&format!("version {number}"))).unwrap();
    }
    wait_for_answer(&daemon, "version 199");
    let reloads = daemon.log().matches("attempting to reload").count();
    assert!(reloads < 20, "{reloads} reloads");
}

#[test]
fn a_change_of_mode_or_of_a_neighbour_is_no_change() {
    let daemon = watching().start();
    fs::set_permissions(hooks(&daemon), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(daemon.dir().join("neighbour"), "x").unwrap();
    // Seen after them, so they were seen too.
    fs::write(hooks(&daemon), saying("changed")).unwrap();
    wait_for_answer(&daemon, "changed");
    assert_eq!(daemon.log().matches("attempting to reload").count(), 1);
}

#[test]
fn without_its_last_hook_a_daemon_that_is_not_told_otherwise_ends_with_1() {
    let setup = Setup::new(&saying("first")).flags(&[
        "-hotreload",
        "-ip",
        "127.0.0.1",
        "-pidfile",
        "pid",
        "-port",
        "0",
    ]);
    let path = setup.dir().join("hooks.json");
    let pid = setup.dir().join("pid");
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| setup.run());
        wait_until("the daemon's start", || pid.exists());
        // It is quiet: that it looks at the file can be told by what it watches.
        let number = until("its number", || fs::read_to_string(&pid).ok().filter(|text| !text.is_empty()));
        wait_until("its watches", || {
            let fds = fs::read_dir(format!("/proc/{number}/fdinfo")).into_iter().flatten();
            let infos = fds.flatten().filter_map(|fd| fs::read_to_string(fd.path()).ok());
            infos.into_iter().any(|info| info.contains("inotify wd:"))
        });
        fs::remove_file(&path).unwrap();
        let output = ended.join().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stdout).contains("couldn't load any hooks"));
    });
    assert!(!pid.exists());
}

#[test]
fn requests_are_served_through_a_storm_of_reloads() {
    let daemon = Daemon::start(&saying("first"));
    for number in 0..50 {
        replace(&hooks(&daemon), &saying(&format!("version {number}")));
        daemon.signal(Signal::USR1);
        let text = daemon.get("/hooks/a").text();
        assert!(text == "first" || text.starts_with("version "), "{text}");
    }
    wait_for_answer(&daemon, "version 49");
}

#[test]
fn where_the_system_gives_no_inotify_files_are_looked_at() {
    let setup = watching();
    let wrapper = setup.dir().join("wrapper");
    let script = format!("echo 0 > /proc/sys/user/max_inotify_instances && exec {WEBHOOKD} \"$@\"");
    executable(
        &wrapper,
        format!("#!/bin/sh\nexec unshare --user --map-root-user sh -c '{script}' sh \"$@\"\n"),
    );
    if !may_unshare(&["--user", "--map-root-user"]) {
        return;
    }
    let daemon = setup.program(wrapper).start();
    daemon.wait_for_line("fs.inotify.max_user_instances too low?");
    fs::write(hooks(&daemon), saying("changed")).unwrap();
    wait_for_answer(&daemon, "changed");
}
