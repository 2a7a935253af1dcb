//! Between running flows and the event log: notices and results of flows become their events, in the states that a flow may take.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use floe_crds::state::FlowState;

use super::{
    EventLog,
    event::{
        AutoLoaderDetails, ErrorCause, Event, EventError, Issue, Level, MaintenanceType, OperationProgress, OperationStatus, OperationType,
        PlanningInformation, SourceTable, Subject, TargetTableSize, Technique,
    },
    message::Retry,
};
use crate::execute::progress::{FlowFailure, FlowNotice, FlowProgress, FlowResult, Observer, RefreshPlan, RefreshType};

/// The flows of one update, each with its state and what its events are about.
pub struct FlowEvents {
    log: EventLog,
    flows: Mutex<BTreeMap<String, KnownFlow>>,
}

struct KnownFlow {
    subject: Subject,
    state: Option<FlowState>,
    /// The numbers of a refresh wait for the end of their flow: they stand in its COMPLETED event.
    refresh: Option<FlowProgress>,
}

impl FlowEvents {
    /// Events of the flows of an update go to `log`.
    pub fn new(log: EventLog) -> Self {
        Self { log, flows: Mutex::default() }
    }

    /// Makes a flow known: its name, its UUID, the full name of its dataset. Call again when a reset has given it another UUID.
    pub fn know(&self, subject: Subject) {
        let name = subject.flow_name.clone().unwrap_or_default();
        let mut flows = self.lock();
        match flows.get_mut(&name) {
            Some(known) => known.subject = subject,
            None => _ = flows.insert(name, KnownFlow { subject, state: None, refresh: None }),
        }
    }

    /// The flow is in `state` now; for SKIPPED, FAILED and the end of a run see the other methods.
    pub fn state(&self, flow: &str, state: FlowState) {
        let subject = self.enter(flow, state);
        self.log.record(Event::flow_progress(subject, state));
    }

    /// The loop of flows has turned.
    pub fn turned(&self) {
        self.log.turned();
    }

    /// The flow of a continuous update has nothing more to do now.
    pub fn idle(&self, flow: &str) {
        let refresh = self.lock().get_mut(flow).and_then(|known| known.refresh.take());
        let subject = self.enter(flow, FlowState::Idle);
        self.log.record(Event::flow_idle(subject, refresh));
    }

    /// The idle flow keeps what it has because `roots` failed.
    pub fn held(&self, flow: &str, roots: &[String]) {
        self.log.record(Event::flow_held(self.subject(flow), roots));
    }

    /// The flow does not run because `roots` failed.
    pub fn skipped(&self, flow: &str, roots: &[String]) {
        let subject = self.enter(flow, FlowState::Skipped);
        self.log.record(Event::flow_skipped(subject, roots));
    }

    /// The flow ended as `result` says: COMPLETED, IDLE or STOPPED.
    pub fn ended(&self, flow: &str, result: &FlowResult) {
        let state = match result {
            FlowResult { stopped: true, .. } => FlowState::Stopped,
            FlowResult { idle: true, .. } => FlowState::Idle,
            _ => FlowState::Completed,
        };
        let refresh = self.lock().get_mut(flow).and_then(|known| known.refresh.take());
        let subject = self.enter(flow, state);
        let event = match (refresh, result.refresh) {
            (Some(refresh), _) if state == FlowState::Completed => Event::committed(subject, refresh),
            (None, Some(RefreshType::NoOp)) => Event::nothing_refreshed(subject),
            _ => Event::flow_progress(subject, state),
        };
        self.log.record(event);
    }

    /// The flow failed; with `retry` it will be started again.
    pub fn failed(&self, flow: &str, failed: &FlowFailure, retry: Option<Retry>) {
        let refresh = self.lock().get_mut(flow).and_then(|known| known.refresh.take());
        let subject = self.enter(flow, FlowState::Failed);
        // A refresh that was committed before the flow failed is counted all the same.
        let (metrics, quality) = match refresh {
            Some(refresh) => (refresh.metrics, refresh.data_quality),
            None => (failed.metrics.clone(), failed.data_quality.clone()),
        };
        self.log.record(Event::flow_failed(subject, &failed.failure, Some((metrics, quality)), retry));
    }

    fn enter(&self, flow: &str, state: FlowState) -> Subject {
        let mut flows = self.lock();
        let unknown =
            || KnownFlow { subject: Subject { flow_name: Some(flow.to_string()), ..Subject::default() }, state: None, refresh: None };
        let known = flows.entry(flow.to_string()).or_insert_with(unknown);
        if let Some(before) = known.state
            && !before.may_become(state)
        {
            tracing::error!(flow, ?before, ?state, "a flow took a step that its states do not have");
        }
        known.state = Some(state);
        known.subject.clone()
    }

