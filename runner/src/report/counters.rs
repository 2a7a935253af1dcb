//! The counters of a report: metric family → labels → value, as Prometheus has them. They never fall within an attempt.

use std::{collections::BTreeMap, fmt::Write};

use crate::event_log::event::{FlowMetrics, FlowProgress};

/// Family → labels (`key="value",…`) → value.
pub type Counters = BTreeMap<String, BTreeMap<String, f64>>;

/// More series of one family are counted as one, so that a pipeline of any size can be watched.
const MAX_SERIES: usize = 2000;
/// The dataset, flow or expectation that stands for all further ones.
const OTHER: &str = "_other";
/// Upper bounds of `floe_flow_batch_duration_seconds`.
const BATCH_SECONDS: [f64; 9] = [0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// `labels` as they stand between the braces of a series.
pub fn labels(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (key, value) in labels {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{key}=\"{value}\"", if text.is_empty() { "" } else { "," });
    }
    text
}

/// Adds `value` to one series; a series that is never counted does not appear.
pub fn add(counters: &mut Counters, family: &str, of: &[(&str, &str)], value: f64) {
    if value == 0.0 {
        return;
    }
    let series = counters.entry(family.to_string()).or_default();
    let mut key = labels(of);
    if series.len() >= MAX_SERIES && !series.contains_key(&key) {
        let shared =
            |(label, value): &(&'static str, &str)| (*label, if is_open(label) { OTHER.to_string() } else { (*value).to_string() });
        let shared: Vec<(&str, String)> = of.iter().map(|(label, value)| shared(&(known(label), value))).collect();
        key = labels(&shared.iter().map(|(label, value)| (*label, value.as_str())).collect::<Vec<_>>());
    }
    *series.entry(key).or_default() += value;
}

/// Labels with names that users choose.
fn is_open(label: &str) -> bool {
    matches!(label, "flow" | "dataset" | "expectation")
}

fn known(label: &str) -> &'static str {
    ["flow", "dataset", "expectation", "class", "result", "maintenance_type", "issue", "le"]
        .into_iter()
        .find(|known| *known == label)
        .unwrap_or(OTHER)
}

/// Counts what one event says about a flow.
pub fn add_progress(counters: &mut Counters, flow: &str, dataset: &str, progress: &FlowProgress) {
    if let Some(metrics) = &progress.metrics {
        add_metrics(counters, flow, dataset, metrics);
    }
    let Some(quality) = &progress.data_quality else { return };
    let of_flow = [("flow", flow), ("dataset", dataset)];
    let dropped = quality.dropped_records.saturating_sub(quality.quarantined_records);
    add(counters, "floe_flow_dropped_rows_total", &of_flow, dropped as f64);
    add(counters, "floe_flow_quarantined_rows_total", &of_flow, quality.quarantined_records as f64);
    for count in &quality.expectations {
        let of = |result| [("dataset", count.dataset.as_str()), ("expectation", count.name.as_str()), ("result", result)];
        add(counters, "floe_expectation_records_total", &of("passed"), count.passed as f64);
        add(counters, "floe_expectation_records_total", &of("failed"), count.failed as f64);
    }
}

fn add_metrics(counters: &mut Counters, flow: &str, dataset: &str, metrics: &FlowMetrics) {
    let of_flow = [("flow", flow), ("dataset", dataset)];
    add(counters, "floe_flow_input_rows_total", &of_flow, metrics.num_input_rows as f64);
    add(counters, "floe_flow_output_rows_total", &of_flow, metrics.num_output_rows.unwrap_or(0) as f64);
    add(counters, "floe_flow_output_bytes_total", &of_flow, metrics.num_output_bytes.unwrap_or(0) as f64);
    add(counters, "floe_files_ingested_total", &[("flow", flow)], metrics.num_input_files as f64);
    add(counters, "floe_corrupt_files_total", &[("flow", flow)], metrics.num_corrupt_files as f64);
    let late = metrics.state.as_ref().map_or(0, |state| state.num_rows_dropped_by_watermark);
    add(counters, "floe_flow_late_rows_total", &[("flow", flow)], late as f64);
    add(counters, "floe_corrupt_records_total", &[("flow", flow)], metrics.num_corrupt_records as f64);
    let changes = metrics.cdc.unwrap_or_default();
    add(counters, "floe_flow_upserted_rows_total", &of_flow, changes.upserted as f64);
    add(counters, "floe_flow_deleted_rows_total", &of_flow, changes.deleted as f64);
    add(counters, "floe_cdc_tied_events_total", &of_flow, changes.tied as f64);
    add(counters, "floe_cdc_late_events_total", &of_flow, changes.late as f64);
    add(counters, "floe_cdc_ignored_events_total", &of_flow, changes.ignored as f64);
    if metrics.rows_written().is_some() {
        observe_seconds(counters, flow, metrics.executor_time_ms as f64 / 1000.0);
    }
}

/// One committed micro-batch or refresh in the histogram of their durations.
fn observe_seconds(counters: &mut Counters, flow: &str, seconds: f64) {
    let family = "floe_flow_batch_duration_seconds";
    for bound in BATCH_SECONDS.iter().filter(|bound| seconds <= **bound) {
        add(counters, &format!("{family}_bucket"), &[("flow", flow), ("le", &bound.to_string())], 1.0);
    }
    add(counters, &format!("{family}_bucket"), &[("flow", flow), ("le", "+Inf")], 1.0);
    add(counters, &format!("{family}_sum"), &[("flow", flow)], seconds);
    add(counters, &format!("{family}_count"), &[("flow", flow)], 1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_zeros_left_out() {
        let mut counters = Counters::new();
        add(&mut counters, "a_total", &[("flow", "o\"x\\")], 2.0);
        add(&mut counters, "b_total", &[("flow", "f")], 0.0);
        assert_eq!(counters, Counters::from([("a_total".to_string(), BTreeMap::from([(r#"flow="o\"x\\""#.to_string(), 2.0)]))]));
    }

    #[test]
    fn the_number_of_series_is_bounded_and_nothing_is_lost() {
        let mut counters = Counters::new();
        for n in 0..MAX_SERIES + 500 {
            add(&mut counters, "rows_total", &[("flow", &n.to_string()), ("result", "passed")], 1.0);
        }
        let series = &counters["rows_total"];
        assert_eq!((series.len(), series[r#"flow="_other",result="passed""#]), (MAX_SERIES + 1, 500.0));
        assert!((series.values().sum::<f64>() - (MAX_SERIES + 500) as f64).abs() < f64::EPSILON);
    }
}
