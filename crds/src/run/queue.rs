//! Which runs of a Job may start, which wait and which never start. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::{job::Queue, job_run::QueueReason, state::TerminationCode};

/// A run that wants to start, or a finished one that wants to be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it was made.
    pub created: Timestamp,
    /// Since when it is queued; none if it was not looked at yet.
    pub queued_since: Option<Timestamp>,
}

/// Places that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Active runs of the Job.
    pub active: usize,
    /// `maxConcurrentRuns` of the Job.
    pub max_concurrent_runs: i32,
    /// Runs that the operator may start besides, over all Jobs.
    pub free_of_operator: usize,
    /// Runs that may start besides in the namespace; none = no limit.
    pub free_of_namespace: Option<usize>,
}

/// What becomes of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It starts.
    Start,
    /// It waits.
    Wait {
        /// For what.
        reason: QueueReason,
        /// Then it is skipped.
        until: Timestamp,
    },
    /// It never starts; a repair is rejected.
    Skip {
        /// Why.
        code: TerminationCode,
        /// The same for people.
        message: String,
    },
}

impl Places {
    fn of_job(&self) -> usize {
        usize::try_from(self.max_concurrent_runs).unwrap_or(0)
    }

    fn reason_to_wait(&self) -> Option<QueueReason> {
        if self.active >= self.of_job() {
            Some(QueueReason::MaxConcurrentRuns)
        } else if self.free_of_operator == 0 {
            Some(QueueReason::ActiveRunsLimit)
        } else {
            (self.free_of_namespace == Some(0)).then_some(QueueReason::NamespaceLimit)
        }
    }

    fn take(&mut self) {
        self.active += 1;
        self.free_of_operator = self.free_of_operator.saturating_sub(1);
        self.free_of_namespace = self.free_of_namespace.map(|free| free.saturating_sub(1));
    }
}

/// When a run is skipped that waits since `since`.
pub fn queued_until(queue: &Queue, since: Timestamp) -> Timestamp {
    let wait = SignedDuration::from_secs(i64::from(queue.max_wait_seconds));
    since.saturating_add(wait).unwrap_or(since)
}

