//! The table of ends, row by row.

use std::time::Duration;

use floe_crds::{
    pipeline_update::AttemptClass,
    run_report::{RunReportSpec, RunResult},
    state::{FailureClass, FlowState, UpdateState},
};
use serde_json::{Value, json};

use super::{at, batch_job, ended, failure, flow, pod, report, running};
use crate::attempt::end::{End, Remains, Verdict, verdict};

const JOB_FAILED: &str = "BackoffLimitExceeded";

/// One row: what is left, and what is told of it.
#[derive(Clone, Default)]
struct Row {
    job: Option<Value>,
    pods: Vec<Value>,
    report: Option<RunReportSpec>,
    seen_code: Option<i32>,
    canceled: bool,
}

fn at_second(row: &Row, second: i64) -> Verdict {
    let job = row.job.clone().map(batch_job);
    let pods: Vec<_> = row.pods.iter().cloned().map(pod).collect();
    let remains = Remains { job: job.as_ref(), pods: &pods, report: row.report.as_ref(), seen_code: row.seen_code, canceled: row.canceled };
    verdict(&remains, at(second))
}

fn end(row: &Row) -> End {
    match at_second(row, 100) {
        Verdict::Ended(end) => *end,
        other => panic!("{other:?}"),
    }
}

fn active() -> Value {
    json!({"active": 1})
}

fn failed(reason: &str) -> Value {
    json!({"failed": 1, "conditions": [{"type": "Failed", "status": "True", "reason": reason, "lastTransitionTime": at(61).to_string()}]})
}

fn complete() -> Value {
    json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": at(61).to_string()}]})
}

fn code(code: i32, reason: &str) -> Row {
    Row { job: Some(failed(JOB_FAILED)), pods: vec![ended(code, reason, "")], ..Row::default() }
}

#[test]
fn a_pod_that_runs_has_not_ended() {
    for job in [active(), json!({})] {
        let row = Row { job: Some(job), pods: vec![running()], report: Some(report(UpdateState::Running, None)), ..Row::default() };
        assert_eq!(at_second(&row, 100), Verdict::Alive);
    }
    let stopping = Row { pods: vec![running()], canceled: true, ..Row::default() };
    assert_eq!(at_second(&stopping, 100), Verdict::Alive, "the batch/v1 Job is gone, its pod is not");
}

#[test]
fn exit_0_with_and_without_a_last_report() {
    let done = Some(report(UpdateState::Completed, Some(RunResult::default())));
    let row = Row { job: Some(active()), pods: vec![ended(0, "Completed", "")], report: done, ..Row::default() };
    assert_eq!((end(&row).class, end(&row).message().as_str()), (AttemptClass::Success, ""), "the batch/v1 Job is not waited for");
    for report in [None, Some(report(UpdateState::Running, None))] {
        let row = Row { job: Some(complete()), pods: vec![ended(0, "Completed", "")], report, ..Row::default() };
        assert_eq!(at_second(&row, 65), Verdict::EndingIn(Duration::from_secs(25)));
        let end = end(&row);
        assert_eq!((end.class, end.exit_code), (AttemptClass::Success, Some(0)));
        assert_eq!(end.message(), "the runner did not report, but its exit code says that all is done");
    }
    let gone = Row { job: Some(complete()), ..Row::default() };
    assert_eq!(end(&gone).class, AttemptClass::Success, "the pod was removed before anyone looked");
}

#[test]
fn exit_codes_of_the_runner() {
    let rows = [(10, AttemptClass::User), (11, AttemptClass::Expectation), (12, AttemptClass::Storage), (20, AttemptClass::Transient)];
    for (exit_code, class) in rows {
        for job in [active(), failed(JOB_FAILED)] {
            let row = Row { job: Some(job), pods: vec![ended(exit_code, "Error", "")], ..Row::default() };
            assert_eq!((end(&row).class, end(&row).exit_code), (class, Some(exit_code)), "no report: its code is enough, at once");
        }
        let word = r#"{"exitCode":11,"errorClass":"EXPECTATION_VIOLATION","flow":"silver","origin":"1.sql:1:1","message":"as left"}"#;
        let row = Row { job: Some(active()), pods: vec![ended(exit_code, "Error", word)], ..Row::default() };
        assert_eq!(end(&row).message(), "Flow silver: [EXPECTATION_VIOLATION] as left");
    }
}

