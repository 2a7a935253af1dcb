//! What stories tell. A Pipeline is applied, its update meets a passing error and completes in a second attempt; its definition changes, which starts a
//! second update; the first one leaves the history; the Pipeline is deleted with its data. A Job runs six tasks: a retry, a condition, a loop, a run
//! of another Job, and one that fails with what comes after it; a repair mends that; the Jobs are deleted with their runs.

use floe_crds::{
    job::Job,
    job_run::JobRun,
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    state::{FailureClass, RunResultState, UpdateState},
};
use floe_e2e::{
    objects::{SQL, inline, pipeline},
    runs::RunSeen,
    seen::state,
    tenant::Tenant,
    virtual_pods::{Script, VirtualPods},
};
use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::story::Ends;

type Chapter = fn(&Tenant) -> BoxFuture<'_, anyhow::Result<()>>;

/// What happens in a story, and how it ends if nothing disturbs it.
pub struct Plot {
    /// Names the telling that nothing disturbs.
    pub name: &'static str,
    /// What pods do.
    pub pods: fn(&VirtualPods),
    /// After each everything comes to rest.
    pub chapters: [Chapter; 2],
    pub ends: OnceCell<Ends>,
}

/// The life of a Pipeline.
pub static PIPELINE: Plot = Plot::new("undisturbed", runners, [|tenant| updates(tenant).boxed(), |tenant| delete(tenant).boxed()]);

/// The life of a Job.
pub static JOB: Plot = Plot::new("undisturbed-job", tasks, [|tenant| run_and_repair(tenant).boxed(), |tenant| delete_jobs(tenant).boxed()]);

impl Plot {
    const fn new(name: &'static str, pods: fn(&VirtualPods), chapters: [Chapter; 2]) -> Self {
        Self { name, pods, chapters, ends: OnceCell::const_new() }
    }
}

/// The definition that takes the place of the first one: one dataset stays, one goes, one comes.
const CHANGED_SQL: &str = "CREATE STREAMING TABLE orders AS SELECT * FROM STREAM read_files('/data/orders');\n\
                           CREATE MATERIALIZED VIEW weekly AS SELECT week, count(*) AS n FROM orders GROUP BY week;\n";
/// Signs of life of each runner: reports that can get lost.
const HEARTBEATS: usize = 3;

fn runners(pods: &VirtualPods) {
    pods.every(Script::new().works(HEARTBEATS).completes());
    pods.attempt("shop-u1-a1", Script::new().works(HEARTBEATS).fails(FailureClass::Transient, "STORAGE_UNAVAILABLE", "503 Slow Down"));
}

async fn updates(tenant: &Tenant) -> anyhow::Result<()> {
    let spec = |sql: &str| {
        let history = json!({"successfulLimit": 1, "failedLimit": 1});
        pipeline("shop", json!({"deletionPolicy": "Delete", "updateHistory": history, "libraries": [inline(sql)]}))
    };
    let completed = |update: &PipelineUpdate| state(update) == Some(UpdateState::Completed);
    tenant.apply_one(&spec(SQL)).await?;
    tenant.wait::<PipelineUpdate>("shop-u1", "COMPLETED", completed).await?;
    tenant.apply_one(&spec(CHANGED_SQL)).await?;
    tenant.wait::<PipelineUpdate>("shop-u2", "COMPLETED", completed).await?;
    tenant.wait_gone::<PipelineUpdate>("shop-u1").await
}

async fn delete(tenant: &Tenant) -> anyhow::Result<()> {
    tenant.delete::<Pipeline>("shop").await?;
    tenant.wait_gone::<Pipeline>("shop").await
}

fn tasks(pods: &VirtualPods) {
    pods.attempt("r-a-1", Script::new().fails(FailureClass::Transient, "STORAGE_UNAVAILABLE", "503 Slow Down"));
    pods.attempt("r-a-2", Script::new().leaves("n", json!(1)).completes());
    pods.attempt("r-e-1", Script::new().fails(FailureClass::User, "SOME_ERROR", "said no"));
}

async fn run_and_repair(tenant: &Tenant) -> anyhow::Result<()> {
    let job = |name: &str, tasks: Value| json!({"apiVersion": "floe.dev/v1alpha1", "kind": "Job", "metadata": {"name": name}, "spec": {"tasks": tasks}});
    let container = json!({"image": "busybox:1.37", "args": ["{{job.run_id}}"]});
    tenant.apply_one(&job("other", json!([{"name": "only", "container": container}]))).await?;
    let tasks = json!([
        {"name": "a", "container": container, "retry": {"maxRetries": 1}},
        {"name": "b", "dependsOn": [{"task": "a"}], "condition": {"left": "{{tasks.a.values.n}}", "op": "GreaterThan", "right": "0"}},
        {"name": "c", "dependsOn": [{"task": "b", "outcome": "true"}], "forEach": {"inputs": "[1, 2]", "task": {"name": "each", "container": container}}},
        {"name": "d", "dependsOn": [{"task": "b", "outcome": "true"}], "runJob": {"name": "other"}},
        {"name": "e", "dependsOn": [{"task": "c"}, {"task": "d"}], "container": container},
        {"name": "f", "dependsOn": [{"task": "e"}], "container": container},
    ]);
    tenant.apply_one(&job("work", tasks)).await?;
    let run = json!({"apiVersion": "floe.dev/v1alpha1", "kind": "JobRun", "metadata": {"name": "r"}, "spec": {"jobRef": {"name": "work"}}});
    tenant.create(&run).await?;
    tenant.wait::<JobRun>("r", "its end", RunSeen::is_over).await?;
    tenant.patch::<JobRun>("r", &json!({"spec": {"repair": {"id": 1, "allFailed": true}}})).await?;
    tenant.wait::<JobRun>("r", "the end of its repair", |run| run.result() == Some(RunResultState::Success)).await.map(drop)
}

async fn delete_jobs(tenant: &Tenant) -> anyhow::Result<()> {
    for name in ["work", "other"] {
        tenant.delete::<Job>(name).await?;
        tenant.wait_gone::<Job>(name).await?;
    }
    tenant.wait_list::<JobRun>("no run", <[JobRun]>::is_empty).await.map(drop)
}

/// What is left of a Pipeline is what a person expects.
#[tokio::test]
async fn undisturbed_end() -> anyhow::Result<()> {
    let ends = PIPELINE.undisturbed().await?;
    let expected = [
        "ConfigMap/shop-u2-a1-request",
        "Job/shop-u2-a1",
        "Pipeline/shop",
        "PipelineUpdate/shop-u2",
        "RoleBinding/floe-shop",
        "RunReport/shop-u2-a1",
        "ServiceAccount/floe-shop",
        "Table/shop-daily",
        "Table/shop-orders",
        "Table/shop-weekly",
    ];
    assert_eq!(ends.names(0), expected);
    assert_eq!(ends.names(1), ["ConfigMap/shop-cleanup-<id>-request", "Job/shop-cleanup-<id>"]);
    Ok(())
}
