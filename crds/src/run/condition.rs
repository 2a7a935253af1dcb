//! What a condition task decides: two texts, compared as texts or as numbers.

use std::{cmp::Ordering, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{state::TerminationCode, text::cut};

/// How the sides are compared.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The texts are equal.
    EqualTo,
    /// The texts differ.
    NotEqual,
    /// Numbers: left is greater.
    GreaterThan,
    /// Numbers: left is greater or equal.
    GreaterThanOrEqual,
    /// Numbers: left is less.
    LessThan,
    /// Numbers: left is less or equal.
    LessThanOrEqual,
}

/// A side of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `condition.left`
    Left,
    /// `condition.right`
    Right,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Left => "left",
            Self::Right => "right",
        })
    }
}

/// A side is no number where numbers are compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("condition.{side} is '{text}', which is no number; {op:?} compares numbers, EqualTo and NotEqual compare texts")]
pub struct OperandError {
    /// Which one.
    pub side: Side,
    /// Its text, cut.
    pub text: String,
    /// What was asked for.
    pub op: Op,
}

impl OperandError {
    /// Why the task failed.
    pub const fn termination_code(&self) -> TerminationCode {
        TerminationCode::InvalidConditionOperand
    }
}

/// Compares the two resolved texts of a condition.
pub fn evaluate(left: &str, op: Op, right: &str) -> Result<bool, OperandError> {
    let order = || {
        let number = |side, text: &str| Number::parse(text).ok_or_else(|| OperandError { side, text: cut(text, 200).to_string(), op });
        Ok(number(Side::Left, left)?.compare(number(Side::Right, right)?))
    };
    Ok(match op {
        Op::EqualTo => left == right,
        Op::NotEqual => left != right,
        Op::GreaterThan => order()?.is_gt(),
        Op::GreaterThanOrEqual => order()?.is_ge(),
        Op::LessThan => order()?.is_lt(),
        Op::LessThanOrEqual => order()?.is_le(),
    })
}

/// Whole numbers of up to 38 digits are kept as they are; all others are the nearest 64-bit float.
#[derive(Clone, Copy, Debug)]
struct Number {
    whole: Option<i128>,
    float: f64,
}

/// Every number of so many digits fits into 128 bits.
const WHOLE_DIGITS: usize = 38;

impl Number {
    fn parse(text: &str) -> Option<Self> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let unsigned = |text: &str| digits(text.strip_prefix(['+', '-']).unwrap_or(text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
        let (before, after) = mantissa.split_once('.').map_or((mantissa, None), |(before, after)| (before, Some(after)));
        if !unsigned(before) || !after.is_none_or(digits) || !exponent.is_none_or(unsigned) {
            return None;
        }
        let short = before.trim_start_matches(['+', '-', '0']).len() <= WHOLE_DIGITS;
        let whole = if after.is_none() && exponent.is_none() && short { before.parse().ok() } else { None };
        Some(Self { whole, float: text.parse().ok()? })
    }

    fn compare(self, other: Self) -> Ordering {
        match (self.whole, other.whole) {
            (Some(left), Some(right)) => left.cmp(&right),
            // No text of a number is NaN.
            _ => self.float.partial_cmp(&other.float).unwrap_or(Ordering::Equal),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Op, Op::*, OperandError, Side, evaluate};
    use crate::state::TerminationCode;

    #[test]
    fn j10_condition_types() {
        let nines = "9".repeat(38);
        let cases: &[(&str, Op, &str, bool)] = &[
            ("12.0", EqualTo, "12", false),
            ("12.0", NotEqual, "12", true),
            ("12.0", GreaterThanOrEqual, "12", true),
            ("12.0", LessThanOrEqual, "12", true),
            ("12.0", GreaterThan, "12", false),
            ("true", EqualTo, "true", true),
            ("{\"a\":1}", EqualTo, "{\"a\":1}", true),
            ("", EqualTo, "", true),
            ("2", GreaterThan, "10", false),
            ("-3", LessThan, "+2", true),
            ("1e3", GreaterThan, "999.5", true),
            ("2.5E-1", LessThan, "1", true),
            ("-0", GreaterThanOrEqual, "0", true),
            ("007", LessThanOrEqual, "7", true),
            // Floats would call these two equal.
            ("9007199254740993", GreaterThan, "9007199254740992", true),
            (&nines, GreaterThan, "99999999999999999999999999999999999998", true),
            // 39 digits and more are floats.
            ("100000000000000000000000000000000000001", GreaterThan, "100000000000000000000000000000000000000", false),
            ("1e999", GreaterThan, "1e308", true),
        ];
        for (left, op, right, expected) in cases {
            assert_eq!(evaluate(left, *op, right), Ok(*expected), "{left} {op:?} {right}");
        }
    }

    #[test]
    fn j10_what_is_no_number_is_named_with_its_side() {
        let error = evaluate("abc", GreaterThan, "1").unwrap_err();
        assert_eq!(error, OperandError { side: Side::Left, text: "abc".to_string(), op: GreaterThan });
        assert_eq!(error.termination_code(), TerminationCode::InvalidConditionOperand);
        assert_eq!(
            error.to_string(),
            "condition.left is 'abc', which is no number; GreaterThan compares numbers, EqualTo and NotEqual compare texts"
        );
        for text in [
            "", " 1", "1 ", "1.", ".5", "1e", "1e+", "0x10", "inf", "NaN", "true", "null", "[1]", "{}", "1_000", "--1", "+-1", "1.2.3", "١",
        ] {
            assert_eq!(evaluate("1", LessThan, text).unwrap_err().side, Side::Right, "{text}");
        }
    }

    #[test]
    fn operators_are_words_of_the_manifest() {
        assert_eq!(serde_json::to_value(GreaterThanOrEqual).unwrap(), "GreaterThanOrEqual");
    }

    proptest! {
        #[test]
        fn whole_numbers_are_compared_exactly(left: i64, right: i64) {
            prop_assert_eq!(evaluate(&left.to_string(), GreaterThan, &right.to_string()), Ok(left > right));
            prop_assert_eq!(evaluate(&left.to_string(), LessThanOrEqual, &right.to_string()), Ok(left <= right));
        }

        #[test]
        fn no_text_is_too_odd(left: String, right: String) {
            let _ = evaluate(&left, LessThan, &right);
            prop_assert_eq!(evaluate(&left, EqualTo, &right), Ok(left == right));
        }
    }
}
