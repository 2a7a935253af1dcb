//! The decision as writes.

use floe_crds::table::Table;
use kube::ResourceExt;

use super::{
    decide::{Decision, Release},
    observe::Observed,
};
use crate::{
    dataset,
    events::{EventReason, News, Severity},
};

/// What is written of the object itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// All finalizers that the object shall have, if they change.
    pub finalizers: Option<Vec<String>>,
    /// The object shall go.
    pub delete: bool,
    /// The object is as good as gone: it gets no status any more.
    pub ends: bool,
    /// What people should know, once it is done.
    pub news: Option<News>,
}

/// What must be written for `decision`.
pub fn plan(observed: &Observed, decision: &Decision) -> Plan {
    let without = || observed.table.finalizers().iter().filter(|finalizer| *finalizer != dataset::CLEANUP).cloned().collect();
    match decision {
        Decision::Leave | Decision::Await(_) => Plan::default(),
        Decision::Protect => Plan { finalizers: Some(with(&observed.table)), ..Plan::default() },
        Decision::Unprotect => Plan { finalizers: Some(without()), ..Plan::default() },
        Decision::Delete => Plan { delete: true, ends: true, ..Plan::default() },
        Decision::Release(release) => Plan { finalizers: Some(without()), ends: true, news: left_behind(observed, release), delete: false },
    }
}

fn with(table: &Table) -> Vec<String> {
    table.finalizers().iter().cloned().chain([dataset::CLEANUP.to_string()]).collect()
}

fn left_behind(observed: &Observed, release: &Release) -> Option<News> {
    let Release::LeftBehind(why) = release else { return None };
    let status = observed.before();
    let dataset = observed.full_name().unwrap_or_else(|| observed.name());
    let note = match status.location {
        Some(location) => {
            format!("the data of {dataset} may still be there, because {why}: remove {location} by hand if you do not need it")
        }
        None => format!("the data of {dataset} may still be there, because {why}; no runner has told where"),
    };
    Some(News::new(Severity::Warning, EventReason::CleanupFailed, note))
}
