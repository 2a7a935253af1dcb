//! Definitions become a resolved graph: every name bound, every query typed, flows in topological order, or every error at once.

mod cdc;
mod fingerprint;
mod flow;
pub mod given;
mod names;
mod order;
mod relation;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use datafusion_common::arrow::datatypes::SchemaRef;

use crate::{
    analysis::{FoundRelation, Parameters, RelationReference, Relations, SqlSettings, references},
    definition::{Dataset, DatasetKind, Definitions, Flow, FlowKind},
    file_schema::{self, FileSchemas, NeededFileSchema},
    graph::{ResolvedFlow, ResolvedGraph},
    name::{DatasetName, Namespace},
    origin::{Diagnostic, Origin, Severity},
    relation::Relation,
    validate,
};

use flow::Resolver;
use names::Names;

pub(crate) use cdc::choice_text;
pub use fingerprint::plan_text;
pub(crate) use names::near_names;
pub use schema::quarantine_schema;
pub(crate) use schema::same_type;

/// What the definitions alone do not say: schemas of tables that other programs write, values of parameters, defaults of the pipeline.
#[derive(Clone, Debug)]
pub struct ResolveInput {
    /// By `Relation::source_id` of what `needed_observations` named; an error stands where it is read.
    pub observed: BTreeMap<String, Result<SchemaRef, Diagnostic>>,
    /// What `needed_file_schemas` named.
    pub file_schemas: FileSchemas,
    /// Values of `:name`.
    pub parameters: Parameters,
    /// `spec.configuration` with `--conf` over it.
    pub configuration: BTreeMap<String, String>,
    /// Table properties of every dataset; the dataset's own value wins.
    pub properties: BTreeMap<String, String>,
    /// Default namespace of the pipeline: where names are short.
    pub namespace: Namespace,
    /// `spec.eventLog.name`: no dataset may have it.
    pub event_log: String,
    /// Prefixes of source paths and what is read instead; the longest match wins.
    pub path_mappings: Vec<(String, String)>,
    /// What only the command line names.
    pub given: GivenNames,
    /// Where values of the Pipeline manifest stand, by JSON pointer (`/spec/properties/quality`).
    pub places: BTreeMap<String, Origin>,
}

/// Names with a value on the command line that the manifest does not have: something must read each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenNames {
    /// Of `--param`, in lower case.
    pub parameters: BTreeSet<String>,
    /// Of `--conf` and `--set`, without those that are options of flows.
    pub configuration: BTreeSet<String>,
}

impl Default for ResolveInput {
    fn default() -> Self {
        Self {
            observed: BTreeMap::new(),
            file_schemas: BTreeMap::new(),
            parameters: Parameters::default(),
            configuration: BTreeMap::new(),
            properties: BTreeMap::new(),
            namespace: Namespace { catalog: "main".to_string(), schema: "default".to_string() },
            event_log: "event_log".to_string(),
            path_mappings: Vec::new(),
            given: GivenNames::default(),
            places: BTreeMap::new(),
        }
    }
}

/// The relations that have to be looked up in storage before `resolve`, each once: the schema of external tables and tables by location; the
/// names in a directory of snapshots, as the schema of one column of `cdc::snapshot_type`.
pub fn needed_observations(definitions: &Definitions, input: &ResolveInput) -> Vec<Relation> {
    let names = Names::new(definitions);
    let mut seen = HashSet::new();
    let mut needed = Vec::new();
    for flow in &definitions.flows {
        let is_snapshot = matches!(&flow.kind, FlowKind::AutoCdc(cdc) if cdc.snapshot);
        for reference in references(&flow.query, &input.parameters) {
            let directory = is_snapshot.then(|| relation::directory(&reference, input)).flatten();
            if let Some(relation) = directory.or_else(|| relation::observable(&names, &reference, input))
                && seen.insert(relation.source_id())
            {
                needed.push(relation);
            }
        }
    }
    needed
}

/// The relations over files whose schema has to be looked up in storage before `resolve`, each once, by `file_schema::key`.
pub fn needed_file_schemas(definitions: &Definitions, input: &ResolveInput) -> BTreeMap<String, NeededFileSchema> {
    let names = Names::new(definitions);
    let mut needed: BTreeMap<String, NeededFileSchema> = BTreeMap::new();
    for flow in &definitions.flows {
        let mut relations = Vec::new();
        collect_inferred(definitions, (flow, &names, input), &mut BTreeSet::new(), &mut relations);
        for relation in relations {
            let streams = relation.streaming && flow.kind != FlowKind::View;
            let known = needed.entry(file_schema::key(&relation)).or_insert(NeededFileSchema { relation, flows: Vec::new() });
            known.flows.extend(streams.then(|| flow.name.clone()));
        }
    }
    needed
}

