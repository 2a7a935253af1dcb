//! What a reconcile of a Pipeline must know, gathered once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
};

use floe_crds::{
    pipeline::Pipeline, pipeline_update::PipelineUpdate, request::CleanupRequest, run_report::RunReport, table::Table, text::cut,
};
use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1 as batch,
    core::v1::{ConfigMap, ServiceAccount},
    policy::v1::PodDisruptionBudget,
    rbac::v1::RoleBinding,
};
use kube::ResourceExt;
use serde_json::Value;

use super::{begun::Begun, resources};
use crate::{
    attempt::{self, end::job_end},
    caches, clock,
    context::Context,
    dataset,
    error::Error,
    key::Key,
    labels,
    memory::ConfigMapHashes,
    owner, reports,
    settings::Settings,
    updates,
};

/// Everything that is decided from.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Namespace and name.
    pub key: Key,
    /// The Pipeline itself.
    pub pipeline: Arc<Pipeline>,
    /// Its Tables, from manifests and from SQL.
    pub tables: Vec<Arc<Table>>,
    /// Names of Tables of other Pipelines in the namespace that this one might want.
    pub taken_names: BTreeSet<String>,
    /// Its updates, oldest first; none of an earlier Pipeline of this name.
    pub updates: Vec<Arc<PipelineUpdate>>,
    /// Other Pipelines whose storage root is this one's, or lies inside or around it.
    pub rivals: Vec<Rival>,
    /// ConfigMaps that it names, with what they hold.
    pub config_maps: BTreeMap<String, Option<Arc<ConfigMapHashes>>>,
    /// The newest report with a graph, and the update that it belongs to.
    pub report: Option<(Arc<RunReport>, Arc<PipelineUpdate>)>,
    /// What stands beside the Pipeline already.
    pub access: Access,
    /// The newest clean-up of a Pipeline that is being deleted.
    pub cleanup: Option<Begun>,
    /// Batch Jobs of updates that are still there.
    pub attempts: Vec<Arc<batch::Job>>,
    /// Since when ConfigMaps and Tables are as they are.
    pub quiet_since: Timestamp,
    /// What the operator was started with.
    pub settings: Arc<Settings>,
    /// Uid of the cluster.
    pub cluster_id: String,
    /// The time of this look.
    pub now: Timestamp,
}

/// Another Pipeline, as far as its storage is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Namespace and name.
    pub key: Key,
    /// Where it keeps its data.
    pub uri: String,
    /// For `file://`: the volumes of its pods, on which the path stands.
    pub volumes: Option<Value>,
    /// When it was made; the older one has the storage.
    pub created: Option<Timestamp>,
}

/// What stands beside the Pipeline already.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// It was right not long ago.
    Known,
    /// No pod runs, so nothing was read.
    #[default]
    Unread,
    /// As it was read now.
    Read(Box<Found>),
}

/// What runner pods need beside them, as it is.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The service account that the operator makes.
    pub account: Option<ServiceAccount>,
    /// What lets it write reports.
    pub binding: Option<RoleBinding>,
    /// What keeps a continuous runner from being drained.
    pub budget: Option<PodDisruptionBudget>,
}

/// Gathers what there is to know about `key`; `None` if there is no such Pipeline.
pub async fn observe(ctx: &Context, key: &Key) -> Result<Option<Observed>, Error> {
    let Some(mut pipeline) = ctx.caches.pipelines.get(key) else { return Ok(None) };
    let handled = pipeline.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_ref());
    if labels::is_reconcile_requested(pipeline.as_ref(), handled) {
        let Some(fresh) = ctx.fetch::<Pipeline>(key).await? else { return Ok(None) };
        ctx.note(fresh.clone());
        pipeline = Arc::new(fresh);
        ctx.memory.doubt(key, &caches::config_maps_of(&pipeline));
    }
    let own = own_updates(ctx, &pipeline).await?;
    let tables = ctx.caches.tables.by(key);
    let config_maps = config_maps(ctx, &pipeline).await?;
    let report = newest_graph(ctx, &own);
    let cleanup = newest_cleanup(ctx, &pipeline).await?;
    let mut observed = Observed {
        key: key.clone(),
        rivals: rivals(ctx, &pipeline),
        config_maps,
        report,
        access: Access::Unread,
        cleanup,
        attempts: own.iter().flat_map(|update| ctx.caches.jobs.by(&Key::of(update.as_ref()))).collect(),
        quiet_since: Timestamp::UNIX_EPOCH,
        settings: ctx.settings.clone(),
        cluster_id: ctx.cluster_id.to_string(),
        now: clock::now(),
        pipeline,
        taken_names: taken_names(ctx, key),
        tables,
        updates: own,
    };
    observed.quiet_since = ctx.memory.unchanged_since(key, &observed.sources_hash(), observed.now);
    observed.access = access(ctx, &observed).await?;
    Ok(Some(observed))
}

