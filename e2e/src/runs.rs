//! Jobs and runs in a scene, and the questions that tests ask of them.

use anyhow::ensure;
use floe_crds::{
    API_VERSION,
    condition::ConditionType,
    job::{Job, TriggerStatus},
    job_run::{JobRun, JobRunStatus, TaskStatus},
    request::{Owner, PROTOCOL},
    run_report::{ReportKind, RunReport, RunReportSpec, apply_body},
    state::{RunResultState, RunState, TaskResultState},
};
use k8s_openapi::api::events::v1::Event;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{scene::Scene, seen::Conditions, tenant::Tenant};

/// A Job of `tasks`, with `more` fields of its spec.
pub fn job(name: &str, tasks: &Value, more: &Value) -> Value {
    let mut job = json!({"apiVersion": API_VERSION, "kind": "Job", "metadata": {"name": name}, "spec": {"tasks": tasks}});
    for (key, value) in more.as_object().into_iter().flatten() {
        job["spec"][key] = value.clone();
    }
    job
}

/// A container task.
pub fn task(name: &str, before: &[&str], more: &Value) -> Value {
    let depends: Vec<Value> = before.iter().map(|task| json!({"task": task})).collect();
    let mut task = json!({"name": name, "dependsOn": depends, "container": {"image": "busybox:1.37"}});
    for (key, value) in more.as_object().into_iter().flatten() {
        task[key] = value.clone();
        if ["pipeline", "sql", "condition", "forEach", "runJob"].contains(&key.as_str()) {
            task.as_object_mut().map(|task| task.remove("container"));
        }
    }
    task
}

/// What the status of a Job keeps of one trigger; one that it does not know is as none that a test expects.
pub fn trigger(job: &Job, name: &str) -> TriggerStatus {
    let mut known = job.status.iter().flat_map(|status| &status.triggers);
    known.find(|trigger| trigger.name == name).cloned().unwrap_or_default()
}

/// What tests ask of a namespace with Jobs.
impl Tenant {
    /// The runs of a Job, by name.
    pub async fn runs_of(&self, job: &str) -> anyhow::Result<Vec<JobRun>> {
        let mut runs = self.list::<JobRun>().await?;
        runs.retain(|run| run.spec.job_ref.name == job);
        Ok(runs)
    }

    /// Waits until a Job has so many runs; more are an error.
    pub async fn has_runs(&self, job: &str, count: usize) -> anyhow::Result<Vec<JobRun>> {
        let of_job = |runs: &[JobRun]| runs.iter().filter(|run| run.spec.job_ref.name == job).count();
        self.wait_list::<JobRun>(&format!("{count} runs of {job}"), |runs| of_job(runs) >= count).await?;
        let runs = self.runs_of(job).await?;
        ensure!(runs.len() == count, "{job} should have {count} runs, it has {:?}", names(&runs));
        Ok(runs)
    }

    /// The Events of an object, as `Reason: note`, oldest first.
    pub async fn events_of(&self, kind: &str, name: &str) -> anyhow::Result<Vec<String>> {
        let mut events = self.list::<Event>().await?;
        events.sort_by_key(|event| event.event_time.as_ref().map(|at| at.0));
        let is_of = |event: &Event| {
            let regarding = event.regarding.as_ref();
            regarding.is_some_and(|object| object.kind.as_deref() == Some(kind) && object.name.as_deref() == Some(name))
        };
        let text = |event: &Event| format!("{}: {}", event.reason.clone().unwrap_or_default(), event.note.clone().unwrap_or_default());
        Ok(events.iter().filter(|event| is_of(event)).map(text).collect())
    }

    /// Waits for an Event of an object that begins like this.
    pub async fn tells(&self, kind: &str, name: &str, begin: &str) -> anyhow::Result<String> {
        let start = std::time::Instant::now();
        loop {
            let events = self.events_of(kind, name).await?;
            if let Some(found) = events.iter().find(|event| event.starts_with(begin)) {
                return Ok(found.clone());
            }
            ensure!(start.elapsed() < self.patience, "no Event {begin} of {kind} {name}; there are {events:?}");
            tokio::time::sleep(self.poll).await;
        }
    }

    /// Reports what the watcher of a Job sees, as its pod does: trigger → what is new.
    pub async fn watcher_reports(&self, job: &str, watch: Value) -> anyhow::Result<()> {
        let uid = self.get::<Job>(job).await?.uid().unwrap_or_default();
        let name = format!("{job}-watch");
        let report = RunReportSpec {
            protocol: PROTOCOL,
            kind: ReportKind::Watch,
            pod_uid: "played".to_string(),
            pod_name: format!("{name}-0"),
            runner_version: "0.1.0".to_string(),
            watch: serde_json::from_value(watch)?,
            ..RunReportSpec::default()
        };
        let owner = Owner { kind: "Job".to_string(), name: job.to_string(), uid };
        let body = apply_body(&name, &owner, &report);
        self.api::<RunReport>().patch(&name, &PatchParams::apply("floe-runner").force(), &Patch::Apply(&body)).await?;
        Ok(())
    }
}

