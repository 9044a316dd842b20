//! The status codes that a hooks file may ask for.

use axum::http::StatusCode;
use tracing::info;

use crate::webhook::{hooks::Hook, request_id::RequestId};

/// What `code`, a property of `hook`, asks for; one that is no status is as good as none, and said.
pub fn configured(hook: &Hook, code: i64, id: &RequestId) -> Option<StatusCode> {
    status(code).unwrap_or_else(|UnknownStatus| {
        info!(
            request = %id,
            "{} got matched, but the configured return code {code} is unknown - defaulting to 200", hook.id
        );
        None
    })
}

/// Nothing (0), a status, or an error. An answer that is not the final one (100 to 103) counts as 200.
fn status(code: i64) -> Result<Option<StatusCode>, UnknownStatus> {
    let status = match code {
        0 => return Ok(None),
        100..=103 => Some(StatusCode::OK),
        _ => u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok()),
    };
    status.filter(|status| status.canonical_reason().is_some()).map(Some).ok_or(UnknownStatus)
}

/// The code is no status that a hook may answer with.
#[derive(Debug, PartialEq, Eq)]
struct UnknownStatus;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_codes_count() {
        for (code, expected) in [
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
            let expected = expected.map(|code| code.map(|code| StatusCode::from_u16(code).unwrap()));
            assert_eq!(status(code), expected, "{code}");
        }
    }
}
