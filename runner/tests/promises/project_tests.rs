//! `floe test`: rows in, rows expected, by the code of `floe run`; nothing of the project is read but its definitions.

use serde_json::Value;

use crate::harness::{Ended, Project};

const ORDERS: &str = "
CREATE OR REFRESH STREAMING TABLE bronze AS
SELECT * FROM STREAM read_files('s3://nowhere/in', format => 'json', schema => 'id BIGINT, at TIMESTAMP, quantity BIGINT, price DECIMAL(10,2)');
CREATE OR REFRESH STREAMING TABLE orders (CONSTRAINT positive EXPECT (quantity > 0) ON VIOLATION QUARANTINE ROW)
AS SELECT DISTINCT ON (id, at) id, at, quantity, price FROM STREAM(bronze) WATERMARK at DELAY OF INTERVAL 10 MINUTES;
CREATE OR REFRESH MATERIALIZED VIEW per_day AS SELECT CAST(at AS DATE) AS day, SUM(quantity) AS quantity FROM orders GROUP BY CAST(at AS DATE);";

fn orders() -> Project {
    Project::new(&[("all.sql", ORDERS)])
}

fn row(id: u32, at: &str, quantity: i32) -> String {
    format!("{{\"id\": {id}, \"at\": \"2026-01-31T{at}Z\", \"quantity\": {quantity}, \"price\": 2.50}}\n")
}

fn test(project: &Project, arguments: &[&str], code: i32) -> Ended {
    let ended = project.call("test", arguments);
    assert_eq!(ended.code, Some(code), "stdout:\n{}\nstderr:\n{}", ended.stdout, ended.stderr);
    ended
}

fn json(project: &Project, code: i32) -> Value {
    serde_json::from_str(&test(project, &["--output", "json"], code).stdout).unwrap()
}

#[test]
fn p98_floe_test_diff() {
    let project = orders();
    project.write("tests/quantities/input/bronze.json", &(row(1, "08:00:00", 2) + &row(2, "09:00:00", 3) + &row(2, "09:00:00", 3)));
    project.write("tests/quantities/expected/per_day.json", "{\"day\": \"2026-01-31\", \"quantity\": 6}\n");
    project.write("tests/quantities/expected/orders.csv", "id,quantity,price\n1,2,2.50\n3,3,2.50\n9,9,9.00\n");
    let failed = test(&project, &[], 10);
    let lines: Vec<&str> = failed.stdout.lines().filter(|line| !line.contains(" ms)")).collect();
    assert_eq!(
        lines.join("\n"),
        "    orders: 1 differs, 1 missing, 1 as expected  tests/quantities/expected/orders.csv
        id   quantity   price
      -  3          3    2.50
      +  2          3    2.50
         ~
      -  9          9    9.00
      not compared, for the file does not name them: at

    per_day: 1 differs  tests/quantities/expected/per_day.json
        day          quantity
      - 2026-01-31          6
      + 2026-01-31          5
                            ~",
        "{}",
        failed.stdout
    );
    let document = json(&project, 10);
    assert_eq!(document["failed"], 1);
    let orders = &document["tests"][0]["datasets"][0];
    assert_eq!(orders["changed_rows"][0]["columns"], serde_json::json!(["id"]));
    assert_eq!(orders["missing_rows"], serde_json::json!([{"id": 9, "quantity": 9, "price": 9.0}]));

    let updated = test(&project, &["--update-expected"], 0);
    assert!(updated.stdout.contains("written tests/quantities/expected/per_day.json"), "{}", updated.stdout);
    test(&project, &[], 0);
    let kept = std::fs::read_to_string(project.path().join("tests/quantities/expected/orders.csv")).unwrap();
    assert_eq!(kept, "id,quantity,price\n1,2,2.50\n2,3,2.50\n", "columns and order stay");
    assert!(!project.path().join("lake").exists(), "a test writes no table");
}

#[test]
fn micro_batches_are_updates_with_watermarks_between_them() {
    let project = orders();
    let input = |n: u32, rows: String| project.write(&format!("tests/late/input/bronze.{n}.json"), &rows);
    input(1, row(1, "08:00:00", 1) + &row(2, "09:00:00", 1));
    // One copy, one that is late, one that is neither.
    input(2, row(2, "09:00:00", 1) + &row(3, "08:10:00", 1) + &row(4, "08:55:00", 1));
    project.write("tests/late/expected/orders.csv", "id\n1\n2\n4\n");
    // The same rows in one micro-batch: nothing is late.
    let together =
        row(1, "08:00:00", 1) + &row(2, "09:00:00", 1) + &row(2, "09:00:00", 1) + &row(3, "08:10:00", 1) + &row(4, "08:55:00", 1);
    project.write("tests/together/input/bronze.json", &together);
    project.write("tests/together/expected/orders.csv", "id\n1\n2\n3\n4\n");
    test(&project, &[], 0);
}

