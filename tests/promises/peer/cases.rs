//! The table: hooks of all kinds, and requests for each.

use serde_json::{Value, json};

use super::Case;

mod answers;
mod bodies;
mod commands;
mod rules;
mod values;

/// The hooks and the requests for them, as they grow together.
#[derive(Default)]
struct Table {
    hooks: Vec<Value>,
    cases: Vec<Case>,
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const TEXT: (&str, &str) = ("Content-Type", "text/plain");

pub(super) fn table() -> (Vec<Value>, Vec<Case>) {
    let mut table = Table::default();
    bodies::add(&mut table);
    values::add(&mut table);
    rules::add(&mut table);
    commands::add(&mut table);
    answers::add(&mut table);
    (table.hooks, table.cases)
}

impl Table {
    fn hook(&mut self, hook: Value) {
        self.hooks.push(hook);
    }

    fn case(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        self.cases.push(Case::new(
            &format!("{method} {path} {headers:?} {text}"),
            method,
            path,
            headers,
            body,
        ));
    }

    fn raw(&mut self, raw: impl AsRef<[u8]>) {
        let raw = raw.as_ref().to_vec();
        self.cases.push(Case { name: String::from_utf8_lossy(&raw).into_owned(), raw });
    }

    fn post(&mut self, id: &str, body: &str) {
        self.case("POST", &format!("/hooks/{id}"), &[JSON], body);
    }

    fn get(&mut self, id: &str) {
        self.case("GET", &format!("/hooks/{id}"), &[], "");
    }
}

/// A hook that shows what it is given; `more` is laid over it.
fn show(id: &str, more: Value) -> Value {
    let mut hook = json!({"id": id, "execute-command": "./show", "include-command-output-in-response": true});
    let (Some(properties), Value::Object(more)) = (hook.as_object_mut(), more) else { unreachable!() };
    properties.extend(more);
    hook
}

fn source(source: &str, name: &str) -> Value {
    json!({"source": source, "name": name})
}

fn payload(name: &str) -> Value {
    source("payload", name)
}

/// The lines of a table, without the empty one that it begins with.
fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.lines().skip(1)
}
