//! What stands behind a backslash.

use regex::Regex;

use super::input::{Input, Translated};

const BAD_CLASS: &str = "invalid character class range";

const CATEGORIES: &[&str] = &[
    "Cc", "Cf", "Co", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P",
    "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs",
];

/// An escape outside of a class; the input stands behind the backslash.
pub fn translate(input: &mut Input<'_>) -> Translated<String> {
    if let Some(class) = class(input)? {
        return Ok(class);
    }
    for (letter, translation) in [("A", r"\A"), ("z", r"\z"), ("b", r"(?-u:\b)"), ("B", r"(?-u:\B)")] {
        if input.take(letter) {
            return Ok(translation.to_owned());
        }
    }
    character(input).map(literal)
}

/// `\d`, `\pL` and the like, as a class; none, and the input as it was, if the escape stands for a character.
pub fn class(input: &mut Input<'_>) -> Translated<Option<String>> {
    let letter = input.peek().unwrap_or_default();
    // ASCII; white space without the vertical tab.
    let items = match letter.to_ascii_lowercase() {
        'd' => Some("0-9"),
        's' => Some(r"\t\n\f\r "),
        'w' => Some("0-9A-Za-z_"),
        'p' => None,
        _ => return Ok(None),
    };
    input.next();
    let negated = letter.is_ascii_uppercase();
    let (items, negated) = match items {
        Some(items) => (items.to_owned(), negated),
        None => unicode_class(input, negated)?,
    };
    Ok(Some(format!("[{}{items}]", if negated { "^" } else { "" })))
}

/// `\pL`, `\p{Greek}`, `\p{^Greek}`, `\P{Greek}`, behind the `p`: general categories and scripts, by their exact
/// names.
fn unicode_class(input: &mut Input<'_>, negated: bool) -> Translated<(String, bool)> {
    let name = match input.next().ok_or(BAD_CLASS)? {
        '{' => input.take_to('}').ok_or(BAD_CLASS)?.to_owned(),
        letter => letter.to_string(),
    };
    let (name, negated) = match name.strip_prefix('^') {
        Some(name) => (name, !negated),
        None => (name.as_str(), negated),
    };
    let class = match name {
        "Any" => r"\p{any}".to_owned(),
        // Without what is not assigned, which the crate counts in.
        "C" => r"\p{Cc}\p{Cf}\p{Co}".to_owned(),
        // Surrogates, which no text holds.
        "Cs" => r"\P{any}".to_owned(),
        _ if CATEGORIES.contains(&name) => format!(r"\p{{gc={name}}}"),
        _ if name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_')
            && Regex::new(&script(name)).is_ok() =>
        {
            script(name)
        }
        _ => return Err(BAD_CLASS),
    };
    Ok((class, negated))
}

fn script(name: &str) -> String {
    format!(r"\p{{sc={name}}}")
}

/// An escape that stands for one character; the input stands behind the backslash.
pub fn character(input: &mut Input<'_>) -> Translated<char> {
    let c = input.next().ok_or("trailing backslash at end of expression")?;
    let code = match c {
        'a' => Some(7),
        'f' => Some(12),
        'n' => Some(10),
        'r' => Some(13),
        't' => Some(9),
        'v' => Some(11),
        // A single digit would refer back to a group.
        '1'..='7' if !input.peek().is_some_and(|next| next.is_digit(8)) => None,
        '0'..='7' => Some(octal(input, c)),
        'x' => hex(input),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
        _ => None,
    };
    code.and_then(char::from_u32).ok_or("invalid escape sequence")
}

fn octal(input: &mut Input<'_>, first: char) -> u32 {
    let mut code = first.to_digit(8).unwrap_or_default();
    for _ in 0..2 {
        let Some(digit) = input.peek().and_then(|c| c.to_digit(8)) else { break };
        input.next();
        code = code * 8 + digit;
    }
    code
}

/// `\x41` or `\x{1F600}`, behind the `x`.
fn hex(input: &mut Input<'_>) -> Option<u32> {
    let digits = if input.take("{") {
        input.take_to('}')?
    } else {
        let (digits, rest) = input.rest.split_at_checked(2)?;
        input.rest = rest;
        digits
    };
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// A character that means itself, inside of a class or outside.
pub fn literal(c: char) -> String {
    format!(r"\x{{{:X}}}", u32::from(c))
}
