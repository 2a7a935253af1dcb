//! The Pipeline manifest of a project: found in a folder or named directly, with the Table manifests beside it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use floe_crds::{
    manifest::{self, Manifest, PipelineManifest, TableManifest},
    pipeline::PipelineSpec,
};
use floe_graph::origin::{Diagnostic, Origin};

use super::{diagnostics, files::text_of, invalid};
use crate::{failure::Failure, storage::io_failure};

/// What the manifests of the root folder say.
pub struct Found {
    pub root: PathBuf,
    pub name: String,
    pub spec: PipelineSpec,
    /// Where its free texts stand: keys of the configuration and of properties, and sinks.
    pub places: BTreeMap<String, Origin>,
    pub tables: Vec<(Arc<str>, TableManifest)>,
    /// What is wrong with `tables`.
    pub findings: Vec<Diagnostic>,
}

/// The pipeline at `path`, which is a project folder or a manifest in it. `wanted` chooses if there are several.
pub fn find(path: &Path, wanted: Option<&str>) -> Result<Found, Failure> {
    let metadata = fs::metadata(path).map_err(|error| missing(path, error))?;
    let (root, files) =
        if metadata.is_dir() { (path.to_path_buf(), manifests_in(path)?) } else { (parent(path), vec![path.to_path_buf()]) };
    let (mut pipelines, mut tables, mut findings) = (Vec::new(), Vec::new(), Vec::new());
    for file in &files {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = text_of(&name, file)?;
        let reading = manifest::read(&text);
        findings.extend(diagnostics(&name, reading.findings));
        for document in reading.manifests {
            match document {
                Manifest::Pipeline(pipeline) => pipelines.push((Arc::from(name.as_str()), *pipeline)),
                Manifest::Table(table) => tables.push((Arc::from(name.as_str()), *table)),
                Manifest::Job(_) | Manifest::Other(_) => {}
            }
        }
    }
    if !findings.is_empty() {
        return Err(invalid(findings));
    }
    let (file, pipeline) = choose(pipelines, wanted, path)?;
    Ok(Found { root, tables, ..found(&file, pipeline) })
}

/// A pipeline without folder and tables.
pub fn found(file: &Arc<str>, pipeline: PipelineManifest) -> Found {
    let places = places(file, &pipeline);
    Found { root: PathBuf::new(), name: pipeline.name, spec: pipeline.spec, places, tables: Vec::new(), findings: Vec::new() }
}

/// The one Pipeline of a text.
pub fn pipeline(file: &str, text: &str) -> Result<PipelineManifest, Failure> {
    let reading = manifest::read(text);
    if !reading.findings.is_empty() {
        return Err(invalid(diagnostics(file, reading.findings)));
    }
    let found = reading.manifests.into_iter().find_map(|document| match document {
        Manifest::Pipeline(pipeline) => Some(*pipeline),
        Manifest::Table(_) | Manifest::Job(_) | Manifest::Other(_) => None,
    });
    found.ok_or_else(|| Failure::internal(format!("{file} holds no Pipeline")))
}

fn places(file: &Arc<str>, pipeline: &PipelineManifest) -> BTreeMap<String, Origin> {
    let PipelineManifest { spec, document, .. } = pipeline;
    let of = |parent: &str, keys: &BTreeMap<String, String>| -> Vec<(String, Origin)> {
        let place = |key: &String| {
            let at = document.position(&format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1")));
            (format!("{parent}/{key}"), Origin::new(Arc::clone(file), at.line, at.column))
        };
        keys.keys().map(place).collect()
    };
    let sinks = (0..spec.sinks.len()).map(|index| format!("/spec/sinks/{index}"));
    let libraries = (0..spec.libraries.len()).map(|index| format!("/spec/libraries/{index}"));
    let entries = sinks.chain(libraries).map(|pointer| {
        let at = document.position(&pointer);
        (pointer, Origin::new(Arc::clone(file), at.line, at.column))
    });
    let maps = [of("/spec/configuration", &spec.configuration), of("/spec/properties", &spec.properties)];
    maps.into_iter().flatten().chain(entries).collect()
}

/// The Table manifests of one YAML file, and what is wrong in it.
pub fn tables(path: &str, text: &str) -> (Vec<(Arc<str>, TableManifest)>, Vec<Diagnostic>) {
    let reading = manifest::read(text);
    let table = |document| match document {
        Manifest::Table(table) => Some((Arc::from(path), *table)),
        Manifest::Pipeline(_) | Manifest::Job(_) | Manifest::Other(_) => None,
    };
    (reading.manifests.into_iter().filter_map(table).collect(), diagnostics(path, reading.findings))
}

/// A Pipeline and the name of its file.
type Placed = (Arc<str>, PipelineManifest);

fn choose(mut pipelines: Vec<Placed>, wanted: Option<&str>, path: &Path) -> Result<Placed, Failure> {
    let names: Vec<String> = pipelines.iter().map(|(_, pipeline)| pipeline.name.clone()).collect();
    match wanted {
        Some(wanted) => {
            let at = names.iter().position(|name| name == wanted).ok_or_else(|| {
                Failure::user("PIPELINE_NOT_FOUND", format!("{} has no pipeline {wanted}", path.display())).help(if names.is_empty() {
                    "write a Pipeline manifest".to_string()
                } else {
                    format!("it has: {}", names.join(", "))
                })
            })?;
            Ok(pipelines.swap_remove(at))
        }
        None if pipelines.len() > 1 => {
            Err(Failure::user("PIPELINE_AMBIGUOUS", format!("{} has several pipelines: {}", path.display(), names.join(", ")))
                .help("choose one with --pipeline NAME"))
        }
        None => pipelines.pop().ok_or_else(|| no_pipeline(path)),
    }
}

fn no_pipeline(path: &Path) -> Failure {
    let empty = path.is_dir() && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    let what = if empty { "is empty" } else { "has no Pipeline manifest" };
    Failure::user("PIPELINE_NOT_FOUND", format!("{} {what}", path.display()))
        .help("a project needs a *.yaml with apiVersion: floe.dev/v1alpha1 and kind: Pipeline; `floe init DIR` writes one to begin with")
}

pub(super) fn missing(path: &Path, error: std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Failure::user("PROJECT_NOT_FOUND", format!("there is no project at {}", path.display()))
            .help("give the folder of a project or its Pipeline manifest; `floe init DIR` makes a new one");
    }
    io_failure("read", &path.display().to_string(), error)
}

pub(super) fn manifests_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error| io_failure("read", &folder.display().to_string(), error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if is_yaml && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn parent(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_path_buf(),
        None => PathBuf::from("."),
    }
}
