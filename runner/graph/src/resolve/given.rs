//! A project in which the rows of some datasets are given: what `floe test` resolves and runs.
//!
//! A given dataset keeps its name and becomes a read of files; what is not needed is left out. Nothing after this room knows the difference.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use datafusion_common::arrow::datatypes::{Schema, SchemaRef};

use super::{
    ResolveInput,
    flow::Resolver,
    names::{Found, Names, is_temporary},
    near_names, order, with_default_properties,
};
use crate::{
    analysis::{ReferenceKind, RelationReference, ddl::schema_text, references},
    definition::{Configuration, Dataset, DatasetKind, Definitions, Flow, FlowKind, Query, SourceFile, parse_query},
    name::DatasetName,
    origin::Diagnostic,
    validate,
};

/// The property that lets a protected table stream from a replaced one.
const RESET_ALLOWED: &str = "pipelines.reset.allowed";

/// A dataset of the project, as `GivenRows` counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DatasetId(usize);

/// A dataset that a file of a test names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedDataset {
    /// The dataset; the owner of a quarantine table.
    pub id: DatasetId,
    /// Its full name, or that of the quarantine table.
    pub name: DatasetName,
    /// A quarantine table: it can be expected, but not given.
    pub is_quarantine: bool,
    /// A view that is known by one part.
    pub is_temporary: bool,
}

/// Rows that stand for a dataset.
#[derive(Clone, Debug)]
pub struct GivenDataset {
    /// Which one.
    pub id: DatasetId,
    /// URI of the directory of JSON lines.
    pub place: String,
    /// The columns of the rows.
    pub schema: SchemaRef,
}

/// What the rows of a given dataset are from one micro-batch to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// They are added.
    Added,
    /// They are the whole content.
    Content,
}

/// The definitions of a project with what each dataset reads.
#[derive(Debug)]
pub struct GivenRows<'a> {
    definitions: &'a Definitions,
    input: &'a ResolveInput,
    names: Names<'a>,
    /// Per dataset those that it reads.
    inputs: Vec<BTreeSet<usize>>,
}

impl<'a> GivenRows<'a> {
    /// Of `definitions` without errors.
    pub fn new(definitions: &'a Definitions, input: &'a ResolveInput) -> Self {
        let names = Names::new(definitions);
        let inputs = order::inputs(definitions, &names, &input.parameters);
        Self { definitions, input, names, inputs }
    }

    /// The dataset that `text` (one to three parts) names; the error lacks its place.
    pub fn dataset(&self, text: &str) -> Result<NamedDataset, Diagnostic> {
        let parts: Vec<String> = text.split('.').map(str::to_string).collect();
        let unknown = || {
            let all = self.definitions.datasets.iter().map(|dataset| dataset.name.short(&self.input.namespace));
            let error = Diagnostic::error("TABLE_OR_VIEW_NOT_FOUND", format!("{text} is no dataset of this pipeline"));
            match near_names(text, all).as_slice() {
                [] => error.help("`floe graph` lists the datasets; a file of a test is named after one of them"),
                near => error.help(format!("did you mean {}?", near.join(", "))),
            }
        };
        let found = self.names.find(&parts, &self.input.namespace).ok_or_else(unknown)?;
        if let Found::Dataset(_, DatasetKind::Sink) = found {
            let error = Diagnostic::error("TEST_INPUT_NOT_ALLOWED", format!("{text} is a sink, and a test writes to no sink"));
            return Err(error.help("give and expect rows of the dataset that its flows read"));
        }
        let id = self.index(found).ok_or_else(unknown)?;
        Ok(match found {
            Found::Dataset(name, kind) => NamedDataset { id, name: name.clone(), is_quarantine: false, is_temporary: is_temporary(kind) },
            Found::Quarantine { name, .. } => NamedDataset { id, name: name.clone(), is_quarantine: true, is_temporary: false },
        })
    }

