//! Statements that only read: those of `floe sql` and of the tasks of Jobs, one after the other.

use std::collections::BTreeMap;

use sqlparser::{ast::SetExpr, tokenizer::Token};

use super::{
    Configuration, Query, SourceFile,
    cursor::Cursor,
    notebook, properties,
    relations::Versions,
    scan,
    statement::{cursor_of, is_set, set_of, undefined_keys, without_errors},
    substitute::{Placed, substitute},
};
use crate::{
    name::Namespace,
    origin::{Diagnostic, Origin, Severity},
};

/// One statement that only reads.
#[derive(Clone, Debug)]
pub struct Reading {
    /// What it asks for.
    pub kind: ReadingKind,
    /// Settings of SQL that `SET` has put in force before it.
    pub settings: BTreeMap<String, String>,
    /// Where it begins.
    pub origin: Origin,
}

/// What a statement asks for.
#[derive(Clone, Debug)]
pub enum ReadingKind {
    /// Rows.
    Query(Query),
    /// The plan of a query.
    Explain(Query),
    /// Names, types and comments of the columns of a query or table.
    Describe(Query),
    /// The columns of a table; the query reads all of it.
    DescribeTable(Query),
    /// Names of the columns of a table.
    ShowColumns(Query),
    /// Tables and views.
    ShowTables(ShowTables),
    /// Schemas.
    ShowSchemas {
        /// Which names.
        pattern: Option<String>,
    },
    /// A setting, which holds from here on.
    Set {
        /// Its name.
        key: String,
        /// Its value.
        value: String,
    },
}

/// `SHOW TABLES` and `SHOW VIEWS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShowTables {
    /// Only views.
    pub views: bool,
    /// `[catalog.]schema`; empty: the present one.
    pub schema: Vec<String>,
    /// Which names: `*` stands for any characters, `|` between alternatives.
    pub pattern: Option<String>,
}

/// Words behind DESCRIBE that ask for something else than columns.
const OTHER_DESCRIPTIONS: [&str; 9] =
    ["EXTENDED", "FORMATTED", "DETAIL", "HISTORY", "SCHEMA", "DATABASE", "CATALOG", "FUNCTION", "PROCEDURE"];

/// Reads statements; what `SET` says holds for all that come later.
#[derive(Clone, Debug)]
pub struct ReadingStatements {
    namespace: Namespace,
    configuration: Configuration,
    /// All values of `SET`, for `${}`.
    variables: BTreeMap<String, String>,
    /// Those of them that are settings of queries.
    settings: BTreeMap<String, String>,
}

impl ReadingStatements {
    /// A reader of statements that know nothing of each other yet.
    pub fn new(namespace: Namespace, configuration: Configuration) -> Self {
        Self { namespace, configuration, variables: BTreeMap::new(), settings: BTreeMap::new() }
    }

    /// The statements of `file`, whose path is what messages call it. The first one that is wrong, or that does more than read, is an error.
    pub fn parse(&mut self, file: &SourceFile) -> Result<Vec<Reading>, Diagnostic> {
        let (text, _) = notebook::as_sql(&file.text);
        let file = SourceFile::new(file.path.clone(), text.as_ref());
        scan::pieces(&text).iter().map(|piece| self.statement(&file, piece)).collect()
    }

    fn statement(&mut self, file: &SourceFile, piece: &scan::Piece) -> Result<Reading, Diagnostic> {
        let start = piece.start.after(&file.text[piece.range.start..piece.code.start]);
        let origin = Origin::new(file.path.clone(), start.line, start.column);
        let source = Placed {
            file: file.path.clone(),
            text: &file.text,
            range: piece.range.clone(),
            start: piece.start,
            comments: &piece.comments,
            locate: &|line, column| (line, column),
        };
        let lookup = |key: &str| self.variables.get(key).cloned().or_else(|| self.configuration.get(key).map(str::to_string));
        if is_set(&file.text[piece.code.clone()]) {
            let substituted = substitute(&Placed { range: piece.code.clone(), start, ..source }, &lookup);
            if let Some(undefined) = undefined_keys(&substituted).into_iter().next() {
                return Err(undefined);
            }
            let (key, value) = set_of(&substituted.text, &origin)?;
            return self.set(key, value, origin);
        }
        let mut findings = Vec::new();
        let parsed = cursor_of(&source, Versions::Allowed, &lookup, &mut findings).map(|mut cursor| self.kind(&mut cursor));
        let kind = parsed.and_then(|parsed| without_errors(parsed, &mut findings));
        if let Some(found) = findings.into_iter().find(|found| found.severity == Severity::Error) {
            return Err(found);
        }
        let kind = kind.ok_or_else(|| Diagnostic::error("INTERNAL_ERROR", "the statement was refused without a reason").at(&origin))?;
        Ok(Reading { kind, settings: self.settings.clone(), origin })
    }

