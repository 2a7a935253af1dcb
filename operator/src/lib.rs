//! The operator: reconciles Pipelines, their updates and their tables. Design: `docs/design/0005-the-operator.md`.

pub mod args;
pub mod attempt;
pub mod cache;
pub mod caches;
pub mod client;
pub mod clock;
pub mod context;
pub mod controller;
pub mod controllers;
pub mod dataset;
pub mod error;
pub mod events;
pub mod hub;
pub mod job;
pub mod job_run;
pub mod key;
pub mod labels;
pub mod leader;
pub mod limits;
pub mod memory;
pub mod metrics;
mod named;
pub mod notify;
pub mod owner;
pub mod pipeline;
pub mod process;
pub mod queue;
pub mod reference;
pub mod reports;
pub mod rights;
pub mod root;
pub mod runs;
pub mod server;
pub mod settings;
pub mod shard;
pub mod table;
pub mod telemetry;
pub mod update;
pub mod updates;
pub mod watch;
pub mod writers;
pub mod writes;

/// Version, revision and compiler of this build.
pub const BUILD: [&str; 3] = [env!("CARGO_PKG_VERSION"), env!("FLOE_REVISION"), env!("FLOE_RUSTC")];
