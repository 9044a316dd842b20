//! Answers: codes, headers, methods, what a body is taken for, where a path leads, forms of requests.

use serde_json::json;

use super::{JSON, TEXT, Table, rows};
use crate::support::daemon::shell;

/// First bytes; what stands for a byte is written as Rust writes it.
const BODIES: &[&[u8]] = &[
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

const TARGETS: &str = r"
/hooks
/hooks/
/hooks//
/hooks/a
/hooks/a/
/hooks/a//b
/hooks/a/b
/hooks/a%2Fb
/hooks/a%2fb
/hooks/a%20b
/hooks/a+b
/hooks/a%2Bb
/hooks/%C3%A9
/hooks/%c3%a9
/hooks/a%25b
/hooks/x/
/hooks/x
/hooks/..a
/hooks/.
/hooks/..
/hooks/../hooks/a
/hooks/./a
/./hooks/a
//hooks/a
/hooks/a/..
/hooks/a/../
/hooks/a/./
/hooks/a?x=y
/hooks/a?
/hooks//a?
/hooks//a?x=y%20z
/hooks/a;b
/hooks/a:b
/hooks/a%3Fb
/HOOKS/a
/hooks/A
/h%6Foks/a
/hooks%2Fa
/hook/a
/hooksa
/x
/index.html
/favicon.ico
/hooks/%00
/hooks/a%00
/hooks/%0a
/hooks/a%0Ab
/hooks/a%0D
/hooks/%zz
/hooks/%
/hooks/%4
/hooks/%ff
/hooks//%ff
/hooks/a%2e%2e/b
/hooks/%2e%2e/a
/hooks/a/%2E/b
/hooks/a%2F..%2Fb
/hooks/$&+,;=@
/hooks//$&+,;=@:!'()*[]~-_.
/hooks//a%41%7e%2a%22
/hooks/a|b
/hooks/{a}
/hooks/a\b
/hooks/a^b
/?x
//
/.
/..
http://other/hooks/a
http://other:81/hooks/a?x=1
http://other:81/hooks//a?x=1
";

const REQUESTS: [&str; 14] = [
    "GET /hooks/a HTTP/1.0\r\n\r\n",
    "GET /hooks/a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    "GET /hooks/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET /hooks/script-quiet-14 HTTP/1.0\r\n\r\n",
    "POST /hooks/whole HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
     3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
    "POST /hooks/whole HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
     7;ext=1\r\n{\"a\":1}\r\n0\r\nTrailer: x\r\n\r\n",
    "POST /hooks/meta HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET http://user:word@other/hooks/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /hooks/whole HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nx\r\n",
    "get /hooks/a HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET /hooks/a HTTP/1.1\r\nHost: x\r\nX-Folded: a\r\nX-Tab:\tb\t\r\n\r\n",
    "HEAD /hooks/a HTTP/1.1\r\nHost: x\r\n\r\n",
];

pub(super) fn add(table: &mut Table) {
    codes(table);
    headers(table);
    table.hook(shell(
        "sniff",
        "cat $F",
        json!({"pass-file-to-command": [{"source": "raw-request-body", "envname": "F"}]}),
    ));
    let font = [[b'x'; 34].as_slice(), b"LP"].concat();
    let mut late = vec![b'x'; 600];
    late[550] = 0;
    let mut in_time = late.clone();
    in_time[511] = 0;
    for body in BODIES.iter().copied().chain([font.as_slice(), &late, &in_time]) {
        table.case("POST", "/hooks/sniff", &[TEXT], body);
    }
    for id in ["", "a", "a/b", "a b", "a+b", "é", "a%b", "x/", "..a", "a;b", "a:b", "a?b"] {
        let own = json!([{"name": "x-id", "value": format!("<{id}>")}]);
        table.hook(shell(id, "", json!({"response-headers": own})));
    }
    for target in rows(TARGETS) {
        table.case("GET", target, &[], "");
    }
    table.case("POST", "/hooks//a", &[JSON], "{}");
    table.case("POST", "/nowhere", &[JSON], "{}");
    for request in REQUESTS {
        table.raw(request);
    }
}

fn codes(table: &mut Table) {
    let known =
        (200..=209).chain([226, 299]).chain(300..=309).chain(400..=432).chain([451, 499]).chain(500..=512);
    for code in known.chain([-1, 0, 99, 600, 999, 1000]) {
        let background = json!({"success-http-response-code": code, "response-message": "m",
                                "include-command-output-in-response": false});
        let mismatch = json!({"trigger-rule": {}, "trigger-rule-mismatch-http-response-code": code});
        for (kind, more) in [
            ("async-code", background),
            ("code", json!({"success-http-response-code": code})),
            ("mismatch", mismatch),
        ] {
            let id = format!("{kind}-{code}");
            table.hook(shell(&id, "echo x", more));
            table.get(&id);
        }
    }
}

fn headers(table: &mut Table) {
    let header = |name: &str, value: &str| json!({"name": name, "value": value});
    let odd = json!([
        header("x-a", "1"),
        header("X-A", "2"),
        header("bad name", "x"),
        header("", "x"),
        header("x-b", "a\r\nb"),
        header("x-c", " padded "),
        header("x-line", "own"),
        header("x-d", ""),
    ]);
    let own_type = json!([header("content-type", "application/x-own")]);
    for (id, script, more) in [
        ("headers", "echo x", json!({"response-headers": odd})),
        ("kind", "echo '<html>'", json!({"response-headers": own_type})),
        ("kind-failing", "exit 1", json!({"response-headers": own_type})),
        ("headers-ruled", "echo x", json!({"trigger-rule": {}, "response-headers": [header("x-a", "1")]})),
        (
            "encoded",
            r"printf '\037\213\010'",
            json!({"response-headers": [header("Content-Encoding", "gzip")]}),
        ),
        (
            "async-message",
            "true",
            json!({"include-command-output-in-response": false, "response-message": "<html>m</html>",
                   "response-headers": [header("x-a", "1")]}),
        ),
    ] {
        table.hook(shell(id, script, more));
        table.get(id);
        table.case("HEAD", &format!("/hooks/{id}"), &[], "");
    }
    table.get("no-such-hook");
    table.case("HEAD", "/hooks/no-such-hook", &[], "");
    let lists = [
        json!(["GET"]),
        json!(["get"]),
        json!([" Post ", "PUT"]),
        json!([""]),
        json!([]),
        json!(null),
        json!(["G ET"]),
    ];
    for (number, methods) in lists.into_iter().enumerate() {
        let id = format!("method-{number}");
        table.hook(shell(&id, "echo x", json!({"http-methods": methods})));
        for method in ["GET", "POST", "PUT", "get", "OPTIONS", "ODD"] {
            table.case(method, &format!("/hooks/{id}"), &[], "");
        }
    }
}
