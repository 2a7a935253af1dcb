//! What the pods of a run print. They alone keep it: when a pod is gone, so is its log.

use std::{collections::BTreeSet, time::Duration};

use floe_crds::{
    job::TaskKind,
    job_run::{JobRun, JobRunStatus, TaskStatus},
    state::{RunState, TaskState},
    text::nearest,
};
use futures::{AsyncBufReadExt, StreamExt, stream::FuturesUnordered};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::LogParams};

use super::{
    CALL_TIMEOUT, Cluster, failure,
    failure::{Asked, Kind},
    pods::TaskPod,
};
use crate::failure::Failure;

/// How often new pods are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// Which attempts.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only this task.
    pub task: Option<String>,
    /// Only this iteration of it.
    pub iteration: Option<u32>,
    /// Only this attempt.
    pub attempt: Option<i32>,
}

impl Wanted {
    fn takes(&self, pod: &TaskPod) -> bool {
        let is = |wanted: Option<u32>, found: Option<u32>| wanted.is_none() || wanted == found;
        self.task.as_ref().is_none_or(|task| *task == pod.task)
            && is(self.iteration, pod.iteration)
            && self.attempt.is_none_or(|attempt| attempt == pod.attempt)
    }

    /// The pods that are wanted.
    pub fn of(&self, pods: Vec<TaskPod>) -> Vec<TaskPod> {
        pods.into_iter().filter(|pod| self.takes(pod)).collect()
    }

    /// Refuses a task that the run does not have, or that has no pods of its own.
    pub fn check(&self, run: &JobRun) -> Result<(), Failure> {
        let Some(name) = &self.task else { return Ok(()) };
        let tasks = run.status.as_ref().map(|status| status.tasks.as_slice()).unwrap_or_default();
        let Some(task) = tasks.iter().find(|task| task.name == *name) else {
            let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
            let near = nearest(name, names.iter().copied()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return Err(Failure::user("TASK_NOT_FOUND", format!("run {} has no task {name}{near}", run.name_any()))
                .help(format!("it has: {}", names.join(", "))));
        };
        elsewhere(task).map_or(Ok(()), |text| Err(Failure::user("NO_LOGS", text)))
    }

    /// True if nothing that is wanted will be printed any more.
    fn is_over(&self, status: &JobRunStatus) -> bool {
        let ended = |task: &TaskStatus| task.state == TaskState::Terminated;
        match &self.task {
            _ if status.state.is_some_and(RunState::is_terminal) => true,
            Some(name) => status.tasks.iter().find(|task| task.name == *name).is_some_and(ended),
            None => false,
        }
    }
}

/// Where a task without pods of its own is to be looked at.
fn elsewhere(task: &TaskStatus) -> Option<String> {
    let name = &task.name;
    match (task.kind, &task.child) {
        (TaskKind::Condition, _) => Some(format!("task {name} is a condition: nothing runs for it")),
        (TaskKind::RunJob, Some(child)) => Some(format!("task {name} is a run of its own: floe job logs {}", child.name)),
        (TaskKind::RunJob, None) => Some(format!("task {name} is a run of its own, which was not made")),
        _ => None,
    }
}

/// Why there is no log of tasks that one might expect, a sentence each. `shown` are the pods that there are.
pub fn absent(run: &JobRun, wanted: &Wanted, shown: &[TaskPod]) -> Vec<String> {
    let tasks = run.status.as_ref().map(|status| status.tasks.as_slice()).unwrap_or_default();
    let is_wanted = |task: &&TaskStatus| wanted.task.as_ref().is_none_or(|name| *name == task.name);
    let has_none = |task: &&TaskStatus| !shown.iter().any(|pod| pod.task == task.name);
    tasks.iter().filter(is_wanted).filter(has_none).filter_map(|task| reason(task, wanted)).collect()
}

fn reason(task: &TaskStatus, wanted: &Wanted) -> Option<String> {
    let name = &task.name;
    if wanted.task.is_none() && task.kind == TaskKind::Condition {
        return None;
    }
    if let Some(text) = elsewhere(task) {
        return Some(text);
    }
    let ran = task.execution_count > 0 || task.for_each.as_ref().is_some_and(|all| all.last_execution > 0);
    if !ran {
        let state = task.result_state.map_or(task.state.as_str(), |result| result.as_str());
        return Some(format!("task {name} has printed nothing: it did not run ({state})"));
    }
    let which = match (wanted.iteration, wanted.attempt) {
        (None, None) => String::new(),
        (Some(iteration), None) => format!(" for iteration {iteration}"),
        (None, Some(attempt)) => format!(" for attempt {attempt}"),
        (Some(iteration), Some(attempt)) => format!(" for attempt {attempt} of iteration {iteration}"),
    };
    Some(format!("task {name} has no pod{which} any more: its log is gone with it, unless a collector of the cluster has kept it"))
}

impl Cluster {
    /// Hands each line that `pod` has printed to `line`; with `follow` also those to come.
    async fn log_of(&self, pod: &TaskPod, follow: bool, line: &(impl Fn(&TaskPod, &str) + Sync)) -> Result<(), Failure> {
        let asked = Asked { verb: "get", kind: Kind::LOG, name: Some(pod.pod.clone()), namespace: &self.namespace, server: &self.server };
        let parameters = LogParams { container: Some(pod.container.clone()), follow, ..LogParams::default() };
        let api = self.api::<Pod>();
        let opened = tokio::time::timeout(CALL_TIMEOUT, api.log_stream(&pod.pod, &parameters)).await;
        let opened = opened.map_err(|_| failure::no_answer(&asked, CALL_TIMEOUT))?.map_err(|error| failure::of(error, &asked))?;
        let mut lines = std::pin::pin!(opened.lines());
        while let Some(text) = lines.next().await {
            match text {
                Ok(text) => line(pod, &text),
                Err(error) => {
                    return Err(Failure::transient("LOG_BROKEN", format!("the log of pod {} breaks off", pod.pod)).caused_by(error));
                }
            }
        }
        Ok(())
    }

