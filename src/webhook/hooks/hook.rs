//! One hook, as the hooks file describes it, every property typed.

use std::{
    borrow::Cow,
    fmt::Display,
    time::{Duration, SystemTime},
};

use super::{
    log_line::Line,
    request::Request,
    rule::{Rule, Verdict},
    source::{Argument, FileArgument},
};
use crate::webhook::go::base64;

#[expect(clippy::struct_excessive_bools, reason = "the hooks file has so many")]
/// One hook of a hooks file. Field order is the order of `docs/hooks.md`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hook {
    /// Compared byte for byte with what follows the prefix in the decoded URL path; may be empty.
    pub id: String,
    /// `execute-command`: path or bare name of a program, never a shell line.
    pub execute_command: String,
    /// `command-working-directory`; empty is the daemon's own.
    pub working_directory: String,
    /// `response-message`: the body of the answer that does not wait for the command.
    pub response_message: String,
    /// `response-headers`, in the order of the file; a later one replaces an earlier one of the same name.
    pub response_headers: Vec<(String, String)>,
    /// `success-http-response-code`; 0 is unset. Checked against the known codes when it is used.
    pub success_code: i64,
    /// `incoming-payload-content-type`: replaces the request's own when not empty.
    pub payload_content_type: String,
    /// `http-methods` as written; empty falls back to the flag's.
    pub methods: Vec<String>,
    /// `include-command-output-in-response`: wait for the command and answer with its output.
    pub output_in_response: bool,
    /// `include-command-output-in-response-on-error`.
    pub output_in_response_on_error: bool,
    /// `pass-arguments-to-command`: argv from 1 on.
    pub arguments: Vec<Argument>,
    /// `pass-environment-to-command`.
    pub environment: Vec<Argument>,
    /// `pass-file-to-command`.
    pub files: Vec<FileArgument>,
    /// `parse-parameters-as-json`.
    pub parse_as_json: Vec<Argument>,
    /// `trigger-rule`; none triggers always.
    pub rule: Option<Rule>,
    /// `trigger-rule-mismatch-http-response-code`; 0 is unset.
    pub mismatch_code: i64,
    /// `trigger-signature-soft-failures`.
    pub signature_soft_failures: bool,

    /// Ours: `signature-mismatch-http-response-code`; 0 is unset. The answer when the rule did not hold, at
    /// least one signature was looked for, and none was right.
    pub signature_mismatch_code: i64,
    /// Ours: `payload-form-field`: if the body is a form with this field, the payload is the JSON in it.
    pub payload_form_field: String,
    /// Ours: `max-concurrency`: commands of this hook at a time; 0 is no bound but the daemon's.
    pub max_concurrency: u32,
    /// Ours: `max-waiting`: requests that may wait for a place under `max_concurrency`.
    pub max_waiting: u32,
    /// Ours: `busy-http-response-code`: 429 or 503, past that.
    pub busy_code: i64,
    /// Ours: `command-timeout`; none is no limit.
    pub command_timeout: Option<Duration>,
    /// Ours: `stream-command-output`: answer with the output as it comes.
    pub stream_output: bool,
    /// Ours: `pass-stdin-to-command`: the raw body on the command's standard input.
    pub pass_stdin: bool,
    /// Ours: `log-command-output-as-it-comes`.
    pub log_output_live: bool,
    /// Why this hook never runs and answers 500 (a rule with an empty secret); said at load.
    pub disabled: Option<String>,
}

/// What a hook makes of a request, before anything is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What the log gets between `got matched` and `triggered successfully` (or its opposite), in order.
    pub lines: Vec<Line>,
    /// What becomes of the request.
    pub outcome: Outcome,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The rules hold: run the command.
    Fires,
    /// The rules do not hold. `unsigned`: a signature was looked for and none was right.
    Mismatch {
        /// Answer with `signature-mismatch-http-response-code` if that is set.
        unsigned: bool,
    },
    /// The rules could not be evaluated: 500, `Error occurred while evaluating hook rules.` `unsigned` as above.
    RuleError {
        /// Answer with `signature-mismatch-http-response-code` if that is set.
        unsigned: bool,
    },
    /// 500, `Error occurred while parsing multipart form.`
    BadMultipart,
    /// The hook is disabled ([`Hook::disabled`]): 500, with the body of a rule error.
    Disabled,
}

