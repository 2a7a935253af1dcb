-- What a shop window shows: the newest version of each book that passed all checks.
CREATE OR REFRESH MATERIALIZED VIEW current_books AS
SELECT book_id, title, author, price FROM books_silver WHERE __END_AT IS NULL AND NOT is_quarantined;

-- One row for each book of each order, joined with the book as it is when the order is read.
CREATE OR REFRESH STREAMING TABLE books_sales (
  CONSTRAINT valid_subtotal EXPECT (subtotal = quantity * price) ON VIOLATION DROP ROW,
  CONSTRAINT valid_total    EXPECT (total BETWEEN 0 AND 100000) ON VIOLATION FAIL UPDATE,
  CONSTRAINT valid_date     EXPECT (order_timestamp <= current_timestamp() AND year(order_timestamp) >= 2020)
) AS SELECT o.order_id, o.order_timestamp, o.customer_id, o.total,
            b.book.quantity AS quantity, b.book.subtotal AS subtotal, c.book_id, c.title, c.author, c.price
     FROM STREAM(orders_silver) AS o, LATERAL EXPLODE(o.books) AS b(book)
     INNER JOIN current_books AS c ON b.book.book_id = c.book_id;

CREATE OR REFRESH MATERIALIZED VIEW authors_stats
COMMENT "Sales per author in 5-minute windows that start at minutes 2, 7, 12, ..." AS
SELECT author, window.start AS window_start, window.end AS window_end,
       COUNT(order_id) AS orders_count, AVG(quantity) AS avg_quantity
FROM books_sales GROUP BY author, window(order_timestamp, '5 minutes', '5 minutes', '2 minutes');

CREATE OR REFRESH MATERIALIZED VIEW countries_stats AS
SELECT c.country, date_trunc('DAY', o.order_timestamp) AS order_date, COUNT(o.order_id) AS orders_count, SUM(o.quantity) AS books_count
FROM orders_silver AS o INNER JOIN customers_silver AS c ON o.customer_id = c.customer_id
GROUP BY c.country, date_trunc('DAY', o.order_timestamp);
