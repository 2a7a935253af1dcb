//! Facts from storage that planning needs, gathered cheaply: schemas of foreign tables, the catalog, newest versions.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::SchemaRef;
use floe_graph::{graph::ResolvedGraph, origin::Diagnostic, plan::StoredState, relation::Relation};

use crate::{failure::Failure, state::catalog::Catalog, storage::Storage};

/// The schema of every relation that resolution needs, by source id. What cannot be read is an error where it is used.
pub async fn source_schemas(_storage: &Storage, _relations: &[Relation]) -> BTreeMap<String, Result<SchemaRef, Diagnostic>> {
    BTreeMap::new()
}

/// What storage holds for the graph. Reads the catalog and newest version numbers; opens only tables that the catalog does not know.
pub async fn stored_state(_storage: &Storage, _graph: &ResolvedGraph, _catalog: Option<&Catalog>) -> Result<StoredState, Failure> {
    Err(Failure::internal("observation is not there yet"))
}
