//! The list of all metrics: name, kind, labels, help. The registry, the exposition of products and the reference page are made from it.

/// One metric family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    /// Its name; the unit is part of it.
    pub name: &'static str,
    /// What its numbers are.
    pub kind: Kind,
    /// Names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// What it says, as a sentence.
    pub help: &'static str,
}

/// What the numbers of a family are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Grows.
    Counter,
    /// Goes up and down; of several flows or datasets the sum says something.
    Gauge,
    /// Goes up and down; of several flows or datasets the largest says something: versions, ages, instants, flags.
    Extreme,
    /// Observations up to each bound; none: the bounds are those of whoever reports it.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word in the text format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge | Self::Extreme => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

const fn family(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind, labels, help }
}

/// Families of the process itself, every replica exports them.
pub mod operator {
    use super::{Family, Kind, family};

    const REQUEST_SECONDS: &[f64] = &[0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    const RECONCILE_SECONDS: &[f64] = &[0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
    const LAG_SECONDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];
    const REPORT_SECONDS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
    const START_SECONDS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];

    pub const BUILD_INFO: Family =
        family("floe_operator_build_info", Kind::Gauge, &["version", "revision", "rustc"], "Build of the operator; always 1.");
    pub const FEATURE_GATE: Family =
        family("floe_operator_feature_gate", Kind::Gauge, &["name", "stage"], "1 for a feature gate that is on, 0 for one that is off.");
    pub const LEADER: Family = family("floe_operator_leader", Kind::Gauge, &[], "1 while this process holds the lease.");
    pub const RECONCILES: Family = family(
        "floe_operator_reconcile_total",
        Kind::Counter,
        &["controller", "result"],
        "Reconciles by result: ok, requeue (asked to come back earlier than usual) or error.",
    );
    pub const RECONCILE_ERRORS: Family = family(
        "floe_operator_reconcile_errors_total",
        Kind::Counter,
        &["controller", "class"],
        "Failed reconciles by class: user, transient, conflict, forbidden, timeout or internal.",
    );
    pub const RECONCILE_DURATION: Family =
        family("floe_operator_reconcile_duration_seconds", Kind::Histogram(RECONCILE_SECONDS), &["controller"], "Time of one reconcile.");
    pub const EVENT_LAG: Family = family(
        "floe_operator_event_lag_seconds",
        Kind::Histogram(LAG_SECONDS),
        &["controller"],
        "Time from a watch event to the start of its reconcile.",
    );
    pub const PENDING: Family = family(
        "floe_operator_pending_objects",
        Kind::Gauge,
        &["controller", "reason"],
        "Objects that wait for a reconcile: queued, or backoff after a failure.",
    );
    pub const CACHED: Family = family("floe_operator_cached_objects", Kind::Gauge, &["kind"], "Objects in the caches.");
    pub const API_REQUESTS: Family = family(
        "floe_operator_api_requests_total",
        Kind::Counter,
        &["verb", "resource", "code"],
        "Requests to the API server; code is the status of the answer, or timeout, error or refused (not sent: the lease is lost).",
    );
    pub const API_DURATION: Family = family(
        "floe_operator_api_request_duration_seconds",
        Kind::Histogram(REQUEST_SECONDS),
        &["verb", "resource"],
        "Time of requests to the API server; of watches the time to the first byte.",
    );
    pub const API_THROTTLED: Family = family(
        "floe_operator_api_throttled_seconds_total",
        Kind::Counter,
        &[],
        "Time that requests waited for the rate limit of the client.",
    );
    pub const WATCH_RESTARTS: Family = family(
        "floe_operator_watch_restarts_total",
        Kind::Counter,
        &["kind", "reason"],
        "Watches that were started again: gone (the server forgot the version) or error.",
    );
    pub const REPORT_LAG: Family = family(
        "floe_operator_report_lag_seconds",
        Kind::Histogram(REPORT_SECONDS),
        &[],
        "Time from the heartbeat of a RunReport to the status that was written from it.",
    );
    pub const START_LATENCY: Family = family(
        "floe_operator_start_latency_seconds",
        Kind::Histogram(START_SECONDS),
        &["kind"],
        "Time from the decision to start an attempt to its batch/v1 Job.",
    );
    pub const HELD_BACK: Family =
        family("floe_operator_held_back", Kind::Gauge, &["limit"], "Starts that are held back by a limit: pods, namespace_pods or rate.");
    pub const EVENTS_FAILED: Family =
        family("floe_operator_events_failed_total", Kind::Counter, &[], "Kubernetes Events that could not be written.");
    pub const STATUS_TRUNCATED: Family =
        family("floe_operator_status_truncated_total", Kind::Counter, &["kind"], "Writes of a status that was cut to its size limit.");
    pub const INVALID_OBJECTS: Family =
        family("floe_operator_invalid_objects", Kind::Gauge, &["kind"], "Stored objects that cannot be parsed and are left out.");
    pub const NOTIFICATIONS: Family = family(
        "floe_operator_notifications_total",
        Kind::Counter,
        &["target", "result"],
        "Tries of notifications by target (webhook or email) and result: delivered, retried (it comes again) or failed (given up).",
    );
    pub const TASKS: Family = family("floe_operator_tasks", Kind::Gauge, &[], "Asynchronous tasks that are alive.");
    pub const BLOCKING_THREADS: Family =
        family("floe_operator_blocking_threads", Kind::Gauge, &[], "Threads for work that blocks, such as reading files.");