/// The updates of `pipeline`, oldest first. The cache of a new process may be behind the status that the process before it wrote: if it lacks the update
/// with the number that is recorded there, the API server is asked. Otherwise the same decision would be made twice.
async fn own_updates(ctx: &Context, pipeline: &Pipeline) -> Result<Vec<Arc<PipelineUpdate>>, Error> {
    let key = Key::of(pipeline);
    let recorded = pipeline.status.as_ref().and_then(|status| status.update_counter);
    if let Some(number) = recorded.filter(|_| pipeline.metadata.deletion_timestamp.is_none()) {
        let newest = Key::new(&key.namespace, updates::name(&key.name, number));
        if ctx.caches.updates.get(&newest).is_none() && !ctx.memory.is_absent(&key, number) {
            match ctx.fetch::<PipelineUpdate>(&newest).await {
                Ok(Some(found)) => ctx.note(found),
                Ok(None) => ctx.memory.saw_absent(&key, number),
                Err(error) if error.is_unreadable() => {}
                Err(error) => return Err(error),
            }
        }
    }
    let mut own = ctx.caches.updates.by(&key);
    own.retain(|update| !owner::is_of_earlier_life(update.as_ref(), pipeline));
    own.sort_by_cached_key(|update| updates::by_creation(update));
    Ok(own)
}

/// The clean-up that has done its work, or else the one that has not ended, or else the one that was made last.
async fn newest_cleanup(ctx: &Context, pipeline: &Pipeline) -> Result<Option<Begun>, Error> {
    if pipeline.metadata.deletion_timestamp.is_none() {
        return Ok(None);
    }
    let key = Key::of(pipeline);
    let mut jobs = ctx.caches.jobs.by(&key);
    jobs.retain(|job| attempt::is_cleanup_of(job, pipeline));
    let ended = jobs.iter().filter(|job| job_end(job).is_some()).count();
    let rank = |job: &batch::Job| job_end(job).map_or(1, |end| if end.is_complete { 2 } else { 0 });
    let newest = jobs.into_iter().max_by_key(|job| (rank(job), job.creation_timestamp().map(|at| at.0)));
    let Some(job) = newest else { return Ok(None) };
    let request = Key::new(&key.namespace, attempt::request_name(&job.name_any()));
    let request = ctx.fetch::<ConfigMap>(&request).await?.filter(|request| owner::is_owned_by(request, job.as_ref()));
    let text = request.as_ref().and_then(|request| request.data.as_ref()?.get(attempt::REQUEST_KEY));
    let tables = text.and_then(|text| CleanupRequest::read(text).ok()).map(|asked| asked.tables).unwrap_or_default();
    let pods = ctx.caches.pods.by(&key).into_iter().filter(|pod| owner::is_owned_by(pod.as_ref(), job.as_ref())).collect();
    Ok(Some(Begun { pods, has_request: request.is_some(), tables, ended, job }))
}

/// Names for Tables of a Pipeline begin with its own, or with that much of a long one.
fn taken_names(ctx: &Context, key: &Key) -> BTreeSet<String> {
    let all = ctx.caches.tables.named(&key.namespace, cut(&key.name, 50));
    all.iter().filter(|table| table.spec.pipeline != key.name).map(|table| table.name_any()).collect()
}

fn rivals(ctx: &Context, pipeline: &Pipeline) -> Vec<Rival> {
    let rival = |pipeline: &Pipeline| {
        Some(Rival {
            key: Key::of(pipeline),
            uri: pipeline.spec.storage.as_ref()?.uri.clone(),
            volumes: attempt::volumes(pipeline),
            created: pipeline.creation_timestamp().map(|time| time.0),
        })
    };
    let Some(storage) = &pipeline.spec.storage else { return Vec::new() };
    let sharing = caches::sharing_storage(&ctx.caches, &storage.uri);
    sharing.iter().filter_map(|other| rival(other)).filter(|rival| rival.key != Key::of(pipeline)).collect()
}

