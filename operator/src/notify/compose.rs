//! Puts together what one try needs: what is told, where to, and the secrets on the way.

use std::{path::PathBuf, time::Duration};

use floe_crds::{
    job::{Email, JobSpec, Webhook, WebhookFormat},
    job_run::{Delivery, JobRunStatus},
    run::notify::{CLOUD_EVENTS, Channel, Letter, Notice, Place, RunRef, Tried},
};
use floe_notify::{Login, Mailer, Message, Signing, SmtpServer};
use kube::Client;

use super::{
    secrets::{Secrets, file_bytes, file_text},
    settings::{Notifications, Receiver, Smtp},
};

const JSON: &str = "application/json";

/// One try that is to be made: everything but secrets.
#[derive(Debug)]
pub struct Errand {
    /// Key of the delivery.
    pub key: String,
    /// Namespace of the run, whose Secrets count.
    pub namespace: String,
    /// Tries before this one.
    pub attempts: i32,
    /// What is to be done.
    pub work: Work,
}

/// What is to be done.
#[derive(Debug)]
pub enum Work {
    /// A request with this body.
    Request(Box<Webhook>, String),
    /// A letter.
    Letter(Email, Letter),
    /// The Job no longer says whom to tell.
    Nothing,
}

impl Errand {
    /// The next try of `delivery`.
    pub fn new(spec: &JobSpec, run: RunRef, status: &JobRunStatus, delivery: &Delivery, console_url: &str) -> Self {
        let place = Place::of(spec, &run, status, delivery);
        let notice = Notice::new(run, status, delivery, &place, console_url);
        let work = match &place.channel {
            Some(Channel::Webhook(webhook)) => {
                let body = match webhook.format {
                    WebhookFormat::CloudEvents => notice.cloud_event(),
                    WebhookFormat::Slack => notice.slack(),
                };
                Work::Request(Box::new(webhook.clone()), body)
            }
            Some(Channel::Email(email)) => Work::Letter(email.clone(), notice.letter(&email.subject)),
            None => Work::Nothing,
        };
        Self { key: delivery.key.clone(), namespace: run.namespace.to_string(), attempts: delivery.attempts, work }
    }

    /// The label of metrics.
    pub fn target(&self) -> &'static str {
        if matches!(self.work, Work::Letter(..)) { "email" } else { "webhook" }
    }
}

/// The request of a try. An error is what the try came to.
pub async fn message(client: &Client, known: &Notifications, errand: &Errand, webhook: &Webhook, body: &str) -> Result<Message, Tried> {
    let mut secrets = Secrets::new(client, &errand.namespace);
    let receiver = match &webhook.receiver {
        Some(name) => Some(known.receiver(name).ok_or_else(|| unknown_receiver(known, name))?),
        None => None,
    };
    let url = match (receiver, &webhook.url, &webhook.url_from) {
        (Some(Receiver { url: Some(url), .. }), ..) | (None, Some(url), _) => url.clone(),
        (Some(Receiver { url_file: Some(file), .. }), ..) => file_text(file).await?,
        (None, None, Some(from)) => secrets.text(&from.secret_key_ref).await?,
        _ => return Err(Tried::given_up("webhook needs exactly one of url, urlFrom, receiver")),
    };
    let signing = match &webhook.signing_key_from {
        Some(from) => {
            let key = &from.secret_key_ref;
            let previous = format!("{}-previous", key.key);
            Some(Signing { key: secrets.bytes(key).await?, previous: secrets.optional(&key.name, &previous).await? })
        }
        None => signing_of(receiver).await?,
    };
    let mut headers = headers_of(receiver).await?;
    for header in &webhook.headers {
        let value = match (&header.value, &header.value_from) {
            (Some(value), _) => value.clone(),
            (None, Some(from)) => secrets.text(&from.secret_key_ref).await?,
            (None, None) => String::new(),
        };
        headers.push((header.name.clone(), value));
    }
    Ok(Message {
        url,
        headers,
        content_type: match webhook.format {
            WebhookFormat::CloudEvents => CLOUD_EVENTS,
            WebhookFormat::Slack => JSON,
        },
        body: body.to_string(),
        key: errand.key.clone(),
        signing,
        timeout: Duration::from_secs(u64::try_from(webhook.timeout_seconds).unwrap_or(10).max(1)),
    })
}

fn unknown_receiver(known: &Notifications, name: &str) -> Tried {
    let names: Vec<&str> = known.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    let names = if names.is_empty() { "it knows none".to_string() } else { format!("it knows {}", names.join(", ")) };
    Tried::given_up(format!("ReceiverNotFound: the operator knows no receiver '{name}'; {names}"))
}

async fn signing_of(receiver: Option<&Receiver>) -> Result<Option<Signing>, Tried> {
    let Some(file) = receiver.and_then(|receiver| receiver.signing_key_file.as_ref()) else { return Ok(None) };
    let mut previous = file.clone().into_os_string();
    previous.push("-previous");
    let previous = tokio::fs::read(PathBuf::from(previous)).await.ok();
    Ok(Some(Signing { key: file_bytes(file).await?, previous }))
}

async fn headers_of(receiver: Option<&Receiver>) -> Result<Vec<(String, String)>, Tried> {
    let mut headers = Vec::new();
    for header in receiver.into_iter().flat_map(|receiver| &receiver.headers) {
        let value = match (&header.value, &header.value_file) {
            (Some(value), _) => value.clone(),
            (None, Some(file)) => file_text(file).await?,
            (None, None) => String::new(),
        };
        headers.push((header.name.clone(), value));
    }
    Ok(headers)
}

/// The way to the mail server.
pub async fn mailer(smtp: &Smtp) -> Result<Mailer, Tried> {
    let login = match (&smtp.username_file, &smtp.password_file) {
        (Some(user), Some(password)) => Some(Login { user: file_text(user).await?, password: file_text(password).await? }),
        _ => None,
    };
    let ca = match &smtp.ca_file {
        Some(file) => Some(file_bytes(file).await?),
        None => None,
    };
    let server = SmtpServer { host: smtp.host.clone(), port: smtp.port, encryption: smtp.tls.into(), from: smtp.from.clone(), login, ca };
    // Reading the certificates of the system blocks.
    let mailer = tokio::task::spawn_blocking(move || Mailer::new(&server)).await;
    match mailer {
        Ok(Ok(mailer)) => Ok(mailer),
        Ok(Err(fault)) => Err(Tried::given_up(format!("SmtpNotConfigured: {fault}"))),
        Err(error) => Err(Tried::again(format!("the mail server was not asked: {error}"))),
    }
}
