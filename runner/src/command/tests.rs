//! The commands on the templates of `floe init`, from files to rows.

use std::path::Path;

use datafusion::physical_plan::common::collect;
use floe_crds::state::UpdateState;
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::init;
use crate::{
    output::rows,
    project,
    query::Engine,
    settings::{RunSettings, Settings},
    storage::layout,
    summary::UpdateSummary,
    update,
};

/// A project on disk that has been run twice: with all its data, and with nothing new.
pub(super) struct Shop {
    pub settings: Settings,
    pub last_update: String,
    _directory: tempfile::TempDir,
}

impl Shop {
    pub async fn engine(&self) -> Engine {
        Engine::new(Box::pin(update::resolve(project::load(&self.settings).unwrap(), &self.settings)).await.unwrap(), &self.settings)
            .unwrap()
    }

    /// The rows of a query.
    async fn rows(&self, sql: &str) -> Value {
        let engine = self.engine().await;
        let prepared = Box::pin(engine.prepare("query", sql)).await.unwrap();
        rows::json(&collect(prepared.stream().unwrap()).await.unwrap()).unwrap()
    }

    async fn error(&self, sql: &str) -> String {
        let engine = self.engine().await;
        match Box::pin(engine.prepare("query", sql)).await {
            Ok(_) => panic!("{sql} is planned"),
            Err(failure) => failure.to_string(),
        }
    }
}

fn created(template: &str) -> (tempfile::TempDir, Settings) {
    let directory = tempfile::tempdir().unwrap();
    init::create(&directory.path().join("shop"), init::template(template).unwrap()).unwrap();
    let settings = Settings { project: directory.path().join("shop"), parallelism: 2, ..Settings::default() };
    (directory, settings)
}

async fn run(settings: &Settings) -> UpdateSummary {
    let run = RunSettings { settings: settings.clone(), run_as: "ada".to_string(), ..RunSettings::default() };
    Box::pin(update::run(run, project::load(settings).unwrap())).await.unwrap()
}

/// The empty template, run twice.
pub(super) async fn shop() -> Shop {
    let (directory, settings) = created("empty");
    assert_eq!(run(&settings).await.state, UpdateState::Completed);
    let last_update = run(&settings).await.update_id;
    Shop { settings, last_update, _directory: directory }
}

#[tokio::test]
async fn p97_floe_init_templates_pass() {
    for template in ["empty", "bookstore", "gym"] {
        let (_directory, settings) = created(template);
        let resolved = Box::pin(update::resolve(project::load(&settings).unwrap(), &settings)).await.unwrap();
        // The gym has old spellings on purpose.
        assert!(resolved.graph.lints.iter().all(|lint| template == "gym" && lint.class == "W001"), "{template}");
        let first = run(&settings).await;
        assert_eq!((first.state, first.nothing_new(), first.exit_code()), (UpdateState::Completed, false, 0), "{template}");
        let second = run(&settings).await;
        // The ages of the gym are those of today, and computed anew.
        assert_eq!((second.state, second.nothing_new()), (UpdateState::Completed, template != "gym"), "{template}: {:?}", second.datasets);
    }
}

#[tokio::test]
async fn p94_dry_run_writes_nothing() {
    let (_directory, settings) = created("empty");
    let dry = RunSettings { settings: settings.clone(), dry_run: true, ..RunSettings::default() };
    let report = Box::pin(update::run(dry, project::load(&settings).unwrap())).await.unwrap();
    assert_eq!((report.state, report.changes.len()), (UpdateState::Completed, 3));
    Box::pin(update::resolve(project::load(&settings).unwrap(), &settings)).await.unwrap();
    assert!(!settings.project.join("lake").exists());
}

