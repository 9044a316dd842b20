//! What is bounded: sizes, times, commands and connections; and that others are served meanwhile.

use std::{
    fs,
    io::Write,
    net::{IpAddr, TcpStream, UdpSocket},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    daemon::{Daemon, SILENCE, Setup, WEBHOOKD, hooks_file, shell},
    files::executable,
    http::{Reply, assert_closed, raw_request},
    need::skip,
    wait::wait_until,
};

fn sized() -> String {
    hooks_file(&[shell("size", "wc -c", json!({"pass-stdin-to-command": true}))])
}

#[test]
fn a_body_past_the_limit_is_413_whether_its_length_is_told_or_not() {
    let daemon = Setup::new(&sized()).flags(&["-max-body-size", "10K"]).start();
    assert_eq!(daemon.request("POST", "/hooks/size", &[], &[b'x'; 10 * 1024]).text().trim(), "10240");
    let reply = daemon.request("POST", "/hooks/size", &[], &[b'x'; 10 * 1024 + 1]);
    assert_eq!(reply.status, 413);
    let mut chunked = b"POST /hooks/size HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..11 {
        chunked.extend(b"400\r\n");
        chunked.extend([b'x'; 1024]);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    assert_eq!(daemon.send(chunked).status, 413);
}

#[test]
fn the_default_limit_is_25_mib_and_a_client_that_sends_first_still_gets_its_answer() {
    let daemon = Daemon::start(&sized());
    let most = 25 << 20;
    let mut body = vec![b'x'; most];
    assert_eq!(daemon.request("POST", "/hooks/size", &[], &body).text().trim(), most.to_string());
    body.push(b'x');
    assert_eq!(daemon.request("POST", "/hooks/size", &[], &body).status, 413);
    // Whoever asks first is not asked for it.
    let reply = daemon.send(format!(
        "POST /hooks/size HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        most + 1
    ));
    assert_eq!(reply.status, 413);
}

#[test]
fn a_head_that_does_not_come_closes_the_connection() {
    let daemon = Setup::new(&sized()).flags(&["-header-timeout", "200ms"]).start();
    for begun in [&b""[..], b"GET /hooks/size HTTP/1.1\r\nHost:"] {
        let mut stream = daemon.connect();
        stream.write_all(begun).unwrap();
        assert_closed(&mut stream);
    }
}

