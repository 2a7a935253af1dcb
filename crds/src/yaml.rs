//! YAML text to and from values; the only module that knows a YAML library.
//!
//! Reading keeps the place of every key and value, which typed deserialisation would lose.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde::Serialize;
use serde_json::{Map, Number, Value};

use crate::finding::{Finding, Position};

/// Deeper nesting than any manifest needs is refused, so that reading is bounded.
const MAX_DEPTH: usize = 64;
/// Aliases may copy parts of a document; the copies count too.
const MAX_NODES: usize = 200_000;

/// A value of a document with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where the value begins.
    pub position: Position,
    /// The value.
    pub content: Content,
    /// Characters of the file that a scalar takes, and its style.
    pub(crate) scalar: Option<ScalarSource>,
}

/// The five kinds of value.
#[derive(Clone, Debug)]
pub enum Content {
    /// No value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Everything else that is not a list or mapping.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the file.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping with its place.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key as text.
    pub name: String,
    /// Where the key begins.
    pub position: Position,
}

/// Where a scalar stands in the file: first and last character, counted in characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScalarSource {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) style: ScalarStyle,
}

impl Node {
    /// The value of `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Key and value of `key`, if this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<(&Key, &Self)> {
        match &self.content {
            Content::Mapping(entries) => entries.iter().find(|(name, _)| name.name == key).map(|(name, value)| (name, value)),
            _ => None,
        }
    }

    /// The text, if this is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// True for a value that is written as nothing, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.content, Content::Null)
    }

    /// The value without places. Keys without a value are left out: they mean "not given".
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(number) => Value::Number(number.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Mapping(entries) => {
                let given = entries.iter().filter(|(_, value)| !value.is_null());
                Value::Object(given.map(|(key, value)| (key.name.clone(), value.to_json())).collect::<Map<_, _>>())
            }
        }
    }
}

/// All documents of a file with whether each is free of findings, and what is wrong with its syntax. Documents before a syntax
/// error are kept.
pub fn parse(text: &str) -> (Vec<(Node, bool)>, Vec<Finding>) {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), findings: Vec::new(), nodes: 0 };
    let mut documents = Vec::new();
    loop {
        let before = reader.findings.len();
        match reader.next_document() {
            Ok(Some(node)) => documents.push((node, reader.findings.len() == before)),
            Ok(None) => break,
            Err(finding) => {
                reader.findings.push(finding);
                break;
            }
        }
    }
    (documents, reader.findings)
}

/// A value as YAML text.
pub fn to_text(value: &impl Serialize) -> Result<String, WriteError> {
    serde_yaml::to_string(value).map_err(|error| WriteError { message: error.to_string() })
}

/// A value that YAML cannot express.
#[derive(Debug, thiserror::Error)]
#[error("not a YAML value: {message}")]
pub struct WriteError {
    message: String,
}

struct Reader<'input> {
    parser: Parser<'input, saphyr_parser::StrInput<'input>>,
    anchors: HashMap<usize, Node>,
    findings: Vec<Finding>,
    nodes: usize,
}

impl<'input> Reader<'input> {
    fn next_document(&mut self) -> Result<Option<Node>, Finding> {
        loop {
            let Some((event, span)) = self.next()? else { return Ok(None) };
            match event {
                Event::StreamEnd => return Ok(None),
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                other => return self.node(other, span, 0).map(Some),
            }
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'input>, Span)>, Finding> {
        match self.parser.next() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => {
                let mark = error.marker();
                let position = Position { line: count(mark.line()), column: count(mark.col()) + 1 };
                Err(Finding::new("MANIFEST_SYNTAX", format!("not valid YAML: {}", error.info()), position)
                    .help("check indentation, colons, quotes and brackets at this place and in the lines above it"))
            }
        }
    }

    fn node(&mut self, event: Event<'input>, span: Span, depth: usize) -> Result<Node, Finding> {
        let position = place(&span);
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(Finding::new("MANIFEST_SYNTAX", "the document is nested too deeply or too large", position));
        }
        let (content, anchor, scalar) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let content = if is_text { Content::Text(text.into_owned()) } else { plain(&text) };
                (content, anchor, Some(ScalarSource { start: span.start.index(), end: span.end.index(), style }))
            }
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor, None),
            Event::MappingStart(anchor, _) => (self.mapping(depth)?, anchor, None),
            Event::Alias(anchor) => {
                let target = self.anchors.get(&anchor).cloned();
                let target = target.ok_or_else(|| Finding::new("MANIFEST_SYNTAX", "an alias inside of its own anchor", position))?;
                self.nodes += size(&target);
                return Ok(target);
            }
            _ => return Err(Finding::new("MANIFEST_SYNTAX", "the document ends too early", position)),
        };
        let node = Node { position, content, scalar };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Content, Finding> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            match event {
                Event::SequenceEnd => break,
                other => items.push(self.node(other, span, depth + 1)?),
            }
        }
        Ok(Content::List(items))
    }

    fn mapping(&mut self, depth: usize) -> Result<Content, Finding> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let key = key(event, span)?;
            let Some((event, span)) = self.next()? else { break };
            let value = self.node(event, span, depth + 1)?;
            match entries.iter().find(|(other, _)| other.name == key.name) {
                Some((first, _)) => {
                    let message = format!("key `{}` is given twice, first in line {}", key.name, first.position.line);
                    self.findings.push(Finding::new("MANIFEST_DUPLICATE_KEY", message, key.position).help("remove one of them"));
                }
                None => entries.push((key, value)),
            }
        }
        Ok(Content::Mapping(entries))
    }
}

fn key(event: Event<'_>, span: Span) -> Result<Key, Finding> {
    match event {
        Event::Scalar(text, ..) => Ok(Key { name: text.into_owned(), position: place(&span) }),
        _ => Err(Finding::new("MANIFEST_SYNTAX", "a key must be a plain word or text", place(&span))),
    }
}

fn size(node: &Node) -> usize {
    match &node.content {
        Content::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Content::Mapping(entries) => 1 + entries.iter().map(|(_, value)| size(value)).sum::<usize>(),
        _ => 1,
    }
}

fn place(span: &Span) -> Position {
    Position { line: count(span.start.line()), column: count(span.start.col()) + 1 }
}

fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The value of a plain scalar by the core schema of YAML 1.2.
fn plain(text: &str) -> Content {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Content::Null,
        "true" | "True" | "TRUE" => return Content::Bool(true),
        "false" | "False" | "FALSE" => return Content::Bool(false),
        _ => {}
    }
    match number(text) {
        Some(number) => Content::Number(number),
        None => Content::Text(text.to_string()),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') || !digits.contains(|any: char| any.is_ascii_digit()) {
        return None;
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.strip_prefix('+').unwrap_or(text).parse::<i64>().ok().map(Number::from).or_else(|| float(text));
    }
    digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')).then(|| float(text)).flatten()
}

fn float(text: &str) -> Option<Number> {
    text.parse::<f64>().ok().and_then(Number::from_f64)
}
