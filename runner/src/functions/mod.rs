//! The implementations of all SQL functions, with the semantics of Spark, and the JSON decoder that files share.

pub mod json;
mod number;
pub mod temporal;
