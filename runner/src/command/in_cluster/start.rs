//! `floe job run` and `floe job backfill`.

use floe_crds::{
    condition::{ConditionType, find},
    job::Job,
    job_run::{Backfill, JobRun},
    trigger::backfill::Slice,
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{Timestamp, civil::Date, tz::TimeZone},
};
use kube::ResourceExt;
use serde_json::json;

use super::{
    super::Outcome,
    document, names, print,
    wait::{Awaited, wait},
};
use crate::{
    args::job::{BackfillJob, ClusterArguments, StartRun, Waiting},
    cluster::{
        Cluster,
        change::{NewRun, new_run},
    },
    failure::Failure,
    output::{Paint, Terminal, counted},
};

/// The field of a run that names its Job.
pub(super) const JOB_FIELD: &str = "spec.jobRef.name";

pub(super) async fn run(command: &StartRun, terminal: &Terminal) -> Outcome {
    let cluster = Cluster::connect(&command.cluster).await?;
    let job: Job = cluster.get(&command.job).await?;
    let wanted = NewRun { parameters: command.parameters.iter().cloned().collect(), only: names(&command.only), backfill: None };
    let run = new_run(&job, wanted)?;
    warn_of_refused(&job, terminal);
    let run = cluster.create(&run).await?;
    begun(&cluster, run, command.waiting, &command.cluster, terminal).await
}

/// A Job that is refused has runs that fail at once. What is known of it may be old, so the run is made all the same.
fn warn_of_refused(job: &Job, terminal: &Terminal) {
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let refused = find(conditions, ConditionType::Accepted).filter(|accepted| accepted.status == "False");
    if let Some(refused) = refused {
        let warning = Paint::Yellow.on("warning:", terminal.color_err);
        terminal.err(&format!("{warning} job {} is not accepted ({}): {}", job.name_any(), refused.reason, refused.message));
    }
}

/// Tells the name of a run that was made, and waits for its end if that is wanted.
async fn begun(cluster: &Cluster, run: JobRun, waiting: Waiting, given: &ClusterArguments, terminal: &Terminal) -> Outcome {
    let name = run.name_any();
    if waiting.wait {
        terminal.note(&format!("run {name} of job {} in namespace {}", run.spec.job_ref.name, cluster.namespace));
        return wait(Awaited { cluster, terminal, form: given.output, run, repair: 0 }).await;
    }
    print(terminal, given.output, &document(&run), &name)?;
    Ok(0)
}

pub(super) async fn backfill(command: &BackfillJob, terminal: &Terminal) -> Outcome {
    let wanted = wanted_backfill(command)?;
    let cluster = Cluster::connect(&command.cluster).await?;
    let job: Job = cluster.get(&command.job).await?;
    let parameters = command.parameters.iter().cloned().collect();
    let run = new_run(&job, NewRun { parameters, only: names(&command.only), backfill: Some(wanted.clone()) })?;
    if command.dry_run {
        let runs: Vec<JobRun> = cluster.list_with(JOB_FIELD, &command.job).await?;
        let needed = wanted.needed_slices(runs.iter()).map_err(|error| Failure::user(error.code().as_str(), error.to_string()))?;
        let all = wanted.slices().map_or(0, |slices| slices.len());
        print(terminal, command.cluster.output, &json!({"slices": needed}), &planned(&needed, all))?;
        return Ok(0);
    }
    warn_of_refused(&job, terminal);
    let run = cluster.create(&run).await?;
    begun(&cluster, run, command.waiting, &command.cluster, terminal).await
}

/// The slices that would run, a line each.
fn planned(needed: &[Slice], all: usize) -> String {
    let mut lines: Vec<String> = needed.iter().map(|slice| format!("{} to {}", slice.start, slice.end)).collect();
    let left_out = all.saturating_sub(needed.len());
    let left_out = if left_out == 0 { String::new() } else { format!(", {} left out (--reprocess)", counted(left_out as u64, "slice")) };
    lines.push(format!("dry run: {} would run{left_out}", counted(needed.len() as u64, "slice")));
    lines.join("\n")
}

fn wanted_backfill(command: &BackfillJob) -> Result<Backfill, Failure> {
    let zone = TimeZone::get(&command.time_zone).map_err(|_| {
        Failure::user("INVALID_RUN_CONFIGURATION", format!("--time-zone {} is no name of the IANA time zone database", command.time_zone))
            .help("write for example Europe/Berlin")
    })?;
    Ok(Backfill {
        from: Time(instant("--from", &command.from, &zone)?),
        to: Time(instant("--to", &command.to, &zone)?),
        every: command.every.clone(),
        time_zone: command.time_zone.clone(),
        order: command.order.into(),
        max_concurrent: command.max_concurrent,
        reprocess: command.reprocess.into(),
    })
}

/// An instant, or the begin of a day in `zone`.
fn instant(option: &str, text: &str, zone: &TimeZone) -> Result<Timestamp, Failure> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    let day = text.parse::<Date>().ok().filter(|_| text.len() == "2026-01-31".len());
    let begin = day.and_then(|day| day.to_zoned(zone.clone()).ok()).map(|begin| begin.timestamp());
    begin.ok_or_else(|| {
        Failure::user("INVALID_RUN_CONFIGURATION", format!("{option} {text} is neither a day nor an instant"))
            .help("write 2026-01-31, or 2026-01-31T06:00:00Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_in_their_time_zone() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let at = |text| instant("--from", text, &zone).map(|at| at.to_string()).map_err(|failure| failure.message);
        assert_eq!(at("2026-01-31").as_deref(), Ok("2026-01-30T23:00:00Z"));
        assert_eq!(at("2026-03-30").as_deref(), Ok("2026-03-29T22:00:00Z"), "summer time");
        assert_eq!(at("2026-01-31T06:00:00Z").as_deref(), Ok("2026-01-31T06:00:00Z"));
        assert_eq!(at("2026-01-31T06:00:00+01:00").as_deref(), Ok("2026-01-31T05:00:00Z"));
        for wrong in ["yesterday", "2026-02-30", "2026-01-31T06:00", ""] {
            assert_eq!(at(wrong), Err(format!("--from {wrong} is neither a day nor an instant")));
        }
    }

    #[test]
    fn a_dry_run_tells_slices_and_those_left_out() {
        let slice = |from: &str, to: &str| Slice { start: from.parse().unwrap(), end: to.parse().unwrap() };
        let one = slice("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        assert_eq!(planned(&[one], 1), "2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z\ndry run: 1 slice would run");
        assert_eq!(planned(&[], 7), "dry run: 0 slices would run, 7 slices left out (--reprocess)");
    }
}
