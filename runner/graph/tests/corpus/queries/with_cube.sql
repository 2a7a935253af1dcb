-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT customer, year(at) AS y, count(*) AS n, grouping_id(customer, year(at)) AS level FROM orders GROUP BY customer, year(at) WITH CUBE;