    fn index(&self, found: Found<'_>) -> Option<DatasetId> {
        let temporary = matches!(found, Found::Dataset(_, kind) if is_temporary(kind));
        let is_it = |dataset: &Dataset| dataset.name == *found.needs() && is_temporary(dataset.kind) == temporary;
        self.definitions.datasets.iter().position(is_it).map(DatasetId)
    }

    /// How the rows of a given dataset arrive.
    pub fn arrival(&self, id: DatasetId) -> Arrival {
        match self.replaced_kind(id.0) {
            DatasetKind::StreamingTable => Arrival::Added,
            DatasetKind::TemporaryView if self.is_streaming_view(id.0) => Arrival::Added,
            _ => Arrival::Content,
        }
    }

    /// The columns of all datasets whose columns are known without looking at storage, with the rows of some of them given.
    pub fn schemas(&self, given: &[GivenDataset]) -> Result<BTreeMap<DatasetId, SchemaRef>, Diagnostic> {
        let all: BTreeSet<usize> = (0..self.definitions.datasets.len()).collect();
        let definitions = with_default_properties(self.replaced(given, &all)?, self.input);
        let names = Names::new(&definitions);
        let order = order::order(&definitions, &names, &self.input.parameters);
        let mut resolver = Resolver::new(&definitions, &names, self.input);
        for name in order.broken {
            resolver.break_dataset(name);
        }
        for dataset in order.datasets {
            resolver.dataset(dataset);
        }
        let known = resolver.schemas();
        let schema = |(at, dataset): (usize, &Dataset)| {
            let schema = known.get(&(dataset.name.clone(), is_temporary(dataset.kind)))?;
            (dataset.kind != DatasetKind::External).then(|| (DatasetId(at), Arc::clone(schema)))
        };
        let externals = given.iter().map(|given| (given.id, Arc::clone(&given.schema)));
        Ok(self.definitions.datasets.iter().enumerate().filter_map(schema).chain(externals).collect())
    }

    /// The definitions of a test: `wanted` with what leads to them, and all that can run behind what is given if `everything`. The errors say
    /// what would have to read a source.
    pub fn definitions(
        &self,
        given: &[GivenDataset],
        wanted: &BTreeSet<DatasetId>,
        everything: bool,
    ) -> Result<Definitions, Vec<Diagnostic>> {
        let known: BTreeSet<usize> = given.iter().map(|given| given.id.0).collect();
        let mut needed: BTreeSet<usize> = wanted.iter().flat_map(|id| self.way_to(id.0, &known)).collect();
        let mut missing: Vec<Diagnostic> = needed.iter().filter_map(|at| self.missing(*at, &known)).collect();
        if everything && missing.is_empty() {
            let mut lacking = Vec::new();
            for at in self.behind(&known) {
                let way = self.way_to(at, &known);
                let lacks: Vec<Diagnostic> = way.iter().filter_map(|at| self.missing(*at, &known)).collect();
                if lacks.is_empty() { needed.extend(way) } else { lacking.extend(lacks) }
            }
            if needed.is_empty() {
                missing = lacking;
            }
        }
        missing.sort_by(|a, b| (&a.origin, &a.message).cmp(&(&b.origin, &b.message)));
        missing.dedup();
        if !missing.is_empty() {
            return Err(missing);
        }
        needed.extend(&known);
        self.replaced(given, &needed).map_err(|error| vec![error])
    }

    /// Names with a value that nothing of the whole project reads.
    pub fn unread_names(&self) -> Vec<Diagnostic> {
        validate::unread(self.definitions, self.input)
    }

    /// Stored datasets that read one of `known`, directly or not.
    fn behind(&self, known: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut behind = known.clone();
        loop {
            let more: Vec<usize> =
                (0..self.inputs.len()).filter(|at| !behind.contains(at) && !self.inputs[*at].is_disjoint(&behind)).collect();
            if more.is_empty() {
                break;
            }
            behind.extend(more);
        }
        let is_stored =
            |at: &usize| matches!(self.definitions.datasets[*at].kind, DatasetKind::StreamingTable | DatasetKind::MaterializedView);
        behind.into_iter().filter(|at| !known.contains(at)).filter(is_stored).collect()
    }

