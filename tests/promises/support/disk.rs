//! What a disk may hold after a power cut: from the calls of a program, every state that no fsync forbids.
//!
//! A create, link, rename, unlink, mkdir or rmdir reaches the disk whole or not at all, and implies the earlier ones on its
//! names, as on ext4, xfs and btrfs. What was written into a file since its last fsync is kept, lost or cut off. An
//! fsync of a directory makes its names durable, one of a file what is in it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
};

/// Of up to so many changes of names that may be lost, every subset is tried; of more, all and none of them, and each one kept
/// or lost alone, with what that implies.
const ALL_SUBSETS: usize = 5;

/// The files of a home by their paths in it; directories have no content.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

#[derive(Debug)]
pub enum Operation {
    /// Of names: what they stand for from now on.
    Names(Vec<(String, Option<Node>)>),
    Write {
        file: usize,
        at: Option<usize>,
        bytes: Vec<u8>,
    },
    Truncate {
        file: usize,
        length: usize,
    },
    SyncFile(usize),
    SyncDirectory(String),
    /// Something is said on standard output.
    Said,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node {
    Directory,
    File(usize),
}

/// What a program did to a home, in order.
pub struct Recording {
    before: Tree,
    pub operations: Vec<Operation>,
    /// The first files are those that were there.
    files: Vec<Vec<u8>>,
}

/// No promise is about these: workspaces bear the name of their home, which a state does not have, and logs are for people.
const IS_ASIDE: [&str; 2] = ["work/", "build.log"];

/// The calls to be traced.
pub const CALLS: &str = "trace=openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,linkat,unlink,unlinkat,mkdir,rmdir";

/// All that is there now.
pub fn tree(home: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut todo = vec![home.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(home).unwrap().to_str().unwrap().to_owned();
            let is_dir = path.is_dir();
            tree.insert(name, (!is_dir).then(|| fs::read(&path).unwrap()));
            if is_dir {
                todo.push(path);
            }
        }
    }
    tree
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// `\x2f` and so on, as `strace -xx` writes strings.
fn decoded(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(part[2..].bytes());
    }
    bytes
}

