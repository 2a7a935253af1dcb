//! Whether two rows hold the same values, NULLs being equal: rows are encoded once, when the first comparison asks for it.

use std::cell::OnceCell;

use datafusion::{
    arrow::{
        array::ArrayRef,
        row::{Row, RowConverter, Rows, SortField},
    },
    error::Result,
};

use super::internal;

/// Some columns of two inputs whose rows are compared: those that come, and those that are there.
pub(super) struct Images {
    columns: [Vec<ArrayRef>; 2],
    encoded: OnceCell<[Rows; 2]>,
}

/// Which input a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    New = 0,
    Present = 1,
}

impl Images {
    /// The same columns of the new and of the present rows.
    pub(super) fn new(new: Vec<ArrayRef>, present: Vec<ArrayRef>) -> Self {
        Self { columns: [new, present], encoded: OnceCell::new() }
    }

    /// The encoded row: equal bytes are equal values.
    pub(super) fn row(&self, side: Side, row: usize) -> Result<Row<'_>> {
        if self.encoded.get().is_none() {
            let encoded = self.encode()?;
            // Nobody else can have set it since.
            let _ = self.encoded.set(encoded);
        }
        let [new, present] = self.encoded.get().ok_or_else(|| internal("rows were not encoded"))?;
        Ok(match side {
            Side::New => new.row(row),
            Side::Present => present.row(row),
        })
    }

    pub(super) fn are_equal(&self, a: (Side, usize), b: (Side, usize)) -> Result<bool> {
        // Without columns all rows are equal, and there is nothing to encode.
        if self.columns[0].is_empty() {
            return Ok(true);
        }
        Ok(self.row(a.0, a.1)? == self.row(b.0, b.1)?)
    }

    fn encode(&self) -> Result<[Rows; 2]> {
        let fields = self.columns[0].iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let [new, present] = &self.columns;
        Ok([converter.convert_columns(new)?, converter.convert_columns(present)?])
    }
}
