//! What the process remembers to spare requests. Losing it costs some reads and nothing else.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use floe_crds::{job::HealthMetric, run::scene::Snapshot};
use jiff::Timestamp;

use crate::{clock, key::Key};

/// What was checked is believed for so long.
const BELIEVED: Duration = Duration::from_mins(10);

/// What a ConfigMap holds, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMapHashes {
    /// The version that was read.
    pub resource_version: String,
    /// Hash of each key's value.
    pub keys: BTreeMap<String, String>,
}

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    config_maps: HashMap<Key, Arc<ConfigMapHashes>>,
    /// Hash of a Pipeline's ConfigMaps and Tables, and when it was first seen.
    sources: HashMap<Key, (String, Timestamp)>,
    /// Hash of the objects beside a Pipeline, and when they were found right.
    access: HashMap<Key, (String, Instant)>,
    /// The number of each Pipeline's newest update, where that update was deleted.
    absent: HashMap<Key, i64>,
    /// Newest sequence number of each report that was folded.
    reports: HashMap<Key, i64>,
    /// Pipelines that another operator looks after, and when they were found.
    foreign: HashMap<Key, Instant>,
    /// What runs took of their Jobs, by uid of the run and number of the repair, and when it was last asked for.
    snapshots: HashMap<(String, i32), (Arc<Snapshot>, Instant)>,
    /// Backlogs of runs by their uid, with the times of looks.
    backlogs: HashMap<(String, HealthMetric), Vec<(Timestamp, i64)>>,
}

impl Memory {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was read of a ConfigMap.
    pub fn config_map(&self, key: &Key) -> Option<Arc<ConfigMapHashes>> {
        self.inner().config_maps.get(key).cloned()
    }

    /// Keeps what was read of a ConfigMap.
    pub fn remember_config_map(&self, key: &Key, hashes: ConfigMapHashes) -> Arc<ConfigMapHashes> {
        let hashes = Arc::new(hashes);
        self.inner().config_maps.insert(key.clone(), hashes.clone());
        hashes
    }

    /// Since when the sources of a Pipeline have this hash.
    pub fn unchanged_since(&self, pipeline: &Key, hash: &str, now: Timestamp) -> Timestamp {
        let mut inner = self.inner();
        match inner.sources.get(pipeline) {
            Some((known, since)) if known == hash => *since,
            _ => {
                inner.sources.insert(pipeline.clone(), (hash.to_string(), now));
                now
            }
        }
    }

    /// True if the objects beside a Pipeline were found as `hash` says, not long ago.
    pub fn has_access(&self, pipeline: &Key, hash: &str) -> bool {
        let inner = self.inner();
        inner.access.get(pipeline).is_some_and(|(known, at)| known == hash && at.elapsed() < BELIEVED)
    }

    /// The objects beside a Pipeline are as `hash` says.
    pub fn saw_access(&self, pipeline: &Key, hash: String) {
        self.inner().access.insert(pipeline.clone(), (hash, clock::instant()));
    }

    /// True if the API server does not have the update of this number any more.
    pub fn is_absent(&self, pipeline: &Key, number: i64) -> bool {
        self.inner().absent.get(pipeline) == Some(&number)
    }

    /// The API server does not have the update of this number any more.
    pub fn saw_absent(&self, pipeline: &Key, number: i64) {
        self.inner().absent.insert(pipeline.clone(), number);
    }

    /// True if another operator was found to look after the Pipeline, not long ago.
    pub fn is_foreign(&self, pipeline: &Key) -> bool {
        self.inner().foreign.get(pipeline).is_some_and(|at| at.elapsed() < BELIEVED)
    }

    /// Another operator looks after the Pipeline.
    pub fn saw_foreign(&self, pipeline: &Key) {
        let mut inner = self.inner();
        inner.foreign.retain(|_, at| at.elapsed() < BELIEVED);
        inner.foreign.insert(pipeline.clone(), clock::instant());
    }

