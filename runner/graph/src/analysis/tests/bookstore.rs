//! The queries of the Bookstore pipeline (chapter 3.1), each over the results of the ones before.

use super::*;

const BRONZE: &str = "SELECT key, value, topic, partition, offset, CAST(r.timestamp / 1000 AS TIMESTAMP) AS timestamp,
  date_format(CAST(r.timestamp / 1000 AS TIMESTAMP), 'yyyy-MM') AS year_month
  FROM STREAM(read_files('landing/kafka-raw-etl', format => 'json', schema =>
    'key BINARY, value BINARY, topic STRING, partition BIGINT, offset BIGINT, timestamp BIGINT')) AS r";

fn upstream() -> Known {
    let mut known = Known::default();
    known.table("bronze", BRONZE);
    known.view("country_lookup", "SELECT code, country FROM read_files('c', format => 'json', schema => 'code STRING, country STRING')");
    known.view(
        "orders_raw",
        "SELECT v.* FROM (SELECT from_json(CAST(value AS STRING), 'order_id STRING, order_timestamp TIMESTAMP, customer_id STRING,
         quantity BIGINT, total BIGINT, books ARRAY<STRUCT<book_id: STRING, quantity: BIGINT, subtotal: BIGINT>>') AS v
       FROM STREAM(bronze) WHERE topic = 'orders')",
    );
    known.table("orders_silver", "SELECT * FROM STREAM(orders_raw)");
    known.table(
        "books_silver",
        "SELECT 'a' book_id, 'b' title, 'c' author, 1D price, true is_quarantined, now() __START_AT, now() __END_AT",
    );
    known.table("current_books", "SELECT book_id, title, author, price FROM books_silver WHERE __END_AT IS NULL AND NOT is_quarantined");
    known
}

const BOOKS_SALES: &str = "SELECT o.order_id, o.order_timestamp, o.customer_id, o.total,
            b.book.quantity AS quantity, b.book.subtotal AS subtotal, c.book_id, c.title, c.author, c.price
     FROM STREAM(orders_silver) AS o, LATERAL EXPLODE(o.books) AS b(book)
     INNER JOIN current_books AS c ON b.book.book_id = c.book_id";

#[test]
fn bronze_and_silver_have_the_declared_types() {
    let known = upstream();
    assert_eq!(
        known.schema(BRONZE),
        "key BINARY, value BINARY, topic STRING, partition BIGINT, offset BIGINT, timestamp TIMESTAMP, year_month STRING"
    );
    assert_eq!(
        known.schema("SELECT * FROM STREAM(orders_raw)"),
        "order_id STRING, order_timestamp TIMESTAMP, customer_id STRING, quantity BIGINT, total BIGINT, \
         books ARRAY<STRUCT<book_id: STRING, quantity: BIGINT, subtotal: BIGINT>>"
    );
    assert_eq!(known.schema("SELECT * FROM current_books"), "book_id STRING, title STRING, author STRING, price DOUBLE");
}

#[test]
fn streams_and_their_leaves_are_found() {
    let known = upstream();
    let silver = known.plan("SELECT * FROM STREAM(orders_raw)");
    assert!(silver.streaming);
    assert_eq!(silver.leaves.iter().map(|leaf| leaf.source_id()).collect::<Vec<_>>(), vec!["main.default.bronze"]);
    assert!(check_streaming(&silver).is_empty());
    assert!(!known.plan("SELECT * FROM current_books").streaming);
}

#[test]
fn books_raw_flags_rows() {
    let known = upstream();
    let text = known.schema(
        "SELECT v.*, (v.updated >= '2020-01-01' AND v.price BETWEEN 0 AND 100 AND v.book_id IS NOT NULL) IS NOT TRUE AS is_quarantined
     FROM (SELECT from_json(CAST(value AS STRING), 'book_id STRING, title STRING, author STRING, price DOUBLE, updated TIMESTAMP') AS v
           FROM STREAM(bronze) WHERE topic = 'books')",
    );
    assert_eq!(text, "book_id STRING, title STRING, author STRING, price DOUBLE, updated TIMESTAMP, is_quarantined BOOLEAN");
}

