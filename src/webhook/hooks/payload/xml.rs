//! XML as an object: `{root: value}`; attributes go by `-name`, text beside them or beside children by
//! `#text`, children of one name become a list. All values are text.

use std::{borrow::Cow, fmt::Display};

use quick_xml::{
    Reader,
    events::{BytesRef, BytesStart, Event},
};

use super::{
    document::{Builder, Document},
    node::{Kind, Node},
};

/// Elements and attributes cost a multiple of their text; more than this many, together, are refused.
pub const MAX_NAMES: usize = 200_000;

/// The bytes that one of them takes at most besides its text: here, with the two nodes that it becomes, and with what a
/// growing list and the allocator take on top.
pub const COST_OF_NAME: usize = 2 * (size_of::<Element>() + 2 * size_of::<Node>());

/// What is wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct XmlError(String);

fn error(problem: impl Display) -> XmlError {
    XmlError(problem.to_string())
}

/// The first element in `body`; what follows it is not looked at.
pub fn parse(body: &[u8]) -> Result<Document, XmlError> {
    let chunk = body.utf8_chunks().next();
    let (text, cut) = chunk.map_or(("", false), |chunk| (chunk.valid(), !chunk.invalid().is_empty()));
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    reader.config_mut().check_comments = true;
    let mut tree = Tree::default();
    loop {
        let event = reader.read_event().map_err(error)?;
        let in_run = matches!(event, Event::Text(_) | Event::GeneralRef(_));
        if !in_run {
            tree.end_run()?;
        }
        match event {
            Event::Start(start) => tree.open(&start)?,
            Event::End(_) if tree.close() => return Ok(tree.document()),
            Event::Text(text) => tree.run.push_str(&legal(text.xml10_content())?),
            Event::GeneralRef(entity) => tree.run.push(character(&entity)?),
            Event::CData(text) => {
                let text = legal(text.xml10_content())?;
                tree.text(&text);
            }
            Event::Decl(declaration) => check_declaration(declaration.version(), declaration.encoding())?,
            Event::Eof if cut => return Err(error("invalid UTF-8")),
            Event::Eof if tree.elements.is_empty() => return Err(error("there is no element")),
            Event::Eof => return Err(error("unexpected EOF")),
            _ => {}
        }
    }
}

fn check_declaration<E>(
    version: Result<Cow<'_, str>, E>,
    encoding: Option<Result<Cow<'_, str>, quick_xml::events::attributes::AttrError>>,
) -> Result<(), XmlError> {
    if let Ok(version) = version
        && version != "1.0"
    {
        return Err(error(format!("unsupported version {version:?}; only version 1.0 is supported")));
    }
    match encoding {
        Some(Ok(encoding)) if !encoding.eq_ignore_ascii_case("utf-8") => {
            Err(error(format!("encoding {encoding:?} declared, only UTF-8 is supported")))
        }
        _ => Ok(()),
    }
}

/// A reference outside of a tag: five names and numbers, whatever a doctype declares.
fn character(entity: &BytesRef<'_>) -> Result<char, XmlError> {
    let name = entity.xml10_content();
    let number = name.strip_prefix('#').map(|number| match number.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    });
    let c = match (&*name, number) {
        (_, Some(Ok(number @ 0..=0x10_ffff))) => char::from_u32(number).or(Some(char::REPLACEMENT_CHARACTER)),
        (name, _) => quick_xml::escape::resolve_predefined_entity(name).and_then(|text| text.chars().next()),
    };
    let c = c.ok_or_else(|| error(format!("invalid character entity &{name};")))?;
    if is_legal(c) { Ok(c) } else { Err(illegal(c)) }
}

