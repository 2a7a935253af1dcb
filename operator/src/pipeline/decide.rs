//! When an update starts, and why not: lists of named checks. Each that applies says what happens, why, and when to look again. Pure.

use std::{sync::Arc, time::Duration};

use floe_crds::{
    condition::Reason,
    pipeline::{Mode, OnChange, PipelineStatus},
    pipeline_update::{Cancel, PipelineUpdate, PipelineUpdateSpec, UpdateType},
    state::{Cause, UpdateState},
    update::UpdateSelection,
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::{
    cleanup, conditions, continuous, history,
    observe::Observed,
    schedule::{self, Schedule},
    validate::{Refusal, Valid, Verdict},
};
use crate::{
    clock::whole_seconds,
    controller::Next,
    labels,
    updates::{self, refreshes, state},
};

/// What comes of a look at a Pipeline.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What happens about its updates, or why nothing does.
    pub outcome: Outcome,
    /// How far its schedule is after this look.
    pub schedule: Schedule,
    /// Updates that are old and go.
    pub removes: Vec<Arc<PipelineUpdate>>,
    /// Look again at this time, if nothing happens before.
    pub again: Option<Timestamp>,
}

/// What a check says.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What happens.
    pub act: Act,
    /// Why: the word for machines.
    pub reason: Reason,
    /// Why: the sentence for people.
    pub message: String,
    /// Something else will be said at this time.
    pub again: Option<Timestamp>,
}

/// What happens about a Pipeline's updates.
#[derive(Clone, Debug)]
pub enum Act {
    /// Nothing: the Pipeline goes.
    Delete(cleanup::Step),
    /// Nothing, whatever happens: a person works on it.
    Pause,
    /// Nothing: the definition is wrong, or something is missing.
    Refuse,
    /// Nothing by itself.
    Suspend,
    /// A new one begins.
    Start(Box<Start>),
    /// This one shall stop, so that one for the changed definition can follow.
    Replace(Arc<PipelineUpdate>),
    /// The schedule moves on without an update.
    Skip,
    /// Nothing, and no further check is asked.
    Rest,
    /// Nothing because of this check; the next one is asked.
    Wait,
}

/// A new update.
#[derive(Clone, Debug)]
pub struct Start {
    /// What it is asked to do.
    pub spec: PipelineUpdateSpec,
    /// The instant of the schedule that it is for.
    pub scheduled_at: Option<Timestamp>,
    /// Those that wait for a definition that is outdated: they shall end.
    pub replaces: Vec<Arc<PipelineUpdate>>,
}

impl Outcome {
    /// This happens.
    pub fn new(act: Act, reason: Reason, message: impl Into<String>) -> Self {
        Self { act, reason, message: message.into(), again: None }
    }

    /// Nothing happens because of this; other checks may say more.
    pub fn wait(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Act::Wait, reason, message)
    }

    /// Nothing happens, and no other check has a word in it.
    pub fn rest(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Act::Rest, reason, message)
    }

    /// An update with this spec begins.
    pub fn start(spec: PipelineUpdateSpec, message: impl Into<String>) -> Self {
        Self::new(Act::Start(Box::new(Start { spec, scheduled_at: None, replaces: Vec::new() })), Reason::Progressing, message)
    }

    /// The same, until then.
    pub fn until(self, at: Timestamp) -> Self {
        Self { again: Some(at), ..self }
    }

    /// The same, and no other check has a word in it.
    pub fn resting(self) -> Self {
        Self { act: Act::Rest, ..self }
    }
}

impl Decision {
    fn only(outcome: Outcome) -> Self {
        Self { again: outcome.again, outcome, schedule: Schedule::default(), removes: Vec::new() }
    }

    /// When to look again.
    pub fn next(&self, now: Timestamp) -> Next {
        let wait = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
        self.again.map_or(Next::Settled, |at| Next::After(wait(at).max(Duration::from_millis(50))))
    }
}

