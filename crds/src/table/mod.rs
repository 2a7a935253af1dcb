//! The Table kind: one dataset of a pipeline, declared without SQL statements.
#![expect(clippy::duplicated_attributes, reason = "printer columns repeat the keys of their attributes")]

mod status;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use status::{LastReport, Quality, Refresh, Streaming, TableStatus};

use crate::{pipeline::DeletionPolicy, schemas, state::ExpectationAction};

/// What a dataset is; the same meaning as the SQL statement of its type.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "floe.dev",
    version = "v1alpha1",
    kind = "Table",
    namespaced,
    status = "TableStatus",
    derive = "PartialEq",
    shortname = "ftable",
    category = "floe",
    doc = "A dataset of a pipeline: streaming table, materialized view, temporary view or external table",
    selectable = ".spec.pipeline",
    printcolumn(name = "Pipeline", type_ = "string", json_path = ".spec.pipeline"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Rows", type_ = "integer", json_path = ".status.rows"),
    printcolumn(name = "Size", type_ = "integer", json_path = ".status.sizeBytes"),
    printcolumn(name = "Version", type_ = "integer", json_path = ".status.version"),
    printcolumn(name = "Refreshed", type_ = "date", json_path = ".status.lastRefresh.endTime"),
    printcolumn(name = "Failed Records", type_ = "integer", json_path = ".status.failedRecords"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Full Name", type_ = "string", json_path = ".status.fullName", priority = "1"),
    printcolumn(name = "Location", type_ = "string", json_path = ".status.location", priority = "1"),
    printcolumn(name = "Declared In", type_ = "string", json_path = ".status.declaredIn", priority = "1")
)]
#[x_kube(
    validation = Rule::new("self.pipeline == oldSelf.pipeline").message("pipeline is immutable"),
    validation = Rule::new("self.type == oldSelf.type").message("type is immutable"),
    validation = Rule::new("has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)").message("name is immutable"),
    validation = Rule::new("has(self.schema) == has(oldSelf.schema) && (!has(self.schema) || self.schema == oldSelf.schema)")
        .message("schema is immutable"),
    validation = Rule::new("has(self.catalog) == has(oldSelf.catalog) && (!has(self.catalog) || self.catalog == oldSelf.catalog)")
        .message("catalog is immutable"),
    validation = Rule::new("self.type == 'External' || [has(self.query), has(self.flows) && size(self.flows) > 0, has(self.autoCdc)].filter(x, x).size() == 1")
        .message("exactly one of query, flows, autoCdc is required"),
    validation = Rule::new("(self.type == 'External') == has(self.location)")
        .message("an External table has a location, and only an External table"),
    validation = Rule::new("self.type != 'External' || !(has(self.query) || has(self.flows) && size(self.flows) > 0 || has(self.autoCdc) || has(self.expectations) && size(self.expectations) > 0 || has(self.partitionBy) && size(self.partitionBy) > 0 || has(self.clusterBy) && size(self.clusterBy) > 0 || has(self.refreshPolicy) || has(self.maintenance))")
        .message("an External table has a location and no definition"),
    validation = Rule::new("self.type != 'TemporaryView' || !(has(self.flows) && size(self.flows) > 0 || self.private || has(self.columns) && size(self.columns) > 0 || has(self.constraints) || has(self.partitionBy) && size(self.partitionBy) > 0 || has(self.clusterBy) && size(self.clusterBy) > 0 || has(self.properties) && size(self.properties) > 0 || has(self.maintenance))")
        .message("a TemporaryView has only a query, a comment and expectations"),
    validation = Rule::new("self.type != 'TemporaryView' || !has(self.expectations) || self.expectations.all(e, e.onViolation != 'QuarantineRow')")
        .message("an expectation of a TemporaryView cannot quarantine rows: a view stores nothing"),
    validation = Rule::new("!(has(self.partitionBy) && size(self.partitionBy) > 0 && has(self.clusterBy) && size(self.clusterBy) > 0)")
        .message("partitionBy and clusterBy exclude each other"),
    validation = Rule::new("!has(self.refreshPolicy) || self.type == 'MaterializedView'").message("refreshPolicy is for MaterializedView"),
    validation = Rule::new("self.type == 'StreamingTable' || !(has(self.autoCdc) || has(self.flows) && self.flows.exists(f, has(f.autoCdc)))")
        .message("autoCdc is for StreamingTable")
)]
#[serde(rename_all = "camelCase")]
pub struct TableSpec {
    /// Name of the Pipeline of the same namespace.
    #[schemars(length(min = 1, max = 46))]
    pub pipeline: String,
    /// Name of the dataset; default: the name of the object with `-` replaced by `_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub name: Option<String>,
    /// Schema; default: that of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[A-Za-z0-9_]{1,128}$"), length(max = 128))]
    pub schema: Option<String>,
    /// Catalog; default: that of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[A-Za-z0-9_]{1,128}$"), length(max = 128))]
    pub catalog: Option<String>,
    /// The kind of dataset.
    #[serde(rename = "type")]
    pub table_type: TableType,
    /// Stored, but not visible outside the pipeline.
    #[serde(default)]
    pub private: bool,
    /// The query of the dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262_144))]
    pub query: Option<String>,
    /// Flows that write the dataset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub flows: Vec<TableFlow>,
    /// Change events that are merged into the dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_cdc: Option<AutoCdcSpec>,
    /// Rules that rows must keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub expectations: Vec<ExpectationSpec>,
    /// Declared columns; absent = those of the query.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub columns: Vec<ColumnSpec>,
    /// Keys, for information, and checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<ConstraintsSpec>,
    /// Partition columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 255)))]
    pub partition_by: Vec<String>,
    /// Clustering columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 255)))]
    pub cluster_by: Vec<String>,
    /// Comment of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub comment: Option<String>,
    /// Table properties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::properties")]
    pub properties: BTreeMap<String, String>,
    /// How a materialized view is brought up to date; absent = Auto.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_policy: Option<RefreshPolicy>,
    /// What happens to the data when the object is deleted; default: that of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// The table should be refreshed at least this often; 0 = no matter.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 31_536_000), extend("default" = 0))]
    pub freshness_seconds: i32,
    /// When files are compacted and old ones removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<MaintenanceSpec>,
    /// URI of an external table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub location: Option<String>,
    /// Format of an external table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<TableFormat>,
}

