//! What a repair does again.

use std::collections::BTreeSet;

use crate::{
    job::{JobSpec, Task},
    job_run::{JobRunStatus, Repair, TaskStatus},
    run::graph::Graph,
    state::{TaskResultState, TaskState, TerminationCode},
};

/// The run before a repair.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// What became of it.
    pub status: &'a JobRunStatus,
    /// The spec that it carried out.
    pub spec: Option<&'a JobSpec>,
    /// The tasks that it was for; empty = all.
    pub only: &'a [String],
}

/// The tasks that `wanted` begins anew, in the order of the spec; or why it cannot be done.
pub fn chosen(before: &Before<'_>, spec: &JobSpec, wanted: &Repair) -> Result<Vec<String>, String> {
    let status = before.status;
    let takes_part = |name: &String| before.only.is_empty() || before.only.contains(name);
    if let Some(gone) = wanted.tasks.iter().find(|name| spec.task(name).is_none()) {
        let was = status.tasks.iter().any(|task| task.name == *gone);
        let why = if was { "is not in the job any more" } else { "does not exist" };
        return Err(format!("task {gone} {why}"));
    }
    if let Some(other) = wanted.tasks.iter().find(|name| !takes_part(name)) {
        return Err(format!("the run is not for task {other}, but only for {}", before.only.join(", ")));
    }
    let mut chosen: BTreeSet<String> = wanted.tasks.iter().cloned().collect();
    if wanted.all_failed {
        let bad = |task: &&TaskStatus| task.result_state.is_some_and(|result| result.is_failed() || result.is_canceled());
        chosen.extend(status.tasks.iter().filter(bad).map(|task| task.name.clone()).filter(|name| spec.task(name).is_some()));
    }
    if chosen.is_empty() {
        return Err("nothing has failed: name the tasks that shall run again".to_string());
    }
    let graph = Graph::of(spec);
    let below = graph.descendants(&chosen);
    let was_off = |task: &TaskStatus| before.spec.and_then(|spec| spec.task(&task.name)).is_some_and(|task| task.disabled);
    let depends = |task: &TaskStatus| comes_of_others(task) && !was_off(task);
    let again =
        |name: &&String| takes_part(name) && (wanted.dependents || status.tasks.iter().any(|task| task.name == **name && depends(task)));
    chosen.extend(below.iter().filter(again).cloned());
    Ok(spec.tasks.iter().map(|task| task.name.clone()).filter(|name| chosen.contains(name)).collect())
}

/// True for results that came of others: with new results before them they may be different.
fn comes_of_others(task: &TaskStatus) -> bool {
    match task.result_state {
        Some(TaskResultState::UpstreamFailed | TaskResultState::UpstreamCanceled | TaskResultState::Excluded) => true,
        Some(TaskResultState::Disabled) => task.termination_code == Some(TerminationCode::Disabled),
        _ => false,
    }
}

/// Puts the tasks of the newest repair back to their beginning, and takes up tasks that the spec did not have before.
pub fn reset(status: &mut JobRunStatus, spec: &JobSpec, fresh: impl Fn(&Task) -> TaskStatus) {
    let Some(repair) = status.execution_mut() else { return };
    let (id, chosen): (i32, BTreeSet<String>) = (repair.id, repair.tasks.iter().cloned().collect());
    for task in &spec.tasks {
        match status.tasks.iter_mut().find(|known| known.name == task.name) {
            Some(known) if chosen.contains(&task.name) => {
                let for_each = known.for_each.take().filter(|_| task.for_each.is_some());
                let first = known.execution_count;
                *known = TaskStatus { execution_count: first, repair_id: id, for_each, ..fresh(task) };
            }
            Some(_) => {}
            None => status.tasks.push(TaskStatus { repair_id: id, ..fresh(task) }),
        }
    }
    debug_assert!(status.tasks.iter().all(|task| !chosen.contains(&task.name) || task.state == TaskState::Blocked));
}
