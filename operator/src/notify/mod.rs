//! Makes the tries of deliveries, beside the reconciles: what they came to is kept here until the controller of the run has written it into the
//! status. A process that dies forgets it; the delivery is still pending in the status then and is made again, with the same key.
//!
//! The controller calls [`Deliveries::fold`] on the status that it has read, and [`Deliveries::start_due`] with the one that it has written.

mod compose;
mod secrets;
pub mod settings;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use compose::{Errand, Work};
use floe_crds::{
    job::JobSpec,
    job_run::{Delivery, DeliveryState, JobRunStatus},
    run::notify::{Outcome, RunRef, Tried, Verdict, is_due},
};
use floe_notify::{Hosts, Webhooks};
use jiff::Timestamp;
use kube::Client;
use settings::Notifications;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{clock, key::Key, metrics::Metrics};

/// Tries at once.
const AT_ONCE: usize = 20;
/// Tries at once at one host.
const AT_ONCE_PER_HOST: usize = 5;

type Waker = Box<dyn Fn(&Key) + Send + Sync>;

/// Makes the tries of deliveries. Clones share everything.
#[derive(Clone)]
pub struct Deliveries {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    known: Notifications,
    console_url: String,
    webhooks: Webhooks,
    metrics: Metrics,
    wake: OnceLock<Waker>,
    /// Reads of secrets at once.
    reads: Semaphore,
    places: Semaphore,
    hosts: Mutex<HashMap<String, Weak<Semaphore>>>,
    memory: Mutex<Memory>,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Memory {
    /// Keys of deliveries whose try is being made.
    underway: HashSet<String>,
    /// What tries came to, by run and key, until it is seen in the status.
    outcomes: HashMap<Key, HashMap<String, Outcome>>,
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deliveries")
    }
}

