//! What references are replaced with when an attempt is made.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    list::{self, Found, Term},
    parse::{Piece, Template},
    time::TimeForm,
};
use crate::{
    job_run::TriggerType,
    run::values,
    state::{RunResultState, TaskResultState, TerminationCode},
};

/// Longest text after the replacement, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// All that references can mean at one moment. What is unknown is `None`: a reference to it is an error.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The Job.
    pub job: JobFacts<'a>,
    /// The JobRun.
    pub run: RunFacts<'a>,
    /// What started it.
    pub trigger: TriggerFacts<'a>,
    /// Its slice; only in runs of a backfill.
    pub backfill: Option<SliceFacts>,
    /// The values of the job parameters.
    pub parameters: &'a BTreeMap<String, String>,
    /// The task whose attempt is made; `None` for job parameters.
    pub task: Option<ThisTask<'a>>,
    /// The tasks upstream.
    pub tasks: &'a BTreeMap<String, TaskFacts<'a>>,
    /// The element of the iteration.
    pub input: Option<&'a Value>,
    /// The installation.
    pub workspace: WorkspaceFacts<'a>,
}

/// The Job.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobFacts<'a> {
    /// Its uid.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// The JobRun.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunFacts<'a> {
    /// Its uid.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The id of the newest repair; 0 = none.
    pub repair_count: i32,
    /// When it left the queue.
    pub start_time: Option<Timestamp>,
}

/// What started the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct TriggerFacts<'a> {
    /// Its type.
    pub kind: TriggerType,
    /// The scheduled instant; only of Periodic and Backfill.
    pub time: Option<Timestamp>,
    /// The watched directory; only of FileArrival.
    pub location: Option<&'a str>,
    /// Full name of a table → what is new in it; only of Table.
    pub tables: Option<&'a BTreeMap<String, TableVersion>>,
    /// The run that has ended; only of JobCompletion.
    pub completion: Option<Completion<'a>>,
}

/// What is new in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableVersion {
    /// Its newest version.
    pub version: i64,
    /// When that was committed.
    pub commit_time: Option<Timestamp>,
}

/// A run of another Job that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Completion<'a> {
    /// Name of the Job.
    pub job_name: &'a str,
    /// Uid of its run.
    pub run_id: &'a str,
    /// Name of its run.
    pub run_name: &'a str,
    /// Its result.
    pub result_state: RunResultState,
}

/// A slice of a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceFacts {
    /// Its start.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}

/// The task whose attempt is made.
///
/// `task.run_id` is text of the attempt itself, so it must be known before the object that runs it exists: the caller gives an id that it
/// can compute again (the name of the attempt is one), and names the object by it. Without one the reference is an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisTask<'a> {
    /// Its name.
    pub name: &'a str,
    /// Id of the attempt, if it is known.
    pub run_id: Option<&'a str>,
    /// Number of this attempt over all repairs, from 1.
    pub execution_count: i32,
    /// Retries before this attempt, in this repair.
    pub retries: i32,
}

/// A task upstream.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaskFacts<'a> {
    /// Its result; `None` if it has not ended.
    pub result_state: Option<TaskResultState>,
    /// Why it ended so.
    pub termination_code: Option<TerminationCode>,
    /// Id of its latest attempt; `None` without one.
    pub run_id: Option<&'a str>,
    /// How many attempts it had.
    pub execution_count: i32,
    /// What it said; `None` if it has not run.
    pub values: Option<&'a BTreeMap<String, Value>>,
    /// What its kind of task gives.
    pub output: Output<'a>,
}

/// What a task of a certain kind gives.
#[derive(Clone, Copy, Debug, Default)]
pub enum Output<'a> {
    /// Nothing, or nothing yet.
    #[default]
    None,
    /// A sql task: the result of its last statement.
    Sql(SqlRows<'a>),
    /// A pipeline task: the PipelineUpdate.
    Update {
        /// Its uid.
        id: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A runJob task: the JobRun.
    Run {
        /// Its uid.
        id: &'a str,
        /// Its name.
        name: &'a str,
    },
}

/// A result of SQL, as much of it as was kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct SqlRows<'a> {
    /// Objects, one per row.
    pub rows: &'a [Value],
    /// How many rows there were.
    pub row_count: i64,
    /// Not all were kept.
    pub truncated: bool,
}

/// The installation.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkspaceFacts<'a> {
    /// Uid of the namespace `kube-system`.
    pub id: &'a str,
    /// Where its console is.
    pub url: &'a str,
}

