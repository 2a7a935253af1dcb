//! A micro-batch up to its files: inputs are bound, the query runs, rows or changes of rows are staged.

use std::sync::Arc;

use chrono::Utc;
use floe_graph::cdc::ResolvedAutoCdc;

use super::{AppendRun, StagedBatch, TargetFiles, snapshots};
use crate::{
    execute::{
        batch::{BatchRun, Prepared},
        cdc::{Apply, Compaction, Definition, Mark},
        inputs::{self, Counters, NewFields},
        progress::FlowFailure,
    },
    failpoint,
    failure::Failure,
    state::BatchOffsets,
};

impl AppendRun<'_> {
    /// Reads the batch and stages its rows.
    pub(super) async fn prepare(
        &mut self,
        offsets: &BatchOffsets,
        new_fields: NewFields,
    ) -> Result<(Prepared<StagedBatch>, Counters), FlowFailure> {
        let (binding, counters) = inputs::batch_binding(self.execution, &self.run.flow, offsets, new_fields).await?;
        let beginning = self.beginning(offsets).await?;
        let batch = BatchRun { execution: self.execution, run: self.run, binding, batch_id: offsets.batch, beginning, counters };
        self.remember_schemas(offsets.batch).await?;
        failpoint::reach("stage::before")?;
        let prepared = Box::pin(self.stage(&batch, offsets)).await?;
        Ok((prepared, batch.counters))
    }

    /// Executes the query up to the files that the commits will name.
    async fn stage(&self, batch: &BatchRun<'_>, offsets: &BatchOffsets) -> Result<Prepared<StagedBatch>, FlowFailure> {
        let Some(cdc) = self.run.flow.kind.auto_cdc() else {
            let prepared = Box::pin(batch.prepare(&self.run.destination(self.execution))).await?;
            return Ok(prepared.map(|staged| StagedBatch { target: TargetFiles::Rows(staged.target), quarantine: staged.quarantine }));
        };
        let prepared = Box::pin(batch.prepare(&self.apply(cdc, offsets)?)).await?;
        Ok(prepared.map(|applied| StagedBatch {
            target: TargetFiles::Events { journal: applied.journal, change: applied.change.map(Box::new), noise: applied.noise },
            quarantine: applied.quarantine,
        }))
    }

    /// Costs a later update time if it is not done.
    pub(super) async fn compact_journal(&self) -> Result<(), Failure> {
        let (Some(cdc), Some(journal)) = (self.run.flow.kind.auto_cdc(), &self.run.journal) else { return Ok(()) };
        let compaction = Compaction {
            session: &self.execution.session,
            writers: self.execution.writers.clone(),
            definition: &Definition::new(cdc, self.run.target.schema())?,
            journal,
            tombstone_seconds: self.execution.dataset(self.run)?.tombstone_seconds(),
            now: Utc::now(),
        };
        compaction.run().await
    }

    fn apply(&self, cdc: &Arc<ResolvedAutoCdc>, offsets: &BatchOffsets) -> Result<Apply<'_>, Failure> {
        let missing = |what: &str| Failure::internal(format!("{what} of the Auto CDC flow {} is missing", self.run.flow.name));
        let dataset = self.execution.dataset(self.run)?;
        Ok(Apply {
            flow: &self.run.flow.name,
            definition: Definition::new(cdc, self.run.target.schema())?,
            target: &self.run.target,
            journal: self.run.journal.as_deref().ok_or_else(|| missing("the journal"))?,
            quarantine: self.run.quarantine.as_deref(),
            mark: Mark {
                transaction: format!("{}/g{}/{}", self.run.flow.name, self.checkpoint.generation(), offsets.batch),
                number: offsets.journal_number.ok_or_else(|| missing("the number of the versions"))?,
                at_us: offsets.timestamp_us,
            },
            snapshot: snapshots::sequence_of(cdc, offsets)?,
            ties: dataset.tie_rule(),
            show_samples: dataset.sample_records().unwrap_or(self.execution.sample_records),
            writers: self.execution.writers.clone(),
            parallelism: self.execution.session.parallelism(),
        })
    }
}
