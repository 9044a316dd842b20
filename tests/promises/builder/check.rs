//! `build --check`: looks at the whole installation without building, and says what to do.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::{
    files::names,
    installation::{Installation, Push},
};

/// Exit code and what it says.
fn checked(ci: &Installation, arguments: &[&str]) -> (i32, String) {
    let output = ci.command("build").arg("--check").args(arguments).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn set_mode(ci: &Installation, path: &str, mode: u32) {
    fs::set_permissions(ci.path(path), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_sound_installation_is_well_and_nothing_is_built_or_touched() {
    let ci = Installation::building("true");
    let id = ci.push(&Push::to("r", "main"));
    let before = names(ci.home());
    let (code, said) = checked(&ci, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.ends_with("all is well\n") && !said.contains("WRONG"), "{said}");
    for what in [ci.home().to_str().unwrap(), "checkout_repos", "git", "limit 6h", "operator@example.org"] {
        assert!(said.contains(what), "{what} in {said}");
    }
    assert_eq!((names(ci.home()), ci.entries()), (before, vec![format!("build-{id}")]));
}

#[test]
fn each_thing_that_is_wrong_is_said_with_what_to_do() {
    type Breaking = fn(&mut Installation);
    let all: [(&str, &str, Breaking); 8] = [
        ("no scripts", "the chunks belong there", |ci| fs::remove_dir_all(ci.path("scripts")).unwrap()),
        ("empty scripts", "every build is skipped", |ci| {
            for name in names(&ci.path("scripts")) {
                fs::remove_file(ci.path("scripts").join(name)).unwrap();
            }
        }),
        ("placeholder", "scripts/build_packages: {repo} is no placeholder", |ci| {
            ci.chunk("build_packages", "echo {repo} ${repo} {{repo}} {repository}");
        }),
        ("chunk for all", "scripts/build_packages can be written by everybody", |ci| {
            set_mode(ci, "scripts/build_packages", 0o666);
        }),
        ("queue for all", "chmod o-w", |ci| set_mode(ci, "queue", 0o777)),
        ("work directory", "chmod +t", |ci| set_mode(ci, "work", 0o777)),
        ("no work directory", "AMP_CI_WORK_DIR", |ci| {
            ci.set("AMP_CI_WORK_DIR", "/nowhere");
        }),
        ("no mail server", "AMP_CI_SMTP_URL", |ci| {
            ci.set("AMP_CI_SMTP_URL", "smtp://127.0.0.1:1");
        }),
    ];
    for (what, hint, break_it) in all {
        let mut ci = Installation::building("true");
        break_it(&mut ci);
        let (code, said) = checked(&ci, &[]);
        assert_eq!(code, 1, "{what}: {said}");
        let wrong: Vec<&str> = said.lines().filter(|line| line.starts_with("WRONG")).collect();
        assert!(wrong.len() == 1 && wrong[0].contains(hint), "{what}: {said}");
    }
}

#[test]
fn with_an_address_it_sends_a_test_letter() {
    let ci = Installation::building("true");
    let (code, said) = checked(&ci, &["--mail", "somebody@example.org"]);
    assert_eq!(code, 0, "{said}");
    let letter = ci.letter();
    assert_eq!((&*letter.to, &*letter.from), ("somebody@example.org", "amp_ci@ci.example.org"));
    assert!(letter.text.contains(ci.home().to_str().unwrap()), "{}", letter.text);
}

#[test]
fn a_pause_and_mail_that_waits_are_mentioned() {
    let ci = Installation::building("true");
    fs::write(ci.path("queue/hold"), "").unwrap();
    fs::create_dir(ci.path("outbox")).unwrap();
    fs::write(ci.path("outbox/5.5.eml"), "").unwrap();
    let (code, said) = checked(&ci, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("queue/hold exists") && said.contains("outbox/ holds 1 unsent"), "{said}");
}

#[test]
fn shipped_files_that_have_become_newer_are_named() {
    let ci = Installation::building("true");
    fs::create_dir_all(ci.path(".shipped/scripts")).unwrap();
    fs::write(ci.path(".shipped/scripts/build_packages"), "as an earlier version had it\n").unwrap();
    let (code, said) = checked(&ci, &[]);
    assert_eq!(code, 0, "{said}");
    let note = said.lines().find(|line| line.contains("newer")).unwrap_or_default();
    assert!(note.contains("scripts/build_packages;") && note.contains("build init"), "{said}");
}
