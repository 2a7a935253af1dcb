//! Manifests that tests apply: a small pipeline, and what a test changes of it.

use serde_json::{Value, json};

/// The SQL of a pipeline that has not said anything else: one streaming table and one view of it.
pub const SQL: &str = "CREATE STREAMING TABLE orders AS SELECT * FROM STREAM read_files('/data/orders');\n\
                       CREATE MATERIALIZED VIEW daily AS SELECT day, count(*) AS n FROM orders GROUP BY day;\n";

/// A Pipeline with storage of its own, short waits and no maintenance. `changes` are merged over its spec; null removes a field.
pub fn pipeline(name: &str, changes: Value) -> Value {
    let mut spec = json!({
        "storage": {"uri": format!("s3://lake/{name}")},
        "libraries": [inline(SQL)],
        "updatePolicy": {"debounceSeconds": 0},
        "retryPolicy": {"minBackoffSeconds": 0, "maxBackoffSeconds": 0},
        "maintenance": {"suspend": true},
    });
    merge(&mut spec, changes);
    json!({"apiVersion": floe_crds::API_VERSION, "kind": "Pipeline", "metadata": {"name": name}, "spec": spec})
}

/// A library that stands in the manifest.
pub fn inline(sql: &str) -> Value {
    json!({"inline": {"name": "shop.sql", "sql": sql}})
}

/// A PipelineUpdate of `pipeline`, as a person writes one.
pub fn update(name: &str, pipeline: &str, changes: Value) -> Value {
    let mut spec = json!({"pipeline": pipeline});
    merge(&mut spec, changes);
    json!({"apiVersion": floe_crds::API_VERSION, "kind": "PipelineUpdate", "metadata": {"name": name}, "spec": spec})
}

/// A Table manifest of `pipeline`.
pub fn table(name: &str, pipeline: &str, changes: Value) -> Value {
    let mut spec = json!({"pipeline": pipeline, "type": "MaterializedView", "query": "SELECT 1 AS one"});
    merge(&mut spec, changes);
    json!({"apiVersion": floe_crds::API_VERSION, "kind": "Table", "metadata": {"name": name}, "spec": spec})
}

/// A merge patch (RFC 7386).
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(fields) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            target.as_object_mut().map(|target| target.remove(&key));
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}
