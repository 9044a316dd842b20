//! The access line.

use std::{fmt, time::Instant};

use axum::http::{HeaderValue, StatusCode, header, request};
use tracing::info;

use crate::webhook::{go::time::Duration, request_id::RequestId};

/// What the access line of a request says; it is written when this value goes.
pub struct AccessLine {
    id: RequestId,
    status: StatusCode,
    pub bytes: u64,
    started: Instant,
    request: String,
}

impl AccessLine {
    pub fn new(id: RequestId, head: &request::Parts, status: StatusCode, started: Instant) -> Self {
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

impl Drop for AccessLine {
    fn drop(&mut self) {
        let (status, size, took) = (self.status.as_u16(), Size(self.bytes), Duration(self.started.elapsed()));
        info!(request = %self.id, "{status} | {size} | {took} | {}", self.request);
    }
}

/// Bytes as webhook 2.8 writes them: `15 B`, `1.2 KiB`, `23 KiB`.
struct Size(u64);

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
}
