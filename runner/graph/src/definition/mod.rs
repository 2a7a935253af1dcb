//! What a project defines, before any name is resolved: datasets, flows and their queries, from SQL files and `Table` manifests.
//!
//! `parse_sql` and `table_manifest` give the same values for the same meaning; nothing after this room knows which it was.

mod cursor;
mod depth;
mod dialect;
mod manifest;
mod notebook;
mod project;
pub(crate) mod properties;
mod reader;
mod reading;
mod relations;
mod scan;
#[cfg(test)]
mod shape;
mod sink;
mod statement;
mod stream;
mod substitute;
mod tokens;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use floe_crds::state::ExpectationAction;
use sqlparser::ast;

use crate::{
    name::{DatasetName, Namespace},
    origin::{Diagnostic, Origin},
};

/// The argument of a stream that is its event time.
pub(crate) const WATERMARK_EXPR: &str = "__floe_watermark";
/// The argument that is the name of the event-time column, as a string.
pub(crate) const WATERMARK_NAME: &str = "__floe_watermark_name";
/// The argument that is the delay, as the text of an interval.
pub(crate) const WATERMARK_DELAY: &str = "__floe_watermark_delay";
/// The key that stands for `WITHIN WATERMARK`.
pub(crate) const WITHIN_WATERMARK: &str = "__floe_within_watermark";

pub use dialect::{DIALECT, FloeDialect};
pub use manifest::table_manifest;
pub use project::{Configuration, Project, SourceFile};
pub use properties::{length_of_time, z_order_columns};
pub use reading::{Reading, ReadingKind, ReadingStatements, ShowTables};
pub use sink::manifest_sinks;
pub(crate) use statement::misspelt::is_near;
pub use statement::{parse_expression, parse_query, parse_sql};

/// Everything that a project defines; the order of files and statements has no meaning.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// In the order in which they were read.
    pub datasets: Vec<Dataset>,
    /// Every query of the project, those of views included.
    pub flows: Vec<Flow>,
    /// Datasets of statements that have an error (as declared dataset or as target of a flow). They are not in `datasets`, or lack
    /// a flow: neither that, nor a reference to them, is an error of its own.
    pub incomplete: BTreeSet<DatasetName>,
    /// Keys of the configuration that a `${}` reads, those without a value included.
    pub configuration_keys: BTreeSet<String>,
    /// Errors and lints found while reading; registration goes on after each.
    pub diagnostics: Vec<Diagnostic>,
    /// True for a part of a project, as a test runs it: views alone are enough.
    pub is_part: bool,
}

/// The five kinds of dataset, and sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatasetKind {
    /// Stored; its flows append.
    StreamingTable,
    /// Stored; one query decides the whole content.
    MaterializedView,
    /// Not stored; seen by this pipeline only.
    TemporaryView,
    /// Not stored.
    View,
    /// A Delta table that something else writes.
    External,
    /// A Delta table outside of the pipeline that flows append to. No dataset: no query reads it by name.
    Sink,
}

/// One declared dataset. Its queries are flows that name it as target, views included.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The full name, with the defaults in force at the statement.
    pub name: DatasetName,
    /// What kind of dataset the statement declares.
    pub kind: DatasetKind,
    /// `PRIVATE`: not published to others.
    pub private: bool,
    /// Declared columns; `None` if the query decides.
    pub columns: Option<Vec<Column>>,
    /// In the order of the statement.
    pub expectations: Vec<Expectation>,
    /// `CHECK` constraints, in the order of the statement.
    pub checks: Vec<TableCheck>,
    /// Column names as written; empty if the table is not partitioned.
    pub partition_by: Vec<String>,
    /// Column names as written; excludes `partition_by`.
    pub cluster_by: Vec<String>,
    /// `COMMENT` of the dataset.
    pub comment: Option<String>,
    /// Table properties as written, e.g. `quality = bronze`, `pipelines.reset.allowed = false`.
    pub properties: BTreeMap<String, String>,
    /// Only a materialized view may say it.
    pub refresh_policy: RefreshPolicy,
    /// Location of an external table or a sink.
    pub location: Option<String>,
    /// Where the statement begins.
    pub origin: Origin,
}

/// A declared column; `data_type` is Spark DDL text parsed by `analysis::ddl`.
#[derive(Clone, Debug)]
pub struct Column {
    /// The name as written.
    pub name: String,
    /// `None` if only the name is declared.
    pub data_type: Option<String>,
    /// False for `NOT NULL`.
    pub nullable: bool,
    /// `COMMENT` of the column.
    pub comment: Option<String>,
    /// `GENERATED ALWAYS AS`: what its value is.
    pub generated: Option<ClauseExpr>,
    /// Where the column is declared.
    pub origin: Origin,
}

/// `CONSTRAINT name EXPECT (expr) ON VIOLATION action`.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Unique in its dataset; the name in metrics.
    pub name: String,
    /// The parsed predicate; NULL counts as a violation.
    pub expr: ast::Expr,
    /// The predicate as the user wrote it.
    pub text: String,
    /// What happens to a row that violates it.
    pub action: ExpectationAction,
    /// The quarantine table, if it is not `<dataset>_quarantine`.
    pub quarantine_into: Option<DatasetName>,
    /// Where the constraint begins.
    pub origin: Origin,
}

