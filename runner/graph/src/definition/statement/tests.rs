//! Statements and what is read from them.

use super::*;
use crate::definition::shape::kind_text;
use crate::definition::{AutoCdc, ClauseExpr, ColumnName, ColumnSelection, DatasetKind, FlowKind, RefreshPolicy};
use floe_crds::state::ExpectationAction;

mod examples;
mod misspelt;
mod queries;

const NAMESPACE: (&str, &str) = ("main", "bookstore");

fn namespace() -> Namespace {
    Namespace { catalog: NAMESPACE.0.to_string(), schema: NAMESPACE.1.to_string() }
}

fn read_with(files: &[(&str, &str)], configuration: &[(&str, &str)]) -> Definitions {
    let values = configuration.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect();
    let configuration = Configuration::new(values, BTreeMap::new());
    let mut out = Definitions::default();
    for (path, text) in files {
        parse_sql(&SourceFile::new(*path, *text), &namespace(), &configuration, &mut out);
    }
    out
}

fn read(text: &str) -> Definitions {
    read_with(&[("a.sql", text)], &[("dataset_path", "data/landing"), ("source", "s3://landing/gym"), ("lookup_db", "lookup")])
}

/// `class line:column` of every finding.
fn findings(out: &Definitions) -> Vec<String> {
    let place = |found: &Diagnostic| found.origin.as_ref().map(|origin| format!("{}:{}", origin.line, origin.column)).unwrap_or_default();
    out.diagnostics.iter().map(|found| format!("{} {}", found.class, place(found))).collect()
}

fn right(text: &str) -> Definitions {
    let out = read(text);
    assert_eq!(out.diagnostics, [], "{text}");
    out
}

#[track_caller]
fn query(text: &str) -> String {
    let file = SourceFile::new("query", text);
    match parse_query(&file, &namespace(), &Configuration::default()) {
        Ok(query) => query.ast.to_string(),
        Err(found) => panic!("{found}"),
    }
}

/// Things that do not depend on where they were written.
fn shape(out: &Definitions) -> Vec<String> {
    let dataset = |dataset: &Dataset| {
        let expectations: Vec<_> = dataset
            .expectations
            .iter()
            .map(|found| format!("{} {} {:?} {:?}", found.name, found.text, found.action, found.quarantine_into))
            .collect();
        let columns: Option<Vec<_>> = dataset
            .columns
            .as_ref()
            .map(|columns| columns.iter().map(|c| format!("{} {:?} {} {:?}", c.name, c.data_type, c.nullable, c.comment)).collect());
        format!(
            "{} {:?} {} {columns:?} {expectations:?} {:?} {:?} {:?} {:?} {:?}",
            dataset.name,
            dataset.kind,
            dataset.private,
            dataset.partition_by,
            dataset.cluster_by,
            dataset.comment,
            dataset.properties,
            dataset.refresh_policy
        )
    };
    let flow = |flow: &Flow| format!("{} -> {} {} {} {:?}", flow.name, flow.target, kind_text(&flow.kind), flow.query.ast, flow.comment);
    let mut all: Vec<String> = out.datasets.iter().map(dataset).chain(out.flows.iter().map(flow)).collect();
    all.sort();
    all
}

