//! One refresh of a materialized view: nothing if no input has changed, else one overwrite commit that also records what was read.

use std::collections::BTreeMap;

use floe_graph::definition::RefreshPolicy;
use serde_json::Value;

use super::{
    Execution, FlowRun, Round,
    batch::{BatchRun, Prepared},
    inputs::{self, LOOK_ALIKE, PinnedInputs},
    progress::{FlowFailure, FlowNotice, FlowProgress, FlowResult, RefreshType},
    refresh::{self, RefreshFacts},
    stage::Staged,
};
use crate::{
    commit::{
        CommitOutcome, CommitRequest, TargetTable,
        action::{Action, changes_rows},
        table, transaction,
    },
    event_log::note::CommitNote,
    failpoint,
    failure::Failure,
    functions::BatchClock,
    state::{StaticVersion, format::VERSION, view, view::ViewPosition},
};

/// Key of the view position inside the note of a refresh commit.
const POSITION_KEY: &str = "view";

/// Brings a materialized view up to date.
pub async fn run(execution: &Execution, run: &FlowRun) -> Result<FlowResult, FlowFailure> {
    let (facts, pinned) = observe(execution, run).await?;
    let plan = refresh::decide(&facts);
    if run.round != Round::Later || plan.chosen != RefreshType::NoOp {
        execution.observer.notice(&run.flow.name, FlowNotice::Planned(plan.clone()));
    }
    match (plan.chosen, &facts.last) {
        (RefreshType::NoOp, Some(last)) => match execution.unsure.end(&run.flow.name) {
            Some(progress) => committed(execution, run, last, progress).await,
            None => no_op(execution, run, &facts, last).await,
        },
        _ => Box::pin(Refresh { execution, run, facts: &facts }.recompute(&pinned)).await,
    }
}

/// What the decision needs, and the versions that a recompute will read.
async fn observe(execution: &Execution, run: &FlowRun) -> Result<(RefreshFacts, PinnedInputs), Failure> {
    let (last, overwritten) = last_refresh(execution, run).await?;
    let known = last.as_ref().map(|last| last.inputs.clone()).unwrap_or_default();
    let pinned = inputs::pin(execution, &run.flow, &known).await?;
    let policy: RefreshPolicy = execution.dataset(run)?.definition.refresh_policy;
    let facts = RefreshFacts {
        last,
        overwritten,
        inputs: pinned.tables.clone(),
        files: pinned.listings(),
        fingerprint: run.flow.fingerprint.clone(),
        determinism: floe_graph::analysis::facts(&run.flow.plan),
        policy,
        only_with_news: run.round == Round::Later,
    };
    Ok((facts, pinned))
}

/// The last refresh, and whether something else has replaced or changed the rows since.
///
/// The position file is written after the commit: if the process died in between, the commit itself says what it read.
async fn last_refresh(execution: &Execution, run: &FlowRun) -> Result<(Option<ViewPosition>, bool), Failure> {
    let location = run.target.location();
    let position = view::read(&execution.storage, &run.flow.name).await?;
    let known = position.as_ref().map_or(0, |position| position.own_version);
    let newest = table::newest_version(location, Some(known)).await?.unwrap_or(known);
    let forgotten = position.as_ref().is_some_and(|position| position.forgotten);
    let position = position.filter(|position| !position.forgotten);
    if newest == known {
        return Ok((position, false));
    }
    if newest < known {
        // The table was made again.
        return Ok((None, true));
    }
    let Some(since) = table::commits(location, known, newest).await? else { return Ok((None, !forgotten)) };
    let Some(last_change) = since.iter().rev().find(|commit| changes_rows(&commit.actions)) else { return Ok((position, false)) };
    let ours = recorded_position(&last_change.actions);
    let overwritten = ours.is_none();
    Ok((ours.map(|position| ViewPosition { own_version: last_change.version, ..position }), overwritten))
}

fn recorded_position(actions: &[Action]) -> Option<ViewPosition> {
    let info = actions.iter().find_map(|action| match action {
        Action::CommitInfo(info) => Some(info),
        _ => None,
    })?;
    serde_json::from_value(info.get("floe")?.get(POSITION_KEY)?.clone()).ok()
}

/// Nothing to do. Newer versions of the inputs that hold the same rows are remembered, so that they are looked at once.
async fn no_op(execution: &Execution, run: &FlowRun, facts: &RefreshFacts, last: &ViewPosition) -> Result<FlowResult, FlowFailure> {
    let inputs = versions(facts);
    if inputs != last.inputs {
        view::write(&execution.storage, &run.flow.name, &ViewPosition { inputs, ..last.clone() }).await?;
    }
    let mut total = FlowProgress { target_version: Some(last.own_version), ..FlowProgress::default() };
    total.metrics.num_output_rows = Some(0);
    Ok(FlowResult { total, refresh: Some(RefreshType::NoOp), ..FlowResult::default() })
}