/// What happens to the Pipeline's updates.
pub fn decide(observed: &Observed, verdict: &Verdict) -> Decision {
    if let Some(outcome) = deleted(observed, verdict).or_else(|| paused(observed)) {
        return Decision::only(outcome);
    }
    let mut decision = match verdict {
        Verdict::Refused(refusal) => Decision::only(refused(refusal)),
        Verdict::Waiting(refusal) => Decision::only(missing(observed, refusal)),
        Verdict::Valid(valid) => Look { observed, valid }.decision(),
    };
    let old = history::old(observed);
    decision.removes = old.removes;
    decision.again = decision.again.into_iter().chain(old.again).min();
    decision
}

fn deleted(observed: &Observed, verdict: &Verdict) -> Option<Outcome> {
    observed.is_deleted().then(|| cleanup::decide(observed, verdict))
}

fn paused(observed: &Observed) -> Option<Outcome> {
    (observed.annotation(labels::PAUSED) == Some("true")).then(|| {
        let message = format!("the annotation {} is set: nothing but the status is written", labels::PAUSED);
        Outcome::new(Act::Pause, Reason::Paused, message)
    })
}

fn refused(refusal: &Refusal) -> Outcome {
    Outcome::new(Act::Refuse, refusal.reason, "no update starts before the definition is accepted")
}

/// Something may come: until someone should look.
fn missing(observed: &Observed, refusal: &Refusal) -> Outcome {
    let outcome = Outcome::new(Act::Refuse, refusal.reason, format!("no update starts yet: {}", refusal.message));
    Outcome { again: conditions::patience_ends(observed, refusal), ..outcome }
}

/// What the checks of a valid Pipeline look at.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    pub observed: &'a Observed,
    pub valid: &'a Valid,
}

/// A check: what it says if it applies.
pub type Check = fn(&Look<'_>) -> Option<Outcome>;

/// Asked of every Pipeline, before those of its mode.
const ALWAYS: &[Check] = &[requested, suspended];
/// Asked of a Pipeline whose updates end by themselves.
const TRIGGERED: &[Check] = &[changed, waits_for_validation, busy, not_repeated, schedule::due, maintenance_due];

impl<'a> Look<'a> {
    fn decision(&self) -> Decision {
        let of_mode = if self.is_continuous() { continuous::CHECKS } else { TRIGGERED };
        let mut said = Vec::new();
        for outcome in ALWAYS.iter().chain(of_mode).filter_map(|check| check(self)) {
            let is_last = !matches!(outcome.act, Act::Wait);
            said.push(outcome);
            if is_last {
                break;
            }
        }
        let again = said.iter().filter_map(|outcome| outcome.again).min();
        // What acts is told; of all that is awaited, the first.
        let acts = said.pop_if(|last| !matches!(last.act, Act::Wait));
        let outcome = acts.or_else(|| said.into_iter().next()).unwrap_or_else(idle);
        let schedule = Schedule::after(self, &outcome.act);
        let again = again.into_iter().chain(schedule.next.map(|next| next.max(self.observed.now))).min();
        Decision { outcome, schedule, removes: Vec::new(), again }
    }

    /// The spec of an update of this definition.
    pub fn spec(&self, cause: Cause) -> PipelineUpdateSpec {
        PipelineUpdateSpec {
            pipeline: self.observed.key.name.clone(),
            cause,
            definition_hash: self.valid.hash.clone(),
            ..PipelineUpdateSpec::default()
        }
    }

    /// The spec of an update that only checks this definition.
    pub fn validation(&self) -> PipelineUpdateSpec {
        PipelineUpdateSpec { selection: UpdateSelection { validate_only: true, ..UpdateSelection::default() }, ..self.spec(Cause::ApiCall) }
    }

    /// A part of the status as it was before this look.
    pub fn status<T>(&self, part: impl Fn(&PipelineStatus) -> Option<T>) -> Option<T> {
        self.observed.pipeline.status.as_ref().and_then(part)
    }

    pub fn policy(&self) -> OnChange {
        self.observed.pipeline.spec.update_policy.on_change
    }

    fn is_continuous(&self) -> bool {
        self.observed.pipeline.spec.mode == Mode::Continuous
    }

    /// The newest update that was made for a definition.
    pub fn newest(&self, which: impl Fn(&PipelineUpdate) -> bool) -> Option<&'a Arc<PipelineUpdate>> {
        self.observed.updates.iter().rev().find(|update| !update.spec.definition_hash.is_empty() && which(update))
    }

    pub fn is_for_this_definition(&self, update: &PipelineUpdate) -> bool {
        update.spec.definition_hash == self.valid.hash
    }

    /// True if a runner found this definition right.
    pub fn is_validated(&self) -> bool {
        self.status(|status| status.validated_hash.clone()).is_some_and(|hash| hash == self.valid.hash)
    }

    /// People may delete every update: then the status remembers that this definition had one.
    pub fn is_remembered(&self) -> bool {
        self.status(|status| status.definition_hash.clone()).is_some_and(|hash| hash == self.valid.hash)
            && self.status(|status| status.last_update.clone()).is_some()
            && self.observed.updates.is_empty()
    }

    /// ConfigMaps and Tables changed so shortly ago that more may follow.
    pub fn unquiet(&self) -> Option<Outcome> {
        let has_sources = !self.observed.config_maps.is_empty() || self.observed.manifest_tables().next().is_some();
        let seconds = self.observed.pipeline.spec.update_policy.debounce_seconds;
        let quiet = SignedDuration::from_secs(i64::from(seconds));
        let until = self.observed.quiet_since.saturating_add(quiet).unwrap_or(self.observed.now);
        (has_sources && until > self.observed.now).then(|| {
            let message = format!(
                "ConfigMaps or Tables changed shortly ago: an update starts after {seconds} s of quiet (updatePolicy.debounceSeconds), at {}",
                whole_seconds(until)
            );
            Outcome::wait(Reason::Progressing, message).until(until)
        })
    }

    /// The update, or the validation, that a change of the definition wants.
    pub fn start_for_change(&self, cause: Cause) -> Outcome {
        let is_outdated = |update: &&Arc<PipelineUpdate>| {
            !update.spec.definition_hash.is_empty() && update.spec.cancel == Cancel::None && update.spec.update_type == UpdateType::Update
        };
        let replaces = self.observed.queued().filter(is_outdated).cloned().collect();
        let spec = if self.policy() == OnChange::Validate { self.validation() } else { self.spec(cause) };
        let start = Start { spec, scheduled_at: None, replaces };
        Outcome::new(Act::Start(Box::new(start)), Reason::Progressing, "an update starts: the definition is new")
    }
}

