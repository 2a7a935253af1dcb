//! Whether a plan reads streams, and what a streaming query may not do.

use std::sync::Arc;

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::LogicalPlan;

use super::AnalysedQuery;
use crate::{
    origin::Diagnostic,
    relation::{Relation, RelationSource},
};

/// The relations that a plan reads, each once, in order of appearance.
pub(crate) fn leaves(plan: &LogicalPlan) -> Vec<Arc<Relation>> {
    let mut found: Vec<Arc<Relation>> = Vec::new();
    let visited = plan.apply_with_subqueries(|node| {
        if let Some(relation) = leaf(node)
            && !found.iter().any(|known| known == relation)
        {
            found.push(Arc::clone(relation));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok(), "the visitor never fails");
    found
}

fn leaf(node: &LogicalPlan) -> Option<&Arc<Relation>> {
    let LogicalPlan::TableScan(scan) = node else { return None };
    let source: &dyn std::any::Any = scan.source.as_ref();
    source.downcast_ref::<RelationSource>().map(|source| &source.relation)
}

/// The relations that a plan reads as streams.
pub fn stream_leaves(plan: &LogicalPlan) -> Vec<Arc<Relation>> {
    leaves(plan).into_iter().filter(|relation| relation.streaming).collect()
}

/// True if the plan reads a stream.
pub fn is_streaming(plan: &LogicalPlan) -> bool {
    leaves(plan).iter().any(|relation| relation.streaming)
}

/// What a streaming query does that it may not do, with positions; empty for batch queries. Views are checked where they are defined.
pub fn check_streaming(analysed: &AnalysedQuery) -> Vec<Diagnostic> {
    if analysed.streaming { analysed.violations.clone() } else { Vec::new() }
}
