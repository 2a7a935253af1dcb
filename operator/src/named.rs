//! Names of other objects in the definition of a Job. Pure.

use std::collections::BTreeSet;

use floe_crds::job::{JobSpec, Task, TriggerKind, Work};

/// What the tasks of `spec` do, those of loops too.
fn work(spec: &JobSpec) -> impl Iterator<Item = &Work> {
    spec.tasks.iter().flat_map(|task: &Task| {
        let nested = task.for_each.as_ref().map(|all| &all.task.work);
        std::iter::once(&task.work).chain(nested)
    })
}

/// Jobs whose ends start runs.
pub fn completions(spec: &JobSpec) -> Vec<String> {
    let jobs = spec.triggers.iter().filter_map(|trigger| trigger.job_completion.as_ref()).flat_map(|completion| &completion.jobs);
    jobs.map(|job| job.name.clone()).collect()
}

/// Jobs that tasks run.
pub fn called(spec: &JobSpec) -> BTreeSet<String> {
    work(spec).filter_map(|work| work.run_job.as_ref()).map(|task| task.name.clone()).collect()
}

/// All Jobs.
pub fn jobs(spec: &JobSpec) -> BTreeSet<String> {
    called(spec).into_iter().chain(completions(spec)).collect()
}

/// Pipelines that tasks update or query.
pub fn pipelines(spec: &JobSpec) -> BTreeSet<String> {
    let named = |work: &Work| {
        let of_sql = work.sql.as_ref().and_then(|sql| sql.pipeline.clone());
        work.pipeline.as_ref().map(|task| task.name.clone()).or(of_sql)
    };
    work(spec).filter_map(named).collect()
}

/// Tables whose new versions start runs.
pub fn tables(spec: &JobSpec) -> BTreeSet<String> {
    let updates = spec.triggers.iter().filter_map(|trigger| match trigger.kind() {
        Some(TriggerKind::TableUpdate(update)) => Some(&update.tables),
        _ => None,
    });
    updates.flatten().map(|table| table.name.clone()).collect()
}
