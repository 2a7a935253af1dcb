//! The pod template of a pipeline: what every runner pod has, below the operator's template, below the fields of `spec.runner`, below the
//! pipeline's own template. All that can be wrong is found here; what differs between attempts is filled in later and cannot fail.

use floe_crds::{
    pipeline::{EnvVar, ImagePullPolicy, Mode, Parameter, Pipeline, Resources, Runner, Scratch},
    request::{RESERVED_PREFIX, config_parameter, secret_parameter},
};
use k8s_openapi::{
    api::core::v1::{PodSpec, PodTemplateSpec},
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use super::{PROJECT, REQUEST, REQUEST_KEY, RUNNER, Refused, TOKEN, VOLUMES, overlay, service_account};
use crate::{labels, settings::Settings};

/// User and group of the containers.
const USER: i64 = 65532;
/// The file with the request.
pub(crate) const REQUEST_PATH: &str = "/floe/request/request.json";
/// The file in which a container leaves its last words.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// The template of all runner pods of `pipeline`.
pub fn pod_template(settings: &Settings, pipeline: &Pipeline) -> Result<PodTemplateSpec, Refused> {
    check_runner(pipeline)?;
    let runner = &pipeline.spec.runner;
    let mut template = base(settings, pipeline);
    if let Some(operators) = &settings.runner_pod_template {
        overlay::merge(&mut template, overlay::checked(operators, "the operator's pod template")?);
    }
    for shortcut in shortcuts(pipeline) {
        overlay::merge(&mut template, &shortcut);
    }
    if let Some(own) = &runner.pod_template {
        overlay::merge(&mut template, overlay::checked(own, "spec.runner.podTemplate")?);
    }
    check_complete(&template)?;
    typed(template)
}

/// The template of the pod that watches the triggers of a Job: below the operator's template, below `own`. Its request has no name yet.
pub fn watch_pod(
    settings: &Settings,
    account: &str,
    environment_from: &[Value],
    own: Option<&Map<String, Value>>,
) -> Result<PodTemplateSpec, Refused> {
    let container = json!({
        "name": RUNNER,
        "image": settings.runner_image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["watch", "--request", REQUEST_PATH],
        "env": runner_environment(settings, RUNNER),
        "envFrom": environment_from,
        "resources": {"requests": {"cpu": "25m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": restricted(true),
        "terminationMessagePath": TERMINATION_LOG,
        "volumeMounts": [
            {"name": "request", "mountPath": REQUEST, "readOnly": true},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "token", "mountPath": TOKEN, "readOnly": true},
        ],
    });
    let spec = json!({
        "serviceAccountName": account,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": pod_security(),
        "containers": [container],
        "volumes": [
            {"name": "request", "configMap": {"name": "", "items": [{"key": REQUEST_KEY, "path": REQUEST_KEY}]}},
            {"name": "tmp", "emptyDir": {}},
            token_volume(),
        ],
    });
    let mut template = Map::from_iter([("spec".to_string(), spec)]);
    if let Some(operators) = &settings.runner_pod_template {
        overlay::merge(&mut template, overlay::checked(operators, "the operator's pod template")?);
    }
    if let Some(own) = own {
        overlay::merge(&mut template, own);
    }
    typed(template)
}

fn check_runner(pipeline: &Pipeline) -> Result<(), Refused> {
    for (at, variable) in pipeline.spec.runner.env.iter().enumerate() {
        let path = format!("spec.runner.env[{at}]");
        if variable.name.starts_with(RESERVED_PREFIX) {
            return Err(Refused::spec(path, format!("{}: names that begin with {RESERVED_PREFIX} are reserved", variable.name)));
        }
        if variable.value.is_some() && variable.value_from.is_some() {
            return Err(Refused::spec(path, format!("{}: give value or valueFrom, not both", variable.name)));
        }
    }
    match &pipeline.spec.source {
        Some(source) if source.volume.is_some() && !source.config_maps.is_empty() => {
            Err(Refused::spec("spec.source", "give configMaps or volume, not both: the files of one would hide those of the other"))
        }
        _ => Ok(()),
    }
}

/// What every runner pod has. What differs between attempts is empty.
fn base(settings: &Settings, pipeline: &Pipeline) -> Map<String, Value> {
    let mut container = json!({
        "name": RUNNER,
        "image": settings.runner_image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["run", "--request", REQUEST_PATH],
        "env": environment(settings, pipeline),
        "resources": resources(settings.runner_resources.as_ref().unwrap_or(&Resources::default())),
        "ports": [{"name": "metrics", "containerPort": 9090}],
        "securityContext": restricted(true),
        "terminationMessagePath": TERMINATION_LOG,
        "volumeMounts": mounts(pipeline),
    });
    if pipeline.spec.mode == Mode::Continuous {
        container["livenessProbe"] = json!({
            "httpGet": {"path": "/healthz", "port": 9090},
            "initialDelaySeconds": 30,
            "periodSeconds": 30,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        });
    }
    let spec = json!({
        "restartPolicy": "Never",
        "serviceAccountName": service_account(pipeline),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": Runner::default().termination_grace_period_seconds,
        "securityContext": pod_security(),
        "containers": [container],
        "volumes": volumes(pipeline),
    });
    let metadata = json!({
        "labels": labels::of_pipeline(&pipeline.name_any()),
        "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
    });
    Map::from_iter([("metadata".to_string(), metadata), ("spec".to_string(), spec)])
}

/// What a namespace with the restricted profile wants of a container.
pub(crate) fn restricted(read_only_root: bool) -> Value {
    json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": read_only_root, "capabilities": {"drop": ["ALL"]}})
}

/// What it wants of a pod.
pub(crate) fn pod_security() -> Value {
    json!({
        "runAsNonRoot": true,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// Variables of the operator, then ours. A variable of a container wins over those of `envFrom`, so what the operator was told wins over
/// the keys of Secrets; the pipeline's own variables win over both.
fn environment(settings: &Settings, pipeline: &Pipeline) -> Vec<Value> {
    let mut variables = runner_environment(settings, RUNNER);
    variables.extend(parameter_variables(&pipeline.spec.parameters).into_iter().map(|(_, _, variable)| variable));
    variables
}

/// Variables of every container of the runner's image.
pub(crate) fn runner_environment(settings: &Settings, container: &str) -> Vec<Value> {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let limit = |name: &str, resource: &str, divisor: &str| json!({"name": name, "valueFrom": {"resourceFieldRef": {"containerName": container, "resource": resource, "divisor": divisor}}});
    let mut variables: Vec<Value> = settings.runner_env.iter().map(variable).collect();
    variables.extend([
        json!({"name": "FLOE_ATTEMPT", "value": ""}),
        field("FLOE_POD_NAME", "metadata.name"),
        field("FLOE_POD_UID", "metadata.uid"),
        field("FLOE_NODE_NAME", "spec.nodeName"),
        limit("FLOE_CPU_MILLIS", "limits.cpu", "1m"),
        limit("FLOE_MEMORY_BYTES", "limits.memory", "1"),
        json!({"name": "FLOE_TERMINATION_LOG", "value": TERMINATION_LOG}),
    ]);
    variables
}

/// Parameters whose values stand in other objects: each with the name of the variable that holds it in the pod, and the variable.
pub(super) fn parameter_variables(parameters: &[Parameter]) -> Vec<(&Parameter, String, Value)> {
    let from = parameters.iter().filter_map(|parameter| parameter.value_from.as_ref().map(|from| (parameter, from)));
    from.enumerate()
        .filter_map(|(n, (parameter, from))| {
            let (name, source, key) = match (&from.secret_key_ref, &from.config_map_key_ref) {
                (Some(key), _) => (secret_parameter(n), "secretKeyRef", key),
                (None, Some(key)) => (config_parameter(n), "configMapKeyRef", key),
                (None, None) => return None,
            };
            let variable = json!({"name": name, "valueFrom": {source: {"name": key.name, "key": key.key}}});
            Some((parameter, name, variable))
        })
        .collect()
}

pub(crate) fn variable(variable: &EnvVar) -> Value {
    match &variable.value_from {
        Some(from) => json!({"name": variable.name, "valueFrom": from}),
        None => json!({"name": variable.name, "value": variable.value.clone().unwrap_or_default()}),
    }
}

pub(crate) fn resources(resources: &Resources) -> Value {
    let text = |quantities: &std::collections::BTreeMap<String, IntOrString>| -> Map<String, Value> {
        let text = |quantity: &IntOrString| match quantity {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(text) => text.clone(),
        };
        quantities.iter().map(|(name, quantity)| (name.clone(), Value::String(text(quantity)))).collect()
    };
    json!({"requests": text(&resources.requests), "limits": text(&resources.limits)})
}

fn mounts(pipeline: &Pipeline) -> Vec<Value> {
    let mount = |(name, place): &(&str, &str)| {
        let mut mount = json!({"name": name, "mountPath": place});
        if [REQUEST, PROJECT, TOKEN].contains(place) {
            mount["readOnly"] = json!(true);
        }
        let path = pipeline.spec.source.as_ref().map(|source| source.path.trim_matches('/')).unwrap_or_default();
        if *place == PROJECT && !path.is_empty() {
            mount["subPath"] = json!(path);
        }
        mount
    };
    VOLUMES.iter().map(mount).collect()
}

fn volumes(pipeline: &Pipeline) -> Vec<Value> {
    let mut project = pipeline.spec.source.as_ref().and_then(|source| source.volume.clone()).unwrap_or_else(|| json!({"emptyDir": {}}));
    project["name"] = json!("project");
    vec![
        json!({"name": "request", "configMap": {"name": "", "items": [{"key": REQUEST_KEY, "path": REQUEST_KEY}]}}),
        project,
        scratch(&pipeline.spec.runner.scratch),
        json!({"name": "tmp", "emptyDir": {}}),
        token_volume(),
    ]
}

/// The token of the service account, where a container finds it.
pub(crate) fn token_volume() -> Value {
    json!({"name": "token", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]}})
}

fn scratch(scratch: &Scratch) -> Value {
    let Some(class) = &scratch.storage_class_name else {
        return json!({"name": "scratch", "emptyDir": {"sizeLimit": scratch.size_limit}});
    };
    json!({"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": class,
        "resources": {"requests": {"storage": scratch.size_limit}},
    }}}})
}

