//! Positions of one streaming flow: what was planned, what is known to be committed, where the next batch begins.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use crate::{
    failpoint,
    failure::Failure,
    state::{
        SourceId,
        format::{self, BatchCommit, BatchOffsets, BatchState, GenerationMetadata, SourcePosition},
        ledger::{self, Ledger, RecentBatch, SegmentName},
        remembered::{self, Remembered},
        schemas::{self, FoundSchemas},
        widened::{self, WidenedPlan},
    },
    storage::{Location, PutOutcome, Storage, layout},
};

/// Entries of the newest batches that stay. Older ones are only kept until the ledger has their files.
const KEPT_BATCHES: i64 = 10;
/// Entries are deleted when so many more than that have come together.
const PRUNE_EVERY: i64 = 10;
/// Small files read at once.
const PARALLEL_READS: usize = 8;

/// Age of a generation at which those before it are deleted.
const KEPT_GENERATIONS: TimeDelta = TimeDelta::days(7);
/// Files of old generations that one update deletes at most; the next one goes on.
const MAX_DELETIONS: usize = 1000;

const METADATA: &str = "metadata.json";

/// The newest generation of a flow's checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// The directory of all generations.
    flow_directory: Location,
    directory: Location,
    flow: String,
    metadata: GenerationMetadata,
    /// False until `metadata.json` is written.
    begun: bool,
    pending: Option<BatchOffsets>,
    last_commit: Option<BatchCommit>,
    positions: BTreeMap<SourceId, SourcePosition>,
    /// Batches with an offsets entry, batches with a commit entry.
    offsets: BTreeSet<i64>,
    commits: BTreeSet<i64>,
    /// Ledger files, as listed.
    segments: Vec<SegmentName>,
    /// Files of the state.
    remembered: Remembered,
    /// Numbers of the schemas of files, and the newest one if it was read.
    schemas: BTreeSet<u64>,
    found: Option<FoundSchemas>,
    /// Offsets that are in memory already; the ledger reads the others when it needs them.
    recent: BTreeMap<i64, Arc<BatchOffsets>>,
    /// Files of the generations before this one, relative to the directory of the flow.
    outdated: Vec<String>,
}

/// The files of one flow's checkpoints by what they are.
#[derive(Default)]
struct Listing {
    generation: u64,
    has_metadata: bool,
    offsets: BTreeSet<i64>,
    commits: BTreeSet<i64>,
    segments: Vec<SegmentName>,
    remembered: Remembered,
    schemas: BTreeSet<u64>,
    /// Paths of all its files, relative to the directory of the flow.
    files: Vec<String>,
}

impl Checkpoint {
    /// Reads the newest generation: one listing and at most three small files. Creates nothing.
    pub async fn open(storage: &Storage, flow: &str) -> Result<Self, Failure> {
        let flow_directory = storage.at(&layout::checkpoint_path(flow));
        let (listing, outdated) = list(&flow_directory).await?;
        let directory = flow_directory.join(&format!("g{}", listing.generation));
        let newest_offsets = listing.offsets.last().copied();
        let newest_commit = listing.commits.last().copied();
        let (metadata, offsets, last_commit) = futures::try_join!(
            read_if::<GenerationMetadata>(&directory, listing.has_metadata.then(|| METADATA.to_owned())),
            read_if::<BatchOffsets>(&directory, newest_offsets.filter(|batch| Some(*batch) > newest_commit).map(offsets_entry)),
            read_if::<BatchCommit>(&directory, newest_commit.map(commit_entry)),
        )?;
        let begun = metadata.is_some();
        let metadata = metadata.unwrap_or_else(|| new_metadata(flow, listing.generation));
        let mut checkpoint = Self {
            flow_directory,
            directory,
            flow: flow.to_owned(),
            metadata,
            begun,
            positions: last_commit.as_ref().map(|commit| commit.positions.clone()).unwrap_or_default(),
            pending: None,
            last_commit,
            offsets: listing.offsets,
            commits: listing.commits,
            segments: listing.segments,
            remembered: listing.remembered,
            schemas: listing.schemas,
            found: None,
            recent: BTreeMap::new(),
            outdated,
        };
        if let Some(offsets) = offsets {
            checkpoint.recent.insert(offsets.batch, Arc::new(offsets.clone()));
            checkpoint.pending = Some(offsets);
        }
        Ok(checkpoint)
    }

