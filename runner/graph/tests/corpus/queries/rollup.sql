-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT customer, year(at) AS y, sum(amount) AS total, grouping(customer) AS is_total FROM orders GROUP BY ROLLUP (customer, year(at));
