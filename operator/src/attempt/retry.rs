//! What follows the end of an attempt: another attempt, when, or the end of the update.

use std::time::Duration;

use floe_crds::{
    condition::Reason,
    pipeline::{Mode, RetryPolicy},
    pipeline_update::{AttemptClass, Retries},
    state::UpdateState,
};
use jiff::{SignedDuration, Timestamp};

use super::end::End;
use crate::labels;

/// So many pods in a row may lose their place before that counts as a failure.
const INTERRUPTIONS: i32 = 10;
/// A continuous update that ran this long begins to count anew.
const FRESH_START: Duration = Duration::from_mins(10);
/// Deaths without explanation that are followed by another attempt.
const UNKNOWN_ENDS: i32 = 1;

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Sequel {
    /// Another attempt, not before this time.
    Attempt(Timestamp),
    /// The update ends.
    End {
        /// COMPLETED, FAILED or CANCELED.
        state: UpdateState,
        /// The word of the condition.
        reason: Reason,
    },
}

/// What follows `end`, and the counts with it. `identity` names the attempt: it decides how the wait is spread.
pub fn after(end: &End, retries: &Retries, policy: &RetryPolicy, mode: Mode, identity: &str) -> (Sequel, Retries) {
    let mut retries = if mode == Mode::Continuous && end.ran >= FRESH_START { Retries::default() } else { retries.clone() };
    let failed = |reason| Sequel::End { state: UpdateState::Failed, reason };
    let class = end.class;
    if class == AttemptClass::Interrupted {
        retries.interrupted += 1;
        if retries.interrupted <= INTERRUPTIONS {
            return (Sequel::Attempt(end.at), retries);
        }
    } else {
        retries.interrupted = 0;
    }
    let sequel = match class {
        AttemptClass::Success => Sequel::End { state: UpdateState::Completed, reason: Reason::UpdateCompleted },
        AttemptClass::Canceled => Sequel::End { state: UpdateState::Canceled, reason: Reason::UpdateCanceled },
        AttemptClass::Transient | AttemptClass::Interrupted => {
            let limit = policy.update_retries(mode);
            let before = u32::try_from(retries.transient).unwrap_or_default();
            if limit.is_some_and(|limit| before >= limit) {
                failed(Reason::TransientErrors)
            } else {
                retries.transient += 1;
                Sequel::Attempt(later(end.at, delay(policy, before, identity)))
            }
        }
        AttemptClass::Unknown if retries.unknown < UNKNOWN_ENDS => {
            retries.unknown += 1;
            Sequel::Attempt(later(end.at, delay(policy, 0, identity)))
        }
        AttemptClass::Expectation => failed(Reason::ExpectationFailed),
        AttemptClass::Storage => failed(Reason::StorageAccess),
        AttemptClass::Timeout => failed(Reason::TimedOut),
        AttemptClass::PodStart => failed(Reason::PodStartFailed),
        AttemptClass::User | AttemptClass::Unknown => failed(Reason::UpdateFailed),
    };
    (sequel, retries)
}

/// min(minBackoff · 2ⁿ, maxBackoff) ± 20 %. The spread is a function of the attempt, so that a second look decides the same.
fn delay(policy: &RetryPolicy, n: u32, identity: &str) -> SignedDuration {
    let (least, most) = (i64::from(policy.min_backoff_seconds), i64::from(policy.max_backoff_seconds));
    let seconds = least.saturating_mul(2_i64.saturating_pow(n.min(30))).min(most);
    let spread = u32::from_str_radix(&labels::short_hash(identity), 16).map_or(0.5, |hash| f64::from(hash) / f64::from(u32::MAX));
    SignedDuration::from_micros((seconds as f64 * (0.8 + 0.4 * spread) * 1e6) as i64)
}

fn later(at: Timestamp, delay: SignedDuration) -> Timestamp {
    at.checked_add(delay).unwrap_or(Timestamp::MAX)
}
