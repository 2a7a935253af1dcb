//! Where keys may be, as far as statistics tell: in which files of a table, in which row groups and pages of a file.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, UInt64Array},
        datatypes::{DataType, FieldRef, TimeUnit},
    },
    common::scalar::ScalarValue,
    error::Result as EngineResult,
    parquet::{
        arrow::arrow_reader::{RowSelection, RowSelector, statistics::StatisticsConverter},
        file::metadata::ParquetMetaData,
    },
};
use serde_json::Value;

use super::filter::{KeyFilter, Known};
use crate::commit::{action::Add, data_file::DataFile, partition};

/// Bounds of times in a log end at milliseconds, and not every writer rounds them up.
const MICROSECONDS_CUT: i64 = 999;

/// Per file of `files` whether it may hold a wanted key.
pub(super) fn files_with_keys(filter: &KeyFilter, files: &[&Add]) -> EngineResult<Vec<bool>> {
    let mut kept = vec![true; files.len()];
    if files.is_empty() {
        return Ok(kept);
    }
    let parse = |add: &&Add| add.stats.as_deref().and_then(|stats| serde_json::from_str(stats).ok()).unwrap_or(Value::Null);
    let stats: Vec<Value> = files.iter().map(parse).collect();
    for (index, field) in filter.fields().iter().enumerate() {
        let found: Vec<_> = files.iter().zip(&stats).map(|(add, stats)| of_file(add, stats, field)).collect();
        let low = ScalarValue::iter_to_array(found.iter().map(|(low, ..)| low.clone()))?;
        let high = ScalarValue::iter_to_array(found.iter().map(|(_, high, _)| high.clone()))?;
        let known: Vec<Known> = found.iter().map(|(.., known)| *known).collect();
        let verdicts = filter.may_match(index, &low, &high, &known)?;
        kept.iter_mut().zip(verdicts).for_each(|(kept, verdict)| *kept &= verdict);
    }
    Ok(kept)
}

fn of_file(add: &Add, stats: &Value, field: &FieldRef) -> (ScalarValue, ScalarValue, Known) {
    let rows = stats.get("numRecords").and_then(Value::as_u64);
    if let Some(text) = add.partition_values.get(field.name()) {
        let value = partition::scalar(text.as_deref(), field);
        let nulls = if value.is_null() { rows } else { Some(0) };
        return (value.clone(), value, Known { nulls, rows });
    }
    let bound = |which: &str, cut: i64| {
        let found = stats.get(which).and_then(|bounds| bounds.get(field.name())).and_then(|value| scalar(value, field.data_type(), cut));
        found.unwrap_or_else(|| ScalarValue::try_from(field.data_type()).unwrap_or(ScalarValue::Null))
    };
    let nulls = stats.get("nullCount").and_then(|counts| counts.get(field.name())).and_then(Value::as_u64);
    (bound("minValues", 0), bound("maxValues", MICROSECONDS_CUT), Known { nulls, rows })
}

/// A bound of the log as a value; `None` if it is not exact enough to be one.
fn scalar(value: &Value, data_type: &DataType, cut: i64) -> Option<ScalarValue> {
    let text = || value.as_str().map(|text| ScalarValue::Utf8(Some(text.to_owned())));
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            ScalarValue::Int64(Some(value.as_i64()?)).cast_to(data_type).ok()
        }
        DataType::Utf8View | DataType::Date32 => text()?.cast_to(data_type).ok(),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => match text()?.cast_to(data_type).ok()? {
            ScalarValue::TimestampMicrosecond(Some(time), _) => {
                Some(ScalarValue::TimestampMicrosecond(Some(time.checked_add(cut)?), zone.clone()))
            }
            _ => None,
        },
        DataType::Decimal128(precision, 0) => Some(ScalarValue::Decimal128(Some(value.as_i64()?.into()), *precision, 0)),
        _ => None,
    }
}

