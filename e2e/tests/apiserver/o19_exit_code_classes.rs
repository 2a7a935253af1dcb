//! How a runner ends decides what follows: nothing, another attempt, or the end of the update with its reason.

use floe_crds::{
    condition::ConditionType::Succeeded,
    pipeline_update::{AttemptClass, PipelineUpdate},
    state::UpdateState,
};
use floe_e2e::{
    objects::pipeline,
    operator::Settings,
    scene::Scene,
    seen::{Conditions, has_ended, state},
    tenant::Tenant,
    virtual_pods::Script,
};
use serde_json::json;

/// Exit code, and then: state, attempts, class of the last attempt, reason. Every attempt ends with that code and leaves no report.
const ENDS: &[(i32, UpdateState, usize, AttemptClass, &str)] = &[
    (0, UpdateState::Completed, 1, AttemptClass::Success, "UpdateCompleted"),
    (10, UpdateState::Failed, 1, AttemptClass::User, "UpdateFailed"),
    (11, UpdateState::Failed, 1, AttemptClass::Expectation, "ExpectationFailed"),
    (12, UpdateState::Failed, 1, AttemptClass::Storage, "StorageAccess"),
    (20, UpdateState::Failed, 3, AttemptClass::Transient, "TransientErrors"),
    (1, UpdateState::Failed, 2, AttemptClass::Unknown, "UpdateFailed"),
    (137, UpdateState::Failed, 2, AttemptClass::Unknown, "UpdateFailed"),
    (139, UpdateState::Failed, 2, AttemptClass::Unknown, "UpdateFailed"),
];

#[tokio::test]
async fn o19_exit_code_classes() -> anyhow::Result<()> {
    let tenant = Tenant::new("o19").await?;
    let settings = Settings::of(&tenant).await?;
    let scene = Scene::of(tenant, &settings).await?;
    for (code, ..) in ENDS {
        for attempt in 1..=4 {
            scene.pods.attempt(&format!("code{code}-u1-a{attempt}"), Script::new().exits(*code));
        }
        let spec = json!({"retryPolicy": {"maxUpdateRetries": 2}});
        scene.tenant.apply_one(&pipeline(&format!("code{code}"), spec)).await?;
    }
    for (code, wanted, attempts, class, reason) in ENDS {
        let update = scene.tenant.wait::<PipelineUpdate>(&format!("code{code}-u1"), "its end", has_ended).await?;
        let status = update.status.as_ref().unwrap();
        let last = status.attempts.last().unwrap();
        assert_eq!((state(&update), status.attempts.len(), last.class), (Some(*wanted), *attempts, Some(*class)), "exit code {code}");
        assert_eq!((last.exit_code, update.said(Succeeded).1), (Some(*code), *reason), "exit code {code}");
    }
    let labels = [("pipeline", "code10"), ("result", "failed")];
    assert_eq!(scene.operator.metric("floe_updates_total", &labels).await?, Some(1.0));
    Ok(())
}

/// Stopped from outside, an attempt is followed by another one that is not counted.
#[tokio::test]
async fn an_interrupted_attempt_is_not_counted() -> anyhow::Result<()> {
    let scene = Scene::open("o19-interrupted").await?;
    for attempt in 1..=3 {
        scene.pods.attempt(&format!("shop-u1-a{attempt}"), Script::new().exits(143));
    }
    scene.pipeline("shop", json!({"retryPolicy": {"maxUpdateRetries": 0}})).await?;
    let update = scene.ends("shop-u1", UpdateState::Completed).await?;
    let classes: Vec<_> = update.status.unwrap().attempts.iter().map(|attempt| attempt.class.unwrap()).collect();
    assert_eq!(classes, [AttemptClass::Interrupted, AttemptClass::Interrupted, AttemptClass::Interrupted, AttemptClass::Success]);
    Ok(())
}
