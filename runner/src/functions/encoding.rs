//! Encodings and digests.

use std::{borrow::Cow, fmt::Write, sync::Arc};

use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use datafusion::{
    arrow::{array::Array, datatypes::DataType},
    common::Result,
    config::ConfigOptions,
    logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF},
};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::{
    aggregate::unexpected,
    call::{Answer, Call, Kernel},
    error::FunctionError,
};

/// Base64 without padding, whatever the last bits are.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("base64", |call| {
        let bytes = call.bytes(0)?;
        call.texts(|row| bytes.at(row).map(|bytes| STANDARD.encode(bytes)))
    }),
    ("unbase64", unbase64),
    ("hex", hex),
    ("unhex", |call| {
        let text = call.text(0)?;
        call.binaries(|row| Ok(text.at(row).and_then(unhex)))
    }),
    ("encode", encode),
    ("decode", decode),
    ("md5", |call| delegate(call, &datafusion::functions::crypto::md5())),
    ("sha1", |call| delegate(call, &datafusion_spark::function::hash::sha1())),
    ("sha2", sha2),
    ("crc32", |call| delegate(call, &datafusion_spark::function::hash::crc32())),
    ("xxhash64", |call| delegate(call, &datafusion_spark::function::hash::xxhash64())),
    ("is_valid_utf8", |call| {
        let bytes = call.bytes(0)?;
        call.booleans(|row| bytes.at(row).map(|bytes| std::str::from_utf8(bytes).is_ok()))
    }),
    ("uuid", |call| call.texts(|_| Some(uuid::Uuid::new_v4().to_string()))),
];

/// Runs a function of DataFusion that has the same semantics.
pub(super) fn delegate(call: &Call<'_>, function: &ScalarUDF) -> Answer {
    let fields: Vec<_> =
        call.args.iter().map(|arg| Arc::new(datafusion::arrow::datatypes::Field::new("", arg.data_type(), true))).collect();
    let literals: Vec<_> = call
        .args
        .iter()
        .map(|arg| match arg {
            ColumnarValue::Scalar(scalar) => Some(scalar),
            ColumnarValue::Array(_) => None,
        })
        .collect();
    let return_field = function.return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &literals })?;
    let args = ScalarFunctionArgs {
        args: call.args.to_vec(),
        arg_fields: fields,
        number_rows: call.rows,
        return_field,
        config_options: Arc::new(ConfigOptions::default()),
    };
    function.invoke_with_args(args)?.cast_to(call.returns, None)?.into_array(call.rows)
}

fn lower_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unbase64(call: &Call<'_>) -> Answer {
    let text = call.text(0)?;
    call.binaries(|row| {
        let Some(text) = text.at(row) else { return Ok(None) };
        // What is not of the alphabet is skipped, line breaks above all; the padding may be missing.
        let digits = text.bytes().take_while(|byte| *byte != b'=').filter(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte));
        match LENIENT.decode(digits.collect::<Vec<u8>>()) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(_) if call.settings.ansi => {
                Err(FunctionError::new("CONVERSION_INVALID_INPUT", format!("the text '{text}' is no base64")).into())
            }
            Err(_) => Ok(None),
        }
    })
}

fn hex(call: &Call<'_>) -> Answer {
    match call.data_type(0) {
        DataType::Utf8 | DataType::Binary | DataType::Null => {
            let bytes = call.bytes(0)?;
            call.texts(|row| bytes.at(row).map(|bytes| lower_hex(bytes).to_uppercase()))
        }
        _ => {
            let number = call.long(0)?;
            call.texts(|row| number.at(row).map(|number| format!("{number:X}")))
        }
    }
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let padded: Cow<'_, str> = if text.len() % 2 == 1 { format!("0{text}").into() } else { text.into() };
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    padded.as_bytes().chunks(2).map(|pair| Some(digit(pair.first()?)? * 16 + digit(pair.get(1)?)?)).collect()
}

