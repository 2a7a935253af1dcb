//! What a flow of change events says about its feed: events that come late, and columns that make a history of nothing.

use super::AppendRun;
use crate::{
    execute::cdc::{Counts, Definition, Noise},
    failure::Failure,
};

/// What was told in this update: each thing once.
#[derive(Debug, Default)]
pub(super) struct Told {
    older_than_tombstones: bool,
    near_retention: bool,
    history: bool,
    /// The files that look like another format, in words.
    pub(super) look_alikes: Option<String>,
    /// Of all micro-batches so far.
    noise: Noise,
}

impl AppendRun<'_> {
    /// Looks at the numbers of a micro-batch that is committed.
    pub(super) fn tell(&mut self, counts: &Counts, noise: &Noise) -> Result<(), Failure> {
        let older = counts.older_than_tombstones;
        if older > 0 && !std::mem::replace(&mut self.told.older_than_tombstones, true) {
            let text = format!(
                "{older} events are not newer than deletes that were forgotten meanwhile: their keys came back. \
                 pipelines.cdc.tombstoneGCThresholdInSeconds must exceed the greatest lateness"
            );
            self.warn("CDC_EVENT_OLDER_THAN_TOMBSTONES", text);
        }
        let kept = self.execution.dataset(self.run)?.tombstone_seconds();
        let lateness = counts.lateness_us / 1_000_000;
        if let Some(kept) = kept.filter(|kept| lateness > kept / 2)
            && !std::mem::replace(&mut self.told.near_retention, true)
        {
            let text = format!(
                "an event came {lateness} seconds after a newer one of its key, and deletes are remembered for {kept} seconds: \
                 raise pipelines.cdc.tombstoneGCThresholdInSeconds, so that a deleted key does not come back"
            );
            self.warn("CDC_LATENESS_NEAR_TOMBSTONE_RETENTION", text);
        }
        self.told.noise.add(noise);
        match self.told.noise.column() {
            Some(column) if !std::mem::replace(&mut self.told.history, true) => self.tell_of_history(column),
            _ => Ok(()),
        }
    }

    /// W009: the tracked column number `column` changes alone.
    fn tell_of_history(&self, column: usize) -> Result<(), Failure> {
        let Some(cdc) = self.run.flow.kind.auto_cdc() else { return Ok(()) };
        let definition = Definition::new(cdc, self.run.target.schema())?;
        let tracked = definition.shape.tracked.get(column).map(|at| definition.columns.field(*at).name());
        if let Some(name) = tracked {
            let Noise { rows, alone } = &self.told.noise;
            let text = format!(
                "{name} is the only column that changed in {} of {rows} new rows of history of {}: consider TRACK HISTORY ON * EXCEPT ({name})",
                alone[column], self.run.flow.target
            );
            self.warn("W009", text);
        }
        Ok(())
    }
}
