//! Reading files: limits, overwritten and hidden files, metadata; text that is put into SQL, and how values are cast.

use crate::harness::Project;

const TABLE: &str =
    "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT'OPTIONS);";

fn project(options: &str) -> Project {
    Project::new(&[("t.sql", &TABLE.replace("OPTIONS", options))])
}

fn id(id: u64) -> [String; 1] {
    [format!(r#"{{"id":{id}}}"#)]
}

/// A view over a literal row, whose columns a test reads.
fn view(select: &str) -> Project {
    Project::new(&[("v.sql", &format!("CREATE MATERIALIZED VIEW v AS SELECT {select};"))])
}

#[test]
fn p55_max_files_per_trigger() {
    let project = project(", maxFilesPerTrigger => 10");
    for file in 0..25 {
        project.land(&format!("f{file:02}.json"), id(file));
    }
    project.run(&[]);
    let version = project.version("t").unwrap();
    let files: Vec<usize> = (0..=version)
        .map(|version| project.commit("t", version))
        .filter(|commit| commit.iter().any(|action| action.get("add").is_some()))
        .map(|commit| rows_added(&commit))
        .collect();
    assert_eq!(files, [10, 10, 5], "one commit per micro-batch");
    assert_eq!(project.rows("t", "SELECT count(*), sum(id) FROM t"), ["25|300"]);
}

fn rows_added(commit: &[serde_json::Value]) -> usize {
    let stats = commit.iter().filter_map(|action| action["add"]["stats"].as_str());
    stats.map(|stats| serde_json::from_str::<serde_json::Value>(stats).unwrap()["numRecords"].as_u64().unwrap() as usize).sum()
}

#[test]
fn p56_overwritten_file_is_ignored_or_read_again() {
    for (options, expected) in [("", vec!["1"]), (", allowOverwrites => true", vec!["1", "2", "3"])] {
        let project = project(options);
        project.land("a.json", id(1));
        project.run(&[]);
        project.land("a.json", [id(2), id(3)].concat());
        project.run(&[]);
        assert_eq!(project.rows("t", "SELECT id FROM t"), expected, "{options}");
        let warned = project.last_update().iter().any(|event| event.level == "WARN" && event.message.contains("allowOverwrites"));
        assert_eq!(warned, options.is_empty());
    }
}

#[test]
fn p57_hidden_and_temporary_files_are_ignored() {
    let project = project("");
    for (name, number) in [("_x.json", 1), (".y.json", 2), ("z.json.tmp", 3), ("good.json", 4), ("_folder/x.json", 5), ("folder/x.json", 6)]
    {
        project.land(name, id(number));
    }
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["4", "6"]);
}

#[test]
fn p58_include_existing_files_false() {
    let project = project(", includeExistingFiles => false");
    for file in 0..3 {
        project.land(&format!("{file}.json"), id(file));
    }
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id FROM t"), Vec::<String>::new());
    project.land("3.json", id(3));
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["3"]);
    assert!(project.run(&[]).stdout.contains("nothing new"));
    // Many batches later the old files, whose batch was folded into the ledger, are still known.
    for file in 4..30 {
        project.land(&format!("{file}.json"), id(file));
        project.write("transformations/t.sql", &TABLE.replace("OPTIONS", ", includeExistingFiles => false, maxFilesPerTrigger => 1"));
    }
    project.run(&[]);
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT min(id), count(*), sum(id) FROM t"), ["3|27|432"]);
    // A new generation starts for the first time once more.
    project.run(&["--full-refresh", "t"]);
    assert_eq!(project.rows("t", "SELECT id FROM t"), Vec::<String>::new());
}

#[test]
fn p58_a_first_start_without_files_is_a_start() {
    let project = project(", includeExistingFiles => false");
    std::fs::create_dir_all(project.path().join("landing")).unwrap();
    let killed = project.floe("run", &[]).env("FLOE_FAILPOINTS", "commit_entry::before=1").output().unwrap();
    assert_eq!(killed.status.code(), None, "it was killed");
    project.land("0.json", id(0));
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["0"]);
}

#[test]
fn p58_a_batch_read_takes_all_files() {
    let sql = "CREATE MATERIALIZED VIEW v AS SELECT * FROM read_files('landing', format => 'json', schema => 'id BIGINT', includeExistingFiles => false);";
    Project::new(&[("v.sql", sql)]).refused("run", &[], 10, "has no meaning without STREAM");
}

#[test]
fn p103_path_mapping() {
    let sql = "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('/Volumes/main/raw/x', format => 'json', schema => 'id BIGINT');";
    let project = Project::new(&[("t.sql", sql)]);
    let manifest = "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: test}\nspec: {schema: s, pathMappings: [{prefix: /Volumes/main/raw, uri: 'file://ROOT/landing'}]}\n";
    project.write("pipeline.yaml", &manifest.replace("ROOT", project.path().to_str().unwrap()));
    project.land("x/a.json", id(1));
    project.land("y/b.json", id(2));
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["1"]);
}

