//! The columns of formats that carry their schema, in types that a table can hold.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit},
    parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, basic::Type, schema::types::SchemaDescriptor},
};
use floe_graph::file_schema::joined;

use super::super::open::{ReadError, SourceFile};

/// The columns of a Parquet file; only its footer is read.
pub(super) fn parquet(file: &SourceFile<'_>) -> Result<Schema, ReadError> {
    if file.entry.size == 0 {
        return Ok(Schema::empty());
    }
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.chunks()?).map_err(|error| file.parquet_error(error))?;
    let old_times = old_timestamps(builder.parquet_schema());
    let column = |field: &FieldRef| {
        let data_type = match field.data_type() {
            // These are instants, whatever their type says.
            DataType::Timestamp(_, None) if old_times.contains(&field.name().as_str()) => instant(),
            other => storable(other),
        };
        Field::new(field.name(), data_type, true)
    };
    Ok(Schema::new(builder.schema().fields().iter().map(column).collect::<Vec<_>>()))
}

/// The columns of a file as a table holds them.
pub(super) fn stored(found: &Schema) -> Schema {
    let column = |field: &FieldRef| Field::new(field.name(), storable(field.data_type()), true);
    Schema::new(found.fields().iter().map(column).collect::<Vec<_>>())
}

/// Columns with the 96-bit timestamps of early writers.
fn old_timestamps(schema: &SchemaDescriptor) -> Vec<&str> {
    schema.columns().iter().filter(|column| column.physical_type() == Type::INT96).map(|column| column.name()).collect()
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The type in which a table holds values of `data_type`. What no table can hold becomes STRING.
pub(in super::super) fn storable(data_type: &DataType) -> DataType {
    let nested = |field: &FieldRef| Field::new(field.name(), storable(field.data_type()), true);
    match data_type {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32 => data_type.clone(),
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => instant(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) if *s >= 0 => DataType::Decimal128(*p, *s),
        DataType::Decimal256(p, s) if *p <= 38 && *s >= 0 => DataType::Decimal128(*p, *s),
        DataType::Dictionary(_, value) => storable(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(Arc::new(Field::new_list_field(storable(item.data_type()), true)))
        }
        DataType::Struct(fields) if !fields.is_empty() => DataType::Struct(fields.iter().map(nested).collect()),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                let key = Arc::new(Field::new("key", storable(pair[0].data_type()), false));
                let value = Arc::new(Field::new("value", storable(pair[1].data_type()), true));
                DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(vec![key, value].into()), false)), *sorted)
            }
            _ => DataType::Utf8,
        },
        _ => DataType::Utf8,
    }
}

/// The columns of both: numbers in the wider type, within structs only where no digit is lost; for all others the type of the first stays.
pub(super) fn merged(one: &Schema, other: &Schema) -> Schema {
    let fields: Vec<Field> = one
        .fields()
        .iter()
        .map(|field| {
            let newer = other.fields().iter().find(|newer| newer.name().eq_ignore_ascii_case(field.name()));
            let wider = newer.and_then(|newer| wider(field.data_type(), newer.data_type()));
            field.as_ref().clone().with_data_type(wider.unwrap_or_else(|| field.data_type().clone()))
        })
        .collect();
    joined(&Schema::new(fields), other, true).as_ref().clone()
}

fn wider(one: &DataType, other: &DataType) -> Option<DataType> {
    let rank = |data_type: &DataType| match data_type {
        DataType::Int8 => Some(1),
        DataType::Int16 => Some(2),
        DataType::Int32 => Some(3),
        DataType::Int64 => Some(4),
        DataType::Float32 => Some(5),
        DataType::Float64 => Some(6),
        _ => None,
    };
    let (first, second) = (rank(one)?, rank(other)?);
    let is_mixed = (first < 5) != (second < 5);
    Some(match (is_mixed, first < second) {
        (true, _) => DataType::Float64,
        (false, true) => other.clone(),
        (false, false) => one.clone(),
    })
}