#[test]
fn stream_static_join_keeps_the_stream_side() {
    let known = upstream();
    let customers = known.plan(
        "SELECT r.v.customer_id, r.v.email, c.country, r.v.row_status, r.v.row_time
FROM (SELECT from_json(CAST(value AS STRING), 'customer_id STRING, email STRING, country_code STRING, row_status STRING, row_time TIMESTAMP') AS v
      FROM STREAM(bronze) WHERE topic = 'customers') AS r
LEFT JOIN country_lookup AS c ON r.v.country_code = c.code",
    );
    assert_eq!(
        ddl::schema_text(&customers.schema),
        "customer_id STRING, email STRING, country STRING, row_status STRING, row_time TIMESTAMP"
    );
    assert!(check_streaming(&customers).is_empty());
    assert_eq!(customers.leaves.len(), 2);
}

#[test]
fn books_sales_explodes_and_its_expectations_are_typed() {
    let known = upstream();
    let sales = known.plan(BOOKS_SALES);
    assert_eq!(
        ddl::schema_text(&sales.schema),
        "order_id STRING, order_timestamp TIMESTAMP, customer_id STRING, total BIGINT, quantity BIGINT, subtotal BIGINT, \
         book_id STRING, title STRING, author STRING, price DOUBLE"
    );
    assert!(check_streaming(&sales).is_empty(), "{:?}", check_streaming(&sales));
    for text in [
        "subtotal = quantity * price",
        "total BETWEEN 0 AND 100000",
        "order_timestamp <= current_timestamp() AND year(order_timestamp) >= 2020",
        "b.book.subtotal > 0",
        "o.total > 0",
    ] {
        expectation(&sales, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let rule = expectation(&sales, "b.book.subtotal > 0").unwrap();
    assert_eq!(rule.predicate.to_string(), "subtotal > CAST(Int32(0) AS Int64)".replace("CAST(Int32(0) AS Int64)", "Int64(0)"));
}

#[test]
fn gold_views_are_typed() {
    let mut known = upstream();
    known.table("books_sales", BOOKS_SALES);
    known.table("customers_silver", "SELECT 'a' customer_id, 'b' country");
    let authors = known.plan(
        "SELECT author, window.start AS window_start, window.end AS window_end, COUNT(order_id) AS orders_count, AVG(quantity) AS avg_quantity
FROM books_sales GROUP BY author, window(order_timestamp, '5 minutes', '5 minutes', '2 minutes')",
    );
    assert_eq!(
        ddl::schema_text(&authors.schema),
        "author STRING, window_start TIMESTAMP, window_end TIMESTAMP, orders_count BIGINT, avg_quantity DOUBLE"
    );
    assert!(authors.plan.display_indent().to_string().contains("window(books_sales.order_timestamp, Int64(300000000), Int64(120000000))"));
    let countries = known.schema(
        "SELECT c.country, date_trunc('DAY', o.order_timestamp) AS order_date, COUNT(o.order_id) AS orders_count, SUM(o.quantity) AS books_count
FROM orders_silver AS o INNER JOIN customers_silver AS c ON o.customer_id = c.customer_id
GROUP BY c.country, date_trunc('DAY', o.order_timestamp)",
    );
    assert_eq!(countries, "country STRING, order_date TIMESTAMP, orders_count BIGINT, books_count BIGINT");
}

#[test]
fn p102_aggregate_of_a_literal_is_linted() {
    let mut known = upstream();
    known.table("books_sales", BOOKS_SALES);
    let counted = known.plan("SELECT COUNT(\"order_id\") AS n, AVG(\"quantity\") AS q FROM books_sales");
    assert_eq!(ddl::schema_text(&counted.schema), "n BIGINT, q DOUBLE");
    let lints: Vec<_> = counted.lints.iter().map(|lint| (lint.class.as_str(), lint.origin.clone().unwrap().column)).collect();
    assert_eq!(lints, vec![("W010", 14), ("W010", 36)]);
}
