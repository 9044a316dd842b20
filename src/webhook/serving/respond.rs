//! One request, from its head to its answer: what the router answers by itself, and the frame around all else.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{http::StatusCode, response::Response};
use futures_util::FutureExt;
use hyper::body::Incoming;
use tracing::{Level, enabled};

use super::{connection::Connection, hook_request::Visit};
use crate::webhook::{
    http::{Access, Answer, Intake, destination, dump, status_only},
    net::Answering,
    request_id::RequestId,
};

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