impl TableSpec {
    /// What decides the results of an update: the spec without what happens to old files, with the object and with the alarm.
    #[must_use]
    pub fn definition(&self) -> Self {
        Self { freshness_seconds: 0, deletion_policy: None, maintenance: None, ..self.clone() }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a function of a reference")]
fn is_zero(value: &i32) -> bool {
    *value == 0
}

/// The kinds of dataset that a manifest can declare.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableType {
    /// Flows append to it, or Auto CDC merges into it.
    StreamingTable,
    /// Always equals the result of its query.
    MaterializedView,
    /// A named query that is never stored.
    TemporaryView,
    /// A Delta table that the pipeline reads and does not write.
    External,
}

/// One flow of a streaming table: exactly one of `query` and `autoCdc`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.query) != has(self.autoCdc)").message("flow needs exactly one of query, autoCdc"))]
pub struct TableFlow {
    /// Name of the flow.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Query whose rows are appended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262_144))]
    pub query: Option<String>,
    /// Change events that are merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_cdc: Option<AutoCdcSpec>,
    /// A batch query that runs once per generation.
    #[serde(default)]
    pub once: bool,
    /// Comment of the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub comment: Option<String>,
}

/// The clauses of `AUTO CDC`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.sequenceBy) != self.snapshot").message("sequenceBy is required, except with snapshot"),
    validation = Rule::new("!(has(self.columns) && size(self.columns) > 0 && has(self.exceptColumns) && size(self.exceptColumns) > 0)").message("columns and exceptColumns exclude each other"),
    validation = Rule::new("!(has(self.trackHistoryColumns) && size(self.trackHistoryColumns) > 0 && has(self.trackHistoryExceptColumns) && size(self.trackHistoryExceptColumns) > 0)")
        .message("trackHistoryColumns and trackHistoryExceptColumns exclude each other")
)]
pub struct AutoCdcSpec {
    /// The dataset that holds the events.
    #[schemars(length(min = 1, max = 512))]
    pub source: String,
    /// The source is a whole snapshot each time.
    #[serde(default)]
    pub snapshot: bool,
    /// Key columns.
    #[schemars(length(min = 1, max = 50), inner(length(min = 1, max = 255)))]
    pub keys: Vec<String>,
    /// Expression that orders the events of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub sequence_by: Option<String>,
    /// Events for which the row is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub apply_as_delete_when: Option<String>,
    /// Events for which the table is emptied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub apply_as_truncate_when: Option<String>,
    /// Columns whose NULL means "as before".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_null_updates: Option<ColumnsSpec>,
    /// Columns that are stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2000), inner(length(min = 1, max = 255)))]
    pub columns: Vec<String>,
    /// Columns that are not stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2000), inner(length(min = 1, max = 255)))]
    pub except_columns: Vec<String>,
    /// 1 keeps the newest row of a key, 2 keeps all of them with the time in which each was valid.
    #[serde(default = "AutoCdcSpec::default_scd_type")]
    #[schemars(range(min = 1, max = 2))]
    pub stored_as_scd_type: i32,
    /// Columns whose change starts a new row of the history.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2000), inner(length(min = 1, max = 255)))]
    pub track_history_columns: Vec<String>,
    /// Columns whose change does not start a new row of the history.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2000), inner(length(min = 1, max = 255)))]
    pub track_history_except_columns: Vec<String>,
    /// The source is read once per generation.
    #[serde(default)]
    pub once: bool,
}

