//! net/url: query strings and form bodies (`a=b&c=d`), and paths.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// A body with more fields than this is refused: each costs a multiple of its text.
const MAX_FIELDS: usize = 10_000;

/// What is escaped in a query: all but letters, digits and these. A space is a plus sign.
const IN_QUERIES: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');

/// What is escaped in a path.
const IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// A name and its value, decoded.
pub type Pair<'t> = (Cow<'t, [u8]>, Cow<'t, [u8]>);

/// Why a form cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("{0:?} has a semicolon or half an escape")]
    Field(String),
    #[error("more than {MAX_FIELDS} fields")]
    TooManyFields,
}

/// The fields of a body: all can be decoded, or none counts.
pub fn fields(body: &[u8]) -> Result<Vec<Pair<'_>>, FormError> {
    let fields: Vec<_> = pairs(body).take(MAX_FIELDS + 1).collect::<Result<_, _>>()?;
    if fields.len() > MAX_FIELDS { Err(FormError::TooManyFields) } else { Ok(fields) }
}

/// The pairs that can be read, in order.
pub fn good_pairs(text: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    pairs(text).filter_map(Result::ok)
}

/// All pairs, in order; each is decoded or an error of its own.
fn pairs(text: &[u8]) -> impl Iterator<Item = Result<Pair<'_>, FormError>> {
    text.split(|byte| *byte == b'&').filter(|part| !part.is_empty()).map(|part| {
        if part.contains(&b';') || !escapes_are_sound(part) {
            return Err(FormError::Field(String::from_utf8_lossy(part).into_owned()));
        }
        let equals = part.iter().position(|byte| *byte == b'=');
        let (name, value) = equals.map_or((part, &b""[..]), |at| (&part[..at], &part[at + 1..]));
        Ok((decode(name), decode(value)))
    })
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'+') {
        return percent_decode(text).into();
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

/// Is every percent sign followed by two hex digits?
pub fn escapes_are_sound(text: &[u8]) -> bool {
    let mut after_percent = text.split(|byte| *byte == b'%').skip(1);
    after_percent.all(|rest| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit))
}

/// `text` in a query.
pub fn escape_query(text: &str) -> String {
    percent_encode(text.as_bytes(), IN_QUERIES).to_string().replace(' ', "+")
}

/// `path` in a URL.
pub fn escape_path(path: &[u8]) -> String {
    percent_encode(path, IN_PATHS).to_string()
}

/// `path` without empty, `.` and `..` segments; a slash at its end stays.
pub fn clean_path(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
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
    clean
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
        for (result, field) in results.iter().zip(["a=%zz", "b;c=1", "d=%4", "e=%"]) {
            assert_eq!(*result, Err(FormError::Field(field.to_owned())));
        }
        assert!(results[4].is_ok());
        assert_eq!(fields(b"a=1&b;c=1"), Err(FormError::Field("b;c=1".to_owned())));
    }
}
