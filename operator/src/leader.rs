//! Leader election by a Lease. Time is measured by the clock that never jumps: another holder is trusted until its Lease has not changed for the
//! time that it says, and this process trusts itself until ten seconds after the last renewal that it sent. `Guard` is asked before every write,
//! so a process that slept while another took over writes nothing any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};

use crate::clock;

/// How long the others trust a holder that is silent.
const DURATION: Duration = Duration::from_secs(15);
/// How long a holder trusts itself without a renewal.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Time between two looks or renewals.
const RETRY: Duration = Duration::from_secs(2);
/// Longest time of one call for the Lease.
const CALL: Duration = Duration::from_secs(5);

/// Says whether this process may write.
#[derive(Clone, Debug)]
pub struct Guard {
    origin: Instant,
    /// Milliseconds after `origin` until which writes may leave.
    until: Arc<AtomicU64>,
}

impl Guard {
    /// Nothing may be written until the lease is held.
    pub fn closed() -> Self {
        Self { origin: clock::instant(), until: Arc::new(AtomicU64::new(0)) }
    }

    /// For a process that does not take part in an election.
    pub fn always_open() -> Self {
        Self { origin: clock::instant(), until: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// Writes may leave until `deadline`.
    pub fn open_until(&self, deadline: Instant) {
        let millis = deadline.saturating_duration_since(self.origin).as_millis();
        self.until.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Nothing may be written any more.
    pub fn close(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// True if a write may leave at `now`.
    pub fn is_open(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.origin).as_millis() < u128::from(self.until.load(Ordering::Acquire))
    }
}

/// Why the lease is not held any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Another one holds it.
    #[error("{0} holds the lease")]
    Taken(String),
    /// The last renewal is too long ago.
    #[error("the lease was not renewed for {} s", RENEW_DEADLINE.as_secs())]
    Expired,
}

/// Takes part in the election.
pub struct Elector {
    leases: Api<Lease>,
    name: String,
    identity: String,
    guard: Guard,
    /// The Lease as it was last read or written.
    lease: Option<Lease>,
    rival: Rival,
}

/// Another holder, and since when its Lease has not changed.
#[derive(Clone, Debug, Default)]
struct Rival {
    seen: Option<(String, Option<MicroTime>, Instant)>,
}

/// What to do about the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// It is free, or ours.
    Write,
    /// Another one holds it.
    Wait(String),
}

impl Rival {
    /// What to do about `lease`, seen at `now`.
    fn step(&mut self, lease: Option<&LeaseSpec>, identity: &str, now: Instant) -> Step {
        let holder = lease.and_then(|lease| lease.holder_identity.clone()).unwrap_or_default();
        if holder.is_empty() || holder == identity {
            self.seen = None;
            return Step::Write;
        }
        let renewed = lease.and_then(|lease| lease.renew_time.clone());
        let since = match &self.seen {
            Some((known, at, since)) if *known == holder && *at == renewed => *since,
            _ => {
                self.seen = Some((holder.clone(), renewed, now));
                now
            }
        };
        let seconds = lease.and_then(|lease| lease.lease_duration_seconds).and_then(|seconds| u64::try_from(seconds).ok());
        let trusted = seconds.map_or(DURATION, Duration::from_secs);
        if now.saturating_duration_since(since) >= trusted { Step::Write } else { Step::Wait(holder) }
    }
}

impl Elector {
    /// Takes part as `identity` in the election of the Lease `namespace/name`; opens `guard` while it holds it.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, guard: Guard) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_string(),
            identity: identity.to_string(),
            guard,
            lease: None,
            rival: Rival::default(),
        }
    }

    /// Waits until this process holds the lease.
    pub async fn acquire(&mut self) {
        let mut known = None;
        loop {
            match self.attempt().await {
                Ok(None) => return,
                Ok(Some(holder)) if known.as_ref() != Some(&holder) => {
                    tracing::info!(holder, "another operator holds the lease");
                    known = Some(holder);
                }
                Ok(Some(_)) => {}
                Err(error) => tracing::warn!(%error, "lease not read or written"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Renews the lease until it is lost; the guard is closed then.
    pub async fn hold(&mut self) -> Lost {
        let lost = self.renew().await;
        self.guard.close();
        lost
    }

    async fn renew(&mut self) -> Lost {
        let mut deadline = clock::instant() + RENEW_DEADLINE;
        loop {
            tokio::time::sleep(RETRY).await;
            if !self.guard.is_open(clock::instant()) {
                return Lost::Expired;
            }
            let sent = clock::instant();
            let left = deadline.saturating_duration_since(sent);
            match tokio::time::timeout(left, self.attempt()).await {
                Ok(Ok(None)) => deadline = sent + RENEW_DEADLINE,
                Ok(Ok(Some(holder))) => return Lost::Taken(holder),
                Ok(Err(error)) => tracing::warn!(%error, "lease not renewed"),
                Err(_) => {}
            }
            if clock::instant() >= deadline {
                return Lost::Expired;
            }
        }
    }

    /// Gives the lease back, so that another operator need not wait for its end.
    pub async fn release(&mut self) {
        self.guard.close();
        match self.empty().await {
            Ok(true) => tracing::info!("lease released"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "lease not released"),
        }
    }

    /// Takes this process out of the Lease, if it is in it. Read anew: a renewal may have been cut short.
    async fn empty(&mut self) -> Result<bool, Error> {
        let Some(mut lease) = within(self.leases.get_opt(&self.name)).await? else { return Ok(false) };
        let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(self.identity.as_str())) else {
            return Ok(false);
        };
        spec.holder_identity = None;
        spec.renew_time = Some(MicroTime(clock::now()));
        within(self.leases.replace(&self.name, &PostParams::default(), &lease)).await?;
        Ok(true)
    }

    /// Takes or renews the lease; names the holder if it is another one.
    async fn attempt(&mut self) -> Result<Option<String>, Error> {
        let sent = clock::instant();
        if self.lease.is_none() {
            self.lease = within(self.leases.get_opt(&self.name)).await?;
        }
        let spec = self.lease.as_ref().and_then(|lease| lease.spec.as_ref());
        if let Step::Wait(holder) = self.rival.step(spec, &self.identity, sent) {
            self.lease = None;
            return Ok(Some(holder));
        }
        let wanted = self.wanted(clock::now());
        let params = PostParams::default();
        let written = match &self.lease {
            None => within(self.leases.create(&params, &wanted)).await,
            Some(_) => within(self.leases.replace(&self.name, &params, &wanted)).await,
        };
        match written {
            Ok(lease) => {
                self.lease = Some(lease);
                self.guard.open_until(sent + RENEW_DEADLINE);
                Ok(None)
            }
            // Whoever was faster is seen at the next look.
            Err(error) => {
                self.lease = None;
                Err(error)
            }
        }
    }

    /// The Lease with this process as its holder.
    fn wanted(&self, now: Timestamp) -> Lease {
        let before = self.lease.as_ref().and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let ours = before.holder_identity.as_deref() == Some(self.identity.as_str());
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(DURATION.as_secs() as i32),
            acquire_time: if ours { before.acquire_time } else { Some(MicroTime(now)) },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(before.lease_transitions.map_or(0, |count| count + i32::from(!ours))),
            ..before
        };
        let metadata = self
            .lease
            .as_ref()
            .map_or_else(|| ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() }, |lease| lease.metadata.clone());
        Lease { metadata, spec: Some(spec) }
    }
}

