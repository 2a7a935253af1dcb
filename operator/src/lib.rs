//! The operator: reconciles Pipelines, their updates and their tables. Design: `docs/design/0005-the-operator.md`.

pub mod args;
pub mod cache;
pub mod clock;
pub mod error;
pub mod events;
pub mod key;
pub mod labels;
pub mod limits;
pub mod metrics;
pub mod queue;
pub mod settings;

/// Version, revision and compiler of this build.
pub const BUILD: [&str; 3] = [env!("CARGO_PKG_VERSION"), env!("FLOE_REVISION"), env!("FLOE_RUSTC")];
