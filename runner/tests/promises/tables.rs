//! What a table keeps beside its rows: checks, computed columns, comments, order; and what a changed definition does to a stored table.

use std::fs;

use serde_json::{Value, json};

use crate::harness::Project;

const READ: &str = "STREAM read_files('landing', format => 'json', schema => 'id BIGINT, n INT, name STRING')";

fn define(project: &Project, sql: &str) {
    project.write("transformations/t.sql", &sql.replace("READ", READ));
}

fn project(sql: &str) -> Project {
    let project = Project::new(&[]);
    define(&project, sql);
    project
}

fn land(project: &Project, file: &str, lines: &[&str]) {
    project.land(file, lines.iter().map(ToString::to_string));
}

/// The newest metadata and protocol of a table.
fn head(project: &Project, table: &str) -> (Value, Value) {
    let mut found = (Value::Null, Value::Null);
    for version in 0..=project.version(table).unwrap() {
        for action in project.commit(table, version) {
            if action["metaData"].is_object() {
                found.0 = action["metaData"].clone();
            }
            if action["protocol"].is_object() {
                found.1 = action["protocol"].clone();
            }
        }
    }
    found
}

fn field(metadata: &Value, name: &str) -> Value {
    let schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    schema["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap().clone()
}

/// The versions of every table must not move by what `command` refuses.
fn refused_untouched(project: &Project, command: &str, arguments: &[&str], says: &str) {
    let before = project.versions();
    project.refused(command, arguments, 10, says);
    assert_eq!(project.versions(), before, "{command} {arguments:?} touched a table");
}

/// What `floe validate` and the dry run say of the change, and what the run does.
enum After {
    /// These lines stand in the plan, and the rows are these.
    Runs(&'static [&'static str], &'static str, &'static [&'static str]),
    /// Nothing is touched.
    Refused(&'static str, FullRefresh),
}

/// What a full refresh does about it.
#[derive(Clone, Copy)]
enum FullRefresh {
    Helps,
    IsRefused,
    /// It empties the table, and the rows still break the rule.
    MeetsTheSameRows,
}

/// A table with rows (1, 10, a) and (2, NULL, b), changed to another definition; then (3, 30, c) lands.
fn changed(kind: &str, before: &str, after: &str, expected: &After) {
    let project = project(&format!("CREATE {kind} t {before};"));
    land(&project, "1.json", &[r#"{"id":1,"n":10,"name":"a"}"#, r#"{"id":2,"name":"b"}"#]);
    project.run(&[]);
    let after = if after.starts_with("CREATE") { after.to_string() } else { format!("CREATE {kind} t {after};") };
    define(&project, &after);
    land(&project, "2.json", &[r#"{"id":3,"n":30,"name":"c"}"#]);
    match expected {
        After::Runs(plan, select, rows) => {
            let before = project.versions();
            for said in [project.call("validate", &[]), project.call("run", &["--dry-run"])] {
                assert_eq!(said.code, Some(0), "{after}: {said:#?}");
                for line in *plan {
                    assert!(said.stdout.contains(line), "{after}: {line:?} is not in\n{}", said.stdout);
                }
                if plan.is_empty() {
                    assert!(said.stdout.contains("no table is created, changed or emptied"), "{after}:\n{}", said.stdout);
                }
            }
            assert_eq!(project.versions(), before, "{after}: planning wrote");
            project.run(&[]);
            assert_eq!(project.rows("t", select), *rows, "{after}");
            let said = project.call("validate", &[]).stdout;
            // A column that stays without a query is told each time; all else has happened.
            let rest = said.lines().filter(|line| ["  + ", "  ~ ", "  - "].iter().any(|sign| line.starts_with(sign))).count();
            assert_eq!(rest, 0, "{after}: once\n{said}");
        }
        After::Refused(class, cure) => {
            refused_untouched(&project, "validate", &[], class);
            refused_untouched(&project, "run", &["--dry-run"], class);
            refused_untouched(&project, "run", &[], class);
            match cure {
                FullRefresh::Helps => {
                    project.run(&["--full-refresh", "t"]);
                }
                FullRefresh::IsRefused => refused_untouched(&project, "run", &["--full-refresh", "t"], class),
                FullRefresh::MeetsTheSameRows => {}
            }
        }
    }
}

const ALL: &str = "SELECT * FROM t";

const BASE: &str = "AS SELECT id, n FROM READ";
const DECLARED: &str = "(id BIGINT, n INT) AS SELECT id, n FROM READ";
/// Definition, changed definition, and what comes of it.
const STREAMING_CHANGES: &[(&str, &str, After)] = &[
    (BASE, "AS SELECT id, n, name FROM READ", After::Runs(&["add to main.s.t: name"], ALL, &["1|10|NULL", "2|NULL|NULL", "3|30|c"])),
    (
        BASE,
        "AS SELECT id FROM READ",
        After::Runs(&["no longer produced in main.s.t, new rows hold NULL: n"], ALL, &["1|10", "2|NULL", "3|NULL"]),
    ),
    (BASE, "AS SELECT id, CAST(n AS BIGINT) AS n FROM READ", After::Refused("SCHEMA_CHANGE_REQUIRES_FULL_REFRESH", FullRefresh::Helps)),
    (BASE, "AS SELECT id, CAST(n AS STRING) AS n FROM READ", After::Refused("SCHEMA_CHANGE_REQUIRES_FULL_REFRESH", FullRefresh::Helps)),
    (
        BASE,
        "AS SELECT id, n AS m FROM READ",
        After::Runs(
            &["add to main.s.t: m", "no longer produced in main.s.t, new rows hold NULL: n"],
            ALL,
            &["1|10|NULL", "2|NULL|NULL", "3|NULL|30"],
        ),
    ),
    (
        DECLARED,
        "(id BIGINT, m INT) AS SELECT id, n FROM READ",
        After::Refused("USER_SPECIFIED_AND_INFERRED_SCHEMA_NOT_COMPATIBLE", FullRefresh::IsRefused),
    ),
    (BASE, "PARTITIONED BY (n) AS SELECT id, n FROM READ", After::Refused("SCHEMA_CHANGE_REQUIRES_FULL_REFRESH", FullRefresh::Helps)),
    (
        BASE,
        "CLUSTER BY (id) AS SELECT id, n FROM READ",
        After::Runs(&["change in place in main.s.t: clustering by id"], ALL, &["1|10", "2|NULL", "3|30"]),
    ),
    (
        DECLARED,
        "(id BIGINT COMMENT 'key', n INT) COMMENT 'numbers' TBLPROPERTIES ('quality' = 'silver') AS SELECT id, n FROM READ",
        After::Runs(
            &["change in place in main.s.t: comment, property quality = silver, comment of column id"],
            ALL,
            &["1|10", "2|NULL", "3|30"],
        ),
    ),
    (
        DECLARED,
        "(id BIGINT NOT NULL, n INT) AS SELECT id, n FROM READ",
        After::Runs(&["column id NOT NULL"], ALL, &["1|10", "2|NULL", "3|30"]),
    ),
    (
        DECLARED,
        "(id BIGINT, n INT NOT NULL) AS SELECT id, n FROM READ",
        After::Refused("DELTA_NOT_NULL_CONSTRAINT_VIOLATED", FullRefresh::MeetsTheSameRows),
    ),
    (
        "(id BIGINT NOT NULL) AS SELECT id FROM READ",
        "(id BIGINT) AS SELECT id FROM READ",
        After::Runs(&["column id may be NULL"], ALL, &["1", "2", "3"]),
    ),
    (
        "AS SELECT id, named_struct('a', n) AS s FROM READ",
        "AS SELECT id, named_struct('a', n, 'b', name) AS s FROM READ",
        After::Runs(&["add to main.s.t: s.b"], "SELECT id, s['a'], s['b'] FROM t", &["1|10|NULL", "2|NULL|NULL", "3|30|c"]),
    ),
    (
        "AS SELECT id, named_struct('a', n, 'b', name) AS s FROM READ",
        "AS SELECT id, named_struct('a', n) AS s FROM READ",
        After::Runs(&[], "SELECT id, s['a'], s['b'] FROM t", &["1|10|a", "2|NULL|b", "3|30|NULL"]),
    ),
    (BASE, "AS SELECT id + 100 AS id, n FROM READ WHERE n > 5", After::Runs(&[], ALL, &["103|30", "1|10", "2|NULL"])),
    (
        BASE,
        "CREATE STREAMING TABLE t; CREATE FLOW a AS INSERT INTO t BY NAME SELECT id, n FROM READ;
         CREATE FLOW b AS INSERT INTO t BY NAME SELECT id, name AS n FROM READ;",
        After::Refused("UNABLE_TO_INFER_PIPELINE_TABLE_SCHEMA", FullRefresh::IsRefused),
    ),
    (BASE, "CREATE MATERIALIZED VIEW t AS SELECT 1 AS id;", After::Refused("CANNOT_CHANGE_DATASET_TYPE", FullRefresh::IsRefused)),
    (
        DECLARED,
        "(id BIGINT, n INT, CHECK (id > 0)) AS SELECT id, n FROM READ",
        After::Runs(&["check check_1"], ALL, &["1|10", "2|NULL", "3|30"]),
    ),
    (
        DECLARED,
        "(id BIGINT, n INT, CONSTRAINT big CHECK (id > 1)) AS SELECT id, n FROM READ",
        After::Refused("DELTA_NEW_CHECK_CONSTRAINT_VIOLATION", FullRefresh::MeetsTheSameRows),
    ),
    (
        DECLARED,
        "(id BIGINT, n INT, m BIGINT GENERATED ALWAYS AS (id * 2)) AS SELECT id, n FROM READ",
        After::Refused("SCHEMA_CHANGE_REQUIRES_FULL_REFRESH", FullRefresh::Helps),
    ),
    (
        "(id BIGINT, m BIGINT GENERATED ALWAYS AS (id * 2)) AS SELECT id FROM READ",
        "(id BIGINT, m BIGINT GENERATED ALWAYS AS (id * 3)) AS SELECT id FROM READ",
        After::Refused("SCHEMA_CHANGE_REQUIRES_FULL_REFRESH", FullRefresh::Helps),
    ),
    (
        "(id BIGINT, m BIGINT GENERATED ALWAYS AS (id * 2)) AS SELECT id FROM READ",
        "(id BIGINT, m BIGINT) AS SELECT id, id * 5 AS m FROM READ",
        After::Runs(&["column m is generated no more"], ALL, &["1|2", "2|4", "3|15"]),
    ),
];

#[test]
fn p83_p84_p85_changes_of_a_streaming_table_are_planned_and_done_or_refused() {
    for (before, after, expected) in STREAMING_CHANGES {
        changed("STREAMING TABLE", before, after, expected);
    }
}

#[test]
fn p83_changes_of_a_materialized_view_are_computed_anew() {
    let batch = "read_files('landing', format => 'json', schema => 'id BIGINT, n INT, name STRING')";
    let of = |text: &str| text.replace("READ", batch);
    let cases: &[(&str, &str, &[&str], &[&str])] = &[
        ("AS SELECT id, n FROM READ", "AS SELECT id, name FROM READ", &["recompute main.s.t"], &["1|a", "2|b", "3|c"]),
        (
            "AS SELECT id, n FROM READ",
            "AS SELECT id, CAST(n AS STRING) AS n FROM READ",
            &["recompute main.s.t"],
            &["1|10", "2|NULL", "3|30"],
        ),
        (
            "AS SELECT id, n FROM READ",
            "PARTITIONED BY (id) AS SELECT id, n FROM READ",
            &["recompute main.s.t"],
            &["1|10", "2|NULL", "3|30"],
        ),
        (
            "(id BIGINT, n INT) AS SELECT id, n FROM READ",
            "(id BIGINT, n INT, CONSTRAINT positive CHECK (id > 0)) AS SELECT id, n FROM READ",
            &["recompute main.s.t"],
            &["1|10", "2|NULL", "3|30"],
        ),
        (
            "(id BIGINT, n INT) AS SELECT id, n FROM READ",
            "(id BIGINT NOT NULL, n INT) AS SELECT id, n FROM READ",
            &["recompute main.s.t"],
            &["1|10", "2|NULL", "3|30"],
        ),
        (
            "AS SELECT id, n FROM READ",
            "COMMENT 'numbers' CLUSTER BY (id) AS SELECT id, n FROM READ",
            &["change in place in main.s.t: comment, clustering by id"],
            &["1|10", "2|NULL", "3|30"],
        ),
    ];
    for (before, after, plan, rows) in cases {
        let project = Project::new(&[("t.sql", &of(&format!("CREATE MATERIALIZED VIEW t {before};")))]);
        land(&project, "1.json", &[r#"{"id":1,"n":10,"name":"a"}"#, r#"{"id":2,"name":"b"}"#]);
        project.run(&[]);
        project.write("transformations/t.sql", &of(&format!("CREATE MATERIALIZED VIEW t {after};")));
        let said = project.call("validate", &[]).stdout;
        assert!(plan.iter().all(|line| said.contains(line)), "{after}: {plan:?} in\n{said}");
        land(&project, "2.json", &[r#"{"id":3,"n":30,"name":"c"}"#]);
        project.run(&[]);
        assert_eq!(project.rows("t", "SELECT * FROM t ORDER BY 1"), *rows, "{after}");
        let said = project.call("validate", &[]).stdout;
        assert!(said.contains("no table is created, changed or emptied"), "{after}: once\n{said}");
    }
}

#[test]
fn a_check_keeps_rows_out_and_fails_the_flow_by_name_and_value() {
    let sql =
        "CREATE STREAMING TABLE t (id BIGINT, n INT, CONSTRAINT `Positive n` CHECK (n > 0), CHECK (id < 100)) AS SELECT id, n FROM READ;";
    let project = project(sql);
    // NULL is not FALSE.
    land(&project, "1.json", &[r#"{"id":1,"n":10}"#, r#"{"id":2}"#]);
    project.run(&[]);
    let (metadata, protocol) = head(&project, "t");
    assert_eq!(protocol, json!({"minReaderVersion": 1, "minWriterVersion": 3}));
    let configuration = &metadata["configuration"];
    assert_eq!(
        (&configuration["delta.constraints.positive n"], &configuration["delta.constraints.check_2"]),
        (&json!("n > 0"), &json!("id < 100"))
    );
    land(&project, "2.json", &[r#"{"id":3,"n":5}"#, r#"{"id":4,"n":-7}"#]);
    let version = project.version("t");
    let failed = project.refused("run", &[], 10, "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES");
    assert!(failed.stderr.contains("Positive n") && failed.stderr.contains("n = -7"), "{}", failed.stderr);
    assert_eq!(project.version("t"), version, "not one row of the batch");
    let failures = project.last_update().into_iter().filter(|event| event.kind == "flow_progress" && !event.error.is_empty()).count();
    assert_eq!(failures, 1, "it is not tried again");
    define(&project, &sql.replace("CHECK (id < 100))", "CHECK (id < 100), CONSTRAINT e EXPECT (n > 0) ON VIOLATION DROP ROW)"));
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["1", "2", "3"], "dropped rows come to no check");
}

#[test]
fn checks_of_views_and_of_targets_of_auto_cdc_see_the_stored_rows() {
    let batch = "read_files('landing', format => 'json', schema => 'id BIGINT, n INT')";
    let view = Project::new(&[(
        "t.sql",
        &format!("CREATE MATERIALIZED VIEW t (total BIGINT, CHECK (total < 100)) AS SELECT sum(n) AS total FROM {batch};"),
    )]);
    land(&view, "1.json", &[r#"{"id":1,"n":10}"#]);
    view.run(&[]);
    land(&view, "2.json", &[r#"{"id":2,"n":90}"#]);
    let failed = view.refused("run", &[], 10, "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES");
    assert!(failed.stderr.contains("total = 100"), "{}", failed.stderr);
    assert_eq!(view.rows("t", "SELECT total FROM t"), ["10"], "the old content stands");

    let sql = "CREATE STREAMING TABLE t (CONSTRAINT few CHECK (n < 50)) FLOW AUTO CDC FROM STREAM(news) KEYS (id) SEQUENCE BY n;
               CREATE TEMPORARY VIEW news AS SELECT id, n FROM READ;";
    let target = project(sql);
    land(&target, "1.json", &[r#"{"id":1,"n":10}"#]);
    target.run(&[]);
    land(&target, "2.json", &[r#"{"id":1,"n":60}"#]);
    target.refused("run", &[], 10, "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES");
    assert_eq!(target.rows("t", "SELECT n FROM t"), ["10"]);
    // The next events are merged as if it had not happened, once the rule allows them.
    define(&target, &sql.replace("n < 50", "n < 70"));
    target.run(&[]);
    assert_eq!(target.rows("t", "SELECT n FROM t"), ["60"]);
}

#[test]
fn p99_a_table_computes_columns_and_compares_given_ones() {
    let sql = "CREATE STREAMING TABLE t (id BIGINT COMMENT 'key', twice BIGINT GENERATED ALWAYS AS (id * 2) COMMENT 'computed', even BOOLEAN NOT NULL
                 GENERATED ALWAYS AS (id % 2 = 0), CONSTRAINT small CHECK (twice < 1000)) PARTITIONED BY (even) AS SELECT id FROM READ;";
    let project = project(sql);
    land(&project, "1.json", &[r#"{"id":1}"#, r#"{"id":2}"#]);
    project.run(&[]);
    assert_eq!(project.columns("t"), ["id", "twice", "even"]);
    assert_eq!(project.rows("t", "SELECT id, twice, even FROM t"), ["1|2|false", "2|4|true"]);
    assert_eq!(project.rows("t", "SELECT id FROM t WHERE even"), ["2"], "it is the partition of its row");
    let (metadata, protocol) = head(&project, "t");
    assert_eq!(protocol, json!({"minReaderVersion": 1, "minWriterVersion": 4}));
    let twice = json!({"name": "twice", "type": "long", "nullable": true, "metadata": {"comment": "computed", "delta.generationExpression": "id * 2"}});
    assert_eq!(field(&metadata, "twice"), twice);
    assert_eq!(field(&metadata, "id")["metadata"], json!({"comment": "key"}));
    // A check sees what was computed.
    land(&project, "2.json", &[r#"{"id":500}"#]);
    project.refused("run", &[], 10, "twice = 1000");
    fs::remove_file(project.path().join("landing/2.json")).unwrap();
    // What the query gives must be the same.
    define(&project, &sql.replace("SELECT id FROM", "SELECT id, CASE WHEN id = 7 THEN CAST(0 AS BIGINT) ELSE id * 2 END AS twice FROM"));
    project.run(&["--reset-checkpoint", "t"]);
    land(&project, "3.json", &[r#"{"id":3}"#]);
    project.run(&[]);
    land(&project, "4.json", &[r#"{"id":7}"#]);
    let failed = project.refused("run", &[], 10, "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES");
    assert!(failed.stderr.contains("generated column twice is id * 2") && failed.stderr.contains("twice = 0"), "{}", failed.stderr);
    assert_eq!(project.rows("t", "SELECT count(*) FROM t WHERE twice = id * 2"), ["5"]);
}

#[test]
fn manifests_say_the_same_as_statements() {
    let sql = "CREATE STREAMING TABLE t (id BIGINT, twice BIGINT GENERATED ALWAYS AS (id * 2), CONSTRAINT small CHECK (id < 1000)) CLUSTER BY (id) AS
               SELECT id FROM READ";
    let stated = project(&format!("{sql};"));
    let declared = Project::new(&[]);
    declared.write(
        "transformations/t.yaml",
        &format!(
            "apiVersion: floe.dev/v1alpha1\nkind: Table\nmetadata: {{name: t}}\nspec:\n  pipeline: test\n  type: StreamingTable\n  clusterBy: [id]\n  \
             columns: [{{name: id, type: BIGINT}}, {{name: twice, type: BIGINT, generatedAs: id * 2}}]\n  constraints: {{checks: [{{name: small, expr: id < 1000}}]}}\n  \
             query: \"SELECT id FROM {READ}\"\n"
        ),
    );
    for project in [&stated, &declared] {
        land(project, "1.json", &[r#"{"id":2}"#, r#"{"id":1}"#]);
        project.run(&[]);
        assert_eq!(project.rows("t", "SELECT * FROM t"), ["1|2", "2|4"]);
    }
    let (one, two) = (head(&stated, "t"), head(&declared, "t"));
    let without_ids = |metadata: &Value| {
        let mut configuration = metadata["configuration"].clone();
        configuration.as_object_mut().unwrap().remove("floe.pipelineId");
        (configuration, metadata["schemaString"].clone())
    };
    assert_eq!((without_ids(&one.0), one.1), (without_ids(&two.0), two.1));
}

#[test]
fn p105_rules_that_a_table_cannot_keep_are_refused_by_name_and_place() {
    let cases = [
        ("(id BIGINT, CHECK (id > :least)) AS SELECT id FROM READ", "DELTA_UNSUPPORTED_EXPRESSION_IN_ROW_RULE"),
        ("(id BIGINT, CHECK (id > (SELECT 1))) AS SELECT id FROM READ", "DELTA_UNSUPPORTED_EXPRESSION_IN_ROW_RULE"),
        ("(id BIGINT, CHECK (year(current_date()) > id)) AS SELECT id FROM READ", "DELTA_NON_DETERMINISTIC_EXPRESSION_IN_ROW_RULE"),
        ("(id BIGINT, CHECK (id + 1)) AS SELECT id FROM READ", "DELTA_NON_BOOLEAN_CHECK_CONSTRAINT"),
        ("(id BIGINT, CHECK (missing > 1)) AS SELECT id FROM READ", "UNRESOLVED_COLUMN"),
        ("(id BIGINT, CONSTRAINT a CHECK (id > 1), CONSTRAINT A CHECK (id > 2)) AS SELECT id FROM READ", "DELTA_CONSTRAINT_ALREADY_EXISTS"),
        ("(id BIGINT, b INT GENERATED ALWAYS AS (id * 2)) AS SELECT id FROM READ", "DELTA_GENERATED_COLUMNS_EXPR_TYPE_MISMATCH"),
        ("(id BIGINT, b GENERATED ALWAYS AS (id * 2)) AS SELECT id FROM READ", "DELTA_GENERATED_COLUMN_WITHOUT_TYPE"),
        ("(id BIGINT, b BIGINT GENERATED ALWAYS AS (id), c BIGINT GENERATED ALWAYS AS (b)) AS SELECT id FROM READ", "UNRESOLVED_COLUMN"),
        ("(id BIGINT GENERATED ALWAYS AS IDENTITY) AS SELECT id FROM READ", "FEATURE_NOT_SUPPORTED"),
        ("CLUSTER BY (s) AS SELECT id, named_struct('a', n) AS s FROM READ", "DELTA_CLUSTERING_COLUMNS_DATATYPE_NOT_SUPPORTED"),
        ("CLUSTER BY (b) AS SELECT id, n > 1 AS b FROM READ", "DELTA_CLUSTERING_COLUMNS_DATATYPE_NOT_SUPPORTED"),
        ("CLUSTER BY (missing) AS SELECT id FROM READ", "DELTA_CLUSTERING_COLUMN_MISSING"),
        ("TBLPROPERTIES ('pipelines.autoOptimize.zOrderCols' = 'missing') AS SELECT id FROM READ", "DELTA_ZORDERING_COLUMN_DOES_NOT_EXIST"),
        (
            "PARTITIONED BY (n) TBLPROPERTIES ('pipelines.autoOptimize.zOrderCols' = 'n') AS SELECT id, n FROM READ",
            "DELTA_ZORDERING_ON_PARTITION_COLUMN",
        ),
        ("TBLPROPERTIES ('delta.constraints.x' = 'id > 1') AS SELECT id FROM READ", "PROPERTY_NOT_ALLOWED"),
        ("(id BIGINT, n INT, m INT GENERATED ALWAYS AS (n)) FLOW AUTO CDC FROM STREAM(v) KEYS (id) SEQUENCE BY n", "FEATURE_NOT_SUPPORTED"),
        ("CLUSTER BY (n) FLOW AUTO CDC FROM STREAM(v) KEYS (id) SEQUENCE BY n", "FEATURE_NOT_SUPPORTED"),
    ];
    for (table, class) in cases {
        let project = project(&format!("CREATE STREAMING TABLE t {table};\nCREATE TEMPORARY VIEW v AS SELECT id, n FROM READ;"));
        let refused = project.refused("validate", &[], 10, class);
        assert!(refused.stderr.contains("t.sql:1:"), "{table}: {}", refused.stderr);
    }
    let view =
        project("CREATE TEMPORARY VIEW v (CHECK (id > 0)) AS SELECT id FROM READ; CREATE STREAMING TABLE t AS SELECT * FROM STREAM(v);");
    view.refused("validate", &[], 10, "CHECK_NOT_ALLOWED");
}

#[test]
fn a_check_of_another_program_is_not_broken_silently() {
    let project = project("CREATE STREAMING TABLE t AS SELECT id FROM READ;");
    land(&project, "1.json", &[r#"{"id":1}"#]);
    project.run(&[]);
    let (mut metadata, _) = head(&project, "t");
    metadata["configuration"]["delta.constraints.theirs"] = json!("id > 0");
    let version = project.version("t").unwrap() + 1;
    let actions = [json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 3}}), json!({"metaData": metadata})];
    let text: String = actions.iter().map(|action| format!("{action}\n")).collect();
    fs::write(project.table("t").join(format!("_delta_log/{version:020}.json")), text).unwrap();
    land(&project, "2.json", &[r#"{"id":-1}"#]);
    project.refused("run", &[], 10, "theirs");
    assert_eq!(project.version("t"), Some(version));
}

/// The table `t` as another program changes it: with other metadata, by writer version 4.
fn changed_by_another_program(project: &Project, metadata: &Value) -> i64 {
    let version = project.version("t").unwrap() + 1;
    let actions = [json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 4}}), json!({"metaData": metadata})];
    let text: String = actions.iter().map(|action| format!("{action}\n")).collect();
    fs::write(project.table("t").join(format!("_delta_log/{version:020}.json")), text).unwrap();
    version
}

#[test]
fn a_generated_column_of_another_program_is_not_lost_silently() {
    let columns = [
        // Made of a column that the query gives, and one that it does not know.
        ("n", json!({"name": "n", "type": "integer", "nullable": true, "metadata": {"delta.generationExpression": "CAST(id + 1 AS INT)"}})),
        ("twice", json!({"name": "twice", "type": "long", "nullable": true, "metadata": {"delta.generationExpression": "id * 2"}})),
    ];
    for (name, column) in columns {
        let project = project("CREATE STREAMING TABLE t AS SELECT id, n FROM READ;");
        land(&project, "1.json", &[r#"{"id":1}"#]);
        project.run(&[]);
        let (mut metadata, _) = head(&project, "t");
        let mut schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
        let fields = schema["fields"].as_array_mut().unwrap();
        fields.retain(|field| field["name"] != name);
        fields.push(column.clone());
        metadata["schemaString"] = json!(schema.to_string());
        let version = changed_by_another_program(&project, &metadata);
        land(&project, "2.json", &[r#"{"id":2}"#]);
        for arguments in [&[][..], &["--full-refresh", "t"]] {
            refused_untouched(&project, "run", arguments, "DELTA_UNSUPPORTED_FEATURES_FOR_WRITE");
            refused_untouched(&project, "run", arguments, &format!("generated column {name}"));
        }
        project.refused("validate", &[], 10, &format!("generated column {name}"));
        assert_eq!((project.version("t"), field(&head(&project, "t").0, name)), (Some(version), column));
    }
    // Declared in the definition too it is ours from then on, and may be given up.
    let project = project("CREATE STREAMING TABLE t AS SELECT id FROM READ;");
    land(&project, "1.json", &[r#"{"id":1}"#]);
    project.run(&[]);
    let (mut metadata, _) = head(&project, "t");
    let mut schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    schema["fields"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "twice", "type": "long", "nullable": true, "metadata": {"delta.generationExpression": "id * 2"}}));
    metadata["schemaString"] = json!(schema.to_string());
    changed_by_another_program(&project, &metadata);
    define(&project, "CREATE STREAMING TABLE t (id BIGINT, twice BIGINT GENERATED ALWAYS AS (id * 2)) AS SELECT id FROM READ;");
    land(&project, "2.json", &[r#"{"id":2}"#]);
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id, twice FROM t ORDER BY id"), ["1|NULL", "2|4"]);
    assert_eq!(head(&project, "t").0["configuration"]["floe.generatedColumns"], json!(r#"["twice"]"#));
    define(&project, "CREATE STREAMING TABLE t (id BIGINT, twice BIGINT) AS SELECT id, id * 3 AS twice FROM READ;");
    land(&project, "3.json", &[r#"{"id":3}"#]);
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id, twice FROM t ORDER BY id"), ["1|NULL", "2|4", "3|9"]);
    assert_eq!(field(&head(&project, "t").0, "twice")["metadata"], json!({}));
}

#[test]
fn a_rule_without_values_in_its_message_and_rows_of_a_killed_run() {
    let sql = "CREATE STREAMING TABLE t (id BIGINT, CHECK (id < 100)) TBLPROPERTIES ('pipelines.expectations.sampleRecords' = 'false') AS SELECT id FROM READ;";
    let project = project(sql);
    land(&project, "1.json", &[r#"{"id":4711}"#]);
    let failed = project.refused("run", &[], 10, "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES");
    assert!(failed.stderr.contains("***") && !failed.stderr.contains("4711"), "{}", failed.stderr);
    // A rule that is added is there as a whole or not at all, whenever the process dies.
    for place in ["metadata::before", "target::before", "target::after"] {
        let project = self::project("CREATE STREAMING TABLE t (id BIGINT) AS SELECT id FROM READ;");
        land(&project, "1.json", &[r#"{"id":1}"#]);
        project.run(&[]);
        define(&project, "CREATE STREAMING TABLE t (id BIGINT, CHECK (id < 100)) AS SELECT id FROM READ;");
        land(&project, "2.json", &[r#"{"id":2}"#]);
        let killed = project.floe("run", &[]).env("FLOE_FAILPOINTS", format!("{place}=1")).output().unwrap();
        assert_eq!(killed.status.code(), None, "{place}");
        project.run(&[]);
        assert_eq!(project.rows("t", "SELECT id FROM t"), ["1", "2"], "{place}");
        assert_eq!(head(&project, "t").0["configuration"]["delta.constraints.check_1"], "id < 100", "{place}");
    }
}

#[test]
fn p84_rules_are_compared_with_the_settings_that_they_were_made_with() {
    let sql =
        "CREATE STREAMING TABLE t (id BIGINT, day DATE GENERATED ALWAYS AS (CAST(timestamp_seconds(id) AS DATE))) AS SELECT id FROM READ;";
    let project = project(sql);
    land(&project, "1.json", &[r#"{"id":86390}"#]);
    project.run(&[]);
    assert_eq!(head(&project, "t").0["configuration"]["floe.ruleSettings"], json!(r#"{"ansi":false,"timeZone":"UTC"}"#));
    assert_eq!(project.rows("t", "SELECT day FROM t"), ["1970-01-01"]);
    let paris = ["--conf", "spark.sql.session.timeZone=Europe/Paris"];
    let refused = project.refused("run", &paris, 10, "SCHEMA_CHANGE_REQUIRES_FULL_REFRESH");
    assert!(refused.stderr.contains("ANSI off in the time zone Europe/Paris"), "{}", refused.stderr);
    project.run(&[&paris[..], &["--full-refresh", "t"]].concat());
    assert_eq!(project.rows("t", "SELECT day FROM t"), ["1970-01-02"]);
    project.run(&paris);
}

#[test]
fn p84_settings_that_cannot_matter_to_a_rule_change_nothing() {
    let project = project(
        "CREATE STREAMING TABLE t (id BIGINT, name STRING, next BIGINT GENERATED ALWAYS AS (id + 1), CHECK (id < 1000), CONSTRAINT word CHECK (lower(name) = name))
           AS SELECT id, name FROM READ;",
    );
    land(&project, "1.json", &[r#"{"id":1,"name":"a"}"#]);
    project.run(&[]);
    assert_eq!(head(&project, "t").0["configuration"]["floe.ruleSettings"], json!(r#"{"ansi":false}"#));
    let before = head(&project, "t");
    land(&project, "2.json", &[r#"{"id":2,"name":"b"}"#]);
    project.run(&["--conf", "spark.sql.session.timeZone=Europe/Paris"]);
    assert_eq!(project.rows("t", "SELECT id, next FROM t ORDER BY id"), ["1|2", "2|3"]);
    assert_eq!(head(&project, "t"), before, "no commit of metadata");
    // A sum that is too large is an error or not.
    let refused = project.refused("run", &["--conf", "spark.sql.ansi.enabled=true"], 10, "SCHEMA_CHANGE_REQUIRES_FULL_REFRESH");
    assert!(refused.stderr.contains("with ANSI off and would be generated as id + 1 with ANSI on"), "{}", refused.stderr);
}
