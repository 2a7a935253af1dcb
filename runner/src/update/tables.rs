//! SETTING_UP_TABLES: every selected dataset has its table, with the columns of its definition, before any flow runs.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use floe_graph::{
    analysis::{ddl::type_text, state::state_of},
    cdc::{self, ResolvedAutoCdc},
    definition::DatasetKind,
    graph::ResolvedDataset,
    name::DatasetName,
    plan::{CONSTRAINT_PREFIX, GENERATION_EXPRESSION, ResetKind, UpdatePlan, rule_properties, settings_changed},
    type_widening::Retyped,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::{Resolved, altering::Altering, sample_records, stored_rows};
use crate::{
    commit::{
        Altered, KnownTable, RowRules, TableSpec, TargetTable,
        properties::{DELETION_VECTORS, KEY_COLUMNS},
        size, table,
    },
    event_log::event::{AddedColumn, Event, SchemaChange, Subject, WidenedColumn},
    execute::{cdc::Definition, expectation::quarantine_schema, view_expectation::ExpectPlanner},
    failure::Failure,
    functions::BatchClock,
    observe::{CONCURRENT_READS, is_stored, is_written, known, location},
    session::{self, Session, SessionLimits},
    state::catalog::{Catalog, CatalogEntry, StoredKind},
    storage::layout,
    summary::TableFacts,
};

/// The tables of the pipeline that exist, quarantine tables included.
pub type Tables = BTreeMap<DatasetName, Arc<TargetTable>>;

/// One table that a dataset wants.
pub struct Wanted {
    pub name: DatasetName,
    /// `None` for a sink, which is no table of the pipeline.
    pub kind: Option<StoredKind>,
    pub private: bool,
    pub spec: TableSpec,
    flows: Vec<String>,
    /// Those of the flows that have state.
    stateful: Vec<String>,
    part_of: Option<String>,
    /// Its columns may get wider types.
    pub widens: bool,
}

/// The tables of one stored dataset: its own and, if it has them, that of its quarantine and its journal.
pub fn wanted(resolved: &Resolved, dataset: &ResolvedDataset, pipeline_id: &str) -> Result<Vec<Wanted>, Failure> {
    let definition = &dataset.definition;
    if definition.kind == DatasetKind::Sink {
        return sink(resolved, dataset).map(|wanted| vec![wanted]);
    }
    let kind = if definition.kind == DatasetKind::MaterializedView { StoredKind::MaterializedView } else { StoredKind::StreamingTable };
    let flows = resolved.graph.flows_into(&definition.name).map(|flow| flow.name.clone()).collect();
    let stateful = resolved.graph.flows_into(&definition.name).filter(|flow| !state_of(&flow.plan).operators.is_empty());
    let stateful = stateful.map(|flow| flow.name.clone()).collect();
    let spec = |name: &DatasetName, schema: SchemaRef| TableSpec {
        dataset: name.to_string(),
        location: resolved.storage.at(&layout::table_path(name, definition.private)),
        schema,
        partition_by: definition.partition_by.clone(),
        properties: applied(&definition.properties),
        comment: definition.comment.clone(),
        pipeline_id: Some(pipeline_id.to_string()),
        rules: Arc::default(),
        verified: None,
    };
    let schema = stored_schema(dataset, &dataset.schema);
    let checked = stored_schema(dataset, &dataset.checked_schema);
    let quarantine = dataset.quarantine.as_ref().map(|name| Wanted {
        name: name.clone(),
        kind: Some(StoredKind::Quarantine),
        private: definition.private,
        spec: TableSpec {
            comment: Some(format!("Rows kept out of {}", definition.name)),
            // Rows that are kept out lack what only the table computes.
            partition_by: given_columns(&definition.partition_by, &checked),
            ..spec(name, quarantine_schema(&nullable(&checked)))
        },
        flows: Vec::new(),
        stateful: Vec::new(),
        part_of: Some(definition.name.key()),
        widens: dataset.widens,
    });
    let properties = match &dataset.auto_cdc {
        Some(cdc) => definition.properties.clone().into_iter().chain([key_columns(cdc)]).collect(),
        None => applied(&definition.properties),
    };
    let properties: BTreeMap<String, String> =
        properties.into_iter().chain(rule_properties(&dataset.rules, &definition.cluster_by)).collect();
    let rules = bound_rules(resolved, dataset, &schema)?;
    let own = Wanted {
        name: definition.name.clone(),
        kind: Some(kind),
        private: definition.private,
        spec: TableSpec { properties, rules, ..spec(&definition.name, schema.clone()) },
        flows,
        stateful,
        part_of: None,
        widens: dataset.widens,
    };
    let journal = journal(resolved, dataset, pipeline_id)?;
    Ok(std::iter::once(own).chain(quarantine).chain(journal).collect())
}

