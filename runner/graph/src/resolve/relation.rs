//! One relation of a query becomes a leaf of its plan, a view that is inlined, or an error.

use std::{collections::BTreeMap, sync::Arc};

use datafusion_common::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::{
    ResolveInput,
    names::{Found, Names},
    schema::quarantine_schema,
};
use crate::{
    analysis::{FoundRelation, ReferenceKind, RelationReference, ddl, is_streaming},
    definition::DatasetKind,
    file_schema,
    function::timestamp_type,
    graph::ResolvedDataset,
    name::DatasetName,
    origin::Diagnostic,
    relation::{CHANGE_COLUMNS, CHANGES_FROM_VERSION, Relation, RelationKind, RelationSource},
    source_options::{self, SchemaReadOptions},
};

type Datasets = BTreeMap<DatasetName, ResolvedDataset>;

/// What is resolved so far. Temporary views stand apart: one may have the name of a table, which it hides.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub others: &'a Datasets,
    pub temporary: &'a Datasets,
}

/// The relation whose schema storage must tell, if the reference is one.
pub(super) fn observable(names: &Names<'_>, reference: &RelationReference, input: &ResolveInput) -> Option<Relation> {
    match (&reference.kind, names.named(reference)) {
        (ReferenceKind::DeltaPath(location), _) => Some(delta(reference, None, &mapped(location, input))),
        (_, Some(Found::Dataset(name, DatasetKind::External))) => {
            Some(delta(reference, Some(name.clone()), &mapped(names.location(name)?, input)))
        }
        _ => None,
    }
}

/// The directory of snapshots that the reference names, if it is one.
pub(super) fn directory(reference: &RelationReference, input: &ResolveInput) -> Option<Relation> {
    match files(reference, path_of(reference)?, input) {
        Ok(FoundRelation::Leaf(source)) => Some(source.relation.as_ref().clone()),
        _ => None,
    }
}

fn path_of(reference: &RelationReference) -> Option<&str> {
    match &reference.kind {
        ReferenceKind::Files { path } => Some(path),
        _ => None,
    }
}

/// What the reference means. Everything that it reads must be known.
pub(super) fn find(
    names: &Names<'_>,
    known: Known<'_>,
    reference: &RelationReference,
    input: &ResolveInput,
) -> Result<FoundRelation, Diagnostic> {
    match &reference.kind {
        ReferenceKind::Name(_) => {}
        ReferenceKind::DeltaPath(_) => return observed(names, reference, input),
        ReferenceKind::Files { path } => return files(reference, path, input),
        ReferenceKind::EventLog => {
            return Err(Diagnostic::not_supported("the event log in a query of the pipeline")
                .at(&reference.origin)
                .help("read it with floe sql or floe events"));
        }
    }
    let found = names.named(reference).ok_or_else(|| names.unknown(reference, None))?;
    match found {
        Found::Dataset(_, DatasetKind::External) => observed(names, reference, input),
        Found::Dataset(name, DatasetKind::StreamingTable) => {
            missing_change_data(known.others.get(name), reference)?;
            let found = stored(reference, name, schema_of(known.others, name)?)?;
            refuse_changes(known.others, name, reference, &found)?;
            Ok(found)
        }
        Found::Dataset(name, DatasetKind::MaterializedView) => {
            if !reference.options.contains_key(CHANGES_FROM_VERSION) {
                refuse_stream(reference, "a materialized view: it is replaced, not appended to")?;
            }
            missing_change_data(known.others.get(name), reference)?;
            stored(reference, name, schema_of(known.others, name)?)
        }
        Found::Dataset(name, DatasetKind::View) => {
            refuse_stream(reference, "a view, which is read as a whole")?;
            view(known.others, name, reference)
        }
        Found::Dataset(name, DatasetKind::TemporaryView) => view(known.temporary, name, reference),
        Found::Dataset(_, DatasetKind::Sink) => {
            let error =
                Diagnostic::error("TABLE_OR_VIEW_NOT_FOUND", format!("{} is a sink, which is written and not read", reference.text()));
            Err(error.at(&reference.origin).help("read what its flows read, or its table by place: delta.`path`"))
        }
        Found::Quarantine { name, owner, owner_kind } => {
            if owner_kind == DatasetKind::MaterializedView {
                refuse_stream(reference, "the quarantine table of a materialized view: it is replaced, not appended to")?;
            }
            missing_change_data(None, reference)?;
            let missing = || Diagnostic::error("INTERNAL_ERROR", format!("{owner} was read before it was resolved"));
            let owner = known.others.get(owner).ok_or_else(missing)?;
            stored(reference, name, quarantine_schema(&owner.checked_schema))
        }
    }
}