/// Names of runs.
pub fn names(runs: &[JobRun]) -> Vec<String> {
    runs.iter().map(ResourceExt::name_any).collect()
}

/// What tests ask of a run.
pub trait RunSeen {
    /// Its status; the default before there is one.
    fn seen(&self) -> JobRunStatus;

    /// Where it is.
    fn state(&self) -> Option<RunState> {
        self.seen().state
    }

    /// How it ended.
    fn result(&self) -> Option<RunResultState> {
        self.seen().result_state
    }

    /// One task; one that is not there is as none that a test expects.
    fn task(&self, name: &str) -> TaskStatus {
        let none = json!({"name": "no such task", "kind": "container", "state": "BLOCKED"});
        let found = self.seen().tasks.into_iter().find(|task| task.name == name);
        found.or_else(|| serde_json::from_value(none).ok()).unwrap_or_else(|| unreachable!("the task above is one"))
    }

    /// All tasks with result, or state if there is none.
    fn tasks(&self) -> String {
        let word = |task: &TaskStatus| task.result_state.map_or(task.state.as_str(), TaskResultState::as_str);
        self.seen().tasks.iter().map(|task| format!("{} {}", task.name, word(task))).collect::<Vec<_>>().join(", ")
    }

    /// True if nothing comes after.
    fn is_over(&self) -> bool {
        self.state().is_some_and(RunState::is_terminal)
    }
}

impl RunSeen for JobRun {
    fn seen(&self) -> JobRunStatus {
        self.status.clone().unwrap_or_default()
    }
}

impl Scene {
    /// Applies a Job.
    pub async fn job(&self, name: &str, tasks: Value, more: Value) -> anyhow::Result<()> {
        self.tenant.apply_one(&job(name, &tasks, &more)).await.map(drop)
    }

    /// Creates a run by hand.
    pub async fn run(&self, name: &str, job: &str, more: Value) -> anyhow::Result<()> {
        let mut run = json!({"apiVersion": API_VERSION, "kind": "JobRun", "metadata": {"name": name}, "spec": {"jobRef": {"name": job}}});
        for (key, value) in more.as_object().into_iter().flatten() {
            run["spec"][key] = value.clone();
        }
        self.tenant.create(&run).await.map(drop)
    }

    /// Waits for the end of a run, which must be `wanted`.
    pub async fn run_ends(&self, run: &str, wanted: RunResultState) -> anyhow::Result<JobRun> {
        let run = self.tenant.wait::<JobRun>(run, "its end", RunSeen::is_over).await?;
        ensure!(
            run.result() == Some(wanted),
            "{} should be {wanted}; its status is\n{}",
            run.name_any(),
            serde_yaml::to_string(&run.status)?
        );
        Ok(run)
    }

    /// Waits until a Job is as wanted.
    pub async fn job_is(&self, job: &str, what: &str, wanted: impl Fn(&Job) -> bool) -> anyhow::Result<Job> {
        self.tenant.wait::<Job>(job, what, wanted).await
    }

    /// Waits until the Job's condition has this status and reason for its newest generation.
    pub async fn job_says(&self, job: &str, kind: ConditionType, status: &str, reason: &str) -> anyhow::Result<Job> {
        let wanted = |job: &Job| job.observed_generation() == job.metadata.generation && job.said(kind) == (status, reason);
        self.job_is(job, &format!("{kind}={status} because of {reason}"), wanted).await
    }

    /// Waits until a run is as wanted.
    pub async fn run_is(&self, run: &str, what: &str, wanted: impl Fn(&JobRun) -> bool) -> anyhow::Result<JobRun> {
        self.tenant.wait::<JobRun>(run, what, wanted).await
    }

    /// Asks for the repair of a run and waits for its end.
    pub async fn repair(&self, run: &str, repair: Value, wanted: RunResultState) -> anyhow::Result<JobRun> {
        let id = repair["id"].as_i64().unwrap_or_default();
        // A merge patch leaves what it does not name: the repair before may have said other things.
        let mut asked = json!({"tasks": null, "allFailed": false, "dependents": false, "parameters": null});
        for (key, value) in repair.as_object().into_iter().flatten() {
            asked[key] = value.clone();
        }
        self.tenant.patch::<JobRun>(run, &json!({"spec": {"cancel": "None", "repair": asked}})).await?;
        let is_done = |run: &JobRun| i64::from(run.seen().repair_count) == id && run.is_over();
        let run = self.tenant.wait::<JobRun>(run, "the end of its repair", is_done).await?;
        ensure!(
            run.result() == Some(wanted),
            "{} should be {wanted}; its status is\n{}",
            run.name_any(),
            serde_yaml::to_string(&run.status)?
        );
        Ok(run)
    }
}
