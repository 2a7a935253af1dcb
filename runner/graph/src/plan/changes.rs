//! What an update changes in storage, and what it refuses to change.

use std::collections::BTreeSet;

use datafusion_common::arrow::datatypes::{DataType, SchemaRef};

use super::{Change, NewRules, ResetKind, StoredState, StoredTable, metadata, selection::Chosen};
use crate::{
    analysis::{
        ddl,
        state::{drift, state_of},
    },
    cdc,
    definition::{Dataset, DatasetKind},
    graph::{ResolvedDataset, ResolvedFlow, ResolvedGraph},
    name::DatasetName,
    origin::Diagnostic,
    resolve::{quarantine_schema, same_type},
    type_widening::{self, MAP_PARTS, map_parts},
};

/// What an update changes.
pub(super) struct Found {
    /// In the order of the graph.
    pub changes: Vec<Change>,
    /// What stored rows have to keep.
    pub new_rules: Vec<NewRules>,
    /// Every reason against it.
    pub errors: Vec<Diagnostic>,
}

/// The plan of changes, and every reason against it.
pub(super) fn changes(graph: &ResolvedGraph, chosen: &Chosen, stored: &StoredState) -> Found {
    let mut changes: Vec<Change> =
        chosen.resets.iter().map(|reset| Change::Reset { dataset: reset.dataset.clone(), kind: reset.kind }).collect();
    let mut errors = Vec::new();
    let mut new_rules = Vec::new();
    let mut seen: BTreeSet<&DatasetName> = BTreeSet::new();
    for flow in graph.flows.iter().filter(|flow| chosen.flows.contains(&flow.name.to_lowercase())) {
        let Some(dataset) = graph.datasets.get(&flow.target) else { continue };
        if seen.insert(&flow.target) {
            let mut comparison =
                Comparison { dataset, chosen, stored, changes: &mut changes, new_rules: &mut new_rules, errors: &mut errors };
            if let Some(error) = comparison.journal() {
                comparison.errors.push(error);
                continue;
            }
            comparison.table(&flow.target, &dataset.schema);
            // It follows its dataset; what is known of it is only that it is there.
            if let Some(quarantine) = dataset.quarantine.as_ref().filter(|name| !stored.quarantines.contains(name)) {
                comparison.table(quarantine, &quarantine_schema(&dataset.checked_schema));
            }
        }
        errors.extend(other_state(flow, chosen, stored));
        changes.extend(recompute(flow, dataset, chosen, stored));
    }
    changes.extend(stored.inactive.iter().map(|name| Change::Inactive { dataset: name.to_string() }));
    Found { changes, new_rules, errors }
}

struct Comparison<'a> {
    dataset: &'a ResolvedDataset,
    chosen: &'a Chosen,
    stored: &'a StoredState,
    changes: &'a mut Vec<Change>,
    new_rules: &'a mut Vec<NewRules>,
    errors: &'a mut Vec<Diagnostic>,
}

