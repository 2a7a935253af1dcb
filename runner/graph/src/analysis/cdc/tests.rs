//! The order of a source: how each node of a plan passes it on.

use datafusion_common::arrow::datatypes::DataType;

use super::*;
use crate::analysis::tests::Known;

const EVENTS: &str = "id BIGINT, name STRING, tags ARRAY<STRING>, parts MAP<STRING, INT>, items ARRAY<STRUCT<a: INT>>, at TIMESTAMP";

fn known() -> Known {
    Known::tables(&[("events", EVENTS), ("other", EVENTS), ("lookup", "id BIGINT, country STRING")])
}

/// The text of the plan with the order of its source. The columns of the plan stay as they are, in front.
fn ordered(known: &Known, sql: &str) -> (String, usize) {
    let before = known.plan(sql).plan;
    let (plan, order) = with_source_order(&before).unwrap();
    let columns = plan.schema().columns();
    let (own, hidden) = columns.split_at(before.schema().fields().len());
    assert_eq!(own, before.schema().columns(), "{sql}");
    assert_eq!(hidden.iter().map(datafusion_common::Column::flat_name).collect::<Vec<_>>(), order, "{sql}");
    let is_number = |field: &std::sync::Arc<datafusion_common::arrow::datatypes::Field>| *field.data_type() == DataType::UInt64;
    assert!(plan.schema().fields()[own.len()..].iter().all(is_number), "{sql}");
    (plan.display_indent().to_string(), order.len())
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).collect()
}

#[test]
fn a_scan_numbers_its_rows_and_filters_projections_and_aliases_pass_them_on() {
    let (text, depth) = ordered(&known(), "SELECT e.id, upper(e.name) AS name FROM STREAM(events) AS e WHERE e.id > 1");
    assert_eq!(depth, 1);
    assert_eq!(
        lines(&text),
        [
            "Projection: id AS id, name AS name, __floe_order_1 AS __floe_order_1",
            "Projection: e.id AS id, upper(e.name) AS name, e.__floe_source_order AS __floe_order_1",
            "Filter: e.id > Int64(1)",
            "SubqueryAlias: e",
            "TableScan: main.default.events",
        ]
    );
    let source = known().plan("SELECT * FROM STREAM(events)");
    let (plan, _) = with_source_order(&source.plan).unwrap();
    let mut columns = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let datafusion_expr::LogicalPlan::TableScan(scan) = node {
            columns = scan.projected_schema.fields().iter().map(|field| field.name().clone()).collect();
        }
        Ok(datafusion_common::tree_node::TreeNodeRecursion::Continue)
    })
    .unwrap();
    assert_eq!(columns, ["id", "name", "tags", "parts", "items", "at", SOURCE_ORDER]);
}

#[test]
fn views_subqueries_and_common_tables_pass_the_order_on() {
    let mut known = known();
    known.view("v", "SELECT id, struct(name, at) AS s FROM STREAM(events)");
    for sql in [
        "SELECT * FROM STREAM(v)",
        "SELECT s.* FROM (SELECT s FROM STREAM(v)) AS r",
        "WITH c AS (SELECT * FROM STREAM(v)) SELECT id FROM c WHERE id IN (SELECT id FROM lookup)",
        "SELECT id, s.name FROM (SELECT * FROM STREAM(v) WHERE id > 0) AS t(id, s)",
    ] {
        assert_eq!(ordered(&known, sql).1, 1, "{sql}");
    }
}

#[test]
fn a_join_has_the_order_of_the_stream() {
    for (sql, stream) in [
        ("SELECT e.id, l.country FROM STREAM(events) AS e LEFT JOIN lookup AS l ON e.id = l.id", "e"),
        ("SELECT e.id, l.country FROM STREAM(events) AS e JOIN lookup AS l ON e.id = l.id", "e"),
        ("SELECT e.id, l.country FROM lookup AS l JOIN STREAM(events) AS e ON e.id = l.id", "e"),
        ("SELECT e.id, l.country FROM lookup AS l RIGHT JOIN STREAM(events) AS e ON e.id = l.id", "e"),
        ("SELECT e.id FROM STREAM(events) AS e LEFT SEMI JOIN lookup AS l ON e.id = l.id", "e"),
        ("SELECT e.id FROM STREAM(events) AS e LEFT ANTI JOIN lookup AS l ON e.id = l.id", "e"),
        ("SELECT e.id, l.id AS other FROM STREAM(events) AS e, lookup AS l", "e"),
        ("SELECT id, country FROM STREAM(events) AS e JOIN lookup USING (id)", "e"),
    ] {
        let (text, depth) = ordered(&known(), sql);
        assert_eq!(depth, 1, "{sql}");
        assert!(text.contains(&format!("{stream}.{SOURCE_ORDER} AS __floe_order_1")), "{sql}\n{text}");
        assert_eq!(text.matches(SOURCE_ORDER).count(), 1, "{sql}\n{text}");
    }
}

