//! The driver while tables get columns or wider types: a task of its own alters them, flows that neither read nor write them go on.

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc};

use floe_graph::{name::DatasetName, schedule::Action};
use tokio::task::JoinError;

use super::{Attempted, Driver};
use crate::{
    commit::transaction::METADATA_CHANGED,
    execute::{Execution, progress::FlowFailure},
    failure::Failure,
    update::{
        tables::Tables,
        widen::{EndedWidening, Widened},
    },
};

/// A widening that is under way.
pub(super) struct UnderWay {
    /// The attempt whose files have more: its flow goes on with the micro-batch that it was planned for.
    attempt: Attempted,
    /// Datasets whose tables are altered.
    datasets: BTreeSet<DatasetName>,
}

impl Driver {
    /// An attempt has ended. What becomes of it may depend on the widening that is under way.
    pub(super) fn attempted(&mut self, ended: Attempted) -> Vec<Action> {
        if self.under_way.as_ref().is_some_and(|under_way| ended.is_behind() || self.met(under_way, &ended)) {
            self.waiting.push(ended);
            return Vec::new();
        }
        if ended.is_behind() { self.begin_widening(ended) } else { self.attempt_ended(ended) }
    }

    /// True if the attempt may have met a table that is being altered.
    fn met(&self, under_way: &UnderWay, ended: &Attempted) -> bool {
        let is_changed = ended.outcome.as_ref().is_err_and(|failed| failed.failure.error == METADATA_CHANGED);
        is_changed && self.runs.get(&ended.flow).is_some_and(|flow| under_way.datasets.contains(&flow.target))
    }

    /// Plans again with the columns that a flow has found, and lets a task alter the tables. Flows that read or write these do not start
    /// before it is over.
    fn begin_widening(&mut self, mut attempt: Attempted) -> Vec<Action> {
        self.take_reopened(std::mem::take(&mut attempt.reopened));
        let Ok(result) = &mut attempt.outcome else { return self.attempt_ended(attempt) };
        let Some(wider) = result.wider.take() else { return self.attempt_ended(attempt) };
        if self.stop.is_requested() {
            result.stopped = true;
            return self.attempt_ended(attempt);
        }
        match self.widening.planned(wider) {
            Ok(planned) => {
                let actions = self.schedule.hold(&planned.touched_flows());
                self.under_way = Some(UnderWay { attempt, datasets: planned.datasets().clone() });
                let tables = self.tables.clone();
                self.widenings.spawn(async move { Box::pin(planned.carry_out(tables)).await });
                actions
            }
            Err(failure) => self.not_widened(attempt, failure),
        }
    }

    /// The tables are altered, or not: whoever waited for that goes on.
    pub(super) fn widened(&mut self, ended: Result<EndedWidening, JoinError>) -> Vec<Action> {
        let Some(UnderWay { attempt, .. }) = self.under_way.take() else { return Vec::new() };
        let panicked = |panicked| Err(Failure::internal("the widening of tables panicked").caused_by(panicked));
        let ended = ended.unwrap_or_else(|error| EndedWidening { altered: Tables::new(), outcome: panicked(error) });
        // Also after a failure: flows that meet one of these tables start again with it as it is now.
        self.altered.extend(ended.altered.keys().map(|name| (name.clone(), self.starts)));
        self.tables.extend(ended.altered);
        let execution = Execution { tables: Arc::new(self.tables.clone()), ..self.execution.as_ref().clone() };
        self.execution = Arc::new(execution);
        let mut actions = match ended.outcome {
            Ok(ControlFlow::Continue(widened)) => self.go_on_with(&widened, attempt),
            Ok(ControlFlow::Break(())) => self.stopped(attempt),
            Err(failure) => self.not_widened(attempt, failure),
        };
        for ended in std::mem::take(&mut self.waiting) {
            actions.extend(self.attempted(ended));
        }
        if self.under_way.is_none() {
            actions.extend(self.schedule.hold(&BTreeSet::new()));
        }
        actions
    }

    /// Puts the graph with the wider columns in the place of the old one, and starts the flow that found them again.
    fn go_on_with(&mut self, widened: &Widened, attempt: Attempted) -> Vec<Action> {
        self.widening.take_over(widened);
        let (graph, found_schemas) = (Arc::clone(&widened.graph), Arc::clone(&widened.found_schemas));
        self.runs = graph.flows.iter().map(|flow| (flow.name.clone(), Arc::new(flow.clone()))).collect();
        self.execution = Arc::new(Execution { graph, found_schemas, ..self.execution.as_ref().clone() });
        if self.stop.is_requested() {
            return self.stopped(attempt);
        }
        let flow = self.flows.entry(attempt.flow.clone()).or_default();
        if let Ok(result) = &attempt.outcome {
            flow.result = flow.result.followed_by(result);
        }
        flow.duration += attempt.duration;
        self.start(&attempt.flow);
        Vec::new()
    }

    /// The flow ends before the micro-batch that it was planned for: the next update begins with it.
    fn stopped(&mut self, mut attempt: Attempted) -> Vec<Action> {
        if let Ok(result) = &mut attempt.outcome {
            result.stopped = true;
        }
        self.attempt_ended(attempt)
    }

    fn not_widened(&mut self, attempt: Attempted, failure: Failure) -> Vec<Action> {
        let done = Box::new(attempt.outcome.unwrap_or_default());
        let outcome = Err(FlowFailure { done, ..FlowFailure::from(failure) });
        self.attempt_ended(Attempted { outcome, ..attempt })
    }
}
