//! The objects that pods of a Job need beside them: an account, and the right to write reports. Pure: functions of the Job that cannot fail.

use std::collections::{BTreeMap, BTreeSet};

use floe_crds::job::{Job, JobSpec, TaskKind};
use k8s_openapi::{
    api::{
        core::v1::ServiceAccount,
        rbac::v1::{RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;
use serde::Serialize;

pub use crate::attempt::job_account as own_account;
use crate::{labels, owner, settings::Settings};

/// The ClusterRole of runners: they may write reports and nothing else.
const RUNNER_ROLE: &str = "floe-runner";

/// What pods of a Job need beside them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Beside {
    /// Absent if all pods have accounts that the Job names.
    pub account: Option<ServiceAccount>,
    /// Lets the accounts write reports; absent if the Job has no pods.
    pub binding: Option<RoleBinding>,
}

impl Beside {
    /// Stands for all of it.
    pub fn hash(&self) -> String {
        labels::hash(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }
}

/// The metadata of an object that belongs to `job`.
pub fn metadata(job: &Job, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: job.namespace(),
        labels: Some(labels::of_job(&job.name_any())),
        owner_references: Some(vec![owner::reference(job)]),
        ..ObjectMeta::default()
    }
}

/// As `metadata`, with the labels and annotations that children inherit.
pub fn child_metadata(settings: &Settings, job: &Job, name: String) -> ObjectMeta {
    let inherited = |all: &BTreeMap<String, String>, prefixes: &[String]| {
        let chosen = all.iter().filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())));
        chosen.map(|(name, value)| (name.clone(), value.clone())).collect::<BTreeMap<_, _>>()
    };
    let mut metadata = metadata(job, name);
    let mut labels = inherited(job.labels(), &settings.inherited_labels);
    labels.extend(metadata.labels.take().unwrap_or_default());
    let annotations = inherited(job.annotations(), &settings.inherited_annotations);
    ObjectMeta { labels: Some(labels), annotations: (!annotations.is_empty()).then_some(annotations), ..metadata }
}

/// The service account of pods that name none.
pub fn usual_account(job: &Job) -> String {
    let of_defaults = job.spec.task_defaults.as_ref().and_then(|defaults| defaults.pod.service_account_name.clone());
    of_defaults.unwrap_or_else(|| own_account(&job.name_any()))
}

/// What must stand beside `job`.
pub fn beside(job: &Job) -> Beside {
    let (own, accounts) = (own_account(&job.name_any()), accounts(job));
    let account = accounts.contains(&own).then(|| ServiceAccount {
        metadata: metadata(job, own.clone()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    });
    let subject = |name: &String| Subject {
        kind: "ServiceAccount".to_string(),
        name: name.clone(),
        namespace: job.namespace(),
        ..Subject::default()
    };
    let binding = (!accounts.is_empty()).then(|| RoleBinding {
        metadata: metadata(job, own),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_string(),
            kind: "ClusterRole".to_string(),
            name: RUNNER_ROLE.to_string(),
        },
        subjects: Some(accounts.iter().map(subject).collect()),
    });
    Beside { account, binding }
}

/// The accounts of all pods of the Job.
fn accounts(job: &Job) -> BTreeSet<String> {
    let usual = usual_account(job);
    let or_usual = |name: Option<String>| name.unwrap_or_else(|| usual.clone());
    let watchers = job.spec.triggers.iter().filter(|trigger| trigger.file_arrival.is_some() || trigger.table_update.is_some());
    let watchers = watchers.map(|trigger| or_usual(trigger.file_arrival.as_ref().and_then(|files| files.service_account_name.clone())));
    of_tasks(&job.spec).map(or_usual).chain(watchers).collect()
}

/// The account that each task with pods names.
fn of_tasks(spec: &JobSpec) -> impl Iterator<Item = Option<String>> + '_ {
    spec.tasks.iter().filter_map(|task| {
        let (effective, named) = match &task.for_each {
            Some(all) => (spec.effective_nested(&all.task), all.task.pod.service_account_name.clone()),
            None => (spec.effective(task), task.pod.service_account_name.clone()),
        };
        matches!(effective.kind, TaskKind::Container | TaskKind::Sql).then_some(named.or(effective.pod.service_account_name))
    })
}
