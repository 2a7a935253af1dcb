-- Good orders of customers that are there, by the country in which they live now.
SELECT c.country, CAST(to_date(o.order_timestamp) AS TIMESTAMP) AS order_date, count(*) AS orders_count, sum(o.quantity) AS books_count
FROM orders_silver AS o JOIN customers_silver AS c ON o.customer_id = c.customer_id
GROUP BY c.country, to_date(o.order_timestamp)
