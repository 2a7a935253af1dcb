//! Jobs and runs in a scene, and the questions that tests ask of them.

use anyhow::ensure;
use floe_crds::{
    job_run::{JobRun, JobRunStatus, TaskStatus},
    state::{RunResultState, RunState, TaskResultState},
};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::scene::Scene;

/// The account of all pods of Jobs: what the operator makes of its own is another promise.
const ACCOUNT: &str = "tasks";

/// A Job of `tasks`, with `more` fields of its spec.
pub fn job(name: &str, tasks: &Value, more: &Value) -> Value {
    let mut job = json!({"apiVersion": "floe.dev/v1alpha1", "kind": "Job", "metadata": {"name": name}, "spec": {"tasks": tasks, "taskDefaults": {"serviceAccountName": ACCOUNT}}});
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
        self.tenant.apply_one(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}})).await?;
        self.tenant.apply_one(&job(name, &tasks, &more)).await.map(drop)
    }

    /// Creates a run by hand.
    pub async fn run(&self, name: &str, job: &str, more: Value) -> anyhow::Result<()> {
        let mut run =
            json!({"apiVersion": "floe.dev/v1alpha1", "kind": "JobRun", "metadata": {"name": name}, "spec": {"jobRef": {"name": job}}});
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
