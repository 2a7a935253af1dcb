//! A run of a Job as people see it: a line per change of a task, and a closing table.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table};
use floe_crds::{
    job::TaskKind,
    job_run::{JobRunStatus, TaskStatus},
    run::attempt::EndClass,
    state::{RunResultState, RunState, TaskResultState, TaskState, TerminationCode},
};

use super::{HEADER_LINE_ONLY, Paint, Terminal, counted, duration};
use crate::job::Outcome;

/// The titles of the columns.
const TITLES: [&str; 5] = ["task", "result", "attempts", "duration", "message"];

/// Tells of runs on standard error.
#[derive(Clone, Debug)]
pub struct JobDisplay {
    terminal: Terminal,
}

impl JobDisplay {
    pub fn new(terminal: Terminal) -> Self {
        Self { terminal }
    }

    /// One line for each task that is elsewhere than before. `prefix` says which run they belong to, if it is one within another.
    pub fn changes(&self, prefix: &str, before: &JobRunStatus, after: &JobRunStatus) {
        for task in &after.tasks {
            let earlier = before.tasks.iter().find(|other| other.name == task.name);
            // A repair may decide a task again without a new attempt.
            let place = |task: &TaskStatus| (task.state, task.execution_count, task.repair_id);
            if earlier.map(place) != Some(place(task))
                && let Some((sign, text)) = Self::line(task)
            {
                self.say(sign, &format!("{prefix}{}", task.name), &text);
            }
        }
    }

    /// One iteration of a loop has ended; what went well is told with the loop.
    pub fn iteration(&self, prefix: &str, task: &str, number: usize, outcome: &Outcome) {
        if outcome.class != EndClass::Success {
            self.say(Sign::Bad, &format!("{prefix}{task}[{number}]"), &outcome.message);
        }
    }

    fn say(&self, sign: Sign, name: &str, text: &str) {
        self.terminal.note(&format!("{} {name:<24} {text}", sign.painted(self.terminal.color_err)).trim_end().replace('\n', "\n  "));
    }

    fn line(task: &TaskStatus) -> Option<(Sign, String)> {
        let message = task.message.as_deref().unwrap_or_default();
        let attempt = if task.execution_count > 1 { format!(" (attempt {})", task.execution_count) } else { String::new() };
        match task.state {
            TaskState::Blocked | TaskState::Pending => None,
            TaskState::Queued => Some((Sign::Quiet, format!("queued: {message}"))),
            TaskState::Running => Some((Sign::Quiet, format!("running{attempt}"))),
            TaskState::Terminating => Some((Sign::Warn, "stopping".to_string())),
            TaskState::WaitingForRetry => Some((Sign::Warn, format!("tried again{}: {message}", at(task)))),
            TaskState::Terminated => Some(ended(task, message)),
        }
    }
}

/// When the next attempt comes, if not at once.
fn at(task: &TaskStatus) -> String {
    let next = task.next_retry_time.as_ref().map(|time| time.0.strftime("%H:%M:%SZ").to_string());
    next.map(|next| format!(" at {next}")).unwrap_or_default()
}

fn ended(task: &TaskStatus, message: &str) -> (Sign, String) {
    let result = task.result_state.unwrap_or(TaskResultState::Success);
    let word = word(task);
    let told = if message.is_empty() { String::new() } else { format!(": {message}") };
    match result {
        TaskResultState::Success if task.kind == TaskKind::Condition => (Sign::Good, task.outcome.clone().unwrap_or_default()),
        TaskResultState::Success => {
            let all = iterations(task).map(|all| format!(", {all}")).unwrap_or_default();
            (Sign::Good, format!("{word} in {}{all}", spent(task)))
        }
        TaskResultState::Failed | TaskResultState::TimedOut => {
            // What could not begin took no time.
            let after = Some(spent(task)).filter(|spent| !spent.is_empty()).map(|spent| format!(" after {spent}")).unwrap_or_default();
            (Sign::Bad, format!("{word}{after}{told}"))
        }
        TaskResultState::Canceled => (Sign::Warn, format!("{word}{told}")),
        TaskResultState::UpstreamFailed | TaskResultState::UpstreamCanceled => (Sign::Warn, word),
        TaskResultState::Excluded | TaskResultState::Disabled => (Sign::Quiet, word),
    }
}

/// What became of a task, or where it is.
fn word(task: &TaskStatus) -> String {
    if task.termination_code == Some(TerminationCode::NotSelected) {
        return "not selected".to_string();
    }
    task.result_state.map_or_else(|| task.state.as_str(), TaskResultState::as_str).to_lowercase().replace('_', " ")
}

fn iterations(task: &TaskStatus) -> Option<String> {
    let all = task.for_each.as_ref().filter(|all| all.total > 0)?;
    let succeeded = all.succeeded + all.excluded;
    let total = counted(all.total.cast_unsigned().into(), "iteration");
    Some(if succeeded == all.total { total } else { format!("{succeeded} of {total}") })
}