/// What a command is given, and what the log gets on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs {
    /// argv from 1 on; what has no value is empty.
    pub arguments: Vec<Vec<u8>>,
    /// Variables, in order; what has no value is left out.
    pub environment: Vec<(String, Vec<u8>)>,
    /// Variables that hold the path of a file with these contents; to be set after [`Self::environment`].
    pub files: Vec<(String, Vec<u8>)>,
    /// Arguments without a value, names fallen back on, base64 that is none.
    pub lines: Vec<Line>,
}

impl Hook {
    /// Does this hook fire for `request`, as far as the file says? Methods are the caller's business.
    ///
    /// The body is parsed here at the latest, except when a signature that the rule asks for before any
    /// part of the body is wrong: then it is not parsed at all, and parse errors are not logged.
    pub fn decide(&self, request: &Request, now: SystemTime) -> Decision {
        if let Some(reason) = &self.disabled {
            let line = Line::Tagged(format!("error evaluating hook: {reason}"));
            return Decision { lines: vec![line], outcome: Outcome::Disabled };
        }
        if request.must_be_parsed_first() {
            let parsed = request.parsed();
            if parsed.multipart_is_broken {
                return Decision { lines: parsed.lines.clone(), outcome: Outcome::BadMultipart };
            }
        }
        let verdict = self
            .rule
            .as_ref()
            .map_or_else(Verdict::fires, |rule| rule.judge(request, self.signature_soft_failures, now));
        if !verdict.unsigned {
            request.parsed();
        }
        let mut lines = request.parsed_so_far().map_or_else(Vec::new, |parsed| parsed.lines.clone());
        lines.extend(verdict.lines);
        lines.extend(verdict.not_found.map(Line::Tagged));
        let unsigned = verdict.unsigned;
        let outcome = match verdict.fires {
            Ok(true) => Outcome::Fires,
            Ok(false) => Outcome::Mismatch { unsigned },
            Err(error) => {
                lines.push(Line::Tagged(format!("error evaluating hook: {error}")));
                Outcome::RuleError { unsigned }
            }
        };
        Decision { lines, outcome }
    }

    /// What the command is given.
    pub fn inputs(&self, request: &Request) -> Inputs {
        let mut inputs = Inputs::default();
        for argument in &self.arguments {
            // An empty one keeps those behind it in their places.
            let value = inputs.value(argument, request, "");
            inputs.arguments.push(value.unwrap_or_default());
        }
        for argument in &self.environment {
            if let Some(value) = inputs.value(argument, request, " for environment") {
                inputs.environment.push((argument.environment_variable(), value));
            }
        }
        let mut errors = Vec::new();
        for file in &self.files {
            let argument = &file.argument;
            let Ok(value) = argument.resolve(request) else {
                errors.push(no_value(file, " for file"));
                continue;
            };
            let variable = file.variable();
            if file.must_be_announced() {
                let line = format!("no ENVVAR name specified, falling back to [{variable}]");
                inputs.lines.push(Line::Plain(line));
            }
            let contents = if argument.base64decode { inputs.decoded(&value) } else { value.into_owned() };
            inputs.files.push((variable, contents));
        }
        inputs.lines.extend(errors);
        inputs
    }
}

impl Inputs {
    fn value(&mut self, argument: &Argument, request: &Request, place: &str) -> Option<Vec<u8>> {
        let value = argument.resolve(request).ok().map(Cow::into_owned);
        if value.is_none() {
            self.lines.push(no_value(argument, place));
        }
        value
    }

    /// The bytes of base64 text, up to the place where it is none.
    fn decoded(&mut self, text: &[u8]) -> Vec<u8> {
        let (bytes, error) = base64::decode(text);
        self.lines.extend(error.map(|error| Line::Plain(format!("error decoding string [{error}]"))));
        bytes
    }
}

fn no_value(argument: &impl Display, place: &str) -> Line {
    let text =
        format!("error extracting command arguments{place}: couldn't retrieve argument for {argument}");
    Line::Tagged(text)
}
