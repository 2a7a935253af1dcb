//! The operator may be killed after any of its writes for a run with retry, loop, other run and repair: it ends the same, and nothing runs twice.

use crate::{kills::after_every_write, plot::JOB, story::Ends};

/// Names of the objects of a kind that are left after the first chapter.
fn of(kind: &str, ends: &Ends) -> Vec<String> {
    let names = ends.names(0).into_iter().filter_map(|name| name.split_once('/'));
    names.filter(|(found, _)| *found == kind).map(|(_, name)| name.to_string()).collect()
}

/// What is left of Jobs and runs is what a person expects.
#[tokio::test]
async fn undisturbed_end_of_jobs() -> anyhow::Result<()> {
    let ends = JOB.undisturbed().await?;
    let (config_maps, jobs, runs) = (of("ConfigMap", ends), of("Job", ends), of("JobRun", ends));
    let attempts = ["r-a-1", "r-a-2", "r-c-i0-1", "r-c-i1-1", "r-d-1-only-1", "r-e-1", "r-e-2", "r-f-1"];
    assert_eq!(jobs, attempts, "each attempt once, and again only what failed");
    assert_eq!(runs, ["r", "r-d-1"]);
    let snapshots: Vec<_> = config_maps.into_iter().filter(|name| !name.ends_with("-request")).collect();
    assert_eq!(snapshots, ["r-d-1-spec-0", "r-spec-0", "r-spec-1"]);
    assert_eq!(of("ServiceAccount", ends), ["floe-job-other", "floe-job-work"]);
    assert_eq!(ends.names(1), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn j50_kill_operator_everywhere() -> anyhow::Result<()> {
    after_every_write(&JOB, "j50", 30).await
}
