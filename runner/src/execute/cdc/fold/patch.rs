//! IGNORE NULL UPDATES: a NULL in an upsert says nothing, and the value that was there stays.

use std::{ops::Range, sync::Arc};

use datafusion::{
    arrow::{
        array::BooleanArray,
        array::{Array, ArrayRef, AsArray, StructArray, UInt32Array},
        buffer::{BooleanBuffer, NullBuffer},
        compute::{nullif, take},
        datatypes::DataType,
    },
    error::Result,
};

/// What of a column keeps its value when an upsert says NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// Nothing: a NULL is a value.
    None,
    /// The column as a whole, or each field within a struct at any depth.
    All,
}

/// `column` over the versions of all keys with each silent leaf filled from the newest upsert before it that says something; a delete ends
/// what was said.
pub(super) fn filled(column: &ArrayRef, leaves: &Leaves, spans: &[Range<usize>], is_delete: &[bool]) -> Result<ArrayRef> {
    match leaves {
        Leaves::None => Ok(Arc::clone(column)),
        Leaves::All => fill(column, spans, is_delete),
    }
}

fn fill(column: &ArrayRef, spans: &[Range<usize>], is_delete: &[bool]) -> Result<ArrayRef> {
    if let DataType::Struct(fields) = column.data_type() {
        return fill_struct(column.as_struct(), fields.len(), spans, is_delete);
    }
    let mut authors: Vec<Option<u32>> = vec![None; column.len()];
    for span in spans {
        let mut author = None;
        for at in span.clone() {
            if is_delete[at] {
                author = None;
            } else if column.is_valid(at) {
                author = Some(at as u32);
            }
            authors[at] = author;
        }
    }
    Ok(take(column, &UInt32Array::from(authors), None)?)
}

/// An absent struct says nothing about its fields, and there is one as soon as one of its fields was said.
fn fill_struct(column: &StructArray, fields: usize, spans: &[Range<usize>], is_delete: &[bool]) -> Result<ArrayRef> {
    let absent = column.nulls().map(|nulls| BooleanArray::new(!nulls.inner(), None));
    let mut children = Vec::with_capacity(fields);
    for child in column.columns() {
        let said = match &absent {
            Some(absent) => nullif(child, absent)?,
            None => Arc::clone(child),
        };
        children.push(fill(&said, spans, is_delete)?);
    }
    let is_there = |row: usize| children.iter().any(|child| child.is_valid(row));
    let nulls = NullBuffer::new((0..column.len()).map(is_there).collect::<BooleanBuffer>());
    let DataType::Struct(fields) = column.data_type() else { return Ok(Arc::new(column.clone())) };
    Ok(Arc::new(StructArray::try_new(fields.clone(), children, Some(nulls))?))
}
