-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE MATERIALIZED VIEW a AS SELECT o.id, t.email FROM orders o, LATERAL (SELECT c.email FROM customers c WHERE c.customer = o.customer LIMIT 1) t;
CREATE MATERIALIZED VIEW b AS SELECT o.id, t.email FROM orders o, LATERAL (SELECT DISTINCT c.email FROM customers c WHERE c.customer = o.customer) t;
CREATE MATERIALIZED VIEW c AS SELECT o.id, t.email FROM orders o, LATERAL (SELECT c.email FROM customers c WHERE c.customer = o.customer ORDER BY c.email) t;
CREATE MATERIALIZED VIEW d AS SELECT o.id, t.email FROM orders o, LATERAL (SELECT c.email FROM customers c WHERE c.customer = o.customer UNION ALL SELECT 'x') t;
