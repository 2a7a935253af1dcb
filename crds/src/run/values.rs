//! Task values: what a task says to later ones, how a file becomes one, and how large they may be.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{state::TerminationCode, text::cut};

/// Largest value, as compact JSON.
pub const MAX_VALUE_BYTES: usize = 48 * 1024;
/// All values of an attempt together.
pub const MAX_ATTEMPT_BYTES: usize = 256 * 1024;
/// Values of an attempt.
pub const MAX_KEYS: usize = 100;
/// All values of a run together.
pub const MAX_RUN_BYTES: usize = 4 * 1024 * 1024;
/// No file that is longer need be read: what is behind this is refused, whatever it says.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;
/// Longest key.
const MAX_KEY_CHARS: usize = 100;

/// Why the values of an attempt are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The name of a value is not allowed.
    #[error("value '{0}' has a name that is not allowed: letters, digits, _ and - are, at most {MAX_KEY_CHARS} of them")]
    Key(String),
    /// One is too large.
    #[error(
        "value {key} has {bytes} bytes, at most {MAX_VALUE_BYTES} are allowed: put the data into a table or file and hand over its name"
    )]
    Value {
        /// Its name.
        key: String,
        /// Its size.
        bytes: usize,
    },
    /// An attempt says too much.
    #[error(
        "all values together have {bytes} bytes, at most {MAX_ATTEMPT_BYTES} are allowed; the largest is {largest} with {largest_bytes}"
    )]
    Attempt {
        /// Sum of the sizes.
        bytes: usize,
        /// Name of the largest value.
        largest: String,
        /// Its size.
        largest_bytes: usize,
    },
    /// An attempt has too many values.
    #[error("there are {0} values, at most {MAX_KEYS} are allowed: put several into one object")]
    Keys(usize),
    /// The tasks of a run say too much.
    #[error("all values of the run together have {bytes} bytes, at most {MAX_RUN_BYTES} are allowed; this attempt has {attempt_bytes}")]
    Run {
        /// Sum of the sizes.
        bytes: usize,
        /// Size of the values that came last.
        attempt_bytes: usize,
    },
}

impl ValueError {
    /// Why the attempt failed.
    pub const fn termination_code(&self) -> TerminationCode {
        match self {
            Self::Key(_) => TerminationCode::RunExecutionError,
            _ => TerminationCode::ValueTooLarge,
        }
    }
}

