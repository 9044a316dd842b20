//! One request, from its head to its answer: what the router answers by itself, and the frame around all else.

use std::{borrow::Cow, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, Uri, Version, header, request::Parts},
    response::Response,
};
use futures_util::FutureExt;
use hyper::body::Incoming;
use tracing::{Level, enabled};

use super::{
    access_log::Access,
    answer::Answer,
    body::Intake,
    client::Peer,
    connections::{Answering, Seat},
    dump,
    request_id::RequestId,
    route::{Route, route},
    service::Service,
    stop::Stop,
    stream::Socket,
    visit::Visit,
};

/// One connection's view of the service.
#[derive(Clone)]
pub struct Connection {
    pub service: Arc<Service>,
    pub peer: Peer,
    pub seat: Arc<Seat>,
    pub socket: Arc<Socket>,
    pub stop: Stop,
}

impl Connection {
    /// Answers `request`, whatever happens.
    pub async fn respond(self, request: axum::http::Request<Incoming>) -> Response {
        let response = AssertUnwindSafe(self.answer(request)).catch_unwind().await;
        response.unwrap_or_else(|_| status_only(StatusCode::INTERNAL_SERVER_ERROR))
    }

    async fn answer(self, request: axum::http::Request<Incoming>) -> Response {
        let (head, body) = request.into_parts();
        let mut intake = Intake::new(body);
        let hook = match destination(&head, &self.service.prefix) {
            Ok(hook) => hook,
            Err(answer) => {
                intake.leave(&head);
                return *answer;
            }
        };
        let visit = Visit {
            started: Instant::now(),
            id: RequestId::new(&head.headers, self.service.request_id_limit),
            peer: self.service.proxies.client(self.peer, &head.headers),
            connection: &self,
            answering: Arc::new(Answering(Arc::clone(&self.seat))),
            head: &head,
        };
        if self.service.debug {
            let received = visit.receive(intake).await;
            let bytes = received.as_ref().map_or(&[][..], |received| &received.bytes);
            dump::request(&visit.id, &head, bytes);
            intake = Intake::Done(received);
        }
        let mut answer = if let Some(id) = hook {
            visit.hook(&id, intake).await
        } else {
            intake.leave(&head);
            Answer::new(None, "OK").with(&self.service.headers)
        };
        if self.service.debug {
            dump::answer(&visit.id, &answer);
        }
        let then = answer.then.take();
        let access = enabled!(Level::INFO)
            .then(|| Access::new(visit.id.clone(), &head, answer.status.unwrap_or_default(), visit.started));
        let response = answer.into_response(&head.method, access);
        if let Some(job) = then {
            // Begun after the access line is written, so that the lines come in order.
            tokio::spawn(job.run());
        }
        response
    }
}

/// Where a request goes: to a hook by its id, to the page that says OK, or no further than to this answer.
fn destination<'h>(head: &'h Parts, prefix: &str) -> Result<Option<Cow<'h, [u8]>>, Box<Response>> {
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

/// The answer to a head that is well-formed, but that the peer's HTTP server does not take either.
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

fn status_only(status: StatusCode) -> Response {
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
