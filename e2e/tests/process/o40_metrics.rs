//! A live process exports every metric of the reference page with its labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use floe_crds::pipeline::Pipeline;
use floe_e2e::{
    objects::{pipeline, update},
    operator::{Operator, Settings},
    prometheus::Prometheus,
    tenant::Tenant,
    virtual_pods::{ROWS, VirtualPods},
};
use serde_json::json;

/// Families by name, with their labels, of one table of the reference page.
fn documented(page: &str, heading: &str) -> BTreeMap<String, BTreeSet<String>> {
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
    let plain = |text: &str| text.trim_matches(|c| "|` ".contains(c)).to_string();
    cells.map(|cells| (plain(cells[0]), cells[2].split(", ").map(plain).filter(|label| !label.is_empty()).collect())).collect()
}

/// Families by name, with the labels of their samples.
fn exported(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut families: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sample in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = sample.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let family = histogram.filter(|stem| text.contains(&format!("# TYPE {stem} histogram"))).unwrap_or(name);
        let labels = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_string());
        families.entry(family.to_string()).or_default().extend(labels.filter(|label| label != "le"));
    }
    families
}

fn reference() -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/metrics.md"))?)
}

#[tokio::test]
async fn a_live_process_exports_what_the_reference_says() -> anyhow::Result<()> {
    let tenant = Tenant::new("o40").await?;
    let operator = Settings::of(&tenant).await?.start().await?;
    super::wait_leader(&operator).await?;
    let page = reference()?;
    let mut exported = exported(&operator.get("/metrics").await?);
    let documented: BTreeMap<_, _> = ["Operator", "Process"].into_iter().flat_map(|heading| documented(&page, heading)).collect();
    for (name, labels) in &exported {
        assert_eq!(Some(labels), documented.get(name), "{name}");
    }
    // What has happened to nobody yet has no series; some of it may have happened.
    let not_yet = [
        "floe_operator_event_lag_seconds",
        "floe_operator_feature_gate",
        "floe_operator_reconcile_duration_seconds",
        "floe_operator_reconcile_errors_total",
        "floe_operator_reconcile_total",
        "floe_operator_start_latency_seconds",
        "floe_operator_status_truncated_total",
        "floe_operator_watch_restarts_total",
    ];
    let expected: BTreeMap<_, _> = documented.into_iter().filter(|(name, _)| !not_yet.contains(&name.as_str())).collect();
    exported.retain(|name, _| !not_yet.contains(&name.as_str()));
    assert_eq!(exported, expected);
    assert_eq!(operator.metric("floe_operator_cached_objects", &[("kind", "Pipeline")]).await?, Some(0.0));
    Ok(())
}

/// Rows that flows of the pipeline have written, by what this process has counted.
async fn rows(operator: &Operator, tenant: &Tenant) -> anyhow::Result<Option<f64>> {
    let dataset = "main.default.orders";
    let labels = [("namespace", tenant.name.as_str()), ("pipeline", "shop"), ("flow", dataset), ("dataset", dataset)];
    operator.metric("floe_flow_output_rows_total", &labels).await
}

async fn completed(tenant: &Tenant, update: &str) -> anyhow::Result<()> {
    let last = |pipeline: &Pipeline| pipeline.status.as_ref().and_then(|status| Some(status.last_update.as_ref()?.name.clone()));
    tenant.wait::<Pipeline>("shop", "the end of its update", |pipeline| last(pipeline).as_deref() == Some(update)).await?;
    Ok(())
}

