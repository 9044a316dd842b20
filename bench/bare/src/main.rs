//! Bare handlers of axum that do the least of what a hook needs, on a port and with a secret: `bare PORT SECRET`.

use std::{env, process::ExitCode};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::{net::TcpListener, process::Command, runtime::Runtime};

/// The HMAC with the key in it, ready for a body.
type Signer = Hmac<Sha256>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    let [_, port, secret] = arguments.as_slice() else {
        eprintln!("usage: bare PORT SECRET");
        return ExitCode::from(2);
    };
    let signer = Signer::new_from_slice(secret.as_bytes()).expect("any key will do");
    let router = Router::new()
        .route("/signature", post(signature))
        .route("/value", post(value))
        .route("/command", post(command))
        .with_state(signer);
    Runtime::new().expect("a runtime").block_on(async {
        let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.expect("a free port");
        axum::serve(listener, router).await.expect("serving");
    });
    ExitCode::SUCCESS
}

/// Reads the body and checks its HMAC.
async fn signature(State(signer): State<Signer>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if is_signed(signer, &headers, &body) { StatusCode::OK } else { StatusCode::FORBIDDEN }
}

/// The same, and parses the JSON.
async fn value(State(signer): State<Signer>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !is_signed(signer, &headers, &body) {
        return StatusCode::FORBIDDEN;
    }
    match serde_json::from_slice::<Value>(&body) {
        Ok(payload) if payload["deleted"] == false => StatusCode::CREATED,
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

/// Runs a program that does nothing and waits for it.
async fn command(body: Bytes) -> StatusCode {
    let _ = body;
    match Command::new("/bin/true").status().await {
        Ok(status) if status.success() => StatusCode::OK,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn is_signed(mut signer: Signer, headers: &HeaderMap, body: &[u8]) -> bool {
    let Some(given) =
        headers.get("X-Hub-Signature-256").and_then(|given| given.as_bytes().strip_prefix(b"sha256="))
    else {
        return false;
    };
    let Ok(given) = hex::decode(given) else { return false };
    signer.update(body);
    signer.verify_slice(&given).is_ok()
}
