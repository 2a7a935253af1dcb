//! The only place that builds a DataFusion session: memory pool, spill directory, planner settings, and the step from a resolved
//! plan (leaves and functions by name) to one that can be executed.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::TableProvider,
    common::{
        DFSchema,
        tree_node::{Transformed, TreeNodeRecursion},
    },
    datasource::provider_as_source,
    error::DataFusionError,
    execution::{
        SessionState, SessionStateBuilder, TaskContext,
        context::QueryPlanner,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::{FairSpillPool, TrackConsumersPool},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::{Expr, LogicalPlan, TableScanBuilder},
    physical_expr::PhysicalExpr,
    physical_plan::ExecutionPlan,
    prelude::SessionConfig,
};
use floe_graph::relation::RelationSource;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{
    engine_failure::engine_error,
    failure::Failure,
    functions::{BatchClock, bind_expression, bind_functions},
};

/// What a session may use.
#[derive(Clone, Debug)]
pub struct SessionLimits {
    /// Memory of the whole process, in bytes; 60 % of it go to the pool of the operators, 20 % to writers. `None`: not bounded.
    pub memory_bytes: Option<u64>,
    /// Where sorts, aggregates and joins spill; `None`: the temporary directory of the system.
    pub spill_directory: Option<PathBuf>,
    /// Partitions of a plan that run at once.
    pub parallelism: usize,
}

/// The part of the memory limit that operators may use; Parquet buffers of readers and log snapshots live outside of it.
const POOL_PERCENT: u64 = 60;
/// The part that the writers of data files may use.
const WRITER_PERCENT: u64 = 20;
/// The part of the pool that each sort may keep back for merging: one in so many.
const MERGE_POOL_SHARE: usize = 32;
/// Rows of a batch when memory is short: at most so many, and one for so many bytes of the pool, since a sort holds two batches.
const SPILLING_BATCH_ROWS: usize = 1024;
const POOL_BYTES_PER_ROW: usize = 64 << 10;
/// Sorted runs on disk that a merge reads at once: at least so many, and one for so many bytes of the pool. A merge takes what it can get, and
/// several sorts share the pool.
const LEAST_MERGED_RUNS: usize = 4;
const POOL_BYTES_PER_RUN: usize = 4 << 20;
/// How many of the largest consumers an out-of-memory message names.
const NAMED_CONSUMERS: usize = 5;

impl SessionLimits {
    /// Memory of all writers of data files together.
    pub fn writer_bytes(&self) -> Option<u64> {
        self.memory_bytes.map(|bytes| bytes / 100 * WRITER_PERCENT)
    }
}

/// The engine of one process: one memory pool, shared by all flows that run at once.
#[derive(Clone, Debug)]
pub struct Session {
    runtime: Arc<RuntimeEnv>,
    config: SessionConfig,
    spilling_batch_rows: usize,
    spilling_turn: Arc<Mutex<()>>,
}

/// Makes a bound and optimised plan executable.
type Planner = Arc<dyn QueryPlanner + Send + Sync>;

/// What a resolved plan is bound to: one provider per leaf, and the time that `current_timestamp()` returns.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Each leaf of the plan with what it reads.
    pub providers: Vec<(RelationSource, Arc<dyn TableProvider>)>,
    /// Time of the batch.
    pub clock: BatchClock,
}

impl Session {
    /// A session with its own memory pool and spill directory.
    pub fn new(limits: &SessionLimits) -> Result<Self, Failure> {
        let mut runtime = RuntimeEnvBuilder::new();
        let mut config = config(limits.parallelism);
        let mut spilling_batch_rows = SPILLING_BATCH_ROWS;
        let mut disk = DiskManagerBuilder::default();
        if let Some(bytes) = limits.memory_bytes {
            let pool_bytes = (bytes * POOL_PERCENT / 100) as usize;
            // What sorts keep back for the merge of their runs must be small beside the pool, or it takes all of it.
            let options = &mut config.options_mut().execution;
            options.sort_spill_reservation_bytes = options.sort_spill_reservation_bytes.min(pool_bytes / MERGE_POOL_SHARE);
            spilling_batch_rows = (pool_bytes / POOL_BYTES_PER_ROW).clamp(64, SPILLING_BATCH_ROWS);
            disk.set_max_spill_merge_fan_in((pool_bytes / POOL_BYTES_PER_RUN).max(LEAST_MERGED_RUNS));
            let pool = FairSpillPool::new(pool_bytes);
            let named = NonZeroUsize::new(NAMED_CONSUMERS).unwrap_or(NonZeroUsize::MIN);
            runtime = runtime.with_memory_pool(Arc::new(TrackConsumersPool::new(pool, named)));
        }
        if let Some(directory) = &limits.spill_directory {
            disk.set_mode(DiskManagerMode::Directories(vec![directory.clone()]));
        }
        let runtime = runtime
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|e| Failure::internal("the query engine could not be started").caused_by(e))?;
        Ok(Self { runtime, config, spilling_batch_rows, spilling_turn: Arc::default() })
    }

    /// Those who try again with little memory do so one after another.
    pub async fn spilling_turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.spilling_turn).lock_owned().await
    }

    /// Partitions of a plan that run at once.
    pub fn parallelism(&self) -> usize {
        self.config.target_partitions()
    }

    /// The engine's shared resources; sources register their object stores here.
    pub fn runtime(&self) -> &Arc<RuntimeEnv> {
        &self.runtime
    }

    /// A state for one query, which `planner` makes executable.
    pub fn state(&self, planner: Planner) -> SessionState {
        self.state_with(self.config.clone(), planner)
    }

    /// The same for a second try after the pool was exhausted: without hash joins, which cannot spill, and with one partition and small
    /// batches, so that few operators share the pool and each spills in small steps.
    pub fn spilling_state(&self, planner: Planner) -> SessionState {
        let mut config = self.config.clone().with_target_partitions(1).with_batch_size(self.spilling_batch_rows);
        config.options_mut().optimizer.prefer_hash_join = false;
        self.state_with(config, planner)
    }

    fn state_with(&self, config: SessionConfig, planner: Planner) -> SessionState {
        SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(&self.runtime))
            .with_default_features()
            .with_query_planner(planner)
            .build()
    }
}

