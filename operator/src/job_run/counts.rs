//! What metrics count of a run: its start, its end, its repairs, and attempts of its tasks. Pure.

use std::time::Duration;

use floe_crds::{
    job::TaskKind,
    job_run::{JobRun, JobRunStatus, RepairState},
    state::{RunState, TaskResultState, TaskState},
};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::metrics::JobEvent;

/// What happened between two statuses of `run`.
pub fn events<'a>(run: &JobRun, old: &JobRunStatus, new: &JobRunStatus) -> Vec<JobEvent<'a>> {
    let mut all = Vec::new();
    if let (None, Some(start)) = (&old.start_time, &new.start_time) {
        let made = run.creation_timestamp().map_or(start.0, |at| at.0);
        all.push(JobEvent::RunStarted(between(made, start.0)));
    }
    let has_ended = |status: &JobRunStatus| status.state.is_some_and(RunState::is_terminal);
    if has_ended(new) && !has_ended(old) {
        let repaired = new.repairs.iter().rfind(|record| record.state != RepairState::Rejected).is_some_and(|record| record.id > 0);
        match new.result_state.filter(|_| repaired) {
            Some(result) => all.push(JobEvent::RepairEnded(result)),
            None => all.push(JobEvent::RunEnded {
                result: new.result_state,
                trigger: run.spec.trigger.trigger_type,
                took: new.start_time.as_ref().zip(new.end_time.as_ref()).map(|(start, end)| between(start.0, end.0)),
            }),
        }
    }
    for task in new.tasks.iter().filter(|task| task.kind != TaskKind::ForEach && task.execution_count > 0) {
        let before = old.tasks.iter().find(|before| before.name == task.name);
        if before.is_some_and(|before| before.retries < task.retries) {
            all.push(JobEvent::AttemptEnded(task.kind, TaskResultState::Failed));
        }
        let ended = task.result_state.filter(|_| task.state == TaskState::Terminated);
        if let Some(result) = ended.filter(|_| before.is_none_or(|before| before.state != TaskState::Terminated)) {
            all.push(JobEvent::AttemptEnded(task.kind, result));
        }
    }
    all
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use floe_crds::state::RunResultState;

    fn status(value: &serde_json::Value) -> JobRunStatus {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn a_run_is_counted_once_and_so_is_each_repair() {
        let run: JobRun = serde_json::from_value(json!({
            "apiVersion": "floe.dev/v1alpha1", "kind": "JobRun",
            "metadata": {"name": "n-1", "creationTimestamp": "2026-01-31T02:00:00Z"},
            "spec": {"jobRef": {"name": "n"}, "trigger": {"type": "Periodic"}},
        }))
        .unwrap();
        let task = |state: &str, retries: i32, result: Option<&str>| json!([{"name": "a", "kind": "sql", "state": state, "resultState": result, "retries": retries, "executionCount": 1}]);
        let begun = status(&json!({"state": "RUNNING", "startTime": "2026-01-31T02:00:05Z", "tasks": task("RUNNING", 0, None)}));
        assert_eq!(events(&run, &JobRunStatus::default(), &begun), [JobEvent::RunStarted(Duration::from_secs(5))]);
        let again = status(&json!({"state": "RUNNING", "startTime": "2026-01-31T02:00:05Z", "tasks": task("WAITING_FOR_RETRY", 1, None)}));
        assert_eq!(events(&run, &begun, &again), [JobEvent::AttemptEnded(TaskKind::Sql, TaskResultState::Failed)]);
        let mut ended = json!({
            "state": "TERMINATED", "resultState": "FAILED", "startTime": "2026-01-31T02:00:05Z", "endTime": "2026-01-31T02:01:05Z",
            "tasks": task("TERMINATED", 1, Some("TIMEDOUT")), "repairs": [{"id": 0, "type": "Original", "state": "Failed"}],
        });
        let end = JobEvent::RunEnded {
            result: Some(RunResultState::Failed),
            trigger: floe_crds::job_run::TriggerType::Periodic,
            took: Some(Duration::from_mins(1)),
        };
        assert_eq!(events(&run, &again, &status(&ended)), [end, JobEvent::AttemptEnded(TaskKind::Sql, TaskResultState::TimedOut)]);
        assert_eq!(events(&run, &status(&ended), &status(&ended)), []);
        ended["repairs"] = json!([{"id": 0, "type": "Original", "state": "Failed"}, {"id": 1, "type": "Repair", "state": "Succeeded"}]);
        ended["resultState"] = json!("SUCCESS");
        ended["tasks"] = json!([]);
        assert_eq!(events(&run, &begun, &status(&ended)), [JobEvent::RepairEnded(RunResultState::Success)]);
        let skipped = status(&json!({"state": "SKIPPED"}));
        let never = JobEvent::RunEnded { result: None, trigger: floe_crds::job_run::TriggerType::Periodic, took: None };
        assert_eq!(events(&run, &JobRunStatus::default(), &skipped), [never]);
    }
}
