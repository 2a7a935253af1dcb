//! The resolved graph of small projects, and everything that is wrong with others.

mod cdc;
mod values;

use std::collections::BTreeMap;

use std::fmt::Write as _;

use super::*;
use crate::{
    definition::{self, Configuration, SourceFile},
    explain,
};

const FILES: &str = "read_files('in', format => 'json', schema => 'id BIGINT, name STRING, at TIMESTAMP')";

fn project(files: &[(&str, &str)]) -> Definitions {
    definition::Project {
        namespace: Namespace { catalog: "main".to_string(), schema: "default".to_string() },
        configuration: Configuration::default(),
        sql: files.iter().map(|(path, text)| SourceFile::new(*path, text.replace("FILES", FILES))).collect(),
        tables: Vec::new(),
    }
    .definitions()
}

fn resolved(sql: &str) -> ResolvedGraph {
    match resolve(project(&[("a.sql", sql)]), &ResolveInput::default()) {
        Ok(graph) => graph,
        Err(findings) => panic!("{}", lines(&findings).join("\n")),
    }
}

fn errors(sql: &str) -> Vec<Diagnostic> {
    match resolve(project(&[("a.sql", sql)]), &ResolveInput::default()) {
        Ok(graph) => panic!("no error:\n{}", explain::text(&graph)),
        Err(findings) => findings.into_iter().filter(|found| found.severity == Severity::Error).collect(),
    }
}

