//! Files that a flow has taken: sorted segments, and behind them the offsets of the newest batches.
//!
//! There is one ledger per flow, whatever its query calls the place of its files: another spelling of a path takes no file twice. A file is taken when the batch that reads it is planned. Offsets move into segments when they are old; small segments are merged into
//! larger ones, so that there are few, whatever the number of batches.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    failpoint,
    failure::Failure,
    state::{
        SourceId,
        format::{self, BatchOffsets, FileEntry},
        segment::{self, SegmentReader, SegmentWriter},
    },
    storage::Location,
};

/// A segment is merged with the one before it unless that one is so many times larger.
const SIZE_RATIO: u64 = 4;

/// Directory of the segments below the generation's.
pub(super) const DIRECTORY: &str = "files";
/// Per source the listing that was last found to hold nothing new.
const SETTLED: &str = "settled.json";

/// The taken files of one flow.
#[derive(Debug)]
pub struct Ledger {
    generation: Location,
    directory: Location,
    segments: Vec<SegmentName>,
    recent: Vec<RecentBatch>,
}

/// A batch whose offsets are still a file of their own.
#[derive(Clone, Debug)]
pub(super) struct RecentBatch {
    pub batch: i64,
    /// If they are in memory.
    pub offsets: Option<Arc<BatchOffsets>>,
}

/// A segment by its file: batches `from` to `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentName {
    from: i64,
    to: i64,
    bytes: u64,
}

/// What a listing has that was not taken yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// In file order: modification time, then path.
    pub files: Vec<FileEntry>,
    /// Known files whose size, modification time or ETag changed; with [`Overwrites::ReadAgain`] they are in `files` too. 0 for a listing
    /// that was looked at before.
    pub overwritten: u64,
    /// Identifies source and listing for [`Ledger::remember`].
    source: Option<SourceId>,
    listing: String,
}

/// What to do with a known file that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrites {
    /// It was read once; that is all.
    Ignore,
    /// `allowOverwrites`: all its rows are read again.
    ReadAgain,
}

/// One row of `cloud_files_state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenFile {
    /// The file as it was listed then.
    pub file: FileEntry,
    /// The batch that reads it.
    pub batch: i64,
    /// When its batch was planned, µs since 1970 UTC.
    pub taken_us: i64,
    /// False for a file that was there before the stream began, and for those that an earlier Floe took.
    pub was_read: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Settled {
    version: u32,
    listings: BTreeMap<SourceId, String>,
}

impl Ledger {
    pub(super) fn new(generation: Location, segments: Vec<SegmentName>, recent: Vec<RecentBatch>) -> Self {
        let directory = generation.join(DIRECTORY);
        let segments = covering(segments);
        let covered = segments.last().map_or(-1, |segment| segment.to);
        let recent = recent.into_iter().filter(|recent| recent.batch > covered).collect();
        Self { generation, directory, segments, recent }
    }

    /// The files of `listing`, what `source` holds, that were not taken yet. A listing equal to the last one that was [`remember`](Self::remember)ed costs one
    /// small read; any other one costs a pass over the segments. Writes nothing.
    pub async fn unseen(&self, source: &SourceId, mut listing: Vec<FileEntry>, overwrites: Overwrites) -> Result<Unseen, Failure> {
        let fingerprint = fingerprint(&listing, overwrites);
        let nothing = Unseen { source: Some(source.clone()), listing: fingerprint, ..Unseen::default() };
        if listing.is_empty() || self.settled().await?.get(source) == Some(&nothing.listing) {
            return Ok(nothing);
        }
        let known = self.known(&mut listing).await?;
        let mut unseen = nothing;
        for (file, known) in listing.into_iter().zip(known) {
            let changed = known.batch != i64::MIN && !known.same;
            unseen.overwritten += u64::from(changed);
            if known.batch == i64::MIN || (changed && overwrites == Overwrites::ReadAgain) {
                unseen.files.push(file);
            }
        }
        unseen.files.sort_unstable_by(|a, b| (a.modified_us, &a.path).cmp(&(b.modified_us, &b.path)));
        Ok(unseen)
    }

    /// The files of `listing` that batches up to `last_batch`, planned at `before_us` or earlier, have taken, and that have not changed since.
    pub async fn taken_of(&self, mut listing: Vec<FileEntry>, last_batch: i64, before_us: i64) -> Result<Vec<TakenFile>, Failure> {
        let known = self.known(&mut listing).await?;
        let is_old = |known: &Known| known.same && known.batch <= last_batch && known.taken_us <= before_us;
        let old = listing.into_iter().zip(known).filter(|(_, known)| is_old(known));
        Ok(old.map(|(file, Known { batch, taken_us, was_read, .. })| TakenFile { file, batch, taken_us, was_read }).collect())
    }

