//! Promises that need an API server and no nodes: the test plays the pods. One file per promise; all share one API server, each has a namespace.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod o01_first_reconcile_sets_all_conditions;
mod o02_kstatus_oracle;
mod o03_idle_writes_nothing;
mod o05_cel_rules;
mod o06_defaults_and_unknown_fields;
mod o07_gitops_diff_is_empty;
mod o09_tables_from_sql;
mod o10_manifest_tables_join;
mod o11_change_starts_one_update;
mod o12_invalid_graph;
mod o13_on_change_modes;
mod o19_exit_code_classes;
mod o20_eviction_same_attempt;
mod o21_never_two_runners;
mod o23_pod_start_failures;
mod o24_oom;
mod o25_queue_is_fifo;
mod o26_equal_requests_coalesce;
mod o27_cancel_update;
mod o28_transient_backoff;
mod o29_user_error_once;
mod o30_limits_hold_back;
mod o31_suspend_and_pause;
mod o32_requests_by_annotation;
mod o36_history_limits;
mod o39_continuous_pipeline;
mod o51_tenants_are_separate;
mod o52_storage_conflict;
mod o53_immutable_fields;
mod o55_report_lost;
mod o57_forbidden_once_then_granted;
