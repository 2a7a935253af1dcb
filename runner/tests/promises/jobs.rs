//! Jobs without a cluster: real processes, updates and queries, what is kept of a run, and what a repair makes of it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{Ended, Project};

/// A project with Jobs.
struct Jobs {
    project: Project,
}

/// A run as it was kept.
struct Ran {
    ended: Ended,
    run: Value,
}

impl Jobs {
    /// One Job `nightly` with these tasks, as YAML.
    fn of(tasks: &str) -> Self {
        let project = Project::new(&[]);
        let jobs = Self { project };
        jobs.job("nightly", &format!("  tasks:\n{tasks}"));
        jobs
    }

    fn job(&self, name: &str, spec: &str) {
        let head = format!("apiVersion: floe.dev/v1alpha1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n");
        self.project.write(&format!("jobs/{name}.yaml"), &(head + spec));
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_of("nightly", arguments)
    }

    fn run_of(&self, job: &str, arguments: &[&str]) -> Ran {
        let ended = self.project.call("run", &[&["--job", job], arguments].concat());
        let run = latest(self.project.path(), job);
        Ran { ended, run }
    }

    /// Starts a run and goes on when `file` is there.
    fn start_until(&self, file: &str, arguments: &[&str]) -> Child {
        let mut floe = self.project.floe("run", &[&["--job", "nightly"], arguments].concat());
        let child = floe.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        self.wait_for(file);
        child
    }

    fn wait_for(&self, file: &str) {
        let begun = Instant::now();
        while !self.project.path().join(file).exists() {
            assert!(begun.elapsed() < Duration::from_mins(1), "{file} never came");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn has(&self, file: &str) -> bool {
        self.project.path().join(file).exists()
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.project.path().join(file)).unwrap()
    }
}

/// The newest run of `job`.
fn latest(project: &Path, job: &str) -> Value {
    let Ok(entries) = fs::read_dir(project.join(".floe/runs").join(job)) else { return Value::Null };
    let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "json"));
    let newest: PathBuf = files.max().unwrap();
    serde_json::from_str(&fs::read_to_string(newest).unwrap()).unwrap()
}

impl Ran {
    /// `task RESULT attempts`, in the order of the Job.
    fn results(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_string();
        let tasks = self.run["status"]["tasks"].as_array().unwrap().iter();
        tasks.map(|task| format!("{} {} {}", text(&task["name"]), text(&task["resultState"]), task["executionCount"])).collect()
    }

    fn result(&self) -> &str {
        self.run["status"]["resultState"].as_str().unwrap_or_else(|| panic!("{:#?}", self.ended))
    }

    fn task(&self, name: &str) -> &Value {
        self.run["status"]["tasks"].as_array().unwrap().iter().find(|task| task["name"] == name).unwrap()
    }

    fn message(&self, task: &str) -> &str {
        self.task(task)["message"].as_str().unwrap_or_default()
    }
}

/// A container task that is a shell on this machine.
fn shell(name: &str, more: &str, script: &str) -> String {
    let script = serde_json::to_string(script).unwrap();
    format!("  - {{name: {name}, {more}container: {{image: i, localMode: Process, command: [sh, -ec], args: [{script}]}}}}\n")
}

fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn j01_bookstore_with_files_local() {
    let jobs = Jobs { project: Project::bookstore() };
    let ran = jobs.run_of("bookstore-pro-v2", &[]);
    assert_eq!((ran.ended.code, ran.result()), (Some(0), "SUCCESS"), "{:#?}", ran.ended);
    let expected = [
        "land_new_data SUCCESS 1",
        "has_new_file SUCCESS 1",
        "run_pipeline SUCCESS 1",
        "log_no_data EXCLUDED 0",
        "list_tables SUCCESS 1",
        "tables_iterator SUCCESS 1",
    ];
    assert_eq!(ran.results(), expected);
    let tables = ran.run["values"]["list_tables"]["tables"].as_array().unwrap();
    let names: Vec<&str> = tables.iter().map(|table| table["table_name"].as_str().unwrap()).collect();
    assert!(names.contains(&"bronze") && names.contains(&"authors_stats") && names.is_sorted(), "{names:?}");
    assert_eq!(ran.task("tables_iterator")["forEach"]["total"], json!(names.len()));
    assert_eq!(ran.task("tables_iterator")["forEach"]["succeeded"], json!(names.len()));
    assert!(ran.ended.stdout.contains(&format!("   {} iterations\n", names.len())), "{}", ran.ended.stdout);
    assert_eq!(ran.run["values"]["land_new_data"], json!({"number_new_files": 2}));
    assert!(jobs.has("data/landing/kafka-raw-etl/staged-0002.json"));
    assert_eq!(jobs.project.sql("SELECT count(*) AS n FROM bronze"), json!([{"n": 2080}]));
    // The update of the task has the id that references give.
    let update = ran.task("run_pipeline")["child"]["uid"].as_str().unwrap();
    let updates = jobs.project.events("SELECT DISTINCT origin['update_id'] FROM t");
    assert_eq!(updates, [update]);
    // A second run takes the other branch.
    let ran = jobs.run_of("bookstore-pro-v2", &[]);
    let others = ["run_pipeline EXCLUDED 0", "log_no_data SUCCESS 1", "list_tables EXCLUDED 0", "tables_iterator EXCLUDED 0"];
    assert_eq!((ran.result(), ran.results()[2..].to_vec()), ("SUCCESS", others.map(str::to_string).to_vec()));
    assert!(ran.ended.stderr.contains(": no new data"), "{}", ran.ended.stderr);
}

