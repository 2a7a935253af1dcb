//! Types that become wider while a stream runs: the table is written again in one commit that no reader of changes sees, tables downstream too.

use std::{fs, os::unix::process::ExitStatusExt, process::Stdio, sync::Arc, thread, time::Duration};

use datafusion::{
    arrow::{
        array::{
            ArrayRef, ArrowPrimitiveType, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, MapBuilder,
            PrimitiveBuilder, RecordBatch, StringArray, StringBuilder, StructArray,
        },
        datatypes::{Field, Int32Type, Int64Type},
    },
    parquet::arrow::ArrowWriter,
};
use serde_json::{Value, json};

use crate::harness::Project;

const SIGKILL: i32 = 9;
pub const MODE: &str = "schemaEvolutionMode => 'addNewColumnsWithTypeWidening'";

pub fn read(more: &str) -> String {
    format!("read_files('landing', format => 'parquet', {MODE}{more})")
}

pub fn land(project: &Project, name: &str, columns: &[(&str, ArrayRef)]) {
    let batch = RecordBatch::try_from_iter(columns.iter().map(|(name, array)| (*name, Arc::clone(array)))).unwrap();
    let path = project.path().join("landing").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

pub fn ints(values: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

pub fn longs(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// The columns of a table with the types that its log says, in short.
pub fn types(project: &Project, table: &str) -> Vec<String> {
    fn text(value: &Value) -> String {
        let of = |field: &Value| format!("{}: {}", field["name"].as_str().unwrap(), text(&field["type"]));
        match value["fields"].as_array() {
            Some(fields) => format!("{{{}}}", fields.iter().map(of).collect::<Vec<_>>().join(", ")),
            None => value.as_str().unwrap().to_string(),
        }
    }
    let versions = (0..=project.version(table).unwrap()).rev();
    let metadata = versions.flat_map(|version| project.commit(table, version)).find_map(|action| action.get("metaData").cloned()).unwrap();
    let schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    let all = text(&schema);
    all[1..all.len() - 1].split(", ").map(str::to_string).collect()
}

/// The commits of a table that carry a schema and files: how many files went and came, and whether all of them say that no data changed.
pub fn rewrites(project: &Project, table: &str) -> Vec<(i64, usize, usize, bool)> {
    let newest = project.version(table).unwrap();
    let mut found = Vec::new();
    for version in 1..=newest {
        let actions = project.commit(table, version);
        let of = |name: &'static str| actions.iter().filter_map(move |action| action.get(name));
        if of("metaData").count() == 1 && of("add").count() + of("remove").count() > 0 {
            let silent = of("add").chain(of("remove")).all(|file| file["dataChange"] == Value::Bool(false));
            found.push((version, of("remove").count(), of("add").count(), silent));
        }
    }
    found
}

#[test]
fn p60_types_widen_in_one_update_and_so_do_tables_downstream() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE t (CONSTRAINT positive EXPECT (id > 0) ON VIOLATION QUARANTINE ROW) AS SELECT * FROM STREAM {};
        CREATE OR REFRESH STREAMING TABLE silver AS SELECT id, price FROM STREAM(t);
        CREATE OR REFRESH STREAMING TABLE fixed AS SELECT CAST(id AS STRING) AS id FROM STREAM(t);
        CREATE OR REFRESH MATERIALIZED VIEW gold AS SELECT id, price, d FROM silver JOIN t USING (id, price);",
        read(", maxFilesPerTrigger => 1")
    );
    let project = Project::new(&[("t.sql", &sql)]);
    let decimal = |values: Vec<i128>, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    };
    let place = |value: ArrayRef| -> ArrayRef {
        Arc::new(StructArray::from(vec![(Arc::new(Field::new("zip", value.data_type().clone(), true)), value)]))
    };
    let price: ArrayRef = Arc::new(Float32Array::from(vec![1.5, 2.5]));
    let first = [("id", ints(&[1, -1])), ("price", price), ("d", decimal(vec![150, 250], 5, 2)), ("place", place(ints(&[7, 8])))];
    land(&project, "1.parquet", &first);
    project.run(&[]);
    assert_eq!(types(&project, "t")[..4], ["id: integer", "price: float", "d: decimal(5,2)", "place: {zip: integer}"]);
    let before = project.version("t").unwrap();
    land(&project, "2.parquet", &[("id", ints(&[2]))]);
    let price: ArrayRef = Arc::new(Float64Array::from(vec![1e300, 0.1]));
    let wide = [
        ("id", longs(&[3_000_000_000, -3_000_000_000])),
        ("price", price),
        ("d", decimal(vec![12_345_678_901, 1], 12, 3)),
        ("place", place(longs(&[1 << 40, 1]))),
        ("more", longs(&[5, 6])),
    ];
    land(&project, "3.parquet", &wide);
    project.run(&[]);
    let expected = ["id: long", "price: double", "d: decimal(12,3)", "place: {zip: long}", "_rescued_data: string", "more: long"];
    assert_eq!(types(&project, "t"), expected);
    let select = "SELECT id, price, d, place['zip'], more, _rescued_data FROM t";
    let rows = ["1|1.5|1.500|7|NULL|NULL", "2|NULL|NULL|NULL|NULL|NULL", "3000000000|1e300|12345678.901|1099511627776|5|NULL"];
    assert_eq!(project.rows("t", select), rows);
    assert_eq!(project.rows("t_quarantine", select), ["-1|2.5|2.500|8|NULL|NULL", "-3000000000|0.1|0.001|1|6|NULL"]);
    assert_eq!(project.rows("silver", "SELECT id, price FROM t"), ["1|1.5", "2|NULL", "3000000000|1e300"]);
    assert_eq!(types(&project, "silver"), ["id: long", "price: double"]);
    assert_eq!(project.rows("fixed", "SELECT id FROM t"), ["1", "2", "3000000000"]);
    assert_eq!(project.rows("gold", "SELECT id, price, d FROM t"), ["1|1.5|1.500", "3000000000|1e300|12345678.901"]);
    assert_eq!(types(&project, "gold"), ["id: long", "price: double", "d: decimal(12,3)"]);
    // One commit each, in which no data changed.
    for (table, files) in [("t", 2), ("t_quarantine", 1), ("silver", 1)] {
        let found = rewrites(&project, table);
        assert!(matches!(found.as_slice(), [(_, gone, came, true)] if (*gone, *came) == (files, files)), "{table}: {found:?}");
    }
    assert!(rewrites(&project, "fixed").is_empty());
    // The former version is what it was.
    let then = project.sql(&format!("SELECT id, price FROM t VERSION AS OF {before}"));
    assert_eq!((then.as_array().unwrap().len(), &then[0]["id"], &then[0]["price"]), (1, &Value::from(1), &Value::from(1.5)), "{then}");
    let events = project.last_update();
    let change = events.iter().find(|event| event.kind == "schema_change" && event.details["dataset"] == "main.s.t").unwrap();
    assert_eq!((&change.details["source"], &change.details["added"][0]["name"]), (&Value::from("landing"), &Value::from("more")));
    let named: Vec<String> = change.details["widened"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| {
            let text = |key: &str| column[key].as_str().unwrap().to_string();
            format!("{} {} {}", text("name"), text("from"), text("type"))
        })
        .collect();
    assert_eq!(named, ["id INT BIGINT", "price FLOAT DOUBLE", "d DECIMAL(5,2) DECIMAL(12,3)", "place.zip INT BIGINT"]);
    assert!(events.iter().all(|event| event.level != "WARN" && event.level != "ERROR"), "{events:?}");
    assert!(events.iter().any(|event| event.kind == "maintenance_progress" && event.message.contains("COMPLETED")), "{events:?}");
    assert!(project.run(&[]).stdout.contains("nothing new"));
    project.call("validate", &[]);
}

