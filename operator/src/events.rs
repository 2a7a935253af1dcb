//! Kubernetes Events: transitions that people should see in `kubectl describe`. Writing them never delays or fails a reconcile.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use floe_crds::text::cut;
use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::{clock, metrics::Metrics};

/// Longest note of an Event, in bytes.
const MAX_NOTE_BYTES: usize = 1000;
/// Equal reasons on one object within this time are one series.
const SERIES: Duration = Duration::from_mins(6);
/// Events that wait to be written; more are dropped and counted.
const MAX_WAITING: usize = 1000;
/// The controller that Events name.
const CONTROLLER: &str = "floe-operator";

/// How an Event is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// As it should be.
    Normal,
    /// Someone should look.
    Warning,
}

impl Severity {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

macro_rules! reasons {
    ($($(#[$meta:meta])* $variant:ident,)+) => {
        /// What happened. The list is closed: people write alerts on these words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventReason {
            $($(#[$meta])* $variant,)+
        }

        impl EventReason {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in the API.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }
        }
    };
}

reasons! {
    /// Pipeline: an update waits.
    UpdateQueued,
    /// Pipeline: the first attempt of an update started.
    UpdateStarted,
    /// Pipeline: an update ended well.
    UpdateCompleted,
    /// Pipeline: an update failed.
    UpdateFailed,
    /// Pipeline: an update was canceled.
    UpdateCanceled,
    /// Pipeline: another attempt follows.
    UpdateRetrying,
    /// Pipeline: the definition has errors.
    GraphInvalid,
    /// Pipeline: columns of a table changed.
    SchemaChanged,
    /// Pipeline: a flow failed for good.
    FlowFailed,
    /// Table: a view that could be maintained incrementally was computed anew.
    IncrementalDegraded,
    /// Pipeline: a table that must not be reset would have been.
    ResetRefused,
    /// JobRun: it waits for its place.
    RunQueued,
    /// JobRun: it has started.
    RunStarted,
    /// JobRun: it ended well.
    RunSucceeded,
    /// JobRun: it failed or took too long.
    RunFailed,
    /// JobRun: someone stopped it.
    RunCanceled,
    /// JobRun: it never started.
    RunSkipped,
    /// JobRun: a task failed.
    TaskFailed,
    /// JobRun: another attempt of a task follows.
    TaskRetrying,
    /// JobRun: a repair has started.
    RepairStarted,
    /// JobRun: a repair is not carried out.
    RepairRejected,
    /// JobRun: a request or a letter was given up.
    NotificationFailed,
    /// JobRun: it takes too long, or its pipelines lag behind.
    HealthWarning,
    /// Pipeline, Table, Job: the object passed the checks that need no runner.
    Accepted,
    /// Pipeline, Table: a field is wrong, or the stored object cannot be read.
    InvalidSpec,
    /// Pipeline: another pipeline has the storage root.
    StorageConflict,
    /// Pipeline, Job: nothing starts by itself any more.
    Suspended,
    /// Pipeline, Job: updates or runs start by themselves again.
    Resumed,
    /// Pipeline, Table: the object went, data stayed.
    CleanupFailed,
    /// Pipeline: containers of the runner cannot start.
    PodStartFailed,
    /// Pipeline: no node takes the runner.
    Unschedulable,
    /// Pipeline: a quota forbids the runner.
    QuotaExceeded,
    /// Pipeline: tables were compacted and cleaned.
    MaintenanceCompleted,
    /// Pipeline, Job: instants of a schedule passed without update or run.
    MissedSchedules,
    /// Table: the dataset's table was made.
    Created,
    /// Table: the dataset was emptied to be computed anew.
    Reset,
    /// Table: the dataset is not declared any more; its data stay.
    Inactive,
    /// Table: expectations failed in an update.
    QualityViolated,
    /// Job: a field is wrong: no trigger fires and no run starts.
    Invalid,
    /// Job: a trigger made a run.
    TriggerFired,
    /// Job: what a trigger looks at cannot be seen, or its run cannot be made.
    TriggerError,
    /// Job: too many jobs led to the end that would have fired.
    TriggerChainTooLong,
}

/// What people should know of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// How it is shown.
    pub severity: Severity,
    /// The word for machines.
    pub reason: EventReason,
    /// The sentence for people.
    pub note: String,
    /// Name of the PipelineUpdate that it came from, if it is told of another object.
    pub update: Option<String>,
}

impl News {
    /// `note`, because of `reason`.
    pub fn new(severity: Severity, reason: EventReason, note: impl Into<String>) -> Self {
        Self { severity, reason, note: note.into(), update: None }
    }

    /// The same, and where it came from.
    #[must_use]
    pub fn of_update(self, update: Option<String>) -> Self {
        Self { update, ..self }
    }
}

/// Writes Events. One per process, so that it knows which series it is writing; clones are the same recorder.
#[derive(Clone, Debug)]
pub struct Recorder {
    waiting: mpsc::Sender<Item>,
    metrics: Metrics,
}

/// What the writer takes, in order.
#[derive(Debug)]
enum Item {
    Event(Box<Pending>),
    /// Everything before it is written or lost.
    Done(oneshot::Sender<()>),
}

/// One Event to be written.
#[derive(Clone, Debug)]
struct Pending {
    regarding: ObjectReference,
    news: News,
    related: Option<ObjectReference>,
    at: Timestamp,
}

impl Recorder {
    /// A recorder that writes as `instance` (the pod), and the task that does it; the task ends when all clones of the recorder are gone.
    pub fn new(client: Client, instance: &str, metrics: Metrics) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (waiting, mut items) = mpsc::channel(MAX_WAITING);
        let mut writer = Writer { client, instance: instance.to_string(), series: HashMap::new() };
        let failed = metrics.clone();
        let task = async move {
            while let Some(item) = items.recv().await {
                let pending = match item {
                    Item::Event(pending) => pending,
                    Item::Done(done) => {
                        let _ = done.send(());
                        continue;
                    }
                };
                if let Err(error) = writer.write(&pending).await {
                    failed.events_failed();
                    tracing::warn!(
                        kind = pending.regarding.kind,
                        namespace = pending.regarding.namespace,
                        name = pending.regarding.name,
                        reason = pending.news.reason.as_str(),
                        %error,
                        "event not written"
                    );
                }
            }
        };
        (Self { waiting, metrics }, task)
    }

    /// Tells `news` of the object `regarding`; `related` is the other object that had to do with it.
    pub fn publish(&self, regarding: ObjectReference, mut news: News, related: Option<ObjectReference>) {
        news.note.truncate(cut(&news.note, MAX_NOTE_BYTES).len());
        let reason = news.reason.as_str();
        if self.waiting.try_send(Item::Event(Box::new(Pending { regarding, news, related, at: clock::now() }))).is_err() {
            self.metrics.events_failed();
            tracing::warn!(reason, "event dropped: {MAX_WAITING} others wait");
        }
    }

    /// Waits until everything that was published is written, at most for `longest`.
    pub async fn flush(&self, longest: Duration) {
        let (done, written) = oneshot::channel();
        let flush = async {
            if self.waiting.send(Item::Done(done)).await.is_ok() {
                let _ = written.await;
            }
        };
        if tokio::time::timeout(longest, flush).await.is_err() {
            tracing::warn!("events are not written in time");
        }
    }
}

/// What makes Events one series.
type SeriesKey = (String, String, Severity, EventReason);

/// An Event that may be continued.
#[derive(Clone, Debug)]
struct Series {
    name: String,
    count: i32,
    newest: Instant,
}

struct Writer {
    client: Client,
    instance: String,
    series: HashMap<SeriesKey, Series>,
}

impl Writer {
    async fn write(&mut self, pending: &Pending) -> kube::Result<()> {
        let Pending { regarding, news, at, .. } = pending;
        let now = clock::instant();
        self.series.retain(|_, series| now.duration_since(series.newest) < SERIES);
        let object = regarding.uid.clone().or_else(|| regarding.name.clone()).unwrap_or_default();
        let key = (regarding.kind.clone().unwrap_or_default(), object, news.severity, news.reason);
        // Events of objects without namespace are kept in this one by convention.
        let events: Api<Event> = Api::namespaced(self.client.clone(), regarding.namespace.as_deref().unwrap_or("default"));
        if let Some(series) = self.series.get_mut(&key) {
            let count = series.count + 1;
            let patch = json!({"series": {"count": count, "lastObservedTime": MicroTime(*at)}});
            let params = PatchParams { field_manager: Some(CONTROLLER.to_string()), ..PatchParams::default() };
            match events.patch(&series.name, &params, &Patch::Merge(patch)).await {
                Ok(_) => {
                    (series.count, series.newest) = (count, now);
                    return Ok(());
                }
                // Someone deleted it, or it is too old for the server: begin another one.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        let event = pending.event(&self.instance);
        let name = event.metadata.name.clone().unwrap_or_default();
        events.create(&PostParams { field_manager: Some(CONTROLLER.to_string()), ..PostParams::default() }, &event).await?;
        self.series.insert(key, Series { name, count: 1, newest: now });
        Ok(())
    }
}

impl Pending {
    fn event(&self, instance: &str) -> Event {
        let object = self.regarding.name.as_deref().unwrap_or("unknown");
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{:016x}", cut(object, 200), rand::random::<u64>())),
                namespace: Some(self.regarding.namespace.clone().unwrap_or_else(|| "default".to_string())),
                ..ObjectMeta::default()
            },
            action: Some(self.news.reason.as_str().to_string()),
            event_time: Some(MicroTime(self.at)),
            note: Some(self.news.note.clone()),
            reason: Some(self.news.reason.as_str().to_string()),
            regarding: Some(self.regarding.clone()),
            related: self.related.clone(),
            reporting_controller: Some(CONTROLLER.to_string()),
            reporting_instance: Some(cut(instance, 128).to_string()),
            type_: Some(self.news.severity.as_str().to_string()),
            ..Event::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{Arc, Mutex},
    };

    use http::{Method, Request, Response};
    use http_body_util::{BodyExt, Full};
    use kube::client::Body;
    use serde_json::Value;
    use tower::service_fn;

    use super::*;
    use crate::metrics::Detail;

    /// An API server that keeps Events.
    #[derive(Clone, Default)]
    struct Server {
        events: Arc<Mutex<Vec<Value>>>,
    }

    impl Server {
        async fn answer(self, request: Request<Body>) -> Result<Response<Full<axum::body::Bytes>>, Infallible> {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let name = parts.uri.path().rsplit('/').next().unwrap().to_string();
            let mut events = self.events.lock().unwrap();
            let (code, answer) = match parts.method {
                Method::POST => {
                    events.push(body.clone());
                    (201, body)
                }
                _ => match events.iter_mut().find(|event| event["metadata"]["name"] == *name) {
                    Some(event) => {
                        event["series"] = body["series"].clone();
                        (200, event.clone())
                    }
                    None => (404, json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "gone"})),
                },
            };
            let answer = serde_json::to_vec(&answer).unwrap();
            Ok(Response::builder().status(code).body(Full::new(answer.into())).unwrap())
        }

