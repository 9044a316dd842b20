//! README.md and what it leads to: no link leads nowhere.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all =
        [root, &root.join("docs")].map(|dir| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()));
    all.into_iter()
        .flatten()
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

/// What a forge makes of the headings of a document; what is said twice has a number behind it from then on.
fn anchors(document: &str) -> HashSet<String> {
    let mut anchors = HashSet::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(document, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => heading.iter_mut().for_each(|heading| *heading += &text),
            Event::End(TagEnd::Heading(_)) => {
                let words = heading.take().unwrap_or_default().to_lowercase().replace(' ', "-");
                let kept = |c: &char| c.is_alphanumeric() || "-_".contains(*c);
                let anchor: String = words.chars().filter(kept).collect();
                let again = (1..).map(|number| format!("{anchor}-{number}"));
                let free = [anchor.clone()].into_iter().chain(again).find(|name| !anchors.contains(name));
                anchors.extend(free);
            }
            _ => {}
        }
    }
    anchors
}

#[test]
fn every_link_to_a_file_of_ours_or_to_a_heading_in_it_leads_there() {
    let mut followed = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
            let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event else {
                continue;
            };
            if dest_url.contains("://") {
                continue;
            }
            let (file, anchor) = dest_url.split_once('#').unwrap_or((&dest_url, ""));
            let target = if file.is_empty() { document.clone() } else { document.with_file_name(file) };
            let link = format!("{} links to {dest_url}", document.display());
            assert!(target.exists(), "{link}: there is no such file");
            if !anchor.is_empty() {
                let anchors = anchors(&fs::read_to_string(&target).unwrap());
                assert!(anchors.contains(anchor), "{link}: there is no such heading among {anchors:?}");
            }
            followed += 1;
        }
    }
    assert!(followed > 20, "{followed}");
}
