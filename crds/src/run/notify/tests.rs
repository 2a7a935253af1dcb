//! Which deliveries become due, what they tell, and what follows an answer.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;
use crate::{
    job::JobSpec,
    job_run::{Delivery, DeliveryState, TriggerType},
};

const EVENTS: [&str; 6] = ["Start", "Success", "Failure", "Canceled", "Skipped", "HealthWarning"];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-01-31T02:04:05Z")
}

fn trigger() -> RunTrigger {
    let time = Some(Time(at("2026-01-31T02:00:00Z")));
    RunTrigger { trigger_type: TriggerType::Periodic, name: "nightly".to_string(), time, ..RunTrigger::default() }
}

fn run(trigger: &RunTrigger) -> RunRef<'_> {
    RunRef { namespace: "data", job: "bookstore-pro-v2", name: "bookstore-pro-v2-20260131020000", uid: "uid-1", trigger }
}

/// The run is told of in all words; of the tasks `once` speaks of decisive moments, `each` of all.
fn spec() -> JobSpec {
    let entry = |name: &str, last: bool| json!({"name": name, "events": ["Start", "Success", "Failure"], "onlyLastAttempt": last, "webhook": {"receiver": "r"}});
    serde_json::from_value(json!({
        "tasks": [
            {"name": "load", "container": {"image": "i"}, "notifications": [entry("once", true), entry("each", false)]},
            {"name": "each_table", "forEach": {"inputs": "[1]", "task": {"name": "analyze", "sql": {"statements": "SELECT 1"}, "notifications": [entry("inner", false)]}}},
            {"name": "quiet", "container": {"image": "i"}},
        ],
        "notifications": [
            {"name": "ops", "events": EVENTS, "webhook": {"url": "https://hooks.example.com/1", "format": "Slack"}},
            {"name": "load/once", "events": ["Failure"], "email": {"to": ["data@example.org"], "subject": "It\nfailed"}},
        ],
        "health": [{"metric": "RunDurationSeconds", "value": 60, "everySeconds": 600}],
    }))
    .unwrap()
}

fn status(value: Value) -> JobRunStatus {
    serde_json::from_value(value).unwrap()
}

fn told(before: &JobRunStatus, after: &JobRunStatus) -> Vec<String> {
    let trigger = trigger();
    let due = due(&spec(), &run(&trigger), before, after, now());
    due.iter().map(|delivery| format!("{} {}", delivery.event, delivery.target)).collect()
}

#[test]
fn a_run_is_told_of_when_it_starts_and_ends() {
    let none = json!({});
    let queued = json!({"state": "QUEUED"});
    let running = json!({"state": "RUNNING", "startTime": "2026-01-31T02:00:01Z"});
    let ended = |result: &str| json!({"state": "TERMINATED", "resultState": result, "startTime": "2026-01-31T02:00:01Z"});
    let repair = |state: &str, mut status: Value| {
        status["repairs"] = json!([{"id": 0, "type": "Original", "state": "Failed"}, {"id": 1, "type": "Repair", "state": state}]);
        status
    };
    let cases: Vec<(&Value, Value, &[&str])> = vec![
        (&none, queued.clone(), &[]),
        (&none, running.clone(), &["Start ops"]),
        (&queued, running.clone(), &["Start ops"]),
        (&running, json!({"state": "TERMINATING", "startTime": "2026-01-31T02:00:01Z"}), &[]),
        (&running, ended("SUCCESS"), &["Success ops"]),
        (&running, ended("SUCCESS_WITH_FAILURES"), &["Success ops"]),
        (&running, ended("FAILED"), &["Failure ops", "Failure load/once"]),
        (&running, ended("TIMEDOUT"), &["Failure ops", "Failure load/once"]),
        (&running, ended("CANCELED"), &["Canceled ops"]),
        (&queued, json!({"state": "TERMINATED", "resultState": "CANCELED"}), &["Canceled ops"]),
        (&queued, json!({"state": "SKIPPED"}), &["Skipped ops"]),
        // A condition alone is done at once; what cannot be carried out never started.
        (&queued, ended("SUCCESS"), &["Start ops", "Success ops"]),
        (&none, json!({"state": "TERMINATED", "resultState": "FAILED"}), &["Failure ops", "Failure load/once"]),
    ];
    for (before, after, expected) in &cases {
        let (before, after) = (status((*before).clone()), status(after.clone()));
        assert_eq!(told(&before, &after), *expected, "{before:?} -> {after:?}");
        assert!(told(&after, &after).is_empty());
    }
    let failed = status(ended("FAILED"));
    assert_eq!(told(&failed, &status(repair("Running", running.clone()))), ["Start ops"]);
    assert!(told(&failed, &status(repair("Running", json!({"state": "QUEUED"})))).is_empty());
    assert!(told(&failed, &status(repair("Rejected", ended("FAILED")))).is_empty());
    assert_eq!(told(&status(repair("Running", running)), &status(repair("Succeeded", ended("SUCCESS")))), ["Success ops"]);
}

