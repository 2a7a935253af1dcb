//! What is to be changed and deleted, and when to look again. Pure.

use std::{sync::Arc, time::Duration};

use floe_crds::{pipeline_update::Cancel, run_report::RunReport};
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1 as batch,
        core::v1::{ConfigMap, Pod},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{ResourceExt, core::PartialObjectMeta};

use super::{apply::Applied, decide::Decision, observe::Observed};
use crate::{
    attempt::{
        attempt_number,
        end::{is_over, job_end, newest_pod, runner_status},
    },
    controller::Next,
    labels, owner,
};

/// What is left of an attempt is kept so long after its end.
const KEPT: Duration = Duration::from_hours(1);
/// Time between SIGTERM and SIGKILL of an immediate end.
pub const IMMEDIATE_SECONDS: u32 = 5;
/// So often a runner that may have fallen silent is looked at.
const LISTEN: Duration = Duration::from_mins(1);

/// The time that containers beside the runner have to end after it.
const COMPANIONS_END: Duration = Duration::from_mins(1);

/// A change of the update or of what was made for it.
#[derive(Clone, Debug)]
pub enum Effect {
    /// The update gets this owner.
    Adopt(Box<OwnerReference>),
    /// The batch/v1 Job; its pods go after it.
    Job(Arc<batch::Job>),
    /// A pod, within seconds.
    Pod(Arc<Pod>),
    /// The request of an attempt that is over.
    Request(Arc<PartialObjectMeta<ConfigMap>>),
    /// The report of an attempt that is over.
    Report(Arc<RunReport>),
}

/// What is to be changed and deleted.
pub fn plan(seen: &Observed, decision: &Decision) -> Vec<Effect> {
    if seen.is_paused() || seen.update.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let mut effects = expired(seen);
    match decision {
        Decision::Adopt(owner) => effects.push(Effect::Adopt(owner.clone())),
        Decision::Follow(following) => effects.extend(stop(seen, following.stop)),
        // An attempt that was given up still has its batch/v1 Job.
        Decision::Rest => {
            let alive = seen.leftovers.jobs.iter().filter(|job| job_end(job).is_none() && job.metadata.deletion_timestamp.is_none());
            let alive = alive.filter(|job| !ends_by_itself(seen, job));
            effects.extend(alive.cloned().map(Effect::Job));
        }
        _ => {}
    }
    effects
}

/// True if the batch/v1 Job has a pod that started: its own end follows, and people want to see what it did.
fn ends_by_itself(seen: &Observed, job: &batch::Job) -> bool {
    let own = |pod: &&Arc<Pod>| owner::is_owned_by(pod.as_ref(), job);
    let phase = |pod: &Arc<Pod>| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    seen.leftovers.pods.iter().filter(own).any(|pod| matches!(phase(pod).as_str(), "Running" | "Succeeded" | "Failed"))
}

fn stop(seen: &Observed, how: Cancel) -> Vec<Effect> {
    let Some(attempt) = seen.attempt.as_ref().filter(|_| how != Cancel::None) else { return Vec::new() };
    let job = attempt.job.iter().filter(|job| job.metadata.deletion_timestamp.is_none() && job_end(job).is_none());
    let mut effects: Vec<Effect> = job.cloned().map(Effect::Job).collect();
    let patient = |pod: &&Arc<Pod>| pod.metadata.deletion_grace_period_seconds.is_none_or(|seconds| seconds > i64::from(IMMEDIATE_SECONDS));
    if how == Cancel::Immediate {
        effects.extend(attempt.pods.iter().filter(|pod| !is_over(pod)).filter(patient).cloned().map(Effect::Pod));
    }
    effects
}

