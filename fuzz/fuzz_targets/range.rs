//! A Range header and the length of the file: what is sent of it is there, and is what was asked for.
#![no_main]

use amp_ci::fuzzing::Range;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &str)| {
    let (length, header) = input;
    match Range::of(header, length) {
        Range::Whole => {}
        // RFC 9110, 14.1.2: a first byte past the end, or the last none.
        Range::Unsatisfiable => assert!(header.contains("bytes=")),
        Range::Part { first, last } => {
            assert!(first <= last && last < length, "{first}-{last} of {length}");
            let count = last - first + 1;
            // Asked for as we answer, it is the same.
            assert_eq!(Range::of(&format!("bytes={first}-{last}"), length), Range::Part { first, last });
            assert_eq!(Range::of(&format!("bytes=-{count}"), last + 1), Range::Part { first, last });
        }
    }
});
