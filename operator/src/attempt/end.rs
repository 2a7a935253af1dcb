//! How an attempt ended, told by what is left of it: its batch/v1 Job, its pods, its report, the last words of its container.

use std::{sync::Arc, time::Duration};

use floe_crds::{
    pipeline_update::AttemptClass,
    request::PROTOCOL,
    run_report::{FlowReport, RunReportSpec, RunResult},
    state::{FlowState, UpdateState},
    text::cut,
};
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1 as batch,
        core::v1::{ContainerStateTerminated, ContainerStatus, Pod},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt;

use super::{RUNNER, TASK_CONTAINER};

/// A runner that succeeded is waited for this long, if its report lacks the end.
const LAST_REPORT: Duration = Duration::from_secs(30);
/// The same for one that failed: its last words say as much as its report.
const LAST_REPORT_OF_FAILED: Duration = Duration::from_secs(5);
/// The news of a pod may come after that of its batch/v1 Job: so long, after the end of the one, the end of the other is awaited.
const LAST_NEWS_OF_POD: Duration = Duration::from_secs(10);
/// Exit codes that the runner chooses itself: whatever else is going on, they say how the attempt ended.
const CHOSEN: &[i32] = &[0, 10, 11, 12, 20];

/// What is left of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Remains<'a> {
    /// Its batch/v1 Job; absent if it is gone.
    pub job: Option<&'a batch::Job>,
    /// The pods that belong to it.
    pub pods: &'a [Arc<Pod>],
    /// The report of one of these pods.
    pub report: Option<&'a RunReportSpec>,
    /// The exit code, if an earlier look has seen one.
    pub seen_code: Option<i32>,
    /// Someone asked for the end.
    pub canceled: bool,
}

/// How far an attempt is.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It runs, or will.
    Alive,
    /// It has ended, but its report, or the news of its pod, is awaited for this long.
    EndingIn(Duration),
    /// It has ended.
    Ended(Box<End>),
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// What kind of end.
    pub class: AttemptClass,
    /// What the runner's container said.
    pub exit_code: Option<i32>,
    /// Error, place and message; of a good end without report only the message.
    pub result: RunResult,
    /// When it ended.
    pub at: Timestamp,
    /// How long the container ran.
    pub ran: Duration,
    /// It took more memory than it may have.
    pub out_of_memory: bool,
    /// The report tells of another class than the exit code, which wins.
    pub contradicted: bool,
}

impl End {
    /// The sentence for people: flow, class of the error, message.
    pub fn message(&self) -> String {
        let error = self.result.error_class.as_deref().map(|class| format!("[{class}] ")).unwrap_or_default();
        let flow = self.result.flow.as_deref().map(|flow| format!("Flow {flow}: ")).unwrap_or_default();
        format!("{flow}{error}{}", self.result.message.as_deref().unwrap_or_default())
    }

    /// An end that the operator itself decides.
    pub fn decided(class: AttemptClass, error_class: &str, message: impl Into<String>, at: Timestamp) -> Self {
        let result = RunResult { error_class: Some(error_class.to_string()), message: Some(message.into()), ..RunResult::default() };
        Self { class, exit_code: None, result, at, ran: Duration::ZERO, out_of_memory: false, contradicted: false }
    }
}

/// The pod of the attempt that was made last.
pub fn newest_pod(pods: &[Arc<Pod>]) -> Option<&Arc<Pod>> {
    pods.iter().max_by_key(|pod| (pod.creation_timestamp().map(|at| at.0), pod.name_any()))
}

/// The state of the runner's container in `pod`.
pub fn runner_status(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.iter().find(|status| status.name == RUNNER || status.name == TASK_CONTAINER)
}

/// When the runner's container in `pod` started.
pub fn runner_start(pod: &Pod) -> Option<&Time> {
    let state = runner_status(pod)?.state.as_ref()?;
    let running = state.running.as_ref().and_then(|running| running.started_at.as_ref());
    running.or_else(|| state.terminated.as_ref().and_then(|ended| ended.started_at.as_ref()))
}

/// True if the pod neither runs nor will.
pub fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// True if the pod lost its place: drain, eviction, preemption, a node that is gone.
pub fn is_disrupted(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True")
}

/// The end of a batch/v1 Job, as its controller tells it.
#[derive(Clone, Copy, Debug)]
pub struct JobEnd<'a> {
    /// It did what it should.
    pub is_complete: bool,
    /// The word for machines.
    pub reason: &'a str,
    /// The sentence for people.
    pub message: Option<&'a str>,
    /// When.
    pub at: Option<&'a Time>,
}

/// The end of a batch/v1 Job, if it has ended.
pub fn job_end(job: &batch::Job) -> Option<JobEnd<'_>> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let ended =
        conditions.iter().find(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True")?;
    Some(JobEnd {
        is_complete: ended.type_ == "Complete",
        reason: ended.reason.as_deref().unwrap_or_default(),
        message: ended.message.as_deref(),
        at: ended.last_transition_time.as_ref(),
    })
}

fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    runner_status(pod)?.state.as_ref()?.terminated.as_ref()
}

/// How far the attempt is at `now`.
pub fn verdict(remains: &Remains<'_>, now: Timestamp) -> Verdict {
    if let Some(report) = remains.report.filter(|report| !(1..=PROTOCOL).contains(&report.protocol)) {
        let message = format!(
            "the runner reports with protocol {}, this operator knows up to {PROTOCOL}; use an operator as new as the runner",
            report.protocol
        );
        return Verdict::Ended(Box::new(End::decided(AttemptClass::User, "UNSUPPORTED_PROTOCOL", message, now)));
    }
    let pod = newest_pod(remains.pods);
    let last = pod.and_then(|pod| terminated(pod));
    let disrupted = pod.is_some_and(|pod| is_disrupted(pod));
    let over = match remains.job {
        Some(job) => job_end(job).is_some(),
        None => remains.pods.iter().all(|pod| is_over(pod)),
    };
    // The batch/v1 Job takes its time to notice. What it may still replace or call too late is left to it.
    let chosen = last.is_some_and(|last| CHOSEN.contains(&last.exit_code)) && !disrupted;
    if !over && !chosen {
        return Verdict::Alive;
    }
    let end = end(remains, last, disrupted, now);
    // Where nobody knows when it ended, nobody knows how long to wait.
    let known = last.is_some_and(|last| last.finished_at.is_some()) || remains.job.and_then(job_end).is_some_and(|end| end.at.is_some());
    match last_words_in(remains, &end, now).filter(|_| known) {
        Some(wait) => Verdict::EndingIn(wait),
        None => Verdict::Ended(Box::new(end)),
    }
}

/// How long the report or the pod is awaited that says how the attempt ended.
fn last_words_in(remains: &Remains<'_>, end: &End, now: Timestamp) -> Option<Duration> {
    if final_result(remains.report).is_some() {
        return None;
    }
    let patience = match end.class {
        AttemptClass::Success => LAST_REPORT,
        AttemptClass::Interrupted if is_pod_behind(remains, end) => LAST_NEWS_OF_POD,
        _ if remains.report.is_some() => LAST_REPORT_OF_FAILED,
        _ => return None,
    };
    let waited = Duration::try_from(now.duration_since(end.at)).unwrap_or_default();
    patience.checked_sub(waited).filter(|wait| !wait.is_zero())
}

/// True if the batch/v1 Job tells of an end that its pod, as far as it is known, has not come to.
fn is_pod_behind(remains: &Remains<'_>, end: &End) -> bool {
    end.exit_code.is_none() && remains.job.is_some() && !newest_pod(remains.pods).is_some_and(|pod| is_over(pod) || is_disrupted(pod))
}

/// What the report says of the end, if it does.
fn final_result(report: Option<&RunReportSpec>) -> Option<&RunResult> {
    report.filter(|report| report.state.is_some_and(UpdateState::is_terminal) || report.result.is_some())?.result.as_ref()
}

fn end(remains: &Remains<'_>, last: Option<&ContainerStateTerminated>, disrupted: bool, now: Timestamp) -> End {
    let job = remains.job.and_then(job_end);
    let reported = final_result(remains.report);
    let completed = job.is_some() && remains.job.is_some_and(|job| job.status.as_ref().and_then(|status| status.succeeded) == Some(1));
    let exit_code = last
        .map(|last| last.exit_code)
        .or(remains.seen_code)
        .or_else(|| reported.map(|result| result.exit_code))
        .or(completed.then_some(0));
    let out_of_memory = last.is_some_and(|last| last.reason.as_deref() == Some("OOMKilled"));
    let timed_out = job.is_some_and(|end| end.reason == "DeadlineExceeded");
    let class = match exit_code {
        _ if timed_out => AttemptClass::Timeout,
        Some(0) => AttemptClass::Success,
        _ if disrupted && !remains.canceled => AttemptClass::Interrupted,
        Some(10) => AttemptClass::User,
        Some(11) => AttemptClass::Expectation,
        Some(12) => AttemptClass::Storage,
        _ if remains.canceled => AttemptClass::Canceled,
        Some(20) => AttemptClass::Transient,
        Some(143) | None => AttemptClass::Interrupted,
        Some(_) => AttemptClass::Unknown,
    };
    let at = last.and_then(|last| last.finished_at.as_ref()).or(job.and_then(|end| end.at)).map_or(now, |at| at.0);
    let started = last.and_then(|last| last.started_at.as_ref()).map_or(at, |started| started.0);
    let contradicted =
        reported.is_some_and(|result| expected_class(result) != class && last.is_some_and(|last| CHOSEN.contains(&last.exit_code)));
    let mut result = reported.filter(|_| !contradicted).cloned().or_else(|| last.and_then(last_words)).unwrap_or_default();
    explain(&mut result, class, remains, out_of_memory, exit_code);
    End {
        class,
        exit_code,
        result,
        at,
        ran: Duration::try_from(at.duration_since(started)).unwrap_or_default(),
        out_of_memory,
        contradicted,
    }
}