fn config(parallelism: usize) -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(parallelism).with_information_schema(false);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_string());
    options.execution.collect_statistics = false;
    // Types in Floe are exact: text is Utf8 in memory and in tables.
    options.execution.parquet.schema_force_view_types = false;
    options.execution.parquet.coerce_int96 = Some("us".to_string());
    // Both lead to a panic on dictionary-encoded partition columns (engine limits).
    options.optimizer.hash_join_inlist_pushdown_max_size = 0;
    options.optimizer.hash_join_inlist_pushdown_max_distinct_values = 0;
    config
}

/// Puts providers in the place of the leaves and implementations in the place of function signatures.
pub fn bind(plan: &LogicalPlan, binding: &Binding) -> Result<LogicalPlan, Failure> {
    let bound = plan
        .clone()
        .transform_up_with_subqueries(|node| bind_node(node, binding))
        .map_err(|e| Failure::internal("a resolved plan could not be bound to its sources").caused_by(e))?;
    bind_functions(bound.data, binding.clock).map_err(engine_error)
}

/// True if one provider serves both leaves.
pub fn same_leaf(a: &RelationSource, b: &RelationSource) -> bool {
    a.relation == b.relation && a.schema == b.schema
}

/// The leaves of a plan, each once. One relation stands there twice if one use needs `_metadata` and another does not.
pub fn leaves(plan: &LogicalPlan) -> Vec<RelationSource> {
    let mut found: Vec<RelationSource> = Vec::new();
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let source: &dyn std::any::Any = scan.source.as_ref();
            if let Some(leaf) = source.downcast_ref::<RelationSource>()
                && !found.iter().any(|known| same_leaf(known, leaf))
            {
                found.push(leaf.clone());
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok(), "the visitor never fails");
    found
}

fn bind_node(node: LogicalPlan, binding: &Binding) -> Result<Transformed<LogicalPlan>, DataFusionError> {
    let LogicalPlan::TableScan(scan) = node else {
        return node.recompute_schema().map(Transformed::yes);
    };
    let source: &dyn std::any::Any = scan.source.as_ref();
    let Some(leaf) = source.downcast_ref::<RelationSource>() else {
        return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
    };
    let (_, provider) = binding
        .providers
        .iter()
        .find(|(known, _)| same_leaf(known, leaf))
        .ok_or_else(|| DataFusionError::Internal(format!("no provider for {}", leaf.relation.source_id())))?;
    let source = provider_as_source(Arc::clone(provider));
    TableScanBuilder::new(scan.table_name, source)
        .with_projection(scan.projection)
        .with_filters(scan.filters)
        .with_fetch(scan.fetch)
        .build()
        .map(|scan| Transformed::yes(LogicalPlan::TableScan(scan)))
}

/// Optimises a bound plan and makes it executable.
pub async fn physical_plan(
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>), DataFusionError> {
    let physical = state.create_physical_plan(plan).await?;
    Ok((physical, state.task_ctx()))
}

/// Predicates over rows of `schema`, ready to be evaluated on record batches.
pub fn bind_predicates(
    state: &SessionState,
    predicates: Vec<Expr>,
    schema: &SchemaRef,
    clock: BatchClock,
) -> Result<Vec<Arc<dyn PhysicalExpr>>, Failure> {
    let df_schema = DFSchema::try_from(Arc::clone(schema)).map_err(engine_error)?;
    let bound = |predicate: Expr| {
        let predicate = bind_expression(predicate, clock).map_err(engine_error)?;
        state.create_physical_expr(predicate, &df_schema).map_err(engine_error)
    };
    predicates.into_iter().map(bound).collect()
}

#[cfg(test)]
mod tests;