#[test]
fn quarantined_rows_and_the_clock_are_expected_too() {
    let project = orders();
    project.write("tests/bad/input/bronze.json", &(row(1, "08:00:00", 0) + &row(2, "08:00:00", 1)));
    project.write("tests/bad/test.yaml", "now: 2026-02-01T00:00:00Z\n");
    let quarantine =
        r#"{"expectations": ["positive"], "flow": "orders", "update_id": "update-1", "batch_id": 0, "at": "2026-02-01T00:00:00Z"}"#;
    project.write("tests/bad/expected/orders_quarantine.json", &format!("{{\"id\": 1, \"_quarantine\": {quarantine}}}\n"));
    project.write("tests/bad/expected/orders.csv", "id\n2\n");
    test(&project, &[], 0);
}

#[test]
fn auto_cdc_and_joins_with_tables_are_those_of_production() {
    let sql = "
CREATE TEMPORARY VIEW changes AS SELECT * FROM STREAM read_files('in', format => 'json', schema => 'k STRING, v STRING, op STRING, n BIGINT');
CREATE OR REFRESH STREAMING TABLE newest;
CREATE FLOW f AS AUTO CDC INTO newest FROM STREAM(changes) KEYS (k) APPLY AS DELETE WHEN op = 'd' SEQUENCE BY n COLUMNS * EXCEPT (op, n);
CREATE OR REFRESH MATERIALIZED VIEW prices AS SELECT k, n AS price FROM read_files('prices', format => 'json', schema => 'k STRING, n BIGINT');
CREATE OR REFRESH STREAMING TABLE sales AS SELECT s.k, s.id, p.price FROM STREAM read_stream_of_sales AS s INNER JOIN prices AS p ON s.k = p.k;
CREATE TEMPORARY VIEW read_stream_of_sales AS SELECT * FROM STREAM ext.sold;";
    let project = Project::new(&[("all.sql", sql)]);
    let external = "apiVersion: floe.dev/v1alpha1\nkind: Table\nmetadata: {name: sold}\nspec: {pipeline: test, type: External, schema: ext, location: s3://nowhere/sold}\n";
    project.write("sold.yaml", external);
    project.write("tests/changes/input/changes.1.csv", "k,v,op,n\na,one,u,1\nb,two,u,1\n");
    project.write("tests/changes/input/changes.2.csv", "k,v,op,n\na,late,u,0\nb,,d,2\nc,three,u,1\n");
    project.write("tests/changes/expected/newest.csv", "k,v\na,one\nc,three\n");
    // The price is that of the micro-batch; a table of somebody else has the types of its rows.
    project.write("tests/prices/input/prices.1.csv", "k,price\na,10\n");
    project.write("tests/prices/input/prices.2.csv", "k,price\na,20\nb,5\n");
    project.write("tests/prices/input/ext.sold.1.json", "{\"k\": \"a\", \"id\": 1} {\"k\": \"b\", \"id\": 2}");
    project.write("tests/prices/input/ext.sold.2.json", "{\"k\": \"a\", \"id\": 3} {\"k\": \"b\", \"id\": 4}");
    project.write("tests/prices/expected/sales.csv", "k,id,price\na,1,10\na,3,20\nb,4,5\n");
    project.write("tests/prices/expected/read_stream_of_sales.json", "{\"id\": 1} {\"id\": 2} {\"id\": 3} {\"id\": 4}");
    test(&project, &[], 0);
}

#[test]
fn an_expected_error_is_a_test_too() {
    let project = orders();
    let strict = "CREATE OR REFRESH STREAMING TABLE strict (CONSTRAINT few EXPECT (quantity < 100) ON VIOLATION FAIL UPDATE)
        AS SELECT * FROM STREAM(orders);";
    project.write("transformations/strict.sql", strict);
    project.write("tests/many/input/orders.json", &row(1, "08:00:00", 100));
    project
        .write("tests/many/test.yaml", "expectError: {class: EXPECTATION_VIOLATION, message: \"'few' (1 of 1 record\", dataset: strict}\n");
    project.write("tests/many/expected/strict.json", "");
    test(&project, &[], 0);
    project.write("tests/many/test.yaml", "expectError: CAST_INVALID_INPUT\n");
    let other = test(&project, &[], 10);
    assert!(other.stdout.contains("CAST_INVALID_INPUT is expected (tests/many/test.yaml:1:14), but what failed is"), "{}", other.stdout);
    assert!(other.stdout.contains("EXPECTATION_VIOLATION"), "{}", other.stdout);
    project.write("tests/many/input/orders.json", &row(1, "08:00:00", 1));
    let none = test(&project, &[], 10);
    assert!(none.stdout.contains("and all updates succeeded"), "{}", none.stdout);
}

