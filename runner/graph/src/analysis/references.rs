//! What a query reads, from its text alone.

use std::{
    collections::{BTreeMap, HashSet},
    ops::ControlFlow,
    sync::Arc,
};

use sqlparser::{
    ast::{self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart, Spanned, TableFactor, Visit, Visitor},
    tokenizer::Span,
};

use super::{Parameters, ReferenceKind, RelationReference};
use crate::{
    definition::{Query, WATERMARK_DELAY, WATERMARK_EXPR, WATERMARK_NAME},
    name::Namespace,
    origin::{Diagnostic, Origin},
    relation::OptionPlaces,
};

/// Named arguments: lower-case key and text.
type Options = BTreeMap<String, String>;

/// The arguments of a relation.
#[derive(Default)]
struct Arguments {
    path: Option<String>,
    options: Options,
    given: OptionPlaces,
}

/// Formats that may stand before a path: `` json.`path` ``.
const FILE_FORMATS: &[&str] = &["json", "csv", "parquet", "text", "binaryfile", "avro", "orc", "xml"];

/// Every relation that the query names, in order of appearance; CTE names are left out. `parameters` stand in paths and options. What
/// cannot be read here is an error of `analyse_query` later.
pub fn references(query: &Query, parameters: &Parameters) -> Vec<RelationReference> {
    let mut found = Vec::new();
    let reader = Reader { file: &query.file, namespace: &query.namespace, parameters };
    walk(&query.ast, &HashSet::new(), reader, &mut found);
    found
}

/// True if the query names the column `_metadata` anywhere.
pub(super) fn names_metadata(query: &ast::Query) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let is_metadata = |ident: &ast::Ident| ident.value.eq_ignore_ascii_case("_metadata");
            match expr {
                Expr::Identifier(ident) if is_metadata(ident) => ControlFlow::Break(()),
                Expr::CompoundIdentifier(parts) if parts.iter().any(is_metadata) => ControlFlow::Break(()),
                Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("input_file_name") => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
        fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
            let ast::SetExpr::Select(select) = query.body.as_ref() else { return ControlFlow::Continue(()) };
            let expands = select.projection.iter().any(|item| match item {
                ast::SelectItem::QualifiedWildcard(kind, _) => kind.to_string().to_lowercase().contains("_metadata"),
                _ => false,
            });
            if expands { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    query.visit(&mut Finder).is_break()
}

fn walk(query: &ast::Query, visible: &HashSet<String>, reader: Reader<'_>, found: &mut Vec<RelationReference>) {
    let mut visible = visible.clone();
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        // A CTE does not see itself: the same name inside of it is a relation.
        walk(&cte.query, &visible, reader, found);
        visible.insert(cte.alias.name.value.to_lowercase());
    }
    let mut level = Level { depth: 0, visible: &visible, reader, found };
    // The visitor never breaks.
    let _ = query.body.visit(&mut level);
    let _ = query.order_by.visit(&mut level);
}

/// Visits one query without its subqueries, which are walked with the names that they see.
struct Level<'a> {
    depth: usize,
    visible: &'a HashSet<String>,
    reader: Reader<'a>,
    found: &'a mut Vec<RelationReference>,
}

