//! What a request is answered: status, body and headers, in the order of steps of webhook 2.8.

use std::io::Write;

use serde_json::json;

use crate::support::{
    daemon::{Daemon, Setup, hooks_file, shell},
    http::{Reply, raw_request, say_no_more},
};

const FAILED: &str =
    "Error occurred while executing the hook's command. Please check your logs for more details.";

fn secret_rule() -> serde_json::Value {
    json!({"match": {"type": "value", "value": "s", "parameter": {"source": "header", "name": "X-Token"}}})
}

fn signature_rule() -> serde_json::Value {
    json!({"match": {"type": "payload-hmac-sha256", "secret": "k3y", "parameter": {"source": "header", "name": "X-Sig"}}})
}

#[test]
fn each_step_has_its_status_and_its_body() {
    let daemon = Daemon::start(&hooks_file(&[
        json!({"id": "async", "execute-command": "/bin/true", "response-message": "taken"}),
        json!({"id": "async-code", "execute-command": "/bin/true", "success-http-response-code": 202}),
        json!({"id": "missing", "execute-command": "/no/such/program", "response-message": "taken"}),
        shell("sync", "echo out; echo err >&2", json!({"response-message": "ignored"})),
        shell("sync-code", "echo made", json!({"success-http-response-code": 201})),
        shell("odd-code", "echo made", json!({"success-http-response-code": 299})),
        shell("silent", "echo; exit 3", json!({})),
        shell("telling", "echo out; exit 3", json!({"include-command-output-in-response-on-error": true})),
        shell("killed", "echo x; kill -9 $$", json!({"include-command-output-in-response-on-error": true})),
        json!({"id": "sync-missing", "execute-command": "/no/such", "include-command-output-in-response": true,
               "include-command-output-in-response-on-error": true}),
        shell("put", "echo put", json!({"http-methods": [" put ", "Post"]})),
        shell("nothing", "echo x", json!({"http-methods": [""]})),
        shell("ruled", "echo in", json!({"trigger-rule": secret_rule()})),
        shell(
            "ruled-code",
            "echo in",
            json!({"trigger-rule": secret_rule(), "trigger-rule-mismatch-http-response-code": 403}),
        ),
        shell("signed", "echo in", json!({"trigger-rule": signature_rule()})),
        shell(
            "signed-code",
            "echo in",
            json!({"trigger-rule": signature_rule(), "signature-mismatch-http-response-code": 403}),
        ),
        shell("bodiless", "echo x", json!({"success-http-response-code": 204})),
    ]));
    let token = [("X-Token", "s")];
    let good = [("X-Sig", "0f8166ca40dff2f59d7e78e4a152cae710db833265058b836c28285c3302cc2b")];
    let bad = [("X-Sig", "0000")];
    let none: [(&str, &str); 0] = [];
    for (method, hook, headers, status, body) in [
        ("GET", "no-such", &none[..], 404, "Hook not found."),
        ("GET", "async", &none, 200, "taken"),
        ("GET", "async-code", &none, 202, ""),
        ("GET", "missing", &none, 200, "taken"),
        ("POST", "sync", &none, 200, "out\nerr\n"),
        ("GET", "sync-code", &none, 201, "made\n"),
        ("GET", "odd-code", &none, 200, "made\n"),
        ("GET", "silent", &none, 500, FAILED),
        ("GET", "telling", &none, 500, "out\n"),
        ("GET", "killed", &none, 500, "x\n"),
        (
            "GET",
            "sync-missing",
            &none,
            500,
            "The command could not be started: \"/no/such\": stat /no/such: no such file or directory\n",
        ),
        ("GET", "put", &none, 405, ""),
        ("put", "put", &none, 405, ""),
        ("PUT", "put", &none, 200, "put\n"),
        ("POST", "put", &none, 200, "put\n"),
        ("GET", "nothing", &none, 405, ""),
        ("ODD", "sync", &none, 200, "out\nerr\n"),
        ("GET", "ruled", &none, 200, "Hook rules were not satisfied."),
        ("GET", "ruled", &token, 200, "in\n"),
        ("GET", "ruled-code", &none, 403, "Hook rules were not satisfied."),
        ("POST", "signed", &none, 200, "Hook rules were not satisfied."),
        ("POST", "signed", &bad, 500, "Error occurred while evaluating hook rules."),
        ("POST", "signed", &good, 200, "in\n"),
        ("POST", "signed-code", &none, 403, "Hook rules were not satisfied."),
        ("POST", "signed-code", &bad, 403, "Hook rules were not satisfied."),
        ("POST", "signed-code", &good, 200, "in\n"),
        ("GET", "bodiless", &none, 204, ""),
    ] {
        let reply = daemon.request(method, &format!("/hooks/{hook}"), headers, br#"{"n":1}"#);
        assert_eq!((reply.status, reply.text().as_str()), (status, body), "{method} {hook} {headers:?}");
    }
}

#[test]
fn a_broken_multipart_body_is_500() {
    let daemon = Daemon::start(&hooks_file(&[shell("m", "echo x", json!({}))]));
    let reply =
        daemon.request("POST", "/hooks/m", &[("Content-Type", "multipart/form-data; boundary=b")], b"no");
    assert_eq!((reply.status, reply.text().as_str()), (500, "Error occurred while parsing multipart form."));
}

#[test]
fn headers_of_the_command_line_and_of_the_hook_come_when_they_should() {
    let daemon = Setup::new(&hooks_file(&[
        shell("own", "echo x", json!({"response-headers": [
            {"name": "x-both", "value": "hook"}, {"name": "x-own", "value": "1"}, {"name": "x-own", "value": "a\r\nb"},
            {"name": "no good", "value": "1"},
        ]})),
        shell("ruled", "echo x", json!({"trigger-rule": secret_rule(), "response-headers": [{"name": "x-own", "value": "1"}]})),
        shell("failing", "exit 1", json!({"response-headers": [{"name": "content-type", "value": "text/x-own"}]})),
        shell("put", "echo x", json!({"http-methods": ["PUT"]})),
    ]))
    .flags(&["-header", "X-Both=line", "-header=x-line=a=b"])
    .start();
    let of = |reply: &Reply, name: &str| reply.header(name).map(str::to_owned);

    let own = daemon.get("/hooks/own");
    assert_eq!(of(&own, "X-Both").unwrap(), "hook");
    assert_eq!(of(&own, "X-Line").unwrap(), "a=b");
    assert_eq!(of(&own, "X-Own").unwrap(), "a  b");
    let ruled = daemon.get("/hooks/ruled");
    assert_eq!(of(&ruled, "X-Line").unwrap(), "a=b");
    assert_eq!(of(&ruled, "X-Own"), None);
    assert_eq!(of(&daemon.get("/hooks/failing"), "Content-Type").unwrap(), "text/x-own");
    assert_eq!(of(&daemon.get("/"), "X-Line").unwrap(), "a=b");
    for without in ["/hooks/none", "/hooks/put", "/elsewhere", "/hooks//own"] {
        assert_eq!(of(&daemon.get(without), "X-Line"), None, "{without}");
    }
    for reply in [&own, &ruled] {
        assert!(reply.header("Date").is_some());
        assert_eq!(reply.header("X-Request-Id"), None);
    }
}

#[test]
fn the_content_type_is_told_from_the_output() {
    let daemon = Daemon::start(&hooks_file(&[
        shell("text", "echo '{\"a\": 1}'", json!({})),
        shell("html", "echo '  <HTML>'", json!({})),
        shell("bytes", r"printf '\001\002'", json!({})),
        shell("empty", "true", json!({})),
    ]));
    for (hook, kind) in [
        ("text", Some("text/plain; charset=utf-8")),
        ("html", Some("text/html; charset=utf-8")),
        ("bytes", Some("application/octet-stream")),
        ("empty", None),
    ] {
        assert_eq!(daemon.get(&format!("/hooks/{hook}")).header("Content-Type"), kind, "{hook}");
    }
}

#[test]
fn paths_lead_where_they_lead_with_webhook() {
    let hooks = hooks_file(&[
        json!({"id": "a/b c", "execute-command": "/bin/true", "response-message": "deep"}),
        json!({"id": "", "execute-command": "/bin/true", "response-message": "empty"}),
        json!({"id": "plus+", "execute-command": "/bin/true", "response-message": "plus"}),
    ]);
    let daemon = Daemon::start(&hooks);
    for (path, status, body, location) in [
        ("/", 200, "OK", None),
        ("/?x=y", 200, "OK", None),
        ("/hooks/a/b%20c", 200, "deep", None),
        ("/hooks/a%2Fb%20c?x=y", 200, "deep", None),
        ("http://elsewhere/hooks/a/b%20c", 200, "deep", None),
        ("/hooks/a/b%20c/", 404, "Hook not found.", None),
        ("/hooks/A/b%20c", 404, "Hook not found.", None),
        ("/hooks/", 200, "empty", None),
        ("/hooks/plus+", 200, "plus", None),
        ("/hooks/plus%2b", 200, "plus", None),
        ("/hooks", 404, "404 page not found\n", None),
        ("/hook/x", 404, "404 page not found\n", None),
        ("/hooks/x%0Ay", 404, "404 page not found\n", None),
        ("//hooks/x", 301, "", Some("/hooks/x")),
        ("/hooks/./a/../b?c=%20d", 301, "", Some("/hooks/b?c=%20d")),
        ("/hooks/%zz", 400, "400 Bad Request", None),
    ] {
        let reply = daemon.get(path);
        assert_eq!((reply.status, reply.text().as_str()), (status, body), "{path}");
        assert_eq!(reply.header("Location"), location, "{path}");
    }
    assert_eq!(daemon.get("/nowhere").header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(daemon.request("OPTIONS", "*", &[], b"").status, 200);
    let starred = daemon.get("*");
    assert_eq!((starred.status, starred.header("Location")), (301, Some("/%2A")));

    let daemon = Setup::new(&hooks).flags(&["-urlprefix", "x/y"]).start();
    assert_eq!(daemon.get("/x/y/plus+").text(), "plus");
    assert_eq!(daemon.get("/hooks/plus+").status, 404);
    let daemon = Setup::new(&hooks).flags(&["-urlprefix", ""]).start();
    assert_eq!(daemon.get("/plus+").text(), "plus");
    assert_eq!(daemon.get("/").text(), "OK");
}

#[test]
fn http_is_spoken_as_it_should_be() {
    let daemon = Daemon::start(&hooks_file(&[
        shell(
            "echo",
            "printf '%s' \"$BODY\"",
            json!({
                "pass-environment-to-command": [{"source": "raw-request-body", "envname": "BODY"}]
            }),
        ),
        shell("long", "head -c 100000 /dev/zero | tr '\\0' x", json!({})),
    ]));
    // Keep-alive, two requests in one packet.
    let mut stream = daemon.connect();
    let mut both = raw_request("POST", "/hooks/echo", &[], b"one");
    both.extend(raw_request("POST", "/hooks/echo", &[], b"two"));
    stream.write_all(&both).unwrap();
    assert_eq!(Reply::read(&mut stream, false).text(), "one");
    assert_eq!(Reply::read(&mut stream, false).text(), "two");

    let chunked = "POST /hooks/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(daemon.send(chunked).text(), "abcde");

    // Whoever asks first is told to go on.
    let mut stream = daemon.connect();
    stream
        .write_all(
            b"POST /hooks/echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        )
        .unwrap();
    assert_eq!(Reply::read(&mut stream, false).status, 100);
    stream.write_all(b"abc").unwrap();
    assert_eq!(Reply::read(&mut stream, false).text(), "abc");

    let old = daemon.send("GET /hooks/echo HTTP/1.0\r\n\r\n");
    assert_eq!(old.status, 200);
    assert_eq!(daemon.send("GET /hooks/echo HTTP/1.1\r\n\r\n").status, 400, "no Host");
    assert_eq!(
        daemon.send("GET /hooks/echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").status,
        400,
        "two of them"
    );
    assert_eq!(daemon.send("nonsense\r\n\r\n").status, 400);
    for (more, status) in [
        ("Host: a b", 400),
        ("Host: a|b", 400),
        ("Host: [::1%25eth0]:80", 200),
        ("Host: x\r\nExpect: miracles", 417),
        ("Host: x\r\nExpect:", 200),
        ("Host: x\r\nTransfer-Encoding: gzip, chunked", 501),
        ("Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 501),
    ] {
        let reply = daemon.send(format!("POST /hooks/echo HTTP/1.1\r\n{more}\r\n\r\n0\r\n\r\n"));
        assert_eq!(reply.status, status, "{more}");
    }

    let head = daemon.request("HEAD", "/hooks/echo", &[], b"12345");
    assert_eq!((head.status, head.header("Content-Length")), (200, Some("5")));
    assert_eq!(daemon.get("/hooks/long").body.len(), 100_000);

    // A client that has said all and closes its side still gets its answer.
    let mut stream = daemon.connect();
    stream.write_all(&raw_request("POST", "/hooks/echo", &[], b"all")).unwrap();
    say_no_more(&stream);
    assert_eq!(Reply::read(&mut stream, false).text(), "all");

    // A body that breaks off is used as far as it came.
    let mut stream = daemon.connect();
    stream.write_all(b"POST /hooks/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
    say_no_more(&stream);
    assert_eq!(Reply::read(&mut stream, false).text(), "half");
}

#[test]
fn a_disabled_hook_answers_500_and_is_said_at_load() {
    let daemon = Daemon::start(&hooks_file(&[shell(
        "open",
        "echo in",
        json!({"trigger-rule": {"match": {
        "type": "payload-hmac-sha256", "secret": "", "parameter": {"source": "header", "name": "X-Sig"}}}}),
    )]));
    // The right signature for an empty secret and an empty body.
    let signature = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
    let reply = daemon.request("GET", "/hooks/open", &[("X-Sig", signature)], b"");
    assert_eq!((reply.status, reply.text().as_str()), (500, "Error occurred while evaluating hook rules."));
    daemon.wait_for_line("warning: ");
}

#[test]
fn a_command_that_could_not_be_started_is_said_where_output_would_be() {
    let shown = |more: serde_json::Value| {
        let mut hook = shell("a", "", json!({"include-command-output-in-response-on-error": true}));
        hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reply = Daemon::start(&hooks_file(&[hook])).get("/hooks/a");
        assert_eq!(reply.status, 500);
        reply.text()
    };
    let text = shown(json!({"execute-command": "no-such-program"}));
    assert_eq!(
        text,
        "The command could not be started: \"no-such-program\": executable file not found in $PATH\n"
    );
    let text = shown(json!({"command-working-directory": "/no/such"}));
    assert_eq!(text, "The command could not be started: chdir /no/such: no such file or directory\n");
    let text = shown(json!({"pass-arguments-to-command": [
        {"source": "string", "name": "-c"}, {"source": "string", "name": "exit 3"}]}));
    assert_eq!(text, "", "it was started, and said nothing");
}
