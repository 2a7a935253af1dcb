//! What each trigger of a Job owes at a moment: runs to make, a run to stop, and what its status keeps of it. Pure.

mod clock;
mod completion;
mod continuous;
mod files;
mod tables;

use std::{collections::BTreeMap, sync::Arc};

use floe_crds::{
    job::{Trigger, TriggerKind, TriggerStatus},
    job_run::{JobRun, RunTrigger, TriggerType},
    text::cut,
    trigger::{clock::Clock, timers},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::observe::Observed;

/// Longest message of a trigger in the status, in bytes.
const MESSAGE_BYTES: usize = 1000;

/// A trigger, and what is known of it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The Job, its runs, and what its triggers look at.
    pub observed: &'a Observed,
    /// The trigger.
    pub trigger: &'a Trigger,
    /// What the status keeps of it.
    pub before: &'a TriggerStatus,
    /// The Job or the trigger is suspended.
    pub is_suspended: bool,
}

/// A run that is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fire {
    /// Its name: the same at each look for the same cause.
    pub name: String,
    /// What starts it.
    pub trigger: RunTrigger,
}

/// What a trigger says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// What the status keeps once the runs are made.
    pub status: TriggerStatus,
    /// Runs to make, oldest first.
    pub fires: Vec<Fire>,
    /// A run that shall stop, so that another one can follow.
    pub stop: Option<Arc<JobRun>>,
    /// When to look again.
    pub again: Option<Timestamp>,
    /// Instants that nobody makes up for.
    pub missed: usize,
    /// Runs of other Jobs whose ends start nothing because too many Jobs led to them.
    pub too_long: Vec<String>,
}

/// What every trigger of the Job says, in the order of the spec. `clocks` are those of the triggers by the clock.
pub fn look(observed: &Observed, clocks: &BTreeMap<String, Clock>) -> Vec<Look> {
    let known = observed.status().map(|status| status.triggers.as_slice()).unwrap_or_default();
    let triggers = observed.job.spec.triggers.iter();
    triggers
        .map(|trigger| {
            let fresh = TriggerStatus { name: trigger.name.clone(), ..TriggerStatus::default() };
            let before = known.iter().find(|status| status.name == trigger.name).unwrap_or(&fresh);
            let is_suspended = observed.job.spec.suspend || trigger.suspend;
            let view = View { observed, trigger, before, is_suspended };
            match (trigger.kind(), clocks.get(&trigger.name)) {
                (Some(TriggerKind::Schedule(_) | TriggerKind::Periodic(_)), Some(clock)) => clock::look(view, clock),
                (Some(TriggerKind::FileArrival(files)), _) => files::look(view, files),
                (Some(TriggerKind::TableUpdate(tables)), _) => tables::look(view, tables),
                (Some(TriggerKind::JobCompletion(completion)), _) => completion::look(view, completion),
                (Some(TriggerKind::Continuous(_)), _) => continuous::look(view),
                (None | Some(TriggerKind::Schedule(_) | TriggerKind::Periodic(_)), _) => view.unchanged(),
            }
        })
        .collect()
}

impl View<'_> {
    /// Nothing is known that was not known before.
    fn unchanged(self) -> Look {
        Look { status: TriggerStatus { message: None, ..self.before.clone() }, again: None, ..Look::default() }
    }

    fn last_fire(self) -> Option<Timestamp> {
        self.before.last_fire_time.as_ref().map(|at| at.0)
    }

    fn run(self, trigger_type: TriggerType, name: String) -> Fire {
        let trigger = RunTrigger { trigger_type, name: self.trigger.name.clone(), ..RunTrigger::default() };
        Fire { name, trigger }
    }

    /// What an event trigger says, and what has changed if it fires.
    fn of_events<T>(self, found: timers::Look<T>, message: Option<String>) -> (Look, Option<T>) {
        let now = self.observed.now;
        let mut status = self.before.clone();
        (status.next_fire_time, status.pending_since) = (None, None);
        status.message = message.map(|message| cut(&message, MESSAGE_BYTES).to_string());
        let mut again = None;
        let (cursor, changed) = match found {
            timers::Look::Quiet { cursor } => (cursor, None),
            timers::Look::Waiting { cursor, pending } => {
                again = Some(pending.fires_at);
                status.next_fire_time = Some(Time(pending.fires_at));
                status.pending_since = self.before.pending_since.clone().or(Some(Time(now)));
                (cursor, None)
            }
            timers::Look::Fires { cursor, changed } => {
                status.last_fire_time = Some(Time(now));
                (cursor, Some(changed))
            }
        };
        status.cursor = cursor;
        (Look { status, again, ..Look::default() }, changed)
    }
}

impl Look {
    /// The same, and this run is owed.
    fn fires(mut self, fire: Fire) -> Self {
        self.status.last_run = Some(fire.name.clone());
        self.fires.push(fire);
        self
    }
}
