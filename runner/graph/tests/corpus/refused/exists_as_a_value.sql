-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE MATERIALIZED VIEW a AS SELECT o.id, EXISTS (SELECT 1 FROM customers c WHERE c.customer = o.customer) AS known FROM orders o;
CREATE MATERIALIZED VIEW b AS SELECT o.id, o.customer IN (SELECT customer FROM customers) AS known FROM orders o;
CREATE MATERIALIZED VIEW c AS SELECT o.id, c.email FROM orders o LEFT JOIN customers c ON o.customer = c.customer AND NOT EXISTS (SELECT 1 FROM orders p WHERE p.customer = c.customer);
CREATE MATERIALIZED VIEW d AS SELECT count(*) AS n FROM orders o GROUP BY o.customer IN (SELECT customer FROM customers);
CREATE MATERIALIZED VIEW e AS SELECT o.id FROM orders o WHERE o.customer = ANY (SELECT customer FROM customers);
