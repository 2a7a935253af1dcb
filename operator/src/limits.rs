//! What is held back: a rate with a burst, and the starts of runner pods. Pure; the time is an argument.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{metrics::Metrics, settings::Limits};

/// Permits at `rate` per second, of which `burst` may be saved up. Callers come in order: each is told how long its own turn is away.
#[derive(Clone, Debug)]
pub struct Bucket {
    interval: Duration,
    burst: u32,
    /// When the bucket is full again.
    full_at: Option<Instant>,
}

impl Bucket {
    /// `rate` permits per second; 0 = no limit.
    pub fn new(rate: f64, burst: u32) -> Self {
        let interval = if rate > 0.0 { Duration::from_secs_f64(1.0 / rate) } else { Duration::ZERO };
        Self { interval, burst: burst.max(1), full_at: None }
    }

    /// Takes the next permit; it is valid after the time that is returned.
    pub fn take(&mut self, now: Instant) -> Duration {
        if self.interval.is_zero() {
            return Duration::ZERO;
        }
        let full_at = self.full_at.filter(|at| *at > now).unwrap_or(now) + self.interval;
        self.full_at = Some(full_at);
        full_at.saturating_duration_since(now + self.interval * self.burst)
    }
}

/// Which limit holds a start back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// `--max-active-pods`.
    Pods,
    /// `--max-active-pods-per-namespace`.
    NamespacePods,
    /// `--pod-create-rate`.
    Rate,
}

impl Limit {
    /// All limits.
    pub const ALL: &'static [Self] = &[Self::Pods, Self::NamespacePods, Self::Rate];

    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::NamespacePods => "namespace_pods",
            Self::Rate => "rate",
        }
    }
}

/// Runner pods that are there now, as the caches show them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActivePods {
    /// In all namespaces.
    pub total: usize,
    /// In the namespace of the start.
    pub in_namespace: usize,
}

/// A start that must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// What holds it back.
    pub limit: Limit,
    /// When to ask again, if nothing happens before.
    pub retry_after: Duration,
}

/// How long a start waits for a place if no pod ends before.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// A turn that nobody came for is forgotten after this time.
const TURN_EXPIRES: Duration = Duration::from_mins(1);

/// Admits starts of runner pods. Places are taken under one lock, so that reconciles that run at once cannot pass a limit together.
#[derive(Clone)]
pub struct Starts {
    limits: Limits,
    metrics: Metrics,
    state: Arc<Mutex<State>>,
    /// Starts that may be prepared at once: the other places of the queue are there for what runs already.
    at_once: Arc<Semaphore>,
}

struct State {
    bucket: Bucket,
    /// Starts that are admitted and not yet in the caches, by namespace.
    in_flight: BTreeMap<String, usize>,
    /// When the turn of a start comes that waits for the rate.
    turns: HashMap<(String, String), Instant>,
    held: HashMap<(String, String), Limit>,
    /// Storage roots for which a start is being prepared.
    roots: HashMap<String, Weak<tokio::sync::Mutex<()>>>,
}

/// A place of a pod that is being made. Drop it once the pod's Job is in the cache, or could not be made.
#[must_use = "the place is free again when this is dropped"]
pub struct Place {
    key: (String, String),
    state: Arc<Mutex<State>>,
}

impl Place {
    /// The start was held back by something else: it keeps its turn, so that those which wait cannot use up the rate.
    pub fn give_back(self, now: Instant) {
        lock(&self.state).turns.insert(self.key.clone(), now);
    }
}

impl Starts {
    /// Nothing is held back yet.
    pub fn new(limits: Limits, metrics: Metrics) -> Self {
        let state = State {
            bucket: Bucket::new(limits.pod_create_rate, limits.pod_create_burst),
            in_flight: BTreeMap::new(),
            turns: HashMap::new(),
            held: HashMap::new(),
            roots: HashMap::new(),
        };
        let at_once = (limits.max_concurrent_reconciles / 2).clamp(1, Semaphore::MAX_PERMITS);
        Self { limits, metrics, state: Arc::new(Mutex::new(state)), at_once: Arc::new(Semaphore::new(at_once)) }
    }

