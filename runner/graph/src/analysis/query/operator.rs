//! Operators and casts with Spark's types and results.

use datafusion_common::{ScalarValue, arrow::datatypes::DataType};
use datafusion_expr::{BinaryExpr, Cast, Expr, Operator, expr::Like, lit};
use sqlparser::{
    ast::{BinaryOperator as B, UnaryOperator},
    tokenizer::Span,
};

use super::{
    Planned, Planner, Typed,
    literal::{scalar, value_of},
};
use crate::{
    analysis::ddl::type_text,
    function::{self, FunctionSpec, Param, coercion},
};

impl Planner<'_> {
    /// A call of the function `name` of the list, its arguments cast as the signature says.
    pub fn stub(&self, name: &str, arguments: Vec<Typed>, span: Span) -> Planned<Typed> {
        let Some(spec) = function::scalar(name) else {
            return self.error("UNRESOLVED_ROUTINE", format!("there is no function {name}"), span);
        };
        let arguments = if self.settings.ansi { self.same_by_ansi(spec, arguments) } else { arguments };
        let types: Vec<DataType> = arguments.iter().map(|argument| argument.data_type.clone()).collect();
        let literals: Vec<Option<ScalarValue>> = arguments.iter().map(|argument| value_of(&argument.expr).cloned()).collect();
        let typing = spec.typing(&types, &literals).or_else(|error| self.error(error.class, error.message, span))?;
        let exprs = arguments.into_iter().zip(&typing.arguments).map(|(argument, wanted)| self.cast(argument, wanted).expr).collect();
        Ok(Typed::new(function::scalar_stub(spec, self.settings).call(exprs), typing.returns))
    }

    /// With ANSI on, text among arguments of one type becomes what the others are.
    fn same_by_ansi(&self, spec: &FunctionSpec, arguments: Vec<Typed>) -> Vec<Typed> {
        let Some(Param::Same) = spec.params.last() else { return arguments };
        let common = arguments
            .iter()
            .try_fold(DataType::Null, |common, argument| coercion::common_type_in(self.settings, &common, &argument.data_type));
        match common {
            Some(common) if coercion::is_atomic(&common) => {
                let text = |argument: Typed| if argument.data_type == DataType::Utf8 { self.cast(argument, &common) } else { argument };
                arguments.into_iter().map(text).collect()
            }
            _ => arguments,
        }
    }

    /// `value` as `target`: itself, a literal, a plain widening, or `$cast`.
    pub fn cast(&self, value: Typed, target: &DataType) -> Typed {
        if value.data_type == *target {
            return value;
        }
        let expr = match value_of(&value.expr).and_then(|literal| folded(literal, target)) {
            Some(literal) => lit(literal),
            None if is_plain(&value.data_type, target) => Expr::Cast(Cast::new(Box::new(value.expr), target.clone())),
            None => self.cast_call("$cast", value.expr, target),
        };
        Typed::new(expr, target.clone())
    }

    /// CAST, TRY_CAST and `::` as the user writes them.
    pub fn explicit_cast(&self, value: Typed, target: &DataType, tries: bool, span: Span) -> Planned<Typed> {
        if !castable(&value.data_type, target) {
            let message = format!("{} cannot be cast to {}", type_text(&value.data_type), type_text(target));
            return self.error("DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION", message, span);
        }
        if tries && value.data_type != *target && !is_plain(&value.data_type, target) {
            return Ok(Typed::new(self.cast_call("$try_cast", value.expr, target), target.clone()));
        }
        Ok(self.cast(value, target))
    }

    fn cast_call(&self, name: &str, expr: Expr, target: &DataType) -> Expr {
        let null = ScalarValue::try_new_null(target).unwrap_or(ScalarValue::Null);
        match function::scalar(name) {
            Some(spec) => function::scalar_stub(spec, self.settings).call(vec![expr, lit(null)]),
            None => expr,
        }
    }

    pub fn unary(&self, operator: UnaryOperator, value: Typed, span: Span) -> Planned<Typed> {
        match operator {
            UnaryOperator::Not | UnaryOperator::BangNot => {
                let value = self.boolean(value, "NOT", span)?;
                Ok(Typed::new(Expr::Not(Box::new(value.expr)), DataType::Boolean))
            }
            UnaryOperator::Plus => Ok(value),
            UnaryOperator::Minus => self.negated(value, span),
            UnaryOperator::BitwiseNot => self.stub("$bit_not", vec![value], span),
            other => self.unsupported(&format!("the operator {other}"), span),
        }
    }

    fn negated(&self, value: Typed, span: Span) -> Planned<Typed> {
        let folded = match value_of(&value.expr) {
            Some(ScalarValue::IntervalMonthDayNano(Some(i))) => {
                let mut negative = *i;
                (negative.months, negative.days, negative.nanoseconds) =
                    (i.months.saturating_neg(), i.days.saturating_neg(), i.nanoseconds.saturating_neg());
                Some(ScalarValue::IntervalMonthDayNano(Some(negative)))
            }
            Some(literal) if value.data_type.is_numeric() => literal.arithmetic_negate().ok(),
            _ => None,
        };
        if let Some(literal) = folded {
            return Ok(scalar(literal));
        }
        match &value.data_type {
            DataType::Interval(_) => self.interval_times(value, scalar(ScalarValue::Float64(Some(-1.0))), span),
            t if t.is_integer() => {
                let zero = self.cast(scalar(ScalarValue::Int32(Some(0))), t);
                self.stub("$subtract", vec![zero, value], span)
            }
            t if t.is_numeric() => Ok(Typed::new(Expr::Negative(Box::new(value.expr)), t.clone())),
            DataType::Utf8 | DataType::Null => {
                let value = self.cast(value, &DataType::Float64);
                Ok(Typed::new(Expr::Negative(Box::new(value.expr)), DataType::Float64))
            }
            other => self.mismatch("-", other, "a number", span),
        }
    }

    pub fn binary(&self, left: Typed, operator: &B, right: Typed, span: Span) -> Planned<Typed> {
        match operator {
            B::And | B::Or => {
                let (left, right) = (self.boolean(left, &operator.to_string(), span)?, self.boolean(right, &operator.to_string(), span)?);
                let op = if matches!(operator, B::And) { Operator::And } else { Operator::Or };
                Ok(Typed::new(binary(left.expr, op, right.expr), DataType::Boolean))
            }
            B::Eq | B::NotEq | B::Lt | B::LtEq | B::Gt | B::GtEq | B::Spaceship => self.compare(left, operator, right, span),
            B::Custom(text) if text == "==" => self.compare(left, &B::Eq, right, span),
            B::Plus | B::Minus => self.plus_minus(left, matches!(operator, B::Minus), right, span),
            B::Multiply if matches!(left.data_type, DataType::Interval(_)) => self.interval_times(left, right, span),
            B::Multiply if matches!(right.data_type, DataType::Interval(_)) => self.interval_times(right, left, span),
            B::Divide if matches!(left.data_type, DataType::Interval(_)) => {
                let one = scalar(ScalarValue::Float64(Some(1.0)));
                let factor = self.divide(one, right, span)?;
                self.interval_times(left, factor, span)
            }
            B::Multiply => self.arithmetic("$multiply", Operator::Multiply, left, right, span),
            B::Divide => self.divide(left, right, span),
            B::Modulo => self.computed("$remainder", left, right, span),
            B::DuckIntegerDivide | B::MyIntegerDivide => self.whole_quotient(left, right, span),
            B::PGBitwiseShiftLeft => self.shifted("shiftleft", left, right, span),
            B::PGBitwiseShiftRight => self.shifted("shiftright", left, right, span),
            B::Custom(text) if text == ">>>" => self.shifted("shiftrightunsigned", left, right, span),
            B::StringConcat => self.concat(vec![left, right], span),
            B::BitwiseAnd | B::BitwiseOr | B::BitwiseXor => self.bitwise(left, operator, right, span),
            other => self.unsupported(&format!("the operator {other}"), span),
        }
    }

    fn bitwise(&self, left: Typed, operator: &B, right: Typed, span: Span) -> Planned<Typed> {
        let common = coercion::common_type(&left.data_type, &right.data_type).filter(DataType::is_integer);
        let Some(common) = common else { return self.mismatch(&operator.to_string(), &left.data_type, "an integer", span) };
        let op = match operator {
            B::BitwiseAnd => Operator::BitwiseAnd,
            B::BitwiseOr => Operator::BitwiseOr,
            _ => Operator::BitwiseXor,
        };
        Ok(Typed::new(binary(self.cast(left, &common).expr, op, self.cast(right, &common).expr), common))
    }

    /// A comparison, both sides cast to the type that Spark compares in.
    pub fn compare(&self, left: Typed, operator: &B, right: Typed, span: Span) -> Planned<Typed> {
        let op = match operator {
            B::Eq => Operator::Eq,
            B::NotEq => Operator::NotEq,
            B::Lt => Operator::Lt,
            B::LtEq => Operator::LtEq,
            B::Gt => Operator::Gt,
            B::GtEq => Operator::GtEq,
            B::Spaceship => Operator::IsNotDistinctFrom,
            other => return self.unsupported(&format!("the comparison {other}"), span),
        };
        if matches!((&left.data_type, &right.data_type), (DataType::Interval(_), DataType::Interval(_))) {
            // Months and days have no fixed length, so bits of intervals are not compared.
            let order = self.stub("$interval_compare", vec![left, right], span)?;
            return Ok(Typed::new(binary(order.expr, op, lit(0_i32)), DataType::Boolean));
        }
        if matches!(operator, B::Eq | B::NotEq | B::Spaceship) && !self.settings.ansi {
            // A BOOLEAN is 1 or 0 beside a number.
            let sides = (&left.data_type, &right.data_type);
            if matches!(sides, (DataType::Boolean, number) | (number, DataType::Boolean) if number.is_numeric()) {
                let number = if left.data_type.is_numeric() { left.data_type.clone() } else { right.data_type.clone() };
                let (left, right) = (self.cast(left, &number), self.cast(right, &number));
                return Ok(Typed::new(binary(left.expr, op, right.expr), DataType::Boolean));
            }
        }
        let common = match coercion::comparison_type(&left.data_type, &right.data_type) {
            Some(common) if !matches!(common, DataType::Map(..)) => common,
            _ => {
                let (l, r) = (type_text(&left.data_type), type_text(&right.data_type));
                return self.error(
                    "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES",
                    format!("{l} {operator} {r}: these types cannot be compared"),
                    span,
                );
            }
        };
        Ok(Typed::new(binary(self.cast(left, &common).expr, op, self.cast(right, &common).expr), DataType::Boolean))
    }

    fn plus_minus(&self, left: Typed, minus: bool, right: Typed, span: Span) -> Planned<Typed> {
        use DataType as D;
        let sign = if minus { "-" } else { "+" };
        match (&left.data_type, &right.data_type) {
            (D::Interval(_), D::Interval(_)) => {
                let right = if minus { self.negated(right, span)? } else { right };
                self.stub("$interval_add", vec![left, right], span)
            }
            (_, D::Interval(_)) => {
                let left =
                    if has_time(&right) && left.data_type == D::Date32 { self.cast(left, &function::timestamp_type()) } else { left };
                let right = if minus { self.negated(right, span)? } else { right };
                self.stub("$add_interval", vec![left, right], span)
            }
            (D::Interval(_), _) if !minus => self.plus_minus(right, false, left, span),
            (D::Date32, other) if other.is_integer() => self.stub(if minus { "date_sub" } else { "date_add" }, vec![left, right], span),
            (other, D::Date32) if other.is_integer() && !minus => self.stub("date_add", vec![right, left], span),
            (D::Date32 | D::Timestamp(..), D::Date32 | D::Timestamp(..)) if minus => self.stub("$between_times", vec![left, right], span),
            (D::Utf8, D::Date32 | D::Timestamp(..)) if minus => {
                let left = self.cast(left, &right.data_type);
                self.stub("$between_times", vec![left, right], span)
            }
            (D::Date32 | D::Timestamp(..), D::Utf8) if minus => {
                let right = self.cast(right, &left.data_type);
                self.stub("$between_times", vec![left, right], span)
            }
            (D::Date32 | D::Timestamp(..), _) => self.mismatch(sign, &right.data_type, "an INTERVAL", span),
            _ if minus => self.arithmetic("$subtract", Operator::Minus, left, right, span),
            _ => self.arithmetic("$add", Operator::Plus, left, right, span),
        }
    }

    fn interval_times(&self, interval: Typed, factor: Typed, span: Span) -> Planned<Typed> {
        match &factor.data_type {
            t if t.is_numeric() || matches!(t, DataType::Utf8 | DataType::Null) => {
                self.stub("$interval_times", vec![interval, factor], span)
            }
            other => self.mismatch("*", &other.clone(), "a number", span),
        }
    }

    /// Integers and decimals by a function that finds overflow, floating numbers by the plain operator.
    fn arithmetic(&self, name: &str, operator: Operator, left: Typed, right: Typed, span: Span) -> Planned<Typed> {
        let common = self.number_type(&operator.to_string(), &left, &right, span)?;
        if common.is_floating() {
            return Ok(Typed::new(binary(self.cast(left, &common).expr, operator, self.cast(right, &common).expr), common));
        }
        self.computed(name, left, right, span)
    }

    /// A function of two numbers in their common type; decimals keep precision and scale.
    fn computed(&self, name: &str, left: Typed, right: Typed, span: Span) -> Planned<Typed> {
        let common = self.number_type(name.trim_start_matches('$'), &left, &right, span)?;
        if matches!(common, DataType::Decimal128(..)) {
            return self.stub(name, self.as_decimals(left, right), span);
        }
        self.stub(name, vec![self.cast(left, &common), self.cast(right, &common)], span)
    }

    /// `mod`, `pmod` and the `try_` functions: the types are those of the operators.
    pub fn operator_function(&self, name: &str, left: Typed, right: Typed, span: Span) -> Planned<Typed> {
        let is_number = |value: &Typed| value.data_type.is_numeric() || matches!(value.data_type, DataType::Utf8 | DataType::Null);
        if is_number(&left) && is_number(&right) {
            return match self.number_type(name, &left, &right, span)? {
                DataType::Decimal128(..) if name == "try_divide" && !left.data_type.is_null() => {
                    self.stub(name, self.as_decimals(left, right), span)
                }
                _ if name == "try_divide" => {
                    self.stub(name, vec![self.cast(left, &DataType::Float64), self.cast(right, &DataType::Float64)], span)
                }
                _ => self.computed(name, left, right, span),
            };
        }
        match name {
            "try_add" => self.plus_minus(left, false, right, span),
            "try_subtract" => self.plus_minus(left, true, right, span),
            "try_multiply" => self.binary(left, &B::Multiply, right, span),
            "try_divide" => self.binary(left, &B::Divide, right, span),
            _ => self.binary(left, &B::Modulo, right, span),
        }
    }

    /// Bits of a BIGINT, or of anything else as an INT.
    pub fn shifted(&self, name: &str, value: Typed, places: Typed, span: Span) -> Planned<Typed> {
        let fits = value.data_type.is_numeric() || matches!(value.data_type, DataType::Utf8 | DataType::Null | DataType::Int64);
        if !fits {
            return self.mismatch(name, &value.data_type, "an integer", span);
        }
        let value = if value.data_type == DataType::Int64 { value } else { self.cast(value, &DataType::Int32) };
        self.stub(name, vec![value, places], span)
    }

    /// `a DIV b` of integers and decimals.
    fn whole_quotient(&self, left: Typed, right: Typed, span: Span) -> Planned<Typed> {
        // With ANSI on text becomes a BIGINT.
        let fits = |value: &Typed| match &value.data_type {
            DataType::Decimal128(..) | DataType::Null => true,
            DataType::Utf8 => self.settings.ansi,
            other => other.is_integer(),
        };
        if let Some(other) = [&left, &right].into_iter().find(|value| !fits(value)) {
            let message = format!(
                "DIV takes integers and DECIMAL, not {}; write CAST(a / b AS BIGINT) for the whole part of a quotient",
                type_text(&other.data_type)
            );
            return self.error("DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE", message, span);
        }
        if [&left, &right].into_iter().any(|value| matches!(value.data_type, DataType::Decimal128(..))) {
            return self.stub("$int_divide", self.as_decimals(left, right), span);
        }
        self.stub("$int_divide", vec![self.cast(left, &DataType::Int64), self.cast(right, &DataType::Int64)], span)
    }

    /// `ceil`, `floor`, `round` and `bround`. A scale of ceil and floor makes the number a DECIMAL.
    pub fn rounded(&self, name: &str, mut arguments: Vec<Typed>, span: Span) -> Planned<Typed> {
        let Some(scale) = arguments.get(1) else { return self.stub(name, arguments, span) };
        let (is_null, is_literal) = (scale.data_type.is_null(), value_of(&scale.expr).is_some());
        let is_whole = matches!(name, "ceil" | "floor");
        if !is_literal || (is_null && is_whole) {
            return self.error("NON_FOLDABLE_ARGUMENT", format!("the scale of {name} must be a literal that is not NULL"), span);
        }
        if is_whole {
            let number = arguments.remove(0);
            let target = match &number.data_type {
                DataType::Float32 => DataType::Decimal128(14, 7),
                DataType::Float64 => DataType::Decimal128(30, 15),
                other => coercion::decimal_shape(other).map_or(DataType::Decimal128(38, 18), |(p, s)| DataType::Decimal128(p, s)),
            };
            if !number.data_type.is_numeric() && !matches!(number.data_type, DataType::Utf8 | DataType::Null) {
                return self.mismatch(name, &number.data_type, "a number", span);
            }
            arguments.insert(0, self.cast(number, &target));
        }
        self.stub(name, arguments, span)
    }

    /// `/` is DOUBLE, or DECIMAL if one side is and the other is no floating number.
    fn divide(&self, left: Typed, right: Typed, span: Span) -> Planned<Typed> {
        let common = self.number_type("/", &left, &right, span)?;
        if matches!(common, DataType::Decimal128(..)) && !left.data_type.is_null() {
            return self.stub("$divide", self.as_decimals(left, right), span);
        }
        let (left, right) = (self.cast(left, &DataType::Float64), self.cast(right, &DataType::Float64));
        match value_of(&right.expr) {
            Some(ScalarValue::Float64(Some(divisor))) if *divisor != 0.0 => {
                Ok(Typed::new(binary(left.expr, Operator::Divide, right.expr), DataType::Float64))
            }
            _ => self.stub("$divide", vec![left, right], span),
        }
    }

    /// The type that two numbers are computed in; text counts as DOUBLE.
    fn number_type(&self, operator: &str, left: &Typed, right: &Typed, span: Span) -> Planned<DataType> {
        let whole = |data_type: &DataType| data_type.is_integer();
        let number = |data_type: &DataType| match data_type {
            DataType::Utf8 if self.settings.ansi && (whole(&left.data_type) || whole(&right.data_type)) => Some(DataType::Int64),
            DataType::Utf8 => Some(DataType::Float64),
            t if t.is_numeric() || t.is_null() => Some(t.clone()),
            _ => None,
        };
        let Some(l) = number(&left.data_type) else { return self.mismatch(operator, &left.data_type, "a number", span) };
        let Some(r) = number(&right.data_type) else { return self.mismatch(operator, &right.data_type, "a number", span) };
        match coercion::common_type(&l, &r) {
            Some(DataType::Null) => Ok(DataType::Float64),
            Some(common) => Ok(common),
            None => self.mismatch(operator, &right.data_type, "a number", span),
        }
    }

    /// Both sides as DECIMALs; a NULL has the type of the other side.
    fn as_decimals(&self, left: Typed, right: Typed) -> Vec<Typed> {
        match (left.data_type.is_null(), right.data_type.is_null()) {
            (true, false) => {
                let right = self.as_decimal(right);
                vec![self.cast(left, &right.data_type), right]
            }
            (false, true) => {
                let left = self.as_decimal(left);
                let right = self.cast(right, &left.data_type);
                vec![left, right]
            }
            _ => vec![self.as_decimal(left), self.as_decimal(right)],
        }
    }

    /// An integer as the DECIMAL that holds it (a literal as the one that holds its digits), a decimal as it is.
    fn as_decimal(&self, value: Typed) -> Typed {
        let digits = match value_of(&value.expr) {
            Some(ScalarValue::Int16(Some(n))) => Some(i64::from(*n)),
            Some(ScalarValue::Int32(Some(n))) => Some(i64::from(*n)),
            Some(ScalarValue::Int64(Some(n))) => Some(*n),
            _ => None,
        };
        if let Some(n) = digits {
            let precision = n.unsigned_abs().checked_ilog10().map_or(1, |digits| digits as u8 + 1);
            return scalar(ScalarValue::Decimal128(Some(i128::from(n)), precision, 0));
        }
        match coercion::decimal_shape(&value.data_type) {
            Some((precision, scale)) => self.cast(value, &DataType::Decimal128(precision, scale)),
            None => self.cast(value, &DataType::Decimal128(38, 18)),
        }
    }

    /// `concat` and `||`: arrays of one type, BINARY only, or everything as text.
    pub fn concat(&self, values: Vec<Typed>, span: Span) -> Planned<Typed> {
        let mut common = DataType::Null;
        let arrays = values.iter().any(|value| matches!(value.data_type, DataType::List(_)));
        for value in &values {
            common = match coercion::common_type(&common, &value.data_type) {
                Some(common) => common,
                None if arrays => return self.mismatch("concat", &value.data_type, "an array like the others", span),
                None => DataType::Utf8,
            };
        }
        let bytes = !values.is_empty() && values.iter().all(|value| value.data_type == DataType::Binary);
        let target = if arrays || bytes { common } else { DataType::Utf8 };
        self.stub("concat", values.into_iter().map(|value| self.cast(value, &target)).collect(), span)
    }

    pub fn like(
        &self,
        value: Typed,
        pattern: Typed,
        (negated, ignore_case): (bool, bool),
        escape: Option<char>,
        span: Span,
    ) -> Planned<Typed> {
        let pattern = match escape.filter(|escape| *escape != '\\') {
            Some(escape) => self.with_backslashes(&pattern, escape, span)?,
            None => pattern,
        };
        let (value, pattern) = (self.cast(value, &DataType::Utf8), self.cast(pattern, &DataType::Utf8));
        let like = Like::new(negated, Box::new(value.expr), Box::new(pattern.expr), None, ignore_case);
        Ok(Typed::new(Expr::Like(like), DataType::Boolean))
    }

    /// The same pattern with the escape character that the engine knows.
    fn with_backslashes(&self, pattern: &Typed, escape: char, span: Span) -> Planned<Typed> {
        let Some(ScalarValue::Utf8(Some(text))) = value_of(&pattern.expr) else {
            return self.unsupported("LIKE with ESCAPE and a pattern that is not a literal", span);
        };
        let mut escaped = String::with_capacity(text.len());
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let taken = if character == escape { characters.next() } else { Some(character) };
            match taken {
                Some(next @ ('%' | '_')) if character == escape => escaped.extend(['\\', next]),
                Some(next) if character != escape || next == escape => {
                    escaped.extend((next == '\\').then_some('\\'));
                    escaped.push(next);
                }
                _ => {
                    let message = format!("in the pattern '{text}' the escape character {escape} is followed by neither %, _ nor itself");
                    return self.error("INVALID_FORMAT.ESC_IN_THE_MIDDLE", message, span);
                }
            }
        }
        Ok(super::literal::text(escaped))
    }

    pub fn boolean(&self, value: Typed, operator: &str, span: Span) -> Planned<Typed> {
        match value.data_type {
            DataType::Boolean => Ok(value),
            DataType::Null | DataType::Utf8 => Ok(self.cast(value, &DataType::Boolean)),
            other => self.mismatch(operator, &other, "BOOLEAN", span),
        }
    }

    /// Values of one column or CASE: all cast to their common type.
    pub fn common(&self, types: impl IntoIterator<Item = DataType>, place: &str, span: Span) -> Planned<DataType> {
        let mut common = DataType::Null;
        for data_type in types {
            let (before, next) = (type_text(&common), type_text(&data_type));
            common = match coercion::common_type_in(self.settings, &common, &data_type) {
                Some(common) => common,
                None => return self.error("DATATYPE_MISMATCH.DATA_DIFF_TYPES", format!("{place} mixes {before} and {next}"), span),
            };
        }
        Ok(common)
    }

    /// A field of a struct (or of the structs of an array), letter case ignored.
    pub fn field(&self, value: Typed, name: &str, span: Span) -> Planned<Typed> {
        let fields = match &value.data_type {
            DataType::Struct(fields) => fields,
            DataType::List(item) => match item.data_type() {
                DataType::Struct(fields) => fields,
                other => return self.mismatch(&format!(".{name}"), other, "STRUCT", span),
            },
            other => return self.mismatch(&format!(".{name}"), other, "STRUCT", span),
        };
        let exact = fields.iter().find(|field| field.name() == name);
        let Some(field) = exact.or_else(|| fields.iter().find(|field| field.name().eq_ignore_ascii_case(name))) else {
            let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
            return self.error("FIELD_NOT_FOUND", format!("the struct has no field {name}; its fields are {}", names.join(", ")), span);
        };
        let field = super::literal::text(field.name());
        self.stub("$field", vec![value, field], span)
    }

    pub fn mismatch<T>(&self, operator: &str, given: &DataType, wanted: &str, span: Span) -> Planned<T> {
        let message = format!("{operator} takes {wanted}, not {}", type_text(given));
        self.error("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", message, span)
    }
}

