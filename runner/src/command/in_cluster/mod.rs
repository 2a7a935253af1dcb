//! `floe job`: starts Jobs of a cluster and looks after their runs.

mod change;
mod logs;
mod show;
mod start;
mod wait;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Outcome, not_supported, validate};
use crate::{
    args::job::{DocumentFormat, JobCommand},
    failure::Failure,
    output::Terminal,
};

pub(super) async fn job(command: &JobCommand, terminal: &Terminal) -> Outcome {
    match command {
        JobCommand::Run(command) => Box::pin(start::run(command, terminal)).await,
        JobCommand::Backfill(command) => Box::pin(start::backfill(command, terminal)).await,
        JobCommand::List(command) => show::list(command, terminal).await,
        JobCommand::Describe(command) => show::describe(command, terminal).await,
        JobCommand::Cancel(command) => Box::pin(change::cancel(command, terminal)).await,
        JobCommand::Repair(command) => Box::pin(change::repair(command, terminal)).await,
        JobCommand::Suspend(command) => change::suspend(&command.job, true, &command.cluster, terminal).await,
        JobCommand::Resume(command) => change::suspend(&command.job, false, &command.cluster, terminal).await,
        JobCommand::Logs(command) => Box::pin(logs::logs(command, terminal)).await,
        JobCommand::Lint(lint) => validate::lint(lint, terminal),
        JobCommand::Import(_) => Err(not_supported("floe job import")),
    }
}

/// Prints `value` in the form that was asked for, or else `text`.
fn print(terminal: &Terminal, form: DocumentFormat, value: &Value, text: &str) -> Result<(), Failure> {
    match form {
        DocumentFormat::Text => terminal.out(text),
        DocumentFormat::Json => terminal.document(value),
        DocumentFormat::Yaml => {
            let text = floe_crds::yaml::to_text(value);
            terminal.out(&text.map_err(|error| Failure::internal("the result is no YAML").caused_by(error))?);
        }
    }
    Ok(())
}

/// An object without what only API servers read.
fn document(object: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    value
}

/// Several objects as one.
fn documents(objects: &[impl Serialize]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": objects.iter().map(document).collect::<Vec<_>>()})
}

/// Names as they were typed, without blanks and empty ones.
fn names(typed: &[String]) -> Vec<String> {
    typed.iter().map(|name| name.trim().to_string()).filter(|name| !name.is_empty()).collect()
}
