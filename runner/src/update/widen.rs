//! A file of a running flow has fields that become columns: the definitions are resolved again with the wider columns, and the tables get
//! them, those downstream too. Flows that start from then on are the new ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use datafusion::arrow::datatypes::SchemaRef;
use floe_graph::{
    file_schema::widened,
    graph::{ResolvedDataset, ResolvedGraph},
    name::DatasetName,
    plan::UpdatePlan,
    resolve::{self, ResolveInput},
};

use super::{Resolved, tables};
use crate::{event_log::EventLog, failpoint, failure::Failure, observe::is_written, project::invalid, update::tables::Tables};

/// What the driver needs to plan again.
pub struct Widening {
    resolved: Resolved,
    plan: UpdatePlan,
    log: EventLog,
}

/// The graph with the wider columns, and the tables that have got them.
pub struct Widened {
    pub graph: Arc<ResolvedGraph>,
    pub tables: Tables,
    /// By the keys of their relations.
    pub found_schemas: Arc<BTreeMap<String, SchemaRef>>,
}

/// The columns that were found in files, by the keys of their relations.
pub fn found_schemas(input: &ResolveInput) -> Arc<BTreeMap<String, SchemaRef>> {
    let found = input.file_schemas.iter().filter_map(|(key, schema)| Some((key.clone(), Arc::clone(schema.as_ref().ok()?))));
    Arc::new(found.collect())
}

impl Widening {
    pub fn new(resolved: &Resolved, plan: &UpdatePlan, log: &EventLog) -> Self {
        Self { resolved: resolved.clone(), plan: plan.clone(), log: log.clone() }
    }

    /// Resolves with `wider` and alters those of `tables` that are behind. After a failure the graph is the old one; tables may have got columns
    /// that nothing writes yet.
    pub async fn widen(&mut self, wider: BTreeMap<String, SchemaRef>, tables: &Tables) -> Result<Widened, Failure> {
        let sources: Vec<String> = wider.keys().filter_map(|key| key.lines().next()).map(str::to_string).collect();
        let mut project = self.resolved.project.clone();
        for (key, schema) in wider {
            // Another flow over the same files may have widened them otherwise meanwhile.
            let schema = match project.input.file_schemas.get(&key) {
                Some(Ok(known)) => widened(known, &schema).0,
                _ => schema,
            };
            project.input.file_schemas.insert(key, Ok(schema));
        }
        let graph = Arc::new(resolve::resolve(project.definitions.clone(), &project.input).map_err(invalid)?);
        let found_schemas = found_schemas(&project.input);
        let before = Arc::clone(&self.resolved.graph);
        let resolved = Resolved { project, graph: Arc::clone(&graph), ..self.resolved.clone() };
        failpoint::reach("widen::before")?;
        let selected: BTreeSet<&DatasetName> = graph
            .flows
            .iter()
            .filter(|flow| self.plan.selected.iter().any(|name| name.eq_ignore_ascii_case(&flow.name)))
            .map(|flow| &flow.target)
            .collect();
        let mut altered = Tables::new();
        for dataset in graph.datasets.values().filter(|dataset| is_written(dataset) && selected.contains(&dataset.definition.name)) {
            if has_other_columns(before.datasets.get(&dataset.definition.name), dataset) {
                altered.extend(Box::pin(tables::widen(&resolved, dataset, tables, (&sources, &self.log))).await?);
            }
        }
        failpoint::reach("widen::after")?;
        self.resolved = resolved;
        Ok(Widened { graph, tables: altered, found_schemas })
    }
}

fn has_other_columns(before: Option<&ResolvedDataset>, now: &ResolvedDataset) -> bool {
    before.is_none_or(|before| before.schema != now.schema || before.checked_schema != now.checked_schema)
}
