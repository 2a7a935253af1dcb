//! The lexical and grammatical switches of Databricks SQL for sqlparser.

use std::any::TypeId;

use sqlparser::{
    ast::{BinaryOperator, DataType, DateTimeField, Expr, Interval, TimezoneInfo, TrimWhereField, TypedString, Value},
    dialect::{DatabricksDialect, Dialect},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Span, Token},
};

/// How `<<`, `>>` and `>>>` bind: weaker than `+`, stronger than `&`.
const SHIFT_PRECEDENCE: u8 = 27;

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

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        matches!(parser.peek_token_ref().token, Token::ShiftLeft | Token::ShiftRight).then_some(Ok(SHIFT_PRECEDENCE))
    }

    /// Forms of Spark that the parser does not know: intervals of several units, TRIM with two arguments or without characters, fields of a
    /// struct with a name but no AS, and `TIMESTAMP_LTZ '…'`.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let Token::Word(word) = &parser.peek_token_ref().token else { return None };
        match word.keyword {
            Keyword::INTERVAL if word.quote_style.is_none() => {
                let several = parser.maybe_parse(units).transpose();
                several.or_else(|| parser.maybe_parse(unknown_unit).transpose())
            }
            Keyword::STRUCT if word.quote_style.is_none() && parser.peek_nth_token_ref(1).token == Token::LParen => Some(structure(parser)),
            Keyword::NoKeyword if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("TIMESTAMP_LTZ") => {
                parser.maybe_parse(local_timestamp).transpose()
            }
            Keyword::TRIM if word.quote_style.is_none() && parser.peek_nth_token_ref(1).token == Token::LParen => Some(trim(parser)),
            _ => None,
        }
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
        if parser.peek_token_ref().token == Token::ShiftRight && parser.peek_nth_token_ref(1).token == Token::Gt {
            parser.advance_token();
            parser.advance_token();
            let op = BinaryOperator::Custom(">>>".to_string());
            return Some(parser.parse_subexpr(precedence).map(|right| Expr::BinaryOp { left: left(), op, right: Box::new(right) }));
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

/// `INTERVAL 1 YEAR 2 MONTHS`, as the interval of one text that says the same.
fn units(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.expect_keyword_is(Keyword::INTERVAL)?;
    let span = parser.peek_token_ref().span;
    let mut parts = Vec::new();
    while let Some(part) = parser.maybe_parse(amount)? {
        parts.push(part);
    }
    if parts.len() < 2 {
        return Err(ParserError::ParserError("an interval of one unit".to_string()));
    }
    Ok(interval(parts.join(" "), span))
}

/// `INTERVAL 1 FORTNIGHT`, as the interval of one text, so that the planner can tell what is wrong with it.
fn unknown_unit(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.expect_keyword_is(Keyword::INTERVAL)?;
    let span = parser.peek_token_ref().span;
    let sign = if parser.consume_token(&Token::Minus) { "-" } else { "" };
    let Token::Number(number, _) = parser.next_token().token else {
        return Err(ParserError::ParserError("no number".to_string()));
    };
    if parser.maybe_parse(known_unit)?.is_some() {
        return Err(ParserError::ParserError("a unit that the parser knows".to_string()));
    }
    let unit = parser.parse_identifier()?;
    Ok(interval(format!("{sign}{number} {unit}"), span))
}

/// The interval that `text` says.
fn interval(text: String, span: Span) -> Expr {
    Expr::Interval(Interval {
        value: Box::new(Expr::Value(Value::SingleQuotedString(text).with_span(span))),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    })
}

fn known_unit(parser: &mut Parser) -> Result<DateTimeField, ParserError> {
    parser.parse_date_time_field()
}

/// `TIMESTAMP_LTZ '…'` is what TIMESTAMP is.
fn local_timestamp(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.advance_token();
    let token = parser.next_token();
    match token.token {
        Token::SingleQuotedString(text) => Ok(Expr::TypedString(TypedString {
            data_type: DataType::Timestamp(None, TimezoneInfo::None),
            value: Value::SingleQuotedString(text).with_span(token.span),
            uses_odbc_syntax: false,
        })),
        other => Err(ParserError::ParserError(format!("{other} is no text"))),
    }
}

/// `struct(a, b AS c, d e)`.
fn structure(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.expect_keyword_is(Keyword::STRUCT)?;
    parser.expect_token(&Token::LParen)?;
    let values = parser.parse_comma_separated0(field, Token::RParen)?;
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Struct { values, fields: Vec::new() })
}

