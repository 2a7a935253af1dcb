//! The Job controller's part: one pod at a time for one batch/v1 Job, another one after an eviction, and the conditions at the end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use floe_crds::{run_report::RunResult, state::FailureClass};
use jiff::Timestamp;
use k8s_openapi::{
    api::{batch::v1 as batch, core::v1 as core},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    World,
    pod::{NODE, Pod, gone_is_fine},
    runner::{Place, Requested, Runner},
    script::{End, OnStop, Script, Step, Told},
    task::Reporter,
};

/// How often a pod that a quota or a missing account forbids is tried again.
const AGAIN: Duration = Duration::from_millis(300);

/// What the watches saw of a Job and its pods.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The Job is gone or going.
    pub is_deleted: bool,
    /// `spec.suspend`.
    pub is_suspended: bool,
    /// The pods that were asked to stop, and those that are gone.
    pub stopping: Vec<String>,
    /// The pods that are no more.
    pub gone: Vec<String>,
}

/// How one pod went.
enum Went {
    /// The container ended by itself or was asked to stop: exit code, reason, termination message.
    Ended(i32, Option<&'static str>, Option<String>),
    /// It lost its node: the Job makes another one.
    Disrupted,
    /// The object was taken away without an end.
    Vanished,
    /// It took longer than the Job allows.
    TimedOut,
}

/// Plays one Job from its creation to its end.
pub struct Play {
    pub world: Arc<World>,
    pub job: batch::Job,
    pub seen: watch::Receiver<Seen>,
    pub script: Script,
}

impl Play {
    /// From the first pod to the last condition.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut seen = self.seen.clone();
        let request = tokio::select! {
            request = Runner::request(&self.world.client, &self.job) => request?,
            deleted = seen.wait_for(|seen| seen.is_deleted) => return deleted.map(drop).map_err(Into::into),
        };
        self.world.note_request(&self.job.name_any(), &request);
        let mut number = 0;
        loop {
            let begins = number == 0 || self.seen.borrow().is_suspended;
            if !self.until_admitted().await? {
                return Ok(());
            }
            number += 1;
            let Some(pod) = self.create_pod(number).await? else { return Ok(()) };
            let name = pod.name();
            let writes = request.update.as_ref().filter(|request| !request.selection.validate_only);
            self.world.writers.enter(writes, &self.job.namespace().unwrap_or_default(), &name);
            let mut active = json!({"active": 1, "ready": 0, "terminating": 0});
            if begins {
                active["startTime"] = json!(Time(Timestamp::now()));
            }
            self.status(&active).await?;
            match Box::pin(self.live(pod, request.clone())).await? {
                Went::Disrupted => self.status(&json!({"active": 0, "ready": 0})).await?,
                _ if self.seen.borrow().is_suspended => {}
                Went::Ended(0, ..) => return self.succeeded().await,
                Went::TimedOut => return self.failed("DeadlineExceeded", "Job was active longer than specified deadline").await,
                Went::Ended(..) | Went::Vanished => {
                    return self.failed("BackoffLimitExceeded", "Job has reached the specified backoff limit").await;
                }
            }
        }
    }

    /// Waits while the Job is suspended; false if it is deleted.
    async fn until_admitted(&mut self) -> anyhow::Result<bool> {
        if self.seen.borrow().is_suspended {
            let suspended =
                json!([{"type": "Suspended", "status": "True", "reason": "JobSuspended", "lastTransitionTime": Time(Timestamp::now())}]);
            self.status(&json!({"active": 0, "ready": 0, "startTime": null, "conditions": suspended})).await?;
        }
        let seen = self.seen.wait_for(|seen| seen.is_deleted || !seen.is_suspended).await?;
        Ok(!seen.is_deleted)
    }

