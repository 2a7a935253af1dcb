//! Every right of the operator is one that it uses, and it asks for nothing else. The log of the API server is the witness.

use std::{collections::BTreeSet, time::Instant};

use anyhow::ensure;
use floe_crds::{
    condition::ConditionType::Active,
    job_run::JobRun,
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    run_report::RunReport,
    state::{
        RunResultState,
        UpdateState::{Canceled, Completed, Running},
    },
    table::Table,
};
use floe_e2e::{
    audit,
    objects::inline,
    operator::Settings,
    rights::{OPERATOR, granted, rules},
    runs::task,
    scene::Scene,
    seen::Conditions,
    tenant::Tenant,
    virtual_pods::Script,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1 as batch,
    core::v1::{ConfigMap, Pod},
    policy::v1::PodDisruptionBudget,
    rbac::v1::{ClusterRoleBinding, RoleBinding},
};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};

/// Rights that the API server asks about while it admits a request for something else: no log shows them. The second test does.
const NOT_LOGGED: [&str; 5] = [
    "bind clusterroles.rbac.authorization.k8s.io",
    "update pipelines/finalizers.floe.dev",
    "update pipelineupdates/finalizers.floe.dev",
    "update jobs/finalizers.floe.dev",
    "update jobruns/finalizers.floe.dev",
];

fn rules_of_the_operator() -> anyhow::Result<BTreeSet<String>> {
    let mut all = granted(&rules("ClusterRole", OPERATOR)?);
    all.extend(granted(&rules("Role", "floe-operator-leader")?));
    Ok(all)
}

