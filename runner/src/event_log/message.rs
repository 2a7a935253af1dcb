//! The events as they are written: one constructor per thing that can be said, each with its exact message and level.
#![expect(missing_docs, reason = "the fields say what they are")]

use chrono::{DateTime, Utc};
use floe_crds::state::{FailureClass, FlowState, UpdateState};

use super::event::{
    AddedColumn, CancellationCause, CreateUpdate, DataQuality, DatasetDefinition, DatasetType, Deprecation, ErrorCause, Event,
    EventDetails, EventError, EventLogProgress, FlowDefinition, FlowMetrics, FlowProgress, FlowType, GraphPlanned, Level, Lint,
    MaintenanceProgress, OperationProgress, OperationStatus, PlanningInformation, PlanningNote, ResetProgress, RuntimeDetails,
    SchemaChange, SinkDefinition, StackFrame, StreamProgress, Subject, UpdateProgress, UserAction, WidenedColumn,
};
use crate::{
    execute::progress::{CountedIn, FlowProgress as CommittedProgress},
    failure::Failure,
};

/// What happens after a failure that may be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    pub delay_seconds: u64,
    /// The attempt that comes next, counted from 1.
    pub attempt: u32,
    /// `None`: as many as it takes.
    pub attempts: Option<u32>,
}

impl Event {
    fn new(subject: Subject, level: Level, message: String, details: EventDetails) -> Self {
        Self { subject, level, message, details, error: None, timestamp: None, reports: None }
    }

    /// The same event at another level.
    #[must_use]
    pub fn at_level(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// The same event with another sentence.
    #[must_use]
    pub fn saying(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self }
    }

    /// The same event, with what failed.
    #[must_use]
    pub fn with_error(self, error: EventError) -> Self {
        Self { error: Some(error), ..self }
    }

    /// The same event with the time at which it happened.
    #[must_use]
    pub fn happened_at(self, timestamp: DateTime<Utc>) -> Self {
        Self { timestamp: Some(timestamp), ..self }
    }

    /// The same event, which reports the numbers of this commit.
    #[must_use]
    pub fn reporting(self, commit: Option<CountedIn>) -> Self {
        Self { reports: commit, ..self }
    }

    /// An update, or a further attempt of it, was created.
    pub fn create_update(update_id: &str, create: CreateUpdate) -> Self {
        let message = match create.attempt {
            1 => format!("Update {update_id} started by {}.", word(&create.cause)),
            attempt => format!("Update {update_id} started by {} (attempt {attempt}).", word(&create.cause)),
        };
        Self::new(Subject::default(), Level::Info, message, EventDetails::CreateUpdate(Box::new(create)))
    }

    /// A person or tool started or stopped something.
    pub fn user_action(action: UserAction) -> Self {
        let message = format!("{} by user {}.", word(&action.action), action.user_name);
        Self::new(Subject::default(), Level::Info, message, EventDetails::UserAction(action))
    }

    /// The runner starts.
    pub fn runtime_details(runtime: RuntimeDetails) -> Self {
        let message = format!("Floe {} is running the update.", runtime.floe_version);
        Self::new(Subject::default(), Level::Info, message, EventDetails::RuntimeDetails(runtime))
    }

    /// The update is in `state`.
    pub fn update_progress(update_id: &str, state: UpdateState) -> Self {
        let level = if state == UpdateState::Failed { Level::Error } else { Level::Info };
        let details = EventDetails::UpdateProgress(UpdateProgress { state, cancellation_cause: None });
        Self::new(Subject::default(), level, format!("Update {update_id} is {}.", word(&state)), details)
    }

    /// The update ends because of `failure`; the message names flow, error class and text.
    pub fn update_failed(update_id: &str, failure: &Failure) -> Self {
        let cause = match &failure.flow {
            Some(flow) => format!("Flow {flow}: {failure}"),
            None => failure.to_string(),
        };
        let details = EventDetails::UpdateProgress(UpdateProgress { state: UpdateState::Failed, cancellation_cause: None });
        Self::new(Subject::default(), Level::Error, format!("Update {update_id} is FAILED. {cause}"), details)
            .with_error(EventError::of(failure, failure.class != FailureClass::Transient))
    }

    /// The update was stopped.
    pub fn update_canceled(update_id: &str, cause: CancellationCause) -> Self {
        let details = EventDetails::UpdateProgress(UpdateProgress { state: UpdateState::Canceled, cancellation_cause: Some(cause) });
        Self::new(Subject::default(), Level::Info, format!("Update {update_id} is CANCELED."), details)
    }

