//! What an API server adds to kinds of Kubernetes when they are made, as far as anybody here reads it.

use serde_json::{Value, json};

use super::{patch, resource::Resource};

/// Completes an object that has its name and uid.
pub fn complete(resource: &Resource, object: &mut Value) {
    match resource.kind.as_str() {
        "Pod" => complete_pod(object),
        "Namespace" => object["status"] = json!({"phase": "Active"}),
        "Job" if resource.is_batch_job() => complete_job(object),
        _ => {}
    }
}

fn complete_pod(pod: &mut Value) {
    fill(
        &mut pod["spec"],
        json!({"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}),
    );
    pod["status"] = json!({"phase": "Pending"});
}

/// The labels by which pods know their Job.
fn complete_job(job: &mut Value) {
    let (uid, name) = (job["metadata"]["uid"].clone(), job["metadata"]["name"].clone());
    let defaults = json!({"parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false, "manualSelector": false});
    fill(&mut job["spec"], defaults);
    fill(
        &mut job["spec"]["template"]["spec"],
        json!({"terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}),
    );
    job["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    let labels = json!({"metadata": {"labels": {
        "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name, "controller-uid": uid, "job-name": name,
    }}});
    patch::merge(&mut job["spec"]["template"], &labels);
}

fn fill(target: &mut Value, defaults: Value) {
    let Value::Object(defaults) = defaults else { return };
    for (name, value) in defaults {
        if target[&name].is_null() {
            target[&name] = value;
        }
    }
}
