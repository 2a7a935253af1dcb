//! The instants of a Pipeline's schedule: which is due, which follows, which nobody makes up for. Pure.

use floe_crds::{condition::Reason, state::Cause};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::decide::{Act, Look, Outcome, Start};
use crate::{clock::whole_seconds, labels};

/// How far a schedule is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// The instant that was acted on at this look.
    pub instant: Option<Timestamp>,
    /// The next instant.
    pub next: Option<Timestamp>,
    /// Instants that nobody makes up for any more.
    pub missed: usize,
}

impl Schedule {
    /// How far the schedule is after `act`: an instant is acted on only in its turn.
    pub fn after(look: &Look<'_>, act: &Act) -> Self {
        match act {
            Act::Skip => passed(look),
            Act::Start(start) if start.scheduled_at.is_some() => passed(look),
            Act::Suspend => Self::default(),
            _ => Self { next: announced(look), ..Self::default() },
        }
    }
}

/// The next instant. It is kept in the status: one that is not of this schedule is forgotten, as all are while nothing starts by itself.
fn announced(look: &Look<'_>) -> Option<Timestamp> {
    let table = look.valid.timetable.as_ref()?;
    let told = look.status(|status| status.next_schedule_time.clone()).map(|told| told.0);
    told.filter(|told| table.next(just_before(*told)) == Some(*told)).or_else(|| table.next(look.observed.now))
}

fn just_before(instant: Timestamp) -> Timestamp {
    instant.saturating_sub(SignedDuration::from_millis(1)).unwrap_or(instant)
}

/// The schedule with the instants that have passed, the oldest that is made up for acted on.
fn passed(look: &Look<'_>) -> Schedule {
    let (Some(table), Some(next)) = (&look.valid.timetable, announced(look)) else { return Schedule::default() };
    if next > look.observed.now {
        return Schedule { next: Some(next), ..Schedule::default() };
    }
    let due = table.due(just_before(next), look.observed.now);
    let instant = due.instants.first().copied();
    let follows = instant.or(due.newest).and_then(|passed| table.next(passed));
    Schedule { instant, next: follows, missed: due.dropped }
}

/// An instant of the schedule has come, or is awaited.
pub fn due(look: &Look<'_>) -> Option<Outcome> {
    let schedule = passed(look);
    let Some(instant) = schedule.instant else {
        let next = schedule.next?;
        let message = format!("the schedule starts the next update at {}", whole_seconds(next));
        let act = if schedule.missed > 0 { Act::Skip } else { Act::Wait };
        return Some(Outcome::new(act, Reason::Idle, message).until(next));
    };
    let made_for = instant.to_string();
    let mut made = look.observed.updates.iter();
    if made.any(|update| update.annotations().get(labels::SCHEDULED_AT).is_some_and(|at| *at == made_for)) {
        return Some(Outcome::new(Act::Skip, Reason::Progressing, format!("the update for {made_for} is there already")));
    }
    let start = Start { spec: look.spec(Cause::ApiCall), scheduled_at: Some(instant), replaces: Vec::new() };
    Some(Outcome::new(Act::Start(Box::new(start)), Reason::Progressing, "an update starts: an instant of the schedule has come"))
}
