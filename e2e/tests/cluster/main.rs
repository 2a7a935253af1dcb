//! Floe as people run it: charts, images and pods on a real cluster whose namespaces enforce the restricted profile.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod bookstore;
mod j01_bookstore_job;
mod o08_bookstore_in_cluster;
mod o12_bad_change;
mod o15_restricted_namespace;
mod o16_runner_rights;
mod o17_canary_secret;
mod o18_killed_runner;
mod o20_eviction_same_attempt;
mod o23_pod_start_failures;
mod o28_storage_that_is_away;
mod o33_delete_pipeline_retain;
mod o34_delete_with_cleanup;
mod o45_killed_operator;
mod o46_chart_life_cycle;
mod o48_protocol_skew;
mod o49_namespaced_mode;
mod o50_rbac_is_minimal;
mod o59_replay_request;
