//! A build's output as a letter shows it.
#![no_main]

use amp_ci::terminal_text::plain;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|output: &[u8]| {
    let shown = plain(output);
    assert!(!shown.contains(|c: char| c.is_control() && c != '\t' && c != '\n'), "{shown:?}");
    assert!(shown.len() <= 3 * output.len(), "it grows");
    assert_eq!(plain(shown.as_bytes()), shown, "what is shown is plain");
});
