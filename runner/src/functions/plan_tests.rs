//! Whole plans: stand-ins are replaced everywhere, aggregates and window functions give Spark's values.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray},
        datatypes::{DataType, Int32Type, Int64Type},
    },
    common::{DataFusionError, ScalarValue},
    datasource::{MemTable, provider_as_source},
    logical_expr::{
        Aggregate, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, WindowFunctionDefinition,
        expr::{AggregateFunction, ScalarFunction, WindowFunction},
        lit,
    },
    prelude::{SessionConfig, SessionContext, col, in_subquery},
};
use floe_graph::function::{self, SqlSettings};

use super::{BatchClock, FunctionError, bind_functions};

const CLOCK: BatchClock = BatchClock { timestamp_us: 1_637_255_562_335_000 };

fn scan(columns: Vec<(&str, ArrayRef)>) -> LogicalPlanBuilder {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).expect("batch");
    let table = MemTable::try_new(batch.schema(), vec![vec![batch.slice(0, 2), batch.slice(2, batch.num_rows() - 2)]]).expect("table");
    LogicalPlanBuilder::scan("t", provider_as_source(Arc::new(table)), None).expect("scan")
}

fn rows() -> LogicalPlanBuilder {
    scan(vec![
        ("g", Arc::new(StringArray::from(vec!["a", "a", "b", "a", "b"]))),
        ("n", Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4), Some(10)]))),
        ("x", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.0, 5.0]))),
        ("m", Arc::new(Decimal128Array::from(vec![100, 250, 1, 50, 7]).with_precision_and_scale(10, 2).expect("decimal"))),
    ])
}

fn scalar(name: &str, args: Vec<Expr>) -> Expr {
    let spec = function::scalar(name).expect(name);
    Expr::ScalarFunction(ScalarFunction::new_udf(function::scalar_stub(spec, &SqlSettings::default()), args))
}

fn aggregate(name: &str, args: Vec<Expr>, distinct: bool) -> Expr {
    let spec = function::aggregate(name).expect(name);
    let stub = function::aggregate_stub(spec, &SqlSettings::default());
    Expr::AggregateFunction(AggregateFunction::new_udf(stub, args, distinct, None, vec![], None))
}

async fn execute(plan: LogicalPlan) -> Result<Vec<RecordBatch>, DataFusionError> {
    let schema = Arc::clone(plan.schema());
    let bound = bind_functions(plan, CLOCK)?;
    assert_eq!(*bound.schema(), schema, "binding keeps the schema");
    let ctx = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    ctx.execute_logical_plan(bound).await?.collect().await
}

fn text(array: &dyn Array, row: usize) -> String {
    let formatter =
        datafusion::arrow::util::display::ArrayFormatter::try_new(array, &datafusion::arrow::util::display::FormatOptions::default())
            .expect("formatter");
    if array.is_null(row) { "NULL".to_string() } else { formatter.value(row).to_string() }
}

/// The values of one row without groups.
async fn totals(expressions: Vec<Expr>) -> Vec<String> {
    let plan = rows().aggregate(Vec::<Expr>::new(), expressions).expect("aggregate").build().expect("plan");
    let batches = execute(plan).await.expect("run");
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).expect("row");
    batch.columns().iter().map(|column| text(column, 0)).collect()
}

#[tokio::test]
async fn aggregates_of_all_rows() {
    let n = || vec![col("n")];
    let values = totals(vec![
        aggregate("count", vec![lit(1)], false),
        aggregate("count", n(), false),
        aggregate("sum", n(), false),
        aggregate("avg", n(), false),
        aggregate("sum", vec![col("m")], false),
        aggregate("avg", vec![col("m")], false),
        aggregate("max", n(), false),
        aggregate("stddev_pop", vec![col("x")], false),
        aggregate("median", vec![col("x")], false),
        aggregate("count_if", vec![col("x").gt(lit(2.5))], false),
        aggregate("approx_count_distinct", vec![col("g")], false),
        aggregate("approx_count_distinct", vec![col("x")], false),
    ])
    .await;
    assert_eq!(values, ["5", "4", "17", "4.25", "4.08", "0.816000", "10", "1.4142135623730951", "3.0", "3", "2", "5"]);
}

