-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE MATERIALIZED VIEW a AS SELECT * FROM (VALUES (1, 'a', 2), (1, 'b', 3)) AS t(x, y, z) PIVOT (sum(z) FOR y IN ('a', 'b'));
CREATE MATERIALIZED VIEW b AS SELECT * FROM (VALUES (1, 2)) AS t(p, q) UNPIVOT (v FOR n IN (p, q)) AS u WHERE v > 1;
CREATE MATERIALIZED VIEW c AS SELECT t.v, o.id FROM (VALUES (1), (2)) AS t(v) JOIN orders o ON o.id = t.v;
