//! The commit loop: one Delta version with data, transaction ids and counters, written exactly once however often it is tried.

use std::{collections::HashSet, time::Duration};

use chrono::Utc;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    commit::{
        action::{self, Action, Add, Remove, Txn},
        change::{ROWS_GONE, RowChange, StagedChange},
        files,
        log::{self, VersionActions},
        properties,
        table::TargetTable,
        writer::StagedFiles,
    },
    failpoint,
    failure::{Failure, FailureClass},
    storage::{Location, PutOutcome},
};

/// Versions tried before a commit gives up with a transient failure.
pub(super) const MAX_ATTEMPTS: u32 = 10;

/// The error of a commit that met a changed table: it can succeed after [`TargetTable::reopened`].
pub const METADATA_CHANGED: &str = "DELTA_METADATA_CHANGED";

/// Written into every commit that replaces all rows: the files of the table are then those of this commit and later ones.
pub(super) const REPLACES_ALL: &str = "replacesAll";

/// What goes into a commit beside the files.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    /// Application ids and versions that the commit records. The first decides whether an append is there already.
    pub transactions: Vec<(String, i64)>,
    /// Versions of the table up to this one are known not to hold the first transaction; `None` asks the log.
    /// A flow passes the version that it saw before it planned the batch, or up to which it has asked the log itself.
    pub absent_until: Option<i64>,
    /// `operation` of the history: `STREAMING UPDATE`, `WRITE` …
    pub operation: &'static str,
    /// `operationParameters` of the history.
    pub parameters: Map<String, Value>,
    /// Under `floe` in the commit's metadata: update id, flow, batch, counters.
    pub info: Map<String, Value>,
    /// Prefix of the failpoints around the put: `target` (the default), `quarantine`, `event_log`, `mv`, `reset`.
    pub step: Option<&'static str>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is in the table now, as this version.
    Committed {
        /// The new version.
        version: i64,
    },
    /// The table held its transaction already, in this version or an earlier one; the staged files were deleted.
    AlreadyCommitted {
        /// A version that holds it.
        version: i64,
    },
}

impl CommitOutcome {
    /// A version of the table that holds the commit.
    pub const fn version(self) -> i64 {
        match self {
            Self::Committed { version } | Self::AlreadyCommitted { version } => version,
        }
    }
}

/// Appends `files` to `table`.
pub async fn append(table: &TargetTable, files: StagedFiles, request: CommitRequest) -> Result<CommitOutcome, Failure> {
    commit(table, files, request, Mode::Append).await
}

/// Replaces all rows of `table` by `files` in one commit. If the value came from [`TargetTable::replaced_by`], columns, partitioning,
/// properties and comment change in the same commit. Open the table again before altering it or reading its schema from it.
pub async fn overwrite(table: &TargetTable, files: StagedFiles, request: CommitRequest) -> Result<CommitOutcome, Failure> {
    commit(table, files, request, Mode::Replace).await
}

/// Replaces some files of `table` by others in one commit. If `data_change` is false, the rows are the same as before: no reader sees
/// anything new. Fails if one of the files has gone meanwhile; other commits do not matter.
pub async fn rewrite(
    table: &TargetTable,
    replaced: &[Add],
    files: StagedFiles,
    data_change: bool,
    request: CommitRequest,
) -> Result<CommitOutcome, Failure> {
    commit(table, files, request, Mode::Rewrite { replaced, data_change }).await
}

/// Takes rows out of `table` and puts others in, in one commit. Fails if one of the touched files has gone or changed since its rows were
/// found; commits that touch other files do not matter.
pub async fn change(table: &TargetTable, change: RowChange, request: CommitRequest) -> Result<CommitOutcome, Failure> {
    table.saw(change.found_in);
    // Asked before anything is written: a batch that is there need not be prepared again.
    match holder_of(table, &request).await {
        Ok(None) => {}
        found => {
            discard_quietly(change.discard()).await;
            return match found {
                Ok(Some(version)) => Ok(CommitOutcome::AlreadyCommitted { version }),
                Ok(None) => Err(Failure::internal("a transaction is neither there nor not there")),
                Err(failure) => Err(failure.about(table.dataset())),
            };
        }
    }
    let coming = change.coming.rows;
    failpoint::reach("change::before")?;
    let (staged, files) = change.staged(table).await.map_err(|failure| failure.about(table.dataset()))?;
    failpoint::reach("change::staged")?;
    let mut request = request;
    request.info.entry("rows").or_insert_with(|| coming.into());
    request.info.insert(ROWS_GONE.to_owned(), staged.rows_gone.into());
    commit(table, files, request, Mode::Change(&staged)).await
}

