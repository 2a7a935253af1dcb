//! The statements of a pipeline's SQL files: one recursive descent over our grammar, one file per group of statements.
//!
//! Every statement is read for itself: an error is noted, its dataset becomes incomplete, and the next statement is read.

mod cdc;
mod create;
mod dataset;
mod elements;
mod flow;
pub(super) mod misspelt;
mod sink;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sqlparser::{ast, tokenizer::Token};

use super::{
    Configuration, Dataset, Definitions, Flow, Query, SourceFile,
    cursor::{Cursor, WrittenName},
    notebook, properties,
    relations::{Versions, normalise},
    scan::{self, Place},
    substitute::{Placed, Substituted, substitute},
    tokens::{Tokens, tokenize},
};
use crate::{
    name::{DatasetName, Namespace},
    origin::{Diagnostic, Origin, Severity},
};

const SYNTAX: &str = "PARSE_SYNTAX_ERROR";

/// Reads one SQL file into `out`: datasets, flows, and all its errors and lints.
pub fn parse_sql(file: &SourceFile, defaults: &Namespace, configuration: &Configuration, out: &mut Definitions) {
    let (text, skipped) = notebook::as_sql(&file.text);
    let read = SourceFile::new(file.path.clone(), text.as_ref());
    let mut reader = FileReader {
        file: &read,
        defaults,
        configuration,
        namespace: defaults.clone(),
        variables: BTreeMap::new(),
        settings: BTreeMap::new(),
        is_notebook: scan::is_notebook(&text),
        out,
    };
    reader.note(skipped.iter().map(|cell| {
        let message = format!("a {} cell of a notebook is no SQL and is skipped", cell.magic);
        let help = "what it defines or prepares is not there; write it as SQL, or let a task of a Job do it";
        Diagnostic::lint("W001", message).help(help).at(&Origin::new(file.path.clone(), cell.line, 1))
    }));
    for piece in scan::pieces(&text) {
        reader.statement(&piece);
    }
}

/// Parses a single query of `floe sql`, where `VERSION AS OF` is allowed. `file.path` is what messages call the text.
pub fn parse_query(file: &SourceFile, namespace: &Namespace, configuration: &Configuration) -> Result<Query, Diagnostic> {
    let pieces = scan::pieces(&file.text);
    let [piece] = pieces.as_slice() else {
        let message = format!("expected one query, found {} statements", pieces.len());
        return Err(Diagnostic::error(SYNTAX, message).at(&Origin::new(file.path.clone(), 1, 1)));
    };
    let source = Placed {
        file: file.path.clone(),
        text: &file.text,
        range: piece.range.clone(),
        start: piece.start,
        comments: &piece.comments,
        locate: &|line, column| (line, column),
    };
    let mut findings = Vec::new();
    let lookup = |key: &str| configuration.get(key).map(str::to_string);
    let query = query_of(&source, Versions::Allowed, namespace, &lookup, &mut findings);
    match findings.into_iter().find(|found| found.severity == Severity::Error) {
        Some(found) => Err(found),
        None => query.ok_or_else(|| Diagnostic::error("INTERNAL_ERROR", "the query was refused without a reason")),
    }
}

