//! `demo.sh` as somebody sees it who has just cloned the project.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use crate::support::{
    checkout::Checkout,
    files::{executable, temp_dir},
};

/// A checkout whose programs are there already: what stands in for cargo says so.
fn checkout() -> Checkout {
    let checkout = Checkout::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    executable(&checkout.file("demo.sh"), fs::read(source.join("demo.sh")).unwrap());
    for chunk in fs::read_dir(source.join("scripts")).unwrap().flatten() {
        fs::copy(chunk.path(), checkout.file("scripts").join(chunk.file_name())).unwrap();
    }
    fs::create_dir_all(checkout.file("tests/fixtures")).unwrap();
    fs::copy(source.join("tests/fixtures/amp_devel.py"), checkout.file("tests/fixtures/amp_devel.py"))
        .unwrap();
    symlink(env!("CARGO_BIN_EXE_amp_build"), checkout.file("bin/amp_build")).unwrap();
    fs::create_dir(checkout.file("tools")).unwrap();
    symlink("/bin/true", checkout.file("tools/cargo")).unwrap();
    checkout
}

fn path(checkout: &Checkout) -> String {
    format!("{}:{}", checkout.file("tools").display(), std::env::var("PATH").unwrap())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_demo_fits_80_columns_ends_in_three_lines_and_leaves_nothing() {
    let checkout = checkout();
    let temporary = temp_dir();
    let shown = checkout
        .script("demo.sh")
        .arg("--look")
        .env("PATH", path(&checkout))
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    assert!(said(&shown).contains("Look at http://127.0.0.1:"), "{}", said(&shown));
    let said = said(&shown);
    assert_eq!(shown.status.code(), Some(0), "{said}");
    // The one line that names the home is as long as its path.
    let too_long = said.lines().filter(|line| line.chars().count() > 80 && !line.starts_with("=== A home"));
    assert_eq!(too_long.collect::<Vec<_>>(), [""; 0]);
    assert!(!said.contains('\x1b'), "no colour in a pipe: {said}");
    let close = said.rsplit_once("=== Result").unwrap().1.trim();
    assert_eq!(close.lines().count(), 3, "{close}");
    assert!(close.starts_with("All 2"), "{close}");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn on_a_terminal_the_demo_has_colours_unless_they_are_not_wanted() {
    let checkout = checkout();
    let demo = checkout.file("demo.sh");
    for (no_color, coloured) in [(None, true), (Some("1"), false)] {
        let mut terminal = Command::new("script");
        terminal.args(["--quiet", "--return", "--command", demo.to_str().unwrap(), "/dev/null"]);
        terminal.env("PATH", path(&checkout)).env("TERM", "xterm").env_remove("NO_COLOR");
        terminal.envs(no_color.map(|value| ("NO_COLOR", value)));
        let shown = terminal.output().unwrap();
        assert_eq!(shown.status.code(), Some(0), "{}", said(&shown));
        assert_eq!(said(&shown).contains("\x1b[32mok\x1b[0m"), coloured, "{}", said(&shown));
    }
}

#[test]
fn help_helps_and_shows_nothing() {
    let checkout = checkout();
    let used = checkout.file("used");
    let cargo = format!("#!/bin/bash\ntouch {}\n", used.display());
    fs::remove_file(checkout.file("tools/cargo")).unwrap();
    executable(&checkout.file("tools/cargo"), cargo);
    for (word, code) in [("--help", 0), ("-h", 0), ("--hepl", 2)] {
        let helped = checkout.script("demo.sh").arg(word).env("PATH", path(&checkout)).output().unwrap();
        assert_eq!(helped.status.code(), Some(code), "{}", said(&helped));
        assert!(said(&helped).starts_with("Usage: demo.sh"), "{}", said(&helped));
    }
    assert!(!used.exists());
}
