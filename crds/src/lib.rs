//! The API types of Floe and the words that all parts share.

pub mod condition;
pub mod definitions;
mod finding;
pub mod job;
pub mod job_run;
pub mod labels;
pub mod manifest;
pub mod pipeline;
pub mod pipeline_update;
pub mod request;
pub mod run;
pub mod run_report;
pub mod schedule;
mod schemas;
pub mod state;
pub mod store_option;
pub mod table;
pub mod text;
pub mod timetable;
pub mod trigger;
pub mod update;
pub mod yaml;

/// The API group of all kinds.
pub const GROUP: &str = "floe.dev";
/// The only version of the group.
pub const VERSION: &str = "v1alpha1";
/// Group and version as a manifest names them.
pub const API_VERSION: &str = "floe.dev/v1alpha1";
