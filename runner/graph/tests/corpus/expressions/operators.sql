-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT 7 / 2 AS a, 7 DIV 2 AS b, 7 % 4 AS c, id == 1 AS d, customer <=> NULL AS e, !(id > 1) AS g, customer || '-' || id AS h,
id BETWEEN 1 AND 5 AS i, id NOT IN (1, 2) AS j, customer RLIKE '^C' AS k, customer ILIKE 'c%' AS l, -id AS m, id & 3 | 8 ^ 1 AS n, amount IS NOT DISTINCT FROM 3 AS o,
customer REGEXP '^C' AS p, id <> 2 AND id != 3 AS q FROM orders;