/// The table of a sink, which may be there and belong to somebody else: it gets rows, and columns that it lacks.
fn sink(resolved: &Resolved, dataset: &ResolvedDataset) -> Result<Wanted, Failure> {
    let definition = &dataset.definition;
    let spec = TableSpec {
        dataset: definition.name.to_string(),
        location: location((&resolved.storage, &resolved.project.root), dataset)?,
        schema: stored_schema(dataset, &dataset.schema),
        partition_by: Vec::new(),
        properties: BTreeMap::new(),
        comment: definition.comment.clone(),
        pipeline_id: None,
        rules: Arc::default(),
        verified: None,
    };
    let (flows, stateful) = (Vec::new(), Vec::new());
    Ok(Wanted { name: definition.name.clone(), kind: None, private: false, spec, flows, stateful, part_of: None, widens: false })
}

/// What Auto CDC knows of the keys of a target.
fn journal(resolved: &Resolved, dataset: &ResolvedDataset, pipeline_id: &str) -> Result<Option<Wanted>, Failure> {
    let (definition, Some(cdc)) = (&dataset.definition, &dataset.auto_cdc) else { return Ok(None) };
    let name = layout::journal_name(&definition.name);
    let columns = Definition::new(cdc, &stored_schema(dataset, &dataset.schema))?.journal();
    let spec = TableSpec {
        dataset: name.to_string(),
        location: resolved.storage.at(&layout::journal_path(&name)),
        schema: columns,
        partition_by: Vec::new(),
        properties: cdc::properties(cdc).into_iter().chain([key_columns(cdc)]).collect(),
        comment: Some(format!("What Auto CDC knows of the keys of {}", definition.name)),
        pipeline_id: Some(pipeline_id.to_string()),
        rules: Arc::default(),
        verified: None,
    };
    let part_of = Some(definition.name.key());
    Ok(Some(Wanted {
        name,
        kind: Some(StoredKind::Journal),
        private: definition.private,
        spec,
        flows: Vec::new(),
        stateful: Vec::new(),
        part_of,
        widens: dataset.widens,
    }))
}

/// The rules of the rows of a table with the columns of `schema`, ready to be applied.
fn bound_rules(resolved: &Resolved, dataset: &ResolvedDataset, schema: &SchemaRef) -> Result<Arc<RowRules>, Failure> {
    let rules = &dataset.rules;
    if rules.checks.is_empty() && rules.generated.is_empty() {
        return Ok(Arc::default());
    }
    let session = Session::new(&SessionLimits { memory_bytes: None, spill_directory: None, parallelism: 1 })?;
    let state = session.state(Arc::new(ExpectPlanner::default()));
    // No rule reads the clock.
    let clock = BatchClock { timestamp_us: 0 };
    let bind = |expressions| session::bind_predicates(&state, expressions, schema, clock);
    let generated = bind(rules.generated.iter().map(|column| column.value.clone()).collect())?;
    let checks = bind(rules.checks.iter().map(|check| check.predicate.clone()).collect())?;
    let shows_values = dataset.sample_records().unwrap_or_else(|| sample_records(resolved));
    let bound = RowRules::new(!shows_values);
    let bound = rules.generated.iter().zip(generated).fold(bound, |all, (column, value)| all.generated(&column.name, &column.text, value));
    Ok(Arc::new(rules.checks.iter().zip(checks).fold(bound, |all, (check, predicate)| all.check(&check.name, &check.text, predicate))))
}

