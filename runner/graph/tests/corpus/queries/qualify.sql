-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT *, row_number() OVER (PARTITION BY customer ORDER BY at DESC) AS place FROM orders QUALIFY place = 1;
