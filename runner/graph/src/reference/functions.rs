//! The page of functions.

use std::fmt::Write;

use super::cell;
use crate::function::{
    self, AGGREGATES, Determinism, FunctionSpec, GENERATORS, LAMBDAS, LambdaSpec, Param, REFUSED, Returns, SORT_BY_LAMBDA, SYNTAX, WINDOWS,
    WrittenFunction,
};

const INTRODUCTION: &str = "\
# Functions

Names are compared without regard to letter case. Common rules, not repeated below: a NULL argument gives NULL; positions in text count characters
from 1; arrays count from 0 with `a[i]`; \"invalid\" input gives NULL, with `SET spark.sql.ansi.enabled = true` the error in square brackets; times are
read and written in the session's time zone. Brackets mark arguments that may be left out, `…` one that may be repeated; `T` are arguments of one
type, to which all are cast. Operators (`+`, `/`, `a[i]`, `x:path`, CAST …) are described in [SQL](../guide/sql.md).
";

/// The page as Markdown.
pub(super) fn page() -> String {
    let mut out = INTRODUCTION.to_string();
    let titles = [
        "Conditions on text",
        "Text, encodings, digests",
        "Numbers, conditions, NULL",
        "Dates and times",
        "Arrays, maps, structs",
        "JSON text",
    ];
    for (title, group) in titles.iter().zip(function::SCALAR_GROUPS) {
        section(&mut out, title, group);
    }
    lambdas(&mut out);
    section(&mut out, "Aggregates", AGGREGATES);
    out.push_str("\nAggregates take `DISTINCT`, `FILTER (WHERE …)` and `OVER (…)`.\n");
    section(&mut out, "Window functions, with OVER only", WINDOWS);
    written(&mut out, "Generators: alone in SELECT, with LATERAL VIEW, or in FROM with LATERAL", GENERATORS);
    written(&mut out, "Written as other expressions", SYNTAX);
    refused(&mut out);
    out
}

fn section(out: &mut String, title: &str, functions: &[FunctionSpec]) {
    head(out, title);
    let mut listed: Vec<&FunctionSpec> = functions.iter().filter(|spec| !spec.name.starts_with('$')).collect();
    listed.sort_by_key(|spec| spec.name);
    for spec in listed {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| `{}` | {} | {} |", signature(spec), result(spec), cell(&meaning(spec)));
    }
}

fn written(out: &mut String, title: &str, functions: &[WrittenFunction]) {
    head(out, title);
    for function in functions {
        let WrittenFunction { name, arguments, returns, doc } = function;
        let _ = writeln!(out, "| `{name}({arguments})` | {} | {} |", cell(returns), cell(doc));
    }
}

fn lambdas(out: &mut String) {
    head(out, "Functions that take functions");
    for spec in LAMBDAS.iter().chain([&SORT_BY_LAMBDA]) {
        let LambdaSpec { name, aliases, arguments, returns, doc, .. } = spec;
        let aliases = aliases.iter().fold(String::new(), |text, alias| format!("{text} Also `{alias}`."));
        let _ = writeln!(out, "| `{name}({arguments})` | {} | {}{aliases} |", cell(returns), cell(doc));
    }
}

fn head(out: &mut String, title: &str) {
    let _ = write!(out, "\n## {title}\n\n| function | result | |\n|---|---|---|\n");
}

fn signature(spec: &FunctionSpec) -> String {
    let needed = spec.params.len() - spec.optional;
    let mut text = String::new();
    for (index, param) in spec.params.iter().enumerate() {
        text.push_str(if index >= needed { "[" } else { "" });
        text.push_str(if index > 0 { ", " } else { "" });
        text.push_str(word(*param));
    }
    text.push_str(if spec.variadic { ", …" } else { "" });
    text.push_str(&"]".repeat(spec.optional));
    format!("{}({text})", spec.name)
}

fn word(param: Param) -> &'static str {
    match param {
        Param::Any => "any",
        Param::Same => "T",
        Param::TextLiteral => "STRING literal",
        Param::Double => "DOUBLE",
        Param::Number => "number",
        Param::Integer => "integer",
        Param::Element => "element",
        other => other.words(),
    }
}

fn result(spec: &FunctionSpec) -> String {
    let argument = |index: usize| match spec.params.get(index) {
        Some(Param::Same) => "T".to_string(),
        _ if spec.params.len() == 1 => "as the argument".to_string(),
        _ => format!("as argument {}", index + 1),
    };
    match spec.returns {
        Returns::Text => "STRING".to_string(),
        Returns::Binary => "BINARY".to_string(),
        Returns::Boolean => "BOOLEAN".to_string(),
        Returns::Int => "INT".to_string(),
        Returns::Long => "BIGINT".to_string(),
        Returns::Double => "DOUBLE".to_string(),
        Returns::Date => "DATE".to_string(),
        Returns::Timestamp => "TIMESTAMP".to_string(),
        Returns::Argument(index) => argument(index),
        Returns::Element(_) => "element".to_string(),
        Returns::ArrayOf(_) => "ARRAY of it".to_string(),
        Returns::OfTypes(_) | Returns::Custom(_) => "by the arguments".to_string(),
    }
}

fn meaning(spec: &FunctionSpec) -> String {
    let mut text = spec.doc.to_string();
    if !spec.aliases.is_empty() {
        let aliases: Vec<String> = spec.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        let _ = write!(text, " Also {}.", aliases.join(", "));
    }
    match spec.determinism {
        Determinism::Deterministic => {}
        Determinism::Time => text.push_str(" A materialized view that calls it is computed anew in every update."),
        Determinism::Random => text
            .push_str(" Not the same from one execution to the next; a materialized view that calls it is computed anew in every update."),
    }
    text
}

fn refused(out: &mut String) {
    out.push_str("\n## Known and refused\n\nEach is `FEATURE_NOT_SUPPORTED` with its name, place and reason. A name that is neither here nor above is `UNRESOLVED_ROUTINE`.\n\n");
    out.push_str("| functions | reason |\n|---|---|\n");
    for group in REFUSED {
        let names: Vec<String> = group.names.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(out, "| {} | {} |", names.join(", "), cell(group.reason));
    }
    let _ = writeln!(out, "| names that begin with `ai_` | {} |", function::refusal("ai_").unwrap_or_default());
}