#[test]
fn a_streaming_table_with_everything() {
    let out = right(
        "CREATE OR REFRESH PRIVATE STREAMING TABLE IF NOT EXISTS s.Bronze (
  id BIGINT NOT NULL COMMENT 'key' PRIMARY KEY, m MAP<STRING, ARRAY<STRUCT<a: INT, b: STRING>>>, price,
  CONSTRAINT `valid id` EXPECT(id > 0 AND x IN (1, 2)) ON VIOLATION DROP ROW,
  CONSTRAINT q EXPECT (a.b IS NOT NULL) ON VIOLATION QUARANTINE ROW INTO bad,
  CONSTRAINT pk PRIMARY KEY (id) RELY, FOREIGN KEY (id) REFERENCES other (id) NOT ENFORCED
) USING DELTA PARTITIONED BY (topic, `year month`) COMMENT \"All\"
TBLPROPERTIES ('quality' 'bronze', delta.appendOnly = true, pipelines.reset.allowed = \"false\", n = -5)
AS SELECT * FROM STREAM read_files('${dataset_path}/x', format => 'json') AS r;",
    );
    let dataset = &out.datasets[0];
    assert_eq!((dataset.name.to_string().as_str(), dataset.kind, dataset.private), ("main.s.Bronze", DatasetKind::StreamingTable, true));
    let columns = dataset.columns.as_ref().unwrap();
    assert_eq!(
        columns.iter().map(|c| c.data_type.as_deref()).collect::<Vec<_>>(),
        [Some("BIGINT"), Some("MAP<STRING, ARRAY<STRUCT<a: INT, b: STRING>>>"), None]
    );
    assert_eq!((columns[0].nullable, columns[0].comment.as_deref(), columns[1].nullable), (false, Some("key"), true));
    let expectations: Vec<_> = dataset.expectations.iter().map(|e| (e.name.as_str(), e.text.as_str(), e.action)).collect();
    assert_eq!(
        expectations,
        [("valid id", "id > 0 AND x IN (1, 2)", ExpectationAction::Drop), ("q", "a.b IS NOT NULL", ExpectationAction::Quarantine)]
    );
    assert_eq!(dataset.expectations[1].quarantine_into.as_ref().map(ToString::to_string).as_deref(), Some("main.bookstore.bad"));
    assert_eq!((dataset.partition_by.join("|"), dataset.comment.as_deref()), ("topic|year month".to_string(), Some("All")));
    let properties: Vec<_> = dataset.properties.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(properties, ["delta.appendOnly=true", "n=-5", "pipelines.reset.allowed=false", "quality=bronze"]);
    assert_eq!((dataset.origin.line, dataset.origin.column), (1, 57));
    let flow = &out.flows[0];
    assert_eq!((flow.name.as_str(), &flow.kind, flow.with_dataset), ("s.Bronze", &FlowKind::Append, true));
    assert_eq!(flow.query.ast.to_string(), "SELECT * FROM STREAM(read_files('data/landing/x', format => 'json')) AS r");
    assert_eq!(&*flow.query.text, "SELECT * FROM STREAM read_files('data/landing/x', format => 'json') AS r");
    assert_eq!((flow.query.origin.line, flow.query.origin.column), (8, 4));
}

#[test]
fn materialized_views_views_and_policies() {
    let out = right(
        "CREATE MATERIALIZED VIEW m CLUSTER BY (a, b) REFRESH POLICY INCREMENTAL STRICT COMMENT 'c' AS SELECT 1 AS a;
CREATE TEMPORARY VIEW t (CONSTRAINT ok EXPECT (a > 0)) COMMENT 'd' AS SELECT a FROM m;
CREATE TEMP VIEW t2 AS WITH x AS (SELECT 1 AS a) SELECT * FROM x;
CREATE OR REFRESH VIEW v TBLPROPERTIES ('a' = 1) AS SELECT * FROM other.m;",
    );
    let kinds: Vec<_> = out.datasets.iter().map(|d| (d.name.name.as_str(), d.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("m", DatasetKind::MaterializedView),
            ("t", DatasetKind::TemporaryView),
            ("t2", DatasetKind::TemporaryView),
            ("v", DatasetKind::View)
        ]
    );
    assert_eq!(
        (out.datasets[0].refresh_policy, out.datasets[0].cluster_by.join(",")),
        (RefreshPolicy::IncrementalStrict, "a,b".to_string())
    );
    let flows: Vec<_> = out.flows.iter().map(|flow| (flow.name.as_str(), flow.kind == FlowKind::View)).collect();
    assert_eq!(flows, [("m", false), ("t", true), ("t2", true), ("v", true)]);
    assert_eq!(out.flows[0].kind, FlowKind::Complete);
}

#[test]
fn flows_in_all_forms() {
    let out = right(
        "SET pipelines.maxFlowRetryAttempts = '10';
CREATE STREAMING TABLE a;
CREATE FLOW live COMMENT 'x' AS INSERT INTO a BY NAME SELECT * FROM STREAM(b);
CREATE FLOW backfill AS INSERT INTO ONCE a BY NAME SELECT * FROM archive.b;
CREATE STREAMING TABLE c FLOW INSERT ONCE BY NAME SELECT * FROM b;
CREATE STREAMING TABLE d FLOW INSERT BY NAME (SELECT * FROM STREAM b);",
    );
    let flows: Vec<_> = out.flows.iter().map(|f| (f.name.as_str(), f.target.name.as_str(), f.kind.clone(), f.with_dataset)).collect();
    assert_eq!(
        flows,
        [
            ("live", "a", FlowKind::Append, false),
            ("backfill", "a", FlowKind::Once, false),
            ("c", "c", FlowKind::Once, true),
            ("d", "d", FlowKind::Append, true)
        ]
    );
    assert_eq!(out.flows[0].comment.as_deref(), Some("x"));
    assert_eq!(out.flows[0].settings.get("pipelines.maxFlowRetryAttempts").map(String::as_str), Some("10"));
    assert_eq!((out.flows[0].origin.line, out.flows[0].origin.column), (3, 13));
}

