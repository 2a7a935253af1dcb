//! The journal stays small: many files become few, versions that count no more go, and so do tombstones that nobody waits for any longer.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt8Array, UInt32Array, new_null_array},
        compute::take_record_batch,
        datatypes::{DataType, Int64Type, SchemaRef, TimestampMicrosecondType},
    },
    datasource::provider_as_source,
    error::{DataFusionError, Result as EngineResult},
    logical_expr::LogicalPlanBuilder,
    physical_plan::{EmptyRecordBatchStream, stream::RecordBatchStreamAdapter},
};
use futures::StreamExt;

use super::{
    definition::{Definition, NUMBER, OP},
    fold::{Kept, Op, SortedRows},
    merge::{Inputs, with_sort_columns},
    sort_key::SortKeys,
    sorted::{Prepare, sorted, sorted_schema},
    write::Writing,
};
use crate::{
    commit::{CommitRequest, TableWriter, TargetTable, WriterOptions, action::Add, files, transaction},
    engine_failure::engine_error,
    execute::view_expectation::ExpectPlanner,
    failure::Failure,
    keyed::crowded,
    session::Session,
    source::{DeltaSource, ReadCounters},
};

/// Tombstones are looked for so often within the time that they are kept.
const LOOKS_PER_LIFETIME: u64 = 7;

/// The journal of one target.
pub struct Compaction<'a> {
    /// Sorts what is read.
    pub session: &'a Session,
    /// How files are written.
    pub writers: WriterOptions,
    /// The clauses over the columns of the target.
    pub definition: &'a Definition,
    /// What is compacted.
    pub journal: &'a TargetTable,
    /// Tombstones older than this may go; `None`: they are kept for ever.
    pub tombstone_seconds: Option<u64>,
    /// Decides how old versions are.
    pub now: DateTime<Utc>,
}

/// What is compacted.
enum Chosen {
    /// Some files: the newest version of each key among them stays.
    Some(Vec<Add>),
    /// All files: outdated tombstones go too.
    All(Vec<Add>),
}

