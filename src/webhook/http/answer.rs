//! An answer, and what becomes of it on the wire.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use hyper::body::Frame;

use super::{access_log::AccessLine, streamed::StreamedOutput};
use crate::webhook::go::net_http;

/// Bodies up to this size are sent with their length, longer ones in chunks, as by webhook 2.8.
const LENGTH_TOLD: usize = 2048;

/// What a request is answered.
#[derive(Default)]
pub struct Answer {
    /// None where nobody asked for a particular one: 200.
    pub status: Option<StatusCode>,
    pub headers: HeaderMap,
    pub body: AnswerBody,
}

pub enum AnswerBody {
    Whole(Bytes),
    Streamed(Box<StreamedOutput>),
}

impl Default for AnswerBody {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl AnswerBody {
    /// As far as it is known already.
    pub fn known(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Streamed(_) => &[],
        }
    }
}

impl Answer {
    pub fn new(status: impl Into<Option<StatusCode>>, body: impl Into<Vec<u8>>) -> Self {
        Self::with_body(status, body.into().into())
    }

    /// With a body that may hold room until it is sent.
    pub fn with_body(status: impl Into<Option<StatusCode>>, body: Bytes) -> Self {
        Self { status: status.into(), body: AnswerBody::Whole(body), headers: HeaderMap::new() }
    }

    /// With these headers, in place of any of the same name.
    pub fn with(mut self, headers: &HeaderMap) -> Self {
        for (name, value) in headers {
            self.headers.insert(name, value.clone());
        }
        self
    }

    /// With these headers, unless there are others of the same name.
    pub fn with_defaults(mut self, headers: &HeaderMap) -> Self {
        for (name, value) in headers {
            self.headers.entry(name).or_insert_with(|| value.clone());
        }
        self
    }

    /// Ready for the wire. `access` is written when the last byte is known.
    pub fn into_response(self, method: &Method, access: Option<AccessLine>) -> Response {
        let status = self.status.unwrap_or_default();
        let mut headers = self.headers;
        let (start, body) = match self.body {
            _ if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => {
                (Bytes::new(), Body::empty())
            }
            AnswerBody::Whole(bytes) => {
                if let Some(mut access) = access {
                    access.bytes += bytes.len() as u64;
                }
                (bytes.clone(), whole(bytes, method))
            }
            AnswerBody::Streamed(mut output) => {
                output.access = access;
                (output.first.clone().unwrap_or_default(), Body::new(output))
            }
        };
        if status == StatusCode::NOT_MODIFIED {
            headers.remove(header::CONTENT_TYPE);
        } else if !start.is_empty()
            && !headers.contains_key(header::CONTENT_TYPE)
            && !headers.contains_key(header::CONTENT_ENCODING)
        {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(net_http::content_type(&start)));
        }
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

fn whole(bytes: Bytes, method: &Method) -> Body {
    if bytes.len() <= LENGTH_TOLD {
        Body::from(bytes)
    } else if method == Method::HEAD {
        Body::empty()
    } else {
        Body::new(Chunked(Some(bytes)))
    }
}

/// Headers from a configuration: names that are none are left out, line ends in values become spaces, and
/// what frames a message is the server's business.
pub fn headers<'a>(configured: impl IntoIterator<Item = &'a (String, String)>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in configured {
        let value = value.replace(|c: char| c.is_ascii_control() && c != '\t', " ");
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value.trim()))
            && name != header::CONTENT_LENGTH
            && name != header::TRANSFER_ENCODING
        {
            headers.insert(name, value);
        }
    }
    headers
}

/// A body whose length is not told.
struct Chunked(Option<Bytes>);

impl HttpBody for Chunked {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_headers_are_made_fit_for_the_wire() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let configured = [
            pair("x-a", "1"),
            pair("X-A", "2"),
            pair("bad name", "x"),
            pair("", "x"),
            pair("x-b", "a\r\nb "),
            pair("Content-Length", "7"),
        ];
        let headers = headers(&configured);
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["x-a"], "2");
        assert_eq!(headers["x-b"], "a  b");
    }
}
