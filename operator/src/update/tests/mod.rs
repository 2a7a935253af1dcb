//! The pure middle in a world of objects without a server: what is decided is done at once, and time passes when a test says so.

mod lives;
mod queued;
mod random;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use floe_crds::{
    condition::{self, ConditionType},
    pipeline::Pipeline,
    pipeline_update::{Cancel, PipelineUpdate, PipelineUpdateStatus},
    run_report::{RunReport, RunReportSpec, RunResult},
    state::UpdateState,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{batch::v1 as batch, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{ResourceExt, core::PartialObjectMeta};
use serde_json::{Value, json};

use super::{
    apply::Applied,
    decide::{Decision, Waiting, decide, validate},
    news::news,
    observe::{Leftovers, Observed, belonged, current},
    plan::{Effect, plan},
    status::status,
};
use crate::{
    attempt::{
        JobParts,
        end::{is_over, job_end},
        job, request_name,
        tests::{pipeline, settings, start, update},
    },
    owner,
    settings::Settings,
    updates,
};

/// All objects of one pipeline.
pub struct World {
    settings: Settings,
    pub pipeline: Option<Pipeline>,
    pub updates: BTreeMap<String, PipelineUpdate>,
    pub jobs: BTreeMap<String, batch::Job>,
    pub pods: BTreeMap<String, Pod>,
    pub reports: BTreeMap<String, RunReport>,
    pub requests: BTreeSet<String>,
    pub now: Timestamp,
    /// Notes of all Events.
    pub told: Vec<String>,
    /// Names of the batch/v1 Jobs in the order of their creation.
    pub made: Vec<String>,
}

impl World {
    /// A pipeline that was accepted, with what `spec` adds.
    pub fn new(spec: Value) -> Self {
        let mut pipeline = pipeline(spec);
        let accepted = json!({"conditions": [{
            "type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "observedGeneration": 3, "lastTransitionTime": start().to_string(),
        }]});
        pipeline.status = Some(serde_json::from_value(accepted).unwrap());
        Self {
            settings: settings(&[]),
            pipeline: Some(pipeline),
            updates: BTreeMap::new(),
            jobs: BTreeMap::new(),
            pods: BTreeMap::new(),
            reports: BTreeMap::new(),
            requests: BTreeSet::new(),
            now: start(),
            told: Vec::new(),
            made: Vec::new(),
        }
    }

    /// Someone asks for an update, a second after the last one.
    pub fn ask(&mut self, name: &str, spec: Value) {
        self.pass(1);
        let mut update = update(name, spec);
        update.metadata.creation_timestamp = Some(Time(self.now));
        self.updates.insert(name.to_string(), update);
    }

    pub fn cancel(&mut self, name: &str, how: Cancel) {
        self.updates.get_mut(name).unwrap().spec.cancel = how;
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    pub fn status(&self, name: &str) -> PipelineUpdateStatus {
        self.updates[name].status.clone().unwrap_or_default()
    }

    /// The state of an update, with the place of one that waits.
    pub fn state(&self, name: &str) -> String {
        let status = self.status(name);
        let place = status.position.map(|place| format!(" {place}")).unwrap_or_default();
        format!("{}{place}", status.state.map_or("NEW", UpdateState::as_str))
    }

    /// `Accepted/Succeeded/Reconciling/Stalled reason`, as a tool for kstatus sees it.
    pub fn conditions(&self, name: &str) -> String {
        let status = self.status(name);
        let of = |kind| condition::find(&status.conditions, kind).unwrap();
        let words = ConditionType::PIPELINE_UPDATE.iter().map(|kind| of(*kind).status.as_str());
        format!("{} {}", words.collect::<Vec<_>>().join("/"), of(ConditionType::Succeeded).reason)
    }

    pub fn observe(&self, name: &str) -> Observed {
        let update = Arc::new(self.updates[name].clone());
        let status = update.status.clone().unwrap_or_default();
        let jobs: Vec<_> = self.jobs.values().filter(|job| job.labels()["floe.dev/update"] == name).cloned().map(Arc::new).collect();
        let all_pods: Vec<_> = self.pods.values().cloned().map(Arc::new).collect();
        let pods = all_pods.clone();
        let mut attempt = current(&status, &update, &jobs);
        if let Some(attempt) = &mut attempt {
            attempt.complete(&update, pods, self.reports.get(&attempt.name).cloned().map(Arc::new));
        }
        let of = |object: &String| object.starts_with(&format!("{name}-a"));
        let requests = self.requests.iter().filter(|request| of(request)).map(|request| {
            let mut meta = PartialObjectMeta::default();
            meta.metadata.name = Some(request.clone());
            meta.metadata.labels =
                Some([("floe.dev/attempt".to_string(), request.rsplit("-a").next().unwrap().replace("-request", ""))].into());
            Arc::new(meta)
        });
        let reports = self.reports.iter().filter(|(report, _)| of(report)).map(|(_, report)| Arc::new(report.clone()));
        let with_graph = self.reports.values().filter(|report| report.spec.graph.is_some());
        let kept_report = with_graph.max_by_key(|report| report.creation_timestamp().map(|at| at.0)).map(ResourceExt::name_any);
        Observed {
            leftovers: Leftovers { jobs, pods: all_pods, reports: reports.collect(), requests: requests.collect(), kept_report },
            pipeline: self.pipeline.clone().map(Arc::new),
            is_pipeline_gone: self.pipeline.is_none() && belonged(&update, &status),
            updates: self.updates.values().cloned().map(Arc::new).collect(),
            attempt,
            status,
            update,
            now: self.now,
        }
    }

    /// One reconcile of one update; true if it changed anything. `dies`: the operator is killed before it writes the status.
    pub fn reconcile(&mut self, name: &str, dies: bool) -> bool {
        let seen = self.observe(name);
        let template = validate(&self.settings, &seen);
        let decision = decide(&seen, &template);
        assert_eq!(decision, decide(&seen, &template), "a decision depends on nothing else");
        let effects = plan(&seen, &decision);
        let mut changed = !effects.is_empty();
        for effect in effects {
            self.carry_out(name, effect);
        }
        let applied = self.start(&seen, &decision);
        changed |= applied.started.is_some();
        if dies {
            return changed;
        }
        let new = status(&seen, &decision, &applied);
        if new != seen.status {
            changed = true;
            self.told.extend(news(&seen, &new, &decision).into_iter().map(|news| format!("{} {}", news.reason.as_str(), news.note)));
            self.updates.get_mut(name).unwrap().status = Some(new);
        }
        changed
    }

    /// Reconciles all updates until nothing changes any more.
    pub fn settle(&mut self) {
        for _ in 0..20 {
            let names: Vec<String> = self.updates.keys().cloned().collect();
            let mut changed = false;
            for name in names {
                changed |= self.reconcile(&name, false);
            }
            if !changed {
                return;
            }
        }
        panic!("the plan after apply is not empty");
    }

    fn carry_out(&mut self, name: &str, effect: Effect) {
        match effect {
            Effect::Adopt(owner) => self.updates.get_mut(name).unwrap().metadata.owner_references = Some(vec![*owner]),
            Effect::Job(job) => {
                self.jobs.remove(&job.name_any());
            }
            Effect::Pod(pod) => {
                let pod = self.pods.get_mut(&pod.name_any()).unwrap();
                pod.metadata.deletion_timestamp = Some(Time(self.now));
                pod.metadata.deletion_grace_period_seconds = Some(5);
            }
            Effect::Request(request) => {
                self.requests.remove(&request.name_any());
            }
            Effect::Report(report) => {
                self.reports.remove(&report.name_any());
            }
        }
    }

    /// The start of an attempt, with the last look at other writers.
    fn start(&mut self, seen: &Observed, decision: &Decision) -> Applied {
        let (Decision::Start(number, template), Some(pipeline)) = (decision, &seen.pipeline) else { return Applied::default() };
        let parts = JobParts {
            settings: &self.settings,
            pipeline,
            update: &seen.update,
            number: *number,
            template: template.as_ref(),
            project: &[],
        };
        let mut made = job(&parts);
        let name = made.name_any();
        let busy = self.jobs.values().any(|job| job_end(job).is_none() && job.name_any() != name)
            || self.pods.values().any(|pod| !is_over(pod) && pod.owner_references()[0].name != name);
        if updates::writes(&seen.update) && busy {
            let waiting = Waiting::new(condition::Reason::Pending, "previous runner is stopping").in_turn();
            return Applied { held: Some(waiting), ..Applied::default() };
        }
        made.metadata.uid = Some(format!("uid-of-{name}"));
        made.metadata.creation_timestamp = Some(Time(self.now));
        self.requests.insert(request_name(&name));
        if !self.jobs.contains_key(&name) {
            self.made.push(name.clone());
        }
        let made = self.jobs.entry(name).or_insert(made).clone();
        Applied { started: Some(Box::new(made)), ..Applied::default() }
    }

    /// The Job controller and the kubelet: a pod of the batch/v1 Job runs. The n-th of it is `<job>-p<n>`.
    pub fn run(&mut self, job: &str) -> String {
        let n = self.pods.keys().filter(|name| name.starts_with(&format!("{job}-p"))).count();
        let name = format!("{job}-p{n}");
        let pod = json!({
            "metadata": {
                "namespace": "data", "name": name, "uid": format!("uid-of-{name}"), "creationTimestamp": self.now.to_string(),
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": format!("uid-of-{job}")}],
            },
            "spec": {"containers": [{"name": "runner"}], "nodeName": "node-1"},
            "status": {"phase": "Running", "containerStatuses": [{
                "name": "runner", "state": {"running": {"startedAt": self.now.to_string()}}, "image": "", "imageID": "", "ready": true, "restartCount": 0,
            }]},
        });
        self.pods.insert(name.clone(), serde_json::from_value(pod).unwrap());
        name
    }

    /// The runner in `pod` reports.
    pub fn report(&mut self, pod: &str, report: RunReportSpec) {
        let job = pod.rsplit_once("-p").unwrap().0;
        let spec = RunReportSpec {
            protocol: 1,
            pod_uid: format!("uid-of-{pod}"),
            pod_name: pod.to_string(),
            heartbeat_time: Some(Time(self.now)),
            ..report
        };
        let mut report = RunReport::new(job, spec);
        report.metadata.creation_timestamp = Some(Time(self.now));
        let update = job.rsplit_once("-a").unwrap().0;
        report.metadata.owner_references = Some(vec![owner::reference(&self.updates[update])]);
        self.reports.insert(job.to_string(), report);
    }

    /// The runner in `pod` ends with this code; its batch/v1 Job notices.
    pub fn end(&mut self, pod: &str, code: i32) {
        let now = self.now.to_string();
        let ended = json!({"phase": if code == 0 { "Succeeded" } else { "Failed" }, "containerStatuses": [{
            "name": "runner", "state": {"terminated": {"exitCode": code, "finishedAt": now, "startedAt": now}},
            "image": "", "imageID": "", "ready": false, "restartCount": 0,
        }]});
        let Some(ending) = self.pods.get_mut(pod) else { return };
        ending.status = Some(serde_json::from_value(ended).unwrap());
        let kind = if code == 0 { "Complete" } else { "Failed" };
        let status = json!({"succeeded": i32::from(code == 0), "conditions": [{
            "type": kind, "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": now,
        }]});
        if let Some(job) = self.jobs.get_mut(pod.rsplit_once("-p").unwrap().0) {
            job.status = Some(serde_json::from_value(status).unwrap());
        }
    }

    /// As `end`, with a last report that says the same.
    pub fn complete(&mut self, pod: &str, rows: i64) {
        let mut report =
            RunReportSpec { state: Some(UpdateState::Completed), result: Some(RunResult::default()), ..RunReportSpec::default() };
        report.totals.rows_written = rows;
        self.report(pod, report);
        self.end(pod, 0);
    }

    /// Pods that run, or will.
    pub fn live(&self) -> Vec<String> {
        self.pods.values().filter(|pod| !is_over(pod)).map(ResourceExt::name_any).collect()
    }
}