#[test]
fn a_body_that_does_not_come_is_408() {
    let daemon = Setup::new(&sized()).flags(&["-body-timeout", "200ms"]).start();
    let reply = daemon.send("POST /hooks/size HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(reply.status, 408);
}

/// A hook whose command says that it runs, and waits for the file `go`.
fn waiting(more: serde_json::Value) -> String {
    let script = "echo $$ >> running; while ! test -e go; do sleep 0.01; done; echo done";
    hooks_file(&[shell("wait", script, more), shell("other", "echo other", json!({}))])
}

fn running(daemon: &Daemon) -> usize {
    fs::read_to_string(daemon.dir().join("running")).map_or(0, |text| text.lines().count())
}

#[test]
fn past_its_bound_a_hook_lets_some_wait_and_sends_the_rest_away() {
    let daemon =
        Setup::new(&waiting(json!({"max-concurrency": 2, "max-waiting": 1, "busy-http-response-code": 429})))
            .start();
    let first = [daemon.ask("/hooks/wait"), daemon.ask("/hooks/wait")];
    wait_until("two to run", || running(&daemon) == 2);
    let third = daemon.ask("/hooks/wait");
    wait_until("the third to wait", || daemon.log().matches("wait hook triggered successfully").count() == 3);
    let fourth = daemon.get("/hooks/wait");
    assert_eq!(fourth.status, 429);
    assert!(fourth.header("Retry-After").is_some());
    assert_eq!(daemon.get("/hooks/other").text(), "other\n", "other hooks run");
    assert_eq!(running(&daemon), 2);
    fs::write(daemon.dir().join("go"), "").unwrap();
    for mut stream in first.into_iter().chain([third]) {
        assert_eq!(Reply::read(&mut stream, false).text(), "done\n");
    }
    assert_eq!(daemon.get("/hooks/wait").text(), "done\n", "there is room again");
}

#[test]
fn all_hooks_together_have_a_bound_too() {
    let daemon =
        Setup::new(&waiting(json!({}))).flags(&["-max-concurrency", "1", "-max-waiting", "0"]).start();
    let mut first = daemon.ask("/hooks/wait");
    wait_until("one to run", || running(&daemon) == 1);
    let busy = daemon.get("/hooks/other");
    assert_eq!((busy.status, busy.header("Retry-After").is_some()), (503, true));
    fs::write(daemon.dir().join("go"), "").unwrap();
    assert_eq!(Reply::read(&mut first, false).text(), "done\n");
    assert_eq!(daemon.get("/hooks/other").text(), "other\n");
}

#[test]
fn no_burst_starts_more_commands_at_a_time_than_allowed() {
    let script = "echo >> at-once.$(ls | grep -c running.); touch running.$$; sleep 0.05; rm running.$$";
    let daemon = Setup::new(&hooks_file(&[shell(
        "burst",
        script,
        json!({"include-command-output-in-response": false}),
    )]))
    .flags(&["-max-concurrency", "3"])
    .start();
    for _ in 0..40 {
        assert_eq!(daemon.get("/hooks/burst").status, 200);
    }
    wait_until("all to be over", || daemon.log().matches("finished handling burst").count() == 40);
    assert!(!daemon.dir().join("at-once.3").exists());
    assert!(daemon.dir().join("at-once.2").exists(), "and it does use what is allowed");
}

#[test]
fn a_reload_does_not_forget_who_runs() {
    let daemon = Setup::new(&waiting(json!({"max-concurrency": 1}))).start();
    let mut first = daemon.ask("/hooks/wait");
    wait_until("one to run", || running(&daemon) == 1);
    daemon.signal(rustix::process::Signal::HUP);
    wait_until("the reload", || daemon.log().matches("found 2 hook(s)").count() == 2);
    wait_until("the new hooks", || daemon.log().matches("loaded: other").count() == 2);
    assert!(daemon.get("/hooks/wait").status >= 429);
    fs::write(daemon.dir().join("go"), "").unwrap();
    assert_eq!(Reply::read(&mut first, false).text(), "done\n");
}

#[test]
fn a_large_payload_that_is_made_ready_for_its_command_holds_up_nobody() {
    let hook = json!({"pass-file-to-command": [{"source": "entire-payload", "envname": "F"}]});
    let daemon =
        Setup::new(&hooks_file(&[shell("large", "true", hook), shell("other", "echo other", json!({}))]))
            .variable("TOKIO_WORKER_THREADS", "1")
            .start();
    let many: Vec<_> = (0..300_000).map(|number| json!({"k": number})).collect();
    let payload = json!({"many": many}).to_string();
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(daemon.post("/hooks/large", &payload).status, 200));
        daemon.wait_for_line("large hook triggered successfully");
        assert_eq!(daemon.get("/hooks/other").text(), "other\n");
        assert!(!daemon.log().contains("writing env F"), "the other one was served meanwhile");
    });
}

/// A daemon with few seats, for it has few descriptors.
fn with_few_seats(setup: Setup) -> Daemon {
    on_few_descriptors(setup).start()
}

fn on_few_descriptors(setup: Setup) -> Setup {
    let script = format!("#!/bin/sh\nulimit -n 256\nexec {WEBHOOKD} \"$@\"\n");
    let wrapper = setup.dir().join("few");
    executable(&wrapper, &script);
    setup.program(wrapper)
}

#[test]
fn a_stream_of_output_keeps_its_seat_however_many_others_come() {
    let script = "echo one; while ! test -e go; do sleep 0.01; done; echo two";
    let daemon = with_few_seats(Setup::new(&hooks_file(&[shell(
        "stream",
        script,
        json!({"stream-command-output": true}),
    )])));
    let mut stream = daemon.ask("/hooks/stream");
    let answer = std::thread::spawn(move || Reply::read(&mut stream, false));
    daemon.wait_for_line("executing");
    let crowd: Vec<TcpStream> = (0..1000).map(|_| daemon.connect()).collect();
    assert_eq!(daemon.get("/").text(), "OK", "all of the crowd had its turn");
    fs::write(daemon.dir().join("go"), "").unwrap();
    assert_eq!(answer.join().unwrap().text(), "one\ntwo\n");
    drop(crowd);
}

