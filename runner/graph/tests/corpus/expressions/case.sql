-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT CASE WHEN amount < 10 THEN 'small' WHEN amount < 100 THEN "medium" ELSE 'big' END AS size,
CASE customer WHEN 'a' THEN 1 WHEN 'b' THEN 2.5 END AS n, if(id > 1, 'x', NULL) AS i, iff(true, 1, 2) AS j, nvl(customer, '-') AS k, coalesce(NULL, customer, 'y') AS l, nullif(id, 0) AS o FROM orders;
