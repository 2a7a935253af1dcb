//! Queries of the specification, planned and compared by the names and types that they give.

mod bookstore;
mod clauses;
mod errors;
mod event_log;
mod gym;

use std::{collections::BTreeMap, sync::Arc};

use super::*;
use crate::{
    definition::{Configuration, Expectation, SourceFile, parse_expression, parse_query},
    name::{DatasetName, Namespace},
    relation::RelationKind,
};

/// Relations by lower-case name, as DDL text or as the plan of a view.
#[derive(Default)]
pub struct Known {
    tables: BTreeMap<String, String>,
    views: BTreeMap<String, AnalysedQuery>,
}

impl Relations for Known {
    fn relation(&self, reference: &RelationReference) -> Result<FoundRelation, Diagnostic> {
        let name = match &reference.kind {
            ReferenceKind::Name(parts) => parts.last().unwrap().to_lowercase(),
            ReferenceKind::EventLog => "event_log".to_string(),
            ReferenceKind::DeltaPath(path) => path.clone(),
            ReferenceKind::Files { path } => return Ok(FoundRelation::Leaf(files(path, reference))),
        };
        if let Some(view) = self.views.get(&name) {
            return Ok(FoundRelation::View { plan: view.plan.clone() });
        }
        let Some(text) = self.tables.get(&name) else {
            return Err(Diagnostic::error("TABLE_OR_VIEW_NOT_FOUND", format!("{} is not defined", reference.text())).at(&reference.origin));
        };
        let kind = RelationKind::Dataset { name: DatasetName::in_namespace(&reference.namespace, name) };
        Ok(FoundRelation::Leaf(source(kind, text, reference)))
    }
}

fn files(path: &str, reference: &RelationReference) -> RelationSource {
    let format = reference.options.get("format").cloned().unwrap_or_default();
    source(RelationKind::Files { path: path.to_string(), format }, &reference.options["schema"], reference)
}

fn source(kind: RelationKind, text: &str, reference: &RelationReference) -> RelationSource {
    let relation = Relation {
        kind,
        streaming: reference.streaming,
        options: reference.options.clone(),
        origin: Some(reference.origin.clone()),
        given: reference.given.clone(),
    };
    RelationSource { relation: Arc::new(relation), schema: Arc::new(ddl::parse_schema(text).unwrap()) }
}

impl Known {
    pub fn tables(tables: &[(&str, &str)]) -> Self {
        let tables = tables.iter().map(|(name, text)| (name.to_lowercase(), (*text).to_string())).collect();
        Self { tables, views: BTreeMap::new() }
    }

    pub fn analyse(&self, sql: &str) -> Result<AnalysedQuery, Vec<Diagnostic>> {
        analyse_query(&query(sql), self, &SqlSettings::default(), &parameters())
    }

    /// Plans the query, checks that the plan has the schema that is promised, and gives its DDL text.
    pub fn plan(&self, sql: &str) -> AnalysedQuery {
        let analysed = self.analyse(sql).unwrap_or_else(|errors| panic!("{sql}: {errors:#?}"));
        let planned: Vec<_> = analysed.plan.schema().fields().iter().map(|field| (field.name(), field.data_type())).collect();
        let promised: Vec<_> = analysed.schema.fields().iter().map(|field| (field.name(), field.data_type())).collect();
        assert_eq!(planned, promised, "{sql}");
        analysed
    }

    /// Plans a query and keeps its result as a table of that name.
    pub fn table(&mut self, name: &str, sql: &str) -> String {
        let text = ddl::schema_text(&self.plan(sql).schema);
        self.tables.insert(name.to_lowercase(), text.clone());
        text
    }

    pub fn view(&mut self, name: &str, sql: &str) -> String {
        let analysed = self.plan(sql);
        let text = ddl::schema_text(&analysed.schema);
        self.views.insert(name.to_lowercase(), analysed);
        text
    }

    pub fn schema(&self, sql: &str) -> String {
        ddl::schema_text(&self.plan(sql).schema)
    }

    pub fn plan_text(&self, sql: &str) -> String {
        self.plan(sql).plan.display_indent().to_string()
    }

    pub fn error(&self, sql: &str) -> Diagnostic {
        self.analyse(sql).unwrap_err().remove(0)
    }
}

pub fn namespace() -> Namespace {
    Namespace { catalog: "main".to_string(), schema: "default".to_string() }
}

pub fn query(sql: &str) -> Query {
    let file = SourceFile::new("q.sql", sql);
    parse_query(&file, &namespace(), &Configuration::default()).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

pub fn parameters() -> Parameters {
    let mut parameters = Parameters::default();
    parameters.set("p", "x' OR '1'='1", false);
    parameters.set("salt", "BEANS", true);
    parameters
}

pub fn expectation(output: &AnalysedQuery, text: &str) -> Result<crate::graph::ResolvedExpectation, Diagnostic> {
    let expectation = Expectation {
        name: "rule".to_string(),
        expr: parse_expression(text, "q.sql").unwrap(),
        text: text.to_string(),
        action: floe_crds::state::ExpectationAction::Warn,
        quarantine_into: None,
        origin: Origin::new("q.sql", 7, 3),
    };
    analyse_expectation(&expectation, "main.default.t", output, &SqlSettings::default(), &parameters())
}
