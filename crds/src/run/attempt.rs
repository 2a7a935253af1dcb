//! What follows the end of an attempt: another one, or the result of the task.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    job::{EffectiveRetry, RetryOn},
    state::{TaskResultState, TerminationCode},
};

/// So many attempts in a row may lose their place before that counts as a failure that may pass.
const MAX_INTERRUPTIONS: i32 = 10;

/// What kind of end an attempt had.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndClass {
    /// All done.
    Success,
    /// Definition, data, an expectation or storage will give the same again.
    Lasting,
    /// Another attempt may not meet it.
    Transient,
    /// Death of the runner without explanation, or for want of memory.
    Unknown,
    /// The program of a container task said that it failed.
    Failure,
    /// The pod lost its place.
    Interrupted,
    /// It took longer than allowed.
    Timeout,
    /// It was stopped because someone asked for it.
    Canceled,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// What kind of end.
    pub class: EndClass,
    /// The code for people and machines.
    pub code: TerminationCode,
    /// What a person should know; empty if all went well.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// Keys of the values that it set.
    pub values: Vec<String>,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequel {
    /// Another attempt, not before this time.
    Again {
        /// When.
        at: Timestamp,
        /// It is one of the retries that are allowed; an attempt that lost its place is not.
        counted: bool,
    },
    /// The task has its result.
    Final(TaskResultState, TerminationCode),
}

/// What was before the attempt that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    /// When the attempt started.
    pub started: Timestamp,
    /// Retries so far, in the present repair.
    pub retries: i32,
    /// Attempts in a row that lost their place, without this one.
    pub interruptions: i32,
}

/// What follows an attempt that ended as `end`.
pub fn after_attempt(retry: &EffectiveRetry, past: &Past, end: &AttemptEnd, now: Timestamp) -> Sequel {
    let interrupted = end.class == EndClass::Interrupted;
    if interrupted && past.interruptions < MAX_INTERRUPTIONS {
        return Sequel::Again { at: now, counted: false };
    }
    let left = retry.max_retries.is_none_or(|most| i64::from(past.retries) < i64::from(most));
    let retried = match end.class {
        EndClass::Success | EndClass::Canceled => false,
        EndClass::Lasting => retry.even_lasting,
        EndClass::Transient | EndClass::Interrupted => true,
        EndClass::Unknown => retry.retry_on == RetryOn::AnyFailure || past.retries == 0,
        EndClass::Failure => retry.retry_on == RetryOn::AnyFailure,
        EndClass::Timeout => retry.on_timeout,
    };
    if retried && left {
        let at = past.started.saturating_add(interval(retry, past.retries + 1)).unwrap_or(Timestamp::MAX);
        return Sequel::Again { at: at.max(now), counted: true };
    }
    match end.class {
        EndClass::Success => Sequel::Final(TaskResultState::Success, TerminationCode::Success),
        EndClass::Timeout => Sequel::Final(TaskResultState::TimedOut, end.code),
        EndClass::Canceled => Sequel::Final(TaskResultState::Canceled, end.code),
        _ => Sequel::Final(TaskResultState::Failed, end.code),
    }
}

/// From the start of an attempt to the start of the n-th retry, n from 1.
fn interval(retry: &EffectiveRetry, n: i32) -> SignedDuration {
    let mut seconds = retry.min_interval_seconds;
    for _ in 1..n.min(1000) {
        if seconds >= retry.max_interval_seconds {
            break;
        }
        seconds = seconds.saturating_mul(retry.backoff_factor_percent) / 100;
    }
    SignedDuration::from_secs(seconds.min(retry.max_interval_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> EffectiveRetry {
        EffectiveRetry {
            max_retries: Some(5),
            min_interval_seconds: 60,
            max_interval_seconds: 3600,
            backoff_factor_percent: 100,
            on_timeout: false,
            retry_on: RetryOn::Transient,
            even_lasting: false,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn after(retry: &EffectiveRetry, class: EndClass, retries: i32, interruptions: i32) -> Sequel {
        let end = AttemptEnd { class, code: TerminationCode::RunExecutionError, message: String::new(), at: at(140), values: vec![] };
        after_attempt(retry, &Past { started: at(100), retries, interruptions }, &end, at(140))
    }

    const FAILED: Sequel = Sequel::Final(TaskResultState::Failed, TerminationCode::RunExecutionError);

    #[test]
    fn j21_retry_interval_from_start() {
        assert_eq!(after(&retry(), EndClass::Transient, 0, 0), Sequel::Again { at: at(160), counted: true });
        let short = EffectiveRetry { min_interval_seconds: 10, ..retry() };
        assert_eq!(after(&short, EndClass::Transient, 0, 0), Sequel::Again { at: at(140), counted: true }, "never before the end");
        let growing = EffectiveRetry { backoff_factor_percent: 200, max_interval_seconds: 200, ..retry() };
        let starts: Vec<Sequel> = (0..4).map(|retries| after(&growing, EndClass::Transient, retries, 0)).collect();
        assert_eq!(starts, [160, 220, 300, 300].map(|seconds| Sequel::Again { at: at(seconds), counted: true }));
    }

    #[test]
    fn j22_user_error_not_retried() {
        assert_eq!(after(&retry(), EndClass::Lasting, 0, 0), FAILED);
        let any = EffectiveRetry { retry_on: RetryOn::AnyFailure, ..retry() };
        assert_eq!(after(&any, EndClass::Lasting, 0, 0), FAILED);
        assert_eq!(after(&any, EndClass::Transient, 5, 0), FAILED, "none is left");
        let endless = EffectiveRetry { max_retries: None, ..retry() };
        assert!(matches!(after(&endless, EndClass::Transient, 5000, 0), Sequel::Again { counted: true, .. }));
    }

    #[test]
    fn j23_failures_of_containers_follow_the_policy() {
        assert_eq!(after(&retry(), EndClass::Failure, 0, 0), FAILED);
        let any = EffectiveRetry { retry_on: RetryOn::AnyFailure, ..retry() };
        assert!(matches!(after(&any, EndClass::Failure, 4, 0), Sequel::Again { .. }));
        assert!(matches!(after(&retry(), EndClass::Unknown, 0, 0), Sequel::Again { .. }));
        assert_eq!(after(&retry(), EndClass::Unknown, 1, 0), FAILED, "once is enough");
        assert!(matches!(after(&any, EndClass::Unknown, 1, 0), Sequel::Again { .. }));
    }

    #[test]
    fn j24_interruptions_are_not_counted_but_ten_in_a_row() {
        let none = EffectiveRetry { max_retries: Some(0), ..retry() };
        assert_eq!(after(&none, EndClass::Interrupted, 0, 9), Sequel::Again { at: at(140), counted: false });
        assert_eq!(after(&none, EndClass::Interrupted, 0, 10), FAILED);
        assert!(matches!(after(&retry(), EndClass::Interrupted, 0, 10), Sequel::Again { counted: true, .. }));
    }

    #[test]
    fn j25_timeouts_are_retried_on_demand() {
        assert_eq!(after(&retry(), EndClass::Timeout, 0, 0), Sequel::Final(TaskResultState::TimedOut, TerminationCode::RunExecutionError));
        let wanted = EffectiveRetry { on_timeout: true, ..retry() };
        assert!(matches!(after(&wanted, EndClass::Timeout, 0, 0), Sequel::Again { .. }));
        assert_eq!(after(&wanted, EndClass::Canceled, 0, 0), Sequel::Final(TaskResultState::Canceled, TerminationCode::RunExecutionError));
    }
}
