//! A live process exports every metric of the reference page with its labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use floe_e2e::{operator::Settings, tenant::Tenant};

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

#[tokio::test]
async fn a_live_process_exports_what_the_reference_says() -> anyhow::Result<()> {
    let tenant = Tenant::new("o40").await?;
    let operator = Settings::of(&tenant)?.start().await?;
    super::wait_leader(&operator).await?;
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/metrics.md"))?;
    let exported = exported(&operator.get("/metrics").await?);
    let documented: BTreeMap<_, _> = ["Operator", "Process"].into_iter().flat_map(|heading| documented(&page, heading)).collect();
    // What has happened to nobody yet has no series.
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
    assert_eq!(exported, expected);
    assert_eq!(operator.metric("floe_operator_cached_objects{kind=\"Pipeline\"}").await?, Some(0.0));
    Ok(())
}
