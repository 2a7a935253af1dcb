//! The Jobs of a project: manifests in its root folder and below `jobs/`.

use std::path::{Path, PathBuf};

use floe_crds::{
    job::Work,
    manifest::{self, JobFindings, JobManifest, Manifest, PipelineManifest},
};
use floe_graph::{
    definition::{Configuration, ReadingStatements, SourceFile},
    name::Namespace,
    origin::{Diagnostic, Origin, Severity},
};
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
    found.check_sql();
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

    /// SQL that stands in a Job is read before anything runs.
    fn check_sql(&mut self) {
        let of_job = |(file, job): &(String, JobManifest)| -> Vec<Diagnostic> {
            works(job).into_iter().filter_map(|(path, task, work)| sql_finding(file, job, &path, task, work)).collect()
        };
        let findings: Vec<Diagnostic> = self.jobs.iter().flat_map(of_job).collect();
        self.findings.extend(findings);
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

/// The work of tasks and of those within loops: where, the task, what.
fn works(job: &JobManifest) -> Vec<(String, &str, &Work)> {
    let mut all = Vec::new();
    for (at, task) in job.spec.tasks.iter().enumerate() {
        let path = format!("/spec/tasks/{at}");
        let nested = task.for_each.as_ref().map(|each| (format!("{path}/forEach/task"), task.name.as_str(), &each.task.work));
        all.push((path, task.name.as_str(), &task.work));
        all.extend(nested);
    }
    all
}

/// What tasks name: where, the task, which kind, which name.
fn named_in(job: &JobManifest) -> Vec<(String, &str, &'static str, &str)> {
    let named = works(job).into_iter().flat_map(|(path, task, work)| named(&path, work).into_iter().map(move |found| (task, found)));
    named.map(|(task, (path, kind, name))| (path, task, kind, name)).collect()
}

/// What is wrong with the SQL of a task. A text with `${key}` is read when it runs: only then all keys are known.
fn sql_finding(file: &str, job: &JobManifest, path: &str, task: &str, work: &Work) -> Option<Diagnostic> {
    let text = work.sql.as_ref()?.statements.as_deref().filter(|text| !text.contains("${"))?;
    let namespace = Namespace { catalog: String::new(), schema: String::new() };
    let found = ReadingStatements::new(namespace, Configuration::default()).parse(&SourceFile::new(file, text)).err()?;
    let pointer = format!("{path}/sql/statements");
    let place = match (job.document.text(&pointer), &found.origin) {
        (Some(text), Some(origin)) => text.position(origin.line, origin.column),
        _ => job.document.position(&pointer),
    };
    let field = if path.ends_with("/forEach/task") { "forEach.task.sql.statements" } else { "sql.statements" };
    let message = format!("task {task}, field {field}: {}", found.message);
    Some(Diagnostic { message, ..found }.at(&Origin::new(file, place.line, place.column)))
}

/// What the work of a task names: where, which kind, which name.
fn named<'a>(path: &str, work: &'a Work) -> Vec<(String, &'static str, &'a str)> {
    let pipeline = work.pipeline.as_ref().map(|task| (format!("{path}/pipeline/name"), "pipeline", task.name.as_str()));
    let sql = work.sql.as_ref().and_then(|task| Some((format!("{path}/sql/pipeline"), "pipeline", task.pipeline.as_deref()?)));
    let job = work.run_job.as_ref().map(|task| (format!("{path}/runJob/name"), "job", task.name.as_str()));
    [pipeline, sql, job].into_iter().flatten().collect()
}
