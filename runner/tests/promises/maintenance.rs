//! Maintenance changes files and no row: streams and views notice nothing, readers that are behind lose nothing.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{harness::Project, request::Pod};

/// One file per micro-batch; replaced files may be deleted in the next round.
const SQL: &str = "
CREATE OR REFRESH STREAMING TABLE a TBLPROPERTIES ('delta.deletedFileRetentionDuration' = 'interval 1 millisecond')
  AS SELECT id FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT', maxFilesPerTrigger => 1);
CREATE OR REFRESH STREAMING TABLE b PARTITIONED BY (odd) AS SELECT id, id % 2 AS odd FROM STREAM(a);
CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT count(*) AS rows FROM a;";

fn project() -> Project {
    let project = Project::new(&[("t.sql", SQL)]);
    land(&project, 0..3);
    project.run(&[]);
    project
}

fn land(project: &Project, files: std::ops::Range<u32>) {
    for file in files {
        project.land(&format!("{file}.json"), (0..10).map(|id| format!(r#"{{"id":{}}}"#, file * 10 + id)));
    }
}

fn maintain(project: &Project) -> String {
    let ended = project.call("maintain", &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stderr
}

/// Parquet files in a directory, at any depth, the log left out.
fn data_files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.is_dir() {
            true if path.ends_with("_delta_log") => 0,
            true => data_files(&path),
            false => usize::from(path.extension().is_some_and(|extension| extension == "parquet")),
        })
        .sum()
}

/// The actions of the newest commit of a table.
fn newest_commit(table: &Path) -> Vec<Value> {
    let entries = fs::read_dir(table.join("_delta_log")).unwrap().map(|entry| entry.unwrap().path());
    let newest = entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")).max().unwrap();
    fs::read_to_string(newest).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn o54_maintenance_compacts_vacuums_and_reports() {
    let project = project();
    let table = project.path().join("lake/s/a");
    assert_eq!(data_files(&table), 3);
    let round = |id: &str| Pod::new(&project).with("/update/type", json!("Maintenance")).with("/update/id", json!(id));
    round("00000000-0000-4000-8000-000000000001").completed();
    assert_eq!(data_files(&table), 1 + 3, "who reads the replaced files may end first");
    let commit = newest_commit(&table);
    let changes: Vec<&Value> = commit.iter().filter_map(|action| action.get("add").or(action.get("remove"))).collect();
    assert_eq!(changes.len(), 4);
    assert!(changes.iter().all(|action| action["dataChange"] == false), "{commit:?}");
    assert_eq!(commit[0]["commitInfo"]["operation"], "OPTIMIZE");
    assert_eq!(project.rows("a", "SELECT count(*), sum(id), count(DISTINCT id) FROM t"), ["30|435|30"]);

    let pod = round("00000000-0000-4000-8000-000000000002");
    pod.completed();
    assert_eq!(data_files(&table), 1);
    let report = pod.report();
    let reported = report["tables"].as_array().unwrap().iter().find(|table| table["fullName"] == "main.s.a").unwrap();
    assert_eq!((&reported["files"], &reported["rows"], &reported["version"]), (&json!(1), &json!(30), &json!(4)));
    assert_eq!((&report["state"], &report["result"]), (&json!("COMPLETED"), &json!({"exitCode": 0})));
    let events = project.events("SELECT message FROM t WHERE event_type = 'maintenance_progress' AND origin['dataset_name'] = 'main.s.a'");
    assert!(events.iter().any(|text| text.starts_with("OPTIMIZE of main.s.a is COMPLETED (")), "{events:?}");
    assert!(events.iter().any(|text| text.contains("VACUUM of main.s.a is COMPLETED") && text.contains("files_deleted 3")), "{events:?}");
    let ids = project.events("SELECT DISTINCT origin['maintenance_id'] FROM t WHERE event_type = 'maintenance_progress'");
    assert_eq!(ids, ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"]);
}

#[test]
fn p27_optimize_does_not_disturb_streams_and_views() {
    let project = project();
    maintain(&project);
    let adds = newest_commit(&project.path().join("lake/s/b")).iter().filter(|action| action["add"].is_object()).count();
    assert_eq!(adds, 2, "one file per partition");
    let ended = project.run(&[]);
    assert!(ended.stdout.contains("nothing new"), "{}", ended.stdout);
    land(&project, 3..5);
    project.run(&[]);
    assert_eq!(project.rows("b", "SELECT count(*), count(DISTINCT id) FROM t"), ["50|50"]);
    maintain(&project);
    assert_eq!(project.rows("b", "SELECT count(*), sum(id), count(DISTINCT id) FROM t"), ["50|1225|50"]);
    assert_eq!(project.rows("v", "SELECT rows FROM t"), ["50"]);
    project.run(&["--full-refresh", "b"]);
    assert_eq!(project.rows("b", "SELECT count(*), sum(id), count(DISTINCT id) FROM t"), ["50|1225|50"]);
}

#[test]
fn files_that_a_stream_has_not_read_stay() {
    let project = project();
    land(&project, 3..6);
    project.run(&["--refresh", "a"]);
    maintain(&project);
    maintain(&project);
    // Six files became one; of the six the three stay that b has not read.
    assert_eq!(data_files(&project.path().join("lake/s/a")), 1 + 3);
    project.run(&[]);
    assert_eq!(project.rows("b", "SELECT count(*), sum(id), count(DISTINCT id) FROM t"), ["60|1770|60"]);
    maintain(&project);
    assert_eq!(data_files(&project.path().join("lake/s/a")), 1);
}

#[test]
fn a_table_that_cannot_be_compacted_is_cleaned_all_the_same() {
    let project = project();
    let table = project.table("a");
    maintain(&project);
    land(&project, 3..5);
    project.run(&[]);
    assert_eq!(data_files(&table), 3 + 1 + 2, "the replaced ones are still there");
    let adds = newest_commit(&table);
    let path = adds.iter().find_map(|action| action["add"]["path"].as_str()).unwrap();
    fs::write(table.join(path), "no Parquet").unwrap();
    let ended = project.call("maintain", &[]);
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("main.s.a") && ended.stderr.contains(path), "{}", ended.stderr);
    assert_eq!(data_files(&table), 1 + 2, "what nobody needs is gone");
}

#[test]
fn replaced_files_stay_for_their_retention_time() {
    let project = project();
    project.write("transformations/t.sql", &SQL.replace("interval 1 millisecond", "interval 1 day"));
    project.run(&[]);
    maintain(&project);
    maintain(&project);
    assert_eq!(data_files(&project.path().join("lake/s/a")), 1 + 3);
    assert_eq!(project.sql("SELECT count(*) AS n FROM a VERSION AS OF 2"), json!([{"n": 20}]));
}

#[test]
fn e19_old_events_go_and_young_ones_stay() {
    let project = project();
    let pod = Pod::new(&project);
    // An update that was asked for long ago: its first events are as old.
    pod.completed();
    let old = "SELECT count(*) FROM t WHERE timestamp < '2026-02-01T00:00:00Z'";
    let young =
        "SELECT count(*) FROM t WHERE timestamp >= '2026-02-01T00:00:00Z' AND origin['update_id'] = '5f3c2a52-7f4e-4d9b-9d5a-3f1f2c1b0a99'";
    let before = project.events(young);
    assert_eq!(project.events(old), ["4"]);
    let said = maintain(&project);
    assert!(said.contains("EVENT_LOG_RETENTION of event_log is COMPLETED (events_deleted 4"), "{said}");
    assert_eq!((project.events(old), project.events(young)), (vec!["0".to_string()], before));
}

#[test]
fn a_round_that_is_killed_costs_nothing() {
    for place in ["optimize::before", "optimize::after"] {
        let project = project();
        let killed = project.floe("maintain", &[]).env("FLOE_FAILPOINTS", format!("{place}=1")).output().unwrap();
        assert_eq!(killed.status.code(), None, "{place}");
        land(&project, 3..4);
        project.run(&[]);
        assert_eq!(project.rows("b", "SELECT count(*), sum(id), count(DISTINCT id) FROM t"), ["40|780|40"], "{place}");
        maintain(&project);
        maintain(&project);
        assert_eq!(project.rows("a", "SELECT count(*), sum(id), count(DISTINCT id) FROM t"), ["40|780|40"], "{place}");
        assert_eq!(data_files(&project.path().join("lake/s/a")), 1, "{place}: what was left behind is gone");
    }
}

#[test]
fn a_table_can_be_left_alone() {
    let project = project();
    project.write("transformations/t.sql", &SQL.replace("('delta", "('pipelines.autoOptimize.managed' = 'false', 'delta"));
    project.run(&[]);
    maintain(&project);
    assert_eq!(data_files(&project.path().join("lake/s/a")), 3);
}

/// Rows of every active data file of a table in their order, file by file.
fn rows_in_order(project: &Project, table: &str) -> Vec<Vec<(i64, i64)>> {
    use datafusion::{arrow::array::AsArray, arrow::datatypes::Int64Type, prelude::*};
    let root = project.table(table);
    let delta = url::Url::from_directory_path(&root).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let files: Vec<String> = deltalake::open_table(delta).await.unwrap().get_file_uris().unwrap().collect();
        let mut found = Vec::new();
        for file in files {
            let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
            let rows = context.read_parquet(file, ParquetReadOptions::default()).await.unwrap().select_columns(&["x", "y"]).unwrap();
            let batches = rows.collect().await.unwrap();
            let pairs = batches.iter().flat_map(|batch| {
                let column = |at: usize| batch.column(at).as_primitive::<Int64Type>().values().to_vec();
                column(0).into_iter().zip(column(1)).collect::<Vec<_>>()
            });
            found.push(pairs.collect());
        }
        found
    })
}

const GRID: &str = "
CREATE OR REFRESH STREAMING TABLE a LAYOUT
  AS SELECT id, id % 32 AS x, CAST(floor(id / 32) AS BIGINT) AS y, id % 2 AS odd FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT');
CREATE OR REFRESH STREAMING TABLE b AS SELECT id FROM STREAM(a);";

/// Numbers from 0 to 1023 in no order: the places of a grid of 32 by 32.
fn land_grid(project: &Project, file: &str) {
    project.land(file, (0..1024).map(|n: u64| format!(r#"{{"id":{}}}"#, (n * 389 + 77) % 1024)));
}

#[test]
fn clustering_sorts_rows_at_write_and_orders_them_along_a_curve_in_maintenance() {
    let layout = "CLUSTER BY (x, y) TBLPROPERTIES ('delta.deletedFileRetentionDuration' = 'interval 1 millisecond')";
    let project = Project::new(&[("t.sql", &GRID.replace("LAYOUT", layout))]);
    land_grid(&project, "1.json");
    project.run(&[]);
    for rows in rows_in_order(&project, "a") {
        assert!(rows.is_sorted(), "each file holds its rows in order: {rows:?}");
    }
    maintain(&project);
    let [rows] = <[_; 1]>::try_from(rows_in_order(&project, "a")).unwrap();
    let corner = |rows: &[(i64, i64)]| (rows.iter().map(|row| row.0).max(), rows.iter().map(|row| row.1).max());
    assert_eq!((rows.len(), corner(&rows[..256])), (1024, (Some(15), Some(15))), "a quarter of the rows is a quarter of the grid");
    assert_eq!(corner(&rows[..64]), (Some(7), Some(7)), "and so on");
    let commit = newest_commit(&project.table("a"));
    assert!(commit.iter().filter_map(|action| action.get("add").or(action.get("remove"))).all(|action| action["dataChange"] == false));
    assert_eq!(commit[0]["commitInfo"]["operationParameters"]["zOrderBy"], r#"["x","y"]"#);
    // What is in order stays, and streams see nothing.
    let version = project.version("a");
    maintain(&project);
    assert_eq!(project.version("a"), version, "there was nothing to do");
    assert!(project.run(&[]).stdout.contains("nothing new"));
    // New rows come in between.
    project.land("2.json", (1024..1056).map(|id| format!(r#"{{"id":{id}}}"#)));
    project.run(&[]);
    assert_eq!(rows_in_order(&project, "a").len(), 1 + 1);
    maintain(&project);
    assert_eq!(rows_in_order(&project, "a").concat().len(), 1056);
    assert_eq!(rows_in_order(&project, "a").len(), 1);
    assert_eq!(project.rows("b", "SELECT count(*), sum(id), count(DISTINCT id) FROM t"), ["1056|557040|1056"]);
    // Without clustering it is a table like others.
    project.write("transformations/t.sql", &GRID.replace("LAYOUT", "CLUSTER BY NONE"));
    project.run(&[]);
    let version = project.version("a");
    maintain(&project);
    assert_eq!(project.version("a"), version);
}

/// Killed before, in and after the commit that puts rows in order, and around the checkpoint of the log that follows it: the rows are the same,
/// once, streams see nothing of it, and the next round does what is left.
#[test]
fn rows_are_there_once_after_a_kill_while_they_are_put_in_order() {
    let properties = "TBLPROPERTIES ('delta.deletedFileRetentionDuration' = 'interval 1 millisecond', 'delta.checkpointInterval' = '1'";
    let clustered = format!("CLUSTER BY (x, y) {properties})");
    let partitioned = format!("PARTITIONED BY (odd) {properties}, 'pipelines.autoOptimize.zOrderCols' = 'x, y')");
    let rows = |project: &Project, table: &str| project.rows(table, "SELECT count(*), sum(id), count(DISTINCT id) FROM t");
    for (layout, files) in [(clustered, 1), (partitioned, 2)] {
        for place in ["optimize::before=1", "optimize::after=1", "checkpoint::before=1", "checkpoint::after=1"] {
            let project = Project::new(&[("t.sql", &GRID.replace("LAYOUT", &layout))]);
            land_grid(&project, "1.json");
            project.run(&[]);
            project.land("2.json", (1024..1056).map(|id| format!(r#"{{"id":{id}}}"#)));
            project.run(&[]);
            let killed = project.floe("maintain", &[]).env("FLOE_FAILPOINTS", place).output().unwrap();
            assert_eq!(killed.status.code(), None, "{place} {layout}");
            assert_eq!(rows(&project, "a"), ["1056|557040|1056"], "{place} {layout}");
            // A stream that comes to the killed table, with new rows behind it.
            project.land("3.json", (1056..1060).map(|id| format!(r#"{{"id":{id}}}"#)));
            project.run(&[]);
            for table in ["a", "b"] {
                assert_eq!(rows(&project, table), ["1060|561270|1060"], "{table} {place} {layout}");
            }
            maintain(&project);
            maintain(&project);
            assert_eq!(rows(&project, "a"), ["1060|561270|1060"], "{place} {layout}");
            let ordered = rows_in_order(&project, "a");
            assert_eq!((ordered.len(), ordered.concat().len()), (files, 1060), "{place} {layout}");
            assert_eq!(data_files(&project.table("a")), files, "{place}: what was left behind is gone");
            assert!(project.run(&[]).stdout.contains("nothing new"), "{place}");
        }
    }
}

#[test]
fn z_order_columns_of_a_partitioned_table_order_each_partition() {
    let layout = "PARTITIONED BY (odd) TBLPROPERTIES ('pipelines.autoOptimize.zOrderCols' = 'Y, x')";
    let project = Project::new(&[("t.sql", &GRID.replace("LAYOUT", layout))]);
    land_grid(&project, "1.json");
    project.run(&[]);
    maintain(&project);
    let files = rows_in_order(&project, "a");
    assert_eq!(files.iter().map(Vec::len).collect::<Vec<_>>(), [512, 512]);
    for rows in files {
        let quarter = &rows[..128];
        assert_eq!((quarter.iter().map(|row| row.0 / 16).max(), quarter.iter().map(|row| row.1).max()), (Some(0), Some(15)));
    }
}

#[test]
fn p104_maintenance_spares_readers() {
    let layout = "CLUSTER BY (y, x) TBLPROPERTIES ('delta.deletedFileRetentionDuration' = 'interval 1 millisecond',
        'delta.logRetentionDuration' = 'interval 1 millisecond', 'delta.checkpointInterval' = '2')";
    let project = Project::new(&[("t.sql", &GRID.replace("LAYOUT", layout))]);
    land_grid(&project, "1.json");
    project.run(&[]);
    // From here on b stands still while a grows and is put in order again and again.
    for round in 0..4 {
        project.land(&format!("{}.json", round + 2), (0..32).map(|n| format!(r#"{{"id":{}}}"#, 1024 + round * 32 + n)));
        project.run(&["--refresh", "a"]);
        maintain(&project);
    }
    assert_eq!(rows_in_order(&project, "a").len(), 1);
    project.run(&[]);
    assert_eq!(project.rows("b", "SELECT count(*), sum(id), count(DISTINCT id) FROM t"), ["1152|662976|1152"]);
    maintain(&project);
    assert_eq!(data_files(&project.table("a")), 1, "now nobody needs the others");
}
