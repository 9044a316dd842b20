//! What a mail server says: read or refused, within bounds, and by its code alone.
#![no_main]

use amp_ci::fuzzing::read_reply;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut left = bytes;
    while let Ok(reply) = read_reply(&mut left) {
        assert!(reply.code <= 999);
        assert!(!reply.to_string().contains(|c: char| c.is_control() && c != '\t'), "{reply}");
        // The text decides nothing.
        let same = format!("{:03}\r\n", reply.code);
        assert_eq!(read_reply(&mut same.as_bytes()).expect("a reply").code, reply.code);
    }
});
