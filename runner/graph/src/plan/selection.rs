//! Which flows run and what is reset: names to datasets and flows, protection, consumers of what is emptied.

use std::collections::{BTreeMap, BTreeSet};

use super::{Reset, ResetKind, Selection, StoredState};
use crate::{
    definition::DatasetKind,
    graph::{ResolvedDataset, ResolvedFlow, ResolvedGraph, ResolvedKind},
    name::DatasetName,
    origin::Diagnostic,
    relation::{CHANGES_FROM_VERSION, RelationKind},
    resolve::near_names,
};

/// The selection as flows and resets.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Lower-case names of the flows that run.
    pub flows: BTreeSet<String>,
    pub resets: Vec<Reset>,
    /// Datasets that are emptied.
    pub emptied: BTreeSet<DatasetName>,
    pub notes: Vec<String>,
    pub warnings: Vec<String>,
}

/// Reads the selection, or says everything that is wrong with it.
pub(super) fn choose(graph: &ResolvedGraph, selection: &Selection, stored: &StoredState) -> Result<Chosen, Vec<Diagnostic>> {
    let by_name = !(selection.refresh.is_empty()
        && selection.refresh_flows.is_empty()
        && selection.full_refresh.is_empty()
        && selection.reset_checkpoints.is_empty());
    if selection.full_refresh_all && by_name {
        let message = "a full refresh of everything excludes every other selection";
        return Err(vec![
            Diagnostic::error("CONFLICTING_PIPELINE_REFRESH_OPTIONS", message)
                .help("use --full-refresh-all alone, or name the datasets with --full-refresh"),
        ]);
    }
    let mut chooser = Chooser { graph, chosen: Chosen::default(), kinds: BTreeMap::new(), errors: Vec::new() };
    chooser.read(selection, by_name);
    if selection.cascade {
        chooser.cascade();
    }
    chooser.finish(stored)
}

struct Chooser<'a> {
    graph: &'a ResolvedGraph,
    chosen: Chosen,
    /// What happens to each dataset that is reset; a full refresh is stronger than a checkpoint reset.
    kinds: BTreeMap<&'a DatasetName, ResetKind>,
    errors: Vec<Diagnostic>,
}

impl<'a> Chooser<'a> {
    fn read(&mut self, selection: &Selection, by_name: bool) {
        if !by_name {
            self.chosen.flows = self.graph.flows.iter().map(|flow| flow.name.to_lowercase()).collect();
        }
        if selection.full_refresh_all {
            self.full_refresh_all();
        }
        for name in &selection.refresh {
            if let Some(name) = self.dataset(name) {
                self.select(name);
            }
        }
        for name in &selection.refresh_flows {
            self.flow(name);
        }
        for name in &selection.full_refresh {
            self.reset(name, ResetKind::FullRefresh);
        }
        for name in &selection.reset_checkpoints {
            self.reset(name, ResetKind::CheckpointReset);
        }
    }

    fn full_refresh_all(&mut self) {
        let graph = self.graph;
        for (name, dataset) in graph.datasets.iter().filter(|(_, dataset)| is_written(dataset)) {
            if is_sink(dataset) {
                self.kinds.insert(name, ResetKind::CheckpointReset);
            } else if dataset.is_protected() {
                let why = protection(dataset);
                self.chosen.notes.push(format!("{} is protected by {why}: it is refreshed, not emptied", name.name));
            } else {
                self.kinds.insert(name, ResetKind::FullRefresh);
            }
        }
    }

