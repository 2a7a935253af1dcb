//! Broken files and sources: what can be read is read and counted, what cannot stops its batch and names the file.

use std::{fs, io::Write, os::unix::fs::PermissionsExt, process::Command};

use flate2::{Compression, write::GzEncoder};

use super::{BRONZE, changes_nothing, project, row, says};
use crate::harness::{Ended, Project};

const HALF: &str = "{\"id\":4,\"n\":8}\n{\"id\":5,\"n\"";

fn corrupt_records(project: &Project) -> u64 {
    let all = project.events("SELECT details FROM t WHERE event_type = 'flow_progress'");
    let of = |details: &String| {
        let details: serde_json::Value = serde_json::from_str(details).unwrap();
        details["flow_progress"]["metrics"]["num_corrupt_records"].as_u64().unwrap_or(0)
    };
    all.iter().map(of).sum()
}

#[test]
fn p65_half_a_record_is_a_counted_row_under_permissive() {
    let project = project(&[("1.sql", BRONZE)]);
    project.write("landing/2.json", HALF);
    project.run(&[]);
    assert_eq!(project.rows("bronze", "SELECT id, n FROM t"), ["1|2", "2|4", "3|6", "4|8", "NULL|NULL"]);
    assert_eq!(corrupt_records(&project), 1);
}

#[test]
fn p65_half_a_record_is_left_out_and_counted_under_dropmalformed() {
    let project = project(&[("1.sql", &BRONZE.replace("n INT')", "n INT', mode => 'DROPMALFORMED')"))]);
    project.write("landing/2.json", HALF);
    project.run(&[]);
    assert_eq!(project.rows("bronze", "SELECT id, n FROM t"), ["1|2", "2|4", "3|6", "4|8"]);
    assert_eq!(corrupt_records(&project), 1);
}

#[test]
fn p65_half_a_record_fails_the_flow_under_failfast() {
    let project = project(&[("1.sql", &BRONZE.replace("n INT')", "n INT', mode => 'FAILFAST')"))]);
    project.run(&[]);
    project.write("landing/2.json", HALF);
    let file = project.path().join("landing/2.json: malformed JSON record in line 2");
    let words = [
        "error[MALFORMED_RECORD_IN_PARSING]",
        file.to_str().unwrap(),
        "--> transformations/1.sql:1:",
        "flow: bronze",
        "mode => 'PERMISSIVE'",
    ];
    let ended = changes_nothing(&project, &[], 10, &words);
    assert!(!ended.stderr.contains("file://"), "a local file is shown as a path: {}", ended.stderr);
    project.write("landing/2.json", "{\"id\":4,\"n\":8}\n");
    project.run(&[]);
    assert_eq!(project.rows("bronze", "SELECT count(*) FROM t"), ["4"], "the repaired file is read once");
}

fn land_truncated_gz(project: &Project) {
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    for id in 100..2000_u32 {
        writeln!(gz, "{}", row(id.wrapping_mul(2_654_435_761))).unwrap();
    }
    let bytes = gz.finish().unwrap();
    fs::write(project.path().join("landing/2.json.gz"), &bytes[..bytes.len() / 2]).unwrap();
    project.land("3.json", (4..=5).map(row));
}

#[test]
fn p64_corrupt_file_stops_batch() {
    let project = Project::new(&[("1.sql", BRONZE)]);
    project.land("0.json", [row(0)]);
    project.run(&[]);
    project.land("1.json", (1..=3).map(row));
    land_truncated_gz(&project);
    let file = project.path().join("landing/2.json.gz cannot be read");
    let words = ["error[FAILED_READ_FILE.NO_HINT]", file.to_str().unwrap(), "flow: bronze", "put the whole file in its place"];
    let before = project.version("bronze");
    says(&project.call("run", &[]), 10, &words);
    assert_eq!(project.version("bronze"), before);
    assert_eq!(project.rows("bronze", "SELECT id FROM t"), ["0"], "no row of the batch is there");
}

#[test]
fn p64_corrupt_file_is_skipped_and_counted_when_told_so() {
    let project = project(&[("1.sql", &BRONZE.replace("n INT')", "n INT', ignoreCorruptFiles => true)"))]);
    land_truncated_gz(&project);
    project.run(&[]);
    assert_eq!(project.rows("bronze", "SELECT id FROM t"), ["1", "2", "3", "4", "5"]);
    let counted = project.events("SELECT details FROM t WHERE event_type = 'flow_progress' AND details LIKE '%\"num_corrupt_files\":1%'");
    assert!(!counted.is_empty());
}

#[test]
fn a_missing_source_path_names_it_and_says_what_to_do() {
    let project = project(&[("1.sql", BRONZE)]);
    project.run(&[]);
    fs::rename(project.path().join("landing"), project.path().join("elsewhere")).unwrap();
    let path = project.path().join("landing does not exist");
    let words =
        ["error[PATH_NOT_FOUND]", path.to_str().unwrap(), "--> transformations/1.sql:1:", "create the directory or correct the path"];
    changes_nothing(&project, &[], 10, &words);
    fs::rename(project.path().join("elsewhere"), project.path().join("landing")).unwrap();
    assert!(project.run(&[]).stdout.contains("nothing new"));
}

/// The root user reads everything: then the process runs in a user namespace, where it has no such right. `None` if there are none.
fn run_without_rights(project: &Project) -> Option<Ended> {
    let floe = project.floe("run", &[]);
    if fs::read_dir(project.path().join("landing")).is_err() {
        return Some(project.call("run", &[]));
    }
    let mut unshare = Command::new("unshare");
    let ended: Ended = unshare.arg("--user").arg(floe.get_program()).args(floe.get_args()).output().ok()?.into();
    (!ended.stderr.starts_with("unshare")).then_some(ended)
}

#[test]
fn an_unreadable_source_is_a_failure_of_storage() {
    let mode = |path: &std::path::Path, bits| fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
    let project = project(&[("1.sql", BRONZE)]);
    project.run(&[]);
    let landing = project.path().join("landing");
    mode(&landing, 0o000);
    let before = super::tables(&project);
    let ended = run_without_rights(&project);
    mode(&landing, 0o755);
    let Some(ended) = ended else { return };
    let place = format!("cannot list {}", landing.display());
    says(&ended, 12, &["error[STORAGE_ACCESS_DENIED]", &place, "flow: bronze", "the right to read"]);
    assert!(super::tables(&project) == before);
}
