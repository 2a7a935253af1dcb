//! The sentence of an update: request → observe → plan → lock → reset → set up tables → execute → report.

mod altering;
mod continuous;
mod describe;
mod flows;
mod maintenance;
mod outcome;
mod reset;
mod stored_rows;
mod tables;
#[cfg(test)]
mod tests;
mod widen;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use chrono::Utc;
use floe_crds::{
    pipeline::{DeletionPolicy, PipelineSpec},
    request::RemovedTable,
    state::UpdateState,
};
use floe_graph::{
    graph::ResolvedGraph,
    name::DatasetName,
    plan::{ResetKind, Selection, StoredState, UpdatePlan, plan_update},
    resolve::{self, needed_file_schemas, needed_observations},
};

use url::Url;

use crate::{
    commit::{WriterMemory, WriterOptions},
    event_log::{
        self, EventLog, Outputs,
        event::{CancellationCause, Event, EventError, MaintenanceOperation, MaintenanceProgress, OperationStatus},
        flows::FlowEvents,
        record::Identity,
    },
    execute::{Cleanings, Execution, KeptCheckpoints, Unsure},
    failure::Failure,
    observe::{self, FilePlaces},
    project::{Project, invalid},
    remove,
    session::{Session, SessionLimits},
    settings::{RunSettings, Settings},
    state::{
        catalog::{Catalog, ClusterPipeline},
        lock,
    },
    storage::{Storage, Stores, parse_uri},
    summary::UpdateSummary,
};
use altering::Altering;

/// A project that was resolved against its sources and compared with what is stored. Nothing was written.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Files, manifest and parameters.
    pub project: Project,
    /// Root of tables and state.
    pub storage: Storage,
    /// Datasets and flows with their typed plans.
    pub graph: Arc<ResolvedGraph>,
    /// What was last set up; `None` before the first update.
    pub catalog: Option<Catalog>,
    /// What storage holds now.
    pub stored: StoredState,
    /// Per source id the Delta table id of each external table.
    pub external_ids: BTreeMap<String, String>,
}

/// Resolves the project and looks at its storage; the failure carries all findings in `diagnostics`.
/// What `floe validate`, `graph`, `explain` and `sql` begin with.
pub async fn resolve(project: Project, settings: &Settings) -> Result<Resolved, Failure> {
    let storage = open_storage(settings, &project)?;
    Box::pin(resolve_project(project, storage, settings.offline, &BTreeSet::new())).await
}

/// `forgotten` are the flows, in lower case, whose checkpoints will be forgotten.
async fn resolve_project(mut project: Project, storage: Storage, offline: bool, forgotten: &BTreeSet<String>) -> Result<Resolved, Failure> {
    let needed = needed_observations(&project.definitions, &project.input);
    let mut external_ids = BTreeMap::new();
    if !offline {
        let tables = observe::external_tables(&storage, &project.root, &needed).await;
        external_ids = tables.iter().filter_map(|(id, table)| Some((id.clone(), table.as_ref().ok()?.table_id.clone()))).collect();
        project.input.observed = tables.into_iter().map(|(id, table)| (id, table.map(|table| table.schema))).collect();
        project.input.observed.extend(observe::snapshot_directories(&storage, &project.root, &needed).await);
        let mut files = needed_file_schemas(&project.definitions, &project.input);
        let places = FilePlaces { storage: &storage, root: &project.root, forgotten };
        // What was looked up a moment ago is not read again, unless it was what is to be forgotten.
        let mut known = std::mem::take(&mut project.input.file_schemas);
        known.retain(|key, _| forgotten.is_empty() && files.contains_key(key));
        files.retain(|key, _| !known.contains_key(key));
        known.extend(observe::file_schemas(places, &files).await);
        project.input.file_schemas = known;
    }
    let graph = Arc::new(resolve::resolve(project.definitions.clone(), &project.input).map_err(invalid)?);
    let catalog = if offline { None } else { Catalog::read(&storage).await? };
    let stored =
        if offline { StoredState::default() } else { observe::stored_state((&storage, &project.root), &graph, catalog.as_ref()).await? };
    Ok(Resolved { project, storage, graph, catalog, stored, external_ids })
}

