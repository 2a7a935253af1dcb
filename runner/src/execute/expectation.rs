//! Expectations on record batches: every predicate on every row, in one pass; what is kept, what is quarantined, and the counts.
//!
//! A predicate that is FALSE or NULL is violated, so that each row is in exactly one of target and quarantine.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, StructArray,
            TimestampMicrosecondArray,
        },
        buffer::BooleanBuffer,
        compute::filter_record_batch,
        datatypes::{DataType, Field, Schema, SchemaRef},
    },
    error::{DataFusionError, Result},
    physical_expr::PhysicalExpr,
};
use floe_crds::state::ExpectationAction;
use floe_graph::{cdc::HIDDEN_PREFIX, graph::ResolvedExpectation};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, FailureClass};

/// Rows that met and that violated one expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectationCount {
    /// Name of the expectation.
    pub name: String,
    /// Full name of the dataset that declares it.
    pub dataset: String,
    /// Rows for which the predicate is TRUE.
    #[serde(rename = "passed_records")]
    pub passed: u64,
    /// Rows for which it is FALSE or NULL.
    #[serde(rename = "failed_records")]
    pub failed: u64,
}

/// The counters of chapter 10 for one flow and one micro-batch or refresh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataQuality {
    /// Rows that were not written because of an expectation.
    pub dropped_records: u64,
    /// Rows that went into the quarantine table.
    pub quarantined_records: u64,
    /// Counters per expectation, in the order of the definition.
    pub expectations: Vec<ExpectationCount>,
}

/// The expectations of one dataset with running counts; shared by all partitions of a query.
#[derive(Debug)]
pub struct Tally {
    expectations: Vec<ResolvedExpectation>,
    passed: Vec<AtomicU64>,
    failed: Vec<AtomicU64>,
    dropped: AtomicU64,
    quarantined: AtomicU64,
    /// The first row that violated a FAIL expectation, as JSON.
    sample: Mutex<Option<String>>,
}

impl DataQuality {
    /// Adds the counts of a later micro-batch, expectation by expectation.
    pub fn add(&mut self, later: &Self) {
        self.dropped_records += later.dropped_records;
        self.quarantined_records += later.quarantined_records;
        for count in &later.expectations {
            match self.expectations.iter_mut().find(|known| known.name == count.name && known.dataset == count.dataset) {
                Some(known) => {
                    known.passed += count.passed;
                    known.failed += count.failed;
                }
                None => self.expectations.push(count.clone()),
            }
        }
    }
}

impl Tally {
    /// A tally at zero.
    pub fn new(expectations: Vec<ResolvedExpectation>) -> Self {
        let zeros = |n: usize| (0..n).map(|_| AtomicU64::new(0)).collect();
        let n = expectations.len();
        Self {
            expectations,
            passed: zeros(n),
            failed: zeros(n),
            dropped: AtomicU64::new(0),
            quarantined: AtomicU64::new(0),
            sample: Mutex::new(None),
        }
    }

    /// The expectations that are counted.
    pub fn expectations(&self) -> &[ResolvedExpectation] {
        &self.expectations
    }

    /// The counts so far.
    pub fn data_quality(&self) -> DataQuality {
        let count = |(i, e): (usize, &ResolvedExpectation)| ExpectationCount {
            name: e.name.clone(),
            dataset: e.dataset.clone(),
            passed: self.passed[i].load(Ordering::Relaxed),
            failed: self.failed[i].load(Ordering::Relaxed),
        };
        DataQuality {
            dropped_records: self.dropped.load(Ordering::Relaxed),
            quarantined_records: self.quarantined.load(Ordering::Relaxed),
            expectations: self.expectations.iter().enumerate().map(count).collect(),
        }
    }

