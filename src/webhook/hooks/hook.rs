//! One hook, as the hooks file describes it, every property typed.

use std::time::Duration;

use super::{
    rule::Rule,
    source::{Argument, FileArgument},
};

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
