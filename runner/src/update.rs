//! The sentence of an update: request → observe → plan → lock → reset → set up tables → execute → report.

mod drive;
mod events;
mod reset;
mod setup;
mod summary;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

use floe_crds::state::{FailureClass, UpdateState};
use floe_graph::{
    graph::ResolvedGraph,
    origin::{Diagnostic, Severity},
    plan::{Selection, StoredState, UpdatePlan, plan_update},
    resolve::{self, ResolveInput},
};
use uuid::Uuid;

use crate::{
    event_log::{EventLog, event::Event},
    failure::Failure,
    observe::{self, Stored},
    project::{self, Project},
    report::UpdateReport,
    settings::{RunSettings, Settings},
    state::{catalog::Catalog, lock, reset as markers},
    storage::Storage,
};

/// A project that was resolved against its sources and compared with what is stored. Nothing was written.
#[derive(Debug)]
pub struct Resolved {
    /// The project with its texts and its input of resolution, observations included.
    pub project: Project,
    /// Where it is stored.
    pub storage: Storage,
    /// The graph without errors.
    pub graph: ResolvedGraph,
    /// What earlier updates have set up.
    pub catalog: Option<Catalog>,
    /// What planning needs to know of it.
    pub stored: StoredState,
}

/// Reads, parses and resolves the project and looks at its storage; the failure carries all findings in `diagnostics`.
/// What `floe validate`, `graph`, `explain` and `sql` begin with.
pub async fn resolve(settings: &Settings) -> Result<Resolved, Failure> {
    let mut project = project::load(settings)?;
    let storage = project.open_storage(settings)?;
    let graph = resolve_project(&mut project, &storage, settings.offline).await?;
    if settings.offline {
        return Ok(Resolved { project, storage, graph, catalog: None, stored: StoredState::default() });
    }
    let catalog = Catalog::read(&storage).await?;
    let Stored { state: stored, .. } = Box::pin(observe::stored_state(&storage, &graph, catalog.as_ref())).await?;
    Ok(Resolved { project, storage, graph, catalog, stored })
}

/// The plan of an update with `selection`: all reasons against it are in the failure's `diagnostics`.
pub fn plan(resolved: &Resolved, selection: &Selection) -> Result<UpdatePlan, Failure> {
    plan_update(&resolved.graph, selection, &resolved.stored).map_err(refused)
}

/// One update. A failure that stops it before it is created (unreadable project, locked storage) is the `Err`; everything later is in the
/// report.
pub async fn run(settings: RunSettings) -> Result<UpdateReport, Failure> {
    let started = Instant::now();
    let update_id = Uuid::now_v7().to_string();
    let project = project::load(&settings.settings)?;
    let storage = project.open_storage(&settings.settings)?;
    if settings.dry_run {
        return Box::pin(dry_run(settings, project, storage, update_id, started)).await;
    }
    let _lock = lock::acquire(&storage, &update_id)?;
    let catalog = Catalog::read_or_create(&storage, || Uuid::new_v4().to_string()).await?;
    let log = Box::pin(events::open(&settings, &project, &storage, &catalog, &update_id)).await;
    let report = UpdateReport { pipeline: project.name.clone(), ..summary::empty(update_id) };
    let mut update = Update { settings, storage, catalog, log, report, state: UpdateState::Created };
    let ended = Box::pin(update.run(project)).await;
    update.end(ended);
    update.log.close().await;
    update.report.duration_ms = summary::millis(started.elapsed());
    Ok(update.report)
}

/// Resolves the project; schemas that storage must tell are looked up first.
async fn resolve_project(project: &mut Project, storage: &Storage, offline: bool) -> Result<ResolvedGraph, Failure> {
    let needed = resolve::needed_observations(&project.definitions, &project.input);
    project.input.observed = if offline {
        needed.iter().map(|relation| (relation.source_id(), Err(not_observed(&relation.source_id())))).collect()
    } else {
        Box::pin(observe::source_schemas(storage, &project.root, &needed)).await
    };
    resolve::resolve(project.definitions.clone(), &project.input).map_err(invalid)
}

