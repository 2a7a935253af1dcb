-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT id, sum(amount) OVER w AS running, max(amount) OVER (PARTITION BY customer) AS top, row_number() OVER by_time AS n
FROM orders WINDOW w AS (PARTITION BY customer ORDER BY at), by_time AS (ORDER BY at);
