//! Calls of functions that take functions: the types of the lambdas' parameters, and the lambdas themselves.

use std::sync::Arc;

use datafusion_common::{
    Column as PlanColumn,
    arrow::datatypes::{DataType, Field},
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{
    Expr,
    expr::{LambdaVariable, ScalarFunction},
};
use sqlparser::{
    ast::{self, FunctionArg, FunctionArgExpr, Spanned},
    tokenizer::Span,
};

use super::{Planned, Planner, Scope, Typed, scope::Role};
use crate::{
    analysis::ddl::type_text,
    function::{LambdaBody, LambdaCall, LambdaKind as Kind, LambdaSpec, array_of, capture_name, coercion, lambda_stub, map_of, map_types},
    origin::Diagnostic,
};

/// The parameters of the lambdas around an expression, the nearest first.
pub(in crate::analysis) struct Variables<'a> {
    variables: Vec<(String, Typed)>,
    around: Option<&'a Variables<'a>>,
}

impl Variables<'_> {
    /// The parameter of that name.
    pub fn find(&self, name: &str) -> Option<&Typed> {
        let own = self.variables.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        own.or_else(|| self.around.and_then(|around| around.find(name)))
    }
}

/// A lambda whose body is planned.
struct Planted {
    parameters: Vec<String>,
    body: Expr,
    returns: DataType,
}

impl Planted {
    /// The lambda on its own, and what it captures: columns, parameters of lambdas around it, and whatever is computed before the row is made.
    /// Nothing if it asks a subquery.
    fn closed(self) -> Option<(LambdaBody, Vec<Expr>)> {
        let (mut captured, mut asks): (Vec<Expr>, bool) = (Vec::new(), false);
        let closed = self.body.transform_down(|node| {
            let taken_along = match &node {
                Expr::LambdaVariable(variable) if self.parameters.contains(&variable.name) => {
                    let column = Expr::Column(PlanColumn::new_unqualified(variable.name.clone()));
                    return Ok(Transformed::new(column, true, TreeNodeRecursion::Jump));
                }
                Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => {
                    asks = true;
                    false
                }
                Expr::LambdaVariable(_)
                | Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_) => true,
                _ => false,
            };
            if !taken_along {
                return Ok(Transformed::no(node));
            }
            let index = captured.iter().position(|known| *known == node).unwrap_or_else(|| {
                captured.push(node);
                captured.len() - 1
            });
            let column = Expr::Column(PlanColumn::new_unqualified(capture_name(index)));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        });
        let body = closed.ok().filter(|_| !asks)?.data;
        Some((LambdaBody { parameters: self.parameters, captures: captured.len(), body }, captured))
    }
}

/// A call but for its arguments.
struct LambdaTyping {
    spec: &'static LambdaSpec,
    parameters: Vec<Vec<DataType>>,
    returns: DataType,
}

/// True if an argument is a lambda.
pub(super) fn has_lambda(args: &[FunctionArg]) -> bool {
    args.iter().any(|arg| lambda_of(arg).is_some())
}

fn lambda_of(arg: &FunctionArg) -> Option<&ast::LambdaFunction> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Lambda(lambda))) => Some(lambda),
        _ => None,
    }
}