/// Someone asked for an update, also while the Pipeline is suspended.
fn requested(look: &Look<'_>) -> Option<Outcome> {
    let request = look.observed.annotation(labels::UPDATE_REQUESTED_AT).filter(|request| !request.is_empty())?;
    let request = floe_crds::text::cut(request, 253);
    let handled = look.status(|status| status.last_handled_update_request.clone()).is_some_and(|handled| handled == request);
    let exists = look.observed.updates.iter().any(|update| update.spec.request_id == request);
    (!handled && !exists).then(|| {
        let spec = PipelineUpdateSpec { request_id: request.to_string(), ..look.spec(Cause::UserAction) };
        Outcome::start(spec, format!("an update starts: the annotation {} asks for it", labels::UPDATE_REQUESTED_AT))
    })
}

fn suspended(look: &Look<'_>) -> Option<Outcome> {
    let is_suspended = look.observed.pipeline.spec.suspend;
    is_suspended.then(|| Outcome::new(Act::Suspend, Reason::Suspended, "spec.suspend is set: no update starts by itself"))
}

/// The definition is not that of the last update or validation.
fn changed(look: &Look<'_>) -> Option<Outcome> {
    let policy = look.policy();
    let answered = look.newest(|update| answers_change(update, policy)).is_some_and(|update| look.is_for_this_definition(update));
    if answered || look.is_remembered() {
        return None;
    }
    if policy == OnChange::None {
        let message = "updatePolicy.onChange is None: this definition counts from the next update on";
        return Some(Outcome::wait(Reason::Idle, message));
    }
    Some(look.unquiet().unwrap_or_else(|| look.start_for_change(Cause::ApiCall)))
}

