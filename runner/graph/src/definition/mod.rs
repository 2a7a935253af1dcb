//! What a project defines, before any name is resolved: datasets, flows and their queries, from SQL files and `Table` manifests.
//!
//! `parse_sql` and `table_manifest` give the same values for the same meaning; nothing after this room knows which it was.
#![expect(missing_docs, reason = "fields and variants without a comment say what they are")]

mod cursor;
mod dialect;
mod manifest;
mod project;
pub(crate) mod properties;
mod reader;
mod relations;
mod scan;
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

pub use dialect::{DIALECT, FloeDialect};
pub use manifest::table_manifest;
pub use project::{Configuration, Project, SourceFile};
pub use statement::{parse_expression, parse_query, parse_sql};

/// Everything that a project defines; the order of files and statements has no meaning.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    pub datasets: Vec<Dataset>,
    pub flows: Vec<Flow>,
    /// Datasets of statements that have an error (as declared dataset or as target of a flow). They are not in `datasets`, or lack
    /// a flow: neither that, nor a reference to them, is an error of its own.
    pub incomplete: BTreeSet<DatasetName>,
    /// Errors and lints found while reading; registration goes on after each.
    pub diagnostics: Vec<Diagnostic>,
}

/// The five kinds of dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatasetKind {
    StreamingTable,
    MaterializedView,
    TemporaryView,
    View,
    External,
}

/// One declared dataset. Its queries are flows that name it as target, views included.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub name: DatasetName,
    pub kind: DatasetKind,
    pub private: bool,
    /// Declared columns; `None` if the query decides.
    pub columns: Option<Vec<Column>>,
    pub expectations: Vec<Expectation>,
    pub partition_by: Vec<String>,
    pub cluster_by: Vec<String>,
    pub comment: Option<String>,
    /// Table properties as written, e.g. `quality = bronze`, `pipelines.reset.allowed = false`.
    pub properties: BTreeMap<String, String>,
    pub refresh_policy: RefreshPolicy,
    /// Location of an external table.
    pub location: Option<String>,
    pub origin: Origin,
}

/// A declared column; `data_type` is Spark DDL text parsed by `analysis::ddl`.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub data_type: Option<String>,
    pub nullable: bool,
    pub comment: Option<String>,
    pub origin: Origin,
}

/// `CONSTRAINT name EXPECT (expr) ON VIOLATION action`.
#[derive(Clone, Debug)]
pub struct Expectation {
    pub name: String,
    pub expr: ast::Expr,
    /// The predicate as the user wrote it.
    pub text: String,
    pub action: ExpectationAction,
    pub quarantine_into: Option<DatasetName>,
    pub origin: Origin,
}

/// `REFRESH POLICY` of a materialized view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshPolicy {
    #[default]
    Auto,
    Incremental,
    IncrementalStrict,
    Full,
}

/// One query together with the one target that it writes.
#[derive(Clone, Debug)]
pub struct Flow {
    pub name: String,
    pub target: DatasetName,
    pub kind: FlowKind,
    pub query: Query,
    pub comment: Option<String>,
    /// `SET` values in force where the flow is defined (`pipelines.*`, `spark.sql.*`).
    pub settings: BTreeMap<String, String>,
    /// True if the flow came with its dataset's statement (`AS query`), false for `CREATE FLOW`.
    pub with_dataset: bool,
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
/// snapshots. Expressions are texts for `parse_expression`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoCdc {
    pub keys: Vec<String>,
    pub sequence_by: Option<String>,
    pub apply_as_delete_when: Option<String>,
    pub apply_as_truncate_when: Option<String>,
    pub ignore_null_updates: Option<ColumnSelection>,
    pub columns: Option<ColumnSelection>,
    pub scd_type: u8,
    pub track_history: Option<ColumnSelection>,
    pub snapshot: bool,
    pub once: bool,
}

/// A list of columns, or all except a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnSelection {
    Only(Vec<String>),
    Except(Vec<String>),
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
/// `LIVE.` prefixes are gone. All string literals are `Value::SingleQuotedString` with their escapes resolved. `DISTINCT ON` is
/// in the tree; `WATERMARK` and `WITHIN WATERMARK` are not, an error says that they are not supported.
#[derive(Clone, Debug)]
pub struct Query {
    pub ast: Box<ast::Query>,
    /// The text as written, for events and fingerprints (after substitution).
    pub text: Arc<str>,
    pub namespace: Namespace,
    pub file: Arc<str>,
    /// Where the query begins.
    pub origin: Origin,
}