impl Deliveries {
    /// Sends as `known` says; `console_url`: where people can see runs, empty if nowhere.
    pub fn new(client: Client, known: Notifications, console_url: &str, metrics: Metrics) -> Result<Self, floe_notify::Fault> {
        let webhooks = Webhooks::new(Hosts::new(known.allowed.clone()))?;
        let inner = Inner {
            client,
            known,
            console_url: console_url.to_string(),
            webhooks,
            metrics,
            wake: OnceLock::new(),
            reads: Semaphore::new(AT_ONCE),
            places: Semaphore::new(AT_ONCE),
            hosts: Mutex::default(),
            memory: Mutex::default(),
            tasks: TaskTracker::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Calls `wake` with the run whenever a try has ended. Only the first call counts.
    pub fn on_end(&self, wake: impl Fn(&Key) + Send + Sync + 'static) {
        let _ = self.inner.wake.set(Box::new(wake));
    }

    /// Writes into `status` what tries came to, and forgets what is written there already. Hands back the deliveries that were given up by it.
    pub fn fold(&self, run: &Key, status: &mut JobRunStatus) -> Vec<Delivery> {
        let mut given_up = Vec::new();
        let mut memory = self.inner.memory();
        let Some(outcomes) = memory.outcomes.get_mut(run) else { return given_up };
        // What the status does not hold (any more) will never be asked for.
        outcomes.retain(|key, outcome| status.notifications.iter().any(|delivery| delivery.key == *key && is_news(delivery, outcome)));
        for delivery in &mut status.notifications {
            let Some(outcome) = outcomes.get(&delivery.key) else { continue };
            outcome.fold(delivery);
            if delivery.state == DeliveryState::Failed {
                given_up.push(delivery.clone());
            }
        }
        if outcomes.is_empty() {
            memory.outcomes.remove(run);
        }
        given_up
    }

    /// What the newest try of a delivery came to, until it is seen in the status.
    pub fn outcome(&self, run: &Key, key: &str) -> Option<Outcome> {
        self.inner.memory().outcomes.get(run)?.get(key).cloned()
    }

    /// Makes the tries that are due at `now`, in the background. `status` must be what the API server holds: what is not written there before its
    /// first try would be lost with this process.
    pub fn start_due(&self, spec: &JobSpec, run: RunRef, status: &JobRunStatus, now: Timestamp) {
        for delivery in status.notifications.iter().filter(|delivery| is_due(delivery, now)) {
            self.start(spec, run, status, delivery);
        }
    }

    /// Makes the next try of `delivery`, unless it is being made, or has been made and the status does not know yet.
    pub fn start(&self, spec: &JobSpec, run: RunRef, status: &JobRunStatus, delivery: &Delivery) {
        let key = Key::new(run.namespace, run.name);
        let inner = &self.inner;
        if inner.tasks.is_closed() || !inner.memory().claim(&key, delivery) {
            return;
        }
        let errand = Errand::new(spec, run, status, delivery, &inner.console_url);
        let task = Arc::clone(inner);
        inner.tasks.spawn(async move {
            let tried = task.attempt(&errand).await;
            task.ended(&key, &errand, &tried);
        });
    }

    /// Forgets a run that is gone.
    pub fn forget(&self, run: &Key) {
        self.inner.memory().outcomes.remove(run);
    }

    /// Starts nothing more, and waits no longer than `grace` for the tries that are being made.
    pub async fn close(&self, grace: Duration) {
        self.inner.tasks.close();
        if tokio::time::timeout(grace, self.inner.tasks.wait()).await.is_err() {
            tracing::warn!(tries = self.inner.tasks.len(), "tries of notifications are broken off; they are made again at the next start");
        }
    }
}

/// True if the status does not know this outcome.
fn is_news(delivery: &Delivery, outcome: &Outcome) -> bool {
    delivery.state == DeliveryState::Pending && delivery.attempts < outcome.attempts
}

impl Memory {
    /// Takes the delivery, if no try of it is being made and the status knows what the one before came to.
    fn claim(&mut self, run: &Key, delivery: &Delivery) -> bool {
        let outcome = self.outcomes.get(run).and_then(|outcomes| outcomes.get(&delivery.key));
        !outcome.is_some_and(|outcome| is_news(delivery, outcome)) && self.underway.insert(delivery.key.clone())
    }
}

impl Inner {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn attempt(&self, errand: &Errand) -> Tried {
        let tried = match &errand.work {
            Work::Request(webhook, body) => self.post(errand, webhook, body).await,
            Work::Letter(email, letter) => self.mail(errand, &email.to, letter).await,
            Work::Nothing => Ok(Tried::given_up("the Job no longer has this notification")),
        };
        tried.unwrap_or_else(|tried| tried)
    }

    async fn post(&self, errand: &Errand, webhook: &floe_crds::job::Webhook, body: &str) -> Result<Tried, Tried> {
        let message = {
            let _read = self.reads.acquire().await;
            compose::message(&self.client, &self.known, errand, webhook, body).await?
        };
        // Of an URL that cannot be read nothing is connected to.
        let host = message.url.parse::<http::Uri>().ok().and_then(|uri| Some(uri.host()?.to_ascii_lowercase())).unwrap_or_default();
        // First the host, so that one that is slow takes no places from others.
        let host = self.host(host);
        let _turn = host.acquire().await;
        let _place = self.places.acquire().await;
        Ok(self.webhooks.send(&message, clock::now()).await)
    }

    async fn mail(&self, errand: &Errand, to: &[String], letter: &floe_crds::run::notify::Letter) -> Result<Tried, Tried> {
        let Some(smtp) = &self.known.smtp else {
            return Err(Tried::given_up("SmtpNotConfigured: the operator knows no mail server; set smtp in the values of its chart"));
        };
        let host = self.host(smtp.host.to_ascii_lowercase());
        let _turn = host.acquire().await;
        let _place = self.places.acquire().await;
        Ok(compose::mailer(smtp).await?.send(letter, to, &errand.key, clock::now()).await)
    }

    /// The turns of one host.
    fn host(&self, name: String) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hosts.get(&name).and_then(Weak::upgrade) {
            return known;
        }
        hosts.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(AT_ONCE_PER_HOST));
        hosts.insert(name, Arc::downgrade(&turns));
        turns
    }

    fn ended(&self, run: &Key, errand: &Errand, tried: &Tried) {
        let outcome = Outcome::after(tried, errand.attempts + 1, clock::now(), rand::random());
        let (namespace, name, key) = (&run.namespace, &run.name, &errand.key);
        let result = match (tried.verdict, outcome.state) {
            (Verdict::Delivered, _) => "delivered",
            (_, DeliveryState::Pending) => "retried",
            _ => "failed",
        };
        self.metrics.notification(errand.target(), result);
        let (attempt, message) = (outcome.attempts, tried.message.as_str());
        if outcome.state == DeliveryState::Failed {
            tracing::warn!(namespace, name, key, attempt, message, "a notification was given up");
        } else {
            tracing::info!(namespace, name, key, attempt, message, "a notification was {result}");
        }
        {
            let mut memory = self.memory();
            memory.underway.remove(&errand.key);
            memory.outcomes.entry(run.clone()).or_default().insert(errand.key.clone(), outcome);
        }
        if let Some(wake) = self.wake.get() {
            wake(run);
        }
    }
}
