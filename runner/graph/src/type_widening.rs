//! Which types hold all values of another one: what a field may become when files give it a wider type. Pure.

use std::sync::Arc;

use datafusion_common::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};

use crate::{
    analysis::ddl,
    relation::{Relation, RelationKind},
};

/// What paths call the parts of a map.
pub const MAP_PARTS: [&str; 2] = ["key", "value"];

/// The most digits of a DECIMAL.
const MOST_DIGITS: i16 = 38;

/// A column, or a field within one, that has got a wider type. Types are Spark DDL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retyped {
    /// With dots between the fields.
    pub path: String,
    /// What it was.
    pub from: String,
    /// What it is now.
    pub to: String,
}

/// True if the files of the relation may make types wider.
pub fn is_wanted(relation: &Relation) -> bool {
    let mode = relation.options.get("schemaevolutionmode").map(String::as_str).unwrap_or_default().trim();
    let is_files = matches!(relation.kind, RelationKind::Files { .. });
    is_files && relation.streaming && mode.eq_ignore_ascii_case("addNewColumnsWithTypeWidening")
}

/// The smallest type without parts that holds all values of both, if it is not `known`.
pub fn wider(known: &DataType, newer: &DataType) -> Option<DataType> {
    use DataType::{Decimal128, Float32, Float64, Int8, Int16, Int32, Int64};
    match (known, newer) {
        (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) | (Float32, Float64) => Some(newer.clone()),
        (Decimal128(precision, scale), Decimal128(newer_precision, newer_scale)) => {
            let digits = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
            let whole = digits(*precision, *scale).max(digits(*newer_precision, *newer_scale));
            let fraction = (*scale).max(*newer_scale);
            let all = whole + i16::from(fraction);
            let precision = u8::try_from(all).ok().filter(|_| all <= MOST_DIGITS)?;
            Some(Decimal128(precision, fraction)).filter(|both| both != known)
        }
        _ => None,
    }
}

/// True if `wide` has every value of `narrow`, which may be the same type.
pub fn holds(wide: &DataType, narrow: &DataType) -> bool {
    wide == narrow || wider(narrow, wide).as_ref() == Some(wide)
}

/// The fields of `known`, each with the wider of its type and the one that `newer` gives it. Fields that only `newer` has are left out.
pub fn with_wider_types(known: &Schema, newer: &Schema) -> Schema {
    Schema::new(wider_fields(known.fields(), newer.fields()))
}

fn wider_fields(known: &Fields, newer: &Fields) -> Fields {
    let field = |field: &FieldRef| match newer.iter().find(|newer| newer.name().eq_ignore_ascii_case(field.name())) {
        None => Arc::clone(field),
        Some(newer) => retyped(field, newer),
    };
    known.iter().map(field).collect()
}

fn retyped(known: &Field, newer: &Field) -> FieldRef {
    let data_type = match (known.data_type(), newer.data_type()) {
        (DataType::Struct(known), DataType::Struct(newer)) => DataType::Struct(wider_fields(known, newer)),
        (DataType::List(known), DataType::List(newer)) => DataType::List(retyped(known, newer)),
        (DataType::Map(entries, sorted), DataType::Map(_, _)) => match (map_parts(known.data_type()), map_parts(newer.data_type())) {
            (Some(known), Some(newer)) => {
                let parts: Fields = known.into_iter().zip(newer).map(|(known, newer)| retyped(known, newer)).collect();
                DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(DataType::Struct(parts))), *sorted)
            }
            _ => known.data_type().clone(),
        },
        (known, newer) => wider(known, newer).unwrap_or_else(|| known.clone()),
    };
    Arc::new(known.clone().with_data_type(data_type))
}

/// Key and value of a map.
pub fn map_parts(map: &DataType) -> Option<[&FieldRef; 2]> {
    let DataType::Map(entries, _) = map else { return None };
    let DataType::Struct(parts) = entries.data_type() else { return None };
    let [key, value] = parts.as_ref() else { return None };
    Some([key, value])
}

/// The columns and fields that are in both with different types.
pub fn changes(before: &Schema, after: &Schema) -> Vec<Retyped> {
    let mut found = Vec::new();
    changed_fields(before.fields(), after.fields(), "", &mut found);
    found
}

