//! The promises of `floe run`, kept by the real process on real directories. Scenario numbers are those of the acceptance scenarios.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod api_server;
mod auto_cdc;
mod avro_orc;
mod bad_input;
mod bookstore;
mod change_feed;
mod clean_source;
mod commits;
mod continuous;
mod delta_shapes;
mod event_log;
mod exactly_once;
mod expectations;
mod file_schemas;
mod files;
mod golden;
mod gym;
mod harness;
mod interrupted;
mod jobs;
mod maintenance;
mod object_store;
mod project_tests;
mod redefined;
mod refresh;
mod removal;
mod request;
mod sinks;
mod snapshots;
mod sources;
mod state;
mod streams;
mod tables;
mod tasks;
mod watermarks;
