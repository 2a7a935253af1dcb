//! What an answer means, and when the next try comes.

use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    job_run::{Delivery, DeliveryState},
    text::cut,
};

/// Seconds before each further try.
const INTERVALS_SECONDS: [i64; 6] = [10, 30, 60, 300, 900, 3600];
/// How much of an interval is random, in each direction.
const SPREAD: f64 = 0.2;
/// A server may ask for no longer pause.
const LONGEST_ASKED_SECONDS: i64 = 900;
/// What the status keeps of a message.
const MESSAGE_BYTES: usize = 512;

/// What one try came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What follows.
    pub verdict: Verdict,
    /// What went wrong.
    pub message: String,
    /// The receiver asks for a pause of so many seconds.
    pub pause_seconds: Option<i64>,
}

impl Tried {
    /// The receiver has it.
    pub fn delivered() -> Self {
        Self { verdict: Verdict::Delivered, message: String::new(), pause_seconds: None }
    }

    /// It may pass.
    pub fn again(message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Again, message: message.into(), pause_seconds: None }
    }

    /// Another try would end alike.
    pub fn given_up(message: impl Into<String>) -> Self {
        Self { verdict: Verdict::GivenUp, message: message.into(), pause_seconds: None }
    }
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Delivered,
    /// It may pass.
    Again,
    /// Another try would end alike.
    GivenUp,
}

/// What the status of an HTTP answer means. Redirects are not followed.
pub fn of_http(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Delivered,
        408 | 429 | 500.. => Verdict::Again,
        _ => Verdict::GivenUp,
    }
}

/// What the code of a mail server means; `None`: there was no answer.
pub fn of_smtp(code: Option<u16>) -> Verdict {
    match code {
        Some(200..=399) => Verdict::Delivered,
        Some(500..) => Verdict::GivenUp,
        _ => Verdict::Again,
    }
}

/// Seconds that a header `Retry-After` asks for: a number, or a date.
pub fn retry_after(header: &str, now: Timestamp) -> Option<i64> {
    let header = header.trim();
    let seconds = header.parse::<u32>().ok().map(i64::from);
    seconds.or_else(|| rfc2822::parse(header).ok().map(|at| (at.timestamp().as_second() - now.as_second()).max(0)))
}

/// What becomes of a delivery after a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Tries so far, with this one.
    pub attempts: i32,
    /// Where it is now.
    pub state: DeliveryState,
    /// When the next try comes; only while it is pending.
    pub next_attempt_time: Option<Timestamp>,
    /// What went wrong.
    pub message: Option<String>,
}

impl Outcome {
    /// What follows the `attempts`th try. `random` from 0 to 1 spreads the tries of many.
    pub fn after(tried: &Tried, attempts: i32, now: Timestamp, random: f64) -> Self {
        let message = (!tried.message.is_empty()).then(|| cut(&tried.message, MESSAGE_BYTES).to_string());
        let next = match tried.verdict {
            Verdict::Delivered => return Self { attempts, state: DeliveryState::Delivered, next_attempt_time: None, message: None },
            Verdict::GivenUp => None,
            Verdict::Again => pause(attempts, random, tried.pause_seconds),
        };
        let next = next.and_then(|pause| now.checked_add(pause).ok());
        let state = if next.is_some() { DeliveryState::Pending } else { DeliveryState::Failed };
        Self { attempts, state, next_attempt_time: next, message }
    }

    /// Writes it down. What a later try wrote stays.
    pub fn fold(&self, delivery: &mut Delivery) {
        if delivery.state != DeliveryState::Pending || delivery.attempts >= self.attempts {
            return;
        }
        delivery.attempts = self.attempts;
        delivery.state = self.state;
        delivery.next_attempt_time = self.next_attempt_time.map(Time);
        delivery.message.clone_from(&self.message);
    }
}

/// How long to wait after the `attempts`th try; `None`: it was the last.
fn pause(attempts: i32, random: f64, asked: Option<i64>) -> Option<SignedDuration> {
    let tried = usize::try_from(attempts).unwrap_or_default().max(1);
    let seconds = *INTERVALS_SECONDS.get(tried - 1)?;
    let spread = 1.0 + SPREAD * (2.0 * random.clamp(0.0, 1.0) - 1.0);
    let millis = (seconds as f64 * 1000.0 * spread).round() as i64;
    let asked = asked.unwrap_or_default().clamp(0, LONGEST_ASKED_SECONDS) * 1000;
    Some(SignedDuration::from_millis(millis.max(asked)))
}
