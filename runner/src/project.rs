//! A project on disk: its Pipeline manifest, the files that its libraries name, and the definitions in them.

mod library;
mod manifest;
mod parameter;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf};

use floe_crds::pipeline::PipelineSpec;
use floe_graph::{
    definition::{Configuration, Definitions, Project as Sources},
    name::Namespace,
    origin::Diagnostic,
    resolve::ResolveInput,
};

use crate::{
    failure::Failure,
    settings::Settings,
    storage::{Storage, Stores, parse_uri},
};

/// Where tables are kept if neither the manifest nor the command line says so, relative to the manifest.
const DEFAULT_STORAGE: &str = "./lake";

/// A project whose files were read and parsed. Findings stand in `definitions.diagnostics`.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder of the manifest, absolute; paths in queries are relative to it.
    pub root: PathBuf,
    /// `metadata.name` of the Pipeline.
    pub name: String,
    /// The typed spec, defaults filled in.
    pub spec: PipelineSpec,
    /// Texts of all files by path relative to `root`, for excerpts in messages.
    pub texts: BTreeMap<String, String>,
    /// Everything that the files define, with all findings.
    pub definitions: Definitions,
    /// Where everything is stored: an absolute URI.
    pub storage: String,
    /// Parameters, configuration and defaults for `floe_graph::resolve`; nothing is observed yet.
    pub input: ResolveInput,
    /// Values of parameters that come from Secrets: printed nowhere.
    pub secrets: Vec<String>,
}

impl Project {
    /// Opens the storage of the project. Nothing is read or created.
    pub fn open_storage(&self, settings: &Settings) -> Result<Storage, Failure> {
        let options = self.spec.storage.iter().flat_map(|storage| storage.options.clone());
        let stores = Stores::new(settings.store_options.iter().cloned().chain(options));
        Storage::open(&parse_uri(&self.storage, &self.root)?, &stores)
    }
}

/// Finds the Pipeline at `settings.project` (a folder or a manifest), reads its files and parses them.
pub fn load(settings: &Settings) -> Result<Project, Failure> {
    let found = manifest::find(settings)?;
    let mut texts = found.texts;
    let library = library::read(&found.root, &found.pipeline.spec.libraries, &mut texts)?;
    let (parameters, secrets) = parameter::values(&found.pipeline.spec.parameters, settings)?;
    let spec = found.pipeline.spec;
    let namespace = Namespace { catalog: spec.catalog.clone(), schema: spec.schema.clone() };
    let configuration = Configuration::new(spec.configuration.clone(), settings.configuration.clone());

    let mut tables = found.tables;
    tables.extend(library.tables.into_iter().filter(|(_, table)| table.spec.pipeline == found.pipeline.name));
    if library.sql.is_empty() && tables.is_empty() && library.findings.is_empty() {
        return Err(nothing_defined(&found.root, &spec));
    }
    let sources = Sources { namespace: namespace.clone(), configuration: configuration.clone(), sql: library.sql, tables };
    let mut definitions = sources.definitions();
    definitions.diagnostics.splice(0..0, found.findings.into_iter().chain(library.findings).chain(unsupported(&spec)));

    let input = ResolveInput {
        observed: BTreeMap::new(),
        parameters,
        configuration: configuration.values().clone(),
        properties: spec.properties.clone(),
        namespace,
        event_log: spec.event_log.name.clone(),
        path_mappings: spec.path_mappings.iter().map(|mapping| (mapping.prefix.clone(), mapping.uri.clone())).collect(),
    };
    let storage = storage_uri(&spec, settings, &found.root)?;
    Ok(Project { root: found.root, name: found.pipeline.name, spec, texts, definitions, storage, input, secrets })
}

/// What of the spec this release refuses by name.
fn unsupported(spec: &PipelineSpec) -> Option<Diagnostic> {
    let sink = spec.sinks.first()?;
    Some(
        Diagnostic::not_supported(&format!("spec.sinks (sink {})", sink.name))
            .help("remove the sink; tables are written below spec.storage.uri"),
    )
}

fn nothing_defined(root: &std::path::Path, spec: &PipelineSpec) -> Failure {
    let patterns: Vec<String> = spec.libraries.iter().map(library::shown).collect();
    let message = format!("{} of {} holds no SQL file and no Table manifest", patterns.join(", "), root.display());
    Failure::user("PIPELINE_LIBRARY_EMPTY", message).help("add a file such as transformations/first.sql, or run `floe init` for an example")
}

/// `--storage` (relative to the working directory), else the manifest's (relative to the manifest).
fn storage_uri(spec: &PipelineSpec, settings: &Settings, root: &std::path::Path) -> Result<String, Failure> {
    let invalid = |failure: Failure| {
        let help = failure.help.clone().unwrap_or_else(|| "use a path or a URI such as s3://bucket/folder".to_string());
        Failure::user("PIPELINE_STORAGE_ROOT_INVALID", failure.message).help(help)
    };
    let url = match &settings.storage {
        Some(uri) => {
            parse_uri(uri, &std::path::absolute(".").map_err(|error| crate::storage::io_failure("find", "the working directory", error))?)
        }
        None => parse_uri(spec.storage.as_ref().map_or(DEFAULT_STORAGE, |storage| &storage.uri), root),
    };
    url.map(String::from).map_err(invalid)
}
