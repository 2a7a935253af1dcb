//! Pods of Jobs: SQL of tasks, values of containers, and watchers of triggers, each with its report.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    api_server::ApiServer,
    harness::{Ended, Project},
};

const SQL: &str = "
CREATE OR REFRESH STREAMING TABLE books (id BIGINT COMMENT 'number of the book', title STRING)
  AS SELECT id, title FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT, title STRING');
CREATE OR REFRESH MATERIALIZED VIEW per_title AS SELECT title, count(*) AS n FROM books GROUP BY title;
CREATE VIEW titles AS SELECT DISTINCT title FROM books;
CREATE TEMPORARY VIEW hidden AS SELECT * FROM books;";

/// Three books in two tables and a view.
fn shop() -> Project {
    let project = Project::new(&[("t.sql", SQL)]);
    let line = |(id, title): (i64, &str)| format!(r#"{{"id":{id},"title":"{title}"}}"#);
    project.land("a.json", [(1, "Emma"), (2, "Persuasion"), (3, "Emma")].map(line));
    project.run(&[]);
    project
}

/// A request of the operator, and the API server that its process reports to.
struct Work<'a> {
    project: &'a Project,
    command: &'static str,
    server: ApiServer,
    request: Value,
    environment: BTreeMap<String, String>,
}

impl<'a> Work<'a> {
    fn new(project: &'a Project, command: &'static str, kind: &str, own: Value) -> Self {
        let mut request = json!({
            "apiVersion": "floe.dev/v1alpha1", "kind": kind, "protocol": 1, "operatorVersion": "0.1.0",
            "report": {"namespace": "data", "name": "nightly-1-t-1", "owner": {"kind": "JobRun", "name": "nightly-1", "uid": "r"}},
        });
        request.as_object_mut().unwrap().extend(serde_json::from_value::<serde_json::Map<_, _>>(own).unwrap());
        let server = ApiServer::start();
        let environment = [
            ("KUBECONFIG", server.kubeconfig(project.path()).display().to_string()),
            ("FLOE_TERMINATION_LOG", project.path().join("termination").display().to_string()),
            ("FLOE_POD_NAME", "nightly-1-t-1-x".to_string()),
            ("FLOE_POD_UID", "pod-1".to_string()),
        ];
        Self { project, command, server, request, environment: environment.map(|(key, value)| (key.to_string(), value)).into() }
    }

    /// A task that runs `text` in the pipeline of the project.
    fn sql(project: &'a Project, text: &str) -> Self {
        let path = project.path().display().to_string();
        let spec = json!({"schema": "s", "storage": {"uri": format!("file://{path}/lake")}, "source": {}});
        let own = json!({
            "task": task(), "sql": {"name": "task.sql", "text": text, "maxRows": 1000}, "project": path, "scratch": path, "gracePeriodSeconds": 60,
            "pipeline": {"name": "shop", "namespace": "data", "uid": "p", "generation": 3, "spec": spec},
        });
        Self::new(project, "task", "TaskRequest", own)
    }

    /// The side-car of a container task.
    fn values(project: &'a Project) -> Self {
        let folder = project.path().join("values").display().to_string();
        fs::create_dir(&folder).unwrap();
        let own = json!({"task": task(), "container": {"values": folder}, "gracePeriodSeconds": 30});
        Self::new(project, "task-report", "TaskRequest", own)
    }

    fn with(mut self, pointer: &str, key: &str, value: Value) -> Self {
        self.request.pointer_mut(pointer).unwrap()[key] = value;
        self
    }

    fn floe(&self) -> Command {
        let file = self.project.path().join("request.json");
        fs::write(&file, self.request.to_string()).unwrap();
        let mut floe = Command::new(env!("CARGO_BIN_EXE_floe"));
        floe.args([self.command, "--request"]).arg(file).arg("--report").stdin(Stdio::null());
        floe.env_remove("FLOE_FAILPOINTS").env_remove("KUBERNETES_SERVICE_HOST").envs(&self.environment);
        floe
    }

    fn run(&self) -> Ended {
        self.floe().output().unwrap().into()
    }

