//! Rules about datasets: names, kinds, expectations, columns, layout.

use std::collections::{BTreeMap, HashMap, HashSet};

use datafusion_common::arrow::datatypes::{DataType, SchemaRef};
use floe_crds::state::ExpectationAction;

use super::quarantine_name;
use crate::{
    analysis::place_of_item,
    definition::{Dataset, DatasetKind, Definitions, Flow, FlowKind, RefreshPolicy, z_order_columns},
    explain::kind_text,
    name::DatasetName,
    origin::{Diagnostic, Origin},
    resolve::{ResolveInput, near_names},
};

/// What messages call `pipelines.autoOptimize.zOrderCols`.
const Z_ORDER: &str = "zOrderCols";

/// What a column of a table must not have in its name.
const FORBIDDEN: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];

fn is_stored(dataset: &Dataset) -> bool {
    matches!(dataset.kind, DatasetKind::StreamingTable | DatasetKind::MaterializedView)
}

/// PIPELINE_DUPLICATE_IDENTIFIERS.OUTPUT: one name for two datasets, quarantine tables and the event log included.
pub(super) fn duplicates(definitions: &Definitions, input: &ResolveInput) -> Vec<Diagnostic> {
    let mut first: BTreeMap<(DatasetName, bool), (&Origin, String)> = BTreeMap::new();
    let mut errors = Vec::new();
    let named = definitions.datasets.iter().map(|dataset| {
        let temporary = dataset.kind == DatasetKind::TemporaryView;
        ((dataset.name.clone(), temporary), &dataset.origin, kind_text(dataset.kind).to_string())
    });
    let quarantine = definitions.datasets.iter().filter_map(|dataset| {
        let name = quarantine_name(dataset)?;
        Some(((name, false), &dataset.origin, format!("quarantine table of {}", dataset.name.name)))
    });
    for (name, origin, what) in named.chain(quarantine) {
        if !name.1 && name.0.name.eq_ignore_ascii_case(&input.event_log) {
            let message = format!("{what} {} has the name of the event log", name.0);
            errors.push(duplicate(message, origin, &name.0).help("choose another name, or change spec.eventLog.name"));
        }
        match first.get(&name) {
            None => {
                first.insert(name, (origin, what));
            }
            Some((other, other_what)) => {
                let kind = if what == *other_what { what } else { format!("{other_what} and {what}") };
                let message = format!("two definitions of {kind} {}: {other}, {origin}", name.0);
                errors.push(duplicate(message, origin, &name.0).help("remove one of them or give it another name"));
            }
        }
    }
    errors
}

fn duplicate(message: String, origin: &Origin, name: &DatasetName) -> Diagnostic {
    Diagnostic::error("PIPELINE_DUPLICATE_IDENTIFIERS.OUTPUT", message).at(origin).about(name.to_string())
}

/// RUN_EMPTY_PIPELINE: nothing would be stored.
pub(super) fn empty_pipeline(definitions: &Definitions) -> Option<Diagnostic> {
    let has_incomplete = !definitions.incomplete.is_empty();
    let is_written = |dataset: &Dataset| is_stored(dataset) || dataset.kind == DatasetKind::Sink;
    if has_incomplete || definitions.is_part || definitions.datasets.iter().any(is_written) || has_errors(definitions) {
        return None;
    }
    let error = Diagnostic::error("RUN_EMPTY_PIPELINE", "no table or sink is defined (temporary views do not count)");
    let Some(view) = definitions.datasets.iter().find(|dataset| dataset.kind != DatasetKind::External) else {
        return Some(error.help("define a streaming table or a materialized view in one of the files of the project"));
    };
    let help = format!("an update computes what is stored: add a streaming table or a materialized view that reads {}", view.name.name);
    Some(error.at(&view.origin).help(help))
}

fn has_errors(definitions: &Definitions) -> bool {
    definitions.diagnostics.iter().any(|found| found.severity == crate::origin::Severity::Error)
}

