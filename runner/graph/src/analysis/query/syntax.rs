//! Functions that are other expressions in disguise: casts by name, conditions, structs, differences of times.

use datafusion_common::{
    ScalarValue,
    arrow::datatypes::{DataType, TimeUnit},
};
use datafusion_expr::Expr;
use sqlparser::{
    ast::{self, BinaryOperator, FunctionArg, FunctionArgExpr, Spanned, UnaryOperator},
    tokenizer::Span,
};

use super::{
    Planned, Planner, Scope, Typed,
    literal::{scalar, text, value_of},
    name::spark_name,
    scope::Resolved,
};
use crate::{analysis::ddl, function::timestamp_type, origin::Diagnostic};

/// Units of `timestampdiff` and `timestampadd`, and their abbreviations.
const UNITS: &[(&str, &str)] = &[
    ("MICROSECOND", "MICROSECOND"),
    ("MILLISECOND", "MILLISECOND"),
    ("SECOND", "SECOND"),
    ("MINUTE", "MINUTE"),
    ("HOUR", "HOUR"),
    ("DAY", "DAY"),
    ("DAYOFYEAR", "DAY"),
    ("WEEK", "WEEK"),
    ("MONTH", "MONTH"),
    ("QUARTER", "QUARTER"),
    ("YEAR", "YEAR"),
];

