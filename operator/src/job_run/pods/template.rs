//! The pod template of a task: that of a runner for queries; for a container its image, with a side-car that publishes its values.

use floe_crds::{
    job::{ContainerTask, PodSettings},
    job_run::JobRun,
    pipeline::{Pipeline, PipelineSpec},
    request::VALUES_FOLDER,
    run::{parameters::variable as parameter_variable, scene::Attempt},
};
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, PodTemplateSpec, ProjectedVolumeSource, VolumeProjection};
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use crate::{
    attempt::{
        REPORTER, RUNNER, Refused, TASK_CONTAINER, TOKEN, job_account, overlay, pod_template, request_name,
        template::{REQUEST_PATH, pod_security, resources, restricted, runner_environment, token_volume, typed, variable},
    },
    caches, labels,
    settings::Settings,
};

/// Processor time and memory of the side-car.
const REPORTER_RESOURCES: [(&str, &str); 2] = [("cpu", "10m"), ("memory", "32Mi")];

/// The template of a pod that runs queries: that of the runner of `pipeline`, or of one that has no pipeline.
pub fn sql_template(settings: &Settings, run: &JobRun, attempt: &Attempt, pipeline: Option<&Pipeline>) -> Result<PodTemplateSpec, Refused> {
    let none = Pipeline::new(&caches::job_of_run(run).name, PipelineSpec::default());
    let base = pod_template(settings, pipeline.unwrap_or(&none))?;
    let mut template = object(&base);
    let account = account(run, &attempt.effective.pod);
    let mut container = json!({"name": RUNNER, "args": ["task", "--request", REQUEST_PATH], "livenessProbe": null});
    if let Some(own) = &attempt.effective.pod.resources {
        container["resources"] = resources(own);
    }
    container["env"] = attempt.effective.pod.env.iter().map(variable).collect();
    let mut overlay =
        json!({"metadata": {"labels": {(labels::PIPELINE): null}}, "spec": {"serviceAccountName": account, "containers": [container]}});
    if !attempt.effective.pod.env_from.is_empty() {
        let below = template["spec"]["containers"].as_array().and_then(|all| all.iter().find(|one| one["name"] == RUNNER));
        let mut from = below.and_then(|runner| runner["envFrom"].as_array().cloned()).unwrap_or_default();
        from.extend(attempt.effective.pod.env_from.iter().cloned());
        overlay["spec"]["containers"][0]["envFrom"] = Value::Array(from);
    }
    overlay::merge(&mut template, &into_object(overlay));
    with_overlays(template, attempt)
}

/// The template of a pod that runs a program of its own image.
pub fn container_template(
    settings: &Settings,
    (run, job_uid): (&JobRun, &str),
    attempt: &Attempt,
    task: &ContainerTask,
) -> Result<PodTemplateSpec, Refused> {
    let mut template = into_object(json!({
        "metadata": {"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": account(run, &attempt.effective.pod),
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 60,
            "securityContext": pod_security(),
            "initContainers": [reporter(settings)],
            "containers": [program((run, job_uid), attempt, task)],
            "volumes": [
                json!({"name": "request", "configMap": {"name": request_name(&attempt.name)}}),
                json!({"name": "values", "emptyDir": {"sizeLimit": "64Mi"}}),
                json!({"name": "tmp", "emptyDir": {}}),
                token_volume(),
            ],
        },
    }));
    if let Some(operators) = &settings.runner_pod_template {
        overlay::merge(&mut template, overlay::checked(operators, "the operator's pod template")?);
        forget_runner(&mut template);
    }
    with_overlays(template, attempt)
}

/// What the operator's template says of a container named `runner` is for runners.
fn forget_runner(template: &mut Map<String, Value>) {
    let containers = template.get_mut("spec").and_then(|spec| spec.get_mut("containers")).and_then(Value::as_array_mut);
    if let Some(containers) = containers {
        containers.retain(|container| container["name"] != RUNNER);
    }
}

fn with_overlays(mut template: Map<String, Value>, attempt: &Attempt) -> Result<PodTemplateSpec, Refused> {
    for overlay in &attempt.effective.pod_templates {
        overlay::merge(&mut template, overlay::checked(overlay, "podTemplate")?);
    }
    typed(template)
}

