//! `floe validate`: everything that can be said about a project without running it.

use floe_graph::{graph::ResolvedGraph, origin::Diagnostic, plan::Selection};
use serde_json::json;

use super::Outcome;
use crate::{
    args::Validate,
    failure::Failure,
    output::{
        Paint, Terminal, counted,
        failure::{failure_json, findings_text},
        report,
    },
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
    let strictly_valid = !validate.strict || checked.lints.is_empty();
    if terminal.is_json() {
        terminal.document(&json!({
            "valid": strictly_valid,
            "datasets": checked.datasets,
            "flows": checked.flows,
            "lints": checked.lints,
            "changes": checked.plan.changes,
            "skipped": checked.skipped,
        }));
    } else {
        print(&checked, strictly_valid, validate, terminal);
    }
    Ok(if strictly_valid { 0 } else { 10 })
}

/// A project without errors.
struct Checked {
    pipeline: String,
    datasets: usize,
    flows: usize,
    lints: Vec<Diagnostic>,
    plan: floe_graph::plan::UpdatePlan,
    /// What `--offline` left out.
    skipped: Vec<String>,
}

async fn check(settings: &Settings, terminal: &Terminal) -> Result<Checked, Failure> {
    let resolved = Box::pin(update::resolve(super::load(settings, terminal)?, settings)).await?;
    let plan = update::plan(&resolved, &Selection::default())?;
    let skipped = if settings.offline {
        vec!["schemas of external tables".to_string(), "the comparison with stored tables".to_string()]
    } else {
        Vec::new()
    };
    let ResolvedGraph { datasets, flows, lints, .. } = resolved.graph.as_ref();
    Ok(Checked {
        pipeline: resolved.project.name.clone(),
        datasets: datasets.len(),
        flows: flows.len(),
        lints: lints.clone(),
        plan,
        skipped,
    })
}

fn print(checked: &Checked, valid: bool, validate: &Validate, terminal: &Terminal) {
    let path = &validate.project.path;
    if !checked.lints.is_empty() {
        terminal.err(&findings_text(&checked.lints, path, terminal.color_err));
        terminal.err("");
    }
    if !checked.skipped.is_empty() {
        terminal.note(&format!("offline: {} skipped", checked.skipped.join(" and ")));
    }
    let size = format!("{}, {}", counted(checked.datasets as u64, "dataset"), counted(checked.flows as u64, "flow"));
    let pipeline = &checked.pipeline;
    if valid {
        let lints = if checked.lints.is_empty() { String::new() } else { format!(", {}", counted(checked.lints.len() as u64, "lint")) };
        terminal.out(&format!("{} is valid: {size}{lints}", Paint::Green.on(pipeline, terminal.color_out)));
    } else {
        let lints = counted(checked.lints.len() as u64, "lint");
        terminal.out(&format!("{} has {lints}, which --strict does not allow: {size}", Paint::Red.on(pipeline, terminal.color_out)));
    }
    if !validate.offline {
        terminal.out("the next run will:");
        terminal.out(&report::changes(&checked.plan.changes, terminal.color_out));
    }
}

/// All findings of a failure, or the failure itself.
fn errors(failure: &Failure) -> serde_json::Value {
    if failure.diagnostics.is_empty() { json!([failure_json(failure)]) } else { json!(failure.diagnostics) }
}
