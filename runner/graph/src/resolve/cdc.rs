//! The target of Auto CDC flows: what they must agree on, its columns, and the rows that its expectations see.

use std::sync::Arc;

use datafusion_common::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};

use super::{
    ResolveInput,
    schema::{self, Output, common_type, same_type},
};
use crate::{
    analysis::{AnalysedQuery, ddl},
    cdc::{CdcSource, ChoiceRule, ColumnChoice, END_AT, ResolvedAutoCdc, START_AT, has},
    definition::{Column, Dataset, Flow},
    graph::ResolvedExpectation,
    origin::Diagnostic,
    relation::RelationKind,
};

/// One flow of the target.
pub(super) struct Change<'a> {
    pub flow: &'a Flow,
    /// The source columns.
    pub source: AnalysedQuery,
    pub clauses: ResolvedAutoCdc,
}

/// The names in a directory of snapshots say of which type their sequence is. That of a table is the time of the commit.
pub(super) fn with_snapshot_type(
    clauses: ResolvedAutoCdc,
    source: &AnalysedQuery,
    input: &ResolveInput,
) -> Result<ResolvedAutoCdc, Vec<Diagnostic>> {
    let directory = source.leaves.iter().find(|leaf| matches!(leaf.kind, RelationKind::Files { .. }));
    let Some(directory) = directory.filter(|_| clauses.source == CdcSource::Snapshot) else { return Ok(clauses) };
    match input.observed.get(&directory.source_id()) {
        Some(Err(finding)) => Err(vec![finding.clone()]),
        Some(Ok(schema)) if !schema.fields().is_empty() => {
            Ok(ResolvedAutoCdc { sequence_type: schema.field(0).data_type().clone(), ..clauses })
        }
        _ => Ok(clauses),
    }
}

/// AUTOCDC_FLOWS_INCOMPATIBLE: the first by name says what the journal is made for.
pub(super) fn incompatible(dataset: &Dataset, flows: &[Change<'_>]) -> Vec<Diagnostic> {
    let Some((first, others)) = flows.split_first() else { return Vec::new() };
    if let Some(error) = alone(dataset, flows) {
        return vec![error];
    }
    let disagreement = |other: &Change<'_>| {
        let (option, one, two) = first_difference(first, other)?;
        let message =
            format!("flows {} and {} of {} disagree on {option}: {one} and {two}", first.flow.name, other.flow.name, dataset.name.name);
        let error = Diagnostic::error("AUTOCDC_FLOWS_INCOMPATIBLE", message).at(&other.flow.origin).about(dataset.name.to_string());
        Some(error.help("flows of one target share its journal: give them the same clauses, or each its own target"))
    };
    others.iter().filter_map(disagreement).collect()
}

/// A snapshot is all that there is: what it does not hold is deleted, also the rows of another flow.
fn alone(dataset: &Dataset, flows: &[Change<'_>]) -> Option<Diagnostic> {
    let whole = flows.iter().find(|flow| flow.clauses.source == CdcSource::Snapshot)?;
    let other = flows.iter().find(|flow| flow.flow.name != whole.flow.name)?;
    let (name, whole) = (&dataset.name.name, &whole.flow.name);
    let message = format!("flow {whole} of {name} reads snapshots of all rows, and flow {} writes there too", other.flow.name);
    let error = Diagnostic::error("AUTOCDC_FLOWS_INCOMPATIBLE", message).at(&other.flow.origin).about(dataset.name.to_string());
    Some(error.help("a snapshot deletes what it does not hold: give each flow its own target"))
}

/// The clause with its meaning in both flows.
fn first_difference(first: &Change<'_>, other: &Change<'_>) -> Option<(String, String, String)> {
    let (one, two) = (&first.clauses, &other.clauses);
    let differ = |option: &str, one: String, two: String| Some((option.to_string(), one, two));
    let names = |names: &[String]| format!("({})", names.join(", "));
    if one.scd.number() != two.scd.number() {
        return differ("STORED AS SCD TYPE", one.scd.number().to_string(), two.scd.number().to_string());
    }
    if !same_names(&one.keys, &two.keys) {
        return differ("KEYS", names(&one.keys), names(&two.keys));
    }
    if !same_type(&one.sequence_type, &two.sequence_type) {
        return differ("the type of SEQUENCE BY", ddl::type_text(&one.sequence_type), ddl::type_text(&two.sequence_type));
    }
    if !same_names(&one.columns, &two.columns) {
        return differ("COLUMNS", names(&one.columns), names(&two.columns));
    }
    for name in &one.columns {
        let (one, two) = (field(&first.source.schema, name)?, field(&other.source.schema, name)?);
        if common_type(one.data_type(), two.data_type()).is_none() {
            return differ(&format!("the type of column {name}"), ddl::type_text(one.data_type()), ddl::type_text(two.data_type()));
        }
    }
    if !same_choice(one.tracked(), two.tracked()) {
        return differ("TRACK HISTORY ON", choice_text(one.tracked()), choice_text(two.tracked()));
    }
    if !same_choice(one.ignore_null.as_ref(), two.ignore_null.as_ref()) {
        return differ("IGNORE NULL UPDATES", choice_text(one.ignore_null.as_ref()), choice_text(two.ignore_null.as_ref()));
    }
    None
}

fn same_names(one: &[String], two: &[String]) -> bool {
    one.len() == two.len() && one.iter().all(|name| has(two, name))
}

fn same_choice(one: Option<&ColumnChoice>, two: Option<&ColumnChoice>) -> bool {
    match (one, two) {
        (None, None) => true,
        (Some(one), Some(two)) => {
            let is_named = |choice: &ColumnChoice| choice.rule == ChoiceRule::Named;
            is_named(one) == is_named(two) && same_names(&one.columns, &two.columns)
        }
        _ => false,
    }
}

/// The clause as a user would write it.
pub(crate) fn choice_text(choice: Option<&ColumnChoice>) -> String {
    match choice {
        None => "not given".to_string(),
        Some(ColumnChoice { columns, rule: ChoiceRule::Named }) => format!("({})", columns.join(", ")),
        Some(ColumnChoice { rule: ChoiceRule::AllExcept(except), .. }) if except.is_empty() => "*".to_string(),
        Some(ColumnChoice { rule: ChoiceRule::AllExcept(except), .. }) => format!("* EXCEPT ({})", except.join(", ")),
    }
}

fn field<'a>(schema: &'a SchemaRef, name: &str) -> Option<&'a FieldRef> {
    schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name))
}

