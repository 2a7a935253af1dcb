//! Labels and annotations that the operator writes and reads.

use std::collections::BTreeMap;

pub use floe_crds::labels::{ATTEMPT, ITERATION, JOB, RUN, SLICE, TASK, TASK_KEY, UPDATE, cut_with_hash, hash, short_hash, value};
use kube::ResourceExt;

/// Label: who made the object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label: which product it belongs to.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// Value of `MANAGED_BY`.
pub const OPERATOR: &str = "floe-operator";
/// Label: name of the Pipeline.
pub const PIPELINE: &str = "floe.dev/pipeline";
/// Label: hash of the storage root that the pod writes.
pub const STORAGE: &str = "floe.dev/storage";

/// Label of a clean-up: which life of its Pipeline it is of.
pub const CLEANUP: &str = "floe.dev/cleanup";
/// Annotation of a clean-up: hash of what it was asked to do.
pub const ASKED: &str = "floe.dev/asked";

/// Annotation: the operator writes nothing but status.
pub const PAUSED: &str = "floe.dev/paused";
/// Annotation: look now, with fresh reads.
pub const RECONCILE_REQUESTED_AT: &str = "floe.dev/reconcile-requested-at";
/// Annotation: start an update, or a run.
pub const UPDATE_REQUESTED_AT: &str = "floe.dev/update-requested-at";
/// Annotation: delete without removing data.
pub const SKIP_CLEANUP: &str = "floe.dev/skip-cleanup";
/// Annotation of a Table: `sql` if the operator made it for a dataset from SQL.
pub const DECLARED_IN: &str = "floe.dev/declared-in";
/// Annotation of a PipelineUpdate: the instant of the schedule that it was made for.
pub const SCHEDULED_AT: &str = "floe.dev/scheduled-at";
/// Annotation of a PipelineUpdate or a run: the operator canceled it for another definition. A cancel without it is a person's.
pub const SUPERSEDED: &str = "floe.dev/superseded";
/// Annotation of a continuous run: hash of the definition that it was made for.
pub const DEFINITION: &str = "floe.dev/definition";
/// Annotation of a request: version of its format.
pub const PROTOCOL: &str = "floe.dev/protocol";

/// Longest value of an annotation that a status repeats.
const MAX_ECHO: usize = 253;

/// True if the annotation `name` of `object` is `true`.
pub fn is_set(object: &impl ResourceExt, name: &str) -> bool {
    object.annotations().get(name).is_some_and(|value| value == "true")
}

/// What `floe.dev/reconcile-requested-at` holds, as the status repeats it.
pub fn reconcile_request(object: &impl ResourceExt) -> Option<&str> {
    object.annotations().get(RECONCILE_REQUESTED_AT).map(|asked| floe_crds::text::cut(asked, MAX_ECHO))
}

/// True if `floe.dev/reconcile-requested-at` holds something else than what was acted on: someone does not trust what we know.
pub fn is_reconcile_requested(object: &impl ResourceExt, handled: Option<&String>) -> bool {
    reconcile_request(object).is_some_and(|asked| handled.is_none_or(|handled| handled != asked))
}

/// The labels of everything that is made for `pipeline`.
pub fn of_pipeline(pipeline: &str) -> BTreeMap<String, String> {
    [(MANAGED_BY, OPERATOR.to_string()), (PART_OF, "floe".to_string()), (PIPELINE, value(pipeline))]
        .map(|(label, value)| (label.to_string(), value))
        .into()
}

/// The labels of everything that is made for `job`.
pub fn of_job(job: &str) -> BTreeMap<String, String> {
    [(MANAGED_BY, OPERATOR.to_string()), (PART_OF, "floe".to_string()), (JOB, value(job))]
        .map(|(label, value)| (label.to_string(), value))
        .into()
}

/// The labels of everything that is made for `run`.
pub fn of_run(job: &str, run: &str) -> BTreeMap<String, String> {
    let mut labels = of_job(job);
    labels.insert(RUN.to_string(), value(run));
    labels
}

/// The labels of everything that is made for an attempt of `update`.
pub fn of_update(pipeline: &str, update: &str) -> BTreeMap<String, String> {
    let mut labels = of_pipeline(pipeline);
    labels.insert(UPDATE.to_string(), value(update));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_of_updates_are_found_by_four_labels() {
        assert_eq!(of_update("bookstore", "bookstore-u7").len(), 4);
    }
}
