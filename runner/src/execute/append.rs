//! Append flows: micro-batches over what is new in the streams, each recorded before it is read and committed exactly once.

mod clean;
mod lateness;
mod prepare;
mod remember;
mod schemas;
mod snapshots;
mod stream_progress;
mod streams;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use chrono::Utc;
use floe_graph::{
    analysis::{
        state::{StateOfPlan, state_of},
        stream_leaves,
    },
    relation::{Relation, RelationKind},
    source_options::delta_stream_options,
};
use serde_json::{Map, Value, json};

use super::{
    Execution, FlowRun, Round,
    batch::Prepared,
    cdc::Noise,
    inputs::{self, LOOK_ALIKE, NewFields, PinnedInputs},
    progress::{CountedIn, FlowFailure, FlowNotice, FlowProgress, FlowResult, Wider},
    stateful::memory::Remembered,
};
use crate::{
    commit::{CommitOutcome, CommitRequest, RowChange, StagedFiles, TargetTable, table, transaction},
    event_log::note::CommitNote,
    failpoint,
    failure::Failure,
    source::{
        FileSource,
        files::{NEW_FIELDS, invalid_options},
    },
    state::{
        BatchCommit, BatchOffsets, Checkpoint, FileEntry, SourceId, SourcePosition, SourceRange, StaticVersion,
        ledger::{Overwrites, Unseen},
    },
};
pub use clean::Cleanings;
use lateness::Told;
use streams::Planned;

/// Brings the target of a streaming flow up to what its sources hold now, or runs a ONCE flow.
pub async fn run(execution: &Execution, run: &FlowRun) -> Result<FlowResult, FlowFailure> {
    let kept = execution.kept.take(&run.flow.name).filter(|_| run.round == Round::Later);
    let checkpoint = match kept {
        Some(checkpoint) => checkpoint,
        None => open_checkpoint(execution, run).await?,
    };
    if run.flow.kind.is_once() && checkpoint.pending().is_none() && checkpoint.next_batch() > 0 {
        return Ok(FlowResult { idle: true, total: known_version(&checkpoint), ..FlowResult::default() });
    }
    let result = FlowResult { total: known_version(&checkpoint), ..FlowResult::default() };
    let mut flow = AppendRun {
        execution,
        run,
        checkpoint,
        known: BTreeMap::new(),
        result,
        seen: Seen::default(),
        listings: Vec::new(),
        cleanable: Vec::new(),
        state: state_of(&run.flow.plan),
        remembered: None,
        told: Told::default(),
    };
    let (flow_id, generation) = (flow.checkpoint.flow_id().to_string(), Some(flow.checkpoint.generation()));
    let remembered = if flow.state.is_empty() { None } else { flow.checkpoint.state().await?.map(|state| state.as_ref().into()) };
    flow.notice(FlowNotice::Identity { flow_id, generation, remembered });
    if let Err(failed) = Box::pin(flow.all_batches()).await {
        return Err(FlowFailure { done: Box::new(flow.result), ..failed });
    }
    if flow.result.batches > 0
        && let Err(failure) = flow.compact_journal().await
    {
        tracing::warn!(flow = run.flow.name, "the journal was not compacted: {failure}");
    }
    if let Err(failure) = flow.checkpoint.delete_outdated(Utc::now()).await {
        tracing::warn!(flow = run.flow.name, "files of earlier checkpoints were not deleted: {failure}");
    }
    if run.round != Round::Only && flow.result.wider.is_none() {
        execution.kept.keep(flow.checkpoint);
    }
    Ok(flow.result)
}

