//! time: how a duration is written.

use std::{fmt, time};

/// A time as Go writes it: `75.8µs`, `2.37ms`, `1.002447097s`, `1m0.5s`.
pub struct Duration(pub time::Duration);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (unit, name, digits) = match nanos {
            0 => return f.write_str("0s"),
            1..1_000 => (1, "ns", 0),
            1_000..1_000_000 => (1_000, "µs", 3),
            1_000_000..1_000_000_000 => (1_000_000, "ms", 6),
            _ => (1_000_000_000, "s", 9),
        };
        let mut whole = nanos / unit;
        if name == "s" {
            let (hours, minutes) = (whole / 3600, whole / 60 % 60);
            if hours > 0 {
                write!(f, "{hours}h")?;
            }
            if whole >= 60 {
                write!(f, "{minutes}m")?;
                whole %= 60;
            }
        }
        write!(f, "{whole}")?;
        let rest = format!("{:0digits$}", nanos % unit);
        let rest = rest.trim_end_matches('0');
        if !rest.is_empty() {
            write!(f, ".{rest}")?;
        }
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        for (nanos, shown) in [
            (0, "0s"),
            (999, "999ns"),
            (1_000, "1µs"),
            (75_800, "75.8µs"),
            (136_394, "136.394µs"),
            (2_370_000, "2.37ms"),
            (2_772_158, "2.772158ms"),
            (1_002_447_097, "1.002447097s"),
            (60_500_000_000, "1m0.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (3_725_000_000_000, "1h2m5s"),
        ] {
            assert_eq!(Duration(time::Duration::from_nanos(nanos)).to_string(), shown);
        }
    }
}
