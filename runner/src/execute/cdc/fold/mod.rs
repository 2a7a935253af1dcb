//! What the events of a micro-batch do to the journal and to the target: one pass over sorted inputs, key by key. No IO, no clock.
//!
//! All comparisons of keys and sequences are comparisons of bytes: both are row-encoded, so that the order of the bytes is that of the values.

mod history;
mod images;
mod latest;
mod noise;
mod patch;
mod snapshot;
#[cfg(test)]
mod tests;
mod ties;

use std::{ops::Range, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, UInt8Array, UInt32Array},
        compute::{take, take_record_batch},
        datatypes::{SchemaRef, TimestampMicrosecondType},
        error::ArrowError,
    },
    error::{DataFusionError, Result},
};

pub use noise::Noise;
pub use patch::Leaves;
pub use snapshot::{Differences, differences};

use serde::{Deserialize, Serialize};

/// What an event is. Of two events with the same key and sequence the greater one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Op {
    /// Inserts or updates the row of the key.
    Upsert = 0,
    /// Deletes it.
    Delete = 1,
    /// Deletes all rows.
    Truncate = 2,
    /// No event: tombstones up to this sequence were removed from the journal.
    Removed = 3,
}

impl Op {
    /// As the journal writes it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Upsert => "U",
            Self::Delete => "D",
            Self::Truncate => "T",
            Self::Removed => "R",
        }
    }

    /// The opposite of [`Op::text`].
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Upsert, Self::Delete, Self::Truncate, Self::Removed].into_iter().find(|op| op.text() == text)
    }

    fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Upsert,
            1 => Self::Delete,
            2 => Self::Truncate,
            _ => Self::Removed,
        }
    }
}

/// Rows in the order of `sort`: the encoded key, the encoded sequence, and what decides between rows that are equal in both.
#[derive(Clone, Debug)]
pub struct SortedRows {
    sort: BinaryArray,
    key_bytes: UInt32Array,
    sequence_bytes: UInt32Array,
    op: UInt8Array,
    rows: RecordBatch,
}

impl SortedRows {
    /// `rows` beside their sort keys and operations; all arrays have the same length.
    pub fn new(sort: BinaryArray, key_bytes: UInt32Array, sequence_bytes: UInt32Array, op: UInt8Array, rows: RecordBatch) -> Self {
        Self { sort, key_bytes, sequence_bytes, op, rows }
    }

    /// The same with the columns that they are sorted by in front, as `schema` says.
    pub fn sorted_batch(&self, schema: &SchemaRef) -> Result<RecordBatch> {
        let Self { sort, key_bytes, sequence_bytes, op, rows } = self;
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(sort.clone()), Arc::new(key_bytes.clone()), Arc::new(sequence_bytes.clone()), Arc::new(op.clone())];
        columns.extend_from_slice(rows.columns());
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.sort.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows without what they are sorted by.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    fn key(&self, row: usize) -> &[u8] {
        &self.sort.value(row)[..self.key_bytes.value(row) as usize]
    }

    /// The encoded sequence of a row.
    pub fn sequence(&self, row: usize) -> &[u8] {
        let from = self.key_bytes.value(row) as usize;
        &self.sort.value(row)[from..from + self.sequence_bytes.value(row) as usize]
    }

    /// The sequence, the last column of the rows, if it is a time.
    fn time_us(&self, row: usize) -> Option<i64> {
        let sequences = self.rows.columns().last()?.as_primitive_opt::<TimestampMicrosecondType>()?;
        (row < sequences.len() && sequences.is_valid(row)).then(|| sequences.value(row))
    }

    /// What decides between rows of equal key and sequence.
    fn precedence(&self, row: usize) -> &[u8] {
        &self.sort.value(row)[(self.key_bytes.value(row) + self.sequence_bytes.value(row)) as usize..]
    }

    /// What the event or version is.
    pub fn op(&self, row: usize) -> Op {
        Op::from_code(self.op.value(row))
    }

    /// The rows of the key that begins at `from`.
    pub fn group(&self, from: usize) -> Range<usize> {
        let key = self.key(from);
        let to = (from + 1..self.len()).find(|row| self.key(*row) != key).unwrap_or(self.len());
        from..to
    }