/// How long the newest execution of a task took.
pub fn spent(task: &TaskStatus) -> String {
    let (Some(start), Some(end)) = (&task.start_time, &task.end_time) else { return String::new() };
    let millis = u64::try_from(end.0.duration_since(start.0).as_millis()).unwrap_or_default();
    // Of tasks of an earlier process only the seconds are known.
    let is_read = start.0.subsec_nanosecond() == 0 && end.0.subsec_nanosecond() == 0;
    if is_read && millis == 0 { "< 1 s".to_string() } else { duration(millis) }
}

#[derive(Clone, Copy)]
enum Sign {
    Good,
    Bad,
    Warn,
    Quiet,
}

impl Sign {
    fn painted(self, color: bool) -> String {
        match self {
            Self::Good => Paint::Green.on("✓", color),
            Self::Bad => Paint::Red.on("✗", color),
            Self::Warn => Paint::Yellow.on("!", color),
            Self::Quiet => Paint::Dim.on("·", color),
        }
    }
}

/// A run that has ended, for the end of a command.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Name of the Job.
    pub job: &'a str,
    /// Name of the run.
    pub run: &'a str,
    pub status: &'a JobRunStatus,
    /// The command that goes on from here.
    pub again: &'a str,
}

/// The closing table and one sentence.
pub fn closing(ended: &Ended<'_>, color: bool) -> String {
    let mut parts = Vec::new();
    if !ended.status.tasks.is_empty() {
        parts.push(table(&ended.status.tasks, color).trim_fmt());
    }
    parts.push(sentence(ended, color));
    parts.join("\n")
}

fn table(tasks: &[TaskStatus], color: bool) -> Table {
    let mut table = titled(&TITLES, color);
    for task in tasks {
        let attempts = if task.execution_count == 0 { String::new() } else { task.execution_count.to_string() };
        let message = task.message.clone().or_else(|| task.outcome.clone()).or_else(|| iterations(task)).unwrap_or_default();
        table.add_row(vec![
            Cell::new(&task.name),
            result_cell(task, color),
            Cell::new(attempts).set_alignment(CellAlignment::Right),
            Cell::new(spent(task)).set_alignment(CellAlignment::Right),
            Cell::new(message),
        ]);
    }
    break_last_only(&mut table, TITLES.len());
    table
}

/// An empty table with these titles.
pub fn titled(titles: &[&str], color: bool) -> Table {
    let mut table = Table::new();
    table.load_preset(HEADER_LINE_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(titles.iter().map(|title| if color { Cell::new(title).add_attribute(Attribute::Bold) } else { Cell::new(title) }));
    table
}

/// In a narrow terminal texts of the last of so many columns are broken, nothing else.
pub fn break_last_only(table: &mut Table, columns: usize) {
    for column in 0..columns - 1 {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
}

/// Where a task is, or how it ended.
pub fn result_cell(task: &TaskStatus, color: bool) -> Cell {
    let text = word(task);
    match task.result_state {
        Some(TaskResultState::Success) if color => Cell::new(text).fg(Color::Green),
        Some(TaskResultState::Failed | TaskResultState::TimedOut) if color => Cell::new(text).fg(Color::Red),
        Some(TaskResultState::Canceled | TaskResultState::UpstreamFailed | TaskResultState::UpstreamCanceled) if color => {
            Cell::new(text).fg(Color::Yellow)
        }
        _ => Cell::new(text),
    }
}

fn sentence(ended: &Ended<'_>, color: bool) -> String {
    let Ended { job, run, status, again } = ended;
    let time = match (status.repairs.last().and_then(|repair| repair.start_time.as_ref()), &status.end_time) {
        (Some(start), Some(end)) => duration(u64::try_from(end.0.duration_since(start.0).as_millis()).unwrap_or_default()),
        _ => "0 ms".to_string(),
    };
    let told = status.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    if status.state == Some(RunState::Skipped) {
        return format!("{} was skipped{told}; run {run}", Paint::Yellow.on(job, color));
    }
    match status.result_state {
        Some(RunResultState::Success) => format!("{} succeeded ({time}); run {run}", Paint::Green.on(job, color)),
        Some(RunResultState::SuccessWithFailures) => {
            format!("{} succeeded with failures ({time}); run {run}", Paint::Yellow.on(job, color))
        }
        Some(RunResultState::Canceled) => format!("{} was canceled ({time}); go on with: {again}", Paint::Yellow.on(job, color)),
        Some(RunResultState::TimedOut) => format!("{} took too long ({time}){told}\nrepair it with: {again}", Paint::Red.on(job, color)),
        _ => format!("{} failed ({time}){told}\nrepair it with: {again}", Paint::Red.on(job, color)),
    }
}
