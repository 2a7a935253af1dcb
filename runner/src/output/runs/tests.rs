use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-01-31T02:10:00Z".parse().unwrap()
}

/// True if a line of `text` has exactly these cells, empty ones aside.
fn holds(text: &str, cells: &[&str]) -> bool {
    let parted = |line: &str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_string).collect::<Vec<_>>();
    text.lines().any(|line| parted(line) == cells)
}

fn failed_run() -> JobRun {
    let run = json!({
        "apiVersion": "floe.dev/v1alpha1", "kind": "JobRun", "metadata": {"name": "nightly-x7k2p"},
        "spec": {"jobRef": {"name": "nightly"}, "trigger": {"type": "Periodic", "name": "clock", "time": "2026-01-31T02:00:00Z"}},
        "status": {
            "state": "TERMINATED", "resultState": "FAILED", "terminationCode": "RUN_EXECUTION_ERROR",
            "message": "load: [TABLE_NOT_FOUND] no table x", "startTime": "2026-01-31T02:00:01Z", "endTime": "2026-01-31T02:06:05Z",
            "repairCount": 1, "parameters": {"day": "2026-01-31"},
            "taskCounts": {"done": "4/4", "total": 4, "blocked": 0, "running": 0, "succeeded": 2, "failed": 2, "excluded": 0, "disabled": 0, "canceled": 0},
            "tasks": [
                {"name": "fetch", "kind": "container", "state": "TERMINATED", "resultState": "SUCCESS", "executionCount": 1,
                 "startTime": "2026-01-31T02:00:01Z", "endTime": "2026-01-31T02:00:31Z", "values": ["files"],
                 "child": {"apiVersion": "batch/v1", "kind": "Job", "name": "nightly-x7k2p-fetch-1", "uid": "a"}},
                {"name": "load", "kind": "pipeline", "state": "TERMINATED", "resultState": "FAILED", "executionCount": 2,
                 "startTime": "2026-01-31T02:05:00Z", "endTime": "2026-01-31T02:06:05Z", "message": "[TABLE_NOT_FOUND] no table x",
                 "child": {"apiVersion": "floe.dev/v1alpha1", "kind": "PipelineUpdate", "name": "nightly-x7k2p-load-2", "uid": "b"}},
                {"name": "each", "kind": "forEach", "state": "TERMINATED", "resultState": "UPSTREAM_FAILED"},
            ],
            "repairs": [
                {"id": 0, "type": "Original", "state": "Failed", "startTime": "2026-01-31T02:00:01Z"},
                {"id": 1, "type": "Repair", "state": "Failed", "tasks": ["load", "each"], "startTime": "2026-01-31T02:05:00Z"},
            ],
            "notifications": [{"key": "k", "event": "Failure", "target": "ops", "state": "Failed", "attempts": 7, "message": "HTTP status 500"}],
        },
    });
    serde_json::from_value(run).unwrap()
}

#[test]
fn a_run_is_described_with_all_that_a_person_asks_for() {
    let known = Known {
        values: BTreeMap::from([("fetch".to_string(), BTreeMap::from([("files".to_string(), json!(2))]))]),
        pods: vec![("fetch".to_string(), "nightly-x7k2p-fetch-1-abcde".to_string()), ("load (attempt 2)".to_string(), "l".to_string())],
    };
    let text = run(&failed_run(), &known, now(), false);
    for line in [
        "run:        nightly-x7k2p",
        "state:      failed (RUN_EXECUTION_ERROR)",
        "message:    load: [TABLE_NOT_FOUND] no table x",
        "trigger:    Periodic (clock) for 2026-01-31 02:00:00Z",
        "parameters: day=2026-01-31",
        "duration:   1 min 05 s",
        "  fetch.files = 2",
        "  load (attempt 2): l",
        "  Failure to ops: given up after 7 tries: HTTP status 500",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
    }
    assert!(
        holds(
            &text,
            &[
                "load",
                "pipeline",
                "failed",
                "2",
                "2026-01-31 02:05:00Z",
                "1 min 05 s",
                "pipelineupdates.floe.dev/nightly-x7k2p-load-2",
                "[TABLE_NOT_FOUND] no table x"
            ]
        ),
        "{text}"
    );
    assert!(
        holds(&text, &["fetch", "container", "success", "1", "2026-01-31 02:00:01Z", "30.0 s", "jobs.batch/nightly-x7k2p-fetch-1"]),
        "{text}"
    );
    assert!(holds(&text, &["each", "forEach", "upstream failed"]), "{text}");
    assert!(holds(&text, &["1", "failed", "2026-01-31 02:05:00Z", "load, each"]), "{text}");
}

#[test]
fn a_list_of_runs_tells_where_they_are() {
    let mut running = failed_run();
    running.metadata.name = Some("nightly-9".to_string());
    let status = running.status.as_mut().unwrap();
    (status.state, status.result_state, status.end_time) = (Some(RunState::Running), None, None);
    let mut fresh = JobRun::new("nightly-10", running.spec.clone());
    fresh.spec.trigger.trigger_type = floe_crds::job_run::TriggerType::OneTime;
    let text = runs(&[fresh, running, failed_run()], now(), false);
    assert!(holds(&text, &["run", "state", "trigger", "tasks", "repairs", "started", "duration"]), "{text}");
    assert!(holds(&text, &["nightly-10", "not begun", "OneTime"]), "{text}");
    assert!(holds(&text, &["nightly-9", "running", "Periodic", "4/4", "1", "2026-01-31 02:00:01Z", "5 min 00 s"]), "{text}");
    assert!(holds(&text, &["nightly-x7k2p", "failed", "Periodic", "4/4", "1", "2026-01-31 02:00:01Z", "1 min 05 s"]), "{text}");
}

#[test]
fn a_list_of_jobs_tells_what_runs_next_and_what_is_refused() {
    let job = |name: &str, spec: &Value, status: &Value| -> Job {
        let mut spec = spec.clone();
        spec["tasks"] = json!([{"name": "a", "container": {"image": "i"}}]);
        serde_json::from_value(
            json!({"apiVersion": "floe.dev/v1alpha1", "kind": "Job", "metadata": {"name": name}, "spec": spec, "status": status}),
        )
        .unwrap()
    };
    let nightly = job(
        "nightly",
        &json!({}),
        &json!({"schedule": "0 2 * * *", "active": 1, "nextRunTime": "2026-02-01T02:00:00Z",
                "lastRun": {"name": "r", "state": "RUNNING", "startTime": "2026-01-31T02:00:01Z"}}),
    );
    let off = job("off", &json!({"suspend": true}), &json!({"lastRun": {"name": "r", "state": "TERMINATED", "resultState": "SUCCESS"}}));
    let condition = json!({"type": "Accepted", "status": "False", "reason": "InvalidGraph", "message": "", "lastTransitionTime": "2026-01-31T02:00:00Z"});
    let wrong = job("wrong", &json!({}), &json!({"conditions": [condition]}));
    let text = jobs(&[nightly, off, wrong, job("young", &json!({}), &json!(null))], false);
    assert!(holds(&text, &["nightly", "0 2 * * *", "1", "2026-01-31 02:00:01Z", "running", "2026-02-01 02:00:00Z"]), "{text}");
    assert!(holds(&text, &["off", "yes", "success"]), "{text}");
    assert!(holds(&text, &["wrong", "InvalidGraph"]), "{text}");
    assert_eq!(text.lines().last().map(str::trim), Some("young"));
}
