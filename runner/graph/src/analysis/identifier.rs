//! `IDENTIFIER(…)`: a constant text that is the name of a table or column, and nothing else than a name.

use std::ops::ControlFlow;

use sqlparser::{
    ast::{self, Expr, FunctionArg, FunctionArgExpr, Spanned, VisitMut, VisitorMut},
    tokenizer::Span,
};

use super::{
    Parameters,
    references::{Reader, list},
};
use crate::{definition::Query, origin::Diagnostic};

/// The function that makes a name of a text.
const IDENTIFIER: &str = "identifier";
/// Most parts of a name.
const MOST_PARTS: usize = 3;

impl Reader<'_> {
    /// The parts of the name that the argument of `IDENTIFIER` gives.
    pub(super) fn identifier(self, args: &[FunctionArg], span: Span) -> Result<Vec<String>, Box<Diagnostic>> {
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] = args else {
            return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "IDENTIFIER takes one constant text", span);
        };
        let text = self.constant(expr)?;
        let Some(parts) = parts(&text) else {
            let message = format!("the text '{text}' is no name, so it cannot stand in IDENTIFIER");
            let help = "a name has letters, digits and _, or stands in backticks; its parts have dots between them";
            return Err(Box::new(Diagnostic::error("INVALID_IDENTIFIER", message).help(help).at(&self.origin(span))));
        };
        if parts.len() > MOST_PARTS {
            let message = format!("the name {text} has {} parts; catalog.schema.name are the most", parts.len());
            return self.error("IDENTIFIER_TOO_MANY_NAME_PARTS", message, span);
        }
        Ok(parts)
    }

    /// A literal, a parameter, or several of them one after the other.
    fn constant(self, expr: &Expr) -> Result<String, Box<Diagnostic>> {
        match expr {
            Expr::BinaryOp { left, op: ast::BinaryOperator::StringConcat, right } => Ok(self.constant(left)? + &self.constant(right)?),
            Expr::Nested(inner) => self.constant(inner),
            Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("concat") => {
                let texts = list(&function.args).iter().map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.constant(expr),
                    other => self.error("PARSE_SYNTAX_ERROR", format!("{other} must be a literal"), function.span()),
                });
                texts.collect()
            }
            other => self.literal(other),
        }
    }
}

/// The query with names where `IDENTIFIER(…)` stands in the place of a column. `None`: there are none.
pub(super) fn named(query: &Query, parameters: &Parameters) -> Result<Option<Box<ast::Query>>, Box<Diagnostic>> {
    if !query.text.to_ascii_lowercase().contains(IDENTIFIER) {
        return Ok(None);
    }
    let mut ast = query.ast.clone();
    let mut namer = Namer { reader: Reader { file: &query.file, namespace: &query.namespace, parameters } };
    match ast.visit(&mut namer) {
        ControlFlow::Continue(()) => Ok(Some(ast)),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Namer<'a> {
    reader: Reader<'a>,
}

impl VisitorMut for Namer<'_> {
    type Break = Box<Diagnostic>;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        if !function.name.to_string().eq_ignore_ascii_case(IDENTIFIER) {
            return ControlFlow::Continue(());
        }
        let span = function.name.span();
        match self.reader.identifier(list(&function.args), span) {
            Ok(parts) => {
                let mut idents: Vec<ast::Ident> = parts.into_iter().map(|part| ast::Ident::with_quote_and_span('`', span, part)).collect();
                *expr = match idents.len() {
                    1 => Expr::Identifier(idents.remove(0)),
                    _ => Expr::CompoundIdentifier(idents),
                };
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// The parts of a name, without their backticks. `None` for a text that is no name.
fn parts(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, after) = part(rest)?;
        parts.push(part);
        if after.is_empty() {
            return Some(parts);
        }
        rest = after.strip_prefix('.')?;
    }
}

/// The first part of a name, and what comes behind it.
fn part(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('`') else {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let (part, after) = text.split_at(end);
        return (!part.is_empty()).then(|| (part.to_string(), after));
    };
    let mut part = String::new();
    let mut rest = quoted;
    loop {
        let (inner, after) = rest.split_once('`')?;
        part.push_str(inner);
        match after.strip_prefix('`') {
            Some(more) => {
                part.push('`');
                rest = more;
            }
            None => return (!part.is_empty()).then_some((part, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn j20_only_names_are_names() {
        let texts = |text: &str| parts(text).map(|parts| parts.join("|"));
        assert_eq!(texts("t").as_deref(), Some("t"));
        assert_eq!(texts(" main.s.`a b``c` ").as_deref(), Some("main|s|a b`c"));
        assert_eq!(texts("größe.2024_t").as_deref(), Some("größe|2024_t"));
        for text in ["x; DROP TABLE t", "", ".", "a.", "a..b", "a b", "a-b", "`a", "``", "a`b`", "'a'", "t --", "t/*x*/", "f(1)", "a\n.b"] {
            assert_eq!(texts(text), None, "{text:?}");
        }
    }
}
