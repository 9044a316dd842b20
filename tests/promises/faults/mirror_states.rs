//! The power goes while git writes a mirror: whatever the disk may hold then, the next build has the right content, by a plain
//! clone if need be, and soon the mirror is used again.
//!
//! git writes with programs of its own, so the states are made from what a clone, a fetch and a repair change, not from their
//! calls: each changed name alone is as it was, missing, empty, cut in half or new, while the others are as they were and
//! while they are new; and all of them are so together. Other cuts and other sets of names are not tried, nor
//! what a repack writes, nor the hooks, `description` and `info`, which a mirror does without.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink, path::Path, sync::Mutex};

use super::disk_states::{on_each, shown};
use crate::support::{
    disk::{Tree, tree},
    installation::{Installation, Push},
    repositories::{Repositories, shipped_chunks},
};

/// The pushed one's mirror is checked out at its commit, amp_bootstrap's where its HEAD is. In a state both look alike.
const PUSHED: &str = "pushed.git";
const MIRRORS: [&str; 2] = [PUSHED, "amp_bootstrap.git"];

/// What lies under a name, if anything does.
type Found = Option<Option<Vec<u8>>>;

/// One repository by two names.
fn forge() -> Repositories {
    let forge = Repositories::new();
    fs::remove_dir_all(forge.path("amp_bootstrap")).unwrap();
    symlink("pushed", forge.path("amp_bootstrap")).unwrap();
    forge
}

fn commit(forge: &Repositories, content: &str) -> String {
    forge.commit("pushed", &[("content", content)])
}

