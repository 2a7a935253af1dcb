//! All references that there are: one list for the check, the resolution and the documentation.

use std::fmt::Write;

use super::time::TimeForm;

/// What a reference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term {
    JobId,
    JobName,
    RunId,
    RunName,
    RepairCount,
    StartTime,
    TriggerType,
    TriggerTime,
    FileLocation,
    UpdatedTables,
    TableVersion,
    TableTimestamp,
    CompletedJobName,
    CompletedRunId,
    CompletedRunName,
    CompletedResult,
    Parameter,
    ThisName,
    ThisRunId,
    ThisExecutionCount,
    ThisRetries,
    ResultState,
    ErrorCode,
    TaskRunId,
    ExecutionCount,
    TaskValue,
    Rows,
    FirstRow,
    RowCount,
    Truncated,
    UpdateId,
    UpdateName,
    ChildRunId,
    ChildRunName,
    Input,
    SliceStart,
    SliceEnd,
    WorkspaceId,
    WorkspaceUrl,
}

/// Where a reference means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// Everywhere, also in the defaults of job parameters.
    Everywhere,
    /// In tasks.
    Tasks,
    /// In the nested task of a loop.
    Iterations,
}

impl Known {
    /// The words for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Everywhere => "tasks, defaults of job parameters",
            Self::Tasks => "tasks",
            Self::Iterations => "the nested task of a forEach",
        }
    }
}

/// A kind of references.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its path: `<t>` stands for a form of a time, other words in brackets for any name, `…` for more names.
    pub pattern: &'static str,
    /// Where it may stand.
    pub known: Known,
    /// What it is replaced with.
    pub about: &'static str,
    pub(super) term: Term,
    form: Option<TimeForm>,
}

const fn entry(pattern: &'static str, term: Term, known: Known, about: &'static str) -> Entry {
    Entry { pattern, known, about, term, form: None }
}

const fn run(pattern: &'static str, term: Term, about: &'static str) -> Entry {
    entry(pattern, term, Known::Everywhere, about)
}

const fn task(pattern: &'static str, term: Term, about: &'static str) -> Entry {
    entry(pattern, term, Known::Tasks, about)
}

const fn at(form: TimeForm, entry: Entry) -> Entry {
    Entry { form: Some(form), ..entry }
}

/// All of them.
pub const LIST: &[Entry] = &[
    run("job.id", Term::JobId, "uid of the Job"),
    run("job.name", Term::JobName, "name of the Job"),
    run("job.run_id", Term::RunId, "uid of the JobRun"),
    run("job.run_name", Term::RunName, "name of the JobRun"),
    run("job.repair_count", Term::RepairCount, "0, with each repair one more"),
    run("job.start_time.<t>", Term::StartTime, "start of the run; a repair keeps it"),
    at(TimeForm::IsoDatetime, run("job.start_time", Term::StartTime, "the same as `job.start_time.iso_datetime`")),
    run(
        "job.trigger.type",
        Term::TriggerType,
        "`one_time`, `periodic`, `file_arrival`, `table`, `job_completion`, `continuous`, `run_job_task` or `backfill`",
    ),
    run("job.trigger.time.<t>", Term::TriggerTime, "the instant of the schedule or slice, however long the run was queued"),
    run("job.trigger.file_arrival.location", Term::FileLocation, "the watched directory"),
    run("job.trigger.table_update.updated_tables", Term::UpdatedTables, "JSON array of full table names"),
    run("job.trigger.table_update.<table>.version", Term::TableVersion, "newest version of the table; its full name in backticks"),
    run("job.trigger.table_update.<table>.commit_timestamp", Term::TableTimestamp, "when that version was committed"),
    run("job.trigger.job_completion.job_name", Term::CompletedJobName, "the Job whose run has ended"),
    run("job.trigger.job_completion.run_id", Term::CompletedRunId, "uid of that run"),
    run("job.trigger.job_completion.run_name", Term::CompletedRunName, "name of that run"),
    run("job.trigger.job_completion.result_state", Term::CompletedResult, "its result in lower case, as of a task"),
    run("job.parameters.<name>", Term::Parameter, "a job parameter"),
    task("task.name", Term::ThisName, "name of this task"),
    task("task.run_id", Term::ThisRunId, "uid of what this attempt runs as"),
    task("task.execution_count", Term::ThisExecutionCount, "number of this attempt, over all repairs"),
    task(
        "tasks.<task>.result_state",
        Term::ResultState,
        "`success`, `failed`, `excluded`, `canceled`, `timedout`, `upstream_failed`, `upstream_canceled` or `disabled`",
    ),
    task("tasks.<task>.error_code", Term::ErrorCode, "the termination code; empty after a success"),
    task("tasks.<task>.run_id", Term::TaskRunId, "uid of its latest attempt"),
    task("tasks.<task>.execution_count", Term::ExecutionCount, "how many attempts it had"),
    task("tasks.<task>.values.<key>", Term::TaskValue, "a task value (sql, container)"),
    task("tasks.<task>.values.<key>.<field>…", Term::TaskValue, "a field of a value that is an object"),
    task("tasks.<task>.output.rows", Term::Rows, "rows of the last statement as a JSON array of objects (sql)"),
    task("tasks.<task>.output.first_row", Term::FirstRow, "the first of them"),
    task("tasks.<task>.output.first_row.<column>…", Term::FirstRow, "a column of it"),
    task("tasks.<task>.output.row_count", Term::RowCount, "how many rows there were"),
    task("tasks.<task>.output.truncated", Term::Truncated, "`true` if not all rows were kept"),
    task("tasks.<task>.output.update_id", Term::UpdateId, "uid of the PipelineUpdate (pipeline)"),
    task("tasks.<task>.output.update_name", Term::UpdateName, "its name"),
    task("tasks.<task>.output.run_id", Term::ChildRunId, "uid of the child JobRun (runJob)"),
    task("tasks.<task>.output.run_name", Term::ChildRunName, "its name"),
    entry("input", Term::Input, Known::Iterations, "the element of this iteration"),
    entry("input.<field>…", Term::Input, Known::Iterations, "a field of an element that is an object"),
    run("backfill.<t>", Term::SliceStart, "start of the slice; empty in all runs but backfills"),
    run("backfill.end.<t>", Term::SliceEnd, "end of the slice; empty in all runs but backfills"),
    task("workspace.id", Term::WorkspaceId, "uid of the namespace `kube-system`"),
    task("workspace.url", Term::WorkspaceUrl, "the operator's setting `consoleUrl`"),
    run("job_id", Term::JobId, "old name of `job.id`"),
    task("run_id", Term::ThisRunId, "old name of `task.run_id`"),
    run("parent_run_id", Term::RunId, "old name of `job.run_id`"),
    at(TimeForm::IsoDate, run("start_date", Term::StartTime, "old name of `job.start_time.iso_date`")),
    at(TimeForm::TimestampMs, run("start_time", Term::StartTime, "old name of `job.start_time.timestamp_ms`")),
    task("task_key", Term::ThisName, "old name of `task.name`"),
    task("task_retry_count", Term::ThisRetries, "number of retries before this attempt, in this repair"),
];

