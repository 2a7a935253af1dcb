-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
WITH big AS (SELECT * FROM orders WHERE amount > 100), per_customer (who, total) AS (SELECT customer, sum(amount) FROM big GROUP BY customer)
SELECT who, total FROM per_customer WHERE total > (SELECT avg(total) FROM per_customer);
