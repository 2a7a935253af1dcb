//! What the conditions of a Pipeline say. Pure.

use std::sync::Arc;

use floe_crds::{
    condition::{self, ConditionType, Reason, Said, Status},
    pipeline::{Mode, OnChange, PipelineStatus},
    pipeline_update::{PipelineUpdate, UpdateType},
    run_report::GraphReport,
    state::UpdateState,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::{
    decide::{Act, Decision, Outcome},
    observe::Observed,
    status::LastEnd,
    validate::{Refusal, Verdict},
};
use crate::{
    error::{Error, ErrorClass},
    events::{EventReason, News, Severity},
    updates::{is_terminal, state},
};

/// Something that is missing may come; after this time someone is told to look.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// Findings that a condition names.
const FINDINGS: usize = 3;

/// What all conditions are made from.
pub struct View<'a> {
    pub observed: &'a Observed,
    pub verdict: &'a Verdict,
    pub decision: &'a Decision,
    pub failure: Option<&'a Error>,
    /// The update that ended last.
    pub last: Option<&'a LastEnd>,
    /// What the clean-up waits for.
    pub writer: Option<&'a str>,
}

/// When nobody waits any more for what is missing; `None` if that time has come. It is awaited since Ready or Reconciling changed: one of both
/// does when it goes missing.
pub fn patience_ends(observed: &Observed, refusal: &Refusal) -> Option<Timestamp> {
    let before = observed.pipeline.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let of_this = |kind| condition::find(before, kind).filter(|found| found.reason == refusal.reason.as_str());
    if of_this(ConditionType::Stalled).is_some_and(|stalled| stalled.status == Status::True.as_str()) {
        return None;
    }
    let told = [ConditionType::Ready, ConditionType::Reconciling].map(of_this);
    let since = told.into_iter().flatten().map(|condition| condition.last_transition_time.0).max().unwrap_or(observed.now);
    since.saturating_add(PATIENCE).ok().filter(|end| *end > observed.now)
}

/// How far the check of the present definition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Graph {
    /// A runner found it right.
    Valid(String),
    /// A runner found errors.
    Invalid(String),
    /// A runner will look, or looks.
    Checking,
    /// The update for it ended and nobody got to look.
    Unchecked(String),
    /// No check is on its way, for this reason.
    NotWanted(String),
}

