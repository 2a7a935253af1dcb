//! A continuous Pipeline has one live update, unless a person stopped it: the checks that keep it so. Pure.

use std::sync::Arc;

use floe_crds::{
    condition::Reason,
    pipeline::OnChange,
    pipeline_update::{Cancel, PipelineUpdate},
    state::{Cause, UpdateState},
};
use jiff::SignedDuration;
use kube::ResourceExt;

use super::{
    decide::{Act, Check, Look, Outcome},
    observe::Observed,
};
use crate::{
    clock::whole_seconds,
    labels,
    updates::{self, refreshes, state},
};

/// Each that applies is the last one.
pub const CHECKS: &[Check] = &[lives, is_queued, begins, follows_change, comes_again];

/// The live update goes on. For a changed definition it is stopped, once that is known to be right.
fn lives(look: &Look<'_>) -> Option<Outcome> {
    let active = look.observed.active()?;
    let name = active.name_any();
    if look.newest(refreshes).is_some_and(|newest| look.is_for_this_definition(newest)) {
        return Some(Outcome::rest(Reason::Running, format!("update {name} is under way")));
    }
    let goes_on = |why: &str| Outcome::rest(Reason::Running, format!("update {name} goes on with the definition before: {why}"));
    if look.policy() == OnChange::None {
        return Some(goes_on("updatePolicy.onChange is None"));
    }
    if let Some(unquiet) = look.unquiet() {
        return Some(unquiet.resting());
    }
    if !look.is_validated() {
        return Some(checks_change(look, &name));
    }
    Some(match look.policy() {
        OnChange::Update if active.spec.cancel == Cancel::None => {
            let message = format!("update {name} is stopped, so that one for the changed definition can follow");
            Outcome::new(Act::Replace(active.clone()), Reason::Progressing, message)
        }
        OnChange::Update => {
            Outcome::rest(Reason::Terminating, format!("update {name} is being stopped; one for the changed definition follows"))
        }
        _ => goes_on("updatePolicy.onChange is Validate"),
    })
}

/// The changed definition is checked beside the live update.
fn checks_change(look: &Look<'_>, live: &str) -> Outcome {
    let Some(check) = look.newest(|_| true).filter(|newest| look.is_for_this_definition(newest)) else {
        return Outcome::start(look.validation(), format!("a validation starts: the definition changed while update {live} is under way"));
    };
    if updates::is_terminal(check) {
        let message = format!("update {live} goes on with the definition before: {} did not find the changed one right", check.name_any());
        return Outcome::rest(Reason::GraphInvalid, message);
    }
    Outcome::rest(Reason::Validating, format!("update {} checks the changed definition, {live} goes on meanwhile", check.name_any()))
}

fn is_queued(look: &Look<'_>) -> Option<Outcome> {
    let queued = look.observed.queued().find(|update| updates::writes(update))?;
    Some(Outcome::rest(Reason::Queued, format!("update {} waits for its turn", queued.name_any())))
}

/// The first update. A Pipeline whose updates someone deleted has had it.
fn begins(look: &Look<'_>) -> Option<Outcome> {
    if look.newest(refreshes).is_some() {
        return None;
    }
    let starts_on_change = look.policy() == OnChange::Update;
    let has_begun = if starts_on_change { look.is_remembered() } else { look.status(|status| status.last_update.clone()).is_some() };
    if has_begun {
        let message = "its updates were deleted: the next change or request starts one";
        return Some(Outcome::rest(Reason::Idle, message));
    }
    if let Some(unquiet) = look.unquiet() {
        return Some(unquiet.resting());
    }
    let alone = || Outcome::start(look.spec(Cause::ApiCall), "an update starts: the Pipeline is continuous and has none");
    Some(if starts_on_change { look.start_for_change(Cause::ApiCall) } else { alone() })
}

/// The update before has ended, and the definition is another one now.
fn follows_change(look: &Look<'_>) -> Option<Outcome> {
    look.newest(refreshes).filter(|last| look.policy() == OnChange::Update && !look.is_for_this_definition(last))?;
    Some(look.unquiet().map_or_else(|| look.start_for_change(Cause::SchemaChange), Outcome::resting))
}

/// What follows the update that ended: after a failure the next one in time, after a person's cancel none.
fn comes_again(look: &Look<'_>) -> Option<Outcome> {
    let last = look.newest(refreshes)?;
    let name = last.name_any();
    let again = |why: &str| Outcome::start(look.spec(Cause::ApiCall), format!("an update starts: {name} {why}"));
    Some(match state(last) {
        Some(UpdateState::Canceled) if last.annotations().contains_key(labels::SUPERSEDED) => {
            again("was stopped for a definition that is gone again")
        }
        Some(UpdateState::Canceled) => {
            Outcome::rest(Reason::UpdateCanceled, format!("update {name} was canceled: the next change or request starts one"))
        }
        Some(UpdateState::Failed) => backs_off(look, last).unwrap_or_else(|| again("failed")),
        _ => again("ended"),
    })
}

/// The time between a failure and the next update, longer with each failure in a row.
fn backs_off(look: &Look<'_>, failed: &Arc<PipelineUpdate>) -> Option<Outcome> {
    let failures = look.status(|status| status.consecutive_failures).unwrap_or(1);
    let ended = failed.status.as_ref().and_then(|status| status.end_time.clone()).map_or(look.observed.now, |end| end.0);
    let due = ended.saturating_add(backoff(look.observed, failures)).unwrap_or(ended);
    (due > look.observed.now).then(|| {
        let message = format!("update {} failed: the next one starts at {}", failed.name_any(), whole_seconds(due));
        Outcome::rest(Reason::Retrying, message).until(due)
    })
}

/// The wait after `failures` failures in a row.
fn backoff(observed: &Observed, failures: i32) -> SignedDuration {
    let policy = &observed.pipeline.spec.retry_policy;
    let doubled = i64::from(policy.min_backoff_seconds).saturating_mul(1_i64 << failures.clamp(1, 31).saturating_sub(1));
    SignedDuration::from_secs(doubled.min(i64::from(policy.max_backoff_seconds)))
}
