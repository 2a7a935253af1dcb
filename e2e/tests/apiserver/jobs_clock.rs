//! Triggers by the clock on a real API server: what was missed, what a killed operator leaves, and what a suspended Job lets pass.

use std::{collections::BTreeMap, time::Duration};

use floe_crds::{
    condition::ConditionType,
    job::Job,
    job_run::{JobRun, TriggerType},
    state::RunResultState,
};
use floe_e2e::{
    faults::{Fault, Proxy, Verb},
    operator::{Operator, Settings},
    runs::{RunSeen, job, names, task, trigger},
    scene::Scene,
    tenant::Tenant,
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

/// An operator that dies again and again: every second life after it has told the status of a Job, the others after their first write, their second,
/// and so on.
struct Lives<'a> {
    proxy: &'a Proxy,
    settings: &'a Settings,
    operator: Operator,
    count: usize,
}

impl<'a> Lives<'a> {
    /// So many times it dies.
    const DEATHS: usize = 50;
    /// Writes of the longest life.
    const LONGEST: usize = 6;

    fn begin(proxy: &'a Proxy, settings: &'a Settings) -> anyhow::Result<Self> {
        proxy.inject(Fault::writes().kills());
        Ok(Self { proxy, settings, operator: proxy.spawn(settings)?, count: 0 })
    }

    /// Starts the next life if this one is over. The last one is spared.
    fn go_on(&mut self) -> anyhow::Result<()> {
        if self.operator.ended()?.is_none() {
            return Ok(());
        }
        self.count += 1;
        self.proxy.heal();
        if self.count < Self::DEATHS {
            let fault = match self.count % 2 {
                0 => Fault::writes().after(self.count / 2 % Self::LONGEST),
                _ => Fault::on(Verb::Patch, "jobs"),
            };
            self.proxy.inject(fault.kills());
        }
        self.operator = self.proxy.spawn(self.settings)?;
        Ok(())
    }

    /// How many lives ended after such a write.
    fn ends_after(&self, verb: Verb, resource: &str) -> usize {
        self.proxy.kills().iter().filter(|call| call.verb == verb && call.resource == resource).count()
    }
}

/// A trigger of instants that many seconds after the full ten ones.
fn every_ten_seconds(offset: usize) -> Value {
    json!({"name": format!("clock{offset}"), "schedule": {"quartzCron": format!("{offset}/10 * * * * ?"), "catchUp": "All"}})
}

/// True if all triggers know an instant after this one.
fn is_after(job: &Job, at: Timestamp) -> bool {
    let known = job.status.as_ref().map_or(&[][..], |status| &status.triggers);
    !known.is_empty() && known.iter().all(|trigger| trigger.next_fire_time.as_ref().is_some_and(|next| next.0 > at))
}

/// All runs of a Job that were ever seen, by name, with their instants.
type Seen = BTreeMap<String, Timestamp>;

fn see(seen: &mut Seen, job: &str, runs: &[JobRun]) {
    let of_job = runs.iter().filter(|run| run.spec.job_ref.name == job);
    seen.extend(of_job.filter_map(|run| Some((run.name_any(), run.spec.trigger.time.as_ref()?.0))));
}

/// The operator dies fifty times: after it made a run and before it has written so, after it has written so, and after every other write. Some
/// instants are made up for, some come while it dies, and each end of these runs is an instant of a third kind.
#[tokio::test]
async fn j39_no_double_fire() -> anyhow::Result<()> {
    const CLOCKS: [&str; 2] = ["clock0", "clock1"];
    const INSTANTS: i64 = 12;
    const EVERY: SignedDuration = SignedDuration::from_secs(2);
    let tenant = Tenant::new("j39").await?;
    let proxy = Proxy::start(&tenant).await?;
    let settings = Settings::of(&tenant).await?;
    let daily = Daily::new();
    let history = json!({"successfulLimit": 100});
    let spec = |triggers: Value| json!({"triggers": triggers, "runHistory": history, "maxConcurrentRuns": 100});
    let clock = spec(daily.schedule(&json!({"catchUp": "All"}))["triggers"].clone());
    let often = spec((0..5).map(|number| every_ten_seconds(2 * number)).collect());
    let upstream: Vec<Value> = CLOCKS.iter().map(|name| json!({"name": name})).collect();
    let follower = spec(json!([{"name": "after", "jobCompletion": {"jobs": upstream}}]));
    let operator = proxy.operator(&settings).await?;
    for name in CLOCKS {
        tenant.apply_one(&job(name, &at_once(), &clock)).await?;
        tenant.wait::<Job>(name, "announce its next instant", is_ahead).await?;
    }
    tenant.apply_one(&job("follower", &at_once(), &follower)).await?;
    tenant.wait::<Job>("follower", "know where it begins", |job| trigger(job, "after").cursor.len() == CLOCKS.len()).await?;
    operator.terminate().await?;
    for name in CLOCKS {
        announced(&tenant, name, daily.last(INSTANTS)[0]).await?;
    }
    tenant.apply_one(&job("often", &at_once(), &often)).await?;

    let mut lives = Lives::begin(&proxy, &settings)?;
    let expected = CLOCKS.len() * INSTANTS as usize;
    let (mut fired, start) = (Seen::new(), std::time::Instant::now());
    loop {
        for _ in 0..10 {
            lives.go_on()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let runs = tenant.list::<JobRun>().await?;
        see(&mut fired, "often", &runs);
        let ended = runs.iter().filter(|run| run.spec.job_ref.name != "often" && run.is_over()).count();
        if ended >= 2 * expected && lives.count >= Lives::DEATHS {
            break;
        }
        anyhow::ensure!(start.elapsed() < Duration::from_secs(400), "{ended} runs have ended in {} lives: {:?}", lives.count, names(&runs));
    }
    // What the last life still owes comes within a moment.
    let healed = Timestamp::now();
    tenant.wait::<Job>("often", "be up to date", |job| is_after(job, healed)).await?;
    for name in CLOCKS {
        tenant.wait::<Job>(name, "announce its next instant", is_ahead).await?;
        assert_eq!(instants(&tenant.runs_of(name).await?), daily.last(INSTANTS), "{name}");
    }
    let followers = tenant.runs_of("follower").await?;
    let mut of: Vec<String> = followers.iter().map(|run| run.spec.trigger.detail["upstreamRun"].clone()).collect();
    of.sort();
    of.dedup();
    assert_eq!((followers.len(), of.len()), (expected, expected), "one run for each end");
    see(&mut fired, "often", &tenant.list::<JobRun>().await?);
    let mut fired: Vec<Timestamp> = fired.into_values().collect();
    fired.sort();
    assert!(
        fired.len() > 5 && fired.windows(2).all(|pair| pair[0].duration_until(pair[1]) == EVERY),
        "one run every two seconds: {fired:?}"
    );
    let (made, told) = (lives.ends_after(Verb::Create, "jobruns"), lives.ends_after(Verb::Patch, "jobs"));
    assert_eq!((lives.count, proxy.kills().len()), (Lives::DEATHS, Lives::DEATHS), "nothing else ended it");
    assert!(made >= 5 && told >= 20, "{made} ends after a run was made, {told} after a Job was told");
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
