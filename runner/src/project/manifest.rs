//! The Pipeline manifest at a path: a folder with one, or the file itself.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use floe_crds::manifest::{self, Finding, Manifest, PipelineManifest, TableManifest};
use floe_graph::origin::{Diagnostic, Origin};

use crate::{failure::Failure, settings::Settings, storage::io_failure};

/// The Pipeline with the Table manifests beside it.
pub(super) struct Found {
    pub root: PathBuf,
    pub pipeline: PipelineManifest,
    /// Of this pipeline, with the path of their file.
    pub tables: Vec<(Arc<str>, TableManifest)>,
    pub texts: BTreeMap<String, String>,
    /// Mistakes in manifests beside the Pipeline's.
    pub findings: Vec<Diagnostic>,
}

/// Finds the Pipeline at `settings.project`.
pub(super) fn find(settings: &Settings) -> Result<Found, Failure> {
    let path =
        std::path::absolute(&settings.project).map_err(|error| io_failure("find", &settings.project.display().to_string(), error))?;
    let files = if path.is_dir() { manifest_files(&path)? } else { vec![path.clone()] };
    if !path.exists() {
        return Err(Failure::user("PROJECT_NOT_FOUND", format!("{} does not exist", settings.project.display()))
            .help("give the folder of a project or its Pipeline manifest; `floe init DIR` makes one"));
    }
    let root = if path.is_dir() { path.clone() } else { path.parent().map(Path::to_path_buf).unwrap_or_default() };
    let mut reading = Reading::default();
    for file in files {
        reading.file(&root, &file)?;
    }
    reading.choose(root, settings)
}

/// YAML files directly in the folder, by name.
fn manifest_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(|error| io_failure("list", &folder.display().to_string(), error))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| is_yaml(path)).collect();
    files.sort();
    Ok(files)
}

/// True for `.yaml` and `.yml` files that are not hidden.
pub(super) fn is_yaml(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    !hidden && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml"))
}

#[derive(Default)]
struct Reading {
    pipelines: Vec<(String, PipelineManifest)>,
    tables: Vec<(Arc<str>, TableManifest)>,
    texts: BTreeMap<String, String>,
    findings: Vec<Diagnostic>,
}

impl Reading {
    fn file(&mut self, root: &Path, path: &Path) -> Result<(), Failure> {
        let name = relative(root, path);
        let text = read_text(path)?;
        let read = manifest::read(&text);
        self.findings.extend(diagnostics(&name, read.findings));
        for manifest in read.manifests {
            match manifest {
                Manifest::Pipeline(pipeline) => self.pipelines.push((name.clone(), *pipeline)),
                Manifest::Table(table) => self.tables.push((Arc::from(name.as_str()), *table)),
                Manifest::Other(_) => {}
            }
        }
        self.texts.insert(name, text);
        Ok(())
    }

    fn choose(mut self, root: PathBuf, settings: &Settings) -> Result<Found, Failure> {
        let names: Vec<String> = self.pipelines.iter().map(|(_, pipeline)| pipeline.name.clone()).collect();
        let chosen = match &settings.pipeline {
            Some(wanted) => names.iter().position(|name| name == wanted),
            None if names.len() == 1 => Some(0),
            None => None,
        };
        let Some(at) = chosen else { return Err(self.none_chosen(&root, settings, &names)) };
        let (_, pipeline) = self.pipelines.swap_remove(at);
        let tables = self.tables.into_iter().filter(|(_, table)| table.spec.pipeline == pipeline.name).collect();
        Ok(Found { root, pipeline, tables, texts: self.texts, findings: self.findings })
    }

    fn none_chosen(self, root: &Path, settings: &Settings, names: &[String]) -> Failure {
        let place = settings.project.display();
        if let (Some(wanted), false) = (&settings.pipeline, names.is_empty()) {
            return Failure::user("PIPELINE_NOT_FOUND", format!("{place} has no Pipeline {wanted}"))
                .help(format!("it has {}", names.join(", ")));
        }
        if names.len() > 1 {
            return Failure::user("PIPELINE_AMBIGUOUS", format!("{place} has several Pipelines: {}", names.join(", ")))
                .help("choose one with --pipeline NAME, or give the path of its manifest");
        }
        if !self.findings.is_empty() {
            let failure = Failure::user("PIPELINE_MANIFEST_INVALID", format!("the Pipeline manifest in {place} has mistakes"));
            return Failure { diagnostics: self.findings, ..failure };
        }
        let is_empty = fs::read_dir(root).map(|mut entries| entries.next().is_none()).unwrap_or(false);
        let message = if is_empty {
            format!("the folder {place} is empty")
        } else {
            format!("{place} has no Pipeline manifest (a YAML file with kind: Pipeline and apiVersion: floe.dev/v1alpha1)")
        };
        Failure::user("PIPELINE_MANIFEST_NOT_FOUND", message).help("`floe init DIR` makes a project to begin with")
    }
}

/// The path below `root` with `/`, as messages say it; a file elsewhere keeps its whole path.
pub(super) fn relative(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// A text file; a byte order mark is left out.
pub(super) fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(|error| io_failure("read", &path.display().to_string(), error))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::user("FILE_NOT_READABLE", format!("{} is not UTF-8 text", path.display())).help("save the file as UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text))
}

/// Findings in a manifest as diagnostics of that file.
pub(super) fn diagnostics(file: &str, findings: Vec<Finding>) -> Vec<Diagnostic> {
    let diagnostic = |finding: Finding| {
        let found = Diagnostic::error(finding.class, finding.message).at(&Origin::new(file, finding.line, finding.column));
        match finding.help {
            Some(help) => found.help(help),
            None => found,
        }
    };
    findings.into_iter().map(diagnostic).collect()
}
