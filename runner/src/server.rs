//! What a pod serves while its update runs: `/metrics` with the numbers of its report, `/healthz` for the kubelet.

use std::{fmt::Write, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use floe_crds::run_report::{FlowReport, RunReportSpec};
use tokio::{net::TcpListener, task::AbortHandle};

use crate::report::{Reporter, counters::labels};

/// The loop of flows turns several times a second: if it has not for so long, the runner hangs.
const SILENCE: Duration = Duration::from_mins(5);
/// Of the text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The server; it ends with the value.
pub struct Server(AbortHandle);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the answers are made of.
#[derive(Clone)]
struct Served {
    reporter: Reporter,
    /// Labels of every series.
    pipeline: String,
}

/// Serves at `address`; without a server the update runs all the same.
pub async fn serve(address: SocketAddr, reporter: &Reporter, namespace: &str, pipeline: &str) -> Option<Server> {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!("nothing is served at {address}: {error}");
            return None;
        }
    };
    let state = Served { reporter: reporter.clone(), pipeline: labels(&[("namespace", namespace), ("pipeline", pipeline)]) };
    let routes = Router::new().route("/metrics", get(metrics)).route("/healthz", get(healthz)).with_state(state);
    let server = tokio::spawn(async move {
        let _ = axum::serve(listener, routes).await;
    });
    Some(Server(server.abort_handle()))
}

async fn healthz(State(served): State<Served>) -> Response {
    health(served.reporter.silence(Utc::now()))
}

fn health(silence: Duration) -> Response {
    if silence < SILENCE {
        return "ok".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("the loop of flows has not turned for {} s", silence.as_secs())).into_response()
}

async fn metrics(State(served): State<Served>) -> Response {
    ([(CONTENT_TYPE, TEXT)], exposition(&served.reporter.current(), &served.pipeline, Utc::now())).into_response()
}

/// The numbers of `report` in the text format.
fn exposition(report: &RunReportSpec, pipeline: &str, now: DateTime<Utc>) -> String {
    let mut text = String::new();
    let mut typed = String::new();
    for (family, series) in &report.counters {
        let (name, kind) = kind(family);
        if typed != name {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# TYPE {name} {kind}");
            typed = name.to_string();
        }
        for (own, value) in series {
            let comma = if own.is_empty() { "" } else { "," };
            let _ = writeln!(text, "{family}{{{pipeline}{comma}{own}}} {value}");
        }
    }
    for (family, samples) in gauges(report, now) {
        let _ = writeln!(text, "# TYPE {family} gauge");
        for (own, value) in samples {
            let _ = writeln!(text, "{family}{{{pipeline},{own}}} {value}");
        }
    }
    text
}

/// Name and type of the family that a series belongs to.
fn kind(family: &str) -> (&str, &'static str) {
    let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| family.strip_suffix(suffix));
    match histogram {
        Some(name) => (name, "histogram"),
        None if family.ends_with("_total") => (family, "counter"),
        None => (family, "gauge"),
    }
}

type Samples = Vec<(String, i64)>;

fn gauges(report: &RunReportSpec, now: DateTime<Utc>) -> Vec<(&'static str, Samples)> {
    let state = report.flows.iter().map(|flow| (labels(&[("flow", &flow.name), ("state", flow.state.as_str())]), 1)).collect();
    let backlog = |key: &str| -> Samples {
        report.flows.iter().filter_map(|flow| Some((labels(&[("flow", &flow.name)]), *flow.metrics.get(key)?))).collect()
    };
    let table = |value: fn(&floe_crds::run_report::TableReport) -> Option<i64>| -> Samples {
        report.tables.iter().filter_map(|table| Some((labels(&[("dataset", &table.full_name)]), value(table)?))).collect()
    };
    let all = vec![
        ("floe_flow_state", state),
        ("floe_flow_backlog_files", backlog("backlog_files")),
        ("floe_flow_backlog_bytes", backlog("backlog_bytes")),
        ("floe_flow_state_rows", backlog("state_rows")),
        ("floe_flow_state_bytes", backlog("state_bytes")),
        ("floe_flow_watermark_delay_seconds", watermarks(report, now)),
        ("floe_table_rows", table(|table| table.rows)),
        ("floe_table_size_bytes", table(|table| table.size_bytes)),
        ("floe_table_files", table(|table| table.files)),
        ("floe_table_version", table(|table| table.version)),
    ];
    all.into_iter().filter(|(_, samples)| !samples.is_empty()).collect()
}

/// Seconds from the watermark of each flow to `now`.
fn watermarks(report: &RunReportSpec, now: DateTime<Utc>) -> Samples {
    let delay = |flow: &FlowReport| {
        let table = report.tables.iter().find(|table| table.full_name == flow.dataset)?;
        let watermark = table.streaming.as_ref()?.watermark.as_ref()?;
        Some((labels(&[("flow", &flow.name)]), (now.timestamp() - watermark.0.as_second()).max(0)))
    };
    report.flows.iter().filter_map(delay).collect()
}

#[cfg(test)]
mod tests {
    use floe_crds::run_report::RunResult;

    use super::*;
    use crate::{
        event_log::{Observer, Redaction},
        failure::Failure,
        report::About,
    };

    #[test]
    fn only_a_loop_that_stands_still_is_ill() {
        let reporter = Reporter::new(About::default(), Redaction::default());
        let later = Utc::now() + Duration::from_secs(301);
        let status = |reporter: &Reporter| health(reporter.silence(later)).status();
        assert_eq!(status(&reporter), StatusCode::OK, "the loop has not begun");
        reporter.turned();
        assert_eq!(status(&reporter), StatusCode::SERVICE_UNAVAILABLE);
        reporter.ended(Err(&Failure::user("X", "x")), RunResult::default());
        assert_eq!(status(&reporter), StatusCode::OK, "the end is being written");
    }
}
