//! What must be written so that the decision becomes true. Pure.

use std::{collections::BTreeMap, sync::Arc};

use floe_crds::{
    job_run::{JobRun, JobRunSpec, TriggerType},
    pipeline::NameRef,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, ServiceAccount},
    rbac::v1::RoleBinding,
};
use kube::{ResourceExt, core::PartialObjectMeta};

use super::{
    decide::{Act, Decision},
    observe::{Access, Observed},
    resources::{self, Beside},
    triggers::Fire,
    validate::Verdict,
    watcher::{self, Watcher},
};
use crate::{labels, runs, writes::holds};

/// Objects to make, change and delete, in this order.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What must be made beside the Job; `None` if it is as it should be.
    pub beside: Option<Beside>,
    /// New runs, oldest first.
    pub runs: Vec<JobRun>,
    /// Runs that give way to one for a changed definition.
    pub stops: Vec<Arc<JobRun>>,
    /// The watcher, if it is not as it should be.
    pub watcher: Option<Watcher>,
    /// A watcher that nobody needs.
    pub unwanted_watcher: Option<Arc<Deployment>>,
    /// Requests of watchers that are no more.
    pub unwanted_requests: Vec<Arc<PartialObjectMeta<ConfigMap>>>,
    /// Runs that are old.
    pub removes: Vec<Arc<JobRun>>,
}

/// The objects that `decision` asks for.
pub fn plan(observed: &Observed, verdict: &Verdict, decision: &Decision) -> Plan {
    let mut plan = Plan { removes: decision.removes.clone(), ..Plan::default() };
    let (Act::Work, Verdict::Valid(valid)) = (decision.act, verdict) else { return plan };
    plan.runs = decision.fires().map(|fire| run(observed, fire)).collect();
    plan.stops = decision.looks.iter().filter_map(|look| look.stop.clone()).collect();
    let wanted = valid.watcher.as_ref().and_then(|template| watcher::desired(observed, template));
    plan_watcher(observed, wanted.as_ref(), &mut plan);
    plan_beside(observed, wanted.is_some(), &mut plan);
    plan
}

/// The run that is owed.
fn run(observed: &Observed, fire: &Fire) -> JobRun {
    let job_ref = NameRef { name: observed.key.name.clone() };
    let mut run = JobRun::new(&fire.name, JobRunSpec { job_ref, trigger: fire.trigger.clone(), ..JobRunSpec::default() });
    run.metadata = resources::child_metadata(&observed.settings, &observed.job, fire.name.clone());
    run.metadata.labels.get_or_insert_default().insert(labels::RUN.to_string(), labels::value(&fire.name));
    if fire.trigger.trigger_type == TriggerType::Continuous {
        let annotations: &mut BTreeMap<String, String> = run.metadata.annotations.get_or_insert_default();
        annotations.insert(labels::DEFINITION.to_string(), observed.definition_hash());
    }
    run
}

fn plan_watcher(observed: &Observed, wanted: Option<&Watcher>, plan: &mut Plan) {
    let found = observed.watcher.as_ref();
    let request = wanted.map(|wanted| wanted.request.name_any());
    match wanted {
        None => plan.unwanted_watcher = found.cloned(),
        Some(wanted) => {
            let has_request = observed.requests.iter().any(|found| Some(found.name_any()) == request);
            let is_right = found.is_some_and(|found| watcher::is_as(found, &wanted.deployment)) && has_request;
            plan.watcher = (!is_right).then(|| wanted.clone());
        }
    }
    let is_old =
        |found: &&Arc<PartialObjectMeta<ConfigMap>>| Some(found.name_any()) != request && found.metadata.deletion_timestamp.is_none();
    plan.unwanted_requests = observed.requests.iter().filter(is_old).cloned().collect();
}

/// Account and binding are there before the first run; while pods run they are kept as they should be.
fn plan_beside(observed: &Observed, watches: bool, plan: &mut Plan) {
    let runs = observed.runs.iter().any(|run| !runs::is_terminal(run));
    if plan.runs.is_empty() && !runs && !watches {
        return;
    }
    let beside = resources::beside(&observed.job);
    match &observed.access {
        Access::Known => {}
        Access::Unread => plan.beside = Some(beside),
        Access::Read(found) => {
            let (account, binding): &(Option<ServiceAccount>, Option<RoleBinding>) = found;
            let is_right = beside.account.as_ref().is_none_or(|wanted| holds(account.as_ref(), wanted))
                && beside.binding.as_ref().is_none_or(|wanted| holds(binding.as_ref(), wanted));
            plan.beside = (!is_right).then_some(beside);
        }
    }
}