#[test]
fn j03_bookstore_local_is_as_it_was_when_somebody_looked_at_it() {
    let jobs = Jobs { project: Project::bookstore() };
    let ran = jobs.run_of("bookstore-pro-v2", &[]);
    let tables = ran.run["values"]["list_tables"]["tables"].as_array().unwrap();
    let count = |table: &Value| {
        let name = table["table_name"].as_str().unwrap();
        (name.to_string(), jobs.project.sql(&format!("SELECT count(*) AS n FROM {name}"))[0]["n"].clone())
    };
    let rows: BTreeMap<String, Value> = tables.iter().map(count).collect();
    let found = json!({"results": ran.results(), "result": ran.result(), "values": ran.run["values"], "rows": rows});
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/jobs/bookstore-pro-v2.json");
    if std::env::var_os("FLOE_UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(golden.parent().unwrap()).unwrap();
        fs::write(&golden, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
    }
    let expected: Value = serde_json::from_str(&fs::read_to_string(golden).unwrap()).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn j14_values_roundtrip() {
    let write = "cd $FLOE_VALUES_DIR; echo 2 > n; printf '%s' '\"a b\"' > s; echo '{\"x\": [1, null]}' > o; echo 'no JSON' > t";
    let read = "printf '%s|' \"$@\" > seen";
    let references = ["n", "s", "o", "o.x", "t"].map(|key| format!("\"{{{{tasks.a.values.{key}}}}}\"")).join(", ");
    let script = serde_json::to_string(read).unwrap();
    let second = format!(
        "  - {{name: b, dependsOn: [{{task: a}}], container: {{image: i, localMode: Process, command: [sh, -ec], args: [{script}, sh, {references}]}}}}\n"
    );
    let jobs = Jobs::of(&(shell("a", "", write) + &second));
    let ran = jobs.run(&[]);
    assert_eq!(ran.result(), "SUCCESS", "{:#?}", ran.ended);
    assert_eq!(ran.run["values"]["a"], json!({"n": 2, "s": "a b", "o": {"x": [1, null]}, "t": "no JSON"}));
    assert_eq!(jobs.text("seen"), "2|a b|{\"x\":[1,null]}|[1,null]|no JSON|");
    assert_eq!(ran.task("a")["values"], json!(["n", "o", "s", "t"]));
}

#[test]
fn j15_value_of_failed_task() {
    let b =
        "  - {name: b, dependsOn: [{task: a}], runIf: AllDone, condition: {left: \"{{tasks.a.values.why}}\", op: EqualTo, right: bad}}\n";
    let jobs = Jobs::of(&(shell("a", "", "echo bad > $FLOE_VALUES_DIR/why; echo this is why >&2; exit 10") + b));
    let ran = jobs.run(&[]);
    assert_eq!(ran.results(), ["a FAILED 1", "b SUCCESS 1"]);
    assert_eq!((ran.task("b")["outcome"].as_str(), ran.result(), ran.ended.code), (Some("true"), "SUCCESS_WITH_FAILURES", Some(0)));
    assert!(ran.message("a").starts_with("exit code 10: this is why (log: .floe/runs/nightly/"), "{}", ran.message("a"));
    assert!(ran.ended.stderr.contains("warning: a task failed") && ran.ended.stderr.contains("a │ this is why"), "{}", ran.ended.stderr);
}

#[test]
fn j23_j25_attempts_are_retried_and_timed_out() {
    let tasks = [
        shell("slow", "timeoutSeconds: 1, ", "echo x >> slow; exec sleep 60"),
        shell("again", "timeoutSeconds: 1, retry: {maxRetries: 1, onTimeout: true}, ", "echo x >> again; exec sleep 60"),
        shell("flaky", "retry: {maxRetries: 2}, ", "echo x >> flaky; [ $(wc -l < flaky) = 3 ]"),
        shell("user", "retry: {maxRetries: 5}, ", "echo x >> user; exit 12"),
    ];
    let jobs = Jobs::of(&tasks.concat());
    let ran = jobs.run(&[]);
    assert_eq!(ran.results(), ["slow TIMEDOUT 1", "again TIMEDOUT 2", "flaky SUCCESS 3", "user FAILED 1"]);
    let lines = ["slow", "again", "flaky", "user"].map(|file| jobs.text(file).lines().count());
    assert_eq!(lines, [1, 2, 3, 1]);
    assert_eq!(ran.message("slow"), "took longer than timeoutSeconds (1) and was stopped");
    assert_eq!((ran.result(), ran.ended.code), ("FAILED", Some(10)), "the first leaf that failed decides");
    assert_eq!(jobs.run(&["--only", "user"]).ended.code, Some(12));
}

#[test]
fn j27_cancel_graceful_runs_cleanup_and_immediate_does_not() {
    let tasks = [
        shell("a", "", "trap 'echo told > told; exit 143' TERM; echo 1 > begun; sleep 60 & wait"),
        shell("b", "dependsOn: [{task: a}], ", "echo 1 > b"),
        shell("clean", "dependsOn: [{task: b}], runIf: AllDone, ", "echo 1 > clean-begun; sleep 1; echo 1 > cleaned"),
    ];
    let jobs = Jobs::of(&tasks.concat());
    let child = jobs.start_until("begun", &[]);
    signal(&child, "-INT");
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{ended:#?}");
    let ran = Ran { ended, run: latest(jobs.project.path(), "nightly") };
    assert_eq!((ran.result(), ran.results()), ("CANCELED", ["a CANCELED 1", "b CANCELED 0", "clean SUCCESS 1"].map(String::from).to_vec()));
    assert!(jobs.has("told") && jobs.has("cleaned") && !jobs.has("b"));
    // The second signal stops the clean-up too.
    fs::remove_file(jobs.project.path().join("begun")).unwrap();
    fs::remove_file(jobs.project.path().join("clean-begun")).unwrap();
    fs::remove_file(jobs.project.path().join("cleaned")).unwrap();
    let child = jobs.start_until("begun", &[]);
    signal(&child, "-INT");
    jobs.wait_for("clean-begun");
    signal(&child, "-INT");
    let ended = Ended::from(child.wait_with_output().unwrap());
    let ran = Ran { ended, run: latest(jobs.project.path(), "nightly") };
    assert_eq!((ran.ended.code, ran.results()[2].as_str()), (Some(130), "clean CANCELED 1"), "{:#?}", ran.ended);
    assert!(!jobs.has("cleaned"));
}

#[test]
fn j29_repair_failed_only() {
    let jobs = Jobs::of("");
    let tasks = [
        shell("a", "", "echo x >> a; echo 7 > $FLOE_VALUES_DIR/v"),
        shell("b", "dependsOn: [{task: a}], ", "echo x >> b; echo got $0 > got; [ \"$FLOE_PARAM_FIX\" = yes ]"),
        shell("c", "dependsOn: [{task: b}], ", "echo {{tasks.a.values.v}} {{job.repair_count}} > c"),
    ];
    jobs.job("nightly", &format!("  parameters: [{{name: fix, default: \"no\"}}]\n  tasks:\n{}", tasks.concat()));
    let first = jobs.run(&[]);
    assert_eq!((first.result(), first.ended.code), ("FAILED", Some(10)), "{:#?}", first.ended);
    assert_eq!(first.results(), ["a SUCCESS 1", "b FAILED 1", "c UPSTREAM_FAILED 0"]);
    assert!(first.ended.stdout.contains("--job nightly --repair latest"), "{}", first.ended.stdout);
    let again = jobs.run(&["--repair", "latest"]);
    assert_eq!((again.results()[1].as_str(), again.ended.code), ("b FAILED 2", Some(10)));
    assert!(again.ended.stderr.contains("! c                        upstream failed\n"), "{}", again.ended.stderr);
    let repaired = jobs.run(&["--repair", "latest", "--param", "fix=yes"]);
    assert_eq!((repaired.result(), repaired.ended.code), ("SUCCESS", Some(0)), "{:#?}", repaired.ended);
    assert_eq!(repaired.results(), ["a SUCCESS 1", "b SUCCESS 3", "c SUCCESS 1"]);
    assert_eq!((jobs.text("a").as_str(), jobs.text("c").as_str()), ("x\n", "7 2\n"));
    assert_eq!((&repaired.run["metadata"], &repaired.run["status"]["repairCount"]), (&first.run["metadata"], &json!(2)));
    // Nothing has failed any more.
    let name = first.run["metadata"]["name"].as_str().unwrap();
    jobs.project.refused("run", &["--job", "nightly", "--repair", name], 10, "REPAIR_REJECTED");
    let chosen = jobs.run(&["--repair", name, "--tasks", "a", "--dependents"]);
    assert_eq!(chosen.results(), ["a SUCCESS 2", "b SUCCESS 4", "c SUCCESS 2"], "the parameter of an earlier repair stays");
}

#[test]
fn a_killed_run_goes_on_and_leaves_no_program_behind() {
    let tasks = [
        shell("a", "", "echo x >> a"),
        shell("b", "dependsOn: [{task: a}], ", "if [ -e begun ]; then echo 2 > done; else echo 1 > begun; sleep 600; fi"),
        shell("c", "dependsOn: [{task: b}], ", "cat done > c"),
    ];
    let jobs = Jobs::of(&tasks.concat());
    let mut child = jobs.start_until("begun", &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    let interrupted = latest(jobs.project.path(), "nightly");
    assert_eq!(interrupted["status"]["state"], "RUNNING");
    jobs.project.refused("run", &["--job", "nightly", "--repair", "latest", "--tasks", "a"], 10, "RUN_NOT_ENDED");
    let ran = jobs.run(&["--repair", "latest"]);
    assert_eq!((ran.result(), ran.ended.code), ("SUCCESS", Some(0)), "{:#?}", ran.ended);
    assert_eq!(ran.results(), ["a SUCCESS 1", "b SUCCESS 2", "c SUCCESS 1"]);
    assert_eq!((&ran.run["metadata"], jobs.text("a").as_str(), jobs.text("c").as_str()), (&interrupted["metadata"], "x\n", "2\n"));
    let mark = format!("FLOE_RUN_ID={}", ran.run["metadata"]["uid"].as_str().unwrap());
    let left = || {
        let environments = fs::read_dir("/proc").unwrap().filter_map(|process| fs::read(process.unwrap().path().join("environ")).ok());
        environments.filter(|all| all.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())).count()
    };
    // A signal reaches its process a moment after it was sent.
    let begun = Instant::now();
    while left() > 0 {
        assert!(begun.elapsed() < Duration::from_mins(1), "programs of the first attempt go on");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn runs_call_runs_and_loops_are_bounded() {
    let jobs = Jobs::of("");
    let call = "  - {name: call, runJob: {name: inner, parameters: {who: ada}}}\n  - {name: gone, runJob: {name: iner}}\n  - {name: self, runJob: {name: nightly}}\n";
    let each = "  - name: each\n    forEach:\n      inputs: '[1, 2, 3, 4]'\n      concurrency: 4\n      task: {name: one, container: {image: i, localMode: Process, command: [sh, -c], args: ['echo s >> each; [ {{input}} != 3 ]']}}\n";
    jobs.job("nightly", &format!("  parameters: [{{name: day, default: mon}}, {{name: other}}]\n  tasks:\n{call}{each}"));
    let inner = shell("say", "", "echo $FLOE_PARAM_WHO $FLOE_PARAM_DAY {{job.trigger.type}} $FLOE_JOB_NAME > said");
    jobs.job("inner", &format!("  parameters: [{{name: who}}, {{name: day, default: sun}}]\n  tasks:\n{inner}"));
    let ran = jobs.run(&["--max-parallel-tasks", "1"]);
    assert_eq!(ran.results(), ["call SUCCESS 1", "gone FAILED 1", "self FAILED 0", "each FAILED 1"], "{:#?}", ran.ended);
    assert_eq!(jobs.text("said"), "ada mon run_job_task inner\n");
    let code = |task: &str| ran.task(task)["terminationCode"].as_str().unwrap().to_string();
    assert_eq!([code("gone"), code("self"), code("each")], ["RESOURCE_NOT_FOUND", "RUN_JOB_RECURSION", "RUN_EXECUTION_ERROR"]);
    assert!(ran.message("gone").contains("it has: inner, nightly"), "{}", ran.message("gone"));
    let all = &ran.task("each")["forEach"];
    assert_eq!((&all["succeeded"], &all["failed"]), (&json!(3), &json!(1)));
    assert!(ran.ended.stderr.contains("call / say"), "{}", ran.ended.stderr);
    assert_eq!(latest(jobs.project.path(), "inner")["metadata"]["name"], ran.task("call")["child"]["name"]);
    jobs.run(&["--repair", "latest", "--tasks", "each"]);
    assert_eq!(jobs.text("each").lines().count(), 5, "only the iteration that failed runs again");
}

#[test]
fn pipelines_and_queries_are_tasks_and_their_failures_decide_the_exit_code() {
    let sql = "CREATE OR REFRESH MATERIALIZED VIEW v (CONSTRAINT low EXPECT (x < 10) ON VIOLATION FAIL UPDATE) AS SELECT CAST(:limit AS INT) AS x;";
    let jobs = Jobs { project: Project::new(&[("v.sql", sql)]) };
    let manifest = "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: test}\nspec: {schema: s, parameters: [{name: limit, value: \"1\"}]}\n";
    jobs.project.write("pipeline.yaml", manifest);
    let tasks = "  - {name: up, pipeline: {name: test}}\n  - {name: up2, pipeline: {name: test, refresh: [v]}}\n\
        \x20 - {name: ask, dependsOn: [{task: up}, {task: up2}], sql: {statements: SELECT x FROM main.s.v, setValues: [{key: x, from: Scalar}]}}\n\
        \x20 - {name: same, dependsOn: [{task: ask}], condition: {left: \"{{tasks.ask.output.first_row.x}}\", op: EqualTo, right: \"{{job.parameters.limit}}\"}}\n\
        \x20 - {name: none, pipeline: {name: tset}}\n";
    jobs.job("nightly", &format!("  parameters: [{{name: limit, default: \"3\"}}, {{name: other, default: \"\"}}]\n  tasks:\n{tasks}"));
    let ran = jobs.run(&["--only", "up,up2,ask,same"]);
    assert_eq!(ran.result(), "SUCCESS", "{:#?}", ran.ended);
    assert_eq!((&ran.run["values"]["ask"], &ran.task("same")["outcome"]), (&json!({"x": 3}), &json!("true")));
    let bad = jobs.run(&["--only", "up,ask", "--param", "limit=30"]);
    assert_eq!((bad.results()[0].as_str(), bad.ended.code), ("up FAILED 1", Some(11)), "{:#?}", bad.ended);
    assert!(bad.ended.stderr.contains("· none                     not selected\n"), "{}", bad.ended.stderr);
    assert_eq!(bad.task("ask")["resultState"], "UPSTREAM_FAILED");
    let none = jobs.run(&["--only", "none"]);
    assert_eq!(none.task("none")["terminationCode"], "RESOURCE_NOT_FOUND");
    assert!(none.message("none").contains("has no pipeline tset; it has: test"), "{}", none.message("none"));
}

/// A program that takes the arguments of docker and runs the command here.
const RUNTIME: &str = r#"#!/bin/sh
[ "$1" = --version ] && exit 0
[ "$1" = run ] || exit 125
shift
while :; do case "$1" in
  --rm) shift ;;
  --entrypoint) program=$2; shift 2 ;;
  --volume) case "$2" in *:/floe/values) values=${2%:/floe/values} ;; esac; echo "$2" >> mounts; shift 2 ;;
  --env) echo "$2" >> names; shift 2 ;;
  --*) shift 2 ;;
  *) break ;;
