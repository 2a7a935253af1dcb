//! Schemas of datasets: several flows into one table, declared columns, quarantine tables.

use std::{collections::HashMap, sync::Arc};

use datafusion_common::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::{
    analysis::ddl,
    definition::{Column, Dataset},
    graph::{RowRules, quarantine_field},
    origin::Diagnostic,
    type_widening,
};

/// The class of declared columns that do not fit what the queries give.
pub(super) const DECLARED_DIFFER: &str = "USER_SPECIFIED_AND_INFERRED_SCHEMA_NOT_COMPATIBLE";

/// The columns of a quarantine table: those of its dataset and `_quarantine`. None of them is NOT NULL: a violated rule may be just that.
pub fn quarantine_schema(output: &SchemaRef) -> SchemaRef {
    let nullable = output.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
    Arc::new(Schema::new(nullable.chain([Arc::new(quarantine_field())]).collect::<Vec<FieldRef>>()))
}

/// The output of one flow.
pub(super) struct Output<'a> {
    pub flow: &'a str,
    pub schema: &'a SchemaRef,
}

/// Columns by name over all flows in the order of their first appearance; types must agree, unless the dataset `widens`: then the wider counts.
pub(super) fn union(dataset: &Dataset, outputs: &[Output<'_>], widens: bool) -> Result<SchemaRef, Diagnostic> {
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut known: HashMap<String, (usize, &str)> = HashMap::new();
    for output in outputs {
        for field in output.schema.fields() {
            let key = field.name().to_lowercase();
            match known.get(&key) {
                None => {
                    known.insert(key, (fields.len(), output.flow));
                    fields.push(Arc::clone(field));
                }
                Some((at, first)) => match union_type(fields[*at].data_type(), field.data_type(), widens) {
                    Some(data_type) => fields[*at] = Arc::new(fields[*at].as_ref().clone().with_data_type(data_type)),
                    None => return Err(disagreement(dataset, field.name(), outputs, (first, output.flow))),
                },
            }
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The type that both flows can give without a change of values: equal types, or NULL and any other.
pub(super) fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    match (left, right) {
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (left, right) if same_type(left, right) => Some(left.clone()),
        _ => None,
    }
}

fn union_type(left: &DataType, right: &DataType, widens: bool) -> Option<DataType> {
    let both = || type_widening::wider(left, right).or_else(|| type_widening::wider(right, left));
    common_type(left, right).or_else(|| both().filter(|_| widens))
}

/// Equal but for whether nested values may be NULL and what nested fields are called in another letter case.
pub(crate) fn same_type(left: &DataType, right: &DataType) -> bool {
    let same = |left: &FieldRef, right: &FieldRef| same_type(left.data_type(), right.data_type());
    match (left, right) {
        (DataType::List(left), DataType::List(right)) | (DataType::Map(left, _), DataType::Map(right, _)) => same(left, right),
        (DataType::Struct(left), DataType::Struct(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| left.name().eq_ignore_ascii_case(right.name()) && same(left, right))
        }
        (left, right) => left == right,
    }
}

fn disagreement(dataset: &Dataset, column: &str, outputs: &[Output<'_>], (first, second): (&str, &str)) -> Diagnostic {
    let shown = |flow: &str| {
        let output = outputs.iter().find(|output| output.flow == flow);
        output.map(|output| format!("{flow} ({})", ddl::schema_text(output.schema))).unwrap_or_default()
    };
    let message = format!("flows of {} disagree on the type of column {column}: {} and {}", dataset.name.name, shown(first), shown(second));
    Diagnostic::error("UNABLE_TO_INFER_PIPELINE_TABLE_SCHEMA", message)
        .at(&dataset.origin)
        .about(dataset.name.to_string())
        .help("cast the column to one type in all flows, or give one of them another name")
}

/// The declared columns, checked against what the flows give: same names, same types where a type is declared.
pub(super) fn declared(dataset: &Dataset, columns: &[Column], inferred: &SchemaRef) -> Result<SchemaRef, Vec<Diagnostic>> {
    let by_name: HashMap<String, &FieldRef> = inferred.fields().iter().map(|field| (field.name().to_lowercase(), field)).collect();
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut errors = Vec::new();
    for column in columns {
        let given = by_name.get(&column.name.to_lowercase());
        let declared = match column.data_type.as_deref().map(ddl::parse_type).transpose() {
            Ok(declared) => declared,
            Err(error) => {
                errors.push(Diagnostic::error("PARSE_SYNTAX_ERROR", error.to_string()).at(&column.origin));
                continue;
            }
        };
        match (given, declared) {
            (None, Some(declared)) if column.generated.is_some() => fields.push(Arc::new(field(column, declared))),
            (None, None) if column.generated.is_some() => {
                let message = format!("generated column {} of {} has no type", column.name, dataset.name.name);
                let error = Diagnostic::error("DELTA_GENERATED_COLUMN_WITHOUT_TYPE", message).at(&column.origin);
                errors.push(error.about(dataset.name.to_string()).help("write its type behind its name"));
            }
            (None, _) => {
                errors.push(not_compatible(dataset, inferred, &format!("its queries give no column {}", column.name)).at(&column.origin));
            }
            (Some(given), Some(declared)) if *given.data_type() != DataType::Null && !same_type(given.data_type(), &declared) => {
                let (declared, given) = (ddl::type_text(&declared), ddl::type_text(given.data_type()));
                let what = format!("column {} is declared as {declared}, but its queries give {given}", column.name);
                errors.push(not_compatible(dataset, inferred, &what).at(&column.origin));
            }
            (Some(given), declared) => fields.push(Arc::new(field(column, declared.unwrap_or_else(|| given.data_type().clone())))),
        }
    }
    let is_declared = |name: &str| columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    for extra in inferred.fields().iter().filter(|field| !is_declared(field.name())) {
        errors.push(not_compatible(dataset, inferred, &format!("its queries give column {}, which is not declared", extra.name())));
    }
    if errors.is_empty() { Ok(Arc::new(Schema::new(fields))) } else { Err(errors) }
}

/// The columns of a table that its queries give: all but those that only the table computes.
pub(super) fn given<'a>(schema: &SchemaRef, rules: &RowRules, outputs: &(impl Iterator<Item = &'a SchemaRef> + Clone)) -> SchemaRef {
    let has = |output: &SchemaRef, name: &str| output.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
    let is_given = |name: &str| outputs.clone().all(|output| has(output, name));
    let is_generated = |name: &str| rules.generated.iter().any(|generated| generated.name.eq_ignore_ascii_case(name));
    let fields = schema.fields().iter().filter(|field| !is_generated(field.name()) || is_given(field.name()));
    Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
}

fn field(column: &Column, data_type: DataType) -> Field {
    let field = Field::new(&column.name, data_type, column.nullable);
    match &column.comment {
        Some(comment) => field.with_metadata([("comment".to_string(), comment.clone())].into()),
        None => field,
    }
}

fn not_compatible(dataset: &Dataset, inferred: &SchemaRef, what: &str) -> Diagnostic {
    let columns = dataset.columns.iter().flatten();
    let declared: Vec<String> =
        columns.map(|column| format!("{} {}", column.name, column.data_type.as_deref().unwrap_or("(any)"))).collect();
    let message = format!("the declared columns of {} do not fit: {what}", dataset.name.name);
    Diagnostic::error(DECLARED_DIFFER, message).at(&dataset.origin).about(dataset.name.to_string()).help(format!(
        "declared: {}; given by the queries: {}",
        declared.join(", "),
        ddl::schema_text(inferred)
    ))
}
