//! What stands behind a backslash.

use regex::Regex;

use super::input::Input;

/// ASCII, as the items of a class; white space without the vertical tab.
pub fn perl_class(letter: char) -> Option<&'static str> {
    Some(match letter.to_ascii_lowercase() {
        'd' => "0-9",
        's' => r"\t\n\f\r ",
        'w' => "0-9A-Za-z_",
        _ => return None,
    })
}

/// An escape outside of a class; the input stands on the backslash.
pub fn translate(input: &mut Input<'_>) -> Result<String, String> {
    if let Some(class) = class(input)? {
        return Ok(class);
    }
    for (escape, translation) in [("\\A", r"\A"), ("\\z", r"\z"), ("\\b", r"(?-u:\b)"), ("\\B", r"(?-u:\B)")]
    {
        if input.take(escape) {
            return Ok(translation.to_owned());
        }
    }
    character(input).map(literal)
}

/// `\d`, `\pL` and the like, as a class; none if the escape stands for a character.
pub fn class(input: &mut Input<'_>) -> Result<Option<String>, String> {
    let letter = input.rest().chars().nth(1).unwrap_or_default();
    if let Some(items) = perl_class(letter) {
        input.next();
        input.next();
        let not = if letter.is_ascii_uppercase() { "^" } else { "" };
        return Ok(Some(format!("[{not}{items}]")));
    }
    if letter == 'p' || letter == 'P' { unicode_class(input, letter == 'P').map(Some) } else { Ok(None) }
}

/// `\pL`, `\p{Greek}`, `\p{^Greek}`, `\P{Greek}`: general categories and scripts, by their exact names.
fn unicode_class(input: &mut Input<'_>, negated: bool) -> Result<String, String> {
    let start = input.position();
    input.next();
    input.next();
    let mut name = String::new();
    if input.take("{") {
        loop {
            match input.next() {
                Some('}') => break,
                Some(c) => name.push(c),
                None => return Err(format!("invalid character class range: `{}`", input.since(start))),
            }
        }
    } else {
        name.extend(input.next());
    }
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
        _ => return Err(format!("invalid character class range: `{}`", input.since(start))),
    };
    Ok(format!("[{}{class}]", if negated { "^" } else { "" }))
}

fn script(name: &str) -> String {
    format!(r"\p{{sc={name}}}")
}

const CATEGORIES: &[&str] = &[
    "Cc", "Cf", "Co", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P",
    "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs",
];

/// An escape that stands for one character; the input stands on the backslash.
pub fn character(input: &mut Input<'_>) -> Result<char, String> {
    let start = input.position();
    input.next();
    let Some(c) = input.next() else {
        return Err("trailing backslash at end of expression: ``".to_owned());
    };
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
    code.and_then(char::from_u32).ok_or_else(|| format!("invalid escape sequence: `{}`", input.since(start)))
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
    if !input.take("{") {
        let (high, low) = (input.next()?, input.next()?);
        return Some(high.to_digit(16)? * 16 + low.to_digit(16)?);
    }
    let mut code = None;
    loop {
        match input.next()? {
            '}' => return code,
            c => {
                let longer = code.unwrap_or(0) * 16 + c.to_digit(16)?;
                code = Some(longer).filter(|code| *code <= u32::from(char::MAX));
                code?;
            }
        }
    }
}

/// A character that means itself, inside of a class or outside.
pub fn literal(c: char) -> String {
    format!(r"\x{{{:X}}}", u32::from(c))
}