/// What a flow reads without a schema, through views too.
fn collect_inferred<'a>(
    definitions: &'a Definitions,
    (flow, names, input): (&'a Flow, &Names<'a>, &ResolveInput),
    seen: &mut BTreeSet<&'a str>,
    relations: &mut Vec<Relation>,
) {
    for reference in references(&flow.query, &input.parameters) {
        relations.extend(relation::inferred(&reference, input));
        let Some(view) = names.view(&reference) else { continue };
        let read = definitions.flows.iter().find(|flow| flow.kind == FlowKind::View && flow.target == *view);
        if let Some(read) = read.filter(|read| seen.insert(&read.name)) {
            collect_inferred(definitions, (read, names, input), seen, relations);
        }
    }
}

/// The graph without errors, or all errors, roots before dependents. Lints of `definitions` are kept.
pub fn resolve(definitions: Definitions, input: &ResolveInput) -> Result<ResolvedGraph, Vec<Diagnostic>> {
    let definitions = with_default_properties(definitions, input);
    let mut findings = definitions.diagnostics.clone();
    let (definitions, again) = validate::duplicates(definitions, input);
    findings.extend(again);
    findings.extend(validate::definitions(&definitions, input));
    let names = Names::new(&definitions);
    let order = order::order(&definitions, &names, &input.parameters);
    findings.extend(order.cycles.iter().cloned());

    let mut resolver = Resolver::new(&definitions, &names, input);
    for name in order.broken {
        resolver.break_dataset(name);
    }
    for dataset in order.datasets {
        resolver.dataset(dataset);
    }
    let (datasets, mut flows, more) = resolver.finish();
    findings.extend(more);
    order::connect(&mut flows, &datasets);
    let flows = order::topological(flows);
    findings.extend(validate::resolved(&datasets, &flows, input));

    let (errors, lints) = sorted_findings(findings);
    if !errors.is_empty() {
        return Err(errors.into_iter().chain(lints).collect());
    }
    let mut graph = ResolvedGraph::new(datasets, flows, lints);
    graph.id = fingerprint::graph_id(&graph);
    Ok(graph)
}

/// Looks up relations of a resolved graph: for queries that are no part of it (`floe sql`).
#[derive(Debug)]
pub struct GraphRelations<'a> {
    graph: &'a ResolvedGraph,
    input: &'a ResolveInput,
    names: Names<'a>,
}

impl<'a> GraphRelations<'a> {
    /// The relations of `graph`; `input` is the one that it was resolved with.
    pub fn new(graph: &'a ResolvedGraph, input: &'a ResolveInput) -> Self {
        Self { graph, input, names: Names::of_graph(graph) }
    }

    /// The relation whose schema storage must tell before the reference can be looked up, if it is one.
    pub fn observable(&self, reference: &RelationReference) -> Option<Relation> {
        relation::observable(&self.names, reference, self.input)
    }

    /// The relation over files whose schema storage must tell, if the reference is one.
    pub fn inferred(&self, reference: &RelationReference) -> Option<Relation> {
        relation::inferred(reference, self.input)
    }
}

impl Relations for GraphRelations<'_> {
    fn relation(&self, reference: &RelationReference) -> Result<FoundRelation, Diagnostic> {
        let known = relation::Known { others: &self.graph.datasets, temporary: &self.graph.datasets };
        relation::find(&self.names, known, reference, self.input)
    }
}

/// The SQL settings of a flow: those of the pipeline with its own `SET` values over them.
pub fn sql_settings(input: &ResolveInput, own: &BTreeMap<String, String>) -> SqlSettings {
    SqlSettings::from_settings(input.configuration.iter().chain(own))
}

fn with_default_properties(mut definitions: Definitions, input: &ResolveInput) -> Definitions {
    let stored = |dataset: &&mut Dataset| matches!(dataset.kind, DatasetKind::StreamingTable | DatasetKind::MaterializedView);
    for dataset in definitions.datasets.iter_mut().filter(stored) {
        for (key, value) in &input.properties {
            let has_own = dataset.properties.keys().any(|own| own.eq_ignore_ascii_case(key));
            if !has_own {
                dataset.properties.insert(key.clone(), value.clone());
            }
        }
    }
    definitions
}

/// Errors and lints, each once: errors of files first in the order of their places, dependents of other errors last.
fn sorted_findings(findings: Vec<Diagnostic>) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
    let mut seen = HashSet::new();
    let once = findings.into_iter().filter(|found| seen.insert((found.class.clone(), found.message.clone(), found.origin.clone())));
    let (mut errors, mut lints): (Vec<_>, Vec<_>) = once.partition(|found| found.severity == Severity::Error);
    let by_place = |found: &Diagnostic| (found.class == validate::UPSTREAM, found.origin.is_none(), found.origin.clone());
    errors.sort_by_key(by_place);
    lints.sort_by_key(by_place);
    (errors, lints)
}

/// Datasets that flows of the graph write, with the flows.
pub(crate) fn writers(flows: &[ResolvedFlow]) -> BTreeMap<&DatasetName, BTreeSet<usize>> {
    let mut writers: BTreeMap<&DatasetName, BTreeSet<usize>> = BTreeMap::new();
    for (at, flow) in flows.iter().enumerate() {
        writers.entry(&flow.target).or_default().insert(at);
    }
    writers
}
