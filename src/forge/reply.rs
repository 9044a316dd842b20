//! What a forge's reply to a status means. Pure: the reply in, what to do out.

use std::time::{Duration, SystemTime};

use jiff::{Timestamp, fmt::rfc2822};
use serde::Deserialize;

use super::{api::Forge, status::Refusal};

/// No forge means more; what says more is taken for this.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// What matters of a reply, as it came.
#[derive(Debug, Default, Clone)]
pub struct Reply {
    /// The status code.
    pub code: u16,
    /// `Location`.
    pub location: Option<String>,
    /// `Retry-After`: seconds, or a date.
    pub retry_after: Option<String>,
    /// `X-RateLimit-Remaining`.
    pub remaining: Option<String>,
    /// `X-RateLimit-Reset`: seconds of the epoch.
    pub reset: Option<String>,
    /// `X-Accepted-GitHub-Permissions`: what the token would need.
    pub permissions: Option<String>,
    /// The beginning of the body.
    pub body: String,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The forge has it.
    Done,
    /// The same to this address.
    Moved(String),
    /// Nothing to this forge for so long; if it does not say, for longer each time.
    Wait(Option<Duration>, String),
    /// Nothing to this forge until the token is another one.
    TokenBad(String),
    /// Nobody will ever take it.
    GiveUp(Refusal),
    /// Perhaps later.
    Retry(String),
}

impl Reply {
    /// What it means, at this time.
    pub fn verdict(&self, forge: Forge, now: SystemTime) -> Verdict {
        let why = self.why();
        match self.code {
            201 => Verdict::Done,
            301 | 302 | 307 | 308 => match &self.location {
                Some(location) => Verdict::Moved(location.clone()),
                None => self.refusal(why),
            },
            400 if forge == Forge::GitLab && self.is_repeated() => Verdict::Done,
            401 => Verdict::TokenBad(why),
            403 if self.is_limit() => Verdict::Wait(self.wait(now), why),
            403 => match &self.permissions {
                Some(permissions) => self.refusal(format!("{why}; the token needs {}", brief(permissions))),
                None => self.refusal(why),
            },
            429 => Verdict::Wait(self.wait(now), why),
            503 if self.retry_after.is_some() => Verdict::Wait(self.wait(now), why),
            408 | 500.. => Verdict::Retry(why),
            _ => self.refusal(why),
        }
    }

    fn refusal(&self, why: String) -> Verdict {
        Verdict::GiveUp(Refusal { code: Some(self.code), why })
    }

    /// Is it one of the limits in time, and no want of permission?
    fn is_limit(&self) -> bool {
        self.retry_after.is_some() || self.remaining.as_deref().is_some_and(|left| left.trim() == "0")
    }

    /// How long to wait, as far as the reply says. Never nothing at all.
    fn wait(&self, now: SystemTime) -> Option<Duration> {
        let until = |time: Timestamp| SystemTime::from(time).duration_since(now).unwrap_or_default();
        let retry_after = || {
            let text = self.retry_after.as_deref()?.trim();
            let seconds = text.parse().ok().map(Duration::from_secs);
            seconds.or_else(|| rfc2822::DateTimeParser::new().parse_timestamp(text).ok().map(until))
        };
        let reset = || {
            let text = self.reset.as_deref().filter(|_| self.is_limit())?;
            Timestamp::from_second(text.trim().parse().ok()?).ok().map(until)
        };
        retry_after().or_else(reset).map(|wait| wait.clamp(Duration::from_secs(1), LONGEST_WAIT))
    }

    /// GitLab has this state already. It says so in words alone: "Cannot transition status via :run from :running".
    fn is_repeated(&self) -> bool {
        self.message().is_some_and(|message| message.contains("Cannot transition status"))
    }

    fn message(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Said {
            message: Option<serde_json::Value>,
            error: Option<serde_json::Value>,
        }
        let said: Said = serde_json::from_str(&self.body).ok()?;
        let message = said.message.or(said.error)?;
        Some(message.as_str().map_or_else(|| message.to_string(), str::to_string))
    }

    /// The reply in a few words, for logs and letters.
    fn why(&self) -> String {
        match self.message() {
            Some(message) => format!("{}: {}", self.code, brief(&message)),
            None => self.code.to_string(),
        }
    }
}

