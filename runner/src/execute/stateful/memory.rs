//! From one micro-batch to the next: the watermark of a batch, and what is remembered after it.

use std::{collections::BTreeMap, sync::Arc};

use floe_graph::analysis::state::{DeclaredWatermark, OperatorKind, StateOfPlan};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{StagedState, compact::Compaction, keys::is_expired};
use crate::{
    execute::progress::FlowMetrics,
    failure::Failure,
    state::{BatchState, OperatorState, Segment, format::VERSION},
};

/// What flows with state count beside other flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateMetrics {
    /// Rows that were older than the watermark.
    pub num_rows_dropped_by_watermark: u64,
    /// Event times and watermark.
    #[serde(default)]
    pub streaming_metrics: StreamingMetrics,
}

impl StateMetrics {
    /// Adds the numbers of a later micro-batch; event times and watermark are those of the later one.
    pub fn add(&mut self, later: &Self) {
        self.num_rows_dropped_by_watermark += later.num_rows_dropped_by_watermark;
        self.streaming_metrics = later.streaming_metrics.clone();
    }
}

/// Event times of a micro-batch and its watermark, in the words of the event log. The keys that are remembered after it are not in the event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamingMetrics {
    /// Least and greatest event time of the batch; absent if no row had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_time: Option<EventTimeBounds>,
    /// The watermark with which the batch was executed; absent before there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<String>,
    /// Keys that are remembered; unknown of a batch that only its commit tells of.
    #[serde(skip)]
    pub state_rows: Option<u64>,
    /// Bytes of their files.
    #[serde(skip)]
    pub state_bytes: Option<u64>,
}

impl From<&BatchState> for StreamingMetrics {
    fn from(state: &BatchState) -> Self {
        Self {
            event_time: None,
            watermark: state.watermark_us.map(text),
            state_rows: Some(state.segments().map(|segment| segment.rows).sum()),
            state_bytes: Some(state.segments().map(bytes).sum()),
        }
    }
}

/// The least and the greatest of some event times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTimeBounds {
    /// The least.
    pub min: String,
    /// The greatest.
    pub max: String,
}

/// The watermark of the batch after `state`: per source the greatest event time so far less the delay, of several the least. It never falls.
pub fn watermark(declared: &[DeclaredWatermark], state: Option<&BatchState>) -> Option<i64> {
    let state = state?;
    let of = |one: &DeclaredWatermark| Some(state.event_times.get(&one.name)?.saturating_sub(one.delay_us));
    let least = declared.iter().map(of).collect::<Option<Vec<i64>>>().and_then(|all| all.into_iter().min());
    least.max(state.watermark_us)
}

/// A micro-batch with its place in the sequence.
pub struct Batch<'a> {
    /// Its number.
    pub number: i64,
    /// The watermark with which it was executed.
    pub watermark_us: Option<i64>,
    /// What was remembered before.
    pub previous: Option<&'a BatchState>,
}

/// What is remembered after `batch`: keys that the watermark has passed are left out, and small files of keys are merged.
pub async fn after(plan: &StateOfPlan, batch: &Batch<'_>, staged: &StagedState, compaction: &Compaction) -> Result<BatchState, Failure> {
    let mut event_times = batch.previous.map(|state| state.event_times.clone()).unwrap_or_default();
    for (name, times) in &staged.event_times {
        if let Some((_, greatest)) = times.bounds {
            event_times.entry(name.clone()).and_modify(|known| *known = (*known).max(greatest)).or_insert(greatest);
        }
    }
    let mut operators = Vec::with_capacity(plan.operators.len());
    for (number, operator) in plan.operators.iter().enumerate() {
        let known = batch.previous.and_then(|state| state.operators.get(number));
        let known = known.into_iter().flat_map(|known| &known.segments);
        let new = staged.operators.get(&number).into_iter().flat_map(|staged| &staged.segments);
        let is_needed = |segment: &&Segment| !is_expired(segment.expires_us, batch.watermark_us);
        let segments: Vec<Segment> = known.chain(new).filter(is_needed).cloned().collect();
        let segments = compaction.merged(segments, batch.watermark_us).await?;
        operators.push(OperatorState { operator: operator.clone(), segments });
    }
    Ok(BatchState { version: VERSION, batch: batch.number, watermark_us: batch.watermark_us, event_times, operators })
}