    /// `at` and what it reads, directly or not, as far as the datasets that are given.
    fn way_to(&self, at: usize, known: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut way = BTreeSet::from([at]);
        let mut open = vec![at];
        while let Some(next) = open.pop() {
            if known.contains(&next) {
                continue;
            }
            for input in &self.inputs[next] {
                if way.insert(*input) {
                    open.push(*input);
                }
            }
        }
        way
    }

    /// True if `dataset` reads `other`, directly or through others.
    pub fn is_behind(&self, dataset: DatasetId, other: DatasetId) -> bool {
        dataset != other && self.way_to(dataset.0, &BTreeSet::new()).contains(&other.0)
    }

    /// The source that dataset `at` would read.
    fn missing(&self, at: usize, known: &BTreeSet<usize>) -> Option<Diagnostic> {
        if known.contains(&at) {
            return None;
        }
        let dataset = &self.definitions.datasets[at];
        let name = dataset.name.short(&self.input.namespace);
        let error = |message: String| Diagnostic::error("TEST_INPUT_MISSING", message).about(dataset.name.to_string());
        if dataset.kind == DatasetKind::External {
            let error = error(format!("{name} is a table of somebody else, and a test reads no sources")).at(&dataset.origin);
            return Some(error.help(format!("give its rows in input/{name}.json (an empty file: no rows)")));
        }
        if let Some((reference, owner)) = self.quarantine_of_given(at, known) {
            let error = error(format!("{name} reads {}, which is empty while the rows of {owner} are given", reference.text()));
            let help = format!("give rows of {name} in input/{name}.json, or of what {owner} reads in the place of {owner} itself");
            return Some(error.at(&reference.origin).help(help));
        }
        let reference = self.flows_of(at).flat_map(|flow| references(&flow.query, &self.input.parameters)).find(|reference| {
            matches!(reference.kind, ReferenceKind::Files { .. } | ReferenceKind::DeltaPath(_) | ReferenceKind::EventLog)
        })?;
        let error = error(format!("{name} reads {}, and a test reads no sources", reference.text())).at(&reference.origin);
        Some(error.help(format!("give its rows in input/{name}.json (an empty file: no rows), or those of a dataset that stands between")))
    }

    /// The quarantine table of a dataset that is given, if dataset `at` reads one: no row is kept out of rows that are what they are.
    fn quarantine_of_given(&self, at: usize, known: &BTreeSet<usize>) -> Option<(RelationReference, String)> {
        let mut all = self.flows_of(at).flat_map(|flow| references(&flow.query, &self.input.parameters));
        all.find_map(|reference| {
            let found = self.names.named(&reference)?;
            let Found::Quarantine { owner, .. } = found else { return None };
            let is_given = self.index(found).is_some_and(|id| known.contains(&id.0));
            is_given.then(|| (reference.clone(), owner.short(&self.input.namespace)))
        })
    }

    fn flows_of(&self, at: usize) -> impl Iterator<Item = &'a Flow> + '_ {
        self.definitions.flows.iter().filter(move |flow| self.target(flow) == Some(at))
    }

    /// Views apart, because a view may have the name of a table.
    fn target(&self, flow: &Flow) -> Option<usize> {
        let of = |temporary: bool| {
            let is_it = |dataset: &Dataset| dataset.name == flow.target && is_temporary(dataset.kind) == temporary;
            self.definitions.datasets.iter().position(is_it)
        };
        let is_view = flow.kind == FlowKind::View;
        of(is_view).or_else(|| of(!is_view))
    }

