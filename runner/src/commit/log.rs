//! Reads the log of a table without replaying it: newest version, single commits, the state behind the newest metadata.

use deltalake::kernel::Snapshot;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use crate::{
    commit::{
        action::{self, Action, MetaData, Protocol},
        table::{KnownTable, VersionActions},
    },
    failure::Failure,
    storage::{Location, delta_failure},
};

/// Up to so many commits after a known state are read one by one; beyond that a checkpoint of the log is cheaper.
pub(super) const MAX_TAIL: i64 = 20;

/// Versions probed one by one before a listing.
const MAX_PROBES: i64 = 8;

/// Commits read at once.
const PARALLEL_READS: usize = 8;

const LOG: &str = "_delta_log";

/// The file of `version`, relative to the table.
pub(super) fn entry(version: i64) -> String {
    format!("{LOG}/{version:020}.json")
}

/// The newest version at `location`, or `None` if there is no table.
pub(super) async fn newest_version(location: &Location, known: Option<i64>) -> Result<Option<i64>, Failure> {
    if let Some(known) = known {
        let (here, next) = (entry(known), entry(known + 1));
        // The known entry is asked for too: a cleaned or replaced log must not look like a table without news.
        let (here, next) = futures::try_join!(location.head(&here), location.head(&next))?;
        match (here, next) {
            (Some(_), None) => return Ok(Some(known)),
            (_, Some(_)) => {
                for version in known + 2..=known + 1 + MAX_PROBES {
                    if location.head(&entry(version)).await?.is_none() {
                        return Ok(Some(version - 1));
                    }
                }
            }
            (None, None) => {}
        }
    }
    let after = match known {
        Some(known) => Some(known),
        None => last_checkpoint(location).await?,
    };
    match listed_newest(location, after).await? {
        Some(version) => Ok(Some(version)),
        None if after.is_some() => listed_newest(location, None).await,
        None => Ok(None),
    }
}

/// The newest version that a listing of the names after `after` shows.
async fn listed_newest(location: &Location, after: Option<i64>) -> Result<Option<i64>, Failure> {
    let log = location.join(LOG);
    let offset: Path = log.child(&format!("{:020}", after.unwrap_or(0)));
    let listing = log.store().list_with_offset(Some(log.path()), &offset);
    let found: Result<Vec<_>, _> = listing.try_collect().await;
    match found {
        Ok(objects) => Ok(objects.iter().filter_map(|object| version_of(object.location.filename()?)).max()),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(crate::storage::store_failure("list", &log.to_string(), error)),
    }
}

/// The version of a commit or of a checkpoint by its file name.
fn version_of(name: &str) -> Option<i64> {
    let (digits, rest) = name.split_at_checked(20)?;
    if rest == ".json" || (rest.starts_with(".checkpoint") && rest.ends_with(".parquet")) { digits.parse().ok() } else { None }
}

/// The version of the newest checkpoint of the log, by its hint.
async fn last_checkpoint(location: &Location) -> Result<Option<i64>, Failure> {
    let Some(bytes) = location.get(&format!("{LOG}/_last_checkpoint")).await? else { return Ok(None) };
    // A damaged hint costs a listing, nothing else.
    let hint: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
    Ok(hint.and_then(|hint| hint.get("version")?.as_i64()))
}

/// The actions of `version`, or `None` if its entry does not exist.
pub(super) async fn read_commit(location: &Location, version: i64) -> Result<Option<Vec<Action>>, Failure> {
    let Some(bytes) = location.get(&entry(version)).await? else { return Ok(None) };
    let actions = action::parse(&bytes).map_err(|error| {
        Failure::user("DELTA_LOG_CORRUPT", format!("{location}/{} cannot be read: {error}", entry(version)))
            .help("restore the file or the table from a backup")
            .caused_by(error)
    })?;
    Ok(Some(actions))
}