#[test]
fn auto_cdc_parses_completely() {
    let out = right(
        "CREATE FLOW f AS AUTO CDC INTO t FROM STREAM(customers_cdc) KEYS (customer_id, `b c`)
IGNORE NULL UPDATES ON (a, b) APPLY AS DELETE WHEN row_status = \"delete\" APPLY AS TRUNCATE WHEN op = 'T'
SEQUENCE BY struct(a, b) COLUMNS * EXCEPT (row_status, row_time) STORED AS SCD TYPE 2 TRACK HISTORY ON * EXCEPT (city);
CREATE STREAMING TABLE books (CONSTRAINT k EXPECT (id IS NOT NULL) ON VIOLATION FAIL UPDATE)
FLOW AUTO CDC FROM books_raw KEYS (id) SEQUENCE BY updated COLUMNS id, title;
CREATE FLOW s AS AUTO CDC INTO t2 FROM SNAPSHOT src.snap KEYS (id) STORED AS SCD TYPE 1;
CREATE FLOW o AS AUTO CDC ONCE INTO t FROM history KEYS (id) SEQUENCE BY at;",
    );
    let FlowKind::AutoCdc(cdc) = &out.flows[0].kind else { panic!("{:?}", out.flows[0].kind) };
    let place = |line, column| crate::origin::Origin::new("a.sql", line, column);
    let clause = |text: &str, expr: &str, line, column| ClauseExpr {
        expr: crate::definition::parse_expression(expr, "a.sql").unwrap(),
        text: text.to_string(),
        origin: place(line, column),
    };
    let column = |name: &str, line, column| ColumnName { name: name.to_string(), origin: place(line, column) };
    assert_eq!(
        **cdc,
        AutoCdc {
            keys: vec![clause("customer_id", "customer_id", 1, 67), clause("`b c`", "`b c`", 1, 80)],
            sequence_by: Some(clause("struct(a, b)", "struct(a, b)", 3, 13)),
            apply_as_delete_when: Some(clause("row_status = \"delete\"", "row_status = 'delete'", 2, 52)),
            apply_as_truncate_when: Some(clause("op = 'T'", "op = 'T'", 2, 97)),
            ignore_null_updates: Some(ColumnSelection::Only(vec![column("a", 2, 25), column("b", 2, 28)])),
            columns: Some(ColumnSelection::Except(vec![column("row_status", 3, 44), column("row_time", 3, 56)])),
            scd_type: 2,
            track_history: Some(ColumnSelection::Except(vec![column("city", 3, 114)])),
            snapshot: false,
            once: false,
        }
    );
    let queries: Vec<_> = out.flows.iter().map(|flow| flow.query.ast.to_string()).collect();
    assert_eq!(
        queries,
        ["SELECT * FROM STREAM(customers_cdc)", "SELECT * FROM STREAM(books_raw)", "SELECT * FROM src.snap", "SELECT * FROM history"]
    );
    assert_eq!((out.flows[0].query.origin.line, out.flows[0].query.origin.column), (1, 39));
}

#[test]
fn p100_cloud_files_reads_as_read_files() {
    let out = read(
        "CREATE STREAMING TABLE t AS SELECT * FROM cloud_files(\"p\", 'json', map('cloudFiles.inferColumnTypes', 'true', 'header', 'x'));
CREATE STREAMING TABLE u AS SELECT * FROM STREAM(cloud_files('p'));",
    );
    let queries: Vec<_> = out.flows.iter().map(|flow| flow.query.ast.to_string()).collect();
    assert_eq!(
        queries,
        [
            "SELECT * FROM STREAM(read_files('p', format => 'json', inferColumnTypes => 'true', header => 'x'))",
            "SELECT * FROM STREAM(read_files('p', inferColumnTypes => 'false'))"
        ]
    );
    assert_eq!(findings(&out), ["W001 1:43", "W001 2:50"]);
}

