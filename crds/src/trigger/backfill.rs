//! The slices of a backfill: which there are, and which of them still need a run.

use jiff::{Span, Timestamp, Zoned, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{
    job_run::{Backfill, BackfillOrder, JobRun, Reprocess},
    labels,
    state::{RunResultState, TerminationCode},
};

/// The most slices of a backfill.
pub const MOST_SLICES: usize = 1000;

/// A piece of time: from its start until just before its end.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slice {
    /// Where it begins.
    pub start: Timestamp,
    /// Where the next one begins.
    pub end: Timestamp,
}

impl Slice {
    /// The value of the label `floe.dev/slice`: slices of other lengths are others.
    pub fn label(&self) -> String {
        let text = |at: Timestamp| at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
        format!("{}_{}", text(self.start), text(self.end))
    }
}

/// Why a backfill has no slices.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackfillError {
    /// No length.
    #[error("backfill.every '{0}' is no length of time above 0 as ISO 8601 says it in whole numbers, e.g. PT1H, P1D, P1M")]
    Every(String),
    /// No such time zone.
    #[error("backfill.timeZone '{0}' is no name of the IANA time zone database, e.g. Europe/Berlin")]
    TimeZone(String),
    /// The wrong way round.
    #[error("backfill.to {to} is not after backfill.from {from}")]
    Empty {
        /// Begin.
        from: Timestamp,
        /// End.
        to: Timestamp,
    },
    /// Too many.
    #[error("backfill has more than {MOST_SLICES} slices of {0} from its begin to its end; make several backfills")]
    TooMany(String),
}

impl BackfillError {
    /// The code of the run.
    pub const fn code(&self) -> TerminationCode {
        TerminationCode::InvalidRunConfiguration
    }
}

/// An earlier run of a slice of the Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlierRun<'a> {
    /// Its label `floe.dev/slice`.
    pub slice: &'a str,
    /// How it ended; none while it runs, or if it was skipped.
    pub result: Option<RunResultState>,
    /// It has not ended yet.
    pub is_active: bool,
}

impl<'a> EarlierRun<'a> {
    /// When `run` was made and what became of it, if it is for a slice.
    fn of(run: &'a JobRun) -> Option<(Timestamp, Self)> {
        let slice = run.metadata.labels.as_ref()?.get(labels::SLICE)?;
        let status = run.status.as_ref();
        let state = status.and_then(|status| status.state);
        let result = status.and_then(|status| status.result_state);
        let made = run.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |at| at.0);
        Some((made, Self { slice, result, is_active: state.is_none_or(|state| !state.is_terminal()) }))
    }
}

