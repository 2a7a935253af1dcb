//! Manifests as text: YAML documents become typed Pipelines, Tables and Jobs with the place of every field.
//!
//! The one validation of manifests: the command line and the operator call the same functions and say the same messages.

mod check;
mod document;
mod reference;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use document::{Document, SourceText};
use jiff::Timestamp;
pub use reference::reference;
pub(crate) use reference::rows;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use crate::finding::{Finding, Position};
use crate::{
    API_VERSION, GROUP,
    condition::Reason,
    job::JobSpec,
    pipeline::PipelineSpec,
    run::check::{JobFinding, check_job},
    table::TableSpec,
    text::nearest,
    yaml::{self, Content, Node},
};

/// The kinds of the group; other rooms read those that are not typed here.
const KINDS: [&str; 6] = ["Pipeline", "Table", "Job", "PipelineUpdate", "JobRun", "RunReport"];
/// The kinds that are typed here.
const TYPED: [&str; 3] = ["Pipeline", "Table", "Job"];
const ROOT_KEYS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
const METADATA_KEYS: [&str; 14] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "finalizers",
    "generateName",
    "ownerReferences",
    "managedFields",
    "creationTimestamp",
    "deletionTimestamp",
    "generation",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// A document of a YAML file.
#[derive(Clone, Debug)]
pub enum Manifest {
    /// A Pipeline of this version.
    Pipeline(Box<PipelineManifest>),
    /// A Table of this version.
    Table(Box<TableManifest>),
    /// A Job of this version.
    Job(Box<JobManifest>),
    /// Anything else: another kind of Floe, or no object of Floe at all.
    Other(OtherManifest),
}

/// A Pipeline with the places of its fields.
#[derive(Clone, Debug)]
pub struct PipelineManifest {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// The typed spec, defaults filled in.
    pub spec: PipelineSpec,
    /// Where its fields stand.
    pub document: Document,
}

/// A Table with the places of its fields.
#[derive(Clone, Debug)]
pub struct TableManifest {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// The typed spec, defaults filled in.
    pub spec: TableSpec,
    /// Where its fields stand.
    pub document: Document,
}

impl TableManifest {
    /// The dataset's name: `spec.name`, or the name of the object with `-` replaced by `_`.
    pub fn dataset(&self) -> String {
        self.spec.name.clone().unwrap_or_else(|| self.name.replace('-', "_"))
    }
}

/// A Job with the places of its fields.
#[derive(Clone, Debug)]
pub struct JobManifest {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// The typed spec, defaults filled in.
    pub spec: JobSpec,
    /// Where its fields stand.
    pub document: Document,
}

/// What is wrong with a Job beyond its form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFindings {
    /// It cannot run so.
    pub errors: Vec<Finding>,
    /// It can, but something in it does not mean what it looks like.
    pub warnings: Vec<Finding>,
}

/// A document that is no Pipeline, Table or Job of Floe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherManifest {
    /// `apiVersion`, empty if there is none.
    pub api_version: String,
    /// `kind`, empty if there is none.
    pub kind: String,
    /// `metadata.name`, empty if there is none.
    pub name: String,
    /// Where the document begins.
    pub position: Position,
}

/// What a YAML file holds. With findings the manifests are only those that are right.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The documents without findings, in the order of the file.
    pub manifests: Vec<Manifest>,
    /// Everything that is wrong, in the order of the file.
    pub findings: Vec<Finding>,
}

/// Reads all documents of a YAML file. Empty documents are left out.
pub fn read(text: &str) -> Reading {
    let (documents, mut findings) = yaml::parse(text);
    let source: Arc<[char]> = text.chars().collect();
    let mut manifests = Vec::new();
    for (node, clean) in documents.into_iter().filter(|(node, _)| !node.is_null()) {
        match document(node, &source) {
            Ok(manifest) if clean => manifests.push(manifest),
            Ok(_) => {}
            Err(found) => findings.extend(found),
        }
    }
    findings.sort_by_key(|finding| (finding.line, finding.column));
    Reading { manifests, findings }
}

/// What a cluster requires beyond `read`: storage that is given and absolute, names that fit.
pub fn cluster_findings(manifest: &Manifest) -> Vec<Finding> {
    rules::cluster(manifest)
}

/// What `read` does not look at in a Job: its graph, its references, its schedules. `now` is where the check of schedules begins.
pub fn job_findings(manifest: &JobManifest, now: Timestamp) -> JobFindings {
    let (errors, warnings): (Vec<_>, Vec<_>) = check_job(&manifest.spec, now).into_iter().partition(|found| found.error);
    let placed = |found: Vec<JobFinding>| {
        let mut findings: Vec<Finding> = found.into_iter().map(|found| job_finding(found, &manifest.document)).collect();
        findings.sort_by_key(|finding| (finding.line, finding.column));
        findings
    };
    JobFindings { errors: placed(errors), warnings: placed(warnings) }
}

fn job_finding(found: JobFinding, document: &Document) -> Finding {
    let class = match found.reason {
        Reason::InvalidGraph => "JOB_INVALID_GRAPH",
        Reason::InvalidReference => "JOB_INVALID_REFERENCE",
        Reason::InvalidSchedule => "JOB_INVALID_SCHEDULE",
        Reason::AcceptedWithWarnings => "JOB_LITERAL_REFERENCE",
        _ => "MANIFEST_INVALID_VALUE",
    };
    let place = document.text(&found.path).map(|text| {
        let before = text.text.get(..found.at).unwrap_or_default();
        let last = before.rsplit('\n').next().unwrap_or_default();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        text.position(count(before.matches('\n').count() + 1), count(last.chars().count() + 1))
    });
    Finding::new(class, found.message, place.unwrap_or_else(|| document.position(&found.path)))
}