fn task(name: &str, kind: &str, more: &Value) -> JobRunStatus {
    let mut task = json!({"name": name, "kind": kind, "state": "BLOCKED", "startTime": "2026-01-31T02:00:01Z"});
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    status(json!({"state": "RUNNING", "startTime": "2026-01-31T02:00:01Z", "tasks": [task]}))
}

#[test]
fn tasks_are_told_of_with_their_attempts_or_without() {
    let load = |state: &str, count: i32, retries: i32, result: &str| {
        let mut more = json!({"state": state, "executionCount": count, "retries": retries});
        if !result.is_empty() {
            more["resultState"] = json!(result);
        }
        task("load", "container", &more)
    };
    let blocked = load("BLOCKED", 0, 0, "");
    let pending = load("PENDING", 1, 0, "");
    let running = load("RUNNING", 1, 0, "");
    let waiting = load("WAITING_FOR_RETRY", 1, 0, "");
    let again = load("RUNNING", 2, 1, "");
    assert!(told(&blocked, &pending).is_empty());
    assert_eq!(told(&pending, &running), ["Start load/once", "Start load/each"]);
    assert_eq!(told(&running, &waiting), ["Failure load/each"]);
    assert!(told(&waiting, &load("PENDING", 2, 1, "")).is_empty());
    assert_eq!(told(&load("PENDING", 2, 1, ""), &again), ["Start load/each"]);
    // Without a pause between two attempts.
    assert_eq!(told(&running, &load("PENDING", 2, 1, "")), ["Failure load/each"]);
    assert_eq!(told(&again, &load("TERMINATED", 2, 1, "FAILED")), ["Failure load/once", "Failure load/each"]);
    assert_eq!(told(&again, &load("TERMINATED", 2, 1, "TIMEDOUT")), ["Failure load/once", "Failure load/each"]);
    assert_eq!(told(&again, &load("TERMINATED", 2, 1, "SUCCESS")), ["Success load/once", "Success load/each"]);
    for silent in ["CANCELED", "EXCLUDED", "UPSTREAM_FAILED", "UPSTREAM_CANCELED", "DISABLED"] {
        assert!(told(&running, &load("TERMINATED", 1, 0, silent)).is_empty(), "{silent}");
    }
    // Too quick to be seen at work.
    let quick = ["Start load/once", "Start load/each", "Success load/once", "Success load/each"];
    assert_eq!(told(&blocked, &load("TERMINATED", 1, 0, "SUCCESS")), quick);
    let ended = task("quiet", "container", &json!({"state": "TERMINATED", "resultState": "FAILED"}));
    assert!(told(&task("quiet", "container", &json!({"state": "RUNNING"})), &ended).is_empty());
}

#[test]
fn a_loop_is_told_of_once() {
    let each = |state: &str, count: i32, result: Value| {
        task("each_table", "forEach", &json!({"state": state, "executionCount": count, "resultState": result}))
    };
    let running = each("RUNNING", 1, Value::Null);
    assert_eq!(told(&each("BLOCKED", 0, Value::Null), &running), ["Start analyze/inner"]);
    assert!(told(&running, &each("RUNNING", 7, Value::Null)).is_empty());
    let failed = each("TERMINATED", 9, json!("FAILED"));
    assert_eq!(told(&running, &failed), ["Failure analyze/inner"]);
    let trigger = trigger();
    let (spec, run) = (spec(), run(&trigger));
    let due = due(&spec, &run, &running, &failed, now());
    assert_eq!(Place::of(&spec, &run, &failed, &due[0]).task.as_deref(), Some("each_table"));
}

