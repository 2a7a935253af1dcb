//! The rules of a graph, each its own function: what is wrong with the definitions alone, with a typed query, with the whole graph.

mod dataset;
mod flow;
mod given;
mod property;
mod stream;

use std::collections::{BTreeMap, HashMap};

use floe_crds::state::ExpectationAction;

pub(crate) use dataset::stored_schema;
pub(crate) use flow::{query_type, reference};

use crate::{
    definition::{Dataset, Definitions, Flow},
    graph::{ResolvedDataset, ResolvedFlow},
    name::DatasetName,
    origin::Diagnostic,
    resolve::ResolveInput,
};

/// The class of errors that only follow from another one.
pub(crate) const UPSTREAM: &str = "UPSTREAM_ANALYSIS_FAILED";

/// Everything that can be said before any query is typed.
pub(crate) fn definitions(definitions: &Definitions, input: &ResolveInput) -> Vec<Diagnostic> {
    let mut findings = dataset::duplicates(definitions, input);
    findings.extend(flow::duplicates(definitions));
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
        findings.extend(dataset::layout(declared));
        findings.extend(dataset::refresh_policy(declared));
        findings.extend(property::table(declared, input));
    }
    findings
}

/// Everything that needs the resolved graph.
pub(crate) fn resolved(
    datasets: &BTreeMap<DatasetName, ResolvedDataset>,
    flows: &[ResolvedFlow],
    _input: &ResolveInput,
) -> Vec<Diagnostic> {
    flows.iter().flat_map(|resolved| [flow::resettable_dependency(resolved, datasets), stream::overlaps(resolved)].concat()).collect()
}

/// The name of the quarantine table of a dataset that has one.
pub(crate) fn quarantine_name(dataset: &Dataset) -> Option<DatasetName> {
    let rules = dataset.expectations.iter().filter(|rule| rule.action == ExpectationAction::Quarantine);
    let mut into: Vec<Option<&DatasetName>> = rules.map(|rule| rule.quarantine_into.as_ref()).collect();
    into.sort_by_key(Option::is_none);
    let first = into.first()?;
    Some(first.cloned().unwrap_or_else(|| DatasetName { name: format!("{}_quarantine", dataset.name.name), ..dataset.name.clone() }))
}
