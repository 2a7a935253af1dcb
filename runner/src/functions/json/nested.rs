//! Columns of structs, arrays and maps. A struct absorbs misfits of its fields; an array or map with a misfit is one itself.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use datafusion::arrow::{
    array::{ArrayRef, ListArray, MapArray, NullBufferBuilder, StructArray},
    buffer::{OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, FieldRef, Fields},
    error::ArrowError,
};

use super::{
    DecoderError, Reading,
    column::{Bytes, Column, Fit},
    nullable_field,
    scan::{Malformed, Scanner, Text},
};

/// Keys of one object whose place is remembered for the next one.
const LEARNED_KEYS: usize = 1_024;

/// What a key of an object means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The column at this index.
    Column(usize),
    /// Nothing that anybody wants to know.
    Nothing,
    /// A field without a column; a new one unless it only spells the name of a column in another letter case.
    Unknown { is_new: bool },
}

/// Key of the n-th place in the object read before, and what it means.
#[derive(Debug)]
struct Learned {
    key: Vec<u8>,
    meaning: Meaning,
}

/// A struct and its fields.
#[derive(Debug)]
pub(super) struct StructColumn {
    fields: Fields,
    columns: Vec<Column>,
    by_name: HashMap<Vec<u8>, usize>,
    /// Names that are known without a column, in lower case.
    without_column: HashSet<Vec<u8>>,
    /// Objects of one source repeat their keys in one order, so the place of a key nearly always tells the field.
    learned: Vec<Learned>,
    nulls: NullBufferBuilder,
    length: usize,
    ignore_case: bool,
}

