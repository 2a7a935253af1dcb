//! Splits a file into statements before anything is substituted or parsed: strings, names in backticks and comments are skipped.

use std::ops::Range;

/// One statement of a file as byte ranges; the `;` is not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub range: Range<usize>,
    /// Comments within the range, in order.
    pub comments: Vec<Range<usize>>,
    /// First to last byte that is neither blank nor comment.
    pub code: Range<usize>,
    /// Where `range` begins.
    pub start: Place,
}

/// Line and column in a text, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub line: u32,
    pub column: u32,
}

impl Place {
    /// Where a text begins.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The place behind `text` that begins here.
    pub fn after(self, text: &str) -> Self {
        text.chars().fold(self, |place, character| match character {
            '\n' => Self { line: place.line + 1, column: 1 },
            _ => Self { column: place.column + 1, ..place },
        })
    }
}

/// True for a notebook exported as SQL.
pub(super) fn is_notebook(text: &str) -> bool {
    let first = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
    first.trim_end() == "-- Databricks notebook source"
}

/// True for the line between two cells of a notebook.
pub(super) fn is_cell_mark(line: &str) -> bool {
    line.trim_end().strip_prefix("-- COMMAND ").is_some_and(|rest| rest.starts_with("-----"))
}

/// The statements of a file, without those that hold nothing but comments.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut scanner =
        Scanner { text, notebook: is_notebook(text), pieces: Vec::new(), start: 0, place: Place::START, comments: Vec::new(), code: None };
    scanner.run();
    scanner.pieces
}

struct Scanner<'a> {
    text: &'a str,
    notebook: bool,
    pieces: Vec<Piece>,
    start: usize,
    /// Where `start` is.
    place: Place,
    comments: Vec<Range<usize>>,
    code: Option<Range<usize>>,
}

impl Scanner<'_> {
    fn run(&mut self) {
        let bytes = self.text.as_bytes();
        let mut at = if self.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        self.begin(at);
        while at < bytes.len() {
            let end = match (bytes[at], bytes.get(at + 1)) {
                (b'-', Some(b'-')) => self.line_comment(at),
                (b'/', Some(b'*')) => self.block_comment(at),
                (b'\'' | b'"' | b'`', _) => self.quoted(at),
                (b';', _) => {
                    self.finish(at, at + 1);
                    at + 1
                }
                (byte, _) => {
                    if !byte.is_ascii_whitespace() {
                        self.code(at..at + 1);
                    }
                    at + 1
                }
            };
            at = end;
        }
        self.finish(bytes.len(), bytes.len());
    }

    fn code(&mut self, range: Range<usize>) {
        self.code = Some(self.code.as_ref().map_or(range.start, |code| code.start)..range.end);
    }

    fn finish(&mut self, end: usize, next: usize) {
        let comments = std::mem::take(&mut self.comments);
        if let Some(code) = self.code.take() {
            self.pieces.push(Piece { range: self.start..end, comments, code, start: self.place });
        }
        self.begin(next);
    }

    fn begin(&mut self, at: usize) {
        self.place = self.place.after(&self.text[self.start..at]);
        self.start = at;
    }

    fn line_comment(&mut self, at: usize) -> usize {
        let end = self.text[at..].find('\n').map_or(self.text.len(), |length| at + length);
        if self.notebook && is_cell_mark(&self.text[at..end]) {
            self.finish(at, end);
        } else {
            self.comments.push(at..end);
        }
        end
    }

    /// Block comments nest.
    fn block_comment(&mut self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let (mut end, mut depth) = (at, 0_usize);
        while end < bytes.len() {
            match &bytes[end..] {
                [b'/', b'*', ..] => (depth, end) = (depth + 1, end + 2),
                [b'*', b'/', ..] => (depth, end) = (depth - 1, end + 2),
                _ => end += 1,
            }
            if depth == 0 {
                break;
            }
        }
        if depth == 0 {
            self.comments.push(at..end);
        } else {
            // A comment without an end is for the tokenizer to report.
            self.code(at..end);
        }
        end
    }

    fn quoted(&mut self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let quote = bytes[at];
        let mut end = at + 1;
        while end < bytes.len() && bytes[end] != quote {
            end += if bytes[end] == b'\\' && quote != b'`' { 2 } else { 1 };
        }
        let end = (end + 1).min(bytes.len());
        self.code(at..end);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<&str> {
        pieces(text).into_iter().map(|piece| &text[piece.code]).collect()
    }

    #[test]
    fn semicolons_in_strings_names_and_comments_do_not_end_a_statement() {
        let text = "SELECT ';\\';', \"a;b\", `c;d` -- e;f\n/* g; /* h */ ; */ FROM t;; -- nothing\n;SELECT 2";
        assert_eq!(codes(text), ["SELECT ';\\';', \"a;b\", `c;d` -- e;f\n/* g; /* h */ ; */ FROM t", "SELECT 2"]);
    }

    #[test]
    fn p101_notebook_cells_end_statements() {
        let text = "-- Databricks notebook source\n-- MAGIC %md hello\n\n-- COMMAND ----------\n\nSELECT 1\n\n-- COMMAND ----------\n-- DBTITLE 1,x\nSELECT 2";
        assert_eq!(codes(text), ["SELECT 1", "SELECT 2"]);
        assert_eq!(codes(&text.replace("notebook source", "file")).len(), 1);
    }

    #[test]
    fn unfinished_strings_and_comments_reach_the_end() {
        assert_eq!(codes("SELECT 'a;"), ["SELECT 'a;"]);
        assert_eq!(codes("SELECT 'a\\"), ["SELECT 'a\\"]);
        assert_eq!(codes("SELECT 1 /* a; "), ["SELECT 1 /* a; "]);
    }
}
