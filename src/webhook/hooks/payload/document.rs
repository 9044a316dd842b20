//! A parsed value, whatever it was parsed from: nodes in the order of the text, in one flat list, so that no
//! depth of nesting can exhaust the stack, and nothing is copied out of the text before it is asked for.

use std::borrow::Cow;

use super::node::{Kind, Node, close};
use crate::webhook::go::{json, utf8};

/// An object, a list or a scalar, with all below it.
#[derive(Debug)]
pub struct Document {
    /// What the nodes point into; if none, the body of the request.
    text: Option<Vec<u8>>,
    nodes: Vec<Node>,
}

/// A place in a document.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    text: &'a [u8],
    nodes: &'a [Node],
    at: usize,
}

/// Why nothing was found.
#[derive(Debug, PartialEq, Eq)]
pub enum PathError {
    /// The rest of the path that leads nowhere.
    NotFound(String),
    /// The path goes on behind a null.
    InsideNull,
}

impl Document {
    /// Nodes whose text is the body of the request.
    pub fn of_body(nodes: Vec<Node>) -> Self {
        Self { text: None, nodes }
    }

    /// Nodes with the text they point into.
    pub fn new(text: Vec<u8>, nodes: Vec<Node>) -> Self {
        Self { text: Some(text), nodes }
    }

    /// No object.
    pub fn none() -> Self {
        Self::new(Vec::new(), vec![Node::scalar(Kind::NoObject, 0, 0)])
    }

    pub fn view<'a>(&'a self, body: &'a [u8]) -> View<'a> {
        View { text: self.text.as_deref().unwrap_or(body), nodes: &self.nodes, at: 0 }
    }

    /// Puts `value`, whose nodes point into `text`, in the place of what is at `path`.
    pub fn replace(&mut self, body: &[u8], path: &str, text: &[u8], value: &[Node]) {
        let Ok(View { at, .. }) = self.view(body).get(path) else { return };
        let own = self.text.get_or_insert_with(|| body.to_vec());
        let moved = own.len();
        own.extend_from_slice(text);
        let count = self.nodes[at].count();
        for (outer, node) in self.nodes[..at].iter_mut().enumerate() {
            if outer + node.count() > at {
                node.resize(count, value.len());
            }
        }
        self.nodes.splice(at..at + count, value.iter().map(|node| node.moved_by(moved)));
    }
}

impl<'a> View<'a> {
    pub fn kind(self) -> Kind {
        self.node().kind()
    }

    fn node(self) -> Node {
        self.nodes[self.at]
    }

    /// The value at `path`. A name that holds dots wins over the objects it could lead through.
    pub fn get(self, mut path: &str) -> Result<Self, PathError> {
        let mut view = self;
        loop {
            let (found, rest) = match view.kind() {
                Kind::Object => match view.member(path) {
                    Some(value) => return Ok(value),
                    None => match path.split_once('.') {
                        Some((name, rest)) => (view.member(name), rest),
                        None => (None, ""),
                    },
                },
                Kind::List => match path.split_once('.') {
                    Some((index, rest)) => (view.item(index), rest),
                    None => return view.item(path).ok_or_else(|| PathError::NotFound(path.to_owned())),
                },
                Kind::Null => return Err(PathError::InsideNull),
                _ => (None, ""),
            };
            let Some(value) = found else { return Err(PathError::NotFound(path.to_owned())) };
            (view, path) = (value, rest);
        }
    }

    /// Of equal names the last one counts.
    pub fn member(self, name: &str) -> Option<Self> {
        self.members().filter(|(key, _)| key.is(name.as_bytes())).last().map(|(_, value)| value)
    }

    fn item(self, index: &str) -> Option<Self> {
        if !index.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        self.children().nth(index.parse().ok()?)
    }

    /// Names and values of an object, in the order of the text.
    pub fn members(self) -> impl Iterator<Item = (Self, Self)> {
        let mut children = self.children();
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    fn children(self) -> Children<'a> {
        let end = self.at + self.node().count();
        Children { next: Self { at: self.at + 1, ..self }, end }
    }

    /// Is this text equal to `text`?
    fn is(self, text: &[u8]) -> bool {
        let raw = self.raw();
        match self.kind() {
            Kind::JsonEscaped => *self.text() == *text,
            Kind::Json => raw == text || !raw.is_ascii() && *self.text() == *text,
            _ => raw == text,
        }
    }