fn changed_fields(before: &Fields, after: &Fields, path: &str, found: &mut Vec<Retyped>) {
    for field in before {
        if let Some(now) = after.iter().find(|now| now.name().eq_ignore_ascii_case(field.name())) {
            changed_type(field.data_type(), now.data_type(), format!("{path}{}", field.name()), found);
        }
    }
}

fn changed_type(before: &DataType, after: &DataType, path: String, found: &mut Vec<Retyped>) {
    match (before, after) {
        (DataType::Struct(before), DataType::Struct(after)) => changed_fields(before, after, &format!("{path}."), found),
        (DataType::List(before), DataType::List(after)) => {
            changed_type(before.data_type(), after.data_type(), format!("{path}.element"), found);
        }
        (DataType::Map(_, _), DataType::Map(_, _)) => {
            for ((before, after), name) in
                map_parts(before).into_iter().flatten().zip(map_parts(after).into_iter().flatten()).zip(MAP_PARTS)
            {
                changed_type(before.data_type(), after.data_type(), format!("{path}.{name}"), found);
            }
        }
        (before, after) if before == after => {}
        (before, after) => found.push(Retyped { path, from: ddl::type_text(before), to: ddl::type_text(after) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> DataType {
        ddl::parse_type(text).unwrap()
    }

    #[test]
    fn p60_only_types_that_hold_every_value_are_wider() {
        let found = |known, newer| wider(&of(known), &of(newer)).map(|found| ddl::type_text(&found));
        for (known, newer, both) in [
            ("TINYINT", "INT", "INT"),
            ("INT", "BIGINT", "BIGINT"),
            ("FLOAT", "DOUBLE", "DOUBLE"),
            ("DECIMAL(10,2)", "DECIMAL(12,2)", "DECIMAL(12,2)"),
            ("DECIMAL(10,2)", "DECIMAL(8,4)", "DECIMAL(12,4)"),
            ("DECIMAL(4,2)", "DECIMAL(38,2)", "DECIMAL(38,2)"),
        ] {
            assert_eq!(found(known, newer).as_deref(), Some(both), "{known} and {newer}");
            assert!(holds(&of(both), &of(known)) && holds(&of(both), &of(newer)) && !holds(&of(known), &of(both)));
        }
        for (known, newer) in [
            ("BIGINT", "INT"),
            ("BIGINT", "DOUBLE"),
            ("INT", "DOUBLE"),
            ("DOUBLE", "FLOAT"),
            ("INT", "DECIMAL(20,0)"),
            ("BIGINT", "STRING"),
            ("DATE", "TIMESTAMP"),
            ("DECIMAL(12,2)", "DECIMAL(10,2)"),
            ("DECIMAL(38,2)", "DECIMAL(10,4)"),
        ] {
            assert_eq!(found(known, newer), None, "{known} and {newer}");
        }
    }

    #[test]
    fn p60_fields_within_fields_become_wider_and_are_named() {
        let known = ddl::parse_schema("id INT, a STRUCT<x: INT, y: STRING>, l ARRAY<STRUCT<p: FLOAT>>, m MAP<STRING, INT>").unwrap();
        let newer =
            ddl::parse_schema("ID BIGINT, a STRUCT<X: BIGINT, y: INT, z: INT>, l ARRAY<STRUCT<p: DOUBLE>>, m MAP<STRING, BIGINT>").unwrap();
        let both = with_wider_types(&known, &newer);
        assert_eq!(ddl::schema_text(&both), "id BIGINT, a STRUCT<x: BIGINT, y: STRING>, l ARRAY<STRUCT<p: DOUBLE>>, m MAP<STRING, BIGINT>");
        let named: Vec<String> = changes(&known, &both).into_iter().map(|c| format!("{} {} {}", c.path, c.from, c.to)).collect();
        assert_eq!(named, ["id INT BIGINT", "a.x INT BIGINT", "l.element.p FLOAT DOUBLE", "m.value INT BIGINT"]);
        assert!(changes(&both, &both).is_empty());
    }
}