fn legal(text: Cow<'_, str>) -> Result<Cow<'_, str>, XmlError> {
    match text.chars().find(|c| !is_legal(*c)) {
        Some(c) => Err(illegal(c)),
        None => Ok(text),
    }
}

fn is_legal(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn illegal(c: char) -> XmlError {
    error(format!("illegal character code U+{:04X}", u32::from(c)))
}

/// In one flat list, so that no depth can exhaust the stack.
#[derive(Debug, Default)]
struct Tree {
    elements: Vec<Element>,
    /// Elements and attributes.
    names: usize,
    open: Vec<usize>,
    /// Text and references, which make one run until something else comes.
    run: String,
}

#[derive(Debug)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<usize>,
    /// The last run of text while there were neither attributes nor children: it wins over later ones.
    lead: Option<String>,
    /// The last run of text after that.
    text: Option<String>,
}

impl Tree {
    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), XmlError> {
        self.count_name()?;
        let mut attributes = Vec::new();
        for attribute in start.attributes().with_checks(false) {
            self.count_name()?;
            let attribute = attribute.map_err(error)?;
            if attribute.value.contains('<') {
                return Err(error("unescaped < inside quoted string"));
            }
            if attribute.value.contains("]]>") {
                return Err(error("unescaped ]]> not in CDATA section"));
            }
            let value = attribute.value.replace("\r\n", "\n").replace('\r', "\n");
            let value = quick_xml::escape::unescape(&value).map_err(error)?;
            let name = local_name(checked(attribute.key.as_ref())?);
            attributes.push((format!("-{name}"), legal(value)?.into_owned()));
        }
        let name = local_name(checked(start.name().as_ref())?).to_owned();
        let child = self.elements.len();
        if let Some(parent) = self.open.last() {
            self.elements[*parent].children.push(child);
        }
        self.elements.push(Element { name, attributes, children: Vec::new(), lead: None, text: None });
        self.open.push(child);
        Ok(())
    }

    fn count_name(&mut self) -> Result<(), XmlError> {
        self.names += 1;
        if self.names > MAX_NAMES {
            return Err(error(format!("more than {MAX_NAMES} elements and attributes")));
        }
        Ok(())
    }

    /// True if that was the root.
    fn close(&mut self) -> bool {
        self.open.pop();
        self.open.is_empty()
    }

    fn end_run(&mut self) -> Result<(), XmlError> {
        if self.run.contains("]]>") {
            return Err(error("unescaped ]]> not in CDATA section"));
        }
        let run = std::mem::take(&mut self.run);
        self.text(&run);
        Ok(())
    }

    fn text(&mut self, text: &str) {
        let text = text.trim_matches([' ', '\t', '\r', '\n', '\u{8}']);
        let Some(open) = self.open.last() else { return };
        let element = &mut self.elements[*open];
        if !text.is_empty() {
            let place = if element.is_plain() { &mut element.lead } else { &mut element.text };
            *place = Some(text.to_owned());
        }
    }

    fn document(&self) -> Document {
        let mut builder = Builder::default();
        builder.open(Kind::Object);
        builder.text(self.elements[0].name.as_bytes());
        let mut steps = vec![Step::Element(0)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Close => builder.close(),
                Step::Name(element) => builder.text(self.elements[element].name.as_bytes()),
                Step::List => builder.open(Kind::List),
                Step::Element(element) => self.element(&self.elements[element], &mut builder, &mut steps),
            }
        }
        builder.close();
        builder.finish()
    }

    fn element(&self, element: &Element, builder: &mut Builder, steps: &mut Vec<Step>) {
        if element.is_plain() {
            return builder.text(element.lead.as_deref().unwrap_or_default().as_bytes());
        }
        builder.open(Kind::Object);
        for (name, value) in &element.attributes {
            builder.text(name.as_bytes());
            builder.text(value.as_bytes());
        }
        if let Some(text) = element.lead.as_ref().or(element.text.as_ref()) {
            builder.text(b"#text");
            builder.text(text.as_bytes());
        }
        steps.push(Step::Close);
        let mut children = element.children.clone();
        children.sort_by_key(|child| &self.elements[*child].name);
        for group in children.chunk_by(|a, b| self.elements[*a].name == self.elements[*b].name) {
            if let [_, _, ..] = group {
                steps.push(Step::Close);
                steps.extend(group.iter().rev().map(|child| Step::Element(*child)));
                steps.extend([Step::List, Step::Name(group[0])]);
            } else {
                steps.extend([Step::Element(group[0]), Step::Name(group[0])]);
            }
        }
    }
}

/// What is still to be written, the last one first.
enum Step {
    Name(usize),
    Element(usize),
    List,
    Close,
}

impl Element {
    /// Nothing but text.
    fn is_plain(&self) -> bool {
        self.attributes.is_empty() && self.children.is_empty()
    }
}

/// `name`, with its prefix, if it is one.
fn checked(name: &str) -> Result<&str, XmlError> {
    let starts_well = name.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == ':');
    let goes_on_well =
        |c: char| c.is_alphanumeric() || "_:-.".contains(c) || !c.is_ascii() && !c.is_whitespace();
    if starts_well && name.chars().all(goes_on_well) {
        Ok(name)
    } else {
        Err(error(format!("invalid XML name: {name}")))
    }
}

/// Without the prefix of a name space.
fn local_name(name: &str) -> &str {
    match name.split_once(':') {
        Some((prefix, local)) if !prefix.is_empty() && !local.is_empty() && !local.contains(':') => local,
        _ => name,
    }
}
