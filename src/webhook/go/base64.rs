//! encoding/base64: text is read as far as it is base64.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};

const ENGINE: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// The text is not base64 to its end.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("illegal base64 data")]
pub struct Base64Error;

/// The bytes of `text`, which is in groups of four with padding; line ends are skipped. At an error: those of
/// the groups before it.
pub fn decode(text: &[u8]) -> (Vec<u8>, Option<Base64Error>) {
    let symbols: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let mut bytes = Vec::with_capacity(symbols.len() / 4 * 3);
    let mut groups = symbols.chunks(4);
    while let Some(group) = groups.next() {
        let mut decoded = [0; 3];
        match ENGINE.decode_slice(group, &mut decoded) {
            Ok(count) => bytes.extend_from_slice(&decoded[..count]),
            Err(_) => return (bytes, Some(Base64Error)),
        }
        if group.contains(&b'=') {
            return (bytes, groups.next().map(|_| Base64Error));
        }
    }
    (bytes, None)
}

#[cfg(test)]
mod tests {
    use super::{Base64Error, decode};

    #[test]
    fn base64_is_read_up_to_the_place_where_it_ends() {
        for (text, bytes) in
            [("", ""), ("aGVsbG8=", "hello"), ("aGVs\r\nbG8=\n", "hello"), ("aGVsbG9=", "hello")]
        {
            assert_eq!(decode(text.as_bytes()), (bytes.into(), None), "{text}");
        }
        for (text, bytes) in [
            ("aGk=!", "hi"),
            ("aGVsb!8=", "hel"),
            ("aGVsbG8", "hel"),
            ("aGk=aGk=", "hi"),
            ("a-_b", ""),
            ("YQ=", ""),
            ("YQ=\nYQ==", ""),
            ("YQ=a", ""),
            ("=", ""),
            ("!Q==", ""),
            ("aGVsa=g=", "hel"),
            ("a==", ""),
            ("a=", ""),
            ("aGVs\naGk\n", "hel"),
        ] {
            assert_eq!(decode(text.as_bytes()), (bytes.into(), Some(Base64Error)), "{text}");
        }
    }
}
