//! `test.yaml`: parameters, configuration, the clock, and the error that is expected.

use std::{collections::BTreeMap, fs};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use floe_crds::{
    text::nearest,
    yaml::{self, Content, Node},
};
use floe_graph::origin::{Diagnostic, Origin};

use super::{TestFile, refused};
use crate::{failure::Failure, storage::io_failure};

/// What the file may say.
const KEYS: [&str; 4] = ["parameters", "configuration", "now", "expectError"];
/// What an expected error may say.
const ERROR_KEYS: [&str; 3] = ["class", "message", "dataset"];

/// What `test.yaml` says.
#[derive(Clone, Debug, Default)]
pub struct CaseSettings {
    pub parameters: BTreeMap<String, String>,
    pub configuration: BTreeMap<String, String>,
    pub now: Option<DateTime<Utc>>,
    pub expect_error: Option<(ExpectedError, Origin)>,
    /// Where `parameters.x` and `configuration.x` stand.
    pub places: BTreeMap<String, Origin>,
}

/// The error that a test expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedError {
    /// Its class, e.g. `EXPECTATION_VIOLATION`.
    pub class: String,
    /// A part of its text.
    pub message: Option<String>,
    /// The dataset that fails.
    pub dataset: Option<String>,
}

impl ExpectedError {
    /// True if `failure` is it, or one of the findings that it carries.
    pub fn is(&self, failure: &Failure) -> bool {
        let has_text = |text: &str| self.message.as_deref().is_none_or(|part| text.contains(part));
        let is_about = |full: &Option<String>| match (&self.dataset, full) {
            (None, _) => true,
            (Some(name), Some(full)) => {
                let (name, full) = (name.to_lowercase(), full.to_lowercase());
                full == name || full.ends_with(&format!(".{name}"))
            }
            (Some(_), None) => false,
        };
        // A flow has the name of its dataset, unless it was given another one.
        let is_about_it = is_about(&failure.dataset) || is_about(&failure.flow);
        let found = |found: &Diagnostic| {
            self.class == found.class && has_text(&found.message) && (is_about(&found.dataset) || (found.dataset.is_none() && is_about_it))
        };
        let whole = self.class == failure.error && has_text(&failure.message) && is_about_it;
        whole || failure.diagnostics.iter().any(found)
    }
}

/// Reads the file, if there is one.
pub fn read(file: Option<&TestFile>) -> Result<CaseSettings, Failure> {
    let Some(file) = file else { return Ok(CaseSettings::default()) };
    let text = fs::read_to_string(&file.path).map_err(|error| io_failure("read", &file.place, error))?;
    let mut reader = Reader { file, findings: Vec::new() };
    let settings = reader.settings(&text);
    if reader.findings.is_empty() { Ok(settings) } else { Err(refused(reader.findings)) }
}

struct Reader<'a> {
    file: &'a TestFile,
    findings: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn settings(&mut self, text: &str) -> CaseSettings {
        let mut settings = CaseSettings::default();
        let (documents, findings) = yaml::parse(text);
        for found in findings {
            let finding = Diagnostic::error(found.class, found.message).at(&self.file.at(found.line, found.column));
            self.findings.push(Diagnostic { help: found.help, ..finding });
        }
        if let Some((more, _)) = documents.get(1) {
            self.wrong("MANIFEST_SYNTAX", more, "test.yaml is one document".to_string());
        }
        let Some((root, _)) = documents.first() else { return settings };
        for (key, value) in self.entries(root, "test.yaml", Some(&KEYS)) {
            match key.as_str() {
                "parameters" => settings.parameters = self.texts("parameters", &value, &mut settings.places),
                "configuration" => settings.configuration = self.texts("configuration", &value, &mut settings.places),
                "now" => settings.now = self.instant(&value),
                _ => settings.expect_error = self.expected_error(&value).map(|error| (error, self.origin(&value))),
            }
        }
        settings
    }

    fn origin(&self, node: &Node) -> Origin {
        self.file.at(node.position.line, node.position.column)
    }

    fn wrong(&mut self, class: &str, node: &Node, message: String) {
        let origin = self.origin(node);
        self.findings.push(Diagnostic::error(class, message).at(&origin));
    }

    /// The entries of a mapping that have a value. An unknown key is a finding, if the keys are `known`.
    fn entries(&mut self, node: &Node, what: &str, known: Option<&[&str]>) -> Vec<(String, Node)> {
        if node.is_null() {
            return Vec::new();
        }
        let Content::Mapping(entries) = &node.content else {
            self.wrong("MANIFEST_INVALID_TYPE", node, format!("{what} is a mapping"));
            return Vec::new();
        };
        let mut found = Vec::new();
        for (key, value) in entries {
            let name = key.name.as_str();
            if let Some(known) = known.filter(|known| !known.contains(&name)) {
                let near = nearest(name, known.iter().copied());
                let finding = Diagnostic::error("MANIFEST_UNKNOWN_KEY", format!("unknown key `{name}`"));
                let finding = finding.at(&self.file.at(key.position.line, key.position.column));
                self.findings.push(match near {
                    Some(near) => finding.help(format!("did you mean `{near}`?")),
                    None => finding.help(format!("known keys here are {}", known.join(", "))),
                });
            } else if !value.is_null() {
                found.push((key.name.clone(), value.clone()));
            }
        }
        found
    }

    fn texts(&mut self, what: &str, node: &Node, places: &mut BTreeMap<String, Origin>) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for (key, value) in self.entries(node, what, None) {
            places.insert(format!("{what}.{key}"), self.origin(&value));
            if let Some(text) = self.text(&value, &format!("{what}.{key}")) {
                texts.insert(key, text);
            }
        }
        texts
    }

    fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.content {
            Content::Text(text) => Some(text.clone()),
            Content::Bool(value) => Some(value.to_string()),
            Content::Number(number) => Some(number.to_string()),
            _ => {
                self.wrong("MANIFEST_INVALID_TYPE", node, format!("{what} is a text"));
                None
            }
        }
    }

    fn instant(&mut self, node: &Node) -> Option<DateTime<Utc>> {
        let text = self.text(node, "now")?;
        let instant = DateTime::parse_from_rfc3339(&text).map(|instant| instant.with_timezone(&Utc));
        let day = || text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc());
        let found = instant.ok().or_else(day);
        if found.is_none() {
            let origin = self.origin(node);
            let finding = Diagnostic::error("MANIFEST_INVALID_VALUE", format!("now is an instant, not {text:?}")).at(&origin);
            self.findings.push(finding.help("write it like 2026-01-31T08:00:00Z, or a day like 2026-01-31"));
        }
        found
    }

    fn expected_error(&mut self, node: &Node) -> Option<ExpectedError> {
        if let Content::Text(class) = &node.content {
            return Some(ExpectedError { class: class.clone(), message: None, dataset: None });
        }
        let mut parts = BTreeMap::new();
        for (key, value) in self.entries(node, "expectError", Some(&ERROR_KEYS)) {
            if let Some(text) = self.text(&value, &format!("expectError.{key}")) {
                parts.insert(key, text);
            }
        }
        let Some(class) = parts.remove("class") else {
            if self.findings.is_empty() {
                self.wrong("MANIFEST_MISSING_FIELD", node, "expectError has no class".to_string());
            }
            return None;
        };
        Some(ExpectedError { class, message: parts.remove("message"), dataset: parts.remove("dataset") })
    }
}
