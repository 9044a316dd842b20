//! Which module of `src/` names which, and what of other crates: read word by word, so that paths in expressions and
//! in macros count too.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    slice::from_ref,
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// `["queue", "entry"]` is src/queue/entry.rs, `["queue"]` is src/queue/mod.rs, `[]` is src/lib.rs.
pub type Module = Vec<String>;

/// Every module but those for tests alone.
pub struct House(BTreeMap<Module, File>);

/// What stands in the file of a module; paths begin at the root of their crate, ours with `crate`.
struct File {
    paths: BTreeSet<Vec<String>>,
    /// What the names that `use` brings stand for: others may name them here.
    names: BTreeMap<String, Vec<String>>,
}

impl House {
    pub fn read() -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut house = Self(BTreeMap::new());
        house.enter(Module::new(), &src.join("lib.rs"), &src);
        for program in fs::read_dir(src.join("bin")).unwrap() {
            let file = program.unwrap().path();
            let name = file.file_stem().unwrap().to_str().unwrap();
            house.enter(vec!["bin".to_owned(), name.to_owned()], &file, &src.join("bin"));
        }
        house
    }

    /// Reads the file of a module, and those of its children, which lie in `dir`.
    fn enter(&mut self, module: Module, file: &Path, dir: &Path) {
        let mut words = Vec::new();
        flatten(fs::read_to_string(file).unwrap().parse().unwrap(), &mut words);
        let mut text = Text::default();
        text.read(&words.iter().map(String::as_str).collect::<Vec<_>>());
        for child in &text.children {
            let folder = dir.join(child);
            let file = folder.with_extension("rs");
            let file = if file.exists() { file } else { folder.join("mod.rs") };
            self.enter([&module, from_ref(child)].concat(), &file, &folder);
        }
        let names = text.names.iter().map(|(name, path)| (name.clone(), text.absolute(path, &module)));
        let paths = text.paths.iter().map(|path| text.absolute(path, &module));
        let file = File { names: names.collect(), paths: paths.collect() };
        self.0.insert(module, file);
    }

    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.0.keys()
    }

    /// The modules that one declares, and those that hold what it names.
    pub fn arrows(&self, from: &Module) -> BTreeSet<&Module> {
        let ours = self.0[from].paths.iter().filter(|path| path[0] == "crate");
        ours.map(|path| self.holder(path)).filter(|to| *to != from).collect()
    }

    /// Where the thing of this path is, and not where it is only handed on.
    fn holder(&self, path: &[String]) -> &Module {
        let module =
            |end: usize| self.0.get_key_value(&path[1..end]).map(|(module, file)| (end, module, file));
        let (end, module, file) = (1..=path.len()).rev().find_map(module).unwrap();
        match path.get(end).and_then(|name| file.names.get(name)) {
            Some(origin) if origin[0] == "crate" => self.holder(&[origin, &path[end + 1..]].concat()),
            _ => module,
        }
    }

    /// What one names of other crates: `std::fs::read`.
    pub fn foreign(&self, module: &Module) -> impl Iterator<Item = String> {
        self.0[module].paths.iter().filter(|path| path[0] != "crate").map(|path| path.join("::"))
    }
}

/// The words of a text in one line, `::` being one of them.
fn flatten(stream: TokenStream, words: &mut Vec<String>) {
    for token in stream {
        match token {
            TokenTree::Group(group) => {
                let is_block = group.delimiter() == Delimiter::Brace;
                words.push(if is_block { "{" } else { "(" }.to_owned());
                flatten(group.stream(), words);
                words.push(if is_block { "}" } else { ")" }.to_owned());
            }
            TokenTree::Punct(sign)
                if sign.as_char() == ':' && words.last().is_some_and(|last| last == ":") =>
            {
                "::".clone_into(words.last_mut().unwrap());
            }
            word => words.push(word.to_string()),
        }
    }
}

type Words<'a> = &'a [&'a str];

/// What stands in one file.
#[derive(Default)]
struct Text {
    children: Vec<String>,
    paths: Vec<Vec<String>>,
    /// What the names that `use` brings stand for.
    names: BTreeMap<String, Vec<String>>,
}

impl Text {
    fn read(&mut self, mut words: Words) {
        while let [first, others @ ..] = words {
            words = match words {
                ["#", "(", "cfg", "(", "test", ")", ")", item @ ..] => behind_item(item),
                ["mod", name, ";", rest @ ..] => {
                    self.children.push((*name).to_owned());
                    self.paths.push(vec!["self".to_owned(), (*name).to_owned()]);
                    rest
                }
                ["use", tree @ ..] => self.read_use(tree, &[]),
                // What a type has is no path from anywhere.
                [">", "::", rest @ ..] => path(rest).1,
                _ if is_name(first) => {
                    let (path, rest) = path(words);
                    self.paths.extend((path.len() > 1).then_some(path));
                    rest
                }
                _ => others,
            };
        }
    }

    /// A tree of `use` behind `prefix`; returns what follows it.
    fn read_use<'a>(&mut self, words: Words<'a>, prefix: &[String]) -> Words<'a> {
        let (tail, rest) = path(words);
        let mut path = [prefix, &tail].concat();
        if let ["{", inner @ ..] = rest {
            let mut words = inner;
            while words[0] != "}" {
                words = self.read_use(words, &path);
                words = words.strip_prefix(&[","]).unwrap_or(words);
            }
            return &words[1..];
        }
        path.pop_if(|last| last == "self" && !prefix.is_empty());
        let (name, rest) = match rest {
            ["as", name, rest @ ..] => ((*name).to_owned(), rest),
            ["*", rest @ ..] => (String::new(), rest),
            rest => (path.last().cloned().unwrap_or_default(), rest),
        };
        if !path.is_empty() {
            self.names.insert(name, path.clone());
            self.paths.push(path);
        }
        rest
    }

    /// The path from the root of its crate.
    fn absolute(&self, path: &[String], module: &[String]) -> Vec<String> {
        let root = || ["crate".to_owned()].into_iter().chain(module.iter().cloned()).collect::<Vec<_>>();
        let known = self.names.get(&path[0]).filter(|known| known[..] != *path);
        match path[0].as_str() {
            "crate" | "amp_ci" => [&["crate".to_owned()], &path[1..]].concat(),
            "self" => [&root(), &path[1..]].concat(),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                [&root()[..=module.len() - ups], &path[ups..]].concat()
            }
            child if self.children.iter().any(|name| name == child) => [&root(), path].concat(),
            _ => match known {
                Some(known) => self.absolute(&[known, &path[1..]].concat(), module),
                None => path.to_vec(),
            },
        }
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The path at the beginning, and what follows it and its last `::`.
fn path(words: Words) -> (Vec<String>, Words) {
    let mut path = Vec::new();
    let mut rest = words.strip_prefix(&["::"]).unwrap_or(words);
    while let [name, others @ ..] = rest
        && is_name(name)
    {
        path.push((*name).to_owned());
        rest = others;
        let ["::", others @ ..] = rest else { break };
        rest = others;
    }
    (path, rest)
}

/// What follows an item: its semicolon, or its block.
fn behind_item(words: Words) -> Words {
    let mut depth = 0;
    let end = words.iter().position(|word| {
        depth += i32::from(*word == "{") - i32::from(*word == "}");
        depth == 0 && matches!(*word, "}" | ";")
    });
    end.map_or(&[], |end| &words[end + 1..])
}
