//! Data files written again because columns of their table become wider: the same rows in other types, of which no reader of changes hears.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use futures::{StreamExt, stream};
use serde_json::{Map, Value};

use crate::{
    commit::{
        action::{Action, Add, Remove},
        change::{self, Course},
        files,
        memory::WriterMemory,
        table::TargetTable,
        writer::{StagedFiles, WriterOptions},
    },
    failpoint,
    failure::Failure,
};

/// How often it is told how far a table is.
const TOLD_EVERY: Duration = Duration::from_millis(500);

/// How often it is looked whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How tables are written again.
pub struct Rewriting<'a> {
    /// Memory of all writers.
    pub memory: WriterMemory,
    /// Files written at once.
    pub parallelism: usize,
    /// Hears at first and then from time to time how far it is.
    pub progress: &'a (dyn Fn(Rewritten) + Send + Sync),
    /// True if the table is to be left as it is.
    pub is_stopped: &'a (dyn Fn() -> bool + Send + Sync),
}

/// How far a table is that is written again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Files that have their copy.
    pub files: u64,
    /// Files of the table.
    pub files_total: u64,
    /// Rows in copies, those of files in hand too.
    pub rows: u64,
    /// Rows of the table, if its files tell; rows that deletion vectors mark are counted.
    pub rows_total: Option<u64>,
    /// Bytes read from data files.
    pub read_bytes: u64,
}

/// Copies of data files in the wider types, kept until a commit has named them: a lost race costs the copies of new files only.
#[derive(Default)]
pub(super) struct Copies(Vec<(Add, StagedFiles)>);

impl Copies {
    /// The actions that put copies in the place of all files of `version`; what is not there yet is written. `wider` is the table as the
    /// commit makes it. `None` if it was stopped before.
    pub(super) async fn actions(
        &mut self,
        wider: &TargetTable,
        version: i64,
        rewriting: &Rewriting<'_>,
    ) -> Result<Option<Vec<Action>>, Failure> {
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
        if !self.write(wider, missing.into_values().collect(), rewriting).await? {
            return Ok(None);
        }
        failpoint::reach("retype::after")?;
        let now = Utc::now().timestamp_millis();
        let removed = self.0.iter().map(|(file, _)| Action::Remove(Remove { data_change: false, ..file.removed(now) }));
        let added = self.0.iter().flat_map(|(_, copy)| &copy.adds).map(|add| Action::Add(Add { data_change: false, ..add.clone() }));
        Ok(Some(removed.chain(added).collect()))
    }

    /// False if it was stopped. After that, or a failure, nothing new begins, and no task writes any more.
    async fn write(&mut self, wider: &TargetTable, missing: Vec<Add>, rewriting: &Rewriting<'_>) -> Result<bool, Failure> {
        let options = WriterOptions::of(wider, rewriting.memory.clone());
        let course = Arc::new(Course::default());
        let rows_before: u64 = self.0.iter().map(|(_, copy)| copy.rows).sum();
        let rows_missing: Option<u64> = missing.iter().map(Add::rows).sum();
        let whole = Rewritten {
            files_total: (self.0.len() + missing.len()) as u64,
            rows_total: rows_missing.map(|rows| rows + rows_before),
            ..Rewritten::default()
        };
        let reached = |files: usize| {
            let (rows, read_bytes) = (rows_before + course.rows(), course.read_bytes());
            (rewriting.progress)(Rewritten { files: files as u64, rows, read_bytes, ..whole });
        };
        reached(self.0.len());
        let copies = missing.into_iter().map(|file| {
            let (options, course) = (&options, &course);
            async move {
                let copy = change::copy_of(wider, file.clone(), options, course).await;
                (file, copy)
            }
        });
        let mut copies = stream::iter(copies).buffer_unordered(rewriting.parallelism.max(1));
        let mut look = tokio::time::interval(LOOK_EVERY);
        let (mut failed, mut told) = (None, Instant::now());
        loop {
            let ended = tokio::select! {
                next = copies.next() => match next {
                    Some((file, Ok(copy))) => {
                        self.0.extend(copy.map(|copy| (file, copy)));
                        failpoint::reach("retype::copied")
                    }
                    Some((_, Err(failure))) => Err(failure),
                    None => break,
                },
                _ = look.tick() => Ok(()),
            };
            if let Err(failure) = ended {
                course.give_up();
                failed = failed.or(Some(failure));
            }
            if (rewriting.is_stopped)() {
                course.give_up();
            }
            if told.elapsed() >= TOLD_EVERY {
                reached(self.0.len());
                told = Instant::now();
            }
        }
        reached(self.0.len());
        failed.map_or(Ok(!course.is_given_up()), Err)
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