impl Compaction<'_> {
    /// Compacts what is worth it. No micro-batch may be pending.
    pub async fn run(&self) -> Result<(), Failure> {
        let files = files::active(self.journal.location(), self.journal.version()).await?;
        // Whoever looks for tombstones writes all files again.
        let oldest_ms = files.iter().map(|file| file.modification_time).min();
        match choose(files, is_due(self.tombstone_seconds, oldest_ms, self.now)) {
            Some(Chosen::All(files)) => self.compact(&files, true).await,
            Some(Chosen::Some(files)) => self.compact(&files, false).await,
            None => Ok(()),
        }
    }

    async fn compact(&self, files: &[Add], all: bool) -> Result<(), Failure> {
        let writer = Writing::start(TableWriter::new(self.journal, WriterOptions::of(self.journal, self.writers.shared.clone()))?);
        let written = self.write(files, all, &writer).await;
        if let Err(failure) = written {
            writer.abort().await;
            return Err(failure);
        }
        let staged = writer.finish().await?;
        let request = CommitRequest { operation: "OPTIMIZE", step: Some("optimize"), ..CommitRequest::default() };
        transaction::rewrite(self.journal, files, staged, false, request).await.map(|_| ())
    }

    async fn write(&self, files: &[Add], all: bool, writer: &Writing) -> Result<(), Failure> {
        let mut versions = self.versions(files).await?;
        let outdated = self.tombstone_seconds.filter(|_| all).map(|seconds| {
            let seconds = TimeDelta::try_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)).unwrap_or(TimeDelta::MAX);
            self.now.checked_sub_signed(seconds).map_or(i64::MIN, |before| before.timestamp_micros())
        });
        let mut keeping = Keeping { kept: self.definition.shape.kept, all, outdated_us: outdated, truncated: None, removed: None };
        while let Some(chunk) = versions.next().await.map_err(engine_error)? {
            let rows = keeping.of(&chunk.events);
            let rows = take_record_batch(chunk.events.rows(), &UInt32Array::from(rows)).map_err(|error| engine_error(error.into()))?;
            if !writer.write(rows).await {
                return Ok(());
            }
        }
        if let Some(removed) = keeping.removed {
            writer.write(self.removal(&removed.1)?).await;
        }
        Ok(())
    }

    /// All versions of `files`, sorted.
    async fn versions(&self, files: &[Add]) -> Result<Inputs, Failure> {
        let columns = self.definition.journal();
        let source = DeltaSource::new(self.journal.dataset(), self.journal.location().clone()).managed();
        let provider = source.rows_of(files.to_vec(), &columns, &Arc::new(ReadCounters::default()))?;
        let scan = LogicalPlanBuilder::scan("journal", provider_as_source(provider), None).and_then(LogicalPlanBuilder::build);
        let state = self.session.state(Arc::new(ExpectPlanner::default()));
        let plan = state.create_physical_plan(&scan.map_err(engine_error)?).await.map_err(engine_error)?;
        let keys = self.definition.keys();
        let types: Vec<DataType> = keys.iter().map(|field| field.data_type().clone()).collect();
        let sort_keys = SortKeys::new(&types, &self.definition.cdc.sequence_type).map_err(engine_error)?;
        let schema = sorted_schema(&columns);
        let prepare = prepared(&self.definition.versions(), self.key_positions(), sort_keys, Arc::clone(&schema));
        let rows = sorted(plan, &schema, prepare, &state.task_ctx()).map_err(engine_error)?;
        let none = || Box::pin(EmptyRecordBatchStream::new(Arc::clone(&schema)));
        Ok(Inputs::new(rows, none(), none()))
    }

    fn key_positions(&self) -> Vec<usize> {
        let shape = &self.definition.shape;
        if shape.kept == Kept::Latest { (0..shape.keys.len()).collect() } else { shape.keys.clone() }
    }

    /// The version that says up to which sequence tombstones were removed.
    fn removal(&self, newest: &RecordBatch) -> Result<RecordBatch, Failure> {
        let versions = self.definition.versions();
        let sequence = versions.fields().len() - 1;
        let mut columns: Vec<ArrayRef> = newest.columns().to_vec();
        for (at, column) in columns.iter_mut().enumerate().take(sequence) {
            *column = new_null_array(versions.field(at).data_type(), 1);
        }
        columns[sequence + 1] = Arc::new(StringArray::from(vec![Op::Removed.text()]));
        columns[sequence + 2] = Arc::new(Int64Array::from(vec![self.journal.version() + 1]));
        RecordBatch::try_new(newest.schema(), columns).map_err(|error| Failure::internal(format!("a version does not fit: {error}")))
    }
}

fn prepared(versions: &SchemaRef, keys: Vec<usize>, sort_keys: SortKeys, schema: SchemaRef) -> Prepare {
    let sequence = versions.fields().len() - 1;
    let sort_keys = Arc::new(sort_keys);
    let map = move |batch: RecordBatch, schema: &SchemaRef| -> EngineResult<RecordBatch> {
        let keys: Vec<ArrayRef> = keys.iter().map(|key| Arc::clone(batch.column(*key))).collect();
        let numbers = column(&batch, NUMBER)?.as_primitive::<Int64Type>().values().to_vec();
        let ops = column(&batch, OP)?.as_string::<i32>();
        let code = |text: Option<&str>| text.and_then(Op::from_text).map_or(u8::MAX, |op| op as u8);
        let ops = UInt8Array::from_iter_values(ops.iter().map(code));
        let sort = sort_keys.of_versions(&keys, batch.column(sequence), &numbers)?;
        with_sort_columns(schema, sort, ops, batch.columns())
    };
    let map = Arc::new(map);
    Arc::new(move |rows| {
        let (map, of_schema) = (Arc::clone(&map), Arc::clone(&schema));
        let mapped = rows.map(move |batch| map(batch?, &of_schema));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), mapped))
    })
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> EngineResult<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| DataFusionError::Internal(format!("the journal has no column {name}")))
}

