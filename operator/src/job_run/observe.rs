//! What the controller looks at: the run, its Job, what it took of that, other runs, and what was made for it. IO.

use std::{collections::BTreeMap, sync::Arc};

use floe_crds::{
    job::Job,
    job_run::{JobRun, JobRunStatus},
    run::{
        inputs::Limits,
        queue::{Admission, Candidate, Places, admit},
        reference::WorkspaceFacts,
        scene::{Attempts, Identity, Rows, Scene, Snapshot, TaskOutput},
    },
    run_report::{ReportKind, RunReport},
    state::{RunState, TaskState},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde_json::Value;

use super::attempts::Children;
use crate::{
    attempt::end::job_end,
    caches::{job_of_run, of_run, runs_of},
    clock,
    context::Context,
    error::Error,
    key::Key,
    labels, owner,
};

/// Key of the text in the ConfigMap of a snapshot.
pub const SNAPSHOT_KEY: &str = "snapshot.json";

/// Everything that the step needs.
#[derive(Clone, Debug)]
pub struct Observed {
    pub run: Arc<JobRun>,
    /// The status as it was read.
    pub status: JobRunStatus,
    /// The same with what tries of notifications came to.
    pub base: JobRunStatus,
    pub job: Option<Arc<Job>>,
    /// Name and uid of the Job, also of one that is gone.
    pub job_uid: String,
    pub snapshot: Option<Arc<Snapshot>>,
    pub next: Option<Arc<Snapshot>>,
    pub admission: Admission,
    pub children: Children,
    pub attempts: Attempts,
    pub outputs: BTreeMap<String, TaskOutput>,
    pub places: usize,
    pub limits: Limits,
    pub cluster_id: Arc<str>,
    pub console_url: String,
    /// An awaited report says when to look again.
    pub wake: Option<Timestamp>,
    pub now: Timestamp,
}

impl Observed {
    /// What a step from `status` looks at.
    pub fn scene<'a>(&'a self, name: &'a str, uid: &'a str, status: &'a JobRunStatus) -> Scene<'a> {
        Scene {
            job: Identity { name: &self.run.spec.job_ref.name, uid: &self.job_uid },
            run: Identity { name, uid },
            request: &self.run.spec,
            status,
            snapshot: self.snapshot.as_deref(),
            next: self.next.as_deref(),
            admission: &self.admission,
            attempts: &self.attempts,
            outputs: &self.outputs,
            limits: self.limits,
            places: self.places,
            workspace: WorkspaceFacts { id: &self.cluster_id, url: &self.console_url },
            is_deleted: self.is_deleted(),
            now: self.now,
        }
    }

    /// True if the run goes.
    pub fn is_deleted(&self) -> bool {
        self.run.metadata.deletion_timestamp.is_some()
    }

    /// True if nothing more happens but a repair.
    pub fn is_over(&self) -> bool {
        let repair = self.run.spec.repair.as_ref().is_some_and(|repair| repair.id > self.status.repair_count);
        self.status.state.is_some_and(RunState::is_terminal) && !repair
    }

    /// True if the operator must not touch anything but status.
    pub fn is_paused(&self) -> bool {
        labels::is_set(self.run.as_ref(), labels::PAUSED)
            || self.job.as_ref().is_some_and(|job| labels::is_set(job.as_ref(), labels::PAUSED))
    }
}

/// The run `key` and what belongs to it; `None` if it is gone.
pub async fn observe(ctx: &Context, key: &Key) -> Result<Option<Observed>, Error> {
    let Some(mut run) = ctx.caches.job_runs.get(key) else { return Ok(None) };
    let handled = run.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_ref());
    if labels::is_reconcile_requested(run.as_ref(), handled) {
        let Some(fresh) = read_anew(ctx, key).await? else { return Ok(None) };
        run = Arc::new(fresh);
    }
    let status = run.status.clone().unwrap_or_default();
    let now = clock::now();
    let job_key = job_of_run(&run);
    let job = job(ctx, &job_key, &run, &status).await?;
    let mut children = children(ctx, key, &run);
    let canceled = run.spec.cancel != floe_crds::pipeline_update::Cancel::None || run.metadata.deletion_timestamp.is_some();
    find_late_reports(ctx, key, &mut children, &status).await?;
    let (attempts, wake) = children.attempts(canceled, now);
    let (snapshot, next) = snapshots(ctx, &run, &status, job.as_deref()).await?;
    Ok(Some(Observed {
        admission: admission(ctx, &run, job.as_deref(), now),
        outputs: outputs(&status, &children),
        places: places(ctx, &key.namespace),
        limits: Limits { iterations: ctx.settings.limits.max_iterations, ..Limits::default() },
        job_uid: job
            .as_ref()
            .and_then(|job| job.uid())
            .or_else(|| owner::controller(run.as_ref()).map(|owner| owner.uid.clone()))
            .unwrap_or_default(),
        cluster_id: ctx.cluster_id.clone(),
        console_url: ctx.settings.console_url.clone(),
        wake,
        attempts,
        children,
        snapshot,
        next,
        job,
        base: status.clone(),
        status,
        run,
        now,
    }))
}

