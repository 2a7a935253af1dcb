//! What a project is made of, as texts: SQL files, `Table` manifests and configuration, all collected into `Definitions`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use floe_crds::manifest::TableManifest;

use super::{
    Definitions, Flow, FlowKind, parse_sql,
    properties::{Setting, pipeline_setting},
    table_manifest,
};
use crate::{
    name::Namespace,
    origin::{Diagnostic, Origin},
};

/// A file of the project; `path` is relative to its root with `/` as separator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Relative to the root of the project.
    pub path: Arc<str>,
    /// The whole content.
    pub text: Arc<str>,
}

impl SourceFile {
    /// The file at `path` with its content.
    pub fn new(path: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

/// Values for `${key}`: `spec.configuration`, then what the command line overrides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    values: BTreeMap<String, String>,
    /// Keys that the command line gives.
    overridden: BTreeSet<String>,
    /// Where the manifest gives a key.
    places: BTreeMap<String, Origin>,
}

impl Configuration {
    /// The values of the manifest with those of `--conf` in their place.
    pub fn new(spec: BTreeMap<String, String>, overrides: BTreeMap<String, String>) -> Self {
        let overridden = overrides.keys().cloned().collect();
        let mut values = spec;
        values.extend(overrides);
        Self { values, overridden, places: BTreeMap::new() }
    }

    /// The same values; `places` says where the manifest gives them.
    #[must_use]
    pub fn at(self, places: BTreeMap<String, Origin>) -> Self {
        Self { places, ..self }
    }

    /// Keys that only the command line gives and that are values for `${}` and nothing else.
    pub fn given_variables(&self) -> BTreeSet<String> {
        let is_variable = |key: &&String| matches!(pipeline_setting(key, ""), Setting::Variable);
        self.overridden.iter().filter(|key| !self.places.contains_key(*key)).filter(is_variable).cloned().collect()
    }

    /// A finding about the value of `key`, with where the value comes from.
    fn found(&self, key: &str, found: Diagnostic) -> Diagnostic {
        if self.overridden.contains(key) {
            return Diagnostic { message: format!("--set {key}: {}", found.message), ..found };
        }
        let found = Diagnostic { message: format!("spec.configuration: {}", found.message), ..found };
        match self.places.get(key) {
            Some(place) => found.at(place),
            None => found,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// All values.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }
}

/// Everything that definitions come from, as values; the runner reads the files.
#[derive(Clone, Debug)]
pub struct Project {
    /// Default catalog and schema of the pipeline.
    pub namespace: Namespace,
    /// Values for `${key}`.
    pub configuration: Configuration,
    /// All SQL files; their order has no meaning.
    pub sql: Vec<SourceFile>,
    /// `Table` manifests with the path of their file.
    pub tables: Vec<(Arc<str>, TableManifest)>,
}

impl Project {
    /// All definitions of the project, with every error and lint of every file.
    pub fn definitions(&self) -> Definitions {
        let mut out = Definitions::default();
        for file in &self.sql {
            parse_sql(file, &self.namespace, &self.configuration, &mut out);
        }
        for (path, manifest) in &self.tables {
            table_manifest(path, manifest, &self.namespace, &self.configuration, &mut out);
        }
        self.lint(&mut out);
        out
    }

    /// What only shows when everything is read: W002, and keys of the configuration.
    fn lint(&self, out: &mut Definitions) {
        let writes = |flow: &&Flow| matches!(flow.kind, FlowKind::Append | FlowKind::Once);
        let with_dataset: BTreeSet<String> =
            out.flows.iter().filter(writes).filter(|flow| flow.with_dataset).map(|f| f.target.key()).collect();
        let is_further = |flow: &&Flow| !flow.with_dataset && with_dataset.contains(&flow.target.key());
        let lints: Vec<Diagnostic> = out.flows.iter().filter(is_further).map(further_flow).collect();
        out.diagnostics.extend(lints);
        for (key, value) in &self.configuration.values {
            if let Setting::Ignored(found) | Setting::Refused(found) = pipeline_setting(key, value) {
                out.diagnostics.push(self.configuration.found(key, found));
            }
        }
    }
}

fn further_flow(flow: &Flow) -> Diagnostic {
    Diagnostic::lint("W002", format!("flow {} writes to {}, which has a query of its own", flow.name, flow.target.name))
        .help("both append; if that is not meant, leave one of them out")
        .at(&flow.origin)
        .about(flow.target.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_of_the_whole_project() {
        let text = "CREATE STREAMING TABLE t AS SELECT * FROM STREAM a; CREATE STREAMING TABLE u;";
        let flows =
            "CREATE FLOW f AS INSERT INTO T BY NAME SELECT * FROM STREAM b; CREATE FLOW g AS INSERT INTO u BY NAME SELECT * FROM STREAM b;";
        let values =
            [("pipelines.reset.alowed", "x"), ("spark.executor.memory", "1g"), ("path", "p"), ("pipelines.numUpdateRetryAttempts", "1")];
        let given = [("spark.sql.ansi.enabled".to_string(), "maybe".to_string())];
        let project = Project {
            namespace: Namespace { catalog: "main".to_string(), schema: "default".to_string() },
            configuration: Configuration::new(values.map(|(k, v)| (k.to_string(), v.to_string())).into(), given.into()).at([(
                "spark.executor.memory".to_string(),
                Origin::new("pipeline.yaml", 6, 5),
            )]
            .into()),
            sql: vec![SourceFile::new("b.sql", flows), SourceFile::new("a.sql", text)],
            tables: Vec::new(),
        };
        let found: Vec<_> = project.definitions().diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "[W002] flow f writes to T, which has a query of its own (b.sql:1:13)",
                "[W007] spec.configuration: pipelines.numUpdateRetryAttempts has no effect in this release",
                "[W005] spec.configuration: unknown key pipelines.reset.alowed",
                "[W007] spec.configuration: spark.executor.memory is a setting of Spark and has no effect (pipeline.yaml:6:5)",
                "[INVALID_CONF_VALUE] --set spark.sql.ansi.enabled: spark.sql.ansi.enabled cannot be \"maybe\"",
            ]
        );
    }
}
