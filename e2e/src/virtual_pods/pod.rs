//! The kubelet's part: one pod object and its way through its phases.

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{batch::v1 as batch, core::v1 as core},
    apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

/// The node of all virtual pods; there is no such object, and nothing asks for it.
pub const NODE: &str = "virtual";

/// A pod object that the test moves.
pub struct Pod {
    api: Api<core::Pod>,
    /// The pod as it was created.
    pub object: core::Pod,
    started: Option<Timestamp>,
}

impl Pod {
    /// Creates the pod that the Job controller would create.
    pub async fn create(client: &Client, job: &batch::Job, number: usize) -> kube::Result<Self> {
        let namespace = job.namespace().unwrap_or_default();
        let api = Api::<core::Pod>::namespaced(client.clone(), &namespace);
        let template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let metadata = template.metadata.unwrap_or_default();
        let owner = OwnerReference { controller: Some(true), block_owner_deletion: Some(true), ..job.owner_ref(&()).unwrap_or_default() };
        let object = core::Pod {
            metadata: ObjectMeta {
                name: Some(format!("{}-{number}", job.name_any())),
                labels: metadata.labels,
                annotations: metadata.annotations,
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            },
            spec: template.spec,
            status: None,
        };
        let object = api.create(&PostParams::default(), &object).await?;
        Ok(Self { api, object, started: None })
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.object.name_any()
    }

    /// Seconds between the request to stop and the end.
    pub fn grace_seconds(&self) -> i64 {
        self.object.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30)
    }

    /// No node takes it.
    pub async fn unschedulable(&self, text: &str) -> anyhow::Result<()> {
        self.status(
            &json!({"phase": "Pending", "conditions": [condition("PodScheduled", "False", "Unschedulable", text, Timestamp::now())]}),
        )
        .await
    }

    /// A node takes it; its containers are being made. False if it was deleted before: such a pod is gone at once.
    pub async fn schedule(&self) -> anyhow::Result<bool> {
        let bound = self.object.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        if !bound {
            let binding =
                json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": self.name()}, "target": {"kind": "Node", "name": NODE}});
            let request = http::Request::post(format!("{}/{}/binding", self.api.resource_url(), self.name()))
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(serde_json::to_vec(&binding)?)?;
            match self.api.clone().into_client().request_text(request).await {
                Err(kube::Error::Api(error)) if error.is_not_found() || error.is_conflict() => return Ok(false),
                other => other.context("the pod cannot be bound")?,
            };
        }
        self.waits("ContainerCreating", "", Timestamp::now()).await?;
        Ok(true)
    }

    /// Its container cannot start, for so many seconds already.
    pub async fn waits_for(&self, reason: &str, message: &str, seconds: i64) -> anyhow::Result<()> {
        self.waits(reason, message, Timestamp::now() - SignedDuration::from_secs(seconds)).await
    }

    async fn waits(&self, reason: &str, message: &str, since: Timestamp) -> anyhow::Result<()> {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        let conditions = json!([
            condition("PodScheduled", "True", "", "", since),
            condition("Initialized", "True", "", "", since),
            condition("ContainersReady", "False", "ContainersNotReady", "containers with unready status: [runner]", since),
            condition("Ready", "False", "ContainersNotReady", "containers with unready status: [runner]", since),
        ]);
        let containers = self.containers(&state, false);
        self.status(&json!({"phase": "Pending", "startTime": since, "conditions": conditions, "containerStatuses": containers})).await
    }

    /// Its container runs, since so many seconds.
    pub async fn runs_since(&mut self, seconds: i64) -> anyhow::Result<()> {
        let now = Timestamp::now() - SignedDuration::from_secs(seconds);
        self.started = Some(now);
        let conditions = json!([condition("ContainersReady", "True", "", "", now), condition("Ready", "True", "", "", now)]);
        let containers = self.containers(&json!({"running": {"startedAt": now}}), true);
        self.status(&json!({"phase": "Running", "startTime": now, "conditions": conditions, "containerStatuses": containers})).await
    }

    /// The pod is told to leave its node, by what the node's pressure or a drain would write.
    pub async fn disrupt(&self) -> anyhow::Result<()> {
        let why = condition("DisruptionTarget", "True", "EvictionByEvictionAPI", "Eviction API: evicting", Timestamp::now());
        self.status(&json!({"conditions": [why]})).await
    }

    /// Its container ended.
    pub async fn ends(&self, exit_code: i32, reason: Option<&str>, message: Option<&str>) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let otherwise = if exit_code == 0 { "Completed" } else { "Error" };
        let mut ended = json!({"exitCode": exit_code, "reason": reason.unwrap_or(otherwise), "startedAt": self.started.unwrap_or(now), "finishedAt": now});
        if let Some(message) = message {
            ended["message"] = message.into();
        }
        let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
        let conditions =
            json!([condition("ContainersReady", "False", "PodFailed", "", now), condition("Ready", "False", "PodFailed", "", now)]);
        let containers = self.containers(&json!({"terminated": ended}), false);
        self.status(&json!({"phase": phase, "conditions": conditions, "containerStatuses": containers})).await
    }

    /// The pod as it is now; none if it is gone, or if another one has its name.
    pub async fn look(&self) -> anyhow::Result<Option<core::Pod>> {
        let found = self.api.get_opt(&self.name()).await?;
        Ok(found.filter(|pod| pod.uid() == self.object.uid()))
    }

    /// Takes the object away, as the kubelet does at the end of a pod that was deleted.
    pub async fn remove(&self) -> anyhow::Result<()> {
        gone_is_fine(self.api.delete(&self.name(), &DeleteParams::default().grace_period(0)).await.map(drop))
    }

    /// Asks it to stop.
    pub async fn delete(&self) -> anyhow::Result<()> {
        gone_is_fine(self.api.delete(&self.name(), &DeleteParams::default()).await.map(drop))
    }

    fn containers(&self, state: &Value, ready: bool) -> Vec<Value> {
        let containers = self.object.spec.iter().flat_map(|spec| &spec.containers);
        let status = |container: &core::Container| {
            let image = container.image.clone().unwrap_or_default();
            json!({"name": container.name, "image": image, "imageID": image, "ready": ready, "started": ready, "restartCount": 0, "state": state})
        };
        containers.map(status).collect()
    }

    async fn status(&self, status: &Value) -> anyhow::Result<()> {
        let patch = Patch::Strategic(json!({"metadata": {"uid": self.object.uid()}, "status": status}));
        match self.api.patch_status(&self.name(), &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(error)) if error.is_not_found() || error.is_conflict() => Ok(()),
            other => other.map(drop).context("the pod's status is refused"),
        }
    }
}

fn condition(kind: &str, status: &str, reason: &str, message: &str, since: Timestamp) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": Time(since)})
}

/// Someone else may have deleted it first.
pub fn gone_is_fine(result: kube::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(kube::Error::Api(error)) if error.is_not_found() => Ok(()),
        other => Ok(other?),
    }
}
