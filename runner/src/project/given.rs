//! The pipeline of an operator's request: its spec and its Table objects take the place of manifests in the folder.

use std::{path::PathBuf, sync::Arc};

use floe_crds::{API_VERSION, yaml};
use serde::Serialize;
use serde_json::json;

use super::manifest::{self, Found};
use crate::{failure::Failure, request::GivenPipeline, settings::Settings};

/// What stands before the name of an object where others have the name of a file.
const TABLE_OBJECTS: &str = "tables.floe.dev/";
const PIPELINE_OBJECTS: &str = "pipelines.floe.dev/";

/// True if `file` of an origin is an object of the cluster and no file of the project.
pub fn is_object(file: &str) -> bool {
    file.starts_with(TABLE_OBJECTS)
}

/// The pipeline as the request gives it, with the files of `settings.project`. Its spec passes the checks of a manifest.
pub fn find(settings: &Settings, given: &GivenPipeline) -> Result<Found, Failure> {
    let file: Arc<str> = format!("{PIPELINE_OBJECTS}{}", given.name).into();
    let pipeline = manifest::pipeline(&file, &text("Pipeline", &given.name, &given.spec)?)?;
    let mut found = Found { root: root(settings, given)?, ..manifest::found(&file, pipeline) };
    for table in &given.tables {
        let (read, wrong) = manifest::tables(&format!("{TABLE_OBJECTS}{}", table.name), &text("Table", &table.name, &table.spec)?);
        found.tables.extend(read);
        found.findings.extend(wrong);
    }
    Ok(found)
}

/// A pipeline without a source of files may have no folder.
fn root(settings: &Settings, given: &GivenPipeline) -> Result<PathBuf, Failure> {
    let root = settings.project.clone();
    if root.is_dir() || given.spec.source.is_none() && !root.exists() {
        return Ok(root);
    }
    Err(Failure::user("PROJECT_NOT_FOUND", format!("the request names the project folder {}, which is no folder here", root.display()))
        .help("name the folder with the project's files: floe run FOLDER --request FILE"))
}

/// An object as the manifest that it was: positions are those of its text in YAML.
fn text(kind: &str, name: &str, spec: &impl Serialize) -> Result<String, Failure> {
    let document = json!({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec});
    yaml::to_text(&document).map_err(|error| Failure::internal(format!("the {kind} {name} cannot be written as YAML")).caused_by(error))
}
