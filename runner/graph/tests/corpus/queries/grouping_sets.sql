-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT customer, year(at) AS y, count(*) AS n FROM orders GROUP BY GROUPING SETS ((customer), (year(at)), ()) ORDER BY ALL;
