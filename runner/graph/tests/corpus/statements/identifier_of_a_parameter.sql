-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: parameter source = main.shop.orders
-- corpus: parameter measure = amount
CREATE OR REFRESH MATERIALIZED VIEW big AS SELECT customer, sum(IDENTIFIER(:measure)) AS total FROM IDENTIFIER(:source) GROUP BY customer;