/// The storage of the project.
pub fn open_storage(settings: &Settings, project: &Project) -> Result<Storage, Failure> {
    let uri = parse_uri(&project.storage, &project.root)?;
    match &settings.stores {
        Some(stores) => Storage::open(&uri, stores),
        None => storage_of(&settings.store_options, &project.spec, &uri),
    }
}

/// The storage at `uri`, with the options of the environment and those of `spec`.
pub fn storage_of(store_options: &[(String, String)], spec: &PipelineSpec, uri: &Url) -> Result<Storage, Failure> {
    let mut options = store_options.to_vec();
    options.extend(spec.storage.iter().flat_map(|storage| storage.options.clone()));
    Storage::open(uri, &Stores::new(options))
}

/// The plan of an update with `selection`: all reasons against it, rows that break new rules included, are in the failure's `diagnostics`.
pub async fn plan(resolved: &Resolved, settings: &Settings, selection: &Selection) -> Result<UpdatePlan, Failure> {
    let plan = plan_update(&resolved.graph, selection, &resolved.stored).map_err(invalid)?;
    Box::pin(stored_rows::verify(resolved, &plan, &limits(settings))).await?;
    Ok(plan)
}

fn limits(settings: &Settings) -> SessionLimits {
    SessionLimits { memory_bytes: settings.memory_bytes, spill_directory: settings.scratch.clone(), parallelism: settings.parallelism }
}

/// True if messages may show values of a record, as far as the pipeline says.
fn sample_records(resolved: &Resolved) -> bool {
    let hides = |(key, value): (&String, &String)| {
        key.eq_ignore_ascii_case("pipelines.expectations.sampleRecords") && value.eq_ignore_ascii_case("false")
    };
    !resolved.project.input.configuration.iter().any(hides)
}

/// As `resolve_project`, for an update with `selection`. A definition may fail on what flows have found in their files so far and be right without
/// that: then a full refresh of these flows is what it takes.
async fn resolve_selected(project: Project, storage: Storage, selection: &Selection) -> Result<Resolved, Failure> {
    let nothing = BTreeSet::new();
    let failure = match Box::pin(resolve_project(project.clone(), storage.clone(), false, &nothing)).await {
        Err(failure) if selection.full_refresh_all || !selection.full_refresh.is_empty() => failure,
        resolved => return resolved,
    };
    let all: BTreeSet<String> = project.definitions.flows.iter().map(|flow| flow.name.to_lowercase()).collect();
    // Which of them the selection names is known of a definition that is right only.
    match Box::pin(resolve_project(project, storage, false, &all)).await {
        Ok(anew) if !forgets(&anew, selection).is_empty() => Ok(anew),
        _ => Err(failure),
    }
}

/// The flows, in lower case, of which `selection` forgets what they have found in their files.
fn forgets(resolved: &Resolved, selection: &Selection) -> BTreeSet<String> {
    let needed = needed_file_schemas(&resolved.project.definitions, &resolved.project.input);
    let knows = |flow: &String| needed.values().any(|needed| needed.flows.iter().any(|known| known.eq_ignore_ascii_case(flow)));
    let Ok(plan) = plan_update(&resolved.graph, selection, &resolved.stored) else { return BTreeSet::new() };
    let resets = plan.resets.iter().filter(|reset| reset.kind == ResetKind::FullRefresh);
    resets.flat_map(|reset| &reset.flows).filter(|flow| knows(flow)).map(|flow| flow.to_lowercase()).collect()
}

/// The plan of an update with `selection`. What flows that it refreshes fully have found in their files counts no more: if there is any, the
/// project is resolved once more.
async fn plan_anew(resolved: Resolved, settings: &Settings, selection: &Selection) -> Result<(Resolved, UpdatePlan), Failure> {
    let forgotten = forgets(&resolved, selection);
    let resolved = if forgotten.is_empty() {
        resolved
    } else {
        Box::pin(resolve_project(resolved.project, resolved.storage, false, &forgotten)).await?
    };
    let plan = plan(&resolved, settings, selection).await?;
    Ok((resolved, plan))
}