    /// The name of the flow.
    pub fn flow(&self) -> &str {
        &self.flow
    }

    /// The batch that was planned and is not known to be committed: execute it again exactly as recorded.
    pub fn pending(&self) -> Option<&BatchOffsets> {
        self.pending.as_ref()
    }

    /// Delta table id of the table that this generation writes, if it has begun and knows it.
    pub fn target(&self) -> Option<&str> {
        self.metadata.target.as_deref()
    }

    /// Names the table that this generation writes. Has an effect only before the generation begins.
    pub fn write_to(&mut self, table_id: &str) {
        if !self.begun {
            self.metadata.target = Some(table_id.to_owned());
        }
    }

    /// Per source id where the next batch begins; empty before the first batch.
    pub fn positions(&self) -> &BTreeMap<SourceId, SourcePosition> {
        &self.positions
    }

    /// The newest version of the target that is known to hold this flow's batches.
    pub fn target_version(&self) -> Option<i64> {
        self.last_commit.as_ref().and_then(|commit| commit.target_version)
    }

    /// The number of the next batch to plan; that of the pending one if there is one.
    pub fn next_batch(&self) -> i64 {
        match &self.pending {
            Some(pending) => pending.batch,
            None => self.last_commit.as_ref().map_or(0, |commit| commit.batch + 1),
        }
    }

    /// 0, 1, … : counts resets.
    pub fn generation(&self) -> u64 {
        self.metadata.generation
    }

    /// `flow_id` of the event log: stays while the flow goes on incrementally.
    pub fn flow_id(&self) -> Uuid {
        self.metadata.flow_id
    }

    /// The application id of this generation's Delta transactions; the batch number is their version.
    pub fn app_id(&self, pipeline_id: &str) -> String {
        app_id(pipeline_id, &self.flow, self.generation())
    }

    /// The same for this and all earlier generations.
    pub fn app_ids(&self, pipeline_id: &str) -> Vec<String> {
        (0..=self.generation()).map(|generation| app_id(pipeline_id, &self.flow, generation)).collect()
    }

    /// Makes the generation, and with it the flow's id, durable. `write_offsets` does it too.
    pub async fn begin(&mut self) -> Result<(), Failure> {
        if self.begun {
            return Ok(());
        }
        let content = format::to_json(&self.metadata)?;
        if self.directory.put_if_absent(METADATA, content).await? == PutOutcome::AlreadyExists {
            let written = read_if::<GenerationMetadata>(&self.directory, Some(METADATA.to_owned())).await?;
            self.metadata = written.ok_or_else(|| concurrent(&self.flow, "its checkpoint was made and deleted"))?;
        }
        self.begun = true;
        Ok(())
    }

    /// Records the next batch before anything of it is read. `CONCURRENT_UPDATE` if another runner planned that batch differently.
    pub async fn write_offsets(&mut self, offsets: BatchOffsets) -> Result<(), Failure> {
        if offsets.batch != self.next_batch() || self.pending.is_some() {
            return Err(Failure::internal(format!("batch {} of flow {} is planned out of turn", offsets.batch, self.flow)));
        }
        if self.metadata.sources.is_empty() {
            self.metadata.sources = offsets.sources.keys().cloned().collect();
        }
        self.begin().await?;
        failpoint::reach("offsets::before")?;
        let entry = offsets_entry(offsets.batch);
        if self.directory.put_if_absent(&entry, format::to_compact_json(&offsets)?).await? == PutOutcome::AlreadyExists {
            let found = read_if::<BatchOffsets>(&self.directory, Some(entry)).await?;
            if found.as_ref() != Some(&offsets) {
                return Err(concurrent(&self.flow, &format!("batch {} was planned by another process", offsets.batch)));
            }
        }
        failpoint::reach("offsets::after")?;
        self.offsets.insert(offsets.batch);
        self.recent.insert(offsets.batch, Arc::new(offsets.clone()));
        self.pending = Some(offsets);
        Ok(())
    }

