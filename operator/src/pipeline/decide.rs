//! When an update starts, and why not: a list of named checks. The first that applies ends it. Pure.

use std::{sync::Arc, time::Duration};

use floe_crds::{
    pipeline::{Mode, OnChange},
    pipeline_update::{Cancel, PipelineUpdate, PipelineUpdateSpec, UpdateType},
    state::{Cause, UpdateState},
    update::UpdateSelection,
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::{
    cleanup, conditions, history,
    observe::{Observed, state},
    validate::{Valid, Verdict},
};
use crate::{controller::Next, labels};

/// What must happen now, and when to look again.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// What is done about the Pipeline's updates, in this order.
    pub actions: Vec<Action>,
    /// Nothing starts by itself, because of this.
    pub held: Option<Held>,
    /// Look again at this time, if nothing happens before.
    pub wake: Option<Timestamp>,
    /// The instant that is acted on now.
    pub scheduled: Option<Timestamp>,
    /// The next instant of the schedule.
    pub next_schedule: Option<Timestamp>,
    /// Instants that nobody makes up for any more.
    pub missed: usize,
    /// How far a deletion is.
    pub cleanup: Option<cleanup::Step>,
    now: Option<Timestamp>,
}

/// Why nothing starts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The object goes.
    Deleting,
    /// The annotation says so.
    Paused,
    /// The definition is wrong, or something is missing.
    Refused,
    /// `spec.suspend`.
    Suspended,
}

/// One thing that is done about an update.
#[derive(Clone, Debug)]
pub enum Action {
    /// A new one.
    Start(Box<Start>),
    /// This one shall stop.
    Stop(Arc<PipelineUpdate>, Cancel),
    /// This one is old and goes.
    Remove(Arc<PipelineUpdate>),
}

/// A new update.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// What it is asked to do.
    pub spec: PipelineUpdateSpec,
    /// The instant of the schedule.
    pub scheduled_at: Option<Timestamp>,
}

impl Decision {
    /// When to look again.
    pub fn next(&self) -> Next {
        match (self.wake, self.now) {
            (Some(wake), Some(now)) => {
                let wait = Duration::try_from(wake.duration_since(now)).unwrap_or(Duration::ZERO);
                Next::After(wait.max(Duration::from_millis(50)))
            }
            _ => Next::Settled,
        }
    }

    pub(super) fn look_again(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    fn start(&mut self, start: Start) {
        self.actions.push(Action::Start(Box::new(start)));
    }
}

/// What happens to the Pipeline's updates.
pub fn decide(observed: &Observed, verdict: &Verdict) -> Decision {
    let mut decision = Decision { now: Some(observed.now), ..Decision::default() };
    if observed.is_deleted() {
        decision.held = Some(Held::Deleting);
        cleanup::decide(observed, verdict, &mut decision);
        return decision;
    }
    if observed.annotation(labels::PAUSED) == Some("true") {
        decision.held = Some(Held::Paused);
        return decision;
    }
    let Some(valid) = verdict.valid() else {
        decision.held = Some(Held::Refused);
        if let Verdict::Waiting(refusal) = verdict
            && let Some(end) = conditions::patience_ends(observed, refusal)
        {
            decision.look_again(end);
        }
        history::remove_old(observed, &mut decision);
        return decision;
    };
    let look = Look { observed, valid };
    // What shall follow is announced whatever starts now.
    look.announce_schedule(&mut decision);
    let checks: [Check<'_>; 8] = [
        Look::requested,
        Look::suspended,
        Look::continuous_changed,
        Look::continuous_stopped,
        Look::changed,
        Look::waits_for_validation,
        Look::scheduled,
        Look::maintenance,
    ];
    let _ = checks.iter().any(|check| check(&look, &mut decision));
    history::remove_old(observed, &mut decision);
    decision
}

/// A check that applies says what happens and ends the list.
type Check<'a> = fn(&Look<'a>, &mut Decision) -> bool;

struct Look<'a> {
    observed: &'a Observed,
    valid: &'a Valid,
}