fn schema_of(datasets: &Datasets, name: &DatasetName) -> Result<SchemaRef, Diagnostic> {
    let missing = || Diagnostic::error("INTERNAL_ERROR", format!("{name} was read before it was resolved"));
    datasets.get(name).map(|dataset| Arc::clone(&dataset.schema)).ok_or_else(missing)
}

fn refuse_stream(reference: &RelationReference, what: &str) -> Result<(), Diagnostic> {
    if !reference.streaming {
        return Ok(());
    }
    Err(Diagnostic::error("STREAMING_SOURCE_NOT_APPEND_ONLY", format!("STREAM({}): {what}", reference.text()))
        .at(&reference.origin)
        .help("read it without STREAM, in a materialized view or as the static side of a join"))
}

/// DELTA_MISSING_CHANGE_DATA of a dataset that records no changes; that of other tables is found when they are read.
fn missing_change_data(dataset: Option<&ResolvedDataset>, reference: &RelationReference) -> Result<(), Diagnostic> {
    let is_recorded = dataset.is_some_and(ResolvedDataset::has_change_feed);
    if is_recorded || !reference.options.contains_key(CHANGES_FROM_VERSION) {
        return Ok(());
    }
    let message = format!("STREAM({}) CHANGES: the table records no changes", reference.text());
    Err(Diagnostic::error("DELTA_MISSING_CHANGE_DATA", message)
        .at(&reference.origin)
        .help("set delta.enableChangeDataFeed = true in its TBLPROPERTIES; changes are recorded from the next update on"))
}

/// Rows of an Auto CDC target change: a stream over it must say what it does then.
fn refuse_changes(datasets: &Datasets, name: &DatasetName, reference: &RelationReference, found: &FoundRelation) -> Result<(), Diagnostic> {
    let is_target = datasets.get(name).is_some_and(|dataset| dataset.auto_cdc.is_some());
    let FoundRelation::Leaf(source) = found else { return Ok(()) };
    if !is_target || !source.relation.streaming {
        return Ok(());
    }
    let options = source_options::delta_stream_options(&source.relation).map_err(first)?;
    if options.skip_change_commits || options.changes {
        return Ok(());
    }
    let message = format!("STREAM({}): a target of AUTO CDC, whose rows are updated and deleted", reference.text());
    let error = Diagnostic::error("STREAMING_SOURCE_NOT_APPEND_ONLY", message).at(&reference.origin);
    Err(error
        .help(format!(
            "read it without STREAM, read what changes with STREAM({0}) CHANGES FROM VERSION 0, or leave its updates out with STREAM({0}, skipChangeCommits => true)",
            reference.text()
        )))
}

fn view(datasets: &Datasets, name: &DatasetName, reference: &RelationReference) -> Result<FoundRelation, Diagnostic> {
    let missing = || Diagnostic::error("INTERNAL_ERROR", format!("{name} was read before it was resolved"));
    let plan = datasets.get(name).and_then(|dataset| dataset.view.clone()).ok_or_else(missing)?;
    if let Some(option) = reference.options.keys().next() {
        let given = reference.given.name(option).unwrap_or(option);
        return Err(Diagnostic::not_supported(&format!("option `{given}` of a read of view {}", name.name))
            .at(reference.given.origin(option).unwrap_or(&reference.origin))
            .help("set the option where the view reads its table"));
    }
    if reference.streaming && !is_streaming(&plan) {
        return Err(Diagnostic::error("STREAMING_SOURCE_NOT_APPEND_ONLY", format!("STREAM({}): a batch view", reference.text()))
            .at(&reference.origin)
            .help("read it without STREAM, or use STREAM inside the view"));
    }
    Ok(FoundRelation::View { plan })
}

