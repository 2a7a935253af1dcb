//! What a name means: the order of lookup, and near names for one that means nothing.

use std::collections::BTreeMap;

use crate::{
    analysis::{ReferenceKind, RelationReference},
    definition::{Dataset, DatasetKind, Definitions, is_near},
    graph::ResolvedGraph,
    name::{DatasetName, Namespace},
    origin::Diagnostic,
    validate::quarantine_name,
};

/// How many near names a message offers.
const NEAR_NAMES: usize = 3;

/// What a name of a query means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Dataset(&'a DatasetName, DatasetKind),
    /// The quarantine table of this dataset.
    Quarantine {
        name: &'a DatasetName,
        owner: &'a DatasetName,
        owner_kind: DatasetKind,
    },
}

impl<'a> Found<'a> {
    /// The dataset that must be resolved first.
    pub(super) fn needs(self) -> &'a DatasetName {
        match self {
            Found::Dataset(name, _) => name,
            Found::Quarantine { owner, .. } => owner,
        }
    }
}

/// All names of a pipeline.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    /// Temporary views by their one part.
    views: BTreeMap<String, (&'a DatasetName, DatasetKind)>,
    /// Everything else by full name.
    others: BTreeMap<&'a DatasetName, (DatasetKind, Option<&'a str>)>,
    /// Private datasets by their last part, if that is unique.
    private: BTreeMap<String, Option<&'a DatasetName>>,
    /// Quarantine tables with their owners.
    quarantine: BTreeMap<DatasetName, (&'a DatasetName, DatasetKind)>,
}

impl<'a> Names<'a> {
    pub(super) fn new(definitions: &'a Definitions) -> Self {
        let mut names = Self::default();
        for dataset in &definitions.datasets {
            names.add(dataset);
        }
        names
    }

    pub(super) fn of_graph(graph: &'a ResolvedGraph) -> Self {
        let mut names = Self::default();
        for dataset in graph.datasets.values() {
            names.add(&dataset.definition);
        }
        names
    }

    fn add(&mut self, dataset: &'a Dataset) {
        let name = &dataset.name;
        if dataset.kind == DatasetKind::TemporaryView {
            self.views.entry(name.name.to_lowercase()).or_insert((name, dataset.kind));
            return;
        }
        self.others.entry(name).or_insert((dataset.kind, dataset.location.as_deref()));
        if dataset.private {
            self.private.entry(name.name.to_lowercase()).and_modify(|known| *known = None).or_insert(Some(name));
        }
        if let Some(quarantine) = quarantine_name(dataset) {
            self.quarantine.entry(quarantine).or_insert((name, dataset.kind));
        }
    }

    /// The location of an external table.
    pub(super) fn location(&self, name: &DatasetName) -> Option<&'a str> {
        self.others.get(name).and_then(|(_, location)| *location)
    }

    /// What `parts` means in `namespace`.
    pub(super) fn find(&self, parts: &[String], namespace: &Namespace) -> Option<Found<'_>> {
        let full = DatasetName::of_parts(parts, namespace)?;
        if let [one] = parts {
            let key = one.to_lowercase();
            if let Some((name, kind)) = self.views.get(&key) {
                return Some(Found::Dataset(name, *kind));
            }
            if let Some(found) = self.stored(&full) {
                return Some(found);
            }
            let private = self.private.get(&key).copied().flatten()?;
            return self.stored(private);
        }
        self.stored(&full)
    }

    fn stored(&self, name: &DatasetName) -> Option<Found<'_>> {
        if let Some((known, (kind, _))) = self.others.get_key_value(name) {
            return Some(Found::Dataset(known, *kind));
        }
        let (known, (owner, owner_kind)) = self.quarantine.get_key_value(name)?;
        Some(Found::Quarantine { name: known, owner, owner_kind: *owner_kind })
    }

    /// What the reference means, if it is a name.
    pub(super) fn named(&self, reference: &RelationReference) -> Option<Found<'_>> {
        match &reference.kind {
            ReferenceKind::Name(parts) => self.find(parts, &reference.namespace),
            _ => None,
        }
    }

    /// The view that the reference means, if it is one.
    pub(super) fn view(&self, reference: &RelationReference) -> Option<&DatasetName> {
        match self.named(reference)? {
            Found::Dataset(name, DatasetKind::TemporaryView | DatasetKind::View) => Some(name),
            _ => None,
        }
    }

    /// The error for a name that means nothing, with near names.
    pub(super) fn unknown(&self, reference: &RelationReference, reader: Option<&str>) -> Diagnostic {
        let text = reference.text();
        let read_by = reader.map(|flow| format!(", read by flow {flow},")).unwrap_or_default();
        let error = Diagnostic::error("TABLE_OR_VIEW_NOT_FOUND", format!("{text}{read_by} is not defined")).at(&reference.origin);
        let near = self.near(&text, &reference.namespace);
        if is_near(&text, "STREAM") && near.is_empty() {
            return error.help("did you mean STREAM? write STREAM(name)");
        }
        match near.as_slice() {
            [] => error.help("define it in a SQL file or a Table manifest; a table of another program is declared as type External"),
            near => error.help(format!("did you mean {}?", near.join(", "))),
        }
    }

    fn near(&self, text: &str, namespace: &Namespace) -> Vec<String> {
        let all = self.views.values().map(|(name, _)| name.name.clone());
        let all = all.chain(self.others.keys().map(|name| name.short(namespace)));
        near_names(text, all.chain(self.quarantine.keys().map(|name| name.short(namespace))))
    }
}

/// True for datasets that live beside stored ones of the same name and are found first.
pub(super) fn is_temporary(kind: DatasetKind) -> bool {
    kind == DatasetKind::TemporaryView
}

/// Up to three of `all` that look like `text`, nearest first.
pub(crate) fn near_names(text: &str, all: impl Iterator<Item = String>) -> Vec<String> {
    let text = text.to_lowercase();
    let most = text.chars().count().div_ceil(3).max(1);
    let mut near: Vec<(usize, String)> = all
        .map(|name| (strsim::damerau_levenshtein(&text, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= most)
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().take(NEAR_NAMES).map(|(_, name)| name).collect()
}
