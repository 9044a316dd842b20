//! `[...]`.

use super::{
    escape::{self, literal},
    input::{Input, Translated},
};

const POSIX: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

const UNCLOSED: &str = "missing closing ]";

/// A class; the input stands behind its bracket. `[`, `&&`, `--` and `~~` mean nothing in it.
pub fn translate(input: &mut Input<'_>) -> Translated<String> {
    let mut class = "[".to_owned();
    if input.take("^") {
        class.push('^');
    }
    let mut first = true;
    // A bracket in the first place stands for itself.
    while first || input.peek() != Some(']') {
        first = false;
        if let Some(named) = posix_class(input)? {
            class += &named;
            continue;
        }
        let low = match input.next().ok_or(UNCLOSED)? {
            '\\' => match escape::class(input)? {
                Some(items) => {
                    class += &items;
                    continue;
                }
                None => escape::character(input)?,
            },
            c => c,
        };
        class += &literal(low);
        if input.rest.starts_with('-') && !input.rest.starts_with("-]") && input.rest.len() > 1 {
            input.next();
            let high = match input.next().ok_or(UNCLOSED)? {
                '\\' => escape::character(input)?,
                c => c,
            };
            if high < low {
                return Err("invalid character class range");
            }
            class.push('-');
            class += &literal(high);
        }
    }
    input.next();
    class.push(']');
    Ok(class)
}

/// `[:alpha:]` or `[:^alpha:]`, inside of a class.
fn posix_class(input: &mut Input<'_>) -> Translated<Option<String>> {
    let Some((name, rest)) = input.rest.strip_prefix("[:").and_then(|inside| inside.split_once(":]")) else {
        return Ok(None);
    };
    if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err("invalid character class range");
    }
    input.rest = rest;
    Ok(Some(format!("[:{name}:]")))
}
