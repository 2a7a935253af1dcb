//! Promises that need an API server and no nodes: the test plays the pods. One file per promise; all share one API server, each has a namespace.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod o05_cel_rules;
mod o06_defaults_and_unknown_fields;
mod o09_tables_from_sql;
mod o10_manifest_tables_join;
mod o53_immutable_fields;
