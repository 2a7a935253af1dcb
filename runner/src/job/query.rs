//! A sql task: queries in this process.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use floe_crds::{
    job::SqlTask,
    request::{RequestedSql, VisibleTable},
    run::scene::Rows,
    state::TerminationCode,
};
use floe_graph::{analysis::Parameters, information};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    execute::{Assignment, on_thread, until},
    outcome::Outcome,
    site::Site,
};
use crate::{
    failure::Failure,
    project,
    settings::Settings,
    storage::layout,
    task::{SqlEnd, SqlTask as Queries, run_sql},
    update,
};

/// Runs the statements of the task.
pub async fn query(assignment: &mut Assignment) -> Outcome {
    let site = Arc::clone(&assignment.site);
    let Some(task) = assignment.attempt.effective.work.sql.clone() else { return Outcome::success() };
    if let Some(reference) = &task.config_map_ref {
        let message =
            format!("sql.configMapRef: ConfigMap {} is in the cluster; write statements, or a file of the project", reference.name);
        return Outcome::refused(TerminationCode::InvalidRunConfiguration, message);
    }
    if let Some(name) = task.pipeline.as_ref().filter(|name| !site.pipelines.contains_key(*name)) {
        let message = format!("{} has no pipeline {name}; {}", site.settings.project.display(), site.known("pipeline"));
        return Outcome::refused(TerminationCode::ResourceNotFound, message);
    }
    let end = CancellationToken::new();
    let ended = end.clone();
    let name = assignment.attempt.task.clone();
    let mut work = Box::pin(on_thread("sql", move || async move {
        tokio::select! {
            result = Box::pin(run(&site, &name, &task)) => Some(result),
            () = ended.cancelled() => None,
        }
    }));
    let (deadline, mut timed_out) = (assignment.deadline(), false);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            _ = assignment.told() => end.cancel(),
            () = until(deadline), if !timed_out => {
                timed_out = true;
                end.cancel();
            }
        }
    };
    match result {
        Ok(Some(Ok(end))) => of_query(end),
        Ok(Some(Err(failure))) | Err(failure) => Outcome::failed(&failure),
        Ok(None) if timed_out => assignment.timeout(),
        Ok(None) => Outcome::canceled(),
    }
}

fn of_query(end: SqlEnd) -> Outcome {
    let rows: Vec<Value> = serde_json::from_str(&end.output.rows).unwrap_or_default();
    let rows = Rows { rows, row_count: end.output.row_count, truncated: end.output.truncated };
    Outcome { values: end.values, rows: Some(rows), ..Outcome::success() }
}

async fn run(site: &Site, name: &str, task: &SqlTask) -> Result<SqlEnd, Failure> {
    let sql = RequestedSql {
        name: task.file.clone().unwrap_or_else(|| format!("{name}.sql.statements")),
        text: task.statements.clone(),
        max_rows: i64::from(task.max_rows),
        set_values: task.set_values.clone(),
    };
    let mut parameters = Parameters::default();
    for (name, value) in &task.parameters {
        parameters.set(name, value.as_str(), false);
    }
    let visible = Box::pin(visible(site, task.pipeline.as_deref())).await?;
    let queries = Queries { sql: &sql, parameters: &parameters, has_pipeline: task.pipeline.is_some(), visible: &visible };
    let settings = settings(site, task.pipeline.as_deref());
    Box::pin(run_sql(&queries, &settings, &|_, _| ())).await
}

fn settings(site: &Site, pipeline: Option<&str>) -> Settings {
    Settings { pipeline: pipeline.map(str::to_string), parameters: BTreeMap::new(), ..site.settings.clone() }
}

/// The tables of the other Pipelines of the project, which are read by their full names. A Pipeline that cannot be resolved has none.
async fn visible(site: &Site, own: Option<&str>) -> Result<Vec<VisibleTable>, Failure> {
    let mut visible = Vec::new();
    for name in site.pipelines.keys().filter(|name| Some(name.as_str()) != own) {
        let settings = Settings { reads_later_queries: true, ..settings(site, Some(name)) };
        let resolved = match Box::pin(update::resolve(project::load(&settings)?, &settings)).await {
            Ok(resolved) => resolved,
            Err(failure) => {
                site.terminal.note(&format!("tables of pipeline {name} cannot be read: {failure}"));
                continue;
            }
        };
        for table in information::known_tables(&resolved.graph, name) {
            let location = resolved.storage.at(&layout::table_path(&table.name, false));
            if location.local_path().is_some_and(|path| !has_log(&path)) {
                continue;
            }
            visible.push(VisibleTable {
                full_name: table.name.to_string(),
                table_type: table.table_type,
                location: location.url().to_string(),
                pipeline: name.clone(),
            });
        }
    }
    Ok(visible)
}

/// A table that no update has made yet is not there. A view is not either.
fn has_log(path: &Path) -> bool {
    path.join("_delta_log").is_dir()
}
