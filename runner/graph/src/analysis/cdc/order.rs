//! Source order: hidden columns that say where a row comes from, carried from the leaves of a plan to its top.
//!
//! Rows with equal key and sequence are told apart by the place in their source: file and row, branch of a union, position in an exploded
//! array. The order is in the rows, so partitions, threads and joins with static tables cannot disturb it.

use std::{cell::Cell, sync::Arc};

use datafusion_common::{
    Column, JoinType, Result, ScalarValue,
    arrow::datatypes::{DataType, Field, Schema},
    internal_err,
};
use datafusion_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, TableScanBuilder, TableSource, cast, lit,
    logical_plan::{Join, Projection, SubqueryAlias, TableScan, Union, Unnest},
};

use super::super::{
    Expect, SqlSettings, is_streaming,
    state::{Deduplicate, Watermark},
};
use crate::{function, relation::RelationSource};

/// The hidden column at the end of a leaf's schema: `UInt64`, not NULL, increasing with the files of a micro-batch and the rows of a file.
pub const SOURCE_ORDER: &str = "__floe_source_order";
/// With a number from 1 on: the columns that a plan gives out, the most important one first.
const ORDER_PREFIX: &str = "__floe_order_";

/// The plan with order columns at the end, and their names: none if the plan does not keep the order of its source.
///
/// The order is that of its streams; of all leaves if it reads no stream.
pub fn with_source_order(plan: &LogicalPlan) -> Result<(LogicalPlan, Vec<String>)> {
    let streams_only = is_streaming(plan);
    let carried = Carrier { streams_only, operators: Cell::new(0) }.carried(plan)?;
    if carried.order.is_empty() {
        return Ok((plan.clone(), Vec::new()));
    }
    let width = plan.schema().fields().len();
    let names: Vec<String> = (1..=carried.order.len()).map(order_name).collect();
    let columns = carried.plan.schema().columns();
    let is_closed = columns[width..].iter().zip(&names).all(|(column, name)| column.relation.is_none() && column.name == *name);
    if is_closed && columns.len() == width + names.len() {
        return Ok((carried.plan, names));
    }
    let exprs = plan.schema().columns().into_iter().map(Expr::Column).chain(aliased(&carried.order));
    Ok((LogicalPlanBuilder::from(carried.plan).project(exprs)?.build()?, names))
}

fn order_name(number: usize) -> String {
    format!("{ORDER_PREFIX}{number}")
}

/// The columns under the names that a projection gives them.
fn aliased(order: &[Column]) -> impl Iterator<Item = Expr> {
    order.iter().enumerate().map(|(index, column)| Expr::Column(column.clone()).alias(order_name(index + 1)))
}

/// The columns that `aliased` gives out.
fn unqualified(count: usize) -> Vec<Column> {
    (1..=count).map(|number| Column::new_unqualified(order_name(number))).collect()
}

/// A plan and the order columns in its schema, the most important one first; none: the plan is unchanged.
struct Carried {
    plan: LogicalPlan,
    order: Vec<Column>,
}

impl Carried {
    fn without_order(plan: &LogicalPlan) -> Self {
        Self { plan: plan.clone(), order: Vec::new() }
    }
}

struct Carrier {
    /// Only leaves that are read as streams have an order.
    streams_only: bool,
    /// Operators with state that have their number.
    operators: Cell<usize>,
}

impl Carrier {
    fn carried(&self, plan: &LogicalPlan) -> Result<Carried> {
        match plan {
            LogicalPlan::TableScan(scan) => self.leaf(plan, scan),
            LogicalPlan::Projection(projection) => self.projection(plan, projection),
            LogicalPlan::SubqueryAlias(alias) => self.alias(plan, alias),
            LogicalPlan::Union(union) => self.union(plan, union),
            LogicalPlan::Join(join) => self.join(plan, join),
            LogicalPlan::Unnest(unnest) => self.unnest(plan, unnest),
            LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Window(_) => self.same_columns(plan),
            LogicalPlan::Extension(extension) => {
                let node = extension.node.as_any();
                match node.downcast_ref::<Deduplicate>() {
                    Some(operator) => self.deduplicate(plan, operator),
                    None if node.is::<Expect>() || node.is::<Watermark>() => self.same_columns(plan),
                    None => Ok(Carried::without_order(plan)),
                }
            }
            // Aggregates, de-duplication of batches, rows without a source.
            _ => Ok(Carried::without_order(plan)),
        }
    }

