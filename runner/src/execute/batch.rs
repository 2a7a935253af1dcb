//! The part that a micro-batch and a refresh have in common: bind the plan, run it, count expectations, stage the files.

use std::{sync::Arc, time::Instant};

use datafusion::{arrow::datatypes::SchemaRef, execution::SessionState};
use floe_graph::graph::{ResolvedDataset, ResolvedFlow};

use super::{
    Execution, FlowRun,
    expectation::{DataQuality, Evaluator, QuarantineOrigin, Tally},
    progress::{FlowFailure, FlowMetrics, FlowNotice, Moving},
    stage::{Destination, RowCounter, Staged, stage},
    view_expectation::{ExpectPlanner, ViewTallies},
};
use crate::{
    engine_failure::engine_error,
    failure::Failure,
    session::{self, Binding},
};

/// Rows that were written to files and counted, and are not committed yet.
pub struct Prepared {
    pub staged: Staged,
    pub metrics: FlowMetrics,
    pub data_quality: DataQuality,
}

/// One execution of a flow's query over fixed inputs.
pub struct BatchRun<'a> {
    pub execution: &'a Execution,
    pub run: &'a FlowRun,
    pub binding: Binding,
    pub batch_id: i64,
    /// Rows and bytes that the sources count while they read.
    pub counters: super::inputs::Counters,
}

impl BatchRun<'_> {
    /// Executes the query. If the memory pool was exhausted, once more with operators that can spill.
    pub async fn prepare(&self) -> Result<Prepared, FlowFailure> {
        match self.attempt(false).await {
            Err(failed) if failed.failure.error == "OUT_OF_MEMORY" => self.attempt(true).await,
            outcome => outcome,
        }
    }

    async fn attempt(&self, spilling: bool) -> Result<Prepared, FlowFailure> {
        let started = Instant::now();
        let views = Arc::new(ViewTallies::default());
        let session = &self.execution.session;
        let planner = Arc::new(ExpectPlanner::new(Arc::clone(&views)));
        let state = if spilling { session.spilling_state(planner) } else { session.state(planner) };
        let tally = Arc::new(Tally::new(self.dataset()?.expectations.clone()));
        let outcome = self.staged(&state, &tally).await;
        let mut data_quality = tally.data_quality();
        views.add_to(&mut data_quality);
        let mut metrics = self.counters.metrics();
        metrics.executor_time_ms = started.elapsed().as_millis() as u64;
        let sample = self.dataset()?.sample_records().unwrap_or(self.execution.sample_records);
        let violated = tally.failure(&self.flow().name, sample).or_else(|| views.failure(&self.flow().name, sample));
        let staged = match outcome {
            Ok(done) => done,
            Err(failure) => return Err(FlowFailure { failure, data_quality, metrics, done: Box::default() }),
        };
        if let Some(failure) = violated {
            staged.discard().await;
            return Err(FlowFailure { failure, data_quality, metrics, done: Box::default() });
        }
        metrics.num_output_rows = Some(staged.target.rows);
        metrics.num_output_bytes = Some(staged.target.bytes);
        Ok(Prepared { staged, metrics, data_quality })
    }

    async fn staged(&self, state: &SessionState, tally: &Arc<Tally>) -> Result<Staged, Failure> {
        let plan = session::bind(&self.flow().plan, &self.binding)?;
        let (physical, context) = session::physical_plan(state, &plan).await.map_err(engine_error)?;
        let schema: SchemaRef = physical.schema();
        let predicates = tally.expectations().iter().map(|e| e.predicate.clone()).collect();
        let predicates = session::bind_predicates(state, predicates, &schema, self.binding.clock)?;
        let origin = QuarantineOrigin {
            flow: self.flow().name.clone(),
            update_id: self.execution.update_id.clone(),
            batch_id: self.batch_id,
            at_us: self.binding.clock.timestamp_us,
        };
        let evaluator = Arc::new(Evaluator::new(Arc::clone(tally), predicates, origin));
        let destination = Destination {
            target: Arc::clone(&self.run.target),
            quarantine: self.run.quarantine.clone(),
            writers: self.execution.writers.clone(),
        };
        let counter = Arc::new(RowCounter::default());
        let staging = stage(&physical, &context, &evaluator, &destination, &counter);
        self.watched(staging, &counter).await
    }

    /// Tells the live display about progress while `staging` runs.
    async fn watched(&self, staging: impl Future<Output = Result<Staged, Failure>>, counter: &RowCounter) -> Result<Staged, Failure> {
        let mut staging = std::pin::pin!(staging);
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(200));
        tick.tick().await;
        loop {
            tokio::select! {
                done = &mut staging => return done,
                _ = tick.tick() => {
                    let notice = FlowNotice::Moving(Moving { rows: counter.rows(), ..self.counters.moving() });
                    self.execution.observer.notice(&self.flow().name, notice);
                }
            }
        }
    }

    fn flow(&self) -> &ResolvedFlow {
        &self.run.flow
    }

    fn dataset(&self) -> Result<&ResolvedDataset, Failure> {
        self.execution.dataset(self.run)
    }
}
