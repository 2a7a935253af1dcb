//! The queries on the event log that must work (event-log.md, 9).

use super::*;

fn log() -> Known {
    Known::tables(&[(
        "event_log",
        "id STRING, seq_no BIGINT, origin STRUCT<update_id: STRING, flow_name: STRING>, timestamp TIMESTAMP, message STRING, level STRING, \
         event_type STRING, details STRING",
    )])
}

#[test]
fn e02_course_query_is_a_json_path() {
    let text = log().plan_text("SELECT details:flow_progress:data_quality:expectations FROM event_log WHERE event_type = 'flow_progress'");
    assert!(text.contains("$.flow_progress.data_quality.expectations") || text.contains("$json_path($json_path"), "{text}");
    let dotted = log().schema("SELECT details:flow_definition.output_dataset AS output, details:a.b[0].c AS c FROM event_log");
    assert_eq!(dotted, "output STRING, c STRING");
    assert_eq!(log().schema("SELECT details:flow_progress:data_quality:expectations FROM event_log"), "expectations STRING");
}

#[test]
fn e03_quality_of_the_latest_update_is_typed() {
    let text = log().schema(
        "WITH latest AS (SELECT origin.update_id AS id FROM event_log WHERE event_type = 'create_update' ORDER BY timestamp DESC LIMIT 1),
     e AS (SELECT explode(from_json(details:flow_progress:data_quality:expectations,
             'array<struct<name: string, dataset: string, passed_records: bigint, failed_records: bigint>>')) AS x
           FROM event_log, latest WHERE event_type = 'flow_progress' AND origin.update_id = latest.id)
SELECT x.dataset, x.name, SUM(x.passed_records) AS passed, SUM(x.failed_records) AS failed FROM e GROUP BY x.dataset, x.name",
    );
    assert_eq!(text, "dataset STRING, name STRING, passed BIGINT, failed BIGINT");
}

#[test]
fn other_queries_of_the_chapter() {
    let known = log();
    assert_eq!(
        known.schema(
            "SELECT timestamp, origin.flow_name, details:planning_information FROM event_log WHERE event_type = 'x' ORDER BY timestamp DESC"
        ),
        "timestamp TIMESTAMP, flow_name STRING, planning_information STRING"
    );
    assert_eq!(
        known.schema("SELECT origin.update_id, details:update_progress.state, timestamp FROM event_log ORDER BY timestamp"),
        "update_id STRING, state STRING, timestamp TIMESTAMP"
    );
}
