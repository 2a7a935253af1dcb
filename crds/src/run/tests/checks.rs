//! What is found in a Job before anything runs.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use crate::{
    condition::Reason,
    job::JobSpec,
    job_run::JobRunSpec,
    run::{
        check::{JobFinding, check_job},
        rules::{broken_by_job, broken_by_run},
    },
    yaml,
};

fn found(spec: &Value) -> Vec<JobFinding> {
    let spec: JobSpec = serde_json::from_value(spec.clone()).unwrap();
    check_job(&spec, "2026-01-31T02:00:00Z".parse().unwrap())
}

/// Path and message of every finding; all have the same reason.
fn all(spec: &Value, reason: Reason) -> Vec<(String, String)> {
    let found = found(spec);
    assert!(found.iter().all(|one| one.reason == reason && one.error == (reason != Reason::AcceptedWithWarnings)), "{found:#?}");
    found.into_iter().map(|one| (one.path, one.message)).collect()
}

fn pairs(found: &[(String, String)]) -> Vec<(&str, &str)> {
    found.iter().map(|(path, message)| (path.as_str(), message.as_str())).collect()
}

fn shell(name: &str, before: &[&str], arg: &str) -> Value {
    let before: Vec<Value> = before.iter().map(|task| json!({"task": task})).collect();
    json!({"name": name, "dependsOn": before, "container": {"image": "i", "args": ["sh", "-c", arg]}})
}

#[test]
fn j17_reference_errors_at_save() {
    let nested = json!({"name": "each", "sql": {"statements": "SELECT 1", "parameters": {"a.b": "{{input.x}} {{tasks.late.run_id}}"}}});
    let spec = json!({"parameters": [{"name": "day", "default": "{{task.name}}"}], "tasks": [
        shell("a", &[], "{{job.naem}}"),
        shell("b", &["a"], "{{tasks.c.run_id}} {{tasks.z.run_id}} {{input}}"),
        shell("late", &["a"], "{{tasks.a.output.rows}} {{job.parameters.dya}}"),
        {"name": "loop", "dependsOn": [{"task": "a"}], "forEach": {"inputs": "{{tasks.b.values.all}}", "task": nested}},
        {"name": "check", "dependsOn": [{"task": "a"}], "condition": {"left": "{{tasks.a.result_state}}", "op": "EqualTo", "right": "evicted"}},
    ]});
    let messages = all(&spec, Reason::InvalidReference);
    assert_eq!(
        pairs(&messages),
        [
            ("/spec/parameters/0/default", "job parameter day, field default: {{task.name}} is only known in tasks, not in a default"),
            ("/spec/tasks/0/container/args/2", "task a, field container.args[2]: unknown name {{job.naem}}; did you mean {{job.name}}?"),
            ("/spec/tasks/1/container/args/2", "task b, field container.args[2]: unknown task c in {{tasks.c.run_id}}; did you mean a?"),
            ("/spec/tasks/1/container/args/2", "task b, field container.args[2]: unknown task z in {{tasks.z.run_id}}; did you mean a?"),
            ("/spec/tasks/1/container/args/2", "task b, field container.args[2]: {{input}} is only known in the nested task of a forEach"),
            (
                "/spec/tasks/2/container/args/2",
                "task late, field container.args[2]: {{tasks.a.output.rows}}: a is a container task and has no rows; sql tasks have"
            ),
            (
                "/spec/tasks/2/container/args/2",
                "task late, field container.args[2]: unknown name {{job.parameters.dya}}; did you mean {{job.parameters.day}}?"
            ),
            ("/spec/tasks/3/forEach/inputs", "task loop, field forEach.inputs: {{tasks.b.values.all}}: task b is not upstream of loop"),
            (
                "/spec/tasks/3/forEach/task/sql/parameters/a.b",
                "task loop, field forEach.task.sql.parameters.a.b: {{tasks.late.run_id}}: task late is not upstream of loop"
            ),
            ("/spec/tasks/4/condition", "task check, field condition: result state evicted does not exist in Floe"),
        ]
    );
    assert_eq!(found(&spec).iter().map(|one| one.at).collect::<Vec<_>>(), [0, 0, 0, 19, 38, 0, 24, 0, 12, 0]);
}

