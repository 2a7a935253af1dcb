-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT customer AS who, date_trunc('MONTH', at) AS month, sum(amount) AS total FROM orders GROUP BY 1, month HAVING total > 10 ORDER BY 3 DESC;
