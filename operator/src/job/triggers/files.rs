//! Files that the watcher has seen come.

use floe_crds::{
    job::FileArrival,
    job_run::TriggerType,
    run::detail,
    trigger::{
        files::{self, Seen},
        names,
        timers::Timers,
    },
};

use super::{Look, View};

/// The run that is owed for files that have come.
pub fn look(view: View<'_>, trigger: &FileArrival) -> Look {
    // Before its first look the watcher knows nothing.
    let watch = view.observed.watch(&view.trigger.name).filter(|watch| watch.since.is_some() || watch.error.is_some());
    let Some(watch) = watch else { return view.unchanged() };
    if watch.since.is_none() {
        let mut look = view.unchanged();
        look.status.message.clone_from(&watch.error);
        return look;
    }
    let timers = Timers {
        min_time_between_triggers_seconds: trigger.min_time_between_triggers_seconds,
        wait_after_last_change_seconds: trigger.wait_after_last_change_seconds,
    };
    let found = files::look(timers, &view.before.cursor, Seen::from(watch), view.last_fire(), view.is_suspended, view.observed.now);
    let (look, changed) = view.of_events(found, watch.error.clone());
    if changed.is_none() {
        return look;
    }
    let mut fire = view.run(TriggerType::FileArrival, names::event_run(&view.observed.key.name, &view.trigger.name, &look.status.cursor));
    fire.trigger.detail.insert(detail::LOCATION.to_string(), trigger.uri.clone());
    look.fires(fire)
}