/// One update. A failure that stops it before it is created (locked storage) is the `Err`; everything later is in the report.
pub async fn run(settings: RunSettings, mut project: Project) -> Result<UpdateSummary, Failure> {
    let started = Instant::now();
    let storage = open_storage(&settings.settings, &project)?;
    if settings.maintains() {
        return Box::pin(maintenance::run(settings, project, storage)).await;
    }
    if settings.requested.as_ref().is_some_and(|requested| requested.validate_only) && !settings.dry_run {
        return Box::pin(validate(settings, project, storage)).await;
    }
    if settings.dry_run || Catalog::read(&storage).await?.is_none() {
        // The first update of a storage makes nothing before its definition is known to be right, and a dry run makes nothing at all.
        let resolved = Box::pin(resolve_selected(project.clone(), storage.clone(), &settings.selection)).await?;
        let (resolved, plan) = Box::pin(plan_anew(resolved, &settings.settings, &settings.selection)).await?;
        if settings.dry_run {
            return Ok(outcome::dry_run(&resolved, plan, started));
        }
        project.input.file_schemas = resolved.project.input.file_schemas;
    }
    let given = settings.requested.as_ref().map(|requested| requested.id.clone()).or_else(|| settings.update_id.clone());
    let update_id = given.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let _lock = lock::acquire(&storage, &update_id)?;
    let mut catalog = Catalog::read_or_create(&storage, || uuid::Uuid::new_v4().to_string()).await?;
    if !catalog.datasets.is_empty() {
        // Somebody else has made the first update meanwhile: its flows know their schemas.
        project.input.file_schemas.clear();
    }
    remove::finish(&storage, &mut catalog).await?;
    let log = Box::pin(open_log(&settings, &project, &storage, &catalog, &update_id)).await;
    describe::created(&log, &settings, &project);
    let update = Update { settings, storage, id: update_id, log: log.clone(), started };
    let report = Box::pin(update.run(project)).await;
    log.close().await;
    Ok(report)
}

async fn open_log(settings: &RunSettings, project: &Project, storage: &Storage, catalog: &Catalog, update_id: &str) -> EventLog {
    let identity = identity(settings, project, catalog, update_id);
    event_log::open(storage, catalog, identity, outputs(settings, project)).await
}

fn identity(settings: &RunSettings, project: &Project, catalog: &Catalog, update_id: &str) -> Identity {
    let requested = settings.requested.as_deref().cloned().unwrap_or_default();
    Identity {
        update_id: update_id.to_string(),
        attempt: requested.attempt.max(1),
        pipeline_id: catalog.pipeline_id.clone(),
        pipeline_name: project.name.clone(),
        host: settings.host.clone(),
        namespace: requested.namespace,
        cluster_id: requested.cluster_id,
        request_id: requested.request_id,
        maintenance_id: settings.maintains().then(|| update_id.to_string()),
        ..Identity::default()
    }
}

fn outputs(settings: &RunSettings, project: &Project) -> Outputs {
    let lines: Option<Box<dyn std::io::Write + Send>> = if settings.json_lines { Some(Box::new(std::io::stdout())) } else { None };
    Outputs { lines, observers: settings.observers.clone(), secrets: project.secrets.clone() }
}

/// An update that only checks the definition: it takes no part in the life of the storage, so that it may run beside another one. Its events
/// are written if there is a log already.
async fn validate(settings: RunSettings, project: Project, storage: Storage) -> Result<UpdateSummary, Failure> {
    let started = Instant::now();
    let update_id = settings.requested.as_ref().map(|requested| requested.id.clone()).unwrap_or_default();
    let catalog = Catalog::read(&storage).await?;
    let identity = identity(&settings, &project, &catalog.clone().unwrap_or_else(|| Catalog::new("")), &update_id);
    let log = event_log::beside(&storage, catalog.as_ref(), identity, outputs(&settings, &project));
    describe::created(&log, &settings, &project);
    let update = Update { settings, storage, id: update_id, log: log.clone(), started };
    let report = Box::pin(update.validate(project)).await;
    log.close().await;
    Ok(report)
}

/// An update that exists: from here on every end is an event and a report.
struct Update {
    settings: RunSettings,
    storage: Storage,
    id: String,
    log: EventLog,
    started: Instant,
}

