//! What happens while tables are written again for wider types: other flows go on, a stop ends it, a failure is known to all. What a user changes
//! is not widened.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::{
    harness::Project,
    type_widening::{ints, land, longs, read, rewrites, siblings, types},
};

/// `floe run` that tells its events.
struct Told {
    child: Child,
    lines: BufReader<ChildStdout>,
    said: Vec<String>,
}

impl Told {
    fn start(project: &Project, failpoints: &str) -> Self {
        let mut floe = project.floe("run", &["--output", "json"]);
        // Threads that stay at a place must leave some for the rest.
        floe.env("FLOE_FAILPOINTS", failpoints).env("TOKIO_WORKER_THREADS", "6").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = floe.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, said: Vec::new() }
    }

    /// Waits for an event with this message.
    fn until(&mut self, message: &str) {
        while !self.has_said(message) {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended before {message:?}: {:#?}", self.said);
            self.said.push(line);
        }
    }

    fn has_said(&self, message: &str) -> bool {
        self.said.iter().any(|line| line.contains(message))
    }

    fn stop(&self) {
        assert!(Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status().unwrap().success());
    }

    fn end(mut self) -> (Option<i32>, Vec<String>) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        self.said.extend(rest.lines().map(str::to_string));
        (self.child.wait().unwrap().code(), self.said)
    }
}

/// Data files below the folder of a table.
fn data_files(project: &Project, table: &str) -> BTreeSet<String> {
    let names = fs::read_dir(project.table(table)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".parquet")).collect()
}

fn hold(project: &Project, name: &str) -> (std::path::PathBuf, String) {
    let path = project.path().join(name);
    fs::write(&path, "").unwrap();
    let text = format!("hold:{}", path.display());
    (path, text)
}

#[test]
fn p60_a_stop_while_a_table_is_written_again_leaves_it_as_it_was() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM {};
        CREATE OR REFRESH STREAMING TABLE u AS SELECT * FROM STREAM(t);",
        read(", maxFilesPerTrigger => 1")
    );
    let project = Project::new(&[("t.sql", &sql)]);
    for n in 1..=5 {
        land(&project, &format!("{n}.parquet"), &[("id", ints(&[n]))]);
    }
    project.run(&[]);
    land(&project, "6.parquet", &[("id", longs(&[1 << 40]))]);
    let (before, files) = (project.versions(), data_files(&project, "t"));
    let (held, place) = hold(&project, "held");
    let mut run = Told::start(&project, &format!("retype::copied={place}"));
    run.until("TYPE_WIDENING of main.s.t is STARTED (files 0, files_total 5, read_bytes 0, rows 0, rows_total 5).");
    while data_files(&project, "t").len() == files.len() {
        assert!(run.child.try_wait().unwrap().is_none(), "it ended before a file was written again");
    }
    run.stop();
    run.until("Flow u has been STOPPED");
    fs::remove_file(&held).unwrap();
    let (code, said) = run.end();
    assert_eq!(code, Some(143), "{said:#?}");
    assert!(said.iter().any(|line| line.contains("TYPE_WIDENING of main.s.t is CANCELED")), "{said:#?}");
    assert_eq!((project.versions(), data_files(&project, "t")), (before, files), "the table is what it was");
    assert_eq!(project.states("t").last().unwrap(), "STOPPED");
    assert_eq!(project.states("u").last().unwrap(), "STOPPED");
    project.run(&[]);
    let rows = ["1", "1099511627776", "2", "3", "4", "5"];
    assert_eq!(
        (project.rows("t", "SELECT id FROM t"), project.rows("u", "SELECT id FROM t")),
        (rows.map(str::to_string).to_vec(), rows.map(str::to_string).to_vec())
    );
    assert!(project.run(&[]).stdout.contains("nothing new"));
}

#[test]
fn p60_flows_that_do_not_touch_the_table_start_and_end_while_it_is_written_again() {
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM {};
        CREATE OR REFRESH STREAMING TABLE other AS SELECT * FROM STREAM read_files('apart', format => 'json');
        CREATE OR REFRESH STREAMING TABLE later AS SELECT * FROM STREAM(other);
        CREATE OR REFRESH MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM t CROSS JOIN later;",
        read("")
    );
    let project = Project::new(&[("t.sql", &sql)]);
    land(&project, "1.parquet", &[("id", ints(&[1]))]);
    project.write("apart/1.json", "{\"n\":1}\n");
    project.run(&[]);
    land(&project, "2.parquet", &[("id", longs(&[1 << 40]))]);
    project.write("apart/2.json", "{\"n\":2}\n");
    let ((rewriting, first), (staging, second)) = (hold(&project, "rewriting"), hold(&project, "staging"));
    let mut run = Told::start(&project, &format!("retype::copied={first};stage::after={second}"));
    run.until("TYPE_WIDENING of main.s.t is STARTED");
    assert!(!run.has_said("Flow other has COMPLETED"));
    fs::remove_file(&staging).unwrap();
    run.until("Flow other has COMPLETED");
    run.until("Flow later is STARTING");
    run.until("Flow later has COMPLETED");
    assert!(rewrites(&project, "t").is_empty() && !run.has_said("Flow counted is PLANNING"), "{:#?}", run.said);
    fs::remove_file(&rewriting).unwrap();
    let (code, said) = run.end();
    assert_eq!(code, Some(0), "{said:#?}");
    let at = |message: &str| said.iter().position(|line| line.contains(message)).unwrap_or_else(|| panic!("{message}: {said:#?}"));
    assert!(at("Flow later has COMPLETED") < at("TYPE_WIDENING of main.s.t is COMPLETED"));
    assert!(at("TYPE_WIDENING of main.s.t is COMPLETED") < at("Flow counted is PLANNING"));
    assert_eq!(types(&project, "t")[0], "id: long");
    assert_eq!(project.rows("counted", "SELECT n FROM t"), ["4"]);
}