impl View<'_> {
    /// The conditions, in the order of their types. Times of transitions are taken over from `before`.
    pub fn conditions(&self, before: &[Condition], graph: &Graph) -> Vec<Condition> {
        let mut conditions = before.to_vec();
        let ready = self.ready(before, graph);
        let (reconciling, stalled) = self.progress(graph, &ready);
        let said = [
            (ConditionType::Accepted, self.accepted()),
            (ConditionType::Ready, ready),
            (ConditionType::UpdateSucceeded, self.update_succeeded(before)),
            (ConditionType::Degraded, self.degraded()),
            (ConditionType::Reconciling, reconciling),
            (ConditionType::Stalled, stalled),
            (ConditionType::Paused, self.paused()),
        ];
        for (kind, said) in said {
            condition::set(&mut conditions, kind, &said, self.observed.pipeline.metadata.generation, self.observed.now);
        }
        conditions
    }

    fn accepted(&self) -> Said {
        match self.verdict {
            Verdict::Refused(refusal) => Said::new(false, refusal.reason, refusal.message.clone()),
            _ if !self.observed.pipeline.spec.notifications.is_empty() => Said::new(
                true,
                Reason::AcceptedWithWarnings,
                "spec.notifications has no effect: nothing is sent; alert on metrics and Events",
            ),
            _ => Said::new(true, Reason::Accepted, "all checks that need no runner passed"),
        }
    }

    fn ready(&self, before: &[Condition], graph: &Graph) -> Said {
        match self.verdict {
            Verdict::Refused(refusal) | Verdict::Waiting(refusal) => return Said::new(false, refusal.reason, refusal.message.clone()),
            Verdict::Valid(_) => {}
        }
        match graph {
            Graph::Valid(summary) => Said::new(true, Reason::GraphValid, summary.clone()),
            Graph::Invalid(findings) => Said::new(false, Reason::GraphInvalid, findings.clone()),
            Graph::Unchecked(why) => Said::new(Status::Unknown, Reason::UpdateFailed, why.clone()),
            Graph::NotWanted(why) => Said::new(true, Reason::NotValidated, why.clone()),
            // What was true of the former definition is said until something is known of this one.
            Graph::Checking => match condition::find(before, ConditionType::Ready) {
                Some(ready) if ready.status == "True" || ready.reason == Reason::GraphInvalid.as_str() => kept(ready),
                _ => Said::new(Status::Unknown, Reason::Validating, "a runner checks the definition"),
            },
        }
    }

    /// Reconciling and Stalled. The first one says what happens now, or why nothing does.
    fn progress(&self, graph: &Graph, ready: &Said) -> (Said, Said) {
        let Outcome { act, reason, message, .. } = &self.decision.outcome;
        let still = || Said::new(false, *reason, message.clone());
        let working = || Said::new(true, Reason::Progressing, message.clone());
        let fine = || Said::new(false, ready.reason, "nothing is in the way");
        let stalled = |reason: Reason, why: &str| Said::new(true, reason, why);
        match self.failure.map(|error| (error.class(), error)) {
            Some((ErrorClass::Forbidden, error)) => {
                return (still(), stalled(Reason::PermissionDenied, &format!("{error}; give the operator this right")));
            }
            Some((_, error)) if error.is_quota() => {
                return (still(), stalled(Reason::QuotaExceeded, &format!("{error}; raise the quota or free some of it")));
            }
            Some((ErrorClass::User, error)) => return (still(), stalled(Reason::NameTaken, &error.to_string())),
            _ => {}
        }
        if let Act::Delete(step) = act {
            if step.needs_someone() {
                return (still(), stalled(*reason, message));
            }
            let waits = self.writer.map(|writer| format!("; the clean-up waits for the end of {writer}")).unwrap_or_default();
            return (Said::new(true, *reason, format!("{message}{waits}")), fine());
        }
        match (self.verdict, graph) {
            (Verdict::Refused(refusal), _) => (still(), stalled(refusal.reason, &refusal.message)),
            (Verdict::Waiting(refusal), _) if patience_ends(self.observed, refusal).is_none() => {
                (still(), stalled(refusal.reason, &refusal.message))
            }
            (Verdict::Waiting(_), _) => (Said { status: Status::True, ..still() }, fine()),
            (_, Graph::Checking) => (working(), fine()),
            (_, Graph::Invalid(findings)) => (still(), stalled(Reason::GraphInvalid, findings)),
            (_, Graph::Unchecked(why)) => (still(), stalled(Reason::UpdateFailed, why)),
            (_, Graph::Valid(_) | Graph::NotWanted(_)) => (still(), fine()),
        }
    }

    /// Speaks of the update that ended last; the end is remembered when the update is gone.
    fn update_succeeded(&self, before: &[Condition]) -> Said {
        let Some(last) = self.last else {
            return condition::find(before, ConditionType::UpdateSucceeded)
                .map_or_else(|| Said::new(Status::Unknown, Reason::NoUpdateYet, "there was no update yet"), kept);
        };
        match last.state {
            UpdateState::Completed => Said::new(true, Reason::UpdateCompleted, format!("update {} ended well", last.name)),
            UpdateState::Canceled => Said::new(Status::Unknown, Reason::UpdateCanceled, format!("update {} was canceled", last.name)),
            _ => Said::new(false, last.reason, format!("update {} failed: {}", last.name, last.message)),
        }
    }

    fn degraded(&self) -> Said {
        let failed = self
            .observed
            .active()
            .filter(|_| self.observed.pipeline.spec.mode == Mode::Continuous)
            .and_then(|active| active.status.as_ref()?.failed_flows.first());
        match failed {
            Some(flow) => Said::new(true, Reason::FlowFailed, format!("flow {}: {}", flow.name, flow.message)),
            None => Said::new(false, Reason::AllFlowsHealthy, "no flow of a continuous update has failed"),
        }
    }

    fn paused(&self) -> Said {
        if matches!(self.decision.outcome.act, Act::Pause) {
            return Said::new(true, self.decision.outcome.reason, self.decision.outcome.message.clone());
        }
        if self.observed.pipeline.spec.suspend {
            return Said::new(false, Reason::Suspended, "spec.suspend is set: no update starts by itself");
        }
        Said::new(false, Reason::NotPaused, "the operator works on this Pipeline")
    }

    /// What is known of the graph of the present definition.
    pub fn graph(&self) -> Graph {
        let Some(valid) = self.verdict.valid() else { return Graph::Checking };
        let of_this = |hash: &str| hash == valid.hash;
        if let Some((report, update)) = &self.observed.report
            && of_this(&update.spec.definition_hash)
            && let Some(graph) = &report.spec.graph
        {
            return if graph.valid { Graph::Valid(summary(graph)) } else { Graph::Invalid(findings(graph)) };
        }
        let status = self.observed.pipeline.status.as_ref();
        let remembered = status.filter(|status| status.definition_hash.as_deref().is_some_and(of_this));
        if let Some(ready) = remembered.and_then(|status| condition::find(&status.conditions, ConditionType::Ready)) {
            if ready.reason == Reason::GraphValid.as_str()
                && status.is_some_and(|status| status.validated_hash.as_deref().is_some_and(of_this))
            {
                return Graph::Valid(ready.message.clone());
            }
            if ready.reason == Reason::GraphInvalid.as_str() && !self.is_asked(&valid.hash) {
                return Graph::Invalid(ready.message.clone());
            }
        }
        self.not_looked_at(&valid.hash)
    }

    /// True if an update for this definition is on its way.
    fn is_asked(&self, hash: &str) -> bool {
        self.observed.updates.iter().any(|update| update.spec.definition_hash == hash && !is_terminal(update))
    }

    /// No report speaks of this definition.
    fn not_looked_at(&self, hash: &str) -> Graph {
        let of_this = |update: &&Arc<PipelineUpdate>| update.spec.definition_hash == hash && update.spec.update_type == UpdateType::Update;
        let Some(newest) = self.observed.updates.iter().rev().find(of_this) else { return self.not_asked(hash) };
        let message = newest.status.as_ref().and_then(|status| status.message.clone());
        match state(newest) {
            Some(UpdateState::Failed) => {
                Graph::Unchecked(message.unwrap_or_else(|| "the update failed before the definition was checked".to_string()))
            }
            // With errors in the graph it could not have ended like this.
            Some(UpdateState::Completed) => {
                Graph::Valid(format!("update {} ended well; its runner did not report the graph", newest.name_any()))
            }
            Some(UpdateState::Canceled) if !self.is_asked(hash) => {
                let why = format!("update {} was canceled before the definition was checked; the next update checks it", newest.name_any());
                Graph::NotWanted(why)
            }
            _ => Graph::Checking,
        }
    }

    fn not_asked(&self, hash: &str) -> Graph {
        let because = |why: &str| Graph::NotWanted(format!("{why}: the definition was not checked"));
        if self.observed.pipeline.spec.update_policy.on_change == OnChange::None {
            return because("updatePolicy.onChange is None");
        }
        if matches!(self.decision.outcome.act, Act::Suspend) {
            return because("spec.suspend is set");
        }
        // The update that left it unchecked may be gone.
        let status = self.observed.pipeline.status.as_ref().filter(|status| status.definition_hash.as_deref() == Some(hash));
        let unchecked = status.and_then(|status| condition::find(&status.conditions, ConditionType::Ready));
        let starts = matches!(self.decision.outcome.act, Act::Start(_));
        match unchecked.filter(|ready| !starts && ready.reason == Reason::NotValidated.as_str()) {
            Some(ready) => Graph::NotWanted(ready.message.clone()),
            None => Graph::Checking,
        }
    }
}