/// The checkpoint of the flow's batches in its target. A flow that wrote another table before (the dataset has another schema or name, the
/// flow another target) begins again and fills this one, unless batches of it are there.
async fn open_checkpoint(execution: &Execution, run: &FlowRun) -> Result<Checkpoint, Failure> {
    let mut checkpoint = Checkpoint::open(&execution.storage, &run.flow.name).await?;
    let table_id = run.target.id();
    if checkpoint.target().is_some_and(|wrote| wrote != table_id) {
        let app_ids = checkpoint.app_ids(&execution.pipeline_id);
        let app_ids: Vec<&str> = app_ids.iter().map(String::as_str).collect();
        let found = table::transaction_versions(run.target.location(), &app_ids).await?;
        let about = format!("flow {} wrote another table before {}", run.flow.name, run.flow.target);
        if found.iter().any(Option::is_some) {
            return Err(Failure::user(
                "FLOW_TARGET_REPLACED",
                format!("{about}, but the log of this one holds batches of it: the flow has come back, or the table was replaced"),
            )
            .help("fill the table again with --full-refresh, or put the earlier table back"));
        }
        let message = format!("{about}: it begins again and reads everything that its sources hold");
        execution.observer.notice(&run.flow.name, FlowNotice::Warning { class: "FLOW_TARGET_CHANGED".to_string(), message });
        let next = checkpoint.generation() + 1;
        checkpoint.start_generation_at(next, Some(table_id)).await?;
    }
    checkpoint.write_to(table_id);
    Ok(checkpoint)
}

fn known_version(checkpoint: &Checkpoint) -> FlowProgress {
    FlowProgress { target_version: checkpoint.target_version(), ..FlowProgress::default() }
}

/// What one micro-batch will read, before it has a number.
#[derive(Clone, Debug, Default)]
struct PlannedBatch {
    sources: BTreeMap<SourceId, SourceRange>,
    files: u64,
    bytes: u64,
}

/// Versions that do not hold the batch in hand: they were seen before it was planned, or the log was asked. `None`: the batch was planned by an
/// earlier process, and nobody has asked the log yet.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    target: Option<i64>,
    quarantine: Option<i64>,
    journal: Option<i64>,
}

/// What a micro-batch does to the target.
enum TargetFiles {
    /// Rows are appended.
    Rows(StagedFiles),
    /// Events were folded: versions for the journal, and a change of the target if there is one.
    Events { journal: StagedFiles, change: Option<Box<RowChange>>, noise: Noise },
}

/// A staged micro-batch.
struct StagedBatch {
    target: TargetFiles,
    quarantine: Option<StagedFiles>,
}

struct AppendRun<'a> {
    execution: &'a Execution,
    run: &'a FlowRun,
    checkpoint: Checkpoint,
    /// Versions of the static inputs at the last look.
    known: BTreeMap<String, StaticVersion>,
    result: FlowResult,
    seen: Seen,
    /// Per stream the first listing: remembered when all its files are in offsets.
    listings: Vec<Unseen>,
    /// Per stream whose files are cleaned up what it holds.
    cleanable: Vec<(FileSource, Vec<FileEntry>)>,
    /// What the query remembers.
    state: StateOfPlan,
    /// What is remembered after the batch in hand.
    remembered: Option<Remembered>,
    told: Told,
}

