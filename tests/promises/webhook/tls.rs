//! HTTPS: what is spoken, and certificates that are replaced while connections are served.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::Signal;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use serde_json::json;

use crate::support::{
    daemon::{Daemon, Setup, hooks_file, shell},
    http::{Reply, assert_closed, raw_request},
    wait::until,
};

/// A fresh certificate for localhost as `cert.pem` and `key.pem` in `dir`.
fn certify(dir: &Path) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(dir.join("key.pem"), signing_key.serialize_pem()).unwrap();
    fs::write(dir.join("cert.pem"), cert.pem()).unwrap();
}

fn setup() -> Setup {
    let setup = Setup::new(&hooks_file(&[shell("a", "echo secret", json!({}))])).flags(&["-secure"]);
    certify(setup.dir());
    setup
}

type Client = StreamOwned<ClientConnection, TcpStream>;

/// Shakes hands, trusting nothing but the certificate that is in the directory now.
fn shake_hands(daemon: &Daemon, versions: &[&'static SupportedProtocolVersion]) -> std::io::Result<Client> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(daemon.dir().join("cert.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connection =
        ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, daemon.connect());
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(stream)
}

fn ask(stream: &mut Client) -> String {
    stream.write_all(&raw_request("GET", "/hooks/a", &[], b"")).unwrap();
    Reply::read(stream, false).text()
}

#[test]
fn both_versions_and_only_http_1_are_spoken() {
    let daemon = setup().start();
    daemon.wait_for_line("serving hooks on https://");
    for version in [&TLS12, &TLS13] {
        let mut stream = shake_hands(&daemon, &[version]).unwrap();
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(ask(&mut stream), "secret\n");
    }
}

#[test]
fn the_oldest_version_can_be_raised_and_the_suites_narrowed() {
    let daemon = setup().flags(&["-tls-min-version", "1.3"]).start();
    assert!(shake_hands(&daemon, &[&TLS12]).is_err());
    daemon.wait_for_line("http: TLS handshake error from 127.0.0.1:");
    assert!(shake_hands(&daemon, &[&TLS13]).is_ok());

    let suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    let daemon = setup().flags(&["-cipher-suites", suite]).start();
    let stream = shake_hands(&daemon, &[&TLS12]).unwrap();
    assert_eq!(format!("{:?}", stream.conn.negotiated_cipher_suite().unwrap().suite()), suite);
    assert!(shake_hands(&daemon, &[&TLS13]).is_ok());
}

#[test]
fn plain_http_is_told_that_this_is_https() {
    let daemon = setup().start();
    let mut stream = daemon.ask("/hooks/a");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 400"), "{answer}");
    assert!(answer.contains("Client sent an HTTP request to an HTTPS server."), "{answer}");
    let line = daemon.wait_for_line("http: TLS handshake error from 127.0.0.1:");
    assert!(line.ends_with("client sent something else than TLS"), "{line}");
}

#[test]
fn hup_takes_a_new_certificate_and_open_connections_stay() {
    let daemon = setup().start();
    let mut old = shake_hands(&daemon, &[&TLS13]).unwrap();
    certify(daemon.dir());
    assert!(shake_hands(&daemon, &[&TLS13]).is_err(), "the old one is still served");
    daemon.signal(Signal::HUP);
    until("the new certificate", || shake_hands(&daemon, &[&TLS13]).ok());
    assert_eq!(ask(&mut old), "secret\n");
}

#[test]
fn a_certificate_that_is_no_good_leaves_the_old_one_in_place() {
    let daemon = setup().start();
    let good = fs::read(daemon.dir().join("cert.pem")).unwrap();
    fs::write(daemon.dir().join("cert.pem"), "nonsense").unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for_line("error reloading the certificate, the old one stays: cert.pem");
    fs::write(daemon.dir().join("cert.pem"), good).unwrap();
    assert_eq!(ask(&mut shake_hands(&daemon, &[&TLS13]).unwrap()), "secret\n");
}

#[test]
fn a_client_that_never_shakes_hands_is_let_go() {
    let daemon = setup().flags(&["-header-timeout", "200ms"]).start();
    let mut stream = daemon.connect();
    assert_closed(&mut stream);
}