#[tokio::test]
async fn e02_queries_of_the_event_log_work() {
    let shop = shop().await;
    let course =
        "SELECT details:flow_progress:data_quality:expectations AS e FROM event_log WHERE event_type = 'flow_progress' ORDER BY timestamp";
    let found: Vec<Value> = shop.rows(course).await.as_array().unwrap().iter().map(|row| row["e"].clone()).collect();
    let counted: Vec<&str> = found.iter().filter_map(Value::as_str).filter(|text| *text != "[]").collect();
    assert_eq!(counted, [r#"[{"name":"has_page","dataset":"main.default.visits","passed_records":3,"failed_records":1}]"#]);

    let quality = "WITH e AS (SELECT explode(from_json(details:flow_progress:data_quality:expectations,
             'array<struct<name: string, dataset: string, passed_records: bigint, failed_records: bigint>>')) AS x
           FROM event_log WHERE event_type = 'flow_progress')
        SELECT x.dataset, x.name, SUM(x.passed_records) AS passed, SUM(x.failed_records) AS failed FROM e GROUP BY x.dataset, x.name";
    assert_eq!(shop.rows(quality).await, json!([{"dataset": "main.default.visits", "name": "has_page", "passed": 3, "failed": 1}]));

    let latest =
        "WITH latest AS (SELECT origin.update_id AS id FROM event_log WHERE event_type = 'create_update' ORDER BY timestamp DESC LIMIT 1)
        SELECT DISTINCT latest.id FROM event_log, latest WHERE origin.update_id = latest.id";
    assert_eq!(shop.rows(latest).await, json!([{"id": shop.last_update}]));

    let planning = "SELECT origin.flow_name AS flow, details:planning_information.target_table_information.table_name AS name
        FROM event_log WHERE event_type = 'planning_information' ORDER BY timestamp DESC";
    let planned = json!({"flow": "visits_per_page", "name": "main.default.visits_per_page"});
    assert_eq!(shop.rows(planning).await, json!([planned, planned]));

    let lineage = "SELECT DISTINCT details:flow_definition.output_dataset AS output, details:flow_definition.input_datasets AS inputs
        FROM event_log WHERE event_type = 'flow_definition' ORDER BY output";
    let inputs = [("main.default.visits", "data/visits"), ("main.default.visits_per_page", "main.default.visits")];
    let lines = inputs.map(|(output, input)| json!({"output": output, "inputs": format!(r#"[{{"name":"{input}"}}]"#)}));
    assert_eq!(shop.rows(lineage).await, json!(lines));

    let phases = "SELECT details:update_progress.state AS s FROM event_log WHERE event_type = 'update_progress' ORDER BY timestamp, sequence.data_plane_id.seq_no";
    let states: Vec<Value> = shop.rows(phases).await.as_array().unwrap().iter().map(|row| row["s"].clone()).collect();
    let once = ["CREATED", "INITIALIZING", "SETTING_UP_TABLES", "RUNNING", "COMPLETED"];
    assert_eq!(states, [once, once].concat());
}

#[tokio::test]
async fn queries_may_give_columns_of_one_name() {
    let shop = shop().await;
    assert_eq!(shop.rows("SELECT 1 AS a, 2 AS A, 3 AS b").await, json!([{"a": 1, "A#2": 2, "b": 3}]));
    let engine = shop.engine().await;
    let prepared = Box::pin(engine.prepare("query", "SELECT 1 AS a, 2 AS a")).await.unwrap();
    assert_eq!(prepared.schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["a", "a"]);
}

#[tokio::test]
async fn e04_rows_of_the_log_are_those_of_the_tables() {
    let shop = shop().await;
    let written = "SELECT origin.dataset_name AS d, SUM(CAST(details:flow_progress.metrics.num_output_rows AS BIGINT)) AS n
        FROM event_log WHERE event_type = 'flow_progress' GROUP BY origin.dataset_name ORDER BY d";
    let expected = json!([{"d": "main.default.visits", "n": 3}, {"d": "main.default.visits_per_page", "n": 2}]);
    assert_eq!(shop.rows(written).await, expected);
    assert_eq!(shop.rows("SELECT COUNT(*) AS n FROM visits").await, json!([{"n": 3}]));
}

#[tokio::test]
async fn e01_the_table_has_the_columns_of_the_specification() {
    let shop = shop().await;
    let location = shop.engine().await.resolved().storage.at(layout::EVENT_LOG);
    let table = deltalake::open_table(location.url().clone()).await.unwrap();
    let schema = table.snapshot().unwrap().schema();
    let columns: Vec<String> =
        schema.fields().map(|field| format!("{} {} {}", field.name(), field.data_type(), field.is_nullable())).collect();
    assert_snapshot!(columns.join("\n"), @r#"
    id string false
    sequence struct<control_plane_seq_no: long, data_plane_id: struct<instance: string, seq_no: long>> true
    origin struct<cloud: string, region: string, host: string, org_id: string, pipeline_id: string, pipeline_name: string, pipeline_type: string, cluster_id: string, update_id: string, maintenance_id: string, request_id: string, table_id: string, table_name: string, dataset_name: string, sink_name: string, flow_id: string, flow_name: string, batch_id: long, graph_id: string, uc_resource_id: string, materialization_name: string, ingestion_source_name: string, ingestion_source_connection_name: string, ingestion_source_catalog_name: string, ingestion_source_schema_name: string, ingestion_source_table_name: string, ingestion_source_table_version: string, namespace: string, attempt: long> true
    timestamp timestamp false
    message string false
    level string false
    maturity_level string true
    error struct<fatal: boolean, exceptions: array<struct<class_name: string, message: string, stack: array<struct<declaring_class: string, method_name: string, file_name: string, line_number: long>>>>> true
    details string false
    event_type string true
    "#);
}

#[tokio::test]
async fn tables_are_read_at_a_version() {
    let shop = shop().await;
    assert_eq!(shop.rows("SELECT COUNT(*) AS n FROM visits VERSION AS OF 0").await, json!([{"n": 0}]));
    assert_eq!(shop.rows("SELECT COUNT(*) AS n FROM default.visits VERSION AS OF 1 AS v").await, json!([{"n": 3}]));
    let missing = shop.error("SELECT * FROM visits VERSION AS OF 9").await;
    assert!(missing.contains("has no version 9"), "{missing}");
    let first = "SELECT COUNT(*) AS n FROM event_log VERSION AS OF 0";
    assert_eq!(shop.rows(first).await, json!([{"n": 0}]));
    let joined =
        "SELECT a.n AS before, b.n AS now FROM (SELECT COUNT(*) AS n FROM visits VERSION AS OF 0) a, (SELECT COUNT(*) AS n FROM visits) b";
    assert_eq!(shop.rows(joined).await, json!([{"before": 0, "now": 3}]));
}

#[tokio::test]
async fn columns_that_are_never_null_can_be_grouped() {
    let (directory, settings) = created("empty");
    let sql = "CREATE STREAMING TABLE visits (page STRING NOT NULL, visitor STRING)
        AS SELECT coalesce(page, '') AS page, visitor FROM STREAM read_files('data/visits', format => 'json', schema => 'page STRING, visitor STRING');
        CREATE MATERIALIZED VIEW pages AS SELECT page, COUNT(page) AS n FROM visits WHERE page <> '' GROUP BY page ORDER BY page;";
    std::fs::write(settings.project.join("transformations/visits.sql"), sql).unwrap();
    assert_eq!(run(&settings).await.state, UpdateState::Completed);
    let shop = Shop { settings, last_update: String::new(), _directory: directory };
    assert_eq!(shop.rows("SELECT * FROM pages").await, json!([{"page": "/", "n": 2}, {"page": "/books", "n": 1}]));
}

#[tokio::test]
async fn queries_that_cannot_be_answered_say_why() {
    let shop = shop().await;
    assert!(shop.error("SELECT * FROM visit").await.contains("TABLE_OR_VIEW_NOT_FOUND"));
    assert!(shop.error("SELECT nope FROM visits").await.contains("nope"));
    assert!(Path::new(&shop.settings.project).exists());
}
