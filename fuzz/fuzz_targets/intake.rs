//! A request at the shipped hook, and at one with every kind of rule: nothing fires without the right signature.
//!
//! The first line of the input is: how it is signed (`s`, or what stands in the header), a blank, the content type.
#![no_main]

use std::{path::Path, sync::LazyLock, time::SystemTime};

use amp_ci::webhook::hooks::{self, Delivery, Hook, Inputs, Outcome, Request, decide};
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;

/// The hooks file asks for it in the environment; fuzz/run puts it there.
static SECRET: LazyLock<String> =
    LazyLock::new(|| std::env::var("SECRET").expect("SECRET is set, as fuzz/run does"));

static HOOKS: LazyLock<Vec<Hook>> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let load = |path: &Path| hooks::load(path, true).expect("it loads").hooks;
    [load(&dir.join("../hooks.json")), load(&dir.join("every-rule.json"))].concat()
});

fuzz_target!(|data: &[u8]| {
    let (head, body) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let body = body.get(1..).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let (signed, content_type) = head.split_once(' ').unwrap_or((&head, ""));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
    mac.update(body);
    let right = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let signature = if signed == "s" { right.clone() } else { signed.to_string() };
    for (number, hook) in HOOKS.iter().enumerate() {
        let headers =
            [("Content-Type", content_type), ("X-Github-Event", "push"), ("X-Hub-Signature-256", &signature)];
        let headers = headers.map(|(name, value)| (name, value.as_bytes())).to_vec();
        let request = Request {
            method: "POST",
            remote_addr: "127.0.0.1:1".to_string(),
            headers,
            raw_query: &head,
            body: body.to_vec(),
        };
        let delivery = Delivery::new(hook, request);
        if decide(&delivery, SystemTime::UNIX_EPOCH).outcome == Outcome::Fires {
            let inputs = Inputs::of(delivery);
            if number == 0 {
                assert_eq!(
                    signature.trim_start_matches("sha256="),
                    &right["sha256=".len()..],
                    "fires unsigned"
                );
                assert_eq!(inputs.arguments.len(), 5, "five arguments, whatever the payload is");
            }
        }
    }
});