    fn subject(&self, flow: &str) -> Subject {
        let unknown = || Subject { flow_name: Some(flow.to_string()), ..Subject::default() };
        self.lock().get(flow).map_or_else(unknown, |known| known.subject.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, KnownFlow>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for FlowEvents {
    fn notice(&self, flow: &str, notice: FlowNotice) {
        let event = match notice {
            FlowNotice::Identity { flow_id, generation, remembered } => {
                if let Some(known) = self.lock().get_mut(flow) {
                    known.subject.flow_id = Some(flow_id);
                    known.subject.generation = generation;
                    known.subject.remembered = remembered;
                }
                return;
            }
            FlowNotice::Moving(moving) => return self.log.moving(flow, moving),
            // Its state says it.
            FlowNotice::Working => return,
            FlowNotice::Batch(progress) if progress.batch_id.is_none() => {
                if let Some(known) = self.lock().get_mut(flow) {
                    known.refresh = Some(*progress);
                }
                return;
            }
            FlowNotice::Batch(progress) => Event::committed(self.subject(flow), *progress),
            FlowNotice::Planned(plan) => {
                let subject = self.subject(flow);
                let planning = planning_information(&plan, subject.dataset_name.as_deref().unwrap_or_default());
                Event::planning_information(subject, planning)
            }
            FlowNotice::Warning { class, message } => {
                let cause = ErrorCause { class_name: Some(class), message: message.clone(), stack: Vec::new() };
                Event::flow_progress(self.subject(flow), FlowState::Running)
                    .at_level(Level::Warn)
                    .saying(message)
                    .with_error(EventError { exceptions: vec![cause], ..EventError::default() })
            }
            FlowNotice::Cleaned { message } => Event::flow_progress(self.subject(flow), FlowState::Running).saying(message),
            FlowNotice::Stream(progress) => Event::stream_progress(self.subject(flow), &progress),
            FlowNotice::Compared { duration_ms } => Event::operation_progress(
                self.subject(flow),
                OperationProgress {
                    operation: OperationType::CdcSnapshot,
                    status: OperationStatus::Completed,
                    duration_ms: Some(duration_ms),
                    auto_loader_details: None,
                },
            ),
            FlowNotice::Listed { source, files, duration_ms } => {
                let details = AutoLoaderDetails { source_path: source, num_files_listed: files };
                Event::operation_progress(
                    self.subject(flow),
                    OperationProgress {
                        operation: OperationType::AutoLoaderListing,
                        status: OperationStatus::Completed,
                        duration_ms: Some(duration_ms),
                        auto_loader_details: Some(details),
                    },
                )
            }
        };
        self.log.record(event);
    }
}

/// The plan of a refresh as the event log says it: both techniques, one of them chosen.
fn planning_information(plan: &RefreshPlan, target: &str) -> PlanningInformation {
    let chosen = match plan.chosen {
        RefreshType::NoOp => MaintenanceType::NoOp,
        RefreshType::CompleteRecompute => MaintenanceType::CompleteRecompute,
    };
    let issues = plan.issues.iter().map(|issue| {
        let time_or_chance = issue.issue_type == "PLAN_NOT_DETERMINISTIC";
        let (deterministic, shape) = if time_or_chance { (issue.sub_type.clone(), None) } else { (None, issue.sub_type.clone()) };
        Issue {
            issue_type: issue.issue_type.clone(),
            prevent_incrementalization: true,
            plan_not_deterministic_sub_type: deterministic,
            plan_not_incrementalizable_sub_type: shape,
            ..Issue::default()
        }
    });
    let technique = |maintenance_type, issues: Vec<Issue>| Technique {
        maintenance_type,
        is_chosen: maintenance_type == chosen,
        is_applicable: maintenance_type == chosen || maintenance_type == MaintenanceType::CompleteRecompute,
        cost: None,
        incrementalization_issues: issues,
    };
    let sources = plan.sources.iter().map(|source| SourceTable {
        table_name: source.table_name.clone(),
        table_id: Some(source.table_id.clone()),
        from_version: source.from_version,
        to_version: Some(source.to_version),
        ..SourceTable::default()
    });
    PlanningInformation {
        technique_information: vec![
            technique(MaintenanceType::NoOp, issues.collect()),
            technique(MaintenanceType::CompleteRecompute, Vec::new()),
        ],
        source_table_information: sources.collect(),
        target_table_information: TargetTableSize { table_name: target.to_string(), ..TargetTableSize::default() },
    }
}
