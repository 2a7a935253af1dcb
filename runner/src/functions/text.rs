//! Functions on text. Positions count characters from 1.

use std::borrow::Cow;

use datafusion::arrow::{
    array::{Array, AsArray},
    datatypes::DataType,
};
use datafusion::common::Result;

use super::{
    call::{Answer, Call, Kernel},
    error::FunctionError,
};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("upper", |call| map(call, |text| text.to_uppercase().into())),
    ("lower", |call| map(call, |text| text.to_lowercase().into())),
    ("initcap", |call| map(call, |text| initcap(text).into())),
    ("trim", |call| trim(call, true, true)),
    ("ltrim", |call| trim(call, true, false)),
    ("rtrim", |call| trim(call, false, true)),
    ("length", length),
    ("octet_length", |call| {
        let bytes = call.bytes(0)?;
        call.ints(|row| Some(bytes.at(row)?.len() as i32))
    }),
    ("concat_ws", concat_ws),
    ("substring", substring),
    ("substring_index", substring_index),
    ("left", |call| {
        let (text, count) = (call.text(0)?, call.int(1)?);
        call.texts(|row| Some(slice(text.at(row)?, 0, i64::from(count.at(row)?))))
    }),
    ("right", |call| {
        let (text, count) = (call.text(0)?, call.int(1)?);
        call.texts(|row| {
            let (text, count) = (text.at(row)?, i64::from(count.at(row)?));
            let length = text.chars().count() as i64;
            Some(if count <= 0 { "" } else { slice(text, (length - count).max(0), length) })
        })
    }),
    ("lpad", |call| pad(call, true)),
    ("rpad", |call| pad(call, false)),
    ("repeat", |call| {
        let (text, count) = (call.text(0)?, call.int(1)?);
        call.try_texts(|row| match (text.at(row), count.at(row)) {
            (Some(text), Some(count)) => Ok(Some(text.repeat(affordable(text.len(), count)?))),
            _ => Ok(None),
        })
    }),
    ("space", |call| {
        let count = call.int(0)?;
        call.try_texts(|row| count.at(row).map(|count| Ok(" ".repeat(affordable(1, count)?))).transpose())
    }),
    ("replace", replace),
    ("translate", translate),
    ("instr", |call| {
        let (text, part) = (call.text(0)?, call.text(1)?);
        call.ints(|row| Some(position(text.at(row)?, part.at(row)?, 1)))
    }),
    ("locate", |call| {
        let (part, text) = (call.text(0)?, call.text(1)?);
        let start = if call.has(2) { Some(call.int(2)?) } else { None };
        call.ints(|row| {
            // As in Spark nothing is found from an unknown place on.
            let Some(start) = start.as_ref().map_or(Some(1), |start| start.at(row)) else { return Some(0) };
            Some(position(text.at(row)?, part.at(row)?, start))
        })
    }),
    ("contains", |call| compare(call, |all, part| part.is_empty() || memchr::memmem::find(all, part).is_some())),
    ("startswith", |call| compare(call, <[u8]>::starts_with)),
    ("endswith", |call| compare(call, <[u8]>::ends_with)),
    ("ascii", |call| {
        let text = call.text(0)?;
        call.ints(|row| Some(text.at(row)?.chars().next().map_or(0, |letter| letter as i32)))
    }),
    ("char", |call| {
        let code = call.long(0)?;
        call.texts(|row| {
            let code = code.at(row)?;
            Some(if code < 0 { String::new() } else { char::from((code % 256) as u8).to_string() })
        })
    }),
    ("split_part", split_part),
    ("levenshtein", |call| {
        let (left, right) = (call.text(0)?, call.text(1)?);
        let most = if call.has(2) { Some(call.int(2)?) } else { None };
        call.ints(|row| {
            let distance = strsim::generic_levenshtein(&chars(left.at(row)?), &chars(right.at(row)?)) as i32;
            let most = most.as_ref().map_or(Some(distance), |most| most.at(row))?;
            Some(if distance <= most { distance } else { -1 })
        })
    }),
];

fn chars(text: &str) -> Vec<char> {
    text.chars().collect()
}