/// Nothing but Auto CDC takes rows out of files: elsewhere a table needs no feature for deletion vectors, and stays readable by everyone.
fn applied(properties: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_applied = |name: &String| !name.eq_ignore_ascii_case(DELETION_VECTORS);
    properties.iter().filter(|(name, _)| is_applied(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Rows of targets and journals are looked up by their keys.
fn key_columns(cdc: &ResolvedAutoCdc) -> (String, String) {
    (KEY_COLUMNS.to_string(), serde_json::json!(cdc.keys).to_string())
}

/// Columns may hold NULL unless they are declared NOT NULL: what a query happens to give today must not bind the table.
fn stored_schema(dataset: &ResolvedDataset, schema: &SchemaRef) -> SchemaRef {
    let columns = dataset.definition.columns.as_deref().unwrap_or_default();
    let field = |field: &FieldRef| {
        let declared = columns.iter().find(|column| column.name.eq_ignore_ascii_case(field.name()));
        let stored = optional(field).with_nullable(declared.is_none_or(|column| column.nullable));
        let comment = declared.and_then(|column| column.comment.clone()).map(|comment| ("comment".to_string(), comment));
        let generated = dataset.rules.generated.iter().find(|column| column.name.eq_ignore_ascii_case(field.name()));
        let generated = generated.map(|column| (GENERATION_EXPRESSION.to_string(), column.text.clone()));
        stored.with_metadata(comment.into_iter().chain(generated).collect())
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// Those of `names` that are columns of `schema`.
fn given_columns(names: &[String], schema: &SchemaRef) -> Vec<String> {
    let is_given = |name: &&String| schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
    names.iter().filter(is_given).cloned().collect()
}

/// The columns without rules: rows that are kept out may break them.
fn nullable(schema: &SchemaRef) -> SchemaRef {
    let plain = |field: &FieldRef| {
        let mut metadata = field.metadata().clone();
        metadata.remove(GENERATION_EXPRESSION);
        field.as_ref().clone().with_nullable(true).with_metadata(metadata)
    };
    Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>()))
}

/// The field without promises about NULL, at any depth.
fn optional(field: &FieldRef) -> Field {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|f| Arc::new(optional(f))).collect::<Fields>()),
        DataType::List(element) => DataType::List(Arc::new(optional(element))),
        DataType::Map(entries, sorted) => DataType::Map(Arc::clone(entries), *sorted),
        other => other.clone(),
    };
    Field::new(field.name(), data_type, true)
}

/// Creates or evolves the tables of all selected datasets, opens the others, and writes the catalog before the first row.
pub async fn set_up(resolved: &Resolved, plan: &UpdatePlan, catalog: &mut Catalog, altering: &Altering) -> Result<Tables, Failure> {
    let before = catalog.clone();
    let verified = stored_rows::verified(plan);
    let selected =
        |name: &DatasetName| resolved.graph.flows_into(name).any(|flow| plan.selected.iter().any(|s| s.eq_ignore_ascii_case(&flow.name)));
    let written = resolved.graph.datasets.values().filter(|dataset| is_written(dataset));
    let looks = stream::iter(written).map(|dataset| {
        let (before, verified, selected) = (&before, &verified, selected(&dataset.definition.name));
        async move {
            let mut opened = Vec::new();
            let placed =
                |failure: Failure| Failure { origin: failure.origin.or_else(|| Some(dataset.definition.origin.clone())), ..failure };
            for mut wanted in wanted(resolved, dataset, &before.pipeline_id)? {
                wanted.spec.verified = verified.get(&wanted.name.key()).copied();
                let table = if selected {
                    Some(Box::pin(set_up_table(&wanted, plan, before, altering)).await.map_err(placed)?)
                } else {
                    TargetTable::open(&wanted.spec.location, known_table(&wanted, before)).await.map_err(placed)?
                };
                opened.extend(table.map(|table| (wanted, table)));
            }
            Ok::<_, Failure>(opened)
        }
    });
    let opened: Vec<Vec<(Wanted, TargetTable)>> = looks.buffer_unordered(CONCURRENT_READS).try_collect().await?;
    let mut tables = Tables::new();
    for (wanted, table) in opened.into_iter().flatten() {
        if let Some(kind) = wanted.kind {
            let entry = entry((&wanted, kind), &table, catalog.datasets.get(&wanted.name.key()));
            catalog.datasets.insert(wanted.name.key(), entry);
        }
        tables.insert(wanted.name, Arc::new(table));
    }
    if *catalog != before {
        catalog.write(&resolved.storage).await?;
    }
    Ok(tables)
}