/// Enough of a text from outside to know it by.
fn brief(text: &str) -> String {
    let start: String = text.chars().take(200).collect();
    crate::text::printable(&start).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn reply(code: u16) -> Reply {
        Reply { code, ..Reply::default() }
    }

    fn verdict(reply: &Reply) -> Verdict {
        reply.verdict(Forge::GitHub, NOW)
    }

    fn refused(why: &str) -> Verdict {
        Verdict::GiveUp(Refusal { code: why[..3].parse().ok(), why: why.to_string() })
    }

    fn waits(reply: &Reply, seconds: Option<u64>) {
        match verdict(reply) {
            Verdict::Wait(wait, _) => assert_eq!(wait, seconds.map(Duration::from_secs), "{reply:?}"),
            other => panic!("{reply:?} is {other:?}"),
        }
    }

    #[test]
    fn a_status_is_done_when_it_is_created() {
        assert_eq!(verdict(&reply(201)), Verdict::Done);
        for code in [100, 200, 202, 204, 304, 400, 404, 405, 410, 418, 422] {
            assert!(matches!(verdict(&reply(code)), Verdict::GiveUp(_)), "{code}");
        }
        for code in [408, 500, 502, 503, 504, 599] {
            assert!(matches!(verdict(&reply(code)), Verdict::Retry(_)), "{code}");
        }
        assert!(matches!(verdict(&reply(401)), Verdict::TokenBad(_)));
    }

    #[test]
    fn a_limit_is_told_from_a_want_of_permission_by_its_headers() {
        let left =
            Reply { remaining: Some("4987".to_string()), reset: Some("7000".to_string()), ..reply(403) };
        assert_eq!(verdict(&left), refused("403"));
        let wanted = Reply {
            permissions: Some("statuses=write".to_string()),
            body: r#"{"message": "no"}"#.to_string(),
            ..left
        };
        assert_eq!(verdict(&wanted), refused("403: no; the token needs statuses=write"));
        waits(
            &Reply { remaining: Some("0".to_string()), reset: Some("7000".to_string()), ..reply(403) },
            Some(7000),
        );
        waits(
            &Reply {
                retry_after: Some("30".to_string()),
                remaining: Some("0".to_string()),
                reset: Some("7000".to_string()),
                ..reply(403)
            },
            Some(30),
        );
        waits(
            &Reply { remaining: Some("0".to_string()), reset: Some("soon".to_string()), ..reply(403) },
            None,
        );
        waits(&reply(429), None);
        waits(&Reply { retry_after: Some("0".to_string()), ..reply(429) }, Some(1));
        waits(&Reply { retry_after: Some("99999999999".to_string()), ..reply(429) }, Some(24 * 3600));
        waits(
            &Reply { retry_after: Some("Thu, 01 Jan 1970 00:01:30 GMT".to_string()), ..reply(429) },
            Some(90),
        );
        waits(&Reply { retry_after: Some("120".to_string()), ..reply(503) }, Some(120));
    }

    #[test]
    fn a_renamed_repository_is_followed_and_a_redirect_to_nowhere_is_not() {
        for code in [301, 302, 307, 308] {
            let moved = Reply { location: Some("/x".to_string()), ..reply(code) };
            assert_eq!(verdict(&moved), Verdict::Moved("/x".to_string()));
            assert!(matches!(verdict(&reply(code)), Verdict::GiveUp(_)));
        }
    }

    #[test]
    fn a_state_that_gitlab_has_already_is_done() {
        let body =
            r#"{"message":"Cannot transition status via :run from :running (Reason(s): ...)"}"#.to_string();
        let repeated = Reply { body, ..reply(400) };
        assert_eq!(repeated.verdict(Forge::GitLab, NOW), Verdict::Done);
        assert!(matches!(repeated.verdict(Forge::GitHub, NOW), Verdict::GiveUp(_)));
        let body = r#"{"message":{"ref":["is missing"]}}"#.to_string();
        let other = Reply { body, ..reply(400) }.verdict(Forge::GitLab, NOW);
        assert_eq!(other, refused(r#"400: {"ref":["is missing"]}"#));
    }

    #[test]
    fn what_a_forge_says_is_one_short_line() {
        let body = serde_json::json!({ "message": "a\n\u{1b}[2J".repeat(100) }).to_string();
        let Verdict::GiveUp(Refusal { why, .. }) = verdict(&Reply { body, ..reply(422) }) else { panic!() };
        assert!(why.starts_with("422: a\\n\\x1b[2J") && why.len() < 1000 && !why.contains('\n'));
    }
}