async fn read_anew(ctx: &Context, key: &Key) -> Result<Option<JobRun>, Error> {
    let selector = format!("{}={}", labels::RUN, labels::value(&key.name));
    ctx.refresh_all(&key.namespace, &selector, ctx.caches.jobs.by(&of_run(key))).await?;
    ctx.refresh_all(&key.namespace, &selector, ctx.caches.pods.by(&of_run(key))).await?;
    ctx.refresh::<JobRun>(key).await
}

/// The Job. Runs and repairs take it from the API server itself: who changes a Job and then starts a run of it means the changed one.
async fn job(ctx: &Context, key: &Key, run: &JobRun, status: &JobRunStatus) -> Result<Option<Arc<Job>>, Error> {
    let is_repair = run.spec.repair.as_ref().is_some_and(|repair| repair.id > status.repair_count);
    if status.state.is_some() && !is_repair {
        return Ok(ctx.caches.floe_jobs.get(key));
    }
    Ok(ctx.fetch::<Job>(key).await?.map(Arc::new))
}

fn children(ctx: &Context, key: &Key, run: &JobRun) -> Children {
    let place = of_run(key);
    let reports = ctx
        .caches
        .reports
        .by(&place)
        .into_iter()
        .filter(|report| owner::is_owned_by(report.as_ref(), run) && report.spec.kind == ReportKind::Task);
    let updates = ctx.caches.updates.by(&place).into_iter().filter(|update| owner::is_owned_by(update.as_ref(), run));
    let followed = |update: &floe_crds::pipeline_update::PipelineUpdate| {
        let name = update.status.as_ref()?.coalesced_into.as_ref()?;
        ctx.caches.updates.get(&Key::new(&key.namespace, name))
    };
    Children {
        jobs: ctx.caches.jobs.by(&place).into_iter().filter(|job| owner::is_owned_by(job.as_ref(), run)).collect(),
        pods: ctx.caches.pods.by(&place),
        reports: reports.map(|report| (report.name_any(), report)).collect(),
        updates: updates.map(|update| (update.clone(), followed(&update))).collect(),
        runs: ctx.caches.job_runs.by(&place).into_iter().filter(|child| owner::is_owned_by(child.as_ref(), run)).collect(),
        refusals: BTreeMap::new(),
    }
}

/// The report of a container comes just before its pod ends, and may be seen after it: what a task has set must not be lost.
async fn find_late_reports(ctx: &Context, key: &Key, children: &mut Children, status: &JobRunStatus) -> Result<(), Error> {
    let open = |name: &str| {
        status.tasks.iter().any(|task| task.state != TaskState::Terminated && task.child.as_ref().is_some_and(|child| child.name == name))
    };
    let ended = children.jobs.iter().filter(|job| job_end(job).is_some()).map(|job| job.name_any());
    let missing: Vec<String> = ended.filter(|name| !children.reports.contains_key(name) && open(name)).collect();
    for name in missing {
        if let Some(report) = ctx.refresh::<RunReport>(&Key::new(&key.namespace, &name)).await? {
            children.reports.insert(name, Arc::new(report));
        }
    }
    Ok(())
}