#[test]
fn p08_double_quotes_are_strings() {
    let out = right(
        "CREATE MATERIALIZED VIEW m COMMENT \"x\" AS SELECT `action`, \"it\\'s\" AS s FROM t WHERE action = \"start\" AND `a``b` = 'x'",
    );
    assert_eq!(out.datasets[0].comment.as_deref(), Some("x"));
    assert_eq!(out.flows[0].query.ast.to_string(), "SELECT `action`, 'it''s' AS s FROM t WHERE action = 'start' AND `a``b` = 'x'");
}

#[test]
fn p09_legacy_forms_parse() {
    let old = "CREATE OR REFRESH STREAMING LIVE TABLE bronze AS SELECT * FROM cloud_files('p', 'json', map('inferColumnTypes', 'true'));
CREATE LIVE TABLE gold COMMENT 'g' AS SELECT LIVE.silver.id, s.x FROM LIVE.silver s JOIN live.other o ON s.id = o.id;
CREATE TEMPORARY LIVE VIEW v (CONSTRAINT c EXPECT (a > 0)) AS SELECT * FROM STREAM(LIVE.bronze);
CREATE STREAMING LIVE VIEW w AS SELECT * FROM STREAM LIVE.bronze;
CREATE INCREMENTAL LIVE TABLE silver;
APPLY CHANGES INTO LIVE.silver FROM STREAM(LIVE.v) KEYS (id) SEQUENCE BY at STORED AS SCD TYPE 2;
CREATE STREAM f AS AUTO CDC INTO silver2 FROM v KEYS (id) SEQUENCE BY at;
CREATE TEMPORARY STREAMING LIVE TABLE hidden AS SELECT * FROM STREAM(bronze);";
    let new = "CREATE STREAMING TABLE bronze AS SELECT * FROM STREAM read_files('p', format => 'json', inferColumnTypes => 'true');
CREATE MATERIALIZED VIEW gold COMMENT 'g' AS SELECT silver.id, s.x FROM silver s JOIN other o ON s.id = o.id;
CREATE TEMPORARY VIEW v (CONSTRAINT c EXPECT (a > 0)) AS SELECT * FROM STREAM bronze;
CREATE TEMPORARY VIEW w AS SELECT * FROM STREAM bronze;
CREATE STREAMING TABLE silver;
CREATE FLOW silver AS AUTO CDC INTO silver FROM STREAM(v) KEYS (id) SEQUENCE BY at STORED AS SCD TYPE 2;
CREATE FLOW f AS AUTO CDC INTO silver2 FROM v KEYS (id) SEQUENCE BY at;
CREATE PRIVATE STREAMING TABLE hidden AS SELECT * FROM STREAM(bronze);";
    let found = read(old);
    assert_eq!(shape(&found), shape(&right(new)));
    assert_eq!(found.diagnostics.iter().filter(|found| found.class != "W001").count(), 0);
    let lines: Vec<_> = found.diagnostics.iter().map(|found| found.origin.as_ref().unwrap().line).collect();
    assert_eq!(lines, [1, 1, 2, 2, 2, 2, 3, 3, 4, 4, 5, 6, 6, 6, 7, 8]);
}

