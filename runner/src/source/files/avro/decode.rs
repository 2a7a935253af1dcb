//! Rows of Avro as columns: one builder per type of the schema. A field that nobody needs is passed over.

use std::{io, sync::Arc};

use datafusion::arrow::{
    array::{
        ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder, Int32Builder,
        Int64Builder, ListArray, MapArray, NullArray, NullBufferBuilder, RecordBatch, RecordBatchOptions, StringBuilder, StructArray,
        TimestampMicrosecondBuilder,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, FieldRef, Fields, Schema},
    error::ArrowError,
};

use super::{
    container::{broken, read_long},
    schema::{Type, UnionShape, columns, members_of, union_shape},
};

/// What has been read of a row is taken off its front.
type Input<'a> = &'a [u8];

/// The rows of a file, needed fields alone.
pub(super) struct Rows {
    fields: Vec<Slot>,
    schema: Arc<Schema>,
    count: usize,
}

enum Slot {
    Kept(Column),
    Skipped(Type),
}

/// Values of one type.
enum Column {
    Null(usize),
    Boolean(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Bytes(BinaryBuilder),
    Fixed(usize, BinaryBuilder),
    Text(StringBuilder),
    Enum(Vec<String>, StringBuilder),
    Date(Date32Builder),
    Time(i64, TimestampMicrosecondBuilder),
    Decimal(Option<usize>, Decimal128Builder),
    List(Box<Items>),
    Map(Box<Items>),
    Record(Box<Record>),
    Union(Vec<Branch>, Box<Column>),
}

/// The values of lists, or of maps with their keys.
struct Items {
    keys: StringBuilder,
    values: Column,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
    data_type: DataType,
}

struct Record {
    fields: Vec<Column>,
    names: Fields,
    valid: NullBufferBuilder,
    rows: usize,
}

/// What a branch of a union is in its column.
#[derive(Clone, Copy)]
enum Branch {
    Null,
    Value,
    FloatOfDouble,
    Member(usize),
}

impl Rows {
    /// The columns of `fields` that `wanted` takes.
    pub(super) fn new(fields: &[(String, Type)], wanted: impl Fn(&str) -> bool) -> Self {
        let kept: Vec<_> = fields.iter().filter(|(name, _)| wanted(name)).cloned().collect();
        let slot = |(name, of): &(String, Type)| if wanted(name) { Slot::Kept(Column::new(of)) } else { Slot::Skipped(of.clone()) };
        Self { fields: fields.iter().map(slot).collect(), schema: Arc::new(Schema::new(columns(&kept))), count: 0 }
    }

    /// Rows since the last batch.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn read_row(&mut self, input: &mut Input<'_>) -> io::Result<()> {
        for field in &mut self.fields {
            match field {
                Slot::Kept(column) => column.read(input)?,
                Slot::Skipped(of) => skip(of, input)?,
            }
        }
        self.count += 1;
        Ok(())
    }

    /// The rows since the last batch.
    pub(super) fn batch(&mut self) -> Result<RecordBatch, ArrowError> {
        let kept = self.fields.iter_mut().filter_map(|field| match field {
            Slot::Kept(column) => Some(column.finish()),
            Slot::Skipped(_) => None,
        });
        let arrays = kept.collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.count)));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
    }
}

impl Column {
    fn new(of: &Type) -> Self {
        match of {
            Type::Null => Self::Null(0),
            Type::Boolean => Self::Boolean(BooleanBuilder::new()),
            Type::Int => Self::Int(Int32Builder::new()),
            Type::Long => Self::Long(Int64Builder::new()),
            Type::Float => Self::Float(Float32Builder::new()),
            Type::Double => Self::Double(Float64Builder::new()),
            Type::Bytes => Self::Bytes(BinaryBuilder::new()),
            Type::Fixed(size) => Self::Fixed(*size, BinaryBuilder::new()),
            Type::Text => Self::Text(StringBuilder::new()),
            Type::Enum(symbols) => Self::Enum(symbols.clone(), StringBuilder::new()),
            Type::Date => Self::Date(Date32Builder::new()),
            Type::Time { factor, .. } => Self::Time(*factor, TimestampMicrosecondBuilder::new().with_data_type(of.data_type())),
            Type::Decimal { fixed, .. } => Self::Decimal(*fixed, Decimal128Builder::new().with_data_type(of.data_type())),
            Type::List(item) => Self::List(Box::new(Items::new(item, of))),
            Type::Map(value) => Self::Map(Box::new(Items::new(value, of))),
            Type::Record(fields) => Self::Record(Box::new(Record::new(fields))),
            Type::Union(branches) => Self::of_union(branches),
        }
    }

