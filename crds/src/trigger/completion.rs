//! Ends of runs of other Jobs as a trigger.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::{Cursor, timers::Look};
use crate::{job::CompletionStatus, state::RunResultState};

/// So many Jobs may follow one another by their ends.
pub const MOST_JOBS: usize = 10;
/// Ends that are remembered one by one: they may become known in another order than they came.
const MOST_REMEMBERED: usize = 24;
const REMEMBERED: SignedDuration = SignedDuration::from_mins(10);

/// A run of another Job that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedRun {
    /// Its Job.
    pub job: String,
    /// Its name.
    pub run: String,
    /// When it ended, after its newest repair.
    pub ended_at: Timestamp,
    /// How it ended; none if it was skipped.
    pub result: Option<RunResultState>,
    /// How it had ended before its newest repair.
    pub before_repair: Option<RunResultState>,
    /// The Jobs whose ends led to it, oldest first.
    pub parents: Vec<String>,
}

impl EndedRun {
    /// True if this end counts for `if_status`. A repair counts only if it changed the result.
    pub fn counts(&self, if_status: CompletionStatus) -> bool {
        let is_good = |result: RunResultState| result.is_success();
        let is_bad = |result: RunResultState| matches!(result, RunResultState::Failed | RunResultState::TimedOut);
        let Some(result) = self.result else { return false };
        let is_same = |before: RunResultState| (is_good(before), is_bad(before)) == (is_good(result), is_bad(result));
        if self.before_repair.is_some_and(is_same) {
            return false;
        }
        match if_status {
            CompletionStatus::Success => is_good(result),
            CompletionStatus::Failed => is_bad(result),
            CompletionStatus::Done => true,
        }
    }

    /// The Jobs whose ends led to a run that this end starts: for `detail.parents`. None if there are too many.
    pub fn chain(&self) -> Option<Vec<String>> {
        let chain: Vec<String> = self.parents.iter().chain([&self.job]).cloned().collect();
        (chain.len() < MOST_JOBS).then_some(chain)
    }

    /// This end, repairs apart, as a cursor remembers it.
    fn key(&self) -> String {
        format!("{}@{}", self.run, self.ended_at.as_second())
    }
}

/// What was found, and the runs whose chain is too long to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// At most one fire; look again after it.
    pub look: Look<EndedRun>,
    /// Ends that count and start nothing, by the name of the run: warn of them.
    pub too_long: Vec<String>,
}

/// What the ends of runs of `jobs` owe. A Job that is not in `cursor` is looked at for the first time: only later ends count.
pub fn look(
    if_status: CompletionStatus,
    jobs: &[String],
    cursor: &Cursor,
    ended: &[EndedRun],
    is_suspended: bool,
    now: Timestamp,
) -> Found {
    let mark = |job: &String| cursor.get(job).map_or_else(|| Mark::first(job, ended, now), |text| Mark::read(text, now));
    let mut marks: BTreeMap<&str, Mark> = jobs.iter().map(|job| (job.as_str(), mark(job))).collect();
    let mut ends: Vec<&EndedRun> = ended.iter().filter(|end| marks.get(end.job.as_str()).is_some_and(|mark| mark.is_new(end))).collect();
    ends.sort_by_key(|end| (end.ended_at, &end.run));
    let (mut fires, mut too_long) = (None, Vec::new());
    for end in ends {
        if let Some(mark) = marks.get_mut(end.job.as_str()) {
            mark.remember(end);
        }
        if is_suspended || !end.counts(if_status) {
            continue;
        }
        if end.chain().is_some() {
            fires = Some(end.clone());
            break;
        }
        too_long.push(end.run.clone());
    }
    let cursor = marks.into_iter().map(|(job, mark)| (job.to_string(), mark.text(ended, now))).collect();
    let look = match fires {
        Some(changed) => Look::Fires { cursor, changed },
        None => Look::Quiet { cursor },
    };
    Found { look, too_long }
}