    /// What is known of each file of `listing`, which is sorted by path.
    async fn known(&self, listing: &mut Vec<FileEntry>) -> Result<Vec<Known>, Failure> {
        listing.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        listing.dedup_by(|a, b| a.path == b.path);
        let mut known = vec![Known::NOT; listing.len()];
        for segment in &self.segments {
            mark(listing, &mut known, self.open(segment).await?)?;
        }
        let recent = self.recent_files().await?;
        mark(listing, &mut known, recent.into_iter().map(Ok))?;
        Ok(known)
    }

    /// Call it when every file of `unseen` is in the offsets of a batch (at once if there are none): the next update that finds the same
    /// listing does not read the ledger.
    pub async fn remember(&self, unseen: &Unseen) -> Result<(), Failure> {
        let Some(source) = &unseen.source else { return Ok(()) };
        let mut listings = self.settled().await?;
        if listings.insert(source.clone(), unseen.listing.clone()).as_ref() == Some(&unseen.listing) {
            return Ok(());
        }
        let settled = Settled { version: format::VERSION, listings };
        self.directory.put(SETTLED, format::to_json(&settled)?).await
    }

    /// All taken files, by path; a file that was read again stands with its newest batch.
    pub async fn taken(&self) -> Result<Vec<TakenFile>, Failure> {
        let mut files: BTreeMap<String, TakenFile> = BTreeMap::new();
        for segment in &self.segments {
            for taken in self.open(segment).await? {
                let taken = taken?;
                files.insert(taken.file.path.clone(), taken);
            }
        }
        for taken in self.recent_files().await? {
            files.insert(taken.file.path.clone(), taken);
        }
        Ok(files.into_values().collect())
    }

    async fn settled(&self) -> Result<BTreeMap<SourceId, String>, Failure> {
        let Some(bytes) = self.directory.get(SETTLED).await? else { return Ok(BTreeMap::new()) };
        // Only a short cut: damaged, it costs a look at the ledger.
        Ok(serde_json::from_slice::<Settled>(&bytes).map(|settled| settled.listings).unwrap_or_default())
    }

    async fn open(&self, segment: &SegmentName) -> Result<SegmentReader, Failure> {
        open_segment(&self.directory, segment).await
    }

    /// The files of the batches that are in no segment yet, sorted by path and batch.
    async fn recent_files(&self) -> Result<Vec<TakenFile>, Failure> {
        let mut files = Vec::new();
        for recent in &self.recent {
            let offsets = match &recent.offsets {
                Some(offsets) => Arc::clone(offsets),
                None => Arc::new(read_offsets(&self.generation, recent.batch).await?),
            };
            files.extend(files_of(&offsets));
        }
        files.sort_by(|a, b| (&a.file.path, a.batch).cmp(&(&b.file.path, b.batch)));
        Ok(files)
    }
}

/// What is known of a listed file.
#[derive(Clone, Copy)]
struct Known {
    /// The newest batch that took it.
    batch: i64,
    /// True if it has not changed since.
    same: bool,
    taken_us: i64,
    was_read: bool,
}

impl Known {
    const NOT: Self = Self { batch: i64::MIN, same: false, taken_us: i64::MIN, was_read: false };
}

/// Marks the files of `listing` that occur in `taken`; both are sorted by path.
fn mark(listing: &[FileEntry], known: &mut [Known], taken: impl Iterator<Item = Result<TakenFile, Failure>>) -> Result<(), Failure> {
    let mut next = 0;
    for taken in taken {
        let taken = taken?;
        while listing.get(next).is_some_and(|file| file.path < taken.file.path) {
            next += 1;
        }
        let Some(file) = listing.get(next) else { return Ok(()) };
        if file.path == taken.file.path && taken.batch > known[next].batch {
            let TakenFile { batch, taken_us, was_read, .. } = taken;
            known[next] = Known { batch, same: *file == taken.file, taken_us, was_read };
        }
    }
    Ok(())
}