fn account(run: &JobRun, pod: &PodSettings) -> String {
    pod.service_account_name.clone().unwrap_or_else(|| job_account(&caches::job_of_run(run).name))
}

/// The program of the task. It has no token: only the side-car talks to the API server.
fn program((run, job_uid): (&JobRun, &str), attempt: &Attempt, task: &ContainerTask) -> Value {
    let pod = &attempt.effective.pod;
    let value = |name: &str, value: &str| json!({"name": name, "value": value});
    let mut env = vec![
        value("FLOE_JOB_NAME", &caches::job_of_run(run).name),
        value("FLOE_JOB_ID", job_uid),
        value("FLOE_RUN_NAME", &run.name_any()),
        value("FLOE_RUN_ID", &run.uid().unwrap_or_default()),
        value("FLOE_TASK", &attempt.task),
        value("FLOE_ATTEMPT", &attempt.execution.to_string()),
        value("FLOE_VALUES_DIR", VALUES_FOLDER),
    ];
    env.extend(attempt.parameters.iter().map(|(name, text)| value(&parameter_variable(name), text)));
    env.extend(pod.env.iter().map(variable));
    let mut mounts = vec![json!({"name": "values", "mountPath": VALUES_FOLDER}), json!({"name": "tmp", "mountPath": "/tmp"})];
    mounts.extend(task.volume_mounts.iter().cloned());
    let mut container = json!({
        "name": TASK_CONTAINER,
        "image": task.image,
        "imagePullPolicy": task.image_pull_policy,
        "env": env,
        "securityContext": restricted(false),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    });
    let mut set = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            container[field] = value;
        }
    };
    set("command", (!task.command.is_empty()).then(|| json!(task.command)));
    set("args", (!task.args.is_empty()).then(|| json!(task.args)));
    set("workingDir", task.working_dir.as_ref().map(|folder| json!(folder)));
    set("envFrom", (!pod.env_from.is_empty()).then(|| json!(pod.env_from)));
    set("resources", pod.resources.as_ref().map(resources));
    container
}

/// The side-car that publishes what the program has left, once it has ended.
fn reporter(settings: &Settings) -> Value {
    let quantities: Map<String, Value> = REPORTER_RESOURCES.iter().map(|(name, quantity)| ((*name).to_string(), json!(quantity))).collect();
    json!({
        "name": REPORTER,
        "image": settings.runner_image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "args": ["task-report", "--request", REQUEST_PATH],
        "env": runner_environment(settings, REPORTER),
        "resources": {"requests": quantities, "limits": {"memory": "128Mi"}},
        "securityContext": restricted(true),
        "volumeMounts": [
            {"name": "request", "mountPath": "/floe/request", "readOnly": true},
            {"name": "values", "mountPath": VALUES_FOLDER, "readOnly": true},
            {"name": "token", "mountPath": TOKEN, "readOnly": true},
        ],
    })
}

/// The template with what only this attempt has.
pub(super) fn filled_in(template: &PodTemplateSpec, attempt: &Attempt, project: &[VolumeProjection]) -> PodTemplateSpec {
    let mut template = template.clone();
    let Some(spec) = &mut template.spec else { return template };
    for volume in spec.volumes.iter_mut().flatten() {
        match (volume.name.as_str(), &mut volume.config_map) {
            ("request", Some(request)) => request.name = request_name(&attempt.name),
            ("project", None) if volume.empty_dir == Some(EmptyDirVolumeSource::default()) && !project.is_empty() => {
                volume.empty_dir = None;
                volume.projected = Some(ProjectedVolumeSource { sources: Some(project.to_vec()), default_mode: None });
            }
            _ => {}
        }
    }
    for variable in spec.containers.iter_mut().flat_map(|container| container.env.iter_mut().flatten()) {
        if variable.name == "FLOE_ATTEMPT" {
            variable.value = Some(attempt.execution.to_string());
        }
    }
    template
}

fn object(template: &PodTemplateSpec) -> Map<String, Value> {
    into_object(serde_json::to_value(template).unwrap_or_default())
}

fn into_object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
