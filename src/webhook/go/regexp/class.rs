//! `[...]`.

use super::{
    escape::{self, literal},
    input::Input,
};

const POSIX: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// A class; the input stands on its bracket. `[`, `&&`, `--` and `~~` mean nothing in it.
pub fn translate(input: &mut Input<'_>) -> Result<String, String> {
    let all = input.rest();
    input.next();
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
        if input.peek() == Some('\\')
            && let Some(items) = escape::class(input)?
        {
            class += &items;
            continue;
        }
        let start = input.position();
        let low = character(input, all)?;
        class += &literal(low);
        if input.rest().starts_with('-') && !input.rest().starts_with("-]") && input.rest().len() > 1 {
            input.next();
            let high = character(input, all)?;
            if high < low {
                return Err(format!("invalid character class range: `{}`", input.since(start)));
            }
            class.push('-');
            class += &literal(high);
        }
    }
    input.next();
    class.push(']');
    Ok(class)
}

fn character(input: &mut Input<'_>, all: &str) -> Result<char, String> {
    match input.peek() {
        None => Err(format!("missing closing ]: `{all}`")),
        Some('\\') => escape::character(input),
        Some(_) => Ok(input.next().unwrap_or_default()),
    }
}

/// `[:alpha:]` or `[:^alpha:]`, inside of a class.
fn posix_class(input: &mut Input<'_>) -> Result<Option<String>, String> {
    let rest = input.rest();
    let Some((name, _)) = rest.strip_prefix("[:").and_then(|inside| inside.split_once(":]")) else {
        return Ok(None);
    };
    let whole = format!("[:{name}:]");
    if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err(format!("invalid character class range: `{whole}`"));
    }
    input.take(&whole);
    Ok(Some(whole))
}