    /// The update whose runner died; written by the next runner.
    pub fn update_recovered(update_id: &str) -> Self {
        let details = EventDetails::UpdateProgress(UpdateProgress { state: UpdateState::Failed, cancellation_cause: None });
        let message = format!("Update {update_id} ended without a final event (recovered)");
        Self::new(Subject::default(), Level::Error, message, details)
    }

    /// Planning ended.
    pub fn graph_planned(planned: GraphPlanned) -> Self {
        let message = format!("Planned {} and {}.", count(planned.datasets, "dataset"), count(planned.flows, "flow"));
        Self::new(Subject::default(), Level::Info, message, EventDetails::GraphPlanned(planned))
    }

    /// A dataset as this update sees it.
    pub fn dataset_definition(subject: Subject, definition: DatasetDefinition) -> Self {
        let kind = match definition.dataset_type {
            DatasetType::StreamingTable => "streaming table",
            DatasetType::MaterializedView => "materialized view",
            DatasetType::View => "view",
        };
        let message = format!("Dataset {} is defined as {kind}.", subject.dataset_name.as_deref().unwrap_or_default());
        Self::new(subject, Level::Info, message, EventDetails::DatasetDefinition(definition))
    }

    /// A sink as this update sees it.
    pub fn sink_definition(subject: Subject, definition: SinkDefinition) -> Self {
        let message = format!("Sink {} is defined.", subject.sink_name.as_deref().unwrap_or_default());
        Self::new(subject, Level::Info, message, EventDetails::SinkDefinition(definition))
    }

    /// A flow as this update sees it.
    pub fn flow_definition(subject: Subject, definition: FlowDefinition) -> Self {
        let kind: &FlowType = &definition.flow_type;
        let message = format!("Flow {} is defined as {}.", flow_name(&subject), word(kind));
        Self::new(subject, Level::Info, message, EventDetails::FlowDefinition(Box::new(definition)))
    }

    /// A flow is in `status`; for the ends with a reason or numbers see the next constructors.
    pub fn flow_progress(subject: Subject, status: FlowState) -> Self {
        let message = flow_message(&flow_name(&subject), status);
        let level = if status == FlowState::Failed { Level::Error } else { Level::Info };
        let progress = FlowProgress { status, metrics: None, data_quality: None };
        Self::new(subject, level, message, EventDetails::FlowProgress(Box::new(progress)))
    }

    /// A micro-batch was committed (it has a batch id), or a materialized view was refreshed and its flow is COMPLETED.
    pub fn committed(subject: Subject, progress: CommittedProgress) -> Self {
        let commit = progress.counted_in();
        let CommittedProgress { batch_id, metrics, data_quality, .. } = progress;
        let (status, level) = match batch_id {
            Some(_) => (FlowState::Running, Level::Metrics),
            None => (FlowState::Completed, Level::Info),
        };
        let message = flow_message(&flow_name(&subject), status);
        let progress = FlowProgress { status, metrics: Some(metrics), data_quality: Some(data_quality) };
        Self::new(Subject { batch_id, ..subject }, level, message, EventDetails::FlowProgress(Box::new(progress))).reporting(commit)
    }

    /// A materialized view had nothing to do: COMPLETED with no rows written.
    pub fn nothing_refreshed(subject: Subject) -> Self {
        let metrics = FlowMetrics { num_output_rows: Some(0), ..FlowMetrics::default() };
        let message = flow_message(&flow_name(&subject), FlowState::Completed);
        let progress = FlowProgress { status: FlowState::Completed, metrics: Some(metrics), data_quality: None };
        Self::new(subject, Level::Info, message, EventDetails::FlowProgress(Box::new(progress)))
    }

    /// A flow failed; with `retry` it will be started again. The counters of what was not committed go with it.
    pub fn flow_failed(subject: Subject, failure: &Failure, counted: Option<(FlowMetrics, DataQuality)>, retry: Option<Retry>) -> Self {
        let flow = flow_name(&subject);
        let (level, message) = match retry {
            Some(Retry { delay_seconds, attempt, attempts }) => {
                let of = attempts.map(|attempts| format!(" of {attempts}")).unwrap_or_default();
                (Level::Warn, format!("Flow {flow} has FAILED. Retrying in {} (attempt {attempt}{of}).", count(delay_seconds, "second")))
            }
            None if failure.class == FailureClass::Expectation => (Level::Error, sentence(&failure.message)),
            None => (Level::Error, format!("Flow {flow} has FAILED.")),
        };
        let (metrics, data_quality) = counted.unzip();
        let progress = FlowProgress { status: FlowState::Failed, metrics, data_quality };
        Self::new(subject, level, message, EventDetails::FlowProgress(Box::new(progress)))
            .with_error(EventError::of(failure, retry.is_none()))
    }

