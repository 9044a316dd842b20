//! A number of bytes, as people write it in settings and flags.

use std::{fmt, str::FromStr};

/// `500`, `64K`, `16M`, `2G`, also `KiB`, in either case: units of 1024. `MB` could mean two things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// A text that is no size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not a size: write bytes, or 64K, 16M, 2G", crate::text::printable(.0))]
pub struct NotASize(String);

impl FromStr for Size {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, NotASize> {
        bytes(text).map(Self).ok_or_else(|| NotASize(text.to_owned()))
    }
}

impl fmt::Display for Size {
    /// In the largest unit of which there are ten, without its fraction: `37M`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("G", 30), ("M", 20), ("K", 10)];
        let (unit, bits) = units.into_iter().find(|(_, bits)| self.0 >> bits >= 10).unwrap_or(("", 0));
        write!(f, "{}{unit}", self.0 >> bits)
    }
}

/// Digits and at most one unit: no sign, no blanks.
fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let factor = match &*unit.to_ascii_lowercase() {
        "" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_count_in_1024() {
        for (text, size) in
            [("0", 0), ("1", 1), ("64K", 65536), ("10k", 10240), ("16M", 16 << 20), ("2GiB", 2 << 30)]
        {
            assert_eq!(text.parse(), Ok(Size(size)));
        }
        for (size, shown) in
            [(0, "0"), (9_999, "9999"), (10 << 10, "10K"), (100 << 20, "100M"), (11 << 30, "11G")]
        {
            assert_eq!(Size(size).to_string(), shown);
        }
        for bad in
            ["", "K", "1T", "1MB", "-1", "+1", "1.5M", "1 M", "ü", "99999999999999999999", "99999999999G"]
        {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
