-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT NOT id = 1 AND amount > 2 OR customer IS NULL AS a, 1 + 2 * 3 - 4 / 2 AS b, -id % 3 AS c, 'a' || 'b' = 'ab' AS d, id = 1 IS NOT NULL AS e FROM orders;
