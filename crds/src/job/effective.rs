//! A task with what the defaults of its Job give to it.

use serde_json::Value;

use super::{JobSpec, NestedTask, PodSettings, Retry, RetryOn, Task, TaskDefaults, TaskKind, Work};
use crate::pipeline::EnvVar;

/// What one attempt is made of, before references are resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveTask {
    /// What kind of work.
    pub kind: TaskKind,
    /// Seconds after which an attempt is stopped; 0 = never.
    pub timeout_seconds: i32,
    /// What follows a failure.
    pub retry: EffectiveRetry,
    /// The pods of attempts.
    pub pod: PodSettings,
    /// Pod templates, the defaults' first: each is merged over what is before it.
    pub pod_templates: Vec<Value>,
    /// What is done; empty for a loop.
    pub work: Work,
}

/// What follows a failure, all said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectiveRetry {
    /// So many further attempts; `None` = without end.
    pub max_retries: Option<u32>,
    /// From start to start.
    pub min_interval_seconds: i64,
    /// The longest such time.
    pub max_interval_seconds: i64,
    /// Each interval in percent of the one before.
    pub backoff_factor_percent: i64,
    /// An attempt that took too long is tried again too.
    pub on_timeout: bool,
    /// Which failures are tried again.
    pub retry_on: RetryOn,
    /// Even what will give the same again is tried again, as in a continuous run that never ends by a failure.
    pub even_lasting: bool,
}

impl EffectiveRetry {
    /// The retries of a continuous run whose tasks are tried again until they succeed.
    pub const UNTIL_SUCCESS: Self = Self {
        max_retries: None,
        min_interval_seconds: 10,
        max_interval_seconds: 600,
        backoff_factor_percent: 200,
        on_timeout: true,
        retry_on: RetryOn::AnyFailure,
        even_lasting: true,
    };
}

impl JobSpec {
    /// The task with the defaults of the Job. Of a loop these are the settings of the loop itself.
    pub fn effective(&self, task: &Task) -> EffectiveTask {
        let parts = Parts { timeout: task.timeout_seconds, retry: task.retry.as_ref(), pod: &task.pod, work: &task.work };
        let mut effective = parts.effective(task.kind(), self.task_defaults.as_ref());
        if effective.kind == TaskKind::ForEach {
            // What the defaults say of time and retries belongs to the iterations.
            effective.timeout_seconds = task.timeout_seconds.unwrap_or_default();
        }
        effective
    }

    /// The task of a loop with the defaults of the Job.
    pub fn effective_nested(&self, task: &NestedTask) -> EffectiveTask {
        let parts = Parts { timeout: task.timeout_seconds, retry: task.retry.as_ref(), pod: &task.pod, work: &task.work };
        parts.effective(task.work.kind().unwrap_or(TaskKind::Container), self.task_defaults.as_ref())
    }
}

struct Parts<'a> {
    timeout: Option<i32>,
    retry: Option<&'a Retry>,
    pod: &'a PodSettings,
    work: &'a Work,
}

impl Parts<'_> {
    fn effective(&self, kind: TaskKind, defaults: Option<&TaskDefaults>) -> EffectiveTask {
        let none = TaskDefaults::default();
        let defaults = defaults.unwrap_or(&none);
        EffectiveTask {
            kind,
            timeout_seconds: self.timeout.unwrap_or(defaults.timeout_seconds),
            retry: effective_retry(self.retry.or(defaults.retry.as_ref()), kind),
            pod: effective_pod(self.pod, &defaults.pod),
            pod_templates: [&defaults.pod.pod_template, &self.pod.pod_template].into_iter().flatten().cloned().collect(),
            work: self.work.clone(),
        }
    }
}

fn effective_retry(retry: Option<&Retry>, kind: TaskKind) -> EffectiveRetry {
    let none = Retry::default();
    let retry = retry.unwrap_or(&none);
    let usual = if kind == TaskKind::Container { RetryOn::AnyFailure } else { RetryOn::Transient };
    EffectiveRetry {
        max_retries: u32::try_from(retry.max_retries.unwrap_or_default()).ok(),
        min_interval_seconds: i64::from(retry.min_interval_seconds.unwrap_or_default()),
        max_interval_seconds: i64::from(retry.max_interval_seconds.unwrap_or(3600)),
        backoff_factor_percent: i64::from(retry.backoff_factor_percent.unwrap_or(100)),
        on_timeout: retry.on_timeout.unwrap_or_default(),
        retry_on: retry.retry_on.unwrap_or(usual),
        even_lasting: false,
    }
}

/// Objects are not merged: what the task says stands alone.
fn effective_pod(own: &PodSettings, defaults: &PodSettings) -> PodSettings {
    let list = |own: &Vec<EnvVar>, defaults: &Vec<EnvVar>| if own.is_empty() { defaults.clone() } else { own.clone() };
    PodSettings {
        service_account_name: own.service_account_name.clone().or_else(|| defaults.service_account_name.clone()),
        resources: own.resources.clone().or_else(|| defaults.resources.clone()),
        pod_template: None,
        queue_name: own.queue_name.clone().or_else(|| defaults.queue_name.clone()),
        env: list(&own.env, &defaults.env),
        env_from: if own.env_from.is_empty() { defaults.env_from.clone() } else { own.env_from.clone() },
    }
}
