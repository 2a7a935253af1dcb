//! What must be written so that the decision becomes true. Pure.

use std::sync::Arc;

use floe_crds::pipeline_update::PipelineUpdate;
use k8s_openapi::api::{batch::v1 as batch, policy::v1::PodDisruptionBudget};
use kube::ResourceExt;

use super::{
    cleanup::{self, FINALIZER, Step},
    decide::{Act, Decision, Start},
    observe::{Access, Observed},
    resources::{
        self, Beside,
        tables::{TableChange, desired_tables},
    },
    validate::Verdict,
};
use crate::{labels, owner, updates, writes::holds};

/// The most Tables that one look makes, changes or deletes: it must end in time.
const MOST_TABLES: usize = 200;

/// Objects to make, change and delete, in this order.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The finalizers of the Pipeline, if they must change.
    pub finalizers: Option<Vec<String>>,
    /// What must be made beside the Pipeline; `None` if it is as it should be.
    pub beside: Option<Beside>,
    /// A budget that is not wanted any more.
    pub unwanted_budget: Option<PodDisruptionBudget>,
    /// Updates that shall stop, because there is another definition.
    pub stops: Vec<Arc<PipelineUpdate>>,
    /// A new update.
    pub start: Option<NewUpdate>,
    /// Tables of datasets from SQL.
    pub tables: Vec<TableChange>,
    /// The next look goes on with the Tables.
    pub has_more_tables: bool,
    /// Updates that are old.
    pub removes: Vec<Arc<PipelineUpdate>>,
    /// The clean-up of a deleted Pipeline.
    pub cleanup: Option<resources::cleanup::Cleanup>,
    /// A clean-up that was asked for something else.
    pub outdated_cleanup: Option<Arc<batch::Job>>,
    /// The clean-up that is over.
    pub release: Option<cleanup::Leftover>,
}

/// An update to be made.
#[derive(Clone, Debug)]
pub struct NewUpdate {
    /// All but its name.
    pub update: PipelineUpdate,
    /// Its name ends in this number, or a later one if that is taken.
    pub number: i64,
}

/// The objects that `decision` asks for.
pub fn plan(observed: &Observed, verdict: &Verdict, decision: &Decision) -> Plan {
    let mut plan = Plan { removes: decision.removes.clone(), ..Plan::default() };
    match &decision.outcome.act {
        Act::Pause => return plan,
        Act::Delete(step) => {
            match step {
                Step::Start(cleanup, outdated) => {
                    plan.cleanup = Some(cleanup.as_ref().clone());
                    plan.outdated_cleanup.clone_from(outdated);
                }
                Step::Release(leftover) => plan.release = Some(leftover.clone()),
                Step::Nothing | Step::Stopping | Step::Running(_) | Step::Failed(_) | Step::Impossible(_) => {}
            }
            return plan;
        }
        Act::Start(start) => {
            plan.stops.clone_from(&start.replaces);
            plan.start = Some(NewUpdate { update: update(observed, start), number: newest_number(observed).saturating_add(1) });
        }
        Act::Replace(update) => plan.stops.push(update.clone()),
        Act::Refuse | Act::Suspend | Act::Skip | Act::Rest | Act::Wait => {}
    }
    plan.finalizers = finalizers(observed, verdict);
    plan_beside(observed, verdict, &mut plan);
    if let Some(graph) = observed.report.as_ref().and_then(|(report, _)| report.spec.graph.as_ref()) {
        plan.tables = desired_tables(&observed.pipeline, graph, &observed.tables, |name| observed.taken_names.contains(name));
        plan.has_more_tables = keep_first(&mut plan.tables, MOST_TABLES);
    }
    plan
}

/// Leaves `most` changes; one that cannot be made costs nothing. True if some were taken out.
fn keep_first(changes: &mut Vec<TableChange>, most: usize) -> bool {
    let (before, mut left) = (changes.len(), most);
    changes.retain(|change| {
        let is_written = !matches!(change, TableChange::Refused { .. });
        let is_kept = left > 0 || !is_written;
        left -= usize::from(is_kept && is_written);
        is_kept
    });
    changes.len() < before
}

/// The highest number that a name of an update has had.
pub fn newest_number(observed: &Observed) -> i64 {
    let recorded = observed.pipeline.status.as_ref().and_then(|status| status.update_counter).unwrap_or_default();
    let prefix = format!("{}-u", observed.key.name);
    // People may choose any number.
    let ours = observed.updates.iter().filter(|update| update.labels().get(labels::MANAGED_BY).is_some_and(|by| by == labels::OPERATOR));
    let names = ours.map(|update| update.name_any()).filter(|name| name.starts_with(&prefix));
    names.filter_map(|name| updates::number(&name)).max().unwrap_or_default().max(recorded)
}

fn update(observed: &Observed, start: &Start) -> PipelineUpdate {
    let mut update = PipelineUpdate::new("", start.spec.clone());
    update.metadata = resources::metadata(&observed.pipeline, String::new());
    if let Some(instant) = start.scheduled_at {
        update.metadata.annotations = Some([(labels::SCHEDULED_AT.to_string(), instant.to_string())].into());
    }
    update
}

/// The finalizer is there exactly while data would go with the object.
fn finalizers(observed: &Observed, verdict: &Verdict) -> Option<Vec<String>> {
    let wanted = cleanup::removes_data(observed, verdict);
    if wanted == cleanup::is_held(observed) {
        return None;
    }
    let mut finalizers: Vec<String> = observed.pipeline.finalizers().iter().filter(|name| *name != FINALIZER).cloned().collect();
    if wanted {
        finalizers.push(FINALIZER.to_string());
    }
    Some(finalizers)
}

/// Account and binding are there before the first update; while updates run they are kept as they should be.
fn plan_beside(observed: &Observed, verdict: &Verdict, plan: &mut Plan) {
    let runs = observed.updates.iter().any(|update| !updates::is_terminal(update));
    if verdict.valid().is_none() || (plan.start.is_none() && !runs) {
        return;
    }
    let beside = resources::beside(&observed.pipeline);
    match &observed.access {
        Access::Known => {}
        Access::Unread => plan.beside = Some(beside),
        Access::Read(found) => {
            let ours = |budget: &PodDisruptionBudget| owner::is_owned_by(budget, observed.pipeline.as_ref());
            plan.unwanted_budget = found.budget.clone().filter(|budget| beside.budget.is_none() && ours(budget));
            if !found.is_as(&beside) {
                plan.beside = Some(beside);
            }
        }
    }
}

impl super::observe::Found {
    /// True if everything is as `beside` wants it; what others added does not matter.
    fn is_as(&self, beside: &Beside) -> bool {
        let account = beside.account.as_ref().is_none_or(|wanted| holds(self.account.as_ref(), wanted));
        let budget = beside.budget.as_ref().is_none_or(|wanted| holds(self.budget.as_ref(), wanted));
        account && budget && holds(self.binding.as_ref(), &beside.binding)
    }
}
