//! What the charts grant: nothing with a star, nothing without a reason, nothing in the cluster for an operator of named namespaces.

use floe_e2e::helm::{Chart, object};
use serde_json::{Value, json};

#[tokio::test]
async fn every_rule_has_a_reason_and_none_a_star() -> anyhow::Result<()> {
    let chart = Chart::packed().await?;
    let text = chart.text("crds: {enabled: false}").await?;
    let mut before = "";
    for line in text.lines() {
        let line = line.trim();
        assert!(!line.starts_with("- apiGroups:") || before.starts_with("# "), "no reason at {line}");
        before = line;
    }
    let objects = chart.objects("crds: {enabled: false}").await?;
    let rules: Vec<&Value> = objects.iter().filter_map(|object| object["rules"].as_array()).flatten().collect();
    assert_eq!(rules.len(), 27);
    for rule in &rules {
        let words = ["apiGroups", "resources", "verbs"].iter().flat_map(|list| rule[list].as_array().into_iter().flatten());
        assert!(words.clone().all(|word| word != "*"), "{rule}");
        assert!(rule["resources"].as_array().is_some_and(|resources| resources.iter().all(|resource| resource != "secrets")), "{rule}");
    }
    Ok(())
}

#[tokio::test]
async fn named_namespaces_need_no_rights_in_the_cluster() -> anyhow::Result<()> {
    let chart = Chart::packed().await?;
    let everywhere = chart.objects("crds: {enabled: false}").await?;
    let mut expected = object(&everywhere, "ClusterRole", "floe-operator")?["rules"].clone();
    // The id of the cluster is what only an operator of the whole cluster reads.
    let last = expected.as_array_mut().and_then(Vec::pop).unwrap();
    assert_eq!(last, json!({"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}));

    let objects = chart.objects("{watchNamespaces: [orders, billing], rbac: {sharedRoles: false}, crds: {enabled: false}}").await?;
    assert!(objects.iter().all(|object| !object["kind"].as_str().unwrap().starts_with("Cluster")));
    for namespace in ["orders", "billing"] {
        let here =
            |kind: &str| objects.iter().find(|object| object["kind"] == kind && object["metadata"]["namespace"] == namespace).unwrap();
        assert_eq!(here("Role")["rules"], expected, "{namespace}");
        assert_eq!(
            here("RoleBinding")["subjects"],
            json!([{"kind": "ServiceAccount", "name": "floe-operator", "namespace": "floe-system"}])
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_runner_may_write_reports_and_nothing_else() -> anyhow::Result<()> {
    let objects = Chart::packed().await?.objects("crds: {enabled: false}").await?;
    let rules = &object(&objects, "ClusterRole", "floe-runner")?["rules"];
    assert_eq!(*rules, json!([{"apiGroups": ["floe.dev"], "resources": ["runreports"], "verbs": ["create", "get", "patch"]}]));
    Ok(())
}

#[tokio::test]
async fn roles_for_people_join_the_built_in_ones_only_when_asked() -> anyhow::Result<()> {
    let chart = Chart::packed().await?;
    for (values, expected) in
        [("crds: {enabled: false}", json!("true")), ("{rbac: {aggregate: false}, crds: {enabled: false}}", Value::Null)]
    {
        let objects = chart.objects(values).await?;
        for role in ["view", "edit", "admin"] {
            let labels = &object(&objects, "ClusterRole", &format!("floe-{role}"))?["metadata"]["labels"];
            assert_eq!(labels[format!("rbac.authorization.k8s.io/aggregate-to-{role}")], expected, "{role}");
        }
    }
    Ok(())
}
