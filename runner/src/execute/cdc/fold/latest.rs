//! Type 1: the newest event of a key counts. The journal knows its sequence, the target its values.

use datafusion::{arrow::array::ArrayRef, error::Result};

use super::{
    Chunk, Counts, Fold, Folded, KeyRows, NewRow, Noise, Op, Target, Tie,
    images::{Images, Side},
    tie_of,
    ties::settle,
};

pub(super) fn fold(fold: &mut Fold, chunk: &Chunk) -> Result<Folded> {
    let mut counts = Counts::default();
    let mut versions = Vec::new();
    let keys = fold.keys(chunk, &mut counts, &mut versions);
    let values = |rows: &[ArrayRef]| -> Vec<ArrayRef> { fold.shape.values().into_iter().map(|at| ArrayRef::clone(&rows[at])).collect() };
    let images = Images::new(values(chunk.events.rows().columns()), values(chunk.present.rows().columns()));
    let mut target = Target::new(&mut counts);
    let mut latest = Latest { fold, chunk, images, versions, tie: None };
    for key in &keys {
        latest.key(key, &mut target)?;
    }
    let Latest { versions, tie, .. } = latest;
    let rows = target.columns(&chunk.events.rows().columns()[..fold.shape.columns], None)?;
    let changes = target.changes;
    Ok(Folded { versions, changes, rows, counts, tie, noise: Noise::default() })
}

struct Latest<'a> {
    fold: &'a Fold,
    chunk: &'a Chunk,
    images: Images,
    versions: Vec<usize>,
    tie: Option<Tie>,
}

impl Latest<'_> {
    fn key(&mut self, of: &KeyRows, target: &mut Target<'_>) -> Result<()> {
        self.fold.count_against(self.chunk, of, target.counts);
        let known = of.stored.clone().last();
        let alive = known.filter(|row| !self.fold.is_truncated(self.chunk.stored.sequence(*row)));
        let winner = self.winner(of, target)?;
        let effective = match winner {
            Some(winner) => self.is_effective(winner, alive, of, target)?.then_some(winner),
            None => None,
        };
        target.counts.ignored += of.events.len() as u64 - u64::from(effective.is_some());
        let Some(event) = effective else {
            if self.fold.truncates && alive.is_none() {
                of.present.clone().for_each(|row| target.delete(row));
            }
            return Ok(());
        };
        self.versions.push(event);
        if self.chunk.events.op(event) == Op::Delete {
            of.present.clone().for_each(|row| target.delete(row));
            return Ok(());
        }
        let row = NewRow { image: event, start: event, end: None };
        let Some(present) = of.present.clone().next() else {
            target.insert(row);
            return Ok(());
        };
        if !self.images.are_equal((Side::New, event), (Side::Present, present))? {
            target.update(present, row);
        }
        // A key has one row, unless someone else has written the table.
        of.present.clone().skip(1).for_each(|row| target.delete(row));
        Ok(())
    }

    /// The newest event that no truncate has deleted; ties of all events are counted.
    fn winner(&mut self, of: &KeyRows, target: &mut Target<'_>) -> Result<Option<usize>> {
        let mut winner = None;
        for group in self.chunk.events.sequences(of.events.clone()) {
            let settled = settle(&self.chunk.events, group, &self.images)?;
            target.counts.tied += settled.ties;
            if let Some(loser) = settled.loser {
                self.note_tie(settled.winner, self.chunk.events.op(loser))?;
            }
            if !self.fold.is_truncated(self.chunk.events.sequence(settled.winner)) {
                winner = Some(settled.winner);
            }
        }
        Ok(winner)
    }

    /// False for a late event and for a repetition of what is known.
    fn is_effective(&mut self, winner: usize, known: Option<usize>, of: &KeyRows, target: &mut Target<'_>) -> Result<bool> {
        let Some(known) = known else { return Ok(true) };
        let (events, stored) = (&self.chunk.events, &self.chunk.stored);
        let order = events.sequence(winner).cmp(stored.sequence(known));
        if order.is_ne() {
            return Ok(order.is_gt());
        }
        let same = match (stored.op(known), events.op(winner)) {
            (Op::Upsert, Op::Upsert) => match of.present.clone().next() {
                Some(present) => self.images.are_equal((Side::New, winner), (Side::Present, present))?,
                // The row was taken out by someone else: it comes back.
                None => return Ok(true),
            },
            (before, now) => before == now,
        };
        if same {
            return Ok(false);
        }
        target.counts.tied += 1;
        self.note_tie(winner, stored.op(known))?;
        let wins = events.op(winner) > stored.op(known) || self.fold.comes_after(self.chunk, known);
        Ok(stored.op(known) == Op::Upsert && wins)
    }

    fn note_tie(&mut self, row: usize, other: Op) -> Result<()> {
        if self.tie.is_none() {
            self.tie = Some(tie_of(self.chunk, row, (other, self.chunk.events.op(row)))?);
        }
        Ok(())
    }
}
