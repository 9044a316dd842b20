//! A request, from its head to its answer: what is answered without a hook, and the frame around what is.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    http::{HeaderValue, Request, StatusCode, header, request::Parts},
    response::Response,
};
use futures_util::FutureExt;
use hyper::body::Incoming;
use tracing::{Level, enabled};

use super::{connection::Connection, hook_request::HookRequest};
use crate::webhook::{
    http::{AccessLine, Answer, RequestBody, destination, dump_answer, dump_request, status_only},
    log_allowance,
    net::ActiveRequest,
    request_id::RequestId,
};

/// Answers `request`, whatever happens.
pub async fn respond(connection: &Connection, request: Request<Incoming>) -> Response {
    let (head, body) = request.into_parts();
    log_allowance::unknown();
    let request_head = connection.head.complete();
    let response = AssertUnwindSafe(answer(connection, &head, RequestBody::OnTheWire(body))).catch_unwind();
    let mut response = response.await.unwrap_or_else(|_| status_only(StatusCode::INTERNAL_SERVER_ERROR));
    if request_head.is_large() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn answer(connection: &Connection, head: &Parts, mut body: RequestBody) -> Response {
    let service = &connection.service;
    let hook_id = match destination(head, &service.prefix) {
        Ok(hook_id) => hook_id,
        Err(response) => {
            body.leave(head);
            return *response;
        }
    };
    let started = Instant::now();
    let id = RequestId::new(&head.headers, service.request_id_limit);
    let active = Arc::new(ActiveRequest(Arc::clone(&connection.slot)));
    let client = service.proxies.client_behind(connection.client, &head.headers);
    let memory = service.memory.share(service.proxies.share(client));
    let request = HookRequest { connection, head, id: &id, client, memory, active: &active };
    if service.debug {
        let received = request.receive(body).await;
        dump_request(&id, head, received.as_ref().map_or(&[], |received| &received.bytes));
        body = RequestBody::Received(received);
    }
    let (answer, job) = if let Some(hook_id) = hook_id {
        request.answer(&hook_id, body).await
    } else {
        body.leave(head);
        (Answer::new(None, "OK").with(&service.headers), None)
    };
    if service.debug {
        dump_answer(&id, &answer);
    }
    let status = answer.status.unwrap_or_default();
    let access = enabled!(Level::INFO).then(|| AccessLine::new(id.clone(), head, status, started));
    let response = answer.into_response(&head.method, access);
    if let Some(job) = job {
        // Begun after the access line is written, so that the lines come in order.
        tokio::spawn(job.run());
    }
    response
}