impl StructColumn {
    pub(super) fn new(fields: &Fields, path: &str, case_sensitive: bool) -> Result<Self, DecoderError> {
        let join = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        let columns = fields.iter().map(|field| Column::new(field.data_type(), &join(field.name()), case_sensitive));
        let key = |name: &str| if case_sensitive { name.to_string() } else { name.to_lowercase() }.into_bytes();
        Ok(Self {
            columns: columns.collect::<Result<_, _>>()?,
            by_name: fields.iter().enumerate().rev().map(|(index, field)| (key(field.name()), index)).collect(),
            fields: fields.iter().map(nullable_field).collect(),
            without_column: HashSet::new(),
            learned: Vec::new(),
            nulls: NullBufferBuilder::new(0),
            length: 0,
            ignore_case: !case_sensitive,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn append_null(&mut self) {
        self.columns.iter_mut().for_each(Column::append_null);
        self.nulls.append_null();
        self.length += 1;
    }

    /// Appends a struct whose fields are all NULL.
    pub(super) fn append_empty(&mut self) {
        self.columns.iter_mut().for_each(Column::append_null);
        self.nulls.append_non_null();
        self.length += 1;
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(length));
        self.nulls.truncate(length.min(self.length));
        self.length = self.length.min(length);
    }

    /// Column of the field at `index`, for a text that is no part of the record.
    pub(super) fn column_mut(&mut self, index: usize) -> Option<&mut Column> {
        self.columns.get_mut(index)
    }

    /// No value for this column comes from a key; these keys are known without a column.
    pub(super) fn leave_out(&mut self, column: Option<usize>, known: &[String]) {
        self.by_name.retain(|_, index| Some(*index) != column);
        let rescued = column.and_then(|index| self.fields.get(index)).map(|field| field.name());
        self.without_column = known.iter().chain(rescued).map(|name| name.to_lowercase().into_bytes()).collect();
    }

    fn look_up(&self, key: &[u8], surprises_wanted: bool) -> Meaning {
        let lower = || String::from_utf8_lossy(key).to_lowercase().into_bytes();
        let found = if self.ignore_case { self.by_name.get(&lower()) } else { self.by_name.get(key) };
        if let Some(index) = found {
            return Meaning::Column(*index);
        }
        if !surprises_wanted || self.without_column.contains(&lower()) {
            return Meaning::Nothing;
        }
        let is_spelling = |name: &Vec<u8>| String::from_utf8_lossy(name).to_lowercase().into_bytes() == lower();
        Meaning::Unknown { is_new: !self.by_name.keys().any(is_spelling) }
    }

    fn meaning_of(&mut self, key: &Text<'_>, place: usize, scanner: &Scanner<'_>, wanted: bool) -> Result<Meaning, Malformed> {
        if key.escaped {
            let mut unescaped = Vec::new();
            key.unescape_into(&mut unescaped).map_err(|reason| scanner.malformed(reason))?;
            return Ok(self.look_up(&unescaped, wanted));
        }
        if let Some(learned) = self.learned.get(place)
            && learned.key == key.raw
        {
            return Ok(learned.meaning);
        }
        let meaning = self.look_up(key.raw, wanted);
        if let Some(learned) = self.learned.get_mut(place) {
            learned.key.clear();
            learned.key.extend_from_slice(key.raw);
            learned.meaning = meaning;
        } else if place == self.learned.len() && place < LEARNED_KEYS {
            self.learned.push(Learned { key: key.raw.to_vec(), meaning });
        }
        Ok(meaning)
    }

    /// Reads one object. Of a key that comes twice the last value counts.
    pub(super) fn decode(&mut self, scanner: &mut Scanner<'_>, reading: &mut Reading<'_>) -> Result<Fit, Malformed> {
        scanner.expect(b'{', "expected an object")?;
        let row = self.length;
        let mark = reading.surprises.len();
        let mut filled = 0;
        let mut place = 0;
        let mut more = !scanner.take(b'}');
        while more {
            let key = scanner.string()?;
            let meaning = self.meaning_of(&key, place, scanner, reading.surprises_wanted)?;
            scanner.expect(b':', "expected a colon")?;
            match meaning {
                Meaning::Column(index) => {
                    if let Some(column) = self.columns.get_mut(index) {
                        filled += usize::from(decode_field(column, (row, mark), &key, scanner, reading)?);
                    }
                }
                Meaning::Nothing => {
                    scanner.skip()?;
                }
                Meaning::Unknown { is_new } => {
                    let value = scanner.skip()?;
                    reading.surprises.forget(mark, &key);
                    reading.surprises.unknown(&key, value, is_new);
                }
            }
            place += 1;
            more = scanner.take(b',');
            if !more {
                scanner.expect(b'}', "expected a comma or the end of the object")?;
            }
        }
        if filled < self.columns.len() {
            self.columns.iter_mut().filter(|column| column.len() == row).for_each(Column::append_null);
        }
        self.nulls.append_non_null();
        self.length += 1;
        Ok(Fit::Fits)
    }

    pub(super) fn finish_parts(&mut self) -> Result<(Fields, Vec<ArrayRef>, usize), ArrowError> {
        let arrays = self.columns.iter_mut().map(Column::finish).collect::<Result<_, _>>()?;
        let length = std::mem::take(&mut self.length);
        Ok((self.fields.clone(), arrays, length))
    }

    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls.finish();
        let (fields, arrays, length) = self.finish_parts()?;
        Ok(Arc::new(StructArray::try_new_with_length(fields, arrays, nulls, length)?))
    }

    /// Forgets the validity of the struct itself: a record batch has none.
    pub(super) fn discard_nulls(&mut self) {
        self.nulls = NullBufferBuilder::new(0);
    }
}

/// Reads the value of a field; true if the field had no value in this row yet. `row` is that of the object, `mark` where its surprises begin.
fn decode_field(
    column: &mut Column,
    (row, mark): (usize, usize),
    key: &Text<'_>,
    scanner: &mut Scanner<'_>,
    reading: &mut Reading<'_>,
) -> Result<bool, Malformed> {
    let first = column.len() == row;
    if !first {
        column.truncate(row);
        reading.surprises.forget(mark, key);
    }
    let before = reading.surprises.len();
    scanner.peek();
    let start = scanner.position();
    if column.decode(scanner, reading)? == Fit::Misfit {
        column.append_null();
        reading.misfits += 1;
        if reading.surprises_wanted {
            reading.surprises.whole(before, key, scanner.since(start));
        }
    } else if reading.surprises.len() > before {
        if matches!(column, Column::Struct(_)) {
            reading.surprises.below(before, key);
        } else {
            reading.surprises.whole(before, key, scanner.since(start));
        }
    }
    Ok(first)
}

/// An array and its items.
#[derive(Debug)]
pub(super) struct ListColumn {
    item: FieldRef,
    items: Column,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl ListColumn {
    pub(super) fn new(item: &FieldRef, path: &str, case_sensitive: bool) -> Result<Self, DecoderError> {
        let items = Column::new(item.data_type(), &format!("{path}.element"), case_sensitive)?;
        Ok(Self { item: nullable_field(item), items, offsets: vec![0], nulls: NullBufferBuilder::new(0) })
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn close(&mut self, valid: bool) {
        self.offsets.push(i32::try_from(self.items.len()).unwrap_or(i32::MAX));
        self.nulls.append(valid);
    }

    pub(super) fn append_null(&mut self) {
        self.close(false);
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.offsets.truncate(length + 1);
        self.items.truncate(self.offsets.last().copied().unwrap_or(0) as usize);
        self.nulls.truncate(length.min(self.nulls.len()));
    }

    pub(super) fn decode(&mut self, scanner: &mut Scanner<'_>, reading: &mut Reading<'_>) -> Result<Fit, Malformed> {
        scanner.expect(b'[', "expected an array")?;
        let start = self.items.len();
        let mut fit = Fit::Fits;
        let mut more = !scanner.take(b']');
        while more {
            if fit == Fit::Fits {
                fit = self.items.decode(scanner, reading)?;
            } else {
                scanner.skip()?;
            }
            more = scanner.take(b',');
            if !more {
                scanner.expect(b']', "expected a comma or the end of the array")?;
            }
        }
        if fit == Fit::Misfit {
            self.items.truncate(start);
        } else {
            self.close(true);
        }
        Ok(fit)
    }

    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.offsets, vec![0])));
        Ok(Arc::new(ListArray::try_new(Arc::clone(&self.item), offsets, self.items.finish()?, self.nulls.finish())?))
    }
}