#[derive(Clone, Copy)]
enum Mode<'a> {
    Append,
    Replace,
    Rewrite { replaced: &'a [Add], data_change: bool },
    Change(&'a StagedChange),
}

impl<'a> Mode<'a> {
    /// Files that must still be there as they were.
    fn replaced(self) -> &'a [Add] {
        match self {
            Self::Append | Self::Replace => &[],
            Self::Rewrite { replaced, .. } => replaced,
            Self::Change(change) => &change.removed,
        }
    }
}

async fn commit(table: &TargetTable, files: StagedFiles, request: CommitRequest, mode: Mode<'_>) -> Result<CommitOutcome, Failure> {
    match try_commit(table, &files, &request, mode).await {
        Ok(outcome) => {
            match outcome {
                CommitOutcome::AlreadyCommitted { .. } => discard_quietly(files.discard()).await,
                CommitOutcome::Committed { version } => checkpoint_if_due(table, version).await,
            }
            Ok(outcome)
        }
        Err(Refused { failure, outcome_known }) => {
            // Files that a commit may have named after all must stay; vacuum removes them if it has not.
            if outcome_known {
                discard_quietly(files.discard()).await;
            }
            Err(failure.about(table.dataset()))
        }
    }
}

/// A commit that was given up.
#[derive(Debug)]
pub(super) struct Refused {
    failure: Failure,
    /// False if a put was sent and it is not proven that it wrote nothing.
    outcome_known: bool,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        refused.failure
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, outcome_known: true }
    }
}

async fn try_commit(table: &TargetTable, files: &StagedFiles, request: &CommitRequest, mode: Mode<'_>) -> Result<CommitOutcome, Refused> {
    // A replacement is computed anew for another reason too (a changed query over the same input versions): only a commit that was made
    // since this process opened the table counts as the same, see `check_winners`.
    if let Mode::Append = mode
        && let Some(version) = holder_of(table, request).await?
    {
        return Ok(CommitOutcome::AlreadyCommitted { version });
    }
    // Up to where it is known that nobody has touched the files of a change. Another flow of this process may see later versions.
    let mut checked = None;
    if let Mode::Change(change) = mode {
        checked = Some(change.found_in);
        if change.found_in < table.version() {
            let winners = check_winners(table, request, mode, change.found_in).await?;
            if let Some(version) = winners.holder {
                return Ok(CommitOutcome::AlreadyCommitted { version });
            }
            checked = Some(winners.newest);
        }
    }
    let step = request.step.unwrap_or("target");
    let request = with_counters(request, files, mode);
    for attempt_number in 0..MAX_ATTEMPTS {
        let base = checked.unwrap_or_else(|| table.version());
        let actions = actions(table, files, &request, mode, base).await?;
        if actions.is_empty() {
            return Ok(CommitOutcome::Committed { version: base });
        }
        failpoint::reach(&format!("{step}::before"))?;
        let blind = matches!(mode, Mode::Append);
        if attempt(table.location(), base + 1, &request, blind, &actions).await? == Attempt::Created {
            table.saw(base + 1);
            failpoint::reach(&format!("{step}::after")).map_err(|failure| Refused { failure, outcome_known: false })?;
            return Ok(CommitOutcome::Committed { version: base + 1 });
        }
        let winners = check_winners(table, &request, mode, base).await?;
        if let Some(version) = winners.holder {
            return Ok(CommitOutcome::AlreadyCommitted { version });
        }
        checked = checked.map(|_| winners.newest);
        tokio::time::sleep(jitter(attempt_number)).await;
    }
    Err(too_many_conflicts(table).into())
}

/// A version of `table` that holds transaction `version` of `app_id` or a later one, as far as the table was seen. Asks the log.
pub async fn recorded(table: &TargetTable, app_id: &str, version: i64) -> Result<Option<i64>, Failure> {
    let newest = table.version();
    let found = log::transactions(table.location(), newest, &[app_id]).await?;
    Ok(found.first().copied().flatten().filter(|found| *found >= version).map(|_| newest))
}

/// A version that holds the first transaction of `request` already.
async fn holder_of(table: &TargetTable, request: &CommitRequest) -> Result<Option<i64>, Failure> {
    let Some((app_id, version)) = request.transactions.first() else { return Ok(None) };
    let newest = table.version();
    if let Some(absent) = request.absent_until {
        // A position beyond the newest version belongs to a table that was made again: it proves nothing.
        if absent == newest {
            return Ok(None);
        }
        if absent < newest
            && newest - absent <= log::MAX_TAIL
            && let Some(tail) = log::commits(table.location(), absent, newest).await?
        {
            return Ok(holder(&tail, app_id, *version));
        }
    }
    recorded(table, app_id, *version).await
}

