use super::*;
use crate::definition::{AutoCdc, ColumnSelection, DatasetKind, FlowKind, RefreshPolicy};
use floe_crds::state::ExpectationAction;

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
    let flow = |flow: &Flow| format!("{} -> {} {:?} {} {:?}", flow.name, flow.target, flow.kind, flow.query.ast, flow.comment);
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
    assert_eq!((flow.query.origin.line, flow.query.origin.column), (9, 4));
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
        "SET pipelines.trigger.interval = '10 seconds';
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
    assert_eq!(out.flows[0].settings.get("pipelines.trigger.interval").map(String::as_str), Some("10 seconds"));
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
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect::<Vec<_>>();
    assert_eq!(
        **cdc,
        AutoCdc {
            keys: names(&["customer_id", "b c"]),
            sequence_by: Some("struct(a, b)".to_string()),
            apply_as_delete_when: Some("row_status = \"delete\"".to_string()),
            apply_as_truncate_when: Some("op = 'T'".to_string()),
            ignore_null_updates: Some(ColumnSelection::Only(names(&["a", "b"]))),
            columns: Some(ColumnSelection::Except(names(&["row_status", "row_time"]))),
            scd_type: 2,
            track_history: Some(ColumnSelection::Except(names(&["city"]))),
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
fn every_spelling_of_a_stream_becomes_one() {
    for (written, read) in [
        ("STREAM a", "STREAM(a)"),
        ("STREAM(a)", "STREAM(a)"),
        ("STREAM c.s.a AS x", "STREAM(c.s.a) AS x"),
        ("stream a x", "STREAM(a) x"),
        (
            "STREAM a WITH ('skipChangeCommits' = 'true', startingVersion => 3)",
            "STREAM(a, skipChangeCommits => 'true', startingVersion => 3)",
        ),
        ("STREAM(a, skipChangeCommits => true)", "STREAM(a, skipChangeCommits => true)"),
        ("read_stream('s.a', skipChangeCommits => true)", "STREAM(s.a, skipChangeCommits => true)"),
        (
            "STREAM read_files('p', 'cloudFiles.format' => 'json', header = true)",
            "STREAM(read_files('p', format => 'json', header => true))",
        ),
        ("STREAM(read_files('p'))", "STREAM(read_files('p'))"),
        ("STREAM read_files('p') WITH ('maxFilesPerTrigger' = '5')", "STREAM(read_files('p', maxFilesPerTrigger => '5'))"),
        ("json.`/a/b`", "read_files('/a/b', format => 'json')"),
        ("STREAM csv.`/a` c", "STREAM(read_files('/a', format => 'csv')) c"),
        ("delta.`s3://x/y`", "delta.`s3://x/y`"),
        ("b, STREAM a", "b, STREAM(a)"),
        ("b JOIN STREAM a ON b.x = a.x, STREAM c", "b JOIN STREAM(a) ON b.x = a.x, STREAM(c)"),
        ("(SELECT * FROM STREAM a) AS q", "(SELECT * FROM STREAM(a)) AS q"),
        ("stream", "stream"),
        ("stream JOIN a ON true", "stream JOIN a ON true"),
        ("`stream` a", "`stream` a"),
    ] {
        assert_eq!(query(&format!("SELECT * FROM {written}")), format!("SELECT * FROM {read}"), "{written}");
    }
    assert_eq!(query("SELECT stream b, stream FROM t"), "SELECT stream AS b, stream FROM t");
    assert_eq!(
        query("SELECT extract(YEAR FROM d), a IS DISTINCT FROM b FROM t"),
        "SELECT EXTRACT(YEAR FROM d), a IS DISTINCT FROM b FROM t"
    );
    assert_eq!(query("FROM STREAM a SELECT x"), "FROM STREAM(a) SELECT x");
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
