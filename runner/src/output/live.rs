//! Progress while an update runs, on standard error: a line that moves per running flow on a terminal, plain lines elsewhere.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use floe_crds::state::{EventLevel, FlowState, UpdateState};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Paint, Terminal, counted, duration, thousands};
use crate::{
    event_log::{
        Observer,
        event::{EventDetails, FlowProgress, MaintenanceOperation, MaintenanceProgress, OperationStatus},
        record::Record,
    },
    execute::progress::Moving,
    failure::Failure,
};

/// How often moving lines are drawn.
const FRAME: Duration = Duration::from_millis(120);

/// The display of one update.
pub struct LiveDisplay {
    terminal: Terminal,
    lines: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The phase before flows run.
    phase: Option<ProgressBar>,
    flows: BTreeMap<String, RunningFlow>,
    /// Tables that are written again for wider types.
    altered: BTreeMap<String, RunningFlow>,
    /// The class of the last failure of the event log that was told: each is told once, however often it is met.
    log_failed: Option<String>,
}

struct RunningFlow {
    since: Instant,
    /// Rows and files of committed micro-batches.
    rows: u64,
    /// Rows that change events took out of the target.
    deleted: u64,
    /// Kept out of the target, those in quarantine not counted.
    dropped: u64,
    quarantined: u64,
    batches: u64,
    bar: Option<ProgressBar>,
}

