//! The objects of an attempt.

use std::sync::Arc;

use floe_crds::table::Table;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::{at, pipeline, settings, update};
use crate::{
    attempt::{ConfigMapKeys, JobParts, RequestParts, job, pod_template, project_files, request, request_config_map, requested},
    labels,
};

fn batch_job(spec: Value, asked: Value, args: &[&str]) -> Value {
    let (settings, pipeline, update) = (settings(args), pipeline(spec), update("bookstore-u7", asked));
    let template = pod_template(&settings, &pipeline).unwrap();
    let keys: ConfigMapKeys =
        [("sql".to_string(), vec!["1.sql".to_string(), "2.sql".to_string()]), ("extra".to_string(), vec!["x.sql".to_string()])].into();
    let project = pipeline.spec.source.as_ref().map(|source| project_files(source, &keys).unwrap()).unwrap_or_default();
    let parts = JobParts { settings: &settings, pipeline: &pipeline, update: &update, number: 2, template: &template, project: &project };
    serde_json::to_value(job(&parts)).unwrap()
}

#[test]
fn the_smallest_pipeline() {
    insta::assert_yaml_snapshot!(batch_job(json!({}), json!({}), &[]));
}

#[test]
fn a_pipeline_with_everything() {
    let spec = json!({
        "storage": {"uri": "s3://lake/bookstore", "secretRef": {"name": "lake"}},
        "source": {"configMaps": [{"name": "sql"}, {"name": "extra", "path": "transformations/more", "optional": true}]},
        "mode": "Continuous",
        "parameters": [
            {"name": "run_date", "value": "2026-01-31"},
            {"name": "salt", "valueFrom": {"secretKeyRef": {"name": "salts", "key": "a"}}},
            {"name": "region", "valueFrom": {"configMapKeyRef": {"name": "regions", "key": "b"}}},
        ],
        "updatePolicy": {"timeoutSeconds": 3600},
        "runner": {
            "image": "localhost/floe:2",
            "imagePullPolicy": "Always",
            "imagePullSecrets": [{"name": "registry"}],
            "serviceAccountName": "books",
            "resources": {"limits": {"memory": "4Gi", "cpu": 2}},
            "env": [{"name": "TZ", "value": "Europe/Berlin"}, {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "k", "key": "k"}}}],
            "envFrom": [{"configMapRef": {"name": "variables"}}],
            "scratch": {"sizeLimit": "100Gi", "storageClassName": "fast"},
            "terminationGracePeriodSeconds": 300,
            "nodeSelector": {"pool": "data"},
            "tolerations": [{"key": "data", "operator": "Exists"}],
            "priorityClassName": "high",
            "queueName": "team-books",
        },
    });
    let args = ["--runner-env=[{name: TZ, value: UTC}, {name: HTTPS_PROXY, value: 'http://proxy'}]"];
    insta::assert_yaml_snapshot!(batch_job(spec, json!({}), &args));
}

#[test]
fn a_pod_that_only_checks_is_no_writer() {
    let label = |job: &Value| job["spec"]["template"]["metadata"]["labels"].get(labels::STORAGE).cloned();
    let (writer, checker) = (batch_job(json!({}), json!({}), &[]), batch_job(json!({}), json!({"validateOnly": true}), &[]));
    assert!(label(&writer).is_some() && label(&writer) == writer["metadata"]["labels"].get(labels::STORAGE).cloned());
    assert_eq!(label(&checker), None);
}

#[test]
fn a_volume_with_the_project_is_mounted_at_its_folder() {
    let spec = json!({"source": {"volume": {"persistentVolumeClaim": {"claimName": "sql"}}, "path": "books"}});
    let job = batch_job(spec, json!({}), &[]);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][1], json!({"name": "project", "persistentVolumeClaim": {"claimName": "sql"}}));
    assert_eq!(
        pod["containers"][0]["volumeMounts"][1],
        json!({"name": "project", "mountPath": "/floe/project", "readOnly": true, "subPath": "books"})
    );
}

#[test]
fn the_operators_template_lies_below_the_pipelines_fields() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pod.yaml");
    let template =
        "spec: {terminationGracePeriodSeconds: 120, priorityClassName: low, containers: [{name: runner, imagePullPolicy: Never}]}";
    std::fs::write(&file, template).unwrap();
    let args = [format!("--runner-pod-template={}", file.display()), "--runner-resources={limits: {memory: 9Gi}}".to_string()];
    let args = [args[0].as_str(), args[1].as_str()];
    let pod = batch_job(json!({"runner": {"priorityClassName": "high"}}), json!({}), &args)["spec"]["template"]["spec"].clone();
    assert_eq!((&pod["terminationGracePeriodSeconds"], &pod["priorityClassName"]), (&json!(120), &json!("high")));
    let runner = &pod["containers"][0];
    assert_eq!((&runner["imagePullPolicy"], &runner["resources"]["limits"]["memory"]), (&json!("Never"), &json!("9Gi")));
}

