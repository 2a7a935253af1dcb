//! Schemas of files that no query declares: from the checkpoints of the flows that read them, else from the files.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use floe_graph::{
    file_schema::{FileSchemas, NeededFileSchema, joined},
    relation::Relation,
    type_widening,
};
use futures::{StreamExt, stream};

use super::{CONCURRENT_READS, diagnostic};
use crate::{
    failpoint,
    failure::Failure,
    source::{
        FileSource,
        files::{Found, SampleLimits},
    },
    state::{Checkpoint, SourceId},
    storage::Storage,
};

/// Inferences at once: each reads on all processors.
const CONCURRENT_INFERENCES: usize = 4;

/// Where files and checkpoints are.
#[derive(Clone, Copy, Debug)]
pub struct FilePlaces<'a> {
    /// Root of the checkpoints.
    pub storage: &'a Storage,
    /// Relative paths begin here.
    pub root: &'a Path,
    /// Flows whose checkpoint will be forgotten, in lower case: what they have found counts no more.
    pub forgotten: &'a BTreeSet<String>,
}

/// Every schema that resolution needs, by its key. What cannot be found is an error where it is used.
pub async fn file_schemas<'n>(places: FilePlaces<'_>, needed: impl IntoIterator<Item = (&'n String, &'n NeededFileSchema)>) -> FileSchemas {
    let looks = stream::iter(needed).map(|(key, needed)| async move {
        let found = Box::pin(file_schema(places, needed)).await.map_err(|failure| diagnostic(failure, &needed.relation));
        (key.clone(), found)
    });
    looks.buffer_unordered(CONCURRENT_INFERENCES).collect().await
}

async fn file_schema(places: FilePlaces<'_>, needed: &NeededFileSchema) -> Result<SchemaRef, Failure> {
    let source = FileSource::new(&needed.relation, places.root, places.storage.stores())?;
    let id = SourceId::files(source.place());
    let flows = needed.flows.iter().filter(|flow| !places.forgotten.contains(&flow.to_lowercase()));
    let looks = stream::iter(flows).map(|flow| async {
        let mut checkpoint = Checkpoint::open(places.storage, flow).await?;
        checkpoint.schemas().await?.map_or(Ok(None), |found| found.of(&id))
    });
    let known: Vec<Result<Option<Schema>, Failure>> = looks.buffered(CONCURRENT_READS).collect().await;
    let mut union: Option<SchemaRef> = None;
    for schema in known {
        union = match (union, schema?) {
            (Some(union), Some(schema)) => Some(joined(&union, &schema, type_widening::is_wanted(&needed.relation))),
            (None, Some(schema)) => Some(Arc::new(schema)),
            (union, None) => union,
        };
    }
    match union {
        Some(schema) => Ok(schema),
        None => inferred(&source, &needed.relation).await,
    }
}

async fn inferred(source: &FileSource, relation: &Relation) -> Result<SchemaRef, Failure> {
    failpoint::reach("infer::before")?;
    let listing = source.list(chrono::Utc::now().timestamp_micros(), &|_| {}).await?;
    let Found { schema, files, unreadable, .. } = source.infer(&listing, SampleLimits::FIRST).await?;
    schema.ok_or_else(|| {
        // A directory with files that cannot be read is not an empty one.
        if let Some(unreadable) = unreadable {
            return unreadable;
        }
        let what = if files == 0 { "holds no file".to_string() } else { format!("holds no record in its first {files} files") };
        let text = format!("the schema of {} cannot be inferred: the path {what}", relation.source_id());
        Failure::user("CF_EMPTY_DIR_FOR_SCHEMA_INFERENCE", text)
            .help("land a file before the first update, or give a schema => 'name TYPE, …'")
    })
}