/// Whether `key` can name a value.
pub fn is_key(key: &str) -> bool {
    (1..=MAX_KEY_CHARS).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// The value that the text of a file means: JSON, or the text itself without one newline at its end.
///
/// A whole number that JSON libraries would round stays a text, so that no digit of it is lost.
pub fn parse(text: &str) -> Value {
    let as_text = || Value::String(text.strip_suffix('\n').unwrap_or(text).to_string());
    match serde_json::from_str(text) {
        Ok(Value::Number(number)) if number.is_f64() && !text.contains(['.', 'e', 'E']) => Value::String(text.trim().to_string()),
        Ok(value) => value,
        Err(_) => as_text(),
    }
}

/// The values of the files of an attempt, checked: name and text of each.
pub fn collect(files: impl IntoIterator<Item = (String, String)>) -> Result<BTreeMap<String, Value>, ValueError> {
    let values = files.into_iter().map(|(key, text)| (key, parse(&text))).collect();
    check_attempt(&values)?;
    Ok(values)
}

/// Size of a value as compact JSON.
pub fn size(value: &Value) -> usize {
    value.to_string().len()
}

/// Checks one value; its size.
pub fn check_value(key: &str, value: &Value) -> Result<usize, ValueError> {
    if !is_key(key) {
        return Err(ValueError::Key(cut(key, 200).to_string()));
    }
    match size(value) {
        bytes if bytes > MAX_VALUE_BYTES => Err(ValueError::Value { key: key.to_string(), bytes }),
        bytes => Ok(bytes),
    }
}

/// Checks the values of an attempt; the sum of their sizes.
pub fn check_attempt(values: &BTreeMap<String, Value>) -> Result<usize, ValueError> {
    if values.len() > MAX_KEYS {
        return Err(ValueError::Keys(values.len()));
    }
    let sizes = values.iter().map(|(key, value)| Ok((check_value(key, value)?, key))).collect::<Result<Vec<_>, _>>()?;
    let bytes = sizes.iter().map(|(size, _)| size).sum();
    match sizes.into_iter().max() {
        Some((largest_bytes, largest)) if bytes > MAX_ATTEMPT_BYTES => {
            Err(ValueError::Attempt { bytes, largest: largest.clone(), largest_bytes })
        }
        _ => Ok(bytes),
    }
}

/// Checks that a run whose other tasks hold `others_bytes` takes an attempt with `attempt_bytes`; the sum of both.
pub fn check_run(others_bytes: usize, attempt_bytes: usize) -> Result<usize, ValueError> {
    match others_bytes.saturating_add(attempt_bytes) {
        bytes if bytes > MAX_RUN_BYTES => Err(ValueError::Run { bytes, attempt_bytes }),
        bytes => Ok(bytes),
    }
}

/// How a value stands in a text: a string as it is, null as nothing, all else as compact JSON.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The field of `value` that a path of names leads to; the value itself without names.
pub fn field<'v>(value: &'v Value, names: &[&str]) -> Option<&'v Value> {
    names.iter().try_fold(value, |value, name| value.as_object()?.get(*name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{MAX_RUN_BYTES, MAX_VALUE_BYTES, ValueError, check_attempt, check_run, check_value, collect, field, is_key, parse, text};
    use crate::state::TerminationCode;

    #[test]
    fn j14_values_roundtrip() {
        let cases = [
            ("2\n", json!(2), "2"),
            ("-1.50", json!(-1.5), "-1.5"),
            ("\"a b\"\n", json!("a b"), "a b"),
            (" {\"b\": 1, \"a\": [true, null]}\n", json!({"b": 1, "a": [true, null]}), "{\"b\":1,\"a\":[true,null]}"),
            ("no JSON\n\n", json!("no JSON\n"), "no JSON\n"),
            ("no newline", json!("no newline"), "no newline"),
            ("null", json!(null), ""),
            ("true\n", json!(true), "true"),
            ("", json!(""), ""),
            ("\n", json!(""), ""),
            ("{broken", json!("{broken"), "{broken"),
            ("123456789012345678901234567890\n", json!("123456789012345678901234567890"), "123456789012345678901234567890"),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64), "18446744073709551615"),
            ("1 2", json!("1 2"), "1 2"),
        ];
        for (file, value, shown) in cases {
            assert_eq!((parse(file), text(&parse(file)).as_str()), (value, shown), "{file:?}");
        }
    }

    #[test]
    fn fields_are_reached_by_names_only() {
        let value = json!({"a": {"b.c": [1]}, "n": null});
        assert_eq!(field(&value, &[]), Some(&value));
        assert_eq!(field(&value, &["a", "b.c"]), Some(&json!([1])));
        assert_eq!(field(&value, &["n"]), Some(&Value::Null));
        assert_eq!((field(&value, &["a", "b.c", "0"]), field(&value, &["x"]), field(&json!("s"), &["length"])), (None, None, None));
    }

    #[test]
    fn keys_have_plain_names() {
        assert!(is_key("number_new-files9") && is_key(&"k".repeat(100)));
        assert!(!is_key("") && !is_key("a.b") && !is_key("ä") && !is_key(&"k".repeat(101)) && !is_key("../x"));
        let error = collect([("a b".to_string(), "1".to_string())]).unwrap_err();
        assert_eq!(
            (error.termination_code(), error.to_string().as_str()),
            (
                TerminationCode::RunExecutionError,
                "value 'a b' has a name that is not allowed: letters, digits, _ and - are, at most 100 of them"
            )
        );
    }

    #[test]
    fn too_large_values_are_named_with_their_size() {
        let fits = json!("x".repeat(MAX_VALUE_BYTES - 2));
        assert_eq!(check_value("k", &fits), Ok(MAX_VALUE_BYTES));
        let error = check_value("k", &json!("x".repeat(MAX_VALUE_BYTES - 1))).unwrap_err();
        assert_eq!(error, ValueError::Value { key: "k".to_string(), bytes: MAX_VALUE_BYTES + 1 });
        assert_eq!(error.termination_code(), TerminationCode::ValueTooLarge);
        assert!(error.to_string().starts_with("value k has 49153 bytes, at most 49152 are allowed"));

        let five: BTreeMap<String, Value> = (0..5).map(|n| (format!("k{n}"), fits.clone())).collect();
        assert_eq!(check_attempt(&five), Ok(5 * MAX_VALUE_BYTES));
        let six: BTreeMap<String, Value> = (0..6).map(|n| (format!("k{n}"), fits.clone())).collect();
        assert_eq!(
            check_attempt(&six),
            Err(ValueError::Attempt { bytes: 6 * MAX_VALUE_BYTES, largest: "k5".to_string(), largest_bytes: MAX_VALUE_BYTES })
        );
        let many: BTreeMap<String, Value> = (0..101).map(|n| (format!("k{n}"), json!(1))).collect();
        assert_eq!(check_attempt(&many), Err(ValueError::Keys(101)));
        assert_eq!(check_run(MAX_RUN_BYTES - 1, 1), Ok(MAX_RUN_BYTES));
        assert_eq!(check_run(MAX_RUN_BYTES, 1), Err(ValueError::Run { bytes: MAX_RUN_BYTES + 1, attempt_bytes: 1 }));
    }
}
