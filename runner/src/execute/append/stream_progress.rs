//! The micro-batch in the words of Spark's streaming progress.

use serde_json::{Value, json};

use super::AppendRun;
use crate::{
    execute::{progress::FlowMetrics, stateful::memory},
    state::{BatchOffsets, SourceId, SourceRange},
};

/// The micro-batch in the words of Spark's streaming progress.
pub(super) fn json(run: &AppendRun<'_>, offsets: &BatchOffsets, metrics: &FlowMetrics) -> Value {
    let source = |(id, range): (&SourceId, &SourceRange)| match range {
        SourceRange::Files { files, .. } => json!({"description": id, "startOffset": null, "endOffset": {"files": files.len()}}),
        SourceRange::Delta { from, to, .. } => json!({"description": id, "startOffset": from, "endOffset": to}),
        SourceRange::Snapshot { version, from, to, .. } => {
            json!({"description": id, "startOffset": {"snapshot": version, "file": from}, "endOffset": {"snapshot": version, "file": to}})
        }
        SourceRange::Once => json!({"description": id}),
        SourceRange::DatedFiles { name, value, .. } => {
            json!({"description": id, "startOffset": null, "endOffset": {"snapshot": name, "value": value}})
        }
        SourceRange::DatedVersion { version, value, .. } => {
            json!({"description": id, "startOffset": null, "endOffset": {"version": version, "value": value}})
        }
    };
    let mut progress = json!({
        "id": run.checkpoint.flow_id(),
        "runId": run.execution.update_id,
        "batchId": offsets.batch,
        "timestamp": chrono::DateTime::from_timestamp_micros(offsets.timestamp_us).map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)),
        "durationMs": {"execution": metrics.executor_time_ms},
        "numInputRows": metrics.num_input_rows,
        "sources": offsets.sources.iter().map(source).collect::<Vec<_>>(),
        "sink": {"description": run.run.flow.target.to_string()},
    });
    if let Some(remembered) = run.remembered.as_ref().filter(|remembered| remembered.state.batch == offsets.batch) {
        let (event_time, operators) = memory::progress(&remembered.staged, &remembered.state);
        progress["eventTime"] = event_time;
        progress["stateOperators"] = operators;
    }
    progress
}
