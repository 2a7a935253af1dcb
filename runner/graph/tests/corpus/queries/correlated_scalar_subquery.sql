-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT id, (SELECT max(c.updated) FROM customers c WHERE c.customer = o.customer) AS seen FROM orders o;
