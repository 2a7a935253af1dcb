//! Aggregates with an order of their own: `percentile_cont(0.5) WITHIN GROUP (ORDER BY x)`, `listagg`.

use datafusion_common::{ScalarValue, arrow::datatypes::DataType};
use sqlparser::{
    ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments},
    tokenizer::Span,
};

use super::{
    Planned, Planner, Scope, Typed,
    literal::{scalar, text, value_of},
};
use crate::{analysis::references::list, function::array_of};

impl Planner<'_> {
    /// Each becomes an aggregate whose order is an argument, or an array that is sorted.
    pub fn within_group(&mut self, call: &ast::Function, name: &str, scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        match (name, call.within_group.as_slice()) {
            ("listagg" | "string_agg", order) => self.joined_texts(call, order, scope, span),
            ("mode", [by]) if list(&call.args).is_empty() => self.plain(call, "mode", vec![by.expr.clone()], scope, span),
            ("percentile_cont" | "percentile_disc", [by]) => {
                let [FunctionArg::Unnamed(FunctionArgExpr::Expr(fraction))] = list(&call.args) else {
                    return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", format!("{name} takes one fraction"), span);
                };
                let descending = by.options.asc == Some(false);
                if descending && name == "percentile_disc" {
                    return self.unsupported("percentile_disc WITHIN GROUP (ORDER BY … DESC); write 1 - the fraction without DESC", span);
                }
                let fraction = if descending {
                    let one = Box::new(ast::Expr::value(ast::Value::Number("1".to_string(), false)));
                    ast::Expr::BinaryOp { left: one, op: ast::BinaryOperator::Minus, right: Box::new(fraction.clone()) }
                } else {
                    fraction.clone()
                };
                let value = self.plain(call, name, vec![by.expr.clone(), fraction], scope, span)?;
                let double = match &value.data_type {
                    DataType::List(_) => array_of(DataType::Float64),
                    _ => DataType::Float64,
                };
                Ok(self.cast(value, &double))
            }
            _ => self.unsupported(&format!("{name} with WITHIN GROUP (ORDER BY …)"), span),
        }
    }

    /// The same call with other arguments and without its order.
    fn plain(&mut self, call: &ast::Function, name: &str, args: Vec<ast::Expr>, scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        let mut plain =
            ast::Function { within_group: Vec::new(), name: ast::ObjectName::from(vec![ast::Ident::new(name)]), ..call.clone() };
        if let FunctionArguments::List(list) = &mut plain.args {
            list.args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
        }
        self.call(&plain, scope, span)
    }

    /// `listagg(x[, delimiter]) [WITHIN GROUP (ORDER BY …)]` as the array of the values, joined; NULL without a value.
    fn joined_texts(&mut self, call: &ast::Function, order: &[ast::OrderByExpr], scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        let mut args = list(&call.args).iter();
        let (Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(value))), delimiter, None) = (args.next(), args.next(), args.next()) else {
            return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "listagg takes a value and optionally a delimiter", span);
        };
        let delimiter = match delimiter {
            Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(delimiter))) => self.expr(delimiter, scope)?,
            _ => text(""),
        };
        if !matches!(value_of(&delimiter.expr), Some(ScalarValue::Utf8(_) | ScalarValue::Null)) {
            return self.error("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", "the delimiter of listagg must be a text literal", span);
        }
        let distinct =
            matches!(&call.args, FunctionArguments::List(list) if list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct));
        let array = match order {
            [] if distinct => {
                let array = self.plain(call, "collect_list", vec![value.clone()], scope, span)?;
                self.stub("sort_array", vec![array], span)?
            }
            [] => self.plain(call, "collect_list", vec![value.clone()], scope, span)?,
            order => self.sorted_values(call, value, order, scope, span)?,
        };
        let delimiter = if delimiter.data_type == DataType::Null { text("") } else { delimiter };
        let joined = self.stub("array_join", vec![array.clone(), delimiter], span)?;
        let size = self.stub("size", vec![array], span)?;
        let empty = self.compare(size, &ast::BinaryOperator::Eq, scalar(ScalarValue::Int32(Some(0))), span)?;
        self.case_of(vec![(empty, scalar(ScalarValue::Utf8(None)))], Some(joined), span)
    }
    /// The values that are not NULL as an array, sorted by the keys: collected together with them, sorted, and taken out again.
    fn sorted_values(
        &mut self,
        call: &ast::Function,
        value: &ast::Expr,
        order: &[ast::OrderByExpr],
        scope: &Scope<'_>,
        span: Span,
    ) -> Planned<Typed> {
        let ascending = order.first().is_none_or(|by| by.options.asc != Some(false));
        if order
            .iter()
            .any(|by| (by.options.asc != Some(false)) != ascending || by.options.nulls_first.is_some_and(|first| first != ascending))
        {
            return self.unsupported("listagg WITHIN GROUP with keys in different directions", span);
        }
        let keys = order.iter().map(|by| by.expr.clone());
        let pair = call_of("struct", keys.chain(std::iter::once(value.clone())).collect());
        let present = ast::Expr::IsNotNull(Box::new(value.clone()));
        let filter = match &call.filter {
            Some(filter) => {
                let (left, right) = (Box::new(ast::Expr::Nested(filter.clone())), Box::new(present));
                ast::Expr::BinaryOp { left, op: ast::BinaryOperator::And, right }
            }
            None => present,
        };
        let collected = ast::Function { filter: Some(Box::new(filter)), ..call.clone() };
        let pairs = self.plain(&collected, "collect_list", vec![pair], scope, span)?;
        let name = match &pairs.data_type {
            DataType::List(item) => match item.data_type() {
                DataType::Struct(fields) => fields.last().map(|field| field.name().clone()),
                _ => None,
            },
            _ => None,
        };
        let sorted = self.stub("sort_array", vec![pairs, scalar(ScalarValue::Boolean(Some(ascending)))], span)?;
        self.stub("$field", vec![sorted, text(name.unwrap_or_default())], span)
    }
}

fn call_of(name: &str, args: Vec<ast::Expr>) -> ast::Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Nested(Box::new(arg))))).collect();
    ast::Expr::Function(ast::Function {
        name: ast::ObjectName::from(vec![ast::Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(ast::FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
