//! A start that cannot go well says everything that is wrong and what to do, and touches nothing.

use floe_e2e::{operator::Settings, tenant::Tenant};
use serde_json::json;

#[tokio::test]
async fn all_wrong_settings_are_told_at_once() -> anyhow::Result<()> {
    let tenant = Tenant::new("start-settings").await?;
    let mut operator =
        Settings::of(&tenant).await?.with("--api-qps", "many").with("--log-format", "xml").with("--feature-gates", "Magic=true").spawn()?;
    assert_eq!(operator.wait().await?.code(), Some(2));
    let log = operator.log();
    let told: Vec<&str> = log.lines().rev().take(3).collect();
    let expected = [
        "--feature-gates: there is no gate Magic; this version has none",
        "--log-format: 'xml' is not one of json, text",
        "--api-qps: 'many' is not a number per second from 0; 0 = no limit",
    ];
    assert_eq!(told, expected);
    Ok(())
}

#[tokio::test]
async fn missing_rights_are_listed() -> anyhow::Result<()> {
    let tenant = Tenant::new("start-rights").await?;
    let name = tenant.name.as_str();
    tenant.create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "poor"}})).await?;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "poor"}, "rules": [
        {"apiGroups": ["floe.dev", "batch", "apps", "", "rbac.authorization.k8s.io", "policy"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
    ]});
    tenant.create(&role).await?;
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "poor"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "poor"},
        "subjects": [{"kind": "ServiceAccount", "name": "poor", "namespace": name}]});
    tenant.create(&binding).await?;
    let token = tenant.server.token(name, "poor").await?;
    let mut operator = Settings::of(&tenant).await?.with_token(&token)?.with("--leader-elect", "true").spawn()?;
    assert_eq!(operator.wait().await?.code(), Some(1));
    let log = operator.log();
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap())?;
    let missing = [
        format!("patch events.events.k8s.io in namespace {name}"),
        format!("get leases.coordination.k8s.io in namespace {name}"),
        format!("create leases.coordination.k8s.io in namespace {name}"),
        format!("update leases.coordination.k8s.io in namespace {name}"),
    ];
    let expected = format!("rights are missing; grant them to the operator's service account: {}", missing.join("; "));
    assert_eq!(last["error"], expected);
    Ok(())
}
