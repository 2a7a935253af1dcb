//! What the object of a Table needs: the list of checks is the specification of when its data are protected, awaited and let go.

use std::time::Duration;

use floe_crds::pipeline::DeletionPolicy;
use kube::ResourceExt;

use super::{observe::Observed, validate::Verdict};
use crate::{dataset, labels};

/// The data of an object that is being deleted are awaited for so long.
pub const PATIENCE: Duration = Duration::from_mins(10);

/// What happens to the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Leave,
    /// The finalizer is put on: the data go with the object.
    Protect,
    /// The finalizer is taken off: the data stay when the object goes.
    Unprotect,
    /// The object is being deleted, and its data are still there; look again after this time.
    Await(Duration),
    /// The finalizer of an object that is being deleted is taken off.
    Release(Release),
    /// An object from SQL whose data are removed goes.
    Delete,
}

/// Why an object may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// The data are gone.
    Removed,
    /// The data shall stay: another object, or SQL, declares the dataset, or the policy says so.
    Kept,
    /// The data are still there, because of this.
    LeftBehind(&'static str),
}

/// The first check that says something decides.
pub fn decide(observed: &Observed, verdict: &Verdict) -> Decision {
    let checks = [paused, deleted, unprotected, removed];
    checks.iter().find_map(|check| check(observed, verdict)).unwrap_or(Decision::Leave)
}

fn paused(observed: &Observed, _: &Verdict) -> Option<Decision> {
    labels::is_set(observed.table.as_ref(), labels::PAUSED).then_some(Decision::Leave)
}

fn has_finalizer(observed: &Observed) -> bool {
    observed.table.finalizers().iter().any(|finalizer| finalizer == dataset::CLEANUP)
}

fn deleted(observed: &Observed, verdict: &Verdict) -> Option<Decision> {
    let since = observed.table.metadata.deletion_timestamp.as_ref()?.0;
    if !has_finalizer(observed) {
        return Some(Decision::Leave);
    }
    let waited = Duration::try_from(observed.now.duration_since(since)).unwrap_or_default();
    let checks = [skipped, kept, gone, with_pipeline, without_pipeline];
    let release = checks.iter().find_map(|check| check(observed, verdict));
    let late = || (waited >= PATIENCE).then_some(Release::LeftBehind("no update removed them within 10 minutes"));
    Some(match release.or_else(late) {
        Some(release) => Decision::Release(release),
        None => Decision::Await(PATIENCE.saturating_sub(waited)),
    })
}

fn skipped(observed: &Observed, _: &Verdict) -> Option<Release> {
    labels::is_set(observed.table.as_ref(), labels::SKIP_CLEANUP).then_some(Release::LeftBehind("floe.dev/skip-cleanup is set"))
}

/// Still declared, or to be kept.
fn kept(observed: &Observed, _: &Verdict) -> Option<Release> {
    let is_declared = dataset::is_from_sql(&observed.table) && observed.pipeline.is_some() && !dataset::is_inactive(&observed.table);
    let is_retained = observed.deletion_policy() == Some(DeletionPolicy::Retain) || !dataset::is_stored(&observed.table);
    (is_declared || is_retained || observed.is_handed_over()).then_some(Release::Kept)
}

fn gone(observed: &Observed, _: &Verdict) -> Option<Release> {
    observed.are_data_gone().then_some(Release::Removed)
}

/// The clean-up of the Pipeline, which tells itself what it leaves, knows of the object by now.
fn with_pipeline(observed: &Observed, _: &Verdict) -> Option<Release> {
    let is_known = observed.is_cleaned_up || dataset::is_from_sql(&observed.table);
    (observed.is_pipeline_deleted() && is_known).then_some(Release::Removed)
}

/// An object from SQL goes after its Pipeline, whose own clean-up has dealt with the data.
fn without_pipeline(observed: &Observed, verdict: &Verdict) -> Option<Release> {
    let is_alone = observed.pipeline.is_none() && *verdict != Verdict::Right;
    let release = if dataset::is_from_sql(&observed.table) { Release::Removed } else { Release::LeftBehind("the pipeline is not there") };
    is_alone.then_some(release)
}

fn unprotected(observed: &Observed, _: &Verdict) -> Option<Decision> {
    let wanted = dataset::is_stored(&observed.table) && observed.deletion_policy()? == DeletionPolicy::Delete;
    match (wanted, has_finalizer(observed)) {
        (true, false) => Some(Decision::Protect),
        (false, true) => Some(Decision::Unprotect),
        _ => None,
    }
}

fn removed(observed: &Observed, _: &Verdict) -> Option<Decision> {
    let is_removed = dataset::is_from_sql(&observed.table) && dataset::is_inactive(&observed.table) && observed.in_graph() == Some(false);
    (is_removed && has_finalizer(observed) && observed.are_data_gone()).then_some(Decision::Delete)
}