#[test]
fn p60_what_is_not_wider_is_rescued() {
    let sql = format!("CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM {};", read(", schemaHints => 'hinted INT'"));
    let project = Project::new(&[("t.sql", &sql)]);
    land(&project, "1.parquet", &[("id", longs(&[1])), ("n", ints(&[1])), ("hinted", ints(&[1]))]);
    project.run(&[]);
    let n: ArrayRef = Arc::new(StringArray::from(vec!["two"]));
    let id: ArrayRef = Arc::new(Float64Array::from(vec![2.5]));
    land(&project, "2.parquet", &[("id", id), ("n", n), ("hinted", longs(&[1 << 40]))]);
    project.run(&[]);
    assert_eq!(types(&project, "t"), ["id: long", "n: integer", "hinted: integer", "_rescued_data: string"]);
    let rows = project.rows("t", "SELECT id, n, hinted, _rescued_data FROM t");
    assert!(rows[1].starts_with("NULL|NULL|NULL|{\"id\":2.5,\"n\":\"two\",\"hinted\":1099511627776,\"_file_path\":"), "{rows:?}");
    assert!(rewrites(&project, "t").is_empty());
    // JSON is BIGINT from the start; what is no integer has no wider type that keeps all digits.
    let sql = format!("CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('landing', format => 'json', {MODE});");
    let project = Project::new(&[("t.sql", &sql)]);
    project.land("1.json", [r#"{"id":1}"#.to_string()]);
    project.run(&[]);
    project.land("2.json", [r#"{"id":2.5,"more":1}"#.to_string()]);
    project.run(&[]);
    assert_eq!(types(&project, "t"), ["id: long", "_rescued_data: string", "more: long"]);
    let rows = project.rows("t", "SELECT id, more, _rescued_data FROM t");
    assert!(rows[1].starts_with("NULL|1|{\"id\":2.5,"), "{rows:?}");
}

/// A list, or a map, of which one item does not fit is rescued as a whole; the others stay as they are.
#[test]
fn items_of_lists_and_maps_that_do_not_fit_are_rescued() {
    fn lists<T: ArrowPrimitiveType>(items: &[T::Native]) -> ArrayRef {
        let rows = items.iter().map(|item| Some(vec![Some(*item), None]));
        Arc::new(ListArray::from_iter_primitive::<T, _, _>(rows))
    }
    fn maps<T: ArrowPrimitiveType>(items: &[T::Native]) -> ArrayRef {
        let mut map = MapBuilder::new(None, StringBuilder::new(), PrimitiveBuilder::<T>::new());
        for item in items {
            map.keys().append_value("k");
            map.values().append_value(*item);
            map.append(true).unwrap();
        }
        Arc::new(map.finish())
    }
    for (mode, widened) in [("", false), (MODE, true)] {
        let sql =
            format!("CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('landing', format => 'parquet', {mode});");
        let project = Project::new(&[("t.sql", &sql.replace(", )", ")"))]);
        land(&project, "1.parquet", &[("id", ints(&[1])), ("l", lists::<Int32Type>(&[1])), ("m", maps::<Int32Type>(&[1]))]);
        project.run(&[]);
        let large: i64 = 1 << 40;
        let more = [("id", ints(&[2, 3])), ("l", lists::<Int64Type>(&[large, 3])), ("m", maps::<Int64Type>(&[large, 3]))];
        land(&project, "2.parquet", &more);
        project.run(&[]);
        let rows = project.sql("SELECT id, l[0] AS l, m['k'] AS m, _rescued_data AS r FROM t ORDER BY id");
        assert_eq!((&rows[0], &rows[2]), (&json!({"id": 1, "l": 1, "m": 1, "r": null}), &json!({"id": 3, "l": 3, "m": 3, "r": null})));
        let list = if widened { json!(large) } else { Value::Null };
        assert_eq!((&rows[1]["l"], &rows[1]["m"]), (&list, &list), "{rows}");
        if widened {
            assert_eq!(rows[1]["r"], Value::Null);
            continue;
        }
        let mut rescued: Value = serde_json::from_str(rows[1]["r"].as_str().unwrap()).unwrap();
        rescued.as_object_mut().unwrap().remove("_file_path");
        assert_eq!(rescued, json!({"l": [large, null], "m": {"k": large}}));
    }
}

#[test]
fn p60_streams_and_readers_of_the_change_feed_do_not_see_rows_again() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE t TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true') PARTITIONED BY (day) AS SELECT * FROM STREAM {};",
        read("")
    );
    let project = Project::new(&[("t.sql", &sql)]);
    land(&project, "1.parquet", &[("id", ints(&[1, 2, 3])), ("day", ints(&[1, 2, 1]))]);
    project.run(&[]);
    let other = Project::new(&[(
        "o.sql",
        &format!(
            "CREATE OR REFRESH STREAMING TABLE copy AS SELECT CAST(id AS BIGINT) AS id FROM STREAM delta.`{0}`;
            CREATE OR REFRESH STREAMING TABLE feed AS SELECT CAST(id AS BIGINT) AS id, _change_type FROM STREAM delta.`{0}` CHANGES FROM VERSION 0;",
            project.table("t").display()
        ),
    )]);
    other.run(&[]);
    land(&project, "2.parquet", &[("id", longs(&[4_000_000_000])), ("day", longs(&[5_000_000_000]))]);
    project.run(&[]);
    assert_eq!(types(&project, "t"), ["id: long", "day: long", "_rescued_data: string"]);
    assert_eq!(project.rows("t", "SELECT id, day FROM t"), ["1|1", "2|2", "3|1", "4000000000|5000000000"]);
    assert_eq!(rewrites(&project, "t").len(), 1);
    other.run(&[]);
    assert_eq!(other.rows("copy", "SELECT id FROM t"), ["1", "2", "3", "4000000000"]);
    assert_eq!(other.rows("feed", "SELECT id, _change_type FROM t"), ["1|insert", "2|insert", "3|insert", "4000000000|insert"]);
}

#[test]
fn p54_p60_killed_at_every_step_while_types_widen() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE t (CONSTRAINT positive EXPECT (id > 0) ON VIOLATION QUARANTINE ROW) AS SELECT * FROM STREAM {};
        CREATE OR REFRESH STREAMING TABLE silver AS SELECT * FROM STREAM(t);",
        read("")
    );
    let steps = [
        "offsets::after",
        "widen::before",
        "retype::before",
        "retype::copied",
        "retype::after",
        "metadata::before",
        "metadata::after",
        "widen::after",
        "schemas::before",
        "schemas::after",
        "stage::after",
        "quarantine::after",
        "target::before",
        "target::after",
        "commit_entry::after",
    ];
    let mut killed = 0;
    for (step, time) in steps.iter().flat_map(|step| [(step, 1), (step, 2), (step, 3)]) {
        let project = Project::new(&[("t.sql", &sql)]);
        land(&project, "1.parquet", &[("id", ints(&[1, -1]))]);
        project.run(&[]);
        land(&project, "2.parquet", &[("id", longs(&[2_000_000_000_000, -2]))]);
        let place = format!("{step}={time}");
        let ended = project.floe("run", &[]).env("FLOE_FAILPOINTS", &place).output().unwrap();
        if ended.status.signal() == Some(SIGKILL) {
            killed += 1;
            project.run(&[]);
        }
        for table in ["t", "silver"] {
            assert_eq!(project.rows(table, "SELECT id, _rescued_data FROM t"), ["1|NULL", "2000000000000|NULL"], "{place} {table}");
            assert_eq!(types(&project, table), ["id: long", "_rescued_data: string"], "{place} {table}");
            assert_eq!(rewrites(&project, table).len(), 1, "{place} {table}");
        }
        assert_eq!(project.rows("t_quarantine", "SELECT id FROM t"), ["-1", "-2"], "{place}");
        assert!(project.run(&[]).stdout.contains("nothing new"), "{place}");
    }
    assert!(killed >= 24, "only {killed} of the runs came to their place");
}