        fn recorder(&self, metrics: &Metrics) -> Recorder {
            let server = self.clone();
            let client = Client::new(service_fn(move |request| server.clone().answer(request)), "default");
            let (recorder, writer) = Recorder::new(client, "floe-0", metrics.clone());
            tokio::spawn(writer);
            recorder
        }

        fn seen(&self) -> Vec<(String, String, i64)> {
            let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_string();
            let events = self.events.lock().unwrap();
            events
                .iter()
                .map(|event| (text(event, "reason"), text(event, "note"), event["series"]["count"].as_i64().unwrap_or(1)))
                .collect()
        }
    }

    fn object(name: &str) -> ObjectReference {
        ObjectReference {
            kind: Some("Pipeline".to_string()),
            namespace: Some("data".to_string()),
            name: Some(name.to_string()),
            uid: Some(format!("uid-{name}")),
            ..ObjectReference::default()
        }
    }

    const FLUSH: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn o38_equal_reasons_on_one_object_are_one_series_and_a_deleted_event_is_made_again() {
        let (server, metrics) = (Server::default(), Metrics::new(Detail::Dataset).unwrap());
        let recorder = server.recorder(&metrics);
        let failed = |name, note: &str, related: Option<&str>| {
            recorder.publish(object(name), News::new(Severity::Warning, EventReason::UpdateFailed, note), related.map(object));
        };
        failed("bookstore", "first", Some("bookstore-u1"));
        failed("bookstore", "second", Some("bookstore-u2"));
        failed("gym", "other", None);
        recorder.publish(object("bookstore"), News::new(Severity::Normal, EventReason::UpdateStarted, "started"), None);
        recorder.flush(FLUSH).await;
        let seen = |reason: &str, note: &str, count| (reason.to_string(), note.to_string(), count);
        let expected = vec![seen("UpdateFailed", "first", 2), seen("UpdateFailed", "other", 1), seen("UpdateStarted", "started", 1)];
        assert_eq!(server.seen(), expected);
        server.events.lock().unwrap().clear();
        failed("bookstore", "third", None);
        failed("bookstore", "fourth", None);
        recorder.flush(FLUSH).await;
        assert_eq!(server.seen(), [seen("UpdateFailed", "third", 2)]);
    }

    #[tokio::test]
    async fn o38_notes_are_short_and_what_is_lost_is_counted() {
        let (server, metrics) = (Server::default(), Metrics::new(Detail::Dataset).unwrap());
        let recorder = server.recorder(&metrics);
        recorder.publish(object("bookstore"), News::new(Severity::Normal, EventReason::Accepted, "ä".repeat(700)), None);
        recorder.flush(FLUSH).await;
        assert_eq!(server.seen()[0].1.len(), MAX_NOTE_BYTES);
        assert_eq!(server.events.lock().unwrap()[0]["reportingInstance"], "floe-0");
        // Nobody writes between these calls: there is one thread.
        for number in 0..MAX_WAITING + 5 {
            recorder.publish(object(&format!("p{number}")), News::new(Severity::Normal, EventReason::Accepted, ""), None);
        }
        recorder.flush(FLUSH).await;
        assert_eq!(server.seen().len(), 1 + MAX_WAITING);
        let text = metrics.expose(Timestamp::UNIX_EPOCH).unwrap();
        assert!(text.lines().any(|line| line == "floe_operator_events_failed_total 5"), "{text}");
    }
}
