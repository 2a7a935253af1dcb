//! The event log as readers find it: its schema, the documented queries, the order of states, what stands on stdout.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::{Value, json};

use crate::harness::Project;

const SQL: &str = "
CREATE OR REFRESH STREAMING TABLE bronze AS SELECT id, n FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT, n BIGINT', maxFilesPerTrigger => 1);
CREATE OR REFRESH STREAMING TABLE silver (
  CONSTRAINT warned EXPECT (n > 0), CONSTRAINT dropped EXPECT (n <> 3) ON VIOLATION DROP ROW, CONSTRAINT apart EXPECT (n < 8) ON VIOLATION QUARANTINE ROW
) AS SELECT * FROM STREAM(bronze);
CREATE OR REFRESH MATERIALIZED VIEW gold AS SELECT count(*) AS rows FROM silver;";

fn project() -> Project {
    let project = Project::new(&[("all.sql", SQL)]);
    for file in 0..3 {
        project.land(&format!("{file}.json"), (0..10).map(|n| format!(r#"{{"id":{file},"n":{n}}}"#)));
    }
    project
}

/// A type of a Delta schema as one word.
fn type_name(value: &Value) -> String {
    match value["type"].as_str() {
        Some("struct") => {
            let fields = value["fields"].as_array().unwrap().iter();
            let fields: Vec<String> =
                fields.map(|field| format!("{} {}", field["name"].as_str().unwrap(), type_name(&field["type"]))).collect();
            format!("struct<{}>", fields.join(", "))
        }
        Some("array") => format!("array<{}>", type_name(&value["elementType"])),
        _ => value.as_str().unwrap().to_string(),
    }
}

#[test]
fn e01_schema_is_exact() {
    let project = project();
    project.run(&[]);
    let log = project.path().join("lake/_floe/event_log/_delta_log/00000000000000000000.json");
    let metadata = fs::read_to_string(log).unwrap().lines().find_map(|line| {
        let action: Value = serde_json::from_str(line).unwrap();
        action["metaData"]["schemaString"].as_str().map(str::to_string)
    });
    let schema: Value = serde_json::from_str(&metadata.unwrap()).unwrap();
    let columns = schema["fields"].as_array().unwrap().iter();
    let columns: BTreeMap<&str, (String, bool)> =
        columns.map(|field| (field["name"].as_str().unwrap(), (type_name(&field["type"]), field["nullable"] == false))).collect();
    let expect = |name: &str, data_type: &str, required: bool| assert_eq!(columns[name], (data_type.to_string(), required), "{name}");
    for name in ["id", "message", "level", "details"] {
        expect(name, "string", true);
    }
    expect("timestamp", "timestamp", true);
    expect("maturity_level", "string", false);
    expect("event_type", "string", false);
    expect("sequence", "struct<control_plane_seq_no long, data_plane_id struct<instance string, seq_no long>>", false);
    let stack = "array<struct<declaring_class string, method_name string, file_name string, line_number long>>";
    expect("error", &format!("struct<fatal boolean, exceptions array<struct<class_name string, message string, stack {stack}>>>"), false);
    assert!(
        columns["origin"]
            .0
            .starts_with("struct<cloud string, region string, host string, org_id string, pipeline_id string, pipeline_name string")
    );
    assert!(columns["origin"].0.ends_with("namespace string, attempt long>"), "{}", columns["origin"].0);
    let order: Vec<&str> = schema["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert_eq!(order, ["id", "sequence", "origin", "timestamp", "message", "level", "maturity_level", "error", "details", "event_type"]);
}

#[test]
fn e02_e03_course_query_works_and_sums_match_rows() {
    let project = project();
    project.run(&[]);
    let course =
        project.sql("SELECT details:flow_progress:data_quality:expectations AS e FROM event_log WHERE event_type = 'flow_progress'");
    let texts = course.as_array().unwrap().iter().filter_map(|row| row["e"].as_str());
    let mut names = BTreeSet::new();
    for text in texts {
        for expectation in serde_json::from_str::<Vec<Value>>(text).unwrap() {
            assert!(expectation["passed_records"].is_u64() && expectation["failed_records"].is_u64(), "{expectation}");
            assert!(expectation["dataset"].as_str().unwrap().ends_with("silver"));
            names.insert(expectation["name"].as_str().unwrap().to_string());
        }
    }
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["apart", "dropped", "warned"]);

    let quality =
        "WITH latest AS (SELECT origin.update_id AS id FROM event_log WHERE event_type = 'create_update' ORDER BY timestamp DESC LIMIT 1),
        e AS (SELECT explode(from_json(details:flow_progress:data_quality:expectations,
             'array<struct<name: string, dataset: string, passed_records: bigint, failed_records: bigint>>')) AS x
           FROM event_log, latest WHERE event_type = 'flow_progress' AND origin.update_id = latest.id)
        SELECT x.name, SUM(x.passed_records) AS passed, SUM(x.failed_records) AS failed FROM e GROUP BY x.dataset, x.name ORDER BY x.name;";
    let expected = json!([
        {"name": "apart", "passed": 24, "failed": 6},
        {"name": "dropped", "passed": 27, "failed": 3},
        {"name": "warned", "passed": 27, "failed": 3},
    ]);
    assert_eq!(project.sql(quality), expected);
    assert_eq!(project.rows("silver", "SELECT count(*) FROM t"), ["21"]);
    assert_eq!(project.rows("silver_quarantine", "SELECT count(*) FROM t"), ["6"]);
}

#[test]
fn e02_other_documented_queries_work() {
    let project = project();
    project.run(&[]);
    let planned = "SELECT timestamp, origin.flow_name, details:planning_information AS p FROM event_log WHERE event_type = 'planning_information' ORDER BY timestamp DESC";
    let planned = project.sql(planned);
    assert_eq!(planned.as_array().unwrap().len(), 1);
    assert_eq!(planned[0]["flow_name"], "gold");
    assert!(planned[0]["p"].as_str().unwrap().contains("CHANGE_SET_MISSING"), "{planned}");
    let lineage = "SELECT details:flow_definition.output_dataset AS output, details:flow_definition.input_datasets AS inputs FROM event_log WHERE event_type = 'flow_definition'";
    let lineage = project.sql(lineage);
    let reads = |output: &str, input: &str| {
        lineage
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["output"].as_str().unwrap().ends_with(output) && row["inputs"].as_str().unwrap_or_default().contains(input))
    };
    assert!(reads("silver", "bronze") && reads("gold", "silver") && !reads("gold", "bronze"), "{lineage}");
    let phases = "SELECT origin.update_id, details:update_progress.state AS state, timestamp FROM event_log WHERE event_type = 'update_progress' ORDER BY timestamp";
    let phases = project.sql(phases);
    let states: Vec<&str> = phases.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["CREATED", "INITIALIZING", "SETTING_UP_TABLES", "RUNNING", "COMPLETED"]);
}

/// The states of the newest update, by its events.
fn update_states(project: &Project) -> Vec<String> {
    let events = project.last_update().into_iter().filter(|event| event.kind == "update_progress");
    events.map(|event| event.details["state"].as_str().unwrap().to_string()).collect()
}

#[test]
fn e05_e06_states_in_order() {
    let project = project();
    project.run(&[]);
    let streaming = ["QUEUED", "STARTING", "RUNNING", "COMPLETED"];
    assert_eq!(project.states("bronze"), streaming);
    assert_eq!(project.states("silver"), streaming);
    assert_eq!(project.states("gold"), ["QUEUED", "PLANNING", "STARTING", "RUNNING", "COMPLETED"]);
    project.run(&[]);
    assert_eq!(project.states("bronze"), streaming, "without new data a stream goes the same way");
    assert_eq!(project.states("gold"), ["QUEUED", "PLANNING", "COMPLETED"]);
    project.run(&["--full-refresh", "silver"]);
    assert_eq!(update_states(&project), ["CREATED", "INITIALIZING", "RESETTING", "SETTING_UP_TABLES", "RUNNING", "COMPLETED"]);
    assert_eq!(project.states("gold"), ["EXCLUDED"]);
    project.write("transformations/all.sql", &SQL.replace("(n > 0)", "(n > 0) ON VIOLATION FAIL UPDATE"));
    project.land("9.json", [r#"{"id":9,"n":0}"#.to_string()]);
    project.refused("run", &[], 11, "warned");
    assert_eq!(update_states(&project), ["CREATED", "INITIALIZING", "SETTING_UP_TABLES", "RUNNING", "FAILED"]);
    assert_eq!(project.states("silver"), ["QUEUED", "STARTING", "RUNNING", "FAILED"]);
    assert_eq!(project.states("gold"), ["QUEUED", "SKIPPED"]);
}

#[test]
fn e14_sequence_without_gaps() {
    let project = project();
    for _ in 0..2 {
        project.run(&[]);
    }
    let select =
        "SELECT count(*) = max(sequence['data_plane_id']['seq_no']) AND count(*) = count(DISTINCT sequence['data_plane_id']['seq_no'])
        AND min(sequence['data_plane_id']['seq_no']) = 1, count(DISTINCT id) = count(*)
        FROM t GROUP BY sequence['data_plane_id']['instance']";
    assert_eq!(project.events(select), ["true|true", "true|true"]);
    let backwards = "SELECT 1 FROM (SELECT timestamp, lag(timestamp) OVER (PARTITION BY origin['flow_name'], origin['update_id']
        ORDER BY sequence['data_plane_id']['seq_no']) AS earlier FROM t) WHERE earlier > timestamp";
    assert_eq!(project.events(backwards), Vec::<String>::new());
}

#[test]
fn e16_dangling_update_is_closed() {
    let project = project();
    let killed = project.floe("run", &[]).env("FLOE_FAILPOINTS", "offsets::after=2").output().unwrap();
    assert_eq!(killed.status.code(), None, "it was killed");
    project.run(&[]);
    let ends = "SELECT count(*), max(message LIKE '%(recovered)%') FROM t WHERE event_type = 'update_progress'
        AND (details LIKE '%\"FAILED\"%' OR details LIKE '%\"COMPLETED\"%') GROUP BY origin['update_id']";
    let ends: Vec<String> = project.events(ends);
    assert_eq!(ends, ["1|false", "1|true"], "each update has one end, one of them by the next run");
}

#[test]
fn e18_stdout_equals_table() {
    let project = project();
    let ended = project.run(&["--output", "json"]);
    let printed: BTreeMap<String, Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .map(|event| (event["id"].as_str().unwrap().to_string(), event))
        .collect();
    let stored = project.events("SELECT id, level, event_type, sequence['data_plane_id']['seq_no'], message FROM t");
    assert_eq!(stored.len(), printed.len());
    for row in stored {
        let cells: Vec<&str> = row.splitn(5, '|').collect();
        let event = &printed[cells[0]];
        let number = event["sequence"]["data_plane_id"]["seq_no"].to_string();
        assert_eq!(
            cells[1..],
            [event["level"].as_str().unwrap(), event["event_type"].as_str().unwrap(), &number, event["message"].as_str().unwrap()]
        );
    }
    for row in project.events("SELECT id, details FROM t") {
        let (id, details) = row.split_once('|').unwrap();
        assert_eq!(self::details(&printed[id]), serde_json::from_str::<Value>(details).unwrap());
    }
}

#[test]
fn e24_events_command_filters() {
    let project = project();
    project.run(&[]);
    project.run(&[]);
    let printed = |arguments: &[&str]| -> Vec<String> {
        let ended = project.call("events", &[&["--output", "json"], arguments].concat());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_string()).collect()
    };
    // Ids of events are UUIDs of version 7: their order is that of time, up to a millisecond.
    let expect = |filter: &str, arguments: &[&str]| {
        let mut printed = printed(arguments);
        let stored = project.events(&format!("SELECT id FROM t WHERE {filter}"));
        assert!(!stored.is_empty(), "{filter}");
        printed.sort();
        assert_eq!(printed, stored, "{arguments:?}");
    };
    let latest = "origin['update_id'] = (SELECT max(origin['update_id']) FROM t)";
    expect(&format!("level <> 'METRICS' AND {latest}"), &[]);
    expect(
        "event_type = 'flow_progress' AND origin['dataset_name'] LIKE '%.silver'",
        &["--level", "METRICS", "--type", "flow_progress", "--dataset", "silver", "--update", "all"],
    );
    expect("level = 'METRICS' OR level <> 'METRICS'", &["--level", "METRICS", "--update", "all"]);
    assert_eq!(printed(&["--level", "ERROR"]), Vec::<String>::new());
    let times = project.call("events", &["--output", "json", "--update", "all", "--level", "METRICS"]).stdout;
    let times: Vec<String> =
        times.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["timestamp"].as_str().unwrap().to_string()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn e10_update_failed_message_has_cause() {
    let project = project();
    project.write(
        "transformations/bad.sql",
        "SET spark.sql.ansi.enabled = true; CREATE MATERIALIZED VIEW bad AS SELECT CAST(concat('x', id) AS INT) AS n FROM bronze;",
    );
    project.refused("run", &[], 10, "CAST_INVALID_INPUT");
    let events = project.last_update();
    let end = events.iter().rfind(|event| event.kind == "update_progress").unwrap();
    assert_eq!(end.details["state"], "FAILED");
    assert!(end.message.contains(" is FAILED. Flow bad: [CAST_INVALID_INPUT] "), "{}", end.message);
    assert!(end.message.contains("the value 'x"), "the text of the error: {}", end.message);
    assert_eq!((end.level.as_str(), end.error.as_str()), ("ERROR", "CAST_INVALID_INPUT"));
}

/// The UUID of a flow in the newest update.
fn flow_id(project: &Project, flow: &str) -> String {
    let select = format!(
        "SELECT DISTINCT origin['flow_id'] FROM t WHERE origin['flow_name'] = '{flow}' AND origin['flow_id'] IS NOT NULL
         AND event_type = 'flow_progress' AND (details LIKE '%\"COMPLETED\"%')
         AND origin['update_id'] = (SELECT max(origin['update_id']) FROM t)"
    );
    let ids = project.events(&select);
    assert_eq!(ids.len(), 1, "{flow} has one id per update: {ids:?}");
    ids[0].clone()
}

#[test]
fn e12_flow_id_rules() {
    let project = project();
    let ids = |arguments: &[&str]| {
        project.run(arguments);
        ["bronze", "silver", "gold"].map(|flow| flow_id(&project, flow))
    };
    let first = ids(&[]);
    project.land("7.json", [r#"{"id":7,"n":7}"#.to_string()]);
    let refreshed = ids(&[]);
    assert_eq!(refreshed[..2], first[..2], "streams go on");
    assert_ne!(refreshed[2], first[2], "the view was computed anew");
    let reset = ids(&["--reset-checkpoint", "silver", "--refresh", "bronze,gold"]);
    assert_eq!(reset[0], refreshed[0]);
    assert_ne!(reset[1], refreshed[1], "a checkpoint reset begins another life");
    let full = ids(&["--full-refresh-all"]);
    assert!((0..3).all(|flow| full[flow] != reset[flow]), "{full:?} {reset:?}");
}

#[test]
fn e15_log_failure_does_not_fail_the_update() {
    let project = project();
    // A file where the directory of the table should be: nothing can be written there.
    project.write("lake/_floe/event_log", "in the way");
    let ended = project.run(&["--output", "json"]);
    assert_eq!(project.rows("silver", "SELECT count(*) FROM t"), ["21"]);
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["event_type"] == kind).collect::<Vec<_>>();
    assert!(!of("event_log_write_failed").is_empty());
    let states: Vec<String> = of("update_progress").iter().map(|line| details(line)["update_progress"]["state"].to_string()).collect();
    assert_eq!(states.last().map(String::as_str), Some("\"COMPLETED\""), "stdout has every event");
    fs::remove_file(project.path().join("lake/_floe/event_log")).unwrap();
    project.run(&[]);
    assert!(project.last_update().iter().any(|event| event.details["state"] == "COMPLETED"), "the next update is in the log");
}

/// The details of an event on stdout, as JSON or as text.
fn details(line: &Value) -> Value {
    line["details"].as_str().map_or_else(|| line["details"].clone(), |text| serde_json::from_str(text).unwrap())
}
