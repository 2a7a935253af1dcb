//! Type 2, and type 1 with IGNORE NULL UPDATES: the journal knows all events that shaped a key, and the rows of the target are computed
//! from them again whenever one is added.

use std::{cmp::Ordering, ops::Range};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef},
        compute::interleave,
    },
    error::Result,
};

use super::{
    Chunk, Counts, Fold, Folded, Kept, KeyRows, NewRow, Op, Target, Tie,
    images::{Images, Side},
    noise::{Noise, noise},
    patch, tie_of,
    ties::settle,
};

pub(super) fn fold(fold: &mut Fold, chunk: &Chunk) -> Result<Folded> {
    let mut counts = Counts::default();
    let mut versions = Vec::new();
    let keys = fold.keys(chunk, &mut counts, &mut versions);
    let mut histories = Histories { fold, chunk, images: Images::new(fold.events(chunk), fold.stored(chunk)), versions, tie: None };
    let mut timeline = Timeline::default();
    for key in &keys {
        histories.key(key, &mut timeline, &mut counts)?;
    }
    let Histories { versions, tie, .. } = histories;
    let (columns, sequence) = timeline.columns(fold, chunk)?;
    let mut target = Target::new(&mut counts);
    let noise = Rows::new(fold, chunk, &timeline, &columns).diff(&keys, &mut target)?;
    let with_times = fold.shape.kept == Kept::History;
    let rows = target.columns(&columns, with_times.then_some(&sequence))?;
    let changes = target.changes;
    Ok(Folded { versions, changes, rows, counts, tie, noise })
}

impl Fold {
    fn events(&self, chunk: &Chunk) -> Vec<ArrayRef> {
        pick(chunk.events.rows().columns(), &self.shape.values())
    }

    fn stored(&self, chunk: &Chunk) -> Vec<ArrayRef> {
        pick(chunk.stored.rows().columns(), &self.shape.values())
    }
}

fn pick(columns: &[ArrayRef], positions: &[usize]) -> Vec<ArrayRef> {
    positions.iter().map(|at| ArrayRef::clone(&columns[*at])).collect()
}

/// One version of a key: a row of the events or of the journal.
#[derive(Clone, Copy, Debug)]
struct Version {
    /// 0: an event, 1: of the journal.
    input: usize,
    row: usize,
    op: Op,
}

/// The versions of all keys of a chunk, each key's in the order of the sequence. Keys that nothing was added to have none.
#[derive(Debug, Default)]
struct Timeline {
    versions: Vec<Version>,
    /// Per key.
    spans: Vec<Range<usize>>,
}

impl Timeline {
    /// The selected columns and the sequences of all versions; what an upsert leaves open is filled in.
    fn columns(&self, fold: &Fold, chunk: &Chunk) -> Result<(Vec<ArrayRef>, ArrayRef)> {
        let (events, stored) = (chunk.events.rows().columns(), chunk.stored.rows().columns());
        let places: Vec<(usize, usize)> = self.versions.iter().map(|version| (version.input, version.row)).collect();
        let as_they_are = places.len() == chunk.events.len() && places.iter().enumerate().all(|(at, place)| *place == (0, at));
        let gathered = |at: usize| -> Result<ArrayRef> {
            if as_they_are {
                return Ok(ArrayRef::clone(&events[at]));
            }
            Ok(interleave(&[events[at].as_ref(), stored[at].as_ref()], &places)?)
        };
        let mut columns = (0..fold.shape.columns).map(gathered).collect::<Result<Vec<_>>>()?;
        let is_delete: Vec<bool> = self.versions.iter().map(|version| version.op == Op::Delete).collect();
        for (column, leaves) in columns.iter_mut().zip(&fold.shape.leaves) {
            *column = patch::filled(column, leaves, &self.spans, &is_delete)?;
        }
        Ok((columns, gathered(fold.shape.columns)?))
    }
}

struct Histories<'a> {
    fold: &'a Fold,
    chunk: &'a Chunk,
    images: Images,
    versions: Vec<usize>,
    tie: Option<Tie>,
}

