//! Puts implementations in the place of the stand-ins of planning, everywhere in a plan.

use std::{collections::HashMap, sync::Arc, sync::LazyLock};

use datafusion::{
    common::{
        DataFusionError, Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{AggregateUDF, Expr, LogicalPlan, ScalarUDF, WindowFunctionDefinition, WindowUDF, expr::AggregateFunction},
};
use floe_graph::function::{AggregateStub, FunctionSpec, LambdaStub, ScalarStub, SqlSettings, WindowStub};

use super::{
    KERNEL_GROUPS,
    aggregate::AggregateImplementation,
    call::{Kernel, Settings},
    error::FunctionError,
    lambda::LambdaImplementation,
    scalar::ScalarImplementation,
    temporal::zone::Zone,
    window::WindowImplementation,
};

/// What a batch gives to the functions of its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchClock {
    /// The recorded time of the batch: `current_timestamp()`, microseconds since the epoch. A replay hands in the same again.
    pub timestamp_us: i64,
}

static KERNELS: LazyLock<HashMap<&'static str, Kernel>> =
    LazyLock::new(|| KERNEL_GROUPS.iter().flat_map(|group| group.iter().copied()).collect());

/// The plan with the implementation of every function; the schema stays as it is. A plan without stand-ins is returned as it came.
pub fn bind_functions(plan: LogicalPlan, clock: BatchClock) -> Result<LogicalPlan> {
    let mut binder = Binder { clock, known: HashMap::new() };
    let bound = plan.transform_up_with_subqueries(|node| node.map_expressions(|expr| binder.bind(expr)))?;
    Ok(bound.data)
}

/// The same for one expression that is evaluated outside of a plan, such as an expectation.
pub fn bind_expression(expr: Expr, clock: BatchClock) -> Result<Expr> {
    let mut binder = Binder { clock, known: HashMap::new() };
    binder.bind(expr).map(|bound| bound.data)
}

struct Binder {
    clock: BatchClock,
    known: HashMap<SqlSettings, Arc<Settings>>,
}

impl Binder {
    fn bind(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        expr.transform_up(|expr| match expr {
            Expr::ScalarFunction(mut function) => match function.func.inner().downcast_ref::<ScalarStub>() {
                Some(stub) => {
                    function.func = self.scalar(stub)?;
                    Ok(Transformed::yes(Expr::ScalarFunction(function)))
                }
                None => match function.func.inner().downcast_ref::<LambdaStub>() {
                    Some(stub) => {
                        function.func = self.lambda(stub)?;
                        Ok(Transformed::yes(Expr::ScalarFunction(function)))
                    }
                    None => Ok(Transformed::no(Expr::ScalarFunction(function))),
                },
            },
            Expr::AggregateFunction(AggregateFunction { func, params }) => match func.inner().downcast_ref::<AggregateStub>() {
                Some(stub) => {
                    let func = aggregate(stub)?;
                    Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params })))
                }
                None => Ok(Transformed::no(Expr::AggregateFunction(AggregateFunction { func, params }))),
            },
            Expr::WindowFunction(mut function) => {
                let bound = match &function.fun {
                    WindowFunctionDefinition::AggregateUDF(func) => match func.inner().downcast_ref::<AggregateStub>() {
                        Some(stub) => Some(WindowFunctionDefinition::AggregateUDF(aggregate(stub)?)),
                        None => None,
                    },
                    WindowFunctionDefinition::WindowUDF(func) => match func.inner().downcast_ref::<WindowStub>() {
                        Some(stub) => Some(WindowFunctionDefinition::WindowUDF(window(stub)?)),
                        None => None,
                    },
                };
                let changed = bound.is_some();
                if let Some(bound) = bound {
                    function.fun = bound;
                }
                Ok(Transformed::new_transformed(Expr::WindowFunction(function), changed))
            }
            other => Ok(Transformed::no(other)),
        })
    }

    fn settings(&mut self, settings: &SqlSettings) -> Result<Arc<Settings>> {
        if let Some(known) = self.known.get(settings) {
            return Ok(Arc::clone(known));
        }
        let zone = Zone::parse(&settings.time_zone).ok_or_else(|| {
            FunctionError::new("INVALID_TIMEZONE", format!("time zone '{}' of spark.sql.session.timeZone is unknown", settings.time_zone))
        })?;
        let known =
            Arc::new(Settings { ansi: settings.ansi, zone, zone_name: settings.time_zone.clone(), batch_us: self.clock.timestamp_us });
        self.known.insert(settings.clone(), Arc::clone(&known));
        Ok(known)
    }

    fn scalar(&mut self, stub: &ScalarStub) -> Result<Arc<ScalarUDF>> {
        let kernel = KERNELS.get(stub.spec.name).copied().ok_or_else(|| missing(stub.spec))?;
        let settings = self.settings(&stub.settings)?;
        Ok(Arc::new(ScalarUDF::new_from_impl(ScalarImplementation::new(stub.spec, settings, kernel))))
    }

    /// A function that takes functions; those in its lambdas are bound too.
    fn lambda(&mut self, stub: &LambdaStub) -> Result<Arc<ScalarUDF>> {
        let mut call = stub.call.clone();
        for lambda in &mut call.bodies {
            lambda.body = self.bind(std::mem::take(&mut lambda.body))?.data;
        }
        Ok(Arc::new(ScalarUDF::new_from_impl(LambdaImplementation::new(call))))
    }
}

fn aggregate(stub: &AggregateStub) -> Result<Arc<AggregateUDF>> {
    let implementation = AggregateImplementation::new(stub.spec).ok_or_else(|| missing(stub.spec))?;
    Ok(Arc::new(AggregateUDF::new_from_impl(implementation)))
}

fn window(stub: &WindowStub) -> Result<Arc<WindowUDF>> {
    let implementation = WindowImplementation::new(stub.spec).ok_or_else(|| missing(stub.spec))?;
    Ok(Arc::new(WindowUDF::new_from_impl(implementation)))
}

fn missing(spec: &FunctionSpec) -> DataFusionError {
    FunctionError::new("FEATURE_NOT_SUPPORTED", format!("function {} is not supported yet", spec.name)).into()
}
