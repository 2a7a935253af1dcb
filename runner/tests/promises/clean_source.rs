//! `cleanSource`: files leave their directory when their rows are committed, and not a moment earlier.

use std::{
    fs,
    os::unix::{fs::MetadataExt, process::ExitStatusExt},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{continuous::Live, harness::Project, object_store::Server};

const SIGKILL: i32 = 9;
const MOVE: &str = "cleanSource => 'MOVE', cleanSource.moveDestination => 'archive', cleanSource.retentionDuration => '0 seconds'";

fn stream(name: &str, options: &str) -> String {
    format!(
        "CREATE OR REFRESH STREAMING TABLE {name} AS SELECT * FROM STREAM read_files('landing', format => 'json', schema => 'id BIGINT', {options});"
    )
}

fn land(project: &Project, name: &str, id: i64) {
    project.land(name, [format!(r#"{{"id":{id}}}"#)]);
}

/// The files below a directory of the project, relative to it, with their content.
fn files(project: &Project, directory: &str) -> Vec<String> {
    fn walk(root: &Path, directory: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).into_iter().flatten().map(Result::unwrap) {
            if entry.path().is_dir() {
                walk(root, &entry.path(), found);
            } else {
                let content = fs::read_to_string(entry.path()).unwrap();
                found.push(format!("{} {}", entry.path().strip_prefix(root).unwrap().display(), content.trim()));
            }
        }
    }
    let (root, mut found) = (project.path().join(directory), Vec::new());
    walk(&root, &root, &mut found);
    found.sort();
    found
}

/// Makes the micro-batches of a flow older.
fn age(project: &Project, flow: &str, days: i64) {
    for entry in fs::read_dir(project.path().join(format!("lake/_floe/checkpoints/{flow}/g0/offsets"))).unwrap() {
        let path = entry.unwrap().path();
        let mut offsets: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let planned = offsets["timestampUs"].as_i64().unwrap();
        offsets["timestampUs"] = Value::from(planned - days * 24 * 3600 * 1_000_000);
        fs::write(&path, offsets.to_string()).unwrap();
    }
}

fn said(project: &Project, text: &str) -> bool {
    project.last_update().iter().any(|event| event.message.contains(text))
}

#[test]
fn files_move_when_their_rows_are_committed_and_are_never_read_again() {
    let project = Project::new(&[("t.sql", &stream("t", MOVE))]);
    land(&project, "a.json", 1);
    land(&project, "k=1/b c.json", 2);
    project.run(&[]);
    assert_eq!(files(&project, "landing"), Vec::<String>::new());
    assert_eq!(files(&project, "archive"), [r#"a.json {"id":1}"#, r#"k=1/b c.json {"id":2}"#]);
    assert!(said(&project, "2 files of file://") && said(&project, "moved to archive (cleanSource)"));
    // The same name again is the same file, even if it comes back; another name is another one.
    land(&project, "a.json", 3);
    land(&project, "d.json", 4);
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["1", "2", "4"]);
    assert_eq!(files(&project, "landing"), [r#"a.json {"id":3}"#], "what was not read stays");
    assert_eq!(files(&project, "archive"), [r#"a.json {"id":1}"#, r#"d.json {"id":4}"#, r#"k=1/b c.json {"id":2}"#]);
}

#[test]
fn a_file_of_the_same_name_never_replaces_one_in_the_archive() {
    let project = Project::new(&[("t.sql", &stream("t", &format!("{MOVE}, allowOverwrites => true")))]);
    for id in [1, 2, 3] {
        land(&project, "a.b.json", id);
        project.run(&[]);
    }
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["1", "2", "3"]);
    let archived = files(&project, "archive");
    let ids: Vec<_> = archived.iter().map(|file| file.split_once(' ').unwrap().1).collect();
    assert!(archived[0].starts_with("a-") && archived[2].starts_with("a.b.json"), "{archived:?}");
    assert_eq!(ids.len(), 3);
    for id in [1, 2, 3] {
        assert!(ids.contains(&format!(r#"{{"id":{id}}}"#).as_str()), "{ids:?}");
    }
}

#[test]
fn files_are_deleted_after_the_retention_and_not_before() {
    let project = Project::new(&[("t.sql", &stream("t", "cleanSource => 'DELETE', cleanSource.retentionDuration => '10 days'"))]);
    land(&project, "a.json", 1);
    project.run(&[]);
    land(&project, "b.json", 2);
    project.run(&[]);
    assert_eq!(files(&project, "landing").len(), 2);
    age(&project, "t", 9);
    project.run(&[]);
    assert_eq!(files(&project, "landing").len(), 2);
    age(&project, "t", 2);
    // Changed since it was read: nobody has read these rows.
    land(&project, "b.json", 22);
    project.run(&[]);
    assert_eq!(files(&project, "landing"), [r#"b.json {"id":22}"#]);
    assert!(said(&project, "1 file of file://") && said(&project, "deleted (cleanSource)"));
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["1", "2"]);
}

#[test]
fn files_that_were_there_before_the_stream_are_never_cleaned_up() {
    let project = Project::new(&[("t.sql", &stream("t", &format!("{MOVE}, includeExistingFiles => false")))]);
    land(&project, "old.json", 1);
    project.run(&[]);
    for id in 2..30 {
        land(&project, &format!("{id}.json"), id);
        project.run(&[]);
    }
    assert_eq!(files(&project, "landing"), [r#"old.json {"id":1}"#], "also when its batch is in a segment of the ledger");
    assert_eq!(files(&project, "archive").len(), 28);
}

#[test]
fn files_stay_while_another_flow_needs_them() {
    let sql = stream("t", MOVE) + &stream("slow", "maxFilesPerTrigger => 1");
    let project = Project::new(&[("t.sql", &sql)]);
    land(&project, "a.json", 1);
    project.run(&["--refresh", "t"]);
    assert_eq!(files(&project, "landing").len(), 1, "slow has not read it");
    assert!(said(&project, "1 file stay for main.s.slow"), "{:?}", project.last_update());
    project.run(&["--refresh", "slow"]);
    project.run(&["--refresh", "t"]);
    assert_eq!((files(&project, "landing").len(), files(&project, "archive").len()), (0, 1));
    assert_eq!(project.rows("slow", "SELECT id FROM t"), ["1"]);
    // A batch read needs its files at every update.
    let view = "CREATE OR REFRESH MATERIALIZED VIEW v AS SELECT id FROM read_files('landing/*.json', schema => 'id BIGINT');";
    project.write("transformations/v.sql", &view.replace("schema", "format => 'json', schema"));
    land(&project, "b.json", 2);
    project.run(&[]);
    project.run(&[]);
    assert_eq!(files(&project, "landing").len(), 1);
    assert_eq!(project.rows("v", "SELECT id FROM t"), ["2"]);
}

#[test]
fn p54_killed_while_files_are_moved_or_deleted() {
    let delete = "cleanSource => 'DELETE', cleanSource.retentionDuration => '8 days'";
    let mut killed = 0;
    for (options, step) in
        [MOVE, delete].iter().flat_map(|options| ["clean::before", "clean::after", "commit_entry::before"].map(|step| (*options, step)))
    {
        for hit in [1, 2, 3] {
            let project = Project::new(&[("t.sql", &stream("t", &format!("{options}, maxFilesPerTrigger => 1")))]);
            for id in 1..=3 {
                land(&project, &format!("{id}.json"), id);
            }
            if options == delete {
                project.run(&[]);
                age(&project, "t", 9);
            }
            let ended = project.floe("run", &[]).env("FLOE_FAILPOINTS", format!("{step}={hit}")).output().unwrap();
            let place = format!("{step}={hit} {options}");
            if ended.status.signal() == Some(SIGKILL) {
                killed += 1;
                assert_eq!(
                    files(&project, "landing").len() + files(&project, "archive").len() + usize::from(options == delete) * gone(&project),
                    3,
                    "{place}"
                );
                project.run(&[]);
            }
            assert_eq!(project.rows("t", "SELECT id FROM t"), ["1", "2", "3"], "{place}");
            assert_eq!(files(&project, "landing"), Vec::<String>::new(), "{place}");
            let archived = [r#"1.json {"id":1}"#, r#"2.json {"id":2}"#, r#"3.json {"id":3}"#];
            assert_eq!(files(&project, "archive"), if options == delete { &[][..] } else { &archived[..] }, "{place}");
        }
    }
    assert!(killed >= 14, "only {killed} of the runs came to their place");
}

/// Files that a run has deleted, whose rows are in the table.
fn gone(project: &Project) -> usize {
    3 - files(project, "landing").len()
}

#[test]
fn what_would_lose_files_is_refused() {
    for (options, says) in [
        ("cleanSource => 'DELETE', cleanSource.retentionDuration => '1 day'", "more than 7 days"),
        ("cleanSource => 'MOVE'", "needs a destination"),
        ("cleanSource => 'MOVE', cleanSource.moveDestination => 'landing/done'", "in the directory that is read"),
        ("cleanSource => 'DELETE', ignoreCorruptFiles => true", "could not be read"),
    ] {
        let project = Project::new(&[("t.sql", &stream("t", options))]);
        let refused = project.refused("validate", &["--offline"], 10, "INVALID_READ_OPTION");
        assert!(refused.stderr.contains(says) && refused.stderr.contains("t.sql:1:"), "{}", refused.stderr);
    }
    let project = Project::new(&[("t.sql", &stream("t", "cleanSource => 'MOVE', cleanSource.moveDestination => 's3://else/done'"))]);
    land(&project, "a.json", 1);
    project.refused("run", &[], 10, "is in another store than the files");
    assert_eq!(files(&project, "landing").len(), 1);
}

#[test]
fn p54_killed_between_copy_and_deletion_in_an_object_store() {
    let sql =
        "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('s3://landing/in', format => 'json', schema => 'id BIGINT',
        cleanSource => 'MOVE', cleanSource.moveDestination => 's3://landing/archive', cleanSource.retentionDuration => '0 seconds');";
    let mut killed = 0;
    for place in ["clean::copied=1", "clean::copied=2", "clean::after=1"] {
        let (server, project) = (Server::start(), Project::new(&[("t.sql", sql)]));
        for id in 1..=3 {
            server.put(&format!("in/k=1/{id}.json"), format!("{{\"id\":{id}}}\n"));
        }
        let ended = server.floe(&project, "run", &[]).env("FLOE_FAILPOINTS", place).output().unwrap();
        if ended.status.signal() == Some(SIGKILL) {
            killed += 1;
            assert!(server.landed().len() >= 3, "{place}: {:?}", server.landed());
            server.run(&project, &[]);
        }
        assert_eq!(server.sql(&project, "SELECT id FROM t ORDER BY id"), r#"[{"id":1},{"id":2},{"id":3}]"#, "{place}");
        let names = ["archive/k=1/1.json", "archive/k=1/2.json", "archive/k=1/3.json"];
        assert_eq!(server.landed(), names, "{place}: once in the archive, and nowhere else");
    }
    assert_eq!(killed, 3);
}

#[test]
fn files_stay_for_views_that_others_read() {
    let sql = stream("t", MOVE) + "CREATE VIEW v AS SELECT id FROM read_files('landing', format => 'json', schema => 'id BIGINT');";
    let project = Project::new(&[("t.sql", &sql)]);
    land(&project, "a.json", 1);
    project.run(&[]);
    assert_eq!(files(&project, "landing").len(), 1, "a view is a query whose time is not known");
    assert!(said(&project, "1 file stay for main.s.v"), "{:?}", project.last_update());
    assert_eq!(project.sql("SELECT id FROM v").to_string(), r#"[{"id":1}]"#);
}

#[test]
fn one_file_that_would_not_go_stops_no_other() {
    let project = Project::new(&[("t.sql", &stream("t", MOVE))]);
    // What belongs below `stuck` cannot be moved: a file has that name in the archive.
    project.write("archive/stuck", "in the way");
    land(&project, "stuck/a.json", 1);
    land(&project, "b.json", 2);
    land(&project, "c/d.json", 3);
    project.run(&[]);
    assert_eq!(files(&project, "landing"), [r#"stuck/a.json {"id":1}"#]);
    assert!(said(&project, "1 file of file://") && said(&project, "could not be moved"), "{:?}", project.last_update());
    assert!(said(&project, "2 files of file://"));
    fs::remove_file(project.path().join("archive/stuck")).unwrap();
    project.run(&[]);
    assert_eq!(files(&project, "landing"), Vec::<String>::new());
}

#[test]
fn an_archive_that_another_stream_reads_is_refused_and_never_filled() {
    let reads = |path: &str| {
        let reader = stream("u", "pathGlobFilter => '*.json'").replace("'landing'", &format!("'{path}'"));
        Project::new(&[("t.sql", &(stream("t", MOVE) + &reader))])
    };
    let project = reads(".");
    let refused = project.refused("validate", &["--offline"], 10, "INVALID_READ_OPTION");
    assert!(
        refused.stderr.contains("which is in a directory that main.s.u reads as a stream (at transformations/t.sql:"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("--> transformations/t.sql:1:"), "at the option: {}", refused.stderr);
    // A place that only storage knows to be above both: nothing is moved to where it would be read again.
    let project = reads("landing");
    let above = project.path().to_string_lossy().into_owned();
    let sql = stream("t", MOVE) + &stream("u", "pathGlobFilter => '*.json'").replace("'landing'", &format!("'{above}'"));
    project.write("transformations/t.sql", &sql);
    land(&project, "a.json", 1);
    project.run(&[]);
    project.run(&[]);
    assert_eq!((files(&project, "landing").len(), files(&project, "archive").len()), (1, 0));
    assert!(said(&project, "stay for main.s.u"), "{:?}", project.last_update());
    assert_eq!(project.rows("u", "SELECT id FROM t"), ["1"]);
}

#[test]
fn an_idle_stream_moves_files_when_their_time_has_come() {
    let options = MOVE.replace("0 seconds", "2 seconds");
    let project = crate::continuous::project(&stream("t", &options), "mode: Continuous, ");
    land(&project, "a.json", 1);
    let mut live = Live::start(&project, &[], "");
    live.until("the row", |project| project.version("t").is_some() && project.rows("t", "SELECT id FROM t") == ["1"]);
    // Nothing new comes any more.
    live.until("the file in the archive", |project| files(project, "archive") == [r#"a.json {"id":1}"#]);
    assert_eq!(live.stop("TERM").code, Some(143));
    assert_eq!(files(&project, "landing"), Vec::<String>::new());
}

/// A directory on another file system than the project, gone when the test is.
struct Elsewhere(PathBuf);

impl Elsewhere {
    fn new(project: &Project) -> Self {
        let directory = Path::new("/dev/shm").join(format!("floe-archive-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let device = |path: &Path| fs::metadata(path).unwrap().dev();
        assert_ne!(device(&directory), device(project.path()), "the test needs two file systems");
        Self(directory)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn p54_killed_while_files_move_to_another_file_system() {
    for step in ["", "clean::copied=1", "clean::copied=3", "clean::after=2"] {
        let project = Project::new(&[]);
        let elsewhere = Elsewhere::new(&project);
        let archive = elsewhere.0.join(if step.is_empty() { "plain" } else { step });
        let options = MOVE.replace("'archive'", &format!("'{}'", archive.display()));
        project.write("transformations/t.sql", &stream("t", &options));
        for id in 1..=3 {
            land(&project, &format!("k=1/{id}.json"), id);
        }
        let ended = project.floe("run", &[]).env("FLOE_FAILPOINTS", step).output().unwrap();
        assert_eq!(ended.status.signal(), (!step.is_empty()).then_some(SIGKILL), "{step}");
        if !step.is_empty() {
            project.run(&[]);
        }
        assert_eq!(project.rows("t", "SELECT id FROM t"), ["1", "2", "3"], "{step}");
        assert_eq!(files(&project, "landing"), Vec::<String>::new(), "{step}");
        let mut archived: Vec<_> = fs::read_dir(archive.join("k=1")).unwrap().map(|file| file.unwrap().path()).collect();
        archived.sort();
        let contents: Vec<_> = archived.iter().map(|file| fs::read_to_string(file).unwrap().trim().to_string()).collect();
        assert_eq!(contents, [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#], "{step}: once, and whole");
        assert!(archived.iter().all(|file| file.extension().is_some_and(|suffix| suffix == "json")), "{archived:?}");
    }
}

#[test]
fn a_full_refresh_says_before_it_starts_where_the_files_are_and_a_flow_reads_them_again() {
    let project = Project::new(&[("t.sql", &stream("t", MOVE))]);
    land(&project, "a.json", 1);
    project.run(&[]);
    assert_eq!(files(&project, "archive"), [r#"a.json {"id":1}"#]);
    land(&project, "b.json", 2);
    let says = "t begins anew and reads only what is left in landing: cleanSource may have moved files that were read to archive";
    let planned = project.call("run", &["--dry-run", "--full-refresh", "t"]);
    let all = format!("{}{}", planned.stdout, planned.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(planned.code == Some(0) && all.contains(says), "{all}");
    assert_eq!(project.rows("t", "SELECT id FROM t"), ["1"]);
    let flow =
        "CREATE FLOW again AS INSERT INTO ONCE t BY NAME SELECT id FROM read_files('archive', format => 'json', schema => 'id BIGINT');";
    project.write("transformations/again.sql", flow);
    project.run(&["--full-refresh", "t"]);
    let events = project.last_update();
    let told = events.iter().position(|event| event.message.contains(says)).unwrap();
    let reset = events.iter().position(|event| event.kind == "reset_progress").unwrap();
    assert!(told < reset, "{told} {reset}");
    assert_eq!(project.rows("t", "SELECT id FROM t ORDER BY id"), ["1", "2"]);
    project.run(&[]);
    assert!(!said(&project, says), "nothing begins anew");
}
