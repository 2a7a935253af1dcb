//! The sentence of an update: request → observe → plan → lock → reset → set up tables → execute → report.

use floe_graph::{
    graph::ResolvedGraph,
    plan::{Selection, StoredState, UpdatePlan},
};

use crate::{
    failure::Failure,
    project::Project,
    report::UpdateReport,
    settings::{RunSettings, Settings},
    state::catalog::Catalog,
    storage::Storage,
};

/// A project that was resolved against its sources and compared with what is stored. Nothing was written.
#[derive(Debug)]
pub struct Resolved {
    pub project: Project,
    pub storage: Storage,
    pub graph: ResolvedGraph,
    pub catalog: Option<Catalog>,
    pub stored: StoredState,
}

/// Reads, parses and resolves the project and looks at its storage; the failure carries all findings in `diagnostics`.
/// What `floe validate`, `graph`, `explain` and `sql` begin with.
pub async fn resolve(_settings: &Settings) -> Result<Resolved, Failure> {
    Err(Failure::internal("updates are not there yet"))
}

/// The plan of an update with `selection`: all reasons against it are in the failure's `diagnostics`.
pub fn plan(_resolved: &Resolved, _selection: &Selection) -> Result<UpdatePlan, Failure> {
    Err(Failure::internal("updates are not there yet"))
}

/// One update. A failure that stops it before it is created (unreadable project, locked storage) is the `Err`; everything later is in the report.
pub async fn run(_settings: RunSettings) -> Result<UpdateReport, Failure> {
    Err(Failure::internal("updates are not there yet"))
}
