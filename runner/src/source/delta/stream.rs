//! A stream over a table: which commits make up the next micro-batches, and the files that they added.

use floe_graph::source_options::{BatchLimits, DeltaStart, DeltaStreamOptions};
use serde_json::Value;

use super::{
    DeltaPlan, DeltaSource, PlannedRange, SkippedCommit,
    changes::{Changes, DataFile},
    feed::FeedCommit,
    observe::look,
    snapshot,
};
use crate::{
    commit::{
        VersionActions,
        action::{Action, MetaData},
        table,
    },
    failure::Failure,
    state::{SourcePosition, SourceRange},
};

/// Commits that are held in memory at once.
pub(super) const COMMITS_AT_ONCE: i64 = 64;

pub(super) async fn plan(
    source: &DeltaSource,
    options: &DeltaStreamOptions,
    position: Option<&SourcePosition>,
    newest: i64,
) -> Result<DeltaPlan, Failure> {
    let (known_id, version, read) = match position {
        Some(SourcePosition::Delta { table_id, version }) => (table_id, *version, None),
        Some(SourcePosition::Snapshot { table_id, version, read }) => (table_id, *version, Some(*read)),
        // A flow that read snapshots before begins as a stream.
        Some(SourcePosition::Files | SourcePosition::Done | SourcePosition::Dated { .. } | SourcePosition::DatedVersion { .. }) | None => {
            return first_plan(source, options, newest).await;
        }
    };
    let table_id = match &source.id {
        Some(id) if newest == version => id.clone(),
        _ => table_id(source).await?,
    };
    if newest < version || table_id != *known_id {
        return Err(replaced(source, known_id, &table_id));
    }
    if newest == version && read.is_none() {
        return Ok(DeltaPlan { table_id, ..DeltaPlan::default() });
    }
    let Some(read) = read else { return plan_after(source, options, table_id, version, newest).await };
    let mut ranges = snapshot_ranges(&snapshot::active_files(source, version).await?, options.limits, (&table_id, version), read);
    let later = plan_after(source, options, table_id, version, newest).await?;
    ranges.extend(later.ranges);
    Ok(DeltaPlan { ranges, ..later })
}

/// Micro-batches of a snapshot, without the files that have been `read`: one for all of it if the limits allow.
fn snapshot_ranges(files: &[DataFile], limits: BatchLimits, (table_id, version): (&str, i64), read: u64) -> Vec<PlannedRange> {
    let mut parts: Vec<(u64, u64, u64)> = Vec::new();
    for (index, file) in files.iter().enumerate().skip(read as usize) {
        let index = index as u64;
        match parts.last_mut() {
            Some((from, to, bytes))
                if *to - *from < limits.max_files as u64 && limits.max_bytes.is_none_or(|limit| *bytes + file.size <= limit) =>
            {
                (*to, *bytes) = (index + 1, *bytes + file.size);
            }
            _ => parts.push((index, index + 1, file.size)),
        }
    }
    let table_id = table_id.to_owned();
    if read == 0 && parts.len() < 2 {
        let (_, files, bytes) = parts.pop().unwrap_or_default();
        return vec![PlannedRange { range: SourceRange::Delta { table_id, from: None, to: version }, files, bytes }];
    }
    let end = files.len() as u64;
    let range = |(from, to, bytes)| {
        let range = SourceRange::Snapshot { table_id: table_id.clone(), version, from, to, last: to == end };
        PlannedRange { range, files: to - from, bytes }
    };
    parts.into_iter().map(range).collect()
}

/// The first start: a snapshot, or the commits from the place that the options name.
async fn first_plan(source: &DeltaSource, options: &DeltaStreamOptions, newest: i64) -> Result<DeltaPlan, Failure> {
    let table_id = table_id(source).await?;
    let after = match options.start {
        DeltaStart::Snapshot => {
            let ranges = snapshot_ranges(&snapshot::active_files(source, newest).await?, options.limits, (&table_id, newest), 0);
            return Ok(DeltaPlan { table_id, ranges, skipped: Vec::new() });
        }
        DeltaStart::Latest => newest,
        DeltaStart::Version(version) if version > newest + 1 => {
            let text = format!("startingVersion {version} of {} does not exist; the newest version is {newest}", source.name);
            return Err(Failure::user("DELTA_VERSION_NOT_FOUND", text).help("name an existing version, or 'latest'"));
        }
        DeltaStart::Version(version) => version - 1,
        DeltaStart::Timestamp(instant) => first_at_or_after(source, instant / 1000, newest).await? - 1,
    };
    let mut plan = plan_after(source, options, table_id, after, newest).await?;
    if plan.ranges.is_empty() {
        plan.ranges.push(moved_position(&plan.table_id, after, newest));
    }
    Ok(plan)
}

