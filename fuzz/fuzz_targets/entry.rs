//! An entry and its name: what is read is valid, and is the same when it is written and read again.
#![no_main]

use amp_ci::queue::{BuildRequest, EntryId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<BuildRequest>(data) {
        let repository = request.repository.as_str();
        assert!(repository.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)));
        assert!((1..=100).contains(&repository.len()) && !repository.starts_with('-') && ![".", ".."].contains(&repository));
        let git_ref = request.git_ref.as_str();
        assert!(
            git_ref.starts_with("refs/") && !git_ref.contains(|c: char| c.is_ascii_control() || c == ' ')
        );
        assert!(
            request
                .git_ref
                .chunk_suffix()
                .is_none_or(|suffix| !suffix.contains('/') && !suffix.starts_with('.'))
        );
        assert!(request.commit_id.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(!request.committer_name.as_str().contains(char::is_control));
        assert!(!request.committer_email.as_str().contains([' ', '\r', '\n', ',', '<', '>']));
        let again: BuildRequest = serde_json::from_str(&request.to_json()).expect("what we write we read");
        assert_eq!(again, request);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut ids = text.split_whitespace().filter_map(EntryId::of_waiting);
    if let (Some(one), Some(other)) = (ids.next(), ids.next()) {
        assert_eq!(one.cmp(&other), other.cmp(&one).reverse());
        assert_eq!(one == other, one.cmp(&other).is_eq());
        assert!(one.next().is_none_or(|next| next > one), "the next is later");
        assert_eq!(EntryId::of_claimed(&one.claimed()), Some(one));
    }
});
