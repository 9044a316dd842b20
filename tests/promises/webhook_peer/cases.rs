//! The table: hooks of all kinds, and requests for each.
#![allow(clippy::too_many_lines, reason = "tables are as long as they are")]

use serde_json::{Value, json};

use super::Case;
use crate::daemon::shell;

/// The hooks and the requests for them, as they grow together.
#[derive(Default)]
struct Table {
    hooks: Vec<Value>,
    cases: Vec<Case>,
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

impl Table {
    fn hook(&mut self, hook: Value) {
        self.hooks.push(hook);
    }

    fn case(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        self.cases.push(Case::new(
            &format!("{method} {path} {headers:?} {text}"),
            method,
            path,
            headers,
            body,
        ));
    }

    fn raw(&mut self, raw: impl AsRef<[u8]>) {
        let raw = raw.as_ref().to_vec();
        self.cases.push(Case { name: String::from_utf8_lossy(&raw).into_owned(), raw });
    }

    fn post(&mut self, id: &str, body: &str) {
        self.case("POST", &format!("/hooks/{id}"), &[JSON], body);
    }

    fn get(&mut self, id: &str) {
        self.case("GET", &format!("/hooks/{id}"), &[], "");
    }
}

/// A hook that shows what it is given; `more` is laid over it.
fn show(id: &str, more: Value) -> Value {
    let mut hook = json!({"id": id, "execute-command": "./show", "include-command-output-in-response": true});
    let (Some(properties), Value::Object(more)) = (hook.as_object_mut(), more) else { unreachable!() };
    properties.extend(more);
    hook
}

fn source(source: &str, name: &str) -> Value {
    json!({"source": source, "name": name})
}

fn payload(name: &str) -> Value {
    source("payload", name)
}

pub(super) fn table() -> (Vec<Value>, Vec<Case>) {
    let mut table = Table::default();
    bodies(&mut table);
    paths_into_payloads(&mut table);
    headers_and_queries(&mut table);
    regexes(&mut table);
    signatures(&mut table);
    addresses(&mut table);
    rules(&mut table);
    parsed_parameters(&mut table);
    commands(&mut table);
    files(&mut table);
    answers(&mut table);
    sniffed(&mut table);
    routes(&mut table);
    wire(&mut table);
    (table.hooks, table.cases)
}

/// Every kind of body, shown whole.
fn bodies(table: &mut Table) {
    let whole = json!([source("entire-payload", ""), source("raw-request-body", "")]);
    table.hook(show("whole", json!({"pass-arguments-to-command": whole})));
    table.hook(show(
        "as-json",
        json!({"pass-arguments-to-command": whole, "incoming-payload-content-type": "application/json"}),
    ));
    for body in [
        r"{}",
        r#"{"a":1}"#,
        r#" {"b":[1,2,{"c":null}],"a":{"z":1,"y":"<&>"}} trailing"#,
        r"[]",
        r#"[1,"x",{"a":2}]"#,
        "  \n[1]",
        r#"{"n":1.50,"e":1E3,"z":-0,"big":123456789012345678901234567890,"s":1e-7}"#,
        r#"{"a":1,"a":2}"#,
        "null",
        "true",
        "1",
        r#""x""#,
        "",
        " ",
        "{",
        "[",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r"[1,]",
        r"{a:1}",
        r"{'a':1}",
        r#"{"a":01}"#,
        r#"{"a":.5}"#,
        r#"{"a":1.}"#,
        r#"{"a":+1}"#,
        r#"{"a":NaN}"#,
        r#"{"a":tru}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\u12"}"#,
        r#"{"a":"\ud83d\ude00"}"#,
        r#"{"a":"\ud83d"}"#,
        r#"{"a":"é ü \u00e9"}"#,
        r#"{"a":"\n\t\r\"\\\/"}"#,
        "{\"a\":\"line\nbreak\"}",
        "{\"a\":\"\u{2028}\u{2029}\"}",
        r#"{"a":"\u2028\u0001\u001f\u007f"}"#,
        "\u{feff}{\"a\":1}",
        r#"{"":{"":1}}"#,
        r#"{"a":{"b":{"c":{"d":[[[1]]]}}}}"#,
        r#"{"a":1} {"b":2}"#,
        r#"{"a":[{}, [], "", 0, false, null]}"#,
        r#"{"a" :	1 ,"b"
:2}"#,
        r"nul",
        r#"{"a":1]"#,
        r"[1}",
        r#"{"a":"unterminated"#,
        r"//comment",
        r#"{"a":1}/"#,
    ] {
        table.post("whole", body);
    }
    let binary: &[&[u8]] =
        &[b"{\"a\":\"\xff\xfe\"}", b"{\"a\":\"\xc3\"}", b"{\"\xff\":1}", b"{\"a\":\"\xed\xa0\x80\"}"];
    for body in binary {
        table.case("POST", "/hooks/whole", &[JSON], body);
    }
    for body in [
        "a=b",
        "a=b&c=d",
        "a=b&a=c",
        "a",
        "=",
        "=b",
        "&&",
        "a=b+c%20d",
        "a=%zz",
        "a=%4",
        "a=b;c=d",
        "",
        "a=%C3%A9",
        "a=%ff",
        "%61=x",
        "a==b",
        "payload=%7B%22a%22%3A1%7D",
        "a=b&c",
        "a=<>&b=&c",
    ] {
        table.case("POST", "/hooks/whole", &[FORM], body);
    }
    for body in [
        "<a/>",
        "<a></a>",
        "<a>text</a>",
        "<a>  trimmed \n</a>",
        "<a x='1' y=\"2\"/>",
        "<a x='1'>t</a>",
        "<a><b>1</b><b>2</b></a>",
        "<a><b/><c/></a>",
        "<ns:a xmlns:ns='u'><ns:b>1</ns:b></ns:a>",
        "<?xml version='1.0'?><a>1</a>",
        "<!DOCTYPE a><a>1</a>",
        "<!-- c --><a>1<!-- d --></a>",
        "<a>&lt;&amp;&gt;&#65;&#x42;</a>",
        "<a><![CDATA[<x>]]></a>",
        "<a>",
        "<a></b>",
        "",
        "text",
        "<a>&bad;</a>",
        "<a x=1/>",
        "<a><b id='1'>x</b><b id='2'/></a>",
        "<a>1</a><b>2</b>",
        "<?xml version='1.0' encoding='utf-8'?><a>1</a>",
        "<?xml version='1.0' encoding='latin-1'?><a>1</a>",
        "<a b:c='1'/>",
        "<app><users><user id=\"1\" name=\"J\" /><user id=\"2\" name=\"A\"/></users></app>",
    ] {
        table.case("POST", "/hooks/whole", &[("Content-Type", "application/xml")], body);
    }
    for kind in [
        "text/json",
        "application/vnd.api+json",
        "application/JSON",
        "application/json; charset=utf-8",
        "text/plain",
        "",
        "application/x-json-stream",
        "application/x-www-form-urlencoded; charset=utf-8",
        "text/xml",
        "application/xhtml+xml",
        "multipart/form-data",
        "Multipart/form-data; boundary=b",
        "multipart/form-data; boundary=xmlb",
        "json/xml",
        "x-www-form-urlencoded+json",
    ] {
        for body in [r#"{"a":1}"#, "a=b", "<a>1</a>"] {
            table.case("POST", "/hooks/whole", &[("Content-Type", kind)], body);
        }
        table.case("POST", "/hooks/as-json", &[("Content-Type", kind)], r#"{"a":1}"#);
    }
    table.case("POST", "/hooks/whole", &[], "{}");
    multipart(table);
}

fn multipart(table: &mut Table) {
    let arguments = json!([payload("a"), payload("j"), payload("j.x"), payload("f")]);
    table.hook(show("parts", json!({"pass-arguments-to-command": arguments})));
    table.hook(show(
        "parts-json",
        json!({
        "pass-arguments-to-command": arguments, "parse-parameters-as-json": [payload("f"), payload("a")]}),
    ));
    let part = |headers: &str, body: &str| format!("--b\r\n{headers}\r\n\r\n{body}\r\n");
    let field =
        |name: &str, body: &str| part(&format!("Content-Disposition: form-data; name=\"{name}\""), body);
    let file = |name: &str, kind: &str, body: &str| {
        part(
            &format!(
                "Content-Disposition: form-data; name=\"{name}\"; filename=\"x\"\r\nContent-Type: {kind}"
            ),
            body,
        )
    };
    let end = "--b--\r\n";
    let bodies = [
        field("a", "one") + end,
        field("a", "one") + &field("a", "two") + end,
        field("a", "") + end,
        field("a", "line\r\nbreak") + end,
        file("j", "application/json", r#"{"x":1}"#) + end,
        file("j", "application/json; charset=utf-8", r#"{"x":1}"#) + end,
        file("j", "application/json", "{bad") + end,
        file("j", "application/json", "[1]") + end,
        file("f", "text/plain", r#"{"x":1}"#) + end,
        field("a", r#"{"k":"v"}"#) + &file("f", "text/plain", r#"{"y":2}"#) + end,
        field("a", "one") + &file("f", "application/octet-stream", "\u{1}\u{2}") + end,
        String::from(end),
        field("a", "one"),
        String::new(),
        String::from("nonsense"),
        field("a", "one") + "--b--",
        format!("preamble\r\n{}{end}epilogue", field("a", "one")),
        part("Content-Disposition: form-data; name=a", "unquoted") + end,
        part("content-disposition: form-data; name=\"a\"", "small") + end,
        part("Content-Type: text/plain", "nameless") + end,
        (field("a", "one") + end).replace("\r\n", "\n"),
    ];
    for hook in ["parts", "parts-json"] {
        for body in &bodies {
            table.case(
                "POST",
                &format!("/hooks/{hook}"),
                &[("Content-Type", "multipart/form-data; boundary=b")],
                body,
            );
        }
    }
    for kind in [
        "multipart/form-data; boundary=\"b\"",
        "multipart/form-data; charset=x; boundary=b",
        "multipart/form-data; boundary=",
        "multipart/form-data; x",
        "multipart/form-data;boundary=b",
        "multipart/form-data; boundary=c",
    ] {
        table.case("POST", "/hooks/parts", &[("Content-Type", kind)], &bodies[0]);
    }
}

/// Ways through one payload.
fn paths_into_payloads(table: &mut Table) {
    let body = r#"{"a":{"b":[10,{"c":"x"},[7,8]],"d.e":{"f":1}},"p.q":"dotted","p":{"q":"nested"},"n":null,"t":true,"s":"text",
        "num":{"0":"zero"},"e":[],"o":{},"":"empty","html":"<b>&","list":["a","b"],"deep":{"x":{"y.z":1}}}"#;
    for (number, path) in [
        "a",
        "a.b",
        "a.b.0",
        "a.b.1.c",
        "a.b.2.1",
        "a.b.3",
        "a.b.-1",
        "a.b.+1",
        "a.b.01",
        "a.b.x",
        "a.d.e",
        "a.d.e.f",
        "p.q",
        "n",
        "n.x",
        "t",
        "t.x",
        "s",
        "s.x",
        "num.0",
        "e",
        "e.0",
        "o",
        "o.x",
        "",
        ".",
        "a.",
        ".a",
        "html",
        "list",
        "list.1",
        "deep.x.y.z",
        "x.y.z",
        "A",
        "root",
        "a.b.1",
        "a.b.1.c.d",
    ]
    .iter()
    .enumerate()
    {
        let id = format!("path-{number}");
        table.hook(show(&id, json!({"pass-arguments-to-command": [payload(path)], "pass-environment-to-command": [payload(path)],
            "trigger-rule": {"or": [{"match": {"type": "regex", "regex": ".", "parameter": payload(path)}},
                                    {"match": {"type": "value", "value": "1", "parameter": source("url", "force")}}]}})));
        table.post(&id, body);
        table.post(&format!("{id}?force=1"), body);
    }
    table.hook(show("root", json!({"pass-arguments-to-command": [payload("root.0.event"), payload("root"), payload("root.1"), payload("0")]})));
    table.post("root", r#"[{"event":"push"},2]"#);
    table.post("root", r"[]");
    table.post("root", r#"{"root":[{"event":"own"}]}"#);
}

fn headers_and_queries(table: &mut Table) {
    table.hook(show("meta", json!({"pass-arguments-to-command": [
        source("header", "x-one"), source("header", "X-ONE"), source("header", "Host"), source("header", "Content-Length"),
        source("header", "Transfer-Encoding"), source("header", "x one"), source("url", "q"), source("query", "q"), source("url", "Q"),
        source("request", "method"), source("request", "METHOD"), source("request", "Remote-Addr"), source("request", "other"),
        source("string", "text"), source("string", ""), source("nonsense", "x"), source("", "x"), source("entire-query", ""),
        source("entire-headers", ""), source("Header", "x-one"), source("header", "x-one.a"), source("url", "a.b")]})));
    for headers in [
        &[("X-One", "1")][..],
        &[("x-one", "1"), ("X-One", "2")],
        &[("X-One", "  padded  ")],
        &[("X-One", "")],
        &[],
        &[("X_One", "1")],
        &[("X-One", "caf\u{e9}")],
        &[("X-Js.k", "1")],
        &[("Cookie", "a=b"), ("Accept", "x/y"), ("X-One", "<&>\"")],
    ] {
        table.case("POST", "/hooks/meta", headers, "x");
    }
    for query in [
        "q=1",
        "q=1&q=2",
        "q=a+b%20c",
        "q",
        "q=",
        "=x",
        "q=%zz&a=1",
        "q=1;a=2&b=3",
        "q=%C3%A9",
        "q=%ff",
        "a.b=c",
        "&&q=1",
        "q=a=b",
        "Q=1",
        "q=<>",
        "%71=1",
        "q=1#x",
        "q[]=1",
        "q=\"",
        "q={}|^`",
    ] {
        if !query.contains('#') {
            table.case("GET", &format!("/hooks/meta?{query}"), &[], "");
        }
    }
    table.case("GET", "/hooks/meta?", &[], "");
    table.case("DELETE", "/hooks/meta", &[], "");
}

/// The dialect of patterns.
fn regexes(table: &mut Table) {
    let subjects = [
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
    for (number, pattern) in [
        "^refs/heads/",
        "main$",
        "^$",
        "",
        ".",
        "(?i)abc",
        "(?s)x.y",
        "x.y",
        "(?m)^y$",
        r"\d+",
        r"\w",
        r"\s",
        r"\bmain\b",
        r"[[:alpha:]]+",
        r"[[]",
        "[a&&b]",
        "[]a]",
        r"\Qa.b\E",
        r"\x41",
        r"\101",
        "a{,2}",
        "a{2}",
        "a{2,}",
        "]",
        "{",
        "}",
        r"\/",
        r"\-",
        r"\<",
        r"\_",
        "(?U)a+",
        "(?P<n>a)",
        "(?:a)",
        "[^a]",
        r"\pL",
        r"\p{Greek}",
        r"[\d]",
        r"\z",
        r"\A",
        r"a|b",
        "(",
        ")",
        "*",
        "+a",
        "a**",
        "(?=a)",
        "(?<!a)",
        r"\1",
        "(?x)a b",
        r"\Z",
        r"\C",
        "a++",
        r"\y",
        "a{1001}",
        "[b-a]",
        r"[\Q]\E]",
        r"\e",
        r"\cA",
        "(?i)É",
        r"\v",
        "[--a]",
        "[a~~b]",
        r"\#",
        r"\ ",
        "é",
        r"[\x{41}]",
        r"\u0041",
        "(?#c)a",
        "a?{2}",
        "x*?",
        "$^",
        "(?-s).",
        "[[:foo:]]",
        "[z",
        r"\",
    ]
    .iter()
    .enumerate()
    {
        let id = format!("re-{number}");
        table.hook(
            json!({"id": id, "execute-command": "/bin/true", "include-command-output-in-response": true,
            "trigger-rule-mismatch-http-response-code": 418,
            "trigger-rule": {"match": {"type": "regex", "regex": pattern, "parameter": payload("s")}}}),
        );
        for subject in subjects {
            table.post(&id, &json!({"s": subject}).to_string());
        }
    }
    table.hook(json!({"id": "re-none", "execute-command": "/bin/true", "trigger-rule": {"match": {"type": "regex", "parameter": payload("s")}}}));
    table.post("re-none", r#"{"s":"x"}"#);
    table.post("re-none", "{}");
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
    for (hash, right, of_nothing) in known {
        for kind in ["hmac", "hash"] {
            let id = format!("{kind}-{hash}");
            let matching = |parameter: Value| json!({"match": {"type": format!("payload-{kind}-{hash}"), "secret": "k3y", "parameter": parameter}});
            table.hook(shell(&id, "echo in", json!({"trigger-rule": matching(source("header", "X-Sig"))})));
            table.hook(shell(&format!("{id}-soft"), "echo in", json!({"trigger-signature-soft-failures": true, "trigger-rule": {"or": [
                matching(source("header", "X-Sig")), {"match": {"type": "value", "value": "s", "parameter": source("url", "token")}}]}})));
            table.hook(shell(&format!("{id}-hard"), "echo in", json!({"trigger-rule": {"or": [
                {"match": {"type": "value", "value": "t", "parameter": source("url", "token")}},
                matching(source("header", "X-Sig")), {"match": {"type": "value", "value": "s", "parameter": source("url", "token")}}]}})));
            let upper = right.to_uppercase();
            for signature in [
                right.to_owned(),
                format!("{hash}={right}"),
                format!("{hash}=x,{hash}={right}"),
                format!("{hash}=x, {hash}={right}"),
                format!("x,{right}"),
                format!("{right},"),
                upper,
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
                    table.case(
                        "POST",
                        &format!("/hooks/{id}{suffix}"),
                        &[JSON, ("X-Sig", &signature)],
                        r#"{"n":1}"#,
                    );
                }
                table.case("POST", &format!("/hooks/{id}"), &[("X-Sig", &signature)], "");
            }
            table.case("POST", &format!("/hooks/{id}"), &[JSON], r#"{"n":1}"#);
            table.case("POST", &format!("/hooks/{id}-soft"), &[JSON], r#"{"n":1}"#);
        }
    }
    table.hook(shell(
        "scalr",
        "echo in",
        json!({"trigger-rule": {"match": {"type": "scalr-signature", "secret": "k3y"}}}),
    ));
    for headers in [
        &[][..],
        &[("X-Signature", "x")],
        &[
            ("X-Signature", "bbd98420bc0541fc137e52422fdc06501cad597a"),
            ("Date", "Thu 02 Jan 2020 03:04:05 UTC"),
        ],
        &[("X-Signature", "wrong"), ("Date", "Thu 02 Jan 2020 03:04:05 UTC")],
        &[("X-Signature", "bbd98420bc0541fc137e52422fdc06501cad597a"), ("Date", "nonsense")],
    ] {
        table.case("POST", "/hooks/scalr", headers, r#"{"n":1}"#);
    }
}

fn addresses(table: &mut Table) {
    for (number, range) in [
        "127.0.0.1",
        "127.0.0.1/32",
        "127.0.0.0/8",
        "127.0.0.2/8",
        "10.0.0.0/8",
        "10.0.0.0/8 127.0.0.1",
        "  127.0.0.1  ",
        "0.0.0.0/0",
        "",
        "127.0.0.1/33",
        "127.0.0",
        "10.0.0.1,127.0.0.1",
        "localhost",
        "127.0.0.1/",
        "::1/128",
        "::ffff:127.0.0.1/128",
        "127.0.0.2 127.0.0.1/31",
        "bad 127.0.0.1",
        "127.0.0.1 bad",
        "010.0.0.1",
        "::/0",
    ]
    .iter()
    .enumerate()
    {
        let id = format!("ip-{number}");
        table.hook(shell(
            &id,
            "echo in",
            json!({"trigger-rule": {"match": {"type": "ip-whitelist", "ip-range": range}}}),
        ));
        table.get(&id);
    }
}

fn rules(table: &mut Table) {
    let is = |name: &str, value: &str| json!({"match": {"type": "value", "value": value, "parameter": payload(name)}});
    let bad = json!({"match": {"type": "regex", "regex": "(", "parameter": payload("a")}});
    let all: Vec<Value> = vec![
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
        is("n", "<nil>"),
        is("o", r#"{"k":"\u003c"}"#),
        is("list", r#"[1,"x"]"#),
        json!({"match": {"type": "VALUE", "value": "1", "parameter": payload("a")}}),
    ];
    for (number, rule) in all.into_iter().enumerate() {
        let id = format!("rule-{number}");
        table.hook(shell(
            &id,
            "echo in",
            json!({"trigger-rule": rule, "trigger-rule-mismatch-http-response-code": 418}),
        ));
        table.post(&id, r#"{"a":1,"b":"x","n":null,"t":true,"empty":"","o":{"k":"<"},"list":[1,"x"]}"#);
    }
}

fn parsed_parameters(table: &mut Table) {
    table.hook(show("parse", json!({
        "parse-parameters-as-json": [payload("p"), source("header", "x-js"), source("url", "q"), source("string", "{}"), payload("gone")],
        "pass-arguments-to-command": [payload("p"), payload("p.a"), source("header", "x-js.k"), source("header", "X-Js"), source("url", "q.a"), source("entire-payload", ""),
                                      source("entire-query", "")]})));
    for (body, header, query) in [
        (r#"{"p":"{\"a\":1}"}"#, "{\"k\":1}", "q=%7B%22a%22%3A%5B1%5D%7D"),
        (r#"{"p":"[1]"}"#, "[1]", "q=1"),
        (r#"{"p":"bad"}"#, "bad", "q="),
        (r#"{"p":{"a":2}}"#, "null", "q=null"),
        (r#"{"p":"{} x"}"#, "{}", "q={}"),
        (r#"{"p":3}"#, "", ""),
        (r"{}", "{\"K\":{\"k\":2}}", "q=%7B"),
        ("[1]", "{\"k\":null}", "x=1"),
    ] {
        table.case("POST", &format!("/hooks/parse?{query}"), &[JSON, ("X-Js", header)], body);
    }
    table.case("POST", "/hooks/parse", &[FORM], "p=%7B%22a%22%3A%22x%22%7D&b=1");
}

fn commands(table: &mut Table) {
    let plain = |command: &str, dir: &str| json!({"execute-command": command, "command-working-directory": dir, "include-command-output-in-response": true});
    for (number, (command, dir)) in [
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
    ]
    .iter()
    .enumerate()
    {
        let mut hook = plain(command, dir);
        hook["id"] = format!("command-{number}").into();
        table.hook(hook.clone());
        hook["id"] = format!("async-command-{number}").into();
        hook["include-command-output-in-response"] = false.into();
        hook["response-message"] = "taken".into();
        table.hook(hook);
        table.get(&format!("command-{number}"));
        table.get(&format!("async-command-{number}"));
    }
    for (number, script) in [
        "exit 1",
        "exit 255",
        "echo out; exit 3",
        "kill -9 $$",
        "kill -TERM $$",
        "kill -HUP $$",
        "kill -USR1 $$",
        "echo a; echo b >&2; echo c",
        "printf 'no newline'",
        "printf '\\n\\n'",
        "true",
        "printf 'tab\\there'",
        "echo 'caf\u{e9}'",
        "head -c 2048 /dev/zero | tr '\\0' x",
        "head -c 2049 /dev/zero | tr '\\0' x",
        "head -c 200000 /dev/zero | tr '\\0' y",
    ]
    .iter()
    .enumerate()
    {
        for (kind, on_error) in [("quiet", false), ("loud", true)] {
            let id = format!("script-{kind}-{number}");
            table.hook(shell(&id, script, json!({"include-command-output-in-response-on-error": on_error})));
            table.get(&id);
        }
    }
    table.case("HEAD", "/hooks/script-quiet-13", &[], "");
    table.case("HEAD", "/hooks/script-quiet-14", &[], "");
    table.case("HEAD", "/hooks/script-quiet-10", &[], "");
    let environment: Vec<Value> = [
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
    ]
    .iter()
    .map(|(source, name, variable)| json!({"source": source, "name": name, "envname": variable}))
    .collect();
    table.hook(show("environment", json!({"pass-environment-to-command": environment})));
    table.post("environment", r#"{"a":{"b":"deep"},"multi":"one two"}"#);
    table.post("environment", r#"{"a":"\"quoted\" <&>"}"#);
    let words = [
        "", " ", "a b", "\"", "'", "\\", "\t", "\n", "\u{7f}", "é", "\u{a0}", "\u{301}", "😀", "$HOME",
        "`x`", "\u{202e}", "\u{fffd}", "-x", "\u{1}", "\u{85}", "\u{ad}", "\u{e000}", "\u{378}",
    ];
    table.hook(show("words", json!({"pass-arguments-to-command": words.iter().map(|word| source("string", word)).collect::<Vec<_>>()})));
    table.get("words");
    table.hook(show("nul", json!({"pass-arguments-to-command": [payload("a")]})));
    table.post("nul", r#"{"a":"x\u0000y"}"#);
    table.hook(show(
        "nul-variable",
        json!({"pass-environment-to-command": [{"source": "payload", "name": "a", "envname": "V_A"}]}),
    ));
    table.post("nul-variable", r#"{"a":"x\u0000y"}"#);
    table.hook(show("long", json!({"pass-arguments-to-command": [source("raw-request-body", "")]})));
    table.case("POST", "/hooks/long", &[("Content-Type", "text/plain")], "x".repeat(140_000));
}

fn files(table: &mut Table) {
    let item = |source: &str, name: &str, variable: &str, decode: bool| json!({"source": source, "name": name, "envname": variable, "base64decode": decode});
    table.hook(show("files", json!({"pass-file-to-command": [
        item("payload", "a", "F_A", false), item("payload", "a", "", false), item("payload", "b", "F_B", true), item("payload", "gone", "F_GONE", false),
        item("string", "text", "F_*_star", false), item("raw-request-body", "", "F_RAW", false)]})));
    table.hook(show("files-slash", json!({"pass-file-to-command": [item("string", "x", "F_a/b", false), item("string", "y", "F_Y", false)]})));
    table.hook(show(
        "files-there",
        json!({"command-working-directory": "tmp", "execute-command": "../show",
        "pass-file-to-command": [item("string", "x", "F_X", false)]}),
    ));
    table.hook(json!({"id": "async-files", "execute-command": "./show", "pass-file-to-command": [item("string", "x", "F_X", false)]}));
    table.hook(json!({"id": "files-none", "execute-command": "/no/such", "include-command-output-in-response": true, "pass-file-to-command": [item("string", "x", "F_X", false)]}));
    for encoded in [
        "",
        "YQ==",
        "YWI=",
        "YWJj",
        "YWJj\\r\\nYWJj",
        "YQ",
        "YWJjYQ",
        "YWJj!",
        "YW Jj",
        "====",
        "YQ==YQ==",
        "YR==",
        "-_-_",
        "AP8A",
        "YWJj=",
        "YWJjZA==",
    ] {
        table.post("files", &format!(r#"{{"a":"plain","b":"{encoded}"}}"#));
    }
    table.post("files", r#"{"a":{"x":1},"b":5}"#);
    for id in ["files-slash", "files-there", "async-files", "files-none"] {
        table.get(id);
    }
}

fn answers(table: &mut Table) {
    let codes: Vec<i64> = (200..=209)
        .chain([226, 299])
        .chain(300..=309)
        .chain(400..=432)
        .chain([451, 499])
        .chain(500..=512)
        .chain([-1, 0, 99, 600, 999, 1000])
        .collect();
    for code in codes {
        table.hook(json!({"id": format!("async-code-{code}"), "execute-command": "/bin/true", "response-message": "m", "success-http-response-code": code}));
        table.hook(shell(&format!("code-{code}"), "echo x", json!({"success-http-response-code": code})));
        table.hook(shell(
            &format!("mismatch-{code}"),
            "echo x",
            json!({"trigger-rule": {}, "trigger-rule-mismatch-http-response-code": code}),
        ));
        for kind in ["async-code", "code", "mismatch"] {
            table.get(&format!("{kind}-{code}"));
        }
    }
    let header = |name: &str, value: &str| json!({"name": name, "value": value});
    table.hook(shell("headers", "echo x", json!({"response-headers": [
        header("x-a", "1"), header("X-A", "2"), header("bad name", "x"), header("", "x"), header("x-b", "a\r\nb"), header("x-c", " padded "), header("x-line", "own"), header("x-d", "")]})));
    table.hook(shell(
        "kind",
        "echo '<html>'",
        json!({"response-headers": [header("content-type", "application/x-own")]}),
    ));
    table.hook(shell(
        "kind-failing",
        "exit 1",
        json!({"response-headers": [header("content-type", "application/x-own")]}),
    ));
    table.hook(shell(
        "headers-ruled",
        "echo x",
        json!({"trigger-rule": {}, "response-headers": [header("x-a", "1")]}),
    ));
    table.hook(shell(
        "encoded",
        "printf '\\037\\213\\010'",
        json!({"response-headers": [header("Content-Encoding", "gzip")]}),
    ));
    table.hook(json!({"id": "async-message", "execute-command": "/bin/true", "response-message": "<html>m</html>", "response-headers": [header("x-a", "1")]}));
    for id in ["headers", "kind", "kind-failing", "headers-ruled", "encoded", "async-message", "no-such-hook"]
    {
        table.get(id);
        table.case("HEAD", &format!("/hooks/{id}"), &[], "");
    }
    for (number, methods) in [
        json!(["GET"]),
        json!(["get"]),
        json!([" Post ", "PUT"]),
        json!([""]),
        json!([]),
        json!(null),
        json!(["G ET"]),
    ]
    .iter()
    .enumerate()
    {
        let id = format!("method-{number}");
        table.hook(shell(&id, "echo x", json!({"http-methods": methods})));
        for method in ["GET", "POST", "PUT", "get", "OPTIONS", "ODD"] {
            table.case(method, &format!("/hooks/{id}"), &[], "");
        }
    }
}

/// What an answer is taken for.
fn sniffed(table: &mut Table) {
    table.hook(shell(
        "sniff",
        "cat $F",
        json!({"pass-file-to-command": [{"source": "raw-request-body", "envname": "F"}]}),
    ));
    let bodies: &[&[u8]] = &[
        b"x",
        b"<html>",
        b"<HTML>",
        b"<html",
        b" \n\t\x0c\r<html>",
        b"\x0b<html>",
        b"<!doctype html>",
        b"<!DOCTYPE HTML x",
        b"<!doctype xml>",
        b"<head>",
        b"<script>",
        b"<iframe>",
        b"<h1>",
        b"<h2>",
        b"<div>",
        b"<font>",
        b"<table>",
        b"<a>",
        b"<a href>",
        b"<abbr>",
        b"<style>",
        b"<title>",
        b"<b>",
        b"<body>",
        b"<br>",
        b"<br/>",
        b"<p>",
        b"<p\t>",
        b"<!-- x",
        b"<!--x",
        b"<?xml",
        b" <?xml?>",
        b"<?XML",
        b"%PDF-1",
        b"%PDF",
        b"%!PS-Adobe-",
        b"\xfe\xff\0a",
        b"\xff\xfea\0",
        b"\xfe\xff",
        b"\xef\xbb\xbfx",
        b"\xef\xbb\xbf",
        b"\0\0\x01\0",
        b"\0\0\x02\0",
        b"BM",
        b"B",
        b"GIF87a",
        b"GIF88a",
        b"GIF89a",
        b"RIFFabcdWEBPVP",
        b"RIFFabcdWEBPV",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"FORMabcdAIFF",
        b"ID3",
        b"OggS\0",
        b"MThd\0\0\0\x06",
        b"RIFFabcdAVI ",
        b"RIFFabcdWAVE",
        b"\x1a\x45\xdf\xa3",
        b".snd",
        b"\0\x01\0\0",
        b"OTTO",
        b"ttcf",
        b"wOFF",
        b"wOF2",
        b"\x1f\x8b\x08",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"Rar!\x1a\x07\0",
        b"Rar!\x1a\x07\x01\0",
        b"\0asm",
        b"\0\0\0\x10ftypmp42\0\0\0\0",
        b"\0\0\0\x10ftypavc1mp41",
        b"\0\0\0\x14ftypavc1\0\0\0\0mp41",
        b"\0\0\0\x11ftypmp42\0\0\0\0x",
        b"\0\0\0\x08ftyp",
        b"a\0",
        b"a\x08",
        b"a\x0b",
        b"a\x0e",
        b"a\x1a",
        b"a\x1b",
        b"a\x1c",
        b"\x7f",
        b"\xff",
        b"{\"a\":1}",
        b"#!/bin/sh",
    ];
    for body in bodies {
        table.case("POST", "/hooks/sniff", &[("Content-Type", "text/plain")], body);
    }
    let mut font = vec![b'x'; 34];
    font.extend(b"LP");
    table.case("POST", "/hooks/sniff", &[("Content-Type", "text/plain")], &font);
    let mut late = vec![b'x'; 600];
    late[550] = 0;
    table.case("POST", "/hooks/sniff", &[("Content-Type", "text/plain")], &late);
    late[511] = 0;
    table.case("POST", "/hooks/sniff", &[("Content-Type", "text/plain")], &late);
}

fn routes(table: &mut Table) {
    for id in ["", "a", "a/b", "a b", "a+b", "é", "a%b", "x/", "..a", "a;b", "a:b", "a?b"] {
        table.hook(json!({"id": id, "execute-command": "/bin/true", "include-command-output-in-response": true, "response-headers": [{"name": "x-id", "value": format!("<{id}>")}]}));
    }
    for path in [
        "/hooks",
        "/hooks/",
        "/hooks//",
        "/hooks/a",
        "/hooks/a/",
        "/hooks/a//b",
        "/hooks/a/b",
        "/hooks/a%2Fb",
        "/hooks/a%2fb",
        "/hooks/a%20b",
        "/hooks/a+b",
        "/hooks/a%2Bb",
        "/hooks/%C3%A9",
        "/hooks/%c3%a9",
        "/hooks/a%25b",
        "/hooks/x/",
        "/hooks/x",
        "/hooks/..a",
        "/hooks/.",
        "/hooks/..",
        "/hooks/../hooks/a",
        "/hooks/./a",
        "/./hooks/a",
        "//hooks/a",
        "/hooks/a/..",
        "/hooks/a/../",
        "/hooks/a?x=y",
        "/hooks//a?x=y%20z",
        "/hooks/a;b",
        "/hooks/a:b",
        "/hooks/a%3Fb",
        "/HOOKS/a",
        "/hooks/A",
        "/h%6Foks/a",
        "/hooks%2Fa",
        "/hook/a",
        "/hooksa",
        "/x",
        "/index.html",
        "/favicon.ico",
        "/hooks/%00",
        "/hooks/a%00",
        "/hooks/%0a",
        "/hooks/a%0Ab",
        "/hooks/a%0D",
        "/hooks/%zz",
        "/hooks/%",
        "/hooks/%4",
        "/hooks/a%2e%2e/b",
        "/hooks/%2e%2e/a",
        "/hooks/a/%2E/b",
        "/hooks/$&+,;=@",
        "/hooks//$&+,;=@:!'()*[]~-_.",
        "/hooks/a|b",
        "/hooks/a\"b",
        "/hooks/{a}",
        "/hooks/a\\b",
        "/hooks/a^b",
        "/hooks//a%41%7e%2a%22",
        "/?x",
        "//",
        "/.",
        "/..",
        "/hooks/a/./",
        "/hooks/%ff",
        "/hooks//%ff",
        "/hooks/a%2F..%2Fb",
        "http://other/hooks/a",
        "http://other:81/hooks/a?x=1",
        "/hooks/a?",
        "/hooks//a?",
    ] {
        table.case("GET", path, &[], "");
    }
    table.case("POST", "/hooks//a", &[JSON], "{}");
    table.case("POST", "/nowhere", &[JSON], "{}");
}

/// Forms of requests.
fn wire(table: &mut Table) {
    table.raw("GET /hooks/a HTTP/1.0\r\n\r\n");
    table.raw("GET /hooks/a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
    table.raw("GET /hooks/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    table.raw("GET /hooks/script-quiet-14 HTTP/1.0\r\n\r\n");
    table.raw("POST /hooks/whole HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n");
    table.raw("POST /hooks/whole HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n7;ext=1\r\n{\"a\":1}\r\n0\r\nTrailer: x\r\n\r\n");
    table.raw("POST /hooks/meta HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    table.raw("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
    table.raw("get /hooks/a HTTP/1.1\r\nhost: x\r\n\r\n");
    table.raw("GET /hooks/a HTTP/1.1\r\nHost: x\r\nX-Folded: a\r\nX-Tab:\tb\t\r\n\r\n");
}