esac; done
[ "$1" = bad ] && { echo "no such image" >&2; exit 125; }
shift
FLOE_VALUES_DIR=$values exec "$program" "$@"
"#;

#[test]
fn images_run_in_docker_or_podman() {
    let task = |name: &str, image: &str| {
        format!(
            "  - {{name: {name}, container: {{image: {image}, command: [sh, -c], args: ['echo $(FLOE_TASK) > $FLOE_VALUES_DIR/v']}}}}\n"
        )
    };
    let jobs = Jobs::of(&(task("good", "busybox") + &task("wrong", "bad")));
    let missing = jobs.run(&["--container-runtime", "/nowhere/docker"]);
    assert_eq!(missing.task("good")["terminationCode"], "CONTAINER_RUNTIME_MISSING");
    jobs.project.write("runtime", RUNTIME);
    let runtime = jobs.project.path().join("runtime").display().to_string();
    assert!(std::process::Command::new("chmod").args(["+x", &runtime]).status().unwrap().success());
    let mut floe = jobs.project.floe("run", &["--job", "nightly", "--container-runtime", &runtime]);
    let ended = Ended::from(floe.current_dir(jobs.project.path()).output().unwrap());
    let ran = Ran { ended, run: latest(jobs.project.path(), "nightly") };
    assert_eq!(ran.results(), ["good SUCCESS 1", "wrong FAILED 1"], "{:#?}", ran.ended);
    assert_eq!(ran.run["values"], json!({"good": {"v": "good"}}), "a variable of the command is read before the shell sees it");
    assert_eq!(
        (ran.message("wrong"), &ran.task("wrong")["terminationCode"]),
        ("image bad cannot be started: no such image", &json!("CLUSTER_ERROR"))
    );
    let project = fs::canonicalize(jobs.project.path()).unwrap();
    assert!(jobs.text("mounts").contains(&format!("{}:/project\n", project.display())));
    assert!(jobs.text("names").contains("FLOE_RUN_ID\n"));
}