/// The refresh is in the view: counts it and remembers what it was computed from.
async fn committed(
    execution: &Execution,
    run: &FlowRun,
    position: &ViewPosition,
    progress: FlowProgress,
) -> Result<FlowResult, FlowFailure> {
    let total = FlowProgress { target_version: Some(position.own_version), ..progress };
    execution.observer.notice(&run.flow.name, FlowNotice::Batch(Box::new(total.clone())));
    let done = FlowResult { total, batches: 1, refresh: Some(RefreshType::CompleteRecompute), ..FlowResult::default() };
    match view::write(&execution.storage, &run.flow.name, position).await {
        Ok(()) => Ok(done),
        Err(failure) => Err(FlowFailure { done: Box::new(done), ..failure.into() }),
    }
}

fn versions(facts: &RefreshFacts) -> BTreeMap<String, StaticVersion> {
    facts.inputs.iter().map(|(key, now)| (key.clone(), now.version.clone())).collect()
}

struct Refresh<'a> {
    execution: &'a Execution,
    run: &'a FlowRun,
    facts: &'a RefreshFacts,
}

impl Refresh<'_> {
    async fn recompute(&self, pinned: &PinnedInputs) -> Result<FlowResult, FlowFailure> {
        let clock = BatchClock { timestamp_us: self.execution.batch_time_us() };
        let (binding, counters) = inputs::static_binding(self.execution, &self.run.flow, pinned, clock).await?;
        let batch = BatchRun { execution: self.execution, run: self.run, binding, batch_id: 0, beginning: None, counters };
        let prepared = Box::pin(batch.prepare(&self.run.destination(self.execution))).await?;
        batch.counters.write_bad_records(self.execution, &self.run.flow.name, None).await?;
        if let Some(message) = batch.counters.look_alikes() {
            self.execution.observer.notice(&self.run.flow.name, FlowNotice::Warning { class: LOOK_ALIKE.to_string(), message });
        }
        self.commit(prepared).await
    }

    /// Quarantine first, then the view: whoever sees the new rows can see what was kept out of them.
    async fn commit(&self, prepared: Prepared<Staged>) -> Result<FlowResult, FlowFailure> {
        failpoint::reach("stage::after")?;
        let position = self.position();
        self.execution.observer.notice(
            &self.run.flow.name,
            FlowNotice::Identity { flow_id: position.flow_id.to_string(), generation: None, remembered: None },
        );
        if let (Some(table), Some(files)) = (&self.run.quarantine, prepared.staged.quarantine) {
            let request = self.request(table, "quarantine", serde_json::Map::new());
            transaction::overwrite(table, files, request).await?;
        }
        let progress =
            FlowProgress { batch_id: None, metrics: prepared.metrics, data_quality: prepared.data_quality, ..FlowProgress::default() };
        let target = &self.run.target;
        let request = self.request(target, "mv", self.info(&progress, &position)?);
        self.execution.unsure.begin(&self.run.flow.name, &progress);
        let outcome = transaction::overwrite(target, prepared.staged.target, request).await?;
        self.execution.unsure.end(&self.run.flow.name);
        let CommitOutcome::Committed { version } = outcome else {
            // That version says what it was computed from; this refresh may have read something else.
            let text = format!("another update has refreshed {} at the same time", self.run.flow.target);
            return Err(Failure::transient("CONCURRENT_UPDATE", text).help("start one update of a pipeline at a time").into());
        };
        committed(self.execution, self.run, &ViewPosition { own_version: version, ..position }, progress).await
    }

    fn position(&self) -> ViewPosition {
        ViewPosition {
            version: VERSION,
            own_version: -1,
            inputs: versions(self.facts),
            files: self.facts.files.clone(),
            fingerprint: self.facts.fingerprint.clone(),
            flow_id: uuid::Uuid::new_v4(),
            forgotten: false,
        }
    }

    /// One transaction id for the refresh itself, numbered by the versions of the view, and one per input, so that the view's own log
    /// says which versions it equals.
    fn request(&self, table: &TargetTable, step: &'static str, info: serde_json::Map<String, Value>) -> CommitRequest {
        let app = |input: &str| format!("{}/{}/{input}", self.execution.pipeline_id, self.run.flow.name);
        let mut transactions = vec![(app("refresh"), table.version() + 1)];
        transactions.extend(self.facts.inputs.values().map(|now| (app(&now.version.table_id), now.version.version)));
        CommitRequest {
            transactions,
            absent_until: Some(table.version()),
            operation: "WRITE",
            parameters: serde_json::Map::from_iter([("mode".to_string(), Value::from("Overwrite"))]),
            info,
            step: Some(step),
        }
    }

    fn info(&self, progress: &FlowProgress, position: &ViewPosition) -> Result<serde_json::Map<String, Value>, Failure> {
        let note = CommitNote {
            update_id: self.execution.update_id.clone(),
            flow: self.run.flow.name.clone(),
            flow_id: position.flow_id.to_string(),
            dataset: self.run.flow.target.to_string(),
            progress: progress.clone(),
        };
        let mut info = note.to_info();
        let position =
            serde_json::to_value(position).map_err(|e| Failure::internal("a view position could not be written").caused_by(e))?;
        info.insert(POSITION_KEY.to_string(), position);
        Ok(info)
    }
}
