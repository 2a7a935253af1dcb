//! The graph of a definition as a RunReport says it: datasets with what their Table objects need, flows, findings. Pure.

use floe_crds::{
    pipeline::GraphCounts,
    run_report::{DatasetReport, Finding, GraphFlow, GraphReport},
    state::{ExpectationAction, FlowType},
    table::{
        AutoCdcSpec, CheckSpec, ColumnSpec, ColumnsSpec, ConstraintsSpec, ExpectationSpec, OnViolation, RefreshPolicy as PolicySpec,
        TableFlow, TableSpec, TableType,
    },
    text::cut,
};
use floe_graph::{
    definition::{
        AutoCdc, ClauseExpr, Column, ColumnName, ColumnSelection, Dataset, DatasetKind, Expectation, Flow, FlowKind, RefreshPolicy,
        TableCheck,
    },
    graph::{ResolvedDataset, ResolvedFlow, ResolvedKind},
    name::Namespace,
    origin::{Diagnostic, Severity},
};

use crate::{failure::Failure, project::given::is_object, update::Resolved};

/// Most findings of a report.
const MAX_FINDINGS: usize = 100;
/// Longest text of a finding.
const MAX_TEXT_BYTES: usize = 2048;
/// Longest name of an input.
const MAX_NAME_BYTES: usize = 512;
/// Where a dataset stands that a Table object declares.
const MANIFEST: &str = "manifest";
/// Errors about what an update was asked to do: the definition may be right.
const SELECTION_ERRORS: [&str; 4] =
    ["CONFLICTING_PIPELINE_REFRESH_OPTIONS", "UNKNOWN_DATASET_IN_SELECTION", "RESET_NOT_ALLOWED", "FULL_REFRESH_BREAKS_STREAM"];

/// The report of a graph without errors.
pub fn report(resolved: &Resolved) -> GraphReport {
    let graph = &resolved.graph;
    GraphReport {
        hash: graph.id.clone(),
        valid: true,
        findings: findings(&graph.lints),
        datasets: graph.datasets.values().filter_map(|dataset| dataset_report(resolved, dataset)).collect(),
        flows: graph.flows.iter().map(flow).collect(),
        counts: counts(resolved),
    }
}

/// The report of a definition that `failure` refuses; `None` if it is about something else.
pub fn refused(failure: &Failure) -> Option<GraphReport> {
    let is_error = |found: &&Diagnostic| found.severity == Severity::Error;
    let mut errors = failure.diagnostics.iter().filter(is_error).peekable();
    errors.peek()?;
    if errors.any(|found| SELECTION_ERRORS.contains(&found.class.as_str())) {
        return None;
    }
    Some(GraphReport { valid: false, findings: findings(&failure.diagnostics), ..GraphReport::default() })
}

fn findings(diagnostics: &[Diagnostic]) -> Vec<Finding> {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|found| found.severity);
    let finding = |found: &Diagnostic| Finding {
        error: found.severity == Severity::Error,
        class: found.class.clone(),
        message: cut(&found.message, MAX_TEXT_BYTES).to_string(),
        origin: found.origin.as_ref().map(ToString::to_string),
        help: found.help.as_ref().map(|help| cut(help, MAX_TEXT_BYTES).to_string()),
    };
    sorted.into_iter().take(MAX_FINDINGS).map(finding).collect()
}

/// Sinks have no Table object: their tables are not ours.
fn dataset_report(resolved: &Resolved, dataset: &ResolvedDataset) -> Option<DatasetReport> {
    let definition = &dataset.definition;
    let from_manifest = is_object(&definition.origin.file);
    let table_type = match definition.kind {
        DatasetKind::StreamingTable => TableType::StreamingTable,
        DatasetKind::MaterializedView => TableType::MaterializedView,
        DatasetKind::TemporaryView | DatasetKind::View => TableType::TemporaryView,
        DatasetKind::External => TableType::External,
        DatasetKind::Sink => return None,
    };
    let has_object = table_type != TableType::TemporaryView && !from_manifest;
    Some(DatasetReport {
        full_name: definition.name.to_string(),
        table_type,
        declared_in: if from_manifest { MANIFEST.to_string() } else { definition.origin.to_string() },
        spec: has_object.then(|| table_spec(resolved, definition, table_type)),
    })
}

