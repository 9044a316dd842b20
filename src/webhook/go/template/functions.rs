//! The functions that templates may call.

use std::fmt::{self, Write};

use crate::webhook::go::{
    strconv::{is_printable, quote},
    url::escape_query,
};

/// What a template may look at.
pub struct World<'w> {
    /// The value of an environment variable.
    pub environment: &'w dyn Fn(&str) -> Option<Vec<u8>>,
    /// The contents of a file that can be read.
    pub file: &'w dyn Fn(&str) -> Option<Vec<u8>>,
}

impl World<'_> {
    fn variable(&self, name: &str) -> Result<String, String> {
        utf8((self.environment)(name), || format!("the variable {name}"))
    }

    /// A file without its last line end.
    fn file_text(&self, path: &str) -> Result<String, String> {
        let mut text = utf8((self.file)(path), || format!("the file {path}"))?;
        if text.ends_with('\n') {
            text.pop();
        }
        Ok(text)
    }
}

/// A secret with a byte replaced is another secret: better none.
fn utf8(bytes: Option<Vec<u8>>, of: impl Fn() -> String) -> Result<String, String> {
    String::from_utf8(bytes.unwrap_or_default())
        .map_err(|error| format!("{} is not UTF-8 from byte {} on", of(), error.utf8_error().valid_up_to()))
}

/// A value in a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Integer(i64),
    Bool(bool),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Bool(bool) => bool.fmt(f),
        }
    }
}

impl Value {
    /// Neither empty, nor zero, nor false.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Integer(number) => *number != 0,
            Self::Bool(bool) => *bool,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Getenv,
    Cat,
    Credential,
    Js,
    Html,
    Urlquery,
    Print,
    Println,
    Printf,
    Eq,
    Ne,
    And,
    Or,
    Not,
}

impl Function {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "getenv" => Self::Getenv,
            "cat" => Self::Cat,
            "credential" => Self::Credential,
            "js" => Self::Js,
            "html" => Self::Html,
            "urlquery" => Self::Urlquery,
            "print" => Self::Print,
            "println" => Self::Println,
            "printf" => Self::Printf,
            "eq" => Self::Eq,
            "ne" => Self::Ne,
            "and" => Self::And,
            "or" => Self::Or,
            "not" => Self::Not,
            _ => return None,
        })
    }

    /// Is the answer clear with this argument, whatever follows?
    pub fn is_decided_by(self, value: &Value) -> bool {
        match self {
            Self::And => !value.is_true(),
            Self::Or => value.is_true(),
            _ => false,
        }
    }

    pub fn call(self, values: Vec<Value>, world: &World<'_>) -> Result<Value, String> {
        let text = match self {
            Self::Getenv => world.variable(&self.one_text(values)?)?,
            Self::Cat => world.file_text(&self.one_text(values)?)?,
            Self::Credential => {
                let name = self.one_text(values)?;
                match &*world.variable("CREDENTIALS_DIRECTORY")? {
                    "" => world.variable(&name)?,
                    directory => world.file_text(&format!("{directory}/{name}"))?,
                }
            }
            Self::Js => js(&print(&values)),
            Self::Html => html(&print(&values)),
            Self::Urlquery => escape_query(&print(&values)),
            Self::Print => print(&values),
            Self::Println => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ") + "\n",
            Self::Printf => printf(values)?,
            Self::And | Self::Or => {
                return values.into_iter().next_back().ok_or_else(|| self.wants("an argument at least"));
            }
            Self::Not => match &values[..] {
                [value] => return Ok(Value::Bool(!value.is_true())),
                _ => return Err(self.wants("one argument")),
            },
            Self::Ne => match &values[..] {
                [a, b] => return equal(a, b).map(|equal| Value::Bool(!equal)),
                _ => return Err(self.wants("two arguments")),
            },
            Self::Eq => match &values[..] {
                [first, others @ ..] if !others.is_empty() => {
                    for other in others {
                        if equal(first, other)? {
                            return Ok(Value::Bool(true));
                        }
                    }
                    return Ok(Value::Bool(false));
                }
                _ => return Err(self.wants("two arguments at least")),
            },
        };
        Ok(Value::Text(text))
    }

    fn one_text(self, values: Vec<Value>) -> Result<String, String> {
        match <[Value; 1]>::try_from(values) {
            Ok([Value::Text(text)]) => Ok(text),
            _ => Err(self.wants("one text")),
        }
    }

    fn wants(self, what: &str) -> String {
        format!("{} takes {what}", format!("{self:?}").to_lowercase())
    }
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    if std::mem::discriminant(a) == std::mem::discriminant(b) {
        Ok(a == b)
    } else {
        Err(format!("{a:?} and {b:?} cannot be compared"))
    }
}

/// Side by side, with a space where neither neighbour is a text.
fn print(values: &[Value]) -> String {
    let mut text = String::new();
    for (n, value) in values.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if n > 0 && !is_text(value) && !is_text(&values[n - 1]) {
            text.push(' ');
        }
        text += &value.to_string();
    }
    text
}

fn printf(values: Vec<Value>) -> Result<String, String> {
    let mut values = values.into_iter();
    let Some(Value::Text(format)) = values.next() else {
        return Err("printf takes a text and what it names".to_owned());
    };
    let mut text = String::new();
    let mut rest = format.as_str();
    while let Some((before, after)) = rest.split_once('%') {
        text += before;
        let verb = after.chars().next().ok_or("printf: % without a letter")?;
        rest = &after[verb.len_utf8()..];
        if verb == '%' {
            text.push('%');
            continue;
        }
        let value = values.next().ok_or_else(|| format!("printf: nothing is left for %{verb}"))?;
        match (verb, &value) {
            ('v', _) | ('s', Value::Text(_)) | ('d', Value::Integer(_)) | ('t', Value::Bool(_)) => {
                text += &value.to_string();
            }
            ('q', Value::Text(quoted)) => text += &quote(quoted.as_bytes()),
            _ => return Err(format!("printf: %{verb} of {value:?} is not supported")),
        }
    }
    match values.next() {
        None => Ok(text + rest),
        Some(value) => Err(format!("printf: {value:?} is left over")),
    }
}

/// For a string of JavaScript or JSON between quotes of either kind.
fn js(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => escaped.extend(['\\', c]),
            '<' | '>' | '&' | '=' => push_unicode_escape(c, &mut escaped),
            c if !is_printable(c) => push_unicode_escape(c, &mut escaped),
            c => escaped.push(c),
        }
    }
    escaped
}

fn push_unicode_escape(c: char, escaped: &mut String) {
    let _ = write!(escaped, "\\u{:04X}", u32::from(c));
}

fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => escaped += "&#34;",
            '\'' => escaped += "&#39;",
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '\0' => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}
