//! Reads the log of a table without replaying it: newest version, single commits, the state behind the newest metadata.

use datafusion::arrow::datatypes::SchemaRef;
use deltalake::kernel::Snapshot;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, path::Path};
use serde::{Deserialize, Serialize};

use crate::{
    commit::{
        action::{self, Action, MetaData, Protocol},
        schema,
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

/// What is known of a table from the last look at its log: enough to append to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KnownTable {
    /// The version up to which this is true.
    pub version: i64,
    /// What readers and writers must know.
    pub protocol: Protocol,
    /// Columns, partitioning, properties.
    pub metadata: MetaData,
    /// What the store called the log entry of `version`, if it was seen: another one there means that the table may be another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_tag: Option<String>,
}

impl KnownTable {
    /// All columns in order: µs timestamps, Utf8 text.
    pub fn schema(&self) -> Result<SchemaRef, Failure> {
        schema::from_delta(&self.metadata.schema_string)
    }
}

/// The actions of one version.
#[derive(Clone, Debug)]
pub struct VersionActions {
    /// The version.
    pub version: i64,
    /// Its actions, in the order of the log.
    pub actions: Vec<Action>,
}

/// What a look at a log finds.
struct Newest {
    version: i64,
    /// The tag of its entry.
    tag: Option<String>,
    /// The tag of the entry of the version that was known before.
    known_tag: Option<String>,
}

/// Tells apart two files of the same name: what the store calls the content, or else size and time.
fn tag(entry: &ObjectMeta) -> String {
    entry.e_tag.clone().unwrap_or_else(|| format!("{}-{}", entry.size, entry.last_modified.timestamp_micros()))
}

/// The file of `version`, relative to the table.
pub(super) fn entry(version: i64) -> String {
    format!("{LOG}/{version:020}.json")
}

/// The newest version at `location`, or `None` if there is no table.
pub(super) async fn newest_version(location: &Location, known: Option<i64>) -> Result<Option<i64>, Failure> {
    Ok(newest(location, known).await?.map(|newest| newest.version))
}

async fn newest(location: &Location, known: Option<i64>) -> Result<Option<Newest>, Failure> {
    let mut known_tag = None;
    if let Some(known) = known {
        let (here, next) = (entry(known), entry(known + 1));
        // The known entry is asked for too: a cleaned or replaced log must not look like a table without news.
        let (here, next) = futures::try_join!(location.head(&here), location.head(&next))?;
        known_tag = here.as_ref().map(tag);
        match (here, next) {
            (Some(_), None) => return Ok(Some(Newest { version: known, tag: known_tag.clone(), known_tag })),
            (_, Some(mut last)) => {
                for version in known + 2..=known + 1 + MAX_PROBES {
                    match location.head(&entry(version)).await? {
                        Some(found) => last = found,
                        None => return Ok(Some(Newest { version: version - 1, tag: Some(tag(&last)), known_tag })),
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
    let found = match listed_newest(location, after).await? {
        None if after.is_some() => listed_newest(location, None).await?,
        found => found,
    };
    Ok(found.map(|(version, tag)| Newest { version, tag, known_tag }))
}

/// The newest version that a listing of the names after `after` shows, and the tag of its entry if that is there.
async fn listed_newest(location: &Location, after: Option<i64>) -> Result<Option<(i64, Option<String>)>, Failure> {
    let log = location.join(LOG);
    let offset: Path = log.child(&format!("{:020}", after.unwrap_or(0)));
    let listing = log.store().list_with_offset(Some(log.path()), &offset);
    let found: Result<Vec<_>, _> = listing.try_collect().await;
    match found {
        Ok(objects) => {
            let entry = |object: &ObjectMeta| {
                let name = object.location.filename()?;
                Some((version_of(name)?, (!name.contains(".checkpoint")).then(|| tag(object))))
            };
            Ok(objects.iter().filter_map(entry).max())
        }
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(crate::storage::store_failure("list", &log.to_string(), error)),
    }
}

/// The version of a commit or of a checkpoint by its file name.
fn version_of(name: &str) -> Option<i64> {
    let (digits, rest) = name.split_at_checked(20)?;
    // The top of a checkpoint with parts beside it may be JSON.
    let format = rest.rsplit('.').next();
    let is_checkpoint = rest.starts_with(".checkpoint") && matches!(format, Some("parquet" | "json"));
    if rest == ".json" || is_checkpoint { digits.parse().ok() } else { None }
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
    let Some(found) = newest(location, known.as_ref().map(|known| known.version)).await? else { return Ok(None) };
    let (newest, entry_tag) = (found.version, found.tag);
    // Another entry in the place of the known one: nothing of what is known counts.
    let known = known.filter(|known| known.entry_tag.is_none() || found.known_tag.is_none() || known.entry_tag == found.known_tag);
    let (mut protocol, mut metadata, after) = match known {
        Some(known) if known.version == newest => return Ok(Some(KnownTable { entry_tag, ..known })),
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
            return Ok(Some(KnownTable { version: newest, protocol, metadata, entry_tag }));
        }
    }
    Ok(Some(KnownTable { entry_tag, ..head_of_snapshot(location, newest).await? }))
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
    Ok(KnownTable { version: snapshot.version() as i64, protocol, metadata, entry_tag: None })
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