/// An entry changes only with the definition of its table: versions alone are no reason to write the catalog, but another file in the
/// place of the known one (a copied storage) is, or it would be looked into again and again.
fn entry((wanted, kind): (&Wanted, StoredKind), table: &TargetTable, before: Option<&CatalogEntry>) -> CatalogEntry {
    let former = before.into_iter().flat_map(|before| &before.flows);
    let former = former.filter(|flow| !wanted.flows.iter().any(|now| now.eq_ignore_ascii_case(flow)));
    let flows = wanted.flows.iter().chain(former).cloned().collect();
    let had_state = before.into_iter().flat_map(|before| &before.stateful);
    let had_state = had_state.filter(|flow| !wanted.stateful.iter().any(|now| now.eq_ignore_ascii_case(flow)));
    let stateful = wanted.stateful.iter().chain(had_state).cloned().collect();
    let part_of = wanted.part_of.clone();
    let size = before.and_then(|before| before.size.clone()).filter(|_| before.is_some_and(|b| b.table.metadata.id == table.id()));
    let now = CatalogEntry {
        kind,
        private: wanted.private,
        flows,
        stateful,
        part_of,
        table: table.known(),
        size,
        optimized_us: before.and_then(|before| before.optimized_us),
        removing: false,
    };
    match before {
        Some(before)
            if before.table.metadata == now.table.metadata
                && before.table.protocol == now.table.protocol
                && (before.table.version != now.table.version || before.table.entry_tag == now.table.entry_tag) =>
        {
            CatalogEntry { table: before.table.clone(), ..now }
        }
        _ => now,
    }
}

/// What the catalog says of the table. A sink has no entry: one of its name is that of a former dataset, which stands elsewhere.
fn known_table(wanted: &Wanted, catalog: &Catalog) -> Option<KnownTable> {
    wanted.kind.and_then(|_| known(catalog, &wanted.name).cloned())
}

async fn set_up_table(wanted: &Wanted, plan: &UpdatePlan, catalog: &Catalog, altering: &Altering) -> Result<TargetTable, Failure> {
    let known = known_table(wanted, catalog);
    let is_reset = {
        let owner = wanted.part_of.as_ref().unwrap_or(&wanted.spec.dataset);
        plan.resets.iter().any(|reset| reset.kind == ResetKind::FullRefresh && reset.dataset.eq_ignore_ascii_case(owner))
    };
    if let Some(known) = &known
        && matches!(wanted.kind, Some(StoredKind::StreamingTable | StoredKind::Journal))
        && !is_reset
        && table::newest_version(&wanted.spec.location, Some(known.version)).await?.is_none()
    {
        if wanted.kind == Some(StoredKind::Journal) {
            let text = format!("the journal of {} is gone from {}", wanted.part_of.as_deref().unwrap_or_default(), wanted.spec.location);
            return Err(Failure::user("AUTOCDC_INVALID_STATE.JOURNAL_MISSING", text)
                .help("restore it, or fill the table again with --full-refresh: without it late events cannot be told from new ones"));
        }
        return Err(Failure::user("TABLE_DELETED", format!("the table of {} is gone from {}", wanted.spec.dataset, wanted.spec.location))
            .about(&wanted.spec.dataset)
            .help("restore it, or fill it again with --full-refresh: its flows count the rows as written"));
    }
    let mut table = TargetTable::open_or_create(&wanted.spec, known).await?;
    let rebuilt = wanted.kind == Some(StoredKind::MaterializedView)
        || (wanted.kind == Some(StoredKind::Quarantine) && !same_names(table.partition_columns(), &wanted.spec.partition_by));
    if rebuilt && !same_shape(&table, &wanted.spec) {
        // The recompute replaces rows and columns in one commit; until then the old table stands.
        return table.replaced_by(&wanted.spec);
    }
    // A stop leaves the table as it was: no flow begins after it.
    let altered = Box::pin(altering.alter(&mut table, wanted)).await?.unwrap_or_default();
    if altered.changes_columns() && !table.is_new() {
        altering.log.record(Event::schema_change(Subject::dataset(wanted.spec.dataset.clone()), schema_change(wanted, &altered, &table)));
    }
    Ok(table)
}

