//! Ends of runs of other Jobs: each that counts has a run of its own.

use floe_crds::{
    job::JobCompletion,
    job_run::TriggerType,
    run::detail,
    trigger::{
        Cursor,
        completion::{self, EndedRun},
        names, timers,
    },
};

use super::{Fire, Look, View};
use crate::job::observe::Upstream;

/// Runs that one look makes; the others come with the next.
const MOST_FIRES: usize = 20;

/// The runs that are owed for ends.
pub fn look(view: View<'_>, trigger: &JobCompletion) -> Look {
    let jobs: Vec<String> = trigger.jobs.iter().map(|job| job.name.clone()).collect();
    let ended: Vec<EndedRun> = view.observed.upstream.iter().map(|upstream| upstream.end.clone()).collect();
    let (mut look, mut cursor) = (Look::default(), view.before.cursor.clone());
    let mut last = None;
    loop {
        let found = completion::look(trigger.if_status, &jobs, &cursor, &ended, view.is_suspended, view.observed.now);
        look.too_long.extend(found.too_long);
        let is_full = look.fires.len() == MOST_FIRES;
        match &found.look {
            timers::Look::Fires { .. } if is_full => {
                look.again = Some(view.observed.now);
                break;
            }
            timers::Look::Fires { cursor: seen, changed } => {
                look.fires.push(fire(view, changed));
                cursor.clone_from(seen);
                last = Some(found.look);
            }
            timers::Look::Quiet { .. } | timers::Look::Waiting { .. } => {
                // The ends that were passed over are behind the mark, too.
                last = Some(match last {
                    Some(timers::Look::Fires { changed, .. }) => timers::Look::Fires { cursor: cursor_of(found.look), changed },
                    _ => found.look,
                });
                break;
            }
        }
    }
    let (fires, again, too_long) = (look.fires, look.again, look.too_long);
    let (mut look, _) = match last {
        Some(last) => view.of_events(last, None),
        None => (view.unchanged(), None),
    };
    if let Some(newest) = fires.last() {
        look.status.last_run = Some(newest.name.clone());
    }
    Look { fires, again, too_long, ..look }
}

fn cursor_of<T>(look: timers::Look<T>) -> Cursor {
    match look {
        timers::Look::Quiet { cursor } | timers::Look::Waiting { cursor, .. } | timers::Look::Fires { cursor, .. } => cursor,
    }
}

/// The name stands for this end alone: what the status keeps of ends depends on when it is looked at.
fn fire(view: View<'_>, end: &EndedRun) -> Fire {
    let this = Cursor::from([(end.job.clone(), format!("{}@{}", end.run, end.ended_at.as_second()))]);
    let mut fire = view.run(TriggerType::JobCompletion, names::event_run(&view.observed.key.name, &view.trigger.name, &this));
    let upstream: Option<&Upstream> = view.observed.upstream.iter().find(|upstream| upstream.end == *end);
    let mut tell = |key: &str, value: String| {
        fire.trigger.detail.insert(key.to_string(), value);
    };
    tell(detail::UPSTREAM_JOB, end.job.clone());
    tell(detail::UPSTREAM_RUN, end.run.clone());
    tell(detail::UPSTREAM_RUN_ID, upstream.map(|upstream| upstream.uid.clone()).unwrap_or_default());
    tell(detail::UPSTREAM_RESULT, end.result.map(|result| result.as_str().to_string()).unwrap_or_default());
    tell(detail::PARENTS, end.chain().unwrap_or_default().join(","));
    fire
}
