//! What a YAML scalar means, and how it is written as text.

use libyaml_safer::ScalarStyle;

use super::node::Value;
use crate::webhook::go::base64;

/// A scalar, or why it is not what its tag says.
pub fn scalar(tag: Option<&str>, text: String, style: ScalarStyle) -> Result<Value, String> {
    match tag.map(|tag| tag.trim_start_matches("tag:yaml.org,2002:")) {
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        Some(kind @ ("int" | "float" | "bool" | "null")) => {
            let value = plain(text.clone());
            let fits = match value {
                Value::Integer(_) => matches!(kind, "int" | "float"),
                Value::Float(_) => kind == "float",
                Value::Bool(_) => kind == "bool",
                Value::Null => kind == "null",
                _ => false,
            };
            if fits { Ok(value) } else { Err(format!("{text:?} is no !!{kind}")) }
        }
        Some("binary") => match base64::decode(text.as_bytes()) {
            (bytes, None) => String::from_utf8(bytes)
                .map(Value::Text)
                .map_err(|_| format!("{text:?} is not UTF-8 in !!binary")),
            (_, Some(error)) => Err(error.to_string()),
        },
        _ => Ok(Value::Text(text)),
    }
}

/// What a word without quotes means in YAML 1.1.
fn plain(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return Value::Text(text);
    }
    let digits = text.replace('_', "");
    if let Some(number) = integer(&digits) {
        return Value::Integer(number);
    }
    if digits.contains(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c))
        && let Ok(number) = digits.parse::<f64>()
        && number.is_finite()
    {
        return Value::Float(number);
    }
    Value::Text(text)
}

/// Decimal, `0x`, `0o`, `0b` or octal with a leading zero, within 64 bits.
fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', b'o' | b'O', ..] => (&digits[2..], 8),
        [b'0', b'b' | b'B', ..] => (&digits[2..], 2),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let number = sign * i128::from(u64::from_str_radix(digits, radix).ok()?);
    (number >= i128::from(i64::MIN)).then_some(number)
}

/// A scalar as text: what a text property makes of a number or a boolean.
pub fn scalar_text(value: Value) -> String {
    match value {
        Value::Text(text) => text,
        Value::Bool(bool) => bool.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => float_text(number),
        Value::Null | Value::List(_) | Value::Map(_) => String::new(),
    }
}

/// The shortest text for a 32-bit float, with an exponent below 1e-4 and from 1e6 on, as webhook 2.8 has it.
#[expect(clippy::cast_possible_truncation, reason = "webhook 2.8 keeps 32 bits")]
fn float_text(number: f64) -> String {
    let number = number as f32;
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        -4..=5 => number.to_string(),
        exponent if exponent < 0 => format!("{mantissa}e-{:02}", -exponent),
        exponent => format!("{mantissa}e+{exponent:02}"),
    }
}
