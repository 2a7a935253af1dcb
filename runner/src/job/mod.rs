//! Runs of Jobs without a cluster: the same pure steps as the operator, with facts from memory and from `.floe/runs`, and actions as processes and
//! updates of this process.
#![expect(missing_docs, reason = "the fields say what they are")]

mod capture;
mod container;
mod drive;
mod environment;
mod execute;
mod notify;
mod outcome;
mod process;
mod query;
mod record;
mod site;
mod store;
mod update;

use std::{collections::BTreeMap, sync::Arc};

use floe_crds::{
    job::JobSpec,
    job_run::{JobRunSpec, Repair, RunTrigger},
    pipeline::NameRef,
    pipeline_update::Cancel,
    run::parameters::overridden,
    state::TerminationCode,
    text::nearest,
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
pub use notify::webhooks;
pub use outcome::{Outcome, exit_code, root_failure};
pub use record::{AttemptEndRecord, AttemptRecord, Record};
pub use site::Site;
use tokio::sync::watch;

use self::{drive::Drive, store::Store};
use crate::failure::Failure;

/// What `floe run --job` is asked to do.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Name of the Job.
    pub job: String,
    /// Values of its parameters.
    pub parameters: BTreeMap<String, String>,
    /// Only these tasks; empty = all.
    pub only: Vec<String>,
    /// The instant that `job.trigger.time` stands for.
    pub trigger_time: Option<Timestamp>,
    /// A run that is repaired or gone on with, in the place of a new one.
    pub repair: Option<WantedRepair>,
}

/// What of an earlier run is done again.
#[derive(Clone, Debug, Default)]
pub struct WantedRepair {
    /// `latest`, or id or name of a run.
    pub run: String,
    /// These tasks; empty = all that failed.
    pub tasks: Vec<String>,
    /// And everything that depends on them.
    pub dependents: bool,
}

/// Carries out `wish` to the end of the run. `stop` says whether and how it shall stop.
pub async fn run(site: &Arc<Site>, wish: &Wish, stop: watch::Receiver<Cancel>) -> Result<Record, Failure> {
    site.job(&wish.job)?;
    let (store, record) = match &wish.repair {
        Some(wanted) => repaired(site, wish, wanted)?,
        None => begun(site, wish)?,
    };
    Drive::new(Arc::clone(site), store, record, stop, String::new())?.finish().await
}

/// A new run, on disk.
fn begun(site: &Site, wish: &Wish) -> Result<(Store, Record), Failure> {
    check(wish, site.job(&wish.job)?)?;
    let spec = JobRunSpec {
        job_ref: NameRef { name: wish.job.clone() },
        parameters: wish.parameters.clone(),
        only: wish.only.clone(),
        trigger: RunTrigger { time: wish.trigger_time.map(Time), ..RunTrigger::default() },
        ..JobRunSpec::default()
    };
    let record = Record::new(None, spec);
    Ok((Store::create(&site.root, &wish.job, &record.uid)?, record))
}

/// What the Job does not have is refused before there is a run.
fn check(wish: &Wish, job: &JobSpec) -> Result<(), Failure> {
    let defaults = job.parameters.iter().map(|parameter| (parameter.name.clone(), parameter.default.clone())).collect();
    let known = |names: Vec<&str>| if names.is_empty() { "it has none".to_string() } else { format!("it has: {}", names.join(", ")) };
    overridden(&defaults, &[&wish.parameters]).map_err(|error| {
        let names = job.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        Failure::user(error.termination_code().as_str(), format!("job {}: {error}", wish.job)).help(known(names))
    })?;
    let Some(unknown) = wish.only.iter().find(|name| job.task(name).is_none()) else { return Ok(()) };
    let names: Vec<&str> = job.tasks.iter().map(|task| task.name.as_str()).collect();
    let near = nearest(unknown, names.iter().copied()).map(|near| format!(", did you mean {near}?")).unwrap_or_default();
    let message = format!("job {} has no task {unknown}{near}", wish.job);
    Err(Failure::user(TerminationCode::InvalidRunConfiguration.as_str(), message).help(known(names)))
}

/// The run that is to be repaired. One that was interrupted goes on where it was: what ran then is begun again.
fn repaired(site: &Site, wish: &Wish, wanted: &WantedRepair) -> Result<(Store, Record), Failure> {
    let (store, mut record) = Store::open(&site.root, &wish.job, &wanted.run)?;
    record.spec.cancel = Cancel::None;
    if record.is_interrupted() {
        if !wanted.tasks.is_empty() || wanted.dependents || !wish.parameters.is_empty() {
            return Err(Failure::user("RUN_NOT_ENDED", format!("run {} was interrupted and has not ended", record.name))
                .help("let it go on first: give --repair without --tasks, --dependents and --param"));
        }
        site.terminal.note(&format!("run {} was interrupted: it goes on", record.name));
        end_left_behind(site, &record);
        record.take_up();
        return Ok((store, record));
    }
    record.spec.repair = Some(Repair {
        id: record.status.repair_count + 1,
        tasks: wanted.tasks.clone(),
        all_failed: wanted.tasks.is_empty(),
        dependents: wanted.dependents,
        parameters: wish.parameters.clone(),
    });
    Ok((store, record))
}

/// Ends the programs of a run whose process is gone, and those of runs that its tasks have made.
fn end_left_behind(site: &Site, record: &Record) {
    process::end_orphans(&record.uid);
    for attempt in record.attempts.iter().filter(|attempt| attempt.end.is_none()) {
        if let Some(name) = &attempt.container {
            container::remove(name, site.runtime.as_deref());
        }
        if let Some(inner) = Store::peek(&site.root, &attempt.child.uid) {
            end_left_behind(site, &inner);
        }
    }
}
