//! One file of the corpus: what it says of its surroundings, and what planning makes of it.
//!
//! Lines that begin with `-- corpus:` describe what the file finds: `table orders(id BIGINT)` is a table of another program,
//! `` delta s3://lake/t(id BIGINT) `` one by location, `files in/x(id BIGINT)` what a look at files without a schema finds,
//! `parameter name = value`, `conf key = value`, `ansi`.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use floe_graph::{
    analysis::ddl,
    definition::{Configuration, Dataset, DatasetKind, Definitions, Project, RefreshPolicy, SourceFile},
    explain,
    graph::ResolvedGraph,
    name::{DatasetName, Namespace},
    origin::{Diagnostic, Origin, Sources, render},
    relation::RelationKind,
    resolve::{ResolveInput, needed_file_schemas, needed_observations, plan_text, resolve},
};

/// A text with its surroundings.
pub struct Case {
    path: String,
    text: String,
    /// Tables of other programs with their columns.
    tables: Vec<(DatasetName, String)>,
    /// Columns of what is read by location or path.
    places: BTreeMap<String, String>,
    configuration: BTreeMap<String, String>,
    input: ResolveInput,
}

fn namespace() -> Namespace {
    Namespace { catalog: "main".to_string(), schema: "shop".to_string() }
}

/// `name(columns)` in two parts.
fn described(text: &str) -> (String, String) {
    let (name, columns) = text.trim().split_once('(').unwrap();
    (name.trim().to_string(), columns.trim_end().strip_suffix(')').unwrap().to_string())
}

fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap();
    (key.trim().to_string(), value.trim().to_string())
}

impl Case {
    pub fn new(path: &str, text: &str) -> Self {
        let mut case = Self {
            path: path.to_string(),
            text: text.to_string(),
            tables: Vec::new(),
            places: BTreeMap::new(),
            configuration: BTreeMap::new(),
            input: ResolveInput { namespace: namespace(), ..ResolveInput::default() },
        };
        for line in text.lines().filter_map(|line| line.strip_prefix("-- corpus:")) {
            let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            match word {
                "table" => {
                    let (name, columns) = described(rest);
                    let mut parts: Vec<&str> = name.split('.').collect();
                    let name = parts.pop().unwrap();
                    let mut here = namespace();
                    if let Some(schema) = parts.pop() {
                        here.schema = schema.to_string();
                    }
                    if let Some(catalog) = parts.pop() {
                        here.catalog = catalog.to_string();
                    }
                    case.tables.push((DatasetName::in_namespace(&here, name), columns));
                }
                "delta" | "files" => case.places.extend([described(rest)]),
                "parameter" => {
                    let (name, value) = pair(rest);
                    case.input.parameters.set(&name, value, false);
                }
                "conf" => case.configuration.extend([pair(rest)]),
                "ansi" => case.input.configuration.extend([("spark.sql.ansi.enabled".to_string(), "true".to_string())]),
                other => panic!("{path}: what is `-- corpus: {other}`?"),
            }
        }
        case
    }

    fn definitions(&self) -> Definitions {
        let project = Project {
            namespace: namespace(),
            configuration: Configuration::new(self.configuration.clone(), BTreeMap::new()),
            sql: vec![SourceFile::new(self.path.as_str(), self.text.as_str())],
            tables: Vec::new(),
        };
        let mut definitions = project.definitions();
        definitions.datasets.extend(self.tables.iter().map(|(name, _)| external(name)));
        definitions
    }

    fn resolved(&self) -> Result<ResolvedGraph, Vec<Diagnostic>> {
        let definitions = self.definitions();
        let mut input = self.input.clone();
        for relation in needed_observations(&definitions, &input) {
            let columns = match &relation.kind {
                RelationKind::Delta { name: Some(name), .. } => {
                    self.tables.iter().find(|(known, _)| known == name).map(|(_, columns)| columns)
                }
                _ => self.places.get(&relation.source_id()),
            };
            if let Some(columns) = columns {
                input.observed.insert(relation.source_id(), Ok(Arc::new(ddl::parse_schema(columns).unwrap())));
            }
        }
        for (key, needed) in needed_file_schemas(&definitions, &input) {
            if let Some(columns) = self.places.get(&needed.relation.source_id()) {
                input.file_schemas.insert(key, Ok(Arc::new(ddl::parse_schema(columns).unwrap())));
            }
        }
        resolve(definitions, &input)
    }

    /// Everything that planning says about the file.
    pub fn outcome(&self) -> String {
        let mut out = String::new();
        match self.resolved() {
            Ok(graph) => {
                let _ = writeln!(out, "{}", explain::text(&graph));
                for flow in &graph.flows {
                    let schema = graph.datasets.get(&flow.target).map(|target| ddl::schema_text(&target.schema));
                    let _ = writeln!(out, "{} has {}", flow.target.name, schema.unwrap_or_default());
                    let _ = writeln!(out, "{}\n", plan_text(&flow.plan));
                }
                out.push_str(&self.told(&graph.lints));
            }
            Err(findings) => out.push_str(&self.told(&findings)),
        }
        out
    }

    fn told(&self, findings: &[Diagnostic]) -> String {
        let mut sources = Sources::default();
        sources.insert(self.path.as_str(), self.text.as_str());
        render(findings, &sources, false)
    }

    /// The classes of all findings.
    pub fn classes(&self) -> Vec<String> {
        let findings = match self.resolved() {
            Ok(graph) => graph.lints,
            Err(findings) => findings,
        };
        findings.into_iter().map(|found| found.class).collect()
    }
}

fn external(name: &DatasetName) -> Dataset {
    Dataset {
        name: name.clone(),
        kind: DatasetKind::External,
        private: false,
        columns: None,
        expectations: Vec::new(),
        checks: Vec::new(),
        partition_by: Vec::new(),
        cluster_by: Vec::new(),
        comment: None,
        properties: BTreeMap::new(),
        refresh_policy: RefreshPolicy::Auto,
        location: Some(format!("s3://lake/{}", name.name)),
        origin: Origin::new("tables.yaml", 1, 1),
    }
}
