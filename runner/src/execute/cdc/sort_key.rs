//! The key that events, versions and rows are sorted by: the encoded key, the encoded sequence, and what decides between equal ones, as one
//! text of bytes whose order is that of the values.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, BinaryArray, BinaryBuilder, UInt8Array, UInt32Array},
        datatypes::DataType,
        row::{RowConverter, Rows, SortField},
    },
    error::{DataFusionError, Result},
};

/// Encodes keys and sequences of one definition.
#[derive(Debug)]
pub struct SortKeys {
    keys: RowConverter,
    sequence: RowConverter,
}

/// Sort keys of some rows, and where in each the key and the sequence end.
#[derive(Clone, Debug)]
pub struct SortKeyColumns {
    /// The bytes to sort by.
    pub sort: BinaryArray,
    /// Length of the key.
    pub key_bytes: UInt32Array,
    /// Length of the sequence, which follows it.
    pub sequence_bytes: UInt32Array,
}

impl SortKeys {
    /// For keys of these types and a sequence of that type.
    pub fn new(keys: &[DataType], sequence: &DataType) -> Result<Self> {
        let field = |data_type: &DataType| SortField::new(data_type.clone());
        Ok(Self { keys: RowConverter::new(keys.iter().map(field).collect())?, sequence: RowConverter::new(vec![field(sequence)])? })
    }

    /// The encoded sequences.
    pub fn sequences(&self, sequence: &ArrayRef) -> Result<Rows> {
        Ok(self.sequence.convert_columns(std::slice::from_ref(sequence))?)
    }

    /// Events: of equal sequences deletes come after upserts, and then source order counts.
    pub fn of_events(&self, keys: &[ArrayRef], sequence: &ArrayRef, op: &UInt8Array, order: &[ArrayRef]) -> Result<SortKeyColumns> {
        let fields = order.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        // Rows without columns are no rows to the converter.
        let order = if order.is_empty() { None } else { Some(RowConverter::new(fields)?.convert_columns(order)?) };
        self.encode(keys, sequence, |row, into| {
            into.push(op.value(row));
            if let Some(order) = &order {
                into.extend_from_slice(order.row(row).data());
            }
        })
    }

    /// Versions of the journal: of equal sequences the one that was written last comes last.
    pub fn of_versions(&self, keys: &[ArrayRef], sequence: &ArrayRef, number: &[i64]) -> Result<SortKeyColumns> {
        self.encode(keys, sequence, |row, into| into.extend_from_slice(&number[row].to_be_bytes()))
    }

    /// Rows of a target with history, by their start; their end follows, and nothing if they are open.
    pub fn of_history(&self, keys: &[ArrayRef], start: &ArrayRef, end: &ArrayRef) -> Result<SortKeyColumns> {
        let ends = self.sequences(end)?;
        self.encode(keys, start, |row, into| {
            if end.is_valid(row) {
                into.extend_from_slice(ends.row(row).data());
            }
        })
    }

    /// Rows of a target without history: nothing but the key.
    pub fn of_rows(&self, keys: &[ArrayRef]) -> Result<SortKeyColumns> {
        let keys = self.keys.convert_columns(keys)?;
        let lengths = UInt32Array::from_iter_values(keys.lengths().map(|length| length as u32));
        let none = UInt32Array::from(vec![0; lengths.len()]);
        Ok(SortKeyColumns { sort: keys.try_into_binary()?, key_bytes: lengths, sequence_bytes: none })
    }

    fn encode(&self, keys: &[ArrayRef], sequence: &ArrayRef, rest: impl Fn(usize, &mut Vec<u8>)) -> Result<SortKeyColumns> {
        let keys = self.keys.convert_columns(keys)?;
        let sequences = self.sequences(sequence)?;
        let rows = keys.num_rows();
        if sequences.num_rows() != rows {
            return Err(DataFusionError::Internal("keys and sequences differ in number".to_string()));
        }
        let mut sort = BinaryBuilder::with_capacity(rows, keys.size() + sequences.size());
        let (mut key_bytes, mut sequence_bytes) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut buffer = Vec::new();
        for row in 0..rows {
            let (key, sequence) = (keys.row(row), sequences.row(row));
            buffer.clear();
            buffer.extend_from_slice(key.data());
            buffer.extend_from_slice(sequence.data());
            rest(row, &mut buffer);
            sort.append_value(&buffer);
            key_bytes.push(key.data().len() as u32);
            sequence_bytes.push(sequence.data().len() as u32);
        }
        Ok(SortKeyColumns { sort: sort.finish(), key_bytes: key_bytes.into(), sequence_bytes: sequence_bytes.into() })
    }
}
