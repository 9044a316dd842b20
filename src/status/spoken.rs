//! Times and sizes as people say them.

use jiff::{SignedDuration, Timestamp};

/// `0.4s`, `12s`, `3m12s`, `2h05m`, `3d 4h`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped, and a fraction of a second is nothing"
)]
pub fn seconds(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{:.1}s", seconds.max(0.0));
    }
    let whole = seconds.min(1e15) as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d {}h", whole / 86_400, whole / 3600 % 24),
    }
}

/// `just now`, `40 s ago`, `2 min ago`, `5 h ago`, `3 days ago`; what is to come is `in 5 min`.
pub fn ago(now: Timestamp, then: Timestamp) -> String {
    let distance = now.duration_since(then);
    if distance.abs() < SignedDuration::from_secs(2) {
        return "just now".to_string();
    }
    let length = match distance.unsigned_abs().as_secs() {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h", seconds / 3600),
        seconds @ 86_400..172_800 => format!("{} day", seconds / 86_400),
        seconds => format!("{} days", seconds / 86_400),
    };
    if distance.is_negative() { format!("in {length}") } else { format!("{length} ago") }
}

/// `512 B`, `1.5 kB`, `41 GB`: powers of 1000, as disks are sold.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if size < 999.5 || unit == "TB" {
            let decimals = usize::from(size < 9.95 && unit != "B");
            return format!("{size:.decimals$} {unit}");
        }
        size /= 1000.0;
    }
    unreachable!("the last unit takes all")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_people_say_them() {
        for (length, said) in [
            (0.0, "0.0s"),
            (0.44, "0.4s"),
            (9.96, "10.0s"),
            (12.9, "12s"),
            (192.0, "3m12s"),
            (7500.0, "2h05m"),
            (273_600.0, "3d 4h"),
            (-1.0, "0.0s"),
        ] {
            assert_eq!(seconds(length), said);
        }
    }

    #[test]
    fn distances_are_said_as_people_say_them() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (earlier, said) in [
            (0, "just now"),
            (59, "59 s ago"),
            (150, "2 min ago"),
            (7300, "2 h ago"),
            (90_000, "1 day ago"),
            (300_000, "3 days ago"),
            (-300, "in 5 min"),
        ] {
            assert_eq!(ago(now, now - SignedDuration::from_secs(earlier)), said);
        }
    }

    #[test]
    fn sizes_have_two_or_three_digits() {
        for (size, said) in
            [(0, "0 B"), (999, "999 B"), (1536, "1.5 kB"), (41_000_000_000, "41 GB"), (999_950, "1.0 MB")]
        {
            assert_eq!(bytes(size), said);
        }
    }
}
