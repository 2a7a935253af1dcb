//! Whole updates inside the process: resets, selections, isolation, changes of the definition.

use std::{fs, path::Path};

use floe_crds::state::FlowState;
use floe_graph::plan::Change;
use tempfile::TempDir;

use super::*;
use crate::state::reset as markers;
use crate::{
    project,
    source::{DeltaSource, ReadCounters},
    summary::DatasetSummary,
};

const PIPELINE: &str = "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: shop}\nspec: {schema: shop}\n";
const SQL: &str = "
CREATE OR REFRESH STREAMING TABLE bronze TBLPROPERTIES ('pipelines.reset.allowed' = 'false')
  AS SELECT * FROM STREAM read_files('in', format => 'json', schema => 'id BIGINT, name STRING');
CREATE OR REFRESH STREAMING TABLE silver (CONSTRAINT positive EXPECT (id > 0) ON VIOLATION QUARANTINE ROW)
  AS SELECT id, name FROM STREAM(bronze);
CREATE OR REFRESH STREAMING TABLE copy AS SELECT id FROM STREAM(silver);
CREATE OR REFRESH MATERIALIZED VIEW stats AS SELECT count(*) AS n, sum(id) AS total FROM silver;
";

async fn update(settings: RunSettings) -> Result<UpdateSummary, Failure> {
    let project = project::load(&settings.settings)?;
    Box::pin(run(settings, project)).await
}

struct Shop(TempDir);

impl Shop {
    fn new(sql: &str) -> Self {
        let shop = Self(tempfile::tempdir().unwrap());
        fs::write(shop.path().join("pipeline.yaml"), PIPELINE).unwrap();
        fs::create_dir_all(shop.path().join("transformations")).unwrap();
        fs::create_dir_all(shop.path().join("in")).unwrap();
        shop.sql(sql);
        shop
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn sql(&self, sql: &str) {
        fs::write(self.path().join("transformations/1.sql"), sql).unwrap();
    }

    fn land(&self, file: &str, ids: &[i64]) {
        let lines: Vec<String> = ids.iter().map(|id| format!("{{\"id\": {id}, \"name\": \"n{id}\"}}")).collect();
        fs::write(self.path().join("in").join(file), lines.join("\n")).unwrap();
    }

    fn settings(&self, selection: Selection) -> RunSettings {
        let settings = Settings { project: self.path().to_path_buf(), parallelism: 2, ..Settings::default() };
        RunSettings { settings, selection, run_as: "ada".to_string(), host: "here".to_string(), ..RunSettings::default() }
    }

    async fn run_with(&self, selection: Selection) -> UpdateSummary {
        Box::pin(update(self.settings(selection))).await.unwrap()
    }

    async fn run(&self) -> UpdateSummary {
        let report = self.run_with(Selection::default()).await;
        assert_eq!(report.state, UpdateState::Completed, "{:#?}", report.failures);
        report
    }

    async fn version(&self, table: &str) -> i64 {
        let storage = self.storage();
        crate::commit::table::newest_version(&storage.at(table), None).await.unwrap().unwrap_or(-1)
    }

    fn storage(&self) -> Storage {
        let settings = self.settings(Selection::default()).settings;
        open_storage(&settings, &project::load(&settings).unwrap()).unwrap()
    }

    /// The values of the first column of a table, sorted.
    async fn ids(&self, table: &str) -> Vec<i64> {
        use datafusion::{arrow::array::AsArray, prelude::SessionContext};
        let location = self.storage().at(table);
        let version = crate::commit::table::newest_version(&location, None).await.unwrap().unwrap();
        let source = DeltaSource::new(table, location);
        let schema = source.observe(Some(version)).await.unwrap().unwrap().schema;
        let provider = source.at_version(version, schema, &Arc::new(ReadCounters::default())).await.unwrap();
        let batches = SessionContext::new().read_table(provider).unwrap().collect().await.unwrap();
        let mut ids: Vec<i64> = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<datafusion::arrow::datatypes::Int64Type>().values().to_vec())
            .collect();
        ids.sort_unstable();
        ids
    }
}

