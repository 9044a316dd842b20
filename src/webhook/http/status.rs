//! The status codes that a hooks file may ask for.

use axum::http::StatusCode;

/// What `code` of a hooks file means: nothing (0), a status, or an error when it is none. An answer that is not
/// the final one (100 to 103) counts as 200.
pub fn configured(code: i64) -> Result<Option<StatusCode>, UnknownStatus> {
    let status = match code {
        0 => return Ok(None),
        100..=103 => Some(StatusCode::OK),
        _ => u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok()),
    };
    status.filter(|status| status.canonical_reason().is_some()).map(Some).ok_or(UnknownStatus)
}

/// The code is no status that a hook may answer with.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownStatus;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_codes_count() {
        for (code, status) in [
            (0, Ok(None)),
            (100, Ok(Some(200))),
            (200, Ok(Some(200))),
            (204, Ok(Some(204))),
            (226, Ok(Some(226))),
            (299, Err(UnknownStatus)),
            (306, Err(UnknownStatus)),
            (403, Ok(Some(403))),
            (418, Ok(Some(418))),
            (419, Err(UnknownStatus)),
            (509, Err(UnknownStatus)),
            (511, Ok(Some(511))),
            (999, Err(UnknownStatus)),
            (-1, Err(UnknownStatus)),
        ] {
            let status = status.map(|status| status.map(|code| StatusCode::from_u16(code).unwrap()));
            assert_eq!(configured(code), status, "{code}");
        }
    }
}
