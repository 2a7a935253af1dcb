//! Several reads of one place, and places that the query calls by another name: no row is lost, none is read twice.

use std::{fs, process::Command};

use crate::harness::Project;

const READ: &str = "SELECT id FROM STREAM read_files('PLACE', format => 'json', schema => 'id BIGINT')";

fn table(query: &str) -> String {
    format!("CREATE OR REFRESH STREAMING TABLE t AS {query};")
}

fn read(place: &str) -> String {
    table(&READ.replace("PLACE", place))
}

fn id(id: u64) -> [String; 1] {
    [format!(r#"{{"id":{id}}}"#)]
}

fn ids(project: &Project) -> Vec<String> {
    project.rows("t", "SELECT id FROM t")
}

/// JSON files with ids 1 and 2, a CSV file with id 3, in one folder.
fn mixed(sql: &str) -> Project {
    let project = Project::new(&[("t.sql", sql)]);
    project.land("1.json", id(1));
    project.land("2.json", id(2));
    project.land("3.csv", ["3".to_string()]);
    project
}

#[test]
fn a_stream_that_reads_one_place_in_two_ways_is_refused() {
    let json = "SELECT id FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT'LIMIT)";
    let csv = "SELECT id FROM STREAM read_files('./landing/*', format => 'csv', schema => 'id BIGINT')";
    let plain = json.replace("LIMIT", "");
    for other in [csv, &json.replace("LIMIT", ", maxFilesPerTrigger => 1")] {
        let project = mixed(&table(&format!("{plain} UNION ALL {other}")));
        let ended = project.refused("run", &["--dry-run"], 10, "STREAMING_SOURCES_OVERLAP");
        assert!(ended.stderr.contains("t.sql:1:") && ended.stderr.contains("CREATE FLOW"), "{}", ended.stderr);
    }
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE a AS {plain};
         CREATE OR REFRESH STREAMING TABLE t AS SELECT id FROM STREAM(a) WITH (maxFilesPerTrigger => 1) UNION ALL SELECT id FROM STREAM(a);"
    );
    mixed(&sql).refused("run", &["--dry-run"], 10, "STREAMING_SOURCES_OVERLAP");
}

#[test]
fn leaves_that_read_one_place_alike_share_it_and_globs_apart_have_their_own() {
    let json = READ.replace("PLACE", "landing/*.json");
    let csv = json.replace("'json'", "'csv'").replace("*.json", "*.csv");
    let project = mixed(&table(&format!("{json} UNION ALL {json} UNION ALL {csv}")));
    project.run(&[]);
    project.land("4.csv", ["4".to_string()]);
    project.run(&[]);
    assert_eq!(ids(&project), ["1", "1", "2", "2", "3", "4"]);
}

#[test]
fn a_view_reads_one_folder_in_two_formats() {
    let read = "SELECT id FROM read_files('landing', format => 'FORMAT', pathGlobFilter => '*.FORMAT', schema => 'id BIGINT')";
    let (json, csv) = (read.replace("FORMAT", "json"), read.replace("FORMAT", "csv"));
    let project = mixed(&format!("CREATE MATERIALIZED VIEW t AS {json} UNION ALL {csv};"));
    project.run(&[]);
    assert_eq!(ids(&project), ["1", "2", "3"]);
}

#[test]
fn another_spelling_of_a_path_reads_nothing_twice() {
    let project = Project::new(&[("t.sql", &read("landing"))]);
    project.land("1.json", id(1));
    project.run(&[]);
    let absolute = project.path().join("landing/*").display().to_string();
    for (number, place) in (2..).zip(["landing/*.json", "./landing/", &absolute, "*/*.json"]) {
        project.land(&format!("{number}.json"), id(number));
        project.write("transformations/t.sql", &read(place));
        project.run(&[]);
    }
    assert_eq!(ids(&project), ["1", "2", "3", "4", "5"]);
}

#[test]
fn a_batch_that_was_begun_under_another_spelling_is_finished() {
    let project = Project::new(&[("t.sql", &read("landing"))]);
    project.land("1.json", id(1));
    project.floe("run", &[]).env("FLOE_FAILPOINTS", "offsets::after").output().unwrap();
    project.write("transformations/t.sql", &read("elsewhere"));
    fs::create_dir(project.path().join("elsewhere")).unwrap();
    project.refused("run", &[], 10, "PENDING_SOURCE_REMOVED");
    project.write("transformations/t.sql", &read("landing/*.json"));
    project.run(&[]);
    assert_eq!(ids(&project), ["1"]);
}

#[test]
fn a_project_that_moves_with_its_tables_reads_nothing_twice() {
    let project = Project::new(&[("t.sql", &read("landing"))]);
    project.land("1.json", id(1));
    project.run(&[]);
    let moved = Project::new(&[]);
    let copied = Command::new("cp").arg("-r").arg(project.path().join(".")).arg(moved.path()).status().unwrap();
    assert!(copied.success());
    moved.land("2.json", id(2));
    moved.run(&[]);
    assert_eq!(ids(&moved), ["1", "2"]);
}

#[test]
fn a_stream_that_is_taken_out_and_put_back_goes_on() {
    let source = |name: &str| format!("CREATE OR REFRESH STREAMING TABLE {name} AS {};", READ.replace("PLACE", &format!("landing/{name}")));
    let sources = source("a") + &source("b");
    let both = format!("{sources}{}", table("SELECT id FROM STREAM(a) UNION ALL SELECT id FROM STREAM(b)"));
    let one = format!("{sources}{}", table("SELECT id FROM STREAM(a)"));
    let project = Project::new(&[("t.sql", &both)]);
    for (update, sql) in (0..).zip([&both, &one, &both]) {
        project.land(&format!("a/{update}.json"), id(update));
        project.land(&format!("b/{update}.json"), id(10 + update));
        project.write("transformations/t.sql", sql);
        project.run(&[]);
    }
    assert_eq!(ids(&project), ["0", "1", "10", "11", "12", "2"]);
}

#[test]
fn limits_cut_the_first_snapshot_of_a_stream() {
    let file = READ.replace("PLACE", "landing").replace("schema =>", "maxFilesPerTrigger => 1, schema =>");
    let sql = format!("CREATE OR REFRESH STREAMING TABLE a AS {file};");
    let project = Project::new(&[("a.sql", &sql)]);
    for number in 0..5 {
        project.land(&format!("{number}.json"), id(number));
    }
    project.run(&[]);
    project.write("transformations/t.sql", &table("SELECT id FROM STREAM(a) WITH (maxFilesPerTrigger => 2)"));
    let killed = project.floe("run", &[]).env("FLOE_FAILPOINTS", "target::after=2").output().unwrap();
    assert!(!killed.status.success());
    project.run(&[]);
    assert_eq!(ids(&project), ["0", "1", "2", "3", "4"]);
    let commits = 0..=project.version("t").unwrap();
    let with_rows = commits.filter(|version| project.commit("t", *version).iter().any(|action| action.get("add").is_some()));
    assert_eq!(with_rows.count(), 3);
}
