//! Whether the rows that tables hold keep the rules that their definition has now. Asked before anything is written.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::physical_plan::ExecutionPlanProperties;
use floe_graph::{
    graph::ResolvedDataset,
    origin::Diagnostic,
    plan::{NewRules, UpdatePlan},
};
use futures::StreamExt;

use super::{Resolved, tables};
use crate::{
    commit::{files, row_rules},
    engine_failure::engine_error,
    execute::view_expectation::ExpectPlanner,
    failure::Failure,
    project::invalid,
    session::{Session, SessionLimits},
    source::{DeltaSource, ReadCounters},
};

/// Reads the tables that get new rules; what is broken are diagnostics of the failure.
pub async fn verify(resolved: &Resolved, plan: &UpdatePlan, limits: &SessionLimits) -> Result<(), Failure> {
    if plan.new_rules.is_empty() {
        return Ok(());
    }
    let session = Session::new(limits)?;
    let mut broken = Vec::new();
    for rules in &plan.new_rules {
        let Some(dataset) = resolved.graph.datasets.get(&rules.dataset) else { continue };
        broken.extend(Box::pin(first_broken(resolved, dataset, rules, &session)).await?);
    }
    if broken.is_empty() { Ok(()) } else { Err(invalid(broken)) }
}

/// What the first row that breaks one of `rules` says.
async fn first_broken(
    resolved: &Resolved,
    dataset: &ResolvedDataset,
    rules: &NewRules,
    session: &Session,
) -> Result<Option<Diagnostic>, Failure> {
    let definition = &dataset.definition;
    let spec = tables::wanted(resolved, dataset, "")?.swap_remove(0).spec;
    let mut not_null = Vec::new();
    for column in &rules.not_null {
        if !files::proven_without_null(&spec.location, rules.version, column).await? {
            not_null.push(column.clone());
        }
    }
    if not_null.is_empty() && rules.checks.is_empty() {
        return Ok(None);
    }
    let counters = Arc::new(ReadCounters::default());
    let source = DeltaSource::new(&spec.dataset, spec.location.clone()).managed();
    // With the columns of the definition: a rule may read one that comes with it and that stored rows lack.
    let rows = source.at_version(rules.version, Arc::clone(&spec.schema), &counters).await?;
    let state = session.state(Arc::new(ExpectPlanner::default()));
    let plan = rows.scan(&state, None, &[], None).await.map_err(engine_error)?;
    for partition in 0..plan.output_partitioning().partition_count() {
        let mut batches = plan.execute(partition, state.task_ctx()).map_err(engine_error)?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(engine_error)?;
            let at = |found: Diagnostic| found.at(&definition.origin).about(definition.name.to_string());
            if let Some((rule, values)) = spec.rules.broken(&batch, &rules.checks)? {
                let text = format!("rows of {} violate the new {rule}, for example one with {values}", definition.name.name);
                let help = format!(
                    "correct or delete these rows, leave the check out, or run with --full-refresh {}; nothing was changed",
                    definition.name.name
                );
                return Ok(Some(at(Diagnostic::error("DELTA_NEW_CHECK_CONSTRAINT_VIOLATION", text).help(help))));
            }
            if let Some(column) = not_null.iter().find(|column| row_rules::has_null(&batch, column)) {
                let text = format!("column {column} of {} becomes NOT NULL but holds NULL", definition.name.name);
                let help = format!("keep the column nullable, or run with --full-refresh {}; nothing was changed", definition.name.name);
                return Ok(Some(at(Diagnostic::error("DELTA_NOT_NULL_CONSTRAINT_VIOLATED", text).help(help))));
            }
        }
    }
    Ok(None)
}

/// Per dataset the version whose rows keep its new rules, once [`verify`] has found nothing.
pub fn verified(plan: &UpdatePlan) -> BTreeMap<String, i64> {
    plan.new_rules.iter().map(|rules| (rules.dataset.key(), rules.version)).collect()
}
