//! Warnings of runs that take too long or whose pipelines lag behind.

use std::collections::BTreeMap;

use floe_crds::{
    condition::{self, ConditionType, Reason, Said},
    job::{HealthMetric, JobSpec},
    job_run::JobRunStatus,
    run::health::{Health, health, mean, next_look, run_duration_seconds},
    state::RunState,
};
use jiff::Timestamp;
use kube::ResourceExt;

use super::observe::Observed;
use crate::{context::Context, key::Key};

/// Sets the condition as the rules of the Job want it; returns when to look again.
pub fn judge(ctx: &Context, seen: &Observed, status: &mut JobRunStatus) -> Option<Timestamp> {
    let spec = &seen.snapshot.as_ref()?.spec;
    let before = condition::find(&status.conditions, ConditionType::HealthWarning).cloned();
    let is_active = status.state.is_some_and(RunState::is_active);
    if spec.health.is_empty() || (!is_active && before.is_none()) {
        return None;
    }
    let warned = before.as_ref().filter(|before| before.status == "True").map(|before| before.last_transition_time.0);
    let started = started(status);
    let found = if is_active { health(&spec.health, &samples(ctx, seen, spec, started), None, seen.now) } else { Health::Clear };
    let said = match found {
        Health::Warn { message, .. } if warned.is_none() => Some(Said::new(true, Reason::AboveLimit, message)),
        // Numbers that grow are no news: the message stays as it was told.
        Health::Warn { .. } | Health::Warned { .. } => None,
        Health::Clear | Health::Good => Some(Said::new(false, Reason::Idle, "")),
    };
    if let Some(said) = said {
        condition::set(&mut status.conditions, ConditionType::HealthWarning, &said, seen.run.metadata.generation, seen.now);
    }
    started.and_then(|started| next_look(&spec.health, started, seen.now)).filter(|_| is_active)
}

fn started(status: &JobRunStatus) -> Option<Timestamp> {
    status.repairs.last().and_then(|repair| repair.start_time.as_ref()).map(|at| at.0)
}

fn samples(ctx: &Context, seen: &Observed, spec: &JobSpec, started: Option<Timestamp>) -> BTreeMap<HealthMetric, i64> {
    let duration = started.map(|started| (HealthMetric::RunDurationSeconds, run_duration_seconds(started, seen.now)));
    let mut samples: BTreeMap<HealthMetric, i64> = duration.into_iter().collect();
    let uid = seen.run.uid().unwrap_or_default();
    for (metric, number) in backlog(ctx, seen, spec) {
        let numbers = ctx.memory.backlog(&uid, metric, seen.now, number);
        samples.extend(mean(&numbers, seen.now).map(|mean| (metric, mean)));
    }
    samples
}

/// What waits in the streams of the run's pipelines now, as their Tables tell it. How many records that is no Table knows.
fn backlog(ctx: &Context, seen: &Observed, spec: &JobSpec) -> BTreeMap<HealthMetric, i64> {
    let namespace = seen.run.namespace().unwrap_or_default();
    let names = spec.tasks.iter().filter_map(|task| task.work.pipeline.as_ref()).map(|task| task.name.clone());
    let tables = names.flat_map(|name| ctx.caches.tables.by(&Key::new(namespace.clone(), name)));
    let mut sums = BTreeMap::new();
    for table in tables {
        let Some(streaming) = table.status.as_ref().and_then(|status| status.streaming.as_ref()) else { continue };
        let numbers = [
            (HealthMetric::StreamingBacklogFiles, streaming.backlog_files),
            (HealthMetric::StreamingBacklogBytes, streaming.backlog_bytes),
            (HealthMetric::StreamingBacklogSeconds, streaming.backlog_seconds),
        ];
        for (metric, number) in numbers {
            *sums.entry(metric).or_default() += number.unwrap_or_default();
        }
    }
    sums
}