impl Backfill {
    /// The slices that need a run in their order, given all runs of the Job.
    pub fn needed_slices<'a>(&self, runs: impl Iterator<Item = &'a JobRun>) -> Result<Vec<Slice>, BackfillError> {
        let mut earlier: Vec<(Timestamp, EarlierRun<'a>)> = runs.filter_map(EarlierRun::of).collect();
        earlier.sort_by_key(|(at, _)| *at);
        let earlier: Vec<EarlierRun<'_>> = earlier.into_iter().map(|(_, run)| run).collect();
        Ok(self.slices_to_run(&self.slices()?, &earlier))
    }

    /// All slices in the order in which they run.
    pub fn slices(&self) -> Result<Vec<Slice>, BackfillError> {
        let (from, to) = (self.from.0, self.to.0);
        let zone = TimeZone::get(&self.time_zone).map_err(|_| BackfillError::TimeZone(self.time_zone.clone()))?;
        if to <= from {
            return Err(BackfillError::Empty { from, to });
        }
        let wrong = || BackfillError::Every(self.every.clone());
        let every = length(&self.every).ok_or_else(wrong)?;
        let begin = from.to_zoned(zone);
        let (mut slices, mut start) = (Vec::new(), from);
        while start < to {
            if slices.len() == MOST_SLICES {
                return Err(BackfillError::TooMany(self.every.clone()));
            }
            // Counted from the begin, months keep their day of month.
            let end = later(&begin, every, slices.len() as i64 + 1).filter(|end| *end > start).ok_or_else(wrong)?;
            slices.push(Slice { start, end });
            start = end;
        }
        if self.order == BackfillOrder::Descending {
            slices.reverse();
        }
        Ok(slices)
    }

    /// The slices among `slices` that need a run, given the runs of earlier backfills of the Job, oldest first.
    pub fn slices_to_run(&self, slices: &[Slice], earlier: &[EarlierRun<'_>]) -> Vec<Slice> {
        let is_wanted = |slice: &&Slice| {
            let label = slice.label();
            let mut runs = earlier.iter().filter(|run| run.slice == label);
            match self.reprocess {
                Reprocess::All => true,
                // Another backfill is at it.
                _ if runs.clone().any(|run| run.is_active) => false,
                Reprocess::Missing => !runs.any(|run| run.result.is_some_and(RunResultState::is_success)),
                Reprocess::Failed => {
                    let ended = runs.filter_map(|run| run.result).next_back();
                    ended.is_some_and(|result| matches!(result, RunResultState::Failed | RunResultState::TimedOut))
                }
            }
        };
        slices.iter().filter(is_wanted).copied().collect()
    }
}

fn length(text: &str) -> Option<Span> {
    // The parser also takes words, signs and fractions.
    if !text.starts_with('P') || text.contains(['+', '-', '.', ',', ' ']) {
        return None;
    }
    text.parse::<Span>().ok().filter(|span| span.is_positive())
}

fn later(begin: &Zoned, every: Span, times: i64) -> Option<Timestamp> {
    begin.checked_add(every.checked_mul(times).ok()?).ok().map(|at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use RunResultState::{Canceled, Failed, Success, SuccessWithFailures, TimedOut};

    fn backfill(from: &str, to: &str, every: &str, zone: &str) -> Backfill {
        Backfill {
            from: Time(from.parse().unwrap()),
            to: Time(to.parse().unwrap()),
            every: every.to_string(),
            time_zone: zone.to_string(),
            order: BackfillOrder::Ascending,
            max_concurrent: 2,
            reprocess: Reprocess::Missing,
        }
    }

    fn starts(backfill: &Backfill) -> Vec<String> {
        backfill.slices().unwrap().iter().map(|slice| slice.start.to_string()).collect()
    }

    #[test]
    fn j45_backfill_slices() {
        let week = backfill("2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z", "P1D", "UTC");
        let slices = week.slices().unwrap();
        assert_eq!((slices.len(), slices[6].start.to_string().as_str()), (7, "2026-01-07T00:00:00Z"));
        assert_eq!(slices[6].end.to_string(), "2026-01-08T00:00:00Z");
        let descending = Backfill { order: BackfillOrder::Descending, ..week.clone() };
        assert_eq!(starts(&descending).first().map(String::as_str), Some("2026-01-07T00:00:00Z"));
        let months = backfill("2026-01-31T00:00:00Z", "2026-05-01T00:00:00Z", "P1M", "UTC");
        assert_eq!(starts(&months), ["2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z", "2026-04-30T00:00:00Z"]);
        let days = backfill("2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z", "P1D", "Europe/Berlin");
        assert_eq!(starts(&days), ["2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"], "days of the calendar");
        let hours = backfill("2026-03-29T00:00:00Z", "2026-03-29T02:30:00Z", "PT1H", "Europe/Berlin");
        assert_eq!(starts(&hours), ["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]);
        assert_eq!(hours.slices().unwrap()[2].end.to_string(), "2026-03-29T03:00:00Z", "the last one is whole");
    }

    #[test]
    fn j45_second_backfill_runs_what_is_missing() {
        let week = backfill("2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z", "P1D", "UTC");
        let slices = week.slices().unwrap();
        let labels: Vec<String> = slices.iter().map(Slice::label).collect();
        assert_eq!(labels[0], "20260101T000000Z_20260102T000000Z");
        let runs = |results: [Option<RunResultState>; 7]| -> Vec<EarlierRun<'_>> {
            labels.iter().zip(results).map(|(slice, result)| EarlierRun { slice, result, is_active: false }).collect()
        };
        let all_done = runs([Some(Success); 7]);
        assert_eq!(week.slices_to_run(&slices, &[]).len(), 7);
        assert_eq!(week.slices_to_run(&slices, &all_done).len(), 0, "nothing is missing");
        let mixed = runs([Some(Success), Some(Failed), Some(SuccessWithFailures), Some(TimedOut), Some(Canceled), None, Some(Success)]);
        assert_eq!(week.slices_to_run(&slices, &mixed), [slices[1], slices[3], slices[4], slices[5]]);
        let failed = Backfill { reprocess: Reprocess::Failed, ..week.clone() };
        assert_eq!(failed.slices_to_run(&slices, &mixed), [slices[1], slices[3]]);
        let again = EarlierRun { slice: &labels[1], result: Some(Success), is_active: false };
        assert_eq!(failed.slices_to_run(&slices, &[mixed.as_slice(), &[again]].concat()), [slices[3]], "the newest end counts");
        let busy = EarlierRun { slice: &labels[0], result: None, is_active: true };
        assert_eq!(week.slices_to_run(&slices, &[busy]).len(), 6);
        let all = Backfill { reprocess: Reprocess::All, ..week };
        assert_eq!(all.slices_to_run(&slices, &all_done).len(), 7);
    }

    #[test]
    fn wrong_backfills_say_what_is_wrong() {
        let problem = |from: &str, to: &str, every: &str, zone: &str| {
            let error = backfill(from, to, every, zone).slices().unwrap_err();
            assert_eq!(error.code().as_str(), "INVALID_RUN_CONFIGURATION");
            error.to_string()
        };
        let (a, b) = ("2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z");
        for every in ["1 day", "P", "PT0S", "P0D", "-P1D", "P-1D", "P1.5D", "PT1.5H", "daily", ""] {
            assert!(problem(a, b, every, "UTC").starts_with(&format!("backfill.every '{every}' is no length")), "{every}");
        }
        assert!(problem(a, b, "P1D", "Mars/Base").contains("timeZone 'Mars/Base'"));
        assert!(problem(b, a, "P1D", "UTC").contains("is not after backfill.from 2026-03-01"));
        assert!(problem(a, b, "PT1H", "UTC").contains("more than 1000 slices of PT1H"));
        assert_eq!(backfill(a, "2026-02-11T16:00:00Z", "PT1H", "UTC").slices().unwrap().len(), 1000);
    }
}