/// The fields of `spec.runner` as overlays. A field that has its default leaves the word to the operator's template.
fn shortcuts(pipeline: &Pipeline) -> Vec<Map<String, Value>> {
    let (runner, usual) = (&pipeline.spec.runner, Runner::default());
    let mut container = Map::from_iter([("name".to_string(), json!(RUNNER))]);
    let mut spec = Map::new();
    let set = |map: &mut Map<String, Value>, field: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(field.to_string(), value);
        }
    };
    set(&mut container, "image", runner.image.as_ref().map(|image| json!(image)));
    let policy = (runner.image_pull_policy != ImagePullPolicy::default()).then(|| json!(runner.image_pull_policy));
    set(&mut container, "imagePullPolicy", policy);
    set(&mut container, "env", (!runner.env.is_empty()).then(|| runner.env.iter().map(variable).collect()));
    let secret = pipeline.spec.storage.as_ref().and_then(|storage| storage.secret_ref.as_ref());
    let mut from: Vec<Value> = secret.iter().map(|secret| json!({"secretRef": {"name": secret.name}})).collect();
    from.extend(runner.env_from.iter().cloned());
    set(&mut container, "envFrom", (!from.is_empty()).then_some(Value::Array(from)));
    let grace = runner.termination_grace_period_seconds;
    set(&mut spec, "terminationGracePeriodSeconds", (grace != usual.termination_grace_period_seconds).then(|| json!(grace)));
    set(&mut spec, "serviceAccountName", runner.service_account_name.as_ref().map(|name| json!(name)));
    set(&mut spec, "imagePullSecrets", (!runner.image_pull_secrets.is_empty()).then(|| json!(runner.image_pull_secrets)));
    set(&mut spec, "nodeSelector", (!runner.node_selector.is_empty()).then(|| json!(runner.node_selector)));
    set(&mut spec, "tolerations", (!runner.tolerations.is_empty()).then(|| json!(runner.tolerations)));
    set(&mut spec, "affinity", runner.affinity.clone());
    set(
        &mut spec,
        "topologySpreadConstraints",
        (!runner.topology_spread_constraints.is_empty()).then(|| json!(runner.topology_spread_constraints)),
    );
    set(&mut spec, "priorityClassName", runner.priority_class_name.as_ref().map(|name| json!(name)));
    set(&mut spec, "runtimeClassName", runner.runtime_class_name.as_ref().map(|name| json!(name)));
    let mut overlays = Vec::new();
    if runner.resources != usual.resources {
        // Requests of the default beside limits of the pipeline could exceed them: all or nothing.
        overlays.push(of_container(&json!({"name": RUNNER, "resources": null}), Map::new()));
        set(&mut container, "resources", Some(resources(&runner.resources)));
    }
    overlays.push(of_container(&Value::Object(container), spec));
    overlays
}

