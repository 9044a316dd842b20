//! net/url: query strings and form bodies (`a=b&c=d`), and paths.

use std::{borrow::Cow, fmt::Write};

/// A body with more fields than this is refused: each costs a multiple of its text.
const MAX_FIELDS: usize = 10_000;

/// A name and its value, decoded.
pub type Pair<'t> = (Cow<'t, [u8]>, Cow<'t, [u8]>);

/// Why a form cannot be read, in the peer's words: they show in the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("invalid semicolon separator in query")]
    Semicolon,
    #[error("invalid URL escape {0:?}")]
    Escape(String),
    #[error("more than {MAX_FIELDS} fields")]
    TooManyFields,
}

/// The fields of a body: all can be decoded, or none counts.
pub fn fields(body: &[u8]) -> Result<Vec<Pair<'_>>, FormError> {
    // Of several faults the peer names this one.
    if body.contains(&b';') {
        return Err(FormError::Semicolon);
    }
    let fields: Vec<_> = pairs(body).take(MAX_FIELDS + 1).collect::<Result<_, _>>()?;
    if fields.len() > MAX_FIELDS { Err(FormError::TooManyFields) } else { Ok(fields) }
}

/// All pairs, in order; each is decoded or an error of its own.
fn pairs(text: &[u8]) -> impl Iterator<Item = Result<Pair<'_>, FormError>> {
    text.split(|byte| *byte == b'&').filter(|part| !part.is_empty()).map(|part| {
        if part.contains(&b';') {
            return Err(FormError::Semicolon);
        }
        let equals = part.iter().position(|byte| *byte == b'=');
        let (name, value) = equals.map_or((part, &b""[..]), |at| (&part[..at], &part[at + 1..]));
        Ok((decode(name)?, decode(value)?))
    })
}

/// The pairs that can be read, in order.
pub fn good_pairs(text: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    pairs(text).filter_map(Result::ok)
}

fn decode(text: &[u8]) -> Result<Cow<'_, [u8]>, FormError> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let digits = rest.get(..2).unwrap_or(rest);
                let mut value = [0];
                if hex::decode_to_slice(digits, &mut value).is_err() {
                    return Err(FormError::Escape(format!("%{}", String::from_utf8_lossy(digits))));
                }
                decoded.push(value[0]);
                rest = &rest[2..];
            }
            other => decoded.push(*other),
        }
    }
    Ok(Cow::Owned(decoded))
}

pub fn escapes_are_sound(path: &str) -> bool {
    let after_percent = path.split('%').skip(1);
    after_percent.into_iter().all(|rest| {
        let rest = rest.as_bytes();
        rest.len() >= 2 && rest[0].is_ascii_hexdigit() && rest[1].is_ascii_hexdigit()
    })
}

/// `path` without empty, `.` and `..` segments, if it has any; a slash at its end stays.
pub fn clean_path(path: &[u8]) -> Option<Vec<u8>> {
    let segments = || path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/');
    let last = segments().count() - 1;
    let odd = |(at, segment): (usize, &[u8])| {
        segment == b"." || segment == b".." || (segment.is_empty() && at != last)
    };
    if path.starts_with(b"/") && !segments().enumerate().any(odd) {
        return None;
    }
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in segments() {
        match segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let mut clean = vec![b'/'];
    clean.extend(kept.join(&b'/'));
    if path.ends_with(b"/") && clean.len() > 1 {
        clean.push(b'/');
    }
    Some(clean)
}

/// A path as Go encodes it.
pub fn encode_path(path: &[u8]) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => encoded.push(char::from(*byte)),
            b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@' => {
                encoded.push(char::from(*byte));
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::{FormError, fields, pairs};

    #[test]
    fn pairs_are_decoded_in_order() {
        let text = b"a=b+c&a=2&&z&=e&%66%C3%BC=%2B%ff&x=y=z&";
        let pairs: Vec<_> = pairs(text).map(Result::unwrap).collect();
        let expected: [(&[u8], &[u8]); 6] = [
            (b"a", b"b c"),
            (b"a", b"2"),
            (b"z", b""),
            (b"", b"e"),
            ("fü".as_bytes(), b"+\xff"),
            (b"x", b"y=z"),
        ];
        assert_eq!(pairs.len(), expected.len());
        for ((name, value), (wanted_name, wanted_value)) in pairs.iter().zip(expected) {
            assert_eq!((&**name, &**value), (wanted_name, wanted_value));
        }
    }

    #[test]
    fn a_body_has_a_bounded_number_of_fields() {
        let body = "a&".repeat(10_000);
        assert_eq!(fields(body.as_bytes()).map(|fields| fields.len()), Ok(10_000));
        assert_eq!(fields(format!("{body}a").as_bytes()), Err(FormError::TooManyFields));
    }

    #[test]
    fn a_bad_pair_is_an_error_of_its_own() {
        let results: Vec<_> = pairs(b"a=%zz&b;c=1&d=%4&e=%&f=1").collect();
        assert_eq!(results[0], Err(FormError::Escape("%zz".to_owned())));
        assert_eq!(results[1], Err(FormError::Semicolon));
        assert_eq!(results[2], Err(FormError::Escape("%4".to_owned())));
        assert_eq!(results[3], Err(FormError::Escape("%".to_owned())));
        assert!(results[4].is_ok());
        assert_eq!(fields(b"a=%zz&b;c=1"), Err(FormError::Semicolon));
        assert_eq!(results[3].as_ref().unwrap_err().to_string(), "invalid URL escape \"%\"");
    }
}
