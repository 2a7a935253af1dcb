//! Pods that are played do on a real API server what real ones do: a Job goes through its states, makes one more pod after an eviction only, ends its pod
//! when it is deleted, and two pods that write one root are noticed.

use floe_crds::{
    pipeline::PipelineSpec,
    pipeline_update::{PipelineUpdate, UpdateType},
    request::{Owner, PROTOCOL, ReportTarget, RequestedPipeline, RequestedUpdate, UpdateRequest},
    run_report::RunReport,
    state::{Cause, FailureClass, FlowState, UpdateState},
    update::UpdateSelection,
};
use floe_e2e::{
    objects::{SQL, inline, update},
    tenant::Tenant,
    virtual_pods::{ROWS, Script, VirtualPods},
};
use k8s_openapi::{
    api::{batch::v1 as batch, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};
use kube::{ResourceExt, api::EvictParams};
use serde_json::json;

/// What the operator would ask for.
fn request(tenant: &Tenant, owner: &PipelineUpdate, attempt: &str, sql: &str) -> UpdateRequest {
    let spec: PipelineSpec = serde_json::from_value(json!({"storage": {"uri": "s3://lake/shop"}, "libraries": [inline(sql)]})).unwrap();
    UpdateRequest {
        api_version: floe_crds::API_VERSION.to_string(),
        kind: "UpdateRequest".to_string(),
        protocol: PROTOCOL,
        operator_version: "0.1.0".to_string(),
        update: RequestedUpdate {
            name: owner.name_any(),
            id: owner.uid().unwrap(),
            update_type: UpdateType::Update,
            cause: Cause::ApiCall,
            request_id: String::new(),
            attempt: 1,
            created_at: Time(Timestamp::now()),
            state_times: std::collections::BTreeMap::new(),
        },
        pipeline: RequestedPipeline { name: "shop".to_string(), namespace: tenant.name.clone(), uid: "u".to_string(), generation: 1, spec },
        tables: Vec::new(),
        selection: UpdateSelection::default(),
        parameters: Vec::new(),
        completed_flows: Vec::new(),
        removed_tables: Vec::new(),
        project: "/floe/project".to_string(),
        scratch: "/floe/scratch".to_string(),
        report: Some(ReportTarget {
            namespace: tenant.name.clone(),
            name: attempt.to_string(),
            owner: Owner { kind: "PipelineUpdate".to_string(), name: owner.name_any(), uid: owner.uid().unwrap() },
        }),
        grace_period_seconds: 60,
        cluster_id: String::new(),
        run_as: "default".to_string(),
    }
}

/// Makes request and Job of an attempt, as the operator would.
async fn ask(tenant: &Tenant, attempt: &str, sql: &str) -> anyhow::Result<()> {
    let owner: PipelineUpdate =
        serde_json::from_value(serde_json::to_value(tenant.create(&update(&format!("{attempt}-of"), "shop", json!({}))).await?)?)?;
    let text = serde_json::to_string(&request(tenant, &owner, attempt, sql))?;
    let labels = json!({"app.kubernetes.io/managed-by": "floe-operator"});
    tenant
        .create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("{attempt}-request")}, "data": {"request.json": text}}))
        .await?;
    let pod = json!({
        "restartPolicy": "Never", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 60,
        "containers": [{"name": "runner", "image": "floe:test"}],
        "volumes": [{"name": "request", "configMap": {"name": format!("{attempt}-request")}}],
    });
    let ignore = json!({"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]});
    tenant
        .create(&json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": attempt, "labels": labels},
            "spec": {"backoffLimit": 0, "podReplacementPolicy": "Failed", "podFailurePolicy": ignore,
                "template": {"metadata": {"labels": labels}, "spec": pod}},
        }))
        .await?;
    Ok(())
}

async fn tenant(name: &str) -> anyhow::Result<Tenant> {
    let tenant = Tenant::new(name).await?;
    // Made by a controller that is not here.
    tenant.create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})).await?;
    Ok(tenant)
}

fn ended(job: &batch::Job, kind: &str) -> bool {
    job.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == kind && condition.status == "True")
}

fn exit_code(pod: &Pod) -> Option<i32> {
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    Some(container.state.as_ref()?.terminated.as_ref()?.exit_code)
}

