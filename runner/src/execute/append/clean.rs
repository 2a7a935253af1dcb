//! After the micro-batches of a flow: files that no flow and no view of the pipeline needs any more are moved or deleted.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use floe_graph::{
    definition::DatasetKind,
    relation::{Relation, RelationKind},
    source_options::{CleanAction, CleanSource},
};
use futures::{StreamExt, stream};

use super::AppendRun;
use crate::{
    execute::{Round, progress::FlowNotice},
    failure::Failure,
    session,
    source::{FileSource, files::Cleaned},
    state::{Checkpoint, FileEntry},
};

/// Files of one round; the next one goes on.
const MOST_FILES: usize = 10_000;
/// After so many files that would not go the round ends: a store that refuses everything is not asked 10,000 times.
const MOST_FAILURES: usize = 100;
/// Names that are remembered as told.
const MOST_TOLD: usize = 10_000;
const PARALLEL_FILES: usize = 8;
/// How long a flow without new data waits at least and at most before it looks again for files whose time has come.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(10));

/// What flows remember of cleaning up from round to round of an update. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Cleanings(Arc<Mutex<BTreeMap<String, Cleaning>>>);

#[derive(Debug, Default)]
struct Cleaning {
    /// Not before that a flow without new data looks again.
    next: Option<Instant>,
    /// Files that would not go, of which people know.
    told: BTreeSet<String>,
    /// Per source what was said last about files that stay for others.
    kept: BTreeMap<String, String>,
}

impl Cleanings {
    fn take(&self, flow: &str) -> Cleaning {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(flow).unwrap_or_default()
    }

    fn keep(&self, flow: &str, cleaning: Cleaning) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(flow.to_owned(), cleaning);
    }
}

/// What became of files that nobody needs.
#[derive(Debug, Default)]
struct Swept {
    done: usize,
    /// Files that would not go, and why.
    failed: Vec<(String, Failure)>,
}

/// Somebody besides the stream itself who reads files.
struct Reader {
    dataset: String,
    /// The flow whose checkpoint says what a stream has read; a view has none.
    flow: Option<String>,
    relation: Arc<Relation>,
}

