//! Reads tokens one after another, before the parser does.

use std::sync::Arc;

use sqlparser::tokenizer::Token;

use super::tokens::Piece;
use crate::origin::{Diagnostic, Origin};

/// Reads tokens one after another.
pub(super) struct Reader<'a, 'f> {
    pub pieces: &'a [Piece],
    pub at: usize,
    pub file: &'a Arc<str>,
    pub end: &'a Origin,
    pub findings: &'f mut Vec<Diagnostic>,
}

impl Reader<'_, '_> {
    pub fn peek(&self, ahead: usize) -> Option<&Piece> {
        self.pieces.get(self.at + ahead)
    }

    pub fn next(&mut self) -> Option<Piece> {
        let piece = self.peek(0).cloned();
        self.at += 1;
        piece
    }

    pub fn is_word(&self, ahead: usize, word: &str) -> bool {
        self.peek(ahead).is_some_and(|piece| piece.is_word(word))
    }

    pub fn is(&self, ahead: usize, token: &Token) -> bool {
        self.peek(ahead).is_some_and(|piece| piece.token == *token)
    }

    pub fn origin(&self) -> Origin {
        self.peek(0).map_or_else(|| self.end.clone(), |piece| self.origin_of(piece))
    }

    pub fn take(&mut self, token: &Token) -> Option<Piece> {
        if self.is(0, token) { self.next() } else { None }
    }

    pub fn expected<T>(&self, what: &str) -> Result<T, Diagnostic> {
        let found = self.peek(0).map_or_else(|| "the end of the statement".to_string(), |piece| format!("`{}`", piece.token));
        Err(Diagnostic::error("PARSE_SYNTAX_ERROR", format!("expected {what}, found {found}")).at(&self.origin()))
    }

    /// Leaves `LIVE.` out, with a lint.
    pub fn skip_live(&mut self) {
        let found = Diagnostic::lint("W001", "LIVE. is legacy syntax").help("write the name without it");
        self.findings.push(found.at(&self.origin()));
        self.at += 2;
    }

    /// Notes that `feature`, which stands here, is not there yet.
    pub fn refuse(&mut self, feature: &str) {
        self.findings.push(Diagnostic::not_supported(feature).at(&self.origin()));
    }

    /// The same, with what to do instead.
    pub fn refuse_but(&mut self, feature: &str, help: &str) {
        self.findings.push(Diagnostic::not_supported(feature).at(&self.origin()).help(help));
    }

    /// Moves behind the last token.
    pub fn skip_all(&mut self) {
        self.at = self.pieces.len();
    }

    /// Where a token stands.
    pub fn origin_of(&self, piece: &Piece) -> Origin {
        Origin::new(self.file.clone(), piece.span.start.line as u32, piece.span.start.column as u32)
    }
}
