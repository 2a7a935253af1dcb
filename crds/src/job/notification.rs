//! Whom to tell of runs and tasks.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whom to tell of runs: exactly one of `webhook` and `email`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.webhook) != has(self.email)").message("notification needs exactly one of webhook, email"))]
pub struct JobNotification {
    /// Name, unique in the list.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// What is told.
    #[schemars(length(min = 1, max = 6))]
    pub events: Vec<JobEvent>,
    /// A request to a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// A letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
}

/// What can be told of a run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobEvent {
    /// It has started.
    Start,
    /// It ended well, even if a task failed on the way.
    Success,
    /// It failed or took too long.
    Failure,
    /// Someone stopped it.
    Canceled,
    /// It never started.
    Skipped,
    /// A rule of `health` was broken.
    HealthWarning,
}

impl JobEvent {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Start, Self::Success, Self::Failure, Self::Canceled, Self::Skipped, Self::HealthWarning];

    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "Start",
            Self::Success => "Success",
            Self::Failure => "Failure",
            Self::Canceled => "Canceled",
            Self::Skipped => "Skipped",
            Self::HealthWarning => "HealthWarning",
        }
    }

    /// The event that `word` names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.as_str() == word)
    }
}

/// Whom to tell of a task: exactly one of `webhook` and `email`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.webhook) != has(self.email)").message("notification needs exactly one of webhook, email"))]
pub struct TaskNotification {
    /// Name, unique in the list.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// What is told.
    #[schemars(length(min = 1, max = 3))]
    pub events: Vec<TaskEvent>,
    /// A request to a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// A letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// Nothing is told of the starts of retries, nor of failures that a retry follows.
    #[serde(default = "TaskNotification::default_only_last")]
    pub only_last_attempt: bool,
}

impl TaskNotification {
    fn default_only_last() -> bool {
        true
    }
}

/// What can be told of a task.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskEvent {
    /// An attempt has started.
    Start,
    /// It ended well.
    Success,
    /// It failed or took too long.
    Failure,
}

impl TaskEvent {
    /// The same event of a run.
    pub const fn job_event(self) -> JobEvent {
        match self {
            Self::Start => JobEvent::Start,
            Self::Success => JobEvent::Success,
            Self::Failure => JobEvent::Failure,
        }
    }
}

/// A request to a server: exactly one of `url`, `urlFrom` and `receiver`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.url), has(self.urlFrom), has(self.receiver)].filter(x, x).size() == 1")
        .message("webhook needs exactly one of url, urlFrom, receiver")
)]
pub struct Webhook {
    /// Where to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub url: Option<String>,
    /// The Secret with the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_from: Option<ValueFrom>,
    /// Name of a receiver of the operator's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub receiver: Option<String>,
    /// What is sent.
    #[serde(default)]
    pub format: WebhookFormat,
    /// Headers of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub headers: Vec<Header>,
    /// The Secret with the key that signs the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key_from: Option<ValueFrom>,
    /// The server must answer in this time.
    #[serde(default = "Webhook::default_timeout")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: i32,
}

impl Webhook {
    fn default_timeout() -> i32 {
        10
    }
}

/// What a webhook sends.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebhookFormat {
    /// A CloudEvent as JSON.
    #[default]
    CloudEvents,
    /// A message as chat programs take it.
    Slack,
}

/// A header: exactly one of `value` and `valueFrom`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.value) != has(self.valueFrom)").message("header needs exactly one of value, valueFrom"))]
pub struct Header {
    /// Its name.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// The Secret with the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
}

/// Where a value is kept.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ValueFrom {
    /// A key of a Secret of the Job's namespace.
    pub secret_key_ref: SecretKey,
}

/// A key of a Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A letter.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Email {
    /// To whom.
    #[schemars(length(min = 1, max = 50), inner(length(min = 3, max = 320)))]
    pub to: Vec<String>,
    /// Its subject; empty = `[Floe] <namespace>/<job> <RESULT>`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 200))]
    pub subject: String,
}
