//! The places of the fields of one document, down to the characters of a text.

use std::sync::Arc;

use saphyr_parser::ScalarStyle;

use crate::{
    finding::Position,
    yaml::{Content, Node, ScalarSource},
};

/// One document with the place of every key and value.
#[derive(Clone, Debug)]
pub struct Document {
    root: Arc<Node>,
    source: Arc<[char]>,
}

impl Document {
    pub(crate) fn new(root: Node, source: Arc<[char]>) -> Self {
        Self { root: Arc::new(root), source }
    }

    /// The place of the value at `pointer`, e.g. `/spec/flows/0/query` (JSON pointer); of the nearest parent if it is absent.
    pub fn position(&self, pointer: &str) -> Position {
        let mut node = self.root.as_ref();
        for step in steps(pointer) {
            match child(node, &step) {
                Some(next) => node = next,
                None => break,
            }
        }
        node.position
    }

    /// The place of the key that leads to the value at `pointer`; of the nearest parent's value if it is absent.
    pub fn key_position(&self, pointer: &str) -> Position {
        let (parent, last) = pointer.rsplit_once('/').unwrap_or_default();
        let key = self.find(parent).and_then(|node| node.entry(&unescape(last)).map(|(key, _)| key.position));
        key.unwrap_or_else(|| self.position(pointer))
    }

    /// The text at `pointer` with the place of each of its characters.
    pub fn text(&self, pointer: &str) -> Option<SourceText> {
        let node = self.find(pointer)?;
        let text = node.as_text()?;
        Some(match node.scalar {
            Some(scalar) => SourceText::locate(text, &self.source, scalar, node.position),
            None => SourceText { text: text.to_string(), segments: vec![Segment { line: 1, column: 1, place: node.position }] },
        })
    }

    fn find(&self, pointer: &str) -> Option<&Node> {
        steps(pointer).try_fold(self.root.as_ref(), |node, step| child(node, &step))
    }
}

fn steps(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(unescape)
}

fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

fn child<'a>(node: &'a Node, step: &str) -> Option<&'a Node> {
    match &node.content {
        Content::List(items) => items.get(step.parse::<usize>().ok()?),
        _ => node.get(step),
    }
}

/// A text of a manifest that knows where its characters stand in the file, whatever YAML style it is written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// The text.
    pub text: String,
    /// Stretches that stand in the file as they are in the text, in the order of the text.
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    line: u32,
    column: u32,
    place: Position,
}

impl SourceText {
    /// The place in the file of `line`:`column` of the text, all counted from 1.
    pub fn position(&self, line: u32, column: u32) -> Position {
        let after = self.segments.partition_point(|segment| (segment.line, segment.column) <= (line, column));
        let Some(segment) = self.segments.get(after.saturating_sub(1)) else { return Position { line, column } };
        if segment.line == line {
            Position { line: segment.place.line, column: segment.place.column + column.saturating_sub(segment.column) }
        } else {
            segment.place
        }
    }

    /// Walks text and file side by side: blanks may differ (folding, indentation), everything else stands in both in the same order.
    fn locate(text: &str, source: &[char], scalar: ScalarSource, start: Position) -> Self {
        let mut cursor = Cursor { source, index: scalar.start, end: scalar.end.min(source.len()), place: start };
        if matches!(scalar.style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) {
            cursor.advance();
        }
        let mut segments: Vec<Segment> = Vec::new();
        let (mut line, mut column) = (1, 1);
        for character in text.chars() {
            if !character.is_whitespace()
                && let Some(place) = cursor.find(character, scalar.style)
            {
                let follows = segments.last().is_some_and(|last| {
                    last.line == line && last.place.line == place.line && last.place.column + (column - last.column) == place.column
                });
                if !follows {
                    segments.push(Segment { line, column, place });
                }
            }
            if character == '\n' {
                (line, column) = (line + 1, 1);
            } else {
                column += 1;
            }
        }
        if segments.is_empty() {
            segments.push(Segment { line: 1, column: 1, place: start });
        }
        Self { text: text.to_string(), segments }
    }
}

struct Cursor<'a> {
    source: &'a [char],
    index: usize,
    end: usize,
    place: Position,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<char> {
        self.source.get(self.index).copied().filter(|_| self.index < self.end)
    }

    fn advance(&mut self) {
        match self.source.get(self.index) {
            Some('\n') => self.place = Position { line: self.place.line + 1, column: 1 },
            _ => self.place.column += 1,
        }
        self.index += 1;
    }

    /// The place of the next character that stands for `wanted`, and steps behind it; `None` leaves the cursor where it is.
    fn find(&mut self, wanted: char, style: ScalarStyle) -> Option<Position> {
        loop {
            let character = self.peek()?;
            let place = self.place;
            if character.is_whitespace() {
                self.advance();
            } else if character == '\\' && style == ScalarStyle::DoubleQuoted {
                if self.skip_escape() {
                    return Some(place);
                }
            } else if character == wanted {
                self.advance();
                if wanted == '\'' && style == ScalarStyle::SingleQuoted {
                    self.advance();
                }
                return Some(place);
            } else {
                return None;
            }
        }
    }

    /// Steps behind an escape; true if it stands for a character that is not a blank.
    fn skip_escape(&mut self) -> bool {
        self.advance();
        let Some(code) = self.peek() else { return false };
        self.advance();
        let digits = match code {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        (0..digits).for_each(|_| self.advance());
        !matches!(code, 'n' | 't' | 'r' | ' ' | '\n' | '\t' | 'v' | 'f' | '_' | 'N' | 'L' | 'P')
    }
}