    fn of_union(branches: &[Type]) -> Self {
        let shape = union_shape(branches);
        let mut members = 0..;
        let branch = |branch: &Type| match (branch, &shape) {
            (Type::Null, _) => Branch::Null,
            (Type::Float, UnionShape::Wider(Type::Double)) => Branch::FloatOfDouble,
            (_, UnionShape::Members(_)) => Branch::Member(members.next().unwrap_or_default()),
            _ => Branch::Value,
        };
        let branches = branches.iter().map(branch).collect();
        let inner = match &shape {
            UnionShape::Null => Self::Null(0),
            UnionShape::Single(only) | UnionShape::Wider(only) => Self::new(only),
            UnionShape::Members(types) => Self::Record(Box::new(Record::new(&members_of(types)))),
        };
        Self::Union(branches, Box::new(inner))
    }

    fn read(&mut self, input: &mut Input<'_>) -> io::Result<()> {
        match self {
            Self::Null(rows) => *rows += 1,
            Self::Boolean(values) => values.append_value(take::<1>(input)? != [0]),
            Self::Int(values) => values.append_value(read_int(input)?),
            Self::Long(values) => values.append_value(read_long(input)?),
            Self::Float(values) => values.append_value(f32::from_le_bytes(take(input)?)),
            Self::Double(values) => values.append_value(f64::from_le_bytes(take(input)?)),
            Self::Bytes(values) => values.append_value(bytes(input)?),
            Self::Fixed(size, values) => values.append_value(part(input, *size)?),
            Self::Text(values) => values.append_value(text(input)?),
            Self::Enum(symbols, values) => {
                let symbol = usize::try_from(read_long(input)?).ok().and_then(|index| symbols.get(index));
                values.append_value(symbol.ok_or_else(|| broken("an enum has no such symbol"))?);
            }
            Self::Date(values) => values.append_value(read_int(input)?),
            Self::Time(factor, values) => {
                values.append_value(read_long(input)?.checked_mul(*factor).ok_or_else(|| broken("a timestamp is out of range"))?);
            }
            Self::Decimal(size, values) => {
                let unscaled = match size {
                    Some(size) => part(input, *size)?,
                    None => bytes(input)?,
                };
                values.append_value(big_endian(unscaled)?);
            }
            Self::List(items) => items.read(false, input)?,
            Self::Map(items) => items.read(true, input)?,
            Self::Record(record) => record.read(input)?,
            Self::Union(branches, inner) => inner.read_branch(*branch_of(branches, input)?, input)?,
        }
        Ok(())
    }

    fn read_branch(&mut self, branch: Branch, input: &mut Input<'_>) -> io::Result<()> {
        match (branch, self) {
            (Branch::Null, inner) => inner.append_null(),
            (Branch::FloatOfDouble, Self::Double(values)) => values.append_value(f64::from(f32::from_le_bytes(take(input)?))),
            (Branch::Member(chosen), Self::Record(record)) => record.read_member(chosen, input)?,
            (_, inner) => inner.read(input)?,
        }
        Ok(())
    }

