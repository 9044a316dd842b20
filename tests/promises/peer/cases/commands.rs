//! Commands: how they are found, what they are given, how they end.

use serde_json::{Value, json};

use super::{TEXT, Table, rows, show, source};
use crate::support::daemon::shell;

/// Command and working directory.
const COMMANDS: [(&str, &str); 28] = [
    ("/bin/echo", ""),
    ("echo", ""),
    ("/no/such", ""),
    ("no-such-program", ""),
    ("/bin/echo x", ""),
    ("echo x y", ""),
    ("", ""),
    ("/tmp", ""),
    ("/etc/passwd", ""),
    ("./show", ""),
    ("show", ""),
    ("show", "."),
    ("./show", "."),
    ("echo", "."),
    ("echo", "/bin"),
    ("./echo", "/bin"),
    ("../bin/echo", "/bin"),
    ("/bin/echo", "/tmp"),
    ("/bin/echo", "/no/such"),
    ("no-interpreter", "."),
    ("./no-interpreter", ""),
    ("sub/x", "/no/such"),
    ("/bin/pwd", "/"),
    ("/bin/pwd", "tmp"),
    ("echo", "tmp"),
    ("/bin/pwd", "/etc/passwd"),
    ("~/x", ""),
    ("$HOME/x", ""),
];

const SCRIPTS: &str = r"
exit 1
exit 255
echo out; exit 3
kill -9 $$
kill -TERM $$
kill -HUP $$
kill -USR1 $$
echo a; echo b >&2; echo c
printf 'no newline'
printf '\n\n'
true
printf 'tab\there'
echo café
head -c 2048 /dev/zero | tr '\0' x
head -c 2049 /dev/zero | tr '\0' x
head -c 200000 /dev/zero | tr '\0' y
";

const WORDS: [&str; 23] = [
    "", " ", "a b", "\"", "'", "\\", "\t", "\n", "\u{7f}", "é", "\u{a0}", "\u{301}", "😀", "$HOME", "`x`",
    "\u{202e}", "\u{fffd}", "-x", "\u{1}", "\u{85}", "\u{ad}", "\u{e000}", "\u{378}",
];

/// Source, name and variable.
const VARIABLES: [(&str, &str, &str); 12] = [
    ("payload", "a", ""),
    ("payload", "a.b", ""),
    ("payload", "a", "V_NAME"),
    ("payload", "gone", "V_GONE"),
    ("string", "text", ""),
    ("string", "x", "V_WITH=EQUALS"),
    ("header", "x-one", ""),
    ("entire-payload", "", ""),
    ("payload", "multi", "V_MULTI"),
    ("string", "again", "V_NAME"),
    ("string", "changed", "GREETING"),
    ("raw-request-body", "", "V_RAW"),
];

const BASE64: &str = r"

YQ==
YWI=
YWJj
YWJj\r\nYWJj
YQ
YWJjYQ
YWJj!
YW Jj
====
YQ==YQ==
YR==
-_-_
AP8A
YWJj=
YWJjZA==
";

pub(super) fn add(table: &mut Table) {
    for (number, (command, dir)) in COMMANDS.into_iter().enumerate() {
        let hook = |id: &str, wait: bool| {
            json!({"id": id, "execute-command": command, "command-working-directory": dir,
                   "include-command-output-in-response": wait, "response-message": "taken"})
        };
        for (id, wait) in [(format!("command-{number}"), true), (format!("async-command-{number}"), false)] {
            table.hook(hook(&id, wait));
            table.get(&id);
        }
    }
    for (number, script) in rows(SCRIPTS).enumerate() {
        for (kind, on_error) in [("quiet", false), ("loud", true)] {
            let id = format!("script-{kind}-{number}");
            table.hook(shell(&id, script, json!({"include-command-output-in-response-on-error": on_error})));
            table.get(&id);
            table.case("HEAD", &format!("/hooks/{id}"), &[], "");
        }
    }
    let words = WORDS.map(|word| source("string", word));
    table.hook(show("words", json!({"pass-arguments-to-command": words})));
    table.get("words");
    table.hook(show("long", json!({"pass-arguments-to-command": [source("raw-request-body", "")]})));
    table.case("POST", "/hooks/long", &[TEXT], "x".repeat(140_000));
    environment(table);
    files(table);
}

fn environment(table: &mut Table) {
    let variable = |(from, name, variable): (&str, &str, &str)| -> Value {
        json!({"source": from, "name": name, "envname": variable})
    };
    table.hook(show("environment", json!({"pass-environment-to-command": VARIABLES.map(variable)})));
    table.post("environment", r#"{"a":{"b":"deep"},"multi":"one two"}"#);
    table.post("environment", r#"{"a":"\"quoted\" <&>"}"#);
    let with_nul = r#"{"a":"x\u0000y"}"#;
    table.hook(show("nul", json!({"pass-arguments-to-command": [source("payload", "a")]})));
    table.post("nul", with_nul);
    table.hook(show(
        "nul-variable",
        json!({"pass-environment-to-command": [variable(("payload", "a", "V_A"))]}),
    ));
    table.post("nul-variable", with_nul);
}

fn files(table: &mut Table) {
    let item =
        |from: &str, name: &str, variable: &str| json!({"source": from, "name": name, "envname": variable});
    let decoded = json!({"source": "payload", "name": "b", "envname": "F_B", "base64decode": true});
    let of = |items: &[Value]| json!({"pass-file-to-command": items});
    table.hook(show(
        "files",
        of(&[
            item("payload", "a", "F_A"),
            item("payload", "a", ""),
            decoded,
            item("payload", "gone", "F_GONE"),
            item("string", "text", "F_*_star"),
            item("raw-request-body", "", "F_RAW"),
        ]),
    ));
    for encoded in rows(BASE64) {
        table.post("files", &format!(r#"{{"a":"plain","b":"{encoded}"}}"#));
    }
    table.post("files", r#"{"a":{"x":1},"b":5}"#);
    table.hook(show("files-slash", of(&[item("string", "x", "F_a/b"), item("string", "y", "F_Y")])));
    let mut there = show("files-there", of(&[item("string", "x", "F_X")]));
    there["command-working-directory"] = "tmp".into();
    there["execute-command"] = "../show".into();
    table.hook(there);
    let mut background = show("async-files", of(&[item("string", "x", "F_X")]));
    background["include-command-output-in-response"] = false.into();
    table.hook(background);
    let mut absent = show("files-none", of(&[item("string", "x", "F_X")]));
    absent["execute-command"] = "/no/such".into();
    table.hook(absent);
    for id in ["files-slash", "files-there", "async-files", "files-none"] {
        table.get(id);
    }
}