    /// Records that the pending batch is in the target.
    pub async fn write_commit(&mut self, commit: BatchCommit) -> Result<(), Failure> {
        if self.pending.as_ref().is_none_or(|pending| pending.batch != commit.batch) {
            return Err(Failure::internal(format!("batch {} of flow {} is committed without being planned", commit.batch, self.flow)));
        }
        failpoint::reach("commit_entry::before")?;
        let commit = BatchCommit { target_version: commit.target_version.or_else(|| self.target_version()), ..commit };
        // Whoever wrote the entry first wrote the same batch: its offsets are equal.
        self.directory.put_if_absent(&commit_entry(commit.batch), format::to_json(&commit)?).await?;
        failpoint::reach("commit_entry::after")?;
        self.commits.insert(commit.batch);
        self.positions = commit.positions.clone();
        self.last_commit = Some(commit);
        self.pending = None;
        self.prune().await
    }

    /// Begins the empty generation of this number, which writes the table with the id `target`: nothing is taken, the next batch is 0,
    /// transactions have a new application id. Does nothing if that generation exists already: a reset may be finished by another update.
    pub async fn start_generation_at(&mut self, generation: u64, target: Option<&str>) -> Result<(), Failure> {
        if self.generation() >= generation && (self.begun || generation == 0) {
            return Ok(());
        }
        failpoint::reach("reset::generation")?;
        self.metadata = GenerationMetadata { target: target.map(str::to_owned), ..new_metadata(&self.flow, generation) };
        self.directory = self.flow_directory.join(&format!("g{generation}"));
        self.begun = false;
        self.pending = None;
        self.last_commit = None;
        self.positions.clear();
        self.offsets.clear();
        self.commits.clear();
        self.segments.clear();
        self.remembered = Remembered::default();
        self.schemas.clear();
        self.found = None;
        self.recent.clear();
        self.begin().await
    }

    /// The number of the newest batch that is known to be committed.
    pub fn last_batch(&self) -> Option<i64> {
        self.last_commit.as_ref().map(|commit| commit.batch)
    }

    /// Where the files of the state stand.
    pub fn state_directory(&self) -> Location {
        self.directory.join(remembered::DIRECTORY)
    }

    /// What is remembered after the newest committed batch: at most one small read. `None` if there is no such batch, or it had no state.
    pub async fn state(&mut self) -> Result<Option<Arc<BatchState>>, Failure> {
        let Some(batch) = self.last_batch() else { return Ok(None) };
        let directory = self.state_directory();
        self.remembered.after(&directory, batch).await
    }

    /// Records what is remembered after the pending batch, which has written the files `staged`, before that batch is committed.
    pub async fn write_state(&mut self, state: BatchState, staged: Vec<String>) -> Result<(), Failure> {
        if self.pending.as_ref().is_none_or(|pending| pending.batch != state.batch) {
            return Err(Failure::internal(format!("the state of batch {} of flow {} is written out of turn", state.batch, self.flow)));
        }
        let directory = self.state_directory();
        self.remembered.write(&directory, state, staged).await
    }

    /// The columns that were last found in the files of the sources: at most one small read.
    pub async fn schemas(&mut self) -> Result<Option<&FoundSchemas>, Failure> {
        if let (None, Some(newest)) = (&self.found, self.schemas.last()) {
            self.found = read_if(&self.directory, Some(schemas_entry(*newest))).await?;
        }
        Ok(self.found.as_ref())
    }