#[test]
fn reports_tell_more_and_are_waited_for() {
    let row = |report| Row {
        job: Some(active()),
        pods: vec![ended(11, "Error", r#"{"exitCode":11,"message":"as left"}"#)],
        report,
        ..Row::default()
    };
    let reported = report(UpdateState::Failed, Some(failure(11, FailureClass::Expectation, "EXPECTATION_VIOLATION")));
    assert_eq!(end(&row(Some(reported))).message(), "Flow silver: [EXPECTATION_VIOLATION] as reported");
    let unfinished = row(Some(report(UpdateState::Running, None)));
    assert_eq!(at_second(&unfinished, 62), Verdict::EndingIn(Duration::from_secs(3)));
    assert_eq!(end(&unfinished).message(), "as left");
}

#[test]
fn the_exit_code_wins_over_the_report() {
    let reported = report(UpdateState::Failed, Some(failure(20, FailureClass::Transient, "IO")));
    let row = Row { job: Some(active()), pods: vec![ended(10, "Error", "")], report: Some(reported), ..Row::default() };
    assert_eq!((end(&row).class, end(&row).contradicted, end(&row).exit_code), (AttemptClass::User, true, Some(10)));
}

#[test]
fn exit_143() {
    let row = |canceled| Row { canceled, ..code(143, "Error") };
    assert_eq!(end(&row(true)).class, AttemptClass::Canceled);
    assert_eq!(end(&row(false)).class, AttemptClass::Interrupted);
    let undecided = Row { job: Some(active()), ..row(false) };
    assert_eq!(at_second(&undecided, 100), Verdict::Alive, "it may have been the deadline: the batch/v1 Job says so");
}

#[test]
fn a_disruption_leaves_the_attempt_alive() {
    for exit_code in [143, 20, 137] {
        let mut status = ended(exit_code, "Error", "");
        status["conditions"] = json!([{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]);
        let row = Row { job: Some(active()), pods: vec![status.clone()], ..Row::default() };
        assert_eq!(at_second(&row, 100), Verdict::Alive, "the batch/v1 Job makes a new pod");
        let row = Row { job: Some(failed(JOB_FAILED)), pods: vec![status], ..Row::default() };
        assert_eq!(end(&row).class, AttemptClass::Interrupted);
    }
}

#[test]
fn pods_and_jobs_that_are_gone() {
    assert_eq!(end(&Row::default()).class, AttemptClass::Interrupted);
    assert_eq!(end(&Row::default()).message(), "[INTERRUPTED] the batch/v1 Job and its pod were removed from outside");
    assert_eq!(end(&Row { job: Some(failed(JOB_FAILED)), ..Row::default() }).class, AttemptClass::Interrupted);
    assert_eq!(end(&Row { canceled: true, ..Row::default() }).class, AttemptClass::Canceled);
    let told = report(UpdateState::Failed, Some(failure(10, FailureClass::User, "CAST")));
    assert_eq!(end(&Row { report: Some(told), ..Row::default() }).class, AttemptClass::User, "its report tells how it ended");
    assert_eq!(end(&Row { seen_code: Some(12), ..Row::default() }).class, AttemptClass::Storage, "its code was seen before");
}

#[test]
fn news_of_a_job_that_come_before_those_of_its_pod() {
    for pods in [vec![running()], Vec::new()] {
        let row = |pods| Row { job: Some(failed(JOB_FAILED)), pods, ..Row::default() };
        let early = row(pods.clone());
        assert_eq!(at_second(&early, 62), Verdict::EndingIn(Duration::from_secs(9)), "what it died of comes with its pod");
        let known = at_second(&Row { seen_code: Some(10), ..early.clone() }, 62);
        assert!(matches!(known, Verdict::Ended(end) if end.class == AttemptClass::User), "its code was seen before");
        assert_eq!(end(&early).class, AttemptClass::Interrupted, "nothing came");
    }
    let told = Row { pods: vec![running()], job: Some(failed("DeadlineExceeded")), ..Row::default() };
    assert!(matches!(at_second(&told, 62), Verdict::Ended(end) if end.class == AttemptClass::Timeout), "the batch/v1 Job knows why");
}

#[test]
fn a_report_that_nobody_can_finish_is_not_waited_for() {
    let told = Some(report(UpdateState::Running, None));
    assert_eq!(end(&Row { report: told.clone(), ..Row::default() }).class, AttemptClass::Interrupted);
    assert_eq!(end(&Row { report: told, canceled: true, ..Row::default() }).class, AttemptClass::Canceled);
}

#[test]
fn deaths_without_explanation() {
    for exit_code in [137, 139, 1, 255] {
        assert_eq!(end(&code(exit_code, "Error")).class, AttemptClass::Unknown);
    }
    let flows =
        vec![flow("bronze", FlowState::Completed, 900), flow("gold", FlowState::Running, 5), flow("silver", FlowState::Running, 70)];
    let told = RunReportSpec { flows, ..report(UpdateState::Running, None) };
    let end = end(&Row { report: Some(told), ..code(137, "OOMKilled") });
    assert!(end.out_of_memory && end.class == AttemptClass::Unknown);
    assert_eq!(
        end.message(),
        "[OUT_OF_MEMORY] the runner used more memory than it may (limit 2Gi); the largest flow was silver; \
         raise spec.runner.resources.limits.memory or lower maxConcurrentFlows"
    );
}

#[test]
fn the_deadline() {
    let row = Row { job: Some(failed("DeadlineExceeded")), ..code(143, "Error") };
    assert_eq!((end(&row).class, end(&row).result.error_class.as_deref()), (AttemptClass::Timeout, Some("UPDATE_TIMEOUT")));
}

#[test]
fn a_cancel_ends_what_would_be_tried_again() {
    for exit_code in [20, 137, 143] {
        assert_eq!(end(&Row { canceled: true, ..code(exit_code, "Error") }).class, AttemptClass::Canceled);
    }
    assert_eq!(end(&Row { canceled: true, ..code(10, "Error") }).class, AttemptClass::User, "it failed by itself");
    let done = Some(report(UpdateState::Completed, Some(RunResult::default())));
    let row = Row { canceled: true, job: Some(complete()), pods: vec![ended(0, "Completed", "")], report: done, ..Row::default() };
    assert_eq!(end(&row).class, AttemptClass::Success, "it was faster");
}

#[test]
fn reports_of_another_protocol_end_the_attempt() {
    for protocol in [0, 99] {
        let told = RunReportSpec { protocol, ..report(UpdateState::Running, None) };
        let row = Row { job: Some(active()), pods: vec![running()], report: Some(told), ..Row::default() };
        assert_eq!((end(&row).class, end(&row).result.error_class.as_deref()), (AttemptClass::User, Some("UNSUPPORTED_PROTOCOL")));
    }
}
