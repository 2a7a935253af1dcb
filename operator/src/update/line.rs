//! The line of a pipeline's updates: who is first, who joins whom. Pure.

use std::{cmp::Ordering, sync::Arc};

use floe_crds::{
    pipeline_update::{PipelineUpdate, UpdateType},
    state::UpdateState,
};
use kube::ResourceExt;

/// Longest line of one pipeline.
pub const MAX_QUEUED: usize = 100;

/// Maintenance after updates, then in the order of creation. Among those of one second the shorter name is the earlier number.
pub fn order(a: &PipelineUpdate, b: &PipelineUpdate) -> Ordering {
    let place = |update: &PipelineUpdate| {
        let name = update.name_any();
        (update.spec.update_type == UpdateType::Maintenance, update.creation_timestamp().map(|at| at.0), name.len(), name)
    };
    place(a).cmp(&place(b))
}

fn state(update: &PipelineUpdate) -> Option<UpdateState> {
    update.status.as_ref().and_then(|status| status.state)
}

/// True if the update has not begun.
pub fn is_queued(update: &PipelineUpdate) -> bool {
    matches!(state(update), None | Some(UpdateState::Queued)) && update.metadata.deletion_timestamp.is_none()
}

fn is_coalesced(update: &PipelineUpdate) -> bool {
    update.status.as_ref().is_some_and(|status| status.coalesced_into.is_some())
}

/// True if the update takes the place of the one that writes.
pub fn writes(update: &PipelineUpdate) -> bool {
    !update.spec.selection.validate_only
}

fn is_active(update: &PipelineUpdate) -> bool {
    state(update).is_some_and(|state| state != UpdateState::Queued && !state.is_terminal())
}

/// The update that writes now, if it is another one.
pub fn active<'a>(update: &PipelineUpdate, all: &'a [Arc<PipelineUpdate>]) -> Option<&'a Arc<PipelineUpdate>> {
    all.iter().find(|other| is_active(other) && writes(other) && other.uid() != update.uid())
}

/// The place of the update among those that wait, from 1.
pub fn position(update: &PipelineUpdate, all: &[Arc<PipelineUpdate>]) -> usize {
    let before = all.iter().filter(|other| {
        is_queued(other) && writes(other) && !is_coalesced(other) && other.uid() != update.uid() && order(other, update) == Ordering::Less
    });
    before.count() + 1
}

/// True if the line was full when the update came.
pub fn is_full(update: &PipelineUpdate, all: &[Arc<PipelineUpdate>]) -> bool {
    let earlier = all.iter().filter(|other| is_queued(other) && other.uid() != update.uid() && arrived_before(other, update));
    earlier.count() >= MAX_QUEUED
}

/// The order of arrival: maintenance counts as all others.
fn arrived_before(a: &PipelineUpdate, b: &PipelineUpdate) -> bool {
    let place = |update: &PipelineUpdate| (update.creation_timestamp().map(|at| at.0), update.name_any().len(), update.name_any());
    place(a) < place(b)
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
    let waits = all
        .iter()
        .filter(|other| is_queued(other) && !is_coalesced(other) && other.uid() != update.uid() && order(other, update) == Ordering::Less);
    waits.filter(same).min_by(|a, b| order(a, b))
}
