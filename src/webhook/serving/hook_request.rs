//! A request for a hook, step by step in the order of webhook 2.8: found, received, decided, run, answered.

use std::{sync::Arc, time::SystemTime};

use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use tokio::task::block_in_place;
use tracing::{info, warn};

use super::{connection::Connection, hook_run::run, hook_table::ServedHook};
use crate::webhook::{
    client::Client,
    command::{CommandQueue, Job, OutputTo, Slot},
    hooks::{Delivery, Hook, Inputs, Outcome, Request, decide},
    http::{Answer, BodyRefused, ReceivedBody, RequestBody, configured},
    log_allowance,
    memory::{MemoryShare, Reservation},
    net::ActiveRequest,
    request_id::RequestId,
};

const NOT_SATISFIED: &str = "Hook rules were not satisfied.";
const NOT_EVALUATED: &str = "Error occurred while evaluating hook rules.";

/// Seconds after which whoever was sent away may come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("10");

/// Nothing more is read from a connection after a body that did not come to its end.
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// A body past this size is dealt with where it holds up no other request.
const LARGE: usize = 256 * 1024;

/// A request that is logged and answered.
pub struct HookRequest<'a> {
    pub connection: &'a Connection,
    pub head: &'a Parts,
    pub id: &'a RequestId,
    pub client: Client,
    pub memory: MemoryShare,
    pub active: &'a Arc<ActiveRequest>,
}