#[test]
fn p10_real_file_quirks_parse() {
    let quirky = "create or replace materialized view x (constraint `a valid id` expect(id > 0) on violation drop row)
  comment \"c\" -- between clauses
  tblproperties (\"quality\" = \"gold\") /* here too */
select *, cast(a as long) b, c::string from t -- the end";
    let clean = "CREATE OR REFRESH MATERIALIZED VIEW x (CONSTRAINT `a valid id` EXPECT (id > 0) ON VIOLATION DROP ROW)
  COMMENT 'c' TBLPROPERTIES ('quality' = 'gold') AS select *, cast(a as long) b, c::string from t;";
    let found = read(quirky);
    assert_eq!(shape(&found), shape(&right(clean)));
    assert_eq!(findings(&found), ["W001 1:8", "W001 4:1"]);
}

#[test]
fn p11_all_errors_at_once() {
    let out = read_with(
        &[
            ("a.sql", "CREATE STREAMING TABLE a AS SELECT * FORM x;\nCREATE STREAMING TABLE a2 AS SELECT * FROM STREAM(x);"),
            ("b.sql", "CREATE TABLE b (id INT);\nCREATE MATERIALIZED VIEW b2 AS SELECT 1 AS x;"),
            ("c.sql", "\n\nCREATE STREAMING TABLE c (\n  CONSTRAINT d EXPECT (x >) ON VIOLATION DROP ROW) AS SELECT 1;"),
        ],
        &[],
    );
    let found: Vec<_> = out.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "[PARSE_SYNTAX_ERROR] expected the end of the statement, found `FORM` (a.sql:1:38)",
            "[UNSUPPORTED_PIPELINE_STATEMENT] CREATE TABLE is not a statement of a pipeline (b.sql:1:8)",
            "[PARSE_SYNTAX_ERROR] expected an expression, found `)` (c.sql:4:27)",
        ]
    );
    assert_eq!(out.datasets.iter().map(|d| d.name.name.as_str()).collect::<Vec<_>>(), ["a2", "b2"]);
    assert_eq!(out.incomplete.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn p12_configuration_substitution() {
    let file = SourceFile::new(
        "a.sql",
        "CREATE MATERIALIZED VIEW a AS SELECT '${dataset_path}' AS p; -- ${not_this}
SET dataset_path = 'from set';
CREATE MATERIALIZED VIEW b AS SELECT '${dataset_path}' AS p, '$${x}' AS q;
CREATE MATERIALIZED VIEW c AS SELECT ${missing} AS p, '${other}' AS q;",
    );
    let one = |value: &str| BTreeMap::from([("dataset_path".to_string(), value.to_string())]);
    let mut out = Definitions::default();
    parse_sql(&file, &namespace(), &Configuration::new(one("from spec"), one("from --conf")), &mut out);
    let queries: Vec<_> = out.flows.iter().map(|flow| flow.query.ast.to_string()).collect();
    assert_eq!(queries, ["SELECT 'from --conf' AS p", "SELECT 'from set' AS p, '${x}' AS q"]);
    let found: Vec<_> = out.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "[UNDEFINED_CONFIGURATION_KEY] no value for ${missing} (a.sql:4:38)",
            "[UNDEFINED_CONFIGURATION_KEY] no value for ${other} (a.sql:4:56)"
        ]
    );
    assert_eq!(
        out.diagnostics[0].help.as_deref(),
        Some("define spec.configuration.missing, pass --conf missing=… or SET missing earlier in this file")
    );
}

#[test]
fn p15_set_scope_is_file() {
    let out = read_with(
        &[
            ("a.sql", "SET k = t;\nSET `pipelines.MAXFLOWretryAttempts` = \"5\"; CREATE MATERIALIZED VIEW a AS SELECT * FROM ${k}"),
            (
                "b.sql",
                "CREATE MATERIALIZED VIEW b AS SELECT * FROM ${k}; SET spark.sql.shuffle.partitions=5; SET pipelines.nope = 1; SET x",
            ),
        ],
        &[],
    );
    assert_eq!(findings(&out), ["UNDEFINED_CONFIGURATION_KEY 1:45", "W007 1:51", "W005 1:87", "PARSE_SYNTAX_ERROR 1:111"]);
    assert_eq!(out.flows.len(), 1);
    assert_eq!(out.flows[0].settings.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["pipelines.maxFlowRetryAttempts=5"]);
}

#[test]
fn p16_use_schema_scope() {
    let out = read_with(
        &[
            (
                "a.sql",
                "USE SCHEMA s2; CREATE STREAMING TABLE t AS SELECT * FROM STREAM x; USE CATALOG c; CREATE STREAMING TABLE t; USE d.e; CREATE STREAMING TABLE t;",
            ),
            ("b.sql", "CREATE STREAMING TABLE t; USE DATABASE schema; CREATE STREAMING TABLE u;"),
        ],
        &[],
    );
    let names: Vec<_> = out.datasets.iter().map(|d| d.name.to_string()).collect();
    assert_eq!(names, ["main.s2.t", "c.default.t", "d.e.t", "main.bookstore.t", "main.schema.u"]);
    assert_eq!((out.flows[0].name.as_str(), out.flows[0].query.namespace.schema.as_str()), ("s2.t", "s2"));
    assert_eq!(out.diagnostics, []);
}

