use std::time::Duration;

use super::hook;
use crate::webhook::hooks::{file, hook::Hook, source::Source};

fn error(text: &str) -> String {
    file::parse("hooks.json", text).map(|loaded| format!("{:?}", loaded.hooks)).unwrap_err().to_string()
}

fn warnings(text: &str) -> Vec<String> {
    file::parse("hooks.json", text).unwrap().warnings
}

#[test]
fn every_property_is_read() {
    let hook = hook(
        r#"{"id": "a/b", "execute-command": "/bin/x", "command-working-directory": "/w", "response-message": "m",
            "response-headers": [{"name": "A", "value": "b"}, {"name": "C"}], "success-http-response-code": 201,
            "incoming-payload-content-type": "application/json", "http-methods": ["GET", " post"],
            "include-command-output-in-response": true, "include-command-output-in-response-on-error": true,
            "pass-arguments-to-command": [{"source": "header", "name": "x-a"}],
            "pass-environment-to-command": [{"source": "payload", "name": "p", "envname": "E"}],
            "pass-file-to-command": [{"source": "string", "name": "s", "base64decode": true}],
            "parse-parameters-as-json": [{"source": "query", "name": "q"}],
            "trigger-rule": {"and": []}, "trigger-rule-mismatch-http-response-code": 400,
            "trigger-signature-soft-failures": true, "signature-mismatch-http-response-code": 403,
            "payload-form-field": "payload", "max-concurrency": 2, "max-waiting": 5, "busy-http-response-code": 503,
            "command-timeout": "30m", "stream-command-output": true, "pass-stdin-to-command": true,
            "log-command-output-as-it-comes": true}"#,
    );
    assert_eq!(hook.response_headers, [("A".into(), "b".into()), ("C".into(), String::new())]);
    assert_eq!(hook.arguments[0].source, Source::Header("X-A".into()));
    assert_eq!(hook.arguments[0].name, "x-a");
    assert_eq!(hook.environment[0].environment_variable(), "E");
    assert!(hook.files[0].argument.base64decode && hook.files[0].variable() == "HOOK_S");
    assert_eq!(hook.parse_as_json[0].source, Source::Query("q".into()));
    assert_eq!(hook.command_timeout, Some(Duration::from_secs(1800)));
    assert_eq!(
        (hook.success_code, hook.mismatch_code, hook.signature_mismatch_code, hook.busy_code),
        (201, 400, 403, 503)
    );
    assert_eq!((hook.max_concurrency, hook.max_waiting), (2, 5));
    assert_eq!(hook.methods, ["GET", " post"]);
    assert!(hook.output_in_response && hook.output_in_response_on_error && hook.signature_soft_failures);
    assert!(hook.stream_output && hook.pass_stdin && hook.log_output_live);
    assert_eq!([&hook.id, &hook.execute_command, &hook.working_directory], ["a/b", "/bin/x", "/w"]);
    assert_eq!(
        [&hook.response_message, &hook.payload_content_type, &hook.payload_form_field],
        ["m", "application/json", "payload"]
    );
}

#[test]
fn what_is_not_said_has_its_default() {
    let empty = Hook { busy_code: 429, ..Hook::default() };
    assert_eq!(file::parse("f", "- null\n- {}\n").unwrap().hooks, [empty.clone(), empty]);
    for nothing in ["", "null", "[]", "# only a comment"] {
        assert!(file::parse("f", nothing).unwrap().hooks.is_empty(), "{nothing}");
    }
}

#[test]
fn text_may_be_written_as_number_or_boolean() {
    for (written, text) in
        [("5", "5"), ("0777", "511"), ("1.10", "1.1"), ("yes", "true"), ("null", ""), ("'07'", "07")]
    {
        assert_eq!(hook(&format!("{{id: x, execute-command: {written}}}")).execute_command, text);
    }
    let hook = hook(
        "{ID: x, Execute-Command: a, success-http-response-code: 201.0, http-methods: [1, yes], response-headers: null}",
    );
    assert_eq!((hook.id.as_str(), hook.execute_command.as_str(), hook.success_code), ("x", "a", 201));
    assert_eq!(hook.methods, ["1", "true"]);
}

#[test]
fn times_have_units() {
    for (written, seconds) in [("90", 90), ("90s", 90), ("30m", 1800), ("6h", 21600), ("0", 0)] {
        let timeout = hook(&format!("{{id: x, command-timeout: {written}}}")).command_timeout;
        assert_eq!(timeout.map_or(0, |timeout| timeout.as_secs()), seconds, "{written}");
    }
    for written in
        ["x", "-1", "1d", "1d12h", "h", "30mm", "99999999999999999999", "9999999999999999999h", "''"]
    {
        let error = error(&format!("[{{id: x, command-timeout: {written}}}]"));
        let problem = "is not a time: write 90, 90s, 30m or 6h, or 0 for no limit";
        assert!(error.contains("command-timeout: \"") && error.ends_with(problem), "{error}");
    }
}

