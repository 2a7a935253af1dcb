//! The rules of a graph, each its own function: what is wrong with the definitions alone, with a typed query, with the whole graph.

mod cdc;
mod dataset;
mod flow;
mod given;
mod property;
mod stream;

use std::collections::{BTreeMap, HashMap, HashSet};

use floe_crds::state::ExpectationAction;

pub(crate) use cdc::cdc_source_kind;
pub(crate) use dataset::stored_schema;
pub(crate) use flow::{query_type, reference};
pub(crate) use given::unread;

use crate::{
    definition::{Dataset, DatasetKind, Definitions, Flow, FlowKind},
    graph::{ResolvedDataset, ResolvedFlow},
    name::DatasetName,
    origin::Diagnostic,
    resolve::ResolveInput,
};

/// The class of errors that only follow from another one.
pub(crate) const UPSTREAM: &str = "UPSTREAM_ANALYSIS_FAILED";

/// Datasets that are defined twice, and the definitions with the first of each: what follows from the second is no error of its own.
pub(crate) fn duplicates(mut definitions: Definitions, input: &ResolveInput) -> (Definitions, Vec<Diagnostic>) {
    let findings = dataset::duplicates(&definitions, input);
    let mut seen = HashSet::new();
    let mut again = HashSet::new();
    let name = |name: &DatasetName, kind: DatasetKind| (name.clone(), kind == DatasetKind::TemporaryView);
    definitions.datasets.retain(|dataset| {
        let is_first = seen.insert(name(&dataset.name, dataset.kind));
        if !is_first {
            again.insert(dataset.name.clone());
        }
        is_first
    });
    let mut fed = HashSet::new();
    definitions.flows.retain(|flow| {
        !again.contains(&flow.target) || !flow.with_dataset || fed.insert((flow.target.clone(), flow.kind == FlowKind::View))
    });
    (definitions, findings)
}

/// Everything that can be said before any query is typed.
pub(crate) fn definitions(definitions: &Definitions, input: &ResolveInput) -> Vec<Diagnostic> {
    let mut findings = flow::duplicates(definitions);
    findings.extend(dataset::empty_pipeline(definitions));
    findings.extend(flow::targets(definitions));
    findings.extend(property::pipeline(input));
    findings.extend(given::unread(definitions, input));
    let mut writers: HashMap<&DatasetName, Vec<&Flow>> = HashMap::new();
    for flow in &definitions.flows {
        writers.entry(&flow.target).or_default().push(flow);
    }
    for declared in definitions.datasets.iter().filter(|dataset| !definitions.incomplete.contains(&dataset.name)) {
        let flows = writers.get(&declared.name).map(Vec::as_slice).unwrap_or_default();
        findings.extend(dataset::without_flow(declared, flows));
        findings.extend(dataset::several_queries(declared, flows));
        findings.extend(dataset::expectations(declared));
        findings.extend(dataset::layout(declared, flows));
        findings.extend(dataset::row_rules(declared, flows));
        findings.extend(dataset::other_order(declared, flows));
        findings.extend(dataset::refresh_policy(declared));
        findings.extend(property::table(declared, input));
        findings.extend(cdc::other_flows(declared, flows));
        findings.extend(cdc::properties(declared, flows));
    }
    findings
}

/// Everything that needs the resolved graph.
pub(crate) fn resolved(
    datasets: &BTreeMap<DatasetName, ResolvedDataset>,
    flows: &[ResolvedFlow],
    _input: &ResolveInput,
) -> Vec<Diagnostic> {
    let of_each = flows.iter().flat_map(|resolved| [flow::resettable_dependency(resolved, datasets), stream::overlaps(resolved)].concat());
    of_each.chain(stream::archives(flows)).collect()
}

/// The name of the quarantine table of a dataset that has one.
pub(crate) fn quarantine_name(dataset: &Dataset) -> Option<DatasetName> {
    let rules = dataset.expectations.iter().filter(|rule| rule.action == ExpectationAction::Quarantine);
    let mut into: Vec<Option<&DatasetName>> = rules.map(|rule| rule.quarantine_into.as_ref()).collect();
    into.sort_by_key(Option::is_none);
    let first = into.first()?;
    Some(first.cloned().unwrap_or_else(|| DatasetName { name: format!("{}_quarantine", dataset.name.name), ..dataset.name.clone() }))
}
