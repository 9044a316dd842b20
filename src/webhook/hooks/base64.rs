//! Base64 as the peer reads it: as far as it is base64.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};

const ENGINE: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// The place, counted in bytes of the text, where it is no longer base64.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("illegal base64 data at input byte {0}")]
pub(super) struct Base64Error(usize);

/// The bytes of `text`, which is in groups of four with padding; line ends are skipped. At an error: those of
/// the groups before it.
pub(super) fn decode(text: &[u8]) -> (Vec<u8>, Option<Base64Error>) {
    let symbols: Vec<(usize, u8)> =
        text.iter().copied().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n')).collect();
    let mut bytes = Vec::with_capacity(symbols.len() / 4 * 3);
    let mut padded = false;
    for group in symbols.chunks(4) {
        let (at, _) = group[0];
        if padded {
            return (bytes, Some(Base64Error(at)));
        }
        let four: Vec<u8> = group.iter().map(|(_, byte)| *byte).collect();
        match ENGINE.decode(&four) {
            Ok(decoded) => bytes.extend(decoded),
            Err(base64::DecodeError::InvalidByte(bad, _)) => return (bytes, Some(Base64Error(group[bad].0))),
            // Half of the padding: the other half is missing at the end.
            Err(_) if four.len() == 3 && four[2] == b'=' => return (bytes, Some(Base64Error(text.len()))),
            Err(_) => return (bytes, Some(Base64Error(at))),
        }
        padded = four.contains(&b'=');
    }
    (bytes, None)
}

#[cfg(test)]
mod tests {
    use super::{Base64Error, decode};

    #[test]
    fn base64_is_read_up_to_the_place_where_it_ends() {
        let cases: [(&str, &[u8], Option<usize>); 10] = [
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
        ];
        for (text, bytes, bad) in cases {
            assert_eq!(decode(text.as_bytes()), (bytes.to_vec(), bad.map(Base64Error)), "{text}");
        }
    }
}