impl AppendRun<'_> {
    async fn all_batches(&mut self) -> Result<(), FlowFailure> {
        self.check_state().await?;
        self.forget().await;
        if let Some(pending) = self.checkpoint.pending().cloned() {
            Box::pin(self.finish_pending(&pending)).await?;
            if self.is_behind() {
                return Ok(());
            }
            self.check_state().await?;
        }
        let mut planned = self.plan().await?;
        if self.run.round == Round::Later && !planned.is_empty() {
            self.notice(FlowNotice::Working);
        }
        while let Some(batch) = planned.pop_front() {
            if self.execution.stop.is_requested() {
                self.result.stopped = true;
                return Ok(());
            }
            let offsets = self.record(batch).await?;
            Box::pin(self.execute(&offsets, planned.make_contiguous())).await?;
            if self.is_behind() {
                return Ok(());
            }
        }
        if self.has_moved().await? {
            let offsets = self.record(PlannedBatch::default()).await?;
            Box::pin(self.execute(&offsets, &[])).await?;
        }
        for unseen in &self.listings {
            self.checkpoint.ledger().remember(unseen).await?;
        }
        self.clean_sources().await;
        Ok(())
    }

    /// True if a file of the batch in hand has more columns than the plan.
    fn is_behind(&self) -> bool {
        self.result.wider.is_some()
    }

    /// Ends the batch of an earlier process, or one that waited for wider columns. The target is committed last: if it holds the batch, everything else does too, and the batch is
    /// not executed again. Its input may be gone by now.
    async fn finish_pending(&mut self, offsets: &BatchOffsets) -> Result<(), FlowFailure> {
        let looked_up_to = self.run.target.version();
        if let Some(commit) = self.counted_in(offsets.batch).await? {
            // An attempt of this process may have committed it without learning so.
            let earlier = self.execution.unsure.end(&self.run.flow.name).filter(|earlier| earlier.batch_id == Some(offsets.batch));
            if let Some(progress) = earlier {
                self.report(offsets, progress.which_is_in(commit));
            }
            return Ok(self.close(offsets, Some(commit)).await?);
        }
        self.seen.target = Some(looked_up_to);
        self.refuse_mixture(offsets).await?;
        Box::pin(self.execute(offsets, &[])).await
    }

    /// The last commit of the batch, if it is there.
    async fn counted_in(&self, batch: i64) -> Result<Option<CountedIn>, Failure> {
        let app_id = self.checkpoint.app_id(&self.execution.pipeline_id);
        if let Some(version) = transaction::recorded(&self.run.target, &app_id, batch).await? {
            return Ok(Some(CountedIn::Target(version)));
        }
        let Some(journal) = &self.run.journal else { return Ok(None) };
        Ok(transaction::recorded(journal, &without_change(&app_id), batch).await?.map(CountedIn::Journal))
    }

    /// The quarantine or the journal of the batch may be committed and its target not. Another query or another rule would then sort the
    /// same rows otherwise: some into both tables, some into none. Wider columns sort none otherwise.
    async fn refuse_mixture(&self, offsets: &BatchOffsets) -> Result<(), Failure> {
        let now = &self.run.flow.fingerprint;
        let Some(begun) = offsets.fingerprint.as_ref().filter(|begun| *begun != now) else { return Ok(()) };
        if self.checkpoint.is_widened(begun, now).await? {
            return Ok(());
        }
        // The definition of now may have no quarantine.
        let quarantine = match &offsets.quarantine {
            Some(place) => TargetTable::open(&self.execution.storage.at(place), None).await?.map(Arc::new),
            None => None,
        };
        let app_id = self.checkpoint.app_id(&self.execution.pipeline_id);
        for table in [quarantine, self.run.journal.clone()].into_iter().flatten() {
            if transaction::recorded(&table, &app_id, offsets.batch).await?.is_some() {
                let text = format!(
                    "micro-batch {} was cut short after its rows for {} were committed, and the query or its expectations have changed since",
                    offsets.batch,
                    table.dataset()
                );
                return Err(Failure::user("PENDING_BATCH_REDEFINED", text).help(
                    "run once with the earlier definition, which ends the micro-batch, or fill the table again with --full-refresh",
                ));
            }
        }
        Ok(())
    }

    /// The micro-batches up to what the sources hold now. Later arrivals belong to the next update.
    async fn plan(&mut self) -> Result<VecDeque<PlannedBatch>, Failure> {
        if self.run.flow.kind.is_once() {
            let done = self.checkpoint.next_batch() > 0;
            let once = PlannedBatch { sources: BTreeMap::from([(SourceId::once(), SourceRange::Once)]), ..PlannedBatch::default() };
            return Ok(if done { VecDeque::new() } else { VecDeque::from([once]) });
        }
        if let Some(cdc) = self.run.flow.kind.auto_cdc().filter(|_| self.run.flow.kind.is_snapshot()) {
            return self.plan_snapshots(cdc).await;
        }
        let mut batches: VecDeque<PlannedBatch> = VecDeque::new();
        let mut planned = Planned::default();
        for relation in stream_leaves(&self.run.flow.plan) {
            let id = self.execution.places().stream_id(&relation)?;
            if !planned.is_new(&id, &relation)? {
                continue;
            }
            let ranges = match &relation.kind {
                RelationKind::Files { .. } => self.plan_files(&relation, &id, &mut planned).await?,
                _ => self.plan_table(&relation, &id).await?,
            };
            for (i, (range, files, bytes)) in ranges.into_iter().enumerate() {
                if batches.len() == i {
                    batches.push_back(PlannedBatch::default());
                }
                batches[i].sources.insert(id.clone(), range);
                batches[i].files += files;
                batches[i].bytes += bytes;
            }
        }
        Ok(batches)
    }

    async fn plan_files(
        &mut self,
        relation: &Relation,
        id: &SourceId,
        planned: &mut Planned,
    ) -> Result<Vec<(SourceRange, u64, u64)>, Failure> {
        let started = std::time::Instant::now();
        let source = self.execution.places().files(relation)?;
        let listing = source.list(Utc::now().timestamp_micros(), &|_| {}).await?;
        let listed = listing.len() as u64;
        let overwrites = if source.options().allow_overwrites { Overwrites::ReadAgain } else { Overwrites::Ignore };
        planned.list(id, &listing, stream_leaves(&self.run.flow.plan).len() > 1)?;
        let cleanable = source.cleaning().map(|_| listing.clone());
        let mut unseen = self.checkpoint.ledger().unseen(id, listing, overwrites).await?;
        if unseen.overwritten > 0 && overwrites == Overwrites::Ignore {
            self.warn(
                "FILES_OVERWRITTEN",
                format!(
                    "{} {} of {} changed after being read, and will not be read again (allowOverwrites => true would)",
                    unseen.overwritten,
                    if unseen.overwritten == 1 { "file" } else { "files" },
                    source.uri()
                ),
            );
        }
        if self.run.round != Round::Later || !unseen.files.is_empty() {
            let duration_ms = started.elapsed().as_millis() as u64;
            self.notice(FlowNotice::Listed { source: source.uri().to_string(), files: listed, duration_ms });
        }
        self.cleanable.extend(cleanable.map(|listing| (source.clone(), listing)));
        let files = std::mem::take(&mut unseen.files);
        self.listings.push(unseen);
        // The first start is a batch of its own even if there is no file, so that the checkpoint knows it. A place that holds files which
        // the flow knows has another spelling now and was started before.
        let is_new = !self.checkpoint.positions().contains_key(id) && files.len() as u64 == listed && !self.is_respelled(id)?;
        if !source.options().include_existing_files && is_new {
            return Ok(vec![(SourceRange::Files { files: Vec::new(), seen: files }, 0, 0)]);
        }
        let size = |files: &[FileEntry]| files.iter().map(|file| file.size).sum();
        let range = |files: Vec<_>| {
            let (count, bytes) = (files.len() as u64, size(&files));
            (SourceRange::Files { files, seen: Vec::new() }, count, bytes)
        };
        Ok(source.batches(files).into_iter().map(range).collect())
    }

    async fn plan_table(&self, relation: &Relation, id: &SourceId) -> Result<Vec<(SourceRange, u64, u64)>, Failure> {
        let options = delta_stream_options(relation).map_err(invalid_options)?;
        let location = self.execution.places().location(relation)?;
        let position = self.checkpoint.positions().get(id);
        let known = position.and_then(SourcePosition::table_version);
        let newest = table::newest_version(&location, known).await?;
        let newest = newest.ok_or_else(|| inputs::no_table(relation, &location))?;
        let plan = inputs::delta_source(self.execution, relation)?.plan(&options, position, newest).await?;
        for skipped in &plan.skipped {
            self.warn(
                "CHANGE_COMMIT_SKIPPED",
                format!(
                    "version {} of {} updated or deleted rows and was skipped as a whole with its {} added rows (skipChangeCommits)",
                    skipped.version,
                    relation.source_id(),
                    skipped.rows
                ),
            );
        }
        Ok(plan.ranges.into_iter().map(|planned| (planned.range, planned.files, planned.bytes)).collect())
    }

    /// Gives the batch its number and time, pins the static inputs, and makes all that durable.
    async fn record(&mut self, batch: PlannedBatch) -> Result<BatchOffsets, Failure> {
        // The one input of snapshots is in their ranges.
        let pinned = if self.run.flow.kind.is_snapshot() {
            PinnedInputs::default()
        } else {
            inputs::pin(self.execution, &self.run.flow, &self.known).await?
        };
        self.known = pinned.versions();
        let PinnedInputs { files, .. } = pinned;
        let mut offsets = BatchOffsets::new(self.checkpoint.next_batch(), self.execution.batch_time_us(), batch.sources);
        offsets.fingerprint = Some(self.run.flow.fingerprint.clone());
        let root = self.execution.storage.root().to_string();
        let place = self.run.quarantine.as_ref().map(|table| table.location().to_string());
        offsets.quarantine = place.and_then(|place| Some(place.strip_prefix(&root)?.trim_matches('/').to_string()));
        offsets.statics = self.known.clone();
        offsets.static_files = files;
        let version = |table: &Option<Arc<TargetTable>>| table.as_ref().map(|table| table.version());
        self.seen = Seen {
            target: Some(self.run.target.version()),
            quarantine: version(&self.run.quarantine),
            journal: version(&self.run.journal),
        };
        offsets.watermark_us = self.next_watermark().await?;
        offsets.journal_number = self.seen.journal.map(|version| version + 1);
        self.checkpoint.write_offsets(offsets.clone()).await?;
        Ok(offsets)
    }

    async fn execute(&mut self, offsets: &BatchOffsets, later: &[PlannedBatch]) -> Result<(), FlowFailure> {
        let (mut prepared, counters) = match Box::pin(self.prepare(offsets, NewFields::Stop)).await {
            Err(failed) if failed.failure.error == NEW_FIELDS && self.adds_columns()? => {
                let schemas = self.wider_schemas(offsets).await?;
                self.result.wider = Some(Wider { schemas, found: failed.failure.message }).filter(|wider| !wider.schemas.is_empty());
                if self.is_behind() {
                    return Ok(());
                }
                // A hint leaves no place for the field: waiting for one would be waiting for ever.
                Box::pin(self.prepare(offsets, NewFields::AreRescued)).await?
            }
            prepared => prepared?,
        };
        counters.write_bad_records(self.execution, &self.run.flow.name, Some(offsets.batch)).await?;
        for file in counters.corrupt_files() {
            self.warn("FAILED_READ_FILE", format!("{file} could not be read and was skipped as a whole (ignoreCorruptFiles)"));
        }
        if let Some(text) = counters.look_alikes().filter(|_| self.told.look_alikes.is_none()) {
            self.warn(LOOK_ALIKE, text.clone());
            self.told.look_alikes = Some(text);
        }
        prepared.metrics.backlog_files = Some(later.iter().map(|batch| batch.files).sum());
        prepared.metrics.backlog_bytes = Some(later.iter().map(|batch| batch.bytes).sum());
        self.commit(offsets, prepared).await.map_err(FlowFailure::from)
    }

    /// Quarantine, target, commit entry: each step is skipped if an earlier run had done it.
    async fn commit(&mut self, offsets: &BatchOffsets, prepared: Prepared<StagedBatch>) -> Result<(), Failure> {
        failpoint::reach("stage::after")?;
        let Prepared { staged, state, mut metrics, data_quality } = prepared;
        if let (Some(table), Some(files)) = (&self.run.quarantine, staged.quarantine)
            && files.rows > 0
        {
            let request = self.request(offsets.batch, self.seen.quarantine, Map::new(), "quarantine");
            transaction::append(table, files, request).await?;
        }
        self.remember(offsets, state, &mut metrics).await?;
        let progress = FlowProgress { batch_id: Some(offsets.batch), metrics, data_quality, ..FlowProgress::default() };
        let (unsure, flow) = (&self.execution.unsure, &self.run.flow.name);
        let earlier = unsure.begin(flow, &progress).filter(|earlier| earlier.batch_id == progress.batch_id);
        let noise = if let TargetFiles::Events { noise, .. } = &staged.target { Some(noise.clone()) } else { None };
        let (outcome, commit) = self.commit_target(offsets.batch, staged.target, &progress).await?.unzip();
        unsure.end(flow);
        if let (Some(counts), Some(noise)) = (progress.metrics.cdc, noise) {
            self.tell(&counts, &noise)?;
        }
        let unreported = if matches!(outcome, Some(CommitOutcome::AlreadyCommitted { .. })) { earlier } else { Some(progress) };
        if let Some(progress) = unreported {
            self.report(offsets, commit.map_or_else(|| progress.clone(), |commit| progress.clone().which_is_in(commit)));
        }
        self.close(offsets, commit).await
    }

    /// The batch is in this commit, or had nothing to write: the next one begins after it.
    async fn close(&mut self, offsets: &BatchOffsets, commit: Option<CountedIn>) -> Result<(), Failure> {
        let version = commit.and_then(CountedIn::target).or(self.result.total.target_version);
        let positions = self.positions_after(offsets);
        self.checkpoint.write_commit(BatchCommit::new(offsets.batch, version, positions)).await?;
        self.forget().await;
        self.result.total.target_version = version;
        Ok(())
    }

    /// Counts a batch once: by the process that committed it, in the attempt that knows so. If that process died before it could say so,
    /// its numbers stand in the commit, and opening the event log has reported them.
    fn report(&mut self, offsets: &BatchOffsets, progress: FlowProgress) {
        self.result.add(&progress);
        if self.run.flow.kind.is_snapshot() {
            self.notice(FlowNotice::Compared { duration_ms: progress.metrics.executor_time_ms });
        }
        self.notice(FlowNotice::Stream(stream_progress::json(self, offsets, &progress.metrics)));
        self.notice(FlowNotice::Batch(Box::new(progress)));
    }

    /// A batch that neither read nor wrote a row leaves no version behind; one that counted anything does, so that its numbers last. Events that
    /// change no row are counted in the journal: readers of the target have nothing to look at.
    async fn commit_target(
        &self,
        batch: i64,
        files: TargetFiles,
        progress: &FlowProgress,
    ) -> Result<Option<(CommitOutcome, CountedIn)>, Failure> {
        let target = &self.run.target;
        let note = CommitNote {
            update_id: self.execution.update_id.clone(),
            flow: self.run.flow.name.clone(),
            flow_id: self.checkpoint.flow_id().to_string(),
            dataset: self.run.flow.target.to_string(),
            progress: progress.clone(),
        };
        let request = self.request(batch, self.seen.target, note.to_info(), "target");
        let nothing = progress.metrics.num_input_rows == 0 && progress.data_quality.dropped_records == 0;
        match files {
            TargetFiles::Rows(files) if nothing && files.rows == 0 => Ok(None),
            TargetFiles::Rows(files) => transaction::append(target, files, request).await.map(in_target).map(Some),
            TargetFiles::Events { journal: versions, change, .. } => {
                if let Some(journal) = &self.run.journal
                    && versions.rows > 0
                {
                    let request = self.request(batch, self.seen.journal, Map::new(), "journal");
                    transaction::append(journal, versions, request).await?;
                }
                match (change, &self.run.journal) {
                    (Some(change), _) => transaction::change(target, *change, request).await.map(in_target).map(Some),
                    (None, Some(journal)) if !nothing => {
                        let transactions =
                            request.transactions.into_iter().map(|(app_id, batch)| (without_change(&app_id), batch)).collect();
                        let request = CommitRequest { transactions, absent_until: self.seen.journal, step: Some("journal"), ..request };
                        let outcome = transaction::append(journal, StagedFiles::none(journal.location()), request).await?;
                        Ok(Some((outcome, CountedIn::Journal(outcome.version()))))
                    }
                    (None, _) => Ok(None),
                }
            }
        }
    }

    /// A source that the query does not read now keeps its position: put back, it is read from there.
    fn positions_after(&self, offsets: &BatchOffsets) -> BTreeMap<SourceId, SourcePosition> {
        let mut positions = self.checkpoint.positions().clone();
        positions.extend(offsets.sources.iter().map(|(id, range)| (id.clone(), range.end())));
        positions
    }

    fn request(&self, batch: i64, absent_until: Option<i64>, info: Map<String, Value>, step: &'static str) -> CommitRequest {
        let app_id = self.checkpoint.app_id(&self.execution.pipeline_id);
        let parameters = json!({"outputMode": "Append", "queryId": app_id, "epochId": batch.to_string()});
        CommitRequest {
            transactions: vec![(app_id, batch)],
            absent_until,
            operation: "STREAMING UPDATE",
            parameters: parameters.as_object().cloned().unwrap_or_default(),
            info,
            step: Some(step),
        }
    }

    fn warn(&self, class: &str, message: String) {
        self.notice(FlowNotice::Warning { class: class.to_string(), message });
    }

    fn notice(&self, notice: FlowNotice) {
        self.execution.observer.notice(&self.run.flow.name, notice);
    }
}

fn in_target(outcome: CommitOutcome) -> (CommitOutcome, CountedIn) {
    (outcome, CountedIn::Target(outcome.version()))
}

/// The application id under which a journal counts the micro-batches of `app_id` that change no row of the target.
fn without_change(app_id: &str) -> String {
    format!("{app_id}/unchanged")
}
