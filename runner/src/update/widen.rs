//! A file of a running flow has fields that become columns, or wider types: the definitions are resolved again with the wider columns, and the
//! tables get them, those downstream too. Flows that start from then on are the new ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::Arc,
};

use datafusion::arrow::datatypes::SchemaRef;
use floe_graph::{
    analysis::state::{drift, state_of},
    cdc,
    definition::DatasetKind,
    file_schema::{self, joined},
    graph::{ResolvedDataset, ResolvedGraph, ResolvedKind},
    name::DatasetName,
    origin::{Diagnostic, Severity},
    plan::{UpdatePlan, state_help},
    resolve::{self, ResolveInput},
    type_widening,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::{Resolved, altering::Altering, tables};
use crate::{
    execute::progress::Wider,
    failpoint,
    failure::Failure,
    observe::{CONCURRENT_READS, is_written},
    project::invalid,
    state::Checkpoint,
    update::tables::Tables,
};

/// What the driver needs to plan again.
pub struct Widening {
    resolved: Resolved,
    plan: UpdatePlan,
    altering: Altering,
}

/// A widening that is decided and not begun.
pub struct PlannedWidening {
    /// With the wider columns.
    resolved: Resolved,
    before: Arc<ResolvedGraph>,
    /// Datasets whose tables get columns or wider types.
    behind: BTreeSet<DatasetName>,
    /// The paths whose files have more.
    sources: Vec<String>,
    altering: Altering,
}

/// The graph with the wider columns.
pub struct Widened {
    resolved: Resolved,
    pub graph: Arc<ResolvedGraph>,
    /// By the keys of their relations.
    pub found_schemas: Arc<BTreeMap<String, SchemaRef>>,
}

/// A widening that has ended.
pub struct EndedWidening {
    /// The tables that were altered, also if others could not be.
    pub altered: Tables,
    /// `Break`: it was stopped.
    pub outcome: Result<ControlFlow<(), Widened>, Failure>,
}

/// The columns that were found in files, by the keys of their relations.
pub fn found_schemas(input: &ResolveInput) -> Arc<BTreeMap<String, SchemaRef>> {
    let found = input.file_schemas.iter().filter_map(|(key, schema)| Some((key.clone(), Arc::clone(schema.as_ref().ok()?))));
    Arc::new(found.collect())
}

impl Widening {
    pub fn new(resolved: &Resolved, plan: &UpdatePlan, altering: Altering) -> Self {
        Self { resolved: resolved.clone(), plan: plan.clone(), altering }
    }

    /// Resolves with `wider`, and finds the tables that are behind.
    pub fn planned(&self, wider: Wider) -> Result<PlannedWidening, Failure> {
        let Wider { schemas, found } = wider;
        let sources: Vec<String> = schemas.keys().filter_map(|key| key.lines().next()).map(str::to_string).collect();
        let mut project = self.resolved.project.clone();
        for (key, schema) in schemas {
            // Another flow over the same files may have widened them otherwise meanwhile.
            let schema = match project.input.file_schemas.get(&key) {
                Some(Ok(known)) => joined(known, &schema, self.widens_types(&key)),
                _ => schema,
            };
            project.input.file_schemas.insert(key, Ok(schema));
        }
        let graph = resolve::resolve(project.definitions.clone(), &project.input);
        let graph = Arc::new(graph.map_err(|findings| invalid(findings.into_iter().map(|finding| because_of(finding, &found)).collect()))?);
        let before = Arc::clone(&self.resolved.graph);
        let selected: BTreeSet<&DatasetName> = graph
            .flows
            .iter()
            .filter(|flow| self.plan.selected.iter().any(|name| name.eq_ignore_ascii_case(&flow.name)))
            .map(|flow| &flow.target)
            .collect();
        let behind = graph
            .datasets
            .values()
            .filter(|dataset| is_written(dataset) && selected.contains(&dataset.definition.name))
            .filter(|dataset| has_other_columns(before.datasets.get(&dataset.definition.name), dataset))
            .map(|dataset| dataset.definition.name.clone())
            .collect();
        let resolved = Resolved { project, graph, ..self.resolved.clone() };
        Ok(PlannedWidening { resolved, before, behind, sources, altering: self.altering.clone() })
    }

    /// The next widening begins where this one ended.
    pub fn take_over(&mut self, widened: &Widened) {
        self.resolved = widened.resolved.clone();
    }

    /// True if the relation of `key` may get wider types.
    fn widens_types(&self, key: &str) -> bool {
        let mut relations = self.resolved.graph.flows.iter().flat_map(|flow| &flow.inputs);
        relations.any(|relation| type_widening::is_wanted(relation) && file_schema::key(relation) == key)
    }
}

impl PlannedWidening {
    /// Datasets whose tables are altered.
    pub fn datasets(&self) -> &BTreeSet<DatasetName> {
        &self.behind
    }

    /// The flows that read or write a table which is altered.
    pub fn touched_flows(&self) -> BTreeSet<String> {
        let graph = &self.resolved.graph;
        let writes = |name: &str| graph.flow(name).is_some_and(|flow| self.behind.contains(&flow.target));
        let touched = graph.flows.iter().filter(|flow| writes(&flow.name) || flow.upstream.iter().any(|upstream| writes(upstream)));
        touched.map(|flow| flow.name.clone()).collect()
    }

    /// Alters those of `tables` that are behind, after all of them and the state of all flows were looked at. After a failure, or a stop, the
    /// graph is the old one; tables may have got columns, or wider ones, that nothing needs yet.
    pub async fn carry_out(self, tables: Tables) -> EndedWidening {
        let mut altered = Tables::new();
        let outcome = Box::pin(self.alter(&tables, &mut altered)).await;
        if !matches!(outcome, Ok(ControlFlow::Continue(()))) {
            // Views get their columns with their rows, and these come of the old graph.
            let is_view = |name: &DatasetName| {
                let dataset = self.resolved.graph.datasets.get(name);
                dataset.is_some_and(|dataset| dataset.definition.kind == DatasetKind::MaterializedView)
            };
            altered.retain(|name, _| !is_view(name));
        }
        let outcome = outcome.map(|flow| match flow {
            ControlFlow::Continue(()) => {
                let found_schemas = found_schemas(&self.resolved.project.input);
                let graph = Arc::clone(&self.resolved.graph);
                ControlFlow::Continue(Widened { resolved: self.resolved, graph, found_schemas })
            }
            ControlFlow::Break(()) => ControlFlow::Break(()),
        });
        EndedWidening { altered, outcome }
    }

    async fn alter(&self, tables: &Tables, altered: &mut Tables) -> Result<ControlFlow<()>, Failure> {
        let resolved = &self.resolved;
        check_sequences(&resolved.graph, &self.before)?;
        check_state(resolved, &self.before).await?;
        let behind: Vec<&ResolvedDataset> = self.behind.iter().filter_map(|name| resolved.graph.datasets.get(name)).collect();
        for dataset in &behind {
            Box::pin(tables::check_widening(resolved, dataset, tables)).await?;
        }
        remember_plans(resolved, &self.before).await?;
        failpoint::reach("widen::before")?;
        for dataset in behind {
            let widened = Box::pin(tables::widen((resolved, dataset), tables, (&self.sources, &self.altering), altered)).await?;
            if widened.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        failpoint::reach("widen::after")?;
        Ok(ControlFlow::Continue(()))
    }
}

/// The definition was right until files had more: `found` says which of them, and what.
fn because_of(finding: Diagnostic, found: &str) -> Diagnostic {
    if finding.severity != Severity::Error {
        return finding;
    }
    let table = finding.dataset.as_deref().and_then(|name| name.rsplit('.').next()).unwrap_or("TABLE");
    let given = finding.help.as_deref().map(|help| format!("; {help}")).unwrap_or_default();
    let help = format!(
        "keep the definition by schemaHints with the declared type (values that do not fit are rescued), or follow the file: the same type in \
         schemaHints and in the declaration, and --full-refresh {table}{given}"
    );
    Diagnostic { message: format!("{} ({found})", finding.message), help: Some(help), ..finding }
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

/// A flow that is under way may have committed a part of a micro-batch by its former plan: it ends it by the wider one.
async fn remember_plans(now: &Resolved, before: &ResolvedGraph) -> Result<(), Failure> {
    let mut changed: Vec<[String; 3]> = Vec::new();
    for flow in now.graph.flows.iter().filter(|flow| flow.kind != ResolvedKind::Complete) {
        let before = before.flow(&flow.name).map(|before| &before.fingerprint);
        if let Some(before) = before.filter(|before| **before != flow.fingerprint) {
            changed.push([flow.name.clone(), before.clone(), flow.fingerprint.clone()]);
        }
    }
    let written = stream::iter(changed).map(|[flow, before, now_planned]| async move {
        let checkpoint = Checkpoint::open(&now.storage, &flow).await?;
        checkpoint.write_widened(&before, &now_planned).await
    });
    written.buffer_unordered(CONCURRENT_READS).try_collect().await
}

fn has_other_columns(before: Option<&ResolvedDataset>, now: &ResolvedDataset) -> bool {
    before.is_none_or(|before| before.schema != now.schema || before.checked_schema != now.checked_schema)
}
