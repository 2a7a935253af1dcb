//! The clauses of Auto CDC, typed over the columns of the source.

mod order;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion_common::arrow::datatypes::DataType;
use datafusion_expr::Expr;

pub use order::{SOURCE_ORDER, with_source_order};

use super::{
    AnalysedQuery, Parameters, SqlSettings,
    determinism::facts_of,
    expectation::{NoRelations, qualified, unsupported_part},
    query::{Column, Planner, Scope},
};
use crate::{
    analysis::ddl,
    cdc::{CdcEvents, CdcSource, ChoiceRule, ColumnChoice, END_AT, HIDDEN_PREFIX, ResolvedAutoCdc, START_AT, ScdType, has},
    definition::{AutoCdc, ClauseExpr, ColumnName, ColumnSelection, Flow},
    function,
    name::Namespace,
    origin::{Diagnostic, Origin},
    resolve::near_names,
};

/// Types all clauses of `cdc` over the output columns of `source`, the query of `flow`. `order` of the result is still empty.
pub fn analyse_auto_cdc(
    (flow, cdc): (&Flow, &AutoCdc),
    source: &AnalysedQuery,
    settings: &SqlSettings,
    parameters: &Parameters,
) -> Result<ResolvedAutoCdc, Vec<Diagnostic>> {
    let columns: Vec<Column> =
        source.schema.fields().iter().map(|field| Column::output(field.name(), field.name(), field.data_type().clone())).collect();
    let paths = qualified(&columns, source);
    let mut clauses = Clauses { flow, cdc, settings, parameters, columns: &columns, paths: &paths, errors: Vec::new() };
    let resolved = clauses.resolved();
    match resolved {
        Some(resolved) if clauses.errors.is_empty() => Ok(resolved),
        _ => Err(clauses.errors),
    }
}

struct Clauses<'a> {
    flow: &'a Flow,
    cdc: &'a AutoCdc,
    settings: &'a SqlSettings,
    parameters: &'a Parameters,
    columns: &'a [Column],
    paths: &'a [(Vec<String>, Column)],
    errors: Vec<Diagnostic>,
}