    /// All of them.
    pub const ALL: &[Family] = &[
        API_DURATION,
        API_REQUESTS,
        API_THROTTLED,
        BLOCKING_THREADS,
        BUILD_INFO,
        CACHED,
        EVENT_LAG,
        EVENTS_FAILED,
        FEATURE_GATE,
        HELD_BACK,
        INVALID_OBJECTS,
        LEADER,
        NOTIFICATIONS,
        PENDING,
        RECONCILE_DURATION,
        RECONCILE_ERRORS,
        RECONCILES,
        REPORT_LAG,
        START_LATENCY,
        STATUS_TRUNCATED,
        TASKS,
        WATCH_RESTARTS,
    ];
}

/// Families of pipelines, exported by the leader. All have the labels `namespace` and `pipeline` before their own.
pub mod pipeline {
    use super::{Family, Kind, family};

    const UPDATE_SECONDS: &[f64] = &[1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0];

    pub const INFO: Family = family("floe_pipeline_info", Kind::Gauge, &["mode", "development"], "One for each Pipeline.");
    pub const CONDITION: Family = family(
        "floe_pipeline_condition",
        Kind::Gauge,
        &["type", "status"],
        "1 for the status that a condition of the Pipeline has, 0 for the two others.",
    );
    pub const STATE: Family =
        family("floe_pipeline_state", Kind::Gauge, &["state"], "1 for the state that the pipeline is in, 0 for the others.");
    pub const QUEUED: Family = family("floe_pipeline_queued_updates", Kind::Gauge, &[], "Updates that wait.");
    pub const INTERVAL: Family = family(
        "floe_pipeline_expected_interval_seconds",
        Kind::Gauge,
        &[],
        "Usual time between two updates: by the schedule, else the median of the last 10 starts; absent if unknown or suspended.",
    );
    pub const LAST_SUCCESS: Family = family(
        "floe_pipeline_last_success_timestamp_seconds",
        Kind::Extreme,
        &[],
        "Unix time at which the last update that ended well ended.",
    );
    pub const UPDATES: Family =
        family("floe_updates_total", Kind::Counter, &["result", "cause"], "Updates that ended: completed, failed or canceled.");
    pub const UPDATE_DURATION: Family = family(
        "floe_update_duration_seconds",
        Kind::Histogram(UPDATE_SECONDS),
        &["result"],
        "Time from the first attempt to the end of an update.",
    );
    pub const UPDATE_PHASE: Family =
        family("floe_update_phase_seconds", Kind::Gauge, &["phase"], "Time that the last ended update spent in each phase.");
    pub const ATTEMPTS: Family = family(
        "floe_update_attempts_total",
        Kind::Counter,
        &["reason"],
        "Further attempts of updates: after a transient failure, an eviction, oom (out of memory) or an unknown end.",
    );
    pub const FLOW_STATE: Family =
        family("floe_flow_state", Kind::Gauge, &["flow", "state"], "1 for the state that the flow is in; other states have no series.");
    pub const FLOW_FAILURES: Family = family(
        "floe_flow_failures_total",
        Kind::Counter,
        &["flow", "class"],
        "Failures of flows: user, expectation, storage, transient or internal.",
    );
    pub const FLOW_RETRIES: Family = family("floe_flow_retries_total", Kind::Counter, &["flow"], "Retries of flows within an attempt.");
    pub const INPUT_ROWS: Family =
        family("floe_flow_input_rows_total", Kind::Counter, &["flow", "dataset"], "Rows that flows read from streams or by batch queries.");
    pub const OUTPUT_ROWS: Family =
        family("floe_flow_output_rows_total", Kind::Counter, &["flow", "dataset"], "Rows that flows appended, or that a refresh wrote.");
    pub const OUTPUT_BYTES: Family =
        family("floe_flow_output_bytes_total", Kind::Counter, &["flow", "dataset"], "Bytes of data files that flows wrote.");
    pub const UPSERTED: Family = family(
        "floe_flow_upserted_rows_total",
        Kind::Counter,
        &["flow", "dataset"],
        "Rows that change events wrote, or an incremental refresh.",
    );
    pub const DELETED: Family = family(
        "floe_flow_deleted_rows_total",
        Kind::Counter,
        &["flow", "dataset"],
        "Rows that change events removed, or an incremental refresh.",
    );
    pub const DROPPED: Family =
        family("floe_flow_dropped_rows_total", Kind::Counter, &["flow", "dataset"], "Rows that expectations left out.");
    pub const QUARANTINED: Family =
        family("floe_flow_quarantined_rows_total", Kind::Counter, &["flow", "dataset"], "Rows that went to quarantine tables.");
    pub const BATCH_DURATION: Family =
        family("floe_flow_batch_duration_seconds", Kind::Histogram(&[]), &["flow"], "Time of one micro-batch or refresh.");
    pub const BACKLOG_FILES: Family = family("floe_flow_backlog_files", Kind::Gauge, &["flow"], "Files that are known and not processed.");
    pub const BACKLOG_BYTES: Family = family("floe_flow_backlog_bytes", Kind::Gauge, &["flow"], "Bytes that are known and not processed.");
    pub const BACKLOG_RECORDS: Family =
        family("floe_flow_backlog_records", Kind::Gauge, &["flow"], "Records that are known and not processed.");
    pub const BACKLOG_SECONDS: Family =
        family("floe_flow_backlog_seconds", Kind::Extreme, &["flow"], "Age of the oldest that is known and not processed.");
    pub const WATERMARK_DELAY: Family =
        family("floe_flow_watermark_delay_seconds", Kind::Extreme, &["flow"], "Time from the watermark of the flow to now.");
    pub const LATE_ROWS: Family =
        family("floe_flow_late_rows_total", Kind::Counter, &["flow"], "Rows that came after the watermark and were dropped.");
    pub const STATE_ROWS: Family = family("floe_flow_state_rows", Kind::Gauge, &["flow"], "Rows in the state of stateful flows.");
    pub const STATE_BYTES: Family = family("floe_flow_state_bytes", Kind::Gauge, &["flow"], "Bytes of the state of stateful flows.");
    pub const EXPECTATIONS: Family = family(
        "floe_expectation_records_total",
        Kind::Counter,
        &["dataset", "expectation", "result"],
        "Records that expectations were evaluated on: passed or failed.",
    );
    pub const BAD_UPDATES: Family = family(
        "floe_expectation_bad_updates",
        Kind::Extreme,
        &["dataset", "expectation"],
        "Updates in a row in which more than 1 % of the records failed, since this process leads.",
    );
    pub const CDC_TIED: Family =
        family("floe_cdc_tied_events_total", Kind::Counter, &["flow", "dataset"], "Change events with equal key and sequence.");
    pub const CDC_LATE: Family = family(
        "floe_cdc_late_events_total",
        Kind::Counter,
        &["flow", "dataset"],
        "Change events that came after a newer one of their key.",
    );
    pub const CDC_IGNORED: Family =
        family("floe_cdc_ignored_events_total", Kind::Counter, &["flow", "dataset"], "Change events without effect.");
    pub const FILES_INGESTED: Family = family("floe_files_ingested_total", Kind::Counter, &["flow"], "Files that streams took.");
    pub const CORRUPT_FILES: Family = family("floe_corrupt_files_total", Kind::Counter, &["flow"], "Files that could not be read.");
    pub const CORRUPT_RECORDS: Family = family("floe_corrupt_records_total", Kind::Counter, &["flow"], "Records that could not be parsed.");
    pub const SCHEMA_CHANGES: Family = family("floe_schema_changes_total", Kind::Counter, &["dataset"], "Changes of columns of tables.");
    pub const MV_REFRESH: Family = family(
        "floe_mv_refresh_total",
        Kind::Counter,
        &["dataset", "maintenance_type", "issue"],
        "Refreshes of materialized views; issue says why the best type was not chosen, or none.",
    );
    pub const TABLE_ROWS: Family = family("floe_table_rows", Kind::Gauge, &["dataset"], "Rows of the table.");
    pub const TABLE_BYTES: Family = family("floe_table_size_bytes", Kind::Gauge, &["dataset"], "Bytes of the table's newest version.");
    pub const TABLE_FILES: Family = family("floe_table_files", Kind::Gauge, &["dataset"], "Files of the table's newest version.");
    pub const TABLE_VERSION: Family = family("floe_table_version", Kind::Extreme, &["dataset"], "Newest Delta version.");
    pub const TABLE_COMMIT: Family =
        family("floe_table_last_commit_timestamp_seconds", Kind::Extreme, &["dataset"], "Unix time of the newest commit.");
    pub const TABLE_TROUBLE: Family = family(
        "floe_table_trouble",
        Kind::Extreme,
        &["dataset", "type"],
        "1 while the table has this trouble: IncrementalDegraded, Stale or RefreshFailed.",
    );
    pub const LOG_FAILURES: Family =
        family("floe_event_log_write_failures_total", Kind::Counter, &[], "Writes of the event log that failed.");
    pub const LOG_DROPPED: Family = family(
        "floe_event_log_dropped_events_total",
        Kind::Counter,
        &[],
        "Events that were lost because the event log could not be written.",
    );
    pub const LINTS: Family = family("floe_lints", Kind::Gauge, &["code"], "Warnings about the definition.");
    pub const RUNNER_BUILD: Family = family(
        "floe_build_info",
        Kind::Extreme,
        &["version", "datafusion", "deltalake"],
        "Build of the runner of the newest attempt; always 1.",
    );

