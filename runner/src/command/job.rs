//! `floe run --job`: a run of a Job on this machine.

use std::{path::Path, sync::Arc};

use floe_crds::{
    job_run::{RepairRecord, RepairState},
    pipeline_update::Cancel,
    state::RunResultState,
};
use tokio::sync::{Semaphore, watch};

use super::{Outcome, signals::Signals};
use crate::{
    args::{JobArguments, Run},
    failure::Failure,
    job::{self, Record, Site, WantedRepair, Wish},
    output::{
        Paint, Terminal,
        job::{Ended, closing},
    },
    settings::{Environment, Settings},
};

/// So many tasks run at once unless told otherwise.
const PLACES: u16 = 4;

pub(super) async fn job(run: &Run, environment: &Environment, terminal: &Terminal) -> Outcome {
    let signals = Signals::listen()?;
    let wish = wish(run);
    let site = Arc::new(site(run, environment, terminal)?);
    let (tell, told) = watch::channel(Cancel::None);
    stop_on_signals(&signals, &Arc::new(tell), terminal);
    let record = Box::pin(job::run(&site, &wish, told)).await?;
    if let Some(repair) = rejected(&record, &wish) {
        return Err(Failure::user("REPAIR_REJECTED", repair.message.clone().unwrap_or_default())
            .help("the run is as it was; choose other tasks with --tasks, or start a new run"));
    }
    print(&record, &run.project.path, terminal);
    Ok(match record.status.result_state {
        Some(RunResultState::Canceled) if signals.received() != 0 => signals.received(),
        _ => job::exit_code(&record),
    })
}

fn wish(run: &Run) -> Wish {
    let JobArguments { job, only, repair, tasks, dependents, trigger_time, .. } = &run.job;
    let names = |list: &[String]| list.iter().map(|name| name.trim().to_string()).filter(|name| !name.is_empty()).collect();
    let repair = repair.as_ref().map(|run| WantedRepair { run: run.clone(), tasks: names(tasks), dependents: *dependents });
    Wish {
        job: job.clone().unwrap_or_default(),
        parameters: run.project.common.parameters.iter().cloned().collect(),
        only: names(only),
        trigger_time: *trigger_time,
        repair,
    }
}

fn site(run: &Run, environment: &Environment, terminal: &Terminal) -> Result<Site, Failure> {
    let site = Site::load(&Settings::resolve(&run.project, environment), environment, terminal)?;
    let most = usize::from(run.job.max_parallel_tasks.unwrap_or(PLACES));
    let webhooks = if run.job.notify { Some(job::webhooks()?) } else { None };
    Ok(Site { webhooks, places: Arc::new(Semaphore::new(most)), most, runtime: run.job.container_runtime.clone(), ..site })
}

/// The first signal stops what runs and lets clean-ups run, the second one stops all, the third ends the process.
fn stop_on_signals(signals: &Signals, tell: &Arc<watch::Sender<Cancel>>, terminal: &Terminal) {
    let (gracefully, at_once) = (Arc::clone(tell), Arc::clone(tell));
    let says = |text: &'static str| {
        let terminal = terminal.clone();
        move || terminal.note(&format!("{} {text}", Paint::Yellow.on("!", terminal.color_err)))
    };
    let first = says("stopping: what runs is told to end, and clean-up tasks still run; once more Ctrl-C stops those too");
    let second = says("stopping at once");
    signals.on_first(move |_| {
        first();
        gracefully.send_replace(Cancel::Graceful);
    });
    signals.on_second(move |_| {
        second();
        at_once.send_replace(Cancel::Immediate);
    });
}

/// The repair that was asked for, if the run could not be repaired so.
fn rejected<'r>(record: &'r Record, wish: &Wish) -> Option<&'r RepairRecord> {
    let newest = record.status.repairs.last().filter(|_| wish.repair.is_some())?;
    (newest.state == RepairState::Rejected).then_some(newest)
}

fn print(record: &Record, path: &Path, terminal: &Terminal) {
    if terminal.is_json() {
        terminal.document(&record.document());
        return;
    }
    let again = format!("floe run {} --job {} --repair latest", path.display(), record.spec.job_ref.name);
    let ended = Ended { job: &record.spec.job_ref.name, run: &record.name, status: &record.status, again: &again };
    terminal.out(&closing(&ended, terminal.color_out));
    if record.status.result_state == Some(RunResultState::SuccessWithFailures) {
        let warning = Paint::Yellow.on("warning:", terminal.color_err);
        let message = record.status.message.as_deref().unwrap_or_default();
        terminal.err(&format!("{warning} a task failed, and every branch came to a good end: {message}"));
    }
}