impl Comparison<'_> {
    /// AUTOCDC_INVALID_STATE: the journal of the target was made for something else, or is not there.
    fn journal(&self) -> Option<Diagnostic> {
        let (definition, clauses) = (&self.dataset.definition, self.dataset.auto_cdc.as_ref()?);
        if self.chosen.emptied.contains(&definition.name) || !self.stored.tables.contains_key(&definition.name) {
            return None;
        }
        let missing = || {
            let message = format!("{} is stored, but its journal is not: what was merged into it is not known", definition.name.name);
            Diagnostic::error("AUTOCDC_INVALID_STATE.JOURNAL_MISSING", message)
        };
        let found = match self.stored.journals.get(&definition.name)? {
            None => missing(),
            Some(properties) => cdc::drift(clauses, properties)?,
        };
        let help = format!("put the definition back, or run with --full-refresh {}", definition.name.name);
        Some(found.at(&definition.origin).about(definition.name.to_string()).help(help))
    }

    /// Compares one table (the dataset's own or its quarantine table) with what is stored under its name.
    fn table(&mut self, name: &DatasetName, schema: &SchemaRef) {
        let Some(table) = self.stored.tables.get(name) else {
            self.changes.push(Change::Create { dataset: name.to_string() });
            return;
        };
        if self.dataset.definition.kind == DatasetKind::Sink {
            return self.sink(table, schema);
        }
        if let Some(error) = self.foreign(name, table).or_else(|| self.other_kind(name, table)) {
            self.errors.push(error);
            return;
        }
        let definition = &self.dataset.definition;
        let is_own = *name == definition.name;
        if let Some(error) = Some(self.dataset).filter(|_| is_own).and_then(|dataset| metadata::foreign(dataset, table)) {
            self.errors.push(error);
            return;
        }
        // A full refresh gives the table the columns and the partitioning of the definition; a refresh of a view does so anyway.
        let is_replaced = definition.kind == DatasetKind::MaterializedView || self.chosen.emptied.contains(&definition.name);
        self.columns(name, table, schema, is_replaced);
        if !is_replaced && !same_columns(&table.partition_by, &definition.partition_by) {
            let (from, to) = (table.partition_by.join(", "), definition.partition_by.join(", "));
            self.errors.push(needs_full_refresh(definition, name, &format!("its partition columns were ({from}) and are now ({to})")));
        }
        // A quarantine table only follows the columns of its dataset.
        let mut what = if is_own { metadata::changes(self.dataset, table) } else { Vec::new() };
        if is_own && !is_replaced {
            self.errors.extend(metadata::generated(self.dataset, table));
            let rules = metadata::new_rules(self.dataset, table);
            what.extend(metadata::rule_changes(self.dataset, table));
            self.new_rules.extend(Some(rules).filter(|rules| !rules.checks.is_empty() || !rules.not_null.is_empty()));
        }
        if !what.is_empty() {
            self.changes.push(Change::Properties { dataset: name.to_string(), what });
        }
    }

    /// A table of somebody else gets columns that it lacks, and nothing else.
    fn sink(&mut self, table: &StoredTable, schema: &SchemaRef) {
        let definition = &self.dataset.definition;
        if let Some(id) = &table.pipeline_id {
            let message = format!("the table of sink {} belongs to pipeline {id}", definition.name.name);
            let error = Diagnostic::error("TABLE_ALREADY_MANAGED_BY_OTHER_PIPELINE", message).at(&definition.origin);
            let help = "a sink is for tables outside of pipelines: make it a streaming table, or give it another path";
            self.errors.push(error.about(definition.name.to_string()).help(help));
            return;
        }
        let mut evolved = Evolved::default();
        for field in schema.fields() {
            match table.schema.fields().iter().find(|stored| stored.name().eq_ignore_ascii_case(field.name())) {
                None => evolved.added.push(field.name().clone()),
                Some(stored) if evolved.fits(stored.data_type(), field.data_type(), field.name()) => {}
                Some(stored) => {
                    let (from, to) = (ddl::type_text(stored.data_type()), ddl::type_text(field.data_type()));
                    let message =
                        format!("column {} of the table of sink {} is {from}, its flows give {to}", field.name(), definition.name.name);
                    let error =
                        Diagnostic::error("SINK_SCHEMA_MISMATCH", message).at(&definition.origin).about(definition.name.to_string());
                    self.errors.push(error.help(format!("CAST({} AS {from}) in the query, or write into another table", field.name())));
                }
            }
        }
        if !evolved.added.is_empty() {
            self.changes.push(Change::Evolve { dataset: definition.name.to_string(), added: evolved.added });
        }
    }

    fn columns(&mut self, name: &DatasetName, table: &StoredTable, schema: &SchemaRef, is_replaced: bool) {
        let mut evolved = Evolved::default();
        for field in schema.fields() {
            evolved.widens = self.dataset.may_widen(field.name());
            let stored = table.schema.fields().iter().find(|stored| stored.name().eq_ignore_ascii_case(field.name()));
            match stored {
                None => evolved.added.push(field.name().clone()),
                Some(stored) if is_replaced || evolved.fits(stored.data_type(), field.data_type(), field.name()) => {}
                Some(stored) => {
                    let (from, to) = (ddl::type_text(stored.data_type()), ddl::type_text(field.data_type()));
                    let what = format!("column {} is stored as {from} and would become {to}", field.name());
                    self.errors.push(needs_full_refresh(&self.dataset.definition, name, &what));
                }
            }
        }
        let is_given = |column: &str| schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(column));
        let gone: Vec<String> = table.schema.fields().iter().map(|field| field.name().clone()).filter(|column| !is_given(column)).collect();
        if is_replaced {
            return;
        }
        let Evolved { added, wider, .. } = evolved;
        if !added.is_empty() {
            self.changes.push(Change::Evolve { dataset: name.to_string(), added });
        }
        if !wider.is_empty() {
            self.changes.push(Change::Widen { dataset: name.to_string(), columns: wider });
        }
        if !gone.is_empty() {
            self.changes.push(Change::ColumnNoLongerProduced { dataset: name.to_string(), columns: gone });
        }
    }

    /// TABLE_ALREADY_MANAGED_BY_OTHER_PIPELINE.
    fn foreign(&self, name: &DatasetName, table: &StoredTable) -> Option<Diagnostic> {
        if table.pipeline_id.is_some() && table.pipeline_id == self.stored.pipeline_id {
            return None;
        }
        let whose = match &table.pipeline_id {
            Some(id) => format!("belongs to pipeline {id}"),
            None => "was not written by Floe".to_string(),
        };
        let message = format!("the table that is stored as {name} {whose}");
        let error = Diagnostic::error("TABLE_ALREADY_MANAGED_BY_OTHER_PIPELINE", message).at(&self.dataset.definition.origin);
        Some(error.about(name.to_string()).help("give the dataset another name or the pipeline another storage; nothing was changed"))
    }

    /// CANNOT_CHANGE_DATASET_TYPE.
    fn other_kind(&self, name: &DatasetName, table: &StoredTable) -> Option<Diagnostic> {
        let now = self.dataset.definition.kind;
        let then = table.kind.filter(|then| *then != now)?;
        let text = |kind| if kind == DatasetKind::StreamingTable { "a streaming table" } else { "a materialized view" };
        let message = format!("{} is stored as {} and declared as {}", name.name, text(then), text(now));
        let error = Diagnostic::error("CANNOT_CHANGE_DATASET_TYPE", message).at(&self.dataset.definition.origin).about(name.to_string());
        Some(error.help("give the new dataset another name"))
    }
}