#[test]
fn j17_unknown_namespaces_stay_and_are_told() {
    let spec = json!({"tasks": [shell("a", &[], "{{foo.bar}}")]});
    let told = all(&spec, Reason::AcceptedWithWarnings);
    let message = "task a, field container.args[2]: {{foo.bar}} stays as it is: no reference begins like this";
    assert_eq!(pairs(&told), [("/spec/tasks/0/container/args/2", message)]);
}

#[test]
fn j17_defaults_know_the_run_but_no_tasks() {
    let default = |name: &str, text: &str| json!({"name": name, "default": text});
    let spec = json!({"tasks": [shell("a", &[], "")], "parameters": [
        default("day", "{{job.start_time.iso_date}} {{backfill.iso_date}} {{start_date}}"),
        default("a", "{{job.parameters.b}}"),
        default("b", "{{job.parameters.c}}"),
        default("c", "{{job.parameters.b}}"),
        default("t", "{{tasks.x.values.k}} {{task.name}} {{input}} {{run_id}}"),
    ]});
    let messages = all(&spec, Reason::InvalidReference);
    assert_eq!(
        pairs(&messages),
        [
            ("/spec/parameters/4/default", "job parameter t, field default: {{tasks.x.values.k}} is only known in tasks, not in a default"),
            ("/spec/parameters/4/default", "job parameter t, field default: {{task.name}} is only known in tasks, not in a default"),
            ("/spec/parameters/4/default", "job parameter t, field default: {{input}} is only known in the nested task of a forEach"),
            ("/spec/parameters/4/default", "job parameter t, field default: {{run_id}} is only known in tasks, not in a default"),
            ("/spec/parameters/2/default", "job parameter b, field default: job parameters lead to each other: b → c → b"),
        ]
    );
}

#[test]
fn variables_of_the_defaults_are_read_by_tasks_with_pods() {
    let spec = json!({"taskDefaults": {"env": [{"name": "A", "value": "{{tasks.a.values.k}}"}]}, "tasks": [
        shell("a", &[], ""),
        shell("b", &["a"], ""),
        {"name": "p", "pipeline": {"name": "p"}},
        {"name": "own", "container": {"image": "i"}, "env": [{"name": "B", "value": "{{job.nmae}}"}]},
    ]});
    let messages = all(&spec, Reason::InvalidReference);
    assert_eq!(
        pairs(&messages),
        [
            ("/spec/taskDefaults/env/0/value", "task a, field env[0].value: {{tasks.a.values.k}}: task a is not upstream of a"),
            ("/spec/tasks/3/env/0/value", "task own, field env[0].value: unknown name {{job.nmae}}; did you mean {{job.name}}?"),
        ]
    );
}

#[test]
fn circles_are_all_told() {
    let spec = json!({"tasks": [
        shell("in", &[], ""), shell("a", &["b", "in"], ""), shell("b", &["a"], ""), shell("c", &["d"], ""), shell("d", &["e"], ""),
        shell("e", &["c"], ""), shell("out", &["e"], ""),
    ]});
    let messages = all(&spec, Reason::InvalidGraph);
    assert_eq!(pairs(&messages), [("/spec/tasks/1/dependsOn", "Cycle: a → b → a"), ("/spec/tasks/3/dependsOn", "Cycle: c → e → d → c")]);
}

#[test]
fn names_that_come_twice_and_what_is_too_large() {
    let large = "x".repeat(10_000);
    let many: Vec<Value> = (0..7).map(|at| json!({"name": format!("p{at}"), "default": large})).collect();
    let each = json!({"inputs": "[]", "task": {"name": "a", "container": {"image": "i"}, "env": [{"name": "FLOE_X", "value": ""}]}});
    let spec = json!({"parameters": many, "taskDefaults": {"env": [{"name": "FLOE_RUN_ID", "value": ""}]},
        "tasks": [shell("a", &[], ""), {"name": "loop", "forEach": each}]});
    let messages = all(&spec, Reason::InvalidSpec);
    assert_eq!(
        pairs(&messages),
        [
            ("/spec/tasks/1/forEach/task/name", "two tasks have the name a: tasks[0] and tasks[1].forEach.task; give each its own name"),
            ("/spec/parameters", "the defaults of all parameters together have 70000 bytes, at most 65536 are allowed"),
            ("/spec/taskDefaults/env/0/name", "taskDefaults, field env[0].name: FLOE_RUN_ID: names that begin with FLOE_ are reserved"),
            (
                "/spec/tasks/1/forEach/task/env/0/name",
                "task loop, field forEach.task.env[0].name: FLOE_X: names that begin with FLOE_ are reserved"
            ),
        ]
    );
    let clash = json!({"parameters": [{"name": "a.b"}, {"name": "A_B"}], "tasks": [shell("a-b", &[], ""), shell("a_b", &[], "")]});
    let messages = all(&clash, Reason::InvalidReference);
    let message = "job parameters a.b and A_B would both be the variable FLOE_PARAM_A_B: rename one";
    assert_eq!(pairs(&messages), [("/spec/parameters", message)]);
}

