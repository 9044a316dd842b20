//! The name of an entry, which is also its place in the order.

use std::{
    cmp::Ordering,
    fmt,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

/// What stands after `build-` in the name of an entry: `<digits>.<digits>`, seconds of the epoch and their
/// fraction. It names the build's record too.
///
/// Ordered as the decimal number that it is (`5.9` before `5.10` before `10.0`, as the Python original's
/// names need it); names of the same number by their text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct EntryId(Box<str>);

/// The longest name that still leaves room for what is appended to it (`.lock`, `.why`, `.ci.eml`) within a
/// file name's 255 bytes.
const LONGEST: usize = 200;

impl EntryId {
    /// Reads `<digits>.<digits>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (seconds, fraction) = text.split_once('.')?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        (text.len() <= LONGEST && digits(seconds) && digits(fraction)).then(|| Self(text.into()))
    }

    /// Reads the name of a waiting entry, `build-<id>`.
    pub fn of_waiting(file_name: &str) -> Option<Self> {
        Self::parse(file_name.strip_prefix("build-")?)
    }

    /// Reads the name of a claimed entry, `build-<id>.lock`.
    pub fn of_claimed(file_name: &str) -> Option<Self> {
        Self::of_waiting(file_name.strip_suffix(".lock")?)
    }

    /// Reads the name of the file beside an entry that pauses, `build-<id>.retry`.
    pub fn of_retry(file_name: &str) -> Option<Self> {
        Self::of_waiting(file_name.strip_suffix(".retry")?)
    }

    /// Reads the name of the file that cancels an entry, `build-<id>.cancel`.
    pub fn of_cancel(file_name: &str) -> Option<Self> {
        Self::of_waiting(file_name.strip_suffix(".cancel")?)
    }

    /// The name that this moment gives.
    pub fn at(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self::new(since.as_secs(), since.subsec_nanos())
    }

    /// The next name after this one, a nanosecond later; none when the seconds do not fit a clock.
    pub fn next(&self) -> Option<Self> {
        let (seconds, fraction) = self.parts();
        let seconds: u64 = seconds.parse().ok()?;
        // Finer than a nanosecond is cut off; one nanosecond more is later all the same.
        let nanos: u32 = format!("{fraction:0<9.9}").parse().ok()?;
        Some(match nanos {
            999_999_999 => Self::new(seconds.checked_add(1)?, 0),
            nanos => Self::new(seconds, nanos + 1),
        })
    }

    fn new(seconds: u64, nanos: u32) -> Self {
        Self(format!("{seconds}.{nanos:09}").into())
    }

    /// `<digits>.<digits>`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file name while the entry waits.
    pub fn waiting(&self) -> String {
        format!("build-{self}")
    }

    /// The file name while the entry is claimed.
    pub fn claimed(&self) -> String {
        format!("build-{self}.lock")
    }

    /// The file beside it while it pauses.
    pub fn retry(&self) -> String {
        format!("build-{self}.retry")
    }

    /// The file that cancels it.
    pub fn cancel(&self) -> String {
        format!("build-{self}.cancel")
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('.').unwrap_or((&self.0, ""))
    }
}

impl Ord for EntryId {
    fn cmp(&self, other: &Self) -> Ordering {
        let (seconds, fraction) = self.parts();
        let (other_seconds, other_fraction) = other.parts();
        if (seconds.len(), fraction.len()) == (other_seconds.len(), other_fraction.len()) {
            // As all names of our own are: a deep queue is sorted by nothing else.
            return self.0.cmp(&other.0);
        }
        let significant = |digits: &str| digits.trim_start_matches('0').len();
        let whole = |digits: &'_ str| digits[digits.len() - significant(digits)..].to_string();
        significant(seconds)
            .cmp(&significant(other_seconds))
            .then_with(|| {
                if seconds.len() == other_seconds.len() {
                    seconds.cmp(other_seconds)
                } else {
                    whole(seconds).cmp(&whole(other_seconds))
                }
            })
            .then_with(|| fraction.trim_end_matches('0').cmp(other_fraction.trim_end_matches('0')))
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl TryFrom<String> for EntryId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("'{}' is no id of a build", crate::text::printable(&text)))
    }
}

impl PartialOrd for EntryId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::EntryId;

    fn id(text: &str) -> EntryId {
        EntryId::parse(text).expect(text)
    }

    #[test]
    fn names_are_ordered_as_the_numbers_they_are() {
        let sorted =
            ["0.5", "5.10", "5.9", "05.91", "10.0", "1795346032.441044312", "1795346032.55", "11795346032.0"];
        for pair in sorted.windows(2) {
            assert!(id(pair[0]) < id(pair[1]), "{} < {}", pair[0], pair[1]);
        }
        assert!(id("1.5") < id("1.50"), "the same number: by text, so that both stay in the set");
    }

    #[test]
    fn only_digits_dot_digits_is_a_name() {
        for no in [
            "build-",
            "build-1",
            "build-1.",
            "build-.1",
            "build-1.2.3",
            "build-1.2~",
            "build--1.2",
            "build-1.２",
            "x1.2",
        ] {
            assert_eq!(EntryId::of_waiting(no), None, "{no}");
        }
        assert_eq!(EntryId::of_waiting("build-1.2"), Some(id("1.2")));
        assert_eq!(EntryId::of_claimed("build-1.2.lock"), Some(id("1.2")));
        assert_eq!(EntryId::of_waiting("build-1.2.lock"), None);
        assert_eq!(EntryId::parse(&format!("1.{}", "1".repeat(250))), None);
    }

    #[test]
    fn the_next_name_is_later() {
        for (text, next) in [
            ("7.000000009", "7.000000010"),
            ("7.999999999", "8.000000000"),
            ("1795346032.55", "1795346032.550000001"),
            ("7.0000000001", "7.000000001"),
        ] {
            assert_eq!(id(text).next(), Some(id(next)));
            assert!(id(text) < id(next));
        }
        assert_eq!(id("99999999999999999999999.0").next(), None);
    }
}