    /// Leave to prepare a start, until it is dropped; `None` while too many others do.
    pub fn begin(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.at_once).try_acquire_owned().ok()
    }

    /// A place for the pod of `namespace/name`, or what holds it back. `active` is counted while nobody else can take a place.
    pub fn admit(&self, namespace: &str, name: &str, now: Instant, active: impl FnOnce() -> ActivePods) -> Result<Place, HeldBack> {
        let key = (namespace.to_string(), name.to_string());
        let mut state = lock(&self.state);
        let outcome = state.admit(&self.limits, &key, now, active());
        match &outcome {
            Ok(()) => state.held.remove(&key),
            Err(held) => state.held.insert(key.clone(), held.limit),
        };
        self.show(&state);
        drop(state);
        outcome.map(|()| Place { key, state: Arc::clone(&self.state) })
    }

    /// The lock of a storage root: whoever holds it is the only one that looks whether the root is free and then starts a pod for it.
    pub fn root(&self, root: &str) -> Arc<tokio::sync::Mutex<()>> {
        let roots = &mut lock(&self.state).roots;
        if let Some(held) = roots.get(root).and_then(Weak::upgrade) {
            return held;
        }
        roots.retain(|_, held| held.strong_count() > 0);
        let free = Arc::default();
        roots.insert(root.to_string(), Arc::downgrade(&free));
        free
    }

    /// `namespace/name` does not wait any more: it was canceled, deleted or coalesced.
    pub fn forget(&self, namespace: &str, name: &str) {
        let key = (namespace.to_string(), name.to_string());
        let mut state = lock(&self.state);
        state.turns.remove(&key);
        if state.held.remove(&key).is_some() {
            self.show(&state);
        }
    }

    fn show(&self, state: &State) {
        for limit in Limit::ALL {
            self.metrics.held_back(*limit, state.held.values().filter(|held| *held == limit).count());
        }
    }
}

impl State {
    fn admit(&mut self, limits: &Limits, key: &(String, String), now: Instant, active: ActivePods) -> Result<(), HeldBack> {
        let wait = |limit, retry_after| Err(HeldBack { limit, retry_after });
        let total = active.total + self.in_flight.values().sum::<usize>();
        let in_namespace = active.in_namespace + self.in_flight.get(&key.0).copied().unwrap_or(0);
        if limits.max_active_pods_per_namespace > 0 && in_namespace >= limits.max_active_pods_per_namespace {
            return wait(Limit::NamespacePods, ASK_AGAIN);
        }
        if limits.max_active_pods > 0 && total >= limits.max_active_pods {
            return wait(Limit::Pods, ASK_AGAIN);
        }
        self.turns.retain(|_, at| now < *at + TURN_EXPIRES);
        let turn = *self.turns.entry(key.clone()).or_insert_with(|| now + self.bucket.take(now));
        if turn > now {
            return wait(Limit::Rate, turn - now);
        }
        self.turns.remove(key);
        *self.in_flight.entry(key.0.clone()).or_default() += 1;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if let Some(count) = state.in_flight.get_mut(&self.key.0) {
            *count -= 1;
            if *count == 0 {
                state.in_flight.remove(&self.key.0);
            }
        }
    }
}

