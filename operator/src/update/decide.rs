//! What an update needs now: a list of checks, the first that applies decides. Pure.

use std::time::Duration;

use floe_crds::{
    condition::{self, ConditionType, Reason},
    pipeline::{Mode, RetryPolicy},
    pipeline_update::{Cancel, Retries},
    state::UpdateState,
};
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::PodTemplateSpec, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::ResourceExt;

use super::{
    observe::{Observation, Observed},
    queued,
};
use crate::{
    attempt::{
        Refused,
        end::{End, Verdict, is_disrupted, is_over, newest_pod, verdict},
        pod_template,
        retry::{Sequel, after},
        waiting::{Wait, is_silent, wait},
    },
    clock::whole_seconds,
    owner,
    settings::Settings,
    updates,
};

/// A missing object may come; if it has not after this time, someone should look.
const MAY_COME: Duration = Duration::from_mins(10);

/// What an update needs now.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing: it has ended, or is being deleted.
    Rest,
    /// It was made by hand and shall go with its Pipeline: this becomes its owner.
    Adopt(Box<OwnerReference>),
    /// It waits for something before its next attempt.
    Wait(Waiting),
    /// It ends as the update of this name does.
    Coalesce(String),
    /// It ends without another attempt.
    End(Ending),
    /// The attempt of this number starts in pods of this template.
    Start(i32, Box<PodTemplateSpec>),
    /// The attempt is under way.
    Follow(Following),
    /// The attempt has ended.
    Ended {
        /// How.
        end: Box<End>,
        /// What follows.
        sequel: Sequel,
        /// The counts with this end.
        retries: Retries,
    },
}

/// Why it waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// The word of the conditions.
    pub reason: Reason,
    /// The sentence for people.
    pub message: String,
    /// Something must be changed before it can go on.
    pub is_stuck: bool,
    /// It is not accepted as it is.
    pub is_refused: bool,
    /// Its turn has come: what it waits for is a place for its pod.
    pub has_turn: bool,
    /// To look again after this time, if nothing happens before.
    pub again: Option<Duration>,
}

impl Waiting {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), is_stuck: false, is_refused: false, has_turn: false, again: None }
    }

    pub fn again(self, delay: Duration) -> Self {
        Self { again: Some(delay), ..self }
    }

    pub fn in_turn(self) -> Self {
        Self { has_turn: true, ..self }
    }
}

/// The end of an update that was not that of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    pub state: UpdateState,
    pub reason: Reason,
    pub message: String,
    /// When, if not now.
    pub at: Option<Timestamp>,
}

/// How an attempt goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Following {
    pub state: UpdateState,
    pub reason: Reason,
    pub message: String,
    /// How it shall be stopped.
    pub stop: Cancel,
    /// People should hear of what it waits for.
    pub is_news: bool,
    pub again: Option<Duration>,
}

/// The pods of the pipeline, if there is one; or what is wrong with its definition.
pub fn validate(settings: &Settings, seen: &Observed) -> Option<Result<PodTemplateSpec, Refused>> {
    let pipeline = seen.pipeline.as_ref().filter(|_| !seen.is_over() && seen.attempt.is_none())?;
    Some(pod_template(settings, pipeline))
}

type Template = Option<Result<PodTemplateSpec, Refused>>;

/// What the update needs now.
pub fn decide(seen: &Observed, template: &Template) -> Decision {
    if seen.is_over() {
        return Decision::Rest;
    }
    if let Some(owner) = adopted(seen) {
        return Decision::Adopt(Box::new(owner));
    }
    if let Some(attempt) = &seen.attempt {
        return follow(seen, attempt);
    }
    let checks = [canceled, coalesced, queue_full, backing_off, equal_one_waits, not_first, pipeline_missing, pipeline_unfit];
    if let Some(decision) = checks.iter().find_map(|check| check(seen)) {
        return decision;
    }
    match template {
        Some(Ok(template)) => Decision::Start(seen.status.attempt.unwrap_or_default() + 1, Box::new(template.clone())),
        Some(Err(refused)) => {
            Decision::Wait(Waiting { is_stuck: true, is_refused: true, ..Waiting::new(refused.reason, refused.to_string()) })
        }
        None => Decision::Rest,
    }
}

/// The owner of an update that has none.
fn adopted(seen: &Observed) -> Option<OwnerReference> {
    let pipeline = seen.pipeline.as_ref().filter(|_| !seen.is_pipeline_deleted() && !seen.is_paused())?;
    owner::controller(seen.update.as_ref()).is_none().then(|| owner::reference(pipeline.as_ref()))
}

