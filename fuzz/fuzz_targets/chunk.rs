//! A chunk, filled in: text of the payload that bash could read never gets into it.
#![no_main]

use amp_ci::{fuzzing::placeholder, queue::BuildRequest};
use libfuzzer_sys::fuzz_target;

/// Of what a reference stands for; in no chunk by chance.
const PAYLOAD: [&str; 3] =
    ["refs/heads/$(ref-of-the-payload)", "`name-of-the-payload`", "mail-of-the-payload@example.org"];

fuzz_target!(|chunk: &[u8]| {
    let json = serde_json::json!({
        "repository": "repo-of-the-payload", "ref": PAYLOAD[0], "commit_id": "a".repeat(40),
        "committer_name": PAYLOAD[1], "committer_email": PAYLOAD[2],
    });
    let request: BuildRequest = serde_json::from_value(json).expect("a request");
    let rendered = placeholder::render(chunk, &request);
    let holds = |text: &[u8], part: &str| text.windows(part.len()).any(|window| window == part.as_bytes());
    for part in PAYLOAD {
        assert!(!holds(&rendered, part) || holds(chunk, part), "text of the payload in a script");
    }
    if !chunk.contains(&b'{') && !chunk.contains(&b'}') {
        assert_eq!(rendered, chunk, "without a brace nothing changes");
    }
    placeholder::mistyped(chunk);
});
