//! The queue of a pipeline's updates: who is first, who joins whom. Pure.

use std::{cmp::Ordering, sync::Arc};

use floe_crds::pipeline_update::{PipelineUpdate, UpdateType};
use kube::ResourceExt;

use crate::updates::{self, writes};

/// Longest queue of one pipeline.
pub const MAX_QUEUED: usize = 100;

/// Maintenance after updates, then in the order of creation.
pub fn order(a: &PipelineUpdate, b: &PipelineUpdate) -> Ordering {
    let place = |update: &PipelineUpdate| (update.spec.update_type == UpdateType::Maintenance, updates::by_creation(update));
    place(a).cmp(&place(b))
}

/// True if the update has not begun, and will.
fn waits(update: &PipelineUpdate) -> bool {
    updates::is_queued(update) && update.metadata.deletion_timestamp.is_none()
}

fn is_coalesced(update: &PipelineUpdate) -> bool {
    update.status.as_ref().is_some_and(|status| status.coalesced_into.is_some())
}

/// The update that writes now, if it is another one.
pub fn active<'a>(update: &PipelineUpdate, all: &'a [Arc<PipelineUpdate>]) -> Option<&'a Arc<PipelineUpdate>> {
    all.iter().find(|other| updates::is_active(other) && writes(other) && other.uid() != update.uid())
}

/// The place of the update among those that wait, from 1.
pub fn position(update: &PipelineUpdate, all: &[Arc<PipelineUpdate>]) -> usize {
    let before = all.iter().filter(|other| {
        waits(other) && writes(other) && !is_coalesced(other) && other.uid() != update.uid() && order(other, update) == Ordering::Less
    });
    before.count() + 1
}

/// True if the queue was full when the update came.
pub fn is_full(update: &PipelineUpdate, all: &[Arc<PipelineUpdate>]) -> bool {
    let earlier = all
        .iter()
        .filter(|other| waits(other) && other.uid() != update.uid() && updates::by_creation(other) < updates::by_creation(update));
    earlier.count() >= MAX_QUEUED
}

/// The oldest update that waits and is asked to do the same.
pub fn equal_one<'a>(update: &PipelineUpdate, all: &'a [Arc<PipelineUpdate>]) -> Option<&'a Arc<PipelineUpdate>> {
    let same = |other: &&Arc<PipelineUpdate>| {
        let mut spec = other.spec.clone();
        spec.request_id.clone_from(&update.spec.request_id);
        spec.cause = update.spec.cause;
        // One that shall end is no one to wait for.
        spec == update.spec
    };
    let earlier = all
        .iter()
        .filter(|other| waits(other) && !is_coalesced(other) && other.uid() != update.uid() && order(other, update) == Ordering::Less);
    earlier.filter(same).min_by(|a, b| order(a, b))
}