    fn append_null(&mut self) {
        match self {
            Self::Null(rows) => *rows += 1,
            Self::Boolean(values) => values.append_null(),
            Self::Int(values) => values.append_null(),
            Self::Long(values) => values.append_null(),
            Self::Float(values) => values.append_null(),
            Self::Double(values) => values.append_null(),
            Self::Bytes(values) | Self::Fixed(_, values) => values.append_null(),
            Self::Text(values) | Self::Enum(_, values) => values.append_null(),
            Self::Date(values) => values.append_null(),
            Self::Time(_, values) => values.append_null(),
            Self::Decimal(_, values) => values.append_null(),
            Self::List(items) | Self::Map(items) => items.append_null(),
            Self::Record(record) => record.append_null(),
            Self::Union(_, inner) => inner.append_null(),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Null(rows) => Arc::new(NullArray::new(std::mem::take(rows))),
            Self::Boolean(values) => Arc::new(values.finish()),
            Self::Int(values) => Arc::new(values.finish()),
            Self::Long(values) => Arc::new(values.finish()),
            Self::Float(values) => Arc::new(values.finish()),
            Self::Double(values) => Arc::new(values.finish()),
            Self::Bytes(values) | Self::Fixed(_, values) => Arc::new(values.finish()),
            Self::Text(values) | Self::Enum(_, values) => Arc::new(values.finish()),
            Self::Date(values) => Arc::new(values.finish()),
            Self::Time(_, values) => Arc::new(values.finish()),
            Self::Decimal(_, values) => Arc::new(values.finish()),
            Self::List(items) => items.finish_list()?,
            Self::Map(items) => items.finish_map()?,
            Self::Record(record) => record.finish()?,
            Self::Union(_, inner) => inner.finish()?,
        })
    }
}

impl Items {
    fn new(values: &Type, of: &Type) -> Self {
        Self {
            keys: StringBuilder::new(),
            values: Column::new(values),
            offsets: vec![0],
            valid: NullBufferBuilder::new(0),
            data_type: of.data_type(),
        }
    }

    fn read(&mut self, keyed: bool, input: &mut Input<'_>) -> io::Result<()> {
        let mut end = self.offsets.last().copied().unwrap_or_default();
        loop {
            let count = item_count(input)?;
            if count == 0 {
                break;
            }
            end = i32::try_from(count).ok().and_then(|count| end.checked_add(count)).ok_or_else(|| broken("a list has too many items"))?;
            for _ in 0..count {
                if keyed {
                    self.keys.append_value(text(input)?);
                }
                self.values.read(input)?;
            }
        }
        self.offsets.push(end);
        self.valid.append_non_null();
        Ok(())
    }

    fn append_null(&mut self) {
        self.offsets.push(self.offsets.last().copied().unwrap_or_default());
        self.valid.append_null();
    }

    fn taken(&mut self) -> Result<(OffsetBuffer<i32>, Option<NullBuffer>, ArrayRef), ArrowError> {
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        Ok((offsets, self.valid.finish(), self.values.finish()?))
    }

    fn finish_list(&mut self) -> Result<ArrayRef, ArrowError> {
        let (offsets, valid, values) = self.taken()?;
        let item: FieldRef = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        Ok(Arc::new(ListArray::try_new(item, offsets, values, valid)?))
    }

    fn finish_map(&mut self) -> Result<ArrayRef, ArrowError> {
        let (offsets, valid, values) = self.taken()?;
        let DataType::Map(entries, sorted) = &self.data_type else {
            return Err(ArrowError::SchemaError("a map has another type".to_owned()));
        };
        let DataType::Struct(pair) = entries.data_type() else {
            return Err(ArrowError::SchemaError("a map has no entries".to_owned()));
        };
        let pairs = StructArray::try_new(pair.clone(), vec![Arc::new(self.keys.finish()), values], None)?;
        Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, valid, *sorted)?))
    }
}

impl Record {
    fn new(fields: &[(String, Type)]) -> Self {
        let read = fields.iter().map(|(_, of)| Column::new(of)).collect();
        Self { fields: read, names: columns(fields), valid: NullBufferBuilder::new(0), rows: 0 }
    }

    fn read(&mut self, input: &mut Input<'_>) -> io::Result<()> {
        for field in &mut self.fields {
            field.read(input)?;
        }
        self.count(true);
        Ok(())
    }