/// The lock holds plain values that are right between any two statements: a panic elsewhere does not spoil them.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Detail;

    fn starts(limits: Limits) -> Starts {
        Starts::new(limits, Metrics::new(Detail::Dataset).unwrap())
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let now = Instant::now();
        let mut bucket = Bucket::new(10.0, 3);
        let waits: Vec<u128> = (0..5).map(|_| bucket.take(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        let later = now + Duration::from_mins(1);
        assert_eq!(
            [bucket.take(later), bucket.take(later), bucket.take(later)],
            [Duration::ZERO; 3],
            "saved up, but no more than the burst"
        );
        assert_eq!(bucket.take(later).as_millis(), 100);
        let mut unlimited = Bucket::new(0.0, 0);
        assert!((0..1000).all(|_| unlimited.take(now).is_zero()));
    }

    #[test]
    fn places_that_are_not_in_the_caches_yet_count() {
        let limits = Limits { max_active_pods: 3, max_active_pods_per_namespace: 2, ..Limits::default() };
        let starts = starts(limits);
        let now = Instant::now();
        let none = ActivePods::default;
        let first = starts.admit("a", "u1", now, none).ok().unwrap();
        let _second = starts.admit("a", "u2", now, none).ok().unwrap();
        assert_eq!(starts.admit("a", "u3", now, none).err().unwrap().limit, Limit::NamespacePods);
        let _third = starts.admit("b", "u1", now, none).ok().unwrap();
        assert_eq!(starts.admit("b", "u2", now, none).err().unwrap().limit, Limit::Pods);
        drop(first);
        let cached = || ActivePods { total: 1, in_namespace: 1 };
        assert_eq!(starts.admit("a", "u3", now, cached).err().unwrap().limit, Limit::NamespacePods, "the place moved into the cache");
        assert!(starts.admit("a", "u3", now, none).is_ok(), "the pod ended");
    }

    #[test]
    fn every_start_waits_for_its_own_turn() {
        let starts = starts(Limits { pod_create_rate: 10.0, pod_create_burst: 1, ..Limits::default() });
        let now = Instant::now();
        let ask = |name: &str, at| starts.admit("a", name, at, ActivePods::default).map_err(|held| held.retry_after.as_millis());
        assert!(ask("u1", now).is_ok());
        assert_eq!((ask("u2", now).err(), ask("u3", now).err(), ask("u2", now).err()), (Some(100), Some(200), Some(100)));
        assert!(ask("u2", now + Duration::from_millis(100)).is_ok());
        assert!(ask("u3", now + Duration::from_millis(200)).is_ok());
    }

    #[test]
    fn a_start_that_is_held_back_elsewhere_keeps_its_turn() {
        let starts = starts(Limits { pod_create_rate: 10.0, pod_create_burst: 1, ..Limits::default() });
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(10));
        let ask = |name: &str, at| starts.admit("a", name, at, ActivePods::default).map_err(|held| held.retry_after.as_millis());
        for at in [now, now, later, later] {
            ask("u1", at).ok().unwrap().give_back(at);
        }
        assert!(ask("u2", later).is_ok(), "u1 has taken one permit, long ago");
        assert!(ask("u1", later).is_ok());
        assert_eq!(ask("u1", later).err(), Some(100), "the next one is another start");
    }

    #[test]
    fn half_of_the_places_are_not_for_starts() {
        let starts = starts(Limits { max_concurrent_reconciles: 5, ..Limits::default() });
        let first = starts.begin();
        assert!(first.is_some() && starts.begin().is_some());
        let _second = starts.begin();
        assert!(starts.begin().is_none());
        drop(first);
        assert!(starts.begin().is_some());
    }

    #[test]
    fn held_back_starts_are_shown_until_they_start_or_go() {
        let metrics = Metrics::new(Detail::Dataset).unwrap();
        let starts = Starts::new(Limits { max_active_pods: 1, ..Limits::default() }, metrics.clone());
        let now = Instant::now();
        let full = || ActivePods { total: 1, in_namespace: 0 };
        for name in ["u1", "u2", "u2"] {
            assert!(starts.admit("a", name, now, full).is_err());
        }
        let shown = |metrics: &Metrics, line: &str| metrics.expose(jiff::Timestamp::UNIX_EPOCH).unwrap().lines().any(|found| found == line);
        assert!(shown(&metrics, "floe_operator_held_back{limit=\"pods\"} 2"));
        starts.forget("a", "u1");
        let _place = starts.admit("a", "u2", now, ActivePods::default).ok().unwrap();
        assert!(shown(&metrics, "floe_operator_held_back{limit=\"pods\"} 0"));
    }
}
