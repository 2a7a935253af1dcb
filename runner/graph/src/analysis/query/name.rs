//! The names that Spark gives to select items without an alias.

use sqlparser::ast::{self, AccessExpr, Expr, FunctionArg, FunctionArgExpr, JsonPathElem, Subscript};

use crate::{analysis::references::list, function};

/// The name of an expression as an output column.
pub fn spark_name(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map_or_else(String::new, |ident| ident.value.clone()),
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.last() {
            Some(AccessExpr::Dot(last)) => spark_name(last),
            Some(AccessExpr::Subscript(Subscript::Index { index })) => format!("{}[{}]", spark_name(root), spark_name(index)),
            _ => expr.to_string(),
        },
        Expr::JsonAccess { value, path } => match path.path.last() {
            Some(JsonPathElem::Dot { key, .. }) => key.clone(),
            _ => spark_name(value),
        },
        Expr::Nested(inner) => spark_name(inner),
        Expr::Named { name, .. } => name.value.clone(),
        // A cast of something named keeps the name.
        Expr::Cast { expr: inner, data_type, .. } if is_named(inner) => {
            let _ = data_type;
            spark_name(inner)
        }
        Expr::Cast { expr: inner, data_type, .. } => format!("CAST({} AS {})", spark_name(inner), data_type.to_string().to_uppercase()),
        Expr::Value(value) => value.value.clone().into_string().unwrap_or_else(|| value.value.to_string()),
        Expr::BinaryOp { left, op, right } => format!("({} {op} {})", spark_name(left), spark_name(right)),
        Expr::Function(call) => function_name(call),
        Expr::Struct { values, .. } => {
            let named = |value: &Expr| match value {
                Expr::Named { expr, name } => format!("{} AS {}", spark_name(expr), name.value),
                other => spark_name(other),
            };
            format!("struct({})", values.iter().map(named).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string().replace('`', ""),
    }
}

/// True if the item has a name of its own: no lint, no alias needed.
pub fn is_named(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::JsonAccess { .. } | Expr::Named { .. } => true,
        Expr::CompoundFieldAccess { access_chain, .. } => matches!(access_chain.last(), Some(AccessExpr::Dot(_))),
        Expr::Nested(inner) => is_named(inner),
        Expr::Cast { expr, .. } => is_named(expr),
        _ => false,
    }
}

fn function_name(call: &ast::Function) -> String {
    let written = call.name.to_string().replace('`', "").to_lowercase();
    if written == "window" {
        return written;
    }
    let canonical =
        function::aggregate(&written).filter(|spec| spec.name == "avg" && written == "mean").map_or(written.as_str(), |spec| spec.name);
    let arguments: Vec<String> = list(&call.args)
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => spark_name(expr),
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => "1".to_string(),
            other => other.to_string(),
        })
        .collect();
    let distinct = match &call.args {
        ast::FunctionArguments::List(list) if matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct)) => "DISTINCT ",
        _ => "",
    };
    let over = call.over.as_ref().map_or_else(String::new, |over| format!(" OVER {}", over.to_string().replace('`', "")));
    format!("{canonical}({distinct}{}){over}", arguments.join(", "))
}
