//! Which reports count, and in which order: a runner may write any report, but is believed only about its own attempt.

use std::sync::Arc;

use floe_crds::{
    pipeline_update::PipelineUpdate,
    request::PROTOCOL,
    run_report::{GraphReport, ReportKind, RunReport},
};
use k8s_openapi::api::core::v1 as core;
use kube::ResourceExt;

use crate::{caches::Caches, key::Key, owner, updates};

/// A report that counts, with what it is about.
#[derive(Clone, Debug)]
pub struct Told {
    /// The report.
    pub report: Arc<RunReport>,
    /// The update that its attempt belongs to.
    pub update: Arc<PipelineUpdate>,
    /// Number of the attempt.
    pub attempt: i32,
}

impl Told {
    /// The graph, if it has no errors.
    pub fn valid_graph(&self) -> Option<&GraphReport> {
        self.report.spec.graph.as_ref().filter(|graph| graph.valid)
    }
}

/// True if `report` is a genuine one of an attempt of `update`: it bears the name of the attempt's batch/v1 Job, and a pod of that Job wrote it. A pod
/// that is gone is the one that was written down.
pub fn is_genuine(report: &RunReport, update: &PipelineUpdate, written_down: Option<&String>, pods: &[Arc<core::Pod>]) -> bool {
    let name = report.name_any();
    let spec = &report.spec;
    let is_there = pods.iter().any(|pod| pod.uid().as_ref() == Some(&spec.pod_uid) && job_of(pod) == Some(&name));
    let was_there = written_down == Some(&spec.pod_name) && pods.iter().all(|pod| pod.name_any() != spec.pod_name);
    owner::is_owned_by(report, update) && spec.kind == ReportKind::Update && (is_there || was_there)
}

/// The attempt that `report` is about, if it is a genuine one of `update` that this operator can read.
pub fn attempt(report: &RunReport, update: &PipelineUpdate, pods: &[Arc<core::Pod>]) -> Option<i32> {
    let name = report.name_any();
    let known = update.status.as_ref().map(|status| status.attempts.as_slice()).unwrap_or_default();
    let attempt = known.iter().find(|attempt| attempt.job.as_ref() == Some(&name))?;
    let is_readable = report.spec.protocol <= PROTOCOL;
    (is_readable && is_genuine(report, update, attempt.pod.as_ref(), pods)).then_some(attempt.number)
}

fn job_of(pod: &core::Pod) -> Option<&String> {
    pod.owner_references().iter().find(|owner| owner.kind == "Job").map(|owner| &owner.name)
}

/// All reports that count of `updates`, in the order in which these began.
pub fn of_updates(caches: &Caches, updates: &[Arc<PipelineUpdate>]) -> Vec<Told> {
    let mut ordered: Vec<&Arc<PipelineUpdate>> = updates.iter().collect();
    ordered.sort_by_cached_key(|update| updates::by_start(update));
    ordered.into_iter().flat_map(|update| of_update(caches, update)).collect()
}

/// The reports that count of one update, oldest first.
pub fn of_update(caches: &Caches, update: &Arc<PipelineUpdate>) -> Vec<Told> {
    let key = Key::of(update.as_ref());
    let reports = caches.reports.by(&key);
    if reports.is_empty() {
        return Vec::new();
    }
    let pods = caches.pods.by(&key);
    let told = |report: Arc<RunReport>| Some(Told { attempt: attempt(&report, update, &pods)?, update: update.clone(), report });
    let mut found: Vec<Told> = reports.into_iter().filter_map(told).collect();
    found.sort_by_key(|told| told.attempt);
    found
}

/// The newest report with a graph: Tables of datasets from SQL are made from it, so it is kept as long as its update.
pub fn newest_graph(told: Vec<Told>) -> Option<Told> {
    told.into_iter().rev().find(|told| told.report.spec.graph.is_some())
}

/// The newest report with a graph without errors.
pub fn newest_valid(told: &[Told]) -> Option<&Told> {
    told.iter().rev().find(|told| told.valid_graph().is_some())
}

#[cfg(test)]
mod tests {
    use floe_crds::pipeline_update::{Attempt, PipelineUpdateSpec};
    use floe_crds::run_report::RunReportSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;

    fn owned_by(kind: &str, name: &str, uid: &str) -> Vec<OwnerReference> {
        vec![OwnerReference { kind: kind.into(), name: name.into(), uid: uid.into(), ..OwnerReference::default() }]
    }

    fn update() -> PipelineUpdate {
        let mut update = PipelineUpdate::new("p-u1", PipelineUpdateSpec::default());
        update.metadata.uid = Some("u".to_string());
        let attempt = Attempt { number: 2, job: Some("p-u1-a2".to_string()), pod: Some("p-u1-a2-old".to_string()), ..Attempt::default() };
        update.status.get_or_insert_default().attempts = vec![attempt];
        update
    }

    fn report(name: &str, pod: &str) -> RunReport {
        let spec =
            RunReportSpec { protocol: PROTOCOL, pod_uid: format!("uid of {pod}"), pod_name: pod.to_string(), ..RunReportSpec::default() };
        let mut report = RunReport::new(name, spec);
        report.metadata.owner_references = Some(owned_by("PipelineUpdate", "p-u1", "u"));
        report
    }

    fn pod(name: &str, job: &str) -> Arc<core::Pod> {
        let mut pod = core::Pod::default();
        pod.metadata.uid = Some(format!("uid of {name}"));
        pod.metadata.owner_references = Some(owned_by("Job", job, "j"));
        Arc::new(pod)
    }

    #[test]
    fn a_runner_is_believed_about_its_own_attempt_only() {
        let update = update();
        let pods = [pod("p-u1-a2-new", "p-u1-a2"), pod("q-u1-a1-x", "q-u1-a1")];
        assert_eq!(attempt(&report("p-u1-a2", "p-u1-a2-new"), &update, &pods), Some(2), "the pod lives");
        assert_eq!(attempt(&report("p-u1-a2", "p-u1-a2-old"), &update, &pods), Some(2), "the pod is gone");
        assert_eq!(attempt(&report("p-u1-a2", "q-u1-a1-x"), &update, &pods), None, "the pod of another pipeline");
        assert_eq!(attempt(&report("p-u1-a9", "p-u1-a2-new"), &update, &pods), None, "no such attempt");
        let mut stranger = report("p-u1-a2", "p-u1-a2-new");
        stranger.metadata.owner_references = Some(owned_by("PipelineUpdate", "p-u1", "of an earlier life"));
        assert_eq!(attempt(&stranger, &update, &pods), None);
    }
}