#[test]
fn keys_tell_apart_what_is_told() {
    let (spec, trigger) = (spec(), trigger());
    let run = run(&trigger);
    let keys =
        |before: &JobRunStatus, after: &JobRunStatus| due(&spec, &run, before, after, now()).into_iter().map(|d| d.key).collect::<Vec<_>>();
    let running = status(json!({"state": "RUNNING"}));
    let failed = status(json!({"state": "TERMINATED", "resultState": "FAILED", "repairCount": 0}));
    let first = keys(&running, &failed);
    // sha256 of run, event, name, task, repair and attempt with zero bytes between them.
    assert_eq!(first[0], "67d5a52b24a35659a348e5681ba0c12cad924af1d6b23c8b6cb5b6411cf53a6b");
    assert_eq!(first, keys(&running, &failed));
    let repaired = status(json!({"state": "TERMINATED", "resultState": "FAILED", "repairCount": 1}));
    let second = keys(&status(json!({"state": "RUNNING", "repairCount": 1})), &repaired);
    let mut all: Vec<&String> = first.iter().chain(&second).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4);
    // What the status holds is not due again.
    let mut known = failed.clone();
    known.notifications = due(&spec, &run, &running, &failed, now());
    assert!(keys(&running, &known).is_empty());
}

#[test]
fn names_that_look_like_those_of_tasks_are_found_by_their_key() {
    let (spec, trigger) = (spec(), trigger());
    let run = run(&trigger);
    let failed = task("load", "container", &json!({"state": "TERMINATED", "resultState": "FAILED", "executionCount": 1}));
    let failed = JobRunStatus {
        state: Some(crate::state::RunState::Terminated),
        result_state: Some(crate::state::RunResultState::Failed),
        ..failed
    };
    let before = task("load", "container", &json!({"state": "RUNNING", "executionCount": 1}));
    let due = due(&spec, &run, &before, &failed, now());
    let places: Vec<(String, Place)> = due.iter().map(|d| (d.target.clone(), Place::of(&spec, &run, &failed, d))).collect();
    let found: Vec<(&str, Option<&str>, bool)> = places
        .iter()
        .map(|(target, place)| (target.as_str(), place.task.as_deref(), matches!(place.channel, Some(Channel::Email(_)))))
        .collect();
    let expected =
        [("load/once", Some("load"), false), ("load/each", Some("load"), false), ("ops", None, false), ("load/once", None, true)];
    assert_eq!(found, expected);
}

#[test]
fn j49_a_warning_is_repeated_and_goes_with_the_run() {
    let warned = |state: &str| {
        let condition = json!({"type": "HealthWarning", "status": "True", "reason": "AboveLimit", "message": "RunDurationSeconds is 75, more than 60",
            "lastTransitionTime": "2026-01-31T02:00:00Z"});
        status(json!({"state": state, "startTime": "2026-01-31T01:58:45Z", "conditions": [condition]}))
    };
    let (spec, trigger) = (spec(), trigger());
    let run = run(&trigger);
    let mut running = warned("RUNNING");
    let first = due(&spec, &run, &running, &running, at("2026-01-31T02:00:00Z"));
    assert_eq!((first.len(), first[0].event.as_str()), (1, "HealthWarning"));
    assert!(keep(&mut running, first).is_empty());
    assert!(due(&spec, &run, &running, &running, at("2026-01-31T02:09:59Z")).is_empty());
    let second = due(&spec, &run, &running, &running, at("2026-01-31T02:10:00Z"));
    assert_eq!(second.len(), 1);
    assert_ne!(second[0].key, running.notifications[0].key);
    running.notifications[0].state = DeliveryState::Delivered;
    assert_eq!(next_look(&spec, &running, at("2026-01-31T02:03:00Z")), Some(at("2026-01-31T02:10:00Z")));
    let place = Place::of(&spec, &run, &running, &second[0]);
    let event: Value = serde_json::from_str(&Notice::new(run, &running, &second[0], &place, "").cloud_event()).unwrap();
    assert_eq!(event["type"], "dev.floe.jobrun.healthwarning");
    assert_eq!(event["data"]["message"], "RunDurationSeconds is 75, more than 60");
    let ended = JobRunStatus { result_state: Some(crate::state::RunResultState::Success), ..warned("TERMINATED") };
    assert_eq!(told(&running, &ended), ["Success ops"]);
    assert_eq!(next_look(&spec, &ended, now()), None);
}

