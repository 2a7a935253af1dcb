//! All selected tables exist with their columns before the first flow runs, and the catalog knows them.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::arrow::datatypes::SchemaRef;
use floe_graph::{
    analysis::ddl::type_text,
    definition::DatasetKind,
    graph::{ResolvedDataset, ResolvedGraph},
    name::DatasetName,
    plan::UpdatePlan,
    resolve::quarantine_schema,
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    commit::{Altered, TableSpec, TargetTable},
    event_log::{
        EventLog,
        event::{AddedColumn, Event, SchemaChange, Subject},
    },
    failure::Failure,
    observe::{CONCURRENT_LOOKS, Stored, table_names},
    state::catalog::{Catalog, CatalogEntry, StoredKind},
    storage::{Storage, layout},
};

/// The tables of an update.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// All that exist, quarantine tables included. Those of materialized views are as their next refresh makes them.
    pub all: BTreeMap<DatasetName, Arc<TargetTable>>,
    /// What the catalog says about each of them beside the table itself.
    entries: BTreeMap<DatasetName, (StoredKind, bool, Vec<String>)>,
    /// Tables that the next overwrite will change; the catalog keeps what is in their log now.
    pending: BTreeMap<DatasetName, ()>,
}

/// The step SETTING_UP_TABLES.
pub(super) struct Setup<'a> {
    pub storage: &'a Storage,
    pub graph: &'a ResolvedGraph,
    pub plan: &'a UpdatePlan,
    pub stored: Stored,
    pub log: &'a EventLog,
}

/// The table that a dataset (or its quarantine table) wants.
pub(super) fn table_spec(
    storage: &Storage,
    dataset: &ResolvedDataset,
    name: &DatasetName,
    schema: SchemaRef,
    pipeline_id: &str,
) -> TableSpec {
    let definition = &dataset.definition;
    let is_quarantine = *name != definition.name;
    let comment =
        || if is_quarantine { Some(format!("Rows that violate expectations of {}", definition.name)) } else { definition.comment.clone() };
    TableSpec {
        dataset: name.to_string(),
        location: storage.at(&layout::table_path(name, definition.private)),
        schema,
        partition_by: definition.partition_by.clone(),
        properties: definition.properties.clone(),
        comment: comment(),
        pipeline_id: pipeline_id.to_string(),
    }
}

/// One table to set up.
struct Wanted {
    name: DatasetName,
    /// Replaced at each refresh: a materialized view or its quarantine table.
    is_replaced: bool,
    spec: TableSpec,
}

