//! The example of the repository in a namespace of a test.

use std::path::Path;

use anyhow::Context;
use floe_crds::{
    condition, condition::ConditionType, pipeline::Pipeline, pipeline_update::PipelineUpdate, state::UpdateState, table::Table,
};
use floe_e2e::{
    cluster::{kubectl, query},
    objects::merge,
    tenant::{Tenant, documents},
};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{ResourceExt, api::LogParams};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

pub const NAME: &str = "bookstore";
pub const CLAIM: &str = "bookstore-lake";
/// Two cores run two pipelines at once and no more.
const AT_ONCE: u32 = 2;
static PLACES: Semaphore = Semaphore::const_new(AT_ONCE as usize);

/// A bookstore in its namespace.
pub struct Bookstore {
    pub tenant: Tenant,
    _place: SemaphorePermit<'static>,
}

impl Bookstore {
    /// A namespace with nothing in it yet, while no other test runs: for one that changes the installation.
    pub async fn alone(prefix: &str) -> anyhow::Result<Self> {
        let places = PLACES.acquire_many(AT_ONCE).await?;
        Ok(Self { tenant: Tenant::in_cluster(prefix).await?, _place: places })
    }

    /// A namespace with nothing in it yet.
    pub async fn empty(prefix: &str) -> anyhow::Result<Self> {
        let place = PLACES.acquire().await?;
        Ok(Self { tenant: Tenant::in_cluster(prefix).await?, _place: place })
    }

    /// Applies the example with runners that come upon `places`.
    pub async fn open_with(prefix: &str, places: &str) -> anyhow::Result<Self> {
        let shop = Self::empty(prefix).await?;
        shop.apply_with(places, json!({})).await?;
        Ok(shop)
    }

    /// Applies the example with runners that come upon `places`; `changes` are merged over the spec of its Pipeline.
    pub async fn apply_with(&self, places: &str, changes: Value) -> anyhow::Result<()> {
        self.tenant.apply_one(&failpoints(places)).await?;
        self.tenant.apply_one(&hold()).await?;
        let mut spec = holding();
        merge(&mut spec, changes);
        self.apply(spec).await
    }

    /// Lands one more message.
    pub async fn land(&self) -> anyhow::Result<()> {
        let record =
            json!({"key": "MQ==", "value": "e30=", "topic": "orders", "partition": 9, "offset": 1, "timestamp": 1_704_202_560_000_i64});
        let landed = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bookstore-landed"},
            "data": {"batch-0001.json": format!("{record}\n")}});
        self.tenant.apply_one(&landed).await.map(drop)
    }

    /// Applies the example; `changes` are merged over the spec of its Pipeline.
    pub async fn open(prefix: &str, changes: Value) -> anyhow::Result<Self> {
        let shop = Self::empty(prefix).await?;
        shop.apply(changes).await?;
        Ok(shop)
    }

    /// Applies the example again.
    pub async fn apply(&self, changes: Value) -> anyhow::Result<()> {
        let text = kubectl(&self.tenant, &["kustomize", &folder()], None).await?;
        for mut object in documents(&text)? {
            if object["kind"] == "Pipeline" {
                merge(&mut object["spec"], changes.clone());
            }
            self.tenant.apply_one(&object).await?;
        }
        Ok(())
    }

    /// Waits for the end of the update `number`.
    pub async fn ended(&self, number: u32) -> anyhow::Result<PipelineUpdate> {
        let is_over = |update: &PipelineUpdate| state(update).is_some_and(UpdateState::is_terminal);
        self.tenant.wait(&format!("{NAME}-u{number}"), "its end", is_over).await
    }

    /// Waits until a runner stands at the place where it is held.
    pub async fn held(&self, update: &str) -> anyhow::Result<Pod> {
        let running = |update: &PipelineUpdate| state(update) == Some(UpdateState::Running);
        self.tenant.wait(update, "RUNNING", running).await?;
        // The runner may tell of itself before the kubelet does.
        let alive = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        let pods = self.tenant.wait_list::<Pod>("a running pod", |pods| pods.iter().any(alive)).await?;
        pods.into_iter().find(alive).context("no pod runs")
    }

    /// Lets held runners go on, and those that come.
    pub async fn release(&self) -> anyhow::Result<()> {
        self.tenant.delete::<ConfigMap>("hold").await
    }

    /// Waits until a condition of the Pipeline is so.
    pub async fn condition(&self, kind: ConditionType, status: &str, reason: &str) -> anyhow::Result<String> {
        let found = |pipeline: &Pipeline| {
            let conditions = pipeline.status.as_ref()?.conditions.clone();
            let condition = condition::find(&conditions, kind)?.clone();
            let is_new = condition.observed_generation == pipeline.metadata.generation;
            (is_new && condition.status == status && condition.reason == reason).then_some(condition.message)
        };
        let what = format!("{kind}={status} {reason}");
        let pipeline = self.tenant.wait::<Pipeline>(NAME, &what, |pipeline| found(pipeline).is_some()).await?;
        Ok(found(&pipeline).unwrap_or_default())
    }

    /// Rows of each table by the name of its dataset, as the Table objects say.
    pub async fn shown(&self) -> anyhow::Result<Vec<(String, Option<i64>, Option<i64>)>> {
        let short = |name: &str| name.rsplit('.').next().unwrap_or_default().to_string();
        let row = |table: Table| {
            let status = table.status.clone().unwrap_or_default();
            (short(&status.full_name.unwrap_or_else(|| table.name_any())), status.rows, status.version)
        };
        let counted = |table: &Table| table.status.as_ref().is_some_and(|status| status.rows.is_some());
        let all = |tables: &[Table]| !tables.is_empty() && tables.iter().all(counted);
        let mut rows: Vec<_> = self.tenant.wait_list::<Table>("rows in every table", all).await?.into_iter().map(row).collect();
        rows.sort();
        Ok(rows)
    }

    /// Rows and different messages of the first table, read from the volume.
    pub async fn bronze(&self) -> anyhow::Result<(i64, i64)> {
        let sql = "SELECT count(*) AS n, count(DISTINCT concat(topic, '/', `partition`, '/', offset)) AS d FROM bronze";
        let rows = query(&self.tenant, CLAIM, sql).await?;
        Ok((rows[0]["n"].as_i64().unwrap(), rows[0]["d"].as_i64().unwrap()))
    }
}