/// An operator that looks after all namespaces, with the rights of the plain install.
async fn operator_of_the_cluster(tenant: &Tenant) -> anyhow::Result<Settings> {
    let settings = Settings::of(tenant).await?.with("--watch-namespaces", "").with("--leader-elect", "true");
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": tenant.name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": OPERATOR},
        "subjects": [{"kind": "ServiceAccount", "name": OPERATOR, "namespace": tenant.name}],
    });
    let bindings = Api::<ClusterRoleBinding>::all(tenant.client.clone());
    bindings.create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
    // The API server hears of a binding a moment after it has stored it.
    let token = tenant.server.token(&tenant.name, OPERATOR).await?;
    let pipelines = Api::<Pipeline>::all(tenant.server.client_with(&token).await?);
    let start = Instant::now();
    while let Err(error) = pipelines.list_metadata(&ListParams::default().limit(1)).await {
        ensure!(start.elapsed() < tenant.patience, "the operator may not list Pipelines: {error}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(settings)
}

#[tokio::test]
async fn o50_rbac_is_minimal() -> anyhow::Result<()> {
    let tenant = Tenant::new("o50").await?;
    let settings = operator_of_the_cluster(&tenant).await?;
    let scene = Scene::of(tenant, &settings).await?;
    // Here no pod is ever made, so the operator looks for the reason.
    let empty = Tenant::new("o50-empty").await?;
    empty.apply_one(&floe_e2e::objects::pipeline("unplayed", json!({}))).await?;

    a_definition_that_changes(&scene).await?;
    a_continuous_pipeline(&scene).await?;
    attempts_that_end_otherwise(&scene).await?;
    jobs(&scene).await?;

    let user = format!("system:serviceaccount:{}:{OPERATOR}", scene.tenant.name);
    let granted = rules_of_the_operator()?;
    let start = Instant::now();
    let requests = loop {
        let requests = audit::requests(scene.tenant.server, &user)?.unwrap();
        let used = audit::used(&requests);
        let unused: Vec<&String> = granted.iter().filter(|right| !used.contains(*right) && !NOT_LOGGED.contains(&right.as_str())).collect();
        if unused.is_empty() {
            break requests;
        }
        ensure!(start.elapsed() < scene.tenant.patience, "granted and not used: {unused:?}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    let refused: Vec<_> = requests.iter().filter(|request| !request.is_allowed).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    // What any account may do: to ask for its own rights.
    let anyones = ["create selfsubjectaccessreviews.authorization.k8s.io".to_string()];
    let more: Vec<String> =
        audit::used(&requests).into_iter().filter(|right| !granted.contains(right) && !anyones.contains(right)).collect();
    assert_eq!(more, Vec::<String>::new());
    Ok(())
}

/// Updates one after another, Tables that are edited, removed with their data, and a history that is cut.
async fn a_definition_that_changes(scene: &Scene) -> anyhow::Result<()> {
    let tenant = &scene.tenant;
    let sql = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sql"}, "data": {"none.sql": "-- nothing"}});
    tenant.apply_one(&sql).await?;
    let spec = |more: Value| {
        let mut spec = json!({"source": {"configMaps": [{"name": "sql"}]}, "deletionPolicy": "Delete"});
        floe_e2e::objects::merge(&mut spec, more);
        spec
    };
    scene.pipeline("shop", spec(json!({}))).await?;
    scene.ends("shop-u1", Completed).await?;
    let table = tenant.wait::<Table>("shop-daily", "be there", |_| true).await?;
    let query = table.spec.query.clone();
    tenant.patch::<Table>("shop-daily", &json!({"spec": {"query": "SELECT 1 AS other"}})).await?;
    tenant.wait::<Table>("shop-daily", "its own query again", |table| table.spec.query == query).await?;
    tenant.annotate::<Table>("shop-daily", "floe.dev/reconcile-requested-at", "now").await?;

    let less = spec(json!({"libraries": [inline("CREATE STREAMING TABLE orders AS SELECT 1 AS n;")]}));
    scene.pipeline("shop", less.clone()).await?;
    scene.ends("shop-u2", Completed).await?;
    // That a dataset is gone is known when its update has ended; the next one removes its data, and the object goes with them.
    tenant.wait::<Table>("shop-daily", "be removed", |table| table.said(Active) == ("False", "RemovedFromSource")).await?;
    scene.update("again", "shop", json!({})).await?;
    scene.ends("again", Completed).await?;
    tenant.wait_gone::<Table>("shop-daily").await?;

    // An hour later.
    let long_ago = k8s_openapi::jiff::Timestamp::now() - k8s_openapi::jiff::SignedDuration::from_mins(61);
    let mut attempts = serde_json::to_value(tenant.get::<PipelineUpdate>("shop-u1").await?.status.unwrap().attempts)?;
    attempts[0]["endTime"] = json!(long_ago);
    tenant.patch_status::<PipelineUpdate>("shop-u1", &json!({"endTime": long_ago, "attempts": attempts})).await?;
    tenant.wait_gone::<batch::Job>("shop-u1-a1").await?;
    tenant.wait_gone::<ConfigMap>("shop-u1-a1-request").await?;
    tenant.wait_gone::<RunReport>("shop-u1-a1").await?;
    let mut short = less;
    floe_e2e::objects::merge(&mut short, json!({"updateHistory": {"successfulLimit": 1, "failedLimit": 1}}));
    scene.pipeline("shop", short).await?;
    tenant.wait_gone::<PipelineUpdate>("shop-u1").await?;
    tenant.delete::<Pipeline>("shop").await?;
    tenant.wait_gone::<Pipeline>("shop").await
}

/// Its disruption budget comes and goes; a new definition takes the place of the old one.
async fn a_continuous_pipeline(scene: &Scene) -> anyhow::Result<()> {
    scene.pods.every(Script::new().runs().holds());
    let spec = |budget: bool| json!({"mode": "Continuous", "runner": {"podDisruptionBudget": budget}});
    scene.pipeline("stream", spec(true)).await?;
    scene.comes_to("stream-u1", Running).await?;
    scene.tenant.wait::<PodDisruptionBudget>("stream-runner", "be there", |_| true).await?;
    scene.pipeline("stream", spec(false)).await?;
    scene.tenant.wait_gone::<PodDisruptionBudget>("stream-runner").await?;

    // A new definition is validated by a pod of its own, which completes.
    scene.pods.attempt("stream-u2-a1", Script::new().completes());
    let mut changed = spec(false);
    changed["libraries"] = json!([inline("CREATE STREAMING TABLE clicks AS SELECT 1 AS n;")]);
    scene.pipeline("stream", changed).await?;
    scene.ends("stream-u1", Canceled).await.map(drop)
}

/// One that is stopped at once, and one whose batch Job someone takes away.
async fn attempts_that_end_otherwise(scene: &Scene) -> anyhow::Result<()> {
    scene.pods.attempt("now-u1-a1", Script::new().runs().holds().ignores_sigterm());
    scene.pipeline("now", json!({})).await?;
    scene.comes_to("now-u1", Running).await?;
    scene.tenant.patch::<PipelineUpdate>("now-u1", &json!({"spec": {"cancel": "Immediate"}})).await?;
    scene.ends("now-u1", Canceled).await?;

    scene.pods.attempt("lost-u1-a2", Script::new().completes());
    scene.pipeline("lost", json!({})).await?;
    scene.comes_to("lost-u1", Running).await?;
    scene.tenant.delete::<batch::Job>("lost-u1-a1").await?;
    scene.tenant.api::<Pod>().delete_collection(&kube::api::DeleteParams::default().grace_period(0), &pods_of("lost")).await?;
    scene.ends("lost-u1", Completed).await.map(drop)
}

/// A run that makes other things than pods, a history that is cut, and a watcher that comes and goes.
async fn jobs(scene: &Scene) -> anyhow::Result<()> {
    let tenant = &scene.tenant;
    scene.pods.every(Script::new().completes());
    let text = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "texts"}, "data": {"a.sql": "SELECT 1"}});
    tenant.apply_one(&text).await?;
    scene.job("inner", json!([task("deep", &[], &json!({}))]), json!({})).await?;
    let tasks = json!([
        task("call", &[], &json!({"runJob": {"name": "inner"}})),
        task("query", &[], &json!({"sql": {"configMapRef": {"name": "texts", "key": "a.sql"}}})),
    ]);
    let keep = |limit: i32| json!({"runHistory": {"successfulLimit": limit}});
    scene.job("outer", tasks.clone(), keep(3)).await?;
    for run in ["first", "second"] {
        scene.run(run, "outer", json!({})).await?;
        scene.run_ends(run, RunResultState::Success).await?;
    }
    // Someone else has the name of a child: who it is, is read.
    scene.run("taken-call-1", "inner", json!({})).await?;
    scene.run("taken", "outer", json!({})).await?;
    scene.job("outer", tasks, keep(1)).await?;
    tenant.wait_gone::<JobRun>("first").await?;

    let files = json!({"triggers": [{"name": "landing", "fileArrival": {"uri": "s3://lake/landing"}}]});
    scene.job("files", json!([task("a", &[], &json!({}))]), files).await?;
    tenant.wait::<Deployment>("files-watch", "be there", |_| true).await?;
    scene.job("files", json!([task("a", &[], &json!({}))]), json!({})).await?;
    tenant.wait_gone::<Deployment>("files-watch").await
}

