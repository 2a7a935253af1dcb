-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS SELECT customer, COUNT("id") AS orders_count, AVG("amount") AS average FROM orders GROUP BY customer;