/// PIPELINE_DATASET_WITHOUT_FLOW: nothing writes the dataset.
pub(super) fn without_flow(dataset: &Dataset, flows: &[&Flow]) -> Option<Diagnostic> {
    if dataset.kind == DatasetKind::External || !flows.is_empty() {
        return None;
    }
    let message = format!("{} {} has no flow", kind_text(dataset.kind), dataset.name.name);
    let error = Diagnostic::error("PIPELINE_DATASET_WITHOUT_FLOW", message).at(&dataset.origin).about(dataset.name.to_string());
    Some(error.help(match dataset.kind {
        DatasetKind::Sink => format!("add CREATE FLOW name AS INSERT INTO {} BY NAME SELECT …, or leave it out", dataset.name.name),
        _ => "add AS query or CREATE FLOW".to_string(),
    }))
}

/// MATERIALIZED_VIEW_WITH_MULTIPLE_QUERIES.
pub(super) fn several_queries(dataset: &Dataset, flows: &[&Flow]) -> Option<Diagnostic> {
    if dataset.kind != DatasetKind::MaterializedView {
        return None;
    }
    let flows: Vec<&str> = flows.iter().filter(|flow| flow.kind != FlowKind::View).map(|flow| flow.name.as_str()).collect();
    if flows.len() < 2 {
        return None;
    }
    let message = format!("materialized view {} has flows {}; exactly one is allowed", dataset.name.name, flows.join(", "));
    let error = Diagnostic::error("MATERIALIZED_VIEW_WITH_MULTIPLE_QUERIES", message).at(&dataset.origin).about(dataset.name.to_string());
    Some(error.help("combine the queries with UNION ALL, or make it a streaming table"))
}

/// EXPECTATION_DUPLICATE_NAME, EXPECTATION_NOT_ALLOWED, QUARANTINE_NOT_ALLOWED_ON_VIEW, two names of one quarantine table.
pub(super) fn expectations(dataset: &Dataset) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let mut first: HashMap<String, &Origin> = HashMap::new();
    let mut into: Option<&DatasetName> = None;
    for rule in &dataset.expectations {
        let mut error = |class: &str, message: String, help: &str| {
            errors.push(Diagnostic::error(class, message).at(&rule.origin).about(dataset.name.to_string()).help(help));
        };
        if let Some(other) = first.insert(rule.name.to_lowercase(), &rule.origin) {
            let message = format!("two expectations of {} are named {}: {other}, {}", dataset.name.name, rule.name, rule.origin);
            error("EXPECTATION_DUPLICATE_NAME", message, "give one of them another name");
        }
        if matches!(dataset.kind, DatasetKind::View | DatasetKind::External) {
            let message = format!("{} {} cannot have expectations", kind_text(dataset.kind), dataset.name.name);
            error("EXPECTATION_NOT_ALLOWED", message, "put the expectation on a table, a materialized view or a temporary view");
        }
        if rule.action != ExpectationAction::Quarantine {
            continue;
        }
        if matches!(dataset.kind, DatasetKind::View | DatasetKind::TemporaryView) {
            let message = format!(
                "expectation {} of view {} cannot quarantine rows: each reader would write them again",
                rule.name, dataset.name.name
            );
            error("QUARANTINE_NOT_ALLOWED_ON_VIEW", message, "put the expectation on the table that reads the view");
        }
        if let (Some(own), Some(other)) = (&rule.quarantine_into, into)
            && own != other
        {
            let message = format!("rows of {} go to one quarantine table, but {other} and {own} are named", dataset.name.name);
            error("QUARANTINE_INTO_CONFLICT", message, "name the same table in all expectations of the dataset");
        }
        into = into.or(rule.quarantine_into.as_ref());
    }
    errors
}

/// CLUSTER BY: not together with PARTITIONED BY, and not for targets of Auto CDC, whose files are sorted by their keys.
pub(super) fn layout(dataset: &Dataset, flows: &[&Flow]) -> Option<Diagnostic> {
    if dataset.cluster_by.is_empty() {
        return None;
    }
    if dataset.partition_by.is_empty() {
        let target = flows.iter().any(|flow| matches!(flow.kind, FlowKind::AutoCdc(_)));
        let refusal = Diagnostic::not_supported("CLUSTER BY of a target of Auto CDC").at(&dataset.origin).about(dataset.name.to_string());
        return target.then(|| refusal.help("leave it out: files of such a table are sorted by its keys"));
    }
    let message = format!("{} has PARTITIONED BY and CLUSTER BY", dataset.name.name);
    let error = Diagnostic::error("SPECIFY_CLUSTER_BY_WITH_PARTITIONED_BY_IS_NOT_ALLOWED", message).at(&dataset.origin);
    Some(error.about(dataset.name.to_string()).help("keep one of them"))
}