#[test]
fn p101_notebook_export() {
    let notebook = "-- Databricks notebook source
-- MAGIC %md
-- MAGIC # Title; with a semicolon

-- COMMAND ----------

-- DBTITLE 1,Bronze
CREATE STREAMING TABLE a AS SELECT * FROM STREAM x

-- COMMAND ----------

SELECT * FROM a

-- COMMAND ----------

CREATE MATERIALIZED VIEW b AS SELECT * FROM a;

-- COMMAND ----------

SET k = v";
    let plain = "CREATE STREAMING TABLE a AS SELECT * FROM STREAM x; CREATE MATERIALIZED VIEW b AS SELECT * FROM a";
    let found = read(notebook);
    assert_eq!(shape(&found), shape(&right(plain)));
    assert_eq!(findings(&found), ["W001 12:1"]);
    assert_eq!(findings(&read("SELECT * FROM a")), ["UNSUPPORTED_PIPELINE_STATEMENT 1:1"]);
}

#[test]
fn checks_and_computed_columns() {
    let out = right(
        "CREATE STREAMING TABLE t (id BIGINT NOT NULL, twice BIGINT GENERATED ALWAYS AS (id * (1 + 1)) COMMENT 'c',
           CONSTRAINT `a b` CHECK (id > 0), CHECK (twice IN (2, 4))) AS SELECT * FROM STREAM x",
    );
    let dataset = &out.datasets[0];
    let checks: Vec<_> = dataset.checks.iter().map(|check| (check.name.as_str(), check.predicate.text.as_str())).collect();
    assert_eq!(checks, [("a b", "id > 0"), ("check_2", "twice IN (2, 4)")]);
    let place = |origin: &crate::origin::Origin| (origin.line, origin.column);
    assert_eq!((place(&dataset.checks[0].origin), place(&dataset.checks[0].predicate.origin)), ((2, 12), (2, 36)));
    let columns = dataset.columns.as_ref().unwrap();
    let generated = columns.iter().map(|column| column.generated.as_ref().map(|clause| clause.text.as_str()));
    assert_eq!(generated.collect::<Vec<_>>(), [None, Some("id * (1 + 1)")]);
    assert_eq!((columns[0].nullable, columns[1].comment.as_deref()), (false, Some("c")));
}

#[test]
fn p105_unsupported_features_are_refused_by_name_and_place() {
    for (text, expected) in [
        ("CREATE MATERIALIZED VIEW t AS SELECT * FROM a VERSION AS OF 3", "VERSION AS OF in a pipeline 1:47"),
        ("CREATE MATERIALIZED VIEW t AS SELECT * FROM a FOR TIMESTAMP AS OF '2020-01-01'", "TIMESTAMP AS OF in a pipeline 1:51"),
        ("CREATE STREAMING TABLE t AS SELECT * FROM STREAM read_kafka(subscribe => 'x')", "read_kafka 1:50"),
        ("CREATE STREAMING TABLE t (a BIGINT GENERATED BY DEFAULT AS IDENTITY, b INT)", "GENERATED … AS IDENTITY of a column 1:36"),
        ("CREATE STREAMING TABLE t (a INT DEFAULT 5)", "DEFAULT of a column 1:33"),
        ("CREATE STREAMING TABLE t (a INT MASK f USING COLUMNS (b), c INT)", "MASK of a column 1:33"),
        ("CREATE STREAMING TABLE t WITH ROW FILTER f ON (a)", "WITH ROW FILTER 1:26"),
        ("CREATE STREAMING TABLE t FLOW REPLACE WHERE a > 1 BY NAME SELECT 1", "FLOW REPLACE 1:31"),
        ("CREATE SINK s OPTIONS (format => 'kafka')", "a sink of format kafka 1:24"),
        ("CREATE FLOW f AS AUTO CDC INTO t FROM a KEYS (k) SEQUENCE BY s STORED AS BITEMPORAL", "STORED AS BITEMPORAL 1:74"),
        ("CREATE FLOW f AS AUTO CDC INTO t FROM a KEYS (k) SYSTEM SEQUENCE BY s", "SYSTEM SEQUENCE BY 1:50"),
        ("CREATE MATERIALIZED VIEW m SCHEDULE EVERY 1 HOUR AS SELECT 1", "SCHEDULE of a dataset 1:28"),
    ] {
        let out = read(text);
        let found: Vec<_> = out
            .diagnostics
            .iter()
            .map(|found| format!("{} {}", found.message, found.origin.as_ref().map(|o| format!("{}:{}", o.line, o.column)).unwrap()))
            .collect();
        let (feature, place) = expected.rsplit_once(' ').unwrap();
        assert_eq!(found, [format!("{feature} is not supported in this release {place}")], "{text}");
        assert_eq!(out.diagnostics[0].class, "FEATURE_NOT_SUPPORTED");
        assert!(out.datasets.is_empty() && out.flows.is_empty(), "{text}");
    }
}