impl Planner<'_> {
    /// A call of `spec` with its lambdas behind its other arguments.
    pub fn lambda_call(&mut self, spec: &'static LambdaSpec, args: &[FunctionArg], scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        let (most, fewest) = spec.lambdas;
        let given = args.len().saturating_sub(spec.values);
        let lambdas: Vec<&ast::LambdaFunction> = args.iter().skip(spec.values).filter_map(lambda_of).collect();
        if args.len() < spec.values || given < fewest || given > most || lambdas.len() != given {
            let message = format!("{} is called as {}({})", spec.name, spec.name, spec.arguments);
            return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", message, span);
        }
        let values = self.arguments(&args[..spec.values], scope, span)?;
        match spec.kind {
            Kind::Aggregate => self.folded_call(spec, values, &lambdas, scope, span),
            _ => self.single_lambda(spec, values, lambdas[0], scope, span),
        }
    }

    fn single_lambda(
        &mut self,
        spec: &'static LambdaSpec,
        values: Vec<Typed>,
        lambda: &ast::LambdaFunction,
        scope: &Scope<'_>,
        span: Span,
    ) -> Planned<Typed> {
        let values = self.collections(spec, values, span)?;
        let (parameters, fewest) = parameters_of(spec.kind, &values);
        let planted = self.lambda(lambda, &parameters, fewest, scope)?;
        let planted = match spec.kind {
            Kind::Filter | Kind::Exists | Kind::ForAll | Kind::MapFilter => self.lambda_as(planted, &DataType::Boolean, spec, span)?,
            Kind::ArraySort => self.lambda_as(planted, &DataType::Int32, spec, span)?,
            _ => planted,
        };
        let returns = returned(spec.kind, &values, &parameters, &planted.returns);
        let parameters = vec![parameters];
        self.higher_order(LambdaTyping { spec, parameters, returns }, values, vec![planted], span)
    }

    /// The arguments before the lambda, which are arrays or maps.
    fn collections(&self, spec: &LambdaSpec, values: Vec<Typed>, span: Span) -> Planned<Vec<Typed>> {
        let wants_map = matches!(spec.kind, Kind::MapFilter | Kind::TransformKeys | Kind::TransformValues | Kind::MapZipWith);
        let mut collections = Vec::with_capacity(values.len());
        for value in values {
            collections.push(match (&value.data_type, wants_map) {
                (DataType::List(_), false) | (DataType::Map(..), true) => value,
                (other, _) => {
                    let wanted = if wants_map { "MAP" } else { "ARRAY" };
                    return self.mismatch(spec.name, &other.clone(), wanted, span);
                }
            });
        }
        if spec.kind != Kind::MapZipWith {
            return Ok(collections);
        }
        // The keys of both maps are compared, so they have one type.
        let pairs: Vec<(DataType, DataType)> = collections.iter().map(|map| pair_of(&map.data_type)).collect();
        let key = self.common(pairs.iter().map(|(key, _)| key.clone()), "the keys of map_zip_with", span)?;
        let as_keyed = collections.into_iter().zip(pairs).map(|(map, (_, value))| self.cast(map, &map_of(key.clone(), value)));
        Ok(as_keyed.collect())
    }

    /// `aggregate(array, start, merge[, finish])`.
    fn folded_call(
        &mut self,
        spec: &'static LambdaSpec,
        values: Vec<Typed>,
        lambdas: &[&ast::LambdaFunction],
        scope: &Scope<'_>,
        span: Span,
    ) -> Planned<Typed> {
        let mut values = values.into_iter();
        let (Some(array), Some(start)) = (values.next(), values.next()) else {
            return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", format!("aggregate({})", spec.arguments), span);
        };
        let mut collections = self.collections(spec, vec![array], span)?;
        let element = element_of(&collections[0].data_type);
        let sum = start.data_type.clone();
        let merge = self.lambda(lambdas[0], &[sum.clone(), element.clone()], 2, scope)?;
        let merge = self.lambda_as(merge, &sum, spec, span)?;
        let (mut planted, mut parameters, mut returns) = (vec![merge], vec![vec![sum.clone(), element]], sum.clone());
        if let Some(finish) = lambdas.get(1) {
            let finish = self.lambda(finish, std::slice::from_ref(&sum), 1, scope)?;
            returns = finish.returns.clone();
            planted.push(finish);
            parameters.push(vec![sum]);
        }
        collections.push(start);
        self.higher_order(LambdaTyping { spec, parameters, returns }, collections, planted, span)
    }

    fn higher_order(&self, typing: LambdaTyping, values: Vec<Typed>, lambdas: Vec<Planted>, span: Span) -> Planned<Typed> {
        let LambdaTyping { spec, parameters, returns } = typing;
        let mut args: Vec<Expr> = values.into_iter().map(|value| value.expr).collect();
        let values = args.len();
        let mut bodies = Vec::with_capacity(lambdas.len());
        for lambda in lambdas {
            let Some((body, captured)) = lambda.closed() else {
                return self.unsupported("a subquery in a lambda function", span);
            };
            bodies.push(body);
            args.extend(captured);
        }
        let call = LambdaCall { name: spec.name, kind: spec.kind, values, parameters, bodies, returns: returns.clone() };
        Ok(Typed::new(Expr::ScalarFunction(ScalarFunction::new_udf(lambda_stub(call), args)), returns))
    }

    /// A lambda over parameters of these types, of which it names at least `fewest`.
    fn lambda(&mut self, lambda: &ast::LambdaFunction, parameters: &[DataType], fewest: usize, scope: &Scope<'_>) -> Planned<Planted> {
        let span = lambda.body.span();
        let names: Vec<&ast::LambdaFunctionParameter> = lambda.params.iter().collect();
        if names.len() < fewest || names.len() > parameters.len() {
            let message = format!("the lambda has {} parameters, but {} are given to it", names.len(), parameters.len());
            return self.error("INVALID_LAMBDA_FUNCTION_CALL.NUM_ARGS_MISMATCH", message, span);
        }
        let mut variables: Vec<(String, Typed)> = Vec::with_capacity(names.len());
        let mut params = Vec::with_capacity(names.len());
        for (parameter, data_type) in names.into_iter().zip(parameters) {
            let name = &parameter.name.value;
            if variables.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                return self.error("INVALID_LAMBDA_FUNCTION_CALL.DUPLICATE_ARG_NAMES", format!("two parameters are called {name}"), span);
            }
            // Parameters of lambdas inside each other may have one name for users, never for the plan.
            let plan_name = format!("{name}#{}", self.next_number());
            let field = Arc::new(Field::new(&plan_name, data_type.clone(), true));
            let variable = Expr::LambdaVariable(LambdaVariable::new(plan_name.clone(), Some(field)));
            variables.push((name.clone(), Typed::new(variable, data_type.clone())));
            params.push(plan_name);
        }
        let variables = Variables { variables, around: scope.variables };
        let inner = Scope {
            variables: Some(&variables),
            named: scope.named.clone(),
            aggregates: false,
            windows: false,
            role: Role::Value,
            ..*scope
        };
        let body = self.expr(&lambda.body, &inner)?;
        Ok(Planted { parameters: params, body: body.expr, returns: body.data_type })
    }

    /// The lambda with its result cast, if Spark does that by itself.
    fn lambda_as(&self, planted: Planted, wanted: &DataType, spec: &LambdaSpec, span: Span) -> Planned<Planted> {
        if planted.returns == *wanted {
            return Ok(planted);
        }
        if !coercion::casts_implicitly(&planted.returns, wanted) || coercion::common_type(&planted.returns, wanted).as_ref() != Some(wanted)
        {
            let message =
                format!("the lambda of {} must give {}, but it gives {}", spec.name, type_text(wanted), type_text(&planted.returns));
            let help = match spec.kind {
                Kind::Aggregate => format!("begin with CAST(… AS {}), or cast what the lambda gives", type_text(&planted.returns)),
                _ => format!("cast what the lambda gives to {}", type_text(wanted)),
            };
            return Err(Box::new(Diagnostic::error("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", message).at(&self.origin(span)).help(help)));
        }
        let body = self.cast(Typed::new(planted.body, planted.returns), wanted);
        Ok(Planted { parameters: planted.parameters, body: body.expr, returns: wanted.clone() })
    }
}

