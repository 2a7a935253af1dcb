//! Rules about flows: names, targets, batch or stream, protected targets.

use std::collections::{BTreeMap, HashMap};

use super::{cdc::cdc_source, quarantine_name};
use crate::{
    analysis::{AnalysedQuery, RelationReference},
    definition::{Dataset, DatasetKind, Definitions, Flow, FlowKind},
    graph::{ResolvedDataset, ResolvedFlow},
    name::DatasetName,
    origin::{Diagnostic, Origin},
    relation::RelationKind,
};

/// PIPELINE_DUPLICATE_IDENTIFIERS.FLOW: two flows of one name. Two definitions of one dataset are reported as such, not for their flows too.
pub(super) fn duplicates(definitions: &Definitions) -> Vec<Diagnostic> {
    let mut first: HashMap<(String, bool), &Flow> = HashMap::new();
    let mut errors = Vec::new();
    for flow in &definitions.flows {
        let key = (flow.name.to_lowercase(), flow.kind == FlowKind::View);
        match first.get(&key) {
            None => {
                first.insert(key, flow);
            }
            Some(other) if other.with_dataset && flow.with_dataset && other.target == flow.target => {}
            Some(other) => {
                let message = format!("two definitions of flow {}: {}, {}", flow.name, other.origin, flow.origin);
                let error = Diagnostic::error("PIPELINE_DUPLICATE_IDENTIFIERS.FLOW", message).at(&flow.origin);
                errors.push(error.help("give one of them another name"));
            }
        }
    }
    errors
}

/// FLOW_TARGET_NOT_FOUND, FLOW_TARGET_NOT_STREAMING_TABLE, Auto CDC into a view.
pub(super) fn targets(definitions: &Definitions) -> Vec<Diagnostic> {
    let mut kinds: BTreeMap<&DatasetName, Vec<DatasetKind>> = BTreeMap::new();
    for dataset in &definitions.datasets {
        kinds.entry(&dataset.name).or_default().push(dataset.kind);
    }
    let quarantine: Vec<DatasetName> = definitions.datasets.iter().filter_map(quarantine_name).collect();
    let mut errors = Vec::new();
    for flow in definitions.flows.iter().filter(|flow| !flow.with_dataset && flow.kind != FlowKind::View) {
        if definitions.incomplete.contains(&flow.target) {
            continue;
        }
        let error = |class: &str, text: &str| {
            let message = format!("flow {} writes to {}, {text}", flow.name, flow.target.name);
            Diagnostic::error(class, message).at(&flow.origin).about(flow.target.to_string())
        };
        match kinds.get(&flow.target).map(Vec::as_slice) {
            None if quarantine.contains(&flow.target) => {
                let text = "a quarantine table, which only its dataset fills";
                errors.push(error("FLOW_TARGET_NOT_STREAMING_TABLE", text).help("write into another table"));
            }
            None => {
                let found = error("FLOW_TARGET_NOT_FOUND", "which is not a streaming table or sink of this pipeline");
                errors.push(found.help(format!("add CREATE OR REFRESH STREAMING TABLE {}", flow.target.name)));
            }
            Some(kinds) if kinds.contains(&DatasetKind::StreamingTable) => {}
            Some(kinds) if kinds.contains(&DatasetKind::Sink) => {
                if matches!(flow.kind, FlowKind::AutoCdc(_)) {
                    let found = error("SINK_NOT_ALLOWED", "a sink, and Auto CDC cannot merge into sinks");
                    errors.push(found.help("merge into a streaming table"));
                }
            }
            Some(kinds) if matches!(flow.kind, FlowKind::AutoCdc(_)) && is_view(kinds) => {
                let class = "INVALID_FLOW_QUERY_TYPE.AUTOCDC_RELATION_FOR_TEMPORARY_VIEW";
                errors.push(error(class, "a view, and Auto CDC cannot write to views").help("write into a streaming table"));
            }
            Some(_) => {
                let found = error("FLOW_TARGET_NOT_STREAMING_TABLE", "which is not a streaming table or sink");
                errors.push(found.help("flows are added to streaming tables and sinks only"));
            }
        }
    }
    errors
}

fn is_view(kinds: &[DatasetKind]) -> bool {
    kinds.iter().any(|kind| matches!(kind, DatasetKind::TemporaryView | DatasetKind::View))
}

