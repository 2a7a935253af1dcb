//! What a reconcile of a Job must know, gathered once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use floe_crds::{
    job::{Job, JobSpec, JobStatus},
    job_run::JobRun,
    pipeline::Pipeline,
    run_report::{ReportKind, RunReport, TriggerWatch},
    table::Table,
    trigger::completion::EndedRun,
};
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, ServiceAccount},
    rbac::v1::RoleBinding,
};
use kube::{Resource, ResourceExt, core::PartialObjectMeta};

use super::{resources, watcher};
use crate::{
    caches::{chain_of, runs_of},
    clock,
    context::Context,
    error::Error,
    key::Key,
    labels, named, owner, runs,
    settings::Settings,
};

/// Everything that is decided from.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Namespace and name.
    pub key: Key,
    /// The Job itself.
    pub job: Arc<Job>,
    /// Its runs, oldest first; none of an earlier Job of this name.
    pub runs: Vec<Arc<JobRun>>,
    /// Jobs that are tied to this one by completion triggers, at any distance, with the Jobs whose ends they wait for; this one among them.
    pub chains: Vec<(String, Vec<String>)>,
    /// Names of Jobs of the namespace that it names, and whether they are there.
    pub jobs: BTreeMap<String, bool>,
    /// Pipelines that it names.
    pub pipelines: BTreeMap<String, Option<Arc<Pipeline>>>,
    /// Tables that its triggers look at.
    pub tables: BTreeMap<String, Option<Arc<Table>>>,
    /// Ends of runs of the Jobs that its triggers look at.
    pub upstream: Vec<Upstream>,
    /// What its watcher reports.
    pub report: Option<Arc<RunReport>>,
    /// Its watcher, with the requests that were made for it.
    pub watcher: Option<Arc<Deployment>>,
    /// Requests of watchers of this Job, old ones too.
    pub requests: Vec<Arc<PartialObjectMeta<ConfigMap>>>,
    /// What stands beside the Job already.
    pub access: Access,
    /// What the operator was started with.
    pub settings: Arc<Settings>,
    /// The time of this look.
    pub now: Timestamp,
}

/// The end of a run of another Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// How it ended.
    pub end: EndedRun,
    /// Uid of the run.
    pub uid: String,
}

/// What stands beside the Job already.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// It was right not long ago.
    Known,
    /// No pod runs, so nothing was read.
    #[default]
    Unread,
    /// As it was read now.
    Read(Box<(Option<ServiceAccount>, Option<RoleBinding>)>),
}

/// Gathers what there is to know about `key`; `None` if there is no such Job.
pub async fn observe(ctx: &Context, key: &Key) -> Result<Option<Observed>, Error> {
    let Some(mut job) = ctx.caches.floe_jobs.get(key) else { return Ok(None) };
    let handled = job.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_ref());
    if labels::is_reconcile_requested(job.as_ref(), handled) {
        let Some(fresh) = ctx.fetch::<Job>(key).await? else { return Ok(None) };
        ctx.note(fresh.clone());
        job = Arc::new(fresh);
        ctx.memory.doubt(&beside(key), &[]);
    }
    let mut own = ctx.caches.job_runs.by(&runs_of(key));
    own.retain(|run| !is_of_earlier_life(run.as_ref(), &job));
    own.sort_by_cached_key(|run| runs::by_creation(run));
    let named = |name: &String| Key::new(key.namespace.clone(), name.clone());
    let tables = named::tables(&job.spec).into_iter().map(|name| (name.clone(), ctx.caches.tables.get(&named(&name)))).collect();
    // With a selector there may be objects that another operator looks after.
    let sees_all = ctx.settings.label_selector.is_none();
    let jobs = named::jobs(&job.spec).into_iter();
    let jobs = jobs.map(|name| (name.clone(), !sees_all || ctx.caches.floe_jobs.get(&named(&name)).is_some())).collect();
    let reports = ctx.caches.reports.by(&runs_of(key)).into_iter();
    let mut reports = reports.filter(|report| report.spec.kind == ReportKind::Watch && owner::is_owned_by(report.as_ref(), job.as_ref()));
    let own_object = |object: &PartialObjectMeta<ConfigMap>| owner::is_owned_by(object, job.as_ref());
    let mut requests = ctx.caches.config_maps.named(&key.namespace, &watcher::request_prefix(&key.name));
    requests.retain(|request| own_object(request));
    let mut observed = Observed {
        key: key.clone(),
        runs: own,
        chains: chains(ctx, key),
        jobs,
        pipelines: named::pipelines(&job.spec)
            .into_iter()
            .map(|name| (name.clone(), ctx.caches.pipelines.get(&named(&name))))
            .filter(|(_, pipeline)| sees_all || pipeline.is_some())
            .collect(),
        tables,
        upstream: upstream(ctx, &job),
        report: reports.find(|report| report.name_any() == watcher::name(&key.name)),
        watcher: ctx
            .caches
            .deployments
            .get(&named(&watcher::name(&key.name)))
            .filter(|found| owner::is_owned_by(found.as_ref(), job.as_ref())),
        requests,
        access: Access::Unread,
        settings: ctx.settings.clone(),
        now: clock::now(),
        job,
    };
    // Pipelines of external tables have the credentials with which they are read.
    let of_tables: Vec<String> = observed.tables.values().flatten().map(|table| table.spec.pipeline.clone()).collect();
    for name in of_tables {
        let pipeline = ctx.caches.pipelines.get(&named(&name));
        observed.pipelines.entry(name).or_insert(pipeline);
    }
    observed.access = access(ctx, &observed).await?;
    Ok(Some(observed))
}