impl LiveDisplay {
    /// A display on `terminal`.
    pub fn new(terminal: Terminal) -> Self {
        let target = if terminal.live { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        Self { terminal, lines: MultiProgress::with_draw_target(target), state: Mutex::default() }
    }

    /// Takes the moving lines away; the closing table comes next.
    pub fn finish(&self) {
        let mut state = self.lock();
        if let Some(phase) = state.phase.take() {
            phase.finish_and_clear();
        }
        let altered = std::mem::take(&mut state.altered);
        for flow in std::mem::take(&mut state.flows).into_values().chain(altered.into_values()) {
            if let Some(bar) = flow.bar {
                bar.finish_and_clear();
            }
        }
        let _ = self.lines.clear();
    }

    /// The user asked for an end: what runs is finished first.
    pub fn stopping(&self) {
        let text = "stopping: the micro-batches in hand are committed first; once more Ctrl-C ends at once (nothing is lost)";
        self.say(&format!("{} {text}", Paint::Yellow.on("·", self.terminal.color_err)));
    }

    /// A line that stays, above the moving ones.
    fn say(&self, line: &str) {
        if self.terminal.quiet {
            return;
        }
        if self.terminal.live {
            let _ = self.lines.println(line);
        } else {
            self.terminal.err(line);
        }
    }

    fn moving_line(&self, name: &str, template: &str) -> Option<ProgressBar> {
        if !self.terminal.live {
            return None;
        }
        let style = ProgressStyle::with_template(template).ok()?.tick_strings(&["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", " "]);
        let bar = self.lines.add(ProgressBar::new_spinner().with_style(style).with_prefix(name.to_string()));
        bar.enable_steady_tick(FRAME);
        Some(bar)
    }

    fn flow_progress(&self, flow: &str, record: &Record, progress: &FlowProgress) {
        let mut state = self.lock();
        match progress.status {
            FlowState::Starting | FlowState::Planning | FlowState::Running => {
                if let Some(phase) = state.phase.take() {
                    phase.finish_and_clear();
                }
                let line = || RunningFlow::new(self.moving_line(flow, "{spinner:.cyan} {prefix:<24} {wide_msg}"));
                let running = state.flows.entry(flow.to_string()).or_insert_with(line);
                if progress.metrics.is_some() {
                    running.count(progress);
                }
                running.show(Moving::default());
            }
            FlowState::Completed | FlowState::Idle | FlowState::Stopped => {
                let Some(mut running) = state.flows.remove(flow) else { return };
                drop(state);
                running.count(progress);
                running.clear();
                if let Some(line) = ended_line(flow, progress.status, &running, self.terminal.color_err) {
                    self.say(&line);
                }
            }
            FlowState::Failed | FlowState::Skipped => {
                if let Some(running) = state.flows.remove(flow) {
                    running.clear();
                }
                drop(state);
                self.say(&failed_line(flow, record, progress.status, self.terminal.color_err));
            }
            FlowState::Queued | FlowState::Excluded => {}
        }
    }

    fn update_progress(&self, state: UpdateState) {
        let phase = match state {
            UpdateState::Initializing => "planning",
            UpdateState::Resetting => "resetting",
            UpdateState::SettingUpTables => "setting up tables",
            _ => return,
        };
        let mut shown = self.lock();
        if let Some(bar) = shown.phase.take() {
            bar.finish_and_clear();
        }
        shown.phase = self.moving_line(phase, "{spinner:.cyan} {prefix}");
    }

    /// A table that is written again has a line of its own: the flow that waits for it does nothing.
    fn maintenance_progress(&self, progress: &MaintenanceProgress) {
        if progress.operation != MaintenanceOperation::TypeWidening {
            return;
        }
        let mut state = self.lock();
        match progress.status {
            OperationStatus::Started => {
                let name = progress.dataset.rsplit('.').next().unwrap_or_default();
                let count = |key: &str| progress.metrics.get(key).map(|count| count.unsigned_abs());
                let of = count("rows_total").map(|rows| counted(rows, "row")).or_else(|| Some(counted(count("files_total")?, "file")));
                let line = format!("widening {name}, {}", of.unwrap_or_default());
                let running = RunningFlow::new(self.moving_line(&line, "{spinner:.cyan} {prefix:<24} {wide_msg}"));
                state.altered.insert(progress.dataset.clone(), running);
            }
            OperationStatus::InProgress => {}
            OperationStatus::Completed | OperationStatus::Canceled | OperationStatus::Failed => {
                if let Some(running) = state.altered.remove(&progress.dataset) {
                    running.clear();
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for LiveDisplay {
    fn recorded(&self, record: &Record) {
        if self.terminal.verbose > 0 {
            self.say(&event_line(record, self.terminal.color_err));
        }
        match &record.typed {
            EventDetails::FlowProgress(progress) if is_warning(record, progress) => {
                self.say(&format!("{} {}", Paint::Yellow.on("!", self.terminal.color_err), record.message));
            }
            EventDetails::FlowProgress(progress) => {
                self.flow_progress(record.subject.flow_name.as_deref().unwrap_or_default(), record, progress);
            }
            EventDetails::UpdateProgress(progress) => self.update_progress(progress.state),
            EventDetails::MaintenanceProgress(progress) => self.maintenance_progress(progress),
            EventDetails::SchemaChange(_) | EventDetails::ResetProgress(_) if self.terminal.verbose == 0 => {
                self.say(&format!("{} {}", Paint::Cyan.on("·", self.terminal.color_err), record.message));
            }
            _ => {}
        }
    }

    fn moving(&self, flow: &str, moving: Moving) {
        let state = self.lock();
        if let Some(running) = state.altered.get(flow).or_else(|| state.flows.get(flow)) {
            running.show(moving);
        }
    }

    fn log_failed(&self, failure: &Failure) {
        if self.lock().log_failed.replace(failure.error.clone()).as_ref() == Some(&failure.error) {
            return;
        }
        self.say(&format!("{} the event log cannot be written: {failure}", Paint::Yellow.on("!", self.terminal.color_err)));
    }
}

/// A remark of a flow that goes on: its level says that it is unexpected, and it carries no numbers.
fn is_warning(record: &Record, progress: &FlowProgress) -> bool {
    record.level == EventLevel::Warn && progress.status == FlowState::Running
}

impl RunningFlow {
    fn new(bar: Option<ProgressBar>) -> Self {
        Self { since: Instant::now(), rows: 0, deleted: 0, dropped: 0, quarantined: 0, batches: 0, bar }
    }

    fn count(&mut self, progress: &FlowProgress) {
        let rows = progress.metrics.as_ref().and_then(crate::execute::progress::FlowMetrics::rows_written);
        self.rows += rows.unwrap_or(0);
        self.deleted += progress.metrics.as_ref().and_then(|metrics| metrics.cdc).map_or(0, |counts| counts.deleted);
        if let Some(quality) = &progress.data_quality {
            self.dropped += quality.dropped_records.saturating_sub(quality.quarantined_records);
            self.quarantined += quality.quarantined_records;
        }
        self.batches += u64::from(rows.is_some());
    }

    /// Shows what is committed and what the micro-batch in hand has done.
    fn show(&self, moving: Moving) {
        if let Some(bar) = &self.bar {
            bar.set_message(self.message(moving, self.since.elapsed().as_secs_f64()));
        }
    }

    fn message(&self, moving: Moving, seconds: f64) -> String {
        let rows = self.rows + moving.rows;
        let mut text = format!("{:>14}{}", counted(rows, "row"), also(self.deleted, "deleted"));
        if rows > 0 && seconds > 0.2 {
            let _ = write!(text, "  {:>10}/s", thousands((rows as f64 / seconds) as u64));
        }
        if moving.read > 0 && moving.rows == 0 {
            let _ = write!(text, "  {} read", thousands(moving.read));
        }
        if moving.files > 0 {
            let _ = write!(text, "  {}", counted(moving.files, "file"));
        }
        if self.batches > 1 {
            let _ = write!(text, "  {} batches committed", thousands(self.batches));
        }
        text
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The line of a flow that ended well; none if it had nothing to do.
fn ended_line(flow: &str, status: FlowState, running: &RunningFlow, color: bool) -> Option<String> {
    let time = duration(running.since.elapsed().as_millis() as u64);
    if status == FlowState::Stopped {
        return Some(format!("{} {flow:<24} stopped after {}", Paint::Yellow.on("·", color), counted(running.rows, "row")));
    }
    if running.rows + running.deleted + running.dropped + running.quarantined == 0 {
        return None;
    }
    let (rows, deleted) = (counted(running.rows, "row"), also(running.deleted, "deleted"));
    let (dropped, quarantined) = (also(running.dropped, "dropped"), also(running.quarantined, "quarantined"));
    Some(format!("{} {flow:<24} {rows}{deleted}{dropped}{quarantined} in {time}", Paint::Green.on("✓", color)))
}

/// `, 12 deleted`; nothing without any.
fn also(number: u64, what: &str) -> String {
    if number == 0 { String::new() } else { format!(", {} {what}", thousands(number)) }
}

/// The line of a flow that failed or does not run. The rendered failure follows at the end; of one that is tried again nobody hears more,
/// so its cause stands here.
fn failed_line(flow: &str, record: &Record, status: FlowState, color: bool) -> String {
    let cause = record.error.as_ref().and_then(|error| error.exceptions.first());
    let class = cause.and_then(|cause| cause.class_name.as_deref()).unwrap_or("failed");
    match (status, record.level) {
        (FlowState::Skipped, _) => {
            let roots = record.message.split_once("failure(s): ").map_or("", |(_, roots)| roots.trim_end_matches('.'));
            format!("{} {flow:<24} skipped: {roots} failed", Paint::Yellow.on("-", color))
        }
        (_, EventLevel::Warn) => {
            let retrying = record.message.split_once("FAILED. ").map_or("", |(_, retrying)| retrying);
            let message = cause.map_or("", |cause| cause.message.as_str());
            format!("{} {flow:<24} [{class}] {message}. {retrying}", Paint::Yellow.on("✗", color))
        }
        _ => format!("{} {flow:<24} failed: {class}", Paint::Red.on("✗", color)),
    }
}

/// One event as a line: time, level, message.
pub fn event_line(record: &Record, color: bool) -> String {
    let level = level_word(record.level, color);
    let time = record.timestamp.format("%H:%M:%S%.3f").to_string();
    format!("{} {level} {}", Paint::Dim.on(&time, color), record.message)
}

/// The level in seven columns, painted.
pub fn level_word(level: EventLevel, color: bool) -> String {
    let paint = match level {
        EventLevel::Metrics => Paint::Dim,
        EventLevel::Info => Paint::Cyan,
        EventLevel::Warn => Paint::Yellow,
        EventLevel::Error => Paint::Red,
    };
    paint.on(&format!("{:<7}", level.as_str()), color)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::event_log::{
        EventLog, Outputs,
        event::{Event, Subject},
        message::Retry,
        record::Identity,
    };

    /// Keeps the lines that the display would print for failed flows.
    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Observer for Lines {
        fn recorded(&self, record: &Record) {
            let EventDetails::FlowProgress(progress) = &record.typed else { return };
            let flow = record.subject.flow_name.clone().unwrap_or_default();
            self.0.lock().unwrap().push(failed_line(&flow, record, progress.status, false));
        }
        fn moving(&self, _: &str, _: Moving) {}
        fn log_failed(&self, _: &Failure) {}
    }

    #[test]
    fn failed_and_skipped_flows_have_one_short_line() {
        let lines = Arc::new(Lines::default());
        let outputs = Outputs { observers: vec![Arc::clone(&lines) as _], ..Outputs::default() };
        let log = EventLog::start(Identity::default(), outputs, None);
        let subject = || Subject::flow("orders", "id", "main.shop.orders");
        let failure = Failure::transient("TIMEOUT", "no answer in 30 s");
        let retry = Retry { delay_seconds: 5, attempt: 2, attempts: Some(3) };
        log.record(Event::flow_failed(subject(), &failure, None, Some(retry)));
        log.record(Event::flow_failed(subject(), &failure, None, None));
        log.record(Event::flow_skipped(subject(), &["bronze".to_string()]));
        let expected = [
            "✗ orders                   [TIMEOUT] no answer in 30 s. Retrying in 5 seconds (attempt 2 of 3).",
            "✗ orders                   failed: TIMEOUT",
            "- orders                   skipped: bronze failed",
        ];
        assert_eq!(*lines.0.lock().unwrap(), expected);
    }

    #[test]
    fn a_running_flow_says_what_it_has_read_before_it_writes() {
        let flow = |rows, batches| RunningFlow { since: Instant::now(), rows, deleted: 0, dropped: 0, quarantined: 0, batches, bar: None };
        let moving = |rows, read, files| Moving { rows, read, files };
        assert_eq!(flow(0, 0).message(moving(0, 81_920, 0), 1.0), "        0 rows  81,920 read");
        assert_eq!(flow(0, 0).message(moving(8_192, 81_920, 1), 2.0), "    8,192 rows       4,096/s  1 file");
        assert_eq!(flow(100, 2).message(moving(0, 50, 0), 0.1), "      100 rows  50 read  2 batches committed");
        let deleting = RunningFlow { deleted: 1_200, ..flow(100, 2) };
        assert_eq!(deleting.message(moving(0, 0, 0), 0.1), "      100 rows, 1,200 deleted  2 batches committed");
    }

    #[test]
    fn a_flow_that_had_nothing_to_do_is_not_mentioned() {
        let flow = |rows, dropped| RunningFlow { since: Instant::now(), rows, deleted: 0, dropped, quarantined: 0, batches: 1, bar: None };
        assert_eq!(ended_line("orders", FlowState::Completed, &flow(0, 0), false), None);
        let line = ended_line("orders", FlowState::Completed, &flow(1_000, 2), false).unwrap();
        assert!(line.starts_with("✓ orders                   1,000 rows, 2 dropped in "), "{line}");
        let only_deletes = RunningFlow { deleted: 3, ..flow(0, 0) };
        let line = ended_line("orders", FlowState::Completed, &only_deletes, false).unwrap();
        assert!(line.starts_with("✓ orders                   0 rows, 3 deleted in "), "{line}");
        let stopped = ended_line("orders", FlowState::Stopped, &flow(1, 0), false);
        assert_eq!(stopped.unwrap(), "· orders                   stopped after 1 row");
    }
}