    /// All of them, by name.
    pub const ALL: &[Family] = &[
        RUNNER_BUILD,
        CDC_IGNORED,
        CDC_LATE,
        CDC_TIED,
        CORRUPT_FILES,
        CORRUPT_RECORDS,
        LOG_DROPPED,
        LOG_FAILURES,
        BAD_UPDATES,
        EXPECTATIONS,
        FILES_INGESTED,
        BACKLOG_BYTES,
        BACKLOG_FILES,
        BACKLOG_RECORDS,
        BACKLOG_SECONDS,
        BATCH_DURATION,
        DELETED,
        DROPPED,
        FLOW_FAILURES,
        INPUT_ROWS,
        LATE_ROWS,
        OUTPUT_BYTES,
        OUTPUT_ROWS,
        QUARANTINED,
        FLOW_RETRIES,
        FLOW_STATE,
        STATE_BYTES,
        STATE_ROWS,
        UPSERTED,
        WATERMARK_DELAY,
        LINTS,
        MV_REFRESH,
        CONDITION,
        INTERVAL,
        INFO,
        LAST_SUCCESS,
        QUEUED,
        STATE,
        SCHEMA_CHANGES,
        TABLE_FILES,
        TABLE_COMMIT,
        TABLE_ROWS,
        TABLE_BYTES,
        TABLE_TROUBLE,
        TABLE_VERSION,
        ATTEMPTS,
        UPDATE_DURATION,
        UPDATE_PHASE,
        UPDATES,
    ];
}

