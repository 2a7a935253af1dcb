//! A recorded event: one row of the table `event_log` and one JSON line on stdout.
#![expect(missing_docs, reason = "fields are the columns of the table")]

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    event::{Event, EventDetails, EventError, Level, Subject},
    redact::{MAX_DETAIL_BYTES, MAX_MESSAGE_BYTES, MAX_STACK_FRAMES, Redaction, fit_json, truncated},
};
use crate::execute::progress::CountedIn;

/// Who records: the update, its attempt, its pipeline and the place where it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// UUID of the update.
    pub update_id: String,
    /// 1, 2, …
    pub attempt: u32,
    pub pipeline_id: String,
    pub pipeline_name: String,
    pub host: String,
    pub namespace: Option<String>,
    pub cluster_id: Option<String>,
    pub request_id: Option<String>,
    pub maintenance_id: Option<String>,
    pub graph_id: Option<String>,
}

impl Identity {
    /// `<update id>/<attempt>`: the scope of sequence numbers.
    pub fn instance(&self) -> String {
        format!("{}/{}", self.update_id, self.attempt)
    }
}

/// One event with identity, order and time; texts are redacted and within their limits.
#[derive(Clone, Debug)]
pub struct Record {
    /// UUIDv7.
    pub id: String,
    pub seq_no: i64,
    pub identity: Identity,
    pub subject: Subject,
    /// Microseconds, UTC.
    pub timestamp: DateTime<Utc>,
    pub message: String,
    pub level: Level,
    pub maturity_level: &'static str,
    pub error: Option<EventError>,
    /// JSON text `{"<event_type>": {…}}`.
    pub details: String,
    pub event_type: &'static str,
    /// The typed details, as they were given (not redacted): never printed.
    pub typed: EventDetails,
    /// The commit whose numbers the event reports.
    pub reports: Option<CountedIn>,
}

impl Record {
    /// `event` as the `seq_no`th of `identity`.
    pub(super) fn new(event: Event, identity: &Identity, seq_no: i64, redaction: &Redaction) -> Self {
        let mut details =
            serde_json::to_value(&event.details).unwrap_or_else(|error| json!({ event.details.event_type(): error.to_string() }));
        redaction.json(&mut details);
        let error = event.error.map(|error| bounded_error(error, redaction));
        Self {
            id: Uuid::now_v7().to_string(),
            seq_no,
            identity: identity.clone(),
            subject: event.subject,
            timestamp: event.timestamp.unwrap_or_else(Utc::now),
            message: truncated(redaction.text(&event.message), MAX_MESSAGE_BYTES),
            level: event.level,
            maturity_level: event.details.maturity_level(),
            error,
            details: fit_json(details, MAX_DETAIL_BYTES),
            event_type: event.details.event_type(),
            typed: event.details,
            reports: event.reports,
        }
    }

    /// The record as one line of JSON; fields without value are absent, `details` is the object that the table holds as text.
    pub fn json_line(&self) -> String {
        let details = serde_json::from_str(&self.details).unwrap_or(Value::Null);
        serde_json::to_string(&self.shape(details)).unwrap_or_default()
    }

    /// The record as the columns of the table.
    pub(super) fn row(&self) -> Row<'_> {
        self.shape(Value::String(self.details.clone()))
    }

    fn shape(&self, details: Value) -> Row<'_> {
        Row {
            id: &self.id,
            sequence: json!({"data_plane_id": {"instance": self.identity.instance(), "seq_no": self.seq_no}}),
            origin: self.origin(),
            timestamp: self.timestamp.to_rfc3339_opts(SecondsFormat::Micros, true),
            message: &self.message,
            level: self.level.as_str(),
            maturity_level: self.maturity_level,
            error: self.error.as_ref(),
            details,
            event_type: self.event_type,
        }
    }

    fn origin(&self) -> Value {
        let (identity, subject) = (&self.identity, &self.subject);
        let mut origin = json!({
            "host": identity.host,
            "pipeline_id": identity.pipeline_id,
            "pipeline_name": identity.pipeline_name,
            "pipeline_type": "WORKSPACE",
            "cluster_id": identity.cluster_id,
            "update_id": identity.update_id,
            "maintenance_id": identity.maintenance_id,
            "request_id": identity.request_id,
            "table_id": subject.table_id,
            "table_name": subject.table_name,
            "dataset_name": subject.dataset_name,
            "sink_name": subject.sink_name,
            "flow_id": subject.flow_id,
            "flow_name": subject.flow_name,
            "batch_id": subject.batch_id,
            "graph_id": identity.graph_id,
            "namespace": identity.namespace,
            "attempt": identity.attempt,
        });
        if let Value::Object(fields) = &mut origin {
            fields.retain(|_, value| !value.is_null());
        }
        origin
    }
}

/// The columns of the table in their order.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    id: &'a str,
    sequence: Value,
    origin: Value,
    timestamp: String,
    message: &'a str,
    level: &'a str,
    maturity_level: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a EventError>,
    details: Value,
    event_type: &'a str,
}

fn bounded_error(mut error: EventError, redaction: &Redaction) -> EventError {
    for cause in &mut error.exceptions {
        cause.message = truncated(redaction.text(&cause.message), MAX_MESSAGE_BYTES);
        cause.stack.truncate(MAX_STACK_FRAMES);
    }
    error
}
