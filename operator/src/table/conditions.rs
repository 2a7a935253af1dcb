//! The conditions of a Table: each is one function of what was observed and of its status so far.

use std::time::Duration;

use floe_crds::{
    condition::{self, ConditionType, Reason, Said, Status},
    run_report::FlowReport,
    state::{MaintenanceType, UpdateState},
    table::{TableStatus, TableType},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::{decide::Decision, observe::Observed, validate::Verdict};
use crate::dataset;

/// A pipeline that does not come within this time is an error.
const MISSING: Duration = Duration::from_mins(10);
/// A pipeline takes notice of a changed Table within this time.
const NOTICED: Duration = Duration::from_secs(2);

/// What conditions are made from: the world, and the status into which reports were folded already.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The world.
    pub observed: &'a Observed,
    /// What the checks found.
    pub verdict: &'a Verdict,
    /// What happens to the object.
    pub decision: &'a Decision,
    /// The status, with the conditions of the last look.
    pub status: &'a TableStatus,
}

/// How the definition of the Table stands.
struct Standing {
    ready: Said,
    reconciling: Said,
    stalled: Said,
    /// Something will be different after this time.
    again: Option<Duration>,
}

/// Sets all conditions of `status`. Gives the time after which they may be different, if it is known.
pub fn set_all(status: &mut TableStatus, observed: &Observed, verdict: &Verdict, decision: &Decision) -> Option<Duration> {
    let before = status.clone();
    let look = Look { observed, verdict, decision, status: &before };
    let standing = look.standing();
    let (fresh, stale_in) = look.fresh();
    let all = [
        (ConditionType::Accepted, look.accepted()),
        (ConditionType::Ready, standing.ready),
        (ConditionType::Active, look.active()),
        (ConditionType::RefreshSucceeded, look.refresh_succeeded()),
        (ConditionType::IncrementalDegraded, look.incremental_degraded()),
        (ConditionType::Fresh, fresh),
        (ConditionType::Reconciling, standing.reconciling),
        (ConditionType::Stalled, standing.stalled),
    ];
    let generation = observed.table.metadata.generation;
    for (kind, said) in &all {
        condition::set(&mut status.conditions, *kind, said, generation, observed.now);
    }
    [standing.again, stale_in].into_iter().flatten().min()
}

