//! Changes of rows: some rows of data files leave a table and others come, in one commit.
//!
//! Rows leave in one of two ways. A table with deletion vectors keeps its files, and a vector says which of their rows count no more; of other
//! tables the files are written again without the rows. Both happen before the commit is tried, so that a lost race costs no second copy.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use datafusion::{
    arrow::{
        array::{AsArray, BooleanArray, RecordBatch},
        buffer::BooleanBuffer,
        compute::filter_record_batch,
        datatypes::{Int64Type, SchemaRef},
    },
    error::{DataFusionError, Result as EngineResult},
};
use futures::{StreamExt, stream};
use roaring::RoaringTreemap;
use serde_json::{Map, Value};

use crate::{
    commit::{
        action::{Add, Cdc},
        change_data::StagedChangeData,
        data_file::{DataFile, FileColumns},
        deletion_vector,
        table::TargetTable,
        writer::{StagedFiles, TableWriter, WriterOptions},
    },
    engine_failure::engine_error,
    failure::Failure,
    storage::Location,
};

/// Written into a commit that takes rows out of a table: how many.
pub(super) const ROWS_GONE: &str = "rowsGone";

/// Rows decoded at once when a file is written again.
const BATCH_ROWS: usize = 8192;

/// Rows of one data file that leave the table.
#[derive(Clone, Debug)]
pub struct GoingRows {
    /// The file as it is in the table.
    pub file: Add,
    /// Rows that its deletion vector marks already.
    pub marked: Option<Arc<RoaringTreemap>>,
    /// Numbers of the rows that go.
    pub rows: RoaringTreemap,
}

/// What one commit does to the rows of a table.
#[derive(Debug)]
pub struct RowChange {
    /// The version of the table in which the going rows were found.
    pub found_in: i64,
    /// Rows that go, one entry per file.
    pub going: Vec<GoingRows>,
    /// Files with the rows that come.
    pub coming: StagedFiles,
    /// The same rows as readers of changes see them, for a table with `delta.enableChangeDataFeed`.
    pub change_data: Option<StagedChangeData>,
    /// How files are written again.
    pub writers: WriterOptions,
    /// Files written again at once.
    pub parallelism: usize,
}

/// How far files are that are written again, shared with the tasks that write them.
#[derive(Debug, Default)]
pub(super) struct Course {
    is_over: AtomicBool,
    rows: AtomicU64,
    read_bytes: Arc<AtomicU64>,
}

impl Course {
    /// Nothing new begins, and what is half written is deleted.
    pub(super) fn give_up(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Rows that were written.
    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Bytes that were read.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }
}

/// A change whose files are all written.
#[derive(Debug)]
pub(super) struct StagedChange {
    pub found_in: i64,
    /// Files that leave, as they are in the table.
    pub removed: Vec<Add>,
    /// Of these the ones that come again, with a larger vector.
    pub marked: Vec<Add>,
    pub change_data: Vec<Cdc>,
    /// Rows that leave.
    pub rows_gone: u64,
}

impl RowChange {
    /// Deletes the files of the change: nothing will commit them.
    pub(super) async fn discard(self) -> Result<(), Failure> {
        self.coming.discard().await?;
        match self.change_data {
            Some(data) => data.discard().await,
            None => Ok(()),
        }
    }

    /// Writes what is still missing: vectors, or files without the going rows. After a failure nothing is left behind.
    pub(super) async fn staged(self, table: &TargetTable) -> Result<(StagedChange, StagedFiles), Failure> {
        let Self { found_in, going, coming: mut files, change_data, writers, parallelism } = self;
        let change_data = change_data.map(|data| data.files).unwrap_or_default();
        files.others.extend(change_data.iter().map(|file| file.path.replace("%25", "%")));
        let staged = async {
            allowed(table, &going, &change_data)?;
            let mut files_left = Vec::with_capacity(going.len());
            for rows in &going {
                files_left.extend(FileLeft::of(table.location(), rows).await?);
            }
            if table.has_deletion_vectors() {
                mark(table.location(), &files_left).await
            } else {
                Ok((Vec::new(), copied(table, files_left, &writers, parallelism).await?))
            }
        };
        match staged.await {
            Ok((marked, written)) => {
                let gone_before = |rows: &GoingRows| rows.marked.as_ref().map_or(0, |marked| rows.rows.intersection_len(marked));
                let rows_gone = going.iter().map(|rows| rows.rows.len() - gone_before(rows)).sum();
                let removed = going.into_iter().map(|rows| rows.file).collect();
                Ok((StagedChange { found_in, removed, marked, change_data, rows_gone }, files.and(written)))
            }
            Err(failure) => {
                files.discard().await?;
                Err(failure)
            }
        }
    }
}

