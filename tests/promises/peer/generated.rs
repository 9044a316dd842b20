//! Rules and payloads made by chance, the same ones each time.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::{Case, Pair, peer};
use crate::support::daemon::shell;

/// Names and values few enough to meet each other often.
const NAMES: [&str; 6] = ["a", "b", "c.d", "list.0", "list.1.x", "gone"];
const VALUES: [&str; 6] = ["1", "x", "true", "", "<nil>", "1.50"];

fn one_of<'a>(random: &mut Rng, words: &[&'a str]) -> &'a str {
    words[random.usize(0..words.len())]
}

fn value(random: &mut Rng, depth: u32) -> Value {
    match random.u32(0..if depth > 2 { 6 } else { 8 }) {
        0 => json!(1),
        1 => json!("x"),
        2 => json!(true),
        3 => json!(""),
        4 => Value::Null,
        5 => serde_json::from_str("1.50").unwrap(),
        6 => json!([value(random, depth + 1), {"x": value(random, depth + 1)}]),
        _ => json!({"d": value(random, depth + 1), "x": value(random, depth + 1)}),
    }
}

fn payload(random: &mut Rng) -> Value {
    let mut object = Map::new();
    for name in ["a", "b", "c", "list", "c.d"] {
        if random.u32(0..4) > 0 {
            object.insert(name.to_owned(), value(random, 0));
        }
    }
    Value::Object(object)
}

fn parameter(random: &mut Rng) -> Value {
    match random.u32(0..8) {
        0 => json!({"source": "header", "name": "x-a"}),
        1 => json!({"source": "url", "name": "q"}),
        2 => json!({"source": "request", "name": "method"}),
        _ => json!({"source": "payload", "name": one_of(random, &NAMES)}),
    }
}

fn rule(random: &mut Rng, depth: u32) -> Value {
    let several = |random: &mut Rng| -> Vec<Value> {
        let count = random.usize(0..4);
        (0..count).map(|_| rule(random, depth + 1)).collect()
    };
    match random.u32(if depth > 3 { 3 } else { 0 }..8) {
        0 => json!({"and": several(random)}),
        1 => json!({"or": several(random)}),
        2 if depth > 0 => json!({"not": not_missing(random)}),
        3 => {
            json!({"match": {"type": "regex", "regex": one_of(random, &["^x?$", "1", "(", ".", "^$"]), "parameter": parameter(random)}})
        }
        4 => {
            json!({"match": {"type": "ip-whitelist", "ip-range": one_of(random, &["127.0.0.1", "10.0.0.0/8", "bad", ""])}})
        }
        5 => json!({"match": {"type": "payload-hmac-sha256", "secret": "k", "parameter": parameter(random)}}),
        _ => {
            json!({"match": {"type": "value", "value": one_of(random, &VALUES), "parameter": parameter(random)}})
        }
    }
}

/// What is always there: what `not` makes of a missing parameter is one of the things that differ on purpose.
fn not_missing(random: &mut Rng) -> Value {
    json!({"match": {"type": "value", "value": one_of(random, &["GET", "POST"]), "parameter": {"source": "request", "name": "method"}}})
}

#[test]
fn rules_made_by_chance_are_judged_alike() {
    let Some(program) = peer() else { return };
    let mut random = Rng::with_seed(2026);
    let hooks: Vec<Value> = (0..150)
        .map(|number| {
            shell(
                &number.to_string(),
                "echo in",
                json!({
                    "trigger-rule": rule(&mut random, 0),
                    "trigger-rule-mismatch-http-response-code": 418,
                    "trigger-signature-soft-failures": random.bool(),
                    "pass-environment-to-command": [parameter(&mut random), parameter(&mut random)],
                }),
            )
        })
        .collect();
    let mut pair = Pair::start(&program, &hooks, &[]);
    for (number, hook) in hooks.iter().enumerate() {
        for _ in 0..4 {
            let body = payload(&mut random).to_string();
            let path = format!("/hooks/{number}?q={}", VALUES[random.usize(0..2)]);
            let headers = [("Content-Type", "application/json"), ("X-A", one_of(&mut random, &VALUES))];
            let headers = &headers[..random.usize(1..3)];
            let name = format!("{} {path} {headers:?} {body}", hook["trigger-rule"]);
            pair.compare(&Case::new(&name, "POST", &path, headers, body.as_bytes()));
        }
    }
    pair.finish();
}
