//! `Table` manifests become the same definitions as the SQL statement of the same meaning.
//!
//! What the manifest alone can break (missing fields, unknown keys, fields that this release refuses) was reported when it was read;
//! here its texts are parsed.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use floe_crds::{
    manifest::{Position, TableManifest},
    table::{self, AutoCdcSpec, ColumnsSpec, TableType},
};
use sqlparser::ast;

use super::{
    AutoCdc, ClauseExpr, Column, ColumnName, ColumnSelection, Configuration, Dataset, DatasetKind, Definitions, Expectation, Flow,
    FlowKind, Query, RefreshPolicy, TableCheck,
    cursor::WrittenName,
    properties,
    relations::Versions,
    scan,
    statement::{Draft, cursor_of, expression_of, query_of, without_errors},
    substitute::Placed,
};
use crate::{
    name::{DatasetName, Namespace},
    origin::{Diagnostic, Origin},
};

/// Reads one manifest of the file `file` into `out`: dataset, flows, and all errors and lints.
pub fn table_manifest(file: &str, manifest: &TableManifest, defaults: &Namespace, configuration: &Configuration, out: &mut Definitions) {
    let spec = &manifest.spec;
    let name = DatasetName {
        catalog: spec.catalog.clone().unwrap_or_else(|| defaults.catalog.clone()),
        schema: spec.schema.clone().unwrap_or_else(|| defaults.schema.clone()),
        name: manifest.dataset(),
    };
    let draft = Draft { names: vec![name.clone()], ..Draft::default() };
    let mut reader = ManifestReader { file: file.into(), manifest, name, defaults, configuration, draft };
    reader.dataset();
    reader.flows();
    reader.draft.finish(out);
}

struct ManifestReader<'a> {
    file: Arc<str>,
    manifest: &'a TableManifest,
    name: DatasetName,
    defaults: &'a Namespace,
    configuration: &'a Configuration,
    draft: Draft,
}