impl Histories<'_> {
    /// Adds the versions of one key to the timeline, if an event has added or changed one.
    fn key(&mut self, of: &KeyRows, timeline: &mut Timeline, counts: &mut Counts) -> Result<()> {
        self.fold.count_against(self.chunk, of, counts);
        let from = timeline.versions.len();
        let (events, stored) = (&self.chunk.events, &self.chunk.stored);
        let mut known = stored.sequences(of.stored.clone()).map(|group| group.end - 1).peekable();
        let mut added = 0;
        for group in events.sequences(of.events.clone()) {
            let settled = settle(events, group, &self.images)?;
            counts.tied += settled.ties;
            if let Some(loser) = settled.loser {
                self.note_tie(settled.winner, events.op(loser))?;
            }
            let sequence = events.sequence(settled.winner);
            while let Some(row) = known.next_if(|row| stored.sequence(*row) < sequence) {
                self.keep(Version { input: 1, row, op: stored.op(row) }, timeline);
            }
            let same = known.next_if(|row| stored.sequence(*row) == sequence);
            let version = Version { input: 0, row: settled.winner, op: events.op(settled.winner) };
            match same {
                Some(row) if !self.replaces(settled.winner, row, counts)? => {
                    self.keep(Version { input: 1, row, op: stored.op(row) }, timeline);
                }
                _ if self.fold.is_truncated(sequence) => {}
                _ => {
                    added += 1;
                    self.versions.push(settled.winner);
                    self.keep(version, timeline);
                }
            }
        }
        for row in known {
            self.keep(Version { input: 1, row, op: stored.op(row) }, timeline);
        }
        counts.ignored += of.events.len() as u64 - added;
        let is_touched = added > 0 || self.fold.truncates;
        if !is_touched {
            timeline.versions.truncate(from);
        }
        timeline.spans.push(from..timeline.versions.len());
        Ok(())
    }

    fn keep(&self, version: Version, timeline: &mut Timeline) {
        let rows = if version.input == 0 { &self.chunk.events } else { &self.chunk.stored };
        if !self.fold.is_truncated(rows.sequence(version.row)) {
            timeline.versions.push(version);
        }
    }

    /// True if `event` counts instead of the version of the same sequence that the journal has.
    fn replaces(&mut self, event: usize, stored: usize, counts: &mut Counts) -> Result<bool> {
        let (before, now) = (self.chunk.stored.op(stored), self.chunk.events.op(event));
        let same = match (before, now) {
            (Op::Upsert, Op::Upsert) => self.images.are_equal((Side::New, event), (Side::Present, stored))?,
            _ => before == now,
        };
        if same {
            return Ok(false);
        }
        counts.tied += 1;
        self.note_tie(event, before)?;
        let wins = now > before || self.fold.comes_after(self.chunk, stored);
        Ok(before == Op::Upsert && wins)
    }

    fn note_tie(&mut self, row: usize, other: Op) -> Result<()> {
        if self.tie.is_none() {
            self.tie = Some(tie_of(self.chunk, row, (other, self.chunk.events.op(row)))?);
        }
        Ok(())
    }
}

/// Compares what the rows of the target should be with what they are.
struct Rows<'a> {
    fold: &'a Fold,
    chunk: &'a Chunk,
    timeline: &'a Timeline,
    /// The tracked columns of the versions.
    tracked: Images,
    tracked_columns: Vec<ArrayRef>,
    /// All values of the versions and of the present rows.
    values: Images,
}

impl<'a> Rows<'a> {
    fn new(fold: &'a Fold, chunk: &'a Chunk, timeline: &'a Timeline, columns: &[ArrayRef]) -> Self {
        let empty = |columns: Vec<ArrayRef>| columns.into_iter().map(|column| column.slice(0, 0)).collect();
        let tracked = pick(columns, &fold.shape.tracked);
        let values = fold.shape.values();
        Self {
            fold,
            chunk,
            timeline,
            tracked: Images::new(tracked.clone(), empty(tracked.clone())),
            tracked_columns: tracked,
            values: Images::new(pick(columns, &values), pick(chunk.present.rows().columns(), &values)),
        }
    }

