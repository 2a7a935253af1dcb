-- Views for reports; each always equals the result of its query.
CREATE OR REFRESH MATERIALIZED VIEW books_per_window
COMMENT "Books sold in 5-minute windows that start at minutes 2, 7, 12, ..." AS
SELECT b.book.book_id AS book_id, window.start AS window_start, window.end AS window_end,
       COUNT(o.order_id) AS orders_count, SUM(b.book.quantity) AS books_sold
FROM orders_silver AS o, LATERAL EXPLODE(o.books) AS b(book)
GROUP BY b.book.book_id, window(o.order_timestamp, '5 minutes', '5 minutes', '2 minutes');

CREATE OR REFRESH MATERIALIZED VIEW orders_per_day
COMMENT "Orders and revenue per day; an order counts once, however often it was delivered" AS
SELECT date_trunc('DAY', order_timestamp) AS order_date, COUNT(order_id) AS orders_count, SUM(quantity) AS books_count, SUM(total) AS revenue
FROM (SELECT DISTINCT order_id, order_timestamp, quantity, total FROM orders_silver)
GROUP BY date_trunc('DAY', order_timestamp);