#[test]
fn a_union_puts_the_branch_first_and_fills_the_shorter_branch() {
    let (text, depth) = ordered(&known(), "SELECT id FROM STREAM(events) UNION ALL SELECT id FROM STREAM(other)");
    assert_eq!(depth, 2);
    assert!(text.contains("Projection: id, UInt64(0) AS __floe_order_1, __floe_order_1 AS __floe_order_2"), "{text}");
    assert!(text.contains("Projection: id, UInt64(1) AS __floe_order_1, __floe_order_1 AS __floe_order_2"), "{text}");
    let sql = "SELECT id FROM STREAM(events) UNION ALL SELECT id FROM STREAM(other) UNION ALL SELECT id FROM STREAM(events)";
    let (text, depth) = ordered(&known(), sql);
    assert_eq!(depth, 3);
    assert!(text.contains("UInt64(1) AS __floe_order_1, __floe_order_1 AS __floe_order_2, UInt64(0) AS __floe_order_3"), "{text}");
    let sql = "SELECT id FROM STREAM(events) UNION ALL SELECT v.id FROM (SELECT id, explode(tags) AS tag FROM STREAM(other)) AS v";
    assert_eq!(ordered(&known(), sql).1, 3);
}

#[test]
fn an_exploded_array_adds_the_position() {
    let sql = "SELECT e.id, t.tag FROM STREAM(events) AS e, LATERAL EXPLODE(e.tags) AS t(tag)";
    let (text, depth) = ordered(&known(), sql);
    assert_eq!(depth, 2);
    assert!(text.contains("CAST($field(__generated#2, Utf8(\"pos\")) AS UInt64) AS __floe_order_2"), "{text}");
    for sql in [
        "SELECT id, explode(tags) AS tag FROM STREAM(events)",
        "SELECT id, explode_outer(tags) AS tag FROM STREAM(events)",
        "SELECT id, explode(parts) FROM STREAM(events)",
        "SELECT id, posexplode(tags) FROM STREAM(events)",
        "SELECT id, inline(items) FROM STREAM(events)",
        "SELECT id, tag FROM STREAM(events) LATERAL VIEW explode(tags) t AS tag",
        "SELECT e.id, t.tag, l.country FROM STREAM(events) AS e, LATERAL EXPLODE(e.tags) AS t(tag) JOIN lookup AS l ON e.id = l.id",
    ] {
        assert_eq!(ordered(&known(), sql).1, 2, "{sql}");
    }
    let twice =
        "SELECT e.id, t.tag, p.key FROM STREAM(events) AS e, LATERAL EXPLODE(e.tags) AS t(tag), LATERAL EXPLODE(e.parts) AS p(key, value)";
    assert_eq!(ordered(&known(), twice).1, 3);
}

#[test]
fn a_batch_has_the_order_of_its_first_leaf() {
    for (sql, depth) in [
        ("SELECT id, name FROM events", 1),
        ("SELECT e.id, l.country FROM events AS e JOIN lookup AS l ON e.id = l.id", 1),
        ("SELECT id FROM events UNION ALL SELECT id FROM other", 2),
        ("SELECT id, row_number() OVER (PARTITION BY name ORDER BY id) AS n FROM events", 1),
        ("SELECT DISTINCT ON (id) id, name FROM events ORDER BY id", 1),
        ("SELECT id FROM events ORDER BY id LIMIT 3", 1),
        ("SELECT DISTINCT id FROM events", 0),
        ("SELECT id, count(*) AS n FROM events GROUP BY id", 0),
        ("SELECT id FROM events UNION SELECT id FROM other", 0),
        ("SELECT 1 AS one", 0),
    ] {
        let (text, found) = ordered(&known(), sql);
        assert_eq!(found, depth, "{sql}\n{text}");
        assert!(depth > 0 || !text.contains(SOURCE_ORDER), "{sql}\n{text}");
    }
}