impl Look<'_> {
    /// What the condition said last, else `first`.
    fn kept(&self, kind: ConditionType, first: Said) -> Said {
        condition::find(&self.status.conditions, kind).and_then(Said::of).unwrap_or(first)
    }

    fn accepted(&self) -> Said {
        match self.verdict {
            Verdict::Wrong(said) => said.clone(),
            Verdict::Right | Verdict::NoPipeline => Said::new(true, Reason::Accepted, "all checks passed that need no runner"),
        }
    }

    fn standing(&self) -> Standing {
        let pipeline = &self.observed.table.spec.pipeline;
        if self.observed.is_deleted() {
            return self.deleted();
        }
        match (self.verdict, &self.observed.pipeline) {
            (Verdict::Wrong(said), _) => Standing::stalled(said.clone()),
            (_, None) => self.pipeline_missing(pipeline),
            (_, Some(found)) => {
                let conditions = found.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
                self.as_pipeline(pipeline, conditions)
            }
        }
    }

    fn deleted(&self) -> Standing {
        let message = match self.decision {
            Decision::Await(_) => "waits until an update has removed the data, at most 10 minutes",
            _ => "is being deleted",
        };
        let said = Said::new(true, Reason::Deleting, message);
        let ready = Said { status: Status::False, ..said.clone() };
        Standing { ready, reconciling: said, stalled: not(Reason::Deleting), again: None }
    }

    fn pipeline_missing(&self, pipeline: &str) -> Standing {
        let message = format!("pipeline `{pipeline}` is not there; create it, or name another one");
        let ready = Said::new(false, Reason::PipelineNotFound, message.clone());
        let missing = Reason::PipelineNotFound.as_str();
        let find = |kind| condition::find(&self.status.conditions, kind).filter(|found| found.reason == missing && found.status == "True");
        if find(ConditionType::Stalled).is_some() {
            return Standing::stalled(ready);
        }
        let since = find(ConditionType::Reconciling).map_or(self.observed.now, |found| found.last_transition_time.0);
        let left = MISSING.saturating_sub(self.age(since));
        if left.is_zero() {
            return Standing::stalled(ready);
        }
        let reconciling = Said::new(true, Reason::PipelineNotFound, message);
        Standing { ready, reconciling, stalled: not(Reason::PipelineNotFound), again: Some(left) }
    }

    fn age(&self, since: Timestamp) -> Duration {
        Duration::try_from(self.observed.now.duration_since(since)).unwrap_or_default()
    }

    /// A Table is as ready as the graph that it is in.
    fn as_pipeline(&self, name: &str, conditions: &[Condition]) -> Standing {
        let unknown = || Said::new(Status::Unknown, Reason::Validating, format!("waits for the validation of pipeline `{name}`"));
        let of_pipeline = |kind| condition::find(conditions, kind).and_then(Said::of);
        let (ready, reconciling) = (of_pipeline(ConditionType::Ready), of_pipeline(ConditionType::Reconciling));
        let unnoticed = self.unnoticed();
        let is_working = reconciling.as_ref().is_some_and(|said| said.status == Status::True);
        let settled = ready.filter(|ready| ready.status != Status::Unknown && !is_working && unnoticed.is_none());
        let Some(ready) = settled else {
            let message =
                reconciling.filter(|_| is_working).map_or_else(|| unknown().message, |said| format!("pipeline `{name}`: {}", said.message));
            return Standing {
                ready: self.kept(ConditionType::Ready, unknown()),
                reconciling: Said::new(true, Reason::Progressing, message),
                stalled: not(Reason::Progressing),
                again: unnoticed,
            };
        };
        if ready.status == Status::True || self.is_read_all_the_same() {
            return Standing::ready(self.place_in_graph(&ready));
        }
        let ready = Said { message: format!("pipeline `{name}`: {}", ready.message), ..ready };
        let is_stalled = of_pipeline(ConditionType::Stalled).is_some_and(|said| said.status == Status::True);
        if is_stalled {
            return Standing::stalled(ready);
        }
        let reason = ready.reason;
        Standing { ready, reconciling: not(reason), stalled: not(reason), again: None }
    }

    /// A person has just changed the Table: what the pipeline says may not be about it yet.
    fn unnoticed(&self) -> Option<Duration> {
        let table = &self.observed.table;
        if dataset::is_from_sql(table) {
            return None;
        }
        if self.status.observed_generation != table.metadata.generation {
            return Some(NOTICED);
        }
        let reconciling = condition::find(&self.status.conditions, ConditionType::Reconciling)?;
        let is_waiting = reconciling.status == "True" && reconciling.reason == Reason::Progressing.as_str();
        let left = NOTICED.saturating_sub(self.age(reconciling.last_transition_time.0));
        (is_waiting && !left.is_zero()).then_some(left)
    }

    /// An external table stands apart from the rest of a graph that is wrong.
    fn is_read_all_the_same(&self) -> bool {
        let Some(name) = self.observed.full_name() else { return false };
        let last = self.observed.told.iter().rev().find(|told| told.report.spec.graph.is_some());
        let is_same = |full_name: &str| dataset::is_same_name(full_name, &name);
        let was_read =
            || last.is_some_and(|told| told.report.spec.tables.iter().any(|table| is_same(&table.full_name) && table.version.is_some()));
        self.observed.table.spec.table_type == TableType::External && was_read()
    }

    fn place_in_graph(&self, ready: &Said) -> Said {
        if self.observed.table.spec.table_type == TableType::External && ready.reason != Reason::NotValidated {
            return Said::new(true, Reason::GraphValid, "readable at the last look");
        }
        if dataset::is_from_sql(&self.observed.table) && self.observed.in_graph() == Some(false) {
            // Nothing is to be awaited: for tools that wait for readiness it is as good as ready.
            return Said::new(true, Reason::RemovedFromSource, "not in the graph any more");
        }
        let message = if ready.reason == Reason::NotValidated { "no validation is wanted" } else { "part of a valid graph" };
        Said::new(true, ready.reason, message)
    }

    fn active(&self) -> Said {
        let removed = |message: String| Said::new(false, Reason::RemovedFromSource, message);
        let declared = |message: String| Said::new(true, Reason::Declared, message);
        if !dataset::is_from_sql(&self.observed.table) {
            return if self.observed.is_deleted() {
                removed("the Table is being deleted".to_string())
            } else {
                declared("declared by this Table".to_string())
            };
        }
        let pipeline = &self.observed.table.spec.pipeline;
        match (self.observed.in_graph(), self.observed.in_newest_graph()) {
            (Some(true), Some(found)) => declared(format!("declared at {}", found.declared_in)),
            (Some(_), _) if *self.decision != Decision::Leave || self.goes_with_its_data() => {
                removed(format!("not in the SQL of pipeline `{pipeline}` any more; the next successful update removes its data"))
            }
            (Some(_), _) => removed(format!("not in the SQL of pipeline `{pipeline}` any more; its data are kept")),
            (None, _) => self.kept(ConditionType::Active, declared(format!("declared in the SQL of pipeline `{pipeline}`"))),
        }
    }

    fn goes_with_its_data(&self) -> bool {
        self.observed.table.finalizers().iter().any(|finalizer| finalizer == dataset::CLEANUP)
    }

    fn refresh_succeeded(&self) -> Said {
        let Some(refresh) = &self.status.last_refresh else {
            return Said::new(Status::Unknown, Reason::NoUpdateYet, "no update has refreshed it yet");
        };
        let update = &refresh.update;
        let state = self.observed.updates.iter().find(|other| other.name_any() == *update);
        let state = state.and_then(|update| update.status.as_ref()?.state);
        match (refresh.succeeded, state) {
            (Some(true), _) => Said::new(true, Reason::UpdateCompleted, format!("update `{update}` refreshed it")),
            (Some(false), _) => self.refresh_failed(update),
            (None, Some(UpdateState::Failed)) => {
                Said::new(false, Reason::UpdateFailed, format!("update `{update}` failed before the end of its flows"))
            }
            (None, Some(UpdateState::Canceled)) => {
                Said::new(false, Reason::UpdateCanceled, format!("update `{update}` was canceled before the end of its flows"))
            }
            (None, _) => self.kept(ConditionType::RefreshSucceeded, Said::new(Status::Unknown, Reason::Running, "its first refresh runs")),
        }
    }

    fn refresh_failed(&self, update: &str) -> Said {
        let Some(flow) = self.failed_flow(update) else {
            return self
                .same_failure(update)
                .unwrap_or_else(|| Said::new(false, Reason::FlowFailed, format!("a flow of it failed in update `{update}`")));
        };
        let class = flow.error_class.as_deref().unwrap_or_default();
        let reason = if class.starts_with("EXPECTATION_VIOLATION") { Reason::ExpectationFailed } else { Reason::FlowFailed };
        let place = flow.origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
        let message = flow.message.as_deref().unwrap_or_default();
        Said::new(false, reason, format!("update `{update}`, flow `{}`: {class}: {message}{place}", flow.name))
    }

    fn failed_flow(&self, update: &str) -> Option<&FlowReport> {
        let name = self.observed.full_name()?;
        let mut reports = self.observed.told.iter().rev().filter(|told| told.update.name_any() == update);
        let is_it = |flow: &&FlowReport| flow.error_class.is_some() && dataset::is_same_name(&flow.dataset, &name);
        reports.find_map(|told| told.report.spec.flows.iter().find(is_it))
    }

    /// The report that knew the error is gone; what was said of it stays.
    fn same_failure(&self, update: &str) -> Option<Said> {
        let old = Said::of(condition::find(&self.status.conditions, ConditionType::RefreshSucceeded)?)?;
        (old.status == Status::False && old.message.contains(&format!("`{update}`"))).then_some(old)
    }

    fn incremental_degraded(&self) -> Said {
        if self.observed.table.spec.table_type != TableType::MaterializedView {
            return Said::new(false, Reason::Incremental, "only materialized views are computed anew");
        }
        let Some(refresh) = self.status.last_refresh.as_ref().filter(|refresh| refresh.maintenance_type.is_some()) else {
            return self.kept(
                ConditionType::IncrementalDegraded,
                Said::new(Status::Unknown, Reason::NoUpdateYet, "no update has refreshed it yet"),
            );
        };
        let before = self.observed.table.status.as_ref().and_then(|status| status.last_refresh.as_ref());
        let is_same = before.is_some_and(|before| before.update == refresh.update && before.maintenance_type == refresh.maintenance_type);
        let computed = Said::new(false, Reason::FullRecompute, "computed anew");
        match refresh.maintenance_type {
            Some(MaintenanceType::NoOp) => {
                self.kept(ConditionType::IncrementalDegraded, Said::new(false, Reason::Incremental, "nothing changed"))
            }
            Some(MaintenanceType::CompleteRecompute) if is_same => self.kept(ConditionType::IncrementalDegraded, computed),
            Some(MaintenanceType::CompleteRecompute) => self.recomputed(&refresh.update).unwrap_or(computed),
            _ => Said::new(false, Reason::Incremental, "maintained incrementally"),
        }
    }

    /// Degraded: the refresh before was incremental, and no change of the definition explains that this one was not.
    fn recomputed(&self, update: &str) -> Option<Said> {
        let old = condition::find(&self.status.conditions, ConditionType::IncrementalDegraded)?;
        let was_degraded = old.status == Status::True.as_str();
        let was_incremental = old.reason == Reason::Incremental.as_str();
        let cause = self.observed.updates.iter().find(|other| other.name_any() == update)?;
        let is_new_definition = !cause.spec.definition_hash.is_empty();
        let message = format!("update `{update}` computed the view anew; its event planning_information says why");
        let degraded = (was_degraded || was_incremental) && !is_new_definition;
        degraded.then(|| Said::new(true, Reason::FullRecompute, message))
    }

    /// And the time after which it becomes stale.
    fn fresh(&self) -> (Said, Option<Duration>) {
        let seconds = self.observed.table.spec.freshness_seconds;
        if seconds <= 0 {
            return (Said::new(Status::Unknown, Reason::Fresh, "freshnessSeconds is not set"), None);
        }
        let refresh = self.status.last_refresh.as_ref().filter(|refresh| refresh.succeeded != Some(false));
        let times = [self.status.last_commit_time.as_ref(), refresh.and_then(|refresh| refresh.end_time.as_ref())];
        let Some(newest) = times.into_iter().flatten().map(|time| time.0).max() else {
            return (Said::new(Status::Unknown, Reason::NoUpdateYet, "no update has refreshed it yet"), None);
        };
        let deadline = newest.checked_add(SignedDuration::from_secs(i64::from(seconds))).unwrap_or(Timestamp::MAX);
        let left = Duration::try_from(deadline.duration_since(self.observed.now)).unwrap_or_default();
        if left.is_zero() {
            let message = format!("last refreshed at {newest:.0}, which is more than {seconds} s ago");
            return (Said::new(false, Reason::Stale, message), None);
        }
        (Said::new(true, Reason::Fresh, format!("last refreshed at {newest:.0}, fresh for {seconds} s")), Some(left))
    }
}

impl Standing {
    fn ready(ready: Said) -> Self {
        let reason = ready.reason;
        Self { ready, reconciling: not(reason), stalled: not(reason), again: None }
    }

    fn stalled(ready: Said) -> Self {
        let stalled = Said { status: Status::True, ..ready.clone() };
        Self { reconciling: not(ready.reason), stalled, ready, again: None }
    }
}

/// Reconciling and Stalled have nothing to add when they are False.
fn not(reason: Reason) -> Said {
    Said::new(false, reason, "")
}
