//! flag: Go's flag syntax, put in front of clap: one dash or two, `-name=value`, booleans that never take the
//! next word, and nothing more after the first word that is no flag.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use clap::{Arg, ArgAction, Command};

/// Why a command line is none; in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    #[error("flag needs an argument: -{0}")]
    Missing(String),
    #[error("invalid boolean value {0:?} for -{1}: parse error")]
    Boolean(String, String),
}

/// The words for clap that say what `words` say: `--name=value` for each flag with a value, in order, and
/// `--name` for each boolean that ended up true.
pub fn words_for_clap(command: &Command, words: &[OsString]) -> Result<Vec<OsString>, FlagError> {
    let mut booleans = BTreeMap::new();
    let mut for_clap = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(flag) = flag_of(word)? else { break };
        let (name, value) = split(flag);
        let arg = command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(&name) || (name == "h" && arg.get_long() == Some("help")))
            .ok_or_else(|| FlagError::Unknown(name.clone()))?;
        let long = arg.get_long().unwrap_or_default();
        if is_boolean(arg) {
            let on = value.map_or(Ok(true), |value| boolean(value, &name))?;
            booleans.insert(long.to_owned(), on);
            continue;
        }
        let value = match value {
            Some(value) => value,
            None => words.next().ok_or(FlagError::Missing(name))?,
        };
        let mut word = OsString::from(format!("--{long}="));
        word.push(value);
        for_clap.push(word);
    }
    let set = booleans.into_iter().filter(|(_, on)| *on);
    for_clap.extend(set.map(|(long, _)| OsString::from(format!("--{long}"))));
    Ok(for_clap)
}

/// What follows the dashes, or nothing where the flags end.
fn flag_of(word: &OsStr) -> Result<Option<&OsStr>, FlagError> {
    let bytes = word.as_bytes();
    let flag = match bytes {
        [] | [b'-'] | [b'-', b'-'] => return Ok(None),
        [b'-', b'-', flag @ ..] | [b'-', flag @ ..] => flag,
        _ => return Ok(None),
    };
    if matches!(flag, [b'-' | b'=', ..]) {
        return Err(FlagError::Syntax(word.to_string_lossy().into_owned()));
    }
    Ok(Some(OsStr::from_bytes(flag)))
}

fn split(flag: &OsStr) -> (String, Option<&OsStr>) {
    let bytes = flag.as_bytes();
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]))),
        None => (bytes, None),
    };
    (String::from_utf8_lossy(name).into_owned(), value)
}

fn is_boolean(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::Help | ArgAction::HelpLong)
}

fn boolean(value: &OsStr, name: &str) -> Result<bool, FlagError> {
    match value.as_bytes() {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Ok(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Ok(false),
        _ => Err(FlagError::Boolean(value.to_string_lossy().into_owned(), name.to_owned())),
    }
}

/// An integer as Go reads it: decimal, `0x`, `0o` or a leading 0, `0b`, underscores between digits.
pub fn integer(text: &str) -> Result<i64, String> {
    parse_integer(text).ok_or_else(|| "not an integer".to_owned())
}

fn parse_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(digits) = lower.strip_prefix("0x") {
        (16, digits)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (8, digits)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (2, digits)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, &*lower)
    };
    // An underscore may follow a prefix or a digit, and a digit must follow it.
    let misplaced =
        digits.ends_with('_') || digits.contains("__") || (radix == 10 && digits.starts_with('_'));
    let digits = digits.replace('_', "");
    if misplaced || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(&digits, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command::new("x")
            .arg(Arg::new("verbose").long("verbose").action(ArgAction::SetTrue))
            .arg(Arg::new("port").long("port").action(ArgAction::Set))
            .arg(Arg::new("hooks").long("hooks").action(ArgAction::Append))
    }

    fn read(line: &[&str]) -> Result<Vec<String>, String> {
        let words: Vec<OsString> = line.iter().map(OsString::from).collect();
        words_for_clap(&command(), &words)
            .map(|words| words.into_iter().map(|word| word.into_string().unwrap()).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_line_is_read_as_go_reads_it() {
        for (line, expected) in [
            (&["-port", "1", "--port=2", "-verbose"][..], &["--port=1", "--port=2", "--verbose"][..]),
            (&["-hooks=a=b", "--hooks", "", "-hooks", "-x"], &["--hooks=a=b", "--hooks=", "--hooks=-x"]),
            (&["-verbose", "true", "-hooks", "x"], &["--verbose"]),
            (&["-verbose=T", "-verbose=0"], &[]),
            (&["-verbose=false", "--verbose=1", "--", "-port", "1"], &["--verbose"]),
            (&["-", "-port", "1"], &[]),
            (&["word", "-port", "1"], &[]),
            (&[""], &[]),
        ] {
            assert_eq!(read(line).unwrap(), expected, "{line:?}");
        }
    }

    #[test]
    fn a_bad_command_line_is_told_in_the_words_of_go() {
        for (line, expected) in [
            (&["-foo"][..], "flag provided but not defined: -foo"),
            (&["--foo=1"], "flag provided but not defined: -foo"),
            (&["---x"], "bad flag syntax: ---x"),
            (&["-=x"], "bad flag syntax: -=x"),
            (&["-port"], "flag needs an argument: -port"),
            (&["-verbose=maybe"], "invalid boolean value \"maybe\" for -verbose: parse error"),
            (&["-verbose="], "invalid boolean value \"\" for -verbose: parse error"),
        ] {
            assert_eq!(read(line).unwrap_err(), expected, "{line:?}");
        }
    }

    #[test]
    fn integers_have_all_the_forms_of_go() {
        for (text, value) in [
            ("9000", Some(9000)),
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("+7", Some(7)),
            ("0x1F", Some(31)),
            ("0X1f", Some(31)),
            ("0o17", Some(15)),
            ("017", Some(15)),
            ("0b101", Some(5)),
            ("1_000", Some(1000)),
            ("0x_ff", Some(255)),
            ("0_7", Some(7)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("09", None),
            ("0x", None),
            ("", None),
            ("-", None),
            ("1.5", None),
            ("+-1", None),
            (" 1", None),
        ] {
            assert_eq!(integer(text).ok(), value, "{text}");
        }
    }
}
