//! What a reconcile of a Table must know, gathered once.

use std::sync::Arc;

use floe_crds::{
    pipeline::{DeletionPolicy, Pipeline},
    pipeline_update::PipelineUpdate,
    run_report::DatasetReport,
    table::{Table, TableStatus},
};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::{
    attempt, clock,
    context::Context,
    dataset,
    error::Error,
    key::Key,
    labels,
    reports::{self, Told},
    shard,
};

/// Everything that is decided from.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Table itself.
    pub table: Arc<Table>,
    /// The Pipeline that it names.
    pub pipeline: Option<Arc<Pipeline>>,
    /// All Tables of the pipeline.
    pub tables: Vec<Arc<Table>>,
    /// All updates of the pipeline.
    pub updates: Vec<Arc<PipelineUpdate>>,
    /// What their runners report, oldest first.
    pub told: Vec<Told>,
    /// The clean-up of a Pipeline that is being deleted has been asked for: it deals with the data of all its Tables.
    pub is_cleaned_up: bool,
    /// The time of this look.
    pub now: Timestamp,
}

/// Gathers what there is to know about `key`; `None` if there is no such Table, or another operator looks after it.
pub async fn observe(ctx: &Context, key: &Key) -> Result<Option<Observed>, Error> {
    let Some(mut table) = ctx.caches.tables.get(key) else { return Ok(None) };
    let owner = Key::new(key.namespace.clone(), &table.spec.pipeline);
    if shard::is_of_another_operator(ctx, &owner).await? {
        return Ok(None);
    }
    let handled = table.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_ref());
    if labels::is_reconcile_requested(table.as_ref(), handled) {
        let Some(fresh) = ctx.fetch::<Table>(key).await? else { return Ok(None) };
        ctx.note(fresh.clone());
        table = Arc::new(fresh);
        if let Some(pipeline) = ctx.fetch::<Pipeline>(&owner).await? {
            ctx.note(pipeline);
        }
    }
    let updates = ctx.caches.updates.by(&owner);
    let pipeline = ctx.caches.pipelines.get(&owner);
    let jobs = ctx.caches.jobs.by(&owner);
    Ok(Some(Observed {
        pipeline: pipeline.clone(),
        tables: ctx.caches.tables.by(&owner),
        told: reports::of_updates(&ctx.caches, &updates),
        updates,
        // That of an earlier Pipeline of this name may still be there.
        is_cleaned_up: pipeline.is_some_and(|pipeline| jobs.iter().any(|job| attempt::is_cleanup_of(job, &pipeline))),
        now: clock::now(),
        table,
    }))
}

impl Observed {
    /// The status as it was before this look.
    pub fn before(&self) -> TableStatus {
        self.table.status.clone().unwrap_or_default()
    }

    /// Name of the object.
    pub fn name(&self) -> String {
        self.table.name_any()
    }

    /// Full name of the dataset; as it was last known if the pipeline is not there.
    pub fn full_name(&self) -> Option<String> {
        let known = || self.table.status.as_ref()?.full_name.clone();
        self.pipeline.as_ref().map(|pipeline| dataset::full_name(&self.table, &pipeline.spec)).or_else(known)
    }

    /// What becomes of the data with the object; unknown if only the pipeline could say it and is not there.
    pub fn deletion_policy(&self) -> Option<DeletionPolicy> {
        let of_pipeline = || self.pipeline.as_ref().map(|pipeline| pipeline.spec.deletion_policy);
        self.table.spec.deletion_policy.or_else(of_pipeline)
    }

    /// True if someone wants the object to go.
    pub fn is_deleted(&self) -> bool {
        dataset::is_deleted(&self.table)
    }

    /// True if the Pipeline is being deleted.
    pub fn is_pipeline_deleted(&self) -> bool {
        self.pipeline.as_ref().is_some_and(|pipeline| pipeline.metadata.deletion_timestamp.is_some())
    }

    /// True if another object that stays is the same dataset.
    pub fn is_handed_over(&self) -> bool {
        self.pipeline.as_ref().is_some_and(|pipeline| dataset::is_handed_over(&self.table, &pipeline.spec, &self.tables))
    }

    /// True if the newest valid graph has the dataset; `None` if no graph is known.
    pub fn in_graph(&self) -> Option<bool> {
        reports::newest_valid(&self.told)?;
        Some(self.in_newest_graph().is_some())
    }

    /// The dataset in the newest valid graph.
    pub fn in_newest_graph(&self) -> Option<&DatasetReport> {
        let name = self.full_name()?;
        let graph = reports::newest_valid(&self.told)?.valid_graph()?;
        graph.datasets.iter().find(|dataset| dataset::is_same_name(&dataset.full_name, &name))
    }

    /// True if the newest report that knows the dataset says that its data were removed.
    pub fn are_data_gone(&self) -> bool {
        let Some(name) = self.full_name() else { return false };
        let is_same = |other: &str| dataset::is_same_name(other, &name);
        let knows = |told: &Told| {
            let report = &told.report.spec;
            if report.removed_tables.iter().any(|removed| is_same(removed)) {
                return Some(true);
            }
            let declared = report.graph.iter().flat_map(|graph| &graph.datasets).any(|dataset| is_same(&dataset.full_name));
            let stored = report.tables.iter().any(|table| is_same(&table.full_name));
            (declared || stored).then_some(false)
        };
        self.told.iter().rev().find_map(knows) == Some(true)
    }
}
