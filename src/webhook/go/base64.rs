//! encoding/base64: text is read as far as it is base64.

use base64::{
    DecodeError, DecodeSliceError, Engine,
    alphabet::STANDARD,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};

const ENGINE: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// The place, counted in bytes of the text, where it is no longer base64.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("illegal base64 data at input byte {0}")]
pub struct Base64Error(usize);

/// The bytes of `text`, which is in groups of four with padding; line ends are skipped. At an error: those of
/// the groups before it.
pub fn decode(text: &[u8]) -> (Vec<u8>, Option<Base64Error>) {
    let mut symbols =
        text.iter().copied().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n')).peekable();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    while symbols.peek().is_some() {
        let (mut places, mut group, mut length) = ([0; 4], [0; 4], 0);
        for (at, byte) in symbols.by_ref().take(4) {
            (places[length], group[length]) = (at, byte);
            length += 1;
        }
        let group = &group[..length];
        let mut decoded = [0; 3];
        match ENGINE.decode_slice(group, &mut decoded) {
            Ok(count) => bytes.extend_from_slice(&decoded[..count]),
            Err(error) => return (bytes, Some(Base64Error(bad_place(&error, group, places, text)))),
        }
        if group.contains(&b'=') {
            return (bytes, symbols.next().map(|(at, _)| Base64Error(at)));
        }
    }
    (bytes, None)
}

/// Where the peer finds fault with `group`, whose symbols are at `places`.
fn bad_place(error: &DecodeSliceError, group: &[u8], places: [usize; 4], text: &[u8]) -> usize {
    use DecodeError::InvalidByte;
    match (error, group) {
        (DecodeSliceError::DecodeError(InvalidByte(bad @ ..2, _)), _) => places[*bad],
        // Half of the padding, and something else in the place of the other half, or nothing.
        (_, [_, _, b'=', _]) => places[3] - 1,
        (_, [_, _, b'=']) => text.len(),
        (DecodeSliceError::DecodeError(InvalidByte(bad, _)), _) => places[*bad],
        _ => text.len() - group.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Base64Error, decode};

    #[test]
    fn base64_is_read_up_to_the_place_where_it_ends() {
        let cases: [(&str, &[u8], Option<usize>); 18] = [
            ("", b"", None),
            ("aGVsbG8=", b"hello", None),
            ("aGVs\r\nbG8=\n", b"hello", None),
            ("aGk=!", b"hi", Some(4)),
            ("aGVsb!8=", b"hel", Some(5)),
            ("aGVsbG8", b"hel", Some(4)),
            ("aGVsbG9=", b"hello", None),
            ("aGk=aGk=", b"hi", Some(4)),
            ("a-_b", b"", Some(1)),
            ("YQ=", b"", Some(3)),
            ("YQ=\nYQ==", b"", Some(3)),
            ("YQ=a", b"", Some(2)),
            ("=", b"", Some(0)),
            ("!Q==", b"", Some(0)),
            ("aGVsa=g=", b"hel", Some(5)),
            ("a==", b"", Some(1)),
            ("a=", b"", Some(1)),
            ("aGVs\naGk\n", b"hel", Some(6)),
        ];
        for (text, bytes, bad) in cases {
            assert_eq!(decode(text.as_bytes()), (bytes.to_vec(), bad.map(Base64Error)), "{text}");
        }
    }
}
