//! Who is woken by what: the one table of dependencies between kinds and controllers.

use std::collections::{HashMap, HashSet};

use floe_crds::{
    condition::{self, ConditionType},
    job::Job,
    job_run::JobRun,
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    run_report::{RunReport, TableReport},
    state::RunState,
    table::Table,
};
use k8s_openapi::api::{apps::v1::Deployment, batch::v1 as batch, core::v1 as core};
use kube::{Resource, ResourceExt, core::PartialObjectMeta};

use crate::{
    attempt::end,
    cache::Change,
    caches::{
        by_label, calling_job, chain_of, job_of_run, looking_at_job, looking_at_table, naming_pipeline, owners_of_report,
        pipeline_of_table, pipeline_of_update, runs_of, sharing_storage, update_of_report,
    },
    context::Context,
    dataset,
    key::Key,
    labels, named,
    queue::Wake,
    updates::is_terminal,
};

/// A changed definition ends a back-off, anything else does not.
fn wake_for<K: ResourceExt>(change: &Change<K>) -> Wake {
    if change.differs(definition) { Wake::Changed } else { Wake::Event }
}

/// What people change: the spec, annotations, and whether it shall be there.
fn definition<K: ResourceExt>(object: &K) -> impl PartialEq + use<K> {
    let meta = object.meta();
    (meta.uid.clone(), meta.generation, meta.annotations.clone(), meta.deletion_timestamp.clone(), meta.finalizers.clone())
}

/// Updates of a Pipeline wait for it; its tables show whether it is there and valid.
pub fn pipeline_changed(ctx: &Context, change: &Change<Pipeline>) {
    let Some(pipeline) = change.newest() else { return };
    let key = Key::of(pipeline.as_ref());
    ctx.queues.pipeline.wake(&key, wake_for(change));
    if change.differs(|pipeline| (accepted(pipeline), definition(pipeline))) {
        wake_updates(ctx, &key);
    }
    // Jobs say whether what they name is there, and their watchers read with the credentials of its storage.
    if change.differs(definition) {
        wake_jobs(ctx, &naming_pipeline(&key));
    }
    // The storage root may have become free for another one.
    if let (None, Some(storage)) = (&change.after, &pipeline.spec.storage) {
        for other in sharing_storage(&ctx.caches, &storage.uri) {
            ctx.queues.pipeline.wake(&Key::of(other.as_ref()), Wake::Event);
        }
    }
    if change.differs(|pipeline| (pipeline.uid(), pipeline.spec.deletion_policy, standing(pipeline))) {
        wake_tables(ctx, &key);
    }
}

/// Updates start only for a definition that was looked at and found right.
fn accepted(pipeline: &Pipeline) -> Option<(String, Option<i64>)> {
    let conditions = pipeline.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    condition::find(conditions, ConditionType::Accepted).map(|accepted| (accepted.status.clone(), accepted.observed_generation))
}

/// What tables say of their pipeline.
fn standing(pipeline: &Pipeline) -> Vec<(String, String, String)> {
    let conditions = pipeline.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let kinds = [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled];
    let told = kinds.into_iter().filter_map(|kind| condition::find(conditions, kind));
    told.map(|condition| (condition.status.clone(), condition.reason.clone(), condition.message.clone())).collect()
}

/// A Table is part of the definition of its Pipeline.
pub fn table_changed(ctx: &Context, change: &Change<Table>) {
    let Some(table) = change.newest() else { return };
    let key = Key::of(table.as_ref());
    ctx.queues.table.wake(&key, wake_for(change));
    if change.differs(|table| (table.status.as_ref().and_then(|status| status.version), definition(table))) {
        wake_jobs(ctx, &looking_at_table(&key));
    }
    if change.differs(definition) {
        for pipeline in pipeline_of_table(table) {
            ctx.queues.pipeline.wake(&pipeline, Wake::Event);
            wake_namesakes(ctx, &pipeline, table);
        }
    }
}

/// The end of an update is the turn of the next one.
pub fn update_changed(ctx: &Context, change: &Change<PipelineUpdate>) {
    let Some(update) = change.newest() else { return };
    ctx.queues.update.wake(&Key::of(update.as_ref()), wake_for(change));
    if let Some(run) = by_label(update.as_ref(), labels::RUN) {
        ctx.queues.job_run.wake(&run, Wake::Event);
    }
    for pipeline in pipeline_of_update(update) {
        ctx.queues.pipeline.wake(&pipeline, Wake::Event);
        if change.differs(is_terminal) {
            wake_updates(ctx, &pipeline);
            wake_tables(ctx, &pipeline);
        }
    }
}

