//! Whether a Job can run at all, as far as its definition tells. Pure.

use std::collections::BTreeMap;

use floe_crds::{
    condition::Reason,
    job::{PodSettings, TriggerKind},
    pipeline::EnvVar,
    run::check::check_job,
    timetable::ScheduleError,
    trigger::{
        clock::{Clock, Periodic},
        completion::cycles,
    },
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::ResourceExt;

use super::{observe::Observed, watcher};
use crate::attempt::overlay;

/// What validation found.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Someone must change the Job.
    Refused(Refusal),
    /// Runs may start.
    Valid(Box<Valid>),
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The word for machines.
    pub reason: Reason,
    /// What is wrong, where, and what to do.
    pub message: String,
}

/// What planning needs of a valid Job.
#[derive(Clone, Debug, Default)]
pub struct Valid {
    /// The triggers by the clock, by name.
    pub clocks: BTreeMap<String, Clock>,
    /// What stays without effect.
    pub warnings: Vec<String>,
    /// What tasks or triggers name and is not there: runs start all the same.
    pub missing: Option<Refusal>,
    /// The pod of the watcher, if the Job needs one.
    pub watcher: Option<PodTemplateSpec>,
}

impl Refusal {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl Verdict {
    /// The valid Job, if it is one.
    pub fn valid(&self) -> Option<&Valid> {
        match self {
            Self::Valid(valid) => Some(valid),
            Self::Refused(_) => None,
        }
    }
}

/// All checks; the first that fails is told.
pub fn validate(observed: &Observed) -> Verdict {
    match valid(observed) {
        Ok(valid) => Verdict::Valid(Box::new(valid)),
        Err(refusal) => Verdict::Refused(refusal),
    }
}

fn valid(observed: &Observed) -> Result<Valid, Refusal> {
    let warnings = findings(observed)?;
    let clocks = clocks(observed)?;
    trigger_cycle(observed)?;
    pods(observed)?;
    let watcher = watcher::template(observed).map_err(|refused| Refusal::new(refused.reason, refused.to_string()))?;
    Ok(Valid { clocks, warnings, missing: missing(observed), watcher })
}

/// The rules that the command line has for the same manifest, in the same words: all errors, or else what is only told.
fn findings(observed: &Observed) -> Result<Vec<String>, Refusal> {
    let (errors, warnings): (Vec<_>, Vec<_>) = check_job(&observed.job.spec, observed.now).into_iter().partition(|finding| finding.error);
    match errors.first() {
        None => Ok(warnings.into_iter().map(|finding| finding.message).collect()),
        Some(first) => {
            let told: Vec<&str> = errors.iter().map(|finding| finding.message.as_str()).collect();
            Err(Refusal::new(first.reason, told.join("; ")))
        }
    }
}

fn clocks(observed: &Observed) -> Result<BTreeMap<String, Clock>, Refusal> {
    let created = observed.job.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |at| at.0);
    let mut clocks = BTreeMap::new();
    for trigger in &observed.job.spec.triggers {
        let wrong = |error: ScheduleError| Refusal::new(Reason::InvalidSchedule, format!("trigger {}, schedule: {error}", trigger.name));
        let clock = match trigger.kind() {
            Some(TriggerKind::Schedule(schedule)) => Clock::Timetable(Box::new(schedule.timetable(observed.now).map_err(wrong)?)),
            Some(TriggerKind::Periodic(periodic)) => Clock::Periodic(Periodic::new(created, periodic.every_seconds)),
            _ => continue,
        };
        clocks.insert(trigger.name.clone(), clock);
    }
    Ok(clocks)
}

/// Jobs that start one another for ever.
fn trigger_cycle(observed: &Observed) -> Result<(), Refusal> {
    let mine: Vec<String> = cycles(&observed.chains)
        .into_iter()
        .filter(|cycle| cycle.contains(&observed.key.name))
        .map(|cycle| format!("jobs start one another by their ends: {cycle}; take one jobCompletion trigger out"))
        .collect();
    if mine.is_empty() { Ok(()) } else { Err(Refusal::new(Reason::InvalidTriggerCycle, mine.join("; "))) }
}

/// What every task says of its pods.
fn pods(observed: &Observed) -> Result<(), Refusal> {
    let spec = &observed.job.spec;
    if let Some(defaults) = &spec.task_defaults {
        pod(&defaults.pod, "spec.taskDefaults")?;
    }
    for task in &spec.tasks {
        pod(&task.pod, &format!("task {}", task.name))?;
        if let Some(all) = &task.for_each {
            pod(&all.task.pod, &format!("task {}", all.task.name))?;
        }
    }
    Ok(())
}

fn pod(settings: &PodSettings, whose: &str) -> Result<(), Refusal> {
    let both = |variable: &&EnvVar| variable.value.is_some() && variable.value_from.is_some();
    if let Some(variable) = settings.env.iter().find(both) {
        let message = format!("{whose}, env {}: give value or valueFrom, not both", variable.name);
        return Err(Refusal::new(Reason::InvalidSpec, message));
    }
    let Some(template) = &settings.pod_template else { return Ok(()) };
    let refused = overlay::checked(template, "podTemplate").err();
    refused.map_or(Ok(()), |refused| Err(Refusal::new(refused.reason, format!("{whose}, {refused}"))))
}

/// What is named and may come later: the runs that need it fail until then.
fn missing(observed: &Observed) -> Option<Refusal> {
    let namespace = &observed.key.namespace;
    let named = observed.named_pipelines();
    let pipeline = observed.pipelines.iter().find(|(name, found)| found.is_none() && named.contains(*name));
    if let Some((name, _)) = pipeline {
        let message = format!("Pipeline {name} is not in namespace {namespace}; create it, or correct the tasks that name it");
        return Some(Refusal::new(Reason::PipelineNotFound, message));
    }
    let (name, _) = observed.jobs.iter().find(|(_, is_there)| !**is_there)?;
    let message = format!("Job {name} is not in namespace {namespace}; create it, or correct the tasks and triggers that name it");
    Some(Refusal::new(Reason::JobNotFound, message))
}