/// A map with keys of text.
#[derive(Debug)]
pub(super) struct MapColumn {
    entries: FieldRef,
    fields: Fields,
    sorted: bool,
    keys: Bytes,
    values: Column,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl MapColumn {
    pub(super) fn new(entries: &FieldRef, sorted: bool, path: &str, case_sensitive: bool) -> Result<Self, DecoderError> {
        let DataType::Struct(fields) = entries.data_type() else {
            return Err(DecoderError::UnsupportedType { field: path.to_string(), data_type: entries.data_type().to_string() });
        };
        let (Some(key), Some(value), 2) = (fields.first(), fields.get(1), fields.len()) else {
            return Err(DecoderError::UnsupportedType { field: path.to_string(), data_type: entries.data_type().to_string() });
        };
        if *key.data_type() != DataType::Utf8 {
            let data_type = format!("MAP with keys of {}", key.data_type());
            return Err(DecoderError::UnsupportedType { field: path.to_string(), data_type });
        }
        let values = Column::new(value.data_type(), &format!("{path}.value"), case_sensitive)?;
        let fields = Fields::from(vec![Arc::clone(key), nullable_field(value)]);
        let entries = Arc::new(entries.as_ref().clone().with_data_type(DataType::Struct(fields.clone())));
        Ok(Self { entries, fields, sorted, keys: Bytes::new(), values, offsets: vec![0], nulls: NullBufferBuilder::new(0) })
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn close(&mut self, valid: bool) {
        self.offsets.push(i32::try_from(self.keys.len()).unwrap_or(i32::MAX));
        self.nulls.append(valid);
    }

    pub(super) fn append_null(&mut self) {
        self.close(false);
    }

    fn truncate_entries(&mut self, length: usize) {
        self.keys.truncate(length);
        self.values.truncate(length);
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.offsets.truncate(length + 1);
        self.truncate_entries(self.offsets.last().copied().unwrap_or(0) as usize);
        self.nulls.truncate(length.min(self.nulls.len()));
    }

    pub(super) fn decode(&mut self, scanner: &mut Scanner<'_>, reading: &mut Reading<'_>) -> Result<Fit, Malformed> {
        let start = self.keys.len();
        let begin = scanner.position();
        let mut fit = self.entries(scanner, reading, &|_, _| true)?;
        if fit == Fit::Fits && self.has_duplicates(start) {
            let end = scanner.position();
            fit = self.decode_last_ones(scanner, reading, (begin, start))?;
            scanner.rewind(end);
        }
        if fit == Fit::Misfit {
            self.truncate_entries(start);
        } else {
            self.close(true);
        }
        Ok(fit)
    }

    /// Reads an object; `wanted` sees the key and its place.
    fn entries(
        &mut self,
        scanner: &mut Scanner<'_>,
        reading: &mut Reading<'_>,
        wanted: &dyn Fn(&[u8], usize) -> bool,
    ) -> Result<Fit, Malformed> {
        scanner.expect(b'{', "expected an object")?;
        let mut fit = Fit::Fits;
        let mut place = 0;
        let mut more = !scanner.take(b'}');
        while more {
            let key = scanner.string()?;
            let count = self.keys.len();
            self.keys.push_text(&key, scanner)?;
            scanner.expect(b':', "expected a colon")?;
            let skipped = fit == Fit::Misfit || !wanted(self.keys.value(count), place);
            if skipped {
                self.keys.truncate(count);
                scanner.skip()?;
            } else {
                fit = self.values.decode(scanner, reading)?;
            }
            place += 1;
            more = scanner.take(b',');
            if !more {
                scanner.expect(b'}', "expected a comma or the end of the object")?;
            }
        }
        Ok(fit)
    }

    fn has_duplicates(&self, start: usize) -> bool {
        let mut keys: Vec<&[u8]> = (start..self.keys.len()).map(|index| self.keys.value(index)).collect();
        if keys.len() < 2 {
            return false;
        }
        keys.sort_unstable();
        keys.windows(2).any(|pair| pair.first() == pair.last())
    }

    /// Reads the object again and keeps only the last entry of each key. `from` is the place in the text and in the entries.
    fn decode_last_ones(&mut self, scanner: &mut Scanner<'_>, reading: &mut Reading<'_>, from: (usize, usize)) -> Result<Fit, Malformed> {
        let (begin, start) = from;
        let last: HashMap<Vec<u8>, usize> =
            (start..self.keys.len()).map(|index| (self.keys.value(index).to_vec(), index - start)).collect();
        self.truncate_entries(start);
        scanner.rewind(begin);
        self.entries(scanner, reading, &|key, place| last.get(key) == Some(&place))
    }

    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.offsets, vec![0])));
        let length = self.keys.len();
        let arrays = vec![self.keys.finish_text()?, self.values.finish()?];
        let entries = StructArray::try_new_with_length(self.fields.clone(), arrays, None, length)?;
        Ok(Arc::new(MapArray::try_new(Arc::clone(&self.entries), offsets, entries, self.nulls.finish(), self.sorted)?))
    }
}