/// Runs that wait look at what their Job allows.
pub fn floe_job_changed(ctx: &Context, change: &Change<Job>) {
    let Some(job) = change.newest() else { return };
    let key = Key::of(job.as_ref());
    ctx.queues.job.wake(&key, wake_for(change));
    if change.differs(definition) {
        wake_runs(ctx, &key);
        wake_jobs(ctx, &calling_job(&key));
        wake_chain(ctx, &key, change);
    }
}

/// Jobs that start one another are told so, all of them, and also when one has left the circle.
fn wake_chain(ctx: &Context, key: &Key, change: &Change<Job>) {
    let before = change.before.as_ref().map(|job| named::completions(&job.spec)).unwrap_or_default();
    for name in chain_of(&ctx.caches, key, before).into_iter().filter(|name| *name != key.name) {
        ctx.queues.job.wake(&Key::new(key.namespace.clone(), name), Wake::Event);
    }
}

/// The end of a run makes place for those that wait, ends the task that made it, and may start runs of other Jobs.
pub fn job_run_changed(ctx: &Context, change: &Change<JobRun>) {
    let Some(run) = change.newest() else { return };
    let job = job_of_run(run);
    ctx.queues.job_run.wake(&Key::of(run.as_ref()), wake_for(change));
    ctx.queues.job.wake(&job, Wake::Event);
    for parent in run.owner_references().iter().filter(|owner| owner.kind == "JobRun") {
        ctx.queues.job_run.wake(&Key::new(job.namespace.clone(), parent.name.clone()), Wake::Event);
    }
    if change.differs(|run| run.status.as_ref().map(|status| (status.state, status.result_state))) {
        wake_runs(ctx, &job);
        wake_jobs(ctx, &looking_at_job(&job));
    }
}

/// Wakes the runs of `job` that wait.
fn wake_runs(ctx: &Context, job: &Key) {
    let waits = |run: &JobRun| run.status.as_ref().and_then(|status| status.state).is_none_or(|state| state == RunState::Queued);
    for run in ctx.caches.job_runs.by(&runs_of(job)).iter().filter(|run| waits(run)) {
        ctx.queues.job_run.wake(&Key::of(run.as_ref()), Wake::Event);
    }
}

fn wake_jobs(ctx: &Context, looking_at: &Key) {
    for job in ctx.caches.floe_jobs.by(looking_at) {
        ctx.queues.job.wake(&Key::of(job.as_ref()), Wake::Event);
    }
}

/// A report tells of its update, of the tables in it, and once of the graph.
pub fn report_changed(ctx: &Context, change: &Change<RunReport>) {
    let Some(report) = change.newest() else { return };
    if change.after.is_none() {
        ctx.memory.forget_report(&Key::of(report.as_ref()));
    }
    for run in owners_of_report(report, "JobRun") {
        ctx.queues.job_run.wake(&run, Wake::Event);
    }
    for job in owners_of_report(report, "Job") {
        ctx.queues.job.wake(&job, Wake::Event);
    }
    for key in update_of_report(report) {
        ctx.queues.update.wake(&key, Wake::Event);
        let Some(update) = ctx.caches.updates.get(&key) else { continue };
        for pipeline in pipeline_of_update(&update) {
            if change.differs(|report| report.spec.graph.clone()) {
                ctx.queues.pipeline.wake(&pipeline, Wake::Event);
                wake_tables(ctx, &pipeline);
            } else if change.differs(|report| report.spec.removed_tables.clone()) {
                wake_tables(ctx, &pipeline);
            } else {
                wake_reported(ctx, &pipeline, change);
            }
        }
    }
}

/// Batch Jobs are attempts of updates and of tasks, or clean-ups of Pipelines.
pub fn job_changed(ctx: &Context, change: &Change<batch::Job>) {
    wake_owner(ctx, change, |job| end::job_end(job).is_some());
}

/// Pods are those of attempts and clean-ups.
pub fn pod_changed(ctx: &Context, change: &Change<core::Pod>) {
    wake_owner(ctx, change, end::is_over);
}

fn wake_owner<K: ResourceExt>(ctx: &Context, change: &Change<K>, is_over: fn(&K) -> bool) {
    let Some(object) = change.newest() else { return };
    if let Some(update) = by_label(object.as_ref(), labels::UPDATE) {
        ctx.queues.update.wake(&update, Wake::Event);
        // A writer that is no more lets the next one start.
        if (change.after.is_none() || change.differs(is_over))
            && let Some(pipeline) = by_label(object.as_ref(), labels::PIPELINE)
        {
            wake_updates(ctx, &pipeline);
        }
    } else if let Some(run) = by_label(object.as_ref(), labels::RUN) {
        ctx.queues.job_run.wake(&run, Wake::Event);
    } else if let Some(pipeline) = by_label(object.as_ref(), labels::PIPELINE) {
        ctx.queues.pipeline.wake(&pipeline, Wake::Event);
        // Tables that are being deleted leave their data to the clean-up of their Pipeline.
        if change.before.is_none() {
            wake_tables(ctx, &pipeline);
        }
    }
}