/// The Table object that means the same as the statement.
fn table_spec(resolved: &Resolved, definition: &Dataset, table_type: TableType) -> TableSpec {
    let namespace = &resolved.project.input.namespace;
    let other = |own: &str, default: &str| (!own.eq_ignore_ascii_case(default)).then(|| own.to_string());
    let (query, auto_cdc, flows) = queries(&resolved.project.definitions.flows, definition, namespace);
    let is_view = table_type == TableType::MaterializedView;
    TableSpec {
        pipeline: resolved.project.name.clone(),
        name: Some(definition.name.name.clone()),
        schema: other(&definition.name.schema, &namespace.schema),
        catalog: other(&definition.name.catalog, &namespace.catalog),
        table_type,
        private: definition.private,
        query,
        flows,
        auto_cdc,
        expectations: definition.expectations.iter().map(expectation).collect(),
        columns: definition.columns.iter().flatten().map(column).collect(),
        constraints: checks(definition),
        partition_by: definition.partition_by.clone(),
        cluster_by: definition.cluster_by.clone(),
        comment: definition.comment.clone(),
        properties: definition.properties.clone(),
        refresh_policy: is_view.then(|| policy(definition.refresh_policy)).flatten(),
        deletion_policy: None,
        freshness_seconds: 0,
        maintenance: None,
        location: definition.location.clone(),
        format: None,
    }
}

/// The query or the changes of a dataset with a flow of its own, else its flows.
fn queries(flows: &[Flow], definition: &Dataset, namespace: &Namespace) -> (Option<String>, Option<AutoCdcSpec>, Vec<TableFlow>) {
    let own: Vec<&Flow> = flows.iter().filter(|flow| flow.target == definition.name).collect();
    if let [only] = own.as_slice()
        && only.with_dataset
        && only.kind != FlowKind::Once
    {
        let (query, auto_cdc) = query_or_changes(only);
        return (query, auto_cdc, Vec::new());
    }
    let flow = |flow: &&Flow| {
        let (query, auto_cdc) = query_or_changes(flow);
        let name = if flow.with_dataset { definition.name.short(namespace) } else { flow.name.clone() };
        TableFlow { name, query, auto_cdc, once: flow.kind == FlowKind::Once, comment: flow.comment.clone() }
    };
    (None, None, own.iter().map(flow).collect())
}

fn query_or_changes(flow: &Flow) -> (Option<String>, Option<AutoCdcSpec>) {
    match &flow.kind {
        FlowKind::AutoCdc(cdc) => (None, Some(auto_cdc(cdc, &flow.query.text))),
        _ => (Some(flow.query.text.to_string()), None),
    }
}

fn auto_cdc(cdc: &AutoCdc, query: &str) -> AutoCdcSpec {
    let text = |clause: &Option<ClauseExpr>| clause.as_ref().map(|clause| clause.text.clone());
    let names = |selection: &Option<ColumnSelection>| match selection {
        Some(ColumnSelection::Only(names)) => (column_names(names), Vec::new()),
        Some(ColumnSelection::Except(names)) => (Vec::new(), column_names(names)),
        None => (Vec::new(), Vec::new()),
    };
    let ((columns, except_columns), (track_history_columns, track_history_except_columns)) =
        (names(&cdc.columns), names(&cdc.track_history));
    let ignored = || {
        let (columns, except_columns) = names(&cdc.ignore_null_updates);
        ColumnsSpec { columns, except_columns }
    };
    AutoCdcSpec {
        source: query.strip_prefix("SELECT * FROM ").unwrap_or(query).to_string(),
        snapshot: cdc.snapshot,
        keys: cdc.keys.iter().map(|key| key.text.trim_matches('`').to_string()).collect(),
        sequence_by: text(&cdc.sequence_by),
        apply_as_delete_when: text(&cdc.apply_as_delete_when),
        apply_as_truncate_when: text(&cdc.apply_as_truncate_when),
        ignore_null_updates: cdc.ignore_null_updates.is_some().then(ignored),
        columns,
        except_columns,
        stored_as_scd_type: i32::from(cdc.scd_type),
        track_history_columns,
        track_history_except_columns,
        once: cdc.once,
    }
}

