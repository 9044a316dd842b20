//! The properties of the hooks file.

use super::{
    node::{Node, Value},
    reader::{Read, Reader},
};
use crate::webhook::{
    go::regexp::Pattern,
    hooks::{
        hook::Hook,
        ip_range::IpRanges,
        rule::{Match, Rule},
        signature::{Algorithm, Secret},
        source::{Argument, FileArgument, Source},
    },
};

/// The names of all properties of a hook.
pub const HOOK: &[&str] = &[
    "id",
    "execute-command",
    "command-working-directory",
    "response-message",
    "response-headers",
    "success-http-response-code",
    "incoming-payload-content-type",
    "http-methods",
    "include-command-output-in-response",
    "include-command-output-in-response-on-error",
    "pass-arguments-to-command",
    "pass-environment-to-command",
    "pass-file-to-command",
    "parse-parameters-as-json",
    "trigger-rule",
    "trigger-rule-mismatch-http-response-code",
    "trigger-signature-soft-failures",
    "signature-mismatch-http-response-code",
    "payload-form-field",
    "max-concurrency",
    "max-waiting",
    "busy-http-response-code",
    "command-timeout",
    "stream-command-output",
    "pass-stdin-to-command",
    "log-command-output-as-it-comes",
];
const ARGUMENT: &[&str] = &["source", "name", "envname", "base64decode", "else"];
/// What stands in an `else` is called and decoded like what it stands for.
const ELSE: &[&str] = &["source", "name", "else"];
const RULE: &[&str] = &["and", "or", "not", "match"];
const MATCH: &[&str] = &["type", "parameter", "value", "regex", "secret", "ip-range"];
const HEADER: &[&str] = &["name", "value"];

/// The hooks of a file: a list, or nothing.
pub fn hooks(reader: &mut Reader<'_>, root: &Node) -> Read<Vec<Hook>> {
    let items = match &root.value {
        Value::Null => &[][..],
        Value::List(items) => items,
        other => {
            return Err(reader.error(
                root,
                "",
                &format!("the file must be a list of hooks, not {}", other.kind()),
            ));
        }
    };
    items.iter().enumerate().map(|(n, item)| hook(reader, n, item)).collect()
}

fn hook(reader: &mut Reader<'_>, n: usize, node: &Node) -> Read<Hook> {
    reader.hook = format!("hook {}", n + 1);
    let mut hook = Hook { busy_code: 429, ..Hook::default() };
    if let Value::Map(entries) = &node.value
        && let Some((_, id)) = entries.iter().find(|(name, _)| name.eq_ignore_ascii_case("id"))
    {
        reader.hook = format!("hook {:?}", reader.text(id, "id")?);
    }
    for (name, node) in reader.members(node, "", HOOK)? {
        property(reader, &mut hook, name, node)?;
    }
    if hook.execute_command.is_empty() {
        reader.warn(node, "", "there is no execute-command");
    }
    if let Some(rule) = &mut hook.rule {
        let mut taken = Vec::new();
        rule.take_out_empty_secrets("trigger-rule", &mut taken);
        for at in taken {
            reader.warn(node, &at, "the secret is empty: this alternative never holds");
        }
    }
    if hook.rule.as_ref().is_some_and(Rule::has_empty_secret) {
        let reason = "a secret in its trigger-rule is empty";
        reader.warn(node, "", &format!("the hook is disabled and answers 500: {reason}"));
        hook.disabled = Some(reason.to_owned());
    }
    Ok(hook)
}

fn property(reader: &mut Reader<'_>, hook: &mut Hook, name: &'static str, node: &Node) -> Read<()> {
    match name {
        "id" => hook.id = reader.text(node, name)?,
        "execute-command" => hook.execute_command = reader.text(node, name)?,
        "command-working-directory" => hook.working_directory = reader.text(node, name)?,
        "response-message" => hook.response_message = reader.text(node, name)?,
        "response-headers" => hook.response_headers = reader.list(node, name, header)?,
        "success-http-response-code" => hook.success_code = reader.integer(node, name)?,
        "incoming-payload-content-type" => hook.payload_content_type = reader.text(node, name)?,
        "http-methods" => hook.methods = reader.list(node, name, Reader::text)?,
        "include-command-output-in-response" => hook.output_in_response = reader.boolean(node, name)?,
        "include-command-output-in-response-on-error" => {
            hook.output_in_response_on_error = reader.boolean(node, name)?;
        }
        "pass-arguments-to-command" => hook.arguments = reader.list(node, name, argument)?,
        "pass-environment-to-command" => hook.environment = reader.list(node, name, argument)?,
        "pass-file-to-command" => hook.files = reader.list(node, name, file_argument)?,
        "parse-parameters-as-json" => hook.parse_as_json = reader.list(node, name, argument)?,
        "trigger-rule" => hook.rule = Some(rule(reader, node, name)?),
        "trigger-rule-mismatch-http-response-code" => hook.mismatch_code = reader.integer(node, name)?,
        "trigger-signature-soft-failures" => hook.signature_soft_failures = reader.boolean(node, name)?,
        "signature-mismatch-http-response-code" => {
            hook.signature_mismatch_code = reader.integer(node, name)?;
        }
        "payload-form-field" => hook.payload_form_field = reader.text(node, name)?,
        "max-concurrency" => hook.max_concurrency = reader.count(node, name)?,
        "max-waiting" => hook.max_waiting = reader.count(node, name)?,
        "busy-http-response-code" => {
            hook.busy_code = reader.integer(node, name)?;
            if ![429, 503].contains(&hook.busy_code) {
                return Err(reader.error(node, name, "must be 429 or 503"));
            }
        }
        "command-timeout" => hook.command_timeout = reader.timeout(node, name)?,
        "stream-command-output" => hook.stream_output = reader.boolean(node, name)?,
        "pass-stdin-to-command" => hook.pass_stdin = reader.boolean(node, name)?,
        "log-command-output-as-it-comes" => hook.log_output_live = reader.boolean(node, name)?,
        _ => unreachable!("{name} is in the list of names but not here"),
    }
    Ok(())
}

