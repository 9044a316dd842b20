//! mime: `multipart/form-data; boundary=x`, `form-data; name="a"`: a name and its parameters.

use percent_encoding::percent_decode_str;

/// Name and parameters, names in lower case.
#[derive(Debug, PartialEq, Eq)]
pub struct MediaType {
    pub name: String,
    parameters: Vec<(String, String)>,
}

/// The text has not this form, or a parameter twice.
#[derive(Debug, PartialEq, Eq)]
pub struct NoMediaType;

impl MediaType {
    pub fn parse(text: &str) -> Result<Self, NoMediaType> {
        let (name, mut rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        let name = name.trim().to_ascii_lowercase();
        if name.is_empty() || !name.split('/').all(|part| !part.is_empty() && part.chars().all(is_token)) {
            return Err(NoMediaType);
        }
        let mut media = Self { name, parameters: Vec::new() };
        while !matches!(rest.trim(), "" | ";") {
            rest = rest.trim_start().strip_prefix(';').ok_or(NoMediaType)?.trim_start();
            let (key, value, after) = parameter(rest)?;
            rest = after;
            if media.parameter(&key).is_some() {
                return Err(NoMediaType);
            }
            media.parameters.push((key, value));
        }
        Ok(media)
    }

    pub fn parameter(&self, key: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

/// `key=value`, `key="value"` or `key*=utf-8''value`, and what follows.
fn parameter(text: &str) -> Result<(String, String, &str), NoMediaType> {
    let (key, rest) = text.split_at(text.find(|c| !is_token(c)).ok_or(NoMediaType)?);
    let key = key.to_ascii_lowercase();
    let rest = rest.strip_prefix('=').ok_or(NoMediaType)?;
    let (value, rest) = if let Some(quoted) = rest.strip_prefix('"') {
        unquote(quoted)?
    } else {
        let (value, rest) = rest.split_at(rest.find(|c| !is_token(c)).unwrap_or(rest.len()));
        (value.to_owned(), rest)
    };
    if key.is_empty() || value.is_empty() && !text.contains("=\"") {
        return Err(NoMediaType);
    }
    match key.strip_suffix('*') {
        Some(key) => Ok((key.to_owned(), decode(&value).ok_or(NoMediaType)?, rest)),
        None => Ok((key, value, rest)),
    }
}

fn unquote(text: &str) -> Result<(String, &str), NoMediaType> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\r' | '\n' => return Err(NoMediaType),
            // Other backslashes stay: browsers have sent paths of Windows.
            '\\' if chars.peek().is_some_and(|(_, next)| is_special(*next)) => {
                value.extend(chars.next().map(|(_, next)| next));
            }
            c => value.push(c),
        }
    }
    Err(NoMediaType)
}

/// `charset'language'percent-encoded`.
fn decode(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let charset = parts.next()?.to_ascii_lowercase();
    let text = parts.nth(1)?;
    if charset != "utf-8" && charset != "us-ascii" {
        return None;
    }
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

fn is_token(c: char) -> bool {
    c.is_ascii_graphic() && !is_special(c)
}

fn is_special(c: char) -> bool {
    "()<>@,;:\\\"/[]?=".contains(c)
}

#[cfg(test)]
mod tests {
    use super::{MediaType, NoMediaType};

    #[test]
    fn names_and_parameters_are_read() {
        let media =
            MediaType::parse("Multipart/Form-Data; BOUNDARY=a-b; x=\"c \\\"d\\\" \\e\"; y*=utf-8''%C3%BC;")
                .unwrap();
        assert_eq!(media.name, "multipart/form-data");
        assert_eq!(media.parameter("boundary"), Some("a-b"));
        assert_eq!(media.parameter("x"), Some("c \"d\" \\e"));
        assert_eq!(media.parameter("y"), Some("ü"));
        assert_eq!(MediaType::parse("form-data;name=\"\"").unwrap().parameter("name"), Some(""));
    }

    #[test]
    fn what_has_another_form_is_refused() {
        for text in
            ["", "/", "a b", "a; b", "a; b=", "a; b=\"c", "a; b=1; b=2", "a; =x", "a; b=c d", "a; b=\"\n\""]
        {
            assert_eq!(MediaType::parse(text), Err(NoMediaType), "{text}");
        }
    }
}