    fn diff(&self, keys: &[KeyRows], target: &mut Target<'_>) -> Result<Noise> {
        let mut wanted = Vec::new();
        let mut begun = Vec::new();
        for (key, span) in keys.iter().zip(&self.timeline.spans) {
            if span.is_empty() && !self.fold.truncates {
                continue;
            }
            wanted.clear();
            match self.fold.shape.kept {
                Kept::History => self.history(span.clone(), &mut wanted)?,
                Kept::Latest | Kept::Patched => wanted.extend(self.newest(span.clone())),
            }
            self.diff_key(&wanted, key.present.clone(), target, &mut begun)?;
        }
        let (before, after) = begun.into_iter().unzip();
        noise(&self.tracked_columns, before, after)
    }

    /// The row of the last version, if that is no delete.
    fn newest(&self, mut span: Range<usize>) -> Option<NewRow> {
        let last = span.next_back()?;
        (self.timeline.versions[last].op == Op::Upsert).then_some(NewRow { image: last, start: last, end: None })
    }

    /// One row per run of upserts that are equal in all tracked columns: the values of its last version, from the sequence of its first
    /// until that of the version that ends it.
    fn history(&self, span: Range<usize>, wanted: &mut Vec<NewRow>) -> Result<()> {
        let mut open: Option<NewRow> = None;
        for at in span {
            let is_upsert = self.timeline.versions[at].op == Op::Upsert;
            if let Some(row) = &mut open
                && is_upsert
                && self.tracked.are_equal((Side::New, row.image), (Side::New, at))?
            {
                row.image = at;
                continue;
            }
            wanted.extend(open.take().map(|row| NewRow { end: Some(at), ..row }));
            open = is_upsert.then_some(NewRow { image: at, start: at, end: None });
        }
        wanted.extend(open);
        Ok(())
    }

    /// `begun` gets the images of rows that are new and end another one, behind that of the other one.
    fn diff_key(&self, wanted: &[NewRow], mut present: Range<usize>, target: &mut Target<'_>, begun: &mut Vec<(u32, u32)>) -> Result<()> {
        for (number, row) in wanted.iter().enumerate() {
            let mut same = None;
            while let Some(at) = present.clone().next() {
                match self.compare_start(at, row) {
                    Ordering::Greater => break,
                    Ordering::Equal if same.is_none() => same = Some(at),
                    // Another row now, or written twice by someone else.
                    Ordering::Equal | Ordering::Less => target.delete(at),
                }
                present.start += 1;
            }
            match same {
                Some(at) if self.is_equal(at, row)? => {}
                Some(at) => target.update(at, *row),
                None => {
                    target.insert(*row);
                    let ended = number.checked_sub(1).map(|before| wanted[before]).filter(|before| before.end == Some(row.start));
                    begun.extend(ended.map(|ended| (ended.image as u32, row.image as u32)));
                }
            }
        }
        present.for_each(|at| target.delete(at));
        Ok(())
    }

    /// Present rows of a target without history have no start: the first is the row of the key.
    fn compare_start(&self, present: usize, row: &NewRow) -> Ordering {
        if self.fold.shape.kept != Kept::History {
            return Ordering::Equal;
        }
        self.chunk.present.sequence(present).cmp(self.sequence(row.start))
    }

    fn is_equal(&self, present: usize, row: &NewRow) -> Result<bool> {
        if self.fold.shape.kept == Kept::History && self.chunk.present.precedence(present) != self.end_of(row) {
            return Ok(false);
        }
        self.values.are_equal((Side::New, row.image), (Side::Present, present))
    }

    fn sequence(&self, version: usize) -> &[u8] {
        let version = self.timeline.versions[version];
        if version.input == 0 { self.chunk.events.sequence(version.row) } else { self.chunk.stored.sequence(version.row) }
    }

    /// The encoded end of a row as present rows have it: empty while the row is open.
    fn end_of(&self, row: &NewRow) -> &[u8] {
        row.end.map_or(&[], |end| self.sequence(end))
    }
}
