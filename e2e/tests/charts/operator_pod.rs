//! The pod of the operator: restricted, one at a time without a leader, and told only what its program knows.

use std::collections::BTreeSet;

use floe_e2e::{
    helm::{Chart, object},
    operator,
};
use serde_json::{Value, json};

const FULL: &str = include_str!("../../../charts/floe/ci/full.yaml");

#[tokio::test]
async fn the_pod_is_restricted() -> anyhow::Result<()> {
    let objects = Chart::packed().await?.objects("crds: {enabled: false}").await?;
    let pod = &object(&objects, "Deployment", "floe-operator")?["spec"]["template"]["spec"];
    let expected = json!({"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}});
    assert_eq!(pod["securityContext"], expected);
    let expected = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}});
    assert_eq!(pod["containers"][0]["securityContext"], expected);
    Ok(())
}

#[tokio::test]
async fn without_a_leader_the_old_pod_goes_first() -> anyhow::Result<()> {
    let chart = Chart::packed().await?;
    for (values, expected) in [("leaderElection: {enabled: false}", json!({"type": "Recreate"})), ("{}", Value::Null)] {
        let objects = chart.objects(values).await?;
        assert_eq!(object(&objects, "Deployment", "floe-operator")?["spec"]["strategy"], expected);
    }
    Ok(())
}

#[tokio::test]
async fn the_program_knows_every_setting_of_the_chart() -> anyhow::Result<()> {
    let help = operator::help().await?;
    // By words: long lines of the help are broken anywhere.
    let known: BTreeSet<&str> = help.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).collect();
    let objects = Chart::packed().await?.objects(FULL).await?;
    let environment = &object(&objects, "Deployment", "floe-operator")?["spec"]["template"]["spec"]["containers"][0]["env"];
    let names: Vec<&str> = environment.as_array().unwrap().iter().filter_map(|variable| variable["name"].as_str()).collect();
    let unknown: Vec<&&str> = names.iter().filter(|name| name.starts_with("FLOE_") && !known.contains(**name)).collect();
    assert!(unknown.is_empty() && names.len() > 20, "{unknown:?} of {names:?}");
    Ok(())
}

#[tokio::test]
async fn what_all_runners_share_is_handed_to_the_program() -> anyhow::Result<()> {
    let objects = Chart::packed().await?.objects(FULL).await?;
    let container = &object(&objects, "Deployment", "floe-operator")?["spec"]["template"]["spec"]["containers"][0];
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    assert_eq!(container["image"], format!("registry.example.com/floe-operator@{digest}"));
    let value =
        |name: &str| container["env"].as_array().unwrap().iter().find(|variable| variable["name"] == name).unwrap()["value"].clone();
    assert_eq!(value("FLOE_RUNNER_IMAGE"), "registry.example.com/floe:0.1.0-debug");
    assert_eq!(value("FLOE_RUNNER_ENV"), r#"[{"name":"HTTPS_PROXY","value":"http://proxy:3128"}]"#);
    assert_eq!(value("FLOE_RUNNER_RESOURCES"), r#"{"requests":{"cpu":"1"}}"#);
    assert_eq!(value("FLOE_RUNNER_POD_TEMPLATE"), "/etc/floe/pod-template.yaml");

    let template = object(&objects, "ConfigMap", "floe-operator-runner")?["data"]["pod-template.yaml"].as_str().unwrap();
    let template: Value = serde_yaml::from_str(template)?;
    assert_eq!(template["spec"]["nodeSelector"], json!({"pool": "data"}));
    Ok(())
}