    /// The failure of `flow` if a FAIL expectation was violated: names each with its counts, and a record.
    pub fn failure(&self, flow: &str, sample_records: bool) -> Option<Failure> {
        let violated: Vec<String> = self
            .data_quality()
            .expectations
            .iter()
            .zip(&self.expectations)
            .filter(|(count, e)| e.action == ExpectationAction::Fail && count.failed > 0)
            .map(|(count, e)| format!("'{}' ({} of {} records)", e.name, count.failed, count.passed + count.failed))
            .collect();
        if violated.is_empty() {
            return None;
        }
        let sample = self.sample.lock().ok().and_then(|sample| sample.clone()).unwrap_or_default();
        let record = if sample_records { sample } else { "***".to_string() };
        let message = format!(
            "Flow '{flow}' failed to meet the expectation. Violated expectations: {}. Output record: '{record}'",
            violated.join(", ")
        );
        Some(Failure::new(FailureClass::Expectation, "EXPECTATION_VIOLATION", message).in_flow(flow))
    }
}

/// Where the rows of one batch go.
#[derive(Debug)]
pub struct Sorted {
    /// Rows for the target.
    pub kept: RecordBatch,
    /// Rows for the quarantine table, with the column `_quarantine` at the end.
    pub quarantined: Option<RecordBatch>,
}

/// Who quarantined a row and when: the constant part of the column `_quarantine`.
#[derive(Clone, Debug)]
pub struct QuarantineOrigin {
    /// The flow that read the rows.
    pub flow: String,
    /// The update that read them.
    pub update_id: String,
    /// The micro-batch that read them.
    pub batch_id: i64,
    /// Epoch microseconds of the batch.
    pub at_us: i64,
}

/// Evaluates the expectations of one dataset on batches.
#[derive(Debug)]
pub struct Evaluator {
    tally: Arc<Tally>,
    predicates: Vec<Arc<dyn PhysicalExpr>>,
    origin: QuarantineOrigin,
}

impl Evaluator {
    /// `predicates` are the bound predicates of `tally`, in the same order.
    pub fn new(tally: Arc<Tally>, predicates: Vec<Arc<dyn PhysicalExpr>>, origin: QuarantineOrigin) -> Self {
        Self { tally, predicates, origin }
    }

    /// Counts every expectation on every row and sorts the rows by the strongest action that is violated.
    pub fn sort_rows(&self, batch: RecordBatch) -> Result<Sorted> {
        if self.predicates.is_empty() || batch.num_rows() == 0 {
            return Ok(Sorted { kept: batch, quarantined: None });
        }
        let violations = self.violations(&batch)?;
        let any = |action: ExpectationAction| union(&violations, &self.tally.expectations, action, batch.num_rows());
        self.keep_sample(&batch, any(ExpectationAction::Fail).as_ref())?;
        let quarantine = any(ExpectationAction::Quarantine);
        let drop = any(ExpectationAction::Drop);
        let quarantined = quarantine.as_ref().map(|rows| self.quarantined(&batch, rows, &violations)).transpose()?.flatten();
        let out = match (drop, quarantine) {
            (Some(a), Some(b)) => Some(&a | &b),
            (a, b) => a.or(b),
        };
        let Some(out) = out else { return Ok(Sorted { kept: batch, quarantined }) };
        self.tally.dropped.fetch_add(out.count_set_bits() as u64, Ordering::Relaxed);
        let kept = if out.count_set_bits() == 0 { batch } else { filter_record_batch(&batch, &BooleanArray::new(!&out, None))? };
        Ok(Sorted { kept, quarantined })
    }

    /// Per expectation, the rows where its predicate is FALSE or NULL.
    fn violations(&self, batch: &RecordBatch) -> Result<Vec<BooleanBuffer>> {
        let mut all = Vec::with_capacity(self.predicates.len());
        for (i, predicate) in self.predicates.iter().enumerate() {
            let value = predicate.evaluate(batch)?.into_array(batch.num_rows())?;
            let passed = passed_rows(&value)?;
            let passed_count = passed.count_set_bits() as u64;
            self.tally.passed[i].fetch_add(passed_count, Ordering::Relaxed);
            self.tally.failed[i].fetch_add(batch.num_rows() as u64 - passed_count, Ordering::Relaxed);
            all.push(!&passed);
        }
        Ok(all)
    }