    fn set(&mut self, key: String, value: String, origin: Origin) -> Result<Reading, Diagnostic> {
        match properties::flow_setting(&key, &value) {
            properties::Setting::Effective(known) => {
                self.settings.insert(known, value.clone());
            }
            properties::Setting::Refused(found) => return Err(found.at(&origin)),
            properties::Setting::Ignored(_) | properties::Setting::Variable => {}
        }
        self.variables.insert(key.clone(), value.clone());
        Ok(Reading { kind: ReadingKind::Set { key, value }, settings: self.settings.clone(), origin })
    }

    fn kind(&self, cursor: &mut Cursor) -> Result<ReadingKind, Diagnostic> {
        if cursor.is_query() {
            return self.query(cursor).map(ReadingKind::Query);
        }
        if cursor.take(&["EXPLAIN"]) {
            return self.explain(cursor);
        }
        if cursor.take(&["DESCRIBE"]) || cursor.take(&["DESC"]) {
            return self.describe(cursor);
        }
        if cursor.take(&["SHOW"]) {
            return self.show(cursor);
        }
        let what = cursor.unquoted(0).map_or_else(|| cursor.found(), str::to_uppercase);
        Err(refused(&what, &cursor.origin()))
    }

    /// A query; what changes rows may follow the `WITH` of one.
    fn query(&self, cursor: &mut Cursor) -> Result<Query, Diagnostic> {
        let query = cursor.query(&self.namespace)?;
        let changes = match query.ast.body.as_ref() {
            SetExpr::Insert(_) => "INSERT",
            SetExpr::Update(_) => "UPDATE",
            SetExpr::Delete(_) => "DELETE",
            SetExpr::Merge(_) => "MERGE",
            _ => return Ok(query),
        };
        Err(refused(changes, &query.origin))
    }

    fn explain(&self, cursor: &mut Cursor) -> Result<ReadingKind, Diagnostic> {
        if cursor.is_word(0, "CREATE") || cursor.is_word(0, "MATERIALIZED") {
            let refused = Diagnostic::not_supported("EXPLAIN of a materialized view's refresh").at(&cursor.origin());
            return Err(refused.help("use floe explain DATASET"));
        }
        if cursor.is_query() { self.query(cursor).map(ReadingKind::Explain) } else { cursor.expected("a query behind EXPLAIN") }
    }

    fn describe(&self, cursor: &mut Cursor) -> Result<ReadingKind, Diagnostic> {
        let is_name_of_one_part = cursor.peek(1).is_none() || cursor.is_symbol(1, &Token::Period);
        if let Some(word) = OTHER_DESCRIPTIONS.iter().find(|word| cursor.is_word(0, word) && !is_name_of_one_part) {
            return Err(Diagnostic::not_supported(&format!("DESCRIBE {word}")).at(&cursor.origin()));
        }
        if cursor.take(&["QUERY"]) || cursor.is_query() {
            return self.query(cursor).map(ReadingKind::Describe);
        }
        if !is_name_of_one_part {
            cursor.take(&["TABLE"]);
        }
        self.table(cursor).map(ReadingKind::DescribeTable)
    }

    fn show(&self, cursor: &mut Cursor) -> Result<ReadingKind, Diagnostic> {
        let views = cursor.is_word(0, "VIEWS");
        let kind = if cursor.take(&["TABLES"]) || cursor.take(&["VIEWS"]) {
            let schema =
                if cursor.take(&["IN"]) || cursor.take(&["FROM"]) { cursor.name("the name of a schema")?.parts } else { Vec::new() };
            ReadingKind::ShowTables(ShowTables { views, schema, pattern: pattern(cursor)? })
        } else if cursor.take(&["SCHEMAS"]) || cursor.take(&["DATABASES"]) {
            ReadingKind::ShowSchemas { pattern: pattern(cursor)? }
        } else if cursor.take(&["COLUMNS"]) {
            if !(cursor.take(&["IN"]) || cursor.take(&["FROM"])) {
                return cursor.expected("IN and the name of a table");
            }
            return self.table(cursor).map(ReadingKind::ShowColumns);
        } else {
            let what = cursor.unquoted(0).map_or_else(|| cursor.found(), str::to_uppercase);
            let refused = Diagnostic::not_supported(&format!("SHOW {what}")).at(&cursor.origin());
            return Err(refused.help("there are SHOW TABLES, SHOW VIEWS, SHOW SCHEMAS and SHOW COLUMNS IN table"));
        };
        cursor.expect_end()?;
        Ok(kind)
    }

    /// All rows of the table that stands here, up to the end of the statement.
    fn table(&self, cursor: &mut Cursor) -> Result<Query, Diagnostic> {
        let from = cursor.at();
        if cursor.is_word(0, "IDENTIFIER") && cursor.is_symbol(1, &Token::LParen) {
            skip_call(cursor);
        } else {
            cursor.name("the name of a table")?;
        }
        let to = cursor.at();
        cursor.expect_end()?;
        cursor.select_all(from, to, false, &self.namespace)
    }
}