/// INVALID_FLOW_QUERY_TYPE: a batch query where a stream is needed, or the other way round.
pub(crate) fn query_type(dataset: &Dataset, flow: &Flow, query: &AnalysedQuery) -> Option<Diagnostic> {
    if let FlowKind::AutoCdc(cdc) = &flow.kind {
        return cdc_source(dataset, (flow, cdc), query);
    }
    let name = &dataset.name.name;
    let stream = query.leaves.iter().find(|leaf| leaf.streaming);
    let source = stream.map(|leaf| leaf.source_id()).unwrap_or_default();
    let (class, message, help) = match (&flow.kind, query.streaming, dataset.kind) {
        (FlowKind::Append, false, _) => (
            "BATCH_RELATION_FOR_STREAMING_TABLE",
            match dataset.kind {
                DatasetKind::Sink => format!("flow {} cannot append a batch query to sink {name}", flow.name),
                _ if flow.with_dataset => format!("cannot create streaming table {name} from a batch query"),
                _ => format!("flow {} cannot append a batch query to streaming table {name}", flow.name),
            },
            match dataset.kind {
                DatasetKind::StreamingTable if flow.with_dataset => "read one of its inputs with STREAM, or make it a materialized view",
                _ => "read one of its inputs with STREAM, or append it once: INSERT INTO ONCE",
            },
        ),
        (FlowKind::Complete, true, _) => (
            "STREAMING_RELATION_FOR_MATERIALIZED_VIEW",
            format!("materialized view {name} reads STREAM({source})"),
            "read it without STREAM, or make it a streaming table",
        ),
        (FlowKind::Once, true, _) => (
            "STREAMING_RELATION_FOR_ONCE_FLOW",
            format!("flow {} runs once, but reads STREAM({source})", flow.name),
            "read it without STREAM, or leave ONCE out",
        ),
        (FlowKind::View, true, DatasetKind::View) => (
            "STREAMING_RELATION_FOR_PERSISTED_VIEW",
            format!("view {name} reads STREAM({source})"),
            "read it without STREAM, or make it a temporary view",
        ),
        _ => return None,
    };
    let error = Diagnostic::error(format!("INVALID_FLOW_QUERY_TYPE.{class}"), message);
    Some(error.at(place(flow, query)).about(dataset.name.to_string()).help(help))
}

/// Where the stream is read, or the flow is defined.
fn place<'a>(flow: &'a Flow, query: &'a AnalysedQuery) -> &'a Origin {
    let stream = query.leaves.iter().filter(|leaf| leaf.streaming).find_map(|leaf| leaf.origin.as_ref());
    // A stream inside a view stands in another place than the flow; the flow is what must change.
    stream.filter(|origin| origin.file == flow.origin.file && **origin > flow.origin).unwrap_or(&flow.origin)
}

/// INVALID_TEMP_OBJ_REFERENCE: a stored view lives longer than a temporary one.
pub(crate) fn reference(dataset: &Dataset, reference: &RelationReference, found: Option<DatasetKind>) -> Option<Diagnostic> {
    if dataset.kind != DatasetKind::View || found != Some(DatasetKind::TemporaryView) {
        return None;
    }
    let message = format!("view {} reads temporary view {}", dataset.name.name, reference.text());
    let error = Diagnostic::error("INVALID_TEMP_OBJ_REFERENCE", message).at(&reference.origin).about(dataset.name.to_string());
    Some(error.help("make both of them temporary views, or read a table"))
}

/// INVALID_RESETTABLE_DEPENDENCY: a table that must keep its rows streams from one that may be emptied.
pub(super) fn resettable_dependency(flow: &ResolvedFlow, datasets: &BTreeMap<DatasetName, ResolvedDataset>) -> Vec<Diagnostic> {
    let Some(target) = datasets.get(&flow.target).filter(|target| target.is_protected()) else { return Vec::new() };
    let mut errors = Vec::new();
    for input in flow.inputs.iter().filter(|input| input.streaming) {
        let RelationKind::Dataset { name } = &input.kind else { continue };
        if datasets.get(name).is_some_and(|source| !source.is_protected()) {
            let message = format!("{} is protected from reset but streams from {}, which is not", target.definition.name.name, name.name);
            let error = Diagnostic::error("INVALID_RESETTABLE_DEPENDENCY", message).at(&flow.origin).about(flow.target.to_string());
            errors.push(error.help(format!("set pipelines.reset.allowed=false on {}", name.name)));
        }
    }
    errors
}
