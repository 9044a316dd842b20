//! JSON as the peer's language reads and writes it: the first value counts and what follows is ignored,
//! number literals are kept, invalid UTF-8 is replaced, at most 10,000 levels.

use super::node::{Kind, Node, close};

const MAX_DEPTH: usize = 10_000;
/// A value costs a multiple of its text; the largest body that GitHub sends has a third of this.
const MAX_NODES: usize = 5_000_000;

/// What is wrong, in the peer's words: they show in the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

/// A payload: the first value in `text`, an object, or null, which is no object; a list becomes an object
/// with the one member `root`. The nodes point into `text`.
pub fn parse_payload(text: &[u8]) -> Result<Vec<Node>, JsonError> {
    if !starts_list(text) {
        return parse_object(text);
    }
    let around = [Node::scalar(Kind::Object, 0, 0), Node::scalar(Kind::Root, 0, 0)];
    let mut nodes = parse(text, &around)?;
    close(&mut nodes, 0);
    Ok(nodes)
}

/// Is the first value of `text` a list, if anything?
pub fn starts_list(text: &[u8]) -> bool {
    text.iter().find(|byte| !matches!(byte, b'\t'..=b'\r' | b' ' | 0x85 | 0xa0)) == Some(&b'[')
}

/// The first value in `text` if it is an object, or null, which is no object.
pub fn parse_object(text: &[u8]) -> Result<Vec<Node>, JsonError> {
    let nodes = parse(text, &[])?;
    let kind = match nodes[0].kind() {
        Kind::Object => return Ok(nodes),
        Kind::Null => return Ok(no_object()),
        Kind::True | Kind::False => "bool",
        Kind::Number => "number",
        Kind::List => "array",
        _ => "string",
    };
    Err(JsonError(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")))
}

/// The nodes of no object.
pub fn no_object() -> Vec<Node> {
    vec![Node::scalar(Kind::NoObject, 0, 0)]
}

fn parse(text: &[u8], before: &[Node]) -> Result<Vec<Node>, JsonError> {
    if u32::try_from(text.len()).is_err() {
        return Err(JsonError("larger than 4 GiB".to_owned()));
    }
    // A push of GitHub's has a node for each 16 bytes or so.
    let mut nodes = Vec::with_capacity(text.len() / 16 + 4);
    nodes.extend_from_slice(before);
    let mut parser = Parser { text, at: 0, nodes, open: Vec::new() };
    parser.first_value()?;
    Ok(parser.nodes)
}

struct Parser<'t> {
    text: &'t [u8],
    at: usize,
    nodes: Vec<Node>,
    /// The containers we are in, by their nodes.
    open: Vec<usize>,
}

impl Parser<'_> {
    fn first_value(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.at == self.text.len() {
            return Err(JsonError("EOF".to_owned()));
        }
        loop {
            if self.nodes.len() > MAX_NODES {
                return Err(JsonError(format!("more than {MAX_NODES} values")));
            }
            self.value()?;
            if self.find_next_value()? {
                return Ok(());
            }
        }
    }

    /// A scalar, an empty container, or a container up to the place where its first value stands.
    fn value(&mut self) -> Result<(), JsonError> {
        loop {
            self.skip_space();
            match self.peek()? {
                b'{' => {
                    self.open(Kind::Object)?;
                    if self.closes(b'}')? {
                        return Ok(());
                    }
                    self.name()?;
                }
                b'[' => {
                    self.open(Kind::List)?;
                    if self.closes(b']')? {
                        return Ok(());
                    }
                }
                b'"' => return self.string(),
                b'-' | b'0'..=b'9' => return self.number(),
                b't' => return self.word("true", Kind::True),
                b'f' => return self.word("false", Kind::False),
                b'n' => return self.word("null", Kind::Null),
                _ => return Err(self.unexpected("looking for beginning of value")),
            }
        }
    }

    /// From the end of a value to the start of the next; true if there is none because all is closed.
    fn find_next_value(&mut self) -> Result<bool, JsonError> {
        while let Some(&open) = self.open.last() {
            self.skip_space();
            match (self.nodes[open].kind(), self.peek()?) {
                (Kind::List, b',') => {
                    self.at += 1;
                    return Ok(false);
                }
                (Kind::Object, b',') => {
                    self.at += 1;
                    self.skip_space();
                    self.name()?;
                    return Ok(false);
                }
                (Kind::List, b']') | (Kind::Object, b'}') => {
                    self.at += 1;
                    self.close();
                }
                (Kind::List, _) => return Err(self.unexpected("after array element")),
                _ => return Err(self.unexpected("after object key:value pair")),
            }
        }
        Ok(true)
    }

    fn open(&mut self, kind: Kind) -> Result<(), JsonError> {
        if self.open.len() == MAX_DEPTH {
            return Err(self.unexpected("exceeded max depth"));
        }
        self.open.push(self.nodes.len());
        self.nodes.push(Node::scalar(kind, 0, 0));
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn close(&mut self) {
        if let Some(open) = self.open.pop() {
            close(&mut self.nodes, open);
        }
    }

    fn closes(&mut self, bracket: u8) -> Result<bool, JsonError> {
        let closes = self.peek()? == bracket;
        if closes {
            self.at += 1;
            self.close();
        }
        Ok(closes)
    }

    fn name(&mut self) -> Result<(), JsonError> {
        if self.peek()? != b'"' {
            return Err(self.unexpected("looking for beginning of object key string"));
        }
        self.string()?;
        self.skip_space();
        if self.peek()? != b':' {
            return Err(self.unexpected("after object key"));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        let start = self.at;
        let mut kind = Kind::Json;
        loop {
            let rest = &self.text[self.at..];
            self.at += rest.iter().position(|b| matches!(b, b'"' | b'\\' | ..b' ')).unwrap_or(rest.len());
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    kind = Kind::JsonEscaped;
                    self.escape()?;
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
        self.nodes.push(Node::scalar(kind, start, self.at));
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        match self.peek()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek()?.is_ascii_hexdigit() {
                        return Err(self.unexpected("in \\u hexadecimal character escape"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.unexpected("in string escape code")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        self.nodes.push(Node::scalar(Kind::Number, start, self.at));
        Ok(())
    }

    fn some_digits(&mut self, place: &str) -> Result<(), JsonError> {
        if !self.peek()?.is_ascii_digit() {
            return Err(self.unexpected(place));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<(), JsonError> {
        let start = self.at;
        for expected in word.bytes() {
            if self.peek()? != expected {
                let place = format!("in literal {word} (expecting {})", quoted(expected));
                return Err(self.unexpected(&place));
            }
            self.at += 1;
        }
        self.nodes.push(Node::scalar(kind, start, self.at));
        Ok(())
    }

    fn skip_space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, JsonError> {
        self.text.get(self.at).copied().ok_or_else(|| JsonError("unexpected EOF".to_owned()))
    }

    fn unexpected(&self, place: &str) -> JsonError {
        let found = self.text.get(self.at).copied().unwrap_or(b' ');
        JsonError(format!("invalid character {} {place}", quoted(found)))
    }
}

fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        7 => r"'\a'".to_owned(),
        8 => r"'\b'".to_owned(),
        11 => r"'\v'".to_owned(),
        12 => r"'\f'".to_owned(),
        b'\n' | b'\r' | b'\t' | b'\\' => format!("'{}'", char::from(byte).escape_default()),
        ..b' ' | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!("'\\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}