impl Planner<'_> {
    pub fn syntax_call(&mut self, name: &str, args: &[FunctionArg], scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        match name {
            "struct" => return self.structure_of(args, scope, span),
            "timestampdiff" | "timestampadd" => return self.unit_call(name, args, scope, span),
            "datediff" | "date_diff" if args.len() == 3 => return self.unit_call("timestampdiff", args, scope, span),
            "dateadd" if args.len() == 3 => return self.unit_call("timestampadd", args, scope, span),
            "arrays_zip" => return self.zipped(args, scope, span),
            "input_file_name" if args.is_empty() => {
                let path = ["_metadata".to_string(), "file_path".to_string()];
                if matches!(scope.resolve(&path), Resolved::Missing) {
                    let refusal = Diagnostic::not_supported("input_file_name() over a relation that reads no files").at(&self.origin(span));
                    let help =
                        "it names the files of read_files; keep _metadata.file_path as a column where they are read, and select that";
                    return Err(Box::new(refusal.help(help)));
                }
                return self.identifier(&path, scope, span);
            }
            _ => {}
        }
        let arguments = self.arguments(args, scope, span)?;
        match (name, arguments.as_slice()) {
            ("date_part" | "datepart", [field, value]) => match value_of(&field.expr) {
                Some(ScalarValue::Utf8(Some(field))) => self.extract(field, value.clone(), span),
                _ => self.error("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", "the first argument of date_part must be a text literal", span),
            },
            ("if" | "iff", [condition, yes, no]) => {
                let condition = self.boolean(condition.clone(), name, span)?;
                self.case_of(vec![(condition, yes.clone())], Some(no.clone()), span)
            }
            ("nullif", [value, other]) => {
                let equal = self.compare(value.clone(), &BinaryOperator::Eq, other.clone(), span)?;
                let null = Typed::new(Expr::Literal(ScalarValue::Null, None), DataType::Null);
                self.case_of(vec![(equal, null)], Some(value.clone()), span)
            }
            ("nvl2", [value, yes, no]) => {
                let present = Typed::new(value.expr.clone().is_not_null(), DataType::Boolean);
                self.case_of(vec![(present, yes.clone())], Some(no.clone()), span)
            }
            ("negative", [value]) => self.unary(UnaryOperator::Minus, value.clone(), span),
            ("positive", [value]) => Ok(match value.data_type {
                DataType::Utf8 | DataType::Null => self.cast(value.clone(), &DataType::Float64),
                _ => value.clone(),
            }),
            ("equal_null", [left, right]) => self.compare(left.clone(), &BinaryOperator::Spaceship, right.clone(), span),
            ("zeroifnull", [value]) => self.stub("coalesce", vec![value.clone(), zero()], span),
            ("nullifzero", [value]) => {
                let is_zero = self.compare(value.clone(), &BinaryOperator::Eq, zero(), span)?;
                let null = Typed::new(Expr::Literal(ScalarValue::Null, None), DataType::Null);
                self.case_of(vec![(is_zero, null)], Some(value.clone()), span)
            }
            ("to_timestamp_ntz", [value]) => self.explicit_cast(value.clone(), &timestamp_ntz(), false, span),
            ("to_timestamp_ntz", [value, pattern]) => {
                // Read and shown in the same zone: the wall clock of the text.
                let instant = self.stub("to_timestamp", vec![value.clone(), pattern.clone()], span)?;
                self.explicit_cast(instant, &timestamp_ntz(), false, span)
            }
            ("isnull", [value]) => Ok(Typed::new(value.expr.clone().is_null(), DataType::Boolean)),
            ("isnotnull", [value]) => Ok(Typed::new(value.expr.clone().is_not_null(), DataType::Boolean)),
            ("datediff" | "date_diff", [end, start]) => self.stub("$date_diff", vec![end.clone(), start.clone()], span),
            ("dateadd", [date, days]) => self.stub("date_add", vec![date.clone(), days.clone()], span),
            ("typeof", [value]) => Ok(text(ddl::simple_type_text(&value.data_type))),
            (target, [value]) => match ddl::parse_type(target) {
                Ok(target) => self.explicit_cast(value.clone(), &target, false, span),
                Err(_) => self.wrong_count(name, 1, span),
            },
            (_, other) => self.wrong_count(name, other.len(), span),
        }
    }

    fn wrong_count<T>(&self, name: &str, given: usize, span: Span) -> Planned<T> {
        self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", format!("{name} cannot be called with {given} arguments"), span)
    }

    /// `timestampdiff(UNIT, start, end)` and `timestampadd(UNIT, n, t)`.
    fn unit_call(&mut self, name: &str, args: &[FunctionArg], scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        let exprs: Vec<&ast::Expr> = args.iter().filter_map(expr_of).collect();
        let [unit, first, second] = exprs.as_slice() else { return self.wrong_count(name, exprs.len(), span) };
        let written = match unit {
            ast::Expr::Identifier(ident) => ident.value.to_uppercase(),
            ast::Expr::Value(value) => value.value.clone().into_string().unwrap_or_default().to_uppercase(),
            other => other.to_string().to_uppercase(),
        };
        let Some((_, unit_name)) = UNITS.iter().find(|(known, _)| *known == written) else {
            return self.error("INVALID_PARAMETER_VALUE.DATETIME_UNIT", format!("{written} is not a unit of time"), unit.span());
        };
        let (first, second) = (self.expr(first, scope)?, self.expr(second, scope)?);
        if name == "timestampdiff" {
            return self.stub("$timestamp_diff", vec![text(*unit_name), first, second], span);
        }
        let time = if second.data_type == timestamp_ntz() { second } else { self.cast(second, &timestamp_type()) };
        self.stub("$timestamp_add", vec![text(*unit_name), first, time], span)
    }

    /// `arrays_zip(a, b, …)`: fields named by alias or column, otherwise `0`, `1` …
    fn zipped(&mut self, args: &[FunctionArg], scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        let mut arguments = Vec::with_capacity(args.len() * 2);
        for (index, value) in args.iter().filter_map(expr_of).enumerate() {
            let name = match value {
                ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) | ast::Expr::CompoundFieldAccess { .. } => spark_name(value),
                _ => index.to_string(),
            };
            arguments.push(text(name));
            arguments.push(self.expr(value, scope)?);
        }
        self.stub("$arrays_zip", arguments, span)
    }

    /// `struct(a, b AS c, …)`: fields named by alias or column, otherwise `col1`, `col2` …
    pub fn structure(&mut self, values: &[ast::Expr], scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        let values: Vec<FunctionArg> = values.iter().map(|value| FunctionArg::Unnamed(value.clone().into())).collect();
        self.structure_of(&values, scope, span)
    }

    fn structure_of(&mut self, values: &[FunctionArg], scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        let mut fields: Vec<(String, Typed)> = Vec::with_capacity(values.len());
        for value in values {
            let value = match value {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => value,
                FunctionArg::Unnamed(star) => {
                    fields.extend(self.star(star, scope, span)?.into_iter().map(|item| (item.name, item.value)));
                    continue;
                }
                other => return self.unsupported(&format!("the argument {other}"), span),
            };
            let name = match value {
                ast::Expr::Named { name, .. } => name.value.clone(),
                ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) | ast::Expr::CompoundFieldAccess { .. } => spark_name(value),
                _ => format!("col{}", fields.len() + 1),
            };
            let inner = if let ast::Expr::Named { expr, .. } = value { expr } else { value };
            fields.push((name, self.expr(inner, scope)?));
        }
        let arguments = fields.into_iter().flat_map(|(name, value)| [text(name), value]).collect();
        self.stub("named_struct", arguments, span)
    }

    /// `EXTRACT(field FROM x)` and `date_part`.
    pub fn extract(&self, field: &str, value: Typed, span: Span) -> Planned<Typed> {
        let lower = field.to_lowercase();
        if matches!(value.data_type, DataType::Interval(_)) {
            return self.extract_of_interval(&lower, value, span);
        }
        let name = match lower.as_str() {
            "y" | "yr" | "yrs" | "year" | "years" => "year",
            "yearofweek" | "isoyear" => "$iso_year",
            "qtr" | "quarter" | "quarters" => "quarter",
            "mon" | "mons" | "month" | "months" => "month",
            "w" | "week" | "weeks" => "weekofyear",
            "d" | "day" | "days" => "day",
            "dow" | "dayofweek" => "dayofweek",
            "dow_iso" | "dayofweek_iso" => "$iso_weekday",
            "doy" | "dayofyear" => "dayofyear",
            "h" | "hr" | "hrs" | "hour" | "hours" => "hour",
            "m" | "min" | "mins" | "minute" | "minutes" => "minute",
            "s" | "sec" | "secs" | "second" | "seconds" => "$second_fraction",
            _ => return self.unsupported(&format!("EXTRACT({field} FROM …)"), span),
        };
        self.stub(name, vec![value], span)
    }

    /// A field of an interval: years and months of its months, the others of the rest.
    fn extract_of_interval(&self, field: &str, value: Typed, span: Span) -> Planned<Typed> {
        let (part, target) = match field {
            "y" | "yr" | "yrs" | "year" | "years" => ("year", DataType::Int32),
            "mon" | "mons" | "month" | "months" => ("month", DataType::Int8),
            "d" | "day" | "days" => ("day", DataType::Int32),
            "h" | "hr" | "hrs" | "hour" | "hours" => ("hour", DataType::Int8),
            "m" | "min" | "mins" | "minute" | "minutes" => ("minute", DataType::Int8),
            "s" | "sec" | "secs" | "second" | "seconds" => ("microsecond", DataType::Decimal128(8, 6)),
            _ => return self.unsupported(&format!("EXTRACT({field} FROM an interval)"), span),
        };
        let whole = self.stub("$interval_part", vec![text(part), value], span)?;
        if part != "microsecond" {
            return Ok(self.cast(whole, &target));
        }
        let million = Typed::new(Expr::Literal(ScalarValue::Decimal128(Some(1_000_000), 7, 0), None), DataType::Decimal128(7, 0));
        let seconds = self.stub("$divide", vec![self.cast(whole, &DataType::Decimal128(20, 0)), million], span)?;
        Ok(self.cast(seconds, &target))
    }
}

fn zero() -> Typed {
    scalar(ScalarValue::Int32(Some(0)))
}

fn timestamp_ntz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn expr_of(arg: &FunctionArg) -> Option<&ast::Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}
