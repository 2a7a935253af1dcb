//! Expectations of temporary views inside a plan: the physical operator of `Expect` nodes, and the planner of all nodes that are ours.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use datafusion::{
    catalog::Session as PlannerSession,
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext, context::QueryPlanner},
    logical_expr::{Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNode, physical_planning_context::PhysicalPlanningContext},
    physical_expr::PhysicalExpr,
    physical_plan::{ExecutionPlan, stream::RecordBatchStreamAdapter},
    physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner},
};
use floe_graph::{
    analysis::{
        Expect,
        state::{Deduplicate, Watermark},
    },
    graph::ResolvedExpectation,
};
use futures::TryStreamExt;

use super::{
    expectation::{DataQuality, Evaluator, QuarantineOrigin, Tally},
    operator::{OperatorExec, RowOperator},
    stateful::{Deduplicating, Keys, Noting, StateRun},
};
use crate::failure::Failure;

/// The tallies of all views that one query inlines; filled while the query is planned.
#[derive(Debug, Default)]
pub struct ViewTallies(Mutex<Vec<Arc<Tally>>>);

impl ViewTallies {
    fn add(&self, expectations: Vec<ResolvedExpectation>) -> Arc<Tally> {
        let tally = Arc::new(Tally::new(expectations));
        if let Ok(mut all) = self.0.lock() {
            all.push(Arc::clone(&tally));
        }
        tally
    }

    /// Adds the counts of all views to `quality`, the counts of the flow's own dataset.
    pub fn add_to(&self, quality: &mut DataQuality) {
        for tally in self.all() {
            let counts = tally.data_quality();
            quality.dropped_records += counts.dropped_records;
            quality.quarantined_records += counts.quarantined_records;
            quality.expectations.extend(counts.expectations);
        }
    }

    /// The failure of `flow` if a FAIL expectation of one of the views was violated.
    pub fn failure(&self, flow: &str, sample_records: bool) -> Option<Failure> {
        self.all().iter().find_map(|tally| tally.failure(flow, sample_records))
    }

    fn all(&self) -> Vec<Arc<Tally>> {
        self.0.lock().map(|all| all.clone()).unwrap_or_default()
    }
}

/// DataFusion's planner, extended by our nodes: expectations of views, watermarks, de-duplication.
#[derive(Debug, Default)]
pub struct ExpectPlanner {
    tallies: Arc<ViewTallies>,
    /// `None`: operators with state are shown and not executed.
    run: Option<Arc<StateRun>>,
}

impl ExpectPlanner {
    /// A planner whose operators count into `tallies`.
    pub fn new(tallies: Arc<ViewTallies>) -> Self {
        Self { tallies, run: None }
    }

    /// The same planner, for a micro-batch with state.
    #[must_use]
    pub fn remembering(self, run: Option<Arc<StateRun>>) -> Self {
        Self { run, ..self }
    }
}

#[async_trait]
impl QueryPlanner for ExpectPlanner {
    async fn create_physical_plan(&self, logical_plan: &LogicalPlan, session: &dyn PlannerSession) -> Result<Arc<dyn ExecutionPlan>> {
        let extension = Arc::new(Self { tallies: Arc::clone(&self.tallies), run: self.run.clone() });
        DefaultPhysicalPlanner::with_extension_planners(vec![extension]).create_physical_plan(logical_plan, session).await
    }
}

#[async_trait]
impl ExtensionPlanner for ExpectPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn PlannerSession,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let ([logical], [physical]) = (logical_inputs, physical_inputs) else { return Ok(None) };
        let bound = |expr: &Expr| planner.create_physical_expr(expr, logical.schema(), session, context);
        if let Some(watermark) = node.as_any().downcast_ref::<Watermark>() {
            let noting = Noting { name: watermark.name(), column: [bound(&watermark.column)?], run: self.run.clone() };
            return Ok(Some(Arc::new(OperatorExec::new(Arc::clone(physical), noting))));
        }
        if let Some(operator) = node.as_any().downcast_ref::<Deduplicate>() {
            let all = |exprs: &[Expr]| exprs.iter().map(bound).collect::<Result<Vec<_>>>();
            let types = operator.keys.iter().map(|key| key.get_type(logical.schema())).collect::<Result<Vec<_>>>()?;
            let event_time = operator.event_time.as_ref().map(bound).transpose()?;
            let keys = Keys::new(all(&operator.keys)?, &types, event_time, operator.remember)?;
            let operator = Deduplicating::new(operator.number, keys, all(&operator.order)?, self.run.clone());
            return Ok(Some(Arc::new(OperatorExec::new(Arc::clone(physical), operator))));
        }
        let Some(expect) = node.as_any().downcast_ref::<Expect>() else { return Ok(None) };
        let predicates = expect.expectations.iter().map(|e| bound(&e.predicate)).collect::<Result<Vec<_>>>()?;
        let tally = self.tallies.add(expect.expectations.clone());
        Ok(Some(Arc::new(OperatorExec::new(Arc::clone(physical), Expecting { predicates, tally }))))
    }
}

/// Counts the expectations of a view on every row, and drops the rows that violate a DROP expectation.
struct Expecting {
    predicates: Vec<Arc<dyn PhysicalExpr>>,
    tally: Arc<Tally>,
}

impl RowOperator for Expecting {
    const NAME: &'static str = "ExpectExec";

    fn details(&self) -> String {
        let names: Vec<&str> = self.tally.expectations().iter().map(|e| e.name.as_str()).collect();
        names.join(", ")
    }

    fn expressions(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.predicates
    }

    fn execute(&self, input: &Arc<dyn ExecutionPlan>, partition: usize, context: &Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        // Views have no quarantine, so nobody is named as the origin of quarantined rows.
        let nobody = QuarantineOrigin { flow: String::new(), update_id: String::new(), batch_id: 0, at_us: 0 };
        let evaluator = Evaluator::new(Arc::clone(&self.tally), self.predicates.clone(), nobody);
        let rows = input.execute(partition, Arc::clone(context))?;
        let kept = rows.and_then(move |batch| std::future::ready(evaluator.sort_rows(batch).map(|sorted| sorted.kept)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(input.schema(), kept)))
    }
}
