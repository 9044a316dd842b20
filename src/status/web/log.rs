//! The raw output: plain text by byte ranges (RFC 9110, section 14), or followed to its end.

use std::{io::ErrorKind, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;

use crate::{
    home::Home,
    queue::EntryId,
    status::{
        folder::Folder,
        output::{Followed, Follower, Output},
    },
};

/// What is read at a time: each client holds one of these.
const STEP: usize = 32 << 10;

/// How often a follower looks.
const PAUSE: Duration = Duration::from_millis(300);

/// Between two pieces of what is being written: 650 kB/s are more than anybody reads, and without it ten followers would
/// take the processors from the build that they follow.
const PACE: Duration = Duration::from_millis(100);

/// What of the file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// All of it.
    Whole,
    /// From one byte to another, both included and there.
    Part {
        /// No greater than the last.
        first: u64,
        /// Less than the length.
        last: u64,
    },
    /// Nothing that is there.
    Unsatisfiable,
}

impl Range {
    /// What a header asks for of so many bytes. One range; several, other units and what cannot be read are as if
    /// nothing had been asked for, as the RFC allows.
    pub fn of(header: &str, length: u64) -> Self {
        let Some(spec) = header.trim().strip_prefix("bytes=") else { return Self::Whole };
        let Some((first, last)) = spec.split_once('-') else { return Self::Whole };
        let number = |text: &str| {
            (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| text.parse().unwrap_or(u64::MAX))
        };
        match (number(first), number(last)) {
            (Some(first), _) if first >= length && (last.is_empty() || number(last).is_some()) => {
                Self::Unsatisfiable
            }
            (Some(first), None) if last.is_empty() => Self::Part { first, last: length - 1 },
            (Some(first), Some(last)) if first <= last => Self::Part { first, last: last.min(length - 1) },
            (None, Some(0)) if first.is_empty() => Self::Unsatisfiable,
            (None, Some(_)) if first.is_empty() && length == 0 => Self::Unsatisfiable,
            (None, Some(count)) if first.is_empty() => {
                Self::Part { first: length.saturating_sub(count), last: length - 1 }
            }
            _ => Self::Whole,
        }
    }
}

/// The output, or the part of it that is asked for.
pub async fn answer(home: &Home, id: &EntryId, headers: &HeaderMap, follow: bool) -> Response {
    let opened = {
        let (home, id) = (home.clone(), id.clone());
        tokio::task::spawn_blocking(move || {
            Output::open(&home, &id).and_then(|output| Ok((output.len()?, output)))
        })
        .await
    };
    let (length, output) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => {
            return text(StatusCode::NOT_FOUND, "there is no output\n").into_response();
        }
        Ok(Err(_)) | Err(_) => {
            return text(StatusCode::FORBIDDEN, "the output cannot be read\n").into_response();
        }
    };
    if follow {
        return text(StatusCode::OK, followed(home.clone(), id.clone(), output)).into_response();
    }
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    match range.map_or(Range::Whole, |range| Range::of(range, length)) {
        Range::Whole => with_length(text(StatusCode::OK, part(output, 0, length)).into_response(), length),
        Range::Part { first, last } => {
            let count = last - first + 1;
            let response = text(StatusCode::PARTIAL_CONTENT, part(output, first, count)).into_response();
            with_content_range(with_length(response, count), &format!("bytes {first}-{last}/{length}"))
        }
        Range::Unsatisfiable => {
            let response = text(StatusCode::RANGE_NOT_SATISFIABLE, Body::empty()).into_response();
            with_content_range(response, &format!("bytes */{length}"))
        }
    }
}

fn text(status: StatusCode, body: impl Into<Body>) -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::ACCEPT_RANGES, "bytes")];
    (status, headers, body.into())
}

