//! A runner as a pod: it carries out the request of an operator, reports to the cluster, and ends with a code and a message.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    api_server::ApiServer,
    harness::{Ended, Project},
    interrupted::Held,
};

const SQL: &str = "
CREATE OR REFRESH STREAMING TABLE a (CONSTRAINT small EXPECT (id < 25) ON VIOLATION DROP ROW)
  AS SELECT id FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT', maxFilesPerTrigger => 1);
CREATE OR REFRESH STREAMING TABLE b COMMENT 'copied' AS SELECT id FROM STREAM(a);
CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT count(*) AS rows FROM b;";

/// A request for a project, and what its pod has around it.
pub struct Pod<'a> {
    project: &'a Project,
    server: ApiServer,
    pub request: Value,
    environment: BTreeMap<String, String>,
}

impl<'a> Pod<'a> {
    pub fn new(project: &'a Project) -> Self {
        let path = project.path().display().to_string();
        let request = json!({
            "apiVersion": "floe.dev/v1alpha1", "kind": "UpdateRequest", "protocol": 1, "operatorVersion": "0.1.0",
            "update": {"name": "shop-u7", "id": "5f3c2a52-7f4e-4d9b-9d5a-3f1f2c1b0a99", "type": "Update", "cause": "API_CALL", "requestId": "now",
                "attempt": 1, "createdAt": "2026-01-31T02:00:00Z",
                "stateTimes": {"QUEUED": "2026-01-31T02:00:00Z", "CREATED": "2026-01-31T02:00:05Z", "WAITING_FOR_RESOURCES": "2026-01-31T02:00:06Z"}},
            "pipeline": {"name": "shop", "namespace": "data", "uid": "p", "generation": 3,
                "spec": {"schema": "s", "storage": {"uri": format!("file://{path}/lake")}, "source": {}}},
            "tables": [], "selection": {}, "parameters": [], "completedFlows": [], "removedTables": [],
            "project": path, "scratch": path,
            "report": {"namespace": "data", "name": "shop-u7-a1", "owner": {"kind": "PipelineUpdate", "name": "shop-u7", "uid": "u"}},
            "gracePeriodSeconds": 60, "clusterId": "cluster", "runAs": "floe-shop",
        });
        let server = ApiServer::start();
        let environment = [
            ("KUBECONFIG", server.kubeconfig(project.path()).display().to_string()),
            ("FLOE_TERMINATION_LOG", project.path().join("termination").display().to_string()),
            ("FLOE_POD_NAME", "shop-u7-a1-x".to_string()),
            ("FLOE_POD_UID", "pod-1".to_string()),
            ("FLOE_NODE_NAME", "node-1".to_string()),
            ("FLOE_CPU_MILLIS", "2000".to_string()),
        ];
        Self { project, server, request, environment: environment.map(|(key, value)| (key.to_string(), value)).into() }
    }

    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        *self.request.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        self
    }

    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.environment.insert(key.to_string(), value.to_string());
        self
    }

    pub fn floe(&self, arguments: &[&str]) -> Command {
        let file = self.project.path().join("request.json");
        fs::write(&file, self.request.to_string()).unwrap();
        let mut floe = Command::new(env!("CARGO_BIN_EXE_floe"));
        floe.args(["run", "--request"]).arg(file).args(["--report"]).args(arguments).stdin(Stdio::null());
        floe.env_remove("FLOE_FAILPOINTS").env_remove("KUBERNETES_SERVICE_HOST").envs(&self.environment);
        floe
    }

    pub fn run(&self) -> Ended {
        self.floe(&[]).output().unwrap().into()
    }

    /// Must end well.
    pub fn completed(&self) -> Ended {
        let ended = self.run();
        assert_eq!(ended.code, Some(0), "stdout:\n{}\nstderr:\n{}", ended.stdout, ended.stderr);
        ended
    }

    pub fn termination(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.project.path().join("termination")).unwrap()).unwrap()
    }

    pub fn report(&self) -> Value {
        self.server.report(self.request["report"]["name"].as_str().unwrap())
    }
}

