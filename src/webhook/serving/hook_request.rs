//! A hook's URL is asked for: what is answered when, step by step in the peer's order.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use axum::{
    body::Bytes,
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
};
use tokio::{sync::mpsc, task::block_in_place};
use tracing::{info, warn};

use super::{connection::Connection, hook_table::Served};
use crate::webhook::{
    client::Peer,
    command::{Job, Line, Place, Reader, say},
    go::textproto::canonical,
    hooks::{Hook, Outcome, Request},
    http::{Answer, Contents, Intake, Output, Received, Refused, UnknownStatus, configured, headers},
    memory::LARGE,
    net::Answering,
    request_id::RequestId,
};

const NOT_SATISFIED: &str = "Hook rules were not satisfied.";
const NOT_EVALUATED: &str = "Error occurred while evaluating hook rules.";
const NOT_EXECUTED: &str =
    "Error occurred while executing the hook's command. Please check your logs for more details.";

/// Seconds after which whoever was sent away may come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("10");

/// Nothing more is read from a connection after a body that did not come to its end.
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Pieces of output on their way to a client.
const PIECES: usize = 16;

/// A request that is logged and answered.
pub struct Visit<'a> {
    pub connection: &'a Connection,
    pub answering: Arc<Answering>,
    pub head: &'a Parts,
    pub id: RequestId,
    pub peer: Peer,
    pub started: Instant,
}

