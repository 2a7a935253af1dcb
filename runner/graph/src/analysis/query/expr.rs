//! Expressions: one arm per form of the syntax tree.

use std::sync::Arc;

use datafusion_common::{
    ScalarValue, Spans,
    arrow::datatypes::{DataType, Field},
};
use datafusion_expr::{
    Case, Expr, Subquery,
    expr::{Exists, InList, InSubquery},
};
use sqlparser::{
    ast::{self, AccessExpr, BinaryOperator, CastKind, CeilFloorKind, Expr as Sql, JsonPathElem, Spanned, Subscript},
    tokenizer::Span,
};

use super::{
    Planned, Planner, Relation, Scope, Typed,
    literal::{scalar, text, value_of},
    scope::{Resolved, Role},
    start_of,
};
use crate::{
    analysis::{
        ddl,
        references::{list, unnamed},
    },
    function,
    origin::Diagnostic,
};

/// Expressions nested deeper are refused: planning is recursive, and its stack must not end first.
const MAX_DEPTH: usize = 100;

/// Longest chain of binary operators. What comes after planning walks them recursively, too.
const MAX_CHAIN: usize = 150;

/// Longest chain of AND or OR.
const MAX_CONDITIONS: usize = 1000;

/// `IS NULL` and the like.
type Test = fn(Box<Expr>) -> Expr;

