-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT * FROM (SELECT customer, year(at) AS y, amount FROM orders) PIVOT (sum(amount) AS total, count(*) AS n FOR y IN (2023, 2024 AS this_year));
