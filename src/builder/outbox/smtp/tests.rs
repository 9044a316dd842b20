//! Every reply at every step, against a server on a real socket, with the times scaled down.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    sync::Arc,
    time::Duration,
};

use lettre::address::Envelope;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};

use super::{
    Fate, Limits, Mailer, Server,
    scripted::{Answer, Scripted},
};
use crate::error_chain::in_full;

const LETTER: &[u8] = b"From: a@example.org\r\n\r\n.\r\nThe end.\r\n";

/// No limit is met but the ones that a test sets.
fn patient() -> Limits {
    let long = Duration::from_secs(60);
    Limits {
        connect: long,
        greeting: long,
        mail: long,
        rcpt: long,
        data: long,
        block: long,
        dot: long,
        farewell: long,
        overall: None,
    }
}

fn send(url: &str, limits: Limits) -> Result<(), (Fate, String)> {
    let envelope =
        Envelope::new(Some("a@example.org".parse().unwrap()), vec!["b@example.org".parse().unwrap()])
            .unwrap();
    Mailer::new(Server::parse(url).unwrap(), "ci.example.org".to_string(), limits)
        .send(&envelope, LETTER)
        .map_err(|failure| (failure.fate, in_full(&failure)))
}

fn url(server: &Scripted) -> String {
    format!("smtp://127.0.0.1:{}", server.port)
}