#[test]
fn a_wrong_type_fails_the_file_and_names_the_place() {
    let cases = [
        ("{}", "hooks.json:1: the file must be a list of hooks, not an object"),
        ("text", "hooks.json:1: the file must be a list of hooks, not text"),
        ("- id: a\n- 5\n", "hooks.json:2: hook 2: must be an object, not a number"),
        ("- id: [a]\n", "hooks.json:1: hook 1: id: must be text, not a list"),
        (
            "- execute-command: {a: b}\n  id: z\n",
            "hooks.json:1: hook \"z\": execute-command: must be text, not an object",
        ),
        (
            "- id: z\n  success-http-response-code: '201'\n",
            "hooks.json:2: hook \"z\": success-http-response-code: must be a whole number, without quotes, not text",
        ),
        (
            "- id: z\n  success-http-response-code: 201.5\n",
            "hooks.json:2: hook \"z\": success-http-response-code: must be a whole number",
        ),
        (
            "- id: z\n  include-command-output-in-response: \"true\"\n",
            "hooks.json:2: hook \"z\": include-command-output-in-response: must be true or false, without quotes, not text",
        ),
        (
            "- id: z\n  http-methods: POST\n",
            "hooks.json:2: hook \"z\": http-methods: must be a list, not text",
        ),
        (
            "- id: z\n  response-headers: {a: b}\n",
            "hooks.json:2: hook \"z\": response-headers: must be a list, not an object",
        ),
        (
            "- id: z\n  pass-arguments-to-command:\n  - source: string\n  - name: [x]\n",
            "hooks.json:4: hook \"z\": pass-arguments-to-command[1].name: must be text, not a list",
        ),
        (
            "- id: z\n  trigger-rule: []\n",
            "hooks.json:2: hook \"z\": trigger-rule: must be an object, not a list",
        ),
        (
            "- id: z\n  trigger-rule:\n    and:\n      - x\n",
            "hooks.json:4: hook \"z\": trigger-rule.and[0]: must be an object, not text",
        ),
        (
            "- id: z\n  max-concurrency: -1\n",
            "hooks.json:2: hook \"z\": max-concurrency: must be a number from 0 on",
        ),
        (
            "- id: z\n  busy-http-response-code: 500\n",
            "hooks.json:2: hook \"z\": busy-http-response-code: must be 429 or 503",
        ),
        (
            "[{\"id\": \"z\"\n \"x\": 1}]",
            "hooks.json:2: did not find expected ',' or '}' while parsing a flow mapping",
        ),
    ];
    for (text, message) in cases {
        let error = error(text);
        assert!(error.starts_with(message), "{text}\n{error}");
    }
}

#[test]
fn what_is_odd_is_a_warning() {
    let cases = [
        (
            "- id: a\n  execute-command: x\n  excute-comand: y\n",
            "hooks.json:3: hook \"a\": unknown property \"excute-comand\" is ignored; did you mean \"execute-command\"?",
        ),
        (
            "- {id: a, execute-command: x, zzz: 1}",
            "hooks.json:1: hook \"a\": unknown property \"zzz\" is ignored",
        ),
        ("- {id: a}", "hooks.json:1: hook \"a\": there is no execute-command"),
        (
            "- id: a\n  execute-command: x\n  trigger-rule:\n    match: {type: payload-hmac-sha1, secrets: y, secret: y}\n",
            "hooks.json:4: hook \"a\": trigger-rule.match: unknown property \"secrets\" is ignored; did you mean \"secret\"?",
        ),
        (
            "- {id: a, execute-command: x, trigger-rule: {match: {type: payload-hmac-sha1, parameter: {source: header}}}}",
            "hooks.json:1: hook \"a\": the hook is disabled and answers 500: a secret in its trigger-rule is empty",
        ),
        (
            "- {id: a, execute-command: x, trigger-rule: {match: {type: regex, regex: '('}}}",
            "hooks.json:1: hook \"a\": trigger-rule.match: the rule is an error for every request: error parsing regexp: missing closing ): `(`",
        ),
        (
            "- {id: a, execute-command: x, trigger-rule: {match: {type: ip-whitelist, ip-range: '::1 x'}}}",
            "hooks.json:1: hook \"a\": trigger-rule.match: \"x\" is neither an address nor a range",
        ),
        (
            "- {id: a, execute-command: x, trigger-rule: {match: {type: valeu}}}",
            "hooks.json:1: hook \"a\": trigger-rule.match: there is no match type \"valeu\": it never holds",
        ),
        (
            "- {id: a, execute-command: x, trigger-rule: {or: [], match: {type: value}}}",
            "hooks.json:1: hook \"a\": trigger-rule: \"or\" stands beside \"match\", which is ignored",
        ),
        (
            "- {id: a, execute-command: x, trigger-rule: {}}",
            "hooks.json:1: hook \"a\": trigger-rule: an empty rule never holds",
        ),
        (
            "- {id: a, execute-command: x, pass-arguments-to-command: [{source: heeder}]}",
            "hooks.json:1: hook \"a\": pass-arguments-to-command[0]: there is no source \"heeder\": it never has a value",
        ),
        (
            "- {id: a, execute-command: x, pass-arguments-to-command: [{source: string, else: {source: string, envname: X}}]}",
            "hooks.json:1: hook \"a\": pass-arguments-to-command[0].else: unknown property \"envname\" is ignored",
        ),
        (
            "[{id: a, execute-command: x}]\n\ntrailing",
            "hooks.json:3: did not find expected <document start>: what stands there is ignored",
        ),
        (
            "[{id: a, execute-command: x}]]",
            "hooks.json:1: did not find expected <document start>: what stands there is ignored",
        ),
    ];
    for (text, warning) in cases {
        assert_eq!(warnings(text), [warning], "{text}");
    }
    assert_eq!(warnings("- {ID: a, Execute-Command: x, Trigger-Rule: {MATCH: {TYPE: value}}}"), [""; 0]);
}