    fn dataset(&mut self, text: &str) -> Option<&'a DatasetName> {
        let found = find(self.graph, text);
        if found.is_none() {
            let names = self.graph.datasets.iter().filter(|(_, dataset)| is_written(dataset)).map(|(name, _)| name);
            self.unknown("dataset", text, &names.flat_map(|name| [name.name.clone(), name.to_string()]).collect::<Vec<_>>());
        }
        found
    }

    fn unknown(&mut self, what: &str, text: &str, names: &[String]) {
        let error =
            Diagnostic::error("UNKNOWN_DATASET_IN_SELECTION", format!("{text} is no {what} of this pipeline that can be refreshed"));
        let near = near_names(text, names.iter().cloned());
        self.errors.push(if near.is_empty() {
            error.help("floe graph lists what the pipeline has")
        } else {
            error.help(format!("did you mean {}?", near.join(", ")))
        });
    }

    fn select(&mut self, name: &DatasetName) {
        let flows = self.graph.flows_into(name);
        self.chosen.flows.extend(flows.map(|flow| flow.name.to_lowercase()));
    }

    fn flow(&mut self, text: &str) {
        if let Some(flow) = self.graph.flow(text) {
            self.chosen.flows.insert(flow.name.to_lowercase());
        } else {
            let names: Vec<String> = self.graph.flows.iter().map(|flow| flow.name.clone()).collect();
            self.unknown("flow", text, &names);
        }
    }

    fn reset(&mut self, text: &str, kind: ResetKind) {
        let Some(name) = self.dataset(text) else { return };
        let dataset = &self.graph.datasets[name];
        if dataset.is_protected() {
            let message = format!("{} is protected by {}", name.name, protection(dataset));
            let error = Diagnostic::error("RESET_NOT_ALLOWED", message).about(name.to_string()).at(&dataset.definition.origin);
            self.errors.push(error.help("leave it out of the selection, or change the property first"));
            return;
        }
        self.select(name);
        // What is in a sink stays: it can only be appended again.
        let kind = if is_sink(dataset) { ResetKind::CheckpointReset } else { kind };
        // A checkpoint reset means nothing to a materialized view.
        if kind == ResetKind::FullRefresh || dataset.definition.kind != DatasetKind::MaterializedView {
            let strongest = self.kinds.entry(name).or_insert(kind);
            if kind == ResetKind::FullRefresh {
                *strongest = kind;
            }
        }
    }

    /// Adds all streaming consumers of what is emptied, transitively.
    fn cascade(&mut self) {
        let graph = self.graph;
        loop {
            let emptied = self.emptied();
            let more: Vec<&DatasetName> = streaming_consumers(graph, &emptied)
                .filter_map(|(flow, _)| graph.datasets.get_key_value(&flow.target))
                .filter(|(target, dataset)| self.kinds.get(target) != Some(&strongest(dataset)))
                .map(|(name, _)| name)
                .collect();
            if more.is_empty() {
                return;
            }
            for name in more {
                let dataset = &graph.datasets[name];
                self.kinds.insert(name, strongest(dataset));
                self.select(name);
                if !is_sink(dataset) {
                    self.chosen.notes.push(format!("{} is emptied too: it streams from an emptied table", name.name));
                }
            }
        }
    }

    fn emptied(&self) -> BTreeSet<DatasetName> {
        let empties = |name: &&DatasetName| {
            self.kinds.get(name) == Some(&ResetKind::FullRefresh)
                && self.graph.datasets[*name].definition.kind == DatasetKind::StreamingTable
        };
        self.kinds.keys().copied().filter(empties).cloned().collect()
    }

    fn finish(mut self, stored: &StoredState) -> Result<Chosen, Vec<Diagnostic>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        self.chosen.emptied = self.emptied();
        let sinks = self.kinds.keys().filter(|name| is_sink(&self.graph.datasets[**name]));
        let warnings = sinks.map(|name| format!("sink {} keeps the rows that it has: its flows append everything again", name.name));
        self.chosen.warnings.extend(warnings);
        self.chosen.resets = self
            .kinds
            .iter()
            .map(|(name, kind)| {
                let has_checkpoint = |flow: &&ResolvedFlow| flow.kind != ResolvedKind::Complete;
                let now = self.graph.flows_into(name).filter(has_checkpoint).map(|flow| flow.name.clone());
                // Put back later, a flow that has left must not go on where it was.
                let former = stored.writers.get(&name.key()).into_iter().flatten();
                let flows = now.chain(former.filter(|flow| self.graph.flow(flow).is_none()).cloned()).collect();
                Reset { dataset: name.to_string(), kind: *kind, flows }
            })
            .collect();
        let stored = self.kinds.keys().filter(|name| stored.tables.contains_key(**name));
        let left = stored.flat_map(|name| files_that_left(self.graph, name));
        self.chosen.warnings.extend(left.collect::<BTreeSet<_>>());
        Ok(self.chosen)
    }
}

/// What `cleanSource` took away and a dataset that begins anew does not find, in words; one line for each directory.
fn files_that_left(graph: &ResolvedGraph, name: &DatasetName) -> BTreeSet<String> {
    let table = &name.name;
    let inputs = graph.flows_into(name).flat_map(|flow| &flow.inputs).filter(|input| input.streaming);
    let lines = inputs.filter_map(|input| {
        let RelationKind::Files { path, .. } = &input.kind else { return None };
        let option = |key: &str| input.options.get(key).map(|value| value.trim());
        let action = option("cleansource")?;
        let only = format!("{table} begins anew and reads only what is left in {path}");
        if action.eq_ignore_ascii_case("delete") {
            return Some(format!("{only}: cleanSource may have deleted files that were read; their rows cannot be read again"));
        }
        let archive = option("cleansource.movedestination").filter(|_| action.eq_ignore_ascii_case("move"))?;
        Some(format!(
            "{only}: cleanSource may have moved files that were read to {archive}. To read them again, move them back before, or append them by a \
             flow of their own: CREATE FLOW name AS INSERT INTO ONCE {table} BY NAME SELECT … FROM read_files('{archive}', …)"
        ))
    });
    lines.collect()
}