#[test]
fn more_idle_and_slow_connections_than_there_are_seats_starve_nobody() {
    let daemon = with_few_seats(Setup::new(&sized()));
    let mut idle: Vec<TcpStream> = Vec::new();
    for number in 0..1000 {
        let mut stream = daemon.connect();
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let begun: &[u8] = if number % 2 == 0 {
            b""
        } else {
            b"POST /hooks/size HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"
        };
        let _ = stream.write_all(begun);
        idle.push(stream);
        if number % 100 == 99 {
            assert_eq!(
                daemon.request("POST", "/hooks/size", &[], b"12345").text().trim(),
                "5",
                "after {number}"
            );
        }
    }
}

#[test]
fn a_flood_of_output_is_cut_and_the_daemon_stays_small() {
    let daemon = Daemon::start(&hooks_file(&[
        shell(
            "flood",
            "head -c 300000000 /dev/zero",
            json!({"include-command-output-in-response": false, "log-command-output-as-it-comes": false}),
        ),
        shell("other", "echo other", json!({})),
    ]));
    assert_eq!(daemon.get("/hooks/flood").status, 200);
    assert_eq!(daemon.get("/hooks/other").text(), "other\n");
    wait_until("its end", || {
        let log = fs::read(daemon.dir().join("stderr")).unwrap();
        let tail = &log[log.len().saturating_sub(200)..];
        String::from_utf8_lossy(tail).contains("finished handling flood")
    });
    let kib = daemon.peak_kib();
    assert!(kib < 700_000, "{kib} KiB at the peak");
}

#[test]
fn a_request_that_waits_for_its_command_keeps_no_parsed_payload() {
    let hook = json!({"include-command-output-in-response": false, "max-concurrency": 1, "max-waiting": 100,
                      "pass-arguments-to-command": [{"source": "payload", "name": "seconds"}], "execute-command": "/bin/sleep"});
    let mut daemon =
        Setup::new(&hooks_file(&[shell("a", "", hook)])).flags(&["-grace-period", "1ms"]).start();
    let many: Vec<_> = (0..100_000).map(|number| json!({"k": number})).collect();
    let payload = json!({"seconds": "300", "many": many}).to_string();
    for _ in 0..24 {
        assert_eq!(daemon.post("/hooks/a", &payload).status, 200);
    }
    wait_until("all to be handed over", || daemon.log().matches("triggered successfully").count() == 24);
    let kib = daemon.peak_kib();
    assert!(kib < 90_000, "{kib} KiB at the peak: a payload of 1.3 MB is parsed into three times that");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
}

const MIB: usize = 1 << 20;

/// What the daemon holds for bodies, what is made of them, and answers.
const MEMORY: usize = 256 * MIB;

/// The most bytes that it ever had.
fn peak(daemon: &Daemon) -> usize {
    usize::try_from(daemon.peak_kib()).unwrap() * 1024
}

/// Each answer is as large as that, and the next is asked for only when the command of the one before is over: so
/// none is counted for its command, but for itself.
const LARGE: usize = 60 * MIB;

struct LargeAnswers {
    daemon: Daemon,
    unread: Vec<TcpStream>,
}

impl LargeAnswers {
    fn of(flags: &[&str]) -> Self {
        let hook = shell("large", &format!("head -c {LARGE} /dev/zero; echo >> over"), json!({}));
        let flags = [&["-ip", "127.0.0.1", "-port", "0"], flags].concat();
        Self { daemon: Setup::new(&hooks_file(&[hook])).flags(&flags).start_quietly(), unread: Vec::new() }
    }

    /// Of this client, as a proxy on this machine says it.
    fn ask(&mut self, client: &str) {
        let mut stream = self.daemon.connect();
        let request = raw_request("GET", "/hooks/large", &[("X-Forwarded-For", client)], b"");
        stream.write_all(&request).unwrap();
        // Its answer has begun, and so its command is over and was told from it.
        std::io::Read::read_exact(&mut stream, &mut [0; 1]).unwrap();
        self.unread.push(stream);
    }
}

