//! Calls of functions: scalar, aggregate, window.

use datafusion_common::{
    ScalarValue,
    arrow::datatypes::{DataType, IntervalMonthDayNano},
};
use datafusion_expr::{
    Expr, SortExpr, WindowFunctionDefinition,
    expr::{AggregateFunction, NullTreatment, WindowFunction, WindowFunctionParams},
    lit,
};
use sqlparser::{
    ast::{self, FunctionArg, FunctionArgExpr, FunctionArgumentClause, Spanned},
    tokenizer::Span,
};

use super::{
    Planned, Planner, Scope, Typed,
    lambda::has_lambda,
    literal::{scalar, text, value_of},
    scope::Role,
    select::{Item, plain_item},
};
use crate::{
    analysis::{ddl::type_text, references::list},
    function::{self, FunctionSpec, pattern},
    origin::Diagnostic,
};

impl Planner<'_> {
    pub fn call(&mut self, call: &ast::Function, scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        let written = call.name.to_string().replace('`', "");
        let name = written.to_lowercase();
        let span = if span.start.line == 0 { call.name.span() } else { span };
        if !call.within_group.is_empty() || name == "listagg" || name == "string_agg" {
            return self.within_group(call, &name, scope, span);
        }
        if function::generator(&name).is_some() {
            let message = format!("{name} must stand alone as an item of SELECT, or in FROM with LATERAL");
            return self.error("UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS", message, span);
        }
        if let Some(over) = &call.over {
            return self.window_call(call, &name, over, scope, span);
        }
        if let Some(spec) = function::aggregate(&name) {
            return self.aggregate_call(call, spec, scope, span);
        }
        if matches!(name.as_str(), "grouping" | "grouping_id") {
            return self.grouping_call(call, &name, scope, span);
        }
        if name == "count_distinct" {
            let counted =
                ast::Function { name: ast::ObjectName::from(vec![ast::Ident::new("count")]), args: distinct(&call.args), ..call.clone() };
            return self.call(&counted, scope, span);
        }
        if call.filter.is_some() || call.null_treatment.is_some() {
            return self.error(
                "INVALID_SQL_SYNTAX.FUNCTION",
                format!("{name} is no aggregate: FILTER and IGNORE NULLS mean nothing"),
                span,
            );
        }
        let with_lambda = has_lambda(list(&call.args));
        if let Some(spec) = function::higher_order(&name, with_lambda) {
            return self.lambda_call(spec, list(&call.args), scope, span);
        }
        if with_lambda {
            let message = format!("{name} takes no lambda; functions that do are transform, filter, exists, forall, aggregate …");
            return self.error("INVALID_LAMBDA_FUNCTION_CALL.NON_HIGHER_ORDER_FUNCTION", message, span);
        }
        if let Some(known) = function::syntax(&name) {
            return self.syntax_call(known, list(&call.args), scope, span);
        }
        if function::window(&name).is_some() {
            return self.error("WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE", format!("{name} needs OVER (…)"), span);
        }
        match function::scalar(&name) {
            Some(spec) if !name.starts_with('$') => {
                let arguments = self.arguments(list(&call.args), scope, span)?;
                self.scalar_call(spec, arguments, span)
            }
            _ => self.unknown(&written, span),
        }
    }

    fn unknown<T>(&self, name: &str, span: Span) -> Planned<T> {
        if let Some(reason) = function::refusal(name) {
            let refusal = Diagnostic::not_supported(&format!("the function {name}")).at(&self.origin(span));
            return Err(Box::new(refusal.help(reason)));
        }
        let near = function::near_names(name);
        let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) };
        self.error("UNRESOLVED_ROUTINE", format!("there is no function {name}{hint}"), span)
    }

    /// Unnamed arguments as values; `*` stands for all columns.
    pub fn arguments(&mut self, args: &[FunctionArg], scope: &Scope<'_>, span: Span) -> Planned<Vec<Typed>> {
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => values.push(self.expr(expr, scope)?),
                FunctionArg::Unnamed(star) => values.extend(self.star(star, scope, span)?.into_iter().map(|item| item.value)),
                other => return self.unsupported(&format!("the argument {other}"), span),
            }
        }
        Ok(values)
    }

    /// The columns that `*`, `t.*` or `* EXCEPT (…)` stands for as an argument.
    pub fn star(&mut self, star: &FunctionArgExpr, scope: &Scope<'_>, span: Span) -> Planned<Vec<Item>> {
        let all = || -> Vec<Item> { scope.columns.iter().filter(|column| !column.hidden).map(plain_item).collect() };
        match star {
            FunctionArgExpr::Wildcard => Ok(all()),
            FunctionArgExpr::WildcardWithOptions(options) => self.except(all(), options),
            FunctionArgExpr::QualifiedWildcard(name) => {
                self.qualified_wildcard(&ast::SelectItemQualifiedWildcardKind::ObjectName(name.clone()), scope, span)
            }
            FunctionArgExpr::Expr(other) => self.unsupported(&format!("the argument {other}"), span),
        }
    }

    /// Functions whose arguments are prepared before the signature sees them.
    fn scalar_call(&self, spec: &'static FunctionSpec, mut arguments: Vec<Typed>, span: Span) -> Planned<Typed> {
        self.check_date_patterns(spec.name, &arguments, span)?;
        match spec.name {
            "concat" => self.concat(arguments, span),
            "concat_ws" => {
                let texts = |value: Typed| {
                    let target = match &value.data_type {
                        DataType::List(_) => function::array_of(DataType::Utf8),
                        _ => DataType::Utf8,
                    };
                    self.cast(value, &target)
                };
                self.stub("concat_ws", arguments.into_iter().map(texts).collect(), span)
            }
            "map" => {
                let side =
                    |parity: usize| arguments.iter().skip(parity).step_by(2).map(|value| value.data_type.clone()).collect::<Vec<_>>();
                let types = [self.common(side(0), "the keys of map", span)?, self.common(side(1), "the values of map", span)?];
                let cast = arguments.into_iter().enumerate().map(|(index, value)| self.cast(value, &types[index % 2])).collect();
                self.stub("map", cast, span)
            }
            "element_at" | "try_element_at" | "map_contains_key" => {
                let key = match arguments.first().map(|value| &value.data_type) {
                    Some(DataType::Map(entries, _)) => match entries.data_type() {
                        DataType::Struct(fields) if !fields.is_empty() => Some(fields[0].data_type().clone()),
                        _ => None,
                    },
                    Some(DataType::List(_)) => Some(DataType::Int32),
                    _ => None,
                };
                if let (Some(key), 2) = (key, arguments.len()) {
                    let index = arguments.remove(1);
                    arguments.push(self.cast(index, &key));
                }
                self.stub(spec.name, arguments, span)
            }
            "to_timestamp" | "try_to_timestamp" if arguments.len() == 1 && arguments[0].data_type != DataType::Utf8 => {
                let value = arguments.remove(0);
                self.explicit_cast(value, &function::timestamp_type(), spec.name.starts_with("try"), span)
            }
            "window" => self.window_struct(arguments, span),
            // Spark takes the characters first, as TRIM(LEADING c FROM t) does; btrim takes them last.
            "ltrim" | "rtrim" if arguments.len() == 2 => {
                arguments.reverse();
                self.stub(spec.name, arguments, span)
            }
            "lpad" | "rpad" => self.padded(spec.name, arguments, span),
            "map_concat" if arguments.is_empty() => self.stub("map", arguments, span),
            "format_number" if arguments.get(1).is_some_and(|places| places.data_type == DataType::Utf8) => {
                self.stub("$format_pattern", arguments, span)
            }
            "decode" if arguments.len() > 2 => self.decoded(arguments, span),
            "sequence" if arguments.first().is_some_and(|start| matches!(start.data_type, DataType::Date32 | DataType::Timestamp(..))) => {
                self.time_sequence(arguments, span)
            }
            "convert_timezone" if arguments.len() == 2 => {
                let own = text(self.settings.time_zone.clone());
                self.stub("convert_timezone", std::iter::once(own).chain(arguments).collect(), span)
            }
            _ => self.checked_call(spec, arguments, span),
        }
    }

    /// Functions whose arguments are looked at more closely than their types.
    fn checked_call(&self, spec: &'static FunctionSpec, arguments: Vec<Typed>, span: Span) -> Planned<Typed> {
        match spec.name {
            "hash" | "xxhash64" => match arguments.iter().find(|value| has_map(&value.data_type)) {
                Some(value) => {
                    let given = type_text(&value.data_type);
                    let message = format!(
                        "{} takes no MAP, and nothing with one in it, but is given {given}: equal maps may have other hashes",
                        spec.name
                    );
                    self.error("DATATYPE_MISMATCH.HASH_MAP_TYPE", message, span)
                }
                None => self.stub(spec.name, arguments, span),
            },
            "rlike" | "split" | "regexp_extract" | "regexp_extract_all" | "regexp_replace" | "regexp_count" | "regexp_instr"
            | "regexp_substr" => {
                self.check_pattern(spec.name, &arguments, span)?;
                self.stub(spec.name, arguments, span)
            }
            _ => self.number_call(spec, arguments, span),
        }
    }

    /// A regular expression that is a literal is checked while planning.
    pub fn check_pattern(&self, name: &str, arguments: &[Typed], span: Span) -> Planned<()> {
        let Some(ScalarValue::Utf8(Some(pattern))) = arguments.get(1).and_then(|pattern| value_of(&pattern.expr)) else { return Ok(()) };
        match pattern::compile(name, pattern) {
            Ok(_) => Ok(()),
            Err(refusal) => {
                let error = Diagnostic::error(refusal.class, refusal.message).at(&self.origin(span));
                Err(Box::new(match refusal.help {
                    Some(help) => error.help(help),
                    None => error,
                }))
            }
        }
    }

    /// Functions of numbers that are typed as the operators are.
    fn number_call(&self, spec: &'static FunctionSpec, mut arguments: Vec<Typed>, span: Span) -> Planned<Typed> {
        match spec.name {
            "mod" | "pmod" | "try_add" | "try_subtract" | "try_multiply" | "try_divide" | "try_mod" if arguments.len() == 2 => {
                let (Some(right), Some(left)) = (arguments.pop(), arguments.pop()) else { return self.stub(spec.name, arguments, span) };
                self.operator_function(spec.name, left, right, span)
            }
            "shiftleft" | "shiftright" | "shiftrightunsigned" if arguments.len() == 2 => {
                let (Some(places), Some(value)) = (arguments.pop(), arguments.pop()) else { return self.stub(spec.name, arguments, span) };
                self.shifted(spec.name, value, places, span)
            }
            "ceil" | "floor" | "round" | "bround" => self.rounded(spec.name, arguments, span),
            _ => self.stub(spec.name, arguments, span),
        }
    }

    /// `lpad` and `rpad`: BINARY if nothing else is given, then padded with zeros; otherwise text.
    fn padded(&self, name: &str, mut arguments: Vec<Typed>, span: Span) -> Planned<Typed> {
        let bytes = |index: usize| arguments.get(index).is_none_or(|value: &Typed| value.data_type == DataType::Binary);
        if !arguments.is_empty() && bytes(0) && bytes(2) {
            if arguments.len() == 2 {
                arguments.push(scalar(ScalarValue::Binary(Some(vec![0]))));
            }
            return self.stub(name, arguments, span);
        }
        let text = |(index, value): (usize, Typed)| if index == 1 { value } else { self.cast(value, &DataType::Utf8) };
        self.stub(name, arguments.into_iter().enumerate().map(text).collect(), span)
    }

    /// `decode(value, key, result, …[, otherwise])`: the result of the first key that is equal, NULLs being equal to each other.
    fn decoded(&self, arguments: Vec<Typed>, span: Span) -> Planned<Typed> {
        let mut arguments = arguments.into_iter();
        let Some(value) = arguments.next() else { return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "decode takes a value", span) };
        let mut rest: Vec<Typed> = arguments.collect();
        let otherwise = if rest.len() % 2 == 1 { rest.pop() } else { None };
        let mut branches = Vec::with_capacity(rest.len() / 2);
        for pair in rest.chunks(2) {
            branches.push((self.compare(value.clone(), &ast::BinaryOperator::Spaceship, pair[0].clone(), span)?, pair[1].clone()));
        }
        self.case_of(branches, otherwise, span)
    }

    /// `sequence(start, stop[, step])` of times; the step is one day, forwards or backwards.
    fn time_sequence(&self, mut arguments: Vec<Typed>, span: Span) -> Planned<Typed> {
        if arguments.len() < 2 || arguments.len() > 3 {
            return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "sequence takes start, stop and optionally a step", span);
        }
        if arguments.len() == 2 {
            let one = |days: i32| scalar(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(0, days, 0))));
            let backwards = self.compare(arguments[0].clone(), &ast::BinaryOperator::Gt, arguments[1].clone(), span)?;
            arguments.push(self.case_of(vec![(backwards, one(-1))], Some(one(1)), span)?);
        }
        let common = self.common(arguments[..2].iter().map(|time| time.data_type.clone()), "sequence", span)?;
        let step = arguments.pop();
        let ends = arguments.into_iter().map(|time| self.cast(time, &common));
        self.stub("$time_sequence", ends.chain(step).collect(), span)
    }

    fn aggregate_call(&mut self, call: &ast::Function, spec: &'static FunctionSpec, scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        if !scope.aggregates {
            let message = format!("{} is an aggregate; it cannot stand here (WHERE, ON, GROUP BY, inside another aggregate)", spec.name);
            return self.error("INVALID_AGGREGATE", message, span);
        }
        // The values of collect_set are the different ones of collect_list.
        let distinct =
            matches!(&call.args, ast::FunctionArguments::List(list) if list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct));
        let spec = if distinct && spec.name == "collect_list" { function::aggregate("collect_set").unwrap_or(spec) } else { spec };
        let inner =
            Scope { aggregates: false, windows: false, role: Role::Value, named_first: false, named: scope.named.clone(), ..*scope };
        let parts = self.aggregate_parts(call, spec, &inner, span)?;
        let (spec, parts) = ordered_by_itself(spec, parts);
        let returns = parts.returns.clone();
        let function = AggregateFunction::new_udf(
            function::aggregate_stub(spec, self.settings),
            parts.arguments,
            parts.distinct,
            parts.filter.map(Box::new),
            parts.order_by,
            parts.null_treatment,
        );
        Ok(Typed::new(Expr::AggregateFunction(function), returns))
    }

    fn aggregate_parts(&mut self, call: &ast::Function, spec: &'static FunctionSpec, scope: &Scope<'_>, span: Span) -> Planned<Parts> {
        let (args, clauses, distinct) = match &call.args {
            ast::FunctionArguments::List(list) => {
                let distinct = matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct));
                (list.args.as_slice(), list.clauses.as_slice(), distinct)
            }
            _ => (&[][..], &[][..], false),
        };
        self.lint_literal_argument(spec, args, span);
        let is_star = matches!(args, [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]) && spec.name == "count";
        let mut arguments = if is_star { vec![scalar(ScalarValue::Int64(Some(1)))] } else { self.arguments(args, scope, span)? };
        let mut null_treatment = call.null_treatment.map(null_treatment_of);
        let mut order_by = Vec::new();
        for clause in clauses {
            match clause {
                FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => null_treatment = Some(null_treatment_of(*treatment)),
                FunctionArgumentClause::OrderBy(exprs) => order_by = self.sort_exprs(exprs, scope)?,
                other => return self.unsupported(&format!("{other} in {}", spec.name), span),
            }
        }
        if matches!(spec.name, "first" | "last") && arguments.len() == 2 {
            match value_of(&arguments[1].expr) {
                Some(ScalarValue::Boolean(Some(true))) => null_treatment = Some(NullTreatment::IgnoreNulls),
                Some(ScalarValue::Boolean(Some(false))) => {}
                _ => {
                    return self.error(
                        "DATATYPE_MISMATCH.NON_FOLDABLE_INPUT",
                        format!("the second argument of {} is true or false", spec.name),
                        span,
                    );
                }
            }
            arguments.truncate(1);
        }
        if spec.name == "count" && arguments.len() > 1 {
            arguments = vec![self.counted_together(arguments, distinct, span)?];
        }
        let types: Vec<DataType> = arguments.iter().map(|argument| argument.data_type.clone()).collect();
        let typing = spec.typing(&types, &vec![None; types.len()]).or_else(|error| self.error(error.class, error.message, span))?;
        let arguments = arguments.into_iter().zip(&typing.arguments).map(|(argument, wanted)| self.cast(argument, wanted));
        let arguments = arguments.map(|argument| if distinct { one_zero(argument) } else { argument.expr }).collect();
        let filter = match &call.filter {
            Some(filter) => {
                let condition = self.expr(filter, scope)?;
                Some(self.condition(condition, "FILTER condition", filter.span())?)
            }
            None => None,
        };
        Ok(Parts { arguments, returns: typing.returns, distinct, filter, order_by, null_treatment })
    }

    /// count of several values: rows where none is NULL, with DISTINCT the different ones.
    fn counted_together(&self, arguments: Vec<Typed>, distinct: bool, span: Span) -> Planned<Typed> {
        let condition = arguments.iter().map(|argument| argument.expr.clone().is_not_null()).reduce(Expr::and).unwrap_or_else(|| lit(true));
        let value = if distinct {
            let named =
                arguments.into_iter().enumerate().flat_map(|(index, value)| [super::literal::text(format!("col{}", index + 1)), value]);
            self.stub("named_struct", named.collect(), span)?
        } else {
            scalar(ScalarValue::Int64(Some(1)))
        };
        self.case_of(vec![(Typed::new(condition, DataType::Boolean), value)], None, span)
    }

    /// `COUNT("x")` counts rows and `AVG("x")` is NULL: most likely a column was meant.
    fn lint_literal_argument(&mut self, spec: &FunctionSpec, args: &[FunctionArg], span: Span) {
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Value(value)))] = args else { return };
        let Some(text) = value.value.clone().into_string() else { return };
        if matches!(spec.name, "count" | "sum" | "avg" | "min" | "max" | "stddev" | "stddev_pop" | "approx_count_distinct") {
            let message =
                format!("{}(\"{text}\") is computed over the text \"{text}\", not over a column; write {}({text})", spec.name, spec.name);
            let span = if value.span.start.line == 0 { span } else { value.span };
            self.lint("W010", message, span);
        }
    }

    fn window_call(&mut self, call: &ast::Function, name: &str, over: &ast::WindowType, scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        if !scope.windows {
            return self.error(
                "UNSUPPORTED_EXPR_FOR_OPERATOR",
                format!("{name} OVER (…) cannot stand here (WHERE, GROUP BY, HAVING)"),
                span,
            );
        }
        let window = self.window_of(over, span)?;
        let inner = Scope { windows: false, role: Role::Value, named: scope.named.clone(), ..*scope };
        let (fun, parts) = if let Some(spec) = function::window(name) {
            let mut arguments = self.arguments(list(&call.args), &inner, span)?;
            if arguments.len() == 3 {
                let default = arguments.remove(2);
                arguments.push(self.cast(default, &arguments[0].data_type.clone()));
            }
            let types: Vec<DataType> = arguments.iter().map(|argument| argument.data_type.clone()).collect();
            let typing = spec.typing(&types, &vec![None; types.len()]).or_else(|error| self.error(error.class, error.message, span))?;
            let exprs = arguments.into_iter().zip(&typing.arguments).map(|(argument, wanted)| self.cast(argument, wanted).expr).collect();
            let null_treatment = call.null_treatment.map(null_treatment_of);
            let parts =
                Parts { arguments: exprs, returns: typing.returns, distinct: false, filter: None, order_by: vec![], null_treatment };
            (WindowFunctionDefinition::WindowUDF(function::window_stub(spec, self.settings)), parts)
        } else if let Some(spec) = function::aggregate(name) {
            let parts = self.aggregate_parts(call, spec, &inner, span)?;
            if spec.name == "nth_value" && !matches!(parts.arguments.get(1).and_then(value_of), Some(ScalarValue::Int32(Some(1)))) {
                return self.unsupported("nth_value OVER of another row than the first; number the rows with row_number", span);
            }
            let (spec, parts) = ordered_by_itself(spec, parts);
            (WindowFunctionDefinition::AggregateUDF(function::aggregate_stub(spec, self.settings)), parts)
        } else {
            return self.unknown(name, span);
        };
        let params = self.window_params(&window, parts.clone(), &inner, span)?;
        Ok(Typed::new(Expr::from(WindowFunction { fun, params }), parts.returns))
    }

    fn window_params(&mut self, window: &ast::WindowSpec, parts: Parts, scope: &Scope<'_>, span: Span) -> Planned<WindowFunctionParams> {
        let partition_by = window.partition_by.iter().map(|expr| Ok(self.expr(expr, scope)?.expr)).collect::<Planned<Vec<Expr>>>()?;
        let mut order_by = self.sort_exprs(&window.order_by, scope)?;
        let by_range = window.window_frame.as_ref().is_none_or(|frame| frame.units == ast::WindowFrameUnits::Range);
        for item in window.order_by.iter().filter(|_| by_range) {
            if !function::coercion::is_atomic(&self.expr(&item.expr, scope)?.data_type) {
                return self.unsupported("OVER (ORDER BY a struct or array); name its fields as keys, or give a frame of ROWS", span);
            }
        }
        let window_frame = self.window_frame(window.window_frame.as_ref(), &mut order_by, span)?;
        Ok(WindowFunctionParams {
            args: parts.arguments,
            partition_by,
            order_by,
            window_frame,
            filter: parts.filter.map(Box::new),
            null_treatment: parts.null_treatment,
            distinct: parts.distinct,
        })
    }

    /// Sort keys; NULLs come first ascending and last descending, as in Spark.
    pub fn sort_exprs(&mut self, exprs: &[ast::OrderByExpr], scope: &Scope<'_>) -> Planned<Vec<SortExpr>> {
        exprs
            .iter()
            .map(|item| {
                let value = self.expr(&item.expr, scope)?;
                if matches!(value.data_type, DataType::Map(..)) {
                    let message = format!("rows cannot be ordered by {}", type_text(&value.data_type));
                    return self.error("DATATYPE_MISMATCH.INVALID_ORDERING_TYPE", message, item.expr.span());
                }
                Ok(sort_expr(value.expr, item))
            })
            .collect()
    }
}

