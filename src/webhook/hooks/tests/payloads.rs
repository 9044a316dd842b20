use super::{FIRES, hook, post, texts};
use crate::webhook::hooks::{Hook, Outcome};

/// A hook that passes these: `source:name`.
fn passing(arguments: &[&str], more: &str) -> Hook {
    let arguments: Vec<String> = arguments
        .iter()
        .map(|argument| argument.split_once(':').unwrap_or((argument, "")))
        .map(|(source, name)| format!(r#"{{"source": "{source}", "name": "{name}"}}"#))
        .collect();
    let arguments = arguments.join(", ");
    hook(&format!(
        r#"{{"id": "x", "execute-command": "true", "pass-arguments-to-command": [{arguments}] {more}}}"#
    ))
}

fn entire(body: impl AsRef<[u8]>, content_type: &'static str) -> String {
    let mut arguments = post(body).content_type(content_type).arguments(&passing(&["entire-payload"], ""));
    arguments.remove(0)
}

#[test]
fn paths_lead_through_objects_and_lists() {
    let body = r#"{"a": {"b": {"c": "deep"}, "l": ["zero", {"k": "one"}], "e": [], "nul": null},
        "a.b": "dotted", "x": {"y.z": "inner"}, "p.q": {"r": 1}, "7": "seven"}"#;
    let cases = [
        ("a.b", "dotted"),
        ("a.b.c", "deep"),
        ("a.l.0", "zero"),
        ("a.l.00", "zero"),
        ("a.l.1.k", "one"),
        ("x.y.z", "inner"),
        ("7", "seven"),
        ("a.nul", "<nil>"),
        ("a.l", r#"["zero",{"k":"one"}]"#),
        ("a.e", "[]"),
        // What is not there is empty.
        ("p.q.r", ""),
        ("a.l.2", ""),
        ("a.l.+1", ""),
        ("a.l.-1", ""),
        ("a.l.x", ""),
        ("a.l.0.k", ""),
        ("a.e.0", ""),
        ("a.nul.x", ""),
        ("", ""),
    ];
    for (path, value) in cases {
        let hook = passing(&[&format!("payload:{path}")], "");
        assert_eq!(post(body).arguments(&hook), [value], "{path}");
    }
    let hook = passing(&["payload:a.b.nope.more"], "");
    let ask = post(body);
    let delivery = ask.delivery(&hook);
    assert_eq!(
        delivery.value(&hook.arguments[0]).unwrap_err().to_string(),
        "parameter node not found: nope.more"
    );
}

#[test]
fn json_keeps_numbers_and_comes_back_sorted_and_escaped() {
    let cases = [
        (
            r#"{"b": 1.50, "a": [1E3, -0, 100000000000000000000000000001]}"#,
            r#"{"a":[1E3,-0,100000000000000000000000000001],"b":1.50}"#,
        ),
        (r#"{"a": 1, "b": {"z": 1, "y": 2}, "a": {"c": 3}}"#, r#"{"a":{"c":3},"b":{"y":2,"z":1}}"#),
        (
            r#"{"a": "<b> & \"q\" \/ \\ é \u00e9 \u2028 \n\t\b\f\u0001\u007f"}"#,
            "{\"a\":\"\\u003cb\\u003e \\u0026 \\\"q\\\" / \\\\ é é \\u2028 \\n\\t\\b\\f\\u0001\u{7f}\"}",
        ),
        (r#"{"\u0061": 1, "a": 2}"#, r#"{"a":2}"#),
        (r#"{"a": "\ud83d\ude00 \ud83d \ude00 \ud83dA"}"#, "{\"a\":\"😀 \u{fffd} \u{fffd} \u{fffd}A\"}"),
        (r#"  [1, {"a": null}] trailing"#, r#"{"root":[1,{"a":null}]}"#),
        (r#"{"a": 1} {"b"#, r#"{"a":1}"#),
        ("null", "null"),
        ("{}", "{}"),
    ];
    for (body, rendered) in cases {
        assert_eq!(entire(body, "application/json"), rendered, "{body}");
    }
    assert_eq!(entire(b"{\"a\": \"\xff\xe2\x82\"}", "text/json"), "{\"a\":\"\u{fffd}\u{fffd}\u{fffd}\"}");
}

#[test]
fn broken_json_is_a_line_and_no_payload() {
    for (body, problem) in [
        ("", "no JSON at byte 0"),
        ("{\"a\"", "no JSON at byte 4"),
        ("[1", "no JSON at byte 2"),
        ("\u{feff}{}", "no JSON at byte 0"),
        ("{\"a\": 1,}", "no JSON at byte 8"),
        ("[1,]", "no JSON at byte 3"),
        ("{\"a\": 01}", "no JSON at byte 7"),
        ("{\"a\": 1.}", "no JSON at byte 8"),
        ("{\"a\": -}", "no JSON at byte 7"),
        ("{\"a\": 1e+}", "no JSON at byte 9"),
        ("{\"a\": \"\n\"}", "no JSON at byte 7"),
        ("{\"a\": \"\\x\"}", "no JSON at byte 8"),
        ("{\"a\": \"\\u00g0\"}", "no JSON at byte 11"),
        ("{\"a\": tru}", "no JSON at byte 6"),
        ("{\"a\" 1}", "no JSON at byte 5"),
        ("{\"a\": 1 \"b\": 2}", "no JSON at byte 8"),
        ("[1 2]", "no JSON at byte 3"),
        ("[1}", "no JSON at byte 2"),
        ("{'a': 1}", "no JSON at byte 1"),
        ("{\"a\": 1\0}", "no JSON at byte 7"),
        ("7", "no object"),
    ] {
        let hook = passing(&["entire-payload"], "");
        let decision = post(body).decide(&hook);
        let line = format!("error parsing JSON payload: {problem}");
        assert_eq!((texts(&decision.lines), decision.outcome), (vec![line.as_str()], FIRES), "{body}");
        assert_eq!(post(body).arguments(&hook), ["null"], "{body}");
    }
}

#[test]
fn no_depth_exhausts_the_stack() {
    let nested = |depth: usize| format!("{}{}", "{\"a\":[".repeat(depth / 2), "]}".repeat(depth / 2));
    let work = move || {
        assert_eq!(entire(nested(10_000), "application/json"), nested(10_000));
        let hook = passing(&["entire-payload"], "");
        let lines = post(nested(10_002)).decide(&hook).lines;
        assert_eq!(
            texts(&lines),
            ["error parsing JSON payload: more than 5000000 values, 10000 levels or 4 GiB"]
        );
        let xml = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
        assert!(entire(xml, "text/xml").starts_with("{\"a\":{\"a\":"));
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
}

#[test]
fn what_costs_a_multiple_of_its_text_is_bounded() {
    let line = |ask: super::Ask| {
        let lines = ask.decide(&passing(&[], "")).lines;
        texts(&lines).last().map(|line| (*line).to_owned()).unwrap_or_default()
    };
    let list = format!("[{}1]", "1,".repeat(5_000_000));
    assert_eq!(
        line(post(list)),
        "error parsing JSON payload: more than 5000000 values, 10000 levels or 4 GiB"
    );
    let xml = format!("<a>{}</a>", "<b/>".repeat(200_000));
    assert!(line(post(xml).content_type("text/xml")).ends_with("more than 200000 elements and attributes"));
    let xml = format!("<a {}/>", "b='' ".repeat(200_000));
    assert!(line(post(xml).content_type("text/xml")).ends_with("more than 200000 elements and attributes"));
    let parts = |count: usize| multipart(&vec![("form-data; name=a", ""); count]);
    assert_eq!(line(post(parts(1000)).content_type(MULTIPART)), "found multipart form value \"a\"");
    let broken = "error parsing multipart form: there are too many parts";
    assert_eq!(line(post(parts(1001)).content_type(MULTIPART)), broken);
}

#[test]
fn forms_are_objects_of_first_values() {
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    for (body, payload) in [
        ("a=b+c&a=2&z&=e&%66=%2B%26&x=y=z", r#"{"":"e","a":"b c","f":"+\u0026","x":"y=z","z":""}"#),
        ("", "{}"),
        ("payload=%7B%22a%22%3A1%7D", r#"{"payload":"{\"a\":1}"}"#),
        ("a=1&b=%zz", "null"),
        ("a=1;b=2", "null"),
    ] {
        assert_eq!(entire(body, form), payload, "{body}");
    }
    let hook = passing(&["payload:a"], "");
    assert_eq!(post("a=%ff%00").content_type(form).inputs(&hook).arguments, [b"\xff\0"]);
    let lines = post("a=%zz").content_type(form).decide(&hook).lines;
    assert_eq!(texts(&lines), ["error parsing form payload: \"a=%zz\" has a semicolon or half an escape"]);
}

#[test]
fn a_form_field_can_be_the_payload() {
    let hook = passing(&["payload:ref", "entire-payload"], r#", "payload-form-field": "payload""#);
    let form = "application/x-www-form-urlencoded";
    let ask = |body: &str, content_type| post(body).content_type(content_type).arguments(&hook);
    assert_eq!(ask("x=1&payload=%7B%22ref%22%3A%22m%22%7D", form), ["m", r#"{"ref":"m"}"#]);
    assert_eq!(ask("payload=[1]", form), ["", r#"{"root":[1]}"#]);
    assert_eq!(ask("ref=direct", form), ["direct", r#"{"ref":"direct"}"#]);
    assert_eq!(ask(r#"{"ref": "m"}"#, "application/json"), ["m", r#"{"ref":"m"}"#]);
    assert_eq!(ask("payload=%7B", form), ["", "null"]);
    let lines = post("payload=%7B").content_type(form).decide(&hook).lines;
    assert_eq!(texts(&lines), ["error parsing JSON payload: no JSON at byte 1"]);
}

#[test]
fn xml_becomes_an_object() {
    let cases = [
        ("<a>t</a>", r#"{"a":"t"}"#),
        ("junk <a/> <b/>", r#"{"a":""}"#),
        ("<a> \n </a>", r#"{"a":""}"#),
        ("<a x='1'/>", r#"{"a":{"-x":"1"}}"#),
        ("<a x='1'>t</a>", r##"{"a":{"#text":"t","-x":"1"}}"##),
        ("<a><b>1</b><c/><b>2</b></a>", r#"{"a":{"b":["1","2"],"c":""}}"#),
        ("<n:a xmlns:n='u' n:x='1'><n:b/></n:a>", r#"{"a":{"-n":"u","-x":"1","b":""}}"#),
        ("<a>x &lt;&amp;&#65;&#x42;</a>", r#"{"a":"x \u003c\u0026AB"}"#),
        ("<a>x<![CDATA[<y>]]></a>", r#"{"a":"\u003cy\u003e"}"#),
        ("<a>one<!-- c -->two</a>", r#"{"a":"two"}"#),
        ("<a>t1<b/>t2</a>", r##"{"a":{"#text":"t1","b":""}}"##),
        ("<a><b/>t2</a>", r##"{"a":{"#text":"t2","b":""}}"##),
        ("<a x='1'>t1<b/>t2</a>", r##"{"a":{"#text":"t2","-x":"1","b":""}}"##),
        ("<?xml version='1.0' encoding='UTF-8'?><!DOCTYPE a><a>1</a>", r#"{"a":"1"}"#),
        ("<a>1</a><unclosed>", r#"{"a":"1"}"#),
        ("<a x='1\r\n2\r3&#13;'/>", r#"{"a":{"-x":"1\n2\n3\r"}}"#),
        ("<a:1b a:2c='1'/>", r#"{"1b":{"-2c":"1"}}"#),
        // Not well-formed, or a trap.
        ("", "null"),
        ("<a>", "null"),
        ("<a></b>", "null"),
        ("<a b=1/>", "null"),
        ("<a b='<'/>", "null"),
        ("<a>&nope;</a>", "null"),
        ("<a>x & y</a>", "null"),
        ("<a>\u{1}</a>", "null"),
        ("<a>]]></a>", "null"),
        ("<a x=']]>'/>", "null"),
        ("<a -x='1'/>", "null"),
        ("<a x='1',y='2'/>", "null"),
        ("<1:a/>", "null"),
        ("<?xml version='1.0' encoding='latin1'?><a/>", "null"),
        ("<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>", "null"),
    ];
    for (body, payload) in cases {
        assert_eq!(entire(body, "application/xml"), payload, "{body}");
    }
    assert_eq!(
        post(b"<a/>\xff").content_type("text/xml").arguments(&passing(&["entire-payload"], "")),
        [r#"{"a":""}"#]
    );
    let lines = post(b"<a>\xff</a>").content_type("text/xml").decide(&passing(&[], "")).lines;
    assert!(texts(&lines)[0].ends_with("invalid UTF-8"), "{lines:?}");
    let lines = post("").content_type("text/xml").decide(&passing(&[], "")).lines;
    assert_eq!(texts(&lines), ["error parsing XML payload: there is no element"]);
}

/// Parts of a multipart body with the boundary `b`: their header lines and contents.
fn multipart(parts: &[(&str, &str)]) -> String {
    let part = |(head, content): &(&str, &str)| {
        ["--b\r\nContent-Disposition: ", head, "\r\n\r\n", content, "\r\n"].concat()
    };
    let parts: Vec<String> = parts.iter().map(part).collect();
    parts.concat() + "--b--\r\n"
}

const MULTIPART: &str = "multipart/form-data; boundary=b";

#[test]
fn multipart_values_and_json_files_are_the_payload() {
    let json_file = "form-data; name=f; filename=x\r\nContent-Type: application/json";
    let cases: [(String, &str, &[&str]); 10] = [
        (
            multipart(&[
                ("form-data; name=a", "1"),
                ("form-data; name=\"b\u{a0}c\"", "x\r\ny"),
                ("form-data; name=a", "2"),
            ]),
            "{\"a\":\"1\",\"b\u{a0}c\":\"x\\r\\ny\"}",
            &["found multipart form value \"a\"", "found multipart form value \"b\\u00a0c\""],
        ),
        (
            multipart(&[(json_file, "{\"k\": 1}")]),
            r#"{"f":{"k":1}}"#,
            &["parsing multipart form file \"f\" as JSON"],
        ),
        (
            multipart(&[(json_file, "[1]")]),
            r#"{"f":null}"#,
            &["parsing multipart form file \"f\" as JSON", "error parsing JSON payload file: no object"],
        ),
        (multipart(&[("form-data; name=f; filename=x", "{\"k\": 1}")]), "null", &[]),
        (
            multipart(&[("form-data; name=f; filename=x\r\nContent-Type: application/json; a=b", "{}")]),
            "null",
            &[],
        ),
        (
            multipart(&[("attachment; name=f", "x"), ("form-data; name=\"\"", "x"), ("form-data", "x")]),
            "null",
            &[],
        ),
        (multipart(&[]), "null", &[]),
        (
            multipart(&[(
                "form-data; name=a\r\nContent-Transfer-Encoding: quoted-printable",
                "é=3D=\r\n=C3=A9",
            )]),
            r#"{"a":"é=é"}"#,
            &["found multipart form value \"a\""],
        ),
        (
            "pre\r\n--b \r\nContent-Disposition: form-data; name=a\r\n\r\n--bc\r\n--b--".to_owned(),
            r#"{"a":"--bc"}"#,
            &["found multipart form value \"a\""],
        ),
        (
            "--b\ncontent-disposition: form-data;\n name=a\n\n1\n--b--\n".to_owned(),
            r#"{"a":"1"}"#,
            &["found multipart form value \"a\""],
        ),
    ];
    let hook = passing(&["entire-payload"], "");
    for (body, payload, lines) in cases {
        let ask = post(&body).content_type(MULTIPART);
        assert_eq!(texts(&ask.clone().decide(&hook).lines), lines, "{body}");
        assert_eq!(ask.arguments(&hook), [payload], "{body}");
    }
}

#[test]
fn the_header_of_a_part_may_be_in_any_encoding() {
    let mut body = b"--b\r\nContent-Disposition: form-data; name=a; filename=\"\xfc.json\"\r\n".to_vec();
    body.extend(b"Content-Type: application/json\r\nX-Z: \xe9\r\n\r\n{\"n\": 1}\r\n--b--\r\n");
    let arguments = post(body).content_type(MULTIPART).arguments(&passing(&["payload:a.n"], ""));
    assert_eq!(arguments, ["1"]);
}

#[test]
fn a_broken_multipart_body_is_answered_before_the_rules() {
    let never = hook("{id: x, execute-command: 'true', trigger-rule: {}}");
    let good = multipart(&[("form-data; name=a", "1")]);
    let cases = [
        (
            "multipart/form-data; x=y",
            good.as_str(),
            "error parsing multipart form: the Content-Type names no boundary",
        ),
        (
            "multipart/form-data; boundary",
            &good,
            "error parsing multipart form: the Content-Type names no boundary",
        ),
        (MULTIPART, "", "error parsing multipart form: there is no boundary where one must be"),
        (
            MULTIPART,
            &good[..good.len() - 9],
            "error parsing multipart form: there is no boundary where one must be",
        ),
        (
            MULTIPART,
            "--b\r\njunk\r\n\r\n--b--\r\n",
            "error parsing multipart form: a line is no header of a part",
        ),
        (
            MULTIPART,
            "--b\r\n Content-Disposition: form-data; name=a\r\n\r\n1\r\n--b--\r\n",
            "error parsing multipart form: a line is no header of a part",
        ),
    ];
    for (content_type, body, line) in cases {
        let decision = post(body).content_type(content_type).decide(&never);
        assert_eq!((decision.outcome, texts(&decision.lines)), (Outcome::BadMultipart, vec![line]), "{body}");
    }
    let mut multipart_by_order = never;
    multipart_by_order.payload_content_type = MULTIPART.to_owned();
    assert_eq!(
        post(good).outcome(&multipart_by_order),
        Outcome::BadMultipart,
        "the boundary is the request's own"
    );
}

#[test]
fn the_content_type_decides_by_what_it_contains() {
    let json = r#"{"a":1}"#;
    for (content_type, payload) in [
        ("application/vnd.api+json", json),
        ("text/json-x-www-form-urlencoded", json),
        ("application/JSON", "null"),
        ("text/plain", "null"),
        ("", "null"),
        ("multipart/form-data", "null"),
        ("multipart/form-data; boundary=xml", "null"),
    ] {
        assert_eq!(entire(json, content_type), payload, "{content_type}");
    }
    let lines = post("x").content_type("text/plain").decide(&passing(&[], "")).lines;
    assert_eq!(
        texts(&lines),
        ["error parsing body payload due to unsupported content type header: text/plain"]
    );
    let hook = passing(&["entire-payload"], r#", "incoming-payload-content-type": "application/json""#);
    assert_eq!(post(json).content_type("text/plain").arguments(&hook), [json]);
}

#[test]
fn each_source_has_its_value() {
    let hook = passing(
        &[
            "header:x-hub-EVENT",
            "header:X-A.b",
            "url:q",
            "query:r",
            "query:nope",
            "request:Remote-Addr",
            "request:METHOD",
            "string:as it is",
            "raw-request-body",
            "entire-headers",
            "entire-query",
            "nope:x",
        ],
        "",
    );
    let ask = post("{\"a\": 1}")
        .header("x-hub-event", "push")
        .header("X-Hub-Event", "ping")
        .query("q=a+b&q=2&r=%2B&bad=%zz&s;t=1");
    assert_eq!(
        ask.clone().arguments(&hook),
        [
            "push",
            "",
            "a b",
            "+",
            "",
            "127.0.0.1:4711",
            "POST",
            "as it is",
            "{\"a\": 1}",
            r#"{"Content-Type":"application/json","X-Hub-Event":"push"}"#,
            r#"{"q":"a b","r":"+"}"#,
            "",
        ]
    );
    let lines = ask.inputs(&hook).lines;
    assert_eq!(
        texts(&lines)[0],
        "error extracting command arguments: couldn't retrieve argument for {Source:header Name:X-A.b EnvName: Base64Decode:false}"
    );
    assert_eq!(lines.len(), 3);
    let body = multipart(&[]);
    let raw = passing(&["raw-request-body"], "");
    assert_eq!(post(body).content_type(MULTIPART).arguments(&raw), [""]);
}

#[test]
fn an_else_counts_where_there_is_no_value_or_null() {
    let hook = hook(
        r"{id: x, execute-command: x,
            pass-arguments-to-command: [
                {source: payload, name: head.id, else: {source: payload, name: after}},
                {source: payload, name: 'n', else: {source: string, name: none}},
                {source: header, name: X-A, else: {source: query, name: a, else: {source: string, name: last}}},
                {source: payload, name: nope, else: {source: payload, name: nope-either}}],
            pass-environment-to-command: [{source: payload, name: nope, envname: E, else: {source: string, name: e}}],
            pass-file-to-command: [
                {source: payload, name: nope, base64decode: true, else: {source: string, name: aGk=}}]}",
    );
    let arguments = |body: &str| post(body).arguments(&hook);
    assert_eq!(arguments(r#"{"head": {"id": "h"}, "after": "a", "n": 0}"#), ["h", "0", "last", ""]);
    for absent in [
        r#"{"head": null, "after": "a", "n": null}"#,
        r#"{"after": "a"}"#,
        r#"{"head": {"id": null}, "after": "a"}"#,
    ] {
        assert_eq!(arguments(absent)[..2], ["a", "none"], "{absent}");
    }
    assert_eq!(post("{}").query("a=q").arguments(&hook)[2], "q");
    let inputs = post("{}").inputs(&hook);
    assert_eq!(inputs.environment, [("E".to_owned(), b"e".to_vec())]);
    assert_eq!(inputs.files, [("HOOK_NOPE".to_owned(), b"hi".to_vec())]);
}

#[test]
fn parameters_are_parsed_as_json() {
    let parse = |parameters: &str| {
        passing(
            &["payload:p.k", "header:X-J.k", "query:q.k", "payload:o.i.k", "entire-payload"],
            &format!(r#", "parse-parameters-as-json": [{parameters}]"#),
        )
    };
    let body = r#"{"p": "{\"k\": {\"z\": 1.50}}", "o": {"i": "{\"k\": 2}"}, "l": "[1]", "done": {"k": 3}}"#;
    let ask = |hook: &Hook| {
        post(body).header("X-J", "{\"k\": \"h\"}").query("q=%7B%22k%22:true%7D").arguments(hook)
    };
    let all = parse(
        r#"{"source": "payload", "name": "p"}, {"source": "header", "name": "x-j"}, {"source": "url", "name": "q"},
           {"source": "payload", "name": "o.i"}"#,
    );
    assert_eq!(
        ask(&all),
        [
            r#"{"z":1.50}"#,
            "h",
            "true",
            "2",
            r#"{"done":{"k":3},"l":"[1]","o":{"i":{"k":2}},"p":{"k":{"z":1.50}}}"#,
        ]
    );
    let wrong = parse(
        r#"{"source": "payload", "name": "l"}, {"source": "payload", "name": "nope"}, {"source": "string", "name": "{}"},
           {"source": "payload", "name": "done"}, {"source": "payload", "name": "o.i.k"}"#,
    );
    assert_eq!(ask(&wrong)[..4], ["", "", "", ""]);
    let lines = post(body).decide(&wrong).lines;
    assert_eq!(
        texts(&lines),
        [
            "error parsing JSON parameters: no object",
            "error parsing JSON parameters: couldn't retrieve argument for {Source:payload Name:nope EnvName: Base64Decode:false}",
            "error parsing JSON parameters: invalid source for argument {Source:string Name:{} EnvName: Base64Decode:false}",
            "error parsing JSON parameters: couldn't retrieve argument for {Source:payload Name:o.i.k EnvName: Base64Decode:false}",
        ]
    );
}

#[test]
fn a_parameter_parsed_as_json_is_seen_by_the_rules() {
    let hook = hook(
        r#"{"id": "x", "execute-command": "true", "parse-parameters-as-json": [{"source": "payload", "name": "payload"}],
            "trigger-rule": {"match": {"type": "value", "value": "main", "parameter": {"source": "payload", "name": "payload.push.0.name"}}}}"#,
    );
    let body = "payload=%7B%22push%22%3A%5B%7B%22name%22%3A%22main%22%7D%5D%7D";
    assert_eq!(post(body).content_type("application/x-www-form-urlencoded").outcome(&hook), FIRES);
}

#[test]
fn the_environment_and_files_are_named() {
    let hook = hook(
        r#"{"id": "x", "execute-command": "true",
            "pass-environment-to-command": [{"source": "payload", "name": "a.b"}, {"source": "payload", "name": "a.b", "envname": "AB"},
                {"source": "payload", "name": "nope"}, {"source": "string", "name": "t"}, {"source": "entire-query"}],
            "pass-file-to-command": [{"source": "payload", "name": "blob", "base64decode": true}, {"source": "payload", "name": "nope"},
                {"source": "string", "name": "aGk=!", "envname": "F", "base64decode": true}, {"source": "raw-request-body", "envname": "BODY"}]}"#,
    );
    let body = r#"{"a": {"b": 1}, "blob": "/wA="}"#;
    let inputs = post(body).inputs(&hook);
    let named = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    assert_eq!(
        inputs.environment,
        [named("HOOK_a.b", b"1"), named("AB", b"1"), named("HOOK_t", b"t"), named("HOOK_", b"{}")]
    );
    assert_eq!(
        inputs.files,
        [named("HOOK_BLOB", b"\xff\0"), named("F", b"hi"), named("BODY", body.as_bytes())]
    );
    assert_eq!(
        texts(&inputs.lines),
        [
            "error extracting command arguments for environment: couldn't retrieve argument for {Source:payload Name:nope EnvName: Base64Decode:false}",
            "no ENVVAR name specified, falling back to [HOOK_BLOB]",
            "error decoding string [illegal base64 data]",
            "error extracting command arguments for file: couldn't retrieve argument for {Source:payload Name:nope EnvName: Base64Decode:false}",
        ]
    );
    assert_eq!(post(body).inputs(&hook).lines.len(), 3, "the fallback is said once");
    assert_eq!(
        texts(&post("{}").inputs(&hook).lines).iter().find(|line| line.contains("Name:blob")),
        Some(
            &"error extracting command arguments for file: couldn't retrieve argument for {Source:payload Name:blob EnvName:HOOK_BLOB Base64Decode:true}"
        ),
        "and is the name of the variable from then on"
    );
}