    /// A record of which only one field has a value.
    fn read_member(&mut self, chosen: usize, input: &mut Input<'_>) -> io::Result<()> {
        for (number, field) in self.fields.iter_mut().enumerate() {
            if number == chosen {
                field.read(input)?;
            } else {
                field.append_null();
            }
        }
        self.count(true);
        Ok(())
    }

    fn append_null(&mut self) {
        self.fields.iter_mut().for_each(Column::append_null);
        self.count(false);
    }

    fn count(&mut self, is_valid: bool) {
        self.valid.append(is_valid);
        self.rows += 1;
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let fields = self.fields.iter_mut().map(Column::finish).collect::<Result<Vec<_>, _>>()?;
        let rows = std::mem::take(&mut self.rows);
        Ok(Arc::new(StructArray::try_new_with_length(self.names.clone(), fields, self.valid.finish(), rows)?))
    }
}

/// Passes over a value.
fn skip(of: &Type, input: &mut Input<'_>) -> io::Result<()> {
    match of {
        Type::Null => {}
        Type::Boolean => drop(take::<1>(input)?),
        Type::Int | Type::Long | Type::Enum(_) | Type::Date | Type::Time { .. } => drop(read_long(input)?),
        Type::Float => drop(take::<4>(input)?),
        Type::Double => drop(take::<8>(input)?),
        Type::Bytes | Type::Text | Type::Decimal { fixed: None, .. } => drop(bytes(input)?),
        Type::Fixed(size) | Type::Decimal { fixed: Some(size), .. } => drop(part(input, *size)?),
        Type::Record(fields) => fields.iter().try_for_each(|(_, of)| skip(of, input))?,
        Type::Union(branches) => skip(branch_of(branches, input)?, input)?,
        Type::List(value) | Type::Map(value) => loop {
            let count = item_count(input)?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                if matches!(of, Type::Map(_)) {
                    bytes(input)?;
                }
                skip(value, input)?;
            }
        },
    }
    Ok(())
}

fn branch_of<'a, T>(branches: &'a [T], input: &mut Input<'_>) -> io::Result<&'a T> {
    let index = usize::try_from(read_long(input)?).ok();
    index.and_then(|index| branches.get(index)).ok_or_else(|| broken("a union has no such branch"))
}

/// The number of items in the next block of a list or map; 0 ends it.
fn item_count(input: &mut Input<'_>) -> io::Result<u64> {
    let count = read_long(input)?;
    // A negative number says that the length of the block follows.
    if count < 0 {
        read_long(input)?;
    }
    Ok(count.unsigned_abs())
}

fn read_int(input: &mut Input<'_>) -> io::Result<i32> {
    i32::try_from(read_long(input)?).map_err(|_| broken("a number is out of range"))
}

fn part<'a>(input: &mut Input<'a>, length: usize) -> io::Result<&'a [u8]> {
    let (part, rest) = input.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
    *input = rest;
    Ok(part)
}

fn take<const N: usize>(input: &mut Input<'_>) -> io::Result<[u8; N]> {
    let (part, rest) = input.split_first_chunk::<N>().ok_or(io::ErrorKind::UnexpectedEof)?;
    *input = rest;
    Ok(*part)
}

fn bytes<'a>(input: &mut Input<'a>) -> io::Result<&'a [u8]> {
    let length = usize::try_from(read_long(input)?).map_err(|_| broken("a length is negative"))?;
    part(input, length)
}

fn text<'a>(input: &mut Input<'a>) -> io::Result<&'a str> {
    std::str::from_utf8(bytes(input)?).map_err(|_| broken("a text is not UTF-8"))
}

/// A number in two's complement.
fn big_endian(bytes: &[u8]) -> io::Result<i128> {
    let filler = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let (front, back) = bytes.split_at(bytes.len().saturating_sub(16));
    if front.iter().any(|byte| *byte != filler) {
        return Err(broken("a decimal has more digits than its type"));
    }
    let mut number = [filler; 16];
    number[16 - back.len()..].copy_from_slice(back);
    Ok(i128::from_be_bytes(number))
}
