//! A work queue: keys that wake up, a bounded number of reconciles at once, a back-off per key.

mod due;

use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use due::{DueKeys, Outcome, Turn, Wake};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{clock, error::ErrorClass, key::Key};

/// Time between two beats of the canary that goes through every queue.
const BEAT: Duration = Duration::from_secs(15);

/// A queue of one controller.
#[derive(Debug)]
pub struct Queue {
    due: Mutex<DueKeys>,
    changed: Notify,
    started: Instant,
    /// Milliseconds after `started` at which the canary was last taken through.
    beat: AtomicU64,
}

impl Default for Queue {
    fn default() -> Self {
        Self { due: Mutex::default(), changed: Notify::new(), started: clock::instant(), beat: AtomicU64::new(0) }
    }
}

/// The key that is no object: its turn shows that the queue and its workers move.
fn canary() -> Key {
    Key::new("", "")
}

impl Queue {
    fn due(&self) -> MutexGuard<'_, DueKeys> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `key` should be looked at.
    pub fn wake(&self, key: &Key, wake: Wake) {
        self.due().wake(key, wake, clock::instant());
        self.changed.notify_one();
    }

    /// How many keys wait for a place, and how many for the end of a back-off.
    pub fn waiting(&self) -> (usize, usize) {
        self.due().waiting(clock::instant())
    }

    /// How long ago the canary went through.
    pub fn silence(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.beat.load(Ordering::Relaxed)))
    }

    fn took_canary(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat.store(millis, Ordering::Relaxed);
    }

    /// Hands out turns to `reconcile`, at most `places` at once, until `stop`; then waits for those that run.
    pub async fn run<F, R>(self: Arc<Self>, places: usize, stop: CancellationToken, reconcile: F)
    where
        F: Fn(Turn) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        let reconcile = Arc::new(reconcile);
        let places = Arc::new(Semaphore::new(places.max(1)));
        let mut running = JoinSet::new();
        self.took_canary();
        self.due().begin(clock::instant());
        self.wake(&canary(), Wake::Event);
        loop {
            let place = tokio::select! {
                () = stop.cancelled() => break,
                place = places.clone().acquire_owned() => place,
            };
            let Some(turn) = self.next_turn(&stop).await else { break };
            let (queue, reconcile) = (self.clone(), reconcile.clone());
            running.spawn(async move {
                let _place = place;
                let mut end = End { queue, key: turn.key.clone(), outcome: Outcome::Failed(ErrorClass::Internal) };
                end.outcome = if turn.key == canary() {
                    end.queue.took_canary();
                    Outcome::Again(BEAT)
                } else {
                    reconcile(turn).await
                };
            });
            while running.try_join_next().is_some() {}
        }
        while running.join_next().await.is_some() {}
    }

    async fn next_turn(&self, stop: &CancellationToken) -> Option<Turn> {
        loop {
            let (turn, next) = {
                let mut due = self.due();
                let now = clock::instant();
                // The canary shows that places get free; how many keys wait is no fault.
                let turn = due.take_first(&canary(), now).or_else(|| due.take(now));
                (turn, due.next())
            };
            if turn.is_some() {
                return turn;
            }
            let timer = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return None,
                () = self.changed.notified() => {}
                () = timer => {}
            }
        }
    }

    fn finish(&self, key: &Key, outcome: Outcome) {
        self.due().done(key, outcome, rand::random(), clock::instant());
        self.changed.notify_one();
    }
}

/// Tells the queue how a turn ended, even if the reconcile panicked.
struct End {
    queue: Arc<Queue>,
    key: Key,
    outcome: Outcome,
}

impl Drop for End {
    fn drop(&mut self) {
        self.queue.finish(&self.key, self.outcome);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[tokio::test]
    async fn every_key_is_reconciled_and_a_stop_waits_for_what_runs() {
        let queue = Arc::new(Queue::default());
        for n in 0..50 {
            queue.wake(&Key::new("data", format!("p{n}")), Wake::Event);
        }
        let seen: Arc<Mutex<BTreeMap<Key, u32>>> = Arc::default();
        let stop = CancellationToken::new();
        let (record, ended) = (seen.clone(), stop.clone());
        queue
            .clone()
            .run(4, stop, move |turn| {
                let (record, ended) = (record.clone(), ended.clone());
                async move {
                    tokio::task::yield_now().await;
                    let mut record = record.lock().unwrap();
                    *record.entry(turn.key).or_default() += 1;
                    (record.len() == 50).then(|| ended.cancel());
                    Outcome::Again(Duration::from_mins(10))
                }
            })
            .await;
        assert_eq!(seen.lock().unwrap().values().copied().collect::<Vec<_>>(), vec![1; 50]);
        assert!(queue.silence() < Duration::from_secs(15));
    }
}
