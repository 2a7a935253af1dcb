//! What follows the end of an attempt.

use std::time::Duration;

use floe_crds::{
    condition::Reason,
    pipeline::{Mode, RetryPolicy},
    pipeline_update::{AttemptClass, Retries},
    state::UpdateState,
};

use super::at;
use crate::attempt::{
    end::End,
    retry::{Sequel, after},
};

fn end(class: AttemptClass) -> End {
    End::decided(class, "X", "x", at(0))
}

fn policy(retries: i32) -> RetryPolicy {
    RetryPolicy { max_update_retries: Some(retries), min_backoff_seconds: 10, max_backoff_seconds: 60, ..RetryPolicy::default() }
}

/// The waits after ends of these classes, in whole seconds, and what ends the update.
fn sequels(classes: &[AttemptClass], policy: &RetryPolicy, mode: Mode) -> (Vec<i64>, Option<(UpdateState, Reason)>) {
    let (mut retries, mut waits) = (Retries::default(), Vec::new());
    for (number, class) in classes.iter().enumerate() {
        let (sequel, counted) = after(&end(*class), &retries, policy, mode, &format!("u {number}"));
        retries = counted;
        match sequel {
            Sequel::Attempt(next) => waits.push(next.duration_since(at(0)).as_secs()),
            Sequel::End { state, reason } => return (waits, Some((state, reason))),
        }
    }
    (waits, None)
}

#[test]
fn transient_failures_are_tried_again_after_growing_waits() {
    let (waits, end) = sequels(&[AttemptClass::Transient; 6], &policy(5), Mode::Triggered);
    let bounds = [(8, 12), (16, 24), (32, 48), (48, 72), (48, 72)];
    assert_eq!(waits.len(), 5);
    for (wait, (least, most)) in waits.iter().zip(bounds) {
        assert!((least..=most).contains(wait), "{waits:?}");
    }
    assert_eq!(end, Some((UpdateState::Failed, Reason::TransientErrors)));
    assert_eq!(sequels(&[AttemptClass::Transient; 6], &policy(5), Mode::Triggered).0, waits, "a second look decides the same");
    assert_eq!(sequels(&[AttemptClass::Transient; 60], &policy(-1), Mode::Triggered).1, None);
    assert_eq!(sequels(&[AttemptClass::Transient], &policy(0), Mode::Triggered).1, Some((UpdateState::Failed, Reason::TransientErrors)));
}

#[test]
fn others_are_not() {
    let rows = [
        (AttemptClass::Success, UpdateState::Completed, Reason::UpdateCompleted),
        (AttemptClass::Canceled, UpdateState::Canceled, Reason::UpdateCanceled),
        (AttemptClass::User, UpdateState::Failed, Reason::UpdateFailed),
        (AttemptClass::Expectation, UpdateState::Failed, Reason::ExpectationFailed),
        (AttemptClass::Storage, UpdateState::Failed, Reason::StorageAccess),
        (AttemptClass::Timeout, UpdateState::Failed, Reason::TimedOut),
        (AttemptClass::PodStart, UpdateState::Failed, Reason::PodStartFailed),
    ];
    for (class, state, reason) in rows {
        assert_eq!(sequels(&[class], &policy(5), Mode::Triggered), (vec![], Some((state, reason))));
    }
}

#[test]
fn a_death_without_explanation_has_one_more_try_in_the_life_of_the_update() {
    let classes = [AttemptClass::Unknown, AttemptClass::Transient, AttemptClass::Unknown];
    let (waits, end) = sequels(&classes, &policy(5), Mode::Triggered);
    assert_eq!((waits.len(), end), (2, Some((UpdateState::Failed, Reason::UpdateFailed))));
}

#[test]
fn lost_places_are_not_counted_until_there_are_more_than_ten_in_a_row() {
    let (waits, end) = sequels(&[AttemptClass::Interrupted; 10], &policy(0), Mode::Triggered);
    assert_eq!((waits, end), (vec![0; 10], None));
    let (_, end) = sequels(&[AttemptClass::Interrupted; 11], &policy(0), Mode::Triggered);
    assert_eq!(end, Some((UpdateState::Failed, Reason::TransientErrors)));
    let mixed: Vec<_> = [vec![AttemptClass::Interrupted; 10], vec![AttemptClass::Transient], vec![AttemptClass::Interrupted; 10]].concat();
    assert_eq!(sequels(&mixed, &policy(1), Mode::Triggered).1, None, "in a row");
}

#[test]
fn a_continuous_update_counts_anew_after_ten_minutes_of_running() {
    let long = End { ran: Duration::from_mins(10), ..end(AttemptClass::Transient) };
    let before = Retries { transient: 7, unknown: 1, interrupted: 3 };
    let (_, counted) = after(&long, &before, &policy(-1), Mode::Continuous, "u");
    assert_eq!(counted, Retries { transient: 1, unknown: 0, interrupted: 0 });
    let (_, counted) = after(&long, &before, &policy(-1), Mode::Triggered, "u");
    assert_eq!(counted.transient, 8);
}