fn pods_of(pipeline: &str) -> kube::api::ListParams {
    kube::api::ListParams::default().labels(&format!("floe.dev/pipeline={pipeline}"))
}

/// The objects that the operator makes are refused to an account that has all of its rights but this one.
#[tokio::test]
async fn o50_rights_that_no_log_shows_are_needed() -> anyhow::Result<()> {
    // An operator of its own would work against that of the other test: the objects are made by hand, as it makes them.
    let tenant = Tenant::new("o50-not-logged").await?;
    let suspended = floe_e2e::objects::pipeline("idle", json!({"suspend": true}));
    let pipeline = tenant.apply_one(&suspended).await?;
    let update = tenant.create(&floe_e2e::objects::update("idle-u1", "idle", json!({}))).await?;
    let owned_by = |kind: &str, name: &str, uid: &Option<String>| json!([{"apiVersion": floe_crds::API_VERSION, "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true}]);
    let config_map = |owners: Value| -> anyhow::Result<ConfigMap> {
        Ok(serde_json::from_value(json!({"metadata": {"name": "owned", "ownerReferences": owners}}))?)
    };
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "runner"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "floe-runner"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": tenant.name}],
    }))?;
    let of_job = config_map(owned_by("Job", "idle", &pipeline.metadata.uid))?;
    let of_run = config_map(owned_by("JobRun", "idle-r", &pipeline.metadata.uid))?;
    let of_pipeline = config_map(owned_by("Pipeline", "idle", &pipeline.metadata.uid))?;
    let of_update = config_map(owned_by("PipelineUpdate", "idle-u1", &update.metadata.uid))?;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let whole = account(&tenant, "").await?;
    for missing in NOT_LOGGED {
        let less = account(&tenant, missing).await?;
        let mut answers = Vec::new();
        for client in [less, whole.clone()] {
            let answer = match missing {
                "update pipelines/finalizers.floe.dev" => Api::namespaced(client, &tenant.name).create(&dry, &of_pipeline).await.map(drop),
                "update pipelineupdates/finalizers.floe.dev" => {
                    Api::namespaced(client, &tenant.name).create(&dry, &of_update).await.map(drop)
                }
                "update jobs/finalizers.floe.dev" => Api::namespaced(client, &tenant.name).create(&dry, &of_job).await.map(drop),
                "update jobruns/finalizers.floe.dev" => Api::namespaced(client, &tenant.name).create(&dry, &of_run).await.map(drop),
                _ => Api::namespaced(client, &tenant.name).create(&dry, &binding).await.map(drop),
            };
            answers.push(match answer {
                Ok(()) => 201,
                Err(kube::Error::Api(status)) => status.code,
                Err(error) => return Err(error.into()),
            });
        }
        assert_eq!(answers, [403, 201], "without and with the right to {missing}");
    }
    Ok(())
}

/// A client with the rights of the operator but for one.
async fn account(tenant: &Tenant, missing: &str) -> anyhow::Result<kube::Client> {
    let name = if missing.is_empty() { "whole".to_string() } else { missing.replace([' ', '/'], "-") };
    let mut rules = rules("ClusterRole", OPERATOR)?;
    // Rights in a namespace have no names of things outside of it.
    rules.retain(|rule| !rule.resources.iter().flatten().any(|resource| resource == "namespaces"));
    let mut single = Vec::new();
    for rule in rules {
        for resource in rule.resources.clone().unwrap_or_default() {
            let mut one = rule.clone();
            one.resources = Some(vec![resource]);
            single.push(one);
        }
    }
    single.retain(|rule| !granted(std::slice::from_ref(rule)).contains(missing));
    tenant.apply_one(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})).await?;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": single});
    tenant.apply_one(&role).await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": tenant.name}],
    });
    tenant.apply_one(&binding).await?;
    let token = tenant.server.token(&tenant.name, &name).await?;
    let client = tenant.server.client_with(&token).await?;
    // A new role counts when the API server's own cache has it.
    let plain: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "plain"}}))?;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let start = Instant::now();
    while let Err(error) = Api::namespaced(client.clone(), &tenant.name).create(&dry, &plain).await {
        ensure!(start.elapsed() < tenant.patience, "{name} gets no rights: {error}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(client)
}
