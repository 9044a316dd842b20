//! Who may know whom: arrows point down only.

use std::{fs, path::Path};

/// Every source file below `room`, with its text.
fn sources(room: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "nothing in src/{room}");
    found
}

fn never_names(room: &str, forbidden: &[&str], except: &[&str]) {
    for (path, text) in sources(room) {
        if except.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        for word in forbidden {
            let line = text.lines().find(|line| line.contains(word) && !line.trim_start().starts_with("//"));
            assert!(line.is_none(), "{path} names {word}: {}", line.unwrap_or_default());
        }
    }
}

#[test]
fn the_daemon_and_the_drain_meet_only_in_an_argv_and_in_the_queue() {
    never_names("webhook", &["crate::builder", "crate::queue"], &[]);
    never_names("builder", &["crate::webhook"], &[]);
}

#[test]
fn the_queue_does_not_know_what_a_build_is() {
    never_names("queue", &["crate::builder", "crate::webhook"], &[]);
}

#[test]
fn the_deciding_part_knows_no_server_no_process_and_no_file_but_the_hooks_file() {
    never_names("webhook/hooks", &["axum", "tokio", "std::process", "std::net::Tcp", "hyper"], &[]);
    never_names("webhook/hooks", &["std::fs", "fs_err"], &["file/load.rs", "tests/hooks_file.rs"]);
}

#[test]
fn scripts_know_no_processes_and_processes_know_no_entry_no_record_and_no_mail() {
    never_names(
        "builder/process",
        &["crate::queue", "crate::records", "crate::builder", "mail", "outbox"],
        &[],
    );
    never_names("builder/script", &["crate::builder", "process::"], &[]);
}

#[test]
fn whoever_only_reads_can_stand_on_the_records() {
    never_names("records", &["crate::builder", "crate::webhook"], &[]);
}

#[test]
fn the_forge_hears_of_builds_by_the_records_alone() {
    never_names("forge", &["crate::builder", "crate::webhook"], &[]);
    for room in ["queue", "records"] {
        never_names(room, &["crate::forge"], &[]);
    }
}

#[test]
fn whoever_looks_stands_on_the_queue_and_the_records_alone_and_takes_no_lock() {
    never_names("status", &["crate::builder", "crate::webhook", "DrainLock", "flock"], &[]);
}
