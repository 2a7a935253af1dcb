//! What a person sees with kubectl: the columns of each kind, the wide ones, the category, the short names, and fields to select by.

use floe_crds::{
    pipeline::Pipeline,
    state::{FailureClass, UpdateState},
    table::Table,
};
use floe_e2e::{cluster::kubectl, scene::Scene, virtual_pods::Script};
use serde_json::json;

/// Columns whose values are times or lengths of time.
const TIMES: [&str; 9] = ["AGE", "UPDATED", "START", "DURATION", "REFRESHED", "HEARTBEAT", "LAST SEEN", "LAST RUN", "NEXT RUN"];

/// The tables of kubectl with `|` between columns, and without the times that differ from run to run.
pub fn golden(text: &str) -> String {
    text.split("\n\n").map(table).collect::<Vec<_>>().join("\n\n")
}

fn table(text: &str) -> String {
    let header = text.lines().next().unwrap_or_default();
    let names: Vec<&str> = header.split("  ").map(str::trim).filter(|name| !name.is_empty()).collect();
    let mut starts: Vec<usize> = Vec::new();
    for name in &names {
        let from = starts.last().map_or(0, |last: &usize| *last + 1);
        starts.push(from + header[from..].find(name).unwrap());
    }
    let row = |line: &str| {
        let cells = names.iter().enumerate().map(|(number, name)| {
            let end = starts.get(number + 1).copied().unwrap_or(line.len()).min(line.len());
            let cell = line.get(starts[number]..end).unwrap_or_default().trim();
            if TIMES.contains(name) && !cell.is_empty() && cell != *name { "(time)" } else { cell }
        });
        cells.collect::<Vec<_>>().join(" | ").trim_end().to_string()
    };
    text.lines().map(row).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn o04_kubectl_output() -> anyhow::Result<()> {
    let scene = Scene::open("o04").await?;
    scene.pipeline("shop", json!({})).await?;
    scene.ends("shop-u1", UpdateState::Completed).await?;
    scene.pods.every(Script::new().fails(FailureClass::User, "CAST_INVALID_INPUT", "no"));
    scene.pipeline("other", json!({})).await?;
    scene.ends("other-u1", UpdateState::Failed).await?;
    let settled = |all: &[Pipeline]| {
        let ended = |pipeline: &Pipeline| pipeline.status.as_ref().and_then(|status| status.last_update.as_ref()?.state);
        all.iter().all(|pipeline| ended(pipeline).is_some_and(UpdateState::is_terminal))
    };
    scene.tenant.wait_list::<Pipeline>("the ends in their status", settled).await?;
    let refreshed = |table: &Table| {
        let status = table.status.as_ref();
        status.and_then(|status| status.last_refresh.as_ref()).is_some_and(|refresh| refresh.end_time.is_some())
    };
    let done = |all: &[Table]| all.len() == 4 && all.iter().filter(|table| table.spec.pipeline == "shop").all(refreshed);
    scene.tenant.wait_list::<Table>("the rows of all tables", done).await?;

    let mut seen = String::new();
    for arguments in [
        &["get", "floe"][..],
        &["get", "fpipe", "--output", "wide"],
        &["get", "ftable", "--output", "wide"],
        &["get", "fupdate", "--output", "wide"],
        &["get", "tables.floe.dev", "--field-selector", "spec.pipeline=shop"],
        &["get", "pipelineupdates.floe.dev", "--field-selector", "status.state=FAILED"],
        &["get", "pipelineupdates.floe.dev", "--field-selector", "spec.pipeline=shop"],
    ] {
        let answer = kubectl(&scene.tenant, arguments, None).await?;
        seen.extend(["$ kubectl ", &arguments.join(" "), "\n", &golden(&answer), "\n\n"]);
    }
    assert_eq!(seen, include_str!("o04_kubectl_output.txt"));
    Ok(())
}
