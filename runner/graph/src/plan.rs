//! The plan of one update: which flows run, what is reset, what changes in storage. Complete before the first write.

mod changes;
mod metadata;
mod selection;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use datafusion_common::arrow::datatypes::SchemaRef;
use serde::Serialize;

use crate::{analysis::state::StatefulOperator, definition::DatasetKind, graph::ResolvedGraph, name::DatasetName, origin::Diagnostic};

pub use changes::state_help;
pub use metadata::{
    CHECKS, CLUSTER_COLUMNS, CONSTRAINT_PREFIX, GENERATED_COLUMNS, GENERATION_EXPRESSION, RULE_SETTINGS, foreign_generated,
    rule_properties, settings_changed,
};

/// What the user asked to bring up to date; all empty means everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Datasets whose flows run; names as the user wrote them.
    pub refresh: Vec<String>,
    /// Flows that run.
    pub refresh_flows: Vec<String>,
    /// Datasets that are emptied and computed from the start.
    pub full_refresh: Vec<String>,
    /// The same for all datasets that are not protected.
    pub full_refresh_all: bool,
    /// Datasets that keep their rows and forget their positions.
    pub reset_checkpoints: Vec<String>,
    /// Also resets the streaming tables that read a reset one.
    pub cascade: bool,
}

impl Selection {
    /// True if datasets or flows are named, so that others are left out.
    pub fn names_some(&self) -> bool {
        [&self.refresh, &self.refresh_flows, &self.full_refresh, &self.reset_checkpoints].iter().any(|names| !names.is_empty())
    }

    /// The same datasets and flows, and nothing is emptied or forgotten.
    #[must_use]
    pub fn without_resets(&self) -> Self {
        let refresh = [&self.refresh, &self.full_refresh, &self.reset_checkpoints].into_iter().flatten().cloned().collect();
        Self { refresh, refresh_flows: self.refresh_flows.clone(), ..Self::default() }
    }
}

/// What storage holds for a dataset, as far as planning needs it. Gathered by the runner's `observe`.
#[derive(Clone, Debug)]
pub struct StoredTable {
    /// `None` if the catalog of the pipeline does not know it.
    pub kind: Option<DatasetKind>,
    /// `floe.pipelineId` of the table; `None` for a foreign table.
    pub pipeline_id: Option<String>,
    /// The id in the table's metadata; another one means another table.
    pub table_id: String,
    /// Newest version of the Delta log.
    pub version: i64,
    /// Stored columns in their order, partition columns included.
    pub schema: SchemaRef,
    /// Partition columns in their order.
    pub partition_by: Vec<String>,
    /// Comment of the table.
    pub comment: Option<String>,
    /// All properties of the table, Floe's own included.
    pub properties: BTreeMap<String, String>,
}

/// All that is stored for a pipeline.
#[derive(Clone, Debug, Default)]
pub struct StoredState {
    /// `None` before the first update.
    pub pipeline_id: Option<String>,
    /// Stored tables, those of quarantine included.
    pub tables: BTreeMap<DatasetName, StoredTable>,
    /// Quarantine tables that the catalog knows.
    pub quarantines: BTreeSet<DatasetName>,
    /// Fingerprint of the last successful refresh of each MV flow.
    pub fingerprints: BTreeMap<String, String>,
    /// Names of ONCE flows that completed in their current generation.
    pub completed_once: Vec<String>,
    /// Tables that storage has and no file declares.
    pub inactive: Vec<DatasetName>,
    /// Per stored target of Auto CDC the properties of its journal; `None`: it has no journal.
    pub journals: BTreeMap<DatasetName, Option<BTreeMap<String, String>>>,
    /// Per flow that has committed micro-batches, in lower case, what their state was made for; flows that have and had none may be missing.
    pub operators: BTreeMap<String, Vec<StatefulOperator>>,
    /// Flows that write or once wrote a table, by its key. Some may have left the definition; their checkpoints are still there.
    pub writers: BTreeMap<String, Vec<String>>,
}

/// An update, planned completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdatePlan {
    /// Flows to run, in the order of the graph; all others are EXCLUDED.
    pub selected: Vec<String>,
    /// Datasets to reset, in the order of the graph.
    pub resets: Vec<Reset>,
    /// What changes in storage, in the order of the graph.
    pub changes: Vec<Change>,
    /// What the stored rows of tables have to keep from now on: to be asked before anything is written.
    pub new_rules: Vec<NewRules>,
    /// Told to the user: protected tables that a full refresh of everything spares, for example.
    pub notes: Vec<String>,
    /// What the user has to know before the first row is written: sinks to which everything is appended again.
    pub warnings: Vec<String>,
}

/// One dataset to empty or one checkpoint to forget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reset {
    /// Full name.
    pub dataset: String,
    /// What is forgotten.
    pub kind: ResetKind,
    /// Flows whose checkpoint starts a new generation.
    pub flows: Vec<String>,
}

/// The two kinds of reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ResetKind {
    /// Rows and positions.
    FullRefresh,
    /// Positions; the rows stay.
    CheckpointReset,
}

/// One line of the plan of changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant says what its fields are")]
pub enum Change {
    /// The table does not exist yet.
    Create { dataset: String },
    /// Columns are appended to the table.
    Evolve { dataset: String, added: Vec<String> },
    /// Columns get a wider type, and the data files are written again.
    Widen { dataset: String, columns: Vec<String> },
    /// The table has a column that its queries give no more; new rows hold NULL there.
    ColumnNoLongerProduced { dataset: String, columns: Vec<String> },
    /// A metadata commit changes `what`: comments, properties, clustering, rules of rows.
    Properties { dataset: String, what: Vec<String> },
    /// A materialized view is computed in full, with the reason.
    Recompute { dataset: String, reason: String },
    /// A dataset is emptied or its checkpoint forgotten.
    Reset { dataset: String, kind: ResetKind },
    /// A stored table that no file declares any more; it stays.
    Inactive { dataset: String },
}

/// Rules that a table gets although it may hold rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRules {
    /// The table.
    pub dataset: DatasetName,
    /// The version whose rows count.
    pub version: i64,
    /// Names of checks.
    pub checks: Vec<String>,
    /// Columns that hold no NULL from now on.
    pub not_null: Vec<String>,
}

/// Either the plan, or every reason why the update must not start.
pub type PlanResult = Result<UpdatePlan, Vec<Diagnostic>>;

/// What `selection` does to what is `stored`: complete before anything is written.
pub fn plan_update(graph: &ResolvedGraph, selection: &Selection, stored: &StoredState) -> PlanResult {
    let chosen = selection::choose(graph, selection, stored)?;
    let changes::Found { changes, new_rules, mut errors } = changes::changes(graph, &chosen, stored);
    errors.extend(selection::broken_streams(graph, &chosen, stored));
    if !errors.is_empty() {
        return Err(errors);
    }
    let selected = graph.flows.iter().map(|flow| flow.name.clone()).filter(|name| chosen.flows.contains(&name.to_lowercase())).collect();
    Ok(UpdatePlan { selected, resets: chosen.resets, changes, new_rules, notes: chosen.notes, warnings: chosen.warnings })
}
