//! After the micro-batches of a flow: files that no flow of the pipeline needs any more are moved or deleted.

use std::{collections::BTreeSet, sync::Arc};

use floe_graph::{
    relation::RelationKind,
    source_options::{CleanAction, CleanSource},
};
use futures::{StreamExt, TryStreamExt, stream};

use super::AppendRun;
use crate::{
    execute::{Round, progress::FlowNotice},
    failure::Failure,
    source::{FileSource, files::Cleaned},
    state::{Checkpoint, FileEntry},
};

/// Files of one round; the next one goes on.
const MOST_FILES: usize = 10_000;
const PARALLEL_FILES: usize = 8;

impl AppendRun<'_> {
    /// What cannot be done is told, and a later update tries again: the rows are there already.
    pub(super) async fn clean_sources(&mut self) {
        let cleanable = std::mem::take(&mut self.cleanable);
        if self.run.round == Round::Later && self.result.batches == 0 {
            return;
        }
        for (source, listing) in cleanable {
            if let Err(failure) = self.clean(&source, listing).await {
                self.warn("CLEAN_SOURCE_FAILED", format!("files of {} were not cleaned up: {failure}", source.uri()));
            }
        }
    }

    async fn clean(&self, source: &FileSource, listing: Vec<FileEntry>) -> Result<(), Failure> {
        let (Some(CleanSource { action, after_us }), Some(last_batch)) = (source.cleaning(), self.checkpoint.last_batch()) else {
            return Ok(());
        };
        let before_us = self.execution.batch_time_us().saturating_sub(*after_us);
        let taken = self.checkpoint.ledger().taken_of(listing, last_batch, before_us).await?;
        let read: Vec<FileEntry> = taken.into_iter().filter(|taken| taken.was_read).map(|taken| taken.file).take(MOST_FILES).collect();
        let count = read.len();
        let (free, needed_by) = self.unneeded(read).await?;
        let kept = count - free.len();
        let source = Arc::new(source.clone());
        let acts = free.into_iter().map(|file| {
            let source = Arc::clone(&source);
            async move { source.clean(&file).await }
        });
        let done = stream::iter(acts)
            .buffer_unordered(PARALLEL_FILES)
            .try_fold(0_u64, |done, cleaned| async move { Ok(done + u64::from(cleaned == Cleaned::Done)) })
            .await?;
        if done > 0 || kept > 0 {
            let mut message = match action {
                CleanAction::Delete => format!("{} of {} deleted", files(done), source.uri()),
                CleanAction::Move(to) => format!("{} of {} moved to {to}", files(done), source.uri()),
            };
            if kept > 0 {
                let names: Vec<String> = needed_by.into_iter().collect();
                message = format!("{message}; {} stay for {}", files(kept as u64), names.join(", "));
            }
            self.notice(FlowNotice::Cleaned { message: format!("{message} (cleanSource)") });
        }
        Ok(())
    }

    /// The files that no other flow needs, and the datasets that need the others: batch reads need theirs for ever, streams until they have
    /// committed them.
    async fn unneeded(&self, mut read: Vec<FileEntry>) -> Result<(Vec<FileEntry>, BTreeSet<String>), Failure> {
        let mut needed_by = BTreeSet::new();
        for flow in &self.execution.graph.flows {
            let is_own = flow.name == self.run.flow.name;
            let others =
                flow.inputs.iter().filter(|input| matches!(input.kind, RelationKind::Files { .. }) && !(is_own && input.streaming));
            for relation in others {
                let source = self.execution.places().files(relation)?;
                let holds = |file: &FileEntry| source.takes(std::slice::from_ref(file));
                let taken = read.iter().map(holds).collect::<Result<Vec<_>, _>>()?;
                let (shared, others): (Vec<_>, Vec<_>) = read.into_iter().zip(taken).partition(|(_, taken)| *taken);
                let wanted: Vec<FileEntry> = shared.into_iter().map(|(file, _)| file).collect();
                let count = wanted.len();
                let released = if relation.streaming { self.committed_by(&flow.name, wanted).await? } else { Vec::new() };
                if released.len() < count {
                    needed_by.insert(flow.target.to_string());
                }
                read = others.into_iter().map(|(file, _)| file).chain(released).collect();
            }
        }
        Ok((read, needed_by))
    }

    /// Those of `files` that the batches of another flow have taken and committed.
    async fn committed_by(&self, flow: &str, files: Vec<FileEntry>) -> Result<Vec<FileEntry>, Failure> {
        let checkpoint = Checkpoint::open(&self.execution.storage, flow).await?;
        let Some(last_batch) = checkpoint.last_batch().filter(|_| !files.is_empty()) else { return Ok(Vec::new()) };
        let taken = checkpoint.ledger().taken_of(files, last_batch, i64::MAX).await?;
        Ok(taken.into_iter().map(|taken| taken.file).collect())
    }
}

fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}