impl Update {
    async fn run(&self, project: Project) -> UpdateSummary {
        self.enter(UpdateState::Initializing);
        let pipeline = project.name.clone();
        match Box::pin(self.phases(project)).await {
            Ok(report) => report,
            Err(failure) => self.failed(&pipeline, failure),
        }
    }

    async fn validate(&self, project: Project) -> UpdateSummary {
        self.enter(UpdateState::Initializing);
        let pipeline = project.name.clone();
        let checked = async {
            let resolved = Box::pin(resolve_selected(project, self.storage.clone(), &self.settings.selection)).await?;
            let (resolved, plan) = Box::pin(plan_anew(resolved, &self.settings.settings, &self.settings.selection)).await?;
            self.log.set_graph_id(&resolved.graph.id);
            describe::planned(&self.log, &resolved, &plan, false);
            Ok::<_, Failure>(outcome::dry_run(&resolved, plan, self.started))
        };
        match Box::pin(checked).await {
            Ok(summary) => {
                self.enter(UpdateState::Completed);
                UpdateSummary { update_id: self.id.clone(), ..summary }
            }
            Err(failure) => self.failed(&pipeline, failure),
        }
    }

    fn failed(&self, pipeline: &str, failure: Failure) -> UpdateSummary {
        self.log.record(Event::update_failed(&self.id, &failure));
        outcome::failed(&self.id, pipeline, failure, self.started)
    }

    async fn phases(&self, project: Project) -> Result<UpdateSummary, Failure> {
        let selection = self.selection().await?;
        let mut resolved = Box::pin(resolve_selected(project, self.storage.clone(), &selection)).await?;
        let mut catalog = resolved.catalog.clone().ok_or_else(|| Failure::internal("the catalog vanished"))?;
        if Box::pin(reset::finish_earlier(&resolved, &catalog, self)).await? {
            resolved.stored =
                observe::stored_state((&self.storage, &resolved.project.root), &resolved.graph, resolved.catalog.as_ref()).await?;
        }
        let (resolved, plan) = self.plan(resolved, &selection).await?;
        self.log.set_graph_id(&resolved.graph.id);
        describe::planned(&self.log, &resolved, &plan, self.settings.development || resolved.project.spec.development);
        if !plan.resets.is_empty() {
            self.enter(UpdateState::Resetting);
            Box::pin(reset::reset(&resolved, &catalog, &plan.resets, self)).await?;
        }
        self.enter(UpdateState::SettingUpTables);
        let namespace = self.settings.requested.as_ref().and_then(|requested| requested.namespace.clone());
        if let Some(namespace) = namespace {
            catalog.claim(&self.storage, ClusterPipeline { namespace, name: resolved.project.name.clone() }).await?;
        }
        let memory = WriterMemory::new(limits(&self.settings.settings).writer_bytes());
        let altering = Altering { log: self.log.clone(), memory: memory.clone(), stop: self.settings.stop.clone() };
        let tables = Box::pin(tables::set_up(&resolved, &plan, &mut catalog, &altering)).await?;
        self.enter(UpdateState::Running);
        let events = Arc::new(FlowEvents::new(self.log.clone()));
        let execution = self.execution(&resolved, &catalog, (tables, memory), &events)?;
        let ended = Box::pin(flows::run(execution, (&resolved, &plan), &events, &self.settings, altering)).await;
        let sizes = match self.settings.requested {
            Some(_) => Box::pin(tables::measure(&resolved, &mut catalog, &ended.tables)).await,
            None => false,
        };
        if ended.wrote() || sizes {
            Box::pin(tables::remember(&resolved, &mut catalog, &ended.tables)).await?;
        }
        let removed = if ended.state == UpdateState::Completed { self.remove(&resolved, &mut catalog).await } else { Vec::new() };
        let tables = tables::facts(&resolved, &catalog, &ended.tables);
        let report = UpdateSummary { tables, removed, ..outcome::report(&self.id, &resolved, plan, ended, self.started) };
        self.close(&report);
        Ok(report)
    }

