//! Source order: the hidden column in which a streaming leaf numbers its rows, so that the order of files and rows survives whatever
//! executes the plan.

use std::sync::Arc;

use datafusion::arrow::{
    array::{ArrayRef, UInt64Array},
    datatypes::{Schema, SchemaRef},
};
use floe_graph::analysis::SOURCE_ORDER;

/// Bits of a number that count the rows of a file; those above count the files.
const ROW_BITS: u32 = 40;

/// What the numbers of file `file` begin with.
pub(super) const fn first_of_file(file: usize) -> u64 {
    (file as u64) << ROW_BITS
}

/// The numbers of `rows` rows that begin with `first`.
pub(super) fn numbers(first: u64, rows: usize) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(first..first + rows as u64))
}

/// True for the hidden column.
pub(super) fn is_order(name: &str) -> bool {
    name == SOURCE_ORDER
}

/// Where the hidden column stands in `schema`, and the schema without it.
pub(super) fn split(schema: &SchemaRef) -> (Option<usize>, SchemaRef) {
    let Some(at) = schema.fields().iter().position(|field| is_order(field.name())) else { return (None, Arc::clone(schema)) };
    let others = schema.fields().iter().enumerate().filter(|(index, _)| *index != at).map(|(_, field)| Arc::clone(field));
    (Some(at), Arc::new(Schema::new(others.collect::<Vec<_>>())))
}