/// Fails, with nothing written, if `widen` could not alter one of the tables of `dataset`.
pub async fn check_widening(resolved: &Resolved, dataset: &ResolvedDataset, tables: &Tables) -> Result<(), Failure> {
    let pipeline_id = resolved.catalog.as_ref().map(|catalog| catalog.pipeline_id.clone()).unwrap_or_default();
    for wanted in wanted(resolved, dataset, &pipeline_id)? {
        if let Some(table) = tables.get(&wanted.name).filter(|_| wanted.kind != Some(StoredKind::MaterializedView)) {
            table.reopened().await?.check(&wanted.spec, wanted.widens).await?;
        }
    }
    Ok(())
}

/// Alters the tables of a dataset whose columns became more or wider while the update runs, and adds them to `altered`. `tables` are those that
/// are open; `sources` are the paths whose files have more. `Break` if it was stopped.
pub async fn widen(
    (resolved, dataset): (&Resolved, &ResolvedDataset),
    tables: &Tables,
    (sources, altering): (&[String], &Altering),
    altered: &mut Tables,
) -> Result<ControlFlow<()>, Failure> {
    let pipeline_id = resolved.catalog.as_ref().map(|catalog| catalog.pipeline_id.clone()).unwrap_or_default();
    for wanted in wanted(resolved, dataset, &pipeline_id)? {
        let Some(table) = tables.get(&wanted.name) else { continue };
        let mut table = table.reopened().await?;
        if wanted.kind == Some(StoredKind::MaterializedView) {
            table = table.replaced_by(&wanted.spec)?;
        } else {
            let Some(changed) = Box::pin(altering.alter(&mut table, &wanted)).await? else { return Ok(ControlFlow::Break(())) };
            if changed.changes_columns() {
                let change = SchemaChange { source: Some(sources.join(", ")), ..schema_change(&wanted, &changed, &table) };
                altering.log.record(Event::schema_change(Subject::dataset(wanted.spec.dataset.clone()), change));
            }
        }
        altered.insert(wanted.name, Arc::new(table));
    }
    Ok(ControlFlow::Continue(()))
}

/// Equal but for letter case.
fn same_names(left: &[String], right: &[String]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.eq_ignore_ascii_case(right))
}

fn same_shape(table: &TargetTable, spec: &TableSpec) -> bool {
    let column = |field: &FieldRef| (field.name().clone(), field.data_type().clone(), field.is_nullable());
    let columns = |schema: &SchemaRef| schema.fields().iter().map(column).collect::<Vec<_>>();
    let computed = |schema: &SchemaRef| {
        let of = |field: &FieldRef| field.metadata().get(GENERATION_EXPRESSION).cloned();
        schema.fields().iter().map(of).collect::<Vec<_>>()
    };
    let checks = |properties: &BTreeMap<String, String>| {
        let is_check = |(key, _): &(&String, &String)| key.starts_with(CONSTRAINT_PREFIX);
        properties.iter().filter(is_check).map(|(key, text)| (key.clone(), text.clone())).collect::<Vec<_>>()
    };
    same_names(table.partition_columns(), &spec.partition_by)
        && columns(table.schema()) == columns(&spec.schema)
        && computed(table.schema()) == computed(&spec.schema)
        && checks(table.properties()) == checks(&spec.properties)
        && !settings_changed(table.properties(), &spec.properties)
}

fn schema_change(wanted: &Wanted, altered: &Altered, table: &TargetTable) -> SchemaChange {
    let column = |name: &String| AddedColumn {
        name: name.clone(),
        data_type: type_at(wanted.spec.schema.fields(), name).map(type_text).unwrap_or_default(),
    };
    SchemaChange {
        dataset: wanted.spec.dataset.clone(),
        source: None,
        added: altered.added.iter().map(column).collect(),
        widened: altered
            .retyped
            .iter()
            .map(|Retyped { path, from, to }| WidenedColumn { name: path.clone(), from: from.clone(), data_type: to.clone() })
            .collect(),
        schema_version: table.version(),
    }
}

