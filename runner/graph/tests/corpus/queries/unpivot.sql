-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT id, measure, value FROM (SELECT id, CAST(amount AS DOUBLE) AS amount, CAST(id AS DOUBLE) AS number FROM orders) UNPIVOT INCLUDE NULLS (value FOR measure IN (amount, number AS n));
