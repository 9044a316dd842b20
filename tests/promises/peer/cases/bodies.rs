//! Bodies of every kind, shown whole.

use serde_json::json;

use super::{FORM, JSON, Table, payload, rows, show, source};

const JSON_TEXTS: &str = r#"
{}
{"a":1}
 {"b":[1,2,{"c":null}],"a":{"z":1,"y":"<&>"}} trailing
[]
[1,"x",{"a":2}]
{"n":1.50,"e":1E3,"z":-0,"big":123456789012345678901234567890,"s":1e-7}
{"a":1,"a":2}
null
true
1
"x"

{
[
{"a"}
{"a":}
{"a":1,}
[1,]
{a:1}
{'a':1}
{"a":01}
{"a":.5}
{"a":1.}
{"a":+1}
{"a":NaN}
{"a":tru}
{"a":"\x"}
{"a":"\u12"}
{"a":"\ud83d\ude00"}
{"a":"\ud83d"}
{"a":"é ü \u00e9"}
{"a":"\n\t\r\"\\\/"}
{"a":"\u2028\u0001\u001f\u007f"}
{"":{"":1}}
{"a":{"b":{"c":{"d":[[[1]]]}}}}
{"a":1} {"b":2}
{"a":[{}, [], "", 0, false, null]}
{"a" :	1 ,"b" :2}
nul
{"a":1]
[1}
{"a":"unterminated
//comment
{"a":1}/
"#;

/// What does not fit into a line, or is no text.
const JSON_BYTES: [&[u8]; 10] = [
    b" ",
    b"  \n[1]",
    b"{\"a\":\n1}",
    b"{\"a\":\"line\nbreak\"}",
    "{\"a\":\"\u{2028}\u{2029}\"}".as_bytes(),
    "\u{feff}{\"a\":1}".as_bytes(),
    b"{\"a\":\"\xff\xfe\"}",
    b"{\"a\":\"\xc3\"}",
    b"{\"\xff\":1}",
    b"{\"a\":\"\xed\xa0\x80\"}",
];

/// The same of XML.
const XML_BYTES: [&[u8]; 3] = [b"<a b='1\r\n2\r3'>\r\nx\ry</a>", b"<a/>\xff", b"<a>\xff</a>"];

const FORMS: &str = "
a=b
a=b&c=d
a=b&a=c
a
=
=b
&&
a=b+c%20d
a=%zz
a=%4
a=b;c=d
a=%zz&b;c
%zz=%4

a=%C3%A9
a=%ff
%61=x
a==b
payload=%7B%22a%22%3A1%7D
a=b&c
a=<>&b=&c
";

const XML_TEXTS: &str = r#"
<a/>
<a></a>
<a>text</a>
<a>  trimmed </a>
<a x='1' y="2"/>
<a x='1'>t</a>
<a><b>1</b><b>2</b></a>
<a><b/><c/></a>
<ns:a xmlns:ns='u'><ns:b>1</ns:b></ns:a>
<?xml version='1.0'?><a>1</a>
<!DOCTYPE a><a>1</a>
<!-- c --><a>1<!-- d --></a>
<a>&lt;&amp;&gt;&#65;&#x42;</a>
<a><![CDATA[<x>]]></a>
<a>
<a></b>

text
<a>&bad;</a>
<a x=1/>
<a><b id='1'>x</b><b id='2'/></a>
<a>1</a><b>2</b>
<?xml version='1.0' encoding='utf-8'?><a>1</a>
<?xml version='1.0' encoding='latin-1'?><a>1</a>
<a b:c='1'/>
<a -b='1'/>
<a b=']]>'/>
<1:a/>
<a:1/>
<app><users><user id="1" name="J" /><user id="2" name="A"/></users></app>
"#;

const CONTENT_TYPES: &str = "
text/json
application/vnd.api+json
application/JSON
application/json; charset=utf-8
text/plain

application/x-json-stream
application/x-www-form-urlencoded; charset=utf-8
text/xml
application/xhtml+xml
multipart/form-data
Multipart/form-data; boundary=b
multipart/form-data; boundary=xmlb
json/xml
x-www-form-urlencoded+json
";

pub(super) fn add(table: &mut Table) {
    let whole = json!([source("entire-payload", ""), source("raw-request-body", "")]);
    table.hook(show("whole", json!({"pass-arguments-to-command": whole})));
    table.hook(show(
        "as-json",
        json!({"pass-arguments-to-command": whole, "incoming-payload-content-type": "application/json"}),
    ));
    for body in rows(JSON_TEXTS).map(str::as_bytes).chain(JSON_BYTES) {
        table.case("POST", "/hooks/whole", &[JSON], body);
    }
    for body in rows(FORMS) {
        table.case("POST", "/hooks/whole", &[FORM], body);
    }
    for body in rows(XML_TEXTS).map(str::as_bytes).chain(XML_BYTES) {
        table.case("POST", "/hooks/whole", &[("Content-Type", "application/xml")], body);
    }
    for kind in rows(CONTENT_TYPES) {
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
            "pass-arguments-to-command": arguments,
            "parse-parameters-as-json": [payload("f"), payload("a")],
        }),
    ));
    let part = |headers: &str, body: &str| format!("--b\r\n{headers}\r\n\r\n{body}\r\n");
    let field =
        |name: &str, body: &str| part(&format!("Content-Disposition: form-data; name=\"{name}\""), body);
    let file = |name: &str, kind: &str, body: &str| {
        let disposition = format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"x\"");
        part(&format!("{disposition}\r\nContent-Type: {kind}"), body)
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
        part(" Content-Disposition: form-data; name=a", "folded") + end,
        part("Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: quoted-printable", "é=3D")
            + end,
        field("a\u{a0}b", "no-break") + end,
        part("Content-Type: text/plain", "nameless") + end,
        (field("a", "one") + end).replace("\r\n", "\n"),
    ];
    for hook in ["/hooks/parts", "/hooks/parts-json"] {
        for body in &bodies {
            table.case("POST", hook, &[("Content-Type", "multipart/form-data; boundary=b")], body);
        }
    }
    let latin = b"--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"\xfc\"\r\nX-Z: \xe9\r\n\r\none\r\n--b--\r\n";
    for hook in ["/hooks/parts", "/hooks/parts-json"] {
        table.case("POST", hook, &[("Content-Type", "multipart/form-data; boundary=b")], latin);
    }
    for parameters in
        [" boundary=\"b\"", " charset=x; boundary=b", " boundary=", " x", "boundary=b", " boundary=c"]
    {
        let kind = format!("multipart/form-data;{parameters}");
        table.case("POST", "/hooks/parts", &[("Content-Type", &kind)], &bodies[0]);
    }
}
