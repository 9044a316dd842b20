//! Rules: their trees, patterns, signatures and addresses.

use serde_json::{Value, json};

use super::{JSON, Table, payload, rows, source};
use crate::support::daemon::shell;

const PATTERNS: &str = r"
^refs/heads/
main$
^$

.
(?i)abc
(?s)x.y
x.y
(?m)^y$
\d+
\w
\s
\bmain\b
[[:alpha:]]+
[[]
[a&&b]
[]a]
\Qa.b\E
\x41
\101
a{,2}
a{2}
a{2,}
]
{
}
\/
\-
\<
\_
(?U)a+
(?P<n>a)
(?:a)
[^a]
\pL
\p{Greek}
[\d]
\z
\A
a|b
(
)
*
+a
a**
(?=a)
(?<!a)
\1
(?x)a b
\Z
\C
a++
\y
a{1001}
[b-a]
[\Q]\E]
\e
\cA
(?i)É
\v
[--a]
[a~~b]
\#
é
[\x{41}]
\u0041
(?#c)a
a?{2}
x*?
$^
(?-s).
[[:foo:]]
[z
(?P<n>a)(?P<n>a)
(?P<
(?i-i:A)
(?i
\p{Cs}
\P{Cs}
\p{Cn}
\x{110000}
\
";

const SUBJECTS: [&str; 13] = [
    "refs/heads/main",
    "a.b",
    "ABC",
    "x\ny",
    "é",
    "",
    "a]b",
    "tab\there",
    "100%",
    "[x]",
    "aaa",
    "a{,2}",
    "_-/<>",
];

const RANGES: &str = "
127.0.0.1
127.0.0.1/32
127.0.0.0/8
127.0.0.2/8
10.0.0.0/8
10.0.0.0/8 127.0.0.1
0.0.0.0/0

127.0.0.1/33
127.0.0
10.0.0.1,127.0.0.1
localhost
127.0.0.1/
::1/128
::ffff:127.0.0.1/128
127.0.0.2 127.0.0.1/31
bad 127.0.0.1
127.0.0.1 bad
010.0.0.1
::/0
";

pub(super) fn add(table: &mut Table) {
    for (number, pattern) in rows(PATTERNS).chain([r"\ "]).enumerate() {
        let id = format!("re-{number}");
        let rule = json!({"match": {"type": "regex", "regex": pattern, "parameter": payload("s")}});
        table.hook(shell(
            &id,
            "",
            json!({"trigger-rule": rule, "trigger-rule-mismatch-http-response-code": 418}),
        ));
        for subject in SUBJECTS {
            table.post(&id, &json!({"s": subject}).to_string());
        }
    }
    table.hook(shell(
        "re-none",
        "",
        json!({"trigger-rule": {"match": {"type": "regex", "parameter": payload("s")}}}),
    ));
    table.post("re-none", r#"{"s":"x"}"#);
    table.post("re-none", "{}");
    for (number, range) in rows(RANGES).chain(["  127.0.0.1  "]).enumerate() {
        let id = format!("ip-{number}");
        let rule = json!({"match": {"type": "ip-whitelist", "ip-range": range}});
        table.hook(shell(&id, "echo in", json!({"trigger-rule": rule})));
        table.get(&id);
    }
    for (number, rule) in trees().into_iter().enumerate() {
        let id = format!("rule-{number}");
        let more = json!({"trigger-rule": rule, "trigger-rule-mismatch-http-response-code": 418});
        table.hook(shell(&id, "echo in", more));
        table.post(&id, r#"{"a":1,"b":"x","n":null,"t":true,"empty":"","o":{"k":"<"},"list":[1,"x"]}"#);
    }
    signatures(table);
}

fn trees() -> Vec<Value> {
    let is = |name: &str, value: &str| json!({"match": {"type": "value", "value": value, "parameter": payload(name)}});
    let bad = json!({"match": {"type": "regex", "regex": "(", "parameter": payload("a")}});
    vec![
        json!({}),
        json!({"and": []}),
        json!({"or": []}),
        is("a", "1"),
        is("a", "2"),
        is("missing", "1"),
        json!({"and": [is("a", "1"), is("b", "x")]}),
        json!({"and": [is("a", "1"), is("missing", "x")]}),
        json!({"and": [is("a", "2"), is("missing", "x")]}),
        json!({"or": [is("missing", "1"), is("a", "1")]}),
        json!({"or": [is("missing", "1"), is("missing", "2")]}),
        json!({"or": [is("a", "2"), is("b", "x")]}),
        json!({"not": is("a", "1")}),
        json!({"not": is("a", "2")}),
        json!({"not": {"not": is("a", "1")}}),
        json!({"and": [{"not": is("a", "2")}, is("b", "x")]}),
        json!({"or": [{"not": is("a", "1")}, is("b", "x")]}),
        bad.clone(),
        json!({"or": [bad.clone(), is("a", "1")]}),
        json!({"or": [is("a", "1"), bad.clone()]}),
        json!({"and": [is("a", "2"), bad.clone()]}),
        json!({"not": bad}),
        json!({"match": {"type": "unknown", "parameter": payload("a")}}),
        json!({"match": {"type": "unknown", "parameter": payload("missing")}}),
        json!({"match": {"parameter": payload("a")}}),
        json!({"match": {}}),
        is("n.x", "1"),
        json!({"or": [is("n.x", "1"), is("a", "1")]}),
        json!({"and": [is("a", "1")], "or": [is("a", "2")]}),
        json!({"or": [is("a", "1")], "not": is("a", "1")}),
        json!({"and": null, "match": {"type": "value", "value": "1", "parameter": payload("a")}}),
        json!({"match": {"type": "value", "value": 1, "parameter": payload("a")}}),
        json!({"match": {"type": "value", "value": true, "parameter": payload("t")}}),
        json!({"match": {"type": "value", "parameter": payload("empty")}}),
        json!({"match": {"type": "VALUE", "value": "1", "parameter": payload("a")}}),
        is("n", "<nil>"),
        is("o", r#"{"k":"\u003c"}"#),
        is("list", r#"[1,"x"]"#),
    ]
}

fn signatures(table: &mut Table) {
    // Of {"n":1} and of nothing, with the key k3y.
    let known = [
        ("sha1", "530e61c60e5121f329db10b61f8ebf0ad84f1492", "6e4171878d4a0349b6ecb1b0f6938614515763d2"),
        (
            "sha256",
            "0f8166ca40dff2f59d7e78e4a152cae710db833265058b836c28285c3302cc2b",
            "6debfeadd8df80dd8b3762fd569962db0f3bfbbe252972c28341591bf823aa2c",
        ),
    ];
    let token =
        |word: &str| json!({"match": {"type": "value", "value": word, "parameter": source("url", "token")}});
    for (hash, right, of_nothing) in known {
        for kind in ["hmac", "hash"] {
            let id = format!("{kind}-{hash}");
            let signed = json!({"match": {
                "type": format!("payload-{kind}-{hash}"), "secret": "k3y", "parameter": source("header", "X-Sig")}});
            table.hook(shell(&id, "echo in", json!({"trigger-rule": signed})));
            let soft = json!({"or": [signed, token("s")]});
            let soft = json!({"trigger-signature-soft-failures": true, "trigger-rule": soft});
            table.hook(shell(&format!("{id}-soft"), "echo in", soft));
            let hard = json!({"trigger-rule": {"or": [token("t"), signed, token("s")]}});
            table.hook(shell(&format!("{id}-hard"), "echo in", hard));
            for signature in [
                right.to_owned(),
                format!("{hash}={right}"),
                format!("{hash}=x,{hash}={right}"),
                format!("{hash}=x, {hash}={right}"),
                format!("x,{right}"),
                format!("{right},"),
                right.to_uppercase(),
                format!("sha512={right}"),
                format!("{hash}="),
                "x".to_owned(),
                format!(" {right} "),
                format!("{hash}={right},"),
                of_nothing.to_owned(),
                format!("{hash}={hash}={right}"),
                String::new(),
            ] {
                for suffix in ["", "-soft?token=s", "-hard?token=t", "-hard?token=s"] {
                    let headers = [JSON, ("X-Sig", &signature)];
                    table.case("POST", &format!("/hooks/{id}{suffix}"), &headers, r#"{"n":1}"#);
                }
                table.case("POST", &format!("/hooks/{id}"), &[("X-Sig", &signature)], "");
            }
            table.post(&id, r#"{"n":1}"#);
            table.post(&format!("{id}-soft"), r#"{"n":1}"#);
        }
    }
    let scalr = json!({"trigger-rule": {"match": {"type": "scalr-signature", "secret": "k3y"}}});
    table.hook(shell("scalr", "echo in", scalr));
    let right = ("X-Signature", "bbd98420bc0541fc137e52422fdc06501cad597a");
    let date = ("Date", "Thu 02 Jan 2020 03:04:05 UTC");
    for headers in [
        &[][..],
        &[("X-Signature", "x")],
        &[right, date],
        &[("X-Signature", "wrong"), date],
        &[right, ("Date", "nonsense")],
    ] {
        table.case("POST", "/hooks/scalr", headers, r#"{"n":1}"#);
    }
}
