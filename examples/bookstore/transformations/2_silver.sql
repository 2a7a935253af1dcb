-- Orders: decoded, checked, and the rest kept apart.
CREATE TEMPORARY VIEW orders_raw AS
SELECT v.* FROM (SELECT from_json(CAST(value AS STRING), 'order_id STRING, order_timestamp TIMESTAMP, customer_id STRING,
         quantity BIGINT, total BIGINT, books ARRAY<STRUCT<book_id: STRING, quantity: BIGINT, subtotal: BIGINT>>') AS v
       FROM STREAM(bronze) WHERE topic = 'orders');

CREATE OR REFRESH STREAMING TABLE orders_silver (
  CONSTRAINT valid_quantity EXPECT (quantity > 0) ON VIOLATION DROP ROW,
  CONSTRAINT has_customer   EXPECT (customer_id IS NOT NULL)              -- warn only
) TBLPROPERTIES ("quality" = "silver")
AS SELECT * FROM STREAM(orders_raw);    -- an order that was delivered twice is here twice: see orders_per_day

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

CREATE OR REFRESH STREAMING TABLE books_log
COMMENT "All changes of books, in the order of their arrival"
AS SELECT * FROM STREAM(books_raw);

-- Customers: each change with the name of the country, as the look-up file has it when the change is read.
CREATE OR REFRESH STREAMING TABLE customers_log
COMMENT "All changes of customers, in the order of their arrival"
AS SELECT r.v.customer_id, r.v.email, r.v.first_name, r.v.last_name, r.v.gender, r.v.street, r.v.city, c.country, r.v.row_status, r.v.row_time
FROM (SELECT from_json(CAST(value AS STRING), 'customer_id STRING, email STRING, first_name STRING, last_name STRING, gender STRING,
        street STRING, city STRING, country_code STRING, row_status STRING, row_time TIMESTAMP') AS v
      FROM STREAM(bronze) WHERE topic = 'customers') AS r
LEFT JOIN country_lookup AS c ON r.v.country_code = c.code;