    /// What the run `uid` took of its Job for this repair.
    pub fn snapshot(&self, uid: &str, repair: i32) -> Option<Arc<Snapshot>> {
        let mut inner = self.inner();
        let (snapshot, used) = inner.snapshots.get_mut(&(uid.to_string(), repair))?;
        *used = clock::instant();
        Some(snapshot.clone())
    }

    /// Keeps what the run `uid` took of its Job; what nobody has asked for in a while is forgotten.
    pub fn remember_snapshot(&self, uid: &str, repair: i32, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        let mut inner = self.inner();
        inner.snapshots.retain(|_, (_, used)| used.elapsed() < BELIEVED);
        inner.snapshots.insert((uid.to_string(), repair), (snapshot.clone(), clock::instant()));
        snapshot
    }

    /// Notes the backlog of a run, and gives what was noted of it in the last ten minutes. Runs that nobody has looked at for so long are forgotten.
    pub fn backlog(&self, uid: &str, metric: HealthMetric, now: Timestamp, number: i64) -> Vec<(Timestamp, i64)> {
        let mut inner = self.inner();
        let young = |at: &Timestamp| now.duration_since(*at).as_secs() <= 600;
        inner.backlogs.retain(|_, numbers| numbers.last().is_some_and(|(at, _)| young(at)));
        let numbers = inner.backlogs.entry((uid.to_string(), metric)).or_default();
        numbers.retain(|(at, _)| young(at));
        numbers.push((now, number));
        numbers.clone()
    }

    /// What is known of the objects beside a Pipeline, and of these ConfigMaps, may be wrong.
    pub fn doubt(&self, pipeline: &Key, config_maps: &[Key]) {
        let mut inner = self.inner();
        inner.access.remove(pipeline);
        for config_map in config_maps {
            inner.config_maps.remove(config_map);
        }
    }

    /// True if the report was not folded yet with this sequence number, or a later one.
    pub fn is_new_report(&self, report: &Key, sequence: i64) -> bool {
        let mut inner = self.inner();
        let is_new = inner.reports.get(report).is_none_or(|known| *known < sequence);
        if is_new {
            inner.reports.insert(report.clone(), sequence);
        }
        is_new
    }

    /// The report is gone.
    pub fn forget_report(&self, report: &Key) {
        self.inner().reports.remove(report);
    }

    /// The Pipeline is gone.
    pub fn forget(&self, pipeline: &Key) {
        let mut inner = self.inner();
        inner.sources.remove(pipeline);
        inner.access.remove(pipeline);
        inner.absent.remove(pipeline);
    }

    /// The ConfigMap is gone.
    pub fn forget_config_map(&self, key: &Key) {
        self.inner().config_maps.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_new_once() {
        let (memory, report) = (Memory::default(), Key::new("data", "shop-u1-a1"));
        assert_eq!([1, 1, 2, 1].map(|sequence| memory.is_new_report(&report, sequence)), [true, false, true, false]);
        memory.forget_report(&report);
        assert!(memory.is_new_report(&report, 1));
    }

    #[test]
    fn doubt_ends_belief_and_keeps_the_time_of_quiet() {
        let (memory, pipeline, sql) = (Memory::default(), Key::new("data", "shop"), Key::new("data", "sql"));
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        memory.saw_access(&pipeline, "hash".to_string());
        memory.remember_config_map(&sql, ConfigMapHashes { resource_version: "1".to_string(), keys: BTreeMap::new() });
        memory.unchanged_since(&pipeline, "sources", now);
        assert!(memory.has_access(&pipeline, "hash") && memory.config_map(&sql).is_some());
        memory.doubt(&pipeline, std::slice::from_ref(&sql));
        assert!(!memory.has_access(&pipeline, "hash") && memory.config_map(&sql).is_none());
        assert_eq!(memory.unchanged_since(&pipeline, "sources", now + jiff::SignedDuration::from_secs(9)), now);
    }
}
