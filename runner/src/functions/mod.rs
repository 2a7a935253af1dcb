//! The implementations of all SQL functions, with the semantics of Spark, and the JSON decoder that files share.
//!
//! Planning knows functions as data (`floe_graph::function`); its plans hold stand-ins. `bind_functions` puts the implementation of
//! the same name in the place of each. One test proves that both lists are equal.

mod access;
mod address;
mod aggregate;
mod arithmetic;
mod bind;
mod call;
mod cast;
mod collection;
mod curves;
mod encoding;
mod error;
mod hash;
mod intervals;
pub mod json;
mod json_functions;
mod lambda;
mod map_functions;
mod math;
mod moving;
pub(crate) mod number;
mod number_pattern;
mod number_text;
mod own_aggregate;
mod pattern_text;
mod scalar;
pub mod temporal;
mod text;
mod text_edit;
mod time_functions;
mod time_text;
mod window;

pub use bind::{BatchClock, bind_expression, bind_functions};
pub use error::FunctionError;

/// Scalar implementations by subject: name of the specification and kernel.
static KERNEL_GROUPS: &[&[(&str, call::Kernel)]] = &[
    cast::KERNELS,
    arithmetic::KERNELS,
    math::KERNELS,
    text::KERNELS,
    pattern_text::KERNELS,
    encoding::KERNELS,
    time_functions::KERNELS,
    time_text::KERNELS,
    access::KERNELS,
    collection::KERNELS,
    map_functions::KERNELS,
    json_functions::KERNELS,
    curves::KERNELS,
    number_text::KERNELS,
    text_edit::KERNELS,
    address::KERNELS,
    hash::KERNELS,
    intervals::KERNELS,
];

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod query_tests;
#[cfg(test)]
mod tests;