/// Adds what a batch of a flow with state counted to its numbers.
pub fn count(metrics: &mut FlowMetrics, staged: &StagedState, state: &BatchState) {
    let bounds = staged.event_times.values().filter_map(|times| times.bounds);
    let bounds = bounds.reduce(|(low, high), (other_low, other_high)| (low.min(other_low), high.max(other_high)));
    let event_time = bounds.map(|(min, max)| EventTimeBounds { min: text(min), max: text(max) });
    let streaming_metrics = StreamingMetrics { event_time, ..state.into() };
    let num_rows_dropped_by_watermark = staged.operators.values().map(|operator| operator.late).sum();
    metrics.state = Some(Box::new(StateMetrics { num_rows_dropped_by_watermark, streaming_metrics }));
}

/// `eventTime` and `stateOperators` of Spark's streaming progress.
pub fn progress(staged: &StagedState, state: &BatchState) -> (Value, Value) {
    let mut times: BTreeMap<&str, String> = BTreeMap::new();
    let bounds = staged.event_times.values().filter_map(|times| times.bounds);
    if let Some((min, max)) = bounds.reduce(|(low, high), (other_low, other_high)| (low.min(other_low), high.max(other_high))) {
        let (sum, count) = staged.event_times.values().fold((0, 0), |(sum, count), times| (sum + times.sum, count + times.count));
        let average = i64::try_from(sum / i128::from(count.max(1))).unwrap_or(max);
        times.extend([("min", text(min)), ("max", text(max)), ("avg", text(average))]);
    }
    times.extend(state.watermark_us.map(|watermark| ("watermark", text(watermark))));
    let operator = |(number, operator): (usize, &OperatorState)| {
        let staged = staged.operators.get(&number);
        let new = staged.map_or(0, |staged| staged.segments.iter().map(|segment| segment.rows).sum::<u64>());
        json!({
            "operatorName": match operator.operator.kind {
                OperatorKind::Deduplicate => "dedupe",
                OperatorKind::DeduplicateWithinWatermark => "dedupeWithinWatermark",
            },
            "numRowsTotal": operator.segments.iter().map(|segment| segment.rows).sum::<u64>(),
            "numRowsUpdated": new,
            "numRowsDroppedByWatermark": staged.map_or(0, |staged| staged.late),
            "memoryUsedBytes": operator.segments.iter().map(bytes).sum::<u64>(),
        })
    };
    (json!(times), state.operators.iter().enumerate().map(operator).collect())
}

fn bytes(segment: &Segment) -> u64 {
    segment.file.size.max(0) as u64
}

fn text(us: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(us);
    time.map_or_else(|| us.to_string(), |time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}

/// What was staged by a batch and what is remembered after it, for its report.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// What the batch added.
    pub staged: StagedState,
    /// What is known after it.
    pub state: Arc<BatchState>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(watermark_us: Option<i64>, times: &[(&str, i64)]) -> BatchState {
        let event_times = times.iter().map(|(name, time)| ((*name).to_string(), *time)).collect();
        BatchState { version: VERSION, batch: 0, watermark_us, event_times, operators: Vec::new() }
    }

    #[test]
    fn the_watermark_is_the_least_of_all_sources_and_never_falls() {
        let declared = |name: &str, delay_us| DeclaredWatermark { name: name.to_string(), delay_us };
        let one = [declared("a", 10)];
        assert_eq!(watermark(&one, None), None);
        assert_eq!(watermark(&one, Some(&state(None, &[]))), None);
        assert_eq!(watermark(&one, Some(&state(None, &[("a", 100)]))), Some(90));
        assert_eq!(watermark(&one, Some(&state(Some(95), &[("a", 100)]))), Some(95));
        let two = [declared("a", 10), declared("b", 0)];
        assert_eq!(watermark(&two, Some(&state(None, &[("a", 100)]))), None);
        assert_eq!(watermark(&two, Some(&state(Some(20), &[("a", 100)]))), Some(20));
        assert_eq!(watermark(&two, Some(&state(None, &[("a", 100), ("b", 50)]))), Some(50));
        assert_eq!(watermark(&[], Some(&state(Some(7), &[("a", 100)]))), Some(7));
    }
}
