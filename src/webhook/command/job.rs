//! A hook's command, from the search for its program to its last line in the log.

use std::{
    iter, mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::{Level, enabled, error, info};

use super::{
    files::{self, PassedFile},
    lookup::{self, NotFound},
    output::{Kept, Output, OutputTo},
    process::CommandProcess,
    queue::{Permit, Slot},
};
use crate::webhook::{
    go::{strconv, syscall::reason},
    hooks::{Hook, Inputs},
    memory::{MemoryShare, Reservation},
    request_id::RequestId,
    shutdown::Shutdown,
};

/// A command that is to run for a request.
#[derive(Debug)]
pub struct Job {
    pub hook: Arc<Hook>,
    pub id: RequestId,
    pub inputs: Inputs,
    /// The room that these take.
    pub room: Reservation,
    /// In the queues it has to wait in.
    pub slots: Vec<Slot>,
    pub output: OutputTo,
    pub memory: MemoryShare,
    pub shutdown: Shutdown,
}

/// What came of it. A command that failed is no error of ours.
#[derive(Debug, Default)]
pub struct CommandResult {
    pub output: Kept,
    pub failed: bool,
    /// Why it did not even start, if it did not.
    pub not_started: Option<String>,
}

impl CommandResult {
    fn not_started(why: String) -> Self {
        Self { failed: true, not_started: Some(why), ..Self::default() }
    }
}

impl Job {
    /// Runs it to its end.
    pub async fn run(mut self) -> CommandResult {
        let program = match self.program() {
            Ok(program) => program,
            Err(why) => return CommandResult::not_started(why.to_string()),
        };
        for line in &self.inputs.lines {
            self.id.log(line);
        }
        let Some(permits) = self.permits().await else {
            return CommandResult::not_started("the daemon stops".to_owned());
        };
        let files = mem::take(&mut self.inputs.files);
        let files = files::write(files, &self.hook.working_directory, &self.id);
        self.log_start(&program, &files);
        // The daemon waits for whoever holds this: also for the removal of files.
        let _unfinished = self.shutdown.clone();
        let (id, hook) = (self.id.clone(), Arc::clone(&self.hook));
        let (output, failure) = self.execute(&program, &files).await;
        drop(permits);
        report(&id, &hook, output, failure, files)
    }

    fn program(&self) -> Result<PathBuf, NotFound> {
        let (id, command) = (&self.id, &self.hook.execute_command);
        let found = lookup::find(command, &self.hook.working_directory);
        if let Err(not_found) = &found {
            error!(request = %id, "error in exec: {not_found}");
            if let Some((word, _)) = command.split_once(' ') {
                info!(request = %id, "use 'pass-arguments-to-command' to specify args for '{word}'");
            }
        }
        found
    }

    /// Waits for its turn in each queue; none if the daemon stops meanwhile.
    async fn permits(&mut self) -> Option<Vec<Permit>> {
        let mut permits = Vec::with_capacity(self.slots.len());
        for slot in self.slots.drain(..) {
            tokio::select! {
                // First: a turn that comes free because the commands are ended is nobody's any more.
                biased;
                () = self.shutdown.ending() => {
                    error!(
                        request = %self.id,
                        "{} was still waiting for its turn when the daemon stopped", self.hook.id
                    );
                    return None;
                }
                permit = slot.permit() => permits.push(permit),
            }
        }
        Some(permits)
    }

    fn log_start(&self, program: &Path, files: &[PassedFile]) {
        if !enabled!(Level::INFO) {
            return;
        }
        let (hook, inputs) = (&self.hook, &self.inputs);
        let words = iter::once(hook.execute_command.as_bytes());
        let words = strconv::quote_list(words.chain(inputs.arguments.iter().map(Vec::as_slice)));
        let given = inputs.environment.iter().map(|(name, value)| (name, String::from_utf8_lossy(value)));
        let of_files = files.iter().map(|file| (&file.variable, file.path.to_string_lossy()));
        let variables: Vec<String> =
            given.chain(of_files).map(|(name, value)| format!("{name}={value}")).collect();
        info!(
            request = %self.id,
            "executing {} ({}) with arguments {words} and environment [{}] using {} as cwd",
            hook.execute_command, program.display(), variables.join(" "), hook.working_directory,
        );
    }

    /// Starts the command and follows it; says why it failed, if it did.
    async fn execute(mut self, program: &Path, files: &[PassedFile]) -> (Output, Option<Failure>) {
        let hook = &self.hook;
        let mut output = Output::new(&self.id, &self.memory, hook, self.output);
        let started = CommandProcess::start(hook, program, self.inputs, self.room, files, output.is_wanted());
        let failure = match started {
            Ok(process) => {
                match process.follow(&mut output, hook.command_timeout, &mut self.shutdown).await {
                    Ok(end) => end.failure().map(Failure::Ended),
                    Err(error) => Some(Failure::Ended(format!("wait: {}", reason(&error)))),
                }
            }
            Err(why) => Some(Failure::NotStarted(why)),
        };
        (output, failure)
    }
}

/// What went wrong with a command.
enum Failure {
    NotStarted(String),
    Ended(String),
}

fn report(
    id: &RequestId,
    hook: &Hook,
    output: Output,
    failure: Option<Failure>,
    files: Vec<PassedFile>,
) -> CommandResult {
    let output = output.finish();
    if let Some(Failure::NotStarted(why) | Failure::Ended(why)) = &failure {
        error!(request = %id, "error occurred: {why}");
    }
    files::remove(files, id);
    info!(request = %id, "finished handling {}", hook.id);
    match failure {
        Some(Failure::NotStarted(why)) => CommandResult::not_started(why),
        failure => CommandResult { output, failed: failure.is_some(), not_started: None },
    }
}
