//! The house that `src/` is: arrows point down only, and the walls between its rooms stand. There are no exceptions.

mod arrows;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use arrows::{House, Module};

static HOUSE: LazyLock<House> = LazyLock::new(House::read);

fn arrow(from: &Module, to: &Module) -> String {
    format!("{} names {}", from.join("/"), to.join("/"))
}

/// Is it in one of these rooms? `webhook/hooks` is one.
fn is_in(module: &Module, rooms: &[&str]) -> bool {
    rooms.iter().any(|room| room.split('/').eq(module.iter().take(room.split('/').count())))
}

/// All that the files of a room know, however far their arrows lead, but for `behind` and what only that knows; each with
/// the arrow that leads there.
fn known(room: &str, behind: &[&str]) -> BTreeMap<&'static Module, String> {
    let inside = HOUSE.modules().filter(|module| is_in(module, &[room]) && !is_in(module, behind));
    let mut known: BTreeMap<_, _> = inside.map(|module| (module, module.join("/"))).collect();
    assert!(!known.is_empty(), "there is no {room}");
    let mut next: Vec<_> = known.keys().copied().collect();
    while let Some(from) = next.pop() {
        for to in HOUSE.arrows(from).into_iter().filter(|to| !is_in(to, behind)) {
            if !known.contains_key(to) {
                known.insert(to, arrow(from, to));
                next.push(to);
            }
        }
    }
    known
}

/// Whoever is in a room knows nothing in these.
fn knows_nothing_in(room: &str, others: &[&str]) {
    for other in others {
        assert!(HOUSE.modules().any(|module| is_in(module, &[other])), "there is no {other}");
    }
    for (module, arrow) in known(room, &[]) {
        assert!(!is_in(module, others), "{room} knows {}: {arrow}", module.join("/"));
    }
}

/// Whoever is in a room knows nothing but itself, these, and the leaves: files beside all rooms.
fn knows_only(room: &str, others: &[&str]) {
    let is_leaf = |module: &Module| HOUSE.modules().filter(|other| other.starts_with(module)).count() == 1;
    for (module, arrow) in known(room, &[]) {
        let may = is_in(module, &[room]) || is_in(module, others) || module.len() == 1 && is_leaf(module);
        assert!(may, "{room} knows {}: {arrow}", module.join("/"));
    }
}

/// Whoever is in a room names none of these of other crates, nor does what it knows, but for what is `behind`.
fn names_none_of(room: &str, behind: &[&str], paths: &[&str]) {
    for (module, arrow) in known(room, behind) {
        for path in HOUSE.foreign(module) {
            assert!(!paths.iter().any(|wrong| path.starts_with(wrong)), "{room} comes to {path}: {arrow}");
        }
    }
}

#[test]
fn in_no_folder_is_there_a_circle_among_its_files_and_folders() {
    let mut circles = Vec::new();
    for folder in HOUSE.modules() {
        let room = |module: &Module| module[..module.len().min(folder.len() + 1)].to_vec();
        let inside = |module: &&Module| module.starts_with(folder);
        let mut arrows = BTreeMap::new();
        for from in HOUSE.modules().filter(inside) {
            for to in HOUSE.arrows(from).into_iter().filter(inside).filter(|to| room(to) != room(from)) {
                arrows.insert((room(from), room(to)), arrow(from, to));
            }
        }
        // What comes from nowhere or leads nowhere is in no circle.
        let mut before = 0;
        while before != arrows.len() {
            before = arrows.len();
            let (from, to): (BTreeSet<_>, BTreeSet<_>) = arrows.keys().cloned().unzip();
            arrows.retain(|(tail, head), _| to.contains(tail) && from.contains(head));
        }
        circles.extend(arrows.into_values());
    }
    assert!(circles.is_empty(), "there is a circle among these arrows:\n{}", circles.join("\n"));
}

#[test]
fn the_daemon_and_the_builder_meet_only_in_an_argv_and_in_the_queue() {
    knows_nothing_in("webhook", &["builder", "queue"]);
    knows_nothing_in("builder", &["webhook"]);
}

#[test]
fn what_decides_about_a_request_knows_no_server_no_process_and_no_file_but_the_hooks_file() {
    let doing = ["axum", "hyper", "tokio", "std::process", "rustix::process", "std::net::Tcp", "rustix::net"];
    let files = ["std::fs", "fs_err", "rustix::fs", "tempfile"];
    names_none_of("webhook/hooks", &[], &doing);
    names_none_of("webhook/hooks", &["webhook/hooks/file"], &files);
    knows_only("webhook/hooks", &["webhook/go"]);
}

#[test]
fn what_imitates_go_knows_nothing_of_ours() {
    for (module, arrow) in known("webhook/go", &[]) {
        assert!(is_in(module, &["webhook/go"]), "{arrow}");
    }
}

#[test]
fn the_processes_know_no_record_no_entry_and_no_mail() {
    knows_nothing_in("builder/process", &["queue", "records", "builder/mail", "builder/outbox"]);
}

#[test]
fn the_scripts_know_no_process_and_nothing_else_of_the_builder() {
    for (module, arrow) in known("builder/script", &[]) {
        assert!(!is_in(module, &["builder"]) || is_in(module, &["builder/script"]), "{arrow}");
    }
    names_none_of("builder/script", &[], &["std::process", "rustix::process"]);
}

#[test]
fn the_queue_and_the_records_do_not_know_what_a_build_is() {
    knows_only("queue", &[]);
    knows_only("records", &["queue"]);
}

#[test]
fn who_only_looks_knows_what_is_there_to_be_seen_and_takes_no_lock() {
    knows_only("status", &["queue", "records"]);
    knows_nothing_in("status", &["queue/drain_lock", "queue/lock_file"]);
    names_none_of("status", &[], &["rustix::fs::flock", "rustix::fs::fcntl_lock"]);
}

#[test]
fn who_tells_the_forges_knows_neither_the_daemon_nor_the_builder() {
    knows_nothing_in("forge", &["webhook", "builder"]);
}
