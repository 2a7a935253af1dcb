//! What is remembered by which query, and what is refused.

use super::*;
use crate::{
    definition::{self, Configuration, SourceFile},
    graph::ResolvedGraph,
    name::Namespace,
    origin::Severity,
    resolve::{ResolveInput, resolve},
};

const SOURCE: &str = "CREATE OR REFRESH STREAMING TABLE src AS SELECT * FROM STREAM read_files('in', format => 'json',
  schema => 'k BIGINT, name STRING, ts TIMESTAMP, x DOUBLE, tags ARRAY<STRING>, m MAP<STRING, INT>');";

fn run(query: &str) -> Result<ResolvedGraph, Vec<Diagnostic>> {
    let project = definition::Project {
        namespace: Namespace { catalog: "main".to_string(), schema: "default".to_string() },
        configuration: Configuration::default(),
        sql: vec![SourceFile::new("a.sql", format!("{SOURCE}\nCREATE OR REFRESH STREAMING TABLE t AS\n{query};"))],
        tables: Vec::new(),
    };
    resolve(project.definitions(), &ResolveInput::default())
}

/// The operators of `t`, its lints, and its plan.
fn planned(query: &str) -> (StateOfPlan, Vec<String>, String) {
    let graph = run(query).unwrap_or_else(|errors| panic!("{query}: {errors:#?}"));
    let plan = &graph.flow("t").unwrap().plan;
    let lints = graph.lints.iter().map(|lint| lint.class.clone()).collect();
    (state_of(plan), lints, plan.display_indent().to_string())
}

fn refused(query: &str) -> String {
    let errors = run(query).map(|_| ()).unwrap_err();
    let first = errors.iter().find(|found| found.severity == Severity::Error).unwrap();
    let origin = first.origin.as_ref().unwrap();
    format!("{} {}:{}", first.class, origin.line, origin.column)
}

fn keys(state: &StateOfPlan) -> Vec<String> {
    state.operators.iter().map(StatefulOperator::text).collect()
}

#[test]
fn how_long_a_key_is_remembered_follows_from_the_watermark() {
    let watermark = "STREAM(src) WATERMARK ts DELAY OF INTERVAL 7 DAYS";
    let delay = 7 * 86_400_000_000_i64;
    for (query, remembered, lints) in [
        (format!("SELECT DISTINCT ON (k, ts) * FROM {watermark}"), "UntilEventTime", vec![]),
        (format!("SELECT DISTINCT ON (k) * FROM {watermark}"), "ForEver", vec!["W006"]),
        ("SELECT DISTINCT ON (k, ts) * FROM STREAM(src)".to_string(), "ForEver", vec!["W006"]),
        (format!("SELECT DISTINCT ON (k) WITHIN WATERMARK * FROM {watermark}"), "For {", vec![]),
        (format!("SELECT DISTINCT k, ts FROM {watermark}"), "UntilEventTime", vec![]),
        (format!("SELECT DISTINCT k FROM {watermark}"), "ForEver", vec!["W006"]),
        (format!("SELECT DISTINCT ON (k, at) k, ts AS at FROM {watermark} AS s WHERE s.k > 1"), "UntilEventTime", vec![]),
        (format!("SELECT DISTINCT ON (q.k, q.at) q.* FROM (SELECT k, ts AS at FROM {watermark}) AS q"), "UntilEventTime", vec![]),
        (format!("SELECT DISTINCT ON (k, date_trunc('DAY', ts)) k, ts FROM {watermark}"), "ForEver", vec!["W006"]),
        (format!("SELECT DISTINCT ON (k, tag, ts) k, ts, explode(tags) AS tag FROM {watermark}"), "UntilEventTime", vec![]),
    ] {
        let (state, found, plan) = planned(&query);
        assert!(plan.contains(&format!("], {remembered}")), "{query}\n{plan}");
        assert_eq!(found, lints, "{query}");
        assert_eq!(state.operators.len(), 1, "{query}");
        assert!(!plan.contains("first by []"), "{query}\n{plan}");
        if query.contains("WATERMARK ts") {
            assert_eq!(state.watermarks, [DeclaredWatermark { name: "src.ts".to_string(), delay_us: delay }], "{query}");
        }
    }
}

#[test]
fn a_computed_event_time_is_a_column_of_the_stream() {
    let query = "SELECT DISTINCT ON (k, at) k, at, s.name FROM STREAM(src) WATERMARK CAST(x AS TIMESTAMP) AS at DELAY OF '30 seconds' s";
    let (state, _, plan) = planned(query);
    assert_eq!(keys(&state), ["(k BIGINT, at TIMESTAMP)"]);
    assert_eq!(state.watermarks[0], DeclaredWatermark { name: "src.at".to_string(), delay_us: 30_000_000 });
    assert!(plan.contains("UntilEventTime, late by s.at"), "{plan}");
    let all = planned("SELECT * FROM STREAM(src) WATERMARK CAST(x AS TIMESTAMP) AS at DELAY OF '0 seconds'");
    assert!(all.0.operators.is_empty() && all.0.watermarks.len() == 1);
}

