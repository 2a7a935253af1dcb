//! Parses test queries, in which streams stand as table functions already.

use sqlparser::{
    ast,
    dialect::{DatabricksDialect, Dialect},
    keywords::Keyword,
    parser::{Parser, ParserError},
};

#[derive(Debug)]
struct TestDialect;

impl Dialect for TestDialect {
    fn dialect(&self) -> std::any::TypeId {
        std::any::TypeId::of::<DatabricksDialect>()
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
    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
    fn supports_group_by_expr(&self) -> bool {
        true
    }
    fn supports_select_wildcard_except(&self) -> bool {
        true
    }
    fn supports_struct_literal(&self) -> bool {
        true
    }
    fn supports_select_item_multi_column_alias(&self) -> bool {
        true
    }
    fn supports_values_as_table_factor(&self) -> bool {
        true
    }
    fn supports_bang_not_operator(&self) -> bool {
        true
    }
    fn supports_numeric_prefix(&self) -> bool {
        true
    }
    fn parse_infix(&self, parser: &mut Parser, left: &ast::Expr, precedence: u8) -> Option<Result<ast::Expr, ParserError>> {
        parser.parse_keyword(Keyword::DIV).then(|| {
            let right = Box::new(parser.parse_subexpr(precedence)?);
            Ok(ast::Expr::BinaryOp { left: Box::new(left.clone()), op: ast::BinaryOperator::MyIntegerDivide, right })
        })
    }
    fn supports_long_type_as_bigint(&self) -> bool {
        true
    }
}

pub fn query(sql: &str) -> ast::Query {
    let mut parser = Parser::new(&TestDialect).try_with_sql(sql).unwrap();
    let query = parser.parse_query().unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(parser.peek_token().token, sqlparser::tokenizer::Token::EOF, "{sql}");
    *query
}

pub fn expr(sql: &str) -> ast::Expr {
    Parser::new(&TestDialect).try_with_sql(sql).unwrap().parse_expr().unwrap()
}
