-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT id, sum(amount) OVER (PARTITION BY customer ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS running,
lag(amount, 1, 0) OVER (PARTITION BY customer ORDER BY at) AS before, rank() OVER (ORDER BY amount DESC NULLS LAST) AS place,
avg(amount) OVER (ORDER BY id ROWS 2 PRECEDING) AS moving FROM orders;