/// True for what flows write.
fn is_written(dataset: &ResolvedDataset) -> bool {
    matches!(dataset.definition.kind, DatasetKind::StreamingTable | DatasetKind::MaterializedView | DatasetKind::Sink)
}

fn is_sink(dataset: &ResolvedDataset) -> bool {
    dataset.definition.kind == DatasetKind::Sink
}

/// The reset that lets a dataset begin anew.
fn strongest(dataset: &ResolvedDataset) -> ResetKind {
    if is_sink(dataset) { ResetKind::CheckpointReset } else { ResetKind::FullRefresh }
}

/// The property that protects the dataset, as the user wrote it.
fn protection(dataset: &ResolvedDataset) -> String {
    let protects = |key: &str, value: &str| {
        (key.eq_ignore_ascii_case("pipelines.reset.allowed") && value.eq_ignore_ascii_case("false"))
            || (key.eq_ignore_ascii_case("delta.appendOnly") && value.eq_ignore_ascii_case("true"))
    };
    let mut found: Vec<String> =
        dataset.definition.properties.iter().filter(|(k, v)| protects(k, v)).map(|(k, v)| format!("{k}={v}")).collect();
    found.sort_by_key(|text| !text.to_lowercase().starts_with("pipelines."));
    found.into_iter().next().unwrap_or_default()
}

/// A stored dataset or a sink by full name, `schema.name`, or a last part that only one has.
fn find<'a>(graph: &'a ResolvedGraph, text: &str) -> Option<&'a DatasetName> {
    let text = text.to_lowercase();
    let stored = || graph.datasets.iter().filter(|(_, dataset)| is_written(dataset)).map(|(name, _)| name);
    let exact = stored().find(|name| name.key() == text);
    exact.or_else(|| {
        let mut ending = stored().filter(|name| name.key().ends_with(&format!(".{text}")));
        let first = ending.next()?;
        ending.next().is_none().then_some(first)
    })
}

/// Flows that stream the rows of one of `emptied`, with the table. In a change feed the rows that go are deletes.
fn streaming_consumers<'a>(
    graph: &'a ResolvedGraph,
    emptied: &'a BTreeSet<DatasetName>,
) -> impl Iterator<Item = (&'a ResolvedFlow, &'a DatasetName)> {
    let owner = |name: &DatasetName| {
        emptied.iter().find(|known| *known == name || graph.datasets.get(*known).is_some_and(|d| d.quarantine.as_ref() == Some(name)))
    };
    graph.flows.iter().filter_map(move |flow| {
        let streams = flow.inputs.iter().filter(|input| input.streaming && !input.options.contains_key(CHANGES_FROM_VERSION));
        let table = streams.into_iter().find_map(|input| match &input.kind {
            RelationKind::Dataset { name } => owner(name),
            _ => None,
        })?;
        Some((flow, table))
    })
}

/// FULL_REFRESH_BREAKS_STREAM: who streams from an emptied table must be emptied too. Nobody minds a table that is not there yet.
pub(super) fn broken_streams(graph: &ResolvedGraph, chosen: &Chosen, stored: &StoredState) -> Vec<Diagnostic> {
    let mut broken: BTreeMap<&DatasetName, BTreeSet<&str>> = BTreeMap::new();
    for (flow, table) in streaming_consumers(graph, &chosen.emptied) {
        let exists = stored.tables.contains_key(table) && stored.tables.contains_key(&flow.target);
        let begins_anew = chosen.emptied.contains(&flow.target)
            || graph.datasets.get(&flow.target).is_some_and(is_sink)
                && chosen.resets.iter().any(|reset| reset.dataset == flow.target.to_string());
        if exists && !begins_anew {
            broken.entry(table).or_default().insert(&flow.name);
        }
    }
    broken
        .into_iter()
        .map(|(table, flows)| {
            let flows: Vec<&str> = flows.into_iter().collect();
            let message = format!("a full refresh of {} breaks the streams of {}", table.name, flows.join(", "));
            let error = Diagnostic::error("FULL_REFRESH_BREAKS_STREAM", message).about(table.to_string());
            error.help("select them for a full refresh too, or add --cascade")
        })
        .collect()
}