/// Every property is in the reference, and every example in it loads without a complaint.
#[test]
fn the_reference_is_whole_and_its_examples_load() {
    let reference = include_str!("../../../../docs/hooks.md");
    for property in file::HOOK {
        assert!(reference.contains(&format!("| `{property}`")), "{property} is not in docs/hooks.md");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hooks");
    // Without the variables the secrets in the examples would be empty.
    let reference =
        reference.replace("getenv \"SECRET\"", "\"s\"").replace("getenv \"GITLAB_TOKEN\"", "\"t\"");
    let blocks: Vec<&str> = reference.split("```").skip(1).step_by(2).collect();
    let files =
        blocks.iter().filter_map(|block| block.strip_prefix("yaml").or(block.strip_prefix("json\n[")));
    let mut count = 0;
    for file in files {
        let bracket = if file.starts_with('\n') && !file.trim_start().starts_with('-') { "[" } else { "" };
        std::fs::write(&path, format!("{bracket}{file}")).unwrap();
        let loaded = file::load(&path, true).unwrap_or_else(|error| panic!("{error}\n{file}"));
        assert_eq!((loaded.hooks.len(), loaded.warnings), (1, vec![]), "{file}");
        count += 1;
    }
    assert!(count >= 8, "only {count} examples were found");
}

#[test]
fn a_file_is_read_and_expanded_from_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("webhook.conf");
    let text = "[{\"id\": \"{{ getenv \"AMP_CI_NO_SUCH_VARIABLE\" | js }}a\", \"execute-command\": \"{{ cat \"KEY\" | js }}\"}]";
    let key = directory.path().join("key");
    std::fs::write(&key, "it's \"<so>\\\" \n").unwrap();
    std::fs::write(&path, text.replace("KEY", key.to_str().unwrap())).unwrap();
    let loaded = file::load(&path, true).unwrap();
    assert_eq!(
        (loaded.hooks[0].id.as_str(), loaded.hooks[0].execute_command.as_str()),
        ("a", "it's \"<so>\\\" ")
    );
    let problem = file::load(&path, false).unwrap_err().to_string();
    assert!(problem.ends_with("({{ is expanded only with -template)"), "{problem}");
    std::fs::write(&path, "[{id: a, execute-command: '{{ getenv \"X\" }}'}]").unwrap();
    let shown = path.display().to_string();
    assert_eq!(
        file::load(&path, false).unwrap().warnings,
        [format!("{shown}: {{{{ is taken as it stands: it is expanded only with -template")]
    );
    assert!(file::load(&path, true).unwrap().warnings.len() == 1, "only that there is no command");

    std::fs::write(&path, "[\n{{ range . }}]").unwrap();
    let shown = path.display();
    assert_eq!(
        file::load(&path, true).unwrap_err().to_string(),
        format!("{shown}:2: template: range is not supported")
    );
    std::fs::write(&path, b"[]\n\n\xff").unwrap();
    assert_eq!(file::load(&path, true).unwrap_err().to_string(), format!("{shown}:3: not UTF-8"));
    std::fs::remove_file(&path).unwrap();
    assert!(file::load(&path, false).unwrap_err().to_string().contains("webhook.conf"));
    assert!(file::load("".as_ref(), true).unwrap().hooks.is_empty());
}