/// A real Prometheus understands all of it: each family has the type of the reference page, and its value can be asked for.
async fn read_by_prometheus(operator: &Operator, tenant: &Tenant) -> anyhow::Result<()> {
    let prometheus = Prometheus::reading(operator.port()).await?;
    let selector = format!("floe_flow_output_rows_total{{namespace=\"{}\",dataset=\"main.default.orders\"}}", tenant.name);
    let series = prometheus.wait(&selector, |series| !series.is_empty()).await?;
    assert_eq!((series.len(), series[0].value), (1, ROWS as f64), "{series:?}");
    let page = reference()?;
    let types: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter_map(|(name, rest)| Some((name, rest.split([':', ' ']).next()?)))
        .collect();
    let read = prometheus.types().await?;
    let exported = exported(&operator.get("/metrics").await?);
    assert_eq!(read.keys().collect::<Vec<_>>(), exported.keys().collect::<Vec<_>>());
    for (name, kind) in &read {
        assert_eq!(types.get(name.as_str()), Some(&kind.as_str()), "{name}");
    }
    let duration = "histogram_quantile(0.9, sum by (le) (floe_update_duration_seconds_bucket))";
    let series = prometheus.wait(duration, |series| !series.is_empty()).await?;
    assert!(series[0].value.is_finite(), "{series:?}");
    Ok(())
}

#[tokio::test]
async fn a_pipeline_that_runs_has_metrics_as_long_as_it_exists() -> anyhow::Result<()> {
    let tenant = Tenant::new("o40-pipeline").await?;
    let _pods = VirtualPods::start(&tenant);
    let operator = Settings::of(&tenant).await?.start().await?;
    tenant.create(&pipeline("shop", json!({}))).await?;
    completed(&tenant, "shop-u1").await?;
    let knows_the_end = |pipeline: &Pipeline| pipeline.status.as_ref().is_some_and(|status| status.last_successful_update.is_some());
    tenant.wait::<Pipeline>("shop", "know the end of its update", knows_the_end).await?;
    let families = exported(&operator.get("/metrics").await?);
    let documented: BTreeMap<_, _> = documented(&reference()?, "Pipelines and tables");
    let of_pipelines: BTreeMap<_, _> = families.iter().filter(|(name, _)| documented.contains_key(*name)).collect();
    for (name, labels) in &of_pipelines {
        let mut expected = documented[*name].clone();
        expected.extend(["namespace".to_string(), "pipeline".to_string()]);
        assert_eq!(**labels, expected, "{name}");
    }
    for name in [
        "floe_pipeline_info",
        "floe_pipeline_state",
        "floe_pipeline_condition",
        "floe_pipeline_queued_updates",
        "floe_updates_total",
        "floe_update_duration_seconds",
        "floe_update_phase_seconds",
        "floe_pipeline_last_success_timestamp_seconds",
        "floe_flow_state",
        "floe_flow_output_rows_total",
        "floe_table_rows",
        "floe_table_version",
        "floe_table_trouble",
    ] {
        assert!(of_pipelines.contains_key(&name.to_string()), "{name} is not exported");
    }
    assert_eq!(rows(&operator, &tenant).await?, Some(ROWS as f64));
    read_by_prometheus(&operator, &tenant).await?;
    tenant.create(&update("again", "shop", json!({}))).await?;
    completed(&tenant, "again").await?;
    assert_eq!(rows(&operator, &tenant).await?, Some(2.0 * ROWS as f64), "attempts add up");

    operator.kill().await?;
    let operator = Settings::of(&tenant).await?.start().await?;
    super::wait_leader(&operator).await?;
    tenant.annotate::<Pipeline>("shop", "floe.dev/reconcile-requested-at", "now").await?;
    let seen = |pipeline: &Pipeline| pipeline.status.as_ref().and_then(|status| status.last_handled_reconcile_at.clone());
    tenant.wait::<Pipeline>("shop", "a look", |pipeline| seen(pipeline).as_deref() == Some("now")).await?;
    assert_eq!(rows(&operator, &tenant).await?, None, "what an earlier process has counted is not counted again");
    tenant.delete::<Pipeline>("shop").await?;
    tenant.wait_gone::<Pipeline>("shop").await?;
    super::wait_no_series(&operator, "pipeline=\"shop\"").await
}