fn stored(reference: &RelationReference, name: &DatasetName, schema: SchemaRef) -> Result<FoundRelation, Diagnostic> {
    leaf(reference, RelationKind::Dataset { name: name.clone() }, schema)
}

/// A relation that needs no more than its own schema; the options of a stream are checked.
fn leaf(reference: &RelationReference, kind: RelationKind, schema: SchemaRef) -> Result<FoundRelation, Diagnostic> {
    let mut options = reference.options.clone();
    let version = options.remove("versionasof");
    if options.contains_key("timestampasof") {
        return Err(Diagnostic::not_supported("TIMESTAMP AS OF").at(&reference.origin).help("use VERSION AS OF"));
    }
    let relation =
        Relation { kind, streaming: reference.streaming, options, origin: Some(reference.origin.clone()), given: reference.given.clone() };
    let relation = match version {
        None => relation,
        Some(version) => at_version(relation, &version, reference)?,
    };
    let mut schema = schema;
    if relation.streaming {
        if source_options::delta_stream_options(&relation).map_err(first)?.changes {
            schema = with_change_columns(&schema);
        }
    } else if let Some(option) = relation.options.keys().next() {
        let given = reference.given.name(option).unwrap_or(option);
        let text = format!("option `{given}` of {} has a meaning only with STREAM", reference.text());
        let at = reference.given.origin(option).unwrap_or(&reference.origin);
        return Err(Diagnostic::error("UNKNOWN_STREAM_OPTION", text).at(at).help("read the table with STREAM, or remove the option"));
    }
    Ok(FoundRelation::Leaf(RelationSource { relation: Arc::new(relation), schema }))
}

/// The columns of a change feed.
fn with_change_columns(table: &SchemaRef) -> SchemaRef {
    let types = [DataType::Utf8, DataType::Int64, timestamp_type()];
    let added = CHANGE_COLUMNS.into_iter().zip(types).map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)));
    Arc::new(Schema::new(table.fields().iter().cloned().chain(added).collect::<Vec<_>>()))
}

fn at_version(relation: Relation, version: &str, reference: &RelationReference) -> Result<Relation, Diagnostic> {
    match (&relation.kind, version.parse::<i64>()) {
        (RelationKind::Delta { name, location, .. }, Ok(version)) if !relation.streaming => {
            let kind = RelationKind::Delta { name: name.clone(), location: location.clone(), version: Some(version) };
            Ok(Relation { kind, ..relation })
        }
        _ => Err(Diagnostic::not_supported("VERSION AS OF here")
            .at(&reference.origin)
            .help("time travel works on tables of other programs with a version number, without STREAM")),
    }
}

fn delta(reference: &RelationReference, name: Option<DatasetName>, location: &str) -> Relation {
    Relation {
        kind: RelationKind::Delta { name, location: location.to_string(), version: None },
        streaming: reference.streaming,
        options: BTreeMap::new(),
        origin: Some(reference.origin.clone()),
        given: reference.given.clone(),
    }
}

fn observed(names: &Names<'_>, reference: &RelationReference, input: &ResolveInput) -> Result<FoundRelation, Diagnostic> {
    let unknown =
        || Diagnostic::error("TABLE_OR_VIEW_NOT_FOUND", format!("the table {} was not looked at", reference.text())).at(&reference.origin);
    let relation = observable(names, reference, input).ok_or_else(unknown)?;
    match input.observed.get(&relation.source_id()) {
        Some(Ok(schema)) => leaf(reference, relation.kind, Arc::clone(schema)),
        Some(Err(finding)) => Err(finding.clone().at(&reference.origin)),
        None => Err(unknown()),
    }
}

fn files(reference: &RelationReference, path: &str, input: &ResolveInput) -> Result<FoundRelation, Diagnostic> {
    let relation = file_relation(reference, path, input)?;
    let (options, _) = source_options::file_options(&relation).map_err(first)?;
    let schema = read_schema(reference, &relation, &options.schema, input)?;
    Ok(FoundRelation::Leaf(RelationSource { relation: Arc::new(relation), schema }))
}