fn delivery(name: &str, state: DeliveryState, minute: i64) -> Delivery {
    let time = Some(Time(Timestamp::from_second(minute * 60).unwrap()));
    let (key, target) = (format!("{name}-{minute}"), name.to_string());
    Delivery { key, event: "Failure".to_string(), target, state, attempts: 0, next_attempt_time: None, time, message: None }
}

#[test]
fn what_was_delivered_goes_first_and_nothing_pending_goes_unsaid() {
    let mut status = JobRunStatus::default();
    let old: Vec<Delivery> = (0..30).map(|minute| delivery("ops", DeliveryState::Delivered, 30 - minute)).collect();
    assert!(keep(&mut status, old).is_empty());
    let pending: Vec<Delivery> = (40..44).map(|minute| delivery("load/once", DeliveryState::Pending, minute)).collect();
    assert!(keep(&mut status, pending).is_empty());
    assert_eq!(status.notifications.len(), 32);
    assert!(status.notifications.iter().all(|delivery| !["ops-1", "ops-2"].contains(&delivery.key.as_str())));
    let many: Vec<Delivery> = (50..78).map(|minute| delivery("load/once", DeliveryState::Pending, minute)).collect();
    assert!(keep(&mut status, many).is_empty());
    // The run weighs more than its tasks, and what has waited longest stays.
    let lost = keep(&mut status, vec![delivery("ops", DeliveryState::Pending, 99)]);
    assert_eq!(lost.iter().map(|lost| lost.key.as_str()).collect::<Vec<_>>(), ["load/once-77"]);
    assert_eq!(status.notifications.last().unwrap().key, "ops-99");
    assert_eq!(next_look(&spec(), &status, now()), Some(now()));
}

#[test]
fn tries_come_later_and_later_and_end() {
    let again = Tried::again("the server answered 500");
    let pause = |attempts: i32, random: f64, tried: &Tried| {
        let outcome = Outcome::after(tried, attempts, now(), random);
        outcome.next_attempt_time.map(|at| at.duration_since(now()).as_millis())
    };
    let middle: Vec<Option<i128>> = (1..=7).map(|attempts| pause(attempts, 0.5, &again)).collect();
    assert_eq!(middle, [Some(10_000), Some(30_000), Some(60_000), Some(300_000), Some(900_000), Some(3_600_000), None]);
    assert_eq!((pause(1, 0.0, &again), pause(1, 1.0, &again)), (Some(8_000), Some(12_000)));
    let asked = |seconds| Tried { pause_seconds: Some(seconds), ..again.clone() };
    assert_eq!(
        (pause(1, 0.5, &asked(120)), pause(1, 0.5, &asked(5)), pause(1, 0.5, &asked(86_400))),
        (Some(120_000), Some(10_000), Some(900_000))
    );
    let last = Outcome::after(&again, 7, now(), 0.5);
    assert_eq!((last.state, last.message.as_deref()), (DeliveryState::Failed, Some("the server answered 500")));
    assert_eq!(Outcome::after(&Tried::given_up("x".repeat(600)), 1, now(), 0.5).message.unwrap().len(), 512);

    let mut written = delivery("ops", DeliveryState::Pending, 1);
    assert!(is_due(&written, now()));
    Outcome::after(&again, 1, now(), 0.5).fold(&mut written);
    assert_eq!((written.state, written.attempts, is_due(&written, now())), (DeliveryState::Pending, 1, false));
    assert!(is_due(&written, at("2026-01-31T02:04:15Z")));
    Outcome::after(&Tried::delivered(), 2, now(), 0.5).fold(&mut written);
    assert_eq!((written.state, written.attempts, written.message.as_deref()), (DeliveryState::Delivered, 2, None));
    Outcome::after(&again, 1, now(), 0.5).fold(&mut written);
    assert_eq!(written.state, DeliveryState::Delivered);
}