impl AppendRun<'_> {
    /// What cannot be done is told, and a later round or update tries again: the rows are there already.
    pub(super) async fn clean_sources(&mut self) {
        let cleanable = std::mem::take(&mut self.cleanable);
        if cleanable.is_empty() {
            return;
        }
        let flow = self.run.flow.name.as_str();
        let mut cleaning = self.execution.cleanings.take(flow);
        let is_idle = self.run.round == Round::Later && self.result.batches == 0;
        if !is_idle || cleaning.next.is_none_or(|next| next <= Instant::now()) {
            let mut pause = PAUSES.1;
            for (source, listing) in cleanable {
                let has_more = self.clean(&source, listing, &mut cleaning).await.unwrap_or_else(|failure| {
                    self.warn("CLEAN_SOURCE_FAILED", format!("files of {} were not cleaned up: {failure}", source.uri()));
                    false
                });
                pause = pause.min(if has_more { Duration::ZERO } else { pause_of(&source) });
            }
            cleaning.next = Some(Instant::now() + pause);
        }
        self.execution.cleanings.keep(flow, cleaning);
    }

    /// True if there is more to do at once.
    async fn clean(&self, source: &FileSource, listing: Vec<FileEntry>, cleaning: &mut Cleaning) -> Result<bool, Failure> {
        let (Some(CleanSource { action, after_us }), Some(last_batch)) = (source.cleaning(), self.checkpoint.last_batch()) else {
            return Ok(false);
        };
        let before_us = self.execution.batch_time_us().saturating_sub(*after_us);
        let taken = self.checkpoint.ledger().taken_of(listing, last_batch, before_us).await?;
        let read: Vec<FileEntry> = taken.into_iter().filter(|taken| taken.was_read).map(|taken| taken.file).collect();
        let count = read.len();
        let (mut free, needed_by) = self.unneeded(source, read).await?;
        let kept = count - free.len();
        // Files that would not go never stand before those that would: neither in this process, nor at the same place in each.
        let first = before_us.unsigned_abs() as usize % free.len().max(1);
        free.rotate_left(first);
        free.sort_by_key(|file| cleaning.told.contains(&file.path));
        let swept = sweep(source, free, MOST_FILES).await;
        let mut message = match action {
            CleanAction::Delete => format!("{} of {} deleted", files(swept.done), source.uri()),
            CleanAction::Move(to) => format!("{} of {} moved to {to}", files(swept.done), source.uri()),
        };
        let staying = if kept > 0 {
            format!("; {} stay for {}", files(kept), needed_by.into_iter().collect::<Vec<_>>().join(", "))
        } else {
            String::new()
        };
        let said = cleaning.kept.insert(source.uri().to_owned(), staying.clone()).unwrap_or_default();
        if swept.done > 0 || (kept > 0 && said != staying) {
            message += &staying;
            self.notice(FlowNotice::Cleaned { message: format!("{message} (cleanSource)") });
        }
        let has_more = swept.done >= MOST_FILES;
        self.tell_failed(source, action, swept.failed, cleaning);
        Ok(has_more)
    }

    /// Says once of each file that it would not go.
    fn tell_failed(&self, source: &FileSource, action: &CleanAction, failed: Vec<(String, Failure)>, cleaning: &mut Cleaning) {
        let mut news = failed.into_iter().filter(|(path, _)| !cleaning.told.contains(path)).collect::<Vec<_>>().into_iter();
        let count = news.len();
        let Some((first, failure)) = news.next() else { return };
        cleaning.told.extend(news.map(|(path, _)| path).chain([first]).take(MOST_TOLD.saturating_sub(cleaning.told.len())));
        let act = if matches!(action, CleanAction::Delete) { "deleted" } else { "moved" };
        let example = if count == 1 { "" } else { "the first: " };
        let text = format!("{} of {} could not be {act}, others were: {example}{failure}; it is tried again", files(count), source.uri());
        self.warn("CLEAN_SOURCE_FAILED", text);
    }

    /// The files that nobody else needs, and the datasets that need the others: batch reads and views need theirs for ever, streams until they
    /// have committed them, or if they would read them once more in the archive.
    async fn unneeded(&self, own: &FileSource, mut read: Vec<FileEntry>) -> Result<(Vec<FileEntry>, BTreeSet<String>), Failure> {
        let mut needed_by = BTreeSet::new();
        for reader in self.readers() {
            if read.is_empty() {
                break;
            }
            let source = self.execution.places().files(&reader.relation)?;
            let taken = source.takes(&read)?;
            let (wanted, others) = split(read, &taken);
            let count = wanted.len();
            let released = match reader.flow {
                Some(flow) if reader.relation.streaming => not_read_again(own, &source, self.committed_by(&flow, wanted).await?)?,
                _ => Vec::new(),
            };
            if released.len() < count {
                needed_by.insert(reader.dataset);
            }
            read = others.into_iter().chain(released).collect();
        }
        Ok((read, needed_by))
    }

    /// All reads of files but the stream's own: those of flows, and those of views that are there for queries outside of the pipeline.
    fn readers(&self) -> Vec<Reader> {
        let graph = &self.execution.graph;
        let mut readers = Vec::new();
        for flow in &graph.flows {
            let is_own = flow.name == self.run.flow.name;
            let others = flow.inputs.iter().filter(|input| is_files(input) && !(is_own && input.streaming));
            readers.extend(others.map(|relation| Reader {
                dataset: flow.target.to_string(),
                flow: Some(flow.name.clone()),
                relation: Arc::clone(relation),
            }));
        }
        for (name, dataset) in graph.datasets.iter().filter(|(_, dataset)| dataset.definition.kind == DatasetKind::View) {
            let leaves = dataset.view.as_ref().map(session::leaves).unwrap_or_default();
            let batch = leaves.into_iter().map(|leaf| leaf.relation).filter(|relation| is_files(relation) && !relation.streaming);
            readers.extend(batch.map(|relation| Reader { dataset: name.to_string(), flow: None, relation }));
        }
        readers
    }

    /// Those of `files` that the batches of another flow have taken and committed.
    async fn committed_by(&self, flow: &str, files: Vec<FileEntry>) -> Result<Vec<FileEntry>, Failure> {
        let checkpoint = Checkpoint::open(&self.execution.storage, flow).await?;
        let Some(last_batch) = checkpoint.last_batch().filter(|_| !files.is_empty()) else { return Ok(Vec::new()) };
        let taken = checkpoint.ledger().taken_of(files, last_batch, i64::MAX).await?;
        Ok(taken.into_iter().map(|taken| taken.file).collect())
    }
}