#[test]
fn schedules_are_wrong_at_a_place() {
    let trigger = |name: &str, schedule: Value| json!({"name": name, "schedule": schedule});
    let spec = json!({"tasks": [shell("a", &[], "")], "triggers": [
        trigger("cron", json!({"cron": "0 2 * 13 *"})),
        trigger("quartz", json!({"quartzCron": "0 0 2 L-3 * ?"})),
        trigger("zone", json!({"cron": "@daily", "timeZone": "Berlin"})),
        trigger("often", json!({"quartzCron": "*/5 * * * * ?"})),
        trigger("fine", json!({"cron": "@daily", "timeZone": "Europe/Berlin"})),
    ]});
    let messages = all(&spec, Reason::InvalidSchedule);
    let paths: Vec<&str> = messages.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/spec/triggers/0/schedule/cron",
            "/spec/triggers/1/schedule/quartzCron",
            "/spec/triggers/2/schedule/timeZone",
            "/spec/triggers/3/schedule/quartzCron"
        ]
    );
    assert!(messages[0].1.starts_with("trigger cron: cron '0 2 * 13 *' cannot be read at character 7: "), "{}", messages[0].1);
    assert!(messages[1].1.contains("cannot be read at character 7: ") && messages[1].1.contains("not supported"), "{}", messages[1].1);
    let zone = "trigger zone: timeZone 'Berlin' is no name of the IANA time zone database, e.g. Europe/Berlin";
    assert_eq!(messages[2].1, zone);
    assert!(messages[3].1.ends_with("has two instants that are 5 s apart; at least 10 s are needed"), "{}", messages[3].1);
    assert_eq!(found(&spec).iter().map(|one| one.at).collect::<Vec<_>>(), [6, 6, 0, 0]);
}

/// The samples of the rules of a kind: the same answers as of a cluster.
#[test]
fn j52_cel_rules() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for file in ["job.yaml", "job_run.yaml"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(file)).unwrap();
        for sample in yaml::parse(&text).0[0].0.to_json().as_array().unwrap() {
            let messages = |which: &str, old: Option<&Value>| broken(sample["kind"].as_str().unwrap(), &sample[which], old);
            let message = sample["message"].as_str().unwrap();
            let old = sample.get("old");
            assert_eq!(messages("accepted", old), Vec::<String>::new(), "{sample}");
            assert_eq!(messages("rejected", old), [message], "{sample}");
            *seen.entry(message.to_string()).or_default() += 1;
        }
    }
    assert!(seen.len() >= 24, "{seen:#?}");
}

fn broken(kind: &str, object: &Value, old: Option<&Value>) -> Vec<String> {
    let name = object["metadata"]["name"].as_str().unwrap();
    let findings = if kind == "Job" {
        broken_by_job(name, &serde_json::from_value(object["spec"].clone()).unwrap())
    } else {
        let read = |object: &Value| serde_json::from_value::<JobRunSpec>(object["spec"].clone()).unwrap();
        broken_by_run(name, &read(object), old.map(read).as_ref())
    };
    for finding in &findings {
        let parent = finding.path.rsplit_once('/').map(|(parent, _)| parent).unwrap_or_default();
        assert!(object.pointer(parent).is_some(), "{finding:?} is at no field of {object}");
    }
    findings.into_iter().map(|finding| finding.message).collect()
}