    fn raw(self) -> &'a [u8] {
        if self.kind() == Kind::Root {
            return b"root";
        }
        &self.text[self.node().range()]
    }

    /// A scalar as text.
    pub fn text(self) -> Cow<'a, [u8]> {
        match self.kind() {
            Kind::Json => utf8::valid(self.raw()),
            Kind::JsonEscaped => Cow::Owned(json::unescape(self.raw())),
            _ => Cow::Borrowed(self.raw()),
        }
    }

    /// The value as an argument shows it: text as it is, containers as JSON.
    pub fn shown(self) -> Cow<'a, [u8]> {
        match self.kind() {
            Kind::Null => Cow::Borrowed(b"<nil>"),
            Kind::NoObject | Kind::List | Kind::Object => Cow::Owned(self.json()),
            _ => self.text(),
        }
    }

    /// Compact JSON, names sorted.
    pub fn json(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.node().count() * 16);
        let mut open = Vec::new();
        let mut next = Some(self);
        loop {
            if let Some(view) = next.take() {
                match view.kind() {
                    Kind::List => open.push(Open::list(view, &mut out)),
                    Kind::Object => open.push(Open::object(view, &mut out)),
                    Kind::Root | Kind::Text | Kind::Json | Kind::JsonEscaped => {
                        json::quote(&view.text(), &mut out);
                    }
                    Kind::Null | Kind::NoObject => out.extend_from_slice(b"null"),
                    Kind::True | Kind::False | Kind::Number => out.extend_from_slice(view.raw()),
                }
            }
            let Some(innermost) = open.last_mut() else { return out };
            next = innermost.next(&mut out);
            if next.is_none() {
                open.pop();
            }
        }
    }
}

/// A container that is being written.
enum Open<'a> {
    List { rest: Children<'a>, first: bool },
    Object { rest: std::vec::IntoIter<(Cow<'a, [u8]>, View<'a>)>, first: bool },
}

impl<'a> Open<'a> {
    fn list(view: View<'a>, out: &mut Vec<u8>) -> Self {
        out.push(b'[');
        Self::List { rest: view.children(), first: true }
    }

    fn object(view: View<'a>, out: &mut Vec<u8>) -> Self {
        out.push(b'{');
        let mut members: Vec<_> = view.members().map(|(name, value)| (name.text(), value)).collect();
        members.reverse(); // so that of equal names the last one stays
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        members.dedup_by(|(a, _), (b, _)| a == b);
        Self::Object { rest: members.into_iter(), first: true }
    }

    /// The next value to write; none if the container has been closed.
    fn next(&mut self, out: &mut Vec<u8>) -> Option<View<'a>> {
        let (first, bracket, name, value) = match self {
            Self::List { rest, first } => (first, b']', None, rest.next()),
            Self::Object { rest, first } => {
                let (name, value) = rest.next().unzip();
                (first, b'}', name, value)
            }
        };
        if value.is_none() {
            out.push(bracket);
            return None;
        }
        if !std::mem::take(first) {
            out.push(b',');
        }
        if let Some(name) = name {
            json::quote(&name, out);
            out.push(b':');
        }
        value
    }
}

/// The direct children of a container.
struct Children<'a> {
    next: View<'a>,
    end: usize,
}

impl<'a> Iterator for Children<'a> {
    type Item = View<'a>;

    fn next(&mut self) -> Option<View<'a>> {
        let view = self.next;
        if view.at == self.end {
            return None;
        }
        self.next.at += view.node().count();
        Some(view)
    }
}

/// Writes a document that does not come from JSON, or from several.
#[derive(Debug, Default)]
pub struct Builder {
    text: Vec<u8>,
    nodes: Vec<Node>,
    open: Vec<usize>,
}

impl Builder {
    pub fn open(&mut self, kind: Kind) {
        self.open.push(self.nodes.len());
        self.nodes.push(Node::scalar(kind, 0, 0));
    }

    pub fn close(&mut self) {
        if let Some(open) = self.open.pop() {
            close(&mut self.nodes, open);
        }
    }

    /// A text, or the name of what comes next.
    pub fn text(&mut self, text: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        self.nodes.push(Node::scalar(Kind::Text, start, self.text.len()));
    }

    /// `nodes` as they are, which point into `text`.
    pub fn copy(&mut self, text: &[u8], nodes: &[Node]) {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        self.nodes.extend(nodes.iter().map(|node| node.moved_by(start)));
    }

    pub fn finish(self) -> Document {
        Document::new(self.text, self.nodes)
    }

    /// An object of texts; of equal names the first one counts.
    pub fn object<N: AsRef<[u8]>, T: AsRef<[u8]>>(
        pairs: impl IntoIterator<Item = (N, T), IntoIter: DoubleEndedIterator>,
    ) -> Document {
        let mut builder = Self::default();
        builder.open(Kind::Object);
        for (name, value) in pairs.into_iter().rev() {
            builder.text(name.as_ref());
            builder.text(value.as_ref());
        }
        builder.close();
        builder.finish()
    }
}