    /// The rows of `key`, if they are the next ones from `from` on. Rows of smaller keys are passed over.
    fn group_of(&self, key: &[u8], mut from: usize) -> Range<usize> {
        while from < self.len() && self.key(from) < key {
            from += 1;
        }
        if from < self.len() && self.key(from) == key { self.group(from) } else { from..from }
    }

    /// `range`, cut where the sequence changes.
    pub fn sequences(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut from = range.start;
        std::iter::from_fn(move || {
            (from < range.end).then(|| {
                let sequence = self.sequence(from);
                let to = (from + 1..range.end).find(|row| self.sequence(*row) != sequence).unwrap_or(range.end);
                let group = from..to;
                from = to;
                group
            })
        })
    }
}

/// Whole keys of the three inputs: what happened, what the journal knows of these keys, what the target holds of them.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Columns: those of [`Shape::columns`], then the sequence. Of deletes and truncates only keys and sequence count.
    pub events: SortedRows,
    /// Of a latest-value journal the key columns and the sequence; of a history journal the columns of the events.
    pub stored: SortedRows,
    /// Rows of the target with their place as the last column. Sorted by key and, with history, `__START_AT`.
    pub present: SortedRows,
}

/// What the target keeps of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The newest row; the journal knows the newest sequence.
    Latest,
    /// The newest row, patched together from all upserts since the last delete; the journal knows them.
    Patched,
    /// A row for each time in which the tracked columns did not change.
    History,
}

/// The definition, as far as the fold needs it.
#[derive(Clone, Debug)]
pub struct Shape {
    /// What is kept.
    pub kept: Kept,
    /// Number of selected columns; the first columns of events and target.
    pub columns: usize,
    /// Positions of the key columns among the selected ones.
    pub keys: Vec<usize>,
    /// Positions of the columns whose change begins a new row of history.
    pub tracked: Vec<usize>,
    /// Per selected column what of it keeps its value when an upsert says NULL.
    pub leaves: Vec<Leaves>,
}

impl Shape {
    /// Selected columns that are no keys.
    fn values(&self) -> Vec<usize> {
        (0..self.columns).filter(|column| !self.keys.contains(column)).collect()
    }
}

/// What becomes of the rows of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `new` is inserted.
    Insert {
        /// Position in [`Folded::rows`].
        new: usize,
    },
    /// `new` replaces a present row.
    Update {
        /// Position in the present rows.
        present: usize,
        /// Position in [`Folded::rows`].
        new: usize,
    },
    /// A present row goes.
    Delete {
        /// Position in the present rows.
        present: usize,
    },
}

/// What a micro-batch did, in the words of the event log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events that were looked at.
    #[serde(rename = "num_cdc_events")]
    pub events: u64,
    /// Rows of the target that were inserted or updated.
    #[serde(rename = "num_upserted_rows")]
    pub upserted: u64,
    /// Rows of the target that were removed.
    #[serde(rename = "num_deleted_rows")]
    pub deleted: u64,
    /// Per key and sequence the different events less one.
    #[serde(rename = "num_tied_events")]
    pub tied: u64,
    /// Events with a sequence below the newest that was known of their key.
    #[serde(rename = "num_late_events")]
    pub late: u64,
    /// Events without any effect.
    #[serde(rename = "num_ignored_events")]
    pub ignored: u64,
    /// Upserts of unknown keys that are not newer than a tombstone that was removed.
    #[serde(rename = "num_events_older_than_tombstones")]
    pub older_than_tombstones: u64,
    /// The greatest distance of a late event to the newest sequence of its key, in µs; 0 if sequences are no times. No number of the event log.
    #[serde(skip)]
    pub lateness_us: u64,
}

impl Counts {
    /// The numbers by their names in the event log.
    pub fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("num_cdc_events", self.events),
            ("num_upserted_rows", self.upserted),
            ("num_deleted_rows", self.deleted),
            ("num_tied_events", self.tied),
            ("num_late_events", self.late),
            ("num_ignored_events", self.ignored),
            ("num_events_older_than_tombstones", self.older_than_tombstones),
        ]
    }

    /// Adds the counts of another part.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.upserted += other.upserted;
        self.deleted += other.deleted;
        self.tied += other.tied;
        self.late += other.late;
        self.ignored += other.ignored;
        self.older_than_tombstones += other.older_than_tombstones;
        self.lateness_us = self.lateness_us.max(other.lateness_us);
    }
}

