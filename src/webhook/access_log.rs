//! The access line, and the units in it.

use std::{
    fmt,
    time::{Duration, Instant},
};

use axum::http::{HeaderValue, StatusCode, header, request};
use tracing::info;

use super::request_id::RequestId;

/// What the access line of a request says; it is written when this value goes.
pub(super) struct Access {
    pub(super) id: RequestId,
    pub(super) status: StatusCode,
    pub(super) bytes: u64,
    started: Instant,
    request: String,
}

impl Access {
    pub(super) fn new(id: RequestId, head: &request::Parts, status: StatusCode, started: Instant) -> Self {
        let host = match head.uri.authority() {
            // Without name and password, if a client wrote them there.
            Some(authority) => authority.as_str().rsplit('@').next().unwrap_or_default().to_owned(),
            None => head.headers.get(header::HOST).map(HeaderValue::as_bytes).map_or_else(String::new, lossy),
        };
        let request = format!("{host} | {} {}", head.method, head.uri);
        Self { id, status, bytes: 0, started, request }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Drop for Access {
    fn drop(&mut self) {
        let (status, size, took) = (self.status.as_u16(), Size(self.bytes), Took(self.started.elapsed()));
        info!(request = %self.id, "{status} | {size} | {took} | {}", self.request);
    }
}

/// Bytes as the peer writes them: `15 B`, `1.2 KiB`, `23 KiB`.
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let unit = (0..UNITS.len()).rev().find(|unit| self.0 >> (10 * unit) > 0).unwrap_or(0);
        if self.0 < 10 {
            return write!(f, "{} B", self.0);
        }
        // More than 2^53 bytes do not come along; the figure is rounded to a tenth anyway.
        #[allow(clippy::cast_precision_loss)]
        let value = (self.0 as f64 / (1_u64 << (10 * unit)) as f64 * 10.0 + 0.5).floor() / 10.0;
        let decimals = usize::from(value < 10.0);
        write!(f, "{value:.decimals$} {}", UNITS[unit])
    }
}

/// A time as Go writes it: `75.8µs`, `2.37ms`, `1.002447097s`, `1m0.5s`.
pub(super) struct Took(pub(super) Duration);

impl fmt::Display for Took {
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
    fn sizes_have_at_most_one_decimal_and_only_below_ten() {
        for (bytes, shown) in [
            (0, "0 B"),
            (9, "9 B"),
            (15, "15 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1250, "1.2 KiB"),
            (10 * 1024 - 1, "10 KiB"),
            (23 * 1024, "23 KiB"),
            (1024 * 1024 - 1, "1024 KiB"),
            (5 << 20, "5.0 MiB"),
            (3 << 30, "3.0 GiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), shown);
        }
    }

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
            assert_eq!(Took(Duration::from_nanos(nanos)).to_string(), shown);
        }
    }
}
