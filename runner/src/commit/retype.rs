//! Data files written again because columns of their table become wider: the same rows in other types, of which no reader of changes hears.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use chrono::Utc;
use futures::{StreamExt, stream};
use serde_json::{Map, Value};

use crate::{
    commit::{
        action::{Action, Add, Remove},
        change, files,
        memory::WriterMemory,
        table::TargetTable,
        writer::{StagedFiles, WriterOptions},
    },
    failpoint,
    failure::Failure,
};

/// How often it is told how far a table is.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// How tables are written again.
pub struct Rewriting<'a> {
    /// Memory of all writers.
    pub memory: WriterMemory,
    /// Files written at once.
    pub parallelism: usize,
    /// Hears from time to time how many files of how many are done.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// Copies of data files in the wider types, kept until a commit has named them: a lost race costs the copies of new files only.
#[derive(Default)]
pub(super) struct Copies(Vec<(Add, StagedFiles)>);

impl Copies {
    /// The actions that put copies in the place of all files of `version`; what is not there yet is written. `wider` is the table as the
    /// commit makes it.
    pub(super) async fn actions(&mut self, wider: &TargetTable, version: i64, rewriting: &Rewriting<'_>) -> Result<Vec<Action>, Failure> {
        let active = files::active(wider.location(), version).await?;
        if let Some(file) = active.iter().find(|file| file.path.contains("://")) {
            let text =
                format!("{} has a data file of another place, {}: it is not written again with wider types", wider.location(), file.path);
            return Err(Failure::user("FEATURE_NOT_SUPPORTED", text).help("fill the table again with --full-refresh"));
        }
        let mut missing: HashMap<String, Add> = active.into_iter().map(|file| (file.path.clone(), file)).collect();
        let (mut kept, mut stale) = (Vec::new(), Vec::new());
        for (file, copy) in std::mem::take(&mut self.0) {
            let is_there = missing.get(&file.path).is_some_and(|now| now.deletion_vector == file.deletion_vector);
            if is_there {
                missing.remove(&file.path);
            }
            if is_there { &mut kept } else { &mut stale }.push((file, copy));
        }
        self.0 = kept;
        discard_quietly(stale).await;
        failpoint::reach("retype::before")?;
        self.write(wider, missing.into_values().collect(), rewriting).await?;
        failpoint::reach("retype::after")?;
        let now = Utc::now().timestamp_millis();
        let removed = self.0.iter().map(|(file, _)| Action::Remove(Remove { data_change: false, ..file.removed(now) }));
        let added = self.0.iter().flat_map(|(_, copy)| &copy.adds).map(|add| Action::Add(Add { data_change: false, ..add.clone() }));
        Ok(removed.chain(added).collect())
    }

    async fn write(&mut self, wider: &TargetTable, missing: Vec<Add>, rewriting: &Rewriting<'_>) -> Result<(), Failure> {
        let options = WriterOptions::of(wider, rewriting.memory.clone());
        let total = (self.0.len() + missing.len()) as u64;
        (rewriting.progress)(self.0.len() as u64, total);
        let is_over = AtomicBool::new(false);
        let copies = missing.into_iter().map(|file| {
            let (options, is_over) = (&options, &is_over);
            async move {
                // After a failure nothing new begins; what runs is taken to its end, so that its files can be deleted.
                if is_over.load(Ordering::Relaxed) {
                    return None;
                }
                Some((file.clone(), change::copy_of(wider, file, options).await))
            }
        });
        let mut copies = stream::iter(copies).buffer_unordered(rewriting.parallelism.max(1));
        let (mut failed, mut told) = (None, Instant::now());
        while let Some(copied) = copies.next().await {
            match copied {
                Some((file, Ok(copy))) => self.0.push((file, copy)),
                Some((_, Err(failure))) => {
                    is_over.store(true, Ordering::Relaxed);
                    failed = failed.or(Some(failure));
                }
                None => {}
            }
            if told.elapsed() >= TOLD_EVERY {
                (rewriting.progress)(self.0.len() as u64, total);
                told = Instant::now();
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// What the commit says of the copies; nothing if there are none.
    pub(super) fn info(&self) -> Map<String, Value> {
        if self.0.is_empty() {
            return Map::new();
        }
        let sum = |of: fn(&StagedFiles) -> u64| Value::from(self.0.iter().map(|(_, copy)| of(copy)).sum::<u64>());
        let counts = [("rows", sum(|copy| copy.rows)), ("files", sum(|copy| copy.adds.len() as u64)), ("bytes", sum(|copy| copy.bytes))];
        counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
    }

    /// The copies belong to the table, or may do so.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Deletes the copies: no commit names them.
    pub(super) async fn discard_quietly(self) {
        discard_quietly(self.0).await;
    }
}

async fn discard_quietly(copies: Vec<(Add, StagedFiles)>) {
    for (_, copy) in copies {
        if let Err(failure) = copy.discard().await {
            tracing::warn!("data files that no commit names could not be deleted: {failure}");
        }
    }
}
