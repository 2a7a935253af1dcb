//! Snapshots of a source: each is a micro-batch of its own, in the order of their times.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    sync::Arc,
};

use chrono::{DateTime, SecondsFormat, Utc};
use datafusion::{arrow::datatypes::DataType, scalar::ScalarValue};
use floe_graph::{
    analysis::ddl,
    cdc::{ResolvedAutoCdc, snapshot_value},
    relation::{Relation, RelationKind},
};

use super::{AppendRun, PlannedBatch};
use crate::{
    execute::inputs,
    failure::Failure,
    source::FileSource,
    state::{BatchOffsets, FileEntry, SourceId, SourcePosition, SourceRange, StaticVersion, ledger::Overwrites},
};

/// The files of one snapshot in a directory.
struct DatedFiles {
    name: String,
    files: Vec<FileEntry>,
}

impl AppendRun<'_> {
    /// The snapshots since the last one, oldest first. One that is not newer than the last stops all.
    pub(super) async fn plan_snapshots(&mut self, cdc: &ResolvedAutoCdc) -> Result<VecDeque<PlannedBatch>, Failure> {
        let relation = self.run.flow.inputs.first().map(Arc::clone);
        let relation = relation.ok_or_else(|| Failure::internal(format!("flow {} has no source of snapshots", self.run.flow.name)))?;
        let id = self.execution.places().stream_id(&relation)?;
        let ranges = match &relation.kind {
            RelationKind::Files { .. } => self.plan_directory(&relation, &id, &cdc.sequence_type).await?,
            _ => self.plan_version(&relation, &id).await?.into_iter().collect(),
        };
        let batch = |range: SourceRange| {
            let (files, bytes) = range.taken_files().fold((0, 0), |(files, bytes), (file, _)| (files + 1, bytes + file.size));
            PlannedBatch { sources: BTreeMap::from([(id.clone(), range)]), files, bytes }
        };
        Ok(ranges.into_iter().map(batch).collect())
    }

    /// The newest version of a table, if its rows have changed since the last one.
    async fn plan_version(&self, relation: &Relation, id: &SourceId) -> Result<Option<SourceRange>, Failure> {
        let last = match self.checkpoint.positions().get(id) {
            Some(SourcePosition::DatedVersion { table_id, version, value }) => Some((table_id, *version, *value)),
            _ => None,
        };
        let known = last.map(|(table_id, version, _)| StaticVersion { table_id: table_id.clone(), version });
        let now = inputs::pin_table(self.execution, relation, known.as_ref()).await?;
        let StaticVersion { table_id, version } = now.version;
        let went_back = last.is_some_and(|(known, before, _)| *known == table_id && version < before);
        if last.is_some() && !now.changed && !went_back {
            return Ok(None);
        }
        let value = inputs::delta_source(self.execution, relation)?.committed_us(version).await?;
        if let Some((_, before, at)) = last
            && (went_back || value <= at)
        {
            let snapshot = format!("version {version} of {} ({})", relation.source_id(), shown(value, true));
            let last = format!("version {before} ({})", shown(at, true));
            let help = "write the table once more, so that its newest version is newer, or fill the target again with --full-refresh";
            return Err(self.out_of_order(&snapshot, &last, help));
        }
        Ok(Some(SourceRange::DatedVersion { table_id, version, value }))
    }

    /// The children of a directory with files that were not taken yet, by the values in their names.
    async fn plan_directory(&mut self, relation: &Relation, id: &SourceId, sequence: &DataType) -> Result<Vec<SourceRange>, Failure> {
        let source = self.execution.places().files(relation)?;
        let listing = source.list(Utc::now().timestamp_micros(), &|_| {}).await?;
        let mut unseen = self.checkpoint.ledger().unseen(id, listing, Overwrites::Ignore).await?;
        if unseen.overwritten > 0 {
            let (count, files) = (unseen.overwritten, if unseen.overwritten == 1 { "file" } else { "files" });
            let text = format!("{count} {files} of {} changed after being read as snapshots, and will not be read again", source.uri());
            self.warn("FILES_OVERWRITTEN", text);
        }
        let files = std::mem::take(&mut unseen.files);
        self.listings.push(unseen);
        let is_time = matches!(sequence, DataType::Timestamp(..));
        let snapshots = self.dated(&source, files, sequence)?;
        if let (Some(SourcePosition::Dated { name, value }), Some((first, snapshot))) =
            (self.checkpoint.positions().get(id), snapshots.first_key_value())
            && first <= value
        {
            let snapshot = format!("{} in {} ({})", snapshot.name, source.uri(), shown(*first, is_time));
            return Err(self.out_of_order(&snapshot, &format!("{name} ({})", shown(*value, is_time)), LATE_FILE));
        }
        let range = |(value, DatedFiles { name, files })| SourceRange::DatedFiles { name, value, files };
        Ok(snapshots.into_iter().map(range).collect())
    }

    fn dated(&self, source: &FileSource, files: Vec<FileEntry>, sequence: &DataType) -> Result<BTreeMap<i64, DatedFiles>, Failure> {
        let mut snapshots: BTreeMap<i64, DatedFiles> = BTreeMap::new();
        for file in files {
            let name = source.child_of(&file).ok_or_else(|| undated(source, &file.path, sequence))?;
            let value = match snapshot_value(&name) {
                Some(ScalarValue::TimestampMicrosecond(Some(value), _)) if matches!(sequence, DataType::Timestamp(..)) => value,
                Some(ScalarValue::Int64(Some(value))) if *sequence == DataType::Int64 => value,
                _ => return Err(undated(source, &name, sequence)),
            };
            match snapshots.entry(value) {
                Entry::Vacant(new) => {
                    new.insert(DatedFiles { name, files: vec![file] });
                }
                Entry::Occupied(known) if known.get().name != name => {
                    let shown = shown(value, matches!(sequence, DataType::Timestamp(..)));
                    return Err(self.out_of_order(
                        &format!("{name} in {}", source.uri()),
                        &format!("{} ({shown})", known.get().name),
                        LATE_FILE,
                    ));
                }
                Entry::Occupied(known) => known.into_mut().files.push(file),
            }
        }
        Ok(snapshots)
    }

    /// The failure of a snapshot that is not newer than another one.
    fn out_of_order(&self, snapshot: &str, last: &str, help: &str) -> Failure {
        let text = format!(
            "the snapshot {snapshot} is not newer than {last}, which flow {} has before it; nothing was applied",
            self.run.flow.name
        );
        Failure::user("AUTOCDC_SNAPSHOT_OUT_OF_ORDER", text).help(help)
    }
}

