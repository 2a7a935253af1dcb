//! Schemas of files that nobody declared: inferred, kept, widened while an update runs, and what does not fit them.

use std::{fs, os::unix::process::ExitStatusExt};

use serde_json::Value;

use crate::harness::Project;

fn project(options: &str) -> Project {
    let sql = format!("CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('landing', format => 'json'{options});");
    Project::new(&[("t.sql", &sql)])
}

fn lines<const N: usize>(texts: [&str; N]) -> [String; N] {
    texts.map(str::to_owned)
}

fn types(project: &Project, table: &str) -> Vec<String> {
    let described = project.sql(&format!("DESCRIBE {table}"));
    let columns = described.as_array().unwrap().iter();
    columns.map(|row| format!("{} {}", row["col_name"].as_str().unwrap(), row["data_type"].as_str().unwrap().to_uppercase())).collect()
}

/// The documents of `schemas/`, in order.
fn schemas(project: &Project, flow: &str) -> Vec<Value> {
    let directory = project.path().join(format!("lake/_floe/checkpoints/{flow}/g0/schemas"));
    let Ok(found) = fs::read_dir(&directory) else { return Vec::new() };
    let mut names: Vec<_> = found.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.iter().map(|path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()).collect()
}

#[test]
fn p59_inference_and_types() {
    let project = project("");
    project.land(
        "a.json",
        lines([
            r#"{"id":1,"price":1,"on":true,"none":null,"who":{"name":"x","age":7},"tags":["a"],"mixed":1}"#,
            r#"{"id":2,"price":1.5,"on":null,"none":null,"who":{"name":null,"age":null},"tags":[],"mixed":{"a":[1]}}"#,
        ]),
    );
    project.land("k=7/b.json", lines([r#"{"late":"2024-01-01","id":3}"#]));
    project.run(&[]);
    assert_eq!(
        types(&project, "t"),
        [
            "id BIGINT",
            "price DOUBLE",
            "on BOOLEAN",
            "none STRING",
            "who STRUCT<NAME: STRING, AGE: BIGINT>",
            "tags ARRAY<STRING>",
            "mixed STRING",
            "late STRING",
            "k BIGINT",
            "_rescued_data STRING"
        ]
    );
    assert_eq!(
        project.rows("t", "SELECT id, price, mixed, k, _rescued_data FROM t"),
        ["1|1.0|1|NULL|NULL", "2|1.5|{\"a\":[1]}|NULL|NULL", "3|NULL|NULL|7|NULL"]
    );
    let kept = schemas(&project, "t");
    assert_eq!((kept.len(), &kept[0]["number"], &kept[0]["batch"]), (1, &Value::from(0), &Value::from(0)));
    let validated = project.call("validate", &[]);
    assert!(validated.stdout.contains("landing has the columns: id BIGINT, price DOUBLE"), "{}", validated.stdout);
}

#[test]
fn the_first_update_infers_each_relation_once() {
    let project = project("");
    project.land("a.json", lines([r#"{"id":1}"#]));
    // The second inference would kill the process.
    let ended = project.floe("run", &[]).env("FLOE_FAILPOINTS", "infer::before=2").output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["1"]);
    // Later updates infer nothing; one that refreshes everything looks again.
    for (arguments, code) in [(&[][..], Some(0)), (&["--full-refresh-all"][..], None)] {
        let ended = project.floe("run", arguments).env("FLOE_FAILPOINTS", "infer::before=1").output().unwrap();
        assert_eq!(ended.status.code(), code, "{arguments:?}");
    }
}

#[test]
fn p59_csv_kinds_and_names_of_its_header() {
    let sql = "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('landing', format => 'csv', header => true);";
    let project = Project::new(&[("t.sql", sql)]);
    project.land("a.csv", lines(["id,price,day,at,on,text,none", "1,2,2024-01-01,2024-01-01 10:00:00,true,x,"]));
    project.land("b.csv", lines(["id,price,day,at,on,text", "2,2.5,2024-01-02,2024-01-02T10:00:00Z,FALSE,7"]));
    project.run(&[]);
    let columns =
        ["id BIGINT", "price DOUBLE", "day DATE", "at TIMESTAMP", "on BOOLEAN", "text STRING", "none STRING", "_rescued_data STRING"];
    assert_eq!(types(&project, "t"), columns);
    // A header with one name more and a value of another type.
    project.land("c.csv", lines(["id,extra,price", "three,new,3"]));
    project.run(&[]);
    let rescued = project.rows("t", "SELECT price, extra, _rescued_data FROM t WHERE id IS NULL");
    assert!(rescued[0].starts_with("3.0|new|{\"id\":\"three\",\"_file_path\":\"file://"), "{rescued:?}");
}

#[test]
fn hints_override_and_every_column_may_be_text() {
    let hinted = project(", schemaHints => 'id STRING, who.age INT, _corrupt_record STRING'");
    hinted.land("a.json", lines([r#"{"id":1,"who":{"age":7}}"#, "{oops"]));
    hinted.run(&[]);
    assert_eq!(types(&hinted, "t"), ["id STRING", "who STRUCT<AGE: INT>", "_corrupt_record STRING", "_rescued_data STRING"]);
    assert_eq!(hinted.rows("t", "SELECT id, who['age'], _corrupt_record FROM t"), ["1|7|NULL", "NULL|NULL|{oops"]);
    let text = project(", inferColumnTypes => false");
    text.land("a.json", lines([r#"{"id":1,"who":{"age":7}}"#]));
    text.run(&[]);
    assert_eq!(text.rows("t", "SELECT id, who FROM t"), ["1|{\"age\":7}"]);
}

#[test]
fn p60_add_new_columns_in_one_update() {
    let sql = "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('landing', format => 'json', maxFilesPerTrigger => 1);
        CREATE OR REFRESH STREAMING TABLE silver (CONSTRAINT positive EXPECT (id > 0) ON VIOLATION QUARANTINE ROW) AS SELECT * FROM STREAM(t);
        CREATE OR REFRESH MATERIALIZED VIEW gold AS SELECT * FROM silver;";
    let project = Project::new(&[("t.sql", sql)]);
    project.land("1.json", lines([r#"{"id":1}"#]));
    project.run(&[]);
    project.land("2.json", lines([r#"{"id":2}"#]));
    project.land("3.json", lines([r#"{"id":3,"region":"north","place":{"zip":7}}"#, r#"{"id":-3,"region":"south"}"#]));
    project.land("4.json", lines([r#"{"id":4,"place":{"city":"x","zip":8}}"#]));
    project.run(&[]);
    assert_eq!(project.columns("t"), ["id", "_rescued_data", "region", "place"]);
    let rows = ["-3|south|NULL|NULL", "1|NULL|NULL|NULL", "2|NULL|NULL|NULL", "3|north|7|NULL", "4|NULL|8|x"];
    assert_eq!(project.rows("t", "SELECT id, region, place['zip'], place['city'] FROM t"), rows);
    assert_eq!(project.rows("t", "SELECT count(*) FROM t WHERE _rescued_data IS NOT NULL"), ["0"]);
    // What passes through keeps the new values in the same update.
    for table in ["silver", "gold"] {
        assert_eq!(project.rows(table, "SELECT id, region, place['zip'], place['city'] FROM t"), rows[1..], "{table}");
    }
    assert_eq!(project.rows("silver_quarantine", "SELECT id, region FROM t"), ["-3|south"]);
    let changes: Vec<_> = project.last_update().into_iter().filter(|event| event.kind == "schema_change").collect();
    let of_t: Vec<_> = changes.iter().filter(|event| event.details["dataset"] == "main.s.t").collect();
    let mut added = Vec::new();
    for event in &of_t {
        added.extend(event.details["added"].as_array().unwrap().iter().map(|column| column["name"].clone()));
    }
    assert_eq!(added, ["region", "place", "place.city"]);
    assert_eq!(of_t[0].details["source"], "landing");
    assert_eq!(project.states("t").last().unwrap(), "COMPLETED");
    let kept = schemas(&project, "t");
    let batches: Vec<_> = kept.iter().map(|schema| schema["batch"].as_i64().unwrap()).collect();
    assert_eq!(batches, [0, 2, 3], "each schema names the micro-batch that it was made for");
    assert!(project.run(&[]).stdout.contains("nothing new"));
}

#[test]
fn p61_rescue_mode() {
    let project = project(", schemaEvolutionMode => 'rescue'");
    project.land("a.json", lines([r#"{"id":1,"who":{"age":7},"tags":[1]}"#]));
    project.run(&[]);
    let before = project.columns("t");
    project.land(
        "b.json",
        lines([
            r#"{"id":"two","new":{"x":[1, 2]},"who":{"age":"old","more":1.50},"ID":3}"#,
            r#"{"id":3,"tags":["x"]}"#,
            r#"{"id":4,"who":{"age":8}}"#,
        ]),
    );
    project.run(&[]);
    assert_eq!(project.columns("t"), before);
    let path = format!("file://{}/landing/b.json", project.path().display());
    assert_eq!(
        project.rows("t", "SELECT id, who['age'], _rescued_data FROM t"),
        [
            "1|7|NULL".to_string(),
            format!("3|NULL|{{\"tags\":[\"x\"],\"_file_path\":\"{path}\"}}"),
            "4|8|NULL".to_string(),
            format!(
                "NULL|NULL|{{\"id\":\"two\",\"new\":{{\"x\":[1, 2]}},\"who\":{{\"age\":\"old\",\"more\":1.50}},\"ID\":3,\"_file_path\":\"{path}\"}}"
            ),
        ]
    );
}

#[test]
fn p62_fail_on_new_columns() {
    let sql = |schema: &str| {
        format!(
            "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('landing', format => 'json', schema => '{schema}', schemaEvolutionMode => 'failOnNewColumns');"
        )
    };
    let project = Project::new(&[("t.sql", &sql("id BIGINT"))]);
    project.land("a.json", lines([r#"{"id":1}"#]));
    project.run(&[]);
    project.land("b.json", lines([r#"{"id":2,"region":"x","who":{"a":1}}"#]));
    let failed = project.refused("run", &[], 10, "UNKNOWN_FIELD_EXCEPTION.NEW_FIELDS_IN_FILE");
    assert!(failed.stderr.contains("b.json") && failed.stderr.contains("region, who"), "{}", failed.stderr);
    assert_eq!(
        project.last_update().iter().filter(|event| event.level == "WARN" && event.kind == "flow_progress").count(),
        0,
        "not retried"
    );
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["1"]);
    project.write("transformations/t.sql", &sql("id BIGINT, region STRING, who STRUCT<a: INT>"));
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id, region, who['a'] FROM t"), ["1|NULL|NULL", "2|x|1"]);
}

#[test]
fn p63_explicit_schema_ignores_new_field() {
    let project = project(", schema => 'id BIGINT'");
    project.land("a.json", lines([r#"{"id":1,"extra":2}"#, r#"{"id":"x"}"#]));
    project.run(&[]);
    assert_eq!(project.columns("t"), ["id"]);
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["1", "NULL"]);
}

#[test]
fn an_inferred_schema_is_kept_until_a_full_refresh() {
    let project = project(", schemaEvolutionMode => 'rescue'");
    project.land("a.json", lines([r#"{"id":1}"#]));
    project.run(&[]);
    project.land("b.json", lines([r#"{"id":"two","more":true}"#]));
    project.run(&[]);
    assert_eq!(types(&project, "t"), ["id BIGINT", "_rescued_data STRING"]);
    project.run(&["--full-refresh", "t"]);
    assert_eq!(types(&project, "t"), ["id STRING", "more BOOLEAN", "_rescued_data STRING"]);
    assert_eq!(project.rows("t", "SELECT id, more, _rescued_data FROM t"), ["1|NULL|NULL", "two|true|NULL"]);
}

#[test]
fn no_file_and_no_look_are_told() {
    let project = project("");
    fs::create_dir_all(project.path().join("landing")).unwrap();
    project.refused("run", &[], 10, "CF_EMPTY_DIR_FOR_SCHEMA_INFERENCE");
    let offline = project.call("validate", &["--offline"]);
    assert_eq!(offline.code, Some(0), "{}", offline.stderr);
    assert!(offline.stderr.contains("the columns of files, and with them main.s.t"), "{}", offline.stderr);
}

#[test]
fn a_batch_read_is_inferred_every_time() {
    let sql = "CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT * FROM read_files('landing', format => 'json');";
    let project = Project::new(&[("v.sql", sql)]);
    project.land("a.json", lines([r#"{"id":1}"#]));
    project.run(&[]);
    project.land("b.json", lines([r#"{"id":2,"more":true}"#]));
    project.run(&[]);
    assert_eq!(project.rows("v", "SELECT id, more, _rescued_data FROM t"), ["1|NULL|NULL", "2|true|NULL"]);
    assert_eq!(project.sql("SELECT count(*) AS n FROM read_files('landing', format => 'json') WHERE more")[0]["n"], 1);
}

const SIGKILL: i32 = 9;

#[test]
fn p54_p60_killed_between_offsets_with_a_new_schema_and_commit() {
    let sql = "CREATE OR REFRESH STREAMING TABLE t (CONSTRAINT positive EXPECT (id > 0) ON VIOLATION QUARANTINE ROW)
        AS SELECT * FROM STREAM read_files('landing', format => 'json', maxFilesPerTrigger => 1);
        CREATE OR REFRESH STREAMING TABLE silver AS SELECT * FROM STREAM(t);";
    let steps = [
        "offsets::after",
        "widen::before",
        "metadata::before",
        "widen::after",
        "schemas::before",
        "schemas::after",
        "stage::after",
        "quarantine::before",
        "quarantine::after",
        "target::before",
        "target::after",
        "commit_entry::after",
    ];
    let mut killed = 0;
    for (step, time) in steps.iter().flat_map(|step| [(step, 1), (step, 2)]) {
        let project = Project::new(&[("t.sql", sql)]);
        project.land("1.json", lines([r#"{"id":1}"#]));
        project.run(&[]);
        project.land("2.json", lines([r#"{"id":2,"region":"north"}"#, r#"{"id":-2,"region":"south"}"#]));
        project.land("3.json", lines([r#"{"id":3,"place":{"zip":7}}"#, r#"{"id":-3,"region":"west"}"#]));
        let place = format!("{step}={time}");
        let ended = project.floe("run", &[]).env("FLOE_FAILPOINTS", &place).output().unwrap();
        if ended.status.signal() == Some(SIGKILL) {
            killed += 1;
            project.run(&[]);
        }
        let rows = |table| project.rows(table, "SELECT id, region, place['zip'], _rescued_data FROM t");
        assert_eq!(rows("t"), ["1|NULL|NULL|NULL", "2|north|NULL|NULL", "3|NULL|7|NULL"], "{place}");
        assert_eq!(rows("silver"), ["1|NULL|NULL|NULL", "2|north|NULL|NULL", "3|NULL|7|NULL"], "{place}");
        assert_eq!(project.rows("t_quarantine", "SELECT id, region FROM t"), ["-2|south", "-3|west"], "{place}");
    }
    assert!(killed >= 18, "only {killed} of the runs came to their place");
}

#[test]
fn p61_parquet_values_that_have_no_place() {
    let sql = "CREATE OR REFRESH MATERIALIZED VIEW wide AS SELECT id, CAST(id AS STRING) AS text, id * 0.5 AS half FROM read_files('landing', format => 'json', schema => 'id BIGINT');";
    let project = Project::new(&[("w.sql", sql)]);
    project.land("a.json", lines([r#"{"id":1}"#, r#"{"id":3}"#]));
    project.run(&[]);
    let file = fs::read_dir(project.table("wide")).unwrap().map(|entry| entry.unwrap().path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|suffix| suffix == "parquet")).unwrap();
    let read = "CREATE OR REFRESH MATERIALIZED VIEW r AS SELECT * FROM read_files('parquet', format => 'parquet', schema => 'id BIGINT, half BIGINT', schemaEvolutionMode => 'rescue');
        CREATE OR REFRESH MATERIALIZED VIEW i AS SELECT * FROM read_files('parquet', format => 'parquet');";
    let other = Project::new(&[("r.sql", read)]);
    fs::create_dir_all(other.path().join("parquet")).unwrap();
    fs::copy(file, other.path().join("parquet/p.parquet")).unwrap();
    other.run(&[]);
    let rescued = other.rows("r", "SELECT id, half, _rescued_data FROM t");
    assert!(rescued[0].starts_with("1|NULL|{\"half\":0.5,\"text\":\"1\",\"_file_path\":"), "{rescued:?}");
    assert!(rescued[1].starts_with("3|NULL|{\"half\":1.5,\"text\":\"3\",\"_file_path\":"), "{rescued:?}");
    let inferred = types(&other, "i");
    assert_eq!((inferred[0].as_str(), inferred[1].as_str(), inferred[3].as_str()), ("id BIGINT", "text STRING", "_rescued_data STRING"));
}

#[test]
fn p65_bad_records_are_left_out_and_listed() {
    let options = ", schema => 'id BIGINT', mode => 'FAILFAST', badRecordsPath => 'bad', maxFilesPerTrigger => 10";
    let project = project(options);
    project.land("a.json", lines([r#"{"id":1}"#, "{oops", r#"{"id":2}"#]));
    project.write("landing/cut.json.gz", "no gzip");
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["1", "2"]);
    let updates: Vec<_> = fs::read_dir(project.path().join("bad")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(updates.len(), 1);
    let text = fs::read_to_string(updates[0].join("t-0.json")).unwrap();
    let mut listed: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    listed.sort_by_key(|line| line["path"].as_str().unwrap().to_owned());
    assert!(listed[0]["path"].as_str().unwrap().ends_with("/landing/a.json") && listed[0]["record"] == "{oops", "{listed:?}");
    assert!(listed[1]["path"].as_str().unwrap().ends_with("cut.json.gz") && listed[1]["record"].is_null(), "{listed:?}");
    let totals = project.counted("t");
    assert_eq!((totals["num_corrupt_records"], totals["num_output_rows"]), (1, 2));
}

#[test]
fn other_encodings_are_read_and_inferred() {
    let sql = "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('landing', format => 'csv', header => true, encoding => 'ISO-8859-1');";
    let project = Project::new(&[("t.sql", sql)]);
    fs::create_dir_all(project.path().join("landing")).unwrap();
    fs::write(project.path().join("landing/a.csv"), b"id,name\n1,M\xfcller\n").unwrap();
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id, name FROM t"), ["1|Müller"]);
}

#[test]
fn p60_two_flows_over_one_relation_get_new_columns_in_one_update() {
    let read = "SELECT * FROM STREAM read_files('landing', format => 'json', maxFilesPerTrigger => 1)";
    let sql = format!("CREATE OR REFRESH STREAMING TABLE one AS {read}; CREATE OR REFRESH STREAMING TABLE other AS {read};");
    let project = Project::new(&[("t.sql", &sql)]);
    project.land("1.json", lines([r#"{"id":1}"#]));
    project.run(&[]);
    project.land("2.json", lines([r#"{"id":2,"region":"north"}"#]));
    project.land("3.json", lines([r#"{"id":3,"place":{"zip":7}}"#]));
    project.land("4.json", lines([r#"{"id":4,"place":{"city":"x"},"more":true}"#]));
    project.run(&[]);
    for table in ["one", "other"] {
        let rows = project.rows(table, "SELECT id, region, place['zip'], place['city'], more, _rescued_data FROM t");
        let expected = ["1|NULL|NULL|NULL|NULL|NULL", "2|north|NULL|NULL|NULL|NULL", "3|NULL|7|NULL|NULL|NULL", "4|NULL|NULL|x|true|NULL"];
        assert_eq!(rows, expected, "{table}");
    }
    assert!(project.run(&[]).stdout.contains("nothing new"));
}

#[test]
fn p60_a_new_directory_is_a_new_field() {
    let added = project("");
    added.land("a.json", lines([r#"{"id":1}"#]));
    added.run(&[]);
    added.land("region=north/b.json", lines([r#"{"id":2}"#]));
    added.land("region=south/c.json", lines([r#"{"id":3,"extra":true}"#]));
    added.run(&[]);
    assert_eq!(types(&added, "t"), ["id BIGINT", "extra BOOLEAN", "region STRING", "_rescued_data STRING"]);
    let rows = added.rows("t", "SELECT id, region, extra, _rescued_data FROM t ORDER BY id");
    assert_eq!(rows, ["1|NULL|NULL|NULL", "2|north|NULL|NULL", "3|south|true|NULL"]);
    // Records without a field have a directory all the same.
    added.land("day=2024-01-31/region=west/d.json", lines(["{}"]));
    added.run(&[]);
    assert_eq!(added.rows("t", "SELECT id, region, day FROM t WHERE day IS NOT NULL"), ["NULL|west|2024-01-31"]);
    let strict = project(", schemaEvolutionMode => 'failOnNewColumns'");
    strict.land("a.json", lines([r#"{"id":1}"#]));
    strict.run(&[]);
    strict.land("k=1/b.json", lines([r#"{"id":2}"#]));
    let failed = strict.refused("run", &[], 10, "UNKNOWN_FIELD_EXCEPTION.NEW_FIELDS_IN_FILE");
    assert!(failed.stderr.contains("b.json has a field that the schema lacks: k"), "{}", failed.stderr);
}

#[test]
fn p61_directories_without_a_place_are_rescued() {
    let rescuing = project(", schemaEvolutionMode => 'rescue'");
    rescuing.land("n=1/a.json", lines([r#"{"id":1}"#]));
    rescuing.run(&[]);
    rescuing.land("n=one/k=v w/b.json", lines([r#"{"id":2}"#, r#"{"id":3,"x":7}"#]));
    rescuing.run(&[]);
    let rows = rescuing.rows("t", "SELECT id, n, _rescued_data FROM t ORDER BY id");
    assert_eq!(rows[0], "1|1|NULL");
    assert!(rows[1].starts_with(r#"2|NULL|{"n":"one","k":"v w","_file_path":"file://"#), "{rows:?}");
    assert!(rows[2].starts_with(r#"3|NULL|{"n":"one","k":"v w","x":7,"_file_path":"file://"#), "{rows:?}");
    let wanted = project(", partitionColumns => ''");
    wanted.land("a.json", lines([r#"{"id":1}"#]));
    wanted.run(&[]);
    wanted.land("k=1/b.json", lines([r#"{"id":2}"#]));
    wanted.run(&[]);
    assert_eq!(wanted.rows("t", "SELECT id, _rescued_data FROM t ORDER BY id"), ["1|NULL", "2|NULL"]);
}

/// A definition that is right only if the files are looked at anew is no reason against the full refresh that looks at them anew.
#[test]
fn a_full_refresh_takes_what_the_flow_has_found_so_far_for_nothing() {
    let sql = |columns: &str| {
        format!(
            "CREATE OR REFRESH STREAMING TABLE t AS SELECT {columns} FROM STREAM read_files('landing', format => 'json', schemaEvolutionMode => 'rescue');
             CREATE OR REFRESH STREAMING TABLE u AS SELECT * FROM STREAM read_files('landing/*', format => 'json', schemaEvolutionMode => 'rescue');"
        )
    };
    let project = Project::new(&[("t.sql", &sql("id"))]);
    project.land("a.json", lines([r#"{"id":1}"#]));
    project.run(&[]);
    project.land("b.json", lines([r#"{"id":2,"name":"n"}"#]));
    project.run(&[]);
    project.write("transformations/t.sql", &sql("id, name"));
    project.refused("run", &[], 10, "UNRESOLVED_COLUMN");
    project.refused("run", &["--full-refresh", "u"], 10, "UNRESOLVED_COLUMN");
    project.call("run", &["--dry-run", "--full-refresh", "t"]);
    assert_eq!(project.columns("t"), ["id"], "a dry run changes nothing");
    project.run(&["--full-refresh", "t"]);
    assert_eq!(project.rows("t", "SELECT id, name FROM t ORDER BY id"), ["1|NULL", "2|n"]);
    let rescued = project.rows("u", "SELECT id, _rescued_data FROM t ORDER BY id");
    assert!(
        project.columns("u") == ["id", "_rescued_data"] && rescued[1].contains("name"),
        "the other flow keeps what it has found: {rescued:?}"
    );
}

#[test]
fn files_of_another_format_are_named_with_what_they_look_like() {
    for (format, name, content, says) in [
        ("parquet", "a.parquet", "{\"id\":1}\n", "it looks like json"),
        ("json", "a.json", "id,name\n1,x\n", "none of its records is a JSON object; it looks like csv"),
        ("json", "a.json.gz", "{\"id\":1}\n", "it looks like json"),
        ("avro", "a.avro", "id\n", "it looks like text"),
    ] {
        let sql = format!("CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('landing', format => '{format}');");
        let project = Project::new(&[("t.sql", &sql)]);
        project.write(&format!("landing/{name}"), content);
        let refused = project.refused("run", &[], 10, "FAILED_READ_FILE.NO_HINT");
        assert!(refused.stderr.contains(&format!("{name} cannot be read as {format}")), "{}", refused.stderr);
        assert!(refused.stderr.contains(says) && !refused.stderr.contains("WARN"), "{}", refused.stderr);
        // With a schema the rows are read at once.
        if name != "a.json" {
            project.write("transformations/t.sql", &sql.replace("format =>", "schema => 'id BIGINT', format =>"));
            let refused = project.refused("run", &[], 10, "FAILED_READ_FILE.NO_HINT");
            assert!(refused.stderr.contains(says), "{}", refused.stderr);
        }
    }
    let sql = "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('landing', format => 'csv', schema => 'id BIGINT');";
    let project = Project::new(&[("t.sql", sql)]);
    let parquet = [b"PAR1".as_slice(), &[0x15, 0x04, 0x00, 0x0a]].concat();
    std::fs::create_dir_all(project.path().join("landing")).unwrap();
    fs::write(project.path().join("landing/a.csv"), parquet).unwrap();
    let refused = project.refused("run", &[], 10, "FAILED_READ_FILE.NO_HINT");
    assert!(refused.stderr.contains("cannot be read as csv: it is no text; it looks like parquet"), "{}", refused.stderr);
    // What helps is said for a micro-batch that is planned: the file has to be there.
    assert!(refused.stderr.contains("under the same name") && refused.stderr.contains("ignoreMissingFiles"), "{}", refused.stderr);
    project.write("landing/a.csv", "7\n");
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["7"]);
}

#[test]
fn text_that_looks_like_another_format_is_told_and_read() {
    let told = |project: &Project| -> Vec<String> {
        project.last_update().into_iter().filter(|event| event.error == "W012").map(|event| event.message).collect()
    };
    for (format, content, rows, says) in [
        ("csv", "{\"a\":1,2}\n", ["{\"a\":1|2}"].as_slice(), Some("json")),
        ("csv", "<?xml version=\"1.0\"?>,2\n", &["<?xml version=\"1.0\"?>|2"], Some("xml")),
        ("csv", "{a},[b]\n", &["{a}|[b]"], None),
        ("json", "1,2\n3,4\n", &["NULL|NULL", "NULL|NULL"], Some("csv")),
        ("json", "1,2\n{\"a\":\"3\"}\n", &["3|NULL", "NULL|NULL"], None),
    ] {
        let read = format!("read_files('landing', format => '{format}', schema => 'a STRING, b STRING')");
        let table = format!("CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM {read};");
        let view = format!("CREATE OR REFRESH MATERIALIZED VIEW t AS SELECT * FROM {read};");
        for sql in [table, view] {
            let project = Project::new(&[("t.sql", &sql)]);
            project.write("landing/a.txt", content);
            project.run(&[]);
            assert_eq!(project.rows("t", "SELECT a, b FROM t ORDER BY a NULLS LAST"), rows, "{format} {content}");
            let found = told(&project);
            assert_eq!(found.len(), usize::from(says.is_some()), "{format} {content}: {found:?}");
            if let Some(says) = says {
                assert!(found[0].contains("a.txt") && found[0].contains(&format!("looks like {says}")), "{found:?}");
                assert!(found[0].contains("correct format =>"), "{found:?}");
            }
        }
    }
    let project =
        Project::new(&[("t.sql", "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('landing', format => 'text');")]);
    project.write("landing/a.json", "{\"a\":1}\n");
    project.run(&[]);
    assert!(told(&project).is_empty(), "a text may be anything");
}

#[test]
fn what_is_wrong_with_an_option_is_told_at_the_option() {
    let sql = "CREATE OR REFRESH STREAMING TABLE t AS\nSELECT * FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT',\n  header => true,\n  'cloudFiles.MaxFilesPerTriggers' => 1);";
    let project = Project::new(&[("t.sql", sql)]);
    let refused = project.refused("validate", &["--offline"], 10, "UNKNOWN_READ_FILES_OPTION");
    assert!(refused.stderr.contains("no option `MaxFilesPerTriggers`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--> transformations/t.sql:4:3"), "{}", refused.stderr);
    project.write("transformations/t.sql", &sql.replace("Triggers' => 1", "Trigger' => 'few'"));
    let refused = project.refused("validate", &["--offline"], 10, "INVALID_READ_OPTION");
    assert!(refused.stderr.contains("option `MaxFilesPerTrigger` has the value `few`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--> transformations/t.sql:4:3"), "{}", refused.stderr);
    project.write("transformations/t.sql", &sql.replace("Triggers'", "Trigger'"));
    let validated = project.call("validate", &["--offline"]);
    let all = format!("{}{}", validated.stdout, validated.stderr);
    assert!(all.contains("option `header` of read_files has no effect on json") && all.contains("t.sql:3:3"), "{all}");
}

#[test]
fn events_tell_the_types_of_fields_within_columns() {
    let project = project("");
    project.land("a.json", lines([r#"{"id":1,"who":{"name":"x"},"items":[{"n":1}]}"#]));
    project.run(&[]);
    project.land("b.json", lines([r#"{"id":2,"who":{"place":{"zip":7}},"items":[{"price":1.5}]}"#]));
    project.run(&[]);
    let told = project.last_update().into_iter().find(|event| event.kind == "schema_change").unwrap();
    let added: Vec<String> =
        told.details["added"].as_array().unwrap().iter().map(|column| format!("{} {}", column["name"], column["type"])).collect();
    assert_eq!(added, [r#""who.place" "STRUCT<zip: BIGINT>""#, r#""items.element.price" "DOUBLE""#]);
}