/// Cleans up `files` until `most` of them are gone; one that would not go stops no other.
async fn sweep(source: &FileSource, free: Vec<FileEntry>, most: usize) -> Swept {
    let (done, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let is_enough = || done.load(Ordering::Relaxed) >= most || failed.load(Ordering::Relaxed) >= MOST_FAILURES;
    let acts = stream::iter(free).take_while(|_| ready(!is_enough())).map(|file| async {
        let cleaned = source.clean(&file).await;
        match &cleaned {
            Ok(Cleaned::Done) => done.fetch_add(1, Ordering::Relaxed),
            Ok(Cleaned::Left) => 0,
            Err(_) => failed.fetch_add(1, Ordering::Relaxed),
        };
        (file.path, cleaned)
    });
    let ended: Vec<_> = acts.buffer_unordered(PARALLEL_FILES).collect().await;
    let failures = ended.into_iter().filter_map(|(path, cleaned)| cleaned.err().map(|failure| (path, failure)));
    Swept { failed: failures.collect(), done: done.load(Ordering::Relaxed) }
}

/// Those of `files` that `source`, which has read them, would not read again when they are in the archive.
fn not_read_again(own: &FileSource, source: &FileSource, files: Vec<FileEntry>) -> Result<Vec<FileEntry>, Failure> {
    let archived: Vec<FileEntry> = files.iter().filter_map(|file| own.archived(file)).collect();
    if archived.is_empty() {
        return Ok(files);
    }
    Ok(split(files, &source.takes(&archived)?).1)
}

/// Those that are marked, and the others.
fn split(files: Vec<FileEntry>, marks: &[bool]) -> (Vec<FileEntry>, Vec<FileEntry>) {
    let (marked, others): (Vec<_>, Vec<_>) = files.into_iter().zip(marks).partition(|(_, is_marked)| **is_marked);
    let plain = |files: Vec<(FileEntry, &bool)>| files.into_iter().map(|(file, _)| file).collect();
    (plain(marked), plain(others))
}

/// A flow without new data looks ten times in the time that its files stay, within limits.
fn pause_of(source: &FileSource) -> Duration {
    let after_us = source.cleaning().map_or(0, |clean| clean.after_us);
    Duration::from_micros(after_us.unsigned_abs() / 10).clamp(PAUSES.0, PAUSES.1)
}

fn is_files(relation: &Relation) -> bool {
    matches!(relation.kind, RelationKind::Files { .. })
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use floe_graph::relation::OptionPlaces;

    use super::*;
    use crate::storage::Stores;

    fn source(project: &Path, more: &[(&str, &str)]) -> FileSource {
        let options = [("format", "json"), ("schema", "id BIGINT"), ("cleansource", "MOVE"), ("cleansource.movedestination", "archive")];
        let options: BTreeMap<_, _> = options.iter().chain(more).map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect();
        let kind = RelationKind::Files { path: "landing".into(), format: "json".into() };
        FileSource::new(
            &Relation { kind, streaming: true, options, origin: None, given: OptionPlaces::default() },
            project,
            &Stores::new([]),
        )
        .unwrap()
    }

    async fn listing(project: &Path, files: usize) -> (FileSource, Vec<FileEntry>) {
        fs::create_dir_all(project.join("landing")).unwrap();
        for file in 0..files {
            fs::write(project.join(format!("landing/{file}.json")), format!("{{\"id\":{file}}}")).unwrap();
        }
        let source = source(project, &[]);
        let listing = source.list(0, &|_| {}).await.unwrap();
        (source, listing)
    }

    #[tokio::test]
    async fn a_round_ends_when_enough_files_are_gone() {
        let project = tempfile::tempdir().unwrap();
        let (source, listing) = listing(project.path(), 30).await;
        let swept = sweep(&source, listing, 10).await;
        let left = fs::read_dir(project.path().join("landing")).unwrap().count();
        // Those in hand come to their end.
        assert!((10..10 + PARALLEL_FILES).contains(&swept.done) && left == 30 - swept.done, "{} {left}", swept.done);
    }

    #[tokio::test]
    async fn files_that_would_not_go_stop_no_other() {
        let project = tempfile::tempdir().unwrap();
        let (source, mut listing) = listing(project.path(), 5).await;
        // A directory of the archive that is a file: what belongs below it cannot be moved.
        fs::create_dir_all(project.path().join("landing/sub")).unwrap();
        fs::create_dir_all(project.path().join("archive")).unwrap();
        fs::write(project.path().join("archive/sub"), "in the way").unwrap();
        for file in 0..3 {
            fs::write(project.path().join(format!("landing/sub/{file}.json")), "{}").unwrap();
        }
        let all = source.list(0, &|_| {}).await.unwrap();
        let (stuck, free): (Vec<_>, Vec<_>) = all.into_iter().partition(|file| file.path.contains("/sub/"));
        listing.clone_from(&stuck);
        listing.extend(free);
        let swept = sweep(&source, listing, 100).await;
        assert_eq!((swept.done, swept.failed.len()), (5, 3), "{:?}", swept.failed);
    }

    #[tokio::test]
    async fn a_file_is_read_twice_where_both_directories_are_read() {
        let project = tempfile::tempdir().unwrap();
        let (own, listing) = listing(project.path(), 2).await;
        let reads = |path: &str| {
            let kind = RelationKind::Files { path: path.into(), format: "json".into() };
            let options = BTreeMap::from([("schema".to_string(), "id BIGINT".to_string())]);
            FileSource::new(
                &Relation { kind, streaming: true, options, origin: None, given: OptionPlaces::default() },
                project.path(),
                &Stores::new([]),
            )
            .unwrap()
        };
        let free = |source: &FileSource| not_read_again(&own, source, listing.clone()).unwrap().len();
        assert_eq!((free(&reads("landing")), free(&reads(".")), free(&reads("*/1.json"))), (2, 0, 1));
    }
}