/// The query of a text that holds nothing else; `None` if it has an error, which is in `findings` then.
pub(super) fn query_of(
    source: &Placed<'_>,
    versions: Versions,
    namespace: &Namespace,
    lookup: &dyn Fn(&str) -> Option<String>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Query> {
    let mut cursor = cursor_of(source, versions, lookup, findings)?;
    let query = if cursor.is_query() {
        cursor.query(namespace)
    } else {
        let message = format!("expected a query, found {}", cursor.found());
        Err(cursor.error("UNSUPPORTED_PIPELINE_STATEMENT", message).help("write SELECT …"))
    };
    without_errors(query, findings)
}

/// Parses one expression, for example a sequence or a condition of `AUTO CDC`; places count from the start of `text`.
pub fn parse_expression(text: &str, file: &str) -> Result<ast::Expr, Diagnostic> {
    let source = Placed {
        file: file.into(),
        text,
        range: 0..text.len(),
        start: Place::START,
        comments: &[],
        locate: &|line, column| (line, column),
    };
    let mut findings = Vec::new();
    let parsed = expression_of(&source, &|_| None, &mut findings);
    match findings.into_iter().find(|found| found.severity == Severity::Error) {
        Some(found) => Err(found),
        None => {
            parsed.map(|(expr, _)| expr).ok_or_else(|| Diagnostic::error("INTERNAL_ERROR", "the expression was refused without a reason"))
        }
    }
}

/// The expression of a text that holds nothing else, with the text after substitution.
pub(super) fn expression_of(
    source: &Placed<'_>,
    lookup: &dyn Fn(&str) -> Option<String>,
    findings: &mut Vec<Diagnostic>,
) -> Option<(ast::Expr, String)> {
    let mut cursor = cursor_of(source, Versions::Refused, lookup, findings)?;
    let parsed =
        cursor.expression().and_then(|found| if cursor.is_at_end() { Ok(found) } else { cursor.expected("the end of the expression") });
    without_errors(parsed, findings)
}

/// What was parsed, unless it or anything before has an error.
pub(super) fn without_errors<T>(parsed: Result<T, Diagnostic>, findings: &mut Vec<Diagnostic>) -> Option<T> {
    let has_error = findings.iter().any(|found| found.severity == Severity::Error);
    match parsed {
        Ok(parsed) => (!has_error).then_some(parsed),
        Err(found) => {
            let is_consequence = found.class == SYNTAX && findings.iter().any(|known| known.class == SYNTAX);
            findings.extend((!is_consequence).then_some(found));
            None
        }
    }
}

/// A cursor over a text outside of SQL files.
pub(super) fn cursor_of(
    source: &Placed<'_>,
    versions: Versions,
    lookup: &dyn Fn(&str) -> Option<String>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Cursor> {
    let substituted = substitute(source, lookup);
    findings.extend(undefined_keys(&substituted));
    match tokenize(&substituted, &source.file) {
        Ok(tokens) => Some(Cursor::new(normalise(tokens, versions, findings))),
        Err(found) => {
            findings.push(found);
            None
        }
    }
}

/// An error for each `${key}` without a value.
pub(super) fn undefined_keys(substituted: &Substituted) -> Vec<Diagnostic> {
    let undefined = |(key, origin): &(String, Origin)| {
        Diagnostic::error("UNDEFINED_CONFIGURATION_KEY", format!("no value for ${{{key}}}"))
            .help(format!("define spec.configuration.{key}, pass --conf {key}=… or SET {key} earlier in this file"))
            .at(origin)
    };
    substituted.missing.iter().map(undefined).collect()
}

/// What holds from one statement of a file to the next.
struct FileReader<'a> {
    file: &'a SourceFile,
    defaults: &'a Namespace,
    configuration: &'a Configuration,
    namespace: Namespace,
    /// All values of `SET`, for `${}`.
    variables: BTreeMap<String, String>,
    /// Those of them that are options of flows.
    settings: BTreeMap<String, String>,
    is_notebook: bool,
    out: &'a mut Definitions,
}

impl FileReader<'_> {
    fn statement(&mut self, piece: &scan::Piece) {
        let source = Placed {
            file: self.file.path.clone(),
            text: &self.file.text,
            range: piece.range.clone(),
            start: piece.start,
            comments: &piece.comments,
            locate: &|line, column| (line, column),
        };
        let read = RefCell::new(BTreeSet::new());
        let lookup = |key: &str| {
            self.variables.get(key).cloned().or_else(|| {
                read.borrow_mut().insert(key.to_string());
                self.configuration.get(key).map(str::to_string)
            })
        };
        let code = &self.file.text[piece.code.clone()];
        if is_set(code) {
            let start = piece.start.after(&self.file.text[piece.range.start..piece.code.start]);
            let substituted = substitute(&Placed { range: piece.code.clone(), start, ..source }, &lookup);
            self.out.configuration_keys.append(&mut read.take());
            self.set(&substituted, &Origin::new(self.file.path.clone(), start.line, start.column));
            return;
        }
        let substituted = substitute(&source, &lookup);
        self.out.configuration_keys.append(&mut read.take());
        let findings = undefined_keys(&substituted);
        match tokenize(&substituted, &self.file.path) {
            Ok(tokens) => {
                for tokens in split(&tokens) {
                    self.tokens(tokens, findings.clone());
                }
            }
            Err(found) => {
                self.note(findings);
                self.note([found]);
            }
        }
    }

    /// Adds findings, each once.
    fn note(&mut self, findings: impl IntoIterator<Item = Diagnostic>) {
        for found in findings {
            if !self.out.diagnostics.contains(&found) {
                self.out.diagnostics.push(found);
            }
        }
    }

    /// `SET key = value`: the value is the rest of the statement as it stands.
    fn set(&mut self, substituted: &Substituted, origin: &Origin) {
        self.note(undefined_keys(substituted));
        let (key, value) = match set_of(&substituted.text, origin) {
            Ok(set) => set,
            Err(found) => return self.note([found]),
        };
        match properties::flow_setting(&key, &value) {
            properties::Setting::Effective(known) => {
                self.settings.insert(known, value.clone());
            }
            properties::Setting::Ignored(found) | properties::Setting::Refused(found) => self.note([found.at(origin)]),
            properties::Setting::Variable => {}
        }
        self.variables.insert(key, value);
    }

    fn tokens(&mut self, tokens: Tokens, undefined: Vec<Diagnostic>) {
        let mut findings = undefined;
        let mut cursor = Cursor::new(normalise(tokens, Versions::Refused, &mut findings));
        if cursor.is_at_end() {
            self.note(findings);
            return;
        }
        if cursor.is_word(0, "USE") {
            findings.extend(self.use_namespace(&mut cursor).err());
            self.note(findings);
            return;
        }
        if self.is_notebook && cursor.is_query() {
            let skipped = Diagnostic::lint("W001", "a query cell of a notebook defines nothing and is skipped");
            self.note([skipped.at(&cursor.origin())]);
            return;
        }
        let mut statement = Statement {
            cursor,
            namespace: &self.namespace,
            defaults: self.defaults,
            settings: &self.settings,
            draft: Draft { findings, ..Draft::default() },
        };
        if let Err(found) = statement.read() {
            // A relation that could not be read leaves nothing that can be parsed; its own error says more.
            let is_consequence = found.class == SYNTAX && statement.draft.findings.iter().any(|known| known.class == SYNTAX);
            statement.draft.findings.extend((!is_consequence).then_some(found));
        }
        let draft = statement.draft;
        draft.finish(self.out);
    }

    /// `USE CATALOG c`, `USE [SCHEMA | DATABASE] [c.]s`.
    fn use_namespace(&mut self, cursor: &mut Cursor) -> Result<(), Diagnostic> {
        cursor.skip(1);
        if cursor.take(&["CATALOG"]) {
            self.namespace = Namespace { catalog: cursor.ident("the name of a catalog")?, schema: "default".to_string() };
            return cursor.expect_end();
        }
        let has_name = cursor.peek(1).is_some_and(|next| *next != Token::Period);
        if has_name && (cursor.is_word(0, "SCHEMA") || cursor.is_word(0, "DATABASE")) {
            cursor.skip(1);
        }
        let name = cursor.name("the name of a schema")?;
        match name.parts.as_slice() {
            [schema] => self.namespace.schema.clone_from(schema),
            [catalog, schema] => self.namespace = Namespace { catalog: catalog.clone(), schema: schema.clone() },
            _ => return Err(Diagnostic::error(SYNTAX, "expected schema or catalog.schema").at(&name.origin)),
        }
        cursor.expect_end()
    }
}