/// What the run took of its Job, and what a repair that was asked for would take.
async fn snapshots(
    ctx: &Context,
    run: &JobRun,
    status: &JobRunStatus,
    job: Option<&Job>,
) -> Result<(Option<Arc<Snapshot>>, Option<Arc<Snapshot>>), Error> {
    let in_force = match status.state {
        None => stored(ctx, run, 0).await?.or_else(|| job.map(|job| Arc::new(first(ctx, run, job)))),
        Some(_) => stored(ctx, run, status.snapshot_id()).await?,
    };
    let wanted = run.spec.repair.as_ref().filter(|repair| repair.id > status.repair_count);
    let Some(repair) = wanted else { return Ok((in_force, None)) };
    let next = match stored(ctx, run, repair.id).await? {
        Some(stored) => Some(stored),
        None => job.map(|job| {
            let mut parameters = in_force.as_ref().map(|before| before.parameters.clone()).unwrap_or_default();
            parameters.extend(repair.parameters.clone());
            let slices = in_force.as_ref().map(|before| before.slices.clone()).unwrap_or_default();
            Arc::new(Snapshot { generation: job.metadata.generation.unwrap_or_default(), spec: job.spec.clone(), parameters, slices })
        }),
    };
    Ok((in_force, next))
}

fn first(ctx: &Context, run: &JobRun, job: &Job) -> Snapshot {
    let slices = run.spec.backfill.as_ref().and_then(|backfill| {
        let runs: Vec<Arc<JobRun>> = ctx.caches.job_runs.by(&runs_of(&Key::of(job)));
        backfill.needed_slices(runs.iter().map(Arc::as_ref)).ok()
    });
    Snapshot {
        generation: job.metadata.generation.unwrap_or_default(),
        spec: job.spec.clone(),
        parameters: BTreeMap::new(),
        slices: slices.unwrap_or_default(),
    }
}

/// The snapshot that was stored for this repair. It never changes, so it is read once.
async fn stored(ctx: &Context, run: &JobRun, repair: i32) -> Result<Option<Arc<Snapshot>>, Error> {
    let uid = run.uid().unwrap_or_default();
    if let Some(known) = ctx.memory.snapshot(&uid, repair) {
        return Ok(Some(known));
    }
    let key = Key::new(run.namespace().unwrap_or_default(), snapshot_name(run, repair));
    let Some(found) = ctx.fetch::<ConfigMap>(&key).await?.filter(|found| owner::is_owned_by(found, run)) else { return Ok(None) };
    let text = found.data.as_ref().and_then(|data| data.get(SNAPSHOT_KEY)).map(String::as_str).unwrap_or_default();
    let snapshot: Snapshot = serde_json::from_str(text).map_err(|source| Error::Unreadable { what: "a snapshot of a Job", key, source })?;
    Ok(Some(ctx.memory.remember_snapshot(&uid, repair, snapshot)))
}

/// Name of the ConfigMap with what the run took of its Job.
pub fn snapshot_name(run: &JobRun, repair: i32) -> String {
    format!("{}-spec-{repair}", run.name_any())
}