/// What is remembered of the objects beside a Job: a Pipeline may have the same name.
pub fn beside(key: &Key) -> Key {
    Key::new(format!("job of {}", key.namespace), key.name.clone())
}

/// True if the run was made for an earlier Job of this name, and goes with it.
fn is_of_earlier_life(run: &JobRun, job: &Job) -> bool {
    let of = owner::controller(run).filter(|owner| owner.kind == Job::kind(&()) && owner.api_version == Job::api_version(&()));
    of.is_some_and(|owner| owner.name == job.name_any() && Some(&owner.uid) != job.uid().as_ref())
}

/// All Jobs that lead to `key` by their ends, or that its end leads to, with those that each of them waits for.
fn chains(ctx: &Context, key: &Key) -> Vec<(String, Vec<String>)> {
    let before = |name: &String| {
        let this = Key::new(key.namespace.clone(), name.clone());
        ctx.caches.floe_jobs.get(&this).map(|job| named::completions(&job.spec)).unwrap_or_default()
    };
    chain_of(&ctx.caches, key, Vec::new()).into_iter().map(|name| (name.clone(), before(&name))).collect()
}

fn upstream(ctx: &Context, job: &Job) -> Vec<Upstream> {
    let namespace = job.namespace().unwrap_or_default();
    let names: BTreeSet<String> = named::completions(&job.spec).into_iter().collect();
    let runs = names.into_iter().flat_map(|name| ctx.caches.job_runs.by(&runs_of(&Key::new(namespace.clone(), name))));
    runs.filter_map(|run| Some(Upstream { end: runs::end(&run)?, uid: run.uid().unwrap_or_default() })).collect()
}

/// Account and binding are read only while pods run: a Job at rest costs no request.
async fn access(ctx: &Context, observed: &Observed) -> Result<Access, Error> {
    if ctx.memory.has_access(&beside(&observed.key), &resources::beside(&observed.job).hash()) {
        return Ok(Access::Known);
    }
    let runs = observed.runs.iter().any(|run| !runs::is_terminal(run)) || watcher::is_wanted(observed);
    if observed.is_deleted() || !runs {
        return Ok(Access::Unread);
    }
    let name = Key::new(observed.key.namespace.clone(), resources::own_account(&observed.key.name));
    Ok(Access::Read(Box::new((ctx.fetch(&name).await?, ctx.fetch(&name).await?))))
}

impl Observed {
    /// True if someone wants the Job to go.
    pub fn is_deleted(&self) -> bool {
        self.job.metadata.deletion_timestamp.is_some()
    }

    /// The value of an annotation of the Job.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.job.annotations().get(name).map(String::as_str)
    }

    /// The status as it was before this look.
    pub fn status(&self) -> Option<&JobStatus> {
        self.job.status.as_ref()
    }

    /// Pipelines that tasks name.
    pub fn named_pipelines(&self) -> BTreeSet<String> {
        named::pipelines(&self.job.spec)
    }

    /// What the watcher tells of a trigger.
    pub fn watch(&self, trigger: &str) -> Option<&TriggerWatch> {
        self.report.as_ref()?.spec.watch.get(trigger)
    }

    /// Hash of everything that decides what a run does. A run of a continuous Job gives way when it changes.
    pub fn definition_hash(&self) -> String {
        let spec = JobSpec {
            description: String::new(),
            suspend: false,
            triggers: Vec::new(),
            run_history: floe_crds::job::RunHistory::default(),
            ..self.job.spec.clone()
        };
        // A spec is always written in the same order of its fields.
        labels::hash(serde_json::to_string(&spec).unwrap_or_default().as_bytes())[..32].to_string()
    }
}
