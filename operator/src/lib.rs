//! The operator: reconciles Pipelines, their updates and their tables. Design: `docs/design/0005-the-operator.md`.

pub mod cache;
pub mod clock;
pub mod error;
pub mod key;
pub mod labels;
pub mod queue;
