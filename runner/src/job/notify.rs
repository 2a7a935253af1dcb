//! Whom to tell of a run: notifications are printed. Requests to addresses that the manifest says plainly are sent, if that was asked for.

use std::{sync::Arc, time::Duration};

use floe_crds::{
    job::{JobSpec, Webhook, WebhookFormat},
    job_run::{Delivery, DeliveryState, JobRunStatus},
    run::notify::{CLOUD_EVENTS, Channel, Notice, Place, RunRef, Verdict, due, keep},
};
use floe_notify::{Hosts, IpNet, Message, Webhooks};
use k8s_openapi::jiff::Timestamp;
use tokio::sync::mpsc;

use super::{drive::Event, site::Site};
use crate::{failure::Failure, output::Paint};

/// Runs without a cluster are in no namespace.
pub const NAMESPACE: &str = "local";
/// So many tries follow each other; whoever waits for the run does not wait for hours.
const TRIES: i32 = 3;
/// Between two of them.
const PAUSE: Duration = Duration::from_secs(1);

/// Sends to any host: this process has no rights that its user has not.
pub fn webhooks() -> Result<Webhooks, Failure> {
    let all: Vec<IpNet> = ["0.0.0.0/0", "::/0"].iter().filter_map(|net| net.parse().ok()).collect();
    Webhooks::new(Hosts::new(all)).map_err(|error| Failure::internal("requests cannot be made").caused_by(error))
}

/// Puts what becomes due into `after`, tells it, and gives what is to be sent.
pub fn news(site: &Site, spec: &JobSpec, run: &RunRef<'_>, before: &JobRunStatus, after: &mut JobRunStatus) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut told = Vec::new();
    for mut delivery in due(spec, run, before, after, Timestamp::now()) {
        let place = Place::of(spec, run, after, &delivery);
        match way(site, &Notice::new(*run, after, &delivery, &place, ""), &place, &delivery) {
            Ok(message) => messages.push(message),
            Err(text) => {
                let sign = Paint::Cyan.on("→", site.terminal.color_err);
                site.terminal.note(&format!("{sign} {:<24} {}: {text}", delivery.target, delivery.event.to_lowercase()));
                delivery.state = DeliveryState::Delivered;
                delivery.message = Some("printed, not sent: the run had no cluster".to_string());
            }
        }
        told.push(delivery);
    }
    // What has no room any more was printed, or is being sent.
    let _ = keep(after, told);
    messages
}

/// The request that is sent, or what is printed in its place.
fn way(site: &Site, notice: &Notice<'_>, place: &Place, delivery: &Delivery) -> Result<Message, String> {
    match &place.channel {
        Some(Channel::Email(email)) => Err(format!("e-mail to {}: {}", email.to.join(", "), notice.letter(&email.subject).subject)),
        Some(Channel::Webhook(webhook)) => request(site, notice, webhook, &delivery.key),
        None => Err("the job no longer says whom to tell".to_string()),
    }
}

fn request(site: &Site, notice: &Notice<'_>, webhook: &Webhook, key: &str) -> Result<Message, String> {
    if let Some(receiver) = &webhook.receiver {
        return Err(format!("webhook receiver {receiver}, which only the operator knows"));
    }
    let Some(url) = &webhook.url else { return Err("webhook, whose address is in a Secret of the cluster".to_string()) };
    let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_string)).unwrap_or_default();
    let needs_secret = webhook.signing_key_from.is_some() || webhook.headers.iter().any(|header| header.value_from.is_some());
    if needs_secret {
        return Err(format!("webhook at {host}, with values from Secrets of the cluster"));
    }
    if site.webhooks.is_none() {
        return Err(format!("webhook at {host} (--notify sends it)"));
    }
    let (content_type, body) = match webhook.format {
        WebhookFormat::CloudEvents => (CLOUD_EVENTS, notice.cloud_event()),
        WebhookFormat::Slack => ("application/json", notice.slack()),
    };
    Ok(Message {
        url: url.clone(),
        headers: webhook.headers.iter().map(|header| (header.name.clone(), header.value.clone().unwrap_or_default())).collect(),
        content_type,
        body,
        key: key.to_string(),
        signing: None,
        timeout: Duration::from_secs(u64::try_from(webhook.timeout_seconds).unwrap_or(10).max(1)),
    })
}

/// Sends one message, and tells what became of it.
pub async fn send(site: Arc<Site>, message: Message, events: mpsc::UnboundedSender<Event>) {
    let mut attempts = 0;
    let outcome = loop {
        let Some(webhooks) = &site.webhooks else { break Some("not sent".to_string()) };
        let tried = webhooks.send(&message, Timestamp::now()).await;
        attempts += 1;
        match tried.verdict {
            Verdict::Delivered => break None,
            Verdict::Again if attempts < TRIES => tokio::time::sleep(PAUSE).await,
            _ => break Some(tried.message),
        }
    };
    let _ = events.send(Event::Told { key: message.key, attempts, problem: outcome });
}
