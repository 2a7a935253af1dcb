-- Windows by arithmetic: 5 minutes long, each begins 2 minutes after a multiple of 5.
SELECT author, timestamp_seconds(start) AS window_start, timestamp_seconds(start + 300) AS window_end,
       count(*) AS orders_count, sum(quantity) / count(*) AS avg_quantity
FROM (SELECT author, quantity, CAST(floor((unix_timestamp(order_timestamp) - 120) / 300) AS BIGINT) * 300 + 120 AS start FROM books_sales)
GROUP BY author, start