fn lines(findings: &[Diagnostic]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

fn classes(findings: &[Diagnostic]) -> Vec<&str> {
    findings.iter().map(|found| found.class.as_str()).collect()
}

fn flow_names(graph: &ResolvedGraph) -> Vec<&str> {
    graph.flows.iter().map(|flow| flow.name.as_str()).collect()
}

const BRONZE: &str = "CREATE OR REFRESH STREAMING TABLE bronze AS SELECT * FROM STREAM FILES;";

#[test]
fn p06_statements_in_any_order() {
    let statements = [
        BRONZE,
        "CREATE TEMPORARY VIEW v AS SELECT id, name FROM STREAM(bronze) WHERE id > 0;",
        "CREATE OR REFRESH STREAMING TABLE silver (CONSTRAINT c EXPECT (id IS NOT NULL) ON VIOLATION DROP ROW) AS SELECT * FROM STREAM(v);",
        "CREATE OR REFRESH MATERIALIZED VIEW gold AS SELECT name, count(*) AS n FROM silver GROUP BY name;",
    ];
    let forward = resolved(&statements.join("\n"));
    let backward = resolved(&statements.iter().rev().copied().collect::<Vec<_>>().join("\n\n\n"));
    assert_eq!(flow_names(&forward), ["bronze", "silver", "gold"]);
    assert_eq!(explain::json(&forward), explain::json(&backward));
    assert_eq!(forward.id, backward.id);
    assert_eq!(forward.flow("gold").unwrap().upstream, ["silver"]);
    assert_eq!(forward.flow("silver").unwrap().upstream, ["bronze"]);
}

#[test]
fn p11_all_errors_at_once() {
    let files = [
        ("a.sql", "CREATE OR REFRESH MATERIALIZED VIEW a AS SELECT nope FROM FILES;"),
        ("b.sql", "CREATE OR REFRESH MATERIALIZED VIEW b AS SELECT * FROM missing;"),
        ("c.sql", "CREATE OR REFRESH STREAMING TABLE c;"),
    ];
    let findings = resolve(project(&files), &ResolveInput::default()).unwrap_err();
    let places: Vec<String> = findings.iter().map(|found| format!("{} {}", found.class, found.origin.as_ref().unwrap().file)).collect();
    assert_eq!(places, ["UNRESOLVED_COLUMN.WITH_SUGGESTION a.sql", "TABLE_OR_VIEW_NOT_FOUND b.sql", "PIPELINE_DATASET_WITHOUT_FLOW c.sql"]);
}

#[test]
fn p17_temp_view_shadows_table() {
    let graph = resolved(&format!(
        "{BRONZE} CREATE OR REFRESH MATERIALIZED VIEW x AS SELECT 1 AS a;
         CREATE TEMPORARY VIEW x AS SELECT id AS b FROM bronze;
         CREATE OR REFRESH MATERIALIZED VIEW y AS SELECT * FROM x;
         CREATE OR REFRESH MATERIALIZED VIEW z AS SELECT * FROM main.default.x;"
    ));
    let columns = |flow: &str| graph.flow(flow).unwrap().schema.field(0).name().clone();
    assert_eq!((columns("y"), columns("z")), ("b".to_string(), "a".to_string()));
}

#[test]
fn p23_streaming_table_needs_stream() {
    let found = errors("CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM FILES;");
    assert_eq!(classes(&found), ["INVALID_FLOW_QUERY_TYPE.BATCH_RELATION_FOR_STREAMING_TABLE"]);
    assert_eq!(found[0].message, "cannot create streaming table t from a batch query");
}

#[test]
fn p24_mv_must_not_stream() {
    let found = errors(&format!("{BRONZE} CREATE OR REFRESH MATERIALIZED VIEW m AS SELECT * FROM STREAM(bronze);"));
    assert_eq!(classes(&found), ["INVALID_FLOW_QUERY_TYPE.STREAMING_RELATION_FOR_MATERIALIZED_VIEW"]);
    assert_eq!(found[0].message, "materialized view m reads STREAM(main.default.bronze)");
}

#[test]
fn once_flows_and_views_must_not_stream() {
    let found = errors(&format!(
        "{BRONZE} CREATE FLOW f AS INSERT INTO ONCE bronze BY NAME SELECT * FROM STREAM(bronze2);
         CREATE OR REFRESH STREAMING TABLE bronze2 AS SELECT * FROM STREAM FILES;
         CREATE VIEW v AS SELECT * FROM STREAM(bronze2);"
    ));
    assert_eq!(
        classes(&found),
        ["INVALID_FLOW_QUERY_TYPE.STREAMING_RELATION_FOR_ONCE_FLOW", "INVALID_FLOW_QUERY_TYPE.STREAMING_RELATION_FOR_PERSISTED_VIEW"]
    );
}

#[test]
fn p28_stream_aggregation_without_watermark_refused() {
    let found =
        errors(&format!("{BRONZE} CREATE OR REFRESH STREAMING TABLE t AS SELECT name, count(*) AS n FROM STREAM(bronze) GROUP BY name;"));
    assert_eq!(classes(&found), ["STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION"]);
    assert!(lines(&found)[0].contains("materialized view") || found[0].help.as_deref().unwrap().contains("materialized view"));
}

#[test]
fn p29_cycle_is_reported() {
    let found = errors(
        "CREATE OR REFRESH MATERIALIZED VIEW b AS SELECT * FROM a;
         CREATE OR REFRESH MATERIALIZED VIEW c AS SELECT * FROM b;
         CREATE OR REFRESH MATERIALIZED VIEW a AS SELECT * FROM c;
         CREATE OR REFRESH MATERIALIZED VIEW self AS SELECT * FROM self;
         CREATE OR REFRESH MATERIALIZED VIEW reader AS SELECT * FROM a;",
    );
    assert_eq!(
        classes(&found),
        ["PIPELINE_GRAPH_NOT_TOPOLOGICALLY_SORTED", "PIPELINE_GRAPH_NOT_TOPOLOGICALLY_SORTED", "UPSTREAM_ANALYSIS_FAILED"]
    );
    assert_eq!((found[0].message.as_str(), found[1].message.as_str()), ("cycle: a → b → c → a", "cycle: self → self"));
    assert_eq!(found[2].message, "reader was not analysed because of the error in a");
}

#[test]
fn p30_duplicate_dataset_reported() {
    let found = errors(&format!("{BRONZE}\nCREATE OR REFRESH MATERIALIZED VIEW BRONZE AS SELECT 1 AS a;"));
    assert_eq!(found[0].class, "PIPELINE_DUPLICATE_IDENTIFIERS.OUTPUT");
    assert!(found[0].message.contains("a.sql:1:") && found[0].message.contains("a.sql:2:"), "{}", found[0].message);
    let log = errors("CREATE OR REFRESH MATERIALIZED VIEW event_log AS SELECT 1 AS a;");
    assert_eq!(classes(&log), ["PIPELINE_DUPLICATE_IDENTIFIERS.OUTPUT"]);
    // What follows from the second definition is no error of its own.
    let view = errors(
        "CREATE STREAMING TABLE a; CREATE FLOW f AS INSERT INTO a BY NAME SELECT id FROM STREAM FILES;
         CREATE FLOW g AS INSERT INTO a BY NAME SELECT id FROM STREAM FILES;
         CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM a; CREATE MATERIALIZED VIEW w AS SELECT n FROM v;
         CREATE MATERIALIZED VIEW v AS SELECT 1 AS x;",
    );
    assert_eq!(classes(&view), ["PIPELINE_DUPLICATE_IDENTIFIERS.OUTPUT"]);
}

#[test]
fn p31_unknown_table_suggests_name() {
    let found = errors(
        "CREATE OR REFRESH STREAMING TABLE orders_silver AS SELECT * FROM STREAM FILES;
         CREATE OR REFRESH STREAMING TABLE books_sales AS SELECT * FROM STREAM(orders_sliver);
         CREATE TEMPORARY VIEW v AS SELECT * FROM books_sales;
         CREATE OR REFRESH MATERIALIZED VIEW stats AS SELECT * FROM v;",
    );
    assert_eq!(classes(&found), ["TABLE_OR_VIEW_NOT_FOUND", "UPSTREAM_ANALYSIS_FAILED", "UPSTREAM_ANALYSIS_FAILED"]);
    assert_eq!(found[0].message, "orders_sliver, read by flow books_sales, is not defined");
    assert_eq!(found[0].help.as_deref(), Some("did you mean orders_silver?"));
    assert_eq!(found[2].message, "stats was not analysed because of the error in books_sales");
}

#[test]
fn p32_streaming_table_without_flow() {
    let found = errors("CREATE STREAMING TABLE t;");
    assert_eq!(lines(&found)[0].split(" (").next(), Some("[PIPELINE_DATASET_WITHOUT_FLOW] streaming table t has no flow"));
}

#[test]
fn p33_empty_pipeline() {
    let found = errors("CREATE TEMPORARY VIEW v AS SELECT 1 AS a;");
    assert_eq!(classes(&found), ["RUN_EMPTY_PIPELINE"]);
    assert!(found[0].origin.is_some() && found[0].help.as_ref().unwrap().ends_with("materialized view that reads v"), "{found:?}");
}

#[test]
fn p53_expectation_on_duplicate_name() {
    let found = errors(
        "CREATE OR REFRESH STREAMING TABLE t (CONSTRAINT c EXPECT (id > 0), CONSTRAINT C EXPECT (id > 1)) AS SELECT * FROM STREAM FILES;",
    );
    assert_eq!(classes(&found), ["EXPECTATION_DUPLICATE_NAME"]);
}

#[test]
fn p75_invalid_resettable_dependency() {
    let found = errors(
        "CREATE OR REFRESH STREAMING TABLE landing AS SELECT * FROM STREAM FILES;
         CREATE OR REFRESH STREAMING TABLE bronze TBLPROPERTIES ('pipelines.reset.allowed' = 'false') AS SELECT * FROM STREAM(landing);",
    );
    assert_eq!(classes(&found), ["INVALID_RESETTABLE_DEPENDENCY"]);
    assert_eq!(found[0].message, "bronze is protected from reset but streams from landing, which is not");
}

#[test]
fn several_flows_are_united_by_name() {
    let graph = resolved(&format!(
        "{BRONZE} CREATE OR REFRESH STREAMING TABLE t;
         CREATE FLOW b AS INSERT INTO t BY NAME SELECT id, name AS extra FROM STREAM(bronze);
         CREATE FLOW a AS INSERT INTO t BY NAME SELECT name, id FROM STREAM(bronze);"
    ));
    let t = graph.datasets.values().find(|dataset| dataset.definition.name.name == "t").unwrap();
    let columns: Vec<&str> = t.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(columns, ["id", "extra", "name"]);
    assert_eq!(flow_names(&graph), ["bronze", "a", "b"]);

    let found = errors(&format!(
        "{BRONZE} CREATE OR REFRESH STREAMING TABLE t;
         CREATE FLOW b AS INSERT INTO t BY NAME SELECT id FROM STREAM(bronze);
         CREATE FLOW a AS INSERT INTO t BY NAME SELECT name AS id FROM STREAM(bronze);"
    ));
    assert_eq!(classes(&found), ["UNABLE_TO_INFER_PIPELINE_TABLE_SCHEMA"]);
    assert_eq!(found[0].message, "flows of t disagree on the type of column id: b (id BIGINT) and a (id STRING)");
}

#[test]
fn declared_columns_must_fit() {
    let found = errors(&format!("{BRONZE} CREATE OR REFRESH MATERIALIZED VIEW m (id STRING, other INT) AS SELECT id, name FROM bronze;"));
    assert_eq!(classes(&found), ["USER_SPECIFIED_AND_INFERRED_SCHEMA_NOT_COMPATIBLE"; 3]);
    let graph = resolved(&format!(
        "{BRONZE} CREATE OR REFRESH MATERIALIZED VIEW m (name STRING COMMENT 'n', id BIGINT NOT NULL) AS SELECT id, name FROM bronze;"
    ));
    let m = graph.datasets.values().find(|dataset| dataset.definition.name.name == "m").unwrap();
    assert_eq!(crate::analysis::ddl::schema_text(&m.schema), "name STRING, id BIGINT NOT NULL");
    assert_eq!(m.schema.field(0).metadata()["comment"], "n");
}

#[test]
fn quarantine_tables_can_be_read() {
    let graph = resolved(
        "CREATE OR REFRESH STREAMING TABLE t (CONSTRAINT c EXPECT (id > 0) ON VIOLATION QUARANTINE ROW) AS SELECT id FROM STREAM FILES;
         CREATE OR REFRESH STREAMING TABLE bad AS SELECT id, _quarantine.expectations AS rules FROM STREAM(t_quarantine);",
    );
    assert_eq!(graph.flow("bad").unwrap().upstream, ["t"]);
    let found = errors(
        "CREATE TEMPORARY VIEW v (CONSTRAINT c EXPECT (id > 0) ON VIOLATION QUARANTINE ROW) AS SELECT id FROM FILES;
         CREATE OR REFRESH MATERIALIZED VIEW m AS SELECT * FROM v;",
    );
    assert_eq!(classes(&found)[0], "QUARANTINE_NOT_ALLOWED_ON_VIEW");
}

#[test]
fn p105_what_is_not_there_yet_is_refused_by_name() {
    let cases = [
        ("CREATE OR REFRESH MATERIALIZED VIEW m REFRESH POLICY INCREMENTAL AS SELECT * FROM bronze;", "REFRESH POLICY INCREMENTAL"),
        (
            "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('in', format => 'xml', schema => 'a INT');",
            "format `xml`",
        ),
        ("CREATE STREAMING TABLE t CLUSTER BY (id) FLOW AUTO CDC FROM STREAM(bronze) KEYS (id) SEQUENCE BY id;", "CLUSTER BY"),
    ];
    for (sql, feature) in cases {
        let found = errors(&format!("{BRONZE} {sql}"));
        assert_eq!(found[0].class, "FEATURE_NOT_SUPPORTED", "{:?}", lines(&found));
        assert!(found[0].message.contains(feature), "{}", found[0].message);
        assert!(found[0].origin.is_some());
    }
}

#[test]
fn unknown_options_and_columns_are_told_with_near_names() {
    let found = errors(
        "CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('in', format => 'json', shema => 'a INT', schema => 'a INT');",
    );
    assert_eq!(classes(&found), ["UNKNOWN_READ_FILES_OPTION"]);
    let found = errors("CREATE OR REFRESH STREAMING TABLE t PARTITIONED BY (nam) AS SELECT * FROM STREAM FILES;");
    assert_eq!((found[0].class.as_str(), found[0].help.as_deref()), ("DELTA_PARTITION_COLUMN_NOT_FOUND", Some("did you mean name?")));
}

#[test]
fn properties_give_lints_and_errors() {
    let graph = resolved(
        "CREATE OR REFRESH STREAMING TABLE t TBLPROPERTIES ('pipelines.reset.alowed' = 'false', 'delta.columnMapping.mode' = 'name')
         AS SELECT * FROM STREAM FILES;",
    );
    let mut lints = classes(&graph.lints);
    lints.sort_unstable();
    assert_eq!(lints, ["W005", "W008"]);
    let found =
        errors("CREATE OR REFRESH STREAMING TABLE t TBLPROPERTIES ('pipelines.reset.allowed' = 'no') AS SELECT * FROM STREAM FILES;");
    assert_eq!(classes(&found), ["INVALID_PROPERTY_VALUE"]);
    let input = ResolveInput {
        properties: BTreeMap::from([("delta.appendOnly".to_string(), "true".to_string()), ("pipelines.x".to_string(), "1".to_string())]),
        ..ResolveInput::default()
    };
    let found = resolve(project(&[("a.sql", "CREATE OR REFRESH MATERIALIZED VIEW m AS SELECT 1 AS a;")]), &input).unwrap_err();
    assert_eq!(classes(&found), ["APPEND_ONLY_NOT_ALLOWED", "W005"]);
    let found = errors(
        "CREATE OR REFRESH MATERIALIZED VIEW m TBLPROPERTIES ('delta.appendOnly' = 'true') AS SELECT 1 AS a;
         CREATE OR REFRESH MATERIALIZED VIEW n TBLPROPERTIES ('delta.setTransactionRetentionDuration' = '1 day') AS SELECT 1 AS a;",
    );
    assert_eq!(classes(&found), ["APPEND_ONLY_NOT_ALLOWED", "PROPERTY_NOT_ALLOWED"]);
}

#[test]
fn fingerprints_change_with_what_decides_results() {
    let base = "CREATE OR REFRESH MATERIALIZED VIEW m AS SELECT id, name FROM FILES WHERE name = :p;";
    let with = |sql: &str, value: &str, zone: &str| {
        let mut input = ResolveInput::default();
        input.parameters.set("p", value, true);
        input.configuration = BTreeMap::from([("spark.sql.session.timeZone".to_string(), zone.to_string())]);
        resolve(project(&[("a.sql", sql)]), &input).unwrap().flows[0].fingerprint.clone()
    };
    let first = with(base, "x", "UTC");
    assert_eq!(first, with(&format!("\n\n{base}"), "x", "UTC"));
    assert_ne!(first, with(base, "y", "UTC"));
    assert_ne!(first, with(base, "x", "Europe/Berlin"));
    assert_ne!(first, with(&base.replace("WHERE", "WHERE id > 1 AND"), "x", "UTC"));
    assert_ne!(first, with(&base.replace(" m AS", " m (CONSTRAINT c EXPECT (id > 0)) AS"), "x", "UTC"));
}

#[test]
fn the_body_of_a_lambda_is_part_of_the_fingerprint() {
    let with = |lambda: &str| {
        let sql = format!("CREATE OR REFRESH MATERIALIZED VIEW m AS SELECT transform(array(id), {lambda}) AS ids FROM FILES;");
        resolved(&sql).flows[0].fingerprint.clone()
    };
    let long = |last: &str| format!("x -> concat(X'{}{last}', CAST(name AS BINARY))", "00".repeat(64));
    assert_eq!(with("x -> x + 1"), with("x -> x  +  1"));
    assert_ne!(with("x -> x + 1"), with("x -> x + 2"));
    assert_ne!(with("x -> transform(array(x), y -> y)"), with("x -> transform(array(x), y -> y + x)"));
    assert_ne!(with(&long("01")), with(&long("02")));
}

#[test]
fn a_thousand_datasets_are_resolved() {
    let mut sql = BRONZE.to_string();
    for at in 0..1_000 {
        let source = if at % 10 == 0 { "bronze".to_string() } else { format!("t{}", at - 1) };
        _ = writeln!(sql, "CREATE OR REFRESH STREAMING TABLE t{at} AS SELECT id, name, at FROM STREAM({source}) WHERE id > {at};");
    }
    assert_eq!(resolved(&sql).flows.len(), 1_001);
}
