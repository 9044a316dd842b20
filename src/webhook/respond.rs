//! One request, from its head to its answer: the table of what is answered when.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, Version, header, request::Parts},
    response::Response,
};
use futures_util::FutureExt;
use hyper::body::{Body as _, Incoming};
use tokio::{sync::mpsc, task::block_in_place};
use tracing::{Level, enabled, info, warn};

use super::{
    access_log::Access,
    answer::{Answer, Contents, Output, headers},
    body::{self, Received, Refused},
    client::{Peer, TrustedProxies},
    command::{Job, Reader, say},
    connections::Seat,
    dump,
    hooks::{
        header_name::canonical,
        hook::{Hook, Outcome},
        request::Request,
    },
    limits::{Line, Memory},
    options::Options,
    reload::{Hooks, Served},
    request_id::RequestId,
    route::{Route, route},
    status,
    stop::Stop,
    stream::Socket,
};

const NOT_SATISFIED: &str = "Hook rules were not satisfied.";
const NOT_EVALUATED: &str = "Error occurred while evaluating hook rules.";
const NOT_EXECUTED: &str =
    "Error occurred while executing the hook's command. Please check your logs for more details.";

/// Seconds after which whoever was sent away may come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("10");

/// A body past this size is judged where it holds up no other request.
const LARGE: usize = 256 * 1024;

/// Pieces of output on their way to a client.
const PIECES: usize = 16;

/// What one more byte than allowed may cost us, so that a client that sends before it reads gets its answer.
const LINGER: Duration = Duration::from_secs(5);

/// What all requests share.
pub(super) struct Service {
    pub(super) hooks: Hooks,
    /// What the path of a hook begins with: `/hooks/`.
    prefix: String,
    /// Of hooks that list none; none here either means any.
    methods: Vec<String>,
    headers: HeaderMap,
    /// Whether a client may name its request's id, and how long (0: as it likes).
    request_id_limit: Option<usize>,
    proxies: TrustedProxies,
    body_size: usize,
    body_time: Duration,
    memory: Arc<Memory>,
    line: Option<Line>,
    debug: bool,
}

/// Bytes of bodies and outputs that are held at a time.
const MEMORY: usize = 256 << 20;

impl Service {
    pub(super) fn new(options: &Options, hooks: Hooks) -> Self {
        let prefix = match options.urlprefix.as_str() {
            "" => "/".to_owned(),
            prefix => format!("/{prefix}/"),
        };
        let methods = match options.http_methods.as_str() {
            "" => Vec::new(),
            list => list.split(',').map(|method| method.replace(' ', "").to_uppercase()).collect(),
        };
        Self {
            hooks,
            prefix,
            methods,
            headers: headers(&options.header),
            request_id_limit: options
                .x_request_id
                .then(|| usize::try_from(options.x_request_id_limit).unwrap_or(0)),
            proxies: options.trusted_proxies.clone(),
            body_size: options.max_body_size,
            body_time: options.body_timeout,
            memory: Arc::new(Memory::new(MEMORY.max(options.max_body_size.saturating_mul(4)))),
            line: (options.max_concurrency > 0)
                .then(|| Line::new(options.max_concurrency, options.max_waiting)),
            debug: options.debug,
        }
    }
}

/// One connection's view of the service.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) service: Arc<Service>,
    pub(super) peer: Peer,
    pub(super) seat: Arc<Seat>,
    pub(super) socket: Arc<Socket>,
    pub(super) stop: Stop,
}

/// A request's body, until somebody wants it.
enum Intake {
    OnTheWire(Incoming),
    Done(Result<Received, Refused>),
}

impl Connection {
    /// Answers `request`, whatever happens.
    pub(super) async fn respond(self, request: axum::http::Request<Incoming>) -> Response {
        let seat = Arc::clone(&self.seat);
        let response = AssertUnwindSafe(self.answer(request)).catch_unwind().await;
        seat.request_is_answered();
        response.unwrap_or_else(|_| status_only(StatusCode::INTERNAL_SERVER_ERROR))
    }