fn expected_class(result: &RunResult) -> AttemptClass {
    result.class.map_or(AttemptClass::Success, AttemptClass::from)
}

/// The termination message: what the runner wrote, or the last lines of what others did.
fn last_words(last: &ContainerStateTerminated) -> Option<RunResult> {
    let text = last.message.as_deref().map(str::trim).filter(|text| !text.is_empty())?;
    let told: Option<RunResult> = serde_json::from_str(text).ok();
    Some(told.unwrap_or_else(|| RunResult { message: Some(cut(text, 1024).to_string()), ..RunResult::default() }))
}

/// Says what neither report nor last words say.
fn explain(result: &mut RunResult, class: AttemptClass, remains: &Remains<'_>, out_of_memory: bool, exit_code: Option<i32>) {
    let (error_class, message) = match class {
        AttemptClass::Success if final_result(remains.report).is_none() => {
            (None, "the runner did not report, but its exit code says that all is done".to_string())
        }
        AttemptClass::Success => (None, String::new()),
        AttemptClass::Timeout => {
            (Some("UPDATE_TIMEOUT"), "the attempt took longer than spec.updatePolicy.timeoutSeconds and was stopped".to_string())
        }
        AttemptClass::Unknown if out_of_memory => (Some("OUT_OF_MEMORY"), memory_message(remains)),
        AttemptClass::Unknown => {
            let code = exit_code.map(|code| code.to_string()).unwrap_or_default();
            (Some("RUNNER_DIED"), format!("the runner ended with exit code {code} without saying why; see the log of its pod"))
        }
        AttemptClass::Interrupted => (Some("INTERRUPTED"), interruption(remains)),
        AttemptClass::Canceled => (None, "stopped on request".to_string()),
        _ => {
            let code = exit_code.map(|code| code.to_string()).unwrap_or_default();
            (failure_word(class), format!("the runner ended with exit code {code} and left no message; see the log of its pod"))
        }
    };
    let decided = matches!(class, AttemptClass::Timeout | AttemptClass::Canceled | AttemptClass::Interrupted) || out_of_memory;
    if decided || (result.message.is_none() && result.error_class.is_none()) {
        result.error_class = error_class.map(str::to_string);
        result.message = (!message.is_empty()).then_some(message);
    }
    result.exit_code = exit_code.unwrap_or_default();
}

fn failure_word(class: AttemptClass) -> Option<&'static str> {
    match class {
        AttemptClass::Expectation => Some("EXPECTATION_VIOLATION"),
        AttemptClass::Storage => Some("STORAGE_ACCESS"),
        AttemptClass::Transient => Some("TRANSIENT"),
        _ => None,
    }
}

fn interruption(remains: &Remains<'_>) -> String {
    let pod = newest_pod(remains.pods);
    let said = pod.and_then(|pod| pod.status.as_ref()?.message.clone());
    match (said, pod, remains.job) {
        (Some(said), ..) => format!("the pod lost its place: {said}"),
        (None, Some(pod), _) => format!("the pod {} was stopped from outside", pod.name_any()),
        (None, None, Some(_)) => "the pod was removed from outside".to_string(),
        (None, None, None) => "the batch/v1 Job and its pod were removed from outside".to_string(),
    }
}

fn memory_message(remains: &Remains<'_>) -> String {
    let runner = newest_pod(remains.pods).and_then(|pod| pod.spec.as_ref()?.containers.iter().find(|container| container.name == RUNNER));
    let limit = runner.and_then(|runner| runner.resources.as_ref()?.limits.as_ref()?.get("memory"));
    let limit = limit.map_or_else(|| "no limit".to_string(), |limit| format!("limit {}", limit.0));
    let flow = remains
        .report
        .and_then(|report| largest_flow(&report.flows))
        .map(|flow| format!("; the largest flow was {flow}"))
        .unwrap_or_default();
    format!(
        "the runner used more memory than it may ({limit}){flow}; raise spec.runner.resources.limits.memory or lower maxConcurrentFlows"
    )
}

/// The flow that has moved most, of those that ran when it happened if there were any.
fn largest_flow(flows: &[FlowReport]) -> Option<&str> {
    let moved = |flow: &FlowReport| {
        ["num_output_bytes", "num_input_rows", "num_output_rows"].iter().filter_map(|name| flow.metrics.get(*name)).sum::<i64>()
    };
    let ran = |flow: &&FlowReport| matches!(flow.state, FlowState::Running | FlowState::Planning | FlowState::Starting);
    let largest = flows.iter().filter(ran).max_by_key(|flow| moved(flow));
    largest.or_else(|| flows.iter().max_by_key(|flow| moved(flow))).map(|flow| flow.name.as_str())
}
