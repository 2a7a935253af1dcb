//! The objects that stand beside a Pipeline. Pure: functions of the Pipeline that cannot fail.

pub mod cleanup;
pub mod tables;

use floe_crds::pipeline::{Mode, Pipeline};
use k8s_openapi::{
    api::{
        core::v1::ServiceAccount,
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
        rbac::v1::{RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference},
        util::intstr::IntOrString,
    },
};
use kube::{Resource, ResourceExt};

use crate::{attempt, labels};

/// The ClusterRole of runners: they may write reports and nothing else.
const RUNNER_ROLE: &str = "floe-runner";

/// What pods of a Pipeline need beside them.
#[derive(Clone, Debug, PartialEq)]
pub struct Beside {
    /// Absent if the Pipeline names an account of its own.
    pub account: Option<ServiceAccount>,
    /// Lets the account write reports.
    pub binding: RoleBinding,
    /// Only for continuous Pipelines that ask for it.
    pub budget: Option<PodDisruptionBudget>,
}

impl Beside {
    /// Stands for all of it.
    pub fn hash(&self) -> String {
        let text = serde_json::to_string(&(&self.account, &self.binding, &self.budget)).unwrap_or_default();
        labels::hash(text.as_bytes())
    }
}

/// Name of the account and the binding.
pub fn account_name(pipeline: &Pipeline) -> String {
    format!("floe-{}", pipeline.name_any())
}

/// Name of the disruption budget.
pub fn budget_name(pipeline: &str) -> String {
    format!("{pipeline}-runner")
}

/// Name of the batch/v1 Job that removes the data of a deleted Pipeline. One of the same name that is made later has a clean-up of its own.
pub fn cleanup_name(pipeline: &Pipeline) -> String {
    format!("{}-cleanup-{}", pipeline.name_any(), labels::short_hash(&pipeline.uid().unwrap_or_default()))
}

/// The Pipeline as the controller of what it owns.
pub fn owner(pipeline: &Pipeline) -> Option<OwnerReference> {
    let mut owner = pipeline.controller_owner_ref(&())?;
    owner.block_owner_deletion = Some(true);
    Some(owner)
}

/// The metadata of an object that belongs to `pipeline`.
pub fn metadata(pipeline: &Pipeline, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: pipeline.namespace(),
        labels: Some(labels::of_pipeline(&pipeline.name_any())),
        owner_references: owner(pipeline).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

/// What must stand beside `pipeline`.
pub fn beside(pipeline: &Pipeline) -> Beside {
    let runner = &pipeline.spec.runner;
    let account = runner.service_account_name.is_none().then(|| {
        let mut metadata = metadata(pipeline, account_name(pipeline));
        if !runner.service_account_annotations.is_empty() {
            metadata.annotations = Some(runner.service_account_annotations.clone());
        }
        ServiceAccount { metadata, automount_service_account_token: Some(false), ..ServiceAccount::default() }
    });
    let subject = Subject {
        kind: "ServiceAccount".to_string(),
        name: attempt::service_account(pipeline),
        namespace: pipeline.namespace(),
        ..Subject::default()
    };
    let binding = RoleBinding {
        metadata: metadata(pipeline, account_name(pipeline)),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_string(),
            kind: "ClusterRole".to_string(),
            name: RUNNER_ROLE.to_string(),
        },
        subjects: Some(vec![subject]),
    };
    Beside { account, binding, budget: budget(pipeline) }
}

fn budget(pipeline: &Pipeline) -> Option<PodDisruptionBudget> {
    if pipeline.spec.mode != Mode::Continuous || !pipeline.spec.runner.pod_disruption_budget {
        return None;
    }
    let name = pipeline.name_any();
    let selector = LabelSelector { match_labels: Some(labels::of_pipeline(&name)), ..LabelSelector::default() };
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(0)),
        selector: Some(selector),
        ..PodDisruptionBudgetSpec::default()
    };
    Some(PodDisruptionBudget { metadata: metadata(pipeline, budget_name(&name)), spec: Some(spec), status: None })
}
