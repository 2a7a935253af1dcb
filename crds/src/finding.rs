//! What is wrong with a manifest, and where.

/// A place in a file; both count from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line in the file.
    pub line: u32,
    /// Column in the line.
    pub column: u32,
}

/// One thing that is wrong with a manifest; `line` and `column` count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Error class, e.g. `MANIFEST_UNKNOWN_KEY`.
    pub class: &'static str,
    /// What is wrong, lower case, without a final dot.
    pub message: String,
    /// Line in the file.
    pub line: u32,
    /// Column in the line, in characters.
    pub column: u32,
    /// What to do.
    pub help: Option<String>,
}

impl Finding {
    /// A finding of `class` at `position`.
    pub(crate) fn new(class: &'static str, message: impl Into<String>, position: Position) -> Self {
        Self { class, message: message.into(), line: position.line, column: position.column, help: None }
    }

    /// The same finding, with what to do.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}
