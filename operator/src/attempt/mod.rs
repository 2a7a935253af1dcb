//! One attempt of an update as Kubernetes objects, and what its remains tell. Pure: no IO, the time is an argument.

pub mod end;
mod job;
mod names;
pub(crate) mod overlay;
mod project;
mod request;
pub mod retry;
pub(crate) mod template;
#[cfg(test)]
pub(crate) mod tests;
pub mod waiting;

use std::fmt;

use floe_crds::condition::Reason;
pub use floe_crds::request::{RUNNER_CONTAINER as RUNNER, TASK_CONTAINER};
pub use job::{JobParts, Limits, disruptions_are_ignored, job, one_pod};
pub use names::{
    attempt_number, cleanup_label, cleanup_name, is_cleanup_of, job_account, job_name, own_account, request_name, service_account,
    storage_label, volumes,
};
pub use project::{ConfigMapKeys, project_files};
pub use request::{RequestParts, request, request_config_map, requested, requested_pipeline, requested_table};
pub use template::{pod_template, watch_pod};

/// Name of the side-car that reports what that has left.
pub const REPORTER: &str = "floe-report";
/// Folder of the project in the pod.
pub const PROJECT: &str = "/floe/project";
/// Folder of what does not fit into memory.
pub const SCRATCH: &str = "/floe/scratch";
/// Folder of the request.
const REQUEST: &str = "/floe/request";
/// File of the request in its folder, and key in its ConfigMap.
pub const REQUEST_KEY: &str = "request.json";
/// Where a container finds the token of its service account.
pub(crate) const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The volumes of every runner pod with the place where each is mounted.
const VOLUMES: &[(&str, &str)] = &[("request", REQUEST), ("project", PROJECT), ("scratch", SCRATCH), ("tmp", "/tmp"), ("token", TOKEN)];

/// Why no pod can be made from a definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refused {
    /// `InvalidPodTemplate` or `InvalidSpec`.
    pub reason: Reason,
    /// The field.
    pub path: String,
    /// What is wrong with it, and what to do.
    pub problem: String,
}

impl Refused {
    fn spec(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { reason: Reason::InvalidSpec, path: path.into(), problem: problem.into() }
    }

    fn template(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { reason: Reason::InvalidPodTemplate, path: path.into(), problem: problem.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}
