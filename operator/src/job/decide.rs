//! What happens to a Job: named checks in order, then what its triggers owe. Pure.

use std::{sync::Arc, time::Duration};

use floe_crds::{
    condition::Reason,
    job_run::{JobRun, RunTrigger},
    text::cut,
    trigger::{Cursor, names},
};
use jiff::Timestamp;

use super::{
    history,
    observe::Observed,
    triggers::{self, Fire, Look},
    validate::{Valid, Verdict},
    watcher::{self, Health},
};
use crate::{clock::whole_seconds, controller::Next, labels};

/// Longest text of a request that the status repeats.
const MAX_ECHO: usize = 253;

/// How far the operator goes with the Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is being deleted: what belongs to it goes with it.
    Delete,
    /// A person works on it: only the status is written.
    Pause,
    /// Someone must change it: no trigger fires.
    Refuse,
    /// Everything.
    Work,
}

/// What happens, and why nothing else does.
#[derive(Clone, Debug)]
pub struct Decision {
    /// How far the operator goes.
    pub act: Act,
    /// The word for machines.
    pub reason: Reason,
    /// What starts next, or why nothing does.
    pub message: String,
    /// What each trigger says; empty if they are not asked.
    pub looks: Vec<Look>,
    /// The run that a person asked for by annotation, and the text of the request.
    pub requested: Option<Fire>,
    /// Runs that are old.
    pub removes: Vec<Arc<JobRun>>,
    /// When to look again.
    pub again: Option<Timestamp>,
}

impl Decision {
    fn only(act: Act, reason: Reason, message: impl Into<String>) -> Self {
        Self { act, reason, message: message.into(), looks: Vec::new(), requested: None, removes: Vec::new(), again: None }
    }

    /// Runs to make, in their order.
    pub fn fires(&self) -> impl Iterator<Item = &Fire> {
        self.requested.iter().chain(self.looks.iter().flat_map(|look| &look.fires))
    }

    /// When to look again.
    pub fn next(&self, now: Timestamp) -> Next {
        let wait = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
        self.again.map_or(Next::Settled, |at| Next::After(wait(at).max(Duration::from_millis(50))))
    }
}

/// What happens to the Job.
pub fn decide(observed: &Observed, verdict: &Verdict) -> Decision {
    if observed.is_deleted() {
        return Decision::only(Act::Delete, Reason::Deleting, "the Job is being deleted");
    }
    if observed.annotation(labels::PAUSED) == Some("true") {
        let message = format!("the annotation {} is set: nothing but the status is written", labels::PAUSED);
        return Decision::only(Act::Pause, Reason::Paused, message);
    }
    let old = history::old(observed);
    let decision = match verdict {
        Verdict::Refused(refusal) => Decision::only(Act::Refuse, refusal.reason, "no run starts before the definition is accepted"),
        Verdict::Valid(valid) => works(observed, valid),
    };
    let again = decision.again.into_iter().chain(old.again).chain(patience(observed, verdict)).min();
    Decision { removes: old.removes, again, ..decision }
}

fn works(observed: &Observed, valid: &Valid) -> Decision {
    let looks = triggers::look(observed, &valid.clocks);
    let requested = requested(observed);
    let again = looks.iter().filter_map(|look| look.again).min();
    let (reason, message) = told(observed, &looks, requested.as_ref());
    Decision { act: Act::Work, reason, message, looks, requested, removes: Vec::new(), again }
}

/// A person asked for a run, also while the Job is suspended. The same text asks for the same run.
fn requested(observed: &Observed) -> Option<Fire> {
    let request = request(observed)?;
    let handled = observed.status().and_then(|status| status.last_handled_update_request.as_deref());
    (handled != Some(request)).then(|| {
        let text = Cursor::from([("request".to_string(), request.to_string())]);
        // No trigger can have this name.
        Fire { name: names::event_run(&observed.key.name, labels::UPDATE_REQUESTED_AT, &text), trigger: RunTrigger::default() }
    })
}

/// The text of the newest request, as the status repeats it.
pub fn request(observed: &Observed) -> Option<&str> {
    observed.annotation(labels::UPDATE_REQUESTED_AT).filter(|text| !text.is_empty()).map(|text| cut(text, MAX_ECHO))
}

/// What starts next.
fn told(observed: &Observed, looks: &[Look], requested: Option<&Fire>) -> (Reason, String) {
    if let Some(fire) = requested {
        return (Reason::Progressing, format!("run {} starts: the annotation {} asks for it", fire.name, labels::UPDATE_REQUESTED_AT));
    }
    let firing = looks.iter().find_map(|look| Some((look, look.fires.first()?)));
    if let Some((look, fire)) = firing {
        return (Reason::Progressing, format!("run {} starts: trigger {} has fired", fire.name, look.status.name));
    }
    if observed.job.spec.suspend {
        return (Reason::Suspended, "spec.suspend is set: no trigger fires".to_string());
    }
    let next = looks.iter().filter_map(|look| Some((look.status.next_fire_time.as_ref()?.0, &look.status.name))).min();
    if let Some((at, trigger)) = next {
        return (Reason::Idle, format!("trigger {trigger} fires at {}", whole_seconds(at)));
    }
    let active: Vec<&str> = looks.iter().filter(|look| look.stop.is_some()).map(|look| look.status.name.as_str()).collect();
    if !active.is_empty() {
        return (Reason::Progressing, "the run gives way to one for the changed definition".to_string());
    }
    if looks.is_empty() {
        return (Reason::Idle, "it has no triggers: people start its runs".to_string());
    }
    (Reason::Idle, "nothing is due: its triggers wait for events".to_string())
}

/// A watcher that starts is looked at again, although nothing may change.
fn patience(observed: &Observed, verdict: &Verdict) -> Option<Timestamp> {
    let wanted = verdict.valid().is_some_and(|valid| valid.watcher.is_some());
    let waits = wanted && watcher::health(observed.watcher.as_deref()) == Health::Starting;
    waits.then(|| observed.now.saturating_add(jiff::SignedDuration::from_secs(60)).ok()).flatten()
}