#[test]
fn keys_are_known_by_name_and_type_and_operators_by_number() {
    let (state, _, plan) = planned(
        "SELECT DISTINCT ON (k) * FROM (SELECT DISTINCT ON (upper(name), ts) k, name FROM STREAM(src) WATERMARK ts DELAY OF '1 day'
         UNION ALL SELECT DISTINCT k, name FROM STREAM read_files('other', format => 'json', schema => 'k BIGINT, name STRING'))",
    );
    assert_eq!(keys(&state), ["(upper(name) STRING, ts TIMESTAMP)", "(k BIGINT, name STRING)", "(k BIGINT)"]);
    // The branch of the union comes first in the order of the outer operator.
    assert!(plan.contains("first by [__subquery.__floe_order_1, __subquery.__floe_order_2]"), "{plan}");
    let (within, ..) = planned("SELECT DISTINCT ON (k) WITHIN WATERMARK * FROM STREAM(src) WATERMARK ts DELAY OF '1 day'");
    assert_eq!(keys(&within), ["(k BIGINT) within the watermark"]);
}

#[test]
fn a_stream_without_state_keeps_its_plan() {
    let (state, lints, plan) = planned("SELECT k FROM STREAM(src)");
    assert_eq!((state, lints), (StateOfPlan::default(), vec![]));
    assert!(!plan.contains("__floe_order"), "{plan}");
}

#[test]
fn what_has_no_meaning_is_refused_with_its_place() {
    for (query, expected) in [
        ("SELECT * FROM STREAM(src) WATERMARK name DELAY OF '1 day'", "EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE 4:37"),
        ("SELECT * FROM STREAM(src) WATERMARK CAST(x AS TIMESTAMP) DELAY OF '1 day'", "REQUIRES_EXPLICIT_NAME_IN_WATERMARK_CLAUSE 4:42"),
        ("SELECT * FROM STREAM(src) WATERMARK ts AS name DELAY OF '1 day'", "COLUMN_ALREADY_EXISTS 4:37"),
        ("SELECT * FROM STREAM(src) WATERMARK tss DELAY OF '1 day'", "UNRESOLVED_COLUMN.WITH_SUGGESTION 4:37"),
        ("SELECT * FROM STREAM(src) WATERMARK ts DELAY OF '1 month'", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE 4:49"),
        ("SELECT * FROM STREAM(src) WATERMARK ts DELAY OF INTERVAL -1 DAY", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE 4:49"),
        ("SELECT * FROM STREAM(src) WATERMARK ts DELAY OF 'soon'", "INVALID_INTERVAL_FORMAT 4:49"),
        ("SELECT DISTINCT ON (k) WITHIN WATERMARK * FROM STREAM(src)", "UNSUPPORTED_STREAMING_OPERATION 4:1"),
        ("SELECT k FROM STREAM(src) WHERE k IN (SELECT DISTINCT k FROM STREAM(src))", "UNSUPPORTED_STREAMING_OPERATION 4:39"),
        ("SELECT DISTINCT m FROM STREAM(src)", "UNSUPPORTED_FEATURE.SET_OPERATION_ON_MAP_TYPE 4:1"),
        ("SELECT DISTINCT ON (k) WITHIN WATERMARK k FROM src", "PARSE_SYNTAX_ERROR 4:24"),
        ("SELECT count(*) AS n FROM STREAM(src) WATERMARK ts DELAY OF '1 day'", "STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION 4:1"),
        (
            "SELECT k, window(ts, '5 minutes') AS w, count(*) AS n FROM STREAM(src) WATERMARK ts DELAY OF '1 day' GROUP BY k, window(ts, '5 minutes')",
            "STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION 4:111",
        ),
    ] {
        assert_eq!(refused(query), expected, "{query}");
    }
}

#[test]
fn p87_other_keys_are_told_with_the_old_and_the_new_ones() {
    let operator = |keys: &[(&str, &str)]| StatefulOperator {
        kind: OperatorKind::Deduplicate,
        keys: keys.iter().map(|(name, data_type)| StateKey { name: (*name).to_string(), data_type: (*data_type).to_string() }).collect(),
    };
    let (by_id, by_both) = (operator(&[("id", "BIGINT")]), operator(&[("id", "BIGINT"), ("at", "TIMESTAMP")]));
    assert_eq!(drift(std::slice::from_ref(&by_id), std::slice::from_ref(&by_id)), None);
    let found = drift(std::slice::from_ref(&by_both), std::slice::from_ref(&by_id)).unwrap();
    assert_eq!(found.class, "STATE_STORE_INCOMPATIBLE");
    assert_eq!(
        found.message,
        "the state of the flow was made for (id BIGINT), and the query de-duplicates by (id BIGINT, at TIMESTAMP) now"
    );
    assert!(drift(&[by_id.clone(), by_both.clone()], &[by_both.clone(), by_id.clone()]).is_some());
    assert!(drift(&[], std::slice::from_ref(&by_id)).unwrap().message.contains("by no keys now"));
    let within = StatefulOperator { kind: OperatorKind::DeduplicateWithinWatermark, ..by_id.clone() };
    assert!(drift(&[within], &[by_id]).is_some());
}
