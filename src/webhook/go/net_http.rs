//! net/http: what an answer without a Content-Type is, told from its first bytes, as a browser does too.

/// The Content-Type of `body`.
pub fn content_type(body: &[u8]) -> &'static str {
    let head = &body[..body.len().min(512)];
    // Rust's ASCII whitespace is the standard's: tab, line feed, form feed, carriage return, space.
    let text = head.trim_ascii_start();
    if is_html(text) {
        return "text/html; charset=utf-8";
    }
    if text.starts_with(b"<?xml") {
        return "text/xml; charset=utf-8";
    }
    if let Some((_, found)) = SIGNATURES.iter().find(|(signature, _)| fits(signature, head)) {
        return found;
    }
    if is_mp4(head) {
        return "video/mp4";
    }
    if text.iter().any(|byte| matches!(byte, 0x00..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f)) {
        return "application/octet-stream";
    }
    "text/plain; charset=utf-8"
}

fn is_html(text: &[u8]) -> bool {
    const TAGS: [&[u8]; 17] = [
        b"<!doctype html",
        b"<html",
        b"<head",
        b"<script",
        b"<iframe",
        b"<h1",
        b"<div",
        b"<font",
        b"<table",
        b"<a",
        b"<style",
        b"<title",
        b"<b",
        b"<body",
        b"<br",
        b"<p",
        b"<!--",
    ];
    TAGS.iter().any(|tag| {
        text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag))
            && matches!(text.get(tag.len()), Some(b' ' | b'>'))
    })
}

/// First bytes, in the order in which they are tried; a dot fits any byte.
const SIGNATURES: &[(&[u8], &str)] = &[
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\xfe\xff..", "text/plain; charset=utf-16be"),
    (b"\xff\xfe..", "text/plain; charset=utf-16le"),
    (b"\xef\xbb\xbf.", "text/plain; charset=utf-8"),
    (b"\0\0\x01\0", "image/x-icon"),
    (b"\0\0\x02\0", "image/x-icon"),
    (b"BM", "image/bmp"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"RIFF....WEBPVP", "image/webp"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"FORM....AIFF", "audio/aiff"),
    (b"ID3", "audio/mpeg"),
    (b"OggS\0", "application/ogg"),
    (b"MThd\0\0\0\x06", "audio/midi"),
    (b"RIFF....AVI ", "video/avi"),
    (b"RIFF....WAVE", "audio/wave"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"..................................LP", "application/vnd.ms-fontobject"),
    (b"\0\x01\0\0", "font/ttf"),
    (b"OTTO", "font/otf"),
    (b"ttcf", "font/collection"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"Rar!\x1a\x07\0", "application/x-rar-compressed"),
    (b"Rar!\x1a\x07\x01\0", "application/x-rar-compressed"),
    (b"\0asm", "application/wasm"),
];

fn fits(signature: &[u8], head: &[u8]) -> bool {
    head.len() >= signature.len()
        && signature.iter().zip(head).all(|(wanted, byte)| *wanted == b'.' || wanted == byte)
}

/// A first box `ftyp` that names a brand beginning with `mp4`.
fn is_mp4(head: &[u8]) -> bool {
    let Some((size, rest)) = head.split_first_chunk() else { return false };
    let size = u32::from_be_bytes(*size) as usize;
    if head.len() < 12 || size > head.len() || !size.is_multiple_of(4) || !rest.starts_with(b"ftyp") {
        return false;
    }
    let brands = head[8..size.max(8)].chunks(4).enumerate();
    brands.filter(|(at, _)| *at != 1).any(|(_, brand)| brand.starts_with(b"mp4"))
}

#[cfg(test)]
mod tests {
    use super::content_type;

    #[test]
    fn the_first_bytes_tell_what_an_answer_is() {
        for (body, expected) in [
            (&b"hello\n"[..], "text/plain; charset=utf-8"),
            (b"{\"a\":1}", "text/plain; charset=utf-8"),
            (b"\x1b[1mbold", "text/plain; charset=utf-8"),
            (b"caf\xe9", "text/plain; charset=utf-8"),
            (b" \n\t<HTML>", "text/html; charset=utf-8"),
            (b"<!DOCTYPE html >", "text/html; charset=utf-8"),
            (b"<b>", "text/html; charset=utf-8"),
            (b"<p ", "text/html; charset=utf-8"),
            (b"<p", "text/plain; charset=utf-8"),
            (b"<pre>", "text/plain; charset=utf-8"),
            (b"<!-- x", "text/html; charset=utf-8"),
            (b"  <?xml version='1.0'?>", "text/xml; charset=utf-8"),
            (b"%PDF-1.4", "application/pdf"),
            (b"\x1f\x8b\x08\0", "application/x-gzip"),
            (b"PK\x03\x04", "application/zip"),
            (b"\x89PNG\r\n\x1a\n", "image/png"),
            (b"GIF89a", "image/gif"),
            (b"\xff\xd8\xff\xe0", "image/jpeg"),
            (b"RIFF1234WEBPVP8 ", "image/webp"),
            (b"\xff\xfea\0", "text/plain; charset=utf-16le"),
            (b"\xfe\xff\0a", "text/plain; charset=utf-16be"),
            (b"\0\0\0\x10ftypmp42\0\0\0\0", "video/mp4"),
            (b"\0\0\0\x10ftypavc1mp42", "application/octet-stream"),
            (b"a\0b", "application/octet-stream"),
            (b"a\x08b", "application/octet-stream"),
            (b"\x7fELF", "text/plain; charset=utf-8"),
        ] {
            assert_eq!(content_type(body), expected, "{:?}", String::from_utf8_lossy(body));
        }
    }
}