#[test]
fn mistakes_have_their_class_and_place() {
    for (text, expected) in [
        ("CREATE STREAMING TABLE t LOCATION 's3://x' AS SELECT 1", "LOCATION_NOT_ALLOWED 1:26"),
        ("CREATE STREAMING TABLE t PARTITIONED BY (a) CLUSTER BY (b)", "SPECIFY_CLUSTER_BY_WITH_PARTITIONED_BY_IS_NOT_ALLOWED 1:24"),
        ("CREATE TEMPORARY VIEW a.b AS SELECT 1", "TEMP_VIEW_NAME_TOO_MANY_NAME_PARTS 1:23"),
        ("CREATE VIEW v (CONSTRAINT c EXPECT (true)) AS SELECT 1", "EXPECTATION_NOT_ALLOWED 1:16"),
        ("CREATE FLOW a.b AS INSERT INTO t BY NAME SELECT 1", "MULTIPART_FLOW_NAME_NOT_SUPPORTED 1:13"),
        ("CREATE FLOW f AS INSERT INTO t (a) SELECT 1", "PARSE_SYNTAX_ERROR 1:32"),
        ("CREATE TEMPORARY VIEW v PARTITIONED BY (a) AS SELECT 1", "PARSE_SYNTAX_ERROR 1:25"),
        ("CREATE STREAMING TABLE t COMMENT 'a' COMMENT 'b'", "PARSE_SYNTAX_ERROR 1:38"),
        ("CREATE STREAMING TABLE t AS SELECT 'a' 'b' AS c", "PARSE_SYNTAX_ERROR 1:40"),
        ("CREATE STREAMING TABLE t AS SELECT * FROM STREAM (SELECT 1)", "PARSE_SYNTAX_ERROR 1:51"),
        ("CREATE STREAMING TABLE t AS SELECT 'abc", "PARSE_SYNTAX_ERROR 1:36"),
        ("CREATE STREAMING TABLE t AS SELECT 1 /* x", "PARSE_SYNTAX_ERROR 1:42"),
        ("CREATE STREAMING TABLE t AS", "PARSE_SYNTAX_ERROR 1:28"),
        ("CREATE STREAMING TABLE t AS SELECT a FROM", "PARSE_SYNTAX_ERROR 1:42"),
        ("CREATE STREAMING TABLE t TBLPROPERTIES (delta.setTransactionRetentionDuration = 1)", "PROPERTY_NOT_ALLOWED 1:41"),
        ("CREATE STREAMING TABLE t TBLPROPERTIES (a = 1, A = 2)", "DUPLICATE_KEY 1:48"),
        ("CREATE FLOW f AS AUTO CDC INTO t FROM a KEYS (k)", "PARSE_SYNTAX_ERROR 1:34"),
        ("CREATE FLOW f AS AUTO CDC INTO t FROM a b c KEYS (k) SEQUENCE BY s", "PARSE_SYNTAX_ERROR 1:41"),
        ("INSERT INTO t SELECT 1", "UNSUPPORTED_PIPELINE_STATEMENT 1:1"),
        ("CREATE STREAMING TABLE a.b.c.d", "PARSE_SYNTAX_ERROR 1:24"),
    ] {
        let out = read(text);
        assert_eq!(findings(&out), [expected], "{text}: {:?}", out.diagnostics);
    }
    let lints =
        read("CREATE STREAMING TABLE t (CONSTRAINT c EXPECT (a) ON VIOLATION WARN) TBLPROPERTIES ('delta.enableRowTracking' = true)");
    assert_eq!(findings(&lints), ["W004 1:64", "W008 1:85"]);
    assert_eq!(lints.datasets.len(), 1);
}
