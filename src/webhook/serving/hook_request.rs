//! A request for a hook, step by step in the order of webhook 2.8: found, received, decided, run, answered.

use std::{panic::resume_unwind, sync::Arc, time::SystemTime};

use axum::http::{HeaderValue, Method, StatusCode, header, request::Parts};
use tokio::{sync::mpsc, task::block_in_place};
use tracing::{info, warn};

use super::{connection::Connection, hook_table::Served};
use crate::webhook::{
    client::Client,
    command::{CommandQueue, CommandResult, Job, OutputTo, Slot},
    go::textproto::canonical,
    hooks::{Delivery, Hook, Inputs, Outcome, Request, decide},
    http::{
        Answer, AnswerBody, BodyRefused, ReceivedBody, RequestBody, StreamedOutput, UnknownStatus,
        configured, headers,
    },
    net::ActiveRequest,
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

/// A body past this size is dealt with where it holds up no other request.
const LARGE: usize = 256 * 1024;

/// Pieces of output on their way to a client.
const PIECES: usize = 16;

/// A request that is logged and answered.
pub struct HookRequest<'a> {
    pub connection: &'a Connection,
    pub head: &'a Parts,
    pub id: &'a RequestId,
    pub client: Client,
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
            Ok(job) => self.run(&served.hook, job).await,
            Err(answer) => (*answer, None),
        };
        let mut answer = answer.with_defaults(&self.connection.service.headers);
        if cut_off {
            answer.headers.insert(header::CONNECTION, CLOSE);
        }
        (answer, job)
    }

    /// The hook and the body; or the answer, if there is no such hook or the request may not go on.
    async fn accept(&self, hook_id: &[u8], body: RequestBody) -> Result<(Served, ReceivedBody), Box<Answer>> {
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
        let received = self.receive(body).await.map_err(|refused| {
            warn!(request = %id, "{refused}");
            let mut answer = Answer::new(refused.status(), format!("{refused}\n")).with(&service.headers);
            answer.headers.insert(header::CONNECTION, CLOSE);
            if refused == BodyRefused::NoRoom {
                answer.headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            answer
        })?;
        if let Some(why) = &received.cut_off {
            warn!(request = %id, "error reading the request body: {why}");
        }
        Ok((served, received))
    }

    /// The body; from then on the connection is no longer idle.
    pub async fn receive(&self, body: RequestBody) -> Result<ReceivedBody, BodyRefused> {
        let received = body.receive(self.head, &self.connection.service.body_limits).await;
        self.connection.slot.request_received();
        received
    }

    /// The command with all that it is given; or the answer, if the hook does not fire or too much runs already.
    fn job(&self, served: &Served, received: ReceivedBody) -> Result<Job, Box<Answer>> {
        let ReceivedBody { bytes, reservation, .. } = received;
        let inputs = if bytes.len() > LARGE {
            block_in_place(|| self.decide(&served.hook, bytes))
        } else {
            self.decide(&served.hook, bytes)
        }?;
        Ok(Job {
            hook: Arc::clone(&served.hook),
            id: self.id.clone(),
            inputs,
            body: reservation,
            slots: self.slots(served)?,
            output: OutputTo::Nobody,
            memory: self.connection.service.memory.clone(),
            shutdown: self.connection.shutdown.clone(),
        })
    }

    /// What the command is given; or the answer, if the hook does not fire.
    fn decide(&self, hook: &Hook, body: Vec<u8>) -> Result<Inputs, Box<Answer>> {
        let delivery = Delivery::new(hook, self.request(body));
        let decision = decide(&delivery, SystemTime::now());
        for line in &decision.lines {
            self.id.log(line);
        }
        let (status, text) = match decision.outcome {
            Outcome::Fires => {
                info!(request = %self.id, "{} hook triggered successfully", hook.id);
                return Ok(Inputs::of(delivery));
            }
            Outcome::Mismatch { unsigned } => {
                let code = hook.signature_mismatch_code;
                let code = if unsigned && code != 0 { code } else { hook.mismatch_code };
                let status = self.status(hook, code);
                info!(
                    request = %self.id,
                    "{} got matched, but didn't get triggered because the trigger rules were not satisfied",
                    hook.id
                );
                (status, NOT_SATISFIED)
            }
            Outcome::RuleError { unsigned: true } if hook.signature_mismatch_code != 0 => {
                (self.status(hook, hook.signature_mismatch_code), NOT_SATISFIED)
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

    fn request(&self, body: Vec<u8>) -> Request {
        // All but those that Go's server keeps to itself.
        let kept = self.head.headers.iter().filter(|(name, _)| {
            **name != header::HOST && **name != header::TRANSFER_ENCODING && **name != header::TRAILER
        });
        Request {
            method: self.head.method.to_string(),
            remote_addr: self.client.to_string(),
            headers: kept
                .map(|(name, value)| (canonical(name.as_str()), value.as_bytes().to_vec()))
                .collect(),
            raw_query: self.head.uri.query().unwrap_or_default().to_owned(),
            body,
        }
    }

    /// Slots in the queues of the hook and of the daemon; or the answer, if one is full.
    fn slots(&self, served: &Served) -> Result<Vec<Slot>, Box<Answer>> {
        let own = served.queue.iter().map(|queue| (queue, served.hook.busy_code));
        let shared = self.connection.service.queue.iter().map(|queue| (queue, 503));
        let enter = |(queue, code): (&CommandQueue, _)| {
            queue.enter().ok_or_else(|| Box::new(self.busy(&served.hook, code)))
        };
        own.chain(shared).map(enter).collect()
    }

    fn busy(&self, hook: &Hook, code: i64) -> Answer {
        warn!(request = %self.id, "{} is not run: too many commands run and wait already", hook.id);
        let status = configured(code).ok().flatten().unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let mut answer = Answer::new(status, "Too many requests are waiting, try again later.\n");
        answer.headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        answer
    }

    /// Runs the command before the answer, with it, or leaves it for after it.
    async fn run(&self, hook: &Hook, job: Job) -> (Answer, Option<Job>) {
        let (mut answer, job) = if hook.stream_output && self.head.method != Method::HEAD {
            (self.stream(hook, job).await, None)
        } else if hook.output_in_response || hook.stream_output {
            // Of an answer without a body there is nothing to stream, and the command runs as for any other request.
            (self.wait(hook, job).await, None)
        } else {
            let status = self.status(hook, hook.success_code);
            (Answer::new(status, hook.response_message.as_str()), Some(job))
        };
        answer = answer.with(&headers(&hook.response_headers));
        (answer, job)
    }

    /// Answers with the whole output.
    async fn wait(&self, hook: &Hook, mut job: Job) -> Answer {
        job.output = OutputTo::Answer;
        // A task of its own: the command goes on when the client goes away.
        let result = tokio::spawn(job.run()).await;
        let CommandResult { output, failed } =
            result.unwrap_or_else(|panic| resume_unwind(panic.into_panic()));
        if !failed {
            Answer::new(self.status(hook, hook.success_code), output.bytes)
        } else if hook.output_in_response_on_error {
            Answer::new(StatusCode::INTERNAL_SERVER_ERROR, output.bytes)
        } else {
            self.not_executed()
        }
    }

    /// Answers with the output as it comes, from its first piece on, so that a command that fails at once still
    /// answers 500.
    async fn stream(&self, hook: &Hook, mut job: Job) -> Answer {
        let (sender, mut rest) = mpsc::channel(PIECES);
        job.output = OutputTo::Client(sender);
        let mut command = tokio::spawn(job.run());
        let socket = &self.connection.socket;
        let first = tokio::select! {
            first = rest.recv() => first,
            () = socket.closed() => {
                // Nobody is left to answer; the command notices when the receiver goes.
                return Answer::default();
            }
        };
        let Some(first) = first else {
            return match (&mut command).await {
                Ok(CommandResult { failed: false, .. }) => {
                    Answer::new(self.status(hook, hook.success_code), "")
                }
                _ => self.not_executed(),
            };
        };
        let mut answer = Answer::new(self.status(hook, hook.success_code), "");
        let output = StreamedOutput::new(first, rest, command, Arc::clone(socket), Arc::clone(self.active));
        answer.body = AnswerBody::Streamed(Box::new(output));
        answer
    }

    fn not_executed(&self) -> Answer {
        let mut answer = Answer::new(StatusCode::INTERNAL_SERVER_ERROR, NOT_EXECUTED);
        if !self.connection.service.headers.contains_key(header::CONTENT_TYPE) {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            answer.headers.insert(header::CONTENT_TYPE, text);
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
}

/// May `hook` be called by `method`? Its own list counts, else the command line's.
fn allows(hook: &Hook, otherwise: &[String], method: &str) -> bool {
    let listed = if hook.methods.is_empty() { otherwise } else { &hook.methods };
    listed.is_empty() || listed.iter().any(|listed| listed.trim().to_uppercase() == method)
}
