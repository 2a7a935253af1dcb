//! The watcher of a Job: one small pod that looks at folders and external tables with the tenant's credentials. Pure.

use std::collections::BTreeSet;

use floe_crds::{
    API_VERSION,
    condition::Reason,
    job::TriggerKind,
    request::{NamedObject, Owner, PROTOCOL, ReportTarget, WatchRequest, WatchedTable, WatchedTrigger},
    table::TableType,
};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy},
        core::v1::{ConfigMap, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{Resource, ResourceExt};
use serde_json::{Map, Value, json};

use super::{observe::Observed, resources};
use crate::{
    attempt::{REQUEST_KEY, RUNNER, Refused, overlay, watch_pod},
    labels,
};

/// The label by which a watcher finds its pod.
const COMPONENT: (&str, &str) = ("app.kubernetes.io/component", "watcher");

/// Everything that makes a watcher.
#[derive(Clone, Debug, PartialEq)]
pub struct Watcher {
    /// What it is asked to look at.
    pub request: ConfigMap,
    /// Its pod.
    pub deployment: Deployment,
}

/// Name of the watcher and of its report.
pub fn name(job: &str) -> String {
    format!("{job}-watch")
}

/// How the names of the requests of a watcher begin.
pub fn request_prefix(job: &str) -> String {
    format!("{job}-watch-")
}

/// True if only somebody in the tenant's place can see what a trigger looks at.
pub fn is_wanted(observed: &Observed) -> bool {
    !observed.is_deleted() && !watched(observed).is_empty()
}

/// What is looked at. Suspended triggers too: what comes meanwhile is then known to be old.
fn watched(observed: &Observed) -> Vec<WatchedTrigger> {
    let watch = |trigger: &floe_crds::job::Trigger| match trigger.kind()? {
        TriggerKind::FileArrival(files) => Some(WatchedTrigger {
            name: trigger.name.clone(),
            poll_interval_seconds: i64::from(files.poll_interval_seconds),
            files: Some(files.uri.clone()),
            tables: Vec::new(),
        }),
        TriggerKind::TableUpdate(update) => {
            let external = |name: &str| {
                let table = observed.tables.get(name)?.as_ref().filter(|table| table.spec.table_type == TableType::External)?;
                Some(WatchedTable { name: name.to_string(), location: table.spec.location.clone()? })
            };
            let tables: Vec<WatchedTable> = update.tables.iter().filter_map(|table| external(&table.name)).collect();
            let poll_interval_seconds = i64::from(update.poll_interval_seconds);
            (!tables.is_empty()).then(|| WatchedTrigger { name: trigger.name.clone(), poll_interval_seconds, files: None, tables })
        }
        _ => None,
    };
    observed.job.spec.triggers.iter().filter_map(watch).collect()
}

/// The pod of the watcher, without its request; `None` if the Job needs none.
pub fn template(observed: &Observed) -> Result<Option<PodTemplateSpec>, Refused> {
    if !is_wanted(observed) {
        return Ok(None);
    }
    let overlay = overlay_of_job(observed);
    let mut pod = watch_pod(&observed.settings, &account(observed)?, &environment_from(observed), overlay.as_ref())?;
    let metadata = pod.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().extend(labels(observed));
    Ok(Some(pod))
}

fn labels(observed: &Observed) -> std::collections::BTreeMap<String, String> {
    let mut labels = labels::of_job(&observed.key.name);
    labels.insert(COMPONENT.0.to_string(), COMPONENT.1.to_string());
    labels
}

/// One pod looks for all triggers, so it has one account.
fn account(observed: &Observed) -> Result<String, Refused> {
    let usual = resources::usual_account(&observed.job);
    let mut named = observed.job.spec.triggers.iter().filter_map(|trigger| {
        let files = trigger.file_arrival.as_ref()?;
        Some((trigger.name.as_str(), files.service_account_name.clone().unwrap_or_else(|| usual.clone())))
    });
    let Some((first, account)) = named.next() else { return Ok(usual) };
    match named.find(|(_, other)| *other != account) {
        Some((trigger, other)) => Err(Refused {
            reason: Reason::InvalidSpec,
            path: format!("trigger {trigger}, fileArrival.serviceAccountName"),
            problem: format!(
                "{other} differs from {account} of trigger {first}; one pod looks for all triggers of a job: name the same account"
            ),
        }),
        None => Ok(account),
    }
}

/// Environment of the pod: what tasks have by default, what triggers name, and the storage Secrets of the pipelines of external tables.
fn environment_from(observed: &Observed) -> Vec<Value> {
    let spec = &observed.job.spec;
    let defaults = spec.task_defaults.iter().flat_map(|defaults| &defaults.pod.env_from);
    let triggers = spec.triggers.iter().filter_map(|trigger| trigger.file_arrival.as_ref()).flat_map(|files| &files.env_from);
    let external = observed.tables.values().flatten().filter(|table| table.spec.table_type == TableType::External);
    let of_pipelines: BTreeSet<&str> = external
        .filter_map(|table| observed.pipelines.get(&table.spec.pipeline)?.as_ref())
        .filter_map(|pipeline| Some(pipeline.spec.storage.as_ref()?.secret_ref.as_ref()?.name.as_str()))
        .collect();
    let secrets = of_pipelines.into_iter().map(|name| json!({"secretRef": {"name": name}}));
    let mut all: Vec<Value> = Vec::new();
    for source in secrets.chain(defaults.cloned()).chain(triggers.cloned()) {
        if !all.contains(&source) {
            all.push(source);
        }
    }
    all
}

/// The watcher as it must be; its pod is made anew when it is asked for something else.
pub fn desired(observed: &Observed, template: &PodTemplateSpec) -> Option<Watcher> {
    let job = &observed.job;
    let request = WatchRequest {
        api_version: API_VERSION.to_string(),
        kind: "WatchRequest".to_string(),
        protocol: PROTOCOL,
        operator_version: crate::BUILD[0].to_string(),
        namespace: observed.key.namespace.clone(),
        job: NamedObject { name: observed.key.name.clone(), uid: job.uid().unwrap_or_default() },
        triggers: watched(observed),
        report: Some(ReportTarget {
            namespace: observed.key.namespace.clone(),
            name: name(&observed.key.name),
            owner: Owner {
                kind: floe_crds::job::Job::kind(&()).into_owned(),
                name: observed.key.name.clone(),
                uid: job.uid().unwrap_or_default(),
            },
        }),
    };
    // Ten triggers are far below the size of a ConfigMap.
    let text = request.to_text().ok()?;
    let request_name = format!("{}{}", request_prefix(&observed.key.name), labels::short_hash(&text));
    let mut metadata = resources::child_metadata(&observed.settings, job, request_name.clone());
    metadata.annotations.get_or_insert_default().insert(labels::PROTOCOL.to_string(), PROTOCOL.to_string());
    let request = ConfigMap { metadata, data: Some([(REQUEST_KEY.to_string(), text)].into()), immutable: Some(true), binary_data: None };
    Some(Watcher { request, deployment: deployment(observed, template, &request_name) })
}

fn deployment(observed: &Observed, template: &PodTemplateSpec, request_name: &str) -> Deployment {
    let mut template = template.clone();
    let volumes = template.spec.iter_mut().flat_map(|spec| spec.volumes.iter_mut().flatten());
    for request in volumes.filter(|volume| volume.name == "request").filter_map(|volume| volume.config_map.as_mut()) {
        request.name = request_name.to_string();
    }
    let spec = DeploymentSpec {
        replicas: Some(1),
        selector: LabelSelector { match_labels: Some(labels(observed)), ..LabelSelector::default() },
        // Two watchers would write one report.
        strategy: Some(DeploymentStrategy { type_: Some("Recreate".to_string()), rolling_update: None }),
        revision_history_limit: Some(0),
        template,
        ..DeploymentSpec::default()
    };
    let mut metadata = resources::child_metadata(&observed.settings, &observed.job, name(&observed.key.name));
    // The whole of what is wanted in one word: a look tells by it whether anything is to be written.
    let wanted = labels::hash(serde_json::to_string(&spec).unwrap_or_default().as_bytes())[..32].to_string();
    metadata.annotations.get_or_insert_default().insert(labels::ASKED.to_string(), wanted);
    Deployment { metadata, spec: Some(spec), status: None }
}

/// True if `found` was written as `wanted` is.
pub fn is_as(found: &Deployment, wanted: &Deployment) -> bool {
    let asked = |deployment: &Deployment| deployment.annotations().get(labels::ASKED).cloned();
    asked(found) == asked(wanted)
}

/// How the watcher is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Works,
    /// It is on its way.
    Starting,
    /// It does not start; why, in Kubernetes' words.
    Broken(String),
}