/// Decides which versions stay.
struct Keeping {
    kept: Kept,
    all: bool,
    /// Tombstones that were written before go.
    outdated_us: Option<i64>,
    /// Encoded sequence of the newest truncate.
    truncated: Option<Vec<u8>>,
    /// The tombstone with the greatest sequence that went: encoded sequence, row.
    removed: Option<(Vec<u8>, RecordBatch)>,
}

impl Keeping {
    /// Rows of a chunk that stay; keys are whole.
    fn of(&mut self, versions: &SortedRows) -> Vec<u32> {
        let mut rows = Vec::new();
        let mut from = 0;
        while from < versions.len() {
            let group = versions.group(from);
            from = group.end;
            match versions.op(group.start) {
                Op::Truncate | Op::Removed => self.marks(versions, group, &mut rows),
                Op::Upsert | Op::Delete => self.key(versions, group, &mut rows),
            }
        }
        rows
    }

    /// Of truncates and of removals the newest stays.
    fn marks(&mut self, versions: &SortedRows, group: std::ops::Range<usize>, rows: &mut Vec<u32>) {
        for op in [Op::Truncate, Op::Removed] {
            let newest = group.clone().rev().find(|row| versions.op(*row) == op);
            rows.extend(newest.map(|row| row as u32));
            if let (Some(row), Op::Truncate, true) = (newest, op, self.all) {
                self.truncated = Some(versions.sequence(row).to_vec());
            }
        }
    }

    fn key(&mut self, versions: &SortedRows, group: std::ops::Range<usize>, rows: &mut Vec<u32>) {
        let mut newest: Vec<usize> = match self.kept {
            // The last of them has the greatest sequence, and of that the greatest number.
            Kept::Latest => vec![group.end - 1],
            Kept::Patched | Kept::History => versions.sequences(group).map(|same| same.end - 1).collect(),
        };
        if let Some(floor) = &self.truncated {
            newest.retain(|row| versions.sequence(*row) > floor.as_slice());
        }
        let mut before = None;
        for row in newest {
            let op = versions.op(row);
            let ends_nothing = op == Op::Delete && before != Some(Op::Upsert);
            if ends_nothing && self.is_outdated(versions, row) {
                self.note_removed(versions, row);
                continue;
            }
            before = Some(op);
            rows.push(row as u32);
        }
    }

    fn is_outdated(&self, versions: &SortedRows, row: usize) -> bool {
        let Some(before) = self.outdated_us else { return false };
        let written = versions.rows().columns().last().map(AsArray::as_primitive::<TimestampMicrosecondType>);
        written.is_some_and(|at| at.is_valid(row) && at.value(row) < before)
    }

    fn note_removed(&mut self, versions: &SortedRows, row: usize) {
        let sequence = versions.sequence(row);
        if self.removed.as_ref().is_none_or(|(known, _)| known.as_slice() < sequence) {
            self.removed = Some((sequence.to_vec(), versions.rows().slice(row, 1)));
        }
    }
}

/// True if it is time to look for tombstones.
fn is_due(tombstone_seconds: Option<u64>, looked_ms: Option<i64>, now: DateTime<Utc>) -> bool {
    let (Some(seconds), Some(looked)) = (tombstone_seconds, looked_ms) else { return false };
    let age = u64::try_from(now.timestamp_millis().saturating_sub(looked)).unwrap_or(0) / 1000;
    age >= (seconds / LOOKS_PER_LIFETIME).max(1)
}

/// All files if it is time to look for tombstones, else the smallest ones up to the largest size of which there are many.
fn choose(files: Vec<Add>, all: bool) -> Option<Chosen> {
    if all {
        return (!files.is_empty()).then_some(Chosen::All(files));
    }
    let (merged, _) = crowded(files, |file| file);
    (!merged.is_empty()).then_some(Chosen::Some(merged))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tombstones_are_looked_for_several_times_within_their_life() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let looked = |seconds_ago: i64| Some((1_000_000 - seconds_ago) * 1000);
        assert!(!is_due(None, looked(999_999), now));
        assert!(!is_due(Some(604_800), looked(86_399), now));
        assert!(is_due(Some(604_800), looked(86_400), now));
        assert!(is_due(Some(1), looked(1), now));
    }
}