fn document(node: Node, source: &Arc<[char]>) -> Result<Manifest, Vec<Finding>> {
    let api_version = node.get("apiVersion").and_then(Node::as_text).unwrap_or_default().to_string();
    let kind = node.get("kind").and_then(Node::as_text).unwrap_or_default().to_string();
    if !is_ours(&node, &api_version, &kind)? {
        let name = node.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::as_text).unwrap_or_default();
        return Ok(Manifest::Other(OtherManifest { api_version, kind, name: name.to_string(), position: node.position }));
    }
    let schema = match kind.as_str() {
        "Pipeline" => &check::PIPELINE,
        "Job" => &check::JOB,
        _ => &check::TABLE,
    };
    let mut findings = Vec::new();
    let name = check_object(&node, &mut findings);
    match node.get("spec") {
        Some(spec) if !spec.is_null() => check::check(spec, schema, "spec", &mut findings),
        _ if kind == "Pipeline" => {}
        _ => findings.push(check::missing(&node, "spec", &kind)),
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let namespace = node.get("metadata").and_then(|metadata| metadata.get("namespace")).and_then(Node::as_text).map(str::to_string);
    let values = node.get("spec").map(Node::to_json);
    let document = Document::new(node, Arc::clone(source));
    let (manifest, findings) = match kind.as_str() {
        "Pipeline" => {
            let spec: PipelineSpec = typed(values, &document)?;
            let findings = rules::pipeline(&spec, &document);
            (Manifest::Pipeline(Box::new(PipelineManifest { name, namespace, spec, document })), findings)
        }
        "Job" => {
            let spec: JobSpec = typed(values, &document)?;
            let findings = rules::job(&name, &spec, &document);
            (Manifest::Job(Box::new(JobManifest { name, namespace, spec, document })), findings)
        }
        _ => {
            let spec: TableSpec = typed(values, &document)?;
            let findings = rules::table(&spec, &document);
            (Manifest::Table(Box::new(TableManifest { name, namespace, spec, document })), findings)
        }
    };
    if findings.is_empty() { Ok(manifest) } else { Err(findings) }
}

/// True for a kind of this version that is typed here; an error for what only can be a slip in writing one.
fn is_ours(node: &Node, api_version: &str, kind: &str) -> Result<bool, Vec<Finding>> {
    let Content::Mapping(entries) = &node.content else { return Ok(false) };
    let is_kind = TYPED.contains(&kind);
    let position = |key: &str| node.get(key).map_or(node.position, |value| value.position);
    if api_version == API_VERSION {
        return match kind {
            "" => Err(vec![check::missing(node, "kind", "manifest").help(format!("possible values are {}", KINDS.join(", ")))]),
            _ if KINDS.contains(&kind) => Ok(is_kind),
            _ => {
                let near = nearest(kind, KINDS.into_iter()).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
                let finding = Finding::new("MANIFEST_UNKNOWN_KIND", format!("unknown kind `{kind}`{near}"), position("kind"));
                Err(vec![finding.help(format!("the kinds of {API_VERSION} are {}", KINDS.join(", ")))])
            }
        };
    }
    let group = api_version.split('/').next().unwrap_or_default();
    let slip = group == GROUP || is_kind && strsim::damerau_levenshtein(group, GROUP) <= 2;
    if slip {
        let message = format!("unknown apiVersion `{api_version}`, did you mean `{API_VERSION}`?");
        return Err(vec![Finding::new("MANIFEST_UNKNOWN_KIND", message, position("apiVersion"))]);
    }
    if api_version.is_empty() && is_kind {
        let misspelt = entries.iter().find(|(key, _)| nearest(&key.name, ["apiVersion"].into_iter()).is_some());
        return Err(vec![match misspelt {
            Some((key, _)) if key.name != "apiVersion" => check::unknown_key(key, &ROOT_KEYS),
            _ => check::missing(node, "apiVersion", kind).help(format!("begin the manifest with `apiVersion: {API_VERSION}`")),
        }]);
    }
    Ok(false)
}

/// Checks what is common to all kinds and gives the name.
fn check_object(node: &Node, findings: &mut Vec<Finding>) -> String {
    if let Content::Mapping(entries) = &node.content {
        for (key, _) in entries.iter().filter(|(key, _)| !ROOT_KEYS.contains(&key.name.as_str())) {
            findings.push(check::unknown_key(key, &ROOT_KEYS));
        }
    }
    let Some(metadata) = node.get("metadata") else {
        findings.push(check::missing(node, "name", "metadata"));
        return String::new();
    };
    let Content::Mapping(entries) = &metadata.content else {
        findings.push(check::wrong_type(metadata, "a mapping", "metadata"));
        return String::new();
    };
    for (key, _) in entries.iter().filter(|(key, _)| !METADATA_KEYS.contains(&key.name.as_str())) {
        findings.push(check::unknown_key(key, &METADATA_KEYS));
    }
    match metadata.get("name") {
        None => findings.push(check::missing(metadata, "name", "metadata")),
        Some(name) => match name.as_text() {
            Some("") => findings.push(check::invalid(name, "metadata.name must not be empty".to_string())),
            Some(text) => return text.to_string(),
            None => findings.push(check::wrong_type(name, "text", "metadata.name").help("put the value into quotes")),
        },
    }
    String::new()
}

/// The typed spec. The schema was checked before, so an error here means that schema and types differ.
fn typed<T: DeserializeOwned>(values: Option<Value>, document: &Document) -> Result<T, Vec<Finding>> {
    let values = values.filter(|value| !value.is_null()).unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    serde_json::from_value(values)
        .map_err(|error| vec![Finding::new("MANIFEST_INVALID_VALUE", format!("spec cannot be read: {error}"), document.position("/spec"))])
}