impl Planner<'_> {
    /// The typed meaning of an expression in a scope.
    pub fn expr(&mut self, expr: &Sql, scope: &Scope<'_>) -> Planned<Typed> {
        if self.depth > MAX_DEPTH {
            return self.error("EXPRESSION_NESTED_TOO_DEEPLY", format!("more than {MAX_DEPTH} operators inside each other"), Span::empty());
        }
        self.depth += 1;
        let planned = self.planned_expr(expr, scope);
        self.depth -= 1;
        planned
    }

    fn planned_expr(&mut self, expr: &Sql, scope: &Scope<'_>) -> Planned<Typed> {
        // Before its span is asked for, which walks the whole chain.
        if let Sql::BinaryOp { .. } = expr {
            return self.chain(expr, scope);
        }
        let span = expr.span();
        // The smallest number of a type is no number of it without its sign.
        if let Sql::UnaryOp { op: ast::UnaryOperator::Minus, expr: inner } = expr
            && let Sql::Value(value) = inner.as_ref()
            && let ast::Value::Number(text, long) = &value.value
        {
            return self.number(&format!("-{text}"), *long, span);
        }
        match expr {
            Sql::Identifier(ident) => self.identifier(std::slice::from_ref(&ident.value), scope, span),
            Sql::CompoundIdentifier(idents) => {
                let parts: Vec<String> = idents.iter().map(|ident| ident.value.clone()).collect();
                self.identifier(&parts, scope, span)
            }
            Sql::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain, scope),
            Sql::JsonAccess { value, path } => {
                let value = self.expr(value, scope)?;
                self.json_access(value, path, scope, span)
            }
            Sql::Nested(inner) => self.expr(inner, scope),
            Sql::Value(value) => self.value(&value.value, value.span),
            Sql::Prefixed { prefix, value } if prefix.value.eq_ignore_ascii_case("r") => self.expr(value, scope),
            Sql::TypedString(typed) => self.typed_literal(typed, span),
            Sql::Interval(interval) => self.interval(interval, span),
            Sql::UnaryOp { op, expr } => {
                let value = self.expr(expr, scope)?;
                self.unary(*op, value, span)
            }
            Sql::Function(function) => self.call(function, scope, span),
            Sql::Case { operand, conditions, else_result, .. } => self.case(operand.as_deref(), conditions, else_result.as_deref(), scope),
            Sql::Cast { kind, expr, data_type, .. } => {
                let value = self.expr(expr, scope)?;
                let target = self.sql_type(data_type, span)?;
                self.explicit_cast(value, &target, matches!(kind, CastKind::TryCast | CastKind::SafeCast), span)
            }
            Sql::Subquery(_) | Sql::Exists { .. } | Sql::InSubquery { .. } => self.subquery_expr(expr, scope, span),
            Sql::IsNull(_) | Sql::IsNotNull(_) | Sql::IsTrue(_) | Sql::IsNotTrue(_) | Sql::IsFalse(_) | Sql::IsNotFalse(_) => {
                self.is_test(expr, scope, span)
            }
            Sql::IsUnknown(_) | Sql::IsNotUnknown(_) => self.is_test(expr, scope, span),
            Sql::IsDistinctFrom(..) | Sql::IsNotDistinctFrom(..) | Sql::Between { .. } | Sql::InList { .. } => {
                self.comparison(expr, scope, span)
            }
            Sql::Like { .. } | Sql::ILike { .. } | Sql::RLike { .. } => self.pattern(expr, scope, span),
            _ => self.keyword_function(expr, scope, span),
        }
    }

    /// `a + b + c …`, by a loop: the parser nests such chains to the left as deep as they are long.
    fn chain(&mut self, expr: &Sql, scope: &Scope<'_>) -> Planned<Typed> {
        let logical = |op: &BinaryOperator| matches!(op, BinaryOperator::And | BinaryOperator::Or);
        let mut first = expr;
        let mut rest: Vec<(&BinaryOperator, &Box<Sql>)> = Vec::new();
        while let Sql::BinaryOp { left, op, right } = first {
            // A chain of AND or OR ends where another operator begins.
            if rest.first().is_some_and(|(top, _)| (logical(top) || logical(op)) && *top != op) {
                break;
            }
            rest.push((op, right));
            first = left;
        }
        let span = start_of(first);
        let logical = rest.first().is_some_and(|(op, _)| logical(op));
        let most = if logical { MAX_CONDITIONS } else { MAX_CHAIN };
        if rest.len() > most {
            return self.error("EXPRESSION_NESTED_TOO_DEEPLY", format!("more than {most} operators in one chain"), span);
        }
        if logical {
            return self.conditions(first, rest.iter().rev().copied(), scope, span);
        }
        let mut value = self.expr(first, scope)?;
        for (operator, right) in rest.into_iter().rev() {
            let right = self.expr(right, scope)?;
            value = self.binary(value, operator, right, span)?;
        }
        Ok(value)
    }

    /// `a AND b AND c …` as a balanced tree, because long ones occur and everything after planning walks trees recursively.
    fn conditions<'s>(
        &mut self,
        first: &Sql,
        rest: impl Iterator<Item = (&'s BinaryOperator, &'s Box<Sql>)>,
        scope: &Scope<'_>,
        span: Span,
    ) -> Planned<Typed> {
        let mut values = vec![self.expr(first, scope)?];
        let mut operator = &BinaryOperator::And;
        for (op, right) in rest {
            operator = op;
            values.push(self.expr(right, scope)?);
        }
        self.balanced(values, operator, span)
    }

    fn balanced(&self, mut values: Vec<Typed>, operator: &BinaryOperator, span: Span) -> Planned<Typed> {
        while values.len() > 1 {
            let mut halved = Vec::with_capacity(values.len().div_ceil(2));
            let mut pairs = values.into_iter();
            while let Some(left) = pairs.next() {
                halved.push(match pairs.next() {
                    Some(right) => self.binary(left, operator, right, span)?,
                    None => left,
                });
            }
            values = halved;
        }
        match values.pop() {
            Some(value) => Ok(value),
            None => self.error("PARSE_SYNTAX_ERROR", "an empty condition", span),
        }
    }

    /// Functions that the parser knows by keywords of their own.
    fn keyword_function(&mut self, expr: &Sql, scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        match expr {
            Sql::Extract { field, expr, .. } => {
                let value = self.expr(expr, scope)?;
                self.extract(&field.to_string(), value, span)
            }
            Sql::Ceil { expr: inner, field } | Sql::Floor { expr: inner, field } => {
                let mut arguments = vec![self.expr(inner, scope)?];
                match field {
                    CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) => {}
                    CeilFloorKind::Scale(scale) => arguments.push(self.value(&scale.value, span)?),
                    CeilFloorKind::DateTimeField(field) => return self.unsupported(&format!("ceil and floor TO {field}"), span),
                }
                self.rounded(if matches!(expr, Sql::Floor { .. }) { "floor" } else { "ceil" }, arguments, span)
            }
            Sql::Position { expr, r#in } => {
                let (part, whole) = (self.expr(expr, scope)?, self.expr(r#in, scope)?);
                self.stub("locate", vec![part, whole], span)
            }
            Sql::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = vec![self.expr(expr, scope)?];
                match substring_from {
                    Some(from) => arguments.push(self.expr(from, scope)?),
                    None => arguments.push(scalar(ScalarValue::Int32(Some(1)))),
                }
                if let Some(length) = substring_for {
                    arguments.push(self.expr(length, scope)?);
                }
                self.stub("substring", arguments, span)
            }
            Sql::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut arguments = vec![self.expr(expr, scope)?, self.expr(overlay_what, scope)?, self.expr(overlay_from, scope)?];
                if let Some(length) = overlay_for {
                    arguments.push(self.expr(length, scope)?);
                }
                self.stub("overlay", arguments, span)
            }
            Sql::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                    _ => "trim",
                };
                let mut arguments = vec![self.expr(expr, scope)?];
                let characters = trim_what.as_deref().or_else(|| trim_characters.as_ref().and_then(|list| list.first()));
                if let Some(characters) = characters {
                    arguments.push(self.expr(characters, scope)?);
                }
                self.stub(name, arguments, span)
            }
            Sql::Struct { values, .. } | Sql::Tuple(values) => self.structure(values, scope, span),
            Sql::Named { expr, .. } => self.expr(expr, scope),
            Sql::Array(array) => {
                let values = array.elem.iter().map(|value| self.expr(value, scope)).collect::<Planned<_>>()?;
                self.stub("array", values, span)
            }
            Sql::Lambda(_) => {
                self.error("PARSE_SYNTAX_ERROR", "a lambda (x -> …) stands only among the arguments of a function that takes it", span)
            }
            other => self.unsupported(&format!("the expression {other}"), span),
        }
    }

    /// A name with dots: a column, fields of a struct, an alias of this SELECT, or a function that is written without parentheses.
    pub fn identifier(&mut self, parts: &[String], scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        let (value, fields) = match scope.resolve(parts) {
            Resolved::Column { column, outer: false, fields } => (column.typed(), fields),
            Resolved::Column { column, outer: true, fields } => {
                let field = Arc::new(Field::new(&column.column.name, column.data_type.clone(), true));
                (Typed::new(Expr::OuterReferenceColumn(field, column.column), column.data_type), fields)
            }
            Resolved::Named { value, fields } => (value, fields),
            Resolved::Ambiguous(names) => {
                let message = format!("{} may be {}; write it with the name of its table", parts.join("."), names.join(" or "));
                return self.error("AMBIGUOUS_REFERENCE", message, span);
            }
            Resolved::Missing => match parts {
                [name] if matches!(name.to_lowercase().as_str(), "current_timestamp" | "current_date" | "localtimestamp") => {
                    return self.stub(&name.to_lowercase(), Vec::new(), span);
                }
                // The tokenizer takes a number with a suffix for a word.
                [name] if name.starts_with(|c: char| c.is_ascii_digit()) => {
                    return self.value(&ast::Value::Number(name.clone(), false), span);
                }
                _ => return self.unresolved(parts, scope, span),
            },
        };
        fields.iter().try_fold(value, |value, field| self.field(value, field, span))
    }

    pub fn unresolved<T>(&self, parts: &[String], scope: &Scope<'_>, span: Span) -> Planned<T> {
        let name = parts.join(".");
        let near = scope.near_names(parts.last().map_or("", String::as_str));
        if near.is_empty() {
            return self.error("UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", format!("there is no column {name}"), span);
        }
        self.error("UNRESOLVED_COLUMN.WITH_SUGGESTION", format!("there is no column {name}; did you mean {}?", near.join(", ")), span)
    }

    /// `a.b[0].c`.
    fn access(&mut self, root: &Sql, chain: &[AccessExpr], scope: &Scope<'_>) -> Planned<Typed> {
        // Leading names belong to the root: `t.c[0]` is column c of t.
        let mut parts: Vec<String> = match root {
            Sql::Identifier(ident) => vec![ident.value.clone()],
            Sql::CompoundIdentifier(idents) => idents.iter().map(|ident| ident.value.clone()).collect(),
            _ => Vec::new(),
        };
        let mut rest = chain;
        while let (false, [AccessExpr::Dot(Sql::Identifier(ident)), tail @ ..]) = (parts.is_empty(), rest) {
            parts.push(ident.value.clone());
            rest = tail;
        }
        let mut value = if parts.is_empty() { self.expr(root, scope)? } else { self.identifier(&parts, scope, root.span())? };
        for access in rest {
            value = match access {
                AccessExpr::Dot(Sql::Identifier(ident)) => self.field(value, &ident.value, ident.span)?,
                AccessExpr::Subscript(Subscript::Index { index }) => self.item(value, index, scope)?,
                other => return self.unsupported(&format!("the access {other}"), root.span()),
            };
        }
        Ok(value)
    }

    /// `a[i]` of an array (counted from 0), a map, or a struct by a literal name.
    fn item(&mut self, value: Typed, index: &Sql, scope: &Scope<'_>) -> Planned<Typed> {
        let span = index.span();
        let index = self.expr(index, scope)?;
        match &value.data_type {
            DataType::List(_) => {
                let index = self.cast(index, &DataType::Int64);
                self.stub("$item", vec![value, index], span)
            }
            DataType::Map(entries, _) => {
                let key = match entries.data_type() {
                    DataType::Struct(fields) if !fields.is_empty() => fields[0].data_type().clone(),
                    other => other.clone(),
                };
                let index = self.cast(index, &key);
                self.stub("$item", vec![value, index], span)
            }
            DataType::Struct(_) => match value_of(&index.expr) {
                Some(ScalarValue::Utf8(Some(name))) => self.field(value, &name.clone(), span),
                _ => self.error("INVALID_EXTRACT_FIELD_TYPE", "a field of a struct is named by a text literal", span),
            },
            other => self.error(
                "INVALID_EXTRACT_BASE_FIELD_TYPE",
                format!("[ ] takes ARRAY, MAP or STRUCT, not {}", ddl::type_text(other)),
                span,
            ),
        }
    }

    /// `x:a.b[0]` over JSON text.
    fn json_access(&mut self, value: Typed, path: &ast::JsonPath, scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        if let DataType::Struct(_) | DataType::Map(..) | DataType::List(_) = &value.data_type {
            let given = ddl::type_text(&value.data_type);
            let error =
                Diagnostic::error("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", format!("a path with : reads text of JSON, not {given}"));
            let help = match &value.data_type {
                DataType::Struct(_) => "a field of a STRUCT is read with a dot: column.field",
                _ => "an item is read with brackets: column[0], column['key']",
            };
            return Err(Box::new(error.help(help).at(&self.origin(span))));
        }
        let mut steps = String::from("$");
        for element in &path.path {
            match element {
                JsonPathElem::Dot { key, quoted } if *quoted || !key.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                    steps.extend(["['", key, "']"]);
                }
                JsonPathElem::Dot { key, .. } => steps.extend([".", key]),
                JsonPathElem::Bracket { key: Sql::Wildcard(_) } | JsonPathElem::ColonBracket { key: Sql::Wildcard(_) } => {
                    steps.push_str("[*]");
                }
                JsonPathElem::Bracket { key } | JsonPathElem::ColonBracket { key } => {
                    let key = self.expr(key, scope)?;
                    match value_of(&key.expr) {
                        Some(ScalarValue::Int32(Some(index))) => steps.extend(["[", &index.to_string(), "]"]),
                        Some(ScalarValue::Utf8(Some(key))) => steps.extend(["['", key, "']"]),
                        _ => return self.unsupported("a JSON path with an index that is not a literal", span),
                    }
                }
            }
        }
        self.stub("$json_path", vec![value, text(steps)], span)
    }

    fn case(&mut self, operand: Option<&Sql>, conditions: &[ast::CaseWhen], otherwise: Option<&Sql>, scope: &Scope<'_>) -> Planned<Typed> {
        let operand = operand.map(|operand| self.expr(operand, scope)).transpose()?;
        let mut branches: Vec<(Typed, Typed)> = Vec::new();
        for branch in conditions {
            let span = start_of(&branch.condition);
            let condition = self.expr(&branch.condition, scope)?;
            let condition = match &operand {
                Some(operand) => self.compare(operand.clone(), &BinaryOperator::Eq, condition, span)?,
                None => self.boolean(condition, "WHEN", span)?,
            };
            branches.push((condition, self.expr(&branch.result, scope)?));
        }
        let otherwise = otherwise.map(|otherwise| self.expr(otherwise, scope)).transpose()?;
        let span = conditions.first().map_or(Span::empty(), |branch| start_of(&branch.result));
        self.case_of(branches, otherwise, span)
    }

    /// CASE over typed branches, results cast to their common type.
    pub fn case_of(&self, branches: Vec<(Typed, Typed)>, otherwise: Option<Typed>, span: Span) -> Planned<Typed> {
        let types =
            branches.iter().map(|(_, result)| result.data_type.clone()).chain(otherwise.iter().map(|value| value.data_type.clone()));
        let common = self.common(types.collect::<Vec<_>>(), "CASE", span)?;
        let when_then_expr =
            branches.into_iter().map(|(condition, result)| (Box::new(condition.expr), Box::new(self.cast(result, &common).expr))).collect();
        let else_expr = otherwise.map(|value| Box::new(self.cast(value, &common).expr));
        Ok(Typed::new(Expr::Case(Case { expr: None, when_then_expr, else_expr }), common))
    }

    fn is_test(&mut self, expr: &Sql, scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        let (inner, boolean, make): (&Sql, bool, Test) = match expr {
            Sql::IsNull(inner) => (inner, false, Expr::IsNull),
            Sql::IsNotNull(inner) => (inner, false, Expr::IsNotNull),
            Sql::IsTrue(inner) => (inner, true, Expr::IsTrue),
            Sql::IsNotTrue(inner) => (inner, true, Expr::IsNotTrue),
            Sql::IsFalse(inner) => (inner, true, Expr::IsFalse),
            Sql::IsNotFalse(inner) => (inner, true, Expr::IsNotFalse),
            Sql::IsUnknown(inner) => (inner, true, Expr::IsUnknown),
            Sql::IsNotUnknown(inner) => (inner, true, Expr::IsNotUnknown),
            other => return self.unsupported(&format!("the expression {other}"), span),
        };
        let mut value = self.expr(inner, scope)?;
        if boolean {
            value = self.boolean(value, "IS", span)?;
        }
        Ok(Typed::new(make(Box::new(value.expr)), DataType::Boolean))
    }

    fn comparison(&mut self, expr: &Sql, scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        match expr {
            Sql::IsDistinctFrom(left, right) | Sql::IsNotDistinctFrom(left, right) => {
                let (left, right) = (self.expr(left, scope)?, self.expr(right, scope)?);
                let same = self.compare(left, &BinaryOperator::Spaceship, right, span)?;
                let negated = matches!(expr, Sql::IsDistinctFrom(..));
                Ok(if negated { Typed::new(Expr::Not(Box::new(same.expr)), DataType::Boolean) } else { same })
            }
            Sql::Between { expr, negated, low, high } => {
                let (value, low, high) = (self.expr(expr, scope)?, self.expr(low, scope)?, self.expr(high, scope)?);
                let low = self.compare(value.clone(), &BinaryOperator::GtEq, low, span)?;
                let high = self.compare(value, &BinaryOperator::LtEq, high, span)?;
                let both = low.expr.and(high.expr);
                Ok(Typed::new(if *negated { Expr::Not(Box::new(both)) } else { both }, DataType::Boolean))
            }
            Sql::InList { expr, list, negated } => {
                let value = self.expr(expr, scope)?;
                let list: Vec<Typed> = list.iter().map(|item| self.expr(item, scope)).collect::<Planned<_>>()?;
                let mut common = value.data_type.clone();
                for item in &list {
                    common = match function::coercion::comparison_type(&common, &item.data_type) {
                        Some(common) => common,
                        None => return self.mismatch("IN", &item.data_type, &format!("values like {}", ddl::type_text(&common)), span),
                    };
                }
                let list = list.into_iter().map(|item| self.cast(item, &common).expr).collect();
                let value = Box::new(self.cast(value, &common).expr);
                Ok(Typed::new(Expr::InList(InList { expr: value, list, negated: *negated }), DataType::Boolean))
            }
            other => self.unsupported(&format!("the expression {other}"), span),
        }
    }

    fn pattern(&mut self, expr: &Sql, scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        match expr {
            Sql::Like { negated, any, expr: value, pattern, escape_char }
            | Sql::ILike { negated, any, expr: value, pattern, escape_char } => {
                let value = self.expr(value, scope)?;
                let flags = (*negated, matches!(expr, Sql::ILike { .. }));
                let escape =
                    escape_char.as_ref().and_then(|escape| escape.value.clone().into_string()).and_then(|text| text.chars().next());
                let Some((patterns, all)) = quantified(*any, pattern) else {
                    let pattern = self.expr(pattern, scope)?;
                    return self.like(value, pattern, flags, escape, span);
                };
                if patterns.is_empty() || patterns.len() > MAX_CONDITIONS {
                    return self.error("PARSE_SYNTAX_ERROR", format!("LIKE takes 1 to {MAX_CONDITIONS} patterns"), span);
                }
                let mut tests = Vec::with_capacity(patterns.len());
                for pattern in patterns {
                    let pattern = self.expr(pattern, scope)?;
                    tests.push(self.like(value.clone(), pattern, flags, escape, span)?);
                }
                self.balanced(tests, if all { &BinaryOperator::And } else { &BinaryOperator::Or }, span)
            }
            Sql::RLike { negated, expr: value, pattern, .. } => {
                let at = start_of(pattern);
                let arguments = vec![self.expr(value, scope)?, self.expr(pattern, scope)?];
                self.check_pattern("rlike", &arguments, at)?;
                let matched = self.stub("rlike", arguments, span)?;
                Ok(if *negated { Typed::new(Expr::Not(Box::new(matched.expr)), DataType::Boolean) } else { matched })
            }
            other => self.unsupported(&format!("the expression {other}"), span),
        }
    }

    fn subquery_expr(&mut self, expr: &Sql, scope: &Scope<'_>, span: Span) -> Planned<Typed> {
        if scope.role == Role::Value && !matches!(expr, Sql::Subquery(_)) {
            let help = "a LEFT JOIN, or a count in a scalar subquery, gives the value";
            return self.unsupported_but("EXISTS or IN of a subquery outside WHERE and HAVING", help, span);
        }
        match expr {
            Sql::Subquery(query) => {
                let (subquery, data_type) = self.one_column(query, scope, span)?;
                Ok(Typed::new(Expr::ScalarSubquery(subquery), data_type))
            }
            Sql::Exists { subquery, negated } => {
                let relation = self.query(subquery, Some(scope))?;
                let exists = Exists { subquery: Self::subquery(relation), negated: *negated };
                Ok(Typed::new(Expr::Exists(exists), DataType::Boolean))
            }
            Sql::InSubquery { expr, subquery, negated } => {
                let value = self.expr(expr, scope)?;
                let mut relation = self.query(subquery, Some(scope))?;
                let [column] = relation.columns.as_slice() else {
                    return self.error("IN_SUBQUERY_DATA_TYPE_MISMATCH", "the subquery of IN must have one column", span);
                };
                let Some(common) = function::coercion::comparison_type(&value.data_type, &column.data_type) else {
                    return self.mismatch("IN", &column.data_type, &ddl::type_text(&value.data_type), span);
                };
                if common != column.data_type {
                    let cast = self.cast(column.typed(), &common).expr.alias(&column.column.name);
                    let plan = datafusion_expr::LogicalPlanBuilder::from(relation.plan).project(vec![cast]);
                    relation.plan = self.built(plan.and_then(datafusion_expr::LogicalPlanBuilder::build), span)?;
                }
                let value = Box::new(self.cast(value, &common).expr);
                let test = InSubquery { expr: value, subquery: Self::subquery(relation), negated: *negated };
                Ok(Typed::new(Expr::InSubquery(test), DataType::Boolean))
            }
            other => self.unsupported(&format!("the expression {other}"), span),
        }
    }

    fn one_column(&mut self, query: &ast::Query, scope: &Scope<'_>, span: Span) -> Planned<(Subquery, DataType)> {
        let relation = self.query(query, Some(scope))?;
        let [column] = relation.columns.as_slice() else {
            let message = format!("a subquery that is a value must have one column, not {}", relation.columns.len());
            return self.error("INVALID_SUBQUERY_EXPRESSION.SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN", message, span);
        };
        let data_type = column.data_type.clone();
        Ok((Self::subquery(relation), data_type))
    }

    fn subquery(relation: Relation) -> Subquery {
        let outer_ref_columns = relation.plan.all_out_ref_exprs();
        Subquery { subquery: Arc::new(relation.plan), outer_ref_columns, spans: Spans::default() }
    }

    /// The arrow type of a type as SQL writes it.
    pub fn sql_type(&self, data_type: &ast::DataType, span: Span) -> Planned<DataType> {
        ddl::parse_type(&data_type.to_string()).or_else(|error| self.error("UNSUPPORTED_DATATYPE", error.message, span))
    }
}

/// The patterns of `LIKE ANY (…)`, `SOME (…)` and `ALL (…)`, and whether all of them must fit. The parser takes the last two for functions.
fn quantified(any: bool, pattern: &Sql) -> Option<(Vec<&Sql>, bool)> {
    match pattern {
        Sql::Tuple(patterns) if any => Some((patterns.iter().collect(), false)),
        Sql::Nested(pattern) if any => Some((vec![pattern], false)),
        Sql::Function(call) => {
            let name = call.name.to_string().to_lowercase();
            let patterns = list(&call.args).iter().filter_map(unnamed).collect();
            matches!(name.as_str(), "any" | "some" | "all").then(|| (patterns, name == "all"))
        }
        _ => None,
    }
}