    async fn answer(self, request: axum::http::Request<Incoming>) -> Response {
        let (head, body) = request.into_parts();
        if let Some(malformed) = refuse_malformed(&head) {
            return malformed;
        }
        let path = head.uri.path();
        if path == "*" {
            return status_only(StatusCode::OK);
        }
        let id = match route(path, &self.service.prefix) {
            Route::Root => None,
            Route::Hook(id) => Some(id),
            Route::Moved(path) => return moved(&path, &head.uri),
            Route::NotFound => return page_not_found(),
            Route::Malformed => return bad_request("400 Bad Request"),
        };
        let visit = Visit {
            started: Instant::now(),
            id: RequestId::new(&head.headers, self.service.request_id_limit),
            peer: self.service.proxies.client(self.peer, &head.headers),
            connection: &self,
            head: &head,
        };
        let mut intake = Intake::OnTheWire(body);
        if self.service.debug {
            let received = visit.receive(intake).await;
            let bytes = received.as_ref().map_or(&[][..], |received| &received.bytes);
            dump::request(&visit.id, &head, bytes);
            intake = Intake::Done(received);
        }
        let mut answer = match id {
            None => Answer::new(None, "OK").with(&self.service.headers),
            Some(id) => visit.hook(&id, intake).await,
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

/// HTTP/1.1 wants exactly one Host.
fn refuse_malformed(head: &Parts) -> Option<Response> {
    match head.headers.get_all(header::HOST).iter().count() {
        0 if head.version == Version::HTTP_11 => {
            Some(bad_request("400 Bad Request: missing required Host header"))
        }
        2.. => Some(bad_request("400 Bad Request: too many Host headers")),
        _ => None,
    }
}

/// A request that is logged and answered.
struct Visit<'a> {
    connection: &'a Connection,
    head: &'a Parts,
    id: RequestId,
    peer: Peer,
    started: Instant,
}

impl Visit<'_> {
    /// The answer of the hook `hook_id`; the order of the steps is the peer's.
    async fn hook(&self, hook_id: &[u8], intake: Intake) -> Answer {
        let (id, service, method) = (&self.id, &self.connection.service, &self.head.method);
        info!(request = %id, "incoming HTTP {method} request from {}", self.peer);
        let Some(served) = service.hooks.find(hook_id) else {
            self.leave(intake);
            return Answer::new(StatusCode::NOT_FOUND, "Hook not found.");
        };
        let hook = &served.hook;
        if !allows(hook, &service.methods, method.as_str()) {
            info!(request = %id, "HTTP {method} method not allowed for hook \"{}\"", hook.id);
            self.leave(intake);
            return Answer::new(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        info!(request = %id, "{} got matched", hook.id);
        let received = match self.receive(intake).await {
            Ok(received) => received,
            Err(refused) => {
                warn!(request = %id, "{refused}");
                let mut answer = Answer::new(refused.status(), format!("{refused}\n")).with(&service.headers);
                answer.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
                if refused == Refused::NoRoom {
                    answer.headers.insert(header::RETRY_AFTER, RETRY_AFTER);
                }
                return answer;
            }
        };
        if let Some(why) = &received.cut_off {
            warn!(request = %id, "error reading the request body [{why}]");
        }
        let Received { bytes, held, .. } = received;
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
        answer.with(&service.headers).with(&own)
    }

    /// Runs the hook's command, at once, soon or in the background, unless too much runs already.
    async fn fire(
        &self,
        served: &Arc<Served>,
        job: impl FnOnce(Vec<super::limits::Place>, Reader) -> Job,
    ) -> Answer {
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
                    let status = status::configured(busy_code).ok().flatten();
                    let status = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                    let mut answer = Answer::new(status, "Too many requests are waiting, try again later.\n");
                    answer.headers.insert(header::RETRY_AFTER, RETRY_AFTER);
                    return answer;
                }
            }
        }
        let mut answer = if hook.stream_output {
            self.stream(hook, |sender| job(places, Reader::Client(sender))).await
        } else if hook.output_in_response {
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
    async fn stream(&self, hook: &Hook, job: impl FnOnce(mpsc::Sender<axum::body::Bytes>) -> Job) -> Answer {
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
        let client_gone = Box::pin(async move { socket.closed().await });
        let seat = Arc::clone(&self.connection.seat);
        answer.body = Contents::Output(Output { first: Some(first), rest, command, client_gone, seat });
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
        status::configured(code).unwrap_or_else(|status::UnknownStatus| {
            info!(
                request = %self.id,
                "{} got matched, but the configured return code {code} is unknown - defaulting to 200", hook.id
            );
            None
        })
    }

    async fn receive(&self, intake: Intake) -> Result<Received, Refused> {
        let received = match intake {
            Intake::Done(received) => received,
            Intake::OnTheWire(mut body) => {
                let service = &self.connection.service;
                let received =
                    body::receive(&mut body, service.body_size, service.body_time, &service.memory).await;
                if received.is_err() {
                    body::discard(body, self.head, LINGER);
                }
                received
            }
        };
        self.connection.seat.request_is_there();
        received
    }

    /// The request is answered without its body.
    fn leave(&self, intake: Intake) {
        if let Intake::OnTheWire(body) = intake
            && !body.is_end_stream()
        {
            body::discard(body, self.head, LINGER);
        }
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

fn bad_request(text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
