//! `a=b&c=d`: query strings and form bodies.

use std::borrow::Cow;

/// A body with more fields than this is refused: each costs a multiple of its text.
const MAX_FIELDS: usize = 10_000;

/// A name and its value, decoded.
pub(super) type Pair<'t> = (Cow<'t, [u8]>, Cow<'t, [u8]>);

/// Why a form cannot be read, in the peer's words: they show in the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormError {
    #[error("invalid semicolon separator in query")]
    Semicolon,
    #[error("invalid URL escape {0:?}")]
    Escape(String),
    #[error("more than {MAX_FIELDS} fields")]
    TooManyFields,
}

/// The fields of a body: all can be decoded, or none counts.
pub(super) fn fields(body: &[u8]) -> Result<Vec<Pair<'_>>, FormError> {
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
pub(super) fn good_pairs(text: &[u8]) -> impl Iterator<Item = Pair<'_>> {
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
