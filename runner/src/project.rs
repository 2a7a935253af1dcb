//! A project on disk: its Pipeline manifest, the files that its libraries name, and the definitions in them.

mod files;
pub mod given;
pub mod jobs;
mod manifest;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use floe_crds::{
    manifest::TableManifest,
    pipeline::{PipelineSpec, Sink},
    table::MaintenanceSpec,
};
use floe_graph::{
    analysis::Parameters,
    definition::{self, Configuration, Definitions, SourceFile},
    name::{DatasetName, Namespace},
    origin::{Diagnostic, Origin, Severity},
    resolve::{GivenNames, ResolveInput},
};

use crate::{failure::Failure, settings::Settings};

/// A project whose files were read and parsed. Findings stand in `definitions.diagnostics`.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder of the manifest, absolute; paths in queries are relative to it.
    pub root: PathBuf,
    /// `metadata.name` of the Pipeline.
    pub name: String,
    /// The spec with its defaults.
    pub spec: PipelineSpec,
    /// All definitions, with every error and lint of every file.
    pub definitions: Definitions,
    /// Where everything is stored: a URI or an absolute path.
    pub storage: String,
    /// Parameters, configuration and defaults for `floe_graph::resolve`; nothing is observed yet.
    pub input: ResolveInput,
    /// Values of parameters that come from Secrets: printed nowhere.
    pub secrets: Vec<String>,
    /// How the tables of manifests are maintained, by lower-case full name of the dataset.
    pub maintenance: BTreeMap<String, MaintenanceSpec>,
}

/// The folder of tables of a project that names no storage.
const LOCAL_STORAGE: &str = "lake";

/// Finds the Pipeline at `settings.project` (a folder or a manifest), reads its files and parses them.
pub fn load(settings: &Settings) -> Result<Project, Failure> {
    let found = match &settings.given {
        Some(given) => given::find(settings, given)?,
        None => manifest::find(&settings.project, settings.pipeline.as_deref())?,
    };
    let manifest::Found { root, name, spec, places, mut tables, mut findings } = found;
    let mut texts = files::Texts::default();
    files::collect(&root, &spec.libraries, &places, &mut texts)?;
    findings.extend(texts.findings);
    for (path, text) in &texts.yaml {
        let (more, wrong) = manifest::tables(path, text);
        tables.extend(more);
        findings.extend(wrong);
    }
    tables.retain(|(_, table)| table.spec.pipeline == name);
    let (parameters, secrets) = parameters(&spec, settings, &mut findings);
    let namespace = Namespace { catalog: spec.catalog.clone(), schema: spec.schema.clone() };
    let configuration = Configuration::new(spec.configuration.clone(), settings.configuration.clone())
        .at(places.iter().filter_map(|(at, place)| Some((at.strip_prefix("/spec/configuration/")?.to_string(), place.clone()))).collect());
    let given = if settings.reads_later_queries { GivenNames::default() } else { given_names(&spec, settings, &configuration) };
    let values = configuration.values().clone();
    let maintenance = maintenance(&tables, &namespace);
    let mut definitions = definition::Project { namespace: namespace.clone(), configuration, sql: texts.sql, tables }.definitions();
    definition::manifest_sinks(&sinks(&spec, &places), &namespace, &mut definitions);
    let definitions = with_findings(definitions, findings);
    let input = ResolveInput {
        observed: BTreeMap::new(),
        file_schemas: BTreeMap::new(),
        parameters,
        configuration: values,
        properties: spec.properties.clone(),
        namespace,
        event_log: spec.event_log.name.clone(),
        path_mappings: spec.path_mappings.iter().map(|mapping| (mapping.prefix.clone(), mapping.uri.clone())).collect(),
        given,
        places,
    };
    // From here on nothing depends on where the user stands.
    // Without symbolic links: positions name files below the project by their place in it.
    let is_absent = settings.given.is_some() && !root.exists();
    let absolute = if is_absent { std::path::absolute(&root) } else { std::fs::canonicalize(&root) };
    let root =
        absolute.map_err(|error| Failure::internal(format!("the folder {} has no absolute path", root.display())).caused_by(error))?;
    let storage = storage_of(settings, &spec, &root);
    Ok(Project { root, name, spec, definitions, storage, input, secrets, maintenance })
}

/// The sinks of the manifest with their places.
fn sinks(spec: &PipelineSpec, places: &BTreeMap<String, Origin>) -> Vec<(Sink, Origin)> {
    let at_its_place = |(index, sink): (usize, &Sink)| Some((sink.clone(), places.get(&format!("/spec/sinks/{index}"))?.clone()));
    spec.sinks.iter().enumerate().filter_map(at_its_place).collect()
}

fn maintenance(tables: &[(Arc<str>, TableManifest)], namespace: &Namespace) -> BTreeMap<String, MaintenanceSpec> {
    let given = tables.iter().filter_map(|(_, table)| {
        let catalog = table.spec.catalog.clone().unwrap_or_else(|| namespace.catalog.clone());
        let schema = table.spec.schema.clone().unwrap_or_else(|| namespace.schema.clone());
        let name = DatasetName { catalog, schema, name: table.dataset() };
        Some((name.key(), table.spec.maintenance.clone()?))
    });
    given.collect()
}