    /// Creates the next pod, again and again while something forbids it.
    async fn create_pod(&mut self, number: usize) -> anyhow::Result<Option<Pod>> {
        let mut is_told = false;
        loop {
            match Pod::create(&self.world.client, &self.job, number).await {
                Ok(pod) => return Ok(Some(pod)),
                Err(kube::Error::Api(error)) if self.seen.borrow().is_deleted || error.message.contains("being terminated") => {
                    return Ok(None);
                }
                Err(error) if !is_told => {
                    is_told = true;
                    self.failed_create(&format!("Error creating: {error}")).await?;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = sleep(AGAIN) => {}
                seen = self.seen.wait_for(|seen| seen.is_deleted) => { seen?; return Ok(None); }
            }
        }
    }

    /// The Event by which the Job controller tells that it cannot create a pod.
    async fn failed_create(&self, message: &str) -> anyhow::Result<()> {
        let (namespace, now) = (self.job.namespace().unwrap_or_default(), Time(Timestamp::now()));
        let event = json!({
            "metadata": {"generateName": format!("{}-", self.job.name_any())},
            "involvedObject": {"apiVersion": "batch/v1", "kind": "Job", "name": self.job.name_any(), "namespace": namespace, "uid": self.job.uid()},
            "type": "Warning", "reason": "FailedCreate", "message": message, "source": {"component": "job-controller"},
            "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        });
        Api::<core::Event>::namespaced(self.world.client.clone(), &namespace)
            .create(&PostParams::default(), &serde_json::from_value(event)?)
            .await?;
        Ok(())
    }

    /// The life of one pod, up to its last status.
    async fn live(&mut self, mut pod: Pod, request: Requested) -> anyhow::Result<Went> {
        let name = pod.name();
        let deadline = self.job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
        let deadline = deadline.map(|seconds| Instant::now() + Duration::from_secs(seconds.cast_unsigned()));
        let values = self.script.values.clone();
        let mut act = Act { client: self.world.client.clone(), world: self.world.clone(), request, values, runner: None, reporter: None };
        let mut seen = self.seen.clone();
        let steps = std::mem::take(&mut self.script.steps);
        let (went, met) = tokio::select! {
            went = act.perform(&mut pod, &steps, &self.job) => went?,
            () = stop_is_asked(&mut seen, &name) => (self.stop(&mut act, &pod).await?, None),
            () = until(deadline) => {
                pod.delete().await?;
                self.stop(&mut act, &pod).await?;
                (Went::TimedOut, None)
            }
        };
        // The process is gone before anybody is told so.
        self.world.writers.leave(&name);
        // An eviction that the script tells happens once; everything else the next pod meets again.
        self.script.steps = steps.into_iter().enumerate().filter(|(number, _)| Some(*number) != met).map(|(_, step)| step).collect();
        if let Went::Disrupted = went {
            pod.disrupt().await?;
            pod.ends(FailureClass::Terminated.exit_code().into(), None, None).await?;
            return Ok(went);
        }
        if let Went::Ended(code, reason, message) = &went {
            pod.ends(*code, *reason, message.as_deref()).await?;
        }
        let Some(last) = pod.look().await? else { return Ok(Went::Vanished) };
        let is_disrupted =
            last.status.iter().flat_map(|status| status.conditions.iter().flatten()).any(|all| all.type_ == "DisruptionTarget");
        // The Job controller takes the pod of a suspended Job away.
        if last.metadata.deletion_timestamp.is_some() || matches!(went, Went::TimedOut) || self.seen.borrow().is_suspended {
            pod.remove().await?;
        }
        Ok(if is_disrupted { Went::Disrupted } else { went })
    }

    /// SIGTERM: what the runner does then, within its time.
    async fn stop(&self, act: &mut Act, pod: &Pod) -> anyhow::Result<Went> {
        if pod.look().await?.is_none() {
            return Ok(Went::Vanished);
        }
        if act.runner.is_none() && act.reporter.is_none() {
            // The container never ran: the kubelet makes an end of the pod without it.
            return Ok(Went::Ended(137, None, None));
        }
        let job = self.job.name_any();
        let obeys = async {
            match self.script.on_stop {
                OnStop::Obeys => {}
                OnStop::Holds => self.world.gate(&job).await,
                OnStop::Ignores => std::future::pending().await,
            }
            act.end(&End {
                exit_code: i32::from(FailureClass::Terminated.exit_code()),
                reason: None,
                told: Told::Report(Runner::stopped()),
            })
            .await
        };
        tokio::select! {
            went = obeys => went,
            killed = self.killed(pod) => killed.map(|()| Went::Ended(137, None, None)),
        }
    }

    /// The end of the time that a pod has after it was asked to stop. Who asks again may shorten it.
    async fn killed(&self, pod: &Pod) -> anyhow::Result<()> {
        let (begin, mut seen) = (Instant::now(), self.seen.clone());
        loop {
            let Some(last) = pod.look().await? else { return Ok(()) };
            let seconds = last.metadata.deletion_grace_period_seconds.unwrap_or_else(|| pod.grace_seconds());
            tokio::select! {
                () = sleep_until(begin + Duration::from_secs(seconds.cast_unsigned())) => return Ok(()),
                changed = seen.changed() => changed?,
            }
        }
    }

    async fn succeeded(&self) -> anyhow::Result<()> {
        let now = Time(Timestamp::now());
        let conditions =
            json!([done("SuccessCriteriaMet", "CompletionsReached", "", &now), done("Complete", "CompletionsReached", "", &now)]);
        self.status(&json!({"active": 0, "ready": 0, "terminating": 0, "succeeded": 1, "completionTime": now, "conditions": conditions}))
            .await
    }

    async fn failed(&self, reason: &str, message: &str) -> anyhow::Result<()> {
        let now = Time(Timestamp::now());
        let conditions = json!([done("FailureTarget", reason, message, &now), done("Failed", reason, message, &now)]);
        self.status(&json!({"active": 0, "ready": 0, "terminating": 0, "failed": 1, "conditions": conditions})).await
    }

    async fn status(&self, status: &Value) -> anyhow::Result<()> {
        let namespace = self.job.namespace().unwrap_or_default();
        let api = Api::<batch::Job>::namespaced(self.world.client.clone(), &namespace);
        let patch = Patch::Merge(json!({"metadata": {"uid": self.job.uid()}, "status": status}));
        match api.patch_status(&self.job.name_any(), &PatchParams::default(), &patch).await.map(drop) {
            Err(kube::Error::Api(error)) if error.is_conflict() => Ok(()),
            other => gone_is_fine(other).context("the Job's status is refused"),
        }
    }
}

/// The pod's own part: node, container, runner.
struct Act {
    client: Client,
    world: Arc<World>,
    request: Requested,
    values: BTreeMap<String, Value>,
    runner: Option<Runner>,
    reporter: Option<Reporter>,
}

impl Act {
    /// Performs the steps; the second value is the step that happens only once.
    async fn perform(&mut self, pod: &mut Pod, steps: &[Step], job: &batch::Job) -> anyhow::Result<(Went, Option<usize>)> {
        let mut is_scheduled = false;
        for (number, step) in steps.iter().enumerate() {
            if !is_scheduled && !matches!(step, Step::Unschedulable(_) | Step::Holds) {
                is_scheduled = pod.schedule().await?;
                if !is_scheduled {
                    // Its end is seen by the watch.
                    break;
                }
            }
            match step {
                Step::Unschedulable(text) => pod.unschedulable(text).await?,
                Step::Waits { reason, message, for_seconds } => pod.waits_for(reason, message, *for_seconds).await?,
                Step::Starts { seconds_ago } => self.start(pod, *seconds_ago).await?,
                Step::Reports(what) => {
                    let Some(runner) = &mut self.runner else { continue };
                    if let Some(result) = runner.tell(*what).await? {
                        let went = self.end(&End { exit_code: result.exit_code, reason: None, told: Told::Report(result) }).await?;
                        return Ok((went, None));
                    }
                }
                Step::Holds => self.world.gate(&job.name_any()).await,
                Step::Evicted => return Ok((Went::Disrupted, Some(number))),
                Step::Ends(end) => return Ok((self.end(end).await?, None)),
            }
        }
        // What the script does not say does not happen.
        std::future::pending().await
    }

    async fn start(&mut self, pod: &mut Pod, seconds_ago: i64) -> anyhow::Result<()> {
        pod.runs_since(seconds_ago).await?;
        self.world.note_start(&pod.name());
        let place = Place { pod_name: pod.name(), pod_uid: pod.object.uid().unwrap_or_default(), node: NODE.to_string() };
        if let Some(request) = self.request.task.clone() {
            self.reporter = Some(Reporter::new(&self.client, request, place));
        } else if let Some(request) = self.request.update.clone() {
            self.runner = Some(Runner::new(&self.client, &self.world.lake, request, place).await?);
        }
        Ok(())
    }

    async fn end(&mut self, end: &End) -> anyhow::Result<Went> {
        if let Some(reporter) = &self.reporter {
            let result = match &end.told {
                Told::Nothing => RunResult { exit_code: end.exit_code, ..RunResult::default() },
                Told::Message(result) | Told::Report(result) => result.clone(),
            };
            reporter.report(&self.values, &result).await?;
            let said = result.message.is_some().then(|| serde_json::to_string(&result)).transpose()?;
            return Ok(Went::Ended(end.exit_code, end.reason, said));
        }
        let message = match (&mut self.runner, &end.told) {
            (Some(runner), told) => runner.end(told).await?,
            // A clean-up writes no report.
            (None, Told::Message(result)) => Some(serde_json::to_string(result)?),
            (None, _) => None,
        };
        Ok(Went::Ended(end.exit_code, end.reason, message))
    }
}

/// Ready when the pod must stop: it is asked to, its Job is suspended, or it is gone.
async fn stop_is_asked(seen: &mut watch::Receiver<Seen>, pod: &str) {
    let must_stop = |seen: &Seen| seen.is_suspended || seen.stopping.iter().chain(&seen.gone).any(|name| name == pod);
    if seen.wait_for(must_stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn done(kind: &str, reason: &str, message: &str, now: &Time) -> Value {
    json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now, "lastProbeTime": now})
}