/// How a runner ended that no operator started.
#[derive(Debug)]
pub struct Ended {
    pub exit_code: i32,
    pub message: String,
    pub log: String,
}

/// Runs a request in a pod like that of the attempt, with empty storage, and without the operator or a way to the API.
pub async fn replay(tenant: &Tenant, attempt: &str, request: &str) -> anyhow::Result<Ended> {
    let name = "replay";
    tenant
        .apply_one(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"request.json": request}}))
        .await?;
    let job: Job = tenant.get(attempt).await?;
    let mut spec = serde_json::to_value(job.spec.and_then(|spec| spec.template.spec))?;
    spec["serviceAccountName"] = json!("default");
    for volume in spec["volumes"].as_array_mut().into_iter().flatten() {
        let own = volume["name"].as_str().unwrap_or_default().to_string();
        match own.as_str() {
            "request" => *volume = json!({"name": own, "configMap": {"name": name}}),
            "lake" | "token" => *volume = json!({"name": own, "emptyDir": {}}),
            _ => {}
        }
    }
    tenant.create(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})).await?;
    let ended = |pod: &Pod| {
        let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()?.terminated.clone()?;
        Some((status.exit_code, status.message.unwrap_or_default()))
    };
    let pod = tenant.wait::<Pod>(name, "its end", |pod| ended(pod).is_some()).await?;
    let log = tenant.api::<Pod>().logs(name, &LogParams::default()).await?;
    let (exit_code, message) = ended(&pod).unwrap_or_default();
    Ok(Ended { exit_code, message, log })
}

/// The project of the example.
pub fn folder() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/bookstore").display().to_string()
}

pub fn state(update: &PipelineUpdate) -> Option<UpdateState> {
    update.status.as_ref()?.state
}

/// What makes the runner of a Pipeline stand still at `place` while the ConfigMap `hold` is there. The places are those of the runner's own
/// tests; names with this prefix are refused in `env`, so they come by another way.
pub fn holding() -> Value {
    json!({"runner": {
        "envFrom": [{"configMapRef": {"name": "failpoints"}}],
        "podTemplate": {"spec": {
            "containers": [{
                "name": "runner",
                "volumeMounts": [{"name": "lake", "mountPath": "/lake"}, {"name": "hold", "mountPath": "/hold"}],
            }],
            "volumes": [
                {"name": "lake", "persistentVolumeClaim": {"claimName": CLAIM}},
                {"name": "hold", "configMap": {"name": "hold", "optional": true}},
            ],
        }},
    }})
}

/// The ConfigMap at which runners are held.
pub fn hold() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hold"}, "data": {"hold": ""}})
}

/// What happens at a place of the runner.
pub fn failpoints(text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "failpoints"}, "data": {"FLOE_FAILPOINTS": text}})
}
