//! The pods of a run: found by the labels of run and update, told apart by task, iteration and attempt.

use std::collections::BTreeMap;

use floe_crds::{
    job_run::JobRun,
    labels,
    pipeline_update::PipelineUpdate,
    request::{RUNNER_CONTAINER, TASK_CONTAINER},
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use super::Cluster;
use crate::failure::Failure;

/// So many names stand in one selector.
const NAMES_PER_CALL: usize = 50;

/// A pod that carries out an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPod {
    /// Name of the task.
    pub task: String,
    /// Number of the iteration of a loop, from 0.
    pub iteration: Option<u32>,
    /// Number of the attempt, from 1 over all repairs.
    pub attempt: i32,
    /// Name of the pod.
    pub pod: String,
    /// The container that does the work.
    pub container: String,
    /// What the pod is: `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: String,
    /// Why the container has not started, while it has not.
    pub waiting: Option<String>,
}

impl TaskPod {
    /// What it runs, for people: `load`, `load (attempt 2)`, `each[3]`.
    pub fn label(&self) -> String {
        let iteration = self.iteration.map(|number| format!("[{number}]")).unwrap_or_default();
        let attempt = if self.attempt > 1 { format!(" (attempt {})", self.attempt) } else { String::new() };
        format!("{}{iteration}{attempt}", self.task)
    }

    /// False while there is nothing that it could have printed.
    pub const fn has_started(&self) -> bool {
        self.waiting.is_none()
    }
}

/// Which attempt an object belongs to.
fn attempt_of(object: &impl ResourceExt) -> Option<(String, Option<u32>, i32)> {
    let task = object.annotations().get(labels::TASK_KEY)?.clone();
    let iteration = object.labels().get(labels::ITERATION).and_then(|number| number.parse().ok());
    let attempt = object.labels().get(labels::ATTEMPT)?.parse().ok()?;
    Some((task, iteration, attempt))
}

/// The pods among `pods` that carry out attempts of `run`, in the order of its tasks, iterations and attempts. Pods of updates belong to the
/// attempt that made the update.
pub fn pods_of(run: &JobRun, pods: &[Pod], updates: &[PipelineUpdate]) -> Vec<TaskPod> {
    let of_update: BTreeMap<String, _> =
        updates.iter().filter_map(|update| Some((labels::value(&update.name_any()), attempt_of(update)?))).collect();
    let tasks = run.status.as_ref().map(|status| status.tasks.as_slice()).unwrap_or_default();
    let place = |name: &str| tasks.iter().position(|task| task.name == name).unwrap_or(tasks.len());
    let mut found: Vec<_> = pods
        .iter()
        .filter_map(|pod| {
            let (task, iteration, attempt) = match pod.labels().get(labels::UPDATE) {
                Some(update) => of_update.get(update)?.clone(),
                None => attempt_of(pod)?,
            };
            let order = (place(&task), iteration, attempt, pod.creation_timestamp().map(|at| at.0), pod.name_any());
            Some((order, task_pod(pod, task, iteration, attempt)))
        })
        .collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found.into_iter().map(|(_, pod)| pod).collect()
}

fn task_pod(pod: &Pod, task: String, iteration: Option<u32>, attempt: i32) -> TaskPod {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let ours = containers.iter().find(|one| one.name == TASK_CONTAINER || one.name == RUNNER_CONTAINER).or_else(|| containers.first());
    let container = ours.map(|one| one.name.clone()).unwrap_or_default();
    let status = pod.status.as_ref();
    let statuses = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let waiting = match statuses.iter().find(|status| status.name == container) {
        Some(status) => waiting(status),
        None => Some("no node has taken it".to_string()),
    };
    let phase = status.and_then(|status| status.phase.clone()).unwrap_or_else(|| "Pending".to_string());
    TaskPod { task, iteration, attempt, pod: pod.name_any(), container, phase, waiting }
}

fn waiting(status: &ContainerStatus) -> Option<String> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    // A container that has run before has said something.
    if status.last_state.as_ref().is_some_and(|state| state.terminated.is_some()) {
        return None;
    }
    let reason = waiting.reason.clone().unwrap_or_else(|| "waiting".to_string());
    Some(waiting.message.as_ref().map_or(reason.clone(), |message| format!("{reason}: {message}")))
}

impl Cluster {
    /// The pods of a run that are still there.
    pub async fn pods_of_run(&self, run: &JobRun) -> Result<Vec<TaskPod>, Failure> {
        let of_run = format!("{}={}", labels::RUN, labels::value(&run.name_any()));
        let mut pods: Vec<Pod> = self.list(Some(&of_run)).await?;
        let tasks = run.status.as_ref().map(|status| status.tasks.as_slice()).unwrap_or_default();
        let mut updates: Vec<PipelineUpdate> = Vec::new();
        let has_updates = |kind: &str| kind == "PipelineUpdate";
        if tasks.iter().any(|task| task.for_each.is_some() || task.child.as_ref().is_some_and(|child| has_updates(&child.kind))) {
            updates = self.list(Some(&of_run)).await?;
        }
        let names: Vec<String> = updates.iter().map(|update| labels::value(&update.name_any())).collect();
        for names in names.chunks(NAMES_PER_CALL) {
            pods.extend(self.list(Some(&format!("{} in ({})", labels::UPDATE, names.join(",")))).await?);
        }
        Ok(pods_of(run, &pods, &updates))
    }
}