fn not_observed(source: &str) -> Diagnostic {
    Diagnostic::error("OFFLINE", format!("the schema of {source} is in storage, which --offline does not read"))
        .help("run without --offline")
}

/// The failure of a project with errors.
fn invalid(findings: Vec<Diagnostic>) -> Failure {
    failure_of("PIPELINE_GRAPH_INVALID", findings)
}

/// The failure of an update that must not start.
fn refused(findings: Vec<Diagnostic>) -> Failure {
    failure_of("UPDATE_REFUSED", findings)
}

/// A single error keeps its own class; several are told together.
fn failure_of(class: &str, findings: Vec<Diagnostic>) -> Failure {
    let errors: Vec<&Diagnostic> = findings.iter().filter(|found| found.severity == Severity::Error).collect();
    let failure = match errors.as_slice() {
        [one] => {
            let failure = Failure::user(one.class.clone(), one.message.clone());
            Failure { origin: one.origin.clone(), dataset: one.dataset.clone(), help: one.help.clone(), ..failure }
        }
        [first, ..] => Failure::user(class, format!("{} errors, the first: [{}] {}", errors.len(), first.class, first.message)),
        [] => Failure::internal("planning failed without an error"),
    };
    Failure { diagnostics: findings, ..failure }
}

/// Plans and tells; writes nothing.
async fn dry_run(
    settings: RunSettings,
    mut project: Project,
    storage: Storage,
    update_id: String,
    started: Instant,
) -> Result<UpdateReport, Failure> {
    let catalog = Catalog::read(&storage).await?;
    let log = events::without_table(&settings, &project, catalog.as_ref(), &update_id);
    let mut report = UpdateReport { pipeline: project.name.clone(), ..summary::empty(update_id.clone()) };
    let log_state = |state| log.record(Event::update_progress(&update_id, state));
    log_state(UpdateState::Initializing);
    let planned = async {
        let graph = resolve_project(&mut project, &storage, false).await?;
        let stored = Box::pin(observe::stored_state(&storage, &graph, catalog.as_ref())).await?;
        let plan = plan_update(&graph, &settings.selection, &stored.state).map_err(refused)?;
        Ok::<_, Failure>((graph, plan))
    };
    match Box::pin(planned).await {
        Ok((graph, plan)) => {
            events::planned(&log, &graph, &plan, settings.development || project.spec.development);
            log_state(UpdateState::Completed);
            report.state = UpdateState::Completed;
            report.lints.clone_from(&graph.lints);
            summary::take_plan(&mut report, plan);
        }
        Err(failure) => {
            log.record(Event::update_failed(&update_id, &failure));
            report.state = UpdateState::Failed;
            report.failures.push(failure);
        }
    }
    log.close().await;
    report.duration_ms = summary::millis(started.elapsed());
    Ok(report)
}

/// One update that holds the lock of its storage.
struct Update {
    settings: RunSettings,
    storage: Storage,
    catalog: Catalog,
    log: EventLog,
    report: UpdateReport,
    state: UpdateState,
}