#[test]
fn parameters_and_configuration_of_a_test_are_its_own() {
    let sql = "CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT id, :who AS who, '${what}' AS what FROM t;
        CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('in', format => 'json', schema => 'id BIGINT');";
    let project = Project::new(&[("all.sql", sql)]);
    let spec = "spec: {schema: s, configuration: {what: x}, parameters: [{name: who, valueFrom: {secretKeyRef: {name: a, key: b}}}]}";
    project.write("pipeline.yaml", &format!("apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {{name: test}}\n{spec}\n"));
    project.write("tests/a/input/t.csv", "id\n1\n");
    project.write("tests/a/expected/v.csv", "id,who,what\n1,ada,y\n");
    let unbound = test(&project, &[], 10);
    assert!(unbound.stdout.contains("UNBOUND_SQL_PARAMETER") && unbound.stdout.contains("test.yaml"), "{}", unbound.stdout);
    project.write("tests/a/test.yaml", "parameters: {who: ada}\nconfiguration:\n  what: y\n");
    test(&project, &[], 0);
    project.write("tests/a/test.yaml", "parameters: {who: ada, woh: x}\nconfiguration:\n  what: y\n");
    let unread = test(&project, &[], 10);
    assert!(
        unread.stdout.contains("parameters.woh: no query reads :woh") && unread.stdout.contains("did you mean who"),
        "{}",
        unread.stdout
    );
    assert!(unread.stdout.contains("tests/a/test.yaml:1:"), "{}", unread.stdout);
}

#[test]
fn what_is_wrong_with_a_test_is_told_with_its_place() {
    let project = orders();
    let refused = |says: &[&str]| {
        let ended = test(&project, &[], 10);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        for part in says {
            assert!(said.contains(part), "{part:?} in\n{said}");
        }
    };
    refused(&["NO_TESTS_FOUND", "has no folder tests"]);
    project.write("tests/a/expected/per_day.csv", "day,quantity\n");
    refused(&["TEST_INPUT_MISSING", "bronze reads read_files('s3://nowhere/in')", "transformations/all.sql:3:", "input/bronze.json"]);
    project.write("tests/a/input/bronz.json", "");
    refused(&["TABLE_OR_VIEW_NOT_FOUND", "tests/a/input/bronz.json", "did you mean bronze?"]);
    std::fs::remove_file(project.path().join("tests/a/input/bronz.json")).unwrap();
    project.write("tests/a/input/bronze.json", "{\"id\": 1}\n{\"id\": 1.5}\n");
    refused(&["CAST_INVALID_INPUT", "1.5 is no value of column id, which is BIGINT", "tests/a/input/bronze.json:2:8"]);
    project.write("tests/a/input/bronze.json", "{\"id\": 1}\n");
    project.write("tests/a/test.yaml", "nwo: 2026-01-31\n");
    refused(&["MANIFEST_UNKNOWN_KEY", "tests/a/test.yaml:1:1", "did you mean `now`?"]);
    project.write("tests/a/test.yaml", "now: yesterday\n");
    refused(&["MANIFEST_INVALID_VALUE", "tests/a/test.yaml:1:6"]);
    project.write("tests/a/test.yaml", "");
    project.write("tests/a/input/orders_quarantine.json", "");
    refused(&["TEST_INPUT_NOT_ALLOWED", "quarantine"]);
    let ended = project.call("test", &["--filter", "b"]);
    assert!(ended.code == Some(10) && ended.stderr.contains("no test has \"b\" in its name"), "{ended:?}");
    let ended = project.call("test", &["--storage", "elsewhere"]);
    assert!(ended.code == Some(10) && ended.stderr.contains("FEATURE_NOT_SUPPORTED"), "{ended:?}");
}

#[test]
fn without_expected_files_all_that_can_run_is_written_down() {
    let project = orders();
    project.write("tests/new/input/bronze.json", &row(1, "08:00:00", 2));
    let written = test(&project, &["--update-expected"], 0);
    for name in ["orders", "per_day"] {
        assert!(written.stdout.contains(&format!("tests/new/expected/{name}.json")), "{}", written.stdout);
    }
    let orders = std::fs::read_to_string(project.path().join("tests/new/expected/orders.json")).unwrap();
    assert_eq!(orders, "{\"id\": 1, \"at\": \"2026-01-31T08:00:00Z\", \"quantity\": 2, \"price\": 2.50}\n");
    test(&project, &[], 0);
}