#[tokio::test]
async fn an_attempt_that_completes() -> anyhow::Result<()> {
    let tenant = tenant("pods-complete").await?;
    let pods = VirtualPods::start(&tenant);
    ask(&tenant, "shop-u1-a1", SQL).await?;
    let job = tenant.wait::<batch::Job>("shop-u1-a1", "its end", |job| ended(job, "Complete")).await?;
    assert_eq!(job.status.unwrap().succeeded, Some(1));
    let pod = tenant.list::<Pod>().await?.remove(0);
    assert_eq!((pod.name_any().as_str(), exit_code(&pod)), ("shop-u1-a1-1", Some(0)));
    let report = tenant.get::<RunReport>("shop-u1-a1").await?.spec;
    assert_eq!((report.state, report.pod_uid.as_str()), (Some(UpdateState::Completed), pod.uid().unwrap().as_str()));
    assert_eq!(report.totals.rows_written, 2 * ROWS);
    assert_eq!(report.graph.unwrap().counts.datasets, 2);
    assert_eq!(
        report.tables.iter().map(|table| table.full_name.as_str()).collect::<Vec<_>>(),
        ["main.default.orders", "main.default.daily"]
    );
    assert_eq!(pods.lake().tables("s3://lake/shop")["main.default.orders"].rows, ROWS);
    assert_eq!(pods.live(), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_failure_and_a_mistake_in_the_definition() -> anyhow::Result<()> {
    let tenant = tenant("pods-fail").await?;
    let pods = VirtualPods::start(&tenant);
    pods.attempt("shop-u1-a1", Script::new().fails(FailureClass::Transient, "STORAGE_UNAVAILABLE", "503"));
    ask(&tenant, "shop-u1-a1", SQL).await?;
    let job = tenant.wait::<batch::Job>("shop-u1-a1", "its end", |job| ended(job, "Failed")).await?;
    assert_eq!(job.status.unwrap().failed, Some(1));
    let report = tenant.get::<RunReport>("shop-u1-a1").await?.spec;
    assert_eq!(report.result.as_ref().unwrap().flow.as_deref(), Some("main.default.orders"));
    assert_eq!(report.flows.iter().map(|flow| flow.state).collect::<Vec<_>>(), [FlowState::Failed, FlowState::Skipped]);

    ask(&tenant, "shop-u2-a1", "-- no table\nCREATE MATERIALIZED VIEW daily AS SELECT * FROM nowhere;").await?;
    tenant.wait::<batch::Job>("shop-u2-a1", "its end", |job| ended(job, "Failed")).await?;
    let report = tenant.get::<RunReport>("shop-u2-a1").await?.spec;
    let result = report.result.unwrap();
    assert_eq!((result.exit_code, result.origin.as_deref()), (10, Some("shop.sql:2:49")));
    assert!(!report.graph.unwrap().valid);
    Ok(())
}

#[tokio::test]
async fn an_eviction_makes_one_more_pod_and_a_deleted_job_stops_its_own() -> anyhow::Result<()> {
    let tenant = tenant("pods-stop").await?;
    let pods = VirtualPods::start(&tenant);
    pods.attempt("shop-u1-a1", Script::new().runs().holds().completes());
    ask(&tenant, "shop-u1-a1", SQL).await?;
    pods.wait_started("shop-u1-a1").await?;
    tenant.api::<Pod>().evict("shop-u1-a1-1", &EvictParams::default()).await?;
    tenant.wait::<Pod>("shop-u1-a1-2", "run", |pod| pod.status.as_ref().unwrap().phase.as_deref() == Some("Running")).await?;
    tenant.wait_gone::<Pod>("shop-u1-a1-1").await?;
    pods.release("shop-u1-a1");
    tenant.wait::<batch::Job>("shop-u1-a1", "its end", |job| ended(job, "Complete")).await?;
    assert_eq!(pods.started(), ["shop-u1-a1-1", "shop-u1-a1-2"]);

    pods.attempt("shop-u2-a1", Script::new().runs().holds().completes().stops_slowly());
    ask(&tenant, "shop-u2-a1", SQL).await?;
    pods.wait_started("shop-u2-a1").await?;
    tenant.api::<batch::Job>().delete("shop-u2-a1", &kube::api::DeleteParams::background()).await?;
    tenant.wait::<Pod>("shop-u2-a1-1", "stop", |pod| pod.metadata.deletion_timestamp.is_some()).await?;
    assert_eq!(pods.live(), ["shop-u2-a1-1"]);
    pods.release("shop-u2-a1");
    tenant.wait_gone::<Pod>("shop-u2-a1-1").await?;
    assert_eq!(tenant.get::<RunReport>("shop-u2-a1").await?.spec.result.unwrap().exit_code, 143);
    Ok(())
}

#[tokio::test]
async fn two_writers_of_one_root_are_noticed() -> anyhow::Result<()> {
    let tenant = tenant("pods-writers").await?;
    let pods = VirtualPods::start(&tenant);
    pods.every(Script::new().runs().holds());
    ask(&tenant, "shop-u1-a1", SQL).await?;
    pods.wait_started("shop-u1-a1").await?;
    pods.verdict()?;
    ask(&tenant, "shop-u2-a1", SQL).await?;
    pods.wait_started("shop-u2-a1").await?;
    let error = pods.verdict().unwrap_err().to_string();
    assert!(error.contains("shop-u2-a1-1 came while shop-u1-a1-1 lived: both write s3://lake/shop"), "{error}");
    std::mem::forget(pods);
    Ok(())
}