impl HookRequest<'_> {
    /// The answer of the hook `hook_id`, and what is to be run once it is given.
    pub async fn answer(&self, hook_id: &[u8], body: RequestBody) -> (Answer, Option<Job>) {
        let (served, received) = match self.accept(hook_id, body).await {
            Ok(accepted) => accepted,
            Err(answer) => return (*answer, None),
        };
        let cut_off = received.cut_off.is_some();
        let (answer, job) = match self.job(&served, received) {
            Ok(job) => run(job, self.connection, self.active, &self.head.method).await,
            Err(answer) => (*answer, None),
        };
        let mut answer = answer.with_defaults(&self.connection.service.headers);
        if cut_off {
            answer.headers.insert(header::CONNECTION, CLOSE);
        }
        (answer, job)
    }

    /// The hook and the body; or the answer, if there is no such hook or the request may not go on.
    async fn accept(
        &self,
        hook_id: &[u8],
        body: RequestBody,
    ) -> Result<(ServedHook, ReceivedBody), Box<Answer>> {
        let (id, service, method) = (self.id, &self.connection.service, &self.head.method);
        info!(request = %id, "incoming HTTP {method} request from {}", self.client);
        let Some(served) = service.hooks.find(hook_id) else {
            body.leave(self.head);
            return Err(Answer::new(StatusCode::NOT_FOUND, "Hook not found.").into());
        };
        let hook = &served.hook;
        if !allows(hook, &service.methods, method.as_str()) {
            info!(request = %id, "HTTP {method} method not allowed for hook \"{}\"", hook.id);
            body.leave(self.head);
            return Err(Answer::new(StatusCode::METHOD_NOT_ALLOWED, "").into());
        }
        info!(request = %id, "{} got matched", hook.id);
        let received = self.receive(body).await.map_err(|refused| self.refused(refused))?;
        if let Some(why) = &received.cut_off {
            warn!(request = %id, "error reading the request body: {why}");
        }
        Ok((served, received))
    }

    fn refused(&self, why: BodyRefused) -> Answer {
        warn!(request = %self.id, "{why}");
        let service = &self.connection.service;
        let mut answer = Answer::new(why.status(), format!("{why}\n")).with(&service.headers);
        answer.headers.insert(header::CONNECTION, CLOSE);
        if why == BodyRefused::NoRoom {
            answer.headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        answer
    }

    /// The body; from then on the connection is no longer idle.
    pub async fn receive(&self, body: RequestBody) -> Result<ReceivedBody, BodyRefused> {
        let received = body.receive(self.head, &self.connection.service.body_limits, &self.memory).await;
        self.connection.slot.request_received();
        received
    }

    /// The command with all that it is given; or the answer, if the hook does not fire or too much runs already.
    fn job(&self, served: &ServedHook, received: ReceivedBody) -> Result<Job, Box<Answer>> {
        let ReceivedBody { bytes, reservation: mut room, .. } = received;
        let inputs = if bytes.len() > LARGE {
            block_in_place(|| self.decide(&served.hook, bytes))
        } else {
            self.decide(&served.hook, bytes)
        }?;
        if let Some(more) = inputs.bytes().checked_sub(room.bytes()) {
            room.add(self.reserve(more)?);
        }
        Ok(Job {
            hook: Arc::clone(&served.hook),
            id: self.id.clone(),
            inputs,
            room,
            slots: self.slots(served)?,
            output: OutputTo::Nobody,
            memory: self.memory.clone(),
            shutdown: self.connection.shutdown.clone(),
        })
    }

    /// What the command is given; or the answer, if the hook does not fire.
    fn decide(&self, hook: &Hook, body: Vec<u8>) -> Result<Inputs, Box<Answer>> {
        let delivery = Delivery::new(hook, self.request(body));
        // More than once the same body: what it is parsed into, and what is taken out of that.
        let _parsed = self.reserve(delivery.cost_of_parsing())?;
        let decision = decide(&delivery, SystemTime::now());
        for line in &decision.lines {
            self.id.log(line);
        }
        if let Some(label) = delivery.label() {
            let outcome = match decision.outcome {
                Outcome::Fires => "is taken",
                Outcome::Mismatch { unsigned: false } => "is nothing that it is for",
                Outcome::Mismatch { unsigned: true } | Outcome::RuleError { unsigned: true } => {
                    "is refused: no signature is right"
                }
                Outcome::RuleError { .. } | Outcome::Disabled | Outcome::BadMultipart => "cannot be judged",
            };
            info!(request = %self.id, "{}: {label} {outcome}", hook.id);
        }
        let (status, text) = match decision.outcome {
            Outcome::Fires => {
                log_allowance::known();
                info!(request = %self.id, "{} hook triggered successfully", hook.id);
                return Ok(Inputs::of(delivery));
            }
            Outcome::Mismatch { unsigned } => {
                let code = hook.signature_mismatch_code;
                let code = if unsigned && code != 0 { code } else { hook.mismatch_code };
                let status = configured(hook, code, self.id);
                info!(
                    request = %self.id,
                    "{} got matched, but didn't get triggered because the trigger rules were not satisfied",
                    hook.id
                );
                (status, NOT_SATISFIED)
            }
            Outcome::RuleError { unsigned: true } if hook.signature_mismatch_code != 0 => {
                (configured(hook, hook.signature_mismatch_code, self.id), NOT_SATISFIED)
            }
            Outcome::RuleError { .. } | Outcome::Disabled => {
                (Some(StatusCode::INTERNAL_SERVER_ERROR), NOT_EVALUATED)
            }
            Outcome::BadMultipart => {
                (Some(StatusCode::INTERNAL_SERVER_ERROR), "Error occurred while parsing multipart form.")
            }
        };
        Err(Answer::new(status, text).into())
    }

    fn reserve(&self, bytes: usize) -> Result<Reservation, Box<Answer>> {
        self.memory.reserve(bytes).ok_or_else(|| self.refused(BodyRefused::NoRoom).into())
    }

    fn request(&self, body: Vec<u8>) -> Request<'_> {
        // All but those that Go's server keeps to itself.
        let kept = self.head.headers.iter().filter(|(name, _)| {
            **name != header::HOST && **name != header::TRANSFER_ENCODING && **name != header::TRAILER
        });
        Request {
            method: self.head.method.as_str(),
            remote_addr: self.client.to_string(),
            headers: kept.map(|(name, value)| (name.as_str(), value.as_bytes())).collect(),
            raw_query: self.head.uri.query().unwrap_or_default(),
            body,
        }
    }

    /// Slots in the queues of the hook and of the daemon; or the answer, if one is full.
    fn slots(&self, served: &ServedHook) -> Result<Vec<Slot>, Box<Answer>> {
        let own = served.queue.iter().map(|queue| (queue, served.hook.busy_code));
        let shared = self.connection.service.queue.iter().map(|queue| (queue, 503));
        let enter = |(queue, code): (&CommandQueue, _)| {
            queue.enter().ok_or_else(|| Box::new(self.busy(&served.hook, code)))
        };
        own.chain(shared).map(enter).collect()
    }

    fn busy(&self, hook: &Hook, code: i64) -> Answer {
        warn!(request = %self.id, "{} is not run: too many commands run and wait already", hook.id);
        let status = configured(hook, code, self.id).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let mut answer = Answer::new(status, "Too many requests are waiting, try again later.\n");
        answer.headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        answer
    }
}

/// May `hook` be called by `method`? Its own list counts, else the command line's.
fn allows(hook: &Hook, otherwise: &[String], method: &str) -> bool {
    let listed = if hook.methods.is_empty() { otherwise } else { &hook.methods };
    listed.is_empty() || listed.iter().any(|listed| listed.trim().to_uppercase() == method)
}