/// True for a statement that is `SET …`.
pub(super) fn is_set(code: &str) -> bool {
    code.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("SET")) && code[3..].starts_with(char::is_whitespace)
}

/// Key and value of `SET key = value`.
pub(super) fn set_of(text: &str, origin: &Origin) -> Result<(String, String), Diagnostic> {
    let Some((key, value)) = text["SET".len()..].split_once('=') else {
        return Err(Diagnostic::error(SYNTAX, "expected SET key = value").at(origin));
    };
    let (key, value) = (unquoted(key).to_string(), unquoted(value).to_string());
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(Diagnostic::error(SYNTAX, format!("expected SET key = value, found the key `{key}`")).at(origin));
    }
    Ok((key, value))
}

/// Trimmed, without one pair of quotes around it.
fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let quote = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    quote('"').or_else(|| quote('\'')).or_else(|| quote('`')).unwrap_or(text)
}

/// A value put in by `${}` may hold a `;`.
fn split(tokens: &Tokens) -> Vec<Tokens> {
    let parts = tokens.pieces.split(|piece| piece.token == Token::SemiColon).filter(|pieces| !pieces.is_empty());
    parts
        .map(|pieces| Tokens {
            pieces: pieces.to_vec(),
            text: Arc::clone(&tokens.text),
            file: Arc::clone(&tokens.file),
            end: tokens.end.clone(),
        })
        .collect()
}

