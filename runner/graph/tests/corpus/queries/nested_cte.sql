-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
WITH a AS (WITH b AS (SELECT id FROM orders) SELECT id FROM b) SELECT a.id FROM a;