/// W007: `zOrderCols` where another order counts.
pub(super) fn other_order(dataset: &Dataset, flows: &[&Flow]) -> Option<Diagnostic> {
    if z_order_columns(&dataset.properties).is_empty() {
        return None;
    }
    let why = if flows.iter().any(|flow| matches!(flow.kind, FlowKind::AutoCdc(_))) {
        "files of a target of Auto CDC are sorted by its keys"
    } else if dataset.cluster_by.is_empty() {
        return None;
    } else {
        "CLUSTER BY counts"
    };
    let lint = Diagnostic::lint("W007", format!("pipelines.autoOptimize.zOrderCols of {} has no effect: {why}", dataset.name.name));
    Some(lint.at(&dataset.origin).about(dataset.name.to_string()))
}

/// DELTA_CONSTRAINT_ALREADY_EXISTS, and generated columns in a target of Auto CDC.
pub(super) fn row_rules(dataset: &Dataset, flows: &[&Flow]) -> Vec<Diagnostic> {
    let about = |error: Diagnostic| error.about(dataset.name.to_string());
    let mut errors = Vec::new();
    let mut seen = HashSet::new();
    for check in &dataset.checks {
        if !seen.insert(check.name.to_lowercase()) {
            let message = format!("two checks of {} are named {}", dataset.name.name, check.name);
            let error = Diagnostic::error("DELTA_CONSTRAINT_ALREADY_EXISTS", message).at(&check.origin);
            errors.push(about(error.help("give one of them another name")));
        }
    }
    let is_target = flows.iter().any(|flow| matches!(flow.kind, FlowKind::AutoCdc(_)));
    for column in dataset.columns.iter().flatten().filter(|column| column.generated.is_some()) {
        if is_target {
            let refusal = Diagnostic::not_supported("GENERATED ALWAYS AS in a target of Auto CDC").at(&column.origin);
            errors.push(about(refusal.help("compute the column in the source of the changes")));
        }
    }
    errors
}

/// `REFRESH POLICY INCREMENTAL` needs incremental maintenance.
pub(super) fn refresh_policy(dataset: &Dataset) -> Option<Diagnostic> {
    let text = match dataset.refresh_policy {
        RefreshPolicy::Auto | RefreshPolicy::Full => return None,
        RefreshPolicy::Incremental => "REFRESH POLICY INCREMENTAL",
        RefreshPolicy::IncrementalStrict => "REFRESH POLICY INCREMENTAL STRICT",
    };
    let refusal = Diagnostic::not_supported(text).at(&dataset.origin).about(dataset.name.to_string());
    Some(refusal.help("leave the policy out (AUTO) or use REFRESH POLICY FULL"))
}

/// Whether the columns can be stored in a plain Delta table, partitioned and sorted as declared.
pub(crate) fn stored_schema(dataset: &Dataset, schema: &SchemaRef, flows: &[&Flow]) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let about = |error: Diagnostic| error.at(&dataset.origin).about(dataset.name.to_string());
    let mut seen = HashSet::new();
    for field in schema.fields() {
        if !seen.insert(field.name().to_lowercase()) {
            let error = Diagnostic::error("COLUMN_ALREADY_EXISTS", format!("{} has two columns {}", dataset.name.name, field.name()));
            errors.push(about(error).help("give one of them an alias"));
        }
        if field.name().contains(FORBIDDEN) || field.name().is_empty() {
            let error = Diagnostic::error(
                "MISSING_ALIAS",
                format!("column `{}` of {} cannot be stored under that name", field.name(), dataset.name.name),
            );
            let place = flows.iter().find_map(|flow| place_of_item(&flow.query, field.name()));
            let error = about(error.help("give the expression an alias without blanks and without , ; { } ( ) ="));
            errors.push(Diagnostic { origin: place.or(error.origin), ..error });
        }
        if let Some((what, help)) = not_storable(field.data_type()) {
            let error =
                Diagnostic::error("DELTA_UNSUPPORTED_DATA_TYPE", format!("column {} of {} has {what}", field.name(), dataset.name.name));
            errors.push(about(error).help(help));
        }
    }
    if schema.fields().is_empty() {
        errors.push(about(Diagnostic::error("DELTA_EMPTY_SCHEMA", format!("{} has no column", dataset.name.name))));
    }
    errors.extend(layout_columns(dataset, schema));
    errors
}