/// With mirrors in this state, and a note of each time that the forge sends objects.
fn installation(forge: &Repositories, state: &Tree) -> Installation {
    let mut ci = Installation::building(r#"echo "content: $(cat */content)""#);
    ci.set("AMP_CI_GIT_BASE", &forge.base());
    ci.chunk("checkout_repos", &fs::read_to_string(shipped_chunks().join("checkout_repos")).unwrap());
    let home = ci.home().display().to_string();
    fs::write(ci.path("note"), format!("echo x >>{home}/sent; exec \"$@\"")).unwrap();
    let config =
        format!("[uploadpack]\npackObjectsHook = bash {home}/note\n[protocol \"file\"]\nallow = always\n");
    fs::write(ci.path("gitconfig"), config).unwrap();
    ci.set("GIT_CONFIG_GLOBAL", &format!("{home}/gitconfig"));
    fs::create_dir(ci.path("mirrors")).unwrap();
    for (name, content) in state {
        for mirror in MIRRORS {
            let path = ci.path("mirrors").join(name.replacen(PUSHED, mirror, 1));
            match content {
                Some(content) => fs::write(path, content).unwrap(),
                None => fs::create_dir(path).unwrap(),
            }
        }
    }
    ci
}

/// What is there of the pushed one's mirror.
fn mirror(ci: &Installation) -> Tree {
    let aside = ["hooks", "description", "info", "branches"].map(|name| format!("{PUSHED}/{name}"));
    let mut tree = tree(&ci.path("mirrors"));
    tree.retain(|name, _| name.starts_with(PUSHED) && !aside.iter().any(|aside| name.starts_with(aside)));
    tree
}

fn build(ci: &Installation, commit: &str, content: &str) -> Result<(), String> {
    let push = Push { commit: commit.to_string(), ..Push::to("pushed", "main") };
    let id = format!("1800000000.{}", ci.records().len());
    ci.entry(&id, &push.json());
    let code = ci.build_to_its_end(1);
    let record = ci.records().into_iter().find(|record| record.id == id).ok_or("no record")?;
    let output = record.output();
    let said = format!("content: {content}{content}");
    let is_right = output.lines().any(|line| line == said) && record.outcome() == "succeeded";
    if code == 0 && is_right { Ok(()) } else { Err(format!("{code} {}\n{output}", record.outcome())) }
}

fn as_it_was(old: &Found, _: &Found) -> Found {
    old.clone()
}

fn missing(_: &Found, _: &Found) -> Found {
    None
}

fn empty(_: &Found, new: &Found) -> Found {
    new.as_ref().map(|new| new.as_ref().map(|_| Vec::new()))
}

fn cut(_: &Found, new: &Found) -> Found {
    new.as_ref().map(|new| new.as_ref().map(|content| content[..content.len() / 2].to_vec()))
}

fn new(_: &Found, new: &Found) -> Found {
    new.clone()
}

fn states(old: &Tree, new_one: &Tree) -> BTreeSet<Tree> {
    let found = |tree: &Tree, name: &str| tree.get(name).cloned();
    let names: BTreeSet<_> = old.keys().chain(new_one.keys()).collect();
    let changed: Vec<_> = names.into_iter().filter(|name| found(old, name) != found(new_one, name)).collect();
    let mut states = BTreeSet::new();
    for form in [as_it_was, missing, empty, cut, new] {
        let form = |name: &str| form(&found(old, name), &found(new_one, name));
        let mut all = new_one.clone();
        for name in &changed {
            put(&mut all, name, form(name));
            for others in [old, new_one] {
                let mut state = others.clone();
                put(&mut state, name, form(name));
                states.insert(state);
            }
        }
        states.insert(all);
    }
    states
}

/// With the directories that it implies, or without what is in it.
fn put(state: &mut Tree, name: &str, found: Found) {
    let Some(content) = found else {
        return state.retain(|other, _| !Path::new(other).starts_with(name));
    };
    for (end, _) in name.match_indices('/') {
        state.insert(name[..end].to_string(), None);
    }
    state.insert(name.to_string(), content);
}

/// Does a build want nothing from the forge, and do the mirrors have all? What git only works around in them goes with the next
/// repack.
fn is_used(ci: &Installation, commit: &str, content: &str) -> Result<bool, String> {
    let sent = || fs::read(ci.path("sent")).unwrap_or_default().len();
    let before = sent();
    build(ci, commit, content)?;
    let is_whole = |mirror: &str| {
        let git = |words: &[&str]| {
            let mut git = ci.command("git");
            git.arg("--git-dir").arg(ci.path("mirrors").join(mirror)).args(words).output().unwrap()
        };
        git(&["repack", "-a", "-d", "--quiet"]).status.success() && git(&["fsck", "--full"]).status.success()
    };
    Ok(sent() == before && MIRRORS.iter().all(|mirror| is_whole(mirror)))
}

/// By the third build at last, and none of them is wrong.
fn assert_used(forge: &Repositories, states: &[Tree], commit: &str, content: &str) {
    let wrong = Mutex::new(Vec::new());
    on_each(states, |state| {
        let ci = installation(forge, state);
        let used = (0..3).map(|_| is_used(&ci, commit, content)).find(|used| *used != Ok(false));
        let why = match used {
            Some(Ok(_)) => return,
            Some(Err(why)) => why,
            None => "the mirror is not used again".to_string(),
        };
        wrong.lock().unwrap().push(format!("{why}\n{}\n{}", shown(state), ci.log()));
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{content}: {} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
#[ignore = "second tier"]
fn whatever_the_disk_holds_of_a_mirror_builds_have_the_right_content_and_soon_use_it_again() {
    let forge = forge();
    let first = commit(&forge, "first");
    let ci = installation(&forge, &Tree::new());
    build(&ci, &first, "first").unwrap();
    let cloned = mirror(&ci);
    let second = commit(&forge, "second");
    build(&ci, &second, "second").unwrap();
    let fetched = mirror(&ci);
    fs::write(ci.path("mirrors").join(PUSHED).with_extension("git.bad"), "").unwrap();
    let bad = mirror(&ci);
    build(&ci, &second, "second").unwrap();
    let repaired = mirror(&ci);
    assert!(!repaired.contains_key("pushed.git.bad"), "it is made anew");
    let steps = [(&Tree::new(), &cloned), (&cloned, &fetched), (&bad, &repaired)];
    let states: BTreeSet<_> = steps.iter().flat_map(|(old, new)| states(old, new)).collect();
    let states: Vec<_> = states.into_iter().collect();
    println!("{} states", states.len());
    assert!(states.len() > 80, "{}", states.len());
    // A fetch that brings nothing sees less of what is wrong than one that does.
    assert_used(&forge, &states, &second, "second");
    assert_used(&forge, &states, &commit(&forge, "third"), "third");
}
