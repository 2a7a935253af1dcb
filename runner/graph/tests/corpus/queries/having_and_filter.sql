-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT customer, count(*) FILTER (WHERE amount > 10) AS big, count_if(amount <= 10) AS small FROM orders GROUP BY customer HAVING count(*) > 1;