fn map(call: &Call<'_>, change: impl for<'t> Fn(&'t str) -> Cow<'t, str>) -> Answer {
    let text = call.text(0)?;
    call.texts(|row| text.at(row).map(&change))
}

fn initcap(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut start = true;
    for letter in text.chars() {
        if start {
            result.extend(letter.to_uppercase());
        } else {
            result.extend(letter.to_lowercase());
        }
        start = letter == ' ';
    }
    result
}

fn trim(call: &Call<'_>, start: bool, end: bool) -> Answer {
    let text = call.text(0)?;
    let set = if call.has(1) { Some(call.text(1)?) } else { None };
    call.texts(|row| {
        let set = set.as_ref().map_or(Some(" "), |set| set.at(row))?;
        let mut rest = text.at(row)?;
        if start {
            rest = rest.trim_start_matches(|letter| set.contains(letter));
        }
        if end {
            rest = rest.trim_end_matches(|letter| set.contains(letter));
        }
        Some(rest)
    })
}

fn length(call: &Call<'_>) -> Answer {
    if call.data_type(0) == DataType::Binary {
        let bytes = call.bytes(0)?;
        return call.ints(|row| Some(bytes.at(row)?.len() as i32));
    }
    let text = call.text(0)?;
    call.ints(|row| text.at(row).map(|text| if text.is_ascii() { text.len() } else { text.chars().count() } as i32))
}

fn concat_ws(call: &Call<'_>) -> Answer {
    let separator = call.text(0)?;
    let parts = (1..call.args.len()).map(|index| call.array(index)).collect::<Result<Vec<_>>>()?;
    call.texts(|row| {
        let separator = separator.at(row)?;
        let mut result = String::new();
        let mut first = true;
        let mut push = |text: &str| {
            if !first {
                result.push_str(separator);
            }
            first = false;
            result.push_str(text);
        };
        for part in parts.iter().filter(|part| part.is_valid(row)) {
            match part.data_type() {
                DataType::List(_) => part.as_list::<i32>().value(row).as_string::<i32>().iter().flatten().for_each(&mut push),
                DataType::Utf8 => push(part.as_string::<i32>().value(row)),
                _ => {}
            }
        }
        Some(result)
    })
}

/// Characters from `start` (from 0) to `end`, both within the text or beyond.
fn slice(text: &str, start: i64, end: i64) -> &str {
    if end <= start {
        return "";
    }
    let (start, count) = (start.max(0) as usize, (end - start.max(0)).max(0) as usize);
    if text.is_ascii() {
        return text.get(start.min(text.len())..start.saturating_add(count).min(text.len())).unwrap_or_default();
    }
    let mut places = text.char_indices().map(|(place, _)| place).skip(start);
    let Some(from) = places.next() else { return "" };
    let to = if count == 0 { from } else { places.nth(count - 1).unwrap_or(text.len()) };
    text.get(from..to).unwrap_or_default()
}

/// First and last place (from 0, exclusive) of `substring(x, position, length)` for a value of `total` characters.
fn bounds(position: i32, length: Option<i32>, total: i64) -> (i64, i64) {
    let position = i64::from(position);
    let start = match position {
        0 => 0,
        position if position > 0 => position - 1,
        position => total + position,
    };
    let end = length.map_or(total, |length| start.saturating_add(i64::from(length.max(0))));
    (start, end.min(total))
}

fn substring(call: &Call<'_>) -> Answer {
    let position = call.int(1)?;
    let length = if call.has(2) { Some(call.int(2)?) } else { None };
    let wanted = |row: usize| Some((position.at(row)?, length.as_ref().map_or(Some(None), |length| length.at(row).map(Some))?));
    if call.data_type(0) == DataType::Binary {
        let bytes = call.bytes(0)?;
        return call.binaries(|row| {
            let (Some(value), Some((position, length))) = (bytes.at(row), wanted(row)) else { return Ok(None) };
            let (start, end) = bounds(position, length, value.len() as i64);
            Ok(Some(value.get(start.max(0) as usize..end.max(0) as usize).unwrap_or_default()))
        });
    }
    let text = call.text(0)?;
    call.texts(|row| {
        let (text, (position, length)) = (text.at(row)?, wanted(row)?);
        let total = if text.is_ascii() { text.len() } else { text.chars().count() } as i64;
        let (start, end) = bounds(position, length, total);
        Some(slice(text, start, end))
    })
}

fn substring_index(call: &Call<'_>) -> Answer {
    let (text, delimiter, count) = (call.text(0)?, call.text(1)?, call.int(2)?);
    call.texts(|row| {
        let (text, delimiter, count) = (text.at(row)?, delimiter.at(row)?, count.at(row)?);
        if delimiter.is_empty() || count == 0 {
            return Some("");
        }
        let nth = count.unsigned_abs() as usize - 1;
        Some(if count > 0 {
            text.match_indices(delimiter).nth(nth).and_then(|(place, _)| text.get(..place)).unwrap_or(text)
        } else {
            text.rmatch_indices(delimiter).nth(nth).and_then(|(place, _)| text.get(place + delimiter.len()..)).unwrap_or(text)
        })
    })
}

fn pad_bytes(call: &Call<'_>, left: bool) -> Answer {
    let (bytes, count, with) = (call.bytes(0)?, call.int(1)?, call.bytes(2)?);
    call.binaries(|row| {
        let (Some(bytes), Some(count), Some(with)) = (bytes.at(row), count.at(row), with.at(row)) else { return Ok(None) };
        let count = affordable(1, count)?;
        if bytes.len() >= count || with.is_empty() {
            return Ok(Some(bytes[..count.min(bytes.len())].to_vec()));
        }
        let padding: Vec<u8> = with.iter().copied().cycle().take(count - bytes.len()).collect();
        Ok(Some(if left { [&padding, bytes].concat() } else { [bytes, &padding].concat() }))
    })
}

fn pad(call: &Call<'_>, left: bool) -> Answer {
    if *call.returns == DataType::Binary {
        return pad_bytes(call, left);
    }
    let (text, count) = (call.text(0)?, call.int(1)?);
    let with = if call.has(2) { Some(call.text(2)?) } else { None };
    call.try_texts(|row| {
        let (Some(text), Some(count)) = (text.at(row), count.at(row)) else { return Ok(None) };
        let Some(with) = with.as_ref().map_or(Some(" "), |with| with.at(row)) else { return Ok(None) };
        let count = affordable(1, count)?;
        let length = text.chars().count();
        if length >= count || with.is_empty() {
            return Ok(Some(slice(text, 0, count as i64).to_string()));
        }
        let padding: String = with.chars().cycle().take(count - length).collect();
        Ok(Some(if left { padding + text } else { text.to_string() + &padding }))
    })
}

/// Longest text that a number asks for, in bytes (in characters for `lpad` and `rpad`). Such texts are not in the memory pool.
const MAX_TEXT: usize = 64 << 20;

/// `count` times `length` as a number of repetitions, if the text is not too long.
fn affordable(length: usize, count: i32) -> Result<usize> {
    let count = count.max(0) as usize;
    if length.saturating_mul(count) <= MAX_TEXT {
        return Ok(count);
    }
    let message = format!("a text of {length} bytes times {count} is too long; the most are {MAX_TEXT} bytes");
    Err(FunctionError::new("COLLECTION_SIZE_LIMIT_EXCEEDED", message).into())
}

fn replace(call: &Call<'_>) -> Answer {
    let (text, search) = (call.text(0)?, call.text(1)?);
    let with = if call.has(2) { Some(call.text(2)?) } else { None };
    call.texts(|row| {
        let (text, search) = (text.at(row)?, search.at(row)?);
        let with = with.as_ref().map_or(Some(""), |with| with.at(row))?;
        Some(if search.is_empty() { text.to_string() } else { text.replace(search, with) })
    })
}

fn translate(call: &Call<'_>) -> Answer {
    let (text, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
    call.texts(|row| {
        let (from, to) = (from.at(row)?, chars(to.at(row)?));
        let change = |letter: char| match from.chars().position(|known| known == letter) {
            Some(place) => to.get(place).copied(),
            None => Some(letter),
        };
        Some(text.at(row)?.chars().filter_map(change).collect::<String>())
    })
}

/// Place of `part` in `text` from character `start` on, 0 if it is not there.
fn position(text: &str, part: &str, start: i32) -> i32 {
    if start < 1 {
        return 0;
    }
    let total = text.chars().count() as i64;
    let from = i64::from(start) - 1;
    if from > total {
        return 0;
    }
    let rest = slice(text, from, total);
    rest.find(part).and_then(|place| rest.get(..place)).map_or(0, |before| before.chars().count() as i32 + start)
}

fn compare(call: &Call<'_>, test: impl Fn(&[u8], &[u8]) -> bool) -> Answer {
    let (all, part) = (call.bytes(0)?, call.bytes(1)?);
    call.booleans(|row| Some(test(all.at(row)?, part.at(row)?)))
}

fn split_part(call: &Call<'_>) -> Answer {
    let (text, delimiter, index) = (call.text(0)?, call.text(1)?, call.int(2)?);
    call.try_texts(|row| {
        let (Some(text), Some(delimiter), Some(index)) = (text.at(row), delimiter.at(row), index.at(row)) else { return Ok(None) };
        if index == 0 {
            return Err(
                FunctionError::new("INVALID_INDEX_OF_ZERO", "the index 0 of split_part is invalid: parts count from 1 or -1").into()
            );
        }
        let parts: Vec<&str> = if delimiter.is_empty() { vec![text] } else { text.split(delimiter).collect() };
        let place = if index > 0 { i64::from(index) - 1 } else { parts.len() as i64 + i64::from(index) };
        Ok(Some(usize::try_from(place).ok().and_then(|place| parts.get(place)).copied().unwrap_or_default()))
    })
}