/// The first of `versions` that holds `app_id` at `version` or later.
fn holder(versions: &[VersionActions], app_id: &str, version: i64) -> Option<i64> {
    let holds = |action: &Action| matches!(action, Action::Txn(txn) if txn.app_id == app_id && txn.version >= version);
    versions.iter().find(|entry| entry.actions.iter().any(holds)).map(|entry| entry.version)
}

/// What others have committed.
struct Winners {
    newest: i64,
    /// A version that holds our own transaction.
    holder: Option<i64>,
}

/// Looks at what others committed after `base`: our own transaction, a changed table, or just more data, after which to try again.
async fn check_winners(table: &TargetTable, request: &CommitRequest, mode: Mode<'_>, base: i64) -> Result<Winners, Failure> {
    let newest = log::newest_version(table.location(), Some(base)).await?.unwrap_or(base);
    let winners = log::commits(table.location(), base, newest).await?.unwrap_or_default();
    if let Some((app_id, version)) = request.transactions.first()
        && let Some(holder) = holder(&winners, app_id, *version)
    {
        table.saw(newest);
        return Ok(Winners { newest, holder: Some(holder) });
    }
    let changed =
        winners.iter().find(|entry| entry.actions.iter().any(|action| matches!(action, Action::MetaData(_) | Action::Protocol(_))));
    if let Some(entry) = changed {
        let text = format!("version {} of {} changed the schema or properties while rows were written", entry.version, table.location());
        return Err(Failure::transient(METADATA_CHANGED, text).help("the flow starts again with the table as it is now"));
    }
    let replaced: HashSet<&str> = mode.replaced().iter().map(|file| file.path.as_str()).collect();
    let is_gone = |action: &Action| matches!(action, Action::Remove(gone) if replaced.contains(gone.path.as_str()));
    if winners.iter().any(|entry| entry.actions.iter().any(is_gone)) {
        let text = format!("files of {} were replaced by another program while they were rewritten", table.location());
        return Err(Failure::transient("DELTA_CONCURRENT_WRITE", text).help("the next round takes the table as it is then"));
    }
    table.saw(newest);
    Ok(Winners { newest, holder: None })
}

/// The actions of the next version, without `commitInfo`.
async fn actions(
    table: &TargetTable,
    files: &StagedFiles,
    request: &CommitRequest,
    mode: Mode<'_>,
    base: i64,
) -> Result<Vec<Action>, Failure> {
    let now = Utc::now().timestamp_millis();
    let transactions = request.transactions.iter();
    let mut actions: Vec<Action> = transactions
        .map(|(app_id, version)| Action::Txn(Txn { app_id: app_id.clone(), version: *version, last_updated: Some(now) }))
        .collect();
    if let Mode::Replace = mode {
        if table.metadata != table.head.metadata {
            let raised = properties::raised(&table.head.protocol, table.schema(), &table.metadata.configuration);
            actions.extend(raised.map(Action::Protocol));
            actions.push(Action::MetaData(table.metadata.clone()));
        }
        let active = files::active(table.location(), base).await?;
        actions.extend(active.iter().map(|add| Action::Remove(add.removed(now))));
    }
    let mut changes = true;
    if let Mode::Rewrite { replaced, data_change } = mode {
        changes = data_change;
        let removed = replaced.iter().map(|add| Remove { data_change, ..add.removed(now) });
        actions.extend(removed.map(Action::Remove));
    }
    if let Mode::Change(change) = mode {
        actions.extend(change.removed.iter().map(|add| Action::Remove(add.removed(now))));
        actions.extend(change.marked.iter().cloned().map(Action::Add));
        actions.extend(change.change_data.iter().cloned().map(Action::Cdc));
    }
    actions.extend(files.adds.iter().map(|add| Action::Add(Add { data_change: changes, ..add.clone() })));
    Ok(actions)
}

fn with_counters(request: &CommitRequest, files: &StagedFiles, mode: Mode<'_>) -> CommitRequest {
    let mut request = request.clone();
    if let Mode::Replace = mode {
        request.info.insert(REPLACES_ALL.to_owned(), true.into());
    }
    request.info.entry("rows").or_insert_with(|| files.rows.into());
    request.info.entry("files").or_insert_with(|| files.adds.len().into());
    request.info.entry("bytes").or_insert_with(|| files.bytes.into());
    request
}

