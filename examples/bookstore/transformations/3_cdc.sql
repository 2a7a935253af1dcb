-- Customers: the newest row of each, with the name of the country as the look-up file has it when the change is read.
CREATE TEMPORARY VIEW customers_cdc AS
SELECT r.v.customer_id, r.v.email, r.v.first_name, r.v.last_name, r.v.gender, r.v.street, r.v.city, c.country, r.v.row_status, r.v.row_time
FROM (SELECT from_json(CAST(value AS STRING), 'customer_id STRING, email STRING, first_name STRING, last_name STRING, gender STRING,
        street STRING, city STRING, country_code STRING, row_status STRING, row_time TIMESTAMP') AS v
      FROM STREAM(bronze) WHERE topic = 'customers') AS r
LEFT JOIN country_lookup AS c ON r.v.country_code = c.code;

CREATE OR REFRESH STREAMING TABLE customers_silver;
CREATE FLOW customers_flow AS AUTO CDC INTO customers_silver
FROM STREAM(customers_cdc) KEYS (customer_id)
APPLY AS DELETE WHEN row_status = 'delete'
SEQUENCE BY row_time COLUMNS * EXCEPT (row_status, row_time) STORED AS SCD TYPE 1;

-- Books: every version with the time in which it was valid.
CREATE OR REFRESH STREAMING TABLE books_silver (
  CONSTRAINT valid_key EXPECT (book_id IS NOT NULL AND updated IS NOT NULL) ON VIOLATION DROP ROW
) FLOW AUTO CDC FROM STREAM(books_raw) KEYS (book_id) SEQUENCE BY updated
COLUMNS * EXCEPT (updated) STORED AS SCD TYPE 2;
