//! Secrets in output: however it is cut, what comes out is what replacing them in the whole of it makes.
#![no_main]

use amp_ci::fuzzing::Mask;
use libfuzzer_sys::fuzz_target;

// Secrets, a line each; the output; where that is cut.
fuzz_target!(|input: (&[u8], Vec<u8>, Vec<u8>)| {
    let (secrets, text, cuts) = input;
    // Of few different letters, else none ever occurs.
    let few = |bytes: &[u8]| bytes.iter().map(|byte| b"ab'\n"[usize::from(byte % 4)]).collect::<Vec<u8>>();
    let (secrets, text) = (few(secrets), few(&text));
    let mask = Mask::new([&secrets]);
    let mut masked = mask.begin();
    let mut shown = Vec::new();
    let mut rest = &text[..];
    for cut in cuts {
        let (piece, after) = rest.split_at(usize::from(cut).min(rest.len()));
        masked.write(piece, |bytes| Ok(shown.extend_from_slice(bytes))).expect("nothing fails");
        rest = after;
    }
    masked.write(rest, |bytes| Ok(shown.extend_from_slice(bytes))).expect("nothing fails");
    masked.finish(|bytes| Ok(shown.extend_from_slice(bytes))).expect("nothing fails");
    assert_eq!(shown, replaced(&text, &mask.texts()));
});

/// From left to right, the longest of those that begin at a place.
fn replaced(text: &[u8], secrets: &[Vec<u8>]) -> Vec<u8> {
    let mut shown = Vec::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let longest = secrets.iter().filter(|secret| rest.starts_with(secret)).map(Vec::len).max();
        if let Some(length) = longest {
            shown.extend_from_slice(b"***");
            rest = &rest[length..];
        } else {
            shown.push(*first);
            rest = after;
        }
    }
    shown
}