    fn keep_sample(&self, batch: &RecordBatch, failed: Option<&BooleanBuffer>) -> Result<()> {
        let Some(row) = failed.and_then(|rows| rows.set_indices().next()) else { return Ok(()) };
        let mut sample =
            self.tally.sample.lock().map_err(|_| DataFusionError::Internal("a sample record could not be kept".to_string()))?;
        if sample.is_none() {
            *sample = Some(record_json(&without_hidden(&batch.slice(row, 1))?)?);
        }
        Ok(())
    }

    fn quarantined(&self, batch: &RecordBatch, rows: &BooleanBuffer, violations: &[BooleanBuffer]) -> Result<Option<RecordBatch>> {
        let count = rows.count_set_bits();
        self.tally.quarantined.fetch_add(count as u64, Ordering::Relaxed);
        if count == 0 {
            return Ok(None);
        }
        let mut names = ListBuilder::new(StringBuilder::new());
        for row in rows.set_indices() {
            for (expectation, violated) in self.tally.expectations.iter().zip(violations) {
                if violated.value(row) {
                    names.values().append_value(&expectation.name);
                }
            }
            names.append(true);
        }
        let kept = filter_record_batch(&without_hidden(batch)?, &BooleanArray::new(rows.clone(), None))?;
        let schema = quarantine_schema(&kept.schema());
        let mut columns = kept.columns().to_vec();
        columns.push(self.quarantine_column(&schema, Arc::new(names.finish()), count)?);
        Ok(Some(RecordBatch::try_new(schema, columns)?))
    }

    fn quarantine_column(&self, schema: &Schema, names: ArrayRef, count: usize) -> Result<ArrayRef> {
        let DataType::Struct(fields) = schema.field(schema.fields().len() - 1).data_type() else {
            return Err(DataFusionError::Internal("the quarantine column is not a struct".to_string()));
        };
        let text = |value: &str| Arc::new(StringArray::from(vec![value; count])) as ArrayRef;
        let columns: Vec<ArrayRef> = vec![
            names,
            text(&self.origin.flow),
            text(&self.origin.update_id),
            Arc::new(Int64Array::from(vec![self.origin.batch_id; count])),
            Arc::new(TimestampMicrosecondArray::from(vec![self.origin.at_us; count]).with_timezone("UTC")),
        ];
        Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
    }
}

/// The schema of the rows that leave `output` for its quarantine table.
pub fn quarantine_schema(output: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = output.fields().iter().cloned().collect();
    fields.push(Arc::new(floe_graph::graph::quarantine_field()));
    Arc::new(Schema::new(fields))
}

fn passed_rows(value: &ArrayRef) -> Result<BooleanBuffer> {
    let value = value
        .as_boolean_opt()
        .ok_or_else(|| DataFusionError::Internal(format!("an expectation gave {} instead of a boolean", value.data_type())))?;
    Ok(match value.nulls() {
        Some(valid) => value.values() & valid.inner(),
        None => value.values().clone(),
    })
}

/// The rows that violate an expectation with this action; `None` if no expectation has it.
fn union(
    violations: &[BooleanBuffer],
    expectations: &[ResolvedExpectation],
    action: ExpectationAction,
    rows: usize,
) -> Option<BooleanBuffer> {
    let mut of_action = expectations.iter().zip(violations).filter(|(e, _)| e.action == action).map(|(_, rows)| rows);
    let first = of_action.next()?.clone();
    debug_assert_eq!(first.len(), rows);
    Some(of_action.fold(first, |all, rows| &all | rows))
}

