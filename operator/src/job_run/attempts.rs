//! What there is of attempts: batch/v1 Jobs with their pods, updates and runs become what a step looks at. Pure.

use std::{collections::BTreeMap, sync::Arc};

use floe_crds::{
    job::TaskKind,
    job_run::{Child, JobRun},
    pipeline_update::{AttemptClass, PipelineUpdate},
    run::{
        attempt::{AttemptEnd, EndClass},
        scene::{Attempts, Progress, Seen},
    },
    run_report::RunReport,
    state::{RunResultState, RunState, TerminationCode, UpdateState},
};
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1 as batch, core::v1::Pod};
use kube::{Resource, ResourceExt};

use crate::{
    attempt::{
        TASK_CONTAINER,
        end::{End, Remains, Verdict, newest_pod, verdict},
        waiting,
    },
    labels,
};

/// A report that says that what a task left is too large fails an attempt that ended well.
const VALUE_TOO_LARGE: &str = "VALUE_TOO_LARGE";

/// Everything that was made for a run.
#[derive(Clone, Debug, Default)]
pub struct Children {
    pub jobs: Vec<Arc<batch::Job>>,
    pub pods: Vec<Arc<Pod>>,
    pub reports: BTreeMap<String, Arc<RunReport>>,
    /// Updates of tasks; those that were coalesced with the one that they follow.
    pub updates: Vec<(Arc<PipelineUpdate>, Option<Arc<PipelineUpdate>>)>,
    pub runs: Vec<Arc<JobRun>>,
    /// Why the API server refuses the pod of a batch/v1 Job, by its name.
    pub refusals: BTreeMap<String, String>,
}

/// Whose attempt an object is: task, iteration, number.
pub fn attempt_of(object: &impl ResourceExt) -> Option<(String, Option<usize>, i32)> {
    let task = object.annotations().get(labels::TASK_KEY)?.clone();
    let iteration = object.labels().get(labels::ITERATION).map(|number| number.parse());
    let number = object.labels().get(labels::ATTEMPT)?.parse().ok()?;
    Some((task, iteration.transpose().ok()?, number))
}

/// `object` as the status names it.
pub fn child_of<K: Resource<DynamicType = ()>>(object: &K) -> Child {
    Child {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
    }
}

fn made_at(object: &impl ResourceExt, now: Timestamp) -> Timestamp {
    object.creation_timestamp().map_or(now, |at| at.0)
}

impl Children {
    /// The attempts at `now`. A report that is awaited says when to look again.
    pub fn attempts(&self, canceled: bool, now: Timestamp) -> (Attempts, Option<Timestamp>) {
        let mut attempts = Attempts::default();
        let mut wake: Option<Timestamp> = None;
        for job in &self.jobs {
            let Some((task, iteration, execution)) = attempt_of(job.as_ref()) else { continue };
            let (progress, again) = self.of_job(job, canceled, now);
            wake = [wake, again].into_iter().flatten().min();
            attempts.add(
                &task,
                iteration,
                Seen { execution, child: child_of(job.as_ref()), started: made_at(job.as_ref(), now), progress },
            );
        }
        for (update, followed) in &self.updates {
            let Some((task, iteration, execution)) = attempt_of(update.as_ref()) else { continue };
            let progress = of_update(followed.as_ref().unwrap_or(update), now);
            let child = child_of(update.as_ref());
            attempts.add(&task, iteration, Seen { execution, child, started: made_at(update.as_ref(), now), progress });
        }
        for run in &self.runs {
            let Some((task, iteration, execution)) = attempt_of(run.as_ref()) else { continue };
            let seen = Seen { execution, child: child_of(run.as_ref()), started: made_at(run.as_ref(), now), progress: of_run(run, now) };
            attempts.add(&task, iteration, seen);
        }
        (attempts, wake)
    }

