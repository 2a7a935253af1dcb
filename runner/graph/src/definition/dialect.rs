//! The lexical and grammatical switches of Databricks SQL for sqlparser.

use std::any::TypeId;

use sqlparser::{
    ast::{BinaryOperator, Expr},
    dialect::{DatabricksDialect, Dialect},
    keywords::Keyword,
    parser::{Parser, ParserError},
};

/// Databricks SQL: backticks are identifiers, both quotes are strings, words that Spark does not reserve are names.
#[derive(Debug)]
pub struct FloeDialect;

/// The one value of the dialect.
pub static DIALECT: FloeDialect = FloeDialect;

impl Dialect for FloeDialect {
    // The parser has a few rules of its own for Databricks, for example `array(1, 2)` and `exists(a, x -> x > 1)` as functions.
    fn dialect(&self) -> TypeId {
        TypeId::of::<DatabricksDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_'
    }

    fn supports_numeric_prefix(&self) -> bool {
        true
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_group_by_with_modifier(&self) -> bool {
        true
    }

    fn supports_order_by_all(&self) -> bool {
        true
    }

    fn supports_from_first_select(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_lambda_functions(&self) -> bool {
        true
    }

    fn supports_select_wildcard_except(&self) -> bool {
        true
    }

    fn supports_select_expr_star(&self) -> bool {
        true
    }

    fn supports_struct_literal(&self) -> bool {
        true
    }

    fn supports_map_literal_with_angle_brackets(&self) -> bool {
        true
    }

    fn supports_long_type_as_bigint(&self) -> bool {
        true
    }

    fn supports_values_as_table_factor(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_cte_without_as(&self) -> bool {
        true
    }

    fn supports_select_item_multi_column_alias(&self) -> bool {
        true
    }

    fn supports_bang_not_operator(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    // `INTERVAL '5 minutes'` and `INTERVAL 7 DAYS` are both written.
    fn require_interval_qualifier(&self) -> bool {
        false
    }

    fn supports_subquery_as_function_arg(&self) -> bool {
        true
    }

    /// `a DIV b` binds like `a / b`. What follows `IS DISTINCT FROM` ends before AND and OR, as after any other comparison.
    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        let left = || Box::new(expr.clone());
        if parser.parse_keywords(&[Keyword::IS, Keyword::DISTINCT, Keyword::FROM]) {
            return Some(parser.parse_subexpr(precedence).map(|right| Expr::IsDistinctFrom(left(), Box::new(right))));
        }
        if parser.parse_keywords(&[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM]) {
            return Some(parser.parse_subexpr(precedence).map(|right| Expr::IsNotDistinctFrom(left(), Box::new(right))));
        }
        if !parser.parse_keyword(Keyword::DIV) {
            return None;
        }
        Some(parser.parse_subexpr(precedence).map(|right| Expr::BinaryOp {
            left: left(),
            op: BinaryOperator::MyIntegerDivide,
            right: Box::new(right),
        }))
    }
}

#[cfg(test)]
mod tests {
    use sqlparser::{dialect::Dialect, parser::Parser};

    use super::*;

    #[test]
    fn is_distinct_from_ends_before_and_and_or() {
        for text in ["a IS DISTINCT FROM b OR c", "a IS NOT DISTINCT FROM b + 1 AND c = d"] {
            let dialect: &dyn Dialect = &FloeDialect;
            let parsed = Parser::new(dialect).try_with_sql(text).unwrap().parse_expr().unwrap();
            let Expr::BinaryOp { left, op: BinaryOperator::Or | BinaryOperator::And, .. } = &parsed else { panic!("{parsed:?}") };
            assert!(matches!(**left, Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..)), "{left:?}");
            assert_eq!(parsed.to_string(), text);
        }
    }
}
