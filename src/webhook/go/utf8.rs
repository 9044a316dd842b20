//! unicode/utf8: what is no UTF-8 is replaced byte by byte.

use std::borrow::Cow;

/// `raw` with a replacement character for each byte that is not UTF-8.
pub fn valid(raw: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(raw).is_ok() {
        return Cow::Borrowed(raw);
    }
    let mut text = Vec::with_capacity(raw.len() + 16);
    push_valid(raw, &mut text);
    Cow::Owned(text)
}

/// The same at the end of `text`.
pub fn push_valid(raw: &[u8], text: &mut Vec<u8>) {
    for chunk in raw.utf8_chunks() {
        text.extend_from_slice(chunk.valid().as_bytes());
        chunk.invalid().iter().for_each(|_| text.extend_from_slice("\u{fffd}".as_bytes()));
    }
}