/// What was acted on of a Job: all ends until a time, and some after it.
struct Mark {
    until: Timestamp,
    keys: BTreeSet<String>,
}

impl Mark {
    /// All ends of `job` that are known now have been. Ends are told in whole seconds, so one of this second may come yet.
    fn first(job: &str, ended: &[EndedRun], now: Timestamp) -> Self {
        let until = Timestamp::from_second(now.as_second().saturating_sub(1)).unwrap_or(now);
        let mut mark = Self { until, keys: BTreeSet::new() };
        for end in ended.iter().filter(|end| end.job == job && end.ended_at > until) {
            mark.remember(end);
        }
        mark
    }

    fn read(text: &str, now: Timestamp) -> Self {
        let mut words = text.split(' ');
        let until = words.next().and_then(|word| word.parse().ok()).unwrap_or(now);
        Self { until, keys: words.map(ToString::to_string).collect() }
    }

    fn is_new(&self, end: &EndedRun) -> bool {
        end.ended_at > self.until && !self.keys.contains(&key_hash(end))
    }

    fn remember(&mut self, end: &EndedRun) {
        self.keys.insert(key_hash(end));
    }

    /// Ends that are long ago, or too many, are before the mark.
    fn text(mut self, ended: &[EndedRun], now: Timestamp) -> String {
        let mut known: Vec<_> = ended.iter().filter(|end| end.ended_at > self.until && self.keys.contains(&key_hash(end))).collect();
        known.sort_by_key(|end| end.ended_at);
        let long_ago = now.saturating_sub(REMEMBERED).unwrap_or(now);
        let mut known = VecDeque::from(known);
        while known.front().is_some_and(|oldest| known.len() > MOST_REMEMBERED || oldest.ended_at <= long_ago) {
            self.until = known.pop_front().map_or(self.until, |oldest| oldest.ended_at);
        }
        let keys = known.into_iter().filter(|end| end.ended_at > self.until).map(key_hash);
        [self.until.to_string()].into_iter().chain(keys).collect::<Vec<_>>().join(" ")
    }
}

fn key_hash(end: &EndedRun) -> String {
    super::names::hash(&[&end.key()])
}

/// Jobs that start one another in a circle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cycle(Vec<String>);

impl Cycle {
    /// True if the Job is part of it.
    pub fn contains(&self, job: &str) -> bool {
        self.0.iter().any(|name| name == job)
    }
}

impl std::fmt::Display for Cycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} → {}", self.0.join(" → "), self.0.first().map(String::as_str).unwrap_or_default())
    }
}

/// The shortest circle through each name of `(name, names whose end it waits for)`, each circle once, beginning with its first name.
pub fn cycles(upstreams: &[(String, Vec<String>)]) -> Vec<Cycle> {
    let mut followers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, before) in upstreams {
        for upstream in before {
            followers.entry(upstream).or_default().insert(name);
        }
    }
    // What nobody waits for, or what waits for nobody, is in no circle.
    loop {
        let waiting: BTreeSet<&str> = followers.values().flatten().copied().collect();
        let before = followers.values().map(BTreeSet::len).sum::<usize>();
        followers.retain(|name, _| waiting.contains(name));
        let names: BTreeSet<&str> = followers.keys().copied().collect();
        for next in followers.values_mut() {
            next.retain(|name| names.contains(name));
        }
        followers.retain(|_, next| !next.is_empty());
        if followers.values().map(BTreeSet::len).sum::<usize>() == before {
            break;
        }
    }
    let found: BTreeSet<Cycle> = followers.keys().filter_map(|name| shortest(name, &followers)).collect();
    found.into_iter().collect()
}

fn shortest(from: &str, followers: &BTreeMap<&str, BTreeSet<&str>>) -> Option<Cycle> {
    let mut reached: BTreeMap<&str, &str> = BTreeMap::new();
    let mut open = VecDeque::from([from]);
    while let Some(name) = open.pop_front() {
        for next in followers.get(name).into_iter().flatten() {
            if *next == from {
                return Some(circle(from, name, &reached));
            }
            if !reached.contains_key(next) {
                reached.insert(next, name);
                open.push_back(next);
            }
        }
    }
    None
}