#[test]
fn p60_a_flow_starts_again_with_a_table_that_was_altered_before_the_widening_failed() {
    let project = siblings("");
    project.write("transformations/u.sql", "CREATE OR REFRESH STREAMING TABLE u AS SELECT * FROM STREAM(t);");
    project.run(&[]);
    land(&project, "a/2.parquet", &[("id", longs(&[1 << 40]))]);
    land(&project, "b/2.parquet", &[("id", ints(&[2]))]);
    // The table downstream cannot be written again.
    for file in data_files(&project, "u") {
        fs::rename(project.table("u").join(&file), project.path().join(&file)).unwrap();
    }
    let (held, place) = hold(&project, "held");
    let mut run = Told::start(&project, &format!("stage::after={place}"));
    run.until("TYPE_WIDENING of main.s.u is FAILED");
    run.until("Flow a has FAILED");
    fs::remove_file(&held).unwrap();
    let (code, said) = run.end();
    assert_ne!(code, Some(0), "{said:#?}");
    assert_eq!(project.states("b"), ["QUEUED", "STARTING", "RUNNING", "COMPLETED"]);
    assert_eq!((rewrites(&project, "t").len(), rewrites(&project, "u").len()), (1, 0));
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["1", "1", "2"]);
    for file in fs::read_dir(project.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "parquet"))
    {
        fs::rename(&file, project.table("u").join(file.file_name().unwrap())).unwrap();
    }
    project.run(&[]);
    assert_eq!(project.rows("u", "SELECT id FROM t"), ["1", "1", "1099511627776", "2"]);
}

#[test]
fn p60_a_type_that_the_user_declares_otherwise_needs_a_full_refresh() {
    let sql = |data_type: &str| {
        format!(
            "CREATE OR REFRESH STREAMING TABLE t (id {data_type}, more BIGINT) AS SELECT CAST(id AS {data_type}) AS id, more FROM STREAM {};",
            read("")
        )
    };
    let project = Project::new(&[("t.sql", &sql("INT"))]);
    land(&project, "1.parquet", &[("id", ints(&[1])), ("more", longs(&[1]))]);
    project.run(&[]);
    let before = project.versions();
    // Wider, and then what would be narrower than the table.
    for (declared, stored) in [("BIGINT", "INT"), ("SMALLINT", "INT")] {
        project.write("transformations/t.sql", &sql(declared));
        let says = format!("column id is stored as {stored} and would become {declared}");
        for command in ["validate", "run"] {
            let refused = project.refused(command, &[], 10, "SCHEMA_CHANGE_REQUIRES_FULL_REFRESH");
            assert!(refused.stderr.contains(&says) && refused.stderr.contains("--full-refresh t"), "{}", refused.stderr);
        }
        assert_eq!(project.versions(), before, "nothing is written");
    }
    project.write("transformations/t.sql", &sql("BIGINT"));
    project.run(&["--full-refresh", "t"]);
    assert_eq!(types(&project, "t"), ["id: long", "more: long"]);
    assert_eq!(project.rows("t", "SELECT id, more FROM t"), ["1|1"]);
}

#[test]
fn p60_a_declared_type_that_a_file_outgrows_is_told_with_the_file() {
    let sql = |data_type: &str, hint: &str| {
        format!("CREATE OR REFRESH STREAMING TABLE t (id INT, v {data_type}) AS SELECT id, v FROM STREAM {};", read(hint))
    };
    let start = || {
        let project = Project::new(&[("t.sql", &sql("INT", ""))]);
        land(&project, "1.parquet", &[("id", ints(&[1])), ("v", ints(&[1]))]);
        project.run(&[]);
        let before = project.versions();
        land(&project, "2.parquet", &[("id", ints(&[2])), ("v", longs(&[1 << 40]))]);
        let refused = project.refused("run", &[], 10, "USER_SPECIFIED_AND_INFERRED_SCHEMA_NOT_COMPATIBLE");
        let says = [
            "column v is declared as INT, but its queries give BIGINT",
            "landing/2.parquet has wider types than the schema: v INT as BIGINT",
            "t.sql:1:",
            "--full-refresh t",
            "schemaHints",
        ];
        for text in says {
            assert!(refused.stderr.contains(text), "{text}: {}", refused.stderr);
        }
        assert_eq!(project.versions(), before, "nothing is altered");
        project
    };
    // Both ways out that the message names.
    let project = start();
    project.write("transformations/t.sql", &sql("BIGINT", ", schemaHints => 'v BIGINT'"));
    project.run(&["--full-refresh", "t"]);
    assert_eq!(types(&project, "t"), ["id: integer", "v: long"]);
    assert_eq!(project.rows("t", "SELECT id, v FROM t"), ["1|1", "2|1099511627776"]);
    let project = start();
    project.write("transformations/t.sql", &sql("INT", ", schemaHints => 'v INT'"));
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id, v FROM t"), ["1|1", "2|NULL"]);
}
