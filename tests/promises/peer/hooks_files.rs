//! Hooks files that both sides load, or both do not.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use super::peer;
use crate::support::{daemon::WEBHOOKD, files::temp_dir, wait::until};

/// What a program makes of a hooks file: the ids it loads, or that it does not.
fn loaded(program: &Path, text: &[u8]) -> Option<Vec<String>> {
    let dir = temp_dir();
    fs::write(dir.path().join("hooks"), text).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let log = dir.path().join("log");
    let mut child = Command::new(program)
        .args(["-verbose", "-ip", "127.0.0.1", "-port", &port, "-hooks", "hooks"])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let log = until("the hooks to be loaded", || {
        fs::read_to_string(&log).ok().filter(|log| log.contains("serving hooks on"))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    log.contains("found ").then(|| {
        log.lines()
            .filter_map(|line| line.split_once("\tloaded: "))
            .map(|(_, id)| id.trim_end_matches("\\n").to_owned())
            .collect()
    })
}

#[test]
fn hooks_files_are_loaded_or_refused_alike() {
    let Some(program) = peer() else { return };
    let mut differences = Vec::new();
    let texts: &[&[u8]] = &[
        b"", b"null", b"[]", b"{}", b"x", b"[null]", b"[{}]", br#"[{"id":"a"}]"#, br#"[{"id":"a",},]"#, br"[{id: a}]", b"- id: a\n- id: b\n", b"# c\n- id: a # d\n", b"---\n- id: a\n---\n- id: b\n",
        br#"[{"ID":"a"}]"#, br#"[{"id":1}]"#, br#"[{"id":0777},{"id":0x1f},{"id":1_000},{"id":1.10},{"id":0.1234567891},{"id":yes},{"id":null},{"id":true}]"#, br#"[{"id":[1]}]"#, br#"[{"id":{"a":1}}]"#,
        br#"[{"id":"a","unknown":1}]"#, br#"[{"id":"a","include-command-output-in-response":"true"}]"#, br#"[{"id":"a","include-command-output-in-response":true}]"#, br#"[{"id":"a","include-command-output-in-response":yes}]"#,
        br#"[{"id":"a","include-command-output-in-response":1}]"#, br#"[{"id":"a","success-http-response-code":"200"}]"#, br#"[{"id":"a","success-http-response-code":201.0}]"#, br#"[{"id":"a","success-http-response-code":201.5}]"#,
        br#"[{"id":"a","http-methods":"GET"}]"#, br#"[{"id":"a","http-methods":["GET",1]}]"#, br#"[{"id":"a","pass-arguments-to-command":{"source":"string"}}]"#, br#"[{"id":"a","pass-arguments-to-command":["x"]}]"#,
        br#"[{"id":"a","response-headers":{"a":"b"}}]"#, br#"[{"id":"a","response-headers":[{"name":"a","value":1}]}]"#, br#"[{"id":"a","execute-command":["x"]}]"#, br#"[{"id":"a","trigger-rule":null}]"#, br#"[{"id":"a","trigger-rule":[]}]"#,
        br#"[{"id":"a","trigger-rule":{"and":{}}}]"#, br#"[{"id":"a","trigger-rule":{"and":[null]}}]"#, br#"[{"id":"a","trigger-rule":{"match":{"type":"nonsense"}}}]"#, br#"[{"id":"a","trigger-rule":{"match":{"type":"regex","regex":"("}}}]"#,
        br#"[{"id":"a","id":"b"}]"#, br#"[{"id":"a"},{"id":"a"}]"#, b"\xef\xbb\xbf[{\"id\":\"a\"}]", b"[{\"id\":\"a\"}]\r\n", b"\t[]", b"[\t{\"id\":\t\"a\"}]", b"// c\n[]", br#"[{"id":"a\'b"}]"#, br#"[{"id":"a\u00e9"}]"#,
        b"[{\"id\":\"a\"}", b"[{\"id\":\"a\"]", b"- &x\n  id: a\n- *x\n", b"- &x {id: a}\n- <<: *x\n  execute-command: y\n", b"- id: 'single ''quoted'''\n", b"- id: |\n    block\n", b"- id: >\n    folded\n    text\n", b"- id: a\n id: b\n", b"- id: *gone\n",
        b"- {id: a, x: !!str 1}\n", b"[{\"id\":\"caf\xc3\xa9\"}]", b"[{\"id\":\"\xff\"}]", b"- id: 12:30\n- id: 2020-01-02\n- id: ~\n- id: off\n- id: .5\n- id: 0o17\n- id: '1'\n", b"- id: a\n  http-methods:\n  - GET\n",
        b"- id: 1e3\n", b"[{\"id\":\"a\"}]\ntrailing", b"[{\"id\":\"a\"}]\n@", b"- id: a\nb: c\n",
    ];
    for text in texts {
        let (theirs, ours) = (loaded(&program, text), loaded(Path::new(WEBHOOKD), text));
        if theirs != ours && !DIFFERENT.contains(text) {
            differences
                .push(format!("{}\n  peer: {theirs:?}\n  ours: {ours:?}", String::from_utf8_lossy(text)));
        }
    }
    let _ = std::io::stderr().flush();
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

/// What we load and the peer, or this version of it, does not, or loads otherwise.
const DIFFERENT: &[&[u8]] = &[
    // Since 2.8.2 `1e3` is a number.
    b"- id: 1e3\n",
    // Since 2.8.2 nothing is read behind the list.
    b"[{\"id\":\"a\"}]\ntrailing",
];