#[test]
fn a_letter_goes_over_the_line_once_and_whole() {
    let server = Scripted::start();
    send(&url(&server), patient()).unwrap();
    assert_eq!(
        server.heard(),
        ["EHLO ci.example.org", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>", "DATA", "QUIT"]
    );
    let text = "From: a@example.org\r\n\r\n..\r\nThe end.\r\n.\r\n";
    assert_eq!(server.letters(), [("b@example.org".to_string(), text.to_string())]);
    send(&format!("{}/path.example.org", url(&server)), patient()).unwrap();
    assert_eq!(server.heard()[5], "EHLO path.example.org");
}

/// RFC 5321, 4.2.1 and 4.3.2; and before there is a letter, nothing is a letter's fault.
#[test]
fn the_code_and_the_step_decide_about_a_letter() {
    const REPLIES: [(&[u8], Fate); 12] = [
        (b"550\r\n", Fate::Refused),
        (b"550 5.1.1 unbekannt \xfc\r\n", Fate::Refused),
        (b"554-several\r\n554 lines\r\n", Fate::Refused),
        (b"552 too large\r\n", Fate::Refused),
        (b"503 bad order\n", Fate::Refused),
        (b"450 later\r\n", Fate::NotNow),
        (b"454 4.7.1 relay access denied\r\n", Fate::NotNow),
        (b"421 bye\r\n", Fate::NotNow),
        (b"530 log in first\r\n", Fate::NotNow),
        (b"150 what\r\n", Fate::NotNow),
        (b"HTTP/1.1 200 OK\r\n", Fate::NotNow),
        (b"\r\n", Fate::NotNow),
    ];
    for (reply, fate) in REPLIES {
        for (step, letters) in
            [("greeting", 0), ("EHLO", 0), ("MAIL", 0), ("RCPT", 0), ("DATA", 0), ("dot", 1)]
        {
            let server = Scripted::start().answers(step, Answer::Says(reply));
            let (met, why) = send(&url(&server), patient()).unwrap_err();
            let fate = if matches!(step, "greeting" | "EHLO") { Fate::NoServer } else { fate };
            assert_eq!(met, fate, "{} at {step}: {why}", String::from_utf8_lossy(reply));
            assert!(!why.contains(char::is_control), "{why:?}");
            assert_eq!(server.letters().len(), letters);
        }
    }
    for (step, reply) in [("DATA", "250 ok\r\n"), ("dot", "354 go on\r\n"), ("MAIL", "354 go on\r\n")] {
        let server = Scripted::start().answers(step, Answer::Says(reply.as_bytes()));
        assert_eq!(send(&url(&server), patient()).unwrap_err().0, Fate::NotNow, "{step}");
    }
    for (step, reply) in
        [("greeting", "220\r\n"), ("MAIL", "250\r\n"), ("RCPT", "251 forwarded\r\n"), ("dot", "250\n")]
    {
        let server = Scripted::start().answers(step, Answer::Says(reply.as_bytes()));
        assert_eq!(send(&url(&server), patient()), Ok(()), "{step}");
    }
}

#[test]
fn a_server_that_falls_silent_trickles_or_floods_costs_the_limit_of_its_step_and_no_letter() {
    for (step, fate) in [
        ("greeting", Fate::NoServer),
        ("EHLO", Fate::NoServer),
        ("MAIL", Fate::NotNow),
        ("RCPT", Fate::NotNow),
        ("DATA", Fate::NotNow),
        ("dot", Fate::NotNow),
    ] {
        for answer in [Answer::HangsUp, Answer::IsSilent, Answer::Trickles, Answer::Floods] {
            let mut limits = patient();
            // Long enough for a reply that comes at once, on a busy machine too: EHLO shares it with the greeting.
            let limit = Duration::from_secs(1);
            match step {
                "greeting" | "EHLO" => limits.greeting = limit,
                "MAIL" => limits.mail = limit,
                "RCPT" => limits.rcpt = limit,
                "DATA" => limits.data = limit,
                _ => limits.dot = limit,
            }
            let server = Scripted::start().answers(step, answer.clone());
            let (met, why) = send(&url(&server), limits).unwrap_err();
            assert_eq!(met, fate, "{answer:?} at {step}: {why}");
            let said = match answer {
                Answer::IsSilent | Answer::Trickles => "no answer in time",
                Answer::Floods => "a reply without end",
                _ => "",
            };
            assert!(why.contains(said), "{answer:?} at {step}: {why}");
        }
    }
}

#[test]
fn what_a_server_does_after_it_has_taken_a_letter_changes_nothing() {
    for answer in [
        Answer::HangsUp,
        Answer::IsSilent,
        Answer::Trickles,
        Answer::Floods,
        Answer::Says(b"550 not even that\r\n"),
        Answer::Says(b"\xff\xff\r\n"),
    ] {
        let server = Scripted::start().answers("QUIT", answer.clone());
        let limits = Limits { farewell: Duration::from_millis(50), ..patient() };
        assert_eq!(send(&url(&server), limits), Ok(()), "{answer:?}");
        assert_eq!(server.letters().len(), 1);
    }
}

#[test]
fn somebody_who_waits_waits_for_all_steps_together() {
    let server = Scripted::start().answers("dot", Answer::Trickles);
    let limits = Limits { overall: Some(Duration::from_secs(1)), ..patient() };
    let (_, why) = send(&url(&server), limits).unwrap_err();
    assert!(why.contains("no answer in time"), "{why}");
}

#[test]
fn a_letter_that_is_too_large_is_refused_before_it_is_sent() {
    let server = Scripted::start().offers(&["SIZE 20"]);
    let (fate, why) = send(&url(&server), patient()).unwrap_err();
    assert_eq!((fate, server.letters().len()), (Fate::Refused, 0));
    assert!(why.contains("the server takes 20"), "{why}");
    for (offer, mail) in [
        ("SIZE 2000", "MAIL FROM:<a@example.org> SIZE=37"),
        ("SIZE 0", "MAIL FROM:<a@example.org> SIZE=37"),
        ("SIZE", "MAIL FROM:<a@example.org> SIZE=37"),
        ("PIPELINING", "MAIL FROM:<a@example.org>"),
    ] {
        let server = Scripted::start().offers(&[offer]);
        send(&url(&server), patient()).unwrap();
        assert_eq!(server.heard()[1], mail, "{offer}");
    }
}

#[test]
fn an_ipv6_address_is_a_host() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return eprintln!("skipped: no IPv6 here") };
    let server = Scripted::on(listener);
    send(&format!("smtp://[::1]:{}", server.port), patient()).unwrap();
    assert_eq!(server.letters().len(), 1);
}

/// A server's certificate for 127.0.0.1, and the file of the authority that vouches for it: itself.
fn certificate() -> (ServerConfig, tempfile::NamedTempFile) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_string()]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, cert.pem()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()))
        .unwrap();
    (config, file)
}

fn encrypting() -> (Scripted, tempfile::NamedTempFile) {
    let (config, ca) = certificate();
    (Scripted::start_with(Some(config)).offers(&["STARTTLS", "AUTH PLAIN LOGIN"]), ca)
}

#[test]
fn starttls_is_taken_where_it_is_offered() {
    let (server, _ca) = encrypting();
    send(&url(&server), patient()).unwrap();
    assert_eq!(
        server.heard(),
        [
            "EHLO ci.example.org",
            "STARTTLS",
            "*EHLO ci.example.org",
            "*MAIL FROM:<a@example.org>",
            "*RCPT TO:<b@example.org>",
            "*DATA",
            "*QUIT"
        ]
    );
}

