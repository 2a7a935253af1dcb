//! Inference: the columns of files that nobody declared, from a bounded sample of them.

mod columns;
mod json;
mod kind;
mod text;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use floe_graph::{
    analysis::ddl,
    source_options::{FileFormat, PartitionColumns},
};
use tokio::runtime::Handle;

pub(super) use self::columns::storable;
use self::{
    kind::{Kind, Shape, Typing},
    text::Patterns,
};
use super::{
    avro,
    columns::partition_values,
    json::pattern,
    location::shown,
    open::{ReadError, SourceFile},
    orc,
    scan::FileRead,
};
use crate::{failure::Failure, state::FileEntry};

/// How much of a listing is read.
#[derive(Clone, Copy, Debug)]
pub struct SampleLimits {
    /// Files, from the first of the listing.
    pub files: usize,
    /// Their bytes as they are stored.
    pub bytes: u64,
}

impl SampleLimits {
    /// Of a relation that is read for the first time.
    pub const FIRST: Self = Self { files: 1000, bytes: 50 << 30 };
    /// Of a micro-batch, whose files are read anyway.
    pub const ALL: Self = Self { files: usize::MAX, bytes: u64::MAX };
}

/// What a sample of files has.
#[derive(Clone, Debug)]
pub struct Found {
    /// Columns of the content, then those of `k=v` directories; `None` if no file has a column.
    pub schema: Option<SchemaRef>,
    /// Files that were opened.
    pub files: usize,
    /// Their bytes as they are stored.
    pub bytes: u64,
}

/// Of one file.
enum FileColumns {
    Kinds(Shape),
    Typed(Schema),
}

/// The columns of the first of `files`, up to `limits`. Files that cannot be read tell nothing here: reading their rows says what is wrong.
pub(super) async fn infer(read: &Arc<FileRead>, files: &[FileEntry], limits: SampleLimits) -> Result<Found, Failure> {
    let sample = Arc::new(sample_of(files, limits));
    let options = &read.options;
    let dialect = |text: &Option<String>| text.as_deref().map(pattern).transpose();
    let patterns = Arc::new(Patterns { date: dialect(&options.csv.date_format)?, timestamp: dialect(&options.csv.timestamp_format)? });
    let next = Arc::new(AtomicUsize::new(0));
    let found: Arc<Mutex<Vec<(usize, FileColumns)>>> = Arc::default();
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(sample.len());
    let readers: Vec<_> = (0..threads)
        .map(|_| {
            let (read, sample, patterns) = (Arc::clone(read), Arc::clone(&sample), Arc::clone(&patterns));
            let (next, found, runtime) = (Arc::clone(&next), Arc::clone(&found), Handle::current());
            tokio::task::spawn_blocking(move || {
                while let Some((index, entry)) = claim(&next, &sample) {
                    if let Some(columns) = file_columns(&read, entry, &patterns, &runtime)? {
                        found.lock().unwrap_or_else(PoisonError::into_inner).push((index, columns));
                    }
                }
                Ok::<_, Failure>(())
            })
        })
        .collect();
    for reader in readers {
        reader.await.map_err(|panicked| Failure::internal("looking for the schema of files panicked").caused_by(panicked))??;
    }
    let mut found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    found.sort_by_key(|(index, _)| *index);
    let content = content_columns(read, found.into_iter().map(|(_, columns)| columns));
    let schema = with_partitions(read, content, &sample).map(Arc::new);
    Ok(Found { schema, files: sample.len(), bytes: sample.iter().map(|file| file.size).sum() })
}

fn claim<'a>(next: &AtomicUsize, sample: &'a [FileEntry]) -> Option<(usize, &'a FileEntry)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    sample.get(index).map(|entry| (index, entry))
}

fn sample_of(files: &[FileEntry], limits: SampleLimits) -> Vec<FileEntry> {
    let mut bytes = 0_u64;
    let mut fits = |file: &&FileEntry| {
        let before = bytes;
        bytes = bytes.saturating_add(file.size);
        before < limits.bytes
    };
    files.iter().take(limits.files).take_while(|file| fits(file)).cloned().collect()
}