    /// A flow does not run because the flows `roots` failed.
    pub fn flow_skipped(subject: Subject, roots: &[String]) -> Self {
        let message = format!("Flow {} was SKIPPED due to upstream failure(s): {}.", flow_name(&subject), roots.join(", "));
        Self::flow_progress(subject, FlowState::Skipped).at_level(Level::Warn).saying(message)
    }

    /// A flow of a continuous update has done what there was to do; a view says with it what it has refreshed.
    pub fn flow_idle(subject: Subject, refreshed: Option<CommittedProgress>) -> Self {
        let message = flow_message(&flow_name(&subject), FlowState::Idle);
        let commit = refreshed.as_ref().and_then(CommittedProgress::counted_in);
        let (metrics, data_quality) = refreshed.map(|refreshed| (refreshed.metrics, refreshed.data_quality)).unzip();
        let progress = FlowProgress { status: FlowState::Idle, metrics, data_quality };
        Self::new(subject, Level::Info, message, EventDetails::FlowProgress(Box::new(progress))).reporting(commit)
    }

    /// An idle flow looks for nothing more because the flows `roots`, which feed it, failed.
    pub fn flow_held(subject: Subject, roots: &[String]) -> Self {
        let (flow, roots) = (flow_name(&subject), roots.join(", "));
        let message = format!("Flow {flow} is IDLE and keeps what it has due to upstream failure(s): {roots}.");
        Self::flow_progress(subject, FlowState::Idle).at_level(Level::Warn).saying(message)
    }

    /// How a materialized view will be refreshed.
    pub fn planning_information(subject: Subject, planning: PlanningInformation) -> Self {
        let chosen = planning.technique_information.iter().find(|technique| technique.is_chosen);
        let chosen = chosen.map_or("COMPLETE_RECOMPUTE", |technique| technique.maintenance_type.name());
        let message = format!("Flow {} has been planned to be executed as {chosen}.", flow_name(&subject));
        Self::new(subject, Level::Info, message, EventDetails::PlanningInformation(planning))
    }

    /// A listing or another long operation.
    pub fn operation_progress(subject: Subject, operation: OperationProgress) -> Self {
        let message = match (&operation.auto_loader_details, operation.status) {
            (Some(details), OperationStatus::Completed) => {
                format!("Listed {} in {}.", count(details.num_files_listed, "file"), details.source_path)
            }
            (Some(details), status) => format!("Listing of {} is {}.", details.source_path, word(&status)),
            (None, status) => format!("{} is {}.", word(&operation.operation), word(&status)),
        };
        Self::new(subject, Level::Info, message, EventDetails::OperationProgress(operation))
    }

    /// One micro-batch in Spark's words.
    pub fn stream_progress(subject: Subject, progress: &serde_json::Value) -> Self {
        let message = format!("Progress of flow {}.", flow_name(&subject));
        Self::new(subject, Level::Metrics, message, EventDetails::StreamProgress(StreamProgress { progress_json: progress.to_string() }))
    }

    /// Columns were added to a dataset, or have got wider types.
    pub fn schema_change(subject: Subject, change: SchemaChange) -> Self {
        let added: Vec<String> = change.added.iter().map(|AddedColumn { name, data_type }| format!("{name} {data_type}")).collect();
        let wider = change.widened.iter().map(|WidenedColumn { name, from, data_type }| format!("{name} from {from} to {data_type}"));
        let wider: Vec<String> = wider.collect();
        let columns = |names: &[String]| if names.len() == 1 { "column" } else { "columns" };
        let of = format!("{} (schema version {})", change.dataset, change.schema_version);
        let message = match (added.is_empty(), wider.is_empty()) {
            (_, true) => format!("Added {} {} to {of}.", columns(&added), added.join(", ")),
            (true, false) => format!("Widened {} {} of {of}.", columns(&wider), wider.join(", ")),
            (false, false) => format!("Added {} {}, and widened {}, in {of}.", columns(&added), added.join(", "), wider.join(", ")),
        };
        Self::new(subject, Level::Info, message, EventDetails::SchemaChange(change))
    }