impl Visit<'_> {
    /// The answer of the hook `hook_id`; the order of the steps is the peer's.
    pub async fn hook(&self, hook_id: &[u8], intake: Intake) -> Answer {
        let (id, service, method) = (&self.id, &self.connection.service, &self.head.method);
        info!(request = %id, "incoming HTTP {method} request from {}", self.peer);
        let Some(served) = service.hooks.find(hook_id) else {
            intake.leave(self.head);
            return Answer::new(StatusCode::NOT_FOUND, "Hook not found.");
        };
        let hook = &served.hook;
        if !allows(hook, &service.methods, method.as_str()) {
            info!(request = %id, "HTTP {method} method not allowed for hook \"{}\"", hook.id);
            intake.leave(self.head);
            return Answer::new(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        info!(request = %id, "{} got matched", hook.id);
        let received = match self.receive(intake).await {
            Ok(received) => received,
            Err(refused) => {
                warn!(request = %id, "{refused}");
                let mut answer = Answer::new(refused.status(), format!("{refused}\n")).with(&service.headers);
                answer.headers.insert(header::CONNECTION, CLOSE);
                if refused == Refused::NoRoom {
                    answer.headers.insert(header::RETRY_AFTER, RETRY_AFTER);
                }
                return answer;
            }
        };
        if let Some(why) = &received.cut_off {
            warn!(request = %id, "error reading the request body: {why}");
        }
        let Received { bytes, held, cut_off } = received;
        let large = bytes.len() > LARGE;
        let request = Request::new(
            hook,
            method.to_string(),
            self.peer.to_string(),
            self.headers(),
            self.head.uri.query().unwrap_or_default().to_owned(),
            bytes,
        );
        let decide = || hook.decide(&request, SystemTime::now());
        let decision = if large { block_in_place(decide) } else { decide() };
        for line in &decision.lines {
            say(id, line);
        }
        let answer = match decision.outcome {
            Outcome::Fires => {
                info!(request = %id, "{} hook triggered successfully", hook.id);
                let stop = self.connection.stop.clone();
                let memory = Arc::clone(&service.memory);
                let job = |places, reader| Job {
                    served: Arc::clone(&served),
                    id: id.clone(),
                    request,
                    held,
                    places,
                    reader,
                    memory,
                    stop,
                };
                self.fire(&served, job).await
            }
            Outcome::Mismatch { unsigned } => {
                let code = if unsigned && hook.signature_mismatch_code != 0 {
                    hook.signature_mismatch_code
                } else {
                    hook.mismatch_code
                };
                let status = self.status(hook, code);
                info!(
                    request = %id,
                    "{} got matched, but didn't get triggered because the trigger rules were not satisfied",
                    hook.id
                );
                Answer::new(status, NOT_SATISFIED)
            }
            Outcome::RuleError { unsigned: true } if hook.signature_mismatch_code != 0 => {
                Answer::new(self.status(hook, hook.signature_mismatch_code), NOT_SATISFIED)
            }
            Outcome::RuleError { .. } | Outcome::Disabled => {
                Answer::new(StatusCode::INTERNAL_SERVER_ERROR, NOT_EVALUATED)
            }
            Outcome::BadMultipart => {
                Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "Error occurred while parsing multipart form.")
            }
        };
        // What the hook says of its own headers goes before what the command line says.
        let own = answer.headers.clone();
        let mut answer = answer.with(&service.headers).with(&own);
        if cut_off.is_some() {
            answer.headers.insert(header::CONNECTION, CLOSE);
        }
        answer
    }

    /// Runs the hook's command, at once, soon or in the background, unless too much runs already.
    async fn fire(&self, served: &Arc<Served>, job: impl FnOnce(Vec<Place>, Reader) -> Job) -> Answer {
        let (id, service, hook) = (&self.id, &self.connection.service, &served.hook);
        let mut places = Vec::new();
        for (line, busy_code) in [
            (served.line.as_deref(), hook.busy_code),
            (service.line.as_ref(), i64::from(StatusCode::SERVICE_UNAVAILABLE.as_u16())),
        ] {
            match line.map(Line::enter) {
                None => {}
                Some(Some(place)) => places.push(place),
                Some(None) => {
                    warn!(request = %id, "{} is not run: too many commands run and wait already", hook.id);
                    let status = configured(busy_code).ok().flatten();
                    let status = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                    let mut answer = Answer::new(status, "Too many requests are waiting, try again later.\n");
                    answer.headers.insert(header::RETRY_AFTER, RETRY_AFTER);
                    return answer;
                }
            }
        }
        // Of an answer without a body there is nothing to stream, and the command runs as for any other request.
        let mut answer = if hook.stream_output && self.head.method != Method::HEAD {
            self.stream(hook, |sender| job(places, Reader::Client(sender))).await
        } else if hook.output_in_response || hook.stream_output {
            // A task of its own: the command goes on when the client goes away.
            let finished = tokio::spawn(job(places, Reader::Answer).run()).await;
            let finished = finished.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            if !finished.failed {
                Answer::new(self.status(hook, hook.success_code), finished.output)
            } else if hook.output_in_response_on_error {
                Answer::new(StatusCode::INTERNAL_SERVER_ERROR, finished.output)
            } else {
                self.not_executed()
            }
        } else {
            let mut answer =
                Answer::new(self.status(hook, hook.success_code), hook.response_message.as_str());
            answer.then = Some(job(places, Reader::Nobody));
            answer
        };
        for (name, value) in &headers(&hook.response_headers) {
            answer.headers.insert(name, value.clone());
        }
        answer
    }

    /// Waits for the first piece of output, so that a command that fails at once still answers 500.
    async fn stream(&self, hook: &Hook, job: impl FnOnce(mpsc::Sender<Bytes>) -> Job) -> Answer {
        let (sender, mut rest) = mpsc::channel(PIECES);
        let mut command = tokio::spawn(job(sender).run());
        let first = tokio::select! {
            first = rest.recv() => first,
            () = self.connection.socket.closed() => {
                // Nobody is left to answer; the command notices when the receiver goes.
                return Answer::default();
            }
        };
        let Some(first) = first else {
            return match (&mut command).await {
                Ok(finished) if !finished.failed => Answer::new(self.status(hook, hook.success_code), ""),
                _ => self.not_executed(),
            };
        };
        let mut answer = Answer::new(self.status(hook, hook.success_code), "");
        let socket = Arc::clone(&self.connection.socket);
        answer.body = Contents::Output(Output {
            first: Some(first),
            rest,
            command,
            client_gone: Box::pin({
                let socket = Arc::clone(&socket);
                async move { socket.closed().await }
            }),
            socket,
            _answering: Arc::clone(&self.answering),
        });
        answer
    }

    fn not_executed(&self) -> Answer {
        let mut answer = Answer::new(StatusCode::INTERNAL_SERVER_ERROR, NOT_EXECUTED);
        if !self.connection.service.headers.contains_key(header::CONTENT_TYPE) {
            answer
                .headers
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        }
        answer
    }

    /// The status that a hooks file asks for.
    fn status(&self, hook: &Hook, code: i64) -> Option<StatusCode> {
        configured(code).unwrap_or_else(|UnknownStatus| {
            info!(
                request = %self.id,
                "{} got matched, but the configured return code {code} is unknown - defaulting to 200", hook.id
            );
            None
        })
    }

    /// The body; from then on the connection owes us nothing.
    pub async fn receive(&self, intake: Intake) -> Result<Received, Refused> {
        let service = &self.connection.service;
        let received = intake.receive(self.head, service.body_size, service.body_time, &service.memory).await;
        self.connection.seat.request_is_there();
        received
    }

    /// All headers but those that the peer keeps to itself.
    fn headers(&self) -> Vec<(String, Vec<u8>)> {
        let kept = self.head.headers.iter().filter(|(name, _)| {
            **name != header::HOST && **name != header::TRANSFER_ENCODING && **name != header::TRAILER
        });
        kept.map(|(name, value)| (canonical(name.as_str()), value.as_bytes().to_vec())).collect()
    }
}

/// May `hook` be called by `method`? Its own list counts, else the command line's.
fn allows(hook: &Hook, otherwise: &[String], method: &str) -> bool {
    let listed = if hook.methods.is_empty() { otherwise } else { &hook.methods };
    listed.is_empty() || listed.iter().any(|listed| listed.trim().to_uppercase() == method)
}