impl AutoCdcSpec {
    fn default_scd_type() -> i32 {
        1
    }
}

/// A list of columns, or all except a list; both empty = all.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.columns) && size(self.columns) > 0 && has(self.exceptColumns) && size(self.exceptColumns) > 0)").message("columns and exceptColumns exclude each other"))]
pub struct ColumnsSpec {
    /// Only these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2000), inner(length(min = 1, max = 255)))]
    pub columns: Vec<String>,
    /// All but these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2000), inner(length(min = 1, max = 255)))]
    pub except_columns: Vec<String>,
}

/// A named row predicate with what happens to a row that violates it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ExpectationSpec {
    /// Name, unique in the dataset.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// The predicate.
    #[schemars(length(min = 1, max = 16_384))]
    pub expr: String,
    /// What happens to a row that violates it.
    #[serde(default)]
    pub on_violation: OnViolation,
    /// The table that receives the rows of `QuarantineRow`; default: `<dataset>_quarantine`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub quarantine_into: Option<String>,
}

/// The manifest words of `ExpectationAction`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnViolation {
    /// The row is kept and counted.
    #[default]
    Warn,
    /// The row is left out.
    DropRow,
    /// The update fails.
    FailUpdate,
    /// The row goes to the quarantine table.
    QuarantineRow,
}

impl From<OnViolation> for ExpectationAction {
    fn from(action: OnViolation) -> Self {
        match action {
            OnViolation::Warn => Self::Warn,
            OnViolation::DropRow => Self::Drop,
            OnViolation::FailUpdate => Self::Fail,
            OnViolation::QuarantineRow => Self::Quarantine,
        }
    }
}

/// A declared column.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ColumnSpec {
    /// Name of the column.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Type in DDL text, e.g. `ARRAY<STRUCT<book_id: STRING>>`; absent = that of the query.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16_384))]
    pub data_type: Option<String>,
    /// False refuses rows with NULL in it.
    #[serde(default = "ColumnSpec::default_nullable")]
    pub nullable: bool,
    /// Comment of the column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub comment: Option<String>,
    /// Expression over other columns that gives its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub generated_as: Option<String>,
}

impl ColumnSpec {
    fn default_nullable() -> bool {
        true
    }
}

/// Keys for information, and checks that the table enforces.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConstraintsSpec {
    /// Columns of the primary key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 255)))]
    pub primary_key: Vec<String>,
    /// Foreign keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub foreign_keys: Vec<ForeignKeySpec>,
    /// Checks that fail the flow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub checks: Vec<CheckSpec>,
}

/// A foreign key, for information.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ForeignKeySpec {
    /// Columns of this table.
    #[schemars(length(min = 1, max = 50), inner(length(min = 1, max = 255)))]
    pub columns: Vec<String>,
    /// The other table.
    #[schemars(length(min = 1, max = 512))]
    pub references: String,
    /// Columns of the other table; default: its primary key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 255)))]
    pub referenced_columns: Vec<String>,
}

/// A named check.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CheckSpec {
    /// Name, unique in the table.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// The predicate.
    #[schemars(length(min = 1, max = 16_384))]
    pub expr: String,
}

/// How a materialized view is brought up to date.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshPolicy {
    /// Whatever is cheaper.
    #[default]
    Auto,
    /// Incrementally where possible, with a warning where not.
    Incremental,
    /// Incrementally or not at all.
    IncrementalStrict,
    /// Always computed anew.
    Full,
}

/// When files are compacted and old ones removed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceSpec {
    /// Least time between two compactions.
    #[serde(default = "MaintenanceSpec::default_interval")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub optimize_interval_seconds: i32,
    /// Files that no version of this age needs are removed.
    #[serde(default = "MaintenanceSpec::default_retention")]
    #[schemars(range(min = 0, max = 87_600))]
    pub vacuum_retention_hours: i32,
    /// No maintenance at all.
    #[serde(default)]
    pub suspend: bool,
}

impl MaintenanceSpec {
    fn default_interval() -> i32 {
        86_400
    }

    fn default_retention() -> i32 {
        168
    }
}

impl Default for MaintenanceSpec {
    fn default() -> Self {
        Self { optimize_interval_seconds: Self::default_interval(), vacuum_retention_hours: Self::default_retention(), suspend: false }
    }
}

/// The format of an external table.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum TableFormat {
    /// A Delta table.
    #[default]
    Delta,
}
