-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW sales_per_customer
COMMENT "What each customer spent"
AS SELECT customer, sum(amount) AS spent, count(*) AS orders FROM orders GROUP BY customer;