    /// Runs to its good end; the task part of the report.
    fn completed(&self) -> Value {
        let ended = self.run();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!((&self.report()["result"], &self.report()["state"]), (&json!({"exitCode": 0}), &json!("COMPLETED")));
        self.report()["task"].clone()
    }

    /// Must end with this code; the termination message.
    fn fails(&self, code: i32) -> Value {
        let ended = self.run();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let message = self.termination();
        assert_eq!(self.report()["result"], message);
        message
    }

    fn termination(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.project.path().join("termination")).unwrap()).unwrap()
    }

    fn report(&self) -> Value {
        self.server.report("nightly-1-t-1")
    }

    /// The rows of the last statement.
    fn rows(&self) -> Value {
        parsed(&self.completed()["output"]["rows"])
    }

    fn start(&self) -> Started {
        Started(self.floe().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Waits for a report of which `holds` is true.
    fn until(&self, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1200 {
            if let Some((_, body)) = self.server.applied().pop()
                && holds(&body["spec"])
            {
                return body["spec"].clone();
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("it is never reported: {:#?}", self.server.applied().pop());
    }
}

fn task() -> Value {
    json!({"namespace": "data", "job": {"name": "nightly", "uid": "j"}, "run": {"name": "nightly-1", "uid": "r"}, "key": "t", "executionCount": 1})
}

fn parsed(text: &Value) -> Value {
    serde_json::from_str(text.as_str().unwrap_or_else(|| panic!("no text: {text}"))).unwrap()
}

/// A process that is still there when the test has failed is killed.
struct Started(Child);

impl Started {
    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn end(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }

    /// Waits until the process listens to signals: before, one would end it at once.
    fn listens(&self) {
        let status = PathBuf::from(format!("/proc/{}/status", self.0.id()));
        let caught = |line: &str| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok();
        while fs::read_to_string(&status).unwrap().lines().find_map(caught).is_none_or(|signals| signals & (1 << 14) == 0) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait().map(drop));
    }
}

#[test]
fn j14_values_of_a_container_are_published_once_when_it_has_ended() {
    let project = Project::new(&[]);
    let work = Work::values(&project);
    let mut sidecar = work.start();
    sidecar.listens();
    for (key, text) in [("number", "2\n"), ("string", "\"a b\""), ("object", "{\"b\": [1, null]}\n"), ("plain", "no JSON\n")] {
        project.write(&format!("values/{key}"), text);
    }
    assert!(work.server.applied().is_empty(), "before the end nothing is written");
    sidecar.signal("TERM");
    assert_eq!(sidecar.end(), Some(0));
    let written = work.server.applied();
    assert_eq!(written.len(), 1);
    let report = &written[0].1["spec"];
    assert_eq!(report["task"]["values"], json!({"number": "2", "string": "\"a b\"", "object": "{\"b\":[1,null]}", "plain": "\"no JSON\""}));
    assert_eq!((&report["kind"], &report["podUid"], &report["sequence"]), (&json!("Task"), &json!("pod-1"), &json!(1)));
    assert_eq!((&report["state"], &report["result"]), (&json!("COMPLETED"), &json!({"exitCode": 0})));
    assert_eq!(written[0].1["metadata"]["ownerReferences"][0]["kind"], "JobRun");
}

#[test]
fn j15_values_outlive_a_killed_side_car_and_do_not_ask_how_the_task_ended() {
    let project = Project::new(&[]);
    let work = Work::values(&project);
    project.write("values/n", "12");
    let mut killed = work.start();
    killed.listens();
    killed.signal("KILL");
    assert_eq!(killed.end(), None);
    let mut again = work.start();
    again.listens();
    again.signal("TERM");
    assert_eq!(again.end(), Some(0));
    assert_eq!(work.report()["task"]["values"], json!({"n": "12"}));
}

#[test]
fn values_that_are_too_large_fail_the_attempt_by_name_and_size() {
    let project = Project::new(&[]);
    let work = Work::values(&project);
    project.write("values/fits", "1");
    project.write("values/big", &"x".repeat(48 * 1024 - 1));
    let mut sidecar = work.start();
    sidecar.listens();
    sidecar.signal("TERM");
    assert_eq!(sidecar.end(), Some(10));
    let report = work.report();
    let message = report["result"]["message"].as_str().unwrap();
    assert!(message.contains("big has 49153 bytes"), "{message}");
    assert_eq!((&report["result"]["errorClass"], &report["task"]["values"]), (&json!("VALUE_TOO_LARGE"), &Value::Null));
}

#[test]
fn j14_results_of_sql_become_output_and_values() {
    let project = shop();
    let set = json!([{"key": "all", "from": "Rows"}, {"key": "first", "from": "FirstRow"}, {"key": "one", "from": "Scalar"}]);
    let text = "SET spark.sql.session.timeZone = UTC;\nSELECT count(*) FROM books;\nSELECT title, n, NULL AS nothing FROM per_title ORDER BY n DESC";
    let work = Work::sql(&project, text).with("/sql", "setValues", set);
    let done = work.completed();
    let rows = json!([{"title": "Emma", "n": 2, "nothing": null}, {"title": "Persuasion", "n": 1, "nothing": null}]);
    assert_eq!((&parsed(&done["output"]["rows"]), &parsed(&done["values"]["all"])), (&rows, &rows));
    assert_eq!((&parsed(&done["values"]["first"]), &done["values"]["one"]), (&rows[0], &json!("\"Emma\"")));
    assert_eq!((&done["output"]["rowCount"], &done["output"]["truncated"]), (&json!(2), &json!(false)));
    assert_eq!(done["output"]["columns"], json!(["title", "n", "nothing"]));
    assert_eq!((&done["statementsDone"], &done["statementsTotal"]), (&json!(3), &json!(3)));

    let set = json!([{"key": "first", "from": "FirstRow"}, {"key": "one", "from": "Scalar"}, {"key": "all", "from": "Rows"}]);
    let none = Work::sql(&project, "SELECT * FROM books WHERE id > 99").with("/sql", "setValues", set).completed();
    assert_eq!(none["values"], json!({"first": "null", "one": "null", "all": "[]"}));
}

#[test]
fn results_are_kept_as_far_as_they_fit_and_values_that_do_not_fit_fail() {
    let project = shop();
    let many = "SELECT explode(sequence(1, 5000)) AS n";
    let cut = Work::sql(&project, many).with("/sql", "maxRows", json!(3)).completed();
    assert_eq!((&cut["output"]["rows"], &cut["output"]["rowCount"]), (&json!(r#"[{"n":1},{"n":2},{"n":3}]"#), &json!(5000)));
    assert_eq!(cut["output"]["truncated"], true);

    let wide = "SELECT repeat('x', 20000) AS x FROM (SELECT explode(sequence(1, 4)) AS n)";
    let fit = Work::sql(&project, wide).completed();
    assert_eq!((parsed(&fit["output"]["rows"]).as_array().unwrap().len(), &fit["output"]["truncated"]), (2, &json!(true)));
    let set = json!([{"key": "all", "from": "Rows"}]);
    let failed = Work::sql(&project, wide).with("/sql", "setValues", set).fails(10);
    assert_eq!(failed["errorClass"], "VALUE_TOO_LARGE");
    assert!(failed["message"].as_str().unwrap().contains("value all has 80037 bytes"), "{failed}");
}

#[test]
fn tables_are_listed_and_read_by_names_in_parameters() {
    let project = shop();
    let text = "SELECT table_name, table_type FROM system.information_schema.tables WHERE table_schema = :schema ORDER BY table_name";
    let schema = json!([{"name": "schema", "value": "s"}]);
    let listed = Work::sql(&project, text).with("", "parameters", schema.clone());
    let expected = json!([
        {"table_name": "books", "table_type": "STREAMING_TABLE"}, {"table_name": "per_title", "table_type": "MATERIALIZED_VIEW"},
        {"table_name": "titles", "table_type": "VIEW"},
    ]);
    assert_eq!(listed.rows(), expected);
    assert_eq!(listed.report()["task"]["parameters"], json!({"schema": "s"}));
    let all = Work::sql(&project, "SELECT DISTINCT table_catalog, pipeline FROM information_schema.tables");
    assert_eq!(all.rows(), json!([{"table_catalog": "main", "pipeline": "shop"}]));

    for (table, n) in [("books", 3), ("s.per_title", 2), ("`main`.s.titles", 2)] {
        let parameters = json!([{"name": "table", "value": table}, {"name": "type", "value": "T"}]);
        let counted =
            Work::sql(&project, "SELECT :type AS table_type, count(*) AS n FROM IDENTIFIER(:table)").with("", "parameters", parameters);
        assert_eq!(counted.rows(), json!([{"table_type": "T", "n": n}]), "{table}");
    }
    let parameters = json!([{"name": "c", "value": "title"}]);
    let column =
        Work::sql(&project, "SELECT IDENTIFIER(:c) FROM IDENTIFIER('s.' || 'books') b WHERE b.id = 2").with("", "parameters", parameters);
    assert_eq!(column.rows(), json!([{"title": "Persuasion"}]));
}

#[test]
fn show_and_describe_are_rows() {
    let project = shop();
    let rows = |text: &str| Work::sql(&project, text).rows();
    assert_eq!(rows("SHOW TABLES LIKE 'b*'"), json!([{"database": "s", "tableName": "books", "isTemporary": false}]));
    assert_eq!(rows("SHOW VIEWS IN main.s"), json!([{"namespace": "s", "viewName": "titles", "isTemporary": false}]));
    assert_eq!(rows("SHOW SCHEMAS"), json!([{"databaseName": "s"}]));
    assert_eq!(rows("SHOW TABLES IN elsewhere"), json!([]));
    assert_eq!(rows("SHOW COLUMNS IN per_title"), json!([{"col_name": "title"}, {"col_name": "n"}]));
    let columns =
        json!([{"col_name": "title", "data_type": "STRING", "comment": null}, {"col_name": "n", "data_type": "BIGINT", "comment": null}]);
    assert_eq!(rows("DESCRIBE TABLE per_title"), columns);
    assert_eq!(rows("DESCRIBE SELECT * FROM per_title"), columns);
    assert_eq!(rows("DESC books")[0], json!({"col_name": "id", "data_type": "BIGINT", "comment": "number of the book"}));
    assert_eq!(rows("SET x = 1"), json!([{"key": "x", "value": "1"}]));
}

#[test]
fn j20_no_injection_into_sql() {
    let project = shop();
    let before = project.versions();
    let evil = "books; DROP TABLE books";
    let parameters = json!([{"name": "x", "value": evil}]);
    let literal = Work::sql(&project, "SELECT :x AS x, count_if(title = :x) AS n FROM books").with("", "parameters", parameters.clone());
    assert_eq!(literal.rows(), json!([{"x": evil, "n": 0}]));
    for text in ["SELECT * FROM IDENTIFIER(:x)", "SELECT IDENTIFIER(:x) FROM books", "DESCRIBE IDENTIFIER(:x)"] {
        let failed = Work::sql(&project, text).with("", "parameters", parameters.clone()).fails(10);
        assert_eq!(failed["errorClass"], "INVALID_IDENTIFIER", "{text}");
        assert!(failed["message"].as_str().unwrap().contains("the text 'books; DROP TABLE books' is no name"), "{failed}");
        assert!(failed["origin"].as_str().unwrap().starts_with("task.sql:1:"), "{failed}");
    }
    assert_eq!(project.versions(), before);
}

#[test]
fn what_writes_is_refused_by_name_and_place_before_anything_runs() {
    let project = shop();
    let work = Work::sql(&project, "SELECT 1;\n  DELETE FROM books;");
    let failed = work.fails(10);
    assert_eq!((&failed["errorClass"], &failed["origin"]), (&json!("UNSUPPORTED_SQL_STATEMENT"), &json!("task.sql:2:3")));
    assert!(failed["message"].as_str().unwrap().starts_with("DELETE is not allowed: only statements that read are"), "{failed}");
    assert_eq!((&work.report()["task"]["statementsDone"], &work.report()["state"]), (&json!(0), &json!("FAILED")));
    let unknown = Work::sql(&project, "SELECT 1;\nSELECT * FROM boks").fails(10);
    assert_eq!((&unknown["errorClass"], &unknown["origin"]), (&json!("TABLE_OR_VIEW_NOT_FOUND"), &json!("task.sql:2:15")));
    assert!(unknown["message"].as_str().unwrap().contains("did you mean books?"), "{unknown}");
    let runtime = Work::sql(&project, "SET spark.sql.ansi.enabled = true;\nSELECT CAST(title AS INT) FROM books").fails(10);
    assert_eq!((&runtime["errorClass"], &runtime["origin"]), (&json!("CAST_INVALID_INPUT"), &json!("task.sql:2:1")));
}

#[test]
fn without_a_pipeline_tables_have_their_full_names() {
    let project = shop();
    let visible = json!([{"fullName": "main.s.books", "type": "STREAMING_TABLE", "location": project.table("books"), "pipeline": "shop"}]);
    let work = |text: &str| {
        let mut work = Work::sql(&project, text).with("", "visibleTables", visible.clone());
        work.request.as_object_mut().unwrap().remove("pipeline");
        work
    };
    assert_eq!(work("SELECT count(*) AS n FROM main.s.books").rows(), json!([{"n": 3}]));
    assert_eq!(work("SELECT count(*) AS n FROM IDENTIFIER('MAIN.S.Books') b JOIN main.S.books c USING (id)").rows(), json!([{"n": 3}]));
    let listed =
        json!([{"table_catalog": "main", "table_schema": "s", "table_name": "books", "table_type": "STREAMING_TABLE", "pipeline": "shop"}]);
    assert_eq!(work("SELECT * FROM information_schema.tables").rows(), listed);
    for name in ["books", "s.books", "main.s.per_title", "event_log"] {
        let failed = work(&format!("SELECT * FROM {name}")).fails(10);
        assert_eq!(failed["errorClass"], "TABLE_OR_VIEW_NOT_FOUND", "{name}");
        assert!(failed["message"].as_str().unwrap().contains("catalog.schema.name (for example main.s.books)"), "{failed}");
    }
}

#[test]
fn files_of_the_project_are_run_and_secrets_are_shown_nowhere() {
    let project = shop();
    project.write("analysis/count.sql", "SELECT :salt || '!' AS salted, count(*) AS n\nFROM books");
    let parameters = json!([{"name": "salt", "env": "FLOE_SECRET_PARAM_0", "secret": true}]);
    let mut work = Work::sql(&project, "").with("/sql", "name", json!("analysis/count.sql")).with("", "parameters", parameters);
    work.request["sql"].as_object_mut().unwrap().remove("text");
    work.environment.insert("FLOE_SECRET_PARAM_0".to_string(), "s3cr3t-salt".to_string());
    let done = work.completed();
    assert_eq!((&parsed(&done["output"]["rows"]), &done["parameters"]), (&json!([{"salted": "***!", "n": 3}]), &json!({"salt": "***"})));
    assert!(!format!("{:?}", work.server.applied()).contains("s3cr3t"));
    work.request["sql"]["name"] = json!("../count.sql");
    assert_eq!(work.fails(10)["errorClass"], "FILE_NOT_READABLE");
}

#[test]
fn a_task_that_is_told_to_end_is_canceled() {
    let project = shop();
    let numbers = "(SELECT explode(sequence(1, 9999)) AS n)";
    let work = Work::sql(
        &project,
        &format!("SELECT 1; SELECT count(*) AS n FROM {numbers} a, {numbers} b, {numbers} c WHERE a.n + b.n = c.n * 7"),
    );
    let mut running = work.start();
    work.until(|report| report["task"]["statementsDone"] == 1);
    running.signal("TERM");
    assert_eq!(running.end(), Some(143));
    assert_eq!((&work.report()["state"], &work.report()["result"]), (&json!("CANCELED"), &json!({"exitCode": 143})));
    assert_eq!(work.termination(), json!({"exitCode": 143}));
}

/// A watcher of the folder `in`, of a table and of something that cannot be read.
fn watcher<'a>(project: &'a Project, table: &str) -> Work<'a> {
    let folder = project.path().join("in").display().to_string();
    let own = json!({
        "namespace": "data", "job": {"name": "nightly", "uid": "j"},
        "triggers": [
            {"name": "landed", "pollIntervalSeconds": 1, "files": format!("file://{folder}")},
            {"name": "orders", "pollIntervalSeconds": 1, "tables": [{"name": "books", "location": project.table(table)}]},
            {"name": "wrong", "pollIntervalSeconds": 1, "files": "ftp://nowhere/in"},
        ],
    });
    Work::new(project, "watch", "WatchRequest", own)
}

#[test]
fn j41_file_arrival() {
    let project = shop();
    project.write("in/2026/a.json", "1");
    project.write("in/_SUCCESS", "");
    let work = watcher(&project, "books");
    let mut first = work.start();
    let seen = work.until(|report| {
        report["watch"]["landed"]["since"].is_string()
            && report["watch"]["orders"]["since"].is_string()
            && report["watch"]["wrong"]["error"].is_string()
    });
    assert_eq!(seen["kind"], "Watch");
    assert_eq!(seen["watch"]["landed"]["arrivals"], 0, "what was there before is no arrival");
    assert_eq!(seen["watch"]["orders"]["tables"], json!({"books": project.version("books").unwrap()}));
    assert!(seen["watch"]["wrong"]["error"].as_str().unwrap().starts_with("[UNSUPPORTED_URI_SCHEME]"), "{seen}");
    assert!(seen["watch"]["wrong"]["errorTime"].is_string() && seen["watch"]["wrong"]["since"].is_null());

    let mark = seen["watch"]["landed"]["newestModification"].clone();
    project.write("in/2026/a.json", "overwritten");
    project.write("in/.b.json.tmp", "being written");
    let overwritten = work.until(|report| report["watch"]["landed"]["newestModification"] != mark);
    assert_eq!(overwritten["watch"]["landed"]["arrivals"], 0);
    for n in 0..20 {
        project.write(&format!("in/burst/{n}.json"), "1");
    }
    let landed = work.until(|report| report["watch"]["landed"]["arrivals"] == 20);
    assert!(landed["watch"]["landed"]["lastArrivalTime"].is_string());

    project.land("b.json", [r#"{"id":4,"title":"Emma"}"#.to_string()]);
    project.run(&[]);
    work.until(|report| report["watch"]["orders"]["tables"]["books"] == project.version("books").unwrap());
    first.signal("TERM");
    assert_eq!(first.end(), Some(143));

    // While nobody looked: one file came, one was only copied in with an old time.
    project.write("in/late.json", "1");
    let old = fs::File::create(project.path().join("in/old.json")).unwrap();
    old.set_modified(std::time::UNIX_EPOCH).unwrap();
    let mut second = work.start();
    let after = work.until(|report| report["watch"]["landed"]["arrivals"] == 21);
    assert_eq!(after["watch"]["landed"]["since"], seen["watch"]["landed"]["since"]);
    project.write("in/next.json", "1");
    work.until(|report| report["watch"]["landed"]["arrivals"] == 22);
    second.signal("TERM");
    assert_eq!(second.end(), Some(143));
}

#[test]
fn a_watcher_that_sees_nothing_new_writes_nothing() {
    let project = shop();
    let work = watcher(&project, "books");
    let mut watching = work.start();
    work.until(|report| report["watch"]["landed"]["since"].is_string() && report["watch"]["wrong"]["error"].is_string());
    thread::sleep(Duration::from_secs(2));
    let written = work.server.applied().len();
    thread::sleep(Duration::from_secs(4));
    assert_eq!(work.server.applied().len(), written);
    watching.signal("TERM");
    assert_eq!(watching.end(), Some(143));
}
