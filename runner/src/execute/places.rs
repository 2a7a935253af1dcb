//! Where the relations of a pipeline are, and what state knows them by: for updates and for queries of the command line.

use std::path::Path;

use floe_graph::{
    graph::ResolvedGraph,
    name::DatasetName,
    relation::{Relation, RelationKind},
};

use crate::{
    failure::Failure,
    source::{DeltaSource, FileSource},
    state::SourceId,
    storage::{Location, Storage, layout, parse_uri},
};

/// What decides where a relation is.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Root of tables and state.
    pub storage: &'a Storage,
    /// Which datasets are private.
    pub graph: &'a ResolvedGraph,
    /// Relative paths begin here.
    pub project: &'a Path,
}

impl Places<'_> {
    /// Where the table of a relation stands.
    pub fn location(&self, relation: &Relation) -> Result<Location, Failure> {
        match &relation.kind {
            RelationKind::Dataset { name } => Ok(self.table(name)),
            RelationKind::Delta { location, .. } => self.storage.stores().location_of(location, self.project),
            RelationKind::EventLog => Ok(self.storage.at(layout::EVENT_LOG)),
            RelationKind::Files { path, .. } => Err(Failure::internal(format!("{path} is not a table"))),
        }
    }

    /// Where a stored dataset or quarantine table stands.
    pub fn table(&self, name: &DatasetName) -> Location {
        let private =
            self.graph.datasets.values().any(|dataset| {
                dataset.definition.private && (dataset.definition.name == *name || dataset.quarantine.as_ref() == Some(name))
            });
        self.storage.at(&layout::table_path(name, private))
    }

    /// The source of a file relation.
    pub fn files(&self, relation: &Relation) -> Result<FileSource, Failure> {
        FileSource::new(relation, self.project, self.storage.stores())
    }

    /// The source of a Delta relation.
    pub fn delta(&self, relation: &Relation) -> Result<DeltaSource, Failure> {
        let source = DeltaSource::new(relation.source_id(), self.location(relation)?);
        Ok(if matches!(relation.kind, RelationKind::Dataset { .. }) { source.managed() } else { source })
    }

    /// What the checkpoint of a flow knows a stream by.
    pub fn stream_id(&self, relation: &Relation) -> Result<SourceId, Failure> {
        match &relation.kind {
            RelationKind::Files { .. } => Ok(SourceId::files(self.files(relation)?.place())),
            RelationKind::Delta { name: None, location, .. } => {
                let (uri, project) = (parse_uri(location, self.project)?, parse_uri("", self.project)?);
                let uri = uri.as_str().trim_end_matches('/');
                let below = uri.strip_prefix(project.as_str().trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'));
                Ok(SourceId::table(below.unwrap_or(uri)))
            }
            _ => Ok(SourceId::table(&relation.source_id())),
        }
    }

    /// What a batch query knows the listing of a file relation by.
    pub fn listing_id(&self, relation: &Relation) -> Result<SourceId, Failure> {
        let RelationKind::Files { format, .. } = &relation.kind else {
            return Err(Failure::internal(format!("{} is not made of files", relation.source_id())));
        };
        Ok(SourceId::listing(self.files(relation)?.place(), format, &relation.options))
    }
}