fn with_length(mut response: Response, length: u64) -> Response {
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn with_content_range(mut response: Response, range: &str) -> Response {
    response
        .headers_mut()
        .extend(HeaderValue::from_str(range).ok().map(|range| (header::CONTENT_RANGE, range)));
    response
}

/// So many bytes from there on. A file that shrinks meanwhile ends the connection: its length has been promised.
fn part(output: Output, first: u64, count: u64) -> Body {
    let state = Some((output, first, count));
    Body::from_stream(stream::unfold(state, |state| async move {
        let (output, offset, left) = state.filter(|(_, _, left)| *left > 0)?;
        let most = usize::try_from(left).unwrap_or(STEP).min(STEP);
        let read = tokio::task::spawn_blocking(move || (output.read_at(offset, most), output)).await;
        match read {
            Ok((Ok(bytes), output)) if !bytes.is_empty() => {
                let next = Some((output, offset + bytes.len() as u64, left - bytes.len() as u64));
                Some((Ok(Bytes::from(bytes)), next))
            }
            Ok((Ok(_), _)) => Some((Err(std::io::Error::from(ErrorKind::UnexpectedEof)), None)),
            Ok((Err(error), _)) => Some((Err(error), None)),
            Err(_) => Some((Err(std::io::Error::other("the reading thread is gone")), None)),
        }
    }))
}

/// All that is there, at once, and what comes, at the pace of who looks on, until the build is over; then the rest.
fn followed(home: Home, id: EntryId, output: Output) -> Body {
    let was_there = output.len().unwrap_or_default();
    let state = Some(Follower::new(output, 0));
    Body::from_stream(stream::unfold((state, home, id), move |(follower, mut home, mut id)| async move {
        let mut follower = follower?;
        loop {
            let looked = tokio::task::spawn_blocking(move || {
                // Asked before the look, so that nothing which came between the two is missed.
                let is_over = is_over(&home, &id);
                let next = follower.next(&home, &id);
                (is_over, next, follower, home, id)
            });
            let Ok((is_over, next, again, same_home, same_id)) = looked.await else { return None };
            (follower, home, id) = (again, same_home, same_id);
            let has_shrunk = matches!(next, Ok(Followed::Shrunk));
            let bytes = match next {
                Ok(Followed::Bytes(bytes)) => bytes,
                Ok(Followed::Shrunk) => {
                    b"\n[the output has passed its limit: something is left out here]\n".to_vec()
                }
                Ok(Followed::Again) => b"\n[the build is tried again, from the start]\n".to_vec(),
                Ok(Followed::Nothing) if is_over => return None,
                Ok(Followed::Nothing) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return Some((Err(error), (None, home, id))),
            };
            if !is_over && (has_shrunk || follower.offset() > was_there) {
                tokio::time::sleep(PACE).await;
            }
            return Some((Ok(Bytes::from(bytes)), (Some(follower), home, id)));
        }
    }))
}

/// Has it a result, or no entry any more?
fn is_over(home: &Home, id: &EntryId) -> bool {
    let record = Folder::open(&home.builds()).and_then(|builds| builds.folder(id.as_str()));
    record.map_or(true, |record| {
        record.stamp("result.json").is_some() || record.stamp("running.json").is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::Range::{self, *};

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        for (range, expected) in [
            ("bytes=0-", Part { first: 0, last: 99 }),
            ("bytes=10-19", Part { first: 10, last: 19 }),
            ("bytes=90-1000", Part { first: 90, last: 99 }),
            ("bytes=-10", Part { first: 90, last: 99 }),
            ("bytes=-1000", Part { first: 0, last: 99 }),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=100-", Unsatisfiable),
            ("bytes=100-200", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=20-10", Whole),
            ("bytes=0-1,3-4", Whole),
            ("lines=1-2", Whole),
            ("bytes=a-b", Whole),
            ("bytes=", Whole),
        ] {
            assert_eq!(Range::of(range, 100), expected, "{range}");
        }
        assert_eq!(Range::of("bytes=0-", 0), Unsatisfiable);
        assert_eq!(Range::of("bytes=-5", 0), Unsatisfiable);
    }
}