/// A range without rows: it only says where the next one begins.
fn moved_position(table_id: &str, from: i64, to: i64) -> PlannedRange {
    PlannedRange { range: SourceRange::Delta { table_id: table_id.to_owned(), from: Some(from), to }, files: 0, bytes: 0 }
}

async fn plan_after(
    source: &DeltaSource,
    options: &DeltaStreamOptions,
    table_id: String,
    after: i64,
    newest: i64,
) -> Result<DeltaPlan, Failure> {
    if options.changes && after < newest {
        records_changes(source).await?;
    }
    let mut ranges = RangeBuilder { limits: options.limits, table_id, start: after, open: None, done: Vec::new() };
    let mut skipped = Vec::new();
    let mut from = after;
    while from < newest {
        let to = (from + COMMITS_AT_ONCE).min(newest);
        for commit in commits(source, from, to).await? {
            if options.changes {
                let feed = FeedCommit::of(source, commit)?;
                check_metadata(source, feed.metadata.as_ref(), &ranges.table_id)?;
                ranges.add(feed.version, feed.files.len() as u64, feed.bytes());
                continue;
            }
            let changes = Changes::of(commit);
            check_metadata(source, changes.metadata.as_ref(), &ranges.table_id)?;
            if changes.removed == 0 && !changes.has_deletion_vectors {
                ranges.add(changes.version, changes.added.len() as u64, changes.bytes());
            } else if options.skip_change_commits {
                skipped.push(SkippedCommit { version: changes.version, rows: changes.rows() });
                ranges.pass(changes.version);
            } else {
                return Err(changes.refusal(&source.name));
            }
        }
        from = to;
    }
    let (table_id, mut ranges) = ranges.finish();
    if ranges.is_empty() && !skipped.is_empty() {
        ranges.push(moved_position(&table_id, after, newest));
    }
    Ok(DeltaPlan { table_id, ranges, skipped })
}

/// Commits gathered into micro-batches.
struct RangeBuilder {
    limits: BatchLimits,
    table_id: String,
    /// Exclusive start of the open range.
    start: i64,
    /// Last version, files and bytes of the open range, once it has rows.
    open: Option<(i64, u64, u64)>,
    done: Vec<PlannedRange>,
}

impl RangeBuilder {
    /// A commit is never cut in two: one with more files than the limit is a batch of its own.
    fn add(&mut self, version: i64, files: u64, bytes: u64) {
        if files == 0 {
            return self.pass(version);
        }
        if let Some((_, open_files, open_bytes)) = self.open {
            let too_many = open_files + files > self.limits.max_files as u64;
            let too_large = self.limits.max_bytes.is_some_and(|limit| open_bytes + bytes > limit);
            if too_many || too_large {
                self.close();
            }
        }
        let (_, open_files, open_bytes) = self.open.unwrap_or_default();
        self.open = Some((version, open_files + files, open_bytes + bytes));
    }

    /// A version without rows for the stream belongs to the batch before it.
    fn pass(&mut self, version: i64) {
        if let Some((to, ..)) = &mut self.open {
            *to = version;
        }
    }

    fn close(&mut self) {
        if let Some((to, files, bytes)) = self.open.take() {
            let range = SourceRange::Delta { table_id: self.table_id.clone(), from: Some(self.start), to };
            self.done.push(PlannedRange { range, files, bytes });
            self.start = to;
        }
    }

    fn finish(mut self) -> (String, Vec<PlannedRange>) {
        self.close();
        (self.table_id, self.done)
    }
}

/// The files that the versions after `from` up to `to` added; the same on every replay.
pub(super) async fn appended_files(
    source: &DeltaSource,
    options: &DeltaStreamOptions,
    from: i64,
    to: i64,
) -> Result<Vec<DataFile>, Failure> {
    let mut files = Vec::new();
    let mut at = from;
    while at < to {
        let end = (at + COMMITS_AT_ONCE).min(to);
        for changes in commits(source, at, end).await?.into_iter().map(Changes::of) {
            if changes.removed == 0 && !changes.has_deletion_vectors {
                files.extend(changes.added);
            } else if !options.skip_change_commits {
                return Err(changes.refusal(&source.name));
            }
        }
        at = end;
    }
    Ok(files)
}