/// The relation over files whose schema storage must tell, if the reference is one and its options are right.
pub(super) fn inferred(reference: &RelationReference, input: &ResolveInput) -> Option<Relation> {
    let relation = file_relation(reference, path_of(reference)?, input).ok()?;
    let is_right = file_schema::is_inferred(&relation) && source_options::file_options(&relation).is_ok();
    is_right.then_some(relation)
}

fn file_relation(reference: &RelationReference, path: &str, input: &ResolveInput) -> Result<Relation, Diagnostic> {
    let format = match reference.options.get("format") {
        Some(format) => format.to_lowercase(),
        None if reference.streaming => {
            return Err(Diagnostic::error("CF_SOURCE_FORMAT_REQUIRED", "STREAM read_files needs a format")
                .at(&reference.origin)
                .help("add format => 'json', 'csv', 'parquet', 'avro', 'orc', 'text' or 'binaryFile'"));
        }
        None => format_of_suffix(path).ok_or_else(|| {
            Diagnostic::error("UNKNOWN_FILE_FORMAT", format!("the format of {path} cannot be told from its suffix"))
                .at(&reference.origin)
                .help("add format => 'json', 'csv', 'parquet', 'avro', 'orc', 'text' or 'binaryFile'")
        })?,
    };
    let mut options = reference.options.clone();
    options.remove("format");
    if let Some(destination) = options.get_mut("cleansource.movedestination") {
        *destination = mapped(destination, input);
    }
    let kind = RelationKind::Files { path: mapped(path, input), format };
    Ok(Relation { kind, streaming: reference.streaming, options, origin: Some(reference.origin.clone()), given: reference.given.clone() })
}

/// Lints about the options of a file relation; errors come with `find`.
pub(super) fn option_lints(found: &FoundRelation) -> Vec<Diagnostic> {
    match found {
        FoundRelation::Leaf(source) if matches!(source.relation.kind, RelationKind::Files { .. }) => {
            let lints = source_options::file_options(&source.relation).map(|(_, lints)| lints).unwrap_or_default();
            lints.into_iter().chain(unmapped(&source.relation)).collect()
        }
        _ => Vec::new(),
    }
}

/// W011: a path of Databricks that no mapping makes one of storage. It may be there, as a directory of this machine.
fn unmapped(relation: &Relation) -> Option<Diagnostic> {
    let RelationKind::Files { path, .. } = &relation.kind else { return None };
    let prefix = ["/Volumes/", "dbfs:/"].into_iter().find(|prefix| path.starts_with(prefix))?;
    let lint = Diagnostic::lint("W011", format!("{path} is a path of Databricks, and no entry of spec.pathMappings says where it is"));
    let lint = lint
        .help(format!("add for example {{prefix: '{}', uri: 's3://bucket/folder'}} to spec.pathMappings", prefix.trim_end_matches('/')));
    Some(match &relation.origin {
        Some(origin) => lint.at(origin),
        None => lint,
    })
}

/// The columns of the content and the path, and behind them the rescued data column.
fn read_schema(
    reference: &RelationReference,
    relation: &Relation,
    options: &SchemaReadOptions,
    input: &ResolveInput,
) -> Result<SchemaRef, Diagnostic> {
    let schema = match reference.options.get("schema") {
        Some(text) => declared(reference, text)?,
        None if options.inferred => {
            let found = observed_schema(reference, relation, input)?;
            let wrong = |message| {
                let text = format!("option `schemaHints` cannot be read: {message}");
                let at = reference.given.origin("schemahints").unwrap_or(&reference.origin);
                Diagnostic::error("INVALID_READ_OPTION", text).at(at).help("write it like 'id BIGINT, address.zip STRING'")
            };
            match &options.hints {
                Some(hints) => Arc::new(file_schema::with_hints(&found, hints).map_err(wrong)?),
                None => found,
            }
        }
        None => own_schema(&relation.kind),
    };
    if let Some(name) = &options.rescued_column
        && let Some(known) = schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name))
        && *known.data_type() != DataType::Utf8
    {
        let text = format!("the rescued data column `{name}` must be a STRING, but the schema says {}", ddl::type_text(known.data_type()));
        let at = reference.given.origin("rescueddatacolumn").unwrap_or(&reference.origin);
        return Err(Diagnostic::error("INVALID_READ_OPTION", text).at(at).help("give rescuedDataColumn another name"));
    }
    Ok(rescuing(&schema, options))
}

