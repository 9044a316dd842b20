//! A hook's command and its answer: which of them waits for the other.

use std::{panic::resume_unwind, sync::Arc};

use axum::{
    body::Bytes,
    http::{HeaderValue, Method, StatusCode, header},
};
use tokio::sync::mpsc;

use super::connection::Connection;
use crate::webhook::{
    command::{CommandResult, Job, OutputTo},
    hooks::Hook,
    http::{Answer, AnswerBody, StreamedOutput, configured, headers},
    net::ActiveRequest,
    request_id::RequestId,
};

const NOT_EXECUTED: &str =
    "Error occurred while executing the hook's command. Please check your logs for more details.";

/// Pieces of output on their way to a client.
const PIECES: usize = 16;

/// Runs the command before the answer or along with it, or leaves it for after it.
pub async fn run(
    job: Job,
    connection: &Connection,
    active: &Arc<ActiveRequest>,
    method: &Method,
) -> (Answer, Option<Job>) {
    let (hook, id) = (Arc::clone(&job.hook), job.id.clone());
    let (answer, job) = if hook.stream_output && method != Method::HEAD {
        (stream(job, connection, active).await, None)
    } else if hook.output_in_response || hook.stream_output {
        // Of an answer without a body there is nothing to stream, and the command runs as for any other request.
        (wait(job, connection).await, None)
    } else {
        (success(&hook, &id, hook.response_message.clone()), Some(job))
    };
    (answer.with(&headers(&hook.response_headers)), job)
}

/// Answers with the whole output.
async fn wait(mut job: Job, connection: &Connection) -> Answer {
    let (hook, id) = (Arc::clone(&job.hook), job.id.clone());
    job.output = OutputTo::Answer;
    // A task of its own: the command goes on when the client goes away.
    let result = tokio::spawn(job.run()).await;
    let CommandResult { output, failed, not_started } =
        result.unwrap_or_else(|panic| resume_unwind(panic.into_panic()));
    if !failed {
        success(&hook, &id, output.into_bytes())
    } else if !hook.output_in_response_on_error {
        not_executed(connection)
    } else if let Some(why) = not_started {
        Answer::new(StatusCode::INTERNAL_SERVER_ERROR, format!("The command could not be started: {why}\n"))
    } else {
        Answer::with_body(StatusCode::INTERNAL_SERVER_ERROR, output.into_bytes())
    }
}

/// Answers with the output as it comes, from its first piece on, so that a command that fails at once still
/// answers 500.
async fn stream(mut job: Job, connection: &Connection, active: &Arc<ActiveRequest>) -> Answer {
    let (hook, id) = (Arc::clone(&job.hook), job.id.clone());
    let (sender, mut rest) = mpsc::channel(PIECES);
    job.output = OutputTo::Client(sender);
    let command = tokio::spawn(job.run());
    let socket = &connection.socket;
    let first = tokio::select! {
        first = rest.recv() => first,
        // Nobody is left to answer; the command notices when the receiver goes.
        () = socket.closed() => return Answer::default(),
    };
    let Some(first) = first else {
        return match command.await {
            Ok(CommandResult { failed: false, .. }) => success(&hook, &id, ""),
            _ => not_executed(connection),
        };
    };
    let output = StreamedOutput::new(first, rest, command, Arc::clone(socket), Arc::clone(active));
    let mut answer = success(&hook, &id, "");
    answer.body = AnswerBody::Streamed(Box::new(output));
    answer
}

fn success(hook: &Hook, id: &RequestId, body: impl Into<Bytes>) -> Answer {
    Answer::with_body(configured(hook, hook.success_code, id), body.into())
}

fn not_executed(connection: &Connection) -> Answer {
    let mut answer = Answer::new(StatusCode::INTERNAL_SERVER_ERROR, NOT_EXECUTED);
    if !connection.service.headers.contains_key(header::CONTENT_TYPE) {
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        answer.headers.insert(header::CONTENT_TYPE, text);
    }
    answer
}