#[test]
fn labels_and_annotations_with_a_prefix_are_inherited() {
    let (settings, mut pipeline, update) =
        (settings(&["--inherited-labels=team/", "--inherited-annotations=cost/"]), pipeline(json!({})), update("u", json!({})));
    pipeline.metadata.labels = Some([("team/name".to_string(), "books".to_string()), ("other".to_string(), "x".to_string())].into());
    pipeline.metadata.annotations = Some([("cost/center".to_string(), "7".to_string())].into());
    let template = pod_template(&settings, &pipeline).unwrap();
    let parts = JobParts { settings: &settings, pipeline: &pipeline, update: &update, number: 1, template: &template, project: &[] };
    let job = serde_json::to_value(job(&parts)).unwrap();
    for metadata in [&job["metadata"], &job["spec"]["template"]["metadata"]] {
        assert_eq!((&metadata["labels"]["team/name"], metadata["labels"].get("other")), (&json!("books"), None));
        assert_eq!(metadata["annotations"]["cost/center"], "7");
    }
}

#[test]
fn what_cannot_be_made_is_refused_with_its_field() {
    let settings = settings(&[]);
    let refusal = |spec: Value| pod_template(&settings, &pipeline(spec)).unwrap_err().to_string();
    assert_eq!(
        refusal(json!({"runner": {"env": [{"name": "FLOE_X", "value": "1"}]}})),
        "spec.runner.env[0]: FLOE_X: names that begin with FLOE_ are reserved"
    );
    let both = json!({"source": {"volume": {"emptyDir": {}}, "configMaps": [{"name": "sql"}]}});
    assert!(refusal(both).starts_with("spec.source: give configMaps or volume, not both"));
    let source = serde_json::from_value(json!({"configMaps": [{"name": "a"}, {"name": "b"}]})).unwrap();
    let keys: ConfigMapKeys = ["a", "b"].map(|name| (name.to_string(), vec!["x.sql".to_string()])).into();
    let clash = project_files(&source, &keys).unwrap_err().to_string();
    assert!(clash.starts_with("spec.source.configMaps[1]: the file transformations/x.sql also comes from the ConfigMap a"), "{clash}");
}

fn table(name: &str, declared_in_sql: bool, going: bool) -> Arc<Table> {
    let mut table: Table = serde_json::from_value(json!({
        "apiVersion": "floe.dev/v1alpha1", "kind": "Table",
        "metadata": {"name": name, "namespace": "data", "uid": format!("uid-of-{name}"), "generation": 1},
        "spec": {"pipeline": "bookstore", "type": "MaterializedView", "query": "SELECT 1", "deletionPolicy": if going { "Delete" } else { "Retain" }},
    }))
    .unwrap();
    if declared_in_sql {
        table.metadata.annotations = Some([(labels::DECLARED_IN.to_string(), "sql".to_string())].into());
    }
    table.metadata.deletion_timestamp = going.then(|| Time(at(0)));
    Arc::new(table)
}

#[test]
fn the_request_says_all_that_the_runner_must_know_and_no_secret() {
    let settings = settings(&[]);
    let pipeline = pipeline(json!({
        "suspend": true,
        "parameters": [
            {"name": "run_date", "value": "2026-01-31"},
            {"name": "region", "valueFrom": {"configMapKeyRef": {"name": "regions", "key": "b"}}},
            {"name": "salt", "valueFrom": {"secretKeyRef": {"name": "salts", "key": "a"}}},
        ],
    }));
    let update = update("bookstore-u7", json!({"refresh": ["silver"], "requestId": "now", "parameters": {"run_date": "2026-02-01"}}));
    let template = pod_template(&settings, &pipeline).unwrap();
    let tables = [table("by-hand", false, false), table("from-sql", true, false), table("old-one", false, true)];
    let times = ["QUEUED", "CREATED", "WAITING_FOR_RESOURCES", "RUNNING"].map(|state| (state.to_string(), Time(at(1)))).into();
    let parts = RequestParts {
        pipeline: &pipeline,
        update: &update,
        number: 2,
        template: &template,
        tables: &tables,
        completed_flows: &["bronze".to_string()],
        phase_times: &times,
        cluster_id: "uid-of-kube-system",
    };
    let asked = request(&parts);
    let shown = floe_crds::request::UpdateRequest { operator_version: "any".to_string(), ..asked.clone() };
    insta::assert_yaml_snapshot!(shown);
    let config_map = request_config_map(&settings, &parts, &asked).unwrap();
    assert_eq!((config_map.immutable, config_map.metadata.name.as_deref()), (Some(true), Some("bookstore-u7-a2-request")));
    assert_eq!(requested(&config_map), Some(asked));
}

#[test]
fn a_request_that_fits_into_no_config_map_is_refused() {
    let settings = settings(&[]);
    let sql = "x".repeat(250 * 1024);
    let libraries: Vec<Value> = (0..4).map(|n| json!({"inline": {"name": format!("{n}.sql"), "sql": sql}})).collect();
    let (pipeline, update) = (pipeline(json!({"libraries": libraries})), update("u", json!({})));
    let template = pod_template(&settings, &pipeline).unwrap();
    let parts = RequestParts {
        pipeline: &pipeline,
        update: &update,
        number: 1,
        template: &template,
        tables: &[],
        completed_flows: &[],
        phase_times: &std::collections::BTreeMap::new(),
        cluster_id: "",
    };
    let error = request_config_map(&settings, &parts, &request(&parts)).unwrap_err().to_string();
    assert!(error.starts_with("REQUEST_TOO_LARGE"), "{error}");
}