fn dataset<'a>(report: &'a UpdateSummary, name: &str) -> &'a DatasetSummary {
    report.datasets.iter().find(|dataset| dataset.dataset == name).unwrap()
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn files_of(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn p03_p04_a_second_run_is_empty_and_a_new_file_adds_only_its_rows() {
    let shop = Shop::new(SQL);
    shop.land("1.json", &[1, 2, -3]);
    let first = shop.run().await;
    let order: Vec<&str> = first.datasets.iter().map(|dataset| dataset.dataset.as_str()).collect();
    assert_eq!(order, ["bronze", "silver", "copy", "stats"]);
    let silver = dataset(&first, "silver");
    assert_eq!((silver.rows_written, silver.dropped, silver.quarantined, silver.expectations[0].failed), (2, 0, 1, 1));
    assert_eq!(shop.ids("shop/stats").await, [2]);
    assert_eq!(shop.ids("shop/silver_quarantine").await, [-3]);

    let tables = ["shop/bronze", "shop/silver", "shop/silver_quarantine", "shop/copy", "shop/stats"];
    let mut before = Vec::new();
    for table in tables {
        before.push(shop.version(table).await);
    }
    let catalog = Catalog::read(&shop.storage()).await.unwrap();
    let second = shop.run().await;
    assert!(second.nothing_new(), "{:#?}", second.datasets);
    assert_eq!(dataset(&second, "stats").refresh.as_deref(), Some("NO_OP"));
    for (table, version) in tables.into_iter().zip(before) {
        assert_eq!(shop.version(table).await, version, "{table}");
    }
    assert_eq!(Catalog::read(&shop.storage()).await.unwrap(), catalog);

    shop.land("2.json", &[4]);
    let third = shop.run().await;
    assert_eq!((dataset(&third, "bronze").rows_written, dataset(&third, "copy").rows_written), (1, 1));
    assert_eq!(shop.ids("shop/copy").await, [1, 2, 4]);
    assert_eq!(dataset(&third, "stats").refresh.as_deref(), Some("COMPLETE_RECOMPUTE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn p67_to_p71_selections_and_resets() {
    let shop = Shop::new(SQL);
    shop.land("1.json", &[1, 2, -3]);
    shop.run().await;
    let bronze = shop.version("shop/bronze").await;

    let refused = shop.run_with(Selection { full_refresh: names(&["bronze"]), ..Selection::default() }).await;
    assert_eq!((refused.exit_code(), refused.failures[0].error.as_str()), (10, "RESET_NOT_ALLOWED"));
    let broken = shop.run_with(Selection { full_refresh: names(&["silver"]), ..Selection::default() }).await;
    assert_eq!(broken.failures[0].error, "FULL_REFRESH_BREAKS_STREAM");
    assert_eq!(shop.ids("shop/silver").await, [1, 2]);

    let all = shop.run_with(Selection { full_refresh_all: true, ..Selection::default() }).await;
    assert_eq!(all.state, UpdateState::Completed, "{:#?}", all.failures);
    assert_eq!(shop.version("shop/bronze").await, bronze);
    assert_eq!(shop.ids("shop/silver").await, [1, 2]);
    assert_eq!(shop.ids("shop/silver_quarantine").await, [-3]);
    assert_eq!(shop.ids("shop/copy").await, [1, 2]);
    assert_eq!(dataset(&all, "silver").refresh.as_deref(), Some("FULL_REFRESH"));
    assert_eq!(all.notes.len(), 1);

    let doubled = shop.run_with(Selection { reset_checkpoints: names(&["copy"]), ..Selection::default() }).await;
    assert_eq!(doubled.state, UpdateState::Completed, "{:#?}", doubled.failures);
    assert_eq!(shop.ids("shop/copy").await, [1, 1, 2, 2]);
    assert_eq!(dataset(&doubled, "silver").state, Some(FlowState::Excluded));

    shop.land("2.json", &[5]);
    let selected = shop.run_with(Selection { refresh: names(&["silver"]), ..Selection::default() }).await;
    assert_eq!(dataset(&selected, "bronze").state, Some(FlowState::Excluded));
    assert_eq!(shop.version("shop/bronze").await, bronze);
}

#[tokio::test(flavor = "multi_thread")]
async fn p73_once_flow_runs_once() {
    let sql = format!("{SQL} CREATE FLOW backfill AS INSERT INTO ONCE copy BY NAME SELECT CAST(100 AS BIGINT) AS id;");
    let shop = Shop::new(&sql);
    shop.land("1.json", &[1]);
    shop.run().await;
    shop.run().await;
    assert_eq!(shop.ids("shop/copy").await, [1, 100]);
    let again = shop.run_with(Selection { full_refresh: names(&["copy"]), ..Selection::default() }).await;
    assert_eq!(again.state, UpdateState::Completed, "{:#?}", again.failures);
    assert_eq!(shop.ids("shop/copy").await, [1, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn p74_a_reset_that_was_begun_is_finished_first() {
    let shop = Shop::new(SQL);
    shop.land("1.json", &[1, 2]);
    shop.run().await;
    let entry = |dataset: &str, flow: &str| markers::ResetEntry {
        dataset: format!("main.shop.{dataset}"),
        kind: markers::StoredResetKind::FullRefresh,
        tables: vec![format!("main.shop.{dataset}")],
        generations: [(flow.to_string(), 1)].into(),
    };
    let marker = markers::ResetMarker {
        version: crate::state::format::VERSION,
        update: "dead".to_string(),
        resets: vec![entry("silver", "silver"), entry("copy", "copy")],
        done: false,
    };
    markers::begin(&shop.storage(), &marker).await.unwrap();
    let report = shop.run().await;
    let _ = report;
    assert!(markers::unfinished(&shop.storage(), "").await.unwrap().is_empty());
    assert_eq!((shop.ids("shop/silver").await, shop.ids("shop/copy").await), (vec![1, 2], vec![1, 2]));
    let checkpoint = crate::state::Checkpoint::open(&shop.storage(), "copy").await.unwrap();
    assert_eq!(checkpoint.generation(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p76_failure_isolation() {
    let sql = format!("{SQL} CREATE OR REFRESH STREAMING TABLE other (CONSTRAINT small EXPECT (id < 2) ON VIOLATION FAIL UPDATE) AS SELECT id FROM STREAM(bronze);
        CREATE OR REFRESH MATERIALIZED VIEW behind AS SELECT count(*) AS n FROM other;");
    let shop = Shop::new(&sql);
    shop.land("1.json", &[1, 2]);
    let report = shop.run_with(Selection::default()).await;
    assert_eq!((report.state, report.exit_code(), report.failures.len()), (UpdateState::Failed, 11, 1));
    assert_eq!((dataset(&report, "other").state, dataset(&report, "behind").state), (Some(FlowState::Failed), Some(FlowState::Skipped)));
    assert_eq!(dataset(&report, "stats").state, Some(FlowState::Completed));
    assert_eq!(dataset(&report, "other").expectations[0].failed, 1);
    assert_eq!(shop.ids("shop/other").await, Vec::<i64>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn p83_p84_p85_changes_of_the_definition() {
    let shop = Shop::new(SQL);
    shop.land("1.json", &[1, 2]);
    shop.run().await;
    shop.sql(&SQL.replace("SELECT id FROM STREAM(silver)", "SELECT id, name AS label FROM STREAM(silver)"));
    let added = shop.run().await;
    assert!(added.changes.contains(&Change::Evolve { dataset: "main.shop.copy".to_string(), added: names(&["label"]) }));
    assert_eq!(shop.ids("shop/copy").await, [1, 2]);

    shop.sql(&SQL.replace("SELECT id FROM STREAM(silver)", "SELECT CAST(id AS STRING) AS id FROM STREAM(silver)"));
    let before = shop.version("shop/copy").await;
    let refused = shop.run_with(Selection::default()).await;
    assert_eq!((refused.exit_code(), refused.failures[0].error.as_str()), (10, "SCHEMA_CHANGE_REQUIRES_FULL_REFRESH"));
    assert_eq!(shop.version("shop/copy").await, before);
    let fixed = shop.run_with(Selection { full_refresh: names(&["copy"]), ..Selection::default() }).await;
    assert_eq!(fixed.state, UpdateState::Completed, "{:#?}", fixed.failures);

    shop.sql(&SQL.replace("STREAMING TABLE copy AS SELECT id FROM STREAM(silver)", "MATERIALIZED VIEW copy AS SELECT id FROM silver"));
    let kind = shop.run_with(Selection { full_refresh: names(&["copy"]), ..Selection::default() }).await;
    assert_eq!(kind.failures[0].error, "CANNOT_CHANGE_DATASET_TYPE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_materialized_view_changes_its_columns_with_its_rows() {
    let shop = Shop::new(SQL);
    shop.land("1.json", &[1, 2]);
    shop.run().await;
    shop.sql(&SQL.replace("count(*) AS n, sum(id) AS total", "max(id) AS top, 'x' AS n"));
    let report = shop.run().await;
    assert_eq!(dataset(&report, "stats").refresh.as_deref(), Some("COMPLETE_RECOMPUTE"));
    assert_eq!(shop.ids("shop/stats").await, [2]);
    assert!(shop.run().await.nothing_new());
}

#[tokio::test(flavor = "multi_thread")]
async fn p86_a_removed_dataset_is_kept() {
    let shop = Shop::new(SQL);
    shop.land("1.json", &[1]);
    shop.run().await;
    shop.sql(&SQL.replace("CREATE OR REFRESH STREAMING TABLE copy AS SELECT id FROM STREAM(silver);", ""));
    shop.land("2.json", &[2]);
    let without = shop.run().await;
    assert!(without.changes.contains(&Change::Inactive { dataset: "main.shop.copy".to_string() }));
    shop.sql(SQL);
    shop.run().await;
    assert_eq!(shop.ids("shop/copy").await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn p94_dry_run_writes_nothing() {
    let shop = Shop::new(SQL);
    shop.land("1.json", &[1]);
    let before = files_of(shop.path());
    let settings = RunSettings { dry_run: true, ..shop.settings(Selection::default()) };
    let report = Box::pin(update(settings)).await.unwrap();
    assert_eq!((report.state, report.changes.len()), (UpdateState::Completed, 6));
    assert_eq!(files_of(shop.path()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn p96_second_runner_refused() {
    let shop = Shop::new(SQL);
    let _held = lock::acquire(&shop.storage(), "first").unwrap();
    let failure = Box::pin(update(shop.settings(Selection::default()))).await.unwrap_err();
    assert_eq!((failure.error.as_str(), failure.class.exit_code()), ("PIPELINE_LOCKED", 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_project_are_told_together_and_leave_tables_alone() {
    let shop = Shop::new(SQL);
    shop.land("1.json", &[1]);
    shop.run().await;
    let before = shop.version("shop/silver").await;
    shop.sql(&format!(
        "{SQL} CREATE OR REFRESH MATERIALIZED VIEW a AS SELECT * FROM slver; CREATE OR REFRESH MATERIALIZED VIEW b AS SELECT x FROM silver;"
    ));
    let report = shop.run_with(Selection::default()).await;
    assert_eq!((report.state, report.exit_code()), (UpdateState::Failed, 10));
    let classes: Vec<&str> = report.failures[0].diagnostics.iter().map(|found| found.class.as_str()).collect();
    assert_eq!(classes, ["TABLE_OR_VIEW_NOT_FOUND", "UNRESOLVED_COLUMN.WITH_SUGGESTION"]);
    assert_eq!(shop.version("shop/silver").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn p80_a_stop_before_the_flows_cancels_the_update() {
    let shop = Shop::new(SQL);
    shop.land("1.json", &[1]);
    let settings = shop.settings(Selection::default());
    settings.stop.request();
    let report = Box::pin(update(settings)).await.unwrap();
    assert_eq!((report.state, report.exit_code()), (UpdateState::Canceled, 143));
    shop.run().await;
    assert_eq!(shop.ids("shop/copy").await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn p74_a_begun_reset_with_a_new_type_is_finished_before_planning() {
    let shop = Shop::new(SQL);
    shop.land("1.json", &[1, 2]);
    shop.run().await;
    shop.sql(&SQL.replace("SELECT id FROM STREAM(silver)", "SELECT CAST(id AS STRING) AS id FROM STREAM(silver)"));
    let entry = markers::ResetEntry {
        dataset: "main.shop.copy".to_string(),
        kind: markers::StoredResetKind::FullRefresh,
        tables: vec!["main.shop.copy".to_string()],
        generations: [("copy".to_string(), 1)].into(),
    };
    markers::begin(
        &shop.storage(),
        &markers::ResetMarker { version: crate::state::format::VERSION, update: "dead".to_string(), resets: vec![entry], done: false },
    )
    .await
    .unwrap();
    shop.run().await;
}