/// Reads the ConfigMaps whose version is not known yet.
async fn config_maps(ctx: &Context, pipeline: &Pipeline) -> Result<BTreeMap<String, Option<Arc<ConfigMapHashes>>>, Error> {
    let mut found = BTreeMap::new();
    for key in caches::config_maps_of(pipeline) {
        let Some(version) = ctx.caches.config_maps.get(&key).and_then(|meta| meta.resource_version()) else {
            found.insert(key.name, None);
            continue;
        };
        let hashes = match ctx.memory.config_map(&key).filter(|known| known.resource_version == version) {
            Some(known) => Some(known),
            None => ctx.fetch::<ConfigMap>(&key).await?.map(|read| ctx.memory.remember_config_map(&key, hashes_of(&read))),
        };
        found.insert(key.name, hashes);
    }
    Ok(found)
}

fn hashes_of(config_map: &ConfigMap) -> ConfigMapHashes {
    let text = config_map.data.iter().flatten().map(|(key, value)| (key.clone(), labels::hash(value.as_bytes())));
    let binary = config_map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), labels::hash(&value.0)));
    ConfigMapHashes { resource_version: config_map.resource_version().unwrap_or_default(), keys: text.chain(binary).collect() }
}

/// The newest report with a graph. It is kept beyond the end of its update, because Tables are made from it.
fn newest_graph(ctx: &Context, updates: &[Arc<PipelineUpdate>]) -> Option<(Arc<RunReport>, Arc<PipelineUpdate>)> {
    let newest = reports::newest_graph(reports::of_updates(&ctx.caches, updates))?;
    Some((newest.report, newest.update))
}

/// Account, binding and budget are read only while pods run: a Pipeline at rest costs no request.
async fn access(ctx: &Context, observed: &Observed) -> Result<Access, Error> {
    if ctx.memory.has_access(&observed.key, &resources::beside(&observed.pipeline).hash()) {
        return Ok(Access::Known);
    }
    let runs = observed.updates.iter().any(|update| !updates::is_terminal(update));
    if observed.is_deleted() || !runs {
        return Ok(Access::Unread);
    }
    let name = |name: String| Key::new(observed.key.namespace.clone(), name);
    let account = name(attempt::own_account(&observed.pipeline));
    Ok(Access::Read(Box::new(Found {
        account: ctx.fetch(&account).await?,
        binding: ctx.fetch(&account).await?,
        budget: ctx.fetch(&name(resources::budget_name(&observed.key.name))).await?,
    })))
}

impl Observed {
    /// True if someone wants the Pipeline to go.
    pub fn is_deleted(&self) -> bool {
        self.pipeline.metadata.deletion_timestamp.is_some()
    }

    /// The value of an annotation of the Pipeline.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.pipeline.annotations().get(name).map(String::as_str)
    }

    /// Tables that a person declared.
    pub fn manifest_tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.iter().filter(|table| dataset::declares(table))
    }

    /// The update that writes now.
    pub fn active(&self) -> Option<&Arc<PipelineUpdate>> {
        self.updates.iter().find(|update| updates::writes(update) && updates::is_active(update))
    }

    /// Updates that have not begun.
    pub fn queued(&self) -> impl Iterator<Item = &Arc<PipelineUpdate>> {
        self.updates.iter().filter(|update| updates::is_queued(update))
    }

    /// Hash of what only ConfigMaps and Tables say.
    pub fn sources_hash(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        for (name, hashes) in &self.config_maps {
            let _ = writeln!(text, "config map {name}");
            for (key, hash) in hashes.iter().flat_map(|hashes| &hashes.keys) {
                let _ = writeln!(text, "{key} {hash}");
            }
        }
        let mut tables: Vec<&Arc<Table>> = self.manifest_tables().collect();
        tables.sort_by_key(|table| table.name_any());
        for table in tables {
            // A spec is always written in the same order of its fields.
            let _ = writeln!(text, "table {} {}", table.name_any(), serde_json::to_string(&table.spec.definition()).unwrap_or_default());
        }
        labels::hash(text.as_bytes())
    }

    /// Hash of everything that decides the results of an update.
    pub fn definition_hash(&self) -> String {
        let spec = serde_json::to_string(&self.pipeline.spec.definition()).unwrap_or_default();
        labels::hash(format!("{spec}\n{}", self.sources_hash()).as_bytes())[..32].to_string()
    }
}