    fn leaf(&self, plan: &LogicalPlan, scan: &TableScan) -> Result<Carried> {
        let source: &dyn std::any::Any = scan.source.as_ref();
        let Some(leaf) = source.downcast_ref::<RelationSource>().filter(|leaf| leaf.relation.streaming || !self.streams_only) else {
            return Ok(Carried::without_order(plan));
        };
        let mut fields: Vec<_> = leaf.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(SOURCE_ORDER, DataType::UInt64, false)));
        let place = fields.len() - 1;
        let ordered = RelationSource { relation: Arc::clone(&leaf.relation), schema: Arc::new(Schema::new(fields)) };
        let ordered: Arc<dyn TableSource> = Arc::new(ordered);
        let projection = scan.projection.clone().map(|columns| columns.into_iter().chain([place]).collect());
        let plan = TableScanBuilder::new(scan.table_name.clone(), ordered)
            .with_projection(projection)
            .with_filters(scan.filters.clone())
            .with_fetch(scan.fetch)
            .build()?;
        Ok(Carried { plan: LogicalPlan::TableScan(plan), order: vec![Column::new(Some(scan.table_name.clone()), SOURCE_ORDER)] })
    }

    /// A node whose output columns are those of its one input, or begin with them.
    fn same_columns(&self, plan: &LogicalPlan) -> Result<Carried> {
        let Some(input) = plan.inputs().first().copied() else { return Ok(Carried::without_order(plan)) };
        let input = self.carried(input)?;
        if input.order.is_empty() {
            return Ok(Carried::without_order(plan));
        }
        let plan = plan.with_new_exprs(plan.expressions(), vec![input.plan])?;
        Ok(Carried { plan, order: input.order })
    }

    /// The operator needs the order itself, and every row that it gives out keeps its own.
    fn deduplicate(&self, plan: &LogicalPlan, operator: &Deduplicate) -> Result<Carried> {
        let input = self.carried(&operator.input)?;
        if input.order.is_empty() {
            return internal_err!("{plan} has no source order");
        }
        let number = self.operators.replace(self.operators.get() + 1);
        let order = input.order.iter().cloned().map(Expr::Column).collect();
        let node = Deduplicate { input: input.plan, number, order, ..operator.clone() };
        Ok(Carried { plan: LogicalPlan::Extension(Extension { node: Arc::new(node) }), order: input.order })
    }

    fn projection(&self, plan: &LogicalPlan, projection: &Projection) -> Result<Carried> {
        let input = self.carried(&projection.input)?;
        if input.order.is_empty() {
            return Ok(Carried::without_order(plan));
        }
        let exprs = projection.expr.iter().cloned().chain(aliased(&input.order)).collect();
        let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input.plan))?);
        Ok(Carried { plan, order: unqualified(input.order.len()) })
    }

    fn alias(&self, plan: &LogicalPlan, alias: &SubqueryAlias) -> Result<Carried> {
        let input = self.carried(&alias.input)?;
        if input.order.is_empty() {
            return Ok(Carried::without_order(plan));
        }
        let order = input.order.iter().map(|column| Column::new(Some(alias.alias.clone()), column.name.clone())).collect();
        let plan = SubqueryAlias::try_new(Arc::new(input.plan), alias.alias.clone())?;
        Ok(Carried { plan: LogicalPlan::SubqueryAlias(plan), order })
    }

    /// The side whose rows are kept has the order; of an inner join the left one, if it has any.
    fn join(&self, plan: &LogicalPlan, join: &Join) -> Result<Carried> {
        let keeps_right = matches!(join.join_type, JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark);
        let (mut left, mut right) = (Carried::without_order(&join.left), Carried::without_order(&join.right));
        if !keeps_right {
            left = self.carried(&join.left)?;
        }
        if keeps_right || (left.order.is_empty() && matches!(join.join_type, JoinType::Inner | JoinType::Full)) {
            right = self.carried(&join.right)?;
        }
        let order = if left.order.is_empty() { right.order } else { left.order };
        if order.is_empty() {
            return Ok(Carried::without_order(plan));
        }
        let plan = plan.with_new_exprs(plan.expressions(), vec![left.plan, right.plan])?;
        Ok(Carried { plan, order })
    }

    /// The number of the branch first; branches that know less of their order have 0 behind it.
    fn union(&self, plan: &LogicalPlan, union: &Union) -> Result<Carried> {
        let branches: Vec<Carried> = union.inputs.iter().map(|input| self.carried(input)).collect::<Result<_>>()?;
        let depth = branches.iter().map(|branch| branch.order.len()).max().unwrap_or_default();
        if depth == 0 {
            return Ok(Carried::without_order(plan));
        }
        let mut inputs = Vec::with_capacity(branches.len());
        for ((number, branch), before) in branches.into_iter().enumerate().zip(&union.inputs) {
            let zero = || lit(ScalarValue::UInt64(Some(0)));
            let inner = branch.order.iter().cloned().map(Expr::Column).chain(std::iter::repeat_with(zero)).take(depth);
            let order = std::iter::once(lit(ScalarValue::UInt64(Some(number as u64)))).chain(inner);
            let named = order.enumerate().map(|(index, expr)| expr.alias(order_name(index + 1)));
            let exprs: Vec<Expr> = before.schema().columns().into_iter().map(Expr::Column).chain(named).collect();
            inputs.push(Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(branch.plan))?)));
        }
        let plan = LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?);
        Ok(Carried { plan, order: unqualified(depth + 1) })
    }

    /// The position in the array comes last: elements are unnested together with it.
    fn unnest(&self, plan: &LogicalPlan, unnest: &Unnest) -> Result<Carried> {
        let input = self.carried(&unnest.input)?;
        let ([element], [_], []) =
            (unnest.exec_columns.as_slice(), unnest.list_type_columns.as_slice(), unnest.struct_type_columns.as_slice())
        else {
            return Ok(Carried::without_order(plan));
        };
        if input.order.is_empty() {
            return Ok(Carried::without_order(plan));
        }
        let depth = input.order.len();
        let numbered = call("$with_position", vec![Expr::Column(element.clone())])?;
        let before = unnest.input.schema().columns().into_iter().map(|column| {
            if column == *element {
                numbered.clone().alias_qualified(element.relation.clone(), &element.name)
            } else {
                Expr::Column(column)
            }
        });
        let before: Vec<Expr> = before.chain(aliased(&input.order)).collect();
        let part = |name: &str| call("$field", vec![Expr::Column(element.clone()), lit(name)]);
        let (value, position) = (part("col")?, cast(part("pos")?, DataType::UInt64));
        let after = plan.schema().columns().into_iter().map(|column| {
            if column == *element { value.clone().alias_qualified(element.relation.clone(), &element.name) } else { Expr::Column(column) }
        });
        let order = unqualified(depth).into_iter().map(Expr::Column).chain([position.alias(order_name(depth + 1))]);
        let after: Vec<Expr> = after.chain(order).collect();
        let plan = LogicalPlanBuilder::from(input.plan)
            .project(before)?
            .unnest_columns_with_options(vec![element.clone()], unnest.options.clone())?
            .project(after)?
            .build()?;
        Ok(Carried { plan, order: unqualified(depth + 1) })
    }
}

/// A call of an operator that SQL cannot write; settings do not change what it does.
fn call(name: &str, args: Vec<Expr>) -> Result<Expr> {
    let Some(spec) = function::scalar(name) else { return internal_err!("there is no function {name}") };
    Ok(function::scalar_stub(spec, &SqlSettings::default()).call(args))
}
