//! A text as a list of literal pieces and references. Every text can be read: what is no reference stays as it is, and is told.

use std::fmt;

use super::list;

/// A text, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// In order; two literal pieces never follow each other.
    pub pieces: Vec<Piece>,
    /// What looks like a reference and stays as it is.
    pub kept: Vec<Kept>,
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Stays as it is.
    Text(String),
    /// Is replaced.
    Reference(Path),
}

/// The path of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Its names, without backticks.
    pub segments: Vec<String>,
    /// Where its braces open, in bytes.
    pub at: usize,
}

/// Braces that stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The text from the braces on.
    pub text: String,
    /// Where the braces open, in bytes.
    pub at: usize,
    /// Why it is no reference.
    pub why: KeptWhy,
}

/// Why braces stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptWhy {
    /// They are never closed.
    Unclosed,
    /// What is between them is no path.
    NoPath,
    /// The path begins with a word that means nothing here.
    UnknownNamespace,
}

impl Template {
    /// Reads a text.
    pub fn parse(text: &str) -> Self {
        let mut reader = Reader { text, at: 0, literal: String::new(), template: Self::default() };
        while reader.step() {}
        reader.end_literal();
        reader.template
    }

    /// The references in it.
    pub fn references(&self) -> impl Iterator<Item = &Path> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Reference(path) => Some(path),
            Piece::Text(_) => None,
        })
    }

    /// The whole text, if nothing in it is replaced.
    pub fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Path {
    /// As it is written best: in braces, odd names in backticks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{{}}}}}", written(&self.segments))
    }
}

/// A path as it is written between braces.
pub(super) fn written(segments: &[impl AsRef<str>]) -> String {
    let quoted = |name: &str| if !name.is_empty() && name.bytes().all(is_plain) { name.to_string() } else { format!("`{name}`") };
    segments.iter().map(|name| quoted(name.as_ref())).collect::<Vec<_>>().join(".")
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    literal: String,
    template: Template,
}

impl Reader<'_> {
    /// Takes the text up to the end of the next braces; false at the end.
    fn step(&mut self) -> bool {
        let Some(before) = self.text[self.at..].find("{{") else {
            self.literal.push_str(&self.text[self.at..]);
            return false;
        };
        let open = self.at + before;
        let inside = &self.text[open + 2..];
        if let Some(kept) = self.text[self.at..open].strip_suffix('\\') {
            self.literal.push_str(kept);
            self.keep("{{", open + 2);
            return true;
        }
        self.literal.push_str(&self.text[self.at..open]);
        if inside.starts_with('{') {
            // Of three braces the last two open.
            self.keep("{", open + 1);
            return true;
        }
        match path(inside) {
            Some((segments, length)) if list::is_namespace(&segments) => {
                self.end_literal();
                self.template.pieces.push(Piece::Reference(Path { segments, at: open }));
                self.at = open + 2 + length;
            }
            Some((_, length)) => self.keep_and_tell(open, open + 2 + length, KeptWhy::UnknownNamespace),
            None => match inside.find("}}") {
                Some(close) if inside.find("{{").is_none_or(|next| close < next) => {
                    self.keep_and_tell(open, open + 2 + close + 2, KeptWhy::NoPath);
                }
                _ => self.keep_and_tell(open, open + 2, KeptWhy::Unclosed),
            },
        }
        true
    }

    fn keep(&mut self, text: &str, end: usize) {
        self.literal.push_str(text);
        self.at = end;
    }

    fn keep_and_tell(&mut self, open: usize, end: usize, why: KeptWhy) {
        let shown = if why == KeptWhy::Unclosed { &self.text[open..] } else { &self.text[open..end] };
        self.template.kept.push(Kept { text: crate::text::cut(shown, 60).to_string(), at: open, why });
        self.literal.push_str(&self.text[open..end]);
        self.at = end;
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            self.template.pieces.push(Piece::Text(std::mem::take(&mut self.literal)));
        }
    }
}

/// The path at the beginning of `inside`, and how many bytes it takes with its closing braces.
fn path(inside: &str) -> Option<(Vec<String>, usize)> {
    let mut rest = inside.trim_start();
    let mut segments = Vec::new();
    loop {
        let (segment, after) = segment(rest)?;
        segments.push(segment.to_string());
        let Some(next) = after.strip_prefix('.') else {
            rest = after.trim_start().strip_prefix("}}")?;
            return Some((segments, inside.len() - rest.len()));
        };
        rest = next;
    }
}

fn segment(text: &str) -> Option<(&str, &str)> {
    let (segment, rest) = match text.strip_prefix('`') {
        Some(quoted) => quoted.split_once('`')?,
        None => text.split_at(text.bytes().position(|byte| !is_plain(byte)).unwrap_or(text.len())),
    };
    (!segment.is_empty()).then_some((segment, rest))
}