fn of_container(container: &Value, mut spec: Map<String, Value>) -> Map<String, Value> {
    spec.insert("containers".to_string(), json!([container]));
    Map::from_iter([("spec".to_string(), Value::Object(spec))])
}

/// An overlay can delete what the runner needs by a `null`.
fn check_complete(template: &Map<String, Value>) -> Result<(), Refused> {
    let spec = template.get("spec").unwrap_or(&Value::Null);
    let has = |list: Option<&Value>, key: &str, value: &str| {
        list.and_then(Value::as_array).is_some_and(|items| items.iter().any(|item| item.get(key).and_then(Value::as_str) == Some(value)))
    };
    let containers = spec.get("containers").and_then(Value::as_array);
    let runner = containers.and_then(|all| all.iter().find(|container| container["name"] == RUNNER));
    let Some(runner) = runner else { return Err(Refused::template("spec.containers", "the container runner must stay")) };
    for (name, place) in VOLUMES {
        if !has(spec.get("volumes"), "name", name) || !has(runner.get("volumeMounts"), "mountPath", place) {
            return Err(Refused::template("spec.volumes", format!("the volume {name} and its mount at {place} must stay")));
        }
    }
    Ok(())
}

/// The template as Kubernetes' own type. What that type does not know would be lost without a word, so it is refused by name.
pub(crate) fn typed(mut template: Map<String, Value>) -> Result<PodTemplateSpec, Refused> {
    if let Some(spec) = template.get_mut("spec") {
        quantities_as_text(spec);
    }
    let value = Value::Object(template);
    let typed: PodTemplateSpec = serde_json::from_value(value.clone()).map_err(|error| wrong_type(&value, &error))?;
    let known = serde_json::to_value(&typed).map_err(|error| Refused::template("spec", error.to_string()))?;
    match unknown_field(&value, &known, "") {
        Some(path) => Err(Refused::template(path, "no field of a pod; check its name and place")),
        None => Ok(typed),
    }
}