#[test]
fn an_answer_that_nobody_takes_is_counted_until_it_is_sent() {
    let mut answers = LargeAnswers::of(&["-body-timeout", "10m"]);
    (0..12).for_each(|_| answers.ask("203.0.113.7"));
    let held = peak(&answers.daemon);
    assert!(held < MEMORY * 3 / 2, "{} MiB for 12 answers of 60 MiB", held / MIB);
    assert!(answers.daemon.get("/hooks/large").body.len() < LARGE, "there is no room for another whole one");
    // Whoever takes an answer, or goes, makes room.
    let mut first = answers.unread.remove(0);
    let mut all = Vec::new();
    while all.len() < LARGE {
        let mut some = vec![0; MIB];
        let read = std::io::Read::read(&mut first, &mut some).unwrap();
        assert_ne!(read, 0, "the answer ends after {} bytes", all.len());
        all.extend_from_slice(&some[..read]);
    }
    drop((first, answers.unread.remove(0)));
    wait_until("their room to be free again", || answers.daemon.get("/hooks/large").body.len() == LARGE);
}

#[test]
fn an_answer_that_nobody_takes_is_given_up_in_the_end() {
    let mut answers = LargeAnswers::of(&["-body-timeout", "1s"]);
    (0..6).for_each(|_| answers.ask("203.0.113.7"));
    wait_until("their room to be free again", || answers.daemon.get("/hooks/large").body.len() == LARGE);
}

#[test]
fn behind_a_trusted_proxy_each_client_has_its_own_share_of_memory() {
    let mut answers = LargeAnswers::of(&["-body-timeout", "10m", "-trusted-proxies", "127.0.0.1"]);
    (0..6).for_each(|_| answers.ask("203.0.113.7"));
    let from = |client: &str| {
        let reply = answers.daemon.request("GET", "/hooks/large", &[("X-Forwarded-For", client)], b"");
        reply.body.len()
    };
    assert_eq!(from("198.51.100.9"), LARGE, "nobody else's share is taken");
    assert!(from("203.0.113.7") < LARGE, "its own is");
}

#[test]
fn whatever_a_body_becomes_is_counted_in_every_format() {
    let many =
        |begin: &str, item: &str, end: &str| format!("{begin}{}{end}", item.repeat(24 * MIB / item.len()));
    let part = "--b\r\nContent-Disposition: form-data; name=a\r\n";
    let hook = shell("a", "true", json!({"pass-arguments-to-command": []}));
    let of = |kind: &str, body: &str| {
        let daemon = Setup::new(&hooks_file(std::slice::from_ref(&hook))).start();
        let post = || {
            let mut stream = daemon.connect();
            // Four at a time take their time on a busy machine.
            stream.set_read_timeout(Some(10 * SILENCE)).unwrap();
            stream
                .write_all(&raw_request("POST", "/hooks/a", &[("Content-Type", kind)], body.as_bytes()))
                .unwrap();
            Reply::read(&mut stream, false).status
        };
        let first = post();
        let one = peak(&daemon);
        assert!(one < 8 * body.len(), "{} MiB for one body of 24 MiB as {kind}", one / MIB);
        assert!([200, 500].contains(&first), "{first} for {kind}");
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(post))));
        let all = peak(&daemon);
        assert!(all < 2 * MEMORY, "{} MiB for four bodies of 24 MiB as {kind}", all / MIB);
    };
    of("application/json", &many("[", "1,", "1]"));
    of("application/x-www-form-urlencoded", &many("a", "&a=", ""));
    of("text/xml", &many("<a ", "a=\"\" ", "/>"));
    of("text/xml", &many("<a>", "<b/>", "</a>"));
    of("multipart/form-data; boundary=b", &many(part, "a:\r\n", "\r\n1\r\n--b--\r\n"));
}