/// Two events that a definition with `pipelines.cdc.onTie = fail` does not accept.
#[derive(Clone, Debug)]
pub struct Tie {
    /// Keys and sequence: one row, the columns of the events.
    pub row: RecordBatch,
    /// What the two events are.
    pub ops: (Op, Op),
}

/// The effect of one chunk.
#[derive(Clone, Debug)]
pub struct Folded {
    /// Events that become versions in the journal: positions in the events of the chunk.
    pub versions: Vec<usize>,
    /// What happens to the target, in the order of its keys.
    pub changes: Vec<Change>,
    /// The new rows, in the columns of the target.
    pub rows: Vec<ArrayRef>,
    /// What is counted.
    pub counts: Counts,
    /// The first tie, if there is one.
    pub tie: Option<Tie>,
    /// What begins new rows of history.
    pub noise: Noise,
}

/// A new row of the target: whose values it has, and from when to when.
#[derive(Clone, Copy, Debug)]
struct NewRow {
    image: usize,
    start: usize,
    end: Option<usize>,
}

/// The fold over one micro-batch. Chunks come in the order of their keys; truncates, whose keys are NULL, come first.
#[derive(Clone, Debug)]
pub struct Fold {
    shape: Shape,
    /// Encoded sequence of the newest truncate; nothing up to it is left.
    truncated: Option<Vec<u8>>,
    /// A truncate of this batch is newer than all before: rows go that no event names.
    truncates: bool,
    /// Encoded sequence of the newest tombstone that was removed from the journal.
    removed_tombstone: Option<Vec<u8>>,
    /// The number of the versions that this batch writes, as the journal's own are encoded.
    number: [u8; 8],
}

impl Fold {
    /// A fold that has seen nothing, for a batch whose versions have this number.
    pub fn new(shape: Shape, number: i64) -> Self {
        Self { shape, truncated: None, truncates: false, removed_tombstone: None, number: number.to_be_bytes() }
    }

    /// True if an event comes after a version of equal sequence. A batch that was cut short may be executed again after one of another flow.
    fn comes_after(&self, chunk: &Chunk, version: usize) -> bool {
        chunk.stored.precedence(version) < self.number.as_slice()
    }

    /// The effect of the next keys.
    pub fn chunk(&mut self, chunk: &Chunk) -> Result<Folded> {
        match self.shape.kept {
            Kept::Latest => latest::fold(self, chunk),
            Kept::Patched | Kept::History => history::fold(self, chunk),
        }
    }

    /// Per key the rows of the three inputs; only keys with events, unless a truncate touches all.
    fn keys(&mut self, chunk: &Chunk, counts: &mut Counts, versions: &mut Vec<usize>) -> Vec<KeyRows> {
        let (mut stored, mut present, mut event) = (0, 0, 0);
        let mut keys = Vec::new();
        // Truncates have NULL keys, which sort first.
        if event < chunk.events.len() && chunk.events.op(event) == Op::Truncate {
            let group = chunk.events.group(event);
            event = group.end;
            counts.events += group.len() as u64;
            let newest = group.end - 1;
            self.stored_marks(chunk, &mut stored);
            let is_newer = !self.is_truncated(chunk.events.sequence(newest));
            counts.ignored += group.len() as u64 - u64::from(is_newer);
            if is_newer {
                versions.push(newest);
                self.truncates = true;
                self.truncated = Some(chunk.events.sequence(newest).to_vec());
            }
        }
        self.stored_marks(chunk, &mut stored);
        while let Some(key) = self.next_key(chunk, event, stored, present) {
            let of = KeyRows {
                events: chunk.events.group_of(key, event),
                stored: chunk.stored.group_of(key, stored),
                present: chunk.present.group_of(key, present),
            };
            (event, stored, present) = (of.events.end, of.stored.end, of.present.end);
            counts.events += of.events.len() as u64;
            keys.push(of);
        }
        keys
    }

