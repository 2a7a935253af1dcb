-- transformations/1_ingestion.sql
CREATE OR REFRESH STREAMING TABLE bronze
PARTITIONED BY (topic, year_month)
COMMENT "All Kafka records, one row per record"
TBLPROPERTIES ("quality" = "bronze", "delta.appendOnly" = "true", "pipelines.reset.allowed" = "false")
AS SELECT key, value, topic, partition, offset,
          CAST(r.timestamp / 1000 AS TIMESTAMP) AS timestamp,
          date_format(CAST(r.timestamp / 1000 AS TIMESTAMP), 'yyyy-MM') AS year_month
   FROM STREAM read_files('${dataset_path}/kafka-raw-etl', format => 'json', schema =>
        'key BINARY, value BINARY, topic STRING, partition BIGINT, offset BIGINT, timestamp BIGINT') AS r;

CREATE TEMPORARY VIEW country_lookup AS
SELECT code, country FROM read_files('${dataset_path}/country_lookup', format => 'json', schema => 'code STRING, country STRING');

-- transformations/2_silver.sql
CREATE TEMPORARY VIEW orders_raw AS
SELECT v.* FROM (SELECT from_json(CAST(value AS STRING), 'order_id STRING, order_timestamp TIMESTAMP, customer_id STRING,
         quantity BIGINT, total BIGINT, books ARRAY<STRUCT<book_id: STRING, quantity: BIGINT, subtotal: BIGINT>>') AS v
       FROM STREAM(bronze) WHERE topic = 'orders');

CREATE OR REFRESH STREAMING TABLE orders_silver (
  CONSTRAINT valid_quantity EXPECT (quantity > 0) ON VIOLATION DROP ROW,
  CONSTRAINT has_customer   EXPECT (customer_id IS NOT NULL)              -- warn only
) TBLPROPERTIES ("quality" = "silver")
AS SELECT DISTINCT ON (order_id, order_timestamp) *                       -- † keyed de-duplication, 9.3; later than 7 days = dropped
   FROM STREAM(orders_raw) WATERMARK order_timestamp DELAY OF INTERVAL 7 DAYS;

CREATE OR REFRESH STREAMING TABLE orders_quarantine (                     -- hand-written complement, NULL-safe
  CONSTRAINT invalid_quantity EXPECT ((quantity > 0) IS NOT TRUE) ON VIOLATION DROP ROW
) AS SELECT * FROM STREAM(orders_raw);

CREATE TEMPORARY VIEW books_raw (                                         -- † expectations on a temporary view
  CONSTRAINT recent_updates EXPECT (updated >= '2020-01-01'),
  CONSTRAINT valid_price    EXPECT (price BETWEEN 0 AND 100),
  CONSTRAINT valid_id       EXPECT (book_id IS NOT NULL)
) AS SELECT v.*, (v.updated >= '2020-01-01' AND v.price BETWEEN 0 AND 100 AND v.book_id IS NOT NULL) IS NOT TRUE AS is_quarantined
     FROM (SELECT from_json(CAST(value AS STRING), 'book_id STRING, title STRING, author STRING, price DOUBLE, updated TIMESTAMP') AS v
           FROM STREAM(bronze) WHERE topic = 'books');

-- transformations/3_cdc.sql
CREATE TEMPORARY VIEW customers_cdc AS
SELECT r.v.customer_id, r.v.email, r.v.first_name, r.v.last_name, r.v.gender, r.v.street, r.v.city, c.country, r.v.row_status, r.v.row_time
FROM (SELECT from_json(CAST(value AS STRING), 'customer_id STRING, email STRING, first_name STRING, last_name STRING, gender STRING,
        street STRING, city STRING, country_code STRING, row_status STRING, row_time TIMESTAMP') AS v
      FROM STREAM(bronze) WHERE topic = 'customers') AS r
LEFT JOIN country_lookup AS c ON r.v.country_code = c.code;               -- stream-static join

CREATE OR REFRESH STREAMING TABLE customers_silver;                       -- SCD type 1
CREATE FLOW customers_flow AS AUTO CDC INTO customers_silver
FROM STREAM(customers_cdc) KEYS (customer_id)
APPLY AS DELETE WHEN row_status = 'delete'
SEQUENCE BY row_time COLUMNS * EXCEPT (row_status, row_time) STORED AS SCD TYPE 1;

CREATE OR REFRESH STREAMING TABLE books_silver (                          -- SCD type 2, flow inside the table
  CONSTRAINT valid_key EXPECT (book_id IS NOT NULL AND updated IS NOT NULL) ON VIOLATION DROP ROW   -- before Auto CDC validates keys
) FLOW AUTO CDC FROM STREAM(books_raw) KEYS (book_id) SEQUENCE BY updated
COLUMNS * EXCEPT (updated) STORED AS SCD TYPE 2;

-- transformations/4_gold.sql
CREATE OR REFRESH MATERIALIZED VIEW current_books AS
SELECT book_id, title, author, price FROM books_silver WHERE __END_AT IS NULL AND NOT is_quarantined;

CREATE OR REFRESH STREAMING TABLE books_sales (
  CONSTRAINT valid_subtotal EXPECT (subtotal = quantity * price) ON VIOLATION DROP ROW,
  CONSTRAINT valid_total    EXPECT (total BETWEEN 0 AND 100000) ON VIOLATION FAIL UPDATE,
  CONSTRAINT valid_date     EXPECT (order_timestamp <= current_timestamp() AND year(order_timestamp) >= 2020)
) AS SELECT o.order_id, o.order_timestamp, o.customer_id, o.total,
            b.book.quantity AS quantity, b.book.subtotal AS subtotal, c.book_id, c.title, c.author, c.price
     FROM STREAM(orders_silver) AS o, LATERAL EXPLODE(o.books) AS b(book)
     INNER JOIN current_books AS c ON b.book.book_id = c.book_id;         -- stream-static join

CREATE OR REFRESH MATERIALIZED VIEW authors_stats
COMMENT "Sales per author in 5-minute windows that start at minutes 2, 7, 12, ..." AS
SELECT author, window.start AS window_start, window.end AS window_end,
       COUNT(order_id) AS orders_count, AVG(quantity) AS avg_quantity
FROM books_sales GROUP BY author, window(order_timestamp, '5 minutes', '5 minutes', '2 minutes');

CREATE OR REFRESH MATERIALIZED VIEW countries_stats AS
SELECT c.country, date_trunc('DAY', o.order_timestamp) AS order_date, COUNT(o.order_id) AS orders_count, SUM(o.quantity) AS books_count
FROM orders_silver AS o INNER JOIN customers_silver AS c ON o.customer_id = c.customer_id
GROUP BY c.country, date_trunc('DAY', o.order_timestamp);
