//! What a letter's own headers say of it: whom it is from and for, and how old it is.

use std::time::{Duration, SystemTime};

use lettre::{Address, address::Envelope};

use crate::queue::fields::is_address;

/// From and To are bare addresses, and are the envelope.
pub fn envelope(letter: &[u8]) -> Result<Envelope, String> {
    let address = |name| {
        header(letter, name)
            .filter(|value| is_address(value))
            .and_then(|value| value.parse::<Address>().ok())
            .ok_or_else(|| format!("its header {name} is no bare address"))
    };
    // By it, it grows old.
    age(letter).ok_or("its header Date is no date")?;
    Envelope::new(Some(address("From")?), vec![address("To")?]).map_err(|error| error.to_string())
}

/// By its header Date; one of the future has none.
pub fn age(letter: &[u8]) -> Option<Duration> {
    let date = jiff::fmt::rfc2822::parse(&header(letter, "Date")?).ok()?;
    Some(SystemTime::from(date.timestamp()).elapsed().unwrap_or_default())
}

pub fn recipient(letter: &[u8]) -> String {
    header(letter, "To").unwrap_or_default()
}

/// The first one of this name, if it stands on one line.
fn header(letter: &[u8], name: &str) -> Option<String> {
    letter
        .split(|byte| *byte == b'\n')
        .map(|line| String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)))
        .take_while(|line| !line.is_empty())
        .find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_string())
        })
}