    /// Removes what the request names and the definition does not. A failure is told, and the next update tries again.
    async fn remove(&self, resolved: &Resolved, catalog: &mut Catalog) -> Vec<String> {
        let asked = self.settings.requested.iter().flat_map(|requested| &requested.removed_tables);
        let declared: BTreeSet<String> = resolved.graph.datasets.keys().map(DatasetName::key).collect();
        let goes =
            |table: &&RemovedTable| table.deletion_policy == DeletionPolicy::Delete && !declared.contains(&table.full_name.to_lowercase());
        let names: Vec<String> = asked.filter(goes).map(|table| table.full_name.clone()).collect();
        let mut removed = Vec::new();
        for name in names {
            let key = name.to_lowercase();
            let outcome = Box::pin(remove::datasets(&self.storage, catalog, &BTreeSet::from([key]))).await;
            let status = if outcome.is_ok() { OperationStatus::Completed } else { OperationStatus::Failed };
            let operation = MaintenanceOperation::Remove;
            let progress = MaintenanceProgress { operation, dataset: name.clone(), status, metrics: BTreeMap::new() };
            let event = Event::maintenance_progress(progress);
            match outcome {
                Ok(()) => {
                    self.log.record(event);
                    removed.push(name);
                }
                Err(failure) => self.log.record(event.with_error(EventError::of(&failure, false))),
            }
        }
        removed
    }

    /// The last state. Of an update whose process is being interrupted another process, or the next update, will say it.
    fn close(&self, report: &UpdateSummary) {
        match (report.state, report.failures.first()) {
            (UpdateState::Canceled, _) => {
                self.enter(UpdateState::Stopping);
                if !self.may_go_on() {
                    self.log.record(Event::update_canceled(&self.id, CancellationCause::UserAction));
                }
            }
            (UpdateState::Failed, Some(failure)) => self.log.record(Event::update_failed(&self.id, failure)),
            (state, _) => self.enter(state),
        }
    }

    fn may_go_on(&self) -> bool {
        self.settings.requested.is_some() && self.settings.stop.is_interrupted()
    }

    /// The plan of what is left to do: what an earlier process has reset for this update is not reset again, and flows that an earlier
    /// attempt has completed are left out.
    /// What the update selects: an earlier attempt of it may have made its resets already.
    async fn selection(&self) -> Result<Selection, Failure> {
        let selection = &self.settings.selection;
        let was_reset = self.settings.requested.is_some() && reset::is_done(&self.storage, &self.id).await?;
        Ok(if was_reset { selection.without_resets() } else { selection.clone() })
    }

    async fn plan(&self, resolved: Resolved, selection: &Selection) -> Result<(Resolved, UpdatePlan), Failure> {
        let (resolved, mut plan) = plan_anew(resolved, &self.settings.settings, selection).await?;
        if let Some(requested) = &self.settings.requested {
            plan.selected.retain(|flow| !requested.has_completed(flow));
        }
        Ok((resolved, plan))
    }

    fn execution(
        &self,
        resolved: &Resolved,
        catalog: &Catalog,
        (tables, memory): (tables::Tables, WriterMemory),
        events: &Arc<FlowEvents>,
    ) -> Result<Execution, Failure> {
        let limits = limits(&self.settings.settings);
        Ok(Execution {
            session: Session::new(&limits)?,
            writers: WriterOptions { shared: memory, ..WriterOptions::default() },
            storage: self.storage.clone(),
            graph: Arc::clone(&resolved.graph),
            pipeline_id: catalog.pipeline_id.clone(),
            update_id: self.id.clone(),
            observer: Arc::clone(events) as _,
            stop: self.settings.stop.clone(),
            tables: Arc::new(tables),
            external_ids: resolved.external_ids.clone(),
            found_schemas: widen::found_schemas(&resolved.project.input),
            project: resolved.project.root.clone(),
            now: self.settings.settings.now,
            sample_records: sample_records(resolved),
            unsure: Unsure::default(),
            kept: KeptCheckpoints::default(),
            cleanings: Cleanings::default(),
        })
    }

    fn enter(&self, state: UpdateState) {
        self.log.record(Event::update_progress(&self.id, state).happened_at(Utc::now()));
    }
}