fn circle(from: &str, last: &str, reached: &BTreeMap<&str, &str>) -> Cycle {
    let mut names: Vec<String> =
        std::iter::successors(Some(last), |name| reached.get(name).copied().filter(|_| *name != from)).map(ToString::to_string).collect();
    names.reverse();
    let first = names.iter().enumerate().min_by_key(|(_, name)| *name).map_or(0, |(index, _)| index);
    names.rotate_left(first);
    Cycle(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use RunResultState::{Canceled, Failed, Success, SuccessWithFailures, TimedOut};

    fn second(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn end(run: &str, ended_at: i64, result: RunResultState) -> EndedRun {
        let (job, run) = ("up".to_string(), run.to_string());
        EndedRun { job, run, ended_at: second(ended_at), result: Some(result), before_repair: None, parents: Vec::new() }
    }

    fn jobs() -> Vec<String> {
        vec!["up".to_string()]
    }

    /// Looks until nothing fires any more.
    fn fires(if_status: CompletionStatus, cursor: &mut Cursor, ended: &[EndedRun], now: i64) -> Vec<String> {
        let mut fired = Vec::new();
        loop {
            match look(if_status, &jobs(), cursor, ended, false, second(now)).look {
                Look::Fires { cursor: next, changed } => {
                    fired.push(changed.run);
                    *cursor = next;
                }
                Look::Quiet { cursor: next } | Look::Waiting { cursor: next, .. } => {
                    *cursor = next;
                    return fired;
                }
            }
        }
    }

    #[test]
    fn j43_which_end_fires() {
        let table = [
            (Some(Success), [true, false, true]),
            (Some(SuccessWithFailures), [true, false, true]),
            (Some(Failed), [false, true, true]),
            (Some(TimedOut), [false, true, true]),
            (Some(Canceled), [false, false, true]),
            (None, [false, false, false]),
        ];
        for (result, expected) in table {
            let run = EndedRun { result, ..end("a", 1, Success) };
            let counts = [CompletionStatus::Success, CompletionStatus::Failed, CompletionStatus::Done].map(|status| run.counts(status));
            assert_eq!(counts, expected, "{result:?}");
        }
        let repaired = |before, result| EndedRun { before_repair: Some(before), ..end("a", 1, result) };
        assert!(repaired(Failed, Success).counts(CompletionStatus::Success), "a repair to success fires");
        assert!(!repaired(Failed, TimedOut).counts(CompletionStatus::Failed), "the result is as bad as before");
        assert!(!repaired(Success, SuccessWithFailures).counts(CompletionStatus::Success));
    }

    #[test]
    fn j43_an_end_within_the_second_of_the_first_look_fires() {
        let (mut cursor, now) = (Cursor::new(), second(10) + SignedDuration::from_millis(154));
        let (before, after) = (end("a", 10, Success), end("b", 10, Success));
        let first = look(CompletionStatus::Done, &jobs(), &cursor, std::slice::from_ref(&before), false, now);
        let Look::Quiet { cursor: known } = first.look else { panic!("{first:?}") };
        cursor.clone_from(&known);
        assert_eq!(fires(CompletionStatus::Done, &mut cursor, &[before.clone(), after.clone()], 11), ["b"]);
        assert_eq!(fires(CompletionStatus::Done, &mut cursor, &[before, after], 12), [""; 0]);
    }

    #[test]
    fn j43_each_end_fires_once() {
        let status = CompletionStatus::Failed;
        let mut cursor = Cursor::new();
        let old = end("a", 1, Failed);
        assert_eq!(fires(status, &mut cursor, std::slice::from_ref(&old), 10), [""; 0], "the first look fires nothing");
        let later = [old.clone(), end("c", 30, Failed), end("d", 30, Success)];
        assert_eq!(fires(status, &mut cursor, &later, 40), ["c"]);
        assert_eq!(fires(status, &mut cursor, &later, 41), [""; 0]);
        let late_news = [later.as_slice(), &[end("b", 20, Failed)]].concat();
        assert_eq!(fires(status, &mut cursor, &late_news, 42), ["b"], "known later, though it ended before");
        assert_eq!(fires(status, &mut cursor, &late_news, 5000), [""; 0]);
        assert_eq!(cursor["up"].split(' ').count(), 1, "long ago: {cursor:?}");
        let repaired = EndedRun { before_repair: Some(Failed), ..end("c", 6000, Success) };
        assert_eq!(fires(CompletionStatus::Success, &mut cursor, &[repaired], 6001), ["c"]);
        let many: Vec<_> = (0..40).map(|n| end(&format!("m{n:02}"), 7000 + n, Failed)).collect();
        assert_eq!(fires(status, &mut cursor, &many, 7100).len(), 40);
        assert_eq!(fires(status, &mut cursor, &many, 7101).len(), 0);
        assert!(cursor["up"].len() <= 512, "{cursor:?}");
    }

    #[test]
    fn j40_ends_while_suspended_are_forgotten() {
        let baseline = Cursor::from([("up".to_string(), second(0).to_string())]);
        let ended = [end("a", 5, Failed)];
        let Look::Quiet { mut cursor } = look(CompletionStatus::Done, &jobs(), &baseline, &ended, true, second(6)).look else { panic!() };
        assert_eq!(fires(CompletionStatus::Done, &mut cursor, &ended, 7), [""; 0]);
        let next = [ended.as_slice(), &[end("b", 8, Failed)]].concat();
        assert_eq!(fires(CompletionStatus::Done, &mut cursor, &next, 9), ["b"]);
    }

    #[test]
    fn a_chain_of_ten_jobs_is_the_longest() {
        let with_parents = |count: usize| EndedRun { parents: (0..count).map(|n| format!("j{n}")).collect(), ..end("a", 5, Success) };
        assert_eq!(with_parents(1).chain().unwrap(), ["j0", "up"]);
        assert_eq!(with_parents(8).chain().map(|chain| chain.len()), Some(9), "the run that it starts is of the tenth job");
        assert_eq!(with_parents(9).chain(), None);
        let baseline = Cursor::from([("up".to_string(), second(0).to_string())]);
        let found = look(CompletionStatus::Done, &jobs(), &baseline, &[with_parents(9)], false, second(6));
        assert!(matches!(found.look, Look::Quiet { .. }));
        assert_eq!(found.too_long, ["a"]);
    }

    #[test]
    fn circles_are_found_at_their_shortest() {
        let texts = |edges: &[(&str, &[&str])]| {
            let of = |(name, before): &(&str, &[&str])| ((*name).to_string(), before.iter().map(ToString::to_string).collect());
            let edges: Vec<(String, Vec<String>)> = edges.iter().map(of).collect();
            cycles(&edges).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(texts(&[("b", &["a"]), ("c", &["a", "b"])]), [""; 0]);
        assert_eq!(texts(&[("a", &["b"]), ("b", &["a"])]), ["a → b → a"]);
        assert_eq!(texts(&[("a", &["a"]), ("b", &["a"])]), ["a → a"]);
        let two = texts(&[("a", &["c"]), ("b", &["a"]), ("c", &["b", "a"]), ("x", &["y", "c"]), ("y", &["x"])]);
        assert_eq!(two, ["a → b → c → a", "a → c → a", "x → y → x"]);
        let ring: Vec<(String, Vec<String>)> = (0..300).map(|n| (format!("j{n:03}"), vec![format!("j{:03}", (n + 299) % 300)])).collect();
        let found = cycles(&ring);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("j123") && found[0].to_string().starts_with("j000 → j001 → "));
    }
}