    /// Records the columns with which the pending batch and all later ones are read, before a row of that batch is staged.
    pub async fn write_schemas(&mut self, found: FoundSchemas) -> Result<(), Failure> {
        failpoint::reach("schemas::before")?;
        let entry = schemas_entry(found.number);
        if self.directory.put_if_absent(&entry, format::to_json(&found)?).await? == PutOutcome::AlreadyExists {
            let known = read_if::<FoundSchemas>(&self.directory, Some(entry)).await?;
            if known.as_ref() != Some(&found) {
                return Err(concurrent(&self.flow, &format!("schema {} was written by another process", found.number)));
            }
        }
        failpoint::reach("schemas::after")?;
        self.schemas.insert(found.number);
        self.found = Some(found);
        Ok(())
    }

    /// Records that the plan with the fingerprint `now` takes the place of that of `before` because files have more, before a table is altered for it.
    pub async fn write_widened(&self, before: &str, now: &str) -> Result<(), Failure> {
        let known = self.widened(now).await?;
        if known.as_ref().is_some_and(|known| known.is_after(before)) {
            return Ok(());
        }
        let widened = WidenedPlan::after(before, self.widened(before).await?).and(known);
        self.directory.put(&widened::entry(now), format::to_json(&widened)?).await
    }

    /// True if the plan with the fingerprint `now` took the place of that of `before` because files had more, and for no other reason.
    pub async fn is_widened(&self, before: &str, now: &str) -> Result<bool, Failure> {
        Ok(self.widened(now).await?.is_some_and(|widened| widened.is_after(before)))
    }

    async fn widened(&self, fingerprint: &str) -> Result<Option<WidenedPlan>, Failure> {
        read_if(&self.directory, Some(widened::entry(fingerprint))).await
    }

    /// Deletes files of the state that no later batch needs.
    pub async fn forget_state(&mut self) -> Result<(), Failure> {
        let Some(batch) = self.last_batch().filter(|_| self.pending.is_none()) else { return Ok(()) };
        let directory = self.state_directory();
        self.remembered.forget_all_but(&directory, batch).await
    }

    /// Deletes what a reset has left behind, when nobody wants it back any more: `now` is 7 days after the reset. Some of it at a time.
    pub async fn delete_outdated(&mut self, now: DateTime<Utc>) -> Result<(), Failure> {
        let is_young = now.timestamp_micros() - self.metadata.started_us < KEPT_GENERATIONS.num_microseconds().unwrap_or(i64::MAX);
        if !self.begun || is_young {
            return Ok(());
        }
        let now_deleted = self.outdated.split_off(self.outdated.len().saturating_sub(MAX_DELETIONS));
        delete_all(&self.flow_directory, now_deleted).await
    }

    /// The files that this flow has taken. Reads nothing yet.
    pub fn ledger(&self) -> Ledger {
        let recent = self.offsets.iter().map(|batch| RecentBatch { batch: *batch, offsets: self.recent.get(batch).cloned() }).collect();
        Ledger::new(self.directory.clone(), self.segments.clone(), recent)
    }

    /// Moves the files of old batches into the ledger, then deletes old entries, so that a listing stays small.
    async fn prune(&mut self) -> Result<(), Failure> {
        let newest = self.last_commit.as_ref().map_or(-1, |commit| commit.batch);
        let limit = newest - KEPT_BATCHES;
        let old: Vec<i64> = self.offsets.range(..=limit).copied().collect();
        if (old.len() as i64) < PRUNE_EVERY {
            return Ok(());
        }
        self.settle_ledger(&old).await?;
        failpoint::reach("prune::before")?;
        let entries: Vec<String> =
            old.iter().map(|batch| offsets_entry(*batch)).chain(self.commits.range(..=limit).map(|batch| commit_entry(*batch))).collect();
        delete_all(&self.directory, entries).await?;
        self.offsets = self.offsets.split_off(&(limit + 1));
        self.commits = self.commits.split_off(&(limit + 1));
        self.recent = self.recent.split_off(&(limit + 1));
        Ok(())
    }

