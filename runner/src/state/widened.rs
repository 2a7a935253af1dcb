//! `widened/<fingerprint>.json`: the plans of a flow that this one took the place of because files had more columns or wider types. A micro-batch
//! that one of them began, this one may end: neither sorts a row otherwise.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::format;

/// Directory below the generation's.
const DIRECTORY: &str = "widened";

/// The narrower plans behind a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WidenedPlan {
    /// Format of the document.
    version: u32,
    /// Fingerprints of the flow as it was planned with fewer columns or narrower types.
    narrower: BTreeSet<String>,
}

impl WidenedPlan {
    /// The plan that takes the place of `before`, and of those whose place that one took.
    pub fn after(before: &str, narrower: Option<Self>) -> Self {
        let mut narrower = narrower.map(|known| known.narrower).unwrap_or_default();
        narrower.insert(before.to_owned());
        Self { version: format::VERSION, narrower }
    }

    /// Joins what another widening to the same plan has recorded.
    pub fn and(mut self, other: Option<Self>) -> Self {
        self.narrower.extend(other.into_iter().flat_map(|other| other.narrower));
        self
    }

    /// True if the plan takes the place of the one with this fingerprint.
    pub fn is_after(&self, fingerprint: &str) -> bool {
        self.narrower.contains(fingerprint)
    }
}

/// The document of the plan with this fingerprint.
pub(super) fn entry(fingerprint: &str) -> String {
    format!("{DIRECTORY}/{fingerprint}.json")
}
