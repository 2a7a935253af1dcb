//! What is warned of while a run goes on.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A warning above a value; it stops nothing.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HealthRule {
    /// What is measured.
    pub metric: HealthMetric,
    /// Above it there is a warning.
    #[schemars(range(min = 0))]
    pub value: i64,
    /// The warning is repeated after this time.
    #[serde(default = "HealthRule::default_every")]
    #[schemars(range(min = 60, max = 604_800))]
    pub every_seconds: i32,
}

impl HealthRule {
    fn default_every() -> i32 {
        1800
    }
}

/// What is measured of a run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HealthMetric {
    /// Seconds since it has started to run.
    RunDurationSeconds,
    /// Records that the streams of its pipelines have not read yet; mean of ten minutes.
    StreamingBacklogRecords,
    /// Bytes that the streams of its pipelines have not read yet; mean of ten minutes.
    StreamingBacklogBytes,
    /// Files that the streams of its pipelines have not read yet; mean of ten minutes.
    StreamingBacklogFiles,
    /// How far the streams of its pipelines are behind, in seconds; mean of ten minutes.
    StreamingBacklogSeconds,
}

impl HealthMetric {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunDurationSeconds => "RunDurationSeconds",
            Self::StreamingBacklogRecords => "StreamingBacklogRecords",
            Self::StreamingBacklogBytes => "StreamingBacklogBytes",
            Self::StreamingBacklogFiles => "StreamingBacklogFiles",
            Self::StreamingBacklogSeconds => "StreamingBacklogSeconds",
        }
    }
}
