-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE MATERIALIZED VIEW a AS SELECT o.id FROM orders o WHERE o.customer IN (SELECT customer FROM customers) OR o.amount > 100;
CREATE MATERIALIZED VIEW b AS SELECT o.customer, count(*) AS n FROM orders o GROUP BY o.customer HAVING NOT EXISTS (SELECT 1 FROM customers c WHERE c.customer = o.customer);
CREATE MATERIALIZED VIEW c AS SELECT o.id, (SELECT count(*) FROM customers c WHERE c.customer = o.customer) > 0 AS known FROM orders o;
