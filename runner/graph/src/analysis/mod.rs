//! One query to a typed plan with Spark's semantics: names, types, functions and clauses, without any input or output.
//!
//! Leaves of plans are `RelationSource`s; functions are stand-ins that know their signature (`function`). Every cast that Spark does
//! by itself is written into the plan, so that nothing is left for DataFusion's own coercion.

mod cdc;
pub mod ddl;
mod dependence;
mod determinism;
mod expect;
mod expectation;
mod identifier;
mod parameter;
mod query;
mod references;
mod row_rule;
pub mod state;
mod streaming;

use std::sync::Arc;

use datafusion_common::arrow::datatypes::SchemaRef;
use datafusion_expr::LogicalPlan;

pub use crate::function::SqlSettings;
use crate::{
    definition::Query,
    name::Namespace,
    origin::{Diagnostic, Origin},
    relation::{OptionPlaces, Relation, RelationSource},
};
pub use cdc::{SOURCE_ORDER, analyse_auto_cdc, with_source_order};
pub use dependence::Dependence;
pub use determinism::{Facts, facts};
pub use expect::{Expect, with_expectations};
pub use expectation::analyse_expectation;
pub use parameter::{Parameter, Parameters};
pub(crate) use query::{parse_interval, place_of_item};
pub use references::references;
pub use row_rule::analyse_row_rules;
pub use streaming::{check_streaming, is_streaming, stream_leaves};

/// One relation that a query names, as far as its text tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationReference {
    /// What is named.
    pub kind: ReferenceKind,
    /// Read with `STREAM`.
    pub streaming: bool,
    /// Named arguments of `read_files` or of the stream; keys in lower case without `cloudfiles.`, values as text.
    pub options: std::collections::BTreeMap<String, String>,
    /// Where they stand.
    pub given: OptionPlaces,
    /// Where unqualified names are looked up.
    pub namespace: Namespace,
    /// Where it stands.
    pub origin: Origin,
}

/// What a reference names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceKind {
    /// One to three parts, as written.
    Name(Vec<String>),
    /// `` delta.`uri` ``.
    DeltaPath(String),
    /// `read_files(path, …)` or `` json.`path` `` (then `format` is among the options).
    Files {
        /// Directory, file or glob, as written.
        path: String,
    },
    /// `event_log` as a table function. The plain name `event_log` is a `Name`.
    EventLog,
}

impl RelationReference {
    /// What messages call it.
    pub fn text(&self) -> String {
        match &self.kind {
            ReferenceKind::Name(parts) => parts.join("."),
            ReferenceKind::DeltaPath(path) => format!("delta.`{path}`"),
            ReferenceKind::Files { path } => format!("read_files('{path}')"),
            ReferenceKind::EventLog => "event_log()".to_string(),
        }
    }
}

/// Looks names up; `resolve` implements it. CTEs and aliases of the query are not asked for.
pub trait Relations {
    /// The relation that the reference means, or the diagnostic (with class and origin) why there is none.
    fn relation(&self, reference: &RelationReference) -> Result<FoundRelation, Diagnostic>;
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum FoundRelation {
    /// Something that is read. File sources come without `_metadata`; analysis adds it where the query names it.
    Leaf(RelationSource),
    /// A view: its analysed plan (with its expectations, see `with_expectations`) is inlined.
    View {
        /// Closed: its columns have no qualifiers and differ.
        plan: LogicalPlan,
    },
}

/// A typed query.
#[derive(Clone, Debug)]
pub struct AnalysedQuery {
    /// Leaves are `RelationSource`s, functions are stand-ins.
    pub plan: LogicalPlan,
    /// Output columns, names and types exactly as a table of this query gets them. All are nullable.
    pub schema: SchemaRef,
    /// For each output column the path that it was selected by (`o.total` → `["o", "total"]`), empty for expressions.
    pub paths: Vec<Vec<String>>,
    /// The relations that the plan reads (those inside views included), each once.
    pub leaves: Vec<Arc<Relation>>,
    /// True if one of the leaves is read as a stream.
    pub streaming: bool,
    /// W003, W010.
    pub lints: Vec<Diagnostic>,
    /// What a streaming query may not do; see `check_streaming`.
    pub(crate) violations: Vec<Diagnostic>,
}

/// Types `query` completely. Every error has a class and a place in the query's file.
pub fn analyse_query(
    query: &Query,
    relations: &dyn Relations,
    settings: &SqlSettings,
    parameters: &Parameters,
) -> Result<AnalysedQuery, Vec<Diagnostic>> {
    query::analyse(query, relations, settings, parameters, query::OutputNames::Differ)
}

/// Types `query` completely, as `analyse_query` does, where nothing stores its rows: columns may have the same name. In the plan the later ones
/// get a number.
pub fn analyse_reading(
    query: &Query,
    relations: &dyn Relations,
    settings: &SqlSettings,
    parameters: &Parameters,
) -> Result<AnalysedQuery, Vec<Diagnostic>> {
    query::analyse(query, relations, settings, parameters, query::OutputNames::MayRepeat)
}

#[cfg(test)]
mod tests;
