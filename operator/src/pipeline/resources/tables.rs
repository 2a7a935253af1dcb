//! Table objects of datasets from SQL: what they should be, and how those that are there become so.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use floe_crds::{
    pipeline::Pipeline,
    run_report::{DatasetReport, GraphReport},
    table::{Table, TableSpec, TableType},
};
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use crate::{dataset, labels, owner};

/// Longest name of an object: it is also the value of a label.
const MAX_NAME: usize = 63;
/// What the report says of a dataset that has its own Table object.
const FROM_MANIFEST: &str = "manifest";

/// One step towards the wanted objects.
#[derive(Clone, Debug)]
pub enum TableChange {
    /// Make this object.
    Create(Box<Table>),
    /// Take back what differs.
    Patch {
        /// The object as it is.
        table: Arc<Table>,
        /// A merge patch (RFC 7386).
        patch: Value,
    },
    /// Remove this object: its dataset is declared by a manifest now, or became one of another type and is made anew.
    Delete(Arc<Table>),
    /// No object can be made.
    Refused {
        /// Full name of the dataset.
        dataset: String,
        /// Why.
        why: String,
    },
}

/// The changes after which the objects from SQL are those of `graph`. Objects from manifests are never touched, and those whose dataset is not
/// declared any more stay. `existing` are all Tables of the pipeline, `is_taken` knows the names of those of others.
pub fn desired_tables(
    pipeline: &Pipeline,
    graph: &GraphReport,
    existing: &[Arc<Table>],
    is_taken: impl Fn(&str) -> bool,
) -> Vec<TableChange> {
    if !graph.valid {
        return Vec::new();
    }
    let mut names: BTreeSet<String> = existing.iter().map(|table| table.name_any()).collect();
    let mut by_dataset: HashMap<String, Vec<&Arc<Table>>> = HashMap::new();
    for table in existing {
        by_dataset.entry(dataset::full_name(table, &pipeline.spec).to_lowercase()).or_default().push(table);
    }
    let mut changes = Vec::new();
    let mut datasets: Vec<&DatasetReport> =
        graph.datasets.iter().filter(|dataset| dataset.table_type != TableType::TemporaryView).collect();
    datasets.sort_by_cached_key(|dataset| dataset.full_name.to_lowercase());
    for wanted in datasets {
        let found = by_dataset.get(&wanted.full_name.to_lowercase()).map(Vec::as_slice).unwrap_or_default();
        let made = found.iter().copied().filter(|table| dataset::is_from_sql(table));
        if wanted.declared_in == FROM_MANIFEST {
            changes.extend(made.filter(|table| is_ours(table, pipeline)).cloned().map(TableChange::Delete));
            continue;
        }
        // A declaration by both is an error of the next graph; this one does not know yet.
        let Some(spec) = wanted.spec.as_ref().filter(|_| found.iter().all(|table| dataset::is_from_sql(table))) else { continue };
        let mut made: Vec<&Arc<Table>> = made.collect();
        made.sort_by_key(|table| (table.creation_timestamp().map(|time| time.0), table.name_any()));
        let Some((first, others)) = made.split_first() else {
            changes.push(created(pipeline, &wanted.full_name, spec, &mut names, &is_taken));
            continue;
        };
        changes.extend(others.iter().filter(|table| is_ours(table, pipeline)).map(|table| TableChange::Delete((*table).clone())));
        if is_ours(first, pipeline) {
            changes.extend(changed(pipeline, first, &spec_of(pipeline, &wanted.full_name, spec)));
        }
    }
    changes
}

/// False for what is going away, or rests for a person, or was made for an earlier Pipeline of this name and goes with it.
fn is_ours(table: &Table, pipeline: &Pipeline) -> bool {
    !owner::is_of_earlier_life(table, pipeline) && !dataset::is_deleted(table) && !labels::is_set(table, labels::PAUSED)
}

