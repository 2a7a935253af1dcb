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
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use kube::ResourceExt;

use crate::{attempt, labels, owner};

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

/// Name of the disruption budget.
pub fn budget_name(pipeline: &str) -> String {
    format!("{pipeline}-runner")
}

/// The metadata of an object that belongs to `pipeline`.
pub fn metadata(pipeline: &Pipeline, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: pipeline.namespace(),
        labels: Some(labels::of_pipeline(&pipeline.name_any())),
        owner_references: Some(vec![owner::reference(pipeline)]),
        ..ObjectMeta::default()
    }
}

/// What must stand beside `pipeline`.
pub fn beside(pipeline: &Pipeline) -> Beside {
    let runner = &pipeline.spec.runner;
    let account = runner.service_account_name.is_none().then(|| {
        let mut metadata = metadata(pipeline, attempt::own_account(pipeline));
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
        metadata: metadata(pipeline, attempt::own_account(pipeline)),
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
