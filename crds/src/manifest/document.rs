//! The places of the fields of one document.

/// A place in a file; both count from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line in the file.
    pub line: u32,
    /// Column in the line.
    pub column: u32,
}

/// One document with the place of every key and value.
#[derive(Clone, Debug)]
pub struct Document {}

impl Document {
    /// The place of the value at `pointer`, e.g. `/spec/flows/0/query` (JSON pointer); of the nearest parent if it is absent.
    pub fn position(&self, _pointer: &str) -> Position {
        Position { line: 1, column: 1 }
    }

    /// The text at `pointer` with the place of each of its characters.
    pub fn text(&self, _pointer: &str) -> Option<SourceText> {
        None
    }
}

/// A text of a manifest that knows where its characters stand in the file, whatever YAML style it is written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// The text.
    pub text: String,
}

impl SourceText {
    /// The place in the file of `line`:`column` of the text, all counted from 1.
    pub fn position(&self, line: u32, column: u32) -> Position {
        Position { line, column }
    }
}
