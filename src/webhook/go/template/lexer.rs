//! Template text as pieces: plain text, and the words of each action.

use super::{
    error::{Expand, error},
    functions::Value,
};

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// What stands outside of actions, white space trimmed where a mark says so.
    Text(String),
    /// `{{`.
    Open,
    /// `}}`.
    Close,
    Literal(Value),
    /// A function, `if`, `else` or `end`, or something that is none of these.
    Word(String),
    Pipe,
    OpenParenthesis,
    CloseParenthesis,
}

/// Splits a template; the lines are counted on the way.
pub struct Lexer<'t> {
    rest: &'t str,
    line: usize,
    in_action: bool,
    /// The last action ended in ` -}}`.
    trim: bool,
}

/// White space to the parser of templates.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { rest: text, line: 1, in_action: false, trim: false }
    }

    pub fn line(&self) -> usize {
        self.line
    }

    /// The next piece; none at the end of the text.
    pub fn next(&mut self) -> Expand<Option<Token>> {
        if self.in_action {
            return self.in_action().map(Some);
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.find("{{").unwrap_or(self.rest.len());
        let mut text = self.take(end);
        if std::mem::take(&mut self.trim) {
            text = text.trim_start_matches(is_space);
        }
        if !self.rest.is_empty() && self.starts_action() {
            text = text.trim_end_matches(is_space);
        }
        if text.is_empty() && !self.rest.is_empty() {
            return self.open();
        }
        Ok(Some(Token::Text(text.to_owned())))
    }

    /// Does the action at hand start with a mark that trims the text before it?
    fn starts_action(&self) -> bool {
        self.rest.strip_prefix("{{-").is_some_and(|rest| rest.starts_with(is_space))
    }

    /// `{{`, perhaps with a mark; or a comment, and what comes after it.
    fn open(&mut self) -> Expand<Option<Token>> {
        let mark = if self.starts_action() { "{{- ".len() } else { "{{".len() };
        self.take(mark);
        if !self.rest.starts_with("/*") {
            self.in_action = true;
            return Ok(Some(Token::Open));
        }
        let Some(end) = self.rest.find("*/") else { return error(self.line, "a comment has no end") };
        self.take(end + "*/".len());
        if !self.closes() {
            return error(self.line, "a comment must be followed by }}");
        }
        self.next()
    }

    /// Takes `}}` or ` -}}` if it stands here.
    fn closes(&mut self) -> bool {
        let marked = self.rest.strip_prefix(is_space).is_some_and(|rest| rest.starts_with("-}}"));
        if marked {
            self.trim = true;
            self.take(" -}}".len());
        } else if self.rest.starts_with("}}") {
            self.take("}}".len());
        } else {
            return false;
        }
        self.in_action = false;
        true
    }

    fn in_action(&mut self) -> Expand<Token> {
        loop {
            if self.closes() {
                return Ok(Token::Close);
            }
            let Some(c) = self.rest.chars().next() else {
                return error(self.line, "an action has no end: }} is missing");
            };
            return match c {
                c if is_space(c) => {
                    self.take(1);
                    continue;
                }
                '|' => Ok(self.single(Token::Pipe)),
                '(' => Ok(self.single(Token::OpenParenthesis)),
                ')' => Ok(self.single(Token::CloseParenthesis)),
                '"' => self.quoted(),
                '`' => self.raw(),
                '+' | '-' | '0'..='9' => self.number(),
                _ => Ok(self.word()),
            };
        }
    }

    fn single(&mut self, token: Token) -> Token {
        self.take(1);
        token
    }

    fn raw(&mut self) -> Expand<Token> {
        let Some(end) = self.rest[1..].find('`') else { return error(self.line, "a raw string has no end") };
        let text = self.take(end + 2);
        Ok(Token::Literal(Value::Text(text[1..=end].replace('\r', ""))))
    }

    fn number(&mut self) -> Expand<Token> {
        let end = self.rest[1..].find(|c: char| !c.is_alphanumeric() && !"._+-".contains(c));
        let word = self.take(end.map_or(self.rest.len(), |end| end + 1));
        let (sign, digits) = match word.as_bytes()[0] {
            b'-' => ("-", &word[1..]),
            b'+' => ("", &word[1..]),
            _ => ("", word),
        };
        let (digits, radix) = match digits.get(..2) {
            Some("0x" | "0X") => (&digits[2..], 16),
            Some("0o" | "0O") => (&digits[2..], 8),
            Some("0b" | "0B") => (&digits[2..], 2),
            Some(two) if two.starts_with('0') => (&digits[1..], 8),
            _ => (digits, 10),
        };
        match i64::from_str_radix(&format!("{sign}{}", digits.replace('_', "")), radix) {
            Ok(number) if !digits.starts_with(['+', '-']) => Ok(Token::Literal(Value::Integer(number))),
            _ => error(self.line, format!("{word} is not supported; numbers are whole numbers")),
        }
    }

    fn word(&mut self) -> Token {
        let is_end = |c: char| is_space(c) || "|()\"`}".contains(c);
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let word = self.take(end.max(1).min(self.rest.len()));
        match word {
            "true" => Token::Literal(Value::Bool(true)),
            "false" => Token::Literal(Value::Bool(false)),
            word => Token::Word(word.to_owned()),
        }
    }

    fn quoted(&mut self) -> Expand<Token> {
        let line = self.line;
        let mut text = Vec::new();
        let mut chars = self.rest.char_indices().skip(1);
        loop {
            match chars.next() {
                None | Some((_, '\n')) => return error(line, "a quoted string has no end"),
                Some((end, '"')) => {
                    self.take(end + 1);
                    return match String::from_utf8(text) {
                        Ok(text) => Ok(Token::Literal(Value::Text(text))),
                        Err(_) => error(line, "a quoted string is not UTF-8"),
                    };
                }
                Some((at, '\\')) => {
                    let Some((bytes, length)) = escape(&self.rest[at + 1..]) else {
                        return error(line, "a quoted string holds an unknown escape");
                    };
                    text.extend(bytes);
                    chars.nth(length - 1);
                }
                Some((_, c)) => text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }

    /// The next `length` bytes, which are behind us then.
    fn take(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }
}

/// What follows a backslash: its bytes, and how many characters they took.
fn escape(rest: &str) -> Option<(Vec<u8>, usize)> {
    let digits = |from: usize, length: usize, radix| {
        rest.get(from..from + length).and_then(|digits| u32::from_str_radix(digits, radix).ok())
    };
    let character = |c: char| c.to_string().into_bytes();
    Some(match rest.chars().next()? {
        'a' => (vec![7], 1),
        'b' => (vec![8], 1),
        'f' => (vec![12], 1),
        'n' => (vec![b'\n'], 1),
        'r' => (vec![b'\r'], 1),
        't' => (vec![b'\t'], 1),
        'v' => (vec![11], 1),
        c @ ('\\' | '"') => (character(c), 1),
        'x' => (vec![u8::try_from(digits(1, 2, 16)?).ok()?], 3),
        'u' => (character(char::from_u32(digits(1, 4, 16)?)?), 5),
        'U' => (character(char::from_u32(digits(1, 8, 16)?)?), 9),
        '0'..='7' => (vec![u8::try_from(digits(0, 3, 8)?).ok()?], 3),
        _ => return None,
    })
}