fn charset(call: &Call<'_>, name: &str) -> Result<String> {
    let upper = name.to_ascii_uppercase();
    match upper.as_str() {
        "UTF-8" | "US-ASCII" | "ISO-8859-1" | "UTF-16BE" | "UTF-16LE" => Ok(upper),
        _ => {
            let known = "UTF-8, US-ASCII, ISO-8859-1, UTF-16BE and UTF-16LE";
            let message = format!("{} does not know the character set '{name}'; known are {known}", call.name);
            Err(FunctionError::new("INVALID_PARAMETER_VALUE.CHARSET", message).into())
        }
    }
}

fn encode(call: &Call<'_>) -> Answer {
    let (text, set) = (call.text(0)?, call.text(1)?);
    call.binaries(|row| {
        let (Some(text), Some(set)) = (text.at(row), set.at(row)) else { return Ok(None) };
        let narrow = |most: u32| {
            let byte = |letter: char| u8::try_from(letter as u32).ok().filter(|byte| u32::from(*byte) <= most);
            text.chars()
                .map(byte)
                .collect::<Option<Vec<u8>>>()
                .ok_or_else(|| FunctionError::new("MALFORMED_CHARACTER_CODING", format!("{set} cannot write all characters of '{text}'")))
        };
        Ok(Some(match charset(call, set)?.as_str() {
            "US-ASCII" => narrow(127)?,
            "ISO-8859-1" => narrow(255)?,
            "UTF-16BE" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            "UTF-16LE" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            _ => text.as_bytes().to_vec(),
        }))
    })
}

fn decode(call: &Call<'_>) -> Answer {
    let (bytes, set) = (call.bytes(0)?, call.text(1)?);
    call.try_texts(|row| {
        let (Some(bytes), Some(set)) = (bytes.at(row), set.at(row)) else { return Ok(None) };
        let wide = |unit: fn([u8; 2]) -> u16| {
            let units: Vec<u16> = bytes.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(unit)).collect();
            String::from_utf16_lossy(&units)
        };
        Ok(Some(match charset(call, set)?.as_str() {
            "US-ASCII" => bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { char::REPLACEMENT_CHARACTER }).collect(),
            "ISO-8859-1" => bytes.iter().map(|byte| char::from(*byte)).collect(),
            "UTF-16BE" => wide(u16::from_be_bytes),
            "UTF-16LE" => wide(u16::from_le_bytes),
            _ => String::from_utf8_lossy(bytes).into_owned(),
        }))
    })
}

fn sha2(call: &Call<'_>) -> Answer {
    let (bytes, bits) = (call.bytes(0)?, call.int(1)?);
    call.texts(|row| {
        let bytes = bytes.at(row)?;
        Some(match bits.at(row)? {
            0 | 256 => lower_hex(&Sha256::digest(bytes)),
            224 => lower_hex(&Sha224::digest(bytes)),
            384 => lower_hex(&Sha384::digest(bytes)),
            512 => lower_hex(&Sha512::digest(bytes)),
            _ => return None,
        })
    })
}

/// The joined bytes or texts; arrays are joined by the functions on collections.
pub(super) fn concat_bytes(call: &Call<'_>) -> Answer {
    let parts = (0..call.args.len()).map(|index| call.bytes(index)).collect::<Result<Vec<_>>>()?;
    call.binaries(|row| Ok(parts.iter().map(|part| part.at(row)).collect::<Option<Vec<&[u8]>>>().map(|parts| parts.concat())))
}

pub(super) fn concat_texts(call: &Call<'_>) -> Answer {
    let texts = (0..call.args.len()).map(|index| call.text(index)).collect::<Result<Vec<_>>>()?;
    if *call.returns != DataType::Utf8 {
        return Err(unexpected(call.name));
    }
    let mut buffer = String::new();
    let mut builder = datafusion::arrow::array::StringBuilder::with_capacity(call.rows, call.rows * 16);
    for row in 0..call.rows {
        buffer.clear();
        let complete = texts.iter().all(|text| {
            text.at(row).is_some_and(|text| {
                buffer.push_str(text);
                true
            })
        });
        if complete { builder.append_value(&buffer) } else { builder.append_null() }
    }
    let array = builder.finish();
    debug_assert_eq!(array.len(), call.rows);
    Ok(Arc::new(array))
}