fn canceled(seen: &Observed) -> Option<Decision> {
    let hash = &seen.update.spec.definition_hash;
    let replaced = !hash.is_empty()
        && seen.status.attempt.is_none()
        && seen.updates.iter().any(|other| {
            !other.spec.definition_hash.is_empty() && other.spec.definition_hash != *hash && queued::order(&seen.update, other).is_lt()
        });
    let (reason, message) = if replaced {
        (Reason::Superseded, "a newer definition took its place before it began")
    } else if seen.is_pipeline_deleted() {
        (Reason::UpdateCanceled, "canceled with its Pipeline, which was deleted")
    } else if seen.status.attempt.is_none() {
        (Reason::UpdateCanceled, "canceled before it began")
    } else {
        (Reason::UpdateCanceled, "canceled before the next attempt")
    };
    seen.is_canceled().then(|| Decision::End(Ending { state: UpdateState::Canceled, reason, message: message.to_string(), at: None }))
}

/// What is coalesced ends with the other, whatever its end. If the other was deleted, it goes its own way again.
fn coalesced(seen: &Observed) -> Option<Decision> {
    let into = seen.status.coalesced_into.as_ref()?;
    let other = seen.updates.iter().find(|other| other.name_any() == *into)?;
    let status = other.status.as_ref();
    let ended = status.and_then(|status| status.state.filter(|state| state.is_terminal()));
    let Some(state) = ended else { return Some(Decision::Coalesce(into.clone())) };
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let word = condition::find(conditions, ConditionType::Succeeded).map(|succeeded| succeeded.reason.as_str());
    let reason = word.and_then(Reason::parse).unwrap_or(Reason::Coalesced);
    let message = status.and_then(|status| status.message.clone()).unwrap_or_default();
    let at = status.and_then(|status| status.end_time.as_ref()).map(|at| at.0);
    Some(Decision::End(Ending { state, reason, message: format!("as {into}: {message}"), at }))
}

fn queue_full(seen: &Observed) -> Option<Decision> {
    (seen.status.state.is_none() && queued::is_full(&seen.update, &seen.updates)).then(|| {
        let message = format!("[QUEUE_FULL] {} updates of the pipeline wait already; ask again when some have ended", queued::MAX_QUEUED);
        Decision::End(Ending { state: UpdateState::Failed, reason: Reason::UpdateFailed, message, at: None })
    })
}

fn backing_off(seen: &Observed) -> Option<Decision> {
    let last = seen.status.attempts.last()?;
    let at = last.next_attempt_time.as_ref()?.0;
    let left = Duration::try_from(at.duration_since(seen.now)).ok().filter(|left| !left.is_zero())?;
    let message = format!("attempt {} follows at {}: {}", last.number + 1, whole_seconds(at), last.message.clone().unwrap_or_default());
    Some(Decision::Wait(Waiting::new(Reason::Retrying, message).again(left)))
}

fn has_begun(seen: &Observed) -> bool {
    !matches!(seen.status.state, None | Some(UpdateState::Queued))
}

fn equal_one_waits(seen: &Observed) -> Option<Decision> {
    let other = queued::equal_one(&seen.update, &seen.updates).filter(|_| !has_begun(seen))?;
    Some(Decision::Coalesce(other.name_any()))
}

fn not_first(seen: &Observed) -> Option<Decision> {
    if has_begun(seen) || !updates::writes(&seen.update) {
        return None;
    }
    let position = queued::position(&seen.update, &seen.updates);
    let active = queued::active(&seen.update, &seen.updates);
    let message = match active {
        Some(active) => format!("waits for the end of {} (place {position})", active.name_any()),
        None if position > 1 => format!("waits for its turn (place {position})"),
        None => return None,
    };
    Some(Decision::Wait(Waiting::new(Reason::Queued, message)))
}

fn pipeline_missing(seen: &Observed) -> Option<Decision> {
    let name = &seen.update.spec.pipeline;
    seen.pipeline.is_none().then(|| {
        let message = format!("there is no Pipeline {name} in this namespace; create it or delete this update");
        Decision::Wait(Waiting { is_refused: true, ..missing(seen, Waiting::new(Reason::PipelineNotFound, message)) })
    })
}

/// Waits for an object that may come.
pub fn missing(seen: &Observed, waiting: Waiting) -> Waiting {
    let waited = seen.update.creation_timestamp().and_then(|at| Duration::try_from(seen.now.duration_since(at.0)).ok()).unwrap_or_default();
    match MAY_COME.checked_sub(waited) {
        Some(left) if !left.is_zero() => {
            let again = waiting.again.map_or(left, |again| again.min(left));
            waiting.again(again)
        }
        _ => Waiting { is_stuck: true, ..waiting },
    }
}

