//! Values that would not work are refused, with the reason.

use floe_e2e::helm::Chart;

#[tokio::test]
async fn values_that_nothing_reads_are_refused() -> anyhow::Result<()> {
    let chart = Chart::packed().await?;
    for (values, place) in [
        ("replica: 2", "replica"),
        ("image: {repo: a}", "repo"),
        ("limits: {maxPods: 1}", "maxPods"),
        ("crds: {keeps: true}", "keeps"),
        ("runner: {podTemplate: {containers: []}}", "containers"),
    ] {
        let error = chart.text(values).await.unwrap_err().to_string();
        assert!(error.contains(place) && error.contains("not allowed"), "{values}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn two_replicas_need_a_leader() -> anyhow::Result<()> {
    let error = Chart::packed().await?.text("{replicas: 2, leaderElection: {enabled: false}}").await.unwrap_err().to_string();
    assert!(error.contains("replicas must be 1 when leaderElection.enabled is false"), "{error}");
    Ok(())
}

#[tokio::test]
async fn reserved_names_in_the_environment_of_runners_are_refused() -> anyhow::Result<()> {
    let error = Chart::packed().await?.text("runner: {env: [{name: FLOE_ATTEMPT, value: a}]}").await.unwrap_err().to_string();
    assert!(error.contains("env"), "{error}");
    Ok(())
}

#[tokio::test]
async fn the_kinds_are_kept_unless_asked_otherwise() -> anyhow::Result<()> {
    let chart = Chart::packed().await?;
    let kinds = |objects: &[serde_json::Value]| -> Vec<Option<String>> {
        let kinds = objects.iter().filter(|object| object["kind"] == "CustomResourceDefinition");
        kinds.map(|kind| kind["metadata"]["annotations"]["helm.sh/resource-policy"].as_str().map(str::to_string)).collect()
    };
    assert_eq!(kinds(&chart.objects("{}").await?), vec![Some("keep".to_string()); 6]);
    assert_eq!(kinds(&chart.objects("crds: {keep: false}").await?), vec![None; 6]);
    assert_eq!(kinds(&chart.objects("crds: {enabled: false}").await?), Vec::<Option<String>>::new());
    Ok(())
}
