//! The home: its directories, whose they are, and who may do what in them.

use std::{
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    findings::{Findings, note, ok},
    work_dir,
};
use crate::home::Home;

pub fn look(findings: &mut Findings, home: &Home, min_free: u64) {
    let before = findings.how_many();
    ok(&format!("home {}", home.dir().display()));
    if rustix::process::geteuid().is_root() {
        note(
            "this home is root's: whoever may push runs what they like as root; give CI an account of its own",
        );
    }
    for (dir, must_exist) in [
        (home.dir().to_path_buf(), true),
        (home.queue(), true),
        (home.builds(), false),
        (home.outbox(), false),
    ] {
        match dir.metadata() {
            Err(error) if must_exist || error.kind() != io::ErrorKind::NotFound => {
                findings.wrong(&format!("{}: {error}; make it, or give the right --home", dir.display()));
            }
            Ok(_) if tempfile::tempfile_in(&dir).is_err() => {
                findings
                    .wrong(&format!("{} cannot be written: is the disk full or read-only?", dir.display()));
            }
            _ => {}
        }
    }
    work_dir::room(findings, home.dir(), min_free);
    owners(findings, home);
    modes(findings, home);
    if findings.how_many() == before {
        ok("queue, builds, outbox and logs are ours");
    }
}

/// What is somebody else's cannot be used or removed: often root's, after `sudo`.
fn owners(findings: &mut Findings, home: &Home) {
    let ours = rustix::process::geteuid().as_raw();
    let mut strange: Vec<PathBuf> = Vec::new();
    let mut see = |path: PathBuf| {
        if path.symlink_metadata().is_ok_and(|metadata| metadata.uid() != ours) {
            strange.push(path);
        }
    };
    see(home.dir().to_path_buf());
    for log in ["build.log", "webhook.log", "statusd.log", "webhook.lock"] {
        see(home.dir().join(log));
    }
    for dir in
        [home.queue(), home.queue().join("bad"), home.builds(), home.outbox(), home.outbox().join("failed")]
    {
        below(&dir).into_iter().for_each(&mut see);
        see(dir);
    }
    for record in below(&home.builds()) {
        below(&record).into_iter().for_each(&mut see);
    }
    if let Some(first) = strange.first() {
        findings.wrong(&format!(
            "{} of the files here {} not ours (user {ours}), {} for one: webhookd, queue_build and build run as one user, and so \
             should you; chown -R them",
            strange.len(),
            if strange.len() == 1 { "is" } else { "are" },
            first.display()
        ));
    }
}

fn below(dir: &Path) -> Vec<PathBuf> {
    fs_err::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The owner acts, the group looks, others get nothing.
fn modes(findings: &mut Findings, home: &Home) {
    let mut acting =
        vec![home.dir().to_path_buf(), home.queue(), home.builds(), home.outbox(), home.scripts()];
    acting.extend(below(&home.scripts()));
    for name in ["hooks.json", "environment.sh", "build", "start_webhook.sh", "stop_webhook.sh", "addresses"]
    {
        acting.push(home.dir().join(name));
    }
    let has =
        |path: &Path, bits: u32| path.metadata().is_ok_and(|metadata: Metadata| metadata.mode() & bits != 0);
    for path in acting {
        if has(&path, 0o002) {
            findings.wrong(&format!(
                "{} can be written by everybody, and CI acts on it: chmod o-w",
                path.display()
            ));
        } else if has(&path, 0o020) {
            note(&format!("{} can be written by its group, and CI acts on it: chmod g-w", path.display()));
        }
    }
    let environment = home.dir().join("environment.sh");
    if !environment.exists() {
        note("there is no environment.sh: the settings are the defaults; see environment.sh-sample");
    } else if has(&environment, 0o007) {
        note("environment.sh holds the secret and others can read it: chmod 600 environment.sh");
    }
    if has(home.dir(), 0o007) {
        note(&format!(
            "every account of this machine can look into the home: chmod o= {}",
            home.dir().display()
        ));
    }
    if below(&home.outbox())
        .iter()
        .any(|path| path.extension().is_some_and(|end| end == "eml") && has(path, 0o077))
    {
        note("letters in outbox/ can be read by others: chmod 600 outbox/*.eml");
    }
}
