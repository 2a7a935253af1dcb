//! AUTO CDC FROM SNAPSHOT through the real process: a table or a directory of dated snapshots, both types, killed anywhere, out of order.

use std::{collections::BTreeMap, fs, os::unix::process::ExitStatusExt};

use floe_runner::failpoint;

use crate::harness::Project;

const FROM_DIRECTORY: &str = "FROM SNAPSHOT read_files('snapshots', format => 'json', schema => 'id BIGINT, name STRING')";

/// Both types of target over `from`, with `clauses` of their own.
fn both(from: &str, latest: &str, history: &str) -> Project {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE latest; CREATE FLOW l AS AUTO CDC INTO latest {from} KEYS (id) {latest};
         CREATE OR REFRESH STREAMING TABLE history; CREATE FLOW h AS AUTO CDC INTO history {from} KEYS (id) STORED AS SCD TYPE 2 {history};"
    );
    Project::new(&[("targets.sql", &sql)])
}

fn directory() -> Project {
    both(FROM_DIRECTORY, "", "")
}

fn snapshot(project: &Project, name: &str, rows: &[(i64, &str)]) {
    let text: String = rows.iter().map(|(id, name)| format!("{{\"id\":{id},\"name\":\"{name}\"}}\n")).collect();
    project.write(&format!("snapshots/{name}"), &text);
}

fn latest(project: &Project) -> Vec<String> {
    project.rows("latest", "SELECT id, name FROM t")
}