/// YAML writes `cpu: 2` as a number, where the API also takes text.
fn quantities_as_text(value: &mut Value) {
    let text = |value: &mut Value| {
        if value.is_number() {
            *value = Value::String(value.to_string());
        }
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), &mut *value) {
                    ("limits" | "requests", Value::Object(quantities)) => quantities.values_mut().for_each(text),
                    ("sizeLimit" | "divisor", quantity) => text(quantity),
                    _ => quantities_as_text(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(quantities_as_text),
        _ => {}
    }
}

/// Names the field of the pod in which the type is wrong: each is tried alone.
fn wrong_type(template: &Value, error: &serde_json::Error) -> Refused {
    let metadata = template.get("metadata").cloned().unwrap_or_default();
    if let Err(error) = serde_json::from_value::<ObjectMeta>(metadata) {
        return Refused::template("metadata", error.to_string());
    }
    let fields = template.get("spec").and_then(Value::as_object).into_iter().flatten();
    for (field, value) in fields {
        if let Err(error) = serde_json::from_value::<PodSpec>(json!({field: value})) {
            return Refused::template(format!("spec.{field}"), error.to_string());
        }
    }
    Refused::template("spec", error.to_string())
}

/// The first field of `given` that `known` has lost.
fn unknown_field(given: &Value, known: &Value, path: &str) -> Option<String> {
    let inside = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given.iter().find_map(|(name, value)| match known.get(name) {
            Some(known) => unknown_field(value, known, &inside(name)),
            None => Some(inside(name)),
        }),
        (Value::Array(given), Value::Array(known)) => {
            given.iter().zip(known).enumerate().find_map(|(at, (given, known))| unknown_field(given, known, &format!("{path}[{at}]")))
        }
        _ => None,
    }
}
