//! What is answered before a request gets to a hook.

use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, Uri, Version, header, request::Parts},
    response::Response,
};

use super::route::{Route, route};

/// Where a request goes: to a hook by its id, to the page that says OK, or no further than to this answer.
pub fn destination(head: &Parts, prefix: &str) -> Result<Option<Vec<u8>>, Box<Response>> {
    if let Some(answer) = refused(head) {
        return Err(Box::new(answer));
    }
    let answer = match route(head.uri.path(), prefix) {
        _ if head.uri.path() == "*" && head.method == Method::OPTIONS => status_only(StatusCode::OK),
        Route::Root => return Ok(None),
        Route::Hook(id) => return Ok(Some(id)),
        Route::Moved(path) => moved(&path, &head.uri),
        Route::NotFound => page_not_found(),
        Route::Malformed => unfit(StatusCode::BAD_REQUEST, "400 Bad Request"),
    };
    Err(Box::new(answer))
}

/// The answer to a head that is well-formed, but that Go's server does not take either.
fn refused(head: &Parts) -> Option<Response> {
    let of = |name| head.headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let (mut hosts, mut encodings) = (of(header::HOST), of(header::TRANSFER_ENCODING));
    let (host, another) = (hosts.next(), hosts.next());
    let is_known = |encoding: &[u8]| encoding.eq_ignore_ascii_case(b"chunked");
    let go_on = |word: &[u8]| word.trim_ascii().eq_ignore_ascii_case(b"100-continue");
    let is_met = |expected: &[u8]| expected.is_empty() || expected.split(|byte| *byte == b',').any(go_on);
    let (status, text) = if !encodings.next().is_none_or(is_known) || encodings.next().is_some() {
        (StatusCode::NOT_IMPLEMENTED, "Unsupported transfer encoding")
    } else if host.is_none() && head.version == Version::HTTP_11 {
        (StatusCode::BAD_REQUEST, "400 Bad Request: missing required Host header")
    } else if another.is_some() {
        (StatusCode::BAD_REQUEST, "400 Bad Request: too many Host headers")
    } else if !host.is_none_or(|host| host.iter().copied().all(is_of_a_host)) {
        (StatusCode::BAD_REQUEST, "400 Bad Request: malformed Host header")
    } else if !of(header::EXPECT).next().is_none_or(is_met) {
        (StatusCode::EXPECTATION_FAILED, "")
    } else {
        return None;
    };
    Some(unfit(status, text))
}

/// What names, addresses and ports are written with. Anything else would end up in the access line.
fn is_of_a_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(&byte)
}

pub fn status_only(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// To the same place by its clean path.
fn moved(path: &str, uri: &Uri) -> Response {
    let mut location = String::new();
    if let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) {
        location = format!("{scheme}://{authority}");
    }
    location.push_str(path);
    if let Some(query) = uri.query() {
        location.push('?');
        location.push_str(query);
    }
    let mut response = status_only(StatusCode::MOVED_PERMANENTLY);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn page_not_found() -> Response {
    let mut response = Response::new(Body::from("404 page not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Nothing more is read from who sends such a request.
fn unfit(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if !text.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