    async fn settle_ledger(&mut self, batches: &[i64]) -> Result<(), Failure> {
        let mut offsets = Vec::with_capacity(batches.len());
        for batch in batches {
            match self.recent.get(batch) {
                Some(found) => offsets.push(Arc::clone(found)),
                None => offsets.extend(read_if::<BatchOffsets>(&self.directory, Some(offsets_entry(*batch))).await?.map(Arc::new)),
            }
        }
        self.segments = ledger::settle(&self.directory, std::mem::take(&mut self.segments), &offsets).await?;
        Ok(())
    }
}

/// The application id of the transactions of one generation of a flow.
pub fn app_id(pipeline_id: &str, flow: &str, generation: u64) -> String {
    format!("{pipeline_id}/{}/g{generation}", flow.to_lowercase())
}

fn new_metadata(flow: &str, generation: u64) -> GenerationMetadata {
    GenerationMetadata {
        version: format::VERSION,
        flow: flow.to_owned(),
        generation,
        flow_id: Uuid::new_v4(),
        started_us: Utc::now().timestamp_micros(),
        target: None,
        sources: Vec::new(),
    }
}

fn concurrent(flow: &str, reason: &str) -> Failure {
    Failure::user("CONCURRENT_UPDATE", format!("another update works on flow {flow}: {reason}"))
        .in_flow(flow)
        .help("only one update may run on a storage; end the other one and run again")
}

/// Batches as file names that sort by number.
fn offsets_entry(batch: i64) -> String {
    format!("offsets/{batch}.json")
}

fn commit_entry(batch: i64) -> String {
    format!("commits/{batch}.json")
}

fn schemas_entry(number: u64) -> String {
    format!("{}/{number}.json", schemas::DIRECTORY)
}

async fn read_if<T: serde::de::DeserializeOwned>(directory: &Location, entry: Option<String>) -> Result<Option<T>, Failure> {
    let Some(entry) = entry else { return Ok(None) };
    let Some(bytes) = directory.get(&entry).await? else { return Ok(None) };
    format::from_json(&bytes, &format!("{directory}/{entry}")).map(Some)
}

async fn delete_all(directory: &Location, files: Vec<String>) -> Result<(), Failure> {
    let deletions = stream::iter(files).map(|file| async move { directory.delete(&file).await });
    deletions.buffer_unordered(PARALLEL_READS).try_collect().await
}

/// Everything of the newest generation, and the files of older ones, by one listing of the flow's directory.
async fn list(flow_directory: &Location) -> Result<(Listing, Vec<String>), Failure> {
    let mut generations: BTreeMap<u64, Listing> = BTreeMap::new();
    for object in flow_directory.list("").await? {
        let Some(relative) = flow_directory.relative(&object.location) else { continue };
        let mut parts = relative.split('/');
        let generation = parts.next().and_then(|name| name.strip_prefix('g')).and_then(|number| number.parse().ok());
        let Some(generation) = generation else { continue };
        let listing = generations.entry(generation).or_insert_with(|| Listing { generation, ..Listing::default() });
        listing.note(parts.collect::<Vec<_>>().as_slice(), object.size);
        listing.files.push(relative);
    }
    let newest = generations.pop_last().map(|(_, listing)| listing).unwrap_or_default();
    Ok((newest, generations.into_values().flat_map(|listing| listing.files).collect()))
}

impl Listing {
    fn note(&mut self, path: &[&str], bytes: u64) {
        let batch = |name: &str| name.strip_suffix(".json").and_then(|number| number.parse::<i64>().ok());
        match path {
            [METADATA] => self.has_metadata = true,
            ["offsets", name] => self.offsets.extend(batch(name)),
            ["commits", name] => self.commits.extend(batch(name)),
            [remembered::DIRECTORY, name] => self.remembered.note(name),
            [schemas::DIRECTORY, name] => self.schemas.extend(batch(name).and_then(|number| u64::try_from(number).ok())),
            [ledger::DIRECTORY, name] => self.segments.extend(SegmentName::parse(name, bytes)),
            _ => {}
        }
    }
}
