-- Orders: decoded, checked, and the rest kept apart.
CREATE TEMPORARY VIEW orders_raw AS
SELECT v.* FROM (SELECT from_json(CAST(value AS STRING), 'order_id STRING, order_timestamp TIMESTAMP, customer_id STRING,
         quantity BIGINT, total BIGINT, books ARRAY<STRUCT<book_id: STRING, quantity: BIGINT, subtotal: BIGINT>>') AS v
       FROM STREAM(bronze) WHERE topic = 'orders');

CREATE OR REFRESH STREAMING TABLE orders_silver (
  CONSTRAINT valid_quantity EXPECT (quantity > 0) ON VIOLATION DROP ROW,
  CONSTRAINT has_customer   EXPECT (customer_id IS NOT NULL)              -- warn only
) TBLPROPERTIES ("quality" = "silver")
AS SELECT DISTINCT ON (order_id, order_timestamp) *    -- an order that is delivered again is dropped, and so is one that comes 7 days late
   FROM STREAM(orders_raw) WATERMARK order_timestamp DELAY OF INTERVAL 7 DAYS;

CREATE OR REFRESH STREAMING TABLE orders_quarantine (                     -- the complement, safe for NULL
  CONSTRAINT invalid_quantity EXPECT ((quantity > 0) IS NOT TRUE) ON VIOLATION DROP ROW
) AS SELECT * FROM STREAM(orders_raw);

-- Books: the expectations of a view are counted by the table that reads it.
CREATE TEMPORARY VIEW books_raw (
  CONSTRAINT recent_updates EXPECT (updated >= '2020-01-01'),
  CONSTRAINT valid_price    EXPECT (price BETWEEN 0 AND 100),
  CONSTRAINT valid_id       EXPECT (book_id IS NOT NULL)
) AS SELECT v.*, (v.updated >= '2020-01-01' AND v.price BETWEEN 0 AND 100 AND v.book_id IS NOT NULL) IS NOT TRUE AS is_quarantined
     FROM (SELECT from_json(CAST(value AS STRING), 'book_id STRING, title STRING, author STRING, price DOUBLE, updated TIMESTAMP') AS v
           FROM STREAM(bronze) WHERE topic = 'books');