pub(super) fn needs_full_refresh(definition: &Dataset, name: &DatasetName, what: &str) -> Diagnostic {
    Diagnostic::error("SCHEMA_CHANGE_REQUIRES_FULL_REFRESH", format!("{} does not fit any more: {what}", name.name))
        .at(&definition.origin)
        .about(name.to_string())
        .help(format!("cast the column to its stored type, or run with --full-refresh {}", definition.name.name))
}

/// What a table needs so that its columns take values of other types.
#[derive(Default)]
struct Evolved {
    /// Types may become wider.
    widens: bool,
    /// New columns, and new fields as `a.b`.
    added: Vec<String>,
    /// `a.b INT to BIGINT`.
    wider: Vec<String>,
}

impl Evolved {
    /// True if values of `new` can be written into a column of type `stored`, once it has what is noted.
    fn fits(&mut self, stored: &DataType, new: &DataType, path: &str) -> bool {
        match (stored, new) {
            (DataType::Struct(stored), DataType::Struct(new)) => new.iter().all(|field| {
                let path = format!("{path}.{}", field.name());
                match stored.iter().find(|stored| stored.name().eq_ignore_ascii_case(field.name())) {
                    None => {
                        self.added.push(path);
                        true
                    }
                    Some(stored) => self.fits(stored.data_type(), field.data_type(), &path),
                }
            }),
            (stored, new) if same_type(stored, new) => true,
            (DataType::List(stored), DataType::List(new)) if self.widens => {
                self.fits(stored.data_type(), new.data_type(), &format!("{path}.element"))
            }
            (DataType::Map(_, _), DataType::Map(_, _)) if self.widens => {
                let known = self.added.len();
                let parts = || map_parts(stored).into_iter().flatten().zip(map_parts(new).into_iter().flatten()).zip(MAP_PARTS);
                let fits = parts().all(|((stored, new), name)| self.fits(stored.data_type(), new.data_type(), &format!("{path}.{name}")));
                fits && self.added.len() == known
            }
            // A table that is wider already was written again before the schema of the files was kept.
            (stored, new) if self.widens && type_widening::holds(stored, new) => true,
            (stored, new) if self.widens && type_widening::holds(new, stored) => {
                self.wider.push(format!("{path} {} to {}", ddl::type_text(stored), ddl::type_text(new)));
                true
            }
            _ => false,
        }
    }
}

fn same_columns(left: &[String], right: &[String]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.eq_ignore_ascii_case(right))
}

/// STATE_STORE_INCOMPATIBLE: what the flow remembers of earlier micro-batches was made for other keys.
fn other_state(flow: &ResolvedFlow, chosen: &Chosen, stored: &StoredState) -> Option<Diagnostic> {
    let name = flow.target.to_string();
    if chosen.resets.iter().any(|reset| reset.dataset == name) {
        return None;
    }
    let found = drift(&state_of(&flow.plan).operators, stored.operators.get(&flow.name.to_lowercase())?)?;
    Some(found.at(&flow.origin).about(name).help(state_help(&flow.target.name)))
}

/// What to do about another state.
pub fn state_help(table: &str) -> String {
    format!("put the keys back, or run with --reset-checkpoint {table}, which reads everything again, or with --full-refresh {table}")
}

/// Why a materialized view will certainly be computed in full, if that is known before it is looked at.
fn recompute(flow: &ResolvedFlow, dataset: &ResolvedDataset, chosen: &Chosen, stored: &StoredState) -> Option<Change> {
    if dataset.definition.kind != DatasetKind::MaterializedView {
        return None;
    }
    let name = flow.target.to_string();
    let is_reset = chosen.resets.iter().any(|reset| reset.dataset == name && reset.kind == ResetKind::FullRefresh);
    let reason = match stored.fingerprints.get(&flow.name.to_lowercase()) {
        _ if is_reset => "full refresh",
        None => "first refresh",
        Some(known) if *known != flow.fingerprint => "the definition changed",
        Some(_) => return None,
    };
    Some(Change::Recompute { dataset: name, reason: reason.to_string() })
}
