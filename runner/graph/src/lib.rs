//! Pure planning: SQL and manifests become definitions, a resolved flow graph, the plan of an update and its schedule.
//!
//! Nothing here does IO or reads a clock or the environment: what storage holds, ids and times are arguments.

pub mod analysis;
pub mod cdc;
pub mod code;
pub mod definition;
pub mod explain;
pub mod file_schema;
pub mod function;
pub mod graph;
pub mod information;
pub mod name;
pub mod origin;
pub mod plan;
pub mod reference;
pub mod relation;
pub mod resolve;
pub mod schedule;
pub mod source_options;
pub mod temporal;
pub mod type_widening;
mod validate;