/// True for an interval literal with a part below a day.
fn has_time(interval: &Typed) -> bool {
    matches!(value_of(&interval.expr), Some(ScalarValue::IntervalMonthDayNano(Some(interval))) if interval.nanoseconds != 0)
}

pub fn binary(left: Expr, operator: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
}

/// The literal in another type, where that loses nothing and does not depend on settings.
fn folded(literal: &ScalarValue, target: &DataType) -> Option<ScalarValue> {
    if literal.is_null() {
        return ScalarValue::try_new_null(target).ok();
    }
    let source = literal.data_type();
    let is_number = source.is_numeric() && target.is_numeric();
    let cast = (is_number || is_plain(&source, target)).then(|| literal.cast_to(target).ok())??;
    // A number that does not fit has become NULL or another number.
    let exact = !is_number || target.is_floating() || cast.cast_to(&source).ok().as_ref() == Some(literal);
    (exact && !cast.is_null()).then_some(cast)
}

/// Casts of arrow that lose nothing, never fail, and mean the same as Spark's.
fn is_plain(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    let rank = |t: &D| [D::Int8, D::Int16, D::Int32, D::Int64].iter().position(|known| known == t);
    match (from, to) {
        (D::Null, _) => true,
        (f, t) if rank(f).is_some() && rank(t).is_some() => rank(f) <= rank(t),
        (f, D::Float32 | D::Float64) if rank(f).is_some() => true,
        (D::Float32 | D::Decimal128(..), D::Float64)
        | (D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::Boolean | D::Date32, D::Utf8)
        | (D::Utf8, D::Binary) => true,
        (f, D::Decimal128(precision, scale)) => coercion::decimal_shape(f)
            .is_some_and(|(p, s)| s <= *scale && i16::from(p) - i16::from(s) <= i16::from(*precision) - i16::from(*scale)),
        _ => false,
    }
}

/// True if CAST may turn one type into the other at all.
fn castable(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    match (from, to) {
        (from, to) if from == to => true,
        (D::Null, _) | (_, D::Utf8) => true,
        (D::Utf8, to) => coercion::is_atomic(to) && !matches!(to, D::Null),
        (D::Boolean, to) => to.is_numeric(),
        (from, D::Boolean) => from.is_numeric(),
        (D::Binary, _) | (_, D::Binary) => from.is_integer(),
        (from, to) if from.is_numeric() => to.is_numeric() || matches!(to, D::Timestamp(_, Some(_))),
        (D::Timestamp(_, Some(_)), to) if to.is_numeric() => true,
        (D::Date32 | D::Timestamp(..), D::Date32 | D::Timestamp(..)) => true,
        (D::List(from), D::List(to)) | (D::Map(from, _), D::Map(to, _)) => castable(from.data_type(), to.data_type()),
        (D::Struct(from), D::Struct(to)) => {
            from.len() == to.len() && from.iter().zip(to).all(|(f, t)| castable(f.data_type(), t.data_type()))
        }
        _ => false,
    }
}
