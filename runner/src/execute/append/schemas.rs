//! Columns that were found in files: written down before a micro-batch is read with them, and widened when a file has more.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::arrow::datatypes::SchemaRef;
use floe_graph::{
    analysis::stream_leaves,
    file_schema::{self, joined, with_hints},
    relation::Relation,
    type_widening,
};

use super::AppendRun;
use crate::{
    failure::Failure,
    source::{FileSource, files::SampleLimits},
    state::{BatchOffsets, FoundSchemas, SourceId, SourceRange},
};

impl AppendRun<'_> {
    /// The columns with which the flow is planned, per source that does not declare them. They are durable before the first row of `batch` is
    /// staged: whoever executes it again reads it with the same.
    pub(super) async fn remember_schemas(&mut self, batch: i64) -> Result<(), Failure> {
        let places = self.execution.places();
        let mut sources: BTreeMap<SourceId, SchemaRef> = BTreeMap::new();
        for relation in self.inferred() {
            if let Some(schema) = self.execution.found_schemas.get(&file_schema::key(&relation)) {
                sources.insert(places.stream_id(&relation)?, Arc::clone(schema));
            }
        }
        if sources.is_empty() {
            return Ok(());
        }
        let known = self.checkpoint.schemas().await?;
        let found = FoundSchemas::new(known, batch, &self.run.flow.fingerprint, sources);
        if known.is_some_and(|known| known.sources == found.sources) {
            return Ok(());
        }
        self.checkpoint.write_schemas(found).await
    }

    /// True if new fields of some source become columns.
    pub(super) fn adds_columns(&self) -> Result<bool, Failure> {
        for relation in self.inferred() {
            if self.execution.places().files(&relation)?.options().schema.evolution.adds_columns() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the files of the batch have for columns, where that is more than is known or has wider types, by the keys of the relations.
    pub(super) async fn wider_schemas(&self, offsets: &BatchOffsets) -> Result<BTreeMap<String, SchemaRef>, Failure> {
        let mut wider = BTreeMap::new();
        for relation in self.inferred() {
            let key = file_schema::key(&relation);
            let Some(known) = self.execution.found_schemas.get(&key) else { continue };
            let source = self.execution.places().files(&relation)?;
            let range = offsets.sources.get(&self.execution.places().stream_id(&relation)?);
            let (true, Some(SourceRange::Files { files, .. } | SourceRange::DatedFiles { files, .. })) =
                (source.options().schema.evolution.adds_columns(), range)
            else {
                continue;
            };
            let Some(found) = source.infer(files, SampleLimits::ALL).await?.schema else { continue };
            let schema = joined(known, &found, type_widening::is_wanted(&relation));
            if is_wider(&source, known, &schema) {
                wider.insert(key, schema);
            }
        }
        Ok(wider)
    }

    /// The streams over files whose columns nobody declared.
    fn inferred(&self) -> Vec<Arc<Relation>> {
        stream_leaves(&self.run.flow.plan).into_iter().filter(|leaf| file_schema::is_inferred(leaf)).collect()
    }
}

/// True if the read has more columns with `wider` than with `known`: hints may declare a struct whole, and what they leave out is none.
fn is_wider(source: &FileSource, known: &SchemaRef, wider: &SchemaRef) -> bool {
    let read = |schema: &SchemaRef| match &source.options().schema.hints {
        Some(hints) => with_hints(schema, hints).unwrap_or_else(|_| schema.as_ref().clone()),
        None => schema.as_ref().clone(),
    };
    read(known) != read(wider)
}