#[test]
fn views_alone_can_be_tested() {
    let project = Project::new(&[(
        "a.sql",
        "CREATE TEMPORARY VIEW raw AS SELECT * FROM STREAM read_files('in', format => 'json', schema => 'id BIGINT, price DOUBLE');
         CREATE TEMPORARY VIEW dear AS SELECT id, price * 2 AS twice FROM STREAM(raw) WHERE price > 10;
         CREATE STREAMING TABLE t AS SELECT * FROM STREAM(dear);",
    )]);
    project.write("tests/v/input/raw.1.csv", "id,price\n1,5\n2,20\n");
    project.write("tests/v/input/raw.2.csv", "id,price\n3,30\n");
    project.write("tests/v/expected/dear.csv", "id,twice\n2,40\n3,60\n");
    test(&project, &[], 0);
    project.write("tests/v/expected/dear.csv", "id,twice\n2,40\n");
    test(&project, &[], 10);
}

/// What is behind a table of somebody else has the types of the project as soon as that table is given.
#[test]
fn types_behind_a_given_table_are_those_of_the_project() {
    let project = Project::new(&[(
        "a.sql",
        "CREATE MATERIALIZED VIEW days AS SELECT day FROM delta.`elsewhere/days`;
         CREATE MATERIALIZED VIEW moments AS SELECT from_json('{}', 'at FLOAT').at AS at FROM days;
         CREATE MATERIALIZED VIEW times AS SELECT CAST(at AS TIMESTAMP) AS time FROM moments;",
    )]);
    project.write("tests/t/input/moments.csv", "at\n1575185500.0\n");
    project.write("tests/t/expected/times.csv", "time\n2019-12-01T07:31:40Z\n");
    test(&project, &[], 0);
    project.write("tests/t/input/days.csv", "day\n2019-12-01\n");
    project.write("tests/t/expected/times.csv", "time\n2019-12-01T07:32:16Z\n");
    test(&project, &[], 0);
}

#[test]
fn p97_floe_init_templates_pass() {
    for template in ["empty", "bookstore", "gym"] {
        let project = Project::new(&[]);
        let directory = project.path().join(template);
        let floe = |command: &str, arguments: &[&str]| {
            let mut floe = std::process::Command::new(env!("CARGO_BIN_EXE_floe"));
            let ended: Ended = floe.arg(command).arg(&directory).args(arguments).output().unwrap().into();
            assert_eq!(ended.code, Some(0), "{template} {command}: {}{}", ended.stdout, ended.stderr);
            ended
        };
        floe("init", &["--template", template]);
        floe("validate", &[]);
        let tested = floe("test", &[]);
        assert!(tested.stdout.contains(" passed (") && !tested.stdout.contains("failed"), "{}", tested.stdout);
        floe("run", &[]);
    }
}

#[test]
fn a_csv_with_one_column_keeps_its_nulls() {
    let project = Project::new(&[(
        "t.sql",
        "CREATE OR REFRESH MATERIALIZED VIEW given AS SELECT 1 AS id, 'x' AS name;
         CREATE OR REFRESH MATERIALIZED VIEW names AS SELECT name FROM given;",
    )]);
    project.write("tests/nulls/input/given.json", "{\"id\": 1, \"name\": \"a\"}\n{\"id\": 2}\n{\"id\": 3, \"name\": \"\"}\n");
    project.write("tests/nulls/expected/names.csv", "name\n");
    test(&project, &["--update-expected"], 0);
    let written = std::fs::read_to_string(project.path().join("tests/nulls/expected/names.csv")).unwrap();
    let mut lines: Vec<&str> = written.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["", "\"\"", "a", "name"]);
    test(&project, &[], 0);
    project.write("tests/nulls/expected/names.csv", "name\na\n\"\"\n");
    test(&project, &[], 10);
}

#[test]
fn rows_tell_types_as_files_do() {
    let project = Project::new(&[(
        "t.sql",
        "CREATE OR REFRESH MATERIALIZED VIEW m AS SELECT max(at) AS newest, sum(n) AS n FROM other.foreign WHERE on;",
    )]);
    project.write(
        "transformations/foreign.yaml",
        "apiVersion: floe.dev/v1alpha1\nkind: Table\nmetadata: {name: foreign}\nspec: {pipeline: test, type: External, schema: other, location: /nowhere}\n",
    );
    // Dates beside times are times, and letter case of booleans does not count: both as in CSV files.
    project.write("tests/kinds/input/other.foreign.csv", "at,n,on\n2024-01-31,1,TRUE\n2024-01-31T10:00:00Z,2.5,true\n");
    project.write("tests/kinds/expected/m.json", "{\"newest\": \"2024-01-31T10:00:00Z\", \"n\": 3.5}\n");
    test(&project, &[], 0);
}
