//! Predicates of expectations, typed over the output columns of their dataset.

use super::{AnalysedQuery, Parameters, SqlSettings};
use crate::{definition::Expectation, graph::ResolvedExpectation, origin::Diagnostic};

/// Types the predicate over the output columns of `output`; `dataset` is the full name of what declares it.
pub fn analyse_expectation(
    expectation: &Expectation,
    dataset: &str,
    output: &AnalysedQuery,
    settings: &SqlSettings,
    parameters: &Parameters,
) -> Result<ResolvedExpectation, Diagnostic> {
    let _ = (dataset, output, settings, parameters);
    Err(Diagnostic::not_supported("expectation").at(&expectation.origin))
}