fn observed_schema(reference: &RelationReference, relation: &Relation, input: &ResolveInput) -> Result<SchemaRef, Diagnostic> {
    match input.file_schemas.get(&file_schema::key(relation)) {
        // What was found bit by bit, or by several flows, has the same limit as what one look finds.
        Some(Ok(schema)) if file_schema::width(schema.fields()) > file_schema::MOST_FIELDS => {
            Err(file_schema::too_wide(&format!("the fields of {}", relation.source_id())).at(&reference.origin))
        }
        Some(Ok(schema)) => Ok(Arc::clone(schema)),
        Some(Err(finding)) => Err(finding.clone().at(&reference.origin)),
        None => {
            let text = format!("nobody has looked at the files of {}, whose schema is not given", relation.source_id());
            Err(Diagnostic::error(file_schema::NOT_OBSERVED, text).at(&reference.origin).help("give a schema => 'name TYPE, …'"))
        }
    }
}

fn rescuing(schema: &SchemaRef, options: &SchemaReadOptions) -> SchemaRef {
    match &options.rescued_column {
        Some(name) if !schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name)) => {
            let rescued = Arc::new(Field::new(name, DataType::Utf8, true));
            Arc::new(Schema::new(schema.fields().iter().cloned().chain([rescued]).collect::<Vec<_>>()))
        }
        _ => Arc::clone(schema),
    }
}

fn declared(reference: &RelationReference, text: &str) -> Result<SchemaRef, Diagnostic> {
    let at = reference.given.origin("schema").unwrap_or(&reference.origin);
    match ddl::parse_schema(text) {
        Ok(schema) if schema.fields().is_empty() => {
            Err(Diagnostic::error("PARSE_SYNTAX_ERROR", "the schema of read_files has no column").at(at))
        }
        Ok(schema) => Ok(Arc::new(schema)),
        Err(error) => Err(Diagnostic::error("PARSE_SYNTAX_ERROR", error.to_string())
            .at(at)
            .help("a schema is written like 'id BIGINT, name STRING, tags ARRAY<STRING>'")),
    }
}

/// The columns of formats that always have the same.
fn own_schema(kind: &RelationKind) -> SchemaRef {
    let is_text = matches!(kind, RelationKind::Files { format, .. } if format == "text");
    Arc::new(Schema::new(if is_text {
        vec![Field::new("value", DataType::Utf8, true)]
    } else {
        vec![
            Field::new("path", DataType::Utf8, true),
            Field::new("modificationTime", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("length", DataType::Int64, true),
            Field::new("content", DataType::Binary, true),
        ]
    }))
}

fn format_of_suffix(path: &str) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    let name = [".gz", ".bz2", ".zst", ".snappy"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(&name).to_string();
    let format = match name.rsplit_once('.')?.1 {
        "json" | "jsonl" | "ndjson" => "json",
        "csv" | "tsv" => "csv",
        "parquet" => "parquet",
        "avro" => "avro",
        "orc" => "orc",
        "txt" | "text" | "log" => "text",
        _ => return None,
    };
    Some(format.to_string())
}

/// The path with its longest mapped prefix replaced.
fn mapped(path: &str, input: &ResolveInput) -> String {
    let fits =
        |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'));
    let longest = input.path_mappings.iter().filter(|(prefix, _)| fits(prefix)).max_by_key(|(prefix, _)| prefix.len());
    match longest {
        Some((prefix, uri)) => {
            let rest = path[prefix.len()..].trim_start_matches('/');
            if rest.is_empty() { uri.clone() } else { format!("{}/{rest}", uri.trim_end_matches('/')) }
        }
        None => path.to_string(),
    }
}

fn first(findings: Vec<Diagnostic>) -> Diagnostic {
    let error = findings.into_iter().find(|found| found.severity == crate::origin::Severity::Error);
    error.unwrap_or_else(|| Diagnostic::error("INTERNAL_ERROR", "an error without a text"))
}
