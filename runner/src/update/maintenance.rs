//! An update of type Maintenance: the same life as any other, with care for the tables instead of new data.

use std::time::Instant;

use chrono::Utc;
use floe_crds::state::UpdateState;

use super::{Update, describe, open_log, outcome};
use crate::{
    event_log::event::{CancellationCause, Event},
    failure::Failure,
    maintain::{Maintained, Maintenance},
    project::Project,
    remove,
    session::SessionLimits,
    settings::RunSettings,
    state::{catalog::Catalog, lock},
    storage::Storage,
    summary::UpdateSummary,
};

/// One round of maintenance. A storage that no update has used yet needs none.
pub async fn run(settings: RunSettings, project: Project, storage: Storage) -> Result<UpdateSummary, Failure> {
    let started = Instant::now();
    let id = settings.requested.as_ref().map_or_else(|| uuid::Uuid::now_v7().to_string(), |requested| requested.id.clone());
    let pipeline = project.name.clone();
    if settings.dry_run {
        let notes = vec!["maintenance changes no row; what it does is decided while it runs".to_string()];
        return Ok(UpdateSummary { notes, ..outcome::ended(&id, &pipeline, UpdateState::Completed, started) });
    }
    let Some(mut catalog) = Catalog::read(&storage).await? else {
        return Ok(outcome::ended(&id, &pipeline, UpdateState::Completed, started));
    };
    let _lock = lock::acquire(&storage, &id)?;
    remove::finish(&storage, &mut catalog).await?;
    let log = Box::pin(open_log(&settings, &project, &storage, &catalog, &id)).await;
    describe::created(&log, &settings, &project);
    let update = Update { settings, storage, id, log: log.clone(), started };
    let summary = Box::pin(update.maintain(&project, &mut catalog)).await;
    log.close().await;
    Ok(summary)
}

impl Update {
    async fn maintain(&self, project: &Project, catalog: &mut Catalog) -> UpdateSummary {
        for state in [UpdateState::Initializing, UpdateState::SettingUpTables, UpdateState::Running] {
            self.enter(state);
        }
        let settings = &self.settings.settings;
        let limits = SessionLimits {
            memory_bytes: settings.memory_bytes,
            spill_directory: settings.scratch.clone(),
            parallelism: settings.parallelism,
        };
        let maintenance = Maintenance {
            storage: &self.storage,
            project,
            log: &self.log,
            limits,
            stop: self.settings.stop.clone(),
            by_interval: self.settings.requested.is_some(),
            now: Utc::now(),
        };
        match Box::pin(maintenance.run(catalog)).await {
            Ok(maintained) => self.maintained(&project.name, maintained),
            Err(failure) => self.failed(&project.name, failure),
        }
    }

    fn maintained(&self, pipeline: &str, maintained: Maintained) -> UpdateSummary {
        let Maintained { failures, tables, stopped } = maintained;
        let state = match failures.first() {
            Some(failure) => {
                self.log.record(Event::update_failed(&self.id, failure));
                UpdateState::Failed
            }
            None if stopped => {
                self.enter(UpdateState::Stopping);
                if !self.may_go_on() {
                    self.log.record(Event::update_canceled(&self.id, CancellationCause::UserAction));
                }
                UpdateState::Canceled
            }
            None => {
                self.enter(UpdateState::Completed);
                UpdateState::Completed
            }
        };
        UpdateSummary { failures, tables, ..outcome::ended(&self.id, pipeline, state, self.started) }
    }
}
