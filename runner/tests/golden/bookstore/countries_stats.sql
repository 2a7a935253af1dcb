-- Good orders of customers that are there, by the country in which they live now.
WITH orders AS (
  SELECT DISTINCT v.order_id, v.order_timestamp, v.customer_id, v.quantity, v.total, v.books
  FROM (SELECT from_json(CAST(value AS STRING), 'order_id STRING, order_timestamp TIMESTAMP, customer_id STRING,
          quantity BIGINT, total BIGINT, books ARRAY<STRUCT<book_id: STRING, quantity: BIGINT, subtotal: BIGINT>>') AS v
        FROM bronze WHERE topic = 'orders')
  WHERE v.quantity > 0
),
customers AS (
  SELECT customer_id, email, first_name, last_name, gender, street, city, country
  FROM (SELECT v.*, c.country,
               row_number() OVER (PARTITION BY v.customer_id ORDER BY v.row_time DESC, (v.row_status = 'delete') DESC, e.offset DESC) AS place
        FROM (SELECT offset, from_json(CAST(value AS STRING), 'customer_id STRING, email STRING, first_name STRING, last_name STRING,
                gender STRING, street STRING, city STRING, country_code STRING, row_status STRING, row_time TIMESTAMP') AS v
              FROM bronze WHERE topic = 'customers') AS e
        LEFT JOIN country_lookup AS c ON e.v.country_code = c.code)
  WHERE place = 1 AND row_status <> 'delete'
)
SELECT c.country, CAST(to_date(o.order_timestamp) AS TIMESTAMP) AS order_date, count(*) AS orders_count, sum(o.quantity) AS books_count
FROM orders AS o JOIN customers AS c ON o.customer_id = c.customer_id
GROUP BY c.country, to_date(o.order_timestamp)