    fn next_key<'a>(&self, chunk: &'a Chunk, event: usize, stored: usize, present: usize) -> Option<&'a [u8]> {
        let next = |rows: &'a SortedRows, at: usize| (at < rows.len()).then(|| rows.key(at));
        let of_events = next(&chunk.events, event);
        if !self.truncates {
            return of_events;
        }
        [of_events, next(&chunk.stored, stored), next(&chunk.present, present)].into_iter().flatten().min()
    }

    /// Takes what the journal knows of no key in particular, if it is next: truncates, and the removal of tombstones.
    fn stored_marks(&mut self, chunk: &Chunk, stored: &mut usize) {
        while *stored < chunk.stored.len() {
            let mark = match chunk.stored.op(*stored) {
                Op::Truncate => &mut self.truncated,
                Op::Removed => &mut self.removed_tombstone,
                Op::Upsert | Op::Delete => return,
            };
            let sequence = chunk.stored.sequence(*stored);
            if mark.as_deref().is_none_or(|known| known < sequence) {
                *mark = Some(sequence.to_vec());
            }
            *stored += 1;
        }
    }

    /// True for what a truncate has deleted for good.
    fn is_truncated(&self, sequence: &[u8]) -> bool {
        self.truncated.as_deref().is_some_and(|floor| sequence <= floor)
    }

    /// Counts what only the journal's knowledge at the start of the batch can tell.
    fn count_against(&self, chunk: &Chunk, of: &KeyRows, counts: &mut Counts) {
        if let Some(last) = of.stored.clone().last() {
            let newest = chunk.stored.sequence(last);
            counts.late += of.events.clone().filter(|row| chunk.events.sequence(*row) < newest).count() as u64;
            // Events are in the order of the sequence: the first one is the latest.
            if let (Some(known), Some(first)) = (chunk.stored.time_us(last), chunk.events.time_us(of.events.start))
                && !of.events.is_empty()
            {
                counts.lateness_us = counts.lateness_us.max(u64::try_from(known.saturating_sub(first)).unwrap_or(0));
            }
        } else if let Some(removed) = self.removed_tombstone.as_deref() {
            let is_older = |row: &usize| chunk.events.op(*row) == Op::Upsert && chunk.events.sequence(*row) <= removed;
            counts.older_than_tombstones += of.events.clone().filter(is_older).count() as u64;
        }
    }
}

/// The rows of one key.
#[derive(Clone, Debug)]
struct KeyRows {
    events: Range<usize>,
    stored: Range<usize>,
    present: Range<usize>,
}

/// The changes of the target and the rows that they need, counted.
struct Target<'a> {
    changes: Vec<Change>,
    rows: Vec<NewRow>,
    counts: &'a mut Counts,
}

impl Target<'_> {
    fn new(counts: &mut Counts) -> Target<'_> {
        Target { changes: Vec::new(), rows: Vec::new(), counts }
    }

    fn insert(&mut self, row: NewRow) {
        self.counts.upserted += 1;
        self.changes.push(Change::Insert { new: self.rows.len() });
        self.rows.push(row);
    }

    fn update(&mut self, present: usize, row: NewRow) {
        self.counts.upserted += 1;
        self.changes.push(Change::Update { present, new: self.rows.len() });
        self.rows.push(row);
    }

    fn delete(&mut self, present: usize) {
        self.counts.deleted += 1;
        self.changes.push(Change::Delete { present });
    }

    /// The values of the new rows: `columns` and, with history, from when to when by `sequence`.
    fn columns(&self, columns: &[ArrayRef], sequence: Option<&ArrayRef>) -> Result<Vec<ArrayRef>> {
        let images = UInt32Array::from_iter_values(self.rows.iter().map(|row| row.image as u32));
        let mut out = columns.iter().map(|column| take(column, &images, None)).collect::<std::result::Result<Vec<_>, ArrowError>>()?;
        if let Some(sequence) = sequence {
            let starts = UInt32Array::from_iter_values(self.rows.iter().map(|row| row.start as u32));
            let ends = self.rows.iter().map(|row| row.end.map(|end| end as u32)).collect::<UInt32Array>();
            out.push(take(sequence, &starts, None)?);
            out.push(take(sequence, &ends, None)?);
        }
        Ok(out)
    }
}

/// One event as a message shows it.
fn tie_of(chunk: &Chunk, row: usize, ops: (Op, Op)) -> Result<Tie> {
    let row = take_record_batch(chunk.events.rows(), &UInt32Array::from(vec![row as u32]))?;
    Ok(Tie { row, ops })
}

fn internal(message: &str) -> DataFusionError {
    DataFusionError::Internal(message.to_string())
}