/// How the pod of `deployment` is.
pub fn health(deployment: Option<&Deployment>) -> Health {
    let Some(status) = deployment.and_then(|deployment| deployment.status.as_ref()) else { return Health::Starting };
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let is = |kind: &str, is: &str| conditions.iter().find(|condition| condition.type_ == kind && condition.status == is);
    if is("Available", "True").is_some() && status.available_replicas.unwrap_or_default() > 0 {
        return Health::Works;
    }
    let why = is("ReplicaFailure", "True").or_else(|| is("Progressing", "False"));
    why.map_or(Health::Starting, |why| Health::Broken(why.message.clone().or_else(|| why.reason.clone()).unwrap_or_default()))
}

/// Overlays of the Job for the pod of its watcher: of the default template all but containers of tasks.
fn overlay_of_job(observed: &Observed) -> Option<Map<String, Value>> {
    let mut template = observed.job.spec.task_defaults.as_ref()?.pod.pod_template.as_ref()?.as_object()?.clone();
    if let Some(containers) = template.get_mut("spec").and_then(|spec| spec.get_mut("containers")).and_then(Value::as_array_mut) {
        containers.retain(|container| container.get("name").and_then(Value::as_str) == Some(RUNNER));
    }
    overlay::checked(&Value::Object(template.clone()), "spec.taskDefaults.podTemplate").is_ok().then_some(template)
}
