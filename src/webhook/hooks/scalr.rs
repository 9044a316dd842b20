//! `scalr-signature`: an HMAC of body and `Date` header, and a date that is not far from now.

use std::time::SystemTime;

use jiff::{Timestamp, fmt::strtime, tz::TimeZone};

use super::{
    request::Request,
    signature::{Secret, SignatureError, check_sha1},
};

/// How far the date may be from now, in seconds, either way.
const MAX_AGE: i64 = 300;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScalrError {
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("parsing time {0:?} as \"Mon 02 Jan 2006 15:04:05 MST\": it is not of that form")]
    Date(String),
}

/// Does the request carry a right signature? Without the two headers it carries none.
pub fn check(secret: &Secret, request: &Request<'_>, now: SystemTime) -> Result<bool, ScalrError> {
    let (Some(signature), Some(date)) = (request.header("X-Signature"), request.header("Date")) else {
        return Ok(false);
    };
    check_sha1(secret, &[&request.body, date], signature)?;
    let text = String::from_utf8_lossy(date);
    let date = parse_date(&text).ok_or_else(|| ScalrError::Date(text.into_owned()))?;
    let now = Timestamp::try_from(now).unwrap_or(Timestamp::MAX);
    if now.duration_since(date).as_secs().abs() > MAX_AGE {
        return Err(SignatureError::WrongOne("outdated".to_owned()).into());
    }
    Ok(true)
}

/// `Thu 02 Jan 2020 03:04:05 UTC`. The day of the week is not compared with the date, and the zone, whatever
/// its name, does not move the time: Go takes any as UTC.
fn parse_date(text: &str) -> Option<Timestamp> {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let [weekday, day, month, year, time, zone] = words[..] else { return None };
    let known = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    if !known.contains(&weekday.to_ascii_lowercase().as_str()) || day.len() != 2 || year.len() != 4 {
        return None;
    }
    // A leap second is one to the library, but not to Go.
    if !is_zone(zone) || text.ends_with(' ') || time.contains(":60") {
        return None;
    }
    let date = format!("{day} {month} {year} {}", time.replace(',', "."));
    let date = strtime::parse("%d %b %Y %H:%M:%S%.f", date).ok()?.to_datetime().ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn is_zone(zone: &str) -> bool {
    let offset = |text: &str| {
        text.strip_prefix(['+', '-']).is_some_and(|hours| {
            hours.bytes().all(|b| b.is_ascii_digit()) && hours.parse::<u32>().is_ok_and(|hours| hours < 24)
        })
    };
    if let Some(rest) = zone.strip_prefix("GMT") {
        return rest.is_empty() || offset(rest);
    }
    let capitals = zone.bytes().all(|b| b.is_ascii_uppercase());
    match zone.len() {
        _ if offset(zone) || ["ChST", "MeST", "WITA"].contains(&zone) => true,
        3 => capitals,
        4 | 5 => capitals && zone.ends_with('T'),
        _ => false,
    }
}