/// `CONSTRAINT name CHECK (expr)`: a rule that no stored row breaks.
#[derive(Clone, Debug)]
pub struct TableCheck {
    /// The name in the table; given one by its place if the statement has none.
    pub name: String,
    /// The predicate; NULL breaks nothing.
    pub predicate: ClauseExpr,
    /// Where the constraint begins.
    pub origin: Origin,
}

/// The name of a check without one, the first of which is number 1.
pub(crate) fn check_name(number: usize) -> String {
    format!("check_{number}")
}

/// `REFRESH POLICY` of a materialized view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshPolicy {
    /// The cheapest way that is possible.
    #[default]
    Auto,
    /// Incrementally if possible; refused by name in this release.
    Incremental,
    /// Incrementally or not at all; refused by name in this release.
    IncrementalStrict,
    /// Always a complete recompute.
    Full,
}

/// One query together with the one target that it writes.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Unique in the pipeline, letter case ignored; the dataset's name for its own query.
    pub name: String,
    /// The dataset that it writes.
    pub target: DatasetName,
    /// What it does with the target.
    pub kind: FlowKind,
    /// The query whose rows it writes.
    pub query: Query,
    /// `COMMENT` of the flow.
    pub comment: Option<String>,
    /// `SET` values in force where the flow is defined (`pipelines.*`, `spark.sql.*`).
    pub settings: BTreeMap<String, String>,
    /// True if the flow came with its dataset's statement (`AS query`), false for `CREATE FLOW`.
    pub with_dataset: bool,
    /// Where the flow is defined.
    pub origin: Origin,
}

/// What a flow does with its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowKind {
    /// Streaming query, appended.
    Append,
    /// Batch query, appended once per generation.
    Once,
    /// Batch query of a materialized view.
    Complete,
    /// Query of a temporary view or view: inlined where it is read, never executed by itself.
    View,
    /// Change events merged into the target.
    AutoCdc(Box<AutoCdc>),
}

/// The clauses of `AUTO CDC`, unresolved; the query of the flow is `SELECT * FROM STREAM(source)`, without `STREAM` for `ONCE` and
/// snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoCdc {
    /// `KEYS`: the columns that identify a row.
    pub keys: Vec<ClauseExpr>,
    /// `SEQUENCE BY`: the order of changes to one key; a snapshot has none.
    pub sequence_by: Option<ClauseExpr>,
    /// `APPLY AS DELETE WHEN`.
    pub apply_as_delete_when: Option<ClauseExpr>,
    /// `APPLY AS TRUNCATE WHEN`.
    pub apply_as_truncate_when: Option<ClauseExpr>,
    /// Columns whose NULL keeps the stored value.
    pub ignore_null_updates: Option<ColumnSelection>,
    /// `COLUMNS`: what of the source is stored.
    pub columns: Option<ColumnSelection>,
    /// 1 or 2.
    pub scd_type: u8,
    /// `TRACK HISTORY ON`: columns whose change opens a new version.
    pub track_history: Option<ColumnSelection>,
    /// True for `AUTO CDC FROM SNAPSHOT`.
    pub snapshot: bool,
    /// True for `INSERT INTO ONCE`.
    pub once: bool,
}

/// An expression of a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClauseExpr {
    /// Parsed; places in it are those of the file.
    pub expr: ast::Expr,
    /// As the user wrote it.
    pub text: String,
    /// Where it begins.
    pub origin: Origin,
}

/// A column that a clause names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnName {
    /// As written, without backticks.
    pub name: String,
    /// Where it stands.
    pub origin: Origin,
}

/// A list of columns, or all except a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnSelection {
    /// These columns.
    Only(Vec<ColumnName>),
    /// All columns but these.
    Except(Vec<ColumnName>),
}

impl ColumnSelection {
    /// The columns that the list names.
    pub fn named(&self) -> &[ColumnName] {
        let (Self::Only(names) | Self::Except(names)) = self;
        names
    }
}

/// A parsed query. Spans in `ast` are lines and columns of `file`, after undoing `${}` and the rewriting of `STREAM`; what was
/// written by a `${}` stands at its `$`.
///
/// Relations stand in the tree in one form each, whatever spelling the user chose:
/// * `STREAM(t)`, `STREAM(c.s.t, k => v)` (also for `STREAM t WITH ('k' = 'v')`, `read_stream('t', k => v)`),
/// * `STREAM(read_files('p', format => 'json', …))` (also for `cloud_files(p, f, map(…))`, keys without `cloudFiles.`),
/// * `read_files('p', format => 'json')` (also for `` json.`p` `` and the other file formats), `` delta.`uri` `` stays a name of two parts,
/// * `TableFactor::Table { version, .. }` for `VERSION AS OF` and `TIMESTAMP AS OF`, only from `parse_query`; statements of a
///   pipeline have been refused before.
///
/// `LIVE.` prefixes are gone. All string literals are `Value::SingleQuotedString` with their escapes resolved. `WATERMARK e AS c DELAY OF d`
/// are the last arguments of its `STREAM(…)`, and `WITHIN WATERMARK` is the last key of its `DISTINCT ON`, by the names below.
#[derive(Clone, Debug)]
pub struct Query {
    /// The tree, in the forms that are listed above.
    pub ast: Box<ast::Query>,
    /// The text as written, for events and fingerprints (after substitution).
    pub text: Arc<str>,
    /// Catalog and schema of unqualified names.
    pub namespace: Namespace,
    /// Path of the file that the spans refer to.
    pub file: Arc<str>,
    /// Where the query begins.
    pub origin: Origin,
}