/// What becomes of all runs of a Job that are not active and have not ended; first in, first out by creation, then name.
pub fn admit<'a>(candidates: &[Candidate<'a>], mut places: Places, queue: &Queue, now: Timestamp) -> Vec<(&'a str, Admission)> {
    let mut order = candidates.to_vec();
    order.sort_by_key(|run| (run.created, run.name));
    let mut admissions: Vec<(&Candidate<'a>, Admission)> = order.iter().map(|run| (run, place(run, &mut places, queue, now))).collect();
    // Those that wait already keep their places in the queue.
    let is_waiting = |(run, admission): &&(&Candidate<'_>, Admission)| run.queued_since.is_some() && is_wait(admission);
    let mut waiting = admissions.iter().filter(is_waiting).count();
    for (_, admission) in admissions.iter_mut().filter(|(run, admission)| run.queued_since.is_none() && is_wait(admission)) {
        match refusal(queue, waiting, places.max_concurrent_runs) {
            Some(skip) => *admission = skip,
            None => waiting += 1,
        }
    }
    admissions.into_iter().map(|(run, admission)| (run.name, admission)).collect()
}

fn is_wait(admission: &Admission) -> bool {
    matches!(admission, Admission::Wait { .. })
}

fn place(run: &Candidate<'_>, places: &mut Places, queue: &Queue, now: Timestamp) -> Admission {
    let until = queued_until(queue, run.queued_since.unwrap_or(now));
    if places.max_concurrent_runs <= 0 && run.queued_since.is_none() {
        let message = "the job starts no runs: maxConcurrentRuns is 0".to_string();
        return Admission::Skip { code: TerminationCode::MaxConcurrentRunsExceeded, message };
    }
    if until <= now {
        let message = format!("not started within {} s (queue.maxWaitSeconds)", queue.max_wait_seconds);
        return Admission::Skip { code: TerminationCode::QueueTimeout, message };
    }
    if let Some(reason) = places.reason_to_wait() {
        return Admission::Wait { reason, until };
    }
    places.take();
    Admission::Start
}

fn refusal(queue: &Queue, waiting: usize, max_concurrent_runs: i32) -> Option<Admission> {
    if !queue.enabled {
        let message =
            format!("no run may start now (maxConcurrentRuns is {max_concurrent_runs}), and the job has no queue (queue.enabled)");
        return Some(Admission::Skip { code: TerminationCode::MaxConcurrentRunsExceeded, message });
    }
    let most = usize::try_from(queue.max_length).unwrap_or(0);
    (waiting >= most).then(|| Admission::Skip {
        code: TerminationCode::MaxJobQueueSizeExceeded,
        message: format!("{waiting} runs of the job wait already (queue.maxLength is {most})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: Queue = Queue { enabled: true, max_length: 100, max_wait_seconds: 600 };
    const PLACES: Places = Places { active: 0, max_concurrent_runs: 2, free_of_operator: 1000, free_of_namespace: None };

    fn second(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn new(name: &str, created: i64) -> Candidate<'_> {
        Candidate { name, created: second(created), queued_since: None }
    }

    fn queued(name: &str, created: i64) -> Candidate<'_> {
        Candidate { queued_since: Some(second(created)), ..new(name, created) }
    }

    /// `name:word` in order.
    fn words(candidates: &[Candidate<'_>], places: Places, queue: &Queue, now: i64) -> Vec<String> {
        let word = |admission: &Admission| match admission {
            Admission::Start => "start".to_string(),
            Admission::Wait { reason, until } => format!("{reason:?}@{}", until.as_second()),
            Admission::Skip { code, .. } => code.to_string(),
        };
        admit(candidates, places, queue, second(now)).iter().map(|(name, admission)| format!("{name}:{}", word(admission))).collect()
    }

    #[test]
    fn j34_max_concurrent_and_queue() {
        let five = [new("c", 10), new("b", 10), new("a", 12), new("e", 11), new("d", 10)];
        let (wait, start) = ("MaxConcurrentRuns@620", "start");
        let expected = [("b", start), ("c", start), ("d", wait), ("e", wait), ("a", wait)].map(|(name, word)| format!("{name}:{word}"));
        assert_eq!(words(&five, PLACES, &QUEUE, 20), expected);
        let waiting = [queued("e", 11), queued("a", 12), queued("d", 10)];
        let one_left = Places { active: 1, ..PLACES };
        assert_eq!(words(&waiting, one_left, &QUEUE, 30), ["d:start", "e:MaxConcurrentRuns@611", "a:MaxConcurrentRuns@612"]);
        assert_eq!(words(&[new("z", 1), queued("d", 10)], one_left, &QUEUE, 30), ["z:start", "d:MaxConcurrentRuns@610"]);
    }

    #[test]
    fn j35_queue_limits() {
        let full = Places { active: 2, ..PLACES };
        let off = Queue { enabled: false, ..QUEUE };
        assert_eq!(words(&[new("a", 1)], full, &off, 2), ["a:MAX_CONCURRENT_RUNS_EXCEEDED"]);
        assert_eq!(words(&[new("a", 1)], PLACES, &off, 2), ["a:start"]);
        assert_eq!(words(&[queued("a", 1)], full, &off, 2), ["a:MaxConcurrentRuns@601"], "it waits already");
        let short = Queue { max_length: 1, ..QUEUE };
        let two = [queued("b", 5), new("a", 1), new("c", 6)];
        let expected = ["a:MAX_JOB_QUEUE_SIZE_EXCEEDED", "b:MaxConcurrentRuns@605", "c:MAX_JOB_QUEUE_SIZE_EXCEEDED"];
        assert_eq!(words(&two, full, &short, 7), expected);
        assert_eq!(words(&[queued("a", 1), queued("b", 2)], PLACES, &QUEUE, 601), ["a:QUEUE_TIMEOUT", "b:start"]);
        let zero = Places { max_concurrent_runs: 0, ..PLACES };
        assert_eq!(words(&[new("a", 1), queued("b", 2)], zero, &QUEUE, 3), ["a:MAX_CONCURRENT_RUNS_EXCEEDED", "b:MaxConcurrentRuns@602"]);
        let messages: Vec<_> = admit(&two, full, &short, second(7)).into_iter().map(|(_, admission)| admission).collect();
        let Admission::Skip { message, .. } = &messages[0] else { panic!("{messages:?}") };
        assert_eq!(message, "1 runs of the job wait already (queue.maxLength is 1)");
    }

    #[test]
    fn limits_of_operator_and_namespace_hold_runs_back() {
        let two = [new("a", 1), new("b", 2)];
        let wide = Places { max_concurrent_runs: 10, ..PLACES };
        let operator = Places { free_of_operator: 1, ..wide };
        assert_eq!(words(&two, operator, &QUEUE, 3), ["a:start", "b:ActiveRunsLimit@603"]);
        let namespace = Places { free_of_namespace: Some(1), ..wide };
        assert_eq!(words(&two, namespace, &QUEUE, 3), ["a:start", "b:NamespaceLimit@603"]);
    }
}