#[test]
fn heads_that_do_not_end_take_their_own_room_and_nobody_elses() {
    let daemon = Setup::new(&sized()).flags(&["-header-timeout", "0"]).start();
    let before = peak(&daemon);
    let begun = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(250 << 10));
    let unfinished: Vec<TcpStream> = (0..400)
        .map(|_| {
            let mut stream = daemon.connect();
            let _ = stream.write_all(begun.as_bytes());
            stream
        })
        .collect();
    assert_eq!(daemon.request("POST", "/hooks/size", &[], b"12345").text().trim(), "5");
    let grown = peak(&daemon) - before;
    assert!(grown < 400 * (250 << 10) * 3 / 4, "{} MiB for 400 heads of 250 KiB", grown / MIB);
    drop(unfinished);
    // One that is large and whole is answered, and its buffer goes with its connection.
    let whole = format!("{begun}\r\n\r\n");
    wait_until("room for a long head", || {
        let mut stream = daemon.connect();
        let sent = stream.write_all(whole.as_bytes());
        let mut answer = [0; 12];
        sent.is_ok()
            && std::io::Read::read_exact(&mut stream, &mut answer).is_ok()
            && answer.ends_with(b" 200")
    });
    assert_eq!(daemon.send(whole).header("Connection"), Some("close"));
}

/// An address of this machine that is not the loopback's.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Sends nothing: it is only looked from where it would be sent.
    socket.connect("192.0.2.1:9").ok()?;
    socket
        .local_addr()
        .ok()
        .map(|address| address.ip())
        .filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[test]
fn a_flood_of_connections_from_one_address_drives_out_nobody_else() {
    let Some(address) = own_address() else {
        return skip("AMP_CI_REQUIRE_NETWORK", "this machine has no address but the loopback's");
    };
    let setup = Setup::new(&sized()).flags(&["-ip", "0.0.0.0", "-port", "0"]);
    let daemon = on_few_descriptors(setup).start_as_it_is(&["-verbose"]);
    let port = daemon.address.rsplit(':').next().unwrap().parse().unwrap();
    let mut push = TcpStream::connect(("127.0.0.1", port)).unwrap();
    push.write_all(b"POST /hooks/size HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
    let flood: Vec<TcpStream> = (0..2000).filter_map(|_| TcpStream::connect((address, port)).ok()).collect();
    // All of the flood has had its turn when one behind it has.
    assert_eq!(daemon.get("/").text(), "OK");
    push.write_all(b"other").unwrap();
    assert_eq!(Reply::read(&mut push, false).text().trim(), "9");
    drop(flood);
}

#[test]
fn a_trusted_proxy_has_as_many_connections_as_there_are_and_another_address_a_quarter() {
    let Some(address) = own_address() else {
        return skip("AMP_CI_REQUIRE_NETWORK", "this machine has no address but the loopback's");
    };
    for is_trusted in [true, false] {
        let hook = shell("busy", "while ! test -e go; do sleep 0.01; done; echo done", json!({}));
        let trusted = address.to_string();
        let flags =
            ["-ip", "0.0.0.0", "-port", "0", "-trusted-proxies", if is_trusted { &trusted } else { "unix" }];
        let setup = Setup::new(&hooks_file(&[hook])).flags(&flags);
        let daemon = on_few_descriptors(setup).start_as_it_is(&["-verbose"]);
        let port = daemon.address.rsplit(':').next().unwrap().parse().unwrap();
        let busy: Vec<TcpStream> = (0..40)
            .map(|number| {
                let mut stream = TcpStream::connect((address, port)).unwrap();
                let client = format!("203.0.113.{number}");
                let _ = stream.write_all(&raw_request(
                    "GET",
                    "/hooks/busy",
                    &[("X-Forwarded-For", &client)],
                    b"",
                ));
                stream
            })
            .collect();
        // All of them have had their turn when one behind them has.
        assert_eq!(daemon.get("/").text(), "OK");
        fs::write(daemon.dir().join("go"), "").unwrap();
        let is_answered = |mut stream: TcpStream| {
            stream.set_read_timeout(Some(SILENCE)).unwrap();
            let mut answer = [0; 12];
            std::io::Read::read_exact(&mut stream, &mut answer).is_ok() && answer.ends_with(b" 200")
        };
        let answered = busy.into_iter().map(is_answered).filter(|is| *is).count();
        if is_trusted {
            assert_eq!(answered, 40);
        } else {
            assert!((1..40).contains(&answered), "{answered} of 40");
        }
    }
}