/// The error for a statement that does more than read.
fn refused(what: &str, origin: &Origin) -> Diagnostic {
    Diagnostic::error("UNSUPPORTED_SQL_STATEMENT", format!("{what} is not allowed: only statements that read are"))
        .help("write SELECT, VALUES, SHOW, DESCRIBE or SET; tables are changed by the files of a pipeline and its updates")
        .at(origin)
}

/// Moves behind the parenthesis that ends the call that stands here.
fn skip_call(cursor: &mut Cursor) {
    let mut depth = 0_usize;
    while !cursor.is_at_end() {
        if cursor.is_symbol(0, &Token::LParen) {
            depth += 1;
        } else if cursor.is_symbol(0, &Token::RParen) {
            depth = depth.saturating_sub(1);
        }
        let ends = depth == 0 && cursor.is_symbol(0, &Token::RParen);
        cursor.skip(1);
        if ends {
            return;
        }
    }
}

/// `[LIKE] 'pattern'`, if it is there.
fn pattern(cursor: &mut Cursor) -> Result<Option<String>, Diagnostic> {
    let is_announced = cursor.take(&["LIKE"]);
    if is_announced || matches!(cursor.peek(0), Some(Token::SingleQuotedString(_))) {
        return cursor.string("a pattern in quotes").map(Some);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Reading>, Diagnostic> {
        let namespace = Namespace { catalog: "main".to_string(), schema: "s".to_string() };
        ReadingStatements::new(namespace, Configuration::default()).parse(&SourceFile::new("task", text))
    }

    fn error(text: &str) -> String {
        read(text).map(|read| read.len()).unwrap_err().to_string()
    }

    #[test]
    fn statements_are_read_in_order_and_settings_hold_from_their_place() {
        let text = "SELECT 1; SET spark.sql.session.timeZone = Europe/Berlin;\nSHOW TABLES IN main.s LIKE 'a*|b'; DESCRIBE TABLE t;
            EXPLAIN SELECT 1; SHOW COLUMNS IN IDENTIFIER(:t); DESC QUERY SELECT 1; SHOW SCHEMAS; VALUES (1)";
        let found = read(text).unwrap();
        let kinds: Vec<&str> = found
            .iter()
            .map(|reading| match &reading.kind {
                ReadingKind::Query(_) => "query",
                ReadingKind::Explain(_) => "explain",
                ReadingKind::Describe(_) => "describe",
                ReadingKind::DescribeTable(_) => "describe table",
                ReadingKind::ShowColumns(_) => "columns",
                ReadingKind::ShowTables(_) => "tables",
                ReadingKind::ShowSchemas { .. } => "schemas",
                ReadingKind::Set { .. } => "set",
            })
            .collect();
        assert_eq!(kinds, ["query", "set", "tables", "describe table", "explain", "columns", "describe", "schemas", "query"]);
        assert_eq!((found[0].settings.len(), found[2].settings.len(), found[2].origin.to_string().as_str()), (0, 1, "task:2:1"));
        let ReadingKind::ShowTables(show) = &found[2].kind else { panic!("{:?}", found[2]) };
        let schema = vec!["main".to_string(), "s".to_string()];
        assert_eq!(*show, ShowTables { views: false, schema, pattern: Some("a*|b".to_string()) });
    }

    #[test]
    fn what_does_more_than_read_is_refused_by_name_and_place() {
        for (text, word) in [
            ("INSERT INTO t VALUES (1)", "INSERT"),
            ("DROP TABLE t", "DROP"),
            ("CREATE STREAMING TABLE t AS SELECT 1", "CREATE"),
            ("delete from t", "DELETE"),
            ("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE", "MERGE"),
            ("OPTIMIZE t", "OPTIMIZE"),
            ("USE s", "USE"),
        ] {
            let found = error(&format!("SELECT 1;\n  {text}"));
            let expected = format!("[UNSUPPORTED_SQL_STATEMENT] {word} is not allowed: only statements that read are (task:2:3)");
            assert_eq!(found, expected);
        }
        assert_eq!(error("SHOW GRANTS"), "[FEATURE_NOT_SUPPORTED] SHOW GRANTS is not supported in this release (task:1:6)");
        assert!(error("DESCRIBE EXTENDED t").contains("DESCRIBE EXTENDED is not supported"));
        assert!(error("DESCRIBE t; DROP TABLE t").contains("DROP is not allowed"));
        assert!(error("DESCRIBE t c").contains("expected the end of the statement"));
        assert!(error("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x").starts_with("[UNSUPPORTED_SQL_STATEMENT] INSERT"));
        assert!(read("DESCRIBE history; DESCRIBE table; DESCRIBE schema.t").is_ok());
    }
}
