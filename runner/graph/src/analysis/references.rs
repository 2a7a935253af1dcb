//! What a query reads, from its text alone.

use super::RelationReference;
use crate::definition::Query;

/// Every relation that the query names, in order of appearance; CTE names are left out.
pub fn references(query: &Query) -> Vec<RelationReference> {
    let _ = query;
    Vec::new()
}
