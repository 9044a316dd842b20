//! Running a hook's command: find it, wait for its turn, start it, follow it, clean up.

use std::{iter, mem, sync::Arc};

use axum::body::Bytes;
use tokio::{sync::mpsc::Sender, task::block_in_place};
use tracing::{Level, enabled, error, info};

use super::{
    files, lookup,
    output::{self, Output},
    process,
    queue::Place,
};
use crate::webhook::{
    go::{strconv, syscall::reason},
    hooks::{Line, Request},
    memory::{Held, LARGE, Memory},
    request_id::RequestId,
    serving::Served,
    shutdown::Stop,
};

/// A command that is to run for a request.
pub struct Job {
    pub served: Arc<Served>,
    pub id: RequestId,
    pub request: Request,
    /// The room that the request's body takes.
    pub held: Held,
    /// Places in the lines it has to wait in.
    pub places: Vec<Place>,
    pub reader: Reader,
    pub memory: Arc<Memory>,
    pub stop: Stop,
}

/// Who gets the output.
pub enum Reader {
    Nobody,
    /// The answer, when it is whole.
    Answer,
    /// The client, as it comes.
    Client(Sender<Bytes>),
}

/// What came of it. A command that failed is no error of ours.
#[derive(Debug)]
pub struct Finished {
    pub output: Vec<u8>,
    pub failed: bool,
    _held: Option<Held>,
}

impl Finished {
    fn without_start() -> Self {
        Self { output: Vec::new(), failed: true, _held: None }
    }
}

impl Job {
    /// Runs it to its end.
    pub async fn run(self) -> Finished {
        let Self { served, id, mut request, held, places, reader, memory, mut stop } = self;
        let (hook, id) = (&served.hook, &id);
        let program = match lookup::find(&hook.execute_command, &hook.working_directory) {
            Ok(program) => program,
            Err(not_found) => {
                error!(request = %id, "error in exec: {not_found}");
                if let Some((word, _)) = hook.execute_command.split_once(' ') {
                    info!(request = %id, "use 'pass-arguments-to-command' to specify args for '{word}'");
                }
                return Finished::without_start();
            }
        };
        let large = request.body.len() > LARGE;
        let prepare = || {
            let inputs = hook.inputs(&request);
            let stdin = hook.pass_stdin.then(|| mem::take(&mut request.body));
            // Not kept while the command waits for its turn and runs: what was parsed is larger than what came.
            drop(request);
            (inputs, stdin)
        };
        let (inputs, stdin) = if large { block_in_place(prepare) } else { prepare() };
        for line in &inputs.lines {
            say(id, line);
        }

        let mut turns = Vec::with_capacity(places.len());
        for place in places {
            tokio::select! {
                // First: a turn that comes free because the commands are ended is nobody's any more.
                biased;
                () = stop.commands_end() => {
                    error!(request = %id, "{} was still waiting for its turn when the daemon stopped", hook.id);
                    return Finished::without_start();
                }
                turn = place.turn() => turns.push(turn),
            }
        }

        let files = files::write(inputs.files, &hook.working_directory, id);
        if enabled!(Level::INFO) {
            let arguments = inputs.arguments.iter().map(Vec::as_slice);
            let arguments = strconv::list(iter::once(hook.execute_command.as_bytes()).chain(arguments));
            let variables =
                inputs.environment.iter().map(|(name, value)| (name, String::from_utf8_lossy(value)));
            let variables =
                variables.chain(files.iter().map(|file| (&file.variable, file.path.to_string_lossy())));
            let variables: Vec<String> = variables.map(|(name, value)| format!("{name}={value}")).collect();
            info!(
                request = %id,
                "executing {} ({}) with arguments {arguments} and environment [{}] using {} as cwd",
                hook.execute_command, program.display(), variables.join(" "), hook.working_directory,
            );
        }

        let log_whole = enabled!(Level::INFO) && !hook.log_output_live;
        let keep = match reader {
            Reader::Answer => Some(output::MOST_KEPT),
            _ if log_whole => Some(output::MOST_LOGGED),
            _ => None,
        };
        let client = if let Reader::Client(sender) = reader { Some(sender) } else { None };
        let live = enabled!(Level::INFO) && hook.log_output_live;
        let mut output = Output::new(id, &memory, keep, live, client);
        let started = process::start(
            hook,
            &program,
            inputs.arguments,
            inputs.environment,
            &files,
            stdin,
            output.is_wanted(),
        );
        // What the command was given is its own now, but for what it is still to read.
        let _held = hook.pass_stdin.then_some(held);
        let failure = match started {
            Ok(process) => match process.follow(&mut output, hook.command_timeout, &mut stop).await {
                Ok(ended) => ended.failure(),
                Err(error) => Some(format!("wait: {}", reason(&error))),
            },
            Err(why) => Some(why),
        };
        drop(turns);
        let (output, held) = output.finish();
        if log_whole {
            let shown = &output[..output.len().min(output::MOST_LOGGED)];
            info!(request = %id, output = %String::from_utf8_lossy(shown), "command output: ");
            if shown.len() < output.len() {
                info!(request = %id, "the log has {} of {} bytes of the output", shown.len(), output.len());
            }
        }
        if let Some(failure) = &failure {
            error!(request = %id, "error occurred: {failure}");
        }
        files::remove(files, id);
        info!(request = %id, "finished handling {}", hook.id);
        Finished { output, failed: failure.is_some(), _held: held }
    }
}

/// Logs a line of the deciding part.
pub fn say(id: &RequestId, line: &Line) {
    match line {
        Line::Tagged(text) => info!(request = %id, "{text}"),
        Line::Plain(text) => info!("{text}"),
    }
}
