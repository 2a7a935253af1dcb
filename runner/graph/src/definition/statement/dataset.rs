//! Streaming tables, materialized views and views: name, elements, clauses, and the query or flow behind them.

use std::collections::BTreeMap;

use sqlparser::tokenizer::Token;

use super::Statement;
use crate::{
    definition::{Dataset, DatasetKind, Flow, FlowKind, RefreshPolicy, properties},
    name::DatasetName,
    origin::{Diagnostic, Origin},
};

/// What the words before the name said.
pub(super) struct Shape {
    pub kind: DatasetKind,
    pub private: bool,
    pub is_legacy: bool,
}

impl Shape {
    fn is_view(&self) -> bool {
        matches!(self.kind, DatasetKind::TemporaryView | DatasetKind::View)
    }

    fn words(&self) -> &'static str {
        match self.kind {
            DatasetKind::StreamingTable => "streaming table",
            DatasetKind::MaterializedView => "materialized view",
            DatasetKind::TemporaryView => "temporary view",
            DatasetKind::View => "view",
            DatasetKind::External => "external table",
            DatasetKind::Sink => "sink",
        }
    }
}

impl Statement<'_> {
    /// Everything from `IF NOT EXISTS` to the end of the statement.
    pub(super) fn dataset(&mut self, shape: &Shape) -> Result<(), Diagnostic> {
        self.cursor.take(&["IF", "NOT", "EXISTS"]);
        let written = self.cursor.name("a name")?;
        let name = self.declare(&written);
        if shape.kind == DatasetKind::TemporaryView && written.parts.len() > 1 {
            let message = format!("temporary view `{}` has more than one name part", written.parts.join("."));
            return Err(Diagnostic::error("TEMP_VIEW_NAME_TOO_MANY_NAME_PARTS", message)
                .help("a temporary view belongs to the pipeline, not to a schema: write its name alone")
                .at(&written.origin));
        }
        let mut dataset = Dataset {
            name: name.clone(),
            kind: shape.kind,
            private: shape.private,
            columns: None,
            expectations: Vec::new(),
            checks: Vec::new(),
            partition_by: Vec::new(),
            cluster_by: Vec::new(),
            comment: None,
            properties: BTreeMap::new(),
            refresh_policy: RefreshPolicy::Auto,
            location: None,
            origin: written.origin.clone(),
        };
        if self.cursor.is_symbol(0, &Token::LParen) && !self.is_missing_as() {
            self.elements(&mut dataset)?;
        }
        self.clauses(shape, &mut dataset)?;
        let flow = self.tail(shape, &name, &written.origin)?;
        self.draft.datasets.push(dataset);
        self.draft.flows.extend(flow);
        Ok(())
    }

    /// `name (SELECT …)`: a query in parentheses without AS.
    fn is_missing_as(&self) -> bool {
        self.cursor.is_word(1, "SELECT") || self.cursor.is_word(1, "WITH") || self.cursor.is_symbol(1, &Token::LParen)
    }

    fn clauses(&mut self, shape: &Shape, dataset: &mut Dataset) -> Result<(), Diagnostic> {
        let mut seen: Vec<&str> = Vec::new();
        loop {
            let origin = self.cursor.origin();
            let Some(clause) = self.clause(shape, dataset)? else { break };
            if seen.contains(&clause) {
                return Err(Diagnostic::error("PARSE_SYNTAX_ERROR", format!("{clause} is given twice")).at(&origin));
            }
            let allowed = !shape.is_view() || ["COMMENT", "TBLPROPERTIES"].contains(&clause);
            if !allowed {
                let message = format!("{clause} is not allowed on a {}", shape.words());
                return Err(Diagnostic::error("PARSE_SYNTAX_ERROR", message).at(&origin));
            }
            seen.push(clause);
        }
        if seen.contains(&"PARTITIONED BY") && seen.contains(&"CLUSTER BY") {
            let message = format!("{} has both partition and clustering columns", dataset.name.name);
            let found = Diagnostic::error("SPECIFY_CLUSTER_BY_WITH_PARTITIONED_BY_IS_NOT_ALLOWED", message).help("keep one of them");
            self.draft.findings.push(found.at(&dataset.origin));
        }
        Ok(())
    }

    /// Reads one clause and returns its first words; `None` if none stands here.
    fn clause(&mut self, shape: &Shape, dataset: &mut Dataset) -> Result<Option<&'static str>, Diagnostic> {
        let origin = self.cursor.origin();
        if self.cursor.take(&["USING"]) {
            self.using()?;
            return Ok(Some("USING"));
        }
        if self.cursor.take(&["PARTITIONED", "BY"]) {
            dataset.partition_by = self.cursor.idents("the name of a column")?;
            return Ok(Some("PARTITIONED BY"));
        }
        if self.cursor.take(&["CLUSTER", "BY"]) {
            if !self.cursor.take(&["AUTO"]) && !self.cursor.take(&["NONE"]) {
                dataset.cluster_by = self.cursor.idents("the name of a column")?;
            }
            return Ok(Some("CLUSTER BY"));
        }
        if self.cursor.take(&["COMMENT"]) {
            dataset.comment = Some(self.cursor.string("a comment as a string")?);
            return Ok(Some("COMMENT"));
        }
        if self.cursor.take(&["TBLPROPERTIES"]) {
            dataset.properties = self.properties(shape)?;
            return Ok(Some("TBLPROPERTIES"));
        }
        if self.cursor.take(&["LOCATION"]) {
            self.cursor.string("a location as a string")?;
            let message = format!("the location of {} is derived from spec.storage.uri", dataset.name.name);
            let help = "leave LOCATION out; a table that the pipeline only reads is a Table manifest of type External";
            self.draft.findings.push(Diagnostic::error("LOCATION_NOT_ALLOWED", message).help(help).at(&origin));
            return Ok(Some("LOCATION"));
        }
        if self.cursor.is_next(&["WITH", "ROW", "FILTER"]) {
            self.draft.findings.push(Diagnostic::not_supported("WITH ROW FILTER").at(&origin));
            self.cursor.skip(3);
            self.cursor.name("the name of a function")?;
            self.cursor.expect(&["ON"])?;
            self.balanced()?;
            return Ok(Some("WITH ROW FILTER"));
        }
        if shape.kind == DatasetKind::MaterializedView && self.cursor.take(&["REFRESH", "POLICY"]) {
            dataset.refresh_policy = self.policy()?;
            return Ok(Some("REFRESH POLICY"));
        }
        if self.cursor.is_word(0, "SCHEDULE") || self.cursor.is_next(&["TRIGGER", "ON"]) {
            let help = "start updates with a schedule of the Pipeline or of a Job";
            return Err(Diagnostic::not_supported("SCHEDULE of a dataset").help(help).at(&origin));
        }
        Ok(None)
    }

    fn using(&mut self) -> Result<(), Diagnostic> {
        if self.cursor.take(&["DELTA"]) {
            return Ok(());
        }
        let found = self.cursor.found();
        let message = format!("expected USING DELTA, found {found}");
        Err(self.cursor.error("PARSE_SYNTAX_ERROR", message).help("all tables are Delta tables: leave the clause out"))
    }

    fn policy(&mut self) -> Result<RefreshPolicy, Diagnostic> {
        if self.cursor.take(&["AUTO"]) {
            Ok(RefreshPolicy::Auto)
        } else if self.cursor.take(&["FULL"]) {
            Ok(RefreshPolicy::Full)
        } else if self.cursor.take(&["INCREMENTAL", "STRICT"]) {
            Ok(RefreshPolicy::IncrementalStrict)
        } else if self.cursor.take(&["INCREMENTAL"]) {
            Ok(RefreshPolicy::Incremental)
        } else {
            self.cursor.expected("AUTO, INCREMENTAL [STRICT] or FULL")
        }
    }

    /// `( key = value, … )`; keys are strings or dotted names, the `=` may be missing.
    fn properties(&mut self, shape: &Shape) -> Result<BTreeMap<String, String>, Diagnostic> {
        self.cursor.expect_symbol(&Token::LParen)?;
        let mut out = BTreeMap::new();
        loop {
            let origin = self.cursor.origin();
            let key = self.property_key()?;
            self.cursor.take_symbol(&Token::Eq);
            let value = self.property_value(&key)?;
            for found in properties::table_property(&key, &value, shape.kind) {
                self.lint(found, &origin);
            }
            if out.keys().any(|known: &String| known.eq_ignore_ascii_case(&key)) {
                return Err(Diagnostic::error("DUPLICATE_KEY", format!("property {key} is given twice")).at(&origin));
            }
            out.insert(key, value);
            if !self.cursor.take_symbol(&Token::Comma) {
                break;
            }
        }
        self.cursor.expect_symbol(&Token::RParen)?;
        Ok(out)
    }

    fn property_key(&mut self) -> Result<String, Diagnostic> {
        if let Some(Token::SingleQuotedString(key)) = self.cursor.peek(0).cloned() {
            self.cursor.skip(1);
            return Ok(key);
        }
        let mut key = self.cursor.ident("the key of a property")?;
        while self.cursor.take_symbol(&Token::Period) {
            key.push('.');
            key.push_str(&self.cursor.ident("the key of a property")?);
        }
        Ok(key)
    }

    fn property_value(&mut self, key: &str) -> Result<String, Diagnostic> {
        let sign = if self.cursor.take_symbol(&Token::Minus) { "-" } else { "" };
        let value = match self.cursor.peek(0) {
            Some(Token::SingleQuotedString(value)) if sign.is_empty() => value.clone(),
            Some(Token::Number(value, _)) => format!("{sign}{value}"),
            Some(Token::Word(word)) if sign.is_empty() && ["true", "false"].contains(&word.value.to_lowercase().as_str()) => {
                word.value.to_lowercase()
            }
            _ => return self.cursor.expected(&format!("a string, number or boolean as the value of {key}")),
        };
        self.cursor.skip(1);
        Ok(value)
    }

    /// The error for a word that begins no clause.
    fn no_clause<T>(&self, is_table: bool) -> Result<T, Diagnostic> {
        let clauses = ["PARTITIONED", "CLUSTER", "COMMENT", "TBLPROPERTIES", "REFRESH", "SELECT", "FLOW"];
        if let Some(wrong) = clauses.iter().find_map(|clause| self.misspelt_at(0, clause)) {
            return Err(wrong);
        }
        self.cursor.expected(if is_table { "AS, FLOW or another clause" } else { "AS or another clause" })
    }

    /// The query or flow of a dataset.
    fn tail(&mut self, shape: &Shape, name: &DatasetName, place: &Origin) -> Result<Option<Flow>, Diagnostic> {
        let is_table = shape.kind == DatasetKind::StreamingTable;
        if is_table && self.cursor.is_at_end() {
            return Ok(None);
        }
        if is_table && self.cursor.take(&["FLOW"]) {
            return self.inline_flow(name, place).map(Some);
        }
        let origin = self.cursor.origin();
        if !self.cursor.take(&["AS"]) {
            if !self.cursor.is_query() || shape.is_view() && !shape.is_legacy {
                return self.no_clause(is_table);
            }
            let found = Diagnostic::lint("W001", "a query without AS is legacy syntax").help("write AS before the query");
            self.lint(found, &origin);
        }
        if !self.cursor.is_query() {
            return self.cursor.expected("a query");
        }
        let query = self.cursor.query(self.namespace)?;
        let kind = match shape.kind {
            DatasetKind::StreamingTable => FlowKind::Append,
            DatasetKind::MaterializedView => FlowKind::Complete,
            _ => FlowKind::View,
        };
        Ok(Some(self.flow_of_dataset(name, kind, query, place.clone())))
    }
}
