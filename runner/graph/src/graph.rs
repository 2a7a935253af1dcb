//! The resolved flow graph: every name bound, every query typed, flows in topological order.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use datafusion_common::arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use datafusion_expr::{Expr, LogicalPlan};
use floe_crds::state::ExpectationAction;

use crate::{
    analysis::{Dependence, SqlSettings},
    cdc::{CdcSource, DEFAULT_TOMBSTONE_SECONDS, ResolvedAutoCdc, TieRule},
    definition::{Dataset, DatasetKind},
    name::DatasetName,
    origin::{Diagnostic, Origin},
    relation::Relation,
};

/// A graph without errors. Lints may remain.
#[derive(Clone, Debug)]
pub struct ResolvedGraph {
    /// Hash of everything that decides results: queries, expectations, schemas, parameters.
    pub id: String,
    /// All datasets, temporary views and external tables included, by name.
    pub datasets: BTreeMap<DatasetName, ResolvedDataset>,
    /// Flows that are executed (not views), in topological order, ties by name.
    pub flows: Vec<ResolvedFlow>,
    /// Findings that stop nothing.
    pub lints: Vec<Diagnostic>,
    /// Places in `flows`, by target.
    by_target: HashMap<DatasetName, Vec<usize>>,
}

/// A dataset with the schema that its queries and declared columns give.
#[derive(Clone, Debug)]
pub struct ResolvedDataset {
    /// The definition that it was resolved from.
    pub definition: Arc<Dataset>,
    /// Arrow schema of the stored columns: timestamps are µs UTC, text is Utf8.
    pub schema: SchemaRef,
    /// Columns of the rows that its expectations see and its quarantine table keeps: its own, but the source columns for a target of
    /// Auto CDC, whose rows are checked before they are merged.
    pub checked_schema: SchemaRef,
    /// For a target of Auto CDC what all its flows agree on: the clauses of the first of them by name.
    pub auto_cdc: Option<Arc<ResolvedAutoCdc>>,
    /// Typed predicates over `checked_schema`, in the order of the statement.
    pub expectations: Vec<ResolvedExpectation>,
    /// What every stored row keeps.
    pub rules: RowRules,
    /// Where violating rows of `QUARANTINE ROW` expectations go.
    pub quarantine: Option<DatasetName>,
    /// The analysed query of a view, expectations included: what stands where it is read.
    pub view: Option<LogicalPlan>,
    /// What its queries name, views not inlined: the edges that people see.
    pub reads: BTreeSet<Read>,
    /// Files that may make types wider are read here or upstream: stored columns may become wider.
    pub widens: bool,
}

/// One direct read of a dataset's queries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    /// Full name of a dataset, or the canonical name of another source.
    pub source: String,
    /// A dataset of this graph.
    pub is_dataset: bool,
    /// True if the view is read as a stream somewhere.
    pub streaming: bool,
}

impl ResolvedDataset {
    /// True if files may make the stored column wider. A type that the definition declares is changed by nobody but its user.
    pub fn may_widen(&self, column: &str) -> bool {
        let mut declared = self.definition.columns.iter().flatten().filter(|declared| declared.data_type.is_some());
        self.widens && !declared.any(|declared| declared.name.eq_ignore_ascii_case(column))
    }

    /// Where a sink is: its path, as written. `None` for datasets.
    pub fn sink_location(&self) -> Option<&str> {
        self.definition.location.as_deref().filter(|_| self.definition.kind == DatasetKind::Sink)
    }

    /// True if the property forbids emptying the table or dropping its checkpoint.
    pub fn is_protected(&self) -> bool {
        self.has_property("pipelines.reset.allowed", "false") || self.has_property("delta.appendOnly", "true")
    }

    fn has_property(&self, key: &str, value: &str) -> bool {
        self.definition.properties.iter().any(|(k, v)| k.eq_ignore_ascii_case(key) && v.eq_ignore_ascii_case(value))
    }

    fn property(&self, key: &str) -> Option<&str> {
        let mut properties = self.definition.properties.iter();
        properties.find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, value)| value.trim())
    }

    /// What two different events of one key and sequence are to an Auto CDC target.
    pub fn tie_rule(&self) -> TieRule {
        if self.has_property("pipelines.cdc.onTie", "fail") { TieRule::Fail } else { TieRule::Resolve }
    }

    /// Seconds after which an Auto CDC target forgets the delete of a key; `None`: never.
    pub fn tombstone_seconds(&self) -> Option<u64> {
        let keys = ["pipelines.cdc.tombstoneGCThresholdInSeconds", "pipelines.applyChanges.tombstoneGCThresholdInSeconds"];
        let given = keys.iter().find_map(|key| self.property(key)).and_then(|seconds| seconds.parse().ok());
        Some(given.unwrap_or(DEFAULT_TOMBSTONE_SECONDS)).filter(|seconds| *seconds > 0)
    }

    /// True if changed and deleted rows are marked in deletion vectors instead of rewriting their files.
    pub fn has_deletion_vectors(&self) -> bool {
        self.auto_cdc.is_some() && self.has_property("delta.enableDeletionVectors", "true")
    }

    /// True if every change of a row is recorded for readers of changes.
    pub fn has_change_feed(&self) -> bool {
        self.has_property("delta.enableChangeDataFeed", "true")
    }

    /// What the table says about printing a record that violates an expectation; `None` leaves it to the pipeline.
    pub fn sample_records(&self) -> Option<bool> {
        self.property("pipelines.expectations.sampleRecords").map(|value| !value.eq_ignore_ascii_case("false"))
    }
}