/// Whether a Job is ready depends on its watcher.
pub fn deployment_changed(ctx: &Context, change: &Change<Deployment>) {
    let job = change.newest().and_then(|deployment| by_label(deployment.as_ref(), labels::JOB));
    if let Some(job) = job {
        ctx.queues.job.wake(&job, Wake::Event);
    }
}

/// A ConfigMap is part of the definition of the Pipelines that name it.
pub fn config_map_changed(ctx: &Context, change: &Change<PartialObjectMeta<core::ConfigMap>>) {
    let Some(config_map) = change.newest() else { return };
    let key = Key::of(config_map.as_ref());
    if change.after.is_none() {
        ctx.memory.forget_config_map(&key);
    }
    for pipeline in ctx.caches.pipelines.by(&key) {
        ctx.queues.pipeline.wake(&Key::of(pipeline.as_ref()), Wake::Event);
    }
}

fn wake_updates(ctx: &Context, pipeline: &Key) {
    for update in ctx.caches.updates.by(pipeline).iter().filter(|update| !is_terminal(update)) {
        ctx.queues.update.wake(&Key::of(update.as_ref()), Wake::Event);
    }
}

fn wake_tables(ctx: &Context, pipeline: &Key) {
    for table in ctx.caches.tables.by(pipeline) {
        ctx.queues.table.wake(&Key::of(table.as_ref()), Wake::Event);
    }
}

/// A dataset is declared once: whether it is depends on the other Tables of its name.
fn wake_namesakes(ctx: &Context, pipeline: &Key, table: &Table) {
    let Some(owner) = ctx.caches.pipelines.get(pipeline) else { return };
    let name = dataset::full_name(table, &owner.spec);
    for other in ctx.caches.tables.by(pipeline) {
        if other.uid() != table.uid() && dataset::is_same_name(&dataset::full_name(&other, &owner.spec), &name) {
            ctx.queues.table.wake(&Key::of(other.as_ref()), Wake::Event);
        }
    }
}

/// Wakes the tables of which the report says something new.
fn wake_reported(ctx: &Context, pipeline: &Key, change: &Change<RunReport>) {
    let before = change.before.as_ref().map(|report| report.spec.tables.as_slice()).unwrap_or_default();
    let before: HashMap<&str, &TableReport> = before.iter().map(|table| (table.full_name.as_str(), table)).collect();
    let after = change.after.iter().flat_map(|report| &report.spec.tables);
    let changed = after.filter(|table| before.get(table.full_name.as_str()) != Some(table));
    let changed: HashSet<String> = changed.map(|table| table.full_name.to_lowercase()).collect();
    if changed.is_empty() {
        return;
    }
    for table in ctx.caches.tables.by(pipeline) {
        let name = table.status.as_ref().and_then(|status| status.full_name.as_ref());
        if name.is_none_or(|name| changed.contains(&name.to_lowercase())) {
            ctx.queues.table.wake(&Key::of(table.as_ref()), Wake::Event);
        }
    }
}

/// The reference of an object in an Event.
pub fn reference<K: Resource<DynamicType = ()>>(object: &K) -> core::ObjectReference {
    object.object_ref(&())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use std::sync::Arc;

    use super::*;
    use crate::caches::Caches;
    use crate::root::overlap;

    #[test]
    fn roots_that_overlap_are_found_through_the_index() {
        let uris = [
            "s3://lake",
            "s3://lake/",
            "s3://lake/shop",
            "s3://lake/shop/inner",
            "s3://lake/shopping",
            "s3://other/shop",
            "file:///lake",
            "file:///",
        ];
        let caches = Caches::new(&[]);
        for (n, uri) in uris.iter().enumerate() {
            let mut pipeline = Pipeline::new(&format!("p{n}"), serde_json::from_value(json!({"storage": {"uri": uri}})).unwrap());
            pipeline.metadata.namespace = Some("data".to_string());
            caches.pipelines.note(pipeline);
        }
        let place = |pipeline: &Arc<Pipeline>| pipeline.spec.storage.as_ref().unwrap().uri.clone();
        for uri in uris {
            let mut found: Vec<String> = sharing_storage(&caches, uri).iter().map(place).collect();
            found.sort();
            let mut expected: Vec<String> = uris.iter().filter(|other| overlap(other, uri)).map(ToString::to_string).collect();
            expected.sort();
            assert_eq!(found, expected, "{uri}");
        }
    }
}