/// The batch without the columns that plans carry for Floe itself.
fn without_hidden(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = batch.schema();
    let is_shown = |index: &usize| !schema.field(*index).name().starts_with(HIDDEN_PREFIX);
    let shown: Vec<usize> = (0..batch.num_columns()).filter(is_shown).collect();
    Ok(batch.project(&shown)?)
}

/// One row as a JSON object.
pub fn record_json(row: &RecordBatch) -> Result<String> {
    let mut writer = datafusion::arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, datafusion::arrow::json::writer::LineDelimited>(Vec::new());
    writer.write(row)?;
    writer.finish()?;
    Ok(String::from_utf8_lossy(&writer.into_inner()).trim_end().to_string())
}

#[cfg(test)]
mod tests {
    use datafusion::{
        arrow::datatypes::Int64Type,
        logical_expr::{Expr, col, lit},
        prelude::SessionContext,
    };
    use proptest::prelude::*;

    use super::*;

    fn rows(values: &[Option<i64>]) -> RecordBatch {
        let ids = Int64Array::from_iter_values(0..values.len() as i64);
        RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef), ("n", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef)])
            .unwrap()
    }

    fn evaluator(rules: &[(&str, Expr, ExpectationAction)], schema: &Schema) -> Evaluator {
        let state = SessionContext::new().state();
        let df_schema = schema.clone().try_into().unwrap();
        let expectations = rules.iter().map(|(name, predicate, action)| ResolvedExpectation {
            name: (*name).to_string(),
            dataset: "main.s.t".to_string(),
            text: predicate.to_string(),
            predicate: predicate.clone(),
            action: *action,
        });
        let predicates = rules.iter().map(|(_, predicate, _)| state.create_physical_expr(predicate.clone(), &df_schema).unwrap()).collect();
        let origin = QuarantineOrigin { flow: "f".to_string(), update_id: "u".to_string(), batch_id: 7, at_us: 1_000_000 };
        Evaluator::new(Arc::new(Tally::new(expectations.collect())), predicates, origin)
    }

    fn ids(batch: &RecordBatch) -> Vec<i64> {
        batch.column(0).as_primitive::<Int64Type>().values().to_vec()
    }

    fn counts(evaluator: &Evaluator) -> Vec<(u64, u64)> {
        evaluator.tally.data_quality().expectations.iter().map(|count| (count.passed, count.failed)).collect()
    }

    #[test]
    fn p44_expect_drop_removes_rows() {
        // `a` fails on 0 and 1, `b` on 1, 2 and 3: one row fails both.
        let batch = rows(&(0..10).map(Some).collect::<Vec<_>>());
        let (a, b) = (col("n").gt_eq(lit(2_i64)), col("n").eq(lit(0_i64)).or(col("n").gt_eq(lit(4_i64))));
        let rules = [("a", a, ExpectationAction::Drop), ("b", b, ExpectationAction::Warn)];
        let evaluator = evaluator(&rules, &batch.schema());
        let sorted = evaluator.sort_rows(batch).unwrap();
        assert_eq!(ids(&sorted.kept), [2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(counts(&evaluator), [(8, 2), (7, 3)]);
        let quality = evaluator.tally.data_quality();
        assert_eq!((quality.dropped_records, quality.quarantined_records), (2, 0));
    }

    #[test]
    fn p46_null_predicate_is_violation() {
        let batch = rows(&[Some(5), None, Some(500)]);
        let rules = [("price", col("n").between(lit(0_i64), lit(100_i64)), ExpectationAction::Drop)];
        let evaluator = evaluator(&rules, &batch.schema());
        assert_eq!(ids(&evaluator.sort_rows(batch).unwrap().kept), [0]);
        assert_eq!(counts(&evaluator), [(1, 2)]);
    }

    #[test]
    fn failure_names_expectations_and_shows_a_record() {
        let batch = rows(&[Some(1), Some(2), None]);
        let rules = [("one", col("n").eq(lit(1_i64)), ExpectationAction::Fail), ("any", lit(false), ExpectationAction::Warn)];
        let evaluator = evaluator(&rules, &batch.schema());
        evaluator.sort_rows(batch).unwrap();
        let failure = evaluator.tally.failure("f", true).unwrap();
        assert_eq!(failure.class, FailureClass::Expectation);
        let expected = "[EXPECTATION_VIOLATION] Flow 'f' failed to meet the expectation. Violated expectations: 'one' (2 of 3 records). \
                        Output record: '{\"id\":1,\"n\":2}'";
        assert_eq!(failure.to_string(), expected);
        assert!(evaluator.tally.failure("f", false).unwrap().message.ends_with("Output record: '***'"));
    }

    #[test]
    fn columns_of_the_plan_itself_are_kept_and_never_shown() {
        let order = Arc::new(Int64Array::from(vec![5, 6])) as ArrayRef;
        let shown = rows(&[Some(1), Some(2)]);
        let columns = shown.columns().iter().cloned().chain([order]);
        let batch = RecordBatch::try_from_iter(["id", "n", "__floe_order_1"].into_iter().zip(columns)).unwrap();
        let rules =
            [("one", col("n").eq(lit(1_i64)), ExpectationAction::Quarantine), ("none", col("n").eq(lit(1_i64)), ExpectationAction::Fail)];
        let evaluator = evaluator(&rules, &batch.schema());
        let sorted = evaluator.sort_rows(batch).unwrap();
        assert_eq!(sorted.kept.schema().field(2).name(), "__floe_order_1");
        let quarantined = sorted.quarantined.unwrap().schema();
        let names: Vec<&str> = quarantined.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["id", "n", "_quarantine"]);
        assert!(evaluator.tally.failure("f", true).unwrap().message.ends_with("Output record: '{\"id\":1,\"n\":2}'"));
    }

    #[test]
    fn quarantined_rows_name_every_violated_expectation() {
        let batch = rows(&[Some(1), None, Some(3)]);
        let rules = [
            ("odd", (col("n") % lit(3_i64)).eq(lit(1_i64)), ExpectationAction::Quarantine),
            ("small", col("n").lt(lit(2_i64)), ExpectationAction::Drop),
        ];
        let evaluator = evaluator(&rules, &batch.schema());
        let sorted = evaluator.sort_rows(batch).unwrap();
        let quarantined = sorted.quarantined.unwrap();
        assert_eq!((ids(&sorted.kept), ids(&quarantined)), (vec![0], vec![1, 2]));
        let note = record_json(&quarantined.slice(0, 1)).unwrap();
        assert_eq!(
            note,
            "{\"id\":1,\"n\":null,\"_quarantine\":{\"expectations\":[\"odd\",\"small\"],\"flow\":\"f\",\"update_id\":\"u\",\"batch_id\":7,\
             \"at\":\"1970-01-01T00:00:01Z\"}}"
        );
        let quality = evaluator.tally.data_quality();
        assert_eq!((quality.dropped_records, quality.quarantined_records), (2, 2));
    }

    proptest! {
        #[test]
        fn p47_quarantine_is_exact_complement(values in prop::collection::vec(prop::option::of(-3_i64..3), 0..40)) {
            let batch = rows(&values);
            let rules = [
                ("positive", col("n").gt(lit(0_i64)), ExpectationAction::Quarantine),
                ("not_one", col("n").not_eq(lit(1_i64)), ExpectationAction::Quarantine),
            ];
            let evaluator = evaluator(&rules, &batch.schema());
            let sorted = evaluator.sort_rows(batch).unwrap();
            let kept = ids(&sorted.kept);
            let quarantined = sorted.quarantined.as_ref().map(ids).unwrap_or_default();
            let expected: Vec<i64> = (0..).zip(&values).filter(|(_, n)| **n == Some(2)).map(|(id, _)| id).collect();
            prop_assert_eq!(&kept, &expected);
            let mut all = [kept, quarantined].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..values.len() as i64).collect::<Vec<_>>());
        }
    }
}
