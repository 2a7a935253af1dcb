//! The part that a micro-batch and a refresh have in common: bind the plan, run it, count expectations, stage the files.

use std::{sync::Arc, time::Instant};

use datafusion::{
    arrow::datatypes::SchemaRef,
    execution::{SessionState, TaskContext},
    physical_plan::ExecutionPlan,
};
use floe_graph::graph::{ResolvedDataset, ResolvedFlow};

use super::{
    Execution, FlowRun,
    expectation::{DataQuality, Evaluator, QuarantineOrigin, Tally},
    progress::{FlowFailure, FlowMetrics, FlowNotice, Moving},
    stage::{RowCounter, Sink},
    stateful::{Beginning, StagedState, StateRun},
    view_expectation::{ExpectPlanner, ViewTallies},
};
use crate::{
    engine_failure::engine_error,
    failure::Failure,
    functions::BatchClock,
    session::{self, Binding},
};

/// Rows that were written to files and counted, and are not committed yet.
pub struct Prepared<S> {
    pub staged: S,
    /// What a flow with state adds to it.
    pub state: Option<StagedState>,
    pub metrics: FlowMetrics,
    pub data_quality: DataQuality,
}

impl<S> Prepared<S> {
    /// The same numbers beside something else that is staged.
    pub fn map<T>(self, map: impl FnOnce(S) -> T) -> Prepared<T> {
        Prepared { staged: map(self.staged), state: self.state, metrics: self.metrics, data_quality: self.data_quality }
    }
}

/// A query that is ready to run.
pub struct Query {
    /// Of the session; plans of its own run beside the query.
    pub state: SessionState,
    pub plan: Arc<dyn ExecutionPlan>,
    pub context: Arc<TaskContext>,
    /// The expectations of the target.
    pub evaluator: Arc<Evaluator>,
    /// Time of the batch.
    pub clock: BatchClock,
    /// Rows that have gone through.
    pub counter: Arc<RowCounter>,
}

/// One execution of a flow's query over fixed inputs.
pub struct BatchRun<'a> {
    pub execution: &'a Execution,
    pub run: &'a FlowRun,
    pub binding: Binding,
    pub batch_id: i64,
    /// What a flow with state begins with.
    pub beginning: Option<Beginning>,
    /// Rows and bytes that the sources count while they read.
    pub counters: super::inputs::Counters,
}

impl BatchRun<'_> {
    /// Executes the query and stages its rows in `sink`. If the memory pool was exhausted, once more with operators that can spill.
    pub async fn prepare<S: Sink>(&self, sink: &S) -> Result<Prepared<S::Staged>, FlowFailure> {
        match self.attempt(sink, false).await {
            Err(failed) if failed.failure.error == "OUT_OF_MEMORY" => {
                let _turn = self.execution.session.spilling_turn().await;
                self.attempt(sink, true).await
            }
            outcome => outcome,
        }
    }

    async fn attempt<S: Sink>(&self, sink: &S, spilling: bool) -> Result<Prepared<S::Staged>, FlowFailure> {
        let started = Instant::now();
        let views = Arc::new(ViewTallies::default());
        let session = &self.execution.session;
        let with = |planner: ExpectPlanner| {
            let planner = Arc::new(planner);
            if spilling { session.spilling_state(planner) } else { session.state(planner) }
        };
        let run = self.beginning.clone().map(|beginning| Arc::new(StateRun::new(beginning, with(ExpectPlanner::default()))));
        let state = with(ExpectPlanner::new(Arc::clone(&views)).remembering(run.clone()));
        let tally = Arc::new(Tally::new(self.dataset()?.expectations.clone()));
        let outcome = self.staged(sink, state, &tally, run.as_deref()).await;
        let mut data_quality = tally.data_quality();
        views.add_to(&mut data_quality);
        let mut metrics = self.counters.metrics();
        metrics.executor_time_ms = started.elapsed().as_millis() as u64;
        let sample = self.dataset()?.sample_records().unwrap_or(self.execution.sample_records);
        let violated = tally.failure(&self.flow().name, sample).or_else(|| views.failure(&self.flow().name, sample));
        let failure = match (outcome, violated) {
            (Ok(staged), None) => {
                S::count(&staged, &mut metrics);
                return Ok(Prepared { staged, state: run.map(|run| run.take()), metrics, data_quality });
            }
            (Ok(staged), Some(violated)) => {
                S::discard(staged).await;
                violated
            }
            (Err(failure), _) => failure,
        };
        if let Some(run) = run {
            run.discard().await;
        }
        Err(FlowFailure { failure, data_quality, metrics, done: Box::default() })
    }

    async fn staged<S: Sink>(
        &self,
        sink: &S,
        state: SessionState,
        tally: &Arc<Tally>,
        run: Option<&StateRun>,
    ) -> Result<S::Staged, Failure> {
        let bound = session::bind(&self.flow().plan, &self.binding)?;
        let (plan, context) = session::physical_plan(&state, &bound).await.map_err(engine_error)?;
        let schema: SchemaRef = plan.schema();
        let predicates = tally.expectations().iter().map(|e| e.predicate.clone()).collect();
        let predicates = session::bind_predicates(&state, predicates, &schema, self.binding.clock)?;
        let origin = QuarantineOrigin {
            flow: self.flow().name.clone(),
            update_id: self.execution.update_id.clone(),
            batch_id: self.batch_id,
            at_us: self.binding.clock.timestamp_us,
        };
        let evaluator = Arc::new(Evaluator::new(Arc::clone(tally), predicates, origin));
        let counter = Arc::new(RowCounter::default());
        let query = Query {
            state,
            plan: Arc::clone(&plan),
            context: Arc::clone(&context),
            evaluator,
            clock: self.binding.clock,
            counter: Arc::clone(&counter),
        };
        let staged = self.watched(sink.stage(query), &counter).await?;
        let Some(run) = run else { return Ok(staged) };
        match run.finish(&plan, &context).await {
            Ok(()) => Ok(staged),
            Err(failure) => {
                S::discard(staged).await;
                Err(failure)
            }
        }
    }

    /// Tells the live display about progress while `staging` runs.
    async fn watched<T>(&self, staging: impl Future<Output = Result<T, Failure>>, counter: &RowCounter) -> Result<T, Failure> {
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