    async fn followed(&self, pod: TaskPod, line: &(impl Fn(&TaskPod, &str) + Sync)) -> Result<(), Failure> {
        self.log_of(&pod, true, line).await
    }

    /// Prints what `pods` have printed, one after another; the first failure is told when all have had their turn.
    pub async fn print_logs(&self, pods: &[TaskPod], line: &(impl Fn(&TaskPod, &str) + Sync)) -> Result<(), Failure> {
        let mut first = Ok(());
        for pod in pods.iter().filter(|pod| pod.has_started()) {
            let printed = self.log_of(pod, false, line).await;
            first = first.and(printed);
        }
        first
    }

    /// Prints what all pods print that are wanted, as it comes, until nothing more can come.
    pub async fn follow_logs(&self, run: &str, wanted: &Wanted, line: &(impl Fn(&TaskPod, &str) + Sync)) -> Result<(), Failure> {
        let (mut seen, mut open, mut first) = (BTreeSet::new(), FuturesUnordered::new(), Ok(()));
        loop {
            let now = self.get::<JobRun>(run).await?;
            let is_over = now.status.as_ref().is_some_and(|status| wanted.is_over(status));
            let pods = wanted.of(self.pods_of_run(&now).await?).into_iter();
            let new = pods.filter(|pod| pod.has_started() && seen.insert(pod.pod.clone()));
            open.extend(new.map(|pod| self.followed(pod, line)));
            if is_over && open.is_empty() {
                return first;
            }
            let look = tokio::time::sleep(LOOK);
            tokio::pin!(look);
            loop {
                tokio::select! {
                    () = &mut look => break,
                    Some(printed) = open.next() => first = first.and(printed),
                }
            }
        }
    }
}