impl Setup<'_> {
    /// Creates and evolves the selected tables, and writes the catalog if something is new in it.
    pub async fn run(mut self, catalog: &mut Catalog) -> Result<Tables, Failure> {
        let wanted = self.wanted(&catalog.pipeline_id);
        let open = std::mem::take(&mut self.stored.tables);
        let mut tables = Tables::default();
        for (name, table) in open {
            tables.all.insert(name, Arc::new(table));
        }
        let known = |name: &DatasetName| catalog.datasets.get(&name.key()).map(|entry| entry.table.clone());
        let work: Vec<_> =
            wanted.into_iter().map(|wanted| (known(&wanted.name), wanted)).map(|(known, wanted)| ready(wanted, known)).collect();
        let done: Vec<(DatasetName, Ready)> = stream::iter(work).buffered(CONCURRENT_LOOKS).try_collect().await?;
        for (name, ready) in done {
            self.tell(&name, &ready);
            if ready.is_pending {
                tables.pending.insert(name.clone(), ());
            }
            tables.all.insert(name, Arc::new(ready.table));
        }
        self.describe(&mut tables);
        let before = catalog.clone();
        tables.record(catalog);
        if *catalog != before {
            catalog.write(self.storage).await?;
        }
        Ok(tables)
    }

    fn wanted(&self, pipeline_id: &str) -> Vec<Wanted> {
        let is_selected =
            |name: &DatasetName| self.graph.flows.iter().any(|flow| flow.target == *name && self.plan.selected.contains(&flow.name));
        let mut wanted = Vec::new();
        for (name, dataset) in self.graph.datasets.iter().filter(|(name, dataset)| dataset.view.is_none() && is_selected(name)) {
            let is_replaced = dataset.definition.kind == DatasetKind::MaterializedView;
            let spec = table_spec(self.storage, dataset, name, Arc::clone(&dataset.schema), pipeline_id);
            wanted.push(Wanted { name: name.clone(), is_replaced, spec });
            if let Some(quarantine) = &dataset.quarantine {
                let spec = table_spec(self.storage, dataset, quarantine, quarantine_schema(&dataset.schema), pipeline_id);
                wanted.push(Wanted { name: quarantine.clone(), is_replaced, spec });
            }
        }
        wanted
    }

    fn tell(&self, name: &DatasetName, ready: &Ready) {
        if ready.altered.added.is_empty() || ready.table.is_new() {
            return;
        }
        let schema = ready.table.schema();
        let type_of = |column: &String| {
            let field = schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(column.split('.').next().unwrap_or(column)));
            field.map(|field| type_text(field.data_type())).unwrap_or_default()
        };
        let added = ready.altered.added.iter().map(|column| AddedColumn { name: column.clone(), data_type: type_of(column) });
        let change = SchemaChange {
            dataset: name.to_string(),
            source: None,
            added: added.collect(),
            schema_version: ready.altered.version.unwrap_or_default(),
        };
        self.log.record(Event::schema_change(Subject::dataset(name.to_string()), change));
    }

    fn describe(&self, tables: &mut Tables) {
        let flows_of = |name: &DatasetName| -> Vec<String> {
            self.graph.flows.iter().filter(|flow| flow.target == *name).map(|flow| flow.name.clone()).collect()
        };
        for (name, private) in table_names(self.graph).filter(|(name, _)| tables.all.contains_key(*name)) {
            let entry = match self.graph.datasets.get(name) {
                Some(dataset) => (stored_kind(dataset), private, flows_of(name)),
                None => (StoredKind::Quarantine, private, Vec::new()),
            };
            tables.entries.insert(name.clone(), entry);
        }
    }
}

fn stored_kind(dataset: &ResolvedDataset) -> StoredKind {
    if dataset.definition.kind == DatasetKind::MaterializedView { StoredKind::MaterializedView } else { StoredKind::StreamingTable }
}

struct Ready {
    table: TargetTable,
    altered: Altered,
    /// The next overwrite changes columns or partitioning.
    is_pending: bool,
}

async fn ready(wanted: Wanted, known: Option<crate::commit::KnownTable>) -> Result<(DatasetName, Ready), Failure> {
    let Wanted { name, is_replaced, spec } = wanted;
    let mut table = TargetTable::open_or_create(&spec, known).await?;
    if is_replaced && !table.is_new() && !has_shape_of(&table, &spec) {
        // Readers see the old rows and columns until the refresh replaces both at once.
        let table = table.replaced_by(&spec)?;
        return Ok((name, Ready { table, altered: Altered::default(), is_pending: true }));
    }
    let altered = table.alter(&spec).await?;
    Ok((name, Ready { table, altered, is_pending: false }))
}

/// True if columns and partitioning are those of `spec`, in its order.
fn has_shape_of(table: &TargetTable, spec: &TableSpec) -> bool {
    let (left, right) = (table.schema().fields(), spec.schema.fields());
    let same_columns = left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| {
            left.name() == right.name()
                && type_text(left.data_type()) == type_text(right.data_type())
                && left.is_nullable() == right.is_nullable()
        });
    same_columns && table.partition_columns() == spec.partition_by
}

impl Tables {
    /// Writes what is known of the tables into `catalog`.
    pub fn record(&self, catalog: &mut Catalog) {
        for (name, (kind, private, flows)) in &self.entries {
            let Some(table) = self.all.get(name) else { continue };
            let entry = CatalogEntry { kind: *kind, private: *private, flows: flows.clone(), table: table.known() };
            // What an overwrite has changed since is found by the next look, which reads the commits after this version.
            let is_pending = self.pending.contains_key(name);
            match catalog.datasets.get_mut(&name.key()) {
                Some(known) if is_pending => *known = CatalogEntry { table: known.table.clone(), ..entry },
                _ => _ = catalog.datasets.insert(name.key(), entry),
            }
        }
    }
}
