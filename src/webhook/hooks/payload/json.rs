//! JSON as nodes that point into its text. As in Go the first value counts and what follows is ignored, number
//! literals are kept, and there are at most 10,000 levels.

use super::node::{Kind, Node, close};

const MAX_DEPTH: usize = 10_000;
/// A value costs a multiple of its text; the largest body that GitHub sends has a third of this.
pub const MAX_NODES: usize = 5_000_000;

/// What is wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("no JSON at byte {0}")]
    Syntax(usize),
    #[error("no object")]
    NoObject,
    #[error("more than {MAX_NODES} values, {MAX_DEPTH} levels or 4 GiB")]
    TooLarge,
}

/// A payload: the first value in `text`, an object, or null, which is no object; a list becomes an object
/// with the one member `root`.
pub fn parse_payload(text: &[u8]) -> Result<Vec<Node>, JsonError> {
    if !text.trim_ascii_start().starts_with(b"[") {
        return parse_object(text);
    }
    let around = [Node::scalar(Kind::Object, 0, 0), Node::scalar(Kind::Root, 0, 0)];
    let mut nodes = parse(text, &around)?;
    close(&mut nodes, 0);
    Ok(nodes)
}

/// The first value in `text` if it is an object, or null, which is no object.
pub fn parse_object(text: &[u8]) -> Result<Vec<Node>, JsonError> {
    let nodes = parse(text, &[])?;
    match nodes[0].kind() {
        Kind::Object => Ok(nodes),
        Kind::Null => Ok(no_object()),
        _ => Err(JsonError::NoObject),
    }
}

/// The nodes of no object.
pub fn no_object() -> Vec<Node> {
    vec![Node::scalar(Kind::NoObject, 0, 0)]
}

fn parse(text: &[u8], before: &[Node]) -> Result<Vec<Node>, JsonError> {
    u32::try_from(text.len()).map_err(|_| JsonError::TooLarge)?;
    // A push of GitHub's has a node for each 16 bytes or so.
    let mut nodes = Vec::with_capacity((text.len() / 16 + 4).min(MAX_NODES));
    nodes.extend_from_slice(before);
    let mut parser = Parser { text, at: 0, nodes, open: Vec::new() };
    loop {
        parser.value()?;
        if parser.nodes.len() > MAX_NODES {
            return Err(JsonError::TooLarge);
        }
        if !parser.find_next_value()? {
            return Ok(parser.nodes);
        }
    }
}

struct Parser<'t> {
    text: &'t [u8],
    at: usize,
    nodes: Vec<Node>,
    /// The containers we are in, by their nodes.
    open: Vec<usize>,
}

impl Parser<'_> {
    /// A scalar, an empty container, or a container up to the place where its first value stands.
    fn value(&mut self) -> Result<(), JsonError> {
        loop {
            self.skip_space();
            match self.peek() {
                b'{' => {
                    self.open(Kind::Object)?;
                    if self.closes(b'}') {
                        return Ok(());
                    }
                    self.name()?;
                }
                b'[' => {
                    self.open(Kind::List)?;
                    if self.closes(b']') {
                        return Ok(());
                    }
                }
                b'"' => return self.string(),
                b't' => return self.word(b"true", Kind::True),
                b'f' => return self.word(b"false", Kind::False),
                b'n' => return self.word(b"null", Kind::Null),
                _ => return self.number(),
            }
        }
    }

    /// From the end of a value to the start of the next; false if there is none because all is closed.
    fn find_next_value(&mut self) -> Result<bool, JsonError> {
        while let Some(&open) = self.open.last() {
            self.skip_space();
            let is_object = self.nodes[open].kind() == Kind::Object;
            if self.take(b',') {
                if is_object {
                    self.skip_space();
                    self.name()?;
                }
                return Ok(true);
            }
            if !self.closes(if is_object { b'}' } else { b']' }) {
                return self.invalid();
            }
        }
        Ok(false)
    }

    fn open(&mut self, kind: Kind) -> Result<(), JsonError> {
        if self.open.len() == MAX_DEPTH {
            return Err(JsonError::TooLarge);
        }
        self.open.push(self.nodes.len());
        self.nodes.push(Node::scalar(kind, 0, 0));
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn closes(&mut self, bracket: u8) -> bool {
        let closes = self.take(bracket);
        if closes && let Some(open) = self.open.pop() {
            close(&mut self.nodes, open);
        }
        closes
    }

    fn name(&mut self) -> Result<(), JsonError> {
        self.string()?;
        self.skip_space();
        if self.take(b':') { Ok(()) } else { self.invalid() }
    }

    fn string(&mut self) -> Result<(), JsonError> {
        if !self.take(b'"') {
            return self.invalid();
        }
        let start = self.at;
        let mut kind = Kind::Json;
        loop {
            let rest = &self.text[self.at..];
            self.at += rest.iter().position(|b| matches!(b, b'"' | b'\\' | ..b' ')).unwrap_or(rest.len());
            if self.take(b'"') {
                self.nodes.push(Node::scalar(kind, start, self.at - 1));
                return Ok(());
            }
            if !self.take(b'\\') {
                return self.invalid();
            }
            kind = Kind::JsonEscaped;
            self.escape()?;
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Result<(), JsonError> {
        let digits = match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
            b'u' => 4,
            _ => return self.invalid(),
        };
        self.at += 1;
        for _ in 0..digits {
            if !self.peek().is_ascii_hexdigit() {
                return self.invalid();
            }
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        self.nodes.push(Node::scalar(Kind::Number, start, self.at));
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let rest = &self.text[self.at..];
        match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
            0 => self.invalid(),
            count => {
                self.at += count;
                Ok(())
            }
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<(), JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return self.invalid();
        }
        self.nodes.push(Node::scalar(kind, self.at, self.at + word.len()));
        self.at += word.len();
        Ok(())
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// The byte that comes next. At the end it is 0, which no JSON holds.
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Takes `byte` if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    fn invalid<T>(&self) -> Result<T, JsonError> {
        Err(JsonError::Syntax(self.at))
    }
}
