//! `CREATE SINK name [COMMENT text] OPTIONS (format => 'delta', path => …)`.

use sqlparser::tokenizer::Token;

use super::Statement;
use crate::{definition::sink::WrittenSink, origin::Diagnostic};

impl Statement<'_> {
    /// What follows `CREATE SINK`.
    pub(super) fn create_sink(&mut self) -> Result<(), Diagnostic> {
        let written = self.cursor.name("the name of a sink")?;
        if written.parts.len() > 1 {
            let message = format!("the name of sink `{}` has more than one part", written.parts.join("."));
            return Err(Diagnostic::error("PARSE_SYNTAX_ERROR", message)
                .help("a sink belongs to the pipeline, not to a schema: write its name alone")
                .at(&written.origin));
        }
        let name = self.declare(&written);
        let comment = if self.cursor.take(&["COMMENT"]) { Some(self.cursor.string("a comment as a string")?) } else { None };
        self.cursor.expect(&["OPTIONS"])?;
        self.cursor.expect_symbol(&Token::LParen)?;
        let mut options = Vec::new();
        loop {
            let origin = self.cursor.origin();
            let key = match self.cursor.peek(0) {
                Some(Token::SingleQuotedString(_)) => self.cursor.string("the name of an option")?,
                _ => self.cursor.ident("the name of an option")?,
            };
            if !self.cursor.take_symbol(&Token::RArrow) {
                self.cursor.expect_symbol(&Token::Eq)?;
            }
            options.push((key, self.cursor.string("the value of the option as a string")?, origin));
            if !self.cursor.take_symbol(&Token::Comma) {
                break;
            }
        }
        self.cursor.expect_symbol(&Token::RParen)?;
        self.cursor.expect_end()?;
        match (WrittenSink { name, comment, options, origin: written.origin }).dataset() {
            Ok(dataset) => self.draft.datasets.push(dataset),
            Err(errors) => self.draft.findings.extend(errors),
        }
        Ok(())
    }
}