const LATE_FILE: &str = "take it out of the directory, or fill the target again with --full-refresh, which takes all snapshots in their order; a snapshot must be complete \
     when it appears, and have a time of its own";

/// Names of which nothing can be said would be left out silently.
fn undated(source: &FileSource, name: &str, sequence: &DataType) -> Failure {
    let text = format!(
        "{name} in {} is no snapshot: its name does not hold one {} and nothing else that could be one",
        source.uri(),
        if matches!(sequence, DataType::Timestamp(..)) { "date or timestamp".to_string() } else { ddl::type_text(sequence) + " number" }
    );
    Failure::user("AUTOCDC_SNAPSHOT_NOT_DATED", text).help(
        "call every file and sub-directory like 2024-01-31 or 20240131T103000, or all by numbers; pathGlobFilter leaves other files out",
    )
}

/// A sequence as messages say it.
fn shown(value: i64, is_time: bool) -> String {
    let time = if is_time { DateTime::from_timestamp_micros(value) } else { None };
    time.map_or_else(|| value.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// The sequence of the events of a micro-batch that reads a snapshot.
pub(super) fn sequence_of(cdc: &ResolvedAutoCdc, offsets: &BatchOffsets) -> Result<Option<ScalarValue>, Failure> {
    let Some(value) = offsets.sources.values().find_map(SourceRange::snapshot_value) else { return Ok(None) };
    let sequence = match &cdc.sequence_type {
        DataType::Timestamp(_, zone) => ScalarValue::TimestampMicrosecond(Some(value), zone.clone()),
        DataType::Int64 => ScalarValue::Int64(Some(value)),
        other => return Err(Failure::internal(format!("snapshots have no sequence of type {other}"))),
    };
    Ok(Some(sequence))
}