    /// A dataset is reset.
    pub fn reset_progress(subject: Subject, reset: ResetProgress) -> Self {
        let message = format!("{} of {} is {}.", word(&reset.kind), reset.dataset, word(&reset.status));
        Self::new(subject, Level::Info, message, EventDetails::ResetProgress(reset))
    }

    /// Maintenance of one table.
    pub fn maintenance_progress(progress: MaintenanceProgress) -> Self {
        let metrics: Vec<String> = progress.metrics.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let metrics = if metrics.is_empty() { String::new() } else { format!(" ({})", metrics.join(", ")) };
        let message = format!("{} of {} is {}{metrics}.", word(&progress.operation), progress.dataset, word(&progress.status));
        let level = if progress.status == OperationStatus::Failed { Level::Error } else { Level::Info };
        let dataset = Some(progress.dataset.clone()).filter(|name| name.contains('.'));
        let subject = Subject { dataset_name: dataset, ..Subject::default() };
        Self::new(subject, level, message, EventDetails::MaintenanceProgress(progress))
    }

    /// A note of the plan, which is its own sentence.
    pub fn planning_note(note: &str) -> Self {
        let details = EventDetails::PlanningNote(PlanningNote { note: note.to_string() });
        Self::new(Subject::default(), Level::Info, format!("{note}."), details)
    }

    /// A note of the plan that a person should see before the first row is written.
    pub fn planning_warning(note: &str) -> Self {
        Self::planning_note(note).at_level(Level::Warn)
    }

    /// The log could not be written for so long that `discarded` events were lost.
    pub fn events_discarded(discarded: u64) -> Self {
        let message = format!("The event log could not be written in time; {} discarded.", count(discarded, "event"));
        let details = EventDetails::EventLogProgress(EventLogProgress { discarded_events: discarded });
        Self::new(Subject::default(), Level::Warn, message, details)
    }

    /// A lint W001.
    pub fn deprecation(lint: &Lint) -> Self {
        let message = match &lint.position {
            Some(position) => format!("{} ({position})", lint.message),
            None => lint.message.clone(),
        };
        Self::new(Subject::default(), Level::Warn, message, EventDetails::Deprecation(Deprecation { message: "LEGACY_SYNTAX" }))
    }
}

impl EventError {
    /// The cause chain of `failure`; `fatal` if it is not retried.
    pub fn of(failure: &Failure, fatal: bool) -> Self {
        let frame = failure.origin.as_ref().map(|origin| StackFrame {
            file_name: Some(origin.file.to_string()),
            line_number: Some(i64::from(origin.line)),
            ..StackFrame::default()
        });
        let mut exceptions = vec![ErrorCause {
            class_name: Some(failure.error.clone()),
            message: failure.message.clone(),
            stack: frame.into_iter().collect(),
        }];
        exceptions.extend(failure.diagnostics.iter().map(|diagnostic| {
            ErrorCause {
                class_name: Some(diagnostic.class.clone()),
                message: diagnostic.message.clone(),
                stack: diagnostic
                    .origin
                    .iter()
                    .map(|origin| StackFrame {
                        file_name: Some(origin.file.to_string()),
                        line_number: Some(i64::from(origin.line)),
                        ..StackFrame::default()
                    })
                    .collect(),
            }
        }));
        let mut source = std::error::Error::source(failure);
        while let Some(error) = source {
            exceptions.push(ErrorCause { class_name: None, message: error.to_string(), stack: Vec::new() });
            source = error.source();
        }
        let origin = failure.origin.as_ref().map(ToString::to_string);
        Self { fatal, exceptions, class: Some(failure.class), origin }
    }
}

fn flow_message(flow: &str, status: FlowState) -> String {
    match status {
        FlowState::Completed => format!("Flow {flow} has COMPLETED."),
        FlowState::Failed => format!("Flow {flow} has FAILED."),
        FlowState::Stopped => format!("Flow {flow} has been STOPPED."),
        FlowState::Idle => format!("Flow {flow} is IDLE, waiting for new data."),
        FlowState::Skipped => format!("Flow {flow} was SKIPPED."),
        other => format!("Flow {flow} is {}.", word(&other)),
    }
}

fn flow_name(subject: &Subject) -> String {
    subject.flow_name.clone().unwrap_or_default()
}

/// The event-log word of a state, cause or kind: the one that it is serialised as.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// `text` with its first letter in upper case.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