/// Families of Jobs. All have the labels `namespace` and `job` before their own, but for `SCHEDULE_DELAY`.
pub mod job {
    use super::{Family, Kind, family};

    const RUN_SECONDS: &[f64] = &[1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0];
    const QUEUE_SECONDS: &[f64] = &[0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0];
    const DELAY_SECONDS: &[f64] = &[0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];

    pub const INFO: Family = family("floe_job_info", Kind::Gauge, &[], "One per job; always 1.");
    pub const RUNS: Family = family("floe_job_runs_total", Kind::Counter, &["result", "trigger"], "Runs that ended.");
    pub const RUN_DURATION: Family =
        family("floe_job_run_duration_seconds", Kind::Histogram(RUN_SECONDS), &["result"], "Time from the start of a run to its end.");
    pub const RUN_QUEUE: Family =
        family("floe_job_run_queue_seconds", Kind::Histogram(QUEUE_SECONDS), &[], "Time from the creation of a run to its start.");
    pub const ACTIVE: Family = family("floe_job_active_runs", Kind::Gauge, &[], "Runs that go on.");
    pub const QUEUED: Family = family("floe_job_queued_runs", Kind::Gauge, &[], "Runs that wait.");
    pub const LAST_SUCCESS: Family =
        family("floe_job_last_success_timestamp_seconds", Kind::Gauge, &[], "Unix time at which a run ended well the last time.");
    pub const NEXT_RUN: Family =
        family("floe_job_next_run_timestamp_seconds", Kind::Gauge, &[], "Unix time of the next instant of the triggers by the clock.");
    pub const FAILURES: Family = family("floe_job_consecutive_failures", Kind::Gauge, &[], "Runs that failed in a row.");
    pub const TASK_ATTEMPTS: Family =
        family("floe_job_task_attempts_total", Kind::Counter, &["kind", "result"], "Attempts of tasks that ended.");
    pub const REPAIRS: Family = family("floe_job_repairs_total", Kind::Counter, &["result"], "Repairs that ended.");
    pub const TRIGGER_FIRES: Family = family("floe_job_trigger_fires_total", Kind::Counter, &["trigger"], "Runs that triggers made.");
    pub const TRIGGER_ERRORS: Family = family(
        "floe_job_trigger_errors_total",
        Kind::Counter,
        &["trigger"],
        "Times at which a trigger could not see what it looks at, or its run could not be made.",
    );
    pub const SCHEDULE_DELAY: Family = family(
        "floe_job_schedule_delay_seconds",
        Kind::Histogram(DELAY_SECONDS),
        &[],
        "Time from an instant of a trigger by the clock to its run, over all jobs.",
    );