pub(super) async fn commits(source: &DeltaSource, from: i64, to: i64) -> Result<Vec<VersionActions>, Failure> {
    table::commits(&source.location, from, to).await?.ok_or_else(|| not_contiguous(source, from, to))
}

fn check_metadata(source: &DeltaSource, metadata: Option<&MetaData>, table_id: &str) -> Result<(), Failure> {
    let Some(metadata) = metadata else { return Ok(()) };
    if metadata.id != table_id {
        return Err(replaced(source, table_id, &metadata.id));
    }
    Ok(())
}

/// The id of the table, and that a stream can read it.
async fn table_id(source: &DeltaSource) -> Result<String, Failure> {
    let table = look(source).await?.ok_or_else(|| {
        Failure::user("DELTA_TABLE_NOT_FOUND", format!("there is no Delta table for {} at {}", source.name, source.location))
            .help("check the location; if the table was dropped, remove the stream or make the table again and reset the checkpoint")
    })?;
    Ok(table.metadata.id)
}

/// DELTA_MISSING_CHANGE_DATA: updates of a table without the property show as files only.
async fn records_changes(source: &DeltaSource) -> Result<(), Failure> {
    let table = look(source).await?;
    let property = table.as_ref().and_then(|table| table.metadata.configuration.get("delta.enableChangeDataFeed"));
    if property.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(());
    }
    let text = format!("the table {} records no changes, and a flow reads STREAM … CHANGES FROM VERSION of it", source.name);
    Err(Failure::user("DELTA_MISSING_CHANGE_DATA", text)
        .help("set its property delta.enableChangeDataFeed to true, and begin with a later version"))
}

fn replaced(source: &DeltaSource, known: &str, found: &str) -> Failure {
    let text = format!(
        "{} was dropped and made again since the last update: the stream has read table id {known}, now there is {found}",
        source.name
    );
    Failure::user("STREAMING_SOURCE_REPLACED", text)
        .help("reset the checkpoint of the flow to read the new table from its beginning, or refresh the target fully")
}

fn not_contiguous(source: &DeltaSource, from: i64, to: i64) -> Failure {
    let text = format!("the log of {} lacks entries between versions {} and {to} that the stream has not read yet", source.name, from + 1);
    Failure::user("DELTA_VERSIONS_NOT_CONTIGUOUS", text)
        .help("reset the checkpoint of the flow with startingVersion, or refresh the target fully; keep delta.logRetentionDuration longer than the slowest reader")
}

/// The first version that was committed at or after `instant_ms`; `newest + 1` if there is none. Versions without an entry are older.
async fn first_at_or_after(source: &DeltaSource, instant_ms: i64, newest: i64) -> Result<i64, Failure> {
    let (mut low, mut high) = (0, newest + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let commit = table::commits(&source.location, middle - 1, middle).await?;
        let time = commit.and_then(|commits| commits.into_iter().next()).map(|commit| commit_time(&commit.actions));
        if time.unwrap_or(i64::MIN) < instant_ms {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// When `version` was committed, µs since 1970: as its entry says, else when that was written.
pub(super) async fn committed_us(source: &DeltaSource, version: i64) -> Result<i64, Failure> {
    let commit = table::commits(&source.location, version - 1, version).await?.and_then(|commits| commits.into_iter().next());
    match commit.map(|commit| commit_time(&commit.actions)).filter(|time| *time != i64::MIN) {
        Some(time) => Ok(time * 1000),
        None => table::written_us(&source.location, version).await?.ok_or_else(|| {
            let text = format!("the log of {} lacks the entry of version {version}, which says when it was committed", source.name);
            Failure::user("DELTA_VERSION_NOT_FOUND", text).help("write the table once more: its newest entry must be there")
        }),
    }
}

/// ms since 1970; a commit that does not tell counts as old.
pub(super) fn commit_time(actions: &[Action]) -> i64 {
    let info = actions.iter().find_map(|action| if let Action::CommitInfo(info) = action { Some(info) } else { None });
    let time = |key: &str| info.and_then(|info| info.get(key)).and_then(Value::as_i64);
    time("inCommitTimestamp").or_else(|| time("timestamp")).unwrap_or(i64::MIN)
}
