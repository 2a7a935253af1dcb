//! Inference: the columns of files that nobody declared, from a bounded sample of them.

mod columns;
mod json;
pub(crate) mod kind;
pub(crate) mod text;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use floe_graph::{
    analysis::ddl,
    file_schema::{self, MOST_FIELDS},
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
    look::unreadable,
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
    /// Directories alone are no schema.
    pub needs_content: bool,
}

impl SampleLimits {
    /// Of a relation that is read for the first time.
    pub const FIRST: Self = Self { files: 1000, bytes: 50 << 30, needs_content: true };
    /// Of a micro-batch, whose files are read anyway.
    pub const ALL: Self = Self { files: usize::MAX, bytes: u64::MAX, needs_content: false };
}

/// What a sample of files has.
#[derive(Debug)]
pub struct Found {
    /// Columns of the content, then those of `k=v` directories; `None` if no file has a column.
    pub schema: Option<SchemaRef>,
    /// Files that were opened.
    pub files: usize,
    /// Their bytes as they are stored.
    pub bytes: u64,
    /// Why the first of the files that cannot be read tells nothing.
    pub unreadable: Option<Failure>,
}

/// What one file tells.
enum Told {
    Kinds(Shape),
    Typed(Schema),
    Nothing,
    Unreadable(Failure),
}

/// What files have told so far, in file order: a file that is ready early waits for those before it.
#[derive(Default)]
struct Merging {
    waiting: BTreeMap<usize, Told>,
    next: usize,
    shape: Shape,
    typed: Option<Schema>,
    unreadable: Option<Failure>,
}

impl Merging {
    fn take(&mut self, index: usize, told: Told, sample: &[FileEntry]) -> Result<(), Failure> {
        self.waiting.insert(index, told);
        while let Some(told) = self.waiting.remove(&self.next) {
            let path = sample.get(self.next).map(|file| file.path.as_str()).unwrap_or_default();
            self.next += 1;
            match told {
                Told::Kinds(kinds) => self.shape.merge(kinds),
                Told::Typed(typed) => self.typed = Some(columns::merged(&self.typed.take().unwrap_or_else(Schema::empty), &typed)),
                Told::Nothing => {}
                Told::Unreadable(failure) => {
                    self.unreadable.get_or_insert(failure);
                }
            }
            let width = self.shape.size() + self.typed.as_ref().map_or(0, |typed| file_schema::width(typed.fields()));
            if width > MOST_FIELDS {
                return Err(too_wide(path));
            }
        }
        Ok(())
    }

    fn columns(&self, read: &FileRead) -> Vec<Field> {
        let typing = Typing { infer_types: read.options.schema.infer_types, primitives_as_string: read.options.json.primitives_as_string };
        let typed = self.typed.iter().flat_map(Schema::fields).map(|field| field.as_ref().clone());
        self.shape.columns(typing).into_iter().chain(typed).collect()
    }
}

/// The columns of the first of `files`, up to `limits`. Files that cannot be read tell nothing here: reading their rows says what is wrong.
pub(super) async fn infer(read: &Arc<FileRead>, files: &[FileEntry], limits: SampleLimits) -> Result<Found, Failure> {
    let sample = Arc::new(sample_of(files, limits));
    let options = &read.options;
    let dialect = |text: &Option<String>| text.as_deref().map(pattern).transpose();
    let patterns = Arc::new(Patterns { date: dialect(&options.csv.date_format)?, timestamp: dialect(&options.csv.timestamp_format)? });
    let next = Arc::new(AtomicUsize::new(0));
    let merging: Arc<Mutex<Merging>> = Arc::default();
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(sample.len());
    let readers: Vec<_> = (0..threads)
        .map(|_| {
            let (read, sample, patterns) = (Arc::clone(read), Arc::clone(&sample), Arc::clone(&patterns));
            let (next, merging, runtime) = (Arc::clone(&next), Arc::clone(&merging), Handle::current());
            tokio::task::spawn_blocking(move || {
                while let Some((index, entry)) = claim(&next, &sample) {
                    let told = told_by(&read, entry, &patterns, &runtime);
                    let merged = told.and_then(|told| merging.lock().unwrap_or_else(PoisonError::into_inner).take(index, told, &sample));
                    if merged.is_err() {
                        // The others need not go on either.
                        next.store(sample.len(), Ordering::Relaxed);
                        return merged;
                    }
                }
                Ok::<_, Failure>(())
            })
        })
        .collect();
    for reader in readers {
        reader.await.map_err(|panicked| Failure::internal("looking for the schema of files panicked").caused_by(panicked))??;
    }
    let merging = std::mem::take(&mut *merging.lock().unwrap_or_else(PoisonError::into_inner));
    let schema = with_partitions(read, merging.columns(read), &sample, limits).map(Arc::new);
    Ok(Found { schema, files: sample.len(), bytes: sample.iter().map(|file| file.size).sum(), unreadable: merging.unreadable })
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

fn told_by(read: &FileRead, entry: &FileEntry, patterns: &Patterns, runtime: &Handle) -> Result<Told, Failure> {
    let file = SourceFile::new(entry, read.root.place_of(&entry.path)?, runtime.clone());
    let format = read.options.format;
    let told = match format {
        FileFormat::Json => json::shape(&file, read).map(Told::Kinds),
        FileFormat::Csv => text::shape(&file, read, patterns).map(Told::Kinds),
        FileFormat::Parquet => columns::parquet(&file).map(Told::Typed),
        FileFormat::Avro => avro::columns(&file).map(|found| Told::Typed(columns::stored(&found))),
        FileFormat::Orc => orc::columns(&file).map(|found| Told::Typed(columns::stored(&found))),
        FileFormat::Text | FileFormat::BinaryFile => Ok(Told::Nothing),
    };
    match told {
        Err(ReadError::Failed(failure)) => Err(*failure),
        Err(ReadError::Corrupt(reason)) => Ok(Told::Unreadable(unreadable(&file, format, &reason))),
        Err(ReadError::Stopped | ReadError::Missing) => Ok(Told::Nothing),
        Ok(told) => Ok(told),
    }
}

/// The columns with those of the directories behind them: what stands in the path is not looked for in the content.
fn with_partitions(read: &FileRead, content: Vec<Field>, sample: &[FileEntry], limits: SampleLimits) -> Option<Schema> {
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
    if fields.is_empty() && (limits.needs_content || directories.is_empty()) {
        return None;
    }
    let schema = Schema::new(fields.into_iter().chain(directories).collect::<Vec<_>>());
    // State keeps schemas as text: what is planned now must be what is read from there later.
    Some(ddl::parse_schema(&ddl::schema_text(&schema)).unwrap_or(schema))
}

/// The failure of data whose keys are values, met in this file.
fn too_wide(path: &str) -> Failure {
    let found = file_schema::too_wide(&format!("the fields of {}, with those of the files before it", shown(path)));
    Failure::user(found.class, found.message).help(found.help.unwrap_or_default())
}
