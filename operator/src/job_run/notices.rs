//! Tells people by letters and requests: what becomes due is written into the status before the first try, and what tries came to after it.

use floe_crds::{
    job::JobSpec,
    job_run::{Delivery, JobRunStatus},
    run::notify::{RunRef, due, keep, next_look},
};
use jiff::Timestamp;
use kube::ResourceExt;

use super::observe::Observed;
use crate::{
    context::Context,
    events::{EventReason, News, Severity},
    hub::reference,
    key::Key,
};

/// Writes into what was read what tries came to meanwhile.
pub fn fold(ctx: &Context, key: &Key, seen: &mut Observed) {
    let mut status = seen.status.clone();
    let given_up = ctx.deliveries.fold(key, &mut status);
    seen.base = status;
    tell(ctx, seen, &given_up, "was given up");
}

/// Notes in `status` what becomes due because it follows what was read.
pub fn note(ctx: &Context, seen: &Observed, status: &mut JobRunStatus) {
    let Some(spec) = spec(seen) else { return };
    let found = with_run(seen, |run| due(spec, &run, &seen.status, status, seen.now));
    let lost = keep(status, found);
    tell(ctx, seen, &lost, "found no room in the status and is not sent");
}

/// Makes the tries that are due; `status` is what the API server holds. Returns when the next one is.
pub fn start(ctx: &Context, seen: &Observed, status: &JobRunStatus) -> Option<Timestamp> {
    let spec = spec(seen)?;
    with_run(seen, |run| ctx.deliveries.start_due(spec, run, status, seen.now));
    next_look(spec, status, seen.now).filter(|at| *at > seen.now)
}

fn spec(seen: &Observed) -> Option<&JobSpec> {
    seen.snapshot.as_ref().map(|snapshot| &snapshot.spec)
}

fn with_run<R>(seen: &Observed, with: impl FnOnce(RunRef<'_>) -> R) -> R {
    let (namespace, name) = (seen.run.namespace().unwrap_or_default(), seen.run.name_any());
    let uid = seen.run.uid().unwrap_or_default();
    let trigger = &seen.run.spec.trigger;
    with(RunRef { namespace: &namespace, job: &seen.run.spec.job_ref.name, name: &name, uid: &uid, trigger })
}

fn tell(ctx: &Context, seen: &Observed, deliveries: &[Delivery], what: &str) {
    for delivery in deliveries {
        let why = delivery.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
        let note = format!("notification {} of {} {what}{why}", delivery.target, delivery.event);
        let news = News::new(Severity::Warning, EventReason::NotificationFailed, note);
        ctx.recorder.publish(reference(seen.run.as_ref()), news, None);
    }
}