/// Three files of ten rows, one micro-batch each; five rows are dropped.
fn project() -> Project {
    let project = Project::new(&[("t.sql", SQL)]);
    for file in 0..3 {
        project.land(&format!("{file}.json"), (0..10).map(|id| format!(r#"{{"id":{}}}"#, file * 10 + id)));
    }
    project
}

pub fn by_name<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|item| item[key] == name).unwrap_or_else(|| panic!("no {name} in {list}"))
}

/// State and time of each update_progress event, in the order of the log.
fn update_states(project: &Project) -> Vec<(String, String)> {
    let rows = project.events(
        "SELECT lpad(CAST(sequence['data_plane_id']['seq_no'] AS STRING), 6, '0'), details, timestamp FROM t WHERE event_type = 'update_progress'",
    );
    rows.iter()
        .map(|row| {
            let (details, time) = row.split_once('|').unwrap().1.rsplit_once('|').unwrap();
            let details: Value = serde_json::from_str(details).unwrap();
            (details["update_progress"]["state"].as_str().unwrap().to_string(), time.to_string())
        })
        .collect()
}

#[test]
fn o08_a_request_runs_like_the_project_and_says_so_in_its_report() {
    let project = project();
    let pod = Pod::new(&project);
    pod.completed();
    assert_eq!(project.rows("a", "SELECT count(*), sum(id) FROM t"), ["25|300"]);
    assert_eq!(project.rows("v", "SELECT rows FROM t"), ["25"]);
    assert_eq!(pod.termination(), json!({"exitCode": 0}));

    let report = pod.report();
    assert_eq!((&report["state"], &report["result"]), (&json!("COMPLETED"), &json!({"exitCode": 0})));
    assert_eq!((&report["podUid"], &report["podName"], &report["nodeName"]), (&json!("pod-1"), &json!("shop-u7-a1-x"), &json!("node-1")));
    assert_eq!(report["totals"]["rowsWritten"], 25 + 25 + 1);
    assert_eq!((&report["totals"]["dropped"], &report["totals"]["inputRows"]), (&json!(5), &json!(30 + 25 + 25)));
    let flow = by_name(&report["flows"], "name", "a");
    assert_eq!((&flow["state"], &flow["dataset"]), (&json!("COMPLETED"), &json!("main.s.a")));
    assert_eq!((&flow["metrics"]["num_output_rows"], &flow["metrics"]["dropped_records"]), (&json!(25), &json!(5)));
    let table = by_name(&report["tables"], "fullName", "main.s.a");
    assert_eq!((&table["rows"], &table["files"], &table["columns"], &table["version"]), (&json!(25), &json!(3), &json!(1), &json!(3)));
    assert!(
        table["sizeBytes"].as_i64().unwrap() > 0
            && table["lastCommitTime"].is_string()
            && !table["schemaHash"].as_str().unwrap().is_empty()
    );
    assert_eq!(table["location"], project.path().join("lake/s/a").display().to_string());
    assert_eq!((&table["refresh"]["rowsWritten"], &table["refresh"]["succeeded"]), (&json!(25), &json!(true)));
    assert_eq!(table["refresh"]["update"], "shop-u7");
    assert_eq!(table["streaming"], json!({"generation": 0, "backlogFiles": 0, "backlogBytes": 0}));
    let quality = json!([{"name": "small", "action": "DROP", "passed": 25, "failed": 5, "lastFailedUpdate": "shop-u7"}]);
    assert_eq!(table["quality"], quality);
    let view = by_name(&report["tables"], "fullName", "main.s.v");
    assert_eq!((&view["rows"], &view["refresh"]["maintenanceType"]), (&json!(1), &json!("MAINTENANCE_TYPE_COMPLETE_RECOMPUTE")));
    let counter = |family: &str, labels: &str| report["counters"][family][labels].as_f64();
    assert_eq!(counter("floe_flow_output_rows_total", r#"flow="a",dataset="main.s.a""#), Some(25.0));
    assert_eq!(counter("floe_expectation_records_total", r#"dataset="main.s.a",expectation="small",result="failed""#), Some(5.0));
    assert_eq!(counter("floe_files_ingested_total", r#"flow="a""#), Some(3.0));
}

#[test]
fn o09_the_report_has_the_graph_with_what_table_objects_need() {
    let project = project();
    let pod = Pod::new(&project);
    pod.completed();
    let graph = pod.report()["graph"].clone();
    assert_eq!((&graph["valid"], &graph["counts"]["datasets"], &graph["counts"]["streamingTables"]), (&json!(true), &json!(3), &json!(2)));
    let dataset = by_name(&graph["datasets"], "fullName", "main.s.b");
    assert_eq!(dataset["declaredIn"], "transformations/t.sql:4:35");
    assert_eq!(
        dataset["spec"],
        json!({"pipeline": "shop", "name": "b", "type": "StreamingTable", "private": false, "query": "SELECT id FROM STREAM(a)", "comment": "copied"})
    );
    let expectations = &by_name(&graph["datasets"], "fullName", "main.s.a")["spec"]["expectations"];
    assert_eq!(*expectations, json!([{"name": "small", "expr": "id < 25", "onViolation": "DropRow"}]));
    assert_eq!(
        *by_name(&graph["flows"], "name", "v"),
        json!({"name": "v", "dataset": "main.s.v", "type": "MATERIALIZED_VIEW", "inputs": ["main.s.b"]})
    );
}

#[test]
fn reports_are_applied_by_their_own_manager_and_never_hold_up_their_owner() {
    let project = project();
    let pod = Pod::new(&project);
    pod.completed();
    let applied = pod.server.applied();
    for (number, (target, body)) in applied.iter().enumerate() {
        assert!(target.starts_with("/apis/floe.dev/v1alpha1/namespaces/data/runreports/shop-u7-a1?"), "{target}");
        assert!(target.contains("fieldManager=floe-runner") && target.contains("force=true"), "{target}");
        assert_eq!(body["spec"]["sequence"], number + 1);
        let owner = json!([{"apiVersion": "floe.dev/v1alpha1", "kind": "PipelineUpdate", "name": "shop-u7", "uid": "u", "blockOwnerDeletion": false}]);
        assert_eq!(body["metadata"]["ownerReferences"], owner);
        assert!(body["spec"]["heartbeatTime"].is_string());
    }
    assert!(applied.len() >= 2, "the graph is reported before the end");
    assert!(applied[0].1["spec"]["graph"]["valid"] == true && applied[0].1["spec"]["result"].is_null());
}

#[test]
fn e25_states_from_before_the_runner_are_in_the_log_with_their_times() {
    let project = project();
    Pod::new(&project).completed();
    let states = update_states(&project);
    let names: Vec<&str> = states.iter().map(|(state, _)| state.as_str()).collect();
    assert_eq!(names, ["QUEUED", "CREATED", "WAITING_FOR_RESOURCES", "INITIALIZING", "SETTING_UP_TABLES", "RUNNING", "COMPLETED"]);
    assert_eq!(states[0].1, "2026-01-31T02:00:00Z");
    assert_eq!(states[2].1, "2026-01-31T02:00:06Z");
    let origins = project.events(
        "SELECT DISTINCT origin['update_id'], origin['attempt'], origin['namespace'], origin['cluster_id'], origin['request_id'], origin['pipeline_name'], origin['host'] FROM t",
    );
    assert_eq!(origins, ["5f3c2a52-7f4e-4d9b-9d5a-3f1f2c1b0a99|1|data|cluster|now|shop|shop-u7-a1-x"]);
    let created = &project.last_update()[0];
    assert_eq!(
        (created.kind.as_str(), &created.details["run_as"], &created.details["cause"]),
        ("create_update", &json!("floe-shop"), &json!("API_CALL"))
    );
}

#[test]
fn o59_a_request_is_repeated_on_a_laptop() {
    let project = project();
    let pod = Pod::new(&project).with("/project", json!("/floe/project")).with("/scratch", json!("/floe/scratch"));
    let folder = project.path().display().to_string();
    let dry = |ended: Ended| -> Value {
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    };
    let asked = dry(pod.floe(&[&folder, "--dry-run"]).output().unwrap().into());
    let mut own = project.call("run", &["--dry-run", "--output", "json"]);
    own.stdout = own.stdout.replace("\"test\"", "\"shop\"");
    assert_eq!(asked, dry(own));
    // Without a cluster nothing is reported, and no flag is needed for that.
    let mut floe = Command::new(env!("CARGO_BIN_EXE_floe"));
    floe.args(["run", &folder, "--request"]).arg(project.path().join("request.json"));
    let ended: Ended = floe.env_remove("KUBERNETES_SERVICE_HOST").output().unwrap().into();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(project.rows("v", "SELECT rows FROM t"), ["25"]);
    assert!(pod.server.applied().is_empty());
    assert!(ended.stdout.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "events as JSON lines: {}", ended.stdout);
    let missing = pod.run();
    assert!(missing.code == Some(10) && missing.stderr.contains("PROJECT_NOT_FOUND"), "{}", missing.stderr);
}

#[test]
fn o48_a_newer_protocol_is_refused() {
    let project = project();
    let pod = Pod::new(&project).with("/protocol", json!(99));
    let ended = pod.run();
    assert_eq!(ended.code, Some(10));
    assert_eq!((&pod.termination()["errorClass"], &pod.termination()["class"]), (&json!("UNSUPPORTED_PROTOCOL"), &json!("user")));
    assert!(!project.path().join("lake").exists());
}

#[test]
fn o17_a_secret_parameter_is_nowhere() {
    const CANARY: &str = "canary-8c1f";
    let sql = "SET spark.sql.ansi.enabled = true;
        CREATE OR REFRESH STREAMING TABLE a AS SELECT id, concat(:salt, id) AS salted FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT');
        CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT CAST(salted AS INT) AS n FROM a;";
    let project = Project::new(&[("t.sql", sql)]);
    project.land("1.json", ["{\"id\":1}".to_string()]);
    let from = json!([{"name": "salt", "valueFrom": {"secretKeyRef": {"name": "salt", "key": "salt"}}}]);
    let mut pod = Pod::new(&project)
        .with("/parameters", json!([{"name": "salt", "env": "FLOE_SECRET_PARAM_0", "secret": true}]))
        .env("FLOE_SECRET_PARAM_0", CANARY);
    pod.request["pipeline"]["spec"]["parameters"] = from;
    let ended = pod.run();
    assert_eq!(ended.code, Some(10), "{}", ended.stderr);
    assert_eq!(pod.report()["result"]["errorClass"], "CAST_INVALID_INPUT");
    let shown = [ended.stdout, ended.stderr, pod.termination().to_string(), format!("{:?}", pod.server.applied())];
    assert!(shown.iter().all(|text| !text.contains(CANARY)), "{shown:?}");
    assert!(shown[3].contains("***"), "the failure quotes the value: {}", shown[3]);
    let events = project.events("SELECT concat(message, details, coalesce(CAST(error['exceptions'][1]['message'] AS STRING), '')) FROM t");
    assert!(!events.iter().any(|event| event.contains(CANARY)));

    let without = Pod { environment: BTreeMap::new(), ..pod };
    let ended = without.run();
    assert!(
        ended.code == Some(10) && ended.stderr.contains("UNBOUND_SQL_PARAMETER") && ended.stderr.contains("FLOE_SECRET_PARAM_0"),
        "{}",
        ended.stderr
    );
}

#[test]
fn o12_an_invalid_graph_is_reported_with_its_places() {
    let project = project();
    project.write("transformations/w.sql", "CREATE MATERIALIZED VIEW w AS\nSELECT * FROM orders_sliver;");
    for selection in [json!({}), json!({"validateOnly": true})] {
        let pod = Pod::new(&project).with("/selection", selection);
        let ended = pod.run();
        assert_eq!(ended.code, Some(10), "{}", ended.stderr);
        let report = pod.report();
        assert_eq!((&report["graph"]["valid"], &report["result"]["exitCode"]), (&json!(false), &json!(10)));
        let finding = &report["graph"]["findings"][0];
        assert_eq!((&finding["error"], &finding["class"]), (&json!(true), &json!("TABLE_OR_VIEW_NOT_FOUND")));
        assert_eq!(finding["origin"], "transformations/w.sql:2:15");
        assert_eq!(pod.termination()["origin"], "transformations/w.sql:2:15");
    }
    // A wrong selection says nothing about the graph.
    fs::remove_file(project.path().join("transformations/w.sql")).unwrap();
    let pod = Pod::new(&project).with("/selection", json!({"refresh": ["nothing"]}));
    assert_eq!(pod.run().code, Some(10));
    assert_eq!((&pod.report()["graph"], &pod.report()["result"]["errorClass"]), (&Value::Null, &json!("UNKNOWN_DATASET_IN_SELECTION")));
}

#[test]
fn o13_a_validation_writes_no_table_and_runs_beside_an_update() {
    let project = project();
    let valid = Pod::new(&project).with("/selection", json!({"validateOnly": true}));
    valid.completed();
    assert!(!project.path().join("lake").exists());
    assert_eq!((&valid.report()["state"], &valid.report()["graph"]["valid"]), (&json!("COMPLETED"), &json!(true)));

    let mut held = Held::start(&project, &[]);
    valid.completed();
    held.stop("INT");
    assert_eq!(held.release().code, Some(130));
    let recovered = project.events("SELECT count(*) FROM t WHERE message LIKE '%(recovered)%'");
    assert_eq!(recovered, ["0"], "a validation takes no running update for dead");
    project.run(&[]);
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["25"]);
}

#[test]
fn o55_a_report_that_cannot_be_written_changes_nothing() {
    let project = project();
    project.write(
        "transformations/u.sql",
        "CREATE MATERIALIZED VIEW u (CONSTRAINT none EXPECT (id < 0) ON VIOLATION FAIL UPDATE) AS SELECT id FROM a;",
    );
    let mut pod = Pod::new(&project);
    pod.server = pod.server.failing(5);
    let ended = pod.run();
    assert_eq!(ended.code, Some(11), "{}", ended.stderr);
    let termination = pod.termination();
    assert_eq!((&termination["exitCode"], &termination["class"], &termination["flow"]), (&json!(11), &json!("expectation"), &json!("u")));
    assert_eq!(
        (&termination["errorClass"], &termination["origin"]),
        (&json!("EXPECTATION_VIOLATION"), &json!("transformations/u.sql:1:26"))
    );
    let report = pod.report();
    assert_eq!((&report["result"], &report["state"]), (&termination, &json!("FAILED")));
    let flow = by_name(&report["flows"], "name", "u");
    assert_eq!(
        (&flow["state"], &flow["errorClass"], &flow["origin"]),
        (&json!("FAILED"), &json!("EXPECTATION_VIOLATION"), &json!("transformations/u.sql:1:26"))
    );
    assert_eq!(report["counters"]["floe_flow_failures_total"], json!({"flow=\"u\",class=\"expectation\"": 1.0}));
    assert_eq!(by_name(&report["tables"], "fullName", "main.s.u")["refresh"]["succeeded"], false);
}

#[test]
fn p79_a_further_attempt_runs_what_is_left() {
    let project = project();
    let first = Pod::new(&project).env("FLOE_FAILPOINTS", "mv::before=fail*9");
    let mut first_request = first.request.clone();
    first_request["pipeline"]["spec"]["retryPolicy"] = json!({"maxFlowRetries": 0});
    let first = Pod { request: first_request, ..first };
    let ended = first.run();
    assert_eq!(ended.code, Some(20), "{}", ended.stderr);
    assert_eq!((&first.termination()["class"], &first.termination()["flow"]), (&json!("transient"), &json!("v")));

    let second = Pod::new(&project)
        .with("/update/attempt", json!(2))
        .with("/update/cause", json!("RETRY_ON_FAILURE"))
        .with("/completedFlows", json!(["a", "b"]))
        .with("/report/name", json!("shop-u7-a2"));
    second.completed();
    assert_eq!(project.rows("v", "SELECT rows FROM t"), ["25"]);
    let attempt = |n: u32| {
        project.events(&format!("SELECT concat(origin['flow_name'], ' ', message) FROM t WHERE event_type = 'flow_progress' AND origin['attempt'] = {n} AND level <> 'METRICS'"))
    };
    assert!(
        attempt(2).contains(&"a Flow a is EXCLUDED.".to_string()) && attempt(2).contains(&"v Flow v has COMPLETED.".to_string()),
        "{:?}",
        attempt(2)
    );
    assert_eq!(project.events("SELECT DISTINCT origin['update_id'] FROM t").len(), 1);
    let causes = project.events("SELECT message FROM t WHERE event_type = 'create_update' ORDER BY timestamp");
    assert!(causes.iter().any(|text| text.ends_with("started by RETRY_ON_FAILURE (attempt 2).")), "{causes:?}");
    let report = second.report();
    assert_eq!((&by_name(&report["flows"], "name", "a")["state"], &report["totals"]["rowsWritten"]), (&json!("COMPLETED"), &json!(1)));
}

impl<'a> Held<'a> {
    /// A pod in its first micro-batch.
    fn pod(pod: &Pod<'a>) -> Self {
        Held::start_command(pod.project, pod.floe(&[]))
    }
}

#[test]
fn o18_o20_an_interrupted_pod_is_followed_by_another_one() {
    let project = project();
    let pod = Pod::new(&project);
    let held = Held::pod(&pod);
    held.signal("TERM");
    let ended = held.release();
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["10"]);
    assert_eq!((&pod.termination()["exitCode"], &pod.report()["result"]["exitCode"]), (&json!(143), &json!(143)));
    assert_eq!(pod.report()["state"], "STOPPING", "whoever stopped the pod says what becomes of the update");
    let before = pod.report()["sequence"].as_i64().unwrap();

    let pod = pod.env("FLOE_POD_UID", "pod-2");
    pod.completed();
    assert_eq!(project.rows("a", "SELECT count(*), sum(id) FROM t"), ["25|300"]);
    let states: Vec<String> = update_states(&project).into_iter().map(|(state, _)| state).collect();
    let expected = ["QUEUED", "CREATED", "WAITING_FOR_RESOURCES", "INITIALIZING", "SETTING_UP_TABLES", "RUNNING", "STOPPING"];
    assert_eq!(states[..7], expected);
    assert_eq!(states[7..], ["WAITING_FOR_RESOURCES", "INITIALIZING", "SETTING_UP_TABLES", "RUNNING", "COMPLETED"]);
    let numbers = project
        .events("SELECT count(*), count(DISTINCT sequence['data_plane_id']['seq_no']), max(sequence['data_plane_id']['seq_no']) FROM t");
    let numbers: BTreeSet<&str> = numbers[0].split('|').collect();
    assert_eq!(numbers.len(), 1, "numbers of one attempt have no gaps and no doubles: {numbers:?}");
    // The report goes on where the first pod left it.
    let report = pod.report();
    assert_eq!(
        (&report["podUid"], &report["totals"]["rowsWritten"], &report["totals"]["dropped"]),
        (&json!("pod-2"), &json!(51), &json!(5))
    );
    assert!(report["sequence"].as_i64().unwrap() > before);
    assert_eq!(report["counters"]["floe_flow_output_rows_total"][r#"flow="a",dataset="main.s.a""#], 25.0);
    let builds: Vec<_> = report["counters"]["floe_build_info"].as_object().unwrap().iter().collect();
    assert!(builds[0].0.starts_with(r#"version="0.1.0",datafusion="5"#) && builds.len() == 1, "{builds:?}");
    assert_eq!(builds[0].1, 1.0, "two pods, one build");
}

#[test]
fn o20_a_killed_pod_loses_no_numbers() {
    let project = project();
    // The second micro-batch is in the table, and its runner dies before it can say so.
    let pod = Pod::new(&project).env("FLOE_FAILPOINTS", "target::after=2");
    assert_eq!(pod.run().code, None);
    let pod = Pod { environment: pod.environment.into_iter().filter(|(key, _)| key != "FLOE_FAILPOINTS").collect(), ..pod };
    pod.completed();
    assert_eq!(project.rows("a", "SELECT count(*), sum(id) FROM t"), ["25|300"]);
    assert_eq!(project.totals()["a"]["output"], 25);
    let report = pod.report();
    let flow = by_name(&report["flows"], "name", "a");
    assert_eq!(flow["metrics"]["num_output_rows"], 25, "{report:#}");
}

#[test]
fn o18_work_that_does_not_end_in_time_is_given_up() {
    let project = project();
    let pod = Pod::new(&project).with("/gracePeriodSeconds", json!(11));
    let mut held = Held::pod(&pod);
    held.signal("TERM");
    let ended = held.end();
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["0"]);
    assert_eq!(project.states("a").last().unwrap(), "STOPPED");
    fs::remove_file(project.path().join("hold")).unwrap();
    pod.completed();
    assert_eq!(project.rows("a", "SELECT count(*), sum(id) FROM t"), ["25|300"]);
}

#[test]
fn p72_a_new_pod_does_not_reset_again() {
    let project = project();
    Pod::new(&project).completed();
    let reset = || {
        Pod::new(&project)
            .with("/update/id", json!("0d8c7a2e-0000-4000-8000-000000000001"))
            .with("/selection", json!({"resetCheckpoints": ["a"]}))
            .with("/report/name", json!("shop-u8-a1"))
    };
    project.write("hold", "");
    let pod = reset();
    let held = Held::start_at(&project, pod.floe(&[]), "g1");
    held.signal("TERM");
    assert_eq!(held.release().code, Some(143));
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["35"]);
    reset().completed();
    assert_eq!(project.rows("a", "SELECT count(*), count(DISTINCT id) FROM t"), ["50|25"]);
    // The next update may reset again.
    reset().with("/update/id", json!("0d8c7a2e-0000-4000-8000-000000000002")).completed();
    assert_eq!(project.rows("a", "SELECT count(*) FROM t"), ["75"]);
}

#[test]
fn o27_an_update_that_nobody_goes_on_with_was_canceled() {
    let project = project();
    let pod = Pod::new(&project);
    let held = Held::pod(&pod);
    held.signal("TERM");
    assert_eq!(held.release().code, Some(143));
    project.run(&[]);
    let ends = project.events("SELECT message FROM t WHERE event_type = 'update_progress' AND origin['update_id'] = '5f3c2a52-7f4e-4d9b-9d5a-3f1f2c1b0a99' AND (message LIKE '%CANCELED%' OR message LIKE '%recovered%')");
    assert_eq!(ends, ["Update 5f3c2a52-7f4e-4d9b-9d5a-3f1f2c1b0a99 is CANCELED."]);
    assert_eq!(project.totals()["a"]["output"], 25);
}

#[test]
fn table_objects_of_a_request_are_datasets() {
    let project = project();
    let spec = json!({"pipeline": "shop", "type": "MaterializedView", "query": "SELECT id * 2 AS twice FROM a"});
    let tables = json!([{"name": "twice-a", "uid": "t", "generation": 1, "deletionPolicy": "Retain", "spec": spec}]);
    let pod = Pod::new(&project).with("/tables", tables);
    pod.completed();
    assert_eq!(project.rows("twice_a", "SELECT sum(twice) FROM t"), ["600"]);
    let report = pod.report();
    let dataset = by_name(&report["graph"]["datasets"], "fullName", "main.s.twice_a");
    assert_eq!((&dataset["declaredIn"], &dataset["spec"]), (&json!("manifest"), &Value::Null));
    let wrong = json!([{"name": "x", "uid": "t", "generation": 1, "deletionPolicy": "Retain",
        "spec": {"pipeline": "shop", "type": "MaterializedView", "query": "SELECT nothing FROM a"}}]);
    let pod = Pod::new(&project).with("/tables", wrong).with("/report/name", json!("shop-u9-a1"));
    assert_eq!(pod.run().code, Some(10));
    assert!(pod.report()["graph"]["findings"][0]["origin"].as_str().unwrap().starts_with("tables.floe.dev/x:"), "{}", pod.report());
}

#[test]
fn a_pipeline_without_files_needs_no_folder() {
    let project = project();
    let landing = project.path().join("landing").display().to_string();
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('{landing}', format => 'json', schema => 'id BIGINT');"
    );
    let mut pod = Pod::new(&project).with("/project", json!("/nowhere/floe"));
    let spec = pod.request["pipeline"]["spec"].as_object_mut().unwrap();
    spec.remove("source");
    spec.insert("libraries".to_string(), json!([{"inline": {"name": "inline.sql", "sql": sql}}]));
    pod.completed();
    assert_eq!(project.rows("t", "SELECT count(*) FROM t"), ["30"]);
    let report = pod.report();
    assert_eq!(by_name(&report["graph"]["datasets"], "fullName", "main.s.t")["declaredIn"], "inline.sql:1:35");
}

#[test]
fn requests_that_cannot_be_read_say_so() {
    let project = project();
    let termination = project.path().join("termination");
    for (content, says) in [("{", "REQUEST_UNREADABLE"), (r#"{"protocol":1}"#, "REQUEST_UNREADABLE")] {
        let file: PathBuf = project.path().join("broken.json");
        fs::write(&file, content).unwrap();
        let mut floe = Command::new(env!("CARGO_BIN_EXE_floe"));
        let ended: Ended = floe.args(["run", "--request"]).arg(&file).env("FLOE_TERMINATION_LOG", &termination).output().unwrap().into();
        assert!(ended.code == Some(10) && ended.stderr.contains(says), "{ended:?}");
        assert!(fs::read_to_string(&termination).unwrap().contains(says));
    }
    let both = project.call("run", &["--request", "x.json", "--full-refresh-all"]);
    assert!(both.code == Some(2) && both.stderr.contains("cannot be used with"), "{both:?}");
}

/// The answer of an HTTP server: status and body.
pub fn http(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_string(), body.to_string())
}

#[test]
fn a_pod_serves_metrics_and_health_while_it_runs() {
    let project = project();
    let pod = Pod::new(&project);
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    // The second micro-batch waits, so that the numbers of the first can be read.
    project.write("hold", "");
    let mut floe = pod.floe(&["--http-addr", &address]);
    let hold = format!("commit_entry::after=hold:{}", project.path().join("hold").display());
    let mut child = floe.env("FLOE_FAILPOINTS", hold).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !project.path().join("lake/_floe/checkpoints/a/g0/commits/0.json").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(http(&address, "/healthz"), ("HTTP/1.1 200 OK".to_string(), "ok".to_string()));
    let (status, text) = http(&address, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let has = |line: &str| assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
    has("# TYPE floe_flow_output_rows_total counter");
    has("floe_flow_output_rows_total{namespace=\"data\",pipeline=\"shop\",flow=\"a\",dataset=\"main.s.a\"} 10");
    has("floe_flow_state{namespace=\"data\",pipeline=\"shop\",flow=\"b\",state=\"QUEUED\"} 1");
    has("# TYPE floe_flow_batch_duration_seconds histogram");
    assert!(text.contains("floe_build_info{namespace=\"data\",pipeline=\"shop\",version=\"0.1.0\""), "{text}");
    fs::remove_file(project.path().join("hold")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
