//! What stands where the tables should stand: a full disk, other people's tables, other files, another schema.

use std::{fs, process::Command};

use deltalake::{DeltaTable, kernel::PrimitiveType};
use url::Url;

use super::{BRONZE, changes_nothing, project, row, says, tables};
use crate::harness::{Ended, Project};

/// `floe run` that can write no file larger than `blocks` × 512 bytes, as on a disk that is full.
fn run_with_little_space(project: &Project, blocks: u32) -> Ended {
    let floe = project.floe("run", &[]);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")).arg(floe.get_program()).args(floe.get_args());
    shell.output().unwrap().into()
}

fn land_much(project: &Project) {
    project.land("2.json", (100..40_000_u32).map(|id| row(id.wrapping_mul(2_654_435) % 1_000_000_007)));
}

#[test]
fn a_full_disk_is_a_failure_of_storage_and_the_next_run_goes_on() {
    let project = project(&[("1.sql", BRONZE)]);
    project.run(&[]);
    land_much(&project);
    let version = project.version("bronze");
    let ended = run_with_little_space(&project, 120);
    let words = ["error[NO_SPACE_LEFT]: cannot write", "s/bronze/", "flow: bronze", "nothing that was committed is lost"];
    says(&ended, 12, &words);
    assert_eq!(project.version("bronze"), version);
    assert_eq!(project.rows("bronze", "SELECT count(*) FROM t"), ["3"]);
    project.run(&[]);
    assert_eq!(project.rows("bronze", "SELECT count(*) FROM t"), ["39903"], "every row once");
}

#[test]
fn a_disk_that_is_full_from_the_start_says_so_once_per_failure() {
    let project = project(&[("1.sql", BRONZE)]);
    let ended = run_with_little_space(&project, 1);
    says(&ended, 12, &["error[NO_SPACE_LEFT]"]);
    assert!(ended.stderr.matches("the event log cannot be written").count() <= 1, "{}", ended.stderr);
    project.run(&[]);
    assert_eq!(project.rows("bronze", "SELECT count(*) FROM t"), ["3"]);
}

/// On a file system of 256 KiB, where the machine lets us make one.
#[test]
fn a_full_file_system_is_a_failure_of_storage() {
    let project = project(&[("1.sql", BRONZE)]);
    land_much(&project);
    fs::create_dir(project.path().join("small")).unwrap();
    let floe = project.floe("run", &[]);
    let script =
        "mount -t tmpfs -o size=256k none \"$0\" || exit 99; \"$@\" --storage \"$0\"; code=$?; ls \"$0/s/bronze/_delta_log\"; exit $code";
    let mut shell = Command::new("unshare");
    shell.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(project.path().join("small"));
    let Ok(output) = shell.arg(floe.get_program()).args(floe.get_args()).output() else { return };
    let ended: Ended = output.into();
    if !ended.stdout.contains("bronze") {
        return; // No user namespaces here.
    }
    says(&ended, 12, &["error[NO_SPACE_LEFT]", "no space left on the device", "free or add space and run again"]);
    assert!(!ended.stdout.contains("00000000000000000001.json"), "nothing was committed: {}", ended.stdout);
}

async fn foreign_table(place: &std::path::Path) {
    fs::create_dir_all(place).unwrap();
    let table = DeltaTable::try_from_url(Url::from_directory_path(place).unwrap()).await.unwrap();
    let long = deltalake::kernel::DataType::Primitive(PrimitiveType::Long);
    table.create().with_column("id", long, true, None).await.unwrap();
}

#[test]
fn a_foreign_delta_table_under_our_name_is_left_as_it_is() {
    let project = project(&[("1.sql", BRONZE)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(foreign_table(&project.table("bronze")));
    let words = [
        "error[TABLE_ALREADY_MANAGED_BY_OTHER_PIPELINE]: the table that is stored as main.s.bronze was not written by Floe",
        "--> transformations/1.sql:1:35",
        "give the dataset another name or the pipeline another storage; nothing was changed",
    ];
    changes_nothing(&project, &[], 10, &words);
    changes_nothing(&project, &["--full-refresh", "bronze"], 10, &words[..2]);
}

#[test]
fn the_table_of_another_pipeline_is_left_as_it_is() {
    let first = project(&[("1.sql", BRONZE)]);
    first.run(&[]);
    let second = project(&[("1.sql", BRONZE)]);
    let copied = Command::new("sh")
        .arg("-c")
        .arg("mkdir -p \"$1/lake\" && cp -r \"$0/lake/s\" \"$1/lake/s\"")
        .args([first.path(), second.path()])
        .status()
        .unwrap();
    assert!(copied.success());
    changes_nothing(
        &second,
        &[],
        10,
        &["TABLE_ALREADY_MANAGED_BY_OTHER_PIPELINE", "the table that is stored as main.s.bronze belongs to pipeline", "1.sql:1:35"],
    );
}

#[test]
fn files_that_are_no_table_are_left_as_they_are() {
    let project = project(&[("1.sql", BRONZE)]);
    project.write("lake/s/bronze/notes.txt", "mine");
    let place = format!("{} holds files but is not a Delta table of this pipeline", project.table("bronze").display());
    let words = ["error[TABLE_ALREADY_MANAGED_BY_OTHER_PIPELINE]", &place, "--> transformations/1.sql:1:35", "move the files away"];
    changes_nothing(&project, &[], 10, &words);
    assert_eq!(tables(&project).len(), 1);
}

#[test]
fn p84_type_change_needs_full_refresh() {
    let project = project(&[("1.sql", BRONZE)]);
    project.run(&[]);
    project.write("transformations/1.sql", &BRONZE.replace("n INT", "n STRING"));
    let words = [
        "error[SCHEMA_CHANGE_REQUIRES_FULL_REFRESH]: bronze does not fit any more: column n is stored as INT and would become STRING",
        "--> transformations/1.sql:1:35",
        "run with --full-refresh bronze",
    ];
    changes_nothing(&project, &[], 10, &words);
    says(&project.call("validate", &[]), 10, &words);
    project.run(&["--full-refresh", "bronze"]);
    assert_eq!(project.rows("bronze", "SELECT concat(n, '!') FROM t"), ["2!", "4!", "6!"]);
}
