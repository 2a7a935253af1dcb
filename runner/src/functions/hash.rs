//! `hash`: Murmur3 with 32 bits over values of any type, as Spark computes it.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray},
        datatypes::{
            DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
            TimestampMicrosecondType,
        },
    },
    common::Result,
};

use super::{aggregate::unexpected, call::Kernel, collection::ranges};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[("hash", |call| {
    let columns = (0..call.args.len()).map(|index| call.array(index)).collect::<Result<Vec<_>>>()?;
    let mut hashes = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let mut state = SEED;
        for column in &columns {
            state = hashed(column, row, state)?;
        }
        hashes.push(Some(state.cast_signed()));
    }
    call.ints(|row| hashes.get(row).copied().flatten())
})];

const SEED: u32 = 42;

/// Decimals of at most that many digits are hashed as BIGINT.
const LONG_DIGITS: u8 = 18;

fn mixed(word: u32) -> u32 {
    word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

fn taken_in(state: u32, word: u32) -> u32 {
    (state ^ mixed(word)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

fn finished(state: u32, length: u32) -> u32 {
    let mut hash = state ^ length;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

fn of_int(value: i32, seed: u32) -> u32 {
    finished(taken_in(seed, value.cast_unsigned()), 4)
}

fn of_long(value: i64, seed: u32) -> u32 {
    let bits = value.cast_unsigned();
    finished(taken_in(taken_in(seed, bits as u32), (bits >> 32) as u32), 8)
}

/// Words of four bytes; each byte that is left over counts as a word of its own, with its sign.
fn of_bytes(bytes: &[u8], seed: u32) -> u32 {
    let words = bytes.chunks_exact(4);
    let rest = words.remainder();
    let state = words.fold(seed, |state, word| taken_in(state, word.iter().rev().fold(0, |value, byte| (value << 8) | u32::from(*byte))));
    let state = rest.iter().fold(state, |state, byte| taken_in(state, i32::from(byte.cast_signed()).cast_unsigned()));
    finished(state, bytes.len() as u32)
}

/// The hash with the value of a row taken in; a NULL changes nothing.
fn hashed(array: &ArrayRef, row: usize, seed: u32) -> Result<u32> {
    if array.is_null(row) {
        return Ok(seed);
    }
    Ok(match array.data_type() {
        DataType::Null => seed,
        DataType::Boolean => of_int(i32::from(array.as_boolean().value(row)), seed),
        DataType::Int8 => of_int(array.as_primitive::<Int8Type>().value(row).into(), seed),
        DataType::Int16 => of_int(array.as_primitive::<Int16Type>().value(row).into(), seed),
        DataType::Int32 => of_int(array.as_primitive::<Int32Type>().value(row), seed),
        DataType::Int64 => of_long(array.as_primitive::<Int64Type>().value(row), seed),
        // -0.0 is 0.0.
        DataType::Float32 => of_int((array.as_primitive::<Float32Type>().value(row) + 0.0).to_bits().cast_signed(), seed),
        DataType::Float64 => of_long((array.as_primitive::<Float64Type>().value(row) + 0.0).to_bits().cast_signed(), seed),
        DataType::Date32 => of_int(array.as_primitive::<Date32Type>().value(row), seed),
        DataType::Timestamp(..) => of_long(array.as_primitive::<TimestampMicrosecondType>().value(row), seed),
        DataType::Decimal128(precision, _) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            if *precision <= LONG_DIGITS { of_long(value as i64, seed) } else { of_bytes(shortest(&value.to_be_bytes()), seed) }
        }
        DataType::Utf8 => of_bytes(array.as_string::<i32>().value(row).as_bytes(), seed),
        DataType::Binary => of_bytes(array.as_binary::<i32>().value(row), seed),
        DataType::List(_) => {
            let values = array.as_list::<i32>().values();
            let range = ranges(array)?(row).unwrap_or_default();
            range.into_iter().try_fold(seed, |state, item| hashed(values, item, state))?
        }
        DataType::Struct(_) => array.as_struct().columns().iter().try_fold(seed, |state, column| hashed(column, row, state))?,
        _ => return Err(unexpected("hash")),
    })
}

/// Bytes of a number, the highest first, without those that only repeat the sign.
fn shortest(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, second, ..] = rest {
        let repeats = (*first == 0 && *second < 0x80) || (*first == 0xff && *second >= 0x80);
        if !repeats {
            break;
        }
        rest = &rest[1..];
    }
    rest
}