fn column_names(names: &[ColumnName]) -> Vec<String> {
    names.iter().map(|column| column.name.clone()).collect()
}

fn expectation(expectation: &Expectation) -> ExpectationSpec {
    let on_violation = match expectation.action {
        ExpectationAction::Warn => OnViolation::Warn,
        ExpectationAction::Drop => OnViolation::DropRow,
        ExpectationAction::Fail => OnViolation::FailUpdate,
        ExpectationAction::Quarantine => OnViolation::QuarantineRow,
    };
    ExpectationSpec {
        name: expectation.name.clone(),
        expr: expectation.text.clone(),
        on_violation,
        quarantine_into: expectation.quarantine_into.as_ref().map(ToString::to_string),
    }
}

/// Keys are for information, and were read and forgotten.
fn checks(definition: &Dataset) -> Option<ConstraintsSpec> {
    let check = |check: &TableCheck| CheckSpec { name: check.name.clone(), expr: check.predicate.text.clone() };
    let checks: Vec<CheckSpec> = definition.checks.iter().map(check).collect();
    (!checks.is_empty()).then(|| ConstraintsSpec { checks, ..ConstraintsSpec::default() })
}

fn column(column: &Column) -> ColumnSpec {
    ColumnSpec {
        name: column.name.clone(),
        data_type: column.data_type.clone(),
        nullable: column.nullable,
        comment: column.comment.clone(),
        generated_as: column.generated.as_ref().map(|clause| clause.text.clone()),
    }
}

fn policy(policy: RefreshPolicy) -> Option<PolicySpec> {
    match policy {
        RefreshPolicy::Auto => None,
        RefreshPolicy::Incremental => Some(PolicySpec::Incremental),
        RefreshPolicy::IncrementalStrict => Some(PolicySpec::IncrementalStrict),
        RefreshPolicy::Full => Some(PolicySpec::Full),
    }
}

fn flow(flow: &ResolvedFlow) -> GraphFlow {
    let flow_type = match &flow.kind {
        ResolvedKind::Append | ResolvedKind::Once => FlowType::Append,
        ResolvedKind::Complete => FlowType::MaterializedView,
        ResolvedKind::AutoCdc(_) if flow.kind.is_snapshot() => FlowType::SnapshotChange,
        ResolvedKind::AutoCdc(_) => FlowType::Change,
    };
    GraphFlow {
        name: flow.name.clone(),
        dataset: flow.target.to_string(),
        flow_type,
        inputs: flow.inputs.iter().map(|input| cut(&input.source_id(), MAX_NAME_BYTES).to_string()).collect(),
    }
}

fn counts(resolved: &Resolved) -> GraphCounts {
    let graph = &resolved.graph;
    let count = |kinds: &[DatasetKind]| graph.datasets.values().filter(|dataset| kinds.contains(&dataset.definition.kind)).count() as i32;
    GraphCounts {
        datasets: (graph.datasets.len() as i32) - count(&[DatasetKind::Sink]),
        streaming_tables: count(&[DatasetKind::StreamingTable]),
        materialized_views: count(&[DatasetKind::MaterializedView]),
        views: count(&[DatasetKind::TemporaryView, DatasetKind::View]),
        externals: count(&[DatasetKind::External]),
        sinks: count(&[DatasetKind::Sink]),
        flows: graph.flows.len() as i32,
        inactive: resolved.stored.inactive.len() as i32,
        lints: graph.lints.len() as i32,
    }
}
