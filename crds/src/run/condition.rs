//! Comparisons of condition tasks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