fn header(reader: &mut Reader<'_>, node: &Node, at: &str) -> Read<(String, String)> {
    let mut header = (String::new(), String::new());
    for (name, node) in reader.members(node, at, HEADER)? {
        let text = reader.text(node, &format!("{at}.{name}"))?;
        match name {
            "name" => header.0 = text,
            _ => header.1 = text,
        }
    }
    Ok(header)
}

fn argument(reader: &mut Reader<'_>, node: &Node, at: &str) -> Read<Argument> {
    argument_of(ARGUMENT, reader, node, at)
}

fn argument_of(
    members: &'static [&'static str],
    reader: &mut Reader<'_>,
    node: &Node,
    at: &str,
) -> Read<Argument> {
    let (mut source, mut name, mut envname, mut base64decode, mut otherwise) = Default::default();
    for (member, node) in reader.members(node, at, members)? {
        let at = format!("{at}.{member}");
        match member {
            "source" => source = reader.text(node, &at)?,
            "name" => name = reader.text(node, &at)?,
            "envname" => envname = reader.text(node, &at)?,
            "else" => otherwise = Some(Box::new(argument_of(ELSE, reader, node, &at)?)),
            _ => base64decode = reader.boolean(node, &at)?,
        }
    }
    let source_text: String = source;
    let source = Source::new(&source_text, &name);
    if let Source::Unknown(unknown) = &source {
        reader.warn(node, at, &format!("there is no source {unknown:?}: it never has a value"));
    }
    Ok(Argument { source, source_text, name, envname, base64decode, otherwise })
}

fn file_argument(reader: &mut Reader<'_>, node: &Node, at: &str) -> Read<FileArgument> {
    argument(reader, node, at).map(FileArgument::new)
}

fn rule(reader: &mut Reader<'_>, node: &Node, at: &str) -> Read<Rule> {
    let mut rules: Vec<(&str, Rule)> = Vec::new();
    for (member, node) in reader.members(node, at, RULE)? {
        let at = format!("{at}.{member}");
        let rule = match member {
            "and" => Rule::And(reader.list(node, &at, rule)?),
            "or" => Rule::Or(reader.list(node, &at, rule)?),
            "not" => Rule::Not(Box::new(rule(reader, node, &at)?)),
            _ => Rule::Match(match_rule(reader, node, &at)?),
        };
        rules.retain(|(known, _)| *known != member);
        rules.push((member, rule));
    }
    rules.sort_by_key(|(member, _)| RULE.iter().position(|known| known == member));
    if let [(first, _), (ignored, _), ..] = rules[..] {
        reader.warn(node, at, &format!("{first:?} stands beside {ignored:?}, which is ignored"));
    }
    if let Some((_, rule)) = rules.into_iter().next() {
        Ok(rule)
    } else {
        reader.warn(node, at, "an empty rule never holds");
        Ok(Rule::Never)
    }
}

fn match_rule(reader: &mut Reader<'_>, node: &Node, at: &str) -> Read<Match> {
    let (mut kind, mut value, mut regex, mut secret, mut ranges): (String, _, _, String, String) =
        Default::default();
    let mut parameter = None;
    for (member, node) in reader.members(node, at, MATCH)? {
        let at = format!("{at}.{member}");
        match member {
            "type" => kind = reader.text(node, &at)?,
            "parameter" => parameter = Some(argument(reader, node, &at)?),
            "value" => value = reader.text(node, &at)?,
            "regex" => regex = reader.text(node, &at)?,
            "secret" => secret = reader.text(node, &at)?,
            _ => ranges = reader.text(node, &at)?,
        }
    }
    let parameter = parameter.unwrap_or_default();
    let signature = |algorithm, deprecated, parameter, secret| Match::Signature {
        parameter,
        algorithm,
        secret: Secret::new(secret),
        deprecated,
    };
    Ok(match kind.as_str() {
        "value" => Match::Value { parameter, value },
        "regex" => {
            let pattern = Pattern::new(regex);
            if let Some(problem) = pattern.problem() {
                reader.warn(node, at, &format!("the rule is an error for every request: {problem}"));
            }
            Match::Regex { parameter, pattern }
        }
        "exists" => Match::Exists { parameter },
        "is-null" => Match::IsNull { parameter },
        "payload-hmac-sha1" => signature(Algorithm::Sha1, false, parameter, secret),
        "payload-hmac-sha256" => signature(Algorithm::Sha256, false, parameter, secret),
        "payload-hmac-sha512" => signature(Algorithm::Sha512, false, parameter, secret),
        "payload-hash-sha1" => signature(Algorithm::Sha1, true, parameter, secret),
        "payload-hash-sha256" => signature(Algorithm::Sha256, true, parameter, secret),
        "payload-hash-sha512" => signature(Algorithm::Sha512, true, parameter, secret),
        "ip-whitelist" => {
            let ranges = IpRanges::parse(&ranges);
            for item in ranges.bad_items() {
                reader.warn(node, at, &format!("{item:?} is neither an address nor a range"));
            }
            Match::IpWhitelist(ranges)
        }
        "scalr-signature" => Match::Scalr(Secret::new(secret)),
        other => {
            reader.warn(node, at, &format!("there is no match type {other:?}: it never holds"));
            Match::Unknown { parameter }
        }
    })
}