/// What only the command line names.
fn given_names(spec: &PipelineSpec, settings: &Settings, configuration: &Configuration) -> GivenNames {
    let is_declared = |name: &String| spec.parameters.iter().any(|declared| declared.name.eq_ignore_ascii_case(name));
    let parameters = settings.parameters.keys().filter(|name| !is_declared(name)).map(|name| name.to_lowercase()).collect();
    GivenNames { parameters, configuration: configuration.given_variables() }
}

fn with_findings(mut definitions: Definitions, findings: Vec<Diagnostic>) -> Definitions {
    definitions.diagnostics.extend(findings);
    definitions
}

/// A path on the command line is relative to where the user stands, one in the manifest to the manifest.
fn storage_of(settings: &Settings, spec: &PipelineSpec, root: &std::path::Path) -> String {
    if let Some(given) = &settings.storage {
        let here = std::path::absolute(given).unwrap_or_else(|_| PathBuf::from(given));
        return if given.contains("://") { given.clone() } else { here.display().to_string() };
    }
    let uri = spec.storage.as_ref().map_or(LOCAL_STORAGE, |storage| storage.uri.as_str());
    if uri.contains("://") { uri.to_string() } else { root.join(uri).display().to_string() }
}

/// Values by precedence: `--param`, then `FLOE_PARAM_<NAME>` of the environment, then the manifest.
fn parameters(spec: &PipelineSpec, settings: &Settings, findings: &mut Vec<Diagnostic>) -> (Parameters, Vec<String>) {
    let mut parameters = Parameters::default();
    let mut secrets = Vec::new();
    for declared in &spec.parameters {
        let given = given_parameter(settings, &declared.name).or(declared.value.as_ref());
        let secret = declared.value_from.as_ref().is_some_and(|from| from.secret_key_ref.is_some())
            || settings.given.as_ref().is_some_and(|given| given.is_secret(&declared.name));
        match given {
            Some(value) => {
                parameters.set(&declared.name, value.clone(), secret);
                if secret {
                    secrets.push(value.clone());
                }
            }
            None => findings.push(missing_parameter(&declared.name)),
        }
    }
    for (name, value) in &settings.parameters {
        if parameters.get(name).is_none() {
            parameters.set(name, value.clone(), false);
        }
    }
    (parameters, secrets)
}

fn given_parameter<'a>(settings: &'a Settings, name: &str) -> Option<&'a String> {
    let of = |values: &'a BTreeMap<String, String>| values.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    of(&settings.parameters).or_else(|| of(&settings.environment_parameters))
}

fn missing_parameter(name: &str) -> Diagnostic {
    Diagnostic::error("UNBOUND_SQL_PARAMETER", format!("parameter {name} takes its value from the cluster, and there is none here"))
        .help(format!("give it with --param {name}=VALUE or in the environment as FLOE_PARAM_{}", name.to_uppercase()))
}

/// All findings of one file as diagnostics.
fn diagnostics(path: &str, findings: Vec<floe_crds::manifest::Finding>) -> Vec<Diagnostic> {
    let diagnostic = |finding: floe_crds::manifest::Finding| Diagnostic {
        class: finding.class.to_string(),
        severity: Severity::Error,
        message: finding.message,
        origin: Some(Origin::new(path, finding.line, finding.column)),
        dataset: None,
        help: finding.help,
    };
    findings.into_iter().map(diagnostic).collect()
}

/// A failure that carries findings: its own text is that of the first.
pub fn invalid(diagnostics: Vec<Diagnostic>) -> Failure {
    let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|found| found.severity == Severity::Error).collect();
    let mut failure = match errors.as_slice() {
        [only] => Failure::user(only.class.clone(), only.message.clone()),
        [first, ..] => Failure::user("PIPELINE_GRAPH_INVALID", format!("{} errors, first: {}", errors.len(), first.message)),
        [] => Failure::internal("a project was refused without a reason"),
    };
    failure.origin = errors.first().and_then(|first| first.origin.clone());
    failure.help = errors.first().and_then(|first| first.help.clone());
    failure.dataset = errors.first().and_then(|first| first.dataset.clone());
    Failure { diagnostics, ..failure }
}

/// A text file of the project.
fn source_file(path: &str, text: String) -> SourceFile {
    SourceFile::new(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_named_by_a_relative_path_is_stored_beside_its_manifest() {
        let settings = Settings { project: PathBuf::from("../examples/bookstore"), ..Settings::default() };
        let project = load(&settings).unwrap();
        let root = std::fs::canonicalize("../examples/bookstore").unwrap();
        assert_eq!((project.root.as_path(), project.storage.as_str()), (root.as_path(), root.join("lake").to_str().unwrap()));
        let elsewhere = load(&Settings { storage: Some("elsewhere".to_string()), ..settings }).unwrap();
        assert_eq!(elsewhere.storage, std::path::absolute("elsewhere").unwrap().to_str().unwrap());
    }
}