impl Recording {
    /// Of a trace by `strace -f -y -xx` of [`CALLS`]; `before` is what was in the home.
    pub fn of(trace: &str, home: &Path, before: Tree) -> Self {
        let mut names = BTreeMap::new();
        let mut files = Vec::new();
        for (name, content) in &before {
            names.insert(name.clone(), content.as_ref().map_or(Node::Directory, |_| Node::File(files.len())));
            files.extend(content.clone());
        }
        let mut recording = Self { before, operations: Vec::new(), files };
        let mut unfinished = HashMap::new();
        for line in trace.lines() {
            let (thread, call) = line.split_once(' ').unwrap();
            let call = call.trim_start();
            if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
                unfinished.insert(thread, begun);
            } else if let Some((_, rest)) =
                call.strip_prefix("<... ").and_then(|call| call.split_once("resumed>"))
            {
                recording.take_in(&format!("{}{rest}", unfinished.remove(thread).unwrap()), home, &mut names);
            } else {
                recording.take_in(call, home, &mut names);
            }
        }
        recording
    }

    fn take_in(&mut self, call: &str, home: &Path, names: &mut BTreeMap<String, Node>) {
        let Some((name, rest)) = call.split_once('(') else { return };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return };
        if result.starts_with('-') || result.starts_with('?') {
            return;
        }
        let in_home = |path: &[u8]| {
            let path = Path::new(std::str::from_utf8(path).ok()?).strip_prefix(home).ok()?;
            let path = path.to_str().unwrap();
            (!IS_ASIDE.iter().any(|aside| path.starts_with(aside))).then(|| path.to_owned())
        };
        let strings: Vec<Vec<u8>> = arguments.split('"').skip(1).step_by(2).map(decoded).collect();
        let path = |at: usize| in_home(strings.get(at)?);
        let opened = || in_home(&decoded(arguments.split_once('<')?.1.split_once('>')?.0));
        let file = |names: &BTreeMap<String, Node>| match names.get(&opened()?) {
            Some(Node::File(file)) => Some(*file),
            _ => None,
        };
        let last = || arguments.trim_end_matches(')').rsplit(", ").next().unwrap().parse().unwrap();
        let operation = match name {
            "openat" => path(0).and_then(|path| match names.get(&path) {
                Some(Node::File(file)) if arguments.contains("O_TRUNC") => {
                    Some(Operation::Truncate { file: *file, length: 0 })
                }
                None if arguments.contains("O_CREAT") => {
                    self.files.push(Vec::new());
                    Some(Operation::Names(vec![(path, Some(Node::File(self.files.len() - 1)))]))
                }
                _ => None,
            }),
            "write" if arguments.starts_with("1<") => Some(Operation::Said),
            "write" | "pwrite64" => file(names).map(|file| {
                let at = (name == "pwrite64").then(last);
                Operation::Write { file, at, bytes: strings[0].clone() }
            }),
            "ftruncate" => file(names).map(|file| Operation::Truncate { file, length: last() }),
            "fsync" | "fdatasync" => opened().map(|path| match names.get(&path) {
                Some(Node::File(file)) => Operation::SyncFile(*file),
                _ => Operation::SyncDirectory(path),
            }),
            "rename" | "renameat" | "renameat2" | "linkat" => path(0).zip(path(1)).and_then(|(from, to)| {
                let node = *names.get(&from)?;
                let source = if name == "linkat" { Some(node) } else { None };
                Some(Operation::Names(vec![(from, source), (to, Some(node))]))
            }),
            "mkdir" => path(0).map(|path| Operation::Names(vec![(path, Some(Node::Directory))])),
            "unlink" | "unlinkat" | "rmdir" => path(0)
                .filter(|path| names.contains_key(path))
                .map(|path| Operation::Names(vec![(path, None)])),
            _ => None,
        };
        if let Some(Operation::Names(changes)) = &operation {
            for (name, node) in changes {
                match node {
                    Some(node) => _ = names.insert(name.clone(), *node),
                    None => _ = names.remove(name),
                }
            }
        }
        self.operations.extend(operation);
    }

    /// Where an operation makes this name.
    pub fn making(&self, is_it: impl Fn(&str) -> bool) -> usize {
        let makes = |operation: &Operation| matches!(operation, Operation::Names(changes) if changes.iter().any(|(name, node)| node.is_some() && is_it(name)));
        self.operations.iter().position(makes).expect("it is made")
    }

    /// Where an operation takes such a name away for the last time.
    pub fn last_removing(&self, is_it: impl Fn(&str) -> bool) -> usize {
        let removes = |operation: &Operation| matches!(operation, Operation::Names(changes) if changes.iter().all(|(name, node)| node.is_none() && is_it(name)));
        self.operations.iter().rposition(removes).expect("it is taken away")
    }

    fn changes(&self, at: usize) -> &[(String, Option<Node>)] {
        match &self.operations[at] {
            Operation::Names(changes) => changes,
            _ => &[],
        }
    }

    /// With all that it implies.
    fn add(&self, at: usize, set: &mut BTreeSet<usize>) {
        if !set.insert(at) {
            return;
        }
        for earlier in 0..at {
            let implied = self
                .changes(earlier)
                .iter()
                .any(|(name, _)| self.changes(at).iter().any(|(own, _)| own == name || parent(own) == name));
            if implied {
                self.add(earlier, set);
            }
        }
    }

    /// All states when the power goes after so many operations. What `elsewhere` says is on another disk, and stays.
    pub fn states(&self, end: usize, elsewhere: &dyn Fn(&str) -> bool) -> Vec<Tree> {
        let mut forced = BTreeSet::new();
        for at in 0..end {
            match &self.operations[at] {
                Operation::SyncDirectory(dir) => {
                    for earlier in 0..at {
                        if self.changes(earlier).iter().any(|(name, _)| parent(name) == dir) {
                            self.add(earlier, &mut forced);
                        }
                    }
                }
                Operation::Names(changes) if changes.iter().any(|(name, _)| elsewhere(name)) => {
                    self.add(at, &mut forced);
                }
                _ => {}
            }
        }
        let open: Vec<usize> =
            (0..end).filter(|at| !self.changes(*at).is_empty() && !forced.contains(at)).collect();
        let sets: BTreeSet<BTreeSet<usize>> = choices(open.len())
            .into_iter()
            .map(|kept| {
                let mut set = forced.clone();
                for at in kept {
                    self.add(open[at], &mut set);
                }
                set
            })
            .collect();
        sets.iter().flat_map(|set| self.trees(end, set, elsewhere)).collect()
    }

    /// These names, with every file's unsynced content kept, lost or cut off: of all, or of one alone.
    fn trees(&self, end: usize, set: &BTreeSet<usize>, elsewhere: &dyn Fn(&str) -> bool) -> BTreeSet<Tree> {
        let mut names: BTreeMap<&str, Node> = BTreeMap::new();
        let mut files = 0;
        for (name, content) in &self.before {
            let node = if content.is_some() { Node::File(files) } else { Node::Directory };
            files += usize::from(content.is_some());
            names.insert(name, node);
        }
        for (name, node) in set.iter().flat_map(|at| self.changes(*at)) {
            match node {
                Some(node) => _ = names.insert(name, *node),
                None => _ = names.remove(&**name),
            }
        }
        let versions: HashMap<usize, [Vec<u8>; 3]> = names
            .iter()
            .filter_map(|(name, node)| match node {
                Node::File(file) => Some((*file, self.versions(*file, end, elsewhere(name)))),
                Node::Directory => None,
            })
            .collect();
        let tree = |choice: &dyn Fn(usize) -> usize| {
            let content = |node: &Node| match node {
                Node::File(file) => Some(versions[file][choice(*file)].clone()),
                Node::Directory => None,
            };
            names.iter().map(|(name, node)| ((*name).to_owned(), content(node))).collect::<Tree>()
        };
        let mut trees: BTreeSet<Tree> = (0..3).map(|all| tree(&|_| all)).collect();
        for (one, [kept, lost, _]) in &versions {
            if kept != lost {
                trees.extend((1..3).map(|how| tree(&|file| if file == *one { how } else { 0 })));
            }
        }
        trees
    }

    /// A file's content: kept, lost, and cut off.
    fn versions(&self, file: usize, end: usize, is_safe: bool) -> [Vec<u8>; 3] {
        let is_old = file < self.before.values().flatten().count();
        let mut content = if is_old { self.files[file].clone() } else { Vec::new() };
        let mut synced = content.clone();
        for operation in &self.operations[..end] {
            match operation {
                Operation::Write { file: of, at, bytes } if *of == file => {
                    let at = at.unwrap_or(content.len());
                    content.resize(content.len().max(at + bytes.len()), 0);
                    content[at..at + bytes.len()].copy_from_slice(bytes);
                }
                Operation::Truncate { file: of, length } if *of == file => content.resize(*length, 0),
                Operation::SyncFile(of) if *of == file => synced.clone_from(&content),
                _ => {}
            }
        }
        if is_safe {
            synced.clone_from(&content);
        }
        let cut = if synced == content { content.clone() } else { content[..content.len() / 2].to_vec() };
        [content, synced, cut]
    }
}

/// Which of so many are kept.
fn choices(count: usize) -> BTreeSet<Vec<usize>> {
    if count <= ALL_SUBSETS {
        let of = |bits: usize| (0..count).filter(|at| bits & (1 << at) != 0).collect();
        return (0..1 << count).map(of).collect();
    }
    let mut choices = BTreeSet::from([Vec::new(), (0..count).collect()]);
    for one in 0..count {
        choices.insert(vec![one]);
        choices.insert((0..count).filter(|at| *at != one).collect());
    }
    choices
}
