-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT 1 AS a, 1L AS b, 1.50 AS c, 1e3 AS d, 2.5D AS e, 3F AS g, 7BD AS h, 5S AS i, 6Y AS j, X'1F' AS k, true AS l, CAST(NULL AS INT) AS m0, 'a' AS n, "b" AS o, -2147483648 AS p,
array(1, 2) AS q, map('a', 1) AS r, struct(1 AS x, 'y') AS s, named_struct('k', 1).k AS t, 99999999999999999999 AS u FROM orders;
