//! YAML 1.1 text, JSON included, as a tree of typed values that know their lines.
//!
//! The parser is a port of libyaml, as that of webhook 2.8 is, so both agree on what is YAML. What a plain word
//! means (`yes`, `0777`, `1_000`) is decided here.

use std::{borrow::Cow, collections::HashMap, panic::catch_unwind};

use libyaml_safer::{Event, EventData, Parser, ScalarStyle};

use super::{
    node::{Node, Value},
    scalar::{scalar, scalar_text},
};

/// Deeper nesting is refused: the tree is walked and dropped by recursion.
const MAX_DEPTH: usize = 200;
/// What aliases may add in all, in bytes of tree, so that a few lines cannot fill the memory.
const MAX_EXPANSION: usize = 32 << 20;

/// The line, and what is wrong there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct YamlError {
    pub line: u64,
    pub problem: String,
}

/// A document.
#[derive(Debug)]
pub struct Parsed {
    pub root: Node,
    /// Text behind the end of it that is not the start of another one.
    pub after: Option<YamlError>,
}

/// The first document in `text`; an empty one is null.
pub fn parse(text: &str) -> Result<Parsed, YamlError> {
    let mut text = with_leading_tabs_as_spaces(text.strip_prefix('\u{feff}').unwrap_or(text));
    loop {
        // The parser gives up on some of what it does not know (a tag in front of a comma) by a panic.
        let document = || (Tree { anchors: HashMap::new(), expanded: 0 }).document(&text);
        let document = catch_unwind(document).unwrap_or_else(|_| Err(ours(1, "no YAML that can be read")));
        match document {
            Err(Failure::Syntax(error)) => match with_json_escape_mended(&text, &error) {
                Some(mended) => text = Cow::Owned(mended),
                None => return Err(syntax_error(&error)),
            },
            Err(Failure::Ours(error)) => return Err(error),
            Ok(parsed) => return Ok(parsed),
        }
    }
}

/// YAML has no tab before the first bracket; JSON does.
fn with_leading_tabs_as_spaces(text: &str) -> Cow<'_, str> {
    let json = text.trim_start();
    let space = &text[..text.len() - json.len()];
    if json.starts_with(['[', '{']) && space.contains('\t') {
        Cow::Owned(space.replace('\t', " ") + json)
    } else {
        Cow::Borrowed(text)
    }
}

/// The parser knows neither `\'` (which the template function `js` writes) nor surrogate pairs (which JSON
/// writers use) in double quotes, and stops there: written differently, the text means the same.
fn with_json_escape_mended(text: &str, error: &libyaml_safer::Error) -> Option<String> {
    let at = usize::try_from(error.problem_mark()?.index).ok()?;
    if text.get(at..)?.starts_with("\\'") {
        return Some([&text[..at], &text[at + 1..]].concat());
    }
    let start = at.checked_sub(2)?;
    let pair = text.get(start..start + 12)?;
    let unit = |escape: &str| u16::from_str_radix(escape.strip_prefix("\\u")?, 16).ok();
    let units = [unit(pair.get(..6)?)?, unit(pair.get(6..)?)?];
    let c = char::decode_utf16(units).next()?.ok()?;
    Some(format!("{}\\U{:08X}{}", &text[..start], u32::from(c), &text[start + 12..]))
}

enum Failure {
    Syntax(libyaml_safer::Error),
    Ours(YamlError),
}

impl From<libyaml_safer::Error> for Failure {
    fn from(error: libyaml_safer::Error) -> Self {
        Self::Syntax(error)
    }
}

fn ours(line: u64, problem: impl Into<String>) -> Failure {
    Failure::Ours(YamlError { line, problem: problem.into() })
}

/// The parser's own text names its stage and repeats the place; what is left is the problem.
fn syntax_error(error: &libyaml_safer::Error) -> YamlError {
    let text = error.to_string();
    let problem = text.split_once(" column ").map_or(text.as_str(), |(_, rest)| rest);
    let problem = problem.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches(": ");
    YamlError { line: error.problem_mark().map_or(1, |mark| mark.line + 1), problem: problem.to_owned() }
}

