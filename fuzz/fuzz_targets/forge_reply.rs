//! A forge's reply: whatever it says, we know what to do, for how long, and can say so in one line; and no redirect
//! takes the token elsewhere.
#![no_main]

use std::time::{Duration, SystemTime};

use amp_ci::forge::{
    api::{Forge, redirected},
    reply::{Reply, Verdict},
};
use libfuzzer_sys::fuzz_target;

const DAY: Duration = Duration::from_secs(24 * 3600);
const FROM: &str = "https://git.example.org/api/v3/repos/o/r/statuses/x";

// The first line is the code, the next five are headers, the rest is the body.
fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(7, '\n');
    let Some(code) = parts.next().and_then(|code| code.parse().ok()) else { return };
    let mut header = || parts.next().filter(|value| !value.is_empty()).map(str::to_string);
    let reply = Reply {
        code,
        location: header(),
        retry_after: header(),
        remaining: header(),
        reset: header(),
        permissions: header(),
        body: header().unwrap_or_default(),
    };
    for forge in [Forge::GitHub, Forge::Gitea, Forge::GitLab] {
        let why = match reply.verdict(forge, SystemTime::now()) {
            Verdict::Done => {
                assert!(code == 201 || (forge, code) == (Forge::GitLab, 400));
                continue;
            }
            Verdict::Moved(location) => {
                if let Some(url) = redirected(FROM, &location) {
                    let uri: http::Uri = url.parse().expect("it can be asked for");
                    assert_eq!(uri.host().map(str::to_ascii_lowercase).as_deref(), Some("git.example.org"), "{url}");
                    assert_eq!(uri.scheme_str(), Some("https"), "{url}");
                }
                continue;
            }
            Verdict::Wait(wait, why) => {
                assert!(wait.is_none_or(|wait| !wait.is_zero() && wait <= DAY));
                why
            }
            Verdict::GiveUp(refusal) => refusal.why,
            Verdict::TokenBad(why) | Verdict::Retry(why) => why,
        };
        assert!(why.chars().count() < 5000 && !why.contains(|c: char| c.is_control() && c != '\t'), "{why:?}");
    }
});
