//! The physical operator of `WATERMARK`: passes rows on and notes their event times.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{AsArray, RecordBatch},
        compute::cast,
        datatypes::TimestampMicrosecondType,
    },
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{ExecutionPlan, stream::RecordBatchStreamAdapter},
};
use futures::StreamExt;

use super::{StateRun, instant};
use crate::execute::operator::RowOperator;

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
pub struct Noting {
    /// Of the watermark.
    pub name: String,
    /// The event time.
    pub column: [Arc<dyn PhysicalExpr>; 1],
    /// `None`: nothing is noted.
    pub run: Option<Arc<StateRun>>,
}

impl RowOperator for Noting {
    const NAME: &'static str = "WatermarkExec";

    fn details(&self) -> String {
        self.name.clone()
    }

    fn expressions(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.column
    }

    fn execute(&self, input: &Arc<dyn ExecutionPlan>, partition: usize, context: &Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = input.execute(partition, Arc::clone(context))?;
        let Some(run) = self.run.clone() else { return Ok(rows) };
        let (name, [column]) = (self.name.clone(), self.column.clone());
        let noted = rows.map(move |batch| {
            let batch = batch?;
            run.add_event_times(&name, &EventTimes::of(&batch, &column)?);
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(input.schema(), noted)))
    }
}
