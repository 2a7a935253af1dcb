//! `read_files`: a directory or glob of JSON, CSV, Parquet, Avro, ORC, text or binary files, on this machine or in an object store.

mod avro;
mod bad;
mod batches;
mod binary;
mod clean;
mod columns;
mod csv;
pub(crate) mod csv_fields;
mod csv_values;
mod discover;
mod encoding;
mod glob;
pub(crate) mod infer;
mod json;
mod lines;
mod location;
mod look;
mod open;
mod orc;
mod parquet;
mod path_surprises;
mod reader;
mod scan;
mod snappy;
mod surprise;
mod text;
mod typed;

use std::{path::Path, sync::Arc};

use datafusion::{arrow::datatypes::SchemaRef, catalog::TableProvider};
use floe_graph::{
    relation::{Relation, RelationKind},
    source_options::{EvolutionMode, FileReadOptions, file_options},
};

use self::{
    location::FileRoot,
    scan::{FileRead, FileTable},
};
use super::ReadCounters;
use crate::{
    failure::Failure,
    state::FileEntry,
    storage::{Location, Stores},
};

pub use super::failure::invalid_options;
pub use bad::BadRecords;
pub use batches::{listing_fingerprint, split_batches};
pub use clean::Cleaned;
pub use discover::is_read;
pub use infer::{Found, SampleLimits};
pub use surprise::NEW_FIELDS;

/// One file relation with its options, ready to be listed and read.
#[derive(Clone, Debug)]
pub struct FileSource {
    root: FileRoot,
    /// URI of the project with a slash at its end: what state knows of files below it is relative to it.
    project: String,
    options: FileReadOptions,
    /// Where files go that were read.
    archive: Option<Location>,
}

impl FileSource {
    /// The source of `relation`, whose path is relative to the project unless it is absolute. Reads nothing.
    pub fn new(relation: &Relation, project: &Path, stores: &Stores) -> Result<Self, Failure> {
        let RelationKind::Files { path, .. } = &relation.kind else {
            return Err(Failure::internal(format!("{} is not made of files", relation.source_id())));
        };
        let (options, _) = file_options(relation).map_err(invalid_options)?;
        let root = FileRoot::parse(path, project, stores)?;
        Ok(Self {
            archive: clean::archive_of(options.clean.as_ref(), &root, project, stores)?,
            root,
            project: location::project_uri(project)?,
            options,
        })
    }

    /// The canonical URI, glob included: what messages call the source.
    pub fn uri(&self) -> &str {
        self.root.id()
    }

    /// The same, relative to the project for a place below it: what state knows the source by.
    pub fn place(&self) -> &str {
        location::portable(self.root.id(), &self.project)
    }

    /// Of each of these files of an earlier listing whether the source would take it by its name.
    pub fn takes(&self, files: &[FileEntry]) -> Result<Vec<bool>, Failure> {
        let uris: Vec<_> = files.iter().map(|file| location::absolute(&file.path, &self.project)).collect();
        discover::takes(&self.root, &self.options.filter, &uris)
    }

    /// The direct child of the directory that is, or holds, a listed file.
    pub fn child_of(&self, file: &FileEntry) -> Option<String> {
        let relative = self.root.relative(&location::absolute(&file.path, &self.project))?;
        let child = relative.split('/').next().filter(|child| !child.is_empty())?;
        Some(child.to_owned())
    }

    /// The options of the read.
    pub fn options(&self) -> &FileReadOptions {
        &self.options
    }

    /// All files that the relation takes, in file order (modification time, then path). `progress` hears from time to time how many
    /// were found. A missing directory is `PATH_NOT_FOUND`, an empty one is no error. Paths below the project are relative to it.
    pub async fn list(&self, now_us: i64, progress: &(dyn Fn(u64) + Sync)) -> Result<Vec<FileEntry>, Failure> {
        let mut files = discover::list(&self.root, &self.options.filter, now_us, progress).await?;
        for file in &mut files {
            if location::portable(&file.path, &self.project).len() < file.path.len() {
                file.path.drain(..self.project.len());
            }
        }
        Ok(files)
    }

    /// New files, in file order, cut into micro-batches by the limits of the relation.
    pub fn batches(&self, files: Vec<FileEntry>) -> Vec<Vec<FileEntry>> {
        split_batches(files, self.options.limits)
    }

    /// The same source, for which new fields are no reason to stop: they are rescued.
    #[must_use]
    pub fn as_it_is_known(mut self) -> Self {
        self.options.schema.evolution = EvolutionMode::Rescue;
        self
    }

    /// What the first of `files`, up to `limits`, have for columns.
    pub async fn infer(&self, files: &[FileEntry], limits: SampleLimits) -> Result<Found, Failure> {
        let mut files = files.to_vec();
        self.make_absolute(&mut files);
        infer::infer(&Arc::new(self.read()), &files, limits).await
    }

    fn make_absolute(&self, files: &mut [FileEntry]) {
        for file in files {
            file.path = location::absolute(&file.path, &self.project);
        }
    }

    fn read(&self) -> FileRead {
        FileRead { root: self.root.clone(), options: self.options.clone() }
    }

    /// The rows of exactly these files with exactly this schema.
    pub fn provider(
        &self,
        mut files: Vec<FileEntry>,
        schema: SchemaRef,
        counters: &Arc<ReadCounters>,
    ) -> Result<Arc<dyn TableProvider>, Failure> {
        self.make_absolute(&mut files);
        Ok(Arc::new(FileTable::new(self.read(), files, schema, Arc::clone(counters))))
    }
}

#[cfg(test)]
mod tests;
