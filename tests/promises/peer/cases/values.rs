//! Ways to values: paths into payloads, headers, queries, parameters that are JSON themselves.

use serde_json::json;

use super::{FORM, JSON, Table, payload, rows, show, source};

const DOCUMENT: &str = r#"{"a":{"b":[10,{"c":"x"},[7,8]],"d.e":{"f":1}},"p.q":"dotted","p":{"q":"nested"},"n":null,
    "t":true,"s":"text","num":{"0":"zero"},"e":[],"o":{},"":"empty","html":"<b>&","list":["a","b"],
    "deep":{"x":{"y.z":1}}}"#;

const PATHS: &str = "
a
a.b
a.b.0
a.b.1
a.b.1.c
a.b.1.c.d
a.b.2.1
a.b.3
a.b.-1
a.b.+1
a.b.01
a.b.x
a.d.e
a.d.e.f
p.q
n
n.x
t
t.x
s
s.x
num.0
e
e.0
o
o.x

.
a.
.a
html
list
list.1
deep.x.y.z
x.y.z
A
root
";

const QUERIES: &str = r#"
q=1
q=1&q=2
q=a+b%20c
q
q=
=x
q=%zz&a=1
q=1;a=2&b=3
q=%C3%A9
q=%ff
a.b=c
&&q=1
q=a=b
Q=1
q=<>
%71=1
q[]=1
q="
q={}|^`
"#;

pub(super) fn add(table: &mut Table) {
    for (number, path) in rows(PATHS).enumerate() {
        let id = format!("path-{number}");
        let present = json!({"match": {"type": "regex", "regex": ".", "parameter": payload(path)}});
        let forced = json!({"match": {"type": "value", "value": "1", "parameter": source("url", "force")}});
        table.hook(show(
            &id,
            json!({
                "pass-arguments-to-command": [payload(path)],
                "pass-environment-to-command": [payload(path)],
                "trigger-rule": {"or": [present, forced]},
            }),
        ));
        table.post(&id, DOCUMENT);
        table.post(&format!("{id}?force=1"), DOCUMENT);
    }
    let arguments = ["root.0.event", "root", "root.1", "0"].map(payload);
    table.hook(show("root", json!({"pass-arguments-to-command": arguments})));
    for body in [r#"[{"event":"push"},2]"#, "[]", r#"{"root":[{"event":"own"}]}"#] {
        table.post("root", body);
    }
    headers_and_queries(table);
    parsed_parameters(table);
}

fn headers_and_queries(table: &mut Table) {
    let arguments = [
        ("header", "x-one"),
        ("header", "X-ONE"),
        ("header", "Host"),
        ("header", "Content-Length"),
        ("header", "Transfer-Encoding"),
        ("header", "x one"),
        ("header", "x-one.a"),
        ("url", "q"),
        ("query", "q"),
        ("url", "Q"),
        ("url", "a.b"),
        ("request", "method"),
        ("request", "METHOD"),
        ("request", "Remote-Addr"),
        ("request", "other"),
        ("string", "text"),
        ("string", ""),
        ("nonsense", "x"),
        ("", "x"),
        ("Header", "x-one"),
        ("entire-query", ""),
        ("entire-headers", ""),
    ];
    let arguments = arguments.map(|(from, name)| source(from, name));
    table.hook(show("meta", json!({"pass-arguments-to-command": arguments})));
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
    for query in rows(QUERIES) {
        table.case("GET", &format!("/hooks/meta?{query}"), &[], "");
    }
    table.case("GET", "/hooks/meta?", &[], "");
    table.case("DELETE", "/hooks/meta", &[], "");
}

fn parsed_parameters(table: &mut Table) {
    let parsed =
        [payload("p"), source("header", "x-js"), source("url", "q"), source("string", "{}"), payload("gone")];
    let arguments = [
        payload("p"),
        payload("p.a"),
        source("header", "x-js.k"),
        source("header", "X-Js"),
        source("url", "q.a"),
        source("entire-payload", ""),
        source("entire-query", ""),
    ];
    table.hook(show(
        "parse",
        json!({"parse-parameters-as-json": parsed, "pass-arguments-to-command": arguments}),
    ));
    for (body, header, query) in [
        (r#"{"p":"{\"a\":1}"}"#, r#"{"k":1}"#, "q=%7B%22a%22%3A%5B1%5D%7D"),
        (r#"{"p":"[1]"}"#, "[1]", "q=1"),
        (r#"{"p":"bad"}"#, "bad", "q="),
        (r#"{"p":{"a":2}}"#, "null", "q=null"),
        (r#"{"p":"{} x"}"#, "{}", "q={}"),
        (r#"{"p":3}"#, "", ""),
        ("{}", r#"{"K":{"k":2}}"#, "q=%7B"),
        ("[1]", r#"{"k":null}"#, "x=1"),
    ] {
        table.case("POST", &format!("/hooks/parse?{query}"), &[JSON, ("X-Js", header)], body);
    }
    table.case("POST", "/hooks/parse", &[FORM], "p=%7B%22a%22%3A%22x%22%7D&b=1");
}
