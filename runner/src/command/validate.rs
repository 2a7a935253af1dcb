//! `floe validate`: everything that can be said about a project without running it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use floe_graph::{
    analysis::ddl,
    file_schema::NOT_OBSERVED,
    graph::ResolvedGraph,
    origin::{Diagnostic, Severity},
    plan::{Change, Selection},
};
use serde_json::json;

use super::Outcome;
use crate::{
    args::{Validate, job::Lint},
    failure::Failure,
    output::{
        Paint, Terminal, counted,
        failure::{failure_json, findings_text},
        report,
    },
    project::{invalid, jobs},
    settings::{Environment, Settings},
    update,
};

pub(super) async fn validate(validate: &Validate, environment: &Environment, terminal: &Terminal) -> Outcome {
    let settings = Settings { offline: validate.offline, ..Settings::resolve(&validate.project, environment) };
    let checked = Box::pin(check(&settings, terminal)).await;
    let checked = match checked {
        Ok(checked) => checked,
        Err(failure) if terminal.is_json() => {
            terminal.document(&json!({"valid": false, "errors": errors(&failure)}));
            return Ok(failure.class.exit_code());
        }
        Err(failure) => return Err(failure),
    };
    let shown = Shown { path: &validate.project.path, strict: validate.strict, offline: validate.offline };
    Ok(tell(&checked, &shown, terminal))
}

/// `floe job lint`: what is said of Jobs, which needs nothing but their manifests.
pub(super) fn lint(lint: &Lint, terminal: &Terminal) -> Outcome {
    let found = jobs::find(&lint.path)?;
    if found.findings.iter().any(|found| found.severity == Severity::Error) {
        let failure = invalid(found.findings);
        if terminal.is_json() {
            terminal.document(&json!({"valid": false, "errors": errors(&failure)}));
            return Ok(failure.class.exit_code());
        }
        return Err(failure);
    }
    if found.jobs.is_empty() {
        let text = format!("there is no manifest of a Job at {}", lint.path.display());
        return Err(Failure::user("JOB_NOT_FOUND", text).help("Jobs stand in YAML files of the project's root folder and below jobs/"));
    }
    let jobs = found.jobs.into_iter().map(|(_, job)| (job.name, job.spec.tasks.len())).collect();
    let checked = Checked { jobs, lints: found.findings, ..Checked::default() };
    Ok(tell(&checked, &Shown { path: &lint.path, strict: lint.strict, offline: true }, terminal))
}

/// How a project without errors is shown.
struct Shown<'a> {
    path: &'a Path,
    /// Lints are errors.
    strict: bool,
    offline: bool,
}

/// Prints what was checked; the exit code.
fn tell(checked: &Checked, shown: &Shown<'_>, terminal: &Terminal) -> u8 {
    let strictly_valid = !shown.strict || checked.lints.is_empty();
    if terminal.is_json() {
        let jobs: Vec<_> = checked.jobs.iter().map(|(name, tasks)| json!({"name": name, "tasks": tasks})).collect();
        terminal.document(&json!({
            "valid": strictly_valid,
            "datasets": checked.datasets,
            "flows": checked.flows,
            "jobs": jobs,
            "lints": checked.lints,
            "changes": checked.changes,
            "schemas": checked.schemas,
            "skipped": checked.skipped,
        }));
    } else {
        print(checked, strictly_valid, shown, terminal);
    }
    if strictly_valid { 0 } else { 10 }
}

/// A project without errors.
#[derive(Default)]
struct Checked {
    /// `None` in a project that has only Jobs.
    pipeline: Option<String>,
    datasets: usize,
    flows: usize,
    /// Names of Jobs with the numbers of their tasks.
    jobs: Vec<(String, usize)>,
    lints: Vec<Diagnostic>,
    changes: Vec<Change>,
    /// Columns that were found in files, by the path of the read.
    schemas: BTreeMap<String, String>,
    /// What `--offline` left out.
    skipped: Vec<String>,
}

async fn check(settings: &Settings, terminal: &Terminal) -> Result<Checked, Failure> {
    let found = jobs::find(&settings.project)?;
    let has_only_jobs = found.pipelines.is_empty() && !found.jobs.is_empty() && settings.pipeline.is_none();
    let checked = if has_only_jobs { Ok(Checked::default()) } else { Box::pin(check_pipeline(settings, terminal)).await };
    let is_error = |found: &Diagnostic| found.severity == Severity::Error;
    match checked {
        Ok(_) if found.findings.iter().any(is_error) => Err(invalid(found.findings)),
        Ok(mut checked) => {
            checked.lints.extend(found.findings);
            checked.jobs = found.jobs.into_iter().map(|(_, job)| (job.name, job.spec.tasks.len())).collect();
            Ok(checked)
        }
        // All errors at once; some are of a file that both have read.
        Err(failure) if failure.diagnostics.is_empty() => Err(failure),
        Err(mut failure) => {
            let all = &mut failure.diagnostics;
            let further = found.findings.into_iter().filter(|found| !all.iter().any(|known| is_same(known, found)));
            let further: Vec<Diagnostic> = further.collect();
            all.extend(further);
            Err(invalid(failure.diagnostics))
        }
    }
}

