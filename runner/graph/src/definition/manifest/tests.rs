//! Datasets and flows from Table manifests, and their errors with places.

use floe_crds::manifest::{Manifest, read};

use std::fmt::Write as _;

use super::*;
use crate::definition::{SourceFile, parse_sql, shape::kind_text};

fn namespace() -> Namespace {
    Namespace { catalog: "main".to_string(), schema: "bookstore".to_string() }
}

fn definitions(yaml: &str) -> Definitions {
    let mut out = Definitions::default();
    let reading = read(yaml);
    assert_eq!(reading.findings, []);
    for manifest in &reading.manifests {
        if let Manifest::Table(table) = manifest {
            table_manifest("tables.yaml", table, &namespace(), &Configuration::default(), &mut out);
        }
    }
    out
}

fn from_sql(text: &str) -> Definitions {
    let mut out = Definitions::default();
    parse_sql(&SourceFile::new("a.sql", text), &namespace(), &Configuration::default(), &mut out);
    assert_eq!(out.diagnostics, []);
    out
}

/// Everything but places.
fn shape(out: &Definitions) -> String {
    let mut out = out.clone();
    let nowhere = Origin::new("", 1, 1);
    for dataset in &mut out.datasets {
        dataset.origin = nowhere.clone();
        dataset.expectations.iter_mut().for_each(|found| found.origin = nowhere.clone());
        dataset.columns.iter_mut().flatten().for_each(|column| column.origin = nowhere.clone());
    }
    let mut text = String::new();
    for dataset in &out.datasets {
        let expectations: Vec<_> =
            dataset.expectations.iter().map(|e| (&e.name, e.expr.to_string(), &e.text, e.action, &e.quarantine_into)).collect();
        let columns: Vec<_> = dataset.columns.iter().flatten().map(|c| (&c.name, &c.data_type, c.nullable, &c.comment)).collect();
        _ = writeln!(
            text,
            "{} {:?} {} {:?} {expectations:?} {columns:?} {:?} {:?} {:?} {:?}",
            dataset.name,
            dataset.kind,
            dataset.private,
            dataset.refresh_policy,
            dataset.partition_by,
            dataset.cluster_by,
            dataset.comment,
            dataset.properties
        );
    }
    for flow in &out.flows {
        _ = writeln!(
            text,
            "{} {} {} {} {:?} {}",
            flow.name,
            flow.target,
            kind_text(&flow.kind),
            flow.query.ast,
            flow.query.text,
            flow.with_dataset
        );
    }
    text
}

const MANIFESTS: &str = "
apiVersion: floe.dev/v1alpha1
kind: Table
metadata: {name: books-silver}
spec:
  pipeline: bookstore
  type: StreamingTable
  autoCdc: {source: books_raw, keys: [book_id], sequenceBy: updated, exceptColumns: [updated], storedAsScdType: 2}
---
apiVersion: floe.dev/v1alpha1
kind: Table
metadata: {name: orders-silver}
spec:
  pipeline: bookstore
  type: StreamingTable
  query: SELECT * FROM STREAM(orders_raw)
  expectations:
  - {name: valid_quantity, expr: quantity > 0, onViolation: DropRow}
  - {name: has_customer, expr: customer_id IS NOT NULL}
  - {name: q, expr: a = 1, onViolation: QuarantineRow, quarantineInto: bad}
  properties: {quality: silver}
  columns: [{name: id, type: BIGINT, nullable: false, comment: key}]
  partitionBy: [id]
---
apiVersion: floe.dev/v1alpha1
kind: Table
metadata: {name: unique-user-id}
spec: {pipeline: gym, schema: s2, type: MaterializedView, refreshPolicy: Full, query: \"SELECT user_id, count(*) AS n FROM users_silver GROUP BY user_id\"}
---
apiVersion: floe.dev/v1alpha1
kind: Table
metadata: {name: distinct-orders}
spec: {pipeline: bookstore, type: StreamingTable, flows: [{name: live, query: SELECT * FROM STREAM(orders_raw)}, {name: backfill, once: true, query: SELECT * FROM archive.orders}]}
";

const STATEMENTS: &str = "
CREATE STREAMING TABLE books_silver FLOW AUTO CDC FROM STREAM(books_raw) KEYS (book_id) SEQUENCE BY updated
COLUMNS * EXCEPT (updated) STORED AS SCD TYPE 2;
CREATE STREAMING TABLE orders_silver (
  id BIGINT NOT NULL COMMENT 'key',
  CONSTRAINT valid_quantity EXPECT (quantity > 0) ON VIOLATION DROP ROW,
  CONSTRAINT has_customer EXPECT (customer_id IS NOT NULL),
  CONSTRAINT q EXPECT (a = 1) ON VIOLATION QUARANTINE ROW INTO bad
) TBLPROPERTIES ('quality' = 'silver') PARTITIONED BY (id) AS SELECT * FROM STREAM(orders_raw);
CREATE MATERIALIZED VIEW s2.unique_user_id REFRESH POLICY FULL AS SELECT user_id, count(*) AS n FROM users_silver GROUP BY user_id;
CREATE STREAMING TABLE distinct_orders;
CREATE FLOW live AS INSERT INTO distinct_orders BY NAME SELECT * FROM STREAM(orders_raw);
CREATE FLOW backfill AS INSERT INTO ONCE distinct_orders BY NAME SELECT * FROM archive.orders;
";

#[test]
fn p07_manifests_equal_sql() {
    let manifests = definitions(MANIFESTS);
    assert_eq!(manifests.diagnostics, []);
    assert_eq!(shape(&manifests), shape(&from_sql(STATEMENTS)));
}

#[test]
fn p30_places_are_those_of_the_yaml_file() {
    let out = definitions(
        "apiVersion: floe.dev/v1alpha1
kind: Table
metadata: {name: t}
spec:
  pipeline: p
  type: StreamingTable
  query: |
    SELECT a,
           b FORM STREAM(x
  expectations:
  - name: e
    expr: 'a > > 0'
  properties:
    pipelines.resett.allowed: 'true'
",
    );
    let found: Vec<_> = out.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "[PARSE_SYNTAX_ERROR] expected the end of the statement, found `STREAM` (tables.yaml:9:19)",
            "[PARSE_SYNTAX_ERROR] expected an expression, found `>` (tables.yaml:12:16)",
            "[W005] unknown key pipelines.resett.allowed (tables.yaml:14:5)",
        ]
    );
    assert_eq!(out.incomplete.iter().map(ToString::to_string).collect::<Vec<_>>(), ["main.bookstore.t"]);
    assert!(out.datasets.is_empty() && out.flows.is_empty());
}

#[test]
fn p30_duplicates_have_both_places() {
    let mut out = definitions(MANIFESTS);
    parse_sql(&SourceFile::new("a.sql", "\nCREATE STREAMING TABLE Orders_Silver;"), &namespace(), &Configuration::default(), &mut out);
    let places: Vec<_> =
        out.datasets.iter().filter(|d| d.name.key() == "main.bookstore.orders_silver").map(|d| d.origin.to_string()).collect();
    assert_eq!(places, ["tables.yaml:12:18", "a.sql:2:24"]);
}
