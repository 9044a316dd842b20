//! A limit of time, as people write it in settings and hooks files.

use std::{fmt, str::FromStr, time::Duration};

/// `90`, `90s`, `30m`, `6h`; `0` is no limit, which is `None`. Shows as it would be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout(pub Option<Duration>);

/// A text that is no such limit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time: write 90, 90s, 30m or 6h, or 0 for no limit")]
pub struct NoTimeout(String);

impl FromStr for Timeout {
    type Err = NoTimeout;

    fn from_str(text: &str) -> Result<Self, NoTimeout> {
        let seconds = seconds(text).ok_or_else(|| NoTimeout(text.to_owned()))?;
        Ok(Self((seconds > 0).then(|| Duration::from_secs(seconds))))
    }
}

/// Digits and at most one unit: no sign, no blanks. More than 136 years is a slip of the finger.
fn seconds(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b's' => (&text[..text.len() - 1], 1),
        b'm' => (&text[..text.len() - 1], 60),
        b'h' => (&text[..text.len() - 1], 3600),
        _ => (text, 1),
    };
    let number: u64 = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    number.checked_mul(factor).filter(|seconds| u32::try_from(*seconds).is_ok())
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
    use super::Timeout;

    #[test]
    fn times_are_written_as_people_write_them() {
        for (text, shown) in
            [("90", "90s"), ("90s", "90s"), ("30m", "30m"), ("6h", "6h"), ("3600", "1h"), ("0", "none")]
        {
            assert_eq!(text.parse::<Timeout>().unwrap().to_string(), shown);
        }
        for bad in
            ["", "h", "-1", "+1", "1.5h", "6 h", "1d", "30mm", "ü", "99999999999999999999", "9999999999h"]
        {
            let problem = bad.parse::<Timeout>().unwrap_err().to_string();
            assert_eq!(
                problem,
                format!("\"{bad}\" is not a time: write 90, 90s, 30m or 6h, or 0 for no limit")
            );
        }
    }
}
