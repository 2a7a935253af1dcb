//! What a dead runner left behind: its numbers that no event reports, and its update without an end. The next runner writes both first.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use floe_graph::name::{DatasetName, Namespace};

use super::{
    EventLog, Outputs, Pauses,
    event::{CancellationCause, Event},
    marker::Marker,
    note::CommitNote,
    record::Identity,
    table::{DeltaLog, FlushNote, InstanceNote, LogTable},
};
use crate::{
    commit::{action::Action, table},
    execute::progress::CountedIn,
    failure::Failure,
    state::catalog::{Catalog, StoredKind},
    storage::{Location, Storage, layout},
};

/// So many commits of one table are looked through for numbers that were not reported.
const MAX_COMMITS_READ: i64 = 10_000;

/// How far the marker of a running update moves at a time.
const MARKER_STEP: TimeDelta = TimeDelta::minutes(5);

/// The event log of an update on `storage`: closes what a dead runner left, then records the events of `identity`.
///
/// The caller holds the lock of the storage: an update that has not ended is taken for dead. `catalog` names the tables that may hold
/// commits of the dead runner. Never fails: what cannot be read is told to the observers.
pub async fn open(storage: &Storage, catalog: &Catalog, identity: Identity, outputs: Outputs) -> EventLog {
    let (previous, unreadable) = match Marker::read(storage).await {
        Ok(previous) => (previous, None),
        Err(failure) => (None, Some(failure)),
    };
    let known = previous.as_ref().and_then(|marker| marker.event_log.clone());
    let same = previous.as_ref().filter(|marker| marker.is_of(&identity)).map(|marker| marker.last_seq_no);
    let dead = previous.filter(|marker| !marker.ended);
    let left = match &dead {
        Some(marker) => Box::pin(left_behind(storage, catalog, marker)).await,
        None => Ok(Left::default()),
    };
    let table = Arc::new(DeltaLog::new(storage, &identity.pipeline_id, known));
    let log = EventLog::with_storage(identity.clone(), outputs, Some(Arc::clone(&table) as _), Some(storage.clone()), Pauses::default());
    let (left, unread) = match left {
        Ok(left) => (left, None),
        Err(failure) => (Left::default(), Some(failure)),
    };
    if let Some(last_seq_no) = same {
        log.go_on_after(last_seq_no);
    }
    if let Some(marker) = dead {
        log.record_left(left, &marker, &identity);
        // Before the marker names this update: if it dies too, nobody would look for the one before it.
        Box::pin(log.flush()).await;
    }
    let last_seq_no = log.lock().last_seq_no;
    let marker = Marker { event_log: table.known().await, last_seq_no, ..Marker::of(&identity) };
    let written = marker.write(storage).await;
    log.lock().marker = Some(marker);
    for failure in unreadable.into_iter().chain(unread).chain(written.err()) {
        log.log_failed(&failure);
    }
    log
}

/// The event log of something that runs beside the update of the storage: it only appends. Without a catalog there is no log yet, and
/// nothing is stored.
pub fn beside(storage: &Storage, catalog: Option<&Catalog>, identity: Identity, outputs: Outputs) -> EventLog {
    let table = catalog.map(|catalog| Arc::new(DeltaLog::new(storage, &catalog.pipeline_id, None)) as Arc<dyn LogTable>);
    EventLog::with_storage(identity, outputs, table, None, Pauses::default())
}

impl EventLog {
    /// Call it after a flush. An update may live for months: its marker moves on, so that its successor looks through the logs of the last
    /// minutes and not of months. What the marker names lies one step back: by now all events of the commits before it are written.
    pub(super) async fn move_marker(&self, now: DateTime<Utc>) {
        let (Some(storage), Some(table)) = (&self.shared.storage, &self.shared.table) else { return };
        let event_log = table.known().await;
        let marker = {
            let mut state = self.lock();
            let Some(marker) = state.marker.clone().filter(|_| !state.ended) else { return };
            let since = state.next_marker.as_ref().map_or(marker.started_at, |next| next.started_at);
            if now - since < MARKER_STEP {
                return;
            }
            let here = Marker { started_at: now, event_log, last_seq_no: state.last_seq_no, ..marker };
            let Some(next) = state.next_marker.replace(here) else { return };
            state.marker = Some(next.clone());
            next
        };
        if let Err(failure) = marker.write(storage).await {
            self.log_failed(&failure);
        }
    }
}