/// Why a text cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// A reference has no value.
    #[error("{reference}: {why}")]
    Missing {
        /// The reference, in braces.
        reference: String,
        /// Why.
        why: String,
    },
    /// The text grew too long.
    #[error("the text has {bytes} bytes and more after the replacement of {reference}, at most {MAX_TEXT_BYTES} are allowed")]
    TooLarge {
        /// The reference that was one too many, or the text itself.
        reference: String,
        /// Its length so far.
        bytes: usize,
    },
}

impl ResolveError {
    /// Why the task failed.
    pub const fn termination_code(&self) -> TerminationCode {
        match self {
            Self::Missing { .. } => TerminationCode::InvalidReference,
            Self::TooLarge { .. } => TerminationCode::ValueTooLarge,
        }
    }
}

/// Replaces the references of `text`, once.
pub fn resolve_text(text: &str, facts: &Facts<'_>) -> Result<String, ResolveError> {
    resolve(&Template::parse(text), facts)
}

/// Replaces the references of `template`, once: what is put in is not read again.
pub fn resolve(template: &Template, facts: &Facts<'_>) -> Result<String, ResolveError> {
    let mut out = String::new();
    for piece in &template.pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Reference(path) => {
                let value = match list::find(&path.segments) {
                    Some(found) => facts.value(&found),
                    None => Err("nothing has this name".to_string()),
                };
                out.push_str(&value.map_err(|why| ResolveError::Missing { reference: path.to_string(), why })?);
            }
        }
        if out.len() > MAX_TEXT_BYTES {
            let reference = if let Piece::Reference(path) = piece { path.to_string() } else { "its references".to_string() };
            return Err(ResolveError::TooLarge { reference, bytes: out.len() });
        }
    }
    Ok(out)
}

/// A value as text, or why there is none.
type Shown = Result<String, String>;

impl Facts<'_> {
    fn value(&self, found: &Found<'_>) -> Shown {
        let time = |time: Option<Timestamp>, why: &str| time.map(|time| time_text(found, time)).ok_or_else(|| why.to_string());
        let slice = |time: fn(SliceFacts) -> Timestamp| Ok(self.backfill.map_or_else(String::new, |slice| time_text(found, time(slice))));
        match found.term {
            Term::JobId => Ok(self.job.id.to_string()),
            Term::JobName => Ok(self.job.name.to_string()),
            Term::RunId => Ok(self.run.id.to_string()),
            Term::RunName => Ok(self.run.name.to_string()),
            Term::RepairCount => Ok(self.run.repair_count.to_string()),
            Term::StartTime => time(self.run.start_time, "the run has not started"),
            Term::TriggerType => Ok(trigger_type(self.trigger.kind).to_string()),
            Term::TriggerTime => {
                time(self.trigger.time, &format!("a run of type {} has no scheduled time", trigger_type(self.trigger.kind)))
            }
            Term::SliceStart => slice(|slice| slice.from),
            Term::SliceEnd => slice(|slice| slice.to),
            Term::WorkspaceId => Ok(self.workspace.id.to_string()),
            Term::WorkspaceUrl => Ok(self.workspace.url.to_string()),
            Term::Parameter => parameter(self.parameters, found),
            Term::Input => input(self.input, found),
            Term::ThisName | Term::ThisRunId | Term::ThisExecutionCount | Term::ThisRetries => self.this_task(found.term),
            Term::FileLocation | Term::UpdatedTables | Term::TableVersion | Term::TableTimestamp => self.event(found),
            Term::CompletedJobName | Term::CompletedRunId | Term::CompletedRunName | Term::CompletedResult => self.completion(found.term),
            _ => self.other_task(found),
        }
    }

    fn event(&self, found: &Found<'_>) -> Shown {
        let kind = trigger_type(self.trigger.kind);
        if found.term == Term::FileLocation {
            return self.trigger.location.map(str::to_string).ok_or_else(|| format!("a run of type {kind} has no location"));
        }
        let tables = self.trigger.tables.ok_or_else(|| format!("a run of type {kind} has no updated tables"))?;
        let Some(name) = found.names.first() else {
            return Ok(Value::from(tables.keys().cloned().collect::<Vec<_>>()).to_string());
        };
        let table = tables.get(*name).ok_or_else(|| format!("table {name} was not updated"))?;
        match (found.term, table.commit_time) {
            (Term::TableVersion, _) => Ok(table.version.to_string()),
            (_, Some(time)) => Ok(time.to_string()),
            (_, None) => Err(format!("the time of version {} is not known", table.version)),
        }
    }

    fn completion(&self, term: Term) -> Shown {
        let run = self.trigger.completion.ok_or_else(|| {
            let kind = trigger_type(self.trigger.kind);
            format!("a run of type {kind} was not started by the end of another")
        })?;
        Ok(match term {
            Term::CompletedJobName => run.job_name.to_string(),
            Term::CompletedRunId => run.run_id.to_string(),
            Term::CompletedRunName => run.run_name.to_string(),
            _ => run.result_state.as_str().to_ascii_lowercase(),
        })
    }

    fn this_task(&self, term: Term) -> Shown {
        let task = self.task.ok_or("there is no task")?;
        match term {
            Term::ThisName => Ok(task.name.to_string()),
            Term::ThisExecutionCount => Ok(task.execution_count.to_string()),
            Term::ThisRetries => Ok(task.retries.to_string()),
            _ => task.run_id.map(str::to_string).ok_or_else(|| format!("the attempt of {} has no id", task.name)),
        }
    }

    fn other_task(&self, found: &Found<'_>) -> Shown {
        let (name, names) = found.names.split_first().ok_or("nothing has this name")?;
        let task = self.tasks.get(*name).ok_or_else(|| format!("there is no task {name} upstream"))?;
        let result = task.result_state.map_or("not ended", TaskResultState::as_str);
        let absent = || format!("task {name} did not run ({result})");
        match found.term {
            Term::ResultState => {
                task.result_state.map(|result| result.as_str().to_ascii_lowercase()).ok_or_else(|| format!("task {name} has not ended"))
            }
            Term::ErrorCode => {
                let code = task.termination_code.filter(|code| *code != TerminationCode::Success);
                Ok(code.map_or("", TerminationCode::as_str).to_string())
            }
            Term::TaskRunId => task.run_id.map(str::to_string).ok_or_else(absent),
            Term::ExecutionCount => Ok(task.execution_count.to_string()),
            Term::TaskValue => {
                let (key, fields) = names.split_first().ok_or("nothing has this name")?;
                let value = task.values.ok_or_else(absent)?.get(*key);
                field_text(value.ok_or_else(|| format!("task {name} set no value {key}"))?, fields, &format!("value {key}"))
            }
            _ => task.output.text(found.term, names).ok_or_else(|| format!("task {name} gave no output ({result})"))?,
        }
    }
}

