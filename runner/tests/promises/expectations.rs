//! Expectations through the whole process: which rows go where, what is counted, what a failure leaves behind.

use crate::harness::Project;

const READ: &str = "STREAM read_files('landing', format => 'json', schema => 'id BIGINT, n BIGINT, m BIGINT')";

fn table(constraints: &str) -> String {
    format!("CREATE OR REFRESH STREAMING TABLE t ({constraints}) AS SELECT id, n, m FROM {READ};")
}

/// Ten rows: `n` is bad in rows 0 and 1, `m` in rows 1, 2 and 3.
fn ten_rows(constraints: &str) -> Project {
    let project = Project::new(&[("t.sql", &table(constraints))]);
    project.land("a.json", (0..10).map(|id| format!(r#"{{"id":{id},"n":{},"m":{}}}"#, i64::from(id > 1), i64::from(id == 0 || id > 3))));
    project
}

fn numbers(project: &Project, names: &[&str]) -> Vec<u64> {
    let counted = project.counted("t");
    names.iter().map(|name| counted[*name]).collect()
}

#[test]
fn p43_expect_warn_keeps_rows() {
    let project = ten_rows("CONSTRAINT b EXPECT (m = 1)");
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT count(*) FROM t"), ["10"]);
    assert_eq!(numbers(&project, &["b passed", "b failed", "dropped_records", "num_output_rows"]), [7, 3, 0, 10]);
}

#[test]
fn p44_expect_drop_removes_rows() {
    let project = ten_rows("CONSTRAINT a EXPECT (n = 1) ON VIOLATION DROP ROW, CONSTRAINT b EXPECT (m = 1)");
    let ended = project.run(&[]);
    assert_eq!(project.rows("t", "SELECT count(*), min(id) FROM t"), ["8|2"]);
    let names = ["a passed", "a failed", "b passed", "b failed", "dropped_records", "quarantined_records", "num_output_rows"];
    assert_eq!(numbers(&project, &names), [8, 2, 7, 3, 2, 0, 8]);
    assert!(ended.stdout.contains("15 passed, 5 failed"), "{}", ended.stdout);
}

#[test]
fn p46_null_predicate_is_violation() {
    let project = Project::new(&[("t.sql", &table("CONSTRAINT price EXPECT (n BETWEEN 0 AND 100) ON VIOLATION DROP ROW"))]);
    project.land("a.json", [r#"{"id":1,"n":5}"#.to_string(), r#"{"id":2,"n":null}"#.to_string()]);
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["1"]);
    assert_eq!(numbers(&project, &["price passed", "price failed"]), [1, 1]);
}

#[test]
fn p47_quarantine_is_exact_complement() {
    let rules = "CONSTRAINT a EXPECT (n > 2) ON VIOLATION QUARANTINE ROW, CONSTRAINT b EXPECT (m <> 3) ON VIOLATION QUARANTINE ROW";
    let project = Project::new(&[("t.sql", &table(rules))]);
    let value = |number: u64| if number.is_multiple_of(7) { "null".to_string() } else { (number % 7).to_string() };
    let (mut kept, mut set_apart) = (Vec::new(), Vec::new());
    let mut random = 7_u64;
    let mut lines = Vec::new();
    for id in 0..400 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (n, m) = (random >> 33, random >> 45);
        lines.push(format!(r#"{{"id":{id},"n":{},"m":{}}}"#, value(n), value(m)));
        // NULL violates like FALSE; 0 stands for NULL.
        let violated = [(n % 7 <= 2, "a"), (m % 7 == 0 || m % 7 == 3, "b")];
        let violated: Vec<&str> = violated.into_iter().filter(|(violated, _)| *violated).map(|(_, name)| name).collect();
        let row = format!("{id}|{}|{}", value(n), value(m)).replace("null", "NULL");
        if violated.is_empty() { kept.push(row) } else { set_apart.push(format!("{row}|[{}]", violated.join(", "))) }
    }
    kept.sort();
    set_apart.sort();
    project.land("a.json", lines[..250].to_vec());
    project.run(&[]);
    project.land("b.json", lines[250..].to_vec());
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id, n, m FROM t"), kept);
    assert_eq!(project.rows("t_quarantine", "SELECT id, n, m, _quarantine['expectations'] FROM t"), set_apart);
    assert_eq!(project.totals()["t"]["quarantined"], set_apart.len() as u64);
}

/// A failing rule in the middle of a graph, with a branch beside it.
fn failing() -> Project {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE bronze AS SELECT id, n, m FROM {READ};
         CREATE OR REFRESH STREAMING TABLE sales (CONSTRAINT low EXPECT (n < 1000) ON VIOLATION FAIL UPDATE, CONSTRAINT warned EXPECT (m = 1))
         AS SELECT * FROM STREAM(bronze);
         CREATE OR REFRESH MATERIALIZED VIEW middle AS SELECT count(*) AS rows FROM sales;
         CREATE OR REFRESH MATERIALIZED VIEW leaf AS SELECT rows FROM middle;
         CREATE OR REFRESH STREAMING TABLE others AS SELECT id FROM STREAM(bronze);
         CREATE OR REFRESH MATERIALIZED VIEW others_count AS SELECT count(*) AS rows FROM others;"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    project.land("a.json", (0..3).map(|id| format!(r#"{{"id":{id},"n":{id},"m":1}}"#)));
    project
}

#[test]
fn p45_p76_e07_e08_failed_expectation_rolls_back_and_is_isolated() {
    let project = failing();
    project.run(&[]);
    let before = project.versions();
    project.land("b.json", [r#"{"id":10,"n":1,"m":0}"#.to_string(), r#"{"id":11,"n":200000,"m":1}"#.to_string()]);
    project.refused("run", &[], 11, "EXPECTATION_VIOLATION");
    let after = project.versions();
    for unchanged in ["sales", "middle", "leaf"] {
        assert_eq!(after[unchanged], before[unchanged], "{unchanged}");
    }
    assert_eq!(project.rows("others_count", "SELECT rows FROM t"), ["5"]);
    assert_eq!(project.states("others_count").last().unwrap(), "COMPLETED");

    let events = project.last_update();
    let failed: Vec<_> = events.iter().filter(|event| event.flow == "sales" && event.details["status"] == "FAILED").collect();
    assert_eq!(failed.len(), 1, "a violated expectation is not tried again");
    assert_eq!((failed[0].level.as_str(), failed[0].error.as_str()), ("ERROR", "EXPECTATION_VIOLATION"));
    let counted = project.counted("sales");
    assert_eq!((counted["low passed"], counted["low failed"], counted["warned failed"]), (1, 1, 1));
    assert_eq!(counted["num_output_rows"], 0);
    let fatal = "SELECT error['fatal'] FROM t WHERE error['exceptions'][1]['class_name'] = 'EXPECTATION_VIOLATION' AND event_type = 'flow_progress'";
    assert_eq!(project.events(fatal), ["true"]);

    for skipped in ["middle", "leaf"] {
        assert_eq!(project.states(skipped), ["QUEUED", "SKIPPED"]);
        let event = events.iter().find(|event| event.flow == skipped && event.details["status"] == "SKIPPED").unwrap();
        assert!(event.message.contains("due to upstream failure(s): ") && event.message.contains("sales"), "{}", event.message);
        assert!(!event.message.replacen(skipped, "", 1).contains("middle"), "the root, not the middle: {}", event.message);
    }
    let end = events.iter().rfind(|event| event.kind == "update_progress").unwrap();
    assert_eq!(end.details["state"], "FAILED");
    for part in ["sales", "EXPECTATION_VIOLATION", "'low' (1 of 2 records)", r#""n":200000"#] {
        assert!(
            end.message.contains(part) || failed[0].message.contains(part) || detail(&project, part),
            "{part}: {} {}",
            end.message,
            failed[0].message
        );
    }
}

/// True if the text of the failure in the event log holds `part`.
fn detail(project: &Project, part: &str) -> bool {
    let texts = project.events("SELECT error['exceptions'][1]['message'] FROM t WHERE error IS NOT NULL AND event_type = 'flow_progress'");
    texts.iter().any(|text| text.contains(part))
}

#[test]
fn p45_after_the_row_is_gone_the_stream_goes_on() {
    let project = failing();
    project.run(&[]);
    project.land("b.json", [r#"{"id":11,"n":200000,"m":1}"#.to_string()]);
    project.refused("run", &[], 11, "low");
    let sql = std::fs::read_to_string(project.path().join("transformations/t.sql")).unwrap();
    project.write("transformations/t.sql", &sql.replace("ON VIOLATION FAIL UPDATE", "ON VIOLATION DROP ROW"));
    project.land("c.json", [r#"{"id":12,"n":3,"m":1}"#.to_string()]);
    project.run(&[]);
    assert_eq!(project.rows("sales", "SELECT id FROM t"), ["0", "1", "12", "2"]);
    assert_eq!(project.rows("leaf", "SELECT rows FROM t"), ["4"]);
}

#[test]
fn p52_a_violated_view_stops_only_what_reads_it() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE users AS SELECT id FROM {READ};
         CREATE OR REFRESH MATERIALIZED VIEW unique_user (CONSTRAINT pk_must_be_unique EXPECT (copies = 1) ON VIOLATION FAIL UPDATE)
         AS SELECT id, count(*) AS copies FROM users GROUP BY id;"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    project.land("a.json", (0..3).map(|id| format!(r#"{{"id":{id}}}"#)));
    project.run(&[]);
    project.land("b.json", [r#"{"id":2}"#.to_string()]);
    project.refused("run", &[], 11, "'pk_must_be_unique' (1 of 3 records)");
    assert_eq!(project.rows("users", "SELECT count(*) FROM t"), ["4"]);
    assert_eq!(project.rows("unique_user", "SELECT max(copies), count(*) FROM t"), ["1|3"], "readers keep the last good result");
}

#[test]
fn records_of_a_table_that_hides_them_are_not_shown() {
    let sql = |properties: &str| {
        table("CONSTRAINT a EXPECT (n = 1) ON VIOLATION FAIL UPDATE").replace(" AS SELECT", &format!(" {properties} AS SELECT"))
    };
    let project = Project::new(&[("t.sql", &sql(""))]);
    project.land("a.json", [r#"{"id":77,"n":0}"#.to_string()]);
    project.refused("run", &[], 11, r#"Output record: '{"id":77,"n":0"#);
    project.write("transformations/t.sql", &sql("TBLPROPERTIES ('pipelines.expectations.sampleRecords' = 'false')"));
    project.refused("run", &[], 11, "Output record: '***'");
}
