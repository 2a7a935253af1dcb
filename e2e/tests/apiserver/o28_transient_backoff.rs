//! Passing errors are tried again at growing intervals, and the next time is not forgotten when the operator restarts.

use floe_crds::{
    pipeline_update::{AttemptClass, PipelineUpdate},
    state::{FailureClass, UpdateState},
};
use floe_e2e::{
    objects::pipeline,
    operator::Settings,
    scene::Scene,
    tenant::Tenant,
    virtual_pods::{Script, VirtualPods},
};
use serde_json::json;

#[tokio::test]
async fn o28_transient_backoff() -> anyhow::Result<()> {
    let tenant = Tenant::new("o28").await?;
    let settings = Settings::of(&tenant).await?;
    let pods = VirtualPods::start(&tenant);
    for attempt in 1..=4 {
        pods.attempt(&format!("shop-u1-a{attempt}"), Script::new().fails(FailureClass::Transient, "STORAGE_UNAVAILABLE", "503 Slow Down"));
    }
    let operator = settings.start().await?;
    tenant.apply_one(&pipeline("shop", json!({"retryPolicy": {"minBackoffSeconds": 1, "maxBackoffSeconds": 60}}))).await?;
    let waits = |update: &PipelineUpdate| {
        let attempts = update.status.as_ref().map_or(&[][..], |status| status.attempts.as_slice());
        attempts.len() == 3 && attempts[2].next_attempt_time.is_some()
    };
    let before = tenant.wait::<PipelineUpdate>("shop-u1", "wait for the fourth attempt", waits).await?.status.unwrap();
    operator.kill().await?;
    let operator = settings.start().await?;
    let scene = Scene { tenant, pods, operator };
    let after = scene.ends("shop-u1", UpdateState::Completed).await?.status.unwrap();
    assert_eq!((after.attempt, after.attempts.len()), (Some(5), 5));
    assert_eq!(after.attempts[2].next_attempt_time, before.attempts[2].next_attempt_time, "the time that was said stays");

    let waited: Vec<f64> = after
        .attempts
        .windows(2)
        .map(|pair| {
            let (end, next) = (pair[0].end_time.as_ref().unwrap().0, pair[1].start_time.as_ref().unwrap().0);
            assert!(next >= pair[0].next_attempt_time.as_ref().unwrap().0, "no attempt starts before its time");
            next.duration_since(end).as_secs_f64()
        })
        .collect();
    for (number, least) in [0.8, 1.6, 3.2, 6.4].iter().enumerate() {
        // The end of a container is known in whole seconds.
        assert!(waited[number] > least - 1.0, "waited {waited:?}");
    }
    let classes: Vec<_> = after.attempts.iter().map(|attempt| attempt.class.unwrap()).collect();
    assert_eq!(classes[..4], [AttemptClass::Transient; 4]);
    Ok(())
}