impl Output<'_> {
    /// `None` if the task has no such output.
    fn text(&self, term: Term, fields: &[&str]) -> Option<Shown> {
        Some(match (term, self) {
            (Term::Rows, Self::Sql(sql)) => Ok(Value::from(sql.rows.to_vec()).to_string()),
            (Term::FirstRow, Self::Sql(sql)) => match sql.rows.first() {
                Some(row) => field_text(row, fields, "the row"),
                None => Err("the result has no rows".to_string()),
            },
            (Term::RowCount, Self::Sql(sql)) => Ok(sql.row_count.to_string()),
            (Term::Truncated, Self::Sql(sql)) => Ok(sql.truncated.to_string()),
            (Term::UpdateId, Self::Update { id, .. }) | (Term::ChildRunId, Self::Run { id, .. }) => Ok((*id).to_string()),
            (Term::UpdateName, Self::Update { name, .. }) | (Term::ChildRunName, Self::Run { name, .. }) => Ok((*name).to_string()),
            _ => return None,
        })
    }
}

fn time_text(found: &Found<'_>, time: Timestamp) -> String {
    found.form.unwrap_or(TimeForm::IsoDatetime).show(time)
}

fn parameter(parameters: &BTreeMap<String, String>, found: &Found<'_>) -> Shown {
    let name = found.names.first().copied().unwrap_or_default();
    parameters.get(name).cloned().ok_or_else(|| format!("the job has no parameter {name}"))
}

fn input(input: Option<&Value>, found: &Found<'_>) -> Shown {
    field_text(input.ok_or("there is no element outside of a forEach")?, &found.names, "the element")
}

fn field_text(value: &Value, fields: &[&str], what: &str) -> Shown {
    let found = values::field(value, fields).ok_or_else(|| format!("{what} has no field {}", fields.join(".")))?;
    Ok(values::text(found))
}

/// The word for a type in texts: `file_arrival` for `FileArrival`.
fn trigger_type(kind: TriggerType) -> &'static str {
    match kind {
        TriggerType::OneTime => "one_time",
        TriggerType::Periodic => "periodic",
        TriggerType::FileArrival => "file_arrival",
        TriggerType::Table => "table",
        TriggerType::JobCompletion => "job_completion",
        TriggerType::Continuous => "continuous",
        TriggerType::RunJobTask => "run_job_task",
        TriggerType::Backfill => "backfill",
    }
}
