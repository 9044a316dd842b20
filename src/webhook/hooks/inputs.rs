//! What a hook's command is given for a delivery.

use std::fmt::Display;

use super::{delivery::Delivery, log_line::LogLine, source::Argument};
use crate::webhook::go::base64;

/// What a command is given, and what the log gets on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs {
    /// argv from 1 on; what has no value is empty.
    pub arguments: Vec<Vec<u8>>,
    /// Variables, in order; what has no value is left out.
    pub environment: Vec<(String, Vec<u8>)>,
    /// Variables that hold the path of a file with these contents; to be set after [`Self::environment`].
    pub files: Vec<(String, Vec<u8>)>,
    /// What it can read on its standard input, if it asked for that.
    pub stdin: Option<Vec<u8>>,
    /// Arguments without a value, names fallen back on, base64 that is none.
    pub lines: Vec<LogLine>,
}

impl Inputs {
    /// All that the hook passes to its command.
    pub fn of(delivery: Delivery<'_>) -> Self {
        let hook = delivery.hook;
        let mut inputs = Self::default();
        for argument in &hook.arguments {
            // An empty one keeps those behind it in their places.
            let value = inputs.value(&delivery, argument, "").unwrap_or_default();
            inputs.arguments.push(value);
        }
        for argument in &hook.environment {
            if let Some(value) = inputs.value(&delivery, argument, " for environment") {
                inputs.environment.push((argument.environment_variable(), value));
            }
        }
        inputs.pass_files(&delivery);
        inputs.stdin = hook.pass_stdin.then_some(delivery.request.body);
        inputs
    }

    /// The bytes of all of it.
    pub fn bytes(&self) -> usize {
        let named = self.environment.iter().chain(&self.files).map(|(_, value)| value.len());
        let stdin = self.stdin.as_ref().map_or(0, Vec::len);
        self.arguments.iter().map(Vec::len).chain(named).sum::<usize>() + stdin
    }

    fn value(&mut self, delivery: &Delivery<'_>, argument: &Argument, place: &str) -> Option<Vec<u8>> {
        let value = delivery.value(argument).ok();
        if value.is_none() {
            self.lines.push(no_value(argument, place));
        }
        value.map(Into::into)
    }

    fn pass_files(&mut self, delivery: &Delivery<'_>) {
        let mut errors = Vec::new();
        for file in &delivery.hook.files {
            let Ok(value) = delivery.value(&file.argument) else {
                errors.push(no_value(file, " for file"));
                continue;
            };
            let variable = file.variable();
            if file.must_be_announced() {
                self.lines
                    .push(LogLine::Plain(format!("no ENVVAR name specified, falling back to [{variable}]")));
            }
            let contents = if file.argument.base64decode { self.decoded(&value) } else { value.into_owned() };
            self.files.push((variable, contents));
        }
        self.lines.extend(errors);
    }

    /// The bytes of base64 text, up to the place where it is none.
    fn decoded(&mut self, text: &[u8]) -> Vec<u8> {
        let (bytes, error) = base64::decode(text);
        self.lines.extend(error.map(|error| LogLine::Plain(format!("error decoding string [{error}]"))));
        bytes
    }
}

fn no_value(argument: &impl Display, place: &str) -> LogLine {
    LogLine::Tagged(format!(
        "error extracting command arguments{place}: couldn't retrieve argument for {argument}"
    ))
}