/// What one statement defines, until it is known to be right.
#[derive(Default)]
pub(super) struct Draft {
    pub datasets: Vec<Dataset>,
    pub flows: Vec<Flow>,
    /// What it writes or declares.
    pub names: Vec<DatasetName>,
    /// Keys of the configuration that its texts read.
    pub configuration_keys: BTreeSet<String>,
    pub findings: Vec<Diagnostic>,
}

impl Draft {
    /// Registers what is right; of a statement with an error only the names.
    pub fn finish(mut self, out: &mut Definitions) {
        out.configuration_keys.append(&mut self.configuration_keys);
        let is_right = self.findings.iter().all(|found| found.severity == Severity::Lint);
        let about = self.names.first().map(ToString::to_string);
        let mut findings = self.findings;
        findings.sort_by(|a, b| a.origin.cmp(&b.origin));
        for found in findings {
            let found = Diagnostic { dataset: found.dataset.clone().or_else(|| about.clone()), ..found };
            let is_known =
                |known: &Diagnostic| known.class == found.class && known.origin == found.origin && known.message == found.message;
            if !out.diagnostics.iter().any(is_known) {
                out.diagnostics.push(found);
            }
        }
        if is_right {
            out.datasets.extend(self.datasets);
            out.flows.extend(self.flows);
        } else {
            out.incomplete.extend(self.names);
        }
    }
}

/// One statement while it is read.
pub(super) struct Statement<'a> {
    pub cursor: Cursor,
    /// Catalog and schema in force.
    pub namespace: &'a Namespace,
    /// Catalog and schema of the pipeline.
    pub defaults: &'a Namespace,
    pub settings: &'a BTreeMap<String, String>,
    pub draft: Draft,
}

impl Statement<'_> {
    fn read(&mut self) -> Result<(), Diagnostic> {
        if self.cursor.take(&["CREATE"]) {
            return self.create();
        }
        if self.cursor.is_next(&["APPLY", "CHANGES"]) {
            return self.apply_changes();
        }
        if self.take_misspelt(&[&["CREATE"]]).is_some() {
            return self.create();
        }
        Err(self.unsupported(0))
    }

    /// The error for a statement that pipelines do not have; `back` tokens before the next one it began.
    fn unsupported(&self, back: usize) -> Diagnostic {
        let at = self.cursor.at();
        let words = self.cursor.text_between(at - back.min(at), at + 1).to_uppercase();
        self.cursor
            .error("UNSUPPORTED_PIPELINE_STATEMENT", format!("{words} is not a statement of a pipeline"))
            .help("a pipeline has CREATE STREAMING TABLE, MATERIALIZED VIEW, TEMPORARY VIEW, VIEW, FLOW and SINK, SET and USE")
    }

    /// Notes legacy syntax that stands at `origin`.
    fn legacy(&mut self, what: &str, help: &str, origin: &Origin) {
        self.draft.findings.push(Diagnostic::lint("W001", format!("{what} is legacy syntax")).help(help).at(origin));
    }

    fn lint(&mut self, found: Diagnostic, origin: &Origin) {
        self.draft.findings.push(found.at(origin));
    }

    /// Resolves a name and remembers it as written by this statement.
    fn declare(&mut self, name: &WrittenName) -> DatasetName {
        if name.live {
            self.legacy("LIVE.", "write the name without it", &name.origin);
        }
        let full = name.resolve(self.namespace);
        self.draft.names.push(full.clone());
        full
    }
}

#[cfg(test)]
mod tests;