/// What became of one put of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Created,
    /// Someone else has written that version.
    Lost,
}

/// Writes `version` if nobody has. A lost answer is not guessed at: the entry is read back and tells by its id whose it is.
pub(super) async fn attempt(
    location: &Location,
    version: i64,
    request: &CommitRequest,
    blind_append: bool,
    actions: &[Action],
) -> Result<Attempt, Refused> {
    let id = Uuid::new_v4().to_string();
    let mut lines = vec![Action::CommitInfo(commit_info(request, &id, version, blind_append))];
    lines.extend_from_slice(actions);
    let content = action::render(&lines).map_err(|error| Failure::internal(format!("a commit cannot be written as JSON: {error}")))?;
    let put = location.put_if_absent(&log::entry(version), content).await;
    if let Ok(PutOutcome::Created) = put {
        return Ok(Attempt::Created);
    }
    // The store tries a put several times: what the last try met says nothing about the earlier ones.
    match (is_ours(location, version, &id).await, put) {
        (Ok(Some(true)), _) => Ok(Attempt::Created),
        (Ok(Some(false)), _) | (Ok(None), Ok(_)) => Ok(Attempt::Lost),
        // A put without an answer may still arrive; one that was refused will not.
        (Ok(None), Err(failure)) => Err(Refused { outcome_known: failure.class != FailureClass::Transient, failure }),
        (Err(_), Err(failure)) | (Err(failure), Ok(_)) => Err(Refused { outcome_known: false, failure }),
    }
}

/// True if the entry of `version` was written by the attempt `id`; `None` if there is no entry.
async fn is_ours(location: &Location, version: i64, id: &str) -> Result<Option<bool>, Failure> {
    let Some(actions) = log::read_commit(location, version).await? else { return Ok(None) };
    let ours =
        actions.iter().any(|action| matches!(action, Action::CommitInfo(info) if info.get("txnId").and_then(Value::as_str) == Some(id)));
    Ok(Some(ours))
}

fn commit_info(request: &CommitRequest, id: &str, version: i64, blind_append: bool) -> Map<String, Value> {
    let mut info = Map::new();
    info.insert("timestamp".to_owned(), Utc::now().timestamp_millis().into());
    info.insert("operation".to_owned(), if request.operation.is_empty() { "WRITE" } else { request.operation }.into());
    info.insert("operationParameters".to_owned(), Value::Object(request.parameters.clone()));
    if version > 0 {
        info.insert("readVersion".to_owned(), (version - 1).into());
    }
    info.insert("isolationLevel".to_owned(), "Serializable".into());
    info.insert("isBlindAppend".to_owned(), blind_append.into());
    if let Some(rows) = request.info.get("rows") {
        let count = |key: &str| request.info.get(key).unwrap_or(rows).to_string();
        let metrics = json!({"numFiles": count("files"), "numOutputRows": count("rows"), "numOutputBytes": count("bytes")});
        info.insert("operationMetrics".to_owned(), metrics);
    }
    info.insert("engineInfo".to_owned(), concat!("Floe/", env!("CARGO_PKG_VERSION")).into());
    info.insert("txnId".to_owned(), id.into());
    if !request.info.is_empty() {
        info.insert("floe".to_owned(), Value::Object(request.info.clone()));
    }
    info
}

/// Writes a checkpoint of the log when its interval is full. A failure costs later readers time and nothing else.
pub(super) async fn checkpoint_if_due(table: &TargetTable, version: i64) {
    if version == 0 || version % properties::checkpoint_interval(table.properties()) != 0 {
        return;
    }
    if let Err(failure) = files::write_checkpoint(table.location(), version).await {
        tracing::warn!(table = table.dataset(), version, "no checkpoint of the log was written: {failure}");
    }
}

pub(super) fn too_many_conflicts(table: &TargetTable) -> Failure {
    let text = format!("{MAX_ATTEMPTS} commits in a row to {} met commits of others", table.location());
    Failure::transient("DELTA_CONCURRENT_WRITE", text)
        .about(table.dataset())
        .help("many programs write this table at once; the flow is tried again")
}

async fn discard_quietly(discarded: impl Future<Output = Result<(), Failure>>) {
    if let Err(failure) = discarded.await {
        tracing::warn!("data files that no commit names could not be deleted: {failure}");
    }
}

/// A short random wait that grows with every lost attempt, so that writers of one table do not march in step.
fn jitter(attempt: u32) -> Duration {
    let ceiling_ms = 5_u64 << attempt.min(8);
    Duration::from_millis(Uuid::new_v4().as_u64_pair().0 % ceiling_ms)
}
