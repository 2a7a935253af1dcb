-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT t.id, t.twice FROM (SELECT id, amount * 2 AS twice FROM orders) AS t WHERE t.twice > 10;
