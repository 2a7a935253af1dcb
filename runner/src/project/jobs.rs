//! The Jobs of a project: manifests in its root folder and below `jobs/`.

use std::path::{Path, PathBuf};

use floe_crds::{
    job::Work,
    manifest::{self, JobFindings, JobManifest, Manifest, PipelineManifest},
};
use floe_graph::origin::{Diagnostic, Origin, Severity};
use k8s_openapi::jiff::Timestamp;

use super::{
    diagnostics,
    files::text_of,
    manifest::{manifests_in, missing, parent},
};
use crate::failure::Failure;

/// Where Jobs are beside the root folder.
const FOLDER: &str = "jobs";

/// The Jobs and Pipelines of a project.
#[derive(Debug, Default)]
pub struct Found {
    /// The folder of the project.
    pub root: PathBuf,
    /// Jobs with their files, as messages name them.
    pub jobs: Vec<(String, JobManifest)>,
    /// Pipelines that tasks may name.
    pub pipelines: Vec<PipelineManifest>,
    /// What is wrong in any of the files; warnings too.
    pub findings: Vec<Diagnostic>,
}

/// Reads the manifests of the project at `path`, which is its folder or a manifest in it.
pub fn find(path: &Path) -> Result<Found, Failure> {
    let metadata = std::fs::metadata(path).map_err(|error| missing(path, error))?;
    let (root, mut files) =
        if metadata.is_dir() { (path.to_path_buf(), manifests_in(path)?) } else { (parent(path), vec![path.to_path_buf()]) };
    let folder = root.join(FOLDER);
    if folder.is_dir() {
        below(&folder, &mut files)?;
    }
    let now = Timestamp::now();
    let mut found = Found { root, ..Found::default() };
    for file in files {
        found.read(&file, now)?;
    }
    found.check_names();
    found.check_references();
    Ok(found)
}

fn below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    files.extend(manifests_in(folder)?);
    let entries = std::fs::read_dir(folder).map_err(|error| missing(folder, error))?;
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.iter().try_for_each(|folder| below(folder, files))
}

impl Found {
    fn read(&mut self, file: &Path, now: Timestamp) -> Result<(), Failure> {
        let name = file.strip_prefix(&self.root).unwrap_or(file).display().to_string();
        let reading = manifest::read(&text_of(&name, file)?);
        self.findings.extend(diagnostics(&name, reading.findings));
        for document in reading.manifests {
            match document {
                Manifest::Job(job) => {
                    let JobFindings { errors, warnings } = manifest::job_findings(&job, now);
                    self.findings.extend(diagnostics(&name, errors));
                    let warnings = diagnostics(&name, warnings).into_iter();
                    self.findings.extend(warnings.map(|found| Diagnostic { severity: Severity::Lint, ..found }));
                    self.jobs.push((name.clone(), *job));
                }
                Manifest::Pipeline(pipeline) => self.pipelines.push(*pipeline),
                Manifest::Table(_) | Manifest::Other(_) => {}
            }
        }
        Ok(())
    }

    /// What tasks name may come later; here it is not.
    fn check_references(&mut self) {
        let mut lints = Vec::new();
        for (file, job) in &self.jobs {
            for (path, task, kind, name) in named_in(job) {
                let (is_there, class) = match kind {
                    "job" => (self.jobs.iter().any(|(_, other)| other.name == name), "JOB_NOT_FOUND"),
                    _ => (self.pipelines.iter().any(|pipeline| pipeline.name == name), "PIPELINE_NOT_FOUND"),
                };
                if is_there {
                    continue;
                }
                let place = job.document.position(&path);
                let text = format!("task {task} names {kind} {name}, which is not in this project");
                let lint = Diagnostic::error(class, text).at(&Origin::new(file.as_str(), place.line, place.column));
                lints.push(Diagnostic { severity: Severity::Lint, ..lint });
            }
        }
        self.findings.extend(lints);
    }

    /// A name stands for one Job.
    fn check_names(&mut self) {
        for (at, (file, job)) in self.jobs.iter().enumerate() {
            if let Some((first, _)) = self.jobs[..at].iter().find(|(_, other)| other.name == job.name) {
                let place = job.document.position("/metadata/name");
                let finding = Diagnostic::error("MANIFEST_DUPLICATE_NAME", format!("job {} stands in {first} too", job.name));
                self.findings.push(finding.at(&Origin::new(file.as_str(), place.line, place.column)).help("give each its own name"));
            }
        }
    }
}

/// What tasks name: where, the task, which kind, which name.
fn named_in(job: &JobManifest) -> Vec<(String, &str, &'static str, &str)> {
    let mut all = Vec::new();
    for (at, task) in job.spec.tasks.iter().enumerate() {
        let path = format!("/spec/tasks/{at}");
        let nested = task.for_each.as_ref().map(|each| named(&format!("{path}/forEach/task"), &each.task.work)).unwrap_or_default();
        let found = named(&path, &task.work).into_iter().chain(nested);
        all.extend(found.map(|(path, kind, name)| (path, task.name.as_str(), kind, name)));
    }
    all
}

/// What the work of a task names: where, which kind, which name.
fn named<'a>(path: &str, work: &'a Work) -> Vec<(String, &'static str, &'a str)> {
    let pipeline = work.pipeline.as_ref().map(|task| (format!("{path}/pipeline/name"), "pipeline", task.name.as_str()));
    let sql = work.sql.as_ref().and_then(|task| Some((format!("{path}/sql/pipeline"), "pipeline", task.pipeline.as_deref()?)));
    let job = work.run_job.as_ref().map(|task| (format!("{path}/runJob/name"), "job", task.name.as_str()));
    [pipeline, sql, job].into_iter().flatten().collect()
}