    fn of_job(&self, job: &batch::Job, canceled: bool, now: Timestamp) -> (Progress, Option<Timestamp>) {
        let name = job.name_any();
        let mine =
            |pod: &&Arc<Pod>| pod.owner_references().iter().any(|owner| owner.kind == "Job" && Some(&owner.uid) == job.uid().as_ref());
        let pods: Vec<Arc<Pod>> = self.pods.iter().filter(mine).cloned().collect();
        let report = self.report(&name, &pods);
        let stopped = canceled || job.metadata.deletion_timestamp.is_some();
        let remains =
            Remains { job: Some(job), pods: &pods, report: report.map(|report| &report.spec), seen_code: None, canceled: stopped };
        match verdict(&remains, now) {
            Verdict::Ended(end) => (Progress::Ended(self.end(&name, &pods, &end)), None),
            Verdict::EndingIn(wait) => (Progress::Running, now.checked_add(wait).ok()),
            Verdict::Alive => match waiting::wait(job, &pods, self.refusals.get(&name).map(String::as_str), now) {
                None => (Progress::Running, None),
                Some(wait) => {
                    let again = wait.again.and_then(|again| now.checked_add(again).ok());
                    match wait.given_up {
                        Some(end) => (Progress::Ended(self.end(&name, &pods, &end)), None),
                        None => (Progress::Pending(wait.message), again),
                    }
                }
            },
        }
    }

    /// The report of the attempt `name`, if one of its pods wrote it, or all of them are gone.
    pub fn report(&self, name: &str, pods: &[Arc<Pod>]) -> Option<&Arc<RunReport>> {
        let report = self.reports.get(name)?;
        let wrote = |pod: &Arc<Pod>| pod.uid().as_ref() == Some(&report.spec.pod_uid);
        (pods.is_empty() || pods.iter().any(wrote)).then_some(report)
    }

    fn end(&self, name: &str, pods: &[Arc<Pod>], end: &End) -> AttemptEnd {
        let is_container = newest_pod(pods).is_some_and(|pod| {
            pod.spec.as_ref().is_some_and(|spec| spec.containers.iter().any(|container| container.name == TASK_CONTAINER))
        });
        let report = self.report(name, pods);
        let too_large =
            report.and_then(|report| report.spec.result.as_ref()).filter(|result| result.error_class.as_deref() == Some(VALUE_TOO_LARGE));
        if let Some(result) = too_large {
            let message = result.message.clone().unwrap_or_default();
            return AttemptEnd { class: EndClass::Lasting, code: TerminationCode::ValueTooLarge, message, at: end.at, values: Vec::new() };
        }
        let values = report.and_then(|report| report.spec.task.as_ref()).map(|task| task.values.keys().cloned().collect());
        let (class, code) = classify(end, is_container);
        AttemptEnd { class, code, message: message(end, is_container), at: end.at, values: values.unwrap_or_default() }
    }
}

/// A container of its own image says what failed by its exit code and its last lines only.
fn message(end: &End, is_container: bool) -> String {
    let said = end.message();
    match end.exit_code {
        Some(0) => String::new(),
        Some(code) if is_container && end.class == AttemptClass::Unknown && !end.out_of_memory => {
            format!("exit code {code}: {}", said.trim())
        }
        _ => said,
    }
}

fn classify(end: &End, is_container: bool) -> (EndClass, TerminationCode) {
    match end.class {
        AttemptClass::Unknown if end.out_of_memory => (EndClass::Unknown, TerminationCode::ClusterError),
        AttemptClass::Unknown if is_container => (EndClass::Failure, TerminationCode::RunExecutionError),
        class => of_class(class),
    }
}