impl Look<'_> {
    fn spec(&self, cause: Cause) -> PipelineUpdateSpec {
        PipelineUpdateSpec {
            pipeline: self.observed.key.name.clone(),
            cause,
            definition_hash: self.valid.hash.clone(),
            ..PipelineUpdateSpec::default()
        }
    }

    fn validation(&self) -> PipelineUpdateSpec {
        PipelineUpdateSpec { selection: UpdateSelection { validate_only: true, ..UpdateSelection::default() }, ..self.spec(Cause::ApiCall) }
    }

    fn status<T>(&self, field: impl Fn(&floe_crds::pipeline::PipelineStatus) -> Option<T>) -> Option<T> {
        self.observed.pipeline.status.as_ref().and_then(field)
    }

    /// The newest update that was made for a definition.
    fn newest(&self, which: impl Fn(&PipelineUpdate) -> bool) -> Option<&Arc<PipelineUpdate>> {
        self.observed.updates.iter().rev().find(|update| !update.spec.definition_hash.is_empty() && which(update))
    }

    fn is_for_this_definition(&self, update: Option<&Arc<PipelineUpdate>>) -> bool {
        update.is_some_and(|update| update.spec.definition_hash == self.valid.hash)
    }

    /// Someone asked for an update, also while the Pipeline is suspended.
    fn requested(&self, decision: &mut Decision) -> bool {
        let Some(request) = self.observed.annotation(labels::UPDATE_REQUESTED_AT).filter(|request| !request.is_empty()) else {
            return false;
        };
        let request = floe_crds::text::cut(request, 253);
        let handled = self.status(|status| status.last_handled_update_request.clone()).is_some_and(|handled| handled == request);
        let exists = self.observed.updates.iter().any(|update| update.spec.request_id == request);
        if handled || exists {
            return false;
        }
        let spec = PipelineUpdateSpec { request_id: request.to_string(), ..self.spec(Cause::UserAction) };
        decision.start(Start { spec, scheduled_at: None });
        true
    }

    fn suspended(&self, decision: &mut Decision) -> bool {
        if self.observed.pipeline.spec.suspend {
            decision.held = Some(Held::Suspended);
        }
        self.observed.pipeline.spec.suspend
    }

    fn is_continuous(&self) -> bool {
        self.observed.pipeline.spec.mode == Mode::Continuous
    }

    /// A running continuous update is stopped for a new definition, once that is known to be right.
    fn continuous_changed(&self, decision: &mut Decision) -> bool {
        let Some(active) = self.observed.active().filter(|_| self.is_continuous()) else { return false };
        let policy = self.observed.pipeline.spec.update_policy.on_change;
        let newest = self.newest(|update| update.spec.update_type == UpdateType::Update && !update.spec.selection.validate_only);
        if self.is_for_this_definition(newest) || policy == OnChange::None || self.is_unquiet(decision) {
            return true;
        }
        let validated = self.status(|status| status.validated_hash.clone()).is_some_and(|hash| hash == self.valid.hash);
        if validated && policy == OnChange::Update {
            if active.spec.cancel == Cancel::None {
                decision.actions.push(Action::Stop(active.clone(), Cancel::Graceful));
            }
        } else if !self.is_for_this_definition(self.newest(|_| true)) {
            decision.start(Start { spec: self.validation(), scheduled_at: None });
        }
        true
    }

    /// A continuous Pipeline has a live update, unless a person stopped it.
    fn continuous_stopped(&self, decision: &mut Decision) -> bool {
        if !self.is_continuous() {
            return false;
        }
        if self.observed.active().is_some() || self.observed.queued().any(|update| !update.spec.selection.validate_only) {
            return true;
        }
        let newest = self.newest(|update| update.spec.update_type == UpdateType::Update && !update.spec.selection.validate_only);
        let starts_on_change = self.observed.pipeline.spec.update_policy.on_change == OnChange::Update;
        let Some(last) = newest else { return !starts_on_change && self.continuous_begins(decision) };
        if starts_on_change && last.spec.definition_hash != self.valid.hash {
            if !self.is_unquiet(decision) {
                decision.start(Start { spec: self.spec(Cause::SchemaChange), scheduled_at: None });
            }
            return true;
        }
        match state(last) {
            Some(UpdateState::Canceled) => {}
            Some(UpdateState::Failed) => {
                let failures = self.status(|status| status.consecutive_failures).unwrap_or(1);
                let ended = last.status.as_ref().and_then(|status| status.end_time.clone()).map_or(self.observed.now, |end| end.0);
                let due = ended.saturating_add(backoff(self.observed, failures)).unwrap_or(ended);
                if due > self.observed.now {
                    decision.look_again(due);
                } else {
                    decision.start(Start { spec: self.spec(Cause::ApiCall), scheduled_at: None });
                }
            }
            _ => decision.start(Start { spec: self.spec(Cause::ApiCall), scheduled_at: None }),
        }
        true
    }

    /// The first update of a Pipeline that does not start at changes. One whose updates someone deleted has had it.
    fn continuous_begins(&self, decision: &mut Decision) -> bool {
        if self.status(|status| status.last_update.clone()).is_none() && !self.is_unquiet(decision) {
            decision.start(Start { spec: self.spec(Cause::ApiCall), scheduled_at: None });
        }
        true
    }

    /// ConfigMaps and Tables changed so shortly ago that more may follow.
    fn is_unquiet(&self, decision: &mut Decision) -> bool {
        let has_sources = !self.observed.config_maps.is_empty() || self.observed.manifest_tables().next().is_some();
        let quiet = SignedDuration::from_secs(i64::from(self.observed.pipeline.spec.update_policy.debounce_seconds));
        let until = self.observed.quiet_since.saturating_add(quiet).unwrap_or(self.observed.now);
        let wait = has_sources && until > self.observed.now;
        if wait {
            decision.look_again(until);
        }
        wait
    }

    /// The definition is not that of the last update or validation.
    fn changed(&self, decision: &mut Decision) -> bool {
        let policy = self.observed.pipeline.spec.update_policy.on_change;
        if policy == OnChange::None || self.is_for_this_definition(self.newest(|update| answers_change(update, policy))) {
            return false;
        }
        // People may delete every update: then the status remembers.
        let remembered = self.status(|status| status.definition_hash.clone()).is_some_and(|hash| hash == self.valid.hash)
            && self.status(|status| status.last_update.clone()).is_some()
            && self.observed.updates.is_empty();
        if remembered || self.is_unquiet(decision) {
            return false;
        }
        let outdated = self.observed.queued().filter(|update| {
            !update.spec.definition_hash.is_empty() && update.spec.cancel == Cancel::None && update.spec.update_type == UpdateType::Update
        });
        decision.actions.extend(outdated.map(|update| Action::Stop(update.clone(), Cancel::Graceful)));
        let spec = if policy == OnChange::Validate { self.validation() } else { self.spec(Cause::ApiCall) };
        decision.start(Start { spec, scheduled_at: None });
        true
    }

    /// An update for a new definition waits behind a long one: whether the definition is right is told at once.
    fn waits_for_validation(&self, decision: &mut Decision) -> bool {
        if self.observed.pipeline.spec.update_policy.on_change != OnChange::Update || self.observed.active().is_none() {
            return false;
        }
        let known = self.status(|status| status.validated_hash.clone()).is_some_and(|hash| hash == self.valid.hash);
        let waits =
            self.observed.queued().any(|update| update.spec.definition_hash == self.valid.hash && update.spec.cancel == Cancel::None);
        let asked = |update: &Arc<PipelineUpdate>| update.spec.selection.validate_only && update.spec.definition_hash == self.valid.hash;
        if known || !waits || self.observed.updates.iter().any(asked) {
            return false;
        }
        decision.start(Start { spec: self.validation(), scheduled_at: None });
        true
    }

    /// The next instant is kept in the status: one that is not of this schedule is forgotten, as all are while nothing starts by itself.
    fn announced(&self) -> Option<Timestamp> {
        let table = self.valid.timetable.as_ref()?;
        let announced = self.status(|status| status.next_schedule_time.clone())?.0;
        let before = announced.saturating_sub(SignedDuration::from_millis(1)).ok()?;
        table.next(before).filter(|next| *next == announced)
    }

    fn announce_schedule(&self, decision: &mut Decision) {
        let Some(table) = self.valid.timetable.as_ref().filter(|_| !self.observed.pipeline.spec.suspend) else { return };
        decision.next_schedule = self.announced().or_else(|| table.next(self.observed.now));
        if let Some(next) = decision.next_schedule {
            decision.look_again(next.max(self.observed.now));
        }
    }

    fn scheduled(&self, decision: &mut Decision) -> bool {
        let (Some(table), Some(next)) = (&self.valid.timetable, decision.next_schedule) else { return false };
        if next > self.observed.now {
            return false;
        }
        let before = next.saturating_sub(SignedDuration::from_millis(1)).unwrap_or(next);
        let due = table.due(before, self.observed.now);
        decision.missed = due.dropped;
        let Some(instant) = due.instants.first().copied() else {
            decision.next_schedule = due.newest.and_then(|newest| table.next(newest));
            return false;
        };
        decision.scheduled = Some(instant);
        decision.next_schedule = table.next(instant);
        let made_for = instant.to_string();
        let exists = |update: &Arc<PipelineUpdate>| update.annotations().get(labels::SCHEDULED_AT).is_some_and(|at| *at == made_for);
        if !self.observed.updates.iter().any(exists) {
            decision.start(Start { spec: self.spec(Cause::ApiCall), scheduled_at: Some(instant) });
        }
        true
    }

    /// Optimize and vacuum, once there is something to care for and nothing waits.
    fn maintenance(&self, decision: &mut Decision) -> bool {
        let maintenance = &self.observed.pipeline.spec.maintenance;
        // A continuous update never ends by itself, so maintenance would wait for ever.
        if maintenance.suspend || self.is_continuous() || self.status(|status| status.last_successful_update.clone()).is_none() {
            return false;
        }
        let every = SignedDuration::from_secs(i64::from(maintenance.every_seconds));
        let made =
            |update: &Arc<PipelineUpdate>| (update.spec.update_type == UpdateType::Maintenance).then(|| update.creation_timestamp())?;
        let newest = self.observed.updates.iter().rev().find_map(made).map(|time| time.0);
        let last = newest.max(self.status(|status| status.last_maintenance_time.clone()).map(|time| time.0));
        let since = last.or_else(|| self.observed.pipeline.creation_timestamp().map(|time| time.0)).unwrap_or(self.observed.now);
        let due = since.saturating_add(every).unwrap_or(since);
        if due > self.observed.now {
            decision.look_again(due);
            return false;
        }
        if self.observed.queued().next().is_some() {
            return false;
        }
        let spec = PipelineUpdateSpec { update_type: UpdateType::Maintenance, ..self.spec(Cause::InfrastructureMaintenance) };
        decision.start(Start { spec, scheduled_at: None });
        true
    }
}

/// The wait after `failures` failures in a row of a continuous Pipeline.
fn backoff(observed: &Observed, failures: i32) -> SignedDuration {
    let policy = &observed.pipeline.spec.retry_policy;
    let doubled = i64::from(policy.min_backoff_seconds).saturating_mul(1_i64 << failures.clamp(1, 31).saturating_sub(1));
    SignedDuration::from_secs(doubled.min(i64::from(policy.max_backoff_seconds)))
}

/// True if the update was made for a definition. A validation does not stand for the update that a change wants.
pub fn answers_change(update: &PipelineUpdate, policy: OnChange) -> bool {
    let is_wanted = policy == OnChange::Validate || !update.spec.selection.validate_only;
    !update.spec.definition_hash.is_empty() && update.spec.update_type == UpdateType::Update && is_wanted
}
