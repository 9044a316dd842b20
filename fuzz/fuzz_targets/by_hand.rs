//! What a hand may leave beside an entry, to cancel it or to have it wait: read or taken for empty, and said in one line.
#![no_main]

use amp_ci::{
    queue::{Cancel, Origin, Retry},
    text::is_unprintable,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let cancel: Cancel = serde_json::from_slice(data).unwrap_or_default();
    let words = cancel.words();
    assert!(words.starts_with("by ") && !words.contains(is_unprintable), "{words:?}");
    let again: Cancel =
        serde_json::from_slice(&serde_json::to_vec(&cancel).expect("JSON")).expect("what we write we read");
    assert_eq!(again, cancel);
    if let Ok(retry) = serde_json::from_slice::<Retry>(data) {
        let text = serde_json::to_vec(&retry).expect("JSON");
        assert_eq!(serde_json::from_slice::<Retry>(&text).expect("what we write we read"), retry);
    }
    let _ = Origin::of_entry(data);
});