/// How an update ended before its flows did.
enum Stopped {
    /// A phase failed.
    Failed(Failure),
    /// The user asked for it.
    Canceled,
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Update {
    /// Plan, reset, set up tables, execute. The state of the end is what the flows give.
    async fn run(&mut self, mut project: Project) -> Result<UpdateState, Stopped> {
        self.enter(UpdateState::Initializing);
        let graph = Arc::new(resolve_project(&mut project, &self.storage, false).await?);
        self.log.set_graph_id(&graph.id);
        self.report.lints.clone_from(&graph.lints);
        self.finish_old_resets(&graph).await?;
        let stored = Box::pin(observe::stored_state(&self.storage, &graph, Some(&self.catalog))).await?;
        let plan = plan_update(&graph, &self.settings.selection, &stored.state).map_err(refused)?;
        let development = self.settings.development || project.spec.development;
        events::planned(&self.log, &graph, &plan, development);
        self.report.notes.clone_from(&plan.notes);
        self.stop_if_asked()?;

        if !plan.resets.is_empty() {
            self.enter(UpdateState::Resetting);
            Box::pin(reset::run(self.reset_context(&graph), &plan, &self.log)).await?;
        }
        self.stop_if_asked()?;
        self.enter(UpdateState::SettingUpTables);
        let completed_once = stored.state.completed_once.clone();
        let setup = setup::Setup { storage: &self.storage, graph: &graph, plan: &plan, stored, log: &self.log };
        let tables = Box::pin(setup.run(&mut self.catalog)).await?;
        self.stop_if_asked()?;

        self.enter(UpdateState::Running);
        let context =
            drive::Context { update: self, project: &project, graph: &graph, plan: &plan, completed_once: &completed_once, development };
        let ended = Box::pin(drive::run(context, &tables)).await?;
        let outcome = ended.state;
        if ended.stopped {
            self.enter(UpdateState::Stopping);
        }
        summary::datasets(&mut self.report, &graph, &project.input.namespace, &plan, &ended, &tables);
        summary::take_plan(&mut self.report, plan);
        self.report.failures = ended.failures;
        self.record_versions(&tables).await?;
        Ok(outcome)
    }

    /// Resets that an ended update began are finished before anything is compared with what is stored.
    async fn finish_old_resets(&mut self, graph: &ResolvedGraph) -> Result<(), Failure> {
        let unfinished = markers::unfinished(&self.storage).await?;
        if unfinished.is_empty() {
            return Ok(());
        }
        for marker in unfinished {
            self.report.notes.push(format!("finished the reset that update {} had begun", marker.update));
            Box::pin(reset::apply(self.reset_context(graph), &marker, &self.log)).await?;
        }
        Ok(())
    }

    fn reset_context<'a>(&'a self, graph: &'a ResolvedGraph) -> reset::Context<'a> {
        reset::Context { storage: &self.storage, graph, catalog: &self.catalog, update_id: &self.report.update_id }
    }

    /// The newest versions go to the catalog, so that the next update need not read the commits of this one.
    async fn record_versions(&mut self, tables: &setup::Tables) -> Result<(), Failure> {
        let before = self.catalog.clone();
        tables.record(&mut self.catalog);
        if self.catalog == before { Ok(()) } else { self.catalog.write(&self.storage).await }
    }

    fn enter(&mut self, state: UpdateState) {
        if self.state.may_become(state) {
            self.state = state;
            self.log.record(Event::update_progress(&self.report.update_id, state));
        }
    }

    fn stop_if_asked(&mut self) -> Result<(), Stopped> {
        if !self.settings.stop.is_requested() {
            return Ok(());
        }
        self.enter(UpdateState::Stopping);
        Err(Stopped::Canceled)
    }

    /// Records the end of the update, exactly once.
    fn end(&mut self, ended: Result<UpdateState, Stopped>) {
        let state = match ended {
            Ok(state) => state,
            Err(Stopped::Canceled) => UpdateState::Canceled,
            Err(Stopped::Failed(failure)) => {
                self.report.failures.push(failure);
                UpdateState::Failed
            }
        };
        if state == UpdateState::Canceled {
            self.enter(UpdateState::Stopping);
        }
        self.report.state = state;
        let id = &self.report.update_id;
        self.log.record(match (state, deciding(&self.report.failures)) {
            (UpdateState::Failed, Some(failure)) => Event::update_failed(id, failure),
            (UpdateState::Canceled, _) => Event::update_canceled(id, crate::event_log::event::CancellationCause::UserAction),
            _ => Event::update_progress(id, state),
        });
    }
}

/// The failure that the end of the update names: the one that decides the exit code.
fn deciding(failures: &[Failure]) -> Option<&Failure> {
    let weight = |failure: &&Failure| match failure.class {
        FailureClass::Transient => 0,
        FailureClass::Terminated => 1,
        FailureClass::Internal | FailureClass::User => 2,
        FailureClass::Expectation => 3,
        FailureClass::Storage => 4,
    };
    failures.iter().rev().max_by_key(weight)
}

/// The settings of SQL that hold for the whole pipeline.
fn time_zone(input: &ResolveInput) -> String {
    resolve::sql_settings(input, &std::collections::BTreeMap::new()).time_zone
}