/// What keeps a column out of a Delta table, and what to do.
fn not_storable(data_type: &DataType) -> Option<(&'static str, &'static str)> {
    match data_type {
        DataType::Null => Some(("no type (VOID)", "give it one, for example CAST(NULL AS STRING)")),
        DataType::Interval(_) | DataType::Duration(_) => {
            Some(("the type INTERVAL", "add it to a time and store that, or store its length as a number"))
        }
        DataType::List(field) | DataType::LargeList(field) | DataType::Map(field, _) => not_storable(field.data_type()),
        DataType::Struct(fields) => fields.iter().find_map(|field| not_storable(field.data_type())),
        _ => None,
    }
}

fn layout_columns(dataset: &Dataset, schema: &SchemaRef) -> Vec<Diagnostic> {
    let find = |name: &String| schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name));
    let mut errors = Vec::new();
    let mut error = |class: &str, message: String, help: String| {
        errors.push(Diagnostic::error(class, message).at(&dataset.origin).about(dataset.name.to_string()).help(help));
    };
    let columns = dataset.partition_by.iter().map(|name| (name, "PARTITIONED BY", "DELTA_PARTITION_COLUMN_NOT_FOUND"));
    let columns = columns.chain(dataset.cluster_by.iter().map(|name| (name, "CLUSTER BY", "DELTA_CLUSTERING_COLUMN_MISSING")));
    let ordered = z_order_columns(&dataset.properties);
    let columns = columns.chain(ordered.iter().map(|name| (name, Z_ORDER, "DELTA_ZORDERING_COLUMN_DOES_NOT_EXIST")));
    for (name, clause, missing) in columns {
        if clause == Z_ORDER && dataset.partition_by.iter().any(|column| column.eq_ignore_ascii_case(name)) {
            let message = format!("{clause} of {} names {name}, which is a partition column", dataset.name.name);
            error("DELTA_ZORDERING_ON_PARTITION_COLUMN", message, "all rows of a file have one value there: leave it out".to_string());
            continue;
        }
        let Some(field) = find(name) else {
            let near = near_names(name, schema.fields().iter().map(|field| field.name().clone()));
            let help =
                if near.is_empty() { "name a column of the table".to_string() } else { format!("did you mean {}?", near.join(", ")) };
            error(missing, format!("{clause} of {} names {name}, which is no column of it", dataset.name.name), help);
            continue;
        };
        let simple = !field.data_type().is_nested() && !matches!(field.data_type(), DataType::Binary);
        let sortable = simple && (clause == "PARTITIONED BY" || *field.data_type() != DataType::Boolean);
        if !sortable {
            let class = if clause == "PARTITIONED BY" {
                "INVALID_PARTITION_COLUMN_DATA_TYPE"
            } else {
                "DELTA_CLUSTERING_COLUMNS_DATATYPE_NOT_SUPPORTED"
            };
            let message =
                format!("{clause} of {} names {name} of type {}", dataset.name.name, crate::analysis::ddl::type_text(field.data_type()));
            error(class, message, "use numeric, string, date or timestamp columns".to_string());
        }
    }
    let partitions = dataset.partition_by.iter().filter(|name| find(name).is_some()).count();
    if partitions > 0 && partitions >= schema.fields().len() {
        let message = format!("all columns of {} are partition columns", dataset.name.name);
        error("ALL_PARTITION_COLUMNS_NOT_ALLOWED", message, "leave at least one column out of PARTITIONED BY".to_string());
    }
    errors
}