/// The type of a column, or of a field within one by its path (`address.zip`, `items.element.price`).
fn type_at<'a>(fields: &'a Fields, path: &str) -> Option<&'a DataType> {
    fields.iter().find_map(|field| match path.strip_prefix(field.name().as_str())? {
        "" => Some(field.data_type()),
        rest => type_below(field.data_type(), rest.strip_prefix('.')?),
    })
}

fn type_below<'a>(data_type: &'a DataType, path: &str) -> Option<&'a DataType> {
    let within = |name: &str, inner: &'a DataType| match path.strip_prefix(name)? {
        "" => Some(inner),
        rest => type_below(inner, rest.strip_prefix('.')?),
    };
    match data_type {
        DataType::Struct(fields) => type_at(fields, path),
        DataType::List(item) => within("element", item.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => within("key", pair.first()?.data_type()).or_else(|| within("value", pair.get(1)?.data_type())),
            _ => None,
        },
        _ => None,
    }
}

/// The tables of the pipeline among `tables`: those of sinks are somebody else's.
fn own<'a>(resolved: &'a Resolved, tables: &'a Tables) -> impl Iterator<Item = (&'a DatasetName, &'a Arc<TargetTable>)> {
    let is_sink =
        |name: &DatasetName| resolved.graph.datasets.get(name).is_some_and(|dataset| dataset.definition.kind == DatasetKind::Sink);
    tables.iter().filter(move |(name, _)| !is_sink(name))
}

/// Measures the tables that have changed since they were last measured. True if the catalog has changed. A table that cannot be measured
/// costs its numbers and nothing else.
pub async fn measure(resolved: &Resolved, catalog: &mut Catalog, tables: &Tables) -> bool {
    let known = |name: &DatasetName| catalog.datasets.get(&name.key()).and_then(|entry| entry.size.clone());
    let outdated = own(resolved, tables).filter_map(|(name, table)| {
        let known = known(name);
        (known.as_ref().map(|known| known.version) != Some(table.version())).then_some((name, table, known))
    });
    let looks = stream::iter(outdated.collect::<Vec<_>>()).map(|(name, table, known)| async move {
        (name, Box::pin(size::measure(table.location(), known.as_ref(), table.version())).await)
    });
    let measured: Vec<_> = looks.buffer_unordered(CONCURRENT_READS).collect().await;
    let mut changed = false;
    for (name, outcome) in measured {
        match (outcome, catalog.datasets.get_mut(&name.key())) {
            (Ok(size), Some(entry)) => {
                entry.size = Some(size);
                changed = true;
            }
            (Ok(_), None) => {}
            (Err(failure), _) => tracing::warn!(table = %name, "the table could not be measured: {failure}"),
        }
    }
    changed
}

/// The stored datasets as they stand now, quarantine tables left out.
pub fn facts(resolved: &Resolved, catalog: &Catalog, tables: &Tables) -> Vec<TableFacts> {
    let stored = resolved.graph.datasets.values().filter(|dataset| is_stored(dataset));
    let fact = |dataset: &ResolvedDataset| {
        let name = &dataset.definition.name;
        Some(TableFacts::of(name.to_string(), tables.get(name)?, catalog.datasets.get(&name.key())))
    };
    stored.filter_map(fact).collect()
}

/// Writes the newest versions into the catalog, so that the next look begins near the end of each log.
pub async fn remember(resolved: &Resolved, catalog: &mut Catalog, tables: &Tables) -> Result<(), Failure> {
    for (name, table) in own(resolved, tables) {
        let Some(entry) = catalog.datasets.get_mut(&name.key()) else { continue };
        if table.version() > entry.table.version {
            // The log since the last look says whether the columns were replaced on the way.
            let opened = TargetTable::open(table.location(), Some(entry.table.clone())).await?;
            entry.table = opened.map_or_else(|| entry.table.clone(), |opened| opened.known());
        }
    }
    catalog.write(&resolved.storage).await
}
