//! The clauses of `AUTO CDC`.

use sqlparser::tokenizer::Token;

use super::Statement;
use crate::{
    definition::{AutoCdc, ClauseExpr, ColumnName, ColumnSelection, Query},
    origin::Diagnostic,
};

impl Statement<'_> {
    /// Everything from `FROM` to the end of the statement.
    pub(super) fn auto_cdc(&mut self, once: bool) -> Result<(AutoCdc, Query), Diagnostic> {
        let start = self.cursor.origin();
        self.cursor.expect(&["FROM"])?;
        let snapshot = self.cursor.take(&["SNAPSHOT"]);
        let query = self.source(!snapshot && !once)?;
        self.cursor.expect(&["KEYS"])?;
        let keys = self.key_expressions()?;
        let mut cdc = AutoCdc {
            keys,
            sequence_by: None,
            apply_as_delete_when: None,
            apply_as_truncate_when: None,
            ignore_null_updates: None,
            columns: None,
            scd_type: 1,
            track_history: None,
            snapshot,
            once,
        };
        let mut seen: Vec<&str> = Vec::new();
        while !self.cursor.is_at_end() {
            let origin = self.cursor.origin();
            let clause = self.cdc_clause(&mut cdc)?;
            if seen.contains(&clause) {
                return Err(Diagnostic::error("PARSE_SYNTAX_ERROR", format!("{clause} is given twice")).at(&origin));
            }
            if snapshot && !["COLUMNS", "STORED AS", "TRACK HISTORY ON"].contains(&clause) {
                return Err(Diagnostic::error("PARSE_SYNTAX_ERROR", format!("{clause} is not allowed with FROM SNAPSHOT")).at(&origin));
            }
            seen.push(clause);
        }
        if !snapshot && cdc.sequence_by.is_none() {
            let help = "add SEQUENCE BY with the column that orders the events of a key";
            return Err(Diagnostic::error("PARSE_SYNTAX_ERROR", "AUTO CDC needs SEQUENCE BY").help(help).at(&start));
        }
        Ok((cdc, query))
    }

    /// The source up to `KEYS`, as a query; a name alone is read as a stream.
    fn source(&mut self, streaming: bool) -> Result<Query, Diagnostic> {
        let from = self.cursor.at();
        let mut depth = 0_usize;
        while !self.cursor.is_at_end() && (depth > 0 || !self.cursor.is_word(0, "KEYS")) {
            match self.cursor.peek(0) {
                Some(Token::LParen) => depth += 1,
                Some(Token::RParen) => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.cursor.skip(1);
        }
        if self.cursor.is_at_end() {
            return self.cursor.expected("KEYS (…)");
        }
        let to = self.cursor.at();
        self.cursor.select_all(from, to, streaming, self.namespace)
    }

    /// `( e, … )`.
    fn key_expressions(&mut self) -> Result<Vec<ClauseExpr>, Diagnostic> {
        self.cursor.expect_symbol(&Token::LParen)?;
        let mut out = vec![self.clause_expr()?];
        while self.cursor.take_symbol(&Token::Comma) {
            out.push(self.clause_expr()?);
        }
        self.cursor.expect_symbol(&Token::RParen)?;
        Ok(out)
    }

    fn clause_expr(&mut self) -> Result<ClauseExpr, Diagnostic> {
        let origin = self.cursor.origin();
        let (expr, text) = self.cursor.expression()?;
        Ok(ClauseExpr { expr, text, origin })
    }

    /// Reads one clause and returns its first words.
    fn cdc_clause(&mut self, cdc: &mut AutoCdc) -> Result<&'static str, Diagnostic> {
        let origin = self.cursor.origin();
        if self.cursor.take(&["IGNORE", "NULL", "UPDATES"]) {
            let all = ColumnSelection::Except(Vec::new());
            cdc.ignore_null_updates = Some(if self.cursor.take(&["ON"]) { self.columns_or_none()? } else { all });
            return Ok("IGNORE NULL UPDATES");
        }
        if self.cursor.take(&["APPLY", "AS", "DELETE", "WHEN"]) {
            cdc.apply_as_delete_when = Some(self.clause_expr()?);
            return Ok("APPLY AS DELETE WHEN");
        }
        if self.cursor.take(&["APPLY", "AS", "TRUNCATE", "WHEN"]) {
            cdc.apply_as_truncate_when = Some(self.clause_expr()?);
            return Ok("APPLY AS TRUNCATE WHEN");
        }
        if self.cursor.is_next(&["SYSTEM", "SEQUENCE", "BY"]) {
            return Err(Diagnostic::not_supported("SYSTEM SEQUENCE BY").at(&origin));
        }
        if self.cursor.take(&["SEQUENCE", "BY"]) {
            cdc.sequence_by = Some(self.clause_expr()?);
            return Ok("SEQUENCE BY");
        }
        if self.cursor.take(&["COLUMNS"]) {
            cdc.columns = Some(self.columns()?);
            return Ok("COLUMNS");
        }
        if self.cursor.take(&["STORED", "AS"]) {
            cdc.scd_type = self.scd_type()?;
            return Ok("STORED AS");
        }
        if self.cursor.take(&["TRACK", "HISTORY", "ON"]) {
            cdc.track_history = Some(self.columns()?);
            return Ok("TRACK HISTORY ON");
        }
        self.cursor.expected("a clause of AUTO CDC")
    }

    fn scd_type(&mut self) -> Result<u8, Diagnostic> {
        if self.cursor.is_word(0, "BITEMPORAL") {
            return Err(Diagnostic::not_supported("STORED AS BITEMPORAL").at(&self.cursor.origin()));
        }
        self.cursor.expect(&["SCD", "TYPE"])?;
        let scd_type = match self.cursor.peek(0) {
            Some(Token::Number(number, _)) if number == "1" => 1,
            Some(Token::Number(number, _)) if number == "2" => 2,
            _ => return self.cursor.expected("1 or 2"),
        };
        self.cursor.skip(1);
        Ok(scd_type)
    }

    /// `a, b`, `(a, b)` or `* EXCEPT (a, b)`.
    fn columns(&mut self) -> Result<ColumnSelection, Diagnostic> {
        let selection = self.columns_or_none()?;
        if selection.named().is_empty() {
            return self.cursor.expected("a list that names a column before this");
        }
        Ok(selection)
    }

    /// The same, or a list of no column.
    fn columns_or_none(&mut self) -> Result<ColumnSelection, Diagnostic> {
        if self.cursor.take_symbol(&Token::Mul) {
            self.cursor.expect(&["EXCEPT"])?;
            return self.column_list().map(ColumnSelection::Except);
        }
        if self.cursor.is_symbol(0, &Token::LParen) {
            return self.column_list().map(ColumnSelection::Only);
        }
        self.column_names().map(ColumnSelection::Only)
    }

    /// `( a, b, … )` or `()`.
    fn column_list(&mut self) -> Result<Vec<ColumnName>, Diagnostic> {
        self.cursor.expect_symbol(&Token::LParen)?;
        if self.cursor.take_symbol(&Token::RParen) {
            return Ok(Vec::new());
        }
        let names = self.column_names()?;
        self.cursor.expect_symbol(&Token::RParen)?;
        Ok(names)
    }

    fn column_names(&mut self) -> Result<Vec<ColumnName>, Diagnostic> {
        let mut names = vec![self.column_name()?];
        while self.cursor.take_symbol(&Token::Comma) {
            names.push(self.column_name()?);
        }
        Ok(names)
    }

    fn column_name(&mut self) -> Result<ColumnName, Diagnostic> {
        let origin = self.cursor.origin();
        Ok(ColumnName { name: self.cursor.ident("the name of a column")?, origin })
    }
}
