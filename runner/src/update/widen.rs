//! A file of a running flow has fields that become columns: the definitions are resolved again with the wider columns, and the tables get
//! them, those downstream too. Flows that start from then on are the new ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use datafusion::arrow::datatypes::SchemaRef;
use floe_graph::{
    analysis::state::{drift, state_of},
    cdc,
    file_schema::{self, joined},
    graph::{ResolvedDataset, ResolvedGraph},
    name::DatasetName,
    plan::{UpdatePlan, state_help},
    resolve::{self, ResolveInput},
    type_widening,
};

use super::{Resolved, tables};
use crate::{
    commit::WriterMemory, event_log::EventLog, failpoint, failure::Failure, observe::is_written, project::invalid, state::Checkpoint,
    update::tables::Tables,
};

/// What the driver needs to plan again.
pub struct Widening {
    resolved: Resolved,
    plan: UpdatePlan,
    log: EventLog,
    /// What all writers share.
    memory: WriterMemory,
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
    pub fn new(resolved: &Resolved, plan: &UpdatePlan, log: &EventLog, memory: WriterMemory) -> Self {
        Self { resolved: resolved.clone(), plan: plan.clone(), log: log.clone(), memory }
    }

    /// Resolves with `wider` and alters those of `tables` that are behind, after all of them and the state of all flows were looked at. After a
    /// failure the graph is the old one; tables may have got columns, or wider ones, that nothing needs yet.
    pub async fn widen(&mut self, wider: BTreeMap<String, SchemaRef>, tables: &Tables) -> Result<Widened, Failure> {
        let sources: Vec<String> = wider.keys().filter_map(|key| key.lines().next()).map(str::to_string).collect();
        let mut project = self.resolved.project.clone();
        for (key, schema) in wider {
            // Another flow over the same files may have widened them otherwise meanwhile.
            let schema = match project.input.file_schemas.get(&key) {
                Some(Ok(known)) => joined(known, &schema, self.widens_types(&key)),
                _ => schema,
            };
            project.input.file_schemas.insert(key, Ok(schema));
        }
        let graph = Arc::new(resolve::resolve(project.definitions.clone(), &project.input).map_err(invalid)?);
        let found_schemas = found_schemas(&project.input);
        let before = Arc::clone(&self.resolved.graph);
        let resolved = Resolved { project, graph: Arc::clone(&graph), ..self.resolved.clone() };
        let selected: BTreeSet<&DatasetName> = graph
            .flows
            .iter()
            .filter(|flow| self.plan.selected.iter().any(|name| name.eq_ignore_ascii_case(&flow.name)))
            .map(|flow| &flow.target)
            .collect();
        let behind: Vec<&ResolvedDataset> = graph
            .datasets
            .values()
            .filter(|dataset| is_written(dataset) && selected.contains(&dataset.definition.name))
            .filter(|dataset| has_other_columns(before.datasets.get(&dataset.definition.name), dataset))
            .collect();
        check_sequences(&graph, &before)?;
        check_state(&resolved, &before).await?;
        for dataset in &behind {
            Box::pin(tables::check_widening(&resolved, dataset, tables)).await?;
        }
        failpoint::reach("widen::before")?;
        let mut altered = Tables::new();
        for dataset in behind {
            altered.extend(Box::pin(tables::widen(&resolved, dataset, tables, (&sources, &self.log, &self.memory))).await?);
        }
        failpoint::reach("widen::after")?;
        self.resolved = resolved;
        Ok(Widened { graph, tables: altered, found_schemas })
    }

    /// True if the relation of `key` may get wider types.
    fn widens_types(&self, key: &str) -> bool {
        let mut relations = self.resolved.graph.flows.iter().flat_map(|flow| &flow.inputs);
        relations.any(|relation| type_widening::is_wanted(relation) && file_schema::key(relation) == key)
    }
}

/// AUTOCDC_INVALID_STATE: a journal was made for sequences of the type of before.
fn check_sequences(now: &ResolvedGraph, before: &ResolvedGraph) -> Result<(), Failure> {
    for (name, dataset) in &now.datasets {
        let made_for = before.datasets.get(name).and_then(|dataset| dataset.auto_cdc.as_ref());
        let (Some(clauses), Some(made_for)) = (&dataset.auto_cdc, made_for) else { continue };
        if let Some(found) = cdc::drift(clauses, &cdc::properties(made_for)) {
            let help = format!(
                "cast the column that the changes are ordered by to its former type in the query, or to the wider one with --full-refresh {}",
                name.name
            );
            return Err(Failure::user(found.class, found.message).about(name.to_string()).help(help));
        }
    }
    Ok(())
}

/// STATE_STORE_INCOMPATIBLE: what a flow remembers was made for the columns of before.
async fn check_state(now: &Resolved, before: &ResolvedGraph) -> Result<(), Failure> {
    for flow in &now.graph.flows {
        let operators = state_of(&flow.plan).operators;
        let is_same = before.flow(&flow.name).is_none_or(|before| state_of(&before.plan).operators == operators);
        if is_same {
            continue;
        }
        let mut checkpoint = Checkpoint::open(&now.storage, &flow.name).await?;
        if checkpoint.last_batch().is_none() {
            continue;
        }
        let stored = checkpoint.state().await?;
        let stored: Vec<_> = stored.iter().flat_map(|state| &state.operators).map(|known| known.operator.clone()).collect();
        if let Some(found) = drift(&operators, &stored) {
            let help = state_help(&flow.target.name);
            return Err(Failure::user(found.class, found.message).about(flow.target.to_string()).help(help));
        }
    }
    Ok(())
}

fn has_other_columns(before: Option<&ResolvedDataset>, now: &ResolvedDataset) -> bool {
    before.is_none_or(|before| before.schema != now.schema || before.checked_schema != now.checked_schema)
}
