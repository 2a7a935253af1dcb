//! What stands in the parentheses behind a name: columns, expectations, constraints.

use floe_crds::state::ExpectationAction;
use sqlparser::tokenizer::Token;

use super::Statement;
use crate::{
    definition::{ClauseExpr, Column, Dataset, DatasetKind, Expectation, TableCheck, check_name},
    name::DatasetName,
    origin::Diagnostic,
};

/// What follows `ON VIOLATION`.
const ACTIONS: [(&[&str], ExpectationAction); 4] = [
    (&["DROP", "ROW"], ExpectationAction::Drop),
    (&["FAIL", "UPDATE"], ExpectationAction::Fail),
    (&["QUARANTINE", "ROW"], ExpectationAction::Quarantine),
    (&["WARN"], ExpectationAction::Warn),
];

/// What follows a key of one column. It is informational, all of it.
const KEY_OPTIONS: [&[&str]; 8] = [
    &["RELY"],
    &["NORELY"],
    &["NOT", "ENFORCED"],
    &["DEFERRABLE"],
    &["INITIALLY", "DEFERRED"],
    &["MATCH", "FULL"],
    &["ON", "UPDATE", "NO", "ACTION"],
    &["ON", "DELETE", "NO", "ACTION"],
];

impl Statement<'_> {
    /// `( element, … )`.
    pub(super) fn elements(&mut self, dataset: &mut Dataset) -> Result<(), Diagnostic> {
        self.cursor.expect_symbol(&Token::LParen)?;
        loop {
            self.element(dataset)?;
            if !self.cursor.take_symbol(&Token::Comma) {
                break;
            }
        }
        if self.cursor.take_symbol(&Token::RParen) {
            return Ok(());
        }
        self.cursor.expected("`,` or `)`")
    }

    fn element(&mut self, dataset: &mut Dataset) -> Result<(), Diagnostic> {
        let named = if self.cursor.is_word(0, "CONSTRAINT") { 2 } else { 0 };
        if let Some(wrong) = self.misspelt_expectation() {
            self.draft.findings.push(wrong);
            return self.expectation(dataset);
        }
        let is = |word: &str| self.cursor.is_word(named, word);
        if named > 0 && is("EXPECT") {
            return self.expectation(dataset);
        }
        if is("CHECK") && self.cursor.is_symbol(named + 1, &Token::LParen) {
            return self.check(dataset, named > 0);
        }
        if (is("PRIMARY") || is("FOREIGN")) && self.cursor.is_word(named + 1, "KEY") {
            self.cursor.skip(named);
            return self.key_constraint();
        }
        if named > 0 && self.cursor.peek(1).is_none_or(|next| !matches!(next, Token::Word(_))) {
            return self.cursor.expected("CONSTRAINT name EXPECT (…)");
        }
        let column = self.column()?;
        if dataset.kind == DatasetKind::View {
            let message = "a view takes no list of columns";
            return Err(Diagnostic::error("PARSE_SYNTAX_ERROR", message).help("name the columns in the query").at(&column.origin));
        }
        dataset.columns.get_or_insert_default().push(column);
        Ok(())
    }

    /// `CONSTRANT c EXPECT (` or `CONSTRAINT c EXPEC (`.
    fn misspelt_expectation(&self) -> Option<Diagnostic> {
        let is_named = matches!(self.cursor.peek(1), Some(Token::Word(_))) && self.cursor.is_symbol(3, &Token::LParen);
        let words = [self.cursor.is_word(0, "CONSTRAINT"), self.cursor.is_word(2, "EXPECT")];
        match words {
            [true, false] if is_named => self.misspelt_at(2, "EXPECT"),
            [false, true] if is_named => self.misspelt_at(0, "CONSTRAINT"),
            _ => None,
        }
    }

    /// `[CONSTRAINT name] CHECK (predicate)`.
    fn check(&mut self, dataset: &mut Dataset, is_named: bool) -> Result<(), Diagnostic> {
        let origin = self.cursor.origin();
        let name = if is_named {
            self.cursor.skip(1);
            self.cursor.ident("the name of the constraint")?
        } else {
            check_name(dataset.checks.len() + 1)
        };
        if !matches!(dataset.kind, DatasetKind::StreamingTable | DatasetKind::MaterializedView) {
            let message = format!("CHECK {name} stands on a view, which stores no rows");
            let help = "put it on the table that is made of the view, or use CONSTRAINT name EXPECT (…)";
            return Err(Diagnostic::error("CHECK_NOT_ALLOWED", message).help(help).at(&origin));
        }
        self.cursor.skip(1);
        let predicate = self.in_parentheses()?;
        dataset.checks.push(TableCheck { name, predicate, origin });
        Ok(())
    }

    /// `( expr )`.
    fn in_parentheses(&mut self) -> Result<ClauseExpr, Diagnostic> {
        self.cursor.expect_symbol(&Token::LParen)?;
        let origin = self.cursor.origin();
        let (expr, text) = self.cursor.expression()?;
        self.cursor.expect_symbol(&Token::RParen)?;
        Ok(ClauseExpr { expr, text, origin })
    }

    /// Informational: read and forgotten.
    fn key_constraint(&mut self) -> Result<(), Diagnostic> {
        let is_foreign = self.cursor.is_word(0, "FOREIGN");
        self.cursor.skip(2);
        self.cursor.idents("the name of a column")?;
        if is_foreign {
            self.referenced()?;
        }
        while matches!(self.cursor.peek(0), Some(Token::Word(_))) {
            self.cursor.skip(1);
        }
        Ok(())
    }

    /// `REFERENCES table [(columns)]`.
    fn referenced(&mut self) -> Result<(), Diagnostic> {
        self.cursor.expect(&["REFERENCES"])?;
        self.cursor.name("the name of a table")?;
        if self.cursor.is_symbol(0, &Token::LParen) {
            self.cursor.idents("the name of a column")?;
        }
        Ok(())
    }

    /// `CONSTRAINT name EXPECT (predicate) [ON VIOLATION action]`.
    fn expectation(&mut self, dataset: &mut Dataset) -> Result<(), Diagnostic> {
        let origin = self.cursor.origin();
        self.cursor.skip(1);
        let name = self.cursor.ident("the name of the expectation")?;
        if dataset.kind == DatasetKind::View {
            let message = format!("expectation {name} stands on a view, which has no rows of its own");
            let help = "use CREATE TEMPORARY VIEW, or put the expectation on a table or materialized view";
            return Err(Diagnostic::error("EXPECTATION_NOT_ALLOWED", message).help(help).at(&origin));
        }
        self.cursor.skip(1);
        self.cursor.expect_symbol(&Token::LParen)?;
        let (expr, text) = self.cursor.expression()?;
        self.cursor.expect_symbol(&Token::RParen)?;
        let (action, quarantine_into) = if self.on_violation() { self.action()? } else { (ExpectationAction::Warn, None) };
        dataset.expectations.push(Expectation { name, expr, text, action, quarantine_into, origin });
        Ok(())
    }

    fn on_violation(&mut self) -> bool {
        let words: &[&str] = &["ON", "VIOLATION"];
        self.cursor.take(words) || self.take_misspelt(&[words]).is_some()
    }

    fn action(&mut self) -> Result<(ExpectationAction, Option<DatasetName>), Diagnostic> {
        let origin = self.cursor.origin();
        let exact = ACTIONS.iter().position(|(words, _)| self.cursor.take(words));
        let found = exact.or_else(|| self.take_misspelt(&ACTIONS.map(|(words, _)| words)));
        let Some((_, action)) = found.map(|at| ACTIONS[at]) else {
            return self.cursor.expected("DROP ROW, FAIL UPDATE or QUARANTINE ROW");
        };
        if action == ExpectationAction::Warn {
            let found = Diagnostic::lint("W004", "ON VIOLATION WARN is what happens anyway").help("leave it out");
            self.lint(found, &origin);
        }
        if action != ExpectationAction::Quarantine {
            return Ok((action, None));
        }
        let into = if self.cursor.take(&["INTO"]) { Some(self.cursor.name("the name of the quarantine table")?) } else { None };
        Ok((ExpectationAction::Quarantine, into.map(|name| name.resolve(self.namespace))))
    }

    /// `name [type] { property }`.
    fn column(&mut self) -> Result<Column, Diagnostic> {
        let origin = self.cursor.origin();
        let name = self.cursor.ident("a column, an expectation or a constraint")?;
        let data_type = self.data_type()?;
        let mut column = Column { name, data_type, nullable: true, comment: None, generated: None, origin };
        while self.column_property(&mut column)? {}
        Ok(column)
    }

    fn column_property(&mut self, column: &mut Column) -> Result<bool, Diagnostic> {
        let origin = self.cursor.origin();
        if self.cursor.take(&["NOT", "NULL"]) {
            column.nullable = false;
        } else if self.cursor.take(&["COMMENT"]) {
            column.comment = Some(self.cursor.string("a comment as a string")?);
        } else if self.cursor.is_word(0, "CONSTRAINT") && self.cursor.is_word(2, "PRIMARY") {
            self.cursor.skip(2);
        } else if self.cursor.take(&["PRIMARY", "KEY"]) {
            while KEY_OPTIONS.iter().any(|words| self.cursor.take(words)) {}
        } else if self.cursor.is_word(0, "REFERENCES") || self.cursor.take(&["FOREIGN", "KEY"]) {
            self.referenced()?;
            while KEY_OPTIONS.iter().any(|words| self.cursor.take(words)) {}
        } else if let Some(word) = ["CHECK", "EXPECT"].iter().find(|word| self.cursor.is_word(0, word)) {
            let error = Diagnostic::error("PARSE_SYNTAX_ERROR", format!("{word} does not stand behind a column"));
            let help = format!("write it as an element of its own, behind a comma: CONSTRAINT name {word} (…)");
            return Err(error.help(help).at(&origin));
        } else if self.cursor.is_next(&["GENERATED", "ALWAYS", "AS"]) && self.cursor.is_symbol(3, &Token::LParen) {
            self.cursor.skip(3);
            column.generated = Some(self.in_parentheses()?);
        } else if let Some(word) = ["GENERATED", "DEFAULT", "MASK", "COLLATE"].iter().find(|word| self.cursor.is_word(0, word)) {
            let feature = if *word == "GENERATED" { "GENERATED … AS IDENTITY" } else { *word };
            self.draft.findings.push(Diagnostic::not_supported(&format!("{feature} of a column")).at(&origin));
            self.skip_property()?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Moves to the end of the element.
    fn skip_property(&mut self) -> Result<(), Diagnostic> {
        while !self.cursor.is_at_end() && !self.cursor.is_symbol(0, &Token::Comma) && !self.cursor.is_symbol(0, &Token::RParen) {
            if self.cursor.is_symbol(0, &Token::LParen) {
                self.balanced()?;
            } else {
                self.cursor.skip(1);
            }
        }
        Ok(())
    }

    /// The text of a type; what it means is for `analysis::ddl` to say.
    fn data_type(&mut self) -> Result<Option<String>, Diagnostic> {
        const PROPERTIES: [&str; 12] = [
            "NOT",
            "COMMENT",
            "PRIMARY",
            "FOREIGN",
            "REFERENCES",
            "GENERATED",
            "DEFAULT",
            "MASK",
            "CONSTRAINT",
            "CHECK",
            "EXPECT",
            "COLLATE",
        ];
        let from = self.cursor.at();
        let mut depth = 0_i64;
        while let Some(token) = self.cursor.peek(0) {
            match token {
                Token::Comma | Token::RParen if depth <= 0 => break,
                Token::Word(_) if depth <= 0 && PROPERTIES.iter().any(|word| self.cursor.is_word(0, word)) => break,
                Token::Lt | Token::LParen => depth += 1,
                Token::Gt | Token::RParen => depth -= 1,
                Token::ShiftRight => depth -= 2,
                // `STRUCT<>` is one token.
                Token::Neq | Token::Word(_) | Token::Number(..) | Token::Comma | Token::Colon | Token::SingleQuotedString(_) => {}
                _ => return self.cursor.expected("the type of a column"),
            }
            self.cursor.skip(1);
        }
        let text = self.cursor.text_since(from);
        Ok((!text.is_empty()).then_some(text))
    }

    /// Moves over `( … )`.
    pub(super) fn balanced(&mut self) -> Result<(), Diagnostic> {
        self.cursor.expect_symbol(&Token::LParen)?;
        let mut depth = 1_usize;
        while depth > 0 {
            match self.cursor.peek(0) {
                Some(Token::LParen) => depth += 1,
                Some(Token::RParen) => depth -= 1,
                Some(_) => {}
                None => return self.cursor.expected("`)`"),
            }
            self.cursor.skip(1);
        }
        Ok(())
    }
}