/// Row groups of a file that may hold a wanted key, each with its rows that may; `None`: all of them.
pub(super) fn groups_with_keys(filter: &KeyFilter, file: &DataFile) -> EngineResult<Vec<(usize, Option<RowSelection>)>> {
    let metadata = file.metadata();
    let count = metadata.num_row_groups();
    let mut kept = vec![true; count];
    let mut pages: Vec<Option<RowSelection>> = vec![None; count];
    for (index, field) in filter.fields().iter().enumerate() {
        let found = file.schema().fields().iter().find(|column| column.name() == field.name());
        let Some(found) = found.filter(|column| !column.data_type().is_nested()) else { continue };
        let descriptor = metadata.file_metadata().schema_descr();
        let converter = StatisticsConverter::try_new(found.name(), file.schema(), descriptor)?.with_missing_null_counts_as_zero(false);
        let groups = metadata.row_groups();
        let (low, high) = (converter.row_group_mins(groups)?, converter.row_group_maxes(groups)?);
        let rows: Vec<u64> = groups.iter().map(|group| group.num_rows() as u64).collect();
        let verdicts = filter.may_match(index, &low, &high, &known(&converter.row_group_null_counts(groups)?, &rows))?;
        for (group, verdict) in verdicts.into_iter().enumerate() {
            kept[group] &= verdict;
            if !kept[group] {
                continue;
            }
            let Some(selection) = pages_with_keys(filter, index, &converter, metadata, group)? else { continue };
            pages[group] = Some(match pages[group].take() {
                Some(other) => other.intersection(&selection),
                None => selection,
            });
        }
    }
    let chosen =
        pages.into_iter().enumerate().filter(|(group, pages)| kept[*group] && pages.as_ref().is_none_or(RowSelection::selects_any));
    Ok(chosen.collect())
}

/// Rows of the pages of one column that may hold a wanted key; `None` if all may, or if the file does not tell.
fn pages_with_keys(
    filter: &KeyFilter,
    index: usize,
    converter: &StatisticsConverter<'_>,
    metadata: &ParquetMetaData,
    group: usize,
) -> EngineResult<Option<RowSelection>> {
    let (Some(columns), Some(offsets), Some(leaf)) = (metadata.column_index(), metadata.offset_index(), converter.parquet_column_index())
    else {
        return Ok(None);
    };
    let has_pages = offsets.get(group).and_then(|group| group.get(leaf)).is_some_and(|pages| !pages.page_locations().is_empty());
    if !has_pages || columns.get(group).is_none_or(|group| group.len() <= leaf) {
        return Ok(None);
    }
    let groups = [group];
    let Some(rows) = converter.data_page_row_counts(offsets, metadata.row_groups(), &groups)? else { return Ok(None) };
    let rows: Vec<u64> = rows.values().to_vec();
    let low = converter.data_page_mins(columns, offsets, &groups)?;
    let high = converter.data_page_maxes(columns, offsets, &groups)?;
    let nulls = converter.data_page_null_counts(columns, offsets, &groups)?;
    if low.len() != rows.len() || nulls.len() != rows.len() {
        return Ok(None);
    }
    let verdicts = filter.may_match(index, &low, &high, &known(&nulls, &rows))?;
    if verdicts.iter().all(|verdict| *verdict) {
        return Ok(None);
    }
    let selector =
        |(verdict, rows): (bool, u64)| if verdict { RowSelector::select(rows as usize) } else { RowSelector::skip(rows as usize) };
    Ok(Some(verdicts.into_iter().zip(rows).map(selector).collect::<Vec<_>>().into()))
}

fn known(nulls: &UInt64Array, rows: &[u64]) -> Vec<Known> {
    let of = |(index, rows): (usize, &u64)| Known { nulls: nulls.is_valid(index).then(|| nulls.value(index)), rows: Some(*rows) };
    rows.iter().enumerate().map(of).collect()
}

/// True if the file gives key columns that are the same for all of its rows, and that key is not wanted.
pub(super) fn has_one_unwanted_key(filter: &KeyFilter, keys: &[ArrayRef]) -> EngineResult<bool> {
    Ok(!filter.matches(keys)?.value(0))
}
