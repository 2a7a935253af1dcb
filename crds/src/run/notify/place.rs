//! What a delivery speaks of, and by which way it goes: found from its target and its key, because the status holds no more.

use super::{Identity, RunRef, execution};
use crate::{
    job::{Email, JobEvent, JobSpec, Webhook},
    job_run::{Delivery, JobRunStatus},
};

/// What a delivery speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The task; `None` for the run itself.
    pub task: Option<String>,
    /// The execution that it speaks of, if it speaks of the run.
    pub repair: Option<i32>,
    /// The way; `None` if the Job no longer has this notification.
    pub channel: Option<Channel>,
}

/// The way that a delivery goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A request to a server.
    Webhook(Webhook),
    /// A letter.
    Email(Email),
}

impl Place {
    /// Where `delivery` belongs.
    pub fn of(spec: &JobSpec, run: &RunRef, status: &JobRunStatus, delivery: &Delivery) -> Self {
        let event = JobEvent::from_word(&delivery.event);
        let is_of_run_only = matches!(event, Some(JobEvent::Canceled | JobEvent::Skipped | JobEvent::HealthWarning));
        let repair = event.and_then(|event| repair_of(event, run, status, delivery));
        if repair.is_some() || is_of_run_only || !delivery.target.contains('/') {
            let entry = spec.notifications.iter().find(|entry| entry.name == delivery.target);
            let channel = entry.and_then(|entry| channel(entry.webhook.as_ref(), entry.email.as_ref()));
            return Self { task: None, repair, channel };
        }
        let (task, name) = delivery.target.split_once('/').unwrap_or_default();
        of_task(spec, task, name)
    }
}

/// The execution for which the key is right, if `delivery` speaks of the run: names of notifications may look like those of tasks.
fn repair_of(event: JobEvent, run: &RunRef, status: &JobRunStatus, delivery: &Delivery) -> Option<i32> {
    let identity = |repair| Identity { event, name: &delivery.target, task: "", repair, count: 0 };
    (0..=execution(status)).rev().find(|repair| identity(*repair).key(run.uid) == delivery.key)
}

fn of_task(spec: &JobSpec, task: &str, name: &str) -> Place {
    for outer in &spec.tasks {
        let inner = outer.for_each.as_ref().map(|for_each| &for_each.task).filter(|inner| inner.name == task);
        let own = if outer.name == task { outer.notifications.as_slice() } else { &[] };
        let mut entries = own.iter().chain(inner.into_iter().flat_map(|inner| &inner.notifications));
        if let Some(entry) = entries.find(|entry| entry.name == name) {
            let channel = channel(entry.webhook.as_ref(), entry.email.as_ref());
            return Place { task: Some(outer.name.clone()), repair: None, channel };
        }
    }
    Place { task: Some(task.to_string()), repair: None, channel: None }
}

fn channel(webhook: Option<&Webhook>, email: Option<&Email>) -> Option<Channel> {
    webhook.cloned().map(Channel::Webhook).or_else(|| email.cloned().map(Channel::Email))
}
