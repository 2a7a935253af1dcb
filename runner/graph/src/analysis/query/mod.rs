//! From the syntax tree to the plan.

use super::{AnalysedQuery, Parameters, Relations, SqlSettings};
use crate::{definition::Query, origin::Diagnostic};

pub(super) fn analyse(
    query: &Query,
    relations: &dyn Relations,
    settings: &SqlSettings,
    parameters: &Parameters,
) -> Result<AnalysedQuery, Vec<Diagnostic>> {
    let _ = (query, relations, settings, parameters);
    Err(vec![Diagnostic::not_supported("query")])
}