/// Why the Lease could not be read or written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("no answer within {} s", CALL.as_secs())]
    TimedOut,
}

async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    Ok(tokio::time::timeout(CALL, call).await.map_err(|_| Error::TimedOut)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewed: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_string()),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_rival_is_trusted_until_its_lease_has_not_changed_for_its_duration() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rival = Rival::default();
        let mut step = |spec: Option<LeaseSpec>, seconds| rival.step(spec.as_ref(), "b", at(seconds));
        let wait = Step::Wait("a".to_string());
        assert_eq!(step(Some(lease("a", 1)), 0), wait, "however old its times are: only this clock counts");
        assert_eq!(step(Some(lease("a", 1)), 14), wait);
        assert_eq!(step(Some(lease("a", 2)), 15), wait, "it was renewed");
        assert_eq!(step(Some(lease("a", 2)), 29), wait);
        assert_eq!(step(Some(lease("a", 2)), 30), Step::Write);
        assert_eq!(step(Some(lease("", 3)), 31), Step::Write, "released");
        assert_eq!(step(Some(lease("b", 3)), 31), Step::Write, "ours");
        assert_eq!(step(None, 31), Step::Write, "never made");
    }

    #[test]
    fn a_guard_closes_by_itself() {
        let guard = Guard::closed();
        let now = clock::instant();
        assert!(!guard.is_open(now) && Guard::always_open().is_open(now));
        guard.open_until(now + Duration::from_secs(10));
        assert!(guard.is_open(now + Duration::from_secs(9)) && !guard.is_open(now + Duration::from_secs(11)));
        guard.close();
        assert!(!guard.is_open(now));
    }
}