/// Nothing starts for a pipeline that is paused or was found wrong; nor before it was looked at.
fn pipeline_unfit(seen: &Observed) -> Option<Decision> {
    let pipeline = seen.pipeline.as_ref()?;
    if seen.is_paused() {
        return Some(Decision::Wait(Waiting::new(Reason::Paused, "the Pipeline is paused: nothing starts")));
    }
    let conditions = pipeline.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let accepted = condition::find(conditions, ConditionType::Accepted)
        .filter(|accepted| accepted.observed_generation == pipeline.metadata.generation && accepted.status != "Unknown");
    match accepted {
        None => Some(Decision::Wait(Waiting::new(Reason::Pending, "the Pipeline is being checked"))),
        Some(accepted) if accepted.status == "False" => {
            let reason = Reason::parse(&accepted.reason).unwrap_or(Reason::InvalidSpec);
            let wait = Waiting::new(reason, format!("the Pipeline is not accepted: {}", accepted.message));
            Some(Decision::Wait(Waiting { is_stuck: true, is_refused: true, ..wait }))
        }
        Some(_) => None,
    }
}

/// The attempt goes on, or has ended.
fn follow(seen: &Observed, attempt: &Observation) -> Decision {
    let remains = attempt.remains(seen.is_canceled());
    match verdict(&remains, seen.now) {
        Verdict::Ended(end) => ended(seen, attempt, end),
        Verdict::EndingIn(wait) => {
            let following = following(seen, attempt, None);
            Decision::Follow(Following { again: Some(wait), ..following })
        }
        Verdict::Alive => {
            let waits = attempt.job.as_ref().and_then(|job| wait(job, &attempt.pods, attempt.refusal.as_deref(), seen.now));
            match waits {
                Some(Wait { given_up: Some(end), .. }) if !seen.is_canceled() => ended(seen, attempt, end),
                waits => Decision::Follow(following(seen, attempt, waits)),
            }
        }
    }
}

fn ended(seen: &Observed, attempt: &Observation, end: Box<End>) -> Decision {
    let (policy, mode) = seen
        .pipeline
        .as_ref()
        .map_or((RetryPolicy::default(), Mode::Triggered), |pipeline| (pipeline.spec.retry_policy.clone(), pipeline.spec.mode));
    let retries = seen.status.retries.clone().unwrap_or_default();
    let identity = format!("{} {}", seen.update.uid().unwrap_or_default(), attempt.number);
    let (sequel, retries) = after(&end, &retries, &policy, mode, &identity);
    Decision::Ended { end, sequel, retries }
}

fn following(seen: &Observed, attempt: &Observation, waits: Option<Wait>) -> Following {
    let stop = seen.stop();
    let again = waits.as_ref().and_then(|waits| waits.again);
    let is_news = waits.as_ref().is_some_and(|waits| waits.is_news);
    let state = state_of(seen, attempt, waits.is_some());
    let (reason, message) = match waits {
        _ if stop != seen.update.spec.cancel => (Reason::Terminating, "is being stopped, because its Pipeline was deleted".to_string()),
        _ if stop != Cancel::None => (Reason::Terminating, "is being stopped on request".to_string()),
        Some(waits) => (waits.reason, waits.message),
        None if is_silent(&attempt.pods, attempt.report.as_ref().map(|report| &report.spec), seen.now) => {
            (Reason::RunnerNotReporting, "the pod runs, but its runner has not reported for two minutes; it is left alone".to_string())
        }
        None if state == UpdateState::WaitingForResources => (Reason::Pending, "waits for its pod".to_string()),
        None => (Reason::Running, format!("attempt {} is {state}", attempt.number)),
    };
    Following { state, reason, message, stop, is_news, again }
}

/// The state of the update as its runner tells it, as far as it may be told before the attempt has ended.
fn state_of(seen: &Observed, attempt: &Observation, waits: bool) -> UpdateState {
    use UpdateState::{Created, Initializing, Queued, Running, Stopping, WaitingForResources};
    let before = seen.status.state.unwrap_or(WaitingForResources);
    let has_run = !matches!(before, Queued | Created | WaitingForResources);
    if seen.is_canceled() {
        return if has_run { Stopping } else { WaitingForResources };
    }
    let pod = newest_pod(&attempt.pods);
    if waits || pod.is_none_or(|pod| is_disrupted(pod) || is_over(pod) && !has_run) {
        return WaitingForResources;
    }
    let uid = pod.and_then(|pod| pod.uid());
    let told = attempt.report.as_ref().filter(|report| Some(&report.spec.pod_uid) == uid.as_ref()).and_then(|report| report.spec.state);
    match told {
        // That it stops without having been asked is the matter of its node; that it has ended is for the exit code to say.
        Some(state) if state.is_terminal() || state == Stopping => {
            if has_run {
                before
            } else {
                Running
            }
        }
        Some(Queued | Created | WaitingForResources) | None => {
            if has_run {
                before
            } else {
                Initializing
            }
        }
        Some(state) => state,
    }
}