#[tokio::test]
async fn aggregates_that_keep_values() {
    let fractions = scalar("array", vec![lit(0.25), lit(0.5)]);
    let values = totals(vec![
        aggregate("collect_list", vec![col("n")], false),
        aggregate("max_by", vec![col("g"), col("n")], false),
        aggregate("min_by", vec![col("x"), col("m")], false),
        aggregate("percentile", vec![col("x"), lit(0.1)], false),
        aggregate("percentile_approx", vec![col("n"), fractions], false),
        aggregate("listagg", vec![col("g"), lit("|")], false),
        aggregate("first", vec![col("g")], false),
        aggregate("bool_or", vec![col("x").gt(lit(4.5))], false),
        aggregate("count", vec![col("g")], true),
    ])
    .await;
    assert_eq!(values, ["[1, 2, 4, 10]", "b", "3.0", "1.4", "[1, 2]", "a|a|b|a|b", "a", "true", "2"]);
}

#[tokio::test]
async fn aggregates_of_groups() {
    let plan = rows()
        .aggregate(
            vec![col("g")],
            vec![
                aggregate("sum", vec![col("n")], false),
                aggregate("collect_set", vec![col("g")], false),
                aggregate("max_by", vec![col("x"), col("n")], false),
                aggregate("count_if", vec![col("n").gt(lit(1_i64))], false),
            ],
        )
        .and_then(|plan| plan.sort(vec![col("g").sort(true, false)]))
        .and_then(LogicalPlanBuilder::build)
        .expect("plan");
    let batches = execute(plan).await.expect("run");
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).expect("rows");
    let row = |row: usize| batch.columns().iter().map(|column| text(column, row)).collect::<Vec<_>>();
    assert_eq!(row(0), ["a", "7", "[a]", "4.0", "2"]);
    assert_eq!(row(1), ["b", "10", "[b]", "5.0", "1"]);
}

#[tokio::test]
async fn p102_aggregate_of_literal() {
    let null_double = lit(ScalarValue::Float64(None));
    let values = totals(vec![
        aggregate("count", vec![lit("order_id")], false),
        aggregate("avg", vec![scalar("$cast", vec![lit("quantity"), null_double])], false),
    ])
    .await;
    assert_eq!(values, ["5", "NULL"]);
}

#[tokio::test]
async fn empty_groups() {
    let plan = rows()
        .filter(col("x").gt(lit(100.0)))
        .and_then(|plan| {
            let names = ["count", "sum", "collect_list", "max_by", "approx_count_distinct", "listagg"];
            let arguments = |name: &str| if name == "max_by" { vec![col("g"), col("n")] } else { vec![col("g")] };
            let expressions = names.iter().map(|name| {
                let args = if *name == "sum" { vec![col("n")] } else { arguments(name) };
                aggregate(name, args, false)
            });
            plan.aggregate(Vec::<Expr>::new(), expressions)
        })
        .and_then(LogicalPlanBuilder::build)
        .expect("plan");
    let batches = execute(plan).await.expect("run");
    let values: Vec<String> = batches[0].columns().iter().map(|column| text(column, 0)).collect();
    assert_eq!(values, ["0", "NULL", "[]", "NULL", "0", "NULL"]);
}

#[tokio::test]
async fn overflow_of_a_sum_is_an_error() {
    let big = || scan(vec![("n", Arc::new(Int64Array::from(vec![i64::MAX, 1, 5])) as ArrayRef)]);
    let plan = |name: &str| {
        big().aggregate(Vec::<Expr>::new(), vec![aggregate(name, vec![col("n")], false)]).expect("aggregate").build().expect("plan")
    };
    let error = execute(plan("sum")).await.expect_err("overflow");
    assert_eq!(FunctionError::find(&error).map(|error| error.class), Some("ARITHMETIC_OVERFLOW"));
    let batches = execute(plan("try_sum")).await.expect("null");
    assert!(batches[0].column(0).is_null(0));
}

fn window(fun: WindowFunctionDefinition, args: Vec<Expr>) -> Expr {
    let expr = Expr::WindowFunction(Box::new(WindowFunction::new(fun, args)));
    expr.partition_by(vec![col("g")]).order_by(vec![col("x").sort(true, false)]).build().expect("window")
}