fn file_columns(read: &FileRead, entry: &FileEntry, patterns: &Patterns, runtime: &Handle) -> Result<Option<FileColumns>, Failure> {
    let file = SourceFile { entry, place: read.root.place_of(&entry.path)?, runtime: runtime.clone() };
    let columns = match read.options.format {
        FileFormat::Json => json::shape(&file, read).map(FileColumns::Kinds),
        FileFormat::Csv => text::shape(&file, read, patterns).map(FileColumns::Kinds),
        FileFormat::Parquet => columns::parquet(&file).map(FileColumns::Typed),
        FileFormat::Avro => avro::columns(&file).map(|found| FileColumns::Typed(columns::stored(&found))),
        FileFormat::Orc => orc::columns(&file).map(|found| FileColumns::Typed(columns::stored(&found))),
        FileFormat::Text | FileFormat::BinaryFile => return Ok(None),
    };
    match columns {
        Ok(columns) => Ok(Some(columns)),
        Err(ReadError::Failed(failure)) => Err(*failure),
        Err(ReadError::Corrupt(reason)) => {
            tracing::warn!(file = %entry.path, %reason, "a file that cannot be read tells nothing about the schema");
            Ok(None)
        }
        Err(ReadError::Stopped | ReadError::Missing) => Ok(None),
    }
}

fn content_columns(read: &FileRead, found: impl Iterator<Item = FileColumns>) -> Vec<Field> {
    let typing = Typing { infer_types: read.options.schema.infer_types, primitives_as_string: read.options.json.primitives_as_string };
    let (mut shape, mut schema) = (Shape::default(), Schema::empty());
    for file in found {
        match file {
            FileColumns::Kinds(kinds) => shape.merge(kinds),
            FileColumns::Typed(typed) => schema = columns::merged(&schema, &typed),
        }
    }
    let typed = schema.fields().iter().map(|field| field.as_ref().clone());
    shape.columns(typing).into_iter().chain(typed).collect()
}

/// The columns with those of the directories behind them: what stands in the path is not looked for in the content.
fn with_partitions(read: &FileRead, content: Vec<Field>, sample: &[FileEntry]) -> Option<Schema> {
    let mut directories = Shape::default();
    let patterns = Patterns::default();
    for (name, value) in sample.iter().flat_map(|file| partition_values(&file.path)) {
        let is_wanted = match &read.options.partition_columns {
            PartitionColumns::All => true,
            PartitionColumns::Named(names) => names.iter().any(|wanted| wanted.eq_ignore_ascii_case(&name)),
        };
        if is_wanted {
            let index = directories.named(&name);
            if let Some(kind) = directories.kind_mut(index) {
                let found = if value == super::columns::HIVE_NULL { Kind::Null } else { text::kind_of(&value, &patterns) };
                kind.take(found, true);
            }
        }
    }
    let typing = Typing { infer_types: read.options.schema.infer_types, primitives_as_string: false };
    let directories = directories.columns(typing);
    let in_path = |field: &Field| directories.iter().any(|directory| directory.name().eq_ignore_ascii_case(field.name()));
    // A column of the file's facts or of rescued data is not one of its content.
    let rescued = read.options.schema.rescued_column.as_deref().unwrap_or_default();
    let is_own = |field: &Field| field.name().eq_ignore_ascii_case("_metadata") || field.name().eq_ignore_ascii_case(rescued);
    let fields: Vec<Field> = content.into_iter().filter(|field| !in_path(field) && !is_own(field)).collect();
    if fields.is_empty() {
        return None;
    }
    let schema = Schema::new(fields.into_iter().chain(directories).collect::<Vec<_>>());
    // State keeps schemas as text: what is planned now must be what is read from there later.
    Some(ddl::parse_schema(&ddl::schema_text(&schema)).unwrap_or(schema))
}

/// The failure of data whose keys are values.
fn too_wide(path: &str) -> Failure {
    let text = format!("{} has more than {} fields", shown(path), kind::MOST_FIELDS);
    Failure::user("FILE_SCHEMA_TOO_WIDE", text).help("give a schema, in which an object whose keys are values is a MAP<STRING, …>")
}
