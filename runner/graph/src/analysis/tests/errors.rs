//! Wrong queries are refused with class, place and what to do; nothing panics.

use super::*;

fn known() -> Known {
    Known::tables(&[("orders", "id BIGINT, total BIGINT, at TIMESTAMP, items ARRAY<STRUCT<a: INT>>"), ("dim", "id BIGINT, name STRING")])
}

#[test]
fn errors_have_class_and_place() {
    for (sql, class, column) in [
        ("SELECT totl FROM orders", "UNRESOLVED_COLUMN.WITH_SUGGESTION", 8),
        ("SELECT * FROM oders", "TABLE_OR_VIEW_NOT_FOUND", 15),
        ("SELECT uper('x')", "UNRESOLVED_ROUTINE", 8),
        ("SELECT ai_query('m', 'x')", "FEATURE_NOT_SUPPORTED", 8),
        ("SELECT year(items) FROM orders", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", 8),
        ("SELECT id FROM orders WHERE id", "DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN", 29),
        ("SELECT items = 1 FROM orders", "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES", 8),
        ("SELECT id, count(*) AS n FROM orders", "MISSING_AGGREGATION", 1),
        ("SELECT id FROM orders WHERE count(*) > 1", "INVALID_AGGREGATE", 29),
        ("SELECT id FROM orders JOIN dim ON orders.id = dim.id", "AMBIGUOUS_REFERENCE", 8),
        ("SELECT id, id FROM dim", "COLUMN_ALREADY_EXISTS", 1),
        ("SELECT :nope", "UNBOUND_SQL_PARAMETER", 8),
        ("SELECT from_json('x', 'a BIGNT')", "INVALID_SCHEMA.PARSE_ERROR", 8),
        ("SELECT id FROM orders WHERE window(at, '5 minutes', '1 minute').start > at", "FEATURE_NOT_SUPPORTED", 29),
        ("SELECT window(at, '5 m', '1 minute') AS w FROM orders", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", 8),
        (
            "SELECT window(at, '6 minutes', '1 minute') AS a, window(at, '5 minutes', '1 minute') AS b FROM orders",
            "FEATURE_NOT_SUPPORTED",
            50,
        ),
        ("SELECT input_file_name() AS f FROM orders", "FEATURE_NOT_SUPPORTED", 8),
        ("SELECT items.b FROM orders", "FIELD_NOT_FOUND", 8),
        ("SELECT id FROM dim UNION ALL SELECT id, name FROM dim", "NUM_COLUMNS_MISMATCH", 30),
        ("SELECT 1 + explode(items) FROM orders", "UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS", 12),
        ("SELECT transform(items, x -> (SELECT max(id) FROM dim)) FROM orders", "FEATURE_NOT_SUPPORTED", 8),
        ("SELECT * FROM dim EXCEPT ALL SELECT * FROM nowhere", "TABLE_OR_VIEW_NOT_FOUND", 44),
    ] {
        let error = known().error(sql);
        let origin = error.origin.clone().unwrap();
        assert_eq!((error.class.as_str(), origin.column), (class, column), "{sql}: {error}");
        assert!(!error.message.is_empty());
    }
}

#[test]
fn suggestions_and_several_errors() {
    assert_eq!(
        known().error("SELECT totl FROM orders").message,
        "there is no column totl; did you mean orders.total, orders.at, orders.id?"
    );
    let errors = known().analyse("SELECT totl, id, nme FROM orders").unwrap_err();
    assert_eq!(errors.len(), 2);
}

#[test]
fn long_chains_are_planned_and_endless_ones_refused() {
    let chain = |operator: &str, terms: usize| format!("SELECT {} AS x", vec!["1"; terms].join(operator));
    let conditions = |terms: usize| format!("SELECT id FROM dim WHERE {}", vec!["id = 1"; terms].join(" OR "));
    assert_eq!(known().schema(&chain(" + ", 150)), "x INT");
    assert_eq!(known().schema(&conditions(1000)), "id BIGINT");
    assert_eq!(known().error(&chain(" + ", 500)).class, "EXPRESSION_NESTED_TOO_DEEPLY");
}

#[test]
fn p28_streaming_aggregation_is_refused() {
    let grouped = known().plan("SELECT id, count(*) AS n FROM STREAM(orders) GROUP BY id");
    let found = check_streaming(&grouped);
    assert_eq!(found[0].class, "STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION");
    assert!(found[0].message.contains("materialized view"));
    assert_eq!(found[0].origin.as_ref().unwrap().column, 55);
}

#[test]
fn streaming_queries_may_not() {
    for (sql, class) in [
        ("SELECT * FROM STREAM(orders) ORDER BY id", "UNSUPPORTED_STREAMING_OPERATION"),
        ("SELECT * FROM STREAM(orders) LIMIT 1", "UNSUPPORTED_STREAMING_OPERATION"),
        ("SELECT o.id FROM STREAM(orders) o JOIN STREAM(dim) d ON o.id = d.id", "FEATURE_NOT_SUPPORTED"),
        ("SELECT o.id FROM STREAM(orders) o RIGHT JOIN dim d ON o.id = d.id", "UNSUPPORTED_STREAMING_OPERATION"),
        ("SELECT o.id FROM dim d LEFT JOIN STREAM(orders) o ON o.id = d.id", "UNSUPPORTED_STREAMING_OPERATION"),
        ("SELECT rank() OVER (ORDER BY id) AS r FROM STREAM(orders)", "UNSUPPORTED_STREAMING_OPERATION"),
        ("SELECT id FROM STREAM(orders) EXCEPT SELECT id FROM dim", "UNSUPPORTED_STREAMING_OPERATION"),
        ("SELECT id FROM STREAM(orders) UNION ALL SELECT id FROM dim", "UNSUPPORTED_STREAMING_OPERATION"),
    ] {
        let found = check_streaming(&known().plan(sql));
        assert_eq!(found.first().map(|found| found.class.as_str()), Some(class), "{sql}: {found:?}");
        assert!(found[0].origin.is_some());
    }
    for sql in [
        "SELECT o.id FROM STREAM(orders) o LEFT JOIN dim d ON o.id = d.id",
        "SELECT id FROM STREAM(orders) UNION ALL SELECT id FROM STREAM(dim)",
        "SELECT id, explode(items) AS i FROM STREAM(orders) WHERE id > (SELECT max(id) FROM dim)",
        "SELECT id FROM STREAM(orders) o LEFT ANTI JOIN dim d ON o.id = d.id",
        "SELECT DISTINCT id FROM STREAM(orders)",
    ] {
        assert_eq!(check_streaming(&known().plan(sql)), Vec::new(), "{sql}");
    }
}