fn of_class(class: AttemptClass) -> (EndClass, TerminationCode) {
    match class {
        AttemptClass::Success => (EndClass::Success, TerminationCode::Success),
        AttemptClass::User | AttemptClass::Expectation => (EndClass::Lasting, TerminationCode::RunExecutionError),
        AttemptClass::Storage => (EndClass::Lasting, TerminationCode::StorageAccessError),
        AttemptClass::PodStart => (EndClass::Lasting, TerminationCode::ClusterError),
        AttemptClass::Transient => (EndClass::Transient, TerminationCode::TransientError),
        AttemptClass::Unknown => (EndClass::Unknown, TerminationCode::RunExecutionError),
        AttemptClass::Interrupted => (EndClass::Interrupted, TerminationCode::ClusterError),
        AttemptClass::Timeout => (EndClass::Timeout, TerminationCode::TaskTimeout),
        AttemptClass::Canceled => (EndClass::Canceled, TerminationCode::UserCanceled),
    }
}

fn of_update(update: &PipelineUpdate, now: Timestamp) -> Progress {
    let Some(status) = &update.status else { return Progress::Pending(String::new()) };
    let message = status.message.clone().unwrap_or_default();
    let at = status.end_time.as_ref().map_or(now, |at| at.0);
    let ended = |(class, code): (EndClass, TerminationCode), message: String| {
        Progress::Ended(AttemptEnd { class, code, message, at, values: Vec::new() })
    };
    match status.state {
        None | Some(UpdateState::Created | UpdateState::WaitingForResources) => Progress::Pending(message),
        Some(UpdateState::Queued) => {
            Progress::Queued(if message.is_empty() { "behind another update of the pipeline".to_string() } else { message })
        }
        Some(UpdateState::Completed) => ended(of_class(AttemptClass::Success), String::new()),
        Some(UpdateState::Canceled) => ended(of_class(AttemptClass::Canceled), message),
        Some(UpdateState::Failed) => {
            // The update has had its own retries: one that lost its place too often has failed all the same.
            let last = status.attempts.last().and_then(|attempt| attempt.class).unwrap_or(AttemptClass::User);
            let class = if last == AttemptClass::Interrupted { AttemptClass::Transient } else { last };
            ended(of_class(class), format!("update {}: {message}", update.name_any()))
        }
        Some(_) => Progress::Running,
    }
}

fn of_run(run: &JobRun, now: Timestamp) -> Progress {
    let Some(status) = &run.status else { return Progress::Pending(String::new()) };
    let said = status.message.clone().unwrap_or_default();
    let message = format!("run {}: {said}", run.name_any());
    let at = status.end_time.as_ref().map_or(now, |at| at.0);
    let code = status.termination_code.unwrap_or(TerminationCode::RunExecutionError);
    let ended = |class, code, message| Progress::Ended(AttemptEnd { class, code, message, at, values: Vec::new() });
    match (status.state, status.result_state) {
        (Some(RunState::Skipped), _) => ended(EndClass::Lasting, code, message),
        (Some(RunState::Terminated), Some(RunResultState::Success | RunResultState::SuccessWithFailures)) => {
            ended(EndClass::Success, TerminationCode::Success, String::new())
        }
        (Some(RunState::Terminated), Some(RunResultState::Canceled)) => ended(EndClass::Canceled, TerminationCode::UserCanceled, message),
        (Some(RunState::Terminated), Some(RunResultState::TimedOut)) => ended(EndClass::Failure, code, message),
        (Some(RunState::Terminated), _) if code == TerminationCode::TransientError => ended(EndClass::Transient, code, message),
        (Some(RunState::Terminated), _) => ended(EndClass::Failure, code, message),
        (Some(RunState::Queued), _) => {
            Progress::Queued(status.queue_reason.map(|reason| reason.explanation().to_string()).unwrap_or_default())
        }
        (None | Some(RunState::Pending), _) => Progress::Pending(String::new()),
        (Some(RunState::Running | RunState::Terminating), _) => Progress::Running,
    }
}

/// True for the kinds whose attempts have pods of their own.
pub const fn has_pod(kind: TaskKind) -> bool {
    matches!(kind, TaskKind::Sql | TaskKind::Container)
}
