//! Text that is changed place by place, addresses, and texts that stop a query.

use base64::{Engine, engine::general_purpose::STANDARD};
use datafusion::{arrow::array::new_null_array, common::Result};

use super::{
    call::{Answer, Call, Compiled, Kernel},
    encoding::{delegate, unhex},
    error::FunctionError,
    pattern_text::compile,
};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("bit_length", |call| {
        let bytes = call.bytes(0)?;
        call.ints(|row| bytes.at(row).map(|bytes| bytes.len() as i32 * 8))
    }),
    ("find_in_set", |call| {
        let (part, set) = (call.text(0)?, call.text(1)?);
        call.ints(|row| {
            let (part, set) = (part.at(row)?, set.at(row)?);
            Some(if part.contains(',') { 0 } else { set.split(',').position(|item| item == part).map_or(0, |place| place as i32 + 1) })
        })
    }),
    ("overlay", overlay),
    ("elt", elt),
    ("mask", mask),
    ("soundex", |call| delegate(call, &datafusion_spark::function::string::soundex())),
    ("quote", |call| delegate(call, &datafusion_spark::function::string::quote())),
    ("url_encode", |call| {
        let text = call.text(0)?;
        call.texts(|row| text.at(row).map(|text| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()))
    }),
    ("url_decode", |call| url_decode(call, true)),
    ("try_url_decode", |call| url_decode(call, false)),
    ("to_binary", |call| to_binary(call, true)),
    ("try_to_binary", |call| to_binary(call, false)),
    ("regexp_instr", |call| {
        let (text, pattern) = (call.text(0)?, call.text(1)?);
        let mut compiled = Compiled::new();
        call.try_numbers::<datafusion::arrow::datatypes::Int32Type>(|row| {
            let (Some(text), Some(pattern)) = (text.at(row), pattern.at(row)) else { return Ok(None) };
            let found = compiled.get(pattern, |pattern| compile("regexp_instr", pattern))?.find(text);
            Ok(Some(found.and_then(|found| text.get(..found.start())).map_or(0, |before| before.chars().count() as i32 + 1)))
        })
    }),
    ("regexp_substr", |call| {
        let (text, pattern) = (call.text(0)?, call.text(1)?);
        let mut compiled = Compiled::new();
        call.try_texts(|row| {
            let (Some(text), Some(pattern)) = (text.at(row), pattern.at(row)) else { return Ok(None) };
            Ok(compiled.get(pattern, |pattern| compile("regexp_substr", pattern))?.find(text).map(|found| found.as_str()))
        })
    }),
    ("raise_error", |call| {
        let text = call.text(0)?;
        let message = (0..call.rows).find_map(|row| text.at(row)).unwrap_or("null");
        if call.rows == 0 { call.nulls() } else { Err(FunctionError::new("USER_RAISED_EXCEPTION", message).into()) }
    }),
    ("assert_true", |call| {
        let holds = call.boolean(0)?;
        let message = if call.has(1) { Some(call.text(1)?) } else { None };
        match (0..call.rows).find(|row| holds.at(*row) != Some(true)) {
            Some(row) => {
                let message = message.as_ref().and_then(|message| message.at(row)).unwrap_or("the condition of assert_true is not true");
                Err(FunctionError::new("USER_RAISED_EXCEPTION", message).into())
            }
            None => Ok(new_null_array(call.returns, call.rows)),
        }
    }),
];

fn overlay(call: &Call<'_>) -> Answer {
    let (text, with, position) = (call.text(0)?, call.text(1)?, call.int(2)?);
    let length = if call.has(3) { Some(call.int(3)?) } else { None };
    call.texts(|row| {
        let (text, with) = (text.at(row)?, with.at(row)?);
        let length = length.as_ref().map_or(Some(-1), |length| length.at(row))?;
        let replaced = if length < 0 { with.chars().count() } else { length as usize };
        let before = (position.at(row)?.max(1) - 1) as usize;
        let head: String = text.chars().take(before).collect();
        let tail: String = text.chars().skip(before + replaced).collect();
        Some(head + with + &tail)
    })
}

fn elt(call: &Call<'_>) -> Answer {
    let index = call.int(0)?;
    let texts = (1..call.args.len()).map(|index| call.text(index)).collect::<Result<Vec<_>>>()?;
    call.try_texts(|row| {
        let Some(index) = index.at(row) else { return Ok(None) };
        let chosen = usize::try_from(index).ok().filter(|index| *index > 0).and_then(|index| texts.get(index - 1));
        match chosen {
            Some(text) => Ok(text.at(row).map(str::to_string)),
            None if call.settings.ansi => {
                let message = format!("elt has no text {index}: {} are given", texts.len());
                Err(FunctionError::new("INVALID_ARRAY_INDEX", message).into())
            }
            None => Ok(None),
        }
    })
}

/// Letters and digits replaced by one letter per kind; a NULL keeps the kind as it is.
fn mask(call: &Call<'_>) -> Answer {
    let text = call.text(0)?;
    let with = (1..call.args.len()).map(|index| call.text(index)).collect::<Result<Vec<_>>>()?;
    let usual = [Some('X'), Some('x'), Some('n'), None];
    call.texts(|row| {
        let kind = |index: usize| match with.get(index) {
            Some(given) => given.at(row).and_then(|given| given.chars().next()),
            None => usual.get(index).copied().flatten(),
        };
        let [upper, lower, digit, other] = [kind(0), kind(1), kind(2), kind(3)];
        let masked = |letter: char| match letter {
            letter if letter.is_uppercase() => upper,
            letter if letter.is_lowercase() => lower,
            letter if letter.is_ascii_digit() => digit,
            _ => other,
        };
        text.at(row).map(|text| text.chars().map(|letter| masked(letter).unwrap_or(letter)).collect::<String>())
    })
}

/// The bytes behind `%xx` and `+`; nothing for a `%` without two digits.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut result = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        result.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                *unhex(std::str::from_utf8(&digits).ok()?)?.first()?
            }
            other => other,
        });
    }
    Some(result)
}

fn url_decode(call: &Call<'_>, strict: bool) -> Answer {
    let text = call.text(0)?;
    call.try_texts(|row| {
        let Some(text) = text.at(row) else { return Ok(None) };
        match unescaped(text) {
            Some(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            None if strict => Err(FunctionError::new("CANNOT_DECODE_URL", format!("'{text}' is no encoded address")).into()),
            None => Ok(None),
        }
    })
}

fn to_binary(call: &Call<'_>, strict: bool) -> Answer {
    let text = call.text(0)?;
    let form = if call.has(1) { Some(call.text(1)?) } else { None };
    call.binaries(|row| {
        let form = form.as_ref().map_or(Some("hex"), |form| form.at(row));
        let (Some(text), Some(form)) = (text.at(row), form) else { return Ok(None) };
        let bytes = match form.to_ascii_lowercase().as_str() {
            "hex" => unhex(text),
            "utf-8" | "utf8" => Some(text.as_bytes().to_vec()),
            "base64" => STANDARD.decode(text).ok(),
            _ => {
                let message = format!("to_binary knows hex, utf-8 and base64, not '{form}'");
                return Err(FunctionError::new("DATATYPE_MISMATCH.INVALID_ARG_VALUE", message).into());
            }
        };
        if bytes.is_none() && strict {
            return Err(FunctionError::new("CONVERSION_INVALID_INPUT", format!("the text '{text}' is no {form}")).into());
        }
        Ok(bytes)
    })
}
