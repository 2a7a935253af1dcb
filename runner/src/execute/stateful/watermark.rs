//! The physical operator of `WATERMARK`: passes rows on and notes their event times.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::{
        array::{AsArray, RecordBatch},
        compute::cast,
        datatypes::TimestampMicrosecondType,
    },
    common::tree_node::TreeNodeRecursion,
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::StreamExt;

use super::{StateRun, instant};

/// Event times that have passed, µs since 1970 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventTimes {
    /// The least and the greatest.
    pub bounds: Option<(i64, i64)>,
    /// Of all.
    pub sum: i128,
    /// How many were not NULL.
    pub count: u64,
}

impl EventTimes {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.bounds = match (self.bounds, other.bounds) {
            (Some((low, high)), Some((other_low, other_high))) => Some((low.min(other_low), high.max(other_high))),
            (one, other) => one.or(other),
        };
        self.sum += other.sum;
        self.count += other.count;
    }

    fn of(rows: &RecordBatch, column: &Arc<dyn PhysicalExpr>) -> Result<Self> {
        let times = cast(&column.evaluate(rows)?.into_array(rows.num_rows())?, &instant())?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let mut found = Self::default();
        for time in times.iter().flatten() {
            found.bounds = Some(found.bounds.map_or((time, time), |(low, high)| (low.min(time), high.max(time))));
            found.sum += i128::from(time);
            found.count += 1;
        }
        Ok(found)
    }
}

/// Notes event times.
pub struct WatermarkExec {
    input: Arc<dyn ExecutionPlan>,
    name: String,
    column: Arc<dyn PhysicalExpr>,
    run: Option<Arc<StateRun>>,
}

impl WatermarkExec {
    /// Over `input`, whose event time is `column`; without `run` nothing is noted.
    pub fn new(input: Arc<dyn ExecutionPlan>, name: String, column: Arc<dyn PhysicalExpr>, run: Option<Arc<StateRun>>) -> Self {
        Self { input, name, column, run }
    }
}

impl fmt::Debug for WatermarkExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatermarkExec({}, {:?})", self.name, self.input)
    }
}

impl DisplayAs for WatermarkExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatermarkExec: {}", self.name)
    }
}

impl ExecutionPlan for WatermarkExec {
    fn name(&self) -> &'static str {
        "WatermarkExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        f(&self.column)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children).map_err(|_| DataFusionError::Internal("WatermarkExec has one input".to_string()))?;
        Ok(Arc::new(Self { input, name: self.name.clone(), column: Arc::clone(&self.column), run: self.run.clone() }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        let Some(run) = self.run.clone() else { return Ok(rows) };
        let (name, column) = (self.name.clone(), Arc::clone(&self.column));
        let noted = rows.map(move |batch| {
            let batch = batch?;
            run.add_event_times(&name, &EventTimes::of(&batch, &column)?);
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), noted)))
    }
}
