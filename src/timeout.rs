//! A limit of time, as people write it in settings, flags and hooks files.

use std::{fmt, str::FromStr, time::Duration};

use jiff::SignedDuration;

/// `90`, `90s`, `30m`, `1h30m`; `0` is no limit, which is `None`. Whole seconds; shows as it would be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout(pub Option<Duration>);

/// A text that is no such limit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time: write 90, 90s, 30m or 6h, or 0 for no limit")]
pub struct NoTimeout(String);

impl FromStr for Timeout {
    type Err = NoTimeout;

    fn from_str(text: &str) -> Result<Self, NoTimeout> {
        let limit = duration(text).filter(|limit| limit.subsec_nanos() == 0);
        let limit = limit.ok_or_else(|| NoTimeout(text.to_owned()))?;
        Ok(Self(Some(limit).filter(|limit| !limit.is_zero())))
    }
}

/// A time: seconds, or with units as in `500ms`, `90s`, `1h30m`; none if it is not, is negative, or is longer than 136
/// years, which is a slip of the finger.
pub fn duration(text: &str) -> Option<Duration> {
    let duration = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        Duration::from_secs(text.parse().ok()?)
    } else {
        text.parse::<SignedDuration>().ok()?.try_into().ok()?
    };
    Some(duration).filter(|duration| u32::try_from(duration.as_secs()).is_ok())
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.map(|limit| limit.as_secs()) {
            None => f.write_str("none"),
            Some(seconds) if seconds % 3600 == 0 => write!(f, "{}h", seconds / 3600),
            Some(seconds) if seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            Some(seconds) => write!(f, "{seconds}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_write_them() {
        for (text, shown) in
            [("90", "90s"), ("90s", "90s"), ("30m", "30m"), ("1h30m", "90m"), ("3600", "1h"), ("0", "none")]
        {
            assert_eq!(text.parse::<Timeout>().unwrap().to_string(), shown);
        }
        for bad in
            ["", "h", "-1", "+1", "-1s", "1d", "500ms", "30mm", "ü", "99999999999999999999", "9999999999h"]
        {
            let problem = bad.parse::<Timeout>().unwrap_err().to_string();
            assert_eq!(
                problem,
                format!("\"{bad}\" is not a time: write 90, 90s, 30m or 6h, or 0 for no limit")
            );
        }
    }

    #[test]
    fn a_duration_may_be_shorter_than_a_second() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("10 parsecs"), None);
    }
}