/// Two flows into one table, which is declared with `elements`; each has read the number 1 as INT.
pub fn siblings(elements: &str) -> Project {
    let flow = |name: &str| {
        let read = format!("read_files('landing/{name}', format => 'parquet', {MODE})");
        format!("CREATE FLOW {name} AS INSERT INTO t BY NAME SELECT * FROM STREAM {read};\n")
    };
    let sql = format!("CREATE OR REFRESH STREAMING TABLE t {elements};\n{}{}", flow("a"), flow("b"));
    let project = Project::new(&[("t.sql", &sql)]);
    for flow in ["a", "b"] {
        land(&project, &format!("{flow}/1.parquet"), &[("id", ints(&[1]))]);
    }
    project.run(&[]);
    project
}

#[test]
fn a_flow_goes_on_by_itself_when_a_sibling_alters_their_table() {
    let project = siblings("");
    land(&project, "a/2.parquet", &[("id", longs(&[1 << 40])), ("more", longs(&[1]))]);
    land(&project, "b/2.parquet", &[("id", ints(&[2]))]);
    // Flow b has staged its rows, with the former type, when flow a makes the table wider.
    let held = project.path().join("held");
    fs::write(&held, "").unwrap();
    let mut floe = project.floe("run", &[]);
    floe.env("FLOE_FAILPOINTS", format!("stage::after=hold:{}", held.display())).stdout(Stdio::null()).stderr(Stdio::null());
    let mut run = floe.spawn().unwrap();
    while rewrites(&project, "t").is_empty() {
        assert!(run.try_wait().unwrap().is_none(), "it ended before a type became wider");
        thread::sleep(Duration::from_millis(20));
    }
    fs::remove_file(&held).unwrap();
    assert!(run.wait().unwrap().success());
    assert_eq!(project.rows("t", "SELECT id, more, count(*) FROM t GROUP BY id, more"), ["1099511627776|1|1", "1|NULL|2", "2|NULL|1"]);
    assert_eq!(types(&project, "t"), ["id: long", "_rescued_data: string", "more: long"]);
    let events = project.last_update();
    assert!(events.iter().all(|event| event.error.is_empty() && event.level != "WARN"), "{events:?}");
    assert_eq!(project.states("b").iter().filter(|state| *state == "FAILED").count(), 0);
}