impl Visitor for Level<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        self.depth += 1;
        if self.depth == 1 {
            walk(query, self.visible, self.reader, self.found);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &ast::Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if self.depth == 0
            && let Ok(Some(reference)) = self.reader.reference(factor)
        {
            let is_cte = match &reference.kind {
                ReferenceKind::Name(parts) => parts.len() == 1 && self.visible.contains(&parts[0].to_lowercase()),
                _ => false,
            };
            if !is_cte && !self.found.contains(&reference) {
                self.found.push(reference);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Reads references out of table factors.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub file: &'a Arc<str>,
    pub namespace: &'a Namespace,
    pub parameters: &'a Parameters,
}

impl Reader<'_> {
    /// The relation that a table factor names; `None` for subqueries, generators and other functions.
    pub fn reference(self, factor: &TableFactor) -> Result<Option<RelationReference>, Box<Diagnostic>> {
        match factor {
            TableFactor::Table { name, args, version, .. } => {
                let mut reference = match args {
                    None => self.named(name),
                    Some(args) => self.function(name, &args.args, factor.span())?,
                };
                if let (Some(reference), Some(version)) = (&mut reference, version) {
                    self.version(reference, version)?;
                }
                Ok(reference)
            }
            TableFactor::Function { name, args, .. } => self.function(name, args, factor.span()),
            TableFactor::TableFunction { expr: Expr::Function(function), .. } => {
                self.function(&function.name, list(&function.args), factor.span())
            }
            _ => Ok(None),
        }
    }

    pub(super) fn origin(self, span: Span) -> Origin {
        Origin::new(Arc::clone(self.file), span.start.line.max(1) as u32, span.start.column.max(1) as u32)
    }

    pub(super) fn error<T>(self, class: &str, message: impl Into<String>, span: Span) -> Result<T, Box<Diagnostic>> {
        Err(Box::new(Diagnostic::error(class, message).at(&self.origin(span))))
    }

    fn build(self, kind: ReferenceKind, span: Span) -> RelationReference {
        RelationReference {
            kind,
            streaming: false,
            options: Options::new(),
            given: OptionPlaces::default(),
            namespace: self.namespace.clone(),
            origin: self.origin(span),
        }
    }

    fn named(self, name: &ast::ObjectName) -> Option<RelationReference> {
        let idents: Option<Vec<&ast::Ident>> = name.0.iter().map(ObjectNamePart::as_ident).collect();
        Some(self.idents(&idents?, name.span()))
    }

    fn idents(self, idents: &[&ast::Ident], span: Span) -> RelationReference {
        if let [format, path] = idents
            && path.quote_style == Some('`')
        {
            let format = format.value.to_lowercase();
            if format == "delta" {
                return self.build(ReferenceKind::DeltaPath(path.value.clone()), span);
            }
            if FILE_FORMATS.contains(&format.as_str()) {
                let mut reference = self.build(ReferenceKind::Files { path: path.value.clone() }, span);
                reference.options.insert("format".to_string(), format);
                return reference;
            }
        }
        let parts: Vec<String> = idents.iter().map(|ident| ident.value.clone()).collect();
        // `LIVE.x` is `x` of this pipeline, should it have come so far.
        let parts = if parts.len() > 1 && parts[0].eq_ignore_ascii_case("live") { parts[1..].to_vec() } else { parts };
        self.build(ReferenceKind::Name(parts), span)
    }

    fn version(self, reference: &mut RelationReference, version: &ast::TableVersion) -> Result<(), Box<Diagnostic>> {
        let (key, value) = match version {
            ast::TableVersion::VersionAsOf(value) => ("versionasof", value),
            ast::TableVersion::TimestampAsOf(value) | ast::TableVersion::ForSystemTimeAsOf(value) => ("timestampasof", value),
            _ => return self.error("FEATURE_NOT_SUPPORTED", "this form of time travel is not supported in this release", Span::empty()),
        };
        reference.options.insert(key.to_string(), self.literal(value)?);
        Ok(())
    }

    fn function(self, name: &ast::ObjectName, args: &[FunctionArg], span: Span) -> Result<Option<RelationReference>, Box<Diagnostic>> {
        let [ObjectNamePart::Identifier(name)] = name.0.as_slice() else { return Ok(None) };
        // The factor's span may be empty; the name always has a place.
        let span = if span.start.line == 0 { name.span } else { span };
        match name.value.to_lowercase().as_str() {
            "stream" => self.stream(args, span).map(Some),
            "read_stream" => {
                let Arguments { path, options, given } = self.arguments(args, span)?;
                let Some(path) = path else {
                    return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "read_stream takes a table name", span);
                };
                let parts: Vec<String> = path.split('.').map(|part| part.trim_matches('`').to_string()).collect();
                let reference = self.build(ReferenceKind::Name(parts), span);
                Ok(Some(RelationReference { streaming: true, options, given, ..reference }))
            }
            "read_files" => {
                let Arguments { path, options, given } = self.arguments(args, span)?;
                let Some(path) = path else { return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "read_files takes a path", span) };
                Ok(Some(RelationReference { options, given, ..self.build(ReferenceKind::Files { path }, span) }))
            }
            "cloud_files" => self.cloud_files(args, span).map(Some),
            "event_log" => Ok(Some(self.build(ReferenceKind::EventLog, span))),
            "identifier" => Ok(Some(self.build(ReferenceKind::Name(self.identifier(args, span)?), span))),
            _ => Ok(None),
        }
    }

    /// `STREAM(t)`, `STREAM(t, k => v)`, `STREAM(read_files(…))`.
    fn stream(self, args: &[FunctionArg], span: Span) -> Result<RelationReference, Box<Diagnostic>> {
        let Some((FunctionArg::Unnamed(FunctionArgExpr::Expr(first)), rest)) = args.split_first() else {
            return self.error("PARSE_SYNTAX_ERROR", "STREAM takes a table or read_files(…)", span);
        };
        let mut reference = match first {
            Expr::Identifier(ident) => self.idents(&[ident], span),
            Expr::CompoundIdentifier(idents) => self.idents(&idents.iter().collect::<Vec<_>>(), span),
            Expr::Function(function) => match self.function(&function.name, list(&function.args), span)? {
                Some(reference) => reference,
                None => return self.error("FEATURE_NOT_SUPPORTED", format!("STREAM over {} is not supported", function.name), span),
            },
            other => return self.error("PARSE_SYNTAX_ERROR", format!("STREAM takes a table or read_files(…), not {other}"), span),
        };
        let options: Vec<FunctionArg> = rest.iter().filter(|arg| !is_watermark(arg)).cloned().collect();
        let Arguments { path, options, given } = self.arguments(&options, span)?;
        if path.is_some() {
            return self.error("PARSE_SYNTAX_ERROR", "options of STREAM are written as name => value", span);
        }
        reference.streaming = true;
        reference.options.extend(options);
        reference.given.extend(given);
        Ok(reference)
    }

    /// Legacy: `cloud_files(path [, format [, map(k, v, …)]])`, always a stream, every column text unless said otherwise.
    fn cloud_files(self, args: &[FunctionArg], span: Span) -> Result<RelationReference, Box<Diagnostic>> {
        let exprs: Vec<&Expr> = args.iter().filter_map(unnamed).collect();
        let [path, rest @ ..] = exprs.as_slice() else {
            return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "cloud_files takes a path, a format and a map of options", span);
        };
        let mut reference = self.build(ReferenceKind::Files { path: self.literal(path)? }, span);
        reference.streaming = true;
        reference.options.insert("infercolumntypes".to_string(), "false".to_string());
        if let Some(format) = rest.first() {
            reference.options.insert("format".to_string(), self.literal(format)?.to_lowercase());
        }
        if let Some(options) = rest.get(1) {
            let mut arguments = Arguments::default();
            self.map(options, &mut arguments)?;
            reference.options.extend(arguments.options);
            reference.given.extend(arguments.given);
        }
        Ok(reference)
    }

    /// The path (first unnamed argument, or `path =>`) and the named ones.
    fn arguments(self, args: &[FunctionArg], span: Span) -> Result<Arguments, Box<Diagnostic>> {
        let mut found = Arguments::default();
        for arg in args {
            let (name, at, value) = match arg {
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => (name.value.clone(), name.span, value),
                FunctionArg::ExprNamed { name, arg: FunctionArgExpr::Expr(value), .. } => (self.literal(name)?, name.span(), value),
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) if found.path.is_none() => {
                    found.path = Some(self.literal(value)?);
                    continue;
                }
                other => return self.error("PARSE_SYNTAX_ERROR", format!("{other} is not an argument that can stand here"), span),
            };
            let key = option_key(&name);
            if found.options.contains_key(&key) || (key == "path" && found.path.is_some()) {
                return self.error("INVALID_READ_OPTION", format!("option `{}` is given twice", without_prefix(&name)), at);
            }
            if matches!(value, Expr::Map(_)) || matches!(value, Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("map")) {
                self.map(value, &mut found)?;
            } else if key == "path" {
                found.path = Some(self.literal(value)?);
            } else {
                found.given.insert(key.clone(), without_prefix(&name).to_string(), self.origin(at));
                found.options.insert(key, self.literal(value)?);
            }
        }
        Ok(found)
    }

    fn map(self, expr: &Expr, found: &mut Arguments) -> Result<(), Box<Diagnostic>> {
        let pairs: Vec<(&Expr, &Expr)> = match expr {
            Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("map") => {
                let exprs: Vec<&Expr> = list(&function.args).iter().filter_map(unnamed).collect();
                exprs.chunks(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?))).collect()
            }
            Expr::Map(map) => map.entries.iter().map(|entry| (entry.key.as_ref(), entry.value.as_ref())).collect(),
            other => return self.error("PARSE_SYNTAX_ERROR", format!("{other} must be map('key', 'value', …)"), other.span()),
        };
        for (name, value) in pairs {
            let (at, name) = (self.origin(name.span()), self.literal(name)?);
            let key = option_key(&name);
            found.given.insert(key.clone(), without_prefix(&name).to_string(), at);
            found.options.insert(key, self.literal(value)?);
        }
        Ok(())
    }

    /// The text of a literal or of a parameter.
    pub(super) fn literal(self, expr: &Expr) -> Result<String, Box<Diagnostic>> {
        match expr {
            Expr::Value(value) => match &value.value {
                ast::Value::Placeholder(name) => self.parameter(name, value.span),
                ast::Value::Number(text, _) => Ok(text.clone()),
                ast::Value::Boolean(value) => Ok(value.to_string()),
                other => match other.clone().into_string() {
                    Some(text) => Ok(text),
                    None => self.error("PARSE_SYNTAX_ERROR", format!("{expr} must be a literal"), expr.span()),
                },
            },
            Expr::Nested(inner) => self.literal(inner),
            Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => Ok(format!("-{}", self.literal(expr)?)),
            other => self.error("PARSE_SYNTAX_ERROR", format!("{other} must be a literal"), other.span()),
        }
    }

    /// The value of `:name`. A secret one would be stored with the position of the source.
    fn parameter(self, placeholder: &str, span: Span) -> Result<String, Box<Diagnostic>> {
        match self.parameters.bound(placeholder) {
            Ok(parameter) if parameter.secret => Err(Box::new(
                Diagnostic::not_supported(&format!("secret parameter {placeholder} as name, path or option of a source"))
                    .at(&self.origin(span))
                    .help("give credentials in spec.storage.options, and other values as parameters that are not secret"),
            )),
            Ok(parameter) => Ok(parameter.value.clone()),
            Err(message) => self.error("UNBOUND_SQL_PARAMETER", message, span),
        }
    }
}

