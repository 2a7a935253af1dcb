//! Regular expressions. A pattern that stays the same is compiled once.

use std::sync::Arc;

use datafusion::{
    arrow::array::{ListBuilder, StringBuilder},
    common::Result,
};
use regex::Regex;

use super::{
    call::{Answer, Arg, Call, Compiled, Kernel},
    error::FunctionError,
};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] = &[
    ("rlike", rlike),
    ("split", split),
    ("regexp_extract", regexp_extract),
    ("regexp_extract_all", regexp_extract_all),
    ("regexp_replace", regexp_replace),
    ("regexp_count", |call| {
        let (text, pattern) = (call.text(0)?, call.text(1)?);
        let mut compiled = Compiled::new();
        call.try_numbers::<datafusion::arrow::datatypes::Int32Type>(|row| {
            let (Some(text), Some(pattern)) = (text.at(row), pattern.at(row)) else { return Ok(None) };
            Ok(Some(compiled.get(pattern, |pattern| compile("regexp_count", pattern))?.find_iter(text).count() as i32))
        })
    }),
];

/// A regular expression, refused by Spark's class if it is none.
pub(super) fn compile(name: &str, pattern: &str) -> Result<Regex> {
    floe_graph::function::pattern::compile(name, pattern).map_err(|refusal| {
        let help = refusal.help.map_or_else(String::new, |help| format!("; {help}"));
        FunctionError::new(refusal.class, format!("{}{help}", refusal.message)).into()
    })
}

fn rlike(call: &Call<'_>) -> Answer {
    let (text, pattern) = (call.text(0)?, call.text(1)?);
    let mut compiled = Compiled::new();
    let mut values = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        values.push(match (text.at(row), pattern.at(row)) {
            (Some(text), Some(pattern)) => Some(compiled.get(pattern, |pattern| compile("rlike", pattern))?.is_match(text)),
            _ => None,
        });
    }
    Ok(Arc::new(datafusion::arrow::array::BooleanArray::from(values)))
}

/// Java's split drops an empty part before a match of no width at the start.
fn parts<'t>(text: &'t str, regex: &Regex, limit: i32) -> Vec<&'t str> {
    let mut found = Vec::new();
    let mut from = 0;
    for part in regex.find_iter(text) {
        if limit > 0 && found.len() + 1 == limit as usize {
            break;
        }
        if part.end() == 0 || (part.is_empty() && part.start() == text.len()) {
            continue;
        }
        found.push(text.get(from..part.start()).unwrap_or_default());
        from = part.end();
    }
    found.push(text.get(from..).unwrap_or_default());
    found
}

fn split(call: &Call<'_>) -> Answer {
    let (text, pattern) = (call.text(0)?, call.text(1)?);
    let limit = if call.has(2) { Some(call.int(2)?) } else { None };
    let mut compiled = Compiled::new();
    lists(call, |row, list| {
        let limit = limit.as_ref().map_or(Some(-1), |limit| limit.at(row));
        let (Some(text), Some(pattern), Some(limit)) = (text.at(row), pattern.at(row), limit) else { return Ok(false) };
        let regex = compiled.get(pattern, |pattern| compile("split", pattern))?;
        for part in parts(text, regex, limit) {
            list.values().append_value(part);
        }
        Ok(true)
    })
}

/// A list of texts per row; the closure appends the items and says whether the list is not NULL.
fn lists(call: &Call<'_>, mut fill: impl FnMut(usize, &mut ListBuilder<StringBuilder>) -> Result<bool>) -> Answer {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        let valid = fill(row, &mut builder)?;
        builder.append(valid);
    }
    Ok(Arc::new(builder.finish()))
}

fn group(call: &Call<'_>) -> Result<Option<Arg<super::cast::IntArray>>> {
    if call.has(2) { Ok(Some(call.int(2)?)) } else { Ok(None) }
}

fn check_group(call: &Call<'_>, regex: &Regex, group: i32) -> Result<usize> {
    let count = regex.captures_len() - 1;
    usize::try_from(group).ok().filter(|group| *group <= count).ok_or_else(|| {
        let message = format!("{} is asked for group {group}, but the pattern has {count}", call.name);
        FunctionError::new("INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX", message).into()
    })
}

fn regexp_extract(call: &Call<'_>) -> Answer {
    let (text, pattern, wanted) = (call.text(0)?, call.text(1)?, group(call)?);
    let mut compiled = Compiled::new();
    call.try_texts(|row| {
        let wanted = wanted.as_ref().map_or(Some(1), |wanted| wanted.at(row));
        let (Some(text), Some(pattern), Some(wanted)) = (text.at(row), pattern.at(row), wanted) else { return Ok(None) };
        let regex = compiled.get(pattern, |pattern| compile("regexp_extract", pattern))?;
        let wanted = check_group(call, regex, wanted)?;
        Ok(Some(regex.captures(text).and_then(|found| found.get(wanted)).map_or("", |found| found.as_str())))
    })
}

fn regexp_extract_all(call: &Call<'_>) -> Answer {
    let (text, pattern, wanted) = (call.text(0)?, call.text(1)?, group(call)?);
    let mut compiled = Compiled::new();
    lists(call, |row, list| {
        let wanted = wanted.as_ref().map_or(Some(1), |wanted| wanted.at(row));
        let (Some(text), Some(pattern), Some(wanted)) = (text.at(row), pattern.at(row), wanted) else { return Ok(false) };
        let regex = compiled.get(pattern, |pattern| compile("regexp_extract_all", pattern))?;
        // Without a match no group is asked for.
        if !regex.is_match(text) {
            return Ok(true);
        }
        let wanted = check_group(call, regex, wanted)?;
        for found in regex.captures_iter(text) {
            list.values().append_value(found.get(wanted).map_or("", |found| found.as_str()));
        }
        Ok(true)
    })
}

/// Java's `$1` as the regular expression engine here writes it, `${1}`; `\$` is a dollar.
fn replacement(java: &str) -> String {
    let mut result = String::new();
    let mut letters = java.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('$') => result.push_str("$$"),
                Some(other) => result.push(other),
                None => {}
            },
            '$' if letters.peek().is_some_and(char::is_ascii_digit) => {
                let mut digits = String::new();
                while let Some(digit) = letters.next_if(char::is_ascii_digit) {
                    digits.push(digit);
                }
                result.extend(["${", &digits, "}"]);
            }
            other => result.push(other),
        }
    }
    result
}

fn regexp_replace(call: &Call<'_>) -> Answer {
    let (text, pattern, with) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let start = if call.has(3) { Some(call.int(3)?) } else { None };
    let mut compiled = Compiled::new();
    let mut replacements = Compiled::new();
    call.try_texts(|row| {
        let start = start.as_ref().map_or(Some(1), |start| start.at(row));
        let (Some(text), Some(pattern), Some(with), Some(start)) = (text.at(row), pattern.at(row), with.at(row), start) else {
            return Ok(None);
        };
        let regex = compiled.get(pattern, |pattern| compile("regexp_replace", pattern))?;
        let with = replacements.get(with, |with| Ok(replacement(with)))?;
        let skipped = text.char_indices().nth((start.max(1) - 1) as usize).map_or(text.len(), |(place, _)| place);
        let (head, rest) = text.split_at(skipped);
        Ok(Some(format!("{head}{}", regex.replace_all(rest, with.as_str()))))
    })
}
