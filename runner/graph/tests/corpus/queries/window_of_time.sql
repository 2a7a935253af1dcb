-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT customer, window.start AS from_time, window.end AS to_time, count(id) AS n
FROM orders GROUP BY customer, window(at, '5 minutes', '5 minutes', '2 minutes');