fn is_same(one: &Diagnostic, other: &Diagnostic) -> bool {
    one.class == other.class && one.message == other.message && one.origin == other.origin
}

async fn check_pipeline(settings: &Settings, terminal: &Terminal) -> Result<Checked, Failure> {
    let project = super::load(settings, terminal)?;
    let (pipeline, flows) = (project.name.clone(), project.definitions.flows.len());
    let resolved = match Box::pin(update::resolve(project, settings)).await {
        Err(failure) if settings.offline => return unseen(failure, pipeline, flows),
        resolved => resolved?,
    };
    let plan = update::plan(&resolved, settings, &Selection::default()).await?;
    let skipped = if settings.offline { skipped_offline() } else { Vec::new() };
    let found = resolved.project.input.file_schemas.iter();
    let found = found.filter_map(|(key, schema)| Some((key.lines().next()?.to_string(), ddl::schema_text(schema.as_ref().ok()?))));
    let ResolvedGraph { datasets, flows, lints, .. } = resolved.graph.as_ref();
    Ok(Checked {
        pipeline: Some(resolved.project.name.clone()),
        datasets: datasets.len(),
        flows: flows.len(),
        lints: lints.clone(),
        changes: plan.changes,
        schemas: found.collect(),
        skipped,
        ..Checked::default()
    })
}

fn skipped_offline() -> Vec<String> {
    vec!["schemas of external tables".to_string(), "the comparison with stored tables".to_string()]
}

/// What is left of an offline check if all that is wrong is that nobody has looked into files without a schema.
fn unseen(failure: Failure, pipeline: String, flows: usize) -> Result<Checked, Failure> {
    let errors = || failure.diagnostics.iter().filter(|found| found.severity == Severity::Error);
    let is_unseen = |found: &&Diagnostic| found.class == NOT_OBSERVED;
    let is_excused = errors().all(|found| is_unseen(&found) || found.class == "UPSTREAM_ANALYSIS_FAILED");
    if errors().next().is_none() || !is_excused {
        // What follows from it only hides what is wrong.
        let hides = |found: &Diagnostic| found.class == NOT_OBSERVED;
        let (_, diagnostics): (Vec<_>, Vec<_>) = failure.diagnostics.iter().cloned().partition(hides);
        return Err(if diagnostics.is_empty() { failure } else { invalid(diagnostics) });
    }
    let datasets: BTreeSet<String> = errors().filter_map(|found| found.dataset.clone()).collect();
    let names: Vec<String> = datasets.iter().cloned().collect();
    let files = format!("the columns of files, and with them {}", names.join(", "));
    let lints = failure.diagnostics.iter().filter(|found| found.severity == Severity::Lint).cloned().collect();
    let skipped = skipped_offline().into_iter().chain([files]).collect();
    Ok(Checked { pipeline: Some(pipeline), datasets: datasets.len(), flows, lints, skipped, ..Checked::default() })
}

fn print(checked: &Checked, valid: bool, how: &Shown<'_>, terminal: &Terminal) {
    let path = how.path;
    if !checked.lints.is_empty() {
        terminal.err(&findings_text(&checked.lints, path, terminal.color_err));
        terminal.err("");
    }
    if !checked.skipped.is_empty() {
        terminal.note(&format!("offline: {} skipped", checked.skipped.join(" and ")));
    }
    let jobs: u64 = checked.jobs.iter().map(|(_, tasks)| *tasks as u64).sum();
    let of_pipeline = [(checked.datasets as u64, "dataset"), (checked.flows as u64, "flow")];
    let of_jobs = [(checked.jobs.len() as u64, "job"), (jobs, "task")];
    let shown = |sizes: [(u64, &str); 2], is_shown: bool| {
        sizes.into_iter().filter(move |_| is_shown).map(|(n, noun)| counted(n, noun)).collect::<Vec<_>>()
    };
    let size = [shown(of_pipeline, checked.pipeline.is_some()), shown(of_jobs, !checked.jobs.is_empty())].concat().join(", ");
    let pipeline = checked.pipeline.as_deref().unwrap_or_else(|| checked.jobs.first().map_or("", |(name, _)| name));
    if valid {
        let lints = if checked.lints.is_empty() { String::new() } else { format!(", {}", counted(checked.lints.len() as u64, "lint")) };
        terminal.out(&format!("{} is valid: {size}{lints}", Paint::Green.on(pipeline, terminal.color_out)));
    } else {
        let lints = counted(checked.lints.len() as u64, "lint");
        terminal.out(&format!("{} has {lints}, which --strict does not allow: {size}", Paint::Red.on(pipeline, terminal.color_out)));
    }
    for (path, columns) in &checked.schemas {
        terminal.out(&format!("{path} has the columns: {columns}"));
    }
    if !how.offline && checked.pipeline.is_some() {
        terminal.out("the next run will:");
        terminal.out(&report::changes(&checked.changes, terminal.color_out));
    }
}

/// All findings of a failure, or the failure itself.
fn errors(failure: &Failure) -> serde_json::Value {
    if failure.diagnostics.is_empty() { json!([failure_json(failure)]) } else { json!(failure.diagnostics) }
}