fn created(
    pipeline: &Pipeline,
    full_name: &str,
    spec: &TableSpec,
    names: &mut BTreeSet<String>,
    is_taken: &impl Fn(&str) -> bool,
) -> TableChange {
    let refused = |why: String| TableChange::Refused { dataset: full_name.to_string(), why };
    let plain = object_name(pipeline, full_name);
    let hashed = labels::cut_with_hash(&plain, MAX_NAME - 9, &full_name.to_lowercase());
    let is_free = |name: &String| name.len() <= MAX_NAME && !names.contains(name) && !is_taken(name);
    let Some(name) = [plain, hashed].into_iter().find(is_free) else {
        return refused("the names for its Table object belong to other Tables".to_string());
    };
    let spec = spec_of(pipeline, full_name, spec);
    if let Some(finding) = dataset::findings(&name, &spec).into_iter().next() {
        return refused(finding.message);
    }
    let mut table = Table::new(&name, spec);
    table.metadata.namespace = pipeline.namespace();
    table.metadata.labels = Some(labels::of_pipeline(&pipeline.name_any()));
    table.metadata.annotations = Some([(labels::DECLARED_IN.to_string(), dataset::FROM_SQL.to_string())].into());
    table.metadata.owner_references = Some(vec![owner::reference(pipeline)]);
    names.insert(name);
    TableChange::Create(Box::new(table))
}

/// The three parts of `full_name`; the last one may hold dots.
fn parts(full_name: &str) -> (&str, &str, &str) {
    let mut parts = full_name.splitn(3, '.');
    let mut next = || parts.next().unwrap_or_default();
    (next(), next(), next())
}

/// `<pipeline>-<dataset>`, with what is not the default before the dataset, in letters that names of objects may have.
fn object_name(pipeline: &Pipeline, full_name: &str) -> String {
    let (catalog, schema, name) = parts(full_name);
    let is_default_catalog = dataset::is_same_name(catalog, &pipeline.spec.catalog);
    let is_default_schema = is_default_catalog && dataset::is_same_name(schema, &pipeline.spec.schema);
    let mut words = vec![pipeline.name_any()];
    words.extend((!is_default_catalog).then(|| catalog.to_string()));
    words.extend((!is_default_schema).then(|| schema.to_string()));
    words.push(name.to_string());
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    words.join("-").chars().map(plain).collect::<String>().trim_matches('-').to_string()
}

/// The spec as the report gives it, and always that of the dataset `full_name` of this pipeline.
fn spec_of(pipeline: &Pipeline, full_name: &str, spec: &TableSpec) -> TableSpec {
    let (catalog, schema, name) = parts(full_name);
    let unless_default = |part: &str, default: &str| (!dataset::is_same_name(part, default)).then(|| part.to_string());
    TableSpec {
        pipeline: pipeline.name_any(),
        name: Some(name.to_string()),
        schema: unless_default(schema, &pipeline.spec.schema),
        catalog: unless_default(catalog, &pipeline.spec.catalog),
        ..spec.clone()
    }
}

/// What makes `table` an object with `spec` again.
fn changed(pipeline: &Pipeline, table: &Arc<Table>, spec: &TableSpec) -> Option<TableChange> {
    let fixed = |spec: &TableSpec| (spec.pipeline.clone(), spec.table_type, spec.name.clone(), spec.schema.clone(), spec.catalog.clone());
    if fixed(&table.spec) != fixed(spec) {
        return Some(TableChange::Delete(table.clone()));
    }
    let mut patch = Map::new();
    if table.spec != *spec {
        patch.insert("spec".to_string(), difference(&json!(table.spec), &json!(spec)));
    }
    let mut metadata = Map::new();
    let missing: Map<String, Value> = labels::of_pipeline(&pipeline.name_any())
        .into_iter()
        .filter(|(label, value)| table.labels().get(label) != Some(value))
        .map(|(label, value)| (label, json!(value)))
        .collect();
    if !missing.is_empty() {
        metadata.insert("labels".to_string(), Value::Object(missing));
    }
    if table.annotations().get(labels::DECLARED_IN).map(String::as_str) != Some(dataset::FROM_SQL) {
        metadata.insert("annotations".to_string(), json!({labels::DECLARED_IN: dataset::FROM_SQL}));
    }
    if dataset::owner(table).is_none() {
        metadata.insert("ownerReferences".to_string(), json!(owner::with(table.as_ref(), owner::reference(pipeline))));
    }
    if !metadata.is_empty() {
        patch.insert("metadata".to_string(), Value::Object(metadata));
    }
    (!patch.is_empty()).then(|| TableChange::Patch { table: table.clone(), patch: Value::Object(patch) })
}

/// The merge patch that turns `from` into `to`: what `to` lacks is taken away.
fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
    let gone = from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let new = to.iter().filter(|(key, value)| from.get(*key) != Some(value));
    let new = new.map(|(key, value)| (key.clone(), from.get(key).map_or_else(|| value.clone(), |old| difference(old, value))));
    gone.chain(new).collect()
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