/// The part of a micro-batch that is in the quarantine was sorted by the narrower plan; the wider one ends it, in the same process and after a kill.
#[test]
fn a_flow_ends_a_half_committed_batch_when_a_sibling_alters_their_table() {
    for killed in [false, true] {
        let project = siblings("(CONSTRAINT positive EXPECT (id > 0) ON VIOLATION QUARANTINE ROW)");
        land(&project, "a/2.parquet", &[("id", longs(&[1 << 40]))]);
        land(&project, "b/2.parquet", &[("id", ints(&[-2, 2]))]);
        let kept_out = project.version("t_quarantine");
        let [before, after] = ["before", "after"].map(|name| project.path().join(name));
        for held in [&before, &after] {
            fs::write(held, "").unwrap();
        }
        let dies = if killed { ",schemas::after" } else { "" };
        let places = format!("widen::before=hold:{},quarantine::after=hold:{}{dies}", before.display(), after.display());
        let mut floe = project.floe("run", &[]);
        let mut run = floe.env("FLOE_FAILPOINTS", places).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Flow b has committed what it keeps out when flow a begins to make the table wider.
        while project.version("t_quarantine") == kept_out {
            assert!(run.try_wait().unwrap().is_none(), "it ended before it kept a row out");
            thread::sleep(Duration::from_millis(20));
        }
        fs::remove_file(&before).unwrap();
        while !killed && rewrites(&project, "t").is_empty() {
            assert!(run.try_wait().unwrap().is_none(), "it ended before a type became wider");
            thread::sleep(Duration::from_millis(20));
        }
        if killed {
            assert_eq!(run.wait().unwrap().signal(), Some(SIGKILL));
            fs::remove_file(&after).unwrap();
            project.run(&[]);
        } else {
            fs::remove_file(&after).unwrap();
            assert!(run.wait().unwrap().success());
        }
        assert_eq!(project.rows("t", "SELECT id FROM t"), ["1", "1", "1099511627776", "2"]);
        assert_eq!(project.rows("t_quarantine", "SELECT id FROM t"), ["-2"], "once");
        assert!(project.run(&[]).stdout.contains("nothing new"));
    }
}