fn kept(condition: &Condition) -> Said {
    Said::of(condition).unwrap_or_else(|| Said::new(Status::Unknown, Reason::Progressing, condition.message.clone()))
}

fn summary(graph: &GraphReport) -> String {
    let counts = &graph.counts;
    let lints = if counts.lints == 0 { String::new() } else { format!(", {} warnings", counts.lints) };
    format!("{} datasets, {} flows{lints}", counts.datasets, counts.flows)
}

/// The first findings, each with its place and what to do.
fn findings(graph: &GraphReport) -> String {
    let errors: Vec<_> = graph.findings.iter().filter(|finding| finding.error).collect();
    let told = errors.iter().take(FINDINGS).map(|finding| {
        let origin = finding.origin.as_ref().map(|origin| format!("{origin}: ")).unwrap_or_default();
        let help = finding.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{origin}[{}] {}{help}", finding.class, finding.message)
    });
    let more = errors.len().saturating_sub(FINDINGS);
    told.chain((more > 0).then(|| format!("and {more} more"))).collect::<Vec<_>>().join("\n")
}

/// What people should be told: only what is different now. `missed` instants of the schedule were given up.
pub fn transitions(before: Option<&PipelineStatus>, after: &PipelineStatus, missed: usize) -> Vec<News> {
    let old = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let mut told = Vec::new();
    let differs = |kind| {
        let new = condition::find(&after.conditions, kind)?;
        let same = condition::find(old, kind).is_some_and(|old| (&old.status, &old.reason) == (&new.status, &new.reason));
        (!same).then_some(new)
    };
    if let Some(accepted) = differs(ConditionType::Accepted) {
        let (severity, reason) = match (accepted.status.as_str(), accepted.reason.as_str()) {
            ("True", _) => (Severity::Normal, EventReason::Accepted),
            (_, "StorageConflict") => (Severity::Warning, EventReason::StorageConflict),
            _ => (Severity::Warning, EventReason::InvalidSpec),
        };
        told.push(News::new(severity, reason, &accepted.message));
    }
    if let Some(ready) = differs(ConditionType::Ready).filter(|ready| ready.reason == Reason::GraphInvalid.as_str()) {
        told.push(News::new(Severity::Warning, EventReason::GraphInvalid, &ready.message));
    }
    let was_suspended = condition::find(old, ConditionType::Paused).is_some_and(|old| old.reason == Reason::Suspended.as_str());
    match differs(ConditionType::Paused) {
        Some(paused) if paused.reason == Reason::Suspended.as_str() => {
            told.push(News::new(Severity::Normal, EventReason::Suspended, &paused.message));
        }
        Some(paused) if was_suspended && paused.reason == Reason::NotPaused.as_str() => {
            told.push(News::new(
                Severity::Normal,
                EventReason::Resumed,
                "spec.suspend is not set any more: updates start by themselves again",
            ));
        }
        _ => {}
    }
    let moved = before.and_then(|status| status.next_schedule_time.as_ref()) != after.next_schedule_time.as_ref();
    if missed > 0 && moved {
        let note = format!(
            "{missed} instants of the schedule passed without an update and are not made up for; see updatePolicy.schedule.catchUp"
        );
        told.push(News::new(Severity::Warning, EventReason::MissedSchedules, note));
    }
    told
}
