//! Failures as people read them: class, text, place with an excerpt, flow and dataset, causes, and what to do.

use std::{fmt::Write, path::Path};

use floe_graph::origin::{Diagnostic, Severity, Sources, render};
use serde_json::{Value, json};

use super::Terminal;
use crate::failure::Failure;

/// Files larger than this are not read for an excerpt.
const MAX_EXCERPT_FILE_BYTES: u64 = 4 << 20;

impl Terminal {
    /// Prints the failure of a query, with excerpts of its text.
    pub fn query_failure(&self, failure: &Failure, name: &str, text: &str) {
        if self.is_json() {
            self.document(&json!({"error": failure_json(failure)}));
        }
        if failure.diagnostics.is_empty() {
            return self.err(&failure_text(failure, Path::new("."), self.color_err));
        }
        let mut sources = Sources::default();
        sources.insert(name, text);
        self.err(render(&failure.diagnostics, &sources, self.color_err).trim_end());
    }

    /// Prints `failure` to standard error, with excerpts of the files of `project`; as one JSON document to standard output if asked for.
    pub fn failure(&self, failure: &Failure, project: &Path) {
        if self.is_json() {
            self.document(&json!({"error": failure_json(failure)}));
        }
        self.err(&failure_text(failure, project, self.color_err));
    }
}

/// `failure` with all its findings.
pub fn failure_text(failure: &Failure, project: &Path, color: bool) -> String {
    if !failure.diagnostics.is_empty() {
        return findings_text(&failure.diagnostics, project, color);
    }
    let finding = Diagnostic {
        class: failure.error.clone(),
        severity: Severity::Error,
        message: failure.message.clone(),
        origin: failure.origin.clone(),
        dataset: None,
        help: None,
    };
    let mut text = rendered(std::slice::from_ref(&finding), project, color);
    let line = |text: &mut String, key: &str, value: &str| _ = write!(text, "\n  = {key}: {value}");
    if let Some(flow) = &failure.flow {
        line(&mut text, "flow", flow);
    }
    if let Some(dataset) = &failure.dataset {
        line(&mut text, "dataset", dataset);
    }
    let mut source = std::error::Error::source(failure);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !failure.message.contains(&cause_text) && !text.contains(&cause_text) {
            line(&mut text, "cause", &cause_text.replace('\n', "\n    "));
        }
        source = cause.source();
    }
    if let Some(help) = &failure.help {
        line(&mut text, "help", help);
    }
    text
}

/// Errors and lints with excerpts, and how many errors there are.
pub fn findings_text(findings: &[Diagnostic], project: &Path, color: bool) -> String {
    let mut text = rendered(findings, project, color);
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    if errors > 1 {
        _ = write!(text, "\n\n{errors} errors");
    }
    text
}

fn rendered(findings: &[Diagnostic], project: &Path, color: bool) -> String {
    let text = render(findings, &sources(findings, project), color);
    // A help without a place has an empty margin above it.
    text.trim_end().replace("\n |\n = help", "\n = help")
}

/// The failure as one JSON object.
pub fn failure_json(failure: &Failure) -> Value {
    let mut value = json!({
        "class": failure.error,
        "kind": failure.class,
        "message": failure.message,
        "flow": failure.flow,
        "dataset": failure.dataset,
        "origin": failure.origin,
        "help": failure.help,
        "findings": failure.diagnostics,
    });
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| !field.is_null() && field.as_array().is_none_or(|items| !items.is_empty()));
    }
    value
}

/// The texts of the files that `findings` name, read from the project's folder; what cannot be read has no excerpt.
fn sources(findings: &[Diagnostic], project: &Path) -> Sources {
    let root = if project.is_dir() { project } else { project.parent().unwrap_or(project) };
    let mut sources = Sources::default();
    for origin in findings.iter().filter_map(|finding| finding.origin.as_ref()) {
        if sources.get(&origin.file).is_some() {
            continue;
        }
        let path = root.join(origin.file.as_ref());
        if path.metadata().is_ok_and(|file| file.is_file() && file.len() <= MAX_EXCERPT_FILE_BYTES)
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            sources.insert(origin.file.as_ref(), text);
        }
    }
    sources
}
