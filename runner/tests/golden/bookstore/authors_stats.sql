-- The sales in windows by arithmetic: 5 minutes long, each begins 2 minutes after a multiple of 5.
WITH orders AS (
  SELECT DISTINCT v.order_id, v.order_timestamp, v.customer_id, v.total, v.books
  FROM (SELECT from_json(CAST(value AS STRING), 'order_id STRING, order_timestamp TIMESTAMP, customer_id STRING,
          quantity BIGINT, total BIGINT, books ARRAY<STRUCT<book_id: STRING, quantity: BIGINT, subtotal: BIGINT>>') AS v
        FROM bronze WHERE topic = 'orders')
  WHERE v.quantity > 0
),
books AS (
  SELECT book_id, title, author, price
  FROM (SELECT v.*, row_number() OVER (PARTITION BY v.book_id ORDER BY v.updated DESC) AS place
        FROM (SELECT from_json(CAST(value AS STRING), 'book_id STRING, title STRING, author STRING, price DOUBLE, updated TIMESTAMP') AS v
              FROM bronze WHERE topic = 'books')
        WHERE v.book_id IS NOT NULL)
  WHERE place = 1 AND updated >= '2020-01-01' AND price BETWEEN 0 AND 100
),
sales AS (
  SELECT o.order_id, o.order_timestamp, o.customer_id, o.total, b.book.quantity AS quantity, b.book.subtotal AS subtotal,
         books.book_id, books.title, books.author, books.price
  FROM orders AS o, LATERAL EXPLODE(o.books) AS b(book) INNER JOIN books ON b.book.book_id = books.book_id
  WHERE b.book.subtotal = b.book.quantity * books.price
)
SELECT author, timestamp_seconds(start) AS window_start, timestamp_seconds(start + 300) AS window_end,
       count(*) AS orders_count, sum(quantity) / count(*) AS avg_quantity
FROM (SELECT author, quantity, CAST(floor((unix_timestamp(order_timestamp) - 120) / 300) AS BIGINT) * 300 + 120 AS start FROM sales)
GROUP BY author, start