#[test]
fn where_tls_is_required_the_certificate_counts_and_a_private_authority_can_be_named() {
    let (server, ca) = encrypting();
    let required = format!("{}?tls=required", url(&server));
    let (fate, why) = send(&required, patient()).unwrap_err();
    assert_eq!(fate, Fate::NoServer);
    assert!(why.contains("certificate"), "{why}");
    assert_eq!(server.heard(), ["EHLO ci.example.org", "STARTTLS"]);
    send(&format!("{required}&ca={}", ca.path().display()), patient()).unwrap();
    send(&format!("{}?ca={}", url(&server), ca.path().display()), patient()).unwrap();
    assert_eq!(server.letters().len(), 2);

    let (other, _) = certificate();
    let server = Scripted::start_with(Some(other)).offers(&["STARTTLS"]);
    let (fate, _) = send(&format!("{}?ca={}", url(&server), ca.path().display()), patient()).unwrap_err();
    assert_eq!((fate, server.letters().len()), (Fate::NoServer, 0), "nor is a wrong one fallen back from");

    let plain = Scripted::start();
    let (fate, why) = send(&format!("{}?tls=required", url(&plain)), patient()).unwrap_err();
    assert_eq!((fate, plain.heard()), (Fate::NoServer, vec!["EHLO ci.example.org".to_string()]));
    assert!(why.contains("does not offer it"), "{why}");
}

#[test]
fn a_server_that_offers_encryption_and_cannot_do_it_gets_the_letter_in_clear() {
    for answer in
        [Answer::Says(b"454 not today\r\n"), Answer::Says(b"220 go on\r\nno TLS\r\n"), Answer::HangsUp]
    {
        let server = Scripted::start().offers(&["STARTTLS"]).answers("STARTTLS", answer.clone());
        send(&url(&server), patient()).unwrap();
        assert_eq!(server.letters().len(), 1, "{answer:?}");
    }
}

/// RFC 3207, 6.
#[test]
fn what_somebody_slipped_in_before_the_handshake_is_not_heard() {
    let (server, ca) = encrypting();
    let server = server.answers("STARTTLS", Answer::Says(b"220 go on\r\n250 slipped in\r\n"));
    let url = format!("{}?ca={}", url(&server), ca.path().display());
    let (fate, why) = send(&url, patient()).unwrap_err();
    assert_eq!((fate, server.letters().len()), (Fate::NoServer, 0));
    assert!(why.starts_with("STARTTLS: "), "{why}");
}

#[test]
fn a_password_goes_in_clear_to_loopback_only() {
    let login = |address: &str, port| format!("smtp://user:geheim@{address}:{port}");
    let server = Scripted::start().offers(&["AUTH PLAIN LOGIN"]);
    send(&login("127.0.0.1", server.port), patient()).unwrap();
    assert_eq!(server.heard()[1], "AUTH PLAIN AHVzZXIAZ2VoZWlt");
    let server = Scripted::start().offers(&["AUTH LOGIN"]);
    send(&login("127.0.0.1", server.port), patient()).unwrap();
    assert_eq!(server.letters().len(), 1);
    let (server, _ca) = encrypting();
    send(&login("127.0.0.1", server.port), patient()).unwrap();
    assert!(server.heard().iter().any(|line| line.starts_with("*AUTH PLAIN")), "{:?}", server.heard());

    // The address by which others would reach us: nothing is sent to find it.
    let ours = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let Ok(ours) = ours else { return eprintln!("skipped: this machine has no address but loopback") };
    let server = Scripted::on(TcpListener::bind((ours.ip(), 0)).unwrap()).offers(&["AUTH PLAIN LOGIN"]);
    let (fate, why) = send(&login(&ours.ip().to_string(), server.port), patient()).unwrap_err();
    assert_eq!((fate, server.heard()), (Fate::NoServer, vec!["EHLO ci.example.org".to_string()]));
    assert!(why.contains("does not offer it") && !why.contains("geheim"), "{why}");
}

#[test]
fn a_login_that_is_refused_or_not_possible_concerns_all_letters() {
    for answer in [&b"535 wrong\r\n"[..], b"454 later\r\n", b"334 again\r\n"] {
        let server = Scripted::start().offers(&["AUTH PLAIN"]).answers("AUTH", Answer::Says(answer));
        let sent = send(&format!("smtp://user:geheim@127.0.0.1:{}", server.port), patient());
        let (fate, why) = sent.unwrap_err();
        assert_eq!((fate, server.letters().len()), (Fate::NoServer, 0), "{why}");
        assert!(!why.contains("geheim"), "{why}");
    }
    let server = Scripted::start().offers(&["AUTH GSSAPI"]);
    let (fate, _) = send(&format!("smtp://user:geheim@127.0.0.1:{}", server.port), patient()).unwrap_err();
    assert_eq!(fate, Fate::NoServer);
}