/// Names of the product that this language comes from, which have nothing to stand for here.
pub(super) const ABSENT: [&str; 4] = ["notebook_path", "alert_state", "evicted", "upstream_evicted"];

/// What a path means.
#[derive(Debug, PartialEq)]
pub(super) struct Found<'p> {
    pub term: Term,
    pub known: Known,
    /// How a time is shown.
    pub form: Option<TimeForm>,
    /// The names that stand for the words in brackets.
    pub names: Vec<&'p str>,
}

/// The meaning of a path; `None` if nothing has this name.
pub(super) fn find(segments: &[String]) -> Option<Found<'_>> {
    LIST.iter().find_map(|entry| matched(entry, segments))
}

fn matched<'p>(entry: &Entry, segments: &'p [String]) -> Option<Found<'p>> {
    let mut rest = segments.iter().map(String::as_str);
    let mut found = Found { term: entry.term, known: entry.known, form: entry.form, names: Vec::new() };
    for part in entry.pattern.split('.') {
        let segment = rest.next()?;
        if part == "<t>" {
            found.form = Some(TimeForm::parse(segment)?);
        } else if part.starts_with('<') {
            found.names.push(segment);
            if part.ends_with('…') {
                found.names.extend(rest.by_ref());
            }
        } else if part != segment {
            return None;
        }
    }
    rest.next().is_none().then_some(found)
}

/// Whether a path begins with a word that means something, so that the rest of it must mean something too.
pub(super) fn is_namespace(segments: &[String]) -> bool {
    let Some(first) = segments.first() else { return false };
    // The old names are whole paths: `start_time.x` means nothing.
    namespaces().any(|namespace| namespace == first && (segments.len() == 1 || has_more(namespace)))
}

/// The first words of all paths.
pub(super) fn namespaces() -> impl Iterator<Item = &'static str> {
    LIST.iter().filter_map(|entry| entry.pattern.split('.').next())
}

fn has_more(namespace: &str) -> bool {
    LIST.iter().any(|entry| entry.pattern.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('.')))
}

/// The reference of references as Markdown.
pub fn page() -> String {
    let mut out = String::from(
        "# References in Jobs\n\n\
         `{{path}}` is replaced as text, once, when an attempt of a task is made. References may stand in defaults of job parameters, in\n\
         `parameters` of pipeline, sql and runJob tasks, in names of refresh lists, in `command`, `args`, `workingDir` and `env[].value` of\n\
         containers, in `condition.left` and `condition.right`, and in `forEach.inputs`; nowhere else. There are no expressions.\n\n\
         - The names of a path are letters, digits, `_` and `-`; others stand in backticks: ``{{job.parameters.`a.b`}}``.\n\
         - `\\{{` is a literal `{{`. Braces that are no reference stay as they are, with a warning.\n\
         - Strings are put in as they are, other JSON values as compact JSON, null as nothing.\n\
         - What is put in is not read again. Only defaults of job parameters may lead to other parameters.\n\
         - A text may have 64 KiB after the replacement.\n\
         - `tasks.<task>` must be a task that this one depends on, directly or through others.\n\n\
         | reference | is replaced with | known in |\n|---|---|---|\n",
    );
    for entry in LIST {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| `{}` | {} | {} |", entry.pattern, entry.about, entry.known.as_str());
    }
    out.push_str("\nForms of a time, `<t>`; all are in UTC:\n\n| form | shows |\n|---|---|\n");
    out.push_str(&TimeForm::rows());
    out
}