fn allowed(table: &TargetTable, going: &[GoingRows], change_data: &[Cdc]) -> Result<(), Failure> {
    if going.is_empty() {
        return Ok(());
    }
    if table.has("delta.appendOnly") {
        let text = format!("rows of {} cannot be changed: its property delta.appendOnly is true", table.dataset());
        return Err(Failure::user("DELTA_CANNOT_MODIFY_APPEND_ONLY", text).help("remove the property from the definition of the table"));
    }
    if change_data.is_empty() && table.has("delta.enableChangeDataFeed") && !table.has_deletion_vectors() {
        // Readers would take every row of a file that is written again for a change.
        return Err(Failure::internal(format!("a change of rows of {} without change data", table.dataset())));
    }
    Ok(())
}

/// A file of which something is left.
struct FileLeft {
    file: Add,
    /// All rows of the file that are not in the table any more.
    gone: RoaringTreemap,
    rows: u64,
}

impl FileLeft {
    async fn of(location: &Location, going: &GoingRows) -> Result<Option<Self>, Failure> {
        let gone = match &going.marked {
            Some(marked) => &going.rows | marked.as_ref(),
            None => going.rows.clone(),
        };
        let rows = match going.file.rows() {
            Some(rows) => rows,
            None => rows_in_footer(location, &going.file).await?,
        };
        if gone.max().is_some_and(|last| last >= rows) {
            return Err(Failure::internal(format!("{} of {location} has {rows} rows, and none with a greater number", going.file.path)));
        }
        Ok((gone.len() < rows).then(|| Self { file: going.file.clone(), gone, rows }))
    }
}

async fn rows_in_footer(location: &Location, file: &Add) -> Result<u64, Failure> {
    let opened = DataFile::open(location, file, &Arc::default(), &|_| false).await.map_err(engine_error)?;
    Ok(opened.metadata().file_metadata().num_rows().max(0) as u64)
}

/// The files with vectors of what is gone, and the file that holds the vectors.
async fn mark(location: &Location, files: &[FileLeft]) -> Result<(Vec<Add>, StagedFiles), Failure> {
    let mut staged = StagedFiles::none(location);
    if files.is_empty() {
        return Ok((Vec::new(), staged));
    }
    let gone: Vec<&RoaringTreemap> = files.iter().map(|file| &file.gone).collect();
    let (path, vectors) = deletion_vector::write(location, &gone).await?;
    staged.others.push(path);
    let marked = files.iter().zip(vectors).map(|(file, vector)| Add {
        stats: Some(loose_stats(file.file.stats.as_deref(), file.rows)),
        deletion_vector: Some(vector),
        data_change: true,
        ..file.file.clone()
    });
    Ok((marked.collect(), staged))
}

/// Statistics of a file with a vector: the bounds may be those of rows that are gone. Numbers stay as they are written, digit by digit.
fn loose_stats(stats: Option<&str>, rows: u64) -> String {
    const LOOSE: &str = r#""tightBounds":false"#;
    let parsed: Option<Map<String, Value>> = stats.and_then(|stats| serde_json::from_str(stats).ok());
    let (Some(mut parsed), Some(stats)) = (parsed, stats) else { return format!("{{\"numRecords\":{rows},{LOOSE}}}") };
    match parsed.get("tightBounds") {
        Some(Value::Bool(false)) => stats.to_owned(),
        None if parsed.contains_key("numRecords") => stats.replacen('{', &format!("{{{LOOSE},"), 1),
        None => stats.replacen('{', &format!("{{\"numRecords\":{rows},{LOOSE}{}", if parsed.is_empty() { "" } else { "," }), 1),
        Some(_) => {
            parsed.insert("tightBounds".to_owned(), false.into());
            Value::Object(parsed).to_string()
        }
    }
}

/// The files written again without the rows that are gone, several at once, each in its order.
async fn copied(table: &TargetTable, files: Vec<FileLeft>, options: &WriterOptions, parallelism: usize) -> Result<StagedFiles, Failure> {
    let course = Arc::default();
    let copies: Vec<_> = files.into_iter().map(|file| written_again(table, file, options, &course)).collect();
    let mut copies = stream::iter(copies).buffer_unordered(parallelism.max(1));
    let mut staged = StagedFiles::none(table.location());
    let mut failed = None;
    while let Some(copy) = copies.next().await {
        match copy {
            Ok(files) => staged = files.into_iter().fold(staged, StagedFiles::and),
            Err(failure) => failed = failed.or(Some(failure)),
        }
    }
    let Some(failure) = failed else { return Ok(staged) };
    staged.discard().await?;
    Err(failure)
}