#[test]
fn what_cannot_run_is_said_before_anything_runs() {
    let jobs = Jobs::of(&shell("a", "", "echo 1 > a"));
    let refused = |arguments: &[&str], says: &str| jobs.project.refused("run", arguments, 10, says);
    refused(&["--job", "nightlyy"], "has no job nightlyy, did you mean nightly?");
    refused(&["--job", "nightly", "--repair", "latest"], "job nightly has no run here yet");
    assert_eq!(jobs.project.call("run", &["--job", "nightly", "--full-refresh", "x"]).code, Some(2));
    assert_eq!(jobs.project.call("run", &["--only", "x"]).code, Some(2));
    refused(&["--job", "nightly", "--param", "dya=1"], "job nightly: the job has no parameter dya");
    refused(&["--job", "nightly", "--only", "aa"], "job nightly has no task aa, did you mean a?");
    assert!(!jobs.has(".floe"), "there is no run of what was refused");
    let wrong = jobs.project.call("run", &["--job", "nightly", "--trigger-time", "yesterday"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("expected an instant such as"), "{wrong:#?}");
    jobs.job("nightly", "  tasks:\n  - {name: a, dependsOn: [{task: b}], condition: {left: \"{{job.naem}}\", op: EqualTo, right: x}}\n  - {name: b, dependsOn: [{task: a}], condition: {left: a, op: EqualTo, right: x}}\n");
    let found = refused(&["--job", "nightly"], "did you mean");
    assert!(found.stderr.contains("jobs/nightly.yaml:6:") && found.stderr.contains("JOB_INVALID_GRAPH"), "{}", found.stderr);
    let checked = jobs.project.call("validate", &["--offline"]);
    assert!(checked.code == Some(10) && checked.stderr.contains("JOB_INVALID_REFERENCE"), "{checked:#?}");
    jobs.job("nightly", &format!("  tasks:\n{}  - {{name: p, pipeline: {{name: shop}}}}\n", shell("a", "", "true")));
    jobs.project.write("transformations/v.sql", "CREATE MATERIALIZED VIEW v AS SELECT 1 AS x;");
    let checked = jobs.project.call("validate", &["--offline"]);
    assert_eq!(checked.code, Some(0), "{checked:#?}");
    assert!(
        checked.stdout.contains("1 job, 2 tasks") && checked.stderr.contains("pipeline shop, which is not in this project"),
        "{checked:#?}"
    );
    assert!(!jobs.has("a"));
}

#[test]
fn mistakes_in_manifests_are_told_all_at_once_with_task_field_and_place() {
    let jobs = Jobs::of("");
    let spec = "  triggers: [{name: n, schedule: {cron: \"0 25 * * *\"}}]\n  tasks:\n".to_string()
        + &shell("a", "", "echo 1 > a")
        + "  - {name: ask, sql: {statements: \"SELECT 1; DROP TABLE t\"}}\n\
           \x20 - name: each\n    forEach:\n      inputs: '[1]'\n      task:\n        name: one\n        sql:\n          statements: |\n            SELECT 1;\n            SELEC 2\n\
           \x20 - {name: later, sql: {statements: \"SELECT ${key}\"}}\n\
           \x20 - {name: b, container: {image: i, args: [\"{{tasks.a.values.v}}\"]}}\n";
    jobs.job("nightly", &spec);
    let found = jobs.project.refused("run", &["--job", "nightly"], 10, "4 errors").stderr;
    for (message, place) in [
        ("trigger n: cron '0 25 * * *' cannot be read at character 3: hour is 0 to 23, not '25'", "5:44"),
        ("task ask, field sql.statements: DROP is not allowed: only statements that read are", "8:46"),
        ("task each, field forEach.task.sql.statements: SELEC is not allowed", "17:13"),
        ("task b, field container.args[0]: {{tasks.a.values.v}}: task a is not upstream of b", "19:45"),
    ] {
        let at = found.find(message).unwrap_or_else(|| panic!("{message}: {found}"));
        let next = found[at..].lines().nth(1).unwrap();
        assert!(next.ends_with(&format!("jobs/nightly.yaml:{place}")), "{message}: {next}");
    }
    assert!(!jobs.has("a") && !jobs.has(".floe"));
}

#[test]
fn j13_j18_what_a_run_finds_out_names_task_and_field_and_begins_nothing() {
    let write =
        "echo '{\"x\": 1}' > $FLOE_VALUES_DIR/o; head -c 49150 /dev/zero | tr '\\0' 7 | sed 's/^/\"/; s/$/\"/' > $FLOE_VALUES_DIR/fits";
    let each = |name: &str, inputs: &str| {
        let inner = format!("{{name: in_{name}, container: {{image: i, localMode: Process, command: [sh, -c, 'echo x >> begun']}}}}");
        format!("  - {{name: {name}, dependsOn: [{{task: a}}], forEach: {{inputs: {inputs}, task: {inner}}}}}\n")
    };
    let many: String = (0..1001).map(|n| format!("{n},")).collect();
    let tasks = [
        shell("a", "", write),
        shell("big", "", "head -c 49151 /dev/zero | tr '\\0' x > $FLOE_VALUES_DIR/v"),
        each("empty", "'[]'"),
        each("object", "\"{{tasks.a.values.o}}\""),
        each("many", &format!("'[{}]'", many.trim_end_matches(','))),
        shell("missing", "dependsOn: [{task: a}], ", "echo {{tasks.a.values.none}} >> begun"),
    ];
    let jobs = Jobs::of(&tasks.concat());
    let ran = jobs.run(&[]);
    let results = ["a SUCCESS 1", "big FAILED 1", "empty SUCCESS 1", "object FAILED 0", "many FAILED 0", "missing FAILED 0"];
    assert_eq!(ran.results(), results, "{:#?}", ran.ended);
    let code = |task: &str| ran.task(task)["terminationCode"].as_str().unwrap().to_string();
    assert_eq!(
        ["big", "object", "many", "missing"].map(code),
        ["VALUE_TOO_LARGE", "INVALID_FOR_EACH_INPUTS", "TOO_MANY_ITERATIONS", "INVALID_REFERENCE"]
    );
    assert_eq!(ran.message("object"), "forEach.inputs is an object, not an array: '{\"x\":1}'");
    assert_eq!(ran.message("missing"), "field container.args[0]: {{tasks.a.values.none}}: task a set no value none");
    assert!(ran.message("big").contains("value v has 49153 bytes, at most 49152 are allowed"), "{}", ran.message("big"));
    assert!(ran.ended.stderr.contains("✗ missing                  failed: field"), "{}", ran.ended.stderr);
    assert!(!jobs.has("begun"));
}

#[test]
fn a_run_is_told_as_a_document_and_its_instant_can_be_chosen() {
    let jobs = Jobs::of(&shell("a", "", "echo {{job.trigger.time.iso_date}} > day; echo loud"));
    let ran = jobs.run(&["--trigger-time", "2026-01-31T02:00:00Z", "--output", "json", "-q"]);
    let document: Value = serde_json::from_str(&ran.ended.stdout).unwrap();
    assert_eq!((document["kind"].as_str(), &document["status"]), (Some("JobRun"), &ran.run["status"]));
    assert_eq!((jobs.text("day").as_str(), ran.ended.stderr.as_str()), ("2026-01-31\n", ""));
}

#[test]
fn people_are_told_on_the_terminal_or_by_requests() {
    let jobs = Jobs::of("");
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", server.local_addr().unwrap());
    let told = format!(
        "  notifications:\n  - {{name: hook, events: [Failure], webhook: {{url: \"{url}\"}}}}\n  - {{name: ops, events: [Start, Success], webhook: {{receiver: ops}}}}\n"
    );
    let mail = "notifications: [{name: mail, events: [Failure], email: {to: [ada@example.org]}}], ";
    jobs.job("nightly", &format!("{told}  tasks:\n{}", shell("a", mail, "exit 1")));
    let printed = jobs.run(&[]);
    for line in ["start: webhook receiver ops", "e-mail to ada@example.org", "failure: webhook at 127.0.0.1 (--notify sends it)"] {
        assert!(printed.ended.stderr.contains(line), "{line}: {}", printed.ended.stderr);
    }
    let received = thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&request).contains("dev.floe.jobrun.failure") {
            let count = std::io::Read::read(&mut stream, &mut buffer).unwrap();
            request.extend_from_slice(&buffer[..count]);
        }
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
        String::from_utf8_lossy(&request).into_owned()
    });
    let sent = jobs.run(&["--notify"]);
    assert!(received.join().unwrap().starts_with("POST /hook "));
    let deliveries = sent.run["status"]["notifications"].as_array().unwrap();
    let hook = deliveries.iter().find(|delivery| delivery["target"] == "hook").unwrap();
    assert_eq!((&hook["state"], &hook["attempts"], sent.ended.code), (&json!("Delivered"), &json!(1), Some(10)), "{:#?}", sent.ended);
}