#[test]
fn p60_a_target_of_auto_cdc_downstream_widens_keys_and_columns() {
    for properties in ["", "TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"] {
        let sql = format!(
            "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM {};
            CREATE OR REFRESH STREAMING TABLE target {properties};
            CREATE FLOW f AS AUTO CDC INTO target FROM STREAM(t) KEYS (id) SEQUENCE BY seq COLUMNS * EXCEPT (seq, _rescued_data) STORED AS SCD TYPE 1;",
            read("")
        );
        let project = Project::new(&[("t.sql", &sql)]);
        land(&project, "1.parquet", &[("id", ints(&[1, 2, 3])), ("v", ints(&[10, 20, 30])), ("seq", longs(&[1, 1, 1]))]);
        project.run(&[]);
        land(&project, "2.parquet", &[("id", ints(&[2])), ("v", ints(&[21])), ("seq", longs(&[2]))]);
        project.run(&[]);
        land(&project, "3.parquet", &[("id", longs(&[1, 1 << 40])), ("v", longs(&[1 << 41, 5])), ("seq", longs(&[3, 3]))]);
        project.run(&[]);
        let rows = ["1099511627776|5", "1|2199023255552", "2|21", "3|30"];
        assert_eq!(project.rows("target", "SELECT id, v FROM t"), rows, "{properties}");
        assert_eq!(types(&project, "target"), ["id: long", "v: long"], "{properties}");
        // An event that comes late changes nothing: the journal knows the keys.
        land(&project, "4.parquet", &[("id", longs(&[1, 2])), ("v", longs(&[0, 22])), ("seq", longs(&[2, 3]))]);
        project.run(&[]);
        let rows = ["1099511627776|5", "1|2199023255552", "2|22", "3|30"];
        assert_eq!(project.rows("target", "SELECT id, v FROM t"), rows, "{properties}");
        assert!(project.run(&[]).stdout.contains("nothing new"), "{properties}");
    }
}