/// What is missing in the log.
#[derive(Default)]
struct Left {
    /// The number of the last event that was written.
    last_seq_no: i64,
    /// The terminal event is there.
    ended: bool,
    events: Vec<Event>,
}

impl EventLog {
    fn record_left(&self, left: Left, marker: &Marker, successor: &Identity) {
        let dead = marker.identity(&successor.pipeline_id);
        let mut seq_no = left.last_seq_no.max(marker.last_seq_no);
        let mut events = if left.ended { Vec::new() } else { left.events };
        // A further attempt of the same update goes on with it: its `create_update` is the end of the attempt before.
        if dead.update_id != successor.update_id && !left.ended {
            events.push(if marker.stopped {
                Event::update_canceled(&dead.update_id, CancellationCause::UserAction)
            } else {
                Event::update_recovered(&dead.update_id)
            });
        }
        for event in events {
            seq_no += 1;
            self.record_recovered(event, &dead, seq_no);
        }
        if marker.is_of(successor) {
            self.go_on_after(seq_no);
        }
    }
}

async fn left_behind(storage: &Storage, catalog: &Catalog, marker: &Marker) -> Result<Left, Failure> {
    let reported = reported(storage, marker).await?;
    let mut left = Left { last_seq_no: reported.last_seq_no, ended: reported.ended, events: Vec::new() };
    if left.ended {
        return Ok(left);
    }
    for (key, entry) in &catalog.datasets {
        let location = storage.at(&entry.path(&dataset_name(key)));
        let commit = if entry.kind == StoredKind::Journal { CountedIn::Journal } else { CountedIn::Target };
        left.events.extend(
            unreported(&location, entry.table.version, marker, |flow, version| {
                Some(commit(version)).filter(|commit| !reported.reports(flow, *commit))
            })
            .await?,
        );
    }
    left.events.sort_by_key(|event| event.timestamp);
    Ok(left)
}

/// What the flushes of the dead runner say, all together.
async fn reported(storage: &Storage, marker: &Marker) -> Result<InstanceNote, Failure> {
    let location = storage.at(layout::EVENT_LOG);
    let from = marker.event_log.as_ref().map(|known| known.version);
    let Some(newest) = table::newest_version(&location, from).await? else { return Ok(InstanceNote::default()) };
    let instance = format!("{}/{}", marker.update_id, marker.attempt);
    let mut sum = InstanceNote::default();
    for version in table::commits(&location, from.unwrap_or(-1), newest).await?.unwrap_or_default() {
        let note = version.actions.iter().find_map(|action| match action {
            Action::CommitInfo(info) => FlushNote::from_commit_info(info)?.instances.remove(&instance),
            _ => None,
        });
        sum.add(note.unwrap_or_default());
    }
    Ok(sum)
}

/// Events for the commits of the dead runner to one table that no flush reports. Looks from the newest version back to where it began.
/// `wanted` gives the commit of a flow with this version, if its numbers are not reported.
async fn unreported(
    location: &Location,
    known: i64,
    marker: &Marker,
    wanted: impl Fn(&str, i64) -> Option<CountedIn>,
) -> Result<Vec<Event>, Failure> {
    let Some(newest) = table::newest_version(location, Some(known)).await? else { return Ok(Vec::new()) };
    let mut events = Vec::new();
    for version in ((newest - MAX_COMMITS_READ).max(0)..=newest).rev() {
        let Some(commits) = table::commits(location, version - 1, version).await? else { break };
        let info = commits.iter().flat_map(|commit| &commit.actions).find_map(|action| match action {
            Action::CommitInfo(info) => Some(info),
            _ => None,
        });
        let Some(info) = info else { continue };
        let timestamp = info.get("timestamp").and_then(serde_json::Value::as_i64).and_then(chrono::DateTime::from_timestamp_millis);
        if timestamp.is_some_and(|timestamp| timestamp < marker.started_at) {
            break;
        }
        let Some(note) = CommitNote::from_commit_info(info) else { continue };
        let Some(commit) = wanted(&note.flow, version).filter(|_| note.update_id == marker.update_id) else { continue };
        let event = note.event(commit);
        events.push(match timestamp {
            Some(timestamp) => event.happened_at(timestamp),
            None => event,
        });
    }
    Ok(events)
}

/// The name that a key of the catalog stands for.
fn dataset_name(key: &str) -> DatasetName {
    let mut parts = key.splitn(3, '.').map(str::to_string);
    let (catalog, schema) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    DatasetName::in_namespace(&Namespace { catalog, schema }, parts.next().unwrap_or_default())
}
