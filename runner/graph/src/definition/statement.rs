//! The statements of a pipeline's SQL files.

use sqlparser::ast;

use super::{Configuration, Definitions, Query, SourceFile};
use crate::{name::Namespace, origin::Diagnostic};

/// Reads one SQL file into `out`: datasets, flows, and all its errors and lints.
pub fn parse_sql(_file: &SourceFile, _defaults: &Namespace, _configuration: &Configuration, _out: &mut Definitions) {}

/// Parses a single query of `floe sql`, where `VERSION AS OF` is allowed. `file.path` is what messages call the text.
pub fn parse_query(_file: &SourceFile, _namespace: &Namespace, _configuration: &Configuration) -> Result<Query, Diagnostic> {
    Err(Diagnostic::not_supported("this query"))
}

/// Parses one expression, for example a sequence or a condition of `AUTO CDC`.
pub fn parse_expression(_text: &str, _file: &str) -> Result<ast::Expr, Diagnostic> {
    Err(Diagnostic::not_supported("this expression"))
}
