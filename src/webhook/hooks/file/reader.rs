//! The properties of the hooks file: typed out of the YAML tree, every complaint with its place.
//!
//! Names are taken in any mixture of capitals; a text may be written as number or boolean; null is as good
//! as nothing. Anything else of a wrong type makes the file fail; an unknown name is a warning.

use std::time::Duration;

use super::yaml::{Node, Value, scalar_text};
use crate::{
    timeout::{NoTimeout, Timeout},
    webhook::{
        go::regexp::Pattern,
        hooks::{
            hook::Hook,
            ip_range::IpRanges,
            rule::{Match, Rule},
            signature::{Algorithm, Secret},
            source::{Argument, FileArgument, Source},
        },
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
const ARGUMENT: &[&str] = &["source", "name", "envname", "base64decode"];
const RULE: &[&str] = &["and", "or", "not", "match"];
const MATCH: &[&str] = &["type", "parameter", "value", "regex", "secret", "ip-range"];
const HEADER: &[&str] = &["name", "value"];

/// Reads one file's tree.
pub struct Reader<'f> {
    /// How the file is named in complaints.
    pub file: &'f str,
    pub warnings: Vec<String>,
    /// Which hook we are in.
    hook: String,
}

/// Why a hooks file did not load; names file, line, hook and property.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub String);

type Read<T> = Result<T, LoadError>;

impl<'f> Reader<'f> {
    pub fn new(file: &'f str) -> Self {
        Self { file, warnings: Vec::new(), hook: String::new() }
    }

    /// The hooks of a file: a list, or nothing.
    pub fn hooks(&mut self, root: &Node) -> Read<Vec<Hook>> {
        let items = match &root.value {
            Value::Null => &[][..],
            Value::List(items) => items,
            other => {
                return Err(self.error(
                    root,
                    "",
                    &format!("the file must be a list of hooks, not {}", other.kind()),
                ));
            }
        };
        items.iter().enumerate().map(|(n, item)| self.hook(n, item)).collect()
    }

    fn hook(&mut self, n: usize, node: &Node) -> Read<Hook> {
        self.hook = format!("hook {}", n + 1);
        let mut hook = Hook { busy_code: 429, ..Hook::default() };
        if let Value::Map(entries) = &node.value
            && let Some((_, id)) = entries.iter().find(|(name, _)| name.eq_ignore_ascii_case("id"))
        {
            self.hook = format!("hook {:?}", self.text(id, "id")?);
        }
        for (name, node) in self.members(node, "", HOOK)? {
            self.property(&mut hook, name, node)?;
        }
        if hook.execute_command.is_empty() {
            self.warn(node, "", "there is no execute-command");
        }
        if hook.rule.as_ref().is_some_and(Rule::has_empty_secret) {
            let reason = "a secret in its trigger-rule is empty";
            self.warn(node, "", &format!("the hook is disabled and answers 500: {reason}"));
            hook.disabled = Some(reason.to_owned());
        }
        Ok(hook)
    }

    fn property(&mut self, hook: &mut Hook, name: &'static str, node: &Node) -> Read<()> {
        match name {
            "id" => hook.id = self.text(node, name)?,
            "execute-command" => hook.execute_command = self.text(node, name)?,
            "command-working-directory" => hook.working_directory = self.text(node, name)?,
            "response-message" => hook.response_message = self.text(node, name)?,
            "response-headers" => hook.response_headers = self.list(node, name, Self::header)?,
            "success-http-response-code" => hook.success_code = self.integer(node, name)?,
            "incoming-payload-content-type" => hook.payload_content_type = self.text(node, name)?,
            "http-methods" => hook.methods = self.list(node, name, Self::text)?,
            "include-command-output-in-response" => hook.output_in_response = self.boolean(node, name)?,
            "include-command-output-in-response-on-error" => {
                hook.output_in_response_on_error = self.boolean(node, name)?;
            }
            "pass-arguments-to-command" => hook.arguments = self.list(node, name, Self::argument)?,
            "pass-environment-to-command" => hook.environment = self.list(node, name, Self::argument)?,
            "pass-file-to-command" => hook.files = self.list(node, name, Self::file_argument)?,
            "parse-parameters-as-json" => hook.parse_as_json = self.list(node, name, Self::argument)?,
            "trigger-rule" => hook.rule = Some(self.rule(node, name)?),
            "trigger-rule-mismatch-http-response-code" => hook.mismatch_code = self.integer(node, name)?,
            "trigger-signature-soft-failures" => hook.signature_soft_failures = self.boolean(node, name)?,
            "signature-mismatch-http-response-code" => {
                hook.signature_mismatch_code = self.integer(node, name)?;
            }
            "payload-form-field" => hook.payload_form_field = self.text(node, name)?,
            "max-concurrency" => hook.max_concurrency = self.count(node, name)?,
            "max-waiting" => hook.max_waiting = self.count(node, name)?,
            "busy-http-response-code" => {
                hook.busy_code = self.integer(node, name)?;
                if ![429, 503].contains(&hook.busy_code) {
                    return Err(self.error(node, name, "must be 429 or 503"));
                }
            }
            "command-timeout" => hook.command_timeout = self.timeout(node, name)?,
            "stream-command-output" => hook.stream_output = self.boolean(node, name)?,
            "pass-stdin-to-command" => hook.pass_stdin = self.boolean(node, name)?,
            "log-command-output-as-it-comes" => hook.log_output_live = self.boolean(node, name)?,
            _ => unreachable!("{name} is in the list of names but not here"),
        }
        Ok(())
    }

    fn header(&mut self, node: &Node, at: &str) -> Read<(String, String)> {
        let mut header = (String::new(), String::new());
        for (name, node) in self.members(node, at, HEADER)? {
            let text = self.text(node, &format!("{at}.{name}"))?;
            match name {
                "name" => header.0 = text,
                _ => header.1 = text,
            }
        }
        Ok(header)
    }

    fn argument(&mut self, node: &Node, at: &str) -> Read<Argument> {
        let (mut source, mut name, mut envname, mut base64decode) = Default::default();
        for (member, node) in self.members(node, at, ARGUMENT)? {
            let at = format!("{at}.{member}");
            match member {
                "source" => source = self.text(node, &at)?,
                "name" => name = self.text(node, &at)?,
                "envname" => envname = self.text(node, &at)?,
                _ => base64decode = self.boolean(node, &at)?,
            }
        }
        let source_text: String = source;
        let source = Source::new(&source_text, &name);
        if let Source::Unknown(unknown) = &source {
            self.warn(node, at, &format!("there is no source {unknown:?}: it never has a value"));
        }
        Ok(Argument { source, source_text, name, envname, base64decode })
    }

    fn file_argument(&mut self, node: &Node, at: &str) -> Read<FileArgument> {
        self.argument(node, at).map(FileArgument::new)
    }

    fn rule(&mut self, node: &Node, at: &str) -> Read<Rule> {
        let mut rules: Vec<(&str, Rule)> = Vec::new();
        for (member, node) in self.members(node, at, RULE)? {
            let at = format!("{at}.{member}");
            let rule = match member {
                "and" => Rule::And(self.list(node, &at, Self::rule)?),
                "or" => Rule::Or(self.list(node, &at, Self::rule)?),
                "not" => Rule::Not(Box::new(self.rule(node, &at)?)),
                _ => Rule::Match(self.match_rule(node, &at)?),
            };
            rules.retain(|(known, _)| *known != member);
            rules.push((member, rule));
        }
        rules.sort_by_key(|(member, _)| RULE.iter().position(|known| known == member));
        if let [(first, _), (ignored, _), ..] = rules[..] {
            self.warn(node, at, &format!("{first:?} stands beside {ignored:?}, which is ignored"));
        }
        if let Some((_, rule)) = rules.into_iter().next() {
            Ok(rule)
        } else {
            self.warn(node, at, "an empty rule never holds");
            Ok(Rule::Never)
        }
    }

    fn match_rule(&mut self, node: &Node, at: &str) -> Read<Match> {
        let (mut kind, mut value, mut regex, mut secret, mut ranges): (String, _, _, String, String) =
            Default::default();
        let mut parameter = None;
        for (member, node) in self.members(node, at, MATCH)? {
            let at = format!("{at}.{member}");
            match member {
                "type" => kind = self.text(node, &at)?,
                "parameter" => parameter = Some(self.argument(node, &at)?),
                "value" => value = self.text(node, &at)?,
                "regex" => regex = self.text(node, &at)?,
                "secret" => secret = self.text(node, &at)?,
                _ => ranges = self.text(node, &at)?,
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
                    self.warn(node, at, &format!("the rule is an error for every request: {problem}"));
                }
                Match::Regex { parameter, pattern }
            }
            "payload-hmac-sha1" => signature(Algorithm::Sha1, false, parameter, secret),
            "payload-hmac-sha256" => signature(Algorithm::Sha256, false, parameter, secret),
            "payload-hmac-sha512" => signature(Algorithm::Sha512, false, parameter, secret),
            "payload-hash-sha1" => signature(Algorithm::Sha1, true, parameter, secret),
            "payload-hash-sha256" => signature(Algorithm::Sha256, true, parameter, secret),
            "payload-hash-sha512" => signature(Algorithm::Sha512, true, parameter, secret),
            "ip-whitelist" => {
                let ranges = IpRanges::parse(&ranges);
                for item in ranges.bad_items() {
                    self.warn(node, at, &format!("{item:?} is neither an address nor a range"));
                }
                Match::IpWhitelist(ranges)
            }
            "scalr-signature" => Match::Scalr(Secret::new(secret)),
            other => {
                self.warn(node, at, &format!("there is no match type {other:?}: it never holds"));
                Match::Unknown { parameter }
            }
        })
    }

    /// The members of an object that `known` names. Where a name is written twice, in different capitals,
    /// the later one in the order of the bytes counts, as with the peer.
    fn members<'n>(
        &mut self,
        node: &'n Node,
        at: &str,
        known: &'static [&'static str],
    ) -> Read<Vec<(&'static str, &'n Node)>> {
        let entries = match &node.value {
            Value::Map(entries) => &entries[..],
            Value::Null => &[],
            other => return Err(self.error(node, at, &format!("must be an object, not {}", other.kind()))),
        };
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort_by_key(|(name, _)| name);
        let mut members = Vec::new();
        for (name, value) in entries {
            match known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
                Some(_) if value.value == Value::Null => {}
                Some(known) => members.push((*known, value)),
                None => self.warn(value, at, &unknown_name(name, known)),
            }
        }
        Ok(members)
    }

    fn list<T>(
        &mut self,
        node: &Node,
        at: &str,
        read: fn(&mut Self, &Node, &str) -> Read<T>,
    ) -> Read<Vec<T>> {
        match &node.value {
            Value::List(items) => {
                items.iter().enumerate().map(|(n, item)| read(self, item, &format!("{at}[{n}]"))).collect()
            }
            other => Err(self.error(node, at, &format!("must be a list, not {}", other.kind()))),
        }
    }

    fn text(&mut self, node: &Node, at: &str) -> Read<String> {
        match &node.value {
            Value::List(_) | Value::Map(_) => {
                Err(self.error(node, at, &format!("must be text, not {}", node.value.kind())))
            }
            scalar => Ok(scalar_text(scalar.clone())),
        }
    }

    fn boolean(&mut self, node: &Node, at: &str) -> Read<bool> {
        match &node.value {
            Value::Bool(bool) => Ok(*bool),
            other => Err(self.error(
                node,
                at,
                &format!("must be true or false, without quotes, not {}", other.kind()),
            )),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the guard keeps to what a float holds exactly")]
    fn integer(&mut self, node: &Node, at: &str) -> Read<i64> {
        match &node.value {
            Value::Integer(number) if i64::try_from(*number).is_ok() => Ok(*number as i64),
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => Ok(*number as i64),
            Value::Integer(_) | Value::Float(_) => Err(self.error(node, at, "must be a whole number")),
            other => Err(self.error(
                node,
                at,
                &format!("must be a whole number, without quotes, not {}", other.kind()),
            )),
        }
    }

    fn count(&mut self, node: &Node, at: &str) -> Read<u32> {
        let number = self.integer(node, at)?;
        u32::try_from(number).map_err(|_| self.error(node, at, "must be a number from 0 on"))
    }

    fn timeout(&mut self, node: &Node, at: &str) -> Read<Option<Duration>> {
        let Timeout(limit) = self
            .text(node, at)?
            .parse()
            .map_err(|error: NoTimeout| self.error(node, at, &error.to_string()))?;
        Ok(limit)
    }

    fn error(&self, node: &Node, at: &str, problem: &str) -> LoadError {
        LoadError(self.place(node, at) + problem)
    }

    fn warn(&mut self, node: &Node, at: &str, problem: &str) {
        self.warnings.push(self.place(node, at) + problem);
    }

    /// `hooks.json:7: hook "deploy": trigger-rule.match: `
    fn place(&self, node: &Node, at: &str) -> String {
        let mut place = format!("{}:{}: ", self.file, node.line);
        for part in [self.hook.as_str(), at].into_iter().filter(|part| !part.is_empty()) {
            place += part;
            place += ": ";
        }
        place
    }
}

fn unknown_name(name: &str, known: &[&str]) -> String {
    let distance = |known: &&&str| strsim::damerau_levenshtein(&name.to_ascii_lowercase(), known);
    let nearest = known.iter().min_by_key(distance).filter(|nearest| distance(nearest) <= 1 + name.len() / 4);
    match nearest {
        Some(nearest) => format!("unknown property {name:?} is ignored; did you mean {nearest:?}?"),
        None => format!("unknown property {name:?} is ignored"),
    }
}