#[test]
fn answers_are_told_apart() {
    use Verdict::{Again, Delivered, GivenUp};
    for (code, verdict) in [
        (200, Delivered),
        (204, Delivered),
        (301, GivenUp),
        (400, GivenUp),
        (404, GivenUp),
        (408, Again),
        (429, Again),
        (500, Again),
        (503, Again),
    ] {
        assert_eq!(of_http(code), verdict, "{code}");
    }
    for (code, verdict) in
        [(None, Again), (Some(250), Delivered), (Some(421), Again), (Some(451), Again), (Some(535), GivenUp), (Some(550), GivenUp)]
    {
        assert_eq!(of_smtp(code), verdict, "{code:?}");
    }
    assert_eq!(retry_after("120", now()), Some(120));
    assert_eq!(retry_after("Sat, 31 Jan 2026 02:05:05 GMT", now()), Some(60));
    assert_eq!(retry_after("Sat, 31 Jan 2026 02:00:00 GMT", now()), Some(0));
    assert_eq!((retry_after("soon", now()), retry_after("-1", now())), (None, None));
}

#[test]
fn signatures_hold_the_instant_and_every_key() {
    let body = br#"{"id":"1"}"#;
    let (new, old) = (
        "91630cab44b4cdc53b28bb92942a21fca14a2a4d27b7b9d15e1f2568b65656c6",
        "5247718ca8197b44cfe8a745fd05e3f5af5e4ee42e58a127526493c18284de5c",
    );
    assert_eq!(signature(b"key", None, 1_769_824_800, body), format!("t=1769824800,v1={new}"));
    assert_eq!(signature(b"key", Some(b"old"), 1_769_824_800, body), format!("t=1769824800,v1={new},v1={old}"));
}

#[test]
fn payload_and_letters() {
    let (spec, trigger) = (spec(), trigger());
    let run = run(&trigger);
    let before = task("load", "container", &json!({"state": "RUNNING", "executionCount": 1}));
    let after = status(json!({
        "state": "TERMINATED", "resultState": "FAILED", "terminationCode": "RUN_EXECUTION_ERROR",
        "message": "load: [EXPECTATION_VIOLATION] 3 rows of <orders> & more",
        "startTime": "2026-01-31T02:00:01.5Z", "endTime": "2026-01-31T02:04:06Z", "runDurationSeconds": 245,
        "parameters": {"catalog": "main"},
        "taskCounts": {"done": "7/7", "total": 7, "failed": 1, "succeeded": 2},
        "tasks": [{"name": "load", "kind": "container", "state": "TERMINATED", "resultState": "FAILED", "terminationCode": "RUN_EXECUTION_ERROR",
            "message": "exit code 1", "executionCount": 2, "retries": 1, "startTime": "2026-01-31T02:01:00Z", "endTime": "2026-01-31T02:04:00Z"}],
    }));
    let mut text = String::new();
    for delivery in due(&spec, &run, &before, &after, now()).iter().filter(|delivery| !delivery.target.ends_with("each")) {
        let place = Place::of(&spec, &run, &after, delivery);
        let notice = Notice::new(run, &after, delivery, &place, "https://floe.example.com/");
        let event: Value = serde_json::from_str(&notice.cloud_event()).unwrap();
        let subject = if let Some(Channel::Email(email)) = &place.channel { email.subject.clone() } else { String::new() };
        let letter = notice.letter(&subject);
        let head = format!("# {} {}\n{event:#}\n{}\n", delivery.event, delivery.target, notice.slack());
        text.extend([&head, "Subject: ", &letter.subject, "\n\n", &letter.text, "\n"]);
    }
    insta::assert_snapshot!(text);
}