#[test]
fn a_hint_that_declares_a_struct_whole_does_not_stop_the_flow() {
    let sql = "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('landing', format => 'json', schemaHints => 'who STRUCT<age: INT>');";
    let project = Project::new(&[("t.sql", sql)]);
    project.land("1.json", [r#"{"id":1,"who":{"age":7}}"#.to_string()]);
    project.run(&[]);
    project.land("2.json", [r#"{"id":2,"who":{"age":8,"name":"x"}}"#.to_string()]);
    project.run(&[]);
    assert_eq!(types(&project, "t"), ["id: long", "who: {age: integer}", "_rescued_data: string"]);
    let rows = project.rows("t", "SELECT id, who['age'], _rescued_data FROM t");
    assert_eq!(rows[0], "1|7|NULL");
    assert!(rows[1].starts_with("2|8|{\"who\":{\"name\":\"x\"},\"_file_path\":"), "{rows:?}");
    // What has a place beside it still becomes a column.
    project.land("3.json", [r#"{"id":3,"who":{"age":9,"name":"y"},"more":true}"#.to_string()]);
    project.run(&[]);
    assert_eq!(types(&project, "t")[3], "more: boolean");
    assert_eq!(project.rows("t", "SELECT count(*), count(_rescued_data), count(more) FROM t"), ["3|2|1"]);
}

#[test]
fn state_that_does_not_fit_wider_types_stops_the_flow_before_a_table_is_altered() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM {};
        CREATE OR REFRESH STREAMING TABLE firsts AS SELECT DISTINCT * FROM STREAM(t);",
        read("")
    );
    let project = Project::new(&[("t.sql", &sql)]);
    land(&project, "1.parquet", &[("id", ints(&[1]))]);
    project.run(&[]);
    let before = project.versions();
    land(&project, "2.parquet", &[("id", longs(&[1 << 40]))]);
    project.refused("run", &[], 10, "STATE_STORE_INCOMPATIBLE");
    assert_eq!(project.versions(), before, "nothing is altered");
    // The order of changes, and a table of somebody else, are not made wider either.
    for (downstream, class) in [
        (
            "CREATE OR REFRESH STREAMING TABLE target; CREATE FLOW f AS AUTO CDC INTO target FROM STREAM(t) KEYS (id) SEQUENCE BY seq STORED AS SCD TYPE 1;",
            "AUTOCDC_INVALID_STATE.SEQUENCING_TYPE_DRIFT",
        ),
        (
            "CREATE SINK s OPTIONS (format => 'delta', path => 'out'); CREATE FLOW f AS INSERT INTO s BY NAME SELECT id, seq FROM STREAM(t);",
            "SINK_SCHEMA_MISMATCH",
        ),
    ] {
        let sql = format!("CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM {}; {downstream}", read(""));
        let project = Project::new(&[("t.sql", &sql)]);
        land(&project, "1.parquet", &[("id", longs(&[1])), ("seq", ints(&[1]))]);
        project.run(&[]);
        let before = project.versions();
        land(&project, "2.parquet", &[("id", longs(&[2])), ("seq", longs(&[1 << 40]))]);
        project.refused("run", &[], 10, class);
        assert_eq!(project.versions(), before, "{class}: nothing is altered");
    }
}
