//! Triggers by the clock on a real API server: what was missed, what a killed operator leaves, and what a suspended Job lets pass.

use std::time::Duration;

use floe_crds::{
    condition::ConditionType,
    job::Job,
    job_run::{JobRun, TriggerType},
    state::RunResultState,
};
use floe_e2e::{
    faults::{Fault, Proxy, Verb},
    operator::Settings,
    runs::{RunSeen, job, names, task, trigger},
    scene::Scene,
    tenant::Tenant,
    virtual_pods::VirtualPods,
};
use k8s_openapi::jiff::{SignedDuration, Timestamp, tz::TimeZone};
use kube::ResourceExt;
use serde_json::{Value, json};

/// A task that the operator does at once.
fn at_once() -> Value {
    json!([task("compare", &[], &json!({"condition": {"left": "a", "op": "EqualTo", "right": "a"}}))])
}

/// A cron expression that fires once a day, twelve hours from now: a test that takes minutes meets no instant.
struct Daily {
    cron: String,
    newest: Timestamp,
}

impl Daily {
    fn new() -> Self {
        let newest = Timestamp::now().to_zoned(TimeZone::UTC) - SignedDuration::from_hours(12);
        let newest = newest.with().minute(0).second(0).subsec_nanosecond(0).build().unwrap();
        Self { cron: format!("0 {} * * *", newest.hour()), newest: newest.timestamp() }
    }

    /// The newest `count` instants, oldest first.
    fn last(&self, count: i64) -> Vec<Timestamp> {
        (0..count).rev().map(|days| self.newest - SignedDuration::from_hours(24 * days)).collect()
    }

    fn schedule(&self, more: &Value) -> Value {
        let mut schedule = json!({"cron": self.cron});
        for (key, value) in more.as_object().into_iter().flatten() {
            schedule[key] = value.clone();
        }
        json!({"triggers": [{"name": "clock", "schedule": schedule}]})
    }
}

/// As an operator left it that was away since before `next`.
async fn announced(tenant: &Tenant, job: &str, next: Timestamp) -> anyhow::Result<()> {
    tenant.patch_status::<Job>(job, &json!({"triggers": [{"name": "clock", "nextFireTime": next.to_string()}]})).await.map(drop)
}

fn is_ahead(job: &Job) -> bool {
    trigger(job, "clock").next_fire_time.is_some_and(|next| next.0 > Timestamp::now())
}

fn instants(runs: &[JobRun]) -> Vec<Timestamp> {
    let mut instants: Vec<Timestamp> = runs.iter().filter_map(|run| Some(run.spec.trigger.time.as_ref()?.0)).collect();
    instants.sort();
    instants
}

#[tokio::test]
async fn j38_catch_up() -> anyhow::Result<()> {
    let tenant = Tenant::new("j38").await?;
    let settings = Settings::of(&tenant).await?;
    let daily = Daily::new();
    let operator = settings.start().await?;
    let jobs = [
        ("none", json!({"catchUp": "None"}), 0),
        ("latest", json!({}), 1),
        ("all", json!({"catchUp": "All"}), 3),
        ("late", json!({"catchUp": "All", "startingDeadlineSeconds": 3600}), 0),
    ];
    for (name, more, _) in &jobs {
        tenant.apply_one(&job(name, &at_once(), &daily.schedule(more))).await?;
        tenant.wait::<Job>(name, "announce its next instant", is_ahead).await?;
        assert!(tenant.runs_of(name).await?.is_empty(), "what was before the Job is not made up for");
    }
    operator.terminate().await?;
    for (name, _, _) in &jobs {
        announced(&tenant, name, daily.last(3)[0]).await?;
    }
    let _operator = settings.start().await?;
    for (name, _, count) in jobs {
        tenant.wait::<Job>(name, "announce its next instant again", is_ahead).await?;
        let runs = tenant.runs_of(name).await?;
        assert_eq!(instants(&runs), daily.last(count), "{name}");
        for run in runs {
            let instant = run.spec.trigger.time.as_ref().unwrap().0.to_zoned(TimeZone::UTC);
            assert_eq!(run.name_any(), format!("{name}-{}", instant.strftime("%Y%m%d%H%M%S")));
            assert_eq!((run.spec.trigger.trigger_type, run.spec.trigger.name.as_str()), (TriggerType::Periodic, "clock"));
            tenant.wait::<JobRun>(&run.name_any(), "its end", |run| run.result() == Some(RunResultState::Success)).await?;
        }
    }
    for name in ["none", "latest", "late"] {
        tenant.tells("Job", name, "MissedSchedules: ").await?;
    }
    Ok(())
}

