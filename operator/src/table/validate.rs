//! What can be said about a Table without a runner.

use floe_crds::condition::{Reason, Said};
use kube::ResourceExt;

use super::observe::Observed;
use crate::dataset;

/// Findings that are told; the others come up when these are mended.
const TOLD: usize = 3;

/// Whether the Table can be part of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can.
    Right,
    /// Its spec is right, but the pipeline is not there (yet).
    NoPipeline,
    /// It cannot, because of this.
    Wrong(Said),
}

/// The rules of manifests that the API server cannot check, and what only shows beside other objects.
pub fn validate(observed: &Observed) -> Verdict {
    if dataset::is_from_sql(&observed.table) {
        // The runner has made it from SQL that it found right, and edits are taken back.
        return if observed.pipeline.is_some() { Verdict::Right } else { Verdict::NoPipeline };
    }
    if let Some(wrong) = broken_rules(observed).or_else(|| duplicate(observed)) {
        return Verdict::Wrong(wrong);
    }
    if observed.pipeline.is_none() { Verdict::NoPipeline } else { Verdict::Right }
}

fn broken_rules(observed: &Observed) -> Option<Said> {
    let findings = dataset::findings(&observed.name(), &observed.table.spec);
    let messages: Vec<String> = findings.into_iter().take(TOLD).map(|finding| finding.message).collect();
    (!messages.is_empty()).then(|| Said::new(false, Reason::InvalidSpec, messages.join("; ")))
}

fn duplicate(observed: &Observed) -> Option<Said> {
    let pipeline = &observed.pipeline.as_ref()?.spec;
    let name = dataset::full_name(&observed.table, pipeline);
    let mut others = observed.tables.iter().filter(|other| dataset::declares(other) && other.uid() != observed.table.uid());
    let other = others.find(|other| dataset::is_same_name(&dataset::full_name(other, pipeline), &name))?;
    let message = format!("Table `{}` declares the dataset `{name}` too; delete or rename one of them", other.name_any());
    Some(Said::new(false, Reason::DuplicateDataset, message))
}