fn element_of(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(item) => item.data_type().clone(),
        _ => DataType::Null,
    }
}

fn pair_of(data_type: &DataType) -> (DataType, DataType) {
    match data_type {
        DataType::Map(entries, _) => map_types(entries.data_type()).unwrap_or((DataType::Null, DataType::Null)),
        _ => (DataType::Null, DataType::Null),
    }
}

/// Types of the parameters that a function hands to its lambda, and how many of them it must name.
fn parameters_of(kind: Kind, values: &[Typed]) -> (Vec<DataType>, usize) {
    let of = |index: usize| values.get(index).map_or(DataType::Null, |value| value.data_type.clone());
    match kind {
        Kind::Transform | Kind::Filter => (vec![element_of(&of(0)), DataType::Int32], 1),
        Kind::Exists | Kind::ForAll => (vec![element_of(&of(0))], 1),
        Kind::ZipWith => (vec![element_of(&of(0)), element_of(&of(1))], 2),
        Kind::ArraySort | Kind::Aggregate => (vec![element_of(&of(0)), element_of(&of(0))], 2),
        Kind::MapFilter | Kind::TransformKeys | Kind::TransformValues => {
            let (key, value) = pair_of(&of(0));
            (vec![key, value], 2)
        }
        Kind::MapZipWith => {
            let ((key, left), (_, right)) = (pair_of(&of(0)), pair_of(&of(1)));
            (vec![key, left, right], 3)
        }
    }
}

fn returned(kind: Kind, values: &[Typed], parameters: &[DataType], lambda: &DataType) -> DataType {
    let parameter = |index: usize| parameters.get(index).cloned().unwrap_or(DataType::Null);
    match kind {
        Kind::Transform | Kind::ZipWith => array_of(lambda.clone()),
        Kind::Exists | Kind::ForAll => DataType::Boolean,
        Kind::TransformKeys => map_of(lambda.clone(), parameter(1)),
        Kind::TransformValues | Kind::MapZipWith => map_of(parameter(0), lambda.clone()),
        Kind::Filter | Kind::ArraySort | Kind::MapFilter | Kind::Aggregate => {
            values.first().map_or(DataType::Null, |value| value.data_type.clone())
        }
    }
}
