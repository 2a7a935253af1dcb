//! The elements that a loop runs over.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{run::values::MAX_VALUE_BYTES, state::TerminationCode, text::cut};

/// How much a loop may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest text of the inputs, in bytes.
    pub bytes: usize,
    /// Most elements.
    pub iterations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: MAX_VALUE_BYTES, iterations: 1000 }
    }
}

/// The elements of a loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// In order; the index of an element is the number of its iteration.
    pub elements: Vec<Value>,
    /// Equal inputs have equal hashes, however they are written: a repair runs only what is left while this stays the same.
    pub hash: String,
}

/// Why a loop cannot run over its inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputsError {
    /// They are too long.
    #[error("forEach.inputs has {bytes} bytes, at most {max} are allowed: hand over names or numbers and let each iteration read its data")]
    TooLarge {
        /// Their length.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// They are not JSON.
    #[error("forEach.inputs is no JSON array: {problem}, in '{text}'")]
    NoJson {
        /// What the parser says.
        problem: String,
        /// Their text, cut.
        text: String,
    },
    /// They are JSON, but no array.
    #[error("forEach.inputs is {what}, not an array: '{text}'")]
    NoArray {
        /// What they are.
        what: &'static str,
        /// Their text, cut.
        text: String,
    },
    /// There are too many.
    #[error(
        "forEach.inputs has {count} elements, at most {max} are allowed (the operator's --max-iterations): let an iteration do several"
    )]
    TooMany {
        /// Their number.
        count: usize,
        /// What is allowed.
        max: usize,
    },
}

impl InputsError {
    /// Why the task failed.
    pub const fn termination_code(&self) -> TerminationCode {
        match self {
            Self::TooLarge { .. } => TerminationCode::ValueTooLarge,
            Self::NoJson { .. } | Self::NoArray { .. } => TerminationCode::InvalidForEachInputs,
            Self::TooMany { .. } => TerminationCode::TooManyIterations,
        }
    }
}

/// The elements of the resolved text of `forEach.inputs`.
pub fn parse(text: &str, limits: Limits) -> Result<Inputs, InputsError> {
    if text.len() > limits.bytes {
        return Err(InputsError::TooLarge { bytes: text.len(), max: limits.bytes });
    }
    let shown = || cut(text, 100).to_string();
    let what = match serde_json::from_str(text) {
        Ok(Value::Array(elements)) if elements.len() > limits.iterations => {
            return Err(InputsError::TooMany { count: elements.len(), max: limits.iterations });
        }
        Ok(Value::Array(elements)) => return Ok(Inputs { hash: hash(&elements), elements }),
        Ok(Value::Object(_)) => "an object",
        Ok(Value::String(_)) => "a string",
        Ok(Value::Number(_)) => "a number",
        Ok(Value::Bool(_)) => "a boolean",
        Ok(Value::Null) => "null",
        Err(problem) => return Err(InputsError::NoJson { problem: problem.to_string(), text: shown() }),
    };
    Err(InputsError::NoArray { what, text: shown() })
}

fn hash(elements: &[Value]) -> String {
    let mut hasher = Sha256::new();
    for element in elements {
        hasher.update(element.to_string());
        hasher.update("\n");
    }
    let hash = format!("{:x}", hasher.finalize());
    cut(&hash, 32).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Inputs, InputsError, Limits, parse};
    use crate::state::TerminationCode;

    fn numbers(count: usize) -> String {
        serde_json::to_string(&(0..count).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn j13_for_each_limits() {
        let parse = |text: &str| parse(text, Limits::default());
        assert_eq!(parse("[]").map(|inputs| inputs.elements), Ok(vec![]));
        assert_eq!(parse(&numbers(1000)).map(|inputs| inputs.elements.len()), Ok(1000));
        assert_eq!(parse(&numbers(1001)), Err(InputsError::TooMany { count: 1001, max: 1000 }));
        assert_eq!(parse("{\"a\": 1}"), Err(InputsError::NoArray { what: "an object", text: "{\"a\": 1}".to_string() }));
        let longest = format!("[\"{}\"]", "x".repeat(48 * 1024 - 4));
        assert_eq!(parse(&longest).map(|inputs| inputs.elements.len()), Ok(1));
        let error = parse(&format!("{longest} ")).unwrap_err();
        assert_eq!(error, InputsError::TooLarge { bytes: 48 * 1024 + 1, max: 48 * 1024 });
        assert!(error.to_string().starts_with("forEach.inputs has 49153 bytes, at most 49152 are allowed"));
    }

    #[test]
    fn j13_every_refusal_has_its_word() {
        let code = |text: &str| parse(text, Limits { bytes: 20, iterations: 2 }).map_err(|error| error.termination_code());
        for text in ["", "x", "1", "true", "null", "\"[]\"", "{}", "[1,", "[1] 2"] {
            assert_eq!(code(text), Err(TerminationCode::InvalidForEachInputs), "{text}");
        }
        assert_eq!((code("[1,2,3]"), code(&numbers(30))), (Err(TerminationCode::TooManyIterations), Err(TerminationCode::ValueTooLarge)));
        let shown = parse("hello", Limits::default()).unwrap_err().to_string();
        assert_eq!(shown, "forEach.inputs is no JSON array: expected value at line 1 column 1, in 'hello'");
    }

    #[test]
    fn equal_inputs_have_equal_hashes() {
        let hash = |text: &str| parse(text, Limits::default()).map(|inputs| inputs.hash);
        assert_eq!(hash("[1, {\"a\": 2}]"), hash("[1,{\"a\":2}]"));
        assert_ne!(hash("[1,2]"), hash("[2,1]"));
        assert_ne!(hash("[\"1\"]"), hash("[1]"));
        assert_ne!(hash("[[1],2]"), hash("[[1,2]]"));
        let Inputs { elements, hash } = parse("[\"a\",1]", Limits::default()).unwrap();
        assert_eq!((elements, hash.len()), (vec![json!("a"), json!(1)], 32));
    }
}