fn history(project: &Project) -> Vec<String> {
    project.rows("history", r#"SELECT id, name, "__START_AT", "__END_AT" FROM t"#)
}

/// Days of January 2024 where the history has times.
fn days(rows: &[&str]) -> Vec<String> {
    let day = |part: &str| part.strip_prefix('d').map_or_else(|| part.to_string(), |day| format!("2024-01-{day}T00:00:00Z"));
    rows.iter().map(|row| row.split('|').map(day).collect::<Vec<_>>().join("|")).collect()
}

#[test]
fn the_sample_of_the_guide_of_both_types_from_files_and_directories() {
    for at_once in [true, false] {
        let project = directory();
        snapshot(&project, "customers-2024-01-01.json", &[(1, "a1"), (2, "a2")]);
        if !at_once {
            project.run(&[]);
            assert_eq!(latest(&project), ["1|a1", "2|a2"]);
            assert_eq!(history(&project), days(&["1|a1|d01|NULL", "2|a2|d01|NULL"]));
        }
        // A snapshot of several files.
        snapshot(&project, "20240102/part-1.json", &[(2, "b2")]);
        snapshot(&project, "20240102/part-2.json", &[(3, "a3")]);
        project.run(&[]);
        assert_eq!(latest(&project), ["2|b2", "3|a3"], "at once: {at_once}");
        assert_eq!(history(&project), days(&["1|a1|d01|d02", "2|a2|d01|d02", "2|b2|d02|NULL", "3|a3|d02|NULL"]), "at once: {at_once}");
        // The same rows once more: an event for nobody, and no version of the targets.
        let versions = (project.version("latest"), project.version("history"));
        snapshot(&project, "2024-01-03.json", &[(3, "a3"), (2, "b2")]);
        project.run(&[]);
        assert_eq!((project.version("latest"), project.version("history")), versions);
        // A key comes back, another one goes.
        snapshot(&project, "2024-01-04.json", &[(3, "a3"), (1, "a1")]);
        project.run(&[]);
        assert_eq!(latest(&project), ["1|a1", "3|a3"]);
        let expected = ["1|a1|d01|d02", "1|a1|d04|NULL", "2|a2|d01|d02", "2|b2|d02|d04", "3|a3|d02|NULL"];
        assert_eq!(history(&project), days(&expected));
        let counted: Vec<_> =
            project.last_update().into_iter().filter(|event| event.details["metrics"]["num_cdc_events"].is_u64()).collect();
        assert!(!counted.is_empty());
        for event in counted {
            let number = |name: &str| event.details["metrics"][name].as_u64();
            assert_eq!((number("num_cdc_events"), number("num_input_rows"), number("num_late_events")), (Some(2), Some(2), Some(0)));
            let expected = if event.flow == "l" { (Some(1), Some(1)) } else { (Some(2), Some(0)) };
            assert_eq!((number("num_upserted_rows"), number("num_deleted_rows")), expected, "{}", event.flow);
        }
        let compared = project.last_update().into_iter().filter(|event| event.details["type"] == "CDC_SNAPSHOT").count();
        assert_eq!(compared, 2, "one operation per flow");
    }
}

#[test]
fn an_empty_snapshot_deletes_all_rows_and_the_history_stays() {
    let project = directory();
    snapshot(&project, "1.json", &[(1, "a"), (2, "b")]);
    snapshot(&project, "2.json", &[]);
    project.run(&[]);
    assert_eq!(latest(&project), [""; 0]);
    // Numbers in the names are the sequence.
    assert_eq!(history(&project), ["1|a|1|2", "2|b|1|2"]);
    snapshot(&project, "10.json", &[(2, "b")]);
    project.run(&[]);
    assert_eq!(latest(&project), ["2|b"]);
    assert_eq!(history(&project), ["1|a|1|2", "2|b|10|NULL", "2|b|1|2"]);
}

#[test]
fn each_changed_version_of_a_table_is_a_snapshot() {
    let project = both("FROM SNAPSHOT base", "", "");
    project.write(
        "transformations/base.sql",
        "CREATE OR REFRESH MATERIALIZED VIEW base AS SELECT * FROM read_files('landing', format => 'json', schema => 'id BIGINT, name STRING');",
    );
    let land = |rows: &[(i64, &str)]| project.land("all.json", rows.iter().map(|(id, name)| format!(r#"{{"id":{id},"name":"{name}"}}"#)));
    let committed = |version: i64| {
        let info = project.commit("base", version).into_iter().find_map(|action| action.get("commitInfo").cloned()).unwrap();
        info["timestamp"].as_i64().unwrap()
    };
    land(&[(1, "a1"), (2, "a2")]);
    project.run(&[]);
    let first = project.version("base").unwrap();
    land(&[(2, "b2"), (3, "a3")]);
    project.run(&[]);
    let second = project.version("base").unwrap();
    assert_eq!(latest(&project), ["2|b2", "3|a3"]);
    let times = [committed(first), committed(second)];
    let select = r#"SELECT id, name, CAST("__START_AT" AS BIGINT), CAST("__END_AT" AS BIGINT) FROM t"#;
    let time = |at: usize| times[at] * 1000;
    let (t0, t1) = (time(0), time(1));
    let expected = [format!("1|a1|{t0}|{t1}"), format!("2|a2|{t0}|{t1}"), format!("2|b2|{t1}|NULL"), format!("3|a3|{t1}|NULL")];
    assert_eq!(project.rows("history", select), expected);
    // Nothing new, and a version that changes no row: nothing is compared.
    let versions = project.versions();
    project.run(&[]);
    assert_eq!(project.versions(), versions);
}

#[test]
fn autocdc_snapshot_out_of_order_applies_nothing() {
    for (late, says) in [
        ("2024-01-02.json", "2024-01-02.json"),
        // Equal: another name, and one more file of a snapshot that was taken.
        ("20240103.json", "20240103.json"),
        ("2024-01-01/more.json", "2024-01-01"),
    ] {
        let project = directory();
        snapshot(&project, "2024-01-01/some.json", &[(1, "a")]);
        snapshot(&project, "2024-01-03.json", &[(1, "b")]);
        project.run(&[]);
        let before = (latest(&project), history(&project), project.versions());
        snapshot(&project, late, &[(1, "late")]);
        snapshot(&project, "2024-01-04.json", &[(1, "e")]);
        let ended = project.refused("run", &[], 10, "AUTOCDC_SNAPSHOT_OUT_OF_ORDER");
        assert!(ended.stderr.contains(says) && ended.stderr.contains("nothing was applied"), "{}", ended.stderr);
        assert_eq!((latest(&project), history(&project), project.versions()), before);
        fs::remove_file(project.path().join("snapshots").join(late)).unwrap();
        project.run(&[]);
        assert_eq!(latest(&project), ["1|e"]);
        assert_eq!(history(&project), days(&["1|a|d01|d03", "1|b|d03|d04", "1|e|d04|NULL"]));
    }
    // A full refresh takes them in their order.
    let project = directory();
    snapshot(&project, "2024-01-01.json", &[(1, "a")]);
    snapshot(&project, "2024-01-03.json", &[(1, "c")]);
    project.run(&[]);
    snapshot(&project, "2024-01-02.json", &[(1, "b")]);
    project.refused("run", &[], 10, "AUTOCDC_SNAPSHOT_OUT_OF_ORDER");
    project.run(&["--full-refresh-all"]);
    assert_eq!(history(&project), days(&["1|a|d01|d02", "1|b|d02|d03", "1|c|d03|NULL"]));
}

#[test]
fn names_without_one_date_are_refused() {
    for name in ["customers.json", "2024-01-01_2024-01-02.json", "1-of-2.json"] {
        let project = directory();
        snapshot(&project, "2024-01-01.json", &[(1, "a")]);
        snapshot(&project, name, &[(1, "b")]);
        let ended = project.refused("run", &[], 10, "AUTOCDC_SNAPSHOT_NOT_DATED");
        assert!(ended.stderr.contains(name), "{}", ended.stderr);
        assert_eq!(latest(&project), [""; 0]);
        // What is not a snapshot can be left out by its name.
        fs::rename(project.path().join("snapshots").join(name), project.path().join("snapshots/_notes.json")).unwrap();
        project.run(&[]);
        assert_eq!(latest(&project), ["1|a"]);
    }
}

#[test]
fn expectations_see_the_rows_of_a_snapshot_and_ties_in_it_are_counted() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE latest (CONSTRAINT named EXPECT (name <> 'bad') ON VIOLATION DROP ROW)
         FLOW AUTO CDC {FROM_DIRECTORY} KEYS (id);"
    );
    let project = Project::new(&[("t.sql", &sql)]);
    snapshot(&project, "1.json", &[(1, "a"), (2, "b")]);
    project.run(&[]);
    // A dropped row is not in the snapshot. Of two rows of one key the last one counts.
    snapshot(&project, "2.json", &[(1, "bad"), (2, "c"), (2, "d")]);
    project.run(&[]);
    assert_eq!(latest(&project), ["2|d"]);
    let sum = |name: &str| project.last_update().iter().filter_map(|event| event.details["metrics"][name].as_u64()).sum::<u64>();
    assert_eq!((sum("num_tied_events"), sum("num_deleted_rows"), sum("num_upserted_rows")), (1, 1, 1));
    project.write("snapshots/3.json", "{\"name\":\"nobody\"}\n");
    project.refused("run", &[], 10, "AUTOCDC_MICROBATCH_VALIDATION.NULL_KEY");
    assert_eq!(latest(&project), ["2|d"]);
    project.write(
        "transformations/t.sql",
        &sql.replace("latest (", "latest TBLPROPERTIES ('pipelines.cdc.onTie' = 'fail') (").replace(
            "TBLPROPERTIES ('pipelines.cdc.onTie' = 'fail') (CONSTRAINT named EXPECT (name <> 'bad') ON VIOLATION DROP ROW)",
            "(CONSTRAINT named EXPECT (name <> 'bad') ON VIOLATION DROP ROW) TBLPROPERTIES ('pipelines.cdc.onTie' = 'fail')",
        ),
    );
    snapshot(&project, "3.json", &[(2, "e"), (2, "f")]);
    project.refused("run", &[], 10, "AUTOCDC_SEQUENCE_TIE");
    assert_eq!(latest(&project), ["2|d"]);
}

#[test]
fn a_full_refresh_and_a_checkpoint_reset_equal_the_incremental_result() {
    let project = directory();
    for (day, rows) in [(1, &[(1, "a"), (2, "b")][..]), (2, &[(1, "x")]), (3, &[(1, "x"), (2, "c")]), (4, &[(2, "b"), (3, "n")])] {
        snapshot(&project, &format!("2024010{day}.json"), rows);
        project.run(&[]);
    }
    let incremental = (latest(&project), history(&project));
    let versions = project.versions();
    project.run(&["--reset-checkpoint", "latest", "--reset-checkpoint", "history"]);
    assert_eq!((latest(&project), history(&project)), incremental);
    assert_eq!(project.versions(), versions, "all snapshots again change nothing");
    project.run(&["--full-refresh-all"]);
    assert_eq!((latest(&project), history(&project)), incremental);
}

#[test]
fn untracked_columns_selected_columns_and_new_columns() {
    let from = FROM_DIRECTORY.replace("name STRING", "name STRING, city STRING, seen BIGINT");
    let project = both(&from, "COLUMNS * EXCEPT (seen)", "COLUMNS * EXCEPT (seen) TRACK HISTORY ON name");
    project.write("snapshots/1.json", "{\"id\":1,\"name\":\"a\",\"city\":\"Oslo\",\"seen\":1}\n");
    project.run(&[]);
    // A column that is not stored is no change; one that is not tracked is corrected in place.
    project.write("snapshots/2.json", "{\"id\":1,\"name\":\"a\",\"city\":\"Oslo\",\"seen\":2}\n");
    let versions = project.versions();
    project.run(&[]);
    assert_eq!(project.versions(), versions);
    project.write("snapshots/3.json", "{\"id\":1,\"name\":\"a\",\"city\":\"Bergen\",\"seen\":3}\n");
    project.run(&[]);
    assert_eq!(project.rows("history", r#"SELECT id, name, city, "__START_AT", "__END_AT" FROM t"#), ["1|a|Bergen|1|NULL"]);
    let text = fs::read_to_string(project.path().join("transformations/targets.sql")).unwrap();
    project.write("transformations/targets.sql", &text.replace("seen BIGINT", "seen BIGINT, tier STRING"));
    project.write("snapshots/4.json", "{\"id\":1,\"name\":\"b\",\"city\":\"Bergen\",\"tier\":\"gold\"}\n");
    project.run(&[]);
    assert_eq!(project.rows("latest", "SELECT id, name, city, tier FROM t"), ["1|b|Bergen|gold"]);
    let select = r#"SELECT id, name, tier, "__START_AT", "__END_AT" FROM t"#;
    assert_eq!(project.rows("history", select), ["1|a|NULL|1|4", "1|b|gold|4|NULL"]);
}

#[test]
fn another_kind_of_name_is_drift_until_a_full_refresh() {
    let project = directory();
    snapshot(&project, "2024-01-01.json", &[(1, "a")]);
    project.run(&[]);
    fs::remove_file(project.path().join("snapshots/2024-01-01.json")).unwrap();
    snapshot(&project, "7.json", &[(1, "b")]);
    project.refused("run", &[], 10, "AUTOCDC_INVALID_STATE.SEQUENCING_TYPE_DRIFT");
    assert_eq!(latest(&project), ["1|a"]);
    project.run(&["--full-refresh-all"]);
    assert_eq!(history(&project), ["1|b|7|NULL"]);
}

const SIGKILL: i32 = 9;

/// Snapshots in which keys come, change, go and come back; with deletion vectors on one target.
fn story() -> Project {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE latest TBLPROPERTIES ('delta.enableDeletionVectors' = 'true');
         CREATE FLOW l AS AUTO CDC INTO latest {FROM_DIRECTORY} KEYS (id);
         CREATE OR REFRESH STREAMING TABLE history; CREATE FLOW h AS AUTO CDC INTO history {FROM_DIRECTORY} KEYS (id) STORED AS SCD TYPE 2;
         CREATE OR REFRESH STREAMING TABLE copies; CREATE FLOW c AS AUTO CDC INTO copies FROM SNAPSHOT totals KEYS (name);
         CREATE OR REFRESH MATERIALIZED VIEW totals AS SELECT name, count(*) AS n FROM latest GROUP BY name;"
    );
    let project = Project::new(&[("all.sql", &sql)]);
    for day in 1..=4_i64 {
        let rows: Vec<(i64, &str)> =
            (0..40).filter(|id| (id + day) % 5 > 0).map(|id| (id, ["a", "b", "c"][((id * day) % 3) as usize])).collect();
        snapshot(&project, &format!("2024-01-0{day}.json"), &rows);
    }
    project
}

type Outcome = (Vec<String>, Vec<String>, Vec<String>, BTreeMap<String, BTreeMap<String, u64>>);

fn outcome(project: &Project) -> Outcome {
    (latest(project), history(project), project.rows("copies", "SELECT name, n FROM t"), project.totals())
}

#[test]
fn c47_snapshots_killed_at_every_step_equal_an_undisturbed_run() {
    let undisturbed = story();
    undisturbed.run(&[]);
    let expected = outcome(&undisturbed);
    assert_eq!((expected.0.len(), expected.2.len()), (32, 3));
    let mut reached = 0;
    for name in failpoint::ALL {
        for hit in [1, 4] {
            let armed = format!("{name}={hit}");
            let project = story();
            let killed = project.floe("run", &[]).env("FLOE_FAILPOINTS", &armed).output().unwrap();
            match killed.status.signal() {
                Some(signal) => assert_eq!(signal, SIGKILL, "{armed}"),
                None => assert_eq!(killed.status.code(), Some(0), "{armed}: {}", String::from_utf8_lossy(&killed.stderr)),
            }
            reached += usize::from(killed.status.signal().is_some());
            project.run(&[]);
            let found = outcome(&project);
            assert_eq!((&found.0, &found.1, &found.2), (&expected.0, &expected.1, &expected.2), "rows after a kill at {armed}");
            assert_eq!(found.3, expected.3, "numbers after a kill at {armed}");
        }
    }
    assert!(reached >= 20, "only {reached} places were reached");
}
