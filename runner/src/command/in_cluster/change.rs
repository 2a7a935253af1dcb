//! `floe job cancel`, `repair`, `suspend` and `resume`.

use floe_crds::{
    job::Job,
    job_run::{JobRun, Repair},
};
use kube::ResourceExt;

use super::{
    super::Outcome,
    document, names, print,
    show::found,
    wait::{Awaited, wait},
};
use crate::{
    args::job::{CancelRun, ClusterArguments, RepairRun},
    cluster::{
        Cluster,
        change::{self, PlannedRepair, Stop},
    },
    failure::Failure,
    output::Terminal,
};

/// So often a repair is sent again because only the status of the run moved.
const TRIES: usize = 5;

pub(super) async fn cancel(command: &CancelRun, terminal: &Terminal) -> Outcome {
    let cluster = Cluster::connect(&command.cluster).await?;
    let run = found(&cluster, &command.run).await?;
    let (name, form) = (run.name_any(), command.cluster.output);
    let (run, text) = match change::cancel(&run, command.immediate) {
        Stop::Ended(result) => (run, format!("run {name} has ended already: {result}")),
        Stop::Stops => (run, format!("run {name} is being stopped already")),
        Stop::Patch(patch) => {
            let text = if command.immediate { "is stopped at once" } else { "is stopped; clean-up tasks still run" };
            let changed = cluster.patch::<JobRun>(&name, &patch).await?;
            (changed.unwrap_or(run), format!("run {name} {text}"))
        }
    };
    if command.waiting.wait {
        terminal.note(&text);
        return wait(Awaited { cluster: &cluster, terminal, form, run, repair: 0 }).await;
    }
    print(terminal, form, &document(&run), &text)?;
    Ok(0)
}

pub(super) async fn repair(command: &RepairRun, terminal: &Terminal) -> Outcome {
    let cluster = Cluster::connect(&command.cluster).await?;
    let run = found(&cluster, &command.run).await?;
    let job: Job = cluster.get(&run.spec.job_ref.name).await?;
    let tasks = names(&command.tasks);
    let parameters = command.parameters.iter().cloned().collect();
    let wanted = Repair { id: 0, all_failed: tasks.is_empty(), tasks, dependents: command.dependents, parameters };
    let (planned, run) = sent(&cluster, run, &job, &wanted).await?;
    let name = run.name_any();
    let tasks = if planned.tasks.is_empty() { "what failed".to_string() } else { planned.tasks.join(", ") };
    let text = format!("repair {} of run {name}: {tasks}", planned.id);
    if command.waiting.wait {
        terminal.note(&text);
        return wait(Awaited { cluster: &cluster, terminal, form: command.cluster.output, run, repair: planned.id }).await;
    }
    print(terminal, command.cluster.output, &document(&run), &text)?;
    Ok(0)
}

/// Sends the repair. What was read may have changed meanwhile: if only the status did, it is sent again as it was; another repair is not passed over.
async fn sent(cluster: &Cluster, run: JobRun, job: &Job, wanted: &Repair) -> Result<(PlannedRepair, JobRun), Failure> {
    let name = run.name_any();
    let mut seen = run.clone();
    for _ in 0..TRIES {
        let planned = change::repair(&seen, job, wanted)?;
        if let Some(changed) = cluster.patch::<JobRun>(&name, &planned.patch).await? {
            return Ok((planned, changed));
        }
        seen = cluster.get(&name).await?;
        if seen.spec.repair != run.spec.repair {
            return Err(change::somebody_was_faster(&seen));
        }
    }
    Err(Failure::transient("REPAIR_CONFLICT", format!("run {name} changes all the time; nothing was asked for")).help("try again"))
}

pub(super) async fn suspend(name: &str, suspended: bool, given: &ClusterArguments, terminal: &Terminal) -> Outcome {
    let cluster = Cluster::connect(given).await?;
    let job: Job = cluster.get(name).await?;
    let (is, effect) = if suspended {
        ("is suspended", "no trigger fires; runs that have begun or wait go on")
    } else {
        ("is not suspended", "its triggers fire from now on")
    };
    let (job, text) = match change::suspend(&job, suspended) {
        None => (job, format!("job {name} {is} already")),
        Some(patch) => {
            let changed = cluster.patch::<Job>(name, &patch).await?;
            (changed.unwrap_or(job), format!("job {name} {is}: {effect}"))
        }
    };
    print(terminal, given.output, &document(&job), &text)?;
    Ok(0)
}