/// What every row of a table keeps, typed over its columns (unqualified references).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RowRules {
    /// Columns whose value the table computes.
    pub generated: Vec<GeneratedColumn>,
    /// Predicates of which no row makes one FALSE.
    pub checks: Vec<ResolvedCheck>,
    /// What decided about the meaning of both.
    pub settings: SqlSettings,
}

impl RowRules {
    /// The settings that decide about any of them.
    pub fn dependence(&self) -> Dependence {
        let checks = self.checks.iter().map(|check| check.depends);
        self.generated.iter().map(|column| column.depends).chain(checks).fold(Dependence::default(), Dependence::or)
    }
}

/// A column whose value follows from the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GeneratedColumn {
    /// As in the schema of the table.
    pub name: String,
    /// The expression as the user wrote it.
    pub text: String,
    /// Its value, of the type of the column.
    pub value: Expr,
    /// The settings that decide about the value.
    pub depends: Dependence,
}

/// A `CHECK` constraint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResolvedCheck {
    /// Unique in its table.
    pub name: String,
    /// The predicate as the user wrote it.
    pub text: String,
    /// FALSE breaks it; NULL does not.
    pub predicate: Expr,
    /// The settings that decide about it.
    pub depends: Dependence,
}

/// An expectation whose predicate is typed over the output columns of its dataset (unqualified column references).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub struct ResolvedExpectation {
    /// As in the definition.
    pub name: String,
    /// Full name of the dataset that declares it (a temporary view's too).
    pub dataset: String,
    /// The predicate as the user wrote it.
    pub text: String,
    /// The typed predicate; not TRUE (also NULL) is a violation.
    pub predicate: Expr,
    /// What happens to a row that violates it.
    pub action: ExpectationAction,
}

/// A flow that can be executed.
#[derive(Clone, Debug)]
pub struct ResolvedFlow {
    /// Unique in the pipeline, letter case ignored.
    pub name: String,
    /// The dataset that it writes.
    pub target: DatasetName,
    /// What it does with the target.
    pub kind: ResolvedKind,
    /// Typed plan; leaves are `RelationSource`s, views are inlined, expectations of views are `Expect` nodes,
    /// functions are the signatures of `function`. The expectations of the target itself are not in it.
    /// That of an Auto CDC flow gives the source columns and behind them those of `ResolvedAutoCdc::order`.
    pub plan: LogicalPlan,
    /// Output columns before they are fitted to the target: for Auto CDC the source columns.
    pub schema: SchemaRef,
    /// The leaves of the plan, each once.
    pub inputs: Vec<Arc<Relation>>,
    /// Names of the flows that write one of its inputs.
    pub upstream: Vec<String>,
    /// Hash of plan, parameters and time zone: an MV recomputes when it changes.
    pub fingerprint: String,
    /// `SET` values in force where the flow is defined.
    pub settings: BTreeMap<String, String>,
    /// `COMMENT` of the flow.
    pub comment: Option<String>,
    /// Where the flow is defined.
    pub origin: Origin,
}

/// What a flow does with its target.
#[derive(Clone, Debug, PartialEq)]
pub enum ResolvedKind {
    /// Streaming query, appended.
    Append,
    /// Batch query, appended once per generation.
    Once,
    /// Batch query of a materialized view.
    Complete,
    /// Change events merged into the target.
    AutoCdc(Arc<ResolvedAutoCdc>),
}

impl ResolvedKind {
    /// True if the flow reads its source as a whole, once per generation.
    pub fn is_once(&self) -> bool {
        match self {
            Self::Once => true,
            Self::AutoCdc(cdc) => matches!(cdc.source, CdcSource::Once(_)),
            Self::Append | Self::Complete => false,
        }
    }

    /// True if every version of the source is the whole content at one time.
    pub fn is_snapshot(&self) -> bool {
        self.auto_cdc().is_some_and(|cdc| cdc.source == CdcSource::Snapshot)
    }

    /// The clauses of Auto CDC.
    pub fn auto_cdc(&self) -> Option<&Arc<ResolvedAutoCdc>> {
        match self {
            Self::AutoCdc(cdc) => Some(cdc),
            Self::Append | Self::Once | Self::Complete => None,
        }
    }
}

impl ResolvedGraph {
    /// A graph without datasets: for queries that no pipeline belongs to.
    pub fn empty() -> Self {
        Self::new(BTreeMap::new(), Vec::new(), Vec::new())
    }

    /// A graph whose id is not known yet. `flows` are in topological order.
    pub(crate) fn new(datasets: BTreeMap<DatasetName, ResolvedDataset>, flows: Vec<ResolvedFlow>, lints: Vec<Diagnostic>) -> Self {
        let mut by_target: HashMap<DatasetName, Vec<usize>> = HashMap::new();
        for (at, flow) in flows.iter().enumerate() {
            by_target.entry(flow.target.clone()).or_default().push(at);
        }
        Self { id: String::new(), datasets, flows, lints, by_target }
    }

    /// The flows that write `dataset`, in topological order.
    pub fn flows_into(&self, dataset: &DatasetName) -> impl Iterator<Item = &ResolvedFlow> {
        self.by_target.get(dataset).into_iter().flatten().map(|at| &self.flows[*at])
    }

    /// The flow of that name, letter case ignored.
    pub fn flow(&self, name: &str) -> Option<&ResolvedFlow> {
        self.flows.iter().find(|flow| flow.name.eq_ignore_ascii_case(name))
    }
}

/// The last column of a quarantine table: which expectations a row violated, and where and when it was turned away.
pub fn quarantine_field() -> Field {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let names = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let fields = vec![
        Field::new("expectations", names, true),
        text("flow"),
        text("update_id"),
        Field::new("batch_id", DataType::Int64, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
    ];
    Field::new("_quarantine", DataType::Struct(fields.into()), true)
}
