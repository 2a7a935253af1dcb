//! `read_files`: a directory or glob of JSON, CSV, Parquet, text or binary files, on this machine or in an object store.

mod batches;
mod discover;
mod glob;
mod location;

use std::{path::Path, sync::Arc};

use datafusion::{arrow::datatypes::SchemaRef, catalog::TableProvider};
use floe_graph::{
    relation::{Relation, RelationKind},
    source_options::{FileReadOptions, file_options},
};

use self::location::FileRoot;
use super::ReadCounters;
use crate::{failure::Failure, state::FileEntry, storage::Stores};

pub use batches::{listing_fingerprint, split_batches};

/// One file relation with its options, ready to be listed and read.
#[derive(Clone, Debug)]
pub struct FileSource {
    root: FileRoot,
    options: FileReadOptions,
    time_zone: String,
}

impl FileSource {
    /// The source of `relation`, whose path is relative to the project unless it is absolute. Reads nothing.
    pub fn new(relation: &Relation, project: &Path, stores: &Stores) -> Result<Self, Failure> {
        let RelationKind::Files { path, .. } = &relation.kind else {
            return Err(Failure::internal(format!("{} is not made of files", relation.source_id())));
        };
        let (options, _) = file_options(relation).map_err(invalid_options)?;
        Ok(Self { root: FileRoot::parse(path, project, stores)?, options, time_zone: "UTC".to_owned() })
    }

    /// The same source, with the session's time zone for timestamps that have none.
    #[must_use]
    pub fn with_time_zone(self, time_zone: impl Into<String>) -> Self {
        Self { time_zone: time_zone.into(), ..self }
    }

    /// The canonical URI, glob included: what a checkpoint knows the source by.
    pub fn id(&self) -> &str {
        self.root.id()
    }

    /// The options of the read.
    pub fn options(&self) -> &FileReadOptions {
        &self.options
    }

    /// All files that the relation takes, in file order (modification time, then path). `progress` hears from time to time how many
    /// were found. A missing directory is `PATH_NOT_FOUND`, an empty one is no error.
    pub async fn list(&self, now_us: i64, progress: &(dyn Fn(u64) + Sync)) -> Result<Vec<FileEntry>, Failure> {
        discover::list(&self.root, &self.options.filter, now_us, progress).await
    }

    /// New files, in file order, cut into micro-batches by the limits of the relation.
    pub fn batches(&self, files: Vec<FileEntry>) -> Vec<Vec<FileEntry>> {
        split_batches(files, self.options.limits)
    }

    /// The rows of exactly these files with exactly this schema.
    pub fn provider(
        &self,
        files: Vec<FileEntry>,
        schema: SchemaRef,
        counters: &Arc<ReadCounters>,
    ) -> Result<Arc<dyn TableProvider>, Failure> {
        let _ = (files, schema, counters);
        Err(Failure::internal("files cannot be read yet"))
    }
}

/// Validation finds these first; here they come only from `floe sql` and the like.
pub fn invalid_options(diagnostics: Vec<floe_graph::origin::Diagnostic>) -> Failure {
    let mut failure = match diagnostics.first() {
        Some(first) => Failure::user(first.class.clone(), first.message.clone()),
        None => Failure::internal("options were refused without a reason"),
    };
    failure.origin = diagnostics.first().and_then(|first| first.origin.clone());
    failure.help = diagnostics.first().and_then(|first| first.help.clone());
    failure.diagnostics = diagnostics;
    failure
}

#[cfg(test)]
mod tests;