    /// The definitions of `needed`, with reads of files in the place of what is given.
    fn replaced(&self, given: &[GivenDataset], needed: &BTreeSet<usize>) -> Result<Definitions, Diagnostic> {
        let known: BTreeSet<usize> = given.iter().map(|given| given.id.0).collect();
        let mut definitions = Definitions { datasets: Vec::new(), flows: Vec::new(), is_part: true, ..self.definitions.clone() };
        for (at, dataset) in self.definitions.datasets.iter().enumerate().filter(|(at, _)| needed.contains(at)) {
            definitions.datasets.push(if known.contains(&at) { self.replacement(at) } else { dataset.clone() });
        }
        let runs = |flow: &&Flow| self.target(flow).is_some_and(|at| needed.contains(&at) && !known.contains(&at));
        definitions.flows.extend(self.definitions.flows.iter().filter(runs).cloned());
        for given in given {
            definitions.flows.push(self.flow(given)?);
        }
        Ok(definitions)
    }

    fn replaced_kind(&self, at: usize) -> DatasetKind {
        let dataset = &self.definitions.datasets[at];
        match dataset.kind {
            DatasetKind::External if self.is_streamed(at) => DatasetKind::StreamingTable,
            DatasetKind::External => DatasetKind::MaterializedView,
            kind => kind,
        }
    }

    /// Its rows are what they are: rules and declared columns were about where they come from.
    fn replacement(&self, at: usize) -> Dataset {
        let dataset = &self.definitions.datasets[at];
        let mut properties = dataset.properties.clone();
        if dataset.kind == DatasetKind::External {
            properties.insert(RESET_ALLOWED.to_string(), "false".to_string());
        }
        Dataset {
            kind: self.replaced_kind(at),
            expectations: Vec::new(),
            checks: Vec::new(),
            columns: None,
            location: None,
            properties,
            refresh_policy: crate::definition::RefreshPolicy::Auto,
            ..dataset.clone()
        }
    }

    fn flow(&self, given: &GivenDataset) -> Result<Flow, Diagnostic> {
        let dataset = &self.definitions.datasets[given.id.0];
        let stream = if self.arrival(given.id) == Arrival::Added { "STREAM " } else { "" };
        let kind = match self.replaced_kind(given.id.0) {
            DatasetKind::StreamingTable => FlowKind::Append,
            DatasetKind::MaterializedView | DatasetKind::External => FlowKind::Complete,
            DatasetKind::TemporaryView | DatasetKind::View => FlowKind::View,
            DatasetKind::Sink => FlowKind::Once,
        };
        let read = format!(
            "SELECT * FROM {stream}read_files({}, format => 'json', mode => 'FAILFAST', schema => {})",
            literal(&given.place),
            literal(&schema_text(&nullable(&given.schema)))
        );
        Ok(Flow {
            name: dataset.name.short(&self.input.namespace),
            target: dataset.name.clone(),
            kind,
            query: self.query(&read)?,
            comment: None,
            settings: BTreeMap::new(),
            with_dataset: true,
            origin: dataset.origin.clone(),
        })
    }

    fn query(&self, text: &str) -> Result<Query, Diagnostic> {
        parse_query(&SourceFile::new("<rows of the test>", text), &self.input.namespace, &Configuration::default())
    }

    fn is_streaming_view(&self, at: usize) -> bool {
        self.flows_of(at).flat_map(|flow| references(&flow.query, &self.input.parameters)).any(|reference| reference.streaming)
    }

    /// True if any query reads it as a stream.
    fn is_streamed(&self, at: usize) -> bool {
        let all = self.definitions.flows.iter().flat_map(|flow| references(&flow.query, &self.input.parameters));
        let mut streams = all.filter(|reference| reference.streaming);
        streams.any(|reference| self.names.named(&reference).and_then(|found| self.index(found)) == Some(DatasetId(at)))
    }
}

/// A text as SQL writes it, where `${` is not the begin of a variable.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace("${", "$${"))
}

fn nullable(schema: &Schema) -> Schema {
    Schema::new(schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>())
}
