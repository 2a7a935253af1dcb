//! Two parts of one attempt as one report: what an earlier pod has written, and what this one has done. Pure.

use std::collections::BTreeMap;

use floe_crds::{
    pipeline_update::Totals,
    run_report::{FlowReport, RunReportSpec, TableReport},
    table::{Quality, Refresh},
};

/// States and texts of `later` with the numbers of both.
pub fn merged(earlier: &RunReportSpec, later: RunReportSpec) -> RunReportSpec {
    let mut phase_times = later.phase_times;
    phase_times.extend(earlier.phase_times.clone());
    let mut counters = later.counters;
    for (family, series) in &earlier.counters {
        // What is no sum stands for itself.
        if !family.ends_with("_total") && !family.contains("_seconds_") {
            continue;
        }
        let sums = counters.entry(family.clone()).or_default();
        for (labels, value) in series {
            *sums.entry(labels.clone()).or_default() += value;
        }
    }
    RunReportSpec {
        phase_times,
        counters,
        graph: later.graph.or_else(|| earlier.graph.clone()),
        changes: if later.changes.is_empty() { earlier.changes.clone() } else { later.changes },
        flows: by_key(&earlier.flows, later.flows, |flow| flow.name.clone(), flow),
        tables: by_key(&earlier.tables, later.tables, |table| table.full_name.clone(), table),
        totals: totals(&earlier.totals, &later.totals),
        ..later
    }
}

fn by_key<T: Clone>(earlier: &[T], later: Vec<T>, key: impl Fn(&T) -> String, merge: impl Fn(&T, T) -> T) -> Vec<T> {
    let mut all: BTreeMap<String, T> = earlier.iter().map(|item| (key(item), item.clone())).collect();
    for item in later {
        let name = key(&item);
        let item = match all.get(&name) {
            Some(known) => merge(known, item),
            None => item,
        };
        all.insert(name, item);
    }
    all.into_values().collect()
}

fn flow(earlier: &FlowReport, later: FlowReport) -> FlowReport {
    let mut metrics = later.metrics;
    for (name, value) in &earlier.metrics {
        // What waits and what is remembered is no sum: the later number counts.
        if name.starts_with("state_") {
            metrics.entry(name.clone()).or_insert(*value);
        } else if !name.starts_with("backlog_") {
            *metrics.entry(name.clone()).or_default() += value;
        }
    }
    FlowReport {
        metrics,
        retries: earlier.retries + later.retries,
        error_class: later.error_class.or_else(|| earlier.error_class.clone()),
        message: later.message.or_else(|| earlier.message.clone()),
        origin: later.origin.or_else(|| earlier.origin.clone()),
        ..later
    }
}

fn table(earlier: &TableReport, later: TableReport) -> TableReport {
    let refresh = match (&earlier.refresh, later.refresh) {
        (Some(earlier), Some(later)) => Some(refresh(earlier, later)),
        (earlier, later) => later.or_else(|| earlier.clone()),
    };
    TableReport {
        refresh,
        quality: by_key(&earlier.quality, later.quality, |quality| quality.name.clone(), quality),
        version: later.version.max(earlier.version),
        rows: later.rows.or(earlier.rows),
        size_bytes: later.size_bytes.or(earlier.size_bytes),
        files: later.files.or(earlier.files),
        last_commit_time: later.last_commit_time.or_else(|| earlier.last_commit_time.clone()),
        streaming: later.streaming.or_else(|| earlier.streaming.clone()),
        ..later
    }
}

fn refresh(earlier: &Refresh, later: Refresh) -> Refresh {
    Refresh {
        start_time: earlier.start_time.clone().or(later.start_time),
        maintenance_type: later.maintenance_type.or(earlier.maintenance_type),
        rows_written: earlier.rows_written + later.rows_written,
        upserted: earlier.upserted + later.upserted,
        deleted: earlier.deleted + later.deleted,
        dropped: earlier.dropped + later.dropped,
        quarantined: earlier.quarantined + later.quarantined,
        ..later
    }
}

fn quality(earlier: &Quality, later: Quality) -> Quality {
    Quality {
        passed: earlier.passed + later.passed,
        failed: earlier.failed + later.failed,
        last_failed_update: later.last_failed_update.or_else(|| earlier.last_failed_update.clone()),
        ..later
    }
}

fn totals(earlier: &Totals, later: &Totals) -> Totals {
    Totals {
        rows_written: earlier.rows_written + later.rows_written,
        upserted: earlier.upserted + later.upserted,
        deleted: earlier.deleted + later.deleted,
        dropped: earlier.dropped + later.dropped,
        quarantined: earlier.quarantined + later.quarantined,
        bytes_written: earlier.bytes_written + later.bytes_written,
        input_rows: earlier.input_rows + later.input_rows,
    }
}

#[cfg(test)]
mod tests {
    use floe_crds::state::FlowState;

    use super::*;

    #[test]
    fn rows_of_two_pods_are_added_and_what_waits_or_is_remembered_is_not() {
        let report = |metrics: &[(&str, i64)]| RunReportSpec {
            flows: vec![FlowReport {
                name: "t".to_string(),
                dataset: "main.s.t".to_string(),
                state: FlowState::Running,
                retries: 0,
                error_class: None,
                message: None,
                origin: None,
                metrics: metrics.iter().map(|(name, value)| ((*name).to_string(), *value)).collect(),
            }],
            ..RunReportSpec::default()
        };
        let earlier = report(&[("num_output_rows", 5), ("state_rows", 7), ("state_bytes", 700), ("backlog_files", 3)]);
        let later = report(&[("num_output_rows", 2), ("state_rows", 9)]);
        let both = merged(&earlier, later).flows.remove(0).metrics;
        let both: Vec<(&str, i64)> = both.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(both, [("num_output_rows", 7), ("state_bytes", 700), ("state_rows", 9)]);
    }
}
