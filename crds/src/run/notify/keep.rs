//! What a status keeps of deliveries, and when it must be looked at again.

use jiff::{SignedDuration, Timestamp};

use super::{due::repeat_seconds, warning};
use crate::{
    job::JobSpec,
    job_run::{Delivery, DeliveryState, JobRunStatus},
    state::RunState,
};

/// So many deliveries are kept.
const KEPT: usize = 32;

/// Puts `due` into `status`. Where there are too many, those that were delivered go first, then those that were given up, the oldest first. What
/// had to go although it was not delivered is handed back: people must be told by other means.
#[must_use]
pub fn keep(status: &mut JobRunStatus, due: Vec<Delivery>) -> Vec<Delivery> {
    let deliveries = &mut status.notifications;
    deliveries.extend(due);
    let mut lost = Vec::new();
    while deliveries.len() > KEPT {
        let places = deliveries.iter().enumerate();
        let Some(place) = places.min_by_key(|(place, delivery)| worth(*place, delivery)).map(|(place, _)| place) else { break };
        let gone = deliveries.remove(place);
        if gone.state == DeliveryState::Pending {
            lost.push(gone);
        }
    }
    lost
}

/// What goes first has the lowest worth. Of those that are pending the newest of tasks go first: what is told of the run weighs more.
fn worth(place: usize, delivery: &Delivery) -> (u8, Option<Timestamp>, usize) {
    let time = delivery.time.as_ref().map(|time| time.0);
    let from_the_end = usize::MAX - place;
    match delivery.state {
        DeliveryState::Delivered => (0, time, place),
        DeliveryState::Failed => (1, time, place),
        DeliveryState::Pending if delivery.target.contains('/') => (2, None, from_the_end),
        DeliveryState::Pending => (3, None, from_the_end),
    }
}

/// True if a try shall be made now.
pub fn is_due(delivery: &Delivery, now: Timestamp) -> bool {
    delivery.state == DeliveryState::Pending && delivery.next_attempt_time.as_ref().is_none_or(|time| time.0 <= now)
}

/// When a try or the repetition of a warning comes next; `now` if one is due.
pub fn next_look(spec: &JobSpec, status: &JobRunStatus, now: Timestamp) -> Option<Timestamp> {
    let pending = status.notifications.iter().filter(|delivery| delivery.state == DeliveryState::Pending);
    let next_try = pending.map(|delivery| delivery.next_attempt_time.as_ref().map_or(now, |time| time.0.max(now))).min();
    let is_active = status.state.is_some_and(RunState::is_active);
    let next_warning = warning(status).filter(|_| is_active && !spec.health.is_empty()).and_then(|(since, message)| {
        let every = repeat_seconds(spec, message);
        let passed = (now.as_second() - since.as_second()).max(0);
        since.checked_add(SignedDuration::from_secs((passed / every + 1) * every)).ok()
    });
    next_try.into_iter().chain(next_warning).min()
}