/// The rows of `file` that are in the table, with its columns of now, in files of their own. `file` may have been written with other types.
/// `None` if `course` was given up.
pub(super) async fn copy_of(
    table: &TargetTable,
    file: Add,
    options: &WriterOptions,
    course: &Arc<Course>,
) -> Result<Option<StagedFiles>, Failure> {
    if course.is_given_up() {
        return Ok(None);
    }
    let marked = deletion_vector::read(table.location(), &[file.deletion_vector.as_ref()]).await?.pop().flatten();
    let all = GoingRows { file, marked, rows: RoaringTreemap::new() };
    match FileLeft::of(table.location(), &all).await? {
        Some(file) => written_again(table, file, options, course).await,
        None => Ok(Some(StagedFiles::none(table.location()))),
    }
}

/// One file without the rows that are gone, written by a task of its own.
async fn written_again(
    table: &TargetTable,
    file: FileLeft,
    options: &WriterOptions,
    course: &Arc<Course>,
) -> Result<Option<StagedFiles>, Failure> {
    let writer = TableWriter::new(table, options.clone())?;
    let copy = tokio::spawn(copy(writer, table.location().clone(), Arc::clone(table.schema()), file, Arc::clone(course)));
    copy.await.unwrap_or_else(|error| Err(Failure::internal("a file could not be written again").caused_by(error)))
}

async fn copy(
    mut writer: TableWriter,
    location: Location,
    schema: SchemaRef,
    file: FileLeft,
    course: Arc<Course>,
) -> Result<Option<StagedFiles>, Failure> {
    let written = async {
        let opened = DataFile::open(&location, &file.file, &course.read_bytes, &|_| false).await.map_err(engine_error)?;
        let columns = opened.columns(schema.fields());
        let rows = opened.rows().with_batch_size(BATCH_ROWS).with_projection(columns.mask().clone()).build();
        let mut rows = rows.map_err(|error| engine_error(error.into()))?;
        while let Some(batch) = rows.next().await {
            let kept = batch.map_err(DataFusionError::from).and_then(|batch| kept(&batch, &columns, &file.gone, &schema));
            let kept = kept.map_err(engine_error)?;
            writer.write(&kept).await?;
            course.rows.fetch_add(kept.num_rows() as u64, Ordering::Relaxed);
            if course.is_given_up() {
                return Ok(false);
            }
        }
        Ok(true)
    };
    match written.await {
        Ok(true) => writer.finish().await.map(Some),
        Ok(false) => writer.abort().await.map(|()| None),
        Err(failure) => {
            writer.abort().await?;
            Err(failure)
        }
    }
}

/// The declared columns of the rows of `batch` that are not `gone`.
fn kept(batch: &RecordBatch, columns: &FileColumns, gone: &RoaringTreemap, schema: &SchemaRef) -> EngineResult<RecordBatch> {
    let numbers = columns.row_numbers(batch).as_primitive::<Int64Type>();
    let stays = |row| !gone.contains(numbers.value(row) as u64);
    let stays = BooleanArray::new(BooleanBuffer::collect_bool(batch.num_rows(), stays), None);
    let batch = filter_record_batch(batch, &stays)?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.arrays(&batch)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_a_file_with_a_vector_are_loose_and_keep_their_digits() {
        let stats = r#"{"numRecords":3,"maxValues":{"n":12345678901234567890.123}}"#;
        assert_eq!(loose_stats(Some(stats), 3), r#"{"tightBounds":false,"numRecords":3,"maxValues":{"n":12345678901234567890.123}}"#);
        assert_eq!(loose_stats(Some(&loose_stats(Some(stats), 3)), 3), loose_stats(Some(stats), 3));
        assert_eq!(loose_stats(None, 5), r#"{"numRecords":5,"tightBounds":false}"#);
        assert_eq!(loose_stats(Some("{}"), 5), r#"{"numRecords":5,"tightBounds":false}"#);
        assert_eq!(loose_stats(Some(r#"{"nullCount":{}}"#), 5), r#"{"numRecords":5,"tightBounds":false,"nullCount":{}}"#);
        let tight: Value = serde_json::from_str(&loose_stats(Some(r#"{"numRecords":3,"tightBounds":true}"#), 3)).unwrap();
        assert_eq!(tight, serde_json::json!({"numRecords": 3, "tightBounds": false}));
    }
}
