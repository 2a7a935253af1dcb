//! When the next run of a continuous Job starts, and when a failed task of one is tried again.

use jiff::SignedDuration;
use sha2::{Digest, Sha256};

const AFTER_SUCCESS: SignedDuration = SignedDuration::from_secs(5);
const FIRST_DELAY_SECONDS: i64 = 10;
const MOST_DELAY_SECONDS: i64 = 3600;
const MOST_RETRY_SECONDS: i64 = 600;
/// A run that lasted longer was in order once: its failure is the first again.
const LONG: SignedDuration = SignedDuration::from_mins(10);

/// How a continuous run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Well, also with failures on the way.
    Succeeded,
    /// It failed, took too long or never started.
    Failed,
    /// A person ended it.
    Canceled,
    /// It gave way to a changed definition.
    Replaced,
}

/// When the next run starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextRun {
    /// From the end of the last run.
    pub delay: SignedDuration,
    /// Failures in a row, the last run included.
    pub failures: u32,
}

/// When the run after one starts that ended with `end` after `lasted`, after `failures` in a row before it. `random` is from 0 to 1.
pub fn next_run(end: End, lasted: SignedDuration, failures: u32, random: f64) -> NextRun {
    match end {
        End::Succeeded => NextRun { delay: AFTER_SUCCESS, failures: 0 },
        End::Replaced => NextRun { delay: SignedDuration::ZERO, failures: 0 },
        End::Canceled => NextRun { delay: AFTER_SUCCESS, failures },
        End::Failed => {
            let before = if lasted > LONG { 0 } else { failures };
            let millis = doubled(before, MOST_DELAY_SECONDS) as f64 * (800.0 + 400.0 * random.clamp(0.0, 1.0));
            NextRun { delay: SignedDuration::from_millis(millis.round() as i64), failures: before.saturating_add(1) }
        }
    }
}

/// How long a failed task waits within its run, after `retries` retries.
pub fn retry_delay(retries: u32) -> SignedDuration {
    SignedDuration::from_secs(doubled(retries, MOST_RETRY_SECONDS))
}

fn doubled(times: u32, most: i64) -> i64 {
    2_i64.checked_pow(times.min(20)).map_or(most, |factor| (FIRST_DELAY_SECONDS * factor).min(most))
}

/// A number from 0 to 1 that is always the same for the same text, e.g. the uid of the run that ended: a second look finds the same delay.
pub fn random_part(text: &str) -> f64 {
    let hash = Sha256::digest(text.as_bytes());
    let first = hash.iter().take(4).fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    f64::from(first) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(end: End, lasted: i64, failures: u32, random: f64) -> (f64, u32) {
        let next = next_run(end, SignedDuration::from_secs(lasted), failures, random);
        (next.delay.as_secs_f64(), next.failures)
    }

    #[test]
    fn j44_continuous_backoff() {
        let (mut failures, mut delays) = (0, Vec::new());
        for _ in 0..11 {
            let (delay, now) = seconds(End::Failed, 30, failures, 0.5);
            delays.push(delay);
            failures = now;
        }
        assert_eq!(delays, [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0, 2560.0, 3600.0, 3600.0]);
        assert_eq!(seconds(End::Succeeded, 30, 11, 0.5), (5.0, 0), "a success resets");
        assert_eq!(seconds(End::Failed, 601, 11, 0.5), (10.0, 1), "so does a run of more than ten minutes");
        assert_eq!(seconds(End::Failed, 600, 3, 0.5), (80.0, 4));
        assert_eq!((seconds(End::Failed, 1, 0, 0.0).0, seconds(End::Failed, 1, 0, 1.0).0), (8.0, 12.0));
        assert_eq!(seconds(End::Failed, 1, u32::MAX, 1.0), (4320.0, u32::MAX));
        assert_eq!(seconds(End::Replaced, 1, 4, 0.5), (0.0, 0), "a changed definition starts at once");
        assert_eq!(seconds(End::Canceled, 1, 4, 0.5), (5.0, 4));
    }

    #[test]
    fn tasks_are_tried_again_ever_later() {
        let delays: Vec<_> = [0, 1, 2, 5, 6, 7, 1000].map(|retries| retry_delay(retries).as_secs()).to_vec();
        assert_eq!(delays, [10, 20, 40, 320, 600, 600, 600]);
    }

    #[test]
    fn the_random_part_is_spread_and_stays() {
        let parts: Vec<f64> = (0..1000).map(|n| random_part(&format!("uid-{n}"))).collect();
        assert!(parts.iter().all(|part| (0.0..=1.0).contains(part)));
        let mean = parts.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert!((random_part("a") - random_part("a")).abs() < f64::EPSILON);
    }
}
