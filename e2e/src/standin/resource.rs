//! The kinds that the stand-in serves: those of Floe with their schemas, and those of Kubernetes that the operator and the played pods use.

use std::sync::LazyLock;

use floe_crds::{job::Job, job_run::JobRun, pipeline::Pipeline, pipeline_update::PipelineUpdate, run_report::RunReport, table::Table};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::shape::Shape;

/// One kind and its place among the paths.
#[derive(Debug)]
pub struct Resource {
    /// API group; empty for core.
    pub group: String,
    /// Version of the group.
    pub version: String,
    /// The name in paths.
    pub plural: String,
    /// The kind.
    pub kind: String,
    /// False for kinds that belong to the cluster.
    pub is_namespaced: bool,
    /// True if status is written by itself.
    pub has_status: bool,
    /// True if `metadata.generation` counts changes of the spec.
    pub has_generation: bool,
    /// The schema of a kind of Floe.
    schema: Option<Value>,
}

/// Group, version, plural, kind, and what is true of it: in a namespace, with a status of its own, with a generation.
type BuiltIn = (&'static str, &'static str, &'static str, &'static str, bool, bool, bool);

const BUILT_IN: &[BuiltIn] = &[
    ("", "v1", "namespaces", "Namespace", false, true, false),
    ("", "v1", "pods", "Pod", true, true, false),
    ("", "v1", "configmaps", "ConfigMap", true, false, false),
    ("", "v1", "secrets", "Secret", true, false, false),
    ("", "v1", "serviceaccounts", "ServiceAccount", true, false, false),
    ("", "v1", "events", "Event", true, false, false),
    ("batch", "v1", "jobs", "Job", true, true, true),
    ("apps", "v1", "deployments", "Deployment", true, true, true),
    ("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true, true, true),
    ("rbac.authorization.k8s.io", "v1", "roles", "Role", true, false, false),
    ("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true, false, false),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false, false, false),
    ("coordination.k8s.io", "v1", "leases", "Lease", true, false, false),
    ("events.k8s.io", "v1", "events", "Event", true, false, false),
];

static ALL: LazyLock<Vec<Resource>> = LazyLock::new(|| {
    let built_in = BUILT_IN.iter().map(|(group, version, plural, kind, is_namespaced, has_status, has_generation)| Resource {
        group: (*group).to_string(),
        version: (*version).to_string(),
        plural: (*plural).to_string(),
        kind: (*kind).to_string(),
        is_namespaced: *is_namespaced,
        has_status: *has_status,
        has_generation: *has_generation,
        schema: None,
    });
    built_in.chain(definitions().into_iter().filter_map(of_definition)).collect()
});

fn definitions() -> [CustomResourceDefinition; 6] {
    [Pipeline::crd(), Table::crd(), PipelineUpdate::crd(), Job::crd(), JobRun::crd(), RunReport::crd()]
}

fn of_definition(definition: CustomResourceDefinition) -> Option<Resource> {
    let version = definition.spec.versions.into_iter().find(|version| version.storage)?;
    let schema = version.schema.and_then(|schema| schema.open_api_v3_schema);
    Some(Resource {
        group: definition.spec.group,
        version: version.name,
        plural: definition.spec.names.plural,
        kind: definition.spec.names.kind,
        is_namespaced: definition.spec.scope == "Namespaced",
        has_status: version.subresources.is_some_and(|parts| parts.status.is_some()),
        has_generation: true,
        schema: Some(serde_json::to_value(schema).unwrap_or_default()),
    })
}

impl Resource {
    /// The one of these names in a path.
    pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Self> {
        ALL.iter().find(|known| known.plural == plural && known.group == group && known.version == version)
    }

    /// What tells it from all others.
    pub fn id(&'static self) -> (&'static str, &'static str) {
        (&self.group, &self.plural)
    }

    /// `apiVersion` of its objects.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// What is known of the fields of its objects.
    pub fn shape(&self) -> Shape<'_> {
        self.schema.as_ref().map_or(Shape::Named(""), Shape::Root)
    }

    /// True for kinds that a CustomResourceDefinition makes.
    pub fn is_custom(&self) -> bool {
        self.schema.is_some()
    }

    /// True for the pods of the cluster.
    pub fn is_pod(&self) -> bool {
        self.kind == "Pod"
    }

    /// True for batch/v1 Jobs.
    pub fn is_batch_job(&self) -> bool {
        self.kind == "Job" && self.group == "batch"
    }
}