/// `WATERMARK e AS c DELAY OF d` of a stream.
pub(super) struct WatermarkClause<'a> {
    pub expr: &'a Expr,
    pub name: Option<String>,
    pub delay: String,
    /// Where the delay stands.
    pub delay_span: Span,
}

/// The watermark that is declared for a stream.
pub(super) fn watermark(factor: &TableFactor) -> Option<WatermarkClause<'_>> {
    let args: &[FunctionArg] = match factor {
        TableFactor::Table { args: Some(args), .. } => &args.args,
        TableFactor::Function { args, .. } => args,
        _ => return None,
    };
    let value = |wanted: &str| args.iter().filter_map(named).find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let text = |value: &Expr| match value {
        Expr::Value(value) => value.value.clone().into_string(),
        _ => None,
    };
    let delay = value(WATERMARK_DELAY)?;
    let name = value(WATERMARK_NAME).and_then(text);
    Some(WatermarkClause { expr: value(WATERMARK_EXPR)?, name, delay: text(delay).unwrap_or_default(), delay_span: delay.span() })
}

fn is_watermark(arg: &FunctionArg) -> bool {
    named(arg).is_some_and(|(name, _)| [WATERMARK_EXPR, WATERMARK_NAME, WATERMARK_DELAY].contains(&name))
}

fn named(arg: &FunctionArg) -> Option<(&str, &Expr)> {
    match arg {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. }
        | FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(value), .. } => Some((&name.value, value)),
        _ => None,
    }
}

/// The arguments of a call.
pub(super) fn list(arguments: &FunctionArguments) -> &[FunctionArg] {
    match arguments {
        FunctionArguments::List(list) => &list.args,
        _ => &[],
    }
}

pub(super) fn unnamed(arg: &FunctionArg) -> Option<&Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

fn option_key(key: &str) -> String {
    without_prefix(key).to_lowercase()
}

fn without_prefix(key: &str) -> &str {
    const PREFIX: &str = "cloudFiles.";
    match key.get(..PREFIX.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => key.get(PREFIX.len()..).unwrap_or(key),
        _ => key,
    }
}