impl Clauses<'_> {
    /// `None` or a value that is not used, after errors were noted.
    fn resolved(&mut self) -> Option<ResolvedAutoCdc> {
        let cdc = self.cdc;
        let all: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let columns = self.chosen(cdc.columns.as_ref(), &all, "COLUMNS", &[]).columns;
        self.reserved(&columns);
        let keys = self.keys(&columns);
        let sequence = cdc.sequence_by.as_ref().and_then(|clause| self.sequence(clause));
        let delete_when = cdc.apply_as_delete_when.as_ref().and_then(|clause| self.condition(clause, "APPLY AS DELETE WHEN"));
        let truncate_when = cdc.apply_as_truncate_when.as_ref().and_then(|clause| self.condition(clause, "APPLY AS TRUNCATE WHEN"));
        let scd = self.scd(&columns, &keys, truncate_when);
        let ignore_null = cdc.ignore_null_updates.as_ref().map(|selection| self.ignore_null(selection, &columns, &keys));
        let (source, sequence_type) = if cdc.snapshot {
            // The time at which a version of a table was committed.
            (CdcSource::Snapshot, function::timestamp_type())
        } else {
            let (sequence, sequence_type) = sequence?;
            let events = CdcEvents { sequence, delete_when };
            (if cdc.once { CdcSource::Once(events) } else { CdcSource::Stream(events) }, sequence_type)
        };
        Some(ResolvedAutoCdc { keys, columns, source, sequence_type, scd, ignore_null, order: Vec::new() })
    }

    fn error(&mut self, class: &str, message: String, origin: &Origin, help: &str) {
        self.errors.push(Diagnostic::error(class, message).at(origin).help(help));
    }

    fn unknown(&mut self, clause: &str, column: &ColumnName, known: &[String]) {
        let near = near_names(&column.name, known.iter().cloned());
        let help = match near.as_slice() {
            [] => format!("the columns are {}", known.join(", ")),
            near => format!("did you mean {}?", near.join(", ")),
        };
        let message = format!("{clause} of flow {} names {}, which is no column here", self.flow.name, column.name);
        self.error("UNRESOLVED_COLUMN.WITH_SUGGESTION", message, &column.origin, &help);
    }

    /// The columns of `known` that the selection means, without `keys`; all if there is none.
    fn chosen(&mut self, selection: Option<&ColumnSelection>, known: &[String], clause: &str, keys: &[String]) -> ColumnChoice {
        let named = selection.map(ColumnSelection::named).unwrap_or_default();
        let mut found: Vec<String> = Vec::new();
        for column in named {
            match known.iter().find(|name| name.eq_ignore_ascii_case(&column.name)) {
                Some(name) => found.push(name.clone()),
                None => self.unknown(clause, column, known),
            }
        }
        let is_named = matches!(selection, Some(ColumnSelection::Only(_)));
        let columns = known.iter().filter(|name| has(&found, name) == is_named && !has(keys, name)).cloned().collect();
        let rule = if is_named { ChoiceRule::Named } else { ChoiceRule::AllExcept(found) };
        ColumnChoice { columns, rule }
    }

    /// AUTOCDC_RESERVED_COLUMN_NAME_CONFLICT and _PREFIX_CONFLICT.
    fn reserved(&mut self, selected: &[String]) {
        let flow = self.flow;
        for column in self.columns {
            if column.name.to_lowercase().starts_with(HIDDEN_PREFIX) {
                let message =
                    format!("the source of flow {} has column {}: the prefix {HIDDEN_PREFIX} is reserved", flow.name, column.name);
                self.error("AUTOCDC_RESERVED_COLUMN_NAME_PREFIX_CONFLICT", message, &flow.origin, "give the column another name in a view");
            }
        }
        for name in [START_AT, END_AT] {
            if has(selected, name) {
                let message = format!("the source of flow {} has column {name}, which the history of type 2 needs", flow.name);
                let help = format!("leave it out with COLUMNS * EXCEPT ({name}), or give it another name in a view");
                self.error("AUTOCDC_RESERVED_COLUMN_NAME_CONFLICT", message, &flow.origin, &help);
            }
        }
    }

    /// The keys with the spelling of the source.
    fn keys(&mut self, selected: &[String]) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for clause in &self.cdc.keys {
            let Some((expr, data_type)) = self.typed(clause, "KEYS") else { continue };
            let Expr::Column(column) = expr else {
                let message = format!("the key {} of flow {} is no column", clause.text, self.flow.name);
                self.error("AUTOCDC_KEY_NOT_A_COLUMN", message, &clause.origin, "compute it in a view and name its column");
                continue;
            };
            let name = column.name;
            if has(&keys, &name) {
                let message = format!("KEYS of flow {} names {name} twice", self.flow.name);
                self.error("AUTOCDC_KEY_NOT_A_COLUMN", message, &clause.origin, "name each key once");
            } else if !has(selected, &name) {
                let message = format!("COLUMNS of flow {} leaves out the key {name}", self.flow.name);
                self.error("AUTOCDC_KEY_NOT_IN_SELECTED_SCHEMA", message, &clause.origin, "keep all keys among the columns");
            } else if matches!(data_type, DataType::Map(..)) {
                let message = format!("the key {name} of flow {} is a MAP, which cannot be compared", self.flow.name);
                self.error("AUTOCDC_KEY_NOT_A_COLUMN", message, &clause.origin, "use columns of simple types");
            } else {
                keys.push(name);
            }
        }
        keys
    }

    /// AUTOCDC_TRUNCATE_REQUIRES_SCD1, AUTOCDC_TRACK_HISTORY_REQUIRES_SCD2.
    fn scd(&mut self, columns: &[String], keys: &[String], truncate_when: Option<Expr>) -> ScdType {
        let cdc = self.cdc;
        if cdc.scd_type == 2 {
            if let Some(clause) = &cdc.apply_as_truncate_when {
                let message = format!("flow {} has APPLY AS TRUNCATE WHEN and SCD type 2", self.flow.name);
                let help = "truncating would erase the history; use STORED AS SCD TYPE 1, or delete events";
                self.error("AUTOCDC_TRUNCATE_REQUIRES_SCD1", message, &clause.origin, help);
            }
            let tracked = self.chosen(cdc.track_history.as_ref(), columns, "TRACK HISTORY ON", keys);
            return ScdType::Two { tracked };
        }
        if let Some(selection) = &cdc.track_history {
            let origin = selection.named().first().map_or(&self.flow.origin, |column| &column.origin).clone();
            let message = format!("flow {} has TRACK HISTORY ON and SCD type 1, which keeps no history", self.flow.name);
            self.error("AUTOCDC_TRACK_HISTORY_REQUIRES_SCD2", message, &origin, "add STORED AS SCD TYPE 2, or leave it out");
        }
        ScdType::One { truncate_when }
    }

    /// AUTOCDC_IGNORE_NULL_EMPTY_COLUMN_LIST.
    fn ignore_null(&mut self, selection: &ColumnSelection, columns: &[String], keys: &[String]) -> ColumnChoice {
        let before = self.errors.len();
        let choice = self.chosen(Some(selection), columns, "IGNORE NULL UPDATES ON", keys);
        if choice.columns.is_empty() && self.errors.len() == before {
            let origin = selection.named().first().map_or(&self.flow.origin, |column| &column.origin).clone();
            let message = format!("IGNORE NULL UPDATES of flow {} means no column that is stored and no key", self.flow.name);
            self.error("AUTOCDC_IGNORE_NULL_EMPTY_COLUMN_LIST", message, &origin, "name a column, or leave the clause out");
        }
        choice
    }

    fn sequence(&mut self, clause: &ClauseExpr) -> Option<(Expr, DataType)> {
        let (expr, data_type) = self.deterministic(clause, "SEQUENCE BY")?;
        if !is_orderable(&data_type) {
            let message = format!("SEQUENCE BY of flow {} is {}, which has no order", self.flow.name, ddl::type_text(&data_type));
            let help = "use a number, STRING, DATE, TIMESTAMP, BOOLEAN, BINARY or a STRUCT of these";
            self.error("AUTOCDC_SEQUENCE_NOT_ORDERABLE", message, &clause.origin, help);
            return None;
        }
        Some((expr, data_type))
    }

    fn condition(&mut self, clause: &ClauseExpr, name: &str) -> Option<Expr> {
        let (expr, data_type) = self.deterministic(clause, name)?;
        match data_type {
            DataType::Boolean => Some(expr),
            // Never true.
            DataType::Null => None,
            other => {
                let message = format!("{name} of flow {} must be BOOLEAN, but it is {}", self.flow.name, ddl::type_text(&other));
                self.error("DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN", message, &clause.origin, "compare it with a value");
                None
            }
        }
    }

    /// The same events must mean the same whenever they are read.
    fn deterministic(&mut self, clause: &ClauseExpr, name: &str) -> Option<(Expr, DataType)> {
        let typed = self.typed(clause, name)?;
        let facts = facts_of(&typed.0);
        if let Some(function) = facts.time_functions.iter().chain(&facts.random_functions).next() {
            let message = format!("{name} of flow {} uses {function}: it is not decided by the event alone", self.flow.name);
            self.error("AUTOCDC_NON_DETERMINISTIC_EXPRESSION", message, &clause.origin, "use columns of the source only");
            return None;
        }
        Some(typed)
    }

    fn typed(&mut self, clause: &ClauseExpr, name: &str) -> Option<(Expr, DataType)> {
        if let Some(what) = unsupported_part(&clause.expr) {
            let message = format!("{name} of flow {} uses {what}; it sees one event only", self.flow.name);
            self.error("AUTOCDC_UNSUPPORTED_EXPRESSION", message, &clause.origin, "compute the value in a view and name its column");
            return None;
        }
        let namespace = Namespace { catalog: String::new(), schema: String::new() };
        let mut planner = Planner::new(Arc::clone(&clause.origin.file), &namespace, &NoRelations, self.settings, self.parameters);
        let mut scope = Scope::new(self.columns, None);
        scope.paths = self.paths;
        match planner.expr(&clause.expr, &scope) {
            Ok(value) => Some((value.expr, value.data_type)),
            Err(error) => {
                // A key of a manifest has no place in the tree.
                let placed = error.origin.clone().filter(|origin| origin.line > 1 || origin.column > 1);
                self.errors.push(error.at(&placed.unwrap_or_else(|| clause.origin.clone())));
                None
            }
        }
    }
}

/// Numbers, text, times, BOOLEAN, BINARY, and structs of these.
fn is_orderable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => !fields.is_empty() && fields.iter().all(|field| is_orderable(field.data_type())),
        DataType::Utf8 | DataType::Binary | DataType::Boolean | DataType::Date32 | DataType::Timestamp(..) => true,
        other => other.is_numeric(),
    }
}
