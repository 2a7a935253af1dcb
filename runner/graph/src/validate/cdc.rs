//! Rules about Auto CDC: what a target and a source must be.

use crate::{
    analysis::AnalysedQuery,
    definition::{AutoCdc, Dataset, DatasetKind, Flow, FlowKind},
    origin::Diagnostic,
    relation::RelationKind,
};

fn is_auto_cdc(flow: &Flow) -> bool {
    matches!(flow.kind, FlowKind::AutoCdc(_))
}

/// AUTOCDC_TARGET_HAS_OTHER_FLOWS: rows that were appended have no place in the journal.
pub(super) fn other_flows(dataset: &Dataset, flows: &[&Flow]) -> Option<Diagnostic> {
    let change = flows.iter().find(|flow| is_auto_cdc(flow))?;
    let other = flows.iter().find(|flow| !is_auto_cdc(flow) && flow.kind != FlowKind::View)?;
    let message = format!("flow {} merges changes into {}, and flow {} appends to it", change.name, dataset.name.name, other.name);
    let error = Diagnostic::error("AUTOCDC_TARGET_HAS_OTHER_FLOWS", message).at(&other.origin).about(dataset.name.to_string());
    Some(error.help("write into two tables, or make both flows AUTO CDC"))
}

/// APPEND_ONLY_NOT_ALLOWED, and W008 for deletion vectors of a table whose rows stay as they are.
pub(super) fn properties(dataset: &Dataset, flows: &[&Flow]) -> Option<Diagnostic> {
    let is_set = |key: &str| {
        let mut properties = dataset.properties.iter();
        properties.any(|(known, value)| known.eq_ignore_ascii_case(key) && value.trim().eq_ignore_ascii_case("true"))
    };
    let is_target = flows.iter().any(|flow| is_auto_cdc(flow));
    let found = if is_target && is_set("delta.appendOnly") {
        let message = format!("delta.appendOnly is not allowed on {}, the target of AUTO CDC", dataset.name.name);
        Diagnostic::error("APPEND_ONLY_NOT_ALLOWED", message).help("leave it out: rows are updated and deleted")
    } else if !is_target && dataset.kind == DatasetKind::StreamingTable && is_set("delta.enableDeletionVectors") {
        Diagnostic::lint("W008", "property delta.enableDeletionVectors is not applied")
            .help("it is for targets of AUTO CDC; no row of this table is changed")
    } else {
        return None;
    };
    Some(found.at(&dataset.origin).about(dataset.name.to_string()))
}

/// AUTOCDC_SOURCE_NOT_STREAMING, or what ONCE and FROM SNAPSHOT cannot read.
pub(crate) fn cdc_source(dataset: &Dataset, (flow, cdc): (&Flow, &AutoCdc), query: &AnalysedQuery) -> Option<Diagnostic> {
    let error = |class: &str, message: String, help: &str| {
        Some(Diagnostic::error(class, message).at(&flow.query.origin).about(dataset.name.to_string()).help(help))
    };
    if !cdc.once && !cdc.snapshot && !query.streaming {
        let message = format!("the source of flow {} is no stream", flow.name);
        return error("AUTOCDC_SOURCE_NOT_STREAMING", message, "read a table or a temporary view with STREAM");
    }
    if cdc.snapshot && query.streaming {
        let message = format!("flow {} reads snapshots, but its source is a stream", flow.name);
        return error("AUTOCDC_SNAPSHOT_SOURCE_NOT_A_TABLE", message, "name a table, or a directory with read_files, without STREAM");
    }
    if cdc.once && query.streaming {
        let message = format!("flow {} runs once, but reads a stream", flow.name);
        let class = "INVALID_FLOW_QUERY_TYPE.STREAMING_RELATION_FOR_ONCE_FLOW";
        return error(class, message, "read it without STREAM, or leave ONCE out");
    }
    let is_versioned = |kind: &RelationKind| {
        matches!(kind, RelationKind::Dataset { .. } | RelationKind::Delta { version: None, .. } | RelationKind::Files { .. })
    };
    let is_one_table = matches!(query.leaves.as_slice(), [only] if is_versioned(&only.kind)) && reads_only_a_leaf(&query.plan);
    if cdc.snapshot && !is_one_table {
        let message = format!("the snapshots of flow {} come from a query, which has no versions", flow.name);
        return error("AUTOCDC_SNAPSHOT_SOURCE_NOT_A_TABLE", message, "name a table, or a directory with read_files");
    }
    if cdc.snapshot
        && let [only] = query.leaves.as_slice()
        && let RelationKind::Files { path, .. } = &only.kind
        && path.contains(['*', '?', '[', '{'])
    {
        let message = format!("the snapshots of flow {} come from a pattern of files, {path}", flow.name);
        let help = "name the directory: each file or sub-directory in it is a snapshot; pathGlobFilter chooses among file names";
        return error("AUTOCDC_SNAPSHOT_SOURCE_NOT_A_TABLE", message, help);
    }
    None
}

/// True if the plan does no more than name the columns of a relation.
fn reads_only_a_leaf(plan: &datafusion_expr::LogicalPlan) -> bool {
    use datafusion_expr::{Expr, LogicalPlan};
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::SubqueryAlias(alias) => reads_only_a_leaf(&alias.input),
        LogicalPlan::Projection(projection) => {
            let is_column = |expr: &Expr| matches!(expr.clone().unalias(), Expr::Column(_));
            projection.expr.iter().all(is_column) && reads_only_a_leaf(&projection.input)
        }
        _ => false,
    }
}

/// What is wrong with a source that is no stream, in the words of Auto CDC.
pub(crate) fn cdc_source_kind(flow: &Flow, found: Option<DatasetKind>, finding: Diagnostic) -> Diagnostic {
    let is_batch = matches!(found, Some(DatasetKind::MaterializedView | DatasetKind::View | DatasetKind::TemporaryView));
    if !matches!(flow.kind, FlowKind::AutoCdc(_)) || !is_batch || finding.class != "STREAMING_SOURCE_NOT_APPEND_ONLY" {
        return finding;
    }
    let message = format!("the source of flow {} is no stream: {}", flow.name, finding.message);
    Diagnostic { class: "AUTOCDC_SOURCE_NOT_STREAMING".to_string(), message, ..finding }
        .help("read a streaming table, or a temporary view over streams; for a table that is replaced use FROM SNAPSHOT")
}