#[tokio::test]
async fn window_functions() {
    let settings = SqlSettings::default();
    let named = |name: &str| WindowFunctionDefinition::WindowUDF(function::window_stub(function::window(name).expect(name), &settings));
    let sum = WindowFunctionDefinition::AggregateUDF(function::aggregate_stub(function::aggregate("sum").expect("sum"), &settings));
    let plan = rows()
        .window(vec![
            window(named("row_number"), vec![]),
            window(named("lag"), vec![col("x"), lit(1_i64)]),
            window(named("ntile"), vec![lit(2)]),
            window(sum, vec![col("n")]),
        ])
        .and_then(|plan| plan.sort(vec![col("g").sort(true, false), col("x").sort(true, false)]))
        .and_then(LogicalPlanBuilder::build)
        .expect("plan");
    let batches = execute(plan).await.expect("run");
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).expect("rows");
    assert_eq!(batch.column(4).data_type(), &DataType::Int32);
    assert_eq!(batch.column(4).as_primitive::<Int32Type>().values().to_vec(), [1, 2, 3, 1, 2]);
    let lag: Vec<String> = (0..5).map(|row| text(batch.column(5), row)).collect();
    assert_eq!(lag, ["NULL", "1.0", "2.0", "NULL", "3.0"]);
    assert_eq!(batch.column(6).as_primitive::<Int32Type>().values().to_vec(), [1, 1, 2, 1, 2]);
    let sums: Vec<Option<i64>> = batch.column(7).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(sums, [Some(1), Some(3), Some(7), None, Some(10)]);
}

#[tokio::test]
async fn stand_ins_in_subqueries_are_replaced() {
    let inner = rows()
        .project(vec![scalar("upper", vec![col("g")]).alias("u")])
        .and_then(|plan| plan.filter(col("u").eq(lit("A"))))
        .and_then(LogicalPlanBuilder::build)
        .expect("inner");
    let plan = rows()
        .filter(in_subquery(scalar("upper", vec![col("g")]), Arc::new(inner)))
        .and_then(|plan| plan.project(vec![col("n"), scalar("current_timestamp", vec![]).alias("now")]))
        .and_then(LogicalPlanBuilder::build)
        .expect("plan");
    let batches = execute(plan).await.expect("run");
    let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(count, 3);
    assert_eq!(text(batches[0].column(1), 0), "2021-11-18T17:12:42.335Z");
}

#[tokio::test]
async fn coalesce_evaluates_only_what_is_needed() {
    // The second argument would overflow, but no row needs it.
    let overflow = scalar("$add", vec![lit(i64::MAX), col("n")]);
    let plan = rows()
        .filter(col("n").is_not_null())
        .and_then(|plan| plan.project(vec![scalar("coalesce", vec![col("n"), overflow]).alias("c")]))
        .and_then(LogicalPlanBuilder::build)
        .expect("plan");
    let batches = execute(plan).await.expect("run");
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
}

#[test]
fn unknown_time_zones_are_refused() {
    let settings = SqlSettings { time_zone: "Mars/Olympus".to_string(), ..SqlSettings::default() };
    let stub = function::scalar_stub(function::scalar("hour").expect("hour"), &settings);
    let expr =
        Expr::ScalarFunction(ScalarFunction::new_udf(stub, vec![lit(ScalarValue::TimestampMicrosecond(Some(0), Some("UTC".into())))]));
    let error = super::bind_expression(expr, CLOCK).expect_err("zone");
    assert_eq!(FunctionError::find(&error).map(|error| error.class), Some("INVALID_TIMEZONE"));
}

/// A plan node that is rebuilt keeps what it was.
#[test]
fn binding_twice_changes_nothing() {
    let plan = rows().aggregate(vec![col("g")], vec![aggregate("sum", vec![col("n")], false)]).expect("plan").build().expect("plan");
    let bound = bind_functions(plan, CLOCK).expect("bound");
    assert!(matches!(&bound, LogicalPlan::Aggregate(Aggregate { aggr_expr, .. }) if aggr_expr.len() == 1));
    assert_eq!(bind_functions(bound.clone(), CLOCK).expect("again"), bound);
}