type Events<'t> = Parser<&'t [u8]>;

/// Builds the tree out of the parser's events.
struct Tree {
    anchors: HashMap<String, Node>,
    expanded: usize,
}

impl Tree {
    fn document(&mut self, text: &str) -> Result<Parsed, Failure> {
        let mut events = Events::new();
        events.set_input(text.as_bytes());
        loop {
            let event = events.parse()?;
            match event.data {
                EventData::StreamStart { .. } => {}
                EventData::DocumentStart { .. } => break,
                _ => return Ok(Parsed { root: Node { line: 1, value: Value::Null }, after: None }),
            }
        }
        let first = events.parse()?;
        let root = self.node(&mut events, first, 0)?;
        events.parse()?; // the end of the document
        let after = events.parse().err().map(|error| syntax_error(&error));
        Ok(Parsed { root, after })
    }

    fn node(&mut self, events: &mut Events, event: Event, depth: usize) -> Result<Node, Failure> {
        let line = event.start_mark.line + 1;
        if depth > MAX_DEPTH {
            return Err(ours(line, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        let (anchor, value) = match event.data {
            EventData::Alias { anchor } => return self.alias(&anchor, line),
            EventData::Scalar { anchor, tag, value, style, .. } => {
                let value = scalar(tag.as_deref(), value, style);
                (anchor, value.map_err(|problem| ours(line, problem))?)
            }
            EventData::SequenceStart { anchor, .. } => (anchor, self.list(events, depth)?),
            EventData::MappingStart { anchor, .. } => (anchor, self.map(events, depth)?),
            other => return Err(ours(line, format!("unexpected {other:?}"))),
        };
        let node = Node { line, value };
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: &str, line: u64) -> Result<Node, Failure> {
        let Some(node) = self.anchors.get(anchor) else {
            return Err(ours(line, format!("*{anchor} refers to an anchor that is not defined before it")));
        };
        self.expanded += size(node);
        if self.expanded > MAX_EXPANSION {
            return Err(ours(line, "aliases make the file too large"));
        }
        Ok(node.clone())
    }

    fn list(&mut self, events: &mut Events, depth: usize) -> Result<Value, Failure> {
        let mut items = Vec::new();
        loop {
            let event = events.parse()?;
            if event.data == EventData::SequenceEnd {
                return Ok(Value::List(items));
            }
            items.push(self.node(events, event, depth + 1)?);
        }
    }

    fn map(&mut self, events: &mut Events, depth: usize) -> Result<Value, Failure> {
        let mut entries = Vec::new();
        loop {
            let event = events.parse()?;
            if event.data == EventData::MappingEnd {
                return Ok(Value::Map(entries));
            }
            let merge = is_merge(&event);
            let key = self.node(events, event, depth + 1)?;
            let event = events.parse()?;
            let value = self.node(events, event, depth + 1)?;
            if merge {
                merge_into(&mut entries, value)?;
                continue;
            }
            let name = match key.value {
                Value::Null | Value::List(_) | Value::Map(_) => {
                    return Err(ours(key.line, format!("{} cannot be a name", key.value.kind())));
                }
                scalar => scalar_text(scalar),
            };
            set(&mut entries, name, value);
        }
    }
}

fn is_merge(event: &Event) -> bool {
    matches!(&event.data, EventData::Scalar { value, style: ScalarStyle::Plain, .. } if value == "<<")
}

/// `<<: *other`: as with webhook 2.8, what stands later wins, be it a merge or a name; in a list of
/// merges the first one wins.
fn merge_into(entries: &mut Vec<(String, Node)>, node: Node) -> Result<(), Failure> {
    match node.value {
        Value::Map(merged) => merged.into_iter().for_each(|(name, value)| set(entries, name, value)),
        Value::List(maps) => {
            for map in maps.into_iter().rev() {
                if !matches!(map.value, Value::Map(_)) {
                    return Err(ours(map.line, "<< merges an object or a list of objects"));
                }
                merge_into(entries, map)?;
            }
        }
        _ => return Err(ours(node.line, "<< merges an object or a list of objects")),
    }
    Ok(())
}

fn set(entries: &mut Vec<(String, Node)>, name: String, value: Node) {
    match entries.iter_mut().find(|(known, _)| *known == name) {
        Some((_, old)) => *old = value,
        None => entries.push((name, value)),
    }
}

fn size(node: &Node) -> usize {
    size_of::<Node>()
        + match &node.value {
            Value::Text(text) => text.len(),
            Value::List(items) => items.iter().map(size).sum(),
            Value::Map(entries) => entries.iter().map(|(name, value)| name.len() + size(value)).sum(),
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts that a list of plain words becomes in text properties.
    fn words(text: &str) -> Vec<String> {
        let Value::List(items) = parse(text).unwrap().root.value else { panic!("not a list") };
        items.into_iter().map(|item| scalar_text(item.value)).collect()
    }

    #[test]
    fn plain_words_mean_what_they_mean_in_yaml_1_1() {
        let cases = [
            ("0777", "511"),
            ("0x1f", "31"),
            ("0o17", "15"),
            ("0b101", "5"),
            ("-0x1f", "-31"),
            ("-0b101", "-5"),
            ("1_000", "1000"),
            ("1__0", "10"),
            ("_1", "_1"),
            ("+5", "5"),
            ("08", "8"),
            ("-0", "0"),
            ("1e3", "1000"),
            ("1e+3", "1000"),
            ("1.10", "1.1"),
            ("0.1234567891", "0.12345679"),
            ("12345678.5", "1.2345678e+07"),
            ("100000.0", "100000"),
            ("1000000.0", "1e+06"),
            ("0.00001", "1e-05"),
            ("0.0001", "0.0001"),
            (".5", "0.5"),
            ("1.", "1"),
            ("-0.0", "-0"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "1.8446744e+19"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1_0.5", "10.5"),
            ("3.4e+39", "+Inf"),
            ("1e+400", "1e+400"),
            ("0x", "0x"),
            ("1:30", "1:30"),
            ("2001-01-01", "2001-01-01"),
            ("1.2.3", "1.2.3"),
            ("-", "-"),
            ("1-2", "1-2"),
            (".", "."),
            ("e1", "e1"),
            ("+-5", "+-5"),
            ("yes", "true"),
            ("Yes", "true"),
            ("yEs", "yEs"),
            ("on", "true"),
            ("y", "true"),
            ("N", "false"),
            ("off", "false"),
            ("~", ""),
            ("Null", ""),
            (".nan", "NaN"),
            ("-.Inf", "-Inf"),
            ("'5'", "5"),
            ("\"yes\"", "yes"),
            ("!!str 0777", "0777"),
            ("!!int '0777'", "511"),
            ("!!float 1", "1"),
            ("!!null ''", ""),
            ("!!binary aGk=", "hi"),
            ("http://x:80/y", "http://x:80/y"),
            ("x#y", "x#y"),
        ];
        for (word, text) in cases {
            if word == "-" {
                continue; // an empty list item, not a word
            }
            assert_eq!(words(&format!("- {word}\n")), [text], "{word}");
        }
    }

    #[test]
    fn json_is_read_with_what_people_add_to_it() {
        let same = parse("[{\"id\": \"x\", \"list\": [\"a\"]}]").unwrap().root;
        for text in [
            "[{\"id\": \"x\", \"list\": [\"a\",],},]",
            "[{id: x, list: [a]}]",
            "[{\"id\":\"x\",\"list\":[\"a\"]}] # comment",
            "[{'id': 'x', \"list\": [\"\\x61\"]}]",
            "\u{feff}[{\"id\": \"x\", \"list\": [\"a\"]}]",
            "\t [{\"id\":\t\"x\",\t\"list\": [\"a\"]}]\t",
            "[{\"id\": \"y\", \"id\": \"x\", \"list\": [\"a\"]}]",
            "[{\"id\": \"x\", \"list\": [\"a\"]}]\n---\n{{{",
        ] {
            let mut node = parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).root;
            let Value::List(items) = &mut node.value else { panic!("{text}") };
            let Value::Map(entries) = &items[0].value else { panic!("{text}") };
            assert_eq!(entries.len(), 2, "{text}");
            assert_eq!(node, same, "{text}");
        }
        assert_eq!(words("[\r\n\t\"a\"\r\n,\r\n\t\t\"b\"]\r\n"), ["a", "b"]);
    }

    #[test]
    fn escapes_of_json_and_of_the_js_function_are_read() {
        assert_eq!(
            words(r#"["it\'s \'so\' \/ \\'", "\ud83d\ude00\uD83D\uDE00", '\ud83d\ude00']"#),
            ["it's 'so' / \\'", "😀😀", r"\ud83d\ude00"]
        );
        for text in [r#"["\ud83d"]"#, r#"["\ude00\ud83d"]"#, r#"["\q"]"#, r#"["\ud83"#] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn anchors_and_merges_follow_the_order_of_the_file() {
        let ids = |text: &str| {
            let Value::List(items) = parse(text).unwrap().root.value else { panic!("not a list") };
            let Value::Map(entries) = items.into_iter().next_back().unwrap().value else { panic!("no map") };
            entries
                .into_iter()
                .map(|(name, value)| format!("{name}={}", scalar_text(value.value)))
                .collect::<Vec<_>>()
        };
        assert_eq!(ids("- &a {id: x, m: 1}\n- {<<: *a, id: z}\n"), ["id=z", "m=1"]);
        assert_eq!(ids("- &a {id: x, m: 1}\n- {id: z, <<: *a}\n"), ["id=x", "m=1"]);
        assert_eq!(ids("- &a {id: x}\n- &b {id: w, m: 1}\n- <<: [*a, *b]\n"), ["id=x", "m=1"]);
        assert_eq!(ids("- {id: &v 7, m: *v}\n"), ["id=7", "m=7"]);
    }

    #[test]
    fn what_cannot_be_read_names_its_line() {
        let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
        for (text, line, problem) in [
            ("- id: x\n  b: [a\n", 3, "did not find expected ',' or ']'"),
            ("- id: x\n- *nope\n", 2, "*nope refers to an anchor"),
            ("- &a [*a]\n", 1, "*a refers to an anchor"),
            ("[{\"id\": \"x\"}]\n@", 2, "found character that cannot start any token"),
            ("- !!binary /w==\n", 1, "is not UTF-8"),
            ("- id: x\n  [a]: y\n", 2, "a list cannot be a name"),
            ("- id: x\n  ~: y\n", 2, "null cannot be a name"),
            ("- <<: x\n", 1, "<< merges an object"),
            ("- a\n- !!int abc\n", 2, "\"abc\" is no !!int"),
            ("- !!bool 1\n", 1, "\"1\" is no !!bool"),
            ("- !!binary a\n", 1, "illegal base64 data"),
            ("[{\"id\": \"x\", // no\n\"b\": 1}]", 2, "did not find expected ',' or '}'"),
            (&deep, 1, "nested more than"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.line == line && error.problem.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn what_the_parser_gives_up_on_is_an_error() {
        assert_eq!(parse("{!x, a}").unwrap_err().problem, "no YAML that can be read");
    }

    #[test]
    fn a_few_aliases_cannot_fill_the_memory() {
        let mut bomb = "- &a0 [xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]\n".to_owned();
        for n in 0..20 {
            let items = format!("*a{n}, ").repeat(10);
            bomb.extend([format!("- &a{} [{items}]\n", n + 1)]);
        }
        assert_eq!(parse(&bomb).unwrap_err().problem, "aliases make the file too large");
    }

    #[test]
    fn nothing_is_an_empty_document() {
        for text in ["", "# only a comment\n", "---\n", "null", "~\n"] {
            assert_eq!(parse(text).unwrap().root.value, Value::Null, "{text}");
        }
    }
}