/// Adds the files of `batches`, oldest first, to the segments in the generation's directory. Gives the segments that are left.
pub(super) async fn settle(
    generation: &Location,
    segments: Vec<SegmentName>,
    batches: &[Arc<BatchOffsets>],
) -> Result<Vec<SegmentName>, Failure> {
    let directory = generation.join(DIRECTORY);
    let all = segments.clone();
    let mut segments = covering(segments);
    let covered = segments.last().map_or(-1, |segment| segment.to);
    let batches: Vec<_> = batches.iter().filter(|offsets| offsets.batch > covered).collect();
    let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Ok(segments) };
    let mut files: BTreeMap<String, TakenFile> = BTreeMap::new();
    for taken in batches.iter().flat_map(|offsets| files_of(offsets)) {
        files.insert(taken.file.path.clone(), taken);
    }
    if files.is_empty() {
        return Ok(segments);
    }
    let mut writer = SegmentWriter::new()?;
    for taken in files.values() {
        writer.push(taken)?;
    }
    let mut content = writer.finish()?;
    let mut name = SegmentName { from: first.batch, to: last.batch, bytes: content.len() as u64 };
    // Merged before it is written: a kill leaves either the old segments or, beside them, the one that covers them.
    while let Some(previous) = segments.pop_if(|previous| previous.bytes < SIZE_RATIO * name.bytes) {
        let newer = SegmentReader::new(&content.into(), "a new segment".to_owned())?;
        content = segment::merge(open_segment(&directory, &previous).await?, newer)?;
        name = SegmentName { from: previous.from, to: name.to, bytes: content.len() as u64 };
    }
    failpoint::reach("ledger::before")?;
    directory.put(&name.file(), content).await?;
    failpoint::reach("ledger::after")?;
    segments.push(name);
    for old in all.iter().filter(|old| !segments.contains(old)) {
        directory.delete(&old.file()).await?;
    }
    Ok(segments)
}

async fn read_offsets(generation: &Location, batch: i64) -> Result<BatchOffsets, Failure> {
    let entry = format!("offsets/{batch}.json");
    let place = format!("{generation}/{entry}");
    match generation.get(&entry).await? {
        Some(bytes) => format::from_json(&bytes, &place),
        None => Err(Failure::user("STATE_FILE_CORRUPT", format!("{place} has disappeared"))
            .help("restore the file from a backup, or reset the checkpoint of the flow")),
    }
}

async fn open_segment(directory: &Location, segment: &SegmentName) -> Result<SegmentReader, Failure> {
    let place = format!("{directory}/{}", segment.file());
    match directory.get(&segment.file()).await? {
        Some(content) => SegmentReader::new(&content, place),
        None => Err(Failure::user("STATE_FILE_CORRUPT", format!("{place} has disappeared"))
            .help("restore the file from a backup, or reset the checkpoint of the flow")),
    }
}

fn files_of(offsets: &BatchOffsets) -> Vec<TakenFile> {
    let taken =
        |file: &FileEntry, was_read| TakenFile { file: file.clone(), batch: offsets.batch, taken_us: offsets.timestamp_us, was_read };
    let ranges = offsets.sources.values();
    ranges.flat_map(|range| range.taken_files().map(move |(file, was_read)| taken(file, was_read))).collect()
}

impl SegmentName {
    /// The segment of a listed file; `None` for other files.
    pub(super) fn parse(name: &str, bytes: u64) -> Option<Self> {
        let (from, to) = name.strip_suffix(".ledger")?.split_once('-')?;
        Some(Self { from: from.parse().ok()?, to: to.parse().ok()?, bytes })
    }

    fn file(&self) -> String {
        format!("{}-{}.ledger", self.from, self.to)
    }
}

/// The segments that no other one covers, oldest first. A covered one is left of a merge that was killed.
fn covering(mut segments: Vec<SegmentName>) -> Vec<SegmentName> {
    segments.sort_by_key(|segment| (segment.from, -segment.to));
    let mut kept: Vec<SegmentName> = Vec::with_capacity(segments.len());
    for segment in segments {
        if kept.last().is_none_or(|last| segment.to > last.to) {
            kept.push(segment);
        }
    }
    kept
}

/// A hash of the listing that does not depend on its order.
fn fingerprint(listing: &[FileEntry], overwrites: Overwrites) -> String {
    let mut sums = [0_u64; 2];
    for file in listing {
        for (seed, sum) in sums.iter_mut().enumerate() {
            let mut hasher = DefaultHasher::new();
            (seed, file).hash(&mut hasher);
            *sum = sum.wrapping_add(hasher.finish());
        }
    }
    format!("{}-{}-{:016x}{:016x}", listing.len(), u8::from(overwrites == Overwrites::ReadAgain), sums[0], sums[1])
}