fn field(parser: &mut Parser) -> Result<Expr, ParserError> {
    let expr = parser.parse_expr()?;
    let is_named = parser.parse_keyword(Keyword::AS) || matches!(parser.peek_token_ref().token, Token::Word(_));
    if !is_named {
        return Ok(expr);
    }
    Ok(Expr::Named { expr: Box::new(expr), name: parser.parse_identifier()? })
}

/// A number or text with a unit.
fn amount(parser: &mut Parser) -> Result<String, ParserError> {
    let sign = if parser.consume_token(&Token::Minus) { "-" } else { "" };
    let number = match parser.next_token().token {
        Token::Number(number, _) => number,
        Token::SingleQuotedString(text) => text.trim().to_string(),
        other => return Err(ParserError::ParserError(format!("{other} is no amount"))),
    };
    let unit = parser.parse_date_time_field()?;
    // `INTERVAL '1' YEAR TO MONTH` is another form.
    if parser.peek_keyword(Keyword::TO) {
        return Err(ParserError::ParserError("a range of units".to_string()));
    }
    Ok(format!("{sign}{number} {unit}"))
}

/// `TRIM(t)`, `TRIM(c, t)`, `TRIM([BOTH | LEADING | TRAILING] [c] FROM t)`.
fn trim(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.expect_keyword_is(Keyword::TRIM)?;
    parser.expect_token(&Token::LParen)?;
    let side = match parser.parse_one_of_keywords(&[Keyword::BOTH, Keyword::LEADING, Keyword::TRAILING]) {
        Some(Keyword::BOTH) => Some(TrimWhereField::Both),
        Some(Keyword::LEADING) => Some(TrimWhereField::Leading),
        Some(_) => Some(TrimWhereField::Trailing),
        None => None,
    };
    let mut expr = Vec::with_capacity(2);
    if side.is_some() && parser.peek_keyword(Keyword::FROM) {
        let blank = Value::SingleQuotedString(" ".to_string()).with_span(parser.peek_token_ref().span);
        expr.push(Expr::Value(blank));
    } else {
        expr.push(parser.parse_expr()?);
    }
    if parser.parse_keyword(Keyword::FROM) || (side.is_none() && parser.consume_token(&Token::Comma)) {
        expr.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    let text = expr.pop().map(Box::new).ok_or_else(|| ParserError::ParserError("TRIM of nothing".to_string()))?;
    Ok(Expr::Trim { expr: text, trim_where: side, trim_what: expr.pop().map(Box::new), trim_characters: None })
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

    #[test]
    fn shifts_bind_between_plus_and_ampersand() {
        let dialect: &dyn Dialect = &FloeDialect;
        for (text, form) in [
            ("1 + 1 << 2", "((1 + 1) << 2)"),
            ("a & b >> 1", "(a & (b >> 1))"),
            ("a >>> 1 > b", "((a >>> 1) > b)"),
            ("a >> 1 >>> 2", "((a >> 1) >>> 2)"),
        ] {
            let parsed = Parser::new(dialect).try_with_sql(text).unwrap().parse_expr().unwrap();
            assert_eq!(grouped(&parsed), form);
        }
    }

    fn grouped(expr: &Expr) -> String {
        match expr {
            Expr::BinaryOp { left, op, right } => format!("({} {op} {})", grouped(left), grouped(right)),
            other => other.to_string(),
        }
    }

    #[test]
    fn intervals_have_several_units_and_trim_two_arguments() {
        let dialect: &dyn Dialect = &FloeDialect;
        for (text, form) in [
            ("INTERVAL 1 YEAR 2 MONTHS", "INTERVAL '1 YEAR 2 MONTHS'"),
            ("INTERVAL '1' DAY -2 HOURS + t", "INTERVAL '1 DAY -2 HOURS' + t"),
            ("INTERVAL 1 DAY - INTERVAL 2 HOURS", "INTERVAL 1 DAY - INTERVAL 2 HOURS"),
            ("INTERVAL '1-2' YEAR TO MONTH", "INTERVAL '1-2' YEAR TO MONTH"),
            ("trim('x', t)", "TRIM('x' FROM t)"),
            ("trim(LEADING FROM t)", "TRIM(LEADING ' ' FROM t)"),
            ("trim(t)", "TRIM(t)"),
            ("INTERVAL -1 FORTNIGHT", "INTERVAL '-1 FORTNIGHT'"),
            ("TIMESTAMP_LTZ '2024-01-01'", "TIMESTAMP '2024-01-01'"),
            ("struct(1 a, b AS c, d)", "STRUCT(1 AS a, b AS c, d)"),
        ] {
            let parsed = Parser::new(dialect).try_with_sql(text).unwrap().parse_expr().unwrap();
            assert_eq!(parsed.to_string(), form);
        }
    }
}