impl ManifestReader<'_> {
    fn at(&self, position: Position) -> Origin {
        Origin::new(Arc::clone(&self.file), position.line, position.column)
    }

    fn origin(&self, pointer: &str) -> Origin {
        self.at(self.manifest.document.position(pointer))
    }

    fn kind(&self) -> DatasetKind {
        match self.manifest.spec.table_type {
            TableType::StreamingTable => DatasetKind::StreamingTable,
            TableType::MaterializedView => DatasetKind::MaterializedView,
            TableType::TemporaryView => DatasetKind::TemporaryView,
            TableType::External => DatasetKind::External,
        }
    }

    fn dataset(&mut self) {
        let spec = &self.manifest.spec;
        let expectations = self.expectations();
        let columns = self.columns();
        let checks = self.checks();
        self.properties();
        let named = if spec.name.is_some() { "/spec/name" } else { "/metadata/name" };
        self.draft.datasets.push(Dataset {
            name: self.name.clone(),
            kind: self.kind(),
            private: spec.private,
            columns: (!columns.is_empty()).then_some(columns),
            expectations,
            checks,
            partition_by: spec.partition_by.clone(),
            cluster_by: spec.cluster_by.clone(),
            comment: spec.comment.clone(),
            properties: spec.properties.clone(),
            refresh_policy: refresh_policy(spec.refresh_policy),
            location: spec.location.clone(),
            origin: self.origin(named),
        });
    }

    fn properties(&mut self) {
        let kind = self.kind();
        for (key, value) in &self.manifest.spec.properties {
            let pointer = format!("/spec/properties/{}", key.replace('~', "~0").replace('/', "~1"));
            let origin = self.at(self.manifest.document.key_position(&pointer));
            let found = properties::table_property(key, value, kind);
            self.draft.findings.extend(found.into_iter().map(|found| found.at(&origin)));
        }
    }

    fn expectations(&mut self) -> Vec<Expectation> {
        let mut out = Vec::new();
        for (index, spec) in self.manifest.spec.expectations.iter().enumerate() {
            let pointer = format!("/spec/expectations/{index}/expr");
            let Some((expr, text)) = self.expression(&pointer, &spec.expr) else { continue };
            let quarantine_into = spec.quarantine_into.as_deref().map(|name| written_name(name).resolve(self.defaults));
            let origin = self.origin(&format!("/spec/expectations/{index}"));
            out.push(Expectation { name: spec.name.clone(), expr, text, action: spec.on_violation.into(), quarantine_into, origin });
        }
        out
    }

    fn columns(&mut self) -> Vec<Column> {
        let mut out = Vec::new();
        for (index, spec) in self.manifest.spec.columns.iter().enumerate() {
            let origin = self.origin(&format!("/spec/columns/{index}"));
            let generated = spec.generated_as.as_ref().and_then(|text| self.clause(&format!("/spec/columns/{index}/generatedAs"), text));
            out.push(Column {
                name: spec.name.clone(),
                data_type: spec.data_type.clone(),
                nullable: spec.nullable,
                comment: spec.comment.clone(),
                generated,
                origin,
            });
        }
        out
    }

    fn checks(&mut self) -> Vec<TableCheck> {
        let mut out = Vec::new();
        for (index, spec) in self.manifest.spec.constraints.iter().flat_map(|all| &all.checks).enumerate() {
            let Some(predicate) = self.clause(&format!("/spec/constraints/checks/{index}/expr"), &spec.expr) else { continue };
            let origin = predicate.origin.clone();
            out.push(TableCheck { name: spec.name.clone(), predicate, origin });
        }
        out
    }

    fn flows(&mut self) {
        let spec = &self.manifest.spec;
        if let Some(text) = &spec.query {
            let query = self.query("/spec/query", text);
            let kind = self.query_kind(false);
            self.flow("/spec/query", kind, query);
        }
        if let Some(cdc) = &spec.auto_cdc {
            self.auto_cdc_flow("/spec/autoCdc", cdc, cdc.once);
        }
        for (index, flow) in spec.flows.iter().enumerate() {
            let pointer = format!("/spec/flows/{index}");
            let before = self.draft.flows.len();
            if let Some(text) = &flow.query {
                let query = self.query(&format!("{pointer}/query"), text);
                let kind = self.query_kind(flow.once);
                self.flow(&pointer, kind, query);
            } else if let Some(cdc) = &flow.auto_cdc {
                self.auto_cdc_flow(&format!("{pointer}/autoCdc"), cdc, cdc.once || flow.once);
            }
            for made in &mut self.draft.flows[before..] {
                made.name.clone_from(&flow.name);
                made.comment.clone_from(&flow.comment);
                made.with_dataset = false;
            }
        }
    }

    fn query_kind(&self, once: bool) -> FlowKind {
        match self.kind() {
            DatasetKind::MaterializedView => FlowKind::Complete,
            DatasetKind::TemporaryView | DatasetKind::View => FlowKind::View,
            _ if once => FlowKind::Once,
            _ => FlowKind::Append,
        }
    }

    fn flow(&mut self, pointer: &str, kind: FlowKind, query: Option<Query>) {
        let Some(query) = query else { return };
        let origin = self.at(self.manifest.document.key_position(pointer));
        self.draft.flows.push(Flow {
            name: self.name.short(self.defaults),
            target: self.name.clone(),
            kind,
            query,
            comment: None,
            settings: BTreeMap::new(),
            with_dataset: true,
            origin,
        });
    }

    fn auto_cdc_flow(&mut self, pointer: &str, spec: &AutoCdcSpec, once: bool) {
        let query = self.source(&format!("{pointer}/source"), &spec.source, !once && !spec.snapshot);
        let place = |field: &str| format!("{pointer}/{field}");
        let mut clause = |field: &str, text: &Option<String>| self.clause(&place(field), text.as_ref()?);
        let sequence_by = clause("sequenceBy", &spec.sequence_by);
        let apply_as_delete_when = clause("applyAsDeleteWhen", &spec.apply_as_delete_when);
        let apply_as_truncate_when = clause("applyAsTruncateWhen", &spec.apply_as_truncate_when);
        let key = |key: ColumnName| ClauseExpr {
            expr: ast::Expr::Identifier(ast::Ident::with_quote('`', &key.name)),
            text: key.name,
            origin: key.origin,
        };
        let cdc = AutoCdc {
            keys: self.column_names(&place("keys"), &spec.keys).into_iter().map(key).collect(),
            sequence_by,
            apply_as_delete_when,
            apply_as_truncate_when,
            ignore_null_updates: spec.ignore_null_updates.as_ref().map(|spec| self.ignored_columns(&place("ignoreNullUpdates"), spec)),
            columns: self.selection((&place("columns"), &spec.columns), (&place("exceptColumns"), &spec.except_columns)),
            scd_type: u8::try_from(spec.stored_as_scd_type).unwrap_or(u8::MAX),
            track_history: self.selection(
                (&place("trackHistoryColumns"), &spec.track_history_columns),
                (&place("trackHistoryExceptColumns"), &spec.track_history_except_columns),
            ),
            snapshot: spec.snapshot,
            once,
        };
        self.flow(pointer, FlowKind::AutoCdc(Box::new(cdc)), query);
    }

    fn column_names(&self, pointer: &str, names: &[String]) -> Vec<ColumnName> {
        let name = |(index, name): (usize, &String)| ColumnName { name: name.clone(), origin: self.origin(&format!("{pointer}/{index}")) };
        names.iter().enumerate().map(name).collect()
    }

    fn selection(&self, only: (&str, &[String]), except: (&str, &[String])) -> Option<ColumnSelection> {
        if !only.1.is_empty() {
            Some(ColumnSelection::Only(self.column_names(only.0, only.1)))
        } else if !except.1.is_empty() {
            Some(ColumnSelection::Except(self.column_names(except.0, except.1)))
        } else {
            None
        }
    }

    /// `IGNORE NULL UPDATES` without a list means all columns.
    fn ignored_columns(&self, pointer: &str, spec: &ColumnsSpec) -> ColumnSelection {
        let (only, except) = (format!("{pointer}/columns"), format!("{pointer}/exceptColumns"));
        let selection = self.selection((&only, &spec.columns), (&except, &spec.except_columns));
        selection.unwrap_or(ColumnSelection::Except(Vec::new()))
    }

    fn query(&mut self, pointer: &str, text: &str) -> Option<Query> {
        let defaults = self.defaults;
        self.parse(pointer, text, |placed, lookup, findings| query_of(placed, Versions::Refused, defaults, lookup, findings))
    }

    fn clause(&mut self, pointer: &str, text: &str) -> Option<ClauseExpr> {
        let (expr, text) = self.expression(pointer, text)?;
        Some(ClauseExpr { expr, text, origin: self.origin(pointer) })
    }

    fn expression(&mut self, pointer: &str, text: &str) -> Option<(sqlparser::ast::Expr, String)> {
        self.parse(pointer, text, expression_of)
    }

    /// `SELECT * FROM` the source of Auto CDC.
    fn source(&mut self, pointer: &str, text: &str, streaming: bool) -> Option<Query> {
        let defaults = self.defaults;
        self.parse(pointer, text, |placed, lookup, findings| {
            let cursor = cursor_of(placed, Versions::Refused, lookup, findings)?;
            without_errors(cursor.select_all(0, cursor.len(), streaming, defaults), findings)
        })
    }

    /// Parses the text at `pointer`, with places in the file; what is wrong goes to the findings.
    fn parse<T>(
        &mut self,
        pointer: &str,
        text: &str,
        parser: impl FnOnce(&Placed<'_>, &dyn Fn(&str) -> Option<String>, &mut Vec<Diagnostic>) -> Option<T>,
    ) -> Option<T> {
        let source = self.manifest.document.text(pointer);
        let fallback = self.manifest.document.position(pointer);
        let locate = |line: u32, column: u32| {
            let position = source.as_ref().map_or(fallback, |source| source.position(line, column));
            (position.line, position.column)
        };
        let pieces = scan::pieces(text);
        let [piece] = pieces.as_slice() else {
            let message = format!("expected one query or expression, found {}", pieces.len());
            self.draft.findings.push(Diagnostic::error("PARSE_SYNTAX_ERROR", message).at(&self.origin(pointer)));
            return None;
        };
        let placed = Placed {
            file: Arc::clone(&self.file),
            text,
            range: piece.range.clone(),
            start: piece.start,
            comments: &piece.comments,
            locate: &locate,
        };
        let read = RefCell::new(BTreeSet::new());
        let lookup = |key: &str| {
            read.borrow_mut().insert(key.to_string());
            self.configuration.get(key).map(str::to_string)
        };
        let mut findings = Vec::new();
        let parsed = parser(&placed, &lookup, &mut findings);
        self.draft.configuration_keys.append(&mut read.take());
        self.draft.findings.extend(findings);
        parsed
    }
}

fn written_name(text: &str) -> WrittenName {
    let parts = text.split('.').map(|part| part.trim().trim_matches('`').to_string()).collect();
    WrittenName { parts, origin: Origin::new("", 1, 1), live: false }
}

fn refresh_policy(spec: Option<table::RefreshPolicy>) -> RefreshPolicy {
    match spec.unwrap_or_default() {
        table::RefreshPolicy::Auto => RefreshPolicy::Auto,
        table::RefreshPolicy::Incremental => RefreshPolicy::Incremental,
        table::RefreshPolicy::IncrementalStrict => RefreshPolicy::IncrementalStrict,
        table::RefreshPolicy::Full => RefreshPolicy::Full,
    }
}

#[cfg(test)]
mod tests;