/// Whether the run may start: it is asked for a place beside all other runs of its Job.
fn admission(ctx: &Context, run: &JobRun, job: Option<&Job>, now: Timestamp) -> Admission {
    let state = |run: &JobRun| run.status.as_ref().and_then(|status| status.state);
    let Some(job) = job.filter(|_| state(run).is_none_or(|state| !state.is_active())) else { return Admission::Start };
    let all = ctx.caches.job_runs.all();
    let active: Vec<&Arc<JobRun>> = all.iter().filter(|run| state(run).is_some_and(RunState::is_active)).collect();
    let (namespace, name) = (run.namespace(), run.name_any());
    let in_namespace = active.iter().filter(|run| run.namespace() == namespace).count();
    let mine = ctx.caches.job_runs.by(&runs_of(&Key::of(job)));
    // A run that stands for slices does nothing itself: it takes no place from them.
    let mine: Vec<&Arc<JobRun>> = mine.iter().filter(|run| run.spec.backfill.is_none()).collect();
    if run.spec.backfill.is_some() {
        return Admission::Start;
    }
    let limits = &ctx.settings.limits;
    let free = |most: usize, active: usize| if most == 0 { usize::MAX } else { most.saturating_sub(active) };
    let places = Places {
        active: mine.iter().filter(|run| state(run).is_some_and(RunState::is_active)).count(),
        max_concurrent_runs: job.spec.max_concurrent_runs,
        free_of_operator: free(limits.max_active_runs, active.len()),
        free_of_namespace: (limits.max_active_runs_per_namespace > 0).then(|| free(limits.max_active_runs_per_namespace, in_namespace)),
    };
    let names: Vec<(String, Timestamp, Option<Timestamp>)> =
        mine.iter().filter(|other| waits(other) || other.name_any() == name).map(|run| candidate(run, &job.spec.queue)).collect();
    let candidates: Vec<Candidate<'_>> =
        names.iter().map(|(name, created, queued_since)| Candidate { name, created: *created, queued_since: *queued_since }).collect();
    let admitted = admit(&candidates, places, &job.spec.queue, now);
    admitted.into_iter().find(|(candidate, _)| *candidate == name).map_or(Admission::Start, |(_, admission)| admission)
}

fn waits(run: &JobRun) -> bool {
    let status = run.status.as_ref();
    let state = status.and_then(|status| status.state);
    run.metadata.deletion_timestamp.is_none() && state.is_none_or(|state| state == RunState::Queued)
}

fn candidate(run: &JobRun, queue: &floe_crds::job::Queue) -> (String, Timestamp, Option<Timestamp>) {
    let created = run.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |at| at.0);
    let until = run.status.as_ref().and_then(|status| status.queued_until.as_ref()).map(|at| at.0);
    let wait = jiff::SignedDuration::from_secs(i64::from(queue.max_wait_seconds));
    (run.name_any(), created, until.and_then(|until| until.checked_sub(wait).ok()))
}

/// What tasks that have ended have said, from the reports of their newest attempts.
fn outputs(status: &JobRunStatus, children: &Children) -> BTreeMap<String, TaskOutput> {
    let ended = status.tasks.iter().filter_map(|task| Some((task.name.clone(), task.child.as_ref()?)));
    ended.filter_map(|(task, child)| Some((task, output(children.reports.get(&child.name)?)))).collect()
}

fn output(report: &RunReport) -> TaskOutput {
    let Some(task) = &report.spec.task else { return TaskOutput::default() };
    let parse = |text: &String| serde_json::from_str::<Value>(text).unwrap_or_else(|_| Value::String(text.clone()));
    let values: BTreeMap<String, Value> = task.values.iter().map(|(key, text)| (key.clone(), parse(text))).collect();
    let rows = task.output.as_ref().map(|output| Rows {
        rows: serde_json::from_str(&output.rows).unwrap_or_default(),
        row_count: output.row_count,
        truncated: output.truncated,
    });
    TaskOutput { values: Arc::new(values), rows: rows.map(Arc::new) }
}

/// So many pods may be started now.
fn places(ctx: &Context, namespace: &str) -> usize {
    let limits = &ctx.settings.limits;
    let active = crate::update::active_pods(ctx, namespace);
    let free = |most: usize, active: usize| if most == 0 { usize::MAX } else { most.saturating_sub(active) };
    free(limits.max_active_pods, active.total).min(free(limits.max_active_pods_per_namespace, active.in_namespace))
}
