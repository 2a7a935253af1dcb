//! What all runs of a process share: the project, its Jobs and Pipelines, and the places that tasks run in.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use floe_crds::{job::JobSpec, pipeline::PipelineSpec, text::nearest};
use floe_graph::origin::Severity;
use floe_notify::Webhooks;
use tokio::sync::{Mutex, Semaphore};

use crate::{
    failure::Failure,
    output::{Terminal, job::JobDisplay},
    project::{self, jobs},
    settings::{Environment, Settings},
};

/// A project with what carries out its Jobs.
pub struct Site {
    /// The folder of the project, absolute.
    pub root: PathBuf,
    /// What the command line says; without the parameters, which are those of the Job.
    pub settings: Settings,
    pub environment: Environment,
    pub jobs: BTreeMap<String, Arc<JobSpec>>,
    pub pipelines: BTreeMap<String, Arc<PipelineSpec>>,
    /// So many tasks run at once.
    pub places: Arc<Semaphore>,
    pub most: usize,
    /// One update at a time of each Pipeline.
    pub updates: BTreeMap<String, Arc<Mutex<()>>>,
    /// What runs images; `None`: docker, or else podman.
    pub runtime: Option<String>,
    /// Sends notifications; `None`: they are only printed.
    pub webhooks: Option<Webhooks>,
    pub terminal: Terminal,
    pub display: JobDisplay,
}

impl Site {
    /// The project of `settings`. Findings in any of its manifests are its failure.
    pub fn load(settings: &Settings, environment: &Environment, terminal: &Terminal) -> Result<Self, Failure> {
        let found = jobs::find(&settings.project)?;
        if found.findings.iter().any(|found| found.severity == Severity::Error) {
            return Err(project::invalid(found.findings));
        }
        let root = std::fs::canonicalize(&found.root)
            .map_err(|error| Failure::internal(format!("the folder {} has no absolute path", found.root.display())).caused_by(error))?;
        let pipelines: BTreeMap<String, Arc<PipelineSpec>> =
            found.pipelines.into_iter().map(|pipeline| (pipeline.name, Arc::new(pipeline.spec))).collect();
        terminal.hide(secrets(&pipelines, environment));
        Ok(Self {
            root,
            settings: Settings { parameters: BTreeMap::new(), ..settings.clone() },
            environment: environment.clone(),
            jobs: found.jobs.into_iter().map(|(_, job)| (job.name, Arc::new(job.spec))).collect(),
            updates: pipelines.keys().map(|name| (name.clone(), Arc::default())).collect(),
            pipelines,
            places: Arc::new(Semaphore::new(1)),
            most: 1,
            runtime: None,
            webhooks: None,
            display: JobDisplay::new(terminal.clone()),
            terminal: terminal.clone(),
        })
    }

    /// The Job of this name.
    pub fn job(&self, name: &str) -> Result<&Arc<JobSpec>, Failure> {
        let missing = || {
            let near =
                nearest(name, self.jobs.keys().map(String::as_str)).map(|near| format!(", did you mean {near}?")).unwrap_or_default();
            Failure::user("JOB_NOT_FOUND", format!("{} has no job {name}{near}", self.settings.project.display())).help(self.known("job"))
        };
        self.jobs.get(name).ok_or_else(missing)
    }

    /// What there is, for messages.
    pub fn known(&self, kind: &str) -> String {
        let names: Vec<&str> = if kind == "job" {
            self.jobs.keys().map(String::as_str).collect()
        } else {
            self.pipelines.keys().map(String::as_str).collect()
        };
        match (names.is_empty(), kind) {
            (true, "job") => "it has no job: one stands in a YAML file of its folder, or of its folder jobs".to_string(),
            (true, _) => format!("it has no {kind}"),
            (false, _) => format!("it has: {}", names.join(", ")),
        }
    }

    /// True if programs find a variable of this name in their environment.
    pub fn inherits(&self, variable: &str) -> bool {
        self.environment.names.contains(variable)
    }

    /// A path as people read it: relative to the project.
    pub fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    /// The id of a Job, which has none without a cluster: the same in all runs of the project.
    pub fn job_id(&self, job: &str) -> String {
        let text = format!("{}\0{job}", self.root.display());
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, text.as_bytes()).to_string()
    }
}

/// Values of the environment that Pipelines take from Secrets.
fn secrets(pipelines: &BTreeMap<String, Arc<PipelineSpec>>, environment: &Environment) -> Vec<String> {
    let declared = pipelines.values().flat_map(|spec| &spec.parameters);
    let secret = declared.filter(|declared| declared.value_from.as_ref().is_some_and(|from| from.secret_key_ref.is_some()));
    let value = |name: &str| environment.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
    secret.filter_map(|declared| value(&declared.name)).collect()
}
