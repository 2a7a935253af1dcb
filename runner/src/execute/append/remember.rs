//! What a flow with state remembers, around its micro-batches: what a batch begins with, and what is written down before it is committed.

use std::sync::Arc;

use floe_graph::{analysis::state::drift, plan::state_help};

use super::AppendRun;
use crate::{
    execute::{
        progress::FlowMetrics,
        stateful::{
            Beginning, Compaction, StagedState,
            memory::{self, Batch, Remembered},
        },
        view_expectation::ExpectPlanner,
    },
    failure::Failure,
    state::BatchOffsets,
};

impl AppendRun<'_> {
    /// `STATE_STORE_INCOMPATIBLE`: what the flow remembers was made for other keys.
    pub(super) async fn check_state(&mut self) -> Result<(), Failure> {
        if self.checkpoint.last_batch().is_none() {
            return Ok(());
        }
        let stored = self.checkpoint.state().await?;
        let stored: Vec<_> = stored.iter().flat_map(|state| &state.operators).map(|known| known.operator.clone()).collect();
        match drift(&self.state.operators, &stored) {
            Some(found) => Err(Failure::user(found.class, found.message).help(state_help(&self.run.flow.target.name))),
            None => Ok(()),
        }
    }

    /// The watermark of the batch that comes next.
    pub(super) async fn next_watermark(&mut self) -> Result<Option<i64>, Failure> {
        if self.state.is_empty() {
            return Ok(None);
        }
        let state = self.checkpoint.state().await?;
        Ok(memory::watermark(&self.state.watermarks, state.as_deref()))
    }

    /// True if the newest batch has moved the watermark: one more batch, without rows, removes what nobody waits for any longer.
    pub(super) async fn has_moved(&mut self) -> Result<bool, Failure> {
        if self.state.operators.is_empty() || self.execution.stop.is_requested() {
            return Ok(false);
        }
        let before = self.checkpoint.state().await?.and_then(|state| state.watermark_us);
        Ok(self.next_watermark().await? > before)
    }

    /// What the batch begins with; `None` for a flow without state.
    pub(super) async fn beginning(&mut self, offsets: &BatchOffsets) -> Result<Option<Beginning>, Failure> {
        if self.state.is_empty() {
            return Ok(None);
        }
        Ok(Some(Beginning {
            watermark_us: offsets.watermark_us,
            previous: self.checkpoint.state().await?,
            directory: self.checkpoint.state_directory(),
            writers: crate::commit::WriterOptions::keyed(self.execution.writers.shared.clone()),
        }))
    }

    /// Writes down what is remembered after the batch, and counts it.
    pub(super) async fn remember(
        &mut self,
        offsets: &BatchOffsets,
        staged: Option<StagedState>,
        metrics: &mut FlowMetrics,
    ) -> Result<(), Failure> {
        let (Some(staged), Some(beginning)) = (staged, self.beginning(offsets).await?) else { return Ok(()) };
        let previous = beginning.previous.clone();
        let batch = Batch { number: offsets.batch, watermark_us: offsets.watermark_us, previous: previous.as_deref() };
        let (session, planner) = (&self.execution.session, Arc::new(ExpectPlanner::default()));
        let (session, spilling) = (session.state(Arc::clone(&planner) as _), session.spilling_state(planner));
        let state = memory::after(&self.state, &batch, &staged, &Compaction { beginning, session, spilling }).await?;
        memory::count(metrics, &staged, &state);
        let files = staged.operators.values().flat_map(|operator| &operator.segments).map(|segment| segment.file.path.clone()).collect();
        self.remembered = Some(Remembered { staged, state: Arc::new(state.clone()) });
        self.checkpoint.write_state(state, files).await
    }

    /// Costs space if it is not done.
    pub(super) async fn forget(&mut self) {
        if let Err(failure) = self.checkpoint.forget_state().await {
            tracing::warn!(flow = self.run.flow.name, "files of the state were left behind: {failure}");
        }
    }
}