/// The stored columns: what the flows select, what type 2 adds, as declared. Flows are compatible.
pub(super) fn target_schema(dataset: &Dataset, flows: &[Change<'_>]) -> Result<SchemaRef, Vec<Diagnostic>> {
    let Some(first) = flows.first() else { return Ok(Arc::new(Schema::empty())) };
    let mut fields: Vec<Field> = Vec::new();
    for name in &first.clauses.columns {
        let mut given = flows.iter().filter_map(|flow| field(&flow.source.schema, name));
        let Some(own) = given.next() else { continue };
        let data_type = given.fold(own.data_type().clone(), |one, two| common_type(&one, two.data_type()).unwrap_or(one));
        fields.push(Field::new(own.name(), data_type, true));
    }
    fields.extend(first.clauses.history_fields());
    let inferred = Arc::new(Schema::new(fields));
    match &dataset.columns {
        None => Ok(inferred),
        Some(columns) => declared(dataset, columns, &inferred),
    }
}

/// AUTOCDC_TARGET_SCHEMA_MISMATCH: the declared columns, those of the history at the end.
fn declared(dataset: &Dataset, columns: &[Column], inferred: &SchemaRef) -> Result<SchemaRef, Vec<Diagnostic>> {
    const CLASS: &str = "AUTOCDC_TARGET_SCHEMA_MISMATCH";
    let own_class =
        |error: Diagnostic| if error.class == schema::DECLARED_DIFFER { Diagnostic { class: CLASS.to_string(), ..error } } else { error };
    let schema = schema::declared(dataset, columns, inferred).map_err(|errors| errors.into_iter().map(own_class).collect::<Vec<_>>())?;
    let is_history = |field: &&FieldRef| field.name().eq_ignore_ascii_case(START_AT) || field.name().eq_ignore_ascii_case(END_AT);
    if let Some(end) = columns.iter().find(|column| column.name.eq_ignore_ascii_case(END_AT) && !column.nullable) {
        let message = format!("{END_AT} of {} is declared NOT NULL, but it is NULL in rows that are current", dataset.name.name);
        return Err(vec![Diagnostic::error(CLASS, message).at(&end.origin).help("leave NOT NULL out")]);
    }
    let (history, mut fields): (Vec<FieldRef>, Vec<FieldRef>) = schema.fields().iter().cloned().partition(|field| is_history(&field));
    fields.extend(history);
    Ok(Arc::new(Schema::new(fields)))
}

/// The rows that expectations see: the columns of all sources.
pub(super) fn checked_schema(dataset: &Dataset, flows: &[Change<'_>]) -> Result<SchemaRef, Diagnostic> {
    match flows {
        [only] => Ok(Arc::clone(&only.source.schema)),
        // Columns that nothing stores or checks need not agree.
        [first, ..] if dataset.expectations.is_empty() => Ok(Arc::clone(&first.source.schema)),
        flows => {
            let outputs: Vec<Output<'_>> = flows.iter().map(|flow| Output { flow: &flow.flow.name, schema: &flow.source.schema }).collect();
            schema::union(dataset, &outputs, false)
        }
    }
}

/// An expectation reads a column that one of the sources lacks.
pub(super) fn unchecked(dataset: &Dataset, expectations: &[ResolvedExpectation], flows: &[Change<'_>]) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for (rule, definition) in expectations.iter().zip(&dataset.expectations) {
        for change in flows {
            let missing = rule.predicate.column_refs().into_iter().find(|column| field(&change.source.schema, &column.name).is_none());
            let Some(missing) = missing else { continue };
            let message =
                format!("expectation {} reads {}, which the source of flow {} does not have", rule.name, missing.name, change.flow.name);
            let error = Diagnostic::error("AUTOCDC_FLOWS_INCOMPATIBLE", message).at(&definition.origin).about(dataset.name.to_string());
            errors.push(error.help("expectations are checked on the rows of every source: add the column there"));
        }
    }
    errors
}

/// All sources with the letter case of the first.
pub(super) fn with_one_spelling(queries: &mut [AnalysedQuery]) -> datafusion_common::Result<()> {
    let Some((first, others)) = queries.split_first_mut() else { return Ok(()) };
    for query in others {
        let spelled = |name: &String| field(&first.schema, name).map_or_else(|| name.clone(), |known| known.name().clone());
        let names: Vec<String> = query.schema.fields().iter().map(|field| spelled(field.name())).collect();
        if names.iter().zip(query.schema.fields()).all(|(name, field)| name == field.name()) {
            continue;
        }
        query.plan = super::flow::with_column_names(query.plan.clone(), names.iter().map(String::as_str))?;
        let fields: Vec<Field> =
            query.schema.fields().iter().zip(&names).map(|(field, name)| field.as_ref().clone().with_name(name)).collect();
        query.schema = Arc::new(Schema::new(fields));
    }
    Ok(())
}
