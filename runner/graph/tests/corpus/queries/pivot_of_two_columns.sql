-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT p.customer, p.`{a, 1}` AS a1 FROM (SELECT customer, sku, n, amount FROM (SELECT customer, amount, explode(items) AS i, i.sku, i.n FROM (SELECT customer, amount, array(struct('a' AS sku, 1 AS n)) AS items FROM orders)))
PIVOT (max(amount) FOR (sku, n) IN (('a', 1), ('b', 2) AS b2)) AS p;
