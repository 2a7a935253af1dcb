//! Why an attempt has not begun: what its batch/v1 Job and its pod wait for.

use std::{sync::Arc, time::Duration};

use floe_crds::{condition::Reason, pipeline_update::AttemptClass, run_report::RunReportSpec};
use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1 as batch,
    core::v1::{ContainerStateWaiting, Pod},
};
use kube::ResourceExt;

use super::end::{End, newest_pod, runner_status};

/// A container that cannot start fails the update after this time.
const CONTAINER_START: Duration = Duration::from_mins(10);
/// A batch/v1 Job that cannot make its pod fails the update after this time.
const POD_CREATION: Duration = Duration::from_hours(1);
/// So long a batch/v1 Job may take to make its pod before anyone worries.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// A pod that cannot be placed for this long is worth an Event.
pub const UNPLACED: Duration = Duration::from_mins(5);
/// A running pod that has not reported for this long is worth a word.
const SILENCE: Duration = Duration::from_mins(2);
/// What the kubelet says of containers that will not start without a change.
const STUCK: &[&str] = &[
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// What an attempt waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// The word of the condition.
    pub reason: Reason,
    /// The sentence for people.
    pub message: String,
    /// To look again after this time: then it is given up, or worth another word.
    pub again: Option<Duration>,
    /// The end, if it is given up now.
    pub given_up: Option<Box<End>>,
    /// True if it has taken so long that people should hear of it.
    pub is_news: bool,
}

impl Wait {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), again: None, given_up: None, is_news: false }
    }
}

fn since(from: Option<Timestamp>, now: Timestamp) -> Duration {
    from.and_then(|from| Duration::try_from(now.duration_since(from)).ok()).unwrap_or_default()
}

/// What the attempt waits for at `now`; `None` once its container runs. `refusal` is what the API server said when the batch/v1 Job
/// tried to make its pod, if that is known.
pub fn wait(job: &batch::Job, pods: &[Arc<Pod>], refusal: Option<&str>, now: Timestamp) -> Option<Wait> {
    let Some(pod) = newest_pod(pods) else { return Some(without_pod(job, refusal, now)) };
    let status = pod.status.as_ref();
    let state = runner_status(pod).and_then(|status| status.state.as_ref());
    if state.is_some_and(|state| state.running.is_some() || state.terminated.is_some()) {
        return None;
    }
    if let Some(waiting) = state.and_then(|state| state.waiting.as_ref())
        && STUCK.contains(&waiting.reason.as_deref().unwrap_or_default())
    {
        let age = since(status.and_then(|status| status.start_time.as_ref()).map(|at| at.0), now);
        return Some(stuck(waiting, age, now));
    }
    let unplaced = status.iter().flat_map(|status| status.conditions.iter().flatten()).find(|condition| {
        condition.type_ == "PodScheduled" && condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable")
    });
    if let Some(condition) = unplaced {
        let age = since(pod.creation_timestamp().map(|at| at.0), now);
        let said = condition.message.clone().unwrap_or_else(|| "no node takes the pod".to_string());
        let message = format!("{said}; {}", place_for(&said));
        return Some(Wait { is_news: age >= UNPLACED, ..Wait::new(Reason::Unschedulable, message) });
    }
    let age = since(status.and_then(|status| status.start_time.as_ref()).map(|at| at.0), now);
    if age >= CONTAINER_START {
        // The kubelet says only in Events which volume it waits for.
        let message = format!(
            "the containers of pod {} are still not made after 10 min; `kubectl describe pod {0}` shows what is missing",
            pod.name_any()
        );
        return Some(Wait { is_news: true, ..Wait::new(Reason::PodStartFailed, message) });
    }
    Some(Wait::new(Reason::Pending, format!("pod {} starts", pod.name_any())))
}

