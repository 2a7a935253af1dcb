//! `floe job list` and `floe job describe`.

use std::{cmp::Reverse, collections::BTreeMap};

use floe_crds::{job::Job, job_run::JobRun, run_report::RunReport};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{super::Outcome, document, documents, print, start::JOB_FIELD};
use crate::{
    args::job::{DescribeRun, DocumentFormat, ListJobs},
    cluster::Cluster,
    failure::Failure,
    output::{
        Terminal,
        runs::{self, Known},
    },
};

/// Reports that are asked for at once.
const READS: usize = 8;

pub(super) async fn list(command: &ListJobs, terminal: &Terminal) -> Outcome {
    let cluster = Cluster::connect(&command.cluster).await?;
    let form = command.cluster.output;
    let Some(name) = &command.job else {
        let mut jobs: Vec<Job> = cluster.list(None).await?;
        jobs.sort_by_key(ResourceExt::name_any);
        if jobs.is_empty() {
            terminal.note(&format!("namespace {} has no jobs", cluster.namespace));
        }
        let text = if jobs.is_empty() { String::new() } else { runs::jobs(&jobs, terminal.color_out) };
        print_list(terminal, form, &documents(&jobs), &text)?;
        return Ok(0);
    };
    let mut all: Vec<JobRun> = cluster.list_with(JOB_FIELD, name).await?;
    if all.is_empty() {
        // A Job that was deleted may have runs; one without runs is to be there.
        cluster.get::<Job>(name).await?;
        terminal.note(&format!("job {name} has no runs yet: floe job run {name}"));
    }
    all.sort_by_key(|run| (Reverse(run.creation_timestamp().map(|at| at.0)), Reverse(run.name_any())));
    let text = if all.is_empty() { String::new() } else { runs::runs(&all, Timestamp::now(), terminal.color_out) };
    print_list(terminal, form, &documents(&all), &text)?;
    Ok(0)
}

fn print_list(terminal: &Terminal, form: DocumentFormat, value: &Value, text: &str) -> Result<(), Failure> {
    if form == DocumentFormat::Text && text.is_empty() {
        return Ok(());
    }
    print(terminal, form, value, text)
}

pub(super) async fn describe(command: &DescribeRun, terminal: &Terminal) -> Outcome {
    let cluster = Cluster::connect(&command.cluster).await?;
    let run = found(&cluster, &command.run).await?;
    let values = values(&cluster, &run).await?;
    // Who may not see pods sees the rest.
    let pods = match cluster.pods_of_run(&run).await {
        Ok(pods) => pods,
        Err(failure) => {
            terminal.note(&format!("pods are not shown: {}", failure.message));
            Vec::new()
        }
    };
    let known = Known { values, pods: pods.iter().map(|pod| (pod.label(), pod.pod.clone())).collect() };
    let pods: Vec<Value> = pods
        .iter()
        .map(|pod| json!({"task": pod.task, "iteration": pod.iteration, "attempt": pod.attempt, "pod": pod.pod, "phase": pod.phase}))
        .collect();
    let value = json!({"run": document(&run), "values": known.values, "pods": pods});
    print(terminal, command.cluster.output, &value, &runs::run(&run, &known, Timestamp::now(), terminal.color_out))?;
    Ok(0)
}

/// The run of this name. The name of a Job is answered with its newest run.
pub(super) async fn found(cluster: &Cluster, name: &str) -> Result<JobRun, Failure> {
    match cluster.get::<JobRun>(name).await {
        Err(failure) if failure.error == "RUN_NOT_FOUND" => {
            let runs: Vec<JobRun> = cluster.list_with(JOB_FIELD, name).await.unwrap_or_default();
            let newest = runs.iter().max_by_key(|run| (run.creation_timestamp().map(|at| at.0), run.name_any()));
            Err(match newest {
                Some(newest) => {
                    failure.help(format!("{name} is a job; its newest run is {}; all: floe job list {name}", newest.name_any()))
                }
                None => failure,
            })
        }
        other => other,
    }
}

/// The values that tasks have set. They are in the reports of their newest attempts.
async fn values(cluster: &Cluster, run: &JobRun) -> Result<BTreeMap<String, BTreeMap<String, Value>>, Failure> {
    let tasks = run.status.as_ref().map(|status| status.tasks.as_slice()).unwrap_or_default();
    let wanted: Vec<(String, String)> = tasks
        .iter()
        .filter(|task| !task.values.is_empty())
        .filter_map(|task| Some((task.name.clone(), task.child.as_ref()?.name.clone())))
        .collect();
    let read = async |(task, report): (String, String)| -> Result<_, Failure> {
        let report = cluster.find::<RunReport>(&report).await?;
        Ok(report.and_then(|report| report.spec.task).map(|report| (task, report.values())))
    };
    let found: Vec<Option<_>> = stream::iter(wanted.into_iter().map(read)).buffered(READS).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}