    /// All of them, by name.
    pub const ALL: &[Family] = &[
        ACTIVE,
        FAILURES,
        INFO,
        LAST_SUCCESS,
        NEXT_RUN,
        QUEUED,
        REPAIRS,
        RUN_DURATION,
        RUN_QUEUE,
        RUNS,
        SCHEDULE_DELAY,
        TASK_ATTEMPTS,
        TRIGGER_ERRORS,
        TRIGGER_FIRES,
    ];
}

/// Families that the library for processes exports on Linux, with their help for the reference page.
pub const PROCESS: &[Family] = &[
    family("process_cpu_seconds_total", Kind::Counter, &[], "Processor time of the process."),
    family("process_max_fds", Kind::Gauge, &[], "Most file descriptors that the process may have."),
    family("process_open_fds", Kind::Gauge, &[], "File descriptors that are open."),
    family("process_resident_memory_bytes", Kind::Gauge, &[], "Resident memory."),
    family("process_start_time_seconds", Kind::Gauge, &[], "Unix time of the start of the process."),
    family("process_threads", Kind::Gauge, &[], "Threads of the operating system."),
    family("process_virtual_memory_bytes", Kind::Gauge, &[], "Virtual memory."),
];

/// True if the newest report shows the value of the family, and no report before it counts.
pub fn is_gauge(name: &str) -> bool {
    pipeline::ALL.iter().any(|family| family.name == name && matches!(family.kind, Kind::Gauge | Kind::Extreme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_every_family_is_explained() {
        for list in [operator::ALL, pipeline::ALL, PROCESS] {
            let names: Vec<&str> = list.iter().map(|family| family.name).collect();
            let mut sorted = names.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(names, sorted);
            assert!(list.iter().all(|family| family.help.ends_with('.') && family.help.len() > 10));
        }
    }
}
