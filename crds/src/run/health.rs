//! When a run is warned of that goes on too long or lags behind. Pure; nothing is stopped by it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::job::{HealthMetric, HealthRule};

/// Backlogs are means of so long.
const WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// What a look at the rules found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// All rules hold, and there was no warning.
    Good,
    /// Warn: for the first time, or again.
    Warn {
        /// Metric and number of each rule that is broken.
        message: String,
        /// It was in force before.
        is_again: bool,
        /// When to warn again.
        next: Timestamp,
    },
    /// A warning is in force and not due again.
    Warned {
        /// When to warn again.
        next: Timestamp,
    },
    /// The warning has no reason any more.
    Clear,
}

/// What `rules` say to `samples`, if the warning that is in force was last sent at `last_warning`. A metric without a sample breaks no rule.
pub fn health(rules: &[HealthRule], samples: &BTreeMap<HealthMetric, i64>, last_warning: Option<Timestamp>, now: Timestamp) -> Health {
    let number = |rule: &HealthRule| samples.get(&rule.metric).copied().filter(|number| *number > rule.value);
    let broken: Vec<_> = rules.iter().filter_map(|rule| Some((rule, number(rule)?))).collect();
    let Some(every_seconds) = broken.iter().map(|(rule, _)| rule.every_seconds).min() else {
        return if last_warning.is_some() { Health::Clear } else { Health::Good };
    };
    let after = |at: Timestamp| at.saturating_add(SignedDuration::from_secs(i64::from(every_seconds))).unwrap_or(at);
    if let Some(next) = last_warning.map(after).filter(|next| *next > now) {
        return Health::Warned { next };
    }
    let said = |(rule, number): &(&HealthRule, i64)| format!("{} is {number}, above {}", rule.metric.as_str(), rule.value);
    let message = broken.iter().map(said).collect::<Vec<_>>().join("; ");
    Health::Warn { message, is_again: last_warning.is_some(), next: after(now) }
}

/// `RunDurationSeconds` of a run that started to run at `started`.
pub fn run_duration_seconds(started: Timestamp, now: Timestamp) -> i64 {
    now.duration_since(started).as_secs().max(0)
}

/// When a rule about the duration is broken by time alone: look again then.
pub fn next_look(rules: &[HealthRule], started: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let durations = rules.iter().filter(|rule| rule.metric == HealthMetric::RunDurationSeconds);
    let broken_at = durations.filter_map(|rule| started.checked_add(SignedDuration::from_secs(rule.value.checked_add(1)?)).ok());
    broken_at.filter(|at| *at > now).min()
}

/// The mean of a backlog, each number the sum over the run's pipelines at a time; none if nothing was heard for ten minutes.
pub fn mean(numbers: &[(Timestamp, i64)], now: Timestamp) -> Option<i64> {
    let begin = now.saturating_sub(WINDOW).unwrap_or(now);
    let of_window: Vec<i128> = numbers.iter().filter(|(at, _)| *at > begin && *at <= now).map(|(_, number)| i128::from(*number)).collect();
    let count = i128::try_from(of_window.len()).ok().filter(|count| *count > 0)?;
    i64::try_from(of_window.iter().sum::<i128>() / count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use HealthMetric::{RunDurationSeconds, StreamingBacklogFiles};

    fn second(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn rule(metric: HealthMetric, value: i64, every_seconds: i32) -> HealthRule {
        HealthRule { metric, value, every_seconds }
    }

    #[test]
    fn j49_health_warning() {
        let rules = [rule(RunDurationSeconds, 100, 1800), rule(StreamingBacklogFiles, 5, 600)];
        let look = |duration, files: Option<i64>, last: Option<i64>, now| {
            let files = files.map(|files| (StreamingBacklogFiles, files));
            let samples = files.into_iter().chain([(RunDurationSeconds, duration)]).collect();
            health(&rules, &samples, last.map(second), second(now))
        };
        assert_eq!(look(100, None, None, 100), Health::Good, "above, not at the value");
        let message = "RunDurationSeconds is 101, above 100".to_string();
        assert_eq!(look(101, None, None, 101), Health::Warn { message, is_again: false, next: second(1901) });
        assert_eq!(look(1900, None, Some(101), 1900), Health::Warned { next: second(1901) });
        let message = "RunDurationSeconds is 1901, above 100".to_string();
        assert_eq!(look(1901, None, Some(101), 1901), Health::Warn { message, is_again: true, next: second(3701) });
        let message = "RunDurationSeconds is 200, above 100; StreamingBacklogFiles is 6, above 5".to_string();
        assert_eq!(look(200, Some(6), None, 200), Health::Warn { message, is_again: false, next: second(800) });
        assert_eq!(look(50, Some(5), Some(10), 50), Health::Clear);
        assert_eq!(next_look(&rules, second(7), second(50)), Some(second(108)));
        assert_eq!(next_look(&rules, second(7), second(108)), None);
        assert_eq!(run_duration_seconds(second(7), second(108)), 101);
    }

    #[test]
    fn backlogs_are_means_of_ten_minutes() {
        let numbers = [(second(0), 1000), (second(601), 10), (second(900), 20), (second(1300), 99)];
        assert_eq!(mean(&numbers, second(1200)), Some(15), "what is older or to come does not count");
        assert_eq!(mean(&numbers, second(5000)), None);
    }
}