#[test]
fn p63_explicit_schema_ignores_a_new_field() {
    let project = project("");
    project.land("a.json", [r#"{"id":1,"other":"x"}"#.to_string()]);
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT * FROM t"), ["1"]);
}

#[test]
fn p66_metadata_column() {
    let sql = "CREATE OR REFRESH STREAMING TABLE t AS SELECT *, _metadata.file_name AS name, _metadata.file_size AS size
        FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT');
        CREATE OR REFRESH STREAMING TABLE plain AS SELECT * FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT');";
    let project = Project::new(&[("t.sql", sql)]);
    project.land("a.json", id(1));
    project.land("deep/b.json", id(22));
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT * FROM t"), ["1|a.json|9", "22|b.json|10"]);
    assert_eq!(project.rows("plain", "SELECT * FROM t"), ["1", "22"]);
}

#[test]
fn p12_configuration_substitution() {
    let sql = "CREATE MATERIALIZED VIEW v AS SELECT '${a}' AS a, '${b}' AS b;
        SET b = from_set; SET c = from_set;
        CREATE MATERIALIZED VIEW w AS SELECT '${a}' AS a, '${b}' AS b, '${c}' AS c;";
    let project = Project::new(&[("v.sql", sql)]);
    let manifest =
        "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: test}\nspec: {schema: s, configuration: {a: spec, b: spec}}\n";
    project.write("pipeline.yaml", manifest);
    project.run(&["--set", "b=line"]);
    assert_eq!(project.rows("v", "SELECT * FROM t"), ["spec|line"]);
    assert_eq!(project.rows("w", "SELECT * FROM t"), ["spec|from_set|from_set"]);
    project.write("transformations/x.sql", "CREATE MATERIALIZED VIEW x AS SELECT '${c}' AS c;");
    project.refused("run", &[], 10, "UNDEFINED_CONFIGURATION_KEY");
}

#[test]
fn p13_named_parameter_is_a_literal() {
    let project = view(":p AS p, :p = 'x' AS same");
    project.run(&["--param", "p=x' OR '1'='1"]);
    assert_eq!(project.rows("v", "SELECT * FROM t"), ["x' OR '1'='1|false"]);
    project.refused("run", &[], 10, "UNBOUND_SQL_PARAMETER");
}

#[test]
fn p16_use_schema_ends_with_the_file() {
    let project = Project::new(&[
        ("a.sql", "USE SCHEMA s2; CREATE MATERIALIZED VIEW one AS SELECT 1 AS x;"),
        ("b.sql", "CREATE MATERIALIZED VIEW two AS SELECT x + 1 AS x FROM s2.one;"),
    ]);
    project.run(&[]);
    assert!(project.path().join("lake/s2/one/_delta_log").is_dir());
    assert_eq!(project.rows("two", "SELECT x FROM t"), ["2"]);
}

#[test]
fn p20_integer_division_is_double() {
    let project = view("CAST(1575185536500 / 1000 AS TIMESTAMP) AS t, 7 / 2 AS half");
    project.run(&[]);
    assert_eq!(project.rows("v", "SELECT * FROM t"), ["2019-12-01T07:32:16.500Z|3.5"]);
}

#[test]
fn p22_cast_errors_follow_the_setting() {
    let select = "CAST(x AS INT) AS a, 1 / zero AS b, to_date('01-05-1964', 'MM/dd/yyyy') AS c FROM (SELECT 'x' AS x, 0 AS zero)";
    let project = view(select);
    project.run(&[]);
    assert_eq!(project.rows("v", "SELECT * FROM t"), ["NULL|NULL|NULL"]);
    let strict = Project::new(&[(
        "v.sql",
        "SET spark.sql.ansi.enabled = true; CREATE MATERIALIZED VIEW v AS SELECT CAST(x AS INT) AS a FROM (SELECT 'x' AS x);",
    )]);
    strict.refused("run", &[], 10, "CAST_INVALID_INPUT");
    assert_eq!(strict.last_update().iter().filter(|event| event.details["status"] == "FAILED").count(), 1, "not tried again");
}

#[test]
fn p102_aggregate_of_literal() {
    let sql = "CREATE OR REFRESH STREAMING TABLE t AS SELECT id FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT');
        CREATE MATERIALIZED VIEW v AS\n SELECT COUNT(\"id\") AS n, AVG(\"id\") AS a FROM t;";
    let project = Project::new(&[("t.sql", sql)]);
    project.land("a.json", [r#"{"id":1}"#.to_string(), r#"{"id":null}"#.to_string()]);
    project.run(&[]);
    assert_eq!(project.rows("v", "SELECT * FROM t"), ["2|NULL"]);
    let validated = project.call("validate", &[]);
    let said = format!("{}{}", validated.stdout, validated.stderr);
    assert!(validated.code == Some(0) && said.contains("W010") && said.contains("t.sql:3"), "{said}");
}

#[test]
fn texts_of_files_are_read_in_the_time_zone_of_their_statement() {
    let read = |options: &str| format!("SELECT at FROM read_files('in', format => 'csv', schema => 'at TIMESTAMP'{options})");
    let sql = format!(
        "CREATE MATERIALIZED VIEW utc AS {};
         SET spark.sql.session.timeZone = Europe/Paris;
         CREATE MATERIALIZED VIEW paris AS {};
         CREATE STREAMING TABLE stream AS {};
         CREATE MATERIALIZED VIEW own AS {};",
        read(""),
        read(""),
        read("").replace("read_files", "STREAM read_files"),
        read(", timeZone => '+05:00'")
    );
    let project = Project::new(&[("t.sql", &sql)]);
    project.write("in/a.csv", "2024-07-01 12:00:00\n2024-07-01T12:00:00Z\n");
    project.run(&[]);
    for (table, hour) in [("utc", "12"), ("paris", "10"), ("stream", "10"), ("own", "07")] {
        let mut wanted = [format!("2024-07-01T{hour}:00:00Z"), "2024-07-01T12:00:00Z".to_string()];
        wanted.sort();
        assert_eq!(project.rows(table, "SELECT at FROM t"), wanted, "{table}");
    }
}

#[test]
fn columns_of_csv_files_are_all_kept() {
    let sql = "CREATE MATERIALIZED VIEW twice AS SELECT * EXCEPT (_rescued_data) FROM read_files('twice', format => 'csv', header => true);
        CREATE MATERIALIZED VIEW widths AS SELECT * EXCEPT (_rescued_data) FROM read_files('widths', format => 'csv');
        CREATE STREAMING TABLE grows AS SELECT * EXCEPT (_rescued_data) FROM STREAM read_files('grows', format => 'csv');";
    let project = Project::new(&[("t.sql", sql)]);
    project.write("twice/a.csv", "id,ID,Name\n1,2,x\n");
    project.write("widths/a.csv", "1,2\n");
    project.write("widths/b.csv", "3,4,5\n");
    project.write("grows/a.csv", "1,2\n");
    project.run(&[]);
    assert_eq!(project.columns("twice"), ["id0", "ID1", "Name"]);
    assert_eq!(project.rows("twice", "SELECT * FROM t"), ["1|2|x"]);
    assert_eq!(project.rows("widths", "SELECT * FROM t"), ["1|2|NULL", "3|4|5"]);
    project.write("grows/b.csv", "3,4,5\n");
    project.run(&[]);
    assert_eq!(project.rows("grows", "SELECT * FROM t"), ["1|2|NULL", "3|4|5"]);
}

#[test]
fn an_option_of_a_read_is_given_once() {
    let sql = "CREATE MATERIALIZED VIEW m AS SELECT * FROM read_files('in', format => 'json', FORMAT => 'csv', schema => 'a INT');";
    let project = Project::new(&[("t.sql", sql)]);
    project.refused("validate", &[], 10, "option `FORMAT` is given twice");
}

/// Twenty times more data than the engine may hold (20 MB): it goes over the disk and comes out right.
#[test]
fn a_view_over_twenty_times_the_memory_finishes() {
    const ROWS: u64 = 200_000;
    let sql = "CREATE OR REFRESH STREAMING TABLE t AS SELECT id, pad FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT, pad STRING');
        CREATE TEMPORARY VIEW wide AS SELECT id, repeat(pad, 200) AS pad FROM t;
        CREATE TEMPORARY VIEW less AS SELECT id, repeat(pad, 40) AS pad FROM t;
        CREATE OR REFRESH MATERIALIZED VIEW sorted AS SELECT id, row_number() OVER (ORDER BY pad DESC) AS place FROM wide;
        CREATE OR REFRESH MATERIALIZED VIEW grouped AS SELECT count(*) AS groups, sum(ids) AS ids FROM (SELECT pad, sum(id) AS ids FROM less GROUP BY pad);";
    let project = Project::new(&[("t.sql", sql)]);
    // 7,919 has no divisor in common with the number of rows: every row has its own text of ten digits, in another order than the rows.
    let place = |id: u64| id * 7_919 % ROWS;
    for file in 0..4 {
        let numbers = (file * ROWS / 4)..((file + 1) * ROWS / 4);
        project.land(&format!("f{file}.json"), numbers.map(|id| format!(r#"{{"id":{id},"pad":"{:0>10}"}}"#, place(id))));
    }
    project.run(&["--memory", "32Mi"]);
    let sum = ROWS * (ROWS - 1) / 2;
    let wrong = format!("SELECT count(*), sum(id), count(CASE WHEN place <> {ROWS} - id * 7919 % {ROWS} THEN 1 END) FROM t");
    assert_eq!(project.rows("sorted", &wrong), [format!("{ROWS}|{sum}|0")]);
    assert_eq!(project.rows("grouped", "SELECT * FROM t"), [format!("{ROWS}|{sum}")]);
}
