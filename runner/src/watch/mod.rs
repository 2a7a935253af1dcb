//! The watcher of a Job: looks at directories and tables that only the tenant's credentials reach, and reports what has changed.

mod arrivals;

use std::{collections::BTreeMap, path::Path, time::Duration};

use chrono::{DateTime, Utc};
use floe_crds::{
    request::{WatchRequest, WatchedTable, WatchedTrigger},
    run_report::{RunReportSpec, TriggerWatch},
    text::cut,
};
use futures::StreamExt;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::MicroTime, jiff::Timestamp};
use object_store::Error as StoreError;
use tokio::task::JoinSet;

use self::arrivals::Arrivals;
use crate::{
    commit::table,
    failure::Failure,
    report::{time, work::WorkReport},
    source::files,
    storage::{Location, Stores, store_failure},
};

/// Longest pause after looks that failed.
const MOST_PAUSE: Duration = Duration::from_mins(15);
/// Longest error in the report.
const MAX_ERROR_BYTES: usize = 1024;

/// Looks at every trigger of `request` again and again, and puts what it sees into `report`. `earlier` is what an earlier process has reported.
/// It ends only if it is dropped.
pub async fn watch(request: &WatchRequest, earlier: Option<RunReportSpec>, stores: &Stores, report: &WorkReport) {
    let earlier = earlier.map(|report| report.watch).unwrap_or_default();
    let watched: BTreeMap<String, TriggerWatch> =
        request.triggers.iter().map(|trigger| (trigger.name.clone(), earlier.get(&trigger.name).cloned().unwrap_or_default())).collect();
    report.update(|report| report.watch = watched.clone());
    let mut triggers = JoinSet::new();
    for trigger in &request.triggers {
        let seen = watched.get(&trigger.name).cloned().unwrap_or_default();
        triggers.spawn(follow(trigger.clone(), seen, stores.clone(), report.clone()));
    }
    while triggers.join_next().await.is_some() {}
}

/// Looks at one trigger for ever.
async fn follow(trigger: WatchedTrigger, seen: TriggerWatch, stores: Stores, report: WorkReport) {
    let mut state = Watched::new(seen);
    let mut failures = 0;
    loop {
        let looked = Box::pin(state.look(&trigger, &stores)).await;
        let now = Utc::now();
        failures = if looked.is_ok() { 0 } else { failures + 1 };
        if let (Err(failure), 1) = (&looked, failures) {
            tracing::warn!("trigger {} cannot be watched: {failure}", trigger.name);
        }
        state.told(looked.err(), now);
        report.update(|report| _ = report.watch.insert(trigger.name.clone(), state.seen.clone()));
        tokio::time::sleep(pause(trigger.poll_interval_seconds, failures)).await;
    }
}

/// Time to the next look: after failures twice as long each time, up to a quarter of an hour.
fn pause(interval_seconds: i64, failures: u32) -> Duration {
    let interval = Duration::from_secs(u64::try_from(interval_seconds).unwrap_or_default().max(1));
    if failures == 0 { interval } else { interval.saturating_mul(1 << failures.min(16)).min(MOST_PAUSE.max(interval)) }
}

/// What is known of one trigger.
struct Watched {
    seen: TriggerWatch,
    arrivals: Arrivals,
}

impl Watched {
    fn new(seen: TriggerWatch) -> Self {
        let newest = seen.newest_modification.as_ref().map(|time| time.0.as_microsecond());
        let arrivals = if seen.since.is_some() { Arrivals::reported(seen.arrivals, newest) } else { Arrivals::default() };
        Self { seen, arrivals }
    }

    async fn look(&mut self, trigger: &WatchedTrigger, stores: &Stores) -> Result<(), Failure> {
        for watched in &trigger.tables {
            let known = self.seen.tables.get(&watched.name).copied();
            match Box::pin(newest_version(watched, known, stores)).await? {
                Some(version) => self.seen.tables.insert(watched.name.clone(), version),
                None => self.seen.tables.remove(&watched.name),
            };
        }
        let Some(uri) = &trigger.files else { return Ok(()) };
        let (arrivals, new) = list(&stores.location_of(uri, Path::new("/"))?, &self.arrivals).await?;
        if new > 0 {
            self.seen.last_arrival_time = Some(time(Utc::now()));
        }
        self.arrivals = arrivals;
        self.seen.arrivals = self.arrivals.count;
        self.seen.newest_modification = self.arrivals.newest_us.and_then(instant);
        Ok(())
    }

    /// How the look ended.
    fn told(&mut self, failure: Option<Failure>, now: DateTime<Utc>) {
        match failure {
            None => {
                (self.seen.error, self.seen.error_time) = (None, None);
                self.seen.since.get_or_insert_with(|| time(now));
            }
            Some(failure) => {
                self.seen.error = Some(cut(&failure.to_string(), MAX_ERROR_BYTES).to_string());
                self.seen.error_time.get_or_insert_with(|| time(now));
            }
        }
    }
}

async fn newest_version(watched: &WatchedTable, known: Option<i64>, stores: &Stores) -> Result<Option<i64>, Failure> {
    let location = stores.location_of(&watched.location, Path::new("/"))?;
    table::newest_version(&location, known).await
}

/// The files below `directory`, compared with what is known. Nothing is kept of them but hashes.
async fn list(directory: &Location, known: &Arrivals) -> Result<(Arrivals, i64), Failure> {
    let mut look = known.look();
    let mut objects = directory.store().list(Some(directory.path()));
    while let Some(object) = objects.next().await {
        let object = match object {
            Ok(object) => object,
            Err(StoreError::NotFound { .. }) => break,
            Err(error) => return Err(store_failure("list", &directory.to_string(), error)),
        };
        if let Some(relative) = directory.relative(&object.location).filter(|relative| files::is_read(relative)) {
            look.file(&relative, object.last_modified.timestamp_micros());
        }
    }
    Ok(look.finish())
}

fn instant(us: i64) -> Option<MicroTime> {
    Timestamp::from_microsecond(us).ok().map(MicroTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_make_pauses_longer_up_to_a_quarter_of_an_hour() {
        let seconds = |failures| pause(60, failures).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 40].map(seconds), [60, 120, 240, 480, 900, 900]);
        assert_eq!((pause(0, 0).as_secs(), pause(3600, 1).as_secs()), (1, 3600));
    }

    #[test]
    fn errors_keep_their_first_time_and_go_with_the_next_good_look() {
        let mut watched = Watched::new(TriggerWatch::default());
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        watched.told(Some(Failure::storage("ACCESS_DENIED", "no")), at(1));
        watched.told(Some(Failure::storage("ACCESS_DENIED", "still no")), at(2));
        assert_eq!(watched.seen.error.as_deref(), Some("[ACCESS_DENIED] still no"));
        assert_eq!((watched.seen.error_time.clone(), watched.seen.since.clone()), (Some(time(at(1))), None));
        watched.told(None, at(3));
        assert_eq!((watched.seen.error, watched.seen.error_time, watched.seen.since), (None, None, Some(time(at(3)))));
    }
}