/// When the leftovers of the attempt of this batch/v1 Job may go; `None` = not yet to be told.
fn expiry(seen: &Observed, job: &str, number: Option<i32>) -> Option<Timestamp> {
    let over = seen.is_over();
    let known = seen.status.attempts.iter().find(|attempt| attempt.job.as_deref() == Some(job));
    let newest = seen.status.attempt.unwrap_or_default();
    // The next attempt reads in what the last one left which flows it need not run again.
    if !over && number.is_none_or(|number| number >= newest) {
        return None;
    }
    let ended = match known {
        Some(attempt) => attempt.end_time.as_ref().map(|at| at.0),
        // It fell out of the list: it ended long ago.
        None => Some(Timestamp::UNIX_EPOCH),
    };
    let ended = ended.or_else(|| seen.status.end_time.as_ref().map(|at| at.0).filter(|_| over))?;
    ended.checked_add(KEPT).ok()
}

/// When the batch/v1 Job goes although it has not ended: the runner has, and that is written down, but another container of its pod goes on.
fn outlived(seen: &Observed, job: &batch::Job, number: Option<i32>) -> Option<Timestamp> {
    let mut attempts = seen.status.attempts.iter();
    let is_told = seen.is_over() || attempts.any(|attempt| Some(attempt.number) == number && attempt.end_time.is_some());
    let own = |pod: &&Arc<Pod>| owner::is_owned_by(pod.as_ref(), job);
    let pods: Vec<Arc<Pod>> = seen.leftovers.pods.iter().filter(own).cloned().collect();
    let pod = newest_pod(&pods).filter(|pod| is_told && job_end(job).is_none() && !is_over(pod))?;
    let runner = runner_status(pod)?.state.as_ref()?.terminated.as_ref()?;
    runner.finished_at.as_ref()?.0.checked_add(COMPANIONS_END).ok()
}

fn expired(seen: &Observed) -> Vec<Effect> {
    leftovers(seen).into_iter().filter(|(at, _)| *at <= seen.now).map(|(_, effect)| effect).collect()
}

/// What is left with the time at which it may go. Requests come before batch/v1 Jobs: as long as the Job is there, its request is found.
fn leftovers(seen: &Observed) -> Vec<(Timestamp, Effect)> {
    let number = |labels: Option<&String>| labels.and_then(|number| number.parse::<i32>().ok());
    let mut found = Vec::new();
    for request in &seen.leftovers.requests {
        let name = request.name_any();
        let job = name.strip_suffix("-request").unwrap_or(&name).to_string();
        let at = expiry(seen, &job, number(request.labels().get(labels::ATTEMPT)));
        found.extend(at.map(|at| (at, Effect::Request(request.clone()))));
    }
    for report in seen.leftovers.reports.iter().filter(|report| Some(report.name_any()) != seen.leftovers.kept_report) {
        let name = report.name_any();
        // The name tells, not the status: an attempt may run that an operator made and died before it wrote that down.
        let at = expiry(seen, &name, attempt_number(&name).or(Some(0)));
        found.extend(at.map(|at| (at, Effect::Report(report.clone()))));
    }
    for job in seen.leftovers.jobs.iter().filter(|job| job.metadata.deletion_timestamp.is_none()) {
        let number = number(job.labels().get(labels::ATTEMPT));
        let at = expiry(seen, &job.name_any(), number).into_iter().chain(outlived(seen, job, number)).min();
        found.extend(at.map(|at| (at, Effect::Job(job.clone()))));
    }
    found
}

/// When to look again.
pub fn next(seen: &Observed, decision: &Decision, applied: &Applied) -> Next {
    let again = match decision {
        Decision::Wait(waiting) => waiting.again,
        Decision::Follow(following) => Some(following.again.map_or(LISTEN, |again| again.min(LISTEN))),
        Decision::Ended { .. } => Some(Duration::ZERO),
        _ => None,
    };
    let expires = leftovers(seen).into_iter().map(|(at, _)| at).filter(|at| *at > seen.now).min();
    let expires = expires.and_then(|at| Duration::try_from(at.duration_since(seen.now)).ok());
    let held = applied.held.as_ref().and_then(|held| held.again);
    [again, expires, held].into_iter().flatten().fold(Next::Settled, Next::or_after)
}