/// The actions of the versions after `after` up to `to`; `None` if one of them is gone.
pub(super) async fn commits(location: &Location, after: i64, to: i64) -> Result<Option<Vec<VersionActions>>, Failure> {
    let reads = stream::iter(after + 1..=to).map(|version| async move {
        let actions = read_commit(location, version).await?;
        Ok::<_, Failure>(actions.map(|actions| VersionActions { version, actions }))
    });
    let found: Vec<Option<VersionActions>> = reads.buffered(PARALLEL_READS).try_collect().await?;
    Ok(found.into_iter().collect())
}

/// Newest version, protocol and metadata of the table at `location`; `known` is what an earlier look found.
pub(super) async fn head(location: &Location, known: Option<KnownTable>) -> Result<Option<KnownTable>, Failure> {
    let Some(newest) = newest_version(location, known.as_ref().map(|known| known.version)).await? else { return Ok(None) };
    let (mut protocol, mut metadata, after) = match known {
        Some(known) if known.version == newest => return Ok(Some(known)),
        // A table that went back in time was made again.
        Some(known) if known.version < newest => (Some(known.protocol), Some(known.metadata), known.version),
        _ => (None, None, -1),
    };
    if newest - after <= MAX_TAIL
        && let Some(tail) = commits(location, after, newest).await?
    {
        for action in tail.into_iter().flat_map(|version| version.actions) {
            match action {
                Action::Protocol(new) => protocol = Some(new),
                Action::MetaData(new) => metadata = Some(new),
                _ => {}
            }
        }
        if let (Some(protocol), Some(metadata)) = (protocol, metadata) {
            return Ok(Some(KnownTable { version: newest, protocol, metadata }));
        }
    }
    head_of_snapshot(location, newest).await.map(Some)
}

/// The same through delta-rs, which reads the checkpoint of the log but no file list.
async fn head_of_snapshot(location: &Location, version: i64) -> Result<KnownTable, Failure> {
    let snapshot = snapshot(location, version).await?;
    let convert = |value: Result<serde_json::Value, serde_json::Error>| {
        value.map_err(|error| Failure::internal(format!("the metadata of {location} cannot be converted: {error}")))
    };
    let protocol = convert(serde_json::to_value(snapshot.protocol()))?;
    let metadata = convert(serde_json::to_value(snapshot.metadata()))?;
    let protocol: Protocol =
        serde_json::from_value(protocol).map_err(|error| Failure::internal(format!("protocol of {location}: {error}")))?;
    let metadata: MetaData =
        serde_json::from_value(metadata).map_err(|error| Failure::internal(format!("metadata of {location}: {error}")))?;
    Ok(KnownTable { version: snapshot.version() as i64, protocol, metadata })
}

async fn snapshot(location: &Location, version: i64) -> Result<Snapshot, Failure> {
    let store = location.log_store()?;
    let future = Box::pin(Snapshot::try_new(store.as_ref(), Some(version as u64)));
    future.await.map_err(|error| delta_failure("open", location, error))
}

/// Per application id of `wanted` the newest version that the log up to `newest` records.
pub(super) async fn transactions(location: &Location, newest: i64, wanted: &[&str]) -> Result<Vec<Option<i64>>, Failure> {
    if newest < MAX_TAIL
        && let Some(all) = commits(location, -1, newest).await?
    {
        return Ok(wanted.iter().map(|app_id| newest_of(&all, app_id)).collect());
    }
    let table = location.delta()?.with_version(newest as u64);
    let table = Box::pin(table.load()).await.map_err(|error| delta_failure("open", location, error))?;
    let state = table.snapshot().map_err(|error| delta_failure("open", location, error))?;
    let log_store = table.log_store();
    let mut found = Vec::with_capacity(wanted.len());
    for app_id in wanted {
        let version = state.transaction_version(log_store.as_ref(), *app_id).await;
        found.push(version.map_err(|error| delta_failure("read", location, error))?);
    }
    Ok(found)
}

/// The newest version of `app_id` among `versions`.
pub(super) fn newest_of(versions: &[VersionActions], app_id: &str) -> Option<i64> {
    let actions = versions.iter().flat_map(|version| &version.actions);
    actions.filter_map(|action| if let Action::Txn(txn) = action { (txn.app_id == app_id).then_some(txn.version) } else { None }).max()
}