/// The operator dies after runs were made and before it has written that it made them, and after it has written that.
#[tokio::test]
async fn j39_no_double_fire() -> anyhow::Result<()> {
    const JOBS: usize = 2;
    const INSTANTS: i64 = 10;
    let tenant = Tenant::new("j39").await?;
    let _pods = VirtualPods::start(&tenant);
    let proxy = Proxy::start(&tenant).await?;
    let settings = Settings::of(&tenant).await?;
    let daily = Daily::new();
    let clocks: Vec<String> = (0..JOBS).map(|number| format!("clock{number}")).collect();
    let mut spec = daily.schedule(&json!({"catchUp": "All"}));
    spec["runHistory"] = json!({"successfulLimit": 100});
    spec["maxConcurrentRuns"] = json!(100);
    let upstream: Vec<Value> = clocks.iter().map(|name| json!({"name": name})).collect();
    let follower = json!({"triggers": [{"name": "after", "jobCompletion": {"jobs": upstream}}], "runHistory": {"successfulLimit": 100}, "maxConcurrentRuns": 100});
    let operator = proxy.operator(&settings).await?;
    for name in &clocks {
        tenant.apply_one(&job(name, &at_once(), &spec)).await?;
        tenant.wait::<Job>(name, "announce its next instant", is_ahead).await?;
    }
    tenant.apply_one(&job("follower", &at_once(), &follower)).await?;
    tenant.wait::<Job>("follower", "know where it begins", |job| trigger(job, "after").cursor.len() == JOBS).await?;
    operator.terminate().await?;
    for name in &clocks {
        announced(&tenant, name, daily.last(INSTANTS)[0]).await?;
    }
    (0..4).for_each(|number| proxy.inject(Fault::on(Verb::Create, "jobruns").after(7 * number).kills()));
    (0..2).for_each(|number| proxy.inject(Fault::on(Verb::Patch, "jobs").after(2 * number).kills()));
    let mut operator = proxy.spawn(&settings)?;
    let expected = JOBS * INSTANTS as usize;
    let start = std::time::Instant::now();
    loop {
        if operator.ended()?.is_some() {
            operator = proxy.spawn(&settings)?;
        }
        let runs = tenant.list::<JobRun>().await?;
        let ended = runs.iter().filter(|run| run.is_over()).count();
        let settled = tenant.list::<Job>().await?.iter().filter(|job| job.name_any() != "follower").all(is_ahead);
        if ended >= 2 * expected && settled {
            break;
        }
        anyhow::ensure!(start.elapsed() < Duration::from_secs(400), "{ended} of {} runs have ended: {:?}", 2 * expected, names(&runs));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    proxy.heal();
    tokio::time::sleep(Duration::from_secs(2)).await;
    for name in &clocks {
        assert_eq!(instants(&tenant.runs_of(name).await?), daily.last(INSTANTS), "{name}");
    }
    let followers = tenant.runs_of("follower").await?;
    let mut of: Vec<String> = followers.iter().map(|run| run.spec.trigger.detail["upstreamRun"].clone()).collect();
    of.sort();
    of.dedup();
    assert_eq!((followers.len(), of.len()), (expected, expected), "one run for each end");
    assert!(proxy.kills().len() >= 4, "the operator was killed {} times only", proxy.kills().len());
    Ok(())
}

#[tokio::test]
async fn j40_suspend_drops_fires() -> anyhow::Result<()> {
    let scene = Scene::open("j40").await?;
    let every_ten_seconds = json!([{"name": "clock", "schedule": {"quartzCron": "0/10 * * * * ?", "catchUp": "All"}}]);
    let spec = |suspend: bool| json!({"triggers": every_ten_seconds, "suspend": suspend, "runHistory": {"successfulLimit": 100}, "maxConcurrentRuns": 10});
    scene.job("often", at_once(), spec(false)).await?;
    scene.tenant.wait_list::<JobRun>("the first run", |runs| !runs.is_empty()).await?;
    scene.job("often", at_once(), spec(true)).await?;
    let job = scene.job_says("often", ConditionType::Paused, "False", "Suspended").await?;
    assert_eq!((job.status.as_ref().unwrap().next_run_time.clone(), trigger(&job, "clock").next_fire_time), (None, None));
    let suspended = Timestamp::now();
    scene.run("by-hand", "often", json!({})).await?;
    scene.run_ends("by-hand", RunResultState::Success).await?;
    // Two instants pass.
    let last = suspended + SignedDuration::from_secs(20);
    tokio::time::sleep(Duration::try_from(last.duration_since(Timestamp::now()))?).await;
    let resumed = Timestamp::now();
    scene.job("often", at_once(), spec(false)).await?;
    let after = |runs: &[JobRun]| instants(runs).into_iter().filter(|at| *at > suspended).collect::<Vec<_>>();
    let runs = scene.tenant.wait_list::<JobRun>("a run after it was resumed", |runs| !after(runs).is_empty()).await?;
    assert!(
        after(&runs).iter().all(|at| *at >= resumed - SignedDuration::from_secs(1)),
        "{:?} between {suspended} and {resumed}",
        after(&runs)
    );
    let told = scene.tenant.events_of("Job", "often").await?;
    let count = |begin: &str| told.iter().filter(|event| event.starts_with(begin)).count();
    assert_eq!((count("Suspended: "), count("Resumed: "), count("MissedSchedules: ")), (1, 1, 0), "{told:?}");
    Ok(())
}