/// An update for a new definition waits behind a long one: whether the definition is right is told at once.
fn waits_for_validation(look: &Look<'_>) -> Option<Outcome> {
    let active = look.observed.active().filter(|_| look.policy() == OnChange::Update && !look.is_validated())?;
    let mut queued = look.observed.queued().filter(|update| look.is_for_this_definition(update) && update.spec.cancel == Cancel::None);
    let waits = queued.next()?.name_any();
    let mut asked = look.observed.updates.iter();
    if asked.any(|update| update.spec.selection.validate_only && look.is_for_this_definition(update)) {
        return None;
    }
    let message = format!("a validation starts: update {waits} waits for the end of {}", active.name_any());
    Some(Outcome::start(look.validation(), message))
}

/// Updates are under way. Others may join their queue.
fn busy(look: &Look<'_>) -> Option<Outcome> {
    if let Some(active) = look.observed.active() {
        return Some(Outcome::wait(Reason::Running, format!("update {} is under way", active.name_any())));
    }
    let mut open = look.observed.updates.iter().filter(|update| !updates::is_terminal(update));
    open.next().map(|queued| Outcome::wait(Reason::Queued, format!("update {} has not ended", queued.name_any())))
}

/// The newest update did not end well, and only a change would help, or a person stopped it.
fn not_repeated(look: &Look<'_>) -> Option<Outcome> {
    let newest = look.observed.updates.iter().rev().find(|update| refreshes(update))?;
    let (reason, how) = match state(newest)? {
        UpdateState::Failed => (Reason::UpdateFailed, "failed"),
        UpdateState::Canceled => (Reason::UpdateCanceled, "was canceled"),
        _ => return None,
    };
    let follows =
        if look.valid.timetable.is_some() { "the next change, request or instant of the schedule" } else { "the next change or request" };
    Some(Outcome::wait(reason, format!("update {} {how} and is not repeated: {follows} starts one", newest.name_any())))
}

/// Optimize and vacuum, once there is something to care for and nothing waits. A continuous update never ends by itself, so there it would wait for ever.
fn maintenance_due(look: &Look<'_>) -> Option<Outcome> {
    let observed = look.observed;
    let maintenance = &observed.pipeline.spec.maintenance;
    let succeeded = |update: &Arc<PipelineUpdate>| refreshes(update) && state(update) == Some(UpdateState::Completed);
    let has_data = look.status(|status| status.last_successful_update.clone()).is_some() || observed.updates.iter().any(succeeded);
    if maintenance.suspend || !has_data {
        return None;
    }
    let every = SignedDuration::from_secs(i64::from(maintenance.every_seconds));
    let made = |update: &Arc<PipelineUpdate>| (update.spec.update_type == UpdateType::Maintenance).then(|| update.creation_timestamp())?;
    let newest = observed.updates.iter().rev().find_map(made).map(|time| time.0);
    let last = newest.max(look.status(|status| status.last_maintenance_time.clone()).map(|time| time.0));
    let since = last.or_else(|| observed.pipeline.creation_timestamp().map(|time| time.0)).unwrap_or(observed.now);
    let due = since.saturating_add(every).unwrap_or(since);
    if due > observed.now {
        return Some(Outcome::wait(Reason::Idle, format!("nothing is due before the maintenance at {}", whole_seconds(due))).until(due));
    }
    if let Some(queued) = observed.queued().next() {
        let message = format!("maintenance is due and waits until {} has begun", queued.name_any());
        return Some(Outcome::wait(Reason::Queued, message));
    }
    let spec = PipelineUpdateSpec { update_type: UpdateType::Maintenance, ..look.spec(Cause::InfrastructureMaintenance) };
    Some(Outcome::start(spec, "an update of type Maintenance starts: it is due"))
}

fn idle() -> Outcome {
    Outcome::rest(Reason::Idle, "nothing is due: the next change or request starts an update")
}

/// True if the update was made for a definition. A validation does not stand for the update that a change wants.
pub fn answers_change(update: &PipelineUpdate, policy: OnChange) -> bool {
    let is_wanted = policy == OnChange::Validate || !update.spec.selection.validate_only;
    !update.spec.definition_hash.is_empty() && update.spec.update_type == UpdateType::Update && is_wanted
}