/// The sort key of an ORDER BY item.
pub fn sort_expr(expr: Expr, item: &ast::OrderByExpr) -> SortExpr {
    let ascending = item.options.asc.unwrap_or(true);
    SortExpr::new(expr, ascending, item.options.nulls_first.unwrap_or(ascending))
}

#[derive(Clone)]
struct Parts {
    arguments: Vec<Expr>,
    returns: DataType,
    distinct: bool,
    filter: Option<Expr>,
    order_by: Vec<SortExpr>,
    null_treatment: Option<NullTreatment>,
}

/// The extremes of structs and arrays by their order as sort keys, where a NULL inside is the least: the engine takes it for the greatest.
fn ordered_by_itself(spec: &'static FunctionSpec, mut parts: Parts) -> (&'static FunctionSpec, Parts) {
    let by = match spec.name {
        "max" => "max_by",
        "min" => "min_by",
        _ => return (spec, parts),
    };
    match (function::aggregate(by), parts.arguments.as_slice(), &parts.returns) {
        (Some(by), [value], DataType::Struct(_) | DataType::List(_)) => {
            let value = value.clone();
            parts.arguments.push(value);
            (by, Parts { distinct: false, ..parts })
        }
        _ => (spec, parts),
    }
}

fn null_treatment_of(treatment: ast::NullTreatment) -> NullTreatment {
    match treatment {
        ast::NullTreatment::IgnoreNulls => NullTreatment::IgnoreNulls,
        ast::NullTreatment::RespectNulls => NullTreatment::RespectNulls,
    }
}

/// True for a MAP and what has one in it.
fn has_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) => true,
        DataType::List(item) => has_map(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_map(field.data_type())),
        _ => false,
    }
}

/// The same arguments with DISTINCT.
fn distinct(args: &ast::FunctionArguments) -> ast::FunctionArguments {
    let mut args = args.clone();
    if let ast::FunctionArguments::List(list) = &mut args {
        list.duplicate_treatment = Some(ast::DuplicateTreatment::Distinct);
    }
    args
}

/// A floating-point value in which −0.0 is 0.0: the two are one value where different ones are counted.
fn one_zero(value: Typed) -> Expr {
    let zero = match value.data_type {
        DataType::Float32 => ScalarValue::Float32(Some(0.0)),
        DataType::Float64 => ScalarValue::Float64(Some(0.0)),
        _ => return value.expr,
    };
    value.expr + scalar(zero).expr
}