fn without_pod(job: &batch::Job, refusal: Option<&str>, now: Timestamp) -> Wait {
    if job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true) {
        return Wait::new(Reason::Pending, "the batch/v1 Job is suspended until a queue admits it");
    }
    let started = job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|at| at.0);
    let age = since(started.or_else(|| job.creation_timestamp().map(|at| at.0)), now);
    if refusal.is_none() && age < PATIENCE {
        return Wait { again: PATIENCE.checked_sub(age), ..Wait::new(Reason::Pending, "the pod is being made") };
    }
    let hint = || {
        format!(
            "no pod is made: a quota, an admission policy or a missing service account may forbid it; `kubectl describe jobs.batch {}` shows why",
            job.name_any()
        )
    };
    let message = refusal.map_or_else(hint, |refusal| format!("no pod can be made: {refusal}; {}", leave_for(refusal)));
    let wait = Wait::new(refusal_reason(&message), message);
    refused(wait, age, now)
}

/// What to do about a pod that no node takes.
fn place_for(said: &str) -> &'static str {
    if said.to_lowercase().contains("persistentvolumeclaim") {
        return "create that claim, or correct the volumes of the Pipeline; the pod is placed as soon as the claim can be used";
    }
    "add a node that fits, or lower what spec.runner asks of one; the pod is placed as soon as one fits"
}

/// What to do about a pod that the API server does not accept.
fn leave_for(said: &str) -> &'static str {
    let said = said.to_lowercase();
    if said.contains("exceeded quota") {
        "raise the quota or free some of it; the pod is made as soon as it fits"
    } else if said.contains("service account") {
        "create that service account, or correct spec.runner.serviceAccountName; the pod is made as soon as it is there"
    } else {
        "correct what is refused in spec.runner.podTemplate, or the policy that refuses it"
    }
}

/// What to do about a container that cannot start.
fn what_starts(reason: &str) -> &'static str {
    if reason.contains("Image") {
        "make that image available to the node, or correct spec.runner.image and spec.runner.imagePullSecrets"
    } else {
        "create or correct what it names; the container then starts by itself"
    }
}

/// The word for what the API server said to whom wanted to make a pod or a batch/v1 Job.
pub fn refusal_reason(said: &str) -> Reason {
    if said.contains("exceeded quota") { Reason::QuotaExceeded } else { Reason::PodStartFailed }
}

/// A pod, or its batch/v1 Job, that the API server has refused for `age`.
pub fn refused(wait: Wait, age: Duration, now: Timestamp) -> Wait {
    let given_up = (age >= POD_CREATION).then(|| {
        Box::new(End::decided(AttemptClass::PodStart, "POD_START_FAILED", format!("given up after an hour: {}", wait.message), now))
    });
    Wait { again: POD_CREATION.checked_sub(age), given_up, is_news: true, ..wait }
}

/// What the API server said when the batch/v1 Job itself was to be made, `age` after the first try.
pub fn refused_job(said: &str, age: Duration, now: Timestamp) -> Wait {
    refused(Wait::new(refusal_reason(said), format!("the batch/v1 Job cannot be made: {said}; {}", leave_for(said))), age, now)
}

fn stuck(waiting: &ContainerStateWaiting, age: Duration, now: Timestamp) -> Wait {
    let (reason, said) = (waiting.reason.as_deref().unwrap_or_default(), waiting.message.as_deref().unwrap_or_default());
    let message = format!("{reason}: {said}; {}", what_starts(reason));
    // A Secret with credentials is as good as credentials: who mends it is the same person.
    let class = if said.to_lowercase().contains("secret") { AttemptClass::Storage } else { AttemptClass::PodStart };
    let given_up = (age >= CONTAINER_START).then(|| Box::new(End::decided(class, "POD_START_FAILED", message.clone(), now)));
    Wait { again: CONTAINER_START.checked_sub(age), given_up, is_news: true, ..Wait::new(Reason::PodStartFailed, message) }
}

/// True if the container has run for two minutes and the last word of the runner is as old.
pub fn is_silent(pods: &[Arc<Pod>], report: Option<&RunReportSpec>, now: Timestamp) -> bool {
    let running = newest_pod(pods).and_then(|pod| runner_status(pod)?.state.as_ref()?.running.as_ref());
    let Some(running) = running else { return false };
    let started = running.started_at.as_ref().map(|at| at.0);
    let heard = report.and_then(|report| report.heartbeat_time.as_ref()).map(|at| at.0);
    since(heard.max(started), now) >= SILENCE
}
