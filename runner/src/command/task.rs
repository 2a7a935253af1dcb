//! `floe task --request` runs the SQL of a task; `floe task-report --request` stands beside the container of a task and publishes its values.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use floe_crds::{
    request::TaskRequest,
    run_report::{ReportKind, TaskReport},
    state::UpdateState,
};
use serde_json::Value;

use super::{
    Outcome,
    run::{LAST_MOMENT, LAST_REPORT, LAST_REPORT_STOPPING, end_in_time},
    signals::Signals,
};
use crate::{
    args::Requested,
    event_log::Redaction,
    failure::Failure,
    output::Terminal,
    report::{
        result::{result, write_termination_message},
        work::WorkReport,
    },
    request,
    settings::Environment,
    task::{SqlEnd, SqlTask, collect_values, run_sql},
};

/// What stands for the value of a secret parameter.
const HIDDEN: &str = "***";
/// The least time to report the values of a container.
const LEAST_REPORT: Duration = Duration::from_secs(2);

pub(super) async fn task(command: &Requested, environment: &Environment, terminal: &Terminal) -> Outcome {
    let signals = Signals::listen()?;
    let request = request::read_task(&command.request);
    let secrets = request.as_ref().map(|request| request::secrets(&request.parameters, environment)).unwrap_or_default();
    terminal.hide(secrets.clone());
    let redaction = Redaction::new(secrets);
    let outcome = match request {
        Ok(request) => Box::pin(reported(command, &request, (environment, terminal), &signals, &redaction)).await,
        Err(failure) => Err(failure),
    };
    told(outcome, environment, &redaction)
}

/// However it ends, the container says it in its termination message.
fn told(outcome: Outcome, environment: &Environment, redaction: &Redaction) -> Outcome {
    let (code, failure) = parts(&outcome);
    write_termination_message(environment.termination_log.as_deref(), &result(code, failure, redaction));
    outcome
}

fn parts(outcome: &Outcome) -> (u8, Option<&Failure>) {
    match outcome {
        Ok(code) => (*code, None),
        Err(failure) => (failure.class.exit_code(), Some(failure)),
    }
}

/// The SQL with its report.
async fn reported(
    command: &Requested,
    request: &TaskRequest,
    (environment, terminal): (&Environment, &Terminal),
    signals: &Signals,
    redaction: &Redaction,
) -> Outcome {
    let report = begun(request, environment);
    let writing = match super::reports(request.report.as_ref(), environment, command.report).await {
        Some(reports) => Some(report.write_to(reports).await),
        None => None,
    };
    let progress = |done: usize, total: usize| {
        terminal.note(&format!("{done} of {total} statements have ended"));
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        report.update(|report| {
            let task = report.task.get_or_insert_default();
            (task.statements_done, task.statements_total) = (count(done), count(total));
        });
    };
    let grace = Duration::from_secs(u64::try_from(request.grace_period_seconds).unwrap_or_default());
    let outcome = tokio::select! {
        end = Box::pin(sql(request, environment, &progress)) => end.map(|end| {
            finished(&report, end, redaction);
            0
        }),
        code = signals.first() => {
            end_in_time(grace);
            Ok(code)
        }
    };
    let (code, failure) = parts(&outcome);
    report.update(|report| {
        report.result = Some(result(code, failure, redaction));
        report.state = Some(match (code, failure) {
            (0, _) => UpdateState::Completed,
            (_, None) => UpdateState::Canceled,
            (_, Some(_)) => UpdateState::Failed,
        });
    });
    if let Some(writing) = writing {
        writing.finish(if signals.received() == 0 { LAST_REPORT } else { LAST_REPORT_STOPPING }).await;
    }
    outcome
}

async fn sql(request: &TaskRequest, environment: &Environment, progress: &(dyn Fn(usize, usize) + Send + Sync)) -> Result<SqlEnd, Failure> {
    let missing =
        || Failure::user("REQUEST_UNREADABLE", "the request has no SQL").help("the values of a container are for floe task-report");
    let sql = request.sql.as_ref().ok_or_else(missing)?;
    let (settings, parameters) = request::task_settings(request, environment)?;
    let task =
        SqlTask { sql, parameters: &parameters, has_pipeline: request.pipeline.is_some(), visible: request.visible_tables.as_slice() };
    Box::pin(run_sql(&task, &settings, progress)).await
}

/// A report that says what is known before the work.
fn begun(request: &TaskRequest, environment: &Environment) -> WorkReport {
    let report = WorkReport::new(ReportKind::Task, &environment.pod);
    let shown = request.parameters.iter().map(|parameter| {
        let value = parameter.value.as_deref().filter(|_| !parameter.secret && parameter.env.is_none()).unwrap_or(HIDDEN);
        (parameter.name.clone(), value.to_string())
    });
    let task = TaskReport { parameters: shown.collect(), ..TaskReport::default() };
    report.update(|report| (report.state, report.task) = (Some(UpdateState::Running), Some(task)));
    report
}

/// The result of the last statement, without values of secret parameters.
fn finished(report: &WorkReport, end: SqlEnd, redaction: &Redaction) {
    let SqlEnd { mut output, mut values, .. } = end;
    if redaction.has_secrets() {
        let mut rows = Value::Array(output.rows());
        redaction.json(&mut rows);
        output.rows = rows.to_string();
        for value in values.values_mut() {
            redaction.json(value);
        }
    }
    report.update(|report| {
        let task = report.task.get_or_insert_default();
        task.output = Some(output);
        task.values = texts(values);
    });
}

/// Values as the report keeps them.
fn texts(values: BTreeMap<String, Value>) -> BTreeMap<String, String> {
    values.into_iter().map(|(key, value)| (key, value.to_string())).collect()
}

/// Waits until the task container has ended, which SIGTERM tells a side-car, and publishes what it has left behind: one write. The files outlive
/// this process, so it may be killed and started again at any time.
pub(super) async fn task_report(command: &Requested, environment: &Environment) -> Outcome {
    let signals = Signals::listen()?;
    let outcome = match request::read_task(&command.request) {
        Ok(request) => {
            signals.first().await;
            Box::pin(publish(command, &request, environment)).await
        }
        Err(failure) => Err(failure),
    };
    told(outcome, environment, &Redaction::default())
}

async fn publish(command: &Requested, request: &TaskRequest, environment: &Environment) -> Outcome {
    let started = Instant::now();
    let grace = Duration::from_secs(u64::try_from(request.grace_period_seconds).unwrap_or_default());
    let folder = request.container.clone().unwrap_or_default().values;
    let (values, outcome) = match collect_values(Path::new(&folder)) {
        Ok(values) => (values, Ok(0)),
        Err(failure) => (BTreeMap::new(), Err(failure)),
    };
    let report = begun(request, environment);
    let (code, failure) = parts(&outcome);
    report.update(|report| {
        report.task.get_or_insert_default().values = texts(values);
        report.state = Some(if code == 0 { UpdateState::Completed } else { UpdateState::Failed });
        report.result = Some(result(code, failure, &Redaction::default()));
    });
    if let Some(reports) = super::reports(request.report.as_ref(), environment, command.report).await {
        let writing = report.write_to(reports).await;
        writing.finish(grace.saturating_sub(LAST_MOMENT + started.elapsed()).max(LEAST_REPORT)).await;
    }
    outcome
}
