//! What an update is asked to do: the same fields on the command line, in a PipelineUpdate and in the request of a runner.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::schemas;

/// The selection of an update. All lists empty and no flag set = refresh everything.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!self.fullRefreshAll || !(has(self.refresh) && size(self.refresh) > 0 || has(self.refreshFlows) && size(self.refreshFlows) > 0 || has(self.fullRefresh) && size(self.fullRefresh) > 0 || has(self.resetCheckpoints) && size(self.resetCheckpoints) > 0)")
        .message("fullRefreshAll excludes every other selection")
)]
pub struct UpdateSelection {
    /// Datasets that process what is new.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), inner(length(min = 1, max = 512)))]
    pub refresh: Vec<String>,
    /// Flows that process what is new.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), inner(length(min = 1, max = 512)))]
    pub refresh_flows: Vec<String>,
    /// Datasets that are emptied and process everything again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), inner(length(min = 1, max = 512)))]
    pub full_refresh: Vec<String>,
    /// All datasets that are not protected are emptied and process everything again.
    #[serde(default)]
    pub full_refresh_all: bool,
    /// Datasets that keep their data and process everything again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), inner(length(min = 1, max = 512)))]
    pub reset_checkpoints: Vec<String>,
    /// Streaming consumers of an emptied table are emptied too.
    #[serde(default)]
    pub cascade: bool,
    /// The graph is checked and nothing runs.
    #[serde(default)]
    pub validate_only: bool,
    /// Values in the place of the pipeline's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::configuration")]
    pub parameters: BTreeMap<String, String>,
}

impl UpdateSelection {
    /// True if a full refresh of everything comes with another selection (`CONFLICTING_PIPELINE_REFRESH_OPTIONS`).
    pub fn is_conflicting(&self) -> bool {
        self.full_refresh_all && (self.selects_by_name())
    }

    /// True if only named datasets or flows take part.
    pub fn selects_by_name(&self) -> bool {
        [&self.refresh, &self.refresh_flows, &self.full_refresh, &self.reset_checkpoints].iter().any(|names| !names.is_empty())
    }
}
